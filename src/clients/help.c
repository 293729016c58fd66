/*
 * Help that fits a terminal: options in groups, each with its sentence beside it.
 */
#include "clients/help.h"

#include "mosquitto.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define WIDTH 79
#define COLUMN 30 /* where the sentences begin */

static const char *const titles[GROUP_COUNT] = {
    [GROUP_MESSAGE] = "Messages",
    [GROUP_OUTPUT] = "Output",
    [GROUP_CONNECTION] = "Connection",
    [GROUP_SESSION] = "Who we are, and the session",
    [GROUP_WILL] = "Will",
    [GROUP_TLS] = "TLS",
    [GROUP_GENERAL] = "General",
};

/* Terminal columns of UTF-8 text, as far as sentences here need it. */
static int columns(const char *text, size_t n)
{
    int count = 0;

    for (size_t i = 0; i < n; i++)
        count += ((unsigned char)text[i] & 0xC0) != 0x80;
    return count;
}

/* "  -q, --qos QOS"; returns how many columns that took. */
static int print_names(const struct client_row *row)
{
    const char *comma = row->alias ? ", " : "", *alias = row->alias ? row->alias : "";
    const char *indent = row->name[1] == '-' ? "      " : "  ";

    return printf("%s%s%s%s%s%s", indent, row->name, comma, alias, row->value ? " " : "",
                  row->value ? row->value : "");
}

static void go_to(int from, int to)
{
    printf("%*s", to - from, "");
}

/* Words until the line is full, then from COLUMN on the next one. */
static void print_sentence(const char *text, int at)
{
    while (*text) {
        size_t word = strcspn(text, " ");

        if (at > COLUMN && at + 1 + columns(text, word) > WIDTH) {
            putchar('\n');
            go_to(0, COLUMN);
            at = COLUMN;
        } else if (at > COLUMN) {
            putchar(' ');
            at++;
        }
        fwrite(text, 1, word, stdout);
        at += columns(text, word);
        text += word;
        text += strspn(text, " ");
    }
    putchar('\n');
}

static void print_row(const struct client_row *row)
{
    int at = print_names(row);

    if (at > COLUMN - 2) {
        putchar('\n');
        at = 0;
    }
    go_to(at, COLUMN);
    print_sentence(row->doc, COLUMN);
}

static void print_group(const struct client_program *program, enum client_group group)
{
    const struct client_row *row;
    bool begun = false;

    for (size_t i = 0; (row = client_row_at(program, i)); i++) {
        if (row->group != group)
            continue;
        if (!begun)
            printf("\n%s:\n", titles[group]);
        begun = true;
        print_row(row);
    }
}

/* A reader who has had enough is no failure. */
static bool is_printed(void)
{
    if ((fflush(stdout) == 0 && !ferror(stdout)) || errno == EPIPE)
        return true;
    fprintf(stderr, "Error: Writing to stdout: %s.\n", strerror(errno));
    return false;
}

bool client_help(const struct client_program *program)
{
    printf("%s\n\nUsage: %s\n", program->about, program->usage);
    for (int group = 0; group < GROUP_COUNT; group++) {
        if (titles[group])
            print_group(program, (enum client_group)group);
    }
    printf("\nOptions can also be in a file, one a line: ~/.config/%s\n"
           "The manual page says more: man %s\n",
           program->name, program->name);
    return is_printed();
}

bool client_version(const struct client_program *program)
{
    int major, minor, revision;

    mosquitto_lib_version(&major, &minor, &revision);
    printf("%s version %d.%d.%d running on libmosquitto %d.%d.%d.\n", program->name,
           LIBMOSQUITTO_MAJOR, LIBMOSQUITTO_MINOR, LIBMOSQUITTO_REVISION, major, minor, revision);
    return is_printed();
}
