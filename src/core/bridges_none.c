/*
 * No bridges: the build without WITH_BRIDGE. bridges.c is its twin. The configuration has none
 * then.
 */
#include "core/bridges.h"

#include "core/state.h"

void bridges_init(struct broker *b, uint64_t seed)
{
    (void)b;
    (void)seed;
}

void bridges_clear(struct broker *b)
{
    (void)b;
}

void bridges_commit(struct broker *b)
{
    (void)b;
}

void bridges_stop(struct broker *b)
{
    (void)b;
}

void bridges_work(struct broker *b)
{
    (void)b;
}

uint64_t bridges_next(const struct broker *b)
{
    (void)b;
    return UINT64_MAX;
}

packet_handler *bridges_handler(enum packet_type type)
{
    (void)type;
    return NULL;
}

void bridges_due(struct broker *b, struct conn *c)
{
    (void)b;
    (void)c;
}

bool bridges_asked(const struct conn *c, uint16_t id)
{
    (void)c;
    (void)id;
    return false;
}

bool bridges_met(struct broker *b, struct conn *c, const struct packet_publish *p)
{
    (void)b;
    (void)c;
    (void)p;
    return false;
}

enum err bridges_meet(struct broker *b, struct conn *c, struct str filter, bool *met)
{
    (void)b;
    (void)c;
    (void)filter;
    *met = false;
    return ERR_OK;
}

void bridges_watch(struct broker *b, const struct conn *c, const struct packet_publish *p)
{
    (void)b;
    (void)c;
    (void)p;
}

const char *bridges_examine(const struct broker *b)
{
    (void)b;
    return NULL;
}

bool broker_take_dial(struct broker *b, struct dial_order *order)
{
    (void)b;
    (void)order;
    return false;
}

bool broker_wants_dial(const struct broker *b, uint64_t ticket)
{
    (void)b;
    (void)ticket;
    return false;
}

struct conn *broker_dialed(struct broker *b, uint64_t ticket, const struct peer *peer, void *link)
{
    (void)b;
    (void)ticket;
    (void)peer;
    (void)link;
    return NULL;
}

void broker_dial_failed(struct broker *b, uint64_t ticket, const char *why)
{
    (void)b;
    (void)ticket;
    (void)why;
}

void broker_dial_probed(struct broker *b, uint64_t ticket)
{
    (void)b;
    (void)ticket;
}
