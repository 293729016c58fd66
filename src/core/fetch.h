/*
 * Payloads that are wanted back from the journal.
 */
#ifndef CORE_FETCH_H
#define CORE_FETCH_H

#include <stdint.h>

struct fetch {
    uint64_t position; /* in the journal, bytes */
    uint32_t length;   /* that would be welcome: several messages */
    uint32_t least;    /* that are needed: the first of them */
    uint64_t session;  /* the core's own */
    uint64_t seq;
};

#endif
