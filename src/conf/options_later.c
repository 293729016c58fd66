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
#define BRIDGE_5(option, of, usual, about)                                                         \
    INERT(option, of, usual, NULL, about, SCOPE_BRIDGE, OPT_NEEDLESS, "concerns MQTT 5 only")

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

    BRIDGE_5("bridge_max_topic_alias", "2.1", "10", "Topic aliases of a bridge by MQTT 5."),
    BRIDGE_5("bridge_receive_maximum", "2.1", "20", "Messages in flight of a bridge by MQTT 5."),
    BRIDGE_5("bridge_session_expiry_interval", "2.1", "0",
             "How long the remote broker keeps the session of a bridge by MQTT 5, in seconds."),
};

const struct option_rows options_later = {rows, ARRAY_SIZE(rows)};
