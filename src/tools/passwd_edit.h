/*
 * The text of a password file, with one user changed or all passwords hashed. Every other line
 * stays as it is, comments too.
 */
#ifndef TOOLS_PASSWD_EDIT_H
#define TOOLS_PASSWD_EDIT_H

#include "auth/pwhash.h"
#include "base/buf.h"

#include <stdbool.h>
#include <stddef.h>

/*
 * All append the new text to `out`, which is allocated once, so that no copy of a password is left
 * behind. ERR_MALFORMED: a line is wrong, and it has been said which one of the file `path`;
 * ERR_NOMEM.
 */

/* The user's line with this hash, in the place of his first one, or at the end. *found: he had one.
 */
MUST_CHECK enum err passwd_edit_set(struct str text, const char *path, struct str user,
                                    const char *hash, struct buf *out, bool *found);
/* Without this user's lines. */
MUST_CHECK enum err passwd_edit_delete(struct str text, const char *path, struct str user,
                                       struct buf *out, bool *found);

struct passwd_counts {
    size_t hashed, left; /* passwords that were not hashed, and those that already were */
};
/* Each password that is not hashed, hashed. Also what pwhash_make answers. */
MUST_CHECK enum err passwd_edit_hash_all(struct str text, const char *path, enum pwhash_kind kind,
                                         uint32_t rounds, struct buf *out,
                                         struct passwd_counts *counts);

#endif
