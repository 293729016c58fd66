/*
 * Publishing: results, callbacks, what waits while there is no connection.
 */
#include "program.h"

CASE(all_qos_are_told)
{
    struct seen s = {0};
    struct mosquitto *m = online("a", true, &s);
    int mids[3];

    for (int qos = 0; qos < 3; qos++) {
        ok(mosquitto_publish(m, &mids[qos], text("t"), 3, "abc", qos, false));
        UNTIL(m, s.published == qos + 1);
        must(s.last_mid == mids[qos]);
    }
    must(mids[0] > 0 && mids[1] == mids[0] + 1 && mids[2] == mids[1] + 1);
    finish(m, &s);
}

CASE(bad_arguments_are_refused)
{
    struct seen s = {0};
    struct mosquitto *m = online("a", true, &s);
    static char payload[1];

    gives(mosquitto_publish(m, NULL, "a/#", 0, NULL, 0, false), MOSQ_ERR_INVAL);
    gives(mosquitto_publish(m, NULL, "+", 0, NULL, 0, false), MOSQ_ERR_INVAL);
    gives(mosquitto_publish(m, NULL, "", 0, NULL, 0, false), MOSQ_ERR_INVAL);
    gives(mosquitto_publish(m, NULL, NULL, 0, NULL, 0, false), MOSQ_ERR_INVAL);
    gives(mosquitto_publish(m, NULL, "t", 0, NULL, 3, false), MOSQ_ERR_INVAL);
    gives(mosquitto_publish(m, NULL, "t", 0, NULL, -1, false), MOSQ_ERR_INVAL);
    gives(mosquitto_publish(m, NULL, "t", -1, payload, 0, false), MOSQ_ERR_PAYLOAD_SIZE);
    gives(mosquitto_publish(m, NULL, "t", 268435456, payload, 0, false), MOSQ_ERR_PAYLOAD_SIZE);
    gives(mosquitto_publish(m, NULL, "\xC3\x28", 0, NULL, 0, false), MOSQ_ERR_MALFORMED_UTF8);
    finish(m, &s);
}

CASE(payloads_arrive_as_they_are)
{
    static char large[100000];
    struct seen s = {0};
    struct mosquitto *m = online("a", true, &s);

    subscribe(m, &s, text("#"), 2);
    ok(mosquitto_publish(m, NULL, text("empty"), 0, NULL, 1, false));
    UNTIL(m, s.messages == 1);
    must(s.len == 0 && strcmp(s.topic, text("empty")) == 0 && s.qos == 1);
    ok(mosquitto_publish(m, NULL, text("nul"), 3, "a\0b", 2, false));
    UNTIL(m, s.messages == 2);
    must(s.len == 3 && memcmp(s.payload, "a\0b", 4) == 0 && s.qos == 2);
    memset(large, 'x', sizeof(large));
    ok(mosquitto_publish(m, NULL, text("large"), sizeof(large), large, 0, false));
    UNTIL(m, s.messages == 3);
    must(s.len == sizeof(large) && s.qos == 0 && s.mid == 0);
    finish(m, &s);
}

CASE(retained_messages_come_later)
{
    struct seen s = {0}, t = {0};
    struct mosquitto *m = online("a", true, &s);

    ok(mosquitto_publish(m, NULL, text("r"), 1, "x", 1, true));
    UNTIL(m, s.published == 1);
    struct mosquitto *late = online("b", true, &t);
    subscribe(late, &t, text("r"), 1);
    UNTIL(late, t.messages == 1);
    must(t.retain && strcmp(t.payload, "x") == 0);
    ok(mosquitto_publish(m, NULL, text("r"), 0, NULL, 1, true));
    UNTIL(m, s.published == 2);
    finish(late, &t);
    finish(m, &s);
}

OURS(what_is_published_offline_goes_later)
{
    struct seen s = {0}, t = {0};
    struct mosquitto *sub = online("s", true, &t);
    struct mosquitto *m = client("a", true, &s);
    int mid;

    subscribe(sub, &t, text("q"), 2);
    gives(mosquitto_publish(m, NULL, text("q"), 1, "0", 0, false), MOSQ_ERR_NO_CONN);
    for (int i = 0; i < 50; i++) {
        char p[8];
        ok(mosquitto_publish(m, &mid, text("q"), snprintf(p, sizeof(p), "%d", i), p, 1 + i % 2,
                             false));
        must(mid > 0);
    }
    must(s.published == 0);
    ok(mosquitto_connect(m, HOST, port, 60));
    UNTIL(m, s.published == 50);
    UNTIL(sub, t.messages == 50);
    must(strcmp(t.payload, "49") == 0);
    finish(m, &s);
    finish(sub, &t);
}

/* As small programs do it. */
CASE(connect_publish_disconnect_without_a_loop)
{
    struct seen t = {0};
    struct mosquitto *sub = online("s", true, &t);

    subscribe(sub, &t, text("q"), 0);
    struct mosquitto *m = mosquitto_new(text("a"), true, NULL);
    ok(mosquitto_connect(m, HOST, port, 60));
    ok(mosquitto_publish(m, NULL, text("q"), 5, "hello", 0, false));
    ok(mosquitto_publish(m, NULL, text("q"), 5, "world", 1, false));
    ok(mosquitto_disconnect(m));
    mosquitto_destroy(m);
    UNTIL(sub, t.messages == 2);
    must(strcmp(t.payload, "world") == 0);
    finish(sub, &t);
}

CASE(messages_keep_their_order)
{
    struct seen s = {0}, t = {0};
    struct mosquitto *sub = online("s", true, &t);
    struct mosquitto *m = online("a", true, &s);

    subscribe(sub, &t, text("o"), 2);
    ok(mosquitto_max_inflight_messages_set(m, 3));
    for (int i = 0; i < 200; i++) {
        char p[8];
        ok(mosquitto_publish(m, NULL, text("o"), snprintf(p, sizeof(p), "%d", i), p, 2, false));
    }
    for (int i = 0; i < 200; i++) {
        UNTIL(m, s.published > i);
    }
    UNTIL(sub, t.messages == 200);
    must(strcmp(t.payload, "199") == 0);
    finish(m, &s);
    finish(sub, &t);
}

OURS(publish_v5_goes_at_3_1_1)
{
    struct seen s = {0};
    struct mosquitto *m = online("a", true, &s);
    mosquitto_property *list = NULL;

    subscribe(m, &s, text("v"), 1);
    ok(mosquitto_property_add_string(&list, 3 /* content type */, "text/plain"));
    ok(mosquitto_publish_v5(m, NULL, text("v"), 1, "x", 1, false, list));
    mosquitto_property_free_all(&list);
    UNTIL(m, s.messages == 1 && s.published == 1);
    must(strcmp(s.payload, "x") == 0);
    finish(m, &s);
}
