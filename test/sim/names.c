/*
 * The tables of names, and which filter matches which topic.
 */
#include "names.h"

#include "mqtt/topic.h"

#include <assert.h>
#include <stdio.h>

static const char *const plain_topics[PLAIN_TOPICS] = {
    "a",
    "a/b",
    "a/b/c",
    "a/c",
    "b",
    "b/c",
    "b/b",
    "/",
    "/a",
    "a/",
    "//",
    "x/y/z",
    "x//z",
    "$x/a",
    "$x/b",
    "$y",
    "\xc3\xa4/\xc3\xb6",
    "1/2/3/4/5/6/7/8",
    "sp ace/x",
    "x",
    "x/y",
    "A/b",
};

static const char *const filter_table[FILTERS] = {
    "#",
    "+",
    "+/+",
    "+/#",
    "a",
    "a/b",
    "a/#",
    "a/+",
    "a/+/c",
    "+/b",
    "+/b/#",
    "b/#",
    "b/c",
    "/",
    "/#",
    "/+",
    "+/",
    "//",
    "+//+",
    "x/#",
    "x/+/z",
    "x/y/z",
    "$x/#",
    "$x/+",
    "$x/a",
    "$y",
    "\xc3\xa4/+",
    "1/2/3/4/5/6/7/8",
    "1/+/3/+/5/+/7/#",
    "will/#",
    "will/+",
    "r/#",
    "r/+",
    "r/1",
    "$SYS/#",
    "$share/g/#",
    "$share/g/a/#",
    "$share/h/a/#",
    "$share/g/+/b",
    "$share/h/x/+",
};

static void topics_init(struct names *n)
{
    for (unsigned i = 0; i < PLAIN_TOPICS; i++)
        n->topic[i] = str_c(plain_topics[i]);
    for (unsigned i = 0; i < WILL_TOPICS; i++) {
        char *text = n->text[TOPIC_WILL(i)];
        (void)snprintf(text, sizeof n->text[0], "will/%u", i);
        n->topic[TOPIC_WILL(i)] = str_c(text);
    }
    for (unsigned i = 0; i < MANY_TOPICS; i++) {
        char *text = n->text[TOPIC_MANY(i)];
        (void)snprintf(text, sizeof n->text[0], "r/%u", i);
        n->topic[TOPIC_MANY(i)] = str_c(text);
    }
}

void names_init(struct names *n)
{
    topics_init(n);
    for (unsigned f = 0; f < FILTERS; f++) {
        struct str group;
        struct str bare;
        n->filter[f] = str_c(filter_table[f]);
        n->shared[f] = topic_is_shared(n->filter[f], &group, &bare);
        for (unsigned t = 0; t < TOPICS; t++)
            n->match[f][t] = topic_matches(n->shared[f] ? bare : n->filter[f], n->topic[t]);
    }
}

int names_topic(const struct names *n, struct str topic)
{
    for (int i = 0; i < TOPICS; i++) {
        if (str_eq(n->topic[i], topic))
            return i;
    }
    return -1;
}

unsigned names_filter(const struct names *n, const char *filter)
{
    unsigned f = 0;

    while (f < FILTERS && !str_eq_c(n->filter[f], filter))
        f++;
    assert(f < FILTERS);
    return f;
}
