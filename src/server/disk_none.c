/*
 * Without persistence nothing is stored: the configuration has refused `persistence true`.
 */
#include "server/disk.h"

enum err disk_find(struct disk **out, const struct conf *conf, const struct log *log,
                   const struct privileges *who, int64_t wall_s)
{
    (void)conf, (void)log, (void)who, (void)wall_s;
    *out = NULL;
    return ERR_OK;
}

enum err disk_open(struct disk *d, const struct conf *conf, struct broker *broker,
                   struct poll *poll, unsigned char watch_kind, int64_t wall_s)
{
    (void)d, (void)conf, (void)broker, (void)poll, (void)watch_kind, (void)wall_s;
    return ERR_OK;
}

void disk_begin(struct disk *d, uint64_t now_ms)
{
    (void)d, (void)now_ms;
}

void disk_turn(struct disk *d, uint64_t now_ms)
{
    (void)d, (void)now_ms;
}

void disk_ready(struct disk *d, uint64_t now_ms)
{
    (void)d, (void)now_ms;
}

uint64_t disk_deadline(const struct disk *d)
{
    (void)d;
    return UINT64_MAX;
}

bool disk_failed(const struct disk *d)
{
    (void)d;
    return false;
}

void disk_set(struct disk *d, const struct conf *conf)
{
    (void)d, (void)conf;
}

void disk_compact(struct disk *d)
{
    (void)d;
}

void disk_log_figures(struct disk *d)
{
    (void)d;
}

bool disk_close(struct disk *d, uint64_t now_ms)
{
    (void)d, (void)now_ms;
    return true;
}
