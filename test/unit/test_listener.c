/*
 * Listeners opened, changed and closed, on real sockets of the loopback; configurations are made by
 * hand.
 */
#include "server/listener.h"

#include "conf_helper.h"
#include "unit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define LISTENERS 4

struct rig {
    struct poll poll;
    struct door door;
    struct listeners listeners;
    struct conf_listener *rules[2][LISTENERS];
    struct conf conf[2]; /* the one in force, and another */
    uint16_t port[LISTENERS];
};

static uint16_t free_port(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof(a);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &length), 0);
    (void)close(fd);
    return ntohs(a.sin_port);
}

static void rig_init(struct rig *r)
{
    *r = (struct rig){0};
    captured_reset();
    for (int i = 0; i < LISTENERS; i++)
        r->port[i] = free_port();
    for (int i = 0; i < 2; i++)
        r->conf[i] =
            (struct conf){.listeners = r->rules[i], .global = {.global_max_connections = -1}};
    assert_ok(poll_init(&r->poll));
    door_init(&r->door, &captured_log);
    listeners_init(&r->listeners, &r->poll, &r->door, &captured_log, 0);
}

static void drop_conf(struct conf *c)
{
    for (size_t i = 0; i < c->listener_count; i++)
        conf_listener_unref(c->listeners[i]);
    c->listener_count = 0;
}

static void rig_clear(struct rig *r)
{
    listeners_close(&r->listeners);
    door_clear(&r->door);
    poll_clear(&r->poll);
    drop_conf(&r->conf[0]);
    drop_conf(&r->conf[1]);
}

static struct conf_listener *add(struct conf *c, uint16_t port, const char *address)
{
    struct conf_listener *l = mem_zalloc(sizeof(*l));
    assert_non_null(l);
    l->refs = 1;
    l->port = port;
    l->line = (uint32_t)(3 + c->listener_count);
    l->max_connections = -1;
    l->file = str_dup(STR("m.conf"));
    if (address)
        l->address = str_dup(str_c(address));
    c->listeners[c->listener_count++] = l;
    return l;
}

static void start(struct rig *r)
{
    assert_ok(listeners_bind(&r->listeners, &r->conf[0]));
    assert_ok(listeners_listen(&r->listeners));
}

/* The other configuration takes the place of the one in force. */
static void swap(struct rig *r)
{
    drop_conf(&r->conf[0]);
    memcpy(r->rules[0], r->rules[1], sizeof(r->rules[0]));
    r->conf[0].listener_count = r->conf[1].listener_count;
    r->conf[1].listener_count = 0;
}

static void change(struct rig *r)
{
    assert_ok(listeners_prepare(&r->listeners, &r->conf[1]));
    listeners_commit(&r->listeners, &r->conf[1]);
    swap(r);
}

static bool connects_to(const struct sockaddr *a, socklen_t length)
{
    int fd = socket(a->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    bool done = connect(fd, a, length) == 0;
    (void)close(fd);
    return done;
}

static bool connects(uint16_t port)
{
    struct sockaddr_in a = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    return connects_to((struct sockaddr *)&a, sizeof(a));
}

static bool connects6(uint16_t port)
{
    struct sockaddr_in6 a = {
        .sin6_family = AF_INET6, .sin6_port = htons(port), .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    return connects_to((struct sockaddr *)&a, sizeof(a));
}

static size_t sockets(const struct rig *r)
{
    size_t n = 0;
    const struct listener *l;
    TAILQ_FOREACH(l, &r->listeners.list, entry)
    {
        n++;
    }
    return n;
}

static bool has_ipv6(void)
{
    struct sockaddr_in6 a = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    int fd = socket(AF_INET6, SOCK_STREAM, 0);
    bool has = fd >= 0 && bind(fd, (struct sockaddr *)&a, sizeof(a)) == 0;
    if (fd >= 0)
        (void)close(fd);
    return has;
}

/* --- opening --- */

static void nobody_comes_in_before_all_is_ready(void **state)
{
    (void)state;
    struct rig r;
    rig_init(&r);
    add(&r.conf[0], r.port[0], "127.0.0.1");
    assert_ok(listeners_bind(&r.listeners, &r.conf[0]));
    assert_false(connects(r.port[0]));
    assert_ok(listeners_listen(&r.listeners));
    assert_true(connects(r.port[0]));
    char line[64];
    (void)snprintf(line, sizeof(line), "Opening ipv4 listen socket on port %u.", r.port[0]);
    assert_logged(line);
    listeners_close(&r.listeners);
    assert_false(connects(r.port[0]));
    rig_clear(&r);
}

static void one_family_may_be_wanted_alone(void **state)
{
    (void)state;
    struct rig r;
    if (!has_ipv6())
        skip();
    rig_init(&r);
    add(&r.conf[0], r.port[0], NULL);
    add(&r.conf[0], r.port[1], NULL)->socket_domain = 4;
    add(&r.conf[0], r.port[2], NULL)->socket_domain = 6;
    start(&r);
    assert_true(connects(r.port[0]) && connects6(r.port[0]));
    assert_true(connects(r.port[1]) && !connects6(r.port[1]));
    assert_true(!connects(r.port[2]) && connects6(r.port[2]));
    assert_int_equal(sockets(&r), 4);
    rig_clear(&r);
}

static void assert_cannot_open(struct rig *r, const char *why)
{
    enum err e = listeners_bind(&r->listeners, &r->conf[0]);
    if (e == ERR_OK)
        e = listeners_listen(&r->listeners);
    assert_int_equal(e, ERR_SYSTEM);
    assert_int_equal(captured.errors, 1);
    assert_logged(why);
    assert_logged("m.conf:3");
    rig_clear(r);
}

static void a_port_that_is_taken_is_named(void **state)
{
    (void)state;
    struct rig r;
    struct rig other;
    char line[128];
    rig_init(&other);
    add(&other.conf[0], other.port[0], "127.0.0.1");
    start(&other);
    rig_init(&r);
    add(&r.conf[0], other.port[0], "127.0.0.1");
    (void)snprintf(line, sizeof(line),
                   "Error: Address already in use (127.0.0.1:%u). Listener of m.conf:3. Another "
                   "program",
                   other.port[0]);
    assert_cannot_open(&r, line);
    assert_true(connects(other.port[0]));
    rig_clear(&other);
}

/* Both could be bound, and only one can listen. */
static void two_listeners_do_not_share_a_port(void **state)
{
    (void)state;
    struct rig r;
    rig_init(&r);
    add(&r.conf[0], r.port[0], "127.0.0.1")->line = 7;
    add(&r.conf[0], r.port[0], "0.0.0.0")->line = 3;
    assert_cannot_open(&r, "Address already in use (0.0.0.0:");
}

static void what_cannot_be_opened_is_told_with_what_would_help(void **state)
{
    (void)state;
    struct rig r;
    rig_init(&r);
    add(&r.conf[0], r.port[0], "192.0.2.1");
    assert_cannot_open(&r, "Error: Cannot assign requested address (192.0.2.1:");
    rig_init(&r);
    add(&r.conf[0], r.port[0], "127.0.0.1")->bind_interface = str_dup(STR("none0"));
    assert_cannot_open(&r, "Error: bind_interface none0: No such device (127.0.0.1:");
    rig_init(&r);
    add(&r.conf[0], r.port[0], "192.0.2.1")->bind_interface = str_dup(STR("lo"));
    assert_cannot_open(&r, "Error: bind_interface lo: it does not have the address (192.0.2.1:");
    rig_init(&r);
    add(&r.conf[0], r.port[0], "::1")->socket_domain = 4;
    assert_cannot_open(&r, "socket_domain leaves only one kind of address");
    rig_init(&r);
    add(&r.conf[0], r.port[0], "no such host");
    assert_cannot_open(&r, "Error: Cannot listen on no such host, port ");
}

static void an_interface_is_bound_to(void **state)
{
    (void)state;
    struct rig r;
    rig_init(&r);
    add(&r.conf[0], r.port[0], NULL)->bind_interface = str_dup(STR("lo"));
    start(&r);
    assert_true(connects(r.port[0]));
    struct listener *l;
    TAILQ_FOREACH(l, &r.listeners.list, entry)
    {
        char name[16] = "";
        socklen_t length = sizeof(name);
        assert_int_equal(getsockopt(l->watch.fd, SOL_SOCKET, SO_BINDTODEVICE, name, &length), 0);
        assert_string_equal(name, "lo");
    }
    rig_clear(&r);
}

/* --- Unix sockets --- */

static char dir[64];
static char path[80];

static int make_dir(void **state)
{
    strcpy(dir, "/tmp/test_listener.XXXXXX");
    if (!mkdtemp(dir))
        return -1;
    (void)snprintf(path, sizeof(path), "%s/s", dir);
    return unit_begin(state);
}

static int drop_dir(void **state)
{
    (void)unlink(path);
    return rmdir(dir) == 0 ? unit_end(state) : -1;
}

static bool connects_by_path(void)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    memcpy(a.sun_path, path, strlen(path));
    return connects_to((struct sockaddr *)&a, sizeof(a));
}

static bool is_there(void)
{
    struct stat st;
    return lstat(path, &st) == 0;
}

static void unless_built(void)
{
    if (!feature_built(FEATURE_UNIX_SOCKETS))
        skip();
}

static void a_path_is_served_and_cleaned_up(void **state)
{
    (void)state;
    unless_built();
    struct rig r;
    rig_init(&r);
    add(&r.conf[0], 0, path);
    start(&r);
    assert_logged("Opening unix listen socket on path /tmp/test_listener.");
    assert_true(connects_by_path());
    listeners_give(&r.listeners, getuid(), getgid());
    assert_int_equal(captured.warnings, 0);
    rig_clear(&r);
    assert_false(is_there());
}

/* Nor is what somebody has put in its place since. */
static void only_our_own_socket_is_given(void **state)
{
    (void)state;
    unless_built();
    if (geteuid() != 0)
        skip();
    struct rig r;
    struct stat st;
    rig_init(&r);
    add(&r.conf[0], 0, path);
    start(&r);
    listeners_give(&r.listeners, 12345, 54321);
    assert_int_equal(lstat(path, &st), 0);
    assert_int_equal(st.st_uid, 12345);
    assert_int_equal(st.st_gid, 54321);
    assert_int_equal(unlink(path), 0);
    int fd = open(path, O_CREAT | O_WRONLY, 0600);
    assert_true(fd >= 0);
    listeners_give(&r.listeners, 12345, 54321);
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(st.st_uid, 0);
    assert_logged("keeps its owner");
    (void)close(fd);
    (void)unlink(path);
    rig_clear(&r);
}

static void a_path_that_cannot_be_served_is_told(void **state)
{
    (void)state;
    unless_built();
    struct rig r;
    struct rig other;
    rig_init(&other);
    add(&other.conf[0], 0, path);
    start(&other);
    rig_init(&r);
    add(&r.conf[0], 0, path);
    assert_cannot_open(&r, "Address already in use (/tmp/test_listener.");
    assert_true(connects_by_path());
    rig_clear(&other);
    int fd = open(path, O_CREAT | O_WRONLY, 0600);
    (void)close(fd);
    rig_init(&r);
    add(&r.conf[0], 0, path);
    assert_cannot_open(&r, "What is there is no such socket (/tmp/test_listener.");
    assert_true(is_there());
    (void)unlink(path);
    char longer[200];
    memset(longer, 'x', sizeof(longer));
    longer[0] = '/';
    longer[150] = '\0';
    rig_init(&r);
    add(&r.conf[0], 0, longer);
    assert_cannot_open(&r, "The path of a Unix socket has 107 bytes at most (/xxx");
    rig_init(&r);
    add(&r.conf[0], 0, "/no/such/directory/s");
    assert_cannot_open(&r, "No such file or directory (/no/such/directory/s)");
}

static void a_path_comes_and_goes_with_the_configuration(void **state)
{
    (void)state;
    unless_built();
    struct rig r;
    rig_init(&r);
    add(&r.conf[0], r.port[0], "127.0.0.1");
    start(&r);
    add(&r.conf[1], r.port[0], "127.0.0.1");
    add(&r.conf[1], 0, path);
    assert_ok(listeners_prepare(&r.listeners, &r.conf[1]));
    listeners_rollback(&r.listeners);
    assert_false(is_there());
    change(&r);
    assert_true(connects_by_path());
    add(&r.conf[1], r.port[0], "127.0.0.1");
    change(&r);
    assert_false(is_there());
    assert_true(connects(r.port[0]));
    rig_clear(&r);
}

static void a_build_without_says_so(void **state)
{
    (void)state;
    struct rig r;
    if (feature_built(FEATURE_UNIX_SOCKETS))
        skip();
    rig_init(&r);
    add(&r.conf[0], 0, path);
    assert_cannot_open(&r, "WITH_UNIX_SOCKETS=yes");
}

/* --- another configuration --- */

static int fd_of(const struct rig *r, uint16_t port)
{
    const struct listener *l;
    TAILQ_FOREACH(l, &r->listeners.list, entry)
    {
        if (door_group(&r->door, l->group)->rules->port == port)
            return l->watch.fd;
    }
    return -1;
}

static void listeners_are_added_kept_and_removed(void **state)
{
    (void)state;
    struct rig r;
    rig_init(&r);
    add(&r.conf[0], r.port[0], "127.0.0.1");
    add(&r.conf[0], r.port[1], "127.0.0.1");
    start(&r);
    int kept = fd_of(&r, r.port[1]);
    add(&r.conf[1], r.port[2], "127.0.0.1");
    struct conf_listener *rules = add(&r.conf[1], r.port[1], "127.0.0.1");
    change(&r);
    assert_false(connects(r.port[0]));
    assert_true(connects(r.port[1]));
    assert_true(connects(r.port[2]));
    /* It is the same socket, under new rules. */
    assert_int_equal(fd_of(&r, r.port[1]), kept);
    assert_int_equal(rules->refs, 2);
    assert_logged("Closing ipv4 listen socket on port ");
    assert_int_equal(captured.errors, 0);
    rig_clear(&r);
}

static void nothing_is_different_after_a_failure(void **state)
{
    (void)state;
    struct rig r;
    struct rig other;
    rig_init(&other);
    add(&other.conf[0], other.port[0], "127.0.0.1");
    start(&other);
    rig_init(&r);
    struct conf_listener *rules = add(&r.conf[0], r.port[0], "127.0.0.1");
    start(&r);
    captured_reset();
    add(&r.conf[1], r.port[1], "127.0.0.1");
    add(&r.conf[1], other.port[0], "127.0.0.1");
    assert_err(listeners_prepare(&r.listeners, &r.conf[1]), ERR_SYSTEM);
    listeners_rollback(&r.listeners);
    assert_logged("Address already in use");
    assert_int_equal(captured.errors, 1);
    assert_true(connects(r.port[0]));
    assert_false(connects(r.port[1]));
    assert_int_equal(sockets(&r), 1);
    assert_int_equal(rules->refs, 2);
    rig_clear(&other);
    /* And so it is when somebody else had to refuse; then it can be tried again. */
    assert_ok(listeners_prepare(&r.listeners, &r.conf[1]));
    listeners_rollback(&r.listeners);
    assert_true(connects(r.port[0]));
    assert_false(connects(r.port[1]));
    change(&r);
    assert_false(connects(r.port[0]));
    assert_true(connects(r.port[1]));
    rig_clear(&r);
}

static void a_port_moves_to_other_addresses_and_back(void **state)
{
    (void)state;
    struct rig r;
    rig_init(&r);
    add(&r.conf[0], r.port[0], "127.0.0.1");
    start(&r);
    add(&r.conf[1], r.port[0], NULL);
    assert_ok(listeners_prepare(&r.listeners, &r.conf[1]));
    listeners_rollback(&r.listeners);
    assert_true(connects(r.port[0]));
    /* It is still watched. */
    poll_wait(&r.poll, 1000);
    assert_true(poll_pending(&r.poll));
    change(&r);
    assert_true(connects(r.port[0]));
    if (has_ipv6())
        assert_true(connects6(r.port[0]));
    add(&r.conf[1], r.port[0], "127.0.0.1");
    change(&r);
    assert_true(connects(r.port[0]));
    assert_false(connects6(r.port[0]));
    assert_int_equal(sockets(&r), 1);
    assert_int_equal(captured.errors, 0);
    rig_clear(&r);
}

static void a_group_lives_as_long_as_its_connections(void **state)
{
    (void)state;
    struct rig r;
    rig_init(&r);
    struct conf_listener *rules = add(&r.conf[0], r.port[0], "127.0.0.1");
    start(&r);
    uint16_t group = TAILQ_FIRST(&r.listeners.list)->group;
    door_enter(&r.door, group);
    door_enter(&r.door, group);
    (void)conf_listener_ref(rules);
    add(&r.conf[1], r.port[1], "127.0.0.1");
    change(&r);
    assert_int_equal(rules->refs, 2);
    assert_int_equal(door_group(&r.door, group)->open, 2);
    door_leave(&r.door, group);
    /* The listener comes back, and finds the one that is left. */
    add(&r.conf[1], r.port[0], "127.0.0.1");
    change(&r);
    assert_int_equal(rules->refs, 1);
    assert_int_equal(TAILQ_FIRST(&r.listeners.list)->group, group);
    assert_int_equal(door_group(&r.door, group)->open, 1);
    add(&r.conf[1], r.port[1], "127.0.0.1");
    change(&r);
    assert_non_null(door_group(&r.door, group)->rules);
    door_leave(&r.door, group);
    assert_null(door_group(&r.door, group)->rules);
    conf_listener_unref(rules);
    rig_clear(&r);
}

static void places_of_groups_are_used_again(void **state)
{
    (void)state;
    struct rig r;
    rig_init(&r);
    add(&r.conf[0], r.port[0], "127.0.0.1");
    start(&r);
    for (int i = 1; i < 50; i++) {
        add(&r.conf[1], r.port[i % LISTENERS], "127.0.0.1");
        change(&r);
        assert_true(connects(r.port[i % LISTENERS]));
    }
    assert_in_range(r.door.group_count, 1, 3);
    rig_clear(&r);
}

static void new_rules_are_in_force_at_once(void **state)
{
    (void)state;
    struct rig r;
    struct peer peer = {.ip = {127, 0, 0, 1}, .family = 4};
    rig_init(&r);
    add(&r.conf[0], r.port[0], "127.0.0.1");
    start(&r);
    uint16_t group = TAILQ_FIRST(&r.listeners.list)->group;
    door_enter(&r.door, group);
    door_enter(&r.door, group);
    assert_true(door_admits(&r.door, group, &peer, 1));
    add(&r.conf[1], r.port[0], "127.0.0.1")->max_connections = 1;
    change(&r);
    assert_false(door_admits(&r.door, group, &peer, 1));
    door_leave(&r.door, group);
    assert_false(door_admits(&r.door, group, &peer, 1));
    door_leave(&r.door, group);
    assert_true(door_admits(&r.door, group, &peer, 1));
    add(&r.conf[1], r.port[0], "127.0.0.1");
    r.conf[1].global.global_max_connections = 1;
    change(&r);
    assert_true(door_admits(&r.door, group, &peer, 1));
    door_enter(&r.door, group);
    assert_false(door_admits(&r.door, group, &peer, 1));
    assert_logged("denied: global_max_connections exceeded (1).");
    door_leave(&r.door, group);
    rig_clear(&r);
}

static void without_memory_nothing_changes(void **state)
{
    (void)state;
    unit_needs_tracking();
    struct rig r;
    rig_init(&r);
    add(&r.conf[0], r.port[0], "127.0.0.1");
    start(&r);
    add(&r.conf[1], r.port[1], "127.0.0.1");
    add(&r.conf[1], r.port[2], "127.0.0.1");
    enum err e = ERR_NOMEM;
    for (uint64_t n = 0; e != ERR_OK; n++) {
        assert_true(connects(r.port[0]));
        assert_false(connects(r.port[1]));
        assert_int_equal(sockets(&r), 1);
        mem_fail_after(n, false);
        e = listeners_prepare(&r.listeners, &r.conf[1]);
        mem_fail_never();
        assert_true(n < 20);
        assert_true(n > 0 || e == ERR_NOMEM);
    }
    listeners_commit(&r.listeners, &r.conf[1]);
    swap(&r);
    assert_true(connects(r.port[1]));
    rig_clear(&r);
}

static void set_fd_limit(rlim_t n)
{
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = n;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

static void the_reserve_is_lent_and_kept(void **state)
{
    (void)state;
    struct rig r;
    struct rlimit before;
    int full[64];
    int count = 0;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    rig_init(&r);
    add(&r.conf[0], r.port[0], "127.0.0.1");
    start(&r);
    set_fd_limit(64);
    while (count < 64 && (full[count] = dup(0)) >= 0)
        count++;
    assert_int_equal(errno, EMFILE);
    /* With all in use, new listeners are opened by what is lent; but the last one is kept. */
    add(&r.conf[1], r.port[0], "127.0.0.1");
    add(&r.conf[1], r.port[1], "127.0.0.1");
    add(&r.conf[1], r.port[2], "127.0.0.1");
    listeners_lend_reserve(&r.listeners);
    assert_ok(listeners_prepare(&r.listeners, &r.conf[1]));
    listeners_commit(&r.listeners, &r.conf[1]);
    swap(&r);
    listeners_keep_reserve(&r.listeners);
    assert_int_equal(dup(0), -1);
    for (int i = 0; i < 3; i++)
        add(&r.conf[1], r.port[i], "127.0.0.1");
    add(&r.conf[1], r.port[3], "127.0.0.1");
    r.rules[1][3]->socket_domain = 4;
    listeners_lend_reserve(&r.listeners);
    int kept[2] = {dup(0), -1};
    assert_err(listeners_prepare(&r.listeners, &r.conf[1]), ERR_SYSTEM);
    listeners_keep_reserve(&r.listeners);
    (void)close(kept[0]);
    assert_logged("No file descriptor would be left");
    assert_int_equal(sockets(&r), 3);
    while (count > 0)
        (void)close(full[--count]);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    rig_clear(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(nobody_comes_in_before_all_is_ready),
        UNIT_TEST(one_family_may_be_wanted_alone),
        UNIT_TEST(a_port_that_is_taken_is_named),
        UNIT_TEST(two_listeners_do_not_share_a_port),
        UNIT_TEST(what_cannot_be_opened_is_told_with_what_would_help),
        UNIT_TEST(an_interface_is_bound_to),
        cmocka_unit_test_setup_teardown(a_path_is_served_and_cleaned_up, make_dir, drop_dir),
        cmocka_unit_test_setup_teardown(only_our_own_socket_is_given, make_dir, drop_dir),
        cmocka_unit_test_setup_teardown(a_path_that_cannot_be_served_is_told, make_dir, drop_dir),
        cmocka_unit_test_setup_teardown(a_path_comes_and_goes_with_the_configuration, make_dir,
                                        drop_dir),
        cmocka_unit_test_setup_teardown(a_build_without_says_so, make_dir, drop_dir),
        UNIT_TEST(listeners_are_added_kept_and_removed),
        UNIT_TEST(nothing_is_different_after_a_failure),
        UNIT_TEST(a_port_moves_to_other_addresses_and_back),
        UNIT_TEST(a_group_lives_as_long_as_its_connections),
        UNIT_TEST(places_of_groups_are_used_again),
        UNIT_TEST(new_rules_are_in_force_at_once),
        UNIT_TEST(without_memory_nothing_changes),
        UNIT_TEST(the_reserve_is_lent_and_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
