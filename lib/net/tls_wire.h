/*
 * The bytes between TLS and the transport below it, as OpenSSL wants to be given them.
 *
 * What TLS writes is gathered, first in room that the caller lends for one call, then in memory of
 * our own, and leaves by tls_wire_flush() in one write. Below, only one read is made for each
 * tls_wire_begin(), so that a busy peer does not keep us here.
 */
#ifndef NET_TLS_WIRE_H
#define NET_TLS_WIRE_H

#include "base/buf.h"
#include "net/transport.h"

#include <openssl/bio.h>

#define TLS_WIRE_FIRST 9

struct tls_wire {
    struct transport *under;
    struct buf pending; /* what the layer below has not taken yet, or what room was too small for */
    uint8_t *room;      /* lent; NULL = none */
    size_t room_size, room_used;
    uint8_t first[TLS_WIRE_FIRST]; /* what the peer began with */
    uint8_t first_n;
    bool may_read;
    bool ended; /* the peer has closed */
    int error;  /* errno of the layer below, or ENOMEM; 0 */
};

/* NULL without memory; BIO_meth_free(). */
MUST_CHECK BIO_METHOD *tls_wire_method(void);
/* A BIO over w, which must outlive it. NULL without memory. */
MUST_CHECK BIO *tls_wire_bio(const BIO_METHOD *method, struct tls_wire *w);
/* One call begins, with room for what it writes (NULL, 0: none). Only with nothing pending may
 * there be room. */
void tls_wire_begin(struct tls_wire *w, uint8_t *room, size_t size);
/*
 * Hand what was gathered to the layer below, in one write; the room is given back. 0: all has gone;
 * -EAGAIN: a part waits; or -errno.
 */
int tls_wire_flush(struct tls_wire *w);

static inline bool tls_wire_is_clear(const struct tls_wire *w)
{
    return w->pending.len == 0;
}

#endif
