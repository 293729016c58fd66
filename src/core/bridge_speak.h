/*
 * What a bridge says: to the remote broker, as its client; to the clients of this one, about
 * itself.
 */
#ifndef CORE_BRIDGE_SPEAK_H
#define CORE_BRIDGE_SPEAK_H

#include "core/bridge_state.h"

/* "HOST:PORT"; returns out. */
const char *bridge_place(const struct conf_bridge_address *a, char out[BRIDGE_ADDRESS_MAX]);

/* ERR_NOMEM, as all of these. */
MUST_CHECK enum err bridge_send_connect(struct broker *b, struct bridge *br);
/* After CONNACK: UNSUBSCRIBE from what is only sent, SUBSCRIBE to what is to come, and the broker's
 * name. */
MUST_CHECK enum err bridge_send_requests(struct broker *b, struct bridge *br);
/* The topic that was subscribed to with this packet id; NULL: none was. */
const char *bridge_subscribed(const struct bridge *br, uint16_t id, bool *any);
MUST_CHECK enum err bridge_send_ping(struct broker *b, struct bridge *br);
/* Before an orderly end: that it is not connected any more, and DISCONNECT. What there is no memory
 * for is not said. */
void bridge_send_farewell(struct broker *b, struct bridge *br);

/* Tell both brokers, as far as the section wants that, that it is connected. ERR_NOMEM: one
 * of them was not told. */
MUST_CHECK enum err bridge_notify_up(struct broker *b, struct bridge *br);
/* Tell this one that it is not. */
void bridge_notify_down(struct broker *b, struct bridge *br);

/* Below $SYS/broker/connection/NAME: what has changed. */
void bridge_tell(struct broker *b, struct bridge *br);
/* The bridge goes: take it all back. */
void bridge_untell(struct broker *b, struct bridge *br);

/* Where brokers of ours that are bridged exchange their names: this and the name of the one that
 * asks. */
#define BRIDGE_PEER_TOPIC "$SYS/broker/peer/"
/* What this broker is called by others of ours that it is bridged with: at random, as long as it
 * runs. */
const char *bridge_own_name(struct broker *b);

#endif
