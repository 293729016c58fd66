/*
 * The options that at least two of mosquitto_pub, mosquitto_sub and mosquitto_rr share.
 */
#ifndef TOOLS_CLIENT_ROWS_H
#define TOOLS_CLIENT_ROWS_H

#include "tools/client_settings.h"

extern const struct client_rows client_rows_common;

#endif
