/*
 * A listener in words.
 */
#ifndef CONF_DESCRIBE_H
#define CONF_DESCRIBE_H

#include "conf/conf.h"

enum reach {
    REACH_MACHINE, /* from this machine only */
    REACH_ADDRESS, /* through one address or interface */
    REACH_ALL
};

enum reach describe_reach(const struct conf_listener *l);
/* "listener on port 1883", "… on port 1883 of ::1", "… on /run/mosquitto.sock"; terminated. Returns
 * out. */
char *describe_name(const struct conf_listener *l, char *out, size_t cap);

#endif
