/*
 * What the files of a listener say: who may come in, and who may do what there.
 *
 * A realm is counted and never changes: when a file has changed there is another realm, and who
 * compares pointers (while holding the old one) sees that. Listeners that name the same file share
 * what was read. The realm of a listener hangs on its rules (conf_listener.realm).
 */
#ifndef AUTH_REALM_H
#define AUTH_REALM_H

#include "auth/acl.h"
#include "auth/pskfile.h"
#include "auth/pwfile.h"
#include "conf/conf.h"

#include <stdbool.h>
#include <stddef.h>

struct realm {
    uint32_t refs;
    struct pwfile *passwords; /* NULL: no password_file */
    struct acl *acl;          /* NULL: no acl_file; an empty file is one */
    struct pskfile *psk;      /* NULL: no psk_file */
};

struct realm_plan;

/*
 * Read and check the files of these listeners, whose rules must outlive the plan. What is wrong is
 * an error line on `log`, and then nothing has changed. ERR_INVAL, ERR_SYSTEM (a file cannot be
 * read), ERR_NOMEM. A file of secrets that everybody may read is a warning.
 */
MUST_CHECK enum err realms_prepare(struct conf_listener *const *listeners, size_t count,
                                   const struct log *log, struct realm_plan **out);
/*
 * The same while other realms are in force. A file that must be read and cannot be used is an error
 * line; where the same file is in force somewhere, and it may only not be read any more (a process
 * has given up root), or concerns no strict listener, it stays in force as it was, which is said,
 * and all else goes on.
 */
struct realm_renewal {
    struct conf_listener *const *listeners; /* that are to have other realms */
    size_t count;
    size_t strict; /* the first so many: whatever is wrong with their files is an error */
    struct conf_listener *const *former; /* whose realms are in force */
    size_t former_count;
    /* Must this file be read? Otherwise it is kept, if it is in force. NULL: all must; else it is
     * said which were read. */
    bool (*is_changed)(void *ctx, const char *path);
    void *ctx;
};
MUST_CHECK enum err realms_renew(const struct realm_renewal *r, const struct log *log,
                                 struct realm_plan **out);
/* Hang the new realms on their listeners; frees the plan. Cannot fail. */
void realms_commit(struct realm_plan *plan);
/* Forget the plan; NULL is allowed. */
void realms_drop(struct realm_plan *plan);

#endif
