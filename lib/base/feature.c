/*
 * Which switches of config.mk this build has on.
 */
#include "base/feature.h"

#include "base/base.h"

#ifdef WITH_MEMORY_TRACKING
#define BUILT_MEMORY_TRACKING true
#else
#define BUILT_MEMORY_TRACKING false
#endif
#ifdef WITH_UUID
#define BUILT_UUID true
#else
#define BUILT_UUID false
#endif
#ifdef WITH_TLS
#define BUILT_TLS true
#else
#define BUILT_TLS false
#endif
#ifdef WITH_TLS_PSK
#define BUILT_TLS_PSK true
#else
#define BUILT_TLS_PSK false
#endif
#ifdef WITH_ARGON2
#define BUILT_ARGON2 true
#else
#define BUILT_ARGON2 false
#endif
#ifdef WITH_PERSISTENCE
#define BUILT_PERSISTENCE true
#else
#define BUILT_PERSISTENCE false
#endif
#ifdef WITH_BRIDGE
#define BUILT_BRIDGE true
#else
#define BUILT_BRIDGE false
#endif
#ifdef WITH_SRV
#define BUILT_SRV true
#else
#define BUILT_SRV false
#endif
#ifdef WITH_SOCKS
#define BUILT_SOCKS true
#else
#define BUILT_SOCKS false
#endif
#ifdef WITH_THREADING
#define BUILT_THREADING true
#else
#define BUILT_THREADING false
#endif
#ifdef WITH_WEBSOCKETS
#define BUILT_WEBSOCKETS true
#else
#define BUILT_WEBSOCKETS false
#endif
#ifdef WITH_SYS_TREE
#define BUILT_SYS_TREE true
#else
#define BUILT_SYS_TREE false
#endif
#ifdef WITH_WRAP
#define BUILT_WRAP true
#else
#define BUILT_WRAP false
#endif
#ifdef WITH_UNIX_SOCKETS
#define BUILT_UNIX_SOCKETS true
#else
#define BUILT_UNIX_SOCKETS false
#endif
#ifdef WITH_SYSTEMD
#define BUILT_SYSTEMD true
#else
#define BUILT_SYSTEMD false
#endif

static const struct {
    const char *name;
    bool built;
} features[] = {
    [FEATURE_NONE] = {NULL, true},
    [FEATURE_MEMORY_TRACKING] = {"WITH_MEMORY_TRACKING", BUILT_MEMORY_TRACKING},
    [FEATURE_UUID] = {"WITH_UUID", BUILT_UUID},
    [FEATURE_TLS] = {"WITH_TLS", BUILT_TLS},
    [FEATURE_TLS_PSK] = {"WITH_TLS_PSK", BUILT_TLS_PSK},
    [FEATURE_ARGON2] = {"WITH_ARGON2", BUILT_ARGON2},
    [FEATURE_PERSISTENCE] = {"WITH_PERSISTENCE", BUILT_PERSISTENCE},
    [FEATURE_BRIDGE] = {"WITH_BRIDGE", BUILT_BRIDGE},
    [FEATURE_SRV] = {"WITH_SRV", BUILT_SRV},
    [FEATURE_SOCKS] = {"WITH_SOCKS", BUILT_SOCKS},
    [FEATURE_THREADING] = {"WITH_THREADING", BUILT_THREADING},
    [FEATURE_WEBSOCKETS] = {"WITH_WEBSOCKETS", BUILT_WEBSOCKETS},
    [FEATURE_SYS_TREE] = {"WITH_SYS_TREE", BUILT_SYS_TREE},
    [FEATURE_WRAP] = {"WITH_WRAP", BUILT_WRAP},
    [FEATURE_UNIX_SOCKETS] = {"WITH_UNIX_SOCKETS", BUILT_UNIX_SOCKETS},
    [FEATURE_SYSTEMD] = {"WITH_SYSTEMD", BUILT_SYSTEMD},
};

_Static_assert(ARRAY_SIZE(features) == FEATURE_COUNT, "every feature has a switch");

bool feature_built(enum feature f)
{
    return (size_t)f < ARRAY_SIZE(features) && features[f].built;
}

const char *feature_switch(enum feature f)
{
    return (size_t)f < ARRAY_SIZE(features) ? features[f].name : NULL;
}
