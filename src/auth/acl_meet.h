/*
 * What two filters have in common, as topics that stand for all of them.
 *
 * A + of both, and each level that a # of both may add, is filled with a level that no valid filter
 * names. So only wildcards match it; and a filter that matches such a topic matches every topic
 * that has something else in those places. To ask whether all topics of a filter are denied, it is
 * enough to ask about one such topic for each number of levels.
 */
#ifndef AUTH_ACL_MEET_H
#define AUTH_ACL_MEET_H

#include "base/str.h"

#include <stdbool.h>

/* No topic has more bytes. */
#define ACL_TOPIC_MAX 65535

struct acl_meeting {
    struct str a, b; /* valid filters */
    bool endless;    /* both end in #: their topics may have any number of levels from some on */
    unsigned levels; /* of the latest topic */
    struct str topic;
    char text[ACL_TOPIC_MAX];
};

/* False: no topic matches both. Else m->topic is one of those with the fewest levels. */
bool acl_meeting_begin(struct acl_meeting *m, struct str a, struct str b);
/* The same with one level more. False: it would be too long; only if m->endless. */
bool acl_meeting_next(struct acl_meeting *m);

#endif
