/*
 * Log lines: levels, one sink, formatted only when somebody listens.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include "base/base.h"
#include "base/str.h"

#include <stdint.h>

/* Bits: what Mosquitto's users know as log_type. */
enum log_level {
    LOG_LEVEL_INFO = 1 << 0,
    LOG_LEVEL_NOTICE = 1 << 1,
    LOG_LEVEL_WARNING = 1 << 2,
    LOG_LEVEL_ERROR = 1 << 3,
    LOG_LEVEL_DEBUG = 1 << 4,
    LOG_LEVEL_SUBSCRIBE = 1 << 5,
    LOG_LEVEL_UNSUBSCRIBE = 1 << 6,
    LOG_LEVEL_ALL = (1 << 7) - 1,
    LOG_LEVEL_DEFAULT = LOG_LEVEL_INFO | LOG_LEVEL_NOTICE | LOG_LEVEL_WARNING | LOG_LEVEL_ERROR
};

/*
 * What a line is about, besides its text: for destinations that keep such things apart (log_format
 * json). Texts are as the peer sent them, not escaped; what does not apply is NULL, empty or 0.
 */
struct log_about {
    const char *event; /* a word: closed, refused, denied, taken_over, dropped … */
    struct str client; /* client id */
    struct str user;
    struct str address;
    uint16_t port;
    const char *reason; /* a phrase */
    const char *rule;   /* the option or file that decided */
    struct str topic;
    uint64_t more; /* lines like this one that are not written */
};

/*
 * Receives one line without prefix and newline, and what it is about (NULL for most lines); must
 * not call back into who logs.
 */
typedef void log_sink(void *ctx, enum log_level level, struct str line,
                      const struct log_about *about);

struct log {
    unsigned mask; /* of enum log_level */
    log_sink *sink;
    void *ctx;
};

#define LOG_LINE_MAX 1000 /* bytes; longer lines are cut with "..." */

void log_line(const struct log *log, enum log_level level, const char *fmt, ...) PRINTF(3, 4) COLD;
void log_line_about(const struct log *log, enum log_level level, const struct log_about *about,
                    const char *fmt, ...) PRINTF(4, 5) COLD;

/* True when a line of that level would go anywhere; log may be NULL. */
static inline bool log_wants(const struct log *log, enum log_level level)
{
    return log && (log->mask & (unsigned)level) && log->sink;
}

#define LOG_AT(log, level, ...)                                                                    \
    do {                                                                                           \
        if (UNLIKELY(log_wants(log, level)))                                                       \
            log_line(log, level, __VA_ARGS__);                                                     \
    } while (0)
#define log_info(log, ...) LOG_AT(log, LOG_LEVEL_INFO, __VA_ARGS__)
#define log_notice(log, ...) LOG_AT(log, LOG_LEVEL_NOTICE, __VA_ARGS__)
#define log_warning(log, ...) LOG_AT(log, LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_error(log, ...) LOG_AT(log, LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_debug(log, ...) LOG_AT(log, LOG_LEVEL_DEBUG, __VA_ARGS__)

#endif
