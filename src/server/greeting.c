/*
 * In front of MQTT: the PROXY header, then the TLS handshake.
 *
 * A step of a handshake may take a millisecond and more of CPU, so steps are not taken where they
 * are reported but queue up, and each turn takes some. Whoever waits there is not watched: what it
 * sends meanwhile would be reported turn after turn.
 */
#include "server/greeting.h"

#include "auth/realm.h"
#include "base/mem.h"
#include "server/proxy.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* What handshakes may take of one turn, passed by what the last of them takes: some 2 ms. */
#define HANDSHAKE_NS 3000000
/* Why somebody is refused, as text. */
#define WHY_MAX 400
#define TLS_HANDSHAKE_RECORD 0x16

static void leave_queue(struct links *ls, struct greeting *g)
{
    if (g->queued) {
        TAILQ_REMOVE(&ls->handshakes, g, entry);
        g->queued = false;
    }
}

void greeting_free(struct links *ls, struct greeting *g)
{
    leave_queue(ls, g);
    buf_clear(&g->header);
    mem_free(g, sizeof(*g));
}

bool greeting_begin(struct links *ls, struct link *l, const struct peer *peer)
{
    struct greeting *g = mem_alloc(sizeof(*g));
    if (!g) {
        return false;
    }
    bool proxied = door_group(ls->door, l->group)->rules->proxy != CONF_PROXY_OFF;
    *g = (struct greeting){.link = l, .links = ls, .peer = *peer};
    g->stage = proxied ? GREETING_PROXY : GREETING_FIRST_BYTE;
    l->greeting = g;
    link_await(ls, l, LINK_GREETING, BROKER_CONNECT_MS);
    return true;
}

/* Who it is, as far as the socket tells. The rules may be others than when it was accepted. */
static struct peer greeter(const struct links *ls, const struct link *l)
{
    struct peer peer = l->greeting->peer;
    peer.listener = door_group(ls->door, l->group)->rules;
    return peer;
}

static void end_greeting(struct links *ls, struct link *l)
{
    greeting_free(ls, l->greeting);
    l->conn = NULL;
    link_close(ls, l);
    door_leave(ls->door, l->group);
}

static void tell_refusal(struct links *ls, const struct link *l, const char *reason,
                         const char *rule)
{
    struct peer peer = greeter(ls, l);
    char place[DOOR_PLACE_MAX];
    char what[DOOR_PLACE_MAX + WHY_MAX + 64];
    (void)snprintf(what, sizeof(what), ": %s (%s on %s)", reason, rule,
                   door_place(peer.listener, place));
    struct refusal why = {.what = what, .reason = reason, .rule = rule, .personal = true};
    door_refuse(ls->door, &peer, ls->now_ms, &why);
}

static void refuse_greeting(struct links *ls, struct link *l, const char *reason, const char *rule)
{
    tell_refusal(ls, l, reason, rule);
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

/* Nothing is in front of MQTT any more. */
static bool introduce(struct links *ls, struct link *l)
{
    struct greeting *g = l->greeting;
    struct peer peer = greeter(ls, l);
    if (ls->door->closed || !link_introduce(ls, l, &peer)) {
        l->greeting = g;
        end_greeting(ls, l);
        return false;
    }
    greeting_free(ls, g);
    return true;
}

/* The header is there: from here on the peer is whom it names. */
static void greeted(struct links *ls, struct link *l, const struct proxy_header *h)
{
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
    if (ls->door->closed || !door_passes_wrap(ls->door, &peer, ls->now_ms)) {
        end_greeting(ls, l);
        return;
    }
    l->greeting->peer = peer;
    if (conf_listener_has_tls(peer.listener)) {
        l->greeting->stage = GREETING_FIRST_BYTE;
    } else {
        (void)introduce(ls, l);
    }
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

static void await_header(struct links *ls, struct link *l)
{
    uint8_t seen[PROXY_MAX];
    ssize_t n = tcp_peek(&l->tcp, seen, sizeof(seen) - l->greeting->header.len);
    if (n > 0) {
        take_header(ls, l, seen, (size_t)n);
    } else if (n != -EAGAIN) {
        refuse_greeting(ls, l, "it ended before its PROXY header did", "enable_proxy_protocol");
    }
}

/* --- TLS --- */

size_t greeting_find_psk(void *greeting, struct str identity, uint8_t key[TLS_PSK_MAX])
{
    const struct greeting *g = greeting;
    const struct realm *realm = door_group(g->links->door, g->link->group)->rules->realm;
    struct str found = {0};
    if (realm && realm->psk) {
        found = pskfile_find(realm->psk, identity);
    }
    if (!found.p || found.n > TLS_PSK_MAX) {
        return 0;
    }
    memcpy(key, found.p, found.n);
    return found.n;
}

static const char *tls_rule(const struct links *ls, const struct link *l)
{
    return door_group(ls->door, l->group)->rules->psk_hint ? "psk_hint" : "certfile";
}

/*
 * A handshake failed, and perhaps the peer has been sent an alert that says why: so that it
 * arrives, the socket is not closed at once.
 */
static void refuse_handshake(struct links *ls, struct link *l, const char *reason, const char *rule)
{
    tell_refusal(ls, l, reason, rule);
    greeting_free(ls, l->greeting);
    l->conn = NULL;
    door_leave(ls->door, l->group);
    link_part(ls, l);
}

/* What somebody speaks whose first byte is not that of a TLS handshake. */
static const char *misplaced(uint8_t first)
{
    if (first == 0x10) {
        return "it appears to be using plain MQTT to connect to a TLS listener";
    }
    if (first >= 'A' && first <= 'Z') {
        return "it appears to be using plain HTTP to connect to a TLS listener";
    }
    return "what it sends is not TLS";
}

static void queue_handshake(struct links *ls, struct link *l)
{
    /* Until its turn comes, there is nothing more to learn. */
    if (poll_change(ls->poll, &l->watch, POLL_NOTHING) != ERR_OK) {
        end_greeting(ls, l);
        return;
    }
    l->greeting->stage = GREETING_HANDSHAKE;
    l->greeting->queued = true;
    TAILQ_INSERT_TAIL(&ls->handshakes, l->greeting, entry);
}

static void await_first_byte(struct links *ls, struct link *l)
{
    uint8_t first;
    if (!conf_listener_has_tls(door_group(ls->door, l->group)->rules)) {
        (void)introduce(ls, l); /* a reload has made the listener a plain one meanwhile */
        return;
    }
    ssize_t n = tcp_peek(&l->tcp, &first, 1);
    if (n == -EAGAIN) {
        return;
    }
    if (n <= 0) {
        refuse_greeting(ls, l, "it ended before its TLS handshake began", tls_rule(ls, l));
    } else if (first != TLS_HANDSHAKE_RECORD) {
        refuse_greeting(ls, l, misplaced(first), tls_rule(ls, l));
    } else {
        queue_handshake(ls, l);
    }
}

static void log_negotiated(const struct links *ls, const struct link *l)
{
    if (log_wants(ls->door->log, LOG_LEVEL_DEBUG)) {
        char address[PEER_TEXT_MAX];
        char text[TLS_TEXT_MAX];
        struct peer peer = greeter(ls, l);
        log_debug(ls->door->log, "Client %s:%u negotiated %s.", peer_address(&peer, address),
                  peer.port, tls_text(l->io, text));
    }
}

/* The name that the client has proven, if it is to be its user name; n == 0: there is none. */
static enum err proven_name(const struct conf_listener *rules, const struct link *l,
                            char out[TLS_NAME_MAX], size_t *n)
{
    *n = 0;
    if (!rules->use_identity_as_username && !rules->use_subject_as_username) {
        return ERR_OK;
    }
    enum tls_name which = rules->use_identity_as_username ? TLS_IDENTITY : TLS_SUBJECT;
    enum err e = tls_name(l->io, which, out, n);
    /* Who has none is refused when it asks for something: with an answer. */
    return e == ERR_NOT_FOUND ? ERR_OK : e;
}

static void refuse_name(struct links *ls, struct link *l, enum err e)
{
    bool identity = door_group(ls->door, l->group)->rules->use_identity_as_username;
    const char *rule = identity ? "use_identity_as_username" : "use_subject_as_username";
    const char *reason = "no memory for the name that it has proven";
    if (e == ERR_UTF8) {
        reason = "the name that it has proven is not UTF-8, or has control characters in it";
    } else if (e == ERR_TOO_LARGE) {
        reason = "the name that it has proven is too long";
    }
    refuse_handshake(ls, l, reason, rule);
}

static void shaken(struct links *ls, struct link *l)
{
    const struct conf_listener *rules = door_group(ls->door, l->group)->rules;
    char name[TLS_NAME_MAX];
    size_t n = 0;
    enum err e = proven_name(rules, l, name, &n);
    if (e != ERR_OK) {
        refuse_name(ls, l, e);
        return;
    }
    log_negotiated(ls, l);
    if (!introduce(ls, l)) {
        return;
    }
    if (n > 0) {
        e = broker_name(ls->broker, l->conn, str_of(name, n));
    }
    if (e != ERR_OK) {
        link_end(ls, l, e == ERR_NOMEM ? REASON_NOMEM : REASON_PROVEN_NAME, NULL);
        return;
    }
    link_watch(ls, l, POLL_IN);
    link_keep_input(ls, l);
}

/* One step. */
static void shake(struct links *ls, struct link *l)
{
    struct tls_ctx *ctx = door_group(ls->door, l->group)->tls;
    if (!link_is_encrypted(l)) {
        struct transport *tls = ctx ? tls_accept(ctx, &l->tcp.base, l->greeting) : NULL;
        if (!tls) {
            refuse_greeting(ls, l, ctx ? "no memory for TLS" : "TLS is not spoken here any more",
                            tls_rule(ls, l));
            return;
        }
        l->io = tls;
        ls->encrypted++;
    }
    enum err e = transport_step(l->io);
    if (e == ERR_OK) {
        shaken(ls, l);
    } else if (e != ERR_AGAIN) {
        char reason[WHY_MAX];
        (void)snprintf(reason, sizeof(reason), "TLS handshake failed: %s", tls_why(l->io));
        refuse_handshake(ls, l, reason, tls_rule(ls, l));
    } else if (poll_change(ls->poll, &l->watch, link_wanted(l)) != ERR_OK) {
        end_greeting(ls, l);
    }
}

void links_shake_hands(struct links *ls)
{
    if (LIKELY(TAILQ_EMPTY(&ls->handshakes))) {
        return;
    }
    uint64_t begin_ns = ls->cpu_ns();
    do {
        struct greeting *g = TAILQ_FIRST(&ls->handshakes);
        TAILQ_REMOVE(&ls->handshakes, g, entry);
        g->queued = false;
        shake(ls, g->link);
    } while (!TAILQ_EMPTY(&ls->handshakes) && !broker_is_spent(ls->broker) &&
             ls->cpu_ns() - begin_ns < HANDSHAKE_NS);
}

void greeting_ready(struct links *ls, struct link *l)
{
    switch ((enum greeting_stage)l->greeting->stage) {
    case GREETING_PROXY:
        await_header(ls, l);
        break;
    case GREETING_FIRST_BYTE:
        await_first_byte(ls, l);
        break;
    case GREETING_HANDSHAKE:
        if (!l->greeting->queued) {
            queue_handshake(ls, l);
        }
        break;
    }
}

void greeting_expire(struct links *ls, struct link *l)
{
    switch ((enum greeting_stage)l->greeting->stage) {
    case GREETING_PROXY:
        refuse_greeting(ls, l, "no PROXY header in time", "enable_proxy_protocol");
        break;
    case GREETING_FIRST_BYTE:
    case GREETING_HANDSHAKE:
        refuse_greeting(ls, l, "no TLS handshake in time", tls_rule(ls, l));
        break;
    }
}
