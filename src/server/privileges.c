/*
 * Giving up root.
 */
#include "server/privileges.h"

#include "base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

/* (uid_t)-1 means "leave it" to the system calls, so it is nobody's number. */
#define ID_MAX (UINT32_MAX - 1)

/* --- whom to become --- */

bool privileges_is_user(const char *name)
{
    return geteuid() != 0 || getpwnam(name);
}

/* A number of the environment. ERR_NOT_FOUND: it is not given. */
static enum err read_id(const char *name, const struct log *log, uint32_t *out)
{
    const char *text = getenv(name);
    if (!text || !*text) {
        return ERR_NOT_FOUND;
    }
    char *end = NULL;
    errno = 0;
    unsigned long long n = strtoull(text, &end, 10);
    if (*text < '0' || *text > '9' || *end || errno || n > ID_MAX) {
        char shown[64];
        log_error(log, "Error: %s '%s' in the environment: expected a number from 0 to %u.", name,
                  str_escape(str_c(text), shown, sizeof(shown)), ID_MAX);
        return ERR_INVAL;
    }
    *out = (uint32_t)n;
    return ERR_OK;
}

static void take_account(struct privileges *p, const struct passwd *account)
{
    p->uid = account->pw_uid;
    p->gid = account->pw_gid;
    (void)snprintf(p->name, sizeof(p->name), "%s", account->pw_name);
}

static enum err find_number(struct privileges *p, uint32_t uid)
{
    const struct passwd *account = getpwuid(uid);
    if (account) {
        take_account(p, account);
    } else {
        p->uid = uid;
        p->gid = uid;
        p->name[0] = '\0';
    }
    return ERR_OK;
}

static enum err find_name(struct privileges *p, const char *name, const struct log *log)
{
    const struct passwd *account = getpwnam(name ? name : "mosquitto");
    if (!account && !name) {
        account = getpwnam("nobody");
    }
    if (account) {
        take_account(p, account);
        return ERR_OK;
    }
    char shown[256];
    if (name) {
        log_error(log, "Error: user '%s': there is no such user on this system.",
                  str_escape(str_c(name), shown, sizeof(shown)));
    } else {
        log_error(log, "Error: Started as root, and neither the user mosquitto nor nobody exists: "
                       "give another by the option 'user'.");
    }
    return ERR_INVAL;
}

enum err privileges_find(const struct conf_global *g, const struct log *log, struct privileges *out)
{
    *out = (struct privileges){.uid = geteuid(), .gid = getegid()};
    if (out->uid != 0) {
        const struct passwd *account = getpwuid(out->uid);
        (void)snprintf(out->name, sizeof(out->name), "%s", account ? account->pw_name : "");
        return ERR_OK;
    }
    uint32_t uid = 0;
    uint32_t gid = 0;
    enum err e = read_id("PUID", log, &uid);
    enum err group = e == ERR_INVAL ? e : read_id("PGID", log, &gid);
    if (e == ERR_INVAL || group == ERR_INVAL) {
        return ERR_INVAL;
    }
    e = e == ERR_OK ? find_number(out, uid) : find_name(out, g->user, log);
    if (e == ERR_OK && group == ERR_OK) {
        out->gid = gid;
    }
    out->drop = out->uid != 0;
    return e;
}

/* --- becoming it --- */

static bool become(const struct privileges *p)
{
    int groups = p->name[0] ? initgroups(p->name, p->gid) : setgroups(1, &p->gid);
    return groups == 0 && setresgid(p->gid, p->gid, p->gid) == 0 &&
           setresuid(p->uid, p->uid, p->uid) == 0;
}

/* What can be undone was not done. */
static bool is_final(const struct privileges *p)
{
    uid_t uid[3];
    gid_t gid[3];
    if (getresuid(&uid[0], &uid[1], &uid[2]) != 0 || getresgid(&gid[0], &gid[1], &gid[2]) != 0) {
        return false;
    }
    for (int i = 0; i < 3; i++) {
        if (uid[i] != p->uid || gid[i] != p->gid) {
            return false;
        }
    }
    return setuid(0) != 0 && seteuid(0) != 0 && (p->gid == 0 || setegid(0) != 0);
}

static void log_who(const struct privileges *p, const struct log *log)
{
    if (p->uid == 0) {
        log_warning(log, "Warning: Mosquitto should not be run as root/administrator.");
    } else if (p->name[0]) {
        log_info(log, "Running as user %s (uid %u, gid %u).", p->name, p->uid, p->gid);
    } else {
        log_info(log, "Running as uid %u, gid %u.", p->uid, p->gid);
    }
}

enum err privileges_drop(const struct privileges *p, const struct log *log)
{
    if (p->drop && !become(p)) {
        log_error(
            log,
            "Error: Cannot become uid %u, gid %u: %s. Where root may not do that, 'user root' "
            "lets it stay root.",
            p->uid, p->gid, strerror(errno));
        return ERR_SYSTEM;
    }
    if (p->drop && !is_final(p)) {
        log_error(log, "Error: Became uid %u, but could become root again.", p->uid);
        return ERR_SYSTEM;
    }
    log_who(p, log);
    return ERR_OK;
}

void privileges_close_memory(const struct log *log)
{
    const struct rlimit none = {0};
    /* Either is enough; a service may not be allowed to change its limits. */
    bool limited = setrlimit(RLIMIT_CORE, &none) == 0;
    if (prctl(PR_SET_DUMPABLE, 0) != 0 && !limited) {
        log_warning(log, "Warning: A crash may leave keys in a core file: %s.", strerror(errno));
    }
}

/* --- somebody else's work --- */

/* How a log line travels from the child: short enough to be written and read in one piece. */
struct parcel {
    uint32_t level;
    uint32_t n;
    char text[LOG_LINE_MAX];
};

_Static_assert(sizeof(struct parcel) <= 4096, "a pipe takes it whole");

static void send_line(void *ctx, enum log_level level, struct str line,
                      const struct log_about *about)
{
    (void)about;
    struct parcel parcel = {.level = level};
    parcel.n = (uint32_t)(line.n < sizeof(parcel.text) ? line.n : sizeof(parcel.text));
    memcpy(parcel.text, line.p, parcel.n);
    (void)!write(*(const int *)ctx, &parcel, sizeof(parcel));
}

static void log_parcels(int pipe, const struct log *log)
{
    struct parcel parcel;
    ssize_t n;
    while ((n = read(pipe, &parcel, sizeof(parcel))) != 0) {
        if (n == (ssize_t)sizeof(parcel) && parcel.n <= sizeof(parcel.text)) {
            log_line(log, (enum log_level)parcel.level, "%.*s", (int)parcel.n, parcel.text);
        } else if (n > 0 || errno != EINTR) {
            return;
        }
    }
}

static enum err await(pid_t child)
{
    int status = 0;
    while (waitpid(child, &status, 0) < 0) {
        if (errno != EINTR) {
            return ERR_SYSTEM;
        }
    }
    return WIFEXITED(status) ? (enum err)WEXITSTATUS(status) : ERR_SYSTEM;
}

enum err privileges_do_as(const struct privileges *p, const struct log *log,
                          enum err (*work)(void *ctx, const struct log *log), void *ctx)
{
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) != 0) {
        log_error(log, "Error: Cannot make a pipe: %s.", strerror(errno));
        return ERR_SYSTEM;
    }
    pid_t child = fork();
    if (child == 0) {
        struct log there = {.mask = log->mask, .sink = send_line, .ctx = &fds[1]};
        bool is_other = become(p) && is_final(p);
        if (!is_other) {
            log_error(&there, "Error: Cannot become uid %u: %s.", p->uid, strerror(errno));
        }
        _exit(is_other ? (int)work(ctx, &there) : (int)ERR_SYSTEM);
    }
    int why = errno;
    (void)close(fds[1]);
    enum err e = ERR_SYSTEM;
    if (child > 0) {
        log_parcels(fds[0], log);
        e = await(child);
    } else {
        log_error(log, "Error: Cannot start a process: %s.", strerror(why));
    }
    (void)close(fds[0]);
    return e;
}
