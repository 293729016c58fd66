/*
 * Line by line. All faults are found in one go, but not all of them are told: a file with many is
 * another kind of file.
 */
#include "auth/acl_read.h"

#include "auth/acl.h"
#include "auth/acl_pattern.h"
#include "mqtt/topic.h"
#include "mqtt/utf8.h"

#include <string.h>

#define LINES_TOLD_MAX 20 /* of each kind */
#define SHOWN_MAX 120     /* bytes of a line that a message shows */
#define NAME_MAX_BYTES UINT16_MAX

struct reader {
    struct str text;
    const char *path;
    const struct log *log;
    struct acl_draft *draft;
    uint32_t line;
    uint32_t faults;
    uint32_t warnings;
};

/* --- messages --- */

static void fault(struct reader *r, struct str what, const char *why)
{
    char shown[SHOWN_MAX];

    if (r->faults++ < LINES_TOLD_MAX)
        log_error(r->log, "Error: %s:%u: '%s': %s.", r->path, r->line,
                  str_escape(what, shown, sizeof(shown)), why);
}

static void warning(struct reader *r, struct str what, const char *why)
{
    char shown[SHOWN_MAX];

    if (r->warnings++ < LINES_TOLD_MAX)
        log_warning(r->log, "Warning: %s:%u: '%s': %s.", r->path, r->line,
                    str_escape(what, shown, sizeof(shown)), why);
}

static void tell_rest(const struct reader *r)
{
    if (r->faults > LINES_TOLD_MAX)
        log_error(r->log, "Error: %s: %u more lines like these.", r->path,
                  r->faults - LINES_TOLD_MAX);
    if (r->warnings > LINES_TOLD_MAX)
        log_warning(r->log, "Warning: %s: %u more lines like these.", r->path,
                    r->warnings - LINES_TOLD_MAX);
}

/* --- one line --- */

static uint32_t place_of(const struct reader *r, struct str s)
{
    return (uint32_t)(s.p - r->text.p);
}

static bool is_text(struct reader *r, struct str s, struct str line)
{
    if (s.n <= NAME_MAX_BYTES && utf8_valid(s))
        return true;
    fault(r, line,
          s.n > NAME_MAX_BYTES ? "too long; expected at most 65535 bytes"
                               : "expected UTF-8 text without control characters");
    return false;
}

static enum err take_user(struct reader *r, struct str name, struct str line)
{
    if (name.n == 0) {
        fault(r, line, "no name; expected user NAME");
        return ERR_OK;
    }
    if (!is_text(r, name, line))
        return ERR_OK;
    return acl_draft_user(r->draft, (struct acl_block){.name_at = place_of(r, name),
                                                       .name_len = (uint32_t)name.n,
                                                       .line = r->line});
}

/* False: it is none. */
static bool right_of(struct str word, uint8_t *rights)
{
    static const struct {
        struct str word;
        uint8_t rights;
    } words[] = {{STR("read"), ACL_READ},
                 {STR("write"), ACL_WRITE},
                 {STR("readwrite"), ACL_READ | ACL_WRITE},
                 {STR("deny"), 0}};

    for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
        if (str_eq(words[i].word, word)) {
            *rights = words[i].rights;
            return true;
        }
    }
    return false;
}

static bool is_filter(struct reader *r, struct str filter, struct str line)
{
    enum reason why;

    if (!is_text(r, filter, line))
        return false;
    why = topic_check_filter(filter);
    if (why == REASON_LEVELS)
        fault(r, line, "expected a topic of at most 200 levels");
    else if (why)
        fault(r, line, "no valid topic; expected + and # to be whole levels, and # the last one");
    return why == REASON_OK;
}

/* What is behind `topic` or `pattern`: a topic, with blanks in it only behind a right. */
static bool split_rule(struct reader *r, struct str rest, struct str line, struct acl_rule *rule,
                       struct str *filter)
{
    struct str behind = rest;
    struct str word = str_token(&behind);

    behind = str_trim(behind);
    rule->rights = ACL_READ | ACL_WRITE;
    *filter = rest;
    if (rest.n == 0) {
        fault(r, line, "no topic; expected [read|write|readwrite|deny] TOPIC behind this word");
        return false;
    }
    if (behind.n > 0) {
        *filter = behind;
        if (!right_of(word, &rule->rights)) {
            fault(r, line, "expected read, write, readwrite or deny before a topic with blanks");
            return false;
        }
    } else if (right_of(word, &(uint8_t){0})) {
        warning(r, line, "no topic behind the right, so this is a rule for a topic of that name");
    }
    return true;
}

static enum err take_rule(struct reader *r, struct str rest, struct str line, bool pattern)
{
    struct acl_rule rule = {.line = r->line};
    struct str filter;

    if (!split_rule(r, rest, line, &rule, &filter) || !is_filter(r, filter, line))
        return ERR_OK;
    rule.at = place_of(r, filter);
    rule.len = (uint16_t)filter.n;
    if (!pattern)
        return acl_draft_rule(r->draft, rule);
    if (!acl_pattern_is_one(filter))
        warning(r, line, "a pattern without %c and %u, for every client whatever its name");
    return acl_draft_pattern(r->draft, rule);
}

static enum err take_line(struct reader *r, struct str line)
{
    struct str rest = line;
    struct str word = str_token(&rest);

    rest = str_trim(rest);
    if (str_eq(word, STR("user")))
        return take_user(r, rest, line);
    if (str_eq(word, STR("topic")) || str_eq(word, STR("pattern")))
        return take_rule(r, rest, line, word.p[0] == 'p');
    if (word.p[0] == '#')
        fault(r, line, "expected # as the first character of a line that is a comment");
    else
        fault(r, line, "expected a line that begins with topic, pattern or user");
    return ERR_OK;
}

/* --- all lines --- */

static struct str cut_line(struct str *text)
{
    const char *end = memchr(text->p, '\n', text->n);
    struct str line = str_of(text->p, end ? (size_t)(end - text->p) : text->n);
    size_t skip = line.n + (end != NULL);

    *text = str_of(text->p + skip, text->n - skip);
    return line;
}

enum err acl_read(struct str text, const char *path, const struct log *log, struct acl_draft *draft)
{
    struct reader r = {.text = text, .path = path, .log = log, .draft = draft};
    enum err e = ERR_OK;

    if (text.n >= UINT32_MAX) {
        log_error(log, "Error: %s: too large; expected less than 4 GiB.", path);
        return ERR_INVAL;
    }
    if (str_has_prefix(text, STR("\xEF\xBB\xBF")))
        text = str_of(text.p + 3, text.n - 3);
    while (text.n > 0 && !e) {
        struct str line = cut_line(&text);
        struct str trimmed = str_trim(line);
        r.line++;
        if (trimmed.n > 0 && line.p[0] != '#')
            e = take_line(&r, trimmed);
    }
    tell_rest(&r);
    return !e && r.faults > 0 ? ERR_INVAL : e;
}
