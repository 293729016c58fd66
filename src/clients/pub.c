/*
 * mosquitto_pub: publishes messages on one topic.
 */
#include "clients/options.h"
#include "clients/pub_options.h"
#include "clients/pub_run.h"
#include "clients/pub_source.h"
#include "clients/setup.h"

static int run(const struct pub_settings *s)
{
    struct pub_source *src = pub_source_new(s);
    int exit_code = src ? pub_run(s, src) : EXIT_BAD;

    pub_source_free(src);
    return exit_code;
}

int main(int argc, char **argv)
{
    struct pub_settings s = {0};
    enum client_verdict verdict = client_options_read(&s.common, &pub_program, argc, argv);
    int exit_code = verdict == CLIENT_GO ? run(&s) : verdict == CLIENT_DONE ? 0 : EXIT_BAD;

    client_settings_clear(&s.common);
    return exit_code;
}
