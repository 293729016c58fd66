/*
 * Many connections at work in one loop.
 *
 * A turn waits for the sockets, reads each ready one once, and then writes each one that has
 * something to say once, however many packets that is. The crew does what is the same for all
 * scenarios: cut input into packets, acknowledge, keep what a socket did not take. What messages
 * mean and which are sent next is its owner's business. Nothing is allocated after crew_init.
 */
#ifndef BENCH_CREW_H
#define BENCH_CREW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bench/conn.h"
#include "bench/error.h"
#include "bench/wire.h"

struct member {
    struct conn conn;
    uint32_t index; /* among the publishers or among the subscribers */
    bool subscriber;
    bool queued;  /* has something to write */
    bool blocked; /* a write was cut short: waits for EPOLLOUT */
    uint32_t watched;
    uint8_t *tail; /* the beginning of a packet whose rest has not come yet */
    size_t tail_size;
    uint8_t *out; /* acknowledgements, and what a short write left */
    size_t out_size;
};

struct crew_calls {
    /* A message has come to a subscriber. The crew acknowledges it. False: see the error. */
    bool (*arrived)(void *owner, struct member *member, const struct wire_packet *packet);
    /* A message of this publisher is wholly acknowledged. False: see the error. */
    bool (*acked)(void *owner, struct member *member);
    /* A SUBACK. May be NULL if nobody subscribes while the crew works. False: see the error. */
    bool (*subscribed)(void *owner, struct member *member, const struct wire_packet *packet);
    /* All that one read has brought was told. May be NULL. */
    void (*after_read)(void *owner, struct member *member);
    /*
     * What the member says next: at most `room` bytes at `out`. Returns how many; if there is
     * more, crew_enqueue brings it back in the next turn.
     */
    size_t (*fill)(void *owner, struct member *member, uint8_t *out, size_t room);
};

struct crew_setup {
    size_t subscribers;
    size_t publishers;
    unsigned publish_qos;
    size_t packet_max; /* the largest packet that may come in or go out */
    bool clocked;      /* note in `read_ns` when input came */
    const struct crew_calls *calls;
    void *owner;
};

struct crew {
    struct crew_setup setup;
    struct bench_error *error;
    int epoll_fd;
    size_t count;
    struct member *members; /* subscribers first, then publishers */
    struct member **queue;
    size_t queued;
    uint64_t pongs;
    uint64_t packets; /* that came in */
    uint8_t *scratch; /* what is written next */
    size_t scratch_room;
    uint8_t *input;
    uint8_t *arena; /* all tails and outs */
    size_t arena_size;
    uint64_t read_ns; /* when the latest input came; only if `clocked` */
};

/* The members are not connected yet. False: see the error; crew_clear is due all the same. */
bool crew_init(struct crew *crew, const struct crew_setup *setup, struct bench_error *error);
void crew_clear(struct crew *crew); /* leaves the connections alone */

/* All who are connected say DISCONNECT and close. */
void crew_leave(struct crew *crew);

struct member *crew_publisher(struct crew *crew, size_t index);

/* A member that is connected joins the loop. */
bool crew_watch(struct crew *crew, struct member *member);
/* It leaves the loop; the connection stays, and what was not written is forgotten. */
void crew_unwatch(struct crew *crew, struct member *member);

/* Its `fill` is called at the end of this turn. */
static inline void crew_enqueue(struct crew *crew, struct member *member)
{
    if (!member->queued) {
        member->queued = true;
        crew->queue[crew->queued++] = member;
    }
}

/* Sends PINGREQs; `pongs`, from 0, counts the answers. */
void crew_ping(struct crew *crew, struct member *first, size_t count);

/*
 * These will only listen for a while. A connection on which a PINGREQ was just sent is a dialogue
 * for the kernel: it delays ACKs by up to 40 ms, hoping for an answer that could carry them. A
 * broker that leaves Nagle's algorithm on then holds messages back as long, which it would not do
 * with a client that merely receives (at 10,000 messages a second 20,000 messages took 15,000
 * segments and ACKs instead of 40,000, and p50 was 9 ms). In a burst it is left as it is, since
 * an ACK for each read makes the generator a quarter dearer.
 */
void crew_listen(struct member *first, size_t count);

/* Waits for at most so long, and does what there is to do. False: see the error. */
bool crew_turn(struct crew *crew, uint64_t timeout_ns);

const char *member_role(const struct member *member);

#endif
