/*
 * Descriptors in reserve.
 */
#include "server/reserve.h"

#include <fcntl.h>
#include <unistd.h>

static void lend(int *fd)
{
    if (*fd >= 0) {
        (void)close(*fd);
    }
    *fd = -1;
}

static bool keep(int *fd)
{
    if (*fd < 0) {
        *fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    }
    return *fd >= 0;
}

void reserve_init(struct reserve *r)
{
    for (int i = 0; i < RESERVE_COUNT; i++) {
        r->fd[i] = -1;
    }
}

void reserve_lend(struct reserve *r)
{
    for (int i = 0; i < RESERVE_COUNT; i++) {
        lend(&r->fd[i]);
    }
}

bool reserve_keep(struct reserve *r)
{
    bool all = true;
    for (int i = 0; i < RESERVE_COUNT; i++) {
        all = keep(&r->fd[i]) && all;
    }
    return all;
}

void reserve_lend_one(struct reserve *r)
{
    lend(&r->fd[0]);
}

bool reserve_keep_one(struct reserve *r)
{
    return keep(&r->fd[0]);
}
