/*
 * Files of listeners and bridges: read at the start, on reload, and when they change.
 */
#include "server/secrets.h"

#include "base/mem.h"
#include "server/keys.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define DAY_MS ((uint64_t)86400 * 1000)
/* Without memory a change is not forgotten: so much later it is tried again. */
#define NO_MEMORY_MS 5000
/* Of one listener, for TLS and for its realm. */
#define REALM_FILES 3
#define FILES (KEYS_FILES + REALM_FILES)

void secrets_init(struct secrets *s, const struct log *log)
{
    *s = (struct secrets){.log = log, .keylog = -1, .warn_ms = UINT64_MAX, .again_ms = UINT64_MAX};
    file_watch_init(&s->files, log);
}

static void drop_keys(struct secrets *s)
{
    for (size_t i = 0; i < s->key_count; i++) {
        tls_ctx_unref(s->keys[i]);
    }
    mem_free(s->keys, s->key_count * sizeof(struct tls_ctx *));
    s->keys = NULL;
    s->key_count = 0;
}

static void drop_plan(struct secrets *s)
{
    realms_drop(s->realms);
    s->realms = NULL;
    drop_keys(s);
    bridge_keys_clear(&s->fresh_bridges);
}

void secrets_clear(struct secrets *s)
{
    drop_plan(s);
    bridge_keys_clear(&s->bridges);
    file_watch_clear(&s->files);
    mem_free(s->told, s->told_count * sizeof(*s->told));
    if (s->keylog >= 0) {
        (void)close(s->keylog);
    }
    secrets_init(s, s->log);
}

/* --- which rules, which files --- */

static bool is_in(const struct conf *conf, const struct conf_listener *rules)
{
    for (size_t i = 0; i < conf->listener_count; i++) {
        if (conf_listener_same_socket(conf->listeners[i], rules)) {
            return true;
        }
    }
    return false;
}

/* Of listeners: those of a configuration (NULL: none), then those at the door that it does not
 * have. */
struct rules {
    struct conf_listener **of;
    size_t count;
    size_t room;
};

static enum err list_rules(struct rules *r, const struct conf *conf, const struct door *door)
{
    size_t own = conf ? conf->listener_count : 0;
    r->count = 0;
    r->room = own + (door ? door->group_count : 0);
    r->of = mem_alloc((r->room + 1) * sizeof(struct conf_listener *));
    if (!r->of) {
        return ERR_NOMEM;
    }
    for (size_t i = 0; i < own; i++) {
        r->of[r->count++] = conf->listeners[i];
    }
    for (size_t i = own; i < r->room; i++) {
        struct conf_listener *rules = door->groups[i - own].rules;
        if (rules && !(conf && is_in(conf, rules))) {
            r->of[r->count++] = rules;
        }
    }
    return ERR_OK;
}

static void free_rules(struct rules *r)
{
    mem_free(r->of, (r->room + 1) * sizeof(struct conf_listener *));
}

static void files_of(const struct conf_listener *rules, const char *files[FILES])
{
    keys_files(rules, files);
    files[KEYS_FILES] = rules->security.password_file;
    files[KEYS_FILES + 1] = rules->security.acl_file;
    files[KEYS_FILES + 2] = rules->security.psk_file;
}

/* Watch what all these name, and the bridges of this configuration (NULL: none), and those that are
 * in force. */
static void watch_files(struct secrets *s, const struct rules *r, const struct conf *conf)
{
    size_t bridges = conf ? conf->bridge_count : 0;
    size_t count = r->count * FILES + (bridges + s->bridges.count) * BRIDGE_KEYS_FILES;
    const char **files = mem_alloc(count * sizeof(char *) + 1);
    enum err e = ERR_NOMEM;
    if (files) {
        const char **at = files;
        for (size_t i = 0; i < r->count; i++, at += FILES) {
            files_of(r->of[i], at);
        }
        for (size_t i = 0; i < bridges; i++, at += BRIDGE_KEYS_FILES) {
            bridge_keys_files(conf->bridges[i], at);
        }
        for (size_t i = 0; i < s->bridges.count; i++, at += BRIDGE_KEYS_FILES) {
            bridge_keys_files(s->bridges.of[i].conf, at);
        }
        e = file_watch_set(&s->files, files, count);
    }
    if (e != ERR_OK) {
        log_warning(s->log, "Warning: No memory to watch files; send SIGHUP after changing them.");
    }
    mem_free(files, count * sizeof(char *) + 1);
}

/* Watch what is named by rules that are in force. */
static void watch_rules(struct secrets *s, const struct conf *conf, const struct door *door)
{
    struct rules r;
    if (list_rules(&r, conf, door) == ERR_OK) {
        watch_files(s, &r, conf);
        free_rules(&r);
    }
}

/* --- the start --- */

static enum err make_room_for_keys(struct secrets *s, const struct conf *conf)
{
    s->keys = mem_zalloc(conf->listener_count * sizeof(struct tls_ctx *));
    s->key_count = s->keys ? conf->listener_count : 0;
    return s->keys ? ERR_OK : ERR_NOMEM;
}

/* Of a configuration on its way in. */
static enum err make_bridge_keys(struct secrets *s, const struct conf *conf, int64_t now_s)
{
    const struct bridge_keys_how how = {
        .keylog = &s->keylog, .log = s->log, .former = &s->bridges, .now_s = now_s};
    return bridge_keys_make(conf, &how, &s->fresh_bridges);
}

static enum err load(struct secrets *s, const struct conf *conf, int64_t now_s)
{
    enum err e = make_room_for_keys(s, conf);
    for (size_t i = 0; i < s->key_count && e == ERR_OK; i++) {
        e = keys_make(conf->listeners[i], &s->keylog, s->log, &s->keys[i]);
    }
    if (e == ERR_OK) {
        e = make_bridge_keys(s, conf, now_s);
    }
    return e ? e : realms_prepare(conf->listeners, conf->listener_count, s->log, &s->realms);
}

enum err secrets_load(struct secrets *s, const struct conf *conf, bool watches, int64_t now_s)
{
    if (watches) {
        watch_rules(s, conf, NULL);
    }
    enum err e = load(s, conf, now_s);
    if (e == ERR_OK) {
        secrets_commit(s);
    } else {
        if (e == ERR_NOMEM) {
            log_error(s->log, "Error: Out of memory.");
        }
        drop_plan(s);
    }
    return e;
}

void secrets_warn(const struct secrets *s, const struct conf *conf, int64_t now_s)
{
    for (size_t i = 0; i < s->key_count; i++) {
        if (s->keys[i]) {
            keys_warn(conf->listeners[i], s->keys[i], now_s, s->log);
        }
    }
    bridge_keys_warn(&s->bridges, now_s, s->log);
}

/* Done by another user: what can be read once, and not again? */
static enum err try_files(void *ctx, const struct log *log)
{
    const struct secrets *s = ctx;
    for (size_t i = 0; i < s->files.count; i++) {
        const struct watched_file *f = &s->files.files[i];
        char shown[256];
        if (f->state.error == 0 && access(f->path, R_OK) != 0) {
            log_warning(log,
                        "Warning: '%s' was read by root, but cannot be read again: %s. Changes of "
                        "it need a restart.",
                        str_escape(str_c(f->path), shown, sizeof(shown)), strerror(errno));
        }
    }
    return ERR_OK;
}

void secrets_foresee(const struct secrets *s, const struct privileges *who)
{
    struct secrets view = *s;
    if (who->drop && s->files.count > 0 &&
        privileges_do_as(who, s->log, try_files, &view) != ERR_OK) {
        log_warning(s->log, "Warning: Whether files can be read again is not known.");
    }
}

bool secrets_are_held(const struct secrets *s, const struct door *door)
{
    if (s->bridges.count > 0) {
        return true;
    }
    for (size_t i = 0; i < door->group_count; i++) {
        const struct group *g = &door->groups[i];
        if (g->rules && (g->tls || (g->rules->realm && g->rules->realm->psk))) {
            return true;
        }
    }
    return false;
}

/* --- another configuration --- */

/* Is there a file that only the rights are missing to read? */
static bool is_out_of_reach(const struct conf_listener *rules)
{
    const char *files[KEYS_FILES];
    keys_files(rules, files);
    for (int i = 0; i < KEYS_FILES; i++) {
        if (files[i] && access(files[i], R_OK) != 0 && errno == EACCES) {
            return true;
        }
    }
    return false;
}

/* The keys in force that come of the same files in the same way; NULL: there are none. */
static struct tls_ctx *former_keys(const struct door *door, const struct conf_listener *rules)
{
    for (size_t i = 0; i < door->group_count; i++) {
        const struct group *g = &door->groups[i];
        if (g->rules && g->tls && keys_are_alike(g->rules, rules)) {
            return g->tls;
        }
    }
    return NULL;
}

/* The keys in force at the same place; NULL: there are none. */
static struct tls_ctx *keys_there(const struct door *door, const struct conf_listener *rules)
{
    for (size_t i = 0; i < door->group_count; i++) {
        const struct group *g = &door->groups[i];
        if (g->rules && g->tls && conf_listener_same_socket(g->rules, rules)) {
            return g->tls;
        }
    }
    return NULL;
}

static void tell_kept(const struct secrets *s, const struct conf_listener *rules)
{
    char place[DOOR_PLACE_MAX];
    log_error(s->log, "Error: The former certificates and keys of %s stay in force.",
              door_place(rules, place));
}

static enum err prepare_keys(struct secrets *s, const struct conf_listener *rules,
                             const struct door *door, int64_t now_s, struct tls_ctx **out)
{
    enum err e = keys_make(rules, &s->keylog, s->log, out);
    const struct tls_ctx *there = keys_there(door, rules);
    struct tls_ctx *former = former_keys(door, rules);
    if (e != ERR_OK && e != ERR_NOMEM && former && is_out_of_reach(rules)) {
        tell_kept(s, rules);
        *out = tls_ctx_ref(former);
        return ERR_OK;
    }
    if (e == ERR_OK && *out && there && !keys_may_replace(rules, there, *out, now_s, s->log)) {
        return ERR_INVAL;
    }
    return e;
}

static enum err prepare_realms(struct secrets *s, const struct rules *r, const struct conf *fresh,
                               const struct door *door)
{
    struct rules former;
    enum err e = list_rules(&former, NULL, door);
    if (e == ERR_OK) {
        const struct realm_renewal renewal = {.listeners = r->of,
                                              .count = r->count,
                                              .strict = fresh->listener_count,
                                              .former = former.of,
                                              .former_count = former.count};
        e = realms_renew(&renewal, s->log, &s->realms);
        free_rules(&former);
    }
    return e;
}

/*
 * Files are looked at before they are read: what changes after that is noticed. And once before the
 * list is another: should the new configuration be refused, changes of files that it does not name
 * would be lost.
 */
static enum err prepare(struct secrets *s, const struct rules *r, const struct conf *fresh,
                        const struct door *door, int64_t now_s)
{
    s->stale = file_watch_look(&s->files) > 0;
    watch_files(s, r, fresh);
    (void)file_watch_look(&s->files);
    enum err e = make_room_for_keys(s, fresh);
    for (size_t i = 0; i < s->key_count && e == ERR_OK; i++) {
        e = prepare_keys(s, fresh->listeners[i], door, now_s, &s->keys[i]);
    }
    if (e == ERR_OK) {
        e = make_bridge_keys(s, fresh, now_s);
    }
    return e ? e : prepare_realms(s, r, fresh, door);
}

enum err secrets_prepare(struct secrets *s, const struct conf *fresh, const struct door *door,
                         int64_t now_s)
{
    struct rules r;
    enum err e = list_rules(&r, fresh, door);
    if (e == ERR_OK) {
        e = prepare(s, &r, fresh, door, now_s);
        free_rules(&r);
    }
    if (e == ERR_NOMEM) {
        log_error(s->log, "Error: Out of memory.");
    }
    return e;
}

static void commit_realms(struct secrets *s)
{
    realms_commit(s->realms);
    s->realms = NULL;
}

void secrets_commit(struct secrets *s)
{
    commit_realms(s);
    bridge_keys_clear(&s->bridges);
    s->bridges = s->fresh_bridges;
    s->fresh_bridges = (struct bridge_keys){0};
}

void secrets_rollback(struct secrets *s, const struct door *door, uint64_t now_ms)
{
    drop_plan(s);
    file_watch_doubt(&s->files, now_ms);
    watch_rules(s, NULL, door);
    if (s->stale) {
        s->stale = false;
        s->again_ms = now_ms + FILE_WATCH_QUIET_MS;
    }
}

void secrets_hand_keys(struct secrets *s, const struct conf *conf, struct door *door)
{
    for (size_t i = 0; i < door->group_count; i++) {
        for (size_t k = 0; k < s->key_count; k++) {
            if (door->groups[i].rules == conf->listeners[k]) {
                door_key(door, (uint16_t)i, s->keys[k]);
            }
        }
    }
    drop_keys(s);
    watch_rules(s, NULL, door);
    s->warn_ms = 0;
    s->again_ms = UINT64_MAX; /* all has just been read */
    s->stale = false;
}

/* --- files that change --- */

static bool is_changed(void *secrets, const char *path)
{
    const struct secrets *s = secrets;
    return s->again || file_watch_changed(&s->files, path);
}

static bool any_changed(struct secrets *s, const char *const *files, int n)
{
    for (int i = 0; i < n; i++) {
        if (files[i] && is_changed(s, files[i])) {
            return true;
        }
    }
    return false;
}

static void try_again(struct secrets *s, uint64_t at_ms)
{
    s->again_ms = earlier(s->again_ms, at_ms);
}

/* What was read is not used. Its time may be still to come: an authority's clock may be ahead of
 * ours. Then it is read again. */
static void keep_keys(struct secrets *s, const struct conf_listener *rules,
                      const struct tls_ctx *fresh, struct now now)
{
    int64_t wait_s = fresh ? tls_ctx_begins(fresh) - now.wall_s : 0;
    tell_kept(s, rules);
    if (wait_s > 0) {
        try_again(s, now.mono_ms + (uint64_t)wait_s * 1000);
    }
}

static void renew_keys(struct secrets *s, struct door *door, uint16_t group, struct now now)
{
    const struct group *g = door_group(door, group);
    const char *files[KEYS_FILES];
    char place[DOOR_PLACE_MAX];
    struct tls_ctx *fresh = NULL;
    keys_files(g->rules, files);
    if (!g->tls || g->sockets == 0 || !any_changed(s, files, KEYS_FILES)) {
        return;
    }
    enum err e = keys_make(g->rules, &s->keylog, s->log, &fresh);
    if (e == ERR_NOMEM) {
        try_again(s, now.mono_ms + NO_MEMORY_MS);
    }
    if (e == ERR_OK && keys_may_replace(g->rules, g->tls, fresh, now.wall_s, s->log)) {
        door_key(door, group, fresh);
        log_info(s->log, "The certificates and keys of %s were read anew.",
                 door_place(g->rules, place));
        keys_warn(g->rules, fresh, now.wall_s, s->log);
    } else {
        keep_keys(s, g->rules, fresh, now);
    }
    tls_ctx_unref(fresh);
}

static void could_not_read(struct secrets *s, struct now now)
{
    log_error(s->log, "Error: Out of memory: files that have changed are read later.");
    try_again(s, now.mono_ms + NO_MEMORY_MS);
}

static void renew_realms(struct secrets *s, const struct door *door, struct broker *b,
                         struct now now)
{
    struct rules all;
    bool any = false;
    if (list_rules(&all, NULL, door) != ERR_OK) {
        could_not_read(s, now);
        return;
    }
    for (size_t i = 0; i < all.count; i++) {
        const char *files[FILES];
        files_of(all.of[i], files);
        any = any || any_changed(s, files + KEYS_FILES, REALM_FILES);
    }
    const struct realm_renewal renewal = {.listeners = all.of,
                                          .count = all.count,
                                          .former = all.of,
                                          .former_count = all.count,
                                          .is_changed = is_changed,
                                          .ctx = s};
    if (any && realms_renew(&renewal, s->log, &s->realms) == ERR_OK) {
        commit_realms(s);
        broker_rights_changed(b);
    } else if (any) {
        could_not_read(s, now);
    }
    free_rules(&all);
}

static void renew_bridges(struct secrets *s, struct now now)
{
    const struct bridge_keys_how how = {
        .keylog = &s->keylog, .log = s->log, .former = &s->bridges, .now_s = now.wall_s};
    struct bridge_keys_news news = {.is_changed = is_changed, .ctx = s};
    if (bridge_keys_renew(&s->bridges, &how, &news) != ERR_OK) {
        could_not_read(s, now);
    }
    if (news.early_s > 0) {
        try_again(s, now.mono_ms + (uint64_t)news.early_s * 1000);
    }
}

static void renew(struct secrets *s, struct door *door, struct broker *b, struct now now)
{
    for (size_t i = 0; i < door->group_count; i++) {
        if (door->groups[i].rules) {
            renew_keys(s, door, (uint16_t)i, now);
        }
    }
    renew_bridges(s, now);
    renew_realms(s, door, b, now);
}

/* Not at once: it has just been said by whoever made the keys. */
static void warn_daily(struct secrets *s, const struct door *door, uint64_t now_ms, int64_t now_s)
{
    bool first = s->warn_ms == 0;
    s->warn_ms = UINT64_MAX;
    for (size_t i = 0; i < door->group_count; i++) {
        const struct group *g = &door->groups[i];
        if (!g->rules || !g->tls || g->sockets == 0) {
            continue;
        }
        s->warn_ms = now_ms + DAY_MS;
        if (!first) {
            keys_warn(g->rules, g->tls, now_s, s->log);
        }
    }
    if (s->bridges.count > 0) {
        s->warn_ms = now_ms + DAY_MS;
    }
    if (!first) {
        bridge_keys_warn(&s->bridges, now_s, s->log);
    }
}

void secrets_turn(struct secrets *s, struct door *door, struct broker *b, uint64_t now_ms,
                  int64_t now_s)
{
    const struct now now = {.mono_ms = now_ms, .wall_s = now_s};
    bool changed = now_ms >= file_watch_deadline(&s->files) &&
                   file_watch_is_quiet(&s->files, now_ms) && file_watch_look(&s->files) > 0;
    s->again = now_ms >= s->again_ms;
    if (s->again) {
        s->again_ms = UINT64_MAX;
    }
    if (changed || s->again) {
        renew(s, door, b, now);
    }
    if (now_ms >= s->warn_ms) {
        warn_daily(s, door, now_ms, now_s);
    }
}

uint64_t secrets_deadline(const struct secrets *s)
{
    return earlier(file_watch_deadline(&s->files), earlier(s->again_ms, s->warn_ms));
}

/* --- $SYS --- */

static struct told_expiry *told_of(struct secrets *s, uint16_t port)
{
    for (size_t i = 0; i < s->told_count; i++) {
        if (s->told[i].port == port) {
            return &s->told[i];
        }
    }
    size_t size = s->told_count * sizeof(*s->told);
    struct told_expiry *grown = mem_realloc(s->told, size, size + sizeof(*grown));
    if (!grown) {
        return NULL;
    }
    s->told = grown;
    s->told[s->told_count] = (struct told_expiry){.port = port};
    return &s->told[s->told_count++];
}

static void publish(struct broker *b, const struct told_expiry *t)
{
    char topic[64];
    char text[24] = "";
    (void)snprintf(topic, sizeof(topic), "$SYS/broker/listener/%u/certificate/expires", t->port);
    if (t->expires != 0) {
        (void)snprintf(text, sizeof(text), "%lld", (long long)t->expires);
    }
    (void)broker_publish_local(b, str_c(topic), str_c(text), true);
}

/* Of several listeners on one port, at different addresses, the first that expires counts. */
static void gather(struct secrets *s, const struct group *g)
{
    int64_t expires = tls_ctx_expires(g->tls);
    struct told_expiry *t = expires != 0 ? told_of(s, g->rules->port) : NULL;
    if (t && (t->next == 0 || t->next > expires)) {
        t->next = expires;
    }
}

void secrets_tell(struct secrets *s, const struct door *door, struct broker *b, bool wanted)
{
    for (size_t i = 0; i < s->told_count; i++) {
        s->told[i].next = 0;
    }
    for (size_t i = 0; wanted && i < door->group_count; i++) {
        const struct group *g = &door->groups[i];
        if (g->rules && g->tls && g->sockets > 0 && g->rules->port != 0) {
            gather(s, g);
        }
    }
    for (size_t i = 0; i < s->told_count; i++) {
        if (s->told[i].next != s->told[i].expires) {
            s->told[i].expires = s->told[i].next;
            publish(b, &s->told[i]);
        }
    }
}
