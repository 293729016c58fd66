/*
 * A build without libargon2.
 */
#include "auth/argon2id.h"

enum err argon2id(struct str password, struct str salt, struct argon2id_cost cost, uint8_t *out,
                  size_t n)
{
    (void)password;
    (void)salt;
    (void)cost;
    (void)out;
    (void)n;
    return ERR_UNSUPPORTED;
}
