/*
 * The rows of the table, and how to find one, also for a name that was misspelt.
 *
 * Rows that a release does not obey are here as well: a known name deserves a better answer than
 * "unknown". Those that protect something refuse to start, the others warn.
 */
#include "conf/options.h"

#include "base/log.h"
#include "conf/conf.h"
#include "conf/value.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#define NAME_MAX_BYTES 40 /* longer names are nobody's typing mistake */

#define FIELD(type, member)                                                                        \
    .offset = offsetof(struct type, member), .size = sizeof(((struct type *)0)->member)
#define GLOBAL(member) .scope = SCOPE_GLOBAL, FIELD(conf_global, member)
#define SECURITY(member) .scope = SCOPE_SECURITY, FIELD(conf_security, member)
#define LISTENER(member) .scope = SCOPE_LISTENER, FIELD(conf_listener, member)
#define DEFAULT_LISTENER(member) .scope = SCOPE_DEFAULT_LISTENER, FIELD(conf_listener, member)

/* Names of options that are still to come, or never will: one line each. */
#define INERT(option, where, bits, why, value)                                                     \
    {                                                                                              \
        .name = (option), .scope = (where), .type = OPTION_INERT, .flags = (bits), .note = (why),  \
        .as_is = (value)                                                                           \
    }
#define LATER(option, value) INERT(option, SCOPE_GLOBAL, 0, "not available in this release", value)
#define REFUSED(option, value)                                                                     \
    INERT(option, SCOPE_SECURITY, OPT_STOPS, "not available in this release", value)
#define BRIDGE_LATER(option) INERT(option, SCOPE_BRIDGE, 0, "bridges are not available", NULL)
#define RETIRED(option) INERT(option, SCOPE_GLOBAL, 0, "has no meaning any more", NULL)
#define AUTOSAVE(option)                                                                           \
    INERT(option, SCOPE_GLOBAL, 0,                                                                 \
          "not needed any more: every change is stored before it is acknowledged", NULL)
#define MQTT_5(option) INERT(option, SCOPE_GLOBAL, 0, "concerns MQTT 5 only", NULL)

static const struct option_word log_dests[] = {
    {"stderr", CONF_LOG_STDERR, WORD_ADDS},
    {"stdout", CONF_LOG_STDOUT, WORD_ADDS},
    {"file", CONF_LOG_FILE, WORD_PATH},
    {"none", 0, WORD_ASSIGNS},
    {"syslog", 0, WORD_LATER},
    {"topic", 0, WORD_LATER},
    {"dlt", 0, WORD_LATER},
    {"android", 0, WORD_LATER},
    {NULL, 0, WORD_ADDS},
};

/* `websockets` and `internal` are accepted: this release has no such lines. */
static const struct option_word log_types[] = {
    {"error", LOG_LEVEL_ERROR, WORD_ADDS},
    {"warning", LOG_LEVEL_WARNING, WORD_ADDS},
    {"notice", LOG_LEVEL_NOTICE, WORD_ADDS},
    {"information", LOG_LEVEL_INFO, WORD_ADDS},
    {"debug", LOG_LEVEL_DEBUG, WORD_ADDS},
    {"subscribe", LOG_LEVEL_SUBSCRIBE, WORD_ADDS},
    {"unsubscribe", LOG_LEVEL_UNSUBSCRIBE, WORD_ADDS},
    {"websockets", 0, WORD_ADDS},
    {"internal", 0, WORD_ADDS},
    {"none", 0, WORD_ASSIGNS},
    {"all", LOG_LEVEL_ALL, WORD_ASSIGNS},
    {NULL, 0, WORD_ADDS},
};

static const struct option_word sync_modes[] = {
    {"write", 0, WORD_ASSIGNS}, {"fsync", 1, WORD_ASSIGNS}, {NULL, 0, WORD_ADDS}};

static const struct option_word recover_modes[] = {
    {"strict", 0, WORD_ASSIGNS}, {"salvage", 1, WORD_ASSIGNS}, {NULL, 0, WORD_ADDS}};

const struct conf_option options[] = {
    {
        .name = "listener",
        .scope = SCOPE_LISTENER,
        .type = OPTION_LISTENER,
        .min = 1,
        .max = UINT16_MAX,
        .flags = OPT_REPEAT,
        .doc = "Open a listener on this port, bound to this address or, without one, to all "
               "addresses of the machine; the listener options that follow belong to it.",
    },
    {
        .name = "port",
        .type = OPTION_INT,
        DEFAULT_LISTENER(port),
        .min = 1,
        .max = UINT16_MAX,
        .fallback = CONF_DEFAULT_PORT,
        .instead = "listener",
        .doc = "Open the default listener on this port.",
    },
    {
        .name = "bind_address",
        .type = OPTION_TEXT,
        DEFAULT_LISTENER(address),
        .max = 255,
        .flags = OPT_WORD,
        .instead = "listener",
        .doc = "Open the default listener, bound to this address.",
    },
    {
        .name = "max_connections",
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
        .type = OPTION_INT,
        LISTENER(max_qos),
        .max = 2,
        .fallback = 2,
        .flags = OPT_RELOAD,
        .doc = "Highest QoS at which clients of this listener may publish; a client that "
               "publishes above it is disconnected.",
    },
    {
        .name = "allow_anonymous",
        .type = OPTION_BOOL,
        SECURITY(allow_anonymous),
        .flags = OPT_RELOAD,
        .doc = "Accept clients that give no user name.",
    },
    {
        .name = "allow_zero_length_clientid",
        .type = OPTION_BOOL,
        SECURITY(allow_zero_length_clientid),
        .fallback = true,
        .flags = OPT_RELOAD,
        .doc = "Accept MQTT 3.1.1 clients with an empty client id and make one up for them.",
    },
    {
        .name = "auto_id_prefix",
        .type = OPTION_TEXT,
        SECURITY(auto_id_prefix),
        .max = 50,
        .text = "auto-",
        .flags = OPT_RELOAD,
        .doc = "What the client ids that the broker makes up begin with.",
    },
    {
        .name = "connection_messages",
        .type = OPTION_BOOL,
        GLOBAL(connection_messages),
        .fallback = true,
        .flags = OPT_RELOAD,
        .doc = "Log when clients connect and disconnect.",
    },
    {
        .name = "log_dest",
        .type = OPTION_WORDS,
        GLOBAL(log_dest),
        .words = log_dests,
        .path_offset = offsetof(struct conf_global, log_file),
        .fallback = CONF_LOG_STDERR,
        .flags = OPT_RELOAD | OPT_REPEAT,
        .doc = "Where log lines go; several lines add up.",
    },
    {
        .name = "log_type",
        .type = OPTION_WORDS,
        GLOBAL(log_type),
        .words = log_types,
        .fallback = LOG_LEVEL_DEFAULT,
        .flags = OPT_RELOAD | OPT_REPEAT,
        .doc = "Which log lines are written; several lines add up.",
    },
    {
        .name = "log_timestamp",
        .type = OPTION_BOOL,
        GLOBAL(log_timestamp),
        .fallback = true,
        .flags = OPT_RELOAD,
        .doc = "Begin each log line with the time.",
    },
    {
        .name = "max_inflight_messages",
        .type = OPTION_INT,
        GLOBAL(max_inflight_messages),
        .max = UINT16_MAX,
        .fallback = 20,
        .flags = OPT_RELOAD,
        .doc = "QoS 1 and 2 messages in flight to one client at a time; 0 means no limit.",
    },
    {
        .name = "max_inflight_bytes",
        .type = OPTION_INT,
        GLOBAL(max_inflight_bytes),
        .max = INT64_MAX,
        .unit = "bytes",
        .flags = OPT_RELOAD | OPT_SIZE,
        .doc = "Bytes of QoS 1 and 2 messages in flight to one client at a time; one larger "
               "message still goes alone; 0 means no limit.",
    },
    {
        .name = "max_queued_messages",
        .type = OPTION_INT,
        GLOBAL(max_queued_messages),
        .max = UINT32_MAX,
        .fallback = 1000,
        .flags = OPT_RELOAD,
        .doc = "Messages that wait for one client behind those in flight; further ones are "
               "dropped; 0 means no limit.",
    },
    {
        .name = "max_queued_bytes",
        .type = OPTION_INT,
        GLOBAL(max_queued_bytes),
        .max = INT64_MAX,
        .unit = "bytes",
        .flags = OPT_RELOAD | OPT_SIZE,
        .doc = "Bytes of messages that wait for one client behind those in flight; further "
               "ones are dropped; 0 means no limit.",
    },
    {
        .name = "max_packet_size",
        .type = OPTION_INT,
        GLOBAL(max_packet_size),
        .min = 20,
        .max = UINT32_MAX,
        .fallback = 2000000,
        .unit = "bytes",
        .flags = OPT_RELOAD | OPT_SIZE | OPT_ZERO,
        .doc = "Largest packet that a client may send; a client that sends a larger one is "
               "disconnected; 0 means no limit but that of MQTT.",
    },
    {
        .name = "message_size_limit",
        .type = OPTION_INT,
        GLOBAL(message_size_limit),
        .max = 268435455,
        .unit = "bytes",
        .flags = OPT_RELOAD | OPT_SIZE,
        .doc = "Largest payload that is passed on; larger ones are acknowledged and dropped; "
               "0 means no limit.",
    },
    {
        .name = "memory_limit",
        .type = OPTION_INT,
        GLOBAL(memory_limit),
        .max = INT64_MAX,
        .unit = "bytes",
        .needs = FEATURE_MEMORY_TRACKING,
        .flags = OPT_RELOAD | OPT_SIZE,
        .doc = "Memory that the broker may take; what would need more is refused; 0 means no "
               "limit.",
    },
    {
        .name = "max_keepalive",
        .type = OPTION_INT,
        GLOBAL(max_keepalive),
        .max = UINT16_MAX,
        .unit = "seconds",
        .flags = OPT_RELOAD,
        .doc = "Longest keepalive that a client may ask for; a client that asks for more is "
               "refused; 0 means no limit.",
    },
    {
        .name = "persistence",
        .alias = "retained_persistence",
        .type = OPTION_BOOL,
        GLOBAL(persistence),
        .needs = FEATURE_PERSISTENCE,
        .as_is = "false",
        .flags = OPT_STOPS,
        .doc = "Store sessions, subscriptions, queued and retained messages on disk before they "
               "are acknowledged, so that they survive the broker.",
    },
    {
        .name = "persistence_location",
        .type = OPTION_TEXT,
        GLOBAL(persistence_location),
        .max = 4000,
        .needs = FEATURE_PERSISTENCE,
        .doc = "Directory of the store; it is made if only its last component is missing.",
    },
    {
        .name = "persistence_file",
        .type = OPTION_TEXT,
        GLOBAL(persistence_file),
        .max = 200,
        .text = "mosquitto.db",
        .needs = FEATURE_PERSISTENCE,
        .doc = "Name of the store: it is a directory of this name with .journal behind it.",
    },
    {
        .name = "persistence_sync",
        .type = OPTION_CHOICE,
        GLOBAL(persistence_fsync),
        .words = sync_modes,
        .needs = FEATURE_PERSISTENCE,
        .doc = "What comes before an acknowledgement: that the system has taken the data (write) "
               "or that the disk has them (fsync).",
    },
    {
        .name = "persistence_sync_interval",
        .type = OPTION_INT,
        GLOBAL(persistence_sync_interval),
        .min = 1,
        .max = 3600,
        .fallback = 1,
        .unit = "seconds",
        .needs = FEATURE_PERSISTENCE,
        .flags = OPT_RELOAD,
        .doc = "With persistence_sync write, have the disk take what was written so often.",
    },
    {
        .name = "persistence_segment_size",
        .type = OPTION_INT,
        GLOBAL(persistence_segment_size),
        .min = 64 << 10,
        .max = 1 << 30,
        .fallback = 32 << 20,
        .unit = "bytes",
        .needs = FEATURE_PERSISTENCE,
        .flags = OPT_SIZE,
        .doc = "Size at which a file of the store is followed by the next.",
    },
    {
        .name = "persistence_max_size",
        .type = OPTION_INT,
        GLOBAL(persistence_max_size),
        .min = 1 << 20,
        .max = INT64_MAX,
        .unit = "bytes",
        .needs = FEATURE_PERSISTENCE,
        .flags = OPT_RELOAD | OPT_SIZE | OPT_ZERO,
        .doc = "Size of the whole store above which publishers are paused, as on a full disk, "
               "until readers have taken enough; 0 means no limit.",
    },
    {
        .name = "persistence_max_unsynced",
        .type = OPTION_INT,
        GLOBAL(persistence_max_unsynced),
        .min = 64 << 10,
        .max = INT64_MAX,
        .fallback = 64 << 20,
        .unit = "bytes",
        .needs = FEATURE_PERSISTENCE,
        .flags = OPT_RELOAD | OPT_SIZE,
        .doc = "Publishers are paused while more than this waits in memory to be stored.",
    },
    {
        .name = "persistence_memory_limit",
        .type = OPTION_INT,
        GLOBAL(persistence_memory_limit),
        .max = INT64_MAX,
        .unit = "bytes",
        .needs = FEATURE_PERSISTENCE,
        .flags = OPT_RELOAD | OPT_SIZE,
        .doc = "Memory that queued messages may take; those above it are on disk only until it is "
               "their turn; 0 means no limit.",
    },
    {
        .name = "persistence_recover",
        .type = OPTION_CHOICE,
        GLOBAL(persistence_salvage),
        .words = recover_modes,
        .needs = FEATURE_PERSISTENCE,
        .flags = OPT_RELOAD,
        .doc = "What to do at the start with a damaged store: refuse to start (strict) or keep all "
               "that can be read and a copy of the damaged files (salvage).",
    },
    {
        .name = "persistent_client_expiration",
        .type = OPTION_PERIOD,
        GLOBAL(persistent_client_expiration_s),
        .flags = OPT_RELOAD,
        .doc = "Drop the session of a client that has been away for so long.",
    },
    {
        .name = "queue_qos0_messages",
        .type = OPTION_BOOL,
        GLOBAL(queue_qos0_messages),
        .flags = OPT_RELOAD,
        .doc = "Queue QoS 0 messages too for absent clients whose session is stored.",
    },
    {
        .name = "retain_available",
        .type = OPTION_BOOL,
        GLOBAL(retain_available),
        .fallback = true,
        .flags = OPT_RELOAD,
        .doc = "Accept retained messages; if false, a client that publishes one is disconnected.",
    },
    {
        .name = "set_tcp_nodelay",
        .type = OPTION_BOOL,
        GLOBAL(set_tcp_nodelay),
        .fallback = true,
        .flags = OPT_RELOAD,
        .doc = "Send small packets at once rather than gather them (TCP_NODELAY).",
    },

    /* Who may connect, and what is encrypted: without these the broker would be open, so it does
       not start. */
    REFUSED("password_file", NULL),
    REFUSED("acl_file", NULL),
    REFUSED("psk_file", NULL),
    REFUSED("psk_hint", NULL),
    REFUSED("cafile", NULL),
    REFUSED("capath", NULL),
    REFUSED("certfile", NULL),
    REFUSED("keyfile", NULL),
    REFUSED("crlfile", NULL),
    REFUSED("ciphers", NULL),
    REFUSED("ciphers_tls1.3", NULL),
    REFUSED("tls_version", NULL),
    REFUSED("tls_engine", NULL),
    REFUSED("tls_engine_kpass_sha1", NULL),
    REFUSED("tls_keyform", "pem"),
    REFUSED("require_certificate", "false"),
    REFUSED("use_identity_as_username", "false"),
    REFUSED("use_subject_as_username", "false"),
    REFUSED("use_username_as_clientid", "false"),
    REFUSED("per_listener_settings", "false"),
    REFUSED("listener_allow_anonymous", NULL),
    REFUSED("accept_protocol_versions", NULL),
    REFUSED("clientid_prefixes", NULL),
    REFUSED("mount_point", NULL),
    REFUSED("bind_interface", NULL),
    REFUSED("socket_domain", NULL),
    REFUSED("protocol", "mqtt"),
    REFUSED("enable_proxy_protocol", NULL),
    REFUSED("proxy_protocol_v2_require_tls", "false"),
    REFUSED("websockets_origin", NULL),
    REFUSED("include_dir", NULL),
    REFUSED("auth_plugin", NULL),
    REFUSED("auth_plugin_deny_special_chars", "true"),
    REFUSED("plugin", NULL),
    REFUSED("global_plugin", NULL),
    REFUSED("plugin_load", NULL),
    REFUSED("plugin_use", NULL),
    INERT("auth_opt_", SCOPE_SECURITY, OPT_STOPS | OPT_PREFIX, "not available in this release",
          NULL),
    INERT("plugin_opt_", SCOPE_SECURITY, OPT_STOPS | OPT_PREFIX, "not available in this release",
          NULL),

    LATER("allow_duplicate_messages", "false"),
    LATER("upgrade_outgoing_qos", "false"),
    LATER("check_retain_source", "true"),
    LATER("enable_control_api", "false"),
    LATER("disable_client_cert_date_checks", "false"),
    LATER("global_max_clients", "-1"),
    LATER("global_max_connections", "-1"),
    LATER("listener_auto_id_prefix", NULL),
    LATER("log_facility", NULL),
    LATER("log_timestamp_format", NULL),
    LATER("pid_file", NULL),
    LATER("sys_interval", "0"),
    LATER("user", NULL),
    LATER("http_dir", NULL),
    LATER("packet_buffer_size", NULL),
    LATER("websockets_headers_size", NULL),
    LATER("websockets_log_level", NULL),

    AUTOSAVE("autosave_interval"),
    AUTOSAVE("autosave_on_changes"),

    RETIRED("dhparamfile"),
    RETIRED("ffdc_output"),
    RETIRED("max_log_entries"),
    RETIRED("retry_interval"),
    RETIRED("store_clean_interval"),
    RETIRED("trace_level"),
    RETIRED("trace_output"),

    MQTT_5("max_topic_alias"),
    MQTT_5("max_topic_alias_broker"),
    MQTT_5("retain_expiry_interval"),

    INERT("connection", SCOPE_BRIDGE, OPT_BRIDGE,
          "bridges are not available in this release, its options are not read", NULL),
    BRIDGE_LATER("address"),
    BRIDGE_LATER("addresses"),
    BRIDGE_LATER("bridge_alpn"),
    BRIDGE_LATER("bridge_attempt_unsubscribe"),
    BRIDGE_LATER("bridge_bind_address"),
    BRIDGE_LATER("bridge_cafile"),
    BRIDGE_LATER("bridge_capath"),
    BRIDGE_LATER("bridge_certfile"),
    BRIDGE_LATER("bridge_ciphers"),
    BRIDGE_LATER("bridge_ciphers_tls1.3"),
    BRIDGE_LATER("bridge_identity"),
    BRIDGE_LATER("bridge_insecure"),
    BRIDGE_LATER("bridge_keyfile"),
    BRIDGE_LATER("bridge_max_packet_size"),
    BRIDGE_LATER("bridge_max_topic_alias"),
    BRIDGE_LATER("bridge_outgoing_retain"),
    BRIDGE_LATER("bridge_protocol_version"),
    BRIDGE_LATER("bridge_psk"),
    BRIDGE_LATER("bridge_receive_maximum"),
    BRIDGE_LATER("bridge_reload_type"),
    BRIDGE_LATER("bridge_require_ocsp"),
    BRIDGE_LATER("bridge_session_expiry_interval"),
    BRIDGE_LATER("bridge_tcp_keepalive"),
    BRIDGE_LATER("bridge_tcp_user_timeout"),
    BRIDGE_LATER("bridge_tls_use_os_certs"),
    BRIDGE_LATER("bridge_tls_version"),
    BRIDGE_LATER("cleansession"),
    BRIDGE_LATER("clientid"),
    BRIDGE_LATER("idle_timeout"),
    BRIDGE_LATER("keepalive_interval"),
    BRIDGE_LATER("local_cleansession"),
    BRIDGE_LATER("local_clientid"),
    BRIDGE_LATER("local_password"),
    BRIDGE_LATER("local_username"),
    BRIDGE_LATER("notification_topic"),
    BRIDGE_LATER("notifications"),
    BRIDGE_LATER("notifications_local_only"),
    BRIDGE_LATER("password"),
    BRIDGE_LATER("remote_clientid"),
    BRIDGE_LATER("remote_password"),
    BRIDGE_LATER("remote_username"),
    BRIDGE_LATER("restart_timeout"),
    BRIDGE_LATER("round_robin"),
    BRIDGE_LATER("start_type"),
    BRIDGE_LATER("threshold"),
    BRIDGE_LATER("topic"),
    BRIDGE_LATER("try_private"),
    BRIDGE_LATER("username"),
};

const size_t option_count = ARRAY_SIZE(options);

static bool named(const struct conf_option *opt, struct str name)
{
    if (opt->flags & OPT_PREFIX)
        return name.n > strlen(opt->name) && str_has_prefix(name, str_c(opt->name));
    return str_eq_c(name, opt->name) || (opt->alias && str_eq_c(name, opt->alias));
}

const struct conf_option *option_find(struct str name)
{
    for (size_t i = 0; i < option_count; i++) {
        if (named(&options[i], name))
            return &options[i];
    }
    return NULL;
}

static unsigned least(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

/* Levenshtein: letters to insert, delete or exchange, kept for one row of the matrix at a time. */
static unsigned distance(struct str a, struct str b)
{
    unsigned row[NAME_MAX_BYTES + 1];

    assert(b.n <= NAME_MAX_BYTES);
    for (size_t j = 0; j <= b.n; j++)
        row[j] = (unsigned)j;
    for (size_t i = 1; i <= a.n; i++) {
        unsigned diagonal = row[0];
        row[0] = (unsigned)i;
        for (size_t j = 1; j <= b.n; j++) {
            unsigned above = row[j];
            unsigned exchanged = diagonal + (a.p[i - 1] != b.p[j - 1]);
            row[j] = least(exchanged, 1 + least(above, row[j - 1]));
            diagonal = above;
        }
    }
    return row[b.n];
}

/* As many letters as one is longer differ at least: that spares most of the work. */
static bool may_be_nearer(struct str a, struct str b, unsigned best)
{
    return (a.n > b.n ? a.n - b.n : b.n - a.n) < best;
}

const char *option_nearest(struct str name)
{
    const char *nearest = NULL;
    /* A name of which half the letters are others is another name. */
    unsigned best = (unsigned)name.n / 2 + 1;

    if (name.n > NAME_MAX_BYTES)
        return NULL;
    for (size_t i = 0; i < option_count; i++) {
        const char *names[] = {options[i].name, options[i].alias};
        for (size_t j = 0; j < ARRAY_SIZE(names) && names[j]; j++) {
            struct str known = str_c(names[j]);
            unsigned d = may_be_nearer(name, known, best) ? distance(name, known) : best;
            if (d < best) {
                best = d;
                nearest = names[j];
            }
        }
    }
    return nearest;
}

static bool asks_for_nothing(const struct conf_option *opt, struct str value)
{
    bool asked, done;

    if (!opt->as_is)
        return false;
    if (value_bool(value, &asked) == ERR_OK && value_bool(str_c(opt->as_is), &done) == ERR_OK)
        return asked == done;
    return str_eq_c(value, opt->as_is);
}

enum option_verdict option_judge(const struct conf_option *opt, struct str value, char *why,
                                 size_t cap)
{
    bool inert = opt->type == OPTION_INERT;

    if (!inert && feature_built(opt->needs))
        return OPTION_APPLIES;
    if (asks_for_nothing(opt, value))
        return OPTION_SKIPPED;
    if (inert)
        snprintf(why, cap, "%s", opt->note);
    else
        snprintf(why, cap, "needs a build with %s=yes", feature_switch(opt->needs));
    return opt->flags & OPT_STOPS ? OPTION_REFUSES : OPTION_WARNS;
}
