/*
 * Sorting, and the search.
 *
 * A search keeps the branches that it has still to look into on a list of its own, bounded by the
 * levels that a filter may have. A query with wildcards is no other matter: its + takes the
 * children of a branch one after the other, its # takes all of the branch.
 */
#include "auth/acl_rules.h"

#include <assert.h>
#include <stdlib.h>

/*
 * Bytes in the order of the tree. As wildcards only stand for whole levels it does no harm that
 * they come first everywhere. A level that ends is below all that go on.
 */
enum { RANK_HASH, RANK_PLUS, RANK_END, RANK_SLASH, RANK_OTHER };

static inline unsigned rank(char c)
{
    switch (c) {
    case '#':
        return RANK_HASH;
    case '+':
        return RANK_PLUS;
    case '/':
        return RANK_SLASH;
    default:
        return RANK_OTHER + (unsigned)(uint8_t)c;
    }
}

static inline unsigned rank_at(const struct acl_set *set, uint32_t i, uint32_t at)
{
    const struct acl_rule *r = &set->rules[i];

    return at < r->len ? rank(set->text[r->at + at]) : RANK_END;
}

/* --- sorting --- */

static int compare_filters(const char *text, const struct acl_rule *a, const struct acl_rule *b)
{
    const char *p = text + a->at, *q = text + b->at;
    uint16_t both = a->len < b->len ? a->len : b->len;
    uint16_t i = 0;
    unsigned x, y;

    while (i < both && p[i] == q[i])
        i++;
    x = i < a->len ? rank(p[i]) : RANK_END;
    y = i < b->len ? rank(q[i]) : RANK_END;
    return (x > y) - (x < y);
}

static int compare_rules(const void *va, const void *vb, void *text)
{
    const struct acl_rule *a = va, *b = vb;
    int c = (a->rights != 0) - (b->rights != 0);

    if (c == 0)
        c = compare_filters(text, a, b);
    return c ? c : (a->line > b->line) - (a->line < b->line);
}

static bool same_filter(const char *text, const struct acl_rule *a, const struct acl_rule *b)
{
    return str_eq(acl_rule_filter(text, a), acl_rule_filter(text, b));
}

uint32_t acl_rules_sort(const char *text, struct acl_rule *rules, uint32_t count)
{
    uint32_t kept = 0;
    uint8_t had = 0; /* rights of the rules with this filter */

    if (count == 0)
        return 0;
    qsort_r(rules, count, sizeof(*rules), compare_rules, (void *)(uintptr_t)text);
    for (uint32_t i = 0; i < count; i++) {
        const struct acl_rule *last = kept > 0 ? &rules[kept - 1] : NULL;
        bool again =
            last && !last->rights == !rules[i].rights && same_filter(text, last, &rules[i]);
        if (again && (rules[i].rights & ~had) == 0)
            continue;
        had = again ? had | rules[i].rights : rules[i].rights;
        rules[kept++] = rules[i];
    }
    return kept;
}

/* --- searching --- */

static void push(struct acl_search *s, struct acl_branch b)
{
    if (b.lo == b.hi)
        return;
    assert(s->waiting < ACL_BRANCHES_MAX);
    s->branches[s->waiting++] = b;
}

static void found(struct acl_search *s, uint32_t lo, uint32_t hi)
{
    push(s, (struct acl_branch){.lo = lo, .hi = hi, .at = ACL_FOUND});
}

/* The end of the rules from `lo` that have this byte there; those that have are before all others.
 */
static uint32_t end_of_rank(const struct acl_set *set, uint32_t lo, uint32_t hi, uint32_t at,
                            unsigned rank)
{
    if (lo == hi || rank_at(set, lo, at) != rank)
        return lo;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (rank_at(set, mid, at) > rank)
            hi = mid;
        else
            lo = mid + 1;
    }
    return lo;
}

/* How the level at `at` of a rule stands to this one: <0, 0, >0. */
static int compare_level(const struct acl_set *set, uint32_t i, uint32_t at, struct str level)
{
    for (size_t k = 0;; k++, at++) {
        unsigned x = rank_at(set, i, at);
        unsigned y = k < level.n ? rank(level.p[k]) : RANK_END;
        if (y == RANK_END && x == RANK_SLASH)
            return 0;
        if (x != y)
            return x < y ? -1 : 1;
        if (y == RANK_END)
            return 0;
    }
}

/* The first rule whose level is not below this one (or, with `above`, that is above it). */
static uint32_t bound(const struct acl_set *set, const struct acl_branch *b, struct str level,
                      bool above)
{
    uint32_t lo = b->lo, hi = b->hi;

    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        int c = compare_level(set, mid, b->at, level);
        if (c < 0 || (above && c == 0))
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

/* The query's level at b->query_at, and where it ends. */
static struct str query_level(const struct acl_search *s, const struct acl_branch *b)
{
    size_t at = b->query_at;
    struct str level;

    (void)topic_level(s->query, &at, &level);
    return level;
}

/*
 * The query has come through these rules, which share one more level of `len` bytes. What ends
 * here is an answer if the query does, or has only # left.
 */
static void enter(struct acl_search *s, struct acl_branch b, size_t len, size_t query_len)
{
    size_t query_end = b.query_at + query_len;
    bool last = query_end == s->query.n;
    uint32_t ends;

    b.at += (uint32_t)len;
    ends = end_of_rank(&s->set, b.lo, b.hi, b.at, RANK_END);
    if (last || (query_end + 1 < s->query.n && s->query.p[query_end + 1] == '#'))
        found(s, b.lo, ends);
    b.lo = ends;
    b.at++;
    b.query_at = (uint32_t)query_end + 1;
    if (last)
        found(s, b.lo, end_of_rank(&s->set, b.lo, b.hi, b.at, RANK_HASH));
    else
        push(s, b);
}

/* The query has + here: one child, and the branch with the others waits. */
static void search_each(struct acl_search *s, struct acl_branch b)
{
    uint32_t hashes = end_of_rank(&s->set, b.lo, b.hi, b.at, RANK_HASH);
    struct acl_branch child;
    struct str level;
    size_t at = b.at;

    found(s, b.lo, hashes);
    b.lo = hashes;
    if (b.lo == b.hi)
        return;
    (void)topic_level(acl_rule_filter(s->set.text, &s->set.rules[b.lo]), &at, &level);
    child = b;
    child.hi = bound(&s->set, &b, level, true);
    b.lo = child.hi;
    push(s, b);
    enter(s, child, level.n, 1);
}

static void search_level(struct acl_search *s, struct acl_branch b, struct str level)
{
    bool dollar = b.at == 0 && level.n > 0 && level.p[0] == '$';
    uint32_t hashes = end_of_rank(&s->set, b.lo, b.hi, b.at, RANK_HASH);
    struct acl_branch plus = b;

    plus.lo = hashes;
    plus.hi = end_of_rank(&s->set, hashes, b.hi, b.at, RANK_PLUS);
    if (!dollar) {
        found(s, b.lo, hashes);
        if (plus.lo < plus.hi)
            enter(s, plus, 1, level.n);
    }
    b.lo = plus.hi;
    b.lo = bound(&s->set, &b, level, false);
    b.hi = bound(&s->set, &b, level, true);
    if (b.lo < b.hi)
        enter(s, b, level.n, level.n);
}

void acl_search_begin(struct acl_search *s, struct acl_set set, struct str query)
{
    s->set = set;
    s->query = query;
    s->waiting = 0;
    push(s, (struct acl_branch){.hi = set.count});
}

const struct acl_rule *acl_search_next(struct acl_search *s)
{
    while (s->waiting > 0) {
        struct acl_branch *top = &s->branches[s->waiting - 1], b = *top;
        struct str level;
        if (b.at == ACL_FOUND) {
            if (++top->lo == top->hi)
                s->waiting--;
            return &s->set.rules[b.lo];
        }
        s->waiting--;
        level = query_level(s, &b);
        if (str_eq(level, STR("#")))
            found(s, b.lo, b.hi);
        else if (str_eq(level, STR("+")))
            search_each(s, b);
        else
            search_level(s, b, level);
    }
    return NULL;
}
