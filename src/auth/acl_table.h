/*
 * What an ACL file says, ready to be asked: rules by user, and the patterns.
 */
#ifndef AUTH_ACL_TABLE_H
#define AUTH_ACL_TABLE_H

#include "auth/acl_rules.h"
#include "base/err.h"
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A user: its denials are rules from `first` on, its grants stand behind them. */
struct acl_rules {
    uint32_t name_at; /* in the text */
    uint32_t name_len;
    uint32_t first;
    uint32_t denials;
    uint32_t grants;
};

/* All of a file. Rules and names refer to its text. */
struct acl_table {
    char *text;
    size_t text_n;
    struct acl_rule *rules;
    uint32_t rule_count;
    struct acl_rules *users; /* by name; clients without one are first, as "" */
    uint32_t user_count;
    struct acl_rule *patterns; /* denials, then grants, each in the order of the file */
    uint32_t pattern_count;
    uint32_t pattern_denials;
};

/* --- building --- */

/* A `user` line, and the rules behind it: the first of them, up to the next block's. */
struct acl_block {
    uint32_t name_at;
    uint32_t name_len;
    uint32_t line;
    uint32_t first;
    uint32_t count;
};

struct acl_rule_list {
    struct acl_rule *items;
    uint32_t count;
    uint32_t room;
};

/* A file on its way: lines in their order. Zeroed, it is empty. */
struct acl_draft {
    struct acl_rule_list rules;
    struct acl_rule_list patterns;
    struct acl_block *blocks;
    uint32_t block_count;
    uint32_t block_room;
};

MUST_CHECK enum err acl_draft_user(struct acl_draft *d, struct acl_block block);
/* A rule of the latest user. */
MUST_CHECK enum err acl_draft_rule(struct acl_draft *d, struct acl_rule rule);
MUST_CHECK enum err acl_draft_pattern(struct acl_draft *d, struct acl_rule rule);
void acl_draft_clear(struct acl_draft *d);

/*
 * Sort the draft, which refers to t->text, into the table; it is empty afterwards. After ERR_NOMEM
 * both want to be cleared.
 */
MUST_CHECK enum err acl_table_build(struct acl_table *t, struct acl_draft *d);
void acl_table_clear(struct acl_table *t);
/* NULL: nothing is said of this user. */
const struct acl_rules *acl_table_user(const struct acl_table *t, struct str name);

static inline struct acl_set acl_table_denials(const struct acl_table *t, const struct acl_rules *u)
{
    return (struct acl_set){.text = t->text, .rules = t->rules + u->first, .count = u->denials};
}

static inline struct acl_set acl_table_grants(const struct acl_table *t, const struct acl_rules *u)
{
    return (struct acl_set){
        .text = t->text, .rules = t->rules + u->first + u->denials, .count = u->grants};
}

#endif
