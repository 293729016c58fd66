/*
 * What survives a crash: the state from its records is the state that was, what must wait for them
 * waits, and bytes that are no records of ours do no harm.
 */
#include "core/feed.h"
#include "core/replay.h"

#include "base/rng.h"
#include "core/record.h"
#include "core/state.h"
#include "mqtt/decode.h"
#include "unit/life.h"
#include "unit/rig.h"
#include "unit/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* All records, one after another; free them. */
static struct str journal(const struct rig *r)
{
    char *all = malloc(r->journal.n + 1);
    size_t n = 0;

    assert_non_null(all);
    for (size_t i = r->frame_first; i < r->frame_count; i++) {
        struct str records = rig_records(r, i);
        memcpy(all + n, records.p, records.n);
        n += records.n;
    }
    return str_of(all, n);
}

static void journal_free(struct str all)
{
    free((void *)(uintptr_t)all.p);
}

/* --- state = replay(records) --- */

static void each_step_of_a_session_is_rebuilt(void **state)
{
    struct rig r;
    struct rig_client c;
    struct rig_client p;

    (void)state;
    rig_begin(&r, true);
    rig_check_replay(&r);
    rig_connect(&r, &p, "publisher", false);
    rig_connect(&r, &c, "client", false);
    rig_check_replay(&r);
    rig_subscribe(&c, "a/+", QOS_2);
    rig_subscribe(&c, "$share/g/#", QOS_1);
    rig_subscribe(&c, "b", QOS_0);
    rig_subscribe(&c, "b", QOS_1);
    rig_check_replay(&r);
    rig_unsubscribe(&c, "b");
    rig_unsubscribe(&c, "$share/g/#");
    rig_check_replay(&r);
    rig_publish(&p, "a/1", "one", QOS_1, 1);
    rig_publish(&p, "a/2", "two", QOS_2, 2);
    rig_settle(&r);
    rig_check_replay(&r);
    uint16_t one = rig_expect_publish(&c, "a/1", "one", QOS_1).id;
    uint16_t two = rig_expect_publish(&c, "a/2", "two", QOS_2).id;
    rig_send_ack(&c, PACKET_PUBREC, two);
    rig_settle(&r);
    rig_check_replay(&r);
    rig_send_ack(&c, PACKET_PUBACK, one);
    rig_settle(&r);
    rig_check_replay(&r);
    rig_send_ack(&c, PACKET_PUBCOMP, two);
    rig_send_ack(&p, PACKET_PUBREL, 2);
    rig_settle(&r);
    rig_check_replay(&r);
    rig_retain(&p, "r", "first", QOS_0, 0);
    rig_retain(&p, "r", "second", QOS_1, 3);
    rig_retain(&p, "s", "third", QOS_2, 4);
    rig_settle(&r);
    rig_check_replay(&r);
    rig_retain(&p, "r", "", QOS_0, 0);
    rig_settle(&r);
    rig_check_replay(&r);
    rig_forget(&c);
    rig_settle(&r);
    rig_check_replay(&r);
    rig_connect(&r, &c, "client", true); /* ends the former session */
    rig_check_replay(&r);
    rig_forget(&c);
    rig_forget(&p);
    rig_settle(&r);
    rig_check_replay(&r);
    rig_end(&r);
}

static void a_clean_session_is_not_recorded(void **state)
{
    struct rig r;
    struct rig_client c;

    (void)state;
    rig_begin(&r, true);
    rig_connect(&r, &c, "client", true);
    rig_subscribe(&c, "#", QOS_2);
    rig_publish(&c, "t", "x", QOS_2, 1);
    rig_settle(&r);
    rig_send_ack(&c, PACKET_PUBREC, 1);
    rig_send_ack(&c, PACKET_PUBREL, 1);
    rig_settle(&r);
    rig_forget(&c);
    rig_settle(&r);
    assert_int_equal(r.journal.n, 0);
    rig_end(&r);
}

/* --- a life with many crashes --- */

static void live(unsigned seed, unsigned steps, bool crashes)
{
    static struct life l;

    life_setup(&l, seed);
    if (seed % 3 == 0)
        l.r.conf.global.persistence_memory_limit = 500;
    life_start(&l);
    for (unsigned step = 0; step < steps; step++) {
        life_step(&l);
        if (step % 20 == 19) {
            rig_turn(&l.r); /* what is not in a frame yet is not rebuilt */
            rig_check(&l.r);
            rig_check_replay(&l.r);
        }
        if (crashes && step % 50 == 49) {
            char *before = rig_dump(&l.r);
            rig_restart(&l.r);
            char *after = rig_dump(&l.r);
            if (strcmp(before, after) != 0)
                fail_msg("before the crash:\n%s\nafter it:\n%s", before, after);
            free(before);
            free(after);
        }
    }
    life_end(&l);
}

static void a_random_life_is_rebuilt_at_any_time(void **state)
{
    (void)state;
    for (unsigned seed = 1; seed <= 12; seed++)
        live(seed, 500, false);
}

static void a_life_goes_on_after_crashes(void **state)
{
    (void)state;
    for (unsigned seed = 20; seed <= 32; seed++)
        live(seed, 500, true);
}

/* A connection may end while the server writes, when this turn's records have been taken. */
static void what_ends_while_writing_is_recorded_too(void **state)
{
    struct rig r;
    struct rig_client c;
    uint64_t turn;
    struct buf frame = {0};

    (void)state;
    rig_begin(&r, true);
    assert_true(rig_open(&r, &c));
    rig_send_connect(&c, &(struct packet_connect){.client_id = STR("id"),
                                                  .level = PROTOCOL_311,
                                                  .has_will = true,
                                                  .will_retain = true,
                                                  .will_topic = STR("will"),
                                                  .will_payload = STR("gone")});
    rig_settle(&r);
    rig_expect_connack(&c, false, CONNACK_ACCEPTED);
    rig_subscribe(&c, "t", QOS_0);
    r.now.mono_ms++;
    broker_tick(r.b, r.now);
    (void)broker_work(r.b);
    assert_false(broker_take_records(r.b, &turn, &frame));
    rig_close(&c);
    rig_settle(&r);
    assert_int_equal(broker_stats(r.b)->retained, 1);
    rig_check_replay(&r);
    rig_forget(&c);
    rig_end(&r);
}

static bool journal_has(const struct rig *r, enum record_type type)
{
    struct str all = journal(r);
    struct str in = all;
    struct record rec;
    bool has = false;

    while (in.n > 0) {
        assert_ok(record_read(&in, &rec));
        has |= rec.type == type;
    }
    journal_free(all);
    return has;
}

/* The same when the turn had records, which are stored already: they are not taken again. */
static void what_ends_behind_a_frame_is_in_the_next(void **state)
{
    struct rig r;
    struct rig_client c;
    struct rig_client other;

    (void)state;
    rig_begin(&r, true);
    rig_connect(&r, &other, "other", false);
    assert_true(rig_open(&r, &c));
    rig_send_connect(&c, &(struct packet_connect){.client_id = STR("id"),
                                                  .level = PROTOCOL_311,
                                                  .clean_session = true,
                                                  .has_will = true,
                                                  .will_retain = true,
                                                  .will_topic = STR("will"),
                                                  .will_payload = STR("gone")});
    rig_settle(&r);
    r.now.mono_ms++;
    broker_tick(r.b, r.now);
    rig_close(&other); /* recorded in this turn … */
    rig_commit(&r);
    assert_true(journal_has(&r, RECORD_CLIENT));
    rig_close(&c); /* … and this behind it */
    rig_drop_frames(&r, r.frame_count);
    rig_turn(&r);
    assert_true(journal_has(&r, RECORD_RETAIN));
    assert_false(journal_has(&r, RECORD_CLIENT));
    rig_forget(&c);
    rig_forget(&other);
    rig_end(&r);
}

/* A feed that a crash has cut off goes on, and gives nothing twice; one that was finished does not.
 */
static void a_feed_goes_on_after_a_crash(void **state)
{
    struct rig r;
    struct rig_client c;
    struct rig_client p;
    char topic[16];

    (void)state;
    rig_begin(&r, true);
    rig_connect(&r, &p, "publisher", true);
    for (unsigned i = 0; i < 50; i++) {
        (void)snprintf(topic, sizeof(topic), "r/%u", i);
        rig_retain(&p, topic, "x", QOS_1, (uint16_t)(i + 1));
    }
    rig_settle(&r);
    rig_connect(&r, &c, "client", false);
    rig_send_subscribe(&c, 1, "r/#", QOS_1);
    rig_settle(&r);
    assert_int_equal(rig_drain(&c), 20); /* the window */
    rig_check_replay(&r);
    rig_restart(&r);
    rig_forget(&c);
    rig_forget(&p);
    size_t fresh = 0;
    assert_true(rig_connect(&r, &c, "client", false));
    for (unsigned i = 0; i < 40; i++) {
        struct frame f;
        while (rig_next(&c, &f)) {
            struct packet_publish got;
            assert_int_equal(decode_publish(&f, &got), REASON_OK);
            fresh += !got.dup;
            rig_send_ack(&c, PACKET_PUBACK, got.id);
        }
        rig_settle(&r);
    }
    assert_int_equal(fresh, 30);
    rig_check_replay(&r);
    rig_restart(&r);
    rig_forget(&c);
    assert_true(rig_connect(&r, &c, "client", false));
    assert_int_equal(rig_drain(&c), 0);
    rig_forget(&c);
    rig_settle(&r);
    rig_end(&r);
}

/* --- records in the order of a cleaned journal --- */

/* Records as somebody may have left them, and the broker that comes of them. */
struct paper {
    struct rig r;
    struct buf out;
    struct broker *b;
    struct broker_lost lost;
};

static void paper_begin(struct paper *p)
{
    memset(p, 0, sizeof(*p));
    rig_begin(&p->r, true);
}

static void paper_end(struct paper *p)
{
    broker_free(p->b);
    buf_clear(&p->out);
    rig_end(&p->r);
}

static void write_down(struct paper *p, struct record rec)
{
    assert_ok(buf_reserve(&p->out, RECORD_OVERHEAD + rec.text.n + rec.payload.n));
    record_write(&p->out, &rec);
}

static void write_client(struct paper *p, uint64_t session, const char *id, uint64_t begun,
                         uint16_t last_id)
{
    write_down(p, (struct record){.type = RECORD_CLIENT,
                                  .session = session,
                                  .seq = begun,
                                  .time = 1600000000,
                                  .id = last_id,
                                  .text = str_c(id)});
}

static void write_message(struct paper *p, uint64_t number, const char *payload)
{
    write_down(p, (struct record){.type = RECORD_MESSAGE,
                                  .number = number,
                                  .qos = 1,
                                  .text = STR("t"),
                                  .payload = str_c(payload)});
}

/* Message 2, which is what "t" retains. */
static void write_kept(struct paper *p)
{
    write_message(p, 2, "kept");
    write_down(p, (struct record){.type = RECORD_RETAIN, .number = 2});
}

static void write_queue(struct paper *p, uint64_t session, uint64_t number, uint64_t seq,
                        enum qos qos)
{
    write_down(p, (struct record){.type = RECORD_QUEUE,
                                  .session = session,
                                  .number = number,
                                  .seq = seq,
                                  .qos = (uint8_t)qos});
}

static void read_back(struct paper *p)
{
    p->b = broker_new(&p->r.setup);
    assert_non_null(p->b);
    broker_tick(p->b, p->r.now);
    assert_ok(broker_apply(p->b, 4096, buf_str(&p->out)));
    assert_ok(broker_apply_end(p->b, 9, p->r.now.wall_s, &p->lost));
    broker_place(p->b, 8192);
    const char *wrong = broker_check(p->b);
    if (wrong)
        fail_msg("%s", wrong);
}

static const struct session *session_of(const struct paper *p, const char *id)
{
    const struct session *s = sessions_find(&p->b->sessions, str_c(id));

    assert_non_null(s);
    return s;
}

/* Everything that is said of a session stands before its CLIENT, and a row before its message. */
static void what_is_said_may_come_first(void **state)
{
    struct paper p;

    (void)state;
    paper_begin(&p);
    write_down(&p,
               (struct record){.type = RECORD_SUBSCRIBE, .session = 5, .qos = 1, .text = STR("t")});
    write_down(&p,
               (struct record){.type = RECORD_SUBSCRIBE, .session = 5, .qos = 2, .text = STR("u")});
    write_down(&p, (struct record){.type = RECORD_UNSUBSCRIBE, .session = 5, .text = STR("u")});
    write_down(&p, (struct record){.type = RECORD_IN_ADD, .session = 5, .id = 77});
    write_queue(&p, 5, 12, 31, QOS_1);
    write_queue(&p, 5, 11, 30, QOS_2);
    write_down(&p, (struct record){.type = RECORD_BEGIN, .session = 5, .seq = 30, .id = 8});
    write_message(&p, 11, "eleven");
    write_message(&p, 12, "twelve");
    write_client(&p, 5, "client", 31, 8);
    read_back(&p);
    const struct session *s = session_of(&p, "client");
    assert_int_equal(p.lost.rows, 0);
    assert_int_equal(s->number, 5);
    assert_int_equal(s->absent_s, 1600000000);
    assert_int_equal(s->subs.count, 1);
    assert_true(session_in_has(s, 77));
    assert_int_equal(flow_head(s->flow), 30);
    assert_true(str_eq_c(message_payload(flow_row_at(s->flow, 30)->message), "eleven"));
    assert_int_equal(flow_row_at(s->flow, 30)->id, 8);
    assert_int_equal(flow_row_at(s->flow, 30)->bytes, 7);
    assert_true(str_eq_c(message_payload(flow_row_at(s->flow, 31)->message), "twelve"));
    assert_int_equal(flow_row_at(s->flow, 31)->state, FLOW_QUEUED);
    assert_true(p.b->persist.next_session > 5 && p.b->persist.next_message > 12);
    paper_end(&p);
}

static void what_ended_sessions_left_behind_means_nothing(void **state)
{
    struct paper p;

    (void)state;
    paper_begin(&p);
    write_down(&p,
               (struct record){.type = RECORD_SUBSCRIBE, .session = 3, .qos = 1, .text = STR("t")});
    write_queue(&p, 3, 12, 31, QOS_1); /* its message is gone already */
    write_down(&p, (struct record){.type = RECORD_CLIENT_END, .session = 3});
    write_queue(&p, 4, 13, 1, QOS_1); /* of one whose CLIENT was not worth keeping */
    write_down(&p, (struct record){.type = RECORD_IN_ADD, .session = 4, .id = 1});
    write_client(&p, 6, "client", 1, 0);
    write_down(&p, (struct record){.type = RECORD_CLIENT_END, .session = 6});
    write_client(&p, 7, "client", 1, 0);
    read_back(&p);
    assert_int_equal(p.lost.rows, 0);
    assert_int_equal(broker_stats(p.b)->sessions, 1);
    assert_int_equal(broker_stats(p.b)->subscriptions, 0);
    assert_int_equal(session_of(&p, "client")->number, 7);
    assert_int_equal(p.b->persist.stored.record_bytes, 0);
    assert_int_equal(p.b->persist.next_session, 8);
    paper_end(&p);
}

/* PUBREC has come: the message is not needed, was not kept, and nobody misses it. */
static void a_row_that_waits_for_pubcomp_needs_no_message(void **state)
{
    struct paper p;

    (void)state;
    paper_begin(&p);
    write_queue(&p, 1, 99, 4, QOS_2); /* from before PUBREC */
    write_queue(&p, 1, 0, 5, QOS_2);  /* recorded anew after it */
    for (uint64_t seq = 4; seq <= 5; seq++) {
        write_down(&p, (struct record){
                           .type = RECORD_BEGIN, .session = 1, .seq = seq, .id = (uint16_t)seq});
        write_down(&p, (struct record){.type = RECORD_RECEIVED, .session = 1, .seq = seq});
    }
    write_client(&p, 1, "client", 6, 5);
    read_back(&p);
    assert_int_equal(p.lost.rows, 0);
    assert_int_equal(flow_inflight(session_of(&p, "client")->flow), 2);
    paper_end(&p);
}

static void rows_whose_message_never_came_are_lost(void **state)
{
    struct paper p;

    (void)state;
    paper_begin(&p);
    write_client(&p, 1, "client", 2, 1);
    write_queue(&p, 1, 10, 1, QOS_1);
    write_down(&p, (struct record){.type = RECORD_BEGIN, .session = 1, .seq = 1, .id = 1});
    write_queue(&p, 1, 11, 2, QOS_1);
    write_message(&p, 11, "here");
    write_queue(&p, 1, 12, 3, QOS_2);
    write_queue(&p, 1, 0, 4, QOS_1);
    read_back(&p);
    assert_int_equal(p.lost.rows, 3);
    const struct session *s = session_of(&p, "client");
    assert_int_equal(flow_queued(s->flow), 1);
    assert_int_equal(flow_inflight(s->flow), 0);
    paper_end(&p);
}

/* The later one of a topic counts; one whose message is further on is said again there. */
static void retained_messages_in_any_order(void **state)
{
    struct paper p;

    (void)state;
    paper_begin(&p);
    write_down(&p, (struct record){.type = RECORD_RETAIN, .number = 3});
    write_message(&p, 2, "old");
    write_down(&p, (struct record){.type = RECORD_RETAIN, .number = 2});
    write_message(&p, 3, "new");
    write_down(&p, (struct record){.type = RECORD_RETAIN, .number = 3});
    read_back(&p);
    assert_int_equal(broker_stats(p.b)->retained, 1);
    assert_true(str_eq_c(message_payload(retain_find(&p.b->retain, STR("t"))), "new"));
    broker_free(p.b);
    write_down(&p, (struct record){.type = RECORD_RETAIN_CLEAR, .text = STR("t")});
    write_down(&p, (struct record){.type = RECORD_RETAIN_CLEAR, .text = STR("unknown")});
    read_back(&p);
    assert_int_equal(broker_stats(p.b)->retained, 0);
    assert_int_equal(p.b->persist.stored.record_bytes, 0);
    paper_end(&p);
}

/* Earlier stores did not say when a feed began: it gives everything once more. */
static void a_feed_of_an_earlier_store_begins_anew(void **state)
{
    struct paper p;

    (void)state;
    paper_begin(&p);
    write_kept(&p);
    write_client(&p, 5, "client", 1, 0);
    write_down(&p, (struct record){.type = RECORD_SUBSCRIBE,
                                   .session = 5,
                                   .qos = 1,
                                   .flags = RECORD_FLAG_FEED,
                                   .text = STR("t")});
    write_down(&p, (struct record){.type = RECORD_QUEUE,
                                   .session = 5,
                                   .number = 2,
                                   .seq = 1,
                                   .qos = 1,
                                   .flags = RECORD_FLAG_RETAIN | RECORD_FLAG_GIVEN});
    write_down(&p, (struct record){.type = RECORD_DONE, .session = 5, .seq = 1});
    write_down(&p, (struct record){.type = RECORD_GIVEN_FORMERLY, .session = 5, .number = 2});
    read_back(&p);
    const struct session *s = session_of(&p, "client");
    const struct retain_cursor *feed = feed_find(&p.b->env, s, STR("t"));
    assert_non_null(feed);
    assert_int_equal(feed->since, 2);
    paper_end(&p);
}

static void write_feed(struct paper *p, uint64_t session, const char *filter, uint64_t since)
{
    write_down(p, (struct record){.type = RECORD_FEED,
                                  .session = session,
                                  .seq = since,
                                  .qos = 1,
                                  .text = str_c(filter)});
}

/* A hole in the journal has taken the last rows: their numbers say nothing any more. */
static void a_feed_whose_rows_are_missing_begins_anew(void **state)
{
    struct paper p;

    (void)state;
    paper_begin(&p);
    write_kept(&p);
    write_client(&p, 5, "client", 5, 0);
    write_feed(&p, 5, "t", 10);
    write_down(&p, (struct record){.type = RECORD_GIVEN, .session = 5, .number = 2, .seq = 7});
    read_back(&p);
    const struct retain_cursor *feed = feed_find(&p.b->env, session_of(&p, "client"), STR("t"));
    assert_non_null(feed);
    assert_int_equal(feed->since, 5);
    assert_false(feed->resumed);
    paper_end(&p);
}

/* The first of a session's feeds is the oldest: so much of what was given is still of use. */
static void feeds_go_on_in_their_order(void **state)
{
    static const unsigned since[] = {7, 3, 9, 4, 8, 2, 6, 5};
    struct paper p;
    char filter[8];
    uint64_t before = 0;
    const struct retain_cursor *c;

    (void)state;
    paper_begin(&p);
    write_kept(&p);
    write_client(&p, 5, "client", 20, 0);
    for (unsigned i = 0; i < 8; i++) {
        (void)snprintf(filter, sizeof(filter), "t/%u/#", i);
        write_feed(&p, 5, filter, since[i]);
    }
    read_back(&p);
    TAILQ_FOREACH(c, &session_of(&p, "client")->cursors, entry)
    {
        assert_true(c->resumed && c->since > before);
        before = c->since;
    }
    assert_int_equal(before, 9);
    paper_end(&p);
}

/* Above the limit only what is retained has its payload in memory. */
static void the_memory_limit_holds_while_replaying(void **state)
{
    char payload[200];
    struct paper p;

    (void)state;
    paper_begin(&p);
    p.r.conf.global.persistence_memory_limit = 1000;
    write_client(&p, 1, "client", 1, 0);
    memset(payload, 'x', sizeof(payload));
    payload[sizeof(payload) - 1] = '\0';
    for (uint64_t i = 1; i <= 100; i++) {
        write_message(&p, i, payload);
        write_queue(&p, 1, i, i, QOS_1);
    }
    write_message(&p, 200, "retained");
    write_queue(&p, 1, 200, 200, QOS_1);
    write_down(&p, (struct record){.type = RECORD_RETAIN, .number = 200});
    read_back(&p);
    assert_int_equal(p.lost.rows, 0);
    const struct session *s = session_of(&p, "client");
    assert_int_equal(flow_queued(s->flow), 101);
    assert_in_range(p.b->persist.stored.resident_bytes, 500, 1500);
    assert_true(flow_row_at(s->flow, 100)->away);
    assert_int_equal(flow_row_at(s->flow, 100)->bytes, sizeof(payload));
    assert_int_equal(broker_stats(p.b)->retained, 1);
    assert_true(str_eq_c(message_payload(retain_find(&p.b->retain, STR("t"))), "retained"));
    paper_end(&p);
}

/* Damage: two sessions of one client. One of them it is, and sound. */
static void two_sessions_with_one_id(void **state)
{
    struct paper p;

    (void)state;
    paper_begin(&p);
    for (uint64_t session = 1; session <= 2; session++) {
        write_client(&p, session, "client", 1, 0);
        write_down(&p,
                   (struct record){.type = RECORD_SUBSCRIBE, .session = session, .text = STR("t")});
        write_message(&p, session, "x");
        write_queue(&p, session, session, 1, QOS_1);
    }
    read_back(&p);
    assert_int_equal(broker_stats(p.b)->sessions, 1);
    assert_int_equal(broker_stats(p.b)->subscriptions, 1);
    assert_int_equal(p.b->persist.next_session, 3);
    paper_end(&p);
}

/* --- what may leave, and when --- */

struct held {
    struct rig r;
    struct rig_client c;
    struct rig_client p;
};

static void held_begin(struct held *h)
{
    memset(h, 0, sizeof(*h));
    rig_begin(&h->r, true);
    rig_connect(&h->r, &h->p, "publisher", false);
    rig_connect(&h->r, &h->c, "client", false);
    rig_subscribe(&h->c, "t/#", QOS_2);
    h->r.hold = true;
}

static void held_end(struct held *h)
{
    rig_forget(&h->c);
    rig_forget(&h->p);
    h->r.hold = false;
    rig_settle(&h->r);
    rig_end(&h->r);
}

static void store(struct held *h)
{
    broker_durable(h->r.b, h->r.recorded);
    rig_settle(&h->r);
}

static void answers_wait_until_they_are_stored(void **state)
{
    static const enum packet_type answers[] = {PACKET_SUBACK, PACKET_UNSUBACK, PACKET_PUBACK,
                                               PACKET_PUBREC, PACKET_PUBCOMP};
    struct held h;

    (void)state;
    held_begin(&h);
    rig_send_subscribe(&h.p, 1, "x", QOS_2);
    rig_send_unsubscribe(&h.p, 2, "x");
    rig_publish(&h.p, "nobody", "x", QOS_1, 3);
    rig_publish(&h.p, "nobody", "x", QOS_2, 4);
    rig_send_ack(&h.p, PACKET_PUBREL, 4);
    rig_settle(&h.r);
    rig_expect_nothing(&h.p);
    rig_send_empty(&h.p, PACKET_PINGREQ);
    rig_settle(&h.r);
    assert_int_equal(rig_expect(&h.p, PACKET_PINGRESP), 0); /* alone passes by */
    rig_expect_nothing(&h.p);
    store(&h);
    for (size_t i = 0; i < ARRAY_SIZE(answers); i++)
        (void)rig_expect(&h.p, answers[i]);
    rig_expect_nothing(&h.p);
    held_end(&h);
}

static void a_connack_waits_until_it_is_stored(void **state)
{
    struct held h;
    struct rig_client other;

    (void)state;
    held_begin(&h);
    assert_true(rig_open(&h.r, &other));
    rig_send_connect(&other,
                     &(struct packet_connect){.client_id = STR("new"), .level = PROTOCOL_311});
    rig_settle(&h.r);
    rig_expect_nothing(&other);
    store(&h);
    rig_expect_connack(&other, false, CONNACK_ACCEPTED);
    rig_forget(&other);
    held_end(&h);
}

static void qos2_deliveries_wait_and_others_do_not(void **state)
{
    struct held h;
    struct rig_client zero;

    (void)state;
    held_begin(&h);
    h.r.hold = false;
    rig_connect(&h.r, &zero, "zero", true);
    rig_subscribe(&zero, "t/#", QOS_0);
    h.r.hold = true;
    rig_publish(&h.p, "t/0", "zero", QOS_0, 0);
    rig_publish(&h.p, "t/1", "one", QOS_1, 1);
    rig_settle(&h.r);
    rig_expect_publish(&h.c, "t/0", "zero", QOS_0);
    uint16_t one = rig_expect_publish(&h.c, "t/1", "one", QOS_1).id;
    rig_expect_publish(&zero, "t/0", "zero", QOS_0);
    rig_expect_publish(&zero, "t/1", "one", QOS_0);
    rig_expect_nothing(&h.p); /* the PUBACK waits */
    rig_publish(&h.p, "t/2", "two", QOS_2, 2);
    rig_settle(&h.r);
    rig_expect_nothing(&h.c);
    rig_expect_nothing(&zero); /* at QoS 0 too: it derives from QoS 2 */
    rig_publish(&h.p, "t/3", "behind", QOS_0, 0);
    rig_settle(&h.r);
    rig_expect_nothing(&h.c); /* the order stays */
    store(&h);
    assert_int_equal(rig_expect(&h.p, PACKET_PUBACK), 1);
    assert_int_equal(rig_expect(&h.p, PACKET_PUBREC), 2);
    uint16_t two = rig_expect_publish(&h.c, "t/2", "two", QOS_2).id;
    rig_expect_publish(&h.c, "t/3", "behind", QOS_0);
    rig_expect_publish(&zero, "t/2", "two", QOS_0);
    rig_send_ack(&h.c, PACKET_PUBACK, one);
    rig_send_ack(&h.c, PACKET_PUBREC, two);
    rig_settle(&h.r);
    rig_expect_nothing(&h.c); /* PUBREL waits */
    store(&h);
    assert_int_equal(rig_expect(&h.c, PACKET_PUBREL), two);
    rig_forget(&zero);
    held_end(&h);
}

/* Turn by turn: what is durable leaves, and nothing that came later. */
static void each_turn_waits_for_itself(void **state)
{
    struct held h;
    uint64_t turns[5];

    (void)state;
    held_begin(&h);
    for (uint16_t i = 0; i < 5; i++) {
        rig_publish(&h.p, "t/x", "x", QOS_1, (uint16_t)(i + 1));
        rig_settle(&h.r);
        turns[i] = h.r.recorded;
        assert_true(i == 0 || turns[i] > turns[i - 1]);
    }
    rig_expect_nothing(&h.p);
    broker_durable(h.r.b, turns[0] - 1);
    rig_settle(&h.r);
    rig_expect_nothing(&h.p);
    broker_durable(h.r.b, turns[1]);
    rig_settle(&h.r);
    assert_int_equal(rig_expect(&h.p, PACKET_PUBACK), 1);
    assert_int_equal(rig_expect(&h.p, PACKET_PUBACK), 2);
    rig_expect_nothing(&h.p);
    broker_durable(h.r.b, turns[3]);
    rig_settle(&h.r);
    assert_int_equal(rig_expect(&h.p, PACKET_PUBACK), 3);
    assert_int_equal(rig_expect(&h.p, PACKET_PUBACK), 4);
    rig_expect_nothing(&h.p);
    broker_durable(h.r.b, turns[2]); /* late news change nothing */
    broker_durable(h.r.b, turns[4]);
    rig_settle(&h.r);
    assert_int_equal(rig_expect(&h.p, PACKET_PUBACK), 5);
    held_end(&h);
}

/* Answers of a turn that recorded nothing wait only for the turns before it. */
static void nothing_waits_for_a_turn_without_records(void **state)
{
    struct held h;
    struct rig_client clean;

    (void)state;
    held_begin(&h);
    assert_true(rig_open(&h.r, &clean));
    rig_send_connect(&clean, &(struct packet_connect){.client_id = STR("clean"),
                                                      .level = PROTOCOL_311,
                                                      .clean_session = true});
    rig_settle(&h.r);
    rig_expect_connack(&clean, false, CONNACK_ACCEPTED);
    rig_send_subscribe(&clean, 1, "s", QOS_2);
    rig_publish(&clean, "s", "x", QOS_2, 2);
    rig_settle(&h.r);
    assert_int_equal(rig_expect(&clean, PACKET_SUBACK), 0);
    rig_expect_publish(&clean, "s", "x", QOS_2);
    assert_int_equal(rig_expect(&clean, PACKET_PUBREC), 2);
    rig_publish(&h.p, "nobody", "x", QOS_2, 1); /* recorded, and not stored yet */
    rig_settle(&h.r);
    rig_publish(&clean, "s", "y", QOS_1, 3);
    rig_settle(&h.r);
    rig_expect_publish(&clean, "s", "y", QOS_1);
    rig_expect_nothing(&clean);
    store(&h);
    assert_int_equal(rig_expect(&clean, PACKET_PUBACK), 3);
    rig_forget(&clean);
    held_end(&h);
}

/* Whoever takes over or goes leaves no held bytes behind. */
static void what_is_held_dies_with_its_connection(void **state)
{
    struct held h;
    struct rig_client other;

    (void)state;
    held_begin(&h);
    rig_publish(&h.p, "t/x", "x", QOS_2, 1);
    rig_settle(&h.r);
    assert_true(rig_open(&h.r, &other));
    rig_send_connect(&other,
                     &(struct packet_connect){.client_id = STR("client"), .level = PROTOCOL_311});
    rig_settle(&h.r);
    rig_expect_closed(&h.c);
    rig_expect_nothing(&h.c);
    rig_expect_nothing(&other);
    store(&h);
    rig_expect_connack(&other, true, CONNACK_ACCEPTED);
    rig_expect_publish(&other, "t/x", "x", QOS_2);
    rig_expect_nothing(&other);
    rig_forget(&other);
    held_end(&h);
}

/* --- bytes that are not ours --- */

/* A journal with every type of record. */
static void record_everything(struct rig *r)
{
    struct rig_client c;
    struct rig_client p;

    rig_setup(r);
    r->setup.persistent = true;
    rig_acl(&r->listener, "topic readwrite #\nuser joe\ntopic read nothing\n");
    rig_start(r);
    rig_connect(r, &p, "publisher", false);
    rig_retain(&p, "t/r", "retained", QOS_1, 9);
    rig_retain(&p, "gone", "retained", QOS_0, 0);
    rig_retain(&p, "gone", "", QOS_0, 0);
    rig_connect(r, &c, "client", false);
    rig_subscribe(&c, "t/#", QOS_2);
    (void)rig_drain(&c);
    rig_subscribe(&c, "x", QOS_2);
    rig_unsubscribe(&c, "x");
    rig_publish(&p, "t/1", "one", QOS_1, 1);
    rig_publish(&p, "t/2", "two", QOS_2, 2);
    rig_publish(&p, "t/3", "three", QOS_2, 3);
    rig_settle(r);
    (void)rig_drain(&c);
    rig_send_ack(&c, PACKET_PUBREC, 3);
    rig_send_ack(&c, PACKET_PUBACK, 2);
    rig_send_ack(&p, PACKET_PUBREL, 2);
    rig_settle(r);
    rig_forget(&c);
    rig_forget(&p);
    rig_connect_as(r, &c, "third", "joe", false);
    rig_forget(&c);
    rig_connect(r, &c, "third", true);
    rig_forget(&c);
    assert_true(rig_open(r, &c));
    rig_send_connect(&c, &(struct packet_connect){
                             .client_id = STR("bridge"), .level = PROTOCOL_311, .bridge = true});
    rig_settle(r);
    rig_forget(&c);
    rig_settle(r);
}

static void the_journal_has_every_type(void **state)
{
    struct rig r;
    unsigned seen = 0;

    (void)state;
    record_everything(&r);
    struct str all = journal(&r);
    struct str in = all;
    while (in.n > 0) {
        struct record rec;
        assert_ok(record_read(&in, &rec));
        seen |= 1u << rec.type;
    }
    journal_free(all);
    /* GIVEN comes with cleaning alone. */
    assert_int_equal(seen, (1u << RECORD_TYPES) - 2 - (1u << RECORD_GIVEN) -
                               (1u << RECORD_GIVEN_FORMERLY));
    rig_check_replay(&r);
    rig_end(&r);
}

/* Whatever the bytes are: no crash, no leak, and what is accepted is sound. */
static enum err apply(const struct rig *r, struct str bytes)
{
    char *copy = malloc(bytes.n + 1); /* a sanitizer sees where it ends */
    struct broker *b = broker_new(&r->setup);
    enum err e;

    assert_non_null(copy);
    assert_non_null(b);
    if (bytes.n > 0)
        memcpy(copy, bytes.p, bytes.n);
    broker_tick(b, r->now);
    struct broker_lost lost;
    e = broker_apply(b, RIG_JOURNAL_BEGIN, str_of(copy, bytes.n));
    free(copy);
    if (!e) {
        assert_ok(broker_apply_end(b, 7, 1, &lost));
        const char *wrong = broker_check(b);
        if (wrong)
            fail_msg("accepted, but: %s", wrong);
        broker_tick(b, (struct now){.mono_ms = 1000000, .wall_s = 5});
        (void)broker_work(b);
    }
    broker_free(b);
    return e;
}

static void a_journal_may_end_anywhere(void **state)
{
    struct rig r;
    unsigned whole = 0;

    (void)state;
    record_everything(&r);
    struct str all = journal(&r);
    for (size_t n = 0; n <= all.n; n++) {
        enum err e = apply(&r, str_of(all.p, n));
        assert_true(e == ERR_OK || e == ERR_MALFORMED);
        whole += e == ERR_OK;
    }
    assert_in_range(whole, 20, 100); /* once after each record */
    journal_free(all);
    rig_end(&r);
}

static void damaged_journals_are_refused_or_sound(void **state)
{
    struct rig r;
    struct rng rng;
    unsigned refused = 0;
    unsigned accepted = 0;

    (void)state;
    rng_seed(&rng, 8);
    record_everything(&r);
    struct str all = journal(&r);
    char *copy = malloc(all.n);
    assert_non_null(copy);
    for (unsigned i = 0; i < 6000; i++) {
        memcpy(copy, all.p, all.n);
        for (unsigned k = rng_below(&rng, 3) + 1; k > 0; k--)
            copy[rng_below(&rng, (uint32_t)all.n)] =
                (char)(rng_below(&rng, 2) ? rng_below(&rng, 16) : rng_below(&rng, 256));
        enum err e = apply(&r, str_of(copy, all.n));
        assert_true(e == ERR_OK || e == ERR_MALFORMED);
        refused += e != ERR_OK;
        accepted += e == ERR_OK;
    }
    assert_true(refused > 1000 && accepted > 500);
    free(copy);
    journal_free(all);
    rig_end(&r);
}

/* Records that are well formed, but of nobody who could have written them in this order. */
static void made_up_records_are_refused_or_sound(void **state)
{
    static const struct str texts[] = {STR("a"), STR("a/+"),   STR("#"),   STR("$share/g/a"),
                                       STR(""),  STR("a/#/b"), STR("\xff")};
    static const uint64_t numbers[] = {0,         1, 2, 3, 4, 65535, UINT32_MAX, UINT64_MAX - 1,
                                       UINT64_MAX};
    struct rig r;
    struct rng rng;
    unsigned applied = 0;

    (void)state;
    rng_seed(&rng, 9);
    rig_begin(&r, true);
    for (unsigned round = 0; round < 8000; round++) {
        struct buf out = {0};
        unsigned n = 1 + rng_below(&rng, 30);
        assert_ok(buf_reserve(&out, 64 * 100));
        for (unsigned i = 0; i < n; i++) {
            uint32_t odd = rng_below(&rng, 12) ? 4 : ARRAY_SIZE(numbers);
            struct record rec = {
                .type = (enum record_type)(1 + rng_below(&rng, RECORD_TYPES - 1)),
                .session = numbers[1 + rng_below(&rng, odd - 2)],
                .number = numbers[1 + rng_below(&rng, odd - 2)],
                .seq = numbers[rng_below(&rng, odd)],
                .time = numbers[rng_below(&rng, odd)],
                .id = (uint16_t)numbers[rng_below(&rng, odd)],
                .qos = (uint8_t)rng_below(&rng, 3),
                .flags = (uint8_t)rng_below(&rng, 2),
                .text = texts[rng_below(&rng, rng_below(&rng, 12) ? 2 : ARRAY_SIZE(texts))],
                .payload = rng_below(&rng, 4) ? STR("x") : STR(""),
            };
            if (i < 2) /* most need these two to come far */
                rec.type = i ? RECORD_MESSAGE : RECORD_CLIENT;
            record_write(&out, &rec);
        }
        enum err e = apply(&r, buf_str(&out));
        assert_true(e == ERR_OK || e == ERR_MALFORMED);
        applied += e == ERR_OK;
        buf_clear(&out);
    }
    assert_true(applied > 200);
    rig_end(&r);
}

static void replaying_without_memory_says_so(void **state)
{
    struct rig r;

    (void)state;
    unit_needs_tracking();
    record_everything(&r);
    struct str all = journal(&r);
    for (uint64_t n = 0;; n++) {
        struct broker *b = broker_new(&r.setup);
        struct broker_lost lost;
        assert_non_null(b);
        broker_tick(b, r.now);
        mem_fail_after(n, 0);
        enum err e = broker_apply(b, RIG_JOURNAL_BEGIN, all);
        if (!e)
            e = broker_apply_end(b, r.recorded, r.now.wall_s, &lost);
        bool failed = mem_failed() > 0;
        mem_fail_never();
        broker_free(b);
        if (!failed) {
            assert_ok(e);
            assert_true(n > 30);
            break;
        }
        if (e) /* smaller tables are a courtesy */
            assert_err(e, ERR_NOMEM);
    }
    journal_free(all);
    rig_end(&r);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        UNIT_TEST(each_step_of_a_session_is_rebuilt),
        UNIT_TEST(a_clean_session_is_not_recorded),
        UNIT_TEST(a_random_life_is_rebuilt_at_any_time),
        UNIT_TEST(a_life_goes_on_after_crashes),
        UNIT_TEST(what_ends_while_writing_is_recorded_too),
        UNIT_TEST(what_ends_behind_a_frame_is_in_the_next),
        UNIT_TEST(a_feed_goes_on_after_a_crash),
        UNIT_TEST(what_is_said_may_come_first),
        UNIT_TEST(what_ended_sessions_left_behind_means_nothing),
        UNIT_TEST(a_row_that_waits_for_pubcomp_needs_no_message),
        UNIT_TEST(rows_whose_message_never_came_are_lost),
        UNIT_TEST(retained_messages_in_any_order),
        UNIT_TEST(a_feed_of_an_earlier_store_begins_anew),
        UNIT_TEST(a_feed_whose_rows_are_missing_begins_anew),
        UNIT_TEST(feeds_go_on_in_their_order),
        UNIT_TEST(the_memory_limit_holds_while_replaying),
        UNIT_TEST(two_sessions_with_one_id),
        UNIT_TEST(answers_wait_until_they_are_stored),
        UNIT_TEST(a_connack_waits_until_it_is_stored),
        UNIT_TEST(qos2_deliveries_wait_and_others_do_not),
        UNIT_TEST(each_turn_waits_for_itself),
        UNIT_TEST(nothing_waits_for_a_turn_without_records),
        UNIT_TEST(what_is_held_dies_with_its_connection),
        UNIT_TEST(the_journal_has_every_type),
        UNIT_TEST(a_journal_may_end_anywhere),
        UNIT_TEST(damaged_journals_are_refused_or_sound),
        UNIT_TEST(made_up_records_are_refused_or_sound),
        UNIT_TEST(replaying_without_memory_says_so),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
