/*
 * Loading from real files, the examples that are installed, and loading while memory runs out.
 */
#include "conf/conf.h"

#include "base/buf.h"
#include "base/feature.h"
#include "base/file.h"
#include "base/mem.h"
#include "conf_helper.h"

#include <stdlib.h>
#include <unistd.h>

static enum err load_file(const char *path, struct conf **out)
{
    struct conf_args args = {.file = path};

    captured_reset();
    *out = NULL;
    return conf_load(&args, &captured_log, out);
}

static void without_a_file_all_is_default(void **state)
{
    struct conf *c;

    (void)state;
    assert_int_equal(load_file(NULL, &c), ERR_OK);
    assert_true(c->local_only);
    assert_int_equal(captured.used, 0);
    conf_free(c);
    conf_free(NULL);
}

static void a_file_is_read(void **state)
{
    char path[] = "/tmp/test_conf.XXXXXX";
    char expected[100];
    int fd = mkstemp(path);
    struct conf *c;

    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "max_qos 1\n", 10), 10);
    assert_int_equal(load_file(path, &c), ERR_OK);
    assert_int_equal(c->listeners[0]->max_qos, 1);
    conf_free(c);
    assert_int_equal(write(fd, "foo\n", 4), 4);
    assert_int_equal(load_file(path, &c), ERR_INVAL);
    snprintf(expected, sizeof(expected), "variable 'foo' (%s:2): ", path);
    assert_logged(expected);
    close(fd);
    unlink(path);
}

static void what_is_no_file(void **state)
{
    struct conf *c;

    (void)state;
    assert_int_equal(load_file("/nonexistent/m.conf", &c), ERR_SYSTEM);
    assert_null(c);
    assert_logged("Error: Unable to open configuration file '/nonexistent/m.conf': No such file or "
                  "directory.\n");
    assert_int_equal(load_file("/tmp", &c), ERR_SYSTEM);
    assert_logged("Error: Unable to open configuration file '/tmp': Is a directory.\n");
    assert_int_equal(load_file("/dev/zero", &c), ERR_INVAL);
    assert_int_equal(captured.errors, 1);
}

static void without_a_log_it_works_too(void **state)
{
    struct conf_args args = {.file = "m.conf"};
    struct conf *c = NULL;

    (void)state;
    assert_int_equal(conf_load_text(&args, STR("max_qos 1\nport 18830\n"), NULL, &c), ERR_OK);
    conf_free(c);
    c = NULL;
    assert_int_equal(conf_load_text(&args, STR("max_qos 3"), NULL, &c), ERR_INVAL);
    assert_null(c);
}

static void the_example_changes_nothing(void **state)
{
    struct conf *c;

    (void)state;
    assert_int_equal(load_file("mosquitto.conf.example", &c), ERR_OK);
    assert_true(c->local_only);
    assert_int_equal(captured.used, 0);
    conf_free(c);
}

static void assert_same_global(const struct conf_global *a, const struct conf_global *b)
{
    struct conf_global x = *a, y = *b;

    assert_string_equal(x.security.auto_id_prefix, y.security.auto_id_prefix);
    assert_string_equal(x.persistence_file, y.persistence_file);
    x.security.auto_id_prefix = y.security.auto_id_prefix = NULL;
    x.persistence_file = y.persistence_file = NULL;
    /* Without a default: the example has to say something. */
    if (feature_built(FEATURE_PERSISTENCE))
        assert_string_equal(x.persistence_location, "/var/lib/mosquitto");
    assert_null(y.persistence_location);
    x.persistence_location = NULL;
    assert_true(x.persistent_client_expiration_s == 2 * 30 * 24 * 3600);
    assert_int_equal(y.persistent_client_expiration_s, 0);
    x.persistent_client_expiration_s = 0;
    assert_null(x.log_file);
    assert_null(y.log_file);
    assert_memory_equal(&x, &y, sizeof(x));
}

/* Its commented lines are the defaults, and load as they stand. */
static void the_example_without_its_comment_signs(void **state)
{
    struct conf_args args = {.file = "example"};
    struct buf b = {0};
    struct conf *c, *defaults;
    char *p;

    (void)state;
    assert_int_equal(file_read("mosquitto.conf.example", 1 << 20, &b), ERR_OK);
    p = (char *)buf_begin(&b);
    for (size_t i = 0; i + 1 < b.len; i++) {
        bool sign = p[i] == '#' && (i == 0 || p[i - 1] == '\n');
        if (sign && p[i + 1] >= 'a' && p[i + 1] <= 'z')
            p[i] = ' ';
    }
    defaults = loaded("listener 18830\n");
    assert_int_equal(load_args(&args, buf_str(&b), &c), ERR_OK);
    assert_int_equal(captured.errors, 0);
    assert_same_global(&c->global, &defaults->global);
    assert_int_equal(c->listener_count, 3);
    assert_int_equal(c->listeners[1]->max_connections, defaults->listeners[0]->max_connections);
    assert_int_equal(c->listeners[1]->max_qos, defaults->listeners[0]->max_qos);
    conf_free(c);
    conf_free(defaults);
    buf_clear(&b);
}

static const char everything[] = "max_qos 1\n"
                                 "listener 18830 127.0.0.1\n"
                                 "listener 18831\n"
                                 "bind_address ::1\n"
                                 "auto_id_prefix x-\n"
                                 "log_dest file /tmp/x\n"
                                 "foo bar\n"
                                 "log_type all\n";

/* Let each allocation fail in turn; nothing may leak or be half done. */
static void fail_each(const char *text, enum err at_last)
{
    size_t before = mem_used();
    struct conf *c;
    enum err e = ERR_NOMEM;
    unsigned n;

    for (n = 0; e == ERR_NOMEM; n++) {
        mem_fail_after(n, 0);
        e = load(text, &c);
        mem_fail_never();
        if (e)
            assert_null(c);
        conf_free(c);
        assert_int_equal(mem_used(), before);
        if (e == ERR_NOMEM)
            assert_logged("Error: Out of memory while reading the configuration.\n");
    }
    assert_int_equal(e, at_last);
    assert_true(n > 5);
}

/* A reload: what needs a restart stays, the rest is taken. */
static void fixed_values_are_kept(void **state)
{
    struct conf *old = loaded("listener 18830\npersistence_file a.db\npersistence_location /a\n"
                              "persistence_segment_size 64K\npersistence_sync fsync\n"
                              "persistence_sync_interval 2\npersistence_max_size 1M\n");
    struct conf *fresh = loaded("listener 18830\npersistence_file b.db\n"
                                "persistence_sync_interval 3\npersistence_max_size 2M\n");

    (void)state;
    captured_reset();
    if (!feature_built(FEATURE_PERSISTENCE)) {
        conf_keep_fixed(fresh, old, &captured_log);
        assert_int_equal(captured.warnings, 0);
        conf_free(old);
        conf_free(fresh);
        return;
    }
    conf_keep_fixed(fresh, old, &captured_log);
    conf_free(old);
    assert_string_equal(fresh->global.persistence_file, "a.db");
    assert_string_equal(fresh->global.persistence_location, "/a");
    assert_int_equal(fresh->global.persistence_segment_size, 64 << 10);
    assert_true(fresh->global.persistence_fsync);
    assert_int_equal(fresh->global.persistence_sync_interval, 3);
    assert_int_equal(fresh->global.persistence_max_size, 2 << 20);
    assert_int_equal(captured.warnings, 4);
    assert_logged("Warning: persistence_file: a changed value needs a restart; the old one stays.");
    assert_logged("Warning: persistence_sync: ");
    conf_free(fresh);
}

static void failing_memory_leaks_nothing(void **state)
{
    (void)state;
    unit_needs_tracking();
    fail_each("", ERR_OK);
    fail_each("max_qos 1\nauto_id_prefix x\n", ERR_OK);
    fail_each("listener 18830 127.0.0.1\nport 18831\nbind_address ::1\nlog_dest file /a\n", ERR_OK);
    fail_each(everything, ERR_INVAL);
}

static void failing_memory_while_reading_the_file(void **state)
{
    struct conf *c;
    enum err e = ERR_NOMEM;
    size_t before = mem_used();

    (void)state;
    unit_needs_tracking();
    for (unsigned n = 0; e == ERR_NOMEM; n++) {
        mem_fail_after(n, 0);
        e = load_file("mosquitto.conf.example", &c);
        mem_fail_never();
        conf_free(c);
        assert_int_equal(mem_used(), before);
    }
    assert_int_equal(e, ERR_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(without_a_file_all_is_default),
        UNIT_TEST(a_file_is_read),
        UNIT_TEST(what_is_no_file),
        UNIT_TEST(without_a_log_it_works_too),
        UNIT_TEST(the_example_changes_nothing),
        UNIT_TEST(the_example_without_its_comment_signs),
        UNIT_TEST(fixed_values_are_kept),
        UNIT_TEST(failing_memory_leaks_nothing),
        UNIT_TEST(failing_memory_while_reading_the_file),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
