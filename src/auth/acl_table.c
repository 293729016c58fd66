/*
 * From lines in the order of the file to rules by user.
 *
 * A user may have several blocks: these are sorted, not the rules, which then are put together
 * user by user; so the sorting of many users' rules is many short ones.
 */
#include "auth/acl_table.h"

#include "base/mem.h"

#include <stdlib.h>

#define FIRST_ROOM 16

/* Room for one more of `size` bytes in an array that doubles. */
static enum err grow(void **items, uint32_t count, uint32_t *room, size_t size)
{
    uint32_t more = *room ? *room * 2 : FIRST_ROOM;
    void *p;

    if (count < *room)
        return ERR_OK;
    if (more < *room)
        return ERR_NOMEM;
    p = mem_realloc(*items, *room * size, more * size);
    if (!p)
        return ERR_NOMEM;
    *items = p;
    *room = more;
    return ERR_OK;
}

static enum err list_add(struct acl_rule_list *l, struct acl_rule rule)
{
    void *items = l->items;
    enum err e = grow(&items, l->count, &l->room, sizeof(rule));

    l->items = items;
    if (!e)
        l->items[l->count++] = rule;
    return e;
}

static void list_clear(struct acl_rule_list *l)
{
    mem_free(l->items, l->room * sizeof(*l->items));
    *l = (struct acl_rule_list){0};
}

enum err acl_draft_user(struct acl_draft *d, struct acl_block block)
{
    void *blocks = d->blocks;
    enum err e = grow(&blocks, d->block_count, &d->block_room, sizeof(block));

    d->blocks = blocks;
    block.first = d->rules.count;
    block.count = 0;
    if (!e)
        d->blocks[d->block_count++] = block;
    return e;
}

enum err acl_draft_rule(struct acl_draft *d, struct acl_rule rule)
{
    enum err e = d->block_count ? ERR_OK : acl_draft_user(d, (struct acl_block){0});

    if (!e)
        e = list_add(&d->rules, rule);
    if (!e)
        d->blocks[d->block_count - 1].count++;
    return e;
}

enum err acl_draft_pattern(struct acl_draft *d, struct acl_rule rule)
{
    return list_add(&d->patterns, rule);
}

void acl_draft_clear(struct acl_draft *d)
{
    list_clear(&d->rules);
    list_clear(&d->patterns);
    mem_free(d->blocks, d->block_room * sizeof(*d->blocks));
    *d = (struct acl_draft){0};
}

/* --- users --- */

static struct str block_name(const char *text, const struct acl_block *b)
{
    return str_of(text + b->name_at, b->name_len);
}

static int compare_blocks(const void *va, const void *vb, void *text)
{
    const struct acl_block *a = va, *b = vb;
    int c = str_cmp(block_name(text, a), block_name(text, b));

    return c ? c : (a->line > b->line) - (a->line < b->line);
}

static uint32_t count_users(const struct acl_table *t, const struct acl_draft *d)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < d->block_count; i++)
        n += i == 0 ||
             !str_eq(block_name(t->text, &d->blocks[i - 1]), block_name(t->text, &d->blocks[i]));
    return n;
}

/* Sort the last `count` rules of the table, which are this user's. */
static void finish_user(struct acl_table *t, struct acl_rules *u, uint32_t count)
{
    u->first = t->rule_count - count;
    count = acl_rules_sort(t->text, t->rules + u->first, count);
    t->rule_count = u->first + count;
    while (u->denials < count && t->rules[u->first + u->denials].rights == 0)
        u->denials++;
    u->grants = count - u->denials;
}

/* The blocks are sorted, and there is room for all. */
static void gather(struct acl_table *t, const struct acl_draft *d)
{
    uint32_t i = 0;

    while (i < d->block_count) {
        const struct acl_block *b = &d->blocks[i];
        struct acl_rules *u = &t->users[t->user_count++];
        struct str name = block_name(t->text, b);
        uint32_t count = 0;
        *u = (struct acl_rules){.name_at = b->name_at, .name_len = b->name_len};
        for (; i < d->block_count && str_eq(block_name(t->text, &d->blocks[i]), name); i++) {
            b = &d->blocks[i];
            for (uint32_t k = 0; k < b->count; k++)
                t->rules[t->rule_count++] = d->rules.items[b->first + k];
            count += b->count;
        }
        finish_user(t, u, count);
    }
}

/* What the file had twice is given back. */
static enum err trim_rules(struct acl_table *t, uint32_t room)
{
    void *p;

    if (t->rule_count == room)
        return ERR_OK;
    p = mem_realloc(t->rules, room * sizeof(*t->rules), t->rule_count * sizeof(*t->rules));
    if (!p) {
        mem_free(t->rules, room * sizeof(*t->rules));
        t->rule_count = 0;
    }
    t->rules = p;
    return p ? ERR_OK : ERR_NOMEM;
}

static enum err build_users(struct acl_table *t, struct acl_draft *d)
{
    uint32_t users;

    if (d->rules.count == 0)
        return ERR_OK;
    qsort_r(d->blocks, d->block_count, sizeof(*d->blocks), compare_blocks, t->text);
    users = count_users(t, d);
    t->rules = mem_alloc(d->rules.count * sizeof(*t->rules));
    if (!t->rules)
        return ERR_NOMEM;
    t->rule_count = d->rules.count; /* until they are in it, so that it can be cleared */
    t->users = mem_alloc(users * sizeof(*t->users));
    if (!t->users)
        return ERR_NOMEM;
    t->rule_count = 0;
    gather(t, d);
    return trim_rules(t, d->rules.count);
}

/* --- all --- */

static enum err build_patterns(struct acl_table *t, struct acl_draft *d)
{
    const struct acl_rule_list *from = &d->patterns;

    if (from->count == 0)
        return ERR_OK;
    t->patterns = mem_alloc(from->count * sizeof(*t->patterns));
    if (!t->patterns)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < from->count; i++) {
        if (from->items[i].rights == 0)
            t->patterns[t->pattern_count++] = from->items[i];
    }
    t->pattern_denials = t->pattern_count;
    for (uint32_t i = 0; i < from->count; i++) {
        if (from->items[i].rights != 0)
            t->patterns[t->pattern_count++] = from->items[i];
    }
    return ERR_OK;
}

enum err acl_table_build(struct acl_table *t, struct acl_draft *d)
{
    enum err e = build_users(t, d);

    if (!e)
        e = build_patterns(t, d);
    if (!e)
        acl_draft_clear(d);
    return e;
}

void acl_table_clear(struct acl_table *t)
{
    mem_free(t->text, t->text_n);
    mem_free(t->rules, t->rule_count * sizeof(*t->rules));
    mem_free(t->users, t->user_count * sizeof(*t->users));
    mem_free(t->patterns, t->pattern_count * sizeof(*t->patterns));
    *t = (struct acl_table){0};
}

const struct acl_rules *acl_table_user(const struct acl_table *t, struct str name)
{
    uint32_t lo = 0, hi = t->user_count;

    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        const struct acl_rules *u = &t->users[mid];
        int c = str_cmp(str_of(t->text + u->name_at, u->name_len), name);
        if (c == 0)
            return u;
        if (c < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return NULL;
}
