/*
 * From what a program was told to a struct mosquitto that knows how to connect, and the words of
 * its errors.
 */
#ifndef CLIENTS_SETUP_H
#define CLIENTS_SETUP_H

#include "clients/settings.h"
#include "mosquitto.h"

#include <stdint.h>

/* Exit codes of our own; others are those of CONNACK or of enum mosq_err_t. */
enum client_exit { EXIT_BAD = 1, EXIT_GONE = 7, EXIT_TIMED_OUT = 27 };

/*
 * A client with everything set that the settings ask for, and a log callback that prints the lines
 * of -d on stdout. The library is initialised here. NULL: it was said on stderr why; exit 1.
 */
struct mosquitto *client_setup(const struct client_settings *s, void *userdata);
void client_end(struct mosquitto *mosq); /* destroys it, and the library; NULL is allowed */

/*
 * Connect, and wait until the way to the broker is open and CONNECT is sent; as often as --retry
 * allows. What failed is said on stderr: "Error: Connection refused". Returns 0 or the code to exit
 * with; when the time of -W is over, it ends the program. It uses SIGALRM meanwhile.
 */
int client_reach(struct mosquitto *mosq, const struct client_settings *s);

/* On stderr, unless --quiet; a line of its own, newline included. */
void client_complain(const struct client_settings *s, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* What the library said last that has gone wrong, if it did, and -d has not printed it already. */
void client_complain_why(const struct client_settings *s);
/* That the broker cannot be reached: a value of enum mosq_err_t, and errno if that says so. */
void client_complain_connect(const struct client_settings *s, int rc, int error);
/* What the broker said to CONNECT: "Connection error: Connection Refused: not authorised." */
void client_complain_connack(const struct client_settings *s, int code);

/* Milliseconds of a clock that does not jump. */
int64_t client_now_ms(void);

/* Trying to get a connection: how long to wait between attempts, and when to stop. */
struct client_retry {
    int64_t until_ms; /* INT64_MAX: for ever; 0: nothing is lost */
    int64_t next_ms;  /* the next attempt */
    int delay_ms;
};

/* The connection is lost since now; try for no more than `for_s` seconds, CLIENT_UNSET: for ever.
 * No effect if it was lost already. */
void client_retry_begin(struct client_retry *r, int for_s);
/* An attempt begins, or has failed: wait longer before the next. */
void client_retry_again(struct client_retry *r);
void client_retry_over(struct client_retry *r); /* the connection is back */
/* Milliseconds to wait until the next attempt, 0 = now; -1: the time is over. */
int client_retry_wait_ms(const struct client_retry *r);

#endif
