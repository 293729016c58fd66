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

void lock_take(struct lock *l)
{
    (void)pthread_mutex_lock(&l->mutex);
    __atomic_store_n(&l->owner, pthread_self(), __ATOMIC_RELAXED);
    __atomic_store_n(&l->held, 1, __ATOMIC_RELEASE);
}

void lock_release(struct lock *l)
{
    __atomic_store_n(&l->held, 0, __ATOMIC_RELEASE);
    (void)pthread_mutex_unlock(&l->mutex);
}

/* Another thread's comings and goings may be seen in any order: they never give our own name. */
bool lock_is_mine(struct lock *l)
{
    return __atomic_load_n(&l->held, __ATOMIC_ACQUIRE) &&
           pthread_equal(__atomic_load_n(&l->owner, __ATOMIC_RELAXED), pthread_self());
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
