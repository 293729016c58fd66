/*
 * The characters of a pattern one after the other, as if it had been filled in.
 */
#include "auth/acl_pattern.h"

/* What reader_next gives besides bytes. */
enum { WILD = 0x100, END = 0x200 };

struct reader {
    const struct acl_pattern *pattern;
    size_t at;
    struct str inserted; /* to be read first */
};

/* 'c', 'u', or 0: no placeholder begins here. */
static char placeholder(struct str text, size_t at)
{
    if (text.p[at] != '%' || at + 1 >= text.n)
        return 0;
    return text.p[at + 1] == 'c' || text.p[at + 1] == 'u' ? text.p[at + 1] : '\0';
}

static bool has(struct str text, char which)
{
    for (size_t i = 0; i < text.n; i++) {
        char c = placeholder(text, i);
        if (c && (which == 0 || c == which))
            return true;
        i += c != 0;
    }
    return false;
}

bool acl_pattern_is_one(struct str text)
{
    return has(text, 0);
}

bool acl_pattern_applies(const struct acl_pattern *p)
{
    return p->user.n > 0 || !has(p->text, 'u');
}

/* A byte, WILD and a wildcard, or END. */
static unsigned reader_next(struct reader *r)
{
    for (;;) {
        const struct acl_pattern *p = r->pattern;
        char c, which;
        if (r->inserted.n > 0) {
            c = r->inserted.p[0];
            r->inserted = str_of(r->inserted.p + 1, r->inserted.n - 1);
            return (uint8_t)c;
        }
        if (r->at == p->text.n)
            return END;
        which = placeholder(p->text, r->at);
        if (which == 0) {
            c = p->text.p[r->at++];
            return c == '+' || c == '#' ? WILD | (unsigned)(uint8_t)c : (uint8_t)c;
        }
        r->inserted = which == 'c' ? p->client : p->user;
        r->at += 2;
    }
}

/* Nothing of the topic is left: is the pattern done, or has only /# left? */
static bool ends_here(struct reader *r, unsigned next)
{
    return next == END || (next == '/' && reader_next(r) == (WILD | '#'));
}

bool acl_pattern_matches(const struct acl_pattern *p, struct str topic)
{
    struct reader r = {.pattern = p};
    unsigned c = reader_next(&r);
    size_t at = 0;

    if ((c & WILD) && topic.n > 0 && topic.p[0] == '$')
        return false;
    for (;; c = reader_next(&r)) {
        if (c == (WILD | '#'))
            return true;
        if (c == (WILD | '+')) {
            while (at < topic.n && topic.p[at] != '/')
                at++;
        } else if (at == topic.n) {
            return ends_here(&r, c);
        } else if (c != (uint8_t)topic.p[at++]) {
            return false;
        }
    }
}

bool acl_pattern_expand(const struct acl_pattern *p, char *out, size_t cap, struct str *filter)
{
    struct reader r = {.pattern = p};
    size_t n = 0;

    for (unsigned c = reader_next(&r); c != END; c = reader_next(&r)) {
        if (n == cap)
            return false;
        out[n++] = (char)(c & 0xFF);
    }
    *filter = str_of(out, n);
    return true;
}
