/*
 * Text inside HTML and SVG.
 */
#include "bench/markup.h"

#include "bench/json.h"

static const char *named(char c)
{
    switch (c) {
    case '&':
        return "&amp;";
    case '<':
        return "&lt;";
    case '>':
        return "&gt;";
    case '"':
        return "&quot;";
    case '\'':
        return "&#39;";
    default:
        return NULL;
    }
}

void markup_text(FILE *out, const char *text)
{
    while (*text != '\0') {
        size_t size = json_character(text);
        const char *name = named(*text);

        if (name != NULL) {
            fputs(name, out);
        } else if (size == 0 || ((unsigned char)*text < 0x20 && *text != '\n') || *text == 0x7f) {
            fputs("&#xfffd;", out);
        } else {
            fwrite(text, 1, size, out);
        }
        text += size > 0 ? size : 1;
    }
}
