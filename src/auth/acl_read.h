/*
 * The lines of an ACL file.
 *
 * A line is split at blanks (spaces, tabs); a name and a topic run to the end of the line without
 * the blanks there, and may have blanks within. Comments begin with # as the first character.
 */
#ifndef AUTH_ACL_READ_H
#define AUTH_ACL_READ_H

#include "auth/acl_table.h"
#include "base/err.h"
#include "base/log.h"
#include "base/str.h"

/*
 * Into a draft that refers to the text. Faults are error lines, what is legal but can hardly be
 * meant is a warning; both begin with `path` (printable) and the line. ERR_INVAL, ERR_NOMEM.
 */
MUST_CHECK enum err acl_read(struct str text, const char *path, const struct log *log,
                             struct acl_draft *draft);

#endif
