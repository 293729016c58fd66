/*
 * Waiting for descriptors: what is reported, what is kept for the next turn, what is forgotten.
 */
#include "server/poll.h"

#include "unit.h"

#include <sys/socket.h>
#include <unistd.h>

#define PAIRS 3

struct rig {
    struct poll poll;
    struct watch watch[PAIRS];
    int peer[PAIRS];
};

static void rig_init(struct rig *r)
{
    assert_ok(poll_init(&r->poll));
    for (int i = 0; i < PAIRS; i++) {
        int fd[2];
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fd), 0);
        r->watch[i] = (struct watch){.fd = fd[0], .kind = (uint8_t)i};
        r->peer[i] = fd[1];
        assert_ok(poll_add(&r->poll, &r->watch[i], POLL_IN));
    }
}

static void rig_clear(struct rig *r)
{
    for (int i = 0; i < PAIRS; i++) {
        if (r->watch[i].fd >= 0)
            (void)close(r->watch[i].fd);
        if (r->peer[i] >= 0)
            (void)close(r->peer[i]);
    }
    poll_clear(&r->poll);
}

static void wake(const struct rig *r, int i)
{
    assert_int_equal(write(r->peer[i], "x", 1), 1);
}

static void calm(const struct rig *r, int i)
{
    char c;
    assert_int_equal(read(r->watch[i].fd, &c, 1), 1);
}

/* The only event, or NULL. */
static struct watch *only(struct rig *r, unsigned *events)
{
    struct watch *w = poll_next(&r->poll, events);
    assert_null(poll_next(&r->poll, events));
    return w;
}

static void what_is_ready_is_reported_until_it_is_read(void **state)
{
    (void)state;
    struct rig r;
    unsigned events = 0;
    rig_init(&r);
    poll_wait(&r.poll, 0);
    assert_null(only(&r, &events));
    wake(&r, 1);
    for (int turn = 0; turn < 2; turn++) {
        poll_wait(&r.poll, 1000);
        assert_ptr_equal(poll_next(&r.poll, &events), &r.watch[1]);
        assert_int_equal(events, POLL_IN);
        assert_null(poll_next(&r.poll, &events));
    }
    calm(&r, 1);
    poll_wait(&r.poll, 0);
    assert_null(only(&r, &events));
    rig_clear(&r);
}

static void the_rest_of_a_batch_comes_before_anything_new(void **state)
{
    (void)state;
    struct rig r;
    unsigned events;
    rig_init(&r);
    wake(&r, 0);
    wake(&r, 1);
    poll_wait(&r.poll, 1000);
    struct watch *first = poll_next(&r.poll, &events);
    assert_true(poll_pending(&r.poll));
    wake(&r, 2);
    poll_wait(&r.poll, 1000);
    struct watch *second = poll_next(&r.poll, &events);
    assert_ptr_not_equal(first, second);
    assert_int_not_equal(second->kind, 2);
    assert_null(poll_next(&r.poll, &events));
    rig_clear(&r);
}

static void closed_watches_are_skipped_and_forgotten(void **state)
{
    (void)state;
    struct rig r;
    unsigned events;
    rig_init(&r);
    for (int i = 0; i < PAIRS; i++)
        wake(&r, i);
    poll_wait(&r.poll, 1000);
    struct watch *first = poll_next(&r.poll, &events);
    int left = 0;
    for (int i = 0; i < PAIRS; i++)
        left += &r.watch[i] == first ? 0 : i;
    /* One of the two that are left is closed; its memory may go after poll_drop_closed. */
    int gone = first == &r.watch[0] ? 1 : 0;
    (void)close(r.watch[gone].fd);
    r.watch[gone].fd = -1;
    assert_true(poll_pending(&r.poll));
    poll_drop_closed(&r.poll);
    r.watch[gone] = (struct watch){.fd = 1, .kind = 99};
    struct watch *second = poll_next(&r.poll, &events);
    assert_int_equal(second->kind, left - gone);
    assert_null(poll_next(&r.poll, &events));
    r.watch[gone].fd = -1;
    rig_clear(&r);
}

static void a_watch_closed_in_the_same_turn_is_skipped(void **state)
{
    (void)state;
    struct rig r;
    unsigned events;
    rig_init(&r);
    wake(&r, 0);
    wake(&r, 1);
    poll_wait(&r.poll, 1000);
    struct watch *first = poll_next(&r.poll, &events);
    int other = first == &r.watch[0] ? 1 : 0;
    (void)close(r.watch[other].fd);
    r.watch[other].fd = -1;
    assert_null(poll_next(&r.poll, &events));
    rig_clear(&r);
}

/* --- a crowd, and somebody who is connected --- */

#define CROWD (3 * POLL_PATIENT)

struct crowd {
    struct poll poll;
    struct watch watch[CROWD + 1]; /* the last one is none of them */
    int peer[CROWD + 1];
    unsigned served[CROWD + 1];
};

static void crowd_init(struct crowd *c)
{
    *c = (struct crowd){0};
    assert_ok(poll_init(&c->poll));
    for (int i = 0; i <= CROWD; i++) {
        int fd[2];
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fd), 0);
        c->watch[i] = (struct watch){.fd = fd[0], .kind = (uint8_t)i};
        c->peer[i] = fd[1];
        assert_ok(poll_add(&c->poll, &c->watch[i], POLL_IN));
    }
}

static void crowd_clear(struct crowd *c)
{
    for (int i = 0; i <= CROWD; i++) {
        (void)close(c->watch[i].fd);
        if (c->peer[i] >= 0)
            (void)close(c->peer[i]);
    }
    poll_clear(&c->poll);
}

/* How many of the crowd are served in a turn; the last one is served in each. */
static int served_in_a_turn(struct crowd *c)
{
    int n = 0;
    unsigned events;
    struct watch *w;
    unsigned last = c->served[CROWD];
    poll_wait(&c->poll, 1000);
    while ((w = poll_next(&c->poll, &events)) != NULL) {
        assert_true(events & POLL_IN);
        c->served[w->kind]++;
        n += w->kind != CROWD;
    }
    assert_int_equal(c->served[CROWD], last + 1);
    return n;
}

static void newcomers_do_not_keep_others_waiting(void **state)
{
    (void)state;
    struct crowd c;
    crowd_init(&c);
    for (int i = 0; i <= CROWD; i++) {
        c.watch[i].newcomer = i < CROWD;
        assert_int_equal(write(c.peer[i], "x", 1), 1);
    }
    /* Nobody reads: whoever has been served stays ready, and keeps no newcomer waiting either. */
    for (int turn = 1; turn <= 3; turn++)
        assert_int_equal(served_in_a_turn(&c), turn * POLL_PATIENT);
    assert_int_equal(served_in_a_turn(&c), CROWD);
    crowd_clear(&c);
}

static void nor_do_those_that_hang_up(void **state)
{
    (void)state;
    struct crowd c;
    crowd_init(&c);
    for (int i = 0; i < CROWD; i++) {
        (void)close(c.peer[i]);
        c.peer[i] = -1;
    }
    assert_int_equal(write(c.peer[CROWD], "x", 1), 1);
    for (int turn = 0; turn < 3; turn++) {
        assert_int_equal(served_in_a_turn(&c), POLL_PATIENT);
        for (int i = 0; i < CROWD; i++) {
            if (c.served[i] > 0 && c.watch[i].fd >= 0) {
                (void)close(c.watch[i].fd);
                c.watch[i].fd = -1;
            }
        }
    }
    assert_int_equal(served_in_a_turn(&c), 0);
    crowd_clear(&c);
}

static void interest_can_change(void **state)
{
    (void)state;
    struct rig r;
    unsigned events = 0;
    rig_init(&r);
    assert_ok(poll_change(&r.poll, &r.watch[0], POLL_IN | POLL_OUT));
    poll_wait(&r.poll, 1000);
    assert_ptr_equal(only(&r, &events), &r.watch[0]);
    assert_ok(poll_change(&r.poll, &r.watch[0], POLL_NOTHING));
    wake(&r, 0);
    poll_wait(&r.poll, 0);
    assert_null(only(&r, &events));
    /* A peer that is gone is reported even to who asks for nothing. */
    (void)close(r.peer[0]);
    r.peer[0] = -1;
    poll_wait(&r.poll, 1000);
    assert_ptr_equal(poll_next(&r.poll, &events), &r.watch[0]);
    assert_int_equal(events, POLL_ERROR);
    rig_clear(&r);
}

static void nothing_changes_without_a_call(void **state)
{
    (void)state;
    struct rig r;
    rig_init(&r);
    int fd = r.watch[0].fd;
    /* No call is made: with this descriptor it would fail. */
    r.watch[0].fd = -1;
    assert_ok(poll_change(&r.poll, &r.watch[0], POLL_IN));
    assert_err(poll_change(&r.poll, &r.watch[0], POLL_OUT), ERR_SYSTEM);
    assert_int_equal(r.watch[0].interest, POLL_IN);
    r.watch[0].fd = fd;
    rig_clear(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(what_is_ready_is_reported_until_it_is_read),
        UNIT_TEST(the_rest_of_a_batch_comes_before_anything_new),
        UNIT_TEST(closed_watches_are_skipped_and_forgotten),
        UNIT_TEST(a_watch_closed_in_the_same_turn_is_skipped),
        UNIT_TEST(newcomers_do_not_keep_others_waiting),
        UNIT_TEST(nor_do_those_that_hang_up),
        UNIT_TEST(interest_can_change),
        UNIT_TEST(nothing_changes_without_a_call),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
