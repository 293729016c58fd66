/*
 * The proof that a server's certificate was not revoked, which it sends along ("stapled"): a
 * response of OCSP, RFC 6960.
 */
#ifndef NET_TLS_OCSP_H
#define NET_TLS_OCSP_H

#include "net/tls_inside.h"

/* What is said of a server that sends none. */
extern const char tls_ocsp_nothing[];
/*
 * NULL: the response is signed by the authority of the server's certificate or by whom it has
 * charged with that, is about this certificate, says that it is good, and is valid today. Else
 * what is wrong: a phrase, either in `room` or for ever. During the handshake, when the certificate
 * has been checked.
 */
MUST_CHECK const char *tls_ocsp_check(SSL *ssl, char room[TLS_VERDICT_MAX]);

#endif
