/*
 * The loop: waiting, and what is done when the wait is over.
 *
 * One thread at a time is in the loop. While it is in poll() or in a callback it does not have the
 * lock, so others may queue what they like, connect, disconnect; it looks at m->connection when it
 * is back. A request wakes it only when it is in poll() and was not woken already: before it goes
 * there it looks at everything.
 */
#include "client/loop.h"

#include "base/feature.h"
#include "client/connect.h"
#include "client/events.h"
#include "client/way.h"

#include <errno.h>
#include <unistd.h>

#define TIMEOUT_MS 1000   /* of a turn, when none is given */
#define READS_PER_TURN 16 /* then writing and time have their turn */
#define FOREVER (-1)      /* as poll() says it */
#define LINGER_MS 1000    /* for the broker to close, after DISCONNECT */

/* --- waiting --- */

/* What to poll for: the wake-up first, then the connection or the attempt. */
static int gather(const struct mosquitto *m, struct pollfd fds[1 + DIAL_FDS_MAX])
{
    fds[0] = (struct pollfd){.fd = m->wake, .events = POLLIN};
    if (m->dial)
        return 1 + dial_poll(m->dial, fds + 1, DIAL_FDS_MAX);
    if (!way_is_up(m))
        return 1;
    fds[1] = (struct pollfd){.fd = m->way.fd,
                             .events = (short)(way_wants_write(m) ? POLLIN | POLLOUT : POLLIN)};
    return 2;
}

/* MOSQ_ERR_ERRNO, or MOSQ_ERR_SUCCESS also when a signal came. */
static int wait_for(struct mosquitto *m, struct pollfd *fds, int n, int timeout_ms)
{
    m->polling = true;
    client_leave(m);
    int ready = poll(fds, (nfds_t)n, timeout_ms);
    int error = errno;
    client_enter(m);
    m->polling = false;
    client_forget_wake(m, ready > 0 && fds[0].revents);
    way_close_retired(m);
    connect_obey(m);
    errno = error;
    return ready < 0 && error != EINTR ? MOSQ_ERR_ERRNO : MOSQ_ERR_SUCCESS;
}

/* The shorter one of two timeouts of poll(). */
static int shorter(int a, int b)
{
    if (a < 0)
        return b;
    return b < 0 || a < b ? a : b;
}

/* Until something is due. */
static int wait_ms(struct mosquitto *m)
{
    uint64_t deadline_ms = UINT64_MAX;

    if (m->dial)
        deadline_ms = dial_deadline(m->dial, client_now());
    else if (way_is_up(m) &&
             (transport_has_input(m->way.transport) || engine_has_written(m->engine)))
        return 0;
    else if (way_is_up(m) && m->linger_ms > 0)
        deadline_ms = m->linger_ms;
    else if (way_is_up(m))
        deadline_ms = engine_deadline(m->engine);
    return deadline_ms == UINT64_MAX ? FOREVER : connect_timeout(deadline_ms);
}

/* --- a connection --- */

static bool has_way(const struct mosquitto *m)
{
    return m->dial || way_is_up(m);
}

/* The connection that a turn began with: is it still there? */
static bool is_same(const struct mosquitto *m, uint32_t of)
{
    return m->connection == of && way_is_up(m) && !m->stop;
}

/* A program may have been away for long, or cannot take more for a while: what it has not read yet
 * is no silence of the broker's. */
static void listen_before_time_is_up(struct mosquitto *m, uint64_t now_ms)
{
    struct pollfd p = {.fd = m->way.fd, .events = POLLIN};

    if (now_ms >= engine_deadline(m->engine) && poll(&p, 1, 0) > 0 && p.revents == POLLIN)
        engine_heard(m->engine, now_ms);
}

static int tick(struct mosquitto *m)
{
    uint64_t now_ms = client_now();

    listen_before_time_is_up(m, now_ms);
    enum err err = engine_tick(m->engine, now_ms);
    if (err != ERR_CLOSED)
        return client_error(err);
    log_error(&m->log, "Error: %s.", engine_why(m->engine));
    return MOSQ_ERR_KEEPALIVE;
}

/* Each piece is handed over before the next one is read, and answered at once. */
static int read_turn(struct mosquitto *m, uint32_t of)
{
    bool more = true;

    for (int i = 0; more && i < READS_PER_TURN; i++) {
        int rc = way_read(m, &more);
        if (rc == MOSQ_ERR_SUCCESS)
            rc = events_deliver(m);
        if (rc == MOSQ_ERR_SUCCESS && is_same(m, of))
            rc = way_write(m);
        if (rc != MOSQ_ERR_SUCCESS || !is_same(m, of))
            return rc;
    }
    return MOSQ_ERR_SUCCESS;
}

/* What is written may be told of, at QoS 0. */
static int write_turn(struct mosquitto *m)
{
    int rc = way_write(m);

    return rc == MOSQ_ERR_SUCCESS ? events_deliver(m) : rc;
}

static bool is_through(const struct mosquitto *m)
{
    return engine_state(m->engine) == ENGINE_CLOSING && engine_is_drained(m->engine);
}

/* The connection has ended. After a disconnect that is what was wanted, whoever was first. */
static int end(struct mosquitto *m, int rc)
{
    if (m->wants_disconnect)
        rc = MOSQ_ERR_SUCCESS;
    events_lost(m, rc);
    if (!has_way(m))
        connect_later(m);
    return rc;
}

/*
 * DISCONNECT is written. A broker that is just sending messages would have its connection reset if
 * we closed now, and might never read what we had to say, acknowledgements included: so whoever
 * stays in the loop lets it be the first to close.
 */
static int take_leave(struct mosquitto *m)
{
    uint64_t now_ms = client_now();

    if (m->linger_ms == 0)
        way_finish(m);
    if (!m->forever || !m->hears || (m->linger_ms > 0 && now_ms >= m->linger_ms))
        return end(m, MOSQ_ERR_SUCCESS);
    if (m->linger_ms == 0)
        m->linger_ms = now_ms + LINGER_MS;
    return MOSQ_ERR_SUCCESS;
}

/* Do what can be done on the connection: what the clock says counts after what the broker has said.
 */
static int serve(struct mosquitto *m, bool reads)
{
    uint32_t of = m->connection;
    int rc = MOSQ_ERR_SUCCESS;

    if (reads)
        rc = read_turn(m, of);
    if (rc == MOSQ_ERR_SUCCESS && is_same(m, of))
        rc = tick(m);
    if (rc == MOSQ_ERR_SUCCESS && is_same(m, of))
        rc = write_turn(m);
    if (rc != MOSQ_ERR_SUCCESS && way_is_up(m))
        return end(m, rc);
    if (rc == MOSQ_ERR_SUCCESS && is_same(m, of) && is_through(m))
        return take_leave(m);
    return rc;
}

/* --- turns --- */

/* Wait at most so long, and do what there is to do. */
static int turn(struct mosquitto *m, int timeout_ms)
{
    struct pollfd fds[1 + DIAL_FDS_MAX];
    uint32_t of = m->connection;
    int n = gather(m, fds);
    int rc = wait_for(m, fds, n, shorter(timeout_ms, wait_ms(m)));

    if (rc != MOSQ_ERR_SUCCESS || m->connection != of || m->stop)
        return rc;
    if (m->dial)
        return connect_go_on(m);
    if (!way_is_up(m))
        return MOSQ_ERR_SUCCESS;
    return serve(m, n > 1 && (fds[1].revents || transport_has_input(m->way.transport)));
}

/* Without a connection: wait for the time of the next attempt, or for somebody who connects. */
static int wait_to_connect(struct mosquitto *m)
{
    bool ours = m->options.host && m->connect_wake < 0 && !m->wants_disconnect;
    struct pollfd fds[1 + DIAL_FDS_MAX];

    if (ours && client_now() >= m->retry_ms)
        return connect_begin(m);
    int n = gather(m, fds);
    return wait_for(m, fds, n, ours ? connect_timeout(m->retry_ms) : FOREVER);
}

/* Errors that the next connection would bring again. */
static bool is_final(int rc)
{
    return rc == MOSQ_ERR_NOMEM || rc == MOSQ_ERR_PROTOCOL || rc == MOSQ_ERR_TLS;
}

/* The background thread lives until loop_stop: a program may connect again. */
static bool is_over(const struct mosquitto *m)
{
    if (m->thread.started && thread_is_self(&m->thread))
        return m->leaving && (m->wants_disconnect || !m->options.host);
    return m->wants_disconnect;
}

/* An attempt that fails is followed by the next one, whatever the reason: networks and brokers
 * come back. What ends the loop is said by a connection that there was. */
static int run(struct mosquitto *m, int timeout_ms)
{
    int rc = MOSQ_ERR_SUCCESS;

    m->forever = true;
    while (!m->stop && (has_way(m) || !is_over(m))) {
        bool was_up = way_is_up(m);
        rc = has_way(m) ? turn(m, timeout_ms) : wait_to_connect(m);
        if (was_up && is_final(rc))
            break;
        rc = MOSQ_ERR_SUCCESS;
    }
    m->forever = false;
    return rc;
}

/* --- public --- */

static int or_default(int timeout_ms)
{
    return timeout_ms < 0 ? TIMEOUT_MS : timeout_ms;
}

int mosquitto_loop(struct mosquitto *mosq, int timeout, int max_packets)
{
    int rc = MOSQ_ERR_INVAL;

    if (!mosq || max_packets < 1)
        return MOSQ_ERR_INVAL;
    client_enter(mosq);
    if (client_loop_begin(mosq)) {
        rc = has_way(mosq) ? turn(mosq, or_default(timeout)) : MOSQ_ERR_NO_CONN;
        client_loop_end(mosq);
    }
    return client_leave_with(mosq, rc, errno);
}

int mosquitto_loop_forever(struct mosquitto *mosq, int timeout, int max_packets)
{
    int rc = MOSQ_ERR_INVAL;

    if (!mosq || max_packets < 1)
        return MOSQ_ERR_INVAL;
    client_enter(mosq);
    if (client_loop_begin(mosq)) {
        rc = run(mosq, or_default(timeout));
        client_loop_end(mosq);
    }
    return client_leave_with(mosq, rc, errno);
}

/* What a foreign loop has seen, or the clock says. */
static int foreign_turn(struct mosquitto *m, bool reads)
{
    connect_obey(m);
    if (m->dial)
        return connect_go_on(m);
    return way_is_up(m) ? serve(m, reads) : MOSQ_ERR_NO_CONN;
}

int mosquitto_loop_read(struct mosquitto *mosq, int max_packets)
{
    int rc = MOSQ_ERR_INVAL;

    if (!mosq || max_packets < 1)
        return MOSQ_ERR_INVAL;
    client_enter(mosq);
    if (client_loop_begin(mosq)) {
        rc = foreign_turn(mosq, true);
        client_loop_end(mosq);
    }
    return client_leave_with(mosq, rc, errno);
}

/* From a callback, or beside another thread's loop, it writes and leaves the rest to that loop. */
int mosquitto_loop_write(struct mosquitto *mosq, int max_packets)
{
    int rc = MOSQ_ERR_NO_CONN;

    if (!mosq || max_packets < 1)
        return MOSQ_ERR_INVAL;
    client_enter(mosq);
    if (client_loop_begin(mosq)) {
        rc = foreign_turn(mosq, false);
        client_loop_end(mosq);
    } else if (way_is_up(mosq)) {
        rc = way_write(mosq);
    }
    return client_leave_with(mosq, rc, errno);
}

/* From a callback, or beside another thread's loop, that loop sees to it. */
int mosquitto_loop_misc(struct mosquitto *mosq)
{
    int rc = MOSQ_ERR_NO_CONN;

    if (!mosq)
        return MOSQ_ERR_INVAL;
    client_enter(mosq);
    if (client_loop_begin(mosq)) {
        rc = foreign_turn(mosq, false);
        client_loop_end(mosq);
    } else if (has_way(mosq)) {
        rc = MOSQ_ERR_SUCCESS;
    }
    return client_leave_with(mosq, rc, errno);
}

int mosquitto_socket(struct mosquitto *mosq)
{
    int fd = -1;

    if (!mosq)
        return -1;
    client_enter(mosq);
    if (mosq->dial)
        fd = dial_fd(mosq->dial);
    else if (way_is_up(mosq))
        fd = mosq->way.fd;
    client_leave(mosq);
    return fd;
}

static bool dial_wants_write(const struct dial *d)
{
    struct pollfd fds[DIAL_FDS_MAX];
    int n = dial_poll(d, fds, DIAL_FDS_MAX);

    for (int i = 0; i < n; i++) {
        if (fds[i].fd == dial_fd(d))
            return fds[i].events & POLLOUT;
    }
    return false;
}

bool mosquitto_want_write(struct mosquitto *mosq)
{
    bool wants = false;

    if (!mosq)
        return false;
    client_enter(mosq);
    if (mosq->dial)
        wants = dial_wants_write(mosq->dial);
    else if (way_is_up(mosq))
        wants = way_wants_write(mosq) || engine_has_written(mosq->engine);
    client_leave(mosq);
    return wants;
}

/* --- threads --- */

static void *background(void *arg)
{
    struct mosquitto *m = arg;

    client_enter(m);
    (void)run(m, FOREVER);
    client_loop_end(m);
    client_leave(m);
    return NULL;
}

/* Locked, and so is the new thread at first. It counts as in the loop from now on. */
static enum err start(struct mosquitto *m)
{
    m->looping = true;
    enum err err = thread_start(&m->thread, background, m);
    if (err != ERR_OK) {
        m->looping = false;
        return err;
    }
    m->looper = m->thread.id;
    m->threaded = true;
    return ERR_OK;
}

int mosquitto_loop_start(struct mosquitto *mosq)
{
    int rc = MOSQ_ERR_INVAL;

    if (!mosq)
        return MOSQ_ERR_INVAL;
    client_enter(mosq);
    if (!mosq->threaded && !mosq->looping && !mosq->thread.started)
        rc = client_error(start(mosq));
    return client_leave_with(mosq, rc, errno);
}

/* Not locked; m->stopping is ours. */
static void join(struct mosquitto *m)
{
    client_enter(m);
    struct thread thread = m->thread;
    client_leave(m);
    thread_join(&thread);
    client_enter(m);
    m->thread = thread;
    m->threaded = m->stop = m->leaving = m->stopping = false;
    connect_flush(m);
    client_leave(m);
}

/* May this thread end the background thread? Locked. */
static bool may_stop(const struct mosquitto *m)
{
    return m->thread.started && !m->stopping && !thread_is_self(&m->thread);
}

static void ask_to_stop(struct mosquitto *m, bool force)
{
    m->stopping = m->leaving = true;
    m->stop = force;
    if (force && m->connect_wake >= 0)
        connect_cancel(m);
    client_wake(m);
}

int mosquitto_loop_stop(struct mosquitto *mosq, bool force)
{
    if (!mosq)
        return MOSQ_ERR_INVAL;
    if (!feature_built(FEATURE_THREADING))
        return MOSQ_ERR_NOT_SUPPORTED;
    client_enter(mosq);
    bool may = may_stop(mosq);
    if (may)
        ask_to_stop(mosq, force);
    client_leave(mosq);
    if (!may)
        return MOSQ_ERR_INVAL;
    join(mosq);
    return MOSQ_ERR_SUCCESS;
}

bool loop_end(struct mosquitto *m)
{
    client_enter(m);
    bool inside = client_is_inside(m) || client_is_noting(m);
    bool may = !inside && may_stop(m);
    bool none = !inside && !m->thread.started;
    if (may)
        ask_to_stop(m, true);
    client_leave(m);
    if (may)
        join(m);
    return may || none;
}

int mosquitto_threaded_set(struct mosquitto *mosq, bool threaded)
{
    if (!mosq)
        return MOSQ_ERR_INVAL;
    if (threaded && !feature_built(FEATURE_THREADING))
        return MOSQ_ERR_NOT_SUPPORTED;
    client_enter(mosq);
    mosq->threaded = threaded;
    client_leave(mosq);
    return MOSQ_ERR_SUCCESS;
}
