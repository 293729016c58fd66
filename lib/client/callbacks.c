/*
 * Whom to call.
 */
#include "client/client.h"

#define SET(m, callback, function)                                                                 \
    do {                                                                                           \
        if (!(m))                                                                                  \
            return;                                                                                \
        client_enter(m);                                                                           \
        (m)->callbacks.callback = (function);                                                      \
        client_leave(m);                                                                           \
    } while (0)

void mosquitto_connect_callback_set(struct mosquitto *mosq,
                                    void (*on_connect)(struct mosquitto *, void *, int))
{
    SET(mosq, connect, on_connect);
}

void mosquitto_connect_with_flags_callback_set(struct mosquitto *mosq,
                                               void (*on_connect)(struct mosquitto *, void *, int,
                                                                  int))
{
    SET(mosq, connect_with_flags, on_connect);
}

void mosquitto_connect_v5_callback_set(struct mosquitto *mosq,
                                       void (*on_connect)(struct mosquitto *, void *, int, int,
                                                          const mosquitto_property *))
{
    SET(mosq, connect_v5, on_connect);
}

void mosquitto_disconnect_callback_set(struct mosquitto *mosq,
                                       void (*on_disconnect)(struct mosquitto *, void *, int))
{
    SET(mosq, disconnect, on_disconnect);
}

void mosquitto_disconnect_v5_callback_set(struct mosquitto *mosq,
                                          void (*on_disconnect)(struct mosquitto *, void *, int,
                                                                const mosquitto_property *))
{
    SET(mosq, disconnect_v5, on_disconnect);
}

void mosquitto_publish_callback_set(struct mosquitto *mosq,
                                    void (*on_publish)(struct mosquitto *, void *, int))
{
    SET(mosq, publish, on_publish);
}

void mosquitto_publish_v5_callback_set(struct mosquitto *mosq,
                                       void (*on_publish)(struct mosquitto *, void *, int, int,
                                                          const mosquitto_property *))
{
    SET(mosq, publish_v5, on_publish);
}

void mosquitto_message_callback_set(struct mosquitto *mosq,
                                    void (*on_message)(struct mosquitto *, void *,
                                                       const struct mosquitto_message *))
{
    SET(mosq, message, on_message);
}

void mosquitto_message_v5_callback_set(struct mosquitto *mosq,
                                       void (*on_message)(struct mosquitto *, void *,
                                                          const struct mosquitto_message *,
                                                          const mosquitto_property *))
{
    SET(mosq, message_v5, on_message);
}

void mosquitto_subscribe_callback_set(struct mosquitto *mosq,
                                      void (*on_subscribe)(struct mosquitto *, void *, int, int,
                                                           const int *))
{
    SET(mosq, subscribe, on_subscribe);
}

void mosquitto_subscribe_v5_callback_set(struct mosquitto *mosq,
                                         void (*on_subscribe)(struct mosquitto *, void *, int, int,
                                                              const int *,
                                                              const mosquitto_property *))
{
    SET(mosq, subscribe_v5, on_subscribe);
}

void mosquitto_unsubscribe_callback_set(struct mosquitto *mosq,
                                        void (*on_unsubscribe)(struct mosquitto *, void *, int))
{
    SET(mosq, unsubscribe, on_unsubscribe);
}

void mosquitto_unsubscribe_v5_callback_set(struct mosquitto *mosq,
                                           void (*on_unsubscribe)(struct mosquitto *, void *, int,
                                                                  const mosquitto_property *))
{
    SET(mosq, unsubscribe_v5, on_unsubscribe);
}

/* Lines that nobody would see are not even written. */
void mosquitto_log_callback_set(struct mosquitto *mosq,
                                void (*on_log)(struct mosquitto *, void *, int, const char *))
{
    if (!mosq)
        return;
    client_enter(mosq);
    mosq->callbacks.log = on_log;
    mosq->log.mask = on_log ? LOG_LEVEL_ALL : 0;
    client_leave(mosq);
}
