/*
 * The scenarios without messages: idle connections, and connections that come and go.
 *
 * `connect` lets the broker close after DISCONNECT and only then closes itself. So the whole
 * life of a connection is in the figure, and no port of ours is left in TIME-WAIT.
 */
#include "bench/churn.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench/meter.h"
#include "bench/stage.h"

enum {
    AT_ONCE = 50,
    EVENTS = 256,
    ID_ROOM = 24,
    TOPIC_ROOM = 300,
    ANSWER_ROOM = 64,
    WAIT_MS = 50,
};

static void make_login(const struct bench_options *options, uint64_t number, char id[ID_ROOM],
                       struct wire_login *login)
{
    snprintf(id, ID_ROOM, "bench%dc%" PRIu64, (int)getpid(), number);
    *login =
        (struct wire_login){.id = id, .username = options->username, .password = options->password};
}

static bool idle_batch(const struct bench_options *options, const struct target *target,
                       struct conn *conns, uint64_t first, uint64_t count,
                       struct bench_error *error)
{
    char id[ID_ROOM];
    char topic[TOPIC_ROOM];
    struct wire_login login;
    unsigned granted;

    for (uint64_t i = first; i < first + count; i++) {
        make_login(options, i, id, &login);
        if (!conn_dial(&conns[i], target, error) || !conn_login_send(&conns[i], &login, error)) {
            return false;
        }
    }
    for (uint64_t i = first; i < first + count; i++) {
        if (!conn_login_wait(&conns[i], error)) {
            return false;
        }
        snprintf(topic, sizeof topic, "%s/%d/%06" PRIu64, options->topic_prefix, (int)getpid(), i);
        if (options->subscribe && (!conn_subscribe_send(&conns[i], topic, 0, error) ||
                                   !conn_subscribe_wait(&conns[i], &granted, error))) {
            return false;
        }
    }
    return true;
}

static bool read_memory(uint64_t pid, uint64_t *bytes, struct bench_error *error)
{
    return resident_bytes((pid_t)pid, bytes) ||
           bench_fail(error, "--pid: the memory of process %" PRIu64 " cannot be read", pid);
}

/* Part "rest": what the broker does while nobody wants anything, and how often it wakes up. */
static bool idle_rest(const struct bench_options *options, struct bench_result *result,
                      struct bench_error *error)
{
    struct stage stage = {.options = options, .result = result, .error = error};
    uint64_t end;

    if (!stage_part(&stage, "rest", "connection", 0)) {
        return false;
    }
    watch_goal(&result->watch, 0, options->seconds);
    end = stage.meter.start_ns + (uint64_t)(options->seconds * 1e9);
    for (uint64_t now = now_ns(); now < end; now = now_ns()) {
        uint64_t left_ms = (end - now) / 1000000 + 1;

        poll(NULL, 0, left_ms < WAIT_MS ? (int)left_ms : WAIT_MS);
        if (!watch_turn(&result->watch, now, 0)) {
            return false;
        }
    }
    stage.done = options->clients;
    return stage_part_end(&stage);
}

static bool idle_measure(const struct bench_options *options, const struct target *target,
                         struct conn *conns, struct bench_result *result, struct bench_error *error)
{
    uint64_t start = now_ns();

    if (!read_memory(options->pid, &result->memory_before, error)) {
        return false;
    }
    watch_phase(&result->watch, "connect", "connection", 0);
    watch_goal(&result->watch, options->clients, 0);
    for (uint64_t i = 0; i < options->clients; i += AT_ONCE) {
        uint64_t left = options->clients - i;
        uint64_t count = left < AT_ONCE ? left : AT_ONCE;

        if (!idle_batch(options, target, conns, i, count, error) ||
            !watch_turn(&result->watch, now_ns(), i + count)) {
            return false;
        }
    }
    result->elapsed_s = (double)(now_ns() - start) / 1e9;
    return read_memory(options->pid, &result->memory_after, error) &&
           (options->seconds <= 0 || idle_rest(options, result, error));
}

bool idle_run(const struct bench_options *options, const struct target *target,
              struct bench_result *result, struct bench_error *error)
{
    struct conn *conns = calloc(options->clients, sizeof *conns);
    bool ok;

    if (conns == NULL) {
        return bench_fail(error, "memory is too short for %" PRIu64 " clients", options->clients);
    }
    for (uint64_t i = 0; i < options->clients; i++) {
        conns[i].fd = -1;
    }
    ok = conn_make_room(options->clients, error) &&
         idle_measure(options, target, conns, result, error);
    for (uint64_t i = 0; i < options->clients && conns[i].fd >= 0; i++) {
        conn_leave(&conns[i]);
    }
    free(conns);
    return ok;
}

/* One connection at a time, again and again. */
struct slot {
    struct conn conn; /* none: rests */
    bool accepted;
    uint64_t begin_ns;
    uint8_t answer[ANSWER_ROOM];
    size_t answer_size;
};

struct churn {
    const struct bench_options *options;
    const struct target *target;
    struct bench_error *error;
    struct bench_result *result;
    int epoll_fd;
    struct slot *slots;
    uint64_t opened;
    uint64_t done;
    uint64_t goal;    /* connections to open in all; UINT64_MAX: until told otherwise */
    uint64_t stop_ns; /* then no more are opened; UINT64_MAX: never */
    uint64_t begin_ns;
    uint64_t progress_ns;
};

static bool slot_open(struct churn *c, struct slot *slot)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = slot};
    struct wire_login login;
    char id[ID_ROOM];

    make_login(c->options, c->opened++, id, &login);
    slot->accepted = false;
    slot->begin_ns = now_ns();
    slot->answer_size = 0;
    if (!conn_dial(&slot->conn, c->target, c->error) ||
        !conn_login_send(&slot->conn, &login, c->error)) {
        return false;
    }
    return epoll_ctl(c->epoll_fd, EPOLL_CTL_ADD, slot->conn.fd, &event) == 0 ||
           bench_fail(c->error, "cannot use epoll: %s", strerror(errno));
}

static bool slot_finish(struct churn *c, struct slot *slot)
{
    uint64_t now = now_ns();

    conn_close(&slot->conn);
    c->done++;
    c->progress_ns = now;
    return c->opened >= c->goal || now >= c->stop_ns || slot_open(c, slot);
}

static bool slot_answered(struct churn *c, struct slot *slot)
{
    uint8_t leave[WIRE_EMPTY_SIZE];
    struct wire_packet packet;
    enum wire_result result = wire_next(slot->answer, slot->answer_size, &packet);

    if (result == WIRE_MORE && slot->answer_size < ANSWER_ROOM) {
        return true;
    }
    if (result != WIRE_PACKET || packet.type != WIRE_CONNACK) {
        return bench_fail(c->error, "the broker sent something else than CONNACK");
    }
    slot->accepted = true;
    histogram_add(&c->result->latency, now_ns() - slot->begin_ns, 1);
    return conn_accepted(&packet, c->error) &&
           conn_send(&slot->conn, leave, wire_empty(leave, WIRE_DISCONNECT), c->error);
}

static bool slot_ready(struct churn *c, struct slot *slot)
{
    ssize_t got = conn_read(&slot->conn, slot->answer + slot->answer_size,
                            ANSWER_ROOM - slot->answer_size, MSG_DONTWAIT);

    if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
        return true;
    }
    if (slot->accepted && got == 0) {
        return slot_finish(c, slot);
    }
    if (slot->accepted || got <= 0) {
        return bench_fail(c->error, "%s: %s",
                          slot->accepted ? "waiting for the end after DISCONNECT"
                                         : "waiting for CONNACK",
                          got == 0  ? "the broker closed the connection"
                          : got > 0 ? "the broker sent more"
                                    : strerror(errno));
    }
    slot->answer_size += (size_t)got;
    return slot_answered(c, slot);
}

static bool churn_turn(struct churn *c)
{
    struct epoll_event events[EVENTS];
    int ready = epoll_wait(c->epoll_fd, events, EVENTS, WAIT_MS);
    uint64_t now;

    for (int i = 0; i < ready; i++) {
        if (!slot_ready(c, events[i].data.ptr)) {
            return false;
        }
    }
    now = now_ns();
    if (!watch_turn(&c->result->watch, now, c->done)) {
        return false;
    }
    if ((double)(now - c->progress_ns) > c->options->timeout * 1e9) {
        return bench_fail(
            c->error, "stalled: no connection came to its end for %g s; %" PRIu64 " are under way",
            c->options->timeout, c->opened - c->done);
    }
    if ((double)(now - c->begin_ns) > c->options->limit * 1e9) {
        return bench_fail(c->error, "not finished within --limit %g s", c->options->limit);
    }
    return true;
}

static bool churn_phase(struct churn *c, const char *name, double seconds, uint64_t connections)
{
    watch_phase(&c->result->watch, name, "connection", c->done);
    watch_goal(&c->result->watch, connections, seconds);
    c->progress_ns = now_ns();
    c->goal = connections > 0 ? c->opened + connections : UINT64_MAX;
    c->stop_ns = connections > 0 ? UINT64_MAX : c->progress_ns + (uint64_t)(seconds * 1e9);
    for (uint64_t i = 0; i < c->options->clients && c->opened < c->goal; i++) {
        if (!slot_open(c, &c->slots[i])) {
            return false;
        }
    }
    while (c->done < c->opened) {
        if (!churn_turn(c)) {
            return false;
        }
    }
    return true;
}

static bool churn_work(struct churn *c, struct bench_result *result)
{
    const struct bench_options *options = c->options;
    struct meter meter;
    uint64_t before;
    bool ok;

    if (options->warmup > 0 && !churn_phase(c, "warm-up", options->warmup, 0)) {
        return false;
    }
    before = c->done;
    histogram_clear(&result->latency);
    if (!meter_start(&meter, options->pid, c->error)) {
        return false;
    }
    ok = churn_phase(c, "measure", options->seconds, options->messages);
    result->elapsed_s = meter_elapsed(&meter);
    result->published = c->done - before;
    return meter_stop(&meter, result, ok ? c->error : NULL) && ok;
}

static bool churn_init(struct churn *c)
{
    uint64_t clients = c->options->clients;

    c->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    c->slots = calloc(clients, sizeof *c->slots);
    if (c->epoll_fd < 0 || c->slots == NULL) {
        return bench_fail(c->error, "memory is too short for %" PRIu64 " clients", clients);
    }
    for (uint64_t i = 0; i < clients; i++) {
        c->slots[i].conn.fd = -1;
    }
    return conn_make_room(clients, c->error);
}

bool connect_run(const struct bench_options *options, const struct target *target,
                 struct bench_result *result, struct bench_error *error)
{
    struct churn c = {.options = options,
                      .target = target,
                      .error = error,
                      .result = result,
                      .begin_ns = now_ns()};
    bool ok = churn_init(&c) && churn_work(&c, result);

    for (uint64_t i = 0; c.slots != NULL && i < options->clients; i++) {
        if (c.slots[i].conn.fd >= 0) {
            conn_close(&c.slots[i].conn);
        }
    }
    if (c.epoll_fd >= 0) {
        close(c.epoll_fd);
    }
    free(c.slots);
    return ok;
}
