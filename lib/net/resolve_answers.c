/*
 * What answers become: addresses, hosts of services, or words that say why there are none.
 *
 * c-ares only carries raw answers; what one says is for net/dns. So whatever a name server sends
 * costs one walk over its bytes, and what is kept of it is bounded.
 */
#include "net/resolve_inside.h"

#include "base/mem.h"

#include <ares.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

enum {
    SERVICES_MAX = 32, /* SRV records that are looked at … */
    TARGETS_MAX = 8,   /* … and hosts of these that are looked up */
};

void resolve_note_status(struct resolve *l, int status)
{
    if (l->status == ARES_SUCCESS || l->status == ARES_ENODATA) {
        l->status = status;
    }
}

static int status_of(enum err e)
{
    switch (e) {
    case ERR_OK:
        return ARES_SUCCESS;
    case ERR_NOMEM:
        return ARES_ENOMEM;
    case ERR_NOT_FOUND:
        return ARES_ENODATA;
    default:
        return ARES_EBADRESP;
    }
}

/* Once there is something to try, the other questions are waited for only a little longer. */
static void take_addresses(struct resolve *l, const struct question *q, const uint8_t *p, size_t n)
{
    int family = q->type == DNS_A ? AF_INET : AF_INET6;
    enum err e = dns_addresses(p, n, family, q->found);
    resolve_note_status(l, status_of(e));
    if (e == ERR_OK) {
        uint64_t soon = resolve_now_ms() + l->resolver->askers.try_ms / 2;
        l->deadline = soon < l->deadline ? soon : l->deadline;
    }
}

struct target *resolve_targets_make(struct resolve *l, size_t count)
{
    l->targets = mem_zalloc(count * sizeof(*l->targets));
    l->target_count = l->targets ? count : 0;
    if (!l->targets) {
        resolve_note_status(l, ARES_ENOMEM);
    }
    return l->targets;
}

static void take_services(struct resolve *l, const uint8_t *p, size_t n)
{
    struct dns_service services[SERVICES_MAX];
    size_t count = 0;
    enum err e = dns_services(p, n, services, SERVICES_MAX, &count);
    if (e != ERR_OK) {
        resolve_note_status(l, status_of(e));
        return;
    }
    dns_services_order(services, count, &l->resolver->rng);
    l->is_refused = count == 1 && services[0].target[0] == '\0';
    size_t used = 0;
    for (size_t i = 0; i < count; i++) {
        if (services[i].target[0] != '\0') {
            services[used++] = services[i];
        }
    }
    used = used < TARGETS_MAX ? used : TARGETS_MAX;
    if (used == 0 || !resolve_targets_make(l, used)) {
        resolve_note_status(l, ARES_ENODATA);
        return;
    }
    for (size_t i = 0; i < used; i++) {
        struct target *t = &l->targets[i];
        memcpy(t->name, services[i].target, sizeof(services[i].target));
        t->port = services[i].port;
    }
}

void resolve_on_answer(void *ctx, int status, int timeouts, unsigned char *answer, int n)
{
    (void)timeouts;
    struct question *q = ctx;
    struct resolve *l = q->look;
    if (!l) {
        mem_free(q, sizeof(*q));
        return;
    }
    LIST_REMOVE(q, entry);
    if (status != ARES_SUCCESS) {
        resolve_note_status(l, status);
    } else if (q->type == DNS_SRV) {
        take_services(l, answer, (size_t)n);
    } else {
        take_addresses(l, q, answer, (size_t)n);
    }
    mem_free(q, sizeof(*q));
    if (LIST_EMPTY(&l->questions) && !l->is_busy) {
        resolve_make_due(l);
    }
}

/* ---- Why there is none ---- */

static const char *status_words(const struct resolve *l)
{
    switch (l->status) {
    case ARES_ENOTFOUND:
        return "there is no such name";
    case ARES_ETIMEOUT:
        return "no name server answers";
    case ARES_ECONNREFUSED: /* c-ares also says so when all of them have failed or refused */
        return "no name server can be reached, or none is willing to answer";
    case ARES_EBADRESP:
    case ARES_EFORMERR:
    case ARES_EBADNAME:
        return "the name server's answer makes no sense";
    case ARES_ENOMEM:
        return err_word(ERR_NOMEM);
    case ARES_SUCCESS:
    case ARES_ENODATA:
        return addresses_none(l->family);
    default:
        return ares_strerror(l->status);
    }
}

void resolve_say_why(const struct resolve *l, char *out, size_t cap)
{
    if (l->is_late) {
        (void)snprintf(out, cap, "the name servers have not answered in time");
    } else if (l->is_refused) {
        (void)snprintf(out, cap, "its domain says that the service is not offered");
    } else if (l->stage == STAGE_SERVICES && l->status == ARES_ENODATA) {
        (void)snprintf(out, cap, "the name has no SRV record that can be used");
    } else {
        (void)snprintf(out, cap, "%s", status_words(l));
    }
}
