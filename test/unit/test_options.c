/*
 * The table of options: in itself, and against the manual page and the example file in both
 * directions.
 */
#include "conf/options.h"

#include "base/buf.h"
#include "base/file.h"
#include "conf_helper.h"

#include <ctype.h>
#include <inttypes.h>

#define MANUAL "man/mosquitto.conf.5"
#define EXAMPLE "mosquitto.conf.example"

/* The whole file, terminated; the caller clears it. Tests run in the top directory. */
static const char *slurp(const char *path, struct buf *b)
{
    if (file_read(path, 1 << 20, b) != ERR_OK)
        fail_msg("cannot read %s", path);
    assert_int_equal(buf_add(b, "", 1), ERR_OK);
    return (const char *)buf_begin(b);
}

/* One blank for any run of blanks, newlines and comment signs at the beginning of lines. */
static void squeeze(const char *from, size_t n, char *to, size_t cap)
{
    size_t used = 0;
    bool blank = false;

    for (size_t i = 0; i < n && used + 2 < cap; i++) {
        bool sign = from[i] == '#' && (i == 0 || from[i - 1] == '\n');
        if (sign || isspace((unsigned char)from[i])) {
            blank = true;
            continue;
        }
        if (blank && used > 0)
            to[used++] = ' ';
        blank = false;
        to[used++] = from[i];
    }
    to[used] = '\0';
}

static bool usable(const struct conf_option *opt)
{
    return opt->type != OPTION_INERT;
}

static void default_text(const struct conf_option *opt, char *out, size_t cap)
{
    size_t used = 0;

    out[0] = '\0';
    if (opt->type == OPTION_BOOL)
        snprintf(out, cap, "%s", opt->fallback ? "true" : "false");
    if (opt->type == OPTION_INT)
        snprintf(out, cap, "%" PRId64, opt->fallback);
    if (opt->type == OPTION_TEXT && opt->text)
        snprintf(out, cap, "%s", opt->text);
    if (opt->type == OPTION_CHOICE) {
        const struct option_word *w = opt->words;
        while (w->bits != (unsigned)opt->fallback)
            w++;
        snprintf(out, cap, "%s", w->name);
        return;
    }
    for (const struct option_word *w = opt->words; w && w->name; w++) {
        if (w->kind == WORD_ADDS && (w->bits & (unsigned)opt->fallback))
            used += (size_t)snprintf(out + used, cap - used, "%s%s", used ? " " : "", w->name);
    }
}

static void names_are_unique_and_short(void **state)
{
    (void)state;
    for (size_t i = 0; i < option_count; i++) {
        const struct conf_option *opt = &options[i];
        assert_ptr_equal(option_find(str_c(opt->flags & OPT_PREFIX ? "auth_opt_x" : opt->name)),
                         opt->flags & OPT_PREFIX ? option_find(STR("auth_opt_x")) : opt);
        assert_true(strlen(opt->name) <= 40);
        if (opt->alias) {
            assert_ptr_equal(option_find(str_c(opt->alias)), opt);
            assert_true(strlen(opt->alias) <= 40);
        }
    }
}

static void rows_are_complete(void **state)
{
    (void)state;
    for (size_t i = 0; i < option_count; i++) {
        const struct conf_option *opt = &options[i];
        if (!usable(opt)) {
            assert_non_null(opt->note);
            continue;
        }
        assert_non_null(opt->doc);
        assert_int_equal(opt->doc[strlen(opt->doc) - 1], '.');
        if (opt->type == OPTION_INT) {
            bool zero = opt->fallback == 0 && (opt->flags & OPT_ZERO);
            assert_true(zero || (opt->fallback >= opt->min && opt->fallback <= opt->max));
            assert_true(opt->size == 8 || opt->max < (int64_t)1 << (8 * opt->size));
        }
        if (opt->type == OPTION_BOOL || opt->type == OPTION_CHOICE)
            assert_int_equal(opt->size, sizeof(bool));
        if (opt->type == OPTION_PERIOD)
            assert_int_equal(opt->size, sizeof(int64_t));
        if (opt->flags & OPT_SIZE) {
            assert_int_equal(opt->type, OPTION_INT);
            assert_string_equal(opt->unit, "bytes");
        }
        if (opt->type == OPTION_TEXT)
            assert_int_equal(opt->size, sizeof(char *));
        if (opt->type == OPTION_WORDS)
            assert_int_equal(opt->size, sizeof(unsigned));
    }
}

static void find_knows_names_aliases_and_prefixes(void **state)
{
    (void)state;
    assert_string_equal(option_find(STR("max_qos"))->name, "max_qos");
    assert_string_equal(option_find(STR("maximum_qos"))->name, "max_qos");
    assert_string_equal(option_find(STR("auth_opt_path"))->name, "auth_opt_");
    assert_string_equal(option_find(STR("plugin"))->name, "plugin");
    assert_null(option_find(STR("auth_opt_")));
    assert_null(option_find(STR("max_qo")));
    assert_null(option_find(STR("max_qoss")));
    assert_null(option_find(STR("Max_qos")));
    assert_null(option_find(STR("")));
}

static void nearest_is_what_was_meant(void **state)
{
    static const struct {
        const char *wrong, *right;
    } cases[] = {
        {"max_conections", "max_connections"},
        {"lisener", "listener"},
        {"prot", "port"},
        {"allow_anonymus", "allow_anonymous"},
        {"allowanonymous", "allow_anonymous"},
        {"max_inflight", "max_inflight_bytes"},
        {"maximum_qs", "maximum_qos"},
        {"passwordfile", "password_file"},
        {"LISTENER", NULL},
        {"x", NULL},
        {"frobnicate_everything", NULL},
        {"listenerlistenerlistenerlistenerlistenerlistener", NULL},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        const char *nearest = option_nearest(str_c(cases[i].wrong));
        if (cases[i].right)
            assert_string_equal(nearest, cases[i].right);
        else
            assert_null(nearest);
    }
}

static void judge_asks_for_the_build_that_is_needed(void **state)
{
    struct conf_option opt = {.name = "x", .type = OPTION_BOOL, .needs = FEATURE_NONE};
    char why[80] = "";

    (void)state;
    assert_int_equal(option_judge(&opt, STR("true"), why, sizeof(why)), OPTION_APPLIES);
    opt.needs = FEATURE_MEMORY_TRACKING;
    if (feature_built(FEATURE_MEMORY_TRACKING))
        assert_int_equal(option_judge(&opt, STR("true"), why, sizeof(why)), OPTION_APPLIES);
    else
        assert_int_equal(option_judge(&opt, STR("true"), why, sizeof(why)), OPTION_WARNS);
    /* No build of this release has TLS. */
    opt.needs = FEATURE_TLS;
    assert_false(feature_built(FEATURE_TLS));
    assert_int_equal(option_judge(&opt, STR("true"), why, sizeof(why)), OPTION_WARNS);
    assert_string_equal(why, "needs a build with WITH_TLS=yes");
    opt.flags = OPT_STOPS;
    assert_int_equal(option_judge(&opt, STR("true"), why, sizeof(why)), OPTION_REFUSES);
    assert_int_equal(option_judge(&opt, STR("false"), why, sizeof(why)), OPTION_REFUSES);
    opt.as_is = "false";
    assert_int_equal(option_judge(&opt, STR("true"), why, sizeof(why)), OPTION_REFUSES);
    assert_int_equal(option_judge(&opt, STR("0"), why, sizeof(why)), OPTION_SKIPPED);
    /* Where it can be obeyed, the same value is one like others. */
    opt.needs = FEATURE_NONE;
    assert_int_equal(option_judge(&opt, STR("false"), why, sizeof(why)), OPTION_APPLIES);
}

static void judge_lets_pass_what_asks_for_nothing(void **state)
{
    struct conf_option opt = {.type = OPTION_INERT, .note = "later", .as_is = "false"};
    char why[80] = "";

    (void)state;
    assert_int_equal(option_judge(&opt, STR("false"), why, sizeof(why)), OPTION_SKIPPED);
    assert_int_equal(option_judge(&opt, STR("0"), why, sizeof(why)), OPTION_SKIPPED);
    assert_int_equal(option_judge(&opt, STR("true"), why, sizeof(why)), OPTION_WARNS);
    assert_string_equal(why, "later");
    assert_int_equal(option_judge(&opt, STR(""), why, sizeof(why)), OPTION_WARNS);
    assert_int_equal(option_judge(&opt, STR("fals"), why, sizeof(why)), OPTION_WARNS);
    opt.as_is = "mqtt";
    assert_int_equal(option_judge(&opt, STR("mqtt"), why, sizeof(why)), OPTION_SKIPPED);
    opt.as_is = NULL;
    opt.flags = OPT_STOPS;
    assert_int_equal(option_judge(&opt, STR("mqtt"), why, sizeof(why)), OPTION_REFUSES);
}

/* From its ".It Ic" to the next one, or NULL. */
static const char *manual_entry(const char *manual, const char *name, size_t *n)
{
    char item[64];
    const char *begin, *end;

    snprintf(item, sizeof(item), "\n.It Ic %s ", name);
    begin = strstr(manual, item);
    if (!begin)
        return NULL;
    begin = strchr(begin + 1, '\n');
    end = strstr(begin, "\n.It ");
    *n = end ? (size_t)(end - begin) : strlen(begin);
    return begin;
}

static void check_manual_entry(const char *manual, const struct conf_option *opt)
{
    char flat[4096], value[200], line[240];
    size_t n = 0;
    const char *entry = manual_entry(manual, opt->name, &n);

    if (!entry)
        fail_msg("%s has no entry for %s", MANUAL, opt->name);
    squeeze(entry, n, flat, sizeof(flat));
    if (!strstr(flat, opt->doc))
        fail_msg("%s, %s: the table says: %s", MANUAL, opt->name, opt->doc);
    default_text(opt, value, sizeof(value));
    snprintf(line, sizeof(line), "Default: %s.", value);
    if (value[0] && !strstr(flat, line))
        fail_msg("%s, %s: the table says: %s", MANUAL, opt->name, line);
    if (!opt->alias)
        return;
    snprintf(line, sizeof(line), ".Ic %s ", opt->alias);
    if (!strstr(flat, line))
        fail_msg("%s, %s: no word of %s", MANUAL, opt->name, opt->alias);
}

static void manual_has_every_option(void **state)
{
    struct buf b = {0};
    const char *manual = slurp(MANUAL, &b);
    char line[80];

    (void)state;
    for (size_t i = 0; i < option_count; i++) {
        if (usable(&options[i])) {
            check_manual_entry(manual, &options[i]);
            continue;
        }
        snprintf(line, sizeof(line), "\n.Ic %s", options[i].name);
        if (!strstr(manual, line))
            fail_msg("%s does not mention %s", MANUAL, options[i].name);
    }
    buf_clear(&b);
}

static void manual_has_no_other_option(void **state)
{
    struct buf b = {0};
    unsigned seen = 0;

    (void)state;
    for (const char *p = slurp(MANUAL, &b); (p = strstr(p, "Ic ")); p++) {
        struct str name = str_of(p + 3, strcspn(p + 3, " \n"));
        bool prefix = str_eq_c(name, "auth_opt_") || str_eq_c(name, "plugin_opt_");
        if (!prefix && !option_find(name))
            fail_msg("%s describes %.*s", MANUAL, STR_ARG(name));
        seen++;
    }
    assert_true(seen >= option_count);
    buf_clear(&b);
}

static void example_has_every_option(void **state)
{
    struct buf b = {0};
    const char *example = slurp(EXAMPLE, &b);
    char *flat = test_malloc(b.len);
    char value[200], line[240];

    (void)state;
    squeeze(example, b.len - 1, flat, b.len);
    for (size_t i = 0; i < option_count; i++) {
        const struct conf_option *opt = &options[i];
        if (!usable(opt))
            continue;
        if (!strstr(flat, opt->doc))
            fail_msg("%s, %s: the table says: %s", EXAMPLE, opt->name, opt->doc);
        default_text(opt, value, sizeof(value));
        snprintf(line, sizeof(line), "\n#%s %.*s", opt->name, (int)strcspn(value, " "), value);
        if (!strstr(example, line))
            fail_msg("%s has no line %s", EXAMPLE, line + 1);
    }
    test_free(flat);
    buf_clear(&b);
}

/* "#name value" is a line to be uncommented, "# text" is not. */
static void example_has_no_other_option(void **state)
{
    struct buf b = {0};
    unsigned seen = 0;

    (void)state;
    for (const char *p = slurp(EXAMPLE, &b); p; p = strchr(p + 1, '\n')) {
        struct str name;
        const char *line = *p == '\n' ? p + 1 : p;
        if (line[0] != '#' || line[1] == ' ' || line[1] == '\n')
            continue;
        name = str_of(line + 1, strcspn(line + 1, " \n"));
        if (!option_find(name) || !usable(option_find(name)))
            fail_msg("%s has a line for %.*s", EXAMPLE, STR_ARG(name));
        seen++;
    }
    assert_true(seen > 20);
    buf_clear(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(names_are_unique_and_short),
        UNIT_TEST(rows_are_complete),
        UNIT_TEST(find_knows_names_aliases_and_prefixes),
        UNIT_TEST(nearest_is_what_was_meant),
        UNIT_TEST(judge_asks_for_the_build_that_is_needed),
        UNIT_TEST(judge_lets_pass_what_asks_for_nothing),
        UNIT_TEST(manual_has_every_option),
        UNIT_TEST(manual_has_no_other_option),
        UNIT_TEST(example_has_every_option),
        UNIT_TEST(example_has_no_other_option),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
