/*
 * Reads what a program is told: options files, then the command line, then all of it together.
 */
#ifndef CLIENTS_OPTIONS_H
#define CLIENTS_OPTIONS_H

#include "clients/settings.h"

enum client_verdict {
    CLIENT_GO,   /* go on */
    CLIENT_DONE, /* --help, --version: exit 0 */
    CLIENT_BAD   /* it was said on stderr: exit 1 */
};

/*
 * Fill the settings of a program, `s` being the first member of its zeroed struct: defaults, then
 * the options file of the user (or those of -o instead), then the command line; then everything is
 * checked together. Secrets in argv are overwritten. client_settings_clear() afterwards in any
 * case.
 */
enum client_verdict client_options_read(struct client_settings *s,
                                        const struct client_program *program, int argc,
                                        char **argv);

#endif
