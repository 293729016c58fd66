/*
 * What hosts.allow and hosts.deny say of a peer (libwrap, hosts_access(5)).
 *
 * The daemon is called "mosquitto". Rules are by address: names are never looked up, because that
 * would make everybody wait for a name server, and whoever has a name pattern in mind could not
 * rely on it. The files are looked at for every connection, so a change counts at once.
 *
 * On most machines the files are there and say nothing. Having libwrap find that out, with
 * descriptors lent to it, is 21 system calls and 15,000 instructions a connection; to see that
 * they are the same files as before is two calls.
 */
#ifndef SERVER_WRAP_H
#define SERVER_WRAP_H

#include "core/broker.h"

#include <stdbool.h>
#include <sys/types.h>
#include <time.h>

/* A file that had no rule in it when it was read last, or was not there. */
struct wrap_file {
    const char *path;
    bool bare; /* it was read, and then it was this one: */
    dev_t device;
    ino_t inode;
    off_t size;
    struct timespec changed;
};

struct wrap {
    struct wrap_file files[2];
};

/* Does this build ask at all? */
bool wrap_built(void);
void wrap_init(struct wrap *w);
/* Do the files say nothing, to anybody? When there is doubt the answer is no. */
bool wrap_is_silent(struct wrap *w);
/* May the peer at this IPv4 or IPv6 address come in? Needs a free descriptor: without one the
 * answer would be yes. */
bool wrap_admits(const struct peer *peer);

#endif
