/*
 * What scenarios in several stretches share.
 */
#include "bench/stage.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    AT_ONCE = 50,
    ID_ROOM = 24, /* what every server must accept, and a zero */
};

#define LONGEST_WAIT_NS UINT64_C(50000000)

bool stage_init(struct stage *s, const struct crew_setup *setup)
{
    s->begin_ns = now_ns();
    return crew_init(&s->crew, setup, s->error) && conn_make_room(s->crew.count, s->error);
}

void stage_clear(struct stage *s)
{
    crew_leave(&s->crew);
    crew_clear(&s->crew);
}

bool stage_login_send(const struct bench_options *options, const struct target *target,
                      struct member *member, bool keep, struct bench_error *error)
{
    char id[ID_ROOM];
    const struct wire_login login = {
        .id = id,
        .username = options->username,
        .password = options->password,
        .keep = keep,
    };

    snprintf(id, sizeof id, "bench%d%c%u", (int)getpid(), member->subscriber ? 's' : 'p',
             (unsigned)member->index);
    return conn_dial(&member->conn, target, error) && conn_login_send(&member->conn, &login, error);
}

static bool join_batch(struct stage *s, struct member *first, size_t count, bool keep)
{
    for (size_t i = 0; i < count; i++) {
        if (!stage_login_send(s->options, s->target, &first[i], keep, s->error)) {
            return false;
        }
    }
    for (size_t i = 0; i < count; i++) {
        if (!conn_login_wait(&first[i].conn, s->error)) {
            return false;
        }
    }
    return true;
}

bool stage_join(struct stage *s, struct member *first, size_t count, bool keep)
{
    for (size_t i = 0; i < count; i += AT_ONCE) {
        if (!join_batch(s, &first[i], count - i < AT_ONCE ? count - i : AT_ONCE, keep) ||
            !watch_turn(&s->result->watch, now_ns(), s->result->watch.done)) {
            return false;
        }
    }
    return true;
}

bool stage_watch(struct stage *s, struct member *first, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (!crew_watch(&s->crew, &first[i])) {
            return false;
        }
    }
    return true;
}

/* Who still gets messages after DISCONNECT throws them away. */
static bool await_end(struct stage *s, struct member *member)
{
    uint8_t rest[4096];
    ssize_t got;

    while ((got = conn_read(&member->conn, rest, sizeof rest, 0)) > 0) {
    }
    if (got < 0 && errno == EAGAIN) {
        return bench_fail(s->error, "the broker did not close the connection after DISCONNECT");
    }
    conn_close(&member->conn);
    return true;
}

bool stage_leave(struct stage *s, struct member *first, size_t count)
{
    uint8_t packet[WIRE_EMPTY_SIZE];
    size_t size = wire_empty(packet, WIRE_DISCONNECT);

    for (size_t i = 0; i < count; i++) {
        crew_unwatch(&s->crew, &first[i]);
        if (!conn_send(&first[i].conn, packet, size, s->error)) {
            return false;
        }
    }
    for (size_t i = 0; i < count; i++) {
        if (!await_end(s, &first[i])) {
            return false;
        }
    }
    return true;
}

bool stage_acked(struct stage *s, struct member *publisher, uint64_t *acked, uint64_t sent)
{
    if (*acked == sent) {
        return bench_fail(s->error, "the broker acknowledged more messages than it got");
    }
    ++*acked;
    crew_enqueue(&s->crew, publisher);
    return true;
}

static bool step(struct stage *s, const char *what)
{
    uint64_t now;

    if (!crew_turn(&s->crew, LONGEST_WAIT_NS)) {
        return false;
    }
    now = now_ns();
    if (!watch_turn(&s->result->watch, now, s->done)) {
        return false;
    }
    if (s->crew.packets != s->packets) {
        s->packets = s->crew.packets;
        s->progress_ns = now;
    } else if ((double)(now - s->progress_ns) > s->options->timeout * 1e9) {
        return bench_fail(s->error,
                          "stalled: nothing came from the broker for %g s; waiting for %s",
                          s->options->timeout, what);
    }
    return (double)(now - s->begin_ns) <= s->options->limit * 1e9 ||
           bench_fail(s->error, "not finished within --limit %g s; waiting for %s",
                      s->options->limit, what);
}

bool stage_until(struct stage *s, bool (*ended)(void *owner), const char *what)
{
    s->progress_ns = now_ns();
    while (!ended(s->crew.setup.owner)) {
        if (!step(s, what)) {
            return false;
        }
    }
    return true;
}

bool stage_quiet(struct stage *s, struct member *first, size_t count)
{
    crew_ping(&s->crew, first, count);
    s->progress_ns = now_ns();
    while (s->crew.pongs < count) {
        if (!step(s, "answers to PINGREQ")) {
            return false;
        }
    }
    return true;
}

static bool read_memory(struct stage *s, uint64_t *bytes)
{
    uint64_t pid = s->options->pid;

    *bytes = 0;
    return pid == 0 || resident_bytes((pid_t)pid, bytes) ||
           bench_fail(s->error, "--pid: the memory of process %" PRIu64 " cannot be read", pid);
}

bool stage_part(struct stage *s, const char *name, const char *unit, uint64_t goal)
{
    struct bench_part *part = &s->result->part[s->result->parts];

    *part = (struct bench_part){.name = name, .unit = unit};
    s->done = 0;
    watch_phase(&s->result->watch, name, unit, 0);
    watch_goal(&s->result->watch, goal, 0);
    part->wakeups = wakeups((pid_t)s->options->pid);
    return read_memory(s, &part->memory_before) &&
           meter_start(&s->meter, s->options->pid, s->error);
}

bool stage_part_end(struct stage *s)
{
    struct bench_part *part = &s->result->part[s->result->parts];

    part->elapsed_s = meter_elapsed(&s->meter);
    if (!meter_stop(&s->meter, s->result, s->error) || !read_memory(s, &part->memory_after)) {
        return false;
    }
    part->wakeups = wakeups((pid_t)s->options->pid) - part->wakeups;
    part->broker = s->result->broker;
    part->generator = s->result->generator;
    part->count = s->done;
    s->result->parts++;
    s->result->elapsed_s = (double)(now_ns() - s->begin_ns) / 1e9;
    return true;
}

bool stage_judge(const struct bench_result *result, struct bench_error *error)
{
    if (result->lost + result->duplicates + result->reordered == 0) {
        return true;
    }
    return bench_fail(error,
                      "the broker is not faithful: %" PRIu64 " messages lost, %" PRIu64
                      " duplicates, %" PRIu64 " out of order",
                      result->lost, result->duplicates, result->reordered);
}
