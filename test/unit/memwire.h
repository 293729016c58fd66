/*
 * A transport of memory, and a TLS client at its other end.
 */
#ifndef UNIT_MEMWIRE_H
#define UNIT_MEMWIRE_H

#include "base/buf.h"
#include "base/rng.h"
#include "net/transport.h"

#include <openssl/ssl.h>

struct memwire {
    struct transport base;
    struct buf in;          /* what the layer above may read */
    struct buf out;         /* what it has written */
    bool ended;             /* after `in`: end of stream */
    int error;              /* errno for reads and writes; 0 */
    size_t room;            /* what writes still take in all; SIZE_MAX = all */
    struct rng *chance;     /* if there is one: each call moves a random number of bytes */
    unsigned reads, writes; /* calls */
    bool finished, closed;
};

void memwire_init(struct memwire *w);
void memwire_clear(struct memwire *w);

/* A client of OpenSSL's own, which reads from `out` and writes to `in`. */
struct memclient {
    SSL_CTX *ctx;
    BIO_METHOD *method;
    SSL *ssl;
};

/* Trusts anybody. */
void memclient_init(struct memclient *c);
/* A connection, after what is to be set in ctx has been set. */
void memclient_connect(struct memclient *c, struct memwire *w);
void memclient_disconnect(struct memclient *c);
void memclient_clear(struct memclient *c);

#endif
