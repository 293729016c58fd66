/*
 * The loop of mosquitto_sub: the broker on one side, stdout on the other.
 *
 * While stdout does not take what waits for it, nothing is read at QoS 1 and 2: the broker holds
 * the rest back itself. Signals come only while the loop waits, so none is missed.
 */
#include "clients/sub.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TURN_MS 1000                     /* the library wants to be asked that often */
#define CONNECTING_MS 100                /* … and while it connects, oftener */
#define LEAVE_MS 5000                    /* for what is left to write, after a signal or -W */
#define WAITING_BYTES (64 * 1024 * 1024) /* for stdout; then nothing more is read */

static volatile sig_atomic_t signalled;

static void on_signal(int number)
{
    signalled = number;
}

static void handle(int number, void (*handler)(int))
{
    struct sigaction action = {.sa_handler = handler};
    sigaction(number, &action, NULL);
}

/* Blocked from now on, and let through in `open` alone. */
static void hold_signals(sigset_t *open)
{
    sigset_t held;
    sigemptyset(&held);
    sigaddset(&held, SIGINT);
    sigaddset(&held, SIGTERM);
    handle(SIGINT, on_signal);
    handle(SIGTERM, on_signal);
    sigprocmask(SIG_BLOCK, &held, open);
    sigdelset(open, SIGINT);
    sigdelset(open, SIGTERM);
}

/* A signal or -W: what is still on its way has LEAVE_MS; a second signal does not wait at all. */
static void leave(struct sub *sub, int code)
{
    bool again = sub->ending;
    sub_end(sub, code);
    if (again)
        mosquitto_disconnect(sub->mosq);
    else
        sub->leave_by_ms = client_now_ms() + LEAVE_MS;
}

/* The time of -W, which began with the first attempt to connect. */
static void check_time(struct sub *sub, int64_t until_ms, int *timeout_ms)
{
    int64_t left_ms = until_ms - client_now_ms();
    if (sub->ending) {
        if (client_now_ms() >= sub->leave_by_ms)
            mosquitto_disconnect(sub->mosq);
    } else if (left_ms <= 0) {
        client_complain(&sub->settings.common, "Timed out\n");
        leave(sub, EXIT_TIMED_OUT);
    } else if (left_ms < *timeout_ms) {
        *timeout_ms = (int)left_ms;
    }
}

/* ---- The broker ---- */

/* There is no connection and no attempt. false: there will be none. */
static bool go_again(struct sub *sub, int *timeout_ms)
{
    const struct client_settings *s = &sub->settings.common;
    if (sub->ending)
        return false;
    sub->connected = false;
    client_retry_begin(&sub->retry, s->retry_s);
    int wait_ms = client_retry_wait_ms(&sub->retry);
    if (wait_ms < 0) {
        client_complain(s, "Error: The connection to the broker is lost.\n");
        sub->code = EXIT_GONE;
        return false;
    }
    if (wait_ms > 0) {
        *timeout_ms = wait_ms < *timeout_ms ? wait_ms : *timeout_ms;
        return true;
    }
    client_retry_again(&sub->retry);
    mosquitto_reconnect_async(sub->mosq);
    *timeout_ms = CONNECTING_MS;
    return true;
}

/*
 * May more be read, though something waits for stdout? What is taken at QoS 1 and 2 is
 * acknowledged, so it is left with the broker, which stops by itself when a few messages are open.
 * At QoS 0 the broker would throw away what is not read.
 */
static bool has_room(const struct sub *sub)
{
    size_t waiting = sub->out.text.used;
    if (waiting == 0 || !sub->connected)
        return true;
    return sub->settings.common.qos == 0 && waiting < WAITING_BYTES;
}

static struct pollfd broker_poll(const struct sub *sub)
{
    int fd = mosquitto_socket(sub->mosq);
    short in = has_room(sub) ? POLLIN : 0, out = mosquitto_want_write(sub->mosq) ? POLLOUT : 0;
    return (struct pollfd){.fd = fd, .events = (short)(in | out)};
}

/* Errors need no handling: a connection that is gone has no socket. */
static void serve_broker(struct sub *sub, short events)
{
    if (events & POLLIN || (events & (POLLERR | POLLHUP) && has_room(sub)))
        mosquitto_loop_read(sub->mosq, 1);
    if (events & POLLOUT)
        mosquitto_loop_write(sub->mosq, 1);
    mosquitto_loop_misc(sub->mosq);
}

/* ---- stdout ---- */

static void serve_stdout(struct sub *sub, short events)
{
    bool gone = events & (POLLERR | POLLNVAL);
    if (gone && sub->out.text.used == 0 && !sub->ending)
        sub_end(sub, 0);
    if (sub->settings.watch)
        sub_watch_resize(&sub->watch, &sub->out.text);
    if (sub->out.text.used > 0 || sub->out.text.failed)
        sub_write(sub);
}

static void say_rate(struct sub *sub, int64_t *next_ms, int *timeout_ms)
{
    int64_t now = client_now_ms();
    if (now >= *next_ms) {
        client_text_printf(&sub->out.text, "%d\n", sub->rate);
        sub->rate = 0;
        *next_ms += 1000;
        if (*next_ms <= now)
            *next_ms = now + 1000;
    }
    if (*next_ms - now < *timeout_ms)
        *timeout_ms = (int)(*next_ms - now);
}

/* ---- Together ---- */

static int wait_for(struct pollfd *fds, int n, int timeout_ms, const sigset_t *open)
{
    struct timespec time = {timeout_ms / 1000, timeout_ms % 1000 * 1000000L};
    return ppoll(fds, (nfds_t)n, &time, open);
}

static void loop(struct sub *sub, int64_t until_ms, const sigset_t *open)
{
    int64_t rate_ms = client_now_ms() + 1000;
    for (;;) {
        int timeout_ms = sub->retry.until_ms ? CONNECTING_MS : TURN_MS;
        if (sub->settings.message_rate)
            say_rate(sub, &rate_ms, &timeout_ms);
        check_time(sub, until_ms, &timeout_ms);
        if (sub->out.text.used > 0 || sub->out.text.failed)
            sub_write(sub);
        if (mosquitto_socket(sub->mosq) < 0 && !go_again(sub, &timeout_ms))
            return;
        struct pollfd fds[] = {broker_poll(sub), client_stdout_poll(&sub->out)};
        int ready = wait_for(fds, 2, timeout_ms, open);
        if (signalled) {
            leave(sub, 0);
            signalled = 0;
        }
        serve_broker(sub, ready > 0 ? fds[0].revents : 0);
        serve_stdout(sub, ready > 0 ? fds[1].revents : 0);
    }
}

/* What still waits when the connection is over. There is a limit only for those in a hurry. */
static void write_rest(struct sub *sub, const sigset_t *open)
{
    for (sub_write(sub); sub->out.text.used > 0; sub_write(sub)) {
        struct pollfd fd = client_stdout_poll(&sub->out);
        if (client_now_ms() >= sub->leave_by_ms || signalled) {
            client_complain(&sub->settings.common,
                            "Error: %zu bytes could not be written to stdout.\n",
                            sub->out.text.used);
            sub->code = EXIT_BAD;
            return;
        }
        wait_for(&fd, 1, TURN_MS, open);
    }
}

int sub_run(struct sub *sub)
{
    const struct client_settings *s = &sub->settings.common;
    int64_t until_ms = s->timeout_s > 0 ? client_now_ms() + s->timeout_s * 1000LL : INT64_MAX;
    sigset_t open;
    int code = client_reach(sub->mosq, s);
    if (code != 0)
        return code;
    hold_signals(&open);
    loop(sub, until_ms, &open);
    if (sub->settings.watch)
        sub_watch_leave(&sub->watch, &sub->out.text);
    write_rest(sub, &open);
    return sub->code;
}
