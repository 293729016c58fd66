/*
 * The forms of a hash, and which of them this build can check.
 *
 * A form is read field by field, each between two dollars; what does not read exactly so is an
 * error and never a password that happens to look like a hash.
 */
#include "auth/pwhash.h"

#include "auth/pwdigest.h"
#include "base/feature.h"

#include <stdio.h>

#define SALT_MIN 8
#define HASH_MIN 16
/* Twelve is what every Mosquitto can read. Argon2id is read by those alone that write 64. */
#define SALT_BYTES 12
#define SALT_BYTES_ARGON2ID 64

/* What a password costs that is stored with Argon2id today (OWASP's first choice for one lane). */
static const struct argon2id_cost argon2id_usual = {.memory_kib = 47104, .passes = 1, .lanes = 1};

static const char *const prefixes[] = {
    [PWHASH_SHA512] = "$6$", [PWHASH_PBKDF2] = "$7$", [PWHASH_ARGON2ID] = "$argon2id$"};

#define TEXT_OF_(x) #x
#define TEXT_OF(x) TEXT_OF_(x)

const char *pwhash_missing(enum pwhash_kind kind)
{
    if (kind != PWHASH_PLAIN && !feature_built(FEATURE_TLS))
        return feature_switch(FEATURE_TLS);
    if (kind == PWHASH_ARGON2ID && !feature_built(FEATURE_ARGON2))
        return feature_switch(FEATURE_ARGON2);
    return NULL;
}

void pwhash_wipe(void *p, size_t n)
{
    explicit_bzero(p, n);
}

/* --- reading --- */

/* Is it a hash of some other program, such as $2y$… of crypt(3)? */
static bool looks_hashed(struct str s)
{
    size_t i = 1;

    while (i < s.n && i <= 16 &&
           ((s.p[i] >= 'a' && s.p[i] <= 'z') || (s.p[i] >= '0' && s.p[i] <= '9') || s.p[i] == '-'))
        i++;
    return i > 1 && i < s.n && s.p[0] == '$' && s.p[i] == '$';
}

enum pwhash_kind pwhash_kind_of(struct str text)
{
    for (int kind = PWHASH_SHA512; kind <= PWHASH_ARGON2ID; kind++)
        if (str_has_prefix(text, str_c(prefixes[kind])))
            return (enum pwhash_kind)kind;
    return PWHASH_PLAIN;
}

/* Cut off what stands before the next dollar; false: there is none. */
static bool cut_field(struct str *rest, struct str *field)
{
    const char *dollar = rest->n > 0 ? memchr(rest->p, '$', rest->n) : NULL;

    if (!dollar)
        return false;
    *field = str_of(rest->p, (size_t)(dollar - rest->p));
    *rest = str_of(dollar + 1, rest->n - field->n - 1);
    return true;
}

/* Digits alone, and not too many. */
static bool read_number(struct str s, uint32_t min, uint32_t max, uint32_t *value)
{
    uint64_t n = 0;

    if (s.n == 0 || s.n > 10)
        return false;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] < '0' || s.p[i] > '9')
            return false;
        n = n * 10 + (uint64_t)(s.p[i] - '0');
    }
    *value = (uint32_t)n;
    return n >= min && n <= max;
}

static const char *read_bytes(struct str text, bool padded, uint8_t out[64], uint8_t *length)
{
    size_t n;

    if (pwdigest_base64_read(text, padded, out, &n))
        return padded ? "its salt or its hash is not base64 of at most 64 bytes"
                      : "its salt or its hash is not base64 without padding, of at most 64 bytes";
    *length = (uint8_t)n;
    return NULL;
}

/* SALT$HASH; NULL, or what is wrong. */
static const char *read_salt_and_hash(struct str rest, struct pwhash *h)
{
    bool padded = h->kind != PWHASH_ARGON2ID;
    struct str salt;
    const char *wrong;

    if (!cut_field(&rest, &salt))
        return "it ends before its hash";
    wrong = read_bytes(salt, padded, h->salt, &h->salt_len);
    if (!wrong)
        wrong = read_bytes(rest, padded, h->hash, &h->hash_len);
    if (wrong)
        return wrong;
    if (h->salt_len < SALT_MIN)
        return "its salt is shorter than 8 bytes";
    if (h->hash_len < (h->kind == PWHASH_SHA512 ? PWDIGEST_BYTES : HASH_MIN))
        return "its hash is too short";
    return NULL;
}

static const char *read_rounds(struct str *rest, struct pwhash *h)
{
    struct str rounds;

    if (!cut_field(rest, &rounds) || !read_number(rounds, 1, PWHASH_ROUNDS_MAX, &h->rounds))
        return "its number of rounds is not one from 1 to " TEXT_OF(PWHASH_ROUNDS_MAX);
    return NULL;
}

/* `m=…,t=…,p=…` in this order. */
static bool read_cost(struct str s, struct argon2id_cost *cost)
{
    static const char *const names[] = {"m=", "t=", "p="};
    uint32_t *const values[] = {&cost->memory_kib, &cost->passes, &cost->lanes};
    static const uint32_t most[] = {PWHASH_ARGON2_KIB_MAX, PWHASH_ARGON2_WORK_MAX,
                                    PWHASH_ARGON2_LANES_MAX};

    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        const char *comma = s.n > 0 ? memchr(s.p, ',', s.n) : NULL;
        size_t n = comma ? (size_t)(comma - s.p) : s.n;

        if (!comma != (i == ARRAY_SIZE(names) - 1) || n < 2 || memcmp(s.p, names[i], 2) != 0 ||
            !read_number(str_of(s.p + 2, n - 2), 1, most[i], values[i]))
            return false;
        if (comma)
            s = str_of(comma + 1, s.n - n - 1);
    }
    return cost->memory_kib >= 8 * cost->lanes &&
           (uint64_t)cost->memory_kib * cost->passes <= PWHASH_ARGON2_WORK_MAX;
}

static const char *read_argon2id(struct str *rest, struct pwhash *h)
{
    struct str version;
    struct str cost;

    if (!cut_field(rest, &version) || !str_eq(version, STR("v=19")))
        return "its version of Argon2 is not v=19";
    if (!cut_field(rest, &cost) || !read_cost(cost, &h->cost))
        return "its cost is not m=KIB,t=PASSES,p=LANES within the limits (p at most 64; m at least "
               "8 for each lane, at most 1048576; m times t at most 4194304)";
    return NULL;
}

static enum err read_plain(struct str text, struct pwhash *out, const char **why)
{
    if (text.n == 0) {
        *why = "there is no password";
        return ERR_MALFORMED;
    }
    if (looks_hashed(text)) {
        *why = "this kind of hash is not known ($6$, $7$ and $argon2id$ are)";
        return ERR_MALFORMED;
    }
    out->text = text;
    return ERR_OK;
}

enum err pwhash_parse(struct str text, struct pwhash *out, const char **why)
{
    struct str rest;

    *out = (struct pwhash){.kind = pwhash_kind_of(text)};
    if (out->kind == PWHASH_PLAIN)
        return read_plain(text, out, why);
    if (pwhash_missing(out->kind)) {
        *why = feature_built(FEATURE_TLS) ? "hashes of Argon2id need a build with WITH_ARGON2=yes"
                                          : "hashes need a build with WITH_TLS=yes";
        return ERR_UNSUPPORTED;
    }
    rest = str_of(text.p + strlen(prefixes[out->kind]), text.n - strlen(prefixes[out->kind]));
    *why = NULL;
    if (out->kind == PWHASH_PBKDF2)
        *why = read_rounds(&rest, out);
    else if (out->kind == PWHASH_ARGON2ID)
        *why = read_argon2id(&rest, out);
    if (!*why)
        *why = read_salt_and_hash(rest, out);
    return *why ? ERR_MALFORMED : ERR_OK;
}

/* --- checking --- */

static enum err digest(const struct pwhash *h, struct str password, uint8_t *out)
{
    struct str salt = str_of((const char *)h->salt, h->salt_len);

    switch (h->kind) {
    case PWHASH_SHA512:
        return pwdigest_sha512(password, salt, out);
    case PWHASH_PBKDF2:
        return pwdigest_pbkdf2(password, salt, h->rounds, out, h->hash_len);
    case PWHASH_ARGON2ID:
        return argon2id(password, salt, h->cost, out, h->hash_len);
    default:
        return ERR_INVAL;
    }
}

/* How long this takes says nothing about where they differ. */
static bool same_bytes(const uint8_t *a, const uint8_t *b, size_t n)
{
    volatile uint8_t differ = 0;

    for (size_t i = 0; i < n; i++)
        differ = (uint8_t)(differ | (a[i] ^ b[i]));
    return differ == 0;
}

/* … nor about how much of a stored password was right, or how long that is. */
static bool same_text(struct str stored, struct str given)
{
    volatile uint8_t differ = stored.n != given.n;

    if (stored.n == 0)
        return false;
    for (size_t i = 0; i < given.n; i++)
        differ = (uint8_t)(differ | (given.p[i] ^ stored.p[i % stored.n]));
    return differ == 0;
}

bool pwhash_matches(const struct pwhash *h, struct str password)
{
    uint8_t found[64];
    bool same;

    if (h->kind == PWHASH_PLAIN)
        return same_text(h->text, password);
    same = digest(h, password, found) == ERR_OK && same_bytes(found, h->hash, h->hash_len);
    pwhash_wipe(found, sizeof(found));
    return same;
}

/* --- making --- */

static enum err fill(struct pwhash *h, struct str password)
{
    bool argon = h->kind == PWHASH_ARGON2ID;
    enum err e;

    h->cost = argon2id_usual;
    h->salt_len = argon ? SALT_BYTES_ARGON2ID : SALT_BYTES;
    h->hash_len = PWDIGEST_BYTES;
    e = pwdigest_random(h->salt, h->salt_len);
    return e ? e : digest(h, password, h->hash);
}

static void spell(const struct pwhash *h, char out[PWHASH_TEXT_MAX])
{
    bool padded = h->kind != PWHASH_ARGON2ID;
    char salt[PWDIGEST_BASE64_TEXT + 1];
    char hash[PWDIGEST_BASE64_TEXT + 1];
    char cost[64] = "";

    (void)pwdigest_base64_write(h->salt, h->salt_len, padded, salt);
    (void)pwdigest_base64_write(h->hash, h->hash_len, padded, hash);
    if (h->kind == PWHASH_PBKDF2)
        (void)snprintf(cost, sizeof(cost), "%u$", h->rounds);
    else if (h->kind == PWHASH_ARGON2ID)
        (void)snprintf(cost, sizeof(cost), "v=19$m=%u,t=%u,p=%u$", h->cost.memory_kib,
                       h->cost.passes, h->cost.lanes);
    (void)snprintf(out, PWHASH_TEXT_MAX, "%s%s%s$%s", prefixes[h->kind], cost, salt, hash);
    pwhash_wipe(hash, sizeof(hash));
}

enum err pwhash_make(enum pwhash_kind kind, uint32_t rounds, struct str password,
                     char out[PWHASH_TEXT_MAX])
{
    struct pwhash h = {.kind = kind, .rounds = rounds};
    enum err e;

    out[0] = '\0';
    if (pwhash_missing(kind))
        return ERR_UNSUPPORTED;
    if (kind == PWHASH_PLAIN ||
        (kind == PWHASH_PBKDF2 && (rounds < 1 || rounds > PWHASH_ROUNDS_MAX)))
        return ERR_INVAL;
    e = fill(&h, password);
    if (!e)
        spell(&h, out);
    pwhash_wipe(&h, sizeof(h));
    return e;
}
