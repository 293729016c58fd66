/*
 * The rules that a CONNECT must keep, one function each. The first that is broken decides.
 */
#include "core/admission.h"

#include "auth/realm.h"
#include "core/access.h"

static const struct verdict accepted = {REASON_OK, CONNACK_ACCEPTED};

void admission_rename(const struct conf_listener *rules, struct packet_connect *p)
{
    if (rules->use_username_as_clientid && p->username.n > 0)
        p->client_id = p->username; /* without one: see check_username */
}

bool admission_makes_id(const struct conf_listener *rules, const struct packet_connect *p)
{
    return p->client_id.n == 0 && p->level != PROTOCOL_31 && /* 3.1.3-7, 3.1.3-8 */
           p->clean_session && rules->security.allow_zero_length_clientid &&
           !rules->use_username_as_clientid;
}

/* A bridge's level has lost its high bit: it counts as what it is otherwise. */
static struct verdict check_version(const struct admission *a, const struct packet_connect *p)
{
    unsigned version = p->level == PROTOCOL_31 ? CONF_MQTT_31 : CONF_MQTT_311;

    if (a->rules->accept_versions & version)
        return accepted;
    return (struct verdict){REASON_VERSION, CONNACK_PROTOCOL_VERSION};
}

/* Where names are taken from certificates, only those count. (Code 4, as Mosquitto says it: the one
 * place where it does.) */
static struct verdict check_identity(const struct admission *a, const struct packet_connect *p)
{
    (void)p;
    if (a->proven || !conf_listener_has_tls(a->rules))
        return accepted;
    if (a->rules->use_identity_as_username)
        return (struct verdict){REASON_NO_IDENTITY, CONNACK_BAD_LOGIN};
    if (a->rules->use_subject_as_username)
        return (struct verdict){REASON_NO_SUBJECT, CONNACK_BAD_LOGIN};
    return accepted;
}

static struct verdict check_username(const struct admission *a, const struct packet_connect *p)
{
    if (a->rules->use_username_as_clientid && p->username.n == 0)
        return (struct verdict){REASON_NO_USERNAME, CONNACK_NOT_AUTHORISED};
    return accepted;
}

static struct verdict check_id(const struct admission *a, const struct packet_connect *p)
{
    const char *prefix = a->conf->global.clientid_prefixes;
    bool may_be_empty = p->level != PROTOCOL_31 && p->clean_session;

    if (p->client_id.n == 0)
        return (struct verdict){may_be_empty ? REASON_CLIENT_ID_NEEDED : REASON_CLIENT_ID,
                                CONNACK_IDENTIFIER};
    if (prefix && !str_has_prefix(p->client_id, str_c(prefix)))
        return (struct verdict){REASON_CLIENT_ID_PREFIX, CONNACK_IDENTIFIER};
    return accepted;
}

static struct verdict check_keepalive(const struct admission *a, const struct packet_connect *p)
{
    uint32_t max = a->conf->global.max_keepalive;

    if (max > 0 && (p->keepalive_s == 0 || p->keepalive_s > max))
        return (struct verdict){REASON_KEEPALIVE_MAX, CONNACK_IDENTIFIER};
    return accepted;
}

bool admission_wants_password(const struct admission *a, const struct packet_connect *p)
{
    return !a->proven && p->username.n > 0 && a->rules->realm && a->rules->realm->passwords;
}

/* An empty user name is none. A name that nothing can check is worth no more. */
static struct verdict check_login(const struct admission *a, const struct packet_connect *p)
{
    if (a->proven || admission_wants_password(a, p) || access_may_connect(a->rules, p))
        return accepted;
    return (struct verdict){p->username.n > 0 ? REASON_NOT_AUTHORISED : REASON_ANONYMOUS,
                            CONNACK_NOT_AUTHORISED};
}

static struct verdict check_will_flags(const struct admission *a, const struct packet_connect *p)
{
    if (!p->has_will)
        return accepted;
    if (p->will_retain && !a->conf->global.retain_available)
        return (struct verdict){REASON_RETAIN_UNAVAILABLE, CONNACK_NOT_AUTHORISED};
    if (p->will_qos > a->rules->max_qos)
        return (struct verdict){REASON_QOS_MAX, CONNACK_NOT_AUTHORISED};
    return accepted;
}

struct verdict admission_check(const struct admission *a, const struct packet_connect *p)
{
    static struct verdict (*const rules[])(const struct admission *,
                                           const struct packet_connect *) = {
        check_version,   check_identity,   check_username, check_id,
        check_keepalive, check_will_flags, check_login};

    for (size_t i = 0; i < ARRAY_SIZE(rules); i++) {
        struct verdict v = rules[i](a, p);
        if (v.reason != REASON_OK)
            return v;
    }
    return accepted;
}

struct verdict admission_check_will(const struct admission *a, const struct packet_connect *p)
{
    if (!p->has_will)
        return accepted;
    if (access_may_write(a->map, p->will_topic) &&
        access_decide_write(a->rules, p->username, p->client_id, p->will_topic).granted)
        return accepted;
    return (struct verdict){REASON_WILL_TOPIC, CONNACK_NOT_AUTHORISED};
}
