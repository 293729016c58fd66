/*
 * Who published what is retained, as far as somebody may ask: while an ACL is in force. A right
 * that is taken away takes away what was published under it (check_retain_source).
 */
#ifndef CORE_AUTHOR_H
#define CORE_AUTHOR_H

#include "base/err.h"
#include "core/persist.h"
#include "core/rights.h"
#include "mqtt/message.h"

struct authors {
    struct table by_message;
    struct rights_all *rights;
    uint64_t bytes; /* of their records, about */
};

void authors_clear(struct authors *all);

struct authored;
/* Make sure that one author_set cannot fail; takes a reference of its own. To be followed by
 * author_set or author_drop. NULL without memory. */
MUST_CHECK struct authored *author_reserve(struct authors *all, struct rights *by);
void author_drop(struct authors *all, struct authored *a); /* NULL is allowed */
/* It is the author's; takes `a`. */
void author_set(struct authors *all, struct authored *a, const struct message *m);
/* The message is retained no longer. */
void author_forget(struct authors *all, const struct message *m);
/* Record that this is the author of a retained message; room for the names is reserved. */
void author_record(struct persist *p, uint64_t number, const struct rights *by);
/* NULL: not known. */
struct rights *author_of(const struct authors *all, const struct message *m);

#endif
