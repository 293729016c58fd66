/*
 * One connection's descriptor and transport, tied to its conn: the core's half is conn, ours is
 * link.
 */
#ifndef SERVER_LINK_H
#define SERVER_LINK_H

#include "server/link_state.h"

#include <stdbool.h>
#include <stdint.h>

/* What it is given must outlive it, but the broker only as long as there are turns. */
void links_init(struct links *ls, struct poll *poll, struct door *door, struct broker *broker,
                uint8_t watch_kind);
/* Closes all that are left. Calls nothing of the broker, which may be gone. */
void links_clear(struct links *ls);

/*
 * Make a link for a socket that was accepted and admitted to the group; takes fd, and closes it
 * when memory or the system does not allow it. The broker has it at once, or after its PROXY
 * header, if the rules of the group want one, and its TLS handshake, if the group has keys.
 */
void link_open(struct links *ls, int fd, const struct peer *peer, uint16_t group);
/* Its watch has been reported with these bits of enum poll_interest: one read at most. */
void link_ready(struct links *ls, struct watch *w, unsigned events);
/* One read of each whose transport holds input that no watch will report, while the core takes any.
 */
void links_read_held(struct links *ls);
/* Have so many been closed that the others should wait for the next turn? */
bool links_are_spent(const struct links *ls);
/* Is there something for another turn at once? */
bool links_hurry(const struct links *ls);
/*
 * Write what waits, one call for each connection, and do what the core wishes for each. Stops when
 * that was much; then `again` is set, and the rest is for the next turn.
 */
void links_flush(struct links *ls);
/* End those that took too long: to send what comes first, or to read their last bytes. */
void links_expire(struct links *ls);
/* When links_expire has something to do, monotonic ms; UINT64_MAX = never. */
uint64_t links_deadline(const struct links *ls);
/* Free what died in this turn: did anything? */
bool links_bury(struct links *ls);
/* About how many bytes transports have taken that base/mem does not count. */
size_t links_uncounted(const struct links *ls);
/* Is there still something to be written, or a connection that the core has not let go? */
bool links_busy(const struct links *ls);

#endif
