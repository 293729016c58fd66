/*
 * To the broker and away from it.
 *
 * mosquitto_connect() waits, and has its attempt for itself: the loop of another thread may go on,
 * and whoever connects or disconnects meanwhile ends that attempt. All other attempts are the
 * loop's.
 */
#include "client/connect.h"

#include "base/feature.h"
#include "client/events.h"
#include "client/options_inside.h"
#include "client/way.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define KEEPALIVE_MIN_S 5
#define JITTER_SHARE 4 /* of a delay that grows: one in so many parts more, at most */
#define COMMAND_CONNECT (PACKET_CONNECT << 4)
#define COMMAND_DISCONNECT (PACKET_DISCONNECT << 4)

/* --- the next attempt --- */

/* Seconds after so many failures before the last one. */
static uint64_t delay_s(const struct client_options *o, unsigned before)
{
    uint64_t delay = o->reconnect_delay_s;

    if (o->reconnect_exponential) {
        for (unsigned i = 0; i < before && delay < o->reconnect_delay_max_s; i++)
            delay *= 2;
    } else {
        delay *= (uint64_t)before + 1;
    }
    if (o->reconnect_delay_max_s <= o->reconnect_delay_s)
        return o->reconnect_delay_s;
    return delay < o->reconnect_delay_max_s ? delay : o->reconnect_delay_max_s;
}

/* With jitter, where many clients may have lost their broker together. */
void connect_later(struct mosquitto *m)
{
    int error = errno;
    uint64_t delay_ms = delay_s(&m->options, m->attempts) * 1000;

    if (m->options.reconnect_exponential && delay_ms < UINT32_MAX)
        delay_ms += rng_below(&m->rng, (uint32_t)(delay_ms / JITTER_SHARE) + 1);
    m->retry_ms = client_now() + delay_ms;
    if (m->attempts < UINT16_MAX)
        m->attempts++;
    errno = error;
}

/* --- attempts of the loop --- */

int connect_begin(struct mosquitto *m)
{
    way_drop(m);
    int rc = way_dial(m, &m->dial);
    if (rc != MOSQ_ERR_SUCCESS)
        connect_later(m);
    return rc;
}

/* The dial is over. */
static int arrive(struct mosquitto *m, struct dial *take, enum err outcome)
{
    int rc = outcome == ERR_OK ? way_open(m, take) : way_failed(m, take);
    int error = errno;

    if (rc != MOSQ_ERR_SUCCESS) {
        way_drop(m);
        connect_later(m);
    }
    errno = error;
    return rc;
}

int connect_go_on(struct mosquitto *m)
{
    enum err err = dial_step(m->dial, client_now());
    struct dial *dial = m->dial;

    if (err == ERR_AGAIN)
        return MOSQ_ERR_SUCCESS;
    m->dial = NULL;
    return arrive(m, dial, err);
}

/* --- an attempt that is waited for --- */

int connect_timeout(uint64_t deadline_ms)
{
    uint64_t now = client_now();

    if (deadline_ms <= now)
        return 0;
    return deadline_ms - now < INT32_MAX ? (int)(deadline_ms - now) : INT32_MAX;
}

/* Wait for the dial, or for somebody who ends this; without the lock. What a signal handler wants
 * is the loop's to see, if there is one. */
static void wait_for(struct mosquitto *m, struct dial *dial, int wake)
{
    struct pollfd fds[2 + DIAL_FDS_MAX] = {
        {.fd = wake, .events = POLLIN},
        {.fd = m->looping ? -1 : m->wake, .events = POLLIN},
    };
    nfds_t n = 2 + (nfds_t)dial_poll(dial, fds + 2, DIAL_FDS_MAX);
    int timeout_ms = connect_timeout(dial_deadline(dial, client_now()));

    client_leave(m);
    (void)poll(fds, n, timeout_ms); /* whatever it says, the next step sees what there is */
    client_enter(m);
    if (m->looping)
        return;
    client_forget_wake(m, fds[1].revents);
    connect_obey(m);
}

static int dial_to_the_end(struct mosquitto *m, int wake)
{
    uint32_t of = m->connection;
    struct dial *dial = NULL;
    enum err err;
    int rc = way_dial(m, &dial);

    if (rc != MOSQ_ERR_SUCCESS) {
        connect_later(m);
        return rc;
    }
    while ((err = dial_step(dial, client_now())) == ERR_AGAIN) {
        wait_for(m, dial, wake);
        if (m->connection != of) {
            dial_free(dial);
            return MOSQ_ERR_NO_CONN;
        }
    }
    return arrive(m, dial, err);
}

/* Whoever waits in connect_and_wait(), if anybody does, is not to. */
static void end_waiting(struct mosquitto *m)
{
    uint64_t one = 1;

    if (m->connect_wake >= 0)
        (void)!write(m->connect_wake, &one, sizeof(one)); /* cannot fail: it is used once */
    m->connect_wake = -1;
}

static int connect_and_wait(struct mosquitto *m)
{
    int wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

    if (wake < 0)
        return MOSQ_ERR_ERRNO;
    m->connect_wake = wake;
    int rc = dial_to_the_end(m, wake);
    int error = errno;
    if (m->connect_wake == wake)
        m->connect_wake = -1;
    client_wake(m);
    (void)close(wake);
    errno = error;
    return rc;
}

/* --- connecting, public --- */

struct target {
    const char *host;
    int port;
    int keepalive_s;
    const char *bind_address;
    bool srv;
};

static int check_target(const struct target *t)
{
    if (!t->host || t->port < 0 || t->port > UINT16_MAX)
        return MOSQ_ERR_INVAL;
    if (t->keepalive_s != 0 && (t->keepalive_s < KEEPALIVE_MIN_S || t->keepalive_s > UINT16_MAX))
        return MOSQ_ERR_INVAL;
    return MOSQ_ERR_SUCCESS;
}

static enum err set_target(struct client_options *o, const struct target *t)
{
    const struct option_string strings[] = {
        {&o->host, t->host},
        {&o->bind_address, t->bind_address},
    };
    enum err err = option_strings(strings, ARRAY_SIZE(strings));

    if (err != ERR_OK)
        return err;
    o->port = t->port;
    o->srv = t->srv;
    o->keepalive_s = t->keepalive_s;
    return ERR_OK;
}

/* Locked. An attempt that can fail at once does, so that the caller hears of it. */
static int connect_again(struct mosquitto *m, bool wait)
{
    if (!m->options.host)
        return MOSQ_ERR_INVAL;
    if (m->stop)
        return MOSQ_ERR_NO_CONN;
    m->wants_disconnect = false;
    end_waiting(m);
    if (wait) {
        way_drop(m);
        return connect_and_wait(m);
    }
    int rc = connect_begin(m);
    if (rc == MOSQ_ERR_SUCCESS)
        rc = connect_go_on(m);
    int error = errno;
    client_wake(m);
    errno = error;
    return rc;
}

static int connect_to(struct mosquitto *m, const struct target *t, bool wait)
{
    if (!m || check_target(t) != MOSQ_ERR_SUCCESS)
        return MOSQ_ERR_INVAL;
    client_enter(m);
    int rc = client_error(set_target(&m->options, t));
    if (rc == MOSQ_ERR_SUCCESS)
        rc = connect_again(m, wait);
    return client_leave_with(m, rc, errno);
}

int mosquitto_connect(struct mosquitto *mosq, const char *host, int port, int keepalive)
{
    return mosquitto_connect_bind(mosq, host, port, keepalive, NULL);
}

int mosquitto_connect_bind(struct mosquitto *mosq, const char *host, int port, int keepalive,
                           const char *bind_address)
{
    return mosquitto_connect_bind_v5(mosq, host, port, keepalive, bind_address, NULL);
}

int mosquitto_connect_bind_v5(struct mosquitto *mosq, const char *host, int port, int keepalive,
                              const char *bind_address, const mosquitto_property *properties)
{
    int rc = mosquitto_property_check_all(COMMAND_CONNECT, properties);

    if (rc != MOSQ_ERR_SUCCESS)
        return rc;
    return connect_to(mosq, &(struct target){host, port, keepalive, bind_address, false}, true);
}

int mosquitto_connect_async(struct mosquitto *mosq, const char *host, int port, int keepalive)
{
    return mosquitto_connect_bind_async(mosq, host, port, keepalive, NULL);
}

int mosquitto_connect_bind_async(struct mosquitto *mosq, const char *host, int port, int keepalive,
                                 const char *bind_address)
{
    return connect_to(mosq, &(struct target){host, port, keepalive, bind_address, false}, false);
}

int mosquitto_connect_srv(struct mosquitto *mosq, const char *host, int keepalive,
                          const char *bind_address)
{
    if (!mosq)
        return MOSQ_ERR_INVAL;
    if (!feature_built(FEATURE_SRV))
        return MOSQ_ERR_NOT_SUPPORTED;
    return connect_to(mosq, &(struct target){host, 0, keepalive, bind_address, true}, false);
}

static int reconnect(struct mosquitto *m, bool wait)
{
    if (!m)
        return MOSQ_ERR_INVAL;
    client_enter(m);
    int rc = connect_again(m, wait);
    return client_leave_with(m, rc, errno);
}

int mosquitto_reconnect(struct mosquitto *mosq)
{
    return reconnect(mosq, true);
}

int mosquitto_reconnect_async(struct mosquitto *mosq)
{
    return reconnect(mosq, false);
}

/* --- disconnecting --- */

/* Nobody is in the loop, so this thread sees to the end of the connection. */
static int end_now(struct mosquitto *m)
{
    int rc = way_write(m);

    if (rc == MOSQ_ERR_SUCCESS && !engine_is_drained(m->engine))
        return rc;
    if (rc == MOSQ_ERR_SUCCESS)
        way_finish(m);
    if (client_loop_begin(m)) {
        events_lost(m, MOSQ_ERR_SUCCESS);
        client_loop_end(m);
    }
    return rc;
}

void connect_flush(struct mosquitto *m)
{
    if (!way_is_up(m))
        return;
    if (engine_state(m->engine) == ENGINE_CLOSING)
        (void)end_now(m);
    else
        (void)!way_write(m); /* the next loop meets an error, too */
}

void connect_cancel(struct mosquitto *m)
{
    end_waiting(m);
    way_drop(m);
    client_wake(m);
}

int connect_end(struct mosquitto *m)
{
    m->wants_disconnect = true;
    if (!way_is_up(m)) {
        connect_cancel(m);
        return MOSQ_ERR_NO_CONN;
    }
    int rc = client_error(engine_disconnect(m->engine, client_now()));
    if (rc != MOSQ_ERR_SUCCESS)
        return rc;
    if (!m->looping && !m->threaded)
        return end_now(m);
    client_wake(m);
    return MOSQ_ERR_SUCCESS;
}

void connect_obey(struct mosquitto *m)
{
    if (client_disconnect_asked(m))
        (void)connect_end(m); /* what it says is said by the end of the connection */
}

int mosquitto_disconnect(struct mosquitto *mosq)
{
    return mosquitto_disconnect_v5(mosq, 0, NULL);
}

int mosquitto_disconnect_v5(struct mosquitto *mosq, int reason_code,
                            const mosquitto_property *properties)
{
    if (!mosq || reason_code < 0 || reason_code > UINT8_MAX)
        return MOSQ_ERR_INVAL;
    int rc = mosquitto_property_check_all(COMMAND_DISCONNECT, properties);
    if (rc != MOSQ_ERR_SUCCESS)
        return rc;
    /* Programs call this from signal handlers, which may have come at any moment. */
    if (lock_is_mine(&mosq->lock)) {
        client_ask_disconnect(mosq);
        return MOSQ_ERR_SUCCESS;
    }
    client_enter(mosq);
    rc = connect_end(mosq);
    return client_leave_with(mosq, rc, errno);
}
