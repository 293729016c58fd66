/*
 * Settings as data: rows of a program, what is owned, what is wrong.
 */
#include "clients/settings.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool client_wants_tls(const struct client_settings *s)
{
    return !s->no_tls && (s->tls || s->cafile || s->capath || s->use_os_certs || s->psk ||
                          (s->port == CLIENT_PORT_TLS && !s->unix_path));
}

bool client_row_has_value(const struct client_row *row)
{
    switch (row->type) {
    case ROW_FLAG:
    case ROW_HELP:
    case ROW_VERSION:
    case ROW_REFUSED:
        return false;
    default:
        return !(row->flags & ROW_BARE);
    }
}

bool client_refuse(const struct client_settings *s, const char *format, ...)
{
    va_list args;

    fputs("Error: ", stderr);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fprintf(stderr, "\n\nUse '%s --help' to see usage.\n", s->program->name);
    return false;
}

static bool no_memory(void)
{
    fputs("Error: Out of memory.\n", stderr);
    return false;
}

bool client_keep(char **field, const char *value)
{
    char *copy = strdup(value);

    if (!copy)
        return no_memory();
    free(*field);
    *field = copy;
    return true;
}

bool client_keep_also(struct client_list *list, const char *value)
{
    char **items = realloc(list->items, (size_t)(list->n + 1) * sizeof(*items));

    if (!items)
        return no_memory();
    list->items = items;
    list->items[list->n] = strdup(value);
    if (!list->items[list->n])
        return no_memory();
    list->n++;
    return true;
}

const struct client_row *client_row_at(const struct client_program *program, size_t i)
{
    for (int t = 0; program->tables[t]; t++) {
        const struct client_rows *rows = program->tables[t];

        for (size_t r = 0; r < rows->n; r++) {
            if ((rows->rows[r].programs & program->which) && i-- == 0)
                return &rows->rows[r];
        }
    }
    return NULL;
}

static void clear_text(char **field)
{
    if (*field)
        explicit_bzero(*field, strlen(*field));
    free(*field);
    *field = NULL;
}

static void clear_list(struct client_list *list)
{
    for (int i = 0; i < list->n; i++)
        free(list->items[i]);
    free(list->items);
    *list = (struct client_list){0};
}

void client_settings_clear(struct client_settings *s)
{
    const struct client_row *row;

    for (size_t i = 0; (row = client_row_at(s->program, i)); i++) {
        void *field = (char *)s + row->offset;

        if (row->type == ROW_TEXT)
            clear_text(field);
        else if (row->type == ROW_LIST)
            clear_list(field);
    }
    clear_text(&s->proxy_host);
    clear_text(&s->proxy_username);
    clear_text(&s->proxy_password);
    clear_text(&s->text);
    clear_text(&s->file);
}
