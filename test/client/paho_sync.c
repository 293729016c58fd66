/*
 * A round trip with Paho's synchronous C client: subscribe, publish COUNT numbered messages,
 * receive all of them in order at the same QoS. Arguments: URI, topic, QoS, MQTT version (3 or 4).
 * Exits with 0 when all was as it should be.
 */

#include <MQTTClient.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { COUNT = 25, TIMEOUT_MS = 20000 };

static int fail(const char *what, int code)
{
    fprintf(stderr, "%s: %d\n", what, code);
    return 1;
}

static int receive_one(MQTTClient client, const char *topic, int qos, int number)
{
    char *name = NULL;
    int length = 0;
    MQTTClient_message *message = NULL;
    int code = MQTTClient_receive(client, &name, &length, &message, TIMEOUT_MS);
    if (!message) {
        return fail("nothing received", code);
    }
    char text[16];
    snprintf(text, sizeof text, "%d", number);
    int wrong = strcmp(name, topic) != 0 || message->qos != qos ||
                message->payloadlen != (int)strlen(text) ||
                memcmp(message->payload, text, strlen(text)) != 0;
    MQTTClient_freeMessage(&message);
    MQTTClient_free(name);
    return wrong ? fail("wrong message instead of number", number) : 0;
}

static int publish_one(MQTTClient client, const char *topic, int qos, int number)
{
    char text[16];
    int length = snprintf(text, sizeof text, "%d", number);
    MQTTClient_deliveryToken token;
    int code = MQTTClient_publish(client, topic, length, text, qos, 0, &token);
    if (code != MQTTCLIENT_SUCCESS) {
        return fail("publish", code);
    }
    code = qos ? MQTTClient_waitForCompletion(client, token, TIMEOUT_MS) : 0;
    return code == MQTTCLIENT_SUCCESS ? 0 : fail("no acknowledgement", code);
}

static int round_trips(MQTTClient client, const char *topic, int qos)
{
    int code = MQTTClient_subscribe(client, topic, qos);
    if (code != MQTTCLIENT_SUCCESS) {
        return fail("subscribe", code);
    }
    for (int i = 0; i < COUNT; i++) {
        if (publish_one(client, topic, qos, i) || receive_one(client, topic, qos, i)) {
            return 1;
        }
    }
    code = MQTTClient_unsubscribe(client, topic);
    return code == MQTTCLIENT_SUCCESS ? 0 : fail("unsubscribe", code);
}

int main(int argc, char **argv)
{
    if (argc != 5) {
        return fail("arguments", argc);
    }
    MQTTClient client;
    MQTTClient_connectOptions options = MQTTClient_connectOptions_initializer;
    options.MQTTVersion = atoi(argv[4]);
    options.keepAliveInterval = 20;
    options.cleansession = 1;
    if (MQTTClient_create(&client, argv[1], argv[2], MQTTCLIENT_PERSISTENCE_NONE, NULL) !=
        MQTTCLIENT_SUCCESS) {
        return fail("create", 0);
    }
    int code = MQTTClient_connect(client, &options);
    if (code != MQTTCLIENT_SUCCESS) {
        return fail("connect", code);
    }
    int failed = round_trips(client, argv[2], atoi(argv[3]));
    MQTTClient_disconnect(client, TIMEOUT_MS);
    MQTTClient_destroy(&client);
    return failed;
}
