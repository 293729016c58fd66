/*
 * The secrets of TLS connections.
 */
#include "server/keylog.h"

#include "base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

/* A link, or a pipe, would lead the secrets somewhere else. */
static bool is_ordinary(int fd)
{
    struct stat st;
    return fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
}

enum err keylog_open(const char *path, const struct log *log, int *fd)
{
    char shown[256];
    const char *why = "it is no ordinary file";
    (void)str_escape(str_c(path), shown, sizeof(shown));
    *fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);
    if (*fd >= 0 && is_ordinary(*fd)) {
        return ERR_OK;
    }
    if (*fd < 0) {
        why = errno == ELOOP ? "it is a symbolic link" : strerror(errno);
    } else {
        (void)close(*fd);
        *fd = -1;
    }
    log_error(log, "Error: --tls-keylog '%s': %s.", shown, why);
    return ERR_INVAL;
}

void keylog_line(void *fd, const char *line)
{
    const struct iovec iov[2] = {
        {.iov_base = (void *)(uintptr_t)line, .iov_len = strlen(line)},
        {.iov_base = (void *)(uintptr_t) "\n", .iov_len = 1},
    };
    (void)!writev(*(const int *)fd, iov, 2);
}
