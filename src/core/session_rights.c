/*
 * What a session's client may do and be given, by the ACL of the listener that it came through, and
 * whose session it is.
 */
#include "core/session_inside.h"

#include "core/access.h"

/* Of a record, beside the name. */
#define OWNER_BYTES 8

static void set_rights(struct session_env *env, struct session *s, struct rights *r)
{
    struct rights *former = s->rights;

    if (former)
        session_weigh(env, s, -(int64_t)(OWNER_BYTES + rights_who(former).user.n));
    if (r)
        session_weigh(env, s, (int64_t)(OWNER_BYTES + rights_who(r).user.n));
    s->rights = r;
    rights_unref(&env->rights, former);
}

void session_record_owner(struct session_env *env, const struct session *s)
{
    struct rights_who who;

    if (!s->rights)
        return;
    who = rights_who(s->rights);
    if (!session_record_reserve(env, s, 1, who.user.n))
        session_record(env, s,
                       (struct record){.type = RECORD_OWNER, .id = who.port, .text = who.user});
}

/* Whose it is now, while its client is connected. */
static void take_rights(struct session_env *env, struct session *s)
{
    struct party p = env->party_of(s->out);
    struct rights *former = s->rights;

    set_rights(env, s,
               rights_get(&env->rights, &(struct rights_who){.user = p.user,
                                                             .client = session_id(s),
                                                             .listener = p.peer->listener}));
    if (s->rights != former)
        session_record_owner(env, s);
}

void session_attach_rights(struct session_env *env, struct session *s)
{
    struct party p = env->party_of(s->out);

    if (session_is_persistent(s) && !s->own &&
        (s->rights || p.user.n > 0 || rights_listener_has(p.peer->listener)))
        take_rights(env, s);
}

struct rights *session_rights(struct session_env *env, struct session *s)
{
    if (!s->rights && s->out)
        take_rights(env, s);
    return s->rights;
}

enum err session_owned(struct session_env *env, struct session *s, struct str user, uint16_t port)
{
    set_rights(env, s,
               rights_get(&env->rights, &(struct rights_who){
                                            .user = user, .client = session_id(s), .port = port}));
    return s->rights ? ERR_OK : ERR_NOMEM;
}

void session_disown(struct session_env *env, struct session *s)
{
    set_rights(env, s, NULL);
}

static void report_right(struct session_env *env, const struct party *who, const char *act,
                         struct str topic, const struct acl_verdict *v, const struct rights *r)
{
    char rule[ACCESS_RULE_MAX];

    report_denied(env->report, who,
                  &(struct report_denial){.act = act,
                                          .topic = topic,
                                          .why = REASON_ACL,
                                          .rule = access_rule(rights_acl(r), v, rule)});
}

/* What a verdict costs that is not remembered. */
#define WORK_VERDICT 4

bool session_may(struct session_env *env, struct session *s, enum acl_right right,
                 const struct rights_topic *t)
{
    struct rights *r = s->own ? NULL : session_rights(env, s);
    struct rights_answer a;
    struct acl_verdict v;
    struct party who;

    if (UNLIKELY(s->own))
        return true; /* its topics are all that it has to do with */
    if (UNLIKELY(!r)) {
        env->stats->publish_dropped += s->out && right == ACL_READ;
        return !s->out;
    }
    a = rights_ask(&env->rights, r, right, t);
    work_charge(env->work, a.fresh ? WORK_VERDICT : 0);
    if (LIKELY(a.granted))
        return true;
    if (right == ACL_READ && !a.fresh)
        return false;
    who = session_party(env, s);
    v = rights_verdict(r, right, t->name);
    report_right(env, &who, right == ACL_READ ? "read" : "publish to", t->name, &v, r);
    return false;
}

bool session_may_subscribe(struct session_env *env, struct session *s, struct str filter)
{
    struct rights *r = session_rights(env, s);
    struct acl_verdict v = {0};
    struct party who;

    if (!r)
        return false;
    v = rights_filter(&env->rights, r, filter);
    if (v.granted)
        return true;
    who = session_party(env, s);
    report_right(env, &who, "subscribe to", filter, &v, r);
    return false;
}

bool session_may_have_retained(struct session_env *env, struct session *s, const struct message *m)
{
    struct rights_topic t = rights_topic(&env->rights, message_topic(m));
    struct rights *author = env->check_author ? author_of(&env->authors, m) : NULL;
    struct rights_answer a;
    struct acl_verdict v;

    if (!session_may(env, s, ACL_READ, &t))
        return false;
    if (!author)
        return true;
    a = rights_ask(&env->rights, author, ACL_WRITE, &t);
    work_charge(env->work, a.fresh ? WORK_VERDICT : 0);
    if (!a.granted && a.fresh) {
        struct rights_who who = rights_who(author);
        v = rights_verdict(author, ACL_WRITE, t.name);
        report_right(env, &(struct party){.client = who.client, .user = who.user},
                     "go on retaining", t.name, &v, author);
    }
    return a.granted;
}
