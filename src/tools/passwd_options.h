/*
 * The command line of mosquitto_passwd.
 */
#ifndef TOOLS_PASSWD_OPTIONS_H
#define TOOLS_PASSWD_OPTIONS_H

#include "auth/pwhash.h"

#include <stdbool.h>

enum passwd_action { PASSWD_SET, PASSWD_DELETE, PASSWD_HASH_ALL };

struct passwd_options {
    enum passwd_action action;
    bool create; /* begin with an empty file */
    bool print;  /* write to standard output instead of a file */
    enum pwhash_kind kind;
    uint32_t rounds; /* of PBKDF2 */
    const char *path;
    const char *user;
    char *password; /* NULL: to be asked for; the argument itself, so that it can be overwritten */
};

/*
 * False: the program ends with *code, and what there was to say has been said. What is wrong is one
 * line that says what would be right.
 */
bool passwd_options_parse(int argc, char **argv, struct passwd_options *o, int *code);

#endif
