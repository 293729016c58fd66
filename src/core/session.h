/*
 * What outlives a connection: subscriptions, flow, queue; and delivery to one client.
 *
 * A session is clean (it ends with its connection) or persistent (recorded, and it has a number).
 * Connected it points at its connection's outbox, absent at none.
 */
#ifndef CORE_SESSION_H
#define CORE_SESSION_H

#include "base/log.h"
#include "core/author.h"
#include "core/fetch.h"
#include "core/kin.h"
#include "core/outbox.h"
#include "core/persist.h"
#include "core/report.h"
#include "core/retain.h"
#include "core/rights.h"
#include "core/trie.h"
#include "mqtt/flow.h"
#include "mqtt/reason.h"

#include <sys/queue.h>

struct session {           /* aligned to TRIE_SESSION_ALIGN, as every allocation is */
    struct table subs;     /* of trie places */
    struct flow *flow;     /* NULL until QoS 1 or 2 is used */
    struct outbox *out;    /* while connected */
    struct rights *rights; /* NULL: nobody has asked for them */
    uint64_t number;       /* in the journal; 0 = clean */
    uint64_t position;     /* in the journal, of its last CLIENT record */
    TAILQ_ENTRY(session) work;
    struct retain_cursors cursors;
    uint64_t serial;  /* of the last publication that found it; of an ended one: how far its
                         subscriptions are gone */
    uint64_t tail;    /* of the flow, while there is none */
    int64_t absent_s; /* Unix time since when; 0 = connected */
    uint32_t live;    /* bytes that its records would take now, modulo 2^32 */
    uint32_t dropped; /* messages, by limits, in the episode */
    uint32_t slot;    /* among that publication's receivers */
    uint16_t last_id; /* of the flow, while there is none */
    uint16_t id_len;
    bool has_work : 1;
    bool ended : 1;
    bool dropping : 1; /* an episode of drops that has been logged */
    bool unnoted : 1;  /* the journal says that it is connected, from a former life */
    bool fetching : 1; /* a row's message is wanted from the journal */
    bool bridge : 1;   /* the peer is a bridge: RETAIN as published, no echo */
    bool outside : 1;  /* that it has messages outside its mount point has been logged for this
                          connection */
    bool own : 1;      /* of a bridge of ours: its peer is the remote broker */
    bool lazy : 1;     /* … which connects when something waits here, QoS 0 included */
    uint8_t kin;       /* the broker at the other end: see kin.h; 0 = not known */
    char id[];
};

/* The sequence number of its flow's next row. */
static inline uint64_t session_tail(const struct session *s)
{
    if (s->flow)
        return flow_tail(s->flow);
    return s->tail ? s->tail : 1;
}

TAILQ_HEAD(session_list, session);

/* What delivering needs of the broker. */
struct session_env {
    struct outbox_hub *hub;
    struct persist *persist;
    struct stats *stats;
    struct work *work;
    struct trie *trie;
    struct retain *retain;
    struct log *log;
    struct report *report;
    struct party (*party_of)(const struct outbox *out); /* who reads what is put there */
    struct publication_scratch *scratch; /* for rows sent while another publication is under way */
    /* A message for a bridge of ours was dropped: could it have passed at another time? */
    void (*own_dropped)(struct session_env *env, const struct session *s, bool could_pass);
    struct flow_limits limits;
    struct flow_limits own_limits; /* of bridges of ours */
    bool queue_qos0;
    bool duplicates;          /* one copy for each subscription that matches */
    bool drop_oldest;         /* … rather than the newest, when a queue is full */
    bool upgrade;             /* deliver at the subscription's QoS, also above the published one */
    struct session_list todo; /* sessions that have something to send and could not go on */
    struct table feeds;       /* cursors by session and filter */
    struct table resumed;     /* what feeds of a former life have given, by session: see feed.c */
    struct buf fetches;       /* of struct fetch: payloads that are wanted from the journal */
    uint64_t seed;
    bool check_author; /* of retained messages */
    struct rights_all rights;
    struct authors authors;
    struct kin kin;
};

static inline struct str session_id(const struct session *s)
{
    return str_of(s->id, s->id_len);
}

/* What limits its flow. */
static inline const struct flow_limits *session_limits(const struct session_env *env,
                                                       const struct session *s)
{
    return LIKELY(!s->own) ? &env->limits : &env->own_limits;
}

/* Have broker_work go on with this session. */
void session_want_work(struct session_env *env, struct session *s);
void session_leave_work(struct session_env *env, struct session *s);

/* Does it outlive its connection? */
static inline bool session_is_persistent(const struct session *s)
{
    return s->number != 0;
}
/* Are changes of it recorded, now and in this broker? */
static inline bool session_is_recording(const struct session_env *env, const struct session *s)
{
    return session_is_persistent(s) && persist_on(env->persist);
}

/* Its records take so many bytes more, or less. */
static inline void session_weigh(struct session_env *env, struct session *s, int64_t bytes)
{
    if (!session_is_persistent(s))
        return;
    s->live += (uint32_t)bytes;
    env->persist->live += (uint64_t)bytes;
}

/* Record a change of this session, if it is a persistent one; after session_record_reserve.
 * r.session is set. */
void session_record(struct session_env *env, const struct session *s, struct record r);
MUST_CHECK static inline enum err session_record_reserve(struct session_env *env,
                                                         const struct session *s, size_t count,
                                                         size_t strings)
{
    return session_is_recording(env, s) ? persist_reserve(env->persist, count, strings) : ERR_OK;
}

/*
 * May its client read or write a topic? Denials are reported: to read only the first of a topic,
 * while it is remembered. For an absent client of whom nothing is known: yes, and what is queued
 * for it is decided when it is back. Without memory: no. To be asked only if env->rights.guarded.
 */
bool session_may(struct session_env *env, struct session *s, enum acl_right right,
                 const struct rights_topic *t);
/* Could anything that this filter (without $share/GROUP/) matches be read? Else that is reported.
 */
bool session_may_subscribe(struct session_env *env, struct session *s, struct str filter);
/* Its rights, as long as it does not change hands; NULL: not known, or no memory. */
struct rights *session_rights(struct session_env *env, struct session *s);
/* Whose it was in a former life. ERR_NOMEM. */
MUST_CHECK enum err session_owned(struct session_env *env, struct session *s, struct str user,
                                  uint16_t port);
/* Give them back. */
void session_disown(struct session_env *env, struct session *s);
/* Record whose it is, if that is known. Without memory the record is left out. */
void session_record_owner(struct session_env *env, const struct session *s);

/* Make its flow if there is none. ERR_NOMEM. */
MUST_CHECK enum err session_need_flow(struct session_env *env, struct session *s);

/* At most so many records are written for one delivery, the message itself included. */
#define SESSION_DELIVERY_RECORDS 3
/*
 * Make sure that so many QoS 1 or 2 deliveries cannot fail for want of a row; their records are for
 * the caller to promise (persist_promise). ERR_NOMEM changes nothing that matters.
 */
MUST_CHECK static inline enum err session_reserve(struct session_env *env, struct session *s,
                                                  uint32_t rows)
{
    enum err e = LIKELY(s->flow) ? ERR_OK : session_need_flow(env, s);

    return e ? e : flow_reserve(s->flow, rows);
}
/* The same with the records of one delivery of `bytes` topic and payload. */
MUST_CHECK enum err session_reserve_alone(struct session_env *env, struct session *s, size_t bytes);
/*
 * The QoS of a delivery: the lower of published and granted (3.8.4), or the granted one with
 * upgrade_outgoing_qos; to a connected client no more than its listener's max_qos.
 */
static inline enum qos session_qos(const struct session_env *env, const struct session *s,
                                   enum qos published, enum qos granted)
{
    enum qos qos = granted < published || env->upgrade ? granted : published;

    return qos > QOS_0 && s->out && s->out->max_qos < qos ? (enum qos)s->out->max_qos : qos;
}
/* Three steps of session_deliver, which alone calls them. Has this topic a name behind the mount
 * point of its connection, or is it dropped? */
bool session_shows(struct session_env *env, struct session *s, struct str topic, size_t payload,
                   enum qos qos);
void session_deliver_qos0(struct session_env *env, struct session *s, struct publication *pub,
                          bool retain);
void session_deliver_row(struct session_env *env, struct session *s, struct publication *pub,
                         enum qos qos, bool retain);
/*
 * Send a publication to this session with this QoS, as session_qos says.
 *
 * Connected: sends now, or queues if the in-flight window is full. Absent: queues QoS 1 and 2, and
 * QoS 0 only with queue_qos0_messages. At QoS 1 and 2 only after session_reserve, persist_promise
 * and publication_keep; then it cannot fail. What a limit or, at QoS 0, memory forbids is dropped,
 * counted, and logged once per episode; likewise what is outside the mount point behind which the
 * client is now: it has subscribed to that through another listener. MQTT 3.1.1, 3.3.5 and 4.4.
 */
static inline void session_deliver(struct session_env *env, struct session *s,
                                   struct publication *pub, enum qos qos, bool retain)
{
    if (UNLIKELY(s->out && s->out->map) && !session_shows(env, s, pub->topic, pub->payload.n, qos))
        return;
    if (qos == QOS_0)
        session_deliver_qos0(env, s, pub, retain);
    else
        session_deliver_row(env, s, pub, qos, retain);
}

/* Send queued rows while outbox, window and budget allow. */
void session_pump(struct session_env *env, struct session *s);
/*
 * Give it a retained message for a subscription (3.3.1-8), past the queue limits; at QoS 1 and 2
 * after session_reserve_alone only. False: stopped, and broker_work should come back.
 */
bool session_give_retained(struct session_env *env, struct session *s, struct message *m,
                           enum qos granted);

/*
 * PUBACK, PUBREC or PUBCOMP from the client. REASON_OK also for what is tolerated; REASON_ACK_TYPE;
 * REASON_NOMEM with nothing changed.
 */
enum reason session_acknowledge(struct session_env *env, struct session *s, enum packet_type type,
                                uint16_t id);

/* An inbound QoS 2 message with this id: was it accepted before? */
bool session_in_has(const struct session *s, uint16_t id);
MUST_CHECK enum err session_in_reserve(struct session_env *env, struct session *s);
void session_in_add(struct session_env *env, struct session *s,
                    uint16_t id); /* after session_in_reserve */
/* PUBREL: forget it. ERR_NOMEM changes nothing. */
MUST_CHECK enum err session_in_remove(struct session_env *env, struct session *s, uint16_t id);

/* What broker is at the other end, of which it takes a reference. */
void session_set_kin(struct session_env *env, struct session *s, uint8_t kin);
/* The peer has forgotten what QoS 2 messages it had begun to send. ERR_NOMEM: not all. */
MUST_CHECK enum err session_forget_inbound(struct session_env *env, struct session *s);

/* Connected to an outbox: everything unfinished is to be sent again. */
void session_attach(struct session_env *env, struct session *s, struct outbox *out);
void session_detach(struct session_env *env, struct session *s, int64_t now_s);
/* An absent session: what was sent counts as unsent, and an empty flow goes. */
void session_settle(struct session *s);

/*
 * Bytes of the journal from `position` on: messages of rows from `seq` on that were away. Rows
 * whose message turns out to be damaged are dropped, counted and logged.
 */
void session_arrived(struct session_env *env, struct session *s, uint64_t seq, uint64_t position,
                     struct str bytes);

/* Drop the rows of an ended session within the budget; true when there are none left. */
bool session_drop_rows(struct session_env *env, struct session *s);

#endif
