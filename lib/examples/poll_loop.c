/*
 * The library inside a loop that is not its own: poll() here, and likewise any event library.
 *
 *     cc -o poll_loop poll_loop.c -lmosquitto
 *     ./poll_loop localhost 1883 rooms/kitchen
 *
 * Lines of the standard input are published; what others publish to the topic is printed. At the
 * end of the input the program waits until everything is acknowledged, and ends.
 *
 * Three rules are all there is to it: ask for the descriptor and for what it waits for before each
 * poll, hand it over when it is ready, and call mosquitto_loop_misc() once a second.
 */
#include <mosquitto.h>

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct state {
    const char *topic;
    bool subscribed; /* the broker has let us in, and we get what is published */
    bool input_ended;
    int waiting;     /* messages that are not acknowledged */
    char line[1024]; /* the line that is being read */
    size_t length;
};

static void on_connect(struct mosquitto *m, void *obj, int code)
{
    const struct state *s = obj;

    if (code == 0)
        mosquitto_subscribe(m, NULL, s->topic, 1);
}

static void on_subscribe(struct mosquitto *m, void *obj, int mid, int count, const int *granted)
{
    struct state *s = obj;

    (void)m;
    (void)mid;
    (void)count;
    (void)granted;
    s->subscribed = true;
}

static void on_publish(struct mosquitto *m, void *obj, int mid)
{
    struct state *s = obj;

    (void)m;
    (void)mid;
    s->waiting--;
}

static void on_message(struct mosquitto *m, void *obj, const struct mosquitto_message *message)
{
    (void)m;
    (void)obj;
    printf("%.*s\n", message->payloadlen, (const char *)message->payload);
    fflush(stdout);
}

/* Publish the line that has been read, or its part that fits. */
static int publish_line(struct mosquitto *m, struct state *s)
{
    int error = mosquitto_publish(m, NULL, s->topic, (int)s->length, s->line, 1, false);

    if (!error)
        s->waiting++;
    s->length = 0;
    return error;
}

static int read_input(struct mosquitto *m, struct state *s)
{
    char bytes[512];
    ssize_t n = read(STDIN_FILENO, bytes, sizeof(bytes));
    int error = MOSQ_ERR_SUCCESS;

    s->input_ended = n <= 0;
    for (ssize_t i = 0; i < n && !error; i++) {
        if (bytes[i] != '\n')
            s->line[s->length++] = bytes[i];
        if (bytes[i] == '\n' || s->length == sizeof(s->line))
            error = publish_line(m, s);
    }
    return error;
}

/* One turn of the program's own loop. */
static int turn(struct mosquitto *m, struct state *s)
{
    /* A negative descriptor is one that poll() leaves alone. */
    bool wants_input = s->subscribed && !s->input_ended;
    struct pollfd fds[2] = {
        {.fd = wants_input ? STDIN_FILENO : -1, .events = POLLIN},
        {.fd = mosquitto_socket(m), .events = POLLIN},
    };
    int error = MOSQ_ERR_SUCCESS;

    if (mosquitto_want_write(m))
        fds[1].events |= POLLOUT;
    if (poll(fds, 2, 1000) < 0)
        return MOSQ_ERR_ERRNO;
    if (fds[0].revents)
        error = read_input(m, s);
    if (!error && (fds[1].revents & (POLLIN | POLLERR | POLLHUP)))
        error = mosquitto_loop_read(m, 1);
    if (!error && (fds[1].revents & POLLOUT))
        error = mosquitto_loop_write(m, 1);
    if (!error)
        error = mosquitto_loop_misc(m);
    return error;
}

int main(int argc, char **argv)
{
    struct state s = {.topic = argc == 4 ? argv[3] : NULL};
    int error;

    if (!s.topic) {
        fprintf(stderr, "usage: %s HOST PORT TOPIC\n", argv[0]);
        return 2;
    }
    mosquitto_lib_init();
    struct mosquitto *m = mosquitto_new(NULL, true, &s);
    if (!m) {
        perror("mosquitto_new");
        return 1;
    }
    mosquitto_connect_callback_set(m, on_connect);
    mosquitto_subscribe_callback_set(m, on_subscribe);
    mosquitto_publish_callback_set(m, on_publish);
    mosquitto_message_callback_set(m, on_message);

    error = mosquitto_connect_async(m, argv[1], atoi(argv[2]), 60);
    while (!error && !(s.input_ended && s.waiting == 0))
        error = turn(m, &s);
    if (error)
        fprintf(stderr, "Error: %s\n", mosquitto_strerror(error));

    mosquitto_disconnect(m);
    mosquitto_destroy(m);
    mosquitto_lib_cleanup();
    return error ? 1 : 0;
}
