/*
 * The properties of MQTT 5: their names, what they hold, and which packets may have them (2.2.2.2).
 */
#ifndef CLIENT_PROPERTY_TABLE_H
#define CLIENT_PROPERTY_TABLE_H

#include "mqtt_protocol.h"

#include <stdbool.h>
#include <stdint.h>

#define PROPERTY_VARINT_MAX 268435455u /* four bytes of seven bits (1.5.5) */

struct property_row {
    int identifier;
    enum mqtt5_property_type type;
    const char *name;
    uint32_t packets;     /* bits, by property_packet() */
    uint32_t least, most; /* of a number */
    bool repeats;         /* may be there more than once */
};

/* The row of an identifier, or of a name in any case; NULL: there is none. */
const struct property_row *property_row(int identifier);
const struct property_row *property_row_by_name(const char *name);
/* The bit of a packet (CMD_*, or CMD_WILL); 0: there is no such packet. */
uint32_t property_packet(int command);

#endif
