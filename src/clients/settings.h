/*
 * What mosquitto_pub, mosquitto_sub and mosquitto_rr can be told, as data.
 *
 * An option is a row of a table: its names, the field that it fills, the bounds of its value, its
 * sentence. Reading, refusing, releasing and --help are loops over rows. The rows that at least two
 * programs share are in client_rows; each program brings its own beside them. The settings of a
 * program are a struct that begins with struct client_settings, so that a row's offset means the
 * same in both kinds.
 */
#ifndef CLIENTS_SETTINGS_H
#define CLIENTS_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>

/* So much fits into one packet, topic included. */
#define CLIENT_PAYLOAD_MAX 268435455

#define CLIENT_UNSET (-1)

#define CLIENT_PORT 1883
#define CLIENT_PORT_TLS 8883

struct client_list {
    char **items;
    int n;
};

/* Where the payload comes from: pub and rr. */
enum client_source {
    SOURCE_NONE,
    SOURCE_TEXT,  /* -m */
    SOURCE_FILE,  /* -f */
    SOURCE_STDIN, /* -s: all of it */
    SOURCE_LINES, /* -l: a message a line */
    SOURCE_NULL   /* -n */
};

/*
 * What the programs have in common. Strings are owned, NULL when not given. Grouped by what they
 * are about as far as their sizes allow.
 */
struct client_settings {
    const struct client_program *program;
    struct client_list topics; /* -t; pub and rr use the last */

    char *host; /* "localhost" when nothing was said */
    char *unix_path, *bind_address;
    char *proxy_host, *proxy_username, *proxy_password;
    char *id, *id_prefix;
    char *username, *password;
    char *will_topic, *will_payload;
    char *cafile, *capath, *certfile, *keyfile, *keyform, *ciphers, *tls_version, *tls_alpn;
    char *tls_engine, *tls_engine_kpass_sha1;
    char *psk, *psk_identity;
    char *text, *file; /* pub, rr: -m, -f */
    char *format;      /* sub, rr: -F */

    enum client_source source; /* pub, rr */
    int port;                  /* CLIENT_UNSET: 1883, 8883 with TLS */
    int proxy_port;
    int keepalive_s;
    int retry_s;  /* how long to try to reach a broker; CLIENT_UNSET: the program's own way */
    int protocol; /* MQTT_PROTOCOL_V31 or _V311 */
    int window;   /* messages in flight; 20 */
    int qos, will_qos;
    int timeout_s; /* sub, rr: -W; 0: none */

    bool srv, nodelay;
    bool keep_session; /* -c */
    bool will_retain;
    bool tls; /* asked for by a URL */
    bool no_tls, insecure, use_os_certs;
    bool retain;                                     /* pub, rr */
    bool verbose, no_newline, pretty, hide_retained; /* sub, rr */
    bool debug, quiet;
};

enum client_type {
    ROW_FLAG,    /* no value → bool becomes true */
    ROW_INT,     /* a decimal number from min to max → int */
    ROW_SECONDS, /* a number ≥ 0, with decimals → double */
    ROW_TEXT,    /* → char * */
    ROW_LIST,    /* may be given several times → struct client_list */
    ROW_SET,     /* set() puts it where it belongs */
    ROW_REFUSED, /* known, but not to be had */
    ROW_FILE,    /* an options file */
    ROW_HELP,
    ROW_VERSION
};

enum client_flag {
    ROW_SECRET = 1 << 0, /* no message shows the value, and ps does not either */
    ROW_BARE = 1 << 1,   /* of ROW_SET and ROW_REFUSED: no value follows */
    ROW_UTF8 = 1 << 2    /* text that is sent as an MQTT string */
};

/* How --help groups the rows. */
enum client_group {
    GROUP_MESSAGE,
    GROUP_OUTPUT,
    GROUP_CONNECTION,
    GROUP_SESSION,
    GROUP_WILL,
    GROUP_TLS,
    GROUP_GENERAL,
    GROUP_REFUSED,
    GROUP_COUNT
};

enum client_which { CLIENT_PUB = 1, CLIENT_SUB = 2, CLIENT_RR = 4, CLIENT_ALL = 7 };

struct client_row {
    const char *name;  /* "-q" or "--nodelay" */
    const char *alias; /* "--qos", or NULL */
    size_t offset;     /* of the field; of ROW_SET: what set() wants to know */
    const char *value; /* what follows, for --help: "HOST" */
    const char *noun;  /* … for messages: "-h argument given but no host specified." */
    const char *wrong; /* the message for a value that will not do, in which %s is the value; NULL:
                          a general one. Of ROW_REFUSED: why */
    /* false: it has said what is wrong, by client_refuse(). */
    bool (*set)(struct client_settings *s, const struct client_row *row, const char *value);
    const char *doc; /* for --help; without a full stop */
    enum client_group group;
    enum client_type type;
    int min, max;      /* of ROW_INT and ROW_SECONDS */
    unsigned flags;    /* of enum client_flag */
    unsigned programs; /* of enum client_which */
};

struct client_rows {
    const struct client_row *rows;
    size_t n;
};

#define SETTING(type, member) .offset = offsetof(struct type, member)
#define ROWS(array)                                                                                \
    {                                                                                              \
        (array), sizeof(array) / sizeof((array)[0])                                                \
    }

/* One of the programs. */
struct client_program {
    enum client_which which;
    const char *name;                    /* "mosquitto_pub" */
    const char *id_prefix;               /* "mosqpub": of the id that is made up */
    const char *about;                   /* one sentence, for --help */
    const char *usage;                   /* behind "Usage: "; more lines begin with 7 blanks */
    const struct client_rows *tables[3]; /* the common rows, its own; NULL ends */
    /* What no row can say alone; false: it has said what is wrong, by client_refuse(). */
    bool (*check)(struct client_settings *s);
};

/* Does the connection use TLS? The port of MQTT over TLS alone says so too. */
bool client_wants_tls(const struct client_settings *s);

/* Does a value follow the row's name? */
bool client_row_has_value(const struct client_row *row);

/* The i-th row that the program knows; NULL behind the last. */
const struct client_row *client_row_at(const struct client_program *program, size_t i);

/* Free what is owned, by the rows of s->program. */
void client_settings_clear(struct client_settings *s);

/* "Error: …" and how to get help, on stderr; returns false. The text is without "Error: " and
 * without newline. */
bool client_refuse(const struct client_settings *s, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* A copy into an owned field, freeing what is there; and into a list. false without memory, which
 * was said. */
bool client_keep(char **field, const char *value);
bool client_keep_also(struct client_list *list, const char *value);

#endif
