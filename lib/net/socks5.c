/*
 * The handshake with a SOCKS5 proxy.
 *
 * Of an answer no more is asked for than is needed to know what comes next: first the two bytes
 * that hold the verdict, so that a proxy that says no in fewer bytes than it should is understood
 * as well; then the beginning of the address that follows; then that address, which nobody needs.
 */
#include "net/socks5.h"

#include <arpa/inet.h>
#include <string.h>

#define VERSION 5
#define LOGIN_VERSION 1 /* of RFC 1929 */
#define CONNECT 1

enum state {
    STATE_METHOD,  /* it chooses how we log in */
    STATE_LOGIN,   /* it judges name and password */
    STATE_VERDICT, /* it has connected us, or not … */
    STATE_ADDRESS, /* … and from which address, which begins here … */
    STATE_REST,    /* … and ends here */
    STATE_DONE,
    STATE_FAILED
};

enum method { METHOD_NONE = 0, METHOD_PASSWORD = 2, METHOD_REFUSED = 0xff };
enum kind { KIND_IPV4 = 1, KIND_NAME = 3, KIND_IPV6 = 4 };

static void put(struct socks5 *s, const void *p, size_t n)
{
    memcpy(s->out + s->out_len, p, n);
    s->out_len += n;
}

static void put_byte(struct socks5 *s, size_t byte)
{
    s->out[s->out_len++] = (uint8_t)byte;
}

/* A new message: the answer to the former one has come, so that was written. */
static void begin(struct socks5 *s, enum state state)
{
    s->out_at = 0;
    s->out_len = 0;
    s->in_len = 0;
    s->in_need = 2;
    s->state = (uint8_t)state;
}

static void ask_methods(struct socks5 *s)
{
    begin(s, STATE_METHOD);
    put_byte(s, VERSION);
    put_byte(s, s->username.p ? 2 : 1);
    put_byte(s, METHOD_NONE);
    if (s->username.p) {
        put_byte(s, METHOD_PASSWORD);
    }
}

static void log_in(struct socks5 *s)
{
    begin(s, STATE_LOGIN);
    put_byte(s, LOGIN_VERSION);
    put_byte(s, s->username.n);
    put(s, s->username.p, s->username.n);
    put_byte(s, s->password.n);
    if (s->password.n > 0) {
        put(s, s->password.p, s->password.n);
    }
}

/* As an address if it is one, otherwise for the proxy to look up. */
static void put_host(struct socks5 *s)
{
    char text[INET6_ADDRSTRLEN] = "";
    uint8_t ip[16];
    if (s->host.n < sizeof(text)) {
        memcpy(text, s->host.p, s->host.n);
    }
    if (inet_pton(AF_INET, text, ip) == 1) {
        put_byte(s, KIND_IPV4);
        put(s, ip, 4);
    } else if (inet_pton(AF_INET6, text, ip) == 1) {
        put_byte(s, KIND_IPV6);
        put(s, ip, 16);
    } else {
        put_byte(s, KIND_NAME);
        put_byte(s, s->host.n);
        put(s, s->host.p, s->host.n);
    }
}

static void ask_connection(struct socks5 *s)
{
    begin(s, STATE_VERDICT);
    put_byte(s, VERSION);
    put_byte(s, CONNECT);
    put_byte(s, 0);
    put_host(s);
    put_byte(s, s->port >> 8U);
    put_byte(s, s->port & 0xffU);
}

static enum err failed(struct socks5 *s, enum err e, const char *why)
{
    s->state = STATE_FAILED;
    s->why = why;
    return e;
}

static enum err no_proxy(struct socks5 *s)
{
    return failed(s, ERR_PROTOCOL, "what answers is no SOCKS5 proxy");
}

static enum err take_method(struct socks5 *s)
{
    if (s->in[0] != VERSION) {
        return no_proxy(s);
    }
    switch (s->in[1]) {
    case METHOD_NONE:
        ask_connection(s);
        return ERR_AGAIN;
    case METHOD_PASSWORD:
        if (!s->username.p) {
            break;
        }
        log_in(s);
        return ERR_AGAIN;
    case METHOD_REFUSED:
        return failed(s, ERR_DENIED,
                      s->username.p ? "the proxy does not log in by user name and password"
                                    : "the proxy wants a user name, or a login of another kind");
    default:
        break;
    }
    return failed(s, ERR_PROTOCOL, "the proxy wants a login that was not offered");
}

static enum err take_login(struct socks5 *s)
{
    if (s->in[0] != LOGIN_VERSION) {
        return no_proxy(s);
    }
    if (s->in[1] != 0) {
        return failed(s, ERR_DENIED, "the proxy does not take this user name and password");
    }
    ask_connection(s);
    return ERR_AGAIN;
}

/* RFC 1928, 6. */
static enum err refused(struct socks5 *s)
{
    switch (s->in[1]) {
    case 1:
        return failed(s, ERR_PROTOCOL, "the proxy has failed, and does not say how");
    case 2:
        return failed(s, ERR_DENIED, "the proxy's rules do not allow this host and port");
    case 3:
        return failed(s, ERR_NOT_FOUND, "the proxy cannot reach the host's network");
    case 4:
        return failed(s, ERR_NOT_FOUND, "the proxy cannot find or reach the host");
    case 5:
        return failed(s, ERR_NOT_FOUND, "the proxy says that the host refuses the connection");
    case 6:
        return failed(s, ERR_NOT_FOUND, "the proxy says that the host is too far away, or silent");
    case 7:
        return failed(s, ERR_PROTOCOL, "the proxy does not connect anybody");
    case 8:
        return failed(s, ERR_NOT_FOUND, "the proxy does not know addresses of this kind");
    default:
        return failed(s, ERR_PROTOCOL, "the proxy refuses for a reason that nobody knows");
    }
}

static enum err take_verdict(struct socks5 *s)
{
    if (s->in[0] != VERSION) {
        return no_proxy(s);
    }
    if (s->in[1] != 0) {
        return refused(s);
    }
    s->state = STATE_ADDRESS;
    s->in_need = 5;
    return ERR_AGAIN;
}

static enum err take_address(struct socks5 *s)
{
    switch (s->in[3]) {
    case KIND_IPV4:
        s->in_need = 4 + 4 + 2;
        break;
    case KIND_IPV6:
        s->in_need = 4 + 16 + 2;
        break;
    case KIND_NAME:
        s->in_need = 4 + 1 + s->in[4] + (size_t)2;
        break;
    default:
        return no_proxy(s);
    }
    s->state = STATE_REST;
    return ERR_AGAIN;
}

/* What was needed has come. */
static enum err answered(struct socks5 *s)
{
    switch ((enum state)s->state) {
    case STATE_METHOD:
        return take_method(s);
    case STATE_LOGIN:
        return take_login(s);
    case STATE_VERDICT:
        return take_verdict(s);
    case STATE_ADDRESS:
        return take_address(s);
    case STATE_REST:
        s->state = STATE_DONE;
        return ERR_OK;
    case STATE_DONE:
        return ERR_OK;
    case STATE_FAILED:
        break;
    }
    return ERR_PROTOCOL;
}

enum err socks5_begin(struct socks5 *s, struct str host, uint16_t port, struct str username,
                      struct str password)
{
    if (host.n == 0 || host.n > SOCKS5_HOST_MAX || (username.p && username.n == 0) ||
        username.n > SOCKS5_HOST_MAX || password.n > SOCKS5_HOST_MAX) {
        return ERR_INVAL;
    }
    *s = (struct socks5){.host = host, .username = username, .password = password, .port = port};
    s->why = "nothing has failed";
    ask_methods(s);
    return ERR_OK;
}

enum err socks5_step(struct socks5 *s, const uint8_t *p, size_t n, size_t *used)
{
    enum err e = s->state == STATE_DONE ? ERR_OK : ERR_AGAIN;
    *used = 0;
    if (s->state == STATE_FAILED) {
        return ERR_PROTOCOL;
    }
    while (e == ERR_AGAIN && *used < n) {
        /* Who answers before it was asked is not answering us. */
        if (s->out_at < s->out_len) {
            return no_proxy(s);
        }
        s->in[s->in_len++] = p[(*used)++];
        if (s->in_len == s->in_need) {
            e = answered(s);
        }
    }
    return e;
}
