/*
 * Options that protect a listener: those that need each other, those that exclude each other, and
 * what is said of them in the wrong place. Nothing of what the file protects may end up open.
 */
#include "conf/check_security.h"

#include "conf_helper.h"

#define PLAIN "listener 18830\nallow_anonymous true\n"
#define PAIR "certfile /c\nkeyfile /k\n"
#define KEYS "psk_hint h\npsk_file /p\n"

/* Must load with this one warning. */
static void assert_warns(const char *text, const char *line)
{
    conf_free(loaded(text));
    assert_logged(line);
    assert_int_equal(captured.warnings, 1);
}

static void assert_silent(const char *text)
{
    conf_free(loaded(text));
    assert_string_equal(captured.text, "");
}

static void values_reach_their_listener(void **state)
{
    struct conf *c =
        loaded("listener 18830\n" PAIR "cafile /a\ncapath /b\ncrlfile /r\nciphers x:y\n"
               "ciphers_tls1.3 z\ndhparamfile /d\ntls_version tlsv1.3\n"
               "require_certificate true\nuse_subject_as_username true\n"
               "disable_client_cert_date_checks true\n"
               "listener 18831\nallow_anonymous true\n");
    const struct conf_listener *l = c->listeners[0], *plain = c->listeners[1];

    (void)state;
    assert_string_equal(l->certfile, "/c");
    assert_string_equal(l->keyfile, "/k");
    assert_string_equal(l->cafile, "/a");
    assert_string_equal(l->capath, "/b");
    assert_string_equal(l->crlfile, "/r");
    assert_string_equal(l->ciphers, "x:y");
    assert_string_equal(l->ciphers_tls13, "z");
    assert_string_equal(l->dhparamfile, "/d");
    assert_int_equal(l->tls_version, CONF_TLS_1_3);
    assert_true(l->require_certificate && l->use_subject_as_username);
    assert_true(l->disable_client_cert_date_checks);
    assert_true(conf_listener_has_tls(l) && conf_listener_proves_names(l));
    assert_false(conf_listener_has_tls(plain) || conf_listener_proves_names(plain));
    assert_int_equal(plain->tls_version, CONF_TLS_1_2);
    conf_free(c);
}

static void versions_of_tls(void **state)
{
    struct conf *c = loaded(PLAIN PAIR "tls_version tlsv1.1\n");

    (void)state;
    assert_int_equal(c->listeners[0]->tls_version, CONF_TLS_1_1);
    conf_free(c);
    assert_refused(PLAIN PAIR "tls_version tlsv1\n", 1,
                   "Error: tls_version 'tlsv1' (m.conf:5): expected one of 'tlsv1.3' 'tlsv1.2'.\n");
    assert_refused(PLAIN PAIR "tls_version 1.2\n", 1, "expected one of 'tlsv1.3' 'tlsv1.2'.\n");
}

static void a_pair_is_a_pair(void **state)
{
    (void)state;
    assert_silent(PLAIN PAIR);
    assert_refused(PLAIN "certfile /c\n", 1,
                   "Error: certfile (m.conf:3): expected keyfile too, with the private key of this "
                   "certificate.\n");
    assert_refused(PLAIN "keyfile /k\n", 1,
                   "Error: keyfile (m.conf:3): expected certfile too, with the certificate of this "
                   "key.\n");
    /* Not half here, half there. */
    assert_refused(PLAIN "certfile /c\nlistener 18831\nkeyfile /k\n", 2,
                   "Error: keyfile (m.conf:5)");
}

static void keys_stand_alone(void **state)
{
    (void)state;
    assert_silent(PLAIN KEYS);
    assert_refused(PLAIN "psk_hint h\n", 1,
                   "Error: psk_hint (m.conf:3): expected psk_file too, with identities and their "
                   "keys.\n");
    assert_refused(PLAIN PAIR KEYS, 1,
                   "Error: psk_hint (m.conf:5): expected on a listener of its own: this one has "
                   "certfile or keyfile.\n");
    assert_refused(PLAIN "keyfile /k\n" KEYS "require_certificate true\n", 1, "(m.conf:4)");
    assert_refused("per_listener_settings true\n" PLAIN KEYS
                   "listener 18831\nallow_anonymous true\npsk_hint h\n",
                   1, "Error: psk_hint (m.conf:8): expected psk_file too");
}

static void proof_needs_certificates_and_authorities(void **state)
{
    static const char *const options[] = {"require_certificate", "use_identity_as_username",
                                          "use_subject_as_username"};
    char text[200], line[200];

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(options); i++) {
        snprintf(text, sizeof(text), PLAIN "%s true\n", options[i]);
        snprintf(line, sizeof(line),
                 "Error: %s (m.conf:3): expected certfile and keyfile too: without them the "
                 "listener has no TLS.\n",
                 options[i]);
        assert_refused(text, 1, line);
        snprintf(text, sizeof(text), PLAIN PAIR "%s true\n", options[i]);
        snprintf(line, sizeof(line),
                 "Error: %s (m.conf:5): expected cafile or capath too, with those who sign the "
                 "certificates of clients.\n",
                 options[i]);
        assert_refused(text, 1, line);
        snprintf(text, sizeof(text), PLAIN PAIR "cafile /a\n%s true\n", options[i]);
        assert_silent(text);
        snprintf(text, sizeof(text), PLAIN PAIR "capath /a\n%s true\n", options[i]);
        assert_silent(text);
        snprintf(text, sizeof(text), PLAIN KEYS "%s true\n", options[i]);
        snprintf(line, sizeof(line),
                 "Error: %s (m.conf:5): expected certfile and keyfile in the place of psk_hint.\n",
                 options[i]);
        if (strcmp(options[i], "use_identity_as_username") == 0)
            assert_silent(text);
        else
            assert_refused(text, 1, line);
        snprintf(text, sizeof(text), PLAIN "%s false\n", options[i]);
        assert_silent(text);
    }
}

static void there_is_no_tls_at_a_unix_socket(void **state)
{
    static const char *const options[] = {"certfile /c\n",
                                          "keyfile /k\n",
                                          "psk_hint h\n",
                                          "require_certificate true\n",
                                          "use_identity_as_username 1\n",
                                          "use_subject_as_username true\n"};
    char text[200], line[200];

    (void)state;
    if (!feature_built(FEATURE_UNIX_SOCKETS))
        skip();
    for (size_t i = 0; i < ARRAY_SIZE(options); i++) {
        snprintf(text, sizeof(text), "listener 0 /run/m.sock\nallow_anonymous true\n%s",
                 options[i]);
        snprintf(line, sizeof(line),
                 "Error: %.*s (m.conf:3): expected on a listener with a port: there is no TLS at a "
                 "Unix socket.\n",
                 (int)strcspn(options[i], " "), options[i]);
        assert_refused(text, 1, line);
    }
}

static void what_has_no_effect(void **state)
{
    static const char plain[] = "has no effect: without certfile and keyfile the listener has no "
                                "TLS.\n";
    static const char keys[] = "has no effect: with psk_hint there are no certificates.\n";

    (void)state;
    assert_warns(PLAIN "cafile /a\n", "Warning: cafile (m.conf:3): has no effect: ");
    assert_warns(PLAIN "capath /a\n", plain);
    assert_warns(PLAIN "crlfile /a\n", plain);
    assert_warns(PLAIN "ciphers a\n", plain);
    assert_warns(PLAIN "ciphers_tls1.3 a\n", plain);
    assert_warns(PLAIN "dhparamfile /a\n", plain);
    assert_warns(PLAIN "tls_version tlsv1.2\n", plain);
    assert_warns(PLAIN "disable_client_cert_date_checks true\n", plain);
    assert_warns(PLAIN KEYS "cafile /a\n", keys);
    assert_warns(PLAIN KEYS "crlfile /a\n", keys);
    assert_warns(PLAIN KEYS "disable_client_cert_date_checks true\n", keys);
    assert_silent(PLAIN KEYS "ciphers a\ntls_version tlsv1.2\n");
    assert_warns(PLAIN PAIR "crlfile /a\n",
                 "Warning: crlfile (m.conf:5): has no effect without cafile or capath.\n");
    assert_warns(PLAIN PAIR "disable_client_cert_date_checks true\n",
                 "has no effect without cafile or capath.\n");
    assert_warns(PLAIN PAIR "cafile /a\nuse_identity_as_username true\n"
                            "use_subject_as_username true\n",
                 "Warning: use_subject_as_username (m.conf:7): has no effect beside "
                 "use_identity_as_username, which comes first.\n");
}

static void keys_that_nobody_asks_for(void **state)
{
    (void)state;
    assert_warns(PLAIN "psk_file /p\nlistener 18831\n",
                 "Warning: psk_file (m.conf:3): has no effect without a listener that has "
                 "psk_hint.\n");
    assert_warns("psk_file /p\n", "Warning: psk_file (m.conf:1): has no effect");
    assert_warns("per_listener_settings true\npsk_file /p\n", "Warning: psk_file (m.conf:2): ");
    assert_warns("per_listener_settings true\n" PLAIN KEYS
                 "listener 18831\nallow_anonymous true\npsk_file /q\n",
                 "Warning: psk_file (m.conf:8): has no effect");
    assert_silent(PLAIN "psk_file /p\nlistener 18831\npsk_hint h\n");
}

/* Mosquitto 2.0.0 to 2.0.11 opened a listener for everybody then. */
static void tls_without_a_listener_is_refused(void **state)
{
    (void)state;
    assert_refused(
        "allow_anonymous true\n" PAIR, 2,
        "Error: certfile (m.conf:2): expected behind the 'listener' that it is for; there "
        "is none.\n");
    assert_refused("cafile /a\nrequire_certificate true\n", 2, "Error: require_certificate (m.");
    assert_refused(KEYS, 1, "Error: psk_hint (m.conf:1)");
    assert_refused("tls_version tlsv1.2\n", 1, "Error: tls_version (m.conf:1)");
    assert_silent("require_certificate false\nuse_identity_as_username false\n");
    /* These ask for one. */
    assert_refused("allow_anonymous true\nbind_address ::1\nrequire_certificate true\n", 1,
                   "Error: require_certificate (m.conf:3): expected certfile");
    conf_free(loaded("allow_anonymous true\nport 18830\n" PAIR));
    conf_free(loaded(PAIR "allow_anonymous true\nport 18830\n"));
}

/* A plain listener behind them would look like a protected one. */
static void protection_before_the_first_listener_is_refused(void **state)
{
    (void)state;
    assert_refused(
        PAIR PLAIN, 2,
        "Error: certfile (m.conf:1): expected behind the 'listener' that it is for; here "
        "it protects none.\n");
    assert_refused("require_certificate true\n" PLAIN, 1, "Error: require_certificate (m.conf:1)");
    assert_refused("per_listener_settings true\nacl_file /a\n" PLAIN, 1,
                   "Error: acl_file (m.conf:2)");
    assert_refused("per_listener_settings true\npassword_file /a\n" PLAIN, 1,
                   "Error: password_file (m.conf:2)");
    assert_warns("require_certificate false\n" PLAIN,
                 "Warning: require_certificate (m.conf:1): has no effect: it belongs behind ");
    /* Without that option they are for all listeners. */
    assert_silent("acl_file /a\npassword_file /b\n" PLAIN);
}

static void files_are_in_force_where_they_are_written(void **state)
{
    struct conf *c = loaded("listener 18830\npassword_file /p\nacl_file /a\nlistener 18831\n"
                            "acl_subscribe check\n");

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        const struct conf_security *s = &c->listeners[i]->security;
        assert_string_equal(s->password_file, "/p");
        assert_string_equal(s->acl_file, "/a");
        assert_true(s->acl_subscribe_check);
        assert_null(s->psk_file);
        assert_false(s->allow_anonymous);
    }
    assert_int_equal(captured.warnings, 0);
    conf_free(c);
    c = loaded("per_listener_settings true\nlistener 18830\npassword_file /p\n"
               "listener 18831\nallow_anonymous true\nacl_file /a\nacl_subscribe grant\n");
    assert_string_equal(c->listeners[0]->security.password_file, "/p");
    assert_null(c->listeners[0]->security.acl_file);
    assert_null(c->listeners[1]->security.password_file);
    assert_string_equal(c->listeners[1]->security.acl_file, "/a");
    assert_false(c->listeners[1]->security.acl_subscribe_check);
    conf_free(c);
    /* CVE-2018-20145: the default listener's was ignored. */
    c = loaded("per_listener_settings true\nport 18830\npassword_file /p\nacl_file /a\n");
    assert_string_equal(c->listeners[0]->security.password_file, "/p");
    assert_string_equal(c->listeners[0]->security.acl_file, "/a");
    conf_free(c);
    assert_refused("acl_file /a\nacl_file /b\n", 1, "Duplicate 'acl_file' value");
    assert_refused("acl_subscribe deny\n", 1, "expected one of 'grant' 'check'.\n");
}

/* A password file alone does not shut out who gives no name; that is allow_anonymous. */
static void local_only_with_a_password_file(void **state)
{
    struct conf *c = loaded("password_file /p\n");

    (void)state;
    assert_true(c->local_only);
    assert_true(c->listeners[0]->security.allow_anonymous);
    assert_string_equal(c->listeners[1]->security.password_file, "/p");
    conf_free(c);
    c = loaded("password_file /p\nallow_anonymous false\n");
    assert_true(c->local_only);
    assert_false(c->listeners[0]->security.allow_anonymous);
    assert_int_equal(captured.warnings, 0);
    conf_free(c);
}

static void somebody_can_connect(void **state)
{
    (void)state;
    assert_silent("listener 18830\npassword_file /p\n");
    assert_silent("listener 18830\nallow_anonymous false\npassword_file /p\n");
    assert_warns("listener 18830\nallow_anonymous false\nacl_file /a\n",
                 "Warning: allow_anonymous 'false' (m.conf:2): no client can connect; expected "
                 "password_file, or names that clients prove by TLS (use_identity_as_username), or "
                 "true.\n");
    if (!feature_built(FEATURE_TLS_PSK))
        skip();
    assert_silent("listener 18830\n" PAIR "cafile /a\nuse_identity_as_username true\n");
    assert_silent("listener 18830\n" PAIR "cafile /a\nuse_subject_as_username true\n");
    assert_silent("listener 18830\n" KEYS "use_identity_as_username true\n");
    /* A certificate or a key alone gives no name. */
    assert_warns("listener 18830\n" PAIR "cafile /a\nrequire_certificate true\n",
                 "Warning: listener on port 18830 (m.conf:1): no client can connect; ");
    assert_warns("listener 18830\n" KEYS, "no client can connect; ");
}

static void what_is_unwise(void **state)
{
    static const char *const cases[][2] = {
        {PLAIN PAIR "password_file /p\n",
         "Warning: listener on port 18830 (m.conf:1): who gives no user name needs no password; "
         "'allow_anonymous false' would ask everybody for both.\n"},
        {PLAIN PAIR, "(m.conf:1): anybody who can reach this machine "},
        {"listener 18830\npassword_file /p\n" PAIR "tls_version tlsv1.1\n",
         "Warning: tls_version 'tlsv1.1' (m.conf:5): that version is broken; tlsv1.2 would be "
         "better.\n"},
        {PLAIN PAIR "cafile /a\nrequire_certificate true\nacl_file /b\n",
         "anybody may take any user name that acl_file has rules for; password_file would ask for "
         "proof.\n"},
    };
    static const char *const wise[] = {
        "listener 18830\npassword_file /p\nacl_file /a\n" PAIR,
        "listener 18830\nacl_file /a\n" PAIR "cafile /a\nuse_identity_as_username true\n",
        PLAIN PAIR "cafile /a\nrequire_certificate true\n",
        PLAIN KEYS,
        "listener 18830\npassword_file /p\nenable_proxy_protocol 2\ntrusted_proxy ::1\n"
        "proxy_protocol_v2_require_tls true\n",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        conf_free(tested(cases[i][0]));
        assert_logged(cases[i][1]);
        assert_int_equal(captured.warnings, 1);
    }
    for (size_t i = 0; i < ARRAY_SIZE(wise); i++) {
        conf_free(tested(wise[i]));
        assert_string_equal(captured.text, "");
    }
}

static void limits_of_failed_logins(void **state)
{
    struct conf *c = loaded("");

    (void)state;
    assert_int_equal(c->global.login_failure_limit, 10);
    assert_int_equal(c->global.login_failure_delay, 1);
    assert_true(c->global.check_retain_source);
    conf_free(c);
    c = loaded("login_failure_limit 0\nlogin_failure_delay 60\ncheck_retain_source false\n");
    assert_int_equal(c->global.login_failure_limit, 0);
    assert_int_equal(c->global.login_failure_delay, 60);
    assert_false(c->global.check_retain_source);
    conf_free(c);
    assert_refused("login_failure_limit -1\n", 1, "expected a number from 0 to 4294967295.\n");
    assert_refused("login_failure_delay 0\n", 1, "expected a number of seconds from 1 to 60.\n");
    assert_refused("login_failure_delay 61\n", 1, "expected a number of seconds from 1 to 60.\n");
}

/* Every allocation fails once; sections and listeners own the same kinds of text. */
static void without_memory(void **state)
{
    static const char text[] = "per_listener_settings true\nlistener 18830\npassword_file /p\n"
                               "acl_file /a\nlistener_auto_id_prefix x\nport 18831\n"
                               "allow_anonymous true\n";
    enum err e = ERR_NOMEM;

    (void)state;
    unit_needs_tracking();
    for (uint64_t n = 0; e == ERR_NOMEM; n++) {
        struct conf *c;
        mem_fail_after(n, 0);
        e = load(text, &c);
        mem_fail_never();
        conf_free(c);
    }
    assert_int_equal(e, ERR_OK);
}

int main(void)
{
    static const struct CMUnitTest always[] = {
        UNIT_TEST(files_are_in_force_where_they_are_written),
        UNIT_TEST(local_only_with_a_password_file),
        UNIT_TEST(somebody_can_connect),
        UNIT_TEST(limits_of_failed_logins),
        UNIT_TEST(without_memory),
    };
    static const struct CMUnitTest of_tls[] = {
        UNIT_TEST(values_reach_their_listener),
        UNIT_TEST(versions_of_tls),
        UNIT_TEST(a_pair_is_a_pair),
        UNIT_TEST(keys_stand_alone),
        UNIT_TEST(proof_needs_certificates_and_authorities),
        UNIT_TEST(there_is_no_tls_at_a_unix_socket),
        UNIT_TEST(what_has_no_effect),
        UNIT_TEST(keys_that_nobody_asks_for),
        UNIT_TEST(tls_without_a_listener_is_refused),
        UNIT_TEST(protection_before_the_first_listener_is_refused),
        UNIT_TEST(what_is_unwise),
    };
    int failed = cmocka_run_group_tests(always, NULL, NULL);

    if (feature_built(FEATURE_TLS_PSK))
        failed += cmocka_run_group_tests(of_tls, NULL, NULL);
    return failed;
}
