/*
 * What an ACL decides, wherever a message passes: published, delivered, queued, retained, a will, a
 * subscription; and that other files take their place for everybody, wherever they are.
 */
#include "core/rights.h"

#include "core/record.h"
#include "core/state.h"
#include "mqtt/decode.h"
#include "unit/rig.h"
#include "unit/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A publisher that may write anything, a reader joe, and one without a name. */
struct scene {
    struct rig r;
    struct rig_client p;
    struct rig_client joe;
    struct rig_client nobody;
};

#define PUBLISHER "user publisher\ntopic readwrite #\ntopic readwrite $SYS/#\n"

static void change(struct rig *r, const char *acl)
{
    rig_acl(&r->listener, acl);
    broker_rights_changed(r->b);
}

static void begin(struct rig *r, bool persistent, const char *acl)
{
    rig_setup(r);
    r->setup.persistent = persistent;
    r->setup.log.mask = LOG_LEVEL_ALL;
    r->conf.global.log_type = LOG_LEVEL_ALL;
    r->conf.global.check_retain_source = true;
    rig_acl(&r->listener, acl);
    rig_start(r);
}

static void scene_begin(struct scene *s, bool persistent, const char *acl)
{
    begin(&s->r, persistent, acl);
    rig_connect_as(&s->r, &s->p, "p", "publisher", true);
    rig_connect_as(&s->r, &s->joe, "j", "joe", false);
    rig_connect(&s->r, &s->nobody, "n", true);
}

static void scene_end(struct scene *s)
{
    rig_forget(&s->joe);
    rig_forget(&s->nobody);
    rig_forget(&s->p);
    rig_settle(&s->r);
    rig_end(&s->r);
}

/* Publish and see that it is acknowledged, whatever becomes of it. */
static void publish(struct rig_client *c, const char *topic, const char *payload, enum qos qos)
{
    uint16_t id = qos ? ++c->last_id : 0;

    rig_publish(c, topic, payload, qos, id);
    rig_settle(c->rig);
    if (qos)
        assert_int_equal(rig_expect(c, qos == QOS_1 ? PACKET_PUBACK : PACKET_PUBREC), id);
    if (qos == QOS_2) {
        rig_send_ack(c, PACKET_PUBREL, id);
        rig_settle(c->rig);
        assert_int_equal(rig_expect(c, PACKET_PUBCOMP), id);
    }
}

static void retain(struct rig_client *c, const char *topic, const char *payload)
{
    rig_retain(c, topic, payload, QOS_0, 0);
    rig_settle(c->rig);
}

/* --- publishing --- */

static void what_may_not_be_written_is_acknowledged_and_given_to_nobody(void **state)
{
    struct scene s;

    (void)state;
    scene_begin(&s, true, PUBLISHER "user joe\ntopic write open/#\ntopic deny open/not\n");
    rig_subscribe(&s.p, "#", QOS_2);
    for (unsigned q = 0; q < 3; q++) {
        publish(&s.joe, "open/1", "x", (enum qos)q);
        rig_expect_publish(&s.p, "open/1", "x", (enum qos)q);
        publish(&s.joe, "shut", "x", (enum qos)q);
        rig_expect_nothing(&s.p);
    }
    publish(&s.joe, "open/not", "x", QOS_1);
    retain(&s.joe, "shut", "kept");
    retain(&s.p, "shut", "kept");
    rig_expect_publish(&s.p, "shut", "kept", QOS_0);
    retain(&s.joe, "shut", ""); /* nor does it clear anything */
    assert_int_equal(broker_stats(s.r.b)->retained, 1);
    assert_int_equal(broker_stats(s.r.b)->publish_denied, 6);
    assert_int_equal(rig_logged(&s.r, "Denied PUBLISH from j"), 6);
    assert_int_equal(rig_logged(&s.r, "Client j [127.0.0.1:4000] denied: publish to 'shut': not "
                                      "allowed by the ACL (acl_file /etc/acl: no line grants it, "
                                      "user 'joe')."),
                     5);
    assert_int_equal(rig_logged(&s.r, "publish to 'open/not': not allowed by the ACL (/etc/acl:6, "
                                      "user 'joe')."),
                     1);
    scene_end(&s);
}

static void an_empty_file_denies_all_and_none_allows_all(void **state)
{
    struct scene s;

    (void)state;
    scene_begin(&s, false, "");
    rig_subscribe(&s.joe, "#", QOS_1); /* granted, as ever */
    publish(&s.p, "a", "x", QOS_1);
    publish(&s.joe, "a", "x", QOS_0);
    rig_expect_nothing(&s.joe);
    change(&s.r, NULL);
    publish(&s.p, "a", "x", QOS_1);
    rig_expect_publish(&s.joe, "a", "x", QOS_1);
    assert_false(s.r.b->env.rights.guarded); /* both were asked: nobody has one any more */
    scene_end(&s);
}

static void what_belongs_to_the_broker_stays_so(void **state)
{
    struct scene s;

    (void)state;
    scene_begin(&s, false, PUBLISHER);
    rig_subscribe(&s.p, "$SYS/#", QOS_0);
    (void)rig_drain(&s.p);
    publish(&s.p, "$SYS/a", "x", QOS_0);
    rig_expect_nothing(&s.p);
    assert_int_equal(rig_logged(&s.r, "denied: publish to '$SYS/a': reserved for the broker"), 1);
    (void)broker_publish_local(s.r.b, STR("$SYS/a"), STR("x"), false);
    rig_settle(&s.r);
    rig_expect_publish(&s.p, "$SYS/a", "x", QOS_0);
    rig_subscribe(&s.joe, "$SYS/#", QOS_0);
    assert_int_equal(rig_drain(&s.joe), 0); /* to read that is a right like others */
    scene_end(&s);
}

/* --- delivery --- */

static void who_may_not_read_gets_nothing(void **state)
{
    struct scene s;

    (void)state;
    scene_begin(&s, false, "topic read for/all\n" PUBLISHER "user joe\ntopic read for/joe\n");
    rig_subscribe(&s.joe, "#", QOS_2);
    rig_subscribe(&s.joe, "for/+", QOS_2);
    rig_subscribe(&s.nobody, "for/#", QOS_2);
    for (unsigned q = 0; q < 3; q++) {
        publish(&s.p, "for/all", "a", (enum qos)q);
        publish(&s.p, "for/joe", "j", (enum qos)q);
        rig_expect_publish(&s.joe, "for/joe", "j", (enum qos)q);
        rig_expect_publish(&s.nobody, "for/all", "a", (enum qos)q);
        rig_expect_nothing(&s.joe);
        rig_expect_nothing(&s.nobody);
    }
    /* said once, while it is remembered */
    assert_int_equal(rig_logged(&s.r, "Client j [127.0.0.1:4000] denied: read 'for/all': not "
                                      "allowed by the ACL (acl_file /etc/acl: no line grants it, "
                                      "user 'joe')."),
                     1);
    assert_int_equal(rig_logged(&s.r, "Client n [127.0.0.1:4000] denied: read 'for/joe': not "
                                      "allowed by the ACL (acl_file /etc/acl: no line grants it)."),
                     1);
    scene_end(&s);
}

static void patterns_take_the_id_and_the_name(void **state)
{
    struct scene s;
    struct rig_client odd;

    (void)state;
    scene_begin(&s, false, PUBLISHER "pattern read id/%c\npattern read name/%u\n");
    rig_connect_as(&s.r, &odd, "+", "#", true);
    rig_subscribe(&s.joe, "#", QOS_0);
    rig_subscribe(&s.nobody, "#", QOS_0);
    rig_subscribe(&odd, "#", QOS_0);
    publish(&s.p, "id/j", "x", QOS_0);
    publish(&s.p, "id/n", "x", QOS_0);
    publish(&s.p, "name/joe", "x", QOS_0);
    publish(&s.p, "name/other", "x", QOS_0);
    rig_expect_publish(&s.joe, "id/j", "x", QOS_0);
    rig_expect_publish(&s.joe, "name/joe", "x", QOS_0);
    rig_expect_nothing(&s.joe);
    rig_expect_publish(&s.nobody, "id/n", "x", QOS_0);
    rig_expect_nothing(&s.nobody);
    rig_expect_nothing(&odd); /* a literal, which matches nobody else's */
    assert_true(rig_logged(&s.r, "a name or id with + or # has no rights") > 0);
    rig_forget(&odd);
    scene_end(&s);
}

static void a_group_gives_it_to_a_member_that_may_read(void **state)
{
    struct scene s;

    (void)state;
    scene_begin(&s, false, PUBLISHER "user joe\ntopic read t\n");
    rig_subscribe(&s.nobody, "$share/g/#", QOS_1);
    rig_subscribe(&s.joe, "$share/g/#", QOS_1);
    for (int i = 0; i < 10; i++)
        publish(&s.p, "t", "x", QOS_1);
    assert_int_equal(rig_drain(&s.joe), 10);
    assert_int_equal(rig_drain(&s.nobody), 0);
    publish(&s.p, "other", "x", QOS_1); /* nobody */
    assert_int_equal(rig_drain(&s.joe), 0);
    scene_end(&s);
}

/* One copy for each subscription: none of them. */
static void duplicates_are_denied_too(void **state)
{
    struct rig r;
    struct rig_client c;

    (void)state;
    rig_setup(&r);
    r.conf.global.allow_duplicate_messages = true;
    rig_acl(&r.listener, "topic write #\ntopic read yes\n");
    rig_start(&r);
    rig_connect(&r, &c, "c", true);
    rig_subscribe(&c, "#", QOS_1);
    rig_subscribe(&c, "+", QOS_2);
    publish(&c, "no", "x", QOS_0);
    rig_expect_nothing(&c);
    publish(&c, "yes", "x", QOS_0);
    assert_int_equal(rig_drain(&c), 2);
    rig_forget(&c);
    rig_end(&r);
}

static void topics_are_those_with_the_mount_point(void **state)
{
    struct rig r;
    struct rig_client c;
    char mount[] = "m/";

    (void)state;
    rig_setup(&r);
    r.listener.mount_point = mount;
    rig_acl(&r.listener, "topic m/yes\ntopic no\n");
    rig_start(&r);
    rig_connect(&r, &c, "c", true);
    rig_subscribe(&c, "#", QOS_0);
    publish(&c, "no", "x", QOS_0);
    publish(&c, "yes", "x", QOS_0);
    rig_expect_publish(&c, "yes", "x", QOS_0);
    rig_expect_nothing(&c);
    rig_forget(&c);
    r.listener.mount_point = NULL;
    rig_end(&r);
}

static void a_bridge_is_subject_to_it(void **state)
{
    struct scene s;
    struct rig_client bridge;

    (void)state;
    scene_begin(&s, false, PUBLISHER "user remote\ntopic read t\n");
    assert_true(rig_open(&s.r, &bridge));
    rig_send_connect(&bridge, &(struct packet_connect){.client_id = STR("bridge"),
                                                       .level = PROTOCOL_311,
                                                       .bridge = true,
                                                       .clean_session = true,
                                                       .has_username = true,
                                                       .username = STR("remote")});
    rig_settle(&s.r);
    rig_expect_connack(&bridge, false, CONNACK_ACCEPTED);
    rig_subscribe(&bridge, "#", QOS_1);
    rig_subscribe(&s.p, "u", QOS_1);
    publish(&s.p, "t", "x", QOS_1);
    assert_int_equal(rig_drain(&bridge), 1);
    rig_publish(&s.p, "u", "x", QOS_0, 0);
    rig_settle(&s.r);
    assert_int_equal(rig_drain(&bridge), 0);
    (void)rig_drain(&s.p);
    rig_publish(&bridge, "u", "x", QOS_0, 0);
    rig_settle(&s.r);
    rig_expect_nothing(&s.p);
    rig_forget(&bridge);
    scene_end(&s);
}

/* --- queues --- */

static void come_back(struct scene *s)
{
    rig_forget(&s->joe);
    assert_true(rig_connect_as(&s->r, &s->joe, "j", "joe", false));
}

static void an_absent_client_is_queued_only_what_it_may_read(void **state)
{
    struct scene s;

    (void)state;
    for (int restarted = 0; restarted < 2; restarted++) {
        scene_begin(&s, true, PUBLISHER "user joe\ntopic read yes\n");
        rig_subscribe(&s.joe, "#", QOS_1);
        rig_forget(&s.joe);
        rig_settle(&s.r);
        if (restarted) {
            rig_check_replay(&s.r);
            rig_restart(&s.r);
            rig_forget(&s.p);
            rig_connect_as(&s.r, &s.p, "p", "publisher", true);
        }
        publish(&s.p, "no", "x", QOS_1);
        assert_int_equal(rig_logged(&s.r, "Client j [not connected] denied: read 'no': not allowed "
                                          "by the ACL (acl_file /etc/acl: no line grants it, user "
                                          "'joe')."),
                         1);
        publish(&s.p, "yes", "x", QOS_1);
        change(&s.r, PUBLISHER "user joe\ntopic read #\n"); /* too late for what was not queued */
        assert_true(rig_connect_as(&s.r, &s.joe, "j", "joe", false));
        rig_expect_publish(&s.joe, "yes", "x", QOS_1);
        rig_expect_nothing(&s.joe);
        rig_check_replay(&s.r);
        scene_end(&s);
    }
}

/* Its rights are not known: it connected without a name when there was no ACL. */
static void of_whom_nothing_is_known_is_decided_when_it_is_back(void **state)
{
    struct scene s;

    (void)state;
    scene_begin(&s, true, NULL);
    rig_forget(&s.nobody);
    rig_connect(&s.r, &s.nobody, "n", false);
    rig_subscribe(&s.nobody, "#", QOS_1);
    rig_forget(&s.nobody);
    rig_settle(&s.r);
    change(&s.r, "topic read yes\n" PUBLISHER);
    publish(&s.p, "no", "x", QOS_1);
    publish(&s.p, "yes", "x", QOS_1);
    assert_true(rig_connect(&s.r, &s.nobody, "n", false));
    rig_expect_publish(&s.nobody, "yes", "x", QOS_1);
    rig_expect_nothing(&s.nobody);
    assert_int_equal(broker_stats(s.r.b)->publish_dropped, 1);
    rig_check_replay(&s.r);
    scene_end(&s);
}

static void a_right_taken_away_takes_what_was_queued(void **state)
{
    struct scene s;

    (void)state;
    scene_begin(&s, true, PUBLISHER "user joe\ntopic read #\n");
    rig_subscribe(&s.joe, "#", QOS_2);
    rig_forget(&s.joe);
    rig_settle(&s.r);
    publish(&s.p, "yes", "1", QOS_1);
    publish(&s.p, "no", "2", QOS_1);
    publish(&s.p, "no", "3", QOS_2);
    publish(&s.p, "yes", "4", QOS_2);
    change(&s.r, PUBLISHER "user joe\ntopic read yes\n");
    assert_true(rig_connect_as(&s.r, &s.joe, "j", "joe", false));
    rig_expect_publish(&s.joe, "yes", "1", QOS_1);
    rig_expect_publish(&s.joe, "yes", "4", QOS_2);
    rig_expect_nothing(&s.joe);
    assert_int_equal(broker_stats(s.r.b)->publish_dropped, 2);
    rig_check_replay(&s.r);
    rig_restart(&s.r);
    change(&s.r, PUBLISHER "user joe\ntopic read #\n"); /* gone is gone */
    come_back(&s);
    rig_expect_publish(&s.joe, "yes", "1", QOS_1);
    rig_expect_publish(&s.joe, "yes", "4", QOS_2);
    rig_expect_nothing(&s.joe);
    scene_end(&s);
}

/* What went out at QoS 2 may be there: its id must become free. */
static void a_message_that_is_half_sent_is_released(void **state)
{
    struct scene s;
    uint16_t id;

    (void)state;
    scene_begin(&s, true, PUBLISHER "user joe\ntopic read #\n");
    rig_subscribe(&s.joe, "#", QOS_2);
    publish(&s.p, "no", "x", QOS_2);
    id = rig_expect_publish(&s.joe, "no", "x", QOS_2).id;
    rig_forget(&s.joe);
    rig_settle(&s.r);
    change(&s.r, PUBLISHER);
    assert_true(rig_connect_as(&s.r, &s.joe, "j", "joe", false));
    assert_int_equal(rig_expect(&s.joe, PACKET_PUBREL), id);
    rig_send_ack(&s.joe, PACKET_PUBCOMP, id);
    rig_settle(&s.r);
    rig_expect_nothing(&s.joe);
    rig_check_replay(&s.r);
    scene_end(&s);
}

/* What waits behind a full window is asked for again, on the same connection too. */
static void what_waits_for_the_window_is_asked_again(void **state)
{
    struct scene s;
    uint16_t id;

    (void)state;
    begin(&s.r, true, PUBLISHER "user joe\ntopic read #\n");
    s.r.conf.global.max_inflight_messages = 1;
    assert_ok(broker_prepare(s.r.b, &s.r.conf));
    broker_commit(s.r.b);
    rig_connect_as(&s.r, &s.p, "p", "publisher", true);
    rig_connect(&s.r, &s.nobody, "n", true);
    rig_connect_as(&s.r, &s.joe, "j", "joe", false);
    rig_subscribe(&s.joe, "#", QOS_1);
    publish(&s.p, "first", "x", QOS_1);
    publish(&s.p, "no", "x", QOS_1);
    publish(&s.p, "last", "x", QOS_1);
    id = rig_expect_publish(&s.joe, "first", "x", QOS_1).id;
    change(&s.r, PUBLISHER "user joe\ntopic read last\n");
    rig_send_ack(&s.joe, PACKET_PUBACK, id);
    rig_settle(&s.r);
    rig_expect_publish(&s.joe, "last", "x", QOS_1);
    rig_expect_nothing(&s.joe);
    rig_check_replay(&s.r);
    scene_end(&s);
}

/* Another user with the same client id has other rights, and no others than these. */
static void a_session_has_the_rights_of_who_uses_it(void **state)
{
    struct scene s;

    (void)state;
    scene_begin(&s, true, PUBLISHER "user joe\ntopic read joe\nuser ann\ntopic read ann\n");
    rig_subscribe(&s.joe, "#", QOS_1);
    publish(&s.p, "joe", "1", QOS_1);
    rig_forget(&s.joe);
    rig_settle(&s.r);
    publish(&s.p, "joe", "2", QOS_1);
    assert_true(rig_connect_as(&s.r, &s.joe, "j", "ann", false));
    publish(&s.p, "joe", "3", QOS_1);
    publish(&s.p, "ann", "4", QOS_1);
    rig_expect_publish(&s.joe, "ann", "4", QOS_1);
    rig_expect_nothing(&s.joe);
    rig_check_replay(&s.r);
    rig_forget(&s.joe);
    rig_settle(&s.r);
    rig_restart(&s.r);
    rig_forget(&s.p);
    rig_connect_as(&s.r, &s.p, "p", "publisher", true);
    publish(&s.p, "joe", "5", QOS_1); /* it was ann's last */
    publish(&s.p, "ann", "6", QOS_1);
    assert_true(rig_connect(&s.r, &s.joe, "j", false));
    rig_expect_nothing(&s.joe); /* nobody in particular */
    rig_check_replay(&s.r);
    scene_end(&s);
}

/* --- retained messages --- */

static void expect_retained(struct rig_client *c, const char *filter, const char *topic)
{
    rig_subscribe(c, filter, QOS_1);
    if (topic)
        assert_true(rig_expect_publish(c, topic, "kept", QOS_0).retain);
    rig_expect_nothing(c);
}

static void retained_messages_are_for_who_may_read_them(void **state)
{
    struct scene s;

    (void)state;
    scene_begin(&s, true, PUBLISHER "user joe\ntopic read yes/#\n");
    retain(&s.p, "no/1", "kept");
    retain(&s.p, "yes/1", "kept");
    expect_retained(&s.joe, "#", "yes/1");
    expect_retained(&s.joe, "no/1", NULL);
    expect_retained(&s.nobody, "#", NULL);
    scene_end(&s);
}

enum since { AT_ONCE, RESTARTED, CLEANED };

/* What becomes of what an author wrote who may not write any more. */
static void author_lost_its_right(enum since since, bool checked)
{
    static const char before[] = PUBLISHER "user joe\ntopic #\ntopic write $SYS/#\n";
    static const char after[] = PUBLISHER "user joe\ntopic write mine\n";
    struct scene s;

    scene_begin(&s, true, before);
    s.r.conf.global.check_retain_source = checked;
    assert_ok(broker_prepare(s.r.b, &s.r.conf));
    broker_commit(s.r.b);
    retain(&s.joe, "mine", "kept");
    retain(&s.joe, "lost", "kept");
    retain(&s.joe, "both", "other");
    retain(&s.p, "both", "kept"); /* the last counts */
    (void)broker_publish_local(s.r.b, STR("local"), STR("kept"), true);
    rig_forget(&s.joe);
    rig_settle(&s.r);
    rig_check_replay(&s.r);
    if (since == CLEANED) {
        size_t end = s.r.frame_count;
        for (size_t i = 0; i < end; i++) {
            struct str records = rig_records(&s.r, i);
            struct buf copy = {0};
            uint64_t position = s.r.frames[i].position;
            assert_ok(buf_add(&copy, records.p, records.n)); /* the journal grows */
            records = buf_str(&copy);
            assert_ok(broker_renew(s.r.b, &position, &records));
            assert_int_equal(records.n, 0);
            buf_clear(&copy);
            rig_turn(&s.r);
        }
        rig_drop_frames(&s.r, end);
    }
    if (since != AT_ONCE) {
        rig_restart(&s.r);
        rig_forget(&s.p);
        rig_connect_as(&s.r, &s.p, "p", "publisher", true);
    }
    change(&s.r, after);
    expect_retained(&s.p, "mine", "mine");
    expect_retained(&s.p, "lost", checked ? NULL : "lost");
    expect_retained(&s.p, "both", "both");
    rig_subscribe(&s.p, "local", QOS_0);
    (void)rig_expect_publish(&s.p, "local", "kept", QOS_0);
    assert_int_equal(rig_logged(&s.r,
                                "Client j [not connected] denied: go on retaining 'lost': not "
                                "allowed by the ACL (acl_file /etc/acl: no line grants it, "
                                "user 'joe')."),
                     checked);
    change(&s.r, before);
    expect_retained(&s.p, "lost", "lost"); /* it was kept */
    rig_check_replay(&s.r);
    scene_end(&s);
}

static void what_is_retained_needs_an_author_that_may_write_it(void **state)
{
    (void)state;
    author_lost_its_right(AT_ONCE, true);
    author_lost_its_right(AT_ONCE, false);
    author_lost_its_right(RESTARTED, true);
    author_lost_its_right(CLEANED, true);
}

/* Authors go with what they wrote: nothing stays behind. */
static void authors_are_forgotten(void **state)
{
    struct scene s;

    (void)state;
    scene_begin(&s, true, PUBLISHER "topic #\n");
    for (int i = 0; i < 3; i++) {
        retain(&s.p, "a", "1");
        retain(&s.p, "a", "2");
        retain(&s.p, "b", "3");
        assert_int_equal(s.r.b->env.authors.by_message.count, 2);
        retain(&s.p, "a", "");
        retain(&s.p, "b", "");
        assert_int_equal(s.r.b->env.authors.by_message.count, 0);
        assert_int_equal(s.r.b->env.authors.bytes, 0);
    }
    retain(&s.p, "a", "1");
    change(&s.r, NULL);
    retain(&s.p, "a", "2"); /* nobody will ask */
    assert_int_equal(s.r.b->env.authors.by_message.count, 0);
    rig_check_replay(&s.r);
    scene_end(&s);
}

/* --- wills --- */

static void send_will(struct rig *r, struct rig_client *c, const char *topic)
{
    assert_true(rig_open(r, c));
    rig_send_connect(c, &(struct packet_connect){.client_id = STR("w"),
                                                 .level = PROTOCOL_311,
                                                 .clean_session = true,
                                                 .has_username = true,
                                                 .username = STR("joe"),
                                                 .has_will = true,
                                                 .will_topic = str_c(topic),
                                                 .will_payload = STR("gone")});
    rig_settle(r);
}

static void a_will_must_be_allowed(void **state)
{
    struct scene s;
    struct rig_client w;

    (void)state;
    scene_begin(&s, false, PUBLISHER "user joe\ntopic write will\ntopic deny not\n");
    rig_subscribe(&s.p, "#", QOS_0);
    send_will(&s.r, &w, "not");
    rig_expect_connack(&w, false, CONNACK_NOT_AUTHORISED);
    rig_expect_closed(&w);
    rig_forget(&w);
    assert_int_equal(rig_logged(&s.r, "Client w [127.0.0.1:4000] disconnected: will topic not "
                                      "allowed: 'not' (/etc/acl:6, user 'joe')."),
                     1);
    send_will(&s.r, &w, "will");
    rig_expect_connack(&w, false, CONNACK_ACCEPTED);
    rig_forget(&w);
    rig_settle(&s.r);
    rig_expect_publish(&s.p, "will", "gone", QOS_0);
    send_will(&s.r, &w, "will");
    change(&s.r, PUBLISHER);
    rig_forget(&w);
    rig_settle(&s.r);
    rig_expect_nothing(&s.p);
    assert_int_equal(rig_logged(&s.r, "denied: publish to 'will': not allowed by the ACL"), 1);
    scene_end(&s);
}

/* --- subscriptions --- */

static void expect_suback(struct rig_client *c, const char *filter, uint8_t code)
{
    struct frame f;
    struct str codes;
    uint16_t id;

    rig_send_subscribe(c, 1, filter, QOS_1);
    rig_settle(c->rig);
    assert_true(rig_next(c, &f));
    assert_int_equal(decode_suback(&f, &id, &codes), REASON_OK);
    if ((uint8_t)codes.p[0] != code)
        fail_msg("'%s' was answered with %d", filter, (uint8_t)codes.p[0]);
}

static void filters_of_nothing_readable_are_refused_if_told_so(void **state)
{
    struct scene s;

    (void)state;
    scene_begin(&s, false, PUBLISHER "user joe\ntopic read a/+/c\ntopic write w\n");
    expect_suback(&s.joe, "other", QOS_1);
    s.r.listener.security.acl_subscribe_check = true;
    expect_suback(&s.joe, "other", SUBACK_FAILURE);
    expect_suback(&s.joe, "w", SUBACK_FAILURE);
    expect_suback(&s.joe, "$share/g/other", SUBACK_FAILURE);
    expect_suback(&s.joe, "#", QOS_1);
    expect_suback(&s.joe, "a/#", QOS_1);
    expect_suback(&s.joe, "$share/g/a/b/c", QOS_1);
    assert_int_equal(rig_logged(&s.r, "\t$share/g/other (denied)"), 1);
    assert_int_equal(rig_logged(&s.r, "Client j [127.0.0.1:4000] denied: subscribe to 'other': not "
                                      "allowed by the ACL (acl_file /etc/acl: no line grants it, "
                                      "user 'joe')."),
                     2);
    publish(&s.p, "other", "x", QOS_0);
    rig_expect_nothing(&s.joe);
    s.r.listener.security.acl_subscribe_check = false;
    scene_end(&s);
}

/* --- change --- */

static void other_files_count_at_once_for_everybody(void **state)
{
    struct scene s;

    (void)state;
    scene_begin(&s, true, PUBLISHER);
    rig_subscribe(&s.joe, "#", QOS_1);
    for (int i = 0; i < 3; i++) {
        publish(&s.p, "t", "x", QOS_1);
        assert_int_equal(rig_drain(&s.joe), 0);
        change(&s.r, PUBLISHER "user joe\ntopic t\n");
        publish(&s.p, "t", "x", QOS_1);
        assert_int_equal(rig_drain(&s.joe), 1);
        publish(&s.joe, "t", "x", QOS_0);
        assert_int_equal(rig_drain(&s.joe), 1);
        change(&s.r, PUBLISHER);
        publish(&s.joe, "t", "x", QOS_0);
        assert_int_equal(rig_drain(&s.joe), 0);
    }
    scene_end(&s);
}

static struct conf_listener listener_like(const struct rig *r, uint16_t port, const char *acl)
{
    struct conf_listener l = r->listener;

    l.realm = NULL;
    l.realm_unref = NULL;
    l.refs = 1;
    l.port = port;
    rig_acl(&l, acl);
    return l;
}

/* Each listener has its own; a client keeps that of its listener when that is gone. */
/* Who is never asked again does not hold what was in force when it was asked last. */
static void former_files_are_let_go_of(void **state)
{
    enum { CHANGES = 20, LINES = 2000 };
    char *acl = NULL;
    size_t n = 0;
    size_t bare;
    size_t one;
    struct rig_client c[CHANGES];
    struct rig r;
    FILE *f = open_memstream(&acl, &n);

    (void)state;
    unit_needs_tracking();
    for (int i = 0; i < LINES; i++)
        (void)fprintf(f, "user u%d\ntopic t/%d\n", i, i);
    (void)fprintf(f, "user joe\ntopic #\n");
    assert_int_equal(fclose(f), 0);
    begin(&r, false, "user joe\ntopic #\n");
    bare = mem_used();
    change(&r, acl);
    one = mem_used() - bare;
    for (int i = 0; i < CHANGES; i++) {
        char id[16];
        (void)snprintf(id, sizeof(id), "c%d", i);
        rig_connect_as(&r, &c[i], id, "joe", true);
        retain(&c[i], id, "x"); /* it is asked for, once */
        change(&r, acl);
        rig_settle(&r);
    }
    change(&r, "user joe\ntopic #\n");
    rig_settle(&r);
    assert_in_range(mem_used(), 0, bare + one);
    free(acl);
    for (int i = 0; i < CHANGES; i++)
        rig_forget(&c[i]);
    rig_end(&r);
}

static void each_listener_has_its_own(void **state)
{
    struct scene s;
    struct conf_listener open;
    struct conf_listener other;
    struct conf_listener *all[3];
    struct conf conf;

    (void)state;
    begin(&s.r, true, "");
    open = listener_like(&s.r, 1884, NULL);
    other = listener_like(&s.r, 1885, "user joe\ntopic read one\n");
    all[0] = &s.r.listener;
    all[1] = &open;
    all[2] = &other;
    conf = s.r.conf;
    conf.listeners = all;
    conf.listener_count = 3;
    assert_ok(broker_prepare(s.r.b, &conf));
    broker_commit(s.r.b);
    s.r.through = &open;
    rig_connect_as(&s.r, &s.p, "p", "publisher", true);
    s.r.through = &other;
    rig_connect_as(&s.r, &s.joe, "j", "joe", false);
    s.r.through = NULL;
    rig_connect_as(&s.r, &s.nobody, "n", "joe", true);
    rig_subscribe(&s.joe, "#", QOS_1);
    rig_subscribe(&s.nobody, "#", QOS_1);
    publish(&s.p, "one", "x", QOS_1);
    publish(&s.p, "two", "x", QOS_1);
    rig_expect_publish(&s.joe, "one", "x", QOS_1);
    rig_expect_nothing(&s.joe);
    rig_expect_nothing(&s.nobody);
    rig_forget(&s.joe);
    rig_settle(&s.r);
    conf.listener_count = 2;
    assert_ok(broker_prepare(s.r.b, &conf));
    broker_commit(s.r.b);
    publish(&s.p, "one", "queued", QOS_1);
    publish(&s.p, "two", "not", QOS_1);
    s.r.through = &other;
    assert_true(rig_connect_as(&s.r, &s.joe, "j", "joe", false));
    (void)rig_expect_publish(&s.joe, "one", "x", QOS_1); /* in flight */
    (void)rig_expect_publish(&s.joe, "one", "queued", QOS_1);
    rig_expect_nothing(&s.joe);
    rig_acl(&other, "user joe\ntopic read two\n"); /* files are read for it still */
    broker_rights_changed(s.r.b);
    publish(&s.p, "one", "x", QOS_1);
    publish(&s.p, "two", "x", QOS_1);
    (void)rig_expect_publish(&s.joe, "two", "x", QOS_1);
    rig_expect_nothing(&s.joe);
    rig_forget(&s.joe);
    rig_forget(&s.nobody);
    rig_forget(&s.p);
    rig_settle(&s.r);
    s.r.through = NULL;
    rig_connect_as(&s.r, &s.joe, "j", "joe", true); /* the session that knew the others is gone */
    rig_forget(&s.joe);
    rig_settle(&s.r);
    assert_int_equal(open.refs, 1);
    assert_int_equal(other.refs, 1);
    assert_ok(broker_prepare(s.r.b, &s.r.conf));
    broker_commit(s.r.b);
    rig_acl(&other, NULL);
    rig_end(&s.r);
}

/* A listener with the same socket takes the place of the former, for who is away, too. */
static void another_configuration_has_other_files(void **state)
{
    struct scene s;
    struct conf_listener later;
    struct conf_listener *all[1] = {&later};
    struct conf conf;

    (void)state;
    scene_begin(&s, true, PUBLISHER "user joe\ntopic read one\n");
    rig_subscribe(&s.joe, "#", QOS_1);
    rig_forget(&s.joe);
    rig_settle(&s.r);
    later = listener_like(&s.r, s.r.listener.port, PUBLISHER "user joe\ntopic read two\n");
    conf = s.r.conf;
    conf.listeners = all;
    assert_ok(broker_prepare(s.r.b, &conf));
    broker_commit(s.r.b);
    publish(&s.p, "one", "x", QOS_1);
    publish(&s.p, "two", "x", QOS_1);
    assert_int_equal(rig_logged(&s.r, "denied: read 'one'"), 1);
    s.r.through = &later;
    assert_true(rig_connect_as(&s.r, &s.joe, "j", "joe", false));
    rig_expect_publish(&s.joe, "two", "x", QOS_1);
    rig_expect_nothing(&s.joe);
    rig_forget(&s.joe);
    rig_forget(&s.nobody);
    rig_forget(&s.p);
    rig_connect_as(&s.r, &s.joe, "j", "joe", true);
    rig_forget(&s.joe);
    rig_settle(&s.r);
    assert_int_equal(later.refs, 1);
    rig_acl(&later, NULL);
    rig_end(&s.r);
}

/* --- the cache --- */

static void set_up(struct rights_all *all, struct conf *conf, struct conf_listener *l,
                   struct conf_listener **listeners, const char *acl)
{
    *all = (struct rights_all){.seed = 7};
    *l = (struct conf_listener){.refs = 1, .port = 1883};
    *listeners = l;
    *conf = (struct conf){.listeners = listeners, .listener_count = 1};
    rig_acl(l, acl);
    rights_changed(all, conf);
}

static void verdicts_are_remembered_for_a_few_topics_and_right_for_all(void **state)
{
    struct rights_all all;
    struct conf conf;
    struct conf_listener l;
    struct conf_listener *listeners[1];
    struct rights *r;
    char topic[32];
    unsigned fresh = 0;

    (void)state;
    set_up(&all, &conf, &l, listeners, "user u\ntopic read even/+\ntopic write odd/+\n");
    r = rights_get(&all,
                   &(struct rights_who){.user = STR("u"), .client = STR("c"), .listener = &l});
    assert_non_null(r);
    for (unsigned i = 0; i < 20000; i++) {
        unsigned n = (i / 4) % (i < 10000 ? 48 : 1000);
        enum acl_right right = i % 2 ? ACL_READ : ACL_WRITE;
        (void)snprintf(topic, sizeof(topic), "%s/%u", n % 2 ? "odd" : "even", n);
        struct rights_topic t = rights_topic(&all, str_c(topic));
        struct rights_answer a = rights_ask(&all, r, right, &t);
        if (a.granted != ((n % 2 == 0) == (right == ACL_READ)))
            fail_msg("'%s', right %d: %d", topic, right, a.granted);
        if (i >= 5000 && i < 10000)
            fresh += a.fresh;
        struct rights_answer again = rights_ask(&all, r, right, &t);
        assert_true(again.granted == a.granted && !again.fresh);
    }
    print_message("48 topics: %u of 5000 verdicts were not remembered\n", fresh);
    assert_true(fresh < 2500);
    unit_needs_tracking();
    size_t used = mem_used();
    for (unsigned i = 0; i < 10000; i++) {
        (void)snprintf(topic, sizeof(topic), "many/%u", i);
        struct rights_topic t = rights_topic(&all, str_c(topic));
        (void)rights_ask(&all, r, ACL_READ, &t);
    }
    assert_int_equal(mem_used(), used); /* bounded */
    rights_unref(&all, r);
    rights_clear(&all);
    rig_acl(&l, NULL);
}

static void the_same_client_has_one_entry(void **state)
{
    struct rights_all all;
    struct conf conf;
    struct conf_listener l;
    struct conf_listener *listeners[1];
    struct rights_who who = {.user = STR("u"), .client = STR("c")};

    (void)state;
    set_up(&all, &conf, &l, listeners, "user u\ntopic t\n");
    who.listener = &l;
    struct rights *a = rights_get(&all, &who);
    struct rights *b = rights_get(&all, &who);
    assert_true(a && a == b);
    who.listener = NULL;
    who.port = 1883;
    struct rights *by_port = rights_get(&all, &who);
    assert_true(by_port == a);
    who.port = 1884;
    struct rights *elsewhere = rights_get(&all, &who);
    assert_true(elsewhere && elsewhere != a);
    who = (struct rights_who){.user = STR("uc"), .client = STR(""), .listener = &l};
    struct rights *glued = rights_get(&all, &who);
    assert_true(glued && glued != a);
    struct rights_topic t = rights_topic(&all, STR("t"));
    assert_true(rights_ask(&all, a, ACL_READ, &t).granted);
    assert_false(rights_ask(&all, glued, ACL_READ, &t).granted);
    assert_true(rights_ask(&all, elsewhere, ACL_READ, &t).granted); /* no listener, no ACL */
    assert_int_equal(all.bound, 2);
    rights_unref(&all, a);
    rights_unref(&all, b);
    rights_unref(&all, by_port);
    rights_unref(&all, elsewhere);
    rights_unref(&all, glued);
    assert_int_equal(all.table.count, 0);
    assert_int_equal(all.bound, 0);
    assert_int_equal(l.refs, 1);
    rights_clear(&all);
    rig_acl(&l, NULL);
}

/* --- memory --- */

/* Nor is anything acknowledged that nobody gets for want of memory. */
static void without_memory_nothing_is_lost(void **state)
{
    (void)state;
    unit_needs_tracking();
    for (unsigned n = 0; n < 60; n++) {
        struct scene s;
        struct frame f;
        bool acknowledged = false;
        bool given = false;
        scene_begin(&s, n % 4 < 2, NULL);
        rig_subscribe(&s.nobody, "yes", QOS_1);
        change(&s.r, "topic yes\n" PUBLISHER);
        mem_fail_after(n / 4, n % 2);
        rig_publish(&s.p, "yes", "x", QOS_1, 1);
        rig_turn(&s.r);
        mem_fail_never();
        rig_settle(&s.r);
        while (rig_next(&s.p, &f))
            acknowledged |= frame_type(&f) == PACKET_PUBACK;
        while (rig_next(&s.nobody, &f))
            given |= frame_type(&f) == PACKET_PUBLISH;
        if (s.nobody.conn)
            assert_true(given || !acknowledged);
        scene_end(&s);
    }
}

/* The longest names there are, over a restart. */
static void names_may_be_long(void **state)
{
    static char user[UINT16_MAX + 1], id[UINT16_MAX + 1];
    struct rig r;
    struct rig_client c;
    struct rig_client reader;

    (void)state;
    memset(user, 'u', UINT16_MAX);
    memset(id, 'i', 30000);
    begin(&r, true, "pattern readwrite %c\npattern readwrite x/%u\ntopic read #\n");
    rig_connect_as(&r, &c, id, user, false);
    rig_subscribe(&c, id, QOS_1);
    retain(&c, id, "kept");
    retain(&c, "other", "not mine");
    (void)rig_drain(&c);
    rig_check_replay(&r);
    rig_restart(&r);
    rig_check_replay(&r);
    rig_connect(&r, &reader, "reader", true);
    expect_retained(&reader, "#", id);
    change(&r, "topic read #\n");
    rig_subscribe(&reader, "#", QOS_0);
    assert_int_equal(rig_drain(&reader), 0); /* its author may not write it any more */
    rig_forget(&reader);
    rig_forget(&c);
    rig_end(&r);
}

/* Whatever there is no memory for: nobody is given what is denied, and nothing is leaked. */
static void without_memory_it_is_denied(void **state)
{
    (void)state;
    unit_needs_tracking();
    for (unsigned n = 0; n < 60; n++) {
        struct scene s;
        struct rig_client late;
        scene_begin(&s, true, PUBLISHER "user joe\ntopic yes\n");
        rig_subscribe(&s.joe, "#", QOS_1);
        change(&s.r, PUBLISHER "user joe\ntopic yes\nuser late\ntopic yes\n");
        assert_true(rig_open(&s.r, &late));
        mem_fail_after(n, n % 2);
        rig_send_connect(&late, &(struct packet_connect){.client_id = STR("l"),
                                                         .level = PROTOCOL_311,
                                                         .has_username = true,
                                                         .username = STR("late")});
        rig_turn(&s.r);
        rig_send_subscribe(&late, 1, "#", QOS_1);
        rig_retain(&s.p, "no", "kept", QOS_1, 1);
        rig_retain(&s.p, "yes", "kept", QOS_1, 2);
        for (int i = 0; i < 5; i++)
            rig_turn(&s.r);
        mem_fail_never();
        rig_settle(&s.r);
        struct rig_client *clients[] = {&s.joe, &late};
        for (unsigned i = 0; i < ARRAY_SIZE(clients); i++) {
            struct frame f;
            while (rig_next(clients[i], &f)) {
                struct packet_publish p;
                if (frame_type(&f) != PACKET_PUBLISH)
                    continue;
                assert_int_equal(decode_publish(&f, &p), REASON_OK);
                assert_true(str_eq_c(p.topic, "yes"));
            }
        }
        rig_forget(&late);
        scene_end(&s);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        UNIT_TEST(what_may_not_be_written_is_acknowledged_and_given_to_nobody),
        UNIT_TEST(an_empty_file_denies_all_and_none_allows_all),
        UNIT_TEST(what_belongs_to_the_broker_stays_so),
        UNIT_TEST(who_may_not_read_gets_nothing),
        UNIT_TEST(patterns_take_the_id_and_the_name),
        UNIT_TEST(a_group_gives_it_to_a_member_that_may_read),
        UNIT_TEST(duplicates_are_denied_too),
        UNIT_TEST(topics_are_those_with_the_mount_point),
        UNIT_TEST(a_bridge_is_subject_to_it),
        UNIT_TEST(an_absent_client_is_queued_only_what_it_may_read),
        UNIT_TEST(of_whom_nothing_is_known_is_decided_when_it_is_back),
        UNIT_TEST(a_right_taken_away_takes_what_was_queued),
        UNIT_TEST(a_message_that_is_half_sent_is_released),
        UNIT_TEST(what_waits_for_the_window_is_asked_again),
        UNIT_TEST(a_session_has_the_rights_of_who_uses_it),
        UNIT_TEST(retained_messages_are_for_who_may_read_them),
        UNIT_TEST(what_is_retained_needs_an_author_that_may_write_it),
        UNIT_TEST(authors_are_forgotten),
        UNIT_TEST(a_will_must_be_allowed),
        UNIT_TEST(filters_of_nothing_readable_are_refused_if_told_so),
        UNIT_TEST(other_files_count_at_once_for_everybody),
        UNIT_TEST(former_files_are_let_go_of),
        UNIT_TEST(each_listener_has_its_own),
        UNIT_TEST(another_configuration_has_other_files),
        UNIT_TEST(verdicts_are_remembered_for_a_few_topics_and_right_for_all),
        UNIT_TEST(the_same_client_has_one_entry),
        UNIT_TEST(names_may_be_long),
        UNIT_TEST(without_memory_nothing_is_lost),
        UNIT_TEST(without_memory_it_is_denied),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
