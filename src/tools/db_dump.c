/*
 * mosquitto_db_dump: prints what a store holds.
 *
 * It reads the journal as the broker does at its start, with the broker's own code, and then walks
 * over what came of it. It takes no lock and writes nothing, so it may look at the store of a
 * running broker, and at one that the broker refuses.
 */
#include "tools/db_dump_list.h"
#include "tools/db_dump_load.h"
#include "tools/db_dump_options.h"
#include "tools/db_dump_path.h"
#include "tools/db_dump_stats.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* What stopped the printing; the store itself was read. */
static enum dump_exit explain(enum err e)
{
    if (e == ERR_NOMEM)
        fputs("mosquitto_db_dump: out of memory\n", stderr);
    else
        fprintf(stderr, "mosquitto_db_dump: cannot write: %s\n", strerror(errno));
    return DUMP_UNREADABLE;
}

static enum dump_exit print(const struct dump_options *o, struct dump_store *s,
                            const char *directory)
{
    struct dump_line line = {.json = o->json, .payload = o->payload};
    uint64_t unreadable = 0;
    enum err e =
        o->stats ? dump_stats(s, &line, directory) : dump_list(s, &line, o->client, &unreadable);

    if (e == ERR_NOT_FOUND)
        fprintf(stderr, "mosquitto_db_dump: %s has no session of the client \"%s\"\n", directory,
                o->client);
    else if (e || fflush(stdout) != 0)
        return explain(e);
    if (unreadable > 0)
        fprintf(stderr, "mosquitto_db_dump: %s: %" PRIu64 " messages cannot be read\n", directory,
                unreadable);
    return unreadable > 0 || dump_store_is_damaged(s) ? DUMP_DAMAGE : DUMP_FINE;
}

int main(int argc, char **argv)
{
    struct dump_options options;
    struct dump_store store;
    char directory[PATH_MAX];
    enum dump_exit code;

    if (!dump_options_parse(argc, argv, &options, &code))
        return (int)code;
    if (!dump_path_find(options.path, directory))
        return DUMP_UNREADABLE;
    code = DUMP_UNREADABLE;
    if (dump_store_read(&store, directory, options.stats) == ERR_OK)
        code = print(&options, &store, directory);
    dump_store_clear(&store);
    return (int)code;
}
