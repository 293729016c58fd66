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

/* Of one file. */
#define FILE_BYTES_MAX (64U << 20)

/* A listener, and the realm that it is to have; NULL: none of its files is named. */
struct planned {
    struct conf_listener *listener;
    struct realm *realm;
};

struct realm_plan {
    const struct log *log;
    size_t count;
    struct planned of[];
};

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

/* --- sharing --- */

static const char *path_at(const struct conf_listener *l, size_t field)
{
    return *(char *const *)(const void *)((const char *)&l->security + field);
}

/* The realm of one of the first n listeners that names the same file in this field; NULL: none does.
 */
static const struct realm *earlier_realm(const struct realm_plan *p, size_t n, size_t field)
{
    const char *path = path_at(p->of[n].listener, field);

    for (size_t i = 0; i < n; i++) {
        const char *other = path_at(p->of[i].listener, field);
        if (other && strcmp(other, path) == 0)
            return p->of[i].realm;
    }
    return NULL;
}

static enum err plan_passwords(struct realm_plan *p, size_t n, struct realm *r)
{
    const char *path = p->of[n].listener->security.password_file;
    const struct realm *same;

    if (!path)
        return ERR_OK;
    same = earlier_realm(p, n, offsetof(struct conf_security, password_file));
    if (!same)
        return load_passwords(path, p->log, &r->passwords);
    r->passwords = pwfile_ref(same->passwords);
    return ERR_OK;
}

static enum err plan_acl(struct realm_plan *p, size_t n, struct realm *r)
{
    const char *path = p->of[n].listener->security.acl_file;
    const struct realm *same;

    if (!path)
        return ERR_OK;
    same = earlier_realm(p, n, offsetof(struct conf_security, acl_file));
    if (!same)
        return load_acl(path, p->log, &r->acl);
    r->acl = acl_ref(same->acl);
    return ERR_OK;
}

static enum err plan_psk(struct realm_plan *p, size_t n, struct realm *r)
{
    const char *path = p->of[n].listener->security.psk_file;
    const struct realm *same;

    if (!path)
        return ERR_OK;
    same = earlier_realm(p, n, offsetof(struct conf_security, psk_file));
    if (!same)
        return load_psk(path, p->log, &r->psk);
    r->psk = pskfile_ref(same->psk);
    return ERR_OK;
}

/* --- all of them --- */

static enum err plan_realm(struct realm_plan *p, size_t n)
{
    const struct conf_security *s = &p->of[n].listener->security;
    struct realm *r;
    enum err e;

    if (!s->password_file && !s->acl_file && !s->psk_file)
        return ERR_OK;
    r = mem_zalloc(sizeof(*r));
    if (!r)
        return ERR_NOMEM;
    r->refs = 1;
    p->of[n].realm = r;
    e = plan_passwords(p, n, r);
    if (!e)
        e = plan_acl(p, n, r);
    return e ? e : plan_psk(p, n, r);
}

static size_t plan_size(size_t count)
{
    return sizeof(struct realm_plan) + count * sizeof(struct planned);
}

enum err realms_prepare(struct conf_listener *const *listeners, size_t count,
                        const struct log *log, struct realm_plan **out)
{
    struct realm_plan *p = mem_zalloc(plan_size(count));
    enum err e = ERR_OK;

    if (!p)
        return ERR_NOMEM;
    p->log = log;
    p->count = count;
    for (size_t i = 0; i < count; i++)
        p->of[i].listener = listeners[i];
    for (size_t i = 0; i < count && !e; i++)
        e = plan_realm(p, i);
    if (e)
        realms_drop(p);
    else
        *out = p;
    return e;
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
