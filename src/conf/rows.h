/*
 * What the files of rows share: short ways to say where a row's field is.
 */
#ifndef CONF_ROWS_H
#define CONF_ROWS_H

#include "conf/conf.h"
#include "conf/options.h"

#define FIELD(type, member)                                                                        \
    .offset = offsetof(struct type, member), .size = sizeof(((struct type *)0)->member)
#define GLOBAL(member) .scope = SCOPE_GLOBAL, FIELD(conf_global, member)
#define SECURITY(member) .scope = SCOPE_SECURITY, FIELD(conf_security, member)
#define OWN_SECURITY(member) .scope = SCOPE_OWN_SECURITY, FIELD(conf_security, member)
#define LISTENER(member) .scope = SCOPE_LISTENER, FIELD(conf_listener, member)
#define DEFAULT_LISTENER(member) .scope = SCOPE_DEFAULT_LISTENER, FIELD(conf_listener, member)
#define BRIDGE(member) .scope = SCOPE_BRIDGE, FIELD(conf_bridge, member)

#endif
