/*
 * Connects in every way that the library knows, publishes a message at QoS 1, and says what comes
 * of it: for test_lib_connect.py.
 *
 *     connect_any KEY=VALUE …
 *
 * With how=async the loop is the library's own thread, and with calls=1 calls are timed while it
 * connects. With again=N it connects and publishes N times more, after a line of standard input
 * each; in the background the library connects again by itself. Each line of output begins with a
 * word for what it is about.
 */
#include "mosquitto.h"

#include <errno.h>
#include <openssl/ssl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define KEEPALIVE 60
#define TURNS 1500 /* of 10 ms */
#define CALLS 50

static struct {
    int argc;
    char **argv;
    atomic_bool connected;
    atomic_int asked, published; /* messages */
} state;

/* The value of a key; NULL: it was not given. */
static const char *get(const char *key)
{
    size_t n = strlen(key);
    for (int i = 1; i < state.argc; i++) {
        if (strncmp(state.argv[i], key, n) == 0 && state.argv[i][n] == '=') {
            return state.argv[i] + n + 1;
        }
    }
    return NULL;
}

static int number(const char *key, int otherwise)
{
    const char *text = get(key);
    return text ? atoi(text) : otherwise;
}

static bool is(const char *key, const char *value)
{
    const char *text = get(key);
    return text && strcmp(text, value) == 0;
}

static double now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static void pause_ms(long ms)
{
    const struct timespec t = {ms / 1000, ms % 1000 * 1000000};
    nanosleep(&t, NULL);
}

/* ---- Callbacks ---- */

static void on_connect(struct mosquitto *m, void *unused, int rc)
{
    (void)m;
    (void)unused;
    printf("connected %d\n", rc);
    state.connected = rc == 0;
}

static void on_publish(struct mosquitto *m, void *unused, int mid)
{
    (void)m;
    (void)unused;
    (void)mid;
    state.published++;
}

static void on_disconnect(struct mosquitto *m, void *unused, int rc)
{
    (void)m;
    (void)unused;
    printf("disconnected %d\n", rc);
}

static void on_log(struct mosquitto *m, void *unused, int level, const char *line)
{
    (void)m;
    (void)unused;
    if (level == MOSQ_LOG_ERR || level == MOSQ_LOG_WARNING) {
        printf("log %s\n", line);
    }
}

static int on_password(char *buf, int size, int rwflag, void *m)
{
    const char *password = mosquitto_userdata(m);
    int n = (int)strlen(password);
    printf("password %d\n", rwflag);
    if (n > size) {
        return -1;
    }
    memcpy(buf, password, (size_t)n);
    return n;
}

/* ---- Settings ---- */

static void check(const char *what, int rc)
{
    if (rc != MOSQ_ERR_SUCCESS) {
        printf("%s %d %s\n", what, rc, mosquitto_strerror(rc));
        exit(1);
    }
}

static void set_own_context(struct mosquitto *m)
{
    SSL_CTX *c = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_verify(c, number("own_verify", 1) ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, NULL);
    if (get("own_ca") && SSL_CTX_load_verify_file(c, get("own_ca")) != 1) {
        exit(2);
    }
    check("ssl_ctx", mosquitto_void_option(m, MOSQ_OPT_SSL_CTX, c));
    check("with_defaults",
          mosquitto_int_option(m, MOSQ_OPT_SSL_CTX_WITH_DEFAULTS, is("ssl_ctx", "defaults")));
    SSL_CTX_free(c);
}

static void set_tls(struct mosquitto *m)
{
    if (number("os", 0)) {
        check("os_certs", mosquitto_int_option(m, MOSQ_OPT_TLS_USE_OS_CERTS, 1));
    }
    if (get("ca") || get("capath") || number("os", 0)) {
        check("tls_set", mosquitto_tls_set(m, get("ca"), get("capath"), get("cert"), get("key"),
                                           get("password") ? on_password : NULL));
    }
    if (get("psk")) {
        check("psk_set", mosquitto_tls_psk_set(m, get("psk"), get("identity"), NULL));
    }
    if (get("ssl_ctx")) {
        set_own_context(m);
    }
    if (get("reqs") || get("version") || get("ciphers")) {
        check("opts_set", mosquitto_tls_opts_set(m, number("reqs", SSL_VERIFY_PEER), get("version"),
                                                 get("ciphers")));
    }
    if (number("insecure", 0)) {
        check("insecure", mosquitto_tls_insecure_set(m, true));
    }
    if (get("alpn")) {
        check("alpn", mosquitto_string_option(m, MOSQ_OPT_TLS_ALPN, get("alpn")));
    }
}

static struct mosquitto *make(void)
{
    struct mosquitto *m = mosquitto_new(get("id"), true, (void *)get("password"));
    if (!m) {
        exit(2);
    }
    mosquitto_connect_callback_set(m, on_connect);
    mosquitto_publish_callback_set(m, on_publish);
    mosquitto_disconnect_callback_set(m, on_disconnect);
    mosquitto_log_callback_set(m, on_log);
    set_tls(m);
    if (get("proxy")) {
        check("socks5_set", mosquitto_socks5_set(m, get("proxy"), number("proxy_port", 1080),
                                                 get("user"), get("pass")));
    }
    return m;
}

/* ---- Connecting ---- */

static int begin(struct mosquitto *m)
{
    const char *host = get("host");
    int port = number("port", 1883);
    if (is("how", "srv")) {
        return mosquitto_connect_srv(m, host, KEEPALIVE, get("bind"));
    }
    if (is("how", "async")) {
        return mosquitto_connect_bind_async(m, host, port, KEEPALIVE, get("bind"));
    }
    return mosquitto_connect_bind(m, host, port, KEEPALIVE, get("bind"));
}

static int turn(struct mosquitto *m)
{
    if (is("how", "async")) {
        pause_ms(10);
        return MOSQ_ERR_SUCCESS;
    }
    return mosquitto_loop(m, 10, 1);
}

static bool is_connected(void)
{
    return state.connected;
}

static bool is_published(void)
{
    return state.published == state.asked;
}

/* Until it has happened. */
static void await(struct mosquitto *m, bool (*it)(void))
{
    int rc = MOSQ_ERR_SUCCESS;
    for (int i = 0; i < TURNS && !it() && rc == MOSQ_ERR_SUCCESS; i++) {
        rc = turn(m);
    }
    if (!it()) {
        printf("failed %d %s\n", rc,
               rc == MOSQ_ERR_ERRNO ? strerror(errno) : mosquitto_strerror(rc));
        mosquitto_destroy(m);
        exit(1);
    }
}

static void ask(struct mosquitto *m, const char *topic, const char *payload)
{
    state.asked++;
    check("publish", mosquitto_publish(m, NULL, topic, (int)strlen(payload), payload, 1, false));
}

static void tell_tls(struct mosquitto *m)
{
    const SSL *ssl = mosquitto_ssl_get(m);
    const unsigned char *name = NULL;
    unsigned n = 0;
    if (ssl) {
        SSL_get0_alpn_selected(ssl, &name, &n);
        printf("tls %s resumed=%d alpn=%.*s\n", SSL_get_version(ssl), SSL_session_reused(ssl),
               (int)n, name ? (const char *)name : "");
    }
}

static void publish(struct mosquitto *m)
{
    ask(m, get("topic") ? get("topic") : "t", "hello");
    await(m, is_published);
    printf("published\n");
}

/* How long calls take while the connection is on its way: none of them waits for it. */
static void time_calls(struct mosquitto *m)
{
    double worst = 0;
    for (int i = 0; i < CALLS; i++) {
        double begun = now_ms();
        ask(m, "early", "x");
        (void)mosquitto_socket(m);
        (void)mosquitto_want_write(m);
        double took = now_ms() - begun;
        worst = took > worst ? took : worst;
        pause_ms(10);
    }
    printf("calls %d\n", (int)worst);
}

static void connect_in_background(struct mosquitto *m)
{
    double begun = now_ms();
    int rc = begin(m);
    printf("connect %d took %d\n", rc, (int)(now_ms() - begun));
    check("loop_start", mosquitto_loop_start(m));
    if (number("calls", 0)) {
        time_calls(m);
    }
}

static void connect_here(struct mosquitto *m, bool again)
{
    int rc = again ? mosquitto_reconnect(m) : begin(m);
    printf("connect %d %s\n", rc, rc == MOSQ_ERR_ERRNO ? strerror(errno) : mosquitto_strerror(rc));
    if (rc != MOSQ_ERR_SUCCESS) {
        mosquitto_destroy(m);
        exit(1);
    }
}

static void go(struct mosquitto *m, bool again)
{
    if (!is("how", "async")) {
        state.connected = false;
        connect_here(m, again);
    } else if (!again) {
        connect_in_background(m);
    }
    await(m, is_connected);
    publish(m);
    tell_tls(m);
}

/* The test does something else before the next line of standard input. */
static void wait_for_line(void)
{
    int c;
    while ((c = getchar()) != EOF && c != '\n') {
    }
}

int main(int argc, char **argv)
{
    state.argc = argc;
    state.argv = argv;
    setvbuf(stdout, NULL, _IOLBF, 0);
    mosquitto_lib_init();
    struct mosquitto *m = make();
    go(m, false);
    for (int i = 0; i < number("again", 0); i++) {
        wait_for_line();
        go(m, true);
    }
    mosquitto_disconnect(m);
    if (is("how", "async")) {
        check("loop_stop", mosquitto_loop_stop(m, false));
    }
    mosquitto_destroy(m);
    mosquitto_lib_cleanup();
    printf("end\n");
    return 0;
}
