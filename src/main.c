/*
 * mosquitto: the command line, then the server.
 */
#include "conf/conf.h"
#include "server/server.h"
#include "server/version.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

static void print_usage(FILE *out)
{
    fputs("mosquitto version " MOSQUITTO_VERSION " is an MQTT v3.1.1/v3.1 broker.\n"
          "\n"
          "Usage: mosquitto [-c FILE] [-p PORT]... [-v]\n"
          "       mosquitto -h | --help | --version\n"
          "\n"
          " -c, --config-file FILE  read this configuration file; without one, serve clients of "
          "this\n"
          "                         machine on port 1883\n"
          " -p, --port PORT         listen on this port; may be given 10 times. Ignored when the\n"
          "                         configuration file has a listener\n"
          " -v, --verbose           log everything, whatever the configuration file says\n"
          " -h, --help              this text\n"
          "     --version           the version alone\n",
          out);
}

/* False, after saying so: it is no port, or one too many. */
static bool add_port(struct conf_args *args, const char *text)
{
    char *rest = NULL;
    unsigned long port = strtoul(text, &rest, 10);
    if (*text < '0' || *text > '9' || *rest || port == 0 || port > UINT16_MAX) {
        fprintf(stderr, "Error: '%s' is no port; -p wants a number from 1 to 65535.\n", text);
        return false;
    }
    if (args->port_count == CONF_CMD_PORTS_MAX) {
        fprintf(stderr, "Error: -p may be given %d times.\n", CONF_CMD_PORTS_MAX);
        return false;
    }
    args->ports[args->port_count++] = (uint16_t)port;
    return true;
}

/* The arguments ask for something that can be answered at once, or are wrong: leave with *code. */
static bool is_done(struct conf_args *args, int option, char **argv, int *code)
{
    *code = SERVER_EXIT_OK;
    switch (option) {
    case 'c':
        args->file = optarg;
        return false;
    case 'p':
        *code = SERVER_EXIT_CONFIG;
        return !add_port(args, optarg);
    case 'v':
        args->verbose = true;
        return false;
    case 'h':
        print_usage(stdout);
        return true;
    case 'V':
        puts("mosquitto version " MOSQUITTO_VERSION);
        return true;
    case ':':
        fprintf(stderr, "Error: %s needs a value.\n\n", argv[optind - 1]);
        break;
    default:
        fprintf(stderr, "Error: Unknown option '%s'.\n\n", argv[optind - 1]);
        break;
    }
    print_usage(stderr);
    *code = SERVER_EXIT_CONFIG;
    return true;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"config-file", required_argument, NULL, 'c'}, {"port", required_argument, NULL, 'p'},
        {"verbose", no_argument, NULL, 'v'},           {"help", no_argument, NULL, 'h'},
        {"version", no_argument, NULL, 'V'},           {NULL, 0, NULL, 0}};
    struct conf_args args = {0};
    int option;
    int code;
    opterr = 0;
    while ((option = getopt_long(argc, argv, ":c:p:vh", options, NULL)) != -1) {
        if (is_done(&args, option, argv, &code)) {
            return code;
        }
    }
    if (optind < argc) {
        fprintf(stderr, "Error: Unknown argument '%s'.\n\n", argv[optind]);
        print_usage(stderr);
        return SERVER_EXIT_CONFIG;
    }
    return (int)server_run(&args);
}
