/*
 * Attempts to connect, as the loop makes them. Locked, and without waiting.
 */
#ifndef CLIENT_CONNECT_H
#define CLIENT_CONNECT_H

#include "client/client.h"

/* Begin an attempt to reach the broker that was named last. */
MUST_CHECK int connect_begin(struct mosquitto *m);
/* Go on with an attempt that there is. MOSQ_ERR_SUCCESS: it is not over, or connected; otherwise it
 * has failed, and the next one is due later. With MOSQ_ERR_ERRNO errno says more. */
MUST_CHECK int connect_go_on(struct mosquitto *m);
/* The connection, or an attempt, has ended: when is the next one? Keeps errno. */
void connect_later(struct mosquitto *m);
/* End connection and attempts, also that of a thread that waits in mosquitto_connect(). */
void connect_cancel(struct mosquitto *m);
/* The background thread was ended by force: write what was left to it, without waiting; and if that
 * was DISCONNECT, the connection has ended. */
void connect_flush(struct mosquitto *m);
/* What mosquitto_disconnect() does. */
int connect_end(struct mosquitto *m);
/* Do what a signal handler has left to this thread. */
void connect_obey(struct mosquitto *m);
/* How long poll() may wait for a moment of client_now(). */
int connect_timeout(uint64_t deadline_ms);

#endif
