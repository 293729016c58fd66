/*
 * One thing on one line: as words and fields, or as a JSON object. The only place that knows the
 * two forms.
 *
 *     message client="c1" seq=9 qos=1 state=queued topic="a/b" bytes=5 payload="hello"
 *     {"type":"message","client":"c1","seq":9,"qos":1,"state":"queued", …}
 */
#ifndef TOOLS_DB_DUMP_LINE_H
#define TOOLS_DB_DUMP_LINE_H

#include "base/str.h"
#include "tools/db_dump_options.h"

#include <stdbool.h>
#include <stdint.h>

struct cJSON;

struct dump_line {
    bool json;
    enum dump_payload payload;
    struct cJSON *object; /* while a line is being made */
    bool failed;          /* no memory for an object, or stdout is not there any more */
};

/* A line: begin, fields, end. What fails is noted, and the rest of the line does nothing. */
void line_begin(struct dump_line *l, const char *type);
void line_number(struct dump_line *l, const char *name, uint64_t value);
void line_hex(struct dump_line *l, const char *name, uint64_t value); /* 16 digits */
void line_word(struct dump_line *l, const char *name, const char *value);
void line_text(struct dump_line *l, const char *name, struct str value);
void line_time(struct dump_line *l, const char *name, int64_t unix_s);
void line_yes(struct dump_line *l, const char *name); /* true */
/* Its size, and as much of it as is wanted. */
void line_payload(struct dump_line *l, struct str payload);
void line_end(struct dump_line *l);

#endif
