/*
 * A broker with a virtual clock, and clients in memory: what the tests of the core drive it with.
 *
 * One rig_turn() is one turn of the server's loop: at most one read and one write for each
 * connection. Memory of the rig comes from malloc directly, so that base/mem counts the broker's
 * alone.
 */
#ifndef UNIT_RIG_H
#define UNIT_RIG_H

#include "core/broker.h"
#include "mqtt/frame.h"
#include "mqtt/packet.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

/* Bytes in the rig's own memory, taken at the front. */
struct rig_bytes {
    uint8_t *p;
    size_t at;
    size_t n; /* end of what is there */
    size_t cap;
};

struct rig_client {
    struct rig *rig;
    struct conn *conn;    /* NULL: not connected, or closed by the broker */
    struct rig_bytes in;  /* what the broker has written */
    struct rig_bytes out; /* what it has still to read */
    size_t window;        /* bytes that a write call takes; SIZE_MAX: all */
    uint64_t received;    /* bytes, all in all */
    unsigned writes;      /* write calls of the last turn */
    unsigned reads;       /* read calls of the last turn */
    bool blocked;         /* the last write was short */
    bool hangs_up;        /* closes when the next turn reads */
    uint16_t last_id;     /* packet id given last by rig_subscribe and rig_unsubscribe */
    TAILQ_ENTRY(rig_client) entry;
};

TAILQ_HEAD(rig_clients, rig_client);

/* The records of one turn, and where they stand in the journal. */
struct rig_frame {
    uint64_t position;
    size_t n;
};

/* The journal begins at this position, and each frame with so many bytes before its records. */
#define RIG_JOURNAL_BEGIN 4096
#define RIG_FRAME_HEAD 48

#define RIG_FETCHES 1024
#define RIG_DIALS 64

struct rig {
    struct broker *b;
    struct conf conf;
    struct conf_listener listener;
    struct conf_listener *listeners[1];
    struct conf_listener *through; /* what clients connect through; NULL = `listener` */
    struct broker_setup setup;
    struct now now;
    struct rig_clients clients;
    struct rig_bytes journal; /* all frames, one after another, heads included */
    struct rig_frame *frames; /* in it */
    size_t frame_first;       /* those before it are gone: see rig_drop_frames */
    size_t frame_count;
    struct fetch fetches[RIG_FETCHES]; /* wanted, to be answered in the next turn */
    size_t fetch_count;
    struct dial_order dials[RIG_DIALS]; /* that bridges have wanted */
    size_t dial_count;
    uint64_t fetched; /* answers, all in all */
    /* What a fetch is answered with; NULL: what stands in the journal. */
    struct str (*answer)(struct rig *r, const struct fetch *f);
    struct rig_bytes log; /* all lines */
    size_t max_read;      /* bytes of one read call */
    uint64_t turns;
    uint64_t next;     /* what broker_next said last */
    uint64_t recorded; /* the last turn that had records */
    uint64_t moved;    /* bytes read and written in the last turn */
    unsigned writes;   /* write calls of the last turn, of all clients */
    unsigned ids;
    bool hold; /* records are not durable until the test says so */
};

/* With the defaults of src/conf, no limit to the packet size, and quiet. */
void rig_setup(struct rig *r);
/*
 * Give a listener an ACL from this text, or none (NULL); to be taken away again before the end, but
 * for the rig's own. A broker that runs is to be told (broker_rights_changed).
 */
void rig_acl(struct conf_listener *l, const char *text);
/* The broker, after rig_setup and what the test changed in it. */
void rig_start(struct rig *r);
void rig_begin(struct rig *r, bool persistent); /* both */
/* Frees the broker and everything else; fails when the broker's state is not sound. */
void rig_end(struct rig *r);
/* broker_check, with its message. */
void rig_check(const struct rig *r);

void rig_turn(struct rig *r);
/* The records that the broker has gathered become the next frame. */
void rig_commit(struct rig *r);
/* Turns until nothing moves and the broker has nothing more to do at once. */
void rig_settle(struct rig *r);
/* Let the clock jump, then one turn. */
void rig_pass(struct rig *r, uint64_t ms);
/* How often a text is in the log. */
unsigned rig_logged(const struct rig *r, const char *text);
/* What broker_dump says, terminated; free it. */
char *rig_dump(const struct rig *r);
/* The records of a frame. */
struct str rig_records(const struct rig *r, size_t frame);
/* What stands in the journal for a fetch: as much as would be welcome; nothing if it is gone. */
struct str rig_journal_at(const struct rig *r, const struct fetch *f);
/* Frames before this one are gone. */
void rig_drop_frames(struct rig *r, size_t first);
/* Another broker, from the journal; *lost says what that was without. */
struct broker *rig_rebuild(const struct rig *r, struct broker_lost *lost);
/* A broker that was rebuilt from the journal says the same as this one. */
void rig_check_replay(const struct rig *r);
/* The process dies at once, and another one begins with the journal. */
void rig_restart(struct rig *r);

/* A connection without a CONNECT. False without memory. */
bool rig_open(struct rig *r, struct rig_client *c);
/* The dial that a bridge wants next; its section is the caller's. False: none is wanted. */
bool rig_take_dial(struct rig *r, struct dial_order *order);
/* The connection that a bridge wants next, with `c` as the remote broker. False: none is wanted. */
bool rig_dial(struct rig *r, struct rig_client *c);
/* The client closes its connection: the broker is told at once. */
void rig_close(struct rig_client *c);
/* The same, seen when the next turn reads. */
void rig_hang_up(struct rig_client *c);
/* Free what the rig holds for a client; closes too. */
void rig_forget(struct rig_client *c);

/* For the broker to read. */
void rig_send(struct rig_client *c, const void *p, size_t n);
void rig_send_connect(struct rig_client *c, const struct packet_connect *p);
void rig_send_subscribe(struct rig_client *c, uint16_t id, const char *filter, enum qos qos);
void rig_send_unsubscribe(struct rig_client *c, uint16_t id, const char *filter);
void rig_send_publish(struct rig_client *c, const struct packet_publish *p);
void rig_send_ack(struct rig_client *c, enum packet_type type, uint16_t id);
void rig_send_empty(struct rig_client *c, enum packet_type type);
/* A PUBLISH in few words; id 0 at QoS 0. */
void rig_publish(struct rig_client *c, const char *topic, const char *payload, enum qos qos,
                 uint16_t id);
void rig_retain(struct rig_client *c, const char *topic, const char *payload, enum qos qos,
                uint16_t id);

/* Open, CONNECT without keepalive, settle, see that it was accepted; says session present. */
bool rig_connect(struct rig *r, struct rig_client *c, const char *id, bool clean);
/* The same with a user name, or NULL. */
bool rig_connect_as(struct rig *r, struct rig_client *c, const char *id, const char *user,
                    bool clean);
/* Settle and see the SUBACK that grants what was asked for. */
void rig_subscribe(struct rig_client *c, const char *filter, enum qos qos);
void rig_unsubscribe(struct rig_client *c, const char *filter);

/* The next packet that the client has received; false: there is none. Valid until the next turn. */
bool rig_next(struct rig_client *c, struct frame *f);
/* The two bytes that a packet without a fixed header begins with: the id of most; 0 if too short.
 */
uint16_t rig_id(const struct frame *f);
/* Fails unless it is of this type; returns its packet id for those that are nothing but one. */
uint16_t rig_expect(struct rig_client *c, enum packet_type type);
/* Fails unless it is a PUBLISH to this topic with this payload and QoS. */
struct packet_publish rig_expect_publish(struct rig_client *c, const char *topic,
                                         const char *payload, enum qos qos);
void rig_expect_connack(struct rig_client *c, bool present, uint8_t code);
void rig_expect_nothing(struct rig_client *c);
void rig_expect_closed(const struct rig_client *c);
/* Count the PUBLISH packets received, and drop everything. */
size_t rig_drain(struct rig_client *c);

#endif
