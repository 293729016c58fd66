/*
 * What users set before they connect: which values are taken, which are refused, and that a refused
 * or failed one changes nothing.
 */
#include "base/feature.h"
#include "base/mem.h"
#include "client/client.h"
#include "net/socks5.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define NOWHERE "/nowhere/at/all"
#define EMPTY "/dev/null" /* a file that can be opened */

static char long_text[65536 + 1];

static int setup(void **state)
{
    memset(long_text, 'a', sizeof(long_text) - 1);
    *state = mosquitto_new("options", true, NULL);
    return *state ? 0 : -1;
}

static int teardown(void **state)
{
    mosquitto_destroy(*state);
    return 0;
}

/* What a build without the feature says instead. */
static int built(enum feature f, int error)
{
    return feature_built(f) ? error : MOSQ_ERR_NOT_SUPPORTED;
}

/* ---- Will ----------------------------------------------------------------------------------- */

static const struct {
    const char *topic;
    int len;
    const char *payload;
    int qos;
    int error;
} wills[] = {
    {"a", 0, NULL, 0, MOSQ_ERR_SUCCESS},
    {"a/b", 3, "bye", 2, MOSQ_ERR_SUCCESS},
    {"a", 65535, long_text, 1, MOSQ_ERR_SUCCESS},
    {"a", 0, "bye", 0, MOSQ_ERR_SUCCESS},
    {NULL, 0, NULL, 0, MOSQ_ERR_INVAL},
    {"", 0, NULL, 0, MOSQ_ERR_INVAL},
    {"a/+", 0, NULL, 0, MOSQ_ERR_INVAL},
    {"#", 0, NULL, 0, MOSQ_ERR_INVAL},
    {long_text, 0, NULL, 0, MOSQ_ERR_INVAL},
    {"a", 0, NULL, 3, MOSQ_ERR_INVAL},
    {"a", 0, NULL, -1, MOSQ_ERR_INVAL},
    {"a", 1, NULL, 0, MOSQ_ERR_INVAL},
    {"a", -1, "bye", 0, MOSQ_ERR_PAYLOAD_SIZE},
    {"a", 65536, long_text, 0, MOSQ_ERR_PAYLOAD_SIZE},
    {"a\xff", 0, NULL, 0, MOSQ_ERR_MALFORMED_UTF8},
};

static void wills_are_checked(void **state)
{
    struct mosquitto *m = *state;

    for (size_t i = 0; i < ARRAY_SIZE(wills); i++) {
        int error = mosquitto_will_set(m, wills[i].topic, wills[i].len, wills[i].payload,
                                       wills[i].qos, true);
        if (error != wills[i].error)
            fail_msg("will %zu: %d", i, error);
        if (error)
            continue;
        assert_true(m->options.has_will);
        assert_string_equal(m->options.will_topic, wills[i].topic);
        assert_int_equal(m->options.will_len, wills[i].len);
        if (wills[i].len > 0)
            assert_memory_equal(m->options.will_payload, wills[i].payload, (size_t)wills[i].len);
        assert_int_equal(m->options.will_qos, wills[i].qos);
        assert_true(m->options.will_retain);
    }
    /* The last good one is still there. */
    assert_string_equal(m->options.will_topic, "a");
    assert_int_equal(mosquitto_will_clear(m), MOSQ_ERR_SUCCESS);
    assert_false(m->options.has_will);
    assert_null(m->options.will_topic);
    assert_int_equal(mosquitto_will_clear(m), MOSQ_ERR_SUCCESS);
}

static void a_will_takes_its_properties(void **state)
{
    mosquitto_property *list = NULL;
    size_t before;

    assert_int_equal(mosquitto_will_set(*state, "a", 0, NULL, 0, false), 0);
    before = mem_used();
    assert_int_equal(mosquitto_property_add_int32(&list, 24, 5), 0); /* will-delay-interval */
    assert_int_equal(mosquitto_will_set_v5(*state, "#", 0, NULL, 0, false, list), MOSQ_ERR_INVAL);
    assert_int_equal(mosquitto_property_identifier(list), 24);
    assert_int_equal(mosquitto_will_set_v5(*state, "b", 0, NULL, 0, false, list), 0);
    assert_int_equal(mem_used(), before);
    list = NULL;
    assert_int_equal(mosquitto_property_add_int16(&list, 33, 5), 0); /* receive-maximum */
    assert_int_equal(mosquitto_will_set_v5(*state, "b", 0, NULL, 0, false, list),
                     MOSQ_ERR_PROTOCOL);
    mosquitto_property_free_all(&list);
}

/* ---- Login and proxy ------------------------------------------------------------------------ */

static void logins_are_checked(void **state)
{
    struct mosquitto *m = *state;

    assert_int_equal(mosquitto_username_pw_set(m, "user", "secret"), 0);
    assert_string_equal(m->options.username, "user");
    assert_string_equal(m->options.password, "secret");
    assert_int_equal(mosquitto_username_pw_set(m, NULL, "secret"), MOSQ_ERR_INVAL);
    assert_int_equal(mosquitto_username_pw_set(m, "\xff", NULL), MOSQ_ERR_MALFORMED_UTF8);
    assert_int_equal(mosquitto_username_pw_set(m, long_text, NULL), MOSQ_ERR_INVAL);
    assert_int_equal(mosquitto_username_pw_set(m, "user", long_text), MOSQ_ERR_INVAL);
    assert_string_equal(m->options.password, "secret");
    assert_int_equal(mosquitto_username_pw_set(m, "other", NULL), 0);
    assert_null(m->options.password);
    assert_int_equal(mosquitto_username_pw_set(m, "", "\xff"), 0); /* passwords are bytes */
    assert_int_equal(mosquitto_username_pw_set(m, NULL, NULL), 0);
    assert_null(m->options.username);
}

static void proxies_are_checked(void **state)
{
    struct mosquitto *m = *state;
    char text[SOCKS5_HOST_MAX + 2];

    memset(text, 'a', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    assert_int_equal(mosquitto_socks5_set(m, NULL, 1080, NULL, NULL), MOSQ_ERR_INVAL);
    assert_int_equal(mosquitto_socks5_set(m, "", 1080, NULL, NULL), MOSQ_ERR_INVAL);
    assert_int_equal(mosquitto_socks5_set(m, "h", 0, NULL, NULL), MOSQ_ERR_INVAL);
    assert_int_equal(mosquitto_socks5_set(m, "h", 65536, NULL, NULL), MOSQ_ERR_INVAL);
    assert_int_equal(mosquitto_socks5_set(m, text, 1, NULL, NULL), MOSQ_ERR_INVAL);
    assert_int_equal(mosquitto_socks5_set(m, "h", 1, text, "p"), MOSQ_ERR_INVAL);
    assert_int_equal(mosquitto_socks5_set(m, "h", 1, "u", text), MOSQ_ERR_INVAL);
    assert_null(m->options.proxy_host);
    assert_int_equal(mosquitto_socks5_set(m, "h", 65535, "u", "p"), built(FEATURE_SOCKS, 0));
    if (!feature_built(FEATURE_SOCKS))
        return;
    assert_string_equal(m->options.proxy_host, "h");
    assert_string_equal(m->options.proxy_username, "u");
    assert_string_equal(m->options.proxy_password, "p");
    assert_int_equal(m->options.proxy_port, 65535);
    assert_int_equal(mosquitto_socks5_set(m, "h", 1, NULL, "p"), 0);
    assert_null(m->options.proxy_username);
    assert_null(m->options.proxy_password);
}

/* ---- Numbers and others --------------------------------------------------------------------- */

static const struct {
    enum mosq_opt_t option;
    int value;
    int error;
} numbers[] = {
    {MOSQ_OPT_PROTOCOL_VERSION, MQTT_PROTOCOL_V31, MOSQ_ERR_SUCCESS},
    {MOSQ_OPT_PROTOCOL_VERSION, MQTT_PROTOCOL_V311, MOSQ_ERR_SUCCESS},
    {MOSQ_OPT_PROTOCOL_VERSION, MQTT_PROTOCOL_V5, MOSQ_ERR_NOT_SUPPORTED},
    {MOSQ_OPT_PROTOCOL_VERSION, 2, MOSQ_ERR_INVAL},
    {MOSQ_OPT_PROTOCOL_VERSION, 6, MOSQ_ERR_INVAL},
    {MOSQ_OPT_RECEIVE_MAXIMUM, 0, MOSQ_ERR_SUCCESS},
    {MOSQ_OPT_RECEIVE_MAXIMUM, 65535, MOSQ_ERR_SUCCESS},
    {MOSQ_OPT_RECEIVE_MAXIMUM, -1, MOSQ_ERR_INVAL},
    {MOSQ_OPT_RECEIVE_MAXIMUM, 65536, MOSQ_ERR_INVAL},
    {MOSQ_OPT_SEND_MAXIMUM, 65535, MOSQ_ERR_SUCCESS},
    {MOSQ_OPT_SEND_MAXIMUM, -1, MOSQ_ERR_INVAL},
    {MOSQ_OPT_SEND_MAXIMUM, 65536, MOSQ_ERR_INVAL},
    {MOSQ_OPT_TCP_NODELAY, 1, MOSQ_ERR_SUCCESS},
    {MOSQ_OPT_SSL_CTX, 1, MOSQ_ERR_INVAL},
    {MOSQ_OPT_TLS_ALPN, 1, MOSQ_ERR_INVAL},
    {MOSQ_OPT_TLS_KEYFORM, 1, MOSQ_ERR_INVAL},
    {MOSQ_OPT_TLS_ENGINE, 1, MOSQ_ERR_INVAL},
    {MOSQ_OPT_TLS_ENGINE_KPASS_SHA1, 1, MOSQ_ERR_INVAL},
    {MOSQ_OPT_BIND_ADDRESS, 1, MOSQ_ERR_INVAL},
    {(enum mosq_opt_t)0, 1, MOSQ_ERR_INVAL},
    {(enum mosq_opt_t)14, 1, MOSQ_ERR_INVAL},
};

static void numbers_are_checked(void **state)
{
    struct mosquitto *m = *state;

    for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
        int error = mosquitto_int_option(m, numbers[i].option, numbers[i].value);
        if (error != numbers[i].error)
            fail_msg("option %d with %d: %d", (int)numbers[i].option, numbers[i].value, error);
    }
    assert_int_equal(m->options.level, PROTOCOL_311);
    assert_int_equal(m->options.window, 65535);
    assert_true(m->options.nodelay);
}

static void tls_has_switches(void **state)
{
    struct mosquitto *m = *state;

    assert_int_equal(mosquitto_int_option(m, MOSQ_OPT_SSL_CTX_WITH_DEFAULTS, 1),
                     built(FEATURE_TLS, 0));
    assert_int_equal(mosquitto_int_option(m, MOSQ_OPT_TLS_OCSP_REQUIRED, -1),
                     built(FEATURE_TLS, 0));
    assert_int_equal(mosquitto_int_option(m, MOSQ_OPT_TLS_USE_OS_CERTS, 1), built(FEATURE_TLS, 0));
    if (!feature_built(FEATURE_TLS))
        return;
    assert_true(m->options.ssl_ctx_with_defaults);
    assert_true(m->options.tls_ocsp);
    assert_true(m->options.tls_os_certs);
    assert_true(m->options.tls);
    assert_int_equal(mosquitto_int_option(m, MOSQ_OPT_TLS_USE_OS_CERTS, 0), 0);
    assert_false(m->options.tls);
}

static void strings_are_checked(void **state)
{
    struct mosquitto *m = *state;

    assert_int_equal(mosquitto_string_option(m, MOSQ_OPT_BIND_ADDRESS, "127.0.0.2"), 0);
    assert_string_equal(m->options.bind_address_o, "127.0.0.2");
    assert_int_equal(mosquitto_string_option(m, MOSQ_OPT_BIND_ADDRESS, NULL), 0);
    assert_null(m->options.bind_address_o);
    assert_int_equal(mosquitto_string_option(m, MOSQ_OPT_TLS_ALPN, "mqtt"), built(FEATURE_TLS, 0));
    assert_int_equal(mosquitto_string_option(m, MOSQ_OPT_TLS_ALPN, NULL), built(FEATURE_TLS, 0));
    assert_int_equal(mosquitto_string_option(m, MOSQ_OPT_TLS_KEYFORM, "pem"), 0);
    assert_int_equal(mosquitto_string_option(m, MOSQ_OPT_TLS_KEYFORM, "engine"),
                     MOSQ_ERR_NOT_SUPPORTED);
    assert_int_equal(mosquitto_string_option(m, MOSQ_OPT_TLS_KEYFORM, "der"), MOSQ_ERR_INVAL);
    assert_int_equal(mosquitto_string_option(m, MOSQ_OPT_TLS_KEYFORM, NULL), MOSQ_ERR_INVAL);
    assert_int_equal(mosquitto_string_option(m, MOSQ_OPT_TLS_ENGINE, "pkcs11"),
                     MOSQ_ERR_NOT_SUPPORTED);
    assert_int_equal(mosquitto_string_option(m, MOSQ_OPT_TLS_ENGINE_KPASS_SHA1, "00"),
                     MOSQ_ERR_NOT_SUPPORTED);
    assert_int_equal(mosquitto_string_option(m, MOSQ_OPT_PROTOCOL_VERSION, "4"), MOSQ_ERR_INVAL);
    assert_int_equal(mosquitto_string_option(m, (enum mosq_opt_t)99, "4"), MOSQ_ERR_INVAL);
}

static void older_options_still_work(void **state)
{
    struct mosquitto *m = *state;
    int version = MQTT_PROTOCOL_V31;

    assert_int_equal(mosquitto_opts_set(m, MOSQ_OPT_PROTOCOL_VERSION, &version), 0);
    assert_int_equal(m->options.level, PROTOCOL_31);
    version = MQTT_PROTOCOL_V5;
    assert_int_equal(mosquitto_opts_set(m, MOSQ_OPT_PROTOCOL_VERSION, &version),
                     MOSQ_ERR_NOT_SUPPORTED);
    version = 7;
    assert_int_equal(mosquitto_opts_set(m, MOSQ_OPT_PROTOCOL_VERSION, &version), MOSQ_ERR_INVAL);
    assert_int_equal(mosquitto_opts_set(m, MOSQ_OPT_PROTOCOL_VERSION, NULL), MOSQ_ERR_INVAL);
    assert_int_equal(mosquitto_opts_set(m, MOSQ_OPT_SSL_CTX, NULL), MOSQ_ERR_INVAL);
    assert_int_equal(mosquitto_opts_set(m, MOSQ_OPT_TCP_NODELAY, &version), MOSQ_ERR_INVAL);
    assert_int_equal(mosquitto_void_option(m, MOSQ_OPT_TLS_ALPN, &version), MOSQ_ERR_INVAL);
    assert_int_equal(m->options.level, PROTOCOL_31);
    mosquitto_message_retry_set(m, 5);
}

static void delays_are_kept_in_order(void **state)
{
    struct mosquitto *m = *state;

    assert_int_equal(m->options.reconnect_delay_s, 1);
    assert_int_equal(mosquitto_reconnect_delay_set(m, 2, 30, true), 0);
    assert_int_equal(m->options.reconnect_delay_s, 2);
    assert_int_equal(m->options.reconnect_delay_max_s, 30);
    assert_true(m->options.reconnect_exponential);
    assert_int_equal(mosquitto_reconnect_delay_set(m, 0, 0, false), 0);
    assert_int_equal(m->options.reconnect_delay_s, 1);
    assert_int_equal(m->options.reconnect_delay_max_s, 1);
    assert_int_equal(mosquitto_max_inflight_messages_set(m, 0), 0);
    assert_int_equal(m->options.window, 0);
    assert_int_equal(mosquitto_max_inflight_messages_set(m, 65536), MOSQ_ERR_INVAL);
    assert_int_equal(m->options.window, 0);
}

/* ---- TLS ------------------------------------------------------------------------------------ */

static const struct {
    const char *cafile, *capath, *certfile, *keyfile;
    int error;
} certificates[] = {
    {NULL, NULL, NULL, NULL, MOSQ_ERR_INVAL},         {NOWHERE, NULL, NULL, NULL, MOSQ_ERR_INVAL},
    {EMPTY, NULL, EMPTY, NULL, MOSQ_ERR_INVAL},       {EMPTY, NULL, NULL, EMPTY, MOSQ_ERR_INVAL},
    {EMPTY, NULL, NOWHERE, EMPTY, MOSQ_ERR_INVAL},    {EMPTY, NULL, EMPTY, NOWHERE, MOSQ_ERR_INVAL},
    {EMPTY, NULL, NULL, NULL, MOSQ_ERR_SUCCESS},      {NULL, NOWHERE, NULL, NULL, MOSQ_ERR_SUCCESS},
    {EMPTY, NOWHERE, EMPTY, EMPTY, MOSQ_ERR_SUCCESS},
};

static void certificates_are_looked_for(void **state)
{
    struct mosquitto *m = *state;

    for (size_t i = 0; i < ARRAY_SIZE(certificates); i++) {
        m->tls_stale = false;
        int error = mosquitto_tls_set(m, certificates[i].cafile, certificates[i].capath,
                                      certificates[i].certfile, certificates[i].keyfile, NULL);
        if (error != built(FEATURE_TLS, certificates[i].error))
            fail_msg("certificates %zu: %d", i, error);
        assert_int_equal(m->tls_stale, !error);
        assert_int_equal(m->options.tls, !error);
    }
}

/* A certificate of our own goes with authorities of the system's as well. */
static void the_system_may_know_the_authorities(void **state)
{
    assert_int_equal(mosquitto_int_option(*state, MOSQ_OPT_TLS_USE_OS_CERTS, 1),
                     built(FEATURE_TLS, 0));
    assert_int_equal(mosquitto_tls_set(*state, NULL, NULL, EMPTY, EMPTY, NULL),
                     built(FEATURE_TLS, 0));
}

static void tls_has_versions(void **state)
{
    static const struct {
        const char *word;
        int error;
        unsigned version;
    } versions[] = {
        {"tlsv1.1", 0, 11},
        {"tlsv1.2", 0, 12},
        {"tlsv1.3", 0, 13},
        {"TLSv1.3", 0, 13},
        {"tlsv1", MOSQ_ERR_INVAL, 13},
        {"", MOSQ_ERR_INVAL, 13},
        {NULL, 0, 0},
    };
    struct mosquitto *m = *state;

    for (size_t i = 0; i < ARRAY_SIZE(versions); i++) {
        int error = versions[i].error ? versions[i].error : built(FEATURE_TLS, 0);

        assert_int_equal(mosquitto_tls_opts_set(m, 1, versions[i].word, "HIGH"), error);
        if (feature_built(FEATURE_TLS))
            assert_int_equal(m->options.tls_version, versions[i].version);
    }
    if (!feature_built(FEATURE_TLS))
        return;
    assert_false(m->options.tls_unverified);
    assert_string_equal(m->options.ciphers, "HIGH");
    m->tls_stale = false;
    assert_int_equal(mosquitto_tls_opts_set(m, 0, NULL, NULL), 0);
    assert_true(m->options.tls_unverified);
    assert_null(m->options.ciphers);
    assert_true(m->tls_stale);
    m->tls_stale = false;
    assert_int_equal(mosquitto_tls_insecure_set(m, true), 0);
    assert_true(m->options.tls_insecure);
    assert_true(m->tls_stale);
}

static void keys_are_hexadecimal(void **state)
{
    struct mosquitto *m = *state;
    char key[2 * TLS_PSK_MAX + 2];

    memset(key, 'a', sizeof(key) - 1);
    key[sizeof(key) - 1] = '\0';
    assert_int_equal(mosquitto_tls_psk_set(m, NULL, "i", NULL), MOSQ_ERR_INVAL);
    assert_int_equal(mosquitto_tls_psk_set(m, "ab", NULL, NULL), MOSQ_ERR_INVAL);
    assert_int_equal(mosquitto_tls_psk_set(m, "", "i", NULL), MOSQ_ERR_INVAL);
    assert_int_equal(mosquitto_tls_psk_set(m, "xy", "i", NULL), MOSQ_ERR_INVAL);
    assert_int_equal(mosquitto_tls_psk_set(m, "0xab", "i", NULL), MOSQ_ERR_INVAL);
    assert_int_equal(mosquitto_tls_psk_set(m, key, "i", NULL), MOSQ_ERR_INVAL);
    assert_null(m->options.psk_key);
    key[sizeof(key) - 2] = '\0';
    assert_int_equal(mosquitto_tls_psk_set(m, key, "i", NULL), built(FEATURE_TLS_PSK, 0));
    assert_int_equal(mosquitto_tls_psk_set(m, "ABcdef0", "i", "PSK"), built(FEATURE_TLS_PSK, 0));
    if (!feature_built(FEATURE_TLS_PSK))
        return;
    assert_string_equal(m->options.psk_key, "ABcdef0");
    assert_string_equal(m->options.psk_identity, "i");
    assert_string_equal(m->options.ciphers, "PSK");
    assert_true(m->options.tls);
    assert_true(m->tls_stale);
}

/* ---- All at once ---------------------------------------------------------------------------- */

static void nobody_has_no_options(void **state)
{
    int version = 4;

    (void)state;
    assert_int_equal(mosquitto_will_set(NULL, "a", 0, NULL, 0, false), MOSQ_ERR_INVAL);
    assert_int_equal(mosquitto_will_set_v5(NULL, "a", 0, NULL, 0, false, NULL), MOSQ_ERR_INVAL);
    assert_int_equal(mosquitto_will_clear(NULL), MOSQ_ERR_INVAL);
    assert_int_equal(mosquitto_username_pw_set(NULL, "a", "b"), MOSQ_ERR_INVAL);
    assert_int_equal(mosquitto_socks5_set(NULL, "a", 1, NULL, NULL), MOSQ_ERR_INVAL);
    assert_int_equal(mosquitto_reconnect_delay_set(NULL, 1, 1, false), MOSQ_ERR_INVAL);
    assert_int_equal(mosquitto_max_inflight_messages_set(NULL, 1), MOSQ_ERR_INVAL);
    assert_int_equal(mosquitto_int_option(NULL, MOSQ_OPT_TCP_NODELAY, 1), MOSQ_ERR_INVAL);
    assert_int_equal(mosquitto_string_option(NULL, MOSQ_OPT_BIND_ADDRESS, "a"), MOSQ_ERR_INVAL);
    assert_int_equal(mosquitto_void_option(NULL, MOSQ_OPT_SSL_CTX, &version), MOSQ_ERR_INVAL);
    assert_int_equal(mosquitto_opts_set(NULL, MOSQ_OPT_PROTOCOL_VERSION, &version), MOSQ_ERR_INVAL);
    assert_int_equal(mosquitto_tls_set(NULL, EMPTY, NULL, NULL, NULL, NULL), MOSQ_ERR_INVAL);
    assert_int_equal(mosquitto_tls_insecure_set(NULL, true), MOSQ_ERR_INVAL);
    assert_int_equal(mosquitto_tls_opts_set(NULL, 1, NULL, NULL), MOSQ_ERR_INVAL);
    assert_int_equal(mosquitto_tls_psk_set(NULL, "ab", "i", NULL), MOSQ_ERR_INVAL);
    mosquitto_message_retry_set(NULL, 1);
    mosquitto_connect_callback_set(NULL, NULL);
    mosquitto_connect_with_flags_callback_set(NULL, NULL);
    mosquitto_connect_v5_callback_set(NULL, NULL);
    mosquitto_disconnect_callback_set(NULL, NULL);
    mosquitto_disconnect_v5_callback_set(NULL, NULL);
    mosquitto_publish_callback_set(NULL, NULL);
    mosquitto_publish_v5_callback_set(NULL, NULL);
    mosquitto_message_callback_set(NULL, NULL);
    mosquitto_message_v5_callback_set(NULL, NULL);
    mosquitto_subscribe_callback_set(NULL, NULL);
    mosquitto_subscribe_v5_callback_set(NULL, NULL);
    mosquitto_unsubscribe_callback_set(NULL, NULL);
    mosquitto_unsubscribe_v5_callback_set(NULL, NULL);
    mosquitto_log_callback_set(NULL, NULL);
}

static void on_log(struct mosquitto *m, void *obj, int level, const char *line)
{
    (void)m;
    (void)obj;
    (void)level;
    (void)line;
}

static void lines_are_made_for_who_listens(void **state)
{
    struct mosquitto *m = *state;

    assert_false(log_wants(&m->log, LOG_LEVEL_DEBUG));
    mosquitto_log_callback_set(m, on_log);
    assert_true(log_wants(&m->log, LOG_LEVEL_DEBUG));
    mosquitto_log_callback_set(m, NULL);
    assert_false(log_wants(&m->log, LOG_LEVEL_ERROR));
}

static void ids_are_made_up(void **state)
{
    struct mosquitto *m = *state;
    char first[64];

    assert_int_equal(options_make_id(m), ERR_OK);
    assert_int_equal(strlen(m->options.id), 23);
    assert_memory_equal(m->options.id, "mosq-", 5);
    for (const char *c = m->options.id + 5; *c; c++)
        assert_non_null(
            strchr("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", *c));
    snprintf(first, sizeof(first), "%s", m->options.id);
    assert_int_equal(options_make_id(m), ERR_OK);
    assert_string_not_equal(m->options.id, first);
}

/* ---- Without memory ------------------------------------------------------------------------- */

static int new_will(struct mosquitto *m)
{
    return mosquitto_will_set(m, "new", 3, "new", 1, true);
}

static int new_login(struct mosquitto *m)
{
    return mosquitto_username_pw_set(m, "new", "new");
}

static int new_proxy(struct mosquitto *m)
{
    return mosquitto_socks5_set(m, "new", 2, "new", "new");
}

static int new_certificates(struct mosquitto *m)
{
    return mosquitto_tls_set(m, EMPTY, EMPTY, EMPTY, EMPTY, NULL);
}

static int new_key(struct mosquitto *m)
{
    return mosquitto_tls_psk_set(m, "ff", "new", "new");
}

static int new_alpn(struct mosquitto *m)
{
    return mosquitto_string_option(m, MOSQ_OPT_TLS_ALPN, "new");
}

static int new_id(struct mosquitto *m)
{
    return client_error(options_make_id(m));
}

static void a_failure_changes_nothing(void **state)
{
    static int (*const jobs[])(struct mosquitto *) = {
        new_will, new_login, new_proxy, new_certificates, new_key, new_alpn, new_id,
    };
    struct mosquitto *m = *state;

    if (mem_calls() == 0)
        skip();
    for (size_t i = 0; i < ARRAY_SIZE(jobs); i++) {
        for (uint64_t n = 0;; n++) {
            struct client_options before = m->options;
            size_t used = mem_used();

            mem_fail_after(n, 0);
            int error = jobs[i](m);
            bool failed = mem_failed() > 0;
            mem_fail_never();
            if (!failed)
                break;
            assert_int_equal(error, MOSQ_ERR_NOMEM);
            assert_memory_equal(&m->options, &before, sizeof(before));
            assert_int_equal(mem_used(), used);
        }
    }
}

static void a_client_that_cannot_be_made_leaves_nothing(void **state)
{
    struct mosquitto *m = NULL;
    size_t used = mem_used();

    (void)state;
    if (mem_calls() == 0)
        skip();
    for (uint64_t n = 0; !m; n++) {
        assert_int_equal(mem_used(), used);
        assert_true(n < 100);
        mem_fail_after(n, 0);
        m = mosquitto_new(n % 2 ? "id" : NULL, true, NULL);
        if (mem_failed() > 0)
            assert_null(m);
        mem_fail_never();
    }
    mosquitto_destroy(m);
}

/* What could not be made anew can be used, and destroyed. */
static void a_client_that_cannot_be_made_anew_stays_one(void **state)
{
    struct mosquitto *m = *state;

    if (mem_calls() == 0)
        skip();
    mem_fail_after(0, 1);
    assert_int_equal(mosquitto_reinitialise(m, "new", true, NULL), MOSQ_ERR_NOMEM);
    mem_fail_never();
    assert_int_equal(mosquitto_publish(m, NULL, "a", 0, NULL, 1, false), MOSQ_ERR_SUCCESS);
    assert_int_equal(mosquitto_reinitialise(m, "new", true, NULL), MOSQ_ERR_SUCCESS);
}

static void everything_is_given_back(void **state)
{
    struct mosquitto *m;
    size_t before = mem_used();

    (void)state;
    m = mosquitto_new(NULL, true, NULL);
    assert_non_null(m);
    assert_int_equal(new_will(m), 0);
    assert_int_equal(new_login(m), 0);
    assert_int_equal(new_proxy(m), built(FEATURE_SOCKS, 0));
    assert_int_equal(new_certificates(m), built(FEATURE_TLS, 0));
    assert_int_equal(new_key(m), built(FEATURE_TLS_PSK, 0));
    assert_int_equal(new_alpn(m), built(FEATURE_TLS, 0));
    mosquitto_destroy(m);
    assert_int_equal(mem_used(), before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(wills_are_checked, setup, teardown),
        cmocka_unit_test_setup_teardown(a_will_takes_its_properties, setup, teardown),
        cmocka_unit_test_setup_teardown(logins_are_checked, setup, teardown),
        cmocka_unit_test_setup_teardown(proxies_are_checked, setup, teardown),
        cmocka_unit_test_setup_teardown(numbers_are_checked, setup, teardown),
        cmocka_unit_test_setup_teardown(tls_has_switches, setup, teardown),
        cmocka_unit_test_setup_teardown(strings_are_checked, setup, teardown),
        cmocka_unit_test_setup_teardown(older_options_still_work, setup, teardown),
        cmocka_unit_test_setup_teardown(delays_are_kept_in_order, setup, teardown),
        cmocka_unit_test_setup_teardown(certificates_are_looked_for, setup, teardown),
        cmocka_unit_test_setup_teardown(the_system_may_know_the_authorities, setup, teardown),
        cmocka_unit_test_setup_teardown(tls_has_versions, setup, teardown),
        cmocka_unit_test_setup_teardown(keys_are_hexadecimal, setup, teardown),
        cmocka_unit_test(nobody_has_no_options),
        cmocka_unit_test_setup_teardown(lines_are_made_for_who_listens, setup, teardown),
        cmocka_unit_test_setup_teardown(ids_are_made_up, setup, teardown),
        cmocka_unit_test_setup_teardown(a_failure_changes_nothing, setup, teardown),
        cmocka_unit_test(a_client_that_cannot_be_made_leaves_nothing),
        cmocka_unit_test_setup_teardown(a_client_that_cannot_be_made_anew_stays_one, setup,
                                        teardown),
        cmocka_unit_test(everything_is_given_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
