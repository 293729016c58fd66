/*
 * stdout, without waiting for it.
 *
 * A reader that is slow must not keep a client from answering its broker. So what is to be printed
 * is gathered first and then written as far as it goes; the descriptor itself stays as it is, since
 * others may share it. What is not through yet is the user's to wait for, beside other things.
 */
#ifndef CLIENTS_STDOUT_H
#define CLIENTS_STDOUT_H

#include "clients/text.h"

#include <poll.h>

struct client_stdout {
    struct client_text text; /* what is to be written: add here */
    size_t piece;            /* what can be written at once without waiting; 0: any number */
    bool socket;
    bool breaks; /* a reader may go away */
};

/* From now on a reader who is gone is an error of writing and no signal. */
void client_stdout_init(struct client_stdout *o);
void client_stdout_clear(struct client_stdout *o);

/* Write as much as goes without waiting. 0, or why it is impossible: EPIPE, ENOSPC, … and ENOMEM
 * when the text could not be gathered. */
int client_stdout_write(struct client_stdout *o);

/* What to poll for: room if something waits, and whether the reader has gone. */
struct pollfd client_stdout_poll(const struct client_stdout *o);

#endif
