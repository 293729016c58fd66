/*
 * Topic names and filters.
 *
 * Names arrive with every PUBLISH, so they are searched for wildcards eight bytes at a time;
 * filters come once per subscription and are walked byte by byte.
 */
#include "mqtt/topic.h"

#include "mqtt/word.h"

#define SHARE_PREFIX "$share/"

/* '#' is 0x23 and '+' is 0x2B: without bit 3 they are the same. */
#define WILD_MASK 0xF7u
#define WILD_BYTE 0x23u

static inline bool byte_is_wild(char c)
{
    return ((uint8_t)c & WILD_MASK) == WILD_BYTE;
}

static inline bool word_has_wild(uint64_t w)
{
    w = (w & WORD_ONES * WILD_MASK) ^ WORD_ONES * WILD_BYTE;
    /* a byte's high bit stays clear exactly if the byte is zero */
    return (((w & WORD_LOWS) + WORD_LOWS) | w | WORD_LOWS) != UINT64_MAX;
}

static bool has_wild(struct str s)
{
    if (s.n < WORD_SIZE)
        return s.n && word_has_wild(word_load_short(s.p, s.n));
    for (size_t i = 0; i + WORD_SIZE <= s.n; i += WORD_SIZE) {
        if (UNLIKELY(word_has_wild(word_load(s.p + i))))
            return true;
    }
    return word_has_wild(word_load(s.p + s.n - WORD_SIZE));
}

/* More than TOPIC_LEVELS_MAX levels? A string that is shorter than that many separators cannot have
 * them. */
static bool too_many_levels(struct str s)
{
    return UNLIKELY(s.n >= TOPIC_LEVELS_MAX) && topic_levels(s) > TOPIC_LEVELS_MAX;
}

/* 3.3.2-2, 4.7.1-1, 4.7.3-1 */
enum reason topic_check_name(struct str topic)
{
    if (UNLIKELY(topic.n == 0))
        return REASON_TOPIC_EMPTY;
    if (UNLIKELY(has_wild(topic)))
        return REASON_TOPIC_WILDCARD;
    return too_many_levels(topic) ? REASON_LEVELS : REASON_OK;
}

/* A wildcard stands alone in its level (4.7.1-3), and '#' only in the last one (4.7.1-2). */
static bool wild_placed_well(struct str filter, size_t i)
{
    bool begins = i == 0 || filter.p[i - 1] == '/';
    bool last = i + 1 == filter.n;

    return begins && (last || (filter.p[i] == '+' && filter.p[i + 1] == '/'));
}

/* 4.7.1-2, 4.7.1-3, 4.7.3-1 */
enum reason topic_check_filter(struct str filter)
{
    if (filter.n == 0)
        return REASON_TOPIC_EMPTY;
    for (size_t i = 0; i < filter.n; i++) {
        if (byte_is_wild(filter.p[i]) && !wild_placed_well(filter, i))
            return REASON_FILTER;
    }
    return too_many_levels(filter) ? REASON_LEVELS : REASON_OK;
}

/* The syntax of shared subscriptions is MQTT 5's (its 4.8.2); 3.1.1 leaves '$' filters to the
 * server (4.7.2). */
bool topic_is_shared(struct str whole, struct str *group, struct str *filter)
{
    struct str prefix = STR(SHARE_PREFIX);

    if (LIKELY(whole.n < prefix.n || memcmp(whole.p, prefix.p, prefix.n) != 0))
        return false;
    struct str rest = str_of(whole.p + prefix.n, whole.n - prefix.n);
    const char *slash = rest.n ? memchr(rest.p, '/', rest.n) : NULL;
    if (!slash) {
        *group = rest;
        *filter = str_of(NULL, 0);
        return true;
    }
    *group = str_of(rest.p, (size_t)(slash - rest.p));
    *filter = str_of(slash + 1, rest.n - group->n - 1);
    return true;
}

/* 3.8.3, 3.10.3 */
enum reason topic_check_subscription(struct str whole)
{
    struct str group;
    struct str filter;

    if (LIKELY(!topic_is_shared(whole, &group, &filter)))
        return topic_check_filter(whole);
    if (group.n == 0 || filter.n == 0 || has_wild(group))
        return REASON_SHARE_NAME;
    return topic_check_filter(filter);
}

/* 4.7.1-1 */
bool topic_level(struct str topic, size_t *at, struct str *level)
{
    if (*at > topic.n)
        return false;
    size_t left = topic.n - *at;
    const char *begin = left ? topic.p + *at : NULL;
    const char *slash = left ? memchr(begin, '/', left) : NULL;
    *level = str_of(begin, slash ? (size_t)(slash - begin) : left);
    *at += level->n + 1;
    return true;
}

/* 4.7.1-1 */
unsigned topic_levels(struct str topic)
{
    unsigned n = 1;

    for (size_t i = 0; i < topic.n; i++)
        n += topic.p[i] == '/';
    return n;
}

/* 4.7.1, 4.7.2-1, 4.7.3 */
bool topic_matches(struct str filter, struct str name)
{
    struct str want;
    struct str have;
    size_t at_filter = 0;
    size_t at_name = 0;

    if (name.n && name.p[0] == '$' && filter.n && byte_is_wild(filter.p[0]))
        return false;
    while (topic_level(filter, &at_filter, &want)) {
        if (str_eq(want, STR("#"))) /* also the parent itself: "a/#" matches "a" */
            return true;
        if (!topic_level(name, &at_name, &have))
            return false;
        if (!str_eq(want, STR("+")) && !str_eq(want, have))
            return false;
    }
    return !topic_level(name, &at_name, &have);
}
