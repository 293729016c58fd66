/*
 * What an administrator wants to see of a listener at a glance: who can get there, and how.
 */
#include "conf/describe.h"

#include "conf/network.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define SHOWN_MAX 128

/* Appends to a text that ends at *used; what does not fit is cut. */
static void add(char *out, size_t cap, const char *text)
{
    size_t used = strlen(out);

    snprintf(out + used, cap - used, "%s", text);
}

static bool all_zero(const struct conf_network *n)
{
    for (size_t i = 0; i < sizeof(n->ip); i++) {
        if (n->ip[i])
            return false;
    }
    return true;
}

enum reach describe_reach(const struct conf_listener *l)
{
    struct conf_network n;

    if (l->port == 0 || (l->bind_interface && strcmp(l->bind_interface, "lo") == 0))
        return REACH_MACHINE;
    if (l->address && strcasecmp(l->address, "localhost") == 0)
        return REACH_MACHINE;
    if (l->address && network_parse(str_c(l->address), &n) != ERR_OK)
        return REACH_ADDRESS;
    if (l->address && network_is_loopback(&n))
        return REACH_MACHINE;
    if (l->bind_interface || (l->address && !all_zero(&n)))
        return REACH_ADDRESS;
    return REACH_ALL;
}

char *describe_name(const struct conf_listener *l, char *out, size_t cap)
{
    char address[SHOWN_MAX];

    str_escape(str_c(l->address ? l->address : ""), address, sizeof(address));
    if (l->port == 0)
        snprintf(out, cap, "listener on %s", address);
    else if (l->address)
        snprintf(out, cap, "listener on port %u of %s", l->port, address);
    else
        snprintf(out, cap, "listener on port %u", l->port);
    return out;
}

static void add_reach(const struct conf_listener *l, char *out, size_t cap)
{
    char shown[SHOWN_MAX], part[SHOWN_MAX + 40];
    enum reach reach = describe_reach(l);

    if (reach == REACH_MACHINE)
        add(out, cap, "reachable from this machine only");
    else if (l->bind_interface && reach == REACH_ADDRESS) {
        str_escape(str_c(l->bind_interface), shown, sizeof(shown));
        snprintf(part, sizeof(part), "reachable through the interface %s", shown);
        add(out, cap, part);
    } else if (reach == REACH_ADDRESS)
        add(out, cap, "reachable through this address");
    else
        add(out, cap, "reachable from everywhere");
    if (l->port != 0 && l->socket_domain)
        add(out, cap, l->socket_domain == 4 ? " by IPv4" : " by IPv6");
}

static void add_proxy(const struct conf_listener *l, char *out, size_t cap)
{
    static const char *const versions[] = {
        [CONF_PROXY_V1] = " version 1", [CONF_PROXY_V2] = " version 2", [CONF_PROXY_ANY] = ""};
    char part[120];

    if (l->proxy == CONF_PROXY_OFF)
        return;
    if (l->trusted_count == 0)
        snprintf(part, sizeof(part),
                 ", behind proxies (PROXY protocol%s) that anybody may claim to be",
                 versions[l->proxy]);
    else
        snprintf(part, sizeof(part),
                 ", behind proxies (PROXY protocol%s) from %zu trusted network%s",
                 versions[l->proxy], l->trusted_count, l->trusted_count == 1 ? "" : "s");
    add(out, cap, part);
}

static const char *protocol(const struct conf_listener *l)
{
    switch (l->accept_versions & (CONF_MQTT_31 | CONF_MQTT_311)) {
    case CONF_MQTT_31:
        return "MQTT 3.1 only";
    case CONF_MQTT_311:
        return "MQTT 3.1.1 only";
    case 0:
        return "no version of MQTT that is served";
    default:
        return "MQTT";
    }
}

static void add_protocol(const struct conf_listener *l, char *out, size_t cap)
{
    bool served = l->accept_versions & (CONF_MQTT_31 | CONF_MQTT_311);

    add(out, cap, served && !conf_listener_has_tls(l) ? ", plain " : ", ");
    add(out, cap, protocol(l));
    if (l->psk_hint)
        add(out, cap, " by TLS with pre-shared keys");
    else if (conf_listener_has_tls(l))
        add(out, cap, " by TLS");
}

static void add_path(const char *what, const char *path, char *out, size_t cap)
{
    char shown[SHOWN_MAX];

    if (!path)
        return;
    add(out, cap, what);
    add(out, cap, str_escape(str_c(path), shown, sizeof(shown)));
}

/* How clients say who they are, and what they may do then. */
static void add_users(const struct conf_listener *l, char *out, size_t cap)
{
    bool proven = conf_listener_proves_names(l);

    if (conf_listener_has_tls(l) && l->require_certificate)
        add(out, cap, ", client certificates required");
    if (proven)
        add(out, cap,
            l->psk_hint                   ? ", user names by key"
            : l->use_identity_as_username ? ", user names by certificate (common name)"
                                          : ", user names by certificate (subject)");
    else
        add_path(", users of ", l->security.password_file, out, cap);
    add_path(", rights of ", l->security.acl_file, out, cap);
    add(out, cap,
        l->security.allow_anonymous && !proven ? ", anonymous clients allowed."
                                               : ", anonymous clients refused.");
}

static void add_rules(const struct conf_listener *l, char *out, size_t cap)
{
    char shown[SHOWN_MAX], part[SHOWN_MAX + 40];

    if (l->mount_point) {
        str_escape(str_c(l->mount_point), shown, sizeof(shown));
        snprintf(part, sizeof(part), ", mounted at '%s'", shown);
        add(out, cap, part);
    }
    if (l->max_connections > 0) {
        snprintf(part, sizeof(part), ", %d connections at most", (int)l->max_connections);
        add(out, cap, part);
    }
}

void conf_describe_listener(const struct conf *c, const struct conf_listener *l, char *out,
                            size_t cap)
{
    char where[300];

    describe_name(l, out, cap);
    out[0] = (char)toupper((unsigned char)out[0]);
    if (l->file) {
        snprintf(where, sizeof(where), " (%s:%u)", l->file, (unsigned)l->line);
        add(out, cap, where);
    } else if (c->local_only) {
        add(out, cap, " (no listener is configured)");
    }
    add(out, cap, ": ");
    add_reach(l, out, cap);
    add_proxy(l, out, cap);
    add_protocol(l, out, cap);
    add_rules(l, out, cap);
    add_users(l, out, cap);
}
