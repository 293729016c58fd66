/*
 * The broker as a program: start, reload, stop.
 */
#ifndef SERVER_SERVER_H
#define SERVER_SERVER_H

#include "conf/conf.h"

/* What main() returns; Mosquitto's numbers. */
enum server_exit {
    SERVER_EXIT_OK = 0,
    SERVER_EXIT_START = 1, /* cannot listen, or the system does not give us what we need; a disk
                              that fails while we run */
    SERVER_EXIT_CONFIG = 3 /* wrong arguments or configuration */
};

/* Run until a signal says stop. */
enum server_exit server_run(const struct conf_args *args);

#endif
