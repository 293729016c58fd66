/*
 * UTF-8 as MQTT allows it.
 *
 * Nearly all strings are short and printable ASCII, so that case is one test for eight bytes. The
 * first byte that is not sends us to the decoder of one character, and then back.
 */
#include "mqtt/utf8.h"

#include "mqtt/word.h"

/* Are these eight bytes all from 0x20 to 0x7E? */
static inline bool word_is_plain(uint64_t w)
{
    uint64_t below =
        ~((w | WORD_HIGHS) - WORD_ONES * 0x20); /* high bit: the lower seven are < 0x20 */
    uint64_t del = w + WORD_ONES;               /* high bit: 0x7F, or not ASCII at all */

    return ((w | below | del) & WORD_HIGHS) == 0;
}

static inline bool byte_is_plain(uint8_t c)
{
    return c >= 0x20 && c < 0x7F;
}

/* Length of the sequence that begins with this byte, 0 for none; C0, C1 and F5 up never begin one.
 */
static size_t sequence_length(uint8_t lead)
{
    if (lead < 0xC2)
        return 0;
    if (lead < 0xE0)
        return 2;
    if (lead < 0xF0)
        return 3;
    return lead < 0xF5 ? 4 : 0;
}

/* What Unicode and MQTT (1.5.3, 1.5.3-1, 1.5.3-2) allow in a sequence of n bytes, n > 1. */
static bool code_allowed(uint32_t code, size_t n)
{
    static const uint32_t least[] = {[2] = 0x80, [3] = 0x800, [4] = 0x10000};

    if (code < least[n] || code > 0x10FFFF)
        return false;
    if (code < 0xA0) /* C1 controls; DEL is a single byte */
        return false;
    if (code >= 0xD800 && code <= 0xDFFF)
        return false;
    if (code >= 0xFDD0 && code <= 0xFDEF)
        return false;
    return (code & 0xFFFE) != 0xFFFE;
}

/* The size of the character of more than one byte at p, of which n > 0 bytes are there; 0 if it is
 * not allowed. */
static size_t wide_char(const uint8_t *p, size_t n)
{
    size_t len = sequence_length(p[0]);

    if (len == 0 || len > n)
        return 0;
    uint32_t code = p[0] & (0xFFu >> (len + 1));
    for (size_t i = 1; i < len; i++) {
        if ((p[i] & 0xC0) != 0x80)
            return 0;
        code = code << 6 | (p[i] & 0x3Fu);
    }
    return code_allowed(code, len) ? len : 0;
}

/* Everything from the first byte on that is not printable ASCII. */
static bool valid_slowly(const uint8_t *p, size_t n)
{
    while (n > 0) {
        if (n >= WORD_SIZE && word_is_plain(word_load(p))) {
            p += WORD_SIZE;
            n -= WORD_SIZE;
            continue;
        }
        size_t step = byte_is_plain(*p) ? 1 : wide_char(p, n);
        if (step == 0)
            return false;
        p += step;
        n -= step;
    }
    return true;
}

/* 1.5.3 */
bool utf8_valid(struct str s)
{
    const uint8_t *p = (const uint8_t *)s.p;
    size_t i = 0;

    if (s.n < WORD_SIZE)
        return s.n == 0 || LIKELY(word_is_plain(word_load_short(p, s.n))) || valid_slowly(p, s.n);
    for (; i + WORD_SIZE <= s.n; i += WORD_SIZE) {
        if (UNLIKELY(!word_is_plain(word_load(p + i))))
            return valid_slowly(p + i, s.n - i);
    }
    /* The rest once more with some bytes before it, which are plain: one test instead of seven. */
    return LIKELY(word_is_plain(word_load(p + s.n - WORD_SIZE))) || valid_slowly(p + i, s.n - i);
}
