/*
 * Positions by the escape sequences that every terminal of today knows (ECMA-48: CUP, EL, ED).
 */
#include "clients/sub_watch.h"

#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <wchar.h>

#define LINES_DEFAULT 24
#define COLUMNS_DEFAULT 80

static void ask_size(int *lines, int *columns)
{
    struct winsize size;
    bool known = ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row > 1 && size.ws_col > 0;
    *lines = known ? size.ws_row : LINES_DEFAULT;
    *columns = known ? size.ws_col : COLUMNS_DEFAULT;
}

/* The text up to the edge of the screen, in characters of the user's locale. */
static void add_visible(struct client_text *out, const struct client_text *line, int columns)
{
    mbstate_t state = {0};
    size_t at = 0;
    while (at < line->used && columns > 0) {
        wchar_t c = 0;
        size_t n = mbrtowc(&c, line->bytes + at, line->used - at, &state);
        bool strange = n == 0 || n > line->used - at;
        int width = strange ? -1 : wcwidth(c);
        if (strange) {
            n = 1;
            state = (mbstate_t){0};
        }
        if (width < 0)
            client_text_fill(out, '.', 1);
        else if (width <= columns)
            client_text_add(out, line->bytes + at, n);
        columns -= width < 0 ? 1 : width;
        at += n;
    }
}

static void draw_row(const struct sub_watch *w, int i, struct client_text *out)
{
    client_text_printf(out, "\033[%d;1H\033[K", i + 1);
    add_visible(out, &w->rows[i].line, w->columns);
}

/* The last line of the screen is for what does not fit on it. */
static int shown_rows(const struct sub_watch *w)
{
    return w->n < w->lines - 1 ? w->n : w->lines - 1;
}

static void draw_rest(const struct sub_watch *w, struct client_text *out)
{
    int rest = w->n - shown_rows(w);
    client_text_printf(out, "\033[%d;1H\033[K", shown_rows(w) + 1);
    if (rest > 0)
        client_text_printf(out, "and %d more topic%s", rest, rest == 1 ? "" : "s");
}

static void draw_all(const struct sub_watch *w, struct client_text *out)
{
    client_text_add_string(out, "\033[2J");
    for (int i = 0; i < shown_rows(w); i++)
        draw_row(w, i, out);
    draw_rest(w, out);
}

void sub_watch_resize(struct sub_watch *w, struct client_text *out)
{
    int lines, columns;
    ask_size(&lines, &columns);
    if (lines == w->lines && columns == w->columns)
        return;
    w->lines = lines;
    w->columns = columns;
    draw_all(w, out);
}

static int find_row(const struct sub_watch *w, const char *topic)
{
    for (int i = 0; i < w->n; i++)
        if (strcmp(w->rows[i].topic, topic) == 0)
            return i;
    return -1;
}

/* -1 without memory: the topic is not shown. */
static int add_row(struct sub_watch *w, const char *topic)
{
    if (w->n == w->room) {
        int room = w->room ? 2 * w->room : 32;
        struct sub_watch_row *rows = realloc(w->rows, (size_t)room * sizeof(*rows));
        if (!rows)
            return -1;
        w->rows = rows;
        w->room = room;
    }
    char *copy = strdup(topic);
    if (!copy)
        return -1;
    w->rows[w->n] = (struct sub_watch_row){.topic = copy};
    return w->n++;
}

/* Without -F the topic is shown in any case: lines without it would be riddles. */
static void set_line(struct sub_watch_row *row, const struct client_print *print,
                     const struct mosquitto_message *m)
{
    row->line.used = 0;
    if (!print->format) {
        client_text_add_string(&row->line, m->topic);
        client_text_fill(&row->line, ' ', 1);
        client_text_add(&row->line, m->payload, (size_t)m->payloadlen);
        return;
    }
    client_print(print, m, &row->line);
    if (row->line.used > 0 && row->line.bytes[row->line.used - 1] == '\n')
        row->line.used--;
}

void sub_watch_message(struct sub_watch *w, const struct client_print *print,
                       const struct mosquitto_message *message, struct client_text *out)
{
    int i = find_row(w, message->topic);
    bool added = i < 0;
    sub_watch_resize(w, out);
    if (added)
        i = add_row(w, message->topic);
    if (i < 0)
        return;
    set_line(&w->rows[i], print, message);
    if (i < shown_rows(w))
        draw_row(w, i, out);
    if (added || i < shown_rows(w))
        draw_rest(w, out);
}

void sub_watch_leave(const struct sub_watch *w, struct client_text *out)
{
    if (w->n > 0)
        client_text_printf(out, "\033[%d;1H\n", shown_rows(w) + 1);
}

void sub_watch_clear(struct sub_watch *w)
{
    for (int i = 0; i < w->n; i++) {
        free(w->rows[i].topic);
        client_text_clear(&w->rows[i].line);
    }
    free(w->rows);
    *w = (struct sub_watch){0};
}
