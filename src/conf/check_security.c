/*
 * What protects a listener needs company: a certificate its key, a demand for certificates somebody
 * whose signature counts, a closed door somebody who may pass. A listener that would be more open
 * than its file reads is an error; what merely has no effect is a warning.
 *
 * Mosquitto 2.0 starts with most of this, without TLS or with a listener that nobody can use.
 */
#include "conf/check_security.h"

#include "conf/describe.h"
#include "conf/fields.h"

#include <stdio.h>

/* Where it was said whether this listener takes anonymous clients. */
static struct place anonymous_place(const struct draft *d, size_t i, const char **option)
{
    struct place own = section_given(d->sections[i], "listener_allow_anonymous");

    *option = own.line ? "listener_allow_anonymous" : "allow_anonymous";
    return own.line ? own : security_given(d, i, "allow_anonymous");
}

/* The listener_… options that were given take the place of what is said for all. */
static enum err prefer_own(struct conf_security *to, const struct section *s)
{
    enum err e = ERR_OK;
    bool differed;

    for (size_t i = 0, count = option_count(); i < count && !e; i++) {
        const struct conf_option *opt = option_at(i);
        if (opt->scope == SCOPE_OWN_SECURITY && s->given[i].line)
            e = field_keep(opt, to, &s->own, &differed);
    }
    return e;
}

static enum err settle_one(struct draft *d, size_t i)
{
    struct conf_listener *l = d->conf->listeners[i];
    bool own = d->conf->global.per_listener_settings;
    struct conf_security in_force;
    const char *option;
    enum err e = fields_copy(&in_force, own ? &l->security : &d->conf->global.security,
                             sizeof(in_force), HOME_SECURITY);

    if (!e && !anonymous_place(d, i, &option).line)
        in_force.allow_anonymous = d->conf->local_only;
    if (!e)
        e = prefer_own(&in_force, d->sections[i]);
    fields_free(&l->security, HOME_SECURITY);
    l->security = in_force;
    return e;
}

enum err security_settle(struct draft *d)
{
    enum err e = ERR_OK;

    for (size_t i = 0; i < d->conf->listener_count && !e; i++)
        e = settle_one(d, i);
    return e;
}

bool security_protects(const struct draft *d, const struct conf_option *opt)
{
    bool listeners = option_home(opt) == HOME_LISTENER;
    const char *home = listeners ? (const char *)&d->base : (const char *)&d->base.security;

    if (!(opt->flags & OPT_STOPS))
        return false;
    return opt->type != OPTION_BOOL || *(const bool *)(home + opt->offset);
}

static void fault(struct draft *d, size_t i, const char *option, const char *why)
{
    if (why)
        draft_error(d, section_given(d->sections[i], option), option, why);
}

static bool has_authorities(const struct conf_listener *l)
{
    return l->cafile || l->capath;
}

/* Why no client of this listener could prove who it is; NULL when it could. */
static const char *no_proof(const struct conf_listener *l, bool by_psk)
{
    if (!conf_listener_has_tls(l))
        return "expected certfile and keyfile too: without them the listener has no TLS.";
    if (l->psk_hint)
        return by_psk ? NULL : "expected certfile and keyfile in the place of psk_hint.";
    return has_authorities(l) ? NULL
                              : "expected cafile or capath too, with those who sign the "
                                "certificates of clients.";
}

static void check_tcp(struct draft *d, size_t i, const struct conf_listener *l)
{
    if (l->psk_hint && (l->certfile || l->keyfile)) {
        fault(d, i, "psk_hint",
              "expected on a listener of its own: this one has certfile or keyfile.");
        return;
    }
    if (l->certfile && !l->keyfile)
        fault(d, i, "certfile", "expected keyfile too, with the private key of this certificate.");
    if (l->keyfile && !l->certfile)
        fault(d, i, "keyfile", "expected certfile too, with the certificate of this key.");
    if (l->psk_hint && !l->security.psk_file)
        fault(d, i, "psk_hint", "expected psk_file too, with identities and their keys.");
    if (l->require_certificate)
        fault(d, i, "require_certificate", no_proof(l, false));
    if (l->use_identity_as_username)
        fault(d, i, "use_identity_as_username", no_proof(l, true));
    if (l->use_subject_as_username)
        fault(d, i, "use_subject_as_username", no_proof(l, false));
}

/* What is said at a Unix socket does not leave the machine: nobody encrypts it. */
static void check_unix(struct draft *d, size_t i, const struct conf_listener *l)
{
    const struct {
        const char *option;
        bool given;
    } asks[] = {
        {"certfile", l->certfile},
        {"keyfile", l->keyfile},
        {"psk_hint", l->psk_hint},
        {"require_certificate", l->require_certificate},
        {"use_identity_as_username", l->use_identity_as_username},
        {"use_subject_as_username", l->use_subject_as_username},
    };

    for (size_t a = 0; a < ARRAY_SIZE(asks); a++) {
        if (asks[a].given)
            fault(d, i, asks[a].option,
                  "expected on a listener with a port: there is no TLS at a Unix socket.");
    }
}

void security_check(struct draft *d)
{
    for (size_t i = 0; i < d->conf->listener_count && !d->conf->local_only; i++) {
        const struct conf_listener *l = d->conf->listeners[i];
        if (l->port == 0)
            check_unix(d, i, l);
        else
            check_tcp(d, i, l);
    }
}

/* Options that have no effect on listeners of some kinds, though they are not needed there either.
 */
static const struct {
    const char *option;
    size_t offset;
    bool of_clients; /* about the certificates of clients */
} helpers[] = {
    {"cafile", offsetof(struct conf_listener, cafile), true},
    {"capath", offsetof(struct conf_listener, capath), true},
    {"crlfile", offsetof(struct conf_listener, crlfile), true},
    {"ciphers", offsetof(struct conf_listener, ciphers), false},
    {"ciphers_tls1.3", offsetof(struct conf_listener, ciphers_tls13), false},
    {"dhparamfile", offsetof(struct conf_listener, dhparamfile), false},
};

static void idle(const struct draft *d, size_t i, const char *option, const char *why)
{
    draft_warning(d, section_given(d->sections[i], option), option, why);
}

static void warn_idle(const struct draft *d, size_t i)
{
    static const char plain[] = "has no effect: without certfile and keyfile the listener has no "
                                "TLS.";
    static const char psk[] = "has no effect: with psk_hint there are no certificates.";
    static const char nobody[] = "has no effect without cafile or capath.";
    const struct conf_listener *l = d->conf->listeners[i];
    bool tls = conf_listener_has_tls(l);

    for (size_t h = 0; h < ARRAY_SIZE(helpers); h++) {
        const char *text = *(char *const *)(const void *)((const char *)l + helpers[h].offset);
        if (text && !tls)
            idle(d, i, helpers[h].option, plain);
        else if (text && l->psk_hint && helpers[h].of_clients)
            idle(d, i, helpers[h].option, psk);
    }
    if (!tls && section_given(d->sections[i], "tls_version").line)
        idle(d, i, "tls_version", plain);
    if (tls && !l->psk_hint && l->crlfile && !has_authorities(l))
        idle(d, i, "crlfile", nobody);
    if (l->disable_client_cert_date_checks && (!tls || l->psk_hint || !has_authorities(l)))
        idle(d, i, "disable_client_cert_date_checks", !tls ? plain : l->psk_hint ? psk : nobody);
    if (l->use_identity_as_username && l->use_subject_as_username)
        idle(d, i, "use_subject_as_username",
             "has no effect beside use_identity_as_username, which comes first.");
}

/* Keys that no listener asks for. */
static void warn_keys(const struct draft *d)
{
    const struct conf *c = d->conf;
    bool own = c->global.per_listener_settings;
    bool asked = false;
    static const char why[] = "has no effect without a listener that has psk_hint.";

    for (size_t i = 0; i < c->listener_count; i++) {
        const struct conf_listener *l = c->listeners[i];
        asked = asked || l->psk_hint;
        if (own && l->security.psk_file && !l->psk_hint && (i == 0 || !c->local_only))
            idle(d, i, "psk_file", why);
    }
    if (!own && c->global.security.psk_file && !asked)
        draft_warning(d, draft_given(d, "psk_file"), "psk_file", why);
}

/* Says so once for each line that is the reason. */
static void warn_shut(const struct draft *d, size_t i, struct place *said)
{
    const struct conf_listener *l = d->conf->listeners[i];
    const char *option;
    struct place at = anonymous_place(d, i, &option);
    char what[200];

    if (l->security.allow_anonymous || l->security.password_file || conf_listener_proves_names(l) ||
        (at.line && at.line == said->line && at.file == said->file))
        return;
    if (at.line) {
        snprintf(what, sizeof(what), "%s 'false'", option);
        draft_warning(d, at, what,
                      "no client can connect; expected password_file, or names that clients prove "
                      "by TLS (use_identity_as_username), or true.");
    } else {
        draft_warning(d, draft_begins_at(d, i), describe_name(l, what, sizeof(what)),
                      "no client can connect; expected password_file, or names that clients prove "
                      "by TLS (use_identity_as_username), or 'allow_anonymous true'.");
    }
    *said = at;
}

void security_warn(const struct draft *d)
{
    struct place said = {0, 0};

    for (size_t i = 0; i < d->conf->listener_count; i++) {
        warn_idle(d, i);
        warn_shut(d, i, &said);
    }
    warn_keys(d);
}
