/*
 * What can go wrong, and a word for each.
 */
#ifndef BASE_ERR_H
#define BASE_ERR_H

enum err {
    ERR_OK = 0,
    ERR_NOMEM,       /* an allocation failed or the memory limit is reached */
    ERR_INVAL,       /* an argument or a value that makes no sense */
    ERR_MALFORMED,   /* bytes that are no MQTT packet (or no valid file) */
    ERR_PROTOCOL,    /* a well-formed packet that is not allowed here */
    ERR_UTF8,        /* a string that is not UTF-8 as MQTT wants it */
    ERR_TOPIC,       /* a topic name or filter that is not valid */
    ERR_TOO_LARGE,   /* above a size limit */
    ERR_FULL,        /* above a count limit */
    ERR_AGAIN,       /* not finished; call again when there is more input, room or budget */
    ERR_EXISTS,      /* already there */
    ERR_NOT_FOUND,   /* not there */
    ERR_DENIED,      /* not authorised */
    ERR_CLOSED,      /* the other side has closed */
    ERR_UNSUPPORTED, /* not in this build, or not in this version of the protocol */
    ERR_SYSTEM,      /* a system call failed: errno says how */
    ERR_COUNT
};

/* A short lower-case phrase for a log line, e.g. "out of memory"; never NULL. */
const char *err_word(enum err e);

#endif
