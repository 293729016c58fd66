/*
 * Locks and the background thread: those of the C library. thread_none.c is its twin.
 */
#include "client/thread.h"

#include <errno.h>
#include <signal.h>

enum err lock_init(struct lock *l)
{
    return pthread_mutex_init(&l->mutex, NULL) == 0 ? ERR_OK : ERR_NOMEM;
}

void lock_destroy(struct lock *l)
{
    (void)pthread_mutex_destroy(&l->mutex);
}

/* What this thread has taken, or is taking: a signal may come at any moment, so it is told first.
 */
static _Thread_local struct lock *mine;

void lock_take(struct lock *l)
{
    struct lock *before = mine;

    mine = l;
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    (void)pthread_mutex_lock(&l->mutex);
    l->before = before;
}

void lock_release(struct lock *l)
{
    struct lock *before = l->before;

    (void)pthread_mutex_unlock(&l->mutex);
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    mine = before;
}

bool lock_is_mine(struct lock *l)
{
    return mine == l;
}

/* A new thread has the signal mask of who made it: signals are for the program's own threads. */
enum err thread_start(struct thread *t, void *(*run)(void *), void *arg)
{
    sigset_t all;
    sigset_t before;

    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&t->id, NULL, run, arg);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    t->started = error == 0;
    errno = error;
    return error == 0 ? ERR_OK : ERR_SYSTEM;
}

void thread_join(struct thread *t)
{
    (void)pthread_join(t->id, NULL);
    t->started = false;
}

bool thread_is_self(const struct thread *t)
{
    return t->started && pthread_equal(t->id, pthread_self());
}
