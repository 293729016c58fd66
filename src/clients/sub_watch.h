/*
 * --watch: a line of the screen for each topic, where its last message stands.
 *
 * Topics get their lines as they come. Those for which the screen has no line are counted on the
 * last one. What a payload holds cannot steer the terminal: control characters are shown as dots.
 */
#ifndef CLIENTS_SUB_WATCH_H
#define CLIENTS_SUB_WATCH_H

#include "clients/print.h"
#include "clients/text.h"
#include "mosquitto.h"

struct sub_watch_row {
    char *topic;
    struct client_text line; /* as it was printed last */
};

/* Zeroed: nothing is on the screen. */
struct sub_watch {
    struct sub_watch_row *rows;
    int n, room;
    int lines, columns; /* of the screen when it was drawn */
};

/* Append to `out` what puts this message on the screen. */
void sub_watch_message(struct sub_watch *w, const struct client_print *print,
                       const struct mosquitto_message *message, struct client_text *out);
/* Draw all anew if the size of the screen has changed. */
void sub_watch_resize(struct sub_watch *w, struct client_text *out);
/* Leave the cursor behind the last line. */
void sub_watch_leave(const struct sub_watch *w, struct client_text *out);
void sub_watch_clear(struct sub_watch *w);

#endif
