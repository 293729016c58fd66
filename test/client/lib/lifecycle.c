/*
 * Birth and death of clients, and what stands around them.
 */
#include "program.h"

CASE(version_is_of_api_2_0)
{
    int major = -1, minor = -1, revision = -1;

    int number = mosquitto_lib_version(&major, &minor, &revision);
    must(major == 2 && minor == 0);
    must(number == LIBMOSQUITTO_VERSION_NUMBER ||
         number / 1000 == LIBMOSQUITTO_VERSION_NUMBER / 1000);
    mosquitto_lib_version(NULL, NULL, NULL);
}

CASE(init_may_be_called_again)
{
    ok(mosquitto_lib_init());
    ok(mosquitto_lib_init());
    ok(mosquitto_lib_cleanup());
    struct mosquitto *m = mosquitto_new(NULL, true, NULL);
    must(m);
    mosquitto_destroy(m);
}

CASE(new_wants_an_id_for_a_lasting_session)
{
    errno = 0;
    must(!mosquitto_new(NULL, false, NULL));
    must(errno == EINVAL);
    mosquitto_destroy(NULL);
}

CASE(userdata_is_kept)
{
    int one = 1, two = 2;
    struct mosquitto *m = mosquitto_new("x", true, &one);

    must(mosquitto_userdata(m) == &one);
    mosquitto_user_data_set(m, &two);
    must(mosquitto_userdata(m) == &two);
    mosquitto_user_data_set(m, NULL);
    must(!mosquitto_userdata(m));
    mosquitto_destroy(m);
}

OURS(calls_without_a_client_are_refused)
{
    int mid;

    gives(mosquitto_connect(NULL, HOST, port, 60), MOSQ_ERR_INVAL);
    gives(mosquitto_connect_async(NULL, HOST, port, 60), MOSQ_ERR_INVAL);
    gives(mosquitto_reconnect(NULL), MOSQ_ERR_INVAL);
    gives(mosquitto_disconnect(NULL), MOSQ_ERR_INVAL);
    gives(mosquitto_publish(NULL, &mid, "t", 0, NULL, 0, false), MOSQ_ERR_INVAL);
    gives(mosquitto_subscribe(NULL, &mid, "t", 0), MOSQ_ERR_INVAL);
    gives(mosquitto_unsubscribe(NULL, &mid, "t"), MOSQ_ERR_INVAL);
    gives(mosquitto_loop(NULL, 0, 1), MOSQ_ERR_INVAL);
    gives(mosquitto_loop_read(NULL, 1), MOSQ_ERR_INVAL);
    gives(mosquitto_loop_write(NULL, 1), MOSQ_ERR_INVAL);
    gives(mosquitto_loop_misc(NULL), MOSQ_ERR_INVAL);
    gives(mosquitto_loop_start(NULL), MOSQ_ERR_INVAL);
    gives(mosquitto_loop_stop(NULL, true), MOSQ_ERR_INVAL);
    gives(mosquitto_will_set(NULL, "t", 0, NULL, 0, false), MOSQ_ERR_INVAL);
    gives(mosquitto_will_clear(NULL), MOSQ_ERR_INVAL);
    gives(mosquitto_username_pw_set(NULL, "u", "p"), MOSQ_ERR_INVAL);
    gives(mosquitto_reinitialise(NULL, "x", true, NULL), MOSQ_ERR_INVAL);
    must(mosquitto_socket(NULL) == -1);
    must(!mosquitto_userdata(NULL));
}

CASE(calls_before_the_first_connect)
{
    struct mosquitto *m = mosquitto_new("x", true, NULL);

    must(mosquitto_socket(m) == -1);
    must(!mosquitto_want_write(m));
    gives(mosquitto_disconnect(m), MOSQ_ERR_NO_CONN);
    gives(mosquitto_loop(m, 0, 1), MOSQ_ERR_NO_CONN);
    gives(mosquitto_loop_misc(m), MOSQ_ERR_NO_CONN);
    gives(mosquitto_subscribe(m, NULL, "t", 0), MOSQ_ERR_NO_CONN);
    gives(mosquitto_unsubscribe(m, NULL, "t"), MOSQ_ERR_NO_CONN);
    gives(mosquitto_publish(m, NULL, "t", 0, NULL, 0, false), MOSQ_ERR_NO_CONN);
    gives(mosquitto_reconnect(m), MOSQ_ERR_INVAL); /* no host is known */
    gives(mosquitto_loop_stop(m, false), MOSQ_ERR_INVAL);
    mosquitto_destroy(m);
}

CASE(reinitialise_makes_another_client)
{
    struct seen first = {0}, second = {0};
    struct mosquitto *m = online("a", true, &first);

    ok(mosquitto_publish(m, NULL, text("t"), 1, "x", 1, false));
    ok(mosquitto_reinitialise(m, text("b"), true, &second));
    must(mosquitto_userdata(m) == &second);
    must(mosquitto_socket(m) == -1);
    mosquitto_connect_callback_set(m, on_connect);
    ok(mosquitto_connect(m, HOST, port, 60));
    UNTIL(m, second.connects == 1);
    must(first.connects == 1);
    mosquitto_destroy(m);
}

/* --- destroy in every state --- */

CASE(destroy_after_connect)
{
    struct seen s = {0};
    unsigned before = descriptors();
    struct mosquitto *m = client("a", true, &s);

    ok(mosquitto_connect(m, HOST, port, 60));
    mosquitto_destroy(m);
    m = client("a", true, &s);
    ok(mosquitto_connect_async(m, HOST, port, 60));
    mosquitto_destroy(m);
    m = online("b", true, &s);
    mosquitto_destroy(m);
    must(descriptors() == before);
}

OURS(destroy_with_messages_that_wait)
{
    struct seen s = {0};
    struct mosquitto *m = client("a", true, &s);

    for (int i = 0; i < 100; i++)
        ok(mosquitto_publish(m, NULL, text("t"), 1 + i % 2, "x", 1, false));
    mosquitto_destroy(m);
    m = online("b", true, &s);
    for (int i = 0; i < 100; i++)
        ok(mosquitto_publish(m, NULL, text("t"), i % 3, "x", 1, false));
    mosquitto_destroy(m);
}

CASE(destroy_after_a_thread)
{
    struct seen s = {0};
    unsigned before = descriptors();

    for (int i = 0; i < 20; i++) {
        struct mosquitto *m = client("a", true, &s);
        ok(mosquitto_connect_async(m, HOST, port, 60));
        ok(mosquitto_loop_start(m));
        if (i % 2)
            AWAIT(s.connects > i / 2);
        ok(mosquitto_loop_stop(m, true));
        mosquitto_destroy(m);
    }
    must(descriptors() == before);
}

CASE(destroy_while_the_thread_runs)
{
    struct seen s = {0};

    for (int i = 0; i < 20; i++) {
        struct mosquitto *m = client("a", true, &s);
        int before = s.connects;
        ok(mosquitto_connect(m, HOST, port, 60));
        ok(mosquitto_loop_start(m));
        if (i % 2)
            AWAIT(s.connects > before);
        mosquitto_destroy(m);
    }
}

CASE(destroy_after_the_broker_is_gone)
{
    struct seen s = {0}, t = {0};
    struct mosquitto *m = online("a", true, &s);
    struct mosquitto *thief = online("a", true, &t); /* the same id: the first is sent away */

    UNTIL(m, s.disconnects == 1);
    must(s.disconnect_rc != 0);
    mosquitto_destroy(m);
    finish(thief, &t);
}

/* --- the process around it --- */

OURS(a_thousand_clients)
{
    static struct mosquitto *all[1000];
    struct rlimit lim;

    getrlimit(RLIMIT_NOFILE, &lim);
    lim.rlim_cur = lim.rlim_max;
    setrlimit(RLIMIT_NOFILE, &lim);
    unsigned before = descriptors();
    for (int i = 0; i < 1000; i++) {
        char id[100];
        (void)snprintf(id, sizeof(id), "%s-%d", name, i);
        all[i] = mosquitto_new(id, true, NULL);
        must(all[i]);
        ok(mosquitto_connect(all[i], HOST, port, 60));
    }
    for (int i = 0; i < 1000; i++)
        ok(mosquitto_publish(all[i], NULL, text("t"), 1, "x", 1, false));
    for (int round = 0; round < 3; round++)
        for (int i = 0; i < 1000; i++)
            ok(mosquitto_loop(all[i], 0, 1));
    for (int i = 0; i < 1000; i++)
        mosquitto_destroy(all[i]);
    must(descriptors() == before);
}

OURS(a_child_gets_no_descriptors)
{
    struct seen s = {0}, t = {0};
    struct mosquitto *m = online("a", true, &s);
    struct mosquitto *threaded = client("b", true, &t);

    ok(mosquitto_connect(threaded, HOST, port, 60));
    ok(mosquitto_loop_start(threaded));
    AWAIT(t.connects == 1);
    /* Only 0, 1, 2 and the directory that ls itself reads. */
    must(system("test \"$(ls /proc/self/fd | wc -l)\" -le 4") == 0);
    ok(mosquitto_disconnect(threaded));
    ok(mosquitto_loop_stop(threaded, false));
    mosquitto_destroy(threaded);
    finish(m, &s);
}

static _Atomic int alarms;

static void on_alarm(int number)
{
    (void)number;
    alarms++;
}

/* What signals did before any call of the library: a sanitizer has handlers of its own. */
static struct sigaction at_birth[32];

__attribute__((constructor)) static void remember_signals(void)
{
    for (int number = 1; number < 32; number++)
        sigaction(number, NULL, &at_birth[number]);
}

OURS(signals_stay_the_programs)
{
    struct seen s = {0};
    struct sigaction mine = {.sa_handler = on_alarm}, found;

    sigaction(SIGALRM, &mine, NULL);
    struct mosquitto *m = online("a", true, &s);
    ok(mosquitto_loop_start(m));
    for (int number = 1; number < 32; number++) {
        sigaction(number, NULL, &found);
        must(found.sa_handler == (number == SIGALRM ? on_alarm : at_birth[number].sa_handler));
    }
    pthread_t self = pthread_self();
    pthread_kill(self, SIGALRM);
    must(alarms == 1);
    kill(getpid(), SIGALRM); /* this thread takes it: the library's does not */
    AWAIT(alarms == 2);
    ok(mosquitto_disconnect(m));
    ok(mosquitto_loop_stop(m, false));
    mosquitto_destroy(m);
}

/* A loop that is interrupted by a signal goes on. */
CASE(a_signal_does_not_end_the_loop)
{
    struct seen s = {0};
    struct sigaction mine = {.sa_handler = on_alarm};

    sigaction(SIGALRM, &mine, NULL);
    struct mosquitto *m = online("a", true, &s);
    alarm(1);
    int64_t begun = now_ms();
    while (alarms == 0 && now_ms() < begun + 5000)
        ok(mosquitto_loop(m, 3000, 1));
    must(alarms == 1);
    finish(m, &s);
}
