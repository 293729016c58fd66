/*
 * mosquitto_rr: sends a request and prints the answer.
 */
#include "tools/client_options.h"
#include "tools/client_payload.h"
#include "tools/client_setup.h"
#include "tools/rr_options.h"
#include "tools/rr_run.h"

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
    int exit_code = 0;

    switch (client_options_read(&s.common, &rr_program, argc, argv)) {
    case CLIENT_GO:
        exit_code = run(&s);
        break;
    case CLIENT_BAD:
        exit_code = EXIT_BAD;
        break;
    case CLIENT_DONE:
        break;
    }
    client_settings_clear(&s.common);
    return exit_code;
}
