/*
 * Callbacks that call the library again.
 */
#include "program.h"

static struct seen seen;
static int step;

/* A chain: CONNACK → subscribe → SUBACK → publish → PUBACK … → message → unsubscribe → disconnect.
 */
static void connect_subscribes(struct mosquitto *m, void *ud, int rc)
{
    must(rc == 0);
    on_connect(m, ud, rc);
    ok(mosquitto_subscribe(m, NULL, text("t"), 2));
}

static void subscribe_publishes(struct mosquitto *m, void *ud, int mid, int n, const int *granted)
{
    on_subscribe(m, ud, mid, n, granted);
    ok(mosquitto_publish(m, NULL, text("t"), 1, "0", 0, false));
    ok(mosquitto_publish(m, NULL, text("t"), 1, "1", 1, false));
    ok(mosquitto_publish(m, NULL, text("t"), 1, "2", 2, false));
}

static void publish_publishes(struct mosquitto *m, void *ud, int mid)
{
    on_publish(m, ud, mid);
    if (seen.published < 20)
        ok(mosquitto_publish(m, NULL, text("t"), 1, "x", seen.published % 3, false));
}

static void message_ends(struct mosquitto *m, void *ud, const struct mosquitto_message *msg)
{
    on_message(m, ud, msg);
    if (seen.messages == 20)
        ok(mosquitto_unsubscribe(m, NULL, text("t")));
}

static void unsubscribe_leaves(struct mosquitto *m, void *ud, int mid)
{
    on_unsubscribe(m, ud, mid);
    ok(mosquitto_disconnect(m));
}

static struct mosquitto *chained(void)
{
    struct mosquitto *m = client("a", true, &seen);

    mosquitto_connect_callback_set(m, connect_subscribes);
    mosquitto_subscribe_callback_set(m, subscribe_publishes);
    mosquitto_publish_callback_set(m, publish_publishes);
    mosquitto_message_callback_set(m, message_ends);
    mosquitto_unsubscribe_callback_set(m, unsubscribe_leaves);
    return m;
}

CASE(a_chain_of_callbacks)
{
    struct mosquitto *m = chained();

    ok(mosquitto_connect(m, HOST, port, 60));
    ok(mosquitto_loop_forever(m, -1, 1));
    must(seen.messages >= 20 && seen.published >= 20 && seen.disconnects == 1);
    mosquitto_destroy(m);
}

CASE(a_chain_of_callbacks_in_a_thread)
{
    struct mosquitto *m = chained();

    ok(mosquitto_connect_async(m, HOST, port, 60));
    ok(mosquitto_loop_start(m));
    AWAIT(seen.disconnects == 1);
    ok(mosquitto_loop_stop(m, false));
    must(seen.messages >= 20);
    mosquitto_destroy(m);
}

/* --- disconnect in each of them --- */

static void connect_leaves(struct mosquitto *m, void *ud, int rc)
{
    on_connect(m, ud, rc);
    ok(mosquitto_disconnect(m));
}

static void subscribe_leaves(struct mosquitto *m, void *ud, int mid, int n, const int *granted)
{
    on_subscribe(m, ud, mid, n, granted);
    ok(mosquitto_disconnect(m));
}

static void publish_leaves(struct mosquitto *m, void *ud, int mid)
{
    on_publish(m, ud, mid);
    if (step == 2)
        ok(mosquitto_disconnect(m));
}

static void message_leaves(struct mosquitto *m, void *ud, const struct mosquitto_message *msg)
{
    on_message(m, ud, msg);
    if (step == 3)
        ok(mosquitto_disconnect(m));
}

CASE(disconnect_in_each_callback)
{
    for (step = 0; step < 4; step++) {
        memset(&seen, 0, sizeof(seen));
        struct mosquitto *m = client("a", true, &seen);
        ok(mosquitto_connect(m, HOST, port, 60));
        if (step == 0)
            mosquitto_connect_callback_set(m, connect_leaves);
        if (step > 0)
            UNTIL(m, seen.connects == 1);
        if (step == 1)
            mosquitto_subscribe_callback_set(m, subscribe_leaves);
        if (step >= 1)
            ok(mosquitto_subscribe(m, NULL, text("t"), 1));
        mosquitto_publish_callback_set(m, publish_leaves);
        mosquitto_message_callback_set(m, message_leaves);
        if (step >= 2)
            ok(mosquitto_publish(m, NULL, text("t"), 1, "x", 1, false));
        ok(mosquitto_loop_forever(m, -1, 1));
        must(seen.disconnects == 1 && seen.disconnect_rc == 0);
        must(mosquitto_socket(m) == -1);
        mosquitto_destroy(m);
    }
}

/* --- reconnect in the callback of the loss --- */

static void disconnect_reconnects(struct mosquitto *m, void *ud, int rc)
{
    on_disconnect(m, ud, rc);
    if (seen.disconnects < 4)
        ok(mosquitto_reconnect(m));
}

OURS(reconnect_in_on_disconnect)
{
    struct mosquitto *m = client("a", true, &seen);

    mosquitto_disconnect_callback_set(m, disconnect_reconnects);
    ok(mosquitto_connect(m, HOST, port, 60));
    for (int i = 0; i < 4; i++) {
        UNTIL(m, seen.connects == i + 1);
        ok(mosquitto_disconnect(m));
        UNTIL(m, seen.disconnects == i + 1);
    }
    mosquitto_destroy(m);
}

static void message_reconnects(struct mosquitto *m, void *ud, const struct mosquitto_message *msg)
{
    on_message(m, ud, msg);
    if (seen.messages == 1)
        ok(mosquitto_reconnect(m));
}

CASE(reconnect_in_on_message)
{
    struct mosquitto *m = client("keep", false, &seen);

    mosquitto_message_callback_set(m, message_reconnects);
    ok(mosquitto_connect(m, HOST, port, 60));
    UNTIL(m, seen.connects == 1);
    subscribe(m, &seen, text("t"), 2);
    ok(mosquitto_publish(m, NULL, text("t"), 1, "1", 0, false));
    UNTIL(m, seen.connects == 2);
    ok(mosquitto_publish(m, NULL, text("t"), 1, "2", 2, false));
    UNTIL(m, seen.messages == 2);
    must(strcmp(seen.payload, "2") == 0);
    mosquitto_disconnect_callback_set(m, on_disconnect);
    ok(mosquitto_unsubscribe(m, NULL, text("t")));
    UNTIL(m, seen.unsubscribed == 1);
    int before = seen.disconnects;
    ok(mosquitto_disconnect(m));
    UNTIL(m, seen.disconnects > before);
    mosquitto_destroy(m);
}

/* --- the log --- */

static char lines[4000];

static void on_log(struct mosquitto *m, void *ud, int level, const char *line)
{
    struct seen *s = ud;

    must(level == MOSQ_LOG_DEBUG || level == MOSQ_LOG_INFO || level == MOSQ_LOG_NOTICE ||
         level == MOSQ_LOG_WARNING || level == MOSQ_LOG_ERR);
    must(mosquitto_userdata(m) == ud); /* the library may be called */
    must(strlen(lines) + strlen(line) + 2 < sizeof(lines));
    strcat(lines, line);
    strcat(lines, "\n");
    s->logs++;
}

OURS(the_log_is_that_of_1_5)
{
    char want[2000];
    const char *id = text("a"), *topic = text("t");
    struct mosquitto *m = client("a", true, &seen);

    mosquitto_log_callback_set(m, on_log);
    ok(mosquitto_connect(m, HOST, port, 60));
    UNTIL(m, seen.connects == 1);
    ok(mosquitto_publish(m, NULL, topic, 5, "hello", 1, false));
    UNTIL(m, seen.published == 1);
    ok(mosquitto_disconnect(m));
    UNTIL(m, seen.disconnects == 1);
    (void)snprintf(want, sizeof(want),
                   "Client %s sending CONNECT\nClient %s received CONNACK (0)\n"
                   "Client %s sending PUBLISH (d0, q1, r0, m1, '%s', ... (5 bytes))\n"
                   "Client %s received PUBACK (Mid: 1)\nClient %s sending DISCONNECT\n",
                   id, id, id, topic, id, id);
    if (strcmp(lines, want) != 0)
        fprintf(stderr, "wanted:\n%sgot:\n%s", want, lines);
    must(strcmp(lines, want) == 0);
    mosquitto_destroy(m);
}

CASE(callbacks_may_be_taken_away)
{
    struct mosquitto *m = client("a", true, &seen);

    mosquitto_log_callback_set(m, on_log);
    ok(mosquitto_connect(m, HOST, port, 60));
    UNTIL(m, seen.connects == 1);
    must(seen.logs > 0);
    mosquitto_log_callback_set(m, NULL);
    mosquitto_publish_callback_set(m, NULL);
    mosquitto_message_callback_set(m, NULL);
    int before = seen.logs;
    subscribe(m, &seen, text("t"), 1);
    ok(mosquitto_publish(m, NULL, text("t"), 1, "x", 1, false));
    for (int i = 0; i < 10; i++)
        ok(mosquitto_loop(m, 10, 1));
    must(seen.logs == before && seen.published == 0 && seen.messages == 0);
    finish(m, &seen);
}

/* --- all that a callback may think of --- */

static void says_everything(struct mosquitto *m)
{
    mosquitto_message_callback_set(m, on_message);
    (void)mosquitto_socket(m);
    (void)mosquitto_want_write(m);
    (void)mosquitto_loop_misc(m);
    (void)mosquitto_loop_write(m, 1);
    (void)mosquitto_publish(m, NULL, text("t"), 1, "x", 2, false);
    (void)mosquitto_subscribe(m, NULL, text("u"), 1);
    (void)mosquitto_unsubscribe(m, NULL, text("u"));
    (void)mosquitto_will_set(m, "w", 0, NULL, 0, false);
    (void)mosquitto_username_pw_set(m, "u", "p");
    mosquitto_user_data_set(m, &seen);
    if (seen.messages + seen.published > 30)
        (void)mosquitto_disconnect(m);
}

static void everything_in_connect(struct mosquitto *m, void *ud, int rc)
{
    on_connect(m, ud, rc);
    says_everything(m);
}

static void everything_in_publish(struct mosquitto *m, void *ud, int mid)
{
    on_publish(m, ud, mid);
    says_everything(m);
}

static void everything_in_disconnect(struct mosquitto *m, void *ud, int rc)
{
    on_disconnect(m, ud, rc);
    says_everything(m);
}

static void everything_in_log(struct mosquitto *m, void *ud, int level, const char *line)
{
    (void)ud, (void)level, (void)line;
    if (++seen.logs == 40) /* each call has lines of its own */
        says_everything(m);
}

OURS(all_calls_from_all_callbacks)
{
    struct mosquitto *m = client("a", true, &seen);

    mosquitto_connect_callback_set(m, everything_in_connect);
    mosquitto_publish_callback_set(m, everything_in_publish);
    mosquitto_disconnect_callback_set(m, everything_in_disconnect);
    mosquitto_log_callback_set(m, everything_in_log);
    ok(mosquitto_connect(m, HOST, port, 60));
    (void)mosquitto_loop_forever(m, -1, 1);
    must(seen.disconnects == 1);
    mosquitto_destroy(m);
}

/* Publishes its lines, but not those of its own publishing; and tries what no callback may. */
static void publish_line(struct mosquitto *m, void *ud, int level, const char *line)
{
    static bool inside;
    struct seen *s = ud;

    (void)level;
    if (inside)
        return;
    inside = true;
    s->logs++;
    (void)mosquitto_publish(m, NULL, text("log"), (int)strlen(line), line, 0, false);
    mosquitto_destroy(m);
    inside = false;
}

OURS(a_log_callback_that_publishes_comes_to_an_end)
{
    struct seen s = {0};
    struct mosquitto *m = online("a", true, &s);

    mosquitto_log_callback_set(m, publish_line);
    ok(mosquitto_publish(m, NULL, text("t"), 1, "x", 1, false));
    UNTIL(m, s.published >= 3);
    must(s.logs >= 2 && s.logs < 20);
    mosquitto_log_callback_set(m, NULL);
    finish(m, &s);
}
