/*
 * Loops over all rows: defaults, copies, release.
 */
#include "conf/fields.h"

#include "base/mem.h"
#include "conf/bridge_address.h"
#include "conf/bridge_topic.h"
#include "conf/numbers.h"

#include <string.h>

void field_store(const struct conf_option *opt, void *base, int64_t n)
{
    uint8_t n8 = (uint8_t)n;
    uint16_t n16 = (uint16_t)n;
    uint32_t n32 = (uint32_t)n;
    const void *from = opt->size == 1   ? (void *)&n8
                       : opt->size == 2 ? (void *)&n16
                       : opt->size == 4 ? (void *)&n32
                                        : (void *)&n;

    memcpy(field_of(opt, base), from, opt->size);
}

enum err field_replace(char **text, struct str by)
{
    char *copy = str_dup(by);

    if (!copy)
        return ERR_NOMEM;
    str_dup_free(*text);
    *text = copy;
    return ERR_OK;
}

bool field_same_text(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

static enum err keep_text(char **text, const char *old)
{
    if (old)
        return field_replace(text, str_c(old));
    str_dup_free(*text);
    *text = NULL;
    return ERR_OK;
}

enum err field_keep(const struct conf_option *opt, void *base, const void *old, bool *differed)
{
    const char *from = (const char *)old + opt->offset;
    char *before;

    *differed = false;
    if (opt->type == OPTION_TEXT) {
        memcpy(&before, from, sizeof(before));
        *differed = !field_same_text(*field_text(base, opt->offset), before);
        return *differed ? keep_text(field_text(base, opt->offset), before) : ERR_OK;
    }
    *differed = memcmp(field_of(opt, base), from, opt->size) != 0;
    memcpy(field_of(opt, base), from, opt->size);
    return ERR_OK;
}

static enum err set_default(const struct conf_option *opt, void *base)
{
    unsigned *bits = field_of(opt, base);

    switch (opt->type) {
    case OPTION_BOOL:
    case OPTION_CHOICE:
    case OPTION_INT:
        field_store(opt, base, opt->fallback);
        break;
    case OPTION_WORDS:
    case OPTION_LIST:
        *bits = (unsigned)opt->fallback;
        break;
    case OPTION_TEXT:
        if (opt->text)
            return field_replace(field_text(base, opt->offset), str_c(opt->text));
        break;
    case OPTION_NUMBERS:
        return opt->text ? numbers_set(opt, base, str_c(opt->text)) : ERR_OK;
    case OPTION_PERIOD:
    case OPTION_NETWORKS:
    case OPTION_LISTENER:
    case OPTION_BRIDGE:
    case OPTION_ADDRESSES:
    case OPTION_TOPIC:
    case OPTION_INCLUDE:
    case OPTION_EXPAND:
    case OPTION_INERT:
        break;
    }
    return ERR_OK;
}

/* Do this for every row whose field is in that struct; goes on after an error. */
typedef enum err row_visit(const struct conf_option *opt, void *base);

static enum err each_row(void *base, enum option_home home, row_visit *visit)
{
    enum err e = ERR_OK;

    for (size_t i = 0, count = option_count(); i < count; i++) {
        const struct conf_option *opt = option_at(i);
        if (option_home(opt) == home && option_owns(opt) && visit(opt, base))
            e = ERR_NOMEM;
    }
    return e;
}

enum err fields_defaults(void *base, enum option_home home)
{
    return each_row(base, home, set_default);
}

/* The text that the option's row owns: none, its value, or the path beside its words. */
static char **owned_text(const struct conf_option *opt, void *base)
{
    if (opt->type == OPTION_TEXT || opt->type == OPTION_BRIDGE)
        return field_text(base, opt->offset);
    return opt->type == OPTION_WORDS && opt->beside ? field_text(base, opt->beside) : NULL;
}

static enum err copy_networks(const struct conf_option *opt, void *base)
{
    struct conf_network **list = (struct conf_network **)field_of(opt, base), *copy = NULL;
    size_t *count = field_count(opt, base);
    size_t size = *count * sizeof(**list);

    if (size > 0) {
        copy = mem_alloc(size);
        if (copy)
            memcpy(copy, *list, size);
        else
            *count = 0;
    }
    *list = copy;
    return size > 0 && !copy ? ERR_NOMEM : ERR_OK;
}

/* Leaves nothing rather than what is somebody else's when there is no memory. */
static enum err copy_row(const struct conf_option *opt, void *base)
{
    char **text = owned_text(opt, base);

    if (opt->type == OPTION_NETWORKS)
        return copy_networks(opt, base);
    if (!text || !*text)
        return ERR_OK;
    *text = str_dup(str_c(*text));
    return *text ? ERR_OK : ERR_NOMEM;
}

static enum err free_row(const struct conf_option *opt, void *base)
{
    char **text = owned_text(opt, base);

    if (opt->type == OPTION_NETWORKS) {
        mem_free(*(struct conf_network **)field_of(opt, base),
                 *field_count(opt, base) * sizeof(struct conf_network));
        *(struct conf_network **)field_of(opt, base) = NULL;
        *field_count(opt, base) = 0;
    } else if (opt->type == OPTION_ADDRESSES) {
        bridge_addresses_free(base);
    } else if (opt->type == OPTION_TOPIC) {
        bridge_topics_free(base);
    } else if (text) {
        str_dup_free(*text);
        *text = NULL;
    }
    return ERR_OK;
}

enum err fields_copy(void *to, const void *from, size_t size, enum option_home home)
{
    memcpy(to, from, size);
    return each_row(to, home, copy_row);
}

void fields_free(void *base, enum option_home home)
{
    (void)each_row(base, home, free_row);
}

static bool same_row(const struct conf_option *opt, const void *a, const void *b)
{
    char *const *text_a = (char *const *)(const void *)((const char *)a + opt->offset);
    char *const *text_b = (char *const *)(const void *)((const char *)b + opt->offset);

    if (opt->type == OPTION_TEXT || opt->type == OPTION_BRIDGE)
        return field_same_text(*text_a, *text_b);
    if (opt->type == OPTION_ADDRESSES)
        return bridge_addresses_same(a, b);
    if (opt->type == OPTION_TOPIC)
        return bridge_topics_same(a, b);
    return memcmp(text_a, text_b, opt->size) == 0;
}

bool fields_same(const void *a, const void *b, enum option_home home)
{
    for (size_t i = 0, count = option_count(); i < count; i++) {
        const struct conf_option *opt = option_at(i);
        if (option_home(opt) == home && option_owns(opt) && !same_row(opt, a, b))
            return false;
    }
    return true;
}
