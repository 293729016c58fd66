/*
 * The options that at least two of mosquitto_pub, mosquitto_sub and mosquitto_rr share.
 */
#ifndef CLIENTS_ROWS_H
#define CLIENTS_ROWS_H

#include "clients/settings.h"

extern const struct client_rows client_rows_common;

#endif
