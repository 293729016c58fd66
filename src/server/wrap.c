/*
 * libwrap.
 *
 * It reads the two files, and may run the commands that an administrator has written there. Of its
 * answers nothing is kept between two questions; only that there is nothing to ask. It wants to
 * know the severity of what it logs, in two variables that the program brings along, because it may
 * be linked to programs that have no others.
 */
#include "server/wrap.h"

#include "base/file.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <syslog.h>
#include <tcpd.h>

#define EXPORTED __attribute__((visibility("default")))

EXPORTED int allow_severity = LOG_INFO;
EXPORTED int deny_severity = LOG_WARNING;

bool wrap_built(void)
{
    return true;
}

/* --- files that say nothing --- */

/* Larger files, and longer lines, which libwrap may cut in two, are none that say nothing. */
#define FILE_MAX 16384
#define LINE_MAX_BYTES 1000
/* A file that was changed so lately may be changed again without a trace in its times. */
#define FRESH_S 2

void wrap_init(struct wrap *w)
{
    *w = (struct wrap){.files = {{.path = hosts_allow_table}, {.path = hosts_deny_table}}};
}

static bool is_comment(struct str line)
{
    return line.n > 0 && line.p[0] == '#' && line.n <= LINE_MAX_BYTES;
}

static bool is_blank(struct str line)
{
    for (size_t i = 0; i < line.n; i++) {
        if (!memchr(" \t\r", line.p[i], 3)) {
            return false;
        }
    }
    return line.n <= LINE_MAX_BYTES;
}

/* Comments and blank lines alone. Where libwrap would join lines, each of them has to be one. A
 * last line without its end is an error to libwrap, for which it denies everybody. */
static bool says_nothing(struct str text)
{
    while (text.p && text.n > 0) {
        const char *end = memchr(text.p, '\n', text.n);
        struct str line = str_of(text.p, end ? (size_t)(end - text.p) : text.n);
        if (!end || (!is_comment(line) && !is_blank(line))) {
            return false;
        }
        text = str_of(end + 1, text.n - line.n - 1);
    }
    return true;
}

static bool read_file(const char *path)
{
    struct buf text = {0};
    bool bare = file_read(path, FILE_MAX, &text) == ERR_OK && says_nothing(buf_str(&text));
    buf_clear(&text);
    return bare;
}

static bool is_same(const struct wrap_file *f, const struct stat *st)
{
    return f->device == st->st_dev && f->inode == st->st_ino && f->size == st->st_size &&
           f->changed.tv_sec == st->st_ctim.tv_sec && f->changed.tv_nsec == st->st_ctim.tv_nsec;
}

static bool is_fresh(const struct stat *st)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    return now.tv_sec - st->st_ctim.tv_sec < FRESH_S;
}

static bool is_bare(struct wrap_file *f)
{
    struct stat st;
    if (stat(f->path, &st) != 0) {
        return errno == ENOENT;
    }
    if (f->bare && is_same(f, &st)) {
        return true;
    }
    bool bare = S_ISREG(st.st_mode) && read_file(f->path);
    f->bare = bare && !is_fresh(&st);
    f->device = st.st_dev;
    f->inode = st.st_ino;
    f->size = st.st_size;
    f->changed = st.st_ctim;
    return bare;
}

bool wrap_is_silent(struct wrap *w)
{
    return is_bare(&w->files[0]) && is_bare(&w->files[1]);
}

/* --- asking --- */

bool wrap_admits(const struct peer *peer)
{
    char daemon[] = "mosquitto";
    char unknown_name[] = STRING_UNKNOWN;
    char address[PEER_TEXT_MAX];
    struct request_info request;
    /* Or the first rule with `twist` would turn the broker into another program. */
    resident = 1;
    /* With all four given nothing is left to be found out. */
    (void)request_init(&request, RQ_DAEMON, daemon, RQ_CLIENT_NAME, unknown_name, RQ_CLIENT_ADDR,
                       peer_address(peer, address), RQ_USER, unknown_name, 0);
    return hosts_access(&request) != 0;
}
