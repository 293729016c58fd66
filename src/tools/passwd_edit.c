/*
 * Lines in, lines out.
 *
 * A file with a line that the broker would not take is not touched: whoever changes it wants a file
 * that works.
 */
#include "tools/passwd_edit.h"

#include "auth/pwline.h"

#include <stdio.h>

static enum err wrong_line(const char *path, const struct pwline *line, const char *what)
{
    fprintf(stderr, "Error: %s:%zu: %s. Nothing was changed.\n", path, line->number, what);
    return ERR_MALFORMED;
}

/* Room for every change; and all lines are lines. */
static enum err prepare(struct str text, const char *path, size_t user, struct buf *out)
{
    struct pwline_walk walk = {.rest = text};
    struct pwline line;
    size_t entries = 1;

    while (pwline_next(&walk, &line)) {
        if (line.kind == PWLINE_WRONG)
            return wrong_line(path, &line, line.wrong);
        entries++;
    }
    return buf_reserve_exact(out, text.n + user + entries * (PWHASH_TEXT_MAX + 2));
}

/* As it stood; the last line of the file may have come without its newline. */
static enum err add_line(struct buf *out, const struct pwline *line)
{
    enum err e = buf_add(out, line->raw.p, line->raw.n);

    if (!e && line->raw.p[line->raw.n - 1] != '\n')
        e = buf_add(out, "\n", 1);
    return e;
}

static enum err add_user(struct buf *out, struct str user, const char *hash)
{
    enum err e = buf_add(out, user.p, user.n);

    if (!e)
        e = buf_add(out, ":", 1);
    if (!e)
        e = buf_add(out, hash, strlen(hash));
    return e ? e : buf_add(out, "\n", 1);
}

/* hash == NULL: the user goes. */
static enum err replace_user(struct str text, struct str user, const char *hash, struct buf *out,
                             bool *found)
{
    struct pwline_walk walk = {.rest = text};
    struct pwline line;
    enum err e = ERR_OK;

    *found = false;
    while (!e && pwline_next(&walk, &line)) {
        bool his = line.kind == PWLINE_ENTRY && str_eq(line.user, user);

        if (!his)
            e = add_line(out, &line);
        else if (hash && !*found)
            e = add_user(out, user, hash);
        *found |= his;
    }
    return e;
}

enum err passwd_edit_set(struct str text, const char *path, struct str user, const char *hash,
                         struct buf *out, bool *found)
{
    enum err e = prepare(text, path, user.n, out);

    if (!e)
        e = replace_user(text, user, hash, out, found);
    return e || *found ? e : add_user(out, user, hash);
}

enum err passwd_edit_delete(struct str text, const char *path, struct str user, struct buf *out,
                            bool *found)
{
    enum err e = prepare(text, path, 0, out);

    return e ? e : replace_user(text, user, NULL, out, found);
}

/* --- all of them --- */

static enum err hash_one(const struct pwline *line, enum pwhash_kind kind, uint32_t rounds,
                         struct buf *out)
{
    char hash[PWHASH_TEXT_MAX];
    enum err e = pwhash_make(kind, rounds, line->value, hash);

    if (!e)
        e = add_user(out, line->user, hash);
    pwhash_wipe(hash, sizeof(hash));
    return e;
}

/* Hashed already is also what only another build could check. */
static enum err is_hashed(const struct pwline *line, const char *path, bool *hashed)
{
    struct pwhash h;
    const char *why = NULL;
    enum err e = pwhash_parse(line->value, &h, &why);

    *hashed = e == ERR_UNSUPPORTED || h.kind != PWHASH_PLAIN;
    pwhash_wipe(&h, sizeof(h));
    return e == ERR_MALFORMED ? wrong_line(path, line, why) : ERR_OK;
}

enum err passwd_edit_hash_all(struct str text, const char *path, enum pwhash_kind kind,
                              uint32_t rounds, struct buf *out, struct passwd_counts *counts)
{
    struct pwline_walk walk = {.rest = text};
    struct pwline line;
    enum err e = prepare(text, path, 0, out);

    *counts = (struct passwd_counts){0};
    while (!e && pwline_next(&walk, &line)) {
        bool hashed = true;

        if (line.kind == PWLINE_ENTRY) {
            e = is_hashed(&line, path, &hashed);
            counts->hashed += !hashed;
            counts->left += hashed;
        }
        if (!e)
            e = hashed ? add_line(out, &line) : hash_one(&line, kind, rounds, out);
    }
    return e;
}
