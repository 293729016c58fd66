/*
 * Wrong usage is one line that says what would be right.
 */
#include "tools/db_dump_options.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

static void print_help(void)
{
    fputs(
        "Usage: mosquitto_db_dump [--json] [--payload none|text|hex] [--client ID] STORE\n"
        "       mosquitto_db_dump [--json] --stats STORE\n"
        "       mosquitto_db_dump --help\n"
        "Prints what a broker's store holds: sessions, subscriptions, queues, retained messages.\n"
        "Reads only: the broker may be running, and the store may be damaged.\n"
        "\n"
        "STORE is a journal, such as /var/lib/mosquitto/mosquitto.db.journal, or the directory\n"
        "that has exactly one.\n"
        "\n"
        "  -j, --json          one JSON object on each line\n"
        "  -s, --stats         sizes and counts only\n"
        "  -p, --payload FORM  none, text or hex, whole; if not given, the first 64 bytes as text\n"
        "  -c, --client ID     this client's session alone\n"
        "  -h, --help          this text\n"
        "\n"
        "Exit code: 0 all well; 1 damage was found, what is readable was printed; 2 wrong usage;\n"
        "3 there is no store, or it cannot be read.\n",
        stdout);
}

static bool parse_payload(const char *text, enum dump_payload *payload)
{
    static const char *const words[] = {
        [DUMP_PAYLOAD_NONE] = "none", [DUMP_PAYLOAD_TEXT] = "text", [DUMP_PAYLOAD_HEX] = "hex"};

    for (int i = DUMP_PAYLOAD_NONE; i <= DUMP_PAYLOAD_HEX; i++) {
        if (strcmp(text, words[i]) == 0) {
            *payload = (enum dump_payload)i;
            return true;
        }
    }
    fprintf(stderr,
            "mosquitto_db_dump: --payload: \"%s\" is not possible; none, text or hex is wanted\n",
            text);
    return false;
}

static bool check(const struct dump_options *o)
{
    if (o->stats && (o->client || o->payload != DUMP_PAYLOAD_CUT)) {
        fprintf(stderr, "mosquitto_db_dump: --%s has no meaning with --stats\n",
                o->client ? "client" : "payload");
        return false;
    }
    return true;
}

static bool parse_path(int words, char **word, struct dump_options *o)
{
    if (words == 1 && word[0][0] != '\0') {
        o->path = word[0];
        return true;
    }
    if (words > 1)
        fprintf(stderr, "mosquitto_db_dump: \"%s\" is one word too many; one store is wanted\n",
                word[1]);
    else
        fputs("mosquitto_db_dump: which store? Its directory is wanted, such as "
              "/var/lib/mosquitto; see --help\n",
              stderr);
    return false;
}

/* One option. False: the program ends. */
static bool take(int option, char **argv, struct dump_options *o, enum dump_exit *code)
{
    switch (option) {
    case 'j':
        o->json = true;
        return true;
    case 's':
        o->stats = true;
        return true;
    case 'p':
        return parse_payload(optarg, &o->payload);
    case 'c':
        o->client = optarg;
        return true;
    case 'h':
        print_help();
        *code = DUMP_FINE;
        return false;
    default:
        fprintf(stderr,
                option == ':' ? "mosquitto_db_dump: %s needs a value\n"
                              : "mosquitto_db_dump: %s is no option; see --help\n",
                argv[optind - 1]);
        return false;
    }
}

bool dump_options_parse(int argc, char **argv, struct dump_options *o, enum dump_exit *code)
{
    static const struct option options[] = {
        {"json", no_argument, NULL, 'j'},          {"stats", no_argument, NULL, 's'},
        {"payload", required_argument, NULL, 'p'}, {"client", required_argument, NULL, 'c'},
        {"help", no_argument, NULL, 'h'},          {NULL, 0, NULL, 0}};
    int option;

    *o = (struct dump_options){0};
    *code = DUMP_USAGE;
    opterr = 0;
    while ((option = getopt_long(argc, argv, ":jsp:c:h", options, NULL)) != -1) {
        if (!take(option, argv, o, code))
            return false;
    }
    return check(o) && parse_path(argc - optind, argv + optind, o);
}
