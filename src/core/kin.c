/*
 * There are few brokers, so they are searched one by one; and only when a bridge has come up.
 */
#include "core/kin.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

uint8_t kin_get(struct kin *k, struct str name)
{
    uint64_t hash = XXH3_64bits(name.p, name.n);
    unsigned free_place = KIN_MAX;

    for (unsigned i = 0; i < KIN_MAX; i++) {
        if (k->known[i].refs > 0 && k->known[i].name == hash) {
            k->known[i].refs++;
            return (uint8_t)(i + 1);
        }
        if (k->known[i].refs == 0 && free_place == KIN_MAX)
            free_place = i;
    }
    if (free_place == KIN_MAX)
        return 0;
    k->known[free_place].name = hash;
    k->known[free_place].refs = 1;
    return (uint8_t)(free_place + 1);
}

void kin_put(struct kin *k, uint8_t number)
{
    if (number > 0)
        k->known[number - 1].refs--;
}
