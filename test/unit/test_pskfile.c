/*
 * Files of pre-shared keys: what is accepted, what is refused in which words, and that no key is
 * shown or left behind.
 */
#include "auth/pskfile.h"

#include "base/buf.h"
#include "base/file.h"
#include "conf_helper.h"

static struct pskfile *parse(struct str text)
{
    struct pskfile *f = NULL;

    captured_reset();
    if (pskfile_parse(text, "psk", &captured_log, &f) != ERR_OK)
        fail_msg("refused: %.*s\n%s", STR_ARG(text), captured.text);
    return f;
}

static void assert_key(const struct pskfile *f, const char *identity, struct str key)
{
    struct str found = pskfile_find(f, str_c(identity));

    if (!found.p || !str_eq(found, key))
        fail_msg("another key, or none: %s", identity);
}

static void keys_are_found(void **state)
{
    struct pskfile *f = parse(STR("# x:00\n"
                                  "\n \t\r\n"
                                  "b:0102aAfF\r\n"
                                  "a:00ff00\n"
                                  "  with  blanks \t:\t 7f \n"
                                  "b/c+#:1\n"
                                  "\xc3\xa9:abc\n"
                                  "last:00"));

    (void)state;
    assert_int_equal(pskfile_count(f), 6);
    assert_key(f, "b", STR("\x01\x02\xaa\xff"));
    assert_key(f, "a", STR("\0\xff\0"));
    assert_key(f, "with  blanks", STR("\x7f"));
    assert_key(f, "b/c+#", STR("\x01"));
    assert_key(f, "\xc3\xa9", STR("\x0a\xbc"));
    assert_key(f, "last", STR("\0"));
    assert_null(pskfile_find(f, STR("x")).p);
    assert_null(pskfile_find(f, STR("# x")).p);
    assert_null(pskfile_find(f, STR("")).p);
    assert_null(pskfile_find(f, STR("B")).p);
    assert_null(pskfile_find(f, STR("a\0b")).p);
    assert_int_equal(captured.errors, 0);
    assert_int_equal(captured.warnings, 3);
    assert_logged("Warning: psk: keys of less than 16 bytes can be guessed; it has 6.");
    assert_logged("Warning: psk:7: identity 'b/c+#': an odd number of digits in its key");
    assert_ptr_equal(pskfile_ref(f), f);
    pskfile_unref(f);
    assert_key(f, "b", STR("\x01\x02\xaa\xff"));
    pskfile_unref(f);
    pskfile_unref(NULL);
}

static void an_empty_file_has_no_keys(void **state)
{
    struct pskfile *f = parse(str_of(NULL, 0));

    (void)state;
    assert_int_equal(pskfile_count(f), 0);
    assert_null(pskfile_find(f, STR("a")).p);
    pskfile_unref(f);
}

static void long_keys_are_no_matter_of_words(void **state)
{
    (void)state;
    pskfile_unref(parse(STR("a:00112233445566778899aabbccddeeff\nb:01")));
    assert_int_equal(captured.warnings, 1);
    assert_logged("can be guessed; it has 1.");
    pskfile_unref(parse(STR("a:00112233445566778899aabbccddeeff\n")));
    assert_int_equal(captured.warnings, 0);
}

static void the_first_of_two_counts(void **state)
{
    struct pskfile *f = parse(STR("z:09\na:01\nb:02\na:03\na :04\n"));

    (void)state;
    assert_int_equal(pskfile_count(f), 3);
    assert_key(f, "a", STR("\x01"));
    assert_int_equal(captured.warnings, 3);
    assert_logged("Warning: psk:4: identity 'a': an earlier line has it too; that one counts.");
    assert_logged("Warning: psk:5: ");
    pskfile_unref(f);
}

static const struct {
    const char *text;
    const char *line; /* of the log */
} faults[] = {
    {"a", "Error: psk:1: no colon; expected IDENTITY:KEY."},
    {"\na:00\n0badcafe\n", "Error: psk:3: no colon; expected IDENTITY:KEY."},
    {":00", "Error: psk:1: no identity; expected IDENTITY:KEY."},
    {" \t:0badcafe", "Error: psk:1: no identity;"},
    {"a:", "Error: psk:1: no key; expected IDENTITY:KEY."},
    {"a: \r", "Error: psk:1: no key;"},
    {"a:0badcafx", "Error: psk:1: the key is not hexadecimal; expected digits from 0 to 9 and a"},
    {"a:0badcafe:00", "the key is not hexadecimal"},
    {"a:0x0badcafe", "the key is not hexadecimal"},
    {"a:0bad cafe", "the key is not hexadecimal"},
    {"a\xff:0badcafe", "Error: psk:1: an identity that is not UTF-8 text, or too long; expected"},
    {"a\tb:0badcafe", "an identity that is not UTF-8 text"},
    {" # a:0badcafeg", "the key is not hexadecimal"},
};

static void faults_are_told_and_no_key(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(faults); i++) {
        struct pskfile *f = NULL;
        captured_reset();
        assert_err(pskfile_parse(str_c(faults[i].text), "psk", &captured_log, &f), ERR_INVAL);
        assert_null(f);
        assert_int_equal(captured.errors, 1);
        assert_logged(faults[i].line);
        assert_not_logged("0bad");
    }
}

static void a_nul_is_refused(void **state)
{
    struct pskfile *f = NULL;

    (void)state;
    assert_err(pskfile_parse(STR("a\0b:00"), "psk", &captured_log, &f), ERR_INVAL);
    assert_err(pskfile_parse(STR("a:00\0"), "psk", &captured_log, &f), ERR_INVAL);
}

static void all_faults_are_told_but_not_thousands(void **state)
{
    char text[400];
    struct pskfile *f = NULL;

    (void)state;
    for (size_t i = 0; i < sizeof(text); i += 2)
        memcpy(text + i, "x\n", 2);
    captured_reset();
    assert_err(pskfile_parse(str_of(text, sizeof(text)), "psk", &captured_log, &f), ERR_INVAL);
    assert_int_equal(captured.errors, 21);
    assert_logged("Error: psk: 180 more lines like these.");
}

/* An identity of `length` bytes and a key of so many digits. */
static enum err parse_long(size_t length, size_t digits)
{
    struct buf b = {0};
    struct pskfile *f = NULL;
    enum err e;

    for (size_t i = 0; i < length; i++)
        assert_ok(buf_add(&b, "x", 1));
    assert_ok(buf_add(&b, ":", 1));
    for (size_t i = 0; i < digits; i++)
        assert_ok(buf_add(&b, "1", 1));
    captured_reset();
    e = pskfile_parse(buf_str(&b), "psk", &captured_log, &f);
    if (!e) {
        struct str key = pskfile_find(f, str_of((char *)buf_begin(&b), length));
        assert_int_equal(key.n, (digits + 1) / 2);
    }
    pskfile_unref(f);
    buf_clear(&b);
    return e;
}

static void limits(void **state)
{
    (void)state;
    assert_ok(parse_long(1, 512));
    assert_ok(parse_long(1, 511));
    assert_err(parse_long(1, 513), ERR_INVAL);
    assert_logged("Error: psk:1: the key is too long; expected at most 512 digits.");
    assert_ok(parse_long(65535, 2));
    assert_err(parse_long(65536, 2), ERR_INVAL);
}

static void every_allocation_may_fail(void **state)
{
    struct pskfile *f = NULL;
    uint64_t n = 0;
    enum err e;

    (void)state;
    unit_needs_tracking();
    do {
        size_t before = mem_used();
        mem_fail_after(n++, 0);
        e = pskfile_parse(STR("a:00\nb:11\n"), "psk", &captured_log, &f);
        mem_fail_never();
        assert_true(e == ERR_OK || e == ERR_NOMEM);
        if (e)
            assert_true(mem_used() == before);
    } while (e && n < 20);
    assert_int_equal(n, 4);
    pskfile_unref(f);
}

static void the_example_is_valid(void **state)
{
    struct buf b = {0};
    struct pskfile *f;

    (void)state;
    assert_ok(file_read("pskfile.example", 1 << 20, &b));
    f = parse(buf_str(&b));
    assert_int_equal(pskfile_count(f), 0);
    pskfile_unref(f);
    ((char *)memmem(buf_begin(&b), b.len, "\n#lamp:", 7))[1] = ' ';
    f = parse(buf_str(&b));
    assert_int_equal(captured.used, 0);
    assert_int_equal(pskfile_find(f, STR("lamp")).n, 32);
    pskfile_unref(f);
    buf_clear(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(keys_are_found),
        UNIT_TEST(an_empty_file_has_no_keys),
        UNIT_TEST(long_keys_are_no_matter_of_words),
        UNIT_TEST(the_first_of_two_counts),
        UNIT_TEST(faults_are_told_and_no_key),
        UNIT_TEST(a_nul_is_refused),
        UNIT_TEST(all_faults_are_told_but_not_thousands),
        UNIT_TEST(limits),
        UNIT_TEST(every_allocation_may_fail),
        UNIT_TEST(the_example_is_valid),
    };

    return cmocka_run_group_tests_name("pskfile", tests, NULL, NULL);
}
