/*
 * A publisher for soak.py: numbered messages in a lasting session, whatever becomes of the broker.
 *
 *     soak_pub PORT ID QOS RATE LEDGER
 *
 * Messages go to soak/QOS/0 to soak/QOS/4 in turn, RATE in a second, until stdin ends; then all
 * that are under way are waited for. The ledger has a line for each message that the library took
 * and one for each that it reported published. The network is served by the library's own thread.
 * Exit code 0 says that everything was reported, once.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "mosquitto.h"

enum {
    TOPICS = 5,
    MOST_UNDER_WAY = 2000,
    LONGEST = 3000,
    KEEPALIVE_S = 5,
    PATIENCE_MS = 90000,
    IDS = 65536,
};

static struct {
    pthread_mutex_t lock;
    FILE *ledger;
    const char *qos;
    unsigned long number[IDS]; /* which message has a packet id; 0 = none */
    int under_way;
    int strays; /* reports of messages that are not under way */
} state = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void sleep_ms(long ms)
{
    struct timespec pause = {ms / 1000, ms % 1000 * 1000000};

    nanosleep(&pause, NULL);
}

static void on_publish(struct mosquitto *client, void *unused, int mid)
{
    (void)client;
    (void)unused;
    pthread_mutex_lock(&state.lock);
    if (mid <= 0 || mid >= IDS || !state.number[mid]) {
        state.strays++;
        fprintf(stderr, "published, but not under way: %d\n", mid);
    } else {
        fprintf(state.ledger, "done %s/%lu %lu\n", state.qos, state.number[mid] % TOPICS,
                state.number[mid] / TOPICS);
        state.number[mid] = 0;
        state.under_way--;
    }
    pthread_mutex_unlock(&state.lock);
}

/* A payload begins with the number within its topic; its length varies by number. */
static int payload_of(char *out, unsigned long number)
{
    unsigned long filler = number * 7919 % 97 == 0 ? LONGEST - 30 : number * 7919 % 60;
    int length = snprintf(out, LONGEST, "%lu ", number / TOPICS);

    memset(out + length, 'x', filler);
    return length + (int)filler;
}

/* The lock is held while the library has the message and we do not know its id yet. */
static bool publish(struct mosquitto *client, unsigned long number)
{
    char topic[32];
    static char payload[LONGEST];
    int mid = 0;
    int length = payload_of(payload, number);

    snprintf(topic, sizeof(topic), "soak/%s/%lu", state.qos, number % TOPICS);
    pthread_mutex_lock(&state.lock);
    int rc = mosquitto_publish(client, &mid, topic, length, payload, atoi(state.qos), false);
    /* What was written or queued is the library's, even if it noticed meanwhile that the connection
     * is gone. */
    bool taken =
        rc == MOSQ_ERR_SUCCESS || ((rc == MOSQ_ERR_NO_CONN || rc == MOSQ_ERR_CONN_LOST) && mid > 0);
    if (!taken || mid <= 0 || mid >= IDS || state.number[mid]) {
        fprintf(stderr, "publish: %s, mid %d\n", mosquitto_strerror(rc), mid);
        taken = false;
    } else {
        state.number[mid] = number;
        state.under_way++;
        fprintf(state.ledger, "sent %s/%lu %lu\n", state.qos, number % TOPICS, number / TOPICS);
    }
    pthread_mutex_unlock(&state.lock);
    return taken;
}

static int under_way(void)
{
    pthread_mutex_lock(&state.lock);
    int count = state.under_way;
    fflush(state.ledger);
    pthread_mutex_unlock(&state.lock);
    return count;
}

static bool stdin_ended(int wait_ms)
{
    struct pollfd in = {.fd = STDIN_FILENO, .events = POLLIN};
    char byte;

    return poll(&in, 1, wait_ms) > 0 && read(STDIN_FILENO, &byte, 1) <= 0;
}

/* A few messages every few milliseconds. */
static bool publish_until_told(struct mosquitto *client, int rate)
{
    unsigned long number = TOPICS; /* so that none is number 0 within its topic, nor has number 0 */
    int turn_ms = 5;
    int owed_ms = 0;

    while (!stdin_ended(turn_ms)) {
        owed_ms += rate * turn_ms;
        for (; owed_ms >= 1000; owed_ms -= 1000) {
            if (under_way() < MOST_UNDER_WAY && !publish(client, number++)) {
                return false;
            }
        }
    }
    return true;
}

static void connect_at_last(struct mosquitto *client, int port)
{
    while (mosquitto_connect(client, "127.0.0.1", port, KEEPALIVE_S) != MOSQ_ERR_SUCCESS) {
        sleep_ms(100);
    }
}

int main(int argc, char **argv)
{
    if (argc != 6) {
        fputs("soak_pub PORT ID QOS RATE LEDGER\n", stderr);
        return 2;
    }
    state.qos = argv[3];
    state.ledger = fopen(argv[5], "w");
    mosquitto_lib_init();
    struct mosquitto *client = mosquitto_new(argv[2], false, NULL);
    if (!client || !state.ledger) {
        perror("soak_pub");
        return 2;
    }
    mosquitto_publish_callback_set(client, on_publish);
    mosquitto_reconnect_delay_set(client, 1, 1, false);
    connect_at_last(client, atoi(argv[1]));
    if (mosquitto_loop_start(client) != MOSQ_ERR_SUCCESS) {
        return 2;
    }
    bool fine = publish_until_told(client, atoi(argv[4]));
    for (int waited = 0; under_way() > 0 && waited < PATIENCE_MS; waited += 20) {
        sleep_ms(20);
    }
    int left = under_way();
    mosquitto_disconnect(client);
    mosquitto_loop_stop(client, false);
    mosquitto_destroy(client);
    mosquitto_lib_cleanup();
    fclose(state.ledger);
    if (left || state.strays) {
        fprintf(stderr, "%d were never reported, %d were strays\n", left, state.strays);
    }
    return fine && !left && !state.strays ? 0 : 1;
}
