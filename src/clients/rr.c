/*
 * mosquitto_rr: sends a request and prints the answer.
 */
#include "clients/options.h"
#include "clients/payload.h"
#include "clients/rr_options.h"
#include "clients/rr_run.h"
#include "clients/setup.h"

static int run(const struct rr_settings *s)
{
    struct client_payload request;
    int exit_code = EXIT_BAD;

    if (client_payload_load(&s->common, &request))
        exit_code = rr_run(s, &request);
    client_payload_free(&request);
    return exit_code;
}

int main(int argc, char **argv)
{
    struct rr_settings s = {0};
    enum client_verdict verdict = client_options_read(&s.common, &rr_program, argc, argv);
    int exit_code = verdict == CLIENT_GO ? run(&s) : verdict == CLIENT_DONE ? 0 : EXIT_BAD;

    client_settings_clear(&s.common);
    return exit_code;
}
