/*
 * Locks and the background thread. Without WITH_THREADING (thread_none.c) a lock costs nothing and
 * protects nothing, and no thread can be started.
 */
#ifndef CLIENT_THREAD_H
#define CLIENT_THREAD_H

#include "base/base.h"
#include "base/err.h"

#include <pthread.h>
#include <stdbool.h>

struct lock {
    pthread_mutex_t mutex;
    struct lock *before; /* the one that a signal handler has interrupted its thread with */
    int held;            /* without threads */
};

MUST_CHECK enum err lock_init(struct lock *l);
void lock_destroy(struct lock *l);
void lock_take(struct lock *l);
void lock_release(struct lock *l);
/* Has this thread got it, or is it about to? Then it must not take it: a signal handler asks. */
bool lock_is_mine(struct lock *l);

struct thread {
    pthread_t id;
    bool started; /* and not joined yet */
};

/* ERR_UNSUPPORTED without threads; ERR_SYSTEM with errno. The thread takes no signals. */
MUST_CHECK enum err thread_start(struct thread *t, void *(*run)(void *), void *arg);
/* Wait until it has ended. */
void thread_join(struct thread *t);
/* Is it this very thread that asks? */
bool thread_is_self(const struct thread *t);

#endif
