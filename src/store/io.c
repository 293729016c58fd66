/*
 * Names of segment files.
 */
#include "store/io.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define DIGITS 16

char *store_segment_name(uint64_t segment, char out[STORE_NAME_MAX])
{
    (void)snprintf(out, STORE_NAME_MAX, "%016" PRIx64 ".seg", segment);
    return out;
}

bool store_segment_parse(const char *name, uint64_t *segment)
{
    uint64_t n = 0;

    if (strlen(name) != DIGITS + 4 || strcmp(name + DIGITS, ".seg") != 0)
        return false;
    for (int i = 0; i < DIGITS; i++) {
        char c = name[i];
        if (c >= '0' && c <= '9')
            n = n << 4 | (uint64_t)(c - '0');
        else if (c >= 'a' && c <= 'f')
            n = n << 4 | (uint64_t)(c - 'a' + 10);
        else
            return false;
    }
    *segment = n;
    return true;
}
