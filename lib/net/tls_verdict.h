/*
 * What is wrong with a server's certificate, in words that say what is in it.
 */
#ifndef NET_TLS_VERDICT_H
#define NET_TLS_VERDICT_H

#include "net/tls_inside.h"

/*
 * The verdict that `x` has come to about the server that was to be `host`. False: there is no more
 * to say of it than tls_words does. What comes out of the certificate is escaped.
 */
bool tls_verdict_words(X509_STORE_CTX *x, const char *host, char out[TLS_VERDICT_MAX]);
/* "2031-12-24"; returns out, or what stands for a broken date. */
const char *tls_verdict_date(const ASN1_TIME *t, char out[32]);

#endif
