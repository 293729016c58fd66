/*
 * Which strings are accepted: borders of every rule, at every place of a word, and all code points
 * against the definition.
 */
#include "mqtt/utf8.h"

#include "unit.h"

#include <stdlib.h>

struct sample {
    struct str text;
    bool valid;
};

#define YES(lit)                                                                                   \
    {                                                                                              \
        STR(lit), true                                                                             \
    }
#define NO(lit)                                                                                    \
    {                                                                                              \
        STR(lit), false                                                                            \
    }

static const struct sample samples[] = {
    YES(""),
    YES("a"),
    YES("sensors/kitchen/temperature"),
    YES(" "),
    YES("~"),
    YES("gr\xC3\xBC\xC3\x9F"), /* two bytes */
    YES("\xE2\x82\xAC"),       /* three */
    YES("\xF0\x9F\x98\x80"),   /* four */
    YES("\xC2\xA0"),           /* U+00A0, the first after C1 */
    YES("\xDF\xBF"),           /* U+07FF */
    YES("\xE0\xA0\x80"),       /* U+0800 */
    YES("\xED\x9F\xBF"),       /* U+D7FF */
    YES("\xEE\x80\x80"),       /* U+E000 */
    YES("\xEF\xB7\x8F"),       /* U+FDCF */
    YES("\xEF\xB7\xB0"),       /* U+FDF0 */
    YES("\xEF\xBB\xBF"),       /* U+FEFF is kept (1.5.3-3) */
    YES("\xEF\xBF\xBD"),       /* U+FFFD */
    YES("\xF0\x90\x80\x80"),   /* U+10000 */
    YES("\xF4\x8F\xBF\xBD"),   /* U+10FFFD */
    NO("\x00"),                /* 1.5.3-2 */
    NO("abcdefg\x00"),         /* the last byte of a word */
    NO("a\x00"),
    NO("\x01"), /* C0 */
    NO("\x1F"),
    NO("abc\ndef"),
    NO("\x7F"),     /* DEL */
    NO("\xC2\x80"), /* C1 */
    NO("\xC2\x9F"),
    NO("\x80"), /* a continuation alone */
    NO("\xBF"),
    NO("\xC0\x80"), /* overlong */
    NO("\xC1\xBF"),
    NO("\xE0\x80\xAF"),
    NO("\xE0\x9F\xBF"),
    NO("\xF0\x80\x80\xAF"),
    NO("\xF0\x8F\xBF\xBF"),
    NO("\xED\xA0\x80"), /* surrogates (1.5.3-1) */
    NO("\xED\xBF\xBF"),
    NO("\xED\xA0\xBD\xED\xB8\x80"), /* a pair of them */
    NO("\xEF\xB7\x90"),             /* U+FDD0 */
    NO("\xEF\xB7\xAF"),             /* U+FDEF */
    NO("\xEF\xBF\xBE"),             /* U+FFFE */
    NO("\xEF\xBF\xBF"),             /* U+FFFF */
    NO("\xF0\x9F\xBF\xBE"),         /* U+1FFFE */
    NO("\xF4\x8F\xBF\xBF"),         /* U+10FFFF */
    NO("\xF4\x90\x80\x80"),         /* above U+10FFFF */
    NO("\xF5\x80\x80\x80"),
    NO("\xF8\x88\x80\x80\x80"), /* five bytes */
    NO("\xFE"),
    NO("\xFF"),
    NO("\xC3"), /* cut short */
    NO("\xE2\x82"),
    NO("\xF0\x9F\x98"),
    NO("\xC3("), /* no continuation */
    NO("\xE2\x82("),
    NO("\xF0\x9F\x98("),
};

static void samples_are_judged(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(samples); i++) {
        if (utf8_valid(samples[i].text) != samples[i].valid)
            fail_msg("sample %zu", i);
    }
}

/* Each sample behind 0 to 20 plain bytes and before 0 to 20: every alignment to words. Exact
 * allocations. */
static void samples_are_judged_alike_at_every_place(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(samples); i++) {
        struct str s = samples[i].text;
        for (size_t before = 0; before <= 20; before++) {
            for (size_t after = 0; after <= 20; after++) {
                size_t n = before + s.n + after;
                char *p = malloc(n + (n == 0));
                assert_non_null(p);
                memset(p, 'x', n);
                if (s.n)
                    memcpy(p + before, s.p, s.n);
                if (utf8_valid(str_of(p, n)) != samples[i].valid)
                    fail_msg("sample %zu, %zu before, %zu after", i, before, after);
                free(p);
            }
        }
    }
}

static bool code_is_allowed(uint32_t c)
{
    return c >= 0x20 && !(c >= 0x7F && c <= 0x9F) && !(c >= 0xD800 && c <= 0xDFFF) &&
           !(c >= 0xFDD0 && c <= 0xFDEF) && (c & 0xFFFF) < 0xFFFE && c <= 0x10FFFF;
}

static size_t put_code(char *out, uint32_t c)
{
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    size_t n = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    for (size_t i = n - 1; i > 0; i--) {
        out[i] = (char)(0x80 | (c & 0x3F));
        c >>= 6;
    }
    out[0] = (char)((0xF00u >> n & 0xFFu) | c);
    return n;
}

static void all_code_points_are_judged(void **state)
{
    (void)state;
    for (uint32_t c = 0; c < 0x1FFFFF; c++) {
        char text[4];
        size_t n = put_code(text, c);
        if (utf8_valid(str_of(text, n)) != code_is_allowed(c))
            fail_msg("U+%04X", (unsigned)c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(samples_are_judged),
        UNIT_TEST(samples_are_judged_alike_at_every_place),
        UNIT_TEST(all_code_points_are_judged),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
