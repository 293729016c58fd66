/*
 * A bridge must be able to connect, to carry something and to be told from others; what is to
 * protect it needs company, as with listeners.
 *
 * Mosquitto connects in clear, or never, with some of what is an error here.
 */
#include "conf/check_bridge.h"

#include "base/mem.h"
#include "conf/bridge_address.h"
#include "mqtt/topic.h"

#include <ctype.h>
#include <stdio.h>

#define RESTART_BASE_MAX 3600
#define PROBES_MAX 127 /* the system's limit */

/* Three texts as one; NULL without memory. */
static char *join(const char *a, const char *b, const char *c)
{
    size_t size = strlen(a) + strlen(b) + strlen(c) + 1;
    char *text = mem_alloc(size);

    if (text)
        snprintf(text, size, "%s%s%s", a, b, c);
    return text;
}

static enum err settle_one(struct conf_bridge *b, const struct section *s, const char *hostname)
{
    bool named = hostname && *hostname;

    if (!section_given(s, "local_cleansession").line)
        b->local_clean = b->clean;
    if (b->restart_cap == 0)
        b->restart_cap = b->restart_base;
    if (!b->remote_clientid)
        b->remote_clientid = join(named ? hostname : "", named ? "." : "", b->name);
    if (b->remote_clientid && !b->local_clientid)
        b->local_clientid = join("local.", b->remote_clientid, "");
    if (b->remote_clientid && !b->notification_topic)
        b->notification_topic = join("$SYS/broker/connection/", b->remote_clientid, "/state");
    return b->remote_clientid && b->local_clientid && b->notification_topic ? ERR_OK : ERR_NOMEM;
}

enum err bridges_settle(struct draft *d, const char *hostname)
{
    enum err e = ERR_OK;

    for (size_t i = 0; i < d->conf->bridge_count && !e; i++)
        e = settle_one(d->conf->bridges[i], d->bridge_sections[i], hostname);
    return e;
}

/* A bridge on the way, and what was said of it. */
struct view {
    struct draft *d;
    size_t i;
    const struct conf_bridge *b;
    const struct section *s;
};

static void fault(const struct view *v, const char *option, const char *why)
{
    draft_error(v->d, section_given(v->s, option), option, why);
}

#define NAME_SHOWN_MAX 100

/* "connection 'NAME'". */
static char *name_of(const struct conf_bridge *b, char out[NAME_SHOWN_MAX])
{
    char shown[NAME_SHOWN_MAX - 15];

    snprintf(out, NAME_SHOWN_MAX, "connection '%s'",
             str_escape(str_c(b->name), shown, sizeof(shown)));
    return out;
}

static void whole_fault(const struct view *v, const char *why)
{
    char name[NAME_SHOWN_MAX];

    draft_error(v->d, draft_bridge_at(v->d, v->i), name_of(v->b, name), why);
}

/* An earlier bridge that would be the same client here. */
static void check_unique(const struct view *v)
{
    char shown[80], where[PLACE_MAX], why[PLACE_MAX + 200];

    for (size_t j = 0; j < v->i; j++) {
        const struct conf_bridge *other = v->d->conf->bridges[j];
        if (strcmp(other->local_clientid, v->b->local_clientid) != 0)
            continue;
        snprintf(why, sizeof(why),
                 "expected local_clientid to be its own; the bridge of %s is '%s' at this broker, "
                 "too.",
                 draft_place(v->d, draft_bridge_at(v->d, j), where, sizeof(where)),
                 str_escape(str_c(v->b->local_clientid), shown, sizeof(shown)));
        whole_fault(v, why);
        return;
    }
}

static void check_ends(const struct view *v)
{
    if (!section_given(v->s, "address").line)
        whole_fault(v, "expected an address line, with the host of the remote broker.");
    if (!section_given(v->s, "topic").line)
        whole_fault(v, "expected at least one topic line, with what is bridged.");
    if (v->b->notifications && topic_check_name(str_c(v->b->notification_topic)) != REASON_OK)
        whole_fault(v, "expected notification_topic: that made of the client id is no topic.");
    if (v->b->bind_address && !bridge_address_is_ip(str_c(v->b->bind_address)))
        fault(v, "bridge_bind_address",
              "expected an address of this machine, such as 192.0.2.1 or 2001:db8::1.");
    if (v->b->remote_password && !v->b->remote_username)
        fault(v, "remote_password",
              "expected remote_username too: MQTT has no password without a user name.");
}

static void check_numbers(const struct view *v)
{
    const struct conf_bridge *b = v->b;

    if (b->restart_base > RESTART_BASE_MAX)
        fault(v, "restart_timeout", "expected a first number from 1 to 3600 seconds.");
    else if (b->restart_cap < b->restart_base)
        fault(v, "restart_timeout", "expected the second number to be no smaller than the first.");
    if (b->tcp_keepalive_count > PROBES_MAX)
        fault(v, "bridge_tcp_keepalive", "expected a third number from 1 to 127.");
}

static bool is_hex(const char *text)
{
    while (isxdigit((unsigned char)*text))
        text++;
    return *text == '\0';
}

static void check_psk(const struct view *v)
{
    static const char *const others[] = {"bridge_cafile", "bridge_capath", "bridge_certfile",
                                         "bridge_keyfile"};
    const struct conf_bridge *b = v->b;

    if (b->psk && !b->identity)
        fault(v, "bridge_psk", "expected bridge_identity too, with the name of this key.");
    if (b->identity && !b->psk)
        fault(v, "bridge_identity", "expected bridge_psk too, with the key of this name.");
    if (b->psk && (!is_hex(b->psk) || strlen(b->psk) % 2 != 0))
        fault(v, "bridge_psk", "expected a key in hexadecimal: pairs of 0 to 9 and a to f.");
    if (!b->psk && !b->identity)
        return;
    for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
        if (section_given(v->s, others[i]).line)
            fault(v, others[i], "expected without bridge_psk: with it there are no certificates.");
    }
    if (b->use_os_certs)
        fault(v, "bridge_tls_use_os_certs",
              "expected without bridge_psk: with it there are no certificates.");
}

static void check_certificate(const struct view *v)
{
    if (v->b->certfile && !v->b->keyfile)
        fault(v, "bridge_certfile",
              "expected bridge_keyfile too, with the private key of this certificate.");
    if (v->b->keyfile && !v->b->certfile)
        fault(v, "bridge_keyfile",
              "expected bridge_certfile too, with the certificate of this key.");
}

void bridges_check(struct draft *d)
{
    for (size_t i = 0; i < d->conf->bridge_count; i++) {
        struct view v = {d, i, d->conf->bridges[i], d->bridge_sections[i]};
        check_unique(&v);
        check_ends(&v);
        check_numbers(&v);
        check_psk(&v);
        check_certificate(&v);
    }
}

static void idle(const struct draft *d, size_t i, const char *option, const char *why)
{
    struct place at = section_given(d->bridge_sections[i], option);

    if (at.line)
        draft_warning(d, at, option, why);
}

/* Options that are only for some bridges. */
static void warn_tls(const struct draft *d, size_t i)
{
    static const char *const of_certificates[] = {"bridge_insecure", "bridge_require_ocsp"};
    static const char *const of_tls[] = {"bridge_certfile", "bridge_alpn", "bridge_ciphers",
                                         "bridge_ciphers_tls1.3", "bridge_tls_version"};
    static const char plain[] =
        "has no effect: without bridge_cafile, bridge_capath, bridge_tls_use_os_certs or "
        "bridge_psk the bridge has no TLS.";
    const struct conf_bridge *b = d->conf->bridges[i];
    bool tls = conf_bridge_has_tls(b);
    bool asks[] = {b->insecure, b->require_ocsp};

    for (size_t o = 0; o < ARRAY_SIZE(of_tls) && !tls; o++)
        idle(d, i, of_tls[o], plain);
    for (size_t o = 0; o < ARRAY_SIZE(of_certificates) && (!tls || b->psk); o++) {
        if (asks[o])
            idle(d, i, of_certificates[o],
                 tls ? "has no effect: with bridge_psk there are no certificates." : plain);
    }
}

static void warn_others(const struct draft *d, size_t i)
{
    const struct conf_bridge *b = d->conf->bridges[i];

    if (b->start_type != CONF_START_LAZY) {
        idle(d, i, "idle_timeout", "has no effect without 'start_type lazy'.");
        idle(d, i, "threshold", "has no effect without 'start_type lazy'.");
    }
    if (!b->notifications) {
        idle(d, i, "notification_topic", "has no effect with 'notifications false'.");
        if (b->notifications_local_only)
            idle(d, i, "notifications_local_only", "has no effect with 'notifications false'.");
    }
}

void bridges_warn(const struct draft *d)
{
    for (size_t i = 0; i < d->conf->bridge_count; i++) {
        warn_tls(d, i);
        warn_others(d, i);
    }
}
