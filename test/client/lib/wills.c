/*
 * Wills: when they come, and what they may be.
 */
#include "program.h"

#include <sys/socket.h>

/* The client's connection breaks without DISCONNECT. */
static void cut(struct mosquitto *m)
{
    must(mosquitto_socket(m) >= 0);
    must(shutdown(mosquitto_socket(m), SHUT_RDWR) == 0);
}

CASE(a_will_comes_when_the_client_is_lost)
{
    struct seen s = {0}, t = {0};
    struct mosquitto *watcher = online("w", true, &t);
    struct mosquitto *m = client("a", true, &s);

    subscribe(watcher, &t, text("will"), 2);
    ok(mosquitto_will_set(m, text("will"), 4, "gone", 2, true));
    ok(mosquitto_connect(m, HOST, port, 60));
    UNTIL(m, s.connects == 1);
    cut(m);
    UNTIL(watcher, t.messages == 1);
    must(strcmp(t.payload, "gone") == 0 && t.qos == 2);
    UNTIL(m, s.disconnects == 1);
    mosquitto_destroy(m);
    ok(mosquitto_publish(watcher, NULL, text("will"), 0, NULL, 1, true));
    UNTIL(watcher, t.published == 1);
    finish(watcher, &t);
}

CASE(no_will_comes_after_disconnect)
{
    struct seen s = {0}, t = {0};
    struct mosquitto *watcher = online("w", true, &t);
    struct mosquitto *m = client("a", true, &s);

    subscribe(watcher, &t, text("will"), 2);
    ok(mosquitto_will_set(m, text("will"), 4, "gone", 0, false));
    ok(mosquitto_connect(m, HOST, port, 60));
    UNTIL(m, s.connects == 1);
    finish(m, &s);
    ok(mosquitto_publish(watcher, NULL, text("will"), 3, "end", 0, false));
    UNTIL(watcher, t.messages == 1);
    must(strcmp(t.payload, "end") == 0);
    finish(watcher, &t);
}

CASE(a_will_may_be_taken_back)
{
    struct seen s = {0}, t = {0};
    struct mosquitto *watcher = online("w", true, &t);
    struct mosquitto *m = client("a", true, &s);

    subscribe(watcher, &t, text("will"), 2);
    ok(mosquitto_will_set(m, text("will"), 4, "gone", 0, false));
    ok(mosquitto_will_clear(m));
    ok(mosquitto_connect(m, HOST, port, 60));
    UNTIL(m, s.connects == 1);
    cut(m);
    UNTIL(m, s.disconnects == 1);
    mosquitto_destroy(m);
    ok(mosquitto_publish(watcher, NULL, text("will"), 3, "end", 0, false));
    UNTIL(watcher, t.messages == 1);
    must(strcmp(t.payload, "end") == 0);
    finish(watcher, &t);
}

OURS(wills_that_cannot_be)
{
    struct mosquitto *m = mosquitto_new("x", true, NULL);

    gives(mosquitto_will_set(m, NULL, 0, NULL, 0, false), MOSQ_ERR_INVAL);
    gives(mosquitto_will_set(m, "a/#", 0, NULL, 0, false), MOSQ_ERR_INVAL);
    gives(mosquitto_will_set(m, "a/+/b", 0, NULL, 0, false), MOSQ_ERR_INVAL);
    gives(mosquitto_will_set(m, "t", 0, NULL, 3, false), MOSQ_ERR_INVAL);
    gives(mosquitto_will_set(m, "t", -1, "x", 0, false), MOSQ_ERR_PAYLOAD_SIZE);
    gives(mosquitto_will_set(m, "t", 1, NULL, 0, false), MOSQ_ERR_INVAL);
    gives(mosquitto_will_set(m, "\xff", 0, NULL, 0, false), MOSQ_ERR_MALFORMED_UTF8);
    ok(mosquitto_will_set(m, "t", 0, NULL, 0, false));
    ok(mosquitto_will_set(m, "u", 1, "x", 1, true)); /* instead of the first */
    ok(mosquitto_will_clear(m));
    ok(mosquitto_will_clear(m));
    mosquitto_destroy(m);
}
