/*
 * A password file: `user:hash` on each line, blank lines and lines that begin with # left out
 * (auth/pwline.h; the hashes: auth/pwhash.h). Read whole and checked before it is used: a line that
 * does not parse is an error with its number, never a user without a password (CVE-2018-12551).
 */
#ifndef AUTH_PWFILE_H
#define AUTH_PWFILE_H

#include "auth/pwhash.h"
#include "base/err.h"
#include "base/log.h"
#include "base/str.h"

#include <stddef.h>

struct pwfile;

/*
 * One reference; nothing in it points into `text`. A fault is an error line on `log`:
 * "Error: PATH:LINE: …"; after 20 of them one more says how many there are. A name that is there
 * twice: the first counts, the second is a warning. Passwords that are not hashed are one warning.
 * ERR_INVAL, ERR_NOMEM.
 */
MUST_CHECK enum err pwfile_parse(struct str text, const char *path, const struct log *log,
                                 struct pwfile **out);
struct pwfile *pwfile_ref(struct pwfile *f);
/* NULL is allowed; the hashes are overwritten when the last one goes. */
void pwfile_unref(struct pwfile *f);
/* NULL: there is no such user. Valid while the file is held. */
const struct pwhash *pwfile_find(const struct pwfile *f, struct str user);
/*
 * For a user that is not there: the hash of one who is, always the same for the same name, so that
 * the answer takes as long. Chosen evenly, so that strangers meet each kind of hash as often as it
 * is in the file. NULL: the file has no users at all.
 */
const struct pwhash *pwfile_decoy(const struct pwfile *f, struct str user);
size_t pwfile_count(const struct pwfile *f);

#endif
