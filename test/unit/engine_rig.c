/*
 * The broker's side of an engine, by hand.
 */
#include "unit/engine_rig.h"

#include "unit/unit.h"

#include <string.h>

struct engine_rig engine_rig;

static void sink(void *ctx, enum log_level level, struct str line, const struct log_about *about)
{
    struct engine_rig *r = ctx;

    (void)about;
    if (level != LOG_LEVEL_DEBUG || r->lines_n + line.n + 2 > sizeof(r->lines))
        return;
    memcpy(r->lines + r->lines_n, line.p, line.n);
    r->lines_n += line.n;
    r->lines[r->lines_n++] = '\n';
    r->lines[r->lines_n] = '\0';
}

void engine_rig_begin(struct engine_rig *r)
{
    r->log = (struct log){.mask = LOG_LEVEL_ALL, .sink = sink, .ctx = r};
    r->lines_n = 0;
    r->lines[0] = '\0';
    r->out_n = 0;
    r->now = 1000;
    r->e = engine_new(&r->log);
    assert_non_null(r->e);
}

void engine_rig_end(struct engine_rig *r)
{
    engine_free(r->e);
    r->e = NULL;
}

void engine_rig_write_some(struct engine_rig *r, size_t n)
{
    struct iovec iov[3];

    while (n > 0) {
        int count = engine_iovec(r->e, iov, 3);
        assert_in_range(count, 0, 3);
        size_t taken = 0;
        for (int i = 0; i < count && n > 0; i++) {
            size_t part = iov[i].iov_len < n ? iov[i].iov_len : n;
            assert_true(part > 0 && r->out_n + part <= sizeof(r->out));
            memcpy(r->out + r->out_n, iov[i].iov_base, part);
            r->out_n += part;
            taken += part;
            n -= part;
        }
        if (taken == 0)
            return;
        engine_written(r->e, taken, r->now);
    }
}

void engine_rig_write(struct engine_rig *r)
{
    engine_rig_write_some(r, SIZE_MAX);
}

static void show(const char *what, const uint8_t *p, size_t n)
{
    print_error("%s:", what);
    for (size_t i = 0; i < n && i < 200; i++)
        print_error(" %02x", p[i]);
    print_error("\n");
}

void engine_rig_sent(struct engine_rig *r, const void *p, size_t n, int line)
{
    engine_rig_write(r);
    if (r->out_n != n || (n > 0 && memcmp(r->out, p, n) != 0)) {
        show("wanted", p, n);
        show("sent", r->out, r->out_n);
        fail_msg("line %d: other bytes were sent", line);
    }
    r->out_n = 0;
}

void engine_rig_feed(struct engine_rig *r, const void *p, size_t n)
{
    const uint8_t *at = p;

    while (n > 0) {
        size_t room = 0;
        uint8_t *to = engine_room(r->e, &room);
        assert_non_null(to);
        assert_true(room > 0);
        size_t part = room < n ? room : n;
        memcpy(to, at, part);
        engine_filled(r->e, part, r->now);
        at += part;
        n -= part;
    }
}

void engine_rig_expect(struct engine_rig *r, enum engine_kind kind, int line)
{
    enum err e = engine_next(r->e, &r->ev);

    if (e != ERR_OK)
        fail_msg("line %d: no event but %s (%s)", line, err_word(e), engine_why(r->e));
    if (r->ev.kind != kind)
        fail_msg("line %d: event %d instead of %d", line, (int)r->ev.kind, (int)kind);
}

void engine_rig_take(struct engine_rig *r, enum engine_kind kind, int line)
{
    engine_rig_expect(r, kind, line);
    assert_ok(engine_settle(r->e, &r->ev));
}

void engine_rig_quiet(struct engine_rig *r, int line)
{
    struct engine_event ev = {0};
    enum err e = engine_next(r->e, &ev);

    if (e == ERR_OK)
        fail_msg("line %d: an event %d that nobody expects", line, (int)ev.kind);
    if (e != ERR_AGAIN)
        fail_msg("line %d: %s (%s)", line, err_word(e), engine_why(r->e));
}

enum err engine_rig_drain(struct engine_rig *r, unsigned *events)
{
    enum err e;

    *events = 0;
    while ((e = engine_next(r->e, &r->ev)) == ERR_OK) {
        ++*events;
        e = engine_settle(r->e, &r->ev);
        if (e != ERR_OK)
            return e;
    }
    return e;
}

void engine_rig_hello(struct engine_rig *r, bool clean)
{
    const struct packet_connect p = {
        .client_id = STR("c"), .level = PROTOCOL_311, .clean_session = clean};

    assert_ok(engine_connect(r->e, &p, r->now));
    engine_rig_write(r);
    assert_true(r->out_n >= 15);
    assert_int_equal(r->out[0], 0x10);
    memmove(r->out, r->out + 15, r->out_n - 15);
    r->out_n -= 15;
}

void engine_rig_online(struct engine_rig *r, bool clean, bool present)
{
    const uint8_t connack[] = {0x20, 2, present, 0};

    engine_rig_hello(r, clean);
    engine_rig_feed(r, connack, sizeof(connack));
    TAKE(r, ENGINE_CONNACK);
    assert_int_equal(r->ev.code, 0);
    assert_int_equal(r->ev.session_present, present);
    assert_int_equal(engine_state(r->e), ENGINE_CONNECTED);
}
