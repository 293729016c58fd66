/*
 * Lines as people write them, and what is said about the wrong ones.
 */
#include "conf/parse.h"

#include "conf_helper.h"

#include <stdlib.h>

static void comments_and_blanks(void **state)
{
    struct conf *c = loaded("# a comment\n"
                            "\n"
                            " \t \n"
                            "#max_queued_messages x\n"
                            "max_queued_messages 5\n"
                            "#");

    (void)state;
    assert_int_equal(c->global.max_queued_messages, 5);
    assert_int_equal(captured.warnings, 0);
    conf_free(c);
}

static void a_comment_begins_in_the_first_column(void **state)
{
    (void)state;
    assert_refused(
        " # indented\n", 1,
        "Error: Unknown configuration variable '#' (m.conf:1): a comment begins with # as "
        "the first character of its line.\n");
}

static void comments_behind_a_listener(void **state)
{
    struct conf *c =
        loaded("allow_anonymous true\nlistener 18830 #all\nlistener 18831 ::1 # one\n");

    (void)state;
    assert_int_equal(c->listener_count, 2);
    assert_null(c->listeners[0]->address);
    assert_string_equal(c->listeners[1]->address, "::1");
    conf_free(c);
}

static void line_ends_tabs_and_trailing_blanks(void **state)
{
    struct conf *c = loaded("\xEF\xBB\xBF"
                            "max_queued_messages\t5\r\n"
                            "  max_keepalive   60 \t \r\n"
                            "\r\n"
                            "# comment\r\n"
                            "\tlog_dest file /tmp/a b \r\n"
                            "auto_id_prefix  x-y ");

    (void)state;
    assert_int_equal(c->global.max_queued_messages, 5);
    assert_int_equal(c->global.max_keepalive, 60);
    assert_string_equal(c->global.log_file, "/tmp/a b");
    assert_string_equal(c->global.security.auto_id_prefix, "x-y");
    assert_int_equal(captured.errors + captured.warnings, 0);
    conf_free(c);
}

static void a_byte_order_mark_before_a_comment(void **state)
{
    (void)state;
    conf_free(loaded("\xEF\xBB\xBF# comment\n"));
    conf_free(loaded("\xEF\xBB\xBF"));
}

static void utf16_is_one_error(void **state)
{
    struct conf_args args = {.file = "m.conf", .test = true};
    struct conf *c;

    (void)state;
    assert_int_equal(load_args(&args, STR("\xFF\xFEp\0o\0r\0t\0\n\0"), &c), ERR_INVAL);
    assert_logged("Error: UTF-16 (m.conf): expected a file in UTF-8.\n");
    assert_int_equal(captured.errors, 1);
}

static void nul_bytes_are_errors(void **state)
{
    struct conf_args args = {.file = "m.conf", .test = true};
    struct conf *c;

    (void)state;
    assert_int_equal(load_args(&args, STR("max_qos 1\0\nmax_keepalive 1\n\0# \n#\0"), &c),
                     ERR_INVAL);
    assert_logged("Error: NUL byte (m.conf:1): expected text.\n");
    assert_logged("Error: NUL byte (m.conf:3): expected text.\n");
    assert_logged("Error: NUL byte (m.conf:4): expected text.\n");
    assert_int_equal(captured.errors, 3);
}

static void lines_of_a_megabyte(void **state)
{
    const size_t n = 1 << 20;
    char *text = malloc(n + 32);
    struct conf_args args = {.file = "m.conf"};
    struct conf *c;

    (void)state;
    assert_non_null(text);
    memset(text, 'x', n + 32);
    text[0] = '#';
    memcpy(text + n, "\nmax_keepalive 7", 16);
    assert_int_equal(load_args(&args, str_of(text, n + 16), &c), ERR_OK);
    assert_int_equal(c->global.max_keepalive, 7);
    conf_free(c);
    text[0] = 'x';
    assert_int_equal(load_args(&args, str_of(text, n), &c), ERR_INVAL);
    assert_logged("...' (m.conf:1): mosquitto.conf(5) lists all that are known.\n");
    memcpy(text, "auto_id_prefix ", 15);
    assert_int_equal(load_args(&args, str_of(text, n), &c), ERR_INVAL);
    assert_logged("...' (m.conf:1): expected 1 to 50 bytes of UTF-8");
    free(text);
}

static void a_wrong_value_says_what_would_be_right(void **state)
{
    (void)state;
    assert_refused("\nmax_qos 3\n", 1,
                   "Error: max_qos '3' (m.conf:2): expected a number from 0 to 2.\n");
    assert_refused("maximum_qos x", 1,
                   "Error: maximum_qos 'x' (m.conf:1): expected a number from 0 to 2.\n");
    assert_refused("allow_anonymous yes", 1,
                   "Error: allow_anonymous 'yes' (m.conf:1): expected true or false.\n");
    assert_refused("max_keepalive\n", 1,
                   "Error: max_keepalive without a value (m.conf:1): expected a number of seconds "
                   "from 0 to 65535.\n");
    assert_refused("log_dest printer", 1,
                   "expected one of 'stderr' 'stdout' 'file PATH' 'syslog' 'topic' 'none'.\n");
    assert_refused("listener 1883 a b", 1,
                   "Error: listener '1883 a b' (m.conf:1): expected a port from 1 to 65535 and, if "
                   "not all, an address; or 0 and the path of a Unix socket of at most 107 "
                   "bytes.\n");
    assert_refused("max_qos \x1b[2J\xff", 1, "Error: max_qos '\\x1b[2J\\xff' (m.conf:1)");
}

static void an_unknown_name_says_the_nearest(void **state)
{
    (void)state;
    assert_refused("foo", 1, "Error: Unknown configuration variable 'foo' (m.conf:1): ");
    assert_refused(
        "max_conections 5", 1,
        "Error: Unknown configuration variable 'max_conections' (m.conf:1): did you mean "
        "'max_connections'?\n");
    assert_refused("zzzzzzzz 5", 1, "mosquitto.conf(5) lists all that are known.\n");
}

/* It may be a password. */
static void an_unknown_name_hides_its_value(void **state)
{
    struct conf *c;

    (void)state;
    assert_int_equal(
        load_test("remote_pasword hunter2\nremote_password hunter2\nplugin hunter2\n", &c),
        ERR_INVAL);
    assert_int_equal(captured.errors, 3);
    assert_not_logged("hunter2");
}

static const char many_wrong_lines[] = "max_qos 3\n"
                                       "foo 1\n"
                                       "listener x\n"
                                       "max_keepalive 1\n"
                                       "allow_anonymous maybe\n"
                                       "plugin /usr/lib/x.so\n"
                                       "bar";

/* One message: what comes after it might be caused by the same mistake. */
static void a_start_ends_at_the_first_wrong_line(void **state)
{
    struct conf *c;

    (void)state;
    assert_int_equal(load(many_wrong_lines, &c), ERR_INVAL);
    assert_null(c);
    assert_string_equal(captured.text, "Error: max_qos '3' (m.conf:1): expected a number from 0 to "
                                       "2.\n");
    assert_int_equal(load("listener 1883\nlistener 1883\nlistener 1883\n", &c), ERR_INVAL);
    assert_int_equal(captured.errors, 1);
    assert_int_equal(captured.warnings, 0);
}

static void a_test_reports_all_wrong_lines(void **state)
{
    struct conf *c;

    (void)state;
    assert_int_equal(load_test(many_wrong_lines, &c), ERR_INVAL);
    assert_int_equal(captured.errors, 6);
    assert_logged("(m.conf:1)");
    assert_logged("(m.conf:2)");
    assert_logged("(m.conf:3)");
    assert_logged("(m.conf:5)");
    assert_logged("(m.conf:6)");
    assert_logged("(m.conf:7)");
    assert_not_logged("(m.conf:4)");
}

/* However many: only the guesses end. */
static void a_thousand_wrong_lines_are_reported(void **state)
{
    char text[5001];
    struct conf *c;

    (void)state;
    for (size_t i = 0; i < 1000; i++)
        memcpy(text + 5 * i, "prot\n", 6);
    assert_int_equal(load_test(text, &c), ERR_INVAL);
    assert_int_equal(captured.errors, 1000);
    assert_logged("variable 'prot' (m.conf:1000): mosquitto.conf(5)");
}

static void texts_may_come_once(void **state)
{
    (void)state;
    assert_refused("auto_id_prefix a\nauto_id_prefix b\n", 1,
                   "Error: auto_id_prefix 'b' (m.conf:2): Duplicate 'auto_id_prefix' value in "
                   "configuration; m.conf:1 has it too.\n");
    assert_refused("bind_address ::1\nlistener 18830\nbind_address ::1\n", 1,
                   "Error: bind_address '::1' (m.conf:3): Duplicate 'bind_address' value in "
                   "configuration; m.conf:1 has it too.\n");
    assert_refused("pid_file /a\npid_file /a\n", 1, "Duplicate 'pid_file' value");
    assert_refused(
        "log_dest file /a\nlog_dest file /b\n", 1,
        "Error: log_dest 'file /b' (m.conf:2): Duplicate path; an earlier line has one.\n");
    conf_free(loaded("listener 18830\nmount_point a/\nlistener 18831\nmount_point b/\n"));
}

static void the_later_number_counts(void **state)
{
    struct conf *c = loaded("max_keepalive 1\nmax_keepalive 2\n");

    (void)state;
    assert_int_equal(c->global.max_keepalive, 2);
    assert_logged("Warning: max_keepalive '2' (m.conf:2): m.conf:1 has it too; this one counts.\n");
    conf_free(c);
}

static void options_of_each_listener(void **state)
{
    struct conf *c = loaded("allow_anonymous true\n"
                            "listener 18830\n"
                            "max_connections 3\n"
                            "max_qos 1\n"
                            "listener 18831\n"
                            "max_connections 4\n");

    (void)state;
    assert_int_equal(c->listener_count, 2);
    assert_int_equal(c->listeners[0]->max_connections, 3);
    assert_int_equal(c->listeners[0]->max_qos, 1);
    assert_int_equal(c->listeners[1]->max_connections, 4);
    assert_int_equal(c->listeners[1]->max_qos, 2);
    assert_int_equal(captured.warnings, 0);
    conf_free(c);
}

static void words_of_several_lines_add_up(void **state)
{
    struct conf *c = loaded("log_type debug\nlog_type error\nlog_dest stdout\nlog_dest file /x\n");

    (void)state;
    assert_int_equal(c->global.log_type, LOG_LEVEL_DEBUG | LOG_LEVEL_ERROR);
    assert_int_equal(c->global.log_dest, CONF_LOG_STDOUT | CONF_LOG_FILE);
    assert_int_equal(captured.warnings, 0);
    conf_free(c);
}

/* The default stays, also for the first line that does count. */
static void a_word_of_another_system_warns(void **state)
{
    struct conf *c = loaded("log_dest dlt\n");

    (void)state;
    assert_logged("Warning: log_dest 'dlt' (m.conf:1): not available in this release; the line is "
                  "ignored.\n");
    assert_int_equal(c->global.log_dest, CONF_LOG_STDERR);
    conf_free(c);
    c = loaded("log_dest dlt\nlog_dest stdout\nlog_dest android\nlog_dest syslog\n");
    assert_int_equal(c->global.log_dest, CONF_LOG_STDOUT | CONF_LOG_SYSLOG);
    assert_int_equal(captured.warnings, 2);
    conf_free(c);
}

static void mqtt_5_is_not_served(void **state)
{
    struct conf *c = loaded("allow_anonymous true\nlistener 18830\n"
                            "accept_protocol_versions 3, 5 # not 4\n");

    (void)state;
    assert_int_equal(c->listeners[0]->accept_versions, CONF_MQTT_31 | CONF_MQTT_5);
    assert_logged(
        "Warning: accept_protocol_versions '3, 5 # not 4' (m.conf:3): '5' is not available "
        "in this release.\n");
    conf_free(c);
    c = loaded("allow_anonymous true\nlistener 18830\naccept_protocol_versions 3,4\n");
    assert_int_equal(captured.warnings, 0);
    conf_free(c);
}

static void mqtt_5_only_is_a_line_of_information(void **state)
{
    (void)state;
    conf_free(loaded("max_topic_alias 5\nretain_expiry_interval 1\nmax_topic_alias_broker 3\n"));
    assert_int_equal(captured.warnings + captured.errors, 0);
    assert_logged("Information: max_topic_alias (m.conf:1): concerns MQTT 5 only; the line is "
                  "ignored.\n");
    assert_logged("(m.conf:2)");
    assert_logged("(m.conf:3)");
}

static void what_protects_refuses_to_start(void **state)
{
    static const char *const lines[] = {"plugin /a.so", "auth_plugin /a.so", "auth_opt_x y",
                                        "global_plugin /a.so", "protocol websockets"};
    char expected[200];

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
        size_t n = strncmp(lines[i], "auth_opt_", 9) == 0 ? 9 : strcspn(lines[i], " ");
        snprintf(expected, sizeof(expected),
                 "Error: %.*s (m.conf:1): not available in this release, refusing to start without "
                 "it.\n",
                 (int)n, lines[i]);
        assert_refused(lines[i], 1, expected);
    }
    assert_refused(
        "tls_keyform engine\n", 1,
        "Error: tls_keyform (m.conf:1): OpenSSL engines are not supported (keys are read "
        "from files in PEM format), refusing to start without it.\n");
    assert_refused("tls_engine pkcs11\ntls_engine_kpass_sha1 00\n", 2, "Error: tls_engine (m.c");
}

/* As a build without TLS reads them. */
static void tls_needs_its_build(void **state)
{
    static const char *const lines[] = {
        "certfile /a",   "keyfile /a",  "cafile /a",           "capath /a",
        "crlfile /a",    "ciphers x",   "ciphers_tls1.3 x",    "require_certificate true",
        "psk_hint x",    "psk_file /a", "tls_version tlsv1.2", "use_identity_as_username true",
        "dhparamfile /a"};
    char expected[200], text[200];

    (void)state;
    if (feature_built(FEATURE_TLS))
        skip();
    for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
        bool psk = strncmp(lines[i], "psk_", 4) == 0;
        snprintf(text, sizeof(text), "listener 18830\n%s\n", lines[i]);
        snprintf(expected, sizeof(expected),
                 "Error: %.*s (m.conf:2): needs a build with WITH_TLS%s=yes, refusing to start "
                 "without it.\n",
                 (int)strcspn(lines[i], " "), lines[i], psk ? "_PSK" : "");
        assert_refused(text, 1, expected);
    }
}

static void what_asks_for_nothing_passes(void **state)
{
    (void)state;
    conf_free(loaded("persistence false\nrequire_certificate false\nper_listener_settings 0\n"
                     "protocol mqtt\ntls_keyform pem\n"));
    assert_int_equal(captured.warnings + captured.errors, 0);
}

static void persistence_needs_its_build(void **state)
{
    bool built = feature_built(FEATURE_PERSISTENCE);
    struct conf *c;

    (void)state;
    if (!built) {
        assert_refused("retained_persistence true\n", 1,
                       "Error: persistence (m.conf:1): needs a build with WITH_PERSISTENCE=yes, "
                       "refusing to start without it.\n");
    } else {
        c = loaded("retained_persistence true\n");
        assert_true(c->global.persistence);
        assert_int_equal(captured.warnings, 0);
        conf_free(c);
    }
    c = loaded("persistence false\npersistence_sync fsync\n");
    assert_false(c->global.persistence);
    assert_int_equal(c->global.persistence_fsync, built);
    assert_int_equal(captured.warnings, !built);
    conf_free(c);
}

static void autosave_is_not_needed(void **state)
{
    (void)state;
    conf_free(loaded("autosave_interval 1800\nautosave_on_changes false\n"));
    assert_int_equal(captured.warnings, 2);
    assert_logged("Warning: autosave_interval (m.conf:1): not needed any more: every change is "
                  "stored before it is acknowledged; the line is ignored.\n");
    assert_logged("Warning: autosave_on_changes (m.conf:2): not needed any more: ");
}

static void a_store_is_a_name_in_its_directory(void **state)
{
    static const char *const wrong[] = {"a/b", "/tmp/x.db", "..", ".", "x/"};
    char line[80];

    (void)state;
    if (!feature_built(FEATURE_PERSISTENCE))
        skip();
    for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
        snprintf(line, sizeof(line), "persistence_file %s\n", wrong[i]);
        assert_refused(line, 1,
                       "Error: persistence_file (m.conf:1): expected a name without '/'; "
                       "persistence_location names the directory.\n");
    }
    conf_free(loaded("persistence_file my store..db\n"));
}

static void wrong_values_of_persistence(void **state)
{
    static const char *const cases[][2] = {
        {"persistence yes", "expected true or false."},
        {"persistence_sync always", "expected one of 'write' 'fsync'."},
        {"persistence_sync", "without a value"},
        {"persistence_recover strict salvage", "expected one of 'strict' 'salvage'."},
        {"persistence_sync_interval 0", "expected a number of seconds from 1 to 3600."},
        {"persistence_segment_size 63K",
         "expected a number of bytes from 65536 to 1073741824 (K, M "
         "or G may follow)."},
        {"persistence_segment_size 2G", "expected a number of bytes from 65536"},
        {"persistence_segment_size 64KB", "expected a number of bytes from 65536"},
        {"persistence_max_size 1", "expected a number of bytes, 1048576 or more, or 0 (K"},
        {"persistence_max_unsynced 0", "expected a number of bytes, 65536 or more (K"},
        {"persistence_memory_limit -1M", "expected a number of bytes, 0 or more (K"},
        {"persistence_memory_limit 9999999999G", "expected a number of bytes, 0 or more (K"},
    };

    (void)state;
    if (!feature_built(FEATURE_PERSISTENCE))
        skip();
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        assert_refused(cases[i][0], 1, cases[i][1]);
}

static void memory_limit_needs_its_build(void **state)
{
    struct conf *c = loaded("memory_limit 1000000\n");
    bool built = feature_built(FEATURE_MEMORY_TRACKING);

    (void)state;
    assert_int_equal(c->global.memory_limit, built ? 1000000 : 0);
    assert_int_equal(captured.warnings, built ? 0 : 1);
    if (!built)
        assert_logged("needs a build with WITH_MEMORY_TRACKING=yes; the line is ignored.\n");
    conf_free(c);
}

static void old_names_of_the_default_listener(void **state)
{
    struct conf *c = loaded("allow_anonymous true\nport 18830\n");

    (void)state;
    assert_logged("Warning: port '18830' (m.conf:2): deprecated, but obeyed; today's way is "
                  "'listener'.\n");
    conf_free(c);
}

static void a_socket_is_a_listener(void **state)
{
    struct conf *c;

    (void)state;
    if (!feature_built(FEATURE_UNIX_SOCKETS)) {
        assert_refused("listener 0 /run/m.sock\n", 1,
                       "a Unix socket needs a build with WITH_UNIX_SOCKETS=yes.\n");
        return;
    }
    c = loaded("allow_anonymous true\nlistener 0 /run/a b.sock # here\nmax_qos 1\n");
    assert_int_equal(c->listener_count, 1);
    assert_false(c->local_only);
    assert_int_equal(c->listeners[0]->port, 0);
    assert_string_equal(c->listeners[0]->address, "/run/a b.sock");
    assert_int_equal(c->listeners[0]->max_qos, 1);
    conf_free(c);
    assert_refused("listener 0\n", 1, "or 0 and the path of a Unix socket");
    assert_refused("listener 0 /a\nlistener 0 /a\n", 1, "(m.conf:2): expected another port");
    conf_free(loaded("listener 0 /a\nlistener 0 /A\n"));
}

static void listeners_know_where_they_begin(void **state)
{
    struct conf *c = loaded("allow_anonymous true\n\nlistener 18830\nlistener 18831 ::1\n"
                            "port 18832\n");

    (void)state;
    assert_int_equal(c->listeners[0]->line, 3);
    assert_string_equal(c->listeners[0]->file, "m.conf");
    assert_int_equal(c->listeners[1]->line, 4);
    assert_int_equal(c->listeners[2]->line, 5);
    assert_string_equal(c->listeners[2]->file, "m.conf");
    conf_free(c);
    c = loaded("");
    assert_int_equal(c->listeners[0]->line, 0);
    assert_null(c->listeners[0]->file);
    conf_free(c);
}

static void trusted_proxies(void **state)
{
    struct conf *c = loaded("allow_anonymous true\nlistener 18830\nenable_proxy_protocol true\n"
                            "trusted_proxy 127.0.0.1 10.0.0.0/8\ntrusted_proxy fd00::/8 # ours\n");

    (void)state;
    assert_int_equal(captured.warnings, 0);
    assert_int_equal(c->listeners[0]->trusted_count, 3);
    assert_int_equal(c->listeners[0]->trusted[1].bits, 8);
    assert_int_equal(c->listeners[0]->trusted[2].family, 6);
    conf_free(c);
    assert_refused("trusted_proxy 10.0.0.0/8 proxy.example\n", 1,
                   "Error: trusted_proxy '10.0.0.0/8 proxy.example' (m.conf:1): expected addresses "
                   "or networks such as 192.0.2.1 or 2001:db8::/32.\n");
}

/* Where a text is to the end of the line, # is part of it. */
static void signs_within_texts(void **state)
{
    struct conf *c = loaded("pid_file /run/a #b\nlog_dest file /var/log/c #d\n"
                            "clientid_prefixes e #f\nlog_timestamp_format %H:%M #%S\n");

    (void)state;
    assert_string_equal(c->global.pid_file, "/run/a #b");
    assert_string_equal(c->global.log_file, "/var/log/c #d");
    assert_string_equal(c->global.clientid_prefixes, "e #f");
    assert_string_equal(c->global.log_timestamp_format, "%H:%M #%S");
    conf_free(c);
    assert_refused("mount_point a#b\n", 1, ", without + and #, and not $share.\n");
}

static void variables_need_to_be_asked_for(void **state)
{
    struct conf *c;

    (void)state;
    setenv("T_PREFIX", "sensor-", 1);
    setenv("T_NUMBER", "7", 1);
    c = loaded("auto_id_prefix ${T_PREFIX}\n");
    assert_string_equal(c->global.security.auto_id_prefix, "${T_PREFIX}");
    conf_free(c);
    c = loaded("clientid_prefixes ${T_PREFIX}\n"
               "expand_env true\n"
               "auto_id_prefix ${T_PREFIX}${T_NUMBER}\n"
               "max_keepalive 1${T_NUMBER} # ${T_NONE}\n"
               "# ${T_NONE}\n"
               "pid_file $${T_NONE}\n"
               "expand_env false\n"
               "user ${T_NONE}\n");
    assert_string_equal(c->global.clientid_prefixes, "${T_PREFIX}");
    assert_string_equal(c->global.security.auto_id_prefix, "sensor-7");
    assert_int_equal(c->global.max_keepalive, 17);
    assert_string_equal(c->global.pid_file, "${T_NONE}");
    assert_string_equal(c->global.user, "${T_NONE}");
    assert_int_equal(captured.used, 0);
    conf_free(c);
}

static void wrong_variables(void **state)
{
    (void)state;
    unsetenv("T_NONE");
    setenv("T_EMPTY", "", 1);
    setenv("T_SECRET", "hunter2", 1);
    setenv("T_LINES", "a\nuser root", 1);
    assert_refused(
        "expand_env true\nuser x${T_NONE}\n", 1,
        "Error: user 'x${T_NONE}' (m.conf:2): the environment has no variable 'T_NONE'.\n");
    assert_refused("expand_env 1\nuser ${oh no}\n", 1,
                   "expected ${NAME} rather than '${oh no}', or $${ for a plain ${.\n");
    assert_refused("expand_env true\nuser ${T_EMPTY}\n", 1,
                   "Error: user '${T_EMPTY}' (m.conf:2): ");
    assert_refused("expand_env maybe\n", 1, "expected true or false.\n");
    assert_refused("expand_env true\n${T_SECRET} 5\n", 1,
                   "Error: Unknown configuration variable '${T_SECRET}' (m.conf:2): ");
    assert_refused("expand_env true\nmax_qos ${T_SECRET}\n", 1, "Error: max_qos '${T_SECRET}' (m");
    assert_not_logged("hunter2");
    assert_refused("expand_env true\nplugin ${T_SECRET}\n", 1, "Error: plugin (m");
    assert_not_logged("hunter2");
    assert_refused("expand_env true\nauth_opt_pass ${T_NONE}\n", 1,
                   "Error: auth_opt_ (m.conf:2): ");
    assert_refused("expand_env true\nuser ${T_LINES}\n", 1, "without control characters");
    /* Not all addresses because one was forgotten. */
    assert_refused("expand_env true\nlistener 18830 ${T_EMPTY}\n", 1,
                   "Error: listener '18830 ${T_EMPTY}' (m.conf:2): the environment has no address");
    setenv("T_SECRET", "#", 1);
    assert_refused("expand_env true\nlistener 18830 ${T_SECRET} # x\n", 1, "has no address");
    conf_free(loaded("expand_env true\nlistener 18830 # ${T_EMPTY}\n"));
}

static void include_needs_a_directory(void **state)
{
    (void)state;
    assert_refused("include_dir\n", 1,
                   "Error: include_dir without a value (m.conf:1): expected a directory.\n");
    assert_refused("\ninclude_dir /nonexistent/d\n", 1,
                   "Error: include_dir '/nonexistent/d' (m.conf:2): No such file or directory; "
                   "expected what can be read.\n");
}

static void too_many_listeners(void **state)
{
    char *text = malloc(40 * 5000), *at = text;
    struct conf *c;

    (void)state;
    for (int i = 0; i < 4097; i++)
        at += sprintf(at, "listener %d\n", 1000 + i);
    assert_int_equal(load(text, &c), ERR_INVAL);
    assert_string_equal(captured.text,
                        "Error: listener '5096' (m.conf:4097): expected no more than "
                        "4096 listeners.\n");
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(comments_and_blanks),
        UNIT_TEST(a_comment_begins_in_the_first_column),
        UNIT_TEST(comments_behind_a_listener),
        UNIT_TEST(line_ends_tabs_and_trailing_blanks),
        UNIT_TEST(a_byte_order_mark_before_a_comment),
        UNIT_TEST(utf16_is_one_error),
        UNIT_TEST(nul_bytes_are_errors),
        UNIT_TEST(lines_of_a_megabyte),
        UNIT_TEST(a_wrong_value_says_what_would_be_right),
        UNIT_TEST(an_unknown_name_says_the_nearest),
        UNIT_TEST(an_unknown_name_hides_its_value),
        UNIT_TEST(a_start_ends_at_the_first_wrong_line),
        UNIT_TEST(a_test_reports_all_wrong_lines),
        UNIT_TEST(a_thousand_wrong_lines_are_reported),
        UNIT_TEST(texts_may_come_once),
        UNIT_TEST(the_later_number_counts),
        UNIT_TEST(options_of_each_listener),
        UNIT_TEST(words_of_several_lines_add_up),
        UNIT_TEST(a_word_of_another_system_warns),
        UNIT_TEST(mqtt_5_is_not_served),
        UNIT_TEST(mqtt_5_only_is_a_line_of_information),
        UNIT_TEST(what_protects_refuses_to_start),
        UNIT_TEST(tls_needs_its_build),
        UNIT_TEST(what_asks_for_nothing_passes),
        UNIT_TEST(persistence_needs_its_build),
        UNIT_TEST(autosave_is_not_needed),
        UNIT_TEST(a_store_is_a_name_in_its_directory),
        UNIT_TEST(wrong_values_of_persistence),
        UNIT_TEST(memory_limit_needs_its_build),
        UNIT_TEST(old_names_of_the_default_listener),
        UNIT_TEST(a_socket_is_a_listener),
        UNIT_TEST(listeners_know_where_they_begin),
        UNIT_TEST(trusted_proxies),
        UNIT_TEST(signs_within_texts),
        UNIT_TEST(variables_need_to_be_asked_for),
        UNIT_TEST(wrong_variables),
        UNIT_TEST(include_needs_a_directory),
        UNIT_TEST(too_many_listeners),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
