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
    assert_logged("Warning: allow_anonymous 'false' (m.conf): no client can connect");
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
        "Error: listener '18830' (m.conf:2): expected another port or address, an earlier "
        "listener has these.\n");
    assert_refused("listener 18830 localhost\nlistener 0x498e LOCALHOST\n", 1, "(m.conf:2)");
    assert_refused("port 18830\nlistener 18830\n", 1, "Error: port and bind_address (m.conf:1)");
    assert_refused("bind_address ::1\nlistener 1883 ::1\n", 1,
                   "Error: port and bind_address (m.conf:1)");
    conf_free(loaded("listener 18830 ::1\nlistener 18830 127.0.0.1\nlistener 18831 ::1\n"));
}

static void no_connections_means_no_limit(void **state)
{
    struct conf *c = loaded("listener 18830\nmax_connections 0\nallow_anonymous true\n");

    (void)state;
    assert_int_equal(c->listeners[0]->max_connections, -1);
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
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
