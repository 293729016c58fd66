/*
 * The forms of a hash, and which of them this build can check.
 */
#include "auth/pwhash.h"

#include <string.h>

enum err pwhash_parse(struct str text, struct pwhash *out, const char **why)
{
    (void)why;
    *out = (struct pwhash){.kind = PWHASH_PLAIN, .text = text};
    return ERR_OK;
}

bool pwhash_matches(const struct pwhash *h, struct str password)
{
    return str_eq(h->text, password);
}

enum err pwhash_make(enum pwhash_kind kind, uint32_t rounds, struct str password,
                     char out[PWHASH_TEXT_MAX])
{
    (void)kind;
    (void)rounds;
    (void)password;
    out[0] = '\0';
    return ERR_UNSUPPORTED;
}

void pwhash_wipe(void *p, size_t n)
{
    explicit_bzero(p, n);
}
