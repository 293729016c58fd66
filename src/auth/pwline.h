/*
 * The lines of a password file, as the broker and mosquitto_passwd both see them.
 *
 * A line is USER:VALUE. Blanks (space, tab, CR) around either are no part of it. A line whose first
 * character that is no blank is # is a comment.
 */
#ifndef AUTH_PWLINE_H
#define AUTH_PWLINE_H

#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>

#define PWLINE_USER_MAX 65535      /* bytes, as MQTT has it */
#define PWLINE_PASSWORD_MAX 65535  /* likewise */
#define PWLINE_MAX (2 * 65535 + 1) /* bytes of a line, without its end */
#define PWLINE_FORM "expected USER:HASH, as `mosquitto_passwd FILE USER` writes it"

enum pwline_kind { PWLINE_NOTHING, PWLINE_ENTRY, PWLINE_WRONG }; /* NOTHING: blank, or a comment */

struct pwline {
    enum pwline_kind kind;
    size_t number;    /* from 1 */
    struct str raw;   /* all of it, with its newline if it has one */
    struct str user;  /* of an ENTRY; in the text */
    struct str value; /* likewise; may be empty, and nothing else is known of it */
    const char
        *wrong; /* what is wrong, and what would be right; tells nothing of what stands there */
};

/* Where the walk is: begin with the whole text and 0. */
struct pwline_walk {
    struct str rest;
    size_t number;
};

/* The next line; false at the end. */
bool pwline_next(struct pwline_walk *walk, struct pwline *out);
/* NULL, or why no line can have this user, as a phrase: "is empty". */
const char *pwline_user_wrong(struct str user);

#endif
