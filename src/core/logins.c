/*
 * Two lists, and the wheel for those that are on neither.
 */
#include "core/logins.h"

#include "auth/pwfile.h"
#include "base/mem.h"

void logins_init(struct logins *ls, uint64_t seed, struct wheel *wheel)
{
    *ls = (struct logins){.wheel = wheel};
    TAILQ_INIT(&ls->queued);
    TAILQ_INIT(&ls->taken);
    failures_init(&ls->failures, seed);
}

void logins_clear(struct logins *ls)
{
    failures_clear(&ls->failures);
}

enum err logins_add(struct logins *ls, struct conn *c, size_t length)
{
    struct login *l = mem_alloc(sizeof(*l));

    if (!l)
        return ERR_NOMEM;
    *l = (struct login){.conn = c, .length = (uint32_t)length, .state = LOGIN_AGAIN};
    c->login->waiting = l;
    ls->count++;
    wheel_disarm(ls->wheel, &c->timer);
    return ERR_OK;
}

void logins_weigh(struct logins *ls, struct login *l, size_t held)
{
    ls->bytes += held;
    ls->bytes -= l->held;
    l->held = (uint32_t)held;
}

bool logins_have_room(const struct logins *ls, size_t held)
{
    return held <= LOGIN_SMALL || ls->bytes + held <= LOGINS_BYTES_MAX;
}

void logins_drop(struct logins *ls, struct conn *c)
{
    struct login *l = conn_waiting(c);

    if (!l)
        return;
    logins_leave(ls, l);
    logins_weigh(ls, l, 0);
    pwfile_unref(l->file);
    mem_free(l, sizeof(*l));
    c->login->waiting = NULL;
    ls->count--;
}

void logins_queue(struct logins *ls, struct login *l)
{
    l->state = LOGIN_QUEUED;
    TAILQ_INSERT_TAIL(&ls->queued, l, entry);
}

void logins_hold(struct logins *ls, struct login *l, uint64_t until_ms)
{
    l->state = LOGIN_HELD;
    wheel_arm(ls->wheel, &l->conn->timer, until_ms);
}

void logins_take(struct logins *ls, struct login *l, struct pwfile *file)
{
    pwfile_unref(l->file);
    l->file = pwfile_ref(file);
    l->ticket = ++ls->last_ticket;
    l->state = LOGIN_TAKEN;
    TAILQ_INSERT_TAIL(&ls->taken, l, entry);
}

void logins_leave(struct logins *ls, struct login *l)
{
    if (l->state == LOGIN_QUEUED)
        TAILQ_REMOVE(&ls->queued, l, entry);
    if (l->state == LOGIN_TAKEN)
        TAILQ_REMOVE(&ls->taken, l, entry);
    if (l->state == LOGIN_HELD)
        wheel_disarm(ls->wheel, &l->conn->timer);
    l->state = LOGIN_AGAIN;
}

struct login *logins_find(const struct logins *ls, uint64_t ticket)
{
    struct login *l;

    TAILQ_FOREACH(l, &ls->taken, entry)
    {
        if (l->ticket == ticket)
            return l;
    }
    return NULL;
}
