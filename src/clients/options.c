/*
 * Reads options: a row is found by its name, its value is the next argument whatever it looks like
 * ("-m -5"), or stands behind '=' in a long name. Single letters are not joined.
 *
 * A line of an options file is one option, its value the rest of the line as it is, behind one
 * blank. Settings of the command line win, because they are read after it.
 */
#include "clients/options.h"

#include "clients/help.h"
#include "clients/secret.h"
#include "mosquitto.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NAME_MAX_BYTES 40   /* longer names are nobody's typing mistake */
#define STRING_MAX 65535    /* bytes of an MQTT string, 1.5.3 */
#define FILE_NAME_MAX 4096  /* of an options file */
#define MARK "\xEF\xBB\xBF" /* that some editors put before UTF-8 */
#define MARK_BYTES 3

/* --- names --- */

static bool is_named(const struct client_row *row, const char *name, size_t n)
{
    return (strlen(row->name) == n && !memcmp(row->name, name, n)) ||
           (row->alias && strlen(row->alias) == n && !memcmp(row->alias, name, n));
}

static const struct client_row *find(const struct client_program *program, const char *name,
                                     size_t n)
{
    const struct client_row *row;

    for (size_t i = 0; (row = client_row_at(program, i)); i++) {
        if (is_named(row, name, n))
            return row;
    }
    return NULL;
}

static unsigned least(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

/* Letters to insert, delete, exchange, or swap with their neighbour: how far two names are apart.
 * Three rows of the matrix at a time; both have at most NAME_MAX_BYTES. */
static unsigned distance(const char *a, const char *b)
{
    unsigned rows[3][NAME_MAX_BYTES + 1];
    unsigned *row = rows[0], *last = rows[1], *before = rows[2];
    size_t n = strlen(b);

    for (unsigned k = 0; k <= n; k++)
        row[k] = k;
    for (unsigned i = 0; a[i]; i++) {
        unsigned *free_row = before;

        before = last;
        last = row;
        row = free_row;
        row[0] = i + 1;
        for (size_t k = 0; k < n; k++) {
            row[k + 1] = least(last[k] + (a[i] != b[k]), least(last[k + 1], row[k]) + 1);
            if (i > 0 && k > 0 && a[i] == b[k - 1] && a[i - 1] == b[k])
                row[k + 1] = least(row[k + 1], before[k - 1] + 1);
        }
    }
    return row[n];
}

static void consider(const char *name, const char *known, const char **nearest, unsigned *best)
{
    unsigned d;

    if (!known || strlen(known) < 4)
        return;
    d = distance(name, known);
    if (d < *best) {
        *best = d;
        *nearest = known;
    }
}

/* The long name that differs least; NULL when none is near. */
static const char *find_nearest(const struct client_program *program, const char *name)
{
    const struct client_row *row;
    const char *nearest = NULL;
    size_t n = strlen(name);
    unsigned best = (unsigned)n / 3 + 1;

    if (n < 4 || n > NAME_MAX_BYTES)
        return NULL;
    for (size_t i = 0; (row = client_row_at(program, i)); i++) {
        if (row->group != GROUP_REFUSED) {
            consider(name, row->name, &nearest, &best);
            consider(name, row->alias, &nearest, &best);
        }
    }
    return nearest;
}

static bool refuse_unknown(struct client_settings *s, const char *name)
{
    const char *nearest = find_nearest(s->program, name);

    if (nearest)
        return client_refuse(s, "Unknown option '%s'. Did you mean '%s'?", name, nearest);
    return client_refuse(s, "Unknown option '%s'.", name);
}

/* --- values --- */

/* `wrong` of the row, with the value in it. */
static bool refuse_value(const struct client_settings *s, const struct client_row *row,
                         const char *value)
{
    const char *place = row->wrong ? strstr(row->wrong, "%s") : NULL;

    if (!row->wrong)
        return client_refuse(s, "Invalid %s given: %s (%d to %d)", row->noun, value, row->min,
                             row->max);
    if (!place)
        return client_refuse(s, "%s", row->wrong);
    return client_refuse(s, "%.*s%s%s", (int)(place - row->wrong), row->wrong, value, place + 2);
}

static bool set_int(struct client_settings *s, const struct client_row *row, const char *value)
{
    char *end;
    long n;

    errno = 0;
    n = strtol(value, &end, 10);
    end += strspn(end, " \t");
    if (end == value || *end || errno || n < row->min || n > row->max)
        return refuse_value(s, row, value);
    *(int *)((char *)s + row->offset) = (int)n;
    return true;
}

static bool set_seconds(struct client_settings *s, const struct client_row *row, const char *value)
{
    char *end;
    double n = strtod(value, &end);

    end += strspn(end, " \t");
    if (end == value || *end || !(n >= row->min && n <= row->max))
        return refuse_value(s, row, value);
    *(double *)((char *)s + row->offset) = n;
    return true;
}

/* Can this be sent as a string? */
static bool is_text(const struct client_settings *s, const struct client_row *row,
                    const char *value)
{
    size_t n = strlen(value);

    if (!(row->flags & ROW_UTF8))
        return true;
    if (n > STRING_MAX)
        return client_refuse(s, "The %s argument has %zu bytes; at most %d can be sent.", row->name,
                             n, STRING_MAX);
    if (n && mosquitto_validate_utf8(value, (int)n))
        return client_refuse(s, "Malformed UTF-8 in %s argument.", row->name);
    return true;
}

static bool set_value(struct client_settings *s, const struct client_row *row, const char *value)
{
    void *field = (char *)s + row->offset;

    switch (row->type) {
    case ROW_FLAG:
        *(bool *)field = true;
        return true;
    case ROW_INT:
        return set_int(s, row, value);
    case ROW_SECONDS:
        return set_seconds(s, row, value);
    case ROW_TEXT:
        return is_text(s, row, value) && client_keep(field, value);
    case ROW_LIST:
        return is_text(s, row, value) && client_keep_also(field, value);
    case ROW_SET:
        return row->set(s, row, value);
    default:
        return true;
    }
}

/* What is to be done with a row that sets nothing. */
static enum client_verdict judge(const struct client_settings *s, const struct client_row *row)
{
    switch (row->type) {
    case ROW_HELP:
        return client_help(s->program) ? CLIENT_DONE : CLIENT_BAD;
    case ROW_VERSION:
        return client_version(s->program) ? CLIENT_DONE : CLIENT_BAD;
    case ROW_REFUSED:
        client_refuse(s, "%s: %s", row->name, row->wrong);
        return CLIENT_BAD;
    default:
        return CLIENT_GO;
    }
}

static enum client_verdict refuse_missing(const struct client_settings *s,
                                          const struct client_row *row, const char *name)
{
    client_refuse(s, "%s argument given but no %s specified.", name, row->noun);
    return CLIENT_BAD;
}

/* --- options files --- */

/* One line: "-p 1883", "--quiet". */
static enum client_verdict read_line(struct client_settings *s, char *line)
{
    const struct client_row *row;
    char *name = line + strspn(line, " \t");
    size_t n = strcspn(name, " \t");
    enum client_verdict verdict;

    if (!*name || *name == '#')
        return CLIENT_GO;
    row = find(s->program, name, n);
    if (!row || row->type == ROW_FILE) {
        refuse_unknown(s, name);
        return CLIENT_BAD;
    }
    verdict = judge(s, row);
    if (verdict != CLIENT_GO)
        return verdict;
    if (client_row_has_value(row) && !name[n])
        return refuse_missing(s, row, row->name);
    if (!client_row_has_value(row) && name[n + strspn(name + n, " \t")]) {
        client_refuse(s, "%s takes no value, but \"%s\" follows it.", row->name, name + n + 1);
        return CLIENT_BAD;
    }
    return set_value(s, row, name[n] ? name + n + 1 : "") ? CLIENT_GO : CLIENT_BAD;
}

/* `line` has n bytes and a NUL. */
static enum client_verdict read_whole_line(struct client_settings *s, char *line, size_t n)
{
    while (n > 0 && (line[n - 1] == '\n' || line[n - 1] == '\r'))
        line[--n] = 0;
    if (strlen(line) == n)
        return read_line(s, line);
    client_refuse(s, "There is a NUL in a line.");
    return CLIENT_BAD;
}

static enum client_verdict read_lines(struct client_settings *s, FILE *f)
{
    enum client_verdict verdict = CLIENT_GO;
    char *line = NULL;
    size_t cap = 0;
    ssize_t n;
    bool first = true;

    while (verdict == CLIENT_GO && (n = getline(&line, &cap, f)) >= 0) {
        size_t mark = first && n >= MARK_BYTES && !memcmp(line, MARK, MARK_BYTES) ? MARK_BYTES : 0;

        verdict = read_whole_line(s, line + mark, (size_t)n - mark);
        explicit_bzero(line, (size_t)n);
        first = false;
    }
    free(line);
    return verdict;
}

/* `must`: it was asked for by name. */
static enum client_verdict read_file(struct client_settings *s, const char *path, bool must)
{
    FILE *f = fopen(path, "re");
    enum client_verdict verdict;

    if (!f && !must)
        return CLIENT_GO;
    if (!f) {
        client_refuse(s, "Unable to open options file \"%s\": %s.", path, strerror(errno));
        return CLIENT_BAD;
    }
    verdict = read_lines(s, f);
    if (verdict == CLIENT_BAD)
        fprintf(stderr, "The option is in the file \"%s\".\n", path);
    if (ferror(f) && must) {
        client_refuse(s, "Unable to read options file \"%s\": %s.", path, strerror(errno));
        verdict = CLIENT_BAD;
    }
    fclose(f);
    return verdict;
}

static enum client_verdict read_below(struct client_settings *s, const char *variable,
                                      const char *below)
{
    const char *dir = getenv(variable);
    char path[FILE_NAME_MAX];

    if (!dir || !*dir ||
        snprintf(path, sizeof(path), "%s%s/%s", dir, below, s->program->name) >= (int)sizeof(path))
        return CLIENT_GO;
    return read_file(s, path, false);
}

/* The files of the user; as a snap the home is elsewhere. */
static enum client_verdict read_users(struct client_settings *s)
{
    const char *config = getenv("XDG_CONFIG_HOME");
    enum client_verdict verdict;

    if (config && *config)
        return read_below(s, "XDG_CONFIG_HOME", "");
    verdict = read_below(s, "HOME", "/snap/mosquitto/current/.config");
    return verdict == CLIENT_GO ? read_below(s, "HOME", "/.config") : verdict;
}

/* --- the command line --- */

/* An argument taken apart; `value` is NULL when there is none. */
struct argument {
    const struct client_row *row;
    char *value;
    int taken; /* how many arguments it was */
};

/* "--name=value" or "--name value"; row is NULL when it is unknown. */
static struct argument take(const struct client_program *program, int n, char **argv)
{
    struct argument a = {.row = find(program, argv[0], strlen(argv[0])), .taken = 1};
    size_t equals = strcspn(argv[0], "=");

    if (a.row && client_row_has_value(a.row) && n > 1) {
        a.value = argv[1];
        a.taken = 2;
    } else if (!a.row && argv[0][equals] && argv[0][1] == '-') {
        a.row = find(program, argv[0], equals);
        a.value = argv[0] + equals + 1;
        if (a.row && !client_row_has_value(a.row))
            a.row = NULL;
    }
    return a;
}

static enum client_verdict apply(struct client_settings *s, const struct argument *a,
                                 const char *name)
{
    enum client_verdict verdict;

    if (!a->row) {
        refuse_unknown(s, name);
        return CLIENT_BAD;
    }
    verdict = judge(s, a->row);
    if (verdict != CLIENT_GO)
        return verdict;
    if (client_row_has_value(a->row) && !a->value)
        return refuse_missing(s, a->row, name);
    verdict = set_value(s, a->row, a->value ? a->value : "") ? CLIENT_GO : CLIENT_BAD;
    if (a->value && (a->row->flags & ROW_SECRET))
        client_secret_wipe(a->value);
    return verdict;
}

static enum client_verdict read_arguments(struct client_settings *s, int argc, char **argv)
{
    enum client_verdict verdict = CLIENT_GO;

    for (int i = 1; i < argc && verdict == CLIENT_GO;) {
        struct argument a = take(s->program, argc - i, argv + i);

        verdict = apply(s, &a, argv[i]);
        i += a.taken;
    }
    return verdict;
}

/* Files come before the command line, which wins; those of -o are read instead of the user's. */
static enum client_verdict read_files(struct client_settings *s, int argc, char **argv)
{
    enum client_verdict verdict = CLIENT_GO;
    bool named = false;

    for (int i = 1; i < argc && verdict == CLIENT_GO;) {
        struct argument a = take(s->program, argc - i, argv + i);

        if (a.row && (a.row->type == ROW_HELP || a.row->type == ROW_VERSION))
            return CLIENT_GO;
        if (a.row && a.row->type == ROW_FILE && a.value) {
            named = true;
            verdict = read_file(s, a.value, true);
        }
        i += a.taken;
    }
    return named ? verdict : read_users(s);
}

/* --- all together --- */

static bool check_will(const struct client_settings *s)
{
    if (!s->will_topic) {
        if (s->will_payload)
            return client_refuse(s, "Will payload given, but no will topic given.");
        if (s->will_retain)
            return client_refuse(s, "Will retain given, but no will topic given.");
        return true;
    }
    if (!*s->will_topic || mosquitto_pub_topic_check(s->will_topic))
        return client_refuse(s, "Invalid will topic '%s', %s", s->will_topic,
                             *s->will_topic ? "does it contain '+' or '#'?"
                                            : "it must not be empty.");
    return true;
}

static bool check_tls(const struct client_settings *s)
{
    if (s->no_tls)
        return true;
    if (!s->certfile != !s->keyfile)
        return client_refuse(s,
                             "Both certfile and keyfile must be provided if one of them is set.");
    if (s->certfile && !client_wants_tls(s))
        return client_refuse(s, "--cert and --key do nothing without TLS; say whom to trust by "
                                "--cafile, --capath or --tls-use-os-certs.");
    if (s->keyform && !s->keyfile)
        return client_refuse(s, "If keyform is set, keyfile must be also specified.");
    if (s->tls_engine_kpass_sha1 && !(s->keyform && s->tls_engine))
        return client_refuse(s,
                             "when using tls-engine-kpass-sha1, both tls-engine and keyform must "
                             "also be provided.");
    if (s->psk && (s->cafile || s->capath))
        return client_refuse(s, "Only one of --psk or --cafile/--capath may be used at once.");
    if (s->psk && !s->psk_identity)
        return client_refuse(s, "--psk-identity required if --psk used.");
    return true;
}

static bool check_session(const struct client_settings *s)
{
    if (s->id && s->id_prefix)
        return client_refuse(s, "-i and -I argument cannot be used together.");
    if (s->keep_session && !s->id && !s->id_prefix)
        return client_refuse(s, "You must provide a client id if you are using the -c option.");
    if (s->id && !*s->id)
        return client_refuse(s,
                             "Invalid id; -i must not be empty. Leave it out to have one made up.");
    if (s->password && !s->username)
        return client_refuse(s, "A password was given, but no username (-u).");
    return true;
}

static bool check_together(struct client_settings *s)
{
    return check_will(s) && check_tls(s) && check_session(s) &&
           (!s->program->check || s->program->check(s));
}

/* A standard descriptor that is closed would become that of a socket. What takes its place here
 * fails when it is used, as the closed one would. */
static void hold_descriptors(void)
{
    for (int fd = 0; fd <= STDERR_FILENO; fd++) {
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", fd ? O_RDONLY : O_WRONLY) != fd)
            _exit(1);
    }
}

static void set_defaults(struct client_settings *s, const struct client_program *program)
{
    s->program = program;
    s->port = CLIENT_UNSET;
    s->retry_s = CLIENT_UNSET;
    s->keepalive_s = 60;
    s->window = 20;
    s->protocol = MQTT_PROTOCOL_V311;
}

enum client_verdict client_options_read(struct client_settings *s,
                                        const struct client_program *program, int argc, char **argv)
{
    enum client_verdict verdict;

    hold_descriptors();
    set_defaults(s, program);
    verdict = read_files(s, argc, argv);
    if (verdict == CLIENT_GO)
        verdict = read_arguments(s, argc, argv);
    if (verdict != CLIENT_GO)
        return verdict;
    if (!s->host && !client_keep(&s->host, "localhost"))
        return CLIENT_BAD;
    return check_together(s) ? CLIENT_GO : CLIENT_BAD;
}
