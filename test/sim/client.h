/*
 * The clients: what they remember, and what they take it into their heads to do.
 */
#ifndef SIM_CLIENT_H
#define SIM_CLIENT_H

#include "cable.h"
#include "letter.h"
#include "mqtt/packet.h"

#define OUT_MAX 24

/* A message of ours that is not acknowledged. */
struct outgoing {
    uint32_t letter;
    uint16_t id;
    uint8_t qos;
    bool released; /* PUBREL is what is sent again */
};

/* A QoS 2 message that came and was not released. */
struct incoming {
    uint32_t letter;
    uint32_t uid;
    uint16_t id;
};

/* What is to be answered. */
struct reaction {
    enum op_kind kind;
    uint16_t id;
    uint32_t uid;
};

struct client {
    char id[32];
    int number;
    uint8_t level;
    bool anonymous; /* no id: always clean, and never two of it */
    struct cable *cable;
    bool mounted; /* its last connection was */

    uint32_t epoch; /* how often it has thrown its state away */
    struct outgoing out[OUT_MAX];
    uint32_t out_n;
    struct incoming *in;
    uint32_t in_n;
    uint32_t in_cap;
    struct reaction *reactions;
    uint32_t reaction_n;
    uint32_t reaction_cap;
    uint16_t next_slot;
    bool connected; /* CONNACK has come */
    bool clean;     /* its last connection was: what it remembers ended with it */
    bool silent;

    bool amnesty; /* rows may come of which the model knows nothing: see also session.blind */
    uint64_t retained_seen[TOPICS]; /* event at which one of a topic came last, at QoS 1 or 2, and
                                       was not only sent again */

    /* what reached the application */
    uint32_t *twice; /* by letter: epoch + 1 in which it came at QoS 2 */
    uint32_t twice_n;
    uint32_t twice_cap;
    uint32_t last_seq[PUBLISHERS][TOPICS][2]; /* QoS 0, QoS 2 */
};

struct sim;

void client_init(struct client *c, int number);
void client_clear(struct client *c);
/* Something, or nothing. */
void client_act(struct sim *s, struct client *c);
/* The calm end of a run: connect if there is a session to be emptied, read, answer, finish. */
void client_finish(struct sim *s, struct client *c);
/* Connect anew and subscribe. */
void client_join(struct sim *s, struct client *c, const struct op *op);
/* Nothing left to send or to wait for? */
bool client_quiet(const struct client *c);
/* A whole packet arrived. */
struct frame;
void client_receive(struct sim *s, struct cable *k, const struct frame *f);
/* Its connection is gone. */
void client_lost(struct client *c);
/* What it has seen never was: it begins anew. */
void client_forget(struct client *c);
/* Somebody who is no client comes. */
void stranger_act(struct sim *s);

uint16_t id_of_slot(unsigned slot);
int slot_of_id(uint16_t id);

#endif
