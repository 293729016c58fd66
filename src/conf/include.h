/*
 * include_dir: more files, read where the line stands.
 */
#ifndef CONF_INCLUDE_H
#define CONF_INCLUDE_H

#include "conf/draft.h"

/* Takes the lines of the file that d->at names. */
typedef enum err include_reader(struct draft *d, struct str text);

/*
 * Have all files of this directory read whose names end in .conf, in Mosquitto's order: letter by
 * letter as the alphabet goes, and of the same letter the capital first. What cannot be read is an
 * error of the draft. ERR_NOMEM.
 */
MUST_CHECK enum err include_directory(struct draft *d, struct str path, include_reader *reader);

#endif
