/*
 * Persistent sessions while records are applied.
 *
 * Cleaning moves records to the end of the journal, so that what is said of a session may stand
 * before its CLIENT record, and a row before those in front of it. Until the last record has been
 * seen, sessions are only collected here by number: client id, subscriptions by filter, and the
 * flow, whose rows take any order. What records say of a session that was never heard of makes one,
 * without an id; if it has none at the end, it has ended long ago.
 */
#ifndef CORE_LOADING_H
#define CORE_LOADING_H

#include "base/table.h"
#include "core/stored.h"
#include "mqtt/flow_load.h"

struct loading_filter {
    enum qos qos;
    bool feed;      /* retained messages are still to be given */
    uint64_t since; /* … in rows from this one on; with `feed` */
    uint32_t len;
    char text[];
};

struct loading_session {
    uint64_t number;
    uint64_t position; /* of its last CLIENT record */
    int64_t absent_s;
    struct table filters; /* of struct loading_filter */
    struct table given;   /* retained messages that feeds have given: see core/feed.h */
    struct flow *flow;    /* NULL until it is needed */
    char *id;             /* NULL: not known yet */
    char *user;           /* whose it is; NULL: not known */
    uint16_t id_len;
    uint16_t user_len;
    uint16_t port;  /* of the listener that it came through; with `user` */
    uint32_t feeds; /* filters with one */
    bool bridge;    /* its client is one */
    bool own;       /* … of ours */
};

struct loading {
    struct table sessions; /* by number */
    struct table messages; /* of struct stored, by number; each is held */
    struct stored *newest; /* of them, the one with the highest number */
    uint64_t highest;      /* session of all that were seen */
};

void loading_clear(struct loading *all);
/* Finds it or makes it. NULL without memory. */
struct loading_session *loading_session(struct loading *all, uint64_t number);
/* It has ended. */
void loading_end(struct loading *all, uint64_t number);
MUST_CHECK enum err loading_name(struct loading_session *l, struct str id);
/* Whose it is: the last that is said counts. */
MUST_CHECK enum err loading_own(struct loading_session *l, struct str user, uint16_t port);
MUST_CHECK enum err loading_need_flow(struct loading_session *l);
/* Without a feed, until loading_feed says that it has one. */
MUST_CHECK enum err loading_subscribe(struct loading_session *l, struct str filter, enum qos qos);
MUST_CHECK enum err loading_feed(struct loading_session *l, struct str filter, enum qos qos,
                                 uint64_t since);
void loading_unsubscribe(struct loading_session *l, struct str filter);
/* This subscription has been given its retained messages. */
void loading_fed(struct loading_session *l, struct str filter);
/*
 * The entry of a message, found or made. It is held, by a reference to its body if it has one and
 * otherwise to itself, until loading_clear. NULL without memory.
 */
struct stored *loading_message(struct loading *all, struct stored_all *stored, uint64_t number);
/* NULL: never heard of. */
struct stored *loading_find_message(const struct loading *all, uint64_t number);
/* Walks; *cursor begins with 0; nothing may be added or removed meanwhile. */
struct loading_session *loading_next(const struct loading *all, uint64_t *cursor);
struct loading_filter *loading_next_filter(const struct loading_session *l, uint64_t *cursor);

#endif
