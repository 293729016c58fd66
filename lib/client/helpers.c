/*
 * The public functions that need no client: topics, filters, UTF-8, and messages that users keep.
 *
 * A topic may have more levels here than our broker accepts: other brokers decide for themselves.
 */
#include "client/gift.h"
#include "mosquitto.h"
#include "mqtt/topic.h"
#include "mqtt/utf8.h"

#include <stdlib.h>

#define TOPIC_MAX 65535 /* bytes: its length has two (1.5.3) */
#define UTF8_MAX 65536

/* ---- Topics --------------------------------------------------------------------------------- */

static bool is_well(enum reason verdict)
{
    return verdict == REASON_OK || verdict == REASON_LEVELS;
}

static bool is_name(struct str topic)
{
    return topic.p && topic.n <= TOPIC_MAX && is_well(topic_check_name(topic));
}

static bool is_filter(struct str filter)
{
    return filter.p && filter.n <= TOPIC_MAX && is_well(topic_check_filter(filter));
}

int mosquitto_pub_topic_check(const char *topic)
{
    return is_name(str_c(topic)) ? MOSQ_ERR_SUCCESS : MOSQ_ERR_INVAL;
}

int mosquitto_pub_topic_check2(const char *topic, size_t topiclen)
{
    return is_name(str_of(topic, topiclen)) ? MOSQ_ERR_SUCCESS : MOSQ_ERR_INVAL;
}

int mosquitto_sub_topic_check(const char *topic)
{
    return is_filter(str_c(topic)) ? MOSQ_ERR_SUCCESS : MOSQ_ERR_INVAL;
}

int mosquitto_sub_topic_check2(const char *topic, size_t topiclen)
{
    return is_filter(str_of(topic, topiclen)) ? MOSQ_ERR_SUCCESS : MOSQ_ERR_INVAL;
}

static int match(struct str filter, struct str topic, bool *result)
{
    if (!result)
        return MOSQ_ERR_INVAL;
    *result = false;
    if (!is_filter(filter) || !is_name(topic))
        return MOSQ_ERR_INVAL;
    *result = topic_matches(filter, topic);
    return MOSQ_ERR_SUCCESS;
}

int mosquitto_topic_matches_sub(const char *sub, const char *topic, bool *result)
{
    return match(str_c(sub), str_c(topic), result);
}

int mosquitto_topic_matches_sub2(const char *sub, size_t sublen, const char *topic, size_t topiclen,
                                 bool *result)
{
    return match(str_of(sub, sublen), str_of(topic, topiclen), result);
}

/* ---- Levels --------------------------------------------------------------------------------- */

static void free_tokens(char **tokens, size_t n)
{
    for (size_t i = 0; i < n; i++)
        free(tokens[i]);
    free(tokens);
}

int mosquitto_sub_topic_tokenise(const char *subtopic, char ***topics, int *count)
{
    struct str topic = str_c(subtopic);
    struct str level;
    size_t at = 0;
    size_t n = 0;

    if (!subtopic || !topics || !count || topic.n > TOPIC_MAX)
        return MOSQ_ERR_INVAL;
    char **tokens = gift_alloc(topic_levels(topic) * sizeof(*tokens));
    if (!tokens)
        return MOSQ_ERR_NOMEM;
    for (; topic_level(topic, &at, &level); n++) {
        if (level.n == 0)
            continue;
        tokens[n] = gift_copy(level.p, level.n);
        if (!tokens[n]) {
            free_tokens(tokens, n);
            return MOSQ_ERR_NOMEM;
        }
    }
    *topics = tokens;
    *count = (int)n;
    return MOSQ_ERR_SUCCESS;
}

int mosquitto_sub_topic_tokens_free(char ***topics, int count)
{
    if (!topics || !*topics || count < 1)
        return MOSQ_ERR_INVAL;
    free_tokens(*topics, (size_t)count);
    *topics = NULL;
    return MOSQ_ERR_SUCCESS;
}

/* ---- Strings -------------------------------------------------------------------------------- */

int mosquitto_validate_utf8(const char *str, int len)
{
    if (!str || len < 0 || len > UTF8_MAX)
        return MOSQ_ERR_INVAL;
    return utf8_valid(str_of(str, (size_t)len)) ? MOSQ_ERR_SUCCESS : MOSQ_ERR_MALFORMED_UTF8;
}

/* ---- Messages ------------------------------------------------------------------------------- */

int mosquitto_message_copy(struct mosquitto_message *dst, const struct mosquitto_message *src)
{
    if (!dst || !src || !src->topic || src->payloadlen < 0 ||
        (src->payloadlen > 0 && !src->payload))
        return MOSQ_ERR_INVAL;
    char *topic = gift_copy(src->topic, strlen(src->topic));
    char *payload = src->payloadlen > 0 ? gift_copy(src->payload, (size_t)src->payloadlen) : NULL;
    if (!topic || (src->payloadlen > 0 && !payload)) {
        free(topic);
        free(payload);
        return MOSQ_ERR_NOMEM;
    }
    *dst = *src;
    dst->topic = topic;
    dst->payload = payload;
    return MOSQ_ERR_SUCCESS;
}

void mosquitto_message_free_contents(struct mosquitto_message *message)
{
    if (!message)
        return;
    free(message->topic);
    free(message->payload);
    message->topic = NULL;
    message->payload = NULL;
}

void mosquitto_message_free(struct mosquitto_message **message)
{
    if (!message || !*message)
        return;
    mosquitto_message_free_contents(*message);
    free(*message);
    *message = NULL;
}
