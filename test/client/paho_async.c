/*
 * Paho's asynchronous C client as a lasting session. "subscribe": subscribe and leave. "publish":
 * publish COUNT numbered messages as fast as they go. "receive": come back and receive all of them
 * in order, each once. Arguments: URI, client id, topic, QoS, what to do. Exits with 0 when all was
 * as it should be.
 */

#include <MQTTAsync.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { COUNT = 200, TIMEOUT_S = 30 };

struct state {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int connected, done, failed, received;
};

static struct state state = {.lock = PTHREAD_MUTEX_INITIALIZER,
                             .changed = PTHREAD_COND_INITIALIZER};

static void add(int *counter)
{
    pthread_mutex_lock(&state.lock);
    ++*counter;
    pthread_cond_broadcast(&state.changed);
    pthread_mutex_unlock(&state.lock);
}

/* Wait until a counter has reached a value; 0 unless something failed or took too long. */
static int await(const int *counter, int value, const char *what)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += TIMEOUT_S;
    int late = 0;
    pthread_mutex_lock(&state.lock);
    while (*counter < value && !state.failed && !late) {
        late = pthread_cond_timedwait(&state.changed, &state.lock, &until);
    }
    int wrong = *counter < value || state.failed;
    pthread_mutex_unlock(&state.lock);
    if (wrong) {
        fprintf(stderr, "%s: %d of %d, failed %d\n", what, *counter, value, state.failed);
    }
    return wrong;
}

static void on_connected(void *context, MQTTAsync_successData *data)
{
    (void)context;
    (void)data;
    add(&state.connected);
}

static void on_done(void *context, MQTTAsync_successData *data)
{
    (void)context;
    (void)data;
    add(&state.done);
}

static void on_failure(void *context, MQTTAsync_failureData *data)
{
    (void)context;
    fprintf(stderr, "failure %d: %s\n", data ? data->code : 0,
            data && data->message ? data->message : "");
    add(&state.failed);
}

static int on_message(void *context, char *topic, int length, MQTTAsync_message *message)
{
    (void)context;
    (void)length;
    char text[16];
    snprintf(text, sizeof text, "%.*s", message->payloadlen, (const char *)message->payload);
    if (atoi(text) != state.received) {
        fprintf(stderr, "got %s instead of %d\n", text, state.received);
        add(&state.failed);
    }
    add(&state.received);
    MQTTAsync_freeMessage(&message);
    MQTTAsync_free(topic);
    return 1;
}

static int act(MQTTAsync client, const char *topic, int qos, const char *what)
{
    MQTTAsync_responseOptions response = MQTTAsync_responseOptions_initializer;
    response.onSuccess = on_done;
    response.onFailure = on_failure;
    if (strcmp(what, "receive") == 0) {
        return await(&state.received, COUNT, "received");
    }
    if (strcmp(what, "subscribe") == 0) {
        return MQTTAsync_subscribe(client, topic, qos, &response) ||
               await(&state.done, 1, "subscribed");
    }
    for (int i = 0; i < COUNT; i++) {
        char text[16];
        int length = snprintf(text, sizeof text, "%d", i);
        MQTTAsync_responseOptions each = response;
        if (MQTTAsync_send(client, topic, length, text, qos, 0, &each) != MQTTASYNC_SUCCESS) {
            return 1;
        }
    }
    return await(&state.done, COUNT, "published");
}

int main(int argc, char **argv)
{
    MQTTAsync client;
    if (argc != 6 ||
        MQTTAsync_create(&client, argv[1], argv[2], MQTTCLIENT_PERSISTENCE_NONE, NULL)) {
        return 2;
    }
    MQTTAsync_setCallbacks(client, NULL, NULL, on_message, NULL);
    MQTTAsync_connectOptions options = MQTTAsync_connectOptions_initializer;
    options.cleansession = 0;
    options.onSuccess = on_connected;
    options.onFailure = on_failure;
    if (MQTTAsync_connect(client, &options) || await(&state.connected, 1, "connected")) {
        return 1;
    }
    int wrong = act(client, argv[3], atoi(argv[4]), argv[5]);
    MQTTAsync_disconnectOptions leave = MQTTAsync_disconnectOptions_initializer;
    leave.onSuccess = on_done;
    leave.timeout = 5000;
    int before = state.done;
    wrong |= MQTTAsync_disconnect(client, &leave) || await(&state.done, before + 1, "disconnected");
    MQTTAsync_destroy(&client);
    return wrong;
}
