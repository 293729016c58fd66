/*
 * Argon2id (RFC 9106), version 1.3, by libargon2.
 *
 * All lanes are computed on the thread that asks: a login is not to take more than one processor.
 */
#ifndef AUTH_ARGON2ID_H
#define AUTH_ARGON2ID_H

#include "base/err.h"
#include "base/str.h"

#include <stdint.h>

struct argon2id_cost {
    uint32_t memory_kib; /* at least 8 for each lane */
    uint32_t passes;
    uint32_t lanes;
};

/* n bytes of hash, with a salt of at least 8 bytes. ERR_NOMEM; ERR_UNSUPPORTED: not in this build.
 */
MUST_CHECK enum err argon2id(struct str password, struct str salt, struct argon2id_cost cost,
                             uint8_t *out, size_t n);

#endif
