/*
 * mosquitto_sub: subscribes, and prints what comes.
 */
#include "clients/sub.h"

#include "clients/options.h"

#include <locale.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static int run(struct sub *sub)
{
    if (!client_print_init(&sub->print, &sub->settings.common))
        return EXIT_BAD;
    sub->mosq = client_setup(&sub->settings.common, sub);
    if (!sub->mosq)
        return EXIT_BAD;
    sub_events_init(sub);
    return sub_run(sub);
}

int main(int argc, char **argv)
{
    static struct sub sub = {.settings.random_percent = SUB_EVERYTHING, .leave_by_ms = INT64_MAX};
    setlocale(LC_CTYPE, "");
    tzset();
    srand48(time(NULL) ^ getpid());
    client_stdout_init(&sub.out);
    enum client_verdict verdict =
        client_options_read(&sub.settings.common, &sub_program, argc, argv);
    int code = verdict == CLIENT_GO ? run(&sub) : verdict == CLIENT_DONE ? 0 : EXIT_BAD;
    client_end(sub.mosq);
    sub_watch_clear(&sub.watch);
    client_print_clear(&sub.print);
    client_stdout_clear(&sub.out);
    client_settings_clear(&sub.settings.common);
    return code;
}
