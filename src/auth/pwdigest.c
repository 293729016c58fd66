/*
 * OpenSSL's half of password hashing.
 *
 * OpenSSL keeps a queue of errors for each thread, where whoever calls next would find ours: it is
 * emptied after each failure.
 */
#include "auth/pwdigest.h"

#include <limits.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

/* The calls used here fail for want of memory, and for nothing that was handed to them. */
static enum err outcome(bool done)
{
    if (!done)
        ERR_clear_error();
    return done ? ERR_OK : ERR_NOMEM;
}

enum err pwdigest_sha512(struct str password, struct str salt, uint8_t out[PWDIGEST_BYTES])
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool done = ctx && EVP_DigestInit_ex(ctx, EVP_sha512(), NULL) == 1 &&
                EVP_DigestUpdate(ctx, password.p, password.n) == 1 &&
                EVP_DigestUpdate(ctx, salt.p, salt.n) == 1 &&
                EVP_DigestFinal_ex(ctx, out, NULL) == 1;

    EVP_MD_CTX_free(ctx);
    return outcome(done);
}

enum err pwdigest_pbkdf2(struct str password, struct str salt, uint32_t rounds, uint8_t *out,
                         size_t n)
{
    if (password.n > INT_MAX || salt.n > INT_MAX || n > INT_MAX || rounds > INT_MAX || rounds == 0)
        return ERR_INVAL;
    return outcome(PKCS5_PBKDF2_HMAC(password.p ? password.p : "", (int)password.n,
                                     (const unsigned char *)salt.p, (int)salt.n, (int)rounds,
                                     EVP_sha512(), (int)n, out) == 1);
}

enum err pwdigest_random(uint8_t *out, size_t n)
{
    return outcome(RAND_bytes(out, (int)n) == 1) ? ERR_SYSTEM : ERR_OK;
}

size_t pwdigest_base64_write(const uint8_t *p, size_t n, bool padded,
                             char out[PWDIGEST_BASE64_TEXT + 1])
{
    size_t length = (size_t)EVP_EncodeBlock((unsigned char *)out, p, (int)n);

    while (!padded && length > 0 && out[length - 1] == '=')
        length--;
    out[length] = '\0';
    return length;
}

/* Text of whole groups of four, as OpenSSL wants it; the bytes that padding stands for count too.
 */
static enum err decode(const char *text, size_t length, uint8_t *out, size_t *n)
{
    uint8_t bytes[PWDIGEST_BASE64_TEXT / 4 * 3];
    size_t padding = 0;
    int got = EVP_DecodeBlock(bytes, (const unsigned char *)text, (int)length);

    while (padding < 2 && padding < length && text[length - 1 - padding] == '=')
        padding++;
    *n = got < (int)padding ? 0 : (size_t)got - padding;
    if (got >= 0 && *n <= PWDIGEST_BASE64_BYTES)
        memcpy(out, bytes, *n);
    OPENSSL_cleanse(bytes, sizeof(bytes));
    if (got < 0)
        return ERR_MALFORMED;
    return *n <= PWDIGEST_BASE64_BYTES ? ERR_OK : ERR_TOO_LARGE;
}

/* OpenSSL forgives blanks and stray bits. Who writes back what was read sees whether it did. */
static bool spelled_so(struct str text, bool padded, const uint8_t *p, size_t n)
{
    char again[PWDIGEST_BASE64_TEXT + 1];
    size_t length = pwdigest_base64_write(p, n, padded, again);
    bool same = str_eq(text, str_of(again, length));

    OPENSSL_cleanse(again, sizeof(again));
    return same;
}

enum err pwdigest_base64_read(struct str text, bool padded, uint8_t out[PWDIGEST_BASE64_BYTES],
                              size_t *n)
{
    char whole[PWDIGEST_BASE64_TEXT];
    size_t length = (text.n + 3) / 4 * 4;
    enum err e;

    *n = 0;
    if (text.n == 0 || (padded && text.n % 4 != 0))
        return ERR_MALFORMED;
    if (length > sizeof(whole))
        return ERR_TOO_LARGE;
    memset(whole, '=', sizeof(whole));
    memcpy(whole, text.p, text.n);
    e = decode(whole, length, out, n);
    OPENSSL_cleanse(whole, sizeof(whole));
    if (!e && !spelled_so(text, padded, out, *n))
        e = ERR_MALFORMED;
    return e;
}
