/*
 * From a socket to a stream to the broker, a step at a time.
 *
 * Each layer begins when the one below is done. The first to answer may be a proxy: then the broker
 * is behind it, and TLS is spoken with the broker.
 */
#include "client/dial_line.h"

#include "base/mem.h"
#include "base/str.h"
#include "net/tls.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

/* ---- Failing ---- */

static enum err failed(struct dial_line *l, enum err e, int error, const char *why)
{
    l->error = error;
    (void)snprintf(l->why, sizeof(l->why), "%s", why);
    return e;
}

static enum err broke(struct dial_line *l, int error)
{
    const char *words = strerrordesc_np(error);
    return failed(l, ERR_CLOSED, error, words ? words : "it cannot be reached");
}

/* ---- TLS ---- */

static enum err shake(struct dial_line *l)
{
    enum err e = transport_step(l->tls);
    if (e == ERR_OK) {
        l->stage = LINE_UP;
    }
    if (e == ERR_OK || e == ERR_AGAIN) {
        return e;
    }
    l->error = e == ERR_SYSTEM ? errno : 0;
    (void)snprintf(l->why, sizeof(l->why), "the TLS handshake has failed: %s", tls_why(l->tls));
    transport_finish(l->tls); /* an alert may be on its way that tells the other side */
    return ERR_CLOSED;
}

static enum err begin_shaking(struct dial_line *l)
{
    l->tls = tls_connect(l->to.tls, &l->tcp->base, l->to.name);
    if (!l->tls) {
        return failed(l, ERR_NOMEM, 0, "out of memory");
    }
    l->io = l->tls;
    l->stage = LINE_SHAKING;
    return ERR_OK;
}

/* There is a stream to the broker itself. */
static enum err reached(struct dial_line *l)
{
    if (l->to.tls) {
        return begin_shaking(l);
    }
    l->stage = LINE_UP;
    return ERR_OK;
}

/* ---- Proxies ---- */

/* Write what is to be written: 1, or a result of transport_writev(). */
static ssize_t tell_proxy(struct dial_line *l)
{
    struct socks5 *s = &l->socks;
    while (s->out_at < s->out_len) {
        struct iovec rest = {.iov_base = s->out + s->out_at, .iov_len = s->out_len - s->out_at};
        ssize_t n = transport_writev(l->io, &rest, 1);
        if (n < 0) {
            return n;
        }
        s->out_at += (size_t)n;
    }
    return 1;
}

/* No byte more than the handshake has is read: the next ones are the broker's. */
static ssize_t hear_proxy(struct dial_line *l, enum err *e)
{
    uint8_t answer[SOCKS5_IN_MAX];
    size_t used;
    ssize_t n = transport_read(l->io, answer, l->socks.in_need - l->socks.in_len);
    if (n > 0) {
        *e = socks5_step(&l->socks, answer, (size_t)n, &used);
    }
    return n;
}

static enum err talk_with_proxy(struct dial_line *l)
{
    enum err e = ERR_AGAIN;
    ssize_t n = 1;
    while (e == ERR_AGAIN && n > 0) {
        n = tell_proxy(l);
        if (n > 0) {
            n = hear_proxy(l, &e);
        }
    }
    if (e == ERR_OK) {
        return reached(l);
    }
    if (e != ERR_AGAIN) {
        return failed(l, e, 0, l->socks.why);
    }
    if (n == 0) {
        return failed(l, ERR_CLOSED, ECONNRESET, "the proxy has closed the connection");
    }
    return n == -EAGAIN ? ERR_AGAIN : broke(l, (int)-n);
}

static enum err begin_proxying(struct dial_line *l)
{
    const struct dial_line_to *to = &l->to;
    enum err e = socks5_begin(&l->socks, str_c(to->host), to->port, str_c(to->username),
                              str_c(to->password));
    if (e != ERR_OK) {
        return failed(l, ERR_INVAL, 0,
                      e == ERR_INVAL ? "host, user name or password do not fit a SOCKS5 proxy"
                                     : l->socks.why);
    }
    l->stage = LINE_PROXYING;
    return ERR_OK;
}

/* ---- Sockets ---- */

static enum err look_at_connection(struct dial_line *l)
{
    struct pollfd socket = {.fd = l->tcp->fd, .events = POLLOUT};
    if (poll(&socket, 1, 0) <= 0) {
        return ERR_AGAIN;
    }
    int error = tcp_error(l->tcp);
    if (error) {
        return broke(l, error);
    }
    return l->to.by_proxy ? begin_proxying(l) : reached(l);
}

/* tcp_connect() has failed, with e. */
static enum err not_begun(struct dial_line *l, enum err e, int error)
{
    char why[DIAL_LINE_WHY_MAX];
    if (e == ERR_INVAL) {
        return failed(l, ERR_CLOSED, EADDRNOTAVAIL,
                      "the address to connect from is of another family");
    }
    if (l->to.bind_address && error == EADDRNOTAVAIL) {
        (void)snprintf(why, sizeof(why), "cannot connect from %.100s: %s", l->to.bind_address,
                       strerrordesc_np(error));
        return failed(l, ERR_CLOSED, error, why);
    }
    return broke(l, error);
}

static enum err connect_to(const struct dial_line *l, const struct resolve_address *a,
                           const char *source, int *fd)
{
    bool internet = a->sa.ss_family != AF_UNIX;
    bool bound = internet && l->to.bind_address;
    const struct tcp_how how = {
        .bind_address = bound ? source : NULL,
        .nodelay = internet && l->to.nodelay,
    };
    if (bound && !source) {
        return ERR_INVAL;
    }
    return tcp_connect((const struct sockaddr *)&a->sa, a->length, &how, fd);
}

enum err dial_line_open(struct dial_line *l, const struct resolve_address *a, const char *source)
{
    int fd = -1;
    l->tcp = mem_alloc(sizeof(*l->tcp));
    if (!l->tcp) {
        return failed(l, ERR_NOMEM, 0, "out of memory");
    }
    enum err e = connect_to(l, a, source, &fd);
    if (e != ERR_OK && e != ERR_AGAIN) {
        e = not_begun(l, e, errno);
        dial_line_close(l);
        return e;
    }
    tcp_init(l->tcp, fd);
    l->io = &l->tcp->base;
    l->stage = LINE_CONNECTING;
    return ERR_OK;
}

/* ---- Steps ---- */

/* ERR_OK: it is a stage further. */
static enum err go_on(struct dial_line *l)
{
    switch (l->stage) {
    case LINE_CONNECTING:
        return look_at_connection(l);
    case LINE_PROXYING:
        return talk_with_proxy(l);
    case LINE_SHAKING:
        return shake(l);
    case LINE_DOWN:
    case LINE_UP:
        break;
    }
    return ERR_AGAIN;
}

enum err dial_line_step(struct dial_line *l)
{
    enum err e = ERR_OK;
    while (e == ERR_OK && l->stage != LINE_UP) {
        e = go_on(l);
    }
    return e;
}

short dial_line_events(const struct dial_line *l)
{
    unsigned wants = transport_wants(l->io);
    switch (l->stage) {
    case LINE_CONNECTING:
        return POLLOUT;
    case LINE_PROXYING:
        return l->socks.out_at < l->socks.out_len ? POLLOUT : POLLIN;
    default:
        return (short)((wants & TRANSPORT_WANTS_READ ? POLLIN : 0) |
                       (wants & TRANSPORT_WANTS_WRITE ? POLLOUT : 0));
    }
}

bool dial_line_hears(const struct dial_line *l)
{
    struct pollfd socket = {.events = POLLIN};
    if (l->stage <= LINE_CONNECTING) {
        return false;
    }
    socket.fd = l->tcp->fd;
    return poll(&socket, 1, 0) > 0;
}

/* ---- The end ---- */

void dial_line_leave(struct dial_line *l)
{
    l->stage = LINE_DOWN;
    l->io = NULL;
    l->tls = NULL;
    l->tcp = NULL;
}

void dial_line_close(struct dial_line *l)
{
    if (l->io) {
        transport_close(l->io);
    }
    mem_free(l->tcp, sizeof(*l->tcp));
    dial_line_leave(l);
}
