/*
 * A struct mosquitto of what a program was told, and the way to the broker.
 */
#include "clients/setup.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define DELAY_FIRST_MS 250
#define DELAY_MAX_MS 5000
#define LAST_ERROR_MAX 512 /* longer ones are cut */

void client_complain(const struct client_settings *s, const char *format, ...)
{
    va_list args;

    if (s->quiet)
        return;
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
}

void client_complain_connack(const struct client_settings *s, int code)
{
    client_complain(s, "Connection error: %s\n", mosquitto_connack_string(code));
}

int64_t client_now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* --- the options of the library --- */

static int port_of(const struct client_settings *s)
{
    if (s->port != CLIENT_UNSET)
        return s->port;
    return client_wants_tls(s) ? CLIENT_PORT_TLS : CLIENT_PORT;
}

static bool fail(const struct client_settings *s, const char *what, int rc)
{
    client_complain(s, "Error: Problem setting %s: %s\n", what, mosquitto_strerror(rc));
    return false;
}

static bool set_will(struct mosquitto *mosq, const struct client_settings *s)
{
    const char *payload = s->will_payload ? s->will_payload : "";
    int rc;

    if (!s->will_topic)
        return true;
    rc = mosquitto_will_set(mosq, s->will_topic, (int)strlen(payload), payload, s->will_qos,
                            s->will_retain);
    return rc == 0 || fail(s, "will", rc);
}

static bool set_login(struct mosquitto *mosq, const struct client_settings *s)
{
    if (!s->username || mosquitto_username_pw_set(mosq, s->username, s->password) == 0)
        return true;
    client_complain(s, "Error: Problem setting username and/or password.\n");
    return false;
}

/* Is the file one that can be read? The library cannot say which of them is not. */
static bool can_read(const struct client_settings *s, const char *path)
{
    if (!path || access(path, R_OK) == 0)
        return true;
    client_complain(s, "Error: Problem setting TLS options: %s: %s.\n", path,
                    errno == ENOENT ? "File not found" : strerror(errno));
    return false;
}

/* Whom to trust, and who we are. */
static bool set_certificates(struct mosquitto *mosq, const struct client_settings *s)
{
    bool system = s->use_os_certs || (!s->cafile && !s->capath);
    bool files = s->cafile || s->capath || s->certfile;
    int rc = 0;

    if (!can_read(s, s->cafile) || !can_read(s, s->capath) || !can_read(s, s->certfile) ||
        !can_read(s, s->keyfile))
        return false;
    if (system)
        rc = mosquitto_int_option(mosq, MOSQ_OPT_TLS_USE_OS_CERTS, 1);
    if (rc == 0 && files)
        rc = mosquitto_tls_set(mosq, s->cafile, s->capath, s->certfile, s->keyfile, NULL);
    if (rc == 0 && s->insecure)
        rc = mosquitto_tls_insecure_set(mosq, true);
    return rc == 0 || fail(s, "TLS options", rc);
}

static bool set_engine(struct mosquitto *mosq, const struct client_settings *s)
{
    if (s->tls_engine && mosquitto_string_option(mosq, MOSQ_OPT_TLS_ENGINE, s->tls_engine)) {
        client_complain(s, "Error: Problem setting TLS engine, is %s a valid engine?\n",
                        s->tls_engine);
        return false;
    }
    if (s->keyform && mosquitto_string_option(mosq, MOSQ_OPT_TLS_KEYFORM, s->keyform)) {
        client_complain(s, "Error: Problem setting key form, it must be one of 'pem' or "
                           "'engine'.\n");
        return false;
    }
    if (s->tls_engine_kpass_sha1 &&
        mosquitto_string_option(mosq, MOSQ_OPT_TLS_ENGINE_KPASS_SHA1, s->tls_engine_kpass_sha1)) {
        client_complain(s, "Error: Problem setting TLS engine key pass sha, is it a 40 character "
                           "hex string?\n");
        return false;
    }
    return true;
}

static bool set_tls(struct mosquitto *mosq, const struct client_settings *s)
{
    int rc;

    if (!client_wants_tls(s))
        return true;
    if (s->psk) {
        rc = mosquitto_tls_psk_set(mosq, s->psk, s->psk_identity, NULL);
        if (rc)
            return fail(s, "TLS-PSK options", rc);
    } else if (!set_certificates(mosq, s)) {
        return false;
    }
    if ((s->tls_version || s->ciphers) &&
        mosquitto_tls_opts_set(mosq, 1, s->tls_version, s->ciphers)) {
        client_complain(s, "Error: Problem setting TLS options, check the options are valid.\n");
        return false;
    }
    if (s->tls_alpn && mosquitto_string_option(mosq, MOSQ_OPT_TLS_ALPN, s->tls_alpn)) {
        client_complain(s, "Error: Problem setting TLS ALPN protocol.\n");
        return false;
    }
    return set_engine(mosq, s);
}

static bool set_transport(struct mosquitto *mosq, const struct client_settings *s)
{
    int rc = mosquitto_max_inflight_messages_set(mosq, (unsigned)s->window);

    if (rc == 0)
        rc = mosquitto_int_option(mosq, MOSQ_OPT_PROTOCOL_VERSION, s->protocol);
    if (rc == 0 && s->nodelay)
        rc = mosquitto_int_option(mosq, MOSQ_OPT_TCP_NODELAY, 1);
    if (rc)
        return fail(s, "connection options", rc);
    if (s->proxy_host)
        rc = mosquitto_socks5_set(mosq, s->proxy_host, s->proxy_port, s->proxy_username,
                                  s->proxy_password);
    return rc == 0 || fail(s, "proxy", rc);
}

/* --- the client --- */

/* What the library said last that has gone wrong: codes alone do not tell why a certificate is
 * refused. */
static char last_error[LAST_ERROR_MAX];

static void keep_error(struct mosquitto *mosq, void *userdata, int level, const char *text)
{
    (void)mosq;
    (void)userdata;
    if (level == MOSQ_LOG_ERR)
        snprintf(last_error, sizeof(last_error), "%s", text);
}

static void print_log(struct mosquitto *mosq, void *userdata, int level, const char *text)
{
    keep_error(mosq, userdata, level, text);
    printf("%s\n", text);
    fflush(stdout);
}

void client_complain_why(const struct client_settings *s)
{
    if (*last_error && !s->debug)
        client_complain(s, "%s\n", last_error);
}

/* An id of our own: what -I says and the process, or "mosqpub|4711-host", cut to what MQTT 3.1
 * allows. To be freed; NULL without memory. */
static char *make_id(const struct client_settings *s)
{
    char host[HOST_NAME_MAX + 1] = "";
    char *id = NULL;

    if (s->id_prefix)
        return asprintf(&id, "%s%d", s->id_prefix, (int)getpid()) < 0 ? NULL : id;
    gethostname(host, sizeof(host) - 1);
    if (asprintf(&id, "%s|%d-%s", s->program->id_prefix, (int)getpid(), host) < 0)
        return NULL;
    if (strlen(id) > MOSQ_MQTT_ID_MAX_LENGTH)
        id[MOSQ_MQTT_ID_MAX_LENGTH] = 0;
    return id;
}

static struct mosquitto *make(const struct client_settings *s, void *userdata)
{
    char *id = s->id ? strdup(s->id) : make_id(s);
    struct mosquitto *mosq = id ? mosquitto_new(id, !s->keep_session, userdata) : NULL;

    if (!mosq)
        client_complain(s, "%s\n",
                        errno == EINVAL ? "Error: Invalid id." : "Error: Out of memory.");
    free(id);
    return mosq;
}

struct mosquitto *client_setup(const struct client_settings *s, void *userdata)
{
    struct mosquitto *mosq;

    mosquitto_lib_init();
    mosq = make(s, userdata);
    if (!mosq) {
        mosquitto_lib_cleanup();
        return NULL;
    }
    mosquitto_log_callback_set(mosq, s->debug ? print_log : keep_error);
    if (set_will(mosq, s) && set_login(mosq, s) && set_tls(mosq, s) && set_transport(mosq, s))
        return mosq;
    client_end(mosq);
    return NULL;
}

void client_end(struct mosquitto *mosq)
{
    if (!mosq)
        return;
    mosquitto_destroy(mosq);
    mosquitto_lib_cleanup();
}

/* --- the way to the broker --- */

static int connect_once(struct mosquitto *mosq, const struct client_settings *s)
{
    errno = 0;
    if (s->unix_path)
        return mosquitto_connect_bind(mosq, s->unix_path, 0, s->keepalive_s, NULL);
    if (s->srv)
        return mosquitto_connect_srv(mosq, s->host, s->keepalive_s, s->bind_address);
    return mosquitto_connect_bind(mosq, s->host, port_of(s), s->keepalive_s, s->bind_address);
}

void client_complain_connect(const struct client_settings *s, int rc, int error)
{
    if (rc == MOSQ_ERR_ERRNO) {
        client_complain(s, "Error: %s\n", strerror(error));
        return;
    }
    if (rc != MOSQ_ERR_EAI && rc != MOSQ_ERR_LOOKUP)
        client_complain_why(s);
    client_complain(s, "Unable to connect (%s).\n", mosquitto_strerror(rc));
}

static void sleep_ms(int ms)
{
    struct timespec t = {ms / 1000, ms % 1000 * 1000000L};

    nanosleep(&t, NULL);
}

/* -W holds while a connect waits, too, where only a signal gets in. Nothing is to be left behind
 * then but the exit code. */
static void time_out(int signal)
{
    (void)signal;
    if (write(STDERR_FILENO, "Timed out\n", 10) < 0)
        _exit(EXIT_TIMED_OUT);
    _exit(EXIT_TIMED_OUT);
}

static void time_out_quietly(int signal)
{
    (void)signal;
    _exit(EXIT_TIMED_OUT);
}

static void set_alarm(const struct client_settings *s, int seconds)
{
    struct sigaction action = {.sa_handler = s->quiet ? time_out_quietly : time_out};

    if (s->timeout_s == 0)
        return;
    if (seconds == 0)
        action.sa_handler = SIG_DFL;
    alarm((unsigned)seconds);
    sigaction(SIGALRM, &action, NULL);
}

static int reach(struct mosquitto *mosq, const struct client_settings *s)
{
    struct client_retry retry = {0};
    int rc = connect_once(mosq, s);
    int error = errno;

    client_retry_begin(&retry, s->retry_s == CLIENT_UNSET ? 0 : s->retry_s);
    while (rc != 0 && client_retry_wait_ms(&retry) >= 0) {
        sleep_ms(client_retry_wait_ms(&retry));
        client_retry_again(&retry);
        rc = connect_once(mosq, s);
        error = errno;
    }
    if (rc != 0)
        client_complain_connect(s, rc, error);
    return rc == 0 ? 0 : EXIT_BAD;
}

int client_reach(struct mosquitto *mosq, const struct client_settings *s)
{
    int exit_code;

    set_alarm(s, s->timeout_s);
    exit_code = reach(mosq, s);
    set_alarm(s, 0);
    return exit_code;
}

/* --- again --- */

void client_retry_begin(struct client_retry *r, int for_s)
{
    int64_t now = client_now_ms();

    if (r->until_ms)
        return;
    r->delay_ms = DELAY_FIRST_MS;
    r->next_ms = now + r->delay_ms;
    r->until_ms = for_s == CLIENT_UNSET ? INT64_MAX : now + (int64_t)for_s * 1000;
}

void client_retry_again(struct client_retry *r)
{
    r->delay_ms = r->delay_ms * 2 < DELAY_MAX_MS ? r->delay_ms * 2 : DELAY_MAX_MS;
    r->next_ms = client_now_ms() + r->delay_ms;
}

void client_retry_over(struct client_retry *r)
{
    *r = (struct client_retry){0};
}

int client_retry_wait_ms(const struct client_retry *r)
{
    int64_t now = client_now_ms();

    if (now >= r->until_ms)
        return -1;
    if (r->next_ms >= r->until_ms)
        return (int)(r->until_ms - now);
    return r->next_ms > now ? (int)(r->next_ms - now) : 0;
}
