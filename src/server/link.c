/*
 * Links: reading, writing and ending connections.
 *
 * EPOLLOUT is armed only after the socket took less than it was given, so a connection whose peer
 * keeps up never costs an epoll_ctl().
 */
#include "server/link.h"

#include "base/mem.h"
#include "server/proxy.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Pieces of one write: at a page each that is 256 KiB, about what a socket takes at once. */
#define IOVECS 64
/*
 * What one turn may write and close: a write to a socket wakes its reader and takes some 4 µs,
 * closing one four times as much, and a turn should stay well below 10 ms.
 */
#define FLUSH_MAX 1024
#define COST_WRITE 1
#define COST_CLOSE 4
/* How long a connection that the core gave up may take to accept the bytes that are left. */
#define FLUSH_MS 5000
/* How long we wait for it to close after that. */
#define LINGER_MS 2000
/* So many at most: they count for no limit, so whoever is refused again and again must not take all
 * descriptors this way. */
#define LINGERING_MAX 256

_Static_assert(sizeof(void *) != 8 || sizeof(struct link) == 64, "a link is small");

void links_init(struct links *ls, struct poll *poll, struct door *door, struct broker *broker,
                uint8_t watch_kind)
{
    *ls = (struct links){.poll = poll, .door = door, .broker = broker, .watch_kind = watch_kind};
    slab_init(&ls->slab, sizeof(struct link));
    for (int i = 0; i < LINK_STATES; i++) {
        TAILQ_INIT(&ls->list[i]);
    }
}

static bool has_conn(const struct link *l)
{
    return l->state == LINK_LIVE || l->state == LINK_FLUSHING;
}

static void move_to(struct links *ls, struct link *l, enum link_state state)
{
    TAILQ_REMOVE(&ls->list[l->state], l, entry);
    ls->lingering -= l->state == LINK_LINGERING;
    ls->lingering += state == LINK_LINGERING;
    l->state = (uint8_t)state;
    TAILQ_INSERT_TAIL(&ls->list[state], l, entry);
}

static void close_link(struct links *ls, struct link *l)
{
    transport_close(l->io);
    ls->spent += COST_CLOSE;
    l->watch.fd = -1;
    move_to(ls, l, LINK_DEAD);
}

/* The core lets go of it: from here on it counts for no limit. */
static void let_go(struct links *ls, struct link *l, enum reason why, int error)
{
    broker_closed(ls->broker, l->conn, why, error);
    l->conn = NULL;
    door_leave(ls->door, l->group);
    /* It leaves behind a will or a session, and in this turn the core's round of work may be over.
     */
    ls->again = true;
}

static void end(struct links *ls, struct link *l, enum reason why, int error)
{
    if (has_conn(l)) {
        let_go(ls, l, why, error);
    }
    close_link(ls, l);
}

static void free_greeting(struct greeting *g)
{
    buf_clear(&g->header);
    mem_free(g, sizeof(*g));
}

void links_clear(struct links *ls)
{
    for (int i = 0; i < LINK_STATES; i++) {
        while (!TAILQ_EMPTY(&ls->list[i])) {
            struct link *l = TAILQ_FIRST(&ls->list[i]);
            if (l->state == LINK_GREETING) {
                free_greeting(l->greeting);
            }
            if (l->state != LINK_DEAD) {
                transport_close(l->io);
            }
            TAILQ_REMOVE(&ls->list[i], l, entry);
            slab_free(&ls->slab, l);
        }
    }
    slab_clear(&ls->slab);
}

static void wait_for(struct links *ls, struct link *l, enum link_state state, uint32_t patience_ms)
{
    l->deadline_ms = (uint32_t)ls->now_ms + patience_ms;
    move_to(ls, l, state);
}

/* --- opening --- */

static bool hand_over(struct links *ls, struct link *l, const struct peer *peer)
{
    struct conn *c = broker_open(ls->broker, peer, l);
    if (!c) {
        return false;
    }
    l->conn = c;
    return true;
}

static bool await_greeting(struct links *ls, struct link *l, const struct peer *peer)
{
    struct greeting *g = mem_alloc(sizeof(*g));
    if (!g) {
        return false;
    }
    *g = (struct greeting){.peer = *peer};
    l->greeting = g;
    wait_for(ls, l, LINK_GREETING, BROKER_CONNECT_MS);
    return true;
}

void link_open(struct links *ls, int fd, const struct peer *peer, uint16_t group)
{
    struct tcp tcp;
    tcp_init(&tcp, fd);
    struct link *l = slab_alloc(&ls->slab);
    if (!l) {
        transport_close(&tcp.base);
        return;
    }
    *l = (struct link){.tcp = tcp, .group = group, .state = LINK_LIVE};
    l->io = &l->tcp.base;
    l->watch = (struct watch){.fd = fd, .kind = ls->watch_kind};
    TAILQ_INSERT_TAIL(&ls->list[LINK_LIVE], l, entry);
    bool proxied = door_group(ls->door, group)->rules->proxy != CONF_PROXY_OFF;
    if (transport_step(l->io) == ERR_OK && poll_add(ls->poll, &l->watch, POLL_IN) == ERR_OK &&
        (proxied ? await_greeting(ls, l, peer) : hand_over(ls, l, peer))) {
        door_enter(ls->door, group);
        return;
    }
    close_link(ls, l);
}

/* --- in front of MQTT --- */

/* Who it is, as far as the socket tells. The rules may be others than when it was accepted. */
static struct peer greeter(const struct links *ls, const struct link *l)
{
    struct peer peer = l->greeting->peer;
    peer.listener = door_group(ls->door, l->group)->rules;
    return peer;
}

static void end_greeting(struct links *ls, struct link *l)
{
    free_greeting(l->greeting);
    l->conn = NULL;
    close_link(ls, l);
    door_leave(ls->door, l->group);
}

static void refuse_greeting(struct links *ls, struct link *l, const char *reason, const char *rule)
{
    struct peer peer = greeter(ls, l);
    char place[DOOR_PLACE_MAX];
    char what[DOOR_PLACE_MAX + 128];
    (void)snprintf(what, sizeof(what), ": %s (%s on %s)", reason, rule,
                   door_place(peer.listener, place));
    struct refusal why = {.what = what, .reason = reason, .rule = rule, .personal = true};
    door_refuse(ls->door, &peer, ls->now_ms, &why);
    end_greeting(ls, l);
}

static void refuse_header(struct links *ls, struct link *l, enum err e)
{
    const char *reason = "no PROXY header, or a broken one";
    if (e == ERR_UNSUPPORTED) {
        reason = "a PROXY header of another version";
    } else if (e == ERR_TOO_LARGE) {
        reason = "a PROXY header that is too long";
    }
    refuse_greeting(ls, l, reason, "enable_proxy_protocol");
}

/* The header is there: from here on the peer is whom it names. */
static void greeted(struct links *ls, struct link *l, const struct proxy_header *h)
{
    struct greeting *g = l->greeting;
    struct peer peer = greeter(ls, l);
    if (peer.listener->proxy_v2_require_tls && !h->tls) {
        refuse_greeting(ls, l, "not by TLS, as far as the PROXY header tells",
                        "proxy_protocol_v2_require_tls");
        return;
    }
    if (!h->own) {
        peer.family = h->family;
        peer.port = h->port;
        memcpy(peer.ip, h->ip, sizeof(peer.ip));
    }
    if (ls->door->closed || !door_passes_wrap(ls->door, &peer, ls->now_ms) ||
        !hand_over(ls, l, &peer)) {
        end_greeting(ls, l);
        return;
    }
    free_greeting(g);
    move_to(ls, l, LINK_LIVE);
}

/*
 * What has come is looked at, and only what belongs to the header is read: the rest is MQTT. As a
 * header that is not whole yet has taken all there was, nothing is reported twice.
 */
static void take_header(struct links *ls, struct link *l, uint8_t *seen, size_t n)
{
    struct buf *header = &l->greeting->header;
    size_t before = header->len;
    if (buf_add(header, seen, n) != ERR_OK) {
        end_greeting(ls, l);
        return;
    }
    struct proxy_header h;
    size_t length = before + n;
    enum err e = proxy_parse(door_group(ls->door, l->group)->rules->proxy, buf_begin(header),
                             header->len, &h, &length);
    if (e != ERR_OK && e != ERR_AGAIN) {
        refuse_header(ls, l, e);
    } else if (transport_read(&l->tcp.base, seen, length - before) != (ssize_t)(length - before)) {
        end_greeting(ls, l);
    } else if (e == ERR_OK) {
        greeted(ls, l, &h);
    }
}

static void greet(struct links *ls, struct link *l)
{
    uint8_t seen[PROXY_MAX];
    ssize_t n = tcp_peek(&l->tcp, seen, sizeof(seen) - l->greeting->header.len);
    if (n > 0) {
        take_header(ls, l, seen, (size_t)n);
    } else if (n != -EAGAIN) {
        refuse_greeting(ls, l, "it ended before its PROXY header did", "enable_proxy_protocol");
    }
}

/* --- reading --- */

static void read_once(struct links *ls, struct link *l)
{
    struct span room = broker_room(ls->broker, l->conn);
    if (room.n == 0) {
        return;
    }
    ssize_t n = transport_read(l->io, room.p, room.n);
    if (LIKELY(n > 0)) {
        broker_input(ls->broker, l->conn, (size_t)n);
    } else if (n == 0) {
        end(ls, l, REASON_PEER_CLOSED, 0);
    } else if (n != -EAGAIN) {
        end(ls, l, REASON_SOCKET, (int)-n);
    }
}

/*
 * A socket that is closed with unread bytes resets the connection, and a reset takes from the peer
 * what it has not read yet: so throw those bytes away until the peer closes, or patience ends.
 */
static void linger(struct links *ls, struct link *l)
{
    ssize_t n = tcp_discard(&l->tcp);
    if (n == 0 || (n < 0 && n != -EAGAIN)) {
        close_link(ls, l);
    }
}

void link_ready(struct links *ls, struct watch *w, unsigned events)
{
    struct link *l = CONTAINER_OF(w, struct link, watch);
    if (l->state == LINK_LINGERING) {
        linger(ls, l);
        return;
    }
    if (l->state == LINK_GREETING) {
        greet(ls, l);
        return;
    }
    if (events & POLL_OUT) {
        l->blocked = false;
        ls->writable[ls->writable_count++] = l;
    }
    if (events & POLL_IN) {
        read_once(ls, l);
    } else if (events & POLL_ERROR) {
        /* We are not reading now, or reading would have told. Left alone it would be reported for
         * ever. */
        end(ls, l, REASON_SOCKET, tcp_error(&l->tcp));
    }
}

static void watch_for(struct links *ls, struct link *l, unsigned interest)
{
    unsigned wants = transport_wants(l->io);
    interest |= l->blocked ? POLL_OUT : 0U;
    interest |= wants & TRANSPORT_WANTS_READ ? POLL_IN : 0U;
    interest |= wants & TRANSPORT_WANTS_WRITE ? POLL_OUT : 0U;
    if (poll_change(ls->poll, &l->watch, interest) != ERR_OK) {
        end(ls, l, REASON_SOCKET, errno);
    }
}

/* One write at most. False: the link has ended. */
static bool write_once(struct links *ls, struct link *l)
{
    struct iovec iov[IOVECS];
    int count = broker_output(ls->broker, l->conn, iov, IOVECS);
    if (count == 0) {
        return true;
    }
    size_t offered = 0;
    for (int i = 0; i < count; i++) {
        offered += iov[i].iov_len;
    }
    ls->spent += COST_WRITE;
    ssize_t n = transport_writev(l->io, iov, count);
    if (n < 0 && n != -EAGAIN) {
        end(ls, l, REASON_SOCKET, (int)-n);
        return false;
    }
    size_t written = n > 0 ? (size_t)n : 0;
    if (written > 0) {
        broker_sent(ls->broker, l->conn, written);
    }
    /* All slots full: there is probably more, and it is somebody else's turn now. */
    l->blocked = written < offered || count == IOVECS;
    return true;
}

static void finish(struct links *ls, struct link *l)
{
    let_go(ls, l, REASON_OK, 0);
    transport_finish(l->io);
    l->blocked = false;
    wait_for(ls, l, LINK_LINGERING, LINGER_MS);
    linger(ls, l);
    if (l->state == LINK_LINGERING && poll_change(ls->poll, &l->watch, POLL_IN) != ERR_OK) {
        close_link(ls, l);
    }
    if (ls->lingering > LINGERING_MAX) {
        close_link(ls, TAILQ_FIRST(&ls->list[LINK_LINGERING]));
    }
}

static void flush_and_close(struct links *ls, struct link *l)
{
    struct iovec one;
    if (broker_output(ls->broker, l->conn, &one, 1) == 0) {
        finish(ls, l);
        return;
    }
    if (l->state == LINK_LIVE) {
        wait_for(ls, l, LINK_FLUSHING, FLUSH_MS);
    }
    /* Not blocked: the first write left something for the next one. */
    l->blocked = true;
    watch_for(ls, l, POLL_NOTHING);
}

static void flush_link(struct links *ls, struct link *l)
{
    /* Asked before writing: should that change it, the core gives the connection out once more. */
    enum wish wish = broker_wish(ls->broker, l->conn);
    if (wish != WISH_CLOSE && !l->blocked && !write_once(ls, l)) {
        return;
    }
    switch (wish) {
    case WISH_READ:
        watch_for(ls, l, POLL_IN);
        break;
    case WISH_PAUSE:
        watch_for(ls, l, POLL_NOTHING);
        break;
    case WISH_FLUSH_CLOSE:
        flush_and_close(ls, l);
        break;
    case WISH_CLOSE:
        end(ls, l, REASON_OK, 0);
        break;
    }
}

void links_flush(struct links *ls)
{
    ls->again = false;
    ls->spent = 0;
    /* The core does not know that these wait for us: what they have may be old, and then they are
     * not dirty. */
    for (int i = 0; i < ls->writable_count; i++) {
        struct link *l = ls->writable[i];
        if (has_conn(l)) {
            flush_link(ls, l);
        }
    }
    ls->writable_count = 0;
    struct conn *c = NULL;
    while (ls->spent < FLUSH_MAX && (c = broker_take_dirty(ls->broker)) != NULL) {
        flush_link(ls, conn_link(c));
    }
    ls->again = ls->again || c;
}

/* The clock's low bits wrap after 49 days; patience is short, so the difference does not. */
static bool is_over(const struct link *l, uint64_t now_ms)
{
    return (int32_t)((uint32_t)now_ms - l->deadline_ms) >= 0;
}

void links_expire(struct links *ls)
{
    struct link *l;
    while ((l = TAILQ_FIRST(&ls->list[LINK_GREETING])) != NULL && is_over(l, ls->now_ms)) {
        refuse_greeting(ls, l, "no PROXY header in time", "enable_proxy_protocol");
    }
    while ((l = TAILQ_FIRST(&ls->list[LINK_FLUSHING])) != NULL && is_over(l, ls->now_ms)) {
        end(ls, l, REASON_OK, 0);
    }
    while ((l = TAILQ_FIRST(&ls->list[LINK_LINGERING])) != NULL && is_over(l, ls->now_ms)) {
        end(ls, l, REASON_OK, 0);
    }
}

static uint64_t first_deadline(const struct links *ls, enum link_state state)
{
    const struct link *l = TAILQ_FIRST(&ls->list[state]);
    if (!l) {
        return UINT64_MAX;
    }
    int32_t left = (int32_t)(l->deadline_ms - (uint32_t)ls->now_ms);
    return ls->now_ms + (left > 0 ? (uint64_t)left : 0);
}

uint64_t links_deadline(const struct links *ls)
{
    static const enum link_state waiting[] = {LINK_GREETING, LINK_FLUSHING, LINK_LINGERING};
    uint64_t first = UINT64_MAX;
    for (size_t i = 0; i < ARRAY_SIZE(waiting); i++) {
        first = earlier(first, first_deadline(ls, waiting[i]));
    }
    return first;
}

void links_bury(struct links *ls)
{
    struct link *l = TAILQ_FIRST(&ls->list[LINK_DEAD]);
    if (LIKELY(!l)) {
        return;
    }
    poll_drop_closed(ls->poll);
    do {
        TAILQ_REMOVE(&ls->list[LINK_DEAD], l, entry);
        slab_free(&ls->slab, l);
        l = TAILQ_FIRST(&ls->list[LINK_DEAD]);
    } while (l);
}

bool links_busy(const struct links *ls)
{
    return !TAILQ_EMPTY(&ls->list[LINK_LIVE]) || !TAILQ_EMPTY(&ls->list[LINK_FLUSHING]);
}
