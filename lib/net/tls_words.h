/*
 * What OpenSSL has to say, in words for people.
 */
#ifndef NET_TLS_WORDS_H
#define NET_TLS_WORDS_H

#include <stdbool.h>
#include <stddef.h>

/* How a connection stood when it failed. */
struct tls_state {
    bool is_client;        /* we are: the server is who failed */
    long verify;           /* the verdict on the peer's certificate, an X509_V_… */
    bool has_psk;          /* who is the client was to prove a pre-shared key … */
    bool unknown_identity; /* … and the one that it named is not known */
    bool was_asked;        /* the server wants a certificate, and we have none */
    const char *verdict;   /* what we have found out about the server; NULL = nothing */
    const unsigned char *first;
    size_t first_n; /* the first bytes that the peer sent */
};

/* The oldest error in OpenSSL's queue, as a phrase that lives for ever; the queue is empty then. If
 * there is none: `otherwise`. */
const char *tls_words_take(const char *otherwise);
/* The same, as a reason why a connection failed: a phrase that lives for ever, or the verdict. */
const char *tls_words_connection(const struct tls_state *s);
/* What a server has said that does not speak TLS; NULL: there is nothing against it yet. */
const char *tls_words_server(const struct tls_state *s);
void tls_words_forget(void); /* empty the queue */

#endif
