/*
 * Lines that wait to be published: a buffer of records, level and length in front of each.
 */
#include "server/log_topic.h"

#include "base/mem.h"
#include "core/broker.h"

#include <stdio.h>
#include <string.h>

#define TOPICS "$SYS/broker/log/"

/* Lines in one turn at most. */
#define BATCH 64

struct record {
    enum log_level level;
    size_t n;
};

void log_topic_init(struct log_topic *t)
{
    *t = (struct log_topic){.buffer = NULL};
}

enum err log_topic_open(struct log_topic *t)
{
    if (!t->buffer) {
        t->buffer = mem_alloc(LOG_TOPIC_BUFFER);
    }
    return t->buffer ? ERR_OK : ERR_NOMEM;
}

void log_topic_close(struct log_topic *t)
{
    mem_free(t->buffer, LOG_TOPIC_BUFFER);
    t->buffer = NULL;
    t->begin = 0;
    t->end = 0;
    t->lost = 0;
    t->rests = false;
}

bool log_topic_wants(const struct log_topic *t, const struct log_entry *entry)
{
    if (!t->buffer || t->publishing || !log_level_name(entry->level)->topic) {
        return false;
    }
    /* What became of a line that was published earlier. */
    return !entry->about || !str_has_prefix(entry->about->topic, STR(TOPICS));
}

/* There may be lines missing at the end, and it is not said yet. */
static bool add(struct log_topic *t, enum log_level level, const struct log_text *line)
{
    struct record r = {.level = level, .n = line->n - 1}; /* no newline */
    if (t->end + sizeof(r) + r.n > LOG_TOPIC_BUFFER && t->begin > 0) {
        memmove(t->buffer, t->buffer + t->begin, t->end - t->begin);
        t->end -= t->begin;
        t->begin = 0;
    }
    if (t->end + sizeof(r) + r.n > LOG_TOPIC_BUFFER) {
        return false;
    }
    memcpy(t->buffer + t->end, &r, sizeof(r));
    memcpy(t->buffer + t->end + sizeof(r), line->bytes, r.n);
    t->end += sizeof(r) + r.n;
    return true;
}

void log_topic_put(struct log_topic *t, enum log_level level, const struct log_text *line)
{
    if (t->lost == 0 && add(t, level, line)) {
        return;
    }
    t->lost++;
    t->lost_ever++;
}

static void publish(struct broker *b, enum log_level level, struct str line)
{
    char topic[sizeof(TOPICS) + 32];
    int n = snprintf(topic, sizeof(topic), TOPICS "%s", log_level_name(level)->topic);
    broker_publish_local(b, str_of(topic, (size_t)n), line, false);
}

static void publish_first(struct log_topic *t, struct broker *b)
{
    struct record r;
    memcpy(&r, t->buffer + t->begin, sizeof(r));
    publish(b, r.level, str_of(t->buffer + t->begin + sizeof(r), r.n));
    t->begin += sizeof(r) + r.n;
}

static void publish_loss(struct log_topic *t, struct broker *b, const struct log_style *style)
{
    struct log_text line;
    log_format_loss(&line, style, t->lost);
    t->lost = 0;
    publish(b, LOG_LEVEL_WARNING, str_of(line.bytes, line.n - 1));
}

void log_topic_publish(struct log_topic *t, struct broker *b, const struct log_style *style)
{
    if (t->rests) {
        t->rests = false;
        return;
    }
    t->publishing = true;
    for (int i = 0; i < BATCH && t->begin < t->end && !broker_is_spent(b); i++) {
        publish_first(t, b);
    }
    if (t->begin == t->end) {
        t->begin = 0;
        t->end = 0;
    }
    if (t->end == 0 && t->lost > 0) {
        publish_loss(t, b, style);
    }
    t->publishing = false;
    t->rests = broker_is_spent(b);
}
