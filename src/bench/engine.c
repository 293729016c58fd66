/*
 * Publishers and subscribers at work.
 *
 * Publications are copied from one template: all of a run have topics and payloads of the same
 * sizes, so that only numbers have to be filled in.
 */
#include "bench/engine.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    TOPIC_DIGITS = 6,
    PACKET_IDS = 65535,
};

/* Only pairs have topics of their own. */
static size_t topic_number(const struct engine *e, size_t index)
{
    return e->options->scenario == SCENARIO_PAIRS ? index : 0;
}

void engine_topic(const struct engine *e, size_t index, char topic[ENGINE_TOPIC_ROOM])
{
    size_t size = strlen(e->topic_prefix);

    memcpy(topic, e->topic_prefix, size);
    wire_digits((uint8_t *)topic + size, TOPIC_DIGITS, topic_number(e, index));
    topic[size + TOPIC_DIGITS] = '\0';
}

static bool make_template(struct engine *e)
{
    char topic[ENGINE_TOPIC_ROOM];
    struct wire_publish publish = {
        .topic = topic,
        .qos = (unsigned)e->options->publish_qos,
        .payload_size = e->options->payload,
    };

    /* With our process id in it no other run's messages can come here. */
    snprintf(e->topic_prefix, sizeof e->topic_prefix - TOPIC_DIGITS, "%s/%d/",
             e->options->topic_prefix, (int)getpid());
    engine_topic(e, 0, topic);
    e->layout = wire_publish_layout(&publish);
    e->template = malloc(e->layout.size);
    if (e->template == NULL) {
        return false;
    }
    wire_publish(e->template, &publish);
    return true;
}

static bool make_tables(struct engine *e)
{
    /* There is a stream for each subscriber or for each publisher, whatever there is more of. */
    size_t streams = e->subscribers > e->publishers ? e->subscribers : e->publishers;

    e->publisher = calloc(streams, sizeof *e->publisher);
    e->counted = calloc(streams, sizeof *e->counted);
    return e->publisher != NULL && e->counted != NULL && make_template(e) &&
           streams_init(&e->streams, streams, e->options->window);
}

static bool fan_out(const struct engine *e)
{
    return e->options->scenario == SCENARIO_FANOUT;
}

void engine_allow(struct engine *e, size_t publisher, uint64_t end)
{
    e->publisher[publisher].end = end;
    crew_enqueue(&e->crew, crew_publisher(&e->crew, publisher));
}

void engine_pace(struct engine *e, uint64_t start_ns, double each_ns)
{
    e->pace = (struct pace){start_ns, each_ns};
    for (size_t i = 0; i < e->publishers; i++) {
        e->publisher[i].paced = e->publisher[i].sent;
    }
}

void engine_ping(struct engine *e)
{
    crew_ping(&e->crew, e->crew.members, e->subscribers);
}

uint64_t engine_outstanding(const struct engine *e)
{
    uint64_t copies = fan_out(e) ? e->subscribers : 1;

    return e->published * copies - e->streams.delivered - e->streams.lost;
}

bool engine_settled(const struct engine *e)
{
    return engine_outstanding(e) == 0 && (e->options->publish_qos == 0 || e->acked == e->published);
}

static uint64_t publisher_room(const struct engine *e, uint32_t index)
{
    const struct publisher *publisher = &e->publisher[index];
    uint64_t floor = fan_out(e) ? e->streams.slowest : e->streams.next[index];
    uint64_t end = floor + e->options->window;

    if (e->options->publish_qos > 0 && end > publisher->acked + e->options->inflight) {
        end = publisher->acked + e->options->inflight;
    }
    if (end > publisher->end) {
        end = publisher->end;
    }
    return end > publisher->sent ? end - publisher->sent : 0;
}

/* What all of a publisher's messages in this turn have in common. */
static void address_template(struct engine *e, uint32_t index)
{
    uint8_t *payload = e->template + e->layout.payload_at;

    wire_digits(e->template + e->layout.packet_id_at - TOPIC_DIGITS, TOPIC_DIGITS,
                topic_number(e, index));
    memcpy(payload + STREAM_PUBLISHER_AT, &index, sizeof index);
}

static uint64_t due_ns(const struct engine *e, uint32_t index, uint64_t number)
{
    uint64_t turn = (number - e->publisher[index].paced) * e->publishers + index;

    return e->pace.start_ns + (uint64_t)((double)turn * e->pace.each_ns);
}

/* Notes in messages that are about to be written what their latency is counted from. */
static void stamp(const struct engine *e, uint32_t index, uint64_t first, uint64_t count,
                  uint8_t *out)
{
    uint64_t from = e->pace.each_ns > 0 ? 0 : now_ns();

    out += e->layout.payload_at + STREAM_STAMP_AT;
    for (uint64_t number = first; number < first + count; number++) {
        if (e->pace.each_ns > 0) {
            from = due_ns(e, index, number);
        }
        memcpy(out, &from, sizeof from);
        out += e->layout.size;
    }
}

static size_t publish(struct engine *e, uint32_t index, uint64_t count, uint8_t *out)
{
    const struct wire_layout layout = e->layout;
    bool with_id = e->options->publish_qos > 0;
    uint64_t first = e->publisher[index].sent;
    uint8_t *at = out;

    address_template(e, index);
    for (uint64_t number = first; number < first + count; number++) {
        memcpy(at, e->template, layout.size);
        memcpy(at + layout.payload_at + STREAM_NUMBER_AT, &number, sizeof number);
        if (with_id) {
            wire_put16(at + layout.packet_id_at, (uint16_t)(number % PACKET_IDS + 1));
        }
        at += layout.size;
    }
    if (e->options->latency) {
        stamp(e, index, first, count, out);
    }
    e->publisher[index].sent += count;
    e->published += count;
    return count * layout.size;
}

static size_t fill(void *owner, struct member *member, uint8_t *out, size_t room)
{
    struct engine *e = owner;
    uint64_t count = member->subscriber ? 0 : publisher_room(e, member->index);
    uint64_t fit = room / e->layout.size;

    if (count > fit) {
        count = fit;
        crew_enqueue(&e->crew, member);
    }
    return count > 0 ? publish(e, member->index, count, out) : 0;
}

static void note_latency(struct engine *e, const uint8_t *payload)
{
    uint64_t from;

    memcpy(&from, payload + STREAM_STAMP_AT, sizeof from);
    histogram_add(e->latency, e->crew.read_ns - from, 1);
}

static bool arrived(void *owner, struct member *member, const struct wire_packet *packet)
{
    struct engine *e = owner;
    uint32_t from;
    uint64_t number;

    if (packet->body_size != e->options->payload) {
        return bench_fail(e->error, "subscriber %u got a message that nobody sent", member->index);
    }
    memcpy(&from, packet->body + STREAM_PUBLISHER_AT, sizeof from);
    memcpy(&number, packet->body + STREAM_NUMBER_AT, sizeof number);
    if (from >= e->publishers || number >= e->publisher[from].sent ||
        (e->options->scenario == SCENARIO_PAIRS && from != member->index)) {
        return bench_fail(e->error, "subscriber %u got a message that nobody sent to it",
                          member->index);
    }
    streams_arrived(&e->streams, fan_out(e) ? member->index : from, number);
    if (e->options->latency) {
        note_latency(e, packet->body);
    }
    crew_enqueue(&e->crew, crew_publisher(&e->crew, from));
    return true;
}

static void after_read(void *owner, struct member *member)
{
    struct engine *e = owner;

    if (fan_out(e) && member->subscriber) {
        streams_moved(&e->streams, member->index, e->counted[member->index]);
        e->counted[member->index] = e->streams.next[member->index];
    }
}

static bool acked(void *owner, struct member *member)
{
    struct engine *e = owner;
    struct publisher *publisher = &e->publisher[member->index];

    if (publisher->acked == publisher->sent) {
        return bench_fail(e->error, "publisher %u got more acknowledgements than it sent messages",
                          member->index);
    }
    publisher->acked++;
    e->acked++;
    crew_enqueue(&e->crew, member);
    return true;
}

bool engine_init(struct engine *e, const struct bench_options *options, struct histogram *latency,
                 struct bench_error *error)
{
    static const struct crew_calls calls = {
        .arrived = arrived, .acked = acked, .after_read = after_read, .fill = fill};
    struct crew_setup setup = {
        .subscribers = options->scenario == SCENARIO_FANIN ? 1 : options->clients,
        .publishers = options->scenario == SCENARIO_FANOUT ? 1 : options->clients,
        .publish_qos = (unsigned)options->publish_qos,
        .clocked = options->latency,
        .calls = &calls,
        .owner = e,
    };

    memset(e, 0, sizeof *e);
    e->crew.epoll_fd = -1;
    e->options = options;
    e->latency = latency;
    e->error = error;
    e->subscribers = setup.subscribers;
    e->publishers = setup.publishers;
    if (!make_tables(e)) {
        return bench_fail(error, "memory is too short for %" PRIu64 " clients", options->clients);
    }
    /* A broker may deliver at QoS 1 what was published at QoS 0 only by mistake, but then it is
     * the sequence check that shall say so, not a buffer. */
    setup.packet_max = e->layout.size + 2;
    return crew_init(&e->crew, &setup, error);
}

void engine_clear(struct engine *e)
{
    crew_clear(&e->crew);
    streams_clear(&e->streams);
    free(e->publisher);
    free(e->counted);
    free(e->template);
}
