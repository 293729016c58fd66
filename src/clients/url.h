/*
 * URLs on the command line: where a broker is, and where a proxy.
 */
#ifndef CLIENTS_URL_H
#define CLIENTS_URL_H

#include "clients/settings.h"

/* -L: mqtt(s)://[USER[:PASSWORD]@]HOST[:PORT]/TOPIC. These are set() of their rows. */
bool client_url_broker(struct client_settings *s, const struct client_row *row, const char *value);
/* --proxy: socks5h://[USER[:PASSWORD]@]HOST[:PORT] */
bool client_url_proxy(struct client_settings *s, const struct client_row *row, const char *value);

#endif
