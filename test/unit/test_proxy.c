/*
 * PROXY headers: what each says, byte by byte, and what is not believed.
 */
#include "server/proxy.h"

#include "unit.h"

#include <stdio.h>
#include <string.h>

#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"
#define BYTES(s) (const uint8_t *)(s), sizeof(s) - 1

static enum err parse(const uint8_t *p, size_t n, struct proxy_header *h)
{
    size_t length = SIZE_MAX;
    enum err e = proxy_parse(CONF_PROXY_ANY, p, n, h, &length);
    if (e == ERR_OK)
        assert_int_equal(length, n);
    return e;
}

/* All of it is wanted, nothing less will do, and what follows is left alone. */
static void assert_whole(const uint8_t *p, size_t n, struct proxy_header *h)
{
    uint8_t more[8192];
    struct proxy_header other;
    size_t length = 0;
    for (size_t i = 0; i < n; i++) {
        /* In memory of its own, where a sanitizer sees each byte too far. */
        uint8_t *part = mem_alloc(i);
        memcpy(part, p, i);
        assert_err(proxy_parse(CONF_PROXY_ANY, part, i, &other, &length), ERR_AGAIN);
        mem_free(part, i);
    }
    assert_ok(parse(p, n, h));
    memcpy(more, p, n);
    memset(more + n, 0x10, 100);
    assert_ok(proxy_parse(CONF_PROXY_ANY, more, n + 100, &other, &length));
    assert_int_equal(length, n);
    assert_int_equal(other.own, h->own);
    assert_int_equal(other.tls, h->tls);
    assert_int_equal(other.family, h->family);
    assert_int_equal(other.port, h->port);
    assert_memory_equal(other.ip, h->ip, sizeof(other.ip));
}

static void a_line_names_an_ipv4_address(void **state)
{
    (void)state;
    struct proxy_header h;
    assert_whole(BYTES("PROXY TCP4 192.0.2.1 198.51.100.7 50123 1883\r\n"), &h);
    assert_false(h.own);
    assert_int_equal(h.family, 4);
    assert_int_equal(h.port, 50123);
    assert_memory_equal(h.ip, "\xc0\x00\x02\x01\0\0\0\0\0\0\0\0\0\0\0\0", 16);
}

static void a_line_names_an_ipv6_address(void **state)
{
    (void)state;
    struct proxy_header h;
    assert_whole(BYTES("PROXY TCP6 2001:db8::5 ::1 65535 0\r\n"), &h);
    assert_int_equal(h.family, 6);
    assert_int_equal(h.port, 65535);
    assert_memory_equal(h.ip, "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x05", 16);
    assert_whole(BYTES("PROXY TCP6 ::ffff:192.0.2.1 ::1 1 2\r\n"), &h);
    assert_int_equal(h.family, 4);
    assert_memory_equal(h.ip, "\xc0\x00\x02\x01\0\0\0\0\0\0\0\0\0\0\0\0", 16);
}

static void a_proxy_may_not_know(void **state)
{
    (void)state;
    struct proxy_header h;
    assert_whole(BYTES("PROXY UNKNOWN\r\n"), &h);
    assert_true(h.own);
    assert_whole(BYTES("PROXY UNKNOWN ffff:: whatever it says 1 2\r\n"), &h);
    assert_true(h.own);
}

static void lines_that_are_not_believed(void **state)
{
    (void)state;
    static const char *const lines[] = {
        "PROXY\r\n",
        "PROXY \r\n",
        "PROXY  TCP4 192.0.2.1 192.0.2.2 1 2\r\n",
        "PROXY TCP4  192.0.2.1 192.0.2.2 1 2\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 1 2 \r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 1 2 3\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 1\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 1 \r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2\r\n",
        "PROXY TCP4\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\n",
        "PROXY TCP4 192.0.2.256 192.0.2.2 1 2\r\n",
        "PROXY TCP4 192.0.2.1 nobody 1 2\r\n",
        "PROXY TCP4 192.0.2.01 192.0.2.2 1 2\r\n",
        "PROXY TCP4 ::1 ::1 1 2\r\n",
        "PROXY TCP6 192.0.2.1 192.0.2.2 1 2\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 65536 2\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 99999 2\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 1 65536\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 01 2\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 -1 2\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 +1 2\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 1 2x\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 1 000000000002\r\n",
        "PROXY TCP5 192.0.2.1 192.0.2.2 1 2\r\n",
        "PROXY tcp4 192.0.2.1 192.0.2.2 1 2\r\n",
        "PROXY UNKNOWNS\r\n",
        "PROXY UDP4 192.0.2.1 192.0.2.2 1 2\r\n",
        "PROXY TCP6 0000:0000:0000:0000:0000:0000:0000:0000:0000:0001 ::1 1 2\r\n",
        "proxy TCP4 192.0.2.1 192.0.2.2 1 2\r\n",
        "GET / HTTP/1.1\r\n",
        "\r\nPROXY UNKNOWN\r\n",
        "\n",
    };
    struct proxy_header h;
    for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
        if (parse((const uint8_t *)lines[i], strlen(lines[i]), &h) != ERR_MALFORMED)
            fail_msg("believed: %s", lines[i]);
    }
    assert_err(parse(BYTES("PROXY TCP4 192.0.2.1\0 192.0.2.2 1 2\r\n"), &h), ERR_MALFORMED);
}

static void a_line_has_107_bytes_at_most(void **state)
{
    (void)state;
    struct proxy_header h;
    char line[PROXY_V1_MAX + 2];
    memset(line, 'x', sizeof(line));
    memcpy(line, "PROXY UNKNOWN ", 14);
    assert_err(parse((uint8_t *)line, PROXY_V1_MAX - 1, &h), ERR_AGAIN);
    assert_err(parse((uint8_t *)line, PROXY_V1_MAX, &h), ERR_TOO_LARGE);
    line[PROXY_V1_MAX - 2] = '\r';
    line[PROXY_V1_MAX - 1] = '\n';
    assert_whole((uint8_t *)line, PROXY_V1_MAX, &h);
    memmove(line + PROXY_V1_MAX - 1, "\r\n", 2);
    line[PROXY_V1_MAX - 2] = 'x';
    assert_err(parse((uint8_t *)line, PROXY_V1_MAX + 1, &h), ERR_TOO_LARGE);
}

static void other_bytes_are_refused_at_once(void **state)
{
    (void)state;
    struct proxy_header h;
    assert_err(parse(BYTES("\x10"), &h), ERR_MALFORMED);
    assert_err(parse(BYTES("PX"), &h), ERR_MALFORMED);
    assert_err(parse(BYTES("\r\n\r\n\r"), &h), ERR_MALFORMED);
    assert_err(parse(BYTES("\x16\x03\x01"), &h), ERR_MALFORMED);
}

#define V2_TCP4 SIGNATURE "\x21\x11\x00\x0c"
#define ENDS_4 "\xc0\x00\x02\x01\xc6\x33\x64\x07\xc3\xcb\x07\x5b"
#define ENDS_6                                                                                     \
    "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x05\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\xc3\xcb\x07\x5b"

static void a_binary_header_names_an_address(void **state)
{
    (void)state;
    struct proxy_header h;
    assert_whole(BYTES(V2_TCP4 ENDS_4), &h);
    assert_false(h.own);
    assert_false(h.tls);
    assert_int_equal(h.family, 4);
    assert_int_equal(h.port, 50123);
    assert_memory_equal(h.ip, "\xc0\x00\x02\x01\0\0\0\0\0\0\0\0\0\0\0\0", 16);
    assert_whole(BYTES(SIGNATURE "\x21\x21\x00\x24" ENDS_6), &h);
    assert_int_equal(h.family, 6);
    assert_int_equal(h.port, 50123);
    assert_memory_equal(h.ip, "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x05", 16);
}

static void a_binary_header_may_name_a_unix_socket(void **state)
{
    (void)state;
    struct proxy_header h;
    uint8_t header[16 + 216] = SIGNATURE "\x21\x31\x00\xd8/run/client";
    assert_whole(header, sizeof(header), &h);
    assert_false(h.own);
    assert_int_equal(h.family, 0);
    assert_int_equal(h.port, 0);
    assert_memory_equal(h.ip, (uint8_t[16]){0}, 16);
}

static void a_proxys_own_connection_stays_its_own(void **state)
{
    (void)state;
    struct proxy_header h;
    assert_whole(BYTES(SIGNATURE "\x20\x00\x00\x00"), &h);
    assert_true(h.own);
    /* Whatever it adds, and whatever it says of addresses. */
    assert_whole(BYTES(SIGNATURE "\x20\x11\x00\x0c" ENDS_4), &h);
    assert_true(h.own);
    assert_int_equal(h.family, 0);
    assert_whole(BYTES(SIGNATURE "\x20\xff\x00\x01\xff"), &h);
    assert_whole(BYTES(SIGNATURE "\x21\x00\x00\x00"), &h);
    assert_true(h.own);
    assert_whole(BYTES(SIGNATURE "\x21\x01\x00\x04\x04\x00\x01\xff"), &h);
    assert_true(h.own);
}

static void binary_headers_that_are_not_believed(void **state)
{
    (void)state;
    struct proxy_header h;
    assert_err(parse(BYTES(SIGNATURE "\x11\x11\x00\x0c" ENDS_4), &h), ERR_MALFORMED);
    assert_err(parse(BYTES(SIGNATURE "\x31\x11\x00\x0c" ENDS_4), &h), ERR_MALFORMED);
    assert_err(parse(BYTES(SIGNATURE "\x22\x11\x00\x0c" ENDS_4), &h), ERR_MALFORMED);
    assert_err(parse(BYTES(SIGNATURE "\x21\x12\x00\x0c" ENDS_4), &h), ERR_MALFORMED);
    assert_err(parse(BYTES(SIGNATURE "\x21\x10\x00\x0c" ENDS_4), &h), ERR_MALFORMED);
    assert_err(parse(BYTES(SIGNATURE "\x21\x02\x00\x00"), &h), ERR_MALFORMED);
    assert_err(parse(BYTES(SIGNATURE "\x21\x41\x00\x0c" ENDS_4), &h), ERR_MALFORMED);
    assert_err(parse(BYTES(SIGNATURE "\x21\x22\x00\x24" ENDS_6), &h), ERR_MALFORMED);
    assert_err(parse(BYTES(SIGNATURE "\x21\x11\x00\x0b" ENDS_4), &h), ERR_MALFORMED);
    assert_err(parse(BYTES(SIGNATURE "\x21\x11\x00\x00"), &h), ERR_MALFORMED);
    assert_err(parse(BYTES(SIGNATURE "\x21\x21\x00\x0c" ENDS_4), &h), ERR_MALFORMED);
    uint8_t unix_short[16 + 215] = SIGNATURE "\x21\x31\x00\xd7";
    assert_err(parse(unix_short, sizeof(unix_short), &h), ERR_MALFORMED);
}

static void a_binary_header_has_a_limit(void **state)
{
    (void)state;
    struct proxy_header h;
    static uint8_t header[PROXY_MAX] = SIGNATURE "\x20\x00\x10\x00";
    assert_ok(parse(header, sizeof(header), &h));
    header[15] = 1;
    assert_err(parse(header, 16, &h), ERR_TOO_LARGE);
    header[14] = header[15] = 0xff;
    assert_err(parse(header, 16, &h), ERR_TOO_LARGE);
}

#define WITH_4(length, additions) SIGNATURE "\x21\x11\x00" length ENDS_4 additions

static void additions_are_walked_through(void **state)
{
    (void)state;
    struct proxy_header h;
    assert_whole(BYTES(WITH_4("\x14", "\x20\x00\x05\x01\0\0\0\0")), &h);
    assert_true(h.tls);
    assert_int_equal(h.family, 4);
    assert_whole(BYTES(WITH_4("\x14", "\x20\x00\x05\x06\0\0\0\0")), &h);
    assert_false(h.tls);
    assert_whole(BYTES(WITH_4("\x1a", "\x02\x00\x03one\x20\x00\x05\x07\0\0\0\0")), &h);
    assert_true(h.tls);
    assert_whole(BYTES(WITH_4("\x0f", "\xee\x00\x00")), &h);
    assert_false(h.tls);
    assert_whole(BYTES(SIGNATURE "\x21\x00\x00\x08\x20\x00\x05\x01\0\0\0\0"), &h);
    assert_true(h.own);
    assert_true(h.tls);
}

static void additions_that_do_not_fit_are_refused(void **state)
{
    (void)state;
    struct proxy_header h;
    assert_err(parse(BYTES(WITH_4("\x0d", "\x20")), &h), ERR_MALFORMED);
    assert_err(parse(BYTES(WITH_4("\x0e", "\x20\x00")), &h), ERR_MALFORMED);
    assert_err(parse(BYTES(WITH_4("\x0f", "\x20\x00\x01")), &h), ERR_MALFORMED);
    assert_err(parse(BYTES(WITH_4("\x0f", "\x20\xff\xff")), &h), ERR_MALFORMED);
    assert_err(parse(BYTES(WITH_4("\x13", "\x20\x00\x05\x01\0\0\0")), &h), ERR_MALFORMED);
    /* A word on TLS that is too short to be one. */
    assert_err(parse(BYTES(WITH_4("\x13", "\x20\x00\x04\x01\0\0\0")), &h), ERR_MALFORMED);
    assert_err(parse(BYTES(WITH_4("\x0f", "\x20\x00\x00")), &h), ERR_MALFORMED);
}

static void one_version_may_be_wanted_alone(void **state)
{
    (void)state;
    struct proxy_header h;
    size_t length;
    assert_err(proxy_parse(CONF_PROXY_V2, BYTES("P"), &h, &length), ERR_UNSUPPORTED);
    assert_err(proxy_parse(CONF_PROXY_V1, BYTES("\r"), &h, &length), ERR_UNSUPPORTED);
    assert_err(proxy_parse(CONF_PROXY_V1, BYTES(V2_TCP4 ENDS_4), &h, &length), ERR_UNSUPPORTED);
    assert_ok(proxy_parse(CONF_PROXY_V1, BYTES("PROXY UNKNOWN\r\n"), &h, &length));
    assert_ok(proxy_parse(CONF_PROXY_V2, BYTES(V2_TCP4 ENDS_4), &h, &length));
}

/* --- whom to believe --- */

static bool trusts(const struct conf_network *nets, size_t count, const struct peer *peer)
{
    struct conf_listener rules = {.trusted = (struct conf_network *)(uintptr_t)nets,
                                  .trusted_count = count};
    return proxy_trusts(&rules, peer);
}

static const struct peer v4 = {.ip = {10, 1, 2, 3}, .family = 4};
static const struct peer v6 = {.ip = {0x20, 0x01, 0x0d, 0xb8, [15] = 9}, .family = 6};
static const struct peer clothed = {.ip = {[10] = 0xff, 0xff, 10, 1, 2, 3}, .family = 6};
static const struct peer local = {0};

static void without_networks_anybody_is_trusted(void **state)
{
    (void)state;
    assert_true(trusts(NULL, 0, &v4));
    assert_true(trusts(NULL, 0, &v6));
    assert_true(trusts(NULL, 0, &local));
}

static void networks_are_held_against_each_bit(void **state)
{
    (void)state;
    struct conf_network net = {.ip = {10, 1, 2, 3}, .family = 4, .bits = 32};
    assert_true(trusts(&net, 1, &v4));
    net.ip[3] = 2;
    assert_false(trusts(&net, 1, &v4));
    net.bits = 31;
    assert_true(trusts(&net, 1, &v4));
    net = (struct conf_network){.ip = {10, 1, 0, 0}, .family = 4, .bits = 22};
    assert_true(trusts(&net, 1, &v4));
    net.bits = 23;
    assert_false(trusts(&net, 1, &v4));
    net = (struct conf_network){.family = 4, .bits = 0};
    assert_true(trusts(&net, 1, &v4));
    assert_false(trusts(&net, 1, &v6));
    assert_false(trusts(&net, 1, &local));
    net = (struct conf_network){.ip = {0x20, 0x01, 0x0d, 0xb8}, .family = 6, .bits = 32};
    assert_true(trusts(&net, 1, &v6));
    assert_false(trusts(&net, 1, &v4));
    net.bits = 128;
    assert_false(trusts(&net, 1, &v6));
}

static void an_ipv4_address_in_ipv6_clothes_is_the_same(void **state)
{
    (void)state;
    struct conf_network net = {.ip = {10, 1, 0, 0}, .family = 4, .bits = 16};
    assert_true(trusts(&net, 1, &clothed));
    net = (struct conf_network){.ip = {[10] = 0xff, 0xff, 10, 1}, .family = 6, .bits = 112};
    assert_true(trusts(&net, 1, &v4));
    assert_true(trusts(&net, 1, &clothed));
    /* All of IPv6 is not all of IPv4. */
    net = (struct conf_network){.family = 6, .bits = 0};
    assert_false(trusts(&net, 1, &v4));
    assert_true(trusts(&net, 1, &v6));
}

static void one_of_several_networks_is_enough(void **state)
{
    (void)state;
    const struct conf_network nets[] = {
        {.ip = {127}, .family = 4, .bits = 8},
        {.ip = {10}, .family = 4, .bits = 8},
    };
    assert_true(trusts(nets, 2, &v4));
    assert_false(trusts(nets, 1, &v4));
    assert_false(trusts(nets, 2, &local));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(a_line_names_an_ipv4_address),
        UNIT_TEST(a_line_names_an_ipv6_address),
        UNIT_TEST(a_proxy_may_not_know),
        UNIT_TEST(lines_that_are_not_believed),
        UNIT_TEST(a_line_has_107_bytes_at_most),
        UNIT_TEST(other_bytes_are_refused_at_once),
        UNIT_TEST(a_binary_header_names_an_address),
        UNIT_TEST(a_binary_header_may_name_a_unix_socket),
        UNIT_TEST(a_proxys_own_connection_stays_its_own),
        UNIT_TEST(binary_headers_that_are_not_believed),
        UNIT_TEST(a_binary_header_has_a_limit),
        UNIT_TEST(additions_are_walked_through),
        UNIT_TEST(additions_that_do_not_fit_are_refused),
        UNIT_TEST(one_version_may_be_wanted_alone),
        UNIT_TEST(without_networks_anybody_is_trusted),
        UNIT_TEST(networks_are_held_against_each_bit),
        UNIT_TEST(an_ipv4_address_in_ipv6_clothes_is_the_same),
        UNIT_TEST(one_of_several_networks_is_enough),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
