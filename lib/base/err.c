/*
 * A word for each error.
 */
#include "base/err.h"

#include "base/base.h"

static const char *const words[] = {
    [ERR_OK] = "no error",
    [ERR_NOMEM] = "out of memory",
    [ERR_INVAL] = "invalid value",
    [ERR_MALFORMED] = "malformed packet",
    [ERR_PROTOCOL] = "protocol error",
    [ERR_UTF8] = "invalid UTF-8",
    [ERR_TOPIC] = "invalid topic",
    [ERR_TOO_LARGE] = "too large",
    [ERR_FULL] = "limit reached",
    [ERR_AGAIN] = "not finished",
    [ERR_EXISTS] = "already there",
    [ERR_NOT_FOUND] = "not found",
    [ERR_DENIED] = "not authorised",
    [ERR_CLOSED] = "connection closed",
    [ERR_UNSUPPORTED] = "not supported",
    [ERR_SYSTEM] = "system error",
};

_Static_assert(ARRAY_SIZE(words) == ERR_COUNT, "every error has a word");

const char *err_word(enum err e)
{
    return (size_t)e < ARRAY_SIZE(words) ? words[e] : "unknown error";
}
