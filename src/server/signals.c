/*
 * Signals, read from a signalfd.
 */
#include "server/signals.h"

#include <signal.h>
#include <stddef.h>
#include <sys/signalfd.h>
#include <unistd.h>

struct meaning {
    int number;
    enum signal_wish wish;
};

/* SIGRTMIN is no constant: the C library keeps the first few for itself. */
#define SIGNALS                                                                                    \
    {                                                                                              \
        {SIGINT, SIGNAL_STOP}, {SIGTERM, SIGNAL_STOP}, {SIGHUP, SIGNAL_RELOAD},                    \
            {SIGUSR1, SIGNAL_SAVE}, {SIGUSR2, SIGNAL_STATISTICS}, {SIGRTMIN, SIGNAL_REOPEN_LOG},   \
    }

void signals_hold(void)
{
    const struct meaning meanings[] = SIGNALS;
    sigset_t set;
    (void)sigemptyset(&set);
    for (size_t i = 0; i < ARRAY_SIZE(meanings); i++) {
        if (meanings[i].wish != SIGNAL_STOP) {
            (void)sigaddset(&set, meanings[i].number);
        }
    }
    (void)sigprocmask(SIG_BLOCK, &set, NULL);
}

enum err signals_open(int *fd)
{
    const struct meaning meanings[] = SIGNALS;
    (void)signal(SIGPIPE, SIG_IGN);
    /* A file that may not grow is like a full disk: an error, and not the end. */
    (void)signal(SIGXFSZ, SIG_IGN);
    sigset_t set;
    (void)sigemptyset(&set);
    for (size_t i = 0; i < ARRAY_SIZE(meanings); i++) {
        (void)sigaddset(&set, meanings[i].number);
    }
    if (sigprocmask(SIG_BLOCK, &set, NULL) != 0) {
        return ERR_SYSTEM;
    }
    /* A signal that the parent ignored (a shell does that in the background) would never arrive. */
    for (size_t i = 0; i < ARRAY_SIZE(meanings); i++) {
        (void)signal(meanings[i].number, SIG_DFL);
    }
    *fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    return *fd >= 0 ? ERR_OK : ERR_SYSTEM;
}

enum signal_wish signals_next(int fd)
{
    const struct meaning meanings[] = SIGNALS;
    struct signalfd_siginfo info;
    if (read(fd, &info, sizeof(info)) != (ssize_t)sizeof(info)) {
        return SIGNAL_NONE;
    }
    for (size_t i = 0; i < ARRAY_SIZE(meanings); i++) {
        if ((uint32_t)meanings[i].number == info.ssi_signo) {
            return meanings[i].wish;
        }
    }
    return SIGNAL_NONE;
}
