/*
 * What a broker says of itself.
 */
#include "bench/version.h"

#include <stdio.h>
#include <unistd.h>

#include "bench/wire.h"

enum {
    ID_ROOM = 24,
    ANSWER_ROOM = 512,
};

#define PATIENCE_S 0.5

/* The retained message, which follows the SUBACK. */
static void read_message(struct conn *c, char *text, size_t room)
{
    uint8_t answer[ANSWER_ROOM];
    struct wire_packet packet = {0};
    enum wire_result result = WIRE_MORE;
    size_t have = 0;

    while (result == WIRE_MORE && have < sizeof answer) {
        ssize_t got = conn_read(c, answer + have, sizeof answer - have, 0);

        if (got <= 0) {
            return;
        }
        have += (size_t)got;
        result = wire_next(answer, have, &packet);
    }
    if (result == WIRE_PACKET && packet.type == WIRE_PUBLISH) {
        snprintf(text, room, "%.*s", (int)packet.body_size, (const char *)packet.body);
    }
}

void version_ask(const struct bench_options *options, const struct target *target, char *text,
                 size_t room)
{
    struct target hasty = *target;
    struct bench_error ignored;
    struct conn conn;
    char id[ID_ROOM];
    const struct wire_login login = {
        .id = id, .username = options->username, .password = options->password};
    unsigned granted;

    text[0] = '\0';
    hasty.timeout = PATIENCE_S;
    snprintf(id, sizeof id, "bench%dv", (int)getpid());
    if (!conn_dial(&conn, &hasty, &ignored)) {
        return;
    }
    if (conn_login_send(&conn, &login, &ignored) && conn_login_wait(&conn, &ignored) &&
        conn_subscribe_send(&conn, "$SYS/broker/version", 0, &ignored) &&
        conn_subscribe_wait(&conn, &granted, &ignored)) {
        read_message(&conn, text, room);
    }
    conn_leave(&conn);
}
