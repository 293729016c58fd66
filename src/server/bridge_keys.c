/*
 * TLS contexts of bridges.
 */
#include "server/bridge_keys.h"

#include "base/mem.h"
#include "base/str.h"
#include "server/keylog.h"
#include "server/keys.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* "bridge NAME (FILE:LINE)", for the log. */
#define WHOSE_MAX 400

void bridge_keys_files(const struct conf_bridge *conf, const char *files[BRIDGE_KEYS_FILES])
{
    files[0] = conf->cafile;
    files[1] = conf->capath;
    files[2] = conf->certfile;
    files[3] = conf->keyfile;
}

void bridge_keys_clear(struct bridge_keys *keys)
{
    for (size_t i = 0; i < keys->count; i++) {
        tls_ctx_unref(keys->of[i].tls);
        conf_bridge_unref(keys->of[i].conf);
    }
    mem_free(keys->of, keys->room * sizeof(*keys->of));
    *keys = (struct bridge_keys){0};
}

static struct keys_owner owner_of(const struct conf_bridge *conf, char whose[WHOSE_MAX])
{
    char name[128];
    (void)snprintf(whose, WHOSE_MAX, "connection %s (%.200s:%u)",
                   str_escape(str_c(conf->name), name, sizeof(name)), conf->file ? conf->file : "",
                   (unsigned)conf->line);
    return (struct keys_owner){.whose = whose, .option = "bridge_certfile", .file = conf->certfile};
}

/* --- one context --- */

static enum err make(const struct conf_bridge *conf, const struct bridge_keys_how *how,
                     struct tls_ctx **out)
{
    struct tls_client_settings s = {.cafile = conf->cafile,
                                    .capath = conf->capath,
                                    .use_os_certs = conf->use_os_certs,
                                    .certfile = conf->certfile,
                                    .keyfile = conf->keyfile,
                                    .ciphers = conf->ciphers,
                                    .ciphers_tls13 = conf->ciphers_tls13,
                                    .alpn = conf->alpn,
                                    .psk_identity = conf->identity,
                                    .psk_key = conf->psk,
                                    .lowest = conf->tls_version,
                                    .insecure = conf->insecure,
                                    .require_ocsp = conf->require_ocsp,
                                    .prefix = "bridge_"};
    char why[TLS_WHY_MAX];
    char shown[TLS_WHY_MAX];
    char whose[WHOSE_MAX];
    *out = NULL;
    if (how->keylog && *how->keylog >= 0) {
        s.keylog = keylog_line;
        s.keylog_ctx = how->keylog;
    }
    enum err e = tls_ctx_new_client(&s, out, why);
    if (e != ERR_OK) {
        log_error(how->log, "Error: %s: %s.", owner_of(conf, whose).whose,
                  str_escape(str_c(why), shown, sizeof(shown)));
        return e;
    }
    keys_warn_open("bridge_keyfile", conf->keyfile, how->log);
    return ERR_OK;
}

static bool same(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : !a && !b;
}

/* Would the same context come of both, as long as the files are the same? */
static bool are_alike(const struct conf_bridge *a, const struct conf_bridge *b)
{
    return same(a->cafile, b->cafile) && same(a->capath, b->capath) &&
           a->use_os_certs == b->use_os_certs && same(a->certfile, b->certfile) &&
           same(a->keyfile, b->keyfile) && same(a->ciphers, b->ciphers) &&
           same(a->ciphers_tls13, b->ciphers_tls13) && same(a->alpn, b->alpn) &&
           same(a->identity, b->identity) && same(a->psk, b->psk) &&
           a->tls_version == b->tls_version && a->insecure == b->insecure &&
           a->require_ocsp == b->require_ocsp;
}

/* --- all of them --- */

struct tls_ctx *bridge_keys_find(const struct bridge_keys *keys, const struct conf_bridge *conf)
{
    for (size_t i = 0; i < keys->count; i++) {
        if (are_alike(keys->of[i].conf, conf)) {
            return keys->of[i].tls;
        }
    }
    return NULL;
}

/* Of the section with that name, whatever else it says. */
static const struct bridge_key *find_name(const struct bridge_keys *keys, const char *name)
{
    for (size_t i = 0; keys && i < keys->count; i++) {
        if (strcmp(keys->of[i].conf->name, name) == 0) {
            return &keys->of[i];
        }
    }
    return NULL;
}

/* Is there a file that only the rights are missing to read? */
static bool is_out_of_reach(const struct conf_bridge *conf)
{
    const char *files[BRIDGE_KEYS_FILES];
    bridge_keys_files(conf, files);
    for (int i = 0; i < BRIDGE_KEYS_FILES; i++) {
        if (files[i] && access(files[i], R_OK) != 0 && errno == EACCES) {
            return true;
        }
    }
    return false;
}

static void tell_kept(const struct conf_bridge *conf, const struct log *log)
{
    char whose[WHOSE_MAX];
    log_error(log, "Error: The former certificates and keys of %s stay in force.",
              owner_of(conf, whose).whose);
}

static bool may_replace(const struct conf_bridge *conf, const struct tls_ctx *old,
                        const struct tls_ctx *fresh, const struct bridge_keys_how *how)
{
    char whose[WHOSE_MAX];
    const struct keys_owner owner = owner_of(conf, whose);
    return keys_owner_may_replace(&owner, old, fresh, how->now_s, how->log);
}

/* Of files that nobody has read yet for this configuration. */
static enum err read_files(const struct conf_bridge *conf, const struct bridge_keys_how *how,
                           struct tls_ctx **out)
{
    struct tls_ctx *former = how->former ? bridge_keys_find(how->former, conf) : NULL;
    const struct bridge_key *namesake = find_name(how->former, conf->name);
    enum err e = make(conf, how, out);
    if (e != ERR_OK && e != ERR_NOMEM && former && is_out_of_reach(conf)) {
        tell_kept(conf, how->log);
        *out = tls_ctx_ref(former);
        e = ERR_OK;
    }
    if (e == ERR_OK && namesake && !may_replace(conf, namesake->tls, *out, how)) {
        tls_ctx_unref(*out);
        e = ERR_INVAL;
    }
    return e;
}

static enum err make_one(struct conf_bridge *conf, const struct bridge_keys_how *how,
                         struct bridge_keys *out)
{
    struct tls_ctx *tls = bridge_keys_find(out, conf);
    enum err e = ERR_OK;
    if (tls) {
        (void)tls_ctx_ref(tls);
    } else {
        e = read_files(conf, how, &tls);
    }
    if (e == ERR_OK) {
        out->of[out->count++] = (struct bridge_key){.conf = conf_bridge_ref(conf), .tls = tls};
    }
    return e;
}

static size_t count_encrypted(const struct conf *conf)
{
    size_t n = 0;
    for (size_t i = 0; i < conf->bridge_count; i++) {
        n += conf_bridge_has_tls(conf->bridges[i]);
    }
    return n;
}

enum err bridge_keys_make(const struct conf *conf, const struct bridge_keys_how *how,
                          struct bridge_keys *out)
{
    size_t room = count_encrypted(conf);
    enum err e = ERR_OK;
    *out = (struct bridge_keys){0};
    if (room == 0) {
        return ERR_OK;
    }
    out->of = mem_alloc(room * sizeof(*out->of));
    if (!out->of) {
        return ERR_NOMEM;
    }
    out->room = room;
    for (size_t i = 0; i < conf->bridge_count && e == ERR_OK; i++) {
        if (conf_bridge_has_tls(conf->bridges[i])) {
            e = make_one(conf->bridges[i], how, out);
        }
    }
    if (e != ERR_OK) {
        bridge_keys_clear(out);
    }
    return e;
}

/* --- files that change --- */

/* What was read is not used. Its time may be still to come: an authority's clock may be ahead of
 * ours. */
static void keep(const struct bridge_key *key, const struct tls_ctx *fresh,
                 const struct bridge_keys_how *how, struct bridge_keys_news *news)
{
    int64_t early_s = fresh ? tls_ctx_begins(fresh) - how->now_s : 0;
    tell_kept(key->conf, how->log);
    if (early_s > 0 && (news->early_s == 0 || early_s < news->early_s)) {
        news->early_s = early_s;
    }
}

static void replace(struct bridge_key *key, struct tls_ctx *fresh, const struct log *log)
{
    char whose[WHOSE_MAX];
    tls_ctx_unref(key->tls);
    key->tls = fresh;
    log_info(log, "The certificates and keys of %s were read anew.",
             owner_of(key->conf, whose).whose);
}

static enum err renew(struct bridge_key *key, const struct bridge_keys_how *how,
                      struct bridge_keys_news *news)
{
    struct tls_ctx *fresh = NULL;
    char whose[WHOSE_MAX];
    const struct keys_owner owner = owner_of(key->conf, whose);
    enum err e = make(key->conf, how, &fresh);
    if (e == ERR_OK && may_replace(key->conf, key->tls, fresh, how)) {
        replace(key, fresh, how->log);
        keys_owner_warn(&owner, fresh, how->now_s, how->log);
        return ERR_OK;
    }
    keep(key, fresh, how, news);
    tls_ctx_unref(fresh);
    return e == ERR_NOMEM ? ERR_NOMEM : ERR_OK;
}

static bool is_changed(const struct bridge_key *key, const struct bridge_keys_news *news)
{
    const char *files[BRIDGE_KEYS_FILES];
    bool changed = false;
    bridge_keys_files(key->conf, files);
    for (int i = 0; i < BRIDGE_KEYS_FILES; i++) {
        changed = changed || (files[i] && news->is_changed(news->ctx, files[i]));
    }
    return changed;
}

/* Does no section before it say the same? */
static bool is_first(const struct bridge_keys *keys, size_t i)
{
    size_t k = 0;
    while (!are_alike(keys->of[k].conf, keys->of[i].conf)) {
        k++;
    }
    return k == i;
}

enum err bridge_keys_renew(struct bridge_keys *keys, const struct bridge_keys_how *how,
                           struct bridge_keys_news *news)
{
    enum err e = ERR_OK;
    for (size_t i = 0; i < keys->count; i++) {
        struct bridge_key *key = &keys->of[i];
        /* The first that says the same: it has been looked at, if it is not this one. */
        struct tls_ctx *first = bridge_keys_find(keys, key->conf);
        if (first != key->tls) {
            replace(key, tls_ctx_ref(first), how->log);
        } else if (is_first(keys, i) && is_changed(key, news) && renew(key, how, news) != ERR_OK) {
            e = ERR_NOMEM;
        }
    }
    return e;
}

void bridge_keys_warn(const struct bridge_keys *keys, int64_t now_s, const struct log *log)
{
    for (size_t i = 0; i < keys->count; i++) {
        char whose[WHOSE_MAX];
        const struct keys_owner owner = owner_of(keys->of[i].conf, whose);
        keys_owner_warn(&owner, keys->of[i].tls, now_s, log);
    }
}
