/*
 * The TLS contexts of listeners: made from what their rules name, and looked at: are they good, and
 * for how long?
 */
#ifndef SERVER_KEYS_H
#define SERVER_KEYS_H

#include "base/log.h"
#include "conf/conf.h"
#include "net/tls_ctx.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* So long before a certificate expires there are warnings, once a day. */
#define KEYS_SOON_S ((int64_t)30 * 86400)

/* The files and directories that these rules name for TLS, NULL where none; pointers into them. */
#define KEYS_FILES 6
void keys_files(const struct conf_listener *rules, const char *files[KEYS_FILES]);
/* Would the same context come of both, as long as the files are the same? */
bool keys_are_alike(const struct conf_listener *a, const struct conf_listener *b);
/*
 * Read and check them. *out is one reference, or NULL: these rules want no TLS. What is wrong is an
 * error on `log`; ERR_INVAL, ERR_SYSTEM (a file cannot be read), ERR_NOMEM. A key that everybody
 * may read is a warning. `keylog` points at the descriptor of a key log; NULL or -1 = none.
 */
MUST_CHECK enum err keys_make(const struct conf_listener *rules, int *keylog, const struct log *log,
                              struct tls_ctx **out);
/* False, with an error on `log`: clients would not be content with `fresh`, but are with `old`. */
bool keys_may_replace(const struct conf_listener *rules, const struct tls_ctx *old,
                      const struct tls_ctx *fresh, int64_t now_s, const struct log *log);
/* Warn if a certificate has expired, or will soon, or clients will not like it for other reasons.
 */
void keys_warn(const struct conf_listener *rules, const struct tls_ctx *keys, int64_t now_s,
               const struct log *log);

/* The same of whatever has a context: `whose` begins the line, e.g. "TLS on port 8883". */
struct keys_owner {
    const char *whose;
    const char *option; /* that names the certificate … */
    const char *file;   /* … and what it names */
};
bool keys_owner_may_replace(const struct keys_owner *owner, const struct tls_ctx *old,
                            const struct tls_ctx *fresh, int64_t now_s, const struct log *log);
void keys_owner_warn(const struct keys_owner *owner, const struct tls_ctx *keys, int64_t now_s,
                     const struct log *log);
/* Warn if everybody may read this key; NULL is allowed. */
void keys_warn_open(const char *option, const char *file, const struct log *log);

#endif
