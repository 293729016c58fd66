/*
 * Request and answer at MQTT 3.1.1, where both sides have to know the topic of the answer. The
 * request goes out when the broker has confirmed the subscription, so that no answer is missed. A
 * connection that is lost in between ends it: nobody knows whether the request was served.
 */
#include "clients/rr_run.h"

#include "clients/print.h"
#include "clients/setup.h"
#include "mosquitto.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define TURN_MS 1000
#define REFUSED 0x80 /* in SUBACK, 3.9.3 */

struct rr {
    const struct rr_settings *s;
    const struct client_payload *request;
    struct mosquitto *mosq;
    struct client_print print;
    bool asked;    /* the request was sent */
    bool answered; /* only DISCONNECT is to follow */
    bool over;
    int exit_code;
    struct timespec sent;
    int64_t until_ms; /* of -W */
};

static void finish(struct rr *r, int exit_code)
{
    r->over = true;
    r->exit_code = exit_code;
}

static void fail(struct rr *r, int rc)
{
    client_complain(&r->s->common, "Error: %s\n", mosquitto_strerror(rc));
    finish(r, rc);
}

/* --- callbacks --- */

static void on_connect(struct mosquitto *mosq, void *userdata, int code)
{
    struct rr *r = userdata;
    int rc;

    if (code != 0) {
        client_complain_connack(&r->s->common, code);
        client_complain(&r->s->common, "Error: %s\n", mosquitto_strerror(MOSQ_ERR_CONN_REFUSED));
        finish(r, code);
        return;
    }
    rc = mosquitto_subscribe(mosq, NULL, r->s->response_topic, r->s->common.qos);
    if (rc != 0)
        fail(r, rc);
}

static void on_subscribe(struct mosquitto *mosq, void *userdata, int mid, int n, const int *granted)
{
    struct rr *r = userdata;
    const struct client_settings *s = &r->s->common;
    int rc;

    (void)mid;
    if (r->asked || r->answered)
        return;
    if (n < 1 || granted[0] == REFUSED) {
        client_complain(s, "Error: The broker has refused the subscription to '%s'.\n",
                        r->s->response_topic);
        finish(r, EXIT_BAD);
        return;
    }
    r->asked = true;
    clock_gettime(CLOCK_MONOTONIC, &r->sent);
    rc = mosquitto_publish(mosq, NULL, rr_topic(r->s), (int)r->request->n, r->request->data, s->qos,
                           s->retain);
    if (rc != 0)
        fail(r, rc);
}

static double ms_since(const struct timespec *then)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)(now.tv_sec - then->tv_sec) * 1e3 + (double)(now.tv_nsec - then->tv_nsec) / 1e6;
}

/* false: stdout takes nothing. */
static bool print(const struct rr *r, const struct mosquitto_message *message)
{
    double latency_ms = ms_since(&r->sent);
    struct client_text text = {0};
    bool ok;

    client_print(&r->print, message, &text);
    if (r->s->latency)
        client_text_printf(&text, "Latency: %.3f ms\n", latency_ms);
    ok = !text.failed && fwrite(text.bytes, 1, text.used, stdout) == text.used &&
         fflush(stdout) == 0;
    client_text_clear(&text);
    return ok;
}

static void on_message(struct mosquitto *mosq, void *userdata,
                       const struct mosquitto_message *message)
{
    struct rr *r = userdata;

    if (r->answered || (message->retain && r->s->common.hide_retained))
        return;
    r->answered = true;
    if (!print(r, message)) {
        client_complain(&r->s->common, "Error: Unable to print the answer: %s.\n", strerror(errno));
        finish(r, EXIT_BAD);
    } else if (mosquitto_disconnect(mosq) != 0) {
        finish(r, 0);
    }
}

static void on_disconnect(struct mosquitto *mosq, void *userdata, int rc)
{
    struct rr *r = userdata;

    (void)mosq;
    (void)rc;
    if (r->over)
        return;
    if (r->answered) {
        finish(r, 0);
        return;
    }
    client_complain_why(&r->s->common);
    client_complain(&r->s->common, "Error: %s\n", mosquitto_strerror(MOSQ_ERR_CONN_LOST));
    finish(r, EXIT_GONE);
}

/* --- the loop --- */

static void time_out(struct rr *r)
{
    client_complain(&r->s->common, "Timed out\n");
    finish(r, EXIT_TIMED_OUT);
    mosquitto_disconnect(r->mosq);
}

static void turn(struct rr *r)
{
    int64_t left = r->until_ms - client_now_ms();

    if (left <= 0)
        time_out(r);
    else if (mosquitto_loop(r->mosq, left < TURN_MS ? (int)left : TURN_MS, 1) != 0 && !r->over)
        on_disconnect(r->mosq, r, MOSQ_ERR_CONN_LOST);
}

static void run(struct rr *r)
{
    int timeout_s = r->s->common.timeout_s;

    r->until_ms = timeout_s ? client_now_ms() + (int64_t)timeout_s * 1000 : INT64_MAX;
    r->exit_code = client_reach(r->mosq, &r->s->common);
    if (r->exit_code != 0)
        return;
    while (!r->over)
        turn(r);
}

int rr_run(const struct rr_settings *s, const struct client_payload *request)
{
    struct rr r = {.s = s, .request = request, .exit_code = EXIT_BAD};

    if (!client_print_init(&r.print, &s->common))
        return EXIT_BAD;
    r.mosq = client_setup(&s->common, &r);
    if (r.mosq) {
        mosquitto_connect_callback_set(r.mosq, on_connect);
        mosquitto_subscribe_callback_set(r.mosq, on_subscribe);
        mosquitto_message_callback_set(r.mosq, on_message);
        mosquitto_disconnect_callback_set(r.mosq, on_disconnect);
        run(&r);
    }
    client_end(r.mosq);
    client_print_clear(&r.print);
    return r.exit_code;
}
