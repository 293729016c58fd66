/*
 * Answers of name servers as bytes, and the order of SRV records.
 */
#include "net/dns.h"

#include "unit.h"

#include <netinet/in.h>
#include <string.h>

/* An answer that is written byte by byte. */
struct reply {
    uint8_t p[8192];
    size_t n;
    unsigned answers;
};

static void put(struct reply *r, const void *p, size_t n)
{
    assert_true(r->n + n <= sizeof(r->p));
    memcpy(r->p + r->n, p, n);
    r->n += n;
}

static void put_u16(struct reply *r, unsigned v)
{
    const uint8_t b[] = {(uint8_t)(v >> 8), (uint8_t)v};
    put(r, b, 2);
}

static void put_name(struct reply *r, const char *name)
{
    while (*name) {
        const char *dot = strchr(name, '.');
        size_t n = dot ? (size_t)(dot - name) : strlen(name);
        const uint8_t length = (uint8_t)n;
        put(r, &length, 1);
        put(r, name, n);
        name += dot ? n + 1 : n;
    }
    put(r, "", 1);
}

static void begin(struct reply *r, const char *question, unsigned type)
{
    r->n = 0;
    r->answers = 0;
    put(r, "\x12\x34\x81\x80\0\1\0\0\0\0\0\0", 12);
    put_name(r, question);
    put_u16(r, type);
    put_u16(r, DNS_CLASS_IN);
}

static void record(struct reply *r, unsigned type, const void *data, size_t n)
{
    r->answers++;
    r->p[6] = (uint8_t)(r->answers >> 8);
    r->p[7] = (uint8_t)r->answers;
    put(r, "\xc0\x0c", 2); /* the name of the question */
    put_u16(r, type);
    put_u16(r, DNS_CLASS_IN);
    put(r, "\0\0\0\x3c", 4);
    put_u16(r, (unsigned)n);
    put(r, data, n);
}

static void service(struct reply *r, unsigned priority, unsigned weight, unsigned port,
                    const char *target)
{
    struct reply data = {.n = 0};
    put_u16(&data, priority);
    put_u16(&data, weight);
    put_u16(&data, port);
    put_name(&data, target);
    record(r, DNS_SRV, data.p, data.n);
}

static void addresses_are_found_among_aliases(void **state)
{
    (void)state;
    struct reply r;
    struct addresses found = {0};
    begin(&r, "broker.test", DNS_A);
    assert_err(dns_addresses(r.p, r.n, AF_INET, &found), ERR_NOT_FOUND);
    record(&r, 5, "\3www\xc0\x0c", 6);
    record(&r, DNS_A, "\x0a\0\0\1", 4);
    record(&r, DNS_A, "\x0a\0\0\2\3", 5); /* no address is so long */
    record(&r, DNS_A, "\x0a\0\0\1", 4);
    record(&r, DNS_AAAA, "\xfe\x80\0\0\0\0\0\0\0\0\0\0\0\0\0\1", 16);
    assert_ok(dns_addresses(r.p, r.n, AF_INET, &found));
    assert_int_equal(found.count4, 1);
    assert_int_equal(found.count6, 0);
    assert_memory_equal(found.v4[0], "\x0a\0\0\1", 4);
    assert_ok(dns_addresses(r.p, r.n, AF_INET6, &found));
    assert_int_equal(found.count6, 1);
}

static void more_addresses_than_there_is_room_are_left_out(void **state)
{
    (void)state;
    struct reply r;
    struct addresses found = {0};
    begin(&r, "many.test", DNS_A);
    for (unsigned i = 0; i < 400; i++) {
        const uint8_t a[] = {10, 0, (uint8_t)(i >> 8), (uint8_t)i};
        record(&r, DNS_A, a, 4);
    }
    assert_ok(dns_addresses(r.p, r.n, AF_INET, &found));
    assert_int_equal(found.count4, ADDRESSES_MAX);
}

static void every_answer_that_is_cut_short_is_malformed(void **state)
{
    (void)state;
    struct reply r;
    begin(&r, "broker.test", DNS_SRV);
    service(&r, 1, 2, 1883, "one.broker.test");
    service(&r, 1, 2, 1884, "two.broker.test");
    for (size_t n = 0; n < r.n; n++) {
        struct dns_service s[4];
        struct addresses found = {0};
        size_t count;
        assert_err(dns_services(r.p, n, s, 4, &count), ERR_MALFORMED);
        assert_err(dns_addresses(r.p, n, AF_INET, &found), ERR_MALFORMED);
    }
}

static void services_are_read_with_what_is_usable(void **state)
{
    (void)state;
    struct reply r;
    struct dns_service s[4];
    size_t count;
    begin(&r, "_mqtt._tcp.broker.test", DNS_SRV);
    assert_err(dns_services(r.p, r.n, s, 4, &count), ERR_NOT_FOUND);
    service(&r, 10, 5, 1884, "one.test");
    service(&r, 10, 5, 0, "no-port.test");
    service(&r, 10, 5, 1884, "a name.test");
    record(&r, DNS_SRV, "\0\1\0\2\7\x5c\3two\xc0\x17", 12);
    service(&r, 0, 0, 0, "");
    assert_ok(dns_services(r.p, r.n, s, 4, &count));
    assert_int_equal(count, 3);
    assert_int_equal(s[0].priority, 10);
    assert_int_equal(s[0].weight, 5);
    assert_int_equal(s[0].port, 1884);
    assert_string_equal(s[0].target, "one.test");
    assert_int_equal(s[1].priority, 1);
    assert_string_equal(s[1].target, "two.broker.test");
    assert_string_equal(s[2].target, "");
    assert_ok(dns_services(r.p, r.n, s, 1, &count));
    assert_int_equal(count, 1);
}

static void names_that_point_in_circles_are_no_targets(void **state)
{
    (void)state;
    struct reply r;
    struct dns_service s[4];
    size_t count;
    begin(&r, "broker.test", DNS_SRV);
    /* The record begins at r.n; its target stands 12 + 6 bytes behind that. */
    const uint8_t self[] = {0, 1, 0, 2, 7, 0x5c, 0xc0, (uint8_t)(r.n + 18)};
    record(&r, DNS_SRV, self, sizeof(self));
    record(&r, DNS_SRV, "\0\1\0\2\7\x5c\xff\xff", 8);
    record(&r, DNS_SRV, "\0\1\0\2\7\x5c\x80\0", 8);
    assert_err(dns_services(r.p, r.n, s, 4, &count), ERR_NOT_FOUND);
}

static void a_name_too_long_is_no_target(void **state)
{
    (void)state;
    struct reply r;
    struct dns_service s[1];
    char name[400] = "";
    size_t count;
    for (int i = 0; i < 6; i++) {
        memset(name + 51 * (size_t)i, 'a' + i, 50);
        name[51 * i + 50] = '.';
    }
    name[253] = '\0';
    begin(&r, "broker.test", DNS_SRV);
    service(&r, 1, 1, 1883, name);
    assert_ok(dns_services(r.p, r.n, s, 1, &count));
    assert_string_equal(s[0].target, name);
    begin(&r, "broker.test", DNS_SRV);
    name[253] = 'x';
    name[254] = '\0';
    service(&r, 1, 1, 1883, name);
    assert_err(dns_services(r.p, r.n, s, 1, &count), ERR_NOT_FOUND);
}

static void lower_priorities_go_first(void **state)
{
    (void)state;
    struct rng rng;
    rng_seed(&rng, 7);
    for (int round = 0; round < 100; round++) {
        struct dns_service s[] = {
            {30, 1, 1, "e"}, {10, 9, 2, "a"}, {20, 0, 3, "c"}, {10, 9, 4, "b"}, {20, 7, 5, "d"}};
        dns_services_order(s, ARRAY_SIZE(s), &rng);
        assert_int_equal(s[0].priority, 10);
        assert_int_equal(s[1].priority, 10);
        assert_string_not_equal(s[0].target, s[1].target);
        assert_int_equal(s[2].priority, 20);
        assert_int_equal(s[3].priority, 20);
        assert_string_equal(s[4].target, "e");
    }
    dns_services_order(NULL, 0, &rng);
}

/* RFC 2782: chosen in proportion to the weight; one of weight 0 hardly ever. */
static void weights_are_shares(void **state)
{
    (void)state;
    struct rng rng;
    unsigned first[3] = {0};
    rng_seed(&rng, 42);
    for (int round = 0; round < 10000; round++) {
        struct dns_service s[] = {{1, 100, 0, "a"}, {1, 300, 1, "b"}, {1, 0, 2, "c"}};
        for (unsigned i = 0; i < 3; i++)
            s[i].port = (uint16_t)i;
        dns_services_order(s, 3, &rng);
        first[s[0].port]++;
    }
    assert_in_range(first[0], 2200, 2800);
    assert_in_range(first[1], 7200, 7800);
    assert_in_range(first[2], 1, 100);
}

static void the_heaviest_weights_fit(void **state)
{
    (void)state;
    struct rng rng;
    struct dns_service s[64];
    rng_seed(&rng, 1);
    for (size_t i = 0; i < ARRAY_SIZE(s); i++)
        s[i] = (struct dns_service){UINT16_MAX, UINT16_MAX, (uint16_t)i, "x"};
    dns_services_order(s, ARRAY_SIZE(s), &rng);
    uint64_t seen = 0;
    for (size_t i = 0; i < ARRAY_SIZE(s); i++)
        seen |= UINT64_C(1) << s[i].port;
    assert_true(seen == UINT64_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(addresses_are_found_among_aliases),
        UNIT_TEST(more_addresses_than_there_is_room_are_left_out),
        UNIT_TEST(every_answer_that_is_cut_short_is_malformed),
        UNIT_TEST(services_are_read_with_what_is_usable),
        UNIT_TEST(names_that_point_in_circles_are_no_targets),
        UNIT_TEST(a_name_too_long_is_no_target),
        UNIT_TEST(lower_priorities_go_first),
        UNIT_TEST(weights_are_shares),
        UNIT_TEST(the_heaviest_weights_fit),
    };
    return cmocka_run_group_tests_name("dns", tests, NULL, NULL);
}
