/*
 * What the files share that do the work of a session: session_client.c, session_deliver.c,
 * session_fetch.c, session_rights.c.
 */
#ifndef CORE_SESSION_INSIDE_H
#define CORE_SESSION_INSIDE_H

#include "core/session.h"

/* Its client, for reports; of an absent one what is known. */
struct party session_party(const struct session_env *env, const struct session *s);
/* The episode of drops, if there is one, ends when its cause has passed: messages are accepted
 * again, or none will come. */
COLD void session_end_episode(struct session_env *env, struct session *s, bool accepts);

enum err session_send_pubrel(struct session_env *env, struct session *s, uint16_t packet_id);
/*
 * The record of a row that ends without its client's doing. The first one that waited still has
 * been begun by that, without an id, as one at QoS 0 is: its place is not given again. Not so one
 * behind others that wait: these would count as begun, too.
 */
struct record session_record_of_end(const struct flow *f, uint64_t seq);
/* A row's message is to be sent and not in the row: is it in memory? Else it is asked for, and
 * session_arrived comes. */
bool session_come_back(struct session_env *env, struct session *s, uint64_t seq);

/* May it be given what is retained: may it read that, and may its author still write it? */
bool session_may_have_retained(struct session_env *env, struct session *s, const struct message *m);
/* Those of a clean session are taken when somebody asks; of another one it is recorded whose it is,
 * where that may matter. */
void session_attach_rights(struct session_env *env, struct session *s);

#endif
