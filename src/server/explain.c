/*
 * A configuration is loaded as for a start, but of its files only the ACLs are read: who may not
 * read the passwords can ask as well.
 */
#include "server/explain.h"

#include "auth/acl_explain.h"
#include "auth/realm.h"
#include "base/buf.h"
#include "base/mem.h"
#include "conf/describe.h"

#include <stdio.h>

#define NAME_MAX_SHOWN 300 /* of a listener */

static void print_error(void *ctx, enum log_level level, struct str line,
                        const struct log_about *about)
{
    (void)ctx;
    (void)level;
    (void)about;
    (void)fprintf(stderr, "%.*s\n", STR_ARG(line));
}

static const struct log errors = {.mask = LOG_LEVEL_ERROR, .sink = print_error};

/* --- the question --- */

static bool action_of(const char *word, enum acl_action *action)
{
    static const char *const words[] = {
        [ACL_ACTION_READ] = "read",
        [ACL_ACTION_WRITE] = "write",
        [ACL_ACTION_SUBSCRIBE] = "subscribe",
    };
    for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
        if (strcmp(words[i], word) == 0) {
            *action = (enum acl_action)i;
            return true;
        }
    }
    return false;
}

/* False, after saying so: it cannot be answered. */
static bool take_question(const struct explain_question *from, struct acl_question *q)
{
    *q = (struct acl_question){.client = str_c(from->client), .topic = str_c(from->topic)};
    if (strcmp(from->user, "-") != 0) {
        q->user = str_c(from->user);
    }
    if (!action_of(from->action, &q->action)) {
        char shown[80];
        (void)fprintf(stderr, "Error: --acl-explain: '%s': expected read, write or subscribe.\n",
                      str_escape(str_c(from->action), shown, sizeof(shown)));
        return false;
    }
    const char *fault = acl_question_fault(q);
    if (fault) {
        (void)fprintf(stderr, "Error: --acl-explain: %s.\n", fault);
    }
    return !fault;
}

/* --- the files --- */

static void leave_out(char **path)
{
    str_dup_free(*path);
    *path = NULL;
}

static enum err load(const struct conf_args *args, struct conf **out)
{
    struct realm_plan *plan = NULL;
    struct conf *conf = NULL;
    enum err e = conf_load(args, &errors, &conf);
    if (e != ERR_OK) {
        return e;
    }
    for (size_t i = 0; i < conf->listener_count; i++) {
        leave_out(&conf->listeners[i]->security.password_file);
        leave_out(&conf->listeners[i]->security.psk_file);
    }
    e = realms_prepare(conf->listeners, conf->listener_count, &errors, &plan);
    if (e != ERR_OK) {
        conf_free(conf);
        return e;
    }
    realms_commit(plan);
    *out = conf;
    return ERR_OK;
}

/* --- the answers --- */

/* Of each listener, in answers that are empty. */
static enum err ask(const struct conf *conf, const struct acl_question *q, struct buf *answers,
                    bool *all_grant)
{
    enum err e = ERR_OK;
    *all_grant = true;
    for (size_t i = 0; i < conf->listener_count && e == ERR_OK; i++) {
        bool granted = false;
        e = acl_explain(conf->listeners[i], q, &answers[i], &granted);
        *all_grant = *all_grant && granted;
    }
    return e;
}

static bool all_same(const struct buf *answers, size_t count)
{
    struct str first = buf_str(&answers[0]);
    for (size_t i = 1; i < count; i++) {
        struct str other = buf_str(&answers[i]);
        if (!first.p || !other.p || !str_eq(first, other)) {
            return false;
        }
    }
    return true;
}

static enum err print(const struct conf *conf, const struct buf *answers)
{
    size_t count = conf->listener_count;
    bool same = all_same(answers, count);
    for (size_t i = 0; i < (same ? 1 : count); i++) {
        char name[NAME_MAX_SHOWN];
        if (!same) {
            (void)printf("%s: ", describe_name(conf->listeners[i], name, sizeof(name)));
        }
        (void)printf("%.*s\n", STR_ARG(buf_str(&answers[i])));
    }
    if (fflush(stdout) == 0 && !ferror(stdout)) {
        return ERR_OK;
    }
    (void)fputs("Error: The answer cannot be written.\n", stderr);
    return ERR_SYSTEM;
}

static enum err answer(const struct conf *conf, const struct acl_question *q, bool *granted)
{
    size_t size = conf->listener_count * sizeof(struct buf);
    struct buf *answers = mem_zalloc(size);
    if (!answers) {
        return ERR_NOMEM;
    }
    enum err e = ask(conf, q, answers, granted);
    if (e == ERR_OK) {
        e = print(conf, answers);
    }
    for (size_t i = 0; i < conf->listener_count; i++) {
        buf_clear(&answers[i]);
    }
    mem_free(answers, size);
    return e;
}

enum explain_exit explain_run(const struct conf_args *args, const struct explain_question *question)
{
    struct acl_question q;
    struct conf *conf = NULL;
    bool granted = false;
    if (!take_question(question, &q)) {
        return EXPLAIN_FAULT;
    }
    enum err e = load(args, &conf);
    if (e == ERR_OK) {
        e = answer(conf, &q, &granted);
    }
    conf_free(conf);
    if (e == ERR_NOMEM) {
        (void)fputs("Error: Out of memory.\n", stderr);
    }
    if (e != ERR_OK) {
        return EXPLAIN_FAULT;
    }
    return granted ? EXPLAIN_GRANTED : EXPLAIN_DENIED;
}
