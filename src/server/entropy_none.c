/*
 * Generated client ids without libuuid: the same text, a random UUID of version 4 (RFC 4122, 4.4).
 */
#include "server/entropy.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

void entropy_make_id(void *ctx, char out[BROKER_ID_MAX])
{
    (void)ctx;
    uint8_t r[16] = {0};
    /* So few bytes are never cut short once the kernel's generator is ready, and until then the
     * call waits. */
    if (getrandom(r, sizeof(r), 0) != (ssize_t)sizeof(r)) {
        abort();
    }
    r[6] = (uint8_t)((r[6] & 0x0f) | 0x40);
    r[8] = (uint8_t)((r[8] & 0x3f) | 0x80);
    (void)snprintf(out, BROKER_ID_MAX,
                   "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", r[0],
                   r[1], r[2], r[3], r[4], r[5], r[6], r[7], r[8], r[9], r[10], r[11], r[12], r[13],
                   r[14], r[15]);
}
