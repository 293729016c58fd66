/*
 * What a run found out, and how it is printed: for people, or as one line of JSON.
 */
#include "bench/report.h"

#include <inttypes.h>
#include <stdio.h>

static double each_us(double seconds, uint64_t count)
{
    return count > 0 ? seconds * 1e6 / (double)count : 0;
}

static double each_second(uint64_t count, double seconds)
{
    return seconds > 0 ? (double)count / seconds : 0;
}

static double quantile_us(const struct bench_result *result, double part)
{
    return (double)histogram_quantile(&result->latency, part) / 1e3;
}

/* What the CPU time is divided by. */
static uint64_t units(const struct bench_options *options, const struct bench_result *result)
{
    return scenario_has_load(options->scenario) ? result->delivered : result->published;
}

static double bytes_each(const struct bench_options *options, const struct bench_result *result)
{
    return ((double)result->memory_after - (double)result->memory_before) /
           (double)options->clients;
}

static void print_cpu(const char *who, const struct cpu_time *cpu, uint64_t count, double elapsed,
                      const char *unit)
{
    double total = cpu->user_s + cpu->system_s;

    printf("%-15s%.4f µs for each %s (user %.4f, system %.4f), %.0f %% of a core\n", who,
           each_us(total, count), unit, each_us(cpu->user_s, count), each_us(cpu->system_s, count),
           elapsed > 0 ? 100 * total / elapsed : 0);
}

static void print_load(const struct bench_options *options, const struct bench_result *result)
{
    printf("%s, %" PRIu64 " clients, QoS %" PRIu64 " to %" PRIu64 ", window %" PRIu64
           ", payload %" PRIu64 " bytes\n",
           scenario_name(options->scenario), options->clients, options->publish_qos,
           options->subscribe_qos, options->window, options->payload);
    printf("%-15s%" PRIu64 "\n", "published", result->published);
    printf("%-15s%" PRIu64 " in %.3f s: %.0f messages a second\n", "delivered", result->delivered,
           result->elapsed_s, each_second(result->delivered, result->elapsed_s));
    printf("%-15slost %" PRIu64 ", duplicates %" PRIu64 ", out of order %" PRIu64 "\n", "faults",
           result->lost, result->duplicates, result->reordered);
    if (result->granted_qos < options->subscribe_qos) {
        printf("%-15sthe broker granted subscribers only QoS %u\n", "note", result->granted_qos);
    }
    if (result->latency.total > 0) {
        printf("%-15sp50 %.1f µs, p99 %.1f µs, p99.9 %.1f µs, most %.1f µs\n", "latency",
               quantile_us(result, 0.5), quantile_us(result, 0.99), quantile_us(result, 0.999),
               (double)result->latency.max / 1e3);
    }
}

static void print_text(const struct bench_options *options, const struct bench_result *result)
{
    const char *unit = "delivered message";

    if (options->scenario == SCENARIO_IDLE) {
        printf("idle, %" PRIu64 " connections%s\n", options->clients,
               options->subscribe ? ", each with a subscription" : "");
        printf("%-15s%.0f bytes for each connection (%" PRIu64 " bytes before, %" PRIu64
               " after)\n",
               "memory", bytes_each(options, result), result->memory_before, result->memory_after);
        return;
    }
    if (options->scenario == SCENARIO_CONNECT) {
        unit = "connection";
        printf("connect, %" PRIu64 " at a time\n", options->clients);
        printf("%-15s%" PRIu64 " in %.3f s: %.0f a second\n", "connections", result->published,
               result->elapsed_s, each_second(result->published, result->elapsed_s));
    } else {
        print_load(options, result);
    }
    if (result->broker_known) {
        print_cpu("broker", &result->broker, units(options, result), result->elapsed_s, unit);
    }
    print_cpu("generator", &result->generator, units(options, result), result->elapsed_s, unit);
}

static void json_text(const char *text)
{
    putchar('"');
    for (; *text != '\0'; text++) {
        if (*text == '"' || *text == '\\') {
            printf("\\%c", *text);
        } else if ((unsigned char)*text < 0x20) {
            printf("\\u%04x", (unsigned)*text);
        } else {
            putchar(*text);
        }
    }
    putchar('"');
}

static void json_cpu(const char *who, const struct cpu_time *cpu, uint64_t count)
{
    printf(", \"%s\": {\"cpu_us\": %.6f, \"user_us\": %.6f, \"system_us\": %.6f, "
           "\"cpu_s\": %.6f}",
           who, each_us(cpu->user_s + cpu->system_s, count), each_us(cpu->user_s, count),
           each_us(cpu->system_s, count), cpu->user_s + cpu->system_s);
}

static void json_load(const struct bench_options *options, const struct bench_result *result)
{
    printf(", \"publish_qos\": %" PRIu64 ", \"subscribe_qos\": %" PRIu64
           ", \"granted_qos\": %u, \"window\": %" PRIu64 ", \"payload\": %" PRIu64,
           options->publish_qos, options->subscribe_qos, result->granted_qos, options->window,
           options->payload);
    printf(", \"published\": %" PRIu64 ", \"delivered\": %" PRIu64 ", \"messages_per_s\": %.1f"
           ", \"lost\": %" PRIu64 ", \"duplicates\": %" PRIu64 ", \"reordered\": %" PRIu64,
           result->published, result->delivered, each_second(result->delivered, result->elapsed_s),
           result->lost, result->duplicates, result->reordered);
    if (result->latency.total > 0) {
        printf(", \"latency_us\": {\"p50\": %.3f, \"p99\": %.3f, \"p999\": %.3f, \"max\": %.3f}",
               quantile_us(result, 0.5), quantile_us(result, 0.99), quantile_us(result, 0.999),
               (double)result->latency.max / 1e3);
    }
}

static void json_idle(const struct bench_options *options, const struct bench_result *result)
{
    printf(", \"subscribe\": %s, \"memory_before\": %" PRIu64 ", \"memory_after\": %" PRIu64
           ", \"bytes_per_connection\": %.1f",
           options->subscribe ? "true" : "false", result->memory_before, result->memory_after,
           bytes_each(options, result));
}

static void print_json(const struct bench_options *options, const struct bench_result *result,
                       const struct bench_error *error)
{
    printf("{\"scenario\": \"%s\", \"clients\": %" PRIu64 ", \"ok\": %s, \"elapsed_s\": %.6f",
           scenario_name(options->scenario), options->clients, error == NULL ? "true" : "false",
           result->elapsed_s);
    if (error != NULL) {
        printf(", \"error\": ");
        json_text(error->text);
    }
    if (options->scenario == SCENARIO_IDLE) {
        json_idle(options, result);
        printf("}\n");
        return;
    }
    if (options->scenario == SCENARIO_CONNECT) {
        printf(", \"connections\": %" PRIu64 ", \"connections_per_s\": %.1f", result->published,
               each_second(result->published, result->elapsed_s));
    } else {
        json_load(options, result);
    }
    if (result->broker_known) {
        json_cpu("broker", &result->broker, units(options, result));
    }
    json_cpu("generator", &result->generator, units(options, result));
    printf("}\n");
}

void report_print(const struct bench_options *options, const struct bench_result *result,
                  const struct bench_error *error)
{
    if (options->json) {
        print_json(options, result, error);
    } else if (error == NULL || result->lost + result->duplicates + result->reordered > 0) {
        print_text(options, result);
    }
    if (error != NULL) {
        fflush(stdout);
        fprintf(stderr, "mosquitto_bench: %s\n", error->text);
    }
}
