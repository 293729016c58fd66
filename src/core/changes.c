/*
 * A ring of the last filters. Nearly every topic is told apart from them by the bytes before the
 * first wildcard; only the others are matched level by level.
 */
#include "core/changes.h"

#include "mqtt/topic.h"

/* How much of a filter stands unchanged at the beginning of what it matches: "a/b/" of "a/b/+/c",
 * but "a" of "a/#", which matches "a" too (4.7.1.2). */
static size_t fixed_part(struct str filter)
{
    size_t i = 0;

    while (i < filter.n && filter.p[i] != '+' && filter.p[i] != '#')
        i++;
    if (i > 0 && i < filter.n && filter.p[i] == '#')
        i--;
    return i;
}

void changes_note(struct changes *c, const char *begin, size_t n)
{
    struct changed_filter *last = &c->last[c->serial % CHANGES_KEPT];
    struct str text = str_of(begin, n < CHANGE_TEXT ? n : CHANGE_TEXT);

    if (changes_wanted(c)) {
        last->len = (uint8_t)text.n;
        last->fixed = (uint8_t)fixed_part(text);
        last->cut = text.n < n;
        last->wild = last->fixed < text.n || last->cut;
        memcpy(last->text, text.p, text.n);
        /* "a/#" that is cut behind the '/' */
        if (last->cut && last->fixed > 0 && text.p[last->fixed - 1] == '/')
            last->fixed--;
    }
    c->serial++;
}

static bool concerns(const struct changed_filter *c, struct str topic)
{
    if (topic.n < c->fixed || memcmp(topic.p, c->text, c->fixed) != 0)
        return false;
    if (!c->wild)
        return topic.n == c->fixed;
    return c->cut || topic_matches(str_of(c->text, c->len), topic);
}

bool changes_spare(struct changes *c, uint64_t since, struct str topic)
{
    c->asked = c->serial;
    if (c->serial - since > CHANGES_KEPT)
        return false;
    for (uint64_t i = since; i < c->serial; i++) {
        if (concerns(&c->last[i % CHANGES_KEPT], topic))
            return false;
    }
    return true;
}
