/*
 * Publish, subscribe, unsubscribe.
 *
 * Arguments are looked at before the lock is taken. Numbers of requests are stored before it is
 * given back, so no callback can be told of a number that its program does not know yet.
 */
#include "client/client.h"

#include "base/mem.h"
#include "client/way.h"
#include "mqtt/topic.h"
#include "mqtt/utf8.h"

#include <errno.h>

#define PAYLOAD_MAX 268435455
#define TOPIC_MAX 65535
#define COMMAND(type) ((type) << 4)

/* Bits of a SUBSCRIBE's options that MQTT 5 knows no meaning for; 0x30 is one value. */
#define OPTIONS_RESERVED 0xC0
#define OPTIONS_RETAIN_HANDLING 0x30

static bool is_qos(int qos)
{
    return qos >= QOS_0 && qos <= QOS_2;
}

/* What topics and filters have in common. */
static int check_text(struct str text)
{
    if (text.n == 0)
        return MOSQ_ERR_INVAL;
    if (text.n > TOPIC_MAX || !utf8_valid(text))
        return MOSQ_ERR_MALFORMED_UTF8;
    return MOSQ_ERR_SUCCESS;
}

/* Our broker refuses more levels than it wants to search; others may not. */
static int from_reason(enum reason reason)
{
    return reason == REASON_OK || reason == REASON_LEVELS ? MOSQ_ERR_SUCCESS : MOSQ_ERR_INVAL;
}

/* --- publish --- */

static int check_publish(struct str topic, int payloadlen, const void *payload, int qos)
{
    if (!is_qos(qos))
        return MOSQ_ERR_INVAL;
    int rc = check_text(topic);
    if (rc != MOSQ_ERR_SUCCESS)
        return rc;
    if (payloadlen < 0 || payloadlen > PAYLOAD_MAX)
        return MOSQ_ERR_PAYLOAD_SIZE;
    if (payloadlen > 0 && !payload)
        return MOSQ_ERR_INVAL;
    return from_reason(topic_check_name(topic));
}

/* Locked. Messages of QoS 1 and 2 are kept, whatever becomes of the connection. */
static int publish(struct mosquitto *m, const struct packet_publish *p, int *mid)
{
    uint16_t id = 0;
    int rc = client_error(engine_publish(m->engine, p, &id));

    if (rc != MOSQ_ERR_SUCCESS)
        return rc;
    if (mid)
        *mid = id;
    rc = way_push(m);
    return p->qos == QOS_0 ? rc : MOSQ_ERR_SUCCESS;
}

int mosquitto_publish(struct mosquitto *mosq, int *mid, const char *topic, int payloadlen,
                      const void *payload, int qos, bool retain)
{
    return mosquitto_publish_v5(mosq, mid, topic, payloadlen, payload, qos, retain, NULL);
}

int mosquitto_publish_v5(struct mosquitto *mosq, int *mid, const char *topic, int payloadlen,
                         const void *payload, int qos, bool retain,
                         const mosquitto_property *properties)
{
    if (!mosq)
        return MOSQ_ERR_INVAL;
    int rc = mosquitto_property_check_all(COMMAND(PACKET_PUBLISH), properties);
    if (rc == MOSQ_ERR_SUCCESS)
        rc = check_publish(str_c(topic), payloadlen, payload, qos);
    if (rc != MOSQ_ERR_SUCCESS)
        return rc;
    struct packet_publish p = {
        .topic = str_c(topic),
        .payload = str_of(payload, (size_t)payloadlen),
        .qos = (enum qos)qos,
        .retain = retain,
    };
    client_enter(mosq);
    rc = publish(mosq, &p, mid);
    return client_leave_with(mosq, rc, errno);
}

/* --- subscribe and unsubscribe --- */

/* Filters of one request: as slices, and the same QoS for each. */
struct filters {
    struct str *text;
    enum qos *qos;
    size_t n;
};

static void filters_clear(struct filters *f)
{
    mem_free(f->text, f->n * sizeof(*f->text));
    mem_free(f->qos, f->n * sizeof(*f->qos));
}

static int check_filter(const char *filter)
{
    struct str text = str_c(filter);
    int rc = check_text(text);

    return rc == MOSQ_ERR_SUCCESS ? from_reason(topic_check_subscription(text)) : rc;
}

/* Nothing is owned after an error. */
static int filters_of(struct filters *f, char *const *sub, int count, int qos)
{
    if (count < 1 || !sub)
        return MOSQ_ERR_INVAL;
    for (int i = 0; i < count; i++) {
        int rc = check_filter(sub[i]);
        if (rc != MOSQ_ERR_SUCCESS)
            return rc;
    }
    f->n = (size_t)count;
    f->text = mem_alloc(f->n * sizeof(*f->text));
    f->qos = mem_alloc(f->n * sizeof(*f->qos));
    if (!f->text || !f->qos) {
        filters_clear(f);
        return MOSQ_ERR_NOMEM;
    }
    for (size_t i = 0; i < f->n; i++) {
        f->text[i] = str_c(sub[i]);
        f->qos[i] = (enum qos)qos;
    }
    return MOSQ_ERR_SUCCESS;
}

/* Locked. */
static int request(struct mosquitto *m, const struct filters *f, bool subscribes, int *mid)
{
    uint16_t id = 0;
    enum err err = subscribes ? engine_subscribe(m->engine, f->text, f->qos, f->n, &id)
                              : engine_unsubscribe(m->engine, f->text, f->n, &id);

    if (err != ERR_OK)
        return client_error(err);
    if (mid)
        *mid = id;
    return way_push(m);
}

static int request_all(struct mosquitto *m, int *mid, char *const *sub, int count, int qos,
                       bool subscribes)
{
    struct filters f = {0};
    int rc = filters_of(&f, sub, count, qos);

    if (rc != MOSQ_ERR_SUCCESS)
        return rc;
    client_enter(m);
    rc = request(m, &f, subscribes, mid);
    rc = client_leave_with(m, rc, errno);
    filters_clear(&f);
    return rc;
}

int mosquitto_subscribe(struct mosquitto *mosq, int *mid, const char *sub, int qos)
{
    return mosquitto_subscribe_v5(mosq, mid, sub, qos, 0, NULL);
}

int mosquitto_subscribe_v5(struct mosquitto *mosq, int *mid, const char *sub, int qos, int options,
                           const mosquitto_property *properties)
{
    return mosquitto_subscribe_multiple(mosq, mid, 1, (char *const *)&sub, qos, options,
                                        properties);
}

int mosquitto_subscribe_multiple(struct mosquitto *mosq, int *mid, int sub_count,
                                 char *const *const sub, int qos, int options,
                                 const mosquitto_property *properties)
{
    if (!mosq || !is_qos(qos) || options & OPTIONS_RESERVED ||
        (options & OPTIONS_RETAIN_HANDLING) == OPTIONS_RETAIN_HANDLING)
        return MOSQ_ERR_INVAL;
    int rc = mosquitto_property_check_all(COMMAND(PACKET_SUBSCRIBE), properties);
    return rc == MOSQ_ERR_SUCCESS ? request_all(mosq, mid, sub, sub_count, qos, true) : rc;
}

int mosquitto_unsubscribe(struct mosquitto *mosq, int *mid, const char *sub)
{
    return mosquitto_unsubscribe_v5(mosq, mid, sub, NULL);
}

int mosquitto_unsubscribe_v5(struct mosquitto *mosq, int *mid, const char *sub,
                             const mosquitto_property *properties)
{
    return mosquitto_unsubscribe_multiple(mosq, mid, 1, (char *const *)&sub, properties);
}

int mosquitto_unsubscribe_multiple(struct mosquitto *mosq, int *mid, int sub_count,
                                   char *const *const sub, const mosquitto_property *properties)
{
    if (!mosq)
        return MOSQ_ERR_INVAL;
    int rc = mosquitto_property_check_all(COMMAND(PACKET_UNSUBSCRIBE), properties);
    return rc == MOSQ_ERR_SUCCESS ? request_all(mosq, mid, sub, sub_count, QOS_0, false) : rc;
}
