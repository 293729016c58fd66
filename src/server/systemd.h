/*
 * What systemd wants to know of a service (Type=notify): that it is ready, reloads, stops, and that
 * it still lives. Without NOTIFY_SOCKET in the environment nothing happens.
 *
 * Twin: systemd_none.c (WITH_SYSTEMD=no).
 */
#ifndef SERVER_SYSTEMD_H
#define SERVER_SYSTEMD_H

#include <stdint.h>

struct systemd {
    uint64_t every_ms; /* a sign of life; 0 = nobody waits for any */
    uint64_t due_ms;   /* monotonic, when the next is due; UINT64_MAX = never */
};

/* Reads WATCHDOG_USEC: signs of life are due from now on. */
void systemd_init(struct systemd *s, uint64_t now_ms);
/* `status` is a line for people. */
void systemd_ready(const char *status);
void systemd_reloading(void);
void systemd_stopping(void);
/* What it is busy with while it is not ready yet. */
void systemd_starting(const char *status);
/* A sign of life, when one is due; takes a descriptor for a moment. */
void systemd_live(struct systemd *s, uint64_t now_ms);

#endif
