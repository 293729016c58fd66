/*
 * A flow's outgoing side from records: for who has stored it.
 */
#ifndef MQTT_FLOW_LOAD_H
#define MQTT_FLOW_LOAD_H

#include "mqtt/flow.h"

/*
 * Rows come in any order, each perhaps more than once, and what is said of unknown rows means
 * nothing. A new row is as if just pushed, and away; `ticket` may be NULL: its message is not
 * needed any more (flow_load_received follows). Takes a reference of its own. ERR_NOMEM; ERR_INVAL:
 * too far from the others to be true. Between the first of these calls and flow_load_end nothing
 * else may be done with the flow but looking at rows.
 */
MUST_CHECK enum err flow_load_row(struct flow *f, uint64_t seq, struct blob *ticket, uint32_t bytes,
                                  enum qos qos, bool retain);
/* Without an id it is finished by that: QoS 0, or dropped instead of being sent. */
void flow_load_begun(struct flow *f, uint64_t seq, uint16_t id);
void flow_load_received(struct flow *f, uint64_t seq);
void flow_load_done(struct flow *f, uint64_t seq);
/* What has been found out of an away row: its message, if that is in memory, and its bytes. */
void flow_load_resolve(struct flow *f, uint64_t seq, struct message *m, uint32_t bytes);
/* Rows before this one have been begun; the packet id given last was this one. */
void flow_load_position(struct flow *f, uint64_t begun, uint16_t last_id);
/*
 * Bring it in order. *lost counts rows that made no sense and were finished: none unless records
 * are missing. ERR_NOMEM: try again, or free it.
 */
MUST_CHECK enum err flow_load_end(struct flow *f, uint64_t *lost);

#endif
