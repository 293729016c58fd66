/*
 * Options of a listener, and those on who may connect there.
 */
#include "conf/rows.h"

static const struct option_word socket_domains[] = {
    {"ipv4", 4, WORD_ASSIGNS}, {"ipv6", 6, WORD_ASSIGNS}, {NULL, 0, WORD_ADDS}};

/* 5 is remembered, so that somebody can say that it is not served. */
static const struct option_word versions[] = {
    {"3", CONF_MQTT_31, WORD_ADDS},
    {"4", CONF_MQTT_311, WORD_ADDS},
    {"5", CONF_MQTT_5, WORD_LATER},
    {NULL, 0, WORD_ADDS},
};

static const struct option_word proxies[] = {
    {"1", CONF_PROXY_V1, WORD_ASSIGNS},     {"2", CONF_PROXY_V2, WORD_ASSIGNS},
    {"true", CONF_PROXY_ANY, WORD_ASSIGNS}, {"false", CONF_PROXY_OFF, WORD_ASSIGNS},
    {"0", CONF_PROXY_OFF, WORD_HIDDEN},     {NULL, 0, WORD_ADDS},
};

static const struct conf_option rows[] = {
    {
        .name = "listener",
        .since = "1.4",
        .scope = SCOPE_LISTENER,
        .type = OPTION_LISTENER,
        .min = 0,
        .max = UINT16_MAX,
        .flags = OPT_RELOAD | OPT_REPEAT,
        .doc = "Open a listener on this port, bound to this address or, without one, to all "
               "addresses of the machine; with port 0 it is a Unix socket of this path; the "
               "listener options that follow belong to it.",
    },
    {
        .name = "port",
        .since = "1.4",
        .type = OPTION_INT,
        DEFAULT_LISTENER(port),
        .min = 1,
        .max = UINT16_MAX,
        .fallback = CONF_DEFAULT_PORT,
        .flags = OPT_RELOAD,
        .instead = "listener",
        .doc = "Open the default listener on this port.",
    },
    {
        .name = "bind_address",
        .since = "1.4",
        .type = OPTION_TEXT,
        DEFAULT_LISTENER(address),
        .max = 255,
        .flags = OPT_RELOAD | OPT_WORD,
        .instead = "listener",
        .doc = "Open the default listener, bound to this address.",
    },
    {
        .name = "bind_interface",
        .since = "1.6",
        .type = OPTION_TEXT,
        LISTENER(bind_interface),
        .max = 15,
        .flags = OPT_RELOAD | OPT_WORD,
        .doc = "Accept only what comes in by this network interface.",
    },
    {
        .name = "socket_domain",
        .since = "1.5",
        .type = OPTION_CHOICE,
        LISTENER(socket_domain),
        .words = socket_domains,
        .flags = OPT_RELOAD,
        .doc = "Of the addresses that a listener could have, take only those of IPv4 or "
               "those of IPv6; without it both.",
    },
    {
        .name = "max_connections",
        .since = "1.4",
        .type = OPTION_INT,
        LISTENER(max_connections),
        .min = -1,
        .max = INT32_MAX,
        .fallback = -1,
        .flags = OPT_RELOAD,
        .doc = "Connections at one time on this listener; -1 or 0 means no limit.",
    },
    {
        .name = "max_qos",
        .alias = "maximum_qos",
        .since = "1.6",
        .type = OPTION_INT,
        LISTENER(max_qos),
        .max = 2,
        .fallback = 2,
        .flags = OPT_RELOAD,
        .doc = "Highest QoS at which clients of this listener may publish; a client that "
               "publishes above it is disconnected.",
    },
    {
        .name = "mount_point",
        .since = "1.4",
        .type = OPTION_TEXT,
        LISTENER(mount_point),
        .max = 32767,
        .flags = OPT_RELOAD | OPT_TOPIC,
        .doc = "What the topics of this listener's clients begin with for all other "
               "clients; they themselves do not see it.",
    },
    {
        .name = "use_username_as_clientid",
        .since = "1.4",
        .type = OPTION_BOOL,
        LISTENER(use_username_as_clientid),
        .flags = OPT_RELOAD,
        .doc = "Take the user name for the client id; clients without a user name are "
               "refused.",
    },
    {
        .name = "accept_protocol_versions",
        .since = "2.1",
        .type = OPTION_LIST,
        LISTENER(accept_versions),
        .words = versions,
        .fallback = CONF_MQTT_31 | CONF_MQTT_311,
        .flags = OPT_RELOAD,
        .doc = "Versions of MQTT that are accepted: 3 is MQTT 3.1, 4 is MQTT 3.1.1, 5 is "
               "not served yet.",
    },
    {
        .name = "enable_proxy_protocol",
        .since = "2.1",
        .type = OPTION_CHOICE,
        LISTENER(proxy),
        .words = proxies,
        .fallback = CONF_PROXY_OFF,
        .flags = OPT_RELOAD,
        .doc = "Each connection begins with a header of the PROXY protocol, of version 1, "
               "of version 2 or (true) of either, that says where the client is; without "
               "one it is closed.",
    },
    {
        .name = "proxy_protocol_v2_require_tls",
        .since = "2.1",
        .type = OPTION_BOOL,
        LISTENER(proxy_v2_require_tls),
        .flags = OPT_RELOAD,
        .doc = "Accept only clients that the proxy says it serves by TLS, with a header of "
               "version 2.",
    },
    {
        .name = "trusted_proxy",
        .since = "ours",
        .type = OPTION_NETWORKS,
        LISTENER(trusted),
        .beside = offsetof(struct conf_listener, trusted_count),
        .flags = OPT_RELOAD | OPT_REPEAT,
        .doc = "Networks, or single addresses, whose PROXY headers are believed; a "
               "connection from elsewhere is closed.",
    },
    {
        .name = "allow_anonymous",
        .since = "1.4",
        .type = OPTION_BOOL,
        SECURITY(allow_anonymous),
        .flags = OPT_RELOAD,
        .doc = "Accept clients that give no user name.",
    },
    {
        .name = "allow_zero_length_clientid",
        .since = "1.4",
        .type = OPTION_BOOL,
        SECURITY(allow_zero_length_clientid),
        .fallback = true,
        .flags = OPT_RELOAD,
        .doc = "Accept MQTT 3.1.1 clients with an empty client id and make one up for them.",
    },
    {
        .name = "auto_id_prefix",
        .since = "1.4",
        .type = OPTION_TEXT,
        SECURITY(auto_id_prefix),
        .max = 50,
        .text = "auto-",
        .flags = OPT_RELOAD,
        .doc = "What the client ids that the broker makes up begin with.",
    },
    {
        .name = "listener_allow_anonymous",
        .since = "2.1",
        .type = OPTION_BOOL,
        OWN_SECURITY(allow_anonymous),
        .flags = OPT_RELOAD,
        .doc = "The same as allow_anonymous for this listener alone, whatever that says.",
    },
    {
        .name = "listener_auto_id_prefix",
        .since = "2.1",
        .type = OPTION_TEXT,
        OWN_SECURITY(auto_id_prefix),
        .max = 50,
        .flags = OPT_RELOAD,
        .doc = "The same as auto_id_prefix for this listener alone, whatever that says.",
    },
    {
        .name = "per_listener_settings",
        .since = "1.5",
        .type = OPTION_BOOL,
        GLOBAL(per_listener_settings),
        .flags = OPT_RELOAD,
        .doc = "The options on who may connect belong to the listener before them, each "
               "listener has its own; this line comes before all of them.",
    },
};

const struct option_rows options_listener = {rows, ARRAY_SIZE(rows)};
