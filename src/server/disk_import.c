/*
 * The import runs through a store of its own, so that its segments are like all others.
 */
#include "server/disk_import.h"

#include "server/disk_files.h"
#include "store/import.h"
#include "store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>

struct importer {
    const struct disk_import *in;
    struct disk_files files;
    struct store_io io;
    struct store *store;
    struct buf frame; /* given back by the store, to be filled again */
    uint64_t turn;
    int error; /* errno of what could not be written */
};

/* Do what there is to do, here and now. False: i->error. */
static bool drain(struct importer *i)
{
    struct store_job job;
    while (store_take_write(i->store, 0, &job) || store_take_background(i->store, 0, &job)) {
        store_run(&i->io, &job);
        store_done(i->store, 0, &job);
        i->error = store_failed(i->store) ? store_failed(i->store) : store_trouble(i->store);
        if (i->error) {
            return false;
        }
    }
    return true;
}

static enum err emit(void *ctx, struct str records)
{
    static const uint8_t room[STORE_FRAME_ROOM];
    struct importer *i = ctx;
    enum err e = buf_reserve(&i->frame, sizeof(room) + records.n);
    if (!e) {
        e = buf_add(&i->frame, room, sizeof(room));
    }
    if (!e) {
        e = buf_add(&i->frame, records.p, records.n);
    }
    if (e) {
        return e;
    }
    store_put(i->store, ++i->turn, &i->frame);
    return drain(i) ? ERR_OK : ERR_SYSTEM;
}

/* All must be on the disk before the file may be put aside. */
static enum err finish(struct importer *i)
{
    for (int round = 0; round < 2; round++) {
        store_sync_soon(i->store);
        if (!drain(i)) {
            return ERR_SYSTEM;
        }
        store_seal(i->store);
    }
    if (!store_is_clean(i->store)) {
        i->error = ENOSPC; /* max_size, which is no error of a write */
        return ERR_SYSTEM;
    }
    return ERR_OK;
}

static void log_counts(const struct disk_import *in, const struct import_counts *n)
{
    log_info(in->log,
             "Imported %s (format %u): %llu clients, %llu subscriptions, %llu messages, of which "
             "%llu retained, %llu times queued. Dropped: %llu expired, %llu without their message "
             "or client or with an unusable id or topic. Without their MQTT 5 properties: %llu.",
             in->name, n->format, (unsigned long long)n->clients,
             (unsigned long long)n->subscriptions, (unsigned long long)n->messages,
             (unsigned long long)n->retained, (unsigned long long)n->queued,
             (unsigned long long)n->expired, (unsigned long long)n->orphans,
             (unsigned long long)n->properties);
}

static enum err import_bytes(struct importer *i, struct str bytes)
{
    struct import_setup setup = {.bytes = bytes, .wall_s = i->in->wall_s, .emit = emit, .ctx = i};
    struct import_counts counts = {0};
    uint64_t where = 0;
    const char *what = "";
    enum err e = store_import(&setup, &counts, &where, &what);
    if (!e) {
        e = finish(i);
    }
    if (!e) {
        log_counts(i->in, &counts);
    } else if (e == ERR_MALFORMED) {
        log_error(i->in->log,
                  "Error: %s is damaged at offset %llu: %s. It was not imported, and nothing was "
                  "changed. To start without it, move it away.",
                  i->in->name, (unsigned long long)where, what);
    } else if (e == ERR_UNSUPPORTED) {
        log_error(i->in->log,
                  "Error: %s has format %u; 3 to 6 can be imported. Nothing was changed. To start "
                  "without it, move it away.",
                  i->in->name, counts.format);
    } else if (e == ERR_SYSTEM) {
        log_error(i->in->log, "Error: The import of %s cannot be written: %s.", i->in->name,
                  strerror(i->error));
    }
    return e;
}

static enum err import_into_store(const struct disk_import *in, struct str bytes)
{
    struct importer i = {.in = in};
    struct recovered none = {0};
    struct store_setup setup = {.sync_interval_ms = UINT32_MAX,
                                .segment_size = in->conf->persistence_segment_size,
                                .max_size = in->conf->persistence_max_size,
                                .max_unsynced = in->conf->persistence_max_unsynced,
                                .new_id = disk_new_id()};
    int dir = fcntl(in->dir, F_DUPFD_CLOEXEC, 0);
    if (dir < 0) {
        log_error(in->log, "Error: Cannot import %s: %s.", in->name, strerror(errno));
        return ERR_SYSTEM;
    }
    disk_files_init(&i.files, dir);
    i.io = disk_files_io(&i.files);
    i.store = store_new(&setup, &none);
    enum err e = ERR_NOMEM;
    if (i.store) {
        store_set_live(i.store, INT64_MAX); /* nothing is to be cleaned */
        e = import_bytes(&i, bytes);
        store_free(i.store);
    }
    buf_clear(&i.frame);
    disk_files_clear(&i.files);
    return e;
}

uint64_t disk_new_id(void)
{
    uint64_t id = 0;
    if (getrandom(&id, sizeof(id), 0) != (ssize_t)sizeof(id)) {
        abort(); /* so few bytes cannot fail */
    }
    return id ? id : 1;
}

enum err disk_import(const struct disk_import *in)
{
    struct stat st;
    if (fstat(in->file, &st) != 0) {
        log_error(in->log, "Error: Cannot read %s: %s.", in->name, strerror(errno));
        return ERR_SYSTEM;
    }
    if (st.st_size == 0) {
        log_warning(in->log, "Warning: %s is empty: there is nothing to import.", in->name);
        return ERR_OK;
    }
    size_t n = (size_t)st.st_size;
    void *bytes = mmap(NULL, n, PROT_READ, MAP_PRIVATE, in->file, 0);
    if (bytes == MAP_FAILED) {
        log_error(in->log, "Error: Cannot read %s: %s.", in->name, strerror(errno));
        return ERR_SYSTEM;
    }
    (void)madvise(bytes, n, MADV_SEQUENTIAL);
    enum err e = import_into_store(in, str_of(bytes, n));
    (void)munmap(bytes, n);
    return e;
}
