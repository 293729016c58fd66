/*
 * The client library for MQTT 3.1.1 and 3.1: libmosquitto.
 *
 * The interface is that of Eclipse Mosquitto's library 2.0, so that programs written or compiled
 * for it go on working. libmosquitto(3) tells the whole story; here each function says what it
 * does.
 *
 * What holds for all of them:
 *
 * - Errors. Functions that return int return MOSQ_ERR_SUCCESS (0) or another value of enum
 *   mosq_err_t, which mosquitto_strerror() puts into words. MOSQ_ERR_ERRNO means: look at errno.
 *   Every function that takes a client returns MOSQ_ERR_INVAL (or NULL, false, -1, nothing) for a
 *   NULL client, and MOSQ_ERR_NOMEM when there is no memory; a call that has failed has changed
 *   nothing.
 * - Ownership. What is passed in is copied, and stays the caller's. What is passed to a callback
 *   belongs to the library and is valid until the callback returns.
 * - Threads. Unless a comment says otherwise, every function may be called by any thread at any
 *   time, and from callbacks. Callbacks run in the thread that runs the loop, one at a time for
 *   each client, and no lock is held while they do.
 * - MQTT 5. Functions with _v5 in their names work on connections of MQTT 3.1.1 and 3.1: property
 *   lists are checked and then not sent, property lists in callbacks are NULL. Asking for MQTT 5
 *   itself is answered with MOSQ_ERR_NOT_SUPPORTED.
 */
#ifndef MOSQUITTO_H
#define MOSQUITTO_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#else
#include <stdbool.h>
#endif

/* What the library exports is visible, all else in it is not. */
#if defined(__GNUC__)
#define libmosq_EXPORT __attribute__((visibility("default")))
#else
#define libmosq_EXPORT
#endif

/* The release of Mosquitto's library whose interface this is. */
#define LIBMOSQUITTO_MAJOR 2
#define LIBMOSQUITTO_MINOR 0
#define LIBMOSQUITTO_REVISION 0
/* One number that grows with releases: 2000000 is 2.0.0. */
#define LIBMOSQUITTO_VERSION_NUMBER                                                                \
    (LIBMOSQUITTO_MAJOR * 1000000 + LIBMOSQUITTO_MINOR * 1000 + LIBMOSQUITTO_REVISION)

/* Levels of log lines, as bits: see mosquitto_log_callback_set(). */
#define MOSQ_LOG_NONE 0
#define MOSQ_LOG_INFO (1 << 0)
#define MOSQ_LOG_NOTICE (1 << 1)
#define MOSQ_LOG_WARNING (1 << 2)
#define MOSQ_LOG_ERR (1 << 3)
#define MOSQ_LOG_DEBUG (1 << 4)
#define MOSQ_LOG_SUBSCRIBE (1 << 5)
#define MOSQ_LOG_UNSUBSCRIBE (1 << 6)
#define MOSQ_LOG_WEBSOCKETS (1 << 7)
#define MOSQ_LOG_INTERNAL 0x80000000U
#define MOSQ_LOG_ALL 0xFFFFFFFFU

/* What functions return. Some values are only for brokers and their plugins, or for MQTT 5. */
enum mosq_err_t {
    MOSQ_ERR_AUTH_CONTINUE = -4,
    MOSQ_ERR_NO_SUBSCRIBERS = -3,
    MOSQ_ERR_SUB_EXISTS = -2,
    MOSQ_ERR_CONN_PENDING = -1,
    MOSQ_ERR_SUCCESS = 0,
    MOSQ_ERR_NOMEM = 1,
    MOSQ_ERR_PROTOCOL = 2, /* the broker does not follow the protocol */
    MOSQ_ERR_INVAL = 3,    /* an argument that cannot be */
    MOSQ_ERR_NO_CONN = 4,  /* there is no connection to a broker */
    MOSQ_ERR_CONN_REFUSED = 5,
    MOSQ_ERR_NOT_FOUND = 6,
    MOSQ_ERR_CONN_LOST = 7,
    MOSQ_ERR_TLS = 8,
    MOSQ_ERR_PAYLOAD_SIZE = 9,
    MOSQ_ERR_NOT_SUPPORTED = 10, /* not in this library, or not in this build of it */
    MOSQ_ERR_AUTH = 11,
    MOSQ_ERR_ACL_DENIED = 12,
    MOSQ_ERR_UNKNOWN = 13,
    MOSQ_ERR_ERRNO = 14, /* a system call has failed: errno */
    MOSQ_ERR_EAI = 15,   /* a name could not be looked up */
    MOSQ_ERR_PROXY = 16,
    MOSQ_ERR_PLUGIN_DEFER = 17,
    MOSQ_ERR_MALFORMED_UTF8 = 18,
    MOSQ_ERR_KEEPALIVE = 19, /* the broker was silent for too long */
    MOSQ_ERR_LOOKUP = 20,
    MOSQ_ERR_MALFORMED_PACKET = 21,
    MOSQ_ERR_DUPLICATE_PROPERTY = 22,
    MOSQ_ERR_TLS_HANDSHAKE = 23,
    MOSQ_ERR_QOS_NOT_SUPPORTED = 24,
    MOSQ_ERR_OVERSIZE_PACKET = 25,
    MOSQ_ERR_OCSP = 26,
    MOSQ_ERR_TIMEOUT = 27,
    MOSQ_ERR_RETAIN_NOT_SUPPORTED = 28,
    MOSQ_ERR_TOPIC_ALIAS_INVALID = 29,
    MOSQ_ERR_ADMINISTRATIVE_ACTION = 30,
    MOSQ_ERR_ALREADY_EXISTS = 31
};

/* What mosquitto_int_option(), _string_option() and _void_option() can set. */
enum mosq_opt_t {
    MOSQ_OPT_PROTOCOL_VERSION = 1,
    MOSQ_OPT_SSL_CTX = 2,
    MOSQ_OPT_SSL_CTX_WITH_DEFAULTS = 3,
    MOSQ_OPT_RECEIVE_MAXIMUM = 4,
    MOSQ_OPT_SEND_MAXIMUM = 5,
    MOSQ_OPT_TLS_KEYFORM = 6,
    MOSQ_OPT_TLS_ENGINE = 7,
    MOSQ_OPT_TLS_ENGINE_KPASS_SHA1 = 8,
    MOSQ_OPT_TLS_OCSP_REQUIRED = 9,
    MOSQ_OPT_TLS_ALPN = 10,
    MOSQ_OPT_TCP_NODELAY = 11,
    MOSQ_OPT_BIND_ADDRESS = 12,
    MOSQ_OPT_TLS_USE_OS_CERTS = 13
};

/* What MQTT 3.1 allows for the length of a client id; 3.1.1 and this library have no such limit. */
#define MOSQ_MQTT_ID_MAX_LENGTH 23

#define MQTT_PROTOCOL_V31 3
#define MQTT_PROTOCOL_V311 4
#define MQTT_PROTOCOL_V5 5

/* A message, as callbacks get it. `payload` is NULL when `payloadlen` is 0. */
struct mosquitto_message {
    int mid;
    char *topic;
    void *payload;
    int payloadlen;
    int qos;
    bool retain;
};

/* A client. */
struct mosquitto;
/* A property of MQTT 5 and those behind it in a list; NULL is the empty list. */
typedef struct mqtt5__property mosquitto_property;

/* ---- The library ------------------------------------------------------------------------- */

/*
 * The release whose interface this is, as LIBMOSQUITTO_MAJOR, _MINOR and _REVISION were when the
 * library was built. Each pointer may be NULL. Returns LIBMOSQUITTO_VERSION_NUMBER.
 */
libmosq_EXPORT int mosquitto_lib_version(int *major, int *minor, int *revision);

/*
 * Call it before all else. This library keeps nothing outside its clients, and so it does nothing;
 * other releases do. Returns MOSQ_ERR_SUCCESS.
 */
libmosq_EXPORT int mosquitto_lib_init(void);

/*
 * The counterpart of mosquitto_lib_init(), when every client is destroyed. Returns
 * MOSQ_ERR_SUCCESS.
 */
libmosq_EXPORT int mosquitto_lib_cleanup(void);

/* ---- Clients ----------------------------------------------------------------------------- */

/*
 * Make a client. `id` is what the broker knows it by; NULL: one is made up, which takes
 * clean_session. With `clean_session` the broker forgets subscriptions and waiting messages when
 * the client goes; without, they stay for the next connection with the same id. `obj` is handed to
 * every callback.
 *
 * The caller owns the client: mosquitto_destroy(). NULL with errno ENOMEM, or EINVAL for an id that
 * is not UTF-8 or is missing without clean_session.
 */
libmosq_EXPORT struct mosquitto *mosquitto_new(const char *id, bool clean_session, void *obj);

/*
 * Free a client and whatever belongs to it; NULL is allowed. A connection is closed without
 * DISCONNECT, so that the broker publishes the will; a thread of mosquitto_loop_start() is ended
 * and waited for. No other thread may use the client any more. Not from a callback of the client.
 */
libmosq_EXPORT void mosquitto_destroy(struct mosquitto *mosq);

/*
 * Make a client as new, as if it had been destroyed and made by mosquitto_new() with these
 * arguments: options, callbacks and messages are gone, its address stays. What holds for
 * mosquitto_destroy() about threads holds here. MOSQ_ERR_INVAL for arguments that mosquitto_new()
 * would refuse.
 */
libmosq_EXPORT int mosquitto_reinitialise(struct mosquitto *mosq, const char *id,
                                          bool clean_session, void *obj);

/* ---- Will and login: for the next connection ----------------------------------------------- */

/*
 * Leave a message with the broker, which publishes it if the connection ends without DISCONNECT.
 * `payload` may be NULL if `payloadlen` is 0. Replaces an earlier will.
 *
 * MOSQ_ERR_INVAL: the topic is empty or has wildcards, or qos is none. MOSQ_ERR_MALFORMED_UTF8: the
 * topic is no UTF-8. MOSQ_ERR_PAYLOAD_SIZE: payloadlen is negative or above 65,535, the longest
 * will that MQTT can carry.
 */
libmosq_EXPORT int mosquitto_will_set(struct mosquitto *mosq, const char *topic, int payloadlen,
                                      const void *payload, int qos, bool retain);

/*
 * As mosquitto_will_set(). `properties` are checked for what a will may have
 * (mosquitto_property_check_all) and not sent. Unlike elsewhere the list belongs to the library
 * when this has succeeded, and to the caller still when it has failed.
 */
libmosq_EXPORT int mosquitto_will_set_v5(struct mosquitto *mosq, const char *topic, int payloadlen,
                                         const void *payload, int qos, bool retain,
                                         mosquitto_property *properties);

/* Leave no will. */
libmosq_EXPORT int mosquitto_will_clear(struct mosquitto *mosq);

/*
 * The name and password to log in with; NULL: none. Both are zeroed in memory when they are
 * replaced. MOSQ_ERR_INVAL: a password without a name, or one is longer than 65,535 bytes;
 * MOSQ_ERR_MALFORMED_UTF8: the name is no UTF-8.
 */
libmosq_EXPORT int mosquitto_username_pw_set(struct mosquitto *mosq, const char *username,
                                             const char *password);

/* ---- Connecting ---------------------------------------------------------------------------- */

/*
 * Connect to a broker: look up the name, open the connection, send CONNECT. Waits for all of that,
 * but not for the broker's answer: the connect callback has it, from the loop. `host` is a name, an
 * address, or with port 0 the path of a Unix socket. `keepalive` is in seconds, 5 to 65,535, or 0
 * for none: if nothing else is sent for so long, PINGREQ is.
 *
 * MOSQ_ERR_INVAL: arguments. MOSQ_ERR_EAI: the name has no address. MOSQ_ERR_ERRNO: nobody can be
 * reached, errno says why. MOSQ_ERR_TLS: certificates or keys; the log callback has the words.
 * MOSQ_ERR_PROXY, MOSQ_ERR_CONN_REFUSED and others as of SOCKS5: see mosquitto_socks5_set().
 */
libmosq_EXPORT int mosquitto_connect(struct mosquitto *mosq, const char *host, int port,
                                     int keepalive);

/*
 * As mosquitto_connect(), from a local address or interface name; NULL: whichever the system
 * chooses, or MOSQ_OPT_BIND_ADDRESS.
 */
libmosq_EXPORT int mosquitto_connect_bind(struct mosquitto *mosq, const char *host, int port,
                                          int keepalive, const char *bind_address);

/*
 * As mosquitto_connect_bind(). `properties` are checked for CONNECT and not sent; the list stays
 * the caller's. MOSQ_ERR_PROTOCOL, MOSQ_ERR_DUPLICATE_PROPERTY: see
 * mosquitto_property_check_all().
 */
libmosq_EXPORT int mosquitto_connect_bind_v5(struct mosquitto *mosq, const char *host, int port,
                                             int keepalive, const char *bind_address,
                                             const mosquitto_property *properties);

/*
 * As mosquitto_connect(), but waits for nothing, not even for name servers: the loop goes on with
 * it. What comes of it is told by the callbacks or by the functions that run the loop.
 */
libmosq_EXPORT int mosquitto_connect_async(struct mosquitto *mosq, const char *host, int port,
                                           int keepalive);

/* As mosquitto_connect_async(), from a local address: see mosquitto_connect_bind(). */
libmosq_EXPORT int mosquitto_connect_bind_async(struct mosquitto *mosq, const char *host, int port,
                                                int keepalive, const char *bind_address);

/*
 * Connect to a broker that SRV records of the domain `host` name (_mqtt._tcp, _secure-mqtt._tcp
 * with TLS), in their order; otherwise as mosquitto_connect_bind_async(). MOSQ_ERR_NOT_SUPPORTED
 * without WITH_SRV.
 */
libmosq_EXPORT int mosquitto_connect_srv(struct mosquitto *mosq, const char *host, int keepalive,
                                         const char *bind_address);

/*
 * Connect again as before; a connection that there still is gets closed. Messages of QoS 1 and 2
 * that are not acknowledged are sent again; subscriptions are still there if the session was kept.
 * MOSQ_ERR_INVAL if the client was never connected; otherwise as mosquitto_connect().
 */
libmosq_EXPORT int mosquitto_reconnect(struct mosquitto *mosq);

/* As mosquitto_reconnect(), but waits for nothing: see mosquitto_connect_async(). */
libmosq_EXPORT int mosquitto_reconnect_async(struct mosquitto *mosq);

/*
 * Say good-bye: DISCONNECT goes behind everything that was to be sent, then the connection is
 * closed and the disconnect callback gets 0, also after ten seconds in which the broker has taken
 * nothing of it. The broker forgets the will. The loop does not reconnect any more, and
 * mosquitto_loop_forever() returns. A signal handler may call this. MOSQ_ERR_NO_CONN: there is no
 * connection; automatic reconnecting ends all the same.
 */
libmosq_EXPORT int mosquitto_disconnect(struct mosquitto *mosq);

/*
 * As mosquitto_disconnect(). The reason code and the properties, checked for DISCONNECT, are not
 * sent; the list stays the caller's.
 */
libmosq_EXPORT int mosquitto_disconnect_v5(struct mosquitto *mosq, int reason_code,
                                           const mosquitto_property *properties);

/* ---- Publishing and subscribing ------------------------------------------------------------ */

/*
 * Publish a message. `*mid`, if mid is not NULL, is the number by which the publish callback will
 * tell of it: at QoS 0 when it is written, at QoS 1 and 2 when the broker has acknowledged it. It
 * is stored before any callback can run with it. `payload` may be NULL if `payloadlen` is 0.
 *
 * Without a connection messages of QoS 1 and 2 are queued in memory for the next one, and QoS 0 is
 * MOSQ_ERR_NO_CONN. MOSQ_ERR_INVAL: the topic is empty or has wildcards, or qos is none.
 * MOSQ_ERR_MALFORMED_UTF8: the topic is no UTF-8. MOSQ_ERR_PAYLOAD_SIZE: payloadlen is negative or
 * above 268,435,455. MOSQ_ERR_OVERSIZE_PACKET: with its topic it does not fit into a packet.
 */
libmosq_EXPORT int mosquitto_publish(struct mosquitto *mosq, int *mid, const char *topic,
                                     int payloadlen, const void *payload, int qos, bool retain);

/*
 * As mosquitto_publish(). `properties` are checked for PUBLISH and not sent; the list stays the
 * caller's.
 */
libmosq_EXPORT int mosquitto_publish_v5(struct mosquitto *mosq, int *mid, const char *topic,
                                        int payloadlen, const void *payload, int qos, bool retain,
                                        const mosquitto_property *properties);

/*
 * Subscribe to a filter, such as "a/+/b" or "a/#". `*mid`, if mid is not NULL, is the number by
 * which the subscribe callback will tell the broker's answer. `qos` is the highest that messages
 * are to come with.
 *
 * MOSQ_ERR_NO_CONN: nothing is queued. MOSQ_ERR_INVAL: no such filter or qos can be.
 * MOSQ_ERR_MALFORMED_UTF8: the filter is no UTF-8. MOSQ_ERR_OVERSIZE_PACKET.
 */
libmosq_EXPORT int mosquitto_subscribe(struct mosquitto *mosq, int *mid, const char *sub, int qos);

/*
 * As mosquitto_subscribe(). `options` (enum mqtt5_sub_options) and `properties`, checked for
 * SUBSCRIBE, are not sent; the list stays the caller's.
 */
libmosq_EXPORT int mosquitto_subscribe_v5(struct mosquitto *mosq, int *mid, const char *sub,
                                          int qos, int options,
                                          const mosquitto_property *properties);

/* As mosquitto_subscribe_v5(), with `sub_count` filters in one request. */
libmosq_EXPORT int mosquitto_subscribe_multiple(struct mosquitto *mosq, int *mid, int sub_count,
                                                char *const *const sub, int qos, int options,
                                                const mosquitto_property *properties);

/* End a subscription; the unsubscribe callback tells when. Errors as of mosquitto_subscribe(). */
libmosq_EXPORT int mosquitto_unsubscribe(struct mosquitto *mosq, int *mid, const char *sub);

/*
 * As mosquitto_unsubscribe(). `properties` are checked for UNSUBSCRIBE and not sent; the list stays
 * the caller's.
 */
libmosq_EXPORT int mosquitto_unsubscribe_v5(struct mosquitto *mosq, int *mid, const char *sub,
                                            const mosquitto_property *properties);

/* As mosquitto_unsubscribe_v5(), with `sub_count` filters in one request. */
libmosq_EXPORT int mosquitto_unsubscribe_multiple(struct mosquitto *mosq, int *mid, int sub_count,
                                                  char *const *const sub,
                                                  const mosquitto_property *properties);

/* ---- Messages ------------------------------------------------------------------------------ */

/*
 * Copy a message, topic and payload included, so that it outlives its callback. What dst held is
 * not freed. The copy is the caller's: mosquitto_message_free_contents(), or
 * mosquitto_message_free() if dst came from malloc(). MOSQ_ERR_INVAL: an argument or the topic is
 * NULL.
 */
libmosq_EXPORT int mosquitto_message_copy(struct mosquitto_message *dst,
                                          const struct mosquitto_message *src);

/* Free a message that was allocated by malloc(), with what it holds, and make the pointer NULL.
 * NULL, or a pointer to NULL, is allowed. */
libmosq_EXPORT void mosquitto_message_free(struct mosquitto_message **message);

/* Free what a message holds, but not the message itself. NULL is allowed. */
libmosq_EXPORT void mosquitto_message_free_contents(struct mosquitto_message *message);

/* ---- The loop ------------------------------------------------------------------------------ */

/*
 * Run the loop until mosquitto_disconnect(), and connect again as often as need be, whatever the
 * reason is (mosquitto_reconnect_delay_set). For programs that do nothing else in this thread.
 * `timeout` is how long each turn waits at most, in milliseconds, negative: 1000. `max_packets` is
 * 1 or more, and has no effect.
 *
 * Returns MOSQ_ERR_SUCCESS after a disconnect, or what has ended a connection and would end the
 * next one too: MOSQ_ERR_NOMEM, MOSQ_ERR_PROTOCOL, MOSQ_ERR_TLS. MOSQ_ERR_INVAL: max_packets, from
 * a callback, or somebody else is in the loop.
 */
libmosq_EXPORT int mosquitto_loop_forever(struct mosquitto *mosq, int timeout, int max_packets);

/*
 * Run mosquitto_loop_forever() in a thread of the library's. Callbacks run in that thread.
 * MOSQ_ERR_INVAL: it runs already. MOSQ_ERR_NOT_SUPPORTED without WITH_THREADING.
 */
libmosq_EXPORT int mosquitto_loop_start(struct mosquitto *mosq);

/*
 * Wait until the thread of mosquitto_loop_start() has ended, which it does after
 * mosquitto_disconnect(); with `force` it is told to end now. No thread is ever killed: a callback
 * that runs is waited for. Not from a callback. MOSQ_ERR_INVAL: there is no thread, or it is this
 * one. MOSQ_ERR_NOT_SUPPORTED without WITH_THREADING.
 */
libmosq_EXPORT int mosquitto_loop_stop(struct mosquitto *mosq, bool force);

/*
 * One turn of the loop: wait up to `timeout` milliseconds (negative: 1000; 0: not at all) until
 * there is something to do, do it, call callbacks. To be called often, by one thread at a time, and
 * not from a callback: MOSQ_ERR_INVAL. `max_packets` is 1 or more, and has no effect.
 *
 * MOSQ_ERR_SUCCESS, or the connection has ended: MOSQ_ERR_NO_CONN, MOSQ_ERR_CONN_LOST,
 * MOSQ_ERR_CONN_REFUSED (the broker's answer to CONNECT), MOSQ_ERR_KEEPALIVE, MOSQ_ERR_PROTOCOL,
 * MOSQ_ERR_MALFORMED_PACKET, MOSQ_ERR_TLS, MOSQ_ERR_ERRNO and what mosquitto_connect() has. The
 * caller may call mosquitto_reconnect().
 */
libmosq_EXPORT int mosquitto_loop(struct mosquitto *mosq, int timeout, int max_packets);

/* ---- Inside the loop of another program ---------------------------------------------------- */

/*
 * The descriptor has something to be read (or there may be): read it and call callbacks. Returns
 * what mosquitto_loop() does; `max_packets` as there. By one thread at a time, and not from a
 * callback.
 */
libmosq_EXPORT int mosquitto_loop_read(struct mosquitto *mosq, int max_packets);

/*
 * The descriptor can be written to: write what waits, go on with connecting. Returns what
 * mosquitto_loop() does; `max_packets` as there. By one thread at a time, and not from a callback.
 */
libmosq_EXPORT int mosquitto_loop_write(struct mosquitto *mosq, int max_packets);

/*
 * What is due by the clock: PINGREQ, giving up on a broker that is silent. Call it about once a
 * second. Returns what mosquitto_loop() does. By one thread at a time, and not from a callback.
 */
libmosq_EXPORT int mosquitto_loop_misc(struct mosquitto *mosq);

/*
 * The descriptor to poll; -1: there is none. It stays the library's, and may be another one after
 * each call of the library while the client is connecting: ask before every poll.
 */
libmosq_EXPORT int mosquitto_socket(struct mosquitto *mosq);

/* Is the descriptor to be polled for writing as well? Then mosquitto_loop_write() when it can be.
 */
libmosq_EXPORT bool mosquitto_want_write(struct mosquitto *mosq);

/*
 * Say that threads of the program's own are used: one that runs the loop, others that publish. Then
 * these leave all writing to the loop. Before the loop runs. mosquitto_loop_start() does this
 * itself. MOSQ_ERR_NOT_SUPPORTED without WITH_THREADING, if `threaded`.
 */
libmosq_EXPORT int mosquitto_threaded_set(struct mosquitto *mosq, bool threaded);

/* ---- Options: for the next connection ------------------------------------------------------ */

/*
 * Older than the three that follow, which are to be preferred. MOSQ_OPT_PROTOCOL_VERSION with
 * `value` pointing to an int, MOSQ_OPT_SSL_CTX with an SSL_CTX * or NULL. MOSQ_ERR_INVAL for
 * others.
 */
libmosq_EXPORT int mosquitto_opts_set(struct mosquitto *mosq, enum mosq_opt_t option, void *value);

/*
 * Set a number:
 *
 * MOSQ_OPT_PROTOCOL_VERSION: MQTT_PROTOCOL_V311 (as it is without) or MQTT_PROTOCOL_V31.
 * MOSQ_OPT_TCP_NODELAY: 1 to send without waiting for more to send; 0.
 * MOSQ_OPT_SEND_MAXIMUM: as mosquitto_max_inflight_messages_set(); 0 to 65,535.
 * MOSQ_OPT_RECEIVE_MAXIMUM: 0 to 65,535; only MQTT 5 could tell the broker, so it has no effect.
 * MOSQ_OPT_SSL_CTX_WITH_DEFAULTS: 1 to put the TLS options into the SSL_CTX of MOSQ_OPT_SSL_CTX as
 * well; 0.
 * MOSQ_OPT_TLS_USE_OS_CERTS: 1 to trust the authorities that the system trusts, with TLS; 0.
 * MOSQ_OPT_TLS_OCSP_REQUIRED: 1 to require that the broker proves that its certificate was not
 * revoked; 0.
 *
 * MOSQ_ERR_INVAL: no such option or value. MOSQ_ERR_NOT_SUPPORTED: MQTT_PROTOCOL_V5, or TLS in a
 * build without.
 */
libmosq_EXPORT int mosquitto_int_option(struct mosquitto *mosq, enum mosq_opt_t option, int value);

/*
 * Set a string; NULL takes it back:
 *
 * MOSQ_OPT_TLS_ALPN: the protocol to ask for within TLS, or several with commas between them.
 * MOSQ_OPT_BIND_ADDRESS: connect from this address when connect names none.
 * MOSQ_OPT_TLS_KEYFORM: "pem", since keys are read from files.
 * MOSQ_OPT_TLS_ENGINE, MOSQ_OPT_TLS_ENGINE_KPASS_SHA1: MOSQ_ERR_NOT_SUPPORTED.
 *
 * MOSQ_ERR_INVAL: no such option.
 */
libmosq_EXPORT int mosquitto_string_option(struct mosquitto *mosq, enum mosq_opt_t option,
                                           const char *value);

/*
 * MOSQ_OPT_SSL_CTX: use this SSL_CTX for TLS, as it is, or see MOSQ_OPT_SSL_CTX_WITH_DEFAULTS. The
 * library takes a reference of its own. MOSQ_ERR_INVAL: no such option, or NULL;
 * MOSQ_ERR_NOT_SUPPORTED: no TLS in this build.
 */
libmosq_EXPORT int mosquitto_void_option(struct mosquitto *mosq, enum mosq_opt_t option,
                                         void *value);

/*
 * How many seconds the loop waits before it connects again: reconnect_delay, 1 if this is never
 * called or it is 0. It grows with each failure, by reconnect_delay or with
 * `reconnect_exponential_backoff` to the double, up to reconnect_delay_max, and is never less than
 * reconnect_delay.
 */
libmosq_EXPORT int mosquitto_reconnect_delay_set(struct mosquitto *mosq,
                                                 unsigned int reconnect_delay,
                                                 unsigned int reconnect_delay_max,
                                                 bool reconnect_exponential_backoff);

/*
 * How many messages of QoS 1 and 2 may be on their way at once; others wait. 20 if this is never
 * called; 0 is no limit. MOSQ_ERR_INVAL: more than 65,535.
 */
libmosq_EXPORT int mosquitto_max_inflight_messages_set(struct mosquitto *mosq,
                                                       unsigned int max_inflight_messages);

/* No effect: messages are sent again when a connection is new, and at no other time. */
libmosq_EXPORT void mosquitto_message_retry_set(struct mosquitto *mosq, unsigned int message_retry);

/* What callbacks get as their second argument, from now on. It stays the caller's. */
libmosq_EXPORT void mosquitto_user_data_set(struct mosquitto *mosq, void *obj);

/* What callbacks get as their second argument. */
libmosq_EXPORT void *mosquitto_userdata(struct mosquitto *mosq);

/* ---- TLS: for the next connection ---------------------------------------------------------- */

/*
 * Use TLS, and trust brokers whose certificates are signed by an authority in the file `cafile` or
 * the directory `capath` (one of which may be NULL). `certfile` and `keyfile`, both or neither, are
 * our own certificate and its key. If the key is encrypted, `pw_callback` writes its password to
 * buf, at most `size` bytes, and returns its length; its last argument is the client. It runs while
 * the client connects, and may call only mosquitto_userdata().
 * All files are PEM.
 *
 * MOSQ_ERR_INVAL: neither cafile nor capath nor MOSQ_OPT_TLS_USE_OS_CERTS, a certificate without a
 * key, or a file that cannot be opened. What is in the files is looked at when connecting.
 * MOSQ_ERR_NOT_SUPPORTED without WITH_TLS.
 */
libmosq_EXPORT int mosquitto_tls_set(struct mosquitto *mosq, const char *cafile, const char *capath,
                                     const char *certfile, const char *keyfile,
                                     int (*pw_callback)(char *buf, int size, int rwflag,
                                                        void *userdata));

/*
 * With `value` true do not compare the broker's name with its certificate: anybody who has one of a
 * trusted authority can pretend to be the broker. For tests only.
 * MOSQ_ERR_NOT_SUPPORTED without WITH_TLS.
 */
libmosq_EXPORT int mosquitto_tls_insecure_set(struct mosquitto *mosq, bool value);

/*
 * Further settings for TLS. `cert_reqs`: 1 (SSL_VERIFY_PEER) checks the broker's certificate, 0
 * does not, which protects against nobody. `tls_version`: this one or newer, "tlsv1.3", "tlsv1.2"
 * or "tlsv1.1"; NULL: 1.2 or newer. `ciphers`: a list as `openssl ciphers` takes it, NULL:
 * OpenSSL's own choice. MOSQ_ERR_INVAL: no such version. MOSQ_ERR_NOT_SUPPORTED without WITH_TLS.
 */
libmosq_EXPORT int mosquitto_tls_opts_set(struct mosquitto *mosq, int cert_reqs,
                                          const char *tls_version, const char *ciphers);

/*
 * Use TLS with a key that the broker knows too, instead of certificates. `psk` is the key in
 * hexadecimal, `identity` its name, `ciphers` as in mosquitto_tls_opts_set(). MOSQ_ERR_INVAL: the
 * key is no hexadecimal number or longer than 256 bytes, or one is NULL. MOSQ_ERR_NOT_SUPPORTED
 * without WITH_TLS_PSK.
 */
libmosq_EXPORT int mosquitto_tls_psk_set(struct mosquitto *mosq, const char *psk,
                                         const char *identity, const char *ciphers);

/*
 * The SSL of the connection, for calls of OpenSSL; NULL: no connection, or no TLS. It is the
 * library's, and gone with the connection: only to be used where no other thread runs the loop,
 * such as in callbacks.
 */
libmosq_EXPORT void *mosquitto_ssl_get(struct mosquitto *mosq);

/* ---- Callbacks ----------------------------------------------------------------------------- */
/*
 * Each replaces an earlier one; NULL: none. The first argument of a callback is the client, the
 * second what mosquitto_new() or mosquitto_user_data_set() was given. Callbacks may call the
 * library. If both forms of a callback are set, both are called, the older one first.
 */

/*
 * The broker has answered CONNECT. The third argument is 0 if it has let us in, otherwise why not:
 * see mosquitto_connack_string(). Subscribe here, so that it happens again after a reconnect.
 */
libmosq_EXPORT void mosquitto_connect_callback_set(struct mosquitto *mosq,
                                                   void (*on_connect)(struct mosquitto *, void *,
                                                                      int));

/* Likewise; the fourth argument is 1 if the broker knows the session from before, otherwise 0. */
libmosq_EXPORT void mosquitto_connect_with_flags_callback_set(struct mosquitto *mosq,
                                                              void (*on_connect)(struct mosquitto *,
                                                                                 void *, int, int));

/* Likewise, and properties: NULL. */
libmosq_EXPORT void mosquitto_connect_v5_callback_set(
    struct mosquitto *mosq,
    void (*on_connect)(struct mosquitto *, void *, int, int, const mosquitto_property *props));

/*
 * The connection has ended. The third argument is 0 after mosquitto_disconnect(), otherwise a value
 * of enum mosq_err_t. The client may be connected again from here.
 */
libmosq_EXPORT void mosquitto_disconnect_callback_set(struct mosquitto *mosq,
                                                      void (*on_disconnect)(struct mosquitto *,
                                                                            void *, int));

/* Likewise, and properties: NULL. */
libmosq_EXPORT void mosquitto_disconnect_v5_callback_set(
    struct mosquitto *mosq,
    void (*on_disconnect)(struct mosquitto *, void *, int, const mosquitto_property *props));

/*
 * A message was published: written at QoS 0, acknowledged by the broker at QoS 1 and 2. The third
 * argument is the number that mosquitto_publish() gave.
 */
libmosq_EXPORT void mosquitto_publish_callback_set(struct mosquitto *mosq,
                                                   void (*on_publish)(struct mosquitto *, void *,
                                                                      int));

/* Likewise; then a reason code, 0, and properties, NULL. */
libmosq_EXPORT void mosquitto_publish_v5_callback_set(
    struct mosquitto *mosq,
    void (*on_publish)(struct mosquitto *, void *, int, int, const mosquitto_property *props));

/*
 * A message has come. It is the library's: mosquitto_message_copy() for a copy. It is acknowledged
 * when the callback has returned, so a program that dies in it gets it again.
 */
libmosq_EXPORT void mosquitto_message_callback_set(
    struct mosquitto *mosq,
    void (*on_message)(struct mosquitto *, void *, const struct mosquitto_message *));

/* Likewise, and properties: NULL. */
libmosq_EXPORT void mosquitto_message_v5_callback_set(
    struct mosquitto *mosq,
    void (*on_message)(struct mosquitto *, void *, const struct mosquitto_message *,
                       const mosquitto_property *props));

/*
 * The broker has answered a subscription: the number that mosquitto_subscribe() gave, how many
 * filters it had, and for each of them the QoS that was granted, or 128 if it was refused.
 */
libmosq_EXPORT void mosquitto_subscribe_callback_set(struct mosquitto *mosq,
                                                     void (*on_subscribe)(struct mosquitto *,
                                                                          void *, int, int,
                                                                          const int *));

/* Likewise, and properties: NULL. */
libmosq_EXPORT void mosquitto_subscribe_v5_callback_set(
    struct mosquitto *mosq, void (*on_subscribe)(struct mosquitto *, void *, int, int, const int *,
                                                 const mosquitto_property *props));

/* The broker has ended a subscription: the number that mosquitto_unsubscribe() gave. */
libmosq_EXPORT void mosquitto_unsubscribe_callback_set(struct mosquitto *mosq,
                                                       void (*on_unsubscribe)(struct mosquitto *,
                                                                              void *, int));

/* Likewise, and properties: NULL. */
libmosq_EXPORT void mosquitto_unsubscribe_v5_callback_set(
    struct mosquitto *mosq,
    void (*on_unsubscribe)(struct mosquitto *, void *, int, const mosquitto_property *props));

/*
 * What the library does, line by line: the third argument is one of MOSQ_LOG_*, the fourth a line
 * without its end. Unlike other callbacks it may be called by any thread that uses the client,
 * though never by two at once.
 */
libmosq_EXPORT void mosquitto_log_callback_set(struct mosquitto *mosq,
                                               void (*on_log)(struct mosquitto *, void *, int,
                                                              const char *));

/* ---- Proxies: for the next connection ------------------------------------------------------ */

/*
 * Connect through a SOCKS5 proxy, which also looks up the broker's name. `port` is 1 to 65,535;
 * username and password may be NULL. MOSQ_ERR_INVAL: arguments, or strings longer than 255 bytes;
 * MOSQ_ERR_NOT_SUPPORTED without WITH_SOCKS.
 */
libmosq_EXPORT int mosquitto_socks5_set(struct mosquitto *mosq, const char *host, int port,
                                        const char *username, const char *password);

/* ---- Words --------------------------------------------------------------------------------- */

/* A sentence for a value of enum mosq_err_t; for MOSQ_ERR_ERRNO that of errno. Never NULL; not to
 * be freed. */
libmosq_EXPORT const char *mosquitto_strerror(int mosq_errno);

/* A sentence for the code with which a broker answers CONNECT. Never NULL; not to be freed. */
libmosq_EXPORT const char *mosquitto_connack_string(int connack_code);

/* A phrase for a reason code of MQTT 5. Never NULL; not to be freed. */
libmosq_EXPORT const char *mosquitto_reason_string(int reason_code);

/* The number (CMD_* of mqtt_protocol.h) of a packet's name such as "connect", in any case; also
 * "will". MOSQ_ERR_INVAL: there is none, or an argument is NULL. */
libmosq_EXPORT int mosquitto_string_to_command(const char *str, int *cmd);

/* ---- Topics -------------------------------------------------------------------------------- */

/*
 * Split a topic or filter into its levels: "a/b" is "a", "b". An empty level is NULL: "a//b" is
 * "a", NULL, "b". The array and what is in it are the caller's: mosquitto_sub_topic_tokens_free().
 * MOSQ_ERR_INVAL: an argument is NULL.
 */
libmosq_EXPORT int mosquitto_sub_topic_tokenise(const char *subtopic, char ***topics, int *count);

/* Free what mosquitto_sub_topic_tokenise() has made, and make the pointer NULL. */
libmosq_EXPORT int mosquitto_sub_topic_tokens_free(char ***topics, int count);

/*
 * Does a filter match a topic? *result says. Topics that begin with '$' are not matched by filters
 * that begin with a wildcard. MOSQ_ERR_INVAL: one is NULL, empty or not valid; *result is false
 * then.
 */
libmosq_EXPORT int mosquitto_topic_matches_sub(const char *sub, const char *topic, bool *result);

/* Likewise, with lengths instead of terminated strings. */
libmosq_EXPORT int mosquitto_topic_matches_sub2(const char *sub, size_t sublen, const char *topic,
                                                size_t topiclen, bool *result);

/* Can this be published to? MOSQ_ERR_INVAL: it is NULL, empty, too long, or has wildcards. UTF-8 is
 * not looked at. */
libmosq_EXPORT int mosquitto_pub_topic_check(const char *topic);

/* Likewise, with a length instead of a terminated string. */
libmosq_EXPORT int mosquitto_pub_topic_check2(const char *topic, size_t topiclen);

/* Can this be subscribed to? MOSQ_ERR_INVAL: it is NULL, empty, too long, or a wildcard is not
 * alone in its level or '#' is not in the last. UTF-8 is not looked at. */
libmosq_EXPORT int mosquitto_sub_topic_check(const char *topic);

/* Likewise, with a length instead of a terminated string. */
libmosq_EXPORT int mosquitto_sub_topic_check2(const char *topic, size_t topiclen);

/* Is this UTF-8 as MQTT allows it? `len` is in bytes. MOSQ_ERR_INVAL: NULL, or a length below 0 or
 * above 65,536. MOSQ_ERR_MALFORMED_UTF8: no. */
libmosq_EXPORT int mosquitto_validate_utf8(const char *str, int len);

/* ---- Whole jobs in one call ---------------------------------------------------------------- */

/* A will, as for mosquitto_will_set(). */
struct libmosquitto_will {
    char *topic;
    void *payload;
    int payloadlen;
    int qos;
    bool retain;
};

/* A login, as for mosquitto_username_pw_set(). */
struct libmosquitto_auth {
    char *username;
    char *password;
};

/* TLS, as for mosquitto_tls_set() and mosquitto_tls_opts_set(). */
struct libmosquitto_tls {
    char *cafile;
    char *capath;
    char *certfile;
    char *keyfile;
    char *ciphers;
    char *tls_version;
    int (*pw_callback)(char *buf, int size, int rwflag, void *userdata);
    int cert_reqs;
};

/*
 * Connect, subscribe, wait for `msg_count` messages, disconnect. `want_retained` false leaves out
 * retained ones. `*messages` is an array of msg_count messages that the caller owns: for each one
 * mosquitto_message_free_contents(), then free(). The other arguments may be NULL where
 * mosquitto_new() and others allow it. Needs no client; uses one of its own. Errors as of the
 * functions that it stands for; *messages is NULL then.
 */
libmosq_EXPORT int mosquitto_subscribe_simple(struct mosquitto_message **messages, int msg_count,
                                              bool want_retained, const char *topic, int qos,
                                              const char *host, int port, const char *client_id,
                                              int keepalive, bool clean_session,
                                              const char *username, const char *password,
                                              const struct libmosquitto_will *will,
                                              const struct libmosquitto_tls *tls);

/*
 * Connect, subscribe, and call `callback` with each message until it returns something else than 0;
 * then disconnect. The message belongs to the library. Otherwise as mosquitto_subscribe_simple().
 */
libmosq_EXPORT int mosquitto_subscribe_callback(
    int (*callback)(struct mosquitto *, void *, const struct mosquitto_message *), void *userdata,
    const char *topic, int qos, const char *host, int port, const char *client_id, int keepalive,
    bool clean_session, const char *username, const char *password,
    const struct libmosquitto_will *will, const struct libmosquitto_tls *tls);

/* ---- Properties of MQTT 5 ------------------------------------------------------------------ */
/*
 * Lists of properties are built, read and checked, though no connection of this library carries
 * them. A list belongs to who began it, and one list is not for several threads at once. Numbers of
 * properties are MQTT_PROP_* of mqtt_protocol.h.
 *
 * The mosquitto_property_add_* functions put a property at the end of *proplist; NULL is the empty
 * list, to begin with. MOSQ_ERR_INVAL: proplist is NULL, there is no such property, or it is of
 * another type. The mosquitto_property_read_* functions look for the first property of that number
 * in a list, not looking at the very first one with `skip_first`, and return where it is, or NULL:
 * call them again with what they returned and skip_first true for the next one. `value` may be
 * NULL.
 */

/* Add a byte. */
libmosq_EXPORT int mosquitto_property_add_byte(mosquitto_property **proplist, int identifier,
                                               uint8_t value);

/* Add a number of two bytes. */
libmosq_EXPORT int mosquitto_property_add_int16(mosquitto_property **proplist, int identifier,
                                                uint16_t value);

/* Add a number of four bytes. */
libmosq_EXPORT int mosquitto_property_add_int32(mosquitto_property **proplist, int identifier,
                                                uint32_t value);

/* Add a number of up to four bytes of seven bits each: MOSQ_ERR_INVAL also above 268,435,455. */
libmosq_EXPORT int mosquitto_property_add_varint(mosquitto_property **proplist, int identifier,
                                                 uint32_t value);

/* Add bytes, which are copied. */
libmosq_EXPORT int mosquitto_property_add_binary(mosquitto_property **proplist, int identifier,
                                                 const void *value, uint16_t len);

/* Add a string, which is copied; NULL is an empty one. MOSQ_ERR_MALFORMED_UTF8: it is no UTF-8. */
libmosq_EXPORT int mosquitto_property_add_string(mosquitto_property **proplist, int identifier,
                                                 const char *value);

/* Add a name and a value, which are copied. MOSQ_ERR_MALFORMED_UTF8: one is no UTF-8. */
libmosq_EXPORT int mosquitto_property_add_string_pair(mosquitto_property **proplist, int identifier,
                                                      const char *name, const char *value);

/* The number of the first property of a list; 0: it is empty. */
libmosq_EXPORT int mosquitto_property_identifier(const mosquitto_property *property);

/* The list without its first property; NULL: that was the last. Not a copy. */
libmosq_EXPORT const mosquitto_property *
mosquitto_property_next(const mosquitto_property *proplist);

/* Read a byte. */
libmosq_EXPORT const mosquitto_property *
mosquitto_property_read_byte(const mosquitto_property *proplist, int identifier, uint8_t *value,
                             bool skip_first);

/* Read a number of two bytes. */
libmosq_EXPORT const mosquitto_property *
mosquitto_property_read_int16(const mosquitto_property *proplist, int identifier, uint16_t *value,
                              bool skip_first);

/* Read a number of four bytes. */
libmosq_EXPORT const mosquitto_property *
mosquitto_property_read_int32(const mosquitto_property *proplist, int identifier, uint32_t *value,
                              bool skip_first);

/* Read a number of up to four bytes of seven bits each. */
libmosq_EXPORT const mosquitto_property *
mosquitto_property_read_varint(const mosquitto_property *proplist, int identifier, uint32_t *value,
                               bool skip_first);

/* Read bytes. *value is a copy that the caller owns: free(). NULL also without memory. */
libmosq_EXPORT const mosquitto_property *
mosquitto_property_read_binary(const mosquitto_property *proplist, int identifier, void **value,
                               uint16_t *len, bool skip_first);

/* Read a string. *value is a copy that the caller owns: free(). NULL also without memory. */
libmosq_EXPORT const mosquitto_property *
mosquitto_property_read_string(const mosquitto_property *proplist, int identifier, char **value,
                               bool skip_first);

/* Read a name and a value: copies that the caller owns: free(). NULL also without memory. */
libmosq_EXPORT const mosquitto_property *
mosquitto_property_read_string_pair(const mosquitto_property *proplist, int identifier, char **name,
                                    char **value, bool skip_first);

/* Free a whole list and make the pointer NULL. NULL, or a pointer to NULL, is allowed. */
libmosq_EXPORT void mosquitto_property_free_all(mosquitto_property **properties);

/* Copy a whole list; the copy is the caller's: mosquitto_property_free_all(). What *dest held is
 * not freed. MOSQ_ERR_INVAL: dest is NULL. */
libmosq_EXPORT int mosquitto_property_copy_all(mosquitto_property **dest,
                                               const mosquitto_property *src);

/* May a packet (CMD_* of mqtt_protocol.h, CMD_WILL for a will) have this property?
 * MOSQ_ERR_PROTOCOL: no. */
libmosq_EXPORT int mosquitto_property_check_command(int command, int identifier);

/*
 * May a packet have these properties (CMD_* of mqtt_protocol.h)? MOSQ_ERR_PROTOCOL: one does not
 * belong there, or its value is not allowed. MOSQ_ERR_DUPLICATE_PROPERTY: one is there twice that
 * may be there once.
 */
libmosq_EXPORT int mosquitto_property_check_all(int command, const mosquitto_property *properties);

/* The name of a property, such as "content-type"; NULL: there is none of that number. Not to be
 * freed. */
libmosq_EXPORT const char *mosquitto_property_identifier_to_string(int identifier);

/* The number and type (enum mqtt5_property_type) of a property's name, in any case. MOSQ_ERR_INVAL:
 * there is none, or an argument is NULL. */
libmosq_EXPORT int mosquitto_string_to_property_info(const char *propname, int *identifier,
                                                     int *type);

#ifdef __cplusplus
}
#endif

#endif
