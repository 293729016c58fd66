/*
 * ACL files, slowly: a list of lines and topic_matches(). What auth/acl.c says is held against it.
 * Only for files that are right.
 */
#ifndef UNIT_ACL_MODEL_H
#define UNIT_ACL_MODEL_H

#include "auth/acl.h"
#include "mqtt/topic.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MODEL_RULES_MAX 1000
#define MODEL_FILTER_MAX 70000

struct model_rule {
    bool pattern;
    unsigned rights;
    struct str user; /* empty: clients without a name */
    struct str filter;
    uint32_t line;
};

struct model {
    struct model_rule rules[MODEL_RULES_MAX];
    size_t count;
    bool overflow; /* more rules than fit */
    bool patterns; /* there are some */
};

static inline struct str model_word(struct str s)
{
    size_t n = 0;

    while (n < s.n && s.p[n] != ' ' && s.p[n] != '\t')
        n++;
    return str_of(s.p, n);
}

static inline struct str model_behind(struct str s, struct str word)
{
    return str_trim(str_of(s.p + word.n, s.n - word.n));
}

static inline void model_rule(struct model *m, struct str rest, struct model_rule r)
{
    static const char *const words[] = {"deny", "read", "write", "readwrite"};
    struct str word = model_word(rest);
    struct str behind = model_behind(rest, word);

    r.filter = rest;
    r.rights = ACL_READ | ACL_WRITE;
    for (unsigned i = 0; i < ARRAY_SIZE(words) && behind.n > 0; i++) {
        if (str_eq_c(word, words[i])) {
            r.filter = behind;
            r.rights = i;
        }
    }
    m->overflow |= m->count == MODEL_RULES_MAX;
    m->patterns |= r.pattern;
    if (!m->overflow)
        m->rules[m->count++] = r;
}

static inline void model_read(struct model *m, struct str text)
{
    struct str user = {0};
    uint32_t line = 0;

    m->count = 0;
    m->overflow = m->patterns = false;
    if (str_has_prefix(text, STR("\xEF\xBB\xBF")))
        text = str_of(text.p + 3, text.n - 3);
    while (text.n > 0) {
        size_t n = 0;
        while (n < text.n && text.p[n] != '\n')
            n++;
        struct str l = str_trim(str_of(text.p, n));
        bool comment = text.p[0] == '#';
        text = n < text.n ? str_of(text.p + n + 1, text.n - n - 1) : str_of(text.p, 0);
        line++;
        if (l.n == 0 || comment)
            continue;
        struct str word = model_word(l);
        struct str rest = model_behind(l, word);
        if (str_eq_c(word, "user"))
            user = rest;
        else
            model_rule(m, rest,
                       (struct model_rule){
                           .pattern = str_eq_c(word, "pattern"), .user = user, .line = line});
    }
}

static inline bool model_wild(struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '+' || s.p[i] == '#')
            return true;
    }
    return false;
}

/* Does this rule say something of this topic, for this client? */
static inline bool model_applies(const struct model_rule *r, const struct acl_who *who,
                                 struct str topic)
{
    static char filled[MODEL_FILTER_MAX];
    size_t n = 0;

    if (!r->pattern)
        return str_eq(r->user, who->user) && topic_matches(r->filter, topic);
    for (size_t i = 0; i < r->filter.n; i++) {
        struct str s = str_of(r->filter.p + i, 1);
        if (r->filter.p[i] == '%' && i + 1 < r->filter.n) {
            char c = r->filter.p[i + 1];
            i += c == 'c' || c == 'u';
            s = c == 'c' ? who->client : c == 'u' ? who->user : s;
            if (c == 'u' && who->user.n == 0)
                return false;
        }
        if (n + s.n > sizeof(filled))
            return false;
        if (s.n > 0)
            memcpy(filled + n, s.p, s.n);
        n += s.n;
    }
    return topic_matches(str_of(filled, n), topic);
}

/* The first rule of this kind that has something to say; NULL: none. right 0: denials. */
static inline const struct model_rule *model_find(const struct model *m, const struct acl_who *who,
                                                  bool pattern, unsigned right, struct str topic)
{
    for (size_t i = 0; i < m->count; i++) {
        const struct model_rule *r = &m->rules[i];
        bool kind = right ? (r->rights & right) != 0 : r->rights == 0;
        if (r->pattern == pattern && kind && model_applies(r, who, topic))
            return r;
    }
    return NULL;
}

static inline struct acl_verdict model_decide(const struct model *m, const struct acl_who *who,
                                              unsigned right, struct str topic)
{
    for (unsigned i = 0; i < 4; i++) {
        bool granting = i & 1U;
        const struct model_rule *r;
        if (i == 2 && m->patterns && (model_wild(who->user) || model_wild(who->client)))
            return (struct acl_verdict){.dangerous = true};
        r = model_find(m, who, i >= 2, granting ? right : 0, topic);
        if (r)
            return (struct acl_verdict){.granted = granting, .line = r->line};
    }
    return (struct acl_verdict){0};
}

/* Is this line one that decides so? The first of several need not be the one that is named. */
static inline bool model_line_decides(const struct model *m, const struct acl_who *who,
                                      unsigned right, struct str topic,
                                      const struct acl_verdict *want, uint32_t line)
{
    const struct model_rule *first = NULL, *named = NULL;

    for (size_t i = 0; i < m->count; i++) {
        if (m->rules[i].line == want->line)
            first = &m->rules[i];
        if (m->rules[i].line == line)
            named = &m->rules[i];
    }
    if (!first || !named)
        return line == 0 && want->line == 0;
    return named->pattern == first->pattern && !named->rights == !first->rights &&
           (!want->granted || (named->rights & right)) && model_applies(named, who, topic);
}

static inline bool model_agrees(const struct model *m, const struct acl *a,
                                const struct acl_who *who, enum acl_right right, struct str topic)
{
    struct acl_verdict want = model_decide(m, who, right, topic);
    struct acl_verdict have = acl_decide(a, who, right, topic);

    return want.granted == have.granted && want.dangerous == have.dangerous &&
           model_line_decides(m, who, right, topic, &want, have.line);
}

#endif
