/*
 * The door of the core: all that the server, the simulator and the fuzzer know of it.
 *
 * The core is a function with memory: bytes and time come in, bytes and wishes go out. It never
 * calls out except to the log sink and the maker of client ids, which must not call back in.
 *
 * One turn of the caller:
 *     broker_tick → for each readable connection: broker_room, read, broker_input → broker_work →
 *     broker_take_login, broker_take_dial while there is room for more →
 *     broker_take_records, store them, broker_place, broker_durable → broker_take_dirty until NULL:
 *     broker_output, write, broker_sent, broker_wish → broker_take_fetch until false.
 */
#ifndef CORE_BROKER_H
#define CORE_BROKER_H

#include "base/buf.h"
#include "base/err.h"
#include "base/log.h"
#include "conf/conf.h"
#include "core/fetch.h"
#include "core/peer.h"
#include "core/stats.h"
#include "mqtt/reason.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

struct broker;
struct conn;

#define BROKER_ID_MAX 64
/* A complete CONNECT is due so long after accept, however it drips and whatever comes before it. */
#define BROKER_CONNECT_MS 30000

struct broker_setup {
    const struct conf
        *conf; /* read-only; lives as long as the broker, or until broker_commit took another */
    struct log log;
    const char *version; /* for $SYS/broker/version; lives as long as the broker. NULL: not told */
    uint64_t seed;       /* keys the hash tables */
    bool persistent;     /* emit records, and hold back what must wait for them */
    /* Write a new, unguessable client id without prefix, terminated, of at most BROKER_ID_MAX bytes
     * with the NUL. */
    void (*make_id)(void *ctx, char out[BROKER_ID_MAX]);
    void *make_id_ctx;
};

struct now {
    uint64_t mono_ms; /* never goes back */
    int64_t wall_s;   /* Unix time, for what is stored */
};

struct span {
    uint8_t *p;
    size_t n;
};

enum wish {
    WISH_READ,        /* read on */
    WISH_PAUSE,       /* do not read until told otherwise: what came before is not finished yet */
    WISH_FLUSH_CLOSE, /* write what broker_output still gives, do not read, then close */
    WISH_CLOSE        /* close at once */
};

/* NULL without memory. */
MUST_CHECK struct broker *broker_new(const struct broker_setup *setup);
/* Frees everything, connections included, as a crash would: publishes no will, tells nobody. */
/* A storm is over: gives back memory that was kept for the next message or connection. */
void broker_trim(struct broker *b);
void broker_free(struct broker *b);

/* The turn begins: the clock, and a fresh budget. */
void broker_tick(struct broker *b, struct now now);

/*
 * A connection was accepted (and has walked through whatever stands in front of MQTT). `link` is
 * the caller's own half and is given back by conn_link(). NULL without memory: the caller closes.
 */
MUST_CHECK struct conn *broker_open(struct broker *b, const struct peer *peer, void *link);
void *conn_link(const struct conn *c);
/*
 * Right after broker_open: its user name is proven, by its certificate or its pre-shared key, so
 * whatever CONNECT says of a name and a password does not count. ERR_NOMEM, ERR_INVAL (it is empty,
 * too long, or not the UTF-8 that MQTT allows): it must not come in.
 */
MUST_CHECK enum err broker_name(struct broker *b, struct conn *c, struct str user);

/*
 * Where the next bytes of this connection should land; valid until the next call into the broker. n
 * == 0: not now: the connection is paused or closing, or this turn's budget is spent (then ask
 * again next turn). If p == NULL and n == 0 and the wish is WISH_CLOSE: there was no memory.
 */
struct span broker_room(struct broker *b, struct conn *c);
/* n > 0 bytes landed there. */
void broker_input(struct broker *b, struct conn *c, size_t n);
/*
 * The connection is gone: the peer closed it (REASON_PEER_CLOSED), the socket failed
 * (REASON_SOCKET, `detail` says how, or is NULL), or the core's wish to close was carried out
 * (REASON_OK). Afterwards c is invalid.
 */
void broker_closed(struct broker *b, struct conn *c, enum reason why, const char *detail);

/* Is this turn's budget spent? Then leave the remaining readable connections for the next turn. */
bool broker_is_spent(const struct broker *b);
/*
 * Go on with what was cut short, timers included. Returns when to be called again at the latest
 * (monotonic ms): 0 = at once, there is more to do; UINT64_MAX = only when something happens.
 */
uint64_t broker_work(struct broker *b);
/* The same answer, asked again after writing: room in output queues may have given the broker
 * something to do. */
uint64_t broker_next(const struct broker *b);

/*
 * This turn's records, for the journal, and its turn number; false: there are none. *frame must be
 * empty; it is the caller's afterwards: BROKER_FRAME_ROOM bytes for whatever the caller wants in
 * front, then the records. An emptied buffer may be given back by broker_reuse. What was done in
 * this turn and must wait leaves after broker_durable(turn) (or a later one). Only with
 * setup.persistent; otherwise never true.
 */
#define BROKER_FRAME_ROOM 96
bool broker_take_records(struct broker *b, uint64_t *turn, struct buf *frame);
/* Do this turn's records, before they are taken, tell of nothing but messages that stand among them
 * and what became of those? */
bool broker_records_pass(const struct broker *b);
/* No message that is needed has its record before this position; UINT64_MAX: there is none. */
uint64_t broker_first_message(const struct broker *b);
void broker_reuse(struct broker *b, struct buf *frame);
/*
 * The first byte of the records of the turn that has begun with broker_take_records will stand at
 * this position of the journal: an ever growing number of bytes. To be called before anything else
 * happens in that turn (and after broker_apply_end for the first).
 */
void broker_place(struct broker *b, uint64_t position);
/* All turns up to this one are durable. */
void broker_durable(struct broker *b, uint64_t turn);
/* Storage is behind or failing (true): publishers are paused, their keepalive too; false: go on. */
void broker_storage_pause(struct broker *b, bool pause);

/*
 * Rebuild: apply the records of frames in their order to a new broker, before anything else is done
 * with it, then broker_apply_end. `position` is where the records stand in the journal, never 0.
 * ERR_MALFORMED: these bytes are no records of ours, and were applied up to the bad one; ERR_NOMEM.
 */
MUST_CHECK enum err broker_apply(struct broker *b, uint64_t position, struct str records);
/*
 * What records spoke of without their like being there: rows whose message never came. Only a
 * damaged journal has such.
 */
struct broker_lost {
    uint64_t rows;
};
/* `turn` is the last one of the journal: the next will be the one after. ERR_NOMEM: start over with
 * a new broker. */
MUST_CHECK enum err broker_apply_end(struct broker *b, uint64_t turn, int64_t wall_s,
                                     struct broker_lost *lost);

/* About how many bytes of records the present state would take. */
uint64_t broker_live_bytes(const struct broker *b);
/*
 * Old records are to go: record anew, in this turn, what of them is still true. What has been
 * looked at is cut off the front of *records, and *position moves on; stops when the turn's budget
 * is spent. ERR_NOMEM: later; ERR_MALFORMED: no records.
 */
MUST_CHECK enum err broker_renew(struct broker *b, uint64_t *position, struct str *records);

/*
 * Queued messages are wanted whose payload is only in the journal (struct fetch). False: none. Each
 * is answered by broker_fetched with the bytes that stand at its position: at least `least` of
 * them, at most `length` (fewer where the segment ends), when those have been written. An empty
 * answer means that they cannot be read: they are asked for again at once.
 */
bool broker_take_fetch(struct broker *b, struct fetch *f);
void broker_fetched(struct broker *b, const struct fetch *f, struct str bytes);

/*
 * Passwords are checked elsewhere, since that takes long. The next one that waits; false: none.
 * Each is answered by broker_login_done in the same broker, in any order; what has been taken for a
 * client that is gone meanwhile is answered all the same. Take few at a time: those that still wait
 * here go with their client.
 */
struct pwhash;
struct pwfile;
struct login_job {
    uint64_t ticket;
    const struct pwhash *hash; /* to be matched; of `file` */
    struct pwfile *file;       /* one reference */
    char *password;            /* of the job's own; overwritten and freed by broker_login_done */
    size_t password_len;
    bool decoy; /* there is no such user: the answer is no, but not any sooner */
};
bool broker_take_login(struct broker *b, struct login_job *job);
void broker_login_done(struct broker *b, struct login_job *job, bool matches);

/*
 * Bridges are connected from outside. The next one that wants to be, or with `probe` only to know
 * whether that address could be reached; false: none. Each order is answered once, by
 * broker_dialed, broker_dial_failed, or (a probe that came through) broker_dial_probed; what is not
 * wanted any more may also be dropped without an answer.
 */
struct dial_order {
    uint64_t ticket;
    struct conf_bridge *conf; /* one reference, which is the caller's */
    size_t address;           /* of conf->addresses */
    bool probe;
};
bool broker_take_dial(struct broker *b, struct dial_order *order);
bool broker_wants_dial(const struct broker *b, uint64_t ticket);
/*
 * It is connected, encryption included, to this peer, of which family, ip and port count. NULL: it
 * is not wanted any more, or there is no memory: the caller closes. Otherwise it is a connection
 * like all others.
 */
MUST_CHECK struct conn *broker_dialed(struct broker *b, uint64_t ticket, const struct peer *peer,
                                      void *link);
/* `why`: a phrase for the log, without a full stop. */
void broker_dial_failed(struct broker *b, uint64_t ticket, const char *why);
void broker_dial_probed(struct broker *b, uint64_t ticket);

/* The next connection that has something to write, has a changed wish, or is to be closed; NULL
 * when no more this turn. */
struct conn *broker_take_dirty(struct broker *b);
/* What waits to be written: at most n slices; returns how many. Valid until the next call into the
 * broker. */
int broker_output(struct broker *b, struct conn *c, struct iovec *iov, int n);
/* The first n of these bytes have been written. */
void broker_sent(struct broker *b, struct conn *c, size_t n);
enum wish broker_wish(const struct broker *b, const struct conn *c);

/*
 * The broker itself says something, at QoS 2 at most, retained if `retain` (an empty payload clears
 * it). A topic below $SYS/ is not kept beyond this process. Without memory it is not said, or not
 * to all, which is counted as a drop and is ERR_NOMEM for who wants to know.
 */
enum err broker_publish_local(struct broker *b, struct str topic, struct str payload, bool retain);

/*
 * Take another configuration: broker_prepare checks and may refuse, changing nothing; broker_commit
 * cannot fail and uses what was prepared last. Connections go over to the rules of the listener
 * with the port and address of theirs; where there is none any more they keep those that they came
 * with.
 */
MUST_CHECK enum err broker_prepare(struct broker *b, const struct conf *conf);
void broker_commit(struct broker *b);
/* Listeners have other realms: files on who may do what have changed. broker_commit implies it. */
void broker_rights_changed(struct broker *b);

/* Stop: end every connection (wills are published), so that the records of this turn hold the final
 * state. */
void broker_stop(struct broker *b, enum reason why);

const struct stats *broker_stats(const struct broker *b);
/* Invariants of everything, for tests and the simulator: NULL, or what is wrong. Slow. */
const char *broker_check(const struct broker *b);
/*
 * What must survive a crash, as sorted text lines: sessions (persistent ones), their subscriptions,
 * rows, inbound ids, retained messages. Two brokers with the same text are the same for every
 * client. For tests.
 */
MUST_CHECK enum err broker_dump(const struct broker *b, struct buf *out);
/*
 * The trees of subscriptions and of retained messages, as text for people (SIGUSR2): a level on
 * each line, below that above it, and who subscribes there. Bounded, in length and in the time it
 * takes; of what is left out it says how much. ERR_NOMEM leaves a part in `out`.
 */
MUST_CHECK enum err broker_trees(const struct broker *b, struct buf *out);

#endif
