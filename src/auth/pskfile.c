/*
 * Keys by identity.
 *
 * Identities and keys stand in one block, which is overwritten when it goes; it is as large as the
 * file at most, so it is never moved and leaves no copies. The entries beside it are sorted by
 * identity.
 */
#include "auth/pskfile.h"

#include "auth/pwhash.h"
#include "base/mem.h"
#include "mqtt/utf8.h"

#include <stdlib.h>
#include <string.h>

#define LINES_TOLD_MAX 20 /* of each kind */
#define IDENTITY_MAX 65535
#define KEY_SHORT 16 /* bytes; a shorter one can be guessed by whoever sees a handshake */

struct entry {
    struct str identity;
    struct str key;
    uint32_t line;
};

struct pskfile {
    uint32_t refs;
    char *block;
    size_t block_n;
    struct entry *entries;
    size_t room;
    size_t count;
};

/* A file on its way. */
struct reading {
    struct pskfile *file;
    const struct log *log;
    char shown[256]; /* its path */
    char *at;        /* where in the block there is room */
    uint32_t line;
    uint32_t faults, warnings, short_keys;
};

static const char identity_format[] = "expected IDENTITY:KEY";

/* Nothing of the line is shown: it may be a key. */
static void fault(struct reading *r, const char *what, const char *why)
{
    if (r->faults++ < LINES_TOLD_MAX)
        log_error(r->log, "Error: %s:%u: %s; %s.", r->shown, r->line, what, why);
}

static void warning(struct reading *r, uint32_t line, struct str identity, const char *what)
{
    char name[128];

    if (r->warnings++ < LINES_TOLD_MAX)
        log_warning(r->log, "Warning: %s:%u: identity '%s': %s.", r->shown, line,
                    str_escape(identity, name, sizeof(name)), what);
}

static void tell_rest(const struct reading *r)
{
    if (r->faults > LINES_TOLD_MAX)
        log_error(r->log, "Error: %s: %u more lines like these.", r->shown,
                  r->faults - LINES_TOLD_MAX);
    if (r->warnings > LINES_TOLD_MAX)
        log_warning(r->log, "Warning: %s: %u more lines like these.", r->shown,
                    r->warnings - LINES_TOLD_MAX);
    if (r->short_keys > 0)
        log_warning(r->log, "Warning: %s: keys of less than %d bytes can be guessed; it has %u.",
                    r->shown, KEY_SHORT, r->short_keys);
}

/* --- one line --- */

static int digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static bool is_hex(struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (digit(s.p[i]) < 0)
            return false;
    }
    return true;
}

static struct str keep(struct reading *r, struct str s)
{
    char *to = r->at;

    memcpy(to, s.p, s.n);
    r->at += s.n;
    return str_of(to, s.n);
}

/* As bytes; before an odd number of digits there could as well be a 0. */
static struct str keep_key(struct reading *r, struct str hex)
{
    char *to = r->at;
    unsigned byte = 0;

    for (size_t left = hex.n; left > 0; left--) {
        byte = byte << 4U | (unsigned)digit(hex.p[hex.n - left]);
        if (left % 2 == 1)
            *r->at++ = (char)(byte & 0xFFU);
    }
    return str_of(to, (size_t)(r->at - to));
}

static bool is_right(struct reading *r, struct str identity, struct str hex)
{
    uint32_t before = r->faults;

    if (identity.n == 0)
        fault(r, "no identity", identity_format);
    else if (identity.n > IDENTITY_MAX || !utf8_valid(identity))
        fault(r, "an identity that is not UTF-8 text, or too long",
              "expected at most 65535 bytes without control characters");
    else if (hex.n == 0)
        fault(r, "no key", identity_format);
    else if (!is_hex(hex))
        fault(r, "the key is not hexadecimal", "expected digits from 0 to 9 and a to f");
    else if (hex.n > 2 * PSK_KEY_MAX)
        fault(r, "the key is too long", "expected at most 512 digits");
    return r->faults == before;
}

static void take_line(struct reading *r, struct str line)
{
    const char *colon = memchr(line.p, ':', line.n);
    struct pskfile *f = r->file;
    struct str identity, hex;

    if (!colon) {
        fault(r, "no colon", identity_format);
        return;
    }
    identity = str_trim(str_of(line.p, (size_t)(colon - line.p)));
    hex = str_trim(str_of(colon + 1, line.n - (size_t)(colon - line.p) - 1));
    if (!is_right(r, identity, hex))
        return;
    if (hex.n % 2 == 1)
        warning(r, r->line, identity,
                "an odd number of digits in its key, which counts as if a 0 stood before them");
    f->entries[f->count].identity = keep(r, identity);
    f->entries[f->count].key = keep_key(r, hex);
    r->short_keys += f->entries[f->count].key.n < KEY_SHORT;
    f->entries[f->count++].line = r->line;
}

static struct str cut_line(struct str *text)
{
    const char *end = memchr(text->p, '\n', text->n);
    struct str line = str_of(text->p, end ? (size_t)(end - text->p) : text->n);
    size_t skip = line.n + (end != NULL);

    *text = str_of(text->p + skip, text->n - skip);
    return line;
}

static void take_lines(struct reading *r, struct str text)
{
    while (text.n > 0) {
        struct str line = cut_line(&text);
        struct str trimmed = str_trim(line);
        r->line++;
        if (trimmed.n > 0 && line.p[0] != '#')
            take_line(r, trimmed);
    }
}

/* --- the file --- */

static int by_identity(const void *va, const void *vb)
{
    const struct entry *a = va, *b = vb;
    int c = str_cmp(a->identity, b->identity);

    return c ? c : (a->line > b->line) - (a->line < b->line);
}

/* Sorted, and each identity once: the first line counts. */
static void sort_entries(struct reading *r)
{
    struct pskfile *f = r->file;
    size_t kept = 0;

    if (f->count == 0)
        return;
    qsort(f->entries, f->count, sizeof(*f->entries), by_identity);
    for (size_t i = 0; i < f->count; i++) {
        const struct entry *e = &f->entries[i];
        if (kept > 0 && str_eq(f->entries[kept - 1].identity, e->identity))
            warning(r, e->line, e->identity, "an earlier line has it too; that one counts");
        else
            f->entries[kept++] = *e;
    }
    f->count = kept;
}

static size_t count_lines(struct str text)
{
    size_t n = 0;

    while (text.n > 0) {
        (void)cut_line(&text);
        n++;
    }
    return n;
}

static struct pskfile *new_file(struct str text)
{
    struct pskfile *f = mem_zalloc(sizeof(*f));

    if (!f)
        return NULL;
    f->refs = 1;
    f->block = mem_alloc(text.n);
    f->block_n = f->block ? text.n : 0;
    f->room = count_lines(text);
    f->entries = mem_alloc(f->room * sizeof(*f->entries));
    if (f->block && f->entries)
        return f;
    if (!f->entries)
        f->room = 0;
    pskfile_unref(f);
    return NULL;
}

enum err pskfile_parse(struct str text, const char *path, const struct log *log,
                       struct pskfile **out)
{
    struct reading r = {.log = log};

    if (str_has_prefix(text, STR("\xEF\xBB\xBF")))
        text = str_of(text.p + 3, text.n - 3);
    r.file = new_file(text);
    if (!r.file)
        return ERR_NOMEM;
    r.at = r.file->block;
    str_escape(str_c(path), r.shown, sizeof(r.shown));
    take_lines(&r, text);
    sort_entries(&r);
    tell_rest(&r);
    if (r.faults > 0) {
        pskfile_unref(r.file);
        return ERR_INVAL;
    }
    *out = r.file;
    return ERR_OK;
}

struct pskfile *pskfile_ref(struct pskfile *f)
{
    f->refs++;
    return f;
}

void pskfile_unref(struct pskfile *f)
{
    if (!f || --f->refs > 0)
        return;
    if (f->block_n > 0)
        pwhash_wipe(f->block, f->block_n);
    mem_free(f->block, f->block_n);
    mem_free(f->entries, f->room * sizeof(*f->entries));
    mem_free(f, sizeof(*f));
}

struct str pskfile_find(const struct pskfile *f, struct str identity)
{
    size_t lo = 0, hi = f->count;

    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        int c = str_cmp(f->entries[mid].identity, identity);
        if (c == 0)
            return f->entries[mid].key;
        if (c < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return str_of(NULL, 0);
}

size_t pskfile_count(const struct pskfile *f)
{
    return f->count;
}
