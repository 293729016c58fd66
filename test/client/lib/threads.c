/*
 * Many threads and one library: whatever they do at the same time, nothing races and nothing hangs.
 */
#include "program.h"

#define THREADS 4

static _Atomic bool stop;
static struct mosquitto *shared;
static struct seen shared_seen, other_seen;

static void spread(void *(*run)(void *), pthread_t t[THREADS])
{
    for (intptr_t i = 0; i < THREADS; i++)
        must(pthread_create(&t[i], NULL, run, (void *)i) == 0);
}

static void gather(pthread_t t[THREADS])
{
    for (int i = 0; i < THREADS; i++)
        must(pthread_join(t[i], NULL) == 0);
}

/* Callbacks that touch nothing but atomics, for clients that several threads wait for. */
static void count_message(struct mosquitto *m, void *ud, const struct mosquitto_message *msg)
{
    struct seen *s = ud;

    (void)m;
    must(msg->topic[0]);
    s->messages++;
}

static struct mosquitto *threaded(const char *id, bool clean, struct seen *s)
{
    struct mosquitto *m = client(id, clean, s);

    mosquitto_message_callback_set(m, count_message);
    ok(mosquitto_reconnect_delay_set(m, 1, 1, false));
    ok(mosquitto_connect(m, HOST, port, 60));
    ok(mosquitto_loop_start(m));
    AWAIT(s->connects > 0);
    return m;
}

static void end(struct mosquitto *m)
{
    (void)mosquitto_disconnect(m);
    ok(mosquitto_loop_stop(m, false));
    mosquitto_destroy(m);
}

static void *publishes_50(void *arg)
{
    char p[16];

    for (int i = 0; i < 50; i++) {
        int mid = 0;
        int n = snprintf(p, sizeof(p), "%d %d", (int)(intptr_t)arg, i);
        ok(mosquitto_publish(shared, &mid, text("t"), n, p, i % 3, false));
        must(mid > 0);
    }
    return NULL;
}

CASE(publishers_share_a_client)
{
    pthread_t t[THREADS];
    struct mosquitto *sub = threaded("s", true, &other_seen);

    ok(mosquitto_subscribe(sub, NULL, text("t"), 2));
    AWAIT(other_seen.subscribed == 1);
    shared = threaded("a", true, &shared_seen);
    spread(publishes_50, t);
    gather(t);
    AWAIT(shared_seen.published == 50 * THREADS && other_seen.messages == 50 * THREADS);
    end(shared);
    end(sub);
}

/* The same with a loop that is the program's own. */
static void *runs_for_ever(void *m)
{
    must(mosquitto_loop_forever(m, 1000, 1) == 0);
    return NULL;
}

CASE(publishers_and_a_loop_of_the_programs)
{
    pthread_t t[THREADS], loop;

    shared = client("a", true, &shared_seen);
    ok(mosquitto_threaded_set(shared, true));
    ok(mosquitto_connect(shared, HOST, port, 60));
    must(pthread_create(&loop, NULL, runs_for_ever, shared) == 0);
    spread(publishes_50, t);
    gather(t);
    AWAIT(shared_seen.published == 50 * THREADS);
    ok(mosquitto_disconnect(shared));
    must(pthread_join(loop, NULL) == 0);
    mosquitto_destroy(shared);
}

static void *asks_until_stopped(void *arg)
{
    while (!stop) {
        switch ((intptr_t)arg) {
        case 0:
            (void)mosquitto_publish(shared, NULL, text("t"), 1, "x", 1, false);
            break;
        case 1:
            (void)mosquitto_publish(shared, NULL, text("t"), 1, "x", 2, false);
            (void)mosquitto_publish(shared, NULL, text("t"), 1, "x", 0, false);
            break;
        case 2:
            (void)mosquitto_subscribe(shared, NULL, text("t"), 2);
            (void)mosquitto_unsubscribe(shared, NULL, text("t"));
            break;
        default:
            (void)mosquitto_socket(shared);
            (void)mosquitto_want_write(shared);
            mosquitto_user_data_set(shared, &shared_seen);
            mosquitto_publish_callback_set(shared, on_publish);
            mosquitto_log_callback_set(shared, NULL);
            (void)mosquitto_max_inflight_messages_set(shared, 5);
            (void)mosquitto_will_set(shared, "w", 1, "x", 0, false);
        }
        usleep(200);
    }
    return NULL;
}

CASE(reconnects_meanwhile)
{
    pthread_t t[THREADS];

    shared = threaded("keep", false, &shared_seen);
    spread(asks_until_stopped, t);
    for (int i = 0; i < 15; i++) {
        int before = shared_seen.connects;
        ok(mosquitto_reconnect(shared));
        AWAIT(shared_seen.connects > before);
    }
    for (int i = 0; i < 15; i++) {
        int before = shared_seen.connects;
        ok(mosquitto_reconnect_async(shared));
        AWAIT(shared_seen.connects > before);
    }
    stop = true;
    gather(t);
    end(shared);
}

CASE(disconnects_meanwhile)
{
    pthread_t t[THREADS];

    shared = threaded("keep", false, &shared_seen);
    spread(asks_until_stopped, t);
    for (int i = 0; i < 15; i++) {
        int before = shared_seen.connects;
        int rc = mosquitto_disconnect(shared);
        must(rc == MOSQ_ERR_SUCCESS || rc == MOSQ_ERR_NO_CONN);
        ok(mosquitto_loop_stop(shared, i % 2));
        ok(mosquitto_reconnect_async(shared));
        ok(mosquitto_loop_start(shared));
        AWAIT(shared_seen.connects > before);
    }
    stop = true;
    gather(t);
    end(shared);
}

/* Somebody with the same id throws it out, again and again. */
CASE(losses_meanwhile)
{
    pthread_t t[THREADS];

    shared = threaded("keep", false, &shared_seen);
    spread(asks_until_stopped, t);
    for (int i = 0; i < 3; i++) {
        struct seen s = {0};
        int before = shared_seen.connects;
        struct mosquitto *thief = client("keep", false, &s);
        ok(mosquitto_connect(thief, HOST, port, 60));
        UNTIL(thief, s.connects == 1);
        AWAIT(shared_seen.connects > before);
        mosquitto_destroy(thief);
    }
    stop = true;
    gather(t);
    end(shared);
}

/* Each thread with clients of its own. */
static void *lives(void *arg)
{
    for (int i = 0; i < 12; i++) {
        struct seen s = {0};
        char id[8];
        (void)snprintf(id, sizeof(id), "l%d", (int)(intptr_t)arg);
        struct mosquitto *m = client(id, true, &s);
        if (i % 2)
            ok(mosquitto_connect_async(m, HOST, port, 60));
        else
            ok(mosquitto_connect(m, HOST, port, 60));
        ok(mosquitto_loop_start(m));
        if (i % 3)
            AWAIT(s.connects == 1);
        (void)mosquitto_publish(m, NULL, text("t"), 1, "x", i % 3, false);
        if (i % 4 == 0)
            (void)mosquitto_disconnect(m);
        if (i % 5)
            ok(mosquitto_loop_stop(m, true));
        mosquitto_destroy(m);
    }
    return NULL;
}

CASE(clients_are_born_and_die)
{
    pthread_t t[THREADS];

    spread(lives, t);
    gather(t);
}

/* Callbacks that publish, while others publish too. */
static void echo(struct mosquitto *m, void *ud, const struct mosquitto_message *msg)
{
    struct seen *s = ud;

    if (++s->messages < 200)
        ok(mosquitto_publish(m, NULL, msg->topic, msg->payloadlen, msg->payload, 1, false));
}

CASE(callbacks_publish_meanwhile)
{
    pthread_t t[THREADS];

    shared = threaded("a", true, &shared_seen);
    mosquitto_message_callback_set(shared, echo);
    ok(mosquitto_subscribe(shared, NULL, text("t"), 2));
    AWAIT(shared_seen.subscribed == 1);
    spread(publishes_50, t);
    gather(t);
    AWAIT(shared_seen.messages >= 200);
    end(shared);
}

/* loop_stop from two threads, and from a callback, does not hang. */
static void stops_itself(struct mosquitto *m, void *ud, int mid)
{
    on_publish(m, ud, mid);
    (void)mosquitto_loop_stop(m, true);
}

CASE(loop_stop_in_a_callback_does_not_hang)
{
    shared = threaded("a", true, &shared_seen);
    mosquitto_publish_callback_set(shared, stops_itself);
    ok(mosquitto_publish(shared, NULL, text("t"), 1, "x", 1, false));
    AWAIT(shared_seen.published == 1);
    (void)mosquitto_loop_stop(shared, true);
    mosquitto_destroy(shared);
}

SCRIPTED(there_are_no_threads)
{
    struct seen s = {0};
    struct mosquitto *m = online("a", true, &s);

    gives(mosquitto_loop_start(m), MOSQ_ERR_NOT_SUPPORTED);
    gives(mosquitto_loop_stop(m, true), MOSQ_ERR_NOT_SUPPORTED);
    ok(mosquitto_publish(m, NULL, text("t"), 1, "x", 2, false));
    UNTIL(m, s.published == 1);
    finish(m, &s);
}

/* Whoever ends the thread by force has said good-bye before: that is heard, and what came before
 * it. */
CASE(a_forced_end_lets_the_disconnect_through)
{
    struct seen s = {0}, s2 = {0};
    struct mosquitto *m = client("a", true, &s), *w = online("w", true, &s2);

    subscribe(w, &s2, text("#"), 0);
    ok(mosquitto_will_set(m, text("will"), 1, "w", 0, false));
    ok(mosquitto_connect(m, HOST, port, 60));
    ok(mosquitto_loop_start(m));
    AWAIT(s.connects == 1);
    ok(mosquitto_publish(m, NULL, text("last"), 1, "l", 0, false));
    ok(mosquitto_disconnect(m));
    ok(mosquitto_loop_stop(m, true));
    must(s.disconnects == 1 && s.disconnect_rc == 0);
    mosquitto_destroy(m);
    ok(mosquitto_publish(w, NULL, text("end"), 0, NULL, 0, false));
    UNTIL(w, strcmp(s2.topic, text("end")) == 0);
    must(s2.messages == 2);
    finish(w, &s2);
}
