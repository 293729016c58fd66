/*
 * Where to listen, as Mosquitto 2 decides it: the file's listeners; without any the ports of the
 * command line, or 1883, for this machine only, and then without asking for names.
 */
#include "conf/check.h"

#include "conf/options.h"
#include "conf/value.h"

#include <stdio.h>
#include <string.h>

/* `port` and `bind_address` ask for the default listener. */
static enum err open_default(struct draft *d)
{
    const struct conf_listener *base = &d->base;
    uint32_t line = draft_line(d, "port") ? draft_line(d, "port") : draft_line(d, "bind_address");

    if (draft_has_listener(d, base->port, base->address))
        draft_error(d, line, "port and bind_address",
                    "expected another port or address, a listener has these.");
    return draft_listener(d, base, base->port, base->address);
}

static enum err open_loopback(struct draft *d, uint16_t port)
{
    static const char *const loopback[] = {"127.0.0.1", "::1"};
    enum err e = ERR_OK;

    if (draft_has_listener(d, port, loopback[0]))
        draft_error(d, 0, "-p", "expected each port once.");
    for (size_t i = 0; i < ARRAY_SIZE(loopback) && !e; i++)
        e = draft_listener(d, &d->base, port, loopback[i]);
    return e;
}

/* Nobody said where to listen: this machine alone may connect, and needs no name. */
static enum err go_local(struct draft *d, const struct conf_args *args)
{
    enum err e = ERR_OK;

    d->conf->local_only = true;
    if (!draft_line(d, "allow_anonymous"))
        d->conf->global.security.allow_anonymous = true;
    if (args->port_count == 0)
        return open_loopback(d, CONF_DEFAULT_PORT);
    for (size_t i = 0; i < args->port_count && !e; i++)
        e = open_loopback(d, args->ports[i]);
    return e;
}

/* Listener options before the first `listener`, where no default listener is opened. */
static void warn_orphans(struct draft *d)
{
    for (size_t i = 0; i < option_count; i++) {
        if (options[i].scope == SCOPE_LISTENER && d->global_lines[i])
            draft_warning(d, d->global_lines[i], options[i].name,
                          "has no effect: it belongs behind the 'listener' that it is for.");
    }
}

static enum err open_listeners(struct draft *d, const struct conf_args *args)
{
    bool has_default = draft_line(d, "port") || draft_line(d, "bind_address");

    if (!has_default && d->conf->listener_count == 0)
        return go_local(d, args);
    if (args->port_count > 0)
        draft_warning(d, 0, "-p", "ignored, because the file says where to listen.");
    if (has_default)
        return open_default(d);
    warn_orphans(d);
    return ERR_OK;
}

/* A store is one directory entry beside others; it must not be able to leave its directory. */
static void check_store(struct draft *d)
{
    const char *name = d->conf->global.persistence_file;

    if (strchr(name, '/') || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        draft_error(d, draft_line(d, "persistence_file"), "persistence_file",
                    "expected a name without '/'; persistence_location names the directory.");
}

/* Each listener has its own copy of the rules in force there. */
static enum err spread_security(struct conf *c)
{
    enum err e = ERR_OK;

    for (size_t i = 0; i < c->listener_count && !e; i++)
        e = value_copy(&c->listeners[i]->security, &c->global.security, sizeof(c->global.security),
                       HOME_SECURITY);
    return e;
}

enum err check_draft(struct draft *d, const struct conf_args *args)
{
    struct conf_global *g = &d->conf->global;
    enum err e = open_listeners(d, args);

    if (e)
        return e;
    for (size_t i = 0; i < d->conf->listener_count; i++) {
        struct conf_listener *l = d->conf->listeners[i];
        if (l->max_connections == 0)
            l->max_connections = -1;
    }
    check_store(d);
    e = spread_security(d->conf);
    if (e)
        return e;
    if (args->verbose)
        g->log_type = LOG_LEVEL_ALL;
    if (!g->security.allow_anonymous && d->problems == 0)
        draft_warning(d, draft_line(d, "allow_anonymous"), "allow_anonymous 'false'",
                      "no client can connect, because password files are not available in this "
                      "release; expected true.");
    return ERR_OK;
}
