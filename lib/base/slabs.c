/*
 * One slab for each class of sizes.
 */
#include "base/slabs.h"

void slabs_init(struct slabs *s)
{
    for (size_t i = 0; i < ARRAY_SIZE(s->of); i++)
        slab_init(&s->of[i], (i + 1) * SLABS_STEP);
}

void slabs_trim(struct slabs *s)
{
    for (size_t i = 0; i < ARRAY_SIZE(s->of); i++)
        slab_trim(&s->of[i]);
}

void slabs_clear(struct slabs *s)
{
    for (size_t i = 0; i < ARRAY_SIZE(s->of); i++)
        slab_clear(&s->of[i]);
}
