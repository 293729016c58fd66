/*
 * Who is linked to whom, by which rules; and the configuration files that say so.
 */
#include "world.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define TEXT_MAX 4096

struct text {
    char p[TEXT_MAX];
    size_t n;
};

static void add(struct text *t, const char *fmt, ...) PRINTF(2, 3);
static void add(struct text *t, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    int n = vsnprintf(t->p + t->n, TEXT_MAX - t->n, fmt, args);
    va_end(args);
    if (n < 0 || (size_t)n >= TEXT_MAX - t->n)
        abort();
    t->n += (size_t)n;
}

const char *topic_name(const struct world *w, unsigned node, unsigned topic, char *room)
{
    static const char *const names[TOPICS] = {
        "a/n%u",   "l/a/n%u", "r/a/n%u", "x/n%u/b", "y/n%u/b", "c/n%u/e", "one/local",
        "two/far", "a/r%u",   "c/r%u",   "x/r%u/b", "l/a/r%u", "r/a/r%u",
    };

    (void)w;
    (void)snprintf(room, NAME_MAX_BYTES, names[topic], node);
    return room;
}

/* --- rules --- */

static const struct rule templates[] = {
    {"#", "", "", CONF_BOTH, 0},       {"#", "", "", CONF_OUT, 0},
    {"#", "", "", CONF_IN, 0},         {"a/#", "l/", "r/", CONF_BOTH, 0},
    {"a/+", "l/", "", CONF_OUT, 0},    {"#", "", "up/", CONF_OUT, 0},
    {"#", "down/", "", CONF_IN, 0},    {"", "one/local", "two/far", CONF_BOTH, 0},
    {"+/b", "x/", "y/", CONF_BOTH, 0}, {"c/+/e", "", "", CONF_OUT, 0},
    {"c/#", "", "far/", CONF_IN, 0},   {"+/+", "", "", CONF_BOTH, 0},
};

static void draw_rules(struct world *w, struct section *s)
{
    s->rule_n = 1 + rng_below(&w->rng, RULES);
    for (unsigned i = 0; i < s->rule_n;) {
        struct rule r = templates[rng_below(&w->rng, ARRAY_SIZE(templates))];
        bool known = false;
        for (unsigned j = 0; j < i; j++)
            known |= strcmp(s->rules[j].pattern, r.pattern) == 0;
        r.qos = (uint8_t)(chance(w, 500) ? 2 : rng_below(&w->rng, 3));
        if (!known)
            s->rules[i++] = r;
        else if (chance(w, 200))
            s->rule_n = i;
    }
    if (w->knobs.twins) {
        s->rules[0] = templates[0];
        s->rules[0].qos = (uint8_t)rng_below(&w->rng, 3);
        s->rule_n = 1;
    }
}

static void draw(struct world *w, unsigned i)
{
    struct section *s = &w->sections[i];
    unsigned a = w->knobs.twins ? 0 : i;
    unsigned b = w->knobs.twins ? 1 : i + 1;
    bool swap = w->knobs.twins ? i == 1 : chance(w, 500);

    *s = (struct section){.owner = swap ? b : a, .remote = swap ? a : b};
    (void)snprintf(s->name, sizeof s->name, "b%u", i);
    s->keepalive = 12 + rng_below(&w->rng, 10);
    s->addresses = rng_below(&w->rng, w->knobs.bridges > 1 ? 4 : 6);
    s->private = w->knobs.bridges > 1 || chance(w, 800);
    s->clean = chance(w, 150);
    s->local_clean = s->clean != chance(w, 100);
    s->notifications = chance(w, 800);
    s->attempt_unsubscribe = chance(w, 800);
    s->outgoing_retain = chance(w, 900);
    s->v31 = chance(w, 100);
    s->round_robin = chance(w, 200);
    s->start =
        chance(w, 80) ? (chance(w, 500) ? CONF_START_LAZY : CONF_START_ONCE) : CONF_START_AUTOMATIC;
    draw_rules(w, s);
}

void sections_draw(struct world *w)
{
    for (unsigned i = 0; i < w->knobs.bridges; i++)
        draw(w, i);
    for (unsigned n = 0; n < NODES; n++) {
        for (unsigned t = 0; t < TOPICS; t++)
            w->topic_qos[n][t] =
                (uint8_t)(t < TOPICS_PLAIN ? (n + t + w->seed) % 3 : 1 + (n + t + w->seed) % 2);
    }
}

void sections_change(struct world *w, struct section *s, bool deep)
{
    uint8_t bit = (uint8_t)(1u << (s - w->sections));

    s->keepalive = 12 + rng_below(&w->rng, 10);
    w->changed = w->changed || deep || s->removed;
    if (s->removed) {
        s->removed = false;
        w->unruly = true;
        w->weak_bridges |= bit;
    } else if (deep && chance(w, 500)) {
        s->removed = true;
        s->confused = true; /* its session ends here, not there */
        w->weak_bridges |= bit;
    } else if (deep) {
        draw_rules(w, s);
        w->unruly = true;
    }
}

/* --- the file --- */

static const char *quoted(const char *s)
{
    return *s ? s : "\"\"";
}

static const char *word(bool b)
{
    return b ? "true" : "false";
}

static void add_rule(struct text *t, const struct rule *r)
{
    static const char *const directions[] = {
        [CONF_OUT] = "out", [CONF_IN] = "in", [CONF_BOTH] = "both"};

    add(t, "topic %s %s %u", quoted(r->pattern), directions[r->direction], r->qos);
    if (*r->local || *r->remote)
        add(t, " %s %s", quoted(r->local), quoted(r->remote));
    add(t, "\n");
}

static void add_section(struct text *t, const struct section *s)
{
    static const char *const lists[] = {"n%u:1883",     "n%u:1883",       "d:1 n%u:1883",
                                        "n%u:1883 d:1", "h:666 n%u:1883", "n%u:1883 h:666"};
    static const char *const starts[] = {"automatic", "lazy", "once"};

    add(t, "connection %s\naddresses ", s->name);
    add(t, lists[s->addresses], s->remote);
    add(t, "\n");
    for (unsigned i = 0; i < s->rule_n; i++)
        add_rule(t, &s->rules[i]);
    add(t, "keepalive_interval %u\nrestart_timeout 1 3\nbridge_protocol_version %s\n", s->keepalive,
        s->v31 ? "mqttv31" : "mqttv311");
    add(t, "try_private %s\ncleansession %s\nlocal_cleansession %s\n", word(s->private),
        word(s->clean), word(s->local_clean));
    add(t, "notifications %s\nbridge_attempt_unsubscribe %s\nbridge_outgoing_retain %s\n",
        word(s->notifications), word(s->attempt_unsubscribe), word(s->outgoing_retain));
    add(t, "start_type %s\nround_robin %s\n", starts[s->start], word(s->round_robin));
    if (s->start == CONF_START_LAZY)
        add(t, "threshold 1\nidle_timeout 2\n");
}

struct conf *sections_conf(struct world *w, unsigned node)
{
    struct log log = world_log(w);
    struct conf_args args = {.file = "sim.conf", .hostname = "sim"};
    struct text *t = calloc(1, sizeof *t);
    struct conf *c;

    if (!t)
        exit(2);
    add(t, "listener 1883 127.0.0.1\nallow_anonymous true\nsys_interval 0\n%s",
        w->trace.loud ? "log_type all\n" : "");
    add(t, "max_inflight_messages %u\nmax_queued_messages %u\n", w->knobs.max_inflight,
        w->knobs.max_queued);
    if (w->knobs.memory_limit)
        add(t, "persistence_memory_limit 1000\n");
    for (unsigned i = 0; i < w->knobs.bridges; i++) {
        if (w->sections[i].owner == node && !w->sections[i].removed)
            add_section(t, &w->sections[i]);
    }
    if (conf_load_text(&args, str_of(t->p, t->n), &log, &c) != ERR_OK)
        world_fail(w, "this configuration is refused:\n%s", t->p);
    free(t);
    return c;
}
