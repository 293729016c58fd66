/*
 * A short list, so that it is read; each line says what would be better.
 */
#include "conf/unwise.h"

#include "conf/bridge_address.h"
#include "conf/describe.h"
#include "conf/expand.h"

#include <string.h>

/* Whom TLS keeps out needs no other door. */
static bool knows_clients(const struct conf_listener *l)
{
    return conf_listener_proves_names(l) ||
           (conf_listener_has_tls(l) && (l->require_certificate || l->psk_hint));
}

static void open_to_all(const struct draft *d, size_t i)
{
    const struct conf_listener *l = d->conf->listeners[i];
    char name[200];

    if (!l->security.allow_anonymous || knows_clients(l) || describe_reach(l) != REACH_ALL)
        return;
    describe_name(l, name, sizeof(name));
    if (l->security.password_file)
        draft_warning(d, draft_begins_at(d, i), name,
                      "who gives no user name needs no password; 'allow_anonymous false' would ask "
                      "everybody for both.");
    else if (!l->security.acl_file)
        draft_warning(d, draft_begins_at(d, i), name,
                      "anybody who can reach this machine may read and publish everything; an "
                      "address such as 127.0.0.1 or bind_interface would narrow that.");
}

static void passwords_in_clear(const struct draft *d, size_t i)
{
    const struct conf_listener *l = d->conf->listeners[i];
    char name[200];

    if (l->security.password_file && !conf_listener_has_tls(l) && !l->proxy_v2_require_tls &&
        describe_reach(l) != REACH_MACHINE)
        draft_warning(d, draft_begins_at(d, i), describe_name(l, name, sizeof(name)),
                      "passwords cross the network in clear; certfile and keyfile would encrypt "
                      "them.");
}

/* Rules of users are worth what their names are. */
static void names_without_proof(const struct draft *d, size_t i)
{
    const struct conf_listener *l = d->conf->listeners[i];
    const struct conf_security *s = &l->security;
    char name[200];

    if (s->acl_file && s->allow_anonymous && !s->password_file && !conf_listener_proves_names(l))
        draft_warning(d, draft_begins_at(d, i), describe_name(l, name, sizeof(name)),
                      "anybody may take any user name that acl_file has rules for; password_file "
                      "would ask for proof.");
}

static void old_tls(const struct draft *d, size_t i)
{
    const struct conf_listener *l = d->conf->listeners[i];

    if (conf_listener_has_tls(l) && l->tls_version < CONF_TLS_1_2)
        draft_warning(d, section_given(d->sections[i], "tls_version"), "tls_version 'tlsv1.1'",
                      "that version is broken; tlsv1.2 would be better.");
}

static void listeners(const struct draft *d)
{
    for (size_t i = 0; i < d->conf->listener_count; i++) {
        open_to_all(d, i);
        passwords_in_clear(d, i);
        if (i == 0 || !d->conf->local_only)
            names_without_proof(d, i);
        old_tls(d, i);
    }
}

/* Does the bridge leave this machine? */
static bool goes_far(const struct conf_bridge *b)
{
    size_t i = 0;

    while (i < b->address_count && bridge_address_is_local(b->addresses[i].host))
        i++;
    return i < b->address_count;
}

static void bridges(const struct draft *d)
{
    for (size_t i = 0; i < d->conf->bridge_count; i++) {
        const struct conf_bridge *b = d->conf->bridges[i];
        const struct section *s = d->bridge_sections[i];
        if (b->remote_password && !conf_bridge_has_tls(b) && goes_far(b))
            draft_warning(d, section_given(s, "remote_password"), "remote_password",
                          "it crosses the network in clear; bridge_cafile or "
                          "bridge_tls_use_os_certs would encrypt it.");
        if (b->insecure && conf_bridge_has_tls(b) && !b->psk)
            draft_warning(d, section_given(s, "bridge_insecure"), "bridge_insecure 'true'",
                          "anybody with a certificate of the same authorities can take the remote "
                          "broker's place; false would be better.");
        if (conf_bridge_has_tls(b) && b->tls_version < CONF_TLS_1_2)
            draft_warning(d, section_given(s, "bridge_tls_version"), "bridge_tls_version 'tlsv1.1'",
                          "that version is broken; tlsv1.2 would be better.");
    }
}

static void store_in_chance_place(const struct draft *d)
{
    const struct conf_global *g = &d->conf->global;

    if (g->persistence && !g->persistence_location &&
        !expand_knows("MOSQUITTO_PERSISTENCE_LOCATION"))
        draft_warning(d, draft_given(d, "persistence"), "persistence 'true'",
                      "the store is wherever the broker happens to be started; "
                      "persistence_location would name its directory.");
}

static void queues_without_end(const struct draft *d)
{
    const struct conf_global *g = &d->conf->global;
    bool limited = g->max_queued_bytes > 0 || g->memory_limit > 0 ||
                   (g->persistence && g->persistence_memory_limit > 0);

    if (g->max_queued_messages == 0 && !limited)
        draft_warning(d, draft_given(d, "max_queued_messages"), "max_queued_messages '0'",
                      "one absent client can take all memory; memory_limit or max_queued_bytes "
                      "would bound that.");
}

static void runs_blind(const struct draft *d)
{
    const struct conf_global *g = &d->conf->global;

    if (g->log_dest == 0)
        draft_warning(d, draft_given(d, "log_dest"), "log_dest 'none'",
                      "errors go unseen; 'log_dest syslog' with 'log_type error' would show them "
                      "alone.");
    else if (g->log_type == 0)
        draft_warning(d, draft_given(d, "log_type"), "log_type 'none'",
                      "errors go unseen; 'log_type error' would show them alone.");
}

static void runs_as_root(const struct draft *d)
{
    const char *user = d->conf->global.user;

    if (user && strcmp(user, "root") == 0)
        draft_warning(d, draft_given(d, "user"), "user 'root'",
                      "a fault in the broker would be one of the whole machine; a user of its own, "
                      "such as mosquitto, would be better.");
}

void warn_unwise(const struct draft *d)
{
    listeners(d);
    bridges(d);
    store_in_chance_place(d);
    queues_without_end(d);
    runs_blind(d);
    runs_as_root(d);
}
