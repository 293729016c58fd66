/*
 * A format is a list of pieces: text that stands for itself, or one thing about a message.
 *
 * Each letter behind a '%' is a row of a table: what it prints, and which flags mean anything to
 * it. Letters for properties of MQTT 5 are known and print what a message without properties has:
 * nothing, in the width that was asked for where they have one.
 */
#include "clients/format.h"

#include "clients/json.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct piece;

/* What there is to print. */
struct item {
    const struct mosquitto_message *message;
    const struct timespec *when;
    struct client_text *out;
    bool pretty;
    bool bad; /* %J without JSON */
};

typedef void print_fn(struct item *item, const struct piece *p);

struct piece {
    print_fn *print;
    char letter;
    bool zero, left;
    int width;      /* at least; of a payload also at most; 0: as it comes */
    int max;        /* -1: not given */
    char separator; /* of groups of hexadecimal bytes */
    const char *text;
    size_t text_n; /* of text that stands for itself */
};

struct client_format {
    struct piece *pieces;
    size_t n, room;
    char *text; /* all text that stands for itself */
    bool pretty;
};

/* ---- Printing ---- */

static void print_text(struct item *item, const struct piece *p)
{
    client_text_add(item->out, p->text, p->text_n);
}

/* In the width, at the side that was asked for. `c` is what fills it. */
static void print_field(struct item *item, const struct piece *p, const char *s, size_t n, char c)
{
    size_t fill = (size_t)p->width > n ? (size_t)p->width - n : 0;
    if (!p->left)
        client_text_fill(item->out, c, fill);
    client_text_add(item->out, s, n);
    if (p->left)
        client_text_fill(item->out, c, fill);
}

/* Text is cut between characters. */
static void print_string(struct item *item, const struct piece *p, const char *s)
{
    size_t n = strlen(s);
    if (p->max >= 0 && n > (size_t)p->max)
        for (n = (size_t)p->max; n > 0 && ((unsigned char)s[n] & 0xC0) == 0x80;)
            n--;
    print_field(item, p, s, n, ' ');
}

static void print_int(struct item *item, const struct piece *p, int value)
{
    char digits[16];
    int n = snprintf(digits, sizeof(digits), "%d", value);
    print_field(item, p, digits, (size_t)n, p->zero && !p->left ? '0' : ' ');
}

static void print_nothing(struct item *item, const struct piece *p)
{
    (void)item;
    (void)p;
}

static void print_blank(struct item *item, const struct piece *p)
{
    print_field(item, p, "", 0, ' ');
}

static void print_blank_number(struct item *item, const struct piece *p)
{
    print_field(item, p, "", 0, p->zero ? '0' : ' ');
}

static void print_topic(struct item *item, const struct piece *p)
{
    print_string(item, p, item->message->topic);
}

static void print_length(struct item *item, const struct piece *p)
{
    print_int(item, p, item->message->payloadlen);
}

static void print_mid(struct item *item, const struct piece *p)
{
    print_int(item, p, item->message->mid);
}

static void print_qos(struct item *item, const struct piece *p)
{
    client_text_fill(item->out, (char)('0' + item->message->qos), 1);
    (void)p;
}

static void print_retain(struct item *item, const struct piece *p)
{
    client_text_fill(item->out, item->message->retain ? '1' : '0', 1);
    (void)p;
}

static size_t payload_length(const struct item *item)
{
    return item->message->payload ? (size_t)item->message->payloadlen : 0;
}

static void print_payload(struct item *item, const struct piece *p)
{
    size_t n = payload_length(item);
    if (p->width && n > (size_t)p->width)
        n = (size_t)p->width;
    print_field(item, p, item->message->payload, n, p->zero ? '0' : ' ');
}

/* The length of so many bytes in hexadecimal, separators included. */
static size_t hex_length(const struct piece *p, size_t bytes)
{
    return 2 * bytes + (p->max > 0 && bytes ? (bytes - 1) / (size_t)p->max : 0);
}

static void print_hex(struct item *item, const struct piece *p)
{
    const char *digits = p->letter == 'x' ? "0123456789abcdef" : "0123456789ABCDEF";
    const unsigned char *payload = item->message->payload;
    char fill_with = p->zero ? '0' : ' ';
    size_t n = payload_length(item), width = (size_t)p->width;
    if (width && n > width)
        n = width;
    while (width && hex_length(p, n) > width)
        n--;
    size_t fill = width ? width - hex_length(p, n) : 0;
    client_text_fill(item->out, fill_with, p->left ? 0 : fill);
    for (size_t i = 0; i < n; i++) {
        if (p->max > 0 && i > 0 && i % (size_t)p->max == 0)
            client_text_fill(item->out, p->separator, 1);
        char pair[2] = {digits[payload[i] >> 4], digits[payload[i] & 15]};
        client_text_add(item->out, pair, sizeof(pair));
    }
    client_text_fill(item->out, fill_with, p->left ? fill : 0);
}

/* A payload that is a float or a double, in the byte order of this machine. */
static void print_float(struct item *item, const struct piece *p)
{
    size_t n = payload_length(item);
    double value = 0;
    float single = 0;
    if (n != (p->letter == 'f' ? sizeof(single) : sizeof(value))) {
        print_blank(item, p);
        return;
    }
    memcpy(p->letter == 'f' ? (void *)&single : (void *)&value, item->message->payload, n);
    if (p->letter == 'f')
        value = (double)single;
    char digits[512];
    int length = snprintf(digits, sizeof(digits), "%.*f", p->max < 0 ? 6 : p->max, value);
    if (p->zero && !p->left && digits[0] == '-' && p->width > length) {
        client_text_fill(item->out, '-', 1);
        client_text_fill(item->out, '0', (size_t)(p->width - length));
        client_text_add(item->out, digits + 1, (size_t)length - 1);
        return;
    }
    print_field(item, p, digits, (size_t)length, p->zero && !p->left ? '0' : ' ');
}

static void print_time(struct item *item, const struct piece *p, const char *format)
{
    struct tm tm;
    char text[256];
    localtime_r(&item->when->tv_sec, &tm);
    text[strftime(text, sizeof(text), format, &tm)] = '\0';
    print_string(item, p, text);
}

static void print_iso(struct item *item, const struct piece *p)
{
    print_time(item, p, "%Y-%m-%dT%H:%M:%S%z");
}

static void print_strftime(struct item *item, const struct piece *p)
{
    char format[3] = {'%', p->letter, '\0'};
    print_time(item, p, format);
}

static void print_nanoseconds(struct item *item, const struct piece *p)
{
    client_text_printf(item->out, "%09ld", item->when->tv_nsec);
    (void)p;
}

static void print_epoch(struct item *item, const struct piece *p)
{
    client_text_printf(item->out, "%lld.", (long long)item->when->tv_sec);
    print_nanoseconds(item, p);
}

static void print_json_payload(struct item *item, bool quoted)
{
    const struct mosquitto_message *m = item->message;
    if (payload_length(item) == 0)
        client_text_add_string(item->out, "null");
    else if (quoted)
        client_json_string(item->out, m->payload, (size_t)m->payloadlen);
    else if (!client_json_value(item->out, m->payload, (size_t)m->payloadlen,
                                item->pretty ? 1 : -1))
        item->bad = true;
}

/* The names are those of Mosquitto, and so is a time with both a Z and an offset. */
static void print_json(struct item *item, const struct piece *p)
{
    struct client_text *out = item->out;
    const struct mosquitto_message *m = item->message;
    const char *tab = item->pretty ? "\t" : "", *line = item->pretty ? "\n\t" : "";
    size_t before = out->used;
    client_text_printf(out, "{%s\"tst\":%s\"", line, tab);
    print_time(item, p, "%Y-%m-%dT%H:%M:%S");
    client_text_printf(out, ".%06ldZ", item->when->tv_nsec / 1000);
    print_time(item, p, "%z");
    client_text_printf(out, "\",%s\"topic\":%s", line, tab);
    client_json_string(out, m->topic, strlen(m->topic));
    client_text_printf(out, ",%s\"qos\":%s%d,%s\"retain\":%s%d,%s\"payloadlen\":%s%d", line, tab,
                       m->qos, line, tab, m->retain ? 1 : 0, line, tab, m->payloadlen);
    if (m->qos > 0)
        client_text_printf(out, ",%s\"mid\":%s%d", line, tab, m->mid);
    client_text_printf(out, ",%s\"payload\":%s", line, tab);
    print_json_payload(item, p->letter == 'j');
    client_text_add_string(out, item->pretty ? "\n}" : "}");
    if (item->bad)
        out->used = before;
}

bool client_format_print(const struct client_format *f, const struct mosquitto_message *message,
                         const struct timespec *when, struct client_text *out)
{
    struct item item = {message, when, out, f->pretty, false};
    bool fine = true;
    for (size_t i = 0; i < f->n; i++) {
        item.bad = false;
        f->pieces[i].print(&item, &f->pieces[i]);
        fine = fine && !item.bad;
    }
    return fine;
}

/* ---- Reading ---- */

enum { TAKES_WIDTH = 1, TAKES_MAX = 2 };

static const struct letter {
    char letter;
    int takes; /* flags without meaning for it are read and forgotten */
    print_fn *print;
} letters_known[] = {
    {'%', 0, print_text},
    {'A', TAKES_WIDTH, print_blank_number},
    {'C', TAKES_WIDTH, print_blank},
    {'D', 0, print_nothing},
    {'E', TAKES_WIDTH, print_blank_number},
    {'F', TAKES_WIDTH, print_blank_number},
    {'I', TAKES_WIDTH | TAKES_MAX, print_iso},
    {'J', 0, print_json},
    {'P', 0, print_nothing},
    {'R', 0, print_nothing},
    {'S', TAKES_WIDTH, print_blank_number},
    {'U', 0, print_epoch},
    {'X', TAKES_WIDTH | TAKES_MAX, print_hex},
    {'d', TAKES_WIDTH | TAKES_MAX, print_float},
    {'f', TAKES_WIDTH | TAKES_MAX, print_float},
    {'j', 0, print_json},
    {'l', TAKES_WIDTH, print_length},
    {'m', TAKES_WIDTH, print_mid},
    {'p', TAKES_WIDTH, print_payload},
    {'q', 0, print_qos},
    {'r', 0, print_retain},
    {'t', TAKES_WIDTH | TAKES_MAX, print_topic},
    {'x', TAKES_WIDTH | TAKES_MAX, print_hex},
};

struct reader {
    struct client_format *f;
    const char *start, *at;
    char *text; /* where the next text that stands for itself goes */
    char *why;
};

/* An error at the place where the sequence began. */
static bool refuse(const struct reader *r, const char *from, const char *what, char c,
                   const char *known)
{
    long place = (long)(from - r->start) + 1;
    if (c == '\0')
        snprintf(r->why, CLIENT_FORMAT_WHY_MAX, "Incomplete %s specifier at position %ld", what,
                 place);
    else
        snprintf(r->why, CLIENT_FORMAT_WHY_MAX, "Invalid %s specifier '%c' at position %ld%s%s",
                 what, c, place, *known ? ", known are: " : "", known);
    return false;
}

static bool add_piece(struct reader *r, const struct piece *p)
{
    struct client_format *f = r->f;
    if (f->n == f->room) {
        size_t room = f->room ? 2 * f->room : 16;
        struct piece *pieces = realloc(f->pieces, room * sizeof(*pieces));
        if (!pieces) {
            snprintf(r->why, CLIENT_FORMAT_WHY_MAX, "Out of memory");
            return false;
        }
        f->pieces = pieces;
        f->room = room;
    }
    f->pieces[f->n++] = *p;
    return true;
}

/* One more character that stands for itself: in one piece with those before. */
static bool add_char(struct reader *r, char c)
{
    struct client_format *f = r->f;
    char *place = r->text++;
    *place = c;
    if (f->n > 0 && f->pieces[f->n - 1].print == print_text) {
        f->pieces[f->n - 1].text_n++;
        return true;
    }
    struct piece p = {.print = print_text, .text = place, .text_n = 1};
    return add_piece(r, &p);
}

static bool read_escape(struct reader *r)
{
    static const char letters[] = "\\0aenrtv", values[] = "\\\0\a\033\n\r\t\v";
    const char *from = r->at++;
    char c = *r->at;
    const char *found = c ? strchr(letters, c) : NULL;
    if (!found)
        return refuse(r, from, "escape", c, "\\\\ \\0 \\a \\e \\n \\r \\t \\v");
    r->at++;
    return add_char(r, values[found - letters]);
}

static bool read_at(struct reader *r)
{
    const char *from = r->at++;
    char c = *r->at;
    if (c == '\0')
        return refuse(r, from, "format", c, "");
    r->at++;
    if (c == '@')
        return add_char(r, c);
    struct piece p = {
        .print = c == 'N' ? print_nanoseconds : print_strftime, .letter = c, .max = -1};
    return add_piece(r, &p);
}

/* Digits, if there are any; false: more than can be meant. */
static bool read_number(struct reader *r, int *value)
{
    for (*value = 0; *r->at >= '0' && *r->at <= '9'; r->at++) {
        *value = *value * 10 + (*r->at - '0');
        if (*value > CLIENT_FORMAT_WIDTH_MAX) {
            snprintf(r->why, CLIENT_FORMAT_WHY_MAX, "Width above %d at position %ld",
                     CLIENT_FORMAT_WIDTH_MAX, (long)(r->at - r->start) + 1);
            return false;
        }
    }
    return true;
}

static const struct letter *find_letter(char c)
{
    for (size_t i = 0; i < sizeof(letters_known) / sizeof(letters_known[0]); i++)
        if (letters_known[i].letter == c)
            return &letters_known[i];
    return NULL;
}

static bool refuse_letter(const struct reader *r, const char *from, char c)
{
    char known[2 * sizeof(letters_known) / sizeof(letters_known[0]) + 1];
    size_t n = 0;
    for (size_t i = 0; i < sizeof(letters_known) / sizeof(letters_known[0]); i++) {
        known[n++] = letters_known[i].letter;
        known[n++] = ' ';
    }
    known[n - 1] = '\0';
    return refuse(r, from, "format", c, known);
}

/* %[flags][width][.max[separator]]letter */
static bool read_percent(struct reader *r)
{
    const char *from = r->at++;
    struct piece p = {.max = -1, .separator = ' '};
    for (; *r->at == '-' || *r->at == '0'; r->at++) {
        p.left = p.left || *r->at == '-';
        p.zero = p.zero || *r->at == '0';
    }
    if (!read_number(r, &p.width))
        return false;
    if (*r->at == '.') {
        r->at++;
        if (!read_number(r, &p.max))
            return false;
    }
    bool separated = p.max > 0 && *r->at && r->at[1] && (r->at[1] == 'x' || r->at[1] == 'X') &&
                     !find_letter(*r->at);
    if (separated)
        p.separator = *r->at++;
    const struct letter *known = find_letter(*r->at);
    if (!known)
        return *r->at ? refuse_letter(r, from, *r->at) : refuse(r, from, "format", '\0', "");
    p.letter = *r->at++;
    p.print = known->print;
    p.width = known->takes & TAKES_WIDTH ? p.width : 0;
    p.max = known->takes & TAKES_MAX ? p.max : -1;
    if (p.print == print_float && p.max > 100)
        p.max = 100;
    return p.print == print_text ? add_char(r, '%') : add_piece(r, &p);
}

static bool read_all(struct reader *r)
{
    while (*r->at) {
        bool fine = *r->at == '%'    ? read_percent(r)
                    : *r->at == '@'  ? read_at(r)
                    : *r->at == '\\' ? read_escape(r)
                                     : add_char(r, *r->at++);
        if (!fine)
            return false;
    }
    return true;
}

struct client_format *client_format_new(const char *text, bool pretty,
                                        char why[CLIENT_FORMAT_WHY_MAX])
{
    struct client_format *f = calloc(1, sizeof(*f));
    char *plain = malloc(strlen(text) + 1);
    struct reader r = {f, text, text, plain, why};
    if (!f || !plain) {
        snprintf(why, CLIENT_FORMAT_WHY_MAX, "Out of memory");
        free(plain);
        free(f);
        return NULL;
    }
    f->text = plain;
    f->pretty = pretty;
    if (read_all(&r))
        return f;
    client_format_free(f);
    return NULL;
}

void client_format_free(struct client_format *f)
{
    if (!f)
        return;
    free(f->pieces);
    free(f->text);
    free(f);
}
