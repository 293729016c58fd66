/*
 * Where log lines go: stderr, stdout, a file.
 *
 * Lines are gathered and written together at the end of the turn, or when half the buffer is full;
 * errors at once. Nothing that happens to a destination stops the broker: a file that cannot be
 * opened is replaced by stderr, and lines that a destination does not take are counted, and the
 * count is written when it takes lines again.
 */
#ifndef SERVER_LOGSINK_H
#define SERVER_LOGSINK_H

#include "base/log.h"
#include "conf/conf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LOGSINK_BUFFER 16384
#define LOGSINK_OUTS 3

struct log_out {
    int fd;
    bool file;     /* opened by us */
    bool waits;    /* a pipe, terminal or socket: somebody reads at the other end, or does not */
    bool stuck;    /* and did not for a while */
    bool torn;     /* the last line was cut in the middle */
    uint64_t lost; /* lines since something was written last */
};

struct logsink {
    struct log_out outs[LOGSINK_OUTS];
    size_t out_count;
    bool timestamp;
    char *path; /* of the file; NULL = none */
    size_t used;
    char buffer[LOGSINK_BUFFER];
};

/* Lines go to stderr, with times. */
void logsink_init(struct logsink *s);
/* Writes what is left and closes the file. */
void logsink_clear(struct logsink *s);
/* Lines go where this configuration says. */
void logsink_configure(struct logsink *s, const struct conf_global *g);
/* Open the file again: somebody has moved it away. */
void logsink_reopen(struct logsink *s);
/* A log_sink; ctx is the struct logsink. */
void logsink_line(void *ctx, enum log_level level, struct str line, const struct log_about *about);
void logsink_flush(struct logsink *s);

#endif
