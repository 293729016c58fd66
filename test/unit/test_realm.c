/*
 * The files of listeners: each is read once, all of them are good or nothing changes, and what
 * cannot be replaced stays.
 */
#include "auth/realm.h"

#include "conf_helper.h"
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LISTENERS 3

struct rig {
    char dir[32];
    char passwords[64];
    char acl[64];
    char psk[64];
    struct conf_listener rules[LISTENERS];
    struct conf_listener *list[LISTENERS];
};

static void put(const char *path, const char *text)
{
    FILE *f = fopen(path, "we");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(chmod(path, 0600), 0);
}

/* The first two name the same files, the last one none. */
static void rig_init(struct rig *r)
{
    captured_reset();
    memset(r, 0, sizeof(*r));
    memcpy(r->dir, "/tmp/test_realm.XXXXXX", 23);
    assert_non_null(mkdtemp(r->dir));
    (void)snprintf(r->passwords, sizeof(r->passwords), "%s/passwords", r->dir);
    (void)snprintf(r->acl, sizeof(r->acl), "%s/acl", r->dir);
    (void)snprintf(r->psk, sizeof(r->psk), "%s/psk", r->dir);
    put(r->passwords, "# nobody\n");
    put(r->acl, "topic read a\n");
    put(r->psk, "alice:00112233445566778899aabbccddeeff\n");
    for (int i = 0; i < LISTENERS; i++) {
        r->rules[i] = (struct conf_listener){.refs = 1, .port = (uint16_t)(i + 1)};
        r->list[i] = &r->rules[i];
    }
    for (int i = 0; i < 2; i++)
        r->rules[i].security = (struct conf_security){
            .password_file = r->passwords, .acl_file = r->acl, .psk_file = r->psk};
}

static void rig_clear(struct rig *r)
{
    for (int i = 0; i < LISTENERS; i++) {
        if (r->rules[i].realm)
            r->rules[i].realm_unref(r->rules[i].realm);
    }
    (void)unlink(r->passwords);
    (void)unlink(r->acl);
    (void)unlink(r->psk);
    assert_int_equal(rmdir(r->dir), 0);
}

static enum err prepare(struct rig *r, struct realm_plan **plan)
{
    return realms_prepare(r->list, LISTENERS, &captured_log, plan);
}

static void load_all(struct rig *r)
{
    struct realm_plan *plan = NULL;
    assert_ok(prepare(r, &plan));
    realms_commit(plan);
}

static bool is_acl(void *ctx, const char *path)
{
    const struct rig *r = ctx;
    return strcmp(path, r->acl) == 0;
}

static void listeners_share_what_they_both_name(void **state)
{
    (void)state;
    struct rig r;
    rig_init(&r);
    load_all(&r);
    assert_non_null(r.rules[0].realm);
    assert_ptr_not_equal(r.rules[0].realm, r.rules[1].realm);
    assert_ptr_equal(r.rules[0].realm->passwords, r.rules[1].realm->passwords);
    assert_ptr_equal(r.rules[0].realm->acl, r.rules[1].realm->acl);
    assert_ptr_equal(r.rules[0].realm->psk, r.rules[1].realm->psk);
    assert_null(r.rules[2].realm);
    rig_clear(&r);
}

static void one_bad_file_and_nothing_changes(void **state)
{
    (void)state;
    struct rig r;
    struct realm_plan *plan = NULL;
    rig_init(&r);
    load_all(&r);
    const struct realm *before = r.rules[0].realm;
    put(r.psk, "alice:xyz\n");
    assert_err(prepare(&r, &plan), ERR_INVAL);
    assert_int_equal(captured.errors, 1);
    (void)unlink(r.psk);
    assert_err(prepare(&r, &plan), ERR_SYSTEM);
    assert_logged("cannot be read: No such file or directory.");
    assert_ptr_equal(r.rules[0].realm, before);
    assert_non_null(before->acl);
    rig_clear(&r);
}

/* What is said of a listener of the configuration must be right; of one that is gone it may stay.
 */
static void only_the_strict_refuse(void **state)
{
    (void)state;
    struct rig r;
    struct realm_plan *plan = NULL;
    rig_init(&r);
    load_all(&r);
    struct realm_renewal all = {.listeners = r.list,
                                .count = LISTENERS,
                                .strict = LISTENERS,
                                .former = r.list,
                                .former_count = LISTENERS};
    const struct acl *acl = r.rules[0].realm->acl;
    const struct pwfile *passwords = r.rules[0].realm->passwords;
    put(r.acl, "rubbish\n");
    assert_err(realms_renew(&all, &captured_log, &plan), ERR_INVAL);
    assert_not_logged("stays in force");
    all.strict = 0;
    assert_ok(realms_renew(&all, &captured_log, &plan));
    realms_commit(plan);
    assert_logged("Error: The former acl_file '");
    assert_ptr_equal(r.rules[0].realm->acl, acl);
    assert_ptr_equal(r.rules[1].realm->acl, acl);
    assert_ptr_not_equal(r.rules[0].realm->passwords, passwords);
    rig_clear(&r);
}

static void what_has_not_changed_is_not_read(void **state)
{
    (void)state;
    struct rig r;
    struct realm_plan *plan = NULL;
    rig_init(&r);
    load_all(&r);
    const struct realm_renewal changes = {.listeners = r.list,
                                          .count = LISTENERS,
                                          .former = r.list,
                                          .former_count = LISTENERS,
                                          .is_changed = is_acl,
                                          .ctx = &r};
    const struct acl *acl = r.rules[0].realm->acl;
    const struct pskfile *psk = r.rules[0].realm->psk;
    put(r.psk, "rubbish\n");
    put(r.acl, "topic read b\n");
    assert_ok(realms_renew(&changes, &captured_log, &plan));
    realms_commit(plan);
    assert_int_equal(captured.errors, 0);
    assert_logged("acl_file '");
    assert_logged("' was read anew.\n");
    assert_not_logged("psk_file");
    assert_ptr_not_equal(r.rules[0].realm->acl, acl);
    assert_ptr_equal(r.rules[0].realm->psk, psk);
    rig_clear(&r);
}

static void secrets_that_all_can_read_are_warned_of(void **state)
{
    (void)state;
    struct rig r;
    rig_init(&r);
    assert_int_equal(chmod(r.psk, 0644), 0);
    load_all(&r);
    assert_int_equal(captured.warnings, 1);
    assert_logged("can be read by every user of this machine");
    rig_clear(&r);
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    unit_needs_tracking();
    enum err e = ERR_NOMEM;
    for (uint64_t n = 0; e != ERR_OK; n++) {
        struct rig r;
        struct realm_plan *plan = NULL;
        rig_init(&r);
        mem_fail_after(n, false);
        e = prepare(&r, &plan);
        mem_fail_never();
        if (e == ERR_OK)
            realms_commit(plan);
        else
            assert_err(e, ERR_NOMEM);
        rig_clear(&r);
        assert_true(n < 1000);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(listeners_share_what_they_both_name),
        UNIT_TEST(one_bad_file_and_nothing_changes),
        UNIT_TEST(only_the_strict_refuse),
        UNIT_TEST(what_has_not_changed_is_not_read),
        UNIT_TEST(secrets_that_all_can_read_are_warned_of),
        UNIT_TEST(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
