/*
 * From one state of a link to another.
 */
#include "server/link_state.h"

#include <errno.h>
#include <string.h>

/* What it costs a turn to close one, in writes: see LINKS_TURN. */
#define COST_CLOSE 4
#define COST_CLOSE_TLS 8
/* How long we wait for a peer to close. */
#define LINGER_MS 2000
/* So many at most: they count for no limit, so whoever is refused again and again must not take all
 * descriptors this way. */
#define LINGERING_MAX 256

_Static_assert(sizeof(void *) != 8 || sizeof(struct link) == 64, "a link is small");

static void move_to(struct links *ls, struct link *l, enum link_state state)
{
    TAILQ_REMOVE(&ls->list[l->state], l, entry);
    ls->lingering -= l->state == LINK_LINGERING;
    ls->lingering += state == LINK_LINGERING;
    l->state = (uint8_t)state;
    TAILQ_INSERT_TAIL(&ls->list[state], l, entry);
}

struct link *link_new(struct links *ls, int fd, uint16_t group, enum link_state state)
{
    struct tcp tcp;
    tcp_init(&tcp, fd);
    struct link *l = slab_alloc(&ls->slab);
    if (!l) {
        transport_close(&tcp.base);
        errno = ENOMEM;
        return NULL;
    }
    *l = (struct link){.tcp = tcp, .group = group, .state = (uint8_t)state};
    l->io = &l->tcp.base;
    l->watch = (struct watch){.fd = fd, .kind = ls->watch_kind};
    TAILQ_INSERT_TAIL(&ls->list[state], l, entry);
    return l;
}

struct link *link_dial(struct links *ls, int fd, struct dial *dial)
{
    struct link *l = link_new(ls, fd, LINK_NO_GROUP, LINK_DIALLING);
    if (l && poll_add(ls->poll, &l->watch, POLL_OUT) != ERR_OK) {
        int error = errno;
        link_close(ls, l);
        errno = error;
        return NULL;
    }
    if (l) {
        l->dial = dial;
    }
    return l;
}

void link_close(struct links *ls, struct link *l)
{
    ls->encrypted -= link_is_encrypted(l);
    ls->spent += link_is_encrypted(l) ? COST_CLOSE_TLS : COST_CLOSE;
    transport_close(l->io);
    l->watch.fd = -1;
    move_to(ls, l, LINK_DEAD);
}

void link_let_go(struct links *ls, struct link *l, enum reason why, const char *detail)
{
    broker_closed(ls->broker, l->conn, why, detail);
    l->conn = NULL;
    if (l->group != LINK_NO_GROUP) {
        door_leave(ls->door, l->group);
    }
    /* It leaves behind a will or a session, and in this turn the core's round of work may be over.
     */
    ls->again = true;
}

void link_end(struct links *ls, struct link *l, enum reason why, const char *detail)
{
    if (link_has_conn(l)) {
        link_let_go(ls, l, why, detail);
    }
    link_close(ls, l);
}

void link_await(struct links *ls, struct link *l, enum link_state state, uint32_t patience_ms)
{
    l->deadline_ms = (uint32_t)ls->now_ms + patience_ms;
    move_to(ls, l, state);
}

static bool become_live(struct links *ls, struct link *l, struct conn *c)
{
    if (!c) {
        return false;
    }
    l->conn = c;
    move_to(ls, l, LINK_LIVE);
    return true;
}

bool link_introduce(struct links *ls, struct link *l, const struct peer *peer)
{
    return become_live(ls, l, broker_open(ls->broker, peer, l));
}

bool link_hand_over(struct links *ls, struct link *l, uint64_t ticket, const struct peer *peer)
{
    return become_live(ls, l, broker_dialed(ls->broker, ticket, peer, l));
}

unsigned link_wanted(const struct link *l)
{
    return transport_wants(l->io) & TRANSPORT_WANTS_WRITE ? POLL_OUT : POLL_IN;
}

bool link_has_to_speak(const struct link *l)
{
    return link_is_encrypted(l) && (!l->blocked || l->vain >= LINK_VAIN_MAX) &&
           transport_wants(l->io) & TRANSPORT_WANTS_WRITE;
}

void link_watch(struct links *ls, struct link *l, unsigned interest)
{
    interest |= l->blocked ? POLL_OUT : 0U;
    if (UNLIKELY(link_has_to_speak(l))) {
        interest = POLL_OUT;
    }
    if (poll_change(ls->poll, &l->watch, interest) != ERR_OK) {
        link_end(ls, l, REASON_SOCKET, strerror(errno));
    }
}

void link_keep_input(struct links *ls, struct link *l)
{
    if (l->state != LINK_LIVE && l->state != LINK_HOLDING) {
        return;
    }
    bool holds = transport_has_input(l->io) && !link_has_to_speak(l) &&
                 broker_wish(ls->broker, l->conn) == WISH_READ;
    if (holds || l->state == LINK_HOLDING) {
        move_to(ls, l, holds ? LINK_HOLDING : LINK_LIVE); /* behind all others */
    }
}

void link_linger(struct links *ls, struct link *l)
{
    ssize_t n = tcp_discard(&l->tcp);
    if (n == 0 || (n < 0 && n != -EAGAIN)) {
        link_close(ls, l);
    }
}

void link_part(struct links *ls, struct link *l)
{
    transport_finish(&l->tcp.base);
    l->blocked = false;
    link_await(ls, l, LINK_LINGERING, LINGER_MS);
    link_linger(ls, l);
    if (l->state == LINK_LINGERING && poll_change(ls->poll, &l->watch, POLL_IN) != ERR_OK) {
        link_close(ls, l);
    }
    if (ls->lingering > LINGERING_MAX) {
        link_close(ls, TAILQ_FIRST(&ls->list[LINK_LINGERING]));
    }
}
