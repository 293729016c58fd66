/*
 * What recovery changes on the disk, once it has decided: the tail goes, fillers come in the place
 * of what cannot be read. Errors have been logged.
 */
#ifndef STORE_MEND_H
#define STORE_MEND_H

#include "store/scan.h"

/*
 * Everything from this position on: later segments are removed, the one that holds it is cut; the
 * first segment keeps its header. Synced, so that nothing of the tail can come back behind frames
 * that will be written in its place.
 */
MUST_CHECK enum err mend_cut(struct scan *s, uint64_t position);
/* A filler instead of the bad place, in its file; a copy of that is kept. */
MUST_CHECK enum err mend_fill(struct scan *s, const struct scan_bad *bad);
/* A segment of fillers where a whole one is missing. */
MUST_CHECK enum err mend_missing(struct scan *s, uint64_t begin, uint64_t end);
/* Keep a copy of a file, once. */
MUST_CHECK enum err mend_copy(struct scan *s, struct scan_file *f);
MUST_CHECK enum err mend_remove(struct scan *s, uint64_t segment);
MUST_CHECK enum err mend_sync(struct scan *s, uint64_t segment);

#endif
