/*
 * log_dest topic: lines as messages on $SYS/broker/log/….
 *
 * A line may come from the midst of the core, which must not be entered again there. So lines wait
 * here until the next turn begins. Publishing makes lines of its own (a message is sent, another
 * one dropped, one denied): those go to all other destinations but never to this one, or a
 * subscriber to its own log would keep the broker busy for ever.
 */
#ifndef SERVER_LOG_TOPIC_H
#define SERVER_LOG_TOPIC_H

#include "base/err.h"
#include "server/log_format.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct broker;

#define LOG_TOPIC_BUFFER (64 * 1024)

struct log_topic {
    char *buffer; /* NULL: lines go nowhere */
    size_t begin; /* of what waits in it */
    size_t end;
    uint64_t lost; /* lines that had no room behind it */
    uint64_t lost_ever;
    bool publishing;
    bool rests; /* a turn is left to others */
};

/* Nothing to free, and no lines taken, until log_topic_open. */
void log_topic_init(struct log_topic *t);
MUST_CHECK enum err log_topic_open(struct log_topic *t);
/* What waits is dropped. */
void log_topic_close(struct log_topic *t);

/* Would a line like this be taken? */
bool log_topic_wants(const struct log_topic *t, const struct log_entry *entry);
void log_topic_put(struct log_topic *t, enum log_level level, const struct log_text *line);
/* Once a turn, when the core may be entered. */
void log_topic_publish(struct log_topic *t, struct broker *b, const struct log_style *style);

/* Are there lines to be published? */
static inline bool log_topic_waits(const struct log_topic *t)
{
    return t->end > t->begin || t->lost > 0;
}

#endif
