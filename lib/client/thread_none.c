/*
 * The twin of thread.c: one thread, so nothing has to be locked, and no other can be started.
 */
#include "client/thread.h"

enum err lock_init(struct lock *l)
{
    *l = (struct lock){0};
    return ERR_OK;
}

void lock_destroy(struct lock *l)
{
    (void)l;
}

void lock_take(struct lock *l)
{
    __atomic_store_n(&l->held, 1, __ATOMIC_RELEASE);
}

void lock_release(struct lock *l)
{
    __atomic_store_n(&l->held, 0, __ATOMIC_RELEASE);
}

bool lock_is_mine(struct lock *l)
{
    return __atomic_load_n(&l->held, __ATOMIC_ACQUIRE);
}

enum err thread_start(struct thread *t, void *(*run)(void *), void *arg)
{
    (void)run;
    (void)arg;
    t->started = false;
    return ERR_UNSUPPORTED;
}

void thread_join(struct thread *t)
{
    t->started = false;
}

bool thread_is_self(const struct thread *t)
{
    (void)t;
    return false;
}
