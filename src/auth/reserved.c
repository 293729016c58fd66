/*
 * By the first level, but for one exception.
 */
#include "auth/reserved.h"

#include "mqtt/topic.h"

bool topic_is_reserved(struct str topic)
{
    if (str_has_prefix(topic, STR("$CONTROL/")))
        return true;
    return str_has_prefix(topic, STR("$SYS")) &&
           !topic_matches(STR("$SYS/broker/connection/+/state"), topic);
}
