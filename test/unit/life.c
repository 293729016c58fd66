/*
 * A random life. Everything is drawn from one seed.
 */
#include "unit/life.h"

#include "mqtt/decode.h"
#include "unit/unit.h"

#include <stdio.h>
#include <string.h>

void life_setup(struct life *l, uint64_t seed)
{
    memset(l, 0, sizeof(*l));
    rng_seed(&l->rng, seed);
    rig_setup(&l->r);
    l->r.setup.persistent = true;
    l->r.conf.global.max_inflight_messages = 4;
    l->r.conf.global.max_queued_messages = 10;
    l->r.conf.global.queue_qos0_messages = seed % 2;
}

void life_start(struct life *l)
{
    rig_start(&l->r);
}

static void random_topic(struct life *l, char out[16], bool filter)
{
    static const char *const levels[] = {"a", "b", "+", "#"};
    uint32_t kinds = filter ? 4 : 2;
    const char *first = levels[rng_below(&l->rng, kinds)];

    if (first[0] == '#')
        (void)snprintf(out, 16, "#");
    else
        (void)snprintf(out, 16, "%s%s/%s", filter && rng_below(&l->rng, 5) == 0 ? "$share/g/" : "",
                       first, levels[rng_below(&l->rng, kinds)]);
}

/* No two alike, but the empty ones; now and then a long one. */
static struct str random_payload(struct life *l, char out[600])
{
    int n = snprintf(out, 600, "payload %u ", ++l->published);
    uint32_t more = rng_below(&l->rng, 10) ? rng_below(&l->rng, 30) : rng_below(&l->rng, 500);

    memset(out + n, 'x', more);
    return rng_below(&l->rng, 4) ? str_of(out, (size_t)n + more) : STR("");
}

static void random_publish(struct life *l, struct rig_client *c)
{
    enum qos qos = (enum qos)rng_below(&l->rng, 3);
    char topic[16];
    char payload[600];

    random_topic(l, topic, false);
    l->id = (uint16_t)(l->id % 30 + 1);
    rig_send_publish(c, &(struct packet_publish){.topic = str_c(topic),
                                                 .payload = random_payload(l, payload),
                                                 .qos = qos,
                                                 .id = qos ? l->id : 0,
                                                 .retain = rng_below(&l->rng, 3) == 0});
}

/* Answer some of what it got, so that handshakes stand at every stage. */
static void random_answers(struct life *l, struct rig_client *c)
{
    struct frame f;

    while (rig_next(c, &f)) {
        uint16_t id = rig_id(&f);
        struct packet_publish p;
        if (rng_below(&l->rng, 4) == 0)
            continue;
        if (frame_type(&f) == PACKET_PUBREC)
            rig_send_ack(c, PACKET_PUBREL, id);
        if (frame_type(&f) == PACKET_PUBREL)
            rig_send_ack(c, PACKET_PUBCOMP, id);
        if (frame_type(&f) != PACKET_PUBLISH)
            continue;
        assert_int_equal(decode_publish(&f, &p), REASON_OK);
        if (p.qos)
            rig_send_ack(c, p.qos == QOS_1 ? PACKET_PUBACK : PACKET_PUBREC, p.id);
    }
}

static void random_connect(struct life *l, unsigned i)
{
    char id[16];

    (void)snprintf(id, sizeof(id), "client-%u", i);
    assert_true(rig_open(&l->r, &l->c[i]));
    l->there[i] = true;
    rig_send_connect(&l->c[i], &(struct packet_connect){.client_id = str_c(id),
                                                        .level = PROTOCOL_311,
                                                        .clean_session = rng_below(&l->rng, 8) == 0,
                                                        .has_will = rng_below(&l->rng, 2),
                                                        .will_retain = rng_below(&l->rng, 2),
                                                        .will_qos = (enum qos)rng_below(&l->rng, 3),
                                                        .will_topic = STR("a/b"),
                                                        .will_payload = STR("will")});
}

static void client_step(struct life *l, struct rig_client *c)
{
    char filter[16];

    random_topic(l, filter, true);
    switch (rng_below(&l->rng, 16)) {
    case 0:
        rig_hang_up(c);
        break;
    case 1:
        rig_send_empty(c, PACKET_DISCONNECT);
        break;
    case 2:
    case 3:
        rig_send_subscribe(c, 100, filter, (enum qos)rng_below(&l->rng, 3));
        break;
    case 4:
        rig_send_unsubscribe(c, 101, filter);
        break;
    case 5:
    case 6:
    case 7:
        random_answers(l, c);
        break;
    default:
        random_publish(l, c);
        break;
    }
}

void life_step(struct life *l)
{
    unsigned i = rng_below(&l->rng, LIFE_CLIENTS);

    if (l->c[i].conn) {
        client_step(l, &l->c[i]);
    } else {
        if (l->there[i])
            rig_forget(&l->c[i]);
        random_connect(l, i);
    }
    if (rng_below(&l->rng, 3) == 0)
        rig_turn(&l->r);
}

void life_end(struct life *l)
{
    for (unsigned i = 0; i < LIFE_CLIENTS; i++)
        if (l->there[i])
            rig_forget(&l->c[i]);
    rig_settle(&l->r);
    rig_end(&l->r);
}
