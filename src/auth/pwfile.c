/*
 * Users by name.
 */
#include "auth/pwfile.h"

enum err pwfile_parse(struct str text, const char *path, const struct log *log,
                      struct pwfile **out)
{
    (void)text;
    (void)path;
    (void)log;
    *out = NULL;
    return ERR_UNSUPPORTED;
}

struct pwfile *pwfile_ref(struct pwfile *f)
{
    return f;
}

void pwfile_unref(struct pwfile *f)
{
    (void)f;
}

const struct pwhash *pwfile_find(const struct pwfile *f, struct str user)
{
    (void)f;
    (void)user;
    return NULL;
}

const struct pwhash *pwfile_decoy(const struct pwfile *f, struct str user)
{
    (void)f;
    (void)user;
    return NULL;
}

size_t pwfile_count(const struct pwfile *f)
{
    (void)f;
    return 0;
}
