/*
 * Certificates, keys, authorities and revocation lists from files into a context.
 *
 * All: ERR_INVAL or ERR_SYSTEM, and `why` names option, file and reason; ERR_NOMEM.
 */
#ifndef NET_TLS_FILES_H
#define NET_TLS_FILES_H

#include "net/tls_inside.h"

/* cafile and capath, as far as given. */
MUST_CHECK enum err tls_files_authorities(struct tls_ctx *c, const struct tls_settings *s,
                                          char why[TLS_WHY_MAX]);
/* certfile and keyfile, after the authorities: where the file has no chain, they may complete it.
 */
MUST_CHECK enum err tls_files_pair(struct tls_ctx *c, const struct tls_settings *s,
                                   char why[TLS_WHY_MAX]);
/* crlfile; after the pair. */
MUST_CHECK enum err tls_files_crls(struct tls_ctx *c, const struct tls_settings *s,
                                   char why[TLS_WHY_MAX]);
/* dhparamfile; without one, groups are chosen to fit the key. */
MUST_CHECK enum err tls_files_dh(struct tls_ctx *c, const struct tls_settings *s,
                                 char why[TLS_WHY_MAX]);

#endif
