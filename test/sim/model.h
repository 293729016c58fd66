/*
 * The naive broker: lists and a plain matcher. It is told each packet at the moment at which the
 * real one handles it, and knows from then on who is owed what.
 *
 * Everything in struct model is what must survive a crash; it is copied with each frame of records,
 * and a crash puts the copy back that belongs to the last frame that was kept. What the world has
 * seen (struct fact, struct pick) is not undone by a crash.
 *
 * Where the outcome is not known (an allocation failed on the way), masks hold all the possible
 * ones.
 */
#ifndef SIM_MODEL_H
#define SIM_MODEL_H

#include "names.h"
#include "util.h"

#define SUB_ABSENT 8 /* beside the bits 1 << qos */

enum row_state { ROW_WAITING, ROW_RECEIVED /* PUBREC was handled */, ROW_DONE };

enum row_flag {
    ROW_MAY = 1,      /* may have been lost: nothing promises it */
    ROW_DROP_OK = 2,  /* a queue limit may have dropped it; counted then */
    ROW_RETAINED = 4, /* from the retained messages, seen with RETAIN set */
    ROW_LATE =
        16, /* was on its way at QoS 0 when the connection was lost: its place is not known */
    ROW_EITHER = 8 /* it is not known whether the last acknowledgement was handled */
};

/* One message owed to one session. */
struct row {
    uint32_t uid; /* in struct facts */
    uint32_t letter;
    uint32_t born; /* the session's cable when it was added; 0 = was absent */
    uint32_t turn; /* in which it was added */
    uint32_t pick; /* of a shared subscription: the choice it belongs to; 0 = none */
    uint32_t received_turn;
    uint8_t mask; /* possible QoS */
    uint8_t flags;
    uint8_t state;
};

#define ID_SLOTS 128 /* clients use this many different packet ids for publishing */
enum inbound { IN_NONE, IN_HELD, IN_MAYBE };

#define CURSORS 64 /* of a session */

/* A subscription that may still bring retained messages. */
struct cursor {
    uint8_t filter;
    uint8_t qos; /* granted */
    bool live;   /* false: replaced or unsubscribed; what is on its way may still come */
    bool anew;   /* a crash has made it begin once more: what is retained now may come as well */
    bool merged; /* stands for several that are not live, of which the first began then */
    uint32_t cable;
    uint64_t since;             /* event */
    uint64_t owed[TOPIC_WORDS]; /* must come, once for this one */
    /* Must have come since it began, whichever it came for: of several feeds that were under way at
     * a crash nobody knows which has given what. */
    uint64_t due[TOPIC_WORDS];
    /* Went or may go at QoS 0, so that a loss of the connection loses it. */
    uint64_t weak[TOPIC_WORDS];
    uint64_t got[TOPIC_WORDS];
    uint64_t either[TOPIC_WORDS]; /* what came may have been this one's or another's */
};

struct session {
    bool exists;
    bool clean;
    bool blind;           /* retained messages may come that no cursor accounts for */
    bool unsure;          /* a CONNECT failed halfway: whether it exists is not known */
    uint32_t cable;       /* serial of the connection; 0 = absent */
    uint8_t sub[FILTERS]; /* 0 = not subscribed */
    uint8_t in[ID_SLOTS]; /* inbound QoS 2, enum inbound */
    struct row *rows;
    uint32_t n;
    uint32_t cap;
    struct cursor *cursors;
    uint32_t cursor_n;
    uint32_t cursor_cap;
};

struct retained {
    uint32_t letter; /* 0 = none */
    uint32_t other;  /* what it may be as well, if `unsure` */
    bool unsure;
    uint64_t since; /* event */
};

struct model {
    struct session sessions[CLIENTS];
    struct retained retained[TOPICS];
};

/* What was seen of a row. */
struct fact {
    uint32_t cable;  /* on which it was seen last */
    uint32_t order;  /* at which place it was seen first; 0 = never */
    uint32_t frames; /* emitted until then */
    uint16_t id;
    bool claimed; /* that a limit has dropped it */
    bool hazy;    /* a crash may have undone what was seen */
    bool blurred; /* it was hazy once: it may be another copy than the one that was seen first */
};

/* A message to one of a group. */
struct pick {
    uint32_t winner; /* row, or UINT32_MAX for a QoS 0 delivery; 0 = not seen yet */
    bool excused;    /* a candidate went away, so it may be lost */
    bool loose;      /* whose copy is whose cannot be told: nobody is taken for the winner */
};

struct facts {
    struct fact *rows;
    uint32_t n;
    uint32_t cap;
    struct pick *picks;
    uint32_t pick_n;
    uint32_t pick_cap;
    uint32_t order;
};

void facts_init(struct facts *f);
void facts_clear(struct facts *f);
uint32_t facts_pick(struct facts *f);
/* Somebody got it. */
void pick_won(struct facts *f, uint32_t pick, uint32_t winner);

void model_copy(struct model *to, const struct model *from);
void model_clear(struct model *m);

struct row *session_add(struct session *s, struct facts *f, uint32_t letter, uint8_t mask);
/* Does this row not count any more: done, or another one of its group was chosen? */
bool row_over(const struct facts *f, const struct row *r);
void row_done(struct session *s, struct row *r);
struct row *session_row(struct session *s, uint32_t uid);
/* What may wait for this session: messages and bytes of topic and payload. */
struct letters;
void session_waiting(const struct session *s, const struct facts *f, const struct letters *ls,
                     const struct names *n, uint32_t *count, uint64_t *bytes);
/* Its state is gone for good. */
void session_forget(struct session *s, struct facts *f);
/* Nothing about it is certain any more. */
void session_blur(struct session *s, struct facts *f);

/* Which QoS may this session get it at, by its own subscriptions; SUB_ABSENT if maybe none. */
uint8_t session_match(const struct session *s, const struct names *n, unsigned topic);
/* A cursor that has nothing in it yet. */
struct cursor *session_cursor(struct session *s);
/* Nothing of this topic is certain to come any more. */
void cursor_waive(struct cursor *u, unsigned topic);
/* Lower each possible QoS to at most `qos`. */
uint8_t mask_min(uint8_t mask, uint8_t qos);
uint8_t mask_max(uint8_t a, uint8_t b);

#endif
