/*
 * The tables of the broker side by side: the waist of the house. Only the files above it in core/,
 * and the store, may look.
 */
#ifndef CORE_STATE_H
#define CORE_STATE_H

#include "base/wheel.h"
#include "core/bridging.h"
#include "core/broker.h"
#include "core/conn.h"
#include "core/logins.h"
#include "core/route.h"
#include "core/sessions.h"
#include "core/topicmap.h"

/* The largest packet before CONNECT was accepted: nobody needs more, and memory is not for
 * strangers. */
#define CONNECT_PACKET_MAX 100000
/* An acknowledgement has 4 bytes; a length field with padding may make it 7. */
#define SHORT_PACKET_MAX 7
#define CONNECT_TIMEOUT_MS BROKER_CONNECT_MS
/* Everything is read into here; what is larger lands in an allocation of its own connection. */
#define SHARED_INPUT (64 * 1024)

struct replay;
struct recent;
struct sys;

struct broker {
    const struct conf *conf;
    const struct conf *prepared; /* by broker_prepare */
    struct log log;
    struct now now;
    int64_t began_s;    /* Unix time of the first tick, by the clock as it is now */
    uint64_t began_ms;  /* monotonic */
    uint64_t expire_ms; /* when sessions are looked through for those that have expired */
    struct work work;
    struct report report;
    struct stats stats;
    struct persist persist;
    struct outbox_hub hub;
    struct trie trie;
    struct retain retain;
    struct session_env env;
    struct sessions sessions;
    struct route route;
    struct wheel wheel;
    struct logins logins;
    struct bridges bridges;
    struct slab conns;
    struct conn_list all;
    struct conn_list pending;
    struct conn *recheck;                   /* see logins_work */
    struct slabs pool;                      /* of messages that are kept, and of flows */
    struct publication_scratch scratch;     /* of the publication that is being routed */
    struct publication_scratch row_scratch; /* of rows that are sent meanwhile */
    struct replay *replay;                  /* while records are applied */
    struct recent *renewed;                 /* subscriptions that were recorded anew lately */
    struct sys *sys;                        /* what is said below $SYS */
    const char *version;
    void (*make_id)(void *ctx, char out[BROKER_ID_MAX]);
    void *make_id_ctx;
    bool storage_paused;
    bool sweeping;       /* the trie has nodes to free */
    uint32_t renew_left; /* units that cleaning may still take in this turn */
    uint32_t looked_at;  /* old records, all of them */
    bool unnoted;        /* of some sessions the journal says that they are connected still */
    bool starved;        /* sessions stopped for want of memory, not of budget */
    char mapped[TOPICMAP_ROOM]; /* the topic or filter of the packet that is handled now */
    uint8_t input[SHARED_INPUT];
};

#endif
