/*
 * The scenario `wild`: very many subscriptions, most of them with wildcards.
 *
 * Part "subscribe": each client sends its filters, one SUBSCRIBE with many of them after the other,
 * each when the one before is acknowledged. Part "publish": a few publishers send random topics;
 * none is more than a window ahead of the oldest message that has not reached all its receivers.
 */
#include "bench/wild.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/stage.h"
#include "bench/stream.h"
#include "bench/topics.h"

enum {
    PUBLISHERS = 10,
    FILTERS_AT_ONCE = 50,
    PACKET_IDS = 65535,
    PREFIX_ROOM = 256,
    WORD_BITS = 64,
    LOOK_AHEAD = 8,
};

/* A message that is under way. */
struct flight {
    uint32_t first; /* its receivers, as in `topics.receiver`: from here to `end` */
    uint32_t end;
    uint32_t due; /* how many of them do not have it yet */
};

struct source {
    uint64_t sent;
    uint64_t acked;
    uint64_t low;          /* all messages before it have reached all their receivers */
    struct flight *flight; /* a ring, by number */
    uint64_t *seen;        /* for each of them bits in the order of its receivers */
};

struct listener {
    uint64_t next; /* the first subscription that has not been sent */
    uint64_t end;
};

struct wild {
    struct stage stage;
    struct topics topics;
    struct source source[PUBLISHERS];
    size_t ring;  /* messages in a ring, a power of two */
    size_t words; /* of one message in `seen` */
    struct listener *listener;
    uint64_t *latest; /* of each listener and source: the number expected next at least */
    bool publishing;
    uint64_t end_ns; /* then no more is published; UINT64_MAX: by `goal` */
    uint64_t goal;   /* messages of all publishers together; UINT64_MAX: by `end_ns` */
    uint64_t published;
    uint64_t delivered;
    uint64_t delivered_before; /* this stretch */
    uint64_t due;              /* deliveries of all that was published */
    uint64_t duplicates;
    uint64_t reordered;
    char prefix[PREFIX_ROOM];
    uint8_t *payload;
};

/* The topic of a message, drawn anew whenever it is asked for. */
static uint32_t message_topic(const struct wild *w, uint32_t source, uint64_t number)
{
    uint64_t random = topics_random(w->topics.setup.seed + source, number);

    return (uint32_t)((random >> 32) * w->topics.count >> 32);
}

/* The receivers of a message, whether it is still under way or has long been everywhere. */
static struct flight find_flight(const struct wild *w, uint32_t from, uint64_t number)
{
    const struct source *source = &w->source[from];
    uint32_t topic;

    if (number >= source->low) {
        return source->flight[number & (w->ring - 1)];
    }
    topic = message_topic(w, from, number);
    return (struct flight){w->topics.first[topic], w->topics.first[topic + 1], 0};
}

/* The place of a client among the receivers of a message; -1: it is none. */
static int receiver_place(const struct wild *w, uint32_t from, uint64_t number, uint32_t client)
{
    struct flight flight = find_flight(w, from, number);

    for (uint32_t i = flight.first; i < flight.end; i++) {
        if (w->topics.receiver[i] == client) {
            return (int)(i - flight.first);
        }
    }
    return -1;
}

/* The oldest message that is not everywhere may be a later one now. */
static void advance(const struct wild *w, struct source *source)
{
    while (source->low < source->sent && source->flight[source->low & (w->ring - 1)].due == 0) {
        source->low++;
    }
}

/* One of its receivers, the one at `place`, has got a message. */
static void note_delivery(struct wild *w, uint32_t from, uint64_t number, unsigned place)
{
    struct source *source = &w->source[from];
    size_t slot = number & (w->ring - 1);
    uint64_t *word = &source->seen[slot * w->words + place / WORD_BITS];
    uint64_t bit = UINT64_C(1) << place % WORD_BITS;

    if (number < source->low || (*word & bit) != 0) {
        w->duplicates++;
        return;
    }
    *word |= bit;
    w->delivered++;
    w->stage.done = w->delivered - w->delivered_before;
    if (--source->flight[slot].due == 0 && number == source->low) {
        advance(w, source);
        crew_enqueue(&w->stage.crew, crew_publisher(&w->stage.crew, from));
    }
}

static bool arrived(void *owner, struct member *member, const struct wire_packet *packet)
{
    struct wild *w = owner;
    uint64_t *latest = &w->latest[member->index * PUBLISHERS];
    uint32_t from;
    uint64_t number;
    int place;

    if (packet->body_size != w->stage.options->payload) {
        return bench_fail(w->stage.error, "subscriber %u got a message that nobody sent",
                          member->index);
    }
    memcpy(&from, packet->body + STREAM_PUBLISHER_AT, sizeof from);
    memcpy(&number, packet->body + STREAM_NUMBER_AT, sizeof number);
    place = from < PUBLISHERS && number < w->source[from].sent
                ? receiver_place(w, from, number, member->index)
                : -1;
    if (place < 0) {
        return bench_fail(w->stage.error, "subscriber %u got a message that nobody sent to it",
                          member->index);
    }
    if (number + 1 < latest[from]) {
        w->reordered++;
    } else {
        latest[from] = number + 1;
    }
    note_delivery(w, from, number, (unsigned)place);
    return true;
}

static bool acked(void *owner, struct member *member)
{
    struct wild *w = owner;
    struct source *source = &w->source[member->index];

    return stage_acked(&w->stage, member, &source->acked, source->sent);
}

static bool subscribed(void *owner, struct member *member, const struct wire_packet *packet)
{
    struct wild *w = owner;

    if (!conn_granted(packet, &w->stage.result->granted_qos, w->stage.error)) {
        return false;
    }
    w->stage.done += packet->body_size - 2;
    crew_enqueue(&w->stage.crew, member);
    return true;
}

/* One SUBSCRIBE. Its answer brings the member back for the next. */
static size_t subscribe(struct wild *w, struct member *member, uint8_t *out, size_t room)
{
    struct listener *listener = &w->listener[member->index];
    uint8_t filters[FILTERS_AT_ONCE * TOPICS_TEXT_ROOM];
    uint16_t packet_id = (uint16_t)(listener->next % PACKET_IDS + 1);
    char filter[TOPICS_TEXT_ROOM];
    size_t size = 0;

    for (int i = 0; i < FILTERS_AT_ONCE && listener->next < listener->end; i++) {
        topics_filter(&w->topics, member->index, listener->next++, filter);
        size += wire_filter(filters + size, filter, (unsigned)w->stage.options->subscribe_qos);
    }
    return size > 0 && size < room ? wire_subscribe_to(out, packet_id, filters, size) : 0;
}

static uint64_t publish_end(const struct wild *w, const struct source *source)
{
    const struct bench_options *o = w->stage.options;
    uint64_t end = source->low + o->window;
    uint64_t left = w->goal - w->published;

    if (o->publish_qos > 0 && end > source->acked + o->inflight) {
        end = source->acked + o->inflight;
    }
    return end > source->sent && end - source->sent > left ? source->sent + left : end;
}

/*
 * Topics are drawn from tables that no cache near the processor holds. Asked for a few messages
 * before they are needed, they are there in time: waiting for the texts alone was 7 % of the
 * generator's time.
 */
static void look_ahead(const struct wild *w, uint32_t index)
{
    uint32_t topic = message_topic(w, index, w->source[index].sent + LOOK_AHEAD);

    __builtin_prefetch(topics_text(&w->topics, topic));
    __builtin_prefetch(&w->topics.first[topic]);
}

/* Notes a message that is sent now. */
static const char *launch(struct wild *w, uint32_t index)
{
    struct source *source = &w->source[index];
    size_t slot = source->sent & (w->ring - 1);
    uint32_t topic = message_topic(w, index, source->sent);
    uint32_t first = w->topics.first[topic];
    uint32_t end = w->topics.first[topic + 1];

    look_ahead(w, index);
    source->flight[slot] = (struct flight){first, end, end - first};
    memset(&source->seen[slot * w->words], 0, w->words * sizeof *source->seen);
    source->sent++;
    w->published++;
    w->due += end - first;
    return topics_text(&w->topics, topic);
}

static size_t publish(struct wild *w, struct member *member, uint8_t *out, size_t room)
{
    const struct bench_options *o = w->stage.options;
    struct source *source = &w->source[member->index];
    size_t each = WIRE_MESSAGE_EXTRA + w->topics.text_room + o->payload;
    struct wire_message message = {
        .qos = (unsigned)o->publish_qos,
        .payload = w->payload,
        .payload_size = o->payload,
    };
    size_t size = 0;

    memcpy(w->payload + STREAM_PUBLISHER_AT, &member->index, sizeof member->index);
    while (source->sent < publish_end(w, source) && size + each <= room) {
        memcpy(w->payload + STREAM_NUMBER_AT, &source->sent, sizeof source->sent);
        message.packet_id = (uint16_t)(source->sent % PACKET_IDS + 1);
        message.topic = launch(w, member->index);
        message.topic_size = strlen(message.topic);
        size += wire_message(out + size, &message);
    }
    /* Some have no receivers, and bring no answer. */
    advance(w, source);
    if (source->sent < publish_end(w, source)) {
        crew_enqueue(&w->stage.crew, member);
    }
    return size;
}

static size_t fill(void *owner, struct member *member, uint8_t *out, size_t room)
{
    struct wild *w = owner;

    if (member->subscriber) {
        return subscribe(w, member, out, room);
    }
    return w->publishing ? publish(w, member, out, room) : 0;
}

static bool all_subscribed(void *owner)
{
    const struct wild *w = owner;

    return w->stage.done == w->topics.setup.subscriptions;
}

static bool all_published(void *owner)
{
    struct wild *w = owner;

    if (w->publishing && (w->published >= w->goal || now_ns() >= w->end_ns)) {
        w->publishing = false;
    }
    for (size_t i = 0; i < PUBLISHERS; i++) {
        const struct source *source = &w->source[i];

        if (source->low < source->sent ||
            (w->stage.options->publish_qos > 0 && source->acked < source->sent)) {
            return false;
        }
    }
    return !w->publishing;
}

static bool part_subscribe(struct wild *w)
{
    struct stage *s = &w->stage;
    size_t count = s->crew.setup.subscribers;

    if (!stage_join(s, s->crew.members, count, false) || !stage_watch(s, s->crew.members, count) ||
        !stage_part(s, "subscribe", "subscription", w->topics.setup.subscriptions)) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        crew_enqueue(&s->crew, &s->crew.members[i]);
    }
    return stage_until(s, all_subscribed, "SUBACKs") && stage_part_end(s);
}

/* So many seconds, or so many messages. */
static bool publish_for(struct wild *w, double seconds, uint64_t messages)
{
    struct stage *s = &w->stage;

    w->publishing = true;
    w->goal = messages > 0 ? w->published + messages : UINT64_MAX;
    w->end_ns = messages > 0 ? UINT64_MAX : now_ns() + (uint64_t)(seconds * 1e9);
    for (size_t i = 0; i < PUBLISHERS; i++) {
        crew_enqueue(&s->crew, crew_publisher(&s->crew, i));
    }
    return stage_until(s, all_published, "messages that were published") &&
           stage_quiet(s, s->crew.members, s->crew.count);
}

static bool warm_up(struct wild *w)
{
    double seconds = w->stage.options->warmup;

    watch_phase(&w->stage.result->watch, "warm-up", "message", 0);
    watch_goal(&w->stage.result->watch, 0, seconds);
    w->stage.done = 0;
    return seconds <= 0 || publish_for(w, seconds, 0);
}

static bool part_publish(struct wild *w)
{
    struct stage *s = &w->stage;
    const struct bench_options *o = s->options;
    uint64_t published;

    if (!warm_up(w)) {
        return false;
    }
    published = w->published;
    w->delivered_before = w->delivered;
    if (!stage_part(s, "publish", "delivered message", 0)) {
        return false;
    }
    watch_goal(&s->result->watch, 0, o->seconds);
    if (!publish_for(w, o->seconds, o->messages)) {
        return false;
    }
    s->result->published = w->published - published;
    s->result->delivered = s->done;
    return stage_part_end(s);
}

static bool wild_work(struct wild *w)
{
    struct stage *s = &w->stage;
    struct member *publishers = crew_publisher(&s->crew, 0);

    return part_subscribe(w) && stage_join(s, publishers, PUBLISHERS, false) &&
           stage_watch(s, publishers, PUBLISHERS) && part_publish(w);
}

static bool make_tables(struct wild *w)
{
    const struct bench_options *o = w->stage.options;
    size_t clients = w->topics.setup.clients;

    w->ring = WORD_BITS;
    while (w->ring < o->window) {
        w->ring *= 2;
    }
    w->words = w->topics.most / WORD_BITS + 1;
    w->listener = calloc(clients, sizeof *w->listener);
    w->latest = calloc(clients * PUBLISHERS, sizeof *w->latest);
    w->payload = calloc(1, o->payload);
    if (w->listener == NULL || w->latest == NULL || w->payload == NULL) {
        return false;
    }
    for (size_t i = 0; i < clients; i++) {
        w->listener[i].next = topics_client_first(&w->topics, i);
        w->listener[i].end = topics_client_first(&w->topics, i + 1);
    }
    for (size_t i = 0; i < PUBLISHERS; i++) {
        w->source[i].flight = calloc(w->ring, sizeof *w->source[i].flight);
        w->source[i].seen = calloc(w->ring * w->words, sizeof *w->source[i].seen);
        if (w->source[i].flight == NULL || w->source[i].seen == NULL) {
            return false;
        }
    }
    return true;
}

static bool wild_init(struct wild *w)
{
    static const struct crew_calls calls = {
        .arrived = arrived, .acked = acked, .subscribed = subscribed, .fill = fill};
    struct stage *s = &w->stage;
    const struct bench_options *o = s->options;
    const struct topics_setup topics = {
        .prefix = w->prefix,
        .subscriptions = o->subscriptions,
        .clients = o->clients < o->subscriptions ? o->clients : o->subscriptions,
        .seed = o->seed,
        .one = o->one_match,
    };
    struct crew_setup setup = {
        .subscribers = topics.clients,
        .publishers = PUBLISHERS,
        .publish_qos = (unsigned)o->publish_qos,
        .calls = &calls,
        .owner = w,
    };

    snprintf(w->prefix, sizeof w->prefix, "%s%d%s", o->topic_prefix, (int)getpid(),
             o->one_match ? "/room" : "");
    if (!topics_init(&w->topics, &topics, s->error)) {
        return false;
    }
    setup.packet_max = WIRE_MESSAGE_EXTRA + w->topics.text_room + o->payload;
    return stage_init(s, &setup) &&
           (make_tables(w) || bench_fail(s->error, "memory is too short for so many clients"));
}

static void wild_clear(struct wild *w)
{
    stage_clear(&w->stage);
    topics_clear(&w->topics);
    for (size_t i = 0; i < PUBLISHERS; i++) {
        free(w->source[i].flight);
        free(w->source[i].seen);
    }
    free(w->listener);
    free(w->latest);
    free(w->payload);
}

bool wild_run(const struct bench_options *options, const struct target *target,
              struct bench_result *result, struct bench_error *error)
{
    struct wild w = {.stage = {.options = options,
                               .target = target,
                               .result = result,
                               .error = error,
                               .crew = {.epoll_fd = -1}}};
    bool ok;

    result->granted_qos = 2;
    ok = wild_init(&w) && wild_work(&w);
    result->lost = result->watch.interrupted ? 0 : w.due - w.delivered;
    result->duplicates = w.duplicates;
    result->reordered = w.reordered;
    wild_clear(&w);
    return ok && stage_judge(result, error);
}
