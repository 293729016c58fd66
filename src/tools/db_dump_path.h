/*
 * Which directory is meant by what somebody writes for a store.
 */
#ifndef TOOLS_DB_DUMP_PATH_H
#define TOOLS_DB_DUMP_PATH_H

#include <limits.h>
#include <stdbool.h>

/* The journal's directory; false, after saying so: there is none. */
bool dump_path_find(const char *path, char journal[PATH_MAX]);

#endif
