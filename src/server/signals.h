/*
 * Signals as events of the loop, so that no code of ours ever runs inside a signal handler.
 */
#ifndef SERVER_SIGNALS_H
#define SERVER_SIGNALS_H

#include "base/base.h"
#include "base/err.h"

enum signal_wish {
    SIGNAL_NONE,
    SIGNAL_STOP,       /* SIGINT, SIGTERM */
    SIGNAL_RELOAD,     /* SIGHUP */
    SIGNAL_SAVE,       /* SIGUSR1 */
    SIGNAL_STATISTICS, /* SIGUSR2 */
    SIGNAL_REOPEN_LOG  /* SIGRTMIN */
};

/* First of all: what comes before signals_open() waits for it, instead of ending a start halfway.
 * Who wants to stop need not wait. */
void signals_hold(void);
/* From here on these signals are read from *fd, and SIGPIPE is ignored. ERR_SYSTEM: errno. */
MUST_CHECK enum err signals_open(int *fd);
/* The next signal that came; never waits. */
enum signal_wish signals_next(int fd);

#endif
