/*
 * libargon2, asked by the name of no encoding: what stands in the file is read elsewhere, within
 * limits.
 */
#include "auth/argon2id.h"

#include <argon2.h>

enum err argon2id(struct str password, struct str salt, struct argon2id_cost cost, uint8_t *out,
                  size_t n)
{
    /* The library only reads these, though it may overwrite them when told to. */
    argon2_context ctx = {
        .out = out,
        .outlen = (uint32_t)n,
        .pwd = (uint8_t *)(uintptr_t)password.p,
        .pwdlen = (uint32_t)password.n,
        .salt = (uint8_t *)(uintptr_t)salt.p,
        .saltlen = (uint32_t)salt.n,
        .t_cost = cost.passes,
        .m_cost = cost.memory_kib,
        .lanes = cost.lanes,
        .threads = 1,
        .version = ARGON2_VERSION_13,
        .flags = ARGON2_DEFAULT_FLAGS,
    };
    int answer;

    if (password.n > UINT32_MAX || salt.n > UINT32_MAX || n > UINT32_MAX)
        return ERR_INVAL;
    answer = argon2id_ctx(&ctx);
    if (answer == ARGON2_MEMORY_ALLOCATION_ERROR)
        return ERR_NOMEM;
    return answer == ARGON2_OK ? ERR_OK : ERR_INVAL;
}
