/*
 * A world of brokers that are linked by bridges: real cores in one process, under one clock, with
 * a network that is decided by one seed.
 *
 * A run is a number of rounds. Each begins with everybody connected and nothing on its way; then
 * come so many turns of trouble, while local clients publish numbered letters; then calm, until
 * nothing moves any more; then it is seen who got what. So what may be missing or come twice is
 * known for each round by itself: it depends on what has happened to whom in it (`weak`).
 */
#ifndef SIM_BRIDGE_WORLD_H
#define SIM_BRIDGE_WORLD_H

#include "../trace.h"
#include "../util.h"
#include "base/rng.h"
#include "core/broker.h"
#include "mqtt/frame.h"
#include "mqtt/packet.h"

#define NODES 3
#define BRIDGES 3
#define RULES 4
#define LINKS 96
#define DIALS 32
#define TOPICS 13
#define TOPICS_PLAIN 8 /* the others are for retained messages */
#define PUBLISHERS 2   /* at each node */
#define SUBSCRIBERS 2
#define LOCALS (NODES * (PUBLISHERS + SUBSCRIBERS + 1))
#define OUT_MAX 12
#define PLACES 8
#define NAME_MAX_BYTES 48
#define FETCHES 256

struct totals {
    uint64_t seeds, rounds, turns, letters, arrivals, strict, dials, probes, links, cuts, halves,
        crashes, reloads, hostile, robbed, checks;
};

/* A `topic` line. */
struct rule {
    const char *pattern;
    const char *local, *remote; /* prefixes */
    uint8_t direction;          /* of enum conf_direction */
    uint8_t qos;
};

/* A `connection` section, and what the model makes of it. */
struct section {
    unsigned owner, remote; /* nodes */
    char name[12];
    struct rule rules[RULES];
    unsigned rule_n;
    unsigned keepalive;
    unsigned addresses; /* which list */
    enum conf_start start;
    bool private, clean, local_clean, notifications, attempt_unsubscribe, outgoing_retain, v31;
    bool round_robin;
    bool removed; /* it is not in the file for now */
    bool linked;  /* now, to a broker */
    bool lost;    /* its connection was lost in this round */
    /*
     * One of both ends has forgotten which QoS 2 messages were under way, the other has not:
     * without a journal, or after a remote that was another one. So later messages with the same
     * packet ids are taken for those.
     */
    bool confused;
    bool doubted; /* for some time the remote broker may have taken it for an ordinary client */
};

struct frame_copy {
    char *p;
    size_t n;
    uint64_t position;
    uint64_t turn;
};

struct world;

/* A broker. */
struct node {
    unsigned number;
    struct broker *broker;
    struct conf *conf;
    struct now now;
    bool persistent;
    bool more; /* it wants to go on at once */
    struct frame_copy *frames;
    uint32_t frame_n, frame_cap;
    uint32_t frame_first; /* those before it have been cleaned away */
    uint64_t position;    /* of the next frame's records */
    uint64_t turn;        /* the last with records */
    uint64_t durable;     /* of these */
    uint64_t copied;      /* what was cleaned away stands again in frames up to this turn */
    struct fetch fetches[FETCHES];
    uint32_t fetch_n;
};

/* One end of a connection: a core's. */
struct wire {
    uint32_t serial; /* 0 = free */
    unsigned node;
    struct conn *conn;
    struct bytes in;     /* on their way to the core */
    struct wire *other;  /* the end at another core, or NULL */
    struct local *local; /* the client behind it, or NULL */
    struct evil *evil; /* a hostile remote, or NULL; none of the three: nobody is there any more */
    int bridge;        /* whose end this is, or -1 */
    size_t fed;        /* bytes that the core has had */
    bool gone;         /* the peer has closed: to be told when all of `in` was read */
    bool unsent;       /* the last write was short */
    unsigned stall;    /* turns that nothing gets through */
};

struct dial {
    bool used;
    unsigned node;
    struct dial_order order;
    uint64_t due_ms;
};

/* A letter's way: where it comes by. */
struct place {
    char name[NAME_MAX_BYTES];
    uint8_t node;
    uint8_t qos;            /* the least on the way */
    int8_t via;             /* bridge, -1 = it was published here */
    bool back;              /* a broker that was not told of a bridge has sent it back */
    bool again;             /* QoS 1 was on the way: it may come more than once */
    bool quick;             /* QoS 0 was: it may be lost */
    int8_t from;            /* the place before it, -1 = none */
    bool mute;              /* the bridge does not carry the retain flag */
    uint8_t nodes, bridges; /* bits: all on the way */
};

struct letter {
    struct place places[PLACES];
    uint8_t place_n;
    uint8_t node, topic, qos;
    bool retain;
    uint32_t seq;
    uint32_t round;
    uint16_t got[LOCALS];
};

enum local_kind { PUBLISHER, SUBSCRIBER, READER };
enum local_state { LOCAL_OFF, LOCAL_CONNECTING, LOCAL_UP };

struct outgoing {
    uint32_t letter; /* 0: it clears a retained message */
    uint16_t id;
    uint8_t topic, qos;
    bool released;
};

/* A client of one broker, well-behaved. */
struct local {
    unsigned number;
    unsigned node;
    enum local_kind kind;
    enum local_state state;
    char id[16];
    struct wire *link;
    struct bytes rx;
    uint8_t qos;     /* of its subscription */
    bool wanted;     /* a reader's */
    bool subscribed; /* SUBACK has come for this session */
    uint16_t last_id;
    struct outgoing out[OUT_MAX];
    uint32_t out_n;
    uint8_t in[65536 / 8];             /* ids of QoS 2 messages that came and were not released */
    uint32_t first_seq[NODES][TOPICS]; /* the last that came for the first time */
};

/* What a reader finds retained. */
struct found {
    char name[NAME_MAX_BYTES];
    uint32_t letter;
};
#define FOUND_MAX 256

struct knobs {
    unsigned nodes, bridges;
    unsigned turns;                      /* of trouble in a round */
    unsigned publish;                    /* of 1000, each publisher in each turn */
    unsigned cut, cut_local, half;       /* of 10000, in each turn */
    unsigned crash, reload, rogue, jump; /* likewise */
    unsigned dial_fail, slow, split;     /* of 1000 */
    unsigned hostile;                    /* of 1000 dials, where an address is a hostile one */
    unsigned idle;                       /* of 1000: a broker that gets no turn */
    unsigned lag;                        /* of 1000: records become durable later */
    unsigned clean;                      /* of 10000: the journal is cleaned */
    unsigned nomem;                      /* of 10000 */
    unsigned max_inflight, max_queued;
    bool memory_limit; /* payloads leave memory */
    bool twins;        /* two bridges between the same brokers */
};

struct world {
    uint64_t seed;
    struct rng rng;
    struct knobs knobs;
    struct trace trace;
    struct totals *totals;
    uint64_t now_ms;
    uint32_t turn;
    uint32_t round;
    bool calm;
    size_t mem_start;
    uint32_t serial;
    uint64_t ids;

    struct node nodes[NODES];
    struct section sections[BRIDGES];
    struct wire links[LINKS];
    struct dial dials[DIALS];
    struct local locals[LOCALS];
    uint8_t topic_qos[NODES][TOPICS];
    uint32_t next_seq;
    struct letter *letters; /* the first is none */
    uint32_t letter_n, letter_cap;
    uint32_t retained[NODES][TOPICS]; /* the last published, 0 = cleared or none */
    struct found found[NODES][FOUND_MAX];
    uint32_t found_n[NODES];
    uint8_t states[NODES][BRIDGES]; /* what the notification says: '0', '1', 0 = nothing */

    /* what has happened in this round */
    uint8_t weak_nodes;                         /* forgot everything */
    uint8_t ever_weak_nodes, ever_weak_bridges; /* … in any round */
    uint8_t weak_bridges; /* lost a session, or spoke to somebody who is no broker of ours */
    bool unruly;          /* rules have changed: names are not known */
    bool changed;         /* … in any round */
    bool disturbed;       /* connections were lost, brokers restarted … */
    bool starved;         /* an allocation failed: QoS 0 may be missing */
};

/* A check failed: say everything and end. */
_Noreturn void world_fail(struct world *w, const char *fmt, ...) PRINTF(2, 3) COLD;
struct log world_log(struct world *w);

static inline bool chance(struct world *w, unsigned of_thousand)
{
    return of_thousand && rng_below(&w->rng, 1000) < of_thousand;
}
/* Of ten thousand, and only while there is trouble. */
static inline bool trouble(struct world *w, unsigned of_ten_thousand)
{
    return !w->calm && of_ten_thousand && rng_below(&w->rng, 10000) < of_ten_thousand;
}

/* --- sections.c: configurations --- */

void sections_draw(struct world *w);
/* What the file of a node says now; ends the run if it is refused. */
struct conf *sections_conf(struct world *w, unsigned node);
/* A section changes: something without effect on sessions, or (`deep`) its topics, or it goes or
 * comes back. */
void sections_change(struct world *w, struct section *s, bool deep);
const char *topic_name(const struct world *w, unsigned node, unsigned topic, char *room);

/* --- node.c: a core, its turns, its journal --- */

void node_start(struct world *w, struct node *n);
void node_turn(struct world *w, struct node *n);
void node_crash(struct world *w, struct node *n);
void node_reload(struct world *w, struct node *n);
void node_stop(struct world *w, struct node *n);
void node_clear(struct node *n);

/* --- wire.c: connections --- */

struct wire *wire_open(struct world *w, unsigned node);
/* The core has been told that it is gone, or will never be asked again: whoever is at the other end
 * learns of it (unless `silent`). */
void wire_free(struct world *w, struct wire *l, bool silent);
void wire_feed(struct world *w, struct wire *l);
void wire_flush(struct world *w, struct node *n);
/* Losses. */
void wire_trouble(struct world *w);
/* Is anything on its way? */
bool wire_quiet(const struct world *w);
/* Has this end of a bridge, or the other one, no CONNACK yet? */
bool wire_is_greeting(const struct wire *l);
void wire_take_dials(struct world *w, struct node *n);
void wire_work_dials(struct world *w, struct node *n);
void wire_forget_dials(struct world *w, unsigned node);
bool wire_dials_quiet(const struct world *w);

/* --- evil.c: a remote that is no broker --- */

struct evil *evil_new(struct world *w);
void evil_free(struct evil *e);
void evil_hear(struct evil *e, const void *p, size_t n);
void evil_act(struct world *w, struct wire *l);

/* --- local.c: clients --- */

void local_init(struct world *w, unsigned number);
void local_act(struct world *w, struct local *c);
void local_lost(struct local *c);
/* Their sessions are gone. (Session present of CONNACK says so too, unless that is lost.) */
void locals_forget(struct world *w, unsigned node);
bool local_quiet(const struct local *c);

/* --- audit.c: the model --- */

/* Where it ought to arrive. */
void model_spread(const struct world *w, struct letter *l);
void audit_arrival(struct world *w, struct local *c, const struct packet_publish *p);
void audit_retained(struct world *w, struct local *c, const struct packet_publish *p);
void audit_round(struct world *w);

#endif
