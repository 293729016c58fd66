/*
 * The payload of -m, -f, -s and -n, whole in memory.
 */
#ifndef CLIENTS_PAYLOAD_H
#define CLIENTS_PAYLOAD_H

#include "clients/settings.h"

#include <stdint.h>

struct client_payload {
    uint8_t *data; /* owned; NULL when there is nothing */
    size_t n;
};

/* Load it from where s->source says. false: it was said on stderr why; exit 1. */
bool client_payload_load(const struct client_settings *s, struct client_payload *payload);
void client_payload_free(struct client_payload *payload);

#endif
