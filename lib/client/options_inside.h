/*
 * What the files of the options share: strings that are replaced all or none, and TLS.
 *
 * Everything here is called with the client's lock held.
 */
#ifndef CLIENT_OPTIONS_INSIDE_H
#define CLIENT_OPTIONS_INSIDE_H

#include "client/client.h"

/* A field and the string that is to be in it; NULL clears. */
struct option_string {
    char **field;
    const char *value;
};

/* Replace n strings, zeroing the old ones. ERR_NOMEM: nothing has changed. */
MUST_CHECK enum err option_strings(const struct option_string *s, size_t n);
/* Zero and free a string; NULL is allowed. */
void option_wipe(char **field);

/* The options of TLS; a public error. */
int option_tls_flag(struct mosquitto *m, bool *flag, int value);
int option_tls_alpn(struct mosquitto *m, const char *value);
/* Use this SSL_CTX, of which a reference is taken. */
int option_tls_ctx(struct mosquitto *m, void *ssl_ctx);

#endif
