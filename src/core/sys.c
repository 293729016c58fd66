/*
 * A table of values, each with what was last said of it. sys_none.c is the twin.
 *
 * A round is about the moment when it began: what it causes itself counts in the next. But the
 * messages that hold the values are retained ones, as any other, and are counted as such: so the
 * first round, which adds them, is made twice.
 */
#include "core/sys.h"

#include "base/feature.h"
#include "base/mem.h"
#include "core/state.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

/* All that there is to tell, at one moment. */
struct figures {
    struct stats stats;
    uint64_t uptime_s;
    uint64_t sessions_absent;
    uint64_t messages;      /* that a queue or the retained tree holds, the latter's own included */
    uint64_t message_bytes; /* their payloads */
    uint64_t heap_now;
    uint64_t heap_most;
};

#define STAT(field) offsetof(struct figures, stats.field)
#define FIGURE(field) offsetof(struct figures, field)

static const struct value {
    const char *topic;
    size_t at; /* in struct figures: a uint64_t */
    enum feature needs;
    const char *unit; /* behind the number */
} values[] = {
    {"uptime", FIGURE(uptime_s), FEATURE_NONE, " seconds"},
    {"clients/total", STAT(sessions), FEATURE_NONE, ""},
    {"clients/connected", STAT(sessions_connected), FEATURE_NONE, ""},
    {"clients/active", STAT(sessions_connected), FEATURE_NONE, ""},
    {"clients/disconnected", FIGURE(sessions_absent), FEATURE_NONE, ""},
    {"clients/inactive", FIGURE(sessions_absent), FEATURE_NONE, ""},
    {"clients/maximum", STAT(sessions_most), FEATURE_NONE, ""},
    {"clients/expired", STAT(sessions_expired), FEATURE_NONE, ""},
    {"connections/socket/count", STAT(connections_opened), FEATURE_NONE, ""},
    {"messages/received", STAT(packets_received), FEATURE_NONE, ""},
    {"messages/sent", STAT(packets_sent), FEATURE_NONE, ""},
    {"subscriptions/count", STAT(subscriptions), FEATURE_NONE, ""},
    {"shared_subscriptions/count", STAT(shared_subscriptions), FEATURE_NONE, ""},
    {"bytes/received", STAT(bytes_received), FEATURE_NONE, ""},
    {"bytes/sent", STAT(bytes_sent), FEATURE_NONE, ""},
    {"publish/messages/received", STAT(publish_received), FEATURE_NONE, ""},
    {"publish/messages/sent", STAT(publish_sent), FEATURE_NONE, ""},
    {"publish/messages/dropped", STAT(publish_dropped), FEATURE_NONE, ""},
    {"publish/bytes/received", STAT(publish_bytes_received), FEATURE_NONE, ""},
    {"publish/bytes/sent", STAT(publish_bytes_sent), FEATURE_NONE, ""},
    {"packet/out/bytes", STAT(output_bytes), FEATURE_NONE, ""},
    {"packet/out/count", STAT(output_packets), FEATURE_NONE, ""},
    {"heap/current", FIGURE(heap_now), FEATURE_MEMORY_TRACKING, ""},
    {"heap/maximum", FIGURE(heap_most), FEATURE_MEMORY_TRACKING, ""},
    /* These count what a round says too, so they come last, and as they are then. */
    {"messages/stored", FIGURE(messages), FEATURE_NONE, ""},
    {"store/messages/count", FIGURE(messages), FEATURE_NONE, ""},
    {"retained messages/count", STAT(retained), FEATURE_NONE, ""},
    {"store/messages/bytes", FIGURE(message_bytes), FEATURE_NONE, ""},
};

/* Counters of which the rate is told. */
static const struct load {
    const char *topic;
    size_t at;
} loads[] = {
    {"messages/received", STAT(packets_received)},
    {"messages/sent", STAT(packets_sent)},
    {"publish/received", STAT(publish_received)},
    {"publish/sent", STAT(publish_sent)},
    {"publish/dropped", STAT(publish_dropped)},
    {"bytes/received", STAT(bytes_received)},
    {"bytes/sent", STAT(bytes_sent)},
    {"sockets", STAT(connections_opened)},
    {"connections", STAT(connects_received)},
};

static const struct span_of_load {
    const char *name;
    double seconds;
} spans[] = {{"1min", 60}, {"5min", 300}, {"15min", 900}};

enum { VALUES = ARRAY_SIZE(values), LOADS = ARRAY_SIZE(loads), SPANS = ARRAY_SIZE(spans) };
/* The rows of a round: the version, the loads with the shortest span first, then the values. */
enum { ROW_LOADS = 1, ROW_VALUES = ROW_LOADS + SPANS * LOADS, ROWS = ROW_VALUES + VALUES };
enum { ROW_LATE = ROWS - 4 };

/* Of a row that has no message. */
#define UNSAID UINT64_MAX
/* When taking something back has failed. */
#define RETRY_MS 1000

struct sys {
    uint32_t interval_s; /* that this is about; another one in the configuration is news */
    unsigned row;        /* with which the round goes on; ROWS: none is under way */
    bool again;          /* the round is to be made twice */
    uint64_t due_ms;     /* of the next round */
    struct figures now;  /* when the round began */
    uint64_t counted_ms; /* when the loads were made */
    uint64_t counted[LOADS];
    double average[SPANS][LOADS];
    uint64_t said[ROWS]; /* number, or hundredths of a load */
};

enum err sys_init(struct broker *b)
{
    struct sys *s = mem_zalloc(sizeof(*s));

    if (!s)
        return ERR_NOMEM;
    s->row = ROWS;
    s->due_ms = UINT64_MAX;
    for (unsigned i = 0; i < ROWS; i++)
        s->said[i] = UNSAID;
    b->sys = s;
    return ERR_OK;
}

void sys_free(struct broker *b)
{
    mem_free(b->sys, sizeof(*b->sys));
    b->sys = NULL;
}

/* --- figures --- */

static uint64_t figure_at(const struct figures *f, size_t at)
{
    return *(const uint64_t *)(const void *)((const char *)f + at);
}

static struct figures gather(const struct broker *b)
{
    return (struct figures){
        .stats = b->stats,
        .uptime_s = (b->now.mono_ms - b->began_ms) / 1000,
        .sessions_absent = b->stats.sessions - b->stats.sessions_connected,
        .messages = b->persist.stored.count,
        .message_bytes = b->persist.stored.payload_bytes,
        .heap_now = mem_used(),
        .heap_most = mem_peak(),
    };
}

/* --- loads --- */

static void begin_loads(const struct broker *b, struct sys *s)
{
    struct figures now = gather(b);

    s->counted_ms = b->now.mono_ms;
    for (unsigned i = 0; i < LOADS; i++) {
        s->counted[i] = figure_at(&now, loads[i].at);
        for (unsigned k = 0; k < SPANS; k++)
            s->average[k][i] = 0;
    }
}

static void make_loads(const struct broker *b, struct sys *s)
{
    double passed_s = (double)(b->now.mono_ms - s->counted_ms) / 1000;

    if (b->now.mono_ms == s->counted_ms)
        return;
    s->counted_ms = b->now.mono_ms;
    for (unsigned i = 0; i < LOADS; i++) {
        uint64_t count = figure_at(&s->now, loads[i].at);
        double rate = (double)(count - s->counted[i]) * 60 / passed_s;
        s->counted[i] = count;
        for (unsigned k = 0; k < SPANS; k++) {
            double *average = &s->average[k][i];
            *average = rate + exp(-passed_s / spans[k].seconds) * (*average - rate);
        }
    }
}

/* --- rows --- */

#define TEXT_MAX 128

static struct str topic_of(unsigned row, char out[TEXT_MAX])
{
    unsigned load = row - ROW_LOADS;

    if (row < ROW_LOADS)
        return STR("$SYS/broker/version");
    if (row < ROW_VALUES)
        (void)snprintf(out, TEXT_MAX, "$SYS/broker/load/%s/%s", loads[load % LOADS].topic,
                       spans[load / LOADS].name);
    else
        (void)snprintf(out, TEXT_MAX, "$SYS/broker/%s", values[row - ROW_VALUES].topic);
    return str_c(out);
}

/* What is to be said of a row now; UNSAID: nothing, in this build or broker. */
static uint64_t present(const struct broker *b, unsigned row)
{
    unsigned load = row - ROW_LOADS;

    if (row < ROW_LOADS)
        return b->version ? 0 : UNSAID;
    if (row < ROW_VALUES)
        return (uint64_t)(b->sys->average[load / LOADS][load % LOADS] * 100 + 0.5);
    if (!feature_built(values[row - ROW_VALUES].needs))
        return UNSAID;
    return figure_at(&b->sys->now, values[row - ROW_VALUES].at);
}

static struct str text_of(const struct broker *b, unsigned row, uint64_t value, char out[TEXT_MAX])
{
    if (row < ROW_LOADS)
        (void)snprintf(out, TEXT_MAX, "mosquitto version %s", b->version);
    else if (row < ROW_VALUES)
        (void)snprintf(out, TEXT_MAX, "%" PRIu64 ".%02" PRIu64, value / 100, value % 100);
    else
        (void)snprintf(out, TEXT_MAX, "%" PRIu64 "%s", value, values[row - ROW_VALUES].unit);
    return str_c(out);
}

static void say(struct broker *b, unsigned row, uint64_t value)
{
    char topic[TEXT_MAX];
    char text[TEXT_MAX];

    if (value != b->sys->said[row] &&
        !broker_publish_local(b, topic_of(row, topic), text_of(b, row, value, text), true))
        b->sys->said[row] = value;
}

static void take_back(struct broker *b, unsigned row)
{
    char topic[TEXT_MAX];

    if (b->sys->said[row] == UNSAID)
        return;
    if (!broker_publish_local(b, topic_of(row, topic), STR(""), true))
        b->sys->said[row] = UNSAID;
    else
        b->sys->due_ms = b->now.mono_ms + RETRY_MS;
}

/* --- rounds --- */

static void note_interval(struct broker *b, struct sys *s)
{
    uint32_t former_s = s->interval_s;

    s->interval_s = b->conf->global.sys_interval;
    s->due_ms = b->now.mono_ms;
    s->row = ROWS; /* a round that was under way is made anew */
    if (former_s == 0) {
        begin_loads(b, s);
        s->again = true;
    }
}

static void begin_round(struct broker *b, struct sys *s)
{
    uint64_t interval_ms = s->interval_s * UINT64_C(1000);

    s->row = 0;
    if (interval_ms == 0) {
        s->due_ms = UINT64_MAX;
        return;
    }
    s->now = gather(b);
    make_loads(b, s);
    s->due_ms += interval_ms;
    if (s->due_ms <= b->now.mono_ms)
        s->due_ms = b->now.mono_ms + interval_ms;
}

static void go_on(struct broker *b, struct sys *s)
{
    do {
        if (s->row >= ROW_LATE)
            s->now = gather(b);
        if (s->interval_s > 0)
            say(b, s->row, present(b, s->row));
        else
            take_back(b, s->row);
        work_charge(&b->work, 1);
        s->row++;
    } while (s->row < ROWS && !work_is_spent(&b->work));
}

void sys_work(struct broker *b)
{
    struct sys *s = b->sys;

    if (UNLIKELY(s->interval_s != b->conf->global.sys_interval))
        note_interval(b, s);
    if (s->row == ROWS) {
        if (LIKELY(s->due_ms > b->now.mono_ms))
            return;
        begin_round(b, s);
    }
    go_on(b, s);
    if (s->row == ROWS && s->again) {
        s->again = false;
        s->row = 0;
        go_on(b, s);
    }
}

uint64_t sys_next(const struct broker *b)
{
    const struct sys *s = b->sys;

    return s->row < ROWS || s->interval_s != b->conf->global.sys_interval ? 0 : s->due_ms;
}

bool sys_is_on(const struct broker *b)
{
    return b->conf->global.sys_interval > 0;
}
