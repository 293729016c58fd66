/*
 * Options come first, and what follows the first word that is none is taken as it is: a password
 * may begin with a dash.
 */
#include "tools/passwd_options.h"

#include "auth/pwline.h"
#include "server/version.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What stood there, before it is known to make sense. */
struct given {
    bool batch, create, remove, all;
    const char *hash;
    const char *rounds;
};

static void print_help(FILE *to)
{
    fputs("Usage: mosquitto_passwd [-H HASH] [-I ROUNDS] [-c] FILE USER\n"
          "       mosquitto_passwd [-H HASH] [-I ROUNDS] [-c] -b FILE USER PASSWORD\n"
          "       mosquitto_passwd -D FILE USER\n"
          "       mosquitto_passwd [-H HASH] [-I ROUNDS] -U FILE\n"
          "       mosquitto_passwd -h | --version\n"
          "Keeps the password file of a broker: adds a user, or gives one another password, which "
          "is\n"
          "asked for twice.\n"
          "\n"
          "  -b         the password is the last word; others may see it in the list of processes\n"
          "  -c         begin with an empty file; with FILE - print the line instead\n"
          "  -D         delete the user\n"
          "  -H HASH    sha512-pbkdf2 (if not given), argon2id, or sha512 for Mosquitto 1.6 and "
          "older\n"
          "  -I ROUNDS  of sha512-pbkdf2; 210000 if not given\n"
          "  -U         hash the passwords that are not hashed yet\n"
          "  -h, --help and --version\n"
          "\n"
          "Exit code: 0 done, 1 not done.\n",
          to);
}

static bool wrong(const char *what)
{
    fprintf(stderr, "Error: %s; see mosquitto_passwd --help.\n", what);
    return false;
}

static bool parse_hash(const char *text, enum pwhash_kind *kind)
{
    static const char *const names[] = {[PWHASH_SHA512] = "sha512",
                                        [PWHASH_PBKDF2] = "sha512-pbkdf2",
                                        [PWHASH_ARGON2ID] = "argon2id"};

    for (int i = PWHASH_SHA512; text && i <= PWHASH_ARGON2ID; i++) {
        if (strcmp(text, names[i]) == 0) {
            *kind = (enum pwhash_kind)i;
            return true;
        }
    }
    if (text)
        fprintf(stderr,
                "Error: Unknown hash type '%s'; sha512-pbkdf2, argon2id or sha512 is expected.\n",
                text);
    return !text;
}

static bool parse_rounds(const char *text, struct passwd_options *o)
{
    int64_t n;

    if (!text)
        return true;
    if (o->kind != PWHASH_PBKDF2)
        return wrong("-I counts the rounds of sha512-pbkdf2, and of no other hash");
    if (str_to_i64(str_c(text), &n) || n < 1 || n > PWHASH_ROUNDS_MAX) {
        fprintf(stderr, "Error: -I %s: a number of rounds from 1 to %d is expected.\n", text,
                PWHASH_ROUNDS_MAX);
        return false;
    }
    o->rounds = (uint32_t)n;
    return true;
}

static bool check_together(const struct given *g)
{
    if (g->create && g->remove)
        return wrong("-c and -D cannot be used together");
    if (g->batch && g->remove)
        return wrong("-b and -D cannot be used together");
    if (g->all && (g->batch || g->create || g->remove))
        return wrong("-U goes with none of -b, -c and -D");
    if (g->remove && (g->hash || g->rounds))
        return wrong("-H and -I have no meaning with -D");
    return true;
}

static bool check_user(const char *user)
{
    const char *why = pwline_user_wrong(str_c(user));
    char shown[128];

    if (why)
        fprintf(stderr, "Error: The user name '%s' %s.\n",
                str_escape(str_c(user), shown, sizeof(shown)), why);
    return !why;
}

static bool take_words(const struct given *g, int words, char **word, struct passwd_options *o)
{
    int wanted = g->all ? 1 : g->batch ? 3 : 2;

    if (words < wanted)
        return wrong(g->all     ? "-U needs FILE"
                     : g->batch ? "-b needs FILE, USER and PASSWORD"
                                : "FILE and USER are needed");
    if (words > wanted)
        return wrong(!g->batch && words == 3
                         ? "there is a word too many; a password on the command line needs -b"
                         : "there are words too many");
    o->path = word[0];
    o->user = g->all ? NULL : word[1];
    o->password = g->batch ? word[2] : NULL;
    o->action = g->all ? PASSWD_HASH_ALL : g->remove ? PASSWD_DELETE : PASSWD_SET;
    o->create = g->create;
    o->print = strcmp(o->path, "-") == 0;
    if (o->path[0] == '\0')
        return wrong("FILE is empty");
    if (o->print && !g->create)
        return wrong("FILE '-' is for -c");
    return !o->user || check_user(o->user);
}

/* One option. False: the program ends. */
static bool take(int option, char **argv, struct given *g, int *code)
{
    switch (option) {
    case 'b':
        return g->batch = true;
    case 'c':
        return g->create = true;
    case 'D':
        return g->remove = true;
    case 'U':
        return g->all = true;
    case 'H':
        g->hash = optarg;
        return true;
    case 'I':
        g->rounds = optarg;
        return true;
    case 'h':
        print_help(stdout);
        *code = EXIT_SUCCESS;
        return false;
    case 'v':
        puts("mosquitto_passwd version " MOSQUITTO_VERSION);
        *code = EXIT_SUCCESS;
        return false;
    default:
        fprintf(stderr,
                option == ':' ? "Error: %s needs a value; see mosquitto_passwd --help.\n"
                              : "Error: %s is no option; see mosquitto_passwd --help.\n",
                argv[optind - 1]);
        return false;
    }
}

bool passwd_options_parse(int argc, char **argv, struct passwd_options *o, int *code)
{
    static const struct option options[] = {
        {"help", no_argument, NULL, 'h'}, {"version", no_argument, NULL, 'v'}, {NULL, 0, NULL, 0}};
    struct given given = {0};
    int option;

    *o = (struct passwd_options){.kind = PWHASH_PBKDF2, .rounds = PWHASH_ROUNDS};
    *code = EXIT_FAILURE;
    if (argc < 2) {
        print_help(stderr);
        return false;
    }
    opterr = 0;
    while ((option = getopt_long(argc, argv, "+:bcDUH:I:h", options, NULL)) != -1) {
        if (!take(option, argv, &given, code))
            return false;
    }
    return check_together(&given) && parse_hash(given.hash, &o->kind) &&
           parse_rounds(given.rounds, o) && take_words(&given, argc - optind, argv + optind, o);
}
