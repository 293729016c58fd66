/*
 * What the files share that look names up by c-ares: resolve.c, resolve_steps.c,
 * resolve_answers.c.
 *
 * A look-up is in one of two lists: `due`, where the next step is ours, or `asking`, where it is
 * a name server's. Only resolver_work() takes steps, so many a turn, and only it calls done();
 * what c-ares calls us for merely moves a look-up from one list to the other.
 */
#ifndef NET_RESOLVE_INSIDE_H
#define NET_RESOLVE_INSIDE_H

#include "base/base.h"
#include "base/err.h"
#include "base/rng.h"
#include "net/address.h"
#include "net/dns.h"
#include "net/hosts.h"
#include "net/resolve_asker.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

struct resolve;
struct resolve_answer;

/* A question that c-ares has; it gives it back by resolve_on_answer(), exactly once. */
struct question {
    LIST_ENTRY(question) entry;
    struct resolve *look; /* NULL: nobody waits for it any more */
    struct addresses *found;
    enum dns_type type;
};

struct target {
    char name[HOST_NAME_LENGTH + 2];
    uint16_t port;
    struct addresses found;
};

enum stage { STAGE_NEW, STAGE_SERVICES, STAGE_ADDRESSES };

struct resolve {
    TAILQ_ENTRY(resolve) entry;
    LIST_HEAD(, question) questions;
    struct resolver *resolver;
    struct asker *asker; /* NULL: nobody had to be asked yet */
    struct target *targets;
    size_t target_count;
    uint64_t deadline;
    enum stage stage;
    int status;      /* why there is no answer, a status of ares.h */
    bool is_due;     /* in which list */
    bool is_busy;    /* in none: resolver_work() has it */
    bool is_late;    /* out of time */
    bool is_refused; /* the service is not offered, its own domain says */
    int family;
    uint16_t port;
    bool wants_service;
    void (*done)(void *ctx, const struct resolve_answer *a);
    void *ctx;
    char host[HOST_NAME_LENGTH + 2];
    char service[2 * HOST_NAME_LENGTH + 2]; /* the name of the SRV records */
};

TAILQ_HEAD(looks, resolve);

struct resolver {
    struct askers askers;
    struct rng rng;
    const char *hosts; /* a file instead of /etc/hosts, or NULL */
    struct looks due;
    struct looks asking;
};

/* ---- resolve.c ---- */

uint64_t resolve_now_ms(void);
/* The next step of one that is not busy is ours. */
void resolve_make_due(struct resolve *l);

/* ---- resolve_steps.c ---- */

/* Ask what one that is busy has to ask next. ERR_OK: that is all that will be known. ERR_AGAIN:
 * there is another step, when all of its questions have been answered. */
MUST_CHECK enum err resolve_step(struct resolve *l);

/* ---- resolve_answers.c ---- */

/* A reason why there is no answer, a status of ares.h. What says most about the failure stays: that
 * there is no such record says least. */
void resolve_note_status(struct resolve *l, int status);
/* So many hosts to find addresses of, all zero, for one that has none yet; they are its own. NULL
 * without memory, which is noted. */
struct target *resolve_targets_make(struct resolve *l, size_t count);
/* An ares_callback. `ctx`: the question, which is gone then. What it says goes to who waits for it;
 * a look-up that waits for nothing more is due. */
void resolve_on_answer(void *ctx, int status, int timeouts, unsigned char *answer, int n);
/* Why there is no address, as a phrase for the log. */
void resolve_say_why(const struct resolve *l, char *out, size_t cap);

#endif
