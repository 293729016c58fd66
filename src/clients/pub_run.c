/*
 * One loop polls the socket and standard input, so that a silent input hides neither the keepalive
 * nor the loss of the broker.
 *
 * Requests are only queued when they are made (mosquitto_threaded_set), and leave many in one write
 * from here. No more is taken from the source while too much is on its way: that bounds the memory,
 * and whoever feeds standard input has to wait. At QoS 0 a message is done when it was written:
 * what was not, when a connection ends, is published again on the next one. At QoS 1 and 2 the
 * library keeps it, from when it was taken, until it is acknowledged.
 *
 * The time to get a broker back is over when something got through, not when it says CONNACK: there
 * are messages that no connection survives, such as those that are too large for the broker.
 */
#include "clients/pub_run.h"

#include "clients/setup.h"
#include "mosquitto.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FLIGHT_MESSAGES 20000     /* on their way; fewer than there are packet ids */
#define FLIGHT_BYTES (512 * 1024) /* or one message that is larger */
#define RETRY_S 60                /* a broker that was there is tried to be reached again */
#define TURN_MS 1000              /* the library looks after its time limits as often */

struct pub {
    const struct pub_settings *s;
    struct pub_source *src;
    struct mosquitto *mosq;

    bool dialling; /* a connection is on its way, until CONNACK */
    bool up;       /* CONNACK 0 has come, and the connection is there */
    bool lost;     /* … it is gone: reconnect */
    bool was_up;   /* ever */
    int failure;   /* of the last attempt to reach a broker at all, as the library says; 0: none */
    int error;     /* … and errno */
    bool closing;  /* DISCONNECT is sent or on its way */
    bool over;     /* nothing is left to do: exit_code */
    int exit_code;
    struct client_retry retry;

    long flight; /* messages on their way */
    size_t flight_bytes;
    uint32_t sizes[65536]; /* of these, by packet id */
};

static void finish(struct pub *p, int exit_code)
{
    p->over = true;
    p->exit_code = exit_code;
}

/* Is there a message that the connection was lost with? */
static bool is_waiting(const struct pub *p)
{
    const uint8_t *data;
    size_t n;

    return p->flight > 0 || pub_source_look(p->src, &data, &n) == PUB_READY;
}

/* What is lost with the broker: "Error: The connection was lost. 3 lines were not delivered." */
static void complain_left(const struct pub *p, int rc)
{
    const char *what = p->s->common.source == SOURCE_LINES ? "line" : "message";
    bool more;
    long left = pub_source_left(p->src, &more) + p->flight;

    client_complain(&p->s->common, "Error: %s %ld %s%s not delivered%s.\n", mosquitto_strerror(rc),
                    left, what, left == 1 ? " was" : "s were",
                    more ? ", and what else the input has was not read" : "");
}

/* --- callbacks --- */

static void on_connect(struct mosquitto *mosq, void *userdata, int code)
{
    struct pub *p = userdata;

    (void)mosq;
    if (code == 0) {
        p->up = p->was_up = true;
        if (!is_waiting(p))
            client_retry_over(&p->retry);
        return;
    }
    /* 3 is "server unavailable": one that is coming back says so. */
    if (p->was_up && code == 3)
        return;
    client_complain_connack(&p->s->common, code);
    if (p->was_up)
        complain_left(p, MOSQ_ERR_CONN_REFUSED);
    else
        client_complain(&p->s->common, "Error: %s\n", mosquitto_strerror(MOSQ_ERR_CONN_REFUSED));
    finish(p, code);
}

static void on_disconnect(struct mosquitto *mosq, void *userdata, int rc)
{
    struct pub *p = userdata;

    (void)mosq;
    (void)rc;
    p->lost = true;
}

static void on_publish(struct mosquitto *mosq, void *userdata, int mid)
{
    struct pub *p = userdata;

    (void)mosq;
    if (p->flight == 0)
        return;
    p->flight--;
    p->flight_bytes -= p->sizes[mid & 0xFFFF];
    p->sizes[mid & 0xFFFF] = 0;
    client_retry_over(&p->retry);
    if (p->s->common.qos == 0)
        pub_source_done(p->src);
}

/* --- publishing --- */

static bool may_fly(const struct pub *p)
{
    return p->flight == 0 || (p->flight < FLIGHT_MESSAGES && p->flight_bytes < FLIGHT_BYTES);
}

/* The library has the message. */
static void count(struct pub *p, int mid, size_t n)
{
    p->flight++;
    p->flight_bytes += n;
    p->sizes[mid & 0xFFFF] = (uint32_t)n;
    pub_source_take(p->src);
    if (p->s->common.qos > 0)
        pub_source_done(p->src);
}

static void fail_publish(struct pub *p, int rc)
{
    if (rc == MOSQ_ERR_PAYLOAD_SIZE || rc == MOSQ_ERR_OVERSIZE_PACKET)
        client_complain(&p->s->common, "Error: Message payload is too large.\n");
    else if (rc == MOSQ_ERR_INVAL)
        client_complain(&p->s->common,
                        "Error: Invalid input. Does your topic contain '+' or '#'?\n");
    else
        client_complain(&p->s->common, "Error: %s\n", mosquitto_strerror(rc));
    finish(p, rc);
}

/* As much as may be on its way; returns what the source has then. */
static enum pub_state publish(struct pub *p)
{
    const struct client_settings *s = &p->s->common;
    const char *topic = pub_topic(p->s);
    enum pub_state state = PUB_READY;
    const uint8_t *data;
    size_t n;

    while (may_fly(p) && (state = pub_source_look(p->src, &data, &n)) == PUB_READY) {
        int mid = 0;
        int rc = mosquitto_publish(p->mosq, &mid, topic, (int)n, data, s->qos, s->retain);

        if (rc == MOSQ_ERR_NO_CONN || rc == MOSQ_ERR_CONN_LOST)
            break;
        if (rc != 0) {
            fail_publish(p, rc);
            break;
        }
        count(p, mid, n);
    }
    return state;
}

/* --- a connection that is there --- */

static int read_and_write(struct pub *p, const struct pollfd *fd)
{
    int rc = 0;

    if (fd->revents & (POLLIN | POLLHUP | POLLERR))
        rc = mosquitto_loop_read(p->mosq, 100);
    if (rc == 0 && mosquitto_socket(p->mosq) >= 0 && mosquitto_want_write(p->mosq))
        rc = mosquitto_loop_write(p->mosq, 100);
    if (rc == 0 && mosquitto_socket(p->mosq) >= 0)
        rc = mosquitto_loop_misc(p->mosq);
    return rc;
}

/* How long nothing has to be done but what descriptors ask for. */
static int turn_ms(const struct pub *p, enum pub_state state)
{
    int ms = state == PUB_LATER ? pub_source_wait_ms(p->src) : TURN_MS;

    if (state == PUB_READY && may_fly(p))
        return 0;
    return ms < TURN_MS ? ms : TURN_MS;
}

/* Wait for the broker, and for input if there is room for more. */
static void wait_for_both(struct pub *p, enum pub_state state)
{
    bool listens = state == PUB_INPUT && may_fly(p);
    struct pollfd fds[2] = {
        {.fd = mosquitto_socket(p->mosq), .events = POLLIN},
        {.fd = listens ? pub_source_fd(p->src) : -1, .events = POLLIN},
    };

    if (mosquitto_want_write(p->mosq))
        fds[0].events |= POLLOUT;
    if (poll(fds, 2, turn_ms(p, state)) < 0 && errno != EINTR)
        fds[0].revents = POLLERR;
    if (fds[1].revents && !pub_source_read(p->src))
        finish(p, EXIT_BAD);
    if (read_and_write(p, &fds[0]) != 0 || mosquitto_socket(p->mosq) < 0)
        p->lost = true;
}

/* What was requested goes out before a wait, so that a full buffer is all that is waited for; at
 * QoS 0 messages are done with that. */
static void write_out(struct pub *p)
{
    if (!p->over && !p->lost && mosquitto_want_write(p->mosq) &&
        mosquitto_loop_write(p->mosq, 100) != 0)
        p->lost = true;
}

static void serve(struct pub *p)
{
    enum pub_state state = p->closing ? PUB_END : publish(p);

    write_out(p);
    if (state == PUB_END && p->flight == 0 && !p->closing && !p->over && !p->lost) {
        p->closing = true;
        if (mosquitto_disconnect(p->mosq) != 0)
            p->lost = true;
        write_out(p);
    }
    if (!p->over && !p->lost)
        wait_for_both(p, state);
}

/* --- a connection that is not --- */

static void give_up(struct pub *p)
{
    const struct client_settings *s = &p->s->common;

    if (!p->was_up && p->failure) {
        client_complain_connect(s, p->failure, p->error);
        finish(p, EXIT_BAD);
        return;
    }
    if (!p->was_up)
        client_complain_why(s);
    complain_left(p, MOSQ_ERR_CONN_LOST);
    finish(p, EXIT_GONE);
}

static int retry_s(const struct pub *p)
{
    if (p->s->common.retry_s != CLIENT_UNSET)
        return p->s->common.retry_s;
    return p->was_up ? RETRY_S : 0;
}

/* The connection has gone: what was on it at QoS 0 is published again. */
static void lose(struct pub *p)
{
    p->up = p->lost = false;
    if (p->closing) {
        finish(p, 0);
        return;
    }
    if (p->s->common.qos == 0) {
        pub_source_rewind(p->src);
        memset(p->sizes, 0, sizeof(p->sizes));
        p->flight = 0;
        p->flight_bytes = 0;
    }
    client_retry_begin(&p->retry, retry_s(p));
}

/* Some input is read although it cannot be sent: so its end is noticed, and it can be counted. */
static void wait_for_input(struct pub *p, int ms)
{
    struct pollfd fd = {.fd = pub_source_wants(p->src) ? pub_source_fd(p->src) : -1,
                        .events = POLLIN};

    if (poll(&fd, 1, ms < TURN_MS ? ms : TURN_MS) > 0 && !pub_source_read(p->src))
        finish(p, EXIT_BAD);
}

static void reconnect(struct pub *p)
{
    int ms = client_retry_wait_ms(&p->retry);
    const uint8_t *data;
    size_t n;
    enum pub_state state = pub_source_look(p->src, &data, &n);

    if (state == PUB_END && p->flight == 0) {
        finish(p, 0);
    } else if (ms < 0) {
        give_up(p);
    } else if (ms > 0) {
        wait_for_input(p, ms);
    } else {
        client_retry_again(&p->retry);
        p->dialling = mosquitto_reconnect_async(p->mosq) == 0;
    }
}

/* There was somebody at the other end, though perhaps no broker. */
static bool is_reached(int rc)
{
    return rc == MOSQ_ERR_CONN_LOST || rc == MOSQ_ERR_PROTOCOL || rc == MOSQ_ERR_KEEPALIVE;
}

/* A connection on its way: name, socket, TLS, CONNACK. */
static void dial(struct pub *p)
{
    int rc = mosquitto_loop(p->mosq, TURN_MS / 10, 100);

    if (rc != 0) {
        p->lost = true;
        p->failure = is_reached(rc) ? 0 : rc;
        p->error = errno;
    }
    if (p->up || p->lost) {
        p->dialling = false;
        if (p->lost)
            lose(p);
    } else if (p->retry.until_ms && client_retry_wait_ms(&p->retry) < 0) {
        give_up(p);
    }
}

static void run(struct pub *p)
{
    p->exit_code = client_reach(p->mosq, &p->s->common);
    if (p->exit_code != 0)
        return;
    p->dialling = true;
    while (!p->over) {
        if (p->lost)
            lose(p);
        else if (p->up)
            serve(p);
        else if (p->dialling)
            dial(p);
        else
            reconnect(p);
    }
}

int pub_run(const struct pub_settings *s, struct pub_source *src)
{
    struct pub *p = calloc(1, sizeof(*p));
    int exit_code = EXIT_BAD;

    if (!p) {
        fputs("Error: Out of memory.\n", stderr);
        return exit_code;
    }
    p->s = s;
    p->src = src;
    p->mosq = client_setup(&s->common, p);
    if (p->mosq) {
        signal(SIGPIPE, SIG_IGN);
        mosquitto_threaded_set(p->mosq, true);
        mosquitto_connect_callback_set(p->mosq, on_connect);
        mosquitto_disconnect_callback_set(p->mosq, on_disconnect);
        mosquitto_publish_callback_set(p->mosq, on_publish);
        run(p);
        exit_code = p->exit_code;
    }
    client_end(p->mosq);
    free(p);
    return exit_code;
}
