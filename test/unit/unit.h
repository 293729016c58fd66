/*
 * What all unit tests share: cmocka and what it needs, and a check that a test gave back what it
 * took.
 */
#ifndef UNIT_UNIT_H
#define UNIT_UNIT_H

#include "base/base.h"
#include "base/err.h"
#include "base/feature.h"
#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define assert_ok(expr) assert_int_equal((expr), ERR_OK)
#define assert_err(expr, err) assert_int_equal((expr), (err))

/* For tests that count or refuse allocations: those need a build that counts. */
#define unit_needs_tracking()                                                                      \
    do {                                                                                           \
        if (!feature_built(FEATURE_MEMORY_TRACKING))                                               \
            skip();                                                                                \
    } while (0)

static size_t unit_used_before;

static inline int unit_begin(void **state)
{
    (void)state;
    mem_fail_never();
    mem_set_limit(0);
    unit_used_before = mem_used();
    return 0;
}

/* Fails the test when its memory is still in use. */
static inline int unit_end(void **state)
{
    (void)state;
    mem_fail_never();
    mem_set_limit(0);
    if (mem_used() == unit_used_before)
        return 0;
    print_error("%zu bytes in use before the test, %zu after it\n", unit_used_before, mem_used());
    return -1;
}

/* A test that must leave as many bytes in use as it found. */
#define UNIT_TEST(f) cmocka_unit_test_setup_teardown(f, unit_begin, unit_end)

#endif
