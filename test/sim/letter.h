/*
 * Every application message that was ever written in a run, and how its payload tells which one it
 * is.
 */
#ifndef SIM_LETTER_H
#define SIM_LETTER_H

#include "names.h"
#include "util.h"

#define PUBLISHERS (2 * CLIENTS) /* clients, and their wills */
#define PUBLISHER_WILL(client) (CLIENTS + (client))
#define LETTER_MIN 16 /* bytes of payload: what it needs to name itself */
#define NEVER UINT64_MAX

struct letter {
    uint32_t size; /* of the payload; 0 = empty */
    uint32_t seq;  /* of this publisher, topic and QoS: 1, 2, … */
    uint16_t topic;
    uint8_t qos;
    uint8_t publisher;
    bool retain;
    bool routed;            /* once at least */
    bool again;             /* its publisher sent it a second time, and that was routed too */
    uint64_t retained_from; /* events at which it became and ceased to be the retained message; 0 =
                               never was */
    uint64_t retained_to;
};

struct letters {
    struct letter *all; /* the first is not used: 0 means none */
    uint32_t n;
    uint32_t cap;
    uint32_t seq[PUBLISHERS][TOPICS][3];
};

void letters_init(struct letters *ls);
void letters_clear(struct letters *ls);
/* Write another one; returns its number. `size` is 0 or at least LETTER_MIN. */
uint32_t letter_new(struct letters *ls, uint8_t publisher, uint16_t topic, uint8_t qos, bool retain,
                    uint32_t size);
/* Its payload into out, `size` bytes. */
void letter_payload(const struct letters *ls, uint32_t number, uint8_t *out);
/* Which letter has this payload? 0: none, or a byte of it is wrong. */
uint32_t letter_find(const struct letters *ls, struct str payload);

#endif
