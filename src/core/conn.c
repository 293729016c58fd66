/*
 * What is known of a connection without its surroundings.
 */
#include "core/conn.h"

#include "base/mem.h"
#include "core/session.h"
#include "mqtt/utf8.h"

#include <string.h>

const char *conn_name(const struct conn *c, char out[CONN_NAME_MAX])
{
    return str_escape_strict(c->session ? session_id(c->session) : STR("<unknown>"), out,
                             CONN_NAME_MAX);
}

struct party conn_party(const struct conn *c)
{
    struct party p = {.peer = &c->peer};

    if (c->session)
        p.client = session_id(c->session);
    if (c->login)
        p.user = str_of(c->login->user, c->login->user_len);
    return p;
}

static size_t login_size(size_t user)
{
    return sizeof(struct conn_login) + user;
}

static enum err keep_name(struct conn *c, struct str user, bool proven)
{
    struct conn_login *l = mem_alloc(login_size(user.n));

    if (!l)
        return ERR_NOMEM;
    *l = (struct conn_login){.user_len = (uint16_t)user.n, .proven = proven};
    if (l->user_len > 0)
        memcpy(l->user, user.p, l->user_len);
    c->login = l;
    return ERR_OK;
}

enum err conn_prove(struct conn *c, struct str user)
{
    if (user.n == 0 || user.n > UINT16_MAX || !utf8_valid(user))
        return ERR_INVAL;
    return keep_name(c, user, true);
}

enum err conn_keep_login(struct conn *c, const struct packet_connect *p)
{
    if (c->login || (p->username.n == 0 && !p->has_will))
        return ERR_OK;
    return keep_name(c, p->username, false);
}

void conn_drop_login(struct conn *c)
{
    if (c->login)
        mem_free(c->login, login_size(c->login->user_len));
    c->login = NULL;
}

void *conn_link(const struct conn *c)
{
    return c->link;
}
