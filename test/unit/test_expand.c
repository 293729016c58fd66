/*
 * Variables in values.
 */
#include "conf/expand.h"

#include "unit.h"

#include <stdlib.h>
#include <string.h>

static int setup(void **state)
{
    setenv("T_NAME", "value", 1);
    setenv("T_EMPTY", "", 1);
    setenv("T_DOLLAR", "${T_NAME} $$", 1);
    setenv("t2", "x", 1);
    unsetenv("T_NONE");
    return unit_begin(state);
}

static void variables(void **state)
{
    static const struct {
        const char *text;
        enum err e;
        const char *out; /* or the culprit */
    } cases[] = {
        {"", ERR_OK, ""},
        {"plain", ERR_OK, "plain"},
        {"${T_NAME}", ERR_OK, "value"},
        {"a${T_NAME}b${t2}", ERR_OK, "avaluebx"},
        {"${T_EMPTY}", ERR_OK, ""},
        {"$T_NAME $", ERR_OK, "$T_NAME $"},
        {"$SYS/{x}", ERR_OK, "$SYS/{x}"},
        {"$${T_NAME}", ERR_OK, "${T_NAME}"},
        {"a$${${T_NAME}", ERR_OK, "a${value"},
        {"$$${T_NAME}", ERR_OK, "$${T_NAME}"},
        {"$$", ERR_OK, "$$"},
        {"${T_DOLLAR}", ERR_OK, "${T_NAME} $$"},
        {"x${T_NONE}", ERR_NOT_FOUND, "T_NONE"},
        {"x${}", ERR_INVAL, "${}"},
        {"${T_NAME", ERR_INVAL, "${T_NAME"},
        {"${1A}", ERR_INVAL, "${1A}"},
        {"${T-NAME}", ERR_INVAL, "${T-NAME}"},
        {"${T_NAME:-x}y", ERR_INVAL, "${T_NAME:-x}"},
        {"${ T_NAME}", ERR_INVAL, "${ T_NAME}"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct buf out = {0};
        struct str culprit;
        enum err e = expand(str_c(cases[i].text), &out, &culprit);
        struct str got = e ? culprit : buf_str(&out);
        if (e != cases[i].e || !str_eq_c(got, cases[i].out))
            fail_msg("%s: %d, '%.*s'", cases[i].text, (int)e, STR_ARG(got));
        buf_clear(&out);
    }
}

static void names_have_bounds(void **state)
{
    char text[400] = "${";
    struct buf out = {0};
    struct str culprit;

    (void)state;
    memset(text + 2, 'A', 300);
    strcpy(text + 302, "}");
    assert_int_equal(expand(str_c(text), &out, &culprit), ERR_INVAL);
    text[2 + 255] = '}';
    assert_int_equal(expand(str_of(text, 2 + 256), &out, &culprit), ERR_NOT_FOUND);
    assert_int_equal(culprit.n, 255);
    buf_clear(&out);
}

/* A short line must not ask for gigabytes. */
static void values_have_bounds(void **state)
{
    size_t n = 3000;
    char *text = malloc(5 * n);
    char *big = malloc(100001);
    struct buf out = {0};
    struct str culprit;

    (void)state;
    memset(big, 'b', 100000);
    big[100000] = '\0';
    setenv("t2", big, 1);
    for (size_t i = 0; i < n; i++)
        memcpy(text + 5 * i, "${t2}", 5);
    assert_int_equal(expand(str_of(text, 5 * n), &out, &culprit), ERR_TOO_LARGE);
    assert_true(out.len < 1200000);
    buf_clear(&out);
    free(big);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(variables, setup, unit_end),
        cmocka_unit_test_setup_teardown(names_have_bounds, setup, unit_end),
        cmocka_unit_test_setup_teardown(values_have_bounds, setup, unit_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
