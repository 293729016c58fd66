/*
 * The directory is closed before the first file is opened, and each file before its lines are
 * looked at: one descriptor at a time is enough, also when there is hardly one left.
 */
#include "conf/include.h"

#include "base/file.h"
#include "base/mem.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct names {
    char **list;
    size_t count;
    size_t room;
};

static void names_clear(struct names *n)
{
    for (size_t i = 0; i < n->count; i++)
        str_dup_free(n->list[i]);
    mem_free(n->list, n->room * sizeof(*n->list));
}

static enum err names_add(struct names *n, const char *name)
{
    size_t room = n->room > 0 ? 2 * n->room : 16;
    char **grown;

    if (n->count == n->room) {
        grown = mem_realloc(n->list, n->room * sizeof(*grown), room * sizeof(*grown));
        if (!grown)
            return ERR_NOMEM;
        n->list = grown;
        n->room = room;
    }
    n->list[n->count] = str_dup(str_c(name));
    if (!n->list[n->count])
        return ERR_NOMEM;
    n->count++;
    return ERR_OK;
}

static bool is_wanted(const char *name)
{
    size_t n = strlen(name);

    return n > 5 && strcmp(name + n - 5, ".conf") == 0;
}

/* Of the same letter the capital comes first. */
static int order_of(char c)
{
    unsigned char letter = (unsigned char)c;

    return 2 * toupper(letter) + (islower(letter) ? 1 : 0);
}

static int compare_names(const void *a, const void *b)
{
    const char *x = *(char *const *)a, *y = *(char *const *)b;

    while (*x && *x == *y) {
        x++;
        y++;
    }
    return order_of(*x) - order_of(*y);
}

/* ERR_SYSTEM with errno. */
static enum err gather(const char *path, struct names *names)
{
    DIR *dir = opendir(path);
    const struct dirent *entry;
    enum err e = ERR_OK;
    int saved;

    if (!dir)
        return ERR_SYSTEM;
    do {
        errno = 0;
        entry = readdir(dir);
        if (entry && is_wanted(entry->d_name))
            e = names_add(names, entry->d_name);
    } while (entry && !e);
    if (!entry && errno != 0)
        e = ERR_SYSTEM;
    saved = errno;
    (void)closedir(dir);
    errno = saved;
    return e;
}

static void unreadable(struct draft *d, const char *path, const char *why)
{
    char shown[160], what[180], text[200];

    snprintf(what, sizeof(what), "include_dir '%s'", str_escape(str_c(path), shown, sizeof(shown)));
    snprintf(text, sizeof(text), "%s; expected what can be read.", why);
    draft_error(d, d->at, what, text);
}

static enum err parse_included(struct draft *d, const char *path, struct str text,
                               include_reader *reader)
{
    struct place here = d->at;
    size_t listener = d->listener;
    size_t bridge = d->bridge;
    bool in_bridge = d->in_bridge;
    enum err e = draft_file(d, path, &d->at.file);

    if (e)
        return e;
    LOG_AT(d->log, LOG_LEVEL_NOTICE, "Loading config file %s", d->files[d->at.file]);
    d->included = true;
    d->listener = 0;
    d->bridge = 0;
    d->in_bridge = false;
    e = reader(d, text);
    d->included = false;
    d->listener = listener;
    d->bridge = bridge;
    d->in_bridge = in_bridge;
    d->at = here;
    return e;
}

static enum err read_included(struct draft *d, const char *dir, const char *name,
                              include_reader *reader)
{
    char path[PATH_MAX];
    struct buf text = {0};
    enum err e;

    if (snprintf(path, sizeof(path), "%s/%s", dir, name) >= (int)sizeof(path))
        path[0] = '\0'; /* as good as any other that cannot be opened */
    e = file_read(path, CONF_FILE_MAX, &text);
    if (e == ERR_OK) {
        e = parse_included(d, path, buf_str(&text), reader);
    } else if (e != ERR_NOMEM) {
        unreadable(d, path, e == ERR_SYSTEM ? strerror(errno) : err_word(e));
        e = ERR_OK;
    }
    buf_clear(&text);
    return e;
}

static enum err read_directory(struct draft *d, const char *path, include_reader *reader)
{
    struct names names = {0};
    enum err e = gather(path, &names);

    if (e == ERR_SYSTEM) {
        unreadable(d, path, strerror(errno));
        e = ERR_OK;
    } else if (names.count > 0) {
        qsort(names.list, names.count, sizeof(*names.list), compare_names);
    }
    for (size_t i = 0; i < names.count && !e && !draft_over(d); i++)
        e = read_included(d, path, names.list[i], reader);
    names_clear(&names);
    return e;
}

enum err include_directory(struct draft *d, struct str path, include_reader *reader)
{
    char z[PATH_MAX];

    if (path.n == 0 || path.n >= sizeof(z)) {
        draft_error(d, d->at, "include_dir", "expected a directory.");
        return ERR_OK;
    }
    memcpy(z, path.p, path.n);
    z[path.n] = '\0';
    while (path.n > 1 && z[path.n - 1] == '/')
        z[--path.n] = '\0';
    return read_directory(d, z, reader);
}
