/*
 * The filters of one user, so sorted that they are a tree of levels.
 *
 * Rules that begin with the same levels stand side by side, and among these those with # as the
 * next level come first, then those with +, then the others in order. So a branch of the tree is a
 * range of the array, the wildcards of a branch are found by a look at its beginning, and a literal
 * level by bisection: no node, no pointer and no byte besides the rules.
 */
#ifndef AUTH_ACL_RULES_H
#define AUTH_ACL_RULES_H

#include "base/str.h"
#include "mqtt/topic.h"

#include <stdbool.h>
#include <stdint.h>

/* A line of the file; its filter is `len` bytes at `at` of the file's text. */
struct acl_rule {
    uint32_t at;
    uint32_t line;
    uint16_t len;
    uint8_t rights; /* bits of enum acl_right; 0 = a denial */
};

/* Rules of one kind (denials or grants), sorted. */
struct acl_set {
    const char *text;
    const struct acl_rule *rules;
    uint32_t count;
};

static inline struct str acl_rule_filter(const char *text, const struct acl_rule *rule)
{
    return str_of(text + rule->at, rule->len);
}

/*
 * Sort: denials before grants, then by filter, then by line. A rule that grants nothing which an
 * earlier line with the same filter does not grant is left out. Returns how many are left.
 */
uint32_t acl_rules_sort(const char *text, struct acl_rule *rules, uint32_t count);

/* Part of a search: rules that share the levels before `at`, and the query before `query_at`. */
struct acl_branch {
    uint32_t lo, hi;
    uint32_t at; /* ACL_FOUND: these are answers */
    uint32_t query_at;
};

#define ACL_FOUND UINT32_MAX
/* Two branches of each level wait at most, and the pieces of the last one. */
#define ACL_BRANCHES_MAX (2 * TOPIC_LEVELS_MAX + 8)

/* A search that is gone on with; nothing to be freed. */
struct acl_search {
    struct acl_set set;
    struct str query;
    unsigned waiting;
    struct acl_branch branches[ACL_BRANCHES_MAX];
};

/*
 * The rules whose filters have a topic in common with the query, which is a valid topic name (then:
 * the filters that match it) or a valid filter. In no particular order. If a filter begins with a
 * wildcard, rules that begin with $ are among them too, though no topic is in both.
 */
void acl_search_begin(struct acl_search *s, struct acl_set set, struct str query);
/* NULL: no more. */
const struct acl_rule *acl_search_next(struct acl_search *s);

#endif
