/*
 * Publish one message, and end with 0 only if the broker has acknowledged it.
 *
 *     cc -o publish publish.c -lmosquitto
 *     ./publish localhost 1883 rooms/kitchen/light on
 *
 * One thread, no background: the program runs the loop until the publish callback has told of the
 * message. At QoS 1 that is when the broker has taken it over.
 */
#include <mosquitto.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define PATIENCE_S 10

struct state {
    int mid;       /* of our message */
    bool refused;  /* the broker does not want us */
    bool finished; /* the broker has our message */
};

static void on_connect(struct mosquitto *m, void *obj, int code)
{
    struct state *s = obj;

    (void)m;
    if (code != 0) {
        fprintf(stderr, "%s\n", mosquitto_connack_string(code));
        s->refused = true;
    }
}

static void on_publish(struct mosquitto *m, void *obj, int mid)
{
    struct state *s = obj;

    (void)m;
    s->finished = mid == s->mid;
}

/* Run the loop until the message is through. */
static int await(struct mosquitto *m, const struct state *s)
{
    time_t end = time(NULL) + PATIENCE_S;

    while (!s->finished && !s->refused) {
        int error = mosquitto_loop(m, 1000, 1);

        if (error != MOSQ_ERR_SUCCESS)
            return error;
        if (time(NULL) > end)
            return MOSQ_ERR_TIMEOUT;
    }
    return s->finished ? MOSQ_ERR_SUCCESS : MOSQ_ERR_CONN_REFUSED;
}

int main(int argc, char **argv)
{
    struct state s = {0, false, false};

    if (argc != 5) {
        fprintf(stderr, "usage: %s HOST PORT TOPIC MESSAGE\n", argv[0]);
        return 2;
    }
    mosquitto_lib_init();
    struct mosquitto *m = mosquitto_new(NULL, true, &s);
    if (!m) {
        perror("mosquitto_new");
        return 1;
    }
    mosquitto_connect_callback_set(m, on_connect);
    mosquitto_publish_callback_set(m, on_publish);

    int error = mosquitto_connect(m, argv[1], atoi(argv[2]), 60);
    if (!error)
        error = mosquitto_publish(m, &s.mid, argv[3], (int)strlen(argv[4]), argv[4], 1, false);
    if (!error)
        error = await(m, &s);
    if (error)
        fprintf(stderr, "Error: %s\n", mosquitto_strerror(error));
    else
        printf("acknowledged\n");

    mosquitto_disconnect(m);
    mosquitto_destroy(m);
    mosquitto_lib_cleanup();
    return error ? 1 : 0;
}
