/*
 * Rules drawn from the names of this world. Denials go before grants, nothing else is granted.
 */
#include "guard.h"

#include "auth/realm.h"
#include "mqtt/topic.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_ROOM 65536
#define RULES_MAX 8

enum { DENY, READ = ACL_READ, WRITE = ACL_WRITE };

struct rule {
    unsigned access; /* bits, or DENY */
    struct str filter;
};

static const char *const words[] = {
    [DENY] = "deny", [READ] = "read", [WRITE] = "write", [READ | WRITE] = "readwrite"};

static void add_text(struct guard *g, const char *fmt, ...) PRINTF(2, 3);
static void add_text(struct guard *g, const char *fmt, ...)
{
    va_list args;
    char *end = (char *)(uintptr_t)g->text.p + g->text.n;
    int n;

    va_start(args, fmt);
    n = vsnprintf(end, TEXT_ROOM - g->text.n, fmt, args);
    va_end(args);
    assert(n > 0 && g->text.n + (size_t)n < TEXT_ROOM);
    g->text.n += (size_t)n;
}

/* A denial is for one plain topic: wills must stay possible. */
static struct rule draw_rule(struct rng *r, const struct names *n)
{
    struct rule rule = {.access = rng_below(r, 4)};
    unsigned f = rng_below(r, FILTERS);

    if (rule.access == DENY || n->shared[f] || rng_below(r, 2))
        rule.filter = n->topic[rng_below(r, PLAIN_TOPICS)];
    else
        rule.filter = n->filter[f];
    return rule;
}

static bool has(const struct rule *rules, unsigned count, unsigned right, struct str topic)
{
    bool granted = false;

    for (unsigned i = 0; i < count; i++) {
        if (!topic_matches(rules[i].filter, topic))
            continue;
        if (rules[i].access == DENY)
            return false;
        granted |= (rules[i].access & right) != 0;
    }
    return granted;
}

static void draw_client(struct guard *g, struct rng *r, const struct names *n, unsigned client)
{
    struct rule rules[RULES_MAX];
    unsigned count = 0;
    char room[16];

    if (client == CLIENTS - 1 || rng_below(r, 3) == 0)
        rules[count++] = (struct rule){READ | WRITE, STR("#")};
    if (client == CLIENTS - 1)
        rules[count++] = (struct rule){READ | WRITE, STR("$x/#")};
    if (rng_below(r, 2))
        rules[count++] = (struct rule){1 + rng_below(r, 3), STR("r/#")};
    rules[count++] = (struct rule){WRITE, STR("will/#")};
    for (unsigned more = client < CLIENTS - 1 ? rng_below(r, 4) : 0; more > 0; more--)
        rules[count++] = draw_rule(r, n);
    add_text(g, "user %.*s\n", STR_ARG(guard_user(g, (int)client, room)));
    for (unsigned i = 0; i < count; i++)
        add_text(g, "topic %s %.*s\n", words[rules[i].access], STR_ARG(rules[i].filter));
    for (unsigned t = 0; t < TOPICS; t++) {
        g->may_read[client][t] = has(rules, count, READ, n->topic[t]);
        g->may_write[client][t] = has(rules, count, WRITE, n->topic[t]);
    }
}

void guard_draw(struct guard *g, struct rng *r, const struct names *n)
{
    g->on = true;
    g->text = str_of(malloc(TEXT_ROOM), 0);
    assert(g->text.p);
    for (unsigned i = 0; i < CLIENTS; i++)
        draw_client(g, r, n, i);
}

void guard_clear(struct guard *g)
{
    free((void *)(uintptr_t)g->text.p);
    *g = (struct guard){0};
}

void guard_unhang(struct conf_listener *listeners, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        if (listeners[i].realm)
            acl_unref(listeners[i].realm->acl);
        free(listeners[i].realm);
        listeners[i].realm = NULL;
    }
}

void guard_hang(const struct guard *g, struct conf_listener *listeners, unsigned count)
{
    const struct log silent = {0};

    guard_unhang(listeners, count);
    for (unsigned i = 0; i < count && g->on; i++) {
        struct realm *realm = calloc(1, sizeof *realm);
        assert(realm);
        if (acl_parse(g->text, "acl", &silent, &realm->acl) != ERR_OK) {
            fprintf(stderr, "these rules are refused:\n%.*s", STR_ARG(g->text));
            abort();
        }
        listeners[i].realm = realm;
    }
}

struct str guard_user(const struct guard *g, int client, char *room)
{
    if (!g->on)
        return STR("");
    (void)snprintf(room, 16, "user%d", client);
    return str_c(room);
}
