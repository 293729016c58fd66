/*
 * Print messages for as long as the program lives, whatever becomes of the connection.
 *
 *     cc -o subscribe subscribe.c -lmosquitto
 *     ./subscribe localhost 1883 'rooms/#' [COUNT]
 *
 * The subscription is made in the connect callback, so that it is made again after each reconnect;
 * mosquitto_loop_forever() does the reconnecting. With COUNT it ends after so many messages.
 */
#include <mosquitto.h>

#include <stdio.h>
#include <stdlib.h>

struct state {
    const char *filter;
    long left; /* messages; negative: for ever */
};

static void on_connect(struct mosquitto *m, void *obj, int code)
{
    const struct state *s = obj;

    if (code != 0) {
        fprintf(stderr, "%s\n", mosquitto_connack_string(code));
        mosquitto_disconnect(m); /* to ask again would give the same answer */
        return;
    }
    mosquitto_subscribe(m, NULL, s->filter, 1);
}

static void on_subscribe(struct mosquitto *m, void *obj, int mid, int count, const int *granted)
{
    (void)obj;
    (void)mid;
    if (count > 0 && granted[0] > 2) {
        fprintf(stderr, "The broker does not let us subscribe.\n");
        mosquitto_disconnect(m);
        return;
    }
    fprintf(stderr, "subscribed\n");
}

/* What is not printed yet when the program dies comes again: it is acknowledged after this. */
static void on_message(struct mosquitto *m, void *obj, const struct mosquitto_message *message)
{
    struct state *s = obj;

    printf("%s: ", message->topic);
    fwrite(message->payload, 1, (size_t)message->payloadlen, stdout);
    printf("\n");
    fflush(stdout);
    if (s->left > 0 && --s->left == 0)
        mosquitto_disconnect(m);
}

static void on_disconnect(struct mosquitto *m, void *obj, int error)
{
    (void)m;
    (void)obj;
    if (error)
        fprintf(stderr, "connection lost: %s\n", mosquitto_strerror(error));
}

int main(int argc, char **argv)
{
    struct state s = {NULL, -1};

    if (argc != 4 && argc != 5) {
        fprintf(stderr, "usage: %s HOST PORT FILTER [COUNT]\n", argv[0]);
        return 2;
    }
    s.filter = argv[3];
    if (argc == 5)
        s.left = strtol(argv[4], NULL, 10);
    mosquitto_lib_init();
    struct mosquitto *m = mosquitto_new(NULL, true, &s);
    if (!m) {
        perror("mosquitto_new");
        return 1;
    }
    mosquitto_connect_callback_set(m, on_connect);
    mosquitto_subscribe_callback_set(m, on_subscribe);
    mosquitto_message_callback_set(m, on_message);
    mosquitto_disconnect_callback_set(m, on_disconnect);
    mosquitto_reconnect_delay_set(m, 1, 30, true);

    int error = mosquitto_connect(m, argv[1], atoi(argv[2]), 60);
    if (!error)
        error = mosquitto_loop_forever(m, -1, 1);
    if (error)
        fprintf(stderr, "Error: %s\n", mosquitto_strerror(error));

    mosquitto_destroy(m);
    mosquitto_lib_cleanup();
    return error ? 1 : 0;
}
