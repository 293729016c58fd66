/*
 * What --help and --version print, from the rows of a program.
 */
#ifndef CLIENTS_HELP_H
#define CLIENTS_HELP_H

#include "clients/settings.h"

/* On stdout, at most 80 columns wide. false: it cannot be written, which was said. */
bool client_help(const struct client_program *program);
bool client_version(const struct client_program *program);

#endif
