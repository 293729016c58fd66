/*
 * What somebody may do at a listener, and which line decides that: as a sentence for people.
 */
#ifndef AUTH_ACL_EXPLAIN_H
#define AUTH_ACL_EXPLAIN_H

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "conf/conf.h"

#include <stdbool.h>

enum acl_action { ACL_ACTION_READ, ACL_ACTION_WRITE, ACL_ACTION_SUBSCRIBE };

/* A client that wants something; texts from a command line. */
struct acl_question {
    struct str user; /* n == 0: none */
    struct str client;
    enum acl_action action;
    struct str topic; /* as the client writes it; to subscribe, a filter */
};

/* What is wrong with a question: a phrase. NULL: it can be answered. */
const char *acl_question_fault(const struct acl_question *q);
/*
 * By the rules of this listener, whose realm has been read. The sentence is added to `out`:
 * "granted by PATH:LINE: its text", "denied: why"; printable. ERR_NOMEM.
 */
MUST_CHECK enum err acl_explain(const struct conf_listener *l, const struct acl_question *q,
                                struct buf *out, bool *granted);

#endif
