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
#include "server/privileges.h"

#include <limits.h>
#include <stdint.h>

struct disk_place {
    int dir;             /* the locked directory */
    char name[PATH_MAX]; /* its path, printable, for the log */
};

/*
 * Before privileges_drop(); what is root's is given to the user that we are to become.
 *
 * ERR_OK: out->dir is the caller's. Otherwise an error was logged: ERR_SYSTEM, ERR_EXISTS (another
 * broker), ERR_MALFORMED and ERR_UNSUPPORTED (the mosquitto.db cannot be read; nothing was
 * changed), ERR_NOMEM (not logged).
 */
MUST_CHECK enum err disk_place_find(const struct conf_global *g, const struct log *log,
                                    const struct privileges *who, int64_t wall_s,
                                    struct disk_place *out);
/* After it: may we write there? Better known now than when the first message comes. ERR_SYSTEM: an
 * error was logged. */
MUST_CHECK enum err disk_place_check(const struct disk_place *p, const struct log *log);
/* "Cannot VERB PATH", for errno `why`; where rights are lacking it says whose. */
void disk_place_log_error(const struct log *log, const char *verb, const char *path, int why);

#endif
