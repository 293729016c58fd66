/*
 * Descriptors kept for when no other is free.
 *
 * Without a free descriptor a connection cannot even be refused, a configuration not be read, and
 * libwrap, which takes a file that it cannot open for one that is not there, would let everybody
 * in. Therefore some are held, to be lent for a moment.
 */
#ifndef SERVER_RESERVE_H
#define SERVER_RESERVE_H

#include <stdbool.h>

/* What a reload wants at most while it goes: a file, one that it includes, a new log, a new socket.
 */
#define RESERVE_COUNT 4

struct reserve {
    int fd[RESERVE_COUNT]; /* -1: none */
};

/* Holds nothing. */
void reserve_init(struct reserve *r);
/* Give all up; likewise the end. */
void reserve_lend(struct reserve *r);
/* Take as many as there are; those that are held stay. False: not all. */
bool reserve_keep(struct reserve *r);
/* The same for one of them, as accepting does it at any rate. False: it could not be taken again.
 */
void reserve_lend_one(struct reserve *r);
bool reserve_keep_one(struct reserve *r);

#endif
