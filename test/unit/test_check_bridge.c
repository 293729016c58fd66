/*
 * `connection` sections: every option, right and wrong; what follows from what; what does not go
 * together; what a reload compares.
 */
#include "conf/check_bridge.h"

#include "base/feature.h"
#include "conf_helper.h"

#include <stdlib.h>

#define HEAD "listener 18830 127.0.0.1\nallow_anonymous true\n"
#define SECTION "connection north\naddress h\ntopic #\n" /* lines 3 to 5 behind HEAD */
#define FULL HEAD SECTION

/* Without bridges none of this is read. */
#define needs_bridges()                                                                            \
    do {                                                                                           \
        if (!feature_built(FEATURE_BRIDGE))                                                        \
            skip();                                                                                \
    } while (0)
#define needs_tls()                                                                                \
    do {                                                                                           \
        if (!feature_built(FEATURE_BRIDGE) || !feature_built(FEATURE_TLS_PSK))                     \
            skip();                                                                                \
    } while (0)

static struct conf *with(const char *lines)
{
    char text[4096];

    snprintf(text, sizeof(text), FULL "%s", lines);
    return loaded(text);
}

static void defaults(void **state)
{
    struct conf_args args = {.file = "m.conf", .hostname = "box"};
    struct conf *c;
    const struct conf_bridge *b;

    (void)state;
    needs_bridges();
    assert_ok(load_args(&args, STR(FULL), &c));
    assert_int_equal(captured.warnings, 0);
    assert_int_equal(c->bridge_count, 1);
    b = c->bridges[0];
    assert_int_equal(b->refs, 1);
    assert_string_equal(b->name, "north");
    assert_string_equal(b->file, "m.conf");
    assert_int_equal(b->line, 3);
    assert_string_equal(b->remote_clientid, "box.north");
    assert_string_equal(b->local_clientid, "local.box.north");
    assert_string_equal(b->notification_topic, "$SYS/broker/connection/box.north/state");
    assert_int_equal(b->start_type, CONF_START_AUTOMATIC);
    assert_int_equal(b->idle_timeout, 60);
    assert_int_equal(b->threshold, 10);
    assert_int_equal(b->restart_base, 5);
    assert_int_equal(b->restart_cap, 30);
    assert_int_equal(b->restart_stable, 0);
    assert_int_equal(b->keepalive, 60);
    assert_int_equal(b->protocol_version, 4);
    assert_int_equal(b->tls_version, CONF_TLS_1_2);
    assert_true(b->try_private && b->notifications && b->attempt_unsubscribe && b->outgoing_retain);
    assert_false(b->round_robin || b->clean || b->local_clean || b->notifications_local_only);
    assert_false(b->reload_lazily || b->insecure || b->require_ocsp || b->use_os_certs);
    assert_int_equal(b->max_packet_size, 0);
    assert_int_equal(b->tcp_keepalive_idle, 0);
    assert_int_equal(b->tcp_user_timeout_ms, 0);
    assert_null(b->remote_username);
    assert_null(b->bind_address);
    assert_false(conf_bridge_has_tls(b));
    conf_free(c);
}

static void ids_follow_from_what_there_is(void **state)
{
    struct conf *c;

    (void)state;
    needs_bridges();
    c = with("clientid x\n");
    assert_string_equal(c->bridges[0]->remote_clientid, "x");
    assert_string_equal(c->bridges[0]->local_clientid, "local.x");
    assert_string_equal(c->bridges[0]->notification_topic, "$SYS/broker/connection/x/state");
    conf_free(c);
    c = with("local_clientid y z\nnotification_topic n/t\n");
    assert_string_equal(c->bridges[0]->remote_clientid, "north");
    assert_string_equal(c->bridges[0]->local_clientid, "y z");
    assert_string_equal(c->bridges[0]->notification_topic, "n/t");
    conf_free(c);
}

static void cleansession_counts_for_both_sides(void **state)
{
    static const struct {
        const char *lines;
        bool clean, local;
    } cases[] = {
        {"", false, false},
        {"cleansession true\n", true, true},
        {"cleansession true\nlocal_cleansession false\n", true, false},
        {"local_cleansession true\n", false, true},
        {"local_cleansession false\ncleansession true\n", true, false},
    };

    (void)state;
    needs_bridges();
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct conf *c = with(cases[i].lines);
        assert_int_equal(c->bridges[0]->clean, cases[i].clean);
        assert_int_equal(c->bridges[0]->local_clean, cases[i].local);
        conf_free(c);
    }
}

/* Every option with another value than its default, and the field that has it then. */
#define TEXT(line, member, value)                                                                  \
    {                                                                                              \
        line, offsetof(struct conf_bridge, member), 0, value, 0                                    \
    }
#define NUMBER(line, member, value)                                                                \
    {                                                                                              \
        line, offsetof(struct conf_bridge, member), sizeof(((struct conf_bridge *)0)->member),     \
            NULL, value                                                                            \
    }

static const struct {
    const char *line;
    size_t offset, size; /* 0: a text */
    const char *text;
    uint32_t number;
} every_option[] = {
    NUMBER("cleansession true", clean, 1),
    NUMBER("local_cleansession true", local_clean, 1),
    TEXT("clientid c d", remote_clientid, "c d"),
    TEXT("remote_clientid c", remote_clientid, "c"),
    TEXT("local_clientid c", local_clientid, "c"),
    TEXT("username u v", remote_username, "u v"),
    TEXT("remote_username u", remote_username, "u"),
    TEXT("local_username u", local_username, "u"),
    TEXT("local_password  p w", local_password, "p w"),
    NUMBER("keepalive_interval 5", keepalive, 5),
    NUMBER("keepalive_interval 65535 # more", keepalive, 65535),
    NUMBER("start_type lazy", start_type, CONF_START_LAZY),
    NUMBER("start_type once", start_type, CONF_START_ONCE),
    NUMBER("idle_timeout 1", idle_timeout, 1),
    NUMBER("threshold 1", threshold, 1),
    NUMBER("restart_timeout 3", restart_base, 3),
    NUMBER("restart_timeout 3", restart_cap, 3),
    NUMBER("restart_timeout 3600 7200", restart_base, 3600),
    NUMBER("restart_timeout 3600 7200 # more", restart_cap, 7200),
    NUMBER("restart_timeout 4 4 60", restart_stable, 60),
    NUMBER("round_robin true", round_robin, 1),
    NUMBER("try_private false", try_private, 0),
    NUMBER("notifications false", notifications, 0),
    NUMBER("notifications_local_only true", notifications_local_only, 1),
    TEXT("notification_topic a/b", notification_topic, "a/b"),
    NUMBER("bridge_attempt_unsubscribe false", attempt_unsubscribe, 0),
    NUMBER("bridge_protocol_version mqttv31", protocol_version, 3),
    TEXT("bridge_bind_address 192.0.2.1", bind_address, "192.0.2.1"),
    TEXT("bridge_bind_address fe80::1%lo", bind_address, "fe80::1%lo"),
    NUMBER("bridge_max_packet_size 500", max_packet_size, 500),
    NUMBER("bridge_outgoing_retain false", outgoing_retain, 0),
    NUMBER("bridge_reload_type lazy", reload_lazily, 1),
    NUMBER("bridge_tcp_keepalive 10 20 30", tcp_keepalive_idle, 10),
    NUMBER("bridge_tcp_keepalive 10 20 30", tcp_keepalive_interval, 20),
    NUMBER("bridge_tcp_keepalive 32767 1 127", tcp_keepalive_count, 127),
    NUMBER("bridge_tcp_user_timeout 1500", tcp_user_timeout_ms, 1500),
    TEXT("bridge_cafile /a b", cafile, "/a b"),
    TEXT("bridge_capath /a", capath, "/a"),
    NUMBER("bridge_tls_use_os_certs true", use_os_certs, 1),
    NUMBER("bridge_tls_version tlsv1.3", tls_version, CONF_TLS_1_3),
    NUMBER("bridge_tls_version tlsv1.1", tls_version, CONF_TLS_1_1),
    TEXT("bridge_ciphers A:B", ciphers, "A:B"),
    TEXT("bridge_ciphers_tls1.3 A:B", ciphers_tls13, "A:B"),
    TEXT("bridge_alpn mqtt", alpn, "mqtt"),
    NUMBER("bridge_insecure true", insecure, 1),
    NUMBER("bridge_require_ocsp true", require_ocsp, 1),
};

static uint32_t number_at(const char *field, size_t size)
{
    uint8_t n8 = 0;
    uint32_t n32 = 0;

    if (size == sizeof(n8))
        memcpy(&n8, field, sizeof(n8));
    else
        memcpy(&n32, field, sizeof(n32));
    return size == sizeof(n8) ? n8 : n32;
}

static void each_option_fills_its_field(void **state)
{
    struct conf *plain;

    (void)state;
    needs_tls();
    plain = with("");
    for (size_t i = 0; i < ARRAY_SIZE(every_option); i++) {
        char line[100];
        struct conf *c;
        const char *field;
        snprintf(line, sizeof(line), "%s\n", every_option[i].line);
        c = with(line);
        field = (const char *)c->bridges[0] + every_option[i].offset;
        if (every_option[i].size == 0)
            assert_string_equal(*(char *const *)(const void *)field, every_option[i].text);
        else if (number_at(field, every_option[i].size) != every_option[i].number)
            fail_msg("%s: %u", line, number_at(field, every_option[i].size));
        /* A reload sees it. */
        assert_false(conf_bridge_same(plain->bridges[0], c->bridges[0]));
        assert_true(conf_bridge_same(c->bridges[0], c->bridges[0]));
        conf_free(c);
    }
    conf_free(plain);
}

static void a_section_elsewhere_says_the_same(void **state)
{
    struct conf *a, *b;

    (void)state;
    needs_bridges();
    a = with("username u\npassword p\n");
    b = loaded(HEAD "\n\nconnection other\naddress i\ntopic x in\n" SECTION
                    "remote_password p\n\nremote_username u\nrestart_timeout 5 30\n");
    assert_true(conf_bridge_same(a->bridges[0], b->bridges[1]));
    assert_false(conf_bridge_same(a->bridges[0], b->bridges[0]));
    conf_free(a);
    a = with("topic x in\n");
    assert_false(conf_bridge_same(a->bridges[0], b->bridges[1]));
    conf_free(a);
    conf_free(b);
}

/* What a line says when it is wrong, the third after SECTION's. */
static void wrong_lines(void **state)
{
    static const struct {
        const char *line, *error;
    } cases[] = {
        {"topic # up", "topic '# up' (m.conf:6): expected out, in or both behind the pattern; a "
                       "pattern with blanks stands in quotes.\n"},
        {"topic # in 3", "topic '# in 3' (m.conf:6): expected 0, 1 or 2 for the QoS"},
        {"topic \"\" in 0 a/", "expected two prefixes beside an empty pattern"},
        {"topic # in 0 +/", "expected a local prefix without + and #"},
        {"topic", "topic without a value (m.conf:6): expected a pattern such as sensors/#.\n"},
        {"address i", "address 'i' (m.conf:6): Duplicate 'address' value in configuration; "
                      "m.conf:4 has it too.\n"},
        {"addresses i", "addresses 'i' (m.conf:6): Duplicate 'address' value"},
        {"connection", "connection without a value (m.conf:6): expected a name"},
        {"connection a#", "connection 'a#' (m.conf:6): expected a name of at most 1000 bytes, "
                          "without blanks, + and #.\n"},
        {"connection a b", "connection 'a b' (m.conf:6): expected a name"},
        {"cleansession yes", "expected true or false"},
        {"keepalive_interval 4",
         "keepalive_interval '4' (m.conf:6): expected a number of seconds from 5 to 65535.\n"},
        {"keepalive_interval 65536", "expected a number of seconds from 5 to 65535"},
        {"start_type manual", "start_type 'manual' (m.conf:6): expected one of 'automatic' 'lazy' "
                              "'once'.\n"},
        {"idle_timeout 0", "expected a number of seconds from 1"},
        {"threshold 0", "expected a number of messages from 1"},
        {"restart_timeout 0", "restart_timeout '0' (m.conf:6): expected 1 to 3 numbers of seconds "
                              "from 1 to 7200.\n"},
        {"restart_timeout", "restart_timeout without a value"},
        {"restart_timeout x", "expected 1 to 3 numbers"},
        {"restart_timeout 1 2 3 4", "expected 1 to 3 numbers"},
        {"restart_timeout 5 7201", "expected 1 to 3 numbers"},
        {"restart_timeout 3601", "restart_timeout (m.conf:6): expected a first number from 1 to "
                                 "3600 seconds.\n"},
        {"restart_timeout 10 9", "restart_timeout (m.conf:6): expected the second number to be no "
                                 "smaller than the first.\n"},
        {"notification_topic a/#", "expected 1 to 65535 bytes of UTF-8 text"},
        {"bridge_protocol_version mqttv4", "expected one of 'mqttv31' 'mqttv311'.\n"},
        {"bridge_bind_address eth0", "bridge_bind_address (m.conf:6): expected an address of this "
                                     "machine"},
        {"bridge_bind_address 192.0.2.0/24", "expected an address of this machine"},
        {"bridge_max_packet_size -1", "expected a number of bytes"},
        {"bridge_reload_type now", "expected one of 'immediate' 'lazy'.\n"},
        {"bridge_tcp_keepalive 1 2", "expected 3 numbers from 1 to 32767.\n"},
        {"bridge_tcp_keepalive 1 2 128", "expected a third number from 1 to 127.\n"},
        {"bridge_tcp_keepalive 1 2 3 4", "expected 3 numbers"},
        {"bridge_tcp_user_timeout -1", "expected a number of milliseconds"},
        {"password p", "remote_password (m.conf:6): expected remote_username too"},
    };

    (void)state;
    needs_bridges();
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        bool begins = strncmp(cases[i].line, "connection", 10) == 0;
        char text[300];
        snprintf(text, sizeof(text), FULL "%s\n%s", cases[i].line,
                 begins ? "address h\ntopic #\n" : "");
        assert_refused(text, 1, cases[i].error);
    }
}

static void wrong_lines_of_tls(void **state)
{
    static const struct {
        const char *lines;
        unsigned errors;
        const char *error;
    } cases[] = {
        {"bridge_psk 00\n", 1, "bridge_psk (m.conf:6): expected bridge_identity too"},
        {"bridge_identity i\n", 1, "bridge_identity (m.conf:6): expected bridge_psk too"},
        {"bridge_psk 0g\nbridge_identity i\n", 1,
         "bridge_psk (m.conf:6): expected a key in hexadecimal"},
        {"bridge_psk 012\nbridge_identity i\n", 1, "bridge_psk (m.conf:6): expected a key"},
        {"bridge_psk 00\nbridge_identity i\nbridge_cafile /a\n", 1,
         "bridge_cafile (m.conf:8): expected without bridge_psk"},
        {"bridge_psk 00\nbridge_identity i\nbridge_capath /a\nbridge_tls_use_os_certs true\n", 2,
         "bridge_tls_use_os_certs (m.conf:9): expected without bridge_psk"},
        {"bridge_psk 00\nbridge_identity i\nbridge_certfile /a\nbridge_keyfile /a\n", 2,
         "bridge_certfile (m.conf:8): expected without bridge_psk"},
        {"bridge_cafile /a\nbridge_certfile /a\n", 1,
         "bridge_certfile (m.conf:7): expected bridge_keyfile too"},
        {"bridge_cafile /a\nbridge_keyfile /a\n", 1,
         "bridge_keyfile (m.conf:7): expected bridge_certfile too"},
        {"bridge_tls_version tlsv1\n", 1, "expected one of 'tlsv1.3' 'tlsv1.2'.\n"},
    };

    (void)state;
    needs_tls();
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        char text[400];
        snprintf(text, sizeof(text), FULL "%s", cases[i].lines);
        assert_refused(text, cases[i].errors, cases[i].error);
    }
}

static void what_every_bridge_needs(void **state)
{
    (void)state;
    needs_bridges();
    assert_refused(HEAD "connection a\ntopic #\n", 1,
                   "Error: connection 'a' (m.conf:3): expected an address line");
    assert_refused(HEAD "connection a\naddress h\n", 1,
                   "Error: connection 'a' (m.conf:3): expected at least one topic line");
    assert_refused(HEAD "connection a\n", 2, "connection 'a' (m.conf:3): expected an address");
    assert_refused(
        FULL SECTION "clientid b\n", 1,
        "Error: connection 'north' (m.conf:6): expected a name of its own; the bridge of "
        "m.conf:3 has this one.\n");
    assert_refused(FULL "clientid x\nconnection b\naddress h\ntopic #\nclientid x\n", 1,
                   "Error: connection 'b' (m.conf:7): expected local_clientid to be its own; the "
                   "bridge of m.conf:3 is 'local.x' at this broker, too.\n");
    assert_refused(FULL "clientid a#b\n", 1,
                   "Error: connection 'north' (m.conf:3): expected notification_topic");
    conf_free(with("clientid a#b\nnotifications false\n"));
    conf_free(with("clientid a#b\nnotification_topic n\n"));
}

static void no_message_shows_a_password(void **state)
{
    static const char *const lines[] = {
        "password secret\npassword secret\n",
        "username u\nremote_password secret\nremote_password secret\n",
        "local_password secret\nlocal_password secret\n",
        "local_password secret\x01\n",
        "bridge_psk secret secret\n",
    };

    (void)state;
    needs_tls();
    for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
        char text[300];
        struct conf *c;
        snprintf(text, sizeof(text), FULL "%s", lines[i]);
        assert_int_equal(load(text, &c), ERR_INVAL);
        assert_logged("(m.conf:");
        assert_not_logged("secret");
        assert_int_equal(load_test(text, &c), ERR_INVAL);
        assert_not_logged("secret");
    }
}

static void a_topic_that_was_there_is_skipped(void **state)
{
    struct conf *c;

    (void)state;
    needs_bridges();
    c = with("topic # out\ntopic # in\n");
    assert_int_equal(c->bridges[0]->topic_count, 2);
    assert_logged("Warning: topic '# out' (m.conf:6): an earlier line of this bridge says the "
                  "same; this one is skipped.\n");
    assert_int_equal(captured.warnings, 1);
    conf_free(c);
}

static void what_is_of_mqtt_5(void **state)
{
    struct conf *c;

    (void)state;
    needs_bridges();
    c = with("bridge_protocol_version mqttv50\nbridge_receive_maximum 5\n"
             "bridge_max_topic_alias 5\nbridge_session_expiry_interval 5\n");
    assert_int_equal(c->bridges[0]->protocol_version, 4);
    assert_logged("Warning: bridge_protocol_version 'mqttv50' (m.conf:6): not available in this "
                  "release; 'mqttv311' is used.\n");
    assert_int_equal(captured.warnings, 1);
    assert_logged("Information: bridge_receive_maximum (m.conf:7): concerns MQTT 5 only; the line "
                  "is ignored.\n");
    assert_logged("Information: bridge_max_topic_alias (m.conf:8)");
    assert_logged("Information: bridge_session_expiry_interval (m.conf:9)");
    conf_free(c);
}

static void what_has_no_effect(void **state)
{
    static const char *const lines[] = {
        "bridge_certfile /a\nbridge_keyfile /a\n",
        "bridge_insecure true\n",
        "bridge_alpn x\n",
        "bridge_ciphers x\n",
        "bridge_ciphers_tls1.3 x\n",
        "bridge_tls_version tlsv1.3\n",
        "bridge_require_ocsp true\n",
        "bridge_psk 00\nbridge_identity i\nbridge_insecure true\n",
        "bridge_psk 00\nbridge_identity i\nbridge_require_ocsp true\n",
        "idle_timeout 5\n",
        "threshold 5\n",
        "notifications false\nnotification_topic a\n",
        "notifications false\nnotifications_local_only true\n",
    };

    (void)state;
    needs_tls();
    for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
        struct conf *c = with(lines[i]);
        assert_logged("): has no effect");
        assert_int_equal(captured.warnings, 1);
        conf_free(c);
    }
    conf_free(with("start_type lazy\nidle_timeout 5\nthreshold 5\nbridge_cafile /a\n"
                   "bridge_certfile /a\nbridge_keyfile /a\nbridge_insecure true\nbridge_alpn x\n"
                   "notifications_local_only true\nnotification_topic a\n"));
    assert_int_equal(captured.warnings, 0);
    conf_free(with("bridge_insecure false\nbridge_require_ocsp false\n"));
    assert_int_equal(captured.warnings, 0);
}

/* `unwise` is NULL where a test of the file finds nothing. */
static void what_is_unwise(void **state)
{
    static const struct {
        const char *lines, *unwise;
    } cases[] = {
        {"address h\nusername u\npassword p\n",
         "remote_password (m.conf:7): it crosses the network in clear"},
        {"address 127.0.0.1 h\nusername u\npassword p\n", "it crosses the network in clear"},
        {"address 127.0.0.1 [::1]:1\nusername u\npassword p\n", NULL},
        {"address h\nusername u\npassword p\nbridge_cafile /a\n", NULL},
        {"address h\nusername u\npassword p\nbridge_psk 00\nbridge_identity i\n", NULL},
        {"address h\nlocal_username u\nlocal_password p\n", NULL},
        {"address h\nbridge_cafile /a\nbridge_insecure true\n",
         "bridge_insecure 'true' (m.conf:7): anybody with a certificate"},
        {"address h\nbridge_cafile /a\nbridge_tls_version tlsv1.1\n",
         "bridge_tls_version 'tlsv1.1' (m.conf:7): that version is broken"},
    };

    (void)state;
    needs_tls();
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        char text[400];
        snprintf(text, sizeof(text), HEAD "connection a\ntopic #\n%s", cases[i].lines);
        conf_free(loaded(text));
        assert_int_equal(captured.warnings, 0);
        conf_free(tested(text));
        assert_int_equal(captured.warnings, cases[i].unwise ? 1 : 0);
        if (cases[i].unwise)
            assert_logged(cases[i].unwise);
    }
}

static void values_come_from_the_environment(void **state)
{
    struct conf *c;

    (void)state;
    needs_bridges();
    setenv("BRIDGE_TEST", "far.example", 1);
    c = loaded(HEAD "expand_env true\nconnection ${BRIDGE_TEST}\naddress ${BRIDGE_TEST}:1883\n"
                    "topic ${BRIDGE_TEST}/# in 1 \"\" ${BRIDGE_TEST}/\nusername u\n"
                    "password ${BRIDGE_TEST}\n");
    assert_string_equal(c->bridges[0]->name, "far.example");
    assert_string_equal(c->bridges[0]->addresses[0].host, "far.example");
    assert_string_equal(c->bridges[0]->topics[0].remote, "far.example/far.example/#");
    assert_string_equal(c->bridges[0]->remote_password, "far.example");
    conf_free(c);
    unsetenv("BRIDGE_TEST");
}

/* As with Mosquitto, a listener in between changes nothing. */
static void options_belong_to_the_latest_connection(void **state)
{
    struct conf *c;

    (void)state;
    needs_bridges();
    c = loaded("connection a\nlistener 18830 127.0.0.1\naddress h\ntopic #\nallow_anonymous true\n"
               "max_connections 3\nconnection b\nclientid c\naddress i\ntopic #\n");
    assert_int_equal(c->bridge_count, 2);
    assert_string_equal(c->bridges[0]->addresses[0].host, "h");
    assert_string_equal(c->bridges[0]->remote_clientid, "a");
    assert_string_equal(c->bridges[1]->remote_clientid, "c");
    assert_int_equal(c->listeners[0]->max_connections, 3);
    conf_free(c);
    assert_refused("address h\n", 1,
                   "Error: address (m.conf:1): belongs to a bridge, but no 'connection' line came "
                   "before it.\n");
}

static void all_that_is_wrong_is_reported(void **state)
{
    struct conf *c;

    (void)state;
    needs_bridges();
    assert_int_equal(load_test(HEAD "connection a b\naddress ::1\ntopic # up\nstart_type manual\n"
                                    "connection c\nkeepalive_interval 1\n",
                               &c),
                     ERR_INVAL);
    assert_logged("connection 'a b' (m.conf:3)");
    assert_logged("address '::1' (m.conf:4): expected");
    assert_logged("topic '# up' (m.conf:5): expected");
    assert_logged("start_type 'manual' (m.conf:6): expected");
    assert_logged("keepalive_interval '1' (m.conf:8): expected");
    assert_logged("connection 'c' (m.conf:7): expected an address line");
    assert_logged("connection 'c' (m.conf:7): expected at least one topic line");
    assert_not_logged("(m.conf:3): expected an address line");
    assert_int_equal(captured.errors, 7);
}

static void rules_of_a_connection(void **state)
{
    struct conf *c;
    struct conf_listener *l;
    struct conf_bridge *b;

    (void)state;
    needs_bridges();
    c = with("");
    b = c->bridges[0];
    l = conf_bridge_rules(b);
    assert_non_null(l);
    assert_int_equal(l->refs, 1);
    assert_int_equal(b->refs, 2);
    assert_ptr_equal(l->bridge, b);
    assert_int_equal(l->max_qos, 2);
    assert_null(l->realm);
    assert_null(l->mount_point);
    assert_null(l->security.acl_file);
    assert_null(l->security.password_file);
    assert_true(l->security.allow_anonymous);
    assert_int_equal(l->max_connections, -1);
    conf_free(c); /* the rules keep the bridge */
    assert_int_equal(b->refs, 1);
    assert_string_equal(l->bridge->name, "north");
    conf_listener_unref(l);
    conf_bridge_unref(NULL);
}

static void rules_need_memory(void **state)
{
    struct conf *c;
    struct conf_listener *l = NULL;
    unsigned n;

    (void)state;
    needs_bridges();
    unit_needs_tracking();
    c = with("");
    for (n = 0; !l; n++) {
        mem_fail_after(n, 0);
        l = conf_bridge_rules(c->bridges[0]);
        mem_fail_never();
        assert_int_equal(c->bridges[0]->refs, l ? 2 : 1);
    }
    assert_true(n > 1);
    conf_listener_unref(l);
    conf_free(c);
}

static void every_allocation_may_fail(void **state)
{
    struct conf_args args = {.file = "m.conf", .hostname = "box"};
    enum err e = ERR_NOMEM;
    unsigned n = 0;

    (void)state;
    needs_bridges();
    unit_needs_tracking();
    for (; e == ERR_NOMEM; n++) {
        size_t before = mem_used();
        struct conf *c = NULL;
        captured_reset();
        mem_fail_after(n, 0);
        e = conf_load_text(&args,
                           STR(FULL "topic a in 1 b/ c/\nusername u\npassword p\n"
                                    "restart_timeout 5\nconnection c\naddress a b:1\ntopic #\n"),
                           &captured_log, &c);
        mem_fail_never();
        if (e == ERR_NOMEM) {
            assert_null(c);
            assert_int_equal(mem_used(), before);
        }
        conf_free(c);
    }
    assert_int_equal(e, ERR_OK);
    assert_true(n > 40);
}

static void too_many_bridges(void **state)
{
    static char text[BRIDGES_MAX * 40 + 200];
    size_t used = 0;

    (void)state;
    needs_bridges();
    for (unsigned i = 0; i <= BRIDGES_MAX; i++)
        used += (size_t)snprintf(text + used, sizeof(text) - used,
                                 "connection %u\naddress h\ntopic #\n", i);
    assert_refused(text, 1,
                   "connection '4096' (m.conf:12289): expected no more than 4096 bridges.\n");
}

static void bridges_need_their_build(void **state)
{
    struct conf *c;

    (void)state;
    if (feature_built(FEATURE_BRIDGE))
        skip();
    c = loaded(FULL "keepalive_interval nonsense\nremote_password secret\nmax_keepalive 9\n"
                    "connection south\nbridge_receive_maximum 1\n");
    assert_logged("Warning: connection 'north' (m.conf:3): bridges need a build with "
                  "WITH_BRIDGE=yes; this one is ignored.\n");
    assert_logged("Warning: connection 'south' (m.conf:9)");
    assert_int_equal(captured.warnings, 2);
    assert_not_logged("Information");
    assert_int_equal(c->bridge_count, 0);
    assert_int_equal(c->global.max_keepalive, 9);
    conf_free(c);
}

/* What the file wants encrypted must not go in clear. */
static void tls_needs_its_build(void **state)
{
    static const char *const lines[] = {
        "bridge_cafile /a",   "bridge_capath /a",        "bridge_tls_use_os_certs true",
        "bridge_certfile /a", "bridge_psk 00",           "bridge_identity i",
        "bridge_keyfile /a",  "bridge_require_ocsp true"};
    char text[300], expected[200];
    struct conf *c;

    (void)state;
    needs_bridges();
    if (feature_built(FEATURE_TLS))
        skip();
    for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
        snprintf(text, sizeof(text), FULL "%s\n", lines[i]);
        snprintf(expected, sizeof(expected), "Error: %.*s (m.conf:6): needs a build with WITH_TLS",
                 (int)strcspn(lines[i], " "), lines[i]);
        assert_refused(text, 1, expected);
    }
    c = with("bridge_insecure false\nbridge_tls_use_os_certs false\n");
    assert_int_equal(captured.warnings, 0);
    conf_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(defaults),
        UNIT_TEST(ids_follow_from_what_there_is),
        UNIT_TEST(cleansession_counts_for_both_sides),
        UNIT_TEST(each_option_fills_its_field),
        UNIT_TEST(a_section_elsewhere_says_the_same),
        UNIT_TEST(wrong_lines),
        UNIT_TEST(wrong_lines_of_tls),
        UNIT_TEST(what_every_bridge_needs),
        UNIT_TEST(no_message_shows_a_password),
        UNIT_TEST(a_topic_that_was_there_is_skipped),
        UNIT_TEST(what_is_of_mqtt_5),
        UNIT_TEST(what_has_no_effect),
        UNIT_TEST(what_is_unwise),
        UNIT_TEST(values_come_from_the_environment),
        UNIT_TEST(options_belong_to_the_latest_connection),
        UNIT_TEST(all_that_is_wrong_is_reported),
        UNIT_TEST(rules_of_a_connection),
        UNIT_TEST(rules_need_memory),
        UNIT_TEST(every_allocation_may_fail),
        UNIT_TEST(too_many_bridges),
        UNIT_TEST(bridges_need_their_build),
        UNIT_TEST(tls_needs_its_build),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
