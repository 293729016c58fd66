/*
 * What the broker counts: plain fields, since the start.
 */
#ifndef CORE_STATS_H
#define CORE_STATS_H

#include <stdint.h>

struct stats {
    uint64_t bytes_received;
    uint64_t bytes_sent;
    uint64_t packets_received;
    uint64_t packets_sent; /* put into output queues, as are all that are called sent but bytes */
    uint64_t publish_received;
    uint64_t publish_sent;
    uint64_t publish_dropped;        /* deliveries and publications dropped by a limit */
    uint64_t publish_denied;         /* publications that an ACL has forbidden */
    uint64_t publish_bytes_received; /* payload */
    uint64_t publish_bytes_sent;
    uint64_t connections_opened;
    uint64_t connects_received; /* CONNECT packets, refused ones too */
    uint64_t connections;       /* now */
    uint64_t sessions;          /* now, connected or not */
    uint64_t sessions_most;     /* ever */
    uint64_t sessions_connected;
    uint64_t sessions_expired;
    uint64_t output_bytes;   /* now, in output queues */
    uint64_t output_packets; /* likewise: see struct outbox */
    uint64_t subscriptions;
    uint64_t shared_subscriptions;
    uint64_t retained;
    uint64_t renewed_bytes; /* of records that cleaning has recorded anew */
};

#endif
