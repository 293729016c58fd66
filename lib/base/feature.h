/*
 * What this build can do. feature.c is the only file that sees the WITH_* switches.
 */
#ifndef BASE_FEATURE_H
#define BASE_FEATURE_H

#include <stdbool.h>

enum feature {
    FEATURE_NONE, /* needs nothing: always built */
    FEATURE_MEMORY_TRACKING,
    FEATURE_UUID,
    FEATURE_TLS,
    FEATURE_TLS_PSK,
    FEATURE_ARGON2,
    FEATURE_PERSISTENCE,
    FEATURE_BRIDGE,
    FEATURE_SRV,
    FEATURE_SOCKS,
    FEATURE_THREADING,
    FEATURE_WEBSOCKETS,
    FEATURE_SYS_TREE,
    FEATURE_WRAP,
    FEATURE_UNIX_SOCKETS,
    FEATURE_SYSTEMD,
    FEATURE_COUNT
};

bool feature_built(enum feature f);
/* The switch that turns it on, e.g. "WITH_TLS"; NULL for FEATURE_NONE. */
const char *feature_switch(enum feature f);

#endif
