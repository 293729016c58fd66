/*
 * URLs, as far as these programs use them. As with Mosquitto's programs, user and password of a
 * proxy may have "%3A" for ':'; what is said of a broker is taken as it stands. No message shows a
 * URL, since there may be a password in it.
 */
#include "clients/url.h"

#include "mosquitto.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#define PROXY_PORT 1080

/* USER:PASSWORD@HOST:PORT; all but the host may be missing. */
struct authority {
    char *user, *password, *host;
    int port; /* CLIENT_UNSET */
};

/* The whole of the text as a port. */
static bool read_port(const char *text, int *port)
{
    char *end;
    long n = strtol(text, &end, 10);

    if (*text < '0' || *text > '9' || *end || n < 1 || n > 65535)
        return false;
    *port = (int)n;
    return true;
}

/* Cut at the last '@': user and password before it. */
static char *split_login(char *text, struct authority *a)
{
    char *at = strrchr(text, '@'), *colon;

    if (!at)
        return text;
    *at = 0;
    a->user = text;
    colon = strchr(text, ':');
    if (colon) {
        *colon = 0;
        a->password = colon + 1;
    }
    return at + 1;
}

/* HOST, HOST:PORT, [ADDRESS], [ADDRESS]:PORT */
static bool split_host(char *text, struct authority *a)
{
    char *end;

    a->host = text;
    a->port = CLIENT_UNSET;
    if (*text == '[') {
        a->host = text + 1;
        end = strchr(text, ']');
        if (!end)
            return false;
        *end++ = 0;
    } else {
        end = text + strcspn(text, ":");
    }
    if (!*a->host && *text == '[')
        return false;
    if (!*end)
        return true;
    if (*end != ':')
        return false;
    *end = 0;
    return read_port(end + 1, &a->port);
}

static bool split(char *text, struct authority *a)
{
    *a = (struct authority){0};
    return split_host(split_login(text, a), a);
}

static bool keep_broker(struct client_settings *s, const struct authority *a, const char *topic)
{
    s->port = a->port == CLIENT_UNSET ? s->port : a->port;
    return client_keep(&s->host, *a->host ? a->host : "localhost") &&
           (!a->user || client_keep(&s->username, a->user)) &&
           (!a->password || client_keep(&s->password, a->password)) &&
           client_keep_also(&s->topics, topic);
}

static bool take_broker(struct client_settings *s, char *text)
{
    struct authority a;
    char *slash = strchr(text, '/');

    if (!slash || !slash[1])
        return client_refuse(s, "Invalid URL for -L argument specified - topic missing.");
    *slash = 0;
    if (mosquitto_validate_utf8(slash + 1, (int)strlen(slash + 1)))
        return client_refuse(s, "Malformed UTF-8 in -L argument.");
    if (!split(text, &a))
        return client_refuse(s, "Invalid URL for -L argument specified - the host must be a name, "
                                "an IPv4 address or an [IPv6 address], the port a number from 1 to "
                                "65535.");
    return keep_broker(s, &a, slash + 1);
}

static const char *behind(const char *text, const char *prefix)
{
    size_t n = strlen(prefix);

    return strncasecmp(text, prefix, n) == 0 ? text + n : NULL;
}

bool client_url_broker(struct client_settings *s, const struct client_row *row, const char *value)
{
    const char *rest = behind(value, "mqtt://"), *secure = behind(value, "mqtts://");
    char *text = NULL;
    bool ok;

    (void)row;
    if (behind(value, "ws://") || behind(value, "wss://"))
        return client_refuse(s, "WebSockets (ws:// and wss:// of -L) are not in this build.");
    if (!rest && !secure)
        return client_refuse(s, "unsupported URL scheme.");
    if (secure)
        s->tls = true;
    if (!client_keep(&text, secure ? secure : rest))
        return false;
    ok = take_broker(s, text);
    explicit_bzero(text, strlen(text));
    free(text);
    return ok;
}

static int digit(char c)
{
    const char *digits = "0123456789abcdef",
               *at = c ? strchr(digits, tolower((unsigned char)c)) : NULL;

    return at ? (int)(at - digits) : -1;
}

/* In place. false: a '%' without two digits behind it, or a NUL. */
static bool decode(char *text)
{
    char *to = text;

    if (!text)
        return true;
    for (const char *from = text; *from; from++) {
        int high, low;

        if (*from != '%') {
            *to++ = *from;
            continue;
        }
        high = digit(from[1]);
        low = high < 0 ? -1 : digit(from[2]);
        if (low < 0 || (high | low) == 0)
            return false;
        *to++ = (char)(high << 4 | low);
        from += 2;
    }
    *to = 0;
    return true;
}

static bool keep_proxy(struct client_settings *s, const struct authority *a)
{
    s->proxy_port = a->port == CLIENT_UNSET ? PROXY_PORT : a->port;
    return client_keep(&s->proxy_host, a->host) &&
           (!a->user || client_keep(&s->proxy_username, a->user)) &&
           (!a->password || client_keep(&s->proxy_password, a->password));
}

bool client_url_proxy(struct client_settings *s, const struct client_row *row, const char *value)
{
    const char *rest = behind(value, "socks5h://");
    struct authority a;
    char *text = NULL;
    bool ok;

    (void)row;
    if (!rest)
        return client_refuse(s, "Unsupported proxy protocol; it is socks5h://[USER[:PASSWORD]@]"
                                "HOST[:PORT]");
    if (!client_keep(&text, rest))
        return false;
    text[strcspn(text, "/")] = 0;
    if (!split(text, &a) || !*a.host)
        ok = client_refuse(s, "Invalid proxy; it is socks5h://[USER[:PASSWORD]@]HOST[:PORT]");
    else if (!decode(a.user) || !decode(a.password))
        ok = client_refuse(s, "Invalid proxy; behind a %% in the user or password stand two "
                              "hexadecimal digits.");
    else
        ok = keep_proxy(s, &a);
    explicit_bzero(text, strlen(rest));
    free(text);
    return ok;
}
