/*
 * What mosquitto_sub does when something comes from the broker.
 *
 * The library acknowledges a message when its callback returns. So the text of a message of QoS 1
 * or 2 is written before that, if the reader of stdout takes it; and when it cannot be written at
 * all, the program ends within the callback, and the broker will send the message again.
 */
#include "clients/sub.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define REFUSED 0x80          /* a code of SUBACK, and above */
#define CONNACK_UNAVAILABLE 3 /* the only refusal that may pass by itself */
#define GATHER_BYTES 65536    /* of QoS 0 messages, before they are written */

static const struct client_settings *common(const struct sub *sub)
{
    return &sub->settings.common;
}

static void complain_output(const struct sub *sub, int error)
{
    if (error == ENOMEM)
        client_complain(common(sub), "Error: Out of memory.\n");
    else if (error != EPIPE)
        client_complain(common(sub), "Error: Writing to stdout: %s.\n", strerror(error));
}

/* A reader who has had enough is no failure: `mosquitto_sub | head -1`. */
static int output_code(int error)
{
    return error == EPIPE ? 0 : EXIT_BAD;
}

void sub_write(struct sub *sub)
{
    int error = client_stdout_write(&sub->out);
    if (error == 0)
        return;
    if (!sub->unwritable)
        complain_output(sub, error);
    sub->unwritable = true;
    sub->out.text.used = 0;
    sub->out.text.failed = false;
    if (output_code(error) != 0)
        sub->code = output_code(error);
    sub_end(sub, output_code(error));
}

/* The message that is being handed over must not be acknowledged if its text is lost. */
static void write_within(struct sub *sub, int qos)
{
    if (qos == 0 && sub->out.text.used < GATHER_BYTES && !sub->out.text.failed)
        return;
    if (qos == 0) {
        sub_write(sub);
        return;
    }
    int error = client_stdout_write(&sub->out);
    if (error == 0)
        return;
    complain_output(sub, error);
    _exit(output_code(error));
}

void sub_end(struct sub *sub, int code)
{
    if (!sub->ending)
        sub->code = code;
    sub->ending = true;
    if (sub->removals == 0)
        mosquitto_disconnect(sub->mosq);
}

/* ---- Messages ---- */

static bool is_hidden(const struct sub *sub, const char *topic)
{
    const struct client_list *list = &sub->settings.hidden;
    for (int i = 0; i < list->n; i++) {
        bool match = false;
        mosquitto_topic_matches_sub(list->items[i], topic, &match);
        if (match)
            return true;
    }
    return false;
}

static bool is_chosen(const struct sub *sub)
{
    double percent = sub->settings.random_percent;
    return percent >= SUB_EVERYTHING || drand48() * 100.0 < percent;
}

static void remove_retained(struct sub *sub, const char *topic)
{
    if (mosquitto_publish(sub->mosq, NULL, topic, 0, NULL, 1, true) == MOSQ_ERR_SUCCESS)
        sub->removals++;
}

static void show(struct sub *sub, const struct mosquitto_message *m)
{
    if (sub->settings.message_rate)
        sub->rate++;
    else if (sub->settings.watch)
        sub_watch_message(&sub->watch, &sub->print, m, &sub->out.text);
    else
        client_print(&sub->print, m, &sub->out.text);
    write_within(sub, m->qos);
}

static void on_message(struct mosquitto *mosq, void *userdata, const struct mosquitto_message *m)
{
    struct sub *sub = userdata;
    (void)mosq;
    if (sub->ending)
        return;
    if (sub->settings.retained_only && !m->retain) {
        sub_end(sub, 0);
        return;
    }
    if ((common(sub)->hide_retained && m->retain) || is_hidden(sub, m->topic))
        return;
    if (sub->settings.remove_retained && m->retain && m->payloadlen > 0)
        remove_retained(sub, m->topic);
    if (!is_chosen(sub))
        return;
    show(sub, m);
    if (sub->settings.count > 0 && ++sub->printed == sub->settings.count)
        sub_end(sub, 0);
}

static void on_publish(struct mosquitto *mosq, void *userdata, int mid)
{
    struct sub *sub = userdata;
    (void)mid;
    if (sub->removals > 0)
        sub->removals--;
    if (sub->ending && sub->removals == 0)
        mosquitto_disconnect(mosq);
}

/* ---- The session ---- */

static void subscribe(struct sub *sub)
{
    const struct client_settings *s = common(sub);
    int rc = mosquitto_subscribe_multiple(sub->mosq, NULL, s->topics.n, s->topics.items, s->qos, 0,
                                          NULL);
    if (rc == MOSQ_ERR_SUCCESS && sub->settings.dropped.n > 0)
        rc = mosquitto_unsubscribe_multiple(sub->mosq, NULL, sub->settings.dropped.n,
                                            sub->settings.dropped.items, NULL);
    if (rc == MOSQ_ERR_SUCCESS || rc == MOSQ_ERR_NO_CONN || rc == MOSQ_ERR_CONN_LOST)
        return;
    client_complain(s, "Error: Subscribing: %s\n", mosquitto_strerror(rc));
    sub_end(sub, EXIT_BAD);
}

/* A session that the broker has kept over a loss of the connection has its subscriptions; asking
 * again would bring all retained messages again. */
static void on_connect(struct mosquitto *mosq, void *userdata, int code, int flags)
{
    struct sub *sub = userdata;
    bool reconnecting = sub->retry.until_ms != 0;
    if (code == 0) {
        sub->connected = true;
        client_retry_over(&sub->retry);
        if (!sub->subscribed || !(flags & 1))
            subscribe(sub);
        return;
    }
    if (reconnecting && code == CONNACK_UNAVAILABLE)
        return;
    client_complain_connack(common(sub), code);
    sub->ending = true;
    sub->code = code;
    mosquitto_disconnect(mosq);
}

static void say_granted(struct sub *sub, int mid, int n, const int *granted)
{
    client_text_printf(&sub->out.text, "Subscribed (mid: %d)", mid);
    for (int i = 0; i < n; i++)
        client_text_printf(&sub->out.text, "%s%d", i ? ", " : ": ", granted[i]);
    client_text_fill(&sub->out.text, '\n', 1);
}

static void on_subscribe(struct mosquitto *mosq, void *userdata, int mid, int n, const int *granted)
{
    struct sub *sub = userdata;
    int refused = 0;
    (void)mosq;
    sub->subscribed = true;
    if (common(sub)->debug)
        say_granted(sub, mid, n, granted);
    for (int i = 0; i < n; i++)
        refused += granted[i] >= REFUSED;
    if (refused == n)
        client_complain(common(sub), "All subscription requests were denied.\n");
    for (int i = 0; i < n && i < common(sub)->topics.n && refused < n; i++)
        if (granted[i] >= REFUSED)
            client_complain(common(sub), "Warning: The subscription to '%s' was denied.\n",
                            common(sub)->topics.items[i]);
    if (refused == n || sub->settings.exit_when_subscribed)
        sub_end(sub, 0);
}

static void on_log(struct mosquitto *mosq, void *userdata, int level, const char *line)
{
    struct sub *sub = userdata;
    (void)mosq;
    (void)level;
    client_text_add_string(&sub->out.text, line);
    client_text_fill(&sub->out.text, '\n', 1);
}

void sub_events_init(struct sub *sub)
{
    if (common(sub)->debug)
        mosquitto_log_callback_set(sub->mosq, on_log);
    mosquitto_connect_with_flags_callback_set(sub->mosq, on_connect);
    mosquitto_subscribe_callback_set(sub->mosq, on_subscribe);
    mosquitto_message_callback_set(sub->mosq, on_message);
    mosquitto_publish_callback_set(sub->mosq, on_publish);
}
