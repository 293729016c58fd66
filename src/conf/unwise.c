/*
 * A short list, so that it is read; each line says what would be better.
 */
#include "conf/unwise.h"

#include "conf/describe.h"
#include "conf/expand.h"

#include <string.h>

static void open_to_all(const struct draft *d)
{
    for (size_t i = 0; i < d->conf->listener_count; i++) {
        const struct conf_listener *l = d->conf->listeners[i];
        struct place at = draft_begins_at(d, i);
        char name[200];
        if (l->security.allow_anonymous && describe_reach(l) == REACH_ALL)
            draft_warning(d, at, describe_name(l, name, sizeof(name)),
                          "anybody who can reach this machine may read and publish everything; an "
                          "address such as 127.0.0.1 or bind_interface would narrow that.");
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
    open_to_all(d);
    store_in_chance_place(d);
    queues_without_end(d);
    runs_blind(d);
    runs_as_root(d);
}
