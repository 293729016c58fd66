/*
 * Users by name.
 *
 * All that is secret stands in one block, which is overwritten when it goes: the users in the order
 * of their lines, and behind them their names and those passwords that are not hashed. The index
 * beside it is sorted by name: a search costs log n comparisons whatever names somebody chooses,
 * and needs no key.
 */
#include "auth/pwfile.h"

#include "auth/pwline.h"
#include "base/mem.h"
#include "base/table.h"

#include <stdio.h>
#include <stdlib.h>

#define FAULTS_SHOWN 20

struct user {
    struct pwhash hash;
    struct str name;
    size_t line;
    bool again; /* the name is on an earlier line too; this one does not count */
};

struct pwfile {
    uint32_t refs;
    size_t size;        /* of the block of users and texts */
    struct user *users; /* its beginning */
    size_t read;        /* users there */
    struct user **sorted;
    size_t room;  /* of the index */
    size_t count; /* users in it */
};

/* A file on its way. */
struct reading {
    const struct log *log;
    char shown[256]; /* its path */
    struct pwfile *file;
    char *texts; /* where the next name goes */
    size_t faults, warnings, plain;
};

/* --- memory --- */

/* How many users there may be, and the bytes of their names and of what else is kept as text. */
static void measure(struct str text, size_t *users, size_t *bytes)
{
    struct pwline_walk walk = {.rest = text};
    struct pwline line;

    *users = *bytes = 0;
    while (pwline_next(&walk, &line)) {
        if (line.kind != PWLINE_ENTRY)
            continue;
        ++*users;
        *bytes += line.user.n;
        if (pwhash_kind_of(line.value) == PWHASH_PLAIN)
            *bytes += line.value.n;
    }
}

static void free_file(struct pwfile *f)
{
    if (f->users)
        pwhash_wipe(f->users, f->size);
    mem_free(f->users, f->size);
    mem_free(f->sorted, f->room * sizeof(*f->sorted));
    mem_free(f, sizeof(*f));
}

static struct pwfile *new_file(size_t users, size_t bytes)
{
    struct pwfile *f = mem_zalloc(sizeof(*f));

    if (!f)
        return NULL;
    f->refs = 1;
    f->room = users;
    f->size = users * sizeof(struct user) + bytes;
    f->users = mem_zalloc(f->size);
    f->sorted = mem_alloc(users * sizeof(*f->sorted));
    if (f->users && f->sorted)
        return f;
    free_file(f);
    return NULL;
}

static struct str keep(struct reading *r, struct str s)
{
    char *to = r->texts;

    if (s.n > 0)
        memcpy(to, s.p, s.n);
    r->texts += s.n;
    return str_of(to, s.n);
}

/* --- lines --- */

static void fault(struct reading *r, size_t line, const char *what)
{
    if (++r->faults <= FAULTS_SHOWN)
        log_error(r->log, "Error: %s:%zu: %s.", r->shown, line, what);
}

static void fault_of(struct reading *r, const struct pwline *line, const char *what)
{
    char name[128];

    if (++r->faults <= FAULTS_SHOWN)
        log_error(r->log, "Error: %s:%zu: user '%s': %s.", r->shown, line->number,
                  str_escape_strict(line->user, name, sizeof(name)), what);
}

static void take_entry(struct reading *r, const struct pwline *line)
{
    struct user *u = &r->file->users[r->file->read];
    const char *why = NULL;
    char what[256];
    enum err e = pwhash_parse(line->value, &u->hash, &why);

    if (!e && line->value.n > PWLINE_PASSWORD_MAX) {
        e = ERR_TOO_LARGE;
        why = "the password is longer than 65535 bytes";
    }
    if (e) {
        (void)snprintf(what, sizeof(what), "%s%s", why,
                       e == ERR_UNSUPPORTED ? "" : "; " PWLINE_FORM);
        fault_of(r, line, what);
        return;
    }
    u->name = keep(r, line->user);
    u->line = line->number;
    if (u->hash.kind == PWHASH_PLAIN) {
        u->hash.text = keep(r, line->value);
        r->plain++;
    }
    r->file->read++;
}

static void take_lines(struct reading *r, struct str text)
{
    struct pwline_walk walk = {.rest = text};
    struct pwline line;

    while (pwline_next(&walk, &line)) {
        if (line.kind == PWLINE_ENTRY)
            take_entry(r, &line);
        else if (line.kind == PWLINE_WRONG)
            fault(r, line.number, line.wrong);
    }
}

/* --- the index --- */

/* By name; the earlier line first. */
static int compare(const void *a, const void *b)
{
    const struct user *const *x = a;
    const struct user *const *y = b;
    int order = str_cmp((*x)->name, (*y)->name);

    if (order != 0)
        return order;
    return ((*x)->line > (*y)->line) - ((*x)->line < (*y)->line);
}

static void build_index(struct pwfile *f)
{
    size_t kept_count = 0;

    for (size_t i = 0; i < f->read; i++)
        f->sorted[i] = &f->users[i];
    qsort(f->sorted, f->read, sizeof(*f->sorted), compare);
    for (size_t i = 0; i < f->read; i++) {
        struct user *u = f->sorted[i];
        u->again = kept_count > 0 && str_eq(u->name, f->sorted[kept_count - 1]->name);
        if (!u->again)
            f->sorted[kept_count++] = u;
    }
    f->count = kept_count;
}

static const struct user *find_user(const struct pwfile *f, struct str name)
{
    size_t low = 0;
    size_t high = f->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = str_cmp(f->sorted[middle]->name, name);

        if (order == 0)
            return f->sorted[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

/* --- the whole --- */

static void warn_again(struct reading *r, const struct user *u)
{
    char name[128];
    const struct user *first = find_user(r->file, u->name);

    if (++r->warnings <= FAULTS_SHOWN && first)
        log_warning(r->log,
                    "Warning: %s:%zu: user '%s' is on line %zu already; that line counts, this one "
                    "does not.",
                    r->shown, u->line, str_escape_strict(u->name, name, sizeof(name)), first->line);
}

static void warn(struct reading *r)
{
    for (size_t i = 0; i < r->file->read; i++)
        if (r->file->users[i].again)
            warn_again(r, &r->file->users[i]);
    if (r->warnings > FAULTS_SHOWN)
        log_warning(r->log, "Warning: %s: and %zu more names are there twice.", r->shown,
                    r->warnings - FAULTS_SHOWN);
    if (r->plain > 0)
        log_warning(r->log,
                    "Warning: %s: %zu password%s not hashed; `mosquitto_passwd -U %s` would hash "
                    "%s.",
                    r->shown, r->plain, r->plain == 1 ? " is" : "s are", r->shown,
                    r->plain == 1 ? "it" : "them");
}

enum err pwfile_parse(struct str text, const char *path, const struct log *log, struct pwfile **out)
{
    struct reading r = {.log = log};
    size_t users;
    size_t bytes;

    *out = NULL;
    (void)str_escape(str_c(path), r.shown, sizeof(r.shown));
    measure(text, &users, &bytes);
    r.file = new_file(users, bytes);
    if (!r.file)
        return ERR_NOMEM;
    r.texts = (char *)(r.file->users + users);
    take_lines(&r, text);
    if (r.faults > 0) {
        if (r.faults > FAULTS_SHOWN)
            log_error(log, "Error: %s: and %zu more lines are wrong.", r.shown,
                      r.faults - FAULTS_SHOWN);
        free_file(r.file);
        return ERR_INVAL;
    }
    build_index(r.file);
    warn(&r);
    *out = r.file;
    return ERR_OK;
}

struct pwfile *pwfile_ref(struct pwfile *f)
{
    f->refs++;
    return f;
}

void pwfile_unref(struct pwfile *f)
{
    if (f && --f->refs == 0)
        free_file(f);
}

const struct pwhash *pwfile_find(const struct pwfile *f, struct str user)
{
    const struct user *u = find_user(f, user);

    return u ? &u->hash : NULL;
}

const struct pwhash *pwfile_decoy(const struct pwfile *f, struct str user)
{
    if (f->count == 0)
        return NULL;
    return &f->sorted[table_hash(0, user.p, user.n) % f->count]->hash;
}

size_t pwfile_count(const struct pwfile *f)
{
    return f->count;
}
