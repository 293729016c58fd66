/*
 * A line is worded only when somebody listens and the flood filter lets it pass. What the filter
 * holds back is counted under a label: the kind of line, the reason, and whom it is about; from the
 * label the line with the count is made.
 */
#include "core/report.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define NAME_MAX_BYTES 128
#define TOPIC_MAX_BYTES 320
#define VALUE_MAX 80
#define RULE_MAX 256
/* A client id may have 64 KiB; so much of it tells clients apart. */
#define SUBJECT_MAX 256

void report_init(struct report *r, const struct log *log, const struct conf *conf)
{
    *r = (struct report){.log = log, .conf = conf};
    flood_init(&r->flood);
}

/* --- labels --- */

enum kind {
    /* These two are never counted: each connection has an end, and that is. */
    KIND_OPENED,    /* by address */
    KIND_CONNECTED, /* by client */
    KIND_FAULT,     /* by address and reason */
    KIND_TAKEOVER,  /* by client */
    KIND_DENIED,
    KIND_DROPPED,
    KIND_EPISODE,
    KIND_UNREADABLE,
    KIND_WILL,
    KIND_UNKNOWN_ID,
    KIND_SLOWED, /* by address */
    KIND_COUNT
};

/* How the line with the count begins: before the subject, behind it, and whether the reason
 * follows. */
static const struct {
    const char *before;
    const char *behind;
    bool reason;
} counts[KIND_COUNT] = {
    [KIND_FAULT] = {"Clients from ", " disconnected: ", true},
    [KIND_TAKEOVER] = {"Client ", " disconnected: ", true},
    [KIND_DENIED] = {"Client ", " denied: ", true},
    [KIND_DROPPED] = {"Client ", " dropped: ", true},
    [KIND_EPISODE] = {"Outgoing messages being dropped for client ", ": ", true},
    [KIND_UNREADABLE] = {"Messages that cannot be read back for client ", "", false},
    [KIND_UNKNOWN_ID] = {"Acknowledgements of unknown packet identifiers from ", "", false},
    [KIND_SLOWED] = {"Logins slowed down from ", "", false},
    [KIND_WILL] = {"Wills of clients from ", " not published: ", true},
};

struct label {
    char bytes[2 + SUBJECT_MAX];
    size_t n;
};

static struct label label_of(enum kind kind, enum reason why, struct str subject)
{
    struct label l;
    size_t n = subject.n < SUBJECT_MAX ? subject.n : SUBJECT_MAX;

    l.bytes[0] = (char)kind;
    l.bytes[1] = (char)why;
    if (n > 0)
        memcpy(l.bytes + 2, subject.p, n);
    l.n = 2 + n;
    return l;
}

static struct str label_str(const struct label *l)
{
    return str_of(l->bytes, l->n);
}

/* By address. */
static struct label label_of_peer(enum kind kind, enum reason why, const struct peer *peer)
{
    char address[PEER_TEXT_MAX];

    return label_of(kind, why, str_c(peer ? peer_address(peer, address) : NULL));
}

static bool admits(struct report *r, struct label l)
{
    return flood_admits(&r->flood, r->now_ms, label_str(&l));
}

static bool is_shut(const struct report *r, struct label l)
{
    return flood_is_shut(&r->flood, r->now_ms, label_str(&l));
}

static void charge(struct report *r, struct label l)
{
    flood_charge(&r->flood, r->now_ms, label_str(&l));
}

static void tell_count(struct report *r, struct str label, uint64_t more)
{
    struct log_about about = {.event = "more", .more = more};
    char count[FLOOD_COUNT_MAX];
    char subject[NAME_MAX_BYTES];
    enum kind kind;
    enum reason why;

    flood_count(more, count);
    if (label.n < 2) {
        log_line_about(r->log, LOG_LEVEL_NOTICE, &about,
                       "Lines like these about other clients … and %s more.", count);
        return;
    }
    kind = (enum kind)label.p[0];
    why = (enum reason)(uint8_t)label.p[1];
    label = str_of(label.p + 2, label.n - 2);
    if (kind == KIND_FAULT || kind == KIND_WILL || kind == KIND_SLOWED)
        about.address = label;
    else
        about.client = label;
    about.reason = counts[kind].reason ? reason_text(why) : NULL;
    log_line_about(r->log, LOG_LEVEL_NOTICE, &about, "%s%s%s%s … and %s more.", counts[kind].before,
                   str_escape_strict(label, subject, sizeof(subject)), counts[kind].behind,
                   about.reason ? about.reason : "", count);
}

void report_counts(struct report *r, uint64_t now_ms)
{
    struct str label;
    uint64_t more;

    while (flood_take(&r->flood, now_ms, &label, &more))
        tell_count(r, label, more);
}

/* --- the words of a line --- */

struct words {
    char client[NAME_MAX_BYTES];
    char address[PEER_TEXT_MAX];
    char where[PEER_TEXT_MAX + 16];
    char topic[TOPIC_MAX_BYTES];
    char tail[NAME_MAX_BYTES + RULE_MAX + VALUE_MAX + 64];
    struct log_about about;
};

static bool rule_number(const struct conf_global *g, const struct conf_listener *l, enum reason why,
                        uint64_t *n)
{
    switch (why) {
    case REASON_QOS_MAX:
        *n = l ? l->max_qos : QOS_2;
        return true;
    case REASON_PACKET_TOO_LARGE:
        *n = g->max_packet_size;
        return true;
    case REASON_PAYLOAD_TOO_LARGE:
        *n = g->message_size_limit;
        return true;
    case REASON_KEEPALIVE_MAX:
        *n = g->max_keepalive;
        return true;
    case REASON_QUEUE_FULL:
        *n = g->max_queued_messages;
        return true;
    case REASON_QUEUE_BYTES:
        *n = g->max_queued_bytes;
        return true;
    case REASON_CLIENTS_MAX:
        *n = (uint64_t)g->global_max_clients;
        return true;
    case REASON_LOGIN_FAILURES:
        *n = g->login_failure_limit;
        return true;
    case REASON_NOMEM:
        *n = g->memory_limit;
        return true;
    default:
        return false;
    }
}

/* The value of the option that decided, or NULL when it has none to tell. */
static const char *rule_value(const struct report *r, const struct peer *peer, enum reason why,
                              char out[VALUE_MAX])
{
    const struct conf_listener *l = peer ? peer->listener : NULL;
    const char *text = NULL;
    uint64_t n;

    if (rule_number(&r->conf->global, l, why, &n)) {
        (void)snprintf(out, VALUE_MAX, "%llu", (unsigned long long)n);
        return out;
    }
    switch (why) {
    case REASON_ANONYMOUS:
    case REASON_NOT_AUTHORISED:
    case REASON_CLIENT_ID_NEEDED:
    case REASON_RETAIN_UNAVAILABLE:
        return "false";
    case REASON_NO_USERNAME:
    case REASON_NO_IDENTITY:
    case REASON_NO_SUBJECT:
        return "true";
    case REASON_PASSWORD:
    case REASON_REVOKED:
        text = l ? l->security.password_file : NULL;
        break;
    case REASON_CLIENT_ID_PREFIX:
        text = r->conf->global.clientid_prefixes;
        break;
    case REASON_MOUNT_LENGTH:
    case REASON_MOUNT_WILDCARD:
    case REASON_OUTSIDE_MOUNT:
        text = l ? l->mount_point : NULL;
        break;
    default:
        break;
    }
    return text ? str_escape_strict(str_c(text), out, VALUE_MAX) : NULL;
}

/* Without memory_limit it was the system that had no memory. */
static const char *rule_of(const struct report *r, enum reason why)
{
    return why == REASON_NOMEM && r->conf->global.memory_limit == 0 ? NULL : reason_rule(why);
}

/* " (OPTION VALUE, user 'NAME')", or less. */
static void put_tail(const struct party *p, const char *rule, const char *value, struct words *w)
{
    char user[NAME_MAX_BYTES];
    bool named = p->user.n > 0;

    w->tail[0] = '\0';
    if (!rule && !named)
        return;
    (void)snprintf(w->tail, sizeof(w->tail), " (%s%s%s%s%s%s%s)", rule ? rule : "",
                   value ? " " : "", value ? value : "", rule && named ? ", " : "",
                   named ? "user '" : "",
                   named ? str_escape_strict(p->user, user, sizeof(user)) : "", named ? "'" : "");
}

static void word_tail(const struct report *r, const struct party *p, enum reason why,
                      struct words *w)
{
    char room[VALUE_MAX];

    put_tail(p, w->about.rule, w->about.rule ? rule_value(r, p->peer, why, room) : NULL, w);
}

/* Another rule than the reason's option; NULL: none. */
static void word_rule(const struct party *p, const char *rule, struct words *w)
{
    if (!rule)
        return;
    w->about.rule = rule;
    put_tail(p, rule, NULL, w);
}

static void word(const struct report *r, struct words *w, const char *event, const struct party *p,
                 enum reason why)
{
    w->about = (struct log_about){
        .event = event,
        .client = p->client,
        .user = p->user,
        .reason = why == REASON_OK ? NULL : reason_text(why),
        .rule = rule_of(r, why),
    };
    str_escape_strict(p->client.n > 0 ? p->client : STR("<unknown>"), w->client, sizeof(w->client));
    if (p->peer) {
        w->about.address = str_c(peer_address(p->peer, w->address));
        w->about.port = p->peer->port;
        (void)snprintf(w->where, sizeof(w->where), "%s:%d", w->address, p->peer->port);
    } else {
        (void)snprintf(w->where, sizeof(w->where), "not connected");
    }
    word_tail(r, p, why, w);
}

/* The same with the topic that it is about. */
static void word_topic(const struct report *r, struct words *w, const char *event,
                       const struct party *p, enum reason why, struct str topic)
{
    word(r, w, event, p, why);
    w->about.topic = topic;
    str_escape_strict(topic, w->topic, sizeof(w->topic));
}

/* --- connections --- */

void report_opened(struct report *r, const struct peer *peer)
{
    const struct party p = {.peer = peer};
    struct words w;

    if (!log_wants(r->log, LOG_LEVEL_NOTICE) || !r->conf->global.connection_messages)
        return;
    if (is_shut(r, label_of_peer(KIND_OPENED, REASON_OK, peer)))
        return;
    word(r, &w, "opened", &p, REASON_OK);
    log_line_about(r->log, LOG_LEVEL_NOTICE, &w.about, "New connection from %s on port %d.",
                   w.address, peer->listener->port);
}

void report_connected(struct report *r, const struct party *p, const struct packet_connect *c)
{
    struct words w;
    char user[NAME_MAX_BYTES];
    char shown[NAME_MAX_BYTES + 8] = "";

    if (!log_wants(r->log, LOG_LEVEL_NOTICE) || !r->conf->global.connection_messages)
        return;
    if (is_shut(r, label_of(KIND_CONNECTED, REASON_OK, p->client)))
        return;
    word(r, &w, "connected", p, REASON_OK);
    if (c->has_username)
        (void)snprintf(shown, sizeof(shown), ", u'%s'",
                       str_escape_strict(c->username, user, sizeof(user)));
    log_line_about(r->log, LOG_LEVEL_NOTICE, &w.about,
                   "New %s connected from %s as %s (c%d, k%d%s).", c->bridge ? "bridge" : "client",
                   w.address, w.client, c->clean_session, c->keepalive_s, shown);
}

void report_slowed(struct report *r, const struct peer *peer, uint32_t failed)
{
    const struct party p = {.peer = peer};
    struct words w;

    if (!log_wants(r->log, LOG_LEVEL_NOTICE) ||
        !admits(r, label_of_peer(KIND_SLOWED, REASON_OK, peer)))
        return;
    word(r, &w, "slowed", &p, REASON_LOGIN_FAILURES);
    log_line_about(r->log, LOG_LEVEL_NOTICE, &w.about,
                   "Logins from %s are slowed down: %u failed%s.", w.address, failed, w.tail);
}

static bool is_orderly(enum reason why)
{
    return why == REASON_DISCONNECT || why == REASON_PEER_CLOSED || why == REASON_SHUTDOWN;
}

/* Is it what a client does to nobody's harm, or what befalls it? */
static bool is_harmless(enum reason why)
{
    return is_orderly(why) || why == REASON_SOCKET || why == REASON_KEEPALIVE;
}

static bool may_say_end(struct report *r, const struct party *p, const struct report_end *end)
{
    if (is_orderly(end->why) && !r->conf->global.connection_messages)
        return false;
    if (is_harmless(end->why) && !end->stranger)
        return true;
    charge(r, label_of_peer(KIND_OPENED, REASON_OK, p->peer));
    if (!end->stranger)
        charge(r, label_of(KIND_CONNECTED, REASON_OK, p->client));
    if (end->why == REASON_TAKEN_OVER)
        return admits(r, label_of(KIND_TAKEOVER, end->why, p->client));
    return admits(r, label_of_peer(KIND_FAULT, end->why, p->peer));
}

static const char *event_of(const struct report_end *end)
{
    if (end->why == REASON_TAKEN_OVER)
        return "taken_over";
    return end->stranger && !is_orderly(end->why) ? "refused" : "closed";
}

void report_closed(struct report *r, const struct party *p, const struct report_end *end)
{
    struct words w;
    const char *joint = end->why == REASON_TAKEN_OVER ? " " : ": ";

    if (!log_wants(r->log, LOG_LEVEL_NOTICE) || !may_say_end(r, p, end))
        return;
    word_topic(r, &w, event_of(end), p, end->why, end->topic);
    word_rule(p, end->rule, &w);
    if (end->why == REASON_DISCONNECT) {
        log_line_about(r->log, LOG_LEVEL_NOTICE, &w.about, "Client %s disconnected.", w.client);
        return;
    }
    log_line_about(r->log, LOG_LEVEL_NOTICE, &w.about,
                   "Client %s [%s] disconnected: %s%s%s%s%s%s%s.", w.client, w.where,
                   reason_text(end->why), end->detail ? joint : "", end->detail ? end->detail : "",
                   end->topic.n > 0 ? ": '" : "", w.topic, end->topic.n > 0 ? "'" : "", w.tail);
}

void report_aside(struct report *r, const struct peer *peer, enum reason why, const char *fmt, ...)
{
    char line[LOG_LINE_MAX];
    va_list args;

    if (!log_wants(r->log, LOG_LEVEL_INFO))
        return;
    if (is_shut(r, label_of_peer(KIND_FAULT, why, peer)))
        return;
    va_start(args, fmt);
    (void)vsnprintf(line, sizeof(line), fmt, args);
    va_end(args);
    log_info(r->log, "%s", line);
}

/* --- messages --- */

void report_unknown_id(struct report *r, const struct party *p, const char *packet, uint16_t id)
{
    struct words w;

    if (!log_wants(r->log, LOG_LEVEL_WARNING) ||
        !admits(r, label_of(KIND_UNKNOWN_ID, REASON_OK, p->client)))
        return;
    word(r, &w, "unknown_id", p, REASON_OK);
    log_line_about(r->log, LOG_LEVEL_WARNING, &w.about,
                   "Warning: Received %s from %s for an unknown packet identifier %d.", packet,
                   w.client, id);
}

void report_denied(struct report *r, const struct party *p, const struct report_denial *d)
{
    struct words w;

    if (!log_wants(r->log, LOG_LEVEL_NOTICE) ||
        !admits(r, label_of(KIND_DENIED, d->why, p->client)))
        return;
    word_topic(r, &w, "denied", p, d->why, d->topic);
    word_rule(p, d->rule, &w);
    log_line_about(r->log, LOG_LEVEL_NOTICE, &w.about, "Client %s [%s] denied: %s '%s': %s%s.",
                   w.client, w.where, d->act, w.topic, reason_text(d->why), w.tail);
}

void report_dropped(struct report *r, const struct party *p, struct str topic, enum reason why)
{
    struct words w;

    if (!log_wants(r->log, LOG_LEVEL_NOTICE) || !admits(r, label_of(KIND_DROPPED, why, p->client)))
        return;
    word_topic(r, &w, "dropped", p, why, topic);
    log_line_about(r->log, LOG_LEVEL_NOTICE, &w.about,
                   "Client %s [%s] dropped: publish to '%s': %s%s.", w.client, w.where, w.topic,
                   reason_text(why), w.tail);
}

void report_dropping(struct report *r, const struct party *p, enum reason why)
{
    struct words w;

    if (!log_wants(r->log, LOG_LEVEL_NOTICE) || !admits(r, label_of(KIND_EPISODE, why, p->client)))
        return;
    word(r, &w, "dropping", p, why);
    log_line_about(r->log, LOG_LEVEL_NOTICE, &w.about,
                   "Outgoing messages are being dropped for client %s [%s]: %s%s.", w.client,
                   w.where, reason_text(why), w.tail);
}

void report_episode(struct report *r, const struct party *p, uint64_t dropped, bool accepted)
{
    struct words w;
    char count[FLOOD_COUNT_MAX];

    if (!log_wants(r->log, LOG_LEVEL_NOTICE) ||
        !admits(r, label_of(KIND_EPISODE, REASON_OK, p->client)))
        return;
    word(r, &w, "dropped", p, REASON_OK);
    w.about.more = dropped;
    flood_count(dropped, count);
    if (accepted)
        log_line_about(r->log, LOG_LEVEL_NOTICE, &w.about,
                       "Outgoing messages for client %s [%s] are accepted again, %s dropped%s.",
                       w.client, w.where, count, w.tail);
    else
        log_line_about(r->log, LOG_LEVEL_NOTICE, &w.about,
                       "Outgoing messages were dropped for client %s [%s] until it left: %s%s.",
                       w.client, w.where, count, w.tail);
}

void report_unreadable(struct report *r, const struct party *p, uint64_t position)
{
    struct words w;

    if (!log_wants(r->log, LOG_LEVEL_ERROR) ||
        !admits(r, label_of(KIND_UNREADABLE, REASON_OK, p->client)))
        return;
    word(r, &w, "dropped", p, REASON_OK);
    log_line_about(r->log, LOG_LEVEL_ERROR, &w.about,
                   "Error: A message for client %s [%s] cannot be read back from position %llu of "
                   "the journal: it is damaged there, and dropped%s.",
                   w.client, w.where, (unsigned long long)position, w.tail);
}

void report_will_lost(struct report *r, const struct party *p, struct str topic, enum reason why)
{
    struct words w;

    if (!log_wants(r->log, LOG_LEVEL_ERROR) || !admits(r, label_of_peer(KIND_WILL, why, p->peer)))
        return;
    word_topic(r, &w, "dropped", p, why, topic);
    log_line_about(r->log, LOG_LEVEL_ERROR, &w.about,
                   "Error: The will of client %s [%s] was not published to '%s': %s%s.", w.client,
                   w.where, w.topic, reason_text(why), w.tail);
}
