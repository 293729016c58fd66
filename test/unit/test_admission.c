/*
 * Who may come in: each rule of a CONNECT, which of two comes first, and what the client is told.
 */
#include "core/admission.h"

#include "auth/realm.h"
#include "unit/rig.h"
#include "unit/unit.h"

#include <stdio.h>
#include <string.h>

struct door {
    struct conf conf;
    struct conf_listener rules;
    struct packet_connect p;
    bool proven;
};

static struct door open_door(void)
{
    return (struct door){
        .conf.global = {.retain_available = true, .global_max_clients = -1},
        .rules = {.max_qos = 2,
                  .accept_versions = CONF_MQTT_31 | CONF_MQTT_311,
                  .security = {.allow_anonymous = true, .allow_zero_length_clientid = true}},
        .p = {.client_id = STR("id"), .level = PROTOCOL_311, .clean_session = true},
    };
}

static void expect(const struct door *d, enum reason reason, enum connack code)
{
    const struct admission a = {.conf = &d->conf,
                                .rules = &d->rules,
                                .proven = d->proven,
                                .map = d->rules.mount_point ? &d->rules : NULL};
    struct verdict v = admission_check(&a, &d->p);

    if (v.reason == REASON_OK)
        v = admission_check_will(&a, &d->p);
    if (v.reason != reason)
        fail_msg("'%s' instead of '%s'", reason_text(v.reason), reason_text(reason));
    assert_int_equal(v.code, code);
}

static void expect_accepted(const struct door *d)
{
    expect(d, REASON_OK, CONNACK_ACCEPTED);
}

static void nothing_is_wrong_by_default(void **state)
{
    struct door d = open_door();

    (void)state;
    expect_accepted(&d);
    d.p.level = PROTOCOL_31;
    d.p.clean_session = false;
    expect_accepted(&d);
}

static void versions_are_accepted_as_listed(void **state)
{
    static const struct {
        unsigned accept;
        uint8_t level;
        bool good;
    } cases[] = {
        {CONF_MQTT_31, PROTOCOL_31, true},
        {CONF_MQTT_31, PROTOCOL_311, false},
        {CONF_MQTT_311, PROTOCOL_31, false},
        {CONF_MQTT_311, PROTOCOL_311, true},
        {CONF_MQTT_311 | CONF_MQTT_5, PROTOCOL_311, true},
        {CONF_MQTT_5, PROTOCOL_311, false},
        {CONF_MQTT_31 | CONF_MQTT_311 | CONF_MQTT_5, PROTOCOL_31, true},
    };

    (void)state;
    for (unsigned bridge = 0; bridge < 2; bridge++) {
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
            struct door d = open_door();
            d.rules.accept_versions = cases[i].accept;
            d.p.level = cases[i].level;
            d.p.bridge = bridge;
            expect(&d, cases[i].good ? REASON_OK : REASON_VERSION,
                   cases[i].good ? CONNACK_ACCEPTED : CONNACK_PROTOCOL_VERSION);
        }
    }
}

static void an_empty_id_needs_a_new_one(void **state)
{
    static const struct {
        bool allowed, clean;
        uint8_t level;
        bool made;
        enum reason reason;
    } cases[] = {
        {true, true, PROTOCOL_311, true, REASON_CLIENT_ID_NEEDED},
        {true, false, PROTOCOL_311, false, REASON_CLIENT_ID},
        {true, true, PROTOCOL_31, false, REASON_CLIENT_ID},
        {false, true, PROTOCOL_311, false, REASON_CLIENT_ID_NEEDED},
        {false, false, PROTOCOL_311, false, REASON_CLIENT_ID},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct door d = open_door();
        d.rules.security.allow_zero_length_clientid = cases[i].allowed;
        d.p.client_id = STR("");
        d.p.clean_session = cases[i].clean;
        d.p.level = cases[i].level;
        assert_int_equal(admission_makes_id(&d.rules, &d.p), cases[i].made);
        expect(&d, cases[i].reason, CONNACK_IDENTIFIER); /* as it is, it cannot come in */
        d.p.client_id = STR("id");
        assert_false(admission_makes_id(&d.rules, &d.p));
    }
}

static void ids_have_the_prefix(void **state)
{
    static const struct {
        const char *id;
        bool good;
    } cases[] = {
        {"ab", true}, {"abc", true}, {"a", false}, {"b", false}, {"xab", false}, {"AB", false},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct door d = open_door();
        d.conf.global.clientid_prefixes = (char *)(uintptr_t) "ab";
        d.p.client_id = str_c(cases[i].id);
        expect(&d, cases[i].good ? REASON_OK : REASON_CLIENT_ID_PREFIX,
               cases[i].good ? CONNACK_ACCEPTED : CONNACK_IDENTIFIER);
    }
}

static void the_user_name_becomes_the_id(void **state)
{
    struct door d = open_door();

    (void)state;
    d.p.has_username = true;
    d.p.username = STR("user");
    admission_rename(&d.rules, &d.p);
    assert_true(str_eq_c(d.p.client_id, "id"));
    d.rules.use_username_as_clientid = true;
    admission_rename(&d.rules, &d.p);
    assert_true(str_eq_c(d.p.client_id, "user"));
    expect_accepted(&d);
    d.conf.global.clientid_prefixes = (char *)(uintptr_t) "us";
    expect_accepted(&d);

    d = open_door();
    d.rules.use_username_as_clientid = true;
    for (unsigned empty = 0; empty < 2; empty++) {
        d.p.has_username = empty;
        for (unsigned with_id = 0; with_id < 2; with_id++) {
            d.p.client_id = with_id ? STR("id") : STR("");
            admission_rename(&d.rules, &d.p);
            assert_int_equal(d.p.client_id.n, with_id ? 2 : 0); /* what the log will say */
            assert_false(admission_makes_id(&d.rules, &d.p));
            expect(&d, REASON_NO_USERNAME, CONNACK_NOT_AUTHORISED);
        }
    }
}

static void the_keepalive_has_a_cap(void **state)
{
    static const struct {
        uint32_t max;
        uint16_t keepalive;
        bool good;
    } cases[] = {{0, 0, true},    {0, 65535, true}, {60, 60, true},      {60, 1, true},
                 {60, 61, false}, {60, 0, false},   {65535, 65535, true}};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct door d = open_door();
        d.conf.global.max_keepalive = cases[i].max;
        d.p.keepalive_s = cases[i].keepalive;
        expect(&d, cases[i].good ? REASON_OK : REASON_KEEPALIVE_MAX,
               cases[i].good ? CONNACK_ACCEPTED : CONNACK_IDENTIFIER);
    }
}

static void logins_are_for_the_listener_to_decide(void **state)
{
    struct door d = open_door();

    (void)state;
    d.conf.global.security.allow_anonymous = true; /* what counts is in force on the listener */
    d.rules.security.allow_anonymous = false;
    expect(&d, REASON_ANONYMOUS, CONNACK_NOT_AUTHORISED);
    d.p.has_username = true;
    d.p.username = STR("u");
    expect(&d, REASON_NOT_AUTHORISED, CONNACK_NOT_AUTHORISED);
}

/* A name is checked where there is a file to check it with, and a proven one nowhere. */
static void passwords_are_wanted_for_names(void **state)
{
    struct pwfile *some = (struct pwfile *)(uintptr_t) "not looked at here";
    struct realm realm = {.refs = 1};
    struct door d = open_door();
    const struct admission a = {.conf = &d.conf, .rules = &d.rules};
    const struct admission proven = {.conf = &d.conf, .rules = &d.rules, .proven = true};

    (void)state;
    d.p.has_username = true;
    d.p.username = STR("u");
    assert_false(admission_wants_password(&a, &d.p));
    d.rules.realm = &realm; /* of other files */
    assert_false(admission_wants_password(&a, &d.p));
    realm.passwords = some;
    assert_true(admission_wants_password(&a, &d.p));
    assert_false(admission_wants_password(&proven, &d.p));
    d.rules.security.allow_anonymous = false;
    expect_accepted(&d); /* so far */
    d.p.username = STR("");
    assert_false(admission_wants_password(&a, &d.p));
    expect(&d, REASON_ANONYMOUS, CONNACK_NOT_AUTHORISED);
    d.proven = true;
    expect_accepted(&d);
}

static void names_may_have_to_be_proven(void **state)
{
    struct door d = open_door();

    (void)state;
    d.p.has_username = true;
    d.p.username = STR("u");
    d.rules.use_identity_as_username = true;
    expect_accepted(&d); /* as Mosquitto has it: without TLS that is not looked at */
    d.rules.psk_hint = (char *)(uintptr_t) "hint";
    expect(&d, REASON_NO_IDENTITY, CONNACK_BAD_LOGIN);
    d.rules.psk_hint = NULL;
    d.rules.certfile = (char *)(uintptr_t) "file";
    d.rules.use_subject_as_username = true;
    expect(&d, REASON_NO_IDENTITY, CONNACK_BAD_LOGIN); /* it goes before the other */
    d.rules.use_identity_as_username = false;
    expect(&d, REASON_NO_SUBJECT, CONNACK_BAD_LOGIN);
    d.rules.use_username_as_clientid = true;
    d.p.username = STR("");
    expect(&d, REASON_NO_SUBJECT, CONNACK_BAD_LOGIN);
    d.rules.use_username_as_clientid = false;
    d.proven = true;
    expect_accepted(&d);
}

static void wills_keep_the_rules_of_publications(void **state)
{
    struct door d = open_door();

    (void)state;
    d.p.has_will = true;
    d.p.will_topic = STR("t");
    d.p.will_qos = QOS_2;
    d.p.will_retain = true;
    expect_accepted(&d);
    d.rules.max_qos = 1;
    expect(&d, REASON_QOS_MAX, CONNACK_NOT_AUTHORISED);
    d.conf.global.retain_available = false;
    expect(&d, REASON_RETAIN_UNAVAILABLE, CONNACK_NOT_AUTHORISED);
    d.conf.global.retain_available = true;
    d.rules.max_qos = 2;
    d.p.will_topic = STR("$SYS/x");
    expect(&d, REASON_WILL_TOPIC, CONNACK_NOT_AUTHORISED);
    d.p.will_topic = STR("m/$SYS/x"); /* what became of "$SYS/x" */
    expect_accepted(&d);
    d.rules.mount_point = (char *)(uintptr_t) "m/";
    expect(&d, REASON_WILL_TOPIC, CONNACK_NOT_AUTHORISED);
    d.p.has_will = false;
    expect_accepted(&d);
}

/* What gives most away comes last: nobody learns about logins by ids that cannot be. */
static void the_first_rule_that_is_broken_decides(void **state)
{
    struct door d = open_door();

    (void)state;
    d.rules = (struct conf_listener){.use_username_as_clientid = true};
    d.conf.global.clientid_prefixes = (char *)(uintptr_t) "x";
    d.conf.global.max_keepalive = 1;
    expect(&d, REASON_VERSION, CONNACK_PROTOCOL_VERSION);
    d.rules.accept_versions = CONF_MQTT_311;
    expect(&d, REASON_NO_USERNAME, CONNACK_NOT_AUTHORISED);
    d.rules.use_username_as_clientid = false;
    expect(&d, REASON_CLIENT_ID_PREFIX, CONNACK_IDENTIFIER);
    d.conf.global.clientid_prefixes = NULL;
    expect(&d, REASON_KEEPALIVE_MAX, CONNACK_IDENTIFIER);
    d.conf.global.max_keepalive = 0;
    expect(&d, REASON_ANONYMOUS, CONNACK_NOT_AUTHORISED);
    d.rules.security.allow_anonymous = true;
    expect_accepted(&d);
}

/* --- in the broker --- */

static void refused(struct rig *r, const struct packet_connect *p, uint8_t code)
{
    struct rig_client c;

    assert_true(rig_open(r, &c));
    rig_send_connect(&c, p);
    rig_settle(r);
    rig_expect_connack(&c, false, code);
    if (code != CONNACK_ACCEPTED)
        rig_expect_closed(&c);
    rig_forget(&c);
}

static void who_shares_a_user_name_is_taken_over(void **state)
{
    struct packet_connect p = {.client_id = STR("one"),
                               .level = PROTOCOL_311,
                               .has_username = true,
                               .username = STR("user")};
    struct rig_client first;
    struct rig_client second;
    struct rig r;

    (void)state;
    rig_setup(&r);
    r.listener.use_username_as_clientid = true;
    rig_start(&r);
    assert_true(rig_open(&r, &first));
    rig_send_connect(&first, &p);
    rig_settle(&r);
    rig_expect_connack(&first, false, CONNACK_ACCEPTED);
    p.client_id = STR("two");
    assert_true(rig_open(&r, &second));
    rig_send_connect(&second, &p);
    rig_settle(&r);
    rig_expect_connack(&second, true, CONNACK_ACCEPTED);
    rig_expect_closed(&first);
    p.has_username = false;
    refused(&r, &p, CONNACK_NOT_AUTHORISED);
    rig_forget(&first);
    rig_forget(&second);
    rig_end(&r);
}

static struct packet_connect client(const char *id, bool clean)
{
    return (struct packet_connect){
        .client_id = str_c(id), .level = PROTOCOL_311, .clean_session = clean};
}

/* Of the sessions there may be so many; one that is there already may be resumed or replaced. */
static void there_may_be_so_many_clients(void **state)
{
    struct rig_client stored;
    struct rig_client clean;
    struct rig r;
    struct packet_connect p;

    (void)state;
    rig_setup(&r);
    r.conf.global.global_max_clients = 2;
    rig_start(&r);
    rig_connect(&r, &stored, "stored", false);
    rig_connect(&r, &clean, "clean", true);
    p = client("third", true);
    refused(&r, &p, CONNACK_UNAVAILABLE);
    assert_int_equal(rig_logged(&r, "too many clients"), 1);
    rig_forget(&stored); /* it stays stored */
    refused(&r, &p, CONNACK_UNAVAILABLE);
    p = client("", true);
    refused(&r, &p, CONNACK_UNAVAILABLE);
    assert_true(rig_connect(&r, &stored, "stored", false));
    p = client("clean", false); /* takes over, and puts another in its place */
    refused(&r, &p, CONNACK_ACCEPTED);
    rig_expect_closed(&clean);
    p = client("clean", true);
    refused(&r, &p, CONNACK_ACCEPTED); /* and leaves none behind */
    p = client("third", true);
    refused(&r, &p, CONNACK_ACCEPTED);
    rig_forget(&stored);
    rig_forget(&clean);
    rig_end(&r);

    rig_setup(&r);
    r.conf.global.global_max_clients = 0;
    rig_start(&r);
    refused(&r, &p, CONNACK_UNAVAILABLE);
    rig_end(&r);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        UNIT_TEST(nothing_is_wrong_by_default),
        UNIT_TEST(versions_are_accepted_as_listed),
        UNIT_TEST(an_empty_id_needs_a_new_one),
        UNIT_TEST(ids_have_the_prefix),
        UNIT_TEST(the_user_name_becomes_the_id),
        UNIT_TEST(the_keepalive_has_a_cap),
        UNIT_TEST(logins_are_for_the_listener_to_decide),
        UNIT_TEST(passwords_are_wanted_for_names),
        UNIT_TEST(names_may_have_to_be_proven),
        UNIT_TEST(wills_keep_the_rules_of_publications),
        UNIT_TEST(the_first_rule_that_is_broken_decides),
        UNIT_TEST(who_shares_a_user_name_is_taken_over),
        UNIT_TEST(there_may_be_so_many_clients),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
