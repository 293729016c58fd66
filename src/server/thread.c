/*
 * A new thread has the signal mask of who made it.
 */
#include "server/thread.h"

#include <signal.h>

int thread_create(pthread_t *id, void *(*run)(void *ctx), void *ctx)
{
    sigset_t all;
    sigset_t before;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(id, NULL, run, ctx);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return error;
}
