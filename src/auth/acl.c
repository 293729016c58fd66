/*
 * Verdicts.
 *
 * Own rules before patterns, denials before grants: the first of these four that has something to
 * say decides.
 */
#include "auth/acl.h"

#include "auth/acl_meet.h"
#include "auth/acl_pattern.h"
#include "auth/acl_read.h"
#include "auth/acl_table.h"
#include "base/mem.h"

struct acl {
    uint32_t refs;
    char *path; /* printable */
    struct acl_table table;
};

/* --- life --- */

/* The text is kept: the rules are in it. */
static enum err keep_text(struct acl *a, struct str text, const char *path)
{
    char shown[512];

    a->path = str_dup(str_c(str_escape(str_c(path), shown, sizeof(shown))));
    if (!a->path)
        return ERR_NOMEM;
    if (text.n == 0)
        return ERR_OK;
    a->table.text = mem_alloc(text.n);
    if (!a->table.text)
        return ERR_NOMEM;
    a->table.text_n = text.n;
    memcpy(a->table.text, text.p, text.n);
    return ERR_OK;
}

enum err acl_parse(struct str text, const char *path, const struct log *log, struct acl **out)
{
    struct acl *a = mem_zalloc(sizeof(*a));
    struct acl_draft draft = {0};
    enum err e;

    if (!a)
        return ERR_NOMEM;
    a->refs = 1;
    e = keep_text(a, text, path);
    if (!e)
        e = acl_read(str_of(a->table.text, a->table.text_n), a->path, log, &draft);
    if (!e)
        e = acl_table_build(&a->table, &draft);
    acl_draft_clear(&draft);
    if (e)
        acl_unref(a);
    else
        *out = a;
    return e;
}

struct acl *acl_ref(struct acl *a)
{
    a->refs++;
    return a;
}

void acl_unref(struct acl *a)
{
    if (!a || --a->refs > 0)
        return;
    acl_table_clear(&a->table);
    str_dup_free(a->path);
    mem_free(a, sizeof(*a));
}

const char *acl_path(const struct acl *a)
{
    return a->path;
}

struct str acl_line(const struct acl *a, uint32_t line)
{
    struct str rest = str_of(a->table.text, a->table.text_n);

    for (uint32_t i = 1; rest.n > 0; i++) {
        const char *end = memchr(rest.p, '\n', rest.n);
        size_t n = end ? (size_t)(end - rest.p) : rest.n;
        if (i == line)
            return str_trim(str_of(rest.p, n));
        n += end != NULL;
        rest = str_of(rest.p + n, rest.n - n);
    }
    return str_of(NULL, 0);
}

static bool has_wild(struct str s)
{
    return s.n > 0 && (memchr(s.p, '+', s.n) || memchr(s.p, '#', s.n));
}

struct acl_who acl_who(const struct acl *a, struct str user, struct str client)
{
    return (struct acl_who){.user = user,
                            .client = client,
                            .rules = acl_table_user(&a->table, user),
                            .dangerous = has_wild(user) || has_wild(client)};
}

/* --- topics --- */

/* Rules that match a topic: the first of them that gives this right (0: any), or 0. */
static uint32_t line_of_rule(struct acl_set set, struct str topic, uint8_t right)
{
    struct acl_search s;
    const struct acl_rule *r;

    if (set.count == 0)
        return 0;
    acl_search_begin(&s, set, topic);
    while ((r = acl_search_next(&s))) {
        if ((r->rights & right) == right)
            return r->line;
    }
    return 0;
}

static struct acl_pattern pattern_of(const struct acl *a, uint32_t i, const struct acl_who *who)
{
    return (struct acl_pattern){.text = acl_rule_filter(a->table.text, &a->table.patterns[i]),
                                .client = who->client,
                                .user = who->user};
}

/* The same of patterns. */
static uint32_t line_of_pattern(const struct acl *a, const struct acl_who *who, struct str topic,
                                uint8_t right)
{
    const struct acl_table *t = &a->table;
    uint32_t end = right ? t->pattern_count : t->pattern_denials;

    for (uint32_t i = right ? t->pattern_denials : 0; i < end; i++) {
        struct acl_pattern p = pattern_of(a, i, who);
        if ((t->patterns[i].rights & right) == right && acl_pattern_applies(&p) &&
            acl_pattern_matches(&p, topic))
            return t->patterns[i].line;
    }
    return 0;
}

static struct acl_verdict grant(uint32_t line)
{
    return (struct acl_verdict){.granted = true, .line = line};
}

static struct acl_verdict deny(uint32_t line)
{
    return (struct acl_verdict){.line = line};
}

static struct acl_verdict decide_by_patterns(const struct acl *a, const struct acl_who *who,
                                             uint8_t right, struct str topic)
{
    uint32_t line;

    if (a->table.pattern_count == 0)
        return deny(0);
    if (who->dangerous)
        return (struct acl_verdict){.dangerous = true};
    line = line_of_pattern(a, who, topic, 0);
    if (line)
        return deny(line);
    line = line_of_pattern(a, who, topic, right);
    return line ? grant(line) : deny(0);
}

struct acl_verdict acl_decide(const struct acl *a, const struct acl_who *who, enum acl_right right,
                              struct str topic)
{
    uint32_t line;

    if (who->rules) {
        line = line_of_rule(acl_table_denials(&a->table, who->rules), topic, 0);
        if (line)
            return deny(line);
        line = line_of_rule(acl_table_grants(&a->table, who->rules), topic, (uint8_t)right);
        if (line)
            return grant(line);
    }
    return decide_by_patterns(a, who, (uint8_t)right, topic);
}

/* --- filters --- */

/* A question about a filter, and room to work in. */
struct inquiry {
    const struct acl *acl;
    const struct acl_who *who;
    struct str filter;
    struct acl_meeting meeting;
    char expanded[ACL_TOPIC_MAX];
};

static bool ends_in_hash(struct str filter)
{
    return filter.n > 0 && filter.p[filter.n - 1] == '#';
}

static const struct acl_rule *own_denial(const struct acl *a, const struct acl_who *who,
                                         struct str topic, bool endless)
{
    struct acl_search s;
    const struct acl_rule *r;

    if (!who->rules)
        return NULL;
    acl_search_begin(&s, acl_table_denials(&a->table, who->rules), topic);
    while ((r = acl_search_next(&s))) {
        if (!endless || ends_in_hash(acl_rule_filter(a->table.text, r)))
            return r;
    }
    return NULL;
}

static const struct acl_rule *pattern_denial(const struct acl *a, const struct acl_who *who,
                                             struct str topic, bool endless)
{
    for (uint32_t i = 0; i < a->table.pattern_denials; i++) {
        struct acl_pattern p = pattern_of(a, i, who);
        if ((!endless || ends_in_hash(p.text)) && acl_pattern_applies(&p) &&
            acl_pattern_matches(&p, topic))
            return &a->table.patterns[i];
    }
    return NULL;
}

/*
 * The denial of a topic that stands for all with as many levels; of those with more levels too, if
 * it has to be `endless`.
 */
static const struct acl_rule *denial(const struct inquiry *q, bool patterns, bool endless)
{
    struct str topic = q->meeting.topic;
    const struct acl_rule *r = own_denial(q->acl, q->who, topic, endless);

    return r || !patterns ? r : pattern_denial(q->acl, q->who, topic, endless);
}

/* Is there a topic that the filter and this rule have in common, and no denial takes away? */
static bool leaves_some(struct inquiry *q, struct str rule, bool patterns)
{
    if (!acl_meeting_begin(&q->meeting, q->filter, rule))
        return false;
    do {
        if (!denial(q, patterns, false))
            return true;
        if (denial(q, patterns, true))
            return false;
    } while (acl_meeting_next(&q->meeting));
    return false;
}

static uint32_t readable_by_rules(struct inquiry *q)
{
    struct acl_search s;
    const struct acl_rule *r;

    if (!q->who->rules)
        return 0;
    acl_search_begin(&s, acl_table_grants(&q->acl->table, q->who->rules), q->filter);
    while ((r = acl_search_next(&s))) {
        if (r->rights & ACL_READ && leaves_some(q, acl_rule_filter(q->acl->table.text, r), false))
            return r->line;
    }
    return 0;
}

static uint32_t readable_by_patterns(struct inquiry *q)
{
    const struct acl_table *t = &q->acl->table;

    for (uint32_t i = t->pattern_denials; i < t->pattern_count; i++) {
        struct acl_pattern p = pattern_of(q->acl, i, q->who);
        struct str rule;
        if (t->patterns[i].rights & ACL_READ && acl_pattern_applies(&p) &&
            acl_pattern_expand(&p, q->expanded, sizeof(q->expanded), &rule) &&
            leaves_some(q, rule, true))
            return t->patterns[i].line;
    }
    return 0;
}

/* The line that denies all of the filter, or 0. */
static uint32_t line_of_denial(struct inquiry *q, bool patterns)
{
    const struct acl_rule *r = NULL;

    if (acl_meeting_begin(&q->meeting, q->filter, q->filter))
        r = denial(q, patterns, q->meeting.endless);
    return r ? r->line : 0;
}

struct acl_verdict acl_decide_filter(const struct acl *a, const struct acl_who *who,
                                     struct str filter)
{
    struct inquiry q;
    uint32_t line;

    q.acl = a;
    q.who = who;
    q.filter = filter;
    line = readable_by_rules(&q);
    if (line)
        return grant(line);
    line = line_of_denial(&q, false);
    if (line || a->table.pattern_count == 0)
        return deny(line);
    if (who->dangerous)
        return (struct acl_verdict){.dangerous = true};
    line = readable_by_patterns(&q);
    return line ? grant(line) : deny(line_of_denial(&q, true));
}
