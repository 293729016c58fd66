/*
 * The lock, and what goes with giving it back.
 *
 * Lines for the log callback are handed over by one thread at a time, so that they keep their
 * order; whoever leaves meanwhile leaves his lines to that thread. What a log callback does itself
 * is not logged: one that publishes its lines would never come to an end.
 */
#include "client/client.h"

#include <errno.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define NOTES_MAX (1024u * 1024) /* bytes of lines that a slow log callback has not seen yet */

uint64_t client_now(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* --- lines for the log callback --- */

/* The level is given as one byte: levels that a line can have are below 256. A line that there is
 * no memory for is lost. */
static void note(void *ctx, enum log_level level, struct str line, const struct log_about *about)
{
    struct mosquitto *m = ctx;
    uint8_t byte = (uint8_t)level;

    (void)about;
    if (client_is_noting(m) || m->notes.len > NOTES_MAX)
        return;
    if (buf_reserve(&m->notes, line.n + 2) != ERR_OK || buf_add(&m->notes, &byte, 1) != ERR_OK ||
        buf_add(&m->notes, line.p, line.n) != ERR_OK || buf_add(&m->notes, "", 1) != ERR_OK)
        return;
}

struct log client_log(struct mosquitto *m)
{
    unsigned mask = m->callbacks.log ? LOG_LEVEL_ALL : 0;

    return (struct log){.mask = mask, .sink = note, .ctx = m};
}

/* The lock is released. */
static void hand_over(struct mosquitto *m, const struct buf *lines,
                      void (*log)(struct mosquitto *, void *, int, const char *), void *userdata)
{
    const char *p = buf_str(lines).p;
    const char *end = p + lines->len;

    while (p < end) {
        log(m, userdata, (uint8_t)p[0], p + 1);
        p += strlen(p) + 1;
    }
}

/* Locked, and so again afterwards. */
static void empty_notes(struct mosquitto *m)
{
    struct buf lines = m->notes;
    void (*log)(struct mosquitto *, void *, int, const char *) = m->callbacks.log;
    void *userdata = m->userdata;

    m->notes = (struct buf){0};
    lock_release(&m->lock);
    if (log)
        hand_over(m, &lines, log, userdata);
    buf_clear(&lines);
    lock_take(&m->lock);
}

/* --- the lock --- */

void client_enter(struct mosquitto *m)
{
    lock_take(&m->lock);
}

void client_leave(struct mosquitto *m)
{
    int error = errno;

    if (!m->noting) {
        m->noting = true;
        m->noter = pthread_self();
        while (m->notes.len > 0)
            empty_notes(m);
        m->noting = false;
    }
    lock_release(&m->lock);
    errno = error;
}

int client_leave_with(struct mosquitto *m, int rc, int error)
{
    client_leave(m);
    if (rc == MOSQ_ERR_ERRNO)
        errno = error;
    return rc;
}

void client_wake(struct mosquitto *m)
{
    uint64_t one = 1;

    if (!m->polling || m->woken)
        return;
    m->woken = true;
    (void)!write(m->wake, &one, sizeof(one)); /* cannot fail: the counter is far from full */
}

void client_ask_disconnect(struct mosquitto *m)
{
    uint64_t one = 1;
    int error = errno;

    __atomic_store_n(&m->disconnect_asked, 1, __ATOMIC_RELEASE);
    (void)!write(m->wake, &one, sizeof(one)); /* cannot fail: the counter is far from full */
    errno = error;
}

bool client_disconnect_asked(struct mosquitto *m)
{
    return __atomic_exchange_n(&m->disconnect_asked, 0, __ATOMIC_ACQ_REL);
}

void client_forget_wake(struct mosquitto *m, bool seen)
{
    uint64_t count;

    if (m->woken || seen)
        (void)!read(m->wake, &count, sizeof(count)); /* nothing in it is fine, too */
    m->woken = false;
}

/* --- who is in the loop --- */

bool client_loop_begin(struct mosquitto *m)
{
    if (m->looping)
        return false;
    m->looping = true;
    m->looper = pthread_self();
    return true;
}

void client_loop_end(struct mosquitto *m)
{
    m->looping = false;
}

bool client_is_inside(const struct mosquitto *m)
{
    return m->looping && pthread_equal(m->looper, pthread_self());
}

bool client_is_noting(const struct mosquitto *m)
{
    return m->noting && pthread_equal(m->noter, pthread_self());
}

/* --- errors --- */

int client_error(enum err e)
{
    static const int errors[ERR_COUNT] = {
        [ERR_OK] = MOSQ_ERR_SUCCESS,
        [ERR_NOMEM] = MOSQ_ERR_NOMEM,
        [ERR_INVAL] = MOSQ_ERR_INVAL,
        [ERR_MALFORMED] = MOSQ_ERR_PROTOCOL, /* as Mosquitto: users know this one */
        [ERR_PROTOCOL] = MOSQ_ERR_PROTOCOL,
        [ERR_UTF8] = MOSQ_ERR_MALFORMED_UTF8,
        [ERR_TOPIC] = MOSQ_ERR_INVAL,
        [ERR_TOO_LARGE] = MOSQ_ERR_OVERSIZE_PACKET,
        [ERR_FULL] = MOSQ_ERR_NOMEM,
        [ERR_AGAIN] = MOSQ_ERR_CONN_PENDING,
        [ERR_EXISTS] = MOSQ_ERR_ALREADY_EXISTS,
        [ERR_NOT_FOUND] = MOSQ_ERR_NOT_FOUND,
        [ERR_DENIED] = MOSQ_ERR_AUTH,
        [ERR_CLOSED] = MOSQ_ERR_NO_CONN,
        [ERR_UNSUPPORTED] = MOSQ_ERR_NOT_SUPPORTED,
        [ERR_SYSTEM] = MOSQ_ERR_ERRNO,
    };

    return errors[e];
}
