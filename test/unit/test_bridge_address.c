/*
 * `address` lines: where a host ends and its port begins.
 */
#include "conf/bridge_address.h"

#include "unit.h"

#include <stdio.h>
#include <string.h>

static void one_address(void **state)
{
    static const struct {
        const char *text, *host;
        unsigned port;
    } cases[] = {
        {"example.org", "example.org", 0},
        {"example.org:1883", "example.org", 1883},
        {"  example.org:65535\t", "example.org", 65535},
        {"a:1", "a", 1},
        {"192.0.2.1", "192.0.2.1", 0},
        {"192.0.2.1:8883", "192.0.2.1", 8883},
        {"::1:1883", "::1", 1883},
        {"2001:db8::7:8883", "2001:db8::7", 8883},
        {"fe80::1%eth0:1883", "fe80::1%eth0", 1883},
        {"[::1]:1883", "::1", 1883},
        {"[2001:db8::7]", "2001:db8::7", 0},
        {"[fe80::1%eth0]:1", "fe80::1%eth0", 1},
        {"1:2:3:4:5:6:7:8:9", "1:2:3:4:5:6:7:8", 9},
        {"b\xC3\xBC"
         "cher.example",
         "b\xC3\xBC"
         "cher.example",
         0},
        {"my_host:99", "my_host", 99},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct conf_bridge b = {0};
        const char *why = NULL;
        if (bridge_addresses_read(&b, str_c(cases[i].text), &why) != ERR_OK)
            fail_msg("%s: %s", cases[i].text, why ? why : "?");
        assert_int_equal(b.address_count, 1);
        assert_string_equal(b.addresses[0].host, cases[i].host);
        assert_int_equal(b.addresses[0].port, cases[i].port);
        bridge_addresses_free(&b);
    }
}

static void wrong_addresses(void **state)
{
    static const struct {
        const char *text, *why;
    } cases[] = {
        {"", "expected HOST or HOST:PORT."},
        {"h:", "expected a port from 1 to 65535"},
        {"h:0", "expected a port from 1 to 65535"},
        {"h:65536", "expected a port from 1 to 65535"},
        {"h:-1", "expected a port from 1 to 65535"},
        {"h:12x", "expected a port from 1 to 65535"},
        {"h:mqtt", "expected a port from 1 to 65535"},
        {":1883", "expected HOST or HOST:PORT, where"},
        {"mqtt://h:1883", "expected one colon between host and port"},
        {"mqtt://h", "expected a port from 1"},
        {"h/x", "expected HOST or HOST:PORT, where"},
        {"u@h:1", "expected HOST or HOST:PORT, where"},
        {"h\xFF:1", "expected HOST or HOST:PORT, where"},
        {"a:1:2", "expected one colon between host and port"},
        {"fe80::1", "expected a port behind an IPv6 address, or brackets"},
        {"2001:db8:0:0:0:0:0:1", "expected a port behind an IPv6 address, or brackets"},
        {"::1:99999", "expected a port from 1"},
        {"::1:99x", "expected a port from 1"},
        {"[::1", "expected an IPv6 address between the brackets"},
        {"[]:1", "expected an IPv6 address between the brackets"},
        {"[192.0.2.1]:1", "expected an IPv6 address between the brackets"},
        {"[h]:1", "expected an IPv6 address between the brackets"},
        {"[::1]1883", "expected a colon and a port behind the brackets"},
        {"[::1]:", "expected a port from 1"},
        {"a b:0", "expected a port from 1"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct conf_bridge b = {0};
        const char *why = "";
        if (bridge_addresses_read(&b, str_c(cases[i].text), &why) != ERR_INVAL)
            fail_msg("%s was taken", cases[i].text);
        if (strncmp(why, cases[i].why, strlen(cases[i].why)) != 0)
            fail_msg("%s: %s", cases[i].text, why);
        assert_int_equal(why[strlen(why) - 1], '.');
        bridge_addresses_free(&b);
    }
}

static void srv_names_have_no_port(void **state)
{
    struct conf_bridge b = {0};
    const char *why = "";

    (void)state;
    assert_err(bridge_addresses_read(&b, STR("_mqtt._tcp.example.org:1883"), &why), ERR_INVAL);
    assert_string_equal(
        why, "expected no port: a name that begins with _ has SRV records, which say the port.");
    if (feature_built(FEATURE_SRV)) {
        assert_ok(bridge_addresses_read(&b, STR("_mqtt._tcp.example.org"), &why));
        assert_string_equal(b.addresses[0].host, "_mqtt._tcp.example.org");
        assert_int_equal(b.addresses[0].port, 0);
    } else {
        assert_err(bridge_addresses_read(&b, STR("_mqtt._tcp.example.org"), &why), ERR_INVAL);
        assert_non_null(strstr(why, "WITH_SRV=yes"));
    }
    bridge_addresses_free(&b);
}

static void several_keep_their_order(void **state)
{
    struct conf_bridge b = {0}, other = {0}, shorter = {0}, port = {0};
    const char *why = NULL;

    (void)state;
    assert_ok(bridge_addresses_read(&b, STR("h [::1]:2  192.0.2.1:3"), &why));
    assert_int_equal(b.address_count, 3);
    assert_string_equal(b.addresses[1].host, "::1");
    assert_int_equal(b.addresses[2].port, 3);
    assert_ok(bridge_addresses_read(&other, STR("h 192.0.2.1:3 [::1]:2"), &why));
    assert_ok(bridge_addresses_read(&shorter, STR("h [::1]:2"), &why));
    assert_ok(bridge_addresses_read(&port, STR("h [::1]:2  192.0.2.1:4"), &why));
    assert_true(bridge_addresses_same(&b, &b));
    assert_false(bridge_addresses_same(&b, &other));
    assert_false(bridge_addresses_same(&b, &shorter));
    assert_false(bridge_addresses_same(&shorter, &b));
    assert_false(bridge_addresses_same(&b, &port));
    bridge_addresses_free(&b);
    bridge_addresses_free(&other);
    bridge_addresses_free(&shorter);
    bridge_addresses_free(&port);
}

static void so_many_and_so_long(void **state)
{
    char text[3 * BRIDGE_ADDRESSES_MAX + 3] = "";
    char host[257];
    struct conf_bridge b = {0};
    const char *why = NULL;

    (void)state;
    for (size_t i = 0; i < BRIDGE_ADDRESSES_MAX; i++)
        memcpy(text + 2 * i, "h ", 3);
    assert_ok(bridge_addresses_read(&b, str_c(text), &why));
    assert_int_equal(b.address_count, BRIDGE_ADDRESSES_MAX);
    bridge_addresses_free(&b);
    memcpy(text + strlen(text), "h", 2);
    assert_err(bridge_addresses_read(&b, str_c(text), &why), ERR_INVAL);
    assert_string_equal(why, "expected no more than 256 addresses.");
    bridge_addresses_free(&b);
    memset(host, 'h', sizeof(host));
    assert_err(bridge_addresses_read(&b, str_of(host, 256), &why), ERR_INVAL);
    assert_ok(bridge_addresses_read(&b, str_of(host, 255), &why));
    bridge_addresses_free(&b);
}

static void which_hosts_are_this_machine(void **state)
{
    (void)state;
    assert_true(bridge_address_is_local("localhost"));
    assert_true(bridge_address_is_local("LocalHost"));
    assert_true(bridge_address_is_local("127.8.9.1"));
    assert_true(bridge_address_is_local("::1"));
    assert_false(bridge_address_is_local("192.0.2.1"));
    assert_false(bridge_address_is_local("localhost.example"));
    assert_true(bridge_address_is_ip(STR("192.0.2.1")));
    assert_true(bridge_address_is_ip(STR("fe80::1%lo")));
    assert_false(bridge_address_is_ip(STR("192.0.2.0/24")));
    assert_false(bridge_address_is_ip(STR("fe80::1%")));
    assert_false(bridge_address_is_ip(STR("[::1]")));
    assert_false(bridge_address_is_ip(STR("eth0")));
    assert_false(bridge_address_is_ip(STR("")));
}

static void without_memory(void **state)
{
    enum err e = ERR_NOMEM;
    unsigned n = 0;

    (void)state;
    unit_needs_tracking();
    for (; e == ERR_NOMEM; n++) {
        struct conf_bridge b = {0};
        const char *why = NULL;
        mem_fail_after(n, 0);
        e = bridge_addresses_read(&b, STR("a b"), &why);
        mem_fail_never();
        bridge_addresses_free(&b);
    }
    assert_int_equal(e, ERR_OK);
    assert_int_equal(n, 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(one_address),
        UNIT_TEST(wrong_addresses),
        UNIT_TEST(srv_names_have_no_port),
        UNIT_TEST(several_keep_their_order),
        UNIT_TEST(so_many_and_so_long),
        UNIT_TEST(which_hosts_are_this_machine),
        UNIT_TEST(without_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
