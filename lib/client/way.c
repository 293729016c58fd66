/*
 * From options to a connection, and its bytes.
 */
#include "client/way.h"

#include "net/tls.h"

#include <errno.h>
#include <unistd.h>

#define IOV_MAX_AT_ONCE 64
#define LATE_SIZE 16384   /* of what comes after DISCONNECT was asked for, in one read */
#define FAREWELL_READS 64 /* … before a connection is closed */

/* --- an attempt --- */

/* The TLS context of the options: made anew when they have changed. */
static int refresh_tls(struct mosquitto *m)
{
    struct tls_ctx *fresh = NULL;
    char why[TLS_WHY_MAX];

    if (m->options.tls && m->tls && !m->tls_stale)
        return MOSQ_ERR_SUCCESS;
    if (m->options.tls) {
        enum err err = options_tls_ctx(&m->options, &fresh, why);
        if (err == ERR_NOMEM || err == ERR_UNSUPPORTED)
            return client_error(err);
        if (err != ERR_OK) {
            log_error(&m->log, "Error: %s.", why);
            return MOSQ_ERR_TLS;
        }
    }
    tls_ctx_unref(m->tls);
    m->tls = fresh;
    m->tls_stale = false;
    return MOSQ_ERR_SUCCESS;
}

int way_dial(struct mosquitto *m, struct dial **out)
{
    const struct client_options *o = &m->options;
    int rc = refresh_tls(m);

    if (rc != MOSQ_ERR_SUCCESS)
        return rc;
    struct dial_settings s = {
        .host = o->host,
        .port = (uint16_t)o->port,
        .srv = o->srv,
        .bind_address = o->bind_address ? o->bind_address : o->bind_address_o,
        .nodelay = o->nodelay,
        .tls = m->tls,
        .proxy_host = o->proxy_host,
        .proxy_port = (uint16_t)o->proxy_port,
        .proxy_username = o->proxy_username,
        .proxy_password = o->proxy_password,
    };
    *out = dial_new(&s, client_now());
    return *out ? MOSQ_ERR_SUCCESS : MOSQ_ERR_NOMEM;
}

static int failure_error(enum dial_failure failure)
{
    switch (failure) {
    case DIAL_LOOKUP:
        return MOSQ_ERR_EAI;
    case DIAL_CONNECT:
        return MOSQ_ERR_ERRNO;
    case DIAL_PROXY:
        return MOSQ_ERR_PROXY;
    case DIAL_PROXY_AUTH:
        return MOSQ_ERR_AUTH;
    case DIAL_PROXY_TARGET:
        return MOSQ_ERR_NO_CONN;
    case DIAL_TLS:
        return MOSQ_ERR_TLS;
    case DIAL_NOMEM:
        return MOSQ_ERR_NOMEM;
    default:
        return MOSQ_ERR_INVAL;
    }
}

int way_failed(struct mosquitto *m, struct dial *take)
{
    int rc = failure_error(dial_failure(take));
    int error = dial_error(take);

    log_error(&m->log, "Unable to connect: %s.", dial_why(take));
    dial_free(take);
    errno = error;
    return rc;
}

/* --- a connection --- */

static struct packet_connect connect_packet(const struct client_options *o)
{
    return (struct packet_connect){
        .client_id = str_c(o->id),
        .will_topic = str_c(o->will_topic),
        .will_payload = str_of(o->will_payload, (size_t)o->will_len),
        .username = str_c(o->username),
        .password = str_c(o->password),
        .keepalive_s = (uint16_t)o->keepalive_s,
        .level = o->level,
        .clean_session = o->clean_session,
        .has_will = o->has_will,
        .will_retain = o->will_retain,
        .will_qos = o->will_qos,
        .has_username = o->username != NULL,
        .has_password = o->username != NULL && o->password != NULL,
    };
}

int way_open(struct mosquitto *m, struct dial *take)
{
    struct packet_connect p = connect_packet(&m->options);

    dial_take(take, &m->way);
    dial_free(take);
    engine_set_window(m->engine, m->options.window);
    int rc = client_error(engine_connect(m->engine, &p, client_now()));
    return rc == MOSQ_ERR_SUCCESS ? way_write(m) : rc;
}

/* The loop is in poll() with what was there when it went, and so with what is let go first. */
static bool is_polled(const struct mosquitto *m)
{
    return m->polling && !m->retired_way.transport && !m->retired_dial;
}

static void retire(struct mosquitto *m)
{
    m->retired_way = m->way;
    m->retired_dial = m->dial;
    m->way = (struct dial_way){0};
    m->dial = NULL;
    client_wake(m);
}

void way_drop(struct mosquitto *m)
{
    m->connection++;
    m->hears = false;
    m->linger_ms = 0;
    engine_lost(m->engine);
    if (is_polled(m))
        retire(m);
    dial_way_close(&m->way);
    dial_free(m->dial);
    m->dial = NULL;
}

void way_close_retired(struct mosquitto *m)
{
    dial_way_close(&m->retired_way);
    dial_free(m->retired_dial);
    m->retired_dial = NULL;
}

/* --- bytes --- */

/* What the end of a connection is called. */
static int lost(struct mosquitto *m, ssize_t result)
{
    int error = (int)-result;

    if (m->way.tls && error == EPROTO)
        log_error(&m->log, "TLS error: %s.", tls_why(m->way.tls));
    errno = error;
    switch (error) {
    case 0:
    case ECONNRESET:
    case EPIPE:
        return MOSQ_ERR_CONN_LOST;
    case EPROTO:
        return MOSQ_ERR_TLS;
    case ENOMEM:
        return MOSQ_ERR_NOMEM;
    default:
        return MOSQ_ERR_ERRNO;
    }
}

int way_read(struct mosquitto *m, bool *more)
{
    uint8_t late[LATE_SIZE];
    bool closing = engine_state(m->engine) == ENGINE_CLOSING;
    size_t room = sizeof(late);
    uint8_t *p = closing ? late : engine_room(m->engine, &room);

    *more = false;
    if (!p)
        return MOSQ_ERR_NOMEM;
    ssize_t n = transport_read(m->way.transport, p, room);
    if (n == -EAGAIN || n == -EINTR)
        return MOSQ_ERR_SUCCESS;
    if (n <= 0)
        return lost(m, n);
    if (closing)
        m->hears = true;
    else
        engine_filled(m->engine, (size_t)n, client_now());
    *more = (size_t)n == room || transport_has_input(m->way.transport);
    return MOSQ_ERR_SUCCESS;
}

static size_t iov_bytes(const struct iovec *iov, int n)
{
    size_t bytes = 0;

    for (int i = 0; i < n; i++)
        bytes += iov[i].iov_len;
    return bytes;
}

/* What a TLS 1.3 server has against our certificate comes after the handshake: whoever can write no
 * more may still be told why. */
static int write_failed(struct mosquitto *m, ssize_t result)
{
    uint8_t late[LATE_SIZE];

    if (m->way.tls && result != -EPROTO &&
        transport_read(m->way.transport, late, sizeof(late)) == -EPROTO)
        return lost(m, -EPROTO);
    return lost(m, result);
}

int way_write(struct mosquitto *m)
{
    struct iovec iov[IOV_MAX_AT_ONCE];
    int n;

    if (transport_wants(m->way.transport) & TRANSPORT_WANTS_WRITE &&
        transport_step(m->way.transport) != ERR_OK)
        return lost(m, -EPROTO);
    while ((n = engine_iovec(m->engine, iov, IOV_MAX_AT_ONCE)) > 0) {
        ssize_t written = transport_writev(m->way.transport, iov, n);
        if (written == -EAGAIN || written == -EINTR)
            return MOSQ_ERR_SUCCESS;
        if (written < 0)
            return write_failed(m, written);
        engine_written(m->engine, (size_t)written, client_now());
        if ((size_t)written < iov_bytes(iov, n))
            return MOSQ_ERR_SUCCESS;
    }
    return MOSQ_ERR_SUCCESS;
}

bool way_wants_write(const struct mosquitto *m)
{
    struct iovec iov;

    return engine_iovec(m->engine, &iov, 1) > 0 ||
           transport_wants(m->way.transport) & TRANSPORT_WANTS_WRITE;
}

int way_push(struct mosquitto *m)
{
    if (!way_is_up(m))
        return MOSQ_ERR_SUCCESS;
    if (!m->looping && !m->threaded)
        return way_write(m);
    client_wake(m);
    return MOSQ_ERR_SUCCESS;
}

void way_finish(struct mosquitto *m)
{
    uint8_t late[LATE_SIZE];

    transport_finish(m->way.transport);
    for (int i = 0; i < FAREWELL_READS; i++) {
        if (transport_read(m->way.transport, late, sizeof(late)) <= 0)
            return;
        m->hears = true;
    }
}
