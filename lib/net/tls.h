/*
 * TLS over another transport, as a server or as a client.
 *
 * Handshake by transport_step(), which costs up to some milliseconds of CPU: whoever polls limits
 * how many are done in a turn. Small writes are gathered into records of up to 16 KiB, and these
 * into one write below, so that one record carries many messages and one call many records. After
 * transport_read() there may be input that is decrypted, or at least read, already, of which epoll
 * knows nothing: transport_has_input().
 *
 * When the layer below takes less than a record, transport_writev() does not count its last byte:
 * the caller offers that again, and more, when there is room. So who has no more to write has
 * nothing left in here either. What the layer has to say on its own account (alerts, key updates)
 * may wait too: then it wants TRANSPORT_WANTS_WRITE, and transport_step() writes it.
 */
#ifndef NET_TLS_H
#define NET_TLS_H

#include "net/tls_ctx.h"
#include "net/transport.h"

/*
 * A layer over `under`, which it closes with itself but does not own the memory of. `owner` is
 * handed to find_psk. It frees itself in transport_close(). NULL without memory.
 */
MUST_CHECK struct transport *tls_accept(struct tls_ctx *ctx, struct transport *under, void *owner);
/*
 * The same as a client, by a context of tls_ctx_new_client(). `host` is what the server is called
 * by who wants to reach it, a name or an address: it is asked for (SNI), and must be in the
 * certificate unless the context is insecure. Sessions are resumed where the server allows it.
 * What the server has against us, a certificate that is missing say, comes after the handshake with
 * TLS 1.3, by transport_read(). A host that nobody can be called fails in transport_step().
 */
MUST_CHECK struct transport *tls_connect(struct tls_ctx *ctx, struct transport *under,
                                         const char *host);
/* Why its handshake, or its last read or write, failed: a phrase for the log, without a full stop;
 * never NULL; lives as long as t. */
const char *tls_why(const struct transport *t);
/* "TLSv1.3 cipher TLS_AES_256_GCM_SHA384"; returns out. After the handshake. */
#define TLS_TEXT_MAX 128
const char *tls_text(const struct transport *t, char out[TLS_TEXT_MAX]);

/* The SSL of OpenSSL; valid as long as t. NULL without TLS. */
void *tls_ssl(const struct transport *t);

/* What the peer is called by what it has proven. */
enum tls_name { TLS_IDENTITY /* CN of its certificate, or PSK identity */, TLS_SUBJECT };
#define TLS_NAME_MAX 1024
/*
 * Its bytes, terminated, at most TLS_NAME_MAX with the NUL; *n is their number. After the
 * handshake. ERR_NOT_FOUND: it has none; ERR_UTF8: it is no UTF-8, or has a NUL in it;
 * ERR_TOO_LARGE; ERR_NOMEM. The subject is written as RFC 2253 says.
 */
MUST_CHECK enum err tls_name(const struct transport *t, enum tls_name which, char out[TLS_NAME_MAX],
                             size_t *n);

#endif
