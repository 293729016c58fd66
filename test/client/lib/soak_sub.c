/*
 * A subscriber for soak.py: writes down what arrives in a lasting session.
 *
 *     soak_sub PORT ID QOS LEDGER
 *
 * It asks for soak/1/# at QoS 1, for soak/2/# at QoS 2, or with "12" for both, whenever it has
 * connected, as programs do. The ledger has a line for each call of the message callback, flushed
 * before that returns, and one for each SUBACK; a program that is killed goes on with its ledger
 * when it is started again. mosquitto_loop_forever() serves the network in the main thread; another
 * one waits for the end of stdin and disconnects.
 */
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "mosquitto.h"

enum { KEEPALIVE_S = 5 };

static FILE *ledger;

static void on_connect(struct mosquitto *client, void *levels, int rc)
{
    if (rc) {
        fprintf(stderr, "refused: %s\n", mosquitto_connack_string(rc));
        return;
    }
    if (strchr(levels, '1')) {
        mosquitto_subscribe(client, NULL, "soak/1/#", 1);
    }
    if (strchr(levels, '2')) {
        mosquitto_subscribe(client, NULL, "soak/2/#", 2);
    }
}

static void on_subscribe(struct mosquitto *client, void *unused, int mid, int count,
                         const int *granted)
{
    (void)client;
    (void)unused;
    (void)mid;
    (void)count;
    fprintf(ledger, "subscribed %d\n", granted[0]);
    fflush(ledger);
}

/* The message is the library's, and its payload ends with no zero byte of our own. */
static void on_message(struct mosquitto *client, void *unused,
                       const struct mosquitto_message *message)
{
    char number[24] = "";
    size_t length = message->payloadlen < 20 ? (size_t)message->payloadlen : 20;

    (void)client;
    (void)unused;
    memcpy(number, message->payload, length);
    fprintf(ledger, "got %s %lu %d %d\n", message->topic + strlen("soak/"),
            strtoul(number, NULL, 10), message->qos, message->payloadlen);
    fflush(ledger);
}

static void *end_with_stdin(void *client)
{
    char byte;

    while (read(STDIN_FILENO, &byte, 1) > 0) {
    }
    mosquitto_disconnect(client);
    return NULL;
}

int main(int argc, char **argv)
{
    struct timespec pause = {0, 100000000};
    pthread_t thread;

    if (argc != 5 || !(ledger = fopen(argv[4], "a"))) {
        fputs("soak_sub PORT ID QOS LEDGER\n", stderr);
        return 2;
    }
    mosquitto_lib_init();
    struct mosquitto *client = mosquitto_new(argv[2], false, argv[3]);
    if (!client) {
        return 2;
    }
    mosquitto_connect_callback_set(client, on_connect);
    mosquitto_subscribe_callback_set(client, on_subscribe);
    mosquitto_message_callback_set(client, on_message);
    mosquitto_reconnect_delay_set(client, 1, 1, false);
    while (mosquitto_connect(client, "127.0.0.1", atoi(argv[1]), KEEPALIVE_S) != MOSQ_ERR_SUCCESS) {
        nanosleep(&pause, NULL);
    }
    if (pthread_create(&thread, NULL, end_with_stdin, client)) {
        return 2;
    }
    int rc = mosquitto_loop_forever(client, -1, 1);
    pthread_join(thread, NULL);
    mosquitto_destroy(client);
    mosquitto_lib_cleanup();
    fclose(ledger);
    if (rc != MOSQ_ERR_SUCCESS) {
        fprintf(stderr, "the loop ended: %s\n", mosquitto_strerror(rc));
    }
    return rc == MOSQ_ERR_SUCCESS ? 0 : 1;
}
