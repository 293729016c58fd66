/*
 * Mount points: topics on their way in and out, and that nobody sees or reaches anything outside.
 */
#include "core/topicmap.h"

#include "unit/rig.h"
#include "unit/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char room[TOPICMAP_ROOM];

static struct conf_listener behind(const char *mount)
{
    return (struct conf_listener){
        .refs = 1,
        .port = 1884,
        .max_connections = -1,
        .max_qos = 2,
        .accept_versions = CONF_MQTT_31 | CONF_MQTT_311,
        .mount_point = (char *)(uintptr_t)mount,
        .security = {.allow_anonymous = true, .allow_zero_length_clientid = true}};
}

/* --- the text --- */

static void names_get_the_mount_point_before_them(void **state)
{
    static const struct {
        const char *mount, *name, *inside;
    } cases[] = {
        {"m/", "a", "m/a"},           {"m/", "a/b", "m/a/b"}, {"m/", "/", "m//"},
        {"m/", "$SYS/x", "m/$SYS/x"}, {"m", "a", "ma"},       {"$x/y/", "a", "$x/y/a"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct conf_listener l = behind(cases[i].mount);
        struct str inside = STR("");
        struct str name = STR("");
        assert_int_equal(topicmap_name(&l, str_c(cases[i].name), room, &inside), REASON_OK);
        assert_true(str_eq_c(inside, cases[i].inside));
        assert_true(topicmap_back(&l, inside, room, &name));
        assert_true(str_eq_c(name, cases[i].name));
    }
}

static void filters_get_it_before_what_is_matched(void **state)
{
    static const struct {
        const char *mount, *filter, *inside;
        enum reason reason;
    } cases[] = {
        {"m/", "#", "m/#", REASON_OK},
        {"m/", "+", "m/+", REASON_OK},
        {"m/", "a/+/b", "m/a/+/b", REASON_OK},
        {"m/", "$SYS/#", "m/$SYS/#", REASON_OK},
        {"m/", "$share/g/#", "$share/g/m/#", REASON_OK},
        {"m/", "$share/g//a", "$share/g/m//a", REASON_OK},
        {"m/", "$share", "m/$share", REASON_OK},
        {"m", "a/#", "ma/#", REASON_OK},
        {"m", "/#", "m/#", REASON_OK},
        {"m", "#", "", REASON_MOUNT_WILDCARD},
        {"m", "+", "", REASON_MOUNT_WILDCARD},
        {"m", "+/a", "", REASON_MOUNT_WILDCARD},
        {"m", "$share/g/+/a", "", REASON_MOUNT_WILDCARD},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct conf_listener l = behind(cases[i].mount);
        struct str inside = STR("");
        assert_int_equal(topicmap_filter(&l, str_c(cases[i].filter), room, &inside),
                         cases[i].reason);
        if (cases[i].reason == REASON_OK && !str_eq_c(inside, cases[i].inside))
            fail_msg("'%s' became '%.*s'", cases[i].filter, STR_ARG(inside));
    }
}

static void what_is_outside_has_no_name(void **state)
{
    static const char *const outside[] = {"",   "m",   "m/",   "a",       "n/a",
                                          "ma", "M/a", "/m/a", "$SYS/m/a"};
    struct conf_listener l = behind("m/");

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(outside); i++) {
        struct str name = STR("untouched");
        assert_false(topicmap_back(&l, str_c(outside[i]), room, &name));
        assert_true(str_eq_c(name, "untouched"));
    }
    assert_true(topicmap_is_root(&l, STR("m")));
    assert_true(topicmap_is_root(&l, STR("m/")));
    assert_false(topicmap_is_root(&l, STR("")));
    assert_false(topicmap_is_root(&l, STR("n")));
    assert_false(topicmap_is_root(&l, STR("m/a")));
    l = behind("m");
    assert_true(topicmap_is_root(&l, STR("m")));
    assert_false(topicmap_is_root(&l, STR("m/")));
    l = behind("/");
    assert_true(topicmap_is_root(&l, STR("/")));
    assert_true(topicmap_is_root(&l, STR("")));
}

/* Both limits are those of what the broker sees: 65,535 bytes, 200 levels. */
static void the_whole_must_not_be_too_long(void **state)
{
    static char text[TOPICMAP_ROOM + 1];
    struct conf_listener l = behind("mount/");
    struct str inside;

    (void)state;
    memset(text, 'x', sizeof(text));
    assert_int_equal(topicmap_name(&l, str_of(text, 65529), room, &inside), REASON_OK);
    assert_int_equal(inside.n, 65535);
    assert_int_equal(topicmap_name(&l, str_of(text, 65530), room, &inside), REASON_MOUNT_LENGTH);
    assert_int_equal(topicmap_filter(&l, str_of(text, 65529), room, &inside), REASON_OK);
    assert_int_equal(topicmap_filter(&l, str_of(text, 65530), room, &inside), REASON_MOUNT_LENGTH);
    memcpy(text, "$share/g/", 9);
    assert_int_equal(topicmap_filter(&l, str_of(text, 65529), room, &inside), REASON_OK);
    assert_int_equal(inside.n, 65535);
    assert_int_equal(topicmap_filter(&l, str_of(text, 65530), room, &inside), REASON_MOUNT_LENGTH);
    memset(text, '/', sizeof(text)); /* n slashes are n + 1 levels */
    assert_int_equal(topicmap_name(&l, str_of(text, 198), room, &inside), REASON_OK);
    assert_int_equal(topicmap_name(&l, str_of(text, 199), room, &inside), REASON_LEVELS);
    assert_int_equal(topicmap_filter(&l, str_of(text, 198), room, &inside), REASON_OK);
    assert_int_equal(topicmap_filter(&l, str_of(text, 199), room, &inside), REASON_LEVELS);
}

/* --- clients --- */

struct world {
    struct rig r;
    struct conf_listener mounted;
    struct rig_client in;  /* behind the mount point "m/" */
    struct rig_client out; /* not behind it */
};

static void connect_in(struct world *w, struct rig_client *c, const char *id, bool clean)
{
    w->r.through = &w->mounted;
    (void)rig_connect(&w->r, c, id, clean);
    w->r.through = NULL;
}

static void world_begin(struct world *w, bool persistent)
{
    w->mounted = behind("m/");
    rig_begin(&w->r, persistent);
    connect_in(w, &w->in, "in", true);
    rig_connect(&w->r, &w->out, "out", true);
}

static void world_end(struct world *w)
{
    rig_forget(&w->in);
    rig_forget(&w->out);
    rig_settle(&w->r);
    rig_end(&w->r);
    assert_int_equal(w->mounted.refs, 1);
}

static void each_side_sees_its_own_names(void **state)
{
    static char large[3000];
    static const char *const payloads[] = {"", "small", large};
    struct world w;

    (void)state;
    memset(large, 'l', sizeof(large) - 1);
    world_begin(&w, false);
    rig_subscribe(&w.in, "#", QOS_2);
    rig_subscribe(&w.out, "#", QOS_2);
    for (unsigned q = 0; q < 3; q++) {
        for (size_t i = 0; i < ARRAY_SIZE(payloads); i++) {
            uint16_t id = q ? (uint16_t)(i + 1) : 0;
            rig_publish(&w.in, "a/b", payloads[i], (enum qos)q, id);
            rig_settle(&w.r);
            rig_expect_publish(&w.in, "a/b", payloads[i], (enum qos)q);
            rig_expect_publish(&w.out, "m/a/b", payloads[i], (enum qos)q);
            (void)rig_drain(&w.in);
            rig_publish(&w.out, "m/c", payloads[i], (enum qos)q, id);
            rig_publish(&w.out, "elsewhere", payloads[i], QOS_0, 0);
            rig_settle(&w.r);
            rig_expect_publish(&w.in, "c", payloads[i], (enum qos)q);
            rig_expect_nothing(&w.in);
            (void)rig_drain(&w.out);
            if (q == 2) {
                rig_send_ack(&w.in, PACKET_PUBREL, id);
                rig_send_ack(&w.out, PACKET_PUBREL, id);
                rig_settle(&w.r);
                (void)rig_drain(&w.in);
                (void)rig_drain(&w.out);
            }
        }
    }
    assert_int_equal(broker_stats(w.r.b)->publish_dropped, 0);
    world_end(&w);
}

/* "m/#" matches "m" too; and "m/" would be a topic without a name. */
static void the_mount_point_itself_is_outside(void **state)
{
    struct world w;

    (void)state;
    world_begin(&w, false);
    rig_subscribe(&w.in, "#", QOS_1);
    rig_retain(&w.out, "m", "x", QOS_1, 1);
    rig_retain(&w.out, "m/", "x", QOS_0, 0);
    rig_settle(&w.r);
    rig_expect_nothing(&w.in);
    rig_subscribe(&w.in, "#", QOS_1);
    rig_expect_nothing(&w.in);
    assert_int_equal(broker_stats(w.r.b)->publish_dropped, 0);
    assert_int_equal(rig_logged(&w.r, "dropped"), 0);
    (void)rig_drain(&w.out);
    world_end(&w);
}

static void retained_messages_are_inside_too(void **state)
{
    struct world w;

    (void)state;
    world_begin(&w, false);
    rig_retain(&w.out, "m/kept", "by out", QOS_1, 1);
    rig_retain(&w.out, "kept", "outside", QOS_1, 2);
    rig_retain(&w.in, "mine", "by in", QOS_1, 1);
    rig_settle(&w.r);
    (void)rig_drain(&w.in);
    (void)rig_drain(&w.out);
    rig_subscribe(&w.in, "kept", QOS_0);
    assert_true(rig_expect_publish(&w.in, "kept", "by out", QOS_0).retain);
    rig_subscribe(&w.in, "+", QOS_1);
    assert_int_equal(rig_drain(&w.in), 2);
    rig_subscribe(&w.out, "m/mine", QOS_1);
    assert_true(rig_expect_publish(&w.out, "m/mine", "by in", QOS_1).retain);
    rig_retain(&w.in, "kept", "", QOS_0, 0); /* its own, not the one outside */
    rig_settle(&w.r);
    assert_int_equal(broker_stats(w.r.b)->retained, 2);
    (void)rig_drain(&w.in);
    world_end(&w);
}

static void an_unsubscribe_finds_what_was_subscribed(void **state)
{
    struct world w;

    (void)state;
    world_begin(&w, false);
    rig_subscribe(&w.in, "a/#", QOS_0);
    rig_subscribe(&w.in, "$share/g/b", QOS_0);
    rig_unsubscribe(&w.in, "m/a/#");
    assert_int_equal(broker_stats(w.r.b)->subscriptions, 1);
    rig_unsubscribe(&w.in, "a/#");
    rig_unsubscribe(&w.in, "$share/g/b");
    assert_int_equal(broker_stats(w.r.b)->subscriptions, 0);
    assert_int_equal(broker_stats(w.r.b)->shared_subscriptions, 0);
    world_end(&w);
}

static void a_shared_group_is_one_inside(void **state)
{
    struct world w;

    (void)state;
    world_begin(&w, false);
    rig_subscribe(&w.in, "$share/g/t", QOS_0);
    rig_subscribe(&w.out, "$share/g/m/t", QOS_0);
    for (unsigned i = 0; i < 10; i++)
        rig_publish(&w.in, "t", "x", QOS_0, 0);
    rig_publish(&w.out, "t", "x", QOS_0, 0);
    rig_settle(&w.r);
    assert_int_equal(rig_drain(&w.in), 5);
    assert_int_equal(rig_drain(&w.out), 5);
    world_end(&w);
}

static void a_will_goes_out_inside(void **state)
{
    struct rig_client mortal;
    struct world w;

    (void)state;
    world_begin(&w, false);
    rig_subscribe(&w.out, "#", QOS_1);
    w.r.through = &w.mounted;
    assert_true(rig_open(&w.r, &mortal));
    rig_send_connect(&mortal, &(struct packet_connect){.client_id = STR("mortal"),
                                                       .level = PROTOCOL_311,
                                                       .clean_session = true,
                                                       .has_will = true,
                                                       .will_topic = STR("will"),
                                                       .will_payload = STR("gone"),
                                                       .will_qos = QOS_1});
    rig_settle(&w.r);
    rig_expect_connack(&mortal, false, CONNACK_ACCEPTED);
    rig_forget(&mortal);
    rig_settle(&w.r);
    rig_expect_publish(&w.out, "m/will", "gone", QOS_1);
    world_end(&w);
}

static void connect_with_will(struct world *w, const char *topic, uint8_t code)
{
    struct rig_client c;

    assert_true(rig_open(&w->r, &c));
    rig_send_connect(&c, &(struct packet_connect){.client_id = STR("c"),
                                                  .level = PROTOCOL_311,
                                                  .clean_session = true,
                                                  .has_will = true,
                                                  .will_topic = str_c(topic)});
    rig_settle(&w->r);
    rig_expect_connack(&c, false, code);
    rig_forget(&c);
}

/* Neither what it wrote nor what becomes of it may be the broker's. */
static void the_brokers_topics_stay_the_brokers(void **state)
{
    struct world w;

    (void)state;
    world_begin(&w, false);
    rig_subscribe(&w.out, "#", QOS_0);
    rig_subscribe(&w.out, "$SYS/#", QOS_0);
    rig_subscribe(&w.in, "$SYS/#", QOS_0);
    rig_publish(&w.in, "$SYS/x", "x", QOS_0, 0);
    rig_publish(&w.in, "$CONTROL/x", "x", QOS_0, 0);
    broker_publish_local(w.r.b, STR("$SYS/secret"), STR("x"), true);
    rig_settle(&w.r);
    rig_expect_publish(&w.out, "$SYS/secret", "x", QOS_0);
    rig_expect_nothing(&w.out);
    rig_expect_nothing(&w.in);
    w.r.through = &w.mounted;
    connect_with_will(&w, "$SYS/x", CONNACK_NOT_AUTHORISED);
    connect_with_will(&w, "x", CONNACK_ACCEPTED);
    world_end(&w);

    world_begin(&w, false);
    w.mounted = behind("$SYS/");
    w.mounted.refs = 3; /* two of `in` */
    rig_forget(&w.in);
    connect_in(&w, &w.in, "in", true);
    rig_subscribe(&w.out, "$SYS/#", QOS_0);
    rig_publish(&w.in, "x", "x", QOS_0, 0);
    rig_settle(&w.r);
    rig_expect_nothing(&w.out);
    w.r.through = &w.mounted;
    connect_with_will(&w, "x", CONNACK_NOT_AUTHORISED);
    world_end(&w);
}

static void a_topic_that_gets_too_long_ends_the_connection(void **state)
{
    static char topic[65535];
    struct world w;

    (void)state;
    memset(topic, 't', sizeof(topic) - 1);
    world_begin(&w, false);
    rig_subscribe(&w.in, "a", QOS_0);
    topic[65533] = 0;
    rig_publish(&w.in, topic, "x", QOS_1, 1);
    rig_settle(&w.r);
    assert_int_equal(rig_expect(&w.in, PACKET_PUBACK), 1);
    topic[65533] = 't';
    rig_send_unsubscribe(&w.in, 2, topic);
    rig_settle(&w.r);
    rig_expect_closed(&w.in);
    assert_int_equal(rig_logged(&w.r, "topic too long with the mount point"), 1);
    rig_forget(&w.in);
    connect_in(&w, &w.in, "in", true);
    rig_publish(&w.in, topic, "x", QOS_1, 1);
    rig_settle(&w.r);
    rig_expect_closed(&w.in);
    assert_int_equal(rig_logged(&w.r, "topic too long with the mount point"), 2);
    world_end(&w);
}

/* All filters of a packet are looked at before the first is subscribed to. */
static void a_subscribe_that_cannot_be_does_nothing(void **state)
{
    static char filter[400];
    uint8_t packet[450] = {0x82};
    struct world w;
    size_t n;

    (void)state;
    memset(filter, '/', 199);
    world_begin(&w, false);
    n = 6 + 200 + 1;
    memcpy(packet + 1, (uint8_t[]){0x80, 0}, 2);
    packet[1] = (uint8_t)(0x80 | (2 + 4 + 2 + 199 + 1) % 128);
    packet[2] = (2 + 4 + 2 + 199 + 1) / 128;
    memcpy(packet + 3, (uint8_t[]){0, 1, 0, 1, 'a', 0, 0, 199}, 8);
    memcpy(packet + 11, filter, 199);
    n = 11 + 199 + 1;
    rig_send(&w.in, packet, n);
    rig_settle(&w.r);
    rig_expect_closed(&w.in);
    assert_int_equal(rig_logged(&w.r, "too many levels"), 1);
    rig_forget(&w.in);
    connect_in(&w, &w.in, "in", true);
    world_end(&w);
}

static void a_wildcard_that_means_nothing_is_refused(void **state)
{
    struct world w;
    struct frame f;

    (void)state;
    world_begin(&w, false);
    w.mounted = behind("m");
    w.mounted.refs = 3;
    rig_forget(&w.in);
    connect_in(&w, &w.in, "in", true);
    rig_send_subscribe(&w.in, 7, "#", QOS_1);
    rig_settle(&w.r);
    assert_true(rig_next(&w.in, &f));
    assert_int_equal(frame_type(&f), PACKET_SUBACK);
    assert_int_equal((uint8_t)f.body.p[2], SUBACK_FAILURE);
    assert_int_equal(rig_logged(&w.r, "a wildcard cannot follow the mount point"), 1);
    rig_unsubscribe(&w.in, "#");
    rig_subscribe(&w.in, "/#", QOS_0);
    rig_publish(&w.out, "m/x", "x", QOS_0, 0);
    rig_publish(&w.out, "mx", "x", QOS_0, 0);
    rig_settle(&w.r);
    rig_expect_publish(&w.in, "/x", "x", QOS_0);
    rig_expect_nothing(&w.in);
    world_end(&w);
}

/* --- sessions that were somewhere else before --- */

static void acknowledge(struct rig_client *c, uint16_t id)
{
    rig_send_ack(c, PACKET_PUBACK, id);
    rig_settle(c->rig);
}

/* `stored` has been outside, subscribed to everything, and has gone. */
static void leave_messages(struct world *w, struct rig_client *stored)
{
    rig_connect(&w->r, stored, "stored", false);
    rig_subscribe(stored, "#", QOS_2);
    rig_forget(stored);
    rig_publish(&w->out, "other/1", "no", QOS_1, 1);
    rig_publish(&w->out, "m/1", "yes", QOS_1, 2);
    rig_publish(&w->out, "other/2", "no", QOS_2, 3);
    rig_publish(&w->out, "m/2", "yes", QOS_2, 4);
    rig_publish(&w->out, "other/3", "no", QOS_1, 5);
    rig_settle(&w->r);
    rig_drain(&w->out);
}

static void stored_messages_from_outside_are_dropped(void **state)
{
    struct rig_client stored;
    struct world w;

    (void)state;
    for (unsigned kind = 0; kind < 8; kind++) {
        world_begin(&w, kind & 1);
        w.r.conf.global.persistence_memory_limit = kind & 2 ? 1 : 0;
        w.r.conf.global.log_type = LOG_LEVEL_DEFAULT;
        if (kind & 1) {
            assert_ok(broker_prepare(w.r.b, &w.r.conf));
            broker_commit(w.r.b);
        }
        leave_messages(&w, &stored);
        if (kind == 5 || kind == 7) {
            rig_forget(&w.in);
            rig_forget(&w.out);
            rig_restart(&w.r);
            connect_in(&w, &w.in, "in", true);
            rig_connect(&w.r, &w.out, "out", true);
        }
        uint64_t dropped = broker_stats(w.r.b)->publish_dropped;
        connect_in(&w, &stored, "stored", false);
        struct packet_publish p = rig_expect_publish(&stored, "1", "yes", QOS_1);
        acknowledge(&stored, p.id);
        p = rig_expect_publish(&stored, "2", "yes", QOS_2);
        rig_expect_nothing(&stored);
        assert_int_equal(broker_stats(w.r.b)->publish_dropped - dropped, 3);
        assert_int_equal(rig_logged(&w.r, "topic outside its mount point"), 1);
        rig_check(&w.r);
        if (kind & 1)
            rig_check_replay(&w.r);
        /* its old subscription still matches: what it cannot name does not come, live either */
        rig_publish(&w.out, "other/4", "no", QOS_1, 6);
        rig_publish(&w.out, "other/4", "no", QOS_0, 0);
        rig_publish(&w.out, "m/3", "yes", QOS_0, 0);
        rig_settle(&w.r);
        rig_expect_publish(&stored, "3", "yes", QOS_0);
        rig_expect_nothing(&stored);
        assert_int_equal(broker_stats(w.r.b)->publish_dropped - dropped, 5);
        assert_int_equal(rig_logged(&w.r, "topic outside its mount point"), 1);
        /* back outside, nothing of that comes again; its QoS 2 message does */
        rig_forget(&stored);
        (void)rig_connect(&w.r, &stored, "stored", false);
        assert_int_equal(rig_expect_publish(&stored, "m/2", "yes", QOS_2).id, p.id);
        rig_expect_nothing(&stored);
        if (kind & 1)
            rig_check_replay(&w.r);
        rig_forget(&stored);
        world_end(&w);
    }
}

/* What was sent already, and not acknowledged, has its packet id: that becomes free. */
static void messages_in_flight_from_outside_are_dropped(void **state)
{
    struct rig_client c;
    struct world w;

    (void)state;
    for (unsigned kind = 0; kind < 2; kind++) {
        world_begin(&w, kind);
        rig_connect(&w.r, &c, "c", false);
        rig_subscribe(&c, "#", QOS_2);
        rig_publish(&w.out, "other/1", "no", QOS_1, 1);
        rig_publish(&w.out, "m/1", "yes", QOS_1, 2);
        rig_publish(&w.out, "other/2", "no", QOS_2, 3);
        rig_publish(&w.out, "other/3", "no", QOS_2, 4);
        rig_settle(&w.r);
        (void)rig_expect_publish(&c, "other/1", "no", QOS_1);
        uint16_t kept = rig_expect_publish(&c, "m/1", "yes", QOS_1).id;
        uint16_t perhaps = rig_expect_publish(&c, "other/2", "no", QOS_2).id;
        uint16_t received = rig_expect_publish(&c, "other/3", "no", QOS_2).id;
        rig_send_ack(&c, PACKET_PUBREC, received);
        rig_settle(&w.r);
        assert_int_equal(rig_expect(&c, PACKET_PUBREL), received);
        rig_forget(&c);
        connect_in(&w, &c, "c", false);
        struct packet_publish p = rig_expect_publish(&c, "1", "yes", QOS_1);
        assert_true(p.dup);
        assert_int_equal(p.id, kept);
        /* The one it may have got, the other it has got: it must not keep their ids (4.3.3). */
        assert_int_equal(rig_expect(&c, PACKET_PUBREL), perhaps);
        assert_int_equal(rig_expect(&c, PACKET_PUBREL), received);
        rig_expect_nothing(&c);
        if (kind)
            rig_check_replay(&w.r);
        assert_int_equal(broker_stats(w.r.b)->publish_dropped, 2);
        acknowledge(&c, kept);
        rig_send_ack(&c, PACKET_PUBCOMP, perhaps);
        rig_send_ack(&c, PACKET_PUBCOMP, received);
        rig_settle(&w.r);
        rig_check(&w.r);
        if (kind)
            rig_check_replay(&w.r);
        rig_forget(&c);
        (void)rig_connect(&w.r, &c, "c", false);
        rig_expect_nothing(&c);
        rig_forget(&c);
        world_end(&w);
    }
}

/* Neither do retained messages that a subscription of former times still has to be given. */
static void a_feed_from_outside_gives_nothing(void **state)
{
    struct rig_client c;
    struct world w;
    char topic[32];

    (void)state;
    world_begin(&w, true);
    for (unsigned i = 0; i < 100; i++) {
        (void)snprintf(topic, sizeof(topic), "%s/%u", i % 2 ? "m" : "other", i);
        rig_retain(&w.out, topic, "x", QOS_1, (uint16_t)(i + 1));
    }
    rig_settle(&w.r);
    rig_drain(&w.out);
    rig_connect(&w.r, &c, "c", false);
    rig_subscribe(&c, "#", QOS_1); /* as many as the window lets through */
    rig_forget(&c);
    connect_in(&w, &c, "c", false);
    size_t got = 0;
    struct frame f;
    while (rig_next(&c, &f)) {
        assert_int_equal(frame_type(&f), PACKET_PUBLISH);
        const uint8_t *body = (const uint8_t *)f.body.p;
        size_t n = (size_t)body[0] << 8 | body[1];
        assert_null(memchr(body + 2, '/', n));
        acknowledge(&c, (uint16_t)(body[2 + n] << 8 | body[3 + n]));
        got++;
    }
    assert_int_equal(got, 50);
    assert_int_equal(broker_stats(w.r.b)->publish_dropped, 50);
    rig_check_replay(&w.r);
    rig_forget(&c);
    world_end(&w);
}

static void a_changed_mount_point_is_for_the_next_connect(void **state)
{
    struct conf_listener fresh = behind("fresh/");
    struct conf_listener *listeners[2];
    struct conf conf;
    struct world w;

    (void)state;
    world_begin(&w, false);
    conf = w.r.conf;
    listeners[0] = &w.r.listener;
    listeners[1] = &fresh;
    conf.listeners = listeners;
    conf.listener_count = 2;
    rig_subscribe(&w.in, "#", QOS_0);
    assert_ok(broker_prepare(w.r.b, &conf));
    broker_commit(w.r.b);
    rig_publish(&w.out, "m/1", "x", QOS_0, 0);
    rig_publish(&w.out, "fresh/1", "x", QOS_0, 0);
    rig_settle(&w.r);
    rig_expect_publish(&w.in, "1", "x", QOS_0);
    rig_expect_nothing(&w.in);
    rig_subscribe(&w.out, "fresh/#", QOS_0);
    rig_publish(&w.in, "2", "x", QOS_0, 0);
    rig_settle(&w.r);
    rig_expect_nothing(&w.out);
    rig_forget(&w.in);
    assert_int_equal(w.mounted.refs, 1);
    w.r.through = &fresh;
    (void)rig_connect(&w.r, &w.in, "in", true);
    rig_publish(&w.in, "3", "x", QOS_0, 0);
    rig_settle(&w.r);
    rig_expect_publish(&w.out, "fresh/3", "x", QOS_0);
    rig_forget(&w.in);
    assert_int_equal(fresh.refs, 1);
    assert_ok(broker_prepare(w.r.b, &w.r.conf));
    broker_commit(w.r.b);
    world_end(&w);
}

static void a_small_qos0_message_allocates_nothing(void **state)
{
    struct world w;
    uint64_t calls = 0;

    (void)state;
    unit_needs_tracking();
    world_begin(&w, false);
    rig_subscribe(&w.in, "t", QOS_0);
    rig_subscribe(&w.out, "m/t", QOS_0);
    for (unsigned i = 0; i < 60; i++) {
        if (i == 10)
            calls = mem_calls();
        rig_publish(i % 2 ? &w.in : &w.out, i % 2 ? "t" : "m/t", "payload", QOS_0, 0);
        rig_settle(&w.r);
        assert_int_equal(rig_drain(&w.in), 1);
        assert_int_equal(rig_drain(&w.out), 1);
    }
    assert_int_equal(mem_calls() - calls, 0);
    world_end(&w);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        UNIT_TEST(names_get_the_mount_point_before_them),
        UNIT_TEST(filters_get_it_before_what_is_matched),
        UNIT_TEST(what_is_outside_has_no_name),
        UNIT_TEST(the_whole_must_not_be_too_long),
        UNIT_TEST(each_side_sees_its_own_names),
        UNIT_TEST(the_mount_point_itself_is_outside),
        UNIT_TEST(retained_messages_are_inside_too),
        UNIT_TEST(an_unsubscribe_finds_what_was_subscribed),
        UNIT_TEST(a_shared_group_is_one_inside),
        UNIT_TEST(a_will_goes_out_inside),
        UNIT_TEST(the_brokers_topics_stay_the_brokers),
        UNIT_TEST(a_topic_that_gets_too_long_ends_the_connection),
        UNIT_TEST(a_subscribe_that_cannot_be_does_nothing),
        UNIT_TEST(a_wildcard_that_means_nothing_is_refused),
        UNIT_TEST(stored_messages_from_outside_are_dropped),
        UNIT_TEST(messages_in_flight_from_outside_are_dropped),
        UNIT_TEST(a_feed_from_outside_gives_nothing),
        UNIT_TEST(a_changed_mount_point_is_for_the_next_connect),
        UNIT_TEST(a_small_qos0_message_allocates_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
