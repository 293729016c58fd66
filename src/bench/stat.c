/*
 * Measuring: clocks, the processor time and memory of a process, and a histogram of latencies.
 *
 * The kernel tells a process's processor time twice. /proc/PID/stat splits it into user and
 * system, in ticks of 10 ms; /proc/PID/task/TID/schedstat has it in nanoseconds, but in one sum.
 * We take the total from the latter and the proportion from the former.
 */
#include "bench/stat.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    PATH_ROOM = 512,
    TEXT_ROOM = 4096,
    NS_PER_S = 1000000000,
};

uint64_t now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

static bool read_text(const char *path, char text[TEXT_ROOM])
{
    FILE *file = fopen(path, "re");
    size_t size;

    if (file == NULL) {
        return false;
    }
    size = fread(text, 1, TEXT_ROOM - 1, file);
    text[size] = '\0';
    fclose(file);
    return size > 0;
}

/* Fields 14 and 15 of /proc/PID/stat. The name, field 2, may hold blanks and parentheses. */
static bool read_ticks(pid_t pid, struct cpu_sample *sample)
{
    char path[PATH_ROOM];
    char text[TEXT_ROOM];
    const char *at;

    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    if (!read_text(path, text)) {
        return false;
    }
    at = strrchr(text, ')');
    for (int field = 2; at != NULL && field < 14; field++) {
        at = strchr(at + 1, ' ');
    }
    if (at == NULL) {
        return false;
    }
    sample->user_ticks = strtoull(at, (char **)&at, 10);
    sample->system_ticks = strtoull(at, NULL, 10);
    return true;
}

/* The number in `file` of each thread, behind `name` in it, all together. */
static uint64_t sum_threads(pid_t pid, const char *file, const char *name)
{
    char path[PATH_ROOM];
    char text[TEXT_ROOM];
    uint64_t sum = 0;
    const char *at;
    struct dirent *entry;
    DIR *tasks;

    snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
    tasks = opendir(path);
    if (tasks == NULL) {
        return 0;
    }
    while ((entry = readdir(tasks)) != NULL) {
        if (entry->d_name[0] == '.') {
            continue;
        }
        snprintf(path, sizeof path, "/proc/%d/task/%s/%s", (int)pid, entry->d_name, file);
        if (read_text(path, text) && (at = strstr(text, name)) != NULL) {
            sum += strtoull(at + strlen(name), NULL, 10);
        }
    }
    closedir(tasks);
    return sum;
}

uint64_t wakeups(pid_t pid)
{
    return sum_threads(pid, "status", "\nvoluntary_ctxt_switches:");
}

bool cpu_sample(pid_t pid, struct cpu_sample *sample)
{
    memset(sample, 0, sizeof *sample);
    if (!read_ticks(pid, sample)) {
        return false;
    }
    sample->run_ns = sum_threads(pid, "schedstat", "");
    return true;
}

struct cpu_time cpu_between(const struct cpu_sample *before, const struct cpu_sample *after)
{
    double tick = 1.0 / (double)sysconf(_SC_CLK_TCK);
    double user = (double)(after->user_ticks - before->user_ticks) * tick;
    double system = (double)(after->system_ticks - before->system_ticks) * tick;
    double ticked = user + system;
    double run = ((double)after->run_ns - (double)before->run_ns) / NS_PER_S;

    /* A thread that ended took its nanoseconds along; its ticks stay with the process. */
    if (run <= 0 || run < ticked - 4 * tick) {
        return (struct cpu_time){.user_s = user, .system_s = system};
    }
    if (ticked <= 0) {
        return (struct cpu_time){.user_s = 0, .system_s = run};
    }
    return (struct cpu_time){.user_s = run * user / ticked, .system_s = run * system / ticked};
}

static bool find_kib(const char *text, const char *name, uint64_t *bytes)
{
    const char *at = strstr(text, name);

    if (at == NULL) {
        return false;
    }
    *bytes = strtoull(at + strlen(name), NULL, 10) * 1024;
    return true;
}

/* smaps_rollup counts exactly; status may be off by some hundred KiB, but needs no rights. */
bool resident_bytes(pid_t pid, uint64_t *bytes)
{
    char path[PATH_ROOM];
    char text[TEXT_ROOM];

    snprintf(path, sizeof path, "/proc/%d/smaps_rollup", (int)pid);
    if (read_text(path, text) && find_kib(text, "\nRss:", bytes)) {
        return true;
    }
    snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    return read_text(path, text) && find_kib(text, "\nVmRSS:", bytes);
}

bool peak_bytes(pid_t pid, uint64_t *bytes)
{
    char path[PATH_ROOM];
    char text[TEXT_ROOM];

    snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    return read_text(path, text) && find_kib(text, "\nVmHWM:", bytes);
}

void histogram_clear(struct histogram *h)
{
    memset(h, 0, sizeof *h);
}

static unsigned coarse_bits(uint64_t value)
{
    unsigned bits = 64 - (unsigned)__builtin_clzll(value | 1);

    return bits > HISTOGRAM_FINE_BITS + 1 ? bits - HISTOGRAM_FINE_BITS - 1 : 0;
}

void histogram_add(struct histogram *h, uint64_t value, uint64_t times)
{
    unsigned shift = coarse_bits(value);
    size_t bucket = ((size_t)shift << HISTOGRAM_FINE_BITS) + (size_t)(value >> shift);

    h->count[bucket] += times;
    h->total += times;
    if (value > h->max) {
        h->max = value;
    }
}

/* The largest value that falls into a bucket. */
static uint64_t bucket_top(size_t bucket)
{
    size_t shift = bucket >> HISTOGRAM_FINE_BITS;

    if (shift <= 1) {
        return bucket;
    }
    shift--;
    return ((bucket - (shift << HISTOGRAM_FINE_BITS) + 1) << shift) - 1;
}

uint64_t histogram_top(const struct histogram *h, size_t bucket)
{
    uint64_t top = bucket_top(bucket);

    return top < h->max ? top : h->max;
}

uint64_t histogram_quantile(const struct histogram *h, double part)
{
    double wanted = part * (double)h->total;
    uint64_t seen = 0;

    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        seen += h->count[i];
        if (h->count[i] > 0 && (double)seen >= wanted) {
            return histogram_top(h, i);
        }
    }
    return h->max;
}
