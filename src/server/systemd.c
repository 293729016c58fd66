/*
 * Messages to systemd.
 *
 * The library opens a socket for each, so nothing has to be kept open for this while we become
 * another user; the socket's owner lets everybody write who may reach it.
 */
#include "server/systemd.h"

#include <systemd/sd-daemon.h>
#include <time.h>

/* Somebody who looks every N seconds must have heard from us in between, even if one is late. */
#define PER_PERIOD 3

void systemd_init(struct systemd *s, uint64_t now_ms)
{
    uint64_t usec = 0;
    *s = (struct systemd){.due_ms = UINT64_MAX};
    if (sd_watchdog_enabled(0, &usec) > 0) {
        s->every_ms = usec / 1000 / PER_PERIOD;
        s->every_ms = s->every_ms > 0 ? s->every_ms : 1;
        s->due_ms = now_ms;
    }
}

void systemd_ready(const char *status)
{
    (void)sd_notifyf(0, "READY=1\nSTATUS=%s", status);
}

void systemd_starting(const char *status)
{
    (void)sd_notifyf(0, "STATUS=%s", status);
}

void systemd_reloading(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    (void)sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%llu\nSTATUS=Reading the configuration again",
                     (unsigned long long)t.tv_sec * 1000000 + (unsigned long long)t.tv_nsec / 1000);
}

void systemd_stopping(void)
{
    (void)sd_notify(0, "STOPPING=1\nSTATUS=Stopping");
}

void systemd_live(struct systemd *s, uint64_t now_ms)
{
    if (now_ms >= s->due_ms) {
        s->due_ms = now_ms + s->every_ms;
        (void)sd_notify(0, "WATCHDOG=1");
    }
}
