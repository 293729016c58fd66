/*
 * Any bytes as an ACL file, and questions to it. The first byte says which allocation fails; what
 * is behind the first line "?" is questions: user, client id, topic or filter, in turn.
 *
 * Whatever comes: an answer, an error line for each refusal, no memory kept. Every verdict is the
 * one of a list and topic_matches(), and names a line that decides so. A filter of which a topic
 * can be read is never denied, and one without wildcards is decided as a topic.
 */
#include "auth/acl.h"

#include "base/mem.h"
#include "mqtt/utf8.h"
#include "unit/acl_model.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define QUESTIONS_MAX 6
#define TOPICS_MAX 16
#define TOPIC_BYTES 300

struct questions {
    struct acl_who who[QUESTIONS_MAX + 1];
    size_t who_count;
    struct str topics[TOPICS_MAX];
    size_t topic_count;
    struct str filters[TOPICS_MAX];
    size_t filter_count;
    char made[TOPICS_MAX][TOPIC_BYTES];
};

static struct model model;
static struct questions asked;

static void count_errors(void *ctx, enum log_level level, struct str line,
                         const struct log_about *about)
{
    unsigned *errors = ctx;

    (void)about;
    if (line.n == 0 || line.n > LOG_LINE_MAX)
        abort();
    for (size_t i = 0; i < line.n; i++) {
        if ((uint8_t)line.p[i] < ' ' || line.p[i] == 0x7f)
            abort();
    }
    *errors += level == LOG_LEVEL_ERROR;
}

/* --- questions --- */

static void add_topic(struct str s)
{
    if (!utf8_valid(s) || s.n > UINT16_MAX)
        return;
    if (topic_check_name(s) == REASON_OK && asked.topic_count < TOPICS_MAX)
        asked.topics[asked.topic_count++] = s;
    if (topic_check_filter(s) == REASON_OK && asked.filter_count < TOPICS_MAX)
        asked.filters[asked.filter_count++] = s;
}

static void add_who(const struct acl *a, struct str user, struct str client)
{
    if (asked.who_count < QUESTIONS_MAX && client.n > 0)
        asked.who[asked.who_count++] = acl_who(a, user, client);
}

static struct str cut(struct str *text)
{
    const char *end = text->n ? memchr(text->p, '\n', text->n) : NULL;
    struct str line = str_of(text->p, end ? (size_t)(end - text->p) : text->n);
    size_t skip = line.n + (end != NULL);

    *text = str_of(text->p + skip, text->n - skip);
    return line;
}

static void add_written(const struct acl *a, struct str rest)
{
    while (rest.n > 0) {
        struct str user = cut(&rest);
        struct str client = cut(&rest);
        add_who(a, user, client);
        add_topic(cut(&rest));
    }
}

/* A topic that this rule matches, perhaps, and the rule itself as a filter; and its user. */
static void add_of_rule(const struct acl *a, const struct model_rule *r)
{
    char *out = asked.topic_count < TOPICS_MAX ? asked.made[asked.topic_count] : NULL;
    size_t n = 0;

    add_who(a, r->user, STR("c"));
    if (topic_check_filter(r->filter) == REASON_OK && asked.filter_count < TOPICS_MAX)
        asked.filters[asked.filter_count++] = r->filter;
    if (!out || r->filter.n > TOPIC_BYTES)
        return;
    for (size_t i = 0; i < r->filter.n; i++) {
        char c = r->filter.p[i];
        out[n++] = c;
        if (c == '+' || c == '#')
            out[n - 1] = 'a';
        if (c == '%' && i + 1 < r->filter.n && r->filter.p[i + 1] == 'c') {
            out[n - 1] = 'c';
            i++;
        }
    }
    add_topic(str_of(out, n));
}

static void collect(const struct acl *a, struct str written)
{
    asked.who_count = asked.topic_count = asked.filter_count = 0;
    add_who(a, STR(""), STR("c"));
    add_who(a, STR("u"), STR("a/b"));
    add_topic(STR("a"));
    add_topic(STR("#"));
    add_written(a, written);
    for (size_t i = 0; i < model.count; i++)
        add_of_rule(a, &model.rules[i]);
}

/* --- answers --- */

static void check_topic(const struct acl *a, const struct acl_who *who, struct str topic)
{
    struct acl_verdict read = acl_decide(a, who, ACL_READ, topic);
    struct acl_verdict filter = acl_decide_filter(a, who, topic);

    if (!model_agrees(&model, a, who, ACL_READ, topic) ||
        !model_agrees(&model, a, who, ACL_WRITE, topic))
        abort();
    if (read.line && acl_line(a, read.line).n == 0)
        abort();
    if (read.granted != filter.granted || read.dangerous != filter.dangerous)
        abort();
}

static void check_filter(const struct acl *a, const struct acl_who *who, struct str filter)
{
    struct acl_verdict v = acl_decide_filter(a, who, filter);

    if (v.granted && (v.line == 0 || v.dangerous || acl_line(a, v.line).n == 0))
        abort();
    for (size_t i = 0; i < asked.topic_count && !v.granted; i++) {
        struct str topic = asked.topics[i];
        if (topic_matches(filter, topic) && acl_decide(a, who, ACL_READ, topic).granted)
            abort();
        if (v.line && topic_matches(filter, topic) &&
            model_decide(&model, who, ACL_READ, topic).line == 0)
            abort();
    }
}

static void check_answers(const struct acl *a, struct str text, struct str written)
{
    model_read(&model, text);
    if (model.overflow)
        return;
    collect(a, written);
    for (size_t w = 0; w < asked.who_count; w++) {
        for (size_t i = 0; i < asked.topic_count; i++)
            check_topic(a, &asked.who[w], asked.topics[i]);
        for (size_t i = 0; i < asked.filter_count; i++)
            check_filter(a, &asked.who[w], asked.filters[i]);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    unsigned errors = 0;
    struct log log = {.mask = LOG_LEVEL_ALL, .sink = count_errors, .ctx = &errors};
    size_t before = mem_used();
    struct str text, written = {0};
    const char *mark;
    struct acl *a = NULL;
    enum err e;

    if (size == 0)
        return 0;
    text = str_of((const char *)data + 1, size - 1);
    mark = text.n ? memmem(text.p, text.n, "\n?\n", 3) : NULL;
    if (mark) {
        written = str_of(mark + 3, text.n - (size_t)(mark - text.p) - 3);
        text.n = (size_t)(mark - text.p);
    }
    if (data[0] & 1U)
        mem_fail_after(data[0] >> 1U, 0);
    e = acl_parse(text, "fuzz", &log, &a);
    mem_fail_never();
    if ((e == ERR_OK) != (a != NULL) || (e == ERR_INVAL) != (errors > 0))
        if (e != ERR_NOMEM)
            abort();
    if (a)
        check_answers(a, text, written);
    acl_unref(a);
    if (mem_used() != before)
        abort();
    return 0;
}
