/*
 * The file of --tls-keylog: the secrets of TLS connections, in the format of NSS, for whoever looks
 * at recorded traffic. Opened once, at the start, so that it may belong to root.
 */
#ifndef SERVER_KEYLOG_H
#define SERVER_KEYLOG_H

#include "base/err.h"
#include "base/log.h"

/* Returns its descriptor by *fd. ERR_INVAL: it is no ordinary file, or cannot be opened; an error
 * was logged. */
MUST_CHECK enum err keylog_open(const char *path, const struct log *log, int *fd);
/* For struct tls_settings: one line more. `fd` points at the descriptor. */
void keylog_line(void *fd, const char *line);

#endif
