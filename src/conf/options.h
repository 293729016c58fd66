/*
 * The one table of options: everything that a line of mosquitto.conf may begin with.
 *
 * Parser, defaults, range errors, the release of memory and the test that holds the manual page
 * against the program are loops over it. A new setting is a new row.
 */
#ifndef CONF_OPTIONS_H
#define CONF_OPTIONS_H

#include "base/feature.h"
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Whom a line belongs to. */
enum option_scope {
    SCOPE_GLOBAL,
    SCOPE_SECURITY,         /* who may connect and do what: the whole broker's, or the listener's
                               with per_listener_settings */
    SCOPE_OWN_SECURITY,     /* the same for this listener alone, stronger than SCOPE_SECURITY */
    SCOPE_LISTENER,         /* the latest `listener`; the default listener before the first one */
    SCOPE_DEFAULT_LISTENER, /* the default listener wherever the line stands, and it makes that
                               listener */
    SCOPE_BRIDGE            /* the latest `connection` */
};

enum option_type {
    OPTION_BOOL,      /* true false 1 0 → bool */
    OPTION_INT,       /* strtol base 0 → integer of `size` bytes */
    OPTION_TEXT,      /* the rest of the line → char * */
    OPTION_WORDS,     /* one of `words` a line → bits in unsigned */
    OPTION_LIST,      /* `words` with commas between them → bits in unsigned */
    OPTION_CHOICE,    /* one of `words` → its bits in an integer of `size` bytes */
    OPTION_PERIOD,    /* a number and a letter: s h d w m y → seconds in int64_t, 0 = not given */
    OPTION_NETWORKS,  /* ADDRESS[/BITS] ... → struct conf_network *, their number beside it */
    OPTION_NUMBERS,   /* so many numbers as fit, with blanks between → uint32_t each; `least` of
                         them must be given, `text` is the default */
    OPTION_LISTENER,  /* PORT [ADDRESS], 0 PATH → begins a listener */
    OPTION_BRIDGE,    /* NAME → begins a bridge; char * */
    OPTION_ADDRESSES, /* HOST[:PORT] ... → struct conf_bridge_address *, their number beside it */
    OPTION_TOPIC, /* PATTERN ... → one more struct conf_bridge_topic *, their number beside it */
    OPTION_INCLUDE, /* a directory whose files are read here and now */
    OPTION_EXPAND,  /* true false 1 0 → are ${…} in the values of the next lines variables? */
    OPTION_INERT    /* a known name without effect in this release; `note` says why */
};

enum option_flag {
    OPT_RELOAD = 1 << 0, /* taken again when the file is read again; the others need a restart */
    OPT_REPEAT = 1 << 1, /* may be given several times, each adds */
    OPT_ZERO = 1 << 2,   /* 0 is allowed too, outside min..max */
    OPT_WORD = 1 << 3,   /* text without blanks */
    OPT_PREFIX = 1 << 4, /* the name is the beginning of many */
    OPT_SECRET = 1 << 5, /* no message shows the value */
    OPT_STOPS =
        1 << 6, /* protects something: where it cannot work, refuse to start rather than warn */
    OPT_SIZE = 1 << 7,     /* a number of bytes: K, M or G may follow */
    OPT_TOPIC = 1 << 8,    /* text that can be the beginning of a topic */
    OPT_NEEDLESS = 1 << 9, /* inert, and nobody misses it: a line of information is enough */
    OPT_FOLLOWS = 1 << 10  /* has no default: without it another option counts */
};

enum option_word_kind {
    WORD_ADDS,
    WORD_ASSIGNS, /* forgets what earlier lines said */
    WORD_PATH,    /* followed by a path, which goes to `beside` */
    WORD_HIDDEN,  /* adds; another way to write it, or without effect here */
    WORD_LATER    /* known, but not in this release */
};

struct option_word {
    const char *name; /* NULL ends the list */
    unsigned bits;
    enum option_word_kind kind;
};

struct conf_option {
    const char *name;
    const char *alias; /* older name or NULL */
    enum option_scope scope;
    enum option_type type;
    size_t offset; /* in the struct that option_home() names */
    size_t size;
    int64_t min, max; /* numbers; for text max is its length in bytes */
    int64_t fallback; /* the default of numbers, bools (0, 1) and words (bits) */
    const char *text; /* the default of text, or NULL */
    const char *unit; /* of numbers, plural, or NULL */
    const struct option_word *words;
    size_t beside;  /* offset of what else the value fills: a path, or how many there are */
    size_t least;   /* of several numbers, how many must be given */
    unsigned flags; /* of enum option_flag */
    enum feature needs;
    const char *since;   /* the first Mosquitto that has it: 1.4 is that or older; "ours" */
    const char *instead; /* deprecated: what to write today */
    const char *note;    /* inert: why */
    const char *as_is;   /* the value that asks for nothing but what the broker does anyway, also
                            where it cannot do more */
    const char *doc;     /* one sentence */
};

/* Rows of one kind, in a file of their own. */
struct option_rows {
    const struct conf_option *rows;
    size_t count;
};

extern const struct option_rows options_general;  /* of the whole broker */
extern const struct option_rows options_storage;  /* what is kept on disk */
extern const struct option_rows options_listener; /* of a listener */
extern const struct option_rows options_security; /* who may come in and do what; TLS */
extern const struct option_rows options_bridge;   /* of a bridge */
extern const struct option_rows options_later;    /* without effect in this release */

/* Rows in all; at() knows them by 0 to count - 1, index() by their address. */
size_t option_count(void);
const struct conf_option *option_at(size_t i);
size_t option_index(const struct conf_option *opt);

/* By name or alias; NULL when there is none. */
const struct conf_option *option_find(struct str name);
/* The known name that differs least from this unknown one; NULL when none is near. */
const char *option_nearest(struct str name);

static inline bool option_in_listener(const struct conf_option *opt)
{
    return opt->scope == SCOPE_LISTENER || opt->scope == SCOPE_DEFAULT_LISTENER;
}

/* Which struct has the row's field. */
enum option_home { HOME_GLOBAL, HOME_LISTENER, HOME_SECURITY, HOME_BRIDGE };

static inline enum option_home option_home(const struct conf_option *opt)
{
    if (option_in_listener(opt))
        return HOME_LISTENER;
    if (opt->scope == SCOPE_SECURITY || opt->scope == SCOPE_OWN_SECURITY)
        return HOME_SECURITY;
    return opt->scope == SCOPE_BRIDGE ? HOME_BRIDGE : HOME_GLOBAL;
}

/* SCOPE_OWN_SECURITY is a second way to a field: the row of the first way owns what is in it. */
static inline bool option_owns(const struct conf_option *opt)
{
    return opt->scope != SCOPE_OWN_SECURITY;
}

enum option_verdict {
    OPTION_APPLIES,
    OPTION_SKIPPED, /* asks for what is done anyway: no word about it */
    OPTION_INFORMS, /* cannot be obeyed, and nobody misses it */
    OPTION_WARNS,   /* cannot be obeyed: say so, go on without it */
    OPTION_REFUSES  /* cannot be obeyed, and going on without it would be unsafe */
};

/* Can this build do what the line asks for? Otherwise `why` (terminated, at most cap bytes) says
 * why not. */
enum option_verdict option_judge(const struct conf_option *opt, struct str value, char *why,
                                 size_t cap);

#endif
