/*
 * The thread that checks passwords: answers reach those who asked, and few jobs are taken ahead.
 */
#include "server/worker.h"

#include "auth/realm.h"
#include "unit/rig.h"
#include "unit/unit.h"

#include <poll.h>
#include <string.h>

#define WAIT_MS 10000
#define CLIENTS 20

struct hall {
    struct rig r;
    struct realm realm;
    struct worker worker;
    struct rig_client clients[CLIENTS];
};

static void begin(struct hall *h)
{
    static const struct log quiet = {0};

    memset(h, 0, sizeof(*h));
    rig_setup(&h->r);
    h->realm.refs = 1;
    assert_ok(pwfile_parse(STR("ann:apple\n"), "users", &quiet, &h->realm.passwords));
    h->r.listener.realm = &h->realm;
    rig_start(&h->r);
    assert_ok(worker_start(&h->worker));
}

static void end(struct hall *h)
{
    worker_stop(&h->worker, h->r.b);
    for (size_t i = 0; i < CLIENTS; i++) {
        if (h->clients[i].rig)
            rig_forget(&h->clients[i]);
    }
    h->r.listener.realm = NULL; /* the rig's are its own */
    pwfile_unref(h->realm.passwords);
    rig_end(&h->r);
}

static void knock(struct hall *h, size_t i, const char *password)
{
    const struct packet_connect p = {.client_id = str_of(&"abcdefghijklmnopqrst"[i], 1),
                                     .level = PROTOCOL_311,
                                     .clean_session = true,
                                     .has_username = true,
                                     .username = STR("ann"),
                                     .has_password = true,
                                     .password = str_c(password)};

    assert_true(rig_open(&h->r, &h->clients[i]));
    rig_send_connect(&h->clients[i], &p);
}

static bool is_right(size_t i)
{
    return i % 3 != 0;
}

static void knock_all(struct hall *h)
{
    for (size_t i = 0; i < CLIENTS; i++)
        knock(h, i, is_right(i) ? "apple" : "banana");
    rig_settle(&h->r);
}

/* Until something was done. */
static void hear(struct hall *h)
{
    struct pollfd fd = {.fd = h->worker.event, .events = POLLIN};

    assert_int_equal(poll(&fd, 1, WAIT_MS), 1);
    worker_ready(&h->worker, h->r.b);
}

static void each_gets_its_own_answer(void **state)
{
    struct hall h;

    (void)state;
    begin(&h);
    knock_all(&h);
    worker_turn(&h.worker, h.r.b);
    while (h.worker.answered != h.worker.given) {
        hear(&h);
        worker_turn(&h.worker, h.r.b);
    }
    rig_settle(&h.r);
    assert_int_equal(h.worker.given, CLIENTS);
    for (size_t i = 0; i < CLIENTS; i++)
        rig_expect_connack(&h.clients[i], false,
                           is_right(i) ? CONNACK_ACCEPTED : CONNACK_NOT_AUTHORISED);
    end(&h);
}

static void few_are_taken_ahead(void **state)
{
    struct login_job job;
    struct hall h;

    (void)state;
    begin(&h);
    knock_all(&h);
    worker_turn(&h.worker, h.r.b);
    worker_turn(&h.worker, h.r.b);
    assert_int_equal(h.worker.given, WORKER_AHEAD); /* however many of them are done already */
    for (size_t i = 0; i < CLIENTS - 1; i++)
        rig_forget(&h.clients[i]);
    assert_true(broker_take_login(h.r.b, &job)); /* of those that wait with the core one is left */
    broker_login_done(h.r.b, &job, true);
    assert_false(broker_take_login(h.r.b, &job));
    while (h.worker.answered != h.worker.given)
        hear(&h);
    end(&h);
}

static void what_is_not_answered_is_given_back(void **state)
{
    struct hall h;

    (void)state;
    for (unsigned n = 0; n <= CLIENTS; n += 5) {
        begin(&h);
        for (size_t i = 0; i < n; i++)
            knock(&h, i, "apple");
        rig_settle(&h.r);
        worker_turn(&h.worker, h.r.b);
        end(&h); /* UNIT_TEST looks for what is left */
    }
}

static void one_that_was_not_started_is_stopped_already(void **state)
{
    struct worker w = {0};

    (void)state;
    worker_stop(&w, NULL);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        UNIT_TEST(each_gets_its_own_answer),
        UNIT_TEST(few_are_taken_ahead),
        UNIT_TEST(what_is_not_answered_is_given_back),
        UNIT_TEST(one_that_was_not_started_is_stopped_already),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
