/*
 * From a file and the command line to a configuration: read, parse, check, and hand over only what
 * has no fault.
 */
#include "conf/conf.h"

#include "base/buf.h"
#include "base/file.h"
#include "base/mem.h"
#include "conf/check.h"
#include "conf/options.h"
#include "conf/parse.h"
#include "conf/value.h"

#include <errno.h>
#include <string.h>

/* Longer files are no configuration. */
#define FILE_SIZE_MAX (64U << 20)

enum err conf_load_text(const struct conf_args *args, struct str text, const struct log *log,
                        struct conf **out)
{
    struct draft d;
    enum err e = draft_init(&d, args->file, log);

    if (!e)
        e = parse_text(&d, text);
    if (!e)
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
    enum err e = file_read(path, FILE_SIZE_MAX, text);

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

void conf_keep_fixed(struct conf *fresh, struct conf *old, const struct log *log)
{
    for (size_t i = 0; i < option_count; i++) {
        const struct conf_option *opt = &options[i];
        bool fixed = opt->scope == SCOPE_GLOBAL && !(opt->flags & OPT_RELOAD);
        if (fixed && value_swap_if_other(opt, &fresh->global, &old->global))
            log_warning(log, "Warning: %s: a changed value needs a restart; the old one stays.",
                        opt->name);
    }
}

void conf_listener_unref(struct conf_listener *l)
{
    if (!l || --l->refs > 0)
        return;
    value_free(l, HOME_LISTENER);
    value_free(&l->security, HOME_SECURITY);
    str_dup_free(l->file);
    mem_free(l->trusted, l->trusted_count * sizeof(*l->trusted));
    mem_free(l, sizeof(*l));
}

void conf_free(struct conf *c)
{
    if (!c)
        return;
    for (size_t i = 0; i < c->listener_count; i++)
        conf_listener_unref(c->listeners[i]);
    mem_free(c->listeners, c->listener_count * sizeof(*c->listeners));
    value_free(&c->global, HOME_GLOBAL);
    value_free(&c->global.security, HOME_SECURITY);
    mem_free(c, sizeof(*c));
}
