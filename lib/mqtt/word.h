/*
 * Strings as words, for checks of eight bytes at a time.
 *
 * The order of the bytes inside of a word is the machine's; whoever uses these may not care.
 */
#ifndef MQTT_WORD_H
#define MQTT_WORD_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define WORD_SIZE sizeof(uint64_t)
#define WORD_ONES UINT64_C(0x0101010101010101)
#define WORD_LOWS UINT64_C(0x7F7F7F7F7F7F7F7F)
#define WORD_HIGHS UINT64_C(0x8080808080808080)

/* The word at p, aligned or not. */
static inline uint64_t word_load(const void *p)
{
    uint64_t w;

    memcpy(&w, p, sizeof(w));
    return w;
}

/* All n bytes at p, 0 < n < WORD_SIZE, some of them twice, the rest blanks. */
static inline uint64_t word_load_short(const void *p, size_t n)
{
    const uint8_t *s = p;
    uint32_t front;
    uint32_t back;

    if (n < sizeof(front))
        return (WORD_ONES * ' ' << 24) | (uint64_t)s[n - 1] << 16 | (uint64_t)s[n / 2] << 8 | s[0];
    memcpy(&front, s, sizeof(front));
    memcpy(&back, s + n - sizeof(back), sizeof(back));
    return (uint64_t)back << 32 | front;
}

#endif
