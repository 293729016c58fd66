/*
 * What the tests of src/conf share: a log that keeps its lines, and loading from a literal.
 */
#ifndef UNIT_CONF_HELPER_H
#define UNIT_CONF_HELPER_H

#include "base/log.h"
#include "conf/conf.h"
#include "unit.h"

#include <stdio.h>
#include <string.h>

/* Lines of the log since the last captured_reset(), each with its newline; the newest are kept. */
struct captured {
    char text[65536];
    size_t used;
    unsigned errors;
    unsigned warnings;
};

static struct captured captured;

static inline void captured_reset(void)
{
    memset(&captured, 0, sizeof(captured));
}

static inline void captured_sink(void *ctx, enum log_level level, struct str line,
                                 const struct log_about *about)
{
    (void)about;
    (void)ctx;
    captured.errors += level == LOG_LEVEL_ERROR;
    captured.warnings += level == LOG_LEVEL_WARNING;
    if (captured.used + line.n + 2 > sizeof(captured.text))
        captured.used = 0;
    memcpy(captured.text + captured.used, line.p, line.n);
    captured.used += line.n;
    captured.text[captured.used++] = '\n';
    captured.text[captured.used] = '\0';
}

static const struct log captured_log = {.mask = LOG_LEVEL_ALL, .sink = captured_sink};

/* Does the log hold this text? Shows the log if not. */
static inline void assert_logged(const char *text)
{
    if (strstr(captured.text, text))
        return;
    fail_msg("not logged: %s\nbut: %s", text, captured.text);
}

static inline void assert_not_logged(const char *text)
{
    if (strstr(captured.text, text))
        fail_msg("logged: %s\nin: %s", text, captured.text);
}

static inline enum err load_args(const struct conf_args *args, struct str text, struct conf **out)
{
    captured_reset();
    *out = NULL;
    return conf_load_text(args, text, &captured_log, out);
}

static inline enum err load(const char *text, struct conf **out)
{
    struct conf_args args = {.file = "m.conf"};

    return load_args(&args, str_c(text), out);
}

/* Must load. The log is left for assert_logged(). */
static inline struct conf *loaded(const char *text)
{
    struct conf *c;

    if (load(text, &c) != ERR_OK)
        fail_msg("%s\nwas refused: %s", text, captured.text);
    return c;
}

/* As --test-config does it: all problems are reported, and what is unwise. */
static inline enum err load_test(const char *text, struct conf **out)
{
    struct conf_args args = {.file = "m.conf", .test = true};

    return load_args(&args, str_c(text), out);
}

/* Must be refused: at a start with one error, in a test with this line among so many errors. */
static inline void assert_refused(const char *text, unsigned errors, const char *line)
{
    struct conf *c;

    assert_int_equal(load(text, &c), ERR_INVAL);
    assert_null(c);
    assert_int_equal(captured.errors, 1);
    assert_int_equal(load_test(text, &c), ERR_INVAL);
    assert_null(c);
    assert_logged(line);
    assert_int_equal(captured.errors, errors);
}

/* Must pass a test of the file. The log is left for assert_logged(). */
static inline struct conf *tested(const char *text)
{
    struct conf *c;

    if (load_test(text, &c) != ERR_OK)
        fail_msg("%s\nwas refused: %s", text, captured.text);
    return c;
}

#endif
