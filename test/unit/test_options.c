/*
 * The table of options: in itself, and against the manual page and the example file in both
 * directions.
 */
#include "conf/options.h"

#include "base/buf.h"
#include "base/file.h"
#include "conf_helper.h"

#include <ctype.h>
#include <inttypes.h>

#define MANUAL "man/mosquitto.conf.5"
#define EXAMPLE "mosquitto.conf.example"

/* The whole file, terminated; the caller clears it. Tests run in the top directory. */
static const char *slurp(const char *path, struct buf *b)
{
    if (file_read(path, 1 << 20, b) != ERR_OK)
        fail_msg("cannot read %s", path);
    assert_int_equal(buf_add(b, "", 1), ERR_OK);
    return (const char *)buf_begin(b);
}

/* One blank for any run of blanks, newlines and comment signs at the beginning of lines. */
static void squeeze(const char *from, size_t n, char *to, size_t cap)
{
    size_t used = 0;
    bool blank = false;

    for (size_t i = 0; i < n && used + 2 < cap; i++) {
        bool sign = from[i] == '#' && (i == 0 || from[i - 1] == '\n');
        if (sign || isspace((unsigned char)from[i])) {
            blank = true;
            continue;
        }
        if (blank && used > 0)
            to[used++] = ' ';
        blank = false;
        to[used++] = from[i];
    }
    to[used] = '\0';
}

static bool usable(const struct conf_option *opt)
{
    return opt->type != OPTION_INERT;
}

static void default_text(const struct conf_option *opt, char *out, size_t cap)
{
    size_t used = 0;

    out[0] = '\0';
    if (opt->scope == SCOPE_OWN_SECURITY || (opt->flags & OPT_FOLLOWS))
        return;
    if (opt->type == OPTION_BOOL || opt->type == OPTION_EXPAND)
        snprintf(out, cap, "%s", opt->fallback ? "true" : "false");
    if (opt->type == OPTION_INT)
        snprintf(out, cap, "%" PRId64, opt->fallback);
    if ((opt->type == OPTION_TEXT || opt->type == OPTION_NUMBERS) && opt->text)
        snprintf(out, cap, "%s", opt->text);
    for (const struct option_word *w = opt->words; w && w->name; w++) {
        bool is = opt->type == OPTION_CHOICE ? w->bits == (unsigned)opt->fallback
                                             : w->bits & (unsigned)opt->fallback;
        const char *between = opt->type == OPTION_LIST ? "," : " ";
        if (is && (w->kind == WORD_ADDS || opt->type == OPTION_CHOICE) && w->kind != WORD_HIDDEN)
            used += (size_t)snprintf(out + used, cap - used, "%s%s", used ? between : "", w->name);
    }
}

static void names_are_unique_and_short(void **state)
{
    (void)state;
    for (size_t i = 0; i < option_count(); i++) {
        const struct conf_option *opt = option_at(i);
        assert_int_equal(option_index(opt), i);
        if (!(opt->flags & OPT_PREFIX))
            assert_ptr_equal(option_find(str_c(opt->name)), opt);
        assert_true(strlen(opt->name) <= 40);
        if (opt->alias) {
            assert_ptr_equal(option_find(str_c(opt->alias)), opt);
            assert_true(strlen(opt->alias) <= 40);
        }
    }
}

static void check_type(const struct conf_option *opt)
{
    bool zero = opt->fallback == 0 && (opt->flags & OPT_ZERO);

    switch (opt->type) {
    case OPTION_BOOL:
        assert_int_equal(opt->size, sizeof(bool));
        break;
    case OPTION_INT:
        assert_true(zero || (opt->fallback >= opt->min && opt->fallback <= opt->max));
        assert_true(opt->size == 8 || opt->max < (int64_t)1 << (8 * opt->size));
        break;
    case OPTION_TEXT:
        assert_int_equal(opt->size, sizeof(char *));
        assert_true(opt->max > 0);
        break;
    case OPTION_WORDS:
    case OPTION_LIST:
        assert_int_equal(opt->size, sizeof(unsigned));
        assert_non_null(opt->words);
        break;
    case OPTION_CHOICE:
        assert_true(opt->size == 1 || opt->size == 4);
        assert_non_null(opt->words);
        break;
    case OPTION_PERIOD:
        assert_int_equal(opt->size, sizeof(int64_t));
        break;
    case OPTION_NETWORKS:
    case OPTION_ADDRESSES:
    case OPTION_TOPIC:
        assert_int_equal(opt->size, sizeof(void *));
        assert_true(opt->beside > opt->offset);
        break;
    case OPTION_NUMBERS:
        assert_true(opt->least > 0 && opt->least * sizeof(uint32_t) <= opt->size);
        assert_true(opt->min > 0 && opt->max <= UINT32_MAX);
        break;
    case OPTION_BRIDGE:
        assert_int_equal(opt->size, sizeof(char *));
        break;
    case OPTION_LISTENER:
    case OPTION_INCLUDE:
    case OPTION_EXPAND:
        assert_int_equal(opt->size, 0);
        break;
    case OPTION_INERT:
        assert_int_equal(opt->size, 0);
        assert_non_null(opt->note);
        break;
    }
    /* Where they stand before the first listener, bools that are false protect nothing. */
    if (option_in_listener(opt) && (opt->flags & OPT_STOPS) && opt->type == OPTION_BOOL)
        assert_string_equal(opt->as_is, "false");
    if (opt->flags & OPT_SIZE) {
        assert_int_equal(opt->type, OPTION_INT);
        assert_string_equal(opt->unit, "bytes");
    }
}

static void rows_are_complete(void **state)
{
    static const char *const releases[] = {"1.4", "1.5", "1.6", "2.0", "2.1", "ours"};

    (void)state;
    for (size_t i = 0; i < option_count(); i++) {
        const struct conf_option *opt = option_at(i);
        size_t r = 0;
        assert_non_null(opt->doc);
        assert_int_equal(opt->doc[strlen(opt->doc) - 1], '.');
        assert_non_null(opt->since);
        while (r < ARRAY_SIZE(releases) && strcmp(opt->since, releases[r]) != 0)
            r++;
        if (r == ARRAY_SIZE(releases))
            fail_msg("%s: since %s", opt->name, opt->since);
        check_type(opt);
    }
}

/* What Mosquitto 1.4 to 2.1 know, and what of it this release only knows by name. */
static const char *const known[] = {
    "acl_file",
    "allow_anonymous",
    "allow_duplicate_messages",
    "allow_zero_length_clientid",
    "auth_plugin",
    "plugin",
    "auth_opt_x",
    "plugin_opt_x",
    "auth_plugin_deny_special_chars",
    "auto_id_prefix",
    "autosave_interval",
    "autosave_on_changes",
    "check_retain_source",
    "clientid_prefixes",
    "connection_messages",
    "enable_control_api",
    "ffdc_output",
    "max_log_entries",
    "trace_level",
    "trace_output",
    "global_max_clients",
    "global_max_connections",
    "global_plugin",
    "plugin_load",
    "plugin_use",
    "include_dir",
    "log_dest",
    "log_facility",
    "log_timestamp",
    "log_timestamp_format",
    "log_type",
    "max_inflight_bytes",
    "max_inflight_messages",
    "max_keepalive",
    "max_packet_size",
    "max_queued_bytes",
    "max_queued_messages",
    "memory_limit",
    "message_size_limit",
    "password_file",
    "per_listener_settings",
    "persistence",
    "retained_persistence",
    "persistence_file",
    "persistence_location",
    "persistent_client_expiration",
    "pid_file",
    "psk_file",
    "queue_qos0_messages",
    "retain_available",
    "retain_expiry_interval",
    "retry_interval",
    "set_tcp_nodelay",
    "store_clean_interval",
    "sys_interval",
    "upgrade_outgoing_qos",
    "user",
    "websockets_log_level",
    "websockets_headers_size",
    "packet_buffer_size",
    /* listener */
    "listener",
    "port",
    "bind_address",
    "bind_interface",
    "socket_domain",
    "protocol",
    "http_dir",
    "max_connections",
    "max_qos",
    "maximum_qos",
    "max_topic_alias",
    "max_topic_alias_broker",
    "mount_point",
    "use_username_as_clientid",
    "listener_allow_anonymous",
    "listener_auto_id_prefix",
    "accept_protocol_versions",
    "enable_proxy_protocol",
    "proxy_protocol_v2_require_tls",
    "websockets_origin",
    "cafile",
    "capath",
    "certfile",
    "keyfile",
    "crlfile",
    "ciphers",
    "ciphers_tls1.3",
    "dhparamfile",
    "tls_version",
    "require_certificate",
    "use_identity_as_username",
    "use_subject_as_username",
    "disable_client_cert_date_checks",
    "psk_hint",
    "tls_engine",
    "tls_keyform",
    "tls_engine_kpass_sha1",
    /* bridge */
    "connection",
    "address",
    "addresses",
    "topic",
    "cleansession",
    "local_cleansession",
    "clientid",
    "remote_clientid",
    "local_clientid",
    "username",
    "remote_username",
    "password",
    "remote_password",
    "local_username",
    "local_password",
    "keepalive_interval",
    "start_type",
    "idle_timeout",
    "threshold",
    "restart_timeout",
    "round_robin",
    "try_private",
    "notifications",
    "notifications_local_only",
    "notification_topic",
    "bridge_attempt_unsubscribe",
    "bridge_protocol_version",
    "bridge_bind_address",
    "bridge_max_packet_size",
    "bridge_outgoing_retain",
    "bridge_tcp_keepalive",
    "bridge_tcp_user_timeout",
    "bridge_receive_maximum",
    "bridge_session_expiry_interval",
    "bridge_max_topic_alias",
    "bridge_reload_type",
    "bridge_cafile",
    "bridge_capath",
    "bridge_certfile",
    "bridge_keyfile",
    "bridge_tls_use_os_certs",
    "bridge_tls_version",
    "bridge_insecure",
    "bridge_alpn",
    "bridge_require_ocsp",
    "bridge_ciphers",
    "bridge_ciphers_tls1.3",
    "bridge_identity",
    "bridge_psk",
};

static void every_name_of_mosquitto_is_known(void **state)
{
    size_t found = 0;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
        const struct conf_option *opt = option_find(str_c(known[i]));
        if (!opt)
            fail_msg("%s is not known", known[i]);
        assert_string_not_equal(opt->since, "ours");
    }
    for (size_t i = 0; i < option_count(); i++)
        found += strcmp(option_at(i)->since, "ours") != 0;
    /* Six of the names are aliases; no row claims to be Mosquitto's without being in the list. */
    assert_int_equal(found + 6, ARRAY_SIZE(known));
}

static void find_knows_names_aliases_and_prefixes(void **state)
{
    (void)state;
    assert_string_equal(option_find(STR("max_qos"))->name, "max_qos");
    assert_string_equal(option_find(STR("maximum_qos"))->name, "max_qos");
    assert_string_equal(option_find(STR("auth_opt_path"))->name, "auth_opt_");
    assert_string_equal(option_find(STR("plugin"))->name, "plugin");
    assert_null(option_find(STR("auth_opt_")));
    assert_null(option_find(STR("max_qo")));
    assert_null(option_find(STR("max_qoss")));
    assert_null(option_find(STR("Max_qos")));
    assert_null(option_find(STR("")));
}

static void nearest_is_what_was_meant(void **state)
{
    static const struct {
        const char *wrong, *right;
    } cases[] = {
        {"max_conections", "max_connections"},
        {"lisener", "listener"},
        {"prot", "port"},
        {"allow_anonymus", "allow_anonymous"},
        {"allowanonymous", "allow_anonymous"},
        {"max_inflight", "max_inflight_bytes"},
        {"maximum_qs", "maximum_qos"},
        {"passwordfile", "password_file"},
        {"LISTENER", "listener"},
        {"Persistence_Location", "persistence_location"},
        {"max_qos=1", "max_qos"},
        {"x", NULL},
        {"frobnicate_everything", NULL},
        {"listenerlistenerlistenerlistenerlistenerlistener", NULL},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        const char *nearest = option_nearest(str_c(cases[i].wrong));
        if (cases[i].right)
            assert_string_equal(nearest, cases[i].right);
        else
            assert_null(nearest);
    }
}

static void judge_asks_for_the_build_that_is_needed(void **state)
{
    struct conf_option opt = {.name = "x", .type = OPTION_BOOL, .needs = FEATURE_NONE};
    char why[80] = "";

    (void)state;
    assert_int_equal(option_judge(&opt, STR("true"), why, sizeof(why)), OPTION_APPLIES);
    opt.needs = FEATURE_MEMORY_TRACKING;
    if (feature_built(FEATURE_MEMORY_TRACKING))
        assert_int_equal(option_judge(&opt, STR("true"), why, sizeof(why)), OPTION_APPLIES);
    else
        assert_int_equal(option_judge(&opt, STR("true"), why, sizeof(why)), OPTION_WARNS);
    /* No build of this release has WebSockets. */
    opt.needs = FEATURE_WEBSOCKETS;
    assert_false(feature_built(FEATURE_WEBSOCKETS));
    assert_int_equal(option_judge(&opt, STR("true"), why, sizeof(why)), OPTION_WARNS);
    assert_string_equal(why, "needs a build with WITH_WEBSOCKETS=yes");
    opt.flags = OPT_STOPS;
    assert_int_equal(option_judge(&opt, STR("true"), why, sizeof(why)), OPTION_REFUSES);
    assert_int_equal(option_judge(&opt, STR("false"), why, sizeof(why)), OPTION_REFUSES);
    opt.as_is = "false";
    assert_int_equal(option_judge(&opt, STR("true"), why, sizeof(why)), OPTION_REFUSES);
    assert_int_equal(option_judge(&opt, STR("0"), why, sizeof(why)), OPTION_SKIPPED);
    /* Where it can be obeyed, the same value is one like others. */
    opt.needs = FEATURE_NONE;
    assert_int_equal(option_judge(&opt, STR("false"), why, sizeof(why)), OPTION_APPLIES);
}

static void judge_lets_pass_what_asks_for_nothing(void **state)
{
    struct conf_option opt = {.type = OPTION_INERT, .note = "later", .as_is = "false"};
    char why[80] = "";

    (void)state;
    assert_int_equal(option_judge(&opt, STR("false"), why, sizeof(why)), OPTION_SKIPPED);
    assert_int_equal(option_judge(&opt, STR("0"), why, sizeof(why)), OPTION_SKIPPED);
    assert_int_equal(option_judge(&opt, STR("true"), why, sizeof(why)), OPTION_WARNS);
    assert_string_equal(why, "later");
    assert_int_equal(option_judge(&opt, STR(""), why, sizeof(why)), OPTION_WARNS);
    assert_int_equal(option_judge(&opt, STR("fals"), why, sizeof(why)), OPTION_WARNS);
    opt.as_is = "mqtt";
    assert_int_equal(option_judge(&opt, STR("mqtt"), why, sizeof(why)), OPTION_SKIPPED);
    opt.as_is = NULL;
    opt.flags = OPT_STOPS;
    assert_int_equal(option_judge(&opt, STR("mqtt"), why, sizeof(why)), OPTION_REFUSES);
    opt.flags = OPT_NEEDLESS;
    assert_int_equal(option_judge(&opt, STR("mqtt"), why, sizeof(why)), OPTION_INFORMS);
}

/* From its ".It Ic" to the next one, or NULL. */
static const char *manual_entry(const char *manual, const char *name, size_t *n)
{
    char item[64];
    const char *begin, *end;

    snprintf(item, sizeof(item), "\n.It Ic %s ", name);
    begin = strstr(manual, item);
    if (!begin)
        return NULL;
    begin = strchr(begin + 1, '\n');
    end = strstr(begin, "\n.It ");
    *n = end ? (size_t)(end - begin) : strlen(begin);
    return begin;
}

/* What stands behind the name in the manual's ".It Ic" line. */
static void argument_text(const struct conf_option *opt, char *out, size_t cap)
{
    size_t used = 0;

    out[0] = '\0';
    if (opt->type == OPTION_BOOL || opt->type == OPTION_EXPAND)
        snprintf(out, cap, "Cm true | false\n");
    if (opt->type == OPTION_INT)
        snprintf(out, cap, "Ar number\n");
    if (opt->type == OPTION_PERIOD)
        snprintf(out, cap, "Ar period\n");
    if (opt->type == OPTION_NUMBERS)
        snprintf(out, cap, "Ar number %s", opt->least > 1 ? "number" : "Oo");
    if (opt->type == OPTION_CHOICE && opt->size > 0) {
        for (const struct option_word *w = opt->words; w->name; w++) {
            if (w->kind != WORD_HIDDEN)
                used +=
                    (size_t)snprintf(out + used, cap - used, "%s%s", used ? " | " : "Cm ", w->name);
        }
        snprintf(out + used, cap - used, "\n");
    }
}

/* "From 1 to 3600 seconds." or "From 20 bytes"; nothing where any number that makes sense will do.
 */
static void range_text(const struct conf_option *opt, char *out, size_t cap)
{
    const char *unit = opt->unit ? opt->unit : "";
    bool any = opt->max == UINT32_MAX || opt->max == INT32_MAX || opt->max == INT64_MAX;

    out[0] = '\0';
    if (opt->type == OPTION_TEXT && opt->max < 4000)
        snprintf(out, cap, "At most %d bytes", (int)opt->max);
    if (opt->type != OPTION_INT)
        return;
    if (!any)
        snprintf(out, cap, "From %" PRId64 " to %" PRId64 "%s%s", opt->min, opt->max,
                 opt->unit ? " " : "", unit);
    else if (opt->min > 0)
        snprintf(out, cap, "From %" PRId64 "%s%s", opt->min, opt->unit ? " " : "", unit);
}

/* Without the macros, which split words off. */
static void expect_text(const char *flat, const struct conf_option *opt, const char *text)
{
    if (text[0] && !strstr(flat, text))
        fail_msg("%s, %s: the table says: %s", MANUAL, opt->name, text);
}

static void check_manual_entry(const char *manual, const struct conf_option *opt)
{
    char flat[4096], value[200], line[240];
    size_t n = 0;
    const char *entry = manual_entry(manual, opt->name, &n);
    bool fixed = opt->scope == SCOPE_GLOBAL && !(opt->flags & OPT_RELOAD);

    if (!entry)
        fail_msg("%s has no entry for %s", MANUAL, opt->name);
    argument_text(opt, value, sizeof(value));
    snprintf(line, sizeof(line), "\n.It Ic %s %s", opt->name, value);
    if (!strstr(manual, line))
        fail_msg("%s, the table says: %s", MANUAL, line + 1);
    squeeze(entry, n, flat, sizeof(flat));
    expect_text(flat, opt, opt->doc);
    default_text(opt, value, sizeof(value));
    snprintf(line, sizeof(line), "Default: %s.", value);
    expect_text(flat, opt, value[0] ? line : "");
    range_text(opt, line, sizeof(line));
    expect_text(flat, opt, line);
    if (opt->unit && !strcasestr(flat, opt->unit))
        fail_msg("%s, %s: no word of %s", MANUAL, opt->name, opt->unit);
    expect_text(flat, opt, strcmp(opt->since, "ours") == 0 ? "Mosquitto does not have it." : "");
    if (fixed != (strstr(flat, "A change needs a restart.") != NULL))
        fail_msg("%s, %s: %s a restart", MANUAL, opt->name, fixed ? "needs" : "does not need");
    if (!opt->alias)
        return;
    snprintf(line, sizeof(line), ".Ic %s ", opt->alias);
    expect_text(flat, opt, line);
}

static void manual_has_every_option(void **state)
{
    struct buf b = {0};
    const char *manual = slurp(MANUAL, &b);
    char line[80];

    (void)state;
    for (size_t i = 0; i < option_count(); i++) {
        const struct conf_option *opt = option_at(i);
        if (usable(opt)) {
            check_manual_entry(manual, opt);
            continue;
        }
        snprintf(line, sizeof(line), "\n.Ic %s", opt->name);
        if (!strstr(manual, line))
            fail_msg("%s does not mention %s", MANUAL, opt->name);
    }
    buf_clear(&b);
}

static void manual_has_no_other_option(void **state)
{
    struct buf b = {0};
    unsigned seen = 0;

    (void)state;
    for (const char *p = slurp(MANUAL, &b); (p = strstr(p, "Ic ")); p++) {
        struct str name = str_of(p + 3, strcspn(p + 3, " \n"));
        bool prefix = str_eq_c(name, "auth_opt_") || str_eq_c(name, "plugin_opt_");
        if (!prefix && !option_find(name))
            fail_msg("%s describes %.*s", MANUAL, STR_ARG(name));
        seen++;
    }
    assert_true(seen >= option_count());
    buf_clear(&b);
}

/* "#name value" can be taken as it stands, "# name value" is for what is to come. */
static void example_line(const struct conf_option *opt, char *out, size_t cap)
{
    const char *name = opt->name;
    char value[200];

    if (usable(opt)) {
        default_text(opt, value, sizeof(value));
        /* The first of several words has a line; the listener's own lines follow the others. */
        if (opt->type == OPTION_WORDS)
            value[strcspn(value, " ")] = '\0';
        snprintf(out, cap, "\n#%s %s%s", name, value, value[0] ? "\n" : "");
    } else {
        snprintf(out, cap, "\n# %s%s%s\n", name, opt->text ? " " : "", opt->text ? opt->text : "");
    }
}

static void example_has_every_option(void **state)
{
    struct buf b = {0};
    const char *example = slurp(EXAMPLE, &b);
    char *flat = test_malloc(b.len);
    char line[240];

    (void)state;
    squeeze(example, b.len - 1, flat, b.len);
    for (size_t i = 0; i < option_count(); i++) {
        const struct conf_option *opt = option_at(i);
        if (!strstr(flat, opt->doc))
            fail_msg("%s, %s: the table says: %s", EXAMPLE, opt->name, opt->doc);
        example_line(opt, line, sizeof(line));
        if (!strstr(example, line))
            fail_msg("%s has no line %s", EXAMPLE, line + 1);
    }
    test_free(flat);
    buf_clear(&b);
}

static void example_has_no_other_option(void **state)
{
    struct buf b = {0};
    unsigned seen = 0;

    (void)state;
    for (const char *p = slurp(EXAMPLE, &b); p; p = strchr(p + 1, '\n')) {
        struct str name;
        const char *line = *p == '\n' ? p + 1 : p;
        if (line[0] != '#' || line[1] == ' ' || line[1] == '\n')
            continue;
        name = str_of(line + 1, strcspn(line + 1, " \n"));
        if (!option_find(name) || !usable(option_find(name)))
            fail_msg("%s has a line for %.*s", EXAMPLE, STR_ARG(name));
        seen++;
    }
    assert_true(seen > 60);
    buf_clear(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(names_are_unique_and_short),
        UNIT_TEST(rows_are_complete),
        UNIT_TEST(every_name_of_mosquitto_is_known),
        UNIT_TEST(find_knows_names_aliases_and_prefixes),
        UNIT_TEST(nearest_is_what_was_meant),
        UNIT_TEST(judge_asks_for_the_build_that_is_needed),
        UNIT_TEST(judge_lets_pass_what_asks_for_nothing),
        UNIT_TEST(manual_has_every_option),
        UNIT_TEST(manual_has_no_other_option),
        UNIT_TEST(example_has_every_option),
        UNIT_TEST(example_has_no_other_option),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
