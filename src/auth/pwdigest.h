/*
 * What is needed of a cryptographic library to hash passwords: OpenSSL's SHA-512, PBKDF2, base64
 * and random numbers. The twin without it answers ERR_UNSUPPORTED to everything that can fail.
 *
 * Nothing is kept between calls, so that any thread may call.
 */
#ifndef AUTH_PWDIGEST_H
#define AUTH_PWDIGEST_H

#include "base/err.h"
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PWDIGEST_BYTES 64 /* of SHA-512 */

/* SHA-512(password ‖ salt). ERR_NOMEM. */
MUST_CHECK enum err pwdigest_sha512(struct str password, struct str salt,
                                    uint8_t out[PWDIGEST_BYTES]);
/* PBKDF2-HMAC-SHA512, n bytes of it; rounds >= 1. ERR_NOMEM. */
MUST_CHECK enum err pwdigest_pbkdf2(struct str password, struct str salt, uint32_t rounds,
                                    uint8_t *out, size_t n);
/* n bytes that nobody can guess. ERR_SYSTEM: the system has none. */
MUST_CHECK enum err pwdigest_random(uint8_t *out, size_t n);

/* The most that can be read or written in one go. */
#define PWDIGEST_BASE64_BYTES 64
#define PWDIGEST_BASE64_TEXT 88
/*
 * Base64 to at most PWDIGEST_BASE64_BYTES bytes, *n of them. Only the one spelling that
 * pwdigest_base64_write gives: ERR_MALFORMED for blanks, other padding or stray bits; ERR_TOO_LARGE
 * for more bytes.
 */
MUST_CHECK enum err pwdigest_base64_read(struct str text, bool padded,
                                         uint8_t out[PWDIGEST_BASE64_BYTES], size_t *n);
/* n <= PWDIGEST_BASE64_BYTES bytes as terminated text; returns its length, 0 without the library.
 */
size_t pwdigest_base64_write(const uint8_t *p, size_t n, bool padded,
                             char out[PWDIGEST_BASE64_TEXT + 1]);

#endif
