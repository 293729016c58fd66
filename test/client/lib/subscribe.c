/*
 * Subscriptions and what comes by them.
 */
#include "program.h"

CASE(subscribe_and_unsubscribe)
{
    struct seen s = {0};
    struct mosquitto *m = online("a", true, &s);
    int mid = 0;

    for (int qos = 0; qos < 3; qos++) {
        ok(mosquitto_subscribe(m, &mid, text("f/+"), qos));
        UNTIL(m, s.subscribed == qos + 1);
        must(s.last_mid == mid && s.granted == qos);
    }
    ok(mosquitto_unsubscribe(m, &mid, text("f/+")));
    UNTIL(m, s.unsubscribed == 1);
    must(s.last_mid == mid);
    ok(mosquitto_publish(m, NULL, text("f/x"), 1, "x", 1, false));
    UNTIL(m, s.published == 1);
    must(s.messages == 0);
    finish(m, &s);
}

CASE(many_filters_in_one_request)
{
    char *filters[] = {(char *)text("m/1"), (char *)text("m/+/2"), (char *)text("m/3/#")};
    struct seen s = {0};
    struct mosquitto *m = online("a", true, &s);
    int mid = 0;

    ok(mosquitto_subscribe_multiple(m, &mid, 3, filters, 2, 0, NULL));
    UNTIL(m, s.subscribed == 1);
    must(s.last_mid == mid && s.granted == 2);
    ok(mosquitto_publish(m, NULL, text("m/1"), 0, NULL, 2, false));
    ok(mosquitto_publish(m, NULL, text("m/x/2"), 0, NULL, 2, false));
    ok(mosquitto_publish(m, NULL, text("m/3/y/z"), 0, NULL, 2, false));
    UNTIL(m, s.messages == 3);
    ok(mosquitto_unsubscribe_multiple(m, &mid, 3, filters, NULL));
    UNTIL(m, s.unsubscribed == 1);
    must(s.last_mid == mid);
    ok(mosquitto_publish(m, NULL, text("m/1"), 0, NULL, 2, false));
    UNTIL(m, s.published == 4);
    must(s.messages == 3);
    finish(m, &s);
}

CASE(bad_filters_are_refused)
{
    struct seen s = {0};
    struct mosquitto *m = online("a", true, &s);
    char *bad[] = {(char *)"good", (char *)"not/#/good"};

    gives(mosquitto_subscribe(m, NULL, "a/#/b", 0), MOSQ_ERR_INVAL);
    gives(mosquitto_subscribe(m, NULL, "a+", 0), MOSQ_ERR_INVAL);
    gives(mosquitto_subscribe(m, NULL, "a", 3), MOSQ_ERR_INVAL);
    gives(mosquitto_subscribe(m, NULL, "a", -1), MOSQ_ERR_INVAL);
    gives(mosquitto_subscribe(m, NULL, "\xED\xA0\x80", 0), MOSQ_ERR_MALFORMED_UTF8);
    gives(mosquitto_unsubscribe(m, NULL, "#/a"), MOSQ_ERR_INVAL);
    gives(mosquitto_subscribe_multiple(m, NULL, 2, bad, 0, 0, NULL), MOSQ_ERR_INVAL);
    gives(mosquitto_subscribe_multiple(m, NULL, 0, bad, 0, 0, NULL), MOSQ_ERR_INVAL);
    gives(mosquitto_subscribe_multiple(m, NULL, 1, NULL, 0, 0, NULL), MOSQ_ERR_INVAL);
    finish(m, &s);
}

CASE(a_lasting_session_brings_what_was_missed)
{
    struct seen s = {0}, t = {0};
    struct mosquitto *m = online("keep", false, &s);
    struct mosquitto *other = online("o", true, &t);

    subscribe(m, &s, text("k"), 2);
    finish(m, &s);
    for (int i = 0; i < 20; i++)
        ok(mosquitto_publish(other, NULL, text("k"), 1, "x", 1 + i % 2, false));
    UNTIL(other, t.published == 20);
    memset(&s, 0, sizeof(s));
    m = online("keep", false, &s);
    UNTIL(m, s.messages == 20);
    finish(m, &s);
    finish(other, &t);
}

/* --- both families of callbacks --- */

static int v5_calls[6];

static void connect_v5(struct mosquitto *m, void *ud, int rc, int flags,
                       const mosquitto_property *p)
{
    (void)m, (void)ud;
    must(rc == 0 && flags == 0 && !p);
    v5_calls[0]++;
}

static void connect_flags(struct mosquitto *m, void *ud, int rc, int flags)
{
    (void)m, (void)ud;
    must(rc == 0 && flags == 0);
    v5_calls[5]++;
}

static void subscribe_v5(struct mosquitto *m, void *ud, int mid, int n, const int *granted,
                         const mosquitto_property *p)
{
    (void)m, (void)ud;
    must(mid > 0 && n == 1 && granted[0] == 1 && !p);
    v5_calls[1]++;
}

static void message_v5(struct mosquitto *m, void *ud, const struct mosquitto_message *msg,
                       const mosquitto_property *p)
{
    (void)m, (void)ud;
    must(msg->payloadlen == 1 && !p);
    v5_calls[2]++;
}

static void publish_v5(struct mosquitto *m, void *ud, int mid, int reason,
                       const mosquitto_property *p)
{
    (void)m, (void)ud;
    must(mid > 0 && reason == 0 && !p);
    v5_calls[3]++;
}

static void disconnect_v5(struct mosquitto *m, void *ud, int rc, const mosquitto_property *p)
{
    (void)m, (void)ud;
    must(rc == 0 && !p);
    v5_calls[4]++;
}

CASE(both_families_of_callbacks_are_called)
{
    struct seen s = {0};
    struct mosquitto *m = client("a", true, &s);

    mosquitto_connect_v5_callback_set(m, connect_v5);
    mosquitto_connect_with_flags_callback_set(m, connect_flags);
    mosquitto_subscribe_v5_callback_set(m, subscribe_v5);
    mosquitto_message_v5_callback_set(m, message_v5);
    mosquitto_publish_v5_callback_set(m, publish_v5);
    mosquitto_disconnect_v5_callback_set(m, disconnect_v5);
    ok(mosquitto_connect(m, HOST, port, 60));
    UNTIL(m, s.connects == 1 && v5_calls[0] == 1 && v5_calls[5] == 1);
    subscribe(m, &s, text("v"), 1);
    ok(mosquitto_publish(m, NULL, text("v"), 1, "x", 1, false));
    UNTIL(m, s.published == 1 && s.messages == 1);
    ok(mosquitto_disconnect(m));
    UNTIL(m, s.disconnects == 1);
    for (int i = 0; i < 6; i++)
        must(v5_calls[i] == 1);
    mosquitto_destroy(m);
}

/* --- copies of messages --- */

static struct mosquitto_message kept;

static void keep(struct mosquitto *m, void *ud, const struct mosquitto_message *msg)
{
    struct seen *s = ud;

    (void)m;
    ok(mosquitto_message_copy(&kept, msg));
    must(kept.topic != msg->topic && kept.payload != msg->payload);
    s->messages++;
}

CASE(a_copy_outlives_its_callback)
{
    struct seen s = {0};
    struct mosquitto *m = online("a", true, &s);

    mosquitto_message_callback_set(m, keep);
    subscribe(m, &s, text("c"), 1);
    ok(mosquitto_publish(m, NULL, text("c"), 4, "copy", 1, true));
    UNTIL(m, s.messages == 1);
    finish(m, &s);
    must(strcmp(kept.topic, text("c")) == 0 && kept.payloadlen == 4 && kept.qos == 1);
    must(memcmp(kept.payload, "copy", 4) == 0 && kept.mid > 0);
    mosquitto_message_free_contents(&kept);
    gives(mosquitto_message_copy(NULL, &kept), MOSQ_ERR_INVAL);
    gives(mosquitto_message_copy(&kept, NULL), MOSQ_ERR_INVAL);
    struct mosquitto_message *on_heap = calloc(1, sizeof(*on_heap));
    must(on_heap);
    const struct mosquitto_message from = {.topic = (char *)"t", .payload = NULL};
    ok(mosquitto_message_copy(on_heap, &from));
    mosquitto_message_free(&on_heap);
    mosquitto_message_free(NULL);
}
