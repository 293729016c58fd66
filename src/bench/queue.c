/*
 * The scenario `queue`: messages for sessions that are away.
 *
 * Persistent sessions subscribe, each to a topic of its own, and leave. Part "in": one publisher
 * fills their queues, turn by turn. Part "out": they come back and drain them. Part "back": they
 * log in with a clean session, so that nothing of them is left; the memory after it is what the
 * broker did not give back.
 */
#include "bench/queue.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/stage.h"
#include "bench/stream.h"

enum {
    PACKET_IDS = 65535,
    SESSION_DIGITS = 7,
    TOPIC_ROOM = 256,
};

struct queue {
    struct stage stage;
    struct streams streams; /* of each session */
    uint64_t sent;
    uint64_t acked;
    size_t topic_size;
    char topic[TOPIC_ROOM];
    uint8_t *payload;
};

static void address(struct queue *q, size_t session)
{
    wire_digits((uint8_t *)q->topic + q->topic_size - SESSION_DIGITS, SESSION_DIGITS, session);
}

static bool arrived(void *owner, struct member *member, const struct wire_packet *packet)
{
    struct queue *q = owner;
    uint64_t number;

    if (packet->body_size != q->stage.options->payload) {
        return bench_fail(q->stage.error, "session %u got a message that nobody sent",
                          member->index);
    }
    memcpy(&number, packet->body + STREAM_NUMBER_AT, sizeof number);
    if (number >= q->sent || number % q->streams.count != member->index) {
        return bench_fail(q->stage.error, "session %u got a message that nobody sent to it",
                          member->index);
    }
    streams_arrived(&q->streams, member->index, number / q->streams.count);
    q->stage.done = q->streams.delivered;
    return true;
}

static bool acked(void *owner, struct member *member)
{
    struct queue *q = owner;
    bool ok = stage_acked(&q->stage, member, &q->acked, q->sent);

    q->stage.done = q->acked;
    return ok;
}

static size_t fill(void *owner, struct member *member, uint8_t *out, size_t room)
{
    struct queue *q = owner;
    const struct bench_options *o = q->stage.options;
    uint64_t end = q->acked + o->inflight < o->messages ? q->acked + o->inflight : o->messages;
    size_t each = WIRE_MESSAGE_EXTRA + q->topic_size + o->payload;
    struct wire_message message = {
        .topic = q->topic,
        .topic_size = q->topic_size,
        .qos = (unsigned)o->publish_qos,
        .payload = q->payload,
        .payload_size = o->payload,
    };
    size_t size = 0;

    if (member->subscriber) {
        return 0;
    }
    for (; q->sent < end && size + each <= room; q->sent++) {
        address(q, q->sent % q->streams.count);
        memcpy(q->payload + STREAM_NUMBER_AT, &q->sent, sizeof q->sent);
        message.packet_id = (uint16_t)(q->sent % PACKET_IDS + 1);
        size += wire_message(out + size, &message);
    }
    return size;
}

static bool all_in(void *owner)
{
    const struct queue *q = owner;

    return q->acked == q->stage.options->messages;
}

static bool all_out(void *owner)
{
    const struct queue *q = owner;

    return q->streams.delivered + q->streams.lost == q->stage.options->messages;
}

static bool subscribe(struct queue *q)
{
    struct stage *s = &q->stage;
    unsigned granted;

    for (size_t i = 0; i < s->options->clients; i++) {
        struct conn *conn = &s->crew.members[i].conn;

        address(q, i);
        if (!conn_subscribe_send(conn, q->topic, (unsigned)s->options->subscribe_qos, s->error) ||
            !conn_subscribe_wait(conn, &granted, s->error)) {
            return false;
        }
        if (granted == 0) {
            return bench_fail(s->error, "the broker grants QoS 0, so that it keeps no messages");
        }
        s->result->granted_qos =
            granted < s->result->granted_qos ? granted : s->result->granted_qos;
    }
    return true;
}

static bool part_in(struct queue *q)
{
    struct stage *s = &q->stage;
    struct member *publisher = crew_publisher(&s->crew, 0);

    if (!stage_join(s, publisher, 1, false) || !stage_watch(s, publisher, 1) ||
        !stage_part(s, "in", "message", s->options->messages)) {
        return false;
    }
    crew_enqueue(&s->crew, publisher);
    return stage_until(s, all_in, "acknowledgements") && stage_part_end(s);
}

static bool part_out(struct queue *q)
{
    struct stage *s = &q->stage;
    struct member *sessions = s->crew.members;
    size_t count = s->options->clients;

    return stage_part(s, "out", "message", s->options->messages) &&
           stage_join(s, sessions, count, true) && stage_watch(s, sessions, count) &&
           stage_until(s, all_out, "messages of the queue") && stage_quiet(s, sessions, count) &&
           stage_part_end(s);
}

/* Logs in anew with a clean session, so that nothing is left behind. */
static bool remove_sessions(struct queue *q)
{
    struct stage *s = &q->stage;
    size_t count = s->options->clients;

    return stage_join(s, s->crew.members, count, false) && stage_leave(s, s->crew.members, count);
}

static bool part_back(struct queue *q)
{
    struct stage *s = &q->stage;
    size_t count = s->options->clients;

    if (!stage_leave(s, s->crew.members, count) || !stage_part(s, "back", "session", count) ||
        !remove_sessions(q)) {
        return false;
    }
    s->done = count;
    return stage_part_end(s);
}

static bool queue_work(struct queue *q)
{
    struct stage *s = &q->stage;

    return stage_join(s, s->crew.members, s->options->clients, true) && subscribe(q) &&
           stage_leave(s, s->crew.members, s->options->clients) && part_in(q) && part_out(q) &&
           part_back(q);
}

/* After a failure: whoever has a session in the broker comes once more to have it removed. */
static void clean_up(struct queue *q)
{
    struct bench_error ignored;
    struct stage *s = &q->stage;

    s->error = &ignored;
    for (size_t i = 0; i < s->options->clients; i++) {
        struct member *member = &s->crew.members[i];

        if (member->conn.fd >= 0) {
            crew_unwatch(&s->crew, member);
            conn_close(&member->conn);
        }
    }
    (void)!remove_sessions(q);
}

static bool queue_init(struct queue *q)
{
    static const struct crew_calls calls = {.arrived = arrived, .acked = acked, .fill = fill};
    struct stage *s = &q->stage;
    const struct bench_options *o = s->options;
    struct crew_setup setup = {
        .subscribers = o->clients,
        .publishers = 1,
        .publish_qos = (unsigned)o->publish_qos,
        .calls = &calls,
        .owner = q,
    };

    q->topic_size = (size_t)snprintf(q->topic, sizeof q->topic, "%s/%d/%0*d", o->topic_prefix,
                                     (int)getpid(), SESSION_DIGITS, 0);
    setup.packet_max = WIRE_MESSAGE_EXTRA + q->topic_size + o->payload;
    if (!stage_init(s, &setup)) {
        return false;
    }
    q->payload = calloc(1, o->payload);
    return (q->payload != NULL && streams_init(&q->streams, o->clients, o->window)) ||
           bench_fail(s->error, "memory is too short for %" PRIu64 " sessions", o->clients);
}

bool queue_run(const struct bench_options *options, const struct target *target,
               struct bench_result *result, struct bench_error *error)
{
    struct queue q = {
        .stage = {.options = options, .target = target, .result = result, .error = error}};
    bool ok = queue_init(&q);

    if (ok) {
        result->granted_qos = 2;
        result->watch.streams = &q.streams;
        ok = queue_work(&q);
        result->watch.streams = NULL;
        if (!ok) {
            clean_up(&q);
        }
        result->published = q.acked;
        result->delivered = q.streams.delivered;
        result->lost = q.streams.lost;
        if (!ok && !result->watch.interrupted && result->parts > 0) {
            result->lost = q.acked - q.streams.delivered;
        }
        result->duplicates = q.streams.duplicates;
        result->reordered = q.streams.reordered;
    }
    stage_clear(&q.stage);
    streams_clear(&q.streams);
    free(q.payload);
    return ok && stage_judge(result, error);
}
