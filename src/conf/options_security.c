/*
 * Options on who may come in, what they may do, and how the way there is encrypted.
 *
 * They protect something: a build that cannot obey one of them does not start.
 */
#include "conf/rows.h"

/* What TLS by certificates needs: paths and lists, then yes or no. */
#define TLS_TEXT(option, of, member, about)                                                        \
    {                                                                                              \
        .name = (option), .since = (of), .type = OPTION_TEXT, LISTENER(member), .max = 4000,       \
        .flags = OPT_RELOAD | OPT_STOPS, .needs = FEATURE_TLS, .doc = (about)                      \
    }
#define TLS_BOOL(option, of, member, about)                                                        \
    {                                                                                              \
        .name = (option), .since = (of), .type = OPTION_BOOL, LISTENER(member),                    \
        .flags = OPT_RELOAD | OPT_STOPS, .needs = FEATURE_TLS, .as_is = "false", .doc = (about)    \
    }

static const struct option_word subscribe_checks[] = {
    {"grant", false, WORD_ASSIGNS}, {"check", true, WORD_ASSIGNS}, {NULL, 0, WORD_ADDS}};

/* The oldest is not named among what would be right. */
static const struct option_word tls_versions[] = {
    {"tlsv1.3", CONF_TLS_1_3, WORD_ASSIGNS},
    {"tlsv1.2", CONF_TLS_1_2, WORD_ASSIGNS},
    {"tlsv1.1", CONF_TLS_1_1, WORD_HIDDEN},
    {NULL, 0, WORD_ADDS},
};

static const struct conf_option rows[] = {
    {
        .name = "password_file",
        .since = "1.4",
        .type = OPTION_TEXT,
        SECURITY(password_file),
        .max = 4000,
        .flags = OPT_RELOAD | OPT_STOPS,
        .doc = "File of users and the hashes of their passwords; who gives a user name must be in "
               "it.",
    },
    {
        .name = "acl_file",
        .since = "1.4",
        .type = OPTION_TEXT,
        SECURITY(acl_file),
        .max = 4000,
        .flags = OPT_RELOAD | OPT_STOPS,
        .doc = "File of rules on who may read and write which topics; what it does not grant is "
               "denied.",
    },
    {
        .name = "acl_subscribe",
        .since = "ours",
        .type = OPTION_CHOICE,
        SECURITY(acl_subscribe_check),
        .words = subscribe_checks,
        .fallback = false,
        .flags = OPT_RELOAD | OPT_STOPS,
        .doc = "Whether every subscription is granted and only messages are checked (grant), or "
               "one that could match nothing but denied topics is refused (check).",
    },
    {
        .name = "psk_file",
        .since = "1.4",
        .type = OPTION_TEXT,
        SECURITY(psk_file),
        .max = 4000,
        .flags = OPT_RELOAD | OPT_STOPS,
        .needs = FEATURE_TLS_PSK,
        .doc = "File of identities and their pre-shared keys, for listeners with psk_hint.",
    },
    {
        .name = "check_retain_source",
        .since = "1.5",
        .type = OPTION_BOOL,
        GLOBAL(check_retain_source),
        .fallback = true,
        .flags = OPT_RELOAD,
        .doc = "Before a retained message is sent, ask whether its publisher may still write "
               "there.",
    },
    {
        .name = "login_failure_limit",
        .since = "ours",
        .type = OPTION_INT,
        GLOBAL(login_failure_limit),
        .max = UINT32_MAX,
        .fallback = 10,
        .flags = OPT_RELOAD,
        .doc = "Failed logins from one address after which further ones from there are slowed "
               "down; 0 means never.",
    },
    {
        .name = "login_failure_delay",
        .since = "ours",
        .type = OPTION_INT,
        GLOBAL(login_failure_delay),
        .min = 1,
        .max = 60,
        .fallback = 1,
        .unit = "seconds",
        .flags = OPT_RELOAD,
        .doc = "How long such an address waits from one login to the next.",
    },
    TLS_TEXT("certfile", "1.4", certfile,
             "File of the server's certificate and its chain; with keyfile, the listener speaks "
             "TLS."),
    TLS_TEXT("keyfile", "1.4", keyfile, "File of the server's private key."),
    TLS_TEXT("cafile", "1.4", cafile,
             "File of the certificate authorities that sign client certificates."),
    TLS_TEXT("capath", "1.4", capath,
             "Directory of the certificate authorities that sign client certificates."),
    TLS_TEXT("crlfile", "1.4", crlfile, "File of certificates that were revoked."),
    TLS_BOOL("require_certificate", "1.4", require_certificate,
             "Accept only clients that show a valid certificate."),
    TLS_BOOL("use_identity_as_username", "1.4", use_identity_as_username,
             "Take the common name in the client's certificate, or its PSK identity, for the user "
             "name."),
    TLS_BOOL("use_subject_as_username", "1.5", use_subject_as_username,
             "Take the whole subject of the client's certificate for the user name."),
    TLS_BOOL("disable_client_cert_date_checks", "2.1", disable_client_cert_date_checks,
             "Accept client certificates that are out of date."),
    {
        .name = "tls_version",
        .since = "1.4",
        .type = OPTION_CHOICE,
        LISTENER(tls_version),
        .words = tls_versions,
        .fallback = CONF_TLS_1_2,
        .flags = OPT_RELOAD | OPT_STOPS,
        .needs = FEATURE_TLS,
        .doc = "Lowest version of TLS that clients may speak.",
    },
    TLS_TEXT("ciphers", "1.4", ciphers, "Ciphers of TLS up to 1.2."),
    TLS_TEXT("ciphers_tls1.3", "2.0", ciphers_tls13, "Ciphers of TLS 1.3."),
    TLS_TEXT("dhparamfile", "1.5", dhparamfile,
             "File of parameters for ciphers whose name has DHE in it; without it the broker "
             "chooses them."),
    {
        .name = "psk_hint",
        .since = "1.4",
        .type = OPTION_TEXT,
        LISTENER(psk_hint),
        .max = 256,
        .flags = OPT_RELOAD | OPT_STOPS,
        .needs = FEATURE_TLS_PSK,
        .doc = "Serve TLS by pre-shared keys, and send clients this hint.",
    },
};

const struct option_rows options_security = {rows, ARRAY_SIZE(rows)};
