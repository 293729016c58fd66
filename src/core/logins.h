/*
 * Logins that wait for an answer, each with its connection: which of them are handed out next,
 * which have been handed out, and which must not be yet.
 */
#ifndef CORE_LOGINS_H
#define CORE_LOGINS_H

#include "core/conn.h"
#include "core/failures.h"

/* So many wait at most, whoever they are; further ones are turned away. */
#define LOGINS_MAX 20000
/* What they have sent stays until they have logged in, with what came behind it: so many bytes of
 * all of them. Beyond that only small ones may wait. */
#define LOGINS_BYTES_MAX (64U << 20)
#define LOGIN_SMALL 1024

enum login_state {
    LOGIN_HELD,   /* its address has failed too often: waits for its turn */
    LOGIN_QUEUED, /* waits to be handed out */
    LOGIN_TAKEN,  /* is being checked */
    LOGIN_AGAIN,  /* on no list: to be asked, or asked anew */
    LOGIN_LATE,   /* its turn would be too late */
    LOGIN_WRONG,  /* and this is the answer, as the next is */
    LOGIN_RIGHT
};

TAILQ_HEAD(login_list, login);

struct login {
    TAILQ_ENTRY(login) entry; /* queued, or taken */
    struct conn *conn;
    struct pwfile *file; /* that the password was or is checked with: one reference; or NULL */
    uint64_t ticket;     /* taken */
    uint32_t length;     /* of the CONNECT */
    uint32_t held;       /* bytes of its input */
    uint8_t state;       /* enum login_state */
    bool slowed;         /* it has had to wait for its turn already */
};

struct logins {
    struct login_list queued; /* who came first stands first */
    struct login_list taken;  /* few */
    struct wheel *wheel;      /* for those that are held */
    struct failures failures;
    uint32_t count; /* in whatever state */
    uint64_t bytes; /* that they hold */
    uint64_t last_ticket;
    bool cut; /* not all that are queued were looked at for one to be handed out */
};

void logins_init(struct logins *ls, uint64_t seed, struct wheel *wheel);
/* Of connections nothing is left then. */
void logins_clear(struct logins *ls);

/*
 * The connection's login (c->login is there), whose CONNECT has so many bytes; its timer runs no
 * more: that came in time, and from here on it waits for us. ERR_NOMEM changes nothing.
 */
MUST_CHECK enum err logins_add(struct logins *ls, struct conn *c, size_t length);
/* It holds so many bytes now. */
void logins_weigh(struct logins *ls, struct login *l, size_t held);
/* May another one hold so many bytes? */
bool logins_have_room(const struct logins *ls, size_t held);
/* Forget it, in whatever state; harmless without one. */
void logins_drop(struct logins *ls, struct conn *c);

/* One that is on no list. */
void logins_queue(struct logins *ls, struct login *l);
void logins_hold(struct logins *ls, struct login *l, uint64_t until_ms);
/* With a ticket of its own, for an answer that is found with this file. */
void logins_take(struct logins *ls, struct login *l, struct pwfile *file);
/* It is on no list any more: LOGIN_AGAIN. */
void logins_leave(struct logins *ls, struct login *l);
/* NULL: it has been dropped. */
struct login *logins_find(const struct logins *ls, uint64_t ticket);

/* Is the answer not known yet? */
static inline bool login_waits(const struct conn *c)
{
    const struct login *l = conn_waiting(c);

    return l && l->state <= LOGIN_TAKEN;
}

#endif
