/*
 * Links: reading, writing and ending connections.
 *
 * EPOLLOUT is armed only after the socket took less than it was given, so a connection whose peer
 * keeps up never costs an epoll_ctl().
 */
#include "server/link.h"

#include "server/dial.h"
#include "server/greeting.h"

#include <errno.h>
#include <string.h>
#include <time.h>

/* Pieces of one write: at a page each that is 256 KiB, about what a socket takes at once. */
#define IOVECS 64
/* In what is counted of a turn: see LINKS_TURN. */
#define COST_WRITE 1
/* Encrypting so many bytes takes about as long as such a write. */
#define BYTES_ENCRYPTED 4096
/* How long a connection that the core gave up may take to accept the bytes that are left. */
#define FLUSH_MS 5000

static uint64_t thread_cpu_ns(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

void links_init(struct links *ls, struct poll *poll, struct door *door, struct broker *broker,
                uint8_t watch_kind)
{
    *ls = (struct links){.poll = poll, .door = door, .broker = broker, .watch_kind = watch_kind};
    ls->cpu_ns = thread_cpu_ns;
    TAILQ_INIT(&ls->handshakes);
    slab_init(&ls->slab, sizeof(struct link));
    for (int i = 0; i < LINK_STATES; i++) {
        TAILQ_INIT(&ls->list[i]);
    }
}

/* Its transport has failed by this errno, of which TLS knows more. */
static void break_off(struct links *ls, struct link *l, int error)
{
    link_end(ls, l, REASON_SOCKET, link_is_encrypted(l) ? tls_why(l->io) : strerror(error));
}

void links_clear(struct links *ls)
{
    for (int i = 0; i < LINK_STATES; i++) {
        while (!TAILQ_EMPTY(&ls->list[i])) {
            struct link *l = TAILQ_FIRST(&ls->list[i]);
            if (l->state == LINK_GREETING) {
                greeting_free(ls, l->greeting);
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

void link_open(struct links *ls, int fd, const struct peer *peer, uint16_t group)
{
    struct link *l = link_new(ls, fd, group, LINK_LIVE);
    if (!l) {
        return;
    }
    l->watch.newcomer = true;
    const struct conf_listener *rules = door_group(ls->door, group)->rules;
    bool greets = rules->proxy != CONF_PROXY_OFF || conf_listener_has_tls(rules);
    if (transport_step(l->io) == ERR_OK && poll_add(ls->poll, &l->watch, POLL_IN) == ERR_OK &&
        (greets ? greeting_begin(ls, l, peer) : link_introduce(ls, l, peer))) {
        door_enter(ls->door, group);
        return;
    }
    link_close(ls, l);
}

static void read_once(struct links *ls, struct link *l)
{
    struct span room = broker_room(ls->broker, l->conn);
    if (room.n == 0) {
        return;
    }
    ssize_t n = transport_read(l->io, room.p, room.n);
    if (LIKELY(n > 0)) {
        l->vain = 0;
        broker_input(ls->broker, l->conn, (size_t)n);
    } else if (n == 0) {
        link_end(ls, l, REASON_PEER_CLOSED, NULL);
    } else if (n != -EAGAIN) {
        break_off(ls, l, (int)-n);
    } else if (l->vain < LINK_VAIN_MAX) {
        l->vain++;
    }
}

static void read_link(struct links *ls, struct link *l)
{
    read_once(ls, l);
    if (!link_is_encrypted(l) || !link_has_conn(l)) {
        return;
    }
    if (link_has_to_speak(l)) {
        link_watch(ls, l, POLL_NOTHING);
    }
    link_keep_input(ls, l);
}

void links_read_held(struct links *ls)
{
    const struct link *last = TAILQ_LAST(&ls->list[LINK_HOLDING], link_list);
    const struct link *l = NULL;
    while (l != last && !broker_is_spent(ls->broker)) {
        struct link *next = TAILQ_FIRST(&ls->list[LINK_HOLDING]);
        l = next;
        read_link(ls, next);
    }
}

/* --- parting --- */

/* The socket takes bytes again. False: the link has ended. */
static bool make_room(struct links *ls, struct link *l)
{
    if (link_has_to_speak(l)) {
        enum err e = transport_step(l->io);
        if (e != ERR_OK && e != ERR_AGAIN) {
            break_off(ls, l, errno);
            return false;
        }
    }
    l->blocked = false;
    l->vain = 0;
    ls->writable[ls->writable_count++] = l;
    return true;
}

/* --- events --- */

void link_ready(struct links *ls, struct watch *w, unsigned events)
{
    struct link *l = CONTAINER_OF(w, struct link, watch);
    if (l->state == LINK_LINGERING) {
        link_linger(ls, l);
        return;
    }
    if (l->state == LINK_GREETING) {
        greeting_ready(ls, l);
        return;
    }
    if (l->state == LINK_DIALLING) {
        dial_ready(l->dial);
        return;
    }
    if (events & POLL_OUT && !make_room(ls, l)) {
        return;
    }
    if (events & POLL_IN) {
        /* What is held comes first, and it comes with the next turn. */
        if (l->state != LINK_HOLDING) {
            read_link(ls, l);
        }
    } else if (events & POLL_ERROR) {
        /* We are not reading now, or reading would have told. Left alone it would be reported for
         * ever. */
        int error = tcp_error(&l->tcp);
        link_end(ls, l, REASON_SOCKET, error ? strerror(error) : NULL);
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
    if (link_is_encrypted(l)) {
        ls->spent += n > 0 ? (uint32_t)((size_t)n / BYTES_ENCRYPTED) : 0;
    }
    if (n < 0 && n != -EAGAIN) {
        break_off(ls, l, (int)-n);
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
    link_let_go(ls, l, REASON_OK, NULL);
    transport_finish(l->io);
    link_part(ls, l);
}

static void flush_and_close(struct links *ls, struct link *l)
{
    struct iovec one;
    if (broker_output(ls->broker, l->conn, &one, 1) == 0) {
        finish(ls, l);
        return;
    }
    if (l->state != LINK_FLUSHING) {
        link_await(ls, l, LINK_FLUSHING, FLUSH_MS);
    }
    /* Not blocked: the first write left something for the next one. */
    l->blocked = true;
    link_watch(ls, l, POLL_NOTHING);
}

/* It may have been paused, with input that has left the socket. */
static void resume(struct links *ls, struct link *l)
{
    if (link_is_encrypted(l) && l->state == LINK_LIVE) {
        link_keep_input(ls, l);
    }
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
        link_watch(ls, l, POLL_IN);
        resume(ls, l);
        break;
    case WISH_PAUSE:
        link_watch(ls, l, POLL_NOTHING);
        break;
    case WISH_FLUSH_CLOSE:
        flush_and_close(ls, l);
        break;
    case WISH_CLOSE:
        link_end(ls, l, REASON_OK, NULL);
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
        if (link_has_conn(l)) {
            flush_link(ls, l);
        }
    }
    ls->writable_count = 0;
    struct conn *c = NULL;
    while (ls->spent < LINKS_TURN && (c = broker_take_dirty(ls->broker)) != NULL) {
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
        greeting_expire(ls, l);
    }
    while ((l = TAILQ_FIRST(&ls->list[LINK_FLUSHING])) != NULL && is_over(l, ls->now_ms)) {
        link_end(ls, l, REASON_OK, NULL);
    }
    while ((l = TAILQ_FIRST(&ls->list[LINK_LINGERING])) != NULL && is_over(l, ls->now_ms)) {
        link_end(ls, l, REASON_OK, NULL);
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

bool links_bury(struct links *ls)
{
    struct link *l = TAILQ_FIRST(&ls->list[LINK_DEAD]);
    if (LIKELY(!l)) {
        return false;
    }
    poll_drop_closed(ls->poll);
    do {
        TAILQ_REMOVE(&ls->list[LINK_DEAD], l, entry);
        slab_free(&ls->slab, l);
        l = TAILQ_FIRST(&ls->list[LINK_DEAD]);
    } while (l);
    return true;
}

/* What OpenSSL has taken for a connection in the middle of its handshake; later it is less. */
#define TLS_BYTES 40000

size_t links_uncounted(const struct links *ls)
{
    return ls->encrypted * (size_t)TLS_BYTES;
}

bool links_busy(const struct links *ls)
{
    return !TAILQ_EMPTY(&ls->list[LINK_LIVE]) || !TAILQ_EMPTY(&ls->list[LINK_HOLDING]) ||
           !TAILQ_EMPTY(&ls->list[LINK_FLUSHING]);
}

bool links_are_spent(const struct links *ls)
{
    return ls->spent >= LINKS_TURN;
}

bool links_hurry(const struct links *ls)
{
    return ls->again || !TAILQ_EMPTY(&ls->handshakes) || !TAILQ_EMPTY(&ls->list[LINK_HOLDING]);
}
