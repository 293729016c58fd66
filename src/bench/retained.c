/*
 * The scenario `retained`: messages that a broker keeps for those who subscribe later.
 *
 * Part "set": one publisher gives the broker a retained message on each of many topics. "replace":
 * once more, with other payloads. "deliver": newcomers subscribe to all of them at once. "clear":
 * empty messages on all the topics.
 *
 * At QoS 0 nothing acknowledges a message; a PINGREQ behind every window of them does it instead,
 * and two windows at most are under way.
 */
#include "bench/retained.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/stage.h"
#include "bench/stream.h"

enum {
    PACKET_IDS = 65535,
    GROUP = 100000, /* topics below one level */
    GROUP_DIGITS = 5,
    TOPIC_DIGITS = GROUP_DIGITS + 1 + GROUP_DIGITS,
    TOPIC_ROOM = 256,
    WORD_BITS = 64,
};

struct retained {
    struct stage stage;
    uint32_t round; /* how often each topic has been set */
    bool clearing;
    uint64_t sent; /* these three in this round */
    uint64_t acked;
    uint64_t pings;
    uint64_t delivered;
    uint64_t duplicates;
    size_t words;   /* of each newcomer in `seen` */
    uint64_t *seen; /* which messages each newcomer has, as bits */
    size_t topic_size;
    char topic[TOPIC_ROOM];
    uint8_t *payload;
};

/* Two levels for the number: 23 bytes with the default prefix, and no level is too wide. */
static void address(struct retained *r, uint64_t number)
{
    uint8_t *at = (uint8_t *)r->topic + r->topic_size - TOPIC_DIGITS;

    wire_digits(at, GROUP_DIGITS, number / GROUP);
    wire_digits(at + GROUP_DIGITS + 1, GROUP_DIGITS, number % GROUP);
}

static bool arrived(void *owner, struct member *member, const struct wire_packet *packet)
{
    struct retained *r = owner;
    uint32_t round;
    uint64_t number;
    uint64_t *word;

    if (packet->body_size != r->stage.options->payload) {
        return bench_fail(r->stage.error, "a subscriber got a message that nobody sent");
    }
    memcpy(&round, packet->body + STREAM_PUBLISHER_AT, sizeof round);
    memcpy(&number, packet->body + STREAM_NUMBER_AT, sizeof number);
    if (round != r->round || number >= r->stage.options->messages) {
        return bench_fail(r->stage.error, "a subscriber got a message that is not the latest");
    }
    word = &r->seen[member->index * r->words + number / WORD_BITS];
    if ((*word >> number % WORD_BITS & 1) != 0) {
        r->duplicates++;
        return true;
    }
    *word |= UINT64_C(1) << number % WORD_BITS;
    r->stage.done = ++r->delivered;
    return true;
}

static bool acked(void *owner, struct member *member)
{
    struct retained *r = owner;
    bool ok = stage_acked(&r->stage, member, &r->acked, r->sent);

    r->stage.done = r->acked;
    return ok;
}

static bool subscribed(void *owner, struct member *member, const struct wire_packet *packet)
{
    struct retained *r = owner;

    (void)member;
    return conn_granted(packet, &r->stage.result->granted_qos, r->stage.error);
}

/* The number up to which messages may be sent now. */
static uint64_t send_end(const struct retained *r)
{
    const struct bench_options *o = r->stage.options;
    uint64_t end =
        o->publish_qos > 0 ? r->acked + o->inflight : (r->stage.crew.pongs + 2) * o->window;

    return end < o->messages ? end : o->messages;
}

static size_t publish(struct retained *r, uint8_t *out, size_t room)
{
    const struct bench_options *o = r->stage.options;
    size_t each = WIRE_MESSAGE_EXTRA + r->topic_size + o->payload + WIRE_EMPTY_SIZE;
    uint64_t end = send_end(r);
    struct wire_message message = {
        .topic = r->topic,
        .topic_size = r->topic_size,
        .qos = (unsigned)o->publish_qos,
        .retain = true,
        .payload = r->payload,
        .payload_size = r->clearing ? 0 : o->payload,
    };
    size_t size = 0;

    while (r->sent < end && size + each <= room) {
        address(r, r->sent);
        memcpy(r->payload + STREAM_NUMBER_AT, &r->sent, sizeof r->sent);
        message.packet_id = (uint16_t)(r->sent % PACKET_IDS + 1);
        size += wire_message(out + size, &message);
        r->sent++;
        if (o->publish_qos == 0 && (r->sent % o->window == 0 || r->sent == o->messages)) {
            size += wire_empty(out + size, WIRE_PINGREQ);
            r->pings++;
        }
    }
    if (r->sent < end) {
        crew_enqueue(&r->stage.crew, crew_publisher(&r->stage.crew, 0));
    }
    return size;
}

static size_t fill(void *owner, struct member *member, uint8_t *out, size_t room)
{
    struct retained *r = owner;

    return member->subscriber ? 0 : publish(r, out, room);
}

static bool all_sent(void *owner)
{
    struct retained *r = owner;
    const struct bench_options *o = r->stage.options;

    if (o->publish_qos == 0) {
        r->stage.done = r->sent;
        return r->sent == o->messages && r->stage.crew.pongs == r->pings;
    }
    return r->acked == o->messages;
}

static bool all_delivered(void *owner)
{
    const struct retained *r = owner;

    return r->delivered == r->stage.options->messages * r->stage.options->clients;
}

static bool part_publish(struct retained *r, const char *name)
{
    struct stage *s = &r->stage;

    r->sent = r->acked = r->pings = s->crew.pongs = 0;
    r->round++;
    memcpy(r->payload + STREAM_PUBLISHER_AT, &r->round, sizeof r->round);
    if (!stage_part(s, name, "message", s->options->messages)) {
        return false;
    }
    crew_enqueue(&s->crew, crew_publisher(&s->crew, 0));
    return stage_until(s, all_sent, "acknowledgements") && stage_part_end(s);
}

static void subscribe_later(struct retained *r, struct member *member)
{
    char filter[TOPIC_ROOM];

    snprintf(filter, sizeof filter, "%.*s#", (int)(r->topic_size - TOPIC_DIGITS), r->topic);
    member->out_size += wire_subscribe(member->out + member->out_size, 1, filter,
                                       (unsigned)r->stage.options->subscribe_qos);
    crew_enqueue(&r->stage.crew, member);
}

static bool part_deliver(struct retained *r)
{
    struct stage *s = &r->stage;
    struct member *newcomers = s->crew.members;
    size_t count = s->options->clients;

    if (!stage_join(s, newcomers, count, false) || !stage_watch(s, newcomers, count) ||
        !stage_part(s, "deliver", "message", s->options->messages * count)) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        subscribe_later(r, &newcomers[i]);
    }
    return stage_until(s, all_delivered, "retained messages") && stage_quiet(s, newcomers, count) &&
           stage_part_end(s) && stage_leave(s, newcomers, count);
}

static bool retained_work(struct retained *r)
{
    struct stage *s = &r->stage;
    struct member *publisher = crew_publisher(&s->crew, 0);

    if (!stage_join(s, publisher, 1, false) || !stage_watch(s, publisher, 1) ||
        !part_publish(r, "set") || !part_publish(r, "replace") || !part_deliver(r)) {
        return false;
    }
    r->clearing = true;
    return part_publish(r, "clear");
}

static bool retained_init(struct retained *r)
{
    static const struct crew_calls calls = {
        .arrived = arrived, .acked = acked, .subscribed = subscribed, .fill = fill};
    struct stage *s = &r->stage;
    const struct bench_options *o = s->options;
    struct crew_setup setup = {
        .subscribers = o->clients,
        .publishers = 1,
        .publish_qos = (unsigned)o->publish_qos,
        .calls = &calls,
        .owner = r,
    };

    r->topic_size = (size_t)snprintf(r->topic, sizeof r->topic, "%s/%d/%0*d/%0*d", o->topic_prefix,
                                     (int)getpid(), GROUP_DIGITS, 0, GROUP_DIGITS, 0);
    setup.packet_max = WIRE_MESSAGE_EXTRA + WIRE_EMPTY_SIZE + r->topic_size + o->payload;
    if (!stage_init(s, &setup)) {
        return false;
    }
    r->words = o->messages / WORD_BITS + 1;
    r->seen = calloc(r->words * o->clients, sizeof *r->seen);
    r->payload = calloc(1, o->payload);
    return (r->seen != NULL && r->payload != NULL) ||
           bench_fail(s->error, "memory is too short for %" PRIu64 " messages", o->messages);
}

bool retained_run(const struct bench_options *options, const struct target *target,
                  struct bench_result *result, struct bench_error *error)
{
    struct retained r = {
        .stage = {.options = options, .target = target, .result = result, .error = error}};
    bool ok;

    result->granted_qos = 2;
    ok = retained_init(&r) && retained_work(&r);
    result->published = options->messages;
    result->delivered = r.delivered;
    result->duplicates = r.duplicates;
    if (result->parts == 2 && !result->watch.interrupted) {
        /* "deliver" did not come to its end. */
        result->lost = options->messages * options->clients - r.delivered;
    }
    stage_clear(&r.stage);
    free(r.seen);
    free(r.payload);
    return ok && stage_judge(result, error);
}
