/*
 * The thread that checks passwords.
 *
 * A hash that is worth its name takes up to a tenth of a second, a hundred turns of the loop. One
 * thread does them one after another, at a lower priority than the loop's: whoever is connected
 * goes first, and many logins at once take longer instead of everybody else.
 *
 * Few jobs are taken from the core ahead of time, since those of clients that leave meanwhile would
 * be done for nobody. The thread reads what a job refers to and nothing else: memory is allocated,
 * counted and freed by the loop's thread, from which all of this is called.
 */
#ifndef SERVER_WORKER_H
#define SERVER_WORKER_H

#include "base/err.h"
#include "core/broker.h"

#include <pthread.h>
#include <stdbool.h>

/* One is being done; the others are there so that it need not wait for the loop in between. */
#define WORKER_AHEAD 4

struct worker_job {
    struct login_job login;
    bool matches;
};

/* Zeroed it is one that was not started. */
struct worker {
    int event; /* readable when something was done */
    pthread_t id;
    pthread_mutex_t lock; /* for what follows, but for jobs that are the thread's */
    pthread_cond_t wake;
    struct worker_job ring[WORKER_AHEAD];
    unsigned given;    /* jobs so far, all in all: given to the thread, … */
    unsigned done;     /* … done by it: those between are its own … */
    unsigned answered; /* … and told to the core */
    bool started;
    bool stop;
};

/* Once the process is the user that it is to be. ERR_SYSTEM: errno. */
MUST_CHECK enum err worker_start(struct worker *w);
/* What is being done is waited for; nothing else is. To be called before the broker goes. */
void worker_stop(struct worker *w, struct broker *b);
/* The event was readable: answers for the core. */
void worker_ready(struct worker *w, struct broker *b);
/* Take from the core what there is room for. */
void worker_turn(struct worker *w, struct broker *b);

#endif
