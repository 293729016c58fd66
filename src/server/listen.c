/*
 * Opening listening sockets.
 */
#include "server/listen.h"

#include "base/mem.h"
#include "net/interface.h"
#include "net/tcp.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define ROOT_PORTS 1024 /* below: for root */
#define PLACE_MAX 512
#define PATH_SHOWN_MAX 480

/* --- what went wrong --- */

/* " Listener of FILE:LINE", or nothing where no file says so. */
static const char *origin(const struct conf_listener *rules, char *out, size_t cap)
{
    out[0] = '\0';
    if (rules->file) {
        (void)snprintf(out, cap, " Listener of %s:%u.", rules->file, (unsigned)rules->line);
    }
    return out;
}

/* What to do about it; may be empty. */
static const char *advice(const struct conf_listener *rules, int why)
{
    switch (why) {
    case EADDRINUSE:
        return " Another program, or another listener, has this port.";
    case EADDRNOTAVAIL:
        return " This machine has no such address: 'ip address' lists those that it has.";
    case EACCES:
    case EPERM:
        if (rules->port == 0) {
            return " The broker's user must be allowed to write in that directory.";
        }
        return rules->port < ROOT_PORTS ? " Ports below 1024 are for root, and for programs with "
                                          "CAP_NET_BIND_SERVICE."
                                        : "";
    case EMFILE:
    case ENFILE:
        return " The limit of open files is too low.";
    case ENOENT:
        return rules->port == 0 ? " The directory must exist." : "";
    default:
        return "";
    }
}

static enum err complain(const struct listen_job *job, const char *what, const char *place,
                         const char *help)
{
    char where[PLACE_MAX];
    log_error(job->log, "Error: %s (%s).%s%s", what, place,
              origin(job->rules, where, sizeof(where)), help);
    return ERR_SYSTEM;
}

/* "ADDRESS:PORT" or "[ADDRESS]:PORT". */
static void address_text(const struct sockaddr *a, socklen_t length, uint16_t port,
                         char out[PLACE_MAX])
{
    char host[NI_MAXHOST / 4];
    if (getnameinfo(a, length, host, sizeof(host), NULL, 0, NI_NUMERICHOST) != 0) {
        (void)snprintf(host, sizeof(host), "?");
    }
    (void)snprintf(out, PLACE_MAX, a->sa_family == AF_INET6 ? "[%s]:%u" : "%s:%u", host, port);
}

/* --- one socket --- */

/* Takes fd. */
static struct listener *add(const struct listen_job *job, int fd, uint8_t family)
{
    struct listener *l = mem_alloc(sizeof(*l));
    if (!l) {
        (void)close(fd);
        return NULL;
    }
    *l = (struct listener){.group = job->group, .family = family, .batch = 1};
    l->watch = (struct watch){.fd = fd, .kind = job->watch_kind};
    TAILQ_INSERT_TAIL(job->into, l, entry);
    return l;
}

/*
 * A machine without IPv6 lacks the family, or all its addresses. That does no harm when it was not
 * IPv6 alone that was asked for: an earlier socket serves the same. IPv4 comes first always.
 */
static bool can_do_without(const struct listen_job *job, enum err e, int why)
{
    const struct listener *last = TAILQ_LAST(job->into, listener_list);
    bool served = job->optional || (last && last->group == job->group);
    return served && (e == ERR_UNSUPPORTED || why == EADDRNOTAVAIL);
}

static enum err interface_trouble(const struct listen_job *job, int why, const char *place)
{
    const char *help = why == ENODEV ? " There is no such interface: 'ip link' lists them."
                                     : " To use bind_interface takes root or CAP_NET_RAW.";
    char what[128];
    (void)snprintf(what, sizeof(what), "bind_interface %s: %s", job->rules->bind_interface,
                   strerror(why));
    return complain(job, what, place, help);
}

/* An address that the interface does not have would never be reached. */
static enum err check_interface(const struct listen_job *job, const struct sockaddr *a,
                                const char *place)
{
    const char *name = job->rules->bind_interface;
    enum err e = name ? interface_has(name, a) : ERR_OK;
    if (e == ERR_NOT_FOUND) {
        return interface_trouble(job, ENODEV, place);
    }
    if (e == ERR_SYSTEM) {
        return interface_trouble(job, errno, place);
    }
    if (e == ERR_INVAL) {
        char what[128];
        (void)snprintf(what, sizeof(what), "bind_interface %s: it does not have the address", name);
        return complain(job, what, place, "");
    }
    return ERR_OK;
}

/* ERR_UNSUPPORTED: not here, and that does no harm. */
static enum err bind_address(const struct listen_job *job, const struct addrinfo *a)
{
    uint16_t port = job->rules->port;
    bool six = a->ai_family == AF_INET6;
    char place[PLACE_MAX];
    address_text(a->ai_addr, a->ai_addrlen, port, place);
    log_info(job->log, "Opening %s listen socket on port %u.", six ? "ipv6" : "ipv4", port);
    if (check_interface(job, a->ai_addr, place) != ERR_OK) {
        return ERR_SYSTEM;
    }
    int fd = -1;
    enum err e = tcp_bind(a->ai_addr, a->ai_addrlen, job->rules->bind_interface, &fd);
    int why = errno;
    if (e == ERR_OK) {
        return add(job, fd, six ? 6 : 4) ? ERR_OK : ERR_NOMEM;
    }
    if (e == ERR_NOT_FOUND) {
        return interface_trouble(job, why, place);
    }
    if (six && can_do_without(job, e, why)) {
        log_info(job->log, "No IPv6 on this machine: port %u is served on IPv4 only.", port);
        return ERR_UNSUPPORTED;
    }
    return complain(job, strerror(why), place, advice(job->rules, why));
}

/* --- one listener --- */

/* IPv4 first. */
static enum err bind_found(const struct listen_job *job, const struct addrinfo *found)
{
    for (int six = 0; six < 2; six++) {
        for (const struct addrinfo *a = found; a; a = a->ai_next) {
            bool wanted = (a->ai_family == AF_INET6) == six;
            enum err e = wanted ? bind_address(job, a) : ERR_OK;
            if (e != ERR_OK && e != ERR_UNSUPPORTED) {
                return e;
            }
        }
    }
    return ERR_OK;
}

static int family_of(const struct conf_listener *rules)
{
    switch (rules->socket_domain) {
    case 4:
        return AF_INET;
    case 6:
        return AF_INET6;
    default:
        return AF_UNSPEC;
    }
}

static enum err bind_host(const struct listen_job *job)
{
    const struct conf_listener *rules = job->rules;
    char port[8];
    (void)snprintf(port, sizeof(port), "%u", rules->port);
    struct addrinfo hints = {
        .ai_family = family_of(rules), .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
    struct addrinfo *found = NULL;
    int failed = getaddrinfo(rules->address, port, &hints, &found);
    if (failed) {
        char place[PLACE_MAX];
        char what[PLACE_MAX];
        char host[PATH_SHOWN_MAX];
        (void)str_escape(str_c(rules->address), host, sizeof(host));
        (void)snprintf(what, sizeof(what), "Cannot listen on %s, port %s",
                       rules->address ? host : "any address", port);
        (void)snprintf(place, sizeof(place), "%s",
                       failed == EAI_SYSTEM ? strerror(errno) : gai_strerror(failed));
        return complain(job, what, place,
                        rules->socket_domain ? " socket_domain leaves only one kind of address."
                                             : "");
    }
    enum err e = bind_found(job, found);
    freeaddrinfo(found);
    return e;
}

static enum err bind_path(const struct listen_job *job)
{
    char path[PATH_SHOWN_MAX];
    (void)str_escape(str_c(job->rules->address), path, sizeof(path));
    log_info(job->log, "Opening unix listen socket on path %s.", path);
    struct unix_file file;
    int fd = -1;
    enum err e = unix_listen(job->rules->address, &file, &fd);
    int why = errno;
    struct listener *l = NULL;
    char what[128];
    switch (e) {
    case ERR_OK:
        l = add(job, fd, 0);
        if (!l) {
            unix_remove(job->rules->address, &file);
            return ERR_NOMEM;
        }
        l->file = file;
        l->listening = true;
        return ERR_OK;
    case ERR_TOO_LARGE:
        (void)snprintf(what, sizeof(what), "The path of a Unix socket has %zu bytes at most",
                       unix_path_max());
        return complain(job, what, path, "");
    case ERR_EXISTS:
        return complain(job, strerror(EADDRINUSE), path, " A running program listens there.");
    case ERR_INVAL:
        return complain(job, "What is there is no such socket", path, " It was left alone.");
    case ERR_UNSUPPORTED:
        return complain(job, "This build has no Unix sockets", path,
                        " They need a build with WITH_UNIX_SOCKETS=yes.");
    default:
        return complain(job, strerror(why), path, advice(job->rules, why));
    }
}

enum err listen_bind(const struct listen_job *job)
{
    return job->rules->port == 0 ? bind_path(job) : bind_host(job);
}

enum err listen_start(struct listener *l, const struct conf_listener *rules, const struct log *log)
{
    if (l->listening || tcp_listen(l->watch.fd) == ERR_OK) {
        l->listening = true;
        return ERR_OK;
    }
    int why = errno;
    char place[PLACE_MAX] = "?";
    struct sockaddr_storage a = {0};
    socklen_t length = sizeof(a);
    if (getsockname(l->watch.fd, (struct sockaddr *)&a, &length) == 0) {
        address_text((const struct sockaddr *)&a, length, rules->port, place);
    }
    struct listen_job job = {.rules = rules, .log = log};
    return complain(&job, strerror(why), place, advice(rules, why));
}

/* 0, or errno. */
static int give(int fd, const struct unix_file *file, uid_t user, gid_t group)
{
    struct stat st;
    if (fstat(fd, &st) != 0) {
        return errno;
    }
    if (!S_ISSOCK(st.st_mode) || st.st_dev != file->device || st.st_ino != file->inode) {
        return ESTALE;
    }
    return fchownat(fd, "", user, group, AT_EMPTY_PATH) == 0 ? 0 : errno;
}

/* Found once and held: who may write to the directory could put something else there in between. */
enum err listen_give(const struct listener *l, const struct conf_listener *rules, uid_t user,
                     gid_t group)
{
    int fd = open(rules->address, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) {
        return ERR_SYSTEM;
    }
    int why = give(fd, &l->file, user, group);
    (void)close(fd);
    errno = why;
    return why == 0 ? ERR_OK : ERR_SYSTEM;
}

void listen_close(struct listener *l, const struct conf_listener *rules)
{
    if (l->family == 0) {
        unix_remove(rules->address, &l->file);
    }
    (void)close(l->watch.fd);
    l->watch.fd = -1;
}
