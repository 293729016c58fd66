/*
 * Waiting for descriptors with epoll.
 */
#include "server/poll.h"

#include <unistd.h>

enum err poll_init(struct poll *p)
{
    p->next = 0;
    p->count = 0;
    p->patient = 0;
    p->fd = epoll_create1(EPOLL_CLOEXEC);
    return p->fd >= 0 ? ERR_OK : ERR_SYSTEM;
}

void poll_clear(struct poll *p)
{
    if (p->fd >= 0) {
        (void)close(p->fd);
    }
    p->fd = -1;
    p->next = 0;
    p->count = 0;
}

static enum err control(struct poll *p, int what, struct watch *w, unsigned interest)
{
    struct epoll_event event = {.data.ptr = w};
    event.events = (interest & POLL_IN ? (uint32_t)EPOLLIN | (uint32_t)EPOLLRDHUP : 0) |
                   (interest & POLL_OUT ? (uint32_t)EPOLLOUT : 0);
    if (epoll_ctl(p->fd, what, w->fd, &event) != 0) {
        return ERR_SYSTEM;
    }
    w->interest = (uint8_t)interest;
    return ERR_OK;
}

enum err poll_add(struct poll *p, struct watch *w, unsigned interest)
{
    return control(p, EPOLL_CTL_ADD, w, interest);
}

enum err poll_change(struct poll *p, struct watch *w, unsigned interest)
{
    return w->interest == interest ? ERR_OK : control(p, EPOLL_CTL_MOD, w, interest);
}

void poll_wait(struct poll *p, int timeout_ms)
{
    p->patient = 0;
    if (poll_pending(p)) {
        return;
    }
    int n = epoll_wait(p->fd, p->events, POLL_BATCH, timeout_ms);
    p->next = 0;
    p->count = n > 0 ? n : 0;
}

/* What is left of those that hung up is no message that anybody waits for. */
static bool can_wait(const struct epoll_event *e, const struct watch *w)
{
    return w->newcomer || e->events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR);
}

struct watch *poll_next(struct poll *p, unsigned *events)
{
    while (poll_pending(p)) {
        const struct epoll_event *e = &p->events[p->next++];
        struct watch *w = e->data.ptr;
        bool passed_by = w->fd < 0 || (can_wait(e, w) && p->patient++ >= POLL_PATIENT);
        if (!passed_by) {
            w->newcomer = false; /* or those in front that stay ready would be all that is served */
            *events = (e->events & EPOLLIN ? POLL_IN : 0U) |
                      (e->events & EPOLLOUT ? POLL_OUT : 0U) |
                      (e->events & (EPOLLERR | EPOLLHUP) ? POLL_ERROR : 0U);
            return w;
        }
    }
    return NULL;
}

void poll_drop_closed(struct poll *p)
{
    int kept = 0;
    for (int i = p->next; i < p->count; i++) {
        const struct watch *w = p->events[i].data.ptr;
        if (w->fd >= 0) {
            p->events[kept++] = p->events[i];
        }
    }
    p->next = 0;
    p->count = kept;
}
