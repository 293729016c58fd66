/*
 * mosquitto: the command line, then the server.
 */
#include "base/feature.h"
#include "conf/conf.h"
#include "server/explain.h"
#include "server/server.h"
#include "server/version.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { OPTION_VERSION = 256, OPTION_TEST, OPTION_TLS_KEYLOG, OPTION_ACL_EXPLAIN };

/* All that is on the command line. */
struct command {
    struct conf_args args;
    struct explain_question question; /* user == NULL: none */
    char hostname[256];               /* of this machine; empty: it has none */
};

static void print_usage(FILE *out)
{
    fputs("mosquitto version " MOSQUITTO_VERSION " is an MQTT v3.1.1/v3.1 broker.\n"
          "\n"
          "Usage: mosquitto [-c FILE] [-d] [-p PORT]... [-q | -v]\n"
          "       mosquitto -c FILE --test-config\n"
          "       mosquitto -c FILE --acl-explain USER CLIENTID read|write|subscribe TOPIC\n"
          "       mosquitto -h | --help | --version\n"
          "\n"
          " -c, --config-file FILE  read this configuration file; without one, serve clients of "
          "this\n"
          "                         machine on port 1883\n"
          " -d, --daemon            go into the background once clients can connect\n"
          " -p, --port PORT         listen on this port; may be given 10 times. Ignored when the\n"
          "                         configuration file has a listener\n"
          " -q, --quiet             log nothing, whatever -v and the configuration file say\n"
          " -v, --verbose           log everything, whatever the configuration file says\n"
          "     --tls-keylog FILE   append the secrets of TLS connections to this file, for "
          "Wireshark\n"
          "     --acl-explain USER CLIENTID ACTION TOPIC\n"
          "                         say whether this client may read, write or subscribe there,\n"
          "                         and which line decides it; '-' is no user name\n"
          "     --test-config       say what is wrong or unwise in the file, and do nothing else\n"
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

/* The option takes effect later, if at all; false, after saying so: it is wrong. */
static bool take(struct command *command, int option, char **argv)
{
    struct conf_args *args = &command->args;

    switch (option) {
    case 'c':
        args->file = optarg;
        return true;
    case 'd':
        args->daemon = true;
        return true;
    case 'p':
        return add_port(args, optarg);
    case 'q':
        args->quiet = true;
        return true;
    case 'v':
        args->verbose = true;
        return true;
    case OPTION_ACL_EXPLAIN:
        command->question.user = optarg;
        return true;
    case OPTION_TEST:
        args->test = true;
        return true;
    case OPTION_TLS_KEYLOG:
        args->tls_keylog = optarg;
        return true;
    case ':':
        fprintf(stderr, "Error: %s needs a value.\n\n", argv[optind - 1]);
        break;
    default:
        fprintf(stderr, "Error: Unknown option '%s'.\n\n", argv[optind - 1]);
        break;
    }
    print_usage(stderr);
    return false;
}

/* The words behind --acl-explain USER. */
static bool take_question(struct command *command, int argc, char **argv)
{
    if (argc - optind != 3) {
        fprintf(stderr,
                "Error: --acl-explain needs four words: a user name ('-' for none), a client id, "
                "read, write or subscribe, and a topic.\n");
        return false;
    }
    if (!command->args.file || command->args.test) {
        fputs(command->args.test ? "Error: --acl-explain and --test-config: expected one of them.\n"
                                 : "Error: --acl-explain needs a configuration: add -c FILE.\n",
              stderr);
        return false;
    }
    command->question.client = argv[optind];
    command->question.action = argv[optind + 1];
    command->question.topic = argv[optind + 2];
    return true;
}

/* What was given besides options, or not given. */
static bool is_complete(struct command *command, int argc, char **argv)
{
    if (command->question.user)
        return take_question(command, argc, argv);
    if (optind < argc) {
        fprintf(stderr, "Error: Unknown argument '%s'.\n\n", argv[optind]);
        print_usage(stderr);
        return false;
    }
    if (command->args.tls_keylog && !feature_built(FEATURE_TLS)) {
        fputs("Error: --tls-keylog needs a build with WITH_TLS=yes.\n", stderr);
        return false;
    }
    if (command->args.test && !command->args.file) {
        fputs("Error: --test-config needs a file to test: add -c FILE.\n", stderr);
        return false;
    }
    return true;
}

/* What bridges are called by others, unless the file says it. */
static void find_hostname(struct command *command)
{
    if (gethostname(command->hostname, sizeof(command->hostname) - 1) == 0)
        command->args.hostname = command->hostname;
}

static int run(struct command *command)
{
    find_hostname(command);
    return command->question.user ? (int)explain_run(&command->args, &command->question)
                                  : (int)server_run(&command->args);
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"acl-explain", required_argument, NULL, OPTION_ACL_EXPLAIN},
        {"config-file", required_argument, NULL, 'c'},
        {"daemon", no_argument, NULL, 'd'},
        {"help", no_argument, NULL, 'h'},
        {"port", required_argument, NULL, 'p'},
        {"quiet", no_argument, NULL, 'q'},
        {"test-config", no_argument, NULL, OPTION_TEST},
        {"tls-keylog", required_argument, NULL, OPTION_TLS_KEYLOG},
        {"verbose", no_argument, NULL, 'v'},
        {"version", no_argument, NULL, OPTION_VERSION},
        {NULL, 0, NULL, 0}};
    struct command command = {0};
    int option;
    opterr = 0;
    while ((option = getopt_long(argc, argv, ":c:dhp:qv", options, NULL)) != -1) {
        if (option == 'h') {
            print_usage(stdout);
            return SERVER_EXIT_OK;
        }
        if (option == OPTION_VERSION) {
            puts("mosquitto version " MOSQUITTO_VERSION);
            return SERVER_EXIT_OK;
        }
        if (!take(&command, option, argv)) {
            return SERVER_EXIT_CONFIG;
        }
    }
    return is_complete(&command, argc, argv) ? run(&command) : SERVER_EXIT_CONFIG;
}
