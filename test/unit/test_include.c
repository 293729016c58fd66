/*
 * Files of include_dir: which, in what order, and what they may say.
 */
#include "conf/conf.h"

#include "conf_helper.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

/* A directory of its own for each test; its files go with it. */
static char dir[64];

static int setup(void **state)
{
    strcpy(dir, "/tmp/test_include.XXXXXX");
    assert_non_null(mkdtemp(dir));
    return unit_begin(state);
}

static int teardown(void **state)
{
    DIR *d = opendir(dir);
    struct dirent *entry;

    assert_non_null(d);
    while ((entry = readdir(d))) {
        if (entry->d_name[0] != '.' || strlen(entry->d_name) > 2)
            (void)unlinkat(dirfd(d), entry->d_name, entry->d_type == DT_DIR ? AT_REMOVEDIR : 0);
    }
    closedir(d);
    rmdir(dir);
    return unit_end(state);
}

static void put(const char *name, const char *text)
{
    char path[128];
    FILE *f;

    snprintf(path, sizeof(path), "%s/%s", dir, name);
    f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

/* Load "BEFORE include_dir DIR AFTER"; a % stands for the directory in what is expected. */
static enum err load_around(const char *before, const char *after, struct conf **out)
{
    char text[1024];

    snprintf(text, sizeof(text), "%sinclude_dir %s\n%s", before, dir, after);
    return load_test(text, out);
}

static struct conf *loaded_around(const char *before, const char *after)
{
    struct conf *c;

    if (load_around(before, after, &c) != ERR_OK)
        fail_msg("refused: %s", captured.text);
    return c;
}

static void assert_logged_of(const char *expected)
{
    char text[1024];
    const char *sign = strchr(expected, '%');

    snprintf(text, sizeof(text), "%.*s%s%s", (int)(sign - expected), expected, dir, sign + 1);
    assert_logged(text);
}

static void files_come_in_order(void **state)
{
    static const char *const names[] = {"b.conf", "a.conf",  "B.conf", "10.conf",
                                        "a",      "ab.conf", "A.conf", "_.conf"};
    static const char *const order[] = {"10.conf", "A.conf", "a.conf", "ab.conf",
                                        "B.conf",  "b.conf", "_.conf"};
    const char *at = captured.text;
    char expected[128];

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        put(names[i], "# nothing\n");
    conf_free(loaded_around("", ""));
    for (size_t i = 0; i < ARRAY_SIZE(order); i++) {
        snprintf(expected, sizeof(expected), "Loading config file %s/%s\n", dir, order[i]);
        assert_int_equal(strncmp(at, expected, strlen(expected)), 0);
        at += strlen(expected);
    }
    assert_string_equal(at, "");
}

static void only_names_that_end_in_conf(void **state)
{
    static const char *const others[] = {"a.conf~", "b.conf.dpkg-old", ".conf", "conf", "c.CONF"};
    struct conf *c;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(others); i++)
        put(others[i], "frobnicate\n");
    put(".hidden.conf", "max_keepalive 5\n");
    c = loaded_around("", "");
    assert_int_equal(c->global.max_keepalive, 5);
    conf_free(c);
}

static void lines_are_read_where_the_line_stands(void **state)
{
    struct conf *c;

    (void)state;
    put("1.conf", "max_keepalive 5\n");
    put("2.conf", "listener 18831 ::1\nmax_qos 0");
    c = loaded_around("allow_anonymous true\nlistener 18830 ::1\n", "max_connections 9\n");
    assert_int_equal(c->listener_count, 2);
    assert_int_equal(c->listeners[0]->max_qos, 2);
    assert_int_equal(c->listeners[0]->line, 2);
    assert_string_equal(c->listeners[0]->file, "m.conf");
    assert_int_equal(c->listeners[0]->max_connections, 9);
    assert_int_equal(c->listeners[1]->max_qos, 0);
    assert_int_equal(c->listeners[1]->max_connections, -1);
    assert_int_equal(c->listeners[1]->line, 1);
    assert_true(strstr(c->listeners[1]->file, "/2.conf") != NULL);
    assert_int_equal(c->global.max_keepalive, 5);
    conf_free(c);
}

/* As in Mosquitto: a file must not change a listener that only another file names. */
static void each_file_has_its_own_listeners(void **state)
{
    struct conf *c;

    (void)state;
    put("1.conf", "max_qos 1\nallow_anonymous true\nlistener 18831 ::1\nallow_anonymous true\n");
    put("2.conf", "max_connections 3\n");
    c = loaded_around("per_listener_settings true\nlistener 18830 ::1\n", "max_qos 0\n");
    assert_int_equal(c->listener_count, 2);
    assert_int_equal(c->listeners[0]->max_qos, 0);
    assert_int_equal(c->listeners[0]->max_connections, -1);
    assert_false(c->listeners[0]->security.allow_anonymous);
    assert_int_equal(c->listeners[1]->max_qos, 2);
    assert_int_equal(c->listeners[1]->max_connections, -1);
    assert_true(c->listeners[1]->security.allow_anonymous);
    assert_logged_of("Warning: max_qos (%/1.conf:1): has no effect");
    assert_logged_of("Warning: max_connections (%/2.conf:1): has no effect");
    conf_free(c);
}

static void expansion_runs_on(void **state)
{
    struct conf *c;

    (void)state;
    setenv("T_PREFIX", "x-", 1);
    put("1.conf", "auto_id_prefix ${T_PREFIX}\n");
    put("2.conf", "expand_env false\nuser ${T_PREFIX}\n");
    c = loaded_around("expand_env true\n", "clientid_prefixes ${T_PREFIX}\n");
    assert_string_equal(c->global.security.auto_id_prefix, "x-");
    assert_string_equal(c->global.user, "${T_PREFIX}");
    assert_string_equal(c->global.clientid_prefixes, "${T_PREFIX}");
    conf_free(c);
}

static void messages_name_the_file(void **state)
{
    struct conf *c;

    (void)state;
    put("1.conf", "\nmax_qos 3\n");
    put("2.conf", "pid_file /b\n");
    assert_int_equal(load_around("pid_file /a\n", "foo\n", &c), ERR_INVAL);
    assert_logged_of("Error: max_qos '3' (%/1.conf:2): expected a number from 0 to 2.\n");
    assert_logged_of("Error: pid_file '/b' (%/2.conf:1): Duplicate 'pid_file' value in "
                     "configuration; m.conf:1 has it too.\n");
    assert_logged("Error: Unknown configuration variable 'foo' (m.conf:3)");
    assert_int_equal(captured.errors, 3);
}

static void a_start_ends_at_the_first_error(void **state)
{
    char text[256];
    struct conf *c;

    (void)state;
    put("1.conf", "max_qos 3\nfoo\n");
    put("2.conf", "bar\n");
    snprintf(text, sizeof(text), "include_dir %s\nbaz\n", dir);
    assert_int_equal(load(text, &c), ERR_INVAL);
    assert_int_equal(captured.errors, 1);
    assert_not_logged("2.conf");
}

/* As in Mosquitto: otherwise a directory could include itself. */
static void an_included_file_includes_nothing(void **state)
{
    char text[128];

    (void)state;
    snprintf(text, sizeof(text), "include_dir %s\nmax_qos 1\n", dir);
    put("1.conf", text);
    conf_free(loaded_around("", ""));
    assert_logged("/1.conf:1): only the main file may have it; the line is ignored.\n");
    assert_int_equal(captured.warnings, 1);
}

static void several_directories_and_the_same_twice(void **state)
{
    char text[256];
    struct conf *c;

    (void)state;
    put("1.conf", "max_keepalive 5\n");
    snprintf(text, sizeof(text), "include_dir %s\ninclude_dir %s//\n", dir, dir);
    c = loaded(text);
    assert_int_equal(c->global.max_keepalive, 5);
    assert_int_equal(captured.warnings, 1);
    conf_free(c);
}

static void an_empty_directory_is_fine(void **state)
{
    (void)state;
    conf_free(loaded_around("", ""));
    assert_int_equal(captured.used, 0);
}

static void a_byte_order_mark_in_each_file(void **state)
{
    struct conf *c;

    (void)state;
    put("1.conf", "\xEF\xBB\xBFmax_qos 1\r\n");
    put("2.conf", "\xEF\xBB\xBF");
    put("3.conf", "");
    c = loaded_around("", "");
    assert_int_equal(c->listeners[0]->max_qos, 1);
    conf_free(c);
}

static void what_cannot_be_read_is_an_error(void **state)
{
    char path[128];
    struct conf *c;

    (void)state;
    snprintf(path, sizeof(path), "%s/x.conf", dir);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(load_around("\n", "", &c), ERR_INVAL);
    assert_logged_of("Error: include_dir '%/x.conf' (m.conf:2): Is a directory; expected what can "
                     "be read.\n");
    rmdir(path);
    assert_int_equal(symlink("/nonexistent/y", path), 0);
    assert_int_equal(load_around("\n", "", &c), ERR_INVAL);
    assert_logged_of("Error: include_dir '%/x.conf' (m.conf:2): No such file or directory; ");
    unlink(path);
    put("plain", "max_qos 1\n");
    assert_refused("include_dir /dev/null\n", 1,
                   "Error: include_dir '/dev/null' (m.conf:1): Not a "
                   "directory; expected what can be read.\n");
}

/* Descriptors are dear when a broker with many clients reads its file again. */
static void one_descriptor_is_enough(void **state)
{
    int last = open("/dev/null", O_RDONLY), all[64];
    size_t taken = 0;
    struct conf *c;

    (void)state;
    put("1.conf", "max_qos 1\n");
    put("2.conf", "max_keepalive 1\n");
    /* Below the next free descriptor and one more there is nothing free. */
    assert_true(last > 2 && last < 60);
    close(last);
    struct rlimit before, few = {0};
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    few = before;
    few.rlim_cur = (rlim_t)last + 1;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    enum err e = load_around("", "", &c);
    while (taken < ARRAY_SIZE(all) && (all[taken] = open("/dev/null", O_RDONLY)) >= 0)
        taken++;
    for (size_t i = 0; i < taken; i++)
        close(all[i]);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(e, ERR_OK);
    assert_int_equal(taken, 1); /* nothing was left open either */
    conf_free(c);
}

static void failing_memory_leaks_nothing(void **state)
{
    size_t before = mem_used();
    enum err e = ERR_NOMEM;
    char name[32];

    (void)state;
    unit_needs_tracking();
    for (int i = 0; i < 20; i++) {
        snprintf(name, sizeof(name), "%d.conf", i);
        put(name, "log_dest stdout\n");
    }
    put("z.conf", "expand_env 1\nlistener 18831 ::1\nallow_anonymous true\nuser ${HOME}\n"
                  "mount_point a/\ntrusted_proxy ::1\nenable_proxy_protocol 1\n"
                  "listener_auto_id_prefix x\n");
    for (unsigned n = 0; e == ERR_NOMEM; n++) {
        struct conf *c;
        mem_fail_after(n, 0);
        e = load_around("", "", &c);
        mem_fail_never();
        conf_free(c);
        assert_int_equal(mem_used(), before);
    }
    assert_int_equal(e, ERR_OK);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(files_come_in_order),
        TEST(only_names_that_end_in_conf),
        TEST(lines_are_read_where_the_line_stands),
        TEST(each_file_has_its_own_listeners),
        TEST(expansion_runs_on),
        TEST(messages_name_the_file),
        TEST(a_start_ends_at_the_first_error),
        TEST(an_included_file_includes_nothing),
        TEST(several_directories_and_the_same_twice),
        TEST(an_empty_directory_is_fine),
        TEST(a_byte_order_mark_in_each_file),
        TEST(what_cannot_be_read_is_an_error),
        TEST(one_descriptor_is_enough),
        TEST(failing_memory_leaks_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
