/*
 * Into the background, so that whoever started us learns whether we came up.
 */
#ifndef SERVER_DAEMON_H
#define SERVER_DAEMON_H

#include "base/base.h"
#include "base/err.h"

struct daemon {
    int parent; /* the pipe on which it waits; -1 = nobody does */
};

/*
 * Go on as a process without terminal, in a session of its own; the current directory stays, so
 * that relative paths mean what they meant. Only that process returns from here. The one that was
 * started waits, and ends with 0 after daemon_up(), else with the code of daemon_failed(). Before
 * any thread. ERR_SYSTEM: errno.
 */
MUST_CHECK enum err daemon_begin(struct daemon *d);
/* Both do nothing without a daemon_begin, and the second time. */

/* We serve. Nothing is written to the terminal from here on. */
void daemon_up(struct daemon *d);
void daemon_failed(struct daemon *d, int code);

#endif
