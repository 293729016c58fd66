/*
 * Password files: which lines are users, which are errors, and how users are found.
 */
#include "auth/pwfile.h"

#include "auth/pwline.h"
#include "base/buf.h"
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>

/* What was logged: each line with a letter for its level, "E:…\n". */
struct heard {
    struct buf text;
    unsigned errors, warnings;
};

static void hear(void *ctx, enum log_level level, struct str line, const struct log_about *about)
{
    struct heard *h = ctx;

    (void)about;
    h->errors += level == LOG_LEVEL_ERROR;
    h->warnings += level == LOG_LEVEL_WARNING;
    assert_ok(
        buf_printf(&h->text, "%s:%.*s\n", level == LOG_LEVEL_ERROR ? "E" : "W", STR_ARG(line)));
}

static struct pwfile *parse(struct str text, struct heard *heard, enum err expected)
{
    struct log log = {.mask = LOG_LEVEL_ALL, .sink = hear, .ctx = heard};
    struct pwfile *f = NULL;
    /* A copy that is gone afterwards: nothing of the file may point into it. */
    char *copy = mem_alloc(text.n);

    assert_non_null(copy);
    if (text.n > 0)
        memcpy(copy, text.p, text.n);
    *heard = (struct heard){0};
    assert_err(pwfile_parse(str_of(copy, text.n), "dir/pw", &log, &f), expected);
    memset(copy, 'x', text.n);
    mem_free(copy, text.n);
    assert_int_equal(f != NULL, expected == ERR_OK);
    assert_int_equal(heard->errors > 0, expected == ERR_INVAL);
    return f;
}

static void assert_said(const struct heard *h, const char *text)
{
    if (!memmem(buf_begin(&h->text), h->text.len, text, strlen(text)))
        fail_msg("\"%s\" is not in:\n%.*s", text, STR_ARG(buf_str(&h->text)));
}

static void assert_user(const struct pwfile *f, const char *name, const char *password)
{
    const struct pwhash *h = pwfile_find(f, str_c(name));

    if (!h)
        fail_msg("there is no user '%s'", name);
    else
        assert_true(pwhash_matches(h, str_c(password)));
}

static void users_are_found(void **state)
{
    struct heard heard;
    struct pwfile *f = parse(STR("# users\n"
                                 "\n"
                                 "bob:one\n"
                                 "  \t\r\n"
                                 "  # not a user: it is a comment\n"
                                 "  alice \t: two words \r\n"
                                 "Zo\xc3\xab:a:b:c\n"
                                 "carol c:$\n"
                                 "last:pw"),
                             &heard, ERR_OK);

    (void)state;
    assert_int_equal(pwfile_count(f), 5);
    assert_user(f, "bob", "one");
    assert_user(f, "alice", "two words");
    assert_user(f, "Zo\xc3\xab", "a:b:c");
    assert_user(f, "carol c", "$");
    assert_user(f, "last", "pw");
    assert_null(pwfile_find(f, STR("alic")));
    assert_null(pwfile_find(f, STR("alicea")));
    assert_null(pwfile_find(f, STR("")));
    assert_null(pwfile_find(f, (struct str){0}));
    assert_null(pwfile_find(f, STR("bob\0")));
    assert_null(pwfile_find(f, STR("# not a user")));
    pwfile_unref(f);
    buf_clear(&heard.text);
}

static void hashes_are_found(void **state)
{
    char text[PWHASH_TEXT_MAX * 2];
    char hash[PWHASH_TEXT_MAX];
    struct heard heard;
    struct pwfile *f;

    (void)state;
    if (pwhash_missing(PWHASH_PBKDF2))
        skip();
    assert_ok(pwhash_make(PWHASH_PBKDF2, 2, STR("secret"), hash));
    (void)snprintf(text, sizeof(text), "a:%s\r\n", hash);
    f = parse(str_c(text), &heard, ERR_OK);
    assert_int_equal(heard.warnings, 0);
    assert_user(f, "a", "secret");
    pwfile_unref(f);
}

static void plain_passwords_are_one_warning(void **state)
{
    struct heard heard;

    (void)state;
    pwfile_unref(parse(STR("a:1\nb:2\n"), &heard, ERR_OK));
    assert_int_equal(heard.warnings, 1);
    assert_said(&heard, "W:Warning: dir/pw: 2 passwords are not hashed; `mosquitto_passwd -U "
                        "dir/pw` would hash them.\n");
    buf_clear(&heard.text);
    pwfile_unref(parse(STR("a:1\n"), &heard, ERR_OK));
    assert_said(&heard, "1 password is not hashed; `mosquitto_passwd -U dir/pw` would hash it.\n");
    buf_clear(&heard.text);
}

static void the_first_of_two_counts(void **state)
{
    struct heard heard;
    struct pwfile *f = parse(STR("b:1\na:2\n# x\nb:3\na:4\n b :5\n"), &heard, ERR_OK);

    (void)state;
    assert_int_equal(pwfile_count(f), 2);
    assert_user(f, "a", "2");
    assert_user(f, "b", "1");
    assert_said(&heard,
                "W:Warning: dir/pw:4: user 'b' is on line 1 already; that line counts, this "
                "one does not.\nW:Warning: dir/pw:5: user 'a' is on line 2 already");
    assert_said(&heard, "dir/pw:6: user 'b' is on line 1 already");
    assert_int_equal(heard.warnings, 4);
    pwfile_unref(f);
    buf_clear(&heard.text);
}

static void files_without_users(void **state)
{
    static const char *const texts[] = {"", "\n", "# nobody\n\n", "\xef\xbb\xbf"};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        struct heard heard;
        struct pwfile *f = parse(str_c(texts[i]), &heard, ERR_OK);

        assert_int_equal(pwfile_count(f), 0);
        assert_null(pwfile_find(f, STR("")));
        assert_null(pwfile_find(f, STR("x")));
        assert_null(pwfile_decoy(f, STR("x")));
        pwfile_unref(f);
        buf_clear(&heard.text);
    }
}

static void wrong_lines(void **state)
{
    static const struct {
        struct str text;
        const char *says;
    } cases[] = {
        {STR("a:b\nuser\n"), "E:Error: dir/pw:2: there is no ':' in it; expected USER:HASH"},
        {STR("a:b\n\nuser:\n"), "E:Error: dir/pw:3: user 'user': there is no password; expected"},
        {STR("user:  \r\n"), "E:Error: dir/pw:1: user 'user': there is no password"},
        {STR(":b\n"), "E:Error: dir/pw:1: the user name is empty; expected USER:HASH"},
        {STR("  :b\n"), "E:Error: dir/pw:1: the user name is empty"},
        {STR("\xff:b\n"),
         "E:Error: dir/pw:1: the user name has control characters or is not UTF-8"},
        {STR("a\tb:b\n"), "E:Error: dir/pw:1: the user name has control characters"},
        {STR("a\0b:c\n"), "E:Error: dir/pw:1: there is a zero byte in it"},
        {STR("a:b\0c\n"), "E:Error: dir/pw:1: there is a zero byte in it"},
        {STR("u:$2y$10$abc\n"), "E:Error: dir/pw:1: user 'u': this kind of hash is not known"},
        {STR("it's:\n"), "user 'it\\x27s': there is no password"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct heard heard;

        (void)parse(cases[i].text, &heard, ERR_INVAL);
        assert_said(&heard, cases[i].says);
        assert_int_equal(heard.errors, 1);
        buf_clear(&heard.text);
    }
}

static void a_wrong_hash_names_what_is_wrong(void **state)
{
    struct heard heard;

    (void)state;
    (void)parse(STR("u:$7$x$y$z\n"), &heard, ERR_INVAL);
    if (pwhash_missing(PWHASH_PBKDF2))
        assert_said(&heard,
                    "E:Error: dir/pw:1: user 'u': hashes need a build with WITH_TLS=yes.\n");
    else
        assert_said(&heard,
                    "E:Error: dir/pw:1: user 'u': its number of rounds is not one from 1 to "
                    "10000000; expected USER:HASH");
    buf_clear(&heard.text);
}

/* What stands in a line that is wrong may be a password. */
static void errors_tell_no_secrets(void **state)
{
    struct heard heard;

    (void)state;
    (void)parse(STR("secret\n:secret\n\x01:secret\nu:$2y$secret\nu:$7$secret\nw:$6$secret$x\n"),
                &heard, ERR_INVAL);
    assert_int_equal(heard.errors, 6);
    assert_null(memmem(buf_begin(&heard.text), heard.text.len, "secret", 6));
    buf_clear(&heard.text);
}

static void many_errors_are_counted(void **state)
{
    struct heard heard;
    struct buf text = {0};

    (void)state;
    for (int i = 0; i < 20; i++)
        assert_ok(buf_printf(&text, "wrong\n"));
    (void)parse(buf_str(&text), &heard, ERR_INVAL);
    assert_int_equal(heard.errors, 20);
    buf_clear(&heard.text);
    for (int i = 0; i < 7; i++)
        assert_ok(buf_printf(&text, "u:\n"));
    (void)parse(buf_str(&text), &heard, ERR_INVAL);
    assert_int_equal(heard.errors, 21);
    assert_said(&heard, "E:Error: dir/pw:20: there is no ':'");
    assert_said(&heard, "E:Error: dir/pw: and 7 more lines are wrong.\n");
    buf_clear(&heard.text);
    buf_clear(&text);
}

static void long_lines(void **state)
{
    static const struct {
        size_t name, password;
        const char *says; /* NULL: it is fine */
    } cases[] = {
        {65535, 65535, NULL},
        {65536, 1, "the user name is longer than 65535 bytes"},
        {1, 65536, "the password is longer than 65535 bytes"},
        {65535, 65536, "the line is longer than 131071 bytes"},
        {1, 200000, "the line is longer than 131071 bytes"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        size_t n = cases[i].name + 1 + cases[i].password;
        char *text = mem_alloc(n);
        struct heard heard;
        struct pwfile *f;

        assert_non_null(text);
        memset(text, 'u', n);
        text[cases[i].name] = ':';
        f = parse(str_of(text, n), &heard, cases[i].says ? ERR_INVAL : ERR_OK);
        if (f)
            assert_non_null(pwfile_find(f, str_of(text, cases[i].name)));
        else
            assert_said(&heard, cases[i].says);
        pwfile_unref(f);
        mem_free(text, n);
        buf_clear(&heard.text);
    }
}

static void a_byte_order_mark_is_no_name(void **state)
{
    struct heard heard;
    struct pwfile *f = parse(STR("\xef\xbb\xbfu:pw\n"), &heard, ERR_OK);

    (void)state;
    assert_user(f, "u", "pw");
    pwfile_unref(f);
    buf_clear(&heard.text);
}

static void strangers_meet_every_user(void **state)
{
    struct heard heard;
    struct pwfile *f = parse(STR("a:1\nb:2\nc:3\nd:4\na:5\n"), &heard, ERR_OK);
    unsigned met[4] = {0};

    (void)state;
    for (int i = 0; i < 4000; i++) {
        char name[24];
        const struct pwhash *h;

        (void)snprintf(name, sizeof(name), "stranger%d", i);
        h = pwfile_decoy(f, str_c(name));
        assert_ptr_equal(h, pwfile_decoy(f, str_c(name)));
        assert_int_equal(h->text.n, 1);
        assert_in_range(h->text.p[0], '1', '4');
        met[h->text.p[0] - '1']++;
    }
    for (size_t i = 0; i < ARRAY_SIZE(met); i++)
        assert_in_range(met[i], 850, 1150);
    pwfile_unref(f);
    buf_clear(&heard.text);
}

static void it_is_counted(void **state)
{
    struct heard heard;
    struct pwfile *f = parse(STR("a:1\n"), &heard, ERR_OK);

    (void)state;
    assert_ptr_equal(pwfile_ref(f), f);
    pwfile_unref(f);
    assert_user(f, "a", "1");
    pwfile_unref(f);
    pwfile_unref(NULL);
    buf_clear(&heard.text);
}

static void without_memory(void **state)
{
    struct pwfile *f = NULL;

    (void)state;
    unit_needs_tracking();
    for (uint64_t n = 0;; n++) {
        enum err e;

        mem_fail_after(n, 0);
        e = pwfile_parse(STR("a:1\nb:2\na:3\n"), "pw", NULL, &f);
        mem_fail_never();
        if (e == ERR_OK)
            break;
        assert_err(e, ERR_NOMEM);
        assert_null(f);
    }
    pwfile_unref(f);
}

/* Many users, in no order: each is found, and what each takes is known. */
static void a_hundred_thousand(void **state)
{
    enum { COUNT = 100000 };
    struct heard heard;
    struct buf text = {0};
    struct pwfile *f;
    size_t before;
    char name[32];

    (void)state;
    for (uint32_t i = 0; i < COUNT; i++)
        assert_ok(buf_printf(&text, "user%u:pw%u\n", i * 2654435761U, i));
    before = mem_used();
    f = parse(buf_str(&text), &heard, ERR_OK);
    if (feature_built(FEATURE_MEMORY_TRACKING))
        assert_true(mem_used() - before < COUNT * 260U);
    assert_int_equal(pwfile_count(f), COUNT);
    for (uint32_t i = 0; i < COUNT; i++) {
        char password[32];

        (void)snprintf(name, sizeof(name), "user%u", i * 2654435761U);
        (void)snprintf(password, sizeof(password), "pw%u", i);
        assert_user(f, name, password);
    }
    pwfile_unref(f);
    buf_clear(&heard.text);
    buf_clear(&text);
}

static void names_that_no_line_can_have(void **state)
{
    static const struct {
        struct str name;
        const char *why;
    } cases[] = {
        {STR(""), "empty"},       {STR("a:b"), "':'"},
        {STR("a\nb"), "control"}, {STR("a\x7f"), "control"},
        {STR("\xc3"), "UTF-8"},   {STR("a\0"), "control"},
        {STR("#a"), "comment"},   {STR(" a"), "blanks"},
        {STR("a "), "blanks"},    {STR("\xed\xa0\x80"), "UTF-8"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        const char *why = pwline_user_wrong(cases[i].name);

        assert_non_null(why);
        assert_non_null(strstr(why, cases[i].why));
    }
    assert_null(pwline_user_wrong(STR("a b#+/\xc3\xab")));
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        UNIT_TEST(users_are_found),
        UNIT_TEST(hashes_are_found),
        UNIT_TEST(plain_passwords_are_one_warning),
        UNIT_TEST(the_first_of_two_counts),
        UNIT_TEST(files_without_users),
        UNIT_TEST(wrong_lines),
        UNIT_TEST(a_wrong_hash_names_what_is_wrong),
        UNIT_TEST(errors_tell_no_secrets),
        UNIT_TEST(many_errors_are_counted),
        UNIT_TEST(long_lines),
        UNIT_TEST(a_byte_order_mark_is_no_name),
        UNIT_TEST(strangers_meet_every_user),
        UNIT_TEST(it_is_counted),
        UNIT_TEST(without_memory),
        UNIT_TEST(a_hundred_thousand),
        UNIT_TEST(names_that_no_line_can_have),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
