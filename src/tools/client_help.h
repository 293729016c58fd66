/*
 * What --help and --version print, from the rows of a program.
 */
#ifndef TOOLS_CLIENT_HELP_H
#define TOOLS_CLIENT_HELP_H

#include "tools/client_settings.h"

/* On stdout, at most 80 columns wide. false: it cannot be written, which was said. */
bool client_help(const struct client_program *program);
bool client_version(const struct client_program *program);

#endif
