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
    char *username, *password;
    bool clean_session;
    uint8_t level; /* PROTOCOL_31 or PROTOCOL_311 */

    bool has_will;
    bool will_retain;
    enum qos will_qos;
    char *will_topic;
    void *will_payload;
    int will_len;

    int port; /* with host: since the first connect */
    char *host;
    char *bind_address;   /* given with connect */
    char *bind_address_o; /* MOSQ_OPT_BIND_ADDRESS, for when none is given */
    int keepalive_s;
    uint32_t window; /* messages in flight */
    unsigned reconnect_delay_s, reconnect_delay_max_s;
    bool reconnect_exponential;
    bool srv;
    bool nodelay;

    int proxy_port;
    char *proxy_host, *proxy_username, *proxy_password;

    char *cafile, *capath, *certfile, *keyfile;
    int (*key_password)(char *buf, int size, int rwflag, void *userdata);
    char *ciphers, *alpn, *psk_identity, *psk_key;
    void *ssl_ctx; /* the user's, one reference of ours */
    bool ssl_ctx_with_defaults;
    bool tls; /* one of tls_set, tls_psk_set, MOSQ_OPT_TLS_USE_OS_CERTS, an SSL_CTX */
    bool tls_unverified, tls_insecure, tls_os_certs, tls_ocsp;
    unsigned tls_version; /* this or newer: 11, 12, 13; 0 = 12 */
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

    uint32_t connection; /* counts connections and attempts: whoever has let go of the lock sees
                            whether it is still the same one */
    struct dial_way retired_way; /* let go while the loop polls for it, which closes it … */
    struct dial *retired_dial;   /* … or that */

    int wake;           /* an eventfd that ends the loop's poll */
    bool woken;         /* it holds something already */
    bool polling;       /* the loop is in poll() */
    int connect_wake;   /* one that ends mosquitto_connect(), while a thread is in it; or -1 */
    bool threaded;      /* loop_start, or threaded_set: requests leave writing to the loop */
    bool hears;         /* messages have come on this connection, or more after DISCONNECT */
    uint64_t linger_ms; /* DISCONNECT is through: until when the broker may close; 0: it is not */
    bool forever;       /* the loop is one that sees a connection to its end */
    bool looping;       /* a thread is in the loop: `looper` */
    bool noting;        /* a thread hands lines to the log callback: `noter` */
    pthread_t looper;
    pthread_t noter;
    bool stop;             /* loop_stop(force), destroy: the loop is to end */
    bool leaving;          /* loop_stop: the background thread is to end after a disconnect */
    bool stopping;         /* a thread waits for that */
    bool wants_disconnect; /* by mosquitto_disconnect: no reconnecting */
    int disconnect_asked; /* … called by a signal handler while its thread had the lock; atomic */
    unsigned attempts;    /* connections lost or failed in a row, for the delay */
    uint64_t retry_ms;    /* when the loop connects again */
    struct thread thread;
};

/* The clock that everything here goes by: milliseconds, without jumps. */
uint64_t client_now(void);
/* A log whose lines go into `notes`. */
struct log client_log(struct mosquitto *m);

/* Take the lock. */
void client_enter(struct mosquitto *m);
/* Give it back, and hand the lines in `notes` to the log callback. Keeps errno. */
void client_leave(struct mosquitto *m);
/* The same, for the end of a public function: with an error that errno belongs to. */
int client_leave_with(struct mosquitto *m, int rc, int error);
/* End the loop's poll, if somebody is in it. Locked. */
void client_wake(struct mosquitto *m);
/* After poll(): `seen` says that m->wake was readable. Locked. */
void client_forget_wake(struct mosquitto *m, bool seen);
/* For a signal handler whose thread has the lock: let the loop disconnect. */
void client_ask_disconnect(struct mosquitto *m);
/* Was that done? It is not, from now on. Locked. */
bool client_disconnect_asked(struct mosquitto *m);

/* Say that this thread runs the loop; false: one does already, maybe this one. Locked. */
MUST_CHECK bool client_loop_begin(struct mosquitto *m);
void client_loop_end(struct mosquitto *m);
/* Is this thread in the loop, that is, in a callback? Locked. */
bool client_is_inside(const struct mosquitto *m);
/* Is this thread in the log callback? Locked. */
bool client_is_noting(const struct mosquitto *m);

/* The public error of an internal one; ERR_SYSTEM is MOSQ_ERR_ERRNO. */
int client_error(enum err e);
/* Everything in options to what it is by default; and give it all back. */
void options_init(struct client_options *o);
void options_clear(struct client_options *o);
/* The id that the user gives. ERR_NOMEM. */
MUST_CHECK enum err options_set_id(struct mosquitto *m, const char *id);
/* An id of our own: "mosq-" and 18 letters and digits. ERR_NOMEM. */
MUST_CHECK enum err options_make_id(struct mosquitto *m);
/* A TLS context of the options; *why is a phrase on failure. */
MUST_CHECK enum err options_tls_ctx(const struct client_options *o, struct tls_ctx **out,
                                    char why[TLS_WHY_MAX]);

#endif
