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

/* The memory that it has already. */
static void keep_room(struct session *s, const struct session *room)
{
    s->rows = room->rows;
    s->cap = room->cap;
    s->cursors = room->cursors;
    s->cursor_cap = room->cursor_cap;
}

void model_copy(struct model *to, const struct model *from)
{
    memcpy(to->retained, from->retained, sizeof to->retained);
    for (unsigned i = 0; i < CLIENTS; i++) {
        const struct session *a = &from->sessions[i];
        struct session *b = &to->sessions[i];
        struct session room = *b;

        room.rows = vec_grow(b->rows, &room.cap, a->n, sizeof *a->rows);
        room.cursors = vec_grow(b->cursors, &room.cursor_cap, a->cursor_n, sizeof *a->cursors);
        *b = *a;
        keep_room(b, &room);
        if (a->n)
            memcpy(b->rows, a->rows, a->n * sizeof *a->rows);
        if (a->cursor_n)
            memcpy(b->cursors, a->cursors, a->cursor_n * sizeof *a->cursors);
    }
}

void model_clear(struct model *m)
{
    for (unsigned i = 0; i < CLIENTS; i++) {
        free(m->sessions[i].rows);
        free(m->sessions[i].cursors);
    }
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
    struct session empty = {0};
    keep_room(&empty, s);
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
    for (uint32_t i = 0; i < s->cursor_n; i++) {
        memset(s->cursors[i].owed, 0, sizeof s->cursors[i].owed);
        memset(s->cursors[i].due, 0, sizeof s->cursors[i].due);
    }
    s->blind = true;
    s->unsure = true;
}

static void cursor_remove(struct session *s, uint32_t at)
{
    s->cursor_n--;
    memmove(s->cursors + at, s->cursors + at + 1, (s->cursor_n - at) * sizeof *s->cursors);
}

/* One of two that are over and alike stands for both from now on. */
static bool cursors_merge(struct session *s, uint32_t at)
{
    const struct cursor *u = &s->cursors[at];

    for (uint32_t i = at + 1; i < s->cursor_n && !u->live; i++) {
        struct cursor *o = &s->cursors[i];
        if (o->live || o->filter != u->filter || o->qos != u->qos)
            continue;
        o->since = u->since;
        o->cable = u->cable;
        o->merged = true;
        memset(o->got, 0, sizeof o->got);
        cursor_remove(s, at);
        return true;
    }
    return false;
}

/* The first that is over, or else the oldest. What it may still bring cannot be told from too much
 * any more. */
static void cursors_evict(struct session *s)
{
    uint32_t at = 0;

    while (at < s->cursor_n && s->cursors[at].live)
        at++;
    cursor_remove(s, at < s->cursor_n ? at : 0);
    s->blind = true;
}

static void cursors_make_room(struct session *s)
{
    for (uint32_t i = 0; i < s->cursor_n; i++) {
        if (cursors_merge(s, i))
            return;
    }
    cursors_evict(s);
}

struct cursor *session_cursor(struct session *s)
{
    if (s->cursor_n == CURSORS)
        cursors_make_room(s);
    s->cursors = vec_grow(s->cursors, &s->cursor_cap, s->cursor_n + 1, sizeof *s->cursors);
    struct cursor *u = &s->cursors[s->cursor_n++];
    *u = (struct cursor){.live = true};
    return u;
}

void cursor_waive(struct cursor *u, unsigned topic)
{
    u->owed[topic / 64] &= ~(1ull << (topic % 64));
    u->due[topic / 64] &= ~(1ull << (topic % 64));
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
