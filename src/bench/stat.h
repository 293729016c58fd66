/*
 * Measuring: clocks, the processor time and memory of a process, and a histogram of latencies.
 */
#ifndef BENCH_STAT_H
#define BENCH_STAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Readings of one process's processor time; only the difference of two says anything. */
struct cpu_sample {
    uint64_t user_ticks;
    uint64_t system_ticks;
    uint64_t run_ns; /* of all its threads together; 0 if the kernel does not tell */
};

struct cpu_time {
    double user_s;
    double system_s;
};

uint64_t now_ns(void);

/* False if there is no such process (or /proc is not readable). */
bool cpu_sample(pid_t pid, struct cpu_sample *sample);
struct cpu_time cpu_between(const struct cpu_sample *before, const struct cpu_sample *after);

/* The resident memory of a process, in bytes: now, and the most that it has ever had. */
bool resident_bytes(pid_t pid, uint64_t *bytes);
bool peak_bytes(pid_t pid, uint64_t *bytes);

/* How often the threads of a process have slept and been woken up, all together; 0: not known. */
uint64_t wakeups(pid_t pid);

enum {
    HISTOGRAM_FINE_BITS = 5, /* 32 steps to each power of two: at most 3 % wide */
    HISTOGRAM_BUCKETS = (64 - HISTOGRAM_FINE_BITS + 1) << HISTOGRAM_FINE_BITS,
};

struct histogram {
    uint64_t total;
    uint64_t max;
    uint64_t count[HISTOGRAM_BUCKETS];
};

void histogram_clear(struct histogram *h);
void histogram_add(struct histogram *h, uint64_t value, uint64_t times);

/* The value that `part` (0 to 1) of all values do not exceed, rounded up by a bucket's width. */
uint64_t histogram_quantile(const struct histogram *h, double part);

/* The largest value that a bucket may hold. */
uint64_t histogram_top(const struct histogram *h, size_t bucket);

#endif
