/*
 * Mosquitto's own persistence file into an empty directory, as a store.
 */
#ifndef SERVER_DISK_IMPORT_H
#define SERVER_DISK_IMPORT_H

#include "base/err.h"
#include "base/log.h"
#include "conf/conf.h"

#include <stdint.h>

struct disk_import {
    const struct conf_global *conf;
    const struct log *log;
    const char *name; /* of the file, printable */
    int file;         /* open for reading */
    int dir;          /* empty */
    int64_t wall_s;
};

/* For a store that begins: random, not 0. */
uint64_t disk_new_id(void);

/* All is written and synced, and the counts are on the log; or an error is (not ERR_NOMEM). Closes
 * neither descriptor. */
MUST_CHECK enum err disk_import(const struct disk_import *in);

#endif
