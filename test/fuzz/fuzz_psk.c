/*
 * Any bytes as a file of pre-shared keys. The first byte says which allocation fails.
 *
 * Whatever comes: an answer, an error line for each refusal, no memory kept; and of a file that is
 * taken, each line's identity is found with the key of the first line that has it.
 */
#include "auth/pskfile.h"

#include "base/log.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void count_errors(void *ctx, enum log_level level, struct str line,
                         const struct log_about *about)
{
    unsigned *errors = ctx;

    (void)about;
    if (line.n == 0 || line.n > LOG_LINE_MAX)
        abort();
    for (size_t i = 0; i < line.n; i++) {
        if ((uint8_t)line.p[i] < ' ' || line.p[i] == 0x7f)
            abort();
    }
    *errors += level == LOG_LEVEL_ERROR;
}

static unsigned value_of(char c)
{
    static const char digits[] = "0123456789abcdef0123456789ABCDEF";
    const char *at = c ? strchr(digits, c) : NULL;

    if (!at)
        abort();
    return (unsigned)(at - digits) % 16;
}

/* Is this key what the digits say? The last digit is the low half of the last byte. */
static bool same_key(struct str key, struct str hex)
{
    if (!key.p || key.n == 0 || key.n > PSK_KEY_MAX || key.n != (hex.n + 1) / 2)
        return false;
    for (size_t i = 0; i < hex.n; i++) {
        unsigned byte = (uint8_t)key.p[key.n - 1 - i / 2];
        if (value_of(hex.p[hex.n - 1 - i]) != (i % 2 ? byte >> 4U : byte & 15U))
            return false;
    }
    return hex.n % 2 == 0 || (uint8_t)key.p[0] < 16;
}

/* Each identity was seen before, or has its key here; returns how many there are. */
static size_t check_lines(const struct pskfile *f, struct str text)
{
    struct str seen[64];
    size_t count = 0;

    if (str_has_prefix(text, STR("\xEF\xBB\xBF")))
        text = str_of(text.p + 3, text.n - 3);
    while (text.n > 0) {
        const char *end = memchr(text.p, '\n', text.n);
        struct str line = str_of(text.p, end ? (size_t)(end - text.p) : text.n);
        const char *colon = line.n ? memchr(line.p, ':', line.n) : NULL;
        bool again = false;
        text = str_of(text.p + line.n + (end != NULL), text.n - line.n - (end != NULL));
        if (line.n == 0 || line.p[0] == '#' || !colon)
            continue;
        struct str identity = str_trim(str_of(line.p, (size_t)(colon - line.p)));
        struct str hex = str_trim(str_of(colon + 1, (size_t)(line.p + line.n - colon) - 1));
        for (size_t i = 0; i < count; i++)
            again |= str_eq(seen[i], identity);
        if (again)
            continue;
        if (count == sizeof(seen) / sizeof(seen[0]))
            return SIZE_MAX;
        seen[count++] = identity;
        if (!same_key(pskfile_find(f, identity), hex))
            abort();
    }
    return count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    unsigned errors = 0;
    struct log log = {.mask = LOG_LEVEL_ALL, .sink = count_errors, .ctx = &errors};
    size_t before = mem_used();
    struct pskfile *f = NULL;
    struct str text;
    enum err e;

    if (size == 0)
        return 0;
    text = str_of((const char *)data + 1, size - 1);
    if (data[0] & 1U)
        mem_fail_after(data[0] >> 1U, 0);
    e = pskfile_parse(text, "fuzz", &log, &f);
    mem_fail_never();
    if ((e == ERR_OK) != (f != NULL) || (e == ERR_INVAL) != (errors > 0))
        abort();
    if (f) {
        size_t count = check_lines(f, text);
        if (count != SIZE_MAX && count != pskfile_count(f))
            abort();
    }
    pskfile_unref(f);
    if (mem_used() != before)
        abort();
    return 0;
}
