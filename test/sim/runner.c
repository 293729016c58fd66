/*
 * Seeds, one after another, each in a process of its own.
 */
#include "runner.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

void runner_fix_addresses(char **argv)
{
    int now = personality(0xffffffff);

    if (now == -1 || (now & ADDR_NO_RANDOMIZE) ||
        personality((unsigned)now | ADDR_NO_RANDOMIZE) < 0)
        return;
    (void)execv("/proc/self/exe", argv);
}

void *runner_shared(size_t size)
{
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (p == MAP_FAILED) {
        perror("sim");
        exit(2);
    }
    return p;
}

static bool env_number(const struct runner *r, const char *name, uint64_t *value)
{
    const char *text = getenv(name);
    char *rest;

    if (!text || !*text)
        return false;
    *value = strtoull(text, &rest, 0);
    if (*rest) {
        (void)fprintf(stderr, "%s: %s=%s is no number\n", r->name, name, text);
        exit(2);
    }
    return true;
}

/* False when it failed. */
static bool run_apart(const struct runner *r, uint64_t seed, uint64_t steps, bool loud)
{
    int status = 0;
    pid_t child = fork();

    if (child == 0) {
        r->run(r->ctx, seed, steps, loud);
        exit(0);
    }
    if (child < 0 || waitpid(child, &status, 0) != child) {
        perror(r->name);
        exit(2);
    }
    if (WIFSIGNALED(status))
        (void)fprintf(stderr, "%s: FAILED by signal %d\n", r->name, WTERMSIG(status));
    if (status)
        (void)fprintf(stderr, "%s: replay with SEED=%llu STEPS=%llu\n", r->name,
                      (unsigned long long)seed, (unsigned long long)steps);
    return status == 0;
}

bool runner_go(const struct runner *r)
{
    uint64_t steps = r->steps;
    uint64_t seconds = r->seconds;
    uint64_t seeds = 1;
    uint64_t loud = 0;
    uint64_t seed = 0;
    uint64_t done = 0;
    bool good = true;
    time_t start = time(NULL);

    bool single = env_number(r, "SEED", &seed);
    (void)env_number(r, "STEPS", &steps);
    (void)env_number(r, "SEEDS", &seeds);
    (void)env_number(r, "SECONDS", &seconds);
    (void)env_number(r, "TRACE", &loud);
    if (!single)
        seed = (uint64_t)start * 100000;
    do {
        good = run_apart(r, seed, steps, loud != 0);
        seed++;
        done++;
    } while (good && (single ? done < seeds : (uint64_t)(time(NULL) - start) < seconds));
    return good;
}
