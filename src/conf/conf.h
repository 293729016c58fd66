/*
 * The configuration as plain structs. Built whole from a file and the command line, replaced whole
 * on reload, read-only for everybody else.
 */
#ifndef CONF_CONF_H
#define CONF_CONF_H

#include "base/err.h"
#include "base/log.h"
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CONF_DEFAULT_PORT 1883
#define CONF_CMD_PORTS_MAX 10 /* -p may be given so many times */

/* Who may come in, as which client. */
struct conf_security {
    bool allow_anonymous;
    bool allow_zero_length_clientid;
    bool acl_subscribe_check; /* acl_subscribe check: refuse filters of which nothing may be read */
    char *auto_id_prefix;     /* of generated client ids */
    char *password_file;      /* or NULL, as the next two */
    char *acl_file;
    char *psk_file;
};

/* Bits: what a listener accepts. */
enum conf_version { CONF_MQTT_31 = 1 << 0, CONF_MQTT_311 = 1 << 1, CONF_MQTT_5 = 1 << 2 };

/* The PROXY protocol's header before all else, in which version. */
enum conf_proxy { CONF_PROXY_OFF, CONF_PROXY_V1, CONF_PROXY_V2, CONF_PROXY_ANY };

/* The lowest version of TLS that a listener speaks. */
enum conf_tls { CONF_TLS_1_1 = 11, CONF_TLS_1_2 = 12, CONF_TLS_1_3 = 13 };

struct realm;
struct conf_bridge;

/* Addresses that begin with the same bits. */
struct conf_network {
    uint8_t ip[16]; /* network order; IPv4 in the first four bytes */
    uint8_t family; /* 4 or 6 */
    uint8_t bits;
};

/*
 * A listener's rules. Counted: connections keep those that they came with until others take their
 * place, also after the listener is gone.
 */
struct conf_listener {
    uint32_t refs;
    uint32_t line;           /* of the file, where it begins; 0 = the command line or a default */
    char *file;              /* that this line is in, printable; NULL = none */
    char *address;           /* to bind to; NULL = any, IPv4 and IPv6; a path if port is 0 */
    uint16_t port;           /* 0 = a Unix socket */
    uint8_t socket_domain;   /* 4 or 6: only these addresses; 0 = both */
    char *bind_interface;    /* or NULL */
    int32_t max_connections; /* -1 = no limit, never 0 */
    uint8_t max_qos;
    bool use_username_as_clientid;
    unsigned accept_versions; /* of enum conf_version */
    char *mount_point;        /* what its clients' topics begin with for all others, or NULL */
    enum conf_proxy proxy;
    bool proxy_v2_require_tls;
    struct conf_network *trusted; /* proxies; none = anybody */
    size_t trusted_count;
    char *certfile, *keyfile; /* TLS by a certificate: both, or neither */
    char *psk_hint;           /* TLS by pre-shared keys, or NULL */
    char *cafile, *capath;    /* who signs client certificates, or NULL */
    char *crlfile;
    char *ciphers, *ciphers_tls13;
    char *dhparamfile;
    uint8_t tls_version; /* of enum conf_tls */
    bool require_certificate;
    bool use_identity_as_username;
    bool use_subject_as_username;
    bool disable_client_cert_date_checks;
    struct conf_security security; /* in force here, wherever it was written */
    /*
     * What the files of `security` say, hung here by whoever reads them (auth/realm.h) and replaced
     * when they change; NULL: there are none, or nobody has read them. Given back by that function
     * when the listener goes.
     */
    struct realm *realm;
    void (*realm_unref)(struct realm *realm);
    struct conf_bridge *bridge; /* these are not a listener's but this bridge's; one reference */
};

/* When a bridge connects. */
enum conf_start {
    CONF_START_AUTOMATIC, /* always */
    CONF_START_LAZY,      /* while there are messages */
    CONF_START_ONCE       /* when the broker starts, and not again when that is lost */
};

/* Which way messages go over a bridge: bits. */
enum conf_direction { CONF_OUT = 1 << 0, CONF_IN = 1 << 1, CONF_BOTH = CONF_OUT | CONF_IN };

/* A `topic` line. Pattern and prefixes are pasted together as they are. */
struct conf_bridge_topic {
    char *local;            /* the filter here: local prefix and pattern */
    char *remote;           /* the filter there: remote prefix and pattern */
    uint16_t local_prefix;  /* bytes of `local` that are its prefix … */
    uint16_t remote_prefix; /* … and of `remote`: the one is taken off, the other put before */
    uint8_t direction;      /* of enum conf_direction */
    uint8_t qos;
};

struct conf_bridge_address {
    char *host;    /* a name, or an address without brackets */
    uint16_t port; /* 0 = not given: SRV records may tell, or it is 1883 */
};

/*
 * A `connection` section. Counted, and never changed: who works by it keeps it until another takes
 * its place.
 */
struct conf_bridge {
    uint32_t refs;
    uint32_t line; /* of the file, where it begins */
    char *file;    /* that this line is in, printable */
    char *name;
    struct conf_bridge_address *addresses; /* at least one */
    size_t address_count;
    struct conf_bridge_topic *topics;
    size_t topic_count;
    bool round_robin; /* all addresses are equal; else the first is preferred */
    bool clean;       /* cleansession: towards the remote broker */
    bool local_clean; /* local_cleansession, or the same as `clean` */
    enum conf_start start_type;
    uint32_t idle_timeout;    /* seconds; lazy */
    uint32_t threshold;       /* messages; lazy */
    uint32_t restart_base;    /* seconds, ≥ 1 */
    uint32_t restart_cap;     /* seconds, ≥ base; equal: constant, without jitter */
    uint32_t restart_stable;  /* seconds that a connection must last until the base counts again */
    uint32_t keepalive;       /* seconds */
    uint8_t protocol_version; /* of the protocol: 3 or 4 */
    bool try_private;
    bool notifications;
    bool notifications_local_only;
    bool attempt_unsubscribe;
    bool outgoing_retain;
    bool reload_lazily;       /* bridge_reload_type lazy: changes wait for the next connect */
    uint32_t max_packet_size; /* bytes; 0 = no limit */
    char *notification_topic; /* never NULL */
    char *remote_clientid;    /* never NULL; HOSTNAME.NAME by default */
    char *local_clientid;     /* never NULL; local.REMOTE_CLIENTID by default */
    char *remote_username, *remote_password; /* or NULL */
    char *local_username, *local_password;   /* or NULL */
    char *bind_address;                      /* an address to connect from, or NULL */
    uint32_t tcp_keepalive_idle;             /* seconds; 0 = the system's */
    uint32_t tcp_keepalive_interval;         /* seconds */
    uint32_t tcp_keepalive_count;
    uint32_t tcp_user_timeout_ms; /* 0 = the system's */
    char *cafile, *capath;        /* TLS: or NULL, as all texts from here */
    bool use_os_certs;
    char *certfile, *keyfile;
    char *ciphers, *ciphers_tls13;
    char *alpn;
    char *psk, *identity; /* TLS by a pre-shared key, in hexadecimal */
    bool insecure;        /* do not compare the host's name with the certificate */
    bool require_ocsp;
    uint8_t tls_version; /* of enum conf_tls: the lowest */
};

enum conf_log_dest {
    CONF_LOG_STDERR = 1 << 0,
    CONF_LOG_STDOUT = 1 << 1,
    CONF_LOG_FILE = 1 << 2,
    CONF_LOG_SYSLOG = 1 << 3,
    CONF_LOG_TOPIC = 1 << 4
};

struct conf_global {
    struct conf_security security; /* of all listeners, unless per_listener_settings */
    bool per_listener_settings;
    bool allow_duplicate_messages;
    bool connection_messages;
    bool log_timestamp;
    bool log_json; /* log_format json */
    bool queue_qos0_messages;
    bool check_retain_source; /* may its author still write there, when it is sent? */
    bool retain_available;
    bool set_tcp_nodelay;
    bool upgrade_outgoing_qos;
    char *clientid_prefixes;        /* what every client id must begin with, or NULL */
    char *user;                     /* to become when started as root; NULL = not given */
    char *pid_file;                 /* or NULL */
    char *log_timestamp_format;     /* of strftime; NULL = Unix seconds */
    uint32_t log_facility;          /* of syslog: 0 to 7 for local0 to local7; 8 = daemon */
    uint32_t sys_interval;          /* seconds; 0 = no $SYS topics */
    int32_t global_max_clients;     /* sessions, connected or stored; -1 = no limit */
    int32_t global_max_connections; /* -1 = no limit */
    uint32_t login_failure_limit;   /* of one address, then it is slowed down; 0 = never */
    uint32_t login_failure_delay;   /* seconds from one login to the next of such an address */
    unsigned log_dest;              /* bits of enum conf_log_dest; 0 = none */
    unsigned log_type;              /* bits of enum log_level */
    char *log_file;                 /* with CONF_LOG_FILE */
    uint32_t max_inflight_messages; /* 0 = no limit */
    uint64_t max_inflight_bytes;    /* 0 = no limit */
    uint32_t max_queued_messages;   /* 0 = no limit */
    uint64_t max_queued_bytes;      /* 0 = no limit */
    bool queue_drops_oldest;        /* queue_overflow oldest */
    uint32_t max_packet_size;       /* 0 = no limit but the protocol's */
    uint32_t message_size_limit;    /* of a payload; 0 = no limit */
    uint32_t max_keepalive;         /* seconds; 0 = no cap */
    uint64_t memory_limit;          /* bytes; 0 = no limit */
    bool persistence;
    bool persistence_fsync;                 /* persistence_sync fsync */
    bool persistence_salvage;               /* persistence_recover salvage */
    char *persistence_location;             /* a directory; NULL = the current one */
    char *persistence_file;                 /* names the store in it; never NULL */
    uint32_t persistence_sync_interval;     /* seconds */
    uint64_t persistence_segment_size;      /* bytes */
    uint64_t persistence_max_size;          /* bytes; 0 = no limit */
    uint64_t persistence_max_unsynced;      /* bytes */
    uint64_t persistence_memory_limit;      /* bytes; 0 = no limit */
    int64_t persistent_client_expiration_s; /* 0 = never */
};

struct conf {
    struct conf_global global;
    struct conf_listener **listeners; /* at least one after conf_load; one reference to each */
    size_t listener_count;
    struct conf_bridge **bridges; /* one reference to each; names and local client ids differ */
    size_t bridge_count;
    bool local_only; /* nothing said where to listen: loopback only, and anonymous clients are
                        welcome */
};

/* What the command line adds. */
struct conf_args {
    const char *file; /* -c; NULL = no file: all defaults */
    uint16_t ports[CONF_CMD_PORTS_MAX];
    size_t port_count;
    bool verbose; /* -v: all log types, whatever the file says */
    bool quiet;   /* -q: no log at all, whatever the file and -v say */
    bool test;    /* --test-config: report all that is wrong, and what is legal but unwise */
    bool daemon;  /* -d */
    const char *tls_keylog;            /* --tls-keylog: file for the secrets of TLS; NULL = none */
    const char *hostname;              /* of this machine, for client ids of bridges; NULL = none */
    bool (*is_user)(const char *name); /* may `user` name this one? NULL = whatever it names */
};

/*
 * Read the file, check it, fill in the defaults. A problem is one line on `log`, which names file,
 * line, option, value and what would be right; the first one ends the reading, unless args->test
 * asks for all of them. ERR_INVAL when there was one, ERR_SYSTEM when the file cannot be read,
 * ERR_NOMEM. On ERR_OK *out is the caller's.
 */
MUST_CHECK enum err conf_load(const struct conf_args *args, const struct log *log,
                              struct conf **out);
/* The same with the text of the file at hand; args->file is only its name. */
MUST_CHECK enum err conf_load_text(const struct conf_args *args, struct str text,
                                   const struct log *log, struct conf **out);
void conf_free(struct conf *c); /* NULL is allowed */
static inline struct conf_listener *conf_listener_ref(struct conf_listener *l)
{
    l->refs++;
    return l;
}
void conf_listener_unref(struct conf_listener *l); /* NULL is allowed */
/* Is it encrypted? */
static inline bool conf_listener_has_tls(const struct conf_listener *l)
{
    return l->certfile || l->psk_hint;
}
/* Do its clients prove their user names, by certificate or key? Then nobody asks for passwords. */
static inline bool conf_listener_proves_names(const struct conf_listener *l)
{
    return conf_listener_has_tls(l) && (l->use_identity_as_username || l->use_subject_as_username);
}
static inline struct conf_bridge *conf_bridge_ref(struct conf_bridge *b)
{
    b->refs++;
    return b;
}
void conf_bridge_unref(struct conf_bridge *b); /* NULL is allowed */
/* Is it encrypted? */
static inline bool conf_bridge_has_tls(const struct conf_bridge *b)
{
    return b->cafile || b->capath || b->use_os_certs || b->psk;
}
/* Do both sections say the same, wherever they stand? */
bool conf_bridge_same(const struct conf_bridge *a, const struct conf_bridge *b);
/*
 * The rules of a bridge's connection in the form of a listener's: everything is allowed that its
 * topics map. One reference. NULL without memory.
 */
MUST_CHECK struct conf_listener *conf_bridge_rules(struct conf_bridge *b);
/* Do both listen at the same place, so that one can go on with the other's sockets? */
bool conf_listener_same_socket(const struct conf_listener *a, const struct conf_listener *b);
/* Who can reach it, and how: one sentence for the log, terminated, cut if need be. */
#define CONF_DESCRIPTION_MAX 800
void conf_describe_listener(const struct conf *c, const struct conf_listener *l, char *out,
                            size_t cap);
/*
 * A configuration that is to replace another while the broker runs: what only a restart could
 * change is given its old value, with a warning for each. ERR_NOMEM: `fresh` is of no use.
 */
enum err conf_keep_fixed(struct conf *fresh, const struct conf *old, const struct log *log);

#endif
