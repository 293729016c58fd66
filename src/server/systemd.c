/*
 * Messages to systemd.
 *
 * A socket is opened for each, so nothing has to be kept open for this while we become another
 * user; the socket's owner lets everybody write who may reach it. The library's sd_notify() would
 * wait for ever when the manager hangs and its queue is full, so the sending is our own, and the
 * library is not needed.
 */
#include "server/systemd.h"

#include "base/str.h"

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

/* Somebody who looks every N seconds must have heard from us in between, even if one is late. */
#define PER_PERIOD 3
/* How long a manager that is behind may keep us from telling a change of state. */
#define PATIENCE_MS 100
#define TEXT_MAX 512

/* Where messages go; false: nobody wants any. An abstract name begins with '@' there. */
static bool manager(struct sockaddr_un *un, socklen_t *length)
{
    const char *name = getenv("NOTIFY_SOCKET");
    size_t n = name ? strlen(name) : 0;
    *un = (struct sockaddr_un){.sun_family = AF_UNIX};
    if (n < 2 || n >= sizeof(un->sun_path) || (name[0] != '/' && name[0] != '@')) {
        return false;
    }
    memcpy(un->sun_path, name, n);
    un->sun_path[0] = name[0] == '@' ? '\0' : '/';
    *length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n);
    return true;
}

/* What does not get through in time is lost. */
static void notify(const char *text, int patience_ms)
{
    struct sockaddr_un un;
    socklen_t length = 0;
    if (!manager(&un, &length)) {
        return;
    }
    struct pollfd p = {.fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0),
                       .events = POLLOUT};
    if (p.fd < 0) {
        return;
    }
    if (connect(p.fd, (const struct sockaddr *)&un, length) == 0 && poll(&p, 1, patience_ms) > 0) {
        (void)send(p.fd, text, strlen(text), MSG_NOSIGNAL);
    }
    (void)close(p.fd);
}

static void notify_status(const char *state, const char *status)
{
    char text[TEXT_MAX];
    (void)snprintf(text, sizeof(text), "%sSTATUS=%s", state, status);
    notify(text, PATIENCE_MS);
}

/* A positive number of the environment; 0: there is none. */
static int64_t number_of(const char *name)
{
    const char *text = getenv(name);
    int64_t n = 0;
    return text && str_to_i64_any_base(str_c(text), &n) == ERR_OK && n > 0 ? n : 0;
}

void systemd_init(struct systemd *s, uint64_t now_ms)
{
    int64_t usec = number_of("WATCHDOG_USEC");
    bool ours = !getenv("WATCHDOG_PID") || number_of("WATCHDOG_PID") == getpid();
    *s = (struct systemd){.due_ms = UINT64_MAX};
    if (usec > 0 && ours) {
        s->every_ms = (uint64_t)usec / 1000 / PER_PERIOD;
        s->every_ms = s->every_ms > 0 ? s->every_ms : 1;
        s->due_ms = now_ms;
    }
}

void systemd_ready(const char *status)
{
    notify_status("READY=1\n", status);
}

void systemd_starting(const char *status)
{
    notify_status("", status);
}

void systemd_reloading(void)
{
    struct timespec t;
    char state[64];
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    (void)snprintf(state, sizeof(state), "RELOADING=1\nMONOTONIC_USEC=%llu\n",
                   (unsigned long long)t.tv_sec * 1000000 + (unsigned long long)t.tv_nsec / 1000);
    notify_status(state, "Reading the configuration again");
}

void systemd_stopping(void)
{
    notify_status("STOPPING=1\n", "Stopping");
}

void systemd_live(struct systemd *s, uint64_t now_ms)
{
    if (now_ms >= s->due_ms) {
        s->due_ms = now_ms + s->every_ms;
        notify("WATCHDOG=1", 0);
    }
}
