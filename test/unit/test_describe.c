/*
 * Listeners in words.
 */
#include "conf/describe.h"

#include "conf_helper.h"

static void assert_described(const char *text, size_t i, const char *expected)
{
    struct conf *c = loaded(text);
    char out[CONF_DESCRIPTION_MAX];

    assert_true(i < c->listener_count);
    conf_describe_listener(c, c->listeners[i], out, sizeof(out));
    assert_string_equal(out, expected);
    /* Cut, never overrun. */
    for (size_t cap = 1; cap < 120; cap++) {
        conf_describe_listener(c, c->listeners[i], out, cap);
        assert_true(strlen(out) < cap);
    }
    conf_free(c);
}

static void who_can_reach_it(void **state)
{
    (void)state;
    assert_described("listener 18830\nallow_anonymous true\n", 0,
                     "Listener on port 18830 (m.conf:1): reachable from everywhere, plain MQTT, "
                     "anonymous clients allowed.");
    assert_described("\nlistener 18830 ::\nsocket_domain ipv6\n", 0,
                     "Listener on port 18830 of :: (m.conf:2): reachable from everywhere by IPv6, "
                     "plain MQTT, anonymous clients refused.");
    assert_described("listener 18830 localhost\n", 0,
                     "Listener on port 18830 of localhost (m.conf:1): reachable from this machine "
                     "only, plain MQTT, anonymous clients refused.");
    assert_described("listener 18830 192.0.2.1\n", 0,
                     "Listener on port 18830 of 192.0.2.1 (m.conf:1): reachable through this "
                     "address, plain MQTT, anonymous clients refused.");
    assert_described("listener 18830\nbind_interface eth0\n", 0,
                     "Listener on port 18830 (m.conf:1): reachable through the interface eth0, "
                     "plain MQTT, anonymous clients refused.");
    assert_described("", 1,
                     "Listener on port 1883 of ::1 (no listener is configured): reachable from "
                     "this machine only, plain MQTT, anonymous clients allowed.");
    if (feature_built(FEATURE_UNIX_SOCKETS))
        assert_described("listener 0 /run/m.sock\n", 0,
                         "Listener on /run/m.sock (m.conf:1): reachable from this machine only, "
                         "plain MQTT, anonymous clients refused.");
}

static void and_how(void **state)
{
    (void)state;
    assert_described("listener 18830\nenable_proxy_protocol 1\ntrusted_proxy ::1\n", 0,
                     "Listener on port 18830 (m.conf:1): reachable from everywhere, behind proxies "
                     "(PROXY protocol version 1) from 1 trusted network, plain MQTT, anonymous "
                     "clients refused.");
    assert_described("listener 18830\nenable_proxy_protocol true\ntrusted_proxy ::1 10.0.0.0/8\n",
                     0,
                     "Listener on port 18830 (m.conf:1): reachable from everywhere, behind proxies "
                     "(PROXY protocol) from 2 trusted networks, plain MQTT, anonymous clients "
                     "refused.");
    assert_described("listener 18830\nenable_proxy_protocol 2\n", 0,
                     "Listener on port 18830 (m.conf:1): reachable from everywhere, behind proxies "
                     "(PROXY protocol version 2) that anybody may claim to be, plain MQTT, "
                     "anonymous clients refused.");
    assert_described("listener 18830\naccept_protocol_versions 4\nmount_point a b/\n"
                     "max_connections 5\n",
                     0,
                     "Listener on port 18830 (m.conf:1): reachable from everywhere, plain MQTT "
                     "3.1.1 only, mounted at 'a b/', 5 connections at most, anonymous clients "
                     "refused.");
    assert_described("listener 18830\naccept_protocol_versions 3\n", 0,
                     "Listener on port 18830 (m.conf:1): reachable from everywhere, plain MQTT 3.1 "
                     "only, anonymous clients refused.");
    assert_described("listener 18830\naccept_protocol_versions 5\n", 0,
                     "Listener on port 18830 (m.conf:1): reachable from everywhere, no version of "
                     "MQTT that is served, anonymous clients refused.");
}

#define HERE "Listener on port 18830 (m.conf:1): reachable from everywhere, "
#define PAIR "certfile /c\nkeyfile /k\n"

static void who_is_asked_for_what(void **state)
{
    (void)state;
    assert_described("listener 18830\npassword_file /etc/pw\nacl_file /etc/acl\n", 0,
                     HERE "plain MQTT, users of /etc/pw, rights of /etc/acl, anonymous clients "
                          "refused.");
    assert_described("listener 18830\nallow_anonymous true\nmount_point a/\npassword_file /p q\n",
                     0,
                     HERE "plain MQTT, mounted at 'a/', users of /p q, anonymous clients "
                          "allowed.");
    assert_described("per_listener_settings true\nlistener 18830\npassword_file /p\n"
                     "listener 18831\nallow_anonymous true\n",
                     1,
                     "Listener on port 18831 (m.conf:4): reachable from everywhere, plain MQTT, "
                     "anonymous clients allowed.");
}

static void by_tls(void **state)
{
    (void)state;
    if (!feature_built(FEATURE_TLS_PSK))
        skip();
    assert_described("listener 18830\npassword_file /p\n" PAIR, 0,
                     HERE "MQTT by TLS, users of /p, anonymous clients refused.");
    assert_described("listener 18830\nallow_anonymous true\ncafile /a\nrequire_certificate true\n"
                     "accept_protocol_versions 4\n" PAIR,
                     0,
                     HERE "MQTT 3.1.1 only by TLS, client certificates required, anonymous clients "
                          "allowed.");
    /* Names are proven: nobody is asked for a password, and nobody is without a name. */
    assert_described("listener 18830\nallow_anonymous true\ncafile /a\nrequire_certificate true\n"
                     "use_identity_as_username true\npassword_file /p\n" PAIR,
                     0,
                     HERE "MQTT by TLS, client certificates required, user names by certificate "
                          "(common name), anonymous clients refused.");
    assert_described("listener 18830\ncafile /a\nuse_subject_as_username true\n" PAIR, 0,
                     HERE "MQTT by TLS, user names by certificate (subject), anonymous clients "
                          "refused.");
    assert_described("listener 18830\npsk_file /p\npsk_hint h\nuse_identity_as_username true\n", 0,
                     HERE "MQTT by TLS with pre-shared keys, user names by key, anonymous clients "
                          "refused.");
    assert_described("listener 18830\npsk_file /p\npsk_hint h\nallow_anonymous true\n", 0,
                     HERE "MQTT by TLS with pre-shared keys, anonymous clients allowed.");
}

static void reach(void **state)
{
    static const struct {
        const char *address, *interface;
        enum reach reach;
    } cases[] = {
        {NULL, NULL, REACH_ALL},
        {"0.0.0.0", NULL, REACH_ALL},
        {"::", NULL, REACH_ALL},
        {"127.0.0.1", NULL, REACH_MACHINE},
        {"127.9.9.9", NULL, REACH_MACHINE},
        {"::1", NULL, REACH_MACHINE},
        {"::ffff:127.0.0.1", NULL, REACH_MACHINE},
        {"LocalHost", NULL, REACH_MACHINE},
        {"127.0.0.1.example.org", NULL, REACH_ADDRESS},
        {"192.0.2.1", NULL, REACH_ADDRESS},
        {"broker.example", NULL, REACH_ADDRESS},
        {NULL, "lo", REACH_MACHINE},
        {NULL, "eth0", REACH_ADDRESS},
        {"0.0.0.0", "eth0", REACH_ADDRESS},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct conf_listener l = {.port = 1883,
                                  .address = (char *)cases[i].address,
                                  .bind_interface = (char *)cases[i].interface};
        if (describe_reach(&l) != cases[i].reach)
            fail_msg("%s %s", cases[i].address, cases[i].interface);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(who_can_reach_it), UNIT_TEST(and_how), UNIT_TEST(who_is_asked_for_what),
        UNIT_TEST(by_tls),           UNIT_TEST(reach),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
