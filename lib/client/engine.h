/*
 * The client's half of MQTT, without I/O: bytes and calls in, bytes and events out.
 *
 * One engine serves one client over all its connections. What was published at QoS 1 and 2 lives
 * in a flow and outlives each connection; everything else ends with it. Whoever owns the engine
 * reads into engine_room(), asks for events until there are none, hands each to the user, and
 * says with engine_settle() that this is done: only then is a message acknowledged, so that what a
 * callback had not seen yet comes again after a crash. An event owns what it shows until the next
 * one is asked for, whatever happens to the connection meanwhile.
 *
 * Packet ids are given to all requests from one counter, from 1 up and around, and are what the
 * public functions call "mid". Nothing here locks; time is in milliseconds of a clock that does
 * not jump.
 */
#ifndef CLIENT_ENGINE_H
#define CLIENT_ENGINE_H

#include "base/err.h"
#include "base/log.h"
#include "mqtt/packet.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

struct engine;

/* `log` is told what is sent and received, at LOG_LEVEL_DEBUG, in the words of mosquitto_sub -d; it
 * must outlive the engine. NULL without memory. */
MUST_CHECK struct engine *engine_new(const struct log *log);
void engine_free(struct engine *e); /* NULL is allowed */

/* Begin anew: nothing is known of former connections or messages. */
void engine_reset(struct engine *e);
/* At most so many messages of QoS 1 and 2 in flight; 0 = no limit. 20 to begin with. */
void engine_set_window(struct engine *e, uint32_t messages);

/* --- connections --- */

/*
 * The way to the broker is open: CONNECT goes first, then what is to be sent again or waits. All
 * slices of `p` are copied into the output. What waits is sent without waiting for CONNACK, unless
 * something of a former connection must be sent again first (4.4.0-1). ERR_NOMEM: nothing has
 * begun.
 */
MUST_CHECK enum err engine_connect(struct engine *e, const struct packet_connect *p,
                                   uint64_t now_ms);
/*
 * DISCONNECT (3.14), behind everything that is on its way and behind the acknowledgement of an
 * event that is not settled yet. After it nothing is sent and no event comes; messages that have
 * arrived but were not handed over are not acknowledged. Without a connection nothing happens.
 */
MUST_CHECK enum err engine_disconnect(struct engine *e, uint64_t now_ms);
/* The connection is gone, for whatever reason. Messages of QoS 1 and 2 stay to be sent again. */
void engine_lost(struct engine *e);

enum engine_state {
    ENGINE_IDLE,       /* no connection */
    ENGINE_CONNECTING, /* CONNECT is sent or on its way */
    ENGINE_CONNECTED,  /* CONNACK 0 has come */
    ENGINE_CLOSING     /* DISCONNECT is wanted; it is through when engine_is_drained() */
};
enum engine_state engine_state(const struct engine *e);
/* Has all that there is to write been written (and, when closing, DISCONNECT with it)? */
bool engine_is_drained(const struct engine *e);

/* --- bytes --- */

/* Where to read to, and how many bytes at most (more than 0); NULL without memory. Then how many
 * came. */
uint8_t *engine_room(struct engine *e, size_t *n);
void engine_filled(struct engine *e, size_t n, uint64_t now_ms);
/* What is to be written, at most n entries: how many there are. Then how many bytes were. */
int engine_iovec(const struct engine *e, struct iovec *iov, int n);
void engine_written(struct engine *e, size_t n, uint64_t now_ms);

/* --- events --- */

enum engine_kind {
    ENGINE_CONNACK,     /* code, session_present; with a code the broker closes */
    ENGINE_MESSAGE,     /* message, topic and payload each with a NUL behind */
    ENGINE_PUBLISHED,   /* id: at QoS 0 written, else acknowledged */
    ENGINE_SUBSCRIBED,  /* id, codes */
    ENGINE_UNSUBSCRIBED /* id */
};

struct engine_event {
    enum engine_kind kind;
    uint16_t id;
    uint8_t code; /* of the CONNACK, as it came: above 5 is nothing that 3.1.1 knows */
    bool session_present;
    struct packet_publish message; /* qos as delivered; id as the broker gave it, 0 at QoS 0 */
    struct str codes;              /* one byte for each filter: 0, 1, 2 or 0x80 */
    uint32_t epoch;                /* engine_settle's own */
};

/*
 * The next thing that has happened. ERR_OK: *ev is it; settle it before asking again. ERR_AGAIN:
 * nothing until there are more bytes. Otherwise the connection is to be closed: ERR_MALFORMED,
 * ERR_PROTOCOL, ERR_NOMEM; why is in engine_why().
 */
MUST_CHECK enum err engine_next(struct engine *e, struct engine_event *ev);
/* Is a message of QoS 0 written that nobody was told of? Then engine_next has something without new
 * bytes. */
bool engine_has_written(const struct engine *e);
/* The event is handed over: a message of it is acknowledged, if the connection that it came by is
 * still there. ERR_NOMEM: the connection is to be closed. */
MUST_CHECK enum err engine_settle(struct engine *e, const struct engine_event *ev);
/* A phrase for what engine_next had against the broker; never NULL. */
const char *engine_why(const struct engine *e);

/* --- requests --- */

/*
 * PUBLISH. Topic and payload are copied and must have been checked; *id is what ENGINE_PUBLISHED
 * will tell. At QoS 1 and 2 it waits if there is no connection or no room in the window. At QoS 0
 * ERR_CLOSED without a connection. ERR_NOMEM, ERR_TOO_LARGE: nothing has happened.
 */
MUST_CHECK enum err engine_publish(struct engine *e, const struct packet_publish *p, uint16_t *id);
/* SUBSCRIBE and UNSUBSCRIBE with n > 0 filters that have been checked. ERR_CLOSED without a
 * connection, ERR_FULL with 65,535 unanswered ones, ERR_TOO_LARGE, ERR_NOMEM: nothing has
 * happened. */
MUST_CHECK enum err engine_subscribe(struct engine *e, const struct str *filters,
                                     const enum qos *qos, size_t n, uint16_t *id);
MUST_CHECK enum err engine_unsubscribe(struct engine *e, const struct str *filters, size_t n,
                                       uint16_t *id);
/* Messages of QoS 1 and 2 that are not acknowledged yet, waiting ones included. */
uint64_t engine_unfinished(const struct engine *e);

/* --- time --- */

/*
 * Keepalive (3.1.2-24): sends PINGREQ when nothing was sent or nothing has come for that long.
 * ERR_CLOSED: the broker has not answered CONNECT or PINGREQ in time, or takes no more bytes after
 * DISCONNECT was wanted; close. As long as bytes come, or go in front of the PINGREQ, there is time
 * for its answer: so read first what there is to read.
 */
MUST_CHECK enum err engine_tick(struct engine *e, uint64_t now_ms);
/* Bytes have come that are not read yet: the broker lives, though its answer may be behind them. */
void engine_heard(struct engine *e, uint64_t now_ms);
/* When engine_tick has something to do, at the latest; UINT64_MAX: never. */
uint64_t engine_deadline(const struct engine *e);

#endif
