/*
 * struct mosquitto: one lock, one engine, one way to the broker.
 *
 * Every public function takes the lock, does its work without waiting for anything, and gives the
 * lock back. Callbacks run with the lock released, in the thread that runs the loop; log lines that
 * a call has left in `notes` are handed over by client_leave(), by whichever thread it was. So
 * callbacks may call the library again, and no thread waits for another one's callback.
 */
#ifndef CLIENT_CLIENT_H
#define CLIENT_CLIENT_H

#include "base/buf.h"
#include "base/log.h"
#include "base/rng.h"
#include "client/dial.h"
#include "client/engine.h"
#include "client/thread.h"
#include "mosquitto.h"

#include <stdbool.h>
#include <stdint.h>

/* What the user has set; strings are owned, NULL = not set. */
struct client_options {
    char *id; /* never NULL after mosquitto_new: made up if none was given */
    bool clean_session;
    uint8_t level; /* PROTOCOL_31 or PROTOCOL_311 */

    char *username, *password;
    bool has_will;
    char *will_topic;
    void *will_payload;
    int will_len;
    enum qos will_qos;
    bool will_retain;

    char *host; /* since the first connect */
    int port;
    bool srv;
    char *bind_address;   /* given with connect */
    char *bind_address_o; /* MOSQ_OPT_BIND_ADDRESS, for when none is given */
    int keepalive_s;
    bool nodelay;
    uint32_t window; /* messages in flight */

    unsigned reconnect_delay_s, reconnect_delay_max_s;
    bool reconnect_exponential;

    char *proxy_host, *proxy_username, *proxy_password;
    int proxy_port;

    bool tls; /* one of tls_set, tls_psk_set, MOSQ_OPT_TLS_USE_OS_CERTS, an SSL_CTX */
    char *cafile, *capath, *certfile, *keyfile;
    int (*key_password)(char *buf, int size, int rwflag, void *userdata);
    char *ciphers, *alpn, *psk_identity, *psk_key;
    unsigned tls_version; /* exactly this: 11, 12, 13; 0 = 12 or newer */
    bool tls_unverified, tls_insecure, tls_os_certs, tls_ocsp;
    void *ssl_ctx; /* the user's, one reference of ours */
    bool ssl_ctx_with_defaults;
};

struct client_callbacks {
    void (*connect)(struct mosquitto *, void *, int);
    void (*connect_with_flags)(struct mosquitto *, void *, int, int);
    void (*connect_v5)(struct mosquitto *, void *, int, int, const mosquitto_property *);
    void (*disconnect)(struct mosquitto *, void *, int);
    void (*disconnect_v5)(struct mosquitto *, void *, int, const mosquitto_property *);
    void (*publish)(struct mosquitto *, void *, int);
    void (*publish_v5)(struct mosquitto *, void *, int, int, const mosquitto_property *);
    void (*message)(struct mosquitto *, void *, const struct mosquitto_message *);
    void (*message_v5)(struct mosquitto *, void *, const struct mosquitto_message *,
                       const mosquitto_property *);
    void (*subscribe)(struct mosquitto *, void *, int, int, const int *);
    void (*subscribe_v5)(struct mosquitto *, void *, int, int, const int *,
                         const mosquitto_property *);
    void (*unsubscribe)(struct mosquitto *, void *, int);
    void (*unsubscribe_v5)(struct mosquitto *, void *, int, const mosquitto_property *);
    void (*log)(struct mosquitto *, void *, int, const char *);
};

struct mosquitto {
    struct lock lock;
    struct client_options options;
    struct client_callbacks callbacks;
    void *userdata;
    struct log log;   /* its sink leaves lines in `notes`; masked off when nobody listens */
    struct buf notes; /* lines for the log callback: level byte, text, NUL */

    struct engine *engine;
    struct dial *dial;   /* on the way to the broker */
    struct dial_way way; /* there: .transport is not NULL */
    struct tls_ctx *tls; /* made at the first connect, and anew when options have changed */
    bool tls_stale;
    struct rng rng;

    int wake[2];           /* a pipe or eventfd that ends the loop's poll; -1: none */
    bool woken;            /* it holds a byte already */
    bool threaded;         /* loop_start, or threaded_set: requests leave writing to the loop */
    bool looping;          /* a thread is in the loop … */
    pthread_t looper;      /* … this one */
    bool stop;             /* loop_stop(force), destroy: the loop is to end */
    bool wants_disconnect; /* by mosquitto_disconnect: no reconnecting */
    unsigned attempts;     /* connections lost or failed in a row, for the delay */
    struct thread thread;
};

/* Take the lock. */
void client_enter(struct mosquitto *m);
/* Give it back, and hand the lines in `notes` to the log callback. */
void client_leave(struct mosquitto *m);
/* End the loop's poll, if somebody is in it. Locked. */
void client_wake(struct mosquitto *m);

/* The public error of an internal one; ERR_SYSTEM is MOSQ_ERR_ERRNO. */
int client_error(enum err e);
/* Copy a string into an owned field, freeing what is there; NULL clears. ERR_NOMEM changes
 * nothing. */
MUST_CHECK enum err client_set_string(char **field, const char *value);

/* Everything in options to what it is by default; and give it all back. */
void options_init(struct client_options *o);
void options_clear(struct client_options *o);
/* An id of our own: "mosq-" and 18 letters and digits. ERR_NOMEM. */
MUST_CHECK enum err options_make_id(struct mosquitto *m);
/* A TLS context of the options; *why is a phrase on failure. */
MUST_CHECK enum err options_tls_ctx(const struct client_options *o, struct tls_ctx **out,
                                    char why[TLS_WHY_MAX]);

#endif
