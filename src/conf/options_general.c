/*
 * Options of the whole broker: log, limits, what becomes of messages, the process.
 */
#include "conf/rows.h"

#include "base/log.h"

static const struct option_word log_dests[] = {
    {"stderr", CONF_LOG_STDERR, WORD_ADDS},
    {"stdout", CONF_LOG_STDOUT, WORD_ADDS},
    {"file", CONF_LOG_FILE, WORD_PATH},
    {"syslog", CONF_LOG_SYSLOG, WORD_ADDS},
    {"topic", CONF_LOG_TOPIC, WORD_ADDS},
    {"none", 0, WORD_ASSIGNS},
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
    {"websockets", 0, WORD_HIDDEN},
    {"internal", 0, WORD_HIDDEN},
    {"none", 0, WORD_ASSIGNS},
    {"all", LOG_LEVEL_ALL, WORD_ASSIGNS},
    {NULL, 0, WORD_ADDS},
};

/* What syslog(3) calls local0 to local7, and daemon. */
static const struct option_word log_facilities[] = {
    {"0", 0, WORD_ASSIGNS}, {"1", 1, WORD_ASSIGNS}, {"2", 2, WORD_ASSIGNS},
    {"3", 3, WORD_ASSIGNS}, {"4", 4, WORD_ASSIGNS}, {"5", 5, WORD_ASSIGNS},
    {"6", 6, WORD_ASSIGNS}, {"7", 7, WORD_ASSIGNS}, {"daemon", 8, WORD_ASSIGNS},
    {NULL, 0, WORD_ADDS},
};

static const struct option_word log_formats[] = {
    {"text", 0, WORD_ASSIGNS}, {"json", 1, WORD_ASSIGNS}, {NULL, 0, WORD_ADDS}};

static const struct option_word overflow_choices[] = {
    {"newest", 0, WORD_ASSIGNS}, {"oldest", 1, WORD_ASSIGNS}, {NULL, 0, WORD_ADDS}};

static const struct conf_option rows[] = {
    {
        .name = "connection_messages",
        .since = "1.4",
        .type = OPTION_BOOL,
        GLOBAL(connection_messages),
        .fallback = true,
        .flags = OPT_RELOAD,
        .doc = "Log when clients connect and disconnect.",
    },
    {
        .name = "log_dest",
        .since = "1.4",
        .type = OPTION_WORDS,
        GLOBAL(log_dest),
        .words = log_dests,
        .beside = offsetof(struct conf_global, log_file),
        .fallback = CONF_LOG_STDERR,
        .flags = OPT_RELOAD | OPT_REPEAT,
        .doc = "Where log lines go; several lines add up.",
    },
    {
        .name = "log_facility",
        .since = "1.4",
        .type = OPTION_CHOICE,
        GLOBAL(log_facility),
        .words = log_facilities,
        .fallback = 8,
        .flags = OPT_RELOAD,
        .doc = "Under which facility lines go to syslog: 0 to 7 stand for local0 to "
               "local7.",
    },
    {
        .name = "log_format",
        .since = "ours",
        .type = OPTION_CHOICE,
        GLOBAL(log_json),
        .words = log_formats,
        .flags = OPT_RELOAD,
        .doc = "How a log line is written: as text or as a JSON object.",
    },
    {
        .name = "log_timestamp",
        .since = "1.4",
        .type = OPTION_BOOL,
        GLOBAL(log_timestamp),
        .fallback = true,
        .flags = OPT_RELOAD,
        .doc = "Begin each log line with the time.",
    },
    {
        .name = "log_timestamp_format",
        .since = "1.6",
        .type = OPTION_TEXT,
        GLOBAL(log_timestamp_format),
        .max = 250,
        .flags = OPT_RELOAD,
        .doc = "How the time in front of a log line is written, as strftime(3) has it; "
               "without it in seconds since 1970.",
    },
    {
        .name = "log_type",
        .since = "1.4",
        .type = OPTION_WORDS,
        GLOBAL(log_type),
        .words = log_types,
        .fallback = LOG_LEVEL_DEFAULT,
        .flags = OPT_RELOAD | OPT_REPEAT,
        .doc = "Which log lines are written; several lines add up.",
    },
    {
        .name = "max_inflight_messages",
        .since = "1.4",
        .type = OPTION_INT,
        GLOBAL(max_inflight_messages),
        .max = UINT16_MAX,
        .fallback = 20,
        .flags = OPT_RELOAD,
        .doc = "QoS 1 and 2 messages in flight to one client at a time; 0 means no limit.",
    },
    {
        .name = "max_inflight_bytes",
        .since = "1.5",
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
        .since = "1.4",
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
        .since = "1.5",
        .type = OPTION_INT,
        GLOBAL(max_queued_bytes),
        .max = INT64_MAX,
        .unit = "bytes",
        .flags = OPT_RELOAD | OPT_SIZE,
        .doc = "Bytes of messages that wait for one client behind those in flight; further "
               "ones are dropped; 0 means no limit.",
    },
    {
        .name = "queue_overflow",
        .since = "ours",
        .type = OPTION_CHOICE,
        GLOBAL(queue_drops_oldest),
        .words = overflow_choices,
        .flags = OPT_RELOAD,
        .doc =
            "What is dropped when a queue has reached its limit: the message that comes (newest) "
            "or the one that has waited longest (oldest).",
    },
    {
        .name = "max_packet_size",
        .since = "1.6",
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
        .since = "1.4",
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
        .since = "1.4",
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
        .since = "1.6",
        .type = OPTION_INT,
        GLOBAL(max_keepalive),
        .max = UINT16_MAX,
        .unit = "seconds",
        .flags = OPT_RELOAD,
        .doc = "Longest keepalive that a client may ask for; a client that asks for more is "
               "refused; 0 means no limit.",
    },
    {
        .name = "global_max_clients",
        .since = "2.1",
        .type = OPTION_INT,
        GLOBAL(global_max_clients),
        .min = -1,
        .max = INT32_MAX,
        .fallback = -1,
        .flags = OPT_RELOAD,
        .doc = "Clients whose session the broker keeps, connected or not; a further one is "
               "refused; -1 or 0 means no limit.",
    },
    {
        .name = "global_max_connections",
        .since = "2.1",
        .type = OPTION_INT,
        GLOBAL(global_max_connections),
        .min = -1,
        .max = INT32_MAX,
        .fallback = -1,
        .flags = OPT_RELOAD,
        .doc = "Connections at one time on all listeners together; -1 or 0 means no limit.",
    },
    {
        .name = "clientid_prefixes",
        .since = "1.4",
        .type = OPTION_TEXT,
        GLOBAL(clientid_prefixes),
        .max = UINT16_MAX,
        .flags = OPT_RELOAD,
        .doc = "What every client id must begin with; other clients are refused.",
    },
    {
        .name = "allow_duplicate_messages",
        .since = "1.4",
        .type = OPTION_BOOL,
        GLOBAL(allow_duplicate_messages),
        .flags = OPT_RELOAD,
        .doc = "Send a message once for each of a client's subscriptions that match it; if "
               "false, once to each client, at the highest QoS of these.",
    },
    {
        .name = "queue_qos0_messages",
        .since = "1.4",
        .type = OPTION_BOOL,
        GLOBAL(queue_qos0_messages),
        .flags = OPT_RELOAD,
        .doc = "Queue QoS 0 messages too for absent clients whose session is stored.",
    },
    {
        .name = "retain_available",
        .since = "1.6",
        .type = OPTION_BOOL,
        GLOBAL(retain_available),
        .fallback = true,
        .flags = OPT_RELOAD,
        .doc = "Accept retained messages; if false, a client that publishes one is disconnected.",
    },
    {
        .name = "upgrade_outgoing_qos",
        .since = "1.4",
        .type = OPTION_BOOL,
        GLOBAL(upgrade_outgoing_qos),
        .flags = OPT_RELOAD,
        .doc = "Deliver at the QoS of the subscription, also what was published at a lower "
               "one.",
    },
    {
        .name = "set_tcp_nodelay",
        .since = "1.5",
        .type = OPTION_BOOL,
        GLOBAL(set_tcp_nodelay),
        .fallback = true,
        .flags = OPT_RELOAD,
        .doc = "Send small packets at once rather than gather them (TCP_NODELAY).",
    },
    {
        .name = "sys_interval",
        .since = "1.4",
        .type = OPTION_INT,
        GLOBAL(sys_interval),
        .max = UINT16_MAX,
        .fallback = 10,
        .unit = "seconds",
        .needs = FEATURE_SYS_TREE,
        .as_is = "0",
        .flags = OPT_RELOAD,
        .doc = "How often the topics below $SYS are brought up to date; 0 means that there "
               "are none.",
    },
    {
        .name = "user",
        .since = "1.4",
        .type = OPTION_TEXT,
        GLOBAL(user),
        .max = 255,
        .doc = "Who the broker becomes when it is started as root, once its sockets and "
               "files are open.",
    },
    {
        .name = "pid_file",
        .since = "1.4",
        .type = OPTION_TEXT,
        GLOBAL(pid_file),
        .max = 4000,
        .doc = "Where the broker writes the number of its process; the file is removed at "
               "the end.",
    },
    {
        .name = "include_dir",
        .since = "1.4",
        .scope = SCOPE_GLOBAL,
        .type = OPTION_INCLUDE,
        .max = 4000,
        .flags = OPT_RELOAD | OPT_REPEAT,
        .doc = "Read here all files of this directory whose names end in .conf, in "
               "alphabetical order.",
    },
    {
        .name = "expand_env",
        .since = "ours",
        .scope = SCOPE_GLOBAL,
        .type = OPTION_EXPAND,
        .flags = OPT_RELOAD | OPT_REPEAT,
        .doc = "In the lines that follow, replace ${NAME} in values by what the "
               "environment has under that name.",
    },
};

const struct option_rows options_general = {rows, ARRAY_SIZE(rows)};
