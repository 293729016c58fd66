/*
 * Networks as they are written.
 */
#include "conf/network.h"

#include "unit.h"

#include <arpa/inet.h>
#include <string.h>

static void networks(void **state)
{
    static const struct {
        const char *text;
        uint8_t family; /* 0 = refused */
        uint8_t bits;
        const char *ip;
    } cases[] = {
        {"192.0.2.1", 4, 32, "192.0.2.1"},
        {"10.0.0.0/8", 4, 8, "10.0.0.0"},
        {"10.1.2.3/8", 4, 8, "10.0.0.0"},
        {"255.255.255.255/1", 4, 1, "128.0.0.0"},
        {"192.0.2.255/29", 4, 29, "192.0.2.248"},
        {"192.0.2.1/32", 4, 32, "192.0.2.1"},
        {"1.2.3.4/0", 4, 0, "0.0.0.0"},
        {"::1", 6, 128, "::1"},
        {"2001:db8::/32", 6, 32, "2001:db8::"},
        {"2001:DB8:ffff::1/33", 6, 33, "2001:db8:8000::"},
        {"::/0", 6, 0, "::"},
        {"::ffff:192.0.2.1", 4, 32, "192.0.2.1"},
        {"::ffff:10.0.0.0/104", 4, 8, "10.0.0.0"},
        {"::ffff:0:0/95", 6, 95, "::fffe:0:0"},
        {"", 0, 0, ""},
        {"/8", 0, 0, ""},
        {"10.0.0.0/", 0, 0, ""},
        {"10.0.0.0/33", 0, 0, ""},
        {"10.0.0.0/-1", 0, 0, ""},
        {"10.0.0.0/8x", 0, 0, ""},
        {"10.0.0.0/8/8", 0, 0, ""},
        {"10.0.0/8", 0, 0, ""},
        {"10.0.0.256", 0, 0, ""},
        {"::1/129", 0, 0, ""},
        {"::1%lo", 0, 0, ""},
        {"localhost", 0, 0, ""},
        {"1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb:cccc", 0, 0, ""},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct conf_network n;
        uint8_t ip[16] = {0};
        enum err e = network_parse(str_c(cases[i].text), &n);
        if (cases[i].family == 0) {
            assert_int_equal(e, ERR_INVAL);
            continue;
        }
        assert_int_equal(e, ERR_OK);
        assert_int_equal(n.family, cases[i].family);
        assert_int_equal(n.bits, cases[i].bits);
        assert_int_equal(inet_pton(n.family == 4 ? AF_INET : AF_INET6, cases[i].ip, ip), 1);
        assert_memory_equal(n.ip, ip, sizeof(ip));
    }
}

static void lists_grow_or_stay(void **state)
{
    struct conf_network *list = NULL;
    size_t count = 0;

    (void)state;
    assert_int_equal(network_add(STR("10.0.0.0/8\t::1  # two"), &list, &count), ERR_OK);
    assert_int_equal(count, 2);
    assert_int_equal(network_add(STR("192.0.2.0/24"), &list, &count), ERR_OK);
    assert_int_equal(count, 3);
    assert_int_equal(list[2].bits, 24);
    assert_int_equal(network_add(STR("192.0.2.0/24 x"), &list, &count), ERR_INVAL);
    assert_int_equal(network_add(STR(""), &list, &count), ERR_INVAL);
    assert_int_equal(network_add(STR("# ::1"), &list, &count), ERR_INVAL);
    assert_int_equal(count, 3);
    assert_int_equal(list[0].bits, 8);
    mem_free(list, count * sizeof(*list));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(networks),
        UNIT_TEST(lists_grow_or_stay),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
