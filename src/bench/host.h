/*
 * Where a run took place: so that figures can be held against others later.
 */
#ifndef BENCH_HOST_H
#define BENCH_HOST_H

#include <stdint.h>

enum {
    HOST_TEXT_ROOM = 256,
};

/* Empty texts: not known. */
struct host {
    char date[HOST_TEXT_ROOM];    /* when it was looked at, with the time zone */
    char kernel[HOST_TEXT_ROOM];  /* "Linux 6.1.0-13-amd64 x86_64" */
    char cpu[HOST_TEXT_ROOM];     /* the processor's model */
    long cpus;                    /* so many are there, */
    long cpus_own;                /* and so many may the generator use */
    char broker[HOST_TEXT_ROOM];  /* the broker's program */
    char version[HOST_TEXT_ROOM]; /* what it says of itself */
};

/* `pid` of the broker; 0: not known. */
void host_look(struct host *host, uint64_t pid);

#endif
