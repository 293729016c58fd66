/*
 * Who may come in: what CONNECT (3.1) asks for against the rules of the broker and of the listener.
 */
#ifndef CORE_ADMISSION_H
#define CORE_ADMISSION_H

#include "core/broker.h"
#include "mqtt/packet.h"

/* What the log is told, and what the client. */
struct verdict {
    enum reason reason;
    enum connack code;
};

/* Everything that the rules look at. */
struct admission {
    const struct conf *conf;
    const struct conf_listener *rules;
    bool proven;                     /* the user name, before CONNECT */
    const struct conf_listener *map; /* through which the will's topic has gone; NULL = none */
};

/* Where use_username_as_clientid says so, the user name takes the place of the id. To be done
 * before anything else is decided by the id. */
void admission_rename(const struct conf_listener *rules, struct packet_connect *p);
/* Has it sent no id, and is it to be given one (3.1.3-6)? To be answered before admission_check,
 * which does not accept an empty id. */
bool admission_makes_id(const struct conf_listener *rules, const struct packet_connect *p);
/* REASON_OK, or the rule that it breaks: those which cost next to nothing, and tell nothing of who
 * may log in. */
struct verdict admission_check(const struct admission *a, const struct packet_connect *p);
/* Is its password to be checked then? */
bool admission_wants_password(const struct admission *a, const struct packet_connect *p);
/* What only those are told who have logged in: may the will go where it is to go? */
struct verdict admission_check_will(const struct admission *a, const struct packet_connect *p);

#endif
