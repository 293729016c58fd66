/*
 * A journal is a directory whose name ends in ".journal"; one that was copied elsewhere may be
 * called anything, and is known by its segments.
 */
#include "tools/db_dump_path.h"

#include "store/io.h"

#include <dirent.h>
#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define SUFFIX ".journal"
/* Mosquitto's own persistence files begin with this. */
#define OLD_MAGIC "\0\xb5\0mosquitto db"
#define OLD_MAGIC_SIZE (sizeof(OLD_MAGIC) - 1)

static bool refuse(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

static bool refuse(const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    fputs("mosquitto_db_dump: ", stderr);
    vfprintf(stderr, fmt, args);
    fputs("\n", stderr);
    va_end(args);
    return false;
}

static bool ends_in(const char *name, const char *suffix)
{
    size_t n = strlen(name);
    size_t m = strlen(suffix);

    return n > m && strcmp(name + n - m, suffix) == 0;
}

static bool is_directory(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static bool is_old_file(const char *path)
{
    char head[OLD_MAGIC_SIZE];
    FILE *f = fopen(path, "re");
    bool old = f && fread(head, 1, sizeof(head), f) == sizeof(head) &&
               memcmp(head, OLD_MAGIC, sizeof(head)) == 0;

    if (f)
        (void)fclose(f);
    return old;
}

static bool refuse_old_file(const char *path)
{
    return refuse(
        "%s is a persistence file of Eclipse Mosquitto, not a journal: the broker imports "
        "it when it is started with persistence, and makes a journal of it",
        path);
}

/* What a directory has. */
struct content {
    bool segments;
    bool old_file; /* mosquitto.db */
    unsigned journals;
    char name[NAME_MAX + 1]; /* of the first of them, by name */
    char next[NAME_MAX + 1]; /* and of another */
};

static void look_at(struct content *c, const char *name)
{
    uint64_t segment;

    c->segments = c->segments || store_segment_parse(name, &segment);
    c->old_file = c->old_file || strcmp(name, "mosquitto.db") == 0;
    if (!ends_in(name, SUFFIX))
        return;
    if (c->journals == 0 || strcmp(name, c->name) < 0) {
        memcpy(c->next, c->name, sizeof(c->next));
        (void)snprintf(c->name, sizeof(c->name), "%s", name);
    } else {
        (void)snprintf(c->next, sizeof(c->next), "%s", name);
    }
    c->journals++;
}

static bool list(const char *path, struct content *c)
{
    DIR *dir = opendir(path);
    const struct dirent *entry;

    *c = (struct content){0};
    if (!dir)
        return false;
    while ((entry = readdir(dir)))
        look_at(c, entry->d_name);
    (void)closedir(dir);
    return true;
}

static bool join(char out[PATH_MAX], const char *directory, const char *between, const char *name)
{
    int n = snprintf(out, PATH_MAX, "%s%s%s", directory, between, name);

    return (n > 0 && n < PATH_MAX) || refuse("%s: the name is too long", directory);
}

static bool find_in(const char *path, char journal[PATH_MAX])
{
    struct content c;
    char old[PATH_MAX];

    if (!list(path, &c))
        return refuse("%s cannot be read: %s", path, strerror(errno));
    if (c.segments || (c.journals == 0 && ends_in(path, SUFFIX)))
        return join(journal, path, "", "");
    if (c.journals > 1)
        return refuse("%s has several journals, %s and %s among them: name one", path, c.name,
                      c.next);
    if (c.journals == 1)
        return join(journal, path, "/", c.name);
    if (c.old_file && join(old, path, "/", "mosquitto.db") && is_old_file(old))
        return refuse_old_file(old);
    return refuse("%s has no journal: a directory is wanted that has segments (*.seg), or one that "
                  "has a directory *.journal",
                  path);
}

static bool refuse_file(const char *path)
{
    if (ends_in(path, ".seg"))
        return refuse("%s is one segment of a journal: its directory is wanted", path);
    if (is_old_file(path))
        return refuse_old_file(path);
    return refuse("%s is no journal: a directory is wanted, such as "
                  "/var/lib/mosquitto/mosquitto.db.journal",
                  path);
}

bool dump_path_find(const char *path, char journal[PATH_MAX])
{
    char trimmed[PATH_MAX];
    struct stat st;
    size_t n;

    if (!join(trimmed, path, "", ""))
        return false;
    for (n = strlen(trimmed); n > 1 && trimmed[n - 1] == '/'; n--)
        trimmed[n - 1] = '\0';
    if (is_directory(trimmed))
        return find_in(trimmed, journal);
    /* What the option persistence_file names: the journal stands beside it. */
    if (!join(journal, trimmed, SUFFIX, "") || is_directory(journal))
        return is_directory(journal);
    if (stat(trimmed, &st) != 0)
        return refuse("%s cannot be read: %s", path, strerror(errno));
    return refuse_file(trimmed);
}
