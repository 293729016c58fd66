/*
 * A search has at most two ways to go on at each level: the level itself, and '+'. What is still
 * to be followed stands on a small stack; '#' ends a filter and is looked for at every step.
 */
#include "store/import_match.h"

#include "mqtt/topic.h"

#include <stdlib.h>

/* Subscriptions that agree in the levels before `at`. */
struct stretch {
    uint32_t from;
    uint32_t to;
    size_t at;    /* in their filters */
    size_t topic; /* in the topic: the next level */
};

struct search {
    const struct import_tables *t;
    struct str topic;
    void (*found)(void *ctx, const struct import_subscription *s);
    void *ctx;
    struct stretch todo[TOPIC_LEVELS_MAX + 2];
    unsigned todo_n;
};

/* By filter, then by group, then in the order of the clients. */
static int compare_subscriptions(const void *a, const void *b)
{
    const struct import_subscription *x = a;
    const struct import_subscription *y = b;
    int c = str_cmp(x->filter, y->filter);

    if (c == 0)
        c = str_cmp(x->text, y->text);
    return c ? c : (x->client > y->client) - (x->client < y->client);
}

void import_match_sort(struct import_tables *t)
{
    if (t->subscriptions.count > 0)
        qsort(t->subscriptions.items, t->subscriptions.count, sizeof(struct import_subscription),
              compare_subscriptions);
}

/* Does what stands at `at` come before `key` (<0), begin with it (0), or come after (>0)? */
static int compare_at(struct str filter, size_t at, struct str key)
{
    struct str part = str_of(filter.p + at, filter.n - at < key.n ? filter.n - at : key.n);

    return str_cmp(part, key);
}

/* The first of the stretch that compares with `key` as at least `least`. */
static uint32_t bound(const struct search *s, struct stretch in, struct str key, int least)
{
    while (in.from < in.to) {
        uint32_t middle = in.from + (in.to - in.from) / 2;
        int c = compare_at(import_subscription(s->t, middle)->filter, in.at, key);
        if ((c > 0) - (c < 0) < least)
            in.from = middle + 1;
        else
            in.to = middle;
    }
    return in.from;
}

/* Those that go on with `key`; the stretch moves behind it. */
static struct stretch narrow(const struct search *s, struct stretch in, struct str key)
{
    uint32_t from = bound(s, in, key, 0);

    in.to = bound(s, in, key, 1);
    in.from = from;
    in.at += key.n;
    return in;
}

/* Those filters that end here: they stand in front. */
static void visit_ends(const struct search *s, struct stretch in)
{
    const struct import_subscription *before = NULL;

    for (uint32_t i = in.from; i < in.to; i++) {
        const struct import_subscription *sub = import_subscription(s->t, i);
        if (sub->filter.n != in.at)
            return;
        bool shared = sub->filter.p != sub->text.p;
        if (!shared || !before || !str_eq(before->text, sub->text))
            s->found(s->ctx, sub);
        before = sub;
    }
}

static void follow(struct search *s, struct stretch in, struct str key, size_t next, bool last)
{
    in = narrow(s, in, key);
    if (last)
        visit_ends(s, in);
    in = narrow(s, in, STR("/"));
    in.topic = next;
    if (in.from < in.to)
        s->todo[s->todo_n++] = in;
}

static void step(struct search *s, struct stretch in)
{
    /* 4.7.2: wildcards of the first level do not match topics that begin with '$' */
    bool wild = in.topic > 0 || s->topic.p[0] != '$';
    size_t next = in.topic;
    struct str level;

    if (wild)
        visit_ends(s, narrow(s, in, STR("#")));
    if (!topic_level(s->topic, &next, &level))
        return;
    size_t after = next;
    struct str rest;
    bool last = !topic_level(s->topic, &after, &rest);
    follow(s, in, level, next, last);
    if (wild)
        follow(s, in, STR("+"), next, last);
}

void import_match(const struct import_tables *t, struct str topic,
                  void (*found)(void *ctx, const struct import_subscription *s), void *ctx)
{
    struct search s = {.t = t, .topic = topic, .found = found, .ctx = ctx};

    s.todo[s.todo_n++] = (struct stretch){.to = t->subscriptions.count};
    while (s.todo_n > 0)
        step(&s, s.todo[--s.todo_n]);
}
