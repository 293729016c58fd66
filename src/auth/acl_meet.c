/*
 * Level by level through both filters.
 */
#include "auth/acl_meet.h"

#include "mqtt/topic.h"

/* A level that no filter has: a control character is not allowed. */
#define ANY "\x7f"

/* One of the filters, being read. */
struct side {
    struct str filter;
    size_t at;
    struct str level;
    bool there; /* has a level here */
    bool hash;  /* has come to its #, which takes all that follows */
};

static void step(struct side *s)
{
    if (s->hash)
        return;
    s->there = topic_level(s->filter, &s->at, &s->level);
    s->hash = s->there && str_eq(s->level, STR("#"));
}

static bool is_wild(const struct side *s)
{
    return s->hash || str_eq(s->level, STR("+"));
}

static bool add(struct acl_meeting *m, struct str level)
{
    size_t n = m->topic.n;

    if (n + level.n + (m->levels > 0) > sizeof(m->text) || m->levels == TOPIC_LEVELS_MAX)
        return false;
    if (m->levels > 0)
        m->text[n++] = '/';
    if (level.n > 0)
        memcpy(m->text + n, level.p, level.n);
    m->topic.n = n + level.n;
    m->levels++;
    return true;
}

static bool begins_with_dollar(struct str level)
{
    return level.n > 0 && level.p[0] == '$';
}

/* The level of both, as long as at least one has not come to its #. */
static bool add_common(struct acl_meeting *m, const struct side *a, const struct side *b)
{
    bool first = m->levels == 0;

    if (is_wild(a) && is_wild(b))
        return add(m, STR(ANY));
    if (is_wild(a))
        return !(first && begins_with_dollar(b->level)) && add(m, b->level);
    if (is_wild(b))
        return !(first && begins_with_dollar(a->level)) && add(m, a->level);
    return str_eq(a->level, b->level) && add(m, a->level);
}

bool acl_meeting_begin(struct acl_meeting *m, struct str a, struct str b)
{
    struct side x = {.filter = a}, y = {.filter = b};

    m->topic = str_of(m->text, 0);
    m->levels = 0;
    m->endless = false;
    for (;;) {
        step(&x);
        step(&y);
        if (x.hash && y.hash)
            break;
        if (!x.there || !y.there)
            return m->topic.n > 0 && (x.hash || y.hash || !(x.there || y.there));
        if (!add_common(m, &x, &y))
            return false;
    }
    m->endless = true;
    return m->topic.n > 0 || add(m, STR(ANY)); /* "" is no topic */
}

bool acl_meeting_next(struct acl_meeting *m)
{
    return m->endless && add(m, STR(ANY));
}
