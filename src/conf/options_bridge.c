/*
 * Options of a bridge: whom it connects to, and what it carries.
 *
 * Where a build without TLS would send in clear what the file wants encrypted, it does not start.
 */
#include "conf/rows.h"

#define BRIDGE_TEXT(option, of, member, longest, bits, about)                                      \
    {                                                                                              \
        .name = (option), .since = (of), .type = OPTION_TEXT, BRIDGE(member), .max = (longest),    \
        .flags = OPT_RELOAD | (bits), .needs = FEATURE_BRIDGE, .doc = (about)                      \
    }
#define REMOTE_TEXT(option, old, member, longest, bits, about)                                     \
    {                                                                                              \
        .name = (option), .alias = (old), .since = "1.4", .type = OPTION_TEXT, BRIDGE(member),     \
        .max = (longest), .flags = OPT_RELOAD | (bits), .needs = FEATURE_BRIDGE, .doc = (about)    \
    }
#define BRIDGE_BOOL(option, of, member, usual, bits, about)                                        \
    {                                                                                              \
        .name = (option), .since = (of), .type = OPTION_BOOL, BRIDGE(member), .fallback = (usual), \
        .flags = OPT_RELOAD | (bits), .needs = FEATURE_BRIDGE, .doc = (about)                      \
    }
#define BRIDGE_INT(option, of, member, least_, most, usual, what, about)                           \
    {                                                                                              \
        .name = (option), .since = (of), .type = OPTION_INT, BRIDGE(member), .min = (least_),      \
        .max = (most), .fallback = (usual), .unit = (what), .flags = OPT_RELOAD,                   \
        .needs = FEATURE_BRIDGE, .doc = (about)                                                    \
    }
#define TLS_TEXT(option, of, member, bits, about)                                                  \
    {                                                                                              \
        .name = (option), .since = (of), .type = OPTION_TEXT, BRIDGE(member), .max = 4000,         \
        .flags = OPT_RELOAD | (bits), .needs = FEATURE_TLS, .doc = (about)                         \
    }
#define TLS_BOOL(option, of, member, bits, about)                                                  \
    {                                                                                              \
        .name = (option), .since = (of), .type = OPTION_BOOL, BRIDGE(member),                      \
        .flags = OPT_RELOAD | (bits), .needs = FEATURE_TLS, .as_is = "false", .doc = (about)       \
    }

/* The longest client id leaves room for what a topic and another id are made of around it. */
#define CLIENTID_MAX 65000
#define NAME_MAX_BYTES 1000

static const struct option_word start_types[] = {
    {"automatic", CONF_START_AUTOMATIC, WORD_ASSIGNS},
    {"lazy", CONF_START_LAZY, WORD_ASSIGNS},
    {"once", CONF_START_ONCE, WORD_ASSIGNS},
    {NULL, 0, WORD_ADDS},
};

static const struct option_word versions[] = {
    {"mqttv31", 3, WORD_ASSIGNS},
    {"mqttv311", 4, WORD_ASSIGNS},
    {"mqttv50", 5, WORD_LATER},
    {NULL, 0, WORD_ADDS},
};

static const struct option_word reload_types[] = {
    {"immediate", false, WORD_ASSIGNS}, {"lazy", true, WORD_ASSIGNS}, {NULL, 0, WORD_ADDS}};

/* The oldest is not named among what would be right. */
static const struct option_word tls_versions[] = {
    {"tlsv1.3", CONF_TLS_1_3, WORD_ASSIGNS},
    {"tlsv1.2", CONF_TLS_1_2, WORD_ASSIGNS},
    {"tlsv1.1", CONF_TLS_1_1, WORD_HIDDEN},
    {NULL, 0, WORD_ADDS},
};

static const struct conf_option rows[] = {
    {
        .name = "connection",
        .since = "1.4",
        .type = OPTION_BRIDGE,
        BRIDGE(name),
        .max = NAME_MAX_BYTES,
        .flags = OPT_RELOAD | OPT_REPEAT,
        .needs = FEATURE_BRIDGE,
        .doc = "Begin a bridge of this name, to which the bridge options that follow belong.",
    },
    {
        .name = "address",
        .alias = "addresses",
        .since = "1.4",
        .type = OPTION_ADDRESSES,
        BRIDGE(addresses),
        .beside = offsetof(struct conf_bridge, address_count),
        .flags = OPT_RELOAD,
        .needs = FEATURE_BRIDGE,
        .doc = "The remote broker, or several that can take its place: HOST or HOST:PORT each.",
    },
    {
        .name = "topic",
        .since = "1.4",
        .type = OPTION_TOPIC,
        BRIDGE(topics),
        .beside = offsetof(struct conf_bridge, topic_count),
        .flags = OPT_RELOAD | OPT_REPEAT,
        .needs = FEATURE_BRIDGE,
        .doc = "What is bridged: a filter, then whether it goes out, in or both, the QoS, and what "
               "topics begin with here and there.",
    },
    BRIDGE_BOOL("cleansession", "1.4", clean, false, 0,
                "Begin each connection with an empty session at the remote broker."),
    BRIDGE_BOOL("local_cleansession", "2.0", local_clean, false, OPT_FOLLOWS,
                "The same for the bridge's session at this broker; without it cleansession counts "
                "for both."),
    REMOTE_TEXT("remote_clientid", "clientid", remote_clientid, CLIENTID_MAX, 0,
                "Client id of the bridge at the remote broker; without it the host's name, a dot "
                "and the name of the bridge."),
    BRIDGE_TEXT("local_clientid", "1.4", local_clientid, UINT16_MAX, 0,
                "Client id of the bridge's session at this broker, which no other bridge may have; "
                "without it local. and the one at the remote broker."),
    REMOTE_TEXT("remote_username", "username", remote_username, UINT16_MAX, 0,
                "User name of the bridge at the remote broker."),
    REMOTE_TEXT("remote_password", "password", remote_password, UINT16_MAX, OPT_SECRET,
                "Password that goes with it."),
    BRIDGE_TEXT("local_username", "1.4", local_username, UINT16_MAX, 0,
                "User name of the bridge at this broker."),
    BRIDGE_TEXT("local_password", "1.4", local_password, UINT16_MAX, OPT_SECRET,
                "Password of the bridge at this broker, which asks for none."),
    BRIDGE_INT("keepalive_interval", "1.4", keepalive, 5, UINT16_MAX, 60, "seconds",
               "How long the bridge may be silent before it shows the remote broker that it is "
               "there, and waits for a sign that this one is."),
    {
        .name = "start_type",
        .since = "1.4",
        .type = OPTION_CHOICE,
        BRIDGE(start_type),
        .words = start_types,
        .fallback = CONF_START_AUTOMATIC,
        .flags = OPT_RELOAD,
        .needs = FEATURE_BRIDGE,
        .doc = "When to connect: always, while messages wait, or once when the broker starts.",
    },
    BRIDGE_INT("idle_timeout", "1.4", idle_timeout, 1, INT32_MAX, 60, "seconds",
               "How long a lazy bridge has nothing to do before it disconnects."),
    BRIDGE_INT("threshold", "1.4", threshold, 1, INT32_MAX, 10, "messages",
               "How many messages must wait before a lazy bridge connects."),
    {
        .name = "restart_timeout",
        .since = "1.4",
        .type = OPTION_NUMBERS,
        .scope = SCOPE_BRIDGE,
        .offset = offsetof(struct conf_bridge, restart_base),
        .size = 3 * sizeof(uint32_t),
        .min = 1,
        .max = 7200,
        .least = 1,
        .text = "5 30",
        .unit = "seconds",
        .flags = OPT_RELOAD,
        .needs = FEATURE_BRIDGE,
        .doc = "Seconds to wait before another attempt to connect; with a second number, a time "
               "between both that grows with each failure; with a third, how long a connection "
               "must last before the first counts again.",
    },
    BRIDGE_BOOL("round_robin", "1.4", round_robin, false, 0,
                "Treat all addresses alike; if false, go back to the first as soon as it can be "
                "reached."),
    BRIDGE_BOOL("try_private", "1.4", try_private, true, 0,
                "Tell the remote broker that this is a bridge, and do without where it does not "
                "understand that."),
    BRIDGE_BOOL("notifications", "1.4", notifications, true, 0,
                "Publish on both brokers whether the bridge is connected."),
    BRIDGE_BOOL("notifications_local_only", "1.5", notifications_local_only, false, 0,
                "Publish that on this broker only."),
    BRIDGE_TEXT("notification_topic", "1.4", notification_topic, UINT16_MAX, OPT_TOPIC,
                "Where that is published; without it $SYS/broker/connection/, the client id at the "
                "remote broker and /state."),
    BRIDGE_BOOL(
        "bridge_attempt_unsubscribe", "1.4", attempt_unsubscribe, true, 0,
        "Unsubscribe at the remote broker from what the bridge only sends, which an earlier "
        "file may have asked for."),
    {
        .name = "bridge_protocol_version",
        .since = "1.4",
        .type = OPTION_CHOICE,
        BRIDGE(protocol_version),
        .words = versions,
        .fallback = 4,
        .flags = OPT_RELOAD,
        .needs = FEATURE_BRIDGE,
        .doc = "Version of MQTT that the bridge speaks.",
    },
    BRIDGE_TEXT("bridge_bind_address", "2.0", bind_address, 255, OPT_WORD,
                "Address of this machine from which the bridge connects."),
    BRIDGE_INT("bridge_max_packet_size", "2.0", max_packet_size, 0, INT32_MAX, 0, "bytes",
               "Largest packet that the bridge sends; larger messages are dropped; 0 means no "
               "limit."),
    BRIDGE_BOOL("bridge_outgoing_retain", "2.0", outgoing_retain, true, 0,
                "Send retained messages as such; if false, as any others."),
    {
        .name = "bridge_reload_type",
        .since = "2.1",
        .type = OPTION_CHOICE,
        BRIDGE(reload_lazily),
        .words = reload_types,
        .fallback = false,
        .flags = OPT_RELOAD,
        .needs = FEATURE_BRIDGE,
        .doc = "When changes of this section take effect: at once, or when the bridge connects "
               "next.",
    },
    {
        .name = "bridge_tcp_keepalive",
        .since = "2.1",
        .type = OPTION_NUMBERS,
        .scope = SCOPE_BRIDGE,
        .offset = offsetof(struct conf_bridge, tcp_keepalive_idle),
        .size = 3 * sizeof(uint32_t),
        .min = 1,
        .max = 32767,
        .least = 3,
        .flags = OPT_RELOAD,
        .needs = FEATURE_BRIDGE,
        .doc = "Seconds of silence before TCP asks whether the remote broker is still there, "
               "seconds between questions, and how many may stay unanswered.",
    },
    BRIDGE_INT("bridge_tcp_user_timeout", "2.1", tcp_user_timeout_ms, 0, INT32_MAX, 0,
               "milliseconds",
               "How long data that was sent may stay without an acknowledgement before the "
               "connection counts as broken; 0 leaves that to the system."),
    TLS_TEXT("bridge_cafile", "1.4", cafile, OPT_STOPS,
             "File of the certificate authorities that may sign the remote broker's certificate."),
    TLS_TEXT("bridge_capath", "1.4", capath, OPT_STOPS,
             "Directory of the certificate authorities that may sign the remote broker's "
             "certificate."),
    TLS_BOOL("bridge_tls_use_os_certs", "2.1", use_os_certs, OPT_STOPS,
             "Trust the certificate authorities that the system trusts."),
    TLS_TEXT("bridge_certfile", "1.4", certfile, OPT_STOPS,
             "File of the certificate, with its chain, that the bridge shows."),
    TLS_TEXT("bridge_keyfile", "1.4", keyfile, OPT_STOPS,
             "File of the private key of that certificate."),
    {
        .name = "bridge_tls_version",
        .since = "1.4",
        .type = OPTION_CHOICE,
        BRIDGE(tls_version),
        .words = tls_versions,
        .fallback = CONF_TLS_1_2,
        .flags = OPT_RELOAD,
        .needs = FEATURE_TLS,
        .doc = "Lowest version of TLS that the remote broker may speak.",
    },
    TLS_TEXT("bridge_ciphers", "2.1", ciphers, 0, "Ciphers for the bridge with TLS up to 1.2."),
    TLS_TEXT("bridge_ciphers_tls1.3", "2.1", ciphers_tls13, 0,
             "Ciphers for the bridge with TLS 1.3."),
    TLS_TEXT("bridge_alpn", "1.6", alpn, 0,
             "Protocol to ask for during the handshake, or several with commas between them."),
    TLS_BOOL("bridge_insecure", "1.4", insecure, 0,
             "Do not compare the remote broker's name with its certificate."),
    TLS_BOOL("bridge_require_ocsp", "1.6", require_ocsp, OPT_STOPS,
             "Demand a proof, from the handshake itself, that the remote broker's certificate was "
             "not revoked."),
    {
        .name = "bridge_psk",
        .since = "1.4",
        .type = OPTION_TEXT,
        BRIDGE(psk),
        .max = 512,
        .flags = OPT_RELOAD | OPT_STOPS | OPT_WORD | OPT_SECRET,
        .needs = FEATURE_TLS_PSK,
        .doc = "Key that both sides share, in hexadecimal: TLS without certificates.",
    },
    {
        .name = "bridge_identity",
        .since = "1.4",
        .type = OPTION_TEXT,
        BRIDGE(identity),
        .max = 128,
        .flags = OPT_RELOAD | OPT_STOPS,
        .needs = FEATURE_TLS_PSK,
        .doc = "Name of that key.",
    },
};

const struct option_rows options_bridge = {rows, ARRAY_SIZE(rows)};
