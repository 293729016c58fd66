/*
 * Ways to connect, and to fail.
 */
#include "program.h"

#include <arpa/inet.h>
#include <sys/socket.h>

CASE(connect_in_all_ways)
{
    struct seen s = {0};
    struct mosquitto *m = client("a", true, &s);
    int n = 1;

    ok(mosquitto_connect(m, HOST, port, 60));
    UNTIL(m, s.connects == n);
    ok(mosquitto_disconnect(m));
    UNTIL(m, s.disconnects == n);
    n++;
    ok(mosquitto_connect_bind(m, HOST, port, 60, "127.0.0.1"));
    UNTIL(m, s.connects == n);
    ok(mosquitto_disconnect(m));
    UNTIL(m, s.disconnects == n);
    n++;
    ok(mosquitto_connect_bind_v5(m, HOST, port, 60, NULL, NULL));
    UNTIL(m, s.connects == n);
    ok(mosquitto_disconnect_v5(m, 0, NULL));
    UNTIL(m, s.disconnects == n);
    n++;
    ok(mosquitto_connect(m, "localhost", port, 60));
    UNTIL(m, s.connects == n);
    ok(mosquitto_disconnect(m));
    UNTIL(m, s.disconnects == n);
    n++;
    ok(mosquitto_reconnect(m));
    UNTIL(m, s.connects == n);
    must(s.connect_rc == 0);
    finish(m, &s);
}

CASE(connect_async_connects_in_the_thread)
{
    struct seen s = {0};
    struct mosquitto *m = client("a", true, &s);

    ok(mosquitto_connect_async(m, HOST, port, 60));
    ok(mosquitto_loop_start(m));
    AWAIT(s.connects == 1);
    must(s.connect_rc == 0);
    ok(mosquitto_disconnect(m));
    ok(mosquitto_loop_stop(m, false));
    must(s.disconnects == 1 && s.disconnect_rc == 0);
    ok(mosquitto_connect_bind_async(m, HOST, port, 60, "127.0.0.1"));
    ok(mosquitto_loop_start(m));
    AWAIT(s.connects == 2);
    ok(mosquitto_disconnect(m));
    ok(mosquitto_loop_stop(m, false));
    ok(mosquitto_reconnect_async(m));
    ok(mosquitto_loop_start(m));
    AWAIT(s.connects == 3);
    ok(mosquitto_disconnect(m));
    ok(mosquitto_loop_stop(m, false));
    mosquitto_destroy(m);
}

CASE(bad_arguments_are_refused)
{
    struct seen s = {0};
    struct mosquitto *m = client("a", true, &s);

    gives(mosquitto_connect(m, NULL, port, 60), MOSQ_ERR_INVAL);
    gives(mosquitto_connect(m, HOST, -1, 60), MOSQ_ERR_INVAL);
    gives(mosquitto_connect(m, HOST, 65536, 60), MOSQ_ERR_INVAL);
    gives(mosquitto_connect(m, HOST, port, -1), MOSQ_ERR_INVAL);
    gives(mosquitto_connect(m, HOST, port, 4), MOSQ_ERR_INVAL);
    gives(mosquitto_connect(m, HOST, port, 65536), MOSQ_ERR_INVAL);
    gives(mosquitto_username_pw_set(m, "\xff", NULL), MOSQ_ERR_MALFORMED_UTF8);
    ok(mosquitto_username_pw_set(m, "u", "p"));
    ok(mosquitto_username_pw_set(m, NULL, NULL));
    mosquitto_destroy(m);
}

/* A port that nobody listens on: bound and not listening. */
static int closed_port(int *held)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof(a);

    *held = socket(AF_INET, SOCK_STREAM, 0);
    must(bind(*held, (struct sockaddr *)&a, n) == 0);
    must(getsockname(*held, (struct sockaddr *)&a, &n) == 0);
    return ntohs(a.sin_port);
}

CASE(nobody_listens)
{
    struct seen s = {0};
    struct mosquitto *m = client("a", true, &s);
    int held;
    int closed = closed_port(&held);

    errno = 0;
    gives(mosquitto_connect(m, HOST, closed, 60), MOSQ_ERR_ERRNO);
    must(errno == ECONNREFUSED);
    must(mosquitto_socket(m) == -1);
    must(s.connects == 0 && s.disconnects == 0);
    ok(mosquitto_connect(m, HOST, port, 60)); /* and then it works */
    UNTIL(m, s.connects == 1);
    finish(m, &s);
    close(held);
}

CASE(no_such_host)
{
    struct seen s = {0};
    struct mosquitto *m = client("a", true, &s);

    int rc = mosquitto_connect(m, "no.such.host.invalid", port, 60);
    must(rc == MOSQ_ERR_EAI || rc == MOSQ_ERR_LOOKUP);
    mosquitto_destroy(m);
}

CASE(reconnect_replaces_the_connection)
{
    struct seen s = {0};
    struct mosquitto *m = online("a", true, &s);
    unsigned before = descriptors();

    for (int i = 0; i < 5; i++) {
        ok(mosquitto_reconnect(m));
        UNTIL(m, s.connects == i + 2);
    }
    must(descriptors() == before);
    ok(mosquitto_publish(m, NULL, text("t"), 1, "x", 2, false));
    UNTIL(m, s.published == 1);
    finish(m, &s);
}

/* The message goes again after the loss, and is told once. */
CASE(a_message_outlives_its_connection)
{
    struct seen s = {0}, t = {0};
    struct mosquitto *sub = online("s", true, &t);
    struct mosquitto *m = online("keep", false, &s);

    subscribe(sub, &t, text("o"), 2);
    for (int i = 0; i < 30; i++) {
        ok(mosquitto_publish(m, NULL, text("o"), 1, "x", 2, false));
        if (i % 5 == 4) {
            must(shutdown(mosquitto_socket(m), SHUT_RDWR) == 0);
            while (mosquitto_loop(m, 20, 1) == 0)
                ;
            ok(mosquitto_reconnect(m));
        }
    }
    UNTIL(m, s.published == 30);
    UNTIL(sub, t.messages == 30);
    for (int i = 0; i < 20; i++)
        ok(mosquitto_loop(sub, 5, 1));
    must(t.messages == 30 && s.published == 30);
    finish(m, &s);
    finish(sub, &t);
}

CASE(mqtt_3_1_works)
{
    struct seen s = {0};
    struct mosquitto *m = client("a", true, &s);

    ok(mosquitto_int_option(m, MOSQ_OPT_PROTOCOL_VERSION, MQTT_PROTOCOL_V31));
    ok(mosquitto_connect(m, HOST, port, 60));
    UNTIL(m, s.connects == 1);
    finish(m, &s);
}

OURS(mqtt_5_is_not_supported)
{
    struct mosquitto *m = mosquitto_new("x", true, NULL);
    int version = MQTT_PROTOCOL_V5;

    gives(mosquitto_int_option(m, MOSQ_OPT_PROTOCOL_VERSION, MQTT_PROTOCOL_V5),
          MOSQ_ERR_NOT_SUPPORTED);
    gives(mosquitto_opts_set(m, MOSQ_OPT_PROTOCOL_VERSION, &version), MOSQ_ERR_NOT_SUPPORTED);
    version = MQTT_PROTOCOL_V311;
    ok(mosquitto_opts_set(m, MOSQ_OPT_PROTOCOL_VERSION, &version));
    mosquitto_destroy(m);
}
