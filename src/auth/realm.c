/*
 * Each file is read once, however many listeners name it.
 */
#include "auth/realm.h"

#include "base/buf.h"
#include "base/file.h"
#include "base/mem.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Of one file. */
#define FILE_BYTES_MAX (64U << 20)

/* A listener, and the realm that it is to have; NULL: none of its files is named. */
struct planned {
    struct conf_listener *listener;
    struct realm *realm;
};

struct realm_plan {
    const struct log *log;
    const struct realm_renewal *renewal; /* while it is made */
    size_t count;
    struct planned of[];
};

enum kind { PASSWORDS, ACL, PSK };
#define KINDS 3

static const char *const option_of[KINDS] = {"password_file", "acl_file", "psk_file"};

static void realm_unref(struct realm *r)
{
    if (!r || --r->refs > 0)
        return;
    pwfile_unref(r->passwords);
    acl_unref(r->acl);
    pskfile_unref(r->psk);
    mem_free(r, sizeof(*r));
}

/* --- one file --- */

/* Secrets that everybody may read are none. */
static void warn_open(const char *option, const char *path, const struct log *log)
{
    struct stat st;
    char shown[256];

    if (stat(path, &st) == 0 && st.st_mode & S_IROTH)
        log_warning(log,
                    "Warning: %s '%s' can be read by every user of this machine; chmod o-r would "
                    "change that.",
                    option, str_escape(str_c(path), shown, sizeof(shown)));
}

static enum err read_text(const char *option, const char *path, const struct log *log,
                          struct buf *text)
{
    char shown[256];
    enum err e = file_read(path, FILE_BYTES_MAX, text);

    if (e)
        log_error(log, "Error: %s '%s' cannot be read: %s.", option,
                  str_escape(str_c(path), shown, sizeof(shown)),
                  e == ERR_SYSTEM ? strerror(errno) : err_word(e));
    else
        warn_open(option, path, log);
    return e == ERR_TOO_LARGE ? ERR_INVAL : e;
}

/* Copies of secrets do not stay behind. */
static void forget_text(struct buf *text)
{
    if (text->len > 0)
        pwhash_wipe(buf_begin(text), text->len);
    buf_clear(text);
}

static enum err load_passwords(const char *path, const struct log *log, struct pwfile **out)
{
    struct buf text = {0};
    enum err e = read_text("password_file", path, log, &text);

    if (!e)
        e = pwfile_parse(buf_str(&text), path, log, out);
    forget_text(&text);
    return e;
}

static enum err load_acl(const char *path, const struct log *log, struct acl **out)
{
    struct buf text = {0};
    enum err e = read_text("acl_file", path, log, &text);

    if (!e)
        e = acl_parse(buf_str(&text), path, log, out);
    buf_clear(&text);
    return e;
}

static enum err load_psk(const char *path, const struct log *log, struct pskfile **out)
{
    struct buf text = {0};
    enum err e = read_text("psk_file", path, log, &text);

    if (!e)
        e = pskfile_parse(buf_str(&text), path, log, out);
    forget_text(&text);
    return e;
}

static enum err load(enum kind kind, const char *path, const struct log *log, struct realm *into)
{
    switch (kind) {
    case PASSWORDS:
        return load_passwords(path, log, &into->passwords);
    case ACL:
        return load_acl(path, log, &into->acl);
    case PSK:
        return load_psk(path, log, &into->psk);
    }
    return ERR_INVAL;
}

/* --- sharing --- */

static const char *path_of(const struct conf_listener *l, enum kind kind)
{
    const struct conf_security *s = &l->security;
    const char *const path[KINDS] = {s->password_file, s->acl_file, s->psk_file};

    return path[kind];
}

static void share(enum kind kind, const struct realm *from, struct realm *into)
{
    switch (kind) {
    case PASSWORDS:
        into->passwords = pwfile_ref(from->passwords);
        break;
    case ACL:
        into->acl = acl_ref(from->acl);
        break;
    case PSK:
        into->psk = pskfile_ref(from->psk);
        break;
    }
}

static bool names(const struct conf_listener *l, enum kind kind, const char *path)
{
    const char *other = path_of(l, kind);

    return other && strcmp(other, path) == 0;
}

/* The realm of one of the first n listeners that names the same file; NULL: none does. */
static const struct realm *planned_realm(const struct realm_plan *p, size_t n, enum kind kind,
                                         const char *path)
{
    for (size_t i = 0; i < n; i++) {
        if (names(p->of[i].listener, kind, path))
            return p->of[i].realm;
    }
    return NULL;
}

/* A realm that is in force and has this file; NULL: there is none. */
static const struct realm *former_realm(const struct realm_renewal *r, enum kind kind,
                                        const char *path)
{
    for (size_t i = 0; i < r->former_count; i++) {
        const struct conf_listener *l = r->former[i];
        if (l->realm && names(l, kind, path))
            return l->realm;
    }
    return NULL;
}

/* --- all of them --- */

/* Is there nothing wrong with it, but that this process may not read it? */
static bool is_out_of_reach(const char *path)
{
    return access(path, R_OK) != 0 && errno == EACCES;
}

static enum err renew(const struct realm_plan *p, size_t n, enum kind kind, struct realm *into)
{
    const struct realm_renewal *r = p->renewal;
    const char *path = path_of(p->of[n].listener, kind);
    const struct realm *former = former_realm(r, kind, path);
    char shown[256];
    enum err e;

    if (former && r->is_changed && !r->is_changed(r->ctx, path)) {
        share(kind, former, into);
        return ERR_OK;
    }
    e = load(kind, path, p->log, into);
    (void)str_escape(str_c(path), shown, sizeof(shown));
    if (e && e != ERR_NOMEM && former && (n >= r->strict || is_out_of_reach(path))) {
        log_error(p->log, "Error: The former %s '%s' stays in force.", option_of[kind], shown);
        share(kind, former, into);
        return ERR_OK;
    }
    if (!e && r->is_changed)
        log_info(p->log, "%s '%s' was read anew.", option_of[kind], shown);
    return e;
}

static enum err plan_file(const struct realm_plan *p, size_t n, enum kind kind, struct realm *into)
{
    const char *path = path_of(p->of[n].listener, kind);
    const struct realm *same;

    if (!path)
        return ERR_OK;
    same = planned_realm(p, n, kind, path);
    if (!same)
        return renew(p, n, kind, into);
    share(kind, same, into);
    return ERR_OK;
}

static enum err plan_realm(struct realm_plan *p, size_t n)
{
    const struct conf_security *s = &p->of[n].listener->security;
    struct realm *r;
    enum err e = ERR_OK;

    if (!s->password_file && !s->acl_file && !s->psk_file)
        return ERR_OK;
    r = mem_zalloc(sizeof(*r));
    if (!r)
        return ERR_NOMEM;
    r->refs = 1;
    p->of[n].realm = r;
    for (int kind = 0; kind < KINDS && !e; kind++)
        e = plan_file(p, n, (enum kind)kind, r);
    return e;
}

static size_t plan_size(size_t count)
{
    return sizeof(struct realm_plan) + count * sizeof(struct planned);
}

enum err realms_renew(const struct realm_renewal *r, const struct log *log, struct realm_plan **out)
{
    struct realm_plan *p = mem_zalloc(plan_size(r->count));
    enum err e = ERR_OK;

    if (!p)
        return ERR_NOMEM;
    p->log = log;
    p->renewal = r;
    p->count = r->count;
    for (size_t i = 0; i < r->count; i++)
        p->of[i].listener = r->listeners[i];
    for (size_t i = 0; i < r->count && !e; i++)
        e = plan_realm(p, i);
    p->renewal = NULL;
    if (e)
        realms_drop(p);
    else
        *out = p;
    return e;
}

enum err realms_prepare(struct conf_listener *const *listeners, size_t count, const struct log *log,
                        struct realm_plan **out)
{
    const struct realm_renewal first = {.listeners = listeners, .count = count, .strict = count};

    return realms_renew(&first, log, out);
}

void realms_commit(struct realm_plan *p)
{
    for (size_t i = 0; i < p->count; i++) {
        struct conf_listener *l = p->of[i].listener;
        realm_unref(l->realm);
        l->realm = p->of[i].realm;
        l->realm_unref = realm_unref;
        p->of[i].realm = NULL;
    }
    realms_drop(p);
}

void realms_drop(struct realm_plan *p)
{
    if (!p)
        return;
    for (size_t i = 0; i < p->count; i++)
        realm_unref(p->of[i].realm);
    mem_free(p, plan_size(p->count));
}
