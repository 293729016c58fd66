/*
 * Engine events to callbacks.
 *
 * Callbacks and user data are what they are at the moment of the call. A callback may do anything
 * but destroy the client: what is needed afterwards is asked for again under the lock.
 */
#include "client/events.h"

#include "base/mem.h"
#include "client/way.h"

#include <errno.h>

#define KEEP_UP_MS 100 /* of callbacks, before the broker is thought of */

static void tell_connected(struct mosquitto *m, const struct client_callbacks *c, void *userdata,
                           const struct engine_event *ev)
{
    if (c->connect)
        c->connect(m, userdata, ev->code);
    if (c->connect_with_flags)
        c->connect_with_flags(m, userdata, ev->code, ev->session_present);
    if (c->connect_v5)
        c->connect_v5(m, userdata, ev->code, ev->session_present, NULL);
}

/* Topic and payload end with a NUL. Their pointers are not const, since the public structure is as
 * old as it is; they are the user's to look at only. */
static void tell_message(struct mosquitto *m, const struct client_callbacks *c, void *userdata,
                         const struct engine_event *ev)
{
    const struct packet_publish *p = &ev->message;
    struct mosquitto_message message = {
        .mid = p->id,
        .topic = (char *)p->topic.p,
        .payload = p->payload.n > 0 ? (char *)p->payload.p : NULL,
        .payloadlen = (int)p->payload.n,
        .qos = (int)p->qos,
        .retain = p->retain,
    };

    if (c->message)
        c->message(m, userdata, &message);
    if (c->message_v5)
        c->message_v5(m, userdata, &message, NULL);
}

static void tell_published(struct mosquitto *m, const struct client_callbacks *c, void *userdata,
                           const struct engine_event *ev)
{
    if (c->publish)
        c->publish(m, userdata, ev->id);
    if (c->publish_v5)
        c->publish_v5(m, userdata, ev->id, 0, NULL);
}

static void tell_subscribed(struct mosquitto *m, const struct client_callbacks *c, void *userdata,
                            const struct engine_event *ev, const int *granted)
{
    if (c->subscribe)
        c->subscribe(m, userdata, ev->id, (int)ev->codes.n, granted);
    if (c->subscribe_v5)
        c->subscribe_v5(m, userdata, ev->id, (int)ev->codes.n, granted, NULL);
}

static void tell_unsubscribed(struct mosquitto *m, const struct client_callbacks *c, void *userdata,
                              const struct engine_event *ev)
{
    if (c->unsubscribe)
        c->unsubscribe(m, userdata, ev->id);
    if (c->unsubscribe_v5)
        c->unsubscribe_v5(m, userdata, ev->id, NULL);
}

/* The codes of a SUBACK as the callback wants them. NULL without memory. */
static int *granted_of(const struct engine_event *ev)
{
    int *granted = mem_alloc(ev->codes.n * sizeof(int));

    for (size_t i = 0; granted && i < ev->codes.n; i++)
        granted[i] = (uint8_t)ev->codes.p[i];
    return granted;
}

/* The lock is released. ERR_NOMEM: not told. */
static enum err tell(struct mosquitto *m, const struct client_callbacks *c, void *userdata,
                     const struct engine_event *ev)
{
    int *granted = NULL;

    switch (ev->kind) {
    case ENGINE_CONNACK:
        tell_connected(m, c, userdata, ev);
        return ERR_OK;
    case ENGINE_MESSAGE:
        tell_message(m, c, userdata, ev);
        return ERR_OK;
    case ENGINE_PUBLISHED:
        tell_published(m, c, userdata, ev);
        return ERR_OK;
    case ENGINE_UNSUBSCRIBED:
        tell_unsubscribed(m, c, userdata, ev);
        return ERR_OK;
    case ENGINE_SUBSCRIBED:
        granted = granted_of(ev);
        if (!granted)
            return ERR_NOMEM;
        tell_subscribed(m, c, userdata, ev, granted);
        mem_free(granted, ev->codes.n * sizeof(int));
        return ERR_OK;
    }
    return ERR_OK;
}

static enum err hand_over(struct mosquitto *m, const struct engine_event *ev)
{
    struct client_callbacks callbacks = m->callbacks;
    void *userdata = m->userdata;

    client_leave(m);
    enum err err = tell(m, &callbacks, userdata, ev);
    client_enter(m);
    return err;
}

/* One event. `of`: the connection that it came by. */
static int deliver(struct mosquitto *m, const struct engine_event *ev)
{
    uint32_t of = m->connection;

    if (ev->kind == ENGINE_MESSAGE)
        m->hears = true;
    if (ev->kind == ENGINE_CONNACK && ev->code == CONNACK_ACCEPTED)
        m->attempts = 0;
    enum err err = hand_over(m, ev);
    if (err == ERR_OK)
        err = engine_settle(m->engine, ev);
    if (err != ERR_OK)
        return client_error(err);
    bool refused = ev->kind == ENGINE_CONNACK && ev->code != CONNACK_ACCEPTED;
    /* A callback that has disconnected, or connected again, has decided itself. */
    if (refused && m->connection == of && !m->wants_disconnect)
        return MOSQ_ERR_CONN_REFUSED;
    return MOSQ_ERR_SUCCESS;
}

/*
 * Callbacks take their time, and more messages may wait here than can be handed over within the
 * keepalive: meanwhile the broker is answered, and hears that we live. That it is silent cannot be
 * said of it, since nobody listens.
 */
static int keep_up(struct mosquitto *m, uint64_t now_ms)
{
    enum err err = ERR_OK;

    if (!way_is_up(m))
        return MOSQ_ERR_SUCCESS;
    engine_filled(m->engine, 0, now_ms);
    if (engine_state(m->engine) == ENGINE_CONNECTED)
        err = engine_tick(m->engine, now_ms);
    return err == ERR_OK ? way_write(m) : client_error(err);
}

int events_deliver(struct mosquitto *m)
{
    struct engine_event ev;
    enum err err = ERR_AGAIN;
    uint64_t kept_up_ms = client_now();

    while (!m->stop && (err = engine_next(m->engine, &ev)) == ERR_OK) {
        int rc = deliver(m, &ev);
        uint64_t now_ms = client_now();
        if (rc == MOSQ_ERR_SUCCESS && now_ms - kept_up_ms >= KEEP_UP_MS) {
            rc = keep_up(m, now_ms);
            kept_up_ms = now_ms;
        }
        if (rc != MOSQ_ERR_SUCCESS)
            return rc;
    }
    if (m->stop || err == ERR_AGAIN)
        return MOSQ_ERR_SUCCESS;
    log_error(&m->log, "Error: %s.", err == ERR_NOMEM ? err_word(err) : engine_why(m->engine));
    return client_error(err);
}

void events_lost(struct mosquitto *m, int rc)
{
    int error = errno;

    way_drop(m);
    void (*disconnect)(struct mosquitto *, void *, int) = m->callbacks.disconnect;
    void (*disconnect_v5)(struct mosquitto *, void *, int, const mosquitto_property *) =
        m->callbacks.disconnect_v5;
    void *userdata = m->userdata;
    client_leave(m);
    if (disconnect)
        disconnect(m, userdata, rc);
    if (disconnect_v5)
        disconnect_v5(m, userdata, rc, NULL);
    client_enter(m);
    errno = error;
}
