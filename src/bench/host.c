/*
 * Where a run took place.
 */
#include "bench/host.h"

#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

/* The first line of a file that begins with `label` (which may be empty), without label, colon and
 * blanks. */
static void find_line(const char *path, const char *label, char text[HOST_TEXT_ROOM])
{
    FILE *file = fopen(path, "re");
    char line[HOST_TEXT_ROOM];
    size_t size = strlen(label);

    while (file != NULL && text[0] == '\0' && fgets(line, sizeof line, file) != NULL) {
        if (strncmp(line, label, size) == 0) {
            const char *at = line + size + strspn(line + size, " \t:");

            snprintf(text, HOST_TEXT_ROOM, "%.*s", (int)strcspn(at, "\n"), at);
        }
    }
    if (file != NULL) {
        fclose(file);
    }
}

/* The path of its program if we may know that, else its name. */
static void find_broker(uint64_t pid, char text[HOST_TEXT_ROOM])
{
    char path[64];
    ssize_t size;

    snprintf(path, sizeof path, "/proc/%" PRIu64 "/exe", pid);
    size = readlink(path, text, HOST_TEXT_ROOM - 1);
    text[size > 0 ? size : 0] = '\0';
    if (size <= 0) {
        snprintf(path, sizeof path, "/proc/%" PRIu64 "/comm", pid);
        find_line(path, "", text);
    }
}

void host_look(struct host *host, uint64_t pid)
{
    time_t now = time(NULL);
    struct utsname names;
    struct tm tm;
    cpu_set_t own;

    memset(host, 0, sizeof *host);
    if (localtime_r(&now, &tm) != NULL) {
        strftime(host->date, sizeof host->date, "%Y-%m-%d %H:%M:%S %z", &tm);
    }
    if (uname(&names) == 0) {
        snprintf(host->kernel, sizeof host->kernel, "%s %s %s", names.sysname, names.release,
                 names.machine);
    }
    find_line("/proc/cpuinfo", "model name", host->cpu);
    host->cpus = sysconf(_SC_NPROCESSORS_ONLN);
    if (sched_getaffinity(0, sizeof own, &own) == 0) {
        host->cpus_own = CPU_COUNT(&own);
    }
    if (pid != 0) {
        find_broker(pid, host->broker);
    }
}
