/*
 * Who of the file's subscribers gets a message.
 *
 * The list of subscriptions, sorted by filter, is the index: all filters that begin with the same
 * levels stand together, so a topic is followed level by level through ever smaller stretches of
 * it. Comparing each message with each subscription would take hours for a file made to be slow.
 */
#ifndef STORE_IMPORT_MATCH_H
#define STORE_IMPORT_MATCH_H

#include "store/import_tables.h"

/* Put the subscriptions in order. All clients among them are known. */
void import_match_sort(struct import_tables *t);
/*
 * Each subscription that the topic reaches. Of a shared one the first member stands for all. A
 * client may be named more than once.
 */
void import_match(const struct import_tables *t, struct str topic,
                  void (*found)(void *ctx, const struct import_subscription *s), void *ctx);

#endif
