/*
 * Who a client is for the ACL of its listener, and what that has decided for it.
 *
 * A client is a user name, a client id and the listener that it came through. Whoever needs one is
 * given the same counted entry: its session, and the retained messages that it has published. An
 * entry is bound to the ACL of its listener when it is asked for the first time, and again when it
 * is asked after the files or the configuration have changed (the generation tells), wherever its
 * client is then; those that nobody asks follow in the turns after the change, so that nothing old
 * is held for them. While its listener is not there any more it keeps what it had.
 *
 * Verdicts are remembered by a keyed hash of the topic, of so many bits that nobody finds another
 * topic with the same one; what is remembered goes when another ACL takes its place.
 */
#ifndef CORE_RIGHTS_H
#define CORE_RIGHTS_H

#include "auth/acl.h"
#include "base/table.h"
#include "conf/conf.h"

#include <stdbool.h>
#include <stdint.h>

struct rights;

struct rights_all {
    struct table table; /* of struct rights */
    const struct conf *conf;
    uint64_t seed;
    uint32_t generation; /* of configuration and files */
    uint32_t bound;      /* entries that have an ACL */
    uint64_t cursor;     /* of the walk that binds them anew */
    bool walking;        /* it goes on: see rights_work */
    bool configured;     /* some listener of the configuration has one */
    bool guarded;        /* somebody may be kept from something: else nobody needs to ask */
};

/* Who it is. Without a listener only the port of one is known, and the entry has no ACL until the
 * configuration has a listener with that port. */
struct rights_who {
    struct str user; /* n == 0: none */
    struct str client;
    struct conf_listener *listener; /* or NULL */
    uint16_t port;                  /* asked for without a listener only */
};

/* A topic, to be looked up for many clients. */
struct rights_topic {
    struct str name;
    uint64_t low, high; /* its hash */
};

struct rights_answer {
    bool granted;
    bool fresh; /* was not remembered */
};

/* After this, or another configuration, or other files: everybody is bound anew. */
void rights_changed(struct rights_all *all, const struct conf *conf);
/* Then, for each who is connected: its listener may be none of the configuration any more. */
void rights_connected(struct rights_all *all, const struct conf_listener *l);
/* After rights_changed: bind the next so many entries anew. Returns how many were looked at. */
uint32_t rights_work(struct rights_all *all, uint32_t count);
/* No entry may be left. */
void rights_clear(struct rights_all *all);

/* Has this listener an ACL? */
bool rights_listener_has(const struct conf_listener *l);

/* Found or made: one reference. NULL without memory. */
MUST_CHECK struct rights *rights_get(struct rights_all *all, const struct rights_who *who);
struct rights *rights_ref(struct rights *r);
void rights_unref(struct rights_all *all, struct rights *r); /* NULL is allowed */
/* Views of its own; the listener is the one that it is bound to. */
struct rights_who rights_who(const struct rights *r);

struct rights_topic rights_topic(const struct rights_all *all, struct str name);
/* May it? Where its listener has no ACL: yes. */
struct rights_answer rights_ask(struct rights_all *all, struct rights *r, enum acl_right right,
                                const struct rights_topic *t);
/* Why not: the line that decided, after rights_ask has denied it. */
struct acl_verdict rights_verdict(const struct rights *r, enum acl_right right, struct str topic);
/* The same of a filter; granted where there is no ACL. */
struct acl_verdict rights_filter(struct rights_all *all, struct rights *r, struct str filter);
/* Its ACL, while it is denied something; else NULL perhaps. */
const struct acl *rights_acl(const struct rights *r);

#endif
