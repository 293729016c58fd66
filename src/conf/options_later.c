/*
 * Options that this release knows and does not obey: a known name deserves a better answer than
 * "unknown".
 *
 * Those that protect something refuse to start, what nobody misses is said as information, the
 * others warn. The defaults are Mosquitto's.
 */
#include "conf/rows.h"

/* The first Mosquitto that has it, its default, the value that asks for nothing, its sentence. */
#define INERT(option, of, usual, same, about, where, bits, why)                                    \
    {                                                                                              \
        .name = (option), .since = (of), .text = (usual), .as_is = (same), .doc = (about),         \
        .scope = (where), .type = OPTION_INERT, .flags = (bits), .note = (why)                     \
    }
#define LATER(where, option, of, usual, same, about)                                               \
    INERT(option, of, usual, same, about, SCOPE_##where, 0, "not available in this release")
#define REFUSED(where, option, of, usual, same, about)                                             \
    INERT(option, of, usual, same, about, SCOPE_##where, OPT_STOPS, "not available in this release")
#define PREFIX(option, of, about)                                                                  \
    INERT(option, of, NULL, NULL, about, SCOPE_SECURITY, OPT_STOPS | OPT_PREFIX,                   \
          "not available in this release")
#define BRIDGE(option, of, usual, about)                                                           \
    INERT(option, of, usual, NULL, about, SCOPE_BRIDGE, 0, "bridges are not available")
#define ENGINE(option, usual, same, about)                                                         \
    INERT(option, "1.6", usual, same, about, SCOPE_LISTENER, OPT_STOPS,                            \
          "OpenSSL engines are not supported (keys are read from files in PEM format)")
#define RETIRED(option, of, about)                                                                 \
    INERT(option, of, NULL, NULL, about, SCOPE_GLOBAL, 0, "has no meaning any more")
#define AUTOSAVE(option, of, usual, about)                                                         \
    INERT(option, of, usual, NULL, about, SCOPE_GLOBAL, 0,                                         \
          "not needed any more: every change is stored before it is acknowledged")
#define MQTT_5(option, of, usual, about)                                                           \
    INERT(option, of, usual, NULL, about, SCOPE_GLOBAL, OPT_NEEDLESS, "concerns MQTT 5 only")

static const struct conf_option rows[] = {
    /* Without these the broker would be more open than the file says, so it does not start. */
    ENGINE("tls_engine", NULL, NULL, "OpenSSL engine that holds keys."),
    ENGINE("tls_engine_kpass_sha1", NULL, NULL, "SHA1 of the password of the engine's key."),
    ENGINE("tls_keyform", "pem", "pem",
           "Where the private key is: in a file (pem) or in the engine."),
    REFUSED(LISTENER, "protocol", "1.4", "mqtt", "mqtt",
            "What this listener speaks: mqtt or, some day, websockets."),
    REFUSED(LISTENER, "websockets_origin", "2.1", NULL, NULL,
            "Web site whose pages may connect; several lines add up."),
    REFUSED(SECURITY, "auth_plugin", "1.4", NULL, NULL,
            "Shared object that decides who may connect and do what."),
    REFUSED(SECURITY, "auth_plugin_deny_special_chars", "1.4", "true", "true",
            "Refuse + and # in names that a plugin would see."),
    REFUSED(SECURITY, "plugin", "2.0", NULL, NULL,
            "Shared object that decides who may connect and do what."),
    REFUSED(GLOBAL, "global_plugin", "2.1", NULL, NULL,
            "Shared object that decides for all listeners."),
    REFUSED(GLOBAL, "plugin_load", "2.1", NULL, NULL, "Load a shared object under a name."),
    REFUSED(LISTENER, "plugin_use", "2.1", NULL, NULL, "Ask the shared object of this name."),
    PREFIX("auth_opt_", "1.4", "Names that begin so are handed to the plugin before them."),
    PREFIX("plugin_opt_", "2.0", "Names that begin so are handed to the plugin before them."),

    LATER(GLOBAL, "enable_control_api", "2.1", "false", "false",
          "Answer requests below $CONTROL/broker."),
    LATER(LISTENER, "http_dir", "1.4", NULL, NULL,
          "Directory of files that a listener for web sites hands out."),
    LATER(GLOBAL, "packet_buffer_size", "2.1", "4096", NULL,
          "Buffer of a connection by WebSocket, in bytes."),
    LATER(GLOBAL, "websockets_headers_size", "1.6", "4096", NULL,
          "Buffer of the HTTP headers of a connection by WebSocket, in bytes."),
    LATER(GLOBAL, "websockets_log_level", "1.4", "0", NULL,
          "Which messages of the WebSocket library are logged."),

    AUTOSAVE("autosave_interval", "1.4", "1800",
             "How often Mosquitto writes its store; here every change is stored at once."),
    AUTOSAVE("autosave_on_changes", "1.4", "false",
             "Whether Mosquitto counts changes for autosave_interval; here every change is stored "
             "at once."),

    RETIRED("ffdc_output", "1.4", "A word of another broker; never had an effect."),
    RETIRED("max_log_entries", "1.4", "A word of another broker; never had an effect."),
    RETIRED("retry_interval", "1.4",
            "How long to wait before a message was sent again; today that is done when a client "
            "comes back."),
    RETIRED("store_clean_interval", "1.4",
            "How often messages that nobody needed were removed; today that is done at once."),
    RETIRED("trace_level", "1.4", "A word of another broker; never had an effect."),
    RETIRED("trace_output", "1.4", "A word of another broker; never had an effect."),

    MQTT_5("max_topic_alias", "1.6", "10", "Topic aliases that an MQTT 5 client may use."),
    MQTT_5("max_topic_alias_broker", "2.1", "10",
           "Topic aliases that the broker uses towards an MQTT 5 client."),
    MQTT_5("retain_expiry_interval", "2.0", "0",
           "How often retained messages of MQTT 5 are looked at for their expiry, in minutes."),

    INERT("connection", "1.4", NULL, NULL, "Begin a bridge, and give it a name.", SCOPE_BRIDGE,
          OPT_BRIDGE, "bridges are not available in this release, its options are not read"),
    BRIDGE("address", "1.4", NULL, "The remote broker, or several: HOST or HOST:PORT each."),
    BRIDGE("addresses", "1.4", NULL, "The same as address."),
    BRIDGE("bridge_alpn", "1.6", NULL, "Protocol to ask for in the TLS handshake."),
    BRIDGE("bridge_attempt_unsubscribe", "1.4", "true",
           "Unsubscribe at the remote broker from what the bridge only sends."),
    BRIDGE("bridge_bind_address", "2.0", NULL, "Own address from which to connect."),
    BRIDGE("bridge_cafile", "1.4", NULL,
           "File of the certificate authorities that sign the remote broker's certificate."),
    BRIDGE("bridge_capath", "1.4", NULL,
           "Directory of the certificate authorities that sign the remote broker's certificate."),
    BRIDGE("bridge_certfile", "1.4", NULL, "File of the bridge's certificate."),
    BRIDGE("bridge_ciphers", "2.1", NULL, "Ciphers of TLS up to 1.2."),
    BRIDGE("bridge_ciphers_tls1.3", "2.1", NULL, "Ciphers of TLS 1.3."),
    BRIDGE("bridge_identity", "1.4", NULL, "Identity that goes with bridge_psk."),
    BRIDGE("bridge_insecure", "1.4", "false",
           "Do not compare the remote broker's name with its certificate."),
    BRIDGE("bridge_keyfile", "1.4", NULL, "File of the bridge's private key."),
    BRIDGE("bridge_max_packet_size", "2.0", "0",
           "Largest packet to send, in bytes; larger ones are dropped; 0 means no limit."),
    BRIDGE("bridge_max_topic_alias", "2.1", "10", "Topic aliases of a bridge by MQTT 5."),
    BRIDGE("bridge_outgoing_retain", "2.0", "true", "Send retained messages as retained."),
    BRIDGE("bridge_protocol_version", "1.4", "mqttv311",
           "Version of MQTT: mqttv31, mqttv311 or mqttv50."),
    BRIDGE("bridge_psk", "1.4", NULL, "Pre-shared key, in hexadecimal."),
    BRIDGE("bridge_receive_maximum", "2.1", "20", "Messages in flight of a bridge by MQTT 5."),
    BRIDGE("bridge_reload_type", "2.1", "lazy",
           "When changes take effect: at the next connect (lazy) or at once (immediate)."),
    BRIDGE("bridge_require_ocsp", "1.6", "false",
           "Ask for a stapled proof that the certificate was not revoked."),
    BRIDGE("bridge_session_expiry_interval", "2.1", "0",
           "How long the remote broker keeps the session of a bridge by MQTT 5, in seconds."),
    BRIDGE(
        "bridge_tcp_keepalive", "2.1", NULL,
        "Seconds of silence, seconds between probes, and probes, before a link counts as broken."),
    BRIDGE("bridge_tcp_user_timeout", "2.1", NULL,
           "Milliseconds without an acknowledgement of TCP before a link counts as broken."),
    BRIDGE("bridge_tls_use_os_certs", "2.1", "false",
           "Trust the certificate authorities of the system."),
    BRIDGE("bridge_tls_version", "1.4", "tlsv1.2", "Version of TLS."),
    BRIDGE("cleansession", "1.4", "false",
           "Start with an empty session at the remote broker each time."),
    BRIDGE("clientid", "1.4", NULL, "The same as remote_clientid."),
    BRIDGE("idle_timeout", "1.4", "60",
           "Seconds without messages after which a lazy bridge disconnects."),
    BRIDGE("keepalive_interval", "1.4", "60", "Seconds between signs of life."),
    BRIDGE("local_cleansession", "2.0", NULL,
           "The same as cleansession for this broker's side; without it cleansession counts."),
    BRIDGE("local_clientid", "1.4", NULL, "Client id of the bridge at this broker."),
    BRIDGE("local_password", "1.4", NULL, "Password of the bridge at this broker."),
    BRIDGE("local_username", "1.4", NULL, "User name of the bridge at this broker."),
    BRIDGE("notification_topic", "1.4", NULL, "Where the bridge says whether it is connected."),
    BRIDGE("notifications", "1.4", "true", "Say on both brokers whether the bridge is connected."),
    BRIDGE("notifications_local_only", "1.5", "false", "Say so at this broker only."),
    BRIDGE("password", "1.4", NULL, "The same as remote_password."),
    BRIDGE("remote_clientid", "1.4", NULL,
           "Client id of the bridge at the remote broker; without it HOSTNAME.NAME."),
    BRIDGE("remote_password", "1.4", NULL, "Password of the bridge at the remote broker."),
    BRIDGE("remote_username", "1.4", NULL, "User name of the bridge at the remote broker."),
    BRIDGE("restart_timeout", "1.4", "5 30",
           "Seconds before a new attempt to connect: the first time, and at most."),
    BRIDGE("round_robin", "1.4", "false",
           "Take all addresses in turn; if false, prefer the first."),
    BRIDGE("start_type", "1.4", "automatic",
           "When to connect: always (automatic), while there are messages (lazy), or once."),
    BRIDGE("threshold", "1.4", "10", "Messages that make a lazy bridge connect."),
    BRIDGE("topic", "1.4", NULL,
           "What is bridged: PATTERN, then out, in or both, the QoS, and what topics begin with "
           "here and there."),
    BRIDGE("try_private", "1.4", "true", "Tell the remote broker that this is a bridge."),
    BRIDGE("username", "1.4", NULL, "The same as remote_username."),
};

const struct option_rows options_later = {rows, ARRAY_SIZE(rows)};
