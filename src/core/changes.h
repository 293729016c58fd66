/*
 * Which filters have had their subscriptions changed lately.
 *
 * Whoever remembers what a topic matches (core/topics.h) notes the serial number of that moment,
 * and asks later only whether one of the changes since then can concern that topic. So a
 * subscription that comes or goes is a matter of the topics that it matches, and of no others.
 */
#ifndef CORE_CHANGES_H
#define CORE_CHANGES_H

#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>

/* So many changes are known one by one. Who has not asked for longer has to search again, which
 * costs about as much as to look at these. */
#define CHANGES_KEPT 16
/* Of a longer filter the beginning is kept: it then concerns all topics that begin so. */
#define CHANGE_TEXT 60

struct changed_filter {
    uint8_t len;
    uint8_t fixed; /* bytes before the first level with a wildcard; a topic has them, too */
    bool cut;      /* the filter is longer */
    bool wild;     /* there are wildcards, or may be behind the cut */
    char text[CHANGE_TEXT];
};

struct changes {
    uint64_t serial; /* of the last change; never given twice */
    uint64_t asked;  /* the serial number when somebody asked last */
    struct changed_filter last[CHANGES_KEPT];
};

/*
 * The subscriptions to this filter (without $share/GROUP/) are others now. `begin` may be only its
 * beginning, of at least CHANGE_TEXT bytes; `n` is its whole length.
 */
void changes_note(struct changes *c, const char *begin, size_t n);
/* Will the text of the next change be looked at? Nobody can know so old a serial number otherwise:
 * then any text will do for changes_note. */
static inline bool changes_wanted(const struct changes *c)
{
    return c->serial - c->asked < CHANGES_KEPT;
}
/* Has nothing changed since then that the topic matches? In doubt: no. */
bool changes_spare(struct changes *c, uint64_t since, struct str topic);

#endif
