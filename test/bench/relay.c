/*
 * The floor: a relay that does no more than the load generator notices, so that it shows what
 * loopback and kernel cost. `relay PORT` on 127.0.0.1.
 *
 * A PUBLISH is copied to whoever subscribed to exactly its topic, and acknowledged at once; a
 * receiver's acknowledgements are not kept. In each turn every ready connection is read once, and
 * each receiver written to once. No wildcards, sessions, retained messages, limits or timers: this
 * is no broker to use.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

enum {
    INPUT_ROOM = 4 << 20, /* more than the largest packet of mosquitto_bench */
    READ_SIZE = 1 << 18,
    OUTPUT_FIRST = 128,
    EVENTS = 512,
    BACKLOG = 4096,
    BUCKETS = 1 << 16,
    DESCRIPTORS = 1 << 16,
    HEADER_MAX = 5,
    FILTERS_MAX = 64, /* of one SUBSCRIBE */
};

enum packet {
    CONNECT = 1,
    CONNACK,
    PUBLISH,
    PUBACK,
    PUBREC,
    PUBREL,
    PUBCOMP,
    SUBSCRIBE,
    SUBACK,
    PINGREQ = 12,
    PINGRESP,
};

struct client {
    int fd;
    uint16_t next_id;
    bool gone;    /* hung up; freed at the end of the turn */
    bool dirty;   /* on the list of those that have something to write */
    bool blocked; /* waits for EPOLLOUT */
    struct client *next_dirty;
    struct subscription *subscriptions;
    unsigned char *rest; /* of a packet that has not come whole */
    size_t rest_size;
    unsigned char *out;
    size_t out_size;
    size_t out_room;
};

struct subscription {
    struct client *client;
    struct topic *topic;
    struct subscription *next; /* of the same client */
    size_t place;              /* in the topic's list */
    unsigned qos;
};

struct topic {
    struct topic *next; /* in the same bucket */
    struct subscription **list;
    size_t count;
    size_t room;
    size_t size;
    char name[];
};

struct relay {
    int epoll;
    int listener;
    struct client *dirty;
    struct client *client[DESCRIPTORS]; /* by descriptor */
    struct topic *bucket[BUCKETS];
    unsigned char input[INPUT_ROOM + READ_SIZE];
};

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static void *need(void *memory)
{
    if (memory == NULL) {
        die("memory");
    }
    return memory;
}

static size_t u16(const unsigned char *p)
{
    return (size_t)p[0] << 8 | p[1];
}

static void mark_dirty(struct relay *r, struct client *c)
{
    if (!c->dirty) {
        c->dirty = true;
        c->next_dirty = r->dirty;
        r->dirty = c;
    }
}

/* Room for `n` bytes of output, which the caller fills. */
static unsigned char *put(struct relay *r, struct client *c, size_t n)
{
    unsigned char *at;

    if (c->out_room - c->out_size < n) {
        while (c->out_room - c->out_size < n) {
            c->out_room = c->out_room > 0 ? 2 * c->out_room : OUTPUT_FIRST;
        }
        c->out = need(realloc(c->out, c->out_room));
    }
    mark_dirty(r, c);
    at = c->out + c->out_size;
    c->out_size += n;
    return at;
}

static void put_ack(struct relay *r, struct client *c, int first, const unsigned char *id)
{
    memcpy(put(r, c, 4), (unsigned char[]){(unsigned char)first, 2, id[0], id[1]}, 4);
}

static struct topic **find(struct relay *r, const unsigned char *name, size_t size)
{
    struct topic **at = &r->bucket[XXH3_64bits(name, size) % BUCKETS];

    while (*at != NULL && ((*at)->size != size || memcmp((*at)->name, name, size) != 0)) {
        at = &(*at)->next;
    }
    return at;
}

static void subscribe(struct relay *r, struct client *c, const unsigned char *name, size_t size,
                      unsigned qos)
{
    struct topic **at = find(r, name, size);
    struct topic *t = *at;
    struct subscription *s = need(malloc(sizeof(*s)));

    if (t == NULL) {
        t = *at = need(calloc(1, sizeof(*t) + size));
        t->size = size;
        memcpy(t->name, name, size);
    }
    if (t->count == t->room) {
        t->room = 2 * t->room + 1;
        t->list = need(realloc(t->list, t->room * sizeof(t->list[0])));
    }
    *s = (struct subscription){c, t, c->subscriptions, t->count, qos};
    c->subscriptions = s;
    t->list[t->count++] = s;
}

static void unsubscribe_all(struct client *c)
{
    while (c->subscriptions != NULL) {
        struct subscription *s = c->subscriptions;
        struct topic *t = s->topic;

        c->subscriptions = s->next;
        t->list[s->place] = t->list[--t->count];
        t->list[s->place]->place = s->place;
        free(s);
    }
}

/* Memory is freed at the end of the turn, when nothing can mention the client any more. */
static void hang_up(struct relay *r, struct client *c)
{
    if (!c->gone) {
        c->gone = true;
        unsubscribe_all(c);
        close(c->fd);
        mark_dirty(r, c);
    }
}

static bool on_subscribe(struct relay *r, struct client *c, const unsigned char *p,
                         const unsigned char *end)
{
    unsigned char ack[4 + FILTERS_MAX] = {SUBACK << 4, 2};
    size_t n = 4;

    if (end - p < 2) {
        return false;
    }
    memcpy(ack + 2, p, 2);
    for (p += 2; p < end; n++) {
        size_t size = end - p > 2 ? u16(p) : SIZE_MAX;

        if (n == sizeof(ack) || size > (size_t)(end - p) - 3) {
            return false;
        }
        ack[n] = p[2 + size] & 3;
        subscribe(r, c, p + 2, size, ack[n]);
        p += size + 3;
    }
    ack[1] = (unsigned char)(n - 2);
    memcpy(put(r, c, n), ack, n);
    return true;
}

/* What a PUBLISH says, and where its pieces are. */
struct message {
    unsigned qos;
    const unsigned char *topic; /* with its length in front */
    size_t topic_size;
    const unsigned char *payload;
    size_t payload_size;
};

static void deliver(struct relay *r, const struct subscription *s, const struct message *m)
{
    unsigned qos = s->qos < m->qos ? s->qos : m->qos;
    size_t left = m->topic_size + m->payload_size + (qos > 0 ? 2 : 0);
    unsigned char header[HEADER_MAX] = {(unsigned char)(PUBLISH << 4 | qos << 1)};
    size_t n = 1;
    unsigned char *at;

    for (size_t rest = left; n == 1 || rest > 0; rest >>= 7) {
        header[n++] = (unsigned char)((rest & 127) | (rest > 127 ? 128 : 0));
    }
    at = put(r, s->client, n + left);
    memcpy(at, header, n);
    memcpy(at + n, m->topic, m->topic_size);
    at += n + m->topic_size;
    if (qos > 0) {
        s->client->next_id = (uint16_t)(s->client->next_id + (s->client->next_id == 65535 ? 2 : 1));
        *at++ = (unsigned char)(s->client->next_id >> 8);
        *at++ = (unsigned char)s->client->next_id;
    }
    memcpy(at, m->payload, m->payload_size);
}

static bool on_publish(struct relay *r, struct client *c, unsigned first, const unsigned char *p,
                       const unsigned char *end)
{
    struct message m = {.qos = first >> 1 & 3, .topic = p};
    const struct topic *t;

    if (end - p < 2 || (size_t)(end - p) < u16(p) + 2 + (m.qos > 0 ? 2 : 0)) {
        return false;
    }
    m.topic_size = u16(p) + 2;
    m.payload = p + m.topic_size;
    if (m.qos > 0) {
        put_ack(r, c, (m.qos == 1 ? PUBACK : PUBREC) << 4, m.payload);
        m.payload += 2;
    }
    m.payload_size = (size_t)(end - m.payload);
    t = *find(r, p + 2, m.topic_size - 2);
    for (size_t i = 0; t != NULL && i < t->count; i++) {
        deliver(r, t->list[i], &m);
    }
    return true;
}

/* False if there is nothing to be done but to hang up; that includes DISCONNECT. */
static bool on_packet(struct relay *r, struct client *c, unsigned first, const unsigned char *p,
                      const unsigned char *end)
{
    switch (first >> 4) {
    case CONNECT:
        memcpy(put(r, c, 4), (unsigned char[]){CONNACK << 4, 2, 0, 0}, 4);
        return true;
    case PUBLISH:
        return on_publish(r, c, first, p, end);
    case PUBREC:
    case PUBREL:
        if (end - p != 2) {
            return false;
        }
        put_ack(r, c, first >> 4 == PUBREC ? PUBREL << 4 | 2 : PUBCOMP << 4, p);
        return true;
    case PUBACK:
    case PUBCOMP:
        return true;
    case SUBSCRIBE:
        return on_subscribe(r, c, p, end);
    case PINGREQ:
        memcpy(put(r, c, 2), (unsigned char[]){PINGRESP << 4, 0}, 2);
        return true;
    default:
        return false;
    }
}

/* The next packet's size, 0 if it has not come whole, SIZE_MAX if it is none; *body is the header's
 * size. */
static size_t packet_size(const unsigned char *p, const unsigned char *end, size_t *body)
{
    size_t left = 0;
    unsigned shift = 0;

    for (size_t n = 1; n < HEADER_MAX && p + n < end; n++, shift += 7) {
        left |= (size_t)(p[n] & 127) << shift;
        if ((p[n] & 128) == 0) {
            *body = n + 1;
            if (n + 1 + left > INPUT_ROOM) {
                return SIZE_MAX;
            }
            return (size_t)(end - p) >= n + 1 + left ? n + 1 + left : 0;
        }
    }
    return end - p >= HEADER_MAX ? SIZE_MAX : 0;
}

/* All whole packets; returns what is left, NULL if the client has to go. */
static const unsigned char *take(struct relay *r, struct client *c, const unsigned char *p,
                                 const unsigned char *end)
{
    size_t body = 0;
    size_t size;

    while ((size = packet_size(p, end, &body)) > 0) {
        if (size == SIZE_MAX || !on_packet(r, c, p[0], p + body, p + size)) {
            return NULL;
        }
        p += size;
    }
    return p;
}

static void keep_rest(struct client *c, const unsigned char *p, size_t size)
{
    if (size > 0) {
        c->rest = need(realloc(c->rest, size));
        memcpy(c->rest, p, size);
    } else if (c->rest != NULL) {
        free(c->rest);
        c->rest = NULL;
    }
    c->rest_size = size;
}

static void read_once(struct relay *r, struct client *c)
{
    unsigned char *in = r->input;
    const unsigned char *left;
    ssize_t n;

    if (c->rest_size > 0) {
        memcpy(in, c->rest, c->rest_size);
    }
    n = recv(c->fd, in + c->rest_size, READ_SIZE, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    left = n > 0 ? take(r, c, in, in + c->rest_size + n) : NULL;
    if (left == NULL) {
        hang_up(r, c);
        return;
    }
    keep_rest(c, left, (size_t)(in + c->rest_size + n - left));
}

static void watch(struct relay *r, struct client *c, int action)
{
    struct epoll_event event = {.events = c->blocked ? EPOLLIN | EPOLLOUT : EPOLLIN,
                                .data.fd = c->fd};

    if (epoll_ctl(r->epoll, action, c->fd, &event) != 0) {
        die("epoll_ctl");
    }
}

static void accept_all(struct relay *r)
{
    int fd;

    while ((fd = accept4(r->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0 &&
           fd < DESCRIPTORS) {
        struct client *c = need(calloc(1, sizeof(*c)));

        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
        c->fd = fd;
        r->client[fd] = c;
        watch(r, c, EPOLL_CTL_ADD);
    }
}

static void write_once(struct relay *r, struct client *c)
{
    ssize_t n = send(c->fd, c->out, c->out_size, MSG_NOSIGNAL);
    bool blocked;

    if (n < 0 && errno != EAGAIN) {
        hang_up(r, c);
        return;
    }
    if (n > 0) {
        c->out_size -= (size_t)n;
        memmove(c->out, c->out + n, c->out_size);
    }
    blocked = c->out_size > 0;
    if (blocked != c->blocked) {
        c->blocked = blocked;
        watch(r, c, EPOLL_CTL_MOD);
    }
}

static void bury(struct client *c)
{
    free(c->rest);
    free(c->out);
    free(c);
}

static void flush(struct relay *r)
{
    while (r->dirty != NULL) {
        struct client *c = r->dirty;

        r->dirty = c->next_dirty;
        if (!c->gone && c->out_size > 0) {
            write_once(r, c);
        }
        c->dirty = false;
        if (c->gone) {
            bury(c);
        }
    }
}

static void turn(struct relay *r)
{
    struct epoll_event event[EVENTS];
    int n = epoll_wait(r->epoll, event, EVENTS, -1);

    for (int i = 0; i < n; i++) {
        if (event[i].data.fd == r->listener) {
            accept_all(r);
            continue;
        }
        if ((event[i].events & EPOLLOUT) != 0) {
            mark_dirty(r, r->client[event[i].data.fd]);
        }
        if ((event[i].events & ~(uint32_t)EPOLLOUT) != 0) {
            read_once(r, r->client[event[i].data.fd]);
        }
    }
    flush(r);
}

static void listen_on(struct relay *r, uint16_t port)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct epoll_event event = {.events = EPOLLIN};

    r->epoll = epoll_create1(EPOLL_CLOEXEC);
    r->listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    event.data.fd = r->listener;
    setsockopt(r->listener, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));
    if (bind(r->listener, (struct sockaddr *)&address, sizeof(address)) != 0 ||
        listen(r->listener, BACKLOG) != 0 ||
        epoll_ctl(r->epoll, EPOLL_CTL_ADD, r->listener, &event) != 0) {
        die("listen");
    }
}

int main(int argc, char **argv)
{
    static struct relay relay;
    unsigned long port = argc == 2 ? strtoul(argv[1], NULL, 10) : 0;

    if (port == 0 || port > UINT16_MAX) {
        fprintf(stderr, "Usage: relay PORT\n");
        return 2;
    }
    listen_on(&relay, (uint16_t)port);
    for (;;) {
        turn(&relay);
    }
}
