/*
 * An engine and the broker that the test plays for it, byte by byte. Bytes are written out in the
 * tests, so that a mistake of our own encoder is not made twice.
 */
#ifndef UNIT_ENGINE_RIG_H
#define UNIT_ENGINE_RIG_H

#include "client/engine.h"

#include <stddef.h>

#define ENGINE_RIG_ROOM (512 * 1024)

struct engine_rig {
    struct engine *e;
    struct log log;
    char lines[16 * 1024]; /* of the log, each with a newline; terminated */
    size_t lines_n;
    uint8_t out[ENGINE_RIG_ROOM]; /* what the engine has written and the test has not looked at */
    size_t out_n;
    uint64_t now;
    struct engine_event ev; /* the last one */
};

/* One for all tests of a program, since it is large. */
extern struct engine_rig engine_rig;

void engine_rig_begin(struct engine_rig *r);
void engine_rig_end(struct engine_rig *r);

/* Take all that the engine has to write; a read-only look is made with odd numbers of iovecs. */
void engine_rig_write(struct engine_rig *r);
/* Take at most n bytes of it. */
void engine_rig_write_some(struct engine_rig *r, size_t n);
/* The engine has written exactly these bytes since the last look. */
void engine_rig_sent(struct engine_rig *r, const void *p, size_t n, int line);
/* The engine reads these bytes. */
void engine_rig_feed(struct engine_rig *r, const void *p, size_t n);
/* The next event is of this kind; not settled. */
void engine_rig_expect(struct engine_rig *r, enum engine_kind kind, int line);
/* … and settled. */
void engine_rig_take(struct engine_rig *r, enum engine_kind kind, int line);
/* No event until there are more bytes. */
void engine_rig_quiet(struct engine_rig *r, int line);
/* All events until there are none, settled; how many. Errors are the caller's. */
enum err engine_rig_drain(struct engine_rig *r, unsigned *events);

/* A CONNECT of client "c" at 3.1.1, without keepalive, taken from the output. */
void engine_rig_hello(struct engine_rig *r, bool clean);
/* … and CONNACK 0. */
void engine_rig_online(struct engine_rig *r, bool clean, bool present);

#define BYTES(...) ((const uint8_t[]){__VA_ARGS__}), sizeof((const uint8_t[]){__VA_ARGS__})
#define SENT(r, ...) engine_rig_sent(r, BYTES(__VA_ARGS__), __LINE__)
#define SENT_NOTHING(r) engine_rig_sent(r, NULL, 0, __LINE__)
#define FEED(r, ...) engine_rig_feed(r, BYTES(__VA_ARGS__))
#define EXPECT(r, kind) engine_rig_expect(r, kind, __LINE__)
#define TAKE(r, kind) engine_rig_take(r, kind, __LINE__)
#define QUIET(r) engine_rig_quiet(r, __LINE__)

#endif
