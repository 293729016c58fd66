/*
 * Do hosts.allow and hosts.deny say anything at all?
 */
#include "server/wrap.h"

#include "unit.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DIRECTORY "/tmp/test_wrap.XXXXXX"

struct rig {
    char directory[sizeof(DIRECTORY)];
    char paths[2][sizeof(DIRECTORY) + 4];
    struct wrap wrap;
};

static struct rig the_rig;

static int rig_init(void **state)
{
    struct rig *r = &the_rig;
    *state = NULL;
    if (!wrap_built()) {
        return 0;
    }
    *r = (struct rig){.directory = DIRECTORY};
    assert_non_null(mkdtemp(r->directory));
    wrap_init(&r->wrap);
    for (int i = 0; i < 2; i++) {
        memcpy(r->paths[i], r->directory, sizeof(DIRECTORY));
        r->paths[i][sizeof(DIRECTORY) - 1] = '/';
        r->paths[i][sizeof(DIRECTORY)] = (char)('0' + i);
        r->wrap.files[i].path = r->paths[i];
    }
    *state = r;
    return 0;
}

static int rig_clear(void **state)
{
    struct rig *r = *state;
    if (r) {
        (void)unlink(r->paths[0]);
        (void)unlink(r->paths[1]);
        assert_int_equal(rmdir(r->directory), 0);
    }
    return 0;
}

static struct rig *rig_of(void **state)
{
    if (!*state) {
        skip();
    }
    return &the_rig;
}

static void say_bytes(const struct rig *r, int i, const char *text, size_t n)
{
    FILE *f = fopen(r->paths[i], "w");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
}

static void say(const struct rig *r, int i, const char *text)
{
    say_bytes(r, i, text, strlen(text));
}

static bool is_silent(struct rig *r)
{
    return wrap_is_silent(&r->wrap);
}

static void files_that_are_not_there_say_nothing(void **state)
{
    struct rig *r = rig_of(state);
    assert_true(is_silent(r));
    say(r, 1, "ALL: ALL\n");
    assert_false(is_silent(r));
    assert_int_equal(unlink(r->paths[1]), 0);
    assert_true(is_silent(r));
}

static void comments_and_blank_lines_say_nothing(void **state)
{
    struct rig *r = rig_of(state);
    static const struct {
        const char *text;
        bool silent;
    } cases[] = {
        {"", true},
        {"\n\n", true},
        {"# ALL: ALL\n", true},
        {" \t\r\n# ALL: ALL\n", true},
        {"ALL: ALL\n", false},
        {"ALL: ALL", false},
        {"# a comment\nALL: ALL\n", false},
        {"# its line does not end", false},
        {"\n ", false},
        {" # no comment for libwrap\n", false},
        {"# goes on \\\n ALL: ALL\n", false},
        {"x", false},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        for (int file = 0; file < 2; file++) {
            say(r, file, cases[i].text);
            say(r, !file, "# nothing\n");
            assert_int_equal(is_silent(r), cases[i].silent);
        }
    }
}

static void what_is_odd_is_left_to_libwrap(void **state)
{
    struct rig *r = rig_of(state);
    char text[20000];
    memset(text, '#', sizeof(text));
    text[1000] = '\n';
    say_bytes(r, 0, text, 1001);
    assert_true(is_silent(r));
    text[1000] = '#';
    text[1001] = '\n';
    say_bytes(r, 0, text, 1002);
    assert_false(is_silent(r));
    memset(text, '\n', sizeof(text));
    say_bytes(r, 0, text, sizeof(text));
    assert_false(is_silent(r));
    say_bytes(r, 0, "\0\n", 2);
    assert_false(is_silent(r));
    assert_int_equal(unlink(r->paths[0]), 0);
    assert_int_equal(mkdir(r->paths[0], 0700), 0);
    assert_false(is_silent(r));
    assert_int_equal(rmdir(r->paths[0]), 0);
    assert_int_equal(mkfifo(r->paths[0], 0600), 0);
    assert_false(is_silent(r));
}

/* Times and sizes do not tell these apart. */
static void a_change_right_after_a_look_is_seen(void **state)
{
    struct rig *r = rig_of(state);
    for (int i = 0; i < 50; i++) {
        say(r, 0, "#LL: ALL\n");
        assert_true(is_silent(r));
        say(r, 0, "ALL: ALL\n");
        assert_false(is_silent(r));
    }
}

/* A file that has not changed for long is not read again; when it changes, it is. */
static void an_old_file_is_known(void **state)
{
    struct rig *r = rig_of(state);
    struct stat st;
    say(r, 0, "# nothing\n");
    assert_int_equal(stat(r->paths[0], &st), 0);
    assert_true(is_silent(r));
    assert_false(r->wrap.files[0].bare);
    /* As if it had been read long after that. */
    r->wrap.files[0].bare = true;
    assert_true(is_silent(r));
    assert_true(r->wrap.files[0].bare);
    say(r, 0, "ALL: ALL\n");
    assert_false(is_silent(r));
    assert_false(r->wrap.files[0].bare);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(files_that_are_not_there_say_nothing, rig_init, rig_clear),
        cmocka_unit_test_setup_teardown(comments_and_blank_lines_say_nothing, rig_init, rig_clear),
        cmocka_unit_test_setup_teardown(what_is_odd_is_left_to_libwrap, rig_init, rig_clear),
        cmocka_unit_test_setup_teardown(a_change_right_after_a_look_is_seen, rig_init, rig_clear),
        cmocka_unit_test_setup_teardown(an_old_file_is_known, rig_init, rig_clear),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
