/*
 * Clients of a broker that a test plays: each case says on stdout what it has been told.
 */
#include "program.h"

static struct seen seen;

static void say_connect(struct mosquitto *m, void *ud, int rc)
{
    on_connect(m, ud, rc);
    printf("connect %d\n", rc);
}

static void say_disconnect(struct mosquitto *m, void *ud, int rc)
{
    on_disconnect(m, ud, rc);
    printf("disconnect %d\n", rc);
}

static void say_publish(struct mosquitto *m, void *ud, int mid)
{
    on_publish(m, ud, mid);
    printf("published %d\n", mid);
}

static void say_message(struct mosquitto *m, void *ud, const struct mosquitto_message *msg)
{
    on_message(m, ud, msg);
    printf("message %s %d\n", msg->topic, msg->payloadlen);
}

static void say_subscribe(struct mosquitto *m, void *ud, int mid, int n, const int *granted)
{
    on_subscribe(m, ud, mid, n, granted);
    printf("subscribed %d %d\n", mid, granted[0]);
}

static struct mosquitto *teller(bool clean)
{
    struct mosquitto *m = client("a", clean, &seen);

    mosquitto_connect_callback_set(m, say_connect);
    mosquitto_disconnect_callback_set(m, say_disconnect);
    mosquitto_publish_callback_set(m, say_publish);
    mosquitto_message_callback_set(m, say_message);
    mosquitto_subscribe_callback_set(m, say_subscribe);
    return m;
}

/* Publishes three messages, at each QoS, and waits for the broker to end it. */
SCRIPTED(publishes_at_all_qos)
{
    struct mosquitto *m = teller(true);

    ok(mosquitto_connect(m, HOST, port, 60));
    UNTIL(m, seen.connects == 1);
    for (int qos = 0; qos < 3; qos++)
        ok(mosquitto_publish(m, NULL, "t", 1, "x", qos, false));
    UNTIL(m, seen.disconnects == 1);
    mosquitto_destroy(m);
}

/* Ten messages at QoS 1 with room for three. */
SCRIPTED(publishes_with_a_window)
{
    struct mosquitto *m = teller(true);

    ok(mosquitto_max_inflight_messages_set(m, 3));
    ok(mosquitto_connect(m, HOST, port, 60));
    UNTIL(m, seen.connects == 1);
    for (int i = 0; i < 10; i++)
        ok(mosquitto_publish(m, NULL, "t", 1, "x", 1, false));
    UNTIL(m, seen.published == 10);
    ok(mosquitto_disconnect(m));
    UNTIL(m, seen.disconnects == 1);
    mosquitto_destroy(m);
}

/* A lasting session that comes back by itself, until all of its messages are acknowledged. */
SCRIPTED(publishes_for_ever)
{
    struct mosquitto *m = teller(false);

    mosquitto_reconnect_delay_set(m, 1, 1, false);
    ok(mosquitto_connect(m, HOST, port, 60));
    ok(mosquitto_publish(m, NULL, "t", 1, "1", 1, false));
    ok(mosquitto_publish(m, NULL, "t", 1, "2", 2, false));
    ok(mosquitto_publish(m, NULL, "t", 1, "3", 1, false));
    ok(mosquitto_loop_start(m));
    AWAIT(seen.published == 3);
    ok(mosquitto_disconnect(m));
    ok(mosquitto_loop_stop(m, false));
    mosquitto_destroy(m);
}

/* Comes back for ever, with delays that grow from 1 to 4 seconds. */
SCRIPTED(reconnects_with_growing_delays)
{
    struct mosquitto *m = teller(true);

    ok(mosquitto_reconnect_delay_set(m, 1, 4, true));
    ok(mosquitto_connect(m, HOST, port, 60));
    (void)mosquitto_loop_forever(m, -1, 1);
}

/* Talks until the broker is not to be talked to any more. */
SCRIPTED(listens)
{
    struct mosquitto *m = teller(true);

    if (mosquitto_connect(m, HOST, port, 60) == 0) {
        int rc = 0;
        while (rc == 0)
            rc = mosquitto_loop(m, 1000, 1);
        printf("loop %d\n", rc);
    }
    must(mosquitto_socket(m) == -1);
    mosquitto_destroy(m);
    printf("alive\n");
}

/* The same with requests in flight, against brokers that answer wrongly. */
SCRIPTED(asks)
{
    struct mosquitto *m = teller(true);

    ok(mosquitto_connect(m, HOST, port, 60));
    UNTIL(m, seen.connects == 1);
    ok(mosquitto_publish(m, NULL, "t", 1, "x", 1, false)); /* 1 */
    ok(mosquitto_publish(m, NULL, "t", 1, "x", 2, false)); /* 2 */
    ok(mosquitto_subscribe(m, NULL, "f", 1));              /* 3 */
    ok(mosquitto_unsubscribe(m, NULL, "g"));               /* 4 */
    int rc = 0;
    while (rc == 0)
        rc = mosquitto_loop(m, 1000, 1);
    printf("loop %d\n", rc);
    mosquitto_destroy(m);
    printf("alive\n");
}

/* Ends inside the callback of a message. */
static void message_leaves(struct mosquitto *m, void *ud, const struct mosquitto_message *msg)
{
    say_message(m, ud, msg);
    ok(mosquitto_disconnect(m));
}

SCRIPTED(leaves_in_a_message)
{
    struct mosquitto *m = teller(true);

    mosquitto_message_callback_set(m, message_leaves);
    ok(mosquitto_connect(m, HOST, port, 60));
    ok(mosquitto_loop_forever(m, -1, 1));
    mosquitto_destroy(m);
}

static void message_dies(struct mosquitto *m, void *ud, const struct mosquitto_message *msg)
{
    say_message(m, ud, msg);
    fflush(stdout);
    _exit(0);
}

SCRIPTED(dies_in_a_message)
{
    struct mosquitto *m = teller(true);

    mosquitto_message_callback_set(m, message_dies);
    ok(mosquitto_connect(m, HOST, port, 60));
    ok(mosquitto_loop_forever(m, -1, 1));
}

/* The broker has closed, and the client writes on: a broken pipe is no signal to the program. */
SCRIPTED(writes_to_nobody)
{
    struct mosquitto *m = teller(true);

    signal(SIGPIPE, SIG_DFL);
    ok(mosquitto_connect(m, HOST, port, 60));
    UNTIL(m, seen.connects == 1);
    signal(SIGPIPE, SIG_DFL);
    sleep(1); /* the broker has reset it meanwhile */
    for (int i = 0; i < 50; i++)
        (void)mosquitto_publish(m, NULL, "t", 1, "x", 0, false);
    while (mosquitto_loop(m, 100, 1) == 0)
        ;
    mosquitto_destroy(m);
    printf("alive\n");
}

/* Keepalive of five seconds: the shortest that the library has. */
SCRIPTED(keeps_alive)
{
    struct mosquitto *m = teller(true);

    ok(mosquitto_connect(m, HOST, port, 5));
    int rc = 0;
    while (rc == 0)
        rc = mosquitto_loop(m, 1000, 1);
    printf("loop %d\n", rc);
    mosquitto_destroy(m);
}

/* A broker that reads nothing: what is published waits in memory, and the end comes all the same.
 */
SCRIPTED(floods_and_leaves)
{
    static char large[1000000];
    struct mosquitto *m = teller(true);

    ok(mosquitto_connect(m, HOST, port, 5));
    UNTIL(m, seen.connects == 1);
    int64_t begun = now_ms();
    for (int i = 0; i < 30; i++)
        ok(mosquitto_publish(m, NULL, "t", sizeof(large), large, 0, false));
    must(now_ms() - begun < 5000); /* no call waits for the broker */
    ok(mosquitto_disconnect(m));
    (void)mosquitto_loop_forever(m, 1000, 1);
    mosquitto_destroy(m);
    printf("alive\n");
}

/* The same in a thread of the library's. */
SCRIPTED(floods_and_stops)
{
    static char large[1000000];
    struct mosquitto *m = teller(true);

    ok(mosquitto_connect(m, HOST, port, 5));
    ok(mosquitto_loop_start(m));
    AWAIT(seen.connects == 1);
    for (int i = 0; i < 30; i++)
        ok(mosquitto_publish(m, NULL, "t", sizeof(large), large, 0, false));
    ok(mosquitto_loop_stop(m, true));
    mosquitto_destroy(m);
    printf("alive\n");
}

/* A broker that accepts and says nothing is not waited for when the program wants to end. */
SCRIPTED(stops_while_connecting)
{
    struct mosquitto *m = teller(true);

    ok(mosquitto_connect_async(m, HOST, port, 60));
    ok(mosquitto_loop_start(m));
    usleep(200000);
    int64_t begun = now_ms();
    ok(mosquitto_loop_stop(m, true));
    must(now_ms() - begun < 2000);
    mosquitto_destroy(m);
    printf("alive\n");
}
