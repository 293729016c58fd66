/*
 * A build without OpenSSL knows passwords that are not hashed, and no others.
 */
#include "auth/pwdigest.h"

enum err pwdigest_sha512(struct str password, struct str salt, uint8_t out[PWDIGEST_BYTES])
{
    (void)password;
    (void)salt;
    (void)out;
    return ERR_UNSUPPORTED;
}

enum err pwdigest_pbkdf2(struct str password, struct str salt, uint32_t rounds, uint8_t *out,
                         size_t n)
{
    (void)password;
    (void)salt;
    (void)rounds;
    (void)out;
    (void)n;
    return ERR_UNSUPPORTED;
}

enum err pwdigest_random(uint8_t *out, size_t n)
{
    (void)out;
    (void)n;
    return ERR_UNSUPPORTED;
}

enum err pwdigest_base64_read(struct str text, bool padded, uint8_t out[PWDIGEST_BASE64_BYTES],
                              size_t *n)
{
    (void)text;
    (void)padded;
    (void)out;
    *n = 0;
    return ERR_UNSUPPORTED;
}

size_t pwdigest_base64_write(const uint8_t *p, size_t n, bool padded,
                             char out[PWDIGEST_BASE64_TEXT + 1])
{
    (void)p;
    (void)n;
    (void)padded;
    out[0] = '\0';
    return 0;
}
