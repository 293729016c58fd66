/*
 * A store, read into a broker that nobody will ever connect to: what the real one would have after
 * its next start.
 */
#ifndef TOOLS_DB_DUMP_LOAD_H
#define TOOLS_DB_DUMP_LOAD_H

#include "conf/conf.h"
#include "core/broker.h"
#include "core/record.h"
#include "store/recover.h"
#include "tools/db_dump_files.h"

/* What the frames consist of. */
struct dump_records {
    uint64_t frames; /* that have such a record */
    uint64_t records;
    uint64_t bytes;
};

struct dump_store {
    struct dump_files files;
    struct conf *conf;
    struct broker *broker;
    struct recovered found;
    struct broker_lost lost;
    bool count; /* fill in `records`: each is decoded once more */
    struct dump_records records[RECORD_TYPES];
};

/*
 * ERR_OK: it has been read, as far as it can be (see dump_store_is_damaged). Otherwise it has been
 * said why not. Afterwards dump_store_clear is due in any case.
 */
MUST_CHECK enum err dump_store_read(struct dump_store *s, const char *directory, bool count);
void dump_store_clear(struct dump_store *s);
bool dump_store_is_damaged(const struct dump_store *s);

#endif
