/*
 * Cleaning the journal: what was recorded anew is all that is needed.
 *
 * The property, for any state: renew every frame there is, forget those frames, and a broker that
 * knows only what was written since says the same as the one that wrote it.
 */
#include "core/renew.h"

#include "core/feed.h"
#include "core/record.h"
#include "core/subscription.h"
#include "mqtt/decode.h"
#include "unit/life.h"
#include "unit/rig.h"
#include "unit/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Record one frame anew, in one go. */
static void renew_frame(struct rig *r, size_t frame)
{
    struct str left = rig_records(r, frame);
    uint64_t position = r->frames[frame].position;
    char *copy = malloc(left.n);

    assert_non_null(copy); /* the journal grows, and moves in the rig */
    memcpy(copy, left.p, left.n);
    left = str_of(copy, left.n);
    while (left.n > 0) {
        r->b->work = (struct work){0};
        assert_ok(broker_renew(r->b, &position, &left));
    }
    assert_int_equal(position, r->frames[frame].position + r->frames[frame].n);
    free(copy);
}

/* What is true of the frames before this one is recorded anew; they are still there. */
static void renew_until(struct rig *r, size_t end)
{
    for (size_t i = r->frame_first; i < end; i++)
        renew_frame(r, i);
    rig_commit(r);
}

/* They go, too. */
static void clean_before(struct rig *r, size_t end)
{
    renew_until(r, end);
    rig_drop_frames(r, end);
}

/* All frames so far go, and what is true of them is recorded anew. */
static void renew_all(struct rig *r)
{
    clean_before(r, r->frame_count);
}

static size_t journal_size(const struct rig *r)
{
    size_t n = 0;

    for (size_t i = r->frame_first; i < r->frame_count; i++)
        n += r->frames[i].n;
    return n;
}

static unsigned count_type(const struct rig *r, enum record_type type)
{
    unsigned n = 0;

    for (size_t i = r->frame_first; i < r->frame_count; i++) {
        struct str in = rig_records(r, i);
        struct record rec;
        while (in.n > 0) {
            assert_ok(record_read(&in, &rec));
            n += rec.type == type;
        }
    }
    return n;
}

/* --- by hand --- */

struct scene {
    struct rig r;
    struct rig_client c;
    struct rig_client p;
};

static void scene_begin(struct scene *s)
{
    rig_begin(&s->r, true);
    rig_connect(&s->r, &s->p, "publisher", false);
    rig_connect(&s->r, &s->c, "client", false);
}

static void scene_end(struct scene *s)
{
    rig_forget(&s->c);
    rig_forget(&s->p);
    rig_settle(&s->r);
    rig_end(&s->r);
}

static void an_empty_broker_has_nothing_to_renew(void **state)
{
    struct rig r;
    uint64_t position = 100;
    struct str none = STR("");

    (void)state;
    rig_begin(&r, true);
    assert_ok(broker_renew(r.b, &position, &none));
    assert_int_equal(position, 100);
    renew_all(&r);
    assert_int_equal(r.frame_count, 0);
    rig_end(&r);
}

static void sessions_and_subscriptions_are_renewed(void **state)
{
    struct scene s;

    (void)state;
    scene_begin(&s);
    rig_subscribe(&s.c, "a/+", QOS_2);
    rig_subscribe(&s.c, "$share/g/#", QOS_1);
    rig_subscribe(&s.c, "$share/g/b", QOS_0);
    rig_subscribe(&s.c, "b", QOS_1);
    rig_subscribe(&s.c, "b", QOS_0); /* granted anew */
    rig_subscribe(&s.c, "gone", QOS_0);
    rig_unsubscribe(&s.c, "gone");
    renew_all(&s.r);
    assert_int_equal(count_type(&s.r, RECORD_CLIENT), 2);
    assert_int_equal(count_type(&s.r, RECORD_SUBSCRIBE), 4); /* b once */
    assert_int_equal(count_type(&s.r, RECORD_UNSUBSCRIBE), 0);
    rig_check_replay(&s.r);
    rig_restart(&s.r);
    rig_forget(&s.c);
    assert_true(rig_connect(&s.r, &s.c, "client", false));
    rig_forget(&s.p);
    assert_true(rig_connect(&s.r, &s.p, "publisher", false));
    rig_publish(&s.p, "a/x", "x", QOS_2, 1);
    rig_settle(&s.r);
    rig_expect_publish(&s.c, "a/x", "x", QOS_2);
    scene_end(&s);
}

/* After a restart it is known where the records of the former life are: nobody need come back. */
static void what_a_former_life_left_is_renewed(void **state)
{
    struct scene s;

    (void)state;
    scene_begin(&s);
    rig_subscribe(&s.c, "t", QOS_2);
    rig_forget(&s.c);
    rig_publish(&s.p, "t", "waits", QOS_2, 1);
    rig_retain(&s.p, "r", "retained", QOS_1, 2);
    rig_settle(&s.r);
    rig_forget(&s.p);
    rig_settle(&s.r);
    for (unsigned i = 0; i < 3; i++) {
        char *before = rig_dump(&s.r);
        rig_restart(&s.r);
        renew_all(&s.r);
        rig_check_replay(&s.r);
        char *after = rig_dump(&s.r);
        assert_string_equal(before, after);
        free(before);
        free(after);
        assert_int_equal(count_type(&s.r, RECORD_MESSAGE), 2);
    }
    scene_end(&s);
}

/* A filter that left and came back to the same place is not taken for the one renewed before. */
static void a_subscription_made_anew_is_renewed_again(void **state)
{
    struct scene s;

    (void)state;
    scene_begin(&s);
    rig_subscribe(&s.c, "a", QOS_1);
    for (unsigned i = 0; i < 4; i++) {
        renew_all(&s.r);
        rig_check_replay(&s.r);
        rig_unsubscribe(&s.c, i % 2 ? "b" : "a");
        rig_subscribe(&s.c, i % 2 ? "a" : "b", i % 3 ? QOS_1 : QOS_2);
        rig_check_replay(&s.r);
    }
    renew_all(&s.r);
    assert_int_equal(count_type(&s.r, RECORD_SUBSCRIBE), 1);
    rig_check_replay(&s.r);
    scene_end(&s);
}

/* In each state of both directions. */
static void handshakes_are_renewed(void **state)
{
    struct scene s;

    (void)state;
    scene_begin(&s);
    rig_subscribe(&s.c, "t", QOS_2);
    for (uint16_t id = 1; id <= 6; id++)
        rig_publish(&s.p, "t", "payload", id % 2 ? QOS_1 : QOS_2, id);
    rig_settle(&s.r);
    rig_send_ack(&s.p, PACKET_PUBREL, 2);
    rig_send_ack(&s.c, PACKET_PUBACK, 1);
    rig_send_ack(&s.c, PACKET_PUBREC, 2);
    rig_send_ack(&s.c, PACKET_PUBREC, 4);
    rig_send_ack(&s.c, PACKET_PUBCOMP, 4);
    rig_settle(&s.r);
    (void)rig_drain(&s.c);
    (void)rig_drain(&s.p);
    rig_forget(&s.c);
    rig_publish(&s.p, "t", "waits", QOS_1, 7);
    rig_settle(&s.r);
    for (unsigned i = 0; i < 2; i++) {
        renew_all(&s.r);
        rig_check_replay(&s.r);
    }
    assert_int_equal(count_type(&s.r, RECORD_QUEUE), 5);
    assert_int_equal(count_type(&s.r, RECORD_BEGIN), 0); /* QUEUE says it */
    assert_int_equal(count_type(&s.r, RECORD_RECEIVED), 1);
    assert_int_equal(count_type(&s.r, RECORD_DONE), 0);
    assert_int_equal(count_type(&s.r, RECORD_IN_ADD), 2);
    assert_int_equal(count_type(&s.r, RECORD_MESSAGE), 4); /* that of 2 is not needed any more */
    rig_restart(&s.r);
    rig_forget(&s.p);
    assert_true(rig_connect(&s.r, &s.c, "client", false));
    assert_int_equal(rig_expect(&s.c, PACKET_PUBREL), 2);
    assert_int_equal(rig_expect_publish(&s.c, "t", "payload", QOS_1).id, 3);
    assert_int_equal(rig_expect_publish(&s.c, "t", "payload", QOS_1).id, 5);
    assert_true(rig_expect_publish(&s.c, "t", "payload", QOS_2).dup);
    assert_false(rig_expect_publish(&s.c, "t", "waits", QOS_1).dup);
    scene_end(&s);
}

static void retained_messages_are_renewed(void **state)
{
    struct scene s;

    (void)state;
    scene_begin(&s);
    rig_retain(&s.p, "stays", "one", QOS_0, 0);
    rig_retain(&s.p, "replaced", "old", QOS_1, 1);
    rig_retain(&s.p, "replaced", "new", QOS_2, 2);
    rig_retain(&s.p, "cleared", "x", QOS_0, 0);
    rig_retain(&s.p, "cleared", "", QOS_0, 0);
    rig_settle(&s.r);
    renew_all(&s.r);
    assert_int_equal(count_type(&s.r, RECORD_RETAIN), 2);
    assert_int_equal(count_type(&s.r, RECORD_MESSAGE), 2);
    assert_int_equal(count_type(&s.r, RECORD_RETAIN_CLEAR), 0);
    rig_check_replay(&s.r);
    rig_retain(&s.p, "stays", "", QOS_0, 0);
    rig_settle(&s.r);
    rig_check_replay(&s.r);
    renew_all(&s.r);
    rig_check_replay(&s.r);
    assert_int_equal(count_type(&s.r, RECORD_RETAIN), 1);
    scene_end(&s);
}

/* One that was replaced while it still waits for somebody is a message, but not retained. */
static void a_replaced_message_that_waits_is_not_retained_again(void **state)
{
    struct scene s;

    (void)state;
    scene_begin(&s);
    rig_subscribe(&s.c, "t", QOS_1);
    rig_forget(&s.c);
    rig_retain(&s.p, "t", "old", QOS_1, 1);
    rig_retain(&s.p, "t", "new", QOS_1, 2);
    rig_settle(&s.r);
    renew_all(&s.r);
    assert_int_equal(count_type(&s.r, RECORD_MESSAGE), 2);
    assert_int_equal(count_type(&s.r, RECORD_RETAIN), 1);
    rig_check_replay(&s.r);
    assert_true(rig_connect(&s.r, &s.c, "client", false));
    rig_expect_publish(&s.c, "t", "old", QOS_1);
    rig_expect_publish(&s.c, "t", "new", QOS_1);
    scene_end(&s);
}

static void a_feed_goes_on_after_cleaning(void **state)
{
    struct scene s;
    char topic[16];

    (void)state;
    scene_begin(&s);
    for (unsigned i = 0; i < 50; i++) {
        (void)snprintf(topic, sizeof(topic), "r/%u", i);
        rig_retain(&s.p, topic, "x", QOS_1, (uint16_t)(i + 1));
    }
    rig_settle(&s.r);
    rig_send_subscribe(&s.c, 1, "r/#", QOS_1);
    rig_settle(&s.r);
    renew_all(&s.r);
    rig_check_replay(&s.r);
    for (unsigned i = 0; i < 40; i++) {
        struct frame f;
        while (rig_next(&s.c, &f)) {
            if (frame_type(&f) == PACKET_PUBLISH) {
                struct packet_publish got;
                assert_int_equal(decode_publish(&f, &got), REASON_OK);
                rig_send_ack(&s.c, PACKET_PUBACK, got.id);
            }
        }
        rig_settle(&s.r);
    }
    rig_check_replay(&s.r); /* FED stands behind what was renewed */
    renew_all(&s.r);
    assert_int_equal(count_type(&s.r, RECORD_FED), 0);
    rig_check_replay(&s.r);
    scene_end(&s);
}

/* Two messages may be under way at a time: while two of "t" are, a feed waits. */
static void narrow_begin(struct scene *s)
{
    rig_setup(&s->r);
    s->r.setup.persistent = true;
    s->r.conf.global.max_inflight_messages = 2;
    rig_start(&s->r);
    rig_connect(&s->r, &s->p, "publisher", false);
    rig_connect(&s->r, &s->c, "client", false);
    rig_subscribe(&s->c, "t", QOS_1);
    rig_retain(&s->p, "kept", "value", QOS_1, 1);
    rig_settle(&s->r);
}

static void fill_window(struct scene *s)
{
    rig_publish(&s->p, "t", "1", QOS_1, 2);
    rig_publish(&s->p, "t", "2", QOS_1, 3);
    rig_settle(&s->r);
}

static void take(struct scene *s, const char *topic, const char *payload, bool retain)
{
    struct packet_publish p = rig_expect_publish(&s->c, topic, payload, QOS_1);

    assert_int_equal(p.retain, retain);
    rig_send_ack(&s->c, PACKET_PUBACK, p.id);
    rig_settle(&s->r);
}

static void take_window(struct scene *s)
{
    take(s, "t", "1", false);
    take(s, "t", "2", false);
}

static void crash(struct scene *s)
{
    rig_restart(&s->r);
    rig_forget(&s->c);
    rig_forget(&s->p);
    assert_true(rig_connect(&s->r, &s->p, "publisher", false));
    assert_true(rig_connect(&s->r, &s->c, "client", false));
}

/* The feed of "kept" is over, and another one for the same filter has given nothing yet. */
static void begin_second_feed(struct scene *s)
{
    rig_unsubscribe(&s->c, "kept");
    fill_window(s);
    assert_int_equal(rig_drain(&s->c), 2);
    rig_subscribe(&s->c, "kept", QOS_1);
    rig_expect_nothing(&s->c);
}

/* A bridge that has come back is given what goes at QoS 0, and after a crash as much as it asks
 * for. */
static void a_feed_for_a_bridge_is_not_renewed(void **state)
{
    struct scene s;

    (void)state;
    narrow_begin(&s);
    fill_window(&s);
    struct session *client = sessions_find(&s.r.b->sessions, STR("client"));
    assert_ok(subscription_add(&s.r.b->env, client, STR("kept"), QOS_1, FEED_UNSAFE));
    assert_non_null(feed_find(&s.r.b->env, client, STR("kept")));
    rig_commit(&s.r);
    renew_all(&s.r);
    assert_int_equal(count_type(&s.r, RECORD_SUBSCRIBE), 2);
    assert_int_equal(count_type(&s.r, RECORD_FEED), 0);
    scene_end(&s);
}

/* What an earlier feed has given is renewed while the later one is on. */
static void a_later_feed_gives_it_again_after_cleaning(void **state)
{
    struct scene s;

    (void)state;
    narrow_begin(&s);
    rig_subscribe(&s.c, "kept", QOS_1);
    take(&s, "kept", "value", true);
    begin_second_feed(&s);
    renew_all(&s.r);
    rig_check_replay(&s.r);
    crash(&s);
    take_window(&s);
    take(&s, "kept", "value", true);
    rig_expect_nothing(&s.c);
    scene_end(&s);
}

/* Cleaning has taken the beginning of the earlier feed, but not yet what it gave. */
static void a_later_feed_gives_it_again_half_cleaned(void **state)
{
    struct scene s;

    (void)state;
    narrow_begin(&s);
    fill_window(&s);
    rig_send_subscribe(&s.c, 9, "kept", QOS_1);
    rig_settle(&s.r);
    size_t end = s.r.frame_count;
    take_window(&s);
    (void)rig_expect(&s.c, PACKET_SUBACK);
    take(&s, "kept", "value", true);
    clean_before(&s.r, end);
    assert_int_equal(count_type(&s.r, RECORD_FED), 1);
    begin_second_feed(&s);
    crash(&s);
    take_window(&s);
    take(&s, "kept", "value", true);
    rig_expect_nothing(&s.c);
    scene_end(&s);
}

/* The topic of the next PUBLISH, and whether it is a repetition. */
static struct packet_publish next_publish(struct scene *s, char topic[8])
{
    struct packet_publish p = {0};
    struct frame f;

    do {
        assert_true(rig_next(&s->c, &f));
    } while (frame_type(&f) != PACKET_PUBLISH);
    assert_int_equal(decode_publish(&f, &p), REASON_OK);
    (void)snprintf(topic, 8, "%.*s", STR_ARG(p.topic));
    return p;
}

/* What one feed gave before another began says nothing of what that one has to give. */
static void each_feed_gives_all_of_its_own(void **state)
{
    struct scene s;
    char first[8];
    char topic[8];
    unsigned again = 0;

    (void)state;
    narrow_begin(&s);
    rig_retain(&s.p, "more", "value", QOS_1, 4);
    rig_retain(&s.p, "last", "value", QOS_1, 5);
    rig_send_subscribe(&s.c, 8, "+", QOS_1); /* gives two of three */
    rig_settle(&s.r);
    (void)next_publish(&s, first);
    (void)next_publish(&s, topic);
    rig_send_subscribe(&s.c, 9, first, QOS_1);
    rig_settle(&s.r);
    renew_all(&s.r);
    crash(&s);
    for (unsigned i = 0; i < 4; i++) {
        struct packet_publish p = next_publish(&s, topic);
        assert_int_equal(p.dup, i < 2);
        again += !p.dup && strcmp(topic, first) == 0;
        rig_send_ack(&s.c, PACKET_PUBACK, p.id);
        rig_settle(&s.r);
    }
    rig_expect_nothing(&s.c);
    assert_int_equal(again, 1);
    scene_end(&s);
}

/* Takes and acknowledges what comes, and what comes of that; how many that were not sent before. */
static unsigned take_all(struct scene *s)
{
    struct frame f;
    unsigned fresh = 0;

    while (rig_next(&s->c, &f)) {
        struct packet_publish p;
        if (frame_type(&f) != PACKET_PUBLISH)
            continue;
        assert_int_equal(decode_publish(&f, &p), REASON_OK);
        fresh += !p.dup;
        rig_send_ack(&s->c, PACKET_PUBACK, p.id);
        rig_settle(&s->r);
    }
    return fresh;
}

static void retain_numbered(struct scene *s, uint16_t n)
{
    char topic[8];

    for (uint16_t i = 0; i < n; i++) {
        (void)snprintf(topic, sizeof(topic), "r/%u", i);
        rig_retain(&s->p, topic, "x", QOS_1, (uint16_t)(i + 10));
    }
    rig_settle(&s->r);
}

/* Also while what was renewed stands there twice. */
static void a_feed_gives_nothing_twice(void **state)
{
    struct scene s;
    char topic[8];

    (void)state;
    narrow_begin(&s);
    retain_numbered(&s, 6);
    rig_send_subscribe(&s.c, 8, "r/+", QOS_1);
    rig_settle(&s.r);
    for (unsigned i = 0; i < 3; i++) {
        rig_send_ack(&s.c, PACKET_PUBACK, next_publish(&s, topic).id);
        rig_settle(&s.r);
    }
    renew_until(&s.r, s.r.frame_count);
    crash(&s);
    assert_int_equal(take_all(&s), 1); /* of six: three were acknowledged, two were under way */
    scene_end(&s);
}

/* Another feed begins and ends meanwhile, and of this one cleaning has moved the beginning alone.
 */
static void a_feed_gives_nothing_twice_beside_another(void **state)
{
    struct scene s;
    char topic[8];

    (void)state;
    narrow_begin(&s);
    retain_numbered(&s, 6);
    fill_window(&s);
    rig_send_subscribe(&s.c, 8, "r/+", QOS_1);
    rig_settle(&s.r);
    size_t end = s.r.frame_count;
    take_window(&s);
    (void)rig_expect(&s.c, PACKET_SUBACK);
    rig_send_ack(&s.c, PACKET_PUBACK, next_publish(&s, topic).id);
    rig_settle(&s.r);
    rig_send_subscribe(&s.c, 9, "kept", QOS_1);
    rig_send_unsubscribe(&s.c, 10, "kept");
    rig_settle(&s.r);
    clean_before(&s.r, end);
    crash(&s);
    assert_int_equal(take_all(&s), 3); /* of six: one was acknowledged, two were under way */
    scene_end(&s);
}

/* There is always a feed under way, but none for long: what they gave does not pile up. */
static void what_ended_feeds_gave_is_not_renewed(void **state)
{
    struct scene s;
    char topic[8];

    (void)state;
    narrow_begin(&s);
    retain_numbered(&s, 20);
    rig_send_subscribe(&s.c, 8, "r/+", QOS_1);
    rig_settle(&s.r);
    for (unsigned n = 0; n < 300; n++) {
        rig_send_ack(&s.c, PACKET_PUBACK, next_publish(&s, topic).id);
        if (n % 10 == 5)
            rig_send_subscribe(&s.c, 9, n % 20 == 5 ? "r/#" : "r/+", QOS_1);
        rig_settle(&s.r);
    }
    renew_all(&s.r);
    assert_in_range(count_type(&s.r, RECORD_GIVEN), 1, 60);
    rig_check_replay(&s.r);
    scene_end(&s);
}

static void ended_sessions_leave_nothing(void **state)
{
    struct scene s;

    (void)state;
    scene_begin(&s);
    rig_subscribe(&s.c, "t", QOS_1);
    rig_forget(&s.c);
    rig_publish(&s.p, "t", "waits", QOS_1, 1);
    rig_settle(&s.r);
    rig_connect(&s.r, &s.c, "client", true);
    rig_forget(&s.c);
    rig_forget(&s.p);
    rig_connect(&s.r, &s.p, "publisher", true);
    rig_settle(&s.r);
    assert_int_equal(broker_live_bytes(s.r.b), 0);
    renew_all(&s.r);
    assert_int_equal(journal_size(&s.r), 0);
    rig_check_replay(&s.r);
    scene_end(&s);
}

/* Looking at the same records again costs, but changes nothing. */
static void twice_is_harmless(void **state)
{
    struct scene s;

    (void)state;
    scene_begin(&s);
    rig_subscribe(&s.c, "t", QOS_2);
    rig_retain(&s.p, "t", "payload", QOS_2, 1);
    rig_settle(&s.r);
    size_t end = s.r.frame_count;
    for (unsigned i = 0; i < 3; i++) {
        renew_until(&s.r, end);
        rig_check_replay(&s.r); /* with the old ones still there */
    }
    rig_drop_frames(&s.r, end);
    rig_check_replay(&s.r);
    assert_int_equal(count_type(&s.r, RECORD_MESSAGE), 1); /* it is known where it is */
    assert_int_equal(count_type(&s.r, RECORD_RETAIN), 1);
    assert_int_equal(count_type(&s.r, RECORD_CLIENT), 2);
    scene_end(&s);
}

/* Clients subscribe anew with each connection, to what they have: nothing is recorded. */
static void subscribing_again_leaves_one_record(void **state)
{
    struct scene s;

    (void)state;
    scene_begin(&s);
    for (unsigned i = 0; i < 100; i++)
        rig_subscribe(&s.c, "t", QOS_1);
    assert_int_equal(count_type(&s.r, RECORD_SUBSCRIBE), 1);
    for (unsigned i = 0; i < 100; i++)
        rig_subscribe(&s.c, "t", i % 2 ? QOS_1 : QOS_2);
    assert_int_equal(count_type(&s.r, RECORD_SUBSCRIBE), 101);
    renew_all(&s.r);
    assert_int_equal(count_type(&s.r, RECORD_SUBSCRIBE), 1);
    rig_check_replay(&s.r);
    scene_end(&s);
}

/* A renewed journal is about as long as broker_live_bytes says. */
static void live_bytes_tell_the_size(void **state)
{
    struct scene s;
    char topic[32];

    (void)state;
    scene_begin(&s);
    rig_subscribe(&s.c, "t/+", QOS_1);
    rig_forget(&s.c);
    for (unsigned i = 0; i < 300; i++) {
        (void)snprintf(topic, sizeof(topic), "%s/%u", i % 3 ? "t" : "r", i);
        rig_send_publish(&s.p, &(struct packet_publish){.topic = str_c(topic),
                                                        .payload = STR("some payload, not long"),
                                                        .qos = QOS_1,
                                                        .id = 1,
                                                        .retain = i % 3 == 0});
        rig_settle(&s.r);
    }
    uint64_t live = broker_live_bytes(s.r.b);
    renew_all(&s.r);
    print_message("live bytes: %llu said, %zu written\n", (unsigned long long)live,
                  journal_size(&s.r));
    assert_true(journal_size(&s.r) < live * 3 / 2 && journal_size(&s.r) > live * 2 / 3);
    assert_int_equal(broker_live_bytes(s.r.b), live);
    struct broker_lost lost;
    struct broker *again = rig_rebuild(&s.r, &lost);
    assert_int_equal(broker_live_bytes(again), live);
    broker_free(again);
    scene_end(&s);
}

static void what_is_no_record_is_refused(void **state)
{
    struct rig r;
    uint64_t position = 9;
    struct str bytes = STR("\xff\xff");

    (void)state;
    rig_begin(&r, true);
    assert_err(broker_renew(r.b, &position, &bytes), ERR_MALFORMED);
    assert_int_equal(position, 9);
    assert_int_equal(bytes.n, 2);
    rig_end(&r);
}

/* A spent budget: nothing is looked at, and nothing is lost. */
static void the_budget_is_kept(void **state)
{
    struct scene s;
    uint64_t position;

    (void)state;
    scene_begin(&s);
    rig_subscribe(&s.c, "t", QOS_2);
    struct str left = rig_records(&s.r, 0);
    position = s.r.frames[0].position;
    s.r.b->work.spent = WORK_TURN;
    assert_ok(broker_renew(s.r.b, &position, &left));
    assert_int_equal(position, s.r.frames[0].position);
    assert_int_equal(left.n, s.r.frames[0].n);
    s.r.b->work.spent = WORK_TURN - 1;
    assert_ok(broker_renew(s.r.b, &position, &left));
    assert_true(position > s.r.frames[0].position); /* one record, at least */
    assert_true(broker_is_spent(s.r.b));
    scene_end(&s);
}

/* --- the property --- */

/* How the frames of a life are renewed: piece by piece, while it goes on. */
struct cleaning {
    struct life *l;
    bool memory_fails;
    bool life_goes_on;
};

static void piece(struct cleaning *c, uint64_t *position, struct str *left)
{
    struct life *l = c->l;
    struct rig *r = &l->r;
    uint64_t before = *position;
    size_t n = left->n;
    enum err e;

    r->b->work.crowded = false;
    r->b->work.spent = WORK_TURN - 1 - rng_below(&l->rng, 20);
    if (c->memory_fails && rng_below(&l->rng, 2))
        mem_fail_after(rng_below(&l->rng, 4), (int)rng_below(&l->rng, 2));
    e = broker_renew(r->b, position, left);
    mem_fail_never();
    assert_true(e == ERR_OK || (e == ERR_NOMEM && c->memory_fails));
    assert_int_equal(*position - before, n - left->n);
    r->b->work = (struct work){0};
    if (c->life_goes_on)
        life_step(l);
    if (rng_below(&l->rng, 4) == 0)
        rig_turn(r);
}

static void clean_frame(struct cleaning *c, size_t frame)
{
    struct rig *r = &c->l->r;
    struct str records = rig_records(r, frame);
    uint64_t position = r->frames[frame].position;
    char *copy = malloc(records.n);

    assert_non_null(copy);
    memcpy(copy, records.p, records.n);
    records = str_of(copy, records.n);
    while (records.n > 0)
        piece(c, &position, &records);
    free(copy);
}

/* Frames before `end` go, some together: as segments do. */
static void clean_until(struct cleaning *c, size_t end)
{
    struct rig *r = &c->l->r;

    for (size_t i = r->frame_first; i < end; i++) {
        clean_frame(c, i);
        if (rng_below(&c->l->rng, 8))
            continue;
        rig_turn(r);
        if (rng_below(&c->l->rng, 2))
            rig_drop_frames(r, i + 1);
        rig_check_replay(r);
    }
    rig_turn(r); /* what was recorded anew is in a frame now */
    rig_check_replay(r);
    rig_drop_frames(r, end);
    rig_check(r);
    rig_check_replay(r);
}

/* Rows count the same bytes, and the journal as many as live, after a rebuild. */
static void compare_counts(const struct rig *r)
{
    struct broker_lost lost;
    struct broker *again = rig_rebuild(r, &lost);
    uint64_t cursor = 0;
    const struct session *s;

    while ((s = sessions_next(&r->b->sessions, &cursor))) {
        const struct session *t = s->number ? sessions_numbered(&again->sessions, s->number) : NULL;
        if (!s->number)
            continue;
        assert_non_null(t);
        assert_int_equal(s->live, t->live);
        if (s->flow && t->flow)
            assert_int_equal(flow_queued_bytes(s->flow), flow_queued_bytes(t->flow));
    }
    assert_int_equal(again->persist.live, r->b->persist.live);
    broker_free(again);
}

static void live_and_clean(unsigned seed)
{
    static struct life l;
    struct cleaning c = {.l = &l, .memory_fails = seed % 5 == 0, .life_goes_on = seed % 3 == 0};

    life_setup(&l, seed);
    if (seed % 4 == 1)
        l.r.conf.global.persistence_memory_limit = 300;
    if (seed % 7 == 1)
        l.r.conf.global.max_inflight_messages = 0;
    life_start(&l);
    for (unsigned round = 0; round < 3; round++) {
        uint32_t steps = 20 + rng_below(&l.rng, 80);
        while (steps--)
            life_step(&l);
        rig_turn(&l.r);
        clean_until(&c, l.r.frame_count); /* twice in a row: of what was renewed, too */
        clean_until(&c, l.r.frame_first + (l.r.frame_count - l.r.frame_first) / 2);
        compare_counts(&l.r);
        if (rng_below(&l.rng, 2))
            rig_restart(&l.r);
        if (rng_below(&l.rng, 2))
            clean_until(&c, l.r.frame_count);
    }
    life_end(&l);
}

static void a_cleaned_journal_rebuilds_the_same(void **state)
{
    (void)state;
    for (unsigned seed = 1; seed <= 300; seed++)
        live_and_clean(seed);
}

/* What a feed has given is not given again, however often the records of it were moved. */
static void what_a_feed_has_given_is_renewed(void **state)
{
    struct rig r;
    struct rig_client p;
    struct rig_client c;
    struct frame f;
    unsigned seen[60] = {0};
    char topic[16];

    (void)state;
    rig_begin(&r, true);
    rig_connect(&r, &p, "publisher", true);
    for (uint16_t i = 0; i < 60; i++) {
        (void)snprintf(topic, sizeof(topic), "r/%u", i);
        rig_retain(&p, topic, "x", QOS_1, (uint16_t)(i + 1));
    }
    rig_settle(&r);
    (void)rig_drain(&p);
    rig_connect(&r, &c, "client", false);
    rig_send_subscribe(&c, 1, "r/#", QOS_1);
    rig_settle(&r);
    for (unsigned round = 0; round < 12; round++) {
        while (rig_next(&c, &f)) {
            struct packet_publish got;
            if (frame_type(&f) != PACKET_PUBLISH)
                continue;
            assert_int_equal(decode_publish(&f, &got), REASON_OK);
            unsigned *sight = &seen[atoi(got.topic.p + 2)];
            *sight += !got.dup || *sight == 0; /* what is lost with a connection comes again */
            if (got.id % 2 || round > 1)
                rig_send_ack(&c, PACKET_PUBACK, got.id);
        }
        rig_settle(&r);
        if (round > 1)
            continue;
        renew_all(&r);
        renew_all(&r);
        rig_check_replay(&r);
        rig_restart(&r);
        rig_forget(&c);
        rig_forget(&p);
        assert_true(rig_connect(&r, &c, "client", false));
        rig_settle(&r);
    }
    for (unsigned i = 0; i < 60; i++)
        assert_int_equal(seen[i], 1);
    rig_forget(&c);
    rig_settle(&r);
    rig_end(&r);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        UNIT_TEST(an_empty_broker_has_nothing_to_renew),
        UNIT_TEST(sessions_and_subscriptions_are_renewed),
        UNIT_TEST(what_a_former_life_left_is_renewed),
        UNIT_TEST(a_subscription_made_anew_is_renewed_again),
        UNIT_TEST(what_a_feed_has_given_is_renewed),
        UNIT_TEST(handshakes_are_renewed),
        UNIT_TEST(retained_messages_are_renewed),
        UNIT_TEST(a_replaced_message_that_waits_is_not_retained_again),
        UNIT_TEST(a_feed_goes_on_after_cleaning),
        UNIT_TEST(a_feed_for_a_bridge_is_not_renewed),
        UNIT_TEST(a_later_feed_gives_it_again_after_cleaning),
        UNIT_TEST(a_later_feed_gives_it_again_half_cleaned),
        UNIT_TEST(each_feed_gives_all_of_its_own),
        UNIT_TEST(a_feed_gives_nothing_twice),
        UNIT_TEST(a_feed_gives_nothing_twice_beside_another),
        UNIT_TEST(what_ended_feeds_gave_is_not_renewed),
        UNIT_TEST(ended_sessions_leave_nothing),
        UNIT_TEST(twice_is_harmless),
        UNIT_TEST(subscribing_again_leaves_one_record),
        UNIT_TEST(live_bytes_tell_the_size),
        UNIT_TEST(what_is_no_record_is_refused),
        UNIT_TEST(the_budget_is_kept),
        UNIT_TEST(a_cleaned_journal_rebuilds_the_same),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
