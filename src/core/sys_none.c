/*
 * No $SYS topics: the build without WITH_SYS_TREE. sys.c is its twin.
 */
#include "core/sys.h"

enum err sys_init(struct broker *b)
{
    (void)b;
    return ERR_OK;
}

void sys_free(struct broker *b)
{
    (void)b;
}

void sys_work(struct broker *b)
{
    (void)b;
}

uint64_t sys_next(const struct broker *b)
{
    (void)b;
    return UINT64_MAX;
}

bool sys_is_on(const struct broker *b)
{
    (void)b;
    return false;
}
