/*
 * What every file may use: attributes by macro, and a few words of arithmetic.
 */
#ifndef BASE_BASE_H
#define BASE_BASE_H

#include <stddef.h>
#include <stdint.h>

/* The result must be looked at: an error that nobody reads is a lie to somebody later. */
#define MUST_CHECK __attribute__((warn_unused_result))
/* Argument `fmt` is a printf format, the variable arguments begin at `args`. */
#define PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
/* Rarely taken; kept out of the way of the hot path. */
#define COLD __attribute__((cold))
/* Inlined even where the compiler would rather count bytes: for what is done for every message. */
#define ALWAYS_INLINE inline __attribute__((always_inline))
/* Kept out of a caller that is in a hurry: there it would cost stack and registers. */
#define NOINLINE __attribute__((noinline))

#define LIKELY(x) __builtin_expect(!!(x), 1)
#define UNLIKELY(x) __builtin_expect(!!(x), 0)

/* The structure of type `type` whose member `member` is at `ptr`. */
#define CONTAINER_OF(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

/* Of two moments, where UINT64_MAX means never. */
static inline uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

#endif
