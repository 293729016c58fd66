/*
 * Logins: which passwords are handed out to be checked, what happens to a connection and its
 * session meanwhile, and who has to wait for guessing too often.
 */
#include "core/login.h"

#include "auth/realm.h"
#include "core/state.h"
#include "mqtt/encode.h"
#include "unit/rig.h"
#include "unit/unit.h"

#include <stdio.h>
#include <string.h>

/* A broker whose listener has a password file. */
struct hall {
    struct rig r;
    struct realm realm;
};

static struct pwfile *users(const char *text)
{
    static const struct log quiet = {0};
    struct pwfile *f = NULL;

    assert_ok(pwfile_parse(str_c(text), "users", &quiet, &f));
    return f;
}

static void set_up(struct hall *h)
{
    rig_setup(&h->r);
    h->realm = (struct realm){.refs = 1, .passwords = users("ann:apple\nbob:banana\n")};
    h->r.listener.realm = &h->realm;
    h->r.listener.security.password_file = (char *)(uintptr_t) "/users";
    h->r.listener.security.allow_anonymous = false;
    h->r.conf.global.login_failure_limit = 10;
    h->r.conf.global.login_failure_delay = 1;
}

static void begin(struct hall *h)
{
    set_up(h);
    rig_start(&h->r);
}

static void end(struct hall *h)
{
    h->r.listener.realm = NULL; /* the rig's are its own */
    pwfile_unref(h->realm.passwords);
    rig_end(&h->r);
}

static struct packet_connect login(const char *id, const char *user, const char *password)
{
    return (struct packet_connect){.client_id = str_c(id),
                                   .level = PROTOCOL_311,
                                   .clean_session = true,
                                   .has_username = user,
                                   .username = str_c(user),
                                   .has_password = password,
                                   .password = str_c(password)};
}

/* From a loopback address: never slowed down. */
static void knock(struct hall *h, struct rig_client *c, const struct packet_connect *p)
{
    assert_true(rig_open(&h->r, c));
    rig_send_connect(c, p);
    rig_settle(&h->r);
}

static bool is_right(const struct login_job *job)
{
    return pwhash_matches(job->hash, str_of(job->password, job->password_len));
}

/* Check the next one that waits; false: none does. */
static bool check_one(struct hall *h)
{
    struct login_job job;

    if (!broker_take_login(h->r.b, &job))
        return false;
    broker_login_done(h->r.b, &job, is_right(&job));
    rig_settle(&h->r);
    return true;
}

static void expect_answer(struct hall *h, const struct packet_connect *p, uint8_t code)
{
    struct rig_client c;

    knock(h, &c, p);
    while (check_one(h))
        continue;
    rig_expect_connack(&c, false, code);
    if (code != CONNACK_ACCEPTED)
        rig_expect_closed(&c);
    rig_forget(&c);
}

static void send_publish(struct rig_client *c)
{
    rig_publish(c, "t", "behind it", QOS_0, 0);
}

/* --- what is right --- */

static void the_password_decides(void **state)
{
    static const struct {
        const char *user, *password;
        bool good;
    } cases[] = {
        {"ann", "apple", true},   {"bob", "banana", true}, {"ann", "banana", false},
        {"ann", "apple ", false}, {"ann", "Apple", false}, {"ann", "", false},
        {"ann", NULL, false},     {"eve", "apple", false}, {"Ann", "apple", false},
        {"ann:apple", "", false}, {"eve", NULL, false},    {"eve", "", false},
    };
    struct hall h;

    (void)state;
    begin(&h);
    for (unsigned anonymous = 0; anonymous < 2; anonymous++) {
        h.r.listener.security.allow_anonymous = anonymous;
        rig_pass(&h.r, 2000); /* another ten lines may be said */
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
            struct packet_connect p = login("c", cases[i].user, cases[i].password);
            expect_answer(&h, &p, cases[i].good ? CONNACK_ACCEPTED : CONNACK_NOT_AUTHORISED);
        }
    }
    assert_int_equal(rig_logged(&h.r, "Client c [127.0.0.1:4000] disconnected: not authorised: "
                                      "wrong user name or password (password_file /users, user "
                                      "'ann')."),
                     10);
    end(&h);
}

static void who_gives_no_name_is_anonymous(void **state)
{
    struct packet_connect p = login("c", NULL, NULL);
    struct hall h;

    (void)state;
    begin(&h);
    for (unsigned given = 0; given < 2; given++) {
        p.has_username = given; /* and empty */
        p.has_password = given;
        h.r.listener.security.allow_anonymous = true;
        expect_answer(&h, &p, CONNACK_ACCEPTED);
        h.r.listener.security.allow_anonymous = false;
        expect_answer(&h, &p, CONNACK_NOT_AUTHORISED);
    }
    assert_int_equal(rig_logged(&h.r, "anonymous clients are not allowed"), 2);
    end(&h);
}

static void without_a_file_a_name_is_worth_nothing(void **state)
{
    struct packet_connect p = login("c", "ann", "apple");
    struct hall h;
    struct realm empty = {.refs = 1};

    (void)state;
    begin(&h);
    for (unsigned other_files = 0; other_files < 2; other_files++) {
        h.r.listener.realm = other_files ? &empty : NULL;
        h.r.listener.security.allow_anonymous = true;
        expect_answer(&h, &p, CONNACK_ACCEPTED);
        h.r.listener.security.allow_anonymous = false;
        expect_answer(&h, &p, CONNACK_NOT_AUTHORISED);
    }
    assert_int_equal(rig_logged(&h.r, "not authorised (allow_anonymous false, user 'ann')"), 2);
    end(&h);
}

static void unknown_users_cost_as_much(void **state)
{
    struct packet_connect p = login("c", "eve", "apple");
    struct login_job job;
    struct rig_client c;
    struct hall h;

    (void)state;
    begin(&h);
    knock(&h, &c, &p);
    assert_true(broker_take_login(h.r.b, &job));
    assert_true(job.decoy);
    assert_non_null(job.hash);
    assert_ptr_equal(job.hash, pwfile_decoy(h.realm.passwords, STR("eve")));
    assert_int_equal(job.password_len, 5);
    broker_login_done(h.r.b, &job, true); /* it would be the password of somebody else */
    rig_settle(&h.r);
    rig_expect_connack(&c, false, CONNACK_NOT_AUTHORISED);
    rig_forget(&c);

    p = login("c", "ann", "wrong");
    knock(&h, &c, &p);
    assert_true(broker_take_login(h.r.b, &job));
    assert_false(job.decoy);
    assert_ptr_equal(job.hash, pwfile_find(h.realm.passwords, STR("ann")));
    broker_login_done(h.r.b, &job, false);
    rig_forget(&c);
    end(&h);
}

static void where_there_are_no_users_all_are_wrong(void **state)
{
    struct packet_connect p = login("c", "ann", "apple");
    struct rig_client c;
    struct hall h;

    (void)state;
    begin(&h);
    pwfile_unref(h.realm.passwords);
    h.realm.passwords = users("");
    knock(&h, &c, &p); /* nothing had to be checked */
    rig_expect_connack(&c, false, CONNACK_NOT_AUTHORISED);
    rig_expect_closed(&c);
    rig_forget(&c);
    end(&h);
}

/* --- what is looked at before, and after --- */

static void what_costs_nothing_is_checked_first(void **state)
{
    struct packet_connect p = login("c", "ann", "wrong");
    struct hall h;
    struct login_job job;

    (void)state;
    begin(&h);
    h.r.conf.global.max_keepalive = 10;
    p.keepalive_s = 11;
    expect_answer(&h, &p, CONNACK_IDENTIFIER);
    p.keepalive_s = 10;
    p.has_will = true;
    p.will_topic = STR("t");
    p.will_qos = QOS_2;
    h.r.listener.max_qos = 1;
    expect_answer(&h, &p, CONNACK_NOT_AUTHORISED);
    assert_int_equal(rig_logged(&h.r, "QoS too high"), 1);
    h.r.conf.global.global_max_clients = 0;
    p.will_qos = QOS_0;
    expect_answer(&h, &p, CONNACK_UNAVAILABLE);
    assert_int_equal(rig_logged(&h.r, "wrong user name"), 0);
    assert_false(broker_take_login(h.r.b, &job));
    end(&h);
}

static void only_who_has_logged_in_learns_where_wills_may_go(void **state)
{
    struct packet_connect p = login("c", "ann", "wrong");
    struct hall h;

    (void)state;
    begin(&h);
    p.has_will = true;
    p.will_topic = STR("$SYS/x");
    expect_answer(&h, &p, CONNACK_NOT_AUTHORISED);
    assert_int_equal(rig_logged(&h.r, "will topic"), 0);
    p.password = STR("apple");
    expect_answer(&h, &p, CONNACK_NOT_AUTHORISED);
    assert_int_equal(rig_logged(&h.r, "will topic not allowed"), 1);
    end(&h);
}

/* --- while it waits --- */

static void what_comes_behind_waits_with_it(void **state)
{
    struct packet_connect p = login("c", "ann", "apple");
    struct rig_client c;
    struct hall h;

    (void)state;
    for (unsigned drip = 0; drip < 3; drip++) {
        begin(&h);
        h.r.max_read = drip ? drip : SIZE_MAX;
        assert_true(rig_open(&h.r, &c));
        rig_send_connect(&c, &p);
        rig_send_subscribe(&c, 1, "t", QOS_0);
        send_publish(&c);
        rig_settle(&h.r);
        rig_check(&h.r);
        rig_expect_nothing(&c);
        assert_int_equal(broker_stats(h.r.b)->publish_received, 0);
        assert_int_equal(broker_stats(h.r.b)->packets_received, 0);
        assert_int_equal(broker_stats(h.r.b)->connects_received, 1);
        assert_true(check_one(&h));
        rig_expect_connack(&c, false, CONNACK_ACCEPTED);
        rig_expect(&c, PACKET_SUBACK);
        rig_expect_publish(&c, "t", "behind it", QOS_0);
        assert_int_equal(broker_stats(h.r.b)->packets_received, 3);
        assert_int_equal(broker_stats(h.r.b)->connects_received, 1);
        assert_false(check_one(&h));
        rig_forget(&c);
        end(&h);
    }
}

static void it_is_read_on_until_something_has_come(void **state)
{
    struct packet_connect p = login("c", "ann", "apple");
    struct rig_client c;
    struct hall h;

    (void)state;
    begin(&h);
    knock(&h, &c, &p);
    assert_int_equal(broker_wish(h.r.b, c.conn), WISH_READ); /* it might be gone */
    send_publish(&c);
    rig_settle(&h.r);
    assert_int_equal(c.out.at, c.out.n);
    assert_int_equal(broker_wish(h.r.b, c.conn), WISH_PAUSE);
    send_publish(&c);
    rig_settle(&h.r);
    assert_true(c.out.at < c.out.n);
    assert_true(check_one(&h));
    assert_int_equal(broker_wish(h.r.b, c.conn), WISH_READ);
    assert_int_equal(c.out.at, c.out.n);
    rig_expect_connack(&c, false, CONNACK_ACCEPTED);
    assert_int_equal(broker_stats(h.r.b)->publish_received, 2);
    rig_forget(&c);
    end(&h);
}

/* Larger than the buffer that everything is read into. */
static void a_large_connect_waits_too(void **state)
{
    static char payload[65000];
    struct packet_connect p = login("c", "ann", "apple");
    struct rig_client c;
    struct hall h;

    (void)state;
    memset(payload, 'x', sizeof(payload));
    p.has_will = true;
    p.will_topic = STR("t");
    p.will_payload = str_of(payload, sizeof(payload));
    for (size_t id = 1; id < 2000; id += 499) {
        begin(&h);
        p.client_id = str_of(payload, id);
        assert_true(rig_open(&h.r, &c));
        rig_send_connect(&c, &p);
        send_publish(&c);
        rig_settle(&h.r);
        rig_expect_nothing(&c);
        assert_true(check_one(&h));
        rig_expect_connack(&c, false, CONNACK_ACCEPTED);
        assert_int_equal(broker_stats(h.r.b)->publish_received, 1);
        rig_forget(&c);
        end(&h);
    }
}

static void nobody_waits_for_those_who_are_gone(void **state)
{
    struct packet_connect p = login("c", "ann", "apple");
    struct rig_client c;
    struct login_job job;
    struct hall h;

    (void)state;
    begin(&h);
    knock(&h, &c, &p);
    rig_hang_up(&c);
    rig_settle(&h.r);
    assert_null(c.conn);
    assert_false(broker_take_login(h.r.b, &job));
    rig_forget(&c);

    knock(&h, &c, &p);
    assert_true(broker_take_login(h.r.b, &job));
    rig_forget(&c);
    rig_check(&h.r);
    broker_login_done(h.r.b, &job, true); /* frees what is the job's */
    rig_settle(&h.r);
    assert_int_equal(broker_stats(h.r.b)->sessions, 0);
    end(&h);
}

/* An answer is for the one who asked, whatever has become of its place. */
static void answers_come_in_any_order(void **state)
{
    struct packet_connect right = login("right", "ann", "apple");
    struct packet_connect wrong = login("wrong", "ann", "banana");
    struct rig_client a;
    struct rig_client b;
    struct rig_client gone;
    struct login_job jobs[3];
    struct hall h;

    (void)state;
    begin(&h);
    knock(&h, &gone, &right);
    knock(&h, &a, &right);
    knock(&h, &b, &wrong);
    for (size_t i = 0; i < 3; i++)
        assert_true(broker_take_login(h.r.b, &jobs[i]));
    assert_false(check_one(&h));
    rig_forget(&gone);
    for (size_t i = 3; i-- > 0;)
        broker_login_done(h.r.b, &jobs[i], is_right(&jobs[i]));
    rig_settle(&h.r);
    rig_expect_connack(&a, false, CONNACK_ACCEPTED);
    rig_expect_connack(&b, false, CONNACK_NOT_AUTHORISED);
    rig_forget(&a);
    rig_forget(&b);
    end(&h);
}

static void its_time_limit_is_met_by_a_whole_connect(void **state)
{
    struct packet_connect p = login("c", "ann", "apple");
    struct rig_client c;
    struct hall h;

    (void)state;
    begin(&h);
    p.keepalive_s = 10;
    knock(&h, &c, &p);
    rig_pass(&h.r, 10 * BROKER_CONNECT_MS);
    assert_non_null(c.conn);
    assert_true(check_one(&h));
    rig_expect_connack(&c, false, CONNACK_ACCEPTED);
    rig_pass(&h.r, 14900);
    assert_non_null(c.conn);
    rig_pass(&h.r, 200);
    rig_expect_closed(&c);
    assert_int_equal(rig_logged(&h.r, "exceeded timeout"), 1);
    rig_forget(&c);
    end(&h);
}

static void a_session_is_not_touched_before_the_answer(void **state)
{
    struct packet_connect p = login("c", "ann", "apple");
    struct rig_client first;
    struct rig_client second;
    struct hall h;

    (void)state;
    begin(&h);
    p.clean_session = false;
    knock(&h, &first, &p);
    assert_true(check_one(&h));
    rig_expect_connack(&first, false, CONNACK_ACCEPTED);

    p.password = STR("wrong");
    knock(&h, &second, &p);
    assert_non_null(first.conn);
    assert_true(check_one(&h));
    rig_expect_connack(&second, false, CONNACK_NOT_AUTHORISED);
    assert_non_null(first.conn);
    rig_forget(&second);

    p.password = STR("apple");
    knock(&h, &second, &p);
    assert_non_null(first.conn);
    assert_true(check_one(&h));
    rig_expect_connack(&second, true, CONNACK_ACCEPTED);
    rig_expect_closed(&first);
    rig_forget(&first);
    rig_forget(&second);
    end(&h);
}

/* --- rules that change --- */

static void the_file_that_is_in_force_decides(void **state)
{
    struct packet_connect p = login("c", "ann", "cherry");
    struct rig_client c;
    struct login_job job;
    struct pwfile *former;
    struct hall h;

    (void)state;
    begin(&h);
    former = h.realm.passwords;
    knock(&h, &c, &p);
    assert_true(broker_take_login(h.r.b, &job));
    h.realm.passwords = users("ann:cherry\n");
    pwfile_unref(former); /* the job holds it */
    broker_login_done(h.r.b, &job, is_right(&job));
    rig_settle(&h.r);
    rig_expect_nothing(&c);
    assert_true(check_one(&h)); /* once more, with the other file */
    rig_expect_connack(&c, false, CONNACK_ACCEPTED);
    rig_forget(&c);

    knock(&h, &c, &p); /* not handed out yet */
    pwfile_unref(h.realm.passwords);
    h.realm.passwords = users("bob:cherry\n");
    assert_true(check_one(&h));
    rig_expect_connack(&c, false, CONNACK_NOT_AUTHORISED);
    rig_forget(&c);
    end(&h);
}

static void a_file_may_go_while_a_login_waits(void **state)
{
    struct packet_connect p = login("c", "ann", "wrong");
    struct rig_client c;
    struct login_job job;
    struct hall h;

    (void)state;
    for (unsigned taken = 0; taken < 2; taken++) {
        for (unsigned anonymous = 0; anonymous < 2; anonymous++) {
            begin(&h);
            h.r.listener.security.allow_anonymous = anonymous;
            knock(&h, &c, &p);
            if (taken)
                assert_true(broker_take_login(h.r.b, &job));
            h.r.listener.realm = NULL;
            if (taken)
                broker_login_done(h.r.b, &job, false);
            else
                assert_false(broker_take_login(h.r.b, &job));
            rig_settle(&h.r);
            rig_expect_connack(&c, false, anonymous ? CONNACK_ACCEPTED : CONNACK_NOT_AUTHORISED);
            rig_forget(&c);
            end(&h);
        }
    }
}

static void change_users(struct hall *h, const char *text)
{
    pwfile_unref(h->realm.passwords);
    h->realm.passwords = text ? users(text) : NULL;
    broker_rights_changed(h->r.b);
    rig_settle(&h->r);
}

/* Who could not log in with the password that let them in does not stay. */
static void passwords_may_be_revoked(void **state)
{
    static const struct {
        const char *users;
        bool anonymous, stays;
    } cases[] = {
        {"ann:apple\nbob:banana\n", false, true},
        {"bob:x\nann:apple\n", false, true}, /* others do not matter */
        {"bob:banana\n", false, false},
        {"ann:cherry\n", false, false},
        {"ann:cherry\n", true, false},
        {"", true, false},
        {NULL, true, true}, /* no name is checked any more */
        {NULL, false, false},
    };
    struct packet_connect ann = login("c", "ann", "apple");
    struct packet_connect carol = login("d", "carol", NULL);
    struct rig_client c;
    struct rig_client proven;
    struct hall h;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        begin(&h);
        h.r.listener.security.allow_anonymous = cases[i].anonymous;
        knock(&h, &c, &ann);
        assert_true(check_one(&h));
        rig_expect_connack(&c, false, CONNACK_ACCEPTED);
        assert_true(rig_open(&h.r, &proven));
        assert_ok(broker_name(h.r.b, proven.conn, STR("carol")));
        rig_send_connect(&proven, &carol);
        rig_settle(&h.r);
        change_users(&h, cases[i].users);
        assert_int_equal(c.conn != NULL, cases[i].stays);
        assert_int_equal(rig_logged(&h.r, "not authorised any more"), !cases[i].stays);
        assert_non_null(proven.conn);
        rig_forget(&c);
        rig_forget(&proven);
        end(&h);
    }
}

/* Rules may come into force that would not have let them in: who has shown nothing does not stay.
 */
static void who_came_unchecked_may_have_to_go(void **state)
{
    static const struct {
        const char *users;
        bool anonymous, nobody_stays, ann_stays;
    } cases[] = {
        {NULL, true, true, true},
        {NULL, false, false, false},
        {"ann:apple\n", true, true, false},
        {"ann:apple\n", false, false, false},
    };
    struct packet_connect nobody = login("n", NULL, NULL);
    struct packet_connect ann = login("a", "ann", "apple");
    struct packet_connect carol = login("p", "carol", NULL);

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct rig_client n, a, proven;
        struct hall h;
        begin(&h);
        h.r.listener.security.allow_anonymous = true;
        change_users(&h, NULL);
        knock(&h, &n, &nobody);
        knock(&h, &a, &ann);
        assert_true(rig_open(&h.r, &proven));
        assert_ok(broker_name(h.r.b, proven.conn, STR("carol")));
        rig_send_connect(&proven, &carol);
        rig_settle(&h.r);
        h.r.listener.security.allow_anonymous = cases[i].anonymous;
        change_users(&h, cases[i].users);
        assert_int_equal(n.conn != NULL, cases[i].nobody_stays);
        assert_int_equal(a.conn != NULL, cases[i].ann_stays);
        assert_non_null(proven.conn);
        assert_int_equal(
            rig_logged(&h.r, "anonymous clients are not allowed (allow_anonymous false)"),
            !cases[i].nobody_stays);
        rig_forget(&n);
        rig_forget(&a);
        rig_forget(&proven);
        end(&h);
    }
}

/* Thousands are not looked at in one turn, and none of them is listened to before. */
static void all_are_looked_at_in_turns(void **state)
{
    enum { MANY = 5000 };
    static struct rig_client c[MANY];
    uint64_t open = 0;
    struct hall h;

    (void)state;
    begin(&h);
    for (size_t i = 0; i < MANY; i++) {
        char id[16];
        (void)snprintf(id, sizeof(id), "c%zu", i);
        struct packet_connect p = login(id, i == 7 ? "bob" : "ann", i == 7 ? "banana" : "apple");
        assert_true(rig_open(&h.r, &c[i]));
        rig_send_connect(&c[i], &p);
    }
    rig_settle(&h.r);
    while (check_one(&h))
        continue;
    pwfile_unref(h.realm.passwords);
    h.realm.passwords = users("ann:cherry\nbob:banana\n");
    open = broker_stats(h.r.b)->sessions_connected;
    assert_int_equal(open, MANY);
    broker_rights_changed(h.r.b);
    rig_forget(&c[MANY / 2]); /* some go meanwhile */
    rig_turn(&h.r);
    assert_in_range(broker_stats(h.r.b)->sessions_connected, MANY / 2, MANY - 100);
    rig_forget(&c[500]);
    rig_forget(&c[512]);
    send_publish(&c[MANY - 1]);
    rig_settle(&h.r);
    assert_int_equal(broker_stats(h.r.b)->publish_received, 0);
    assert_int_equal(broker_stats(h.r.b)->sessions_connected, 1);
    assert_non_null(c[7].conn);
    for (size_t i = 0; i < MANY; i++)
        rig_forget(&c[i]);
    end(&h);
}

static void a_revoked_client_is_not_read_any_more(void **state)
{
    struct packet_connect p = login("c", "ann", "apple");
    struct rig_client c;
    struct hall h;

    (void)state;
    begin(&h);
    p.has_will = true;
    p.will_topic = STR("t");
    knock(&h, &c, &p);
    assert_true(check_one(&h));
    send_publish(&c);
    pwfile_unref(h.realm.passwords);
    h.realm.passwords = users("ann:cherry\n");
    broker_rights_changed(h.r.b);
    rig_settle(&h.r);
    rig_expect_connack(&c, false, CONNACK_ACCEPTED);
    rig_expect_nothing(&c);
    rig_expect_closed(&c);
    assert_int_equal(broker_stats(h.r.b)->publish_received, 0);
    rig_forget(&c);
    end(&h);
}

/* --- the end of the broker --- */

static void a_broker_may_stop_while_logins_wait(void **state)
{
    struct packet_connect p = login("c", "ann", "apple");
    struct rig_client c[3];
    struct login_job job;
    struct hall h;

    (void)state;
    for (unsigned orderly = 0; orderly < 2; orderly++) {
        begin(&h);
        for (size_t i = 0; i < ARRAY_SIZE(c); i++)
            knock(&h, &c[i], &p);
        assert_true(broker_take_login(h.r.b, &job));
        if (orderly) {
            broker_stop(h.r.b, REASON_SHUTDOWN);
            rig_settle(&h.r);
            assert_int_equal(broker_stats(h.r.b)->connections, 0);
        }
        broker_login_done(h.r.b, &job, true);
        for (size_t i = 0; i < ARRAY_SIZE(c) && orderly; i++)
            rig_forget(&c[i]);
        end(&h);
        for (size_t i = 0; i < ARRAY_SIZE(c) && !orderly; i++) {
            c[i].conn = NULL;
            rig_forget(&c[i]);
        }
    }
}

/* --- limits --- */

static void so_many_may_wait(void **state)
{
    static struct rig_client c[LOGINS_MAX + 1];
    struct packet_connect p = login("c", "ann", "apple");
    struct hall h;

    (void)state;
    begin(&h);
    for (size_t i = 0; i <= LOGINS_MAX; i++) {
        assert_true(rig_open(&h.r, &c[i]));
        rig_send_connect(&c[i], &p);
    }
    rig_settle(&h.r);
    rig_expect_connack(&c[LOGINS_MAX], false, CONNACK_UNAVAILABLE);
    assert_int_equal(rig_logged(&h.r, "too many logins at once"), 1);
    assert_true(check_one(&h));
    rig_expect_connack(&c[0], false, CONNACK_ACCEPTED);
    rig_forget(&c[LOGINS_MAX]);
    knock(&h, &c[LOGINS_MAX], &p);
    assert_non_null(c[LOGINS_MAX].conn); /* there is room for one more */
    for (size_t i = 0; i <= LOGINS_MAX; i++)
        rig_forget(&c[i]);
    end(&h);
}

/* Of strangers not everything is kept that they send: but there is room for small ones. */
static void so_much_may_wait(void **state)
{
    enum { LARGE = 1500 };
    static struct rig_client c[LARGE];
    static char big[90000];
    struct packet_connect p = login("c", "ann", "apple");
    struct packet_connect small = p;
    size_t open = 0;
    struct hall h;

    (void)state;
    begin(&h);
    memset(big, 'x', sizeof(big));
    p.has_will = true;
    p.will_topic = STR("t");
    p.will_payload = str_of(big, UINT16_MAX);
    for (size_t i = 0; i < LARGE; i++) {
        bool behind = i % 2; /* or what they send behind it */
        assert_true(rig_open(&h.r, &c[i]));
        rig_send_connect(&c[i], behind ? &small : &p);
        if (behind)
            rig_send(&c[i], big, 60000);
        rig_turn(&h.r);
    }
    rig_settle(&h.r);
    for (size_t i = 0; i < LARGE; i++)
        open += c[i].conn != NULL;
    assert_in_range(open, 1000, 1100); /* of 64,000 bytes each */
    rig_expect_connack(&c[LARGE - 2], false, CONNACK_UNAVAILABLE);
    rig_expect_closed(&c[LARGE - 1]);
    rig_forget(&c[LARGE - 1]);
    knock(&h, &c[LARGE - 1], &small);
    assert_non_null(c[LARGE - 1].conn);
    for (size_t i = 0; i < LARGE; i++)
        rig_forget(&c[i]);
    assert_int_equal(h.r.b->logins.bytes, 0);
    end(&h);
}

static void without_memory_nobody_comes_in(void **state)
{
    struct packet_connect p = login("c", "ann", "apple");
    bool accepted = false;

    unit_needs_tracking();
    (void)state;
    for (uint64_t n = 0; !accepted; n++) {
        struct rig_client c;
        struct hall h;
        begin(&h);
        assert_true(rig_open(&h.r, &c));
        rig_send_connect(&c, &p);
        send_publish(&c);
        assert_true(n < 100);
        mem_fail_after(n, 0);
        rig_settle(&h.r);
        while (check_one(&h))
            continue;
        accepted = mem_failed() == 0;
        mem_fail_never();
        rig_settle(&h.r);
        rig_check(&h.r);
        if (accepted)
            rig_expect_connack(&c, false, CONNACK_ACCEPTED);
        else
            rig_expect_closed(&c);
        rig_forget(&c);
        end(&h);
    }
}

/* --- names that are proven --- */

static void prove(struct rig_client *c, const char *name)
{
    assert_ok(broker_name(c->rig->b, c->conn, str_c(name)));
}

static void a_proven_name_stands(void **state)
{
    struct packet_connect p = login("c", "eve", "wrong");
    struct rig_client c;
    struct hall h;

    (void)state;
    begin(&h);
    for (unsigned named = 0; named < 2; named++) {
        p.has_username = p.has_password = named;
        assert_true(rig_open(&h.r, &c));
        prove(&c, "carol");
        rig_send_connect(&c, &p);
        rig_settle(&h.r);
        rig_expect_connack(&c, false, CONNACK_ACCEPTED);
        assert_true(str_eq_c(conn_party(c.conn).user, "carol"));
        rig_forget(&c);
    }
    assert_int_equal(rig_logged(&h.r, "u'carol'"), 2);
    assert_int_equal(rig_logged(&h.r, "eve"), 0);
    end(&h);
}

static void a_proven_name_becomes_the_id(void **state)
{
    struct packet_connect p = login("c", "eve", "wrong");
    struct rig_client c;
    struct hall h;

    (void)state;
    set_up(&h);
    h.r.listener.use_username_as_clientid = true;
    rig_start(&h.r);
    assert_true(rig_open(&h.r, &c));
    prove(&c, "carol");
    p.has_will = true;
    p.will_topic = STR("t");
    rig_send_connect(&c, &p);
    rig_settle(&h.r);
    rig_expect_connack(&c, false, CONNACK_ACCEPTED);
    assert_true(str_eq_c(conn_party(c.conn).client, "carol"));
    rig_forget(&c);
    end(&h);
}

static void a_listener_may_want_a_proven_name(void **state)
{
    struct packet_connect p = login("c", "ann", "apple");
    struct hall h;

    (void)state;
    begin(&h);
    h.r.listener.use_identity_as_username = true;
    expect_answer(&h, &p, CONNACK_ACCEPTED); /* it has no certificate to ask with */
    h.r.listener.certfile = (char *)(uintptr_t) "cert";
    expect_answer(&h, &p, CONNACK_BAD_LOGIN);
    assert_int_equal(rig_logged(&h.r, "(use_identity_as_username true, user 'ann')"), 1);
    h.r.listener.use_identity_as_username = false;
    h.r.listener.use_subject_as_username = true;
    expect_answer(&h, &p, CONNACK_BAD_LOGIN);
    assert_int_equal(rig_logged(&h.r, "(use_subject_as_username true, user 'ann')"), 1);
    h.r.listener.security.allow_anonymous = true;
    p.has_username = p.has_password = false;
    expect_answer(&h, &p, CONNACK_BAD_LOGIN);
    end(&h);
}

static void names_that_mqtt_does_not_allow_are_none(void **state)
{
    static char long_name[65536];
    struct rig_client c;
    struct hall h;

    (void)state;
    memset(long_name, 'x', sizeof(long_name));
    begin(&h);
    assert_true(rig_open(&h.r, &c));
    assert_err(broker_name(h.r.b, c.conn, STR("")), ERR_INVAL);
    assert_err(broker_name(h.r.b, c.conn, STR("a\xff")), ERR_INVAL);
    assert_err(broker_name(h.r.b, c.conn, str_of("a\0b", 3)), ERR_INVAL);
    assert_err(broker_name(h.r.b, c.conn, str_of(long_name, 65536)), ERR_INVAL);
    assert_ok(broker_name(h.r.b, c.conn, str_of(long_name, 65535)));
    rig_forget(&c);
    end(&h);
}

/* --- guessing --- */

/* From an address that is not ours; `host` tells such ones apart. */
static void knock_from(struct hall *h, struct rig_client *c, uint8_t host,
                       const struct packet_connect *p)
{
    static const uint8_t net[4] = {192, 0, 2, 0};

    assert_true(rig_open(&h->r, c));
    memcpy(c->conn->peer.ip, net, sizeof(net));
    c->conn->peer.ip[3] = host;
    rig_send_connect(c, p);
    rig_settle(&h->r);
}

static void fail_from(struct hall *h, uint8_t host, unsigned times)
{
    struct packet_connect p = login("guess", "ann", "wrong");

    for (unsigned i = 0; i < times; i++) {
        struct rig_client c;
        knock_from(h, &c, host, &p);
        assert_true(check_one(h));
        rig_expect_connack(&c, false, CONNACK_NOT_AUTHORISED);
        rig_forget(&c);
    }
}

static void guessing_is_slowed_down(void **state)
{
    struct packet_connect p = login("c", "ann", "apple");
    struct rig_client c;
    struct hall h;

    (void)state;
    begin(&h);
    fail_from(&h, 1, 9);
    assert_int_equal(rig_logged(&h.r, "slowed down"), 0);
    fail_from(&h, 1, 1);
    assert_int_equal(rig_logged(&h.r, "Logins from 192.0.2.1 are slowed down: 10 failed "
                                      "(login_failure_limit 10)."),
                     1);
    knock_from(&h, &c, 1, &p);
    assert_false(check_one(&h)); /* it waits its turn */
    rig_pass(&h.r, 900);
    assert_false(check_one(&h));
    rig_pass(&h.r, 200);
    assert_true(check_one(&h));
    rig_expect_connack(&c, false, CONNACK_ACCEPTED);
    rig_forget(&c);
    knock_from(&h, &c, 2, &p); /* it was not this one */
    assert_true(check_one(&h));
    rig_forget(&c);
    knock(&h, &c, &p);
    assert_true(check_one(&h));
    rig_forget(&c);
    assert_int_equal(rig_logged(&h.r, "slowed down"), 1);
    end(&h);
}

/* One each second, and whoever would wait for more than ten is turned away. */
static void the_slow_wait_in_a_queue(void **state)
{
    struct packet_connect p = login("c", "ann", "wrong");
    struct rig_client c[20];
    unsigned waiting = 0;
    struct hall h;

    (void)state;
    begin(&h);
    fail_from(&h, 1, 10);
    rig_pass(&h.r, 5000);
    for (size_t i = 0; i < ARRAY_SIZE(c); i++) {
        knock_from(&h, &c[i], 1, &p);
        waiting += c[i].conn != NULL;
    }
    assert_int_equal(waiting, 11); /* at once, and in one to ten seconds */
    rig_expect_connack(&c[11], false, CONNACK_UNAVAILABLE);
    rig_expect_closed(&c[11]);
    assert_true(rig_logged(&h.r, "disconnected: too many failed logins from its address "
                                 "(login_failure_limit 10, user 'ann').") > 0);
    assert_true(check_one(&h));
    for (unsigned i = 1; i < waiting; i++) {
        assert_false(check_one(&h));
        rig_pass(&h.r, 1000);
        assert_true(check_one(&h));
        rig_expect_connack(&c[i], false, CONNACK_NOT_AUTHORISED);
    }
    assert_false(check_one(&h));
    for (size_t i = 0; i < ARRAY_SIZE(c); i++)
        rig_forget(&c[i]);
    end(&h);
}

/* Those that were there before the first of them has failed are no better. */
static void many_guesses_at_once_are_slowed_down_too(void **state)
{
    static struct rig_client c[300];
    struct packet_connect p = login("c", "ann", "wrong");
    unsigned checked = 0;
    unsigned left = 0;
    struct hall h;

    (void)state;
    begin(&h);
    for (size_t i = 0; i < ARRAY_SIZE(c); i++) {
        knock_from(&h, &c[i], 1, &p);
        assert_non_null(c[i].conn);
    }
    for (unsigned i = 0; i < 20; i++) {
        checked += check_one(&h);
        rig_settle(&h.r);
    }
    assert_int_equal(checked, 10);
    for (size_t i = 0; i < ARRAY_SIZE(c); i++)
        left += c[i].conn != NULL;
    assert_int_equal(left, 10); /* for the next ten seconds */
    rig_expect_connack(&c[299], false, CONNACK_UNAVAILABLE);
    for (size_t i = 0; i < ARRAY_SIZE(c); i++)
        rig_forget(&c[i]);
    rig_pass(&h.r, 60000);
    assert_false(check_one(&h));
    end(&h);
}

/* Whoever stands behind many that must wait is not kept waiting by them. */
static void who_stands_behind_guesses_is_asked_at_once(void **state)
{
    static struct rig_client c[300];
    struct rig_client honest;
    struct packet_connect wrong = login("c", "ann", "wrong");
    struct packet_connect right = login("honest", "ann", "apple");
    struct hall h;

    (void)state;
    begin(&h);
    for (size_t i = 0; i < ARRAY_SIZE(c); i++)
        knock_from(&h, &c[i], 1, &wrong);
    knock(&h, &honest, &right);
    for (unsigned i = 0; i < 10; i++)
        assert_true(check_one(&h));
    for (unsigned i = 0; !check_one(&h); i++) {
        assert_true(i < 10);
        assert_int_equal(broker_next(h.r.b), 0);
    }
    rig_expect_connack(&honest, false, CONNACK_ACCEPTED);
    for (size_t i = 0; i < ARRAY_SIZE(c); i++)
        rig_forget(&c[i]);
    rig_forget(&honest);
    end(&h);
}

static void who_is_held_may_leave(void **state)
{
    struct packet_connect p = login("c", "ann", "apple");
    struct rig_client c;
    struct hall h;

    (void)state;
    begin(&h);
    fail_from(&h, 1, 10);
    knock_from(&h, &c, 1, &p);
    rig_hang_up(&c);
    rig_settle(&h.r);
    rig_forget(&c);
    rig_check(&h.r);
    rig_pass(&h.r, 20000);
    assert_false(check_one(&h));
    end(&h);
}

static void slowing_down_can_be_switched_off(void **state)
{
    struct hall h;

    (void)state;
    begin(&h);
    h.r.conf.global.login_failure_limit = 0;
    fail_from(&h, 1, 50);
    assert_int_equal(rig_logged(&h.r, "slowed down"), 0);
    end(&h);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        UNIT_TEST(the_password_decides),
        UNIT_TEST(who_gives_no_name_is_anonymous),
        UNIT_TEST(without_a_file_a_name_is_worth_nothing),
        UNIT_TEST(unknown_users_cost_as_much),
        UNIT_TEST(where_there_are_no_users_all_are_wrong),
        UNIT_TEST(what_costs_nothing_is_checked_first),
        UNIT_TEST(only_who_has_logged_in_learns_where_wills_may_go),
        UNIT_TEST(what_comes_behind_waits_with_it),
        UNIT_TEST(it_is_read_on_until_something_has_come),
        UNIT_TEST(a_large_connect_waits_too),
        UNIT_TEST(nobody_waits_for_those_who_are_gone),
        UNIT_TEST(answers_come_in_any_order),
        UNIT_TEST(its_time_limit_is_met_by_a_whole_connect),
        UNIT_TEST(a_session_is_not_touched_before_the_answer),
        UNIT_TEST(the_file_that_is_in_force_decides),
        UNIT_TEST(a_file_may_go_while_a_login_waits),
        UNIT_TEST(passwords_may_be_revoked),
        UNIT_TEST(who_came_unchecked_may_have_to_go),
        UNIT_TEST(all_are_looked_at_in_turns),
        UNIT_TEST(a_revoked_client_is_not_read_any_more),
        UNIT_TEST(a_broker_may_stop_while_logins_wait),
        UNIT_TEST(so_many_may_wait),
        UNIT_TEST(so_much_may_wait),
        UNIT_TEST(without_memory_nobody_comes_in),
        UNIT_TEST(a_proven_name_stands),
        UNIT_TEST(a_proven_name_becomes_the_id),
        UNIT_TEST(a_listener_may_want_a_proven_name),
        UNIT_TEST(names_that_mqtt_does_not_allow_are_none),
        UNIT_TEST(guessing_is_slowed_down),
        UNIT_TEST(the_slow_wait_in_a_queue),
        UNIT_TEST(many_guesses_at_once_are_slowed_down_too),
        UNIT_TEST(who_stands_behind_guesses_is_asked_at_once),
        UNIT_TEST(who_is_held_may_leave),
        UNIT_TEST(slowing_down_can_be_switched_off),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
