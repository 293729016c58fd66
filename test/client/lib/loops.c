/*
 * Loops of the library and of programs that have one of their own.
 */
#include "program.h"

/* One turn of a foreign loop, which polls the one descriptor. */
static int turn(struct mosquitto *m, int timeout_ms)
{
    struct pollfd p = {.fd = mosquitto_socket(m), .events = POLLIN};
    int rc = MOSQ_ERR_SUCCESS;

    if (p.fd < 0)
        return MOSQ_ERR_NO_CONN;
    if (mosquitto_want_write(m))
        p.events |= POLLOUT;
    poll(&p, 1, timeout_ms);
    if (p.revents & (POLLIN | POLLHUP | POLLERR))
        rc = mosquitto_loop_read(m, 1);
    if (rc == 0 && (p.revents & POLLOUT))
        rc = mosquitto_loop_write(m, 1);
    return rc == 0 ? mosquitto_loop_misc(m) : rc;
}

#define TURN_UNTIL(m, cond)                                                                        \
    do {                                                                                           \
        int64_t turn_end = now_ms() + PATIENCE_MS;                                                 \
        while (!(cond)) {                                                                          \
            must(now_ms() < turn_end);                                                             \
            ok(turn(m, 20));                                                                       \
        }                                                                                          \
    } while (0)

CASE(a_foreign_loop)
{
    static char large[300000];
    struct seen s = {0};
    struct mosquitto *m = client("a", true, &s);

    ok(mosquitto_connect(m, HOST, port, 60));
    TURN_UNTIL(m, s.connects == 1);
    ok(mosquitto_subscribe(m, NULL, text("f"), 2));
    TURN_UNTIL(m, s.subscribed == 1);
    for (int i = 0; i < 30; i++)
        ok(mosquitto_publish(m, NULL, text("f"), sizeof(large), large, i % 3, false));
    TURN_UNTIL(m, s.messages == 30 && s.published == 30);
    must(!mosquitto_want_write(m));
    ok(mosquitto_disconnect(m));
    int64_t end = now_ms() + PATIENCE_MS;
    while (s.disconnects == 0 && now_ms() < end)
        (void)turn(m, 20);
    must(s.disconnects == 1 && s.disconnect_rc == 0);
    must(mosquitto_socket(m) == -1);
    mosquitto_destroy(m);
}

CASE(a_foreign_loop_connects_without_waiting)
{
    struct seen s = {0};
    struct mosquitto *m = client("a", true, &s);

    ok(mosquitto_connect_async(m, HOST, port, 60));
    TURN_UNTIL(m, s.connects == 1);
    ok(mosquitto_publish(m, NULL, text("f"), 1, "x", 1, false));
    TURN_UNTIL(m, s.published == 1);
    mosquitto_destroy(m);
}

CASE(one_loop_for_two_clients)
{
    struct seen s[2] = {0};
    struct mosquitto *m[2];

    for (int i = 0; i < 2; i++) {
        m[i] = client(i ? "b" : "a", true, &s[i]);
        ok(mosquitto_connect(m[i], HOST, port, 60));
        TURN_UNTIL(m[i], s[i].connects == 1);
        ok(mosquitto_subscribe(m[i], NULL, text(i ? "1" : "0"), 1));
        TURN_UNTIL(m[i], s[i].subscribed == 1);
    }
    for (int i = 0; i < 40; i++) {
        int before = s[1 - i % 2].messages;
        ok(mosquitto_publish(m[i % 2], NULL, text(i % 2 ? "0" : "1"), 1, "x", 1, false));
        TURN_UNTIL(m[i % 2], s[i % 2].published == i / 2 + 1);
        TURN_UNTIL(m[1 - i % 2], s[1 - i % 2].messages == before + 1);
    }
    mosquitto_destroy(m[0]);
    mosquitto_destroy(m[1]);
}

CASE(a_thread_runs_the_loop)
{
    struct seen s = {0};
    struct mosquitto *m = client("a", true, &s);

    ok(mosquitto_connect(m, HOST, port, 60));
    ok(mosquitto_loop_start(m));
    gives(mosquitto_loop_start(m), MOSQ_ERR_INVAL); /* there is one */
    AWAIT(s.connects == 1);
    ok(mosquitto_subscribe(m, NULL, text("t"), 2));
    AWAIT(s.subscribed == 1);
    for (int i = 0; i < 100; i++)
        ok(mosquitto_publish(m, NULL, text("t"), 1, "x", i % 3, false));
    AWAIT(s.published == 100 && s.messages == 100);
    ok(mosquitto_disconnect(m));
    ok(mosquitto_loop_stop(m, false));
    must(s.disconnects == 1);
    mosquitto_destroy(m);
}

/* A request wakes the thread: nobody waits for the end of its poll. */
CASE(a_thread_is_woken)
{
    struct seen s = {0};
    struct mosquitto *m = client("a", true, &s);

    ok(mosquitto_connect(m, HOST, port, 60));
    ok(mosquitto_loop_start(m));
    AWAIT(s.connects == 1);
    usleep(50000);
    int64_t begun = now_ms();
    for (int i = 0; i < 20; i++) {
        ok(mosquitto_publish(m, NULL, text("t"), 1, "x", 1, false));
        AWAIT(s.published == i + 1);
    }
    must(now_ms() - begun < 5000);
    begun = now_ms();
    ok(mosquitto_loop_stop(m, true));
    must(now_ms() - begun < 2000);
    mosquitto_destroy(m);
}

CASE(loop_forever_ends_with_disconnect)
{
    struct seen s = {0};
    struct mosquitto *m = client("a", true, &s);

    ok(mosquitto_connect(m, HOST, port, 60));
    ok(mosquitto_publish(m, NULL, text("t"), 1, "x", 1, false));
    ok(mosquitto_disconnect(m));
    int rc = mosquitto_loop_forever(m, -1, 1);
    must(rc == MOSQ_ERR_SUCCESS || rc == MOSQ_ERR_NO_CONN);
    mosquitto_destroy(m);
}

static void leave(struct mosquitto *m, void *ud, int mid)
{
    (void)ud, (void)mid;
    ok(mosquitto_disconnect(m));
}

CASE(loop_forever_ends_from_a_callback)
{
    struct seen s = {0};
    struct mosquitto *m = client("a", true, &s);

    mosquitto_publish_callback_set(m, leave);
    ok(mosquitto_connect(m, HOST, port, 60));
    ok(mosquitto_publish(m, NULL, text("t"), 1, "x", 2, false));
    ok(mosquitto_loop_forever(m, 1000, 1));
    must(s.disconnects == 1 && s.disconnect_rc == 0);
    mosquitto_destroy(m);
}

static void *forever(void *m)
{
    return (void *)(intptr_t)mosquitto_loop_forever(m, -1, 1);
}

CASE(a_thread_of_the_programs_own)
{
    struct seen s = {0};
    struct mosquitto *m = client("a", true, &s);
    pthread_t thread;
    void *result;

    ok(mosquitto_threaded_set(m, true));
    ok(mosquitto_connect(m, HOST, port, 60));
    must(pthread_create(&thread, NULL, forever, m) == 0);
    AWAIT(s.connects == 1);
    for (int i = 0; i < 50; i++)
        ok(mosquitto_publish(m, NULL, text("t"), 1, "x", i % 3, false));
    AWAIT(s.published == 50);
    ok(mosquitto_disconnect(m));
    must(pthread_join(thread, &result) == 0);
    must(result == NULL && s.disconnects == 1);
    mosquitto_destroy(m);
}

CASE(loop_tells_a_loss)
{
    struct seen s = {0}, t = {0};
    struct mosquitto *m = online("a", true, &s);
    struct mosquitto *thief = online("a", true, &t);
    int rc = 0;

    for (int i = 0; i < 500 && rc == 0; i++)
        rc = mosquitto_loop(m, 20, 1);
    must(rc == MOSQ_ERR_CONN_LOST);
    must(s.disconnects == 1 && s.disconnect_rc == MOSQ_ERR_CONN_LOST);
    must(mosquitto_socket(m) == -1);
    gives(mosquitto_loop(m, 0, 1), MOSQ_ERR_NO_CONN);
    must(s.disconnects == 1);
    mosquitto_destroy(m);
    finish(thief, &t);
}

/* --- signals --- */

static struct mosquitto *interrupted;
static volatile sig_atomic_t alarms;

static void on_alarm(int signal)
{
    (void)signal;
    alarms++;
    mosquitto_disconnect(interrupted);
}

/* Nobody answers at that port; the handler may find mosquitto_connect() anywhere. */
OURS(a_signal_handler_may_end_connecting)
{
    struct seen s = {0};
    int silent = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(at);

    must(bind(silent, (struct sockaddr *)&at, size) == 0 && listen(silent, 1) == 0);
    must(getsockname(silent, (struct sockaddr *)&at, &size) == 0);
    must(signal(SIGALRM, on_alarm) != SIG_ERR);
    for (int i = 0; i < 20; i++) {
        struct itimerval once = {.it_value.tv_usec = 1000 + i * 150};

        interrupted = client("a", true, &s);
        ok(mosquitto_socks5_set(interrupted, HOST, ntohs(at.sin_port), NULL, NULL));
        must(setitimer(ITIMER_REAL, &once, NULL) == 0);
        gives(mosquitto_connect(interrupted, HOST, port, 60), MOSQ_ERR_NO_CONN);
        mosquitto_destroy(interrupted);
    }
    close(silent);
}

/* Programs disconnect in signal handlers: mosquitto_sub -W has always done so. The signal finds
 * this one in the middle of any call. */
OURS(a_signal_handler_may_disconnect)
{
    must(signal(SIGALRM, on_alarm) != SIG_ERR);
    for (int i = 0; i < 50; i++) {
        struct seen s = {0};
        struct itimerval once = {.it_value.tv_usec = 500 + i * 37 % 2000};

        interrupted = client("a", true, &s);
        alarms = 0;
        ok(mosquitto_connect(interrupted, HOST, port, 60));
        must(setitimer(ITIMER_REAL, &once, NULL) == 0);
        while (alarms == 0)
            (void)mosquitto_publish(interrupted, NULL, text("t"), 1, "x", 0, false);
        ok(mosquitto_loop_forever(interrupted, -1, 1));
        mosquitto_destroy(interrupted);
    }
}

/* A program that was away for longer than the keepalive finds the answers that came meanwhile. */
CASE(late_loops_find_what_has_come)
{
    struct seen s = {0};
    struct mosquitto *m = client("a", true, &s);

    ok(mosquitto_connect(m, HOST, port, 5));
    usleep(5500000);
    ok(mosquitto_loop(m, 100, 1));
    must(s.connects == 1 && s.connect_rc == 0);
    finish(m, &s);
}

static void take_half_a_second(struct mosquitto *m, void *ud, const struct mosquitto_message *msg)
{
    on_message(m, ud, msg);
    usleep(500000);
}

/* More messages have come than callbacks take within the keepalive. */
CASE(slow_callbacks_keep_the_connection)
{
    struct seen s = {0}, s2 = {0};
    struct mosquitto *m = client("a", true, &s), *p = online("p", true, &s2);

    mosquitto_message_callback_set(m, take_half_a_second);
    ok(mosquitto_connect(m, HOST, port, 5));
    UNTIL(m, s.connects == 1);
    subscribe(m, &s, text("t"), 1);
    for (int i = 0; i < 20; i++)
        ok(mosquitto_publish(p, NULL, text("t"), 1, "x", 1, false));
    UNTIL(p, s2.published == 20);
    for (int i = 0; i < 40 && s.messages < 20; i++)
        ok(mosquitto_loop(m, 100, 1));
    must(s.messages == 20 && s.disconnects == 0);
    finish(m, &s);
    finish(p, &s2);
}
