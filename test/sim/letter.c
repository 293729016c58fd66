/*
 * The register of messages. A payload begins with a mark, the message's number, its publisher,
 * topic, QoS and sequence number, and is filled with bytes that depend on the number, so that a
 * wrong byte anywhere shows.
 */
#include "letter.h"

#include <stdlib.h>

void letters_init(struct letters *ls)
{
    *ls = (struct letters){0};
    ls->all = vec_grow(NULL, &ls->cap, 1, sizeof *ls->all);
    ls->all[0] = (struct letter){0};
    ls->n = 1;
}

void letters_clear(struct letters *ls)
{
    free(ls->all);
    *ls = (struct letters){0};
}

uint32_t letter_new(struct letters *ls, uint8_t publisher, uint16_t topic, uint8_t qos, bool retain,
                    uint32_t size)
{
    ls->all = vec_grow(ls->all, &ls->cap, ls->n + 1, sizeof *ls->all);
    ls->all[ls->n] = (struct letter){
        .size = size,
        .seq = ++ls->seq[publisher][topic][qos],
        .topic = topic,
        .qos = qos,
        .publisher = publisher,
        .retain = retain,
    };
    return ls->n++;
}

static uint8_t filler(uint32_t number, uint32_t at)
{
    return (uint8_t)(number * 31 + at * 7 + (at >> 8));
}

static void head(const struct letter *l, uint32_t number, uint8_t out[LETTER_MIN])
{
    memcpy(out, "sim", 3);
    out[3] = l->qos;
    memcpy(out + 4, &number, sizeof number);
    memcpy(out + 8, &l->seq, sizeof l->seq);
    memcpy(out + 12, &l->topic, sizeof l->topic);
    out[14] = l->publisher;
    out[15] = l->retain;
}

void letter_payload(const struct letters *ls, uint32_t number, uint8_t *out)
{
    const struct letter *l = &ls->all[number];

    if (l->size < LETTER_MIN)
        return;
    head(l, number, out);
    for (uint32_t i = LETTER_MIN; i < l->size; i++)
        out[i] = filler(number, i);
}

uint32_t letter_find(const struct letters *ls, struct str payload)
{
    uint8_t want[LETTER_MIN];
    uint32_t number;

    if (payload.n < LETTER_MIN)
        return 0;
    memcpy(&number, payload.p + 4, sizeof number);
    if (number == 0 || number >= ls->n || ls->all[number].size != payload.n)
        return 0;
    head(&ls->all[number], number, want);
    if (memcmp(want, payload.p, LETTER_MIN) != 0)
        return 0;
    for (uint32_t i = LETTER_MIN; i < payload.n; i++) {
        if ((uint8_t)payload.p[i] != filler(number, i))
            return 0;
    }
    return number;
}
