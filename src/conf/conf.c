/*
 * From a file and the command line to a configuration: read, parse, check, and hand over only what
 * has no fault.
 */
#include "conf/conf.h"

#include "base/buf.h"
#include "base/file.h"
#include "base/mem.h"
#include "conf/check.h"
#include "conf/fields.h"
#include "conf/parse.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

enum err conf_load_text(const struct conf_args *args, struct str text, const struct log *log,
                        struct conf **out)
{
    struct draft d;
    enum err e = draft_init(&d, args->file, args->test, log);

    if (!e)
        e = parse_text(&d, text);
    if (!e && !draft_over(&d))
        e = check_draft(&d, args);
    if (!e && d.problems > 0)
        e = ERR_INVAL;
    if (!e) {
        *out = d.conf;
        d.conf = NULL;
    }
    if (e == ERR_NOMEM)
        log_error(log, "Error: Out of memory while reading the configuration.");
    draft_clear(&d);
    return e;
}

static enum err read_file(const char *path, const struct log *log, struct buf *text)
{
    char shown[256];
    enum err e = file_read(path, CONF_FILE_MAX, text);

    str_escape(str_c(path), shown, sizeof(shown));
    if (e)
        log_error(log, "Error: Unable to open configuration file '%s': %s.", shown,
                  e == ERR_SYSTEM ? strerror(errno) : err_word(e));
    return e == ERR_TOO_LARGE ? ERR_INVAL : e;
}

enum err conf_load(const struct conf_args *args, const struct log *log, struct conf **out)
{
    struct buf text = {0};
    enum err e = args->file ? read_file(args->file, log, &text) : ERR_OK;

    if (!e)
        e = conf_load_text(args, buf_str(&text), log, out);
    buf_clear(&text);
    return e;
}

/* Names and addresses are the same in capitals, paths are not; nor has a path family or interface.
 */
bool conf_listener_same_socket(const struct conf_listener *a, const struct conf_listener *b)
{
    if (a->port != b->port)
        return false;
    if (a->port == 0 || !a->address || !b->address) {
        if (!field_same_text(a->address, b->address))
            return false;
    } else if (strcasecmp(a->address, b->address) != 0) {
        return false;
    }
    return a->port == 0 || (a->socket_domain == b->socket_domain &&
                            field_same_text(a->bind_interface, b->bind_interface));
}

enum err conf_keep_fixed(struct conf *fresh, const struct conf *old, const struct log *log)
{
    for (size_t i = 0, count = option_count(); i < count; i++) {
        const struct conf_option *opt = option_at(i);
        bool fixed = opt->scope == SCOPE_GLOBAL && opt->size > 0 && !(opt->flags & OPT_RELOAD);
        bool differed = false;
        if (fixed && field_keep(opt, &fresh->global, &old->global, &differed))
            return ERR_NOMEM;
        if (differed)
            log_warning(log, "Warning: %s: a changed value needs a restart; the old one stays.",
                        opt->name);
    }
    return ERR_OK;
}

void conf_listener_unref(struct conf_listener *l)
{
    if (!l || --l->refs > 0)
        return;
    fields_free(l, HOME_LISTENER);
    fields_free(&l->security, HOME_SECURITY);
    str_dup_free(l->file);
    if (l->realm)
        l->realm_unref(l->realm);
    conf_bridge_unref(l->bridge);
    mem_free(l, sizeof(*l));
}

void conf_free(struct conf *c)
{
    if (!c)
        return;
    for (size_t i = 0; i < c->listener_count; i++)
        conf_listener_unref(c->listeners[i]);
    mem_free(c->listeners, c->listener_count * sizeof(*c->listeners));
    for (size_t i = 0; i < c->bridge_count; i++)
        conf_bridge_unref(c->bridges[i]);
    mem_free(c->bridges, c->bridge_count * sizeof(*c->bridges));
    fields_free(&c->global, HOME_GLOBAL);
    fields_free(&c->global.security, HOME_SECURITY);
    mem_free(c, sizeof(*c));
}
