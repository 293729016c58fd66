/*
 * Where the broker listens and whom it lets in, by what was said and what was left unsaid.
 */
#include "conf/check.h"

#include "conf_helper.h"

static struct conf *loaded_with(const struct conf_args *args, const char *text)
{
    struct conf *c;

    if (load_args(args, str_c(text), &c) != ERR_OK)
        fail_msg("%s\nwas refused: %s", text, captured.text);
    return c;
}

/* The i-th listener; address NULL = all. */
static void assert_listener(const struct conf *c, size_t i, uint16_t port, const char *address)
{
    assert_true(i < c->listener_count);
    assert_int_equal(c->listeners[i]->port, port);
    if (address)
        assert_string_equal(c->listeners[i]->address, address);
    else
        assert_null(c->listeners[i]->address);
}

static void nothing_said_is_local_only(void **state)
{
    struct conf_args args = {0};
    struct conf *c = loaded_with(&args, "");

    (void)state;
    assert_true(c->local_only);
    assert_true(c->global.security.allow_anonymous);
    assert_int_equal(c->listener_count, 2);
    assert_listener(c, 0, 1883, "127.0.0.1");
    assert_listener(c, 1, 1883, "::1");
    assert_int_equal(captured.used, 0);
    conf_free(c);
}

static void local_only_keeps_options_of_its_listener(void **state)
{
    struct conf *c = loaded("max_connections 7\nmax_qos 1\nmax_queued_messages 3\n");

    (void)state;
    assert_true(c->local_only);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(c->listeners[i]->max_connections, 7);
        assert_int_equal(c->listeners[i]->max_qos, 1);
    }
    assert_int_equal(captured.warnings, 0);
    conf_free(c);
}

/* Of this machine's two addresses the one that it may have. */
static void local_only_obeys_socket_domain(void **state)
{
    static const char *const texts[] = {"socket_domain ipv4\n", "socket_domain ipv6\n"};
    static const char *const addresses[] = {"127.0.0.1", "::1"};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        struct conf *c = loaded(texts[i]);
        assert_true(c->local_only);
        assert_int_equal(c->listener_count, 1);
        assert_string_equal(c->listeners[0]->address, addresses[i]);
        conf_free(c);
    }
}

static void local_only_obeys_allow_anonymous_false(void **state)
{
    struct conf *c = loaded("allow_anonymous false\n");

    (void)state;
    assert_true(c->local_only);
    assert_false(c->global.security.allow_anonymous);
    assert_logged("Warning: allow_anonymous 'false' (m.conf:1): no client can connect");
    conf_free(c);
}

static void ports_of_the_command_line_are_local(void **state)
{
    struct conf_args args = {.ports = {18830, 18831}, .port_count = 2};
    struct conf *c = loaded_with(&args, "max_qos 0\n");

    (void)state;
    assert_true(c->local_only);
    assert_true(c->global.security.allow_anonymous);
    assert_int_equal(c->listener_count, 4);
    assert_listener(c, 0, 18830, "127.0.0.1");
    assert_listener(c, 1, 18830, "::1");
    assert_listener(c, 2, 18831, "127.0.0.1");
    assert_listener(c, 3, 18831, "::1");
    assert_int_equal(c->listeners[3]->max_qos, 0);
    conf_free(c);
}

static void a_port_twice_on_the_command_line(void **state)
{
    struct conf_args args = {.ports = {18830, 18830}, .port_count = 2};
    struct conf *c;

    (void)state;
    assert_int_equal(load_args(&args, STR(""), &c), ERR_INVAL);
    assert_logged("Error: -p (command line): expected each port once.\n");
}

static void a_listener_beats_the_command_line(void **state)
{
    struct conf_args args = {.file = "m.conf", .ports = {18839}, .port_count = 1};
    struct conf *c = loaded_with(&args, "listener 18830\nallow_anonymous true\n");

    (void)state;
    assert_false(c->local_only);
    assert_int_equal(c->listener_count, 1);
    assert_listener(c, 0, 18830, NULL);
    assert_logged("Warning: -p (m.conf): ignored, because the file says where to listen.\n");
    conf_free(c);
    c = loaded_with(&args, "port 18830\nallow_anonymous true\n");
    assert_int_equal(c->listener_count, 1);
    assert_listener(c, 0, 18830, NULL);
    conf_free(c);
}

static void a_listener_shuts_out_the_nameless(void **state)
{
    struct conf *c = loaded("listener 18830\n");

    (void)state;
    assert_false(c->local_only);
    assert_false(c->global.security.allow_anonymous);
    /* Nobody wrote allow_anonymous, so nobody is told of its value. */
    assert_logged(
        "Warning: listener on port 18830 (m.conf:1): no client can connect; expected "
        "password_file, or names that clients prove by TLS (use_identity_as_username), or "
        "'allow_anonymous true'.\n");
    assert_not_logged("'false'");
    conf_free(c);
    c = loaded("listener 18830\nallow_anonymous true\n");
    assert_true(c->global.security.allow_anonymous);
    assert_int_equal(captured.warnings, 0);
    conf_free(c);
}

static void port_and_bind_address_make_the_default_listener(void **state)
{
    struct conf *c = loaded("port 18830\nmax_connections 9\n");

    (void)state;
    assert_false(c->local_only);
    assert_false(c->global.security.allow_anonymous);
    assert_int_equal(c->listener_count, 1);
    assert_listener(c, 0, 18830, NULL);
    assert_int_equal(c->listeners[0]->max_connections, 9);
    conf_free(c);

    c = loaded("bind_address 127.0.0.1\n");
    assert_false(c->local_only);
    assert_listener(c, 0, 1883, "127.0.0.1");
    conf_free(c);
}

static void the_default_listener_beside_others(void **state)
{
    struct conf *c = loaded("max_qos 0\n"
                            "listener 18830\n"
                            "max_qos 1\n"
                            "port 18831\n"
                            "bind_address ::1\n");

    (void)state;
    assert_int_equal(c->listener_count, 2);
    assert_listener(c, 0, 18830, NULL);
    assert_int_equal(c->listeners[0]->max_qos, 1);
    assert_listener(c, 1, 18831, "::1");
    assert_int_equal(c->listeners[1]->max_qos, 0);
    conf_free(c);
}

static void options_before_the_first_listener_have_no_effect(void **state)
{
    struct conf *c = loaded("max_qos 1\nlistener 18830\nallow_anonymous true\n");

    (void)state;
    assert_int_equal(c->listener_count, 1);
    assert_int_equal(c->listeners[0]->max_qos, 2);
    assert_logged(
        "Warning: max_qos (m.conf:1): has no effect: it belongs behind the 'listener' that "
        "it is for.\n");
    assert_int_equal(captured.warnings, 1);
    conf_free(c);
}

static void duplicate_listeners_are_errors(void **state)
{
    (void)state;
    assert_refused(
        "listener 18830\nlistener 18830\n", 1,
        "Error: listener on port 18830 (m.conf:2): expected another port or address, an earlier "
        "listener has these.\n");
    assert_refused("listener 18830 localhost\nlistener 0x498e LOCALHOST\n", 1, "(m.conf:2)");
    assert_refused("port 18830\nlistener 18830\n", 1, "Error: listener on port 18830 (m.conf:1)");
    assert_refused("bind_address ::1\nlistener 1883 ::1\n", 1,
                   "Error: listener on port 1883 of ::1 (m.conf:1)");
    conf_free(loaded("listener 18830 ::1\nlistener 18830 127.0.0.1\nlistener 18831 ::1\n"));
    conf_free(loaded("listener 18830\nsocket_domain ipv4\nlistener 18830\nsocket_domain ipv6\n"));
    conf_free(loaded("listener 18830\nbind_interface eth0\nlistener 18830\nbind_interface eth1\n"));
    assert_refused("listener 18830\nbind_interface a\nlistener 18830\nbind_interface a\n", 1,
                   "(m.conf:3)");
}

static void no_connections_means_no_limit(void **state)
{
    struct conf *c = loaded("listener 18830\nmax_connections 0\nallow_anonymous true\n");

    (void)state;
    assert_int_equal(c->listeners[0]->max_connections, -1);
    conf_free(c);
}

static void no_clients_means_no_limit(void **state)
{
    struct conf *c = loaded("global_max_clients 0\nglobal_max_connections 0\n");

    (void)state;
    assert_int_equal(c->global.global_max_clients, -1);
    assert_int_equal(c->global.global_max_connections, -1);
    conf_free(c);
}

static bool anonymous(const struct conf *c, size_t i)
{
    assert_true(i < c->listener_count);
    return c->listeners[i]->security.allow_anonymous;
}

static void security_is_for_all_listeners(void **state)
{
    struct conf *c = loaded("listener 18830\nallow_anonymous true\nauto_id_prefix x-\n"
                            "listener 18831\nport 18832\n");

    (void)state;
    assert_int_equal(c->listener_count, 3);
    for (size_t i = 0; i < 3; i++) {
        assert_true(anonymous(c, i));
        assert_true(c->listeners[i]->security.allow_zero_length_clientid);
        assert_string_equal(c->listeners[i]->security.auto_id_prefix, "x-");
    }
    conf_free(c);
}

static void each_listener_has_its_own_security(void **state)
{
    struct conf *c = loaded("per_listener_settings true\n"
                            "listener 18830\nallow_anonymous true\nauto_id_prefix x-\n"
                            "listener 18831\nallow_zero_length_clientid false\n");

    (void)state;
    assert_true(c->global.per_listener_settings);
    assert_true(anonymous(c, 0));
    assert_string_equal(c->listeners[0]->security.auto_id_prefix, "x-");
    assert_true(c->listeners[0]->security.allow_zero_length_clientid);
    assert_false(anonymous(c, 1));
    assert_string_equal(c->listeners[1]->security.auto_id_prefix, "auto-");
    assert_false(c->listeners[1]->security.allow_zero_length_clientid);
    assert_logged("Warning: listener on port 18831 (m.conf:5): no client can connect");
    assert_int_equal(captured.warnings, 1);
    conf_free(c);
    /* The same name twice is for two listeners. */
    conf_free(loaded("per_listener_settings 1\nlistener 18830\nauto_id_prefix x\n"
                     "listener 18831\nauto_id_prefix y\n"));
}

/* CVE-2018-20145: what was said of the default listener was not in force there. */
static void the_default_listener_has_its_own_security_too(void **state)
{
    struct conf *c = loaded("per_listener_settings true\nport 18830\nallow_anonymous true\n"
                            "auto_id_prefix d-\nlistener 18831\nallow_anonymous false\n");

    (void)state;
    assert_listener(c, 0, 18831, NULL);
    assert_false(anonymous(c, 0));
    assert_string_equal(c->listeners[0]->security.auto_id_prefix, "auto-");
    assert_listener(c, 1, 18830, NULL);
    assert_true(anonymous(c, 1));
    assert_string_equal(c->listeners[1]->security.auto_id_prefix, "d-");
    conf_free(c);
    c = loaded("per_listener_settings true\nallow_anonymous false\nport 18830\n");
    assert_false(anonymous(c, 0));
    conf_free(c);
}

static void per_listener_settings_come_first(void **state)
{
    (void)state;
    assert_refused("allow_anonymous true\nper_listener_settings true\nlistener 18830\n", 1,
                   "Error: per_listener_settings 'true' (m.conf:2): expected before all options on "
                   "who may connect, but m.conf:1 has one already.\n");
    assert_refused("listener 18830\nauto_id_prefix x\nper_listener_settings 1\n", 1, "(m.conf:3)");
    assert_refused("per_listener_settings true\nlistener 18830\nallow_anonymous false\n"
                   "per_listener_settings false\nallow_anonymous true\n",
                   1, "(m.conf:4): expected before all options on who may connect, but m.conf:3");
    conf_free(loaded("allow_anonymous true\nper_listener_settings false\nlistener 18830\n"));
    conf_free(loaded("per_listener_settings true\nlistener 18830\nallow_anonymous false\n"
                     "per_listener_settings 1\n"));
    conf_free(loaded("listener 18830\nmax_qos 1\nper_listener_settings true\n"));
}

static void security_before_the_first_listener_is_nobodys(void **state)
{
    struct conf *c = loaded("per_listener_settings true\nallow_anonymous true\nlistener 18830\n");

    (void)state;
    assert_false(anonymous(c, 0));
    assert_logged("Warning: allow_anonymous (m.conf:2): has no effect: it belongs behind the "
                  "'listener' that it is for.\n");
    conf_free(c);
}

static void a_listeners_own_word_beats_the_common_one(void **state)
{
    struct conf *c = loaded("allow_anonymous true\nauto_id_prefix all-\n"
                            "listener 18830\nlistener_allow_anonymous false\n"
                            "listener 18831\nlistener_auto_id_prefix own-\nlistener 18832\n");

    (void)state;
    assert_false(anonymous(c, 0));
    assert_true(anonymous(c, 1));
    assert_true(anonymous(c, 2));
    assert_string_equal(c->listeners[0]->security.auto_id_prefix, "all-");
    assert_string_equal(c->listeners[1]->security.auto_id_prefix, "own-");
    assert_string_equal(c->listeners[2]->security.auto_id_prefix, "all-");
    assert_logged("Warning: listener_allow_anonymous 'false' (m.conf:4): no client can connect");
    conf_free(c);
    /* In whatever order, and with settings of its own. */
    c = loaded("per_listener_settings true\nlistener 18830\nlistener_allow_anonymous true\n"
               "allow_anonymous false\n");
    assert_true(anonymous(c, 0));
    conf_free(c);
    c = loaded("listener 18830\nlistener_allow_anonymous true\nallow_anonymous false\n");
    assert_true(anonymous(c, 0));
    assert_int_equal(captured.warnings, 0);
    conf_free(c);
    c = loaded("port 18830\nlistener_allow_anonymous true\nlistener_auto_id_prefix p-\n");
    assert_true(anonymous(c, 0));
    assert_string_equal(c->listeners[0]->security.auto_id_prefix, "p-");
    conf_free(c);
}

static void local_only_obeys_every_false(void **state)
{
    static const char *const texts[] = {
        "allow_anonymous false\n",
        "listener_allow_anonymous false\n",
        "per_listener_settings true\nallow_anonymous false\n",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        struct conf *c = loaded(texts[i]);
        assert_true(c->local_only);
        assert_false(anonymous(c, 0));
        assert_false(anonymous(c, 1));
        assert_int_equal(captured.warnings, 1);
        conf_free(c);
    }
    struct conf *c = loaded("per_listener_settings true\nauto_id_prefix l-\n");
    assert_true(anonymous(c, 0));
    assert_string_equal(c->listeners[1]->security.auto_id_prefix, "l-");
    conf_free(c);
}

static void proxies_without_trust(void **state)
{
    conf_free(loaded("allow_anonymous true\nlistener 18830\nenable_proxy_protocol 1\n"));
    (void)state;
    assert_logged("Warning: enable_proxy_protocol (m.conf:3): any client may claim any address; "
                  "trusted_proxy names those that are believed.\n");
    assert_int_equal(captured.warnings, 1);
    conf_free(loaded("allow_anonymous true\nlistener 18830\ntrusted_proxy ::1\n"));
    assert_logged("Warning: trusted_proxy (m.conf:3): has no effect on a listener without "
                  "enable_proxy_protocol.\n");
    conf_free(loaded("allow_anonymous true\nlistener 18830\nenable_proxy_protocol 1\n"
                     "trusted_proxy ::1\nproxy_protocol_v2_require_tls true\n"));
    assert_logged("Warning: proxy_protocol_v2_require_tls (m.conf:5): has no effect on a listener "
                  "without version 2 of the PROXY protocol.\n");
    conf_free(loaded("allow_anonymous true\nlistener 18830\nenable_proxy_protocol 2\n"
                     "trusted_proxy ::1\nproxy_protocol_v2_require_tls true\n"));
    assert_int_equal(captured.warnings, 0);
    conf_free(loaded("enable_proxy_protocol 2\n"));
    assert_int_equal(captured.warnings, 1);
}

static void a_test_warns_of_what_is_unwise(void **state)
{
    static const struct {
        const char *text, *line;
    } cases[] = {
        {"listener 18830\nallow_anonymous true\n",
         "Warning: listener on port 18830 (m.conf:1): anybody who can reach this machine "},
        {"listener 18830 0.0.0.0\nallow_anonymous true\n",
         "Warning: listener on port 18830 of 0.0.0.0 (m.conf:1): anybody"},
        {"max_queued_messages 0\n",
         "Warning: max_queued_messages '0' (m.conf:1): one absent client can take all memory; "},
        {"log_dest none\n", "Warning: log_dest 'none' (m.conf:1): errors go unseen; "},
        {"log_type none\n", "Warning: log_type 'none' (m.conf:1): errors go unseen; "},
        {"user root\n", "Warning: user 'root' (m.conf:1): a fault in the broker"},
        {"listener 18830 ::1\nallow_anonymous true\nenable_proxy_protocol 2\n",
         "Warning: enable_proxy_protocol (m.conf:3): any client may claim any address; "},
        {"listener 18830 127.0.0.1\nallow_anonymous true\nacl_file /a\n",
         "Warning: listener on port 18830 of 127.0.0.1 (m.conf:1): anybody may take any user "
         "name "},
        {"allow_anonymous true\nacl_file /a\n",
         "Warning: listener on port 1883 of 127.0.0.1 (m.conf): anybody may take any user name "},
        {"listener 18830 192.0.2.1\npassword_file /a\n",
         "Warning: listener on port 18830 of 192.0.2.1 (m.conf:1): passwords cross the network in "
         "clear; certfile and keyfile would encrypt them.\n"},
        {"bind_address ::1\nallow_anonymous true\n",
         "Warning: bind_address '::1' (m.conf:1): deprecated"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        conf_free(tested(cases[i].text));
        assert_logged(cases[i].line);
        assert_int_equal(captured.warnings, 1);
    }
    if (feature_built(FEATURE_PERSISTENCE)) {
        conf_free(tested("persistence true\n"));
        assert_logged("Warning: persistence 'true' (m.conf:1): the store is wherever the broker");
        conf_free(tested("persistence true\npersistence_location /var/lib/mosquitto\n"));
        assert_int_equal(captured.used, 0);
    }
}

static void what_is_wise_is_left_in_peace(void **state)
{
    static const char *const texts[] = {
        "",
        "listener 18830 127.0.0.1\nallow_anonymous true\n",
        "listener 18830 localhost\nallow_anonymous true\n",
        "listener 18830 192.0.2.1\nallow_anonymous true\n",
        "listener 18830\nbind_interface lo\nallow_anonymous true\n",
        "max_queued_messages 0\nmax_queued_bytes 100M\n",
        "log_dest none\nlog_dest stderr\nlog_type none\nlog_type error\n",
        "user mosquitto\n",
        "listener 18830 127.0.0.1\npassword_file /a\nacl_file /b\n",
        "password_file /a\n",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        conf_free(tested(texts[i]));
        assert_string_equal(captured.text, "");
    }
    /* And a start does not talk about it at all. */
    conf_free(loaded("listener 18830\nallow_anonymous true\nmax_queued_messages 0\nuser root\n"));
    assert_string_equal(captured.text, "");
}

static bool is_mqtt(const char *name)
{
    return strcmp(name, "mqtt") == 0;
}

static void a_user_must_be_there(void **state)
{
    struct conf_args args = {.file = "m.conf", .is_user = is_mqtt};
    struct conf *c;

    (void)state;
    conf_free(loaded_with(&args, ""));
    conf_free(loaded_with(&args, "user mqtt\n"));
    assert_int_equal(load_args(&args, STR("\nuser mqt"), &c), ERR_INVAL);
    assert_string_equal(captured.text,
                        "Error: user 'mqt' (m.conf:2): there is no such user; expected one.\n");
}

static void quiet_beats_verbose(void **state)
{
    struct conf_args args = {.file = "m.conf", .verbose = true, .quiet = true};
    struct conf *c = loaded_with(&args, "log_type all\n");

    (void)state;
    assert_int_equal(c->global.log_type, 0);
    conf_free(c);
}

static void verbose_beats_the_file(void **state)
{
    struct conf_args args = {.file = "m.conf", .verbose = true};
    struct conf *c = loaded_with(&args, "log_type none\n");

    (void)state;
    assert_int_equal(c->global.log_type, LOG_LEVEL_ALL);
    conf_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(nothing_said_is_local_only),
        UNIT_TEST(local_only_keeps_options_of_its_listener),
        UNIT_TEST(local_only_obeys_socket_domain),
        UNIT_TEST(local_only_obeys_allow_anonymous_false),
        UNIT_TEST(ports_of_the_command_line_are_local),
        UNIT_TEST(a_port_twice_on_the_command_line),
        UNIT_TEST(a_listener_beats_the_command_line),
        UNIT_TEST(a_listener_shuts_out_the_nameless),
        UNIT_TEST(port_and_bind_address_make_the_default_listener),
        UNIT_TEST(the_default_listener_beside_others),
        UNIT_TEST(options_before_the_first_listener_have_no_effect),
        UNIT_TEST(duplicate_listeners_are_errors),
        UNIT_TEST(no_connections_means_no_limit),
        UNIT_TEST(verbose_beats_the_file),
        UNIT_TEST(no_clients_means_no_limit),
        UNIT_TEST(security_is_for_all_listeners),
        UNIT_TEST(each_listener_has_its_own_security),
        UNIT_TEST(the_default_listener_has_its_own_security_too),
        UNIT_TEST(per_listener_settings_come_first),
        UNIT_TEST(security_before_the_first_listener_is_nobodys),
        UNIT_TEST(a_listeners_own_word_beats_the_common_one),
        UNIT_TEST(local_only_obeys_every_false),
        UNIT_TEST(proxies_without_trust),
        UNIT_TEST(a_test_warns_of_what_is_unwise),
        UNIT_TEST(what_is_wise_is_left_in_peace),
        UNIT_TEST(quiet_beats_verbose),
        UNIT_TEST(a_user_must_be_there),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
