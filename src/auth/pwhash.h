/*
 * Hashed passwords: to check one, and to make one.
 *
 * Forms (of a password file, behind the colon):
 *     $6$SALT$HASH              SHA-512(password ‖ salt), one round
 *     $7$ROUNDS$SALT$HASH       PBKDF2-HMAC-SHA512
 *     $argon2id$v=19$m=,t=,p=$SALT$HASH   the PHC string of Argon2id
 *     $WORD$…                   a kind of hash that is not known: an error, not a password
 *     anything else             the password itself
 * SALT and HASH are base64 with padding, but of argon2id without. Salts have 8 to 64 bytes, hashes
 * 16 to 64, that of $6$ exactly 64. What a hash may cost is bounded by the constants below, so that
 * no line of a file can keep a processor or the memory for itself.
 *
 * Checking one is meant to take long: never on the thread that serves clients. It reads nothing but
 * what it is given, so it may be done on any thread.
 */
#ifndef AUTH_PWHASH_H
#define AUTH_PWHASH_H

#include "auth/argon2id.h"
#include "base/err.h"
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum pwhash_kind { PWHASH_PLAIN, PWHASH_SHA512, PWHASH_PBKDF2, PWHASH_ARGON2ID };

/* Some seconds of one processor each. */
#define PWHASH_ROUNDS_MAX 10000000
#define PWHASH_ARGON2_KIB_MAX 1048576   /* memory */
#define PWHASH_ARGON2_WORK_MAX 4194304U /* memory in KiB times passes */
#define PWHASH_ARGON2_LANES_MAX 64

struct pwhash {
    enum pwhash_kind kind;
    uint32_t rounds;           /* of PBKDF2 */
    struct argon2id_cost cost; /* of ARGON2ID */
    struct str text;           /* the password, for PLAIN; a view into what it was parsed from */
    uint8_t salt[64], hash[64];
    uint8_t salt_len, hash_len;
};

/* Which of the forms it begins like; no more than that is looked at. */
enum pwhash_kind pwhash_kind_of(struct str text);
/*
 * ERR_MALFORMED: it begins like one of these forms and is none; *why says what is wrong, as a
 * phrase. ERR_UNSUPPORTED: this build cannot check it; *why names the switch. `text` must outlive
 * *out.
 */
MUST_CHECK enum err pwhash_parse(struct str text, struct pwhash *out, const char **why);
/* Is it this password? Takes the same time for every password of the same length. Without memory:
 * no. */
bool pwhash_matches(const struct pwhash *h, struct str password);

/* Rounds of PBKDF2, unless others are asked for. */
#define PWHASH_ROUNDS 210000
#define PWHASH_TEXT_MAX 320
/*
 * The hash of a password with a fresh salt, as text for a password file, terminated. `rounds` is
 * for PBKDF2 only: 1 to PWHASH_ROUNDS_MAX. ERR_INVAL: other rounds, or a kind that is no hash;
 * ERR_UNSUPPORTED: not in this build; ERR_NOMEM; ERR_SYSTEM: there are no random numbers.
 */
MUST_CHECK enum err pwhash_make(enum pwhash_kind kind, uint32_t rounds, struct str password,
                                char out[PWHASH_TEXT_MAX]);
/* The switch without which this build knows nothing of such hashes; NULL: it knows them. */
const char *pwhash_missing(enum pwhash_kind kind);
/* Overwrite what was secret; not optimised away. */
void pwhash_wipe(void *p, size_t n);

#endif
