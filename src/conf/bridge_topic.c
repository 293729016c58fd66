/*
 * A word may stand in quotes, and then have blanks; "" is an empty one. Behind the pattern, which
 * may be #, a word that begins with # is the beginning of a comment.
 *
 * What may be pasted together is decided by what comes out: both filters must be valid.
 */
#include "conf/bridge_topic.h"

#include "base/mem.h"
#include "mqtt/topic.h"
#include "mqtt/utf8.h"

#include <string.h>

enum word { PATTERN, DIRECTION, QOS, LOCAL, REMOTE, WORDS_MAX };

/* The words of a line; those that it does not have are empty. */
struct words {
    struct str word[WORDS_MAX];
    size_t count;
};

/* The next word, and off with it; false when none is left. ERR_INVAL in *e: its quotes are wrong.
 */
static bool cut_word(struct str *text, struct str *word, enum err *e)
{
    const char *end;

    *text = str_trim(*text);
    if (text->n == 0)
        return false;
    if (text->p[0] != '"') {
        *word = str_token(text);
        return true;
    }
    end = memchr(text->p + 1, '"', text->n - 1);
    if (!end) {
        *e = ERR_INVAL;
        return false;
    }
    *word = str_of(text->p + 1, (size_t)(end - text->p) - 1);
    *text = str_of(end + 1, text->n - word->n - 2);
    if (text->n > 0 && text->p[0] != ' ' && text->p[0] != '\t')
        *e = ERR_INVAL;
    return *e == ERR_OK;
}

static bool comment_follows(struct str text)
{
    text = str_trim(text);
    return text.n > 0 && text.p[0] == '#';
}

static const char *split(struct str text, struct words *w)
{
    enum err e = ERR_OK;
    struct str word;

    while (!(w->count > 0 && comment_follows(text)) && cut_word(&text, &word, &e)) {
        if (w->count == WORDS_MAX)
            return "expected nothing behind the remote prefix.";
        if (!utf8_valid(word))
            return "expected UTF-8 text without control characters.";
        w->word[w->count++] = word;
    }
    if (e)
        return "expected quotes at both ends of a word, and a blank behind it.";
    return w->count == 0 ? "expected a pattern such as sensors/#." : NULL;
}

static const char *read_direction(struct str word, uint8_t *direction)
{
    static const struct {
        const char *name;
        uint8_t direction;
    } names[] = {{"out", CONF_OUT}, {"in", CONF_IN}, {"both", CONF_BOTH}};

    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        if (str_eq_c(word, names[i].name)) {
            *direction = names[i].direction;
            return NULL;
        }
    }
    return "expected out, in or both behind the pattern; a pattern with blanks stands in quotes.";
}

static const char *read_qos(struct str word, uint8_t *qos)
{
    int64_t n = 0;

    if (str_to_i64(word, &n) || n < 0 || n > 2)
        return "expected 0, 1 or 2 for the QoS, behind the direction.";
    *qos = (uint8_t)n;
    return NULL;
}

static const char *check_prefixes(struct str local, struct str remote)
{
    if (local.n > 0 && topic_check_name(local) != REASON_OK)
        return "expected a local prefix without + and #, of less than 200 levels.";
    if (remote.n > 0 && topic_check_name(remote) != REASON_OK)
        return "expected a remote prefix without + and #, of less than 200 levels.";
    return NULL;
}

static bool is_filter(const char *text)
{
    struct str filter = str_c(text);

    return topic_check_filter(filter) == REASON_OK && !str_has_prefix(filter, STR("$share/"));
}

/* Prefix and pattern as one text; NULL without memory. */
static char *paste(struct str prefix, struct str pattern)
{
    size_t n = prefix.n + pattern.n;
    char *text = mem_alloc(n + 1);

    if (!text)
        return NULL;
    if (prefix.n > 0)
        memcpy(text, prefix.p, prefix.n);
    if (pattern.n > 0)
        memcpy(text + prefix.n, pattern.p, pattern.n);
    text[n] = '\0';
    return text;
}

static void clear_topic(struct conf_bridge_topic *t)
{
    str_dup_free(t->local);
    str_dup_free(t->remote);
}

static const char *check_filters(const struct conf_bridge_topic *t, struct str pattern)
{
    if (str_has_prefix(pattern, STR("$share/")))
        return "expected no shared subscription: what others get does not come over the bridge.";
    if (!is_filter(t->local))
        return t->local_prefix > 0
                   ? "expected local prefix and pattern to be a filter together, in which + and # "
                     "are whole levels."
                   : "expected a pattern that is a filter, in which + and # are whole levels.";
    if (!is_filter(t->remote))
        return "expected remote prefix and pattern to be a filter together, in which + and # are "
               "whole levels.";
    return NULL;
}

/* The two filters. */
static enum err make_filters(const struct words *w, struct conf_bridge_topic *t, const char **why)
{
    struct str pattern = w->word[PATTERN], local = w->word[LOCAL], remote = w->word[REMOTE];

    *why = check_prefixes(local, remote);
    if (!*why && pattern.n == 0 && (local.n == 0 || remote.n == 0))
        *why = "expected two prefixes beside an empty pattern: it maps one topic to another.";
    if (!*why && (local.n > remote.n ? local.n : remote.n) + pattern.n > UINT16_MAX)
        *why = "expected no more than 65535 bytes of prefix and pattern.";
    if (*why)
        return ERR_INVAL;
    t->local_prefix = (uint16_t)local.n;
    t->remote_prefix = (uint16_t)remote.n;
    t->local = paste(local, pattern);
    t->remote = paste(remote, pattern);
    if (!t->local || !t->remote)
        return ERR_NOMEM;
    *why = check_filters(t, pattern);
    return *why ? ERR_INVAL : ERR_OK;
}

static enum err read_topic(struct str text, struct conf_bridge_topic *t, const char **why)
{
    struct words w = {0};

    t->direction = CONF_OUT;
    *why = split(text, &w);
    if (!*why && w.count > DIRECTION)
        *why = read_direction(w.word[DIRECTION], &t->direction);
    if (!*why && w.count > QOS)
        *why = read_qos(w.word[QOS], &t->qos);
    return *why ? ERR_INVAL : make_filters(&w, t, why);
}

static bool same(const struct conf_bridge_topic *a, const struct conf_bridge_topic *b)
{
    return a->local_prefix == b->local_prefix && a->remote_prefix == b->remote_prefix &&
           a->direction == b->direction && a->qos == b->qos && strcmp(a->local, b->local) == 0 &&
           strcmp(a->remote, b->remote) == 0;
}

static bool has(const struct conf_bridge *b, const struct conf_bridge_topic *t)
{
    size_t i = 0;

    while (i < b->topic_count && !same(&b->topics[i], t))
        i++;
    return i < b->topic_count;
}

/* Takes the topic's texts when it is ERR_OK. */
static enum err append(struct conf_bridge *b, const struct conf_bridge_topic *t, const char **why)
{
    size_t n = b->topic_count;
    struct conf_bridge_topic *grown;

    if (has(b, t))
        return ERR_EXISTS;
    if (n == BRIDGE_TOPICS_MAX) {
        *why = "expected no more than 4096 topics in one bridge.";
        return ERR_INVAL;
    }
    grown = mem_realloc(b->topics, n * sizeof(*t), (n + 1) * sizeof(*t));
    if (!grown)
        return ERR_NOMEM;
    b->topics = grown;
    b->topics[b->topic_count++] = *t;
    return ERR_OK;
}

enum err bridge_topic_add(struct conf_bridge *b, struct str text, const char **why)
{
    struct conf_bridge_topic t = {0};
    enum err e = read_topic(text, &t, why);

    if (!e)
        e = append(b, &t, why);
    if (e)
        clear_topic(&t);
    return e;
}

bool bridge_topics_same(const struct conf_bridge *a, const struct conf_bridge *b)
{
    size_t i = 0;

    while (i < a->topic_count && i < b->topic_count && same(&a->topics[i], &b->topics[i]))
        i++;
    return i == a->topic_count && i == b->topic_count;
}

void bridge_topics_free(struct conf_bridge *b)
{
    for (size_t i = 0; i < b->topic_count; i++)
        clear_topic(&b->topics[i]);
    mem_free(b->topics, b->topic_count * sizeof(*b->topics));
    b->topics = NULL;
    b->topic_count = 0;
}
