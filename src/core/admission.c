/*
 * The rules that a CONNECT must keep, one function each. The first that is broken decides.
 */
#include "core/admission.h"

#include "core/access.h"

static const struct verdict accepted = {REASON_OK, CONNACK_ACCEPTED};

bool admission_makes_id(const struct peer *peer, const struct packet_connect *p)
{
    return p->client_id.n == 0 && p->level != PROTOCOL_31 && /* 3.1.3-7, 3.1.3-8 */
           p->clean_session && peer->listener->security.allow_zero_length_clientid;
}

static struct verdict check_id(const struct packet_connect *p)
{
    if (p->client_id.n == 0)
        return (struct verdict){REASON_CLIENT_ID, CONNACK_IDENTIFIER};
    return accepted;
}

static struct verdict check_keepalive(const struct conf *conf, const struct packet_connect *p)
{
    uint32_t max = conf->global.max_keepalive;

    if (max > 0 && (p->keepalive_s == 0 || p->keepalive_s > max))
        return (struct verdict){REASON_KEEPALIVE_MAX, CONNACK_IDENTIFIER};
    return accepted;
}

static struct verdict check_will(const struct conf *conf, const struct peer *peer,
                                 const struct packet_connect *p)
{
    if (!p->has_will)
        return accepted;
    if (!access_may_write(p->will_topic))
        return (struct verdict){REASON_WILL_TOPIC, CONNACK_NOT_AUTHORISED};
    if (p->will_retain && !conf->global.retain_available)
        return (struct verdict){REASON_RETAIN_UNAVAILABLE, CONNACK_NOT_AUTHORISED};
    if (p->will_qos > peer->listener->max_qos)
        return (struct verdict){REASON_QOS_MAX, CONNACK_NOT_AUTHORISED};
    return accepted;
}

struct verdict admission_check(const struct conf *conf, const struct peer *peer,
                               const struct packet_connect *p)
{
    struct verdict v = check_id(p);

    if (v.reason == REASON_OK)
        v = check_keepalive(conf, p);
    if (v.reason == REASON_OK && !access_may_connect(peer->listener, p))
        v = (struct verdict){REASON_NOT_AUTHORISED, CONNACK_NOT_AUTHORISED};
    if (v.reason == REASON_OK)
        v = check_will(conf, peer, p);
    return v;
}
