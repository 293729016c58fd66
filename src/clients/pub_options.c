/*
 * Rows of mosquitto_pub's own, and its checks.
 */
#include "clients/pub_options.h"

#include "clients/rows.h"
#include "mosquitto.h"

#include <limits.h>

static const struct client_row rows[] = {
    {
        .name = "--repeat",
        .programs = CLIENT_PUB,
        .group = GROUP_MESSAGE,
        .type = ROW_INT,
        SETTING(pub_settings, repeat),
        .min = 1,
        .max = INT_MAX,
        .value = "N",
        .noun = "count",
        .wrong = "--repeat argument must be >0.",
        .doc = "Publish the message of -m, -f, -s or -n so often; of no effect "
               "on -l",
    },
    {
        .name = "--repeat-delay",
        .programs = CLIENT_PUB,
        .group = GROUP_MESSAGE,
        .type = ROW_SECONDS,
        SETTING(pub_settings, repeat_delay_s),
        .max = INT_MAX / 1000,
        .value = "SECONDS",
        .noun = "time",
        .wrong = "--repeat-delay argument must be >=0.0.",
        .doc = "… and wait so long in between, such as 0.5",
    },
};

static const struct client_rows own = ROWS(rows);

const char *pub_topic(const struct pub_settings *s)
{
    return s->common.topics.n ? s->common.topics.items[s->common.topics.n - 1] : NULL;
}

static bool check(struct client_settings *common)
{
    struct pub_settings *s = (struct pub_settings *)common;
    const char *topic = pub_topic(s);

    if (!topic || common->source == SOURCE_NONE)
        return client_refuse(common, "Both topic and message must be supplied.");
    if (!*topic)
        return client_refuse(common, "Invalid publish topic '', it must not be empty.");
    if (mosquitto_pub_topic_check(topic))
        return client_refuse(common, "Invalid publish topic '%s', does it contain '+' or '#'?",
                             topic);
    if (!s->repeat)
        s->repeat = 1;
    return true;
}

const struct client_program pub_program = {
    .which = CLIENT_PUB,
    .name = "mosquitto_pub",
    .id_prefix = "mosqpub",
    .about = "mosquitto_pub publishes messages on one topic of an MQTT broker.",
    .usage = "mosquitto_pub [options] -t TOPIC {-m TEXT | -f FILE | -l | -s | -n}\n"
             "       mosquitto_pub [options] -L URL {-m TEXT | -f FILE | -l | -s | -n}",
    .tables = {&client_rows_common, &own},
    .check = check,
};
