/*
 * What is wrong with a server's certificate, in words that say what is in it.
 *
 * Who sets up a connection sees from the log which names the certificate has, until when it was
 * valid, or who has signed it. All of that was written by a stranger: it is escaped, and cut.
 */
#include "net/tls_verdict.h"

#include "base/str.h"
#include "net/tls_words.h"

#include <arpa/inet.h>
#include <openssl/x509v3.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>

/* So many names of a certificate are said, and of each so much. */
#define NAMES_MAX 3
#define NAME_MAX_SHOWN 64

/* Words being written. */
struct words {
    char *p;
    size_t n;
};

PRINTF(2, 3) static void say(struct words *w, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    int n = vsnprintf(w->p + w->n, TLS_VERDICT_MAX - w->n, format, ap);
    va_end(ap);
    size_t left = TLS_VERDICT_MAX - 1 - w->n;
    w->n += n < 0 ? 0 : (size_t)n < left ? (size_t)n : left;
}

const char *tls_verdict_date(const ASN1_TIME *t, char out[32])
{
    struct tm tm;
    if (ASN1_TIME_to_tm(t, &tm) != 1) {
        tls_words_forget();
        return "an unknown date";
    }
    (void)snprintf(out, 32, "%04d-%02d-%02d", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday);
    return out;
}

/* ---- names ---- */

static void say_text(struct words *w, const ASN1_STRING *text)
{
    char room[NAME_MAX_SHOWN];
    struct str name =
        str_of((const char *)ASN1_STRING_get0_data(text), (size_t)ASN1_STRING_length(text));
    say(w, "%s", str_escape_strict(name, room, sizeof(room)));
}

static void say_address(struct words *w, const ASN1_OCTET_STRING *address)
{
    char room[INET6_ADDRSTRLEN];
    int n = ASN1_STRING_length(address);
    bool known = n == 4 || n == 16;
    const char *text = known ? inet_ntop(n == 4 ? AF_INET : AF_INET6,
                                         ASN1_STRING_get0_data(address), room, sizeof(room))
                             : NULL;
    say(w, "%s", text ? text : "a broken address");
}

/* How many of the names can be those of a host; the first of them are said. */
static int say_alternatives(struct words *w, const GENERAL_NAMES *names)
{
    int count = 0;
    for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
        if (name->type != GEN_DNS && name->type != GEN_IPADD) {
            continue;
        }
        if (++count > NAMES_MAX) {
            continue;
        }
        say(w, "%s", count > 1 ? ", " : "");
        if (name->type == GEN_DNS) {
            say_text(w, name->d.dNSName);
        } else {
            say_address(w, name->d.iPAddress);
        }
    }
    return count;
}

/* False: it has none. */
static bool say_common_name(struct words *w, const X509_NAME *of)
{
    int at = X509_NAME_get_index_by_NID(of, NID_commonName, -1);
    if (at >= 0) {
        say_text(w, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(of, at)));
    }
    return at >= 0;
}

static void say_names(struct words *w, const X509 *x)
{
    GENERAL_NAMES *names = X509_get_ext_d2i(x, NID_subject_alt_name, NULL, NULL);
    int count = names ? say_alternatives(w, names) : 0;
    if (count > NAMES_MAX) {
        say(w, " and %d more", count - NAMES_MAX);
    } else if (count == 0 && !say_common_name(w, X509_get_subject_name(x))) {
        say(w, "nobody: it has no name");
    }
    GENERAL_NAMES_free(names);
    tls_words_forget();
}

static void wrong_name(struct words *w, const X509 *x, const char *host)
{
    char room[NAME_MAX_SHOWN];
    say(w, "the server's certificate is not for %s, but for ",
        str_escape_strict(str_c(host), room, sizeof(room)));
    say_names(w, x);
}

/* An address counts only where it is called one, which its owner may not have known. */
static void wrong_address(struct words *w, const X509 *x, const char *host)
{
    wrong_name(w, x, host);
    say(w, " (an address must be in it as IP)");
}

/* ---- dates and issuers ---- */

static void say_which(struct words *w, int depth)
{
    if (depth == 0) {
        say(w, "the server's certificate");
    } else {
        say(w, "certificate %d of the server's chain", depth + 1);
    }
}

static void say_date(struct words *w, int depth, const char *verb, const ASN1_TIME *t)
{
    char room[32];
    say_which(w, depth);
    say(w, " %s %s", verb, tls_verdict_date(t, room));
}

static void say_issuer(struct words *w, int depth, const X509 *x)
{
    say_which(w, depth);
    say(w, " is of an authority that is not trusted: ");
    if (!say_common_name(w, X509_get_issuer_name(x))) {
        say(w, "it has no name");
    }
}

bool tls_verdict_words(X509_STORE_CTX *x, const char *host, char out[TLS_VERDICT_MAX])
{
    struct words w = {.p = out};
    const X509 *at = X509_STORE_CTX_get_current_cert(x);
    int depth = X509_STORE_CTX_get_error_depth(x);
    out[0] = '\0';
    if (!at) {
        return false;
    }
    switch (X509_STORE_CTX_get_error(x)) {
    case X509_V_ERR_HOSTNAME_MISMATCH:
        wrong_name(&w, at, host);
        break;
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
        wrong_address(&w, at, host);
        break;
    case X509_V_ERR_CERT_HAS_EXPIRED:
        say_date(&w, depth, "expired on", X509_get0_notAfter(at));
        break;
    case X509_V_ERR_CERT_NOT_YET_VALID:
        say_date(&w, depth, "is not valid before", X509_get0_notBefore(at));
        break;
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
        say_issuer(&w, depth, at);
        break;
    default:
        return false;
    }
    return true;
}
