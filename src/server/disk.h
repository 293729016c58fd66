/*
 * The store's files: the directory PERSISTENCE_LOCATION/PERSISTENCE_FILE.journal, one process at a
 * time; and the thread that does what may take long.
 *
 * Twin: disk_none.c (WITH_PERSISTENCE=no), where `persistence true` is refused at the start.
 */
#ifndef SERVER_DISK_H
#define SERVER_DISK_H

#include "base/log.h"
#include "conf/conf.h"
#include "core/broker.h"
#include "server/poll.h"
#include "server/privileges.h"

#include <stdbool.h>
#include <stdint.h>

struct disk;

/*
 * Find or make the store, import a mosquitto.db that is found, and take the lock: as root, before
 * privileges_drop(). *out is NULL if `persistence` is off; otherwise disk_close() is due, whatever
 * comes. What is wrong is an error on the log: ERR_SYSTEM, ERR_MALFORMED (damage), ERR_EXISTS
 * (another broker has it), ERR_NOMEM.
 */
MUST_CHECK enum err disk_find(struct disk **out, const struct conf *conf, const struct log *log,
                              const struct privileges *who, int64_t wall_s);
/*
 * Recover into `broker`; as the user who goes on, and before the first turn; blocks. Its thread's
 * results wake `poll` through a watch of this kind. Errors as above. NULL is allowed.
 */
MUST_CHECK enum err disk_open(struct disk *d, const struct conf *conf, struct broker *broker,
                              struct poll *poll, unsigned char watch_kind, int64_t wall_s);
/* All of these allow NULL: nothing is stored then. Before disk_open has succeeded: only disk_failed
 * and disk_close. */

/*
 * After broker_tick and before any input: cleaning, with the turn's fresh budget, of which it takes
 * a share that grows with what is stored. Behind a flood of input it would never come.
 */
void disk_begin(struct disk *d, uint64_t now_ms);
/* After broker_work: stored messages that are wanted back, then commit: this turn's records are
 * stored, or on their way; what is durable is released. Not if disk_failed. */
void disk_turn(struct disk *d, uint64_t now_ms);
/* The thread has done something: its watch is readable. Before broker_work. */
void disk_ready(struct disk *d, uint64_t now_ms);
/* When disk_turn should run again though nothing happens; UINT64_MAX = never. */
uint64_t disk_deadline(const struct disk *d);
/* A sync failed, which is on the log: the process must end at once, and nothing may leave. */
bool disk_failed(const struct disk *d);
/* Another configuration: intervals and limits. */
void disk_set(struct disk *d, const struct conf *conf);
/* SIGUSR1: sync, and clean what can be cleaned. */
void disk_compact(struct disk *d);
/* Figures into the log (SIGUSR2). */
void disk_log_figures(struct disk *d);
/* The end, before broker_free: everything is written and synced, or an error is logged. After a
 * failure nothing is tried. False: a sync failed, then or earlier. */
bool disk_close(struct disk *d, uint64_t now_ms);

#endif
