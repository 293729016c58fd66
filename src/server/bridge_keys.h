/*
 * The TLS contexts of bridges: made from what their sections name, and made anew when those files
 * change.
 *
 * They lie beside the configuration, not in it: a section that stays the same over a reload may
 * have other files behind it. Who connects looks up its section when it is about to shake hands.
 * Sections that say the same of TLS share one context: reading a hundred times the same list of
 * authorities would take seconds.
 */
#ifndef SERVER_BRIDGE_KEYS_H
#define SERVER_BRIDGE_KEYS_H

#include "base/log.h"
#include "conf/conf.h"
#include "net/tls_ctx.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bridge_key {
    struct conf_bridge *conf; /* one reference */
    struct tls_ctx *tls;      /* one reference */
};

/* Of all sections of a configuration that want TLS; all zero: none. */
struct bridge_keys {
    struct bridge_key *of;
    size_t count;
    size_t room;
};

/* The files and directories that this section names for TLS, NULL where none; pointers into it. */
#define BRIDGE_KEYS_FILES 4
void bridge_keys_files(const struct conf_bridge *conf, const char *files[BRIDGE_KEYS_FILES]);

/* What making them takes besides. */
struct bridge_keys_how {
    int *keylog; /* descriptor of a key log; NULL or -1 = none */
    const struct log *log;
    const struct bridge_keys *former; /* in force so far, or NULL */
    int64_t now_s;
};
/*
 * Read and check all that this configuration names, into `out`, which is overwritten. What is wrong
 * is an error on the log, which names file, line and option: ERR_INVAL, ERR_SYSTEM, ERR_NOMEM, and
 * then `out` is empty. A file that only the rights are missing to read, so that root has read it at
 * the start and nobody can now, is no reason to refuse if what came of it is in `former`: that goes
 * on.
 */
MUST_CHECK enum err bridge_keys_make(const struct conf *conf, const struct bridge_keys_how *how,
                                     struct bridge_keys *out);
void bridge_keys_clear(struct bridge_keys *keys);
/* Which files have changed; when to read again what has been read too early. */
struct bridge_keys_news {
    bool (*is_changed)(void *ctx, const char *path);
    void *ctx;
    int64_t early_s; /* so many seconds before a certificate is valid; 0 = none was too early */
};
/*
 * Anew what comes of changed files, for the next connect; what is bad is an error on the log, and
 * the former stays. ERR_NOMEM: some was not read.
 */
MUST_CHECK enum err bridge_keys_renew(struct bridge_keys *keys, const struct bridge_keys_how *how,
                                      struct bridge_keys_news *news);
/* The context for this section, or for one that says the same of TLS; NULL: there is none. */
struct tls_ctx *bridge_keys_find(const struct bridge_keys *keys, const struct conf_bridge *conf);
/* Warn if a certificate of ours has expired, or will soon. */
void bridge_keys_warn(const struct bridge_keys *keys, int64_t now_s, const struct log *log);

#endif
