/*
 * The command line of mosquitto_bench.
 */
#ifndef BENCH_OPTIONS_H
#define BENCH_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "bench/error.h"

enum scenario {
    SCENARIO_PAIRS,
    SCENARIO_FANOUT,
    SCENARIO_FANIN,
    SCENARIO_IDLE,
    SCENARIO_CONNECT,
    SCENARIO_WILD,
    SCENARIO_RETAINED,
    SCENARIO_QUEUE,
    SCENARIO_STORM,
};

struct bench_options {
    enum scenario scenario;
    const char *host;
    uint64_t port;
    uint64_t subscribe_port; /* of another broker, for subscribers; 0 = the same */
    const char *username;
    const char *password;
    const char *topic_prefix;
    const char *cafile; /* TLS, as all up to psk_identity */
    const char *cert;
    const char *key;
    const char *tls_version;
    const char *psk;
    const char *psk_identity;
    bool insecure;
    uint64_t clients;
    uint64_t qos; /* for both sides, unless one is named */
    uint64_t publish_qos;
    uint64_t subscribe_qos;
    uint64_t window;
    uint64_t inflight; /* unacknowledged messages of a publisher at QoS 1 and 2 */
    uint64_t payload;
    uint64_t messages; /* 0: as many as `seconds` allow */
    uint64_t subscriptions;
    uint64_t seed; /* of what is drawn at random */
    double seconds;
    double warmup;
    double rate; /* messages published in a second; 0: as fast as the window allows */
    double timeout;
    double limit;
    uint64_t pid;
    bool latency;
    bool keep_sessions;
    bool subscribe;
    bool one_match; /* a message matches one of all subscriptions */
    bool json;
    bool no_progress;
    const char *html; /* the page to write; NULL: none */
};

enum options_result {
    OPTIONS_RUN,
    OPTIONS_HELP,
    OPTIONS_WRONG,
};

/* Fills in every field; OPTIONS_WRONG leaves a sentence in `error`. */
enum options_result options_parse(int argc, char **argv, struct bench_options *options,
                                  struct bench_error *error);
void options_help(void);
const char *scenario_name(enum scenario scenario);

/*
 * Calls `each` for every option that has a value in this scenario, given or by default. `value` is
 * as on the command line, "true" of a flag; `bare`: a number or "true". Secrets are not shown.
 */
void options_list(const struct bench_options *options,
                  void (*each)(void *to, const char *name, const char *value, bool bare), void *to);

/* Is there one among the options that asks for TLS? */
bool options_want_tls(const struct bench_options *options);

/* Pairs, fan-out and fan-in: one stretch of messages, as load_run does it. */
bool scenario_has_load(enum scenario scenario);

#endif
