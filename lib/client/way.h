/*
 * The connection: how it begins, what is read and written, how it is let go. Everything here is
 * called with the lock held, never gives it back, and never waits.
 *
 * What the loop polls for is never closed under its feet: way_drop() retires it then, and the loop
 * closes it when it is back. Whoever gives the lock back looks at m->connection afterwards.
 *
 * Errors are those of the public API; with MOSQ_ERR_ERRNO errno says more.
 */
#ifndef CLIENT_WAY_H
#define CLIENT_WAY_H

#include "client/client.h"

/* Begin an attempt to reach m's host; MOSQ_ERR_TLS, MOSQ_ERR_NOMEM, MOSQ_ERR_NOT_SUPPORTED. */
MUST_CHECK int way_dial(struct mosquitto *m, struct dial **out);
/* A dial of way_dial() has arrived: it is the connection now, and CONNECT is on its way. Takes the
 * dial. */
MUST_CHECK int way_open(struct mosquitto *m, struct dial *take);
/* … has failed: why, as an error, and as a line in the log. Takes the dial. */
MUST_CHECK int way_failed(struct mosquitto *m, struct dial *take);
/* Let go of connection and attempt, if there is one; messages stay with the engine. */
void way_drop(struct mosquitto *m);
/* Close what was let go while the loop was in poll(). */
void way_close_retired(struct mosquitto *m);

/* Is there a connection? An attempt is none. */
static inline bool way_is_up(const struct mosquitto *m)
{
    return m->way.transport != NULL;
}

/* One read; *more says whether another one may bring something. What comes after DISCONNECT was
 * asked for is thrown away. MOSQ_ERR_CONN_LOST, MOSQ_ERR_TLS, MOSQ_ERR_ERRNO, MOSQ_ERR_NOMEM. */
MUST_CHECK int way_read(struct mosquitto *m, bool *more);
/* Write what waits, as far as it goes. */
MUST_CHECK int way_write(struct mosquitto *m);
/* Is there something that could not be written yet? */
bool way_wants_write(const struct mosquitto *m);
/*
 * A request has left something to write: write it, or leave it to the loop and wake it. An error
 * ends nothing here, since the loop will meet it too; it is told for requests that are lost with
 * the connection.
 */
MUST_CHECK int way_push(struct mosquitto *m);
/* DISCONNECT is written: say good-bye below as well, and read what is there: bytes that nobody has
 * read make the system reset the connection, and throw away what was written. Then way_drop(). */
void way_finish(struct mosquitto *m);

#endif
