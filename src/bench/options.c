/*
 * The command line of mosquitto_bench: one table for parsing, bounds, help and messages.
 */
#include "bench/options.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/stream.h"
#include "bench/wire.h"

enum {
    OPTION_HELP = 256,
    OPTION_LONG, /* what has no letter is numbered from here on */
    TOPIC_PREFIX_MAX = 200,
    UNSET_QOS = 3,
    INFLIGHT_QOS_2 = 20,
    STORED_MAX = 1000000000,
};

enum kind {
    KIND_NUMBER,
    KIND_DECIMAL,
    KIND_TEXT,
    KIND_FLAG,
};

/* Which scenarios an option has a meaning for. */
enum {
    FOR_LOAD = 1 << SCENARIO_PAIRS | 1 << SCENARIO_FANOUT | 1 << SCENARIO_FANIN,
    FOR_IDLE = 1 << SCENARIO_IDLE,
    FOR_CONNECT = 1 << SCENARIO_CONNECT,
    FOR_WILD = 1 << SCENARIO_WILD,
    FOR_QUEUE = 1 << SCENARIO_QUEUE,
    FOR_STORE = 1 << SCENARIO_RETAINED | FOR_QUEUE, /* a number of messages that are kept */
    FOR_PUBLISH = FOR_LOAD | FOR_WILD | FOR_STORE,
    FOR_STORM = 1 << SCENARIO_STORM,
    FOR_TIMED = FOR_LOAD | FOR_WILD | FOR_CONNECT, /* so many seconds, unless by number */
    FOR_ALL = FOR_PUBLISH | FOR_IDLE | FOR_CONNECT | FOR_STORM,
};

struct row {
    const char *name;
    int letter; /* 0: none */
    enum kind kind;
    int scenarios;
    size_t offset;
    double min; /* of a number; a text is bounded in length by `max` alone */
    double max;
    const char *argument;
    const char *doc;
};

#define FIELD(name) offsetof(struct bench_options, name)

static const struct row rows[] = {
    {"host", 'h', KIND_TEXT, FOR_ALL, FIELD(host), 0, 255, "HOST", "the broker (127.0.0.1)"},
    {"port", 'p', KIND_NUMBER, FOR_ALL, FIELD(port), 1, 65535, "PORT", "its port (1883)"},
    {"subscribe-port", 0, KIND_NUMBER, FOR_LOAD, FIELD(subscribe_port), 1, 65535, "PORT",
     "port of the broker that subscribers connect to, if it is another one"},
    {"username", 'u', KIND_TEXT, FOR_ALL, FIELD(username), 0, WIRE_LOGIN_TEXT_MAX, "NAME",
     "name to log in with"},
    {"pw", 'P', KIND_TEXT, FOR_ALL, FIELD(password), 0, WIRE_LOGIN_TEXT_MAX, "PASSWORD",
     "password to log in with"},
    {"cafile", 0, KIND_TEXT, FOR_ALL, FIELD(cafile), 0, PATH_MAX, "FILE",
     "TLS, with a broker that this authority has certified"},
    {"insecure", 0, KIND_FLAG, FOR_ALL, FIELD(insecure), 0, 0, NULL,
     "TLS, whatever the broker's certificate is"},
    {"cert", 0, KIND_TEXT, FOR_ALL, FIELD(cert), 0, PATH_MAX, "FILE", "certificate to show"},
    {"key", 0, KIND_TEXT, FOR_ALL, FIELD(key), 0, PATH_MAX, "FILE", "its key"},
    {"psk", 0, KIND_TEXT, FOR_ALL, FIELD(psk), 0, 512, "HEX", "TLS by this pre-shared key"},
    {"psk-identity", 0, KIND_TEXT, FOR_ALL, FIELD(psk_identity), 0, 127, "NAME", "whose key it is"},
    {"tls-version", 0, KIND_TEXT, FOR_ALL, FIELD(tls_version), 0, 7, "VERSION",
     "tlsv1.2 or tlsv1.3 alone"},
    {"clients", 'n', KIND_NUMBER, FOR_ALL, FIELD(clients), 1, 1000000, "N",
     "pairs, subscribers, publishers, sessions (100; 1 in retained and queue; 1000 in storm)"},
    {"qos", 'q', KIND_NUMBER, FOR_PUBLISH, FIELD(qos), 0, 2, "QOS",
     "of publishing and subscribing"},
    {"publish-qos", 0, KIND_NUMBER, FOR_PUBLISH, FIELD(publish_qos), 0, 2, "QOS", "of publishing"},
    {"subscribe-qos", 0, KIND_NUMBER, FOR_PUBLISH, FIELD(subscribe_qos), 0, 2, "QOS",
     "of subscribing"},
    {"window", 'w', KIND_NUMBER, FOR_PUBLISH, FIELD(window), 1, 30000, "W",
     "messages that a publisher may be ahead (100)"},
    {"inflight", 0, KIND_NUMBER, FOR_PUBLISH, FIELD(inflight), 1, 30000, "N",
     "unacknowledged messages of a publisher (QoS 1: W; QoS 2: 20)"},
    {"payload", 's', KIND_NUMBER, FOR_PUBLISH, FIELD(payload), STREAM_MARK_SIZE, 1048576, "BYTES",
     "size of a payload (64)"},
    {"messages", 'm', KIND_NUMBER, FOR_PUBLISH | FOR_CONNECT, FIELD(messages), 1, 1e12, "N",
     "messages to publish, or connections to make, in all"},
    {"subscriptions", 'S', KIND_NUMBER, FOR_WILD, FIELD(subscriptions), 1, 1e7, "N",
     "subscriptions in all (100000)"},
    {"one-match", 0, KIND_FLAG, FOR_WILD, FIELD(one_match), 0, 0, NULL,
     "each message matches one subscription, room/+/NUMBER/#"},
    {"seed", 0, KIND_NUMBER, FOR_WILD, FIELD(seed), 0, 1e15, "N",
     "another one draws other topics and filters (1)"},
    {"seconds", 't', KIND_DECIMAL, FOR_TIMED | FOR_IDLE, FIELD(seconds), 0.01, 86400, "S",
     "or how long to go on (2); in idle, how long to watch the broker (0)"},
    {"warmup", 0, KIND_DECIMAL, FOR_TIMED, FIELD(warmup), 0, 3600, "S",
     "seconds of the same load before measuring (0.3)"},
    {"rate", 'r', KIND_DECIMAL, FOR_LOAD, FIELD(rate), 0.1, 1e8, "R",
     "publish no more than this in a second, all together"},
    {"latency", 'l', KIND_FLAG, FOR_LOAD, FIELD(latency), 0, 0, NULL,
     "measure the time from publisher to subscriber"},
    {"disable-clean-session", 'c', KIND_FLAG, FOR_LOAD, FIELD(keep_sessions), 0, 0, NULL,
     "subscribers have persistent sessions; they stay when it ends"},
    {"topic-prefix", 0, KIND_TEXT, FOR_PUBLISH | FOR_IDLE, FIELD(topic_prefix), 0, TOPIC_PREFIX_MAX,
     "TOPIC", "first level of all topics (bench)"},
    {"subscribe", 0, KIND_FLAG, FOR_IDLE, FIELD(subscribe), 0, 0, NULL,
     "each connection makes one subscription of its own"},
    {"pid", 0, KIND_NUMBER, FOR_ALL, FIELD(pid), 1, 4194304, "PID",
     "the broker's process, to measure its CPU time or memory"},
    {"timeout", 0, KIND_DECIMAL, FOR_ALL, FIELD(timeout), 0.1, 3600, "S",
     "without progress for so long, give up (10)"},
    {"limit", 0, KIND_DECIMAL, FOR_PUBLISH | FOR_CONNECT | FOR_STORM, FIELD(limit), 0.1, 1e6, "S",
     "give up after so long in all (60 more than asked for; 600 with --messages)"},
    {"json", 'j', KIND_FLAG, FOR_ALL, FIELD(json), 0, 0, NULL, "print one JSON object"},
    {"html", 0, KIND_TEXT, FOR_ALL, FIELD(html), 0, PATH_MAX - 1, "FILE",
     "write a page with figures and charts"},
    {"no-progress", 0, KIND_FLAG, FOR_ALL, FIELD(no_progress), 0, 0, NULL,
     "draw no progress line on a terminal"},
    {"help", OPTION_HELP, KIND_FLAG, FOR_ALL, 0, 0, 0, NULL, "this text"},
};

enum {
    ROWS = sizeof rows / sizeof rows[0],
    LETTERS_ROOM = 2 * ROWS + 2,
};

static const struct {
    const char *name;
    uint64_t clients; /* unless the user says how many */
    uint64_t messages;
    uint64_t qos;
    const char *doc;
} scenarios[] = {
    [SCENARIO_PAIRS] = {"pairs", 100, 0, 0,
                        "N publishers, each with a topic and a subscriber of its own"},
    [SCENARIO_FANOUT] = {"fanout", 100, 0, 0, "one publisher to N subscribers"},
    [SCENARIO_FANIN] = {"fanin", 100, 0, 0, "N publishers to one subscriber"},
    [SCENARIO_IDLE] = {"idle", 100, 0, 0, "memory of N connections that do nothing (needs --pid)"},
    [SCENARIO_CONNECT] = {"connect", 100, 0, 0, "connect and disconnect, N at a time"},
    [SCENARIO_WILD] = {"wild", 100, 0, 0,
                       "very many subscriptions of N clients, most with wildcards; random topics"},
    [SCENARIO_RETAINED] = {"retained", 1, 100000, 0,
                           "set retained messages, replace, deliver and clear them"},
    [SCENARIO_QUEUE] = {"queue", 1, 100000, 1,
                        "fill the queues of N sessions that are away, and drain them"},
    [SCENARIO_STORM] = {"storm", 1000, 0, 0, "N clients connect at once, and leave at once"},
};

enum {
    SCENARIOS = sizeof scenarios / sizeof scenarios[0],
};

const char *scenario_name(enum scenario scenario)
{
    return scenarios[scenario].name;
}

bool scenario_has_load(enum scenario scenario)
{
    return (FOR_LOAD >> scenario & 1) != 0;
}

void options_help(void)
{
    printf("Usage: mosquitto_bench [options] SCENARIO\n"
           "Puts load on an MQTT 3.1.1 broker and measures what a message costs.\n\nScenarios:\n");
    for (size_t i = 0; i < SCENARIOS; i++) {
        printf("  %-10s %s\n", scenarios[i].name, scenarios[i].doc);
    }
    printf("\nOptions:\n");
    for (size_t i = 0; i < ROWS; i++) {
        const struct row *row = &rows[i];
        char name[32];

        snprintf(name, sizeof name, "%s %s", row->name, row->argument ? row->argument : "");
        if (row->letter > 0 && row->letter < OPTION_HELP) {
            printf("  -%c, --%-20s %s\n", row->letter, name, row->doc);
        } else {
            printf("      --%-20s %s\n", name, row->doc);
        }
    }
    printf("\nExit code: 0 all well; 1 lost, doubled or misordered messages, a stall, a broken\n"
           "connection; 2 wrong usage.\n");
}

/* The value of a row as text; false if it has none. */
static bool row_value(const struct row *row, const struct bench_options *options, char *text,
                      size_t room)
{
    const void *field = (const char *)options + row->offset;

    switch (row->kind) {
    case KIND_NUMBER:
        snprintf(text, room, "%" PRIu64, *(const uint64_t *)field);
        return (double)*(const uint64_t *)field >= row->min;
    case KIND_DECIMAL:
        snprintf(text, room, "%.12g", *(const double *)field);
        return *(const double *)field >= row->min;
    case KIND_TEXT:
        if (*(const char *const *)field == NULL) {
            return false;
        }
        snprintf(text, room, "%s", *(const char *const *)field);
        return true;
    case KIND_FLAG:
        snprintf(text, room, "true");
        return *(const bool *)field;
    }
    return false;
}

void options_list(const struct bench_options *options,
                  void (*each)(void *to, const char *name, const char *value, bool bare), void *to)
{
    char value[PATH_MAX];

    for (size_t i = 0; i < ROWS; i++) {
        const struct row *row = &rows[i];
        bool secret = strcmp(row->name, "pw") == 0 || strcmp(row->name, "psk") == 0;

        /* What both sides have in common is told by what each of them has. */
        if (row->letter == OPTION_HELP || row->offset == FIELD(qos) ||
            (row->scenarios >> options->scenario & 1) == 0 ||
            !row_value(row, options, value, sizeof value)) {
            continue;
        }
        each(to, row->name, secret ? "(not shown)" : value, row->kind != KIND_TEXT);
    }
}

static bool wrong_number(const struct row *row, const char *value, struct bench_error *error)
{
    return bench_fail(error, "--%s: \"%s\" is not possible; a %s from %.12g to %.12g is wanted",
                      row->name, value, row->kind == KIND_NUMBER ? "whole number" : "number",
                      row->min, row->max);
}

static bool store_number(const struct row *row, const char *value, void *field,
                         struct bench_error *error)
{
    char *end;
    unsigned long long number;

    errno = 0;
    number = strtoull(value, &end, 10);
    if (value[0] < '0' || value[0] > '9' || *end != '\0' || errno != 0 ||
        (double)number < row->min || (double)number > row->max) {
        return wrong_number(row, value, error);
    }
    *(uint64_t *)field = number;
    return true;
}

static bool store_decimal(const struct row *row, const char *value, void *field,
                          struct bench_error *error)
{
    char *end;
    double number;

    errno = 0;
    number = strtod(value, &end);
    if (end == value || *end != '\0' || errno != 0 || !isfinite(number) || number < row->min ||
        number > row->max) {
        return wrong_number(row, value, error);
    }
    *(double *)field = number;
    return true;
}

static bool store(const struct row *row, const char *value, struct bench_options *options,
                  struct bench_error *error)
{
    void *field = (char *)options + row->offset;

    switch (row->kind) {
    case KIND_NUMBER:
        return store_number(row, value, field, error);
    case KIND_DECIMAL:
        return store_decimal(row, value, field, error);
    case KIND_TEXT:
        if (value[0] == '\0' || (double)strlen(value) > row->max) {
            return bench_fail(error, "--%s: \"%.40s\" is not possible; 1 to %.0f bytes are wanted",
                              row->name, value, row->max);
        }
        *(const char **)field = value;
        return true;
    case KIND_FLAG:
        *(bool *)field = true;
        return true;
    }
    return false;
}

/* What getopt_long returns for a row. */
static int row_code(size_t i)
{
    return rows[i].letter != 0 ? rows[i].letter : OPTION_LONG + (int)i;
}

static void fill_getopt(struct option table[ROWS + 1], char letters[LETTERS_ROOM])
{
    char *at = letters;

    *at++ = ':';
    for (size_t i = 0; i < ROWS; i++) {
        int has_argument = rows[i].argument != NULL ? required_argument : no_argument;

        table[i] = (struct option){rows[i].name, has_argument, NULL, row_code(i)};
        if (rows[i].letter > 0 && rows[i].letter < OPTION_HELP) {
            *at++ = (char)rows[i].letter;
            if (rows[i].argument != NULL) {
                *at++ = ':';
            }
        }
    }
    table[ROWS] = (struct option){0};
    *at = '\0';
}

static size_t find_row(int code)
{
    size_t i = 0;

    while (i < ROWS && row_code(i) != code) {
        i++;
    }
    return i;
}

static enum options_result parse_rows(int argc, char **argv, struct bench_options *options,
                                      bool given[ROWS], struct bench_error *error)
{
    struct option table[ROWS + 1];
    char letters[LETTERS_ROOM + 1];
    int code;

    fill_getopt(table, letters);
    opterr = 0;
    while ((code = getopt_long(argc, argv, letters, table, NULL)) != -1) {
        size_t i = find_row(code);

        if (code == OPTION_HELP) {
            return OPTIONS_HELP;
        }
        if (i == ROWS) {
            bench_fail(error, code == ':' ? "%s needs a value" : "%s is no option; see --help",
                       argv[optind - 1]);
            return OPTIONS_WRONG;
        }
        if (!store(&rows[i], optarg, options, error)) {
            return OPTIONS_WRONG;
        }
        given[i] = true;
    }
    return OPTIONS_RUN;
}

static bool parse_scenario(int words, char **word, struct bench_options *options,
                           struct bench_error *error)
{
    static const char wanted[] =
        "pairs, fanout, fanin, idle, connect, wild, retained, queue or storm";

    if (words == 0) {
        return bench_fail(error, "no scenario; %s is wanted", wanted);
    }
    if (words > 1) {
        return bench_fail(error, "\"%s\" is one word too many after the scenario \"%s\"", word[1],
                          word[0]);
    }
    for (size_t i = 0; i < SCENARIOS; i++) {
        if (strcmp(word[0], scenarios[i].name) == 0) {
            options->scenario = (enum scenario)i;
            return true;
        }
    }
    return bench_fail(error, "\"%s\" is no scenario; %s is wanted", word[0], wanted);
}

static bool check_meaning(const struct bench_options *options, const bool given[ROWS],
                          struct bench_error *error)
{
    for (size_t i = 0; i < ROWS; i++) {
        if (given[i] && (rows[i].scenarios >> options->scenario & 1) == 0) {
            return bench_fail(error, "--%s has no meaning in the scenario %s", rows[i].name,
                              scenario_name(options->scenario));
        }
    }
    return true;
}

static bool check_process(const struct bench_options *options, struct bench_error *error)
{
    if (options->pid == 0) {
        return options->scenario != SCENARIO_IDLE ||
               bench_fail(error, "the scenario idle measures the broker's memory: say which "
                                 "process it is with --pid");
    }
    if (kill((pid_t)options->pid, 0) != 0 && errno == ESRCH) {
        return bench_fail(error,
                          "--pid: there is no process %" PRIu64 "; the broker's id is "
                          "wanted",
                          options->pid);
    }
    return true;
}

/*
 * 20 is what Mosquitto allows a client to have under way at QoS 2 before it closes the connection,
 * and what its own client library keeps to.
 */
static void settle_qos(struct bench_options *options)
{
    options->qos = options->qos == UNSET_QOS ? scenarios[options->scenario].qos : options->qos;
    options->publish_qos = options->publish_qos == UNSET_QOS ? options->qos : options->publish_qos;
    options->subscribe_qos =
        options->subscribe_qos == UNSET_QOS ? options->qos : options->subscribe_qos;
    if (options->inflight == 0) {
        options->inflight = options->publish_qos == 2 ? INFLIGHT_QOS_2 : options->window;
    }
}

static void settle_counts(struct bench_options *options)
{
    if (options->clients == 0) {
        options->clients = scenarios[options->scenario].clients;
    }
    if (options->messages == 0) {
        options->messages = scenarios[options->scenario].messages;
    }
}

/* What is kept has to be numbered, and what is queued must not be at QoS 0. */
static bool check_store(const struct bench_options *options, struct bench_error *error)
{
    if ((FOR_STORE >> options->scenario & 1) != 0 && options->messages > STORED_MAX) {
        return bench_fail(error, "--messages: the scenario %s can have %d at most",
                          scenario_name(options->scenario), STORED_MAX);
    }
    if (options->scenario == SCENARIO_QUEUE &&
        (options->publish_qos == 0 || options->subscribe_qos == 0)) {
        return bench_fail(error, "--qos: nothing is queued at QoS 0; 1 or 2 is wanted");
    }
    return true;
}

bool options_want_tls(const struct bench_options *options)
{
    return options->cafile != NULL || options->insecure || options->psk != NULL;
}

static bool check_tls(const struct bench_options *options, struct bench_error *error)
{
    const char *version = options->tls_version;

    if ((options->cert != NULL) != (options->key != NULL)) {
        return bench_fail(error, "--cert and --key need each other");
    }
    if ((options->psk != NULL) != (options->psk_identity != NULL)) {
        return bench_fail(error, "--psk and --psk-identity need each other");
    }
    if ((options->cert != NULL || version != NULL) && !options_want_tls(options)) {
        return bench_fail(error, "--%s needs --cafile, --insecure or --psk",
                          options->cert != NULL ? "cert" : "tls-version");
    }
    return version == NULL || strcmp(version, "tlsv1.2") == 0 || strcmp(version, "tlsv1.3") == 0 ||
           bench_fail(error, "--tls-version: \"%s\" is not possible; tlsv1.2 or tlsv1.3 is wanted",
                      version);
}

/* Rules across options, and values that depend on others. */
static bool settle(struct bench_options *options, struct bench_error *error)
{
    double asked = options->warmup + options->seconds;

    settle_counts(options);
    if (options->messages > 0 && options->seconds > 0) {
        return bench_fail(error, "--messages and --seconds exclude each other; give one of them");
    }
    if (options->latency && options->payload < STREAM_STAMPED_SIZE) {
        return bench_fail(error,
                          "--payload: %" PRIu64 " bytes are too few with --latency; at "
                          "least %d are wanted",
                          options->payload, STREAM_STAMPED_SIZE);
    }
    if (strpbrk(options->topic_prefix, "+#$") != NULL) {
        return bench_fail(error,
                          "--topic-prefix: \"%s\" is not possible; a topic without +, # "
                          "and $ is wanted",
                          options->topic_prefix);
    }
    if (options->password != NULL && options->username == NULL) {
        return bench_fail(error, "--pw needs --username");
    }
    if ((FOR_TIMED >> options->scenario & 1) != 0 && options->messages == 0 &&
        options->seconds <= 0) {
        options->seconds = 2;
        asked += 2;
    }
    if (options->limit <= 0) {
        options->limit = options->messages > 0 ? 600 : asked + 60;
    }
    if (options->limit < asked) {
        return bench_fail(error, "--limit: %g s are less than warm-up and measuring take (%g s)",
                          options->limit, asked);
    }
    settle_qos(options);
    return check_store(options, error) && check_tls(options, error) &&
           check_process(options, error);
}

enum options_result options_parse(int argc, char **argv, struct bench_options *options,
                                  struct bench_error *error)
{
    bool given[ROWS] = {false};
    enum options_result result;

    *options = (struct bench_options){
        .host = "127.0.0.1",
        .port = 1883,
        .topic_prefix = "bench",
        .qos = UNSET_QOS,
        .publish_qos = UNSET_QOS,
        .subscribe_qos = UNSET_QOS,
        .window = 100,
        .payload = 64,
        .subscriptions = 100000,
        .seed = 1,
        .warmup = 0.3,
        .timeout = 10,
    };
    result = parse_rows(argc, argv, options, given, error);
    if (result != OPTIONS_RUN) {
        return result;
    }
    if (!parse_scenario(argc - optind, argv + optind, options, error) ||
        !check_meaning(options, given, error) || !settle(options, error)) {
        return OPTIONS_WRONG;
    }
    return OPTIONS_RUN;
}
