/*
 * `mosquitto --acl-explain`: what a client may do by the configuration and its ACL files, without a
 * broker.
 */
#ifndef SERVER_EXPLAIN_H
#define SERVER_EXPLAIN_H

#include "conf/conf.h"

/* As on the command line. */
struct explain_question {
    const char *user; /* "" or "-": none */
    const char *client;
    const char *action; /* read, write or subscribe */
    const char *topic;
};

/* What main() returns then. */
enum explain_exit {
    EXPLAIN_GRANTED = 0, /* by all listeners */
    EXPLAIN_DENIED = 1,  /* by one at least */
    EXPLAIN_FAULT = 3    /* of the question, the configuration or an ACL file */
};

/*
 * Print what each listener answers on standard output, as one line if all say the same; what is
 * wrong with the question or the files, on standard error.
 */
enum explain_exit explain_run(const struct conf_args *args,
                              const struct explain_question *question);

#endif
