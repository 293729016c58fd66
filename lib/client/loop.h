/*
 * The end of the background thread, for whoever destroys a client.
 */
#ifndef CLIENT_LOOP_H
#define CLIENT_LOOP_H

#include "client/client.h"

/* End the thread of mosquitto_loop_start(), if there is one, as soon as its callback has returned.
 * Not locked; false: it is this very thread, or another one sees to it. */
MUST_CHECK bool loop_end(struct mosquitto *m);

#endif
