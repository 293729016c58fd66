/*
 * Where the messages of mosquitto_pub come from: lines of standard input, or one payload that is
 * repeated.
 *
 * A message is looked at, taken when the library has it, and done when it cannot be lost with a
 * connection any more; in this order, also when many are taken and none is done. When a connection
 * is lost, what was taken and is not done can be had again.
 */
#ifndef CLIENTS_PUB_SOURCE_H
#define CLIENTS_PUB_SOURCE_H

#include "clients/payload.h"
#include "clients/pub_options.h"

enum pub_state {
    PUB_READY, /* there is a message */
    PUB_INPUT, /* wait until pub_source_fd() can be read, then pub_source_read() */
    PUB_LATER, /* wait for pub_source_wait_ms() */
    PUB_END    /* there is none any more */
};

struct pub_source;

/* Loads the payload unless it is lines. NULL: it was said why. */
struct pub_source *pub_source_new(const struct pub_settings *s);
void pub_source_free(struct pub_source *src);

/* The next message, valid until anything else is called. */
enum pub_state pub_source_look(struct pub_source *src, const uint8_t **data, size_t *n);
void pub_source_take(struct pub_source *src);
/* The oldest message that was taken is done. */
void pub_source_done(struct pub_source *src);
/* All that were taken and are not done are to be taken again. */
void pub_source_rewind(struct pub_source *src);

int pub_source_fd(const struct pub_source *src);
/* Is there more to read, and room for it? What is at hand may not even be taken yet. */
bool pub_source_wants(const struct pub_source *src);
/* Read once. false: it cannot be read, which was said; or a line is too long. */
bool pub_source_read(struct pub_source *src);
int pub_source_wait_ms(const struct pub_source *src);

/* Messages that are at hand and not taken. *more: there may be others that were not read yet. */
long pub_source_left(const struct pub_source *src, bool *more);

#endif
