/*
 * Logins whose password is being checked.
 *
 * Checking a password is meant to take long, so it is done elsewhere, one after another, while
 * everybody else is served. Until the answer is there the CONNECT stays at the front of its
 * connection's input, which is not read any further: it is handled once more when the answer is
 * known. Nothing of the session is touched before.
 *
 * Rules and files may change meanwhile. So who is asked for is found when the password is handed
 * out, and an answer counts only if the file is still the one that is in force.
 */
#ifndef CORE_LOGIN_H
#define CORE_LOGIN_H

#include "core/admission.h"
#include "core/conn.h"
#include "core/failures.h"
#include "mqtt/frame.h"

/* So many wait at most, whoever they are; further ones are turned away. */
#define LOGINS_MAX 20000

enum login_state {
    LOGIN_HELD,   /* its address has failed too often: waits for its turn */
    LOGIN_QUEUED, /* waits to be handed out */
    LOGIN_TAKEN,  /* is being checked */
    LOGIN_AGAIN,  /* the file has changed: to be asked anew */
    LOGIN_LATE,   /* its turn would be too late */
    LOGIN_WRONG,  /* and this is the answer, as the next is */
    LOGIN_RIGHT
};

TAILQ_HEAD(login_list, login);

struct login {
    TAILQ_ENTRY(login) entry; /* queued, or taken */
    struct conn *conn;
    struct pwfile *file; /* taken: that the password is checked with; one reference */
    uint64_t ticket;     /* taken */
    uint32_t length;     /* of the CONNECT */
    uint8_t state;       /* enum login_state */
    bool slowed;         /* it has had to wait for its turn already */
};

struct logins {
    struct login_list queued;
    struct login_list taken;
    struct failures failures;
    uint32_t count; /* of whatever state */
    uint64_t last_ticket;
};

void logins_init(struct logins *ls, uint64_t seed);
void logins_clear(struct logins *ls);

/*
 * Is the password of this CONNECT right? REASON_OK also when that is not known yet: see
 * login_waits. To be asked again then, with the same packet, when its connection goes on. A wrong
 * one is counted for its address.
 */
struct verdict login_check(struct broker *b, struct conn *c, const struct frame *f,
                           const struct packet_connect *p);
/* Its time has come (the connection's timer). */
void login_due(struct broker *b, struct conn *c);
/* It may come in: what its password was compared with is remembered. */
void login_passed(struct broker *b, struct conn *c);
/*
 * Password files have changed. Who has logged in with a user name that is gone, or with what is its
 * password no longer, is ended, in this turn and the next ones: see login_is_revoked. A password
 * that stands there in another form is another one: that it is the same is not known any more.
 */
void logins_recheck(struct broker *b);
static inline bool login_is_revoked(const struct conn *c)
{
    return c->login && c->login->revoked;
}
/* Forget it, finished or not; harmless without one. */
void login_end(struct broker *b, struct conn *c);

/* Is it not known yet? */
static inline bool login_waits(const struct conn *c)
{
    const struct login *l = conn_waiting(c);

    return l && l->state <= LOGIN_TAKEN;
}

/*
 * May more of its input be read meanwhile? While nothing has come behind the CONNECT: so we see
 * that it is gone, and need not check its password. What has come is as good as if it had come
 * later, also from a client that is gone.
 */
bool login_listens(const struct conn *c);

#endif
