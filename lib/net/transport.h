/*
 * A byte stream behind a small table of functions, so that layers stack: WebSocket over TLS over
 * TCP.
 *
 * A layer embeds a struct transport as its FIRST member and keeps a pointer to the layer under it.
 * Whoever polls asks the topmost layer only. Nothing here blocks, and nothing here buffers for the
 * sake of speed: reading and writing are one call below for one call above.
 */
#ifndef NET_TRANSPORT_H
#define NET_TRANSPORT_H

#include "base/base.h"
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include <sys/uio.h>

struct transport;

/* What a layer must see happen on the descriptor before it can go on, besides what its user asks
 * for. */
enum transport_wants {
    TRANSPORT_WANTS_NOTHING = 0,
    TRANSPORT_WANTS_READ = 1 << 0,
    TRANSPORT_WANTS_WRITE = 1 << 1
};

struct transport_ops {
    /* Read at most n bytes: how many, 0 at the end of the stream, -EAGAIN when there are none now,
     * or -errno. */
    ssize_t (*read)(struct transport *t, void *p, size_t n);
    /* Write what is possible without waiting: how many bytes, -EAGAIN when there is no room, or
     * -errno. What was not taken is offered again, the same bytes: a layer may have begun with
     * them. */
    ssize_t (*writev)(struct transport *t, const struct iovec *iov, int n);
    /* Go on with the handshake: ERR_OK = done, ERR_AGAIN = see wants(), anything else is the end.
     * Later: write what the layer itself has to say, if it wants TRANSPORT_WANTS_WRITE; ERR_OK. */
    enum err (*step)(struct transport *t);
    /* Bits of enum transport_wants. */
    unsigned (*wants)(const struct transport *t);
    /* Is there input that has left the descriptor already, and that read() would give at once? */
    bool (*has_input)(const struct transport *t);
    /* Nothing more will be written: tell the peer. Reading goes on. */
    void (*finish)(struct transport *t);
    /* Close this layer and all under it, at once. */
    void (*close)(struct transport *t);
};

struct transport {
    const struct transport_ops *ops;
};

static inline ssize_t transport_read(struct transport *t, void *p, size_t n)
{
    return t->ops->read(t, p, n);
}

static inline ssize_t transport_writev(struct transport *t, const struct iovec *iov, int n)
{
    return t->ops->writev(t, iov, n);
}

MUST_CHECK static inline enum err transport_step(struct transport *t)
{
    return t->ops->step(t);
}

static inline unsigned transport_wants(const struct transport *t)
{
    return t->ops->wants(t);
}

static inline bool transport_has_input(const struct transport *t)
{
    return t->ops->has_input(t);
}

static inline void transport_finish(struct transport *t)
{
    t->ops->finish(t);
}

static inline void transport_close(struct transport *t)
{
    t->ops->close(t);
}

#endif
