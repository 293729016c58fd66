/*
 * Who may come in.
 */
#include "server/door.h"

#include "base/mem.h"
#include "server/proxy.h"

#include <stdio.h>
#include <string.h>

#define GROUPS_MAX UINT16_MAX /* as a link numbers them */

void door_init(struct door *d, const struct log *log)
{
    *d = (struct door){.log = log, .max_open = -1};
    flood_init(&d->flood);
    reserve_init(&d->reserve);
    wrap_init(&d->wrap);
}

void door_clear(struct door *d)
{
    for (size_t i = 0; i < d->group_count; i++) {
        conf_listener_unref(d->groups[i].rules);
        tls_ctx_unref(d->groups[i].tls);
    }
    mem_free(d->groups, d->group_count * sizeof(*d->groups));
    d->groups = NULL;
    d->group_count = 0;
    reserve_lend(&d->reserve);
}

/* --- groups --- */

static size_t free_place(const struct door *d)
{
    size_t i = 0;
    while (i < d->group_count && d->groups[i].rules) {
        i++;
    }
    return i;
}

static enum err one_more_place(struct door *d)
{
    size_t size = d->group_count * sizeof(*d->groups);
    if (d->group_count >= GROUPS_MAX) {
        return ERR_FULL;
    }
    struct group *grown = mem_realloc(d->groups, size, size + sizeof(*grown));
    if (!grown) {
        return ERR_NOMEM;
    }
    d->groups = grown;
    d->group_count++;
    return ERR_OK;
}

enum err door_add(struct door *d, struct conf_listener *rules, uint16_t *group)
{
    size_t i = free_place(d);
    enum err e = i == d->group_count ? one_more_place(d) : ERR_OK;
    if (e != ERR_OK) {
        return e;
    }
    d->groups[i] = (struct group){.rules = conf_listener_ref(rules)};
    *group = (uint16_t)i;
    return ERR_OK;
}

void door_rule(struct door *d, uint16_t group, struct conf_listener *rules)
{
    struct group *g = door_group(d, group);
    struct conf_listener *old = g->rules;
    g->rules = conf_listener_ref(rules);
    conf_listener_unref(old);
}

void door_key(struct door *d, uint16_t group, struct tls_ctx *tls)
{
    struct group *g = door_group(d, group);
    struct tls_ctx *old = g->tls;
    g->tls = tls ? tls_ctx_ref(tls) : NULL;
    tls_ctx_unref(old);
}

void door_settle(struct door *d, uint16_t group)
{
    struct group *g = door_group(d, group);
    if (g->open == 0 && g->sockets == 0) {
        conf_listener_unref(g->rules);
        g->rules = NULL;
        door_key(d, group, NULL);
    }
}

void door_enter(struct door *d, uint16_t group)
{
    door_group(d, group)->open++;
    d->open++;
}

void door_leave(struct door *d, uint16_t group)
{
    door_group(d, group)->open--;
    d->open--;
    door_settle(d, group);
}

/* --- refusing --- */

const char *door_place(const struct conf_listener *rules, char out[DOOR_PLACE_MAX])
{
    if (rules->port != 0) {
        (void)snprintf(out, DOOR_PLACE_MAX, "port %u", rules->port);
    } else {
        char path[DOOR_PLACE_MAX - 8];
        (void)snprintf(out, DOOR_PLACE_MAX, "path %s",
                       str_escape(str_c(rules->address), path, sizeof(path)));
    }
    return out;
}

/* Like ones differ in nothing but the port, and in the address unless it is about that. */
static bool is_heard(struct door *d, uint64_t now_ms, const char *address,
                     const struct refusal *why)
{
    char label[FLOOD_LABEL_MAX];
    (void)snprintf(label, sizeof(label), "Client connections%s%s denied%s",
                   why->personal ? " from " : "", why->personal ? address : "", why->what);
    return flood_admits(&d->flood, now_ms, str_c(label));
}

void door_refuse(struct door *d, const struct peer *peer, uint64_t now_ms,
                 const struct refusal *why)
{
    char address[PEER_TEXT_MAX];
    if (!log_wants(d->log, LOG_LEVEL_NOTICE) ||
        !is_heard(d, now_ms, peer_address(peer, address), why)) {
        return;
    }
    struct log_about about = {.event = "refused",
                              .address = str_c(address),
                              .port = peer->port,
                              .reason = why->reason,
                              .rule = why->rule};
    char port[8] = "";
    if (peer->family != 0) {
        (void)snprintf(port, sizeof(port), ":%u", peer->port);
    }
    log_line_about(d->log, LOG_LEVEL_NOTICE, &about, "Client connection from %s%s denied%s.",
                   address, port, why->what);
}

void door_tell(struct door *d, uint64_t now_ms)
{
    struct str label;
    uint64_t more = 0;
    while (flood_take(&d->flood, now_ms, &label, &more)) {
        char count[FLOOD_COUNT_MAX];
        struct log_about about = {.event = "refused", .more = more};
        if (label.n == 0) {
            label = STR("Client connections denied");
        }
        if (log_wants(d->log, LOG_LEVEL_NOTICE)) {
            log_line_about(d->log, LOG_LEVEL_NOTICE, &about, "%.*s … and %s more.", STR_ARG(label),
                           flood_count(more, count));
        }
    }
}

uint64_t door_deadline(const struct door *d)
{
    return flood_deadline(&d->flood);
}

/* --- admission --- */

static bool has_room(struct door *d, uint16_t group, const struct peer *peer, uint64_t now_ms)
{
    const struct group *g = door_group(d, group);
    char place[DOOR_PLACE_MAX];
    char what[DOOR_PLACE_MAX + 64];
    struct refusal why = {.what = what};
    if (g->rules->max_connections >= 0 && g->open >= (uint32_t)g->rules->max_connections) {
        why.reason = "max_connections exceeded";
        why.rule = "max_connections";
        (void)snprintf(what, sizeof(what), ": max_connections exceeded (%d on %s)",
                       (int)g->rules->max_connections, door_place(g->rules, place));
    } else if (d->max_open >= 0 && d->open >= (uint32_t)d->max_open) {
        why.reason = "global_max_connections exceeded";
        why.rule = "global_max_connections";
        (void)snprintf(what, sizeof(what), ": global_max_connections exceeded (%d)",
                       (int)d->max_open);
    } else {
        return true;
    }
    door_refuse(d, peer, now_ms, &why);
    return false;
}

static bool passes_as_proxy(struct door *d, const struct conf_listener *rules,
                            const struct peer *peer, uint64_t now_ms)
{
    char place[DOOR_PLACE_MAX];
    char what[DOOR_PLACE_MAX + 64];
    if (proxy_trusts(rules, peer)) {
        return true;
    }
    (void)snprintf(what, sizeof(what), ": not a trusted proxy (trusted_proxy on %s)",
                   door_place(rules, place));
    struct refusal why = {
        .what = what, .reason = "not a trusted proxy", .rule = "trusted_proxy", .personal = true};
    door_refuse(d, peer, now_ms, &why);
    return false;
}

/*
 * Descriptors are lent to libwrap: one for each of its files, and one for each list of addresses
 * that such a file names. If they cannot all be had back, then there may have been none when it
 * wanted one, and what it could not read it has passed by.
 */
bool door_passes_wrap(struct door *d, const struct peer *peer, uint64_t now_ms)
{
    if (!wrap_built() || peer->family == 0 || wrap_is_silent(&d->wrap)) {
        return true;
    }
    reserve_lend(&d->reserve);
    bool admitted = wrap_admits(peer);
    if (reserve_keep(&d->reserve) && admitted) {
        return true;
    }
    struct refusal why = {.what = " access by tcpd",
                          .reason = "access denied by tcpd",
                          .rule = "hosts.allow, hosts.deny",
                          .personal = true};
    door_refuse(d, peer, now_ms, &why);
    return false;
}

bool door_admits(struct door *d, uint16_t group, const struct peer *peer, uint64_t now_ms)
{
    const struct conf_listener *rules = door_group(d, group)->rules;
    if (!has_room(d, group, peer, now_ms)) {
        return false;
    }
    return rules->proxy != CONF_PROXY_OFF ? passes_as_proxy(d, rules, peer, now_ms)
                                          : door_passes_wrap(d, peer, now_ms);
}
