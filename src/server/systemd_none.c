/*
 * Without systemd nobody is told anything.
 */
#include "server/systemd.h"

void systemd_init(struct systemd *s, uint64_t now_ms)
{
    (void)now_ms;
    *s = (struct systemd){.due_ms = UINT64_MAX};
}

void systemd_ready(const char *status)
{
    (void)status;
}

void systemd_starting(const char *status)
{
    (void)status;
}

void systemd_reloading(void)
{
}

void systemd_stopping(void)
{
}

void systemd_live(struct systemd *s, uint64_t now_ms)
{
    (void)s, (void)now_ms;
}
