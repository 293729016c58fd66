/*
 * Many connections at work in one loop.
 *
 * It has to be much cheaper than any broker, or it would measure itself: output is made in one
 * warm buffer that all members share, input is parsed where it lands, and a connection costs one
 * read and one write in a turn, however many messages that is.
 */
#include "bench/crew.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "bench/stat.h"

enum {
    INPUT_ROOM = 128 * 1024,
    OUTPUT_ROOM = 128 * 1024,
    EVENTS = 512,
    ACK_BODY_SIZE = 2,
};

#define NS_PER_S UINT64_C(1000000000)

/* Room for all members in one mapping: what is never touched costs nothing. */
static bool make_arena(struct crew *crew)
{
    size_t out_room = crew->scratch_room + INPUT_ROOM + crew->setup.packet_max;
    size_t each = crew->setup.packet_max + out_room;

    crew->arena_size = each * crew->count;
    crew->arena = mmap(NULL, crew->arena_size, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (crew->arena == MAP_FAILED) {
        crew->arena = NULL;
        return false;
    }
    for (size_t i = 0; i < crew->count; i++) {
        crew->members[i].tail = crew->arena + i * each;
        crew->members[i].out = crew->members[i].tail + crew->setup.packet_max;
    }
    return true;
}

static bool make_tables(struct crew *crew)
{
    crew->members = calloc(crew->count, sizeof *crew->members);
    for (size_t i = 0; crew->members != NULL && i < crew->count; i++) {
        struct member *member = &crew->members[i];

        member->conn.fd = -1;
        member->subscriber = i < crew->setup.subscribers;
        member->index = (uint32_t)(member->subscriber ? i : i - crew->setup.subscribers);
    }
    /* Twice: while the queue is worked off, members may join again behind it. */
    crew->queue = calloc(2 * crew->count, sizeof(struct member *));
    crew->scratch = malloc(crew->scratch_room);
    crew->input = malloc(INPUT_ROOM + crew->setup.packet_max);
    return crew->members != NULL && crew->queue != NULL && crew->scratch != NULL &&
           crew->input != NULL && make_arena(crew);
}

bool crew_init(struct crew *crew, const struct crew_setup *setup, struct bench_error *error)
{
    memset(crew, 0, sizeof *crew);
    crew->setup = *setup;
    crew->error = error;
    crew->count = setup->subscribers + setup->publishers;
    crew->scratch_room = OUTPUT_ROOM > setup->packet_max ? OUTPUT_ROOM : setup->packet_max;
    crew->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (crew->epoll_fd < 0) {
        return bench_fail(error, "cannot use epoll: %s", strerror(errno));
    }
    return make_tables(crew) ||
           bench_fail(error, "memory is too short for %zu connections", crew->count);
}

void crew_clear(struct crew *crew)
{
    if (crew->arena != NULL) {
        munmap(crew->arena, crew->arena_size);
    }
    if (crew->epoll_fd >= 0) {
        close(crew->epoll_fd);
    }
    free(crew->members);
    free(crew->queue);
    free(crew->scratch);
    free(crew->input);
}

void crew_leave(struct crew *crew)
{
    for (size_t i = 0; crew->members != NULL && i < crew->count; i++) {
        if (crew->members[i].conn.fd >= 0) {
            conn_leave(&crew->members[i].conn);
        }
    }
}

struct member *crew_publisher(struct crew *crew, size_t index)
{
    return &crew->members[crew->setup.subscribers + index];
}

const char *member_role(const struct member *member)
{
    return member->subscriber ? "subscriber" : "publisher";
}

void crew_ping(struct crew *crew, struct member *first, size_t count)
{
    crew->pongs = 0;
    for (size_t i = 0; i < count; i++) {
        struct member *member = &first[i];

        member->out_size += wire_empty(member->out + member->out_size, WIRE_PINGREQ);
        crew_enqueue(crew, member);
    }
}

void crew_listen(struct member *first, size_t count)
{
    int on = 1;

    for (size_t i = 0; i < count; i++) {
        setsockopt(first[i].conn.fd, IPPROTO_TCP, TCP_QUICKACK, &on, sizeof on);
    }
}

/* Input is awaited only while there is room for the answers to it. */
static bool watch_again(struct crew *crew, struct member *member)
{
    struct epoll_event event = {.data.ptr = member};

    event.events =
        (member->out_size <= crew->scratch_room ? EPOLLIN : 0U) | (member->blocked ? EPOLLOUT : 0U);
    if (event.events == member->watched) {
        return true;
    }
    member->watched = event.events;
    return epoll_ctl(crew->epoll_fd, EPOLL_CTL_MOD, member->conn.fd, &event) == 0 ||
           bench_fail(crew->error, "cannot use epoll: %s", strerror(errno));
}

static bool write_once(struct crew *crew, struct member *member, const uint8_t *bytes, size_t size)
{
    ssize_t sent = conn_write(&member->conn, bytes, size, MSG_DONTWAIT);
    size_t rest;

    if (sent < 0) {
        if (errno != EAGAIN && errno != EINTR) {
            return bench_fail(crew->error, "%s %u cannot send: %s", member_role(member),
                              member->index, strerror(errno));
        }
        sent = 0;
    }
    rest = size - (size_t)sent;
    if (rest > 0) {
        memmove(member->out, bytes + sent, rest);
    }
    member->out_size = rest;
    member->blocked = rest > 0;
    return watch_again(crew, member);
}

/* What is waiting, and behind it whatever the owner has to add. */
static bool flush(struct crew *crew, struct member *member)
{
    size_t waiting = member->out_size;
    size_t added;

    if (member->blocked) {
        return watch_again(crew, member);
    }
    if (waiting > crew->scratch_room) {
        crew_enqueue(crew, member);
        return write_once(crew, member, member->out, waiting);
    }
    added = crew->setup.calls->fill(crew->setup.owner, member, crew->scratch + waiting,
                                    crew->scratch_room - waiting);
    if (added > 0) {
        memcpy(crew->scratch, member->out, waiting);
        return write_once(crew, member, crew->scratch, waiting + added);
    }
    return waiting == 0 || write_once(crew, member, member->out, waiting);
}

/* Only members that were waiting at the start: one write for each and turn. */
static bool flush_queue(struct crew *crew)
{
    size_t queued = crew->queued;

    for (size_t i = 0; i < queued; i++) {
        struct member *member = crew->queue[i];

        member->queued = false;
        if (!flush(crew, member)) {
            return false;
        }
    }
    memmove(crew->queue, crew->queue + queued, (crew->queued - queued) * sizeof(struct member *));
    crew->queued -= queued;
    return true;
}

static void answer(struct crew *crew, struct member *member, enum wire_type type,
                   uint16_t packet_id)
{
    member->out_size += wire_ack(member->out + member->out_size, type, packet_id);
    crew_enqueue(crew, member);
}

static bool take_publish(struct crew *crew, struct member *member, const struct wire_packet *packet)
{
    if (!member->subscriber) {
        return bench_fail(crew->error, "publisher %u got a message that nobody sent",
                          member->index);
    }
    if (packet->qos > 0) {
        answer(crew, member, packet->qos == 1 ? WIRE_PUBACK : WIRE_PUBREC, packet->packet_id);
    }
    return crew->setup.calls->arrived(crew->setup.owner, member, packet);
}

static bool take_ack(struct crew *crew, struct member *member, const struct wire_packet *packet)
{
    unsigned qos = crew->setup.publish_qos;

    if (packet->body_size != ACK_BODY_SIZE) {
        return bench_fail(crew->error, "%s %u got an acknowledgement of a wrong size",
                          member_role(member), member->index);
    }
    if (member->subscriber && packet->type == WIRE_PUBREL) {
        answer(crew, member, WIRE_PUBCOMP, packet->packet_id);
        return true;
    }
    if (!member->subscriber && packet->type == WIRE_PUBREC && qos == 2) {
        answer(crew, member, WIRE_PUBREL, packet->packet_id);
        return true;
    }
    if (!member->subscriber && qos > 0 && packet->type == (qos == 1 ? WIRE_PUBACK : WIRE_PUBCOMP)) {
        return crew->setup.calls->acked(crew->setup.owner, member);
    }
    return bench_fail(crew->error, "%s %u got a packet of type %d out of place",
                      member_role(member), member->index, (int)packet->type);
}

static bool take_packet(struct crew *crew, struct member *member, const struct wire_packet *packet)
{
    switch (packet->type) {
    case WIRE_PUBLISH:
        return take_publish(crew, member, packet);
    case WIRE_PUBACK:
    case WIRE_PUBREC:
    case WIRE_PUBREL:
    case WIRE_PUBCOMP:
        return take_ack(crew, member, packet);
    case WIRE_PINGRESP:
        crew->pongs++;
        crew_enqueue(crew, member);
        return true;
    case WIRE_SUBACK:
        if (crew->setup.calls->subscribed != NULL) {
            return crew->setup.calls->subscribed(crew->setup.owner, member, packet);
        }
        break;
    default:
        break;
    }
    return bench_fail(crew->error, "%s %u got an unexpected packet of type %d", member_role(member),
                      member->index, (int)packet->type);
}

static bool take_input(struct crew *crew, struct member *member, size_t size)
{
    struct wire_packet packet;
    enum wire_result result;
    size_t used = 0;

    while ((result = wire_next(crew->input + used, size - used, &packet)) == WIRE_PACKET) {
        if (!take_packet(crew, member, &packet)) {
            return false;
        }
        used += packet.size;
        crew->packets++;
    }
    if (result == WIRE_BAD || packet.size > crew->setup.packet_max) {
        return bench_fail(crew->error, "%s %u got bytes that are not MQTT, or too large a packet",
                          member_role(member), member->index);
    }
    member->tail_size = size - used;
    memcpy(member->tail, crew->input + used, member->tail_size);
    return true;
}

static bool read_once(struct crew *crew, struct member *member)
{
    ssize_t got;

    memcpy(crew->input, member->tail, member->tail_size);
    got = conn_read(&member->conn, crew->input + member->tail_size, INPUT_ROOM, MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
        return true;
    }
    if (got <= 0) {
        return bench_fail(crew->error, "the broker closed the connection of %s %u: %s",
                          member_role(member), member->index,
                          got == 0 ? "end of stream" : strerror(errno));
    }
    if (crew->setup.clocked) {
        crew->read_ns = now_ns();
    }
    if (!take_input(crew, member, member->tail_size + (size_t)got)) {
        return false;
    }
    if (crew->setup.calls->after_read != NULL) {
        crew->setup.calls->after_read(crew->setup.owner, member);
    }
    return true;
}

bool crew_watch(struct crew *crew, struct member *member)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = member};

    member->watched = event.events;
    if (epoll_ctl(crew->epoll_fd, EPOLL_CTL_ADD, member->conn.fd, &event) != 0) {
        return bench_fail(crew->error, "cannot use epoll: %s", strerror(errno));
    }
    return !conn_has_input(&member->conn) || read_once(crew, member);
}

void crew_unwatch(struct crew *crew, struct member *member)
{
    size_t kept = 0;

    epoll_ctl(crew->epoll_fd, EPOLL_CTL_DEL, member->conn.fd, NULL);
    for (size_t i = 0; i < crew->queued; i++) {
        if (crew->queue[i] != member) {
            crew->queue[kept++] = crew->queue[i];
        }
    }
    crew->queued = kept;
    member->queued = false;
    member->tail_size = 0;
    member->out_size = 0;
    member->blocked = false;
}

static bool serve(struct crew *crew, struct member *member, uint32_t events)
{
    if ((events & EPOLLOUT) != 0) {
        member->blocked = false;
        crew_enqueue(crew, member);
    }
    return (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) == 0 || read_once(crew, member);
}

bool crew_turn(struct crew *crew, uint64_t timeout_ns)
{
    struct epoll_event events[EVENTS];
    struct timespec timeout = {0};
    int ready;

    if (crew->queued == 0) {
        timeout.tv_sec = (time_t)(timeout_ns / NS_PER_S);
        timeout.tv_nsec = (long)(timeout_ns % NS_PER_S);
    }
    ready = epoll_pwait2(crew->epoll_fd, events, EVENTS, &timeout, NULL);
    if (ready < 0 && errno != EINTR) {
        return bench_fail(crew->error, "cannot use epoll: %s", strerror(errno));
    }
    for (int i = 0; i < ready; i++) {
        if (!serve(crew, events[i].data.ptr, events[i].events)) {
            return false;
        }
    }
    return flush_queue(crew);
}
