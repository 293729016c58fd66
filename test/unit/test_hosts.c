/*
 * What is known of a host without asking a name server, and the order of its addresses.
 */
#include "net/hosts.h"

#include "unit.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char path[] = "/tmp/test_hosts.XXXXXX";

static int write_hosts(void **state)
{
    static const char text[] = "# 10.9.9.9 comment\n"
                               "10.0.0.1\tone.test one # two.test\n"
                               "  10.0.0.2   one.test\r\n"
                               "fd00::1 one.test\n"
                               "fe80::1%lo link.test\n"
                               "nonsense three.test\n"
                               "10.0.0.3\n"
                               "\n"
                               "10.0.0.4 last.test";
    (void)state;
    int fd = mkstemp(path);
    if (fd < 0)
        return -1;
    ssize_t n = write(fd, text, sizeof(text) - 1);
    (void)close(fd);
    return n == (ssize_t)sizeof(text) - 1 ? 0 : -1;
}

static int remove_hosts(void **state)
{
    (void)state;
    return unlink(path);
}

static const char *nth(const struct addresses *s, size_t i, char *out, size_t cap)
{
    struct sockaddr_storage sa;
    struct sockaddr_in in;
    struct sockaddr_in6 in6;
    socklen_t length;
    addresses_get(s, i, 1883, &sa, &length);
    if (sa.ss_family == AF_INET) {
        memcpy(&in, &sa, sizeof(in));
        assert_int_equal(length, sizeof(in));
        assert_int_equal(in.sin_port, htons(1883));
        return inet_ntop(AF_INET, &in.sin_addr, out, (socklen_t)cap);
    }
    memcpy(&in6, &sa, sizeof(in6));
    assert_int_equal(length, sizeof(in6));
    assert_int_equal(in6.sin6_port, htons(1883));
    return inet_ntop(AF_INET6, &in6.sin6_addr, out, (socklen_t)cap);
}

/* All of them, with blanks between. */
static void assert_addresses(const struct addresses *s, const char *expected)
{
    char text[1024] = "";
    char one[INET6_ADDRSTRLEN];
    for (size_t i = 0; i < addresses_count(s); i++) {
        size_t n = strlen(text);
        (void)snprintf(text + n, sizeof(text) - n, "%s%s", i > 0 ? " " : "",
                       nth(s, i, one, sizeof(one)));
    }
    assert_string_equal(text, expected);
}

static void assert_found(const char *name, int family, const char *expected)
{
    struct addresses s = {0};
    assert_err(hosts_find(path, name, family, &s), expected ? ERR_OK : ERR_NOT_FOUND);
    assert_addresses(&s, expected ? expected : "");
}

static void families_take_turns(void **state)
{
    (void)state;
    struct addresses s = {0};
    assert_true(addresses_parse(&s, "10.0.0.1", AF_UNSPEC));
    assert_true(addresses_parse(&s, "10.0.0.2", AF_UNSPEC));
    assert_true(addresses_parse(&s, "10.0.0.2", AF_UNSPEC));
    assert_true(addresses_parse(&s, "10.0.0.3", AF_UNSPEC));
    assert_addresses(&s, "10.0.0.1 10.0.0.2 10.0.0.3");
    assert_true(addresses_parse(&s, "fd00::1", AF_UNSPEC));
    assert_addresses(&s, "fd00::1 10.0.0.1 10.0.0.2 10.0.0.3");
    assert_true(addresses_parse(&s, "fd00::2", AF_UNSPEC));
    assert_true(addresses_parse(&s, "fd00::3", AF_UNSPEC));
    assert_true(addresses_parse(&s, "fd00::4", AF_UNSPEC));
    assert_true(addresses_parse(&s, "fd00::5", AF_UNSPEC));
    assert_addresses(&s, "fd00::1 10.0.0.1 fd00::2 10.0.0.2 fd00::3 10.0.0.3 fd00::4 fd00::5");
}

static void only_the_family_that_is_wanted_is_taken(void **state)
{
    (void)state;
    struct addresses s = {0};
    assert_true(addresses_parse(&s, "10.0.0.1", AF_INET6));
    assert_true(addresses_parse(&s, "fd00::1", AF_INET));
    assert_int_equal(addresses_count(&s), 0);
    assert_false(addresses_parse(&s, "broker.test", AF_UNSPEC));
    assert_false(addresses_parse(&s, "", AF_UNSPEC));
    assert_false(addresses_parse(&s, "fd00::1::2", AF_UNSPEC));
}

static void an_interface_belongs_to_an_address(void **state)
{
    (void)state;
    struct addresses s = {0};
    struct sockaddr_storage sa;
    struct sockaddr_in6 in6;
    socklen_t length;
    assert_true(addresses_parse(&s, "fe80::1%lo", AF_UNSPEC));
    addresses_get(&s, 0, 1, &sa, &length);
    memcpy(&in6, &sa, sizeof(in6));
    assert_int_equal(in6.sin6_scope_id, if_nametoindex("lo"));
}

static void there_is_an_end_to_addresses(void **state)
{
    (void)state;
    struct addresses s = {0};
    for (uint32_t i = 0; i < 1000; i++) {
        uint8_t six[16] = {0xfd, [14] = (uint8_t)(i >> 8), [15] = (uint8_t)i};
        addresses_add(&s, AF_INET, &i, 0);
        addresses_add(&s, AF_INET6, six, 0);
        addresses_add(&s, AF_UNIX, six, 0);
    }
    assert_int_equal(addresses_count(&s), 2 * ADDRESSES_MAX);
    assert_true(addresses_full(&s, AF_INET));
    assert_true(addresses_full(&s, AF_INET6));
}

static void the_file_is_read_as_it_is_meant(void **state)
{
    (void)state;
    assert_found("one.test", AF_UNSPEC, "fd00::1 10.0.0.1 10.0.0.2");
    assert_found("ONE.Test.", AF_UNSPEC, "fd00::1 10.0.0.1 10.0.0.2");
    assert_found("one.test", AF_INET, "10.0.0.1 10.0.0.2");
    assert_found("one.test", AF_INET6, "fd00::1");
    assert_found("one", AF_UNSPEC, "10.0.0.1");
    assert_found("one", AF_INET6, NULL);
    assert_found("link.test", AF_UNSPEC, "fe80::1");
    assert_found("last.test", AF_UNSPEC, "10.0.0.4");
    assert_found("two.test", AF_UNSPEC, NULL);
    assert_found("three.test", AF_UNSPEC, NULL);
    assert_found("comment", AF_UNSPEC, NULL);
    assert_found("10.0.0.3", AF_UNSPEC, NULL);
    assert_found("ne.test", AF_UNSPEC, NULL);
}

static void localhost_needs_no_file(void **state)
{
    (void)state;
    assert_found("localhost", AF_UNSPEC, "::1 127.0.0.1");
    assert_found("Localhost.", AF_INET, "127.0.0.1");
    assert_found("broker.localhost", AF_INET6, "::1");
    assert_found("notlocalhost", AF_UNSPEC, NULL);
    struct addresses s = {0};
    assert_ok(hosts_find("/nonexistent/hosts", "localhost", AF_INET, &s));
    assert_err(hosts_find("/nonexistent/hosts", "one.test", AF_INET, &s), ERR_NOT_FOUND);
    assert_err(hosts_find("/", "one.test", AF_INET, &s), ERR_NOT_FOUND);
}

static void without_memory_the_file_says_nothing(void **state)
{
    (void)state;
    unit_needs_tracking();
    struct addresses s = {0};
    mem_fail_after(0, 1);
    assert_err(hosts_find(path, "one.test", AF_UNSPEC, &s), ERR_NOMEM);
    assert_int_equal(addresses_count(&s), 0);
}

static void names_are_told_from_nonsense(void **state)
{
    (void)state;
    char label[64 + 1];
    memset(label, 'a', sizeof(label));
    label[64] = '\0';
    static const char *const good[] = {"a",   "broker.test", "broker.test.", "_mqtt._tcp.test",
                                       "1.2", "a-b_c.TEST"};
    static const char *const bad[] = {"",      ".",    "..",  ".a",   "a..b",
                                      "a b",   "a\\b", "a/b", "a\nb", "m\xc3\xbc.test",
                                      "[::1]", "a.."};
    for (size_t i = 0; i < ARRAY_SIZE(good); i++)
        assert_true(host_is_name(good[i]));
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_false(host_is_name(bad[i]));
    assert_false(host_is_name(label));
    label[63] = '\0';
    assert_true(host_is_name(label));
    char longest[256];
    for (size_t i = 0; i < sizeof(longest); i++)
        longest[i] = i % 2 ? '.' : 'a';
    longest[253] = '\0';
    assert_true(host_is_name(longest));
    longest[253] = '.';
    longest[254] = '\0';
    assert_true(host_is_name(longest));
    longest[254] = 'a';
    longest[255] = '\0';
    assert_false(host_is_name(longest));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(families_take_turns),
        UNIT_TEST(only_the_family_that_is_wanted_is_taken),
        UNIT_TEST(an_interface_belongs_to_an_address),
        UNIT_TEST(there_is_an_end_to_addresses),
        UNIT_TEST(the_file_is_read_as_it_is_meant),
        UNIT_TEST(localhost_needs_no_file),
        UNIT_TEST(without_memory_the_file_says_nothing),
        UNIT_TEST(names_are_told_from_nonsense),
    };
    return cmocka_run_group_tests_name("hosts", tests, write_hosts, remove_hosts);
}
