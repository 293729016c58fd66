/*
 * Where log lines go: stderr, stdout, a file, syslog, $SYS/broker/log/….
 *
 * Each line is formatted once and copied to every destination. Nothing that happens to one of them
 * stops the broker or the others: from logsink_go on each has a thread that waits for it
 * (server/log_writer), lines that it does not take are counted, and the count is written when it
 * takes lines again.
 *
 * A new configuration is taken in two steps: what it asks for is opened first, which may fail, and
 * then put in the place of what was there, which cannot.
 */
#ifndef SERVER_LOGSINK_H
#define SERVER_LOGSINK_H

#include "base/err.h"
#include "base/log.h"
#include "conf/conf.h"
#include "server/log_format.h"
#include "server/log_topic.h"
#include "server/log_writer.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum log_place { LOG_PLACE_STDERR, LOG_PLACE_STDOUT, LOG_PLACE_FILE, LOG_PLACE_SYSLOG, LOG_PLACES };

#define LOGSINK_RETIRED                                                                            \
    8 /* destinations at their end at one time; the oldest has to go for another */

/* What a configuration asks for. */
struct log_plan {
    struct log_writer *writers[LOG_PLACES]; /* NULL: no lines go there */
    char *path;                             /* of the file, or NULL */
    int facility;                           /* of syslog */
    unsigned mask;                          /* of enum log_level: which lines of our own */
    bool topic;
    struct log_style style;
};

struct logsink {
    struct log_plan plan;
    struct log_plan next; /* prepared; what it shares with `plan` belongs to that */
    struct log_writer *retired[LOGSINK_RETIRED];
    size_t retired_count;
    struct log_topic topic;
    struct log_stamp stamp;
    struct log_text text;
    uint64_t lost; /* by destinations that are gone */
    bool going;    /* with threads */
    bool waiting;  /* there are lines that the threads have not been told of */
};

/* Lines go to stderr, with times. */
void logsink_init(struct logsink *s);
/* Writes what waits, as far as that takes no longer than two seconds, and closes everything. */
void logsink_clear(struct logsink *s);

/*
 * Lines go where this configuration says. A file that cannot be opened is replaced by stderr,
 * which is told why.
 */
void logsink_configure(struct logsink *s, const struct conf_global *g);
/* The log file belongs to this user from now on, who will have to open it again. ERR_SYSTEM: errno.
 */
MUST_CHECK enum err logsink_give_to(struct logsink *s, uid_t uid, gid_t gid);
/* From here on threads write: the process does not fork any more. */
void logsink_go(struct logsink *s);

/*
 * Another configuration, all or nothing: open what it asks for, and on ERR_OK either commit or
 * roll back. What goes wrong is an error on the log.
 */
MUST_CHECK enum err logsink_prepare(struct logsink *s, const struct conf_global *g);
void logsink_commit(struct logsink *s);
void logsink_rollback(struct logsink *s);
/* Open the file again: somebody has moved it away. If that fails it goes on with the old one. */
void logsink_reopen(struct logsink *s);

/* A log_sink; ctx is the struct logsink. */
void logsink_line(void *ctx, enum log_level level, struct str line, const struct log_about *about);
/* At the end of the turn: what waits is written soon. */
void logsink_flush(struct logsink *s);
/* At its beginning: lines for $SYS/broker/log/…. */
void logsink_publish(struct logsink *s, struct broker *b);
/* Is there anything to publish? Then there must be another turn. */
static inline bool logsink_has_news(const struct logsink *s)
{
    return log_topic_waits(&s->topic);
}

/* Lines that some destination did not get, so far. */
uint64_t logsink_lost(const struct logsink *s);

#endif
