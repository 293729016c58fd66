/*
 * Types of values: what is accepted, what is stored, what a message would ask for; defaults,
 * copies, release.
 */
#include "conf/value.h"

#include "base/mem.h"
#include "conf/fields.h"
#include "conf_helper.h"

struct fixture {
    struct conf_global global;
    struct conf_listener listener;
};

static int setup(void **state)
{
    static struct fixture f;

    (void)unit_begin(state);
    memset(&f, 0, sizeof(f));
    assert_int_equal(fields_defaults(&f.global, HOME_GLOBAL), ERR_OK);
    assert_int_equal(fields_defaults(&f.global.security, HOME_SECURITY), ERR_OK);
    assert_int_equal(fields_defaults(&f.listener, HOME_LISTENER), ERR_OK);
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    fields_free(&f->global, HOME_GLOBAL);
    fields_free(&f->global.security, HOME_SECURITY);
    fields_free(&f->listener, HOME_LISTENER);
    assert_null(f->global.security.auto_id_prefix);
    assert_null(f->global.log_file);
    return unit_end(state);
}

static enum err set_again(struct fixture *f, const char *name, const char *value, bool first)
{
    const struct conf_option *opt = option_find(str_c(name));
    void *const bases[] = {
        [HOME_GLOBAL] = &f->global,
        [HOME_LISTENER] = &f->listener,
        [HOME_SECURITY] = &f->global.security,
    };
    void *base = bases[option_home(opt)];

    return value_set(opt, base, str_c(value), first);
}

static enum err set(struct fixture *f, const char *name, const char *value)
{
    return set_again(f, name, value, true);
}

static void defaults_are_those_of_the_manual(void **state)
{
    const struct fixture *f = *state;

    assert_false(f->global.security.allow_anonymous);
    assert_true(f->global.security.allow_zero_length_clientid);
    assert_string_equal(f->global.security.auto_id_prefix, "auto-");
    assert_true(f->global.connection_messages);
    assert_true(f->global.log_timestamp);
    assert_int_equal(f->global.log_dest, CONF_LOG_STDERR);
    assert_int_equal(f->global.log_type, LOG_LEVEL_DEFAULT);
    assert_null(f->global.log_file);
    assert_int_equal(f->global.max_inflight_messages, 20);
    assert_int_equal(f->global.max_inflight_bytes, 0);
    assert_int_equal(f->global.max_queued_messages, 1000);
    assert_int_equal(f->global.max_queued_bytes, 0);
    assert_int_equal(f->global.max_packet_size, 2000000);
    assert_int_equal(f->global.message_size_limit, 0);
    assert_int_equal(f->global.memory_limit, 0);
    assert_false(f->global.persistence);
    assert_null(f->global.persistence_location);
    assert_string_equal(f->global.persistence_file, "mosquitto.db");
    assert_false(f->global.persistence_fsync);
    assert_false(f->global.persistence_salvage);
    assert_int_equal(f->global.persistence_sync_interval, 1);
    assert_int_equal(f->global.persistence_segment_size, 32 << 20);
    assert_int_equal(f->global.persistence_max_size, 0);
    assert_int_equal(f->global.persistence_max_unsynced, 64 << 20);
    assert_int_equal(f->global.persistence_memory_limit, 0);
    assert_int_equal(f->global.persistent_client_expiration_s, 0);
    assert_int_equal(f->global.max_keepalive, 0);
    assert_false(f->global.queue_qos0_messages);
    assert_true(f->global.retain_available);
    assert_true(f->global.set_tcp_nodelay);
    assert_int_equal(f->listener.port, 1883);
    assert_null(f->listener.address);
    assert_int_equal(f->listener.max_connections, -1);
    assert_int_equal(f->listener.max_qos, 2);
    assert_null(f->listener.bind_interface);
    assert_null(f->listener.mount_point);
    assert_int_equal(f->listener.socket_domain, 0);
    assert_false(f->listener.use_username_as_clientid);
    assert_int_equal(f->listener.accept_versions, CONF_MQTT_31 | CONF_MQTT_311);
    assert_int_equal(f->listener.proxy, CONF_PROXY_OFF);
    assert_false(f->listener.proxy_v2_require_tls);
    assert_int_equal(f->listener.trusted_count, 0);
    assert_false(f->global.per_listener_settings);
    assert_false(f->global.allow_duplicate_messages);
    assert_false(f->global.upgrade_outgoing_qos);
    assert_false(f->global.log_json);
    assert_null(f->global.clientid_prefixes);
    assert_null(f->global.user);
    assert_null(f->global.pid_file);
    assert_null(f->global.log_timestamp_format);
    assert_int_equal(f->global.log_facility, 8);
    assert_int_equal(f->global.sys_interval, 10);
    assert_int_equal(f->global.global_max_clients, -1);
    assert_int_equal(f->global.global_max_connections, -1);
}

static void bools(void **state)
{
    static const struct {
        const char *text;
        enum err e;
        bool value;
    } cases[] = {
        {"true", ERR_OK, true},       {"1", ERR_OK, true},
        {"false", ERR_OK, false},     {"0", ERR_OK, false},
        {"true # yes", ERR_OK, true}, {"TRUE", ERR_INVAL, false},
        {"yes", ERR_INVAL, false},    {"01", ERR_INVAL, false},
        {"", ERR_INVAL, false},       {"true false", ERR_INVAL, false},
        {"truex", ERR_INVAL, false},  {"# true", ERR_INVAL, false},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        bool value = !cases[i].value;
        assert_int_equal(value_bool(str_c(cases[i].text), &value), cases[i].e);
        assert_int_equal(value, cases[i].e ? !cases[i].value : cases[i].value);
    }
}

static void numbers(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(set(f, "max_inflight_messages", "0x10"), ERR_OK);
    assert_int_equal(f->global.max_inflight_messages, 16);
    assert_int_equal(set(f, "max_inflight_messages", "010"), ERR_OK);
    assert_int_equal(f->global.max_inflight_messages, 8);
    assert_int_equal(set(f, "max_inflight_messages", "65535"), ERR_OK);
    assert_int_equal(f->global.max_inflight_messages, 65535);
    assert_int_equal(set(f, "max_inflight_messages", "+7\t# strict"), ERR_OK);
    assert_int_equal(f->global.max_inflight_messages, 7);
    assert_int_equal(set(f, "max_inflight_messages", "65536"), ERR_INVAL);
    assert_int_equal(set(f, "max_inflight_messages", "-1"), ERR_INVAL);
    assert_int_equal(set(f, "max_inflight_messages", "12x"), ERR_INVAL);
    assert_int_equal(set(f, "max_inflight_messages", "1 2"), ERR_INVAL);
    assert_int_equal(set(f, "max_inflight_messages", "99999999999999999999"), ERR_INVAL);
    assert_int_equal(set(f, "max_inflight_messages", ""), ERR_INVAL);
    assert_int_equal(set(f, "max_inflight_messages", "# 5"), ERR_INVAL);
    assert_int_equal(f->global.max_inflight_messages, 7);
}

static void numbers_of_every_size(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(set(f, "max_qos", "0"), ERR_OK);
    assert_int_equal(f->listener.max_qos, 0);
    assert_int_equal(set(f, "max_qos", "3"), ERR_INVAL);
    assert_int_equal(set(f, "port", "65535"), ERR_OK);
    assert_int_equal(f->listener.port, 65535);
    assert_int_equal(set(f, "port", "0"), ERR_INVAL);
    assert_int_equal(set(f, "max_connections", "5"), ERR_OK);
    assert_int_equal(f->listener.max_connections, 5);
    assert_int_equal(set(f, "max_connections", "-1"), ERR_OK);
    assert_int_equal(f->listener.max_connections, -1);
    assert_int_equal(set(f, "max_connections", "-2"), ERR_INVAL);
    assert_int_equal(set(f, "memory_limit", "9223372036854775807"), ERR_OK);
    assert_true(f->global.memory_limit == (uint64_t)INT64_MAX);
    assert_int_equal(set(f, "max_queued_messages", "4294967295"), ERR_OK);
    assert_true(f->global.max_queued_messages == UINT32_MAX);
}

static void zero_beside_a_range(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(set(f, "max_packet_size", "0"), ERR_OK);
    assert_int_equal(f->global.max_packet_size, 0);
    assert_int_equal(set(f, "max_packet_size", "20"), ERR_OK);
    assert_int_equal(set(f, "max_packet_size", "19"), ERR_INVAL);
    assert_int_equal(set(f, "message_size_limit", "268435455"), ERR_OK);
    assert_int_equal(set(f, "message_size_limit", "268435456"), ERR_INVAL);
}

static void sizes(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(set(f, "persistence_memory_limit", "256M"), ERR_OK);
    assert_true(f->global.persistence_memory_limit == UINT64_C(256) << 20);
    assert_int_equal(set(f, "persistence_memory_limit", "0x10K # bytes"), ERR_OK);
    assert_int_equal(f->global.persistence_memory_limit, 16 << 10);
    assert_int_equal(set(f, "memory_limit", "3G"), ERR_OK);
    assert_true(f->global.memory_limit == UINT64_C(3) << 30);
    assert_int_equal(set(f, "persistence_segment_size", "64K"), ERR_OK);
    assert_int_equal(f->global.persistence_segment_size, 64 << 10);
    assert_int_equal(set(f, "max_packet_size", "0M"), ERR_OK);
    assert_int_equal(f->global.max_packet_size, 0);
    assert_int_equal(set(f, "memory_limit", "8589934591G"), ERR_OK);
    assert_int_equal(set(f, "memory_limit", "8589934592G"), ERR_INVAL);
    assert_int_equal(set(f, "memory_limit", "-9223372036854775808G"), ERR_INVAL);
    assert_int_equal(set(f, "memory_limit", "1T"), ERR_INVAL);
    assert_int_equal(set(f, "memory_limit", "1k"), ERR_INVAL);
    assert_int_equal(set(f, "memory_limit", "1 K"), ERR_INVAL);
    assert_int_equal(set(f, "memory_limit", "K"), ERR_INVAL);
    assert_int_equal(set(f, "memory_limit", "1KK"), ERR_INVAL);
    /* No bytes, no letter. */
    assert_int_equal(set(f, "max_queued_messages", "1K"), ERR_INVAL);
    assert_int_equal(set(f, "max_keepalive", "1K"), ERR_INVAL);
}

static void periods(void **state)
{
    static const struct {
        const char *text;
        int64_t seconds;
    } cases[] = {
        {"1s", 1},
        {"2h", 7200},
        {"3d", 259200},
        {"1w", 604800},
        {"1m", 30 * 86400},
        {"1y", 365 * 86400},
        {"14d # two", 1209600},
        {"0d", -1},
        {"-1d", -1},
        {"1", -1},
        {"d", -1},
        {"1 d", -1},
        {"1x", -1},
        {"", -1},
        {"1dd", -1},
        {"99999999999999y", -1},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        enum err e = cases[i].seconds < 0 ? ERR_INVAL : ERR_OK;
        f->global.persistent_client_expiration_s = 7;
        assert_int_equal(set(f, "persistent_client_expiration", cases[i].text), e);
        assert_true(f->global.persistent_client_expiration_s == (e ? 7 : cases[i].seconds));
    }
}

static void choices(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(set(f, "persistence_sync", "fsync"), ERR_OK);
    assert_true(f->global.persistence_fsync);
    assert_int_equal(set(f, "persistence_sync", "Write"), ERR_INVAL);
    assert_int_equal(set(f, "persistence_sync", "write fsync"), ERR_INVAL);
    assert_int_equal(set(f, "persistence_sync", ""), ERR_INVAL);
    assert_true(f->global.persistence_fsync);
    assert_int_equal(set(f, "persistence_sync", "write # fast"), ERR_OK);
    assert_false(f->global.persistence_fsync);
    assert_int_equal(set(f, "persistence_recover", "salvage"), ERR_OK);
    assert_true(f->global.persistence_salvage);
}

static void choices_of_every_size(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(set(f, "socket_domain", "ipv4"), ERR_OK);
    assert_int_equal(f->listener.socket_domain, 4);
    assert_int_equal(set(f, "socket_domain", "ipv6 # only"), ERR_OK);
    assert_int_equal(f->listener.socket_domain, 6);
    assert_int_equal(set(f, "socket_domain", "6"), ERR_INVAL);
    assert_int_equal(set(f, "log_format", "json"), ERR_OK);
    assert_true(f->global.log_json);
    assert_int_equal(set(f, "log_format", "text"), ERR_OK);
    assert_false(f->global.log_json);
    assert_int_equal(set(f, "log_facility", "0"), ERR_OK);
    assert_int_equal(f->global.log_facility, 0);
    assert_int_equal(set(f, "log_facility", "7"), ERR_OK);
    assert_int_equal(f->global.log_facility, 7);
    assert_int_equal(set(f, "log_facility", "8"), ERR_INVAL);
    assert_int_equal(set(f, "log_facility", "daemon"), ERR_OK);
    assert_int_equal(f->global.log_facility, 8);
}

static void versions_of_the_proxy_protocol(void **state)
{
    static const struct {
        const char *text;
        enum conf_proxy proxy;
    } cases[] = {
        {"1", CONF_PROXY_V1},      {"2", CONF_PROXY_V2},  {"true", CONF_PROXY_ANY},
        {"false", CONF_PROXY_OFF}, {"0", CONF_PROXY_OFF},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        assert_int_equal(set(f, "enable_proxy_protocol", cases[i].text), ERR_OK);
        assert_int_equal(f->listener.proxy, cases[i].proxy);
    }
    assert_int_equal(set(f, "enable_proxy_protocol", "3"), ERR_INVAL);
    assert_int_equal(set(f, "enable_proxy_protocol", "v1"), ERR_INVAL);
}

static void lists(void **state)
{
    static const struct {
        const char *text;
        unsigned bits;
    } cases[] = {
        {"3", CONF_MQTT_31},
        {"4", CONF_MQTT_311},
        {"3,4", CONF_MQTT_31 | CONF_MQTT_311},
        {"4, 3", CONF_MQTT_31 | CONF_MQTT_311},
        {"3 ,4\t,5 # all", CONF_MQTT_31 | CONF_MQTT_311 | CONF_MQTT_5},
        {"4,4", CONF_MQTT_311},
        {"4 #, 7", CONF_MQTT_311},
        {"5", CONF_MQTT_5},
        {"", 0},
        {",", 0},
        {"3,", 0},
        {",3", 0},
        {"3,,4", 0},
        {"3 4", 0},
        {"2", 0},
        {"34", 0},
        {"# 3", 0},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        f->listener.accept_versions = 77;
        assert_int_equal(set(f, "accept_protocol_versions", cases[i].text),
                         cases[i].bits ? ERR_OK : ERR_INVAL);
        assert_int_equal(f->listener.accept_versions, cases[i].bits ? cases[i].bits : 77);
    }
}

static void mount_points_are_topics(void **state)
{
    static const char *const wrong[] = {"a/+/", "a#b",   "#", "+",
                                        "\xC3", "a\x01", "",  "$share/group/"};
    struct fixture *f = *state;

    assert_int_equal(set(f, "mount_point", "house 1/\xC3\xA4/"), ERR_OK);
    assert_string_equal(f->listener.mount_point, "house 1/\xC3\xA4/");
    for (size_t i = 0; i < ARRAY_SIZE(wrong); i++)
        assert_int_equal(set(f, "mount_point", wrong[i]), ERR_INVAL);
    assert_string_equal(f->listener.mount_point, "house 1/\xC3\xA4/");
}

static void interfaces_are_short_words(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(set(f, "bind_interface", "eth0.100"), ERR_OK);
    assert_int_equal(set(f, "bind_interface", "fifteen_letters"), ERR_OK);
    assert_int_equal(set(f, "bind_interface", "sixteen_letters_"), ERR_INVAL);
    assert_int_equal(set(f, "bind_interface", "eth0 eth1"), ERR_INVAL);
}

static void values_without_their_comments(void **state)
{
    static const char *const cases[][3] = {
        {"max_qos", "1 # one", "1"},
        {"max_qos", "1#one", "1#one"},
        {"listener", "1883\t#all", "1883"},
        {"listener", "0 /run/a #b", "0 /run/a"},
        {"allow_anonymous", "# true", ""},
        {"accept_protocol_versions", "3, 4 # 5", "3, 4"},
        {"trusted_proxy", "::1 # this", "::1"},
        {"log_dest", "stdout # here", "stdout"},
        {"log_dest", "file /a #b", "file /a #b"},
        {"pid_file", "/run/a #b", "/run/a #b"},
        {"include_dir", "/etc/a #b", "/etc/a #b"},
        {"password_file", "/etc/a #b", "/etc/a #b"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct str value = value_proper(option_find(str_c(cases[i][0])), str_c(cases[i][1]));
        if (!str_eq_c(value, cases[i][2]))
            fail_msg("%s %s: '%.*s'", cases[i][0], cases[i][1], STR_ARG(value));
    }
}

static bool kept(struct fixture *f, const char *name, struct conf_global *old)
{
    bool differed = false;

    assert_int_equal(field_keep(option_find(str_c(name)), &f->global, old, &differed), ERR_OK);
    return differed;
}

static void keeping_what_was(void **state)
{
    struct fixture *f = *state;
    struct conf_global old = {0};

    assert_int_equal(fields_defaults(&old, HOME_GLOBAL), ERR_OK);
    assert_false(kept(f, "persistence_file", &old));
    assert_false(kept(f, "persistence_segment_size", &old));
    assert_false(kept(f, "pid_file", &old));
    assert_int_equal(set(f, "persistence_file", "x"), ERR_OK);
    assert_int_equal(set(f, "persistence_segment_size", "64K"), ERR_OK);
    assert_int_equal(set(f, "pid_file", "/x"), ERR_OK);
    assert_true(kept(f, "persistence_file", &old));
    assert_true(kept(f, "persistence_segment_size", &old));
    assert_true(kept(f, "pid_file", &old));
    assert_string_equal(f->global.persistence_file, "mosquitto.db");
    assert_string_equal(old.persistence_file, "mosquitto.db");
    assert_ptr_not_equal(f->global.persistence_file, old.persistence_file);
    assert_int_equal(f->global.persistence_segment_size, 32 << 20);
    assert_int_equal(old.persistence_segment_size, 32 << 20);
    assert_null(f->global.pid_file);
    fields_free(&old, HOME_GLOBAL);
}

static void texts(void **state)
{
    struct fixture *f = *state;
    char fifty[52];

    memset(fifty, 'x', sizeof(fifty));
    fifty[51] = '\0';
    assert_int_equal(set(f, "auto_id_prefix", fifty), ERR_INVAL);
    fifty[50] = '\0';
    assert_int_equal(set(f, "auto_id_prefix", fifty), ERR_OK);
    assert_string_equal(f->global.security.auto_id_prefix, fifty);
    assert_int_equal(set(f, "auto_id_prefix", "a b # c"), ERR_OK);
    assert_string_equal(f->global.security.auto_id_prefix, "a b # c");
    assert_int_equal(set(f, "auto_id_prefix", "\xC3\xA4-"), ERR_OK);
    assert_string_equal(f->global.security.auto_id_prefix, "\xC3\xA4-");
    assert_int_equal(set(f, "auto_id_prefix", "\xC3"), ERR_INVAL);
    assert_int_equal(set(f, "auto_id_prefix", "a\x01"), ERR_INVAL);
    assert_int_equal(set(f, "auto_id_prefix", ""), ERR_INVAL);
    assert_int_equal(set(f, "bind_address", "::1"), ERR_OK);
    assert_string_equal(f->listener.address, "::1");
    assert_int_equal(set(f, "bind_address", "a b"), ERR_INVAL);
    assert_int_equal(set(f, "bind_address", "a\tb"), ERR_INVAL);
    assert_string_equal(f->listener.address, "::1");
}

static void words_replace_the_default_then_add(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(set(f, "log_type", "debug"), ERR_OK);
    assert_int_equal(f->global.log_type, LOG_LEVEL_DEBUG);
    assert_int_equal(set_again(f, "log_type", "error # too", false), ERR_OK);
    assert_int_equal(f->global.log_type, LOG_LEVEL_DEBUG | LOG_LEVEL_ERROR);
    assert_int_equal(set_again(f, "log_type", "all", false), ERR_OK);
    assert_int_equal(f->global.log_type, LOG_LEVEL_ALL);
    assert_int_equal(set_again(f, "log_type", "none", false), ERR_OK);
    assert_int_equal(f->global.log_type, 0);
    assert_int_equal(set_again(f, "log_type", "websockets", false), ERR_OK);
    assert_int_equal(f->global.log_type, 0);
    assert_int_equal(set_again(f, "log_type", "Error", false), ERR_INVAL);
    assert_int_equal(set_again(f, "log_type", "error warning", false), ERR_INVAL);
    assert_int_equal(set_again(f, "log_type", "", false), ERR_INVAL);
    assert_int_equal(f->global.log_type, 0);
}

static void log_destinations(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(set(f, "log_dest", "dlt"), ERR_UNSUPPORTED);
    assert_int_equal(set(f, "log_dest", "android"), ERR_UNSUPPORTED);
    assert_int_equal(f->global.log_dest, CONF_LOG_STDERR);
    assert_int_equal(set(f, "log_dest", "file"), ERR_INVAL);
    assert_int_equal(set(f, "log_dest", "file   "), ERR_INVAL);
    assert_int_equal(set(f, "log_dest", "stdout x"), ERR_INVAL);
    assert_int_equal(f->global.log_dest, CONF_LOG_STDERR);
    assert_int_equal(set(f, "log_dest", "file  /var/log/a b #1.log"), ERR_OK);
    assert_int_equal(f->global.log_dest, CONF_LOG_FILE);
    assert_string_equal(f->global.log_file, "/var/log/a b #1.log");
    assert_int_equal(set_again(f, "log_dest", "file /tmp/b", false), ERR_EXISTS);
    assert_string_equal(f->global.log_file, "/var/log/a b #1.log");
    assert_int_equal(set_again(f, "log_dest", "stdout", false), ERR_OK);
    assert_int_equal(f->global.log_dest, CONF_LOG_FILE | CONF_LOG_STDOUT);
    assert_int_equal(set_again(f, "log_dest", "none", false), ERR_OK);
    assert_int_equal(f->global.log_dest, 0);
    assert_int_equal(set_again(f, "log_dest", "syslog", false), ERR_OK);
    assert_int_equal(set_again(f, "log_dest", "topic", false), ERR_OK);
    assert_int_equal(f->global.log_dest, CONF_LOG_SYSLOG | CONF_LOG_TOPIC);
}

static void listener_values(void **state)
{
    static const struct {
        const char *text;
        enum err e;
        uint16_t port;
        const char *address;
    } cases[] = {
        {"1883", ERR_OK, 1883, ""},
        {"65535 ::1", ERR_OK, 65535, "::1"},
        {"1 \t localhost", ERR_OK, 1, "localhost"},
        {"1883 #comment", ERR_OK, 1883, ""},
        {"1883 127.0.0.1 # a comment", ERR_OK, 1883, "127.0.0.1"},
        {"", ERR_INVAL, 0, ""},
        {"0 /run/m.sock", ERR_OK, 0, "/run/m.sock"},
        {"0\t/run/a b.sock", ERR_OK, 0, "/run/a b.sock"},
        {"0 ./m.sock # here", ERR_OK, 0, "./m.sock"},
        {"0", ERR_INVAL, 0, ""},
        {"0 # /run/m.sock", ERR_INVAL, 0, ""},
        {"0 \xFF", ERR_INVAL, 0, ""},
        {"65536", ERR_INVAL, 0, ""},
        {"-1", ERR_INVAL, 0, ""},
        {"localhost 1883", ERR_INVAL, 0, ""},
        {"1883x", ERR_INVAL, 0, ""},
        {"1883 127.0.0.1 1884", ERR_INVAL, 0, ""},
        {"1883 \xFF", ERR_INVAL, 0, ""},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        uint16_t port = 0;
        struct str address = {0};
        assert_int_equal(value_listener(str_c(cases[i].text), &port, &address), cases[i].e);
        if (cases[i].e)
            continue;
        assert_int_equal(port, cases[i].port);
        assert_true(str_eq_c(address, cases[i].address));
    }
}

static void expectations(void **state)
{
    static const char *const cases[][2] = {
        {"allow_anonymous", "true or false"},
        {"max_qos", "a number from 0 to 2"},
        {"max_packet_size", "a number of bytes from 20 to 4294967295, or 0 (K, M or G may follow)"},
        {"max_keepalive", "a number of seconds from 0 to 65535"},
        {"memory_limit", "a number of bytes, 0 or more (K, M or G may follow)"},
        {"persistence_sync", "one of 'write' 'fsync'"},
        {"persistent_client_expiration", "a number and one of the letters h d w m y s"},
        {"auto_id_prefix", "1 to 50 bytes of UTF-8 text without control characters"},
        {"bind_address", "1 to 255 bytes of UTF-8 text without control characters and blanks"},
        {"log_dest", "one of 'stderr' 'stdout' 'file PATH' 'syslog' 'topic' 'none'"},
        {"listener", "a port from 1 to 65535 and, if not all, an address; or 0 and the path of a "
                     "Unix socket of at most 107 bytes"},
        {"mount_point", "1 to 32767 bytes of UTF-8 text without control characters, without + and "
                        "#, and not $share"},
        {"socket_domain", "one of 'ipv4' 'ipv6'"},
        {"accept_protocol_versions", "these with commas between them: '3' '4'"},
        {"enable_proxy_protocol", "one of '1' '2' 'true' 'false'"},
        {"trusted_proxy", "addresses or networks such as 192.0.2.1 or 2001:db8::/32"},
        {"include_dir", "a directory"},
        {"expand_env", "true or false"},
    };
    char out[200];

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        assert_string_equal(value_expected(option_find(str_c(cases[i][0])), out, sizeof(out)),
                            cases[i][1]);
    /* Cut, never overrun. */
    for (size_t cap = 1; cap < 60; cap++)
        assert_true(strlen(value_expected(option_find(STR("log_type")), out, cap)) < cap);
}

static void copies_own_their_texts(void **state)
{
    struct fixture *f = *state;
    struct conf_global copy;
    struct conf_security other;

    assert_int_equal(set(f, "log_dest", "file /tmp/x"), ERR_OK);
    assert_int_equal(fields_copy(&copy, &f->global, sizeof(copy), HOME_GLOBAL), ERR_OK);
    assert_int_equal(fields_copy(&other, &f->global.security, sizeof(other), HOME_SECURITY),
                     ERR_OK);
    assert_string_equal(other.auto_id_prefix, "auto-");
    assert_string_equal(copy.log_file, "/tmp/x");
    assert_ptr_not_equal(other.auto_id_prefix, f->global.security.auto_id_prefix);
    assert_ptr_not_equal(copy.log_file, f->global.log_file);
    fields_free(&copy, HOME_GLOBAL);
    fields_free(&other, HOME_SECURITY);
}

static void copies_own_their_networks(void **state)
{
    struct fixture *f = *state;
    struct conf_listener copy;

    assert_int_equal(set(f, "trusted_proxy", "10.0.0.0/8 ::1"), ERR_OK);
    assert_int_equal(set_again(f, "trusted_proxy", "192.0.2.1", false), ERR_OK);
    assert_int_equal(set_again(f, "trusted_proxy", "192.0.2.1 x", false), ERR_INVAL);
    assert_int_equal(f->listener.trusted_count, 3);
    assert_int_equal(fields_copy(&copy, &f->listener, sizeof(copy), HOME_LISTENER), ERR_OK);
    assert_int_equal(copy.trusted_count, 3);
    assert_ptr_not_equal(copy.trusted, f->listener.trusted);
    assert_memory_equal(copy.trusted, f->listener.trusted, 3 * sizeof(*copy.trusted));
    fields_free(&copy, HOME_LISTENER);
    assert_int_equal(copy.trusted_count, 0);
}

static void no_memory(void **state)
{
    struct fixture *f = *state;
    struct conf_global other = {0};

    unit_needs_tracking();
    mem_fail_after(0, 1);
    assert_int_equal(set(f, "auto_id_prefix", "new"), ERR_NOMEM);
    assert_int_equal(set(f, "log_dest", "file /tmp/x"), ERR_NOMEM);
    assert_int_equal(set(f, "trusted_proxy", "::1"), ERR_NOMEM);
    assert_int_equal(f->listener.trusted_count, 0);
    assert_int_equal(fields_defaults(&other, HOME_GLOBAL), ERR_NOMEM);
    fields_free(&other, HOME_GLOBAL);
    assert_int_equal(fields_copy(&other, &f->global, sizeof(other), HOME_GLOBAL), ERR_NOMEM);
    fields_free(&other, HOME_GLOBAL);
    mem_fail_never();
    assert_string_equal(f->global.security.auto_id_prefix, "auto-");
    assert_int_equal(f->global.log_dest, CONF_LOG_STDERR);
    assert_null(f->global.log_file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(defaults_are_those_of_the_manual, setup, teardown),
        cmocka_unit_test_setup_teardown(bools, setup, teardown),
        cmocka_unit_test_setup_teardown(numbers, setup, teardown),
        cmocka_unit_test_setup_teardown(numbers_of_every_size, setup, teardown),
        cmocka_unit_test_setup_teardown(zero_beside_a_range, setup, teardown),
        cmocka_unit_test_setup_teardown(sizes, setup, teardown),
        cmocka_unit_test_setup_teardown(periods, setup, teardown),
        cmocka_unit_test_setup_teardown(choices, setup, teardown),
        cmocka_unit_test_setup_teardown(choices_of_every_size, setup, teardown),
        cmocka_unit_test_setup_teardown(versions_of_the_proxy_protocol, setup, teardown),
        cmocka_unit_test_setup_teardown(lists, setup, teardown),
        cmocka_unit_test_setup_teardown(mount_points_are_topics, setup, teardown),
        cmocka_unit_test_setup_teardown(interfaces_are_short_words, setup, teardown),
        cmocka_unit_test_setup_teardown(values_without_their_comments, setup, teardown),
        cmocka_unit_test_setup_teardown(keeping_what_was, setup, teardown),
        cmocka_unit_test_setup_teardown(texts, setup, teardown),
        cmocka_unit_test_setup_teardown(words_replace_the_default_then_add, setup, teardown),
        cmocka_unit_test_setup_teardown(log_destinations, setup, teardown),
        cmocka_unit_test_setup_teardown(listener_values, setup, teardown),
        cmocka_unit_test_setup_teardown(expectations, setup, teardown),
        cmocka_unit_test_setup_teardown(copies_own_their_texts, setup, teardown),
        cmocka_unit_test_setup_teardown(copies_own_their_networks, setup, teardown),
        cmocka_unit_test_setup_teardown(no_memory, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
