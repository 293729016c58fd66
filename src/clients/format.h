/*
 * What -F says, compiled once, and messages printed by it.
 *
 * Widths and lengths count bytes, as printf's do.
 */
#ifndef CLIENTS_FORMAT_H
#define CLIENTS_FORMAT_H

#include "clients/text.h"
#include "mosquitto.h"

#include <time.h>

/* A width is at most this. */
#define CLIENT_FORMAT_WIDTH_MAX 1000000
#define CLIENT_FORMAT_WHY_MAX 160

struct client_format;

/* NULL: `why` says what is wrong, and where; without a full stop. */
struct client_format *client_format_new(const char *text, bool pretty,
                                        char why[CLIENT_FORMAT_WHY_MAX]);
void client_format_free(struct client_format *f); /* NULL is allowed */

/*
 * Append the message, which arrived at `when`, without a newline behind it. false: %J was asked
 * for, and the payload is not JSON; the rest is printed all the same.
 */
bool client_format_print(const struct client_format *f, const struct mosquitto_message *message,
                         const struct timespec *when, struct client_text *out);

#endif
