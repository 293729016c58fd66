/*
 * What is asked, step by step: SRV records if they are wanted, then the addresses of each host that
 * these name, or of the host itself. Which hosts are known without asking is for net/hosts.
 */
#include "net/resolve_inside.h"

#include "base/mem.h"

#include <ares.h>
#include <sys/socket.h>

/* The whole look-up, in first tries. */
#define LIMIT_TRIES 5

/* A name that a name server gave is whole; what a person wrote may lack the domain. */
static void ask(struct resolve *l, const char *name, enum dns_type type, struct addresses *found)
{
    struct question *q = mem_zalloc(sizeof(*q));
    if (!q) {
        resolve_note_status(l, ARES_ENOMEM);
        return;
    }
    q->look = l;
    q->type = type;
    q->found = found;
    LIST_INSERT_HEAD(&l->questions, q, entry);
    if (name == l->host || name == l->service) {
        ares_search(l->asker->channel, name, DNS_CLASS_IN, (int)type, resolve_on_answer, q);
    } else {
        ares_query(l->asker->channel, name, DNS_CLASS_IN, (int)type, resolve_on_answer, q);
    }
}

/* Is it known without asking? */
static bool find_here(struct resolve *l, const char *name, struct addresses *found)
{
    if (addresses_parse(found, name, l->family)) {
        return true;
    }
    enum err e = hosts_find(l->resolver->hosts, name, l->family, found);
    if (e == ERR_NOMEM) {
        resolve_note_status(l, ARES_ENOMEM);
    }
    return e == ERR_OK;
}

/* A status of ares.h. */
static int need_asker(struct resolve *l)
{
    if (l->asker) {
        return ARES_SUCCESS;
    }
    return asker_take(&l->resolver->askers, resolve_now_ms(), &l->asker);
}

static void ask_addresses(struct resolve *l, const char *name, struct addresses *found)
{
    if (find_here(l, name, found)) {
        return;
    }
    int status = need_asker(l);
    if (status != ARES_SUCCESS) {
        resolve_note_status(l, status);
        return;
    }
    if (l->family != AF_INET) {
        ask(l, name, DNS_AAAA, found);
    }
    if (l->family != AF_INET6) {
        ask(l, name, DNS_A, found);
    }
}

/* The host itself, at the port that was asked for. */
static void begin_host(struct resolve *l)
{
    l->stage = STAGE_ADDRESSES;
    l->status = ARES_SUCCESS;
    struct target *t = resolve_targets_make(l, 1);
    if (t) {
        t->port = l->port;
        ask_addresses(l, l->host, &t->found);
    }
}

static void begin_services(struct resolve *l)
{
    l->stage = STAGE_SERVICES;
    int status = need_asker(l);
    if (status != ARES_SUCCESS) {
        resolve_note_status(l, status);
        return;
    }
    ask(l, l->service, DNS_SRV, NULL);
}

static void begin(struct resolve *l)
{
    struct addresses here = {0};
    l->deadline = resolve_now_ms() + (uint64_t)LIMIT_TRIES * l->resolver->askers.try_ms;
    if (!l->wants_service || find_here(l, l->host, &here)) {
        begin_host(l);
    } else {
        begin_services(l);
    }
}

/* Who has not answered about a service would not answer about the host either. */
static bool is_silence(const struct resolve *l)
{
    return l->is_late || l->status == ARES_ETIMEOUT || l->status == ARES_ENOMEM;
}

static enum err services_known(struct resolve *l)
{
    if (l->target_count > 0) {
        l->stage = STAGE_ADDRESSES;
        l->status = ARES_SUCCESS;
        for (size_t i = 0; i < l->target_count; i++) {
            ask_addresses(l, l->targets[i].name, &l->targets[i].found);
        }
        return ERR_AGAIN;
    }
    if (l->is_refused || is_silence(l) || l->host[0] == '_') {
        return ERR_OK;
    }
    begin_host(l);
    return ERR_AGAIN;
}

enum err resolve_step(struct resolve *l)
{
    switch (l->stage) {
    case STAGE_NEW:
        begin(l);
        return ERR_AGAIN;
    case STAGE_SERVICES:
        return services_known(l);
    default:
        return ERR_OK;
    }
}
