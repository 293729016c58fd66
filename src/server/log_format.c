/*
 * Log lines as text and as JSON.
 *
 * JSON is written by hand: lines of a debug log are made by the thousand in the broker's loop, and
 * all that there is to it is a string with escapes.
 */
#include "server/log_format.h"

#include "base/base.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>

static const struct level_row {
    enum log_level level;
    struct log_level_name name;
} levels[] = {
    {LOG_LEVEL_ERROR, {"error", "E", LOG_ERR}},
    {LOG_LEVEL_WARNING, {"warning", "W", LOG_WARNING}},
    {LOG_LEVEL_NOTICE, {"notice", "N", LOG_NOTICE}},
    {LOG_LEVEL_INFO, {"info", "I", LOG_INFO}},
    {LOG_LEVEL_DEBUG, {"debug", NULL, LOG_DEBUG}},
    {LOG_LEVEL_SUBSCRIBE, {"subscribe", "M/subscribe", LOG_NOTICE}},
    {LOG_LEVEL_UNSUBSCRIBE, {"unsubscribe", "M/unsubscribe", LOG_NOTICE}},
};

const struct log_level_name *log_level_name(enum log_level level)
{
    size_t i = 0;
    while (i < ARRAY_SIZE(levels) - 1 && levels[i].level != level) {
        i++;
    }
    return &levels[i].name;
}

/* The fields of a JSON line in their order: each name, and how many bytes its value may take. */
enum field {
    FIELD_TIME,
    FIELD_LEVEL,
    FIELD_MESSAGE,
    FIELD_EVENT,
    FIELD_CLIENT,
    FIELD_USER,
    FIELD_ADDRESS,
    FIELD_PORT,
    FIELD_REASON,
    FIELD_RULE,
    FIELD_TOPIC,
    FIELD_MORE
};

static const struct field_row {
    const char *name;
    size_t max;
} fields[] = {
    [FIELD_TIME] = {"time", 192},        [FIELD_LEVEL] = {"level", 16},
    [FIELD_MESSAGE] = {"message", 1536}, [FIELD_EVENT] = {"event", 32},
    [FIELD_CLIENT] = {"client", 512},    [FIELD_USER] = {"user", 256},
    [FIELD_ADDRESS] = {"address", 128},  [FIELD_PORT] = {"port", 8},
    [FIELD_REASON] = {"reason", 128},    [FIELD_RULE] = {"rule", 256},
    [FIELD_TOPIC] = {"topic", 768},      [FIELD_MORE] = {"more", 24},
};

static void add(struct log_text *out, const char *p, size_t n)
{
    assert(out->n + n <= LOG_TEXT_MAX); /* the sum of what fields may take is less */
    memcpy(out->bytes + out->n, p, n);
    out->n += n;
}

static void add_text(struct log_text *out, const char *text)
{
    add(out, text, strlen(text));
}

static bool is_control(uint32_t c)
{
    return c < 0x20 || (c >= 0x7F && c < 0xA0);
}

/* How one character, or one byte that is none, stands in a JSON string. Cuts it off the front. */
static size_t json_unit(struct str *s, char unit[8])
{
    uint32_t c = 0;
    size_t n = str_character(*s, &c);
    const char *at = s->p;
    *s = str_of(s->p + (n ? n : 1), s->n - (n ? n : 1));
    if (n == 0) {
        memcpy(unit, "\xEF\xBF\xBD", 3); /* U+FFFD */
        return 3;
    }
    if (c == '"' || c == '\\' || c == '\t') {
        unit[0] = '\\';
        unit[1] = c == '\t' ? 't' : (char)c;
        return 2;
    }
    if (is_control(c)) {
        return (size_t)snprintf(unit, 8, "\\u%04x", (unsigned)(c & 0xFF));
    }
    memcpy(unit, at, n);
    return n;
}

/* As much of it as `max` bytes hold, with "..." when that is not all. */
static void add_json_string(struct log_text *out, struct str s, size_t max)
{
    size_t begin = out->n + 1;
    size_t cut = begin; /* the last place where "..." still fits */
    add(out, "\"", 1);
    while (s.n > 0) {
        char unit[8];
        size_t n = json_unit(&s, unit);
        if (out->n - begin + 3 <= max) {
            cut = out->n;
        }
        if (out->n - begin + n > max) {
            out->n = cut;
            add(out, "...", 3);
            break;
        }
        add(out, unit, n);
    }
    add(out, "\"", 1);
}

static void add_name(struct log_text *out, enum field f)
{
    add_text(out, out->n == 0 ? "{\"" : ",\"");
    add_text(out, fields[f].name);
    add_text(out, "\":");
}

static void add_field(struct log_text *out, enum field f, struct str value)
{
    if (value.n > 0) {
        add_name(out, f);
        add_json_string(out, value, fields[f].max);
    }
}

static void add_number(struct log_text *out, enum field f, uint64_t value)
{
    char digits[24];
    if (value > 0) {
        add_name(out, f);
        add(out, digits, (size_t)snprintf(digits, sizeof(digits), "%" PRIu64, value));
    }
}

static void add_about(struct log_text *out, const struct log_about *about)
{
    add_field(out, FIELD_EVENT, str_c(about->event));
    add_field(out, FIELD_CLIENT, about->client);
    add_field(out, FIELD_USER, about->user);
    add_field(out, FIELD_ADDRESS, about->address);
    add_number(out, FIELD_PORT, about->port);
    add_field(out, FIELD_REASON, str_c(about->reason));
    add_field(out, FIELD_RULE, str_c(about->rule));
    add_field(out, FIELD_TOPIC, about->topic);
    add_number(out, FIELD_MORE, about->more);
}

/* The time in the user's own format; 0: there is none, or it makes nothing that can be used. */
static size_t own_time(char *out, const struct log_style *style, time_t second)
{
    struct tm t;
    if (!style->time_format[0] || !localtime_r(&second, &t)) {
        return 0;
    }
    return strftime(out, LOG_STAMP_MAX, style->time_format, &t);
}

static size_t usual_time(char *out, const struct log_style *style, time_t second)
{
    struct tm t;
    if (style->json && gmtime_r(&second, &t)) {
        return strftime(out, LOG_STAMP_MAX, "%Y-%m-%dT%H:%M:%S", &t);
    }
    return (size_t)snprintf(out, LOG_STAMP_MAX, "%lld", (long long)second);
}

static void stamp_renew(struct log_stamp *stamp, const struct log_style *style, time_t second)
{
    if (stamp->known && stamp->second == second) {
        return;
    }
    stamp->n = own_time(stamp->text, style, second);
    if (stamp->n == 0) {
        stamp->n = usual_time(stamp->text, style, second);
    }
    stamp->known = true;
    stamp->second = second;
}

static void add_json_time(struct log_text *out, const struct log_style *style,
                          const struct log_stamp *stamp, const struct timespec *now)
{
    char text[LOG_STAMP_MAX + 8];
    size_t n = stamp->n;
    memcpy(text, stamp->text, n);
    if (!style->time_format[0]) {
        n += (size_t)snprintf(text + n, 8, ".%03uZ", (unsigned)(now->tv_nsec / 1000000) % 1000);
    }
    add_field(out, FIELD_TIME, str_of(text, n));
}

/* Text as it is, but for control characters: the core has escaped those, so this is for the rest.
 */
static void add_printable(struct log_text *out, struct str s)
{
    size_t begin = out->n;
    add(out, s.p, s.n);
    for (size_t i = begin; i < out->n; i++) {
        unsigned char c = (unsigned char)out->bytes[i];
        if (c < 0x20 || c == 0x7F) {
            out->bytes[i] = '?';
        }
    }
}

/* Not more than LOG_LINE_MAX, cut between two characters. */
static void add_message(struct log_text *out, struct str message)
{
    size_t n = message.n;
    if (n > 0 && message.p[0] == '\t') {
        add(out, "\t", 1);
        message = str_of(message.p + 1, --n);
    }
    if (n > LOG_LINE_MAX) {
        n = LOG_LINE_MAX - 3;
        while (n > 0 && ((unsigned char)message.p[n] & 0xC0) == 0x80) {
            n--;
        }
    }
    add_printable(out, str_of(message.p, n));
    if (n < message.n) {
        add(out, "...", 3);
    }
}

void log_format(struct log_text *out, const struct log_style *style, struct log_stamp *stamp,
                const struct log_entry *entry)
{
    struct timespec now;
    out->n = 0;
    out->body = 0;
    if (style->timestamp) {
        (void)clock_gettime(CLOCK_REALTIME_COARSE, &now);
        stamp_renew(stamp, style, now.tv_sec);
    }
    if (style->json) {
        if (style->timestamp) {
            add_json_time(out, style, stamp, &now);
        }
        add_field(out, FIELD_LEVEL, str_c(log_level_name(entry->level)->word));
        add_name(out, FIELD_MESSAGE);
        add_json_string(out, entry->message, fields[FIELD_MESSAGE].max);
        if (entry->about) {
            add_about(out, entry->about);
        }
        add(out, "}\n", 2);
        return;
    }
    if (style->timestamp) {
        add_printable(out, str_of(stamp->text, stamp->n));
        add(out, ": ", 2);
        out->body = out->n;
    }
    add_message(out, entry->message);
    add(out, "\n", 1);
}

void log_format_loss(struct log_text *out, const struct log_style *style, uint64_t lines)
{
    char message[64];
    struct log_stamp stamp = {0};
    int n = snprintf(message, sizeof(message), "(%" PRIu64 " log lines were lost here)", lines);
    struct log_about about = {.event = "log_lost", .more = lines};
    struct log_entry entry = {LOG_LEVEL_WARNING, str_of(message, (size_t)n), &about};
    log_format(out, style, &stamp, &entry);
}
