/*
 * Requests have packet ids far away from those of messages, which are given one after another: half
 * the range from the last one of these. A remote broker has answered them long before messages come
 * there; so many can never be in flight (BRIDGE_INFLIGHT_MAX).
 */
#include "core/bridge_speak.h"

#include "core/bridge_session.h"
#include "core/handlers.h"
#include "core/sys.h"
#include "mqtt/encode.h"
#include "mqtt/topic.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <stdio.h>
#include <string.h>

#define HALF_OF_IDS 32768
#define DEFAULT_PORT 1883

const char *bridge_place(const struct conf_bridge_address *a, char out[BRIDGE_ADDRESS_MAX])
{
    unsigned port = a->port ? a->port : DEFAULT_PORT;

    (void)snprintf(out, BRIDGE_ADDRESS_MAX, strchr(a->host, ':') ? "[%.255s]:%u" : "%.255s:%u",
                   a->host, port);
    return out;
}

/* Requests by number. The former section's come last: it is forgotten before they are answered. */
enum { REQUEST_NAME, REQUEST_NOTIFY, REQUEST_TOPICS };

/* The i-th request of this connection; 0 is no packet id. */
static uint16_t request_id(const struct bridge *br, size_t i)
{
    return (uint16_t)((br->request - 1 + i) % UINT16_MAX + 1);
}

static uint16_t first_request(const struct session *s)
{
    uint16_t last = s->flow ? flow_last_id(s->flow) : s->last_id;

    return (uint16_t)((last + HALF_OF_IDS) % UINT16_MAX + 1);
}

static enum err put(struct broker *b, struct bridge *br, enum outbox_lane lane, struct buf *packet)
{
    enum err e = outbox_put_parts(&b->hub, &br->conn.out, lane, buf_str(packet), str_of(NULL, 0));

    buf_clear(packet);
    return e;
}

static enum err send_publish(struct broker *b, struct bridge *br, enum outbox_lane lane,
                             const struct packet_publish *p)
{
    struct buf packet = {0};

    if (buf_reserve_exact(&packet,
                          encode_publish_head_size(p->topic, p->payload.n, p->qos) + p->payload.n))
        return ERR_NOMEM;
    buf_added(&packet, encode_publish_head(packet.data, p));
    if (buf_add(&packet, p->payload.p, p->payload.n) != ERR_OK) {
        buf_clear(&packet);
        return ERR_NOMEM;
    }
    return put(b, br, lane, &packet);
}

/* --- CONNECT --- */

static struct str text_of(const char *text)
{
    return text ? str_c(text) : STR("");
}

static bool tells_remote(const struct conf_bridge *conf)
{
    return conf->notifications && !conf->notifications_local_only;
}

enum err bridge_send_connect(struct broker *b, struct bridge *br)
{
    const struct conf_bridge *conf = br->conf;
    struct packet_connect p = {
        .client_id = str_c(conf->remote_clientid),
        .username = text_of(conf->remote_username),
        .password = text_of(conf->remote_password),
        .keepalive_s = (uint16_t)conf->keepalive,
        .level = conf->protocol_version,
        .bridge = conf->try_private && !br->plain,
        .clean_session = conf->clean,
        .has_username = conf->remote_username != NULL,
        .has_password = conf->remote_password != NULL && conf->remote_username != NULL,
    };
    struct buf packet = {0};

    if (tells_remote(conf)) {
        p.has_will = true;
        p.will_retain = conf->outgoing_retain;
        p.will_qos = QOS_1;
        p.will_topic = str_c(conf->notification_topic);
        p.will_payload = STR("0");
    }
    if (buf_reserve_exact(&packet, encode_connect_size(&p)))
        return ERR_NOMEM;
    buf_added(&packet, encode_connect(packet.data, &p));
    log_debug(&b->log, "Bridge %s sending CONNECT", conf->remote_clientid);
    return put(b, br, OUTBOX_NEXT, &packet);
}

/* --- requests --- */

static enum err send_subscribe(struct broker *b, struct bridge *br, size_t i, struct str filter,
                               enum qos qos)
{
    struct buf packet = {0};

    if (buf_reserve_exact(&packet, encode_subscribe_size(&filter, 1)))
        return ERR_NOMEM;
    buf_added(&packet, encode_subscribe(packet.data, request_id(br, i), &filter, &qos, 1));
    log_debug(&b->log, "Bridge %s sending SUBSCRIBE (Mid: %u, Topic: %s, QoS: %d)",
              br->conf->remote_clientid, request_id(br, i), filter.p, qos);
    return put(b, br, OUTBOX_NEXT, &packet);
}

static enum err send_unsubscribe(struct broker *b, struct bridge *br, size_t i, struct str filter)
{
    struct buf packet = {0};

    if (buf_reserve_exact(&packet, encode_unsubscribe_size(&filter, 1)))
        return ERR_NOMEM;
    buf_added(&packet, encode_unsubscribe(packet.data, request_id(br, i), &filter, 1));
    log_debug(&b->log, "Bridge %s sending UNSUBSCRIBE (Mid: %u, Topic: %s)",
              br->conf->remote_clientid, request_id(br, i), filter.p);
    return put(b, br, OUTBOX_NEXT, &packet);
}

static bool is_asked_for(const struct conf_bridge *conf, const char *remote)
{
    for (size_t i = 0; i < conf->topic_count; i++) {
        if (conf->topics[i].direction & CONF_IN && strcmp(conf->topics[i].remote, remote) == 0)
            return true;
    }
    return false;
}

/* What the former section had subscribed to there, and this one does not. */
static enum err undo_former(struct broker *b, struct bridge *br)
{
    const struct conf_bridge *former = br->former;
    enum err e = ERR_OK;

    for (size_t i = 0; former && !former->clean && i < former->topic_count && !e; i++) {
        const struct conf_bridge_topic *t = &former->topics[i];
        if (t->direction & CONF_IN && !is_asked_for(br->conf, t->remote))
            e = send_unsubscribe(b, br, REQUEST_TOPICS + br->conf->topic_count + i,
                                 str_c(t->remote));
    }
    return e;
}

const char *bridge_own_name(struct broker *b)
{
    if (!b->bridges.name[0])
        b->make_id(b->make_id_ctx, b->bridges.name);
    return b->bridges.name;
}

/*
 * Only brokers that know of bridges are asked for their names, since others might take it ill; but
 * in doubt it is tried: without the bit and the name, messages would return.
 */
static bool may_ask(const struct bridge *br)
{
    return br->conf->try_private && (!br->plain || (br->doubted && !br->shy));
}

static enum err ask_name(struct broker *b, struct bridge *br)
{
    char topic[sizeof(BRIDGE_PEER_TOPIC) + BROKER_ID_MAX];

    br->asked = may_ask(br);
    br->answered = false;
    if (!br->asked)
        return ERR_OK;
    (void)snprintf(topic, sizeof(topic), "%s%s", BRIDGE_PEER_TOPIC, bridge_own_name(b));
    return send_subscribe(b, br, REQUEST_NAME, str_c(topic), QOS_0);
}

enum err bridge_send_requests(struct broker *b, struct bridge *br)
{
    const struct conf_bridge *conf = br->conf;
    enum err e;

    br->request = first_request(br->session);
    e = ask_name(b, br);
    if (!e)
        e = undo_former(b, br);
    for (size_t i = 0; i < conf->topic_count && !e; i++) {
        const struct conf_bridge_topic *t = &conf->topics[i];
        if (t->direction & CONF_IN)
            e = send_subscribe(b, br, REQUEST_TOPICS + i, str_c(t->remote), (enum qos)t->qos);
        else if (conf->attempt_unsubscribe && !is_asked_for(conf, t->remote))
            e = send_unsubscribe(b, br, REQUEST_TOPICS + i, str_c(t->remote));
    }
    return e;
}

const char *bridge_subscribed(const struct bridge *br, uint16_t id, bool *any)
{
    *any = br->asked && request_id(br, REQUEST_NAME) == id;
    for (size_t i = 0; i < br->conf->topic_count; i++) {
        if (request_id(br, REQUEST_TOPICS + i) == id && br->conf->topics[i].direction & CONF_IN) {
            *any = true;
            return br->conf->topics[i].remote;
        }
    }
    return NULL;
}

enum err bridge_send_ping(struct broker *b, struct bridge *br)
{
    uint8_t packet[ENCODE_EMPTY_SIZE];
    size_t n = encode_empty(packet, PACKET_PINGREQ);

    log_packet(b, &br->conn, "Sending PINGREQ to");
    return outbox_put(&b->hub, &br->conn.out, OUTBOX_NOW, packet, n);
}

/* --- notifications --- */

static struct packet_publish notification(const struct bridge *br, struct str payload)
{
    return (struct packet_publish){.topic = str_c(br->conf->notification_topic),
                                   .payload = payload,
                                   .qos = QOS_1,
                                   .id = request_id(br, REQUEST_NOTIFY),
                                   .retain = br->conf->outgoing_retain};
}

/* Here it is retained in any case. */
static enum err notify_here(struct broker *b, struct packet_publish p)
{
    p.retain = true;
    return publish_own(b, &p);
}

enum err bridge_notify_up(struct broker *b, struct bridge *br)
{
    struct packet_publish p = notification(br, STR("1"));

    if (br->conf->notifications) {
        br->notified = true;
        if (notify_here(b, p))
            return ERR_NOMEM;
    }
    if (!tells_remote(br->conf))
        return ERR_OK;
    br->notice = p.id;
    return send_publish(b, br, OUTBOX_NEXT, &p);
}

void bridge_notify_down(struct broker *b, struct bridge *br)
{
    struct packet_publish p = notification(br, STR("0"));

    if (br->notified)
        (void)notify_here(b, p);
    br->notified = false;
}

/* What is held for the journal is dropped at the end: so these pass it by. */
void bridge_send_farewell(struct broker *b, struct bridge *br)
{
    struct packet_publish p = notification(br, STR("0"));
    uint8_t packet[ENCODE_EMPTY_SIZE];
    size_t n = encode_empty(packet, PACKET_DISCONNECT);

    if (tells_remote(br->conf) && send_publish(b, br, OUTBOX_NOW, &p))
        return;
    if (outbox_put(&b->hub, &br->conn.out, OUTBOX_NOW, packet, n) == ERR_OK)
        log_packet(b, &br->conn, "Sending DISCONNECT to");
}

/* --- $SYS --- */

static const char *const value_names[BRIDGE_VALUES] = {
    [BRIDGE_SAYS_STATE] = "state",
    [BRIDGE_SAYS_QUEUED] = "queued",
    [BRIDGE_SAYS_QUEUED_BYTES] = "queued_bytes",
    [BRIDGE_SAYS_DROPPED] = "dropped",
    [BRIDGE_SAYS_LAST_ERROR] = "last_error",
    [BRIDGE_SAYS_ADDRESS] = "address",
};

static const char *value_text(const struct bridge *br, enum bridge_value v,
                              char out[BRIDGE_ADDRESS_MAX])
{
    uint64_t n = br->dropped;

    switch (v) {
    case BRIDGE_SAYS_STATE:
        return br->state == BRIDGE_UP ? "1" : "0";
    case BRIDGE_SAYS_LAST_ERROR:
        return br->last_error[0] ? br->last_error : "none";
    case BRIDGE_SAYS_ADDRESS:
        return bridge_place(bridge_address(br), out);
    case BRIDGE_SAYS_QUEUED:
        n = bridge_session_queued(br);
        break;
    case BRIDGE_SAYS_QUEUED_BYTES:
        n = bridge_session_queued_bytes(br);
        break;
    default:
        break;
    }
    (void)snprintf(out, BRIDGE_ADDRESS_MAX, "%llu", (unsigned long long)n);
    return out;
}

#define SAYS_TOPIC_MAX 1024

static void say(struct broker *b, struct bridge *br, enum bridge_value v, struct str text)
{
    char topic[SAYS_TOPIC_MAX];
    struct packet_publish p = {.payload = text, .qos = QOS_1, .retain = true};
    uint64_t hash = text.n > 0 ? XXH3_64bits(text.p, text.n) | 1 : 0;

    (void)snprintf(topic, sizeof(topic), "$SYS/broker/connection/%s/%s", br->conf->name,
                   value_names[v]);
    p.topic = str_c(topic);
    if (br->said[v] == hash || topic_check_name(p.topic) != REASON_OK)
        return;
    if (!publish_own(b, &p))
        br->said[v] = hash;
}

void bridge_untell(struct broker *b, struct bridge *br)
{
    for (int v = 0; v < BRIDGE_VALUES; v++)
        say(b, br, (enum bridge_value)v, STR(""));
}

void bridge_tell(struct broker *b, struct bridge *br)
{
    char text[BRIDGE_ADDRESS_MAX];

    if (br->removed || !sys_is_on(b)) {
        bridge_untell(b, br); /* a value that nobody keeps up is worse than none */
        return;
    }
    for (int v = 0; v < BRIDGE_VALUES; v++)
        say(b, br, (enum bridge_value)v, str_c(value_text(br, (enum bridge_value)v, text)));
}
