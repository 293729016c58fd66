/*
 * All must be right before any is kept.
 */
#include "conf/numbers.h"

#define ROOM_MAX 4

enum err numbers_set(const struct conf_option *opt, void *base, struct str text)
{
    uint32_t numbers[ROOM_MAX] = {0};
    size_t count = 0;
    struct str token = str_token(&text);

    for (; token.n > 0; token = str_token(&text)) {
        int64_t n = 0;
        if (count == numbers_room(opt) || count == ROOM_MAX || str_to_i64_any_base(token, &n) ||
            n < opt->min || n > opt->max)
            return ERR_INVAL;
        numbers[count++] = (uint32_t)n;
    }
    if (count < opt->least)
        return ERR_INVAL;
    memcpy((char *)base + opt->offset, numbers, opt->size);
    return ERR_OK;
}
