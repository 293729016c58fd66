/*
 * Who a peer is, and what it may read or write.
 */
#ifndef CORE_ACCESS_H
#define CORE_ACCESS_H

#include "conf/conf.h"
#include "mqtt/packet.h"

/* May this client come in? */
bool access_may_connect(const struct conf_listener *rules, const struct packet_connect *p);
/*
 * May clients publish to this topic at all? $SYS and $CONTROL belong to the broker; bridges report
 * their state below $SYS. Behind a mount point (`map`, or NULL) that holds for what the client
 * wrote, and for what became of it.
 */
bool access_may_write(const struct conf_listener *map, struct str topic);

#endif
