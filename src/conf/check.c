/*
 * Where to listen, as Mosquitto 2 decides it: the file's listeners; without any the ports of the
 * command line, or 1883, for this machine only, and then without asking for names. The default
 * listener goes the same way as all others.
 */
#include "conf/check.h"

#include "conf/check_bridge.h"
#include "conf/check_security.h"
#include "conf/describe.h"
#include "conf/unwise.h"

#include <stdio.h>
#include <string.h>

static const struct place nowhere = {0, 0};

/* `port` and `bind_address` ask for the default listener. */
static struct place default_place(const struct draft *d)
{
    struct place port = section_given(d->base_section, "port");

    return port.line ? port : section_given(d->base_section, "bind_address");
}

static enum err open_loopback(struct draft *d, uint16_t port)
{
    static const struct {
        uint8_t domain;
        const char *address;
    } loopback[] = {{4, "127.0.0.1"}, {6, "::1"}};
    enum err e = ERR_OK;

    for (size_t i = 0; i < ARRAY_SIZE(loopback) && !e; i++) {
        if (d->base.socket_domain == 0 || d->base.socket_domain == loopback[i].domain)
            e = draft_listener(d, true, port, loopback[i].address, nowhere);
    }
    return e;
}

static void check_ports(struct draft *d, const struct conf_args *args)
{
    for (size_t i = 0; i < args->port_count; i++) {
        for (size_t j = 0; j < i; j++) {
            if (args->ports[i] == args->ports[j])
                draft_error(d, nowhere, "-p", "expected each port once.");
        }
    }
}

/* There is no TLS in local only mode; Mosquitto 2.0.0 to 2.0.11 opened a listener for everybody. */
static void refuse_local_tls(struct draft *d)
{
    for (size_t i = 0, count = option_count(); i < count; i++) {
        const struct conf_option *opt = option_at(i);
        if (option_in_listener(opt) && d->base_section->given[i].line && security_protects(d, opt))
            draft_error(d, d->base_section->given[i], opt->name,
                        "expected behind the 'listener' that it is for; there is none.");
    }
}

/* Nobody said where to listen: this machine alone may connect, and needs no name. */
static enum err go_local(struct draft *d, const struct conf_args *args)
{
    enum err e = ERR_OK;

    d->conf->local_only = true;
    if (!draft_given(d, "allow_anonymous").line)
        d->conf->global.security.allow_anonymous = true;
    check_ports(d, args);
    refuse_local_tls(d);
    if (args->port_count == 0)
        return open_loopback(d, CONF_DEFAULT_PORT);
    for (size_t i = 0; i < args->port_count && !e; i++)
        e = open_loopback(d, args->ports[i]);
    return e;
}

/* What was said before the first `listener`, where no default listener is opened. */
static void check_orphans(struct draft *d)
{
    for (size_t i = 0, count = option_count(); i < count; i++) {
        const struct conf_option *opt = option_at(i);
        struct place at = d->base_section->given[i];
        if (at.line && security_protects(d, opt))
            draft_error(d, at, opt->name,
                        "expected behind the 'listener' that it is for; here it protects none.");
        else if (at.line)
            draft_warning(d, at, opt->name,
                          "has no effect: it belongs behind the 'listener' that it is for.");
    }
}

static enum err open_listeners(struct draft *d, const struct conf_args *args)
{
    struct place given = default_place(d);

    if (!given.line && d->conf->listener_count == 0)
        return go_local(d, args);
    if (args->port_count > 0)
        draft_warning(d, nowhere, "-p", "ignored, because the file says where to listen.");
    if (given.line)
        return draft_listener(d, true, d->base.port, d->base.address, given);
    check_orphans(d);
    return ERR_OK;
}

static void check_sockets(struct draft *d)
{
    struct conf *c = d->conf;
    char name[200];

    for (size_t i = 1; i < c->listener_count && !c->local_only; i++) {
        size_t j = 0;
        while (j < i && !conf_listener_same_socket(c->listeners[i], c->listeners[j]))
            j++;
        if (j < i)
            draft_error(d, draft_begins_at(d, i),
                        describe_name(c->listeners[i], name, sizeof(name)),
                        "expected another port or address, an earlier listener has these.");
    }
}

/* Mosquitto's 0 means the same as its -1. */
static void check_limits(struct conf *c)
{
    for (size_t i = 0; i < c->listener_count; i++) {
        if (c->listeners[i]->max_connections == 0)
            c->listeners[i]->max_connections = -1;
    }
    if (c->global.global_max_clients == 0)
        c->global.global_max_clients = -1;
    if (c->global.global_max_connections == 0)
        c->global.global_max_connections = -1;
}

/* A store is one directory entry beside others; it must not be able to leave its directory. */
static void check_store(struct draft *d)
{
    const char *name = d->conf->global.persistence_file;

    if (strchr(name, '/') || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        draft_error(d, draft_given(d, "persistence_file"), "persistence_file",
                    "expected a name without '/'; persistence_location names the directory.");
}

static void check_user(struct draft *d, const struct conf_args *args)
{
    const char *user = d->conf->global.user;
    char shown[80], what[100];

    if (!user || !args->is_user || args->is_user(user))
        return;
    snprintf(what, sizeof(what), "user '%s'", str_escape(str_c(user), shown, sizeof(shown)));
    draft_error(d, draft_given(d, "user"), what, "there is no such user; expected one.");
}

static void check_proxies(struct draft *d, size_t i)
{
    const struct conf_listener *l = d->conf->listeners[i];
    const struct section *s = d->sections[i];
    struct place trusted = section_given(s, "trusted_proxy");
    struct place tls = section_given(s, "proxy_protocol_v2_require_tls");

    if (l->proxy != CONF_PROXY_OFF && l->trusted_count == 0)
        draft_warning(d, section_given(s, "enable_proxy_protocol"), "enable_proxy_protocol",
                      "any client may claim any address; trusted_proxy names those that are "
                      "believed.");
    if (l->proxy == CONF_PROXY_OFF && trusted.line)
        draft_warning(d, trusted, "trusted_proxy",
                      "has no effect on a listener without enable_proxy_protocol.");
    if (l->proxy != CONF_PROXY_V2 && l->proxy != CONF_PROXY_ANY && l->proxy_v2_require_tls)
        draft_warning(d, tls, "proxy_protocol_v2_require_tls",
                      "has no effect on a listener without version 2 of the PROXY protocol.");
}

enum err check_draft(struct draft *d, const struct conf_args *args)
{
    struct conf *c = d->conf;
    enum err e = open_listeners(d, args);

    if (!e)
        e = security_settle(d);
    if (!e)
        e = bridges_settle(d, args->hostname);
    if (e)
        return e;
    check_sockets(d);
    check_limits(c);
    check_store(d);
    check_user(d, args);
    security_check(d);
    bridges_check(d);
    if (d->problems == 0) {
        security_warn(d);
        bridges_warn(d);
        for (size_t i = 0; i < c->listener_count && (i == 0 || !c->local_only); i++)
            check_proxies(d, i);
    }
    if (d->problems == 0 && args->test)
        warn_unwise(d);
    if (args->verbose)
        c->global.log_type = LOG_LEVEL_ALL;
    if (args->quiet)
        c->global.log_type = 0;
    return ERR_OK;
}
