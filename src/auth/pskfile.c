/*
 * Keys by identity.
 */
#include "auth/pskfile.h"

enum err pskfile_parse(struct str text, const char *path, const struct log *log,
                       struct pskfile **out)
{
    (void)text;
    (void)path;
    (void)log;
    *out = NULL;
    return ERR_UNSUPPORTED;
}

struct pskfile *pskfile_ref(struct pskfile *f)
{
    return f;
}

void pskfile_unref(struct pskfile *f)
{
    (void)f;
}

struct str pskfile_find(const struct pskfile *f, struct str identity)
{
    (void)f;
    (void)identity;
    return (struct str){0};
}

size_t pskfile_count(const struct pskfile *f)
{
    (void)f;
    return 0;
}
