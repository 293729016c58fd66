/*
 * Publishers and subscribers at work: the loop that is measured.
 *
 * It has to be much cheaper than any broker, or it would measure itself: publications are copied
 * from one template into one warm buffer, input is parsed where it lands, and a connection costs
 * one read and one write in a turn, however many messages that is.
 */
#include "bench/engine.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    INPUT_ROOM = 128 * 1024,
    OUTPUT_ROOM = 128 * 1024,
    EVENTS = 512,
    TOPIC_DIGITS = 6,
    PACKET_IDS = 65535,
};

#define NS_PER_S UINT64_C(1000000000)

/* The number at the end of a topic. */
static void put_digits(uint8_t *out, size_t value)
{
    for (int i = TOPIC_DIGITS - 1; i >= 0; i--) {
        out[i] = (uint8_t)('0' + value % 10);
        value /= 10;
    }
}

/* Only pairs have topics of their own. */
static size_t topic_number(const struct engine *e, size_t index)
{
    return e->options->scenario == SCENARIO_PAIRS ? index : 0;
}

void engine_topic(const struct engine *e, size_t index, char topic[ENGINE_TOPIC_ROOM])
{
    size_t size = strlen(e->topic_prefix);

    memcpy(topic, e->topic_prefix, size);
    put_digits((uint8_t *)topic + size, topic_number(e, index));
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
    /* A broker may deliver at QoS 1 what was published at QoS 0 only by mistake, but then it is
     * the sequence check that shall say so, not a buffer. */
    e->packet_max = e->layout.size + 2;
    return true;
}

/* Room for all clients in one mapping: what is never touched costs nothing. */
static bool make_arena(struct engine *e, size_t clients)
{
    size_t out_room = e->scratch_room + INPUT_ROOM + e->packet_max;
    size_t each = e->packet_max + out_room;

    e->arena_size = each * clients;
    e->arena = mmap(NULL, e->arena_size, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (e->arena == MAP_FAILED) {
        e->arena = NULL;
        return false;
    }
    for (size_t i = 0; i < clients; i++) {
        e->clients[i].tail = e->arena + i * each;
        e->clients[i].out = e->clients[i].tail + e->packet_max;
    }
    return true;
}

static bool make_tables(struct engine *e)
{
    size_t clients = e->subscribers + e->publishers;
    size_t streams = e->subscribers > e->publishers ? e->subscribers : e->publishers;

    if (!make_template(e) || !streams_init(&e->streams, streams, e->options->window)) {
        return false;
    }
    e->scratch_room = OUTPUT_ROOM > e->layout.size ? OUTPUT_ROOM : e->layout.size;
    e->clients = calloc(clients, sizeof *e->clients);
    e->publisher = calloc(e->publishers, sizeof *e->publisher);
    /* Twice: while the queue is worked off, clients may join again behind it. */
    e->queue = calloc(2 * clients, sizeof(struct client *));
    e->scratch = malloc(e->scratch_room);
    e->input = malloc(INPUT_ROOM + e->packet_max);
    if (e->clients == NULL || e->publisher == NULL || e->queue == NULL || e->scratch == NULL ||
        e->input == NULL || !make_arena(e, clients)) {
        return false;
    }
    for (size_t i = 0; i < clients; i++) {
        struct client *client = &e->clients[i];

        client->conn.fd = -1;
        client->subscriber = i < e->subscribers;
        client->index = (uint32_t)(client->subscriber ? i : i - e->subscribers);
    }
    return true;
}

bool engine_init(struct engine *e, const struct bench_options *options, struct histogram *latency,
                 struct bench_error *error)
{
    memset(e, 0, sizeof *e);
    e->options = options;
    e->latency = latency;
    e->error = error;
    e->subscribers = options->scenario == SCENARIO_FANIN ? 1 : options->clients;
    e->publishers = options->scenario == SCENARIO_FANOUT ? 1 : options->clients;
    e->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (e->epoll_fd < 0) {
        return bench_fail(error, "cannot use epoll: %s", strerror(errno));
    }
    return make_tables(e) ||
           bench_fail(error, "memory is too short for %" PRIu64 " clients", options->clients);
}

void engine_clear(struct engine *e)
{
    if (e->arena != NULL) {
        munmap(e->arena, e->arena_size);
    }
    if (e->epoll_fd >= 0) {
        close(e->epoll_fd);
    }
    streams_clear(&e->streams);
    free(e->clients);
    free(e->publisher);
    free(e->queue);
    free(e->scratch);
    free(e->input);
    free(e->template);
}

static void enqueue(struct engine *e, struct client *client)
{
    if (!client->queued) {
        client->queued = true;
        e->queue[e->queued++] = client;
    }
}

void engine_allow(struct engine *e, size_t publisher, uint64_t end)
{
    e->publisher[publisher].end = end;
    enqueue(e, &e->clients[e->subscribers + publisher]);
}

void engine_ping(struct engine *e)
{
    e->pongs = 0;
    for (size_t i = 0; i < e->subscribers; i++) {
        struct client *client = &e->clients[i];

        client->out_size += wire_empty(client->out + client->out_size, WIRE_PINGREQ);
        enqueue(e, client);
    }
}

uint64_t engine_outstanding(const struct engine *e)
{
    uint64_t copies = e->options->scenario == SCENARIO_FANOUT ? e->subscribers : 1;

    return e->published * copies - e->streams.delivered - e->streams.lost;
}

bool engine_settled(const struct engine *e)
{
    return engine_outstanding(e) == 0 && (e->options->publish_qos == 0 || e->acked == e->published);
}

static const char *role(const struct client *client)
{
    return client->subscriber ? "subscriber" : "publisher";
}

/* Input is awaited only while there is room for the answers to it. */
static bool watch_again(struct engine *e, struct client *client)
{
    struct epoll_event event = {.data.ptr = client};

    event.events =
        (client->out_size <= e->scratch_room ? EPOLLIN : 0U) | (client->blocked ? EPOLLOUT : 0U);
    if (event.events == client->watched) {
        return true;
    }
    client->watched = event.events;
    return epoll_ctl(e->epoll_fd, EPOLL_CTL_MOD, client->conn.fd, &event) == 0 ||
           bench_fail(e->error, "cannot use epoll: %s", strerror(errno));
}

static bool write_once(struct engine *e, struct client *client, const uint8_t *bytes, size_t size)
{
    ssize_t sent = conn_write(&client->conn, bytes, size, MSG_DONTWAIT);
    size_t rest;

    if (sent < 0) {
        if (errno != EAGAIN && errno != EINTR) {
            return bench_fail(e->error, "%s %u cannot send: %s", role(client), client->index,
                              strerror(errno));
        }
        sent = 0;
    }
    rest = size - (size_t)sent;
    if (rest > 0) {
        memmove(client->out, bytes + sent, rest);
    }
    client->out_size = rest;
    client->blocked = rest > 0;
    return watch_again(e, client);
}

static uint64_t publisher_room(const struct engine *e, const struct client *client)
{
    const struct publisher *publisher = &e->publisher[client->index];
    uint64_t floor = e->options->scenario == SCENARIO_FANOUT ? e->streams.slowest
                                                             : e->streams.next[client->index];
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
static void address_template(struct engine *e, const struct client *client)
{
    uint8_t *payload = e->template + e->layout.payload_at;

    put_digits(e->template + e->layout.packet_id_at - TOPIC_DIGITS, topic_number(e, client->index));
    memcpy(payload + STREAM_PUBLISHER_AT, &client->index, sizeof client->index);
    if (e->options->latency) {
        uint64_t stamp = now_ns();

        memcpy(payload + STREAM_STAMP_AT, &stamp, sizeof stamp);
    }
}

/* Writes `count` messages, behind the acknowledgements that are waiting. */
static bool publish(struct engine *e, struct client *client, uint64_t count)
{
    struct publisher *publisher = &e->publisher[client->index];
    const struct wire_layout layout = e->layout;
    bool with_id = e->options->publish_qos > 0;
    uint8_t *at = e->scratch + client->out_size;
    uint64_t fit = (e->scratch_room - client->out_size) / layout.size;

    if (count > fit) {
        count = fit;
        enqueue(e, client);
    }
    memcpy(e->scratch, client->out, client->out_size);
    address_template(e, client);
    for (uint64_t number = publisher->sent; number < publisher->sent + count; number++) {
        memcpy(at, e->template, layout.size);
        memcpy(at + layout.payload_at + STREAM_NUMBER_AT, &number, sizeof number);
        if (with_id) {
            wire_put16(at + layout.packet_id_at, (uint16_t)(number % PACKET_IDS + 1));
        }
        at += layout.size;
    }
    publisher->sent += count;
    e->published += count;
    return write_once(e, client, e->scratch, (size_t)(at - e->scratch));
}

static bool flush(struct engine *e, struct client *client)
{
    uint64_t count;

    if (client->blocked) {
        return watch_again(e, client);
    }
    if (client->out_size > e->scratch_room) {
        enqueue(e, client);
        return write_once(e, client, client->out, client->out_size);
    }
    count = client->subscriber ? 0 : publisher_room(e, client);
    if (count > 0) {
        return publish(e, client, count);
    }
    return client->out_size == 0 || write_once(e, client, client->out, client->out_size);
}

/* Only clients that were waiting at the start: one write for each and turn. */
static bool flush_queue(struct engine *e)
{
    size_t queued = e->queued;

    for (size_t i = 0; i < queued; i++) {
        struct client *client = e->queue[i];

        client->queued = false;
        if (!flush(e, client)) {
            return false;
        }
    }
    memmove(e->queue, e->queue + queued, (e->queued - queued) * sizeof(struct client *));
    e->queued -= queued;
    return true;
}

static void answer(struct engine *e, struct client *client, enum wire_type type, uint16_t packet_id)
{
    client->out_size += wire_ack(client->out + client->out_size, type, packet_id);
    enqueue(e, client);
}

static void note_latency(struct engine *e, const uint8_t *payload)
{
    uint64_t stamp;

    memcpy(&stamp, payload + STREAM_STAMP_AT, sizeof stamp);
    histogram_add(e->latency, e->read_ns - stamp, 1);
}

static bool take_publish(struct engine *e, struct client *client, const struct wire_packet *packet)
{
    uint32_t from;
    uint64_t number;
    bool fan_out = e->options->scenario == SCENARIO_FANOUT;

    if (!client->subscriber || packet->body_size != e->options->payload) {
        return bench_fail(e->error, "%s %u got a message that nobody sent", role(client),
                          client->index);
    }
    memcpy(&from, packet->body + STREAM_PUBLISHER_AT, sizeof from);
    memcpy(&number, packet->body + STREAM_NUMBER_AT, sizeof number);
    if (from >= e->publishers || number >= e->publisher[from].sent ||
        (e->options->scenario == SCENARIO_PAIRS && from != client->index)) {
        return bench_fail(e->error, "subscriber %u got a message that nobody sent to it",
                          client->index);
    }
    streams_arrived(&e->streams, fan_out ? client->index : from, number);
    if (packet->qos > 0) {
        answer(e, client, packet->qos == 1 ? WIRE_PUBACK : WIRE_PUBREC, packet->packet_id);
    }
    if (e->options->latency) {
        note_latency(e, packet->body);
    }
    enqueue(e, &e->clients[e->subscribers + from]);
    return true;
}

static bool take_end_of_publish(struct engine *e, struct client *client)
{
    struct publisher *publisher = &e->publisher[client->index];

    if (publisher->acked == publisher->sent) {
        return bench_fail(e->error, "publisher %u got more acknowledgements than it sent messages",
                          client->index);
    }
    publisher->acked++;
    e->acked++;
    enqueue(e, client);
    return true;
}

static bool take_ack(struct engine *e, struct client *client, const struct wire_packet *packet)
{
    uint64_t qos = e->options->publish_qos;

    if (packet->body_size != 2) {
        return bench_fail(e->error, "%s %u got an acknowledgement of a wrong size", role(client),
                          client->index);
    }
    if (client->subscriber && packet->type == WIRE_PUBREL) {
        answer(e, client, WIRE_PUBCOMP, packet->packet_id);
        return true;
    }
    if (!client->subscriber && packet->type == WIRE_PUBREC && qos == 2) {
        answer(e, client, WIRE_PUBREL, packet->packet_id);
        return true;
    }
    if (!client->subscriber && packet->type == (qos == 1 ? WIRE_PUBACK : WIRE_PUBCOMP)) {
        return take_end_of_publish(e, client);
    }
    return bench_fail(e->error, "%s %u got a packet of type %d out of place", role(client),
                      client->index, (int)packet->type);
}

static bool take_packet(struct engine *e, struct client *client, const struct wire_packet *packet)
{
    switch (packet->type) {
    case WIRE_PUBLISH:
        return take_publish(e, client, packet);
    case WIRE_PUBACK:
    case WIRE_PUBREC:
    case WIRE_PUBREL:
    case WIRE_PUBCOMP:
        return take_ack(e, client, packet);
    case WIRE_PINGRESP:
        e->pongs++;
        return true;
    default:
        return bench_fail(e->error, "%s %u got an unexpected packet of type %d", role(client),
                          client->index, (int)packet->type);
    }
}

static bool take_input(struct engine *e, struct client *client, size_t size)
{
    struct wire_packet packet;
    enum wire_result result;
    size_t used = 0;

    while ((result = wire_next(e->input + used, size - used, &packet)) == WIRE_PACKET) {
        if (!take_packet(e, client, &packet)) {
            return false;
        }
        used += packet.size;
        e->packets++;
    }
    if (result == WIRE_BAD || packet.size > e->packet_max) {
        return bench_fail(e->error, "%s %u got bytes that are not MQTT, or too large a packet",
                          role(client), client->index);
    }
    client->tail_size = size - used;
    memcpy(client->tail, e->input + used, client->tail_size);
    return true;
}

static bool read_once(struct engine *e, struct client *client)
{
    bool fan_out = client->subscriber && e->options->scenario == SCENARIO_FANOUT;
    uint64_t before = fan_out ? e->streams.next[client->index] : 0;
    ssize_t got;

    memcpy(e->input, client->tail, client->tail_size);
    got = conn_read(&client->conn, e->input + client->tail_size, INPUT_ROOM, MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
        return true;
    }
    if (got <= 0) {
        return bench_fail(e->error, "the broker closed the connection of %s %u: %s", role(client),
                          client->index, got == 0 ? "end of stream" : strerror(errno));
    }
    if (e->options->latency) {
        e->read_ns = now_ns();
    }
    if (!take_input(e, client, client->tail_size + (size_t)got)) {
        return false;
    }
    if (fan_out) {
        streams_moved(&e->streams, client->index, before);
    }
    return true;
}

bool engine_watch(struct engine *e, struct client *client)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = client};

    client->watched = event.events;
    if (epoll_ctl(e->epoll_fd, EPOLL_CTL_ADD, client->conn.fd, &event) != 0) {
        return bench_fail(e->error, "cannot use epoll: %s", strerror(errno));
    }
    return !conn_has_input(&client->conn) || read_once(e, client);
}

static bool serve(struct engine *e, struct client *client, uint32_t events)
{
    if ((events & EPOLLOUT) != 0) {
        client->blocked = false;
        enqueue(e, client);
    }
    return (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) == 0 || read_once(e, client);
}

bool engine_turn(struct engine *e, uint64_t timeout_ns)
{
    struct epoll_event events[EVENTS];
    struct timespec timeout = {0};
    int ready;

    if (e->queued == 0) {
        timeout.tv_sec = (time_t)(timeout_ns / NS_PER_S);
        timeout.tv_nsec = (long)(timeout_ns % NS_PER_S);
    }
    ready = epoll_pwait2(e->epoll_fd, events, EVENTS, &timeout, NULL);
    if (ready < 0 && errno != EINTR) {
        return bench_fail(e->error, "cannot use epoll: %s", strerror(errno));
    }
    for (int i = 0; i < ready; i++) {
        if (!serve(e, events[i].data.ptr, events[i].events)) {
            return false;
        }
    }
    return flush_queue(e);
}
