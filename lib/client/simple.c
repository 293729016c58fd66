/*
 * Whole programs in one call: connect, subscribe, receive, disconnect.
 *
 * Both calls are the same loop with a callback; the first one's gathers messages.
 */
#include "client/client.h"

#include "client/gift.h"

#include <stdlib.h>

/* One call of mosquitto_subscribe_callback(). */
struct simple {
    int (*callback)(struct mosquitto *, void *, const struct mosquitto_message *);
    void *userdata;
    const char *topic;
    int qos;
    int rc; /* why it ends, if not because the callback wants it to */
};

/* Messages on their way to the user's array. */
struct gathering {
    struct mosquitto_message *messages;
    int count, max;
    bool want_retained;
    int rc;
};

/* --- callbacks --- */

static void fail(struct mosquitto *m, struct simple *s, int rc)
{
    s->rc = rc;
    (void)mosquitto_disconnect(m);
}

static void on_connect(struct mosquitto *m, void *userdata, int code)
{
    struct simple *s = userdata;
    int rc = code ? MOSQ_ERR_CONN_REFUSED : mosquitto_subscribe(m, NULL, s->topic, s->qos);

    if (rc != MOSQ_ERR_SUCCESS)
        fail(m, s, rc);
}

static void on_subscribe(struct mosquitto *m, void *userdata, int mid, int count,
                         const int *granted)
{
    (void)mid;
    if (count > 0 && granted[0] == SUBACK_FAILURE)
        fail(m, userdata, MOSQ_ERR_ACL_DENIED);
}

static void on_message(struct mosquitto *m, void *userdata, const struct mosquitto_message *message)
{
    struct simple *s = userdata;

    if (s->callback(m, s->userdata, message) != 0)
        (void)mosquitto_disconnect(m);
}

/* Not 0: enough, or there is no memory. */
static int gather(struct mosquitto *m, void *userdata, const struct mosquitto_message *message)
{
    struct gathering *g = userdata;

    (void)m;
    if (g->count == g->max || (message->retain && !g->want_retained))
        return g->count == g->max;
    g->rc = mosquitto_message_copy(&g->messages[g->count], message);
    if (g->rc != MOSQ_ERR_SUCCESS)
        return 1;
    return ++g->count == g->max;
}

/* --- settings --- */

static int set_tls(struct mosquitto *m, const struct libmosquitto_tls *tls)
{
    int rc = mosquitto_tls_set(m, tls->cafile, tls->capath, tls->certfile, tls->keyfile,
                               tls->pw_callback);

    if (rc != MOSQ_ERR_SUCCESS)
        return rc;
    return mosquitto_tls_opts_set(m, tls->cert_reqs, tls->tls_version, tls->ciphers);
}

static int set_all(struct mosquitto *m, const char *username, const char *password,
                   const struct libmosquitto_will *will, const struct libmosquitto_tls *tls)
{
    int rc = MOSQ_ERR_SUCCESS;

    if (will)
        rc = mosquitto_will_set(m, will->topic, will->payloadlen, will->payload, will->qos,
                                will->retain);
    if (rc == MOSQ_ERR_SUCCESS && username)
        rc = mosquitto_username_pw_set(m, username, password);
    if (rc == MOSQ_ERR_SUCCESS && tls)
        rc = set_tls(m, tls);
    return rc;
}

static int run(struct mosquitto *m, struct simple *s, const char *host, int port, int keepalive)
{
    mosquitto_connect_callback_set(m, on_connect);
    mosquitto_subscribe_callback_set(m, on_subscribe);
    mosquitto_message_callback_set(m, on_message);
    int rc = mosquitto_connect(m, host, port, keepalive);
    if (rc == MOSQ_ERR_SUCCESS)
        rc = mosquitto_loop_forever(m, -1, 1);
    return s->rc != MOSQ_ERR_SUCCESS ? s->rc : rc;
}

/* --- public --- */

int mosquitto_subscribe_callback(
    int (*callback)(struct mosquitto *, void *, const struct mosquitto_message *), void *userdata,
    const char *topic, int qos, const char *host, int port, const char *client_id, int keepalive,
    bool clean_session, const char *username, const char *password,
    const struct libmosquitto_will *will, const struct libmosquitto_tls *tls)
{
    struct simple s = {.callback = callback, .userdata = userdata, .topic = topic, .qos = qos};

    if (!callback || !topic)
        return MOSQ_ERR_INVAL;
    struct mosquitto *m = mosquitto_new(client_id, clean_session, &s);
    if (!m)
        return MOSQ_ERR_INVAL;
    int rc = set_all(m, username, password, will, tls);
    if (rc == MOSQ_ERR_SUCCESS)
        rc = run(m, &s, host, port, keepalive);
    mosquitto_destroy(m);
    return rc;
}

static void release(struct gathering *g)
{
    for (int i = 0; i < g->count; i++)
        mosquitto_message_free_contents(&g->messages[i]);
    free(g->messages);
}

int mosquitto_subscribe_simple(struct mosquitto_message **messages, int msg_count,
                               bool want_retained, const char *topic, int qos, const char *host,
                               int port, const char *client_id, int keepalive, bool clean_session,
                               const char *username, const char *password,
                               const struct libmosquitto_will *will,
                               const struct libmosquitto_tls *tls)
{
    struct gathering g = {.max = msg_count, .want_retained = want_retained};

    if (!messages || msg_count < 1 || !topic)
        return MOSQ_ERR_INVAL;
    *messages = NULL;
    g.messages = gift_alloc((size_t)msg_count * sizeof(*g.messages));
    if (!g.messages)
        return MOSQ_ERR_NOMEM;
    int rc = mosquitto_subscribe_callback(gather, &g, topic, qos, host, port, client_id, keepalive,
                                          clean_session, username, password, will, tls);
    if (rc == MOSQ_ERR_SUCCESS)
        rc = g.rc;
    if (rc != MOSQ_ERR_SUCCESS) {
        release(&g);
        return rc;
    }
    *messages = g.messages;
    return MOSQ_ERR_SUCCESS;
}
