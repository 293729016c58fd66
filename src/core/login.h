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
#include "core/state.h"
#include "mqtt/frame.h"

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
 * Password files have changed, or the rules. Who has logged in with a user name that is gone, or
 * with what is its password no longer, is ended, and so is who could not come in any more without a
 * password: see logins_work. A password that stands there in another form is another one: that it
 * is the same is not known any more.
 */
void logins_recheck(struct broker *b);
/* Look at some of those that are connected; b->recheck is the next, NULL when all were looked at.
 */
void logins_work(struct broker *b);
/* Look at this one, out of turn: while some are still to be looked at, none is listened to that may
 * not stay. It may be ended. */
void login_recheck(struct broker *b, struct conn *c);

/* After its input: what it holds while its login waits counts. It may be ended for that. */
void login_weigh(struct broker *b, struct conn *c);

/*
 * May more of its input be read meanwhile? While nothing has come behind the CONNECT: so we see
 * that it is gone, and need not check its password. What has come is as good as if it had come
 * later, also from a client that is gone.
 */
bool login_listens(const struct conn *c);

#endif
