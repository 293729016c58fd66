/*
 * How a connection is named in the log. Its life is in test_broker.c.
 */
#include "core/conn.h"

#include "core/session.h"
#include "unit.h"

#include <stdlib.h>
#include <string.h>

struct address {
    struct peer peer;
    const char *text;
};

static struct conf_listener at_a_path = {.address = "/run/a b[1]"};

static const struct address addresses[] = {
    {{.family = 4, .ip = {127, 0, 0, 1}}, "127.0.0.1"},
    {{.family = 4, .ip = {255, 255, 255, 255, 9, 9}}, "255.255.255.255"},
    {{.family = 6, .ip = {[15] = 1}}, "::1"},
    {{.family = 6,
      .ip = {0x20, 0x01, 0x0d, 0xb8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
             0xff, 0xff}},
     "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff"},
    {{.family = 0}, "local"},
    {{.family = 0, .listener = &at_a_path}, "/run/a b\\x5b1\\x5d"},
};

static void addresses_are_written_as_text(void **state)
{
    char out[PEER_TEXT_MAX];

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(addresses); i++) {
        assert_ptr_equal(peer_address(&addresses[i].peer, out), out);
        assert_string_equal(out, addresses[i].text);
    }
}

static struct session *session_named(struct str id)
{
    struct session *s = calloc(1, sizeof(*s) + id.n);

    assert_non_null(s);
    s->id_len = (uint16_t)id.n;
    memcpy(s->id, id.p, id.n);
    return s;
}

static void the_log_has_the_id_escaped_and_cut(void **state)
{
    static char long_id[1000];
    struct conn c = {0};
    char out[CONN_NAME_MAX];

    (void)state;
    assert_string_equal(conn_name(&c, out), "<unknown>");
    c.session = session_named(STR("a\nb\x1b[2J"));
    assert_string_equal(conn_name(&c, out), "a\\x0ab\\x1b\\x5b2J");
    free(c.session);
    memset(long_id, 'x', sizeof(long_id));
    c.session = session_named(str_of(long_id, sizeof(long_id)));
    conn_name(&c, out);
    assert_true(strlen(out) < CONN_NAME_MAX);
    assert_string_equal(out + strlen(out) - 3, "...");
    free(c.session);
}

static void a_login_is_kept_in_one_block(void **state)
{
    struct packet_connect p = {.username = STR("someone"), .has_username = true};
    struct conn c = {.login = NULL};
    size_t used = mem_used();

    (void)state;
    unit_needs_tracking();
    assert_int_equal(conn_keep_login(&c, &(struct packet_connect){.username = STR("")}), ERR_OK);
    assert_null(c.login);
    mem_fail_after(0, false);
    assert_int_equal(conn_keep_login(&c, &p), ERR_NOMEM);
    mem_fail_never();
    assert_null(c.login);
    assert_int_equal(conn_keep_login(&c, &p), ERR_OK);
    assert_true(str_eq(conn_party(&c).user, STR("someone")));
    assert_int_equal(conn_party(&c).client.n, 0);
    assert_ptr_equal(conn_party(&c).peer, &c.peer);
    conn_drop_login(&c);
    conn_drop_login(&c);
    assert_int_equal(mem_used(), used);
}

static void the_link_is_given_back(void **state)
{
    int link;
    struct conn c = {.link = &link};

    (void)state;
    assert_ptr_equal(conn_link(&c), &link);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        UNIT_TEST(addresses_are_written_as_text),
        UNIT_TEST(the_log_has_the_id_escaped_and_cut),
        UNIT_TEST(a_login_is_kept_in_one_block),
        UNIT_TEST(the_link_is_given_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
