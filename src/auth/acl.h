/*
 * An ACL file: who may read and write which topics.
 *
 *     topic [read|write|readwrite|deny] FILTER      of clients without user name, or behind
 *     user NAME                                     … of this user
 *     pattern [read|write|readwrite|deny] FILTER    of everybody; %c is the client id, %u the user
 *
 * What is said of the user (or of clients without a name) is asked first, denials before grants,
 * then the patterns in the same way; what nothing grants is denied, so an empty file denies all. A
 * wildcard at the beginning of a filter stands for no level that begins with $. Names and ids that
 * take the place of %u and %c are literals; and in a file with patterns a client with a + or # in
 * its name or id is denied whatever its own rules do not decide (CVE-2017-7650). A pattern with %u
 * says nothing of clients without a name.
 *
 * A user's rules are a small tree of levels, so that the number of rules, and of users, does not
 * matter; patterns are gone through one by one.
 */
#ifndef AUTH_ACL_H
#define AUTH_ACL_H

#include "base/err.h"
#include "base/log.h"
#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>

enum acl_right { ACL_READ = 1 << 0, ACL_WRITE = 1 << 1 };

struct acl;
struct acl_rules;

/* Somebody whose rights are asked for; its texts are views. */
struct acl_who {
    struct str user;               /* n == 0: none */
    struct str client;             /* id */
    bool dangerous;                /* a + or # in one of them */
    const struct acl_rules *rules; /* its own, found once; NULL: there are none */
};

struct acl_verdict {
    bool granted;
    bool dangerous; /* denied for a + or # in its name or id, because the file has patterns */
    uint32_t line;  /* of the file, that decided; 0: no line matched */
};

/* One reference. Every fault is an error line on `log`: "Error: PATH:LINE: …". ERR_INVAL,
 * ERR_NOMEM.
 */
MUST_CHECK enum err acl_parse(struct str text, const char *path, const struct log *log,
                              struct acl **out);
struct acl *acl_ref(struct acl *a);
void acl_unref(struct acl *a); /* NULL is allowed */
/* As it was given, printable. */
const char *acl_path(const struct acl *a);
/* A line of the file, without blanks at its ends, as it is: not printable. Takes as long as the
 * file is. */
struct str acl_line(const struct acl *a, uint32_t line);
/* Of the texts, which must outlive the answer; as must the ACL. */
struct acl_who acl_who(const struct acl *a, struct str user, struct str client);
/* A topic name, valid. */
struct acl_verdict acl_decide(const struct acl *a, const struct acl_who *who, enum acl_right right,
                              struct str topic);
/*
 * Could anything that this filter (valid, without $share/GROUP/) matches be read? Denied only when
 * surely nothing could: the line is that of a denial which covers all of it, or 0.
 */
struct acl_verdict acl_decide_filter(const struct acl *a, const struct acl_who *who,
                                     struct str filter);

#endif
