/*
 * subscribe_simple and subscribe_callback: one call that does it all.
 */
#include "program.h"

/* Some retained messages to be found. */
static void leave_messages(int n)
{
    struct seen s = {0};
    struct mosquitto *m = online("w", true, &s);

    for (int i = 0; i < n; i++) {
        char topic[100], payload[20];
        (void)snprintf(topic, sizeof(topic), "%s/s/%d", name, i);
        ok(mosquitto_publish(m, NULL, topic, snprintf(payload, sizeof(payload), "p%d", i), payload,
                             1, true));
    }
    UNTIL(m, s.published == n);
    finish(m, &s);
}

CASE(one_message)
{
    struct mosquitto_message *msg = NULL;

    leave_messages(1);
    ok(mosquitto_subscribe_simple(&msg, 1, true, text("s/#"), 1, HOST, port, text("c"), 60, true,
                                  NULL, NULL, NULL, NULL));
    must(msg && strcmp(msg->topic, text("s/0")) == 0 && msg->payloadlen == 2);
    must(memcmp(msg->payload, "p0", 2) == 0 && msg->retain && msg->qos == 1);
    mosquitto_message_free(&msg);
}

CASE(some_messages)
{
    struct mosquitto_message *msgs = NULL;

    leave_messages(5);
    ok(mosquitto_subscribe_simple(&msgs, 5, true, text("s/#"), 2, HOST, port, text("c"), 60, true,
                                  NULL, NULL, NULL, NULL));
    must(msgs);
    for (int i = 0; i < 5; i++) {
        must(msgs[i].payloadlen == 2);
        mosquitto_message_free_contents(&msgs[i]);
    }
    free(msgs);
}

static int count_to_three(struct mosquitto *m, void *ud, const struct mosquitto_message *msg)
{
    int *n = ud;

    must(m && msg->topic);
    return ++*n == 3;
}

CASE(a_callback_ends_it)
{
    int n = 0;

    leave_messages(5);
    ok(mosquitto_subscribe_callback(count_to_three, &n, text("s/#"), 1, HOST, port, text("c"), 60,
                                    true, NULL, NULL, NULL, NULL));
    must(n == 3);
}

OURS(it_fails_as_connect_does)
{
    struct mosquitto_message *msg = NULL;

    must(mosquitto_subscribe_simple(&msg, 1, true, text("s"), 1, HOST, 1, NULL, 60, true, NULL,
                                    NULL, NULL, NULL) != 0);
    must(!msg);
    gives(mosquitto_subscribe_simple(NULL, 1, true, text("s"), 1, HOST, port, NULL, 60, true, NULL,
                                     NULL, NULL, NULL),
          MOSQ_ERR_INVAL);
    gives(mosquitto_subscribe_simple(&msg, 0, true, text("s"), 1, HOST, port, NULL, 60, true, NULL,
                                     NULL, NULL, NULL),
          MOSQ_ERR_INVAL);
    gives(mosquitto_subscribe_callback(NULL, NULL, text("s"), 1, HOST, port, NULL, 60, true, NULL,
                                       NULL, NULL, NULL),
          MOSQ_ERR_INVAL);
    must(mosquitto_subscribe_callback(count_to_three, NULL, "a/#/b", 1, HOST, port, NULL, 60, true,
                                      NULL, NULL, NULL, NULL) != 0);
}
