/*
 * SOCKS5 as pure bytes: what we say, and what comes of what a proxy says, wherever its bytes are
 * cut.
 */
#include "net/socks5.h"

#include "unit.h"

#include <string.h>

#define HOST "broker.example"
#define TO_HOST "\x05\x01\x00\x03\x0e" HOST "\x07\x5b"
#define CONNECTED "\x05\x00\x00\x01\x7f\x00\x00\x01\x12\x34"

/* One side speaks, then the other. A string with its length, as there may be zeros in it. */
struct line {
    struct str ours, theirs;
};
#define LINES_MAX 4

static struct str text_or_null(const char *z)
{
    return z ? str_c(z) : (struct str){0};
}

static void begin(struct socks5 *s, const char *host, const char *username, const char *password)
{
    assert_ok(socks5_begin(s, str_c(host), 1883, text_or_null(username), text_or_null(password)));
}

/* All that is to be written is this. */
static void said(struct socks5 *s, struct str ours)
{
    assert_int_equal(s->out_len - s->out_at, ours.n);
    assert_memory_equal(s->out + s->out_at, ours.p, ours.n);
    s->out_at = s->out_len;
}

/* The proxy says this in pieces of `size` bytes; what it says behind the handshake is left over. */
static enum err hears(struct socks5 *s, struct str theirs, size_t size, size_t *left)
{
    enum err e = ERR_AGAIN;
    size_t at = 0;
    while (e == ERR_AGAIN && at < theirs.n) {
        size_t n = theirs.n - at < size ? theirs.n - at : size;
        size_t used = SIZE_MAX;
        e = socks5_step(s, (const uint8_t *)theirs.p + at, n, &used);
        assert_true(used <= n);
        assert_true(e != ERR_AGAIN || used == n);
        at += used;
    }
    *left = theirs.n - at;
    return e;
}

/* In pieces of every size. */
static void talks(const char *host, const char *username, const char *password,
                  const struct line lines[LINES_MAX], enum err expected)
{
    for (size_t size = 1; size <= SOCKS5_IN_MAX; size++) {
        struct socks5 s;
        enum err e = ERR_AGAIN;
        begin(&s, host, username, password);
        for (int i = 0; i < LINES_MAX && lines[i].ours.n > 0; i++) {
            size_t left;
            assert_err(e, ERR_AGAIN);
            said(&s, lines[i].ours);
            e = hears(&s, lines[i].theirs, size, &left);
            assert_int_equal(left, 0);
        }
        assert_err(e, expected);
        assert_int_equal(s.out_at, s.out_len);
    }
}

static void connects(void **state)
{
    (void)state;
    const struct line lines[LINES_MAX] = {
        {STR("\x05\x01\x00"), STR("\x05\x00")},
        {STR(TO_HOST), STR(CONNECTED)},
    };
    talks(HOST, NULL, NULL, lines, ERR_OK);
}

static void logs_in(void **state)
{
    (void)state;
    const struct line named[LINES_MAX] = {
        {STR("\x05\x02\x00\x02"), STR("\x05\x02")},
        {STR("\x01\x04user\x06secret"), STR("\x01\x00")},
        {STR(TO_HOST), STR(CONNECTED)},
    };
    const struct line not_needed[LINES_MAX] = {
        {STR("\x05\x02\x00\x02"), STR("\x05\x00")},
        {STR(TO_HOST), STR(CONNECTED)},
    };
    const struct line no_password[LINES_MAX] = {
        {STR("\x05\x02\x00\x02"), STR("\x05\x02")},
        {STR("\x01\x04user\x00"), STR("\x01\x00")},
        {STR(TO_HOST), STR(CONNECTED)},
    };
    talks(HOST, "user", "secret", named, ERR_OK);
    talks(HOST, "user", "secret", not_needed, ERR_OK);
    talks(HOST, "user", NULL, no_password, ERR_OK);
    talks(HOST, "user", "", no_password, ERR_OK);
}

static void kinds_of_hosts(void **state)
{
    (void)state;
    const struct {
        const char *host;
        struct str request;
    } cases[] = {
        {"10.1.2.3", STR("\x05\x01\x00\x01\x0a\x01\x02\x03\x07\x5b")},
        {"2001:db8::1", STR("\x05\x01\x00\x04\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01\x07\x5b")},
        {"10.1.2.3.4", STR("\x05\x01\x00\x03\x0a"
                           "10.1.2.3.4\x07\x5b")},
        {"a", STR("\x05\x01\x00\x03\x01"
                  "a\x07\x5b")},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        const struct line lines[LINES_MAX] = {
            {STR("\x05\x01\x00"), STR("\x05\x00")},
            {cases[i].request, STR(CONNECTED)},
        };
        talks(cases[i].host, NULL, NULL, lines, ERR_OK);
    }
}

static void kinds_of_answers(void **state)
{
    (void)state;
    char longest[SOCKS5_IN_MAX] = "\x05\x00\x00\x03\xff";
    const struct str answers[] = {
        STR("\x05\x00\x00\x01\0\0\0\0\0\0"),
        STR("\x05\x00\x00\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"),
        STR("\x05\x00\x00\x03\x00\x07\x5b"),
        STR("\x05\x00\x00\x03\x03"
            "abc\x07\x5b"),
        str_of(longest, sizeof(longest)),
    };
    for (size_t i = 0; i < ARRAY_SIZE(answers); i++) {
        const struct line lines[LINES_MAX] = {
            {STR("\x05\x01\x00"), STR("\x05\x00")},
            {STR(TO_HOST), answers[i]},
        };
        talks(HOST, NULL, NULL, lines, ERR_OK);
    }
}

/* What follows the handshake belongs to whoever is behind the proxy. */
static void takes_no_byte_too_many(void **state)
{
    (void)state;
    struct socks5 s;
    size_t left;
    begin(&s, HOST, NULL, NULL);
    said(&s, STR("\x05\x01\x00"));
    assert_err(hears(&s, STR("\x05\x00"), 2, &left), ERR_AGAIN);
    said(&s, STR(TO_HOST));
    assert_ok(hears(&s, STR(CONNECTED "\x20\x02\x00\x00"), 100, &left));
    assert_int_equal(left, 4);
    size_t used = SIZE_MAX;
    assert_ok(socks5_step(&s, (const uint8_t *)"\x20", 1, &used)); /* it stays so */
    assert_int_equal(used, 0);
}

/* The first of what it says is judged as soon as it is there, though the rest never comes. */
static void refusals(void **state)
{
    (void)state;
    static const struct {
        uint8_t code;
        enum err e;
        const char *why;
    } cases[] = {
        {1, ERR_PROTOCOL, "the proxy has failed, and does not say how"},
        {2, ERR_DENIED, "the proxy's rules do not allow this host and port"},
        {3, ERR_NOT_FOUND, "the proxy cannot reach the host's network"},
        {4, ERR_NOT_FOUND, "the proxy cannot find or reach the host"},
        {5, ERR_NOT_FOUND, "the proxy says that the host refuses the connection"},
        {6, ERR_NOT_FOUND, "the proxy says that the host is too far away, or silent"},
        {7, ERR_PROTOCOL, "the proxy does not connect anybody"},
        {8, ERR_NOT_FOUND, "the proxy does not know addresses of this kind"},
        {9, ERR_PROTOCOL, "the proxy refuses for a reason that nobody knows"},
        {255, ERR_PROTOCOL, "the proxy refuses for a reason that nobody knows"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        const char verdict[2] = {5, (char)cases[i].code};
        struct socks5 s;
        size_t left;
        size_t used;
        begin(&s, HOST, NULL, NULL);
        said(&s, STR("\x05\x01\x00"));
        assert_err(hears(&s, STR("\x05\x00"), 1, &left), ERR_AGAIN);
        said(&s, STR(TO_HOST));
        assert_err(hears(&s, str_of(verdict, 2), 1, &left), cases[i].e);
        assert_string_equal(s.why, cases[i].why);
        assert_err(socks5_step(&s, (const uint8_t *)"\x05", 1, &used), ERR_PROTOCOL);
        assert_int_equal(used, 0);
    }
}

static void logins_that_fail(void **state)
{
    (void)state;
    static const char other[] = "the proxy wants a login that was not offered";
    static const char no_proxy[] = "what answers is no SOCKS5 proxy";
    const struct {
        const char *username;
        struct str method, login;
        enum err e;
        const char *why;
    } cases[] = {
        {NULL, STR("\x05\xff"), STR(""), ERR_DENIED,
         "the proxy wants a user name, or a login of another kind"},
        {"u", STR("\x05\xff"), STR(""), ERR_DENIED,
         "the proxy does not log in by user name and password"},
        {NULL, STR("\x05\x02"), STR(""), ERR_PROTOCOL, other},
        {"u", STR("\x05\x01"), STR(""), ERR_PROTOCOL, other},
        {"u", STR("\x05\x02"), STR("\x01\x01"), ERR_DENIED,
         "the proxy does not take this user name and password"},
        {"u", STR("\x05\x02"), STR("\x05\x00"), ERR_PROTOCOL, no_proxy},
        {"u", STR("\x04\x00"), STR(""), ERR_PROTOCOL, no_proxy},
        {NULL, STR("HTTP/1.1 400 Bad Request"), STR(""), ERR_PROTOCOL, no_proxy},
        {NULL, STR("\x20\x02\x00\x00"), STR(""), ERR_PROTOCOL, no_proxy},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct socks5 s;
        size_t left;
        begin(&s, HOST, cases[i].username, "p");
        s.out_at = s.out_len;
        enum err e = hears(&s, cases[i].method, 1, &left);
        if (cases[i].login.n > 0) {
            assert_err(e, ERR_AGAIN);
            said(&s, STR("\x01\x01u\x01p"));
            e = hears(&s, cases[i].login, 1, &left);
        }
        assert_err(e, cases[i].e);
        assert_string_equal(s.why, cases[i].why);
    }
}

static void answers_that_make_no_sense(void **state)
{
    (void)state;
    const struct str answers[] = {
        STR("\x04\x00"), STR("\x05\x00\x00\x02\x00"), /* no such kind of address */
    };
    for (size_t i = 0; i < ARRAY_SIZE(answers); i++) {
        const struct line lines[LINES_MAX] = {
            {STR("\x05\x01\x00"), STR("\x05\x00")},
            {STR(TO_HOST), answers[i]},
        };
        talks(HOST, NULL, NULL, lines, ERR_PROTOCOL);
    }
}

/* A proxy that has all answers ready before the questions is not listening. */
static void answers_before_the_question(void **state)
{
    (void)state;
    struct socks5 s;
    size_t left;
    begin(&s, HOST, NULL, NULL);
    assert_err(hears(&s, STR("\x05\x00"), 2, &left), ERR_PROTOCOL);
    begin(&s, HOST, NULL, NULL);
    said(&s, STR("\x05\x01\x00"));
    assert_err(hears(&s, STR("\x05\x00" CONNECTED), 100, &left), ERR_PROTOCOL);
    assert_int_equal(left, sizeof(CONNECTED) - 1);
}

static void what_does_not_fit(void **state)
{
    (void)state;
    struct socks5 s;
    char text[SOCKS5_HOST_MAX + 1];
    memset(text, 'a', sizeof(text));
    const struct str fits = str_of(text, SOCKS5_HOST_MAX);
    const struct str not = str_of(text, SOCKS5_HOST_MAX + 1);
    const struct str none = {0};
    const struct str host = STR(HOST);
    assert_err(socks5_begin(&s, none, 1883, none, none), ERR_INVAL);
    assert_err(socks5_begin(&s, not, 1883, none, none), ERR_INVAL);
    assert_err(socks5_begin(&s, host, 1883, not, host), ERR_INVAL);
    assert_err(socks5_begin(&s, host, 1883, host, not ), ERR_INVAL);
    assert_err(socks5_begin(&s, host, 1883, STR(""), host), ERR_INVAL);
    size_t left;
    assert_ok(socks5_begin(&s, fits, 1883, fits, fits));
    said(&s, STR("\x05\x02\x00\x02"));
    assert_err(hears(&s, STR("\x05\x02"), 2, &left), ERR_AGAIN);
    assert_int_equal(s.out_len, 3 + 2 * SOCKS5_HOST_MAX);
    s.out_at = s.out_len;
    assert_err(hears(&s, STR("\x01\x00"), 2, &left), ERR_AGAIN);
    assert_int_equal(s.out_len, 7 + SOCKS5_HOST_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(connects),
        UNIT_TEST(logs_in),
        UNIT_TEST(kinds_of_hosts),
        UNIT_TEST(kinds_of_answers),
        UNIT_TEST(takes_no_byte_too_many),
        UNIT_TEST(refusals),
        UNIT_TEST(logins_that_fail),
        UNIT_TEST(answers_that_make_no_sense),
        UNIT_TEST(answers_before_the_question),
        UNIT_TEST(what_does_not_fit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
