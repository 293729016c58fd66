/*
 * What users set before they connect: will, login, proxy and numbers. TLS is in tls_options.c.
 *
 * Nothing here reaches a connection that stands; the next one begins with it. Only the window of
 * messages in flight changes at once. Strings are zeroed before they are freed: passwords, keys and
 * wills are nobody else's.
 */
#include "client/options_inside.h"

#include "base/feature.h"
#include "base/mem.h"
#include "client/user_ctx.h"
#include "mqtt/utf8.h"
#include "net/socks5.h"

#include <string.h>
#include <strings.h>

#define STRING_MAX 65535 /* bytes: lengths of strings in packets have two (1.5.3) */
#define STRINGS_MAX 4    /* that are replaced together */
#define WINDOW_MAX 65535
#define WINDOW_DEFAULT 20
#define WILL_PROPERTIES                                                                            \
    0x100 /* CMD_WILL of mqtt_protocol.h, whose names are also those of packet.h */

/* ---- All of them ---------------------------------------------------------------------------- */

void option_wipe(char **field)
{
    size_t size = *field ? strlen(*field) + 1 : 0; /* as str_dup has made it */

    if (*field)
        explicit_bzero(*field, size);
    mem_free(*field, size);
    *field = NULL;
}

enum err option_strings(const struct option_string *s, size_t n)
{
    char *copies[STRINGS_MAX] = {NULL};

    for (size_t i = 0; i < n; i++) {
        if (!s[i].value)
            continue;
        copies[i] = str_dup(str_c(s[i].value));
        if (!copies[i])
            goto fail;
    }
    for (size_t i = 0; i < n; i++) {
        option_wipe(s[i].field);
        *s[i].field = copies[i];
    }
    return ERR_OK;
fail:
    for (size_t i = 0; i < n; i++)
        option_wipe(&copies[i]);
    return ERR_NOMEM;
}

static void wipe_will(struct client_options *o)
{
    option_wipe(&o->will_topic);
    if (o->will_payload)
        explicit_bzero(o->will_payload, (size_t)o->will_len);
    mem_free(o->will_payload, (size_t)o->will_len);
    o->will_payload = NULL;
    o->will_len = 0;
    o->has_will = false;
}

void options_init(struct client_options *o)
{
    *o = (struct client_options){
        .level = PROTOCOL_311,
        .window = WINDOW_DEFAULT,
        .reconnect_delay_s = 1,
        .reconnect_delay_max_s = 1,
    };
}

void options_clear(struct client_options *o)
{
    char **strings[] = {
        &o->id,           &o->username,   &o->password,       &o->host,
        &o->bind_address, &o->proxy_host, &o->proxy_username, &o->proxy_password,
        &o->cafile,       &o->capath,     &o->bind_address_o, &o->certfile,
        &o->keyfile,      &o->ciphers,    &o->alpn,           &o->psk_identity,
        &o->psk_key,
    };

    for (size_t i = 0; i < ARRAY_SIZE(strings); i++)
        option_wipe(strings[i]);
    wipe_will(o);
    user_ctx_unref(o->ssl_ctx);
    *o = (struct client_options){0};
}

enum err options_set_id(struct mosquitto *m, const char *id)
{
    return option_strings(&(struct option_string){&m->options.id, id}, 1);
}

enum err options_make_id(struct mosquitto *m)
{
    static const char letters[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    char id[] = "mosq-..................";

    for (char *c = strchr(id, '.'); *c; c++)
        *c = letters[rng_below(&m->rng, sizeof(letters) - 1)];
    return options_set_id(m, id);
}

/* ---- Will ----------------------------------------------------------------------------------- */

static int check_will(const char *topic, int payloadlen, const void *payload, int qos)
{
    if (!topic || qos < 0 || qos > 2)
        return MOSQ_ERR_INVAL;
    if (payloadlen < 0 || payloadlen > STRING_MAX)
        return MOSQ_ERR_PAYLOAD_SIZE;
    if (payloadlen > 0 && !payload)
        return MOSQ_ERR_INVAL;
    if (mosquitto_pub_topic_check(topic) != MOSQ_ERR_SUCCESS)
        return MOSQ_ERR_INVAL;
    return utf8_valid(str_c(topic)) ? MOSQ_ERR_SUCCESS : MOSQ_ERR_MALFORMED_UTF8;
}

static enum err put_will(struct client_options *o, const char *topic, struct str payload)
{
    char *bytes = NULL;
    char *name = str_dup(str_c(topic));

    if (payload.n > 0)
        bytes = mem_alloc(payload.n);
    if (!name || (payload.n > 0 && !bytes)) {
        mem_free(bytes, payload.n);
        str_dup_free(name);
        return ERR_NOMEM;
    }
    if (bytes)
        memcpy(bytes, payload.p, payload.n);
    wipe_will(o);
    o->has_will = true;
    o->will_topic = name;
    o->will_payload = bytes;
    o->will_len = (int)payload.n;
    return ERR_OK;
}

int mosquitto_will_set(struct mosquitto *mosq, const char *topic, int payloadlen,
                       const void *payload, int qos, bool retain)
{
    int error = mosq ? check_will(topic, payloadlen, payload, qos) : MOSQ_ERR_INVAL;

    if (error)
        return error;
    client_enter(mosq);
    enum err e = put_will(&mosq->options, topic, str_of(payload, (size_t)payloadlen));
    if (!e) {
        mosq->options.will_qos = (enum qos)qos;
        mosq->options.will_retain = retain;
    }
    client_leave(mosq);
    return client_error(e);
}

int mosquitto_will_set_v5(struct mosquitto *mosq, const char *topic, int payloadlen,
                          const void *payload, int qos, bool retain, mosquitto_property *properties)
{
    int error = mosquitto_property_check_all(WILL_PROPERTIES, properties);

    if (!error)
        error = mosquitto_will_set(mosq, topic, payloadlen, payload, qos, retain);
    /* The list is ours now, and there is no packet that it could go into. */
    if (!error)
        mosquitto_property_free_all(&properties);
    return error;
}

int mosquitto_will_clear(struct mosquitto *mosq)
{
    if (!mosq)
        return MOSQ_ERR_INVAL;
    client_enter(mosq);
    wipe_will(&mosq->options);
    client_leave(mosq);
    return MOSQ_ERR_SUCCESS;
}

/* ---- Login and proxy ------------------------------------------------------------------------ */

/* A password needs a name (3.1.2-22). */
int mosquitto_username_pw_set(struct mosquitto *mosq, const char *username, const char *password)
{
    if (!mosq || (password && !username))
        return MOSQ_ERR_INVAL;
    if (str_c(username).n > STRING_MAX || str_c(password).n > STRING_MAX)
        return MOSQ_ERR_INVAL;
    if (!utf8_valid(str_c(username)))
        return MOSQ_ERR_MALFORMED_UTF8;
    const struct option_string s[] = {
        {&mosq->options.username, username},
        {&mosq->options.password, password},
    };
    client_enter(mosq);
    enum err e = option_strings(s, ARRAY_SIZE(s));
    client_leave(mosq);
    return client_error(e);
}

int mosquitto_socks5_set(struct mosquitto *mosq, const char *host, int port, const char *username,
                         const char *password)
{
    if (!mosq || !host || !*host || port < 1 || port > UINT16_MAX)
        return MOSQ_ERR_INVAL;
    if (str_c(host).n > SOCKS5_HOST_MAX || str_c(username).n > SOCKS5_HOST_MAX ||
        str_c(password).n > SOCKS5_HOST_MAX)
        return MOSQ_ERR_INVAL;
    if (!feature_built(FEATURE_SOCKS))
        return MOSQ_ERR_NOT_SUPPORTED;
    const struct option_string s[] = {
        {&mosq->options.proxy_host, host},
        {&mosq->options.proxy_username, username},
        {&mosq->options.proxy_password, username ? password : NULL},
    };
    client_enter(mosq);
    enum err e = option_strings(s, ARRAY_SIZE(s));
    if (!e)
        mosq->options.proxy_port = port;
    client_leave(mosq);
    return client_error(e);
}

/* ---- Numbers and others --------------------------------------------------------------------- */

int mosquitto_reconnect_delay_set(struct mosquitto *mosq, unsigned int reconnect_delay,
                                  unsigned int reconnect_delay_max,
                                  bool reconnect_exponential_backoff)
{
    if (!mosq)
        return MOSQ_ERR_INVAL;
    if (reconnect_delay == 0)
        reconnect_delay = 1;
    if (reconnect_delay_max < reconnect_delay)
        reconnect_delay_max = reconnect_delay;
    client_enter(mosq);
    mosq->options.reconnect_delay_s = reconnect_delay;
    mosq->options.reconnect_delay_max_s = reconnect_delay_max;
    mosq->options.reconnect_exponential = reconnect_exponential_backoff;
    client_leave(mosq);
    return MOSQ_ERR_SUCCESS;
}

static int put_window(struct mosquitto *m, uint32_t messages)
{
    m->options.window = messages;
    engine_set_window(m->engine, messages);
    return MOSQ_ERR_SUCCESS;
}

int mosquitto_max_inflight_messages_set(struct mosquitto *mosq, unsigned int max_inflight_messages)
{
    if (!mosq || max_inflight_messages > WINDOW_MAX)
        return MOSQ_ERR_INVAL;
    client_enter(mosq);
    int error = put_window(mosq, max_inflight_messages);
    client_leave(mosq);
    return error;
}

void mosquitto_message_retry_set(struct mosquitto *mosq, unsigned int message_retry)
{
    (void)mosq;
    (void)message_retry;
}

static int put_version(struct mosquitto *m, int version)
{
    if (version == MQTT_PROTOCOL_V5)
        return MOSQ_ERR_NOT_SUPPORTED;
    if (version != MQTT_PROTOCOL_V31 && version != MQTT_PROTOCOL_V311)
        return MOSQ_ERR_INVAL;
    m->options.level = (uint8_t)version;
    return MOSQ_ERR_SUCCESS;
}

static int put_int(struct mosquitto *m, enum mosq_opt_t option, int value)
{
    switch (option) {
    case MOSQ_OPT_PROTOCOL_VERSION:
        return put_version(m, value);
    case MOSQ_OPT_RECEIVE_MAXIMUM:
        return value < 0 || value > WINDOW_MAX ? MOSQ_ERR_INVAL : MOSQ_ERR_SUCCESS;
    case MOSQ_OPT_SEND_MAXIMUM:
        return value < 0 || value > WINDOW_MAX ? MOSQ_ERR_INVAL : put_window(m, (uint32_t)value);
    case MOSQ_OPT_TCP_NODELAY:
        m->options.nodelay = value != 0;
        return MOSQ_ERR_SUCCESS;
    case MOSQ_OPT_SSL_CTX_WITH_DEFAULTS:
        return option_tls_flag(m, &m->options.ssl_ctx_with_defaults, value);
    case MOSQ_OPT_TLS_OCSP_REQUIRED:
        return option_tls_flag(m, &m->options.tls_ocsp, value);
    case MOSQ_OPT_TLS_USE_OS_CERTS:
        return option_tls_flag(m, &m->options.tls_os_certs, value);
    default:
        return MOSQ_ERR_INVAL;
    }
}

int mosquitto_int_option(struct mosquitto *mosq, enum mosq_opt_t option, int value)
{
    if (!mosq)
        return MOSQ_ERR_INVAL;
    client_enter(mosq);
    int error = put_int(mosq, option, value);
    client_leave(mosq);
    return error;
}

/* Keys come from files. OpenSSL has given up its engines, and this library never had them. */
static int refuse_engine(enum mosq_opt_t option, const char *value)
{
    if (!value)
        return MOSQ_ERR_INVAL;
    if (option != MOSQ_OPT_TLS_KEYFORM || strcasecmp(value, "engine") == 0)
        return MOSQ_ERR_NOT_SUPPORTED;
    return strcasecmp(value, "pem") == 0 ? MOSQ_ERR_SUCCESS : MOSQ_ERR_INVAL;
}

static int put_string(struct mosquitto *m, enum mosq_opt_t option, const char *value)
{
    switch (option) {
    case MOSQ_OPT_BIND_ADDRESS:
        return client_error(
            option_strings(&(struct option_string){&m->options.bind_address_o, value}, 1));
    case MOSQ_OPT_TLS_ALPN:
        return option_tls_alpn(m, value);
    case MOSQ_OPT_TLS_ENGINE:
    case MOSQ_OPT_TLS_KEYFORM:
    case MOSQ_OPT_TLS_ENGINE_KPASS_SHA1:
        return refuse_engine(option, value);
    default:
        return MOSQ_ERR_INVAL;
    }
}

int mosquitto_string_option(struct mosquitto *mosq, enum mosq_opt_t option, const char *value)
{
    if (!mosq)
        return MOSQ_ERR_INVAL;
    client_enter(mosq);
    int error = put_string(mosq, option, value);
    client_leave(mosq);
    return error;
}

int mosquitto_void_option(struct mosquitto *mosq, enum mosq_opt_t option, void *value)
{
    if (!mosq || !value || option != MOSQ_OPT_SSL_CTX)
        return MOSQ_ERR_INVAL;
    client_enter(mosq);
    int error = option_tls_ctx(mosq, value);
    client_leave(mosq);
    return error;
}

int mosquitto_opts_set(struct mosquitto *mosq, enum mosq_opt_t option, void *value)
{
    if (!mosq || !value)
        return MOSQ_ERR_INVAL;
    if (option == MOSQ_OPT_PROTOCOL_VERSION)
        return mosquitto_int_option(mosq, option, *(int *)value);
    return mosquitto_void_option(mosq, option, value);
}
