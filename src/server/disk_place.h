/*
 * Where the store lives: its directory is found, or made, or filled from a mosquitto.db; and
 * locked.
 *
 *     LOCATION/FILE.journal          the store
 *     LOCATION/FILE.journal.import   a store in the making, of no worth as long as FILE is there
 *     LOCATION/FILE                  Mosquitto's own file: read once, then called FILE.imported
 *
 * The lock (flock) is on the directory's descriptor and goes with it through the renaming.
 */
#ifndef SERVER_DISK_PLACE_H
#define SERVER_DISK_PLACE_H

#include "base/err.h"
#include "base/log.h"
#include "conf/conf.h"

#include <limits.h>
#include <stdint.h>

struct disk_place {
    int dir;             /* the locked directory */
    char name[PATH_MAX]; /* its path, printable, for the log */
};

/*
 * ERR_OK: out->dir is the caller's. Otherwise an error was logged: ERR_SYSTEM, ERR_EXISTS (another
 * broker), ERR_MALFORMED and ERR_UNSUPPORTED (the mosquitto.db cannot be read; nothing was
 * changed), ERR_NOMEM (not logged).
 */
MUST_CHECK enum err disk_place_open(const struct conf_global *g, const struct log *log,
                                    int64_t wall_s, struct disk_place *out);

#endif
