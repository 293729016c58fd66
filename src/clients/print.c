/*
 * Without -F an empty payload prints nothing at all, and with -v "(null)": so does Mosquitto.
 */
#include "clients/print.h"

#include "clients/format.h"
#include "clients/setup.h"

#include <time.h>

bool client_print_init(struct client_print *p, const struct client_settings *s)
{
    char why[CLIENT_FORMAT_WHY_MAX];
    *p = (struct client_print){.settings = s};
    if (!s->format)
        return true;
    p->format = client_format_new(s->format, s->pretty, why);
    return p->format || client_refuse(s, "%s.", why);
}

void client_print_clear(struct client_print *p)
{
    client_format_free(p->format);
    *p = (struct client_print){0};
}

bool client_print_check(const struct client_settings *s)
{
    struct client_print p;
    bool fine = client_print_init(&p, s);
    client_print_clear(&p);
    return fine;
}

static void print_formatted(const struct client_print *p, const struct mosquitto_message *m,
                            struct client_text *out)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (!client_format_print(p->format, m, &now, out))
        client_complain(p->settings, "Error: Message payload is not valid JSON on topic %s.\n",
                        m->topic);
}

static void print_plain(const struct client_print *p, const struct mosquitto_message *m,
                        struct client_text *out)
{
    if (p->settings->verbose) {
        client_text_add_string(out, m->topic);
        client_text_fill(out, ' ', 1);
    }
    if (m->payloadlen > 0)
        client_text_add(out, m->payload, (size_t)m->payloadlen);
    else if (p->settings->verbose)
        client_text_add_string(out, "(null)");
}

void client_print(const struct client_print *p, const struct mosquitto_message *m,
                  struct client_text *out)
{
    const struct client_settings *s = p->settings;
    if (p->format)
        print_formatted(p, m, out);
    else if (m->payloadlen > 0 || s->verbose)
        print_plain(p, m, out);
    else
        return;
    if (!s->no_newline)
        client_text_fill(out, '\n', 1);
}
