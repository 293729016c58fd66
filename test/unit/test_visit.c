/*
 * The walk that tools do over a store: everything that the records say, once, in an order of its
 * own. Records are made by hand, so that only replay stands between them and the walk.
 */
#include "core/visit.h"

#include "core/record.h"
#include "unit.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define ABSENT_S 1700000000
#define TURN 7

/* A broker that is given records, and what a walk over it has shown: one line for each thing. */
struct look {
    struct conf conf;
    struct broker *b;
    struct buf records;
    uint64_t position; /* of the next records in the journal */
    struct buf lines;
    unsigned refuse; /* the call after so many fails; 0: none does */
};

static void look_begin(struct look *l, uint64_t seed, uint64_t memory_limit)
{
    struct broker_setup setup = {.conf = &l->conf, .seed = seed, .persistent = true};

    memset(l, 0, sizeof(*l));
    l->conf.global.persistence_memory_limit = memory_limit;
    l->position = 48;
    l->b = broker_new(&setup);
    assert_non_null(l->b);
}

static void look_end(struct look *l)
{
    broker_free(l->b);
    buf_clear(&l->records);
    buf_clear(&l->lines);
}

static void note(struct look *l, struct record r)
{
    assert_ok(buf_reserve(&l->records, RECORD_OVERHEAD + r.text.n + r.payload.n));
    record_write(&l->records, &r);
}

/* What was noted is a frame. */
static void apply(struct look *l)
{
    uint32_t n = l->records.len;

    assert_ok(broker_apply(l->b, l->position, buf_str(&l->records)));
    l->position += n + 48;
    buf_drop(&l->records, n);
}

static void applied(struct look *l)
{
    struct broker_lost lost;

    apply(l);
    assert_ok(broker_apply_end(l->b, TURN, 0, &lost));
}

static void client(struct look *l, uint64_t number, const char *id, uint64_t time)
{
    note(l,
         (struct record){
             .type = RECORD_CLIENT, .session = number, .time = time, .seq = 1, .text = str_c(id)});
}

static void subscribe(struct look *l, uint64_t session, const char *filter, enum qos qos, bool feed)
{
    note(l, (struct record){.type = feed ? RECORD_FEED : RECORD_SUBSCRIBE,
                            .session = session,
                            .seq = 1,
                            .qos = (uint8_t)qos,
                            .text = str_c(filter)});
}

static void message(struct look *l, uint64_t number, const char *topic, const char *payload,
                    enum qos qos)
{
    note(l, (struct record){.type = RECORD_MESSAGE,
                            .number = number,
                            .qos = (uint8_t)qos,
                            .text = str_c(topic),
                            .payload = str_c(payload)});
}

static void queue(struct look *l, uint64_t session, uint64_t number, uint64_t seq, enum qos qos)
{
    note(l, (struct record){.type = RECORD_QUEUE,
                            .session = session,
                            .number = number,
                            .seq = seq,
                            .qos = (uint8_t)qos});
}

static void begin(struct look *l, uint64_t session, uint64_t seq, uint16_t id)
{
    note(l, (struct record){.type = RECORD_BEGIN, .session = session, .seq = seq, .id = id});
}

/* --- the walk --- */

static enum err counted(struct look *l)
{
    return l->refuse > 0 && --l->refuse == 0 ? ERR_FULL : ERR_OK;
}

static enum err see_session(void *ctx, const struct visit_session *s)
{
    struct look *l = ctx;

    assert_ok(buf_printf(&l->lines,
                         "session %.*s absent %" PRId64 " tail %" PRIu64
                         " id %d queued %u inflight %u subscriptions %zu\n",
                         STR_ARG(s->id), s->absent_s, s->tail, s->last_id, s->queued, s->inflight,
                         s->subscriptions));
    return counted(l);
}

static enum err see_subscription(void *ctx, const struct visit_session *s,
                                 const struct visit_subscription *sub)
{
    struct look *l = ctx;

    assert_ok(buf_printf(&l->lines, "subscription %.*s q%d %.*s%s\n", STR_ARG(s->id), sub->qos,
                         STR_ARG(sub->filter), sub->feed ? " feed" : ""));
    return counted(l);
}

static enum err see_row(void *ctx, const struct visit_session *s, const struct visit_row *row)
{
    struct look *l = ctx;
    const struct visit_message *m = row->message;

    assert_ok(buf_printf(&l->lines, "row %.*s %" PRIu64 " q%d%s state %d id %d", STR_ARG(s->id),
                         row->seq, row->qos, row->retain ? " retain" : "", row->state, row->id));
    if (m && m->away)
        assert_ok(buf_printf(&l->lines, " away %" PRIu64 "+%" PRIu32, m->position, m->bytes));
    else if (m)
        assert_ok(buf_printf(&l->lines, " %.*s=%.*s q%d", STR_ARG(m->topic), STR_ARG(m->payload),
                             m->qos));
    assert_ok(buf_add(&l->lines, "\n", 1));
    return counted(l);
}

static enum err see_inbound(void *ctx, const struct visit_session *s, uint16_t id)
{
    struct look *l = ctx;

    assert_ok(buf_printf(&l->lines, "inbound %.*s %d\n", STR_ARG(s->id), id));
    return counted(l);
}

static enum err see_retained(void *ctx, const struct visit_message *m)
{
    struct look *l = ctx;

    assert_false(m->away);
    assert_ok(buf_printf(&l->lines, "retained q%d %.*s=%.*s\n", m->qos, STR_ARG(m->topic),
                         STR_ARG(m->payload)));
    return counted(l);
}

static struct visitor visitor_of(struct look *l)
{
    return (struct visitor){.ctx = l,
                            .session = see_session,
                            .subscription = see_subscription,
                            .row = see_row,
                            .inbound = see_inbound,
                            .retained = see_retained};
}

static void assert_seen(const struct look *l, const char *lines)
{
    if (!str_eq_c(buf_str(&l->lines), lines))
        fail_msg("seen:\n%.*s\nwanted:\n%s", STR_ARG(buf_str(&l->lines)), lines);
}

static void assert_shows(struct look *l, const char *lines)
{
    struct visitor v = visitor_of(l);

    assert_ok(visit_all(l->b, &v));
    assert_seen(l, lines);
}

/* --- tests --- */

static void an_empty_store_shows_nothing(void **state)
{
    struct look l;

    (void)state;
    look_begin(&l, 1, 0);
    applied(&l);
    assert_shows(&l, "");
    look_end(&l);
}

/* A bit of everything. */
static void fill(struct look *l)
{
    client(l, 2, "zoe", ABSENT_S);
    client(l, 1, "adam", 0);
    subscribe(l, 2, "$share/g/x/#", QOS_1, false);
    subscribe(l, 1, "b/+", QOS_2, true);
    subscribe(l, 1, "a", QOS_0, false);
    apply(l);
    message(l, 1, "b/1", "one", QOS_2);
    queue(l, 1, 1, 1, QOS_2);
    queue(l, 2, 1, 1, QOS_1);
    apply(l);
    begin(l, 1, 1, 5);
    note(l, (struct record){.type = RECORD_RECEIVED, .session = 1, .seq = 1});
    message(l, 2, "b/2", "two", QOS_1);
    queue(l, 1, 2, 2, QOS_1);
    begin(l, 1, 2, 6);
    message(l, 3, "b/3", "three", QOS_1);
    queue(l, 1, 3, 3, QOS_1);
    apply(l);
    note(l, (struct record){.type = RECORD_IN_ADD, .session = 2, .id = 300});
    note(l, (struct record){.type = RECORD_IN_ADD, .session = 2, .id = 4});
    message(l, 4, "r/z", "last", QOS_0);
    note(l, (struct record){.type = RECORD_RETAIN, .number = 4});
    message(l, 5, "r/a", "first", QOS_1);
    note(l, (struct record){.type = RECORD_RETAIN, .number = 5});
    applied(l);
}

static const char everything[] =
    "session adam absent 0 tail 4 id 6 queued 1 inflight 2 subscriptions 2\n"
    "subscription adam q0 a\n"
    "subscription adam q2 b/+ feed\n"
    "row adam 1 q2 state 3 id 5\n"
    "row adam 2 q1 state 1 id 6 b/2=two q1\n"
    "row adam 3 q1 state 0 id 0 b/3=three q1\n"
    "session zoe absent 1700000000 tail 2 id 0 queued 1 inflight 0 subscriptions 1\n"
    "subscription zoe q1 $share/g/x/#\n"
    "row zoe 1 q1 state 0 id 0 b/1=one q2\n"
    "inbound zoe 4\n"
    "inbound zoe 300\n"
    "retained q1 r/a=first\n"
    "retained q0 r/z=last\n";

static void everything_is_shown_once_and_sorted(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed < 10; seed++) {
        struct look l;
        look_begin(&l, seed, 0);
        fill(&l);
        assert_shows(&l, everything);
        look_end(&l);
    }
}

static void one_client_is_shown_alone(void **state)
{
    struct look l;
    struct visitor v = visitor_of(&l);

    (void)state;
    look_begin(&l, 1, 0);
    fill(&l);
    assert_err(visit_client(l.b, STR("zo"), &v), ERR_NOT_FOUND);
    assert_seen(&l, "");
    assert_ok(visit_client(l.b, STR("zoe"), &v));
    assert_seen(&l,
                "session zoe absent 1700000000 tail 2 id 0 queued 1 inflight 0 subscriptions 1\n"
                "subscription zoe q1 $share/g/x/#\n"
                "row zoe 1 q1 state 0 id 0 b/1=one q2\n"
                "inbound zoe 4\n"
                "inbound zoe 300\n");
    look_end(&l);
}

/* A message that is not in memory is told by the place of its record. */
static void a_message_that_is_away_has_a_place(void **state)
{
    struct look l;
    char wanted[256];
    uint64_t place;
    uint32_t bytes;

    (void)state;
    look_begin(&l, 1, 1); /* one byte: no body stays */
    client(&l, 1, "c", ABSENT_S);
    place = l.position + l.records.len;
    message(&l, 1, "t", "payload", QOS_1);
    bytes = (uint32_t)(l.position + l.records.len - place);
    queue(&l, 1, 1, 1, QOS_1);
    applied(&l);
    (void)snprintf(wanted, sizeof(wanted),
                   "session c absent 1700000000 tail 2 id 0 queued 1 inflight 0 subscriptions 0\n"
                   "row c 1 q1 state 0 id 0 away %" PRIu64 "+%" PRIu32 "\n",
                   place, bytes);
    assert_shows(&l, wanted);
    look_end(&l);
}

static void finished_rows_are_not_shown(void **state)
{
    struct look l;

    (void)state;
    look_begin(&l, 1, 0);
    client(&l, 1, "c", ABSENT_S);
    for (uint64_t n = 1; n <= 3; n++) {
        message(&l, n, "t", "x", QOS_1);
        queue(&l, 1, n, n, QOS_1);
        begin(&l, 1, n, (uint16_t)n);
    }
    note(&l, (struct record){.type = RECORD_DONE, .session = 1, .seq = 2});
    applied(&l);
    assert_shows(&l, "session c absent 1700000000 tail 4 id 3 queued 0 inflight 2 subscriptions 0\n"
                     "row c 1 q1 state 1 id 1 t=x q1\n"
                     "row c 3 q1 state 1 id 3 t=x q1\n");
    look_end(&l);
}

static void what_is_not_asked_for_is_passed_over(void **state)
{
    struct look l;
    struct visitor none = {.ctx = &l};
    struct visitor retained = {.ctx = &l, .retained = see_retained};

    (void)state;
    look_begin(&l, 1, 0);
    fill(&l);
    assert_ok(visit_all(l.b, &none));
    assert_ok(visit_all(l.b, &retained));
    assert_seen(&l, "retained q1 r/a=first\nretained q0 r/z=last\n");
    look_end(&l);
}

/* Whichever call says no: nothing comes after it, and its error is the answer. */
static void any_call_ends_the_walk(void **state)
{
    (void)state;
    for (unsigned n = 1; n <= 13; n++) {
        struct look l;
        struct visitor v = visitor_of(&l);
        unsigned lines = 0;
        look_begin(&l, 1, 0);
        fill(&l);
        l.refuse = n;
        assert_err(visit_all(l.b, &v), ERR_FULL);
        for (size_t i = 0; i < l.lines.len; i++)
            lines += buf_begin(&l.lines)[i] == '\n';
        assert_int_equal(lines, n);
        look_end(&l);
    }
}

static void want_of_memory_is_told(void **state)
{
    struct look l;
    struct visitor v = {.ctx = &l};
    unsigned failures = 0;

    (void)state;
    unit_needs_tracking();
    look_begin(&l, 1, 0);
    fill(&l);
    v.subscription = see_subscription;
    v.retained = see_retained;
    assert_ok(buf_reserve(&l.lines, 4096));
    for (enum err e = ERR_NOMEM; e; failures++) {
        buf_drop(&l.lines, l.lines.len);
        mem_fail_after(failures, 0);
        e = visit_all(l.b, &v);
        mem_fail_never();
        if (e)
            assert_err(e, ERR_NOMEM);
    }
    assert_true(failures > 4);
    assert_seen(&l, "subscription adam q0 a\n"
                    "subscription adam q2 b/+ feed\n"
                    "subscription zoe q1 $share/g/x/#\n"
                    "retained q1 r/a=first\n"
                    "retained q0 r/z=last\n");
    look_end(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(an_empty_store_shows_nothing), UNIT_TEST(everything_is_shown_once_and_sorted),
        UNIT_TEST(one_client_is_shown_alone),    UNIT_TEST(a_message_that_is_away_has_a_place),
        UNIT_TEST(finished_rows_are_not_shown),  UNIT_TEST(what_is_not_asked_for_is_passed_over),
        UNIT_TEST(any_call_ends_the_walk),       UNIT_TEST(want_of_memory_is_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
