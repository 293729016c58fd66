/*
 * Sizes and counts of a store: what an administrator asks who sees the disk fill up.
 */
#ifndef TOOLS_DB_DUMP_STATS_H
#define TOOLS_DB_DUMP_STATS_H

#include "tools/db_dump_line.h"
#include "tools/db_dump_load.h"

/* The store was read with `count`. ERR_SYSTEM: nobody takes the lines. */
MUST_CHECK enum err dump_stats(const struct dump_store *s, struct dump_line *line,
                               const char *directory);

#endif
