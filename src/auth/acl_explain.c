/*
 * The same steps as those of a connection: the mount point, the broker's own topics, the ACL.
 */
#include "auth/acl_explain.h"

#include "auth/acl.h"
#include "auth/realm.h"
#include "auth/reserved.h"
#include "base/mem.h"
#include "mqtt/topic.h"
#include "mqtt/utf8.h"

#define SHOWN_MAX 400 /* bytes of a line or a topic */
#define TEXT_MAX 65535

/* --- the question --- */

static bool is_text(struct str s)
{
    return s.n <= TEXT_MAX && utf8_valid(s);
}

const char *acl_question_fault(const struct acl_question *q)
{
    enum reason why;

    if (q->client.n == 0)
        return "the client id is empty; expected the id that the client connects with";
    if (!is_text(q->user) || !is_text(q->client) || !is_text(q->topic))
        return "expected UTF-8 text without control characters, of 65535 bytes at most";
    why = q->action == ACL_ACTION_SUBSCRIBE ? topic_check_subscription(q->topic)
                                            : topic_check_name(q->topic);
    switch (why) {
    case REASON_OK:
        return NULL;
    case REASON_TOPIC_EMPTY:
        return "the topic is empty";
    case REASON_TOPIC_WILDCARD:
        return "a topic to read or write has no wildcards; subscribe takes filters";
    case REASON_LEVELS:
        return "expected a topic of at most 200 levels";
    case REASON_SHARE_NAME:
        return "expected $share/GROUP/FILTER";
    default:
        return "no valid filter; expected + and # to be whole levels, and # the last one";
    }
}

/* --- the answer --- */

struct answer {
    const struct conf_listener *listener;
    const struct acl_question *question;
    const struct acl *acl;
    struct str topic; /* as the ACL sees it */
    struct buf *out;
};

static enum err add_line(struct answer *a, uint32_t line)
{
    char shown[SHOWN_MAX];

    return buf_printf(a->out, "%s:%u: %s", acl_path(a->acl), line,
                      str_escape(acl_line(a->acl, line), shown, sizeof(shown)));
}

/* Why a verdict is as it is, behind "granted" or "denied". */
static enum err add_verdict(struct answer *a, const struct acl_verdict *v)
{
    enum err e;

    if (v->line > 0) {
        e = buf_printf(a->out, " by ");
        return e ? e : add_line(a, v->line);
    }
    if (v->dangerous)
        return buf_printf(a->out,
                          ": %s has patterns, and so whoever has + or # in its name or id may do "
                          "only what its own lines grant",
                          acl_path(a->acl));
    return buf_printf(a->out, ": no line of %s grants it", acl_path(a->acl));
}

/* Without acl_subscribe check subscriptions are not refused, but perhaps nothing comes of them. */
static enum err add_subscription(struct answer *a, const struct acl_verdict *v)
{
    enum err e;

    if (a->listener->security.acl_subscribe_check) {
        e = buf_printf(a->out, v->granted ? "granted" : "denied");
        if (!e)
            e = add_verdict(a, v);
        return e ? e : buf_printf(a->out, " (acl_subscribe check)");
    }
    if (!v->granted) {
        e = buf_printf(a->out, "granted, as all subscriptions are without acl_subscribe check; but "
                               "reading any of its messages is denied");
        return e ? e : add_verdict(a, v);
    }
    e = buf_printf(a->out, "granted, as all subscriptions are without acl_subscribe check; reading "
                           "at least some of its messages is granted");
    return e ? e : add_verdict(a, v);
}

static enum err decide(struct answer *a, bool *granted)
{
    const struct acl_question *q = a->question;
    struct acl_who who = acl_who(a->acl, q->user, q->client);
    struct acl_verdict v;
    enum err e;

    if (q->action == ACL_ACTION_SUBSCRIBE) {
        v = acl_decide_filter(a->acl, &who, a->topic);
        *granted = v.granted || !a->listener->security.acl_subscribe_check;
        return add_subscription(a, &v);
    }
    v = acl_decide(a->acl, &who, q->action == ACL_ACTION_READ ? ACL_READ : ACL_WRITE, a->topic);
    *granted = v.granted;
    e = buf_printf(a->out, v.granted ? "granted" : "denied");
    return e ? e : add_verdict(a, &v);
}

/* Does something else than the ACL decide? */
static enum err decide_without_acl(struct answer *a, bool *decided, bool *granted)
{
    bool writing = a->question->action == ACL_ACTION_WRITE;

    *decided = true;
    *granted = false;
    if (writing && (topic_is_reserved(a->question->topic) || topic_is_reserved(a->topic)))
        return buf_printf(a->out, "denied: the topic belongs to the broker, whatever an ACL says");
    if (a->topic.n > TEXT_MAX || topic_check_filter(a->topic) != REASON_OK)
        return buf_printf(a->out, "denied: a wildcard cannot follow this mount_point, or it makes "
                                  "the topic too long");
    *granted = true;
    if (!a->acl)
        return buf_printf(a->out, "granted: no acl_file");
    *decided = false;
    return ERR_OK;
}

static enum err answer(struct answer *a, bool *granted)
{
    bool decided;
    enum err e = decide_without_acl(a, &decided, granted);

    if (!e && !decided)
        e = decide(a, granted);
    return e;
}

/* With the mount point before it, if there is one; said once behind the sentence. */
static enum err answer_mounted(struct answer *a, bool *granted)
{
    struct buf whole = {0};
    char shown[SHOWN_MAX];
    enum err e = buf_printf(&whole, "%s", a->listener->mount_point);

    if (!e)
        e = buf_add(&whole, a->topic.p, a->topic.n);
    a->topic = buf_str(&whole);
    if (!e)
        e = answer(a, granted);
    if (!e)
        e = buf_printf(a->out, " (asked about '%s', as mount_point makes it)",
                       str_escape(a->topic, shown, sizeof(shown)));
    buf_clear(&whole);
    return e;
}

enum err acl_explain(const struct conf_listener *l, const struct acl_question *q, struct buf *out,
                     bool *granted)
{
    struct answer a = {.listener = l, .question = q, .topic = q->topic, .out = out};
    struct str group;

    if (l->realm)
        a.acl = l->realm->acl;
    if (q->action == ACL_ACTION_SUBSCRIBE)
        (void)topic_is_shared(q->topic, &group, &a.topic);
    return l->mount_point ? answer_mounted(&a, granted) : answer(&a, granted);
}
