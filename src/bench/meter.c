/*
 * A stopwatch: time that passes, and the processor time that broker and generator spend in it.
 */
#include "bench/meter.h"

#include <inttypes.h>
#include <stddef.h>
#include <sys/resource.h>

static double timeval_s(const struct timeval *value)
{
    return (double)value->tv_sec + (double)value->tv_usec / 1e6;
}

static struct cpu_time own_cpu(void)
{
    struct rusage usage;

    getrusage(RUSAGE_SELF, &usage);
    return (struct cpu_time){timeval_s(&usage.ru_utime), timeval_s(&usage.ru_stime)};
}

static bool sample_broker(uint64_t pid, struct cpu_sample *sample, struct bench_error *error)
{
    if (pid == 0 || cpu_sample((pid_t)pid, sample)) {
        return true;
    }
    return error != NULL &&
           bench_fail(error, "--pid: the CPU time of process %" PRIu64 " cannot be read", pid);
}

bool meter_start(struct meter *meter, uint64_t pid, struct bench_error *error)
{
    meter->pid = pid;
    if (!sample_broker(pid, &meter->broker, error)) {
        return false;
    }
    meter->generator = own_cpu();
    meter->start_ns = now_ns();
    return true;
}

double meter_elapsed(const struct meter *meter)
{
    return (double)(now_ns() - meter->start_ns) / 1e9;
}

bool meter_stop(const struct meter *meter, struct bench_result *result, struct bench_error *error)
{
    struct cpu_time own = own_cpu();
    struct cpu_sample broker;

    result->generator.user_s = own.user_s - meter->generator.user_s;
    result->generator.system_s = own.system_s - meter->generator.system_s;
    if (!sample_broker(meter->pid, &broker, error)) {
        return false;
    }
    result->broker_known = meter->pid != 0;
    if (result->broker_known) {
        result->broker = cpu_between(&meter->broker, &broker);
        if (!resident_bytes((pid_t)meter->pid, &result->memory_resident)) {
            result->memory_resident = 0;
        }
    }
    return true;
}
