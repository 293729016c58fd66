/*
 * What has happened, told to the user: his callbacks are called with the lock released, by the
 * thread that runs the loop. Locked before and after.
 */
#ifndef CLIENT_EVENTS_H
#define CLIENT_EVENTS_H

#include "client/client.h"

/* Hand over what the engine has, and settle it. An error: the connection that there is now is to be
 * ended by events_lost(). */
MUST_CHECK int events_deliver(struct mosquitto *m);
/* The connection has ended, by this error (0: as it should): let go of it, and tell. Keeps errno.
 */
void events_lost(struct mosquitto *m, int rc);

#endif
