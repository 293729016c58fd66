/*
 * A packet too long for one turn: what is remembered of it until it goes on.
 */
#ifndef CORE_JOB_H
#define CORE_JOB_H

#include "core/state.h"

struct conn_job {
    size_t at;              /* SUBSCRIBE, UNSUBSCRIBE: how far into the filters */
    struct buf codes;       /* of the SUBACK to be */
    struct trie_walk *walk; /* PUBLISH: the search for its receivers; NULL once found */
};

/* Begin, with room for so many SUBACK codes. ERR_NOMEM changes nothing. */
MUST_CHECK enum err job_begin(struct conn *c, uint32_t codes);
/* Finished or given up; harmless without one. */
void job_end(struct broker *b, struct conn *c);

#endif
