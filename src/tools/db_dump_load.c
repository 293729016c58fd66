/*
 * Memory is bounded: above a limit payloads stay in the journal, as in the broker, and are read
 * again when they are printed.
 */
#include "tools/db_dump_load.h"

#include <inttypes.h>
#include <stdio.h>

#define MEMORY_LIMIT (64U * 1024 * 1024)

static void sink(void *ctx, enum log_level level, struct str line, const struct log_about *about)
{
    (void)about;
    (void)ctx;
    (void)level;
    fprintf(stderr, "mosquitto_db_dump: %.*s\n", STR_ARG(line));
}

static void count_records(struct dump_store *s, struct str in)
{
    bool seen[RECORD_TYPES] = {false};
    struct record r;
    size_t before = in.n;

    for (; in.n > 0 && record_read(&in, &r) == ERR_OK; before = in.n) {
        struct dump_records *of = &s->records[r.type];
        of->records++;
        of->bytes += before - in.n;
        of->frames += !seen[r.type];
        seen[r.type] = true;
    }
}

static enum err apply(void *ctx, uint64_t position, struct str records)
{
    struct dump_store *s = ctx;

    if (s->count)
        count_records(s, records);
    return broker_apply(s->broker, position, records);
}

/* Its own defaults do; the limits of whoever runs the store change nothing in what it holds. */
static enum err make_broker(struct dump_store *s, const struct log *log)
{
    struct conf_args args = {0};
    struct broker_setup setup = {.log = *log, .seed = 1, .persistent = true};
    enum err e = conf_load_text(&args, str_of(NULL, 0), log, &s->conf);

    if (e)
        return e;
    s->conf->global.persistence_memory_limit = MEMORY_LIMIT;
    setup.conf = s->conf;
    s->broker = broker_new(&setup);
    return s->broker ? ERR_OK : ERR_NOMEM;
}

static enum err replay(struct dump_store *s, const char *directory, const struct log *log)
{
    struct recover_setup setup = {.io = &s->files.io,
                                  .log = log,
                                  .name = directory,
                                  .read_only = true,
                                  .apply = apply,
                                  .apply_ctx = s};
    enum err e = store_recover(&setup, &s->found);

    /* Without a time of its own: who was connected is then told from who has been away since. */
    return e ? e : broker_apply_end(s->broker, s->found.turn, 0, &s->lost);
}

static void report(const struct dump_store *s, const char *directory)
{
    if (s->files.count == 0)
        fprintf(stderr, "mosquitto_db_dump: %s has no segments: the store is empty\n", directory);
    if (s->lost.rows)
        fprintf(stderr,
                "mosquitto_db_dump: %s: %" PRIu64 " queued messages are lost with the damage\n",
                directory, s->lost.rows);
}

enum err dump_store_read(struct dump_store *s, const char *directory, bool count)
{
    struct log log = {.mask = LOG_LEVEL_WARNING | LOG_LEVEL_ERROR, .sink = sink};
    enum err e;

    *s = (struct dump_store){.count = count};
    e = dump_files_open(&s->files, directory);
    if (e)
        return e;
    e = make_broker(s, &log);
    if (!e)
        e = replay(s, directory, &log);
    if (e == ERR_OK)
        report(s, directory);
    else if (e == ERR_NOMEM)
        fprintf(stderr, "mosquitto_db_dump: %s: out of memory\n", directory);
    return e;
}

void dump_store_clear(struct dump_store *s)
{
    recovered_clear(&s->found);
    if (s->broker)
        broker_free(s->broker);
    conf_free(s->conf);
    dump_files_close(&s->files);
}

bool dump_store_is_damaged(const struct dump_store *s)
{
    return s->found.damaged > 0 || s->lost.rows > 0;
}
