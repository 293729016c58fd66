/*
 * What the test programs of the library share. A program is a set of cases; it is run as
 * "PROGRAM CASE PORT NAME": NAME is a topic level and a part of client ids that no other test uses.
 *
 * CASE(x) runs against a broker. SCRIPTED(x) is run by a test that plays the broker itself.
 * OURS(x) is a CASE about something that Mosquitto's library does otherwise.
 */
#ifndef LIB_PROGRAM_H
#define LIB_PROGRAM_H

#include <mosquitto.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define HOST "127.0.0.1"
#define PATIENCE_MS 15000

static int port;
static const char *name;

#define must(expr)                                                                                 \
    do {                                                                                           \
        if (!(expr)) {                                                                             \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #expr);                     \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)
/* A library call that gives this result. */
#define gives(expr, result)                                                                        \
    do {                                                                                           \
        int gives_got = (expr);                                                                    \
        if (gives_got != (result)) {                                                               \
            fprintf(stderr, "%s:%d: %s is %d (%s), not %s\n", __FILE__, __LINE__, #expr,           \
                    gives_got, mosquitto_strerror(gives_got), #result);                            \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)
#define ok(expr) gives(expr, MOSQ_ERR_SUCCESS)

static inline int64_t now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Run the client's loop until something is so. Errors of the loop are left to the caller. */
#define UNTIL(m, cond)                                                                             \
    do {                                                                                           \
        int64_t until_end = now_ms() + PATIENCE_MS;                                                \
        while (!(cond)) {                                                                          \
            if (now_ms() > until_end) {                                                            \
                fprintf(stderr, "%s:%d: in vain awaited: %s\n", __FILE__, __LINE__, #cond);        \
                exit(1);                                                                           \
            }                                                                                      \
            (void)mosquitto_loop(m, 20, 1);                                                        \
        }                                                                                          \
    } while (0)
/* Wait until another thread has made it so; the condition reads atomics only. */
#define AWAIT(cond)                                                                                \
    do {                                                                                           \
        int64_t until_end = now_ms() + PATIENCE_MS;                                                \
        while (!(cond)) {                                                                          \
            if (now_ms() > until_end) {                                                            \
                fprintf(stderr, "%s:%d: in vain awaited: %s\n", __FILE__, __LINE__, #cond);        \
                exit(1);                                                                           \
            }                                                                                      \
            usleep(1000);                                                                          \
        }                                                                                          \
    } while (0)

/* --- what a client has been told --- */

struct seen {
    _Atomic int connects, connect_rc, disconnects, disconnect_rc;
    _Atomic int published, last_mid, messages, subscribed, unsubscribed, granted, logs;
    char topic[200], payload[200];
    int qos, retain, mid, len;
};

static inline void on_connect(struct mosquitto *m, void *ud, int rc)
{
    struct seen *s = ud;

    (void)m;
    s->connect_rc = rc;
    s->connects++;
}

static inline void on_disconnect(struct mosquitto *m, void *ud, int rc)
{
    struct seen *s = ud;

    (void)m;
    s->disconnect_rc = rc;
    s->disconnects++;
}

static inline void on_publish(struct mosquitto *m, void *ud, int mid)
{
    struct seen *s = ud;

    (void)m;
    s->last_mid = mid;
    s->published++;
}

static inline void on_message(struct mosquitto *m, void *ud, const struct mosquitto_message *msg)
{
    struct seen *s = ud;

    (void)m;
    must(strlen(msg->topic) < sizeof(s->topic));
    strcpy(s->topic, msg->topic);
    s->len = msg->payloadlen;
    must(msg->payloadlen >= 0);
    if ((size_t)msg->payloadlen < sizeof(s->payload)) {
        if (msg->payloadlen > 0)
            memcpy(s->payload, msg->payload, (size_t)msg->payloadlen);
        s->payload[msg->payloadlen] = '\0';
    }
    s->qos = msg->qos;
    s->retain = msg->retain;
    s->mid = msg->mid;
    s->messages++;
}

static inline void on_subscribe(struct mosquitto *m, void *ud, int mid, int n, const int *granted)
{
    struct seen *s = ud;

    (void)m;
    must(n >= 1);
    s->last_mid = mid;
    s->granted = granted[n - 1];
    s->subscribed++;
}

static inline void on_unsubscribe(struct mosquitto *m, void *ud, int mid)
{
    struct seen *s = ud;

    (void)m;
    s->last_mid = mid;
    s->unsubscribed++;
}

/* --- clients --- */

/* "NAME-suffix"; the caller frees nothing, eight of them live at a time. */
static inline const char *text(const char *suffix)
{
    static _Thread_local char ring[8][200];
    static _Thread_local unsigned at;
    char *out = ring[at++ % 8];

    (void)snprintf(out, sizeof(ring[0]), "%s/%s", name, suffix);
    return out;
}

/* A client with all callbacks, not connected. */
static inline struct mosquitto *client(const char *id, bool clean, struct seen *s)
{
    struct mosquitto *m = mosquitto_new(id ? text(id) : NULL, clean, s);

    must(m);
    mosquitto_connect_callback_set(m, on_connect);
    mosquitto_disconnect_callback_set(m, on_disconnect);
    mosquitto_publish_callback_set(m, on_publish);
    mosquitto_message_callback_set(m, on_message);
    mosquitto_subscribe_callback_set(m, on_subscribe);
    mosquitto_unsubscribe_callback_set(m, on_unsubscribe);
    return m;
}

static inline struct mosquitto *online(const char *id, bool clean, struct seen *s)
{
    struct mosquitto *m = client(id, clean, s);

    ok(mosquitto_connect(m, HOST, port, 60));
    UNTIL(m, s->connects == 1);
    must(s->connect_rc == 0);
    return m;
}

static inline void subscribe(struct mosquitto *m, struct seen *s, const char *filter, int qos)
{
    int before = s->subscribed;

    ok(mosquitto_subscribe(m, NULL, filter, qos));
    UNTIL(m, s->subscribed > before);
    must(s->granted == qos);
}

/* Disconnect in good order, and destroy. */
static inline void finish(struct mosquitto *m, struct seen *s)
{
    int before = s->disconnects;

    ok(mosquitto_disconnect(m));
    UNTIL(m, s->disconnects > before);
    must(s->disconnect_rc == 0);
    mosquitto_destroy(m);
}

static inline unsigned descriptors(void)
{
    unsigned n = 0;

    for (int fd = 0; fd < 65536; fd++)
        n += fcntl(fd, F_GETFD) != -1;
    return n;
}

/* --- cases --- */

struct test_case {
    const char *name;
    void (*run)(void);
    struct test_case *next;
};
static struct test_case *cases;

#define CASE(x)                                                                                    \
    static void x(void);                                                                           \
    __attribute__((constructor)) static void register_##x(void)                                    \
    {                                                                                              \
        static struct test_case c = {#x, x, NULL};                                                 \
        c.next = cases;                                                                            \
        cases = &c;                                                                                \
    }                                                                                              \
    static void x(void)
#define SCRIPTED(x) CASE(x)
#define OURS(x) CASE(x)

int main(int argc, char **argv)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    must(argc == 4);
    port = atoi(argv[2]);
    name = argv[3];
    ok(mosquitto_lib_init());
    for (struct test_case *c = cases; c; c = c->next)
        if (strcmp(c->name, argv[1]) == 0) {
            c->run();
            ok(mosquitto_lib_cleanup());
            return 0;
        }
    fprintf(stderr, "no case %s\n", argv[1]);
    return 2;
}

#endif
