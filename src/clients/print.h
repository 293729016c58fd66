/*
 * A message as it is printed: what -F, -v, -N and --pretty say.
 */
#ifndef CLIENTS_PRINT_H
#define CLIENTS_PRINT_H

#include "clients/settings.h"
#include "clients/text.h"
#include "mosquitto.h"

struct client_print {
    const struct client_settings *settings; /* not owned */
    struct client_format *format;           /* NULL without -F */
};

/* The settings must live as long. false: -F is wrong, and it was said. */
bool client_print_init(struct client_print *p, const struct client_settings *s);
void client_print_clear(struct client_print *p);

/* Does -F make sense? false: it was said. To be asked when all settings are checked. */
bool client_print_check(const struct client_settings *s);

/* Append the message to `out`. A payload that is not JSON but should be is named on stderr. */
void client_print(const struct client_print *p, const struct mosquitto_message *message,
                  struct client_text *out);

#endif
