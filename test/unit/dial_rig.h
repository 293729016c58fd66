/*
 * Dials on real sockets, with the real core. Time is the test's own.
 */
#ifndef UNIT_DIAL_RIG_H
#define UNIT_DIAL_RIG_H

#include "conf_helper.h"
#include "server/dial.h"
#include "server/link.h"
#include "unit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { WATCH_LINK, WATCH_NAMES };

struct rig {
    struct conf *conf;
    struct broker *broker;
    struct poll poll;
    struct door door;
    struct links links;
    struct bridge_keys keys;
    struct dials *dials;
    uint64_t now_ms;
};

static inline void make_id(void *ctx, char out[BROKER_ID_MAX])
{
    (void)ctx;
    memcpy(out, "made", 5);
}

static const struct bridge_keys_how how = {.log = &captured_log};

static inline void rig_init_with(struct rig *r, const char *text, const char *hosts)
{
    memset(r, 0, sizeof(*r));
    r->now_ms = 1000;
    r->conf = loaded(text);
    struct broker_setup setup = {
        .conf = r->conf, .log = captured_log, .seed = 1, .make_id = make_id};
    r->broker = broker_new(&setup);
    assert_non_null(r->broker);
    assert_ok(poll_init(&r->poll));
    door_init(&r->door, &captured_log);
    links_init(&r->links, &r->poll, &r->door, r->broker, WATCH_LINK);
    assert_ok(bridge_keys_make(r->conf, &how, &r->keys));
    const struct dials_setup s = {.links = &r->links,
                                  .broker = r->broker,
                                  .keys = &r->keys,
                                  .log = &captured_log,
                                  .watch_kind = WATCH_NAMES,
                                  .hosts = hosts};
    assert_ok(dials_new(&s, &r->dials));
}

static inline void rig_init(struct rig *r, const char *text)
{
    rig_init_with(r, text, NULL);
}

static inline void rig_clear(struct rig *r)
{
    broker_free(r->broker);
    dials_free(r->dials);
    bridge_keys_clear(&r->keys);
    links_clear(&r->links);
    door_clear(&r->door);
    poll_clear(&r->poll);
    conf_free(r->conf);
}

/* What the loop does with links and dials; waits a moment for what comes over the loopback. */
static inline void turn(struct rig *r)
{
    uint64_t due = dials_deadline(r->dials);
    poll_wait(&r->poll, due <= r->now_ms || links_hurry(&r->links) ? 0 : 5);
    r->now_ms++;
    r->links.now_ms = r->now_ms;
    broker_tick(r->broker, (struct now){.mono_ms = r->now_ms, .wall_s = 1});
    struct watch *w;
    unsigned events;
    links_read_held(&r->links);
    while ((w = poll_next(&r->poll, &events)) != NULL) {
        if (w->kind == WATCH_NAMES)
            dials_ready(r->dials, w, events);
        else
            link_ready(&r->links, w, events);
    }
    (void)broker_work(r->broker);
    dials_turn(r->dials);
    links_flush(&r->links);
    links_expire(&r->links);
    (void)links_bury(&r->links);
}

static inline void turns(struct rig *r, int n)
{
    while (n-- > 0)
        turn(r);
}

static inline unsigned count_links(const struct rig *r, enum link_state state)
{
    unsigned n = 0;
    const struct link *l;
    TAILQ_FOREACH(l, &r->links.list[state], entry)
    {
        n++;
    }
    return n;
}

/* Turns until so many links are in this state. */
static inline void await_links(struct rig *r, enum link_state state, unsigned n)
{
    for (int i = 0; i < 1000 && count_links(r, state) != n; i++)
        turn(r);
    assert_int_equal(count_links(r, state), n);
}

static inline void await_log(struct rig *r, const char *text)
{
    for (int i = 0; i < 1000 && !strstr(captured.text, text); i++)
        turn(r);
    assert_logged(text);
}

/* --- the other side --- */

static inline int bound(uint16_t *port)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof(in);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (const struct sockaddr *)&in, n), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&in, &n), 0);
    *port = ntohs(in.sin_port);
    return fd;
}

static inline int listening(uint16_t *port)
{
    int fd = bound(port);
    assert_int_equal(listen(fd, 16), 0);
    return fd;
}

/* Listens, but answers nobody any more: its queue is full. */
static inline int deaf(uint16_t *port, int stuffing[4])
{
    int fd = bound(port);
    struct sockaddr_in in = {
        .sin_family = AF_INET, .sin_port = htons(*port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    assert_int_equal(listen(fd, 0), 0);
    for (int i = 0; i < 4; i++) {
        stuffing[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        assert_true(stuffing[i] >= 0);
        (void)!connect(stuffing[i], (const struct sockaddr *)&in, sizeof(in));
    }
    return fd;
}

static inline void close_all(const int *fd, int n)
{
    for (int i = 0; i < n; i++)
        (void)close(fd[i]);
}

static inline int accepted(int listener)
{
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    assert_true(fd >= 0);
    return fd;
}

/* The first byte that comes. */
static inline uint8_t hear_first(struct rig *r, int fd)
{
    uint8_t got[512];
    for (int i = 0; i < 1000; i++) {
        ssize_t n = recv(fd, got, sizeof(got), 0);
        if (n > 0)
            return got[0];
        assert_true(n < 0 && errno == EAGAIN);
        turn(r);
    }
    fail_msg("nothing came");
    return 0;
}

static inline void expect_end(struct rig *r, int fd)
{
    uint8_t got[512];
    ssize_t n = -1;
    for (int i = 0; i < 1000 && n < 0; i++) {
        turn(r);
        n = recv(fd, got, sizeof(got), 0);
        if (n > 0)
            n = -1; /* last words */
        else if (n < 0 && errno != EAGAIN)
            return;
    }
    assert_int_equal(n, 0);
}

#define CONF_MAX 1024

/* A configuration with a bridge to these ports, of which 0 is none. */
static inline const char *bridge_to(char out[CONF_MAX], uint16_t one, uint16_t two,
                                    const char *more)
{
    char second[40] = "";
    if (two)
        (void)snprintf(second, sizeof(second), " 127.0.0.1:%u", two);
    (void)snprintf(
        out, CONF_MAX,
        "listener 1883 127.0.0.1\nconnection up\naddresses 127.0.0.1:%u%s\n%s\ntopic # out\n", one,
        second, more);
    return out;
}

#endif
