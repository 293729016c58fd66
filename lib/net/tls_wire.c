/*
 * The bytes between TLS and the transport below it: a BIO that never blocks a writer.
 *
 * Were the BIO to write through, each record would be a system call; were it to refuse, OpenSSL
 * would have to be called again with the same bytes. So it takes what it is given, and only a peer
 * that makes us answer (by key updates, say) without ever reading comes to a limit.
 */
#include "net/tls_wire.h"

#include <errno.h>
#include <openssl/ssl.h>
#include <string.h>

/* What may wait before TLS is held up: a handshake's flight, with room to spare. */
#define PENDING_MAX (256 * 1024)

static int fail(struct tls_wire *w, int error)
{
    w->error = error;
    return -1;
}

static int wire_write(BIO *bio, const char *p, int n)
{
    struct tls_wire *w = BIO_get_data(bio);
    size_t size = n > 0 ? (size_t)n : 0;
    BIO_clear_retry_flags(bio);
    if (w->pending.len == 0 && size <= w->room_size - w->room_used) {
        memcpy(w->room + w->room_used, p, size);
        w->room_used += size;
        return n;
    }
    if (w->pending.len > PENDING_MAX) {
        BIO_set_retry_write(bio);
        return -1;
    }
    return buf_add(&w->pending, p, size) == ERR_OK ? n : fail(w, ENOMEM);
}

/*
 * A ClientHello has some hundred bytes, but may promise 128 KiB, for which OpenSSL takes memory at
 * once. A longer one than this is not waited for, nor one whose length is not in its first record.
 */
#define HELLO_MAX (16 * 1024)

static bool promises_too_much(const struct tls_wire *w)
{
    const uint8_t *p = w->first;
    if (w->first_n < sizeof(w->first) || p[0] != SSL3_RT_HANDSHAKE) {
        return false;
    }
    unsigned record = (unsigned)p[3] << 8 | p[4];
    unsigned hello = (unsigned)p[6] << 16 | (unsigned)p[7] << 8 | p[8];
    return record < SSL3_HM_HEADER_LENGTH || hello > HELLO_MAX;
}

static void remember_first(struct tls_wire *w, const char *p, size_t n)
{
    size_t room = sizeof(w->first) - w->first_n;
    size_t more = n < room ? n : room;
    memcpy(w->first + w->first_n, p, more);
    w->first_n = (uint8_t)(w->first_n + more);
}

static int wire_read(BIO *bio, char *p, int n)
{
    struct tls_wire *w = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    if (n <= 0 || w->ended) {
        return 0;
    }
    ssize_t got = w->may_read ? transport_read(w->under, p, (size_t)n) : -EAGAIN;
    w->may_read = false;
    if (got > 0) {
        if (UNLIKELY(w->first_n < sizeof(w->first))) {
            remember_first(w, p, (size_t)got);
            if (promises_too_much(w)) {
                return fail(w, EMSGSIZE);
            }
        }
        return (int)got;
    }
    if (got == 0) {
        w->ended = true;
        return 0;
    }
    if (got == -EAGAIN) {
        BIO_set_retry_read(bio);
        return -1;
    }
    return fail(w, (int)-got);
}

static long wire_ctrl(BIO *bio, int command, long number, void *p)
{
    const struct tls_wire *w = BIO_get_data(bio);
    (void)number;
    (void)p;
    switch (command) {
    case BIO_CTRL_FLUSH:
        return 1;
    case BIO_CTRL_EOF:
        return w->ended;
    default:
        return 0;
    }
}

BIO_METHOD *tls_wire_method(void)
{
    BIO_METHOD *m = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "transport");
    if (m && BIO_meth_set_write(m, wire_write) == 1 && BIO_meth_set_read(m, wire_read) == 1 &&
        BIO_meth_set_ctrl(m, wire_ctrl) == 1) {
        return m;
    }
    BIO_meth_free(m);
    return NULL;
}

BIO *tls_wire_bio(const BIO_METHOD *method, struct tls_wire *w)
{
    BIO *bio = BIO_new(method);
    if (bio) {
        BIO_set_data(bio, w);
        BIO_set_init(bio, 1);
    }
    return bio;
}

void tls_wire_begin(struct tls_wire *w, uint8_t *room, size_t size)
{
    w->may_read = true;
    w->room = room;
    w->room_size = size;
    w->room_used = 0;
}

/* `sent` bytes have gone, of the room first; what is left of it must not stay there. */
static enum err keep_rest(struct tls_wire *w, size_t sent)
{
    size_t from_room = sent < w->room_used ? sent : w->room_used;
    struct buf rest = {0};
    if (w->room_used == from_room) {
        buf_drop(&w->pending, sent - from_room);
        return ERR_OK;
    }
    if (buf_add(&rest, w->room + from_room, w->room_used - from_room) != ERR_OK ||
        (w->pending.len > 0 && buf_add(&rest, buf_begin(&w->pending), w->pending.len) != ERR_OK)) {
        buf_clear(&rest);
        return ERR_NOMEM;
    }
    buf_clear(&w->pending);
    w->pending = rest;
    return ERR_OK;
}

static int flush_some(struct tls_wire *w)
{
    struct iovec iov[2] = {{.iov_base = w->room, .iov_len = w->room_used},
                           {.iov_base = buf_begin(&w->pending), .iov_len = w->pending.len}};
    int first = w->room_used == 0;
    int count = 2 - first - (w->pending.len == 0);
    if (count == 0) {
        return 0;
    }
    ssize_t n = transport_writev(w->under, iov + first, count);
    if (n < 0 && n != -EAGAIN) {
        return (int)n;
    }
    if (keep_rest(w, n > 0 ? (size_t)n : 0) != ERR_OK) {
        return -ENOMEM;
    }
    if (w->pending.len > 0) {
        return -EAGAIN;
    }
    buf_clear(&w->pending);
    return 0;
}

int tls_wire_flush(struct tls_wire *w)
{
    int e = w->error != 0 ? -w->error : flush_some(w);
    w->room = NULL;
    w->room_size = 0;
    w->room_used = 0;
    w->may_read = false;
    if (e != 0 && e != -EAGAIN) {
        w->error = -e;
    }
    return e;
}
