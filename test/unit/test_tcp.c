/*
 * Sockets as transports, against real ones on the loopback.
 */
#include "net/tcp.h"

#include "net/interface.h"
#include "unit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

/* A listening socket, both ends of one connection, and the transport over the accepted end. */
struct pair {
    int listener;
    int peer;
    struct tcp tcp;
};

static void wait_for(int fd, short events)
{
    struct pollfd p = {.fd = fd, .events = events};
    assert_int_equal(poll(&p, 1, 5000), 1);
}

static int listen_on_loopback(struct sockaddr_in *address)
{
    *address =
        (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = -1;
    assert_ok(tcp_bind((struct sockaddr *)address, sizeof(*address), NULL, &fd));
    assert_ok(tcp_listen(fd));
    socklen_t length = sizeof(*address);
    assert_int_equal(getsockname(fd, (struct sockaddr *)address, &length), 0);
    return fd;
}

static void open_pair(struct pair *p, bool nodelay)
{
    struct sockaddr_in address;
    p->listener = listen_on_loopback(&address);
    tcp_listen_nodelay(p->listener, nodelay);
    p->peer = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(p->peer, (struct sockaddr *)&address, sizeof(address)), 0);
    wait_for(p->listener, POLLIN);
    struct sockaddr_storage from;
    int fd = tcp_accept(p->listener, &from);
    assert_true(fd >= 0);
    assert_int_equal(from.ss_family, AF_INET);
    tcp_init(&p->tcp, fd);
}

static void close_pair(struct pair *p)
{
    if (p->tcp.fd >= 0)
        transport_close(&p->tcp.base);
    if (p->peer >= 0)
        (void)close(p->peer);
    (void)close(p->listener);
}

static ssize_t read_some(struct pair *p, char *out, size_t cap)
{
    wait_for(p->tcp.fd, POLLIN);
    return transport_read(&p->tcp.base, out, cap);
}

static void accepted_sockets_are_ready_for_a_loop(void **state)
{
    (void)state;
    struct pair p;
    open_pair(&p, true);
    assert_true(fcntl(p.tcp.fd, F_GETFL) & O_NONBLOCK);
    assert_true(fcntl(p.tcp.fd, F_GETFD) & FD_CLOEXEC);
    int nodelay = 0;
    socklen_t length = sizeof(nodelay);
    assert_int_equal(getsockopt(p.tcp.fd, IPPROTO_TCP, TCP_NODELAY, &nodelay, &length), 0);
    assert_int_not_equal(nodelay, 0);
    struct sockaddr_storage from;
    assert_int_equal(tcp_accept(p.listener, &from), -EAGAIN);
    close_pair(&p);
}

static void nagle_stays_when_it_is_wanted(void **state)
{
    (void)state;
    struct pair p;
    open_pair(&p, false);
    int nodelay = 1;
    socklen_t length = sizeof(nodelay);
    assert_int_equal(getsockopt(p.tcp.fd, IPPROTO_TCP, TCP_NODELAY, &nodelay, &length), 0);
    assert_int_equal(nodelay, 0);
    close_pair(&p);
}

static void bytes_travel_both_ways(void **state)
{
    (void)state;
    struct pair p;
    char got[64];
    open_pair(&p, true);
    assert_int_equal(transport_step(&p.tcp.base), ERR_OK);
    assert_int_equal(transport_wants(&p.tcp.base), TRANSPORT_WANTS_NOTHING);
    assert_int_equal(transport_read(&p.tcp.base, got, sizeof(got)), -EAGAIN);
    assert_int_equal(send(p.peer, "ping", 4, 0), 4);
    assert_int_equal(read_some(&p, got, sizeof(got)), 4);
    assert_memory_equal(got, "ping", 4);

    char a[] = "one ", b[] = "two", c[] = " three";
    struct iovec iov[] = {{a, 4}, {b, 3}, {c, 6}};
    assert_int_equal(transport_writev(&p.tcp.base, iov, 3), 13);
    assert_int_equal(transport_writev(&p.tcp.base, iov, 1), 4);
    assert_int_equal(recv(p.peer, got, 17, MSG_WAITALL), 17);
    assert_memory_equal(got, "one two threeone ", 17);
    close_pair(&p);
}

static void the_end_of_the_stream_is_zero(void **state)
{
    (void)state;
    struct pair p;
    char got[8];
    open_pair(&p, true);
    assert_int_equal(send(p.peer, "last", 4, 0), 4);
    assert_int_equal(shutdown(p.peer, SHUT_WR), 0);
    assert_int_equal(read_some(&p, got, sizeof(got)), 4);
    assert_int_equal(read_some(&p, got, sizeof(got)), 0);
    /* The other direction still works. */
    struct iovec iov = {(char[]){"bye"}, 3};
    assert_int_equal(transport_writev(&p.tcp.base, &iov, 1), 3);
    transport_finish(&p.tcp.base);
    assert_int_equal(recv(p.peer, got, sizeof(got), MSG_WAITALL), 3);
    close_pair(&p);
}

static void a_reset_is_an_error_and_no_signal(void **state)
{
    (void)state;
    struct pair p;
    char got[8];
    open_pair(&p, true);
    struct linger reset = {.l_onoff = 1, .l_linger = 0};
    assert_int_equal(setsockopt(p.peer, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)), 0);
    (void)close(p.peer);
    p.peer = -1;
    assert_int_equal(read_some(&p, got, sizeof(got)), -ECONNRESET);
    assert_int_equal(tcp_error(&p.tcp), 0);
    /* SIGPIPE has its default action here: raised, it would end this program. */
    (void)signal(SIGPIPE, SIG_DFL);
    struct iovec iov[] = {{got, 1}, {got, 1}};
    assert_int_equal(transport_writev(&p.tcp.base, iov, 1), -EPIPE);
    assert_int_equal(transport_writev(&p.tcp.base, iov, 2), -EPIPE);
    close_pair(&p);
}

static void a_full_socket_takes_a_part_and_then_nothing(void **state)
{
    (void)state;
    struct pair p;
    static char block[1 << 20];
    struct iovec iov = {block, sizeof(block)};
    open_pair(&p, true);
    ssize_t n;
    bool some = false;
    while ((n = transport_writev(&p.tcp.base, &iov, 1)) > 0)
        some = true;
    assert_true(some);
    assert_int_equal(n, -EAGAIN);
    close_pair(&p);
}

static void discarding_leaves_nothing_to_read(void **state)
{
    (void)state;
    struct pair p;
    char got[8];
    open_pair(&p, true);
    assert_int_equal(tcp_discard(&p.tcp), -EAGAIN);
    assert_int_equal(send(p.peer, "unwanted", 8, 0), 8);
    wait_for(p.tcp.fd, POLLIN);
    assert_int_equal(tcp_discard(&p.tcp), 8);
    assert_int_equal(transport_read(&p.tcp.base, got, sizeof(got)), -EAGAIN);
    (void)close(p.peer);
    p.peer = -1;
    wait_for(p.tcp.fd, POLLIN);
    assert_int_equal(tcp_discard(&p.tcp), 0);
    close_pair(&p);
}

static void discarding_works_on_a_unix_socket_too(void **state)
{
    (void)state;
    int fd[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fd), 0);
    struct tcp t;
    tcp_init(&t, fd[0]);
    assert_int_equal(tcp_discard(&t), -EAGAIN);
    assert_int_equal(send(fd[1], "unwanted", 8, 0), 8);
    assert_int_equal(tcp_discard(&t), 8);
    assert_int_equal(tcp_discard(&t), -EAGAIN);
    (void)close(fd[1]);
    assert_int_equal(tcp_discard(&t), 0);
    transport_close(&t.base);
}

static void what_is_peeked_at_stays(void **state)
{
    (void)state;
    struct pair p;
    char got[8];
    open_pair(&p, true);
    assert_int_equal(tcp_peek(&p.tcp, got, sizeof(got)), -EAGAIN);
    assert_int_equal(send(p.peer, "here", 4, 0), 4);
    wait_for(p.tcp.fd, POLLIN);
    assert_int_equal(tcp_peek(&p.tcp, got, sizeof(got)), 4);
    assert_int_equal(transport_read(&p.tcp.base, got, 2), 2);
    assert_int_equal(tcp_peek(&p.tcp, got, sizeof(got)), 2);
    assert_memory_equal(got, "re", 2);
    close_pair(&p);
}

static void one_address_has_one_listener(void **state)
{
    (void)state;
    struct sockaddr_in address;
    int first = listen_on_loopback(&address);
    int second = -1;
    assert_err(tcp_bind((struct sockaddr *)&address, sizeof(address), NULL, &second), ERR_SYSTEM);
    assert_int_equal(errno, EADDRINUSE);
    assert_int_equal(second, -1);
    (void)close(first);
    /* And a port is free for the next one at once. */
    assert_ok(tcp_bind((struct sockaddr *)&address, sizeof(address), NULL, &second));
    (void)close(second);
}

static int connect_to(const struct sockaddr_in *address)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0)
        return fd;
    (void)close(fd);
    return -1;
}

static void a_bound_socket_lets_nobody_in_until_it_listens(void **state)
{
    (void)state;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof(address);
    int fd = -1;
    assert_ok(tcp_bind((struct sockaddr *)&address, sizeof(address), NULL, &fd));
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &length), 0);
    assert_int_equal(connect_to(&address), -1);
    assert_ok(tcp_listen(fd));
    int client = connect_to(&address);
    assert_true(client >= 0);
    (void)close(client);
    (void)close(fd);
}

/* The way in which a listener is moved to another address of its port, and back. */
static void who_stops_listening_makes_way_and_can_come_back(void **state)
{
    (void)state;
    struct sockaddr_in one;
    int first = -1;
    /* A port that the system chose is not kept, so it is asked for by its number. */
    (void)close(listen_on_loopback(&one));
    assert_ok(tcp_bind((struct sockaddr *)&one, sizeof(one), NULL, &first));
    assert_ok(tcp_listen(first));
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = one.sin_port};
    int second = -1;
    assert_err(tcp_bind((struct sockaddr *)&any, sizeof(any), NULL, &second), ERR_SYSTEM);
    assert_ok(tcp_unlisten(first));
    assert_int_equal(connect_to(&one), -1);
    assert_ok(tcp_bind((struct sockaddr *)&any, sizeof(any), NULL, &second));
    assert_ok(tcp_listen(second));
    int client = connect_to(&one);
    assert_true(client >= 0);
    (void)close(client);
    /* While the other one listens there is no way back. */
    assert_err(tcp_listen(first), ERR_SYSTEM);
    (void)close(second);
    assert_ok(tcp_listen(first));
    client = connect_to(&one);
    assert_true(client >= 0);
    (void)close(client);
    (void)close(first);
}

static void an_interface_is_tied_to_or_told_to_be_missing(void **state)
{
    (void)state;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = -1;
    assert_err(tcp_bind((struct sockaddr *)&address, sizeof(address), "none0", &fd), ERR_NOT_FOUND);
    assert_int_equal(errno, ENODEV);
    assert_ok(tcp_bind((struct sockaddr *)&address, sizeof(address), "lo", &fd));
    char name[IFNAMSIZ] = "";
    socklen_t length = sizeof(name);
    assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, name, &length), 0);
    assert_string_equal(name, "lo");
    (void)close(fd);
}

static void an_interface_has_its_own_addresses(void **state)
{
    (void)state;
    struct sockaddr_in home = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_in other = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0xc0000201)};
    struct sockaddr_in any = {.sin_family = AF_INET};
    struct sockaddr_in6 any6 = {.sin6_family = AF_INET6};
    assert_ok(interface_has("lo", (struct sockaddr *)&home));
    assert_ok(interface_has("lo", (struct sockaddr *)&any));
    assert_ok(interface_has("lo", (struct sockaddr *)&any6));
    assert_err(interface_has("lo", (struct sockaddr *)&other), ERR_INVAL);
    assert_err(interface_has("none0", (struct sockaddr *)&any), ERR_NOT_FOUND);
}

static void a_family_that_does_not_exist_is_unsupported(void **state)
{
    (void)state;
    struct sockaddr none = {.sa_family = AF_MAX};
    int fd = -1;
    assert_err(tcp_bind(&none, sizeof(none), NULL, &fd), ERR_UNSUPPORTED);
}

static int option_of(int fd, int level, int option)
{
    int value = -1;
    socklen_t length = sizeof(value);
    assert_int_equal(getsockopt(fd, level, option, &value, &length), 0);
    return value;
}

static void connecting_reaches_who_listens(void **state)
{
    (void)state;
    struct sockaddr_in address;
    struct sockaddr_in from;
    socklen_t length = sizeof(from);
    int listener = listen_on_loopback(&address);
    const struct tcp_how plain = {0};
    struct tcp t;
    int fd = -1;
    enum err e = tcp_connect((struct sockaddr *)&address, sizeof(address), &plain, &fd);
    assert_true(e == ERR_OK || e == ERR_AGAIN);
    assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
    assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    wait_for(fd, POLLOUT);
    tcp_init(&t, fd);
    assert_int_equal(tcp_error(&t), 0);
    assert_int_equal(option_of(fd, SOL_SOCKET, SO_KEEPALIVE), 0);
    assert_int_equal(option_of(fd, IPPROTO_TCP, TCP_NODELAY), 0);
    wait_for(listener, POLLIN);
    int peer = accept(listener, (struct sockaddr *)&from, &length);
    assert_true(peer >= 0);
    (void)close(peer);
    transport_close(&t.base);
    (void)close(listener);
}

static void a_connection_is_made_as_it_is_wanted(void **state)
{
    (void)state;
    struct sockaddr_in address;
    struct sockaddr_in from;
    socklen_t length = sizeof(from);
    int listener = listen_on_loopback(&address);
    const struct tcp_how how = {.bind_address = "127.0.0.9",
                                .keepalive_idle = 77,
                                .keepalive_interval = 5,
                                .keepalive_count = 3,
                                .user_timeout_ms = 12345,
                                .nodelay = true};
    int fd = -1;
    enum err e = tcp_connect((struct sockaddr *)&address, sizeof(address), &how, &fd);
    assert_true(e == ERR_OK || e == ERR_AGAIN);
    assert_int_equal(option_of(fd, SOL_SOCKET, SO_KEEPALIVE), 1);
    assert_int_equal(option_of(fd, IPPROTO_TCP, TCP_KEEPIDLE), 77);
    assert_int_equal(option_of(fd, IPPROTO_TCP, TCP_KEEPINTVL), 5);
    assert_int_equal(option_of(fd, IPPROTO_TCP, TCP_KEEPCNT), 3);
    assert_int_equal(option_of(fd, IPPROTO_TCP, TCP_USER_TIMEOUT), 12345);
    assert_int_not_equal(option_of(fd, IPPROTO_TCP, TCP_NODELAY), 0);
    wait_for(listener, POLLIN);
    int peer = accept(listener, (struct sockaddr *)&from, &length);
    assert_true(peer >= 0);
    assert_int_equal(from.sin_addr.s_addr, inet_addr("127.0.0.9"));
    (void)close(peer);
    (void)close(fd);
    (void)close(listener);
}

static void more_than_the_system_takes_is_cut_to_what_it_takes(void **state)
{
    (void)state;
    struct sockaddr_in address;
    int listener = listen_on_loopback(&address);
    const struct tcp_how how = {.keepalive_idle = UINT32_MAX,
                                .keepalive_interval = UINT32_MAX,
                                .keepalive_count = UINT32_MAX,
                                .user_timeout_ms = UINT32_MAX};
    int fd = -1;
    enum err e = tcp_connect((struct sockaddr *)&address, sizeof(address), &how, &fd);
    assert_true(e == ERR_OK || e == ERR_AGAIN);
    assert_int_equal(option_of(fd, SOL_SOCKET, SO_KEEPALIVE), 1);
    assert_true(option_of(fd, IPPROTO_TCP, TCP_KEEPIDLE) > 10000);
    (void)close(fd);
    (void)close(listener);
}

static void nobody_there_is_an_error_of_the_socket(void **state)
{
    (void)state;
    struct sockaddr_in address;
    const struct tcp_how plain = {0};
    struct tcp t;
    int fd = -1;
    (void)close(listen_on_loopback(&address));
    enum err e = tcp_connect((struct sockaddr *)&address, sizeof(address), &plain, &fd);
    if (e == ERR_AGAIN) {
        wait_for(fd, POLLOUT);
        tcp_init(&t, fd);
        assert_int_equal(tcp_error(&t), ECONNREFUSED);
        transport_close(&t.base);
        return;
    }
    assert_int_equal(e, ERR_SYSTEM);
    assert_int_equal(errno, ECONNREFUSED);
    assert_int_equal(fd, -1);
}

static void connecting_from_where_we_are_not_is_an_error(void **state)
{
    (void)state;
    struct sockaddr_in address;
    int listener = listen_on_loopback(&address);
    int fd = -1;
    struct tcp_how how = {.bind_address = "192.0.2.1"};
    assert_err(tcp_connect((struct sockaddr *)&address, sizeof(address), &how, &fd), ERR_SYSTEM);
    assert_int_equal(errno, EADDRNOTAVAIL);
    how.bind_address = "::1";
    assert_err(tcp_connect((struct sockaddr *)&address, sizeof(address), &how, &fd), ERR_INVAL);
    how.bind_address = "localhost";
    assert_err(tcp_connect((struct sockaddr *)&address, sizeof(address), &how, &fd), ERR_INVAL);
    struct sockaddr none = {.sa_family = AF_MAX};
    assert_err(tcp_connect(&none, sizeof(none), &how, &fd), ERR_SYSTEM);
    assert_int_equal(fd, -1);
    (void)close(listener);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(accepted_sockets_are_ready_for_a_loop),
        UNIT_TEST(nagle_stays_when_it_is_wanted),
        UNIT_TEST(bytes_travel_both_ways),
        UNIT_TEST(the_end_of_the_stream_is_zero),
        UNIT_TEST(a_reset_is_an_error_and_no_signal),
        UNIT_TEST(a_full_socket_takes_a_part_and_then_nothing),
        UNIT_TEST(discarding_leaves_nothing_to_read),
        UNIT_TEST(discarding_works_on_a_unix_socket_too),
        UNIT_TEST(what_is_peeked_at_stays),
        UNIT_TEST(one_address_has_one_listener),
        UNIT_TEST(a_bound_socket_lets_nobody_in_until_it_listens),
        UNIT_TEST(who_stops_listening_makes_way_and_can_come_back),
        UNIT_TEST(an_interface_is_tied_to_or_told_to_be_missing),
        UNIT_TEST(an_interface_has_its_own_addresses),
        UNIT_TEST(a_family_that_does_not_exist_is_unsupported),
        UNIT_TEST(connecting_reaches_who_listens),
        UNIT_TEST(a_connection_is_made_as_it_is_wanted),
        UNIT_TEST(more_than_the_system_takes_is_cut_to_what_it_takes),
        UNIT_TEST(nobody_there_is_an_error_of_the_socket),
        UNIT_TEST(connecting_from_where_we_are_not_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
