/*
 * Sessions and rows of the naive broker.
 */
#include "model.h"

#include "letter.h"

#include <stdlib.h>

void facts_init(struct facts *f)
{
    *f = (struct facts){0};
    f->rows = vec_grow(NULL, &f->cap, 1, sizeof *f->rows);
    f->picks = vec_grow(NULL, &f->pick_cap, 1, sizeof *f->picks);
    f->rows[0] = (struct fact){0};
    f->picks[0] = (struct pick){0};
    f->n = 1;
    f->pick_n = 1;
}

void facts_clear(struct facts *f)
{
    free(f->rows);
    free(f->picks);
    *f = (struct facts){0};
}

uint32_t facts_pick(struct facts *f)
{
    f->picks = vec_grow(f->picks, &f->pick_cap, f->pick_n + 1, sizeof *f->picks);
    f->picks[f->pick_n] = (struct pick){0};
    return f->pick_n++;
}

void pick_won(struct facts *f, uint32_t pick, uint32_t winner)
{
    if (pick && !f->picks[pick].loose)
        f->picks[pick].winner = winner;
}

void model_copy(struct model *to, const struct model *from)
{
    memcpy(to->retained, from->retained, sizeof to->retained);
    for (unsigned i = 0; i < CLIENTS; i++) {
        const struct session *a = &from->sessions[i];
        struct session *b = &to->sessions[i];
        struct row *rows = b->rows;
        uint32_t cap = b->cap;

        rows = vec_grow(rows, &cap, a->n, sizeof *rows);
        *b = *a;
        b->rows = rows;
        b->cap = cap;
        if (a->n)
            memcpy(rows, a->rows, a->n * sizeof *rows);
    }
}

void model_clear(struct model *m)
{
    for (unsigned i = 0; i < CLIENTS; i++)
        free(m->sessions[i].rows);
    *m = (struct model){0};
}

struct row *session_add(struct session *s, struct facts *f, uint32_t letter, uint8_t mask)
{
    f->rows = vec_grow(f->rows, &f->cap, f->n + 1, sizeof *f->rows);
    f->rows[f->n] = (struct fact){0};
    s->rows = vec_grow(s->rows, &s->cap, s->n + 1, sizeof *s->rows);
    s->rows[s->n] = (struct row){
        .uid = f->n++,
        .letter = letter,
        .born = s->cable,
        .mask = mask,
        .state = ROW_WAITING,
    };
    return &s->rows[s->n++];
}

bool row_over(const struct facts *f, const struct row *r)
{
    uint32_t winner = r->pick ? f->picks[r->pick].winner : 0;

    return r->state == ROW_DONE || (winner && winner != r->uid);
}

/* Finished rows leave once they are half of all: rows are found by walking. */
void row_done(struct session *s, struct row *r)
{
    uint32_t done = 0;
    uint32_t kept = 0;

    r->state = ROW_DONE;
    if (s->n > 16 && s->rows[s->n / 2].state != ROW_DONE)
        return;
    for (uint32_t i = 0; i < s->n; i++)
        done += s->rows[i].state == ROW_DONE;
    if (done * 2 < s->n)
        return;
    for (uint32_t i = 0; i < s->n; i++) {
        if (s->rows[i].state != ROW_DONE)
            s->rows[kept++] = s->rows[i];
    }
    s->n = kept;
}

struct row *session_row(struct session *s, uint32_t uid)
{
    for (uint32_t i = 0; i < s->n; i++) {
        if (s->rows[i].uid == uid)
            return &s->rows[i];
    }
    return NULL;
}

void session_waiting(const struct session *s, const struct facts *f, const struct letters *ls,
                     const struct names *n, uint32_t *count, uint64_t *bytes)
{
    *count = 0;
    *bytes = 0;
    for (uint32_t i = 0; i < s->n; i++) {
        if (!row_over(f, &s->rows[i])) {
            const struct letter *l = &ls->all[s->rows[i].letter];
            ++*count;
            *bytes += l->size + n->topic[l->topic].n;
        }
    }
}

void session_forget(struct session *s, struct facts *f)
{
    for (uint32_t i = 0; i < s->n; i++)
        f->picks[s->rows[i].pick].excused = true;
    struct session empty = {.rows = s->rows, .cap = s->cap};
    *s = empty;
}

void session_blur(struct session *s, struct facts *f)
{
    for (unsigned i = 0; i < FILTERS; i++) {
        if (s->sub[i])
            s->sub[i] |= SUB_ABSENT;
    }
    for (unsigned i = 0; i < ID_SLOTS; i++) {
        if (s->in[i])
            s->in[i] = IN_MAYBE;
    }
    for (uint32_t i = 0; i < s->n; i++) {
        s->rows[i].flags |= ROW_MAY;
        f->rows[s->rows[i].uid].hazy = true;
        f->picks[s->rows[i].pick].excused = true;
    }
    s->unsure = true;
}

uint8_t mask_min(uint8_t mask, uint8_t qos)
{
    uint8_t out = mask & SUB_ABSENT;

    for (uint8_t q = 0; q <= 2; q++) {
        if (mask & (1 << q))
            out |= (uint8_t)(1 << (q < qos ? q : qos));
    }
    return out;
}

/* All outcomes of "the higher of the two"; absent is lower than QoS 0. */
uint8_t mask_max(uint8_t a, uint8_t b)
{
    static const uint8_t rank[4] = {SUB_ABSENT, 1, 2, 4};
    uint8_t out = 0;

    for (unsigned i = 0; i < 4; i++) {
        for (unsigned j = 0; j < 4; j++) {
            if ((a & rank[i]) && (b & rank[j]))
                out |= rank[i > j ? i : j];
        }
    }
    return out;
}

uint8_t session_match(const struct session *s, const struct names *n, unsigned topic)
{
    uint8_t mask = SUB_ABSENT;

    for (unsigned f = 0; f < FILTERS; f++) {
        if (s->sub[f] && !n->shared[f] && n->match[f][topic])
            mask = mask_max(mask, s->sub[f]);
    }
    return s->unsure ? mask | SUB_ABSENT : mask;
}
