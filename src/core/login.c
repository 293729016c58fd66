/*
 * The same question is asked once more whenever something may have changed: when a login comes,
 * when it is handed out, when its answer is there.
 */
#include "core/login.h"

#include "auth/realm.h"
#include "base/mem.h"
#include "core/ending.h"
#include "mqtt/decode.h"

#include <string.h>

/* --- one login --- */

static struct failures_rule rule_of(const struct broker *b)
{
    const struct conf_global *g = &b->conf->global;

    return (struct failures_rule){.limit = g->login_failure_limit,
                                  .delay_ms = g->login_failure_delay * 1000ull};
}

static struct pwfile *file_of(const struct conn *c)
{
    const struct realm *realm = c->peer.listener->realm;

    return realm ? realm->passwords : NULL;
}

/* Its connection goes on with this, in this turn or the next. */
static void answer(struct broker *b, struct login *l, enum login_state state)
{
    logins_leave(&b->logins, l);
    l->state = (uint8_t)state;
    conn_want_input(b, l->conn);
    outbox_mark(&b->hub, &l->conn->out); /* its wish may have changed */
}

/* May it go on? Otherwise it is held now, or too late; in no case it is on a list. */
static bool passes(struct broker *b, struct login *l)
{
    struct failures_rule rule = rule_of(b);
    uint64_t turn;

    if (l->slowed ||
        !failures_slow(&b->logins.failures, &rule, &l->conn->peer, b->now.mono_ms, &turn))
        return true;
    l->slowed = true;
    if (turn <= b->now.mono_ms)
        return true;
    if (turn == UINT64_MAX)
        l->state = LOGIN_LATE;
    else
        logins_hold(&b->logins, l, turn);
    return false;
}

/* --- asking --- */

static const struct verdict not_known_yet = {REASON_OK, CONNACK_ACCEPTED};
static const struct verdict late = {REASON_LOGIN_FAILURES, CONNACK_UNAVAILABLE};

static struct verdict wrong(struct broker *b, const struct conn *c)
{
    struct failures_rule rule = rule_of(b);
    uint32_t failed = failures_note(&b->logins.failures, &rule, &c->peer, b->now.mono_ms);

    if (failed > 0)
        report_slowed(&b->report, &c->peer, failed);
    return (struct verdict){REASON_PASSWORD, CONNACK_NOT_AUTHORISED};
}

static struct verdict begin(struct broker *b, struct login *l)
{
    if (passes(b, l))
        logins_queue(&b->logins, l);
    return l->state == LOGIN_LATE ? late : not_known_yet;
}

static enum err make(struct broker *b, struct conn *c, const struct frame *f,
                     const struct packet_connect *p)
{
    if (conn_keep_login(c, p) || logins_add(&b->logins, c, f->whole.n))
        return ERR_NOMEM;
    return ERR_OK;
}

/* A password that is not there is wrong, and so is any where there are no users: that is no secret.
 */
static struct verdict ask(struct broker *b, struct conn *c, const struct frame *f,
                          const struct packet_connect *p)
{
    bool is_new = !conn_waiting(c);

    if (!p->has_password || pwfile_count(file_of(c)) == 0)
        return wrong(b, c);
    if (is_new && (b->logins.count >= LOGINS_MAX || !logins_have_room(&b->logins, f->whole.n)))
        return (struct verdict){REASON_LOGINS_MAX, CONNACK_UNAVAILABLE};
    if (is_new && make(b, c, f, p))
        return (struct verdict){REASON_NOMEM, CONNACK_UNAVAILABLE};
    return begin(b, conn_waiting(c));
}

struct verdict login_check(struct broker *b, struct conn *c, const struct frame *f,
                           const struct packet_connect *p)
{
    const struct login *l = conn_waiting(c);

    if (!l || l->state == LOGIN_AGAIN)
        return ask(b, c, f, p);
    if (l->state == LOGIN_LATE)
        return late;
    if (l->file != file_of(c)) /* it has changed since */
        return ask(b, c, f, p);
    if (l->state == LOGIN_WRONG)
        return wrong(b, c);
    return not_known_yet;
}

void login_due(struct broker *b, struct conn *c)
{
    struct login *l = conn_waiting(c);

    if (l->state == LOGIN_HELD)
        logins_queue(&b->logins, l);
}

/* --- who has come in --- */

/* Never 0. Not the password, nor anything that helps to find it without the file. */
static uint64_t proof_of(const struct broker *b, const struct pwhash *h)
{
    uint64_t hash = table_mix(b->env.seed, (uint64_t)h->kind << 32 | h->rounds);

    hash = table_hash(hash, h->text.p, h->text.n);
    hash = table_hash(hash, h->salt, h->salt_len);
    hash = table_hash(hash, h->hash, h->hash_len);
    return hash ? hash : 1;
}

static struct str user_of(const struct conn *c)
{
    return str_of(c->login->user, c->login->user_len);
}

void login_passed(struct broker *b, struct conn *c)
{
    const struct login *l = conn_waiting(c);
    const struct pwhash *h = NULL;

    if (l && l->file && l->file == file_of(c))
        h = pwfile_find(l->file, user_of(c));
    if (h)
        c->login->proof = proof_of(b, h);
    logins_drop(&b->logins, c);
}

/* --- who may stay --- */

static bool has_name(const struct conn *c)
{
    return c->login && c->login->user_len > 0;
}

/* Who has no name, or one that nothing can check. */
static enum reason judge_unchecked(const struct conn *c)
{
    if (c->peer.listener->security.allow_anonymous)
        return REASON_OK;
    if (!has_name(c))
        return REASON_ANONYMOUS;
    return c->login->proof ? REASON_REVOKED : REASON_NOT_AUTHORISED;
}

/* A name that came when there was no file to check it with is not as good as one that was. */
static enum reason judge(const struct broker *b, const struct conn *c)
{
    const struct pwfile *file = file_of(c);
    const struct pwhash *h;

    if (conn_is_proven(c) || c->role == CONN_BRIDGE)
        return REASON_OK;
    if (!file || !has_name(c))
        return judge_unchecked(c);
    h = pwfile_find(file, user_of(c));
    return h && proof_of(b, h) == c->login->proof ? REASON_OK : REASON_REVOKED;
}

/* What it costs to look for a name among many. */
#define WORK_JUDGE 10

void login_recheck(struct broker *b, struct conn *c)
{
    enum reason why = c->state == CONN_OPEN ? judge(b, c) : REASON_OK;

    work_charge(&b->work, WORK_JUDGE);
    if (why == REASON_OK)
        return;
    work_charge(&b->work, WORK_CONNECT);
    conn_end(b, c, why, NULL);
}

void logins_recheck(struct broker *b)
{
    b->recheck = TAILQ_FIRST(&b->all);
}

/* So many in any turn, whatever else there was to do; and at most a share of it. */
enum { RECHECK_LEAST = 16, RECHECK_MOST = 512 };

void logins_work(struct broker *b)
{
    struct conn *c;

    for (int n = 0; n < RECHECK_MOST && (c = b->recheck); n++) {
        if (n >= RECHECK_LEAST && work_is_spent(&b->work))
            return;
        b->recheck = TAILQ_NEXT(c, entry);
        login_recheck(b, c);
    }
}

void login_weigh(struct broker *b, struct conn *c)
{
    struct login *l = conn_waiting(c);

    if (!l)
        return;
    logins_weigh(&b->logins, l, 0);
    if (logins_have_room(&b->logins, c->in.len))
        logins_weigh(&b->logins, l, c->in.len);
    else
        conn_end(b, c, REASON_LOGINS_MAX, NULL);
}

bool login_listens(const struct conn *c)
{
    return c->pause == PAUSE_LOGIN && c->in.len == conn_waiting(c)->length &&
           c->in.len < SHARED_INPUT;
}

/* --- handing out --- */

/* What it has sent, which stands whole in its input. */
static bool sent_connect(const struct login *l, struct packet_connect *p)
{
    struct frame f;
    size_t need;

    return frame_next(buf_str(&l->conn->in), CONNECT_PACKET_MAX, &f, &need) == ERR_OK &&
           decode_connect(&f, p) == REASON_OK;
}

static bool name_hash(const struct pwfile *file, struct str user, struct login_job *job)
{
    job->hash = pwfile_find(file, user);
    job->decoy = !job->hash;
    if (job->decoy)
        job->hash = pwfile_decoy(file, user);
    return job->hash;
}

static enum err copy_password(struct str password, struct login_job *job)
{
    job->password = mem_alloc(password.n);
    if (!job->password)
        return ERR_NOMEM;
    if (password.n > 0)
        memcpy(job->password, password.p, password.n);
    job->password_len = password.n;
    return ERR_OK;
}

/* False: its connection goes on otherwise. */
static bool hand_out(struct broker *b, struct login *l, struct login_job *job)
{
    struct pwfile *file = file_of(l->conn);
    struct packet_connect p;

    if (!file || !sent_connect(l, &p) || !name_hash(file, p.username, job)) {
        answer(b, l, LOGIN_AGAIN);
        return false;
    }
    if (copy_password(p.password, job)) {
        conn_refuse(b, l->conn, REASON_NOMEM, &p);
        return false;
    }
    logins_take(&b->logins, l, file);
    job->ticket = l->ticket;
    job->file = pwfile_ref(file);
    return true;
}

/* Its address may have failed since it came: a thousand guesses that come at once are not checked
 * at once. */
static bool is_next(struct broker *b, struct login *l)
{
    logins_leave(&b->logins, l);
    if (passes(b, l))
        return true;
    if (l->state == LOGIN_LATE)
        answer(b, l, LOGIN_LATE);
    return false;
}

/* So many are looked at in one call: the others in the next turn. */
#define LOOKED_AT 64

bool broker_take_login(struct broker *b, struct login_job *job)
{
    struct login *l;

    *job = (struct login_job){0};
    b->logins.cut = false;
    for (int n = 0; n < LOOKED_AT && (l = TAILQ_FIRST(&b->logins.queued)); n++) {
        work_charge(&b->work, WORK_PACKET);
        if (is_next(b, l) && hand_out(b, l, job))
            return true;
    }
    b->logins.cut = !TAILQ_EMPTY(&b->logins.queued);
    return false;
}

void broker_login_done(struct broker *b, struct login_job *job, bool matches)
{
    struct login *l = logins_find(&b->logins, job->ticket);

    if (l)
        answer(b, l, matches && !job->decoy ? LOGIN_RIGHT : LOGIN_WRONG);
    pwhash_wipe(job->password, job->password_len);
    mem_free(job->password, job->password_len);
    pwfile_unref(job->file);
    *job = (struct login_job){0};
}
