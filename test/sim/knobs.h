/*
 * What a seed decides about its world before it starts.
 */
#ifndef SIM_KNOBS_H
#define SIM_KNOBS_H

#include "base/rng.h"
#include "conf/conf.h"
#include "files.h"
#include "store/store.h"

enum split {
    SPLIT_WHOLE, /* all that was sent arrives at once */
    SPLIT_RANDOM,
    SPLIT_BYTES /* a few bytes at a time */
};

struct knobs {
    unsigned clients; /* that are active */
    unsigned topics;  /* of the plain ones that are published to */
    enum split split;
    bool persistent;
    bool limits; /* queue limits: messages may be dropped, and are counted */
    bool share;
    unsigned busy;     /* chance in 1000 that a client does something in a turn */
    unsigned publish;  /* of 1000 actions: publish; the rest is shared by the others */
    unsigned retain;   /* of 1000 publications */
    unsigned big;      /* of 10,000 publications: larger than the broker's buffer */
    unsigned burst;    /* of 1000 publications: hundreds of small ones at once */
    unsigned many;     /* of 1000 publications: to one of the many retained topics */
    unsigned keen;     /* of 1000 other actions: subscribe anew to what is retained */
    unsigned prompt;   /* of 1000 turns: a client acknowledges what has come */
    unsigned slow;     /* of 1000 writes: short */
    unsigned illegal;  /* of 10,000 actions */
    unsigned stranger; /* of 10,000 turns: a connection that never becomes a client */
    unsigned jump;     /* of 1000 turns: the clock leaps by seconds */
    unsigned durable;  /* of 1000: the disk's thread gets on; 1000 = at once */
    unsigned fetch;    /* likewise: a payload that is wanted back */
    unsigned full;     /* of 10,000 turns: the disk has no room for a while */
    unsigned crash;    /* of 10,000 phases of turns */
    unsigned power;    /* of 1000 crashes: the power goes, too */
    unsigned nomem;    /* of 1000 turns: an allocation fails */
    unsigned pause;    /* of 10,000 turns: storage is behind */
    unsigned max_inflight;
    bool acl;        /* each client may read and write some topics only */
    bool mount;      /* some clients are behind a mount point … */
    unsigned wander; /* … and so many of 1000 of their connections are not; of the others', are */
    struct file_faults faults;
    struct store_setup store;
    bool salvage;
};

/* The second listener has a mount point. */
void knobs_draw(struct knobs *k, struct rng *r, struct conf *conf,
                struct conf_listener listeners[2]);

#endif
