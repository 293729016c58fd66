/*
 * Rules of each user.
 */
#include "auth/acl.h"

enum err acl_parse(struct str text, const char *path, const struct log *log, struct acl **out)
{
    (void)text;
    (void)path;
    (void)log;
    *out = NULL;
    return ERR_UNSUPPORTED;
}

struct acl *acl_ref(struct acl *a)
{
    return a;
}

void acl_unref(struct acl *a)
{
    (void)a;
}

const char *acl_path(const struct acl *a)
{
    (void)a;
    return "";
}

struct acl_who acl_who(const struct acl *a, struct str user, struct str client)
{
    (void)a;
    return (struct acl_who){.user = user, .client = client};
}

struct acl_verdict acl_decide(const struct acl *a, const struct acl_who *who, enum acl_right right,
                              struct str topic)
{
    (void)a;
    (void)who;
    (void)right;
    (void)topic;
    return (struct acl_verdict){0};
}

struct acl_verdict acl_decide_filter(const struct acl *a, const struct acl_who *who,
                                     struct str filter)
{
    (void)a;
    (void)who;
    (void)filter;
    return (struct acl_verdict){0};
}
