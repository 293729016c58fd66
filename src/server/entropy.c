/*
 * Generated client ids, by libuuid.
 */
#include "server/entropy.h"

#include <uuid/uuid.h>

_Static_assert(UUID_STR_LEN <= BROKER_ID_MAX, "a UUID is a client id");

void entropy_make_id(void *ctx, char out[BROKER_ID_MAX])
{
    (void)ctx;
    uuid_t id;
    uuid_generate_random(id);
    uuid_unparse_lower(id, out);
}
