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

static void who_asks_for_the_same_socket(void **state)
{
    static const struct {
        struct conf_listener a, b;
        bool same;
    } cases[] = {
        {{.port = 1}, {.port = 1}, true},
        {{.port = 1}, {.port = 2}, false},
        {{.port = 1, .address = "::1"}, {.port = 1}, false},
        {{.port = 1, .address = "localhost"}, {.port = 1, .address = "LOCALHOST"}, true},
        {{.port = 1, .socket_domain = 4}, {.port = 1}, false},
        {{.port = 1, .bind_interface = "a"}, {.port = 1}, false},
        {{.port = 1, .bind_interface = "a"}, {.port = 1, .bind_interface = "a"}, true},
        {{.port = 1, .max_qos = 1}, {.port = 1, .max_qos = 2}, true},
        {{.address = "/a"}, {.address = "/a"}, true},
        {{.address = "/a"}, {.address = "/A"}, false},
        {{.address = "/a", .socket_domain = 4}, {.address = "/a", .bind_interface = "b"}, true},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        if (conf_listener_same_socket(&cases[i].a, &cases[i].b) != cases[i].same)
            fail_msg("case %zu", i);
    }
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

/* Options without a default: the example has to say something. */
static void check_said(struct conf_global *x, const struct conf_global *defaults)
{
    char **said[] = {&x->clientid_prefixes,
                     &x->user,
                     &x->pid_file,
                     &x->log_timestamp_format,
                     &x->security.password_file,
                     &x->security.acl_file,
                     &x->security.psk_file,
                     &x->persistence_location};
    size_t last = ARRAY_SIZE(said) - 1;

    for (size_t i = 0; i <= last; i++) {
        bool built = i < last || feature_built(FEATURE_PERSISTENCE);
        assert_int_equal(*said[i] != NULL, built);
        *said[i] = NULL;
    }
    assert_null(defaults->user);
    assert_null(defaults->pid_file);
    assert_null(defaults->persistence_location);
    assert_true(x->persistent_client_expiration_s == 2 * 30 * 24 * 3600);
    assert_int_equal(defaults->persistent_client_expiration_s, 0);
    x->persistent_client_expiration_s = 0;
}

static void assert_same_global(const struct conf_global *a, const struct conf_global *b)
{
    struct conf_global x = *a, y = *b;

    assert_string_equal(x.security.auto_id_prefix, y.security.auto_id_prefix);
    assert_string_equal(x.persistence_file, y.persistence_file);
    x.security.auto_id_prefix = y.security.auto_id_prefix = NULL;
    x.persistence_file = y.persistence_file = NULL;
    check_said(&x, &y);
    assert_null(x.log_file);
    assert_memory_equal(&x, &y, sizeof(x));
}

static void assert_same_listener(const struct conf_listener *x, const struct conf_listener *y)
{
    assert_int_equal(x->max_connections, y->max_connections);
    assert_int_equal(x->max_qos, y->max_qos);
    assert_int_equal(x->use_username_as_clientid, y->use_username_as_clientid);
    assert_int_equal(x->accept_versions, y->accept_versions);
    assert_int_equal(x->proxy, y->proxy);
    assert_int_equal(x->proxy_v2_require_tls, y->proxy_v2_require_tls);
    assert_int_equal(x->security.allow_anonymous, y->security.allow_anonymous);
    assert_int_equal(x->tls_version, y->tls_version);
    assert_int_equal(x->require_certificate, y->require_certificate);
    assert_int_equal(x->use_identity_as_username, y->use_identity_as_username);
    assert_int_equal(x->use_subject_as_username, y->use_subject_as_username);
    assert_int_equal(x->disable_client_cert_date_checks, y->disable_client_cert_date_checks);
}

#define CONF_D "include_dir /etc/mosquitto/conf.d"
#define INSTEAD "include_dir .                    "

/* Its commented lines are the defaults, and load as they stand. */
static void the_example_without_its_comment_signs(void **state)
{
    struct conf_args args = {.file = "example"};
    struct buf b = {0};
    struct conf *c, *defaults;
    char *p;

    (void)state;
    if (!feature_built(FEATURE_TLS_PSK))
        skip(); /* its certificates would be refused */
    assert_int_equal(file_read("mosquitto.conf.example", 1 << 20, &b), ERR_OK);
    assert_int_equal(buf_add(&b, "", 1), ERR_OK);
    p = (char *)buf_begin(&b);
    /* A directory that is there: this one has no files of that kind. */
    assert_non_null(strstr(p, CONF_D));
    memcpy(strstr(p, CONF_D), INSTEAD, strlen(CONF_D));
    b.len--;
    for (size_t i = 0; i + 1 < b.len; i++) {
        bool sign = p[i] == '#' && (i == 0 || p[i - 1] == '\n');
        if (sign && p[i + 1] >= 'a' && p[i + 1] <= 'z')
            p[i] = ' ';
    }
    defaults = loaded("listener 18830\n");
    if (load_args(&args, buf_str(&b), &c) != ERR_OK)
        fail_msg("refused: %s", captured.text);
    assert_int_equal(captured.errors, 0);
    assert_same_global(&c->global, &defaults->global);
    assert_same_listener(c->listeners[1], defaults->listeners[0]);
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
                                 "mount_point a/\n"
                                 "trusted_proxy ::1 10.0.0.0/8\n"
                                 "trusted_proxy 192.0.2.1\n"
                                 "listener_auto_id_prefix y\n"
                                 "expand_env true\n"
                                 "user ${PATH}\n"
                                 "foo bar\n"
                                 "log_type all\n";

/* Let each allocation fail in turn; nothing may leak or be half done. */
static void fail_each(const char *text, bool test, enum err at_last)
{
    size_t before = mem_used();
    struct conf *c;
    enum err e = ERR_NOMEM;
    unsigned n;

    for (n = 0; e == ERR_NOMEM; n++) {
        mem_fail_after(n, 0);
        e = test ? load_test(text, &c) : load(text, &c);
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

static struct conf *old_conf(void)
{
    return loaded("listener 18830\npersistence_file a.db\npersistence_location /a\n"
                  "persistence_segment_size 64K\npersistence_sync fsync\nuser mqtt\n"
                  "persistence_sync_interval 2\npersistence_max_size 1M\nmax_keepalive 1\n");
}

static struct conf *fresh_conf(void)
{
    return loaded("listener 18830\npersistence_file b.db\nmax_keepalive 2\npid_file /p\n"
                  "persistence_sync_interval 3\npersistence_max_size 2M\n");
}

/* A reload: what needs a restart stays, the rest is taken. */
static void fixed_values_are_kept(void **state)
{
    bool built = feature_built(FEATURE_PERSISTENCE);
    struct conf *old = old_conf(), *fresh = fresh_conf();

    (void)state;
    captured_reset();
    assert_int_equal(conf_keep_fixed(fresh, old, &captured_log), ERR_OK);
    assert_string_equal(fresh->global.user, "mqtt");
    assert_null(fresh->global.pid_file);
    assert_int_equal(fresh->global.max_keepalive, 2);
    assert_logged("Warning: user: a changed value needs a restart; the old one stays.");
    assert_logged("Warning: pid_file: ");
    assert_int_equal(captured.warnings, built ? 6 : 2);
    /* Should the reload fail later, then all is as it was. */
    assert_string_equal(old->global.user, "mqtt");
    assert_null(old->global.pid_file);
    conf_free(old);
    assert_string_equal(fresh->global.user, "mqtt");
    if (built) {
        assert_string_equal(fresh->global.persistence_file, "a.db");
        assert_string_equal(fresh->global.persistence_location, "/a");
        assert_int_equal(fresh->global.persistence_segment_size, 64 << 10);
        assert_true(fresh->global.persistence_fsync);
        assert_int_equal(fresh->global.persistence_sync_interval, 3);
        assert_int_equal(fresh->global.persistence_max_size, 2 << 20);
        assert_logged("Warning: persistence_file: a changed value needs a restart");
        assert_logged("Warning: persistence_sync: ");
    }
    conf_free(fresh);
}

static void failing_memory_while_values_are_kept(void **state)
{
    struct conf *old;
    enum err e = ERR_NOMEM;

    (void)state;
    unit_needs_tracking();
    old = old_conf();
    for (unsigned n = 0; e == ERR_NOMEM; n++) {
        struct conf *fresh = fresh_conf();
        mem_fail_after(n, 0);
        e = conf_keep_fixed(fresh, old, &captured_log);
        mem_fail_never();
        conf_free(fresh);
        assert_string_equal(old->global.user, "mqtt");
    }
    assert_int_equal(e, ERR_OK);
    conf_free(old);
}

static void failing_memory_leaks_nothing(void **state)
{
    (void)state;
    unit_needs_tracking();
    fail_each("", false, ERR_OK);
    fail_each("max_qos 1\nauto_id_prefix x\n", false, ERR_OK);
    fail_each("listener 18830 127.0.0.1\nport 18831\nbind_address ::1\nlog_dest file /a\n", false,
              ERR_OK);
    fail_each("mount_point m/\ntrusted_proxy ::1\nlistener_auto_id_prefix y\n", true, ERR_OK);
    fail_each("per_listener_settings true\nlistener 18830\nlistener_auto_id_prefix y\n"
              "auto_id_prefix x\nport 18831\n",
              false, ERR_OK);
    fail_each(everything, true, ERR_INVAL);
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
        UNIT_TEST(who_asks_for_the_same_socket),
        UNIT_TEST(without_a_log_it_works_too),
        UNIT_TEST(the_example_changes_nothing),
        UNIT_TEST(the_example_without_its_comment_signs),
        UNIT_TEST(fixed_values_are_kept),
        UNIT_TEST(failing_memory_while_values_are_kept),
        UNIT_TEST(failing_memory_leaks_nothing),
        UNIT_TEST(failing_memory_while_reading_the_file),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
