/*
 * One attempt to reach a broker, a step at a time.
 *
 * First the addresses (dial_names), then a line to one after the other (dial_line), until one is
 * up. Each step looks at the descriptors itself, without waiting, and then goes from one stage to
 * the next until something has to be waited for. What goes wrong with one address leads to the next
 * one; of the last one it is told. A host that is reached through a proxy is never looked up here:
 * its name goes to the proxy.
 */
#include "client/dial.h"

#include "base/mem.h"
#include "base/str.h"
#include "client/dial_line.h"
#include "client/dial_names.h"

#include <errno.h>
#include <stdio.h>

_Static_assert(DIAL_NAMES_SOCKETS_MAX + 1 == DIAL_FDS_MAX, "the resolver's, and the line's");

enum stage {
    STAGE_LOOKING, /* for addresses */
    STAGE_TRYING,  /* the next address is to be tried */
    STAGE_CALLING, /* … it is */
    STAGE_ARRIVED,
    STAGE_FAILED
};

struct dial {
    enum stage stage;
    uint64_t now_ms, limit_ms; /* now, and when all has taken too long */
    uint64_t patience_ms;      /* when this address has been silent for too long */

    char *host;
    uint16_t port;
    bool srv;
    struct tls_ctx *ctx;
    char *proxy_host, *proxy_username, *proxy_password;
    char *bind_address;

    struct dial_names names;
    size_t next; /* of their addresses */
    struct dial_line line;

    enum dial_failure failure;
    int error;
    char why[DIAL_WHY_MAX];
};

static bool goes_by_proxy(const struct dial *d)
{
    return d->proxy_host != NULL;
}

static bool is_path(const struct dial *d)
{
    return d->port == 0 && !d->srv;
}

/* ---- Failing ---- */

static void note(struct dial *d, enum dial_failure failure, int error, const char *why)
{
    d->failure = failure;
    d->error = error;
    (void)snprintf(d->why, sizeof(d->why), "%s", why);
}

/* There is no other way. */
static void fail(struct dial *d, enum dial_failure failure, const char *why)
{
    dial_line_close(&d->line);
    note(d, failure, 0, why);
    d->stage = STAGE_FAILED;
}

/* This address did not do; perhaps the next one does. */
static void give_up_address(struct dial *d, enum dial_failure failure, int error, const char *why)
{
    const char *proxy = goes_by_proxy(d) && failure == DIAL_CONNECT ? "the proxy: " : "";
    char place[DIAL_PLACE_MAX];
    d->failure = failure;
    d->error = error;
    if (d->names.count > 1) {
        (void)snprintf(d->why, sizeof(d->why), "%s%.250s (the last of %zu addresses, %.100s)",
                       proxy, why, d->names.count, dial_names_place(&d->names, d->next - 1, place));
    } else {
        (void)snprintf(d->why, sizeof(d->why), "%s%s", proxy, why);
    }
    dial_line_close(&d->line);
    d->stage = STAGE_TRYING;
}

/* What it means that nothing comes of the stage at which it is. */
static enum dial_failure failure_of(const struct dial *d)
{
    return d->line.stage == LINE_SHAKING    ? DIAL_TLS
           : d->line.stage == LINE_PROXYING ? DIAL_PROXY
           : d->stage == STAGE_LOOKING      ? DIAL_LOOKUP
                                            : DIAL_CONNECT;
}

/* ---- Names ---- */

static void begin(struct dial *d, const struct dial_settings *s)
{
    const struct dial_names_ask ask = {
        .host = d->host,
        .port = d->port,
        .path = is_path(d),
        .tls = d->ctx != NULL,
        .srv = d->srv,
        .proxy_host = d->proxy_host,
        .proxy_port = s->proxy_port,
        .bind_address = d->bind_address,
        .servers = s->servers,
        .hosts = s->hosts,
        .try_ms = s->try_ms,
    };
    enum err e = dial_names_begin(&d->names, &ask);
    if (e != ERR_OK) {
        fail(d, e == ERR_INVAL ? DIAL_INVALID : DIAL_NOMEM, d->names.why);
    }
}

static void look_up(struct dial *d)
{
    enum err e = dial_names_step(&d->names);
    if (e == ERR_OK) {
        d->stage = STAGE_TRYING;
    } else if (e != ERR_AGAIN) {
        fail(d, DIAL_LOOKUP, d->names.why);
    }
}

/* ---- Lines ---- */

static void be_patient(struct dial *d)
{
    d->patience_ms = d->now_ms + DIAL_ADDRESS_MS;
}

/* What the line says of itself, and whether another address may do better. */
static void line_failed(struct dial *d, enum err e)
{
    const struct dial_line *l = &d->line;
    if (e == ERR_CLOSED) {
        give_up_address(d, failure_of(d), l->error, l->why);
    } else {
        fail(d,
             e == ERR_NOMEM       ? DIAL_NOMEM
             : e == ERR_INVAL     ? DIAL_INVALID
             : e == ERR_DENIED    ? DIAL_PROXY_AUTH
             : e == ERR_NOT_FOUND ? DIAL_PROXY_TARGET
                                  : DIAL_PROXY,
             l->why);
    }
}

static void try_address(struct dial *d)
{
    char text[NI_MAXHOST];
    if (d->next == d->names.count) {
        d->stage = STAGE_FAILED;
        return;
    }
    const struct resolve_address *a = &d->names.addresses[d->next++];
    enum err e = dial_line_open(&d->line, a, dial_names_source(&d->names, a->sa.ss_family, text));
    if (e == ERR_OK) {
        d->stage = STAGE_CALLING;
        be_patient(d);
    } else {
        line_failed(d, e);
    }
}

static void call(struct dial *d)
{
    enum err e = dial_line_step(&d->line);
    if (e == ERR_OK) {
        d->stage = STAGE_ARRIVED;
    } else if (e != ERR_AGAIN) {
        line_failed(d, e);
    }
}

/* ---- Steps ---- */

/* False: something has to be waited for, or it is over. */
static bool go_on(struct dial *d)
{
    enum stage before = d->stage;
    switch (before) {
    case STAGE_LOOKING:
        look_up(d);
        break;
    case STAGE_TRYING:
        try_address(d);
        return true;
    case STAGE_CALLING:
        call(d);
        break;
    case STAGE_ARRIVED:
    case STAGE_FAILED:
        return false;
    }
    return d->stage != before;
}

static uint64_t patience_of(const struct dial *d)
{
    return d->stage == STAGE_CALLING && d->next < d->names.count ? d->patience_ms : UINT64_MAX;
}

/* An end for who is silent: the next address, or at last all of it. */
static void lose_patience(struct dial *d)
{
    static const char silent[] = "there was no answer in time";
    enum dial_failure failure = failure_of(d);
    if (d->now_ms >= d->limit_ms) {
        dial_line_close(&d->line);
        note(d, failure, ETIMEDOUT, silent);
        d->stage = STAGE_FAILED;
    } else if (d->now_ms >= patience_of(d)) {
        give_up_address(d, failure, ETIMEDOUT, silent);
    }
}

enum err dial_step(struct dial *d, uint64_t now_ms)
{
    d->now_ms = now_ms;
    if (dial_line_hears(&d->line)) {
        be_patient(d); /* an address that says something has the time that it needs */
    }
    do {
        while (go_on(d)) {
        }
        if (d->stage < STAGE_ARRIVED) {
            lose_patience(d);
        }
    } while (d->stage == STAGE_TRYING);
    if (d->stage == STAGE_FAILED) {
        return d->failure == DIAL_NOMEM ? ERR_NOMEM : ERR_CLOSED;
    }
    return d->stage == STAGE_ARRIVED ? ERR_OK : ERR_AGAIN;
}

int dial_poll(const struct dial *d, struct pollfd *fds, int n)
{
    int used = 0;
    if (d->line.tcp && used < n) {
        fds[used++] = (struct pollfd){.fd = d->line.tcp->fd, .events = dial_line_events(&d->line)};
    }
    for (int i = 0; i < d->names.socket_count && used < n; i++) {
        fds[used++] = d->names.sockets[i];
    }
    return used;
}

uint64_t dial_deadline(struct dial *d, uint64_t now_ms)
{
    if (d->stage >= STAGE_ARRIVED) {
        return now_ms;
    }
    int ms = dial_names_timeout_ms(&d->names);
    uint64_t due = earlier(d->limit_ms, patience_of(d));
    return ms >= 0 ? earlier(due, now_ms + (uint64_t)ms) : due;
}

int dial_fd(const struct dial *d)
{
    if (d->line.tcp) {
        return d->line.tcp->fd;
    }
    return d->names.socket_count > 0 ? d->names.sockets[0].fd : -1;
}

/* ---- The result ---- */

void dial_take(struct dial *d, struct dial_way *way)
{
    struct dial_line *l = &d->line;
    *way = (struct dial_way){.transport = l->io, .tls = l->tls, .bottom = l->tcp, .fd = l->tcp->fd};
    dial_line_leave(l);
}

void dial_way_close(struct dial_way *way)
{
    if (way->transport) {
        transport_close(way->transport);
        mem_free(way->bottom, sizeof(struct tcp));
    }
    *way = (struct dial_way){0};
}

enum dial_failure dial_failure(const struct dial *d)
{
    return d->failure;
}

int dial_error(const struct dial *d)
{
    return d->error;
}

const char *dial_why(const struct dial *d)
{
    return d->why;
}

/* ---- Life ---- */

/* False: without memory. */
static bool copy_text(char **out, const char *text)
{
    *out = text ? str_dup(str_c(text)) : NULL;
    return *out || !text;
}

static bool copy_settings(struct dial *d, const struct dial_settings *s)
{
    d->port = s->port;
    d->srv = s->srv;
    bool proxied = s->proxy_host && !is_path(d);
    d->ctx = s->tls ? tls_ctx_ref(s->tls) : NULL;
    d->host = str_dup(str_c(s->host));
    return d->host && copy_text(&d->bind_address, s->bind_address) &&
           (!proxied || (copy_text(&d->proxy_host, s->proxy_host) &&
                         copy_text(&d->proxy_username, s->proxy_username) &&
                         copy_text(&d->proxy_password, s->proxy_password)));
}

/* What a certificate may be for: no path is a name, and at a path this machine answers. */
static const char *name_of(const struct dial *d)
{
    return is_path(d) ? "localhost" : d->host;
}

struct dial *dial_new(const struct dial_settings *s, uint64_t now_ms)
{
    struct dial *d = mem_zalloc(sizeof(*d));
    if (!d) {
        return NULL;
    }
    d->now_ms = now_ms;
    d->limit_ms = now_ms + DIAL_TOTAL_MS;
    if (!copy_settings(d, s)) {
        dial_free(d);
        return NULL;
    }
    d->line.to = (struct dial_line_to){
        .by_proxy = goes_by_proxy(d),
        .host = d->host,
        .port = d->port,
        .username = d->proxy_username,
        .password = d->proxy_password,
        .tls = d->ctx,
        .name = name_of(d),
        .nodelay = s->nodelay,
        .bind_address = d->bind_address,
    };
    begin(d, s);
    (void)!dial_step(d, now_ms); /* what has become of it the next step tells again */
    return d;
}

void dial_free(struct dial *d)
{
    if (!d) {
        return;
    }
    dial_line_close(&d->line);
    dial_names_clear(&d->names);
    tls_ctx_unref(d->ctx);
    str_dup_free(d->host);
    str_dup_free(d->bind_address);
    str_dup_free(d->proxy_host);
    str_dup_free(d->proxy_username);
    str_dup_free(d->proxy_password);
    mem_free(d, sizeof(*d));
}
