/*
 * Listening sockets.
 *
 * Without a free descriptor accept() fails and leaves the connection in the queue, so a
 * level-triggered poll reports it for ever. Therefore one descriptor of the reserve is closed, the
 * connection accepted with it and closed, and the reserve taken again. The client learns at once
 * that there is no room, and the loop does not spin.
 */
#include "server/listener.h"

#include "base/mem.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <unistd.h>

/* In a storm so many in a turn: some 0.2 ms, which is what those who are connected wait longer. */
#define BATCH_MAX 16
/* How long to leave a listener alone when accepting fails for a reason that only time heals. */
#define REST_MS 200
/* Without a refusal for so long, the next lack of descriptors is a new one and is logged again. */
#define EPISODE_MS 10000

static const struct conf_listener *rules_of(const struct listeners *ls, const struct listener *l)
{
    return door_group(ls->door, l->group)->rules;
}

/* --- opening and closing --- */

void listeners_init(struct listeners *ls, struct poll *poll, struct door *door,
                    const struct log *log, uint8_t watch_kind)
{
    *ls = (struct listeners){.log = log, .poll = poll, .door = door, .watch_kind = watch_kind};
    TAILQ_INIT(&ls->list);
    TAILQ_INIT(&ls->plan.fresh);
}

static void count_sockets(struct listeners *ls, const struct listener_list *list)
{
    const struct listener *l;
    TAILQ_FOREACH(l, list, entry)
    {
        door_group(ls->door, l->group)->sockets++;
    }
}

/* In local-only mode there is one listener for each family. */
static enum err bind_group(struct listeners *ls, const struct conf *conf, size_t i, uint16_t group,
                           struct listener_list *into)
{
    struct listen_job job = {.rules = conf->listeners[i],
                             .group = group,
                             .watch_kind = ls->watch_kind,
                             .optional =
                                 conf->local_only && !(TAILQ_EMPTY(&ls->list) && TAILQ_EMPTY(into)),
                             .log = ls->log,
                             .into = into};
    return listen_bind(&job);
}

static enum err too_many(const struct listeners *ls)
{
    log_error(ls->log, "Error: So many listeners cannot be told apart.");
    return ERR_SYSTEM;
}

static enum err new_group(struct listeners *ls, struct conf_listener *rules, uint16_t *group)
{
    enum err e = door_add(ls->door, rules, group);
    return e == ERR_FULL ? too_many(ls) : e;
}

static void take_limits(struct listeners *ls, const struct conf *conf)
{
    ls->door->max_open = conf->global.global_max_connections;
    const struct listener *l;
    TAILQ_FOREACH(l, &ls->list, entry)
    {
        if (l->family != 0) {
            tcp_listen_nodelay(l->watch.fd, conf->global.set_tcp_nodelay);
        }
    }
}

enum err listeners_bind(struct listeners *ls, const struct conf *conf)
{
    enum err e = ERR_OK;
    for (size_t i = 0; i < conf->listener_count && e == ERR_OK; i++) {
        uint16_t group = 0;
        e = new_group(ls, conf->listeners[i], &group);
        if (e == ERR_OK) {
            e = bind_group(ls, conf, i, group, &ls->list);
        }
    }
    count_sockets(ls, &ls->list);
    take_limits(ls, conf);
    (void)reserve_keep(&ls->door->reserve);
    return e;
}

void listeners_give(const struct listeners *ls, uid_t user, gid_t group)
{
    const struct listener *l;
    TAILQ_FOREACH(l, &ls->list, entry)
    {
        if (l->family == 0 && listen_give(l, rules_of(ls, l), user, group) != ERR_OK) {
            char place[DOOR_PLACE_MAX];
            log_warning(ls->log, "Warning: The socket at %s keeps its owner: %s.",
                        door_place(rules_of(ls, l), place), strerror(errno));
        }
    }
}

/* All of the list listen, and are watched. */
static enum err start_list(struct listeners *ls, struct listener_list *list)
{
    struct listener *l;
    TAILQ_FOREACH(l, list, entry)
    {
        enum err e = listen_start(l, rules_of(ls, l), ls->log);
        if (e != ERR_OK) {
            return e;
        }
        if (poll_add(ls->poll, &l->watch, POLL_IN) != ERR_OK) {
            log_error(ls->log, "Error: Cannot wait for connections: %s", strerror(errno));
            return ERR_SYSTEM;
        }
    }
    return ERR_OK;
}

enum err listeners_listen(struct listeners *ls)
{
    return start_list(ls, &ls->list);
}

/* The poll may still name it: to be freed only after poll_drop_closed(). */
static void drop_list(struct listeners *ls, struct listener_list *list)
{
    struct listener *l;
    TAILQ_FOREACH(l, list, entry)
    {
        listen_close(l, rules_of(ls, l));
    }
    if (!TAILQ_EMPTY(list)) {
        poll_drop_closed(ls->poll);
    }
    while ((l = TAILQ_FIRST(list)) != NULL) {
        TAILQ_REMOVE(list, l, entry);
        mem_free(l, sizeof(*l));
    }
}

/* These sockets are about to go: their groups stay as long as they have connections. */
static void forget_sockets(struct listeners *ls, const struct listener_list *list)
{
    const struct listener *l;
    TAILQ_FOREACH(l, list, entry)
    {
        door_group(ls->door, l->group)->sockets--;
    }
}

void listeners_close(struct listeners *ls)
{
    if (!ls->door) {
        return;
    }
    listeners_rollback(ls);
    ls->door->closed = true;
    forget_sockets(ls, &ls->list);
    drop_list(ls, &ls->list);
    ls->resting = false;
}

/* --- another configuration --- */

/* Is it among those that the new configuration keeps or brings? */
static bool is_planned(const struct listener_plan *plan, uint16_t group)
{
    for (size_t i = 0; i < plan->count; i++) {
        if (plan->groups[i] == group) {
            return true;
        }
    }
    return false;
}

/* The group that had this listener, whether it is open or only its connections are left. */
static bool find_group(const struct listeners *ls, const struct conf_listener *rules,
                       uint16_t *group)
{
    for (size_t i = 0; i < ls->door->group_count; i++) {
        const struct group *g = door_group(ls->door, (uint16_t)i);
        if (g->rules && conf_listener_same_socket(g->rules, rules) &&
            !is_planned(&ls->plan, (uint16_t)i)) {
            *group = (uint16_t)i;
            return true;
        }
    }
    return false;
}

/* First of all it is settled who stays: whatever is not planned then goes. */
static enum err plan_groups(struct listeners *ls, const struct conf *fresh)
{
    struct listener_plan *plan = &ls->plan;
    plan->size = fresh->listener_count;
    plan->groups = mem_alloc(plan->size * sizeof(*plan->groups));
    if (!plan->groups) {
        return ERR_NOMEM;
    }
    for (size_t i = 0; i < plan->size; i++) {
        uint16_t group = 0;
        enum err e = ERR_OK;
        if (!find_group(ls, fresh->listeners[i], &group)) {
            e = new_group(ls, fresh->listeners[i], &group);
        }
        if (e != ERR_OK) {
            return e;
        }
        plan->groups[plan->count++] = group;
    }
    return ERR_OK;
}

/*
 * A socket that is to go may be in the way of a new one: the same port at another address. It stops
 * listening but stays bound, so that it can be brought back.
 */
static void make_way(struct listeners *ls, uint16_t port)
{
    struct listener *l;
    TAILQ_FOREACH(l, &ls->list, entry)
    {
        bool in_the_way = l->family != 0 && rules_of(ls, l)->port == port;
        if (in_the_way && !is_planned(&ls->plan, l->group) && tcp_unlisten(l->watch.fd) == ERR_OK) {
            l->listening = false;
        }
    }
}

static enum err open_planned(struct listeners *ls, const struct conf *fresh)
{
    struct listener_plan *plan = &ls->plan;
    for (size_t i = 0; i < plan->count; i++) {
        if (door_group(ls->door, plan->groups[i])->sockets > 0) {
            continue;
        }
        make_way(ls, fresh->listeners[i]->port);
        enum err e = bind_group(ls, fresh, i, plan->groups[i], &plan->fresh);
        if (e != ERR_OK) {
            return e;
        }
    }
    return start_list(ls, &plan->fresh);
}

/* The end of a plan, whatever became of it. */
static void drop_plan(struct listeners *ls)
{
    struct listener_plan *plan = &ls->plan;
    for (size_t i = 0; i < ls->door->group_count; i++) {
        if (door_group(ls->door, (uint16_t)i)->rules) {
            door_settle(ls->door, (uint16_t)i);
        }
    }
    mem_free(plan->groups, plan->size * sizeof(*plan->groups));
    plan->groups = NULL;
    plan->count = 0;
    plan->size = 0;
}

enum err listeners_prepare(struct listeners *ls, const struct conf *fresh)
{
    enum err e = plan_groups(ls, fresh);
    if (e == ERR_OK) {
        e = open_planned(ls, fresh);
    }
    /* With none of them nobody could be refused in order. */
    if (e == ERR_OK && !reserve_keep_one(&ls->door->reserve)) {
        log_error(ls->log, "Error: No file descriptor would be left.");
        e = ERR_SYSTEM;
    }
    if (e != ERR_OK) {
        if (e == ERR_NOMEM) {
            log_error(ls->log, "Error: Out of memory.");
        }
        listeners_rollback(ls);
    }
    return e;
}

void listeners_rollback(struct listeners *ls)
{
    if (!ls->plan.groups) {
        return;
    }
    drop_list(ls, &ls->plan.fresh);
    struct listener *l;
    TAILQ_FOREACH(l, &ls->list, entry)
    {
        /* What cannot be brought back has been told of. */
        enum err e = listen_start(l, rules_of(ls, l), ls->log);
        (void)e;
    }
    drop_plan(ls);
}

static void log_closing(const struct listeners *ls, const struct listener *l)
{
    const struct conf_listener *rules = rules_of(ls, l);
    const char *kind = l->family == 6 ? "ipv6" : "ipv4";
    char place[DOOR_PLACE_MAX];
    log_info(ls->log, "Closing %s listen socket on %s.", l->family == 0 ? "unix" : kind,
             door_place(rules, place));
}

/* Move what the new configuration does not have to a list of its own. */
static void take_unplanned(struct listeners *ls, struct listener_list *out)
{
    struct listener *l = TAILQ_FIRST(&ls->list);
    while (l) {
        struct listener *next = TAILQ_NEXT(l, entry);
        if (!is_planned(&ls->plan, l->group)) {
            log_closing(ls, l);
            TAILQ_REMOVE(&ls->list, l, entry);
            TAILQ_INSERT_TAIL(out, l, entry);
        }
        l = next;
    }
}

void listeners_commit(struct listeners *ls, const struct conf *fresh)
{
    struct listener_list gone;
    TAILQ_INIT(&gone);
    take_unplanned(ls, &gone);
    forget_sockets(ls, &gone);
    drop_list(ls, &gone);
    count_sockets(ls, &ls->plan.fresh);
    TAILQ_CONCAT(&ls->list, &ls->plan.fresh, entry);
    for (size_t i = 0; i < ls->plan.count; i++) {
        door_rule(ls->door, ls->plan.groups[i], fresh->listeners[i]);
    }
    take_limits(ls, fresh);
    drop_plan(ls);
}

void listeners_lend_reserve(struct listeners *ls)
{
    reserve_lend(&ls->door->reserve);
}

void listeners_keep_reserve(struct listeners *ls)
{
    (void)reserve_keep(&ls->door->reserve);
}

/* --- accepting --- */

static void peer_from(struct peer *p, const struct sockaddr_storage *from)
{
    if (from->ss_family == AF_INET) {
        struct sockaddr_in in;
        memcpy(&in, from, sizeof(in));
        memcpy(p->ip, &in.sin_addr, 4);
        p->family = 4;
        p->port = ntohs(in.sin_port);
    } else if (from->ss_family == AF_INET6) {
        struct sockaddr_in6 in6;
        memcpy(&in6, from, sizeof(in6));
        memcpy(p->ip, &in6.sin6_addr, 16);
        p->family = 6;
        p->port = ntohs(in6.sin6_port);
    }
}

static struct peer peer_of(const struct listeners *ls, const struct listener *l,
                           const struct sockaddr_storage *from, uint64_t now_ms)
{
    struct peer peer = {.listener = door_group(ls->door, l->group)->rules,
                        .accept_ms = (uint32_t)now_ms};
    peer_from(&peer, from);
    return peer;
}

static void admit(struct listeners *ls, struct listener *l, int fd,
                  const struct sockaddr_storage *from, struct links *links)
{
    struct peer peer = peer_of(ls, l, from, links->now_ms);
    if (door_admits(ls->door, l->group, &peer, links->now_ms)) {
        link_open(links, fd, &peer, l->group);
    } else {
        (void)close(fd);
        listeners_keep_reserve(ls); /* which may have been one short because of it */
    }
}

/* False: the system does not even let us change what we watch. */
static bool watch_all(struct listeners *ls, unsigned interest)
{
    bool done = true;
    struct listener *l;
    TAILQ_FOREACH(l, &ls->list, entry)
    {
        done = poll_change(ls->poll, &l->watch, interest) == ERR_OK && done;
    }
    return done;
}

static void rest(struct listeners *ls, uint64_t now_ms)
{
    ls->resting = true;
    ls->rest_ms = now_ms + REST_MS;
    (void)watch_all(ls, POLL_NOTHING);
}

static void log_refused(struct listeners *ls, const struct listener *l,
                        const struct sockaddr_storage *from, uint64_t now_ms)
{
    struct peer peer = peer_of(ls, l, from, now_ms);
    struct refusal why = {.what = ": no free file descriptors",
                          .reason = "no free file descriptors",
                          .rule = "RLIMIT_NOFILE"};
    if (ls->refused_ms == 0 || now_ms - ls->refused_ms >= EPISODE_MS) {
        log_warning(ls->log, "Warning: No free file descriptors: new clients are refused.");
    }
    ls->refused_ms = now_ms;
    door_refuse(ls->door, &peer, now_ms, &why);
}

/*
 * No descriptor is free: with one of the reserve the next connection is accepted, to be closed.
 * The system looks for a descriptor before it looks for a connection, so there may be none:
 * -EAGAIN. Any other error: not even the reserve helps.
 */
static int refuse_one(struct listeners *ls, const struct listener *l, uint64_t now_ms)
{
    struct sockaddr_storage from;
    reserve_lend_one(&ls->door->reserve);
    int fd = tcp_accept(l->watch.fd, &from);
    if (fd >= 0) {
        log_refused(ls, l, &from, now_ms);
        (void)close(fd);
    }
    (void)reserve_keep_one(&ls->door->reserve);
    return fd;
}

/* Accept one. False: stop for this turn. */
static bool accept_one(struct listeners *ls, struct listener *l, struct links *links)
{
    struct sockaddr_storage from;
    int fd = tcp_accept(l->watch.fd, &from);
    if (fd >= 0) {
        admit(ls, l, fd, &from, links);
        return true;
    }
    if (fd == -EMFILE || fd == -ENFILE) {
        fd = refuse_one(ls, l, links->now_ms);
    }
    if (fd >= 0) {
        return true;
    }
    switch (-fd) {
    case EAGAIN:
        return false;
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM:
    case EPERM:
        rest(ls, links->now_ms);
        return false;
    default:
        /* The peer gave up while it was queued, or the network failed: nothing about the next one.
         */
        return true;
    }
}

/*
 * At a low rate one connection comes at a time, and asking for a second one is a call for nothing;
 * in a storm each turn should take many. So the batch doubles while it is used up.
 */
static void accept_some(struct listeners *ls, struct listener *l, struct links *links)
{
    for (uint8_t i = 0; i < l->batch; i++) {
        if (!accept_one(ls, l, links)) {
            l->batch = (uint8_t)(i > 1 ? i : 1);
            return;
        }
    }
    l->batch = l->batch < BATCH_MAX ? (uint8_t)(l->batch * 2) : BATCH_MAX;
}

void listener_ready(struct listeners *ls, struct watch *w)
{
    struct listener *l = CONTAINER_OF(w, struct listener, watch);
    l->ready = true;
    ls->ready = true;
}

void listeners_accept(struct listeners *ls, struct links *links)
{
    if (LIKELY(!ls->ready)) {
        return;
    }
    struct listener *l;
    TAILQ_FOREACH(l, &ls->list, entry)
    {
        if (l->ready) {
            l->ready = false;
            accept_some(ls, l, links);
        }
    }
    ls->ready = false;
}

void listeners_wake(struct listeners *ls, uint64_t now_ms)
{
    if (LIKELY(!ls->resting) || now_ms < ls->rest_ms) {
        return;
    }
    ls->resting = !watch_all(ls, POLL_IN);
    ls->rest_ms = now_ms + REST_MS;
}

uint64_t listeners_deadline(const struct listeners *ls)
{
    return ls->resting ? ls->rest_ms : UINT64_MAX;
}
