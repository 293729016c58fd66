/*
 * JSON as it goes through: strings made of any bytes, and values of others passed on.
 *
 * A payload that is JSON is passed on as it is written, without its blanks or laid out anew. No
 * number is read, so that none loses digits, as it would on the way through a tree of doubles.
 * Whatever comes out is valid (RFC 8259): what is not UTF-8 becomes U+FFFD.
 */
#ifndef CLIENTS_JSON_H
#define CLIENTS_JSON_H

#include "clients/text.h"

/* Arrays and objects inside each other. */
#define CLIENT_JSON_DEPTH 1000

/* The bytes as a JSON string, with its quotes. */
void client_json_string(struct client_text *out, const char *bytes, size_t n);

/*
 * A whole JSON value, a byte order mark in front of it left out. `level` is how many arrays and
 * objects it stands in, for laying it out with tabs; -1: all on one line. false: it is none, or
 * deeper than CLIENT_JSON_DEPTH; nothing was added.
 */
bool client_json_value(struct client_text *out, const char *bytes, size_t n, int level);

#endif
