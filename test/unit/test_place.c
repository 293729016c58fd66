/*
 * The store's directory, made by root where somebody else may write: who that is changes what is
 * there between one step and the next, and must not be given anything by it.
 *
 * The mkdir() here stands in front of the system's, and plays that somebody.
 */
#include "server/disk.h"

#include "conf_helper.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define STRANGER 54321

static char top[64];
static char location[80];
static char precious[80];
static enum { NEVER, BEFORE, AFTER } interferes;

static void put_link(void)
{
    interferes = NEVER;
    if (symlink(precious, location) != 0)
        abort();
}

int mkdir(const char *path, mode_t mode)
{
    if (interferes == BEFORE)
        put_link();
    int result = mkdirat(AT_FDCWD, path, mode);
    if (interferes == AFTER) {
        (void)rmdir(location);
        put_link();
    }
    return result;
}

static int setup(void **state)
{
    strcpy(top, "/tmp/test_place.XXXXXX");
    if (!mkdtemp(top))
        return -1;
    snprintf(location, sizeof(location), "%s/store", top);
    snprintf(precious, sizeof(precious), "%s/precious", top);
    interferes = NEVER;
    return mkdirat(AT_FDCWD, precious, 0700) == 0 ? unit_begin(state) : -1;
}

static int teardown(void **state)
{
    static const char *const inner[] = {"%s/store/mosquitto.db.journal", "%s/store"};
    char path[160];
    for (size_t i = 0; i < ARRAY_SIZE(inner); i++) {
        snprintf(path, sizeof(path), inner[i], top);
        if (rmdir(path) != 0)
            (void)unlink(path);
    }
    return rmdir(precious) == 0 && rmdir(top) == 0 ? unit_end(state) : -1;
}

static uid_t owner(const char *path)
{
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    return st.st_uid;
}

/* `location` as it is written in the file. */
static void find(const char *written)
{
    char text[200];
    struct disk *disk = NULL;
    const struct privileges who = {.drop = true, .uid = STRANGER, .gid = STRANGER};
    if (geteuid() != 0 || !feature_built(FEATURE_PERSISTENCE))
        skip();
    snprintf(text, sizeof(text), "listener 18830\npersistence true\npersistence_location %s\n",
             written);
    struct conf *c = loaded(text);
    /* Whether it goes on or gives up does not matter here. */
    enum err e = disk_find(&disk, c, &captured_log, &who, 1);
    (void)e;
    (void)disk_close(disk, 1);
    conf_free(c);
}

static void what_was_made_is_given(void **state)
{
    (void)state;
    char slashes[96];
    snprintf(slashes, sizeof(slashes), "%s//", location);
    find(slashes);
    assert_int_equal(owner(location), STRANGER);
}

static void what_came_in_before_is_not(void **state)
{
    (void)state;
    char inner[160];
    interferes = BEFORE;
    find(location);
    assert_int_equal(owner(precious), 0);
    snprintf(inner, sizeof(inner), "%s/mosquitto.db.journal", precious);
    (void)rmdir(inner);
}

static void what_took_its_place_is_not(void **state)
{
    (void)state;
    char slash[96];
    snprintf(slash, sizeof(slash), "%s/", location);
    interferes = AFTER;
    find(slash);
    assert_int_equal(owner(precious), 0);
    assert_logged("Cannot open the directory");
}

#define PLACE_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        PLACE_TEST(what_was_made_is_given),
        PLACE_TEST(what_came_in_before_is_not),
        PLACE_TEST(what_took_its_place_is_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
