/*
 * A ring of jobs: each slot goes from the loop to the thread and back.
 */
#include "server/worker.h"

#include "auth/pwhash.h"
#include "server/thread.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

/* The thread yields to the loop when there is one core for both. */
#define NICE 5

/* --- the thread --- */

static void be_nice(void)
{
    /* Without it logins would be as important as those who have logged in: no reason to fail. */
    (void)setpriority(PRIO_PROCESS, (id_t)gettid(), NICE);
}

static void do_next(struct worker *w)
{
    struct worker_job *j = &w->ring[w->done % WORKER_AHEAD];
    (void)pthread_mutex_unlock(&w->lock);
    j->matches = pwhash_matches(j->login.hash, str_of(j->login.password, j->login.password_len));
    (void)pthread_mutex_lock(&w->lock);
    w->done++;
    uint64_t one = 1;
    (void)!write(w->event, &one, sizeof(one)); /* cannot fail: the counter is far from full */
}

static void *run(void *ctx)
{
    struct worker *w = ctx;
    be_nice();
    (void)pthread_mutex_lock(&w->lock);
    while (!w->stop) {
        if (w->done != w->given) {
            do_next(w);
        } else {
            (void)pthread_cond_wait(&w->wake, &w->lock);
        }
    }
    (void)pthread_mutex_unlock(&w->lock);
    return NULL;
}

/* --- start and stop --- */

enum err worker_start(struct worker *w)
{
    int event = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (event < 0) {
        return ERR_SYSTEM;
    }
    *w = (struct worker){.event = event};
    (void)pthread_mutex_init(&w->lock, NULL);
    (void)pthread_cond_init(&w->wake, NULL);
    int error = thread_create(&w->id, run, w);
    if (error) {
        (void)close(event);
        errno = error;
        return ERR_SYSTEM;
    }
    w->started = true;
    return ERR_OK;
}

/* What the thread has not begun with is as good as wrong: it is only done with. */
static void give_up(struct worker *w, struct broker *b)
{
    while (w->answered != w->given) {
        broker_login_done(b, &w->ring[w->answered++ % WORKER_AHEAD].login, false);
    }
}

void worker_stop(struct worker *w, struct broker *b)
{
    if (!w->started) {
        return;
    }
    (void)pthread_mutex_lock(&w->lock);
    w->stop = true;
    (void)pthread_cond_signal(&w->wake);
    (void)pthread_mutex_unlock(&w->lock);
    (void)pthread_join(w->id, NULL);
    give_up(w, b);
    (void)pthread_cond_destroy(&w->wake);
    (void)pthread_mutex_destroy(&w->lock);
    (void)close(w->event);
    w->started = false;
}

/* --- the loop's side --- */

static unsigned count_done(struct worker *w)
{
    (void)pthread_mutex_lock(&w->lock);
    unsigned done = w->done;
    (void)pthread_mutex_unlock(&w->lock);
    return done;
}

void worker_ready(struct worker *w, struct broker *b)
{
    uint64_t count;
    (void)!read(w->event, &count, sizeof(count));
    unsigned done = count_done(w);
    while (w->answered != done) {
        struct worker_job *j = &w->ring[w->answered++ % WORKER_AHEAD];
        broker_login_done(b, &j->login, j->matches);
    }
}

static void give(struct worker *w)
{
    (void)pthread_mutex_lock(&w->lock);
    w->given++;
    (void)pthread_cond_signal(&w->wake);
    (void)pthread_mutex_unlock(&w->lock);
}

void worker_turn(struct worker *w, struct broker *b)
{
    while (w->given - w->answered < WORKER_AHEAD &&
           broker_take_login(b, &w->ring[w->given % WORKER_AHEAD].login)) {
        give(w);
    }
}
