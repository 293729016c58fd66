/*
 * Any bytes as a password file. The first byte chooses which allocation fails.
 *
 * Whatever comes: users or an error, never both; each user of a file that was taken is found and
 * has a hash within its limits; each fault is a line that can be printed; no memory is kept. What
 * was taken is also what mosquitto_passwd takes for a user.
 */
#include "auth/pwfile.h"
#include "auth/pwline.h"
#include "base/mem.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A hash that takes longer than this is parsed, but not computed. */
#define ROUNDS_TRIED 4
#define WORK_TRIED_KIB 64

static void check(bool holds)
{
    if (!holds)
        abort();
}

static void count_errors(void *ctx, enum log_level level, struct str line,
                         const struct log_about *about)
{
    unsigned *errors = ctx;

    (void)about;
    check(line.n > 0 && line.n <= LOG_LINE_MAX && !memchr(line.p, '\n', line.n));
    *errors += level == LOG_LEVEL_ERROR;
}

static bool is_cheap(const struct pwhash *h)
{
    switch (h->kind) {
    case PWHASH_PBKDF2:
        return h->rounds <= ROUNDS_TRIED;
    case PWHASH_ARGON2ID:
        return (uint64_t)h->cost.memory_kib * h->cost.passes <= WORK_TRIED_KIB;
    default:
        return true;
    }
}

static void check_hash(const struct pwhash *h, struct str value)
{
    check(h != NULL);
    if (h->kind == PWHASH_PLAIN) {
        check(str_eq(h->text, value) && pwhash_matches(h, value));
        return;
    }
    check(h->salt_len >= 8 && h->salt_len <= 64 && h->hash_len >= 16 && h->hash_len <= 64);
    check(h->kind != PWHASH_PBKDF2 || (h->rounds >= 1 && h->rounds <= PWHASH_ROUNDS_MAX));
    check(h->kind != PWHASH_ARGON2ID ||
          (uint64_t)h->cost.memory_kib * h->cost.passes <= PWHASH_ARGON2_WORK_MAX);
    if (is_cheap(h))
        check(!pwhash_matches(h, STR("not this one")));
}

/* Every line is a comment, blank, or the user that is found by its name, unless he came earlier. */
static void check_users(const struct pwfile *f, struct str text)
{
    struct pwline_walk walk = {.rest = text};
    struct pwline line;
    size_t entries = 0;
    size_t bytes = 0;

    while (pwline_next(&walk, &line)) {
        bytes += line.raw.n;
        check(line.kind != PWLINE_WRONG);
        if (line.kind != PWLINE_ENTRY)
            continue;
        entries++;
        check(!pwline_user_wrong(line.user));
        check(pwfile_find(f, line.user) != NULL);
        /* The first one is nobody's second. */
        if (entries == 1)
            check_hash(pwfile_find(f, line.user), line.value);
    }
    check(bytes == text.n && pwfile_count(f) <= entries && (pwfile_count(f) > 0) == (entries > 0));
    check((pwfile_decoy(f, text) != NULL) == (entries > 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    unsigned errors = 0;
    struct log log = {.mask = LOG_LEVEL_ALL, .sink = count_errors, .ctx = &errors};
    size_t before = mem_used();
    struct pwfile *f = NULL;
    struct str text;
    enum err e;

    if (size == 0)
        return 0;
    text = str_of((const char *)data + 1, size - 1);
    if (data[0] < 8)
        mem_fail_after(data[0], 0);
    e = pwfile_parse(text, "fuzz\npw", &log, &f);
    mem_fail_never();
    check((e == ERR_OK) == (f != NULL) && (e == ERR_INVAL) == (errors > 0));
    if (f)
        check_users(f, text);
    pwfile_unref(f);
    check(mem_used() == before);
    return 0;
}
