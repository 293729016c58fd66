/*
 * A build without bridges calls nobody.
 */
#include "server/dial.h"

enum err dials_new(const struct dials_setup *setup, struct dials **out)
{
    (void)setup;
    *out = NULL;
    return ERR_OK;
}

void dials_free(struct dials *ds)
{
    (void)ds;
}

void dials_turn(struct dials *ds)
{
    (void)ds;
}

void dials_ready(struct dials *ds, struct watch *w, unsigned events)
{
    (void)ds;
    (void)w;
    (void)events;
}

uint64_t dials_deadline(const struct dials *ds)
{
    (void)ds;
    return UINT64_MAX;
}

void dial_ready(struct dial *d)
{
    (void)d;
}
