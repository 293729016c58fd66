/*
 * One turn after another: wait, tick, read, work, write, bury.
 *
 * All of the broker happens in turns, in one thread. What a turn may do is bounded (by the core's
 * budget and by the sizes of our batches), so that nobody waits long for a turn that is somebody
 * else's.
 */
#ifndef SERVER_LOOP_H
#define SERVER_LOOP_H

#include "base/log.h"
#include "conf/conf.h"
#include "core/broker.h"
#include "server/bridge_keys.h"
#include "server/dial.h"
#include "server/disk.h"
#include "server/door.h"
#include "server/file_watch.h"
#include "server/link.h"
#include "server/listener.h"
#include "server/logsink.h"
#include "server/poll.h"
#include "server/trim.h"
#include "server/worker.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * How long turns take, in CPU time of this thread.
 *
 * Asking for CPU time is a system call, asking for the time of day is not. A turn takes no more CPU
 * time than time of day: so short turns are only added up, and the CPU clock is read when their sum
 * matters. What is then known of the last turn is off by no more than that sum.
 */
struct stopwatch {
    uint64_t begin_ns;     /* monotonic, of this turn */
    uint64_t cpu_ns;       /* when it was read last */
    uint64_t unsampled_ns; /* time of day in turns since then */
    uint64_t longest_ns;
};

struct loop {
    struct broker *broker;
    struct logsink *sink;
    const struct log *log;
    struct poll poll;
    struct door door;
    struct links links;
    struct listeners listeners;
    struct dials *dials; /* NULL without bridges */
    struct disk *disk;   /* NULL without persistence */
    struct worker worker;
    struct watch worker_event;
    struct file_watch *files; /* NULL: none are watched */
    struct watch signals;
    unsigned wishes;  /* bits 1 << enum signal_wish that came in this turn: the owner's to clear */
    bool at_once;     /* do not wait in the next turn */
    uint64_t work_ms; /* when the core wants to be called again, monotonic */
    uint64_t end_ms;  /* never wait longer than until then, monotonic */
    uint64_t wake_ms; /* nor than until then, which the owner sets; UINT64_MAX = whatever comes */
    uint64_t now_ms;  /* monotonic, as of the end of the last turn */
    struct stopwatch watch;
    struct trim trim;
};

/*
 * Descriptors, signals, and sockets for all listeners, which are bound but let nobody in: what may
 * need root. What goes wrong is an error on the log, but for ERR_NOMEM. Then disk_close() and
 * loop_clear() are due too. `log` and `sink` must outlive the loop.
 */
MUST_CHECK enum err loop_init(struct loop *l, struct broker *broker, const struct conf *conf,
                              const struct log *log, struct logsink *sink);
/* Bridges are connected from now on, by these keys; `seed` is chance. ERR_NOMEM. */
MUST_CHECK enum err loop_dial_bridges(struct loop *l, const struct bridge_keys *keys,
                                      uint64_t seed);
/*
 * The store, found by disk_find() and put into l->disk, gives the broker its state back; only then
 * anybody is listened to: nobody connects to a broker that is not ready. Errors as above.
 */
MUST_CHECK enum err loop_start(struct loop *l, const struct conf *conf);
/* Events of these are taken in turns; their owner looks when it is time. */
void loop_watch_files(struct loop *l, struct file_watch *files);
/* What other threads do for the broker's clients comes to its end, before the broker does. */
void loop_stop(struct loop *l);
/* Closes everything but the store; calls nothing of the broker. */
void loop_clear(struct loop *l);
/* If disk_failed() is true afterwards, nothing was sent, and there must not be another turn. */
void loop_turn(struct loop *l);

#endif
