/*
 * The topics and filters of the simulated world: few, so that they meet often.
 */
#ifndef SIM_NAMES_H
#define SIM_NAMES_H

#include "base/str.h"

#define CLIENTS 12 /* the last one only looks at what is retained, at the end */
#define PLAIN_TOPICS 22
#define WILL_TOPICS CLIENTS
#define MANY_TOPICS 158 /* r/0, r/1, …: for large retained sets */
#define TOPICS (PLAIN_TOPICS + WILL_TOPICS + MANY_TOPICS)
#define TOPIC_WILL(client) (PLAIN_TOPICS + (client))
#define TOPIC_MANY(n) (PLAIN_TOPICS + WILL_TOPICS + (n))
#define TOPIC_WORDS ((TOPICS + 63) / 64)
#define FILTERS 40

struct names {
    struct str topic[TOPICS];
    struct str filter[FILTERS];
    bool shared[FILTERS];
    bool match[FILTERS][TOPICS]; /* by topic_matches(); a shared one by the filter inside it */
    char text[TOPICS][16];
};

void names_init(struct names *n);
/* The index of a topic, -1 if we have no such topic. */
int names_topic(const struct names *n, struct str topic);
/* The index of a filter that is known to be in the table. */
unsigned names_filter(const struct names *n, const char *filter);

#endif
