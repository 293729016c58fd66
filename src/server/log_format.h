/*
 * What a log line looks like: text with the time in front, or a JSON object.
 *
 * Whatever stands in a message or comes from a peer, the result is one line of printable text:
 * control characters never reach a destination, and JSON is valid JSON.
 */
#ifndef SERVER_LOG_FORMAT_H
#define SERVER_LOG_FORMAT_H

#include "base/log.h"
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#define LOG_TIME_FORMAT_MAX 128 /* bytes of log_timestamp_format, NUL included */
#define LOG_STAMP_MAX 160       /* bytes of what that makes of a time; longer: Unix seconds */
/* A line of either kind, newline included. A pipe that is ready takes so much without waiting. */
#define LOG_TEXT_MAX 4096

struct log_style {
    bool json;
    bool timestamp;
    char time_format[LOG_TIME_FORMAT_MAX]; /* of strftime; empty = Unix seconds, JSON: RFC 3339 */
};

/* The time as it was written last: it is made anew when a second has passed. */
struct log_stamp {
    bool known;
    time_t second;
    size_t n;
    char text[LOG_STAMP_MAX];
};

struct log_entry {
    enum log_level level;
    struct str message;
    const struct log_about *about; /* or NULL */
};

struct log_text {
    size_t n;    /* newline included */
    size_t body; /* the line without the time in front begins here */
    char bytes[LOG_TEXT_MAX];
};

/* What destinations call a level. */
struct log_level_name {
    const char *word;  /* JSON */
    const char *topic; /* below $SYS/broker/log/; NULL: lines of this level never go there */
    int priority;      /* of syslog, without the facility */
};

const struct log_level_name *log_level_name(enum log_level level);

/* `stamp` begins as {0}, again when the style has changed. */
void log_format(struct log_text *out, const struct log_style *style, struct log_stamp *stamp,
                const struct log_entry *entry);
/* The line that stands where others are missing. */
void log_format_loss(struct log_text *out, const struct log_style *style, uint64_t lines);

#endif
