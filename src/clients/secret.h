/*
 * Passwords that are not on the command line, where every user of the machine can read them.
 */
#ifndef CLIENTS_SECRET_H
#define CLIENTS_SECRET_H

#include "clients/settings.h"

/* --pw-file: the first line of a file. These are set() of their rows. */
bool client_secret_file(struct client_settings *s, const struct client_row *row, const char *value);
/* --pw-env: an environment variable. */
bool client_secret_env(struct client_settings *s, const struct client_row *row, const char *value);

/* Overwrite an argument in place, so that ps no longer shows it. */
void client_secret_wipe(char *text);

#endif
