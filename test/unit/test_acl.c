/*
 * ACL files: what is accepted, what is refused in which words, and verdicts: by tables that
 * Mosquitto 2.0.11 agrees with, and against a naive model with random rules.
 */
#include "auth/acl.h"

#include "acl_model.h"
#include "base/buf.h"
#include "base/file.h"
#include "conf_helper.h"

#include <time.h>

static struct acl *parse(const char *text)
{
    struct acl *a = NULL;

    captured_reset();
    if (acl_parse(str_c(text), "acl", &captured_log, &a) != ERR_OK)
        fail_msg("refused: %s\n%s", text, captured.text);
    return a;
}

/* --- verdicts --- */

struct ask {
    const char *acl;
    const char *user; /* "" = none */
    const char *client;
    const char *topic;
    const char *rights; /* granted: "rw", "r", "w" or "" */
    uint32_t line;      /* that decides on reading */
};

static const struct ask asks[] = {
    /* whose rules */
    {"topic a\nuser bob\ntopic b\n", "", "x", "a", "rw", 1},
    {"topic a\nuser bob\ntopic b\n", "", "x", "b", "", 0},
    {"topic a\nuser bob\ntopic b\n", "bob", "x", "a", "", 0},
    {"topic a\nuser bob\ntopic b\n", "bob", "x", "b", "rw", 3},
    {"topic a\nuser bob\ntopic b\n", "al", "x", "a", "", 0},
    {"user bob\ntopic a\nuser al\ntopic b\nuser bob\ntopic c", "bob", "x", "c", "rw", 6},
    {"user bob\ntopic a\nuser al\ntopic b\nuser bob\ntopic c", "bob", "x", "a", "rw", 2},
    {"user bob\ntopic a\nuser al\ntopic b\nuser bob\ntopic c", "bob", "x", "b", "", 0},
    {"user a b \ntopic a", "a b", "x", "a", "rw", 2},
    {"user a  b\ntopic a", "a b", "x", "a", "", 0},
    {"user  bob \t\r\ntopic a", "bob", "x", "a", "rw", 2},
    {"user bobby\ntopic a", "bob", "x", "a", "", 0},
    {"user user\ntopic a", "user", "x", "a", "rw", 2},
    /* nothing is said */
    {"", "", "x", "a", "", 0},
    {"", "bob", "x", "a", "", 0},
    {"# topic a\n\n  \n\t\n", "", "x", "a", "", 0},
    /* rights */
    {"topic read a", "", "x", "a", "r", 1},
    {"topic write a", "", "x", "a", "w", 0},
    {"topic readwrite a", "", "x", "a", "rw", 1},
    {"topic deny a", "", "x", "a", "", 1},
    {"topic read a\ntopic write a", "", "x", "a", "rw", 1},
    {"topic write a\ntopic read a", "", "x", "a", "rw", 2},
    {"topic readwrite a\ntopic read a\ntopic write a", "", "x", "a", "rw", 1},
    {"topic read", "", "x", "read", "rw", 1},
    {"topic deny ", "", "x", "deny", "rw", 1},
    {"topic readwrite readwrite", "", "x", "readwrite", "rw", 1},
    /* blanks */
    {"topic read a b", "", "x", "a b", "r", 1},
    {"topic  read   a  b \r\n", "", "x", "a  b", "r", 1},
    {"topic read a  b", "", "x", "a b", "", 0},
    {"  topic a", "", "x", "a", "rw", 1},
    {"\ttopic\tread\ta", "", "x", "a", "r", 1},
    {"\n\r\n topic a \r\n", "", "x", "a", "rw", 3},
    {"\xEF\xBB\xBFtopic a", "", "x", "a", "rw", 1},
    /* denials first, wherever they stand */
    {"user bob\ntopic a/#\ntopic deny a/b\n", "bob", "x", "a/b", "", 3},
    {"user bob\ntopic deny a/b\ntopic a/#\n", "bob", "x", "a/b", "", 2},
    {"user bob\ntopic a/#\ntopic deny a/b\n", "bob", "x", "a/c", "rw", 2},
    {"topic deny a/#\ntopic a/b", "", "x", "a/b", "", 1},
    {"topic deny +/b\ntopic a/b\ntopic a/c", "", "x", "a/b", "", 1},
    {"topic deny +/b\ntopic a/b\ntopic a/c", "", "x", "a/c", "rw", 3},
    {"pattern a/%c\npattern deny a/%c", "bob", "x", "a/x", "", 2},
    /* own rules before patterns */
    {"user bob\ntopic deny a\npattern #\n", "bob", "x", "a", "", 2},
    {"user bob\ntopic deny a\npattern #\n", "bob", "x", "b", "rw", 3},
    {"user bob\ntopic deny a\npattern #\n", "al", "x", "a", "rw", 3},
    {"pattern deny a/%c\nuser bob\ntopic a/#\npattern a/#", "bob", "x", "a/x", "rw", 3},
    {"pattern deny a/%c\nuser bob\ntopic a/#\npattern a/#", "al", "x", "a/x", "", 1},
    {"pattern deny a/%c\nuser bob\ntopic a/#\npattern a/#", "al", "x", "a/y", "rw", 4},
    {"user bob\ntopic read a/#\npattern write a/%c", "bob", "x", "a/x", "rw", 2},
    /* substitution */
    {"pattern a/%c/b", "", "x", "a/x/b", "rw", 1},
    {"pattern a/%c/b", "", "x", "a/y/b", "", 0},
    {"pattern a/%c/b", "", "x/y", "a/x/y/b", "rw", 1},
    {"pattern u/%u", "bob", "x", "u/bob", "rw", 1},
    {"pattern u/%u", "b/c", "x", "u/b/c", "rw", 1},
    {"pattern u/%u", "", "x", "u/%u", "", 0},
    {"pattern u/%u", "", "x", "u/", "", 0},
    {"pattern deny u/%u\npattern u/#", "", "x", "u/", "rw", 2},
    {"pattern p%cq/%u%c/%%c", "bob", "x", "pxq/bobx/%x", "rw", 1},
    {"pattern p%cq/%u%c/%%c", "bob", "x", "pxq/bobx/%%c", "", 0},
    {"pattern p%cq/%u", "bob", "%u", "p%uq/bob", "rw", 1},
    {"pattern a%", "bob", "x", "a%", "rw", 1},
    {"pattern %d/%c", "bob", "x", "%d/x", "rw", 1},
    {"pattern %c/+/%u/#", "bob", "x", "x/1/bob", "rw", 1},
    {"pattern %c/+/%u/#", "bob", "x", "x//bob/2/3", "rw", 1},
    {"pattern %c/+/%u/#", "bob", "x", "x/1/2/bob", "", 0},
    {"pattern %c/#", "bob", "x", "x", "rw", 1},
    {"pattern %c/#", "bob", "x/", "x/", "rw", 1},
    {"pattern %c/a\npattern $x/%u", "bob", "$t", "$t/a", "rw", 1},
    {"pattern %c/a\npattern $x/%u", "bob", "$t", "$x/bob", "rw", 2},
    {"topic a/%c", "", "x", "a/x", "", 0},
    {"topic a/%c", "", "x", "a/%c", "rw", 1},
    /* wildcards */
    {"topic a/#", "", "x", "a", "rw", 1},
    {"topic a/#", "", "x", "a/", "rw", 1},
    {"topic a/#", "", "x", "ab", "", 0},
    {"topic a/#", "", "x", "a/b/c/d", "rw", 1},
    {"topic +", "", "x", "a", "rw", 1},
    {"topic +", "", "x", "/", "", 0},
    {"topic +/+", "", "x", "/", "rw", 1},
    {"topic /", "", "x", "/", "rw", 1},
    {"topic a//b", "", "x", "a//b", "rw", 1},
    {"topic a/+/b", "", "x", "a//b", "rw", 1},
    {"topic a/+/b\ntopic a/1/c", "", "x", "a/1/b", "rw", 1},
    {"topic +/a\ntopic #\ntopic $x/+/#", "", "x", "$x/a", "rw", 3},
    {"topic +/a\ntopic #\ntopic $x/+/#", "", "x", "$x/", "rw", 3},
    {"topic +/a\ntopic #\ntopic $x/+/#", "", "x", "$x", "", 0},
    {"topic +/a\ntopic #\ntopic $x/+/#", "", "x", "$t/a", "", 0},
    {"topic $t/#\ntopic deny #\ntopic deny $t/b", "", "x", "$t/a", "rw", 1},
    {"topic $t/#\ntopic deny #\ntopic deny $t/b", "", "x", "$t/b", "", 3},
    {"topic $t/#\ntopic deny #\ntopic deny $t/b", "", "x", "a", "", 2},
    {"topic $share/g/a", "", "x", "a", "", 0},
    {"pattern +/%c", "", "x", "$a/x", "", 0},
    /* levels whose bytes are below or above those that separate */
    {"topic readwrite a b/c\ntopic a/c\ntopic a!/c\ntopic a0/c", "", "x", "a/c", "rw", 2},
    {"topic readwrite a b/c\ntopic a/c\ntopic a!/c\ntopic a0/c", "", "x", "a b/c", "rw", 1},
    {"topic readwrite a b/c\ntopic a/c\ntopic a!/c\ntopic a0/c", "", "x", "a!/c", "rw", 3},
    {"topic a\ntopic a/\ntopic a//\ntopic a/b", "", "x", "a/", "rw", 2},
    {"topic a\ntopic a/\ntopic a//\ntopic a/b", "", "x", "a//", "rw", 3},
    {"topic a\ntopic a/\ntopic a//\ntopic a/b", "", "x", "a///", "", 0},
};

static void verdicts(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(asks); i++) {
        const struct ask *k = &asks[i];
        struct acl *a = parse(k->acl);
        struct acl_who who = acl_who(a, str_c(k->user), str_c(k->client));
        struct acl_verdict r = acl_decide(a, &who, ACL_READ, str_c(k->topic));
        struct acl_verdict w = acl_decide(a, &who, ACL_WRITE, str_c(k->topic));
        if (r.granted != (strchr(k->rights, 'r') != NULL) || r.line != k->line ||
            w.granted != (strchr(k->rights, 'w') != NULL))
            fail_msg("'%s' for '%s', '%s', %s: %d %u %d", k->acl, k->user, k->client, k->topic,
                     r.granted, r.line, w.granted);
        assert_false(r.dangerous);
        acl_unref(a);
    }
}

static struct acl_verdict reads(const struct acl *a, const char *user, const char *client,
                                const char *topic)
{
    struct acl_who who = acl_who(a, str_c(user), str_c(client));

    return acl_decide(a, &who, ACL_READ, str_c(topic));
}

/* CVE-2017-7650: neither as a wildcard, nor as a literal that looks like one. */
static void wildcards_in_names(void **state)
{
    struct acl *plain = parse("user a+\ntopic a\nuser n\ntopic a");
    struct acl *a = parse("pattern p/%c\npattern q\nuser a+\ntopic a\ntopic deny b");
    static const char *const names[][2] = {{"a+", "x"}, {"a#", "x"}, {"n", "+"}, {"", "x#y"}};
    struct acl_who who;

    (void)state;
    assert_true(reads(plain, "a+", "x", "a").granted);
    assert_false(reads(plain, "a+", "x", "b").dangerous);
    assert_true(reads(a, "a+", "x", "a").granted);
    assert_int_equal(reads(a, "a+", "x", "b").line, 5);
    assert_false(reads(a, "a+", "x", "b").dangerous);
    who = acl_who(a, STR("a+"), STR("x"));
    assert_int_equal(acl_decide_filter(a, &who, STR("b")).line, 5);
    assert_true(acl_decide_filter(a, &who, STR("b/#")).dangerous);
    assert_true(acl_decide_filter(a, &who, STR("#")).granted);
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        static const char *const topics[] = {"p/x", "p/y", "q"};
        for (size_t k = 0; k < ARRAY_SIZE(topics); k++) {
            struct acl_verdict v = reads(a, names[i][0], names[i][1], topics[k]);
            assert_false(v.granted);
            assert_true(v.dangerous);
            assert_int_equal(v.line, 0);
        }
    }
    acl_unref(a);
    acl_unref(plain);
}

static void a_client_is_denied_what_it_cannot_write_down(void **state)
{
    size_t n = 65535;
    char *id = malloc(n + 1);
    struct acl *a = parse("pattern %c/%c/%c/#\npattern deny %c%c\npattern x/%c");
    struct acl_who who;

    (void)state;
    assert_non_null(id);
    memset(id, 'x', n);
    id[n] = '\0';
    who = acl_who(a, STR(""), str_of(id, n));
    assert_false(acl_decide(a, &who, ACL_READ, STR("x")).granted);
    assert_false(acl_decide(a, &who, ACL_READ, str_of(id, n)).granted);
    assert_false(acl_decide_filter(a, &who, STR("#")).granted);
    memset(id, '/', n);
    assert_false(acl_decide(a, &who, ACL_READ, STR("x")).granted);
    assert_false(acl_decide_filter(a, &who, STR("#")).granted);
    free(id);
    acl_unref(a);
}

/* --- files --- */

struct fault {
    const char *text;
    const char *line; /* of the log */
};

static const struct fault faults[] = {
    {"topic", "Error: acl:1: 'topic': no topic; expected [read|write|readwrite|deny] TOPIC"},
    {"\n#x\npattern \n", "Error: acl:3: 'pattern': no topic; expected"},
    {"topic readx a", "Error: acl:1: 'topic readx a': expected read, write, readwrite or deny"},
    {"topic READ a", "acl:1: 'topic READ a': expected read, write, readwrite or deny before"},
    {"topic a b", "acl:1: 'topic a b': expected read, write, readwrite or deny before a topic"},
    {"topic a # c", "acl:1: 'topic a # c': expected read,"},
    {"topic a#", "acl:1: 'topic a#': no valid topic; expected + and # to be whole levels"},
    {"topic read a #", "acl:1: 'topic read a #': no valid topic;"},
    {"topic +a", "no valid topic;"},
    {"topic #/a", "no valid topic;"},
    {"topic a/+b/c", "no valid topic;"},
    {"pattern %c+", "no valid topic;"},
    {"pattern %c/+%u", "no valid topic;"},
    {"user", "acl:1: 'user': no name; expected user NAME"},
    {"user \t ", "no name; expected user NAME"},
    {"usr a", "acl:1: 'usr a': expected a line that begins with topic, pattern or user"},
    {"Topic a", "expected a line that begins with topic, pattern or user"},
    {"topics a", "expected a line that begins with"},
    {"  # c", "acl:1: '# c': expected # as the first character of a line that is a comment"},
    {"topic \xff", "acl:1: 'topic \\xff': expected UTF-8 text without control characters"},
    {"topic a\x01", "expected UTF-8 text"},
    {"topic a\tb", "expected read, write, readwrite or deny"},
    {"topic read a\tb", "acl:1: 'topic read a\\x09b': expected UTF-8 text"},
    {"user a\tb", "expected UTF-8 text"},
    {"user a\x80", "expected UTF-8 text"},
    {"\xFF\xFEt\x01", "expected a line that begins with"},
};

static void faults_are_told(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(faults); i++) {
        struct acl *a = NULL;
        captured_reset();
        assert_err(acl_parse(str_c(faults[i].text), "acl", &captured_log, &a), ERR_INVAL);
        assert_null(a);
        assert_int_equal(captured.errors, 1);
        assert_logged(faults[i].line);
    }
}

static void a_nul_is_refused(void **state)
{
    struct acl *a = NULL;

    (void)state;
    captured_reset();
    assert_err(acl_parse(STR("topic a\0b"), "acl", &captured_log, &a), ERR_INVAL);
    assert_logged("acl:1: 'topic a\\x00b': expected UTF-8");
}

static void all_faults_are_told_but_not_thousands(void **state)
{
    char text[400];
    struct acl *a = NULL;

    (void)state;
    captured_reset();
    assert_err(acl_parse(STR("topic\nuser\ntopic a\nx\n"), "acl", &captured_log, &a), ERR_INVAL);
    assert_int_equal(captured.errors, 3);
    assert_logged("acl:1:");
    assert_logged("acl:2:");
    assert_logged("acl:4:");
    memset(text, '\n', sizeof(text));
    for (size_t i = 0; i < sizeof(text); i += 2)
        text[i] = 'x';
    captured_reset();
    assert_err(acl_parse(str_of(text, sizeof(text)), "acl", &captured_log, &a), ERR_INVAL);
    assert_int_equal(captured.errors, 21);
    assert_logged("Error: acl: 180 more lines like these.");
}

static void odd_lines_are_warned_about(void **state)
{
    (void)state;
    acl_unref(parse("topic read\n"));
    assert_int_equal(captured.warnings, 1);
    assert_logged("Warning: acl:1: 'topic read': no topic behind the right");
    acl_unref(parse("pattern a/%c\npattern a\npattern %\n"));
    assert_int_equal(captured.warnings, 2);
    assert_logged("Warning: acl:2: 'pattern a': a pattern without %c and %u");
    acl_unref(parse("user a\ntopic read a\npattern %u\n"));
    assert_int_equal(captured.warnings, 0);
}

/* `repeat` times `unit` behind `head`, then `tail`. */
static enum err parse_long(const char *head, const char *unit, size_t repeat, const char *tail)
{
    struct buf b = {0};
    struct acl *a = NULL;
    enum err e;

    assert_ok(buf_add(&b, head, strlen(head)));
    for (size_t i = 0; i < repeat; i++)
        assert_ok(buf_add(&b, unit, strlen(unit)));
    assert_ok(buf_add(&b, tail, strlen(tail)));
    captured_reset();
    e = acl_parse(buf_str(&b), "acl", &captured_log, &a);
    acl_unref(a);
    buf_clear(&b);
    return e;
}

static void limits(void **state)
{
    (void)state;
    assert_ok(parse_long("topic ", "a/", 199, "a"));
    assert_err(parse_long("topic ", "a/", 200, "a"), ERR_INVAL);
    assert_logged("expected a topic of at most 200 levels");
    assert_ok(parse_long("topic read ", "a", 65535, ""));
    assert_err(parse_long("topic read ", "a", 65536, ""), ERR_INVAL);
    assert_logged("too long; expected at most 65535 bytes");
    assert_ok(parse_long("user ", "a", 65535, ""));
    assert_err(parse_long("user ", "a", 65536, ""), ERR_INVAL);
}

static void lines_can_be_shown(void **state)
{
    struct acl *a = parse("\n topic a \r\nuser b\ntopic c");

    (void)state;
    assert_string_equal(acl_path(a), "acl");
    assert_true(str_eq_c(acl_line(a, 2), "topic a"));
    assert_true(str_eq_c(acl_line(a, 4), "topic c"));
    assert_int_equal(acl_line(a, 1).n, 0);
    assert_int_equal(acl_line(a, 5).n, 0);
    assert_int_equal(acl_line(a, 0).n, 0);
    assert_ptr_equal(acl_ref(a), a);
    acl_unref(a);
    acl_unref(a);
    acl_unref(NULL);
}

static struct acl *parse_example(struct buf *b)
{
    struct acl *a = NULL;

    captured_reset();
    assert_ok(acl_parse(buf_str(b), "aclfile.example", &captured_log, &a));
    assert_int_equal(captured.used, 0);
    return a;
}

/* As it is it grants nothing; with its examples it is right and does what it says. */
static void the_example_is_valid(void **state)
{
    struct buf b = {0};
    struct acl *a;

    (void)state;
    assert_ok(file_read("aclfile.example", 1 << 20, &b));
    a = parse_example(&b);
    assert_false(reads(a, "", "x", "weather/today").granted);
    acl_unref(a);
    for (char *p = (char *)buf_begin(&b), *end = p + b.len; p + 1 < end; p++) {
        bool first = p == (char *)buf_begin(&b) || p[-1] == '\n';
        if (first && *p == '#' && p[1] >= 'a' && p[1] <= 'z')
            *p = ' ';
    }
    a = parse_example(&b);
    assert_true(reads(a, "", "x", "weather/today").granted);
    assert_true(reads(a, "anna", "x", "home/door").granted);
    assert_false(reads(a, "anna", "x", "home/safe/1").granted);
    assert_true(reads(a, "thermometer in the cellar", "x", "home/clock").granted);
    assert_true(reads(a, "bob", "x", "users/bob/1").granted);
    assert_false(reads(a, "bob", "x", "users/anna/1").granted);
    acl_unref(a);
    buf_clear(&b);
}

static void every_allocation_may_fail(void **state)
{
    static const char text[] = "topic x\nuser b\ntopic a\ntopic a\nuser a\ntopic deny b/#\n"
                               "pattern %c\npattern deny %u\nuser b\ntopic read c\ntopic d";
    struct acl *a = NULL;
    uint64_t n = 0;
    enum err e;

    (void)state;
    unit_needs_tracking();
    do {
        size_t before = mem_used();
        mem_fail_after(n++, 0);
        captured_reset();
        e = acl_parse(STR(text), "acl", &captured_log, &a);
        mem_fail_never();
        assert_true(e == ERR_OK || e == ERR_NOMEM);
        if (e)
            assert_true(mem_used() == before);
    } while (e && n < 100);
    assert_true(n > 7 && n < 100);
    assert_true(reads(a, "b", "x", "d").granted);
    acl_unref(a);
}

/* --- filters --- */

struct filter_ask {
    const char *acl;
    const char *user;
    const char *filter;
    bool granted;
    uint32_t line;
};

static const struct filter_ask filter_asks[] = {
    {"topic a", "", "a", true, 1},
    {"topic a", "", "b", false, 0},
    {"topic a", "", "+", true, 1},
    {"topic a", "", "#", true, 1},
    {"topic a", "", "a/#", true, 1},
    {"topic a", "", "a/+", false, 0},
    {"topic a", "", "$SYS/#", false, 0},
    {"topic write a", "", "a", false, 0},
    {"topic write a", "", "#", false, 0},
    {"topic write a\ntopic read a", "", "#", true, 2},
    {"topic #", "", "$SYS/#", false, 0},
    {"topic $SYS/#", "", "$SYS/+/a", true, 1},
    {"topic $SYS/#", "", "#", false, 0},
    {"topic $SYS/#", "", "+/a", false, 0},
    {"topic a/#", "", "a", true, 1},
    {"topic +/b", "", "a/+", true, 1},
    {"topic +/b", "", "a/c", false, 0},
    {"topic +/b/#", "", "a/+/c", true, 1},
    {"topic a/b", "", "a/b/", false, 0},
    {"topic a/", "", "a/#", true, 1},
    {"topic a/", "", "a/", true, 1},
    {"topic +", "", "/#", false, 0}, /* only in the empty name, which is none */
    {"topic /#", "", "+", false, 0},
    {"topic +/#", "", "/#", true, 1},
    {"topic /#\ntopic deny /+", "", "/#", true, 1},
    {"topic /#\ntopic deny /+/#", "", "/#", false, 2},
    /* denials that take all of it, or leave something */
    {"topic #\ntopic deny #", "", "#", false, 2},
    {"topic #\ntopic deny #", "", "a/+", false, 2},
    {"topic #\ntopic deny a/#", "", "#", true, 1},
    {"topic #\ntopic deny a/#", "", "a/+", false, 2},
    {"topic #\ntopic deny a/#", "", "a", false, 2},
    {"topic #\ntopic deny a/#", "", "+", true, 1},
    {"topic #\ntopic deny +", "", "a", false, 2},
    {"topic #\ntopic deny +", "", "#", true, 1},
    {"topic #\ntopic deny +\ntopic deny +/+/#", "", "#", false, 0},
    {"topic #\ntopic deny a\ntopic deny a/+/#", "", "a/#", false, 0},
    {"topic #\ntopic deny a\ntopic deny a/+/+/#", "", "a/#", true, 1},
    {"topic a\ntopic b\ntopic deny +", "", "+", false, 3},
    {"topic a/+\ntopic deny a/b", "", "a/+", true, 1},
    {"topic a/b\ntopic deny a/b", "", "a/+", false, 0},
    {"topic a/b\ntopic deny a/b\ntopic deny a/#", "", "a/+", false, 3},
    /* patterns */
    {"pattern %c/#", "", "x", true, 1},
    {"pattern %c/#", "", "+/a", true, 1},
    {"pattern %c/#", "", "y/#", false, 0},
    {"pattern %u/#", "", "#", false, 0},
    {"pattern %u/#", "bob", "#", true, 1},
    {"pattern %u/#\npattern deny %u/+/#", "bob", "bob/+", false, 2},
    {"pattern %u/#\npattern deny %u/+/#", "bob", "#", true, 1},
    {"pattern deny #\nuser bob\ntopic a", "bob", "#", true, 3},
    {"user bob\ntopic deny #\npattern #", "bob", "a", false, 2},
    {"user bob\ntopic deny #\npattern #", "al", "a", true, 3},
    {"pattern #", "a+", "a", false, 0},
    {"", "", "#", false, 0},
};

static void filters(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(filter_asks); i++) {
        const struct filter_ask *k = &filter_asks[i];
        struct acl *a = parse(k->acl);
        struct acl_who who = acl_who(a, str_c(k->user), STR("x"));
        struct acl_verdict v = acl_decide_filter(a, &who, str_c(k->filter));
        if (v.granted != k->granted || v.line != k->line)
            fail_msg("'%s' for '%s', %s: %d %u", k->acl, k->user, k->filter, v.granted, v.line);
        assert_int_equal(v.dangerous, str_eq_c(str_c(k->user), "a+"));
        acl_unref(a);
    }
}

static void a_deep_filter_is_decided(void **state)
{
    struct buf b = {0};
    struct acl *a = parse("topic #\ntopic deny +/#");
    struct acl_who who = acl_who(a, STR(""), STR("x"));

    (void)state;
    for (int i = 0; i < 199; i++)
        assert_ok(buf_add(&b, "+/", 2));
    assert_ok(buf_add(&b, "#", 1));
    assert_false(acl_decide_filter(a, &who, buf_str(&b)).granted);
    acl_unref(a);
    a = parse("topic #\ntopic deny +\ntopic deny +/+/+/#");
    who = acl_who(a, STR(""), STR("x"));
    assert_false(acl_decide_filter(a, &who, buf_str(&b)).granted);
    assert_true(acl_decide_filter(a, &who, STR("+/#")).granted);
    acl_unref(a);
    buf_clear(&b);
}

/* --- against the model --- */

static uint64_t random_state = 1;

static unsigned chance(unsigned n)
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(random_state >> 33U) % n;
}

/* A random filter of up to three levels. */
static void random_filter(char *out, bool pattern)
{
    static const char *const levels[] = {"a", "b", "", "+", "+", "%c", "%u"};
    unsigned n = 1 + chance(3);

    out[0] = '\0';
    if (chance(8) == 0)
        strcat(out, "$s/");
    for (unsigned i = 0; i < n; i++) {
        if (i > 0)
            strcat(out, "/");
        if (i + 1 == n && chance(4) == 0)
            strcat(out, "#");
        else
            strcat(out, levels[chance(pattern ? 7 : 5)]);
    }
    if (out[0] == '\0')
        strcat(out, "+");
}

/* Of up to `most` rules. */
static void random_file(char *out, unsigned most)
{
    static const char *const words[] = {"", "read ", "write ", "readwrite ", "deny "};
    static const char *const users[] = {"user b\n", "user a\n", "user a/b\n", "user a+\n"};
    unsigned n = chance(most + 1);

    out[0] = '\0';
    for (unsigned i = 0; i < n; i++) {
        bool pattern = chance(4) == 0;
        char filter[64];
        if (chance(4) == 0)
            strcat(out, users[chance(4)]);
        random_filter(filter, pattern);
        strcat(out, pattern ? "pattern " : "topic ");
        strcat(out, words[chance(5)]);
        strcat(strcat(out, filter), "\n");
    }
}

/* All topics of up to four levels of these; "z" is in no rule. */
#define TOPICS_MAX 1000
static struct {
    char text[16];
    bool readable;
} topics[TOPICS_MAX];
static size_t topic_count;

static void make_topics(void)
{
    static const char *const levels[] = {"a", "b", "", "z", "$s"};

    topic_count = 0;
    for (unsigned n = 1; n <= 4; n++) {
        unsigned all = n == 1 ? 5 : n == 2 ? 25 : n == 3 ? 125 : 625;
        for (unsigned k = 1; k <= all; k++) {
            char *out = topics[topic_count].text;
            unsigned rest = k % all;
            out[0] = '\0';
            for (unsigned i = 0; i < n; i++, rest /= 5)
                strcat(strcat(out, i ? "/" : ""), levels[rest % 5]);
            topic_count += out[0] != '\0';
        }
    }
}

static const struct {
    const char *user, *client;
} clients[] = {{"", "a"}, {"b", "a"}, {"a", "b"}, {"a/b", "b/a"}, {"b", "$s"}, {"a+", "a"}};

static void check_topics(const struct model *m, const struct acl *a, const struct acl_who *who,
                         const char *text)
{
    for (size_t i = 0; i < topic_count; i++) {
        struct str topic = str_c(topics[i].text);
        if (!model_agrees(m, a, who, ACL_READ, topic) || !model_agrees(m, a, who, ACL_WRITE, topic))
            fail_msg("user '%.*s', client '%.*s', topic '%s' in:\n%s", STR_ARG(who->user),
                     STR_ARG(who->client), topics[i].text, text);
        topics[i].readable = acl_decide(a, who, ACL_READ, topic).granted;
    }
}

/* Granted exactly if some topic of the filter can be read; a line is named if one rule denies all.
 */
static void check_filter(const struct acl *a, const struct acl_who *who, const char *filter,
                         const char *text)
{
    struct acl_verdict v = acl_decide_filter(a, who, str_c(filter));
    bool some = false;

    for (size_t i = 0; i < topic_count && !some; i++)
        some = topics[i].readable && topic_matches(str_c(filter), str_c(topics[i].text));
    if (who->user.n > 1 || who->client.n > 2)
        some |= v.granted;
    if (v.granted != some || (v.granted && v.line == 0))
        fail_msg("user '%.*s', client '%.*s', filter '%s' is %d in:\n%s", STR_ARG(who->user),
                 STR_ARG(who->client), filter, v.granted, text);
}

static void random_rules(void **state)
{
    static struct model m;
    static char text[4096];

    (void)state;
    make_topics();
    for (int round = 0; round < 400; round++) {
        struct acl *a;
        size_t c = chance(ARRAY_SIZE(clients));
        struct acl_who who;
        random_file(text, round % 3 == 0 ? 30 : 6);
        a = parse(text);
        model_read(&m, str_c(text));
        who = acl_who(a, str_c(clients[c].user), str_c(clients[c].client));
        check_topics(&m, a, &who, text);
        for (int i = 0; i < 20; i++) {
            char filter[64];
            random_filter(filter, false);
            check_filter(a, &who, filter, text);
        }
        acl_unref(a);
    }
}

/* --- size --- */

static double seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static struct acl *load_many(unsigned users, unsigned rules)
{
    struct buf b = {0};
    struct acl *a = NULL;
    size_t used;
    double before;

    for (unsigned i = 0; i < users; i++) {
        assert_ok(buf_printf(&b, "user u%u\n", i));
        for (unsigned k = 0; k < rules; k++)
            assert_ok(buf_printf(&b, "topic readwrite site/%u/sensor%u/temperature\n", i, k));
    }
    used = mem_used();
    before = seconds();
    assert_ok(acl_parse(buf_str(&b), "acl", &captured_log, &a));
    print_message("%u users of %u rules: %.0f ms to load, %.1f MB beside %.1f MB of file\n", users,
                  rules, 1e3 * (seconds() - before), 1e-6 * (double)(mem_used() - used),
                  1e-6 * b.len);
    buf_clear(&b);
    return a;
}

static void time_verdicts(const struct acl *a, unsigned users, unsigned rules)
{
    double before = seconds();
    unsigned n = 20000;

    for (unsigned i = 0; i < n; i++) {
        char user[16], topic[64];
        unsigned u = chance(users);
        struct acl_who who;
        snprintf(user, sizeof(user), "u%u", u);
        snprintf(topic, sizeof(topic), "site/%u/sensor%u/temperature", u, chance(2 * rules));
        who = acl_who(a, str_c(user), STR("c"));
        struct acl_verdict v = acl_decide(a, &who, ACL_WRITE, str_c(topic));
        assert_int_equal(v.granted, v.line != 0);
    }
    print_message("  %.0f ns to find a user and decide\n", 1e9 * (seconds() - before) / n);
}

static void many_rules(void **state)
{
    static const unsigned sizes[][2] = {{10000, 10}, {100000, 10}, {1, 1000000}};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        struct acl *a = load_many(sizes[i][0], sizes[i][1]);
        if (feature_built(FEATURE_MEMORY_TRACKING) && i == 0)
            assert_true(mem_used() - unit_used_before < 8 << 20);
        time_verdicts(a, sizes[i][0], sizes[i][1]);
        acl_unref(a);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(verdicts),
        UNIT_TEST(wildcards_in_names),
        UNIT_TEST(a_client_is_denied_what_it_cannot_write_down),
        UNIT_TEST(faults_are_told),
        UNIT_TEST(a_nul_is_refused),
        UNIT_TEST(all_faults_are_told_but_not_thousands),
        UNIT_TEST(odd_lines_are_warned_about),
        UNIT_TEST(limits),
        UNIT_TEST(lines_can_be_shown),
        UNIT_TEST(the_example_is_valid),
        UNIT_TEST(every_allocation_may_fail),
        UNIT_TEST(filters),
        UNIT_TEST(a_deep_filter_is_decided),
        UNIT_TEST(random_rules),
        UNIT_TEST(many_rules),
    };

    return cmocka_run_group_tests_name("acl", tests, NULL, NULL);
}
