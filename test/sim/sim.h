/*
 * One simulated world.
 */
#ifndef SIM_SIM_H
#define SIM_SIM_H

#include "base/mem.h"
#include "client.h"
#include "core/broker.h"
#include "disk.h"
#include "guard.h"
#include "knobs.h"
#include "letter.h"
#include "model.h"
#include "trace.h"

#define MONO_START_MS 5000

struct totals {
    uint64_t seeds, steps, packets, sent, delivered, resent, retained, dropped, connects, takeovers,
        crashes, rebuilds, failures, closed, cuts, failed_syncs, fetched, cleaned;
};

struct sim {
    uint64_t seed;
    uint64_t steps; /* to be run for each seed */
    uint64_t step;
    struct rng rng;
    struct knobs knobs;
    struct conf conf[2]; /* the same twice, for reloading */
    unsigned conf_now;
    struct conf_listener listener[2]; /* the second is behind the mount point */
    struct conf_listener *listeners[2];
    struct str mount;
    struct names names;
    struct guard guard;
    struct trace trace;
    struct totals *totals; /* shared by the processes that run seeds */

    struct broker *broker;
    struct now now;
    uint32_t turn;  /* ours; counts on over crashes */
    uint64_t event; /* counts what the model is told */
    uint64_t made_ids;
    size_t mem_start;

    struct model model;
    struct facts facts;
    struct letters letters;
    struct client clients[CLIENTS];
    struct cable cables[CABLES];
    uint32_t serial;
    struct simdisk disk;

    /* this turn */
    bool barrier;          /* a will goes out: no more input until that is done */
    bool faint;            /* an allocation may fail or has failed */
    bool starved;          /* … and did */
    struct cable *pending; /* its packets are not all handled yet */
    bool polling;          /* several connections may have ended at once, in any order */
    bool left[FILTERS];    /* … and with them clean sessions that had this filter */
    bool more;             /* broker_work wants to be called at once */
    uint32_t held_turns;
    unsigned paused; /* turns of storage trouble left */
    bool calm;       /* the end of the run: no more trouble */

    uint64_t claimed;  /* deliveries that must have been dropped by a limit */
    uint64_t admitted; /* dropped deliveries that former brokers have counted */
};

/* A check failed: say everything and end. */
_Noreturn void sim_fail(struct sim *s, const char *fmt, ...) PRINTF(2, 3) COLD;

static inline bool chance(struct sim *s, unsigned of_thousand)
{
    return of_thousand && rng_below(&s->rng, 1000) < of_thousand;
}
static inline bool rarely(struct sim *s, unsigned of_ten_thousand)
{
    return of_ten_thousand && rng_below(&s->rng, 10000) < of_ten_thousand;
}

/* Has this topic or filter a name behind the mount point? */
static inline bool sim_mounts(const struct sim *s, struct str text)
{
    return text.n > s->mount.n && str_has_prefix(text, s->mount);
}
/* May a connection, behind the mount point or not, see this topic? */
static inline bool sim_sees(const struct sim *s, bool mounted, unsigned topic)
{
    return !mounted || sim_mounts(s, s->names.topic[topic]);
}

/* A broker with this world's configuration. */
struct broker *sim_broker(struct sim *s);
struct log sim_log(struct sim *s);

/* --- network.c: cables --- */

struct cable *cable_open(struct sim *s, int client, bool mounted);
struct cable *cable_find(struct sim *s, uint32_t serial);
/* The broker has been told that it is gone, or will never be asked again. */
void cable_free(struct sim *s, struct cable *k);
void cable_feed(struct sim *s, struct cable *k);
/* The client's end is closed. */
void cable_cut(struct sim *s, struct cable *k);
/* Handle what the broker did since with packets that it had put off. */
void cable_resume(struct sim *s, uint64_t packets_before);
/* Has the broker decided to close any? */
void cables_poll(struct sim *s);
void cables_flush(struct sim *s);

/* --- apply.c: the model is told --- */

void apply_op(struct sim *s, struct cable *k, const struct op *op);
/* An allocation failed, and the connection was closed while it was handled. */
void apply_maybe(struct sim *s, struct cable *k, const struct op *op);
/* The connection ends; `will`: without DISCONNECT. */
void apply_end(struct sim *s, struct cable *k, bool will);
/* What retained messages were to be sent at QoS 0 may be lost. */
void cursors_weaken(struct session *to);

/* --- route.c --- */

void deliver(struct sim *s, uint32_t letter, bool maybe);

/* --- audit.c: is what arrives right? --- */

/* Returns the row's uid, 0 for QoS 0; *letter is the message, 0 if it is not known. */
uint32_t audit_publish(struct sim *s, struct cable *k, const struct packet_publish *p,
                       uint32_t *letter);
/* The uid of the row that is released, 0 if none is known. */
uint32_t audit_pubrel(struct sim *s, struct cable *k, uint16_t id);
/* An answer; *was is what the model expected. */
void audit_expect(struct sim *s, struct cable *k, const struct expect *got, struct expect *was);
/* The message reaches the application behind the client, not as a retained one. */
void audit_arrival(struct sim *s, struct client *c, uint32_t letter, uint8_t qos);
/* Everything has been read: nothing may be owed. */
void audit_end(struct sim *s);

#endif
