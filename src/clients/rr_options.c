/*
 * Rows of mosquitto_rr's own, and its checks.
 */
#include "clients/rr_options.h"

#include "clients/print.h"
#include "clients/rows.h"
#include "mosquitto.h"

static const struct client_row rows[] = {
    {
        .name = "-e",
        .programs = CLIENT_RR,
        .group = GROUP_MESSAGE,
        .type = ROW_TEXT,
        SETTING(rr_settings, response_topic),
        .flags = ROW_UTF8,
        .value = "TOPIC",
        .noun = "response topic",
        .doc = "Topic on which the answer will come",
    },
    {
        .name = "--latency",
        .programs = CLIENT_RR,
        .group = GROUP_OUTPUT,
        .type = ROW_FLAG,
        SETTING(rr_settings, latency),
        .doc = "Print behind the answer how long it took",
    },
};

static const struct client_rows own = ROWS(rows);

const char *rr_topic(const struct rr_settings *s)
{
    return s->common.topics.n ? s->common.topics.items[s->common.topics.n - 1] : NULL;
}

static bool check(struct client_settings *common)
{
    struct rr_settings *s = (struct rr_settings *)common;
    const char *topic = rr_topic(s);

    if (!topic || common->source == SOURCE_NONE || !s->response_topic)
        return client_refuse(common, "All of topic, message, and response topic must be supplied.");
    if (!*topic || mosquitto_pub_topic_check(topic))
        return client_refuse(common, "Invalid publish topic '%s', %s", topic,
                             *topic ? "does it contain '+' or '#'?" : "it must not be empty.");
    if (!*s->response_topic || mosquitto_pub_topic_check(s->response_topic))
        return client_refuse(common, "Invalid response topic '%s', %s", s->response_topic,
                             *s->response_topic ? "does it contain '+' or '#'?"
                                                : "it must not be empty.");
    return client_print_check(common);
}

const struct client_program rr_program = {
    .which = CLIENT_RR,
    .name = "mosquitto_rr",
    .id_prefix = "mosqrr",
    .about = "mosquitto_rr sends a request to an MQTT broker and prints the answer.",
    .usage = "mosquitto_rr [options] -t TOPIC -e ANSWER {-m TEXT | -f FILE | -s | -n}\n"
             "       mosquitto_rr [options] -L URL -e ANSWER {-m TEXT | -f FILE | -s | -n}",
    .tables = {&client_rows_common, &own},
    .check = check,
};
