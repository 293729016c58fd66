/*
 * Patterns: filters in which %c stands for a client id and %u for a user name, anywhere in a level.
 *
 * What takes their place is literal: it brings no wildcards and no further %c; a / in it separates
 * levels. Only the first character of the whole decides whether it is for topics that begin with $.
 */
#ifndef AUTH_ACL_PATTERN_H
#define AUTH_ACL_PATTERN_H

#include "base/str.h"

#include <stdbool.h>

struct acl_pattern {
    struct str text; /* a valid filter but for %c and %u */
    struct str client;
    struct str user; /* n == 0: none */
};

/* Does it have %c or %u? */
bool acl_pattern_is_one(struct str text);
/* Does it apply to this client at all? One with %u does not to a client without a name. */
bool acl_pattern_applies(const struct acl_pattern *p);
/* Does it, which applies, match the valid topic name? */
bool acl_pattern_matches(const struct acl_pattern *p, struct str topic);
/*
 * As a filter, for a client without + and # in its id and name. False: it has more than `cap`
 * bytes.
 */
bool acl_pattern_expand(const struct acl_pattern *p, char *out, size_t cap, struct str *filter);

#endif
