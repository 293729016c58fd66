/*
 * A file of pre-shared keys: `identity:hexkey` on each line, blank lines and lines that begin with
 * # left out. Blanks at either end of both are not part of them; an identity may have some within,
 * but no colon. A key has 1 to PSK_KEY_MAX bytes; leading zero bytes are part of it.
 */
#ifndef AUTH_PSKFILE_H
#define AUTH_PSKFILE_H

#include "base/err.h"
#include "base/log.h"
#include "base/str.h"

#include <stddef.h>
#include <stdint.h>

#define PSK_KEY_MAX 256 /* bytes */

struct pskfile;

/*
 * One reference; nothing in it points into `text`. A fault is an error line on `log`:
 * "Error: PATH:LINE: …"; after 20 of them one more says how many there are. No line shows a key. An
 * identity that is there twice: the first counts, the second is a warning. Short keys are one
 * warning. ERR_INVAL, ERR_NOMEM.
 */
MUST_CHECK enum err pskfile_parse(struct str text, const char *path, const struct log *log,
                                  struct pskfile **out);
struct pskfile *pskfile_ref(struct pskfile *f);
/* NULL is allowed; keys are overwritten when the last one goes. */
void pskfile_unref(struct pskfile *f);
/* The key of an identity, as bytes; p == NULL: there is none. Valid while the file is held. */
struct str pskfile_find(const struct pskfile *f, struct str identity);
size_t pskfile_count(const struct pskfile *f);

#endif
