/*
 * The command line of mosquitto_db_dump.
 */
#ifndef TOOLS_DB_DUMP_OPTIONS_H
#define TOOLS_DB_DUMP_OPTIONS_H

#include <stdbool.h>

/* How the program ends. */
enum dump_exit {
    DUMP_FINE = 0,
    DUMP_DAMAGE = 1, /* what is readable was printed */
    DUMP_USAGE = 2,
    DUMP_UNREADABLE = 3
};

enum dump_payload { DUMP_PAYLOAD_CUT, DUMP_PAYLOAD_NONE, DUMP_PAYLOAD_TEXT, DUMP_PAYLOAD_HEX };

struct dump_options {
    const char *path;
    const char *client; /* NULL: everything */
    enum dump_payload payload;
    bool json;
    bool stats;
};

/* False: the program ends now, with *code; what is to be said has been said. */
bool dump_options_parse(int argc, char **argv, struct dump_options *o, enum dump_exit *code);

#endif
