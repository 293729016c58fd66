/*
 * Queued messages that are only in the journal: how they go, and come back when they are wanted.
 */
#include "core/fetch.h"

#include "core/record.h"
#include "core/state.h"
#include "mqtt/decode.h"
#include "unit/rig.h"
#include "unit/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A publisher, and an absent client with a queue. */
struct scene {
    struct rig r;
    struct rig_client c;
    struct rig_client p;
    unsigned published;
    unsigned received;
    unsigned dups;
    struct buf changed; /* what `answer` gives instead of the journal */
    unsigned refuse;    /* so many answers are empty, or damaged */
};

#define LIMIT 10000
#define PADDING 300

static void scene_begin(struct scene *s, enum qos qos)
{
    memset(s, 0, sizeof(*s));
    rig_setup(&s->r);
    s->r.setup.persistent = true;
    s->r.conf.global.persistence_memory_limit = LIMIT;
    s->r.conf.global.max_queued_messages = 0;
    rig_start(&s->r);
    rig_connect(&s->r, &s->p, "publisher", true);
    rig_connect(&s->r, &s->c, "client", false);
    rig_subscribe(&s->c, "t", qos);
    rig_forget(&s->c);
}

static void scene_end(struct scene *s)
{
    rig_forget(&s->c);
    rig_forget(&s->p);
    rig_settle(&s->r);
    buf_clear(&s->changed);
    rig_end(&s->r);
}

static const struct stored_all *stored(const struct scene *s)
{
    return &s->r.b->persist.stored;
}

static struct str payload_of(unsigned number, char out[PADDING + 16])
{
    int n = snprintf(out, 16, "%u ", number);

    memset(out + n, 'x', PADDING);
    return str_of(out, (size_t)n + PADDING);
}

static void publish(struct scene *s, unsigned n, enum qos qos)
{
    char payload[PADDING + 16];

    while (n--)
        rig_send_publish(&s->p,
                         &(struct packet_publish){.topic = STR("t"),
                                                  .payload = payload_of(s->published++, payload),
                                                  .qos = qos,
                                                  .id = qos ? 1 : 0});
    rig_settle(&s->r);
    if (qos == QOS_2) { /* one id for all: released at once */
        rig_send_ack(&s->p, PACKET_PUBREL, 1);
        rig_settle(&s->r);
    }
    (void)rig_drain(&s->p);
}

/* QoS 2 one by one, since all have one id. */
static void publish_qos2(struct scene *s, unsigned n)
{
    while (n--)
        publish(s, 1, QOS_2);
}

static void take_publish(struct scene *s, const struct frame *f)
{
    char payload[PADDING + 16];
    struct packet_publish p;

    assert_int_equal(decode_publish(f, &p), REASON_OK);
    if (p.dup) {
        s->dups++;
    } else {
        if (!str_eq(p.payload, payload_of(s->received, payload)))
            fail_msg("'%.*s', not message %u", 20, p.payload.p, s->received);
        s->received++;
    }
    if (p.qos)
        rig_send_ack(&s->c, p.qos == QOS_1 ? PACKET_PUBACK : PACKET_PUBREC, p.id);
}

/* The client reads what has come, and answers all of it. */
static void read_some(struct scene *s)
{
    struct frame f;

    while (rig_next(&s->c, &f)) {
        if (frame_type(&f) == PACKET_PUBLISH)
            take_publish(s, &f);
        else if (frame_type(&f) == PACKET_PUBREL)
            rig_send_ack(&s->c, PACKET_PUBCOMP, rig_id(&f));
    }
}

static void drain(struct scene *s)
{
    unsigned quiet = 0;
    unsigned before;

    while (quiet < 3) {
        before = s->received + s->dups;
        read_some(s);
        rig_settle(&s->r);
        quiet = s->received + s->dups == before ? quiet + 1 : 0;
        /* what was fetched ahead, and what is in flight, may be above the limit */
        assert_true(stored(s)->resident_bytes < LIMIT + 128 * 1024);
    }
}

static void come(struct scene *s)
{
    assert_true(rig_connect(&s->r, &s->c, "client", false));
}

static void expect_all(struct scene *s)
{
    drain(s);
    assert_int_equal(s->received, s->published);
    assert_int_equal(stored(s)->resident_bytes, 0);
    assert_int_equal(stored(s)->record_bytes, 0);
    rig_check_replay(&s->r);
}

/* --- going --- */

static void a_queue_above_the_limit_is_in_the_journal_only(void **state)
{
    struct scene s;

    (void)state;
    scene_begin(&s, QOS_1);
    for (unsigned i = 0; i < 200; i++) {
        publish(&s, 1, QOS_1);
        assert_true(stored(&s)->resident_bytes <= LIMIT + PADDING + 100);
    }
    assert_true(stored(&s)->resident_bytes > LIMIT / 2);
    assert_true(stored(&s)->record_bytes > 200 * PADDING);
    assert_int_equal(broker_stats(s.r.b)->publish_dropped, 0);
    rig_check_replay(&s.r);
    scene_end(&s);
}

static void without_a_limit_all_stay(void **state)
{
    struct scene s;

    (void)state;
    scene_begin(&s, QOS_1);
    s.r.b->persist.stored.resident_limit = 0;
    publish(&s, 200, QOS_1);
    assert_true(stored(&s)->resident_bytes > 200 * PADDING);
    come(&s);
    expect_all(&s);
    assert_int_equal(s.r.fetched, 0);
    scene_end(&s);
}

static void a_long_queue_costs_little_memory(void **state)
{
    const unsigned n = 20000;
    struct scene s;
    size_t used;

    (void)state;
    unit_needs_tracking();
    scene_begin(&s, QOS_1);
    publish(&s, 100, QOS_1);
    used = mem_used();
    publish(&s, n, QOS_1);
    double each = (double)(mem_used() - used) / n;
    print_message("a queued message of %d bytes above the limit: %.1f bytes\n", PADDING, each);
    assert_true(each < 130);
    struct broker_lost lost;
    used = mem_used();
    struct broker *again = rig_rebuild(&s.r, &lost);
    assert_true(again->persist.stored.resident_bytes <= LIMIT + PADDING + 100);
    assert_true((double)(mem_used() - used) / n < 160);
    broker_free(again);
    scene_end(&s);
}

/* --- coming back --- */

static void the_queue_drains_in_order(void **state)
{
    static const enum qos levels[] = {QOS_1, QOS_2};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(levels); i++) {
        struct scene s;
        scene_begin(&s, levels[i]);
        if (levels[i] == QOS_1)
            publish(&s, 500, QOS_1);
        else
            publish_qos2(&s, 500);
        come(&s);
        expect_all(&s);
        assert_int_equal(s.dups, 0);
        assert_in_range(s.r.fetched, 2, 100); /* many at once */
        scene_end(&s);
    }
}

static void qos0_rows_come_back_too(void **state)
{
    struct scene s;

    (void)state;
    scene_begin(&s, QOS_1);
    s.r.b->env.queue_qos0 = true;
    for (unsigned i = 0; i < 100; i++)
        publish(&s, 1, i % 2 ? QOS_0 : QOS_1);
    rig_check_replay(&s.r);
    come(&s);
    expect_all(&s);
    scene_end(&s);
}

/* Messages that come while the queue drains stand behind it, away or not. */
static void publishing_goes_on_meanwhile(void **state)
{
    struct scene s;

    (void)state;
    scene_begin(&s, QOS_1);
    publish(&s, 200, QOS_1);
    come(&s);
    for (unsigned i = 0; i < 60; i++) {
        read_some(&s);
        publish(&s, 3, QOS_1);
        rig_turn(&s.r);
        rig_check(&s.r);
    }
    expect_all(&s);
    publish(&s, 5, QOS_1);
    expect_all(&s);
    scene_end(&s);
}

static void after_a_restart_all_is_there(void **state)
{
    struct scene s;

    (void)state;
    scene_begin(&s, QOS_1);
    publish(&s, 200, QOS_1);
    rig_restart(&s.r);
    assert_true(stored(&s)->resident_bytes <= LIMIT + PADDING + 100);
    rig_forget(&s.p);
    come(&s);
    for (unsigned i = 0; i < 5; i++) {
        read_some(&s);
        rig_settle(&s.r);
    }
    assert_true(s.received > 20 && s.received < 200);
    /* in flight, and away after the next one: they come again, and with DUP */
    rig_settle(&s.r);
    unsigned inflight = flow_inflight(sessions_find(&s.r.b->sessions, STR("client"))->flow);
    assert_int_equal(inflight, 20);
    s.received += 20;
    rig_restart(&s.r);
    rig_forget(&s.c);
    come(&s);
    drain(&s);
    assert_int_equal(s.dups, 20);
    assert_int_equal(s.received, s.published);
    rig_check_replay(&s.r);
    scene_end(&s);
}

static void a_reconnect_in_the_middle(void **state)
{
    struct scene s;

    (void)state;
    scene_begin(&s, QOS_1);
    publish(&s, 200, QOS_1);
    come(&s);
    for (unsigned i = 0; i < 30; i++) {
        unsigned turns = i % 5;
        while (turns--) {
            read_some(&s);
            rig_turn(&s.r);
        }
        read_some(&s);
        rig_forget(&s.c); /* a fetch may be on its way */
        come(&s);
    }
    drain(&s);
    assert_int_equal(s.received, s.published);
    rig_check_replay(&s.r);
    scene_end(&s);
}

static void two_sessions_share_messages(void **state)
{
    struct scene s;
    struct rig_client other;

    (void)state;
    scene_begin(&s, QOS_1);
    rig_connect(&s.r, &other, "other", false);
    rig_subscribe(&other, "t", QOS_2);
    rig_forget(&other);
    publish(&s, 200, QOS_1);
    rig_restart(&s.r);
    rig_forget(&s.p);
    come(&s);
    rig_connect(&s.r, &other, "other", false);
    unsigned got = 0;
    for (unsigned i = 0; i < 300 && (got < 200 || s.received < 200); i++) {
        struct frame f;
        struct packet_publish p;
        read_some(&s);
        while (rig_next(&other, &f)) {
            char payload[PADDING + 16];
            assert_int_equal(decode_publish(&f, &p), REASON_OK);
            assert_true(str_eq(p.payload, payload_of(got++, payload)));
            rig_send_ack(&other, PACKET_PUBACK, p.id);
        }
        rig_turn(&s.r);
    }
    assert_int_equal(got, 200);
    rig_settle(&s.r);
    expect_all(&s);
    rig_forget(&other);
    scene_end(&s);
}

/* What is retained is in memory anyway: its row is away, and nothing need be fetched. */
static void a_retained_message_that_is_queued(void **state)
{
    struct scene s;
    char payload[PADDING + 16];

    (void)state;
    scene_begin(&s, QOS_1);
    publish(&s, 100, QOS_1);
    rig_send_publish(&s.p, &(struct packet_publish){.topic = STR("t"),
                                                    .payload = payload_of(s.published++, payload),
                                                    .qos = QOS_1,
                                                    .id = 1,
                                                    .retain = true});
    rig_settle(&s.r);
    rig_check_replay(&s.r);
    for (unsigned i = 0; i < 2; i++) {
        rig_restart(&s.r);
        rig_check_replay(&s.r);
        assert_int_equal(broker_stats(s.r.b)->retained, 1);
    }
    rig_forget(&s.p);
    come(&s);
    drain(&s);
    assert_int_equal(s.received, s.published);
    rig_forget(&s.c);
    rig_connect(&s.r, &s.c, "another", true);
    rig_subscribe(&s.c, "t", QOS_1);
    assert_int_equal(rig_drain(&s.c), 1);
    scene_end(&s);
}

/* --- answers that are not what was hoped for --- */

static struct scene *scene_of(struct rig *r)
{
    return CONTAINER_OF(r, struct scene, r);
}

static struct str only_the_least(struct rig *r, const struct fetch *f)
{
    return str_of(rig_journal_at(r, f).p, f->least);
}

static struct str empty_at_first(struct rig *r, const struct fetch *f)
{
    struct scene *s = scene_of(r);

    if (s->refuse == 0)
        return rig_journal_at(r, f);
    s->refuse--;
    return str_of(NULL, 0);
}

static struct str cut_somewhere(struct rig *r, const struct fetch *f)
{
    struct str all = rig_journal_at(r, f);

    return str_of(all.p, f->least + (all.n - f->least) / 3);
}

static struct str less_than_the_least(struct rig *r, const struct fetch *f)
{
    struct scene *s = scene_of(r);

    if (s->refuse == 0)
        return rig_journal_at(r, f);
    s->refuse--;
    return str_of(rig_journal_at(r, f).p, f->least - 1);
}

static void short_answers_are_asked_for_again(void **state)
{
    static struct str (*const answers[])(struct rig *, const struct fetch *) = {
        only_the_least, cut_somewhere, empty_at_first, less_than_the_least};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(answers); i++) {
        struct scene s;
        scene_begin(&s, QOS_1);
        publish(&s, 150, QOS_1);
        s.r.answer = answers[i];
        s.refuse = 10;
        come(&s);
        expect_all(&s);
        if (answers[i] == only_the_least)
            assert_true(s.r.fetched >= 100);
        assert_int_equal(broker_stats(s.r.b)->publish_dropped, 0);
        scene_end(&s);
    }
}

/* The first message of an answer is damaged. */
static struct str damaged(struct rig *r, const struct fetch *f)
{
    struct scene *s = scene_of(r);
    struct str all = rig_journal_at(r, f);

    if (s->refuse == 0)
        return all;
    buf_drop(&s->changed, s->changed.len);
    assert_ok(buf_add(&s->changed, all.p, all.n));
    uint8_t *p = buf_begin(&s->changed);
    switch (s->refuse--) {
    case 1:
        p[f->least - 1] ^= 1; /* its payload */
        break;
    case 2:
        p[0] = RECORD_QUEUE; /* something else */
        break;
    case 3:
        p[0] = 0xff; /* nothing */
        break;
    case 4:
        p[1] ^= 2; /* another's number */
        break;
    default:
        memset(p, 0, f->least);
    }
    return buf_str(&s->changed);
}

/* The last message of an answer is damaged. */
static struct str damaged_behind(struct rig *r, const struct fetch *f)
{
    struct scene *s = scene_of(r);
    struct str all = rig_journal_at(r, f);

    if (s->refuse == 0 || f->length == f->least)
        return all;
    s->refuse--;
    buf_drop(&s->changed, s->changed.len);
    assert_ok(buf_add(&s->changed, all.p, all.n));
    ((uint8_t *)buf_begin(&s->changed))[all.n - 1] ^= 1;
    return buf_str(&s->changed);
}

static unsigned count_done(const struct rig *r, size_t first_frame)
{
    unsigned n = 0;

    for (size_t i = first_frame; i < r->frame_count; i++) {
        struct str in = rig_records(r, i);
        struct record rec;
        while (in.n > 0) {
            assert_ok(record_read(&in, &rec));
            n += rec.type == RECORD_DONE || (rec.type == RECORD_BEGIN && rec.id == 0);
        }
    }
    return n;
}

static void damaged_messages_are_dropped(void **state)
{
    (void)state;
    for (unsigned kind = 1; kind <= 5; kind++) {
        struct scene s;
        struct frame f;
        unsigned got = 0;
        scene_begin(&s, QOS_1);
        publish(&s, 100, QOS_1);
        s.r.answer = damaged;
        come(&s);
        s.refuse = kind;
        size_t frames = s.r.frame_count;
        for (unsigned quiet = 0; quiet < 3; quiet++) {
            for (; rig_next(&s.c, &f); quiet = 0) {
                struct packet_publish p;
                assert_int_equal(decode_publish(&f, &p), REASON_OK);
                rig_send_ack(&s.c, PACKET_PUBACK, p.id);
                got++;
            }
            rig_settle(&s.r);
            rig_check(&s.r);
        }
        unsigned lost = kind - s.refuse;
        assert_in_range(lost, 1, kind);
        assert_int_equal(got, s.published - lost);
        assert_int_equal(broker_stats(s.r.b)->publish_dropped, lost);
        assert_int_equal(rig_logged(&s.r, "cannot be read back"), lost);
        assert_int_equal(count_done(&s.r, frames), s.published);
        assert_int_equal(stored(&s)->record_bytes, 0);
        assert_int_equal(sessions_find(&s.r.b->sessions, STR("client"))->dropped, lost);
        rig_check_replay(&s.r);
        struct broker_lost none;
        struct broker *again = rig_rebuild(&s.r, &none);
        assert_int_equal(broker_live_bytes(again), broker_live_bytes(s.r.b));
        broker_free(again);
        scene_end(&s);
    }
}

/* A row that is in flight already, and damaged when it should be sent again. */
static void a_damaged_row_in_flight_is_dropped(void **state)
{
    struct scene s;
    struct frame f;
    unsigned dups = 0;

    (void)state;
    scene_begin(&s, QOS_2);
    publish_qos2(&s, 60);
    come(&s);
    assert_int_equal(rig_drain(&s.c), 20);
    rig_restart(&s.r);
    rig_forget(&s.p);
    rig_forget(&s.c);
    struct session *session = sessions_find(&s.r.b->sessions, STR("client"));
    for (uint64_t seq = flow_head(session->flow); seq < flow_begun(session->flow); seq++) {
        const struct flow_row *row = flow_row_at(session->flow, seq);
        if (!row->away) { /* in memory still: away with it */
            struct stored *e = stored_of(row->message);
            flow_leave(session->flow, seq, stored_ticket(e));
        }
    }
    s.r.answer = damaged;
    s.refuse = 1;
    come(&s);
    while (rig_next(&s.c, &f)) {
        struct packet_publish p;
        if (decode_publish(&f, &p) == REASON_OK)
            dups += p.dup;
    }
    assert_int_equal(dups, 19);
    assert_int_equal(flow_inflight(session->flow), 20); /* another one took its place */
    rig_check(&s.r);
    rig_check_replay(&s.r);
    scene_end(&s);
}

/* Behind rows that wait still: these are there after a crash, all of them. */
static void a_damaged_row_in_the_queue_costs_no_other(void **state)
{
    struct scene s;
    struct frame f;
    struct packet_publish p;

    (void)state;
    scene_begin(&s, QOS_1);
    s.r.conf.global.max_inflight_messages = 1;
    rig_restart(&s.r);
    rig_forget(&s.p);
    rig_forget(&s.c);
    rig_connect(&s.r, &s.p, "publisher", true);
    publish(&s, 60, QOS_1);
    s.r.answer = damaged_behind;
    s.refuse = 1;
    come(&s);
    while (rig_logged(&s.r, "cannot be read back") == 0) {
        assert_true(rig_next(&s.c, &f));
        assert_int_equal(decode_publish(&f, &p), REASON_OK);
        rig_send_ack(&s.c, PACKET_PUBACK, p.id);
        s.received++;
        rig_settle(&s.r);
    }
    rig_check_replay(&s.r);
    rig_restart(&s.r);
    rig_forget(&s.p);
    rig_forget(&s.c);
    come(&s);
    for (; rig_next(&s.c, &f); rig_settle(&s.r)) {
        assert_int_equal(decode_publish(&f, &p), REASON_OK);
        s.received++;
        rig_send_ack(&s.c, PACKET_PUBACK, p.id);
    }
    assert_int_equal(s.received, s.published - 1);
    scene_end(&s);
}

/* --- things that happen while a fetch is on its way --- */

static void fetch_is_on_its_way(struct scene *s)
{
    assert_true(rig_open(&s->r, &s->c));
    rig_send_connect(&s->c,
                     &(struct packet_connect){.client_id = STR("client"), .level = PROTOCOL_311});
    for (unsigned i = 0; i < 100 && s->r.fetch_count == 0; i++) {
        struct frame f;
        rig_turn(&s->r);
        while (rig_next(&s->c, &f)) {
            if (frame_type(&f) == PACKET_PUBLISH)
                take_publish(s, &f);
        }
    }
    assert_int_equal(s->r.fetch_count, 1);
}

/* However long the disk takes: the broker waits, and does not ask twice. */
static void waiting_costs_no_turns(void **state)
{
    struct scene s;

    (void)state;
    scene_begin(&s, QOS_1);
    publish(&s, 100, QOS_1);
    fetch_is_on_its_way(&s);
    struct fetch f = s.r.fetches[0];
    s.r.fetch_count = 0;
    for (unsigned i = 0; i < 5; i++) {
        read_some(&s); /* and it acknowledges meanwhile */
        rig_turn(&s.r);
        rig_turn(&s.r);
        assert_int_equal(s.r.fetch_count, 0);
        assert_true(s.r.next == UINT64_MAX);
    }
    broker_fetched(s.r.b, &f, rig_journal_at(&s.r, &f));
    rig_settle(&s.r);
    expect_all(&s);
    scene_end(&s);
}

static void the_session_ends_meanwhile(void **state)
{
    struct scene s;

    (void)state;
    scene_begin(&s, QOS_1);
    publish(&s, 100, QOS_1);
    fetch_is_on_its_way(&s);
    struct fetch f = s.r.fetches[0];
    s.r.fetch_count = 0;
    rig_forget(&s.c);
    rig_connect(&s.r, &s.c, "client", true);
    assert_int_equal(stored(&s)->record_bytes, 0);
    broker_fetched(s.r.b, &f, rig_journal_at(&s.r, &f));
    rig_settle(&s.r);
    rig_forget(&s.c);
    rig_connect(&s.r, &s.c, "client", false); /* the same id, another session */
    broker_fetched(s.r.b, &f, rig_journal_at(&s.r, &f));
    rig_settle(&s.r);
    rig_expect_nothing(&s.c);
    assert_int_equal(stored(&s)->resident_bytes, 0);
    scene_end(&s);
}

static void the_client_is_away_when_the_answer_comes(void **state)
{
    struct scene s;

    (void)state;
    scene_begin(&s, QOS_1);
    publish(&s, 100, QOS_1);
    fetch_is_on_its_way(&s);
    rig_forget(&s.c);
    rig_settle(&s.r);
    rig_check_replay(&s.r);
    come(&s);
    drain(&s);
    assert_int_equal(s.received, s.published);
    scene_end(&s);
}

/* Its record moves to the end of the journal, and where it stood there is nothing any more. */
static void the_message_is_recorded_anew_meanwhile(void **state)
{
    struct scene s;

    (void)state;
    for (unsigned gone = 0; gone < 2; gone++) {
        scene_begin(&s, QOS_1);
        publish(&s, 100, QOS_1);
        fetch_is_on_its_way(&s);
        size_t end = s.r.frame_count;
        for (size_t i = 0; i < end; i++) {
            struct str records = rig_records(&s.r, i);
            uint64_t position = s.r.frames[i].position;
            while (records.n > 0) {
                s.r.b->work = (struct work){0};
                assert_ok(broker_renew(s.r.b, &position, &records));
            }
        }
        rig_commit(&s.r);
        if (gone)
            rig_drop_frames(&s.r, end);
        rig_check_replay(&s.r);
        rig_settle(&s.r);
        expect_all(&s);
        scene_end(&s);
    }
}

/* A stale answer, and one that nobody asked for. */
static void answers_that_nobody_waits_for(void **state)
{
    struct scene s;
    struct fetch f;

    (void)state;
    scene_begin(&s, QOS_1);
    publish(&s, 100, QOS_1);
    fetch_is_on_its_way(&s);
    f = s.r.fetches[0];
    rig_turn(&s.r);
    for (unsigned i = 0; i < 3; i++) { /* those rows are in memory, or gone, meanwhile */
        broker_fetched(s.r.b, &f, rig_journal_at(&s.r, &f));
        rig_turn(&s.r);
        read_some(&s);
    }
    f.seq = UINT64_MAX;
    broker_fetched(s.r.b, &f, rig_journal_at(&s.r, &f));
    f.seq = 0;
    broker_fetched(s.r.b, &f, rig_journal_at(&s.r, &f));
    f.session = 99;
    broker_fetched(s.r.b, &f, rig_journal_at(&s.r, &f));
    expect_all(&s);
    scene_end(&s);
}

/* Without memory for what came it is asked for again, and nothing is lost. */
static void answers_without_memory(void **state)
{
    struct scene s;

    (void)state;
    unit_needs_tracking();
    scene_begin(&s, QOS_1);
    publish(&s, 150, QOS_1);
    come(&s);
    for (unsigned i = 0; i < 400; i++) {
        read_some(&s);
        if (i < 300)
            mem_fail_after(i % 7, (int)(i & 8));
        rig_turn(&s.r);
        mem_fail_never();
        rig_check(&s.r);
        if (!s.c.conn) { /* it may cost the connection, not the messages */
            rig_forget(&s.c);
            come(&s);
        }
    }
    drain(&s);
    assert_int_equal(s.received, s.published);
    assert_int_equal(broker_stats(s.r.b)->publish_dropped, 0);
    scene_end(&s);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        UNIT_TEST(a_queue_above_the_limit_is_in_the_journal_only),
        UNIT_TEST(without_a_limit_all_stay),
        UNIT_TEST(a_long_queue_costs_little_memory),
        UNIT_TEST(the_queue_drains_in_order),
        UNIT_TEST(qos0_rows_come_back_too),
        UNIT_TEST(publishing_goes_on_meanwhile),
        UNIT_TEST(after_a_restart_all_is_there),
        UNIT_TEST(a_reconnect_in_the_middle),
        UNIT_TEST(two_sessions_share_messages),
        UNIT_TEST(a_retained_message_that_is_queued),
        UNIT_TEST(short_answers_are_asked_for_again),
        UNIT_TEST(damaged_messages_are_dropped),
        UNIT_TEST(a_damaged_row_in_flight_is_dropped),
        UNIT_TEST(a_damaged_row_in_the_queue_costs_no_other),
        UNIT_TEST(waiting_costs_no_turns),
        UNIT_TEST(the_session_ends_meanwhile),
        UNIT_TEST(the_client_is_away_when_the_answer_comes),
        UNIT_TEST(the_message_is_recorded_anew_meanwhile),
        UNIT_TEST(answers_that_nobody_waits_for),
        UNIT_TEST(answers_without_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
