/*
 * Lists of MQTT 5 properties: built, read and checked, though no connection here carries them.
 *
 * A property is one block: what it holds stands behind it, a name first if it has one, each with a
 * NUL that is not counted. Lists are single links; adding walks to the end, since they are short.
 */
#include "base/mem.h"
#include "client/gift.h"
#include "client/property_table.h"
#include "mosquitto.h"
#include "mqtt/topic.h"
#include "mqtt/utf8.h"

#include <assert.h>
#include <stdlib.h>

struct mqtt5__property {
    struct mqtt5__property *next;
    const struct property_row *row;
    uint32_t number;         /* of the four types that are numbers */
    uint16_t name_n, text_n; /* bytes of the others, without their NULs */
    char bytes[];
};

static size_t size_of(size_t name_n, size_t text_n)
{
    return sizeof(struct mqtt5__property) + name_n + 1 + text_n + 1;
}

static struct str name_of(const struct mqtt5__property *p)
{
    return str_of(p->bytes, p->name_n);
}

static struct str text_of(const struct mqtt5__property *p)
{
    return str_of(p->bytes + p->name_n + 1, p->text_n);
}

/* ---- Building ------------------------------------------------------------------------------- */

/* NULL without memory. */
static struct mqtt5__property *property_new(const struct property_row *row, uint32_t number,
                                            struct str name, struct str text)
{
    struct mqtt5__property *p = mem_zalloc(size_of(name.n, text.n));

    if (!p)
        return NULL;
    p->row = row;
    p->number = number;
    p->name_n = (uint16_t)name.n;
    p->text_n = (uint16_t)text.n;
    if (name.n > 0)
        memcpy(p->bytes, name.p, name.n);
    if (text.n > 0)
        memcpy(p->bytes + name.n + 1, text.p, text.n);
    return p;
}

static int append(mosquitto_property **list, const struct property_row *row, uint32_t number,
                  struct str name, struct str text)
{
    struct mqtt5__property *p = property_new(row, number, name, text);

    if (!p)
        return MOSQ_ERR_NOMEM;
    while (*list)
        list = &(*list)->next;
    *list = p;
    return MOSQ_ERR_SUCCESS;
}

/* The row of a property that is to be added; NULL: it holds something else, or does not exist. */
static const struct property_row *row_for(mosquitto_property **list, int identifier,
                                          enum mqtt5_property_type type)
{
    const struct property_row *row = list ? property_row(identifier) : NULL;

    return row && row->type == type ? row : NULL;
}

static int add_number(mosquitto_property **list, int identifier, enum mqtt5_property_type type,
                      uint32_t number)
{
    const struct property_row *row = row_for(list, identifier, type);

    return row ? append(list, row, number, str_of(NULL, 0), str_of(NULL, 0)) : MOSQ_ERR_INVAL;
}

int mosquitto_property_add_byte(mosquitto_property **proplist, int identifier, uint8_t value)
{
    return add_number(proplist, identifier, MQTT_PROP_TYPE_BYTE, value);
}

int mosquitto_property_add_int16(mosquitto_property **proplist, int identifier, uint16_t value)
{
    return add_number(proplist, identifier, MQTT_PROP_TYPE_INT16, value);
}

int mosquitto_property_add_int32(mosquitto_property **proplist, int identifier, uint32_t value)
{
    return add_number(proplist, identifier, MQTT_PROP_TYPE_INT32, value);
}

int mosquitto_property_add_varint(mosquitto_property **proplist, int identifier, uint32_t value)
{
    if (value > PROPERTY_VARINT_MAX)
        return MOSQ_ERR_INVAL;
    return add_number(proplist, identifier, MQTT_PROP_TYPE_VARINT, value);
}

int mosquitto_property_add_binary(mosquitto_property **proplist, int identifier, const void *value,
                                  uint16_t len)
{
    const struct property_row *row = row_for(proplist, identifier, MQTT_PROP_TYPE_BINARY);

    if (!row || (!value && len > 0))
        return MOSQ_ERR_INVAL;
    return append(proplist, row, 0, str_of(NULL, 0), str_of(value, len));
}

/* 1.5.4 */
static int check_text(struct str text)
{
    if (text.n > UINT16_MAX)
        return MOSQ_ERR_INVAL;
    return utf8_valid(text) ? MOSQ_ERR_SUCCESS : MOSQ_ERR_MALFORMED_UTF8;
}

int mosquitto_property_add_string(mosquitto_property **proplist, int identifier, const char *value)
{
    const struct property_row *row = row_for(proplist, identifier, MQTT_PROP_TYPE_STRING);
    int error = row ? check_text(str_c(value)) : MOSQ_ERR_INVAL;

    return error ? error : append(proplist, row, 0, str_of(NULL, 0), str_c(value));
}

int mosquitto_property_add_string_pair(mosquitto_property **proplist, int identifier,
                                       const char *name, const char *value)
{
    const struct property_row *row = row_for(proplist, identifier, MQTT_PROP_TYPE_STRING_PAIR);
    int error = row ? check_text(str_c(name)) : MOSQ_ERR_INVAL;

    if (!error)
        error = check_text(str_c(value));
    return error ? error : append(proplist, row, 0, str_c(name), str_c(value));
}

void mosquitto_property_free_all(mosquitto_property **properties)
{
    if (!properties)
        return;
    for (struct mqtt5__property *p = *properties, *next; p; p = next) {
        next = p->next;
        mem_free(p, size_of(p->name_n, p->text_n));
    }
    *properties = NULL;
}

int mosquitto_property_copy_all(mosquitto_property **dest, const mosquitto_property *src)
{
    mosquitto_property *copy = NULL;
    mosquitto_property **end = &copy;

    if (!dest)
        return MOSQ_ERR_INVAL;
    for (; src; src = src->next) {
        if (append(end, src->row, src->number, name_of(src), text_of(src)) != MOSQ_ERR_SUCCESS) {
            mosquitto_property_free_all(&copy);
            return MOSQ_ERR_NOMEM;
        }
        end = &(*end)->next;
    }
    *dest = copy;
    return MOSQ_ERR_SUCCESS;
}

/* ---- Reading -------------------------------------------------------------------------------- */

int mosquitto_property_identifier(const mosquitto_property *property)
{
    return property ? property->row->identifier : 0;
}

const mosquitto_property *mosquitto_property_next(const mosquitto_property *proplist)
{
    return proplist ? proplist->next : NULL;
}

static const mosquitto_property *find(const mosquitto_property *list, int identifier,
                                      enum mqtt5_property_type type, bool skip_first)
{
    if (list && skip_first)
        list = list->next;
    while (list && list->row->identifier != identifier)
        list = list->next;
    return list && list->row->type == type ? list : NULL;
}

const mosquitto_property *mosquitto_property_read_byte(const mosquitto_property *proplist,
                                                       int identifier, uint8_t *value,
                                                       bool skip_first)
{
    proplist = find(proplist, identifier, MQTT_PROP_TYPE_BYTE, skip_first);
    if (proplist && value)
        *value = (uint8_t)proplist->number;
    return proplist;
}

const mosquitto_property *mosquitto_property_read_int16(const mosquitto_property *proplist,
                                                        int identifier, uint16_t *value,
                                                        bool skip_first)
{
    proplist = find(proplist, identifier, MQTT_PROP_TYPE_INT16, skip_first);
    if (proplist && value)
        *value = (uint16_t)proplist->number;
    return proplist;
}

static const mosquitto_property *read_u32(const mosquitto_property *list, int identifier,
                                          enum mqtt5_property_type type, uint32_t *value,
                                          bool skip_first)
{
    list = find(list, identifier, type, skip_first);
    if (list && value)
        *value = list->number;
    return list;
}

const mosquitto_property *mosquitto_property_read_int32(const mosquitto_property *proplist,
                                                        int identifier, uint32_t *value,
                                                        bool skip_first)
{
    return read_u32(proplist, identifier, MQTT_PROP_TYPE_INT32, value, skip_first);
}

const mosquitto_property *mosquitto_property_read_varint(const mosquitto_property *proplist,
                                                         int identifier, uint32_t *value,
                                                         bool skip_first)
{
    return read_u32(proplist, identifier, MQTT_PROP_TYPE_VARINT, value, skip_first);
}

/* A copy of `text` for the user, if one is wanted; false without memory. */
static bool give(struct str text, char **copy)
{
    if (!copy)
        return true;
    *copy = gift_copy(text.p, text.n);
    return *copy != NULL;
}

const mosquitto_property *mosquitto_property_read_binary(const mosquitto_property *proplist,
                                                         int identifier, void **value,
                                                         uint16_t *len, bool skip_first)
{
    char *copy = NULL;

    proplist = find(proplist, identifier, MQTT_PROP_TYPE_BINARY, skip_first);
    if (!proplist || !give(text_of(proplist), value ? &copy : NULL))
        return NULL;
    if (value)
        *value = copy;
    if (len)
        *len = proplist->text_n;
    return proplist;
}

const mosquitto_property *mosquitto_property_read_string(const mosquitto_property *proplist,
                                                         int identifier, char **value,
                                                         bool skip_first)
{
    proplist = find(proplist, identifier, MQTT_PROP_TYPE_STRING, skip_first);
    return proplist && give(text_of(proplist), value) ? proplist : NULL;
}

const mosquitto_property *mosquitto_property_read_string_pair(const mosquitto_property *proplist,
                                                              int identifier, char **name,
                                                              char **value, bool skip_first)
{
    proplist = find(proplist, identifier, MQTT_PROP_TYPE_STRING_PAIR, skip_first);
    if (!proplist || !give(name_of(proplist), name))
        return NULL;
    if (give(text_of(proplist), value))
        return proplist;
    if (name) {
        free(*name);
        *name = NULL;
    }
    return NULL;
}

/* ---- Checking ------------------------------------------------------------------------------- */

int mosquitto_property_check_command(int command, int identifier)
{
    const struct property_row *row = property_row(identifier);
    bool allowed = row && (row->packets & property_packet(command));

    return allowed ? MOSQ_ERR_SUCCESS : MOSQ_ERR_PROTOCOL;
}

/* Numbers are within what their sections of the standard say; nobody answers to a wildcard
 * (3.3.2-14). */
static bool value_is_allowed(const struct mqtt5__property *p)
{
    if (p->row->identifier == MQTT_PROP_RESPONSE_TOPIC)
        return topic_check_name(text_of(p)) != REASON_TOPIC_WILDCARD;
    return p->number >= p->row->least && p->number <= p->row->most;
}

int mosquitto_property_check_all(int command, const mosquitto_property *properties)
{
    const uint64_t method = UINT64_C(1) << MQTT_PROP_AUTHENTICATION_METHOD;
    const uint64_t data = UINT64_C(1) << MQTT_PROP_AUTHENTICATION_DATA;
    uint64_t seen = 0;

    for (const struct mqtt5__property *p = properties; p; p = p->next) {
        uint64_t bit = UINT64_C(1) << p->row->identifier;

        if (!(p->row->packets & property_packet(command)) || !value_is_allowed(p))
            return MOSQ_ERR_PROTOCOL;
        if ((seen & bit) && !p->row->repeats)
            return MOSQ_ERR_DUPLICATE_PROPERTY;
        seen |= bit;
    }
    /* Data for no method says nothing (3.1.2.11.10). */
    return (seen & data) && !(seen & method) ? MOSQ_ERR_PROTOCOL : MOSQ_ERR_SUCCESS;
}

const char *mosquitto_property_identifier_to_string(int identifier)
{
    const struct property_row *row = property_row(identifier);

    return row ? row->name : NULL;
}

int mosquitto_string_to_property_info(const char *propname, int *identifier, int *type)
{
    const struct property_row *row =
        propname && identifier && type ? property_row_by_name(propname) : NULL;

    if (!row)
        return MOSQ_ERR_INVAL;
    *identifier = row->identifier;
    *type = (int)row->type;
    return MOSQ_ERR_SUCCESS;
}
