/*
 * Which strings MQTT allows (1.5.3).
 *
 * Refused: what is not UTF-8 (overlong forms, surrogates, above U+10FFFF), U+0000, and, as
 * Mosquitto does, the control characters U+0001–001F and U+007F–009F and the non-characters
 * U+FDD0–FDEF, U+xxFFFE, U+xxFFFF. U+FEFF is kept as it is (1.5.3-3). ASCII text is checked eight
 * bytes at a time.
 */
#ifndef MQTT_UTF8_H
#define MQTT_UTF8_H

#include "base/str.h"

bool utf8_valid(struct str s);

#endif
