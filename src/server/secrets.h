/*
 * What listeners need of files besides the configuration: who may come in and what they may do
 * (realms), and how it is encrypted (keys). And what bridges need of them.
 *
 * They are read at the start while we may still be root, on reload, and whenever they change. The
 * new is made and checked first; if it is bad, the old stays in force, and the log says so.
 */
#ifndef SERVER_SECRETS_H
#define SERVER_SECRETS_H

#include "auth/realm.h"
#include "base/log.h"
#include "conf/conf.h"
#include "core/broker.h"
#include "net/tls_ctx.h"
#include "server/bridge_keys.h"
#include "server/door.h"
#include "server/file_watch.h"
#include "server/privileges.h"

#include <stdbool.h>
#include <stdint.h>

/* What $SYS says of a listener. */
struct told_expiry {
    uint16_t port;
    int64_t expires; /* Unix seconds; 0: nothing */
    int64_t next;    /* the same, while all listeners are gone through */
};

struct secrets {
    const struct log *log;
    int keylog;                 /* descriptor of the file of --tls-keylog; -1 = none */
    struct bridge_keys bridges; /* in force */
    /* Of a configuration on its way in. */
    struct realm_plan *realms; /* NULL: there is none */
    struct tls_ctx **keys;     /* of its listeners, in their order; NULL where they want none */
    size_t key_count;
    struct bridge_keys fresh_bridges;
    struct file_watch files;
    uint64_t warn_ms; /* when to look for certificates that expire, monotonic */
    /* When to read all files again, changed or not: what was read before could not be used, or was
     * passed by, and no event will tell of it. UINT64_MAX: never. */
    uint64_t again_ms;
    bool again; /* that is being done */
    bool stale; /* something had changed when the configuration on its way in was looked at */
    struct told_expiry *told;
    size_t told_count;
};

/* `log` must outlive it. */
void secrets_init(struct secrets *s, const struct log *log);
void secrets_clear(struct secrets *s);

/*
 * At the start: read the files of all listeners and bridges and hang the realms on their rules; the
 * keys of listeners wait for secrets_hand_keys(). From here on changes are noticed, if `watches`.
 * ERR_NOMEM, or what is wrong is an error on the log.
 */
MUST_CHECK enum err secrets_load(struct secrets *s, const struct conf *conf, bool watches,
                                 int64_t now_s);
/* Before secrets_hand_keys(): certificates that expire soon. */
void secrets_warn(const struct secrets *s, const struct conf *conf, int64_t now_s);
/* Before root is given up: warn of files that could not be read again. */
void secrets_foresee(const struct secrets *s, const struct privileges *who);
/* Are there keys in memory? */
bool secrets_are_held(const struct secrets *s, const struct door *door);

/*
 * Another configuration: read what it names, and anew what is named by rules that are in force at
 * the door without being part of it. On an error, which is on the log, nothing has changed; as
 * after secrets_rollback(), which may be called in any case. secrets_commit() cannot fail; when the
 * listeners have changed over, too, secrets_hand_keys() is due.
 */
MUST_CHECK enum err secrets_prepare(struct secrets *s, const struct conf *fresh,
                                    const struct door *door, int64_t now_s);
void secrets_commit(struct secrets *s);
void secrets_rollback(struct secrets *s, const struct door *door, uint64_t now_ms);
/* Each listener of the configuration serves newcomers by its keys. */
void secrets_hand_keys(struct secrets *s, const struct conf *conf, struct door *door);

/* What is due: files that have changed, warnings. May change rights and keys. */
void secrets_turn(struct secrets *s, struct door *door, struct broker *b, uint64_t now_ms,
                  int64_t now_s);
/* When secrets_turn() has something to do, monotonic ms. */
uint64_t secrets_deadline(const struct secrets *s);
/*
 * Say by $SYS when certificates expire, where that has changed:
 * $SYS/broker/listener/PORT/certificate/expires, Unix seconds. Not `wanted`: take it back.
 */
void secrets_tell(struct secrets *s, const struct door *door, struct broker *b, bool wanted);

#endif
