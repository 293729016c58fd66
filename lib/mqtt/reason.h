/*
 * Why a packet was refused, a message dropped or a connection ended: one enum for all of them, so
 * that no end is without a reason and every reason has one wording.
 */
#ifndef MQTT_REASON_H
#define MQTT_REASON_H

enum reason {
    REASON_OK = 0,
    /* the bytes are no packet */
    REASON_LENGTH_FIELD,     /* remaining length longer than four bytes (2.2.3) */
    REASON_PACKET_TYPE,      /* type 0 or 15 (2.2.1) */
    REASON_FLAGS,            /* reserved flags of the fixed header (2.2.2-2) */
    REASON_TRUNCATED,        /* a field runs past the end of its packet */
    REASON_SURPLUS,          /* bytes behind the last field */
    REASON_UTF8,             /* a string that is not UTF-8 as MQTT wants it (1.5.3) */
    REASON_QOS,              /* QoS 3 */
    REASON_DUP_QOS0,         /* DUP with QoS 0 (3.3.1-2) */
    REASON_PACKET_ID_ZERO,   /* packet identifier 0 (2.3.1-1) */
    REASON_TOPIC_EMPTY,      /* empty topic name or filter (4.7.3-1) */
    REASON_TOPIC_WILDCARD,   /* wildcard in a topic name (3.3.2-2) */
    REASON_FILTER,           /* misplaced wildcard in a filter (4.7.1) */
    REASON_LEVELS,           /* more than TOPIC_LEVELS_MAX levels */
    REASON_SHARE_NAME,       /* $share without a group name or filter */
    REASON_MOUNT_LENGTH,     /* longer than a topic may be, with the listener's mount_point */
    REASON_MOUNT_WILDCARD,   /* subscription denied: a wildcard behind a mount_point without '/' */
    REASON_NO_FILTERS,       /* SUBSCRIBE or UNSUBSCRIBE without a filter (3.8.3-3, 3.10.3-2) */
    REASON_REQUESTED_QOS,    /* requested QoS byte with reserved bits (3.8.3-4) */
    REASON_PACKET_TOO_LARGE, /* above max_packet_size */
    /* CONNECT */
    REASON_NOT_CONNECT,       /* the first packet is not CONNECT (3.1.0-1) */
    REASON_SECOND_CONNECT,    /* another CONNECT (3.1.0-2) */
    REASON_CONNECT_TOO_LARGE, /* above the cap for packets before login */
    REASON_CONNECT_TIMEOUT,   /* no complete CONNECT in time */
    REASON_PROTOCOL_NAME,     /* neither MQTT nor MQIsdp */
    REASON_PROTOCOL_LEVEL,    /* a level that is not served (3.1.2-2) */
    REASON_VERSION,           /* one that this listener does not serve: accept_protocol_versions */
    REASON_CONNECT_FLAGS,     /* reserved or contradictory connect flags (3.1.2-3, -11 … -22) */
    REASON_CLIENT_ID,         /* none, in 3.1 or without clean session (3.1.3-8) */
    REASON_CLIENT_ID_NEEDED,  /* none, and allow_zero_length_clientid false */
    REASON_CLIENT_ID_PREFIX,  /* without the prefix of clientid_prefixes */
    REASON_KEEPALIVE_MAX,     /* keepalive above max_keepalive */
    REASON_ANONYMOUS,         /* no user name, and allow_anonymous false */
    REASON_NOT_AUTHORISED,    /* a user name that nothing can check, and allow_anonymous false */
    REASON_PASSWORD,          /* wrong user name or password: password_file */
    REASON_NO_IDENTITY,       /* no name of a certificate or key: use_identity_as_username */
    REASON_NO_SUBJECT,        /* no certificate: use_subject_as_username */
    REASON_PROVEN_NAME,       /* what its certificate or identity calls it is no user name */
    REASON_LOGIN_FAILURES,    /* its address failed too often: login_failure_limit */
    REASON_LOGINS_MAX,        /* too many others wait for their passwords to be checked */
    REASON_NO_USERNAME,       /* none, and use_username_as_clientid */
    REASON_CLIENTS_MAX,       /* a further session would be above global_max_clients */
    REASON_WILL_TOPIC,        /* will to a topic that no client may publish to */
    REASON_TLS_TO_PLAIN,      /* looks like a TLS handshake on a plain listener */
    REASON_HTTP,              /* looks like an HTTP request */
    REASON_PROXY_HEADER,      /* a PROXY header that nobody asked for */
    /* later */
    REASON_REVOKED,            /* its user's password has changed, is gone, or was never asked for:
                                  password_file */
    REASON_NOT_FOR_SERVER,     /* a packet that only a server sends */
    REASON_ACK_TYPE,           /* PUBREC for a QoS 1 message and the like */
    REASON_RETAIN_UNAVAILABLE, /* retain_available false */
    REASON_QOS_MAX,            /* above the listener's max_qos */
    REASON_KEEPALIVE,          /* silent for 1.5 times its keepalive (3.1.2-24) */
    REASON_TAKEN_OVER,         /* the same client id connected again (3.1.4-2) */
    REASON_NOMEM,              /* no memory for what it sent, or memory_limit */
    REASON_PAYLOAD_TOO_LARGE,  /* message dropped: message_size_limit */
    REASON_TOPIC_RESERVED,     /* message denied: a topic of the broker's own */
    REASON_ACL,                /* message or subscription denied: acl_file */
    REASON_GROUPS,             /* subscription denied: too many shared groups on its filter */
    REASON_QUEUE_FULL,         /* message dropped: max_queued_messages */
    REASON_QUEUE_BYTES,        /* message dropped: max_queued_bytes */
    REASON_SLOW_READER,        /* QoS 0 message dropped: output limit */
    REASON_OUTSIDE_MOUNT,      /* message dropped: its client is behind a mount_point now */
    REASON_UNMAPPED,           /* message dropped: no topic of its bridge matches */
    REASON_BRIDGE_PACKET_TOO_LARGE, /* message dropped: bridge_max_packet_size */
    REASON_BRIDGE_ID,               /* the client id is that of a bridge's session */
    REASON_NOT_CONNACK,             /* the first packet of a remote broker is not CONNACK (3.2) */
    REASON_SECOND_CONNACK,          /* another CONNACK */
    REASON_NOT_FOR_CLIENT,          /* a packet that only a client sends */
    REASON_SUBACK,                  /* SUBACK for nothing that was asked, or with too many codes */
    REASON_CONNACK_REFUSED,         /* a remote broker does not want us (3.2.2.3) */
    REASON_CONNACK_TIMEOUT,         /* no CONNACK in time */
    REASON_PING_TIMEOUT,            /* a remote broker does not answer (3.1.2-24) */
    REASON_BRIDGE_IDLE,             /* nothing to do for a lazy bridge: idle_timeout */
    REASON_BRIDGE_PRIMARY,          /* its first address can be reached again */
    REASON_BRIDGE_CHANGED,          /* its section has changed */
    REASON_BRIDGE_REMOVED,          /* … or is gone */
    REASON_DISCONNECT,              /* a proper DISCONNECT */
    REASON_PEER_CLOSED,             /* the peer closed its connection */
    REASON_SOCKET,                  /* read or write failed */
    REASON_SHUTDOWN,                /* the broker stops */
    REASON_COUNT
};

/* A phrase for the log, e.g. "session taken over"; never NULL. */
const char *reason_text(enum reason r);
/* The option that decides it, e.g. "max_packet_size"; NULL: no option does. */
const char *reason_rule(enum reason r);

#endif
