/*
 * Rows of mosquitto_sub, and what none of them can say alone.
 */
#include "clients/sub_options.h"

#include "clients/print.h"
#include "clients/rows.h"
#include "mosquitto.h"

#include <limits.h>
#include <unistd.h>

#define SUB(member) .programs = CLIENT_SUB, SETTING(sub_settings, member)
#define PERCENT_MIN 0.1

static const struct client_row rows[] = {
    {
        .name = "-T",
        .alias = "--filter-out",
        .group = GROUP_MESSAGE,
        .type = ROW_LIST,
        SUB(hidden),
        .flags = ROW_UTF8,
        .value = "FILTER",
        .noun = "topic",
        .doc = "Pass over messages that match; may be given many times",
    },
    {
        .name = "-U",
        .alias = "--unsubscribe",
        .group = GROUP_SESSION,
        .type = ROW_LIST,
        SUB(dropped),
        .flags = ROW_UTF8,
        .value = "FILTER",
        .noun = "topic",
        .doc = "Take a filter out of a kept session; may be given many times",
    },
    {
        .name = "-C",
        .group = GROUP_OUTPUT,
        .type = ROW_INT,
        SUB(count),
        .min = 1,
        .max = INT_MAX,
        .value = "COUNT",
        .noun = "count",
        .wrong = "Invalid message count \"%s\".",
        .doc = "End after so many messages",
    },
    {
        .name = "-E",
        .group = GROUP_OUTPUT,
        .type = ROW_FLAG,
        SUB(exit_when_subscribed),
        .doc = "End when the broker has acknowledged the subscriptions",
    },
    {
        .name = "--retained-only",
        .group = GROUP_OUTPUT,
        .type = ROW_FLAG,
        SUB(retained_only),
        .doc = "Print retained messages, and end at the first that is not",
    },
    {
        .name = "--remove-retained",
        .group = GROUP_OUTPUT,
        .type = ROW_FLAG,
        SUB(remove_retained),
        .doc = "Have the broker forget each retained message that comes",
    },
    {
        .name = "--random-filter",
        .group = GROUP_OUTPUT,
        .type = ROW_SECONDS,
        SUB(random_percent),
        .max = 100,
        .value = "PERCENT",
        .noun = "chance",
        .wrong = "--random-filter chance must be between 0.1-100.0",
        .doc = "Print only so many of the messages, taken by chance",
    },
    {
        .name = "--message-rate",
        .group = GROUP_OUTPUT,
        .type = ROW_FLAG,
        SUB(message_rate),
        .doc = "Print how many messages come in each second, not themselves",
    },
    {
        .name = "-w",
        .alias = "--watch",
        .group = GROUP_OUTPUT,
        .type = ROW_FLAG,
        SUB(watch),
        .doc = "Keep a line of the screen for each topic",
    },
    {
        .name = "--retain-as-published",
        .programs = CLIENT_SUB,
        .group = GROUP_REFUSED,
        .type = ROW_REFUSED,
        .wrong = "MQTT 5, to which it belongs, is not in this build.",
    },
};

static bool check_filters(const struct client_settings *s, const struct client_list *list,
                          const char *what)
{
    for (int i = 0; i < list->n; i++)
        if (mosquitto_sub_topic_check(list->items[i]))
            return client_refuse(s, "Invalid %s topic '%s', are all '+' and '#' wildcards correct?",
                                 what, list->items[i]);
    return true;
}

static bool check_ways(const struct sub_settings *sub)
{
    const struct client_settings *s = &sub->common;
    if (s->hide_retained && sub->retained_only)
        return client_refuse(s, "Combining '-R' and '--retained-only' makes no sense.");
    if (sub->message_rate && (sub->watch || s->format))
        return client_refuse(s, "--message-rate prints no messages: %s makes no sense with it.",
                             sub->watch ? "--watch" : "-F");
    if (sub->watch && !isatty(STDOUT_FILENO))
        return client_refuse(s, "--watch needs a terminal to write to.");
    return true;
}

static bool check(struct client_settings *s)
{
    /* Rows of ours fill a struct that begins with this one. */
    const struct sub_settings *sub = (const struct sub_settings *)(void *)s;
    if (s->topics.n == 0)
        return client_refuse(s, "You must specify a topic to subscribe to.");
    if (sub->random_percent < PERCENT_MIN)
        return client_refuse(s, "%s", "--random-filter chance must be between 0.1-100.0");
    return check_filters(s, &s->topics, "subscription") &&
           check_filters(s, &sub->hidden, "filter") &&
           check_filters(s, &sub->dropped, "unsubscribe") && check_ways(sub) &&
           client_print_check(s);
}

static const struct client_rows own_rows = ROWS(rows);

const struct client_program sub_program = {
    .which = CLIENT_SUB,
    .name = "mosquitto_sub",
    .id_prefix = "mosqsub",
    .about = "Subscribes to topics of an MQTT broker and prints the messages that come.",
    .usage = "mosquitto_sub [-h HOST] [-p PORT] -t FILTER [OPTION ...]\n"
             "       mosquitto_sub -L mqtt(s)://HOST/FILTER [OPTION ...]",
    .tables = {&client_rows_common, &own_rows},
    .check = check,
};
