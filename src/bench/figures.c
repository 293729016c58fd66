/*
 * What follows from the counts and times of a run.
 */
#include "bench/figures.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

const struct figure_quantile figure_quantiles[FIGURE_QUANTILES] = {
    {"p50", "p50", 0.5},      {"p90", "p90", 0.9}, {"p99", "p99", 0.99},
    {"p99.9", "p999", 0.999}, {"max", "max", 1},
};

bool figure_messages(const struct bench_options *options)
{
    return options->scenario != SCENARIO_IDLE && options->scenario != SCENARIO_CONNECT &&
           options->scenario != SCENARIO_STORM;
}

uint64_t figure_count(const struct bench_options *options, const struct bench_result *result)
{
    return figure_messages(options) ? result->delivered : result->published;
}

const char *figure_unit(const struct bench_options *options)
{
    return figure_messages(options) ? "delivered message" : "connection";
}

double figure_second(uint64_t count, double seconds)
{
    return seconds > 0 ? (double)count / seconds : NAN;
}

double figure_us(double seconds, uint64_t count)
{
    return count > 0 ? seconds * 1e6 / (double)count : NAN;
}

double figure_core(const struct cpu_time *cpu, double elapsed_s)
{
    return elapsed_s > 0 ? 100 * (cpu->user_s + cpu->system_s) / elapsed_s : NAN;
}

double figure_bytes(uint64_t before, uint64_t after, uint64_t count)
{
    return after > 0 && count > 0 ? ((double)after - (double)before) / (double)count : NAN;
}

const char *figure_latency(const struct bench_options *options)
{
    if (!figure_messages(options)) {
        return "from connecting to CONNACK";
    }
    return options->rate > 0 ? "from when it was due to the subscriber"
                             : "from publisher to subscriber";
}

double figure_latency_us(const struct bench_result *result, double part)
{
    uint64_t ns = part < 1 ? histogram_quantile(&result->latency, part) : result->latency.max;

    return result->latency.total > 0 ? (double)ns / 1e3 : NAN;
}

const char *figure_decimal(double value, int decimals, char text[FIGURE_ROOM])
{
    if (isfinite(value)) {
        snprintf(text, FIGURE_ROOM, "%.*f", decimals, value);
    } else {
        snprintf(text, FIGURE_ROOM, "-");
    }
    return text;
}

const char *figure_grouped(double value, char text[FIGURE_ROOM])
{
    char digits[FIGURE_ROOM];
    size_t at = 0;
    size_t size;

    if (!(fabs(value) < 1e15)) {
        return figure_decimal(value, 0, text);
    }
    size = (size_t)snprintf(digits, sizeof digits, "%.0f", value);
    for (size_t i = 0; i < size; i++) {
        if (i > 0 && (size - i) % 3 == 0 && digits[i - 1] != '-') {
            text[at++] = ',';
        }
        text[at++] = digits[i];
    }
    text[at] = '\0';
    return text;
}

static const char *plural(uint64_t count)
{
    return count == 1 ? "" : "s";
}

/* What the scenario has of its own. */
static int put_number(const struct bench_options *options, char *text, size_t room)
{
    uint64_t clients = options->clients;

    switch (options->scenario) {
    case SCENARIO_IDLE:
        return snprintf(text, room, "%" PRIu64 " connection%s%s", clients, plural(clients),
                        options->subscribe ? ", each with a subscription" : "");
    case SCENARIO_CONNECT:
        return snprintf(text, room, "%" PRIu64 " at a time", clients);
    case SCENARIO_WILD:
        return snprintf(text, room, "%" PRIu64 " client%s, %" PRIu64 " subscription%s", clients,
                        plural(clients), options->subscriptions, plural(options->subscriptions));
    case SCENARIO_RETAINED:
    case SCENARIO_QUEUE:
        return snprintf(text, room, "%" PRIu64 " client%s, %" PRIu64 " message%s", clients,
                        plural(clients), options->messages, plural(options->messages));
    case SCENARIO_PAIRS:
    case SCENARIO_FANOUT:
    case SCENARIO_FANIN:
    case SCENARIO_STORM:
        break;
    }
    return snprintf(text, room, "%" PRIu64 " client%s", clients, plural(clients));
}

void figure_shape(const struct bench_options *options, char *text, size_t room)
{
    int size = put_number(options, text, room);

    if (figure_messages(options)) {
        snprintf(text + size, room - (size_t)size,
                 ", QoS %" PRIu64 " to %" PRIu64 ", window %" PRIu64 ", %" PRIu64 " bytes each",
                 options->publish_qos, options->subscribe_qos, options->window, options->payload);
    }
}
