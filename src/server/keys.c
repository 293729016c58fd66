/*
 * TLS contexts of listeners.
 */
#include "server/keys.h"

#include "base/str.h"
#include "server/door.h"
#include "server/greeting.h"
#include "server/keylog.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

void keys_files(const struct conf_listener *rules, const char *files[KEYS_FILES])
{
    files[0] = rules->certfile;
    files[1] = rules->keyfile;
    files[2] = rules->cafile;
    files[3] = rules->capath;
    files[4] = rules->crlfile;
    files[5] = rules->dhparamfile;
}

static bool same(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : !a && !b;
}

/* Whoever wants a name from a certificate must ask for one. */
static bool wants_certificate(const struct conf_listener *rules)
{
    bool named = rules->use_identity_as_username || rules->use_subject_as_username;
    return rules->require_certificate || (named && (rules->cafile || rules->capath));
}

bool keys_are_alike(const struct conf_listener *a, const struct conf_listener *b)
{
    const char *one[KEYS_FILES];
    const char *two[KEYS_FILES];
    keys_files(a, one);
    keys_files(b, two);
    for (int i = 0; i < KEYS_FILES; i++) {
        if (!same(one[i], two[i])) {
            return false;
        }
    }
    return same(a->psk_hint, b->psk_hint) && same(a->ciphers, b->ciphers) &&
           same(a->ciphers_tls13, b->ciphers_tls13) && a->tls_version == b->tls_version &&
           a->require_certificate == b->require_certificate &&
           wants_certificate(a) == wants_certificate(b) &&
           a->disable_client_cert_date_checks == b->disable_client_cert_date_checks;
}

void keys_warn_open(const char *option, const char *file, const struct log *log)
{
    struct stat st;
    char shown[256];
    if (file && stat(file, &st) == 0 && st.st_mode & S_IROTH) {
        log_warning(log,
                    "Warning: %s '%s' can be read by every user of this machine; chmod o-r "
                    "would change that.",
                    option, str_escape(str_c(file), shown, sizeof(shown)));
    }
}

enum err keys_make(const struct conf_listener *rules, int *keylog, const struct log *log,
                   struct tls_ctx **out)
{
    struct tls_settings s = {.certfile = rules->certfile,
                             .keyfile = rules->keyfile,
                             .cafile = rules->cafile,
                             .capath = rules->capath,
                             .crlfile = rules->crlfile,
                             .ciphers = rules->ciphers,
                             .ciphers_tls13 = rules->ciphers_tls13,
                             .dhparamfile = rules->dhparamfile,
                             .psk_hint = rules->psk_hint,
                             .lowest = rules->tls_version,
                             .wants_certificate = wants_certificate(rules),
                             .require_certificate = rules->require_certificate,
                             .ignores_dates = rules->disable_client_cert_date_checks,
                             .find_psk = greeting_find_psk};
    char why[TLS_WHY_MAX];
    char shown[TLS_WHY_MAX];
    char place[DOOR_PLACE_MAX];
    *out = NULL;
    if (!conf_listener_has_tls(rules)) {
        return ERR_OK;
    }
    if (keylog && *keylog >= 0) {
        s.keylog = keylog_line;
        s.keylog_ctx = keylog;
    }
    enum err e = tls_ctx_new(&s, out, why);
    if (e != ERR_OK) {
        log_error(log, "Error: TLS on %s: %s.", door_place(rules, place),
                  str_escape(str_c(why), shown, sizeof(shown)));
        return e;
    }
    keys_warn_open("keyfile", rules->keyfile, log);
    return ERR_OK;
}

bool keys_owner_may_replace(const struct keys_owner *owner, const struct tls_ctx *old,
                            const struct tls_ctx *fresh, int64_t now_s, const struct log *log)
{
    char why[TLS_WHY_MAX];
    char was[TLS_WHY_MAX];
    char shown[TLS_WHY_MAX];
    if (tls_ctx_check(fresh, now_s, why) == ERR_OK || tls_ctx_check(old, now_s, was) != ERR_OK) {
        return true;
    }
    log_error(log, "Error: %s: %s.", owner->whose, str_escape(str_c(why), shown, sizeof(shown)));
    return false;
}

static const char *date_of(int64_t seconds, char out[32])
{
    struct tm tm;
    time_t t = (time_t)seconds;
    if (!gmtime_r(&t, &tm) || strftime(out, 32, "%Y-%m-%d", &tm) == 0) {
        out[0] = '\0';
    }
    return out;
}

void keys_owner_warn(const struct keys_owner *owner, const struct tls_ctx *keys, int64_t now_s,
                     const struct log *log)
{
    char why[TLS_WHY_MAX];
    char shown[TLS_WHY_MAX];
    char date[32];
    int64_t expires = tls_ctx_expires(keys);
    if (tls_ctx_check(keys, now_s, why) != ERR_OK) {
        log_warning(log, "Warning: %s: %s.", owner->whose,
                    str_escape(str_c(why), shown, sizeof(shown)));
    } else if (expires != 0 && expires - now_s < KEYS_SOON_S) {
        long long days = (long long)((expires - now_s) / 86400);
        log_warning(log, "Warning: %s: %s '%s' expires in %lld day%s, on %s.", owner->whose,
                    owner->option, str_escape(str_c(owner->file), shown, sizeof(shown)), days,
                    days == 1 ? "" : "s", date_of(expires, date));
    }
}

#define WHOSE_MAX (DOOR_PLACE_MAX + 16)

static struct keys_owner owner_of(const struct conf_listener *rules, char whose[WHOSE_MAX])
{
    char place[DOOR_PLACE_MAX];
    (void)snprintf(whose, WHOSE_MAX, "TLS on %s", door_place(rules, place));
    return (struct keys_owner){.whose = whose, .option = "certfile", .file = rules->certfile};
}

bool keys_may_replace(const struct conf_listener *rules, const struct tls_ctx *old,
                      const struct tls_ctx *fresh, int64_t now_s, const struct log *log)
{
    char whose[WHOSE_MAX];
    const struct keys_owner owner = owner_of(rules, whose);
    return keys_owner_may_replace(&owner, old, fresh, now_s, log);
}

void keys_warn(const struct conf_listener *rules, const struct tls_ctx *keys, int64_t now_s,
               const struct log *log)
{
    char whose[WHOSE_MAX];
    const struct keys_owner owner = owner_of(rules, whose);
    keys_owner_warn(&owner, keys, now_s, log);
}
