/*
 * The scenario `storm`: everybody connects at once.
 *
 * Part "connect" ends with the last CONNACK; the latencies are those of each client, from its first
 * SYN to its CONNACK. Part "leave": all say DISCONNECT at once, and it ends when the broker has
 * closed the last of the connections; the memory after it is what the broker did not give back.
 */
#include "bench/storm.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench/stage.h"

enum {
    BEGUN_IN_A_TURN = 100,
    EVENTS = 512,
    ID_ROOM = 24,
    ANSWER_ROOM = 16,
    WAIT_MS = 50,
};

enum state {
    STATE_DIALS,
    STATE_WAITS, /* for CONNACK */
    STATE_IS_IN,
    STATE_GONE,
};

struct guest {
    struct conn conn;
    enum state state;
    uint8_t answer_size;
    uint8_t answer[ANSWER_ROOM];
    uint64_t begin_ns;
};

struct storm {
    struct stage stage; /* without a crew */
    int epoll_fd;
    struct guest *guests;
    uint64_t begun;
    bool leaving; /* the broker may close connections now */
};

static bool watch(struct storm *storm, struct guest *guest, int operation, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = guest};

    return epoll_ctl(storm->epoll_fd, operation, guest->conn.fd, &event) == 0 ||
           bench_fail(storm->stage.error, "cannot use epoll: %s", strerror(errno));
}

static bool begin(struct storm *storm)
{
    struct stage *s = &storm->stage;
    struct guest *guest = &storm->guests[storm->begun];

    guest->begin_ns = now_ns();
    return conn_begin(&guest->conn, s->target, storm->begun++, s->error) &&
           watch(storm, guest, EPOLL_CTL_ADD, EPOLLOUT);
}

static bool log_in(struct storm *storm, struct guest *guest)
{
    const struct bench_options *o = storm->stage.options;
    char id[ID_ROOM];
    const struct wire_login login = {.id = id, .username = o->username, .password = o->password};

    snprintf(id, sizeof id, "bench%dc%zu", (int)getpid(), (size_t)(guest - storm->guests));
    guest->state = STATE_WAITS;
    return conn_login_send(&guest->conn, &login, storm->stage.error);
}

/* The socket is connected, or TLS has got an answer. */
static bool dials(struct storm *storm, struct guest *guest)
{
    bool done;

    if (!conn_go_on(&guest->conn, storm->stage.target, &done, storm->stage.error)) {
        return false;
    }
    return (!done || log_in(storm, guest)) && watch(storm, guest, EPOLL_CTL_MOD, EPOLLIN);
}

static bool accepted(struct storm *storm, struct guest *guest)
{
    struct stage *s = &storm->stage;
    struct wire_packet packet;
    enum wire_result result = wire_next(guest->answer, guest->answer_size, &packet);

    if (result == WIRE_MORE && guest->answer_size < ANSWER_ROOM) {
        return true;
    }
    if (result != WIRE_PACKET || packet.type != WIRE_CONNACK) {
        return bench_fail(s->error, "the broker sent something else than CONNACK");
    }
    guest->state = STATE_IS_IN;
    histogram_add(&s->result->latency, now_ns() - guest->begin_ns, 1);
    s->done++;
    return conn_accepted(&packet, s->error);
}

static bool leaves(struct storm *storm, struct guest *guest)
{
    conn_close(&guest->conn);
    guest->state = STATE_GONE;
    storm->stage.done++;
    return true;
}

static bool reads(struct storm *storm, struct guest *guest)
{
    ssize_t got = conn_read(&guest->conn, guest->answer + guest->answer_size,
                            (size_t)ANSWER_ROOM - guest->answer_size, MSG_DONTWAIT);
    bool waits = guest->state == STATE_WAITS;

    if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
        return true;
    }
    if (got > 0 && waits) {
        guest->answer_size = (uint8_t)(guest->answer_size + got);
        return accepted(storm, guest);
    }
    if (got == 0 && storm->leaving) {
        return leaves(storm, guest);
    }
    return bench_fail(storm->stage.error, "client %zu, %s: %s", (size_t)(guest - storm->guests),
                      waits ? "waiting for CONNACK" : "connected",
                      got == 0  ? "the broker closed the connection"
                      : got > 0 ? "the broker sent more"
                                : strerror(errno));
}

static bool serve(struct storm *storm, struct guest *guest)
{
    return guest->state == STATE_DIALS ? dials(storm, guest) : reads(storm, guest);
}

static bool turn(struct storm *storm, int wait_ms)
{
    struct stage *s = &storm->stage;
    struct epoll_event events[EVENTS];
    int ready = epoll_wait(storm->epoll_fd, events, EVENTS, wait_ms);
    uint64_t now;

    for (int i = 0; i < ready; i++) {
        if (!serve(storm, events[i].data.ptr)) {
            return false;
        }
    }
    now = now_ns();
    if (ready > 0) {
        s->progress_ns = now;
    }
    if (!watch_turn(&s->result->watch, now, s->done)) {
        return false;
    }
    if ((double)(now - s->progress_ns) > s->options->timeout * 1e9) {
        return bench_fail(s->error,
                          "stalled: nothing came from the broker for %g s; %" PRIu64 " of %" PRIu64
                          " clients wait",
                          s->options->timeout, s->options->clients - s->done, s->options->clients);
    }
    return (double)(now - s->begin_ns) <= s->options->limit * 1e9 ||
           bench_fail(s->error, "not finished within --limit %g s", s->options->limit);
}

static bool part_connect(struct storm *storm)
{
    struct stage *s = &storm->stage;
    uint64_t clients = s->options->clients;

    if (!stage_part(s, "connect", "connection", clients)) {
        return false;
    }
    s->progress_ns = now_ns();
    while (s->done < clients) {
        for (int i = 0; i < BEGUN_IN_A_TURN && storm->begun < clients; i++) {
            if (!begin(storm)) {
                return false;
            }
        }
        if (!turn(storm, storm->begun < clients ? 0 : WAIT_MS)) {
            return false;
        }
    }
    s->result->published = s->done;
    return stage_part_end(s);
}

static bool part_leave(struct storm *storm)
{
    struct stage *s = &storm->stage;
    uint8_t packet[WIRE_EMPTY_SIZE];
    size_t size = wire_empty(packet, WIRE_DISCONNECT);

    if (!stage_part(s, "leave", "connection", s->options->clients)) {
        return false;
    }
    storm->leaving = true;
    for (uint64_t i = 0; i < s->options->clients; i++) {
        if (!conn_send(&storm->guests[i].conn, packet, size, s->error)) {
            return false;
        }
    }
    s->progress_ns = now_ns();
    while (s->done < s->options->clients) {
        if (!turn(storm, WAIT_MS)) {
            return false;
        }
    }
    return stage_part_end(s);
}

static bool storm_init(struct storm *storm)
{
    struct stage *s = &storm->stage;

    storm->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    storm->guests = calloc(s->options->clients, sizeof *storm->guests);
    if (storm->epoll_fd < 0 || storm->guests == NULL) {
        return bench_fail(s->error, "memory is too short for %" PRIu64 " clients",
                          s->options->clients);
    }
    for (uint64_t i = 0; i < s->options->clients; i++) {
        storm->guests[i].conn.fd = -1;
    }
    return conn_make_room(s->options->clients, s->error);
}

bool storm_run(const struct bench_options *options, const struct target *target,
               struct bench_result *result, struct bench_error *error)
{
    struct storm storm = {.stage = {.options = options,
                                    .target = target,
                                    .result = result,
                                    .error = error,
                                    .begin_ns = now_ns()}};
    bool ok = storm_init(&storm) && part_connect(&storm) && part_leave(&storm);

    for (uint64_t i = 0; storm.guests != NULL && i < options->clients; i++) {
        if (storm.guests[i].conn.fd >= 0) {
            conn_close(&storm.guests[i].conn);
        }
    }
    if (storm.epoll_fd >= 0) {
        close(storm.epoll_fd);
    }
    free(storm.guests);
    return ok;
}
