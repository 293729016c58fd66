/*
 * Lines about trouble, and the topic about it.
 */
#include "server/disk_trouble.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define PAUSE_MS 60000

void disk_trouble_init(struct disk_trouble *t, const struct log *log, const char *name)
{
    *t = (struct disk_trouble){.log = log, .name = name, .told = DISK_UNTOLD};
}

/* Is it time for a line, while it is there? */
static bool may_say(struct disk_plight *p, uint64_t now_ms)
{
    if (now_ms < p->next_line) {
        return false;
    }
    p->next_line = now_ms + PAUSE_MS;
    p->said = true;
    return true;
}

static void watch_writing(struct disk_trouble *t, const struct store *s, uint64_t now_ms)
{
    int why = store_is_full(s) ? 0 : store_trouble(s); /* a limit of ours is said below */
    if (why != 0 && may_say(&t->writing, now_ms)) {
        log_error(t->log,
                  "Error: Cannot write to the store %s: %s. %llu bytes wait in memory, and nothing "
                  "of them is acknowledged; when they are too many, publishers are paused. Trying "
                  "again.",
                  t->name, strerror(why), (unsigned long long)store_figures(s).waiting_bytes);
    } else if (why == 0 && t->writing.said) {
        t->writing.said = false;
        log_notice(t->log, "The store %s can be written again.", t->name);
    }
}

static void log_paused(const struct disk_trouble *t, const struct store *s)
{
    struct store_figures n = store_figures(s);
    if (store_is_full(s)) {
        log_warning(
            t->log,
            "Warning: Publishers are paused: the store %s has %llu bytes, which is all that "
            "persistence_max_size allows, and most of them are still needed.",
            t->name, (unsigned long long)n.bytes);
    } else {
        log_warning(t->log,
                    "Warning: Publishers are paused: %llu bytes wait to be stored, more than "
                    "persistence_max_unsynced.",
                    (unsigned long long)n.waiting_bytes);
    }
}

static void watch_behind(struct disk_trouble *t, const struct store *s, uint64_t now_ms)
{
    bool behind = store_is_behind(s);
    if (behind && may_say(&t->behind, now_ms)) {
        log_paused(t, s);
    } else if (!behind && t->behind.said) {
        t->behind.said = false;
        log_notice(t->log, "Publishers go on.");
    }
}

static void watch_damage(struct disk_trouble *t, const struct store *s)
{
    uint64_t segment;
    uint64_t offset;
    char name[STORE_NAME_MAX];
    int why = store_damage(s, &segment, &offset);
    if (why == 0 || t->damaged) {
        t->damaged = why != 0;
        return;
    }
    t->damaged = true;
    log_error(t->log,
              "Error: %s/%s cannot be read at offset %llu: %s. Old segments are kept from now on, "
              "and the next start will look at the damage.",
              t->name, store_segment_name(segment, name), (unsigned long long)offset,
              why == EBADMSG ? "it is damaged" : strerror(why));
}

void disk_trouble_watch(struct disk_trouble *t, const struct store *s, uint64_t now_ms)
{
    if (UNLIKELY(store_failed(s) != 0)) {
        if (!t->failed) {
            t->failed = true;
            log_error(t->log,
                      "Error: Syncing the store %s failed: %s. What the disk has of it is not "
                      "known, so the broker ends here; the next start recovers what was stored.",
                      t->name, strerror(store_failed(s)));
        }
        return;
    }
    watch_writing(t, s, now_ms);
    watch_behind(t, s, now_ms);
    watch_damage(t, s);
}

void disk_trouble_tell(struct disk_trouble *t, const struct store *s, struct broker *b)
{
    int now = store_is_behind(s) ? DISK_FULL : store_trouble(s);
    char text[128] = "ok";
    if (LIKELY(now == t->told)) {
        return;
    }
    t->told = now;
    if (now == DISK_FULL) {
        (void)snprintf(text, sizeof(text), "full: publishers are paused");
    } else if (now != DISK_OK) {
        (void)snprintf(text, sizeof(text), "failing: %s", strerror(now));
    }
    (void)broker_publish_local(b, STR("$SYS/broker/storage/state"), str_c(text), true);
}
