/*
 * Everything that a store holds, one line for each thing.
 */
#ifndef TOOLS_DB_DUMP_LIST_H
#define TOOLS_DB_DUMP_LIST_H

#include "mqtt/flow.h"
#include "tools/db_dump_line.h"
#include "tools/db_dump_load.h"

/* `client` NULL: all. ERR_NOT_FOUND: no such client; ERR_SYSTEM: nobody takes the lines.
 * *unreadable counts messages whose content is not where it should be. */
MUST_CHECK enum err dump_list(struct dump_store *s, struct dump_line *line, const char *client,
                              uint64_t *unreadable);
/* The word for a row's state, as it stands in the lines. */
const char *dump_state_word(enum flow_state state);

#endif
