/*
 * Any bytes as a configuration file. The first byte chooses the command line and which allocation
 * fails.
 *
 * Whatever comes: an answer, at least one listener if it is yes, an error if it is no (at a start
 * exactly one), and no memory kept. Other files are not read: include_dir has its own tests.
 */
#include "base/mem.h"
#include "conf/conf.h"
#include "mqtt/topic.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void count_errors(void *ctx, enum log_level level, struct str line,
                         const struct log_about *about)
{
    (void)about;
    unsigned *errors = ctx;

    if (line.n == 0 || line.n > LOG_LINE_MAX || memchr(line.p, '\n', line.n))
        abort();
    *errors += level == LOG_LEVEL_ERROR;
}

/* Whatever was written: no listener has half of what protects it. */
static bool protects(const struct conf *c, const struct conf_listener *l)
{
    bool tls = conf_listener_has_tls(l), authorities = l->cafile || l->capath;

    if (!l->certfile != !l->keyfile || (l->certfile && l->psk_hint))
        return false;
    if (tls && (c->local_only || l->port == 0 || (l->psk_hint && !l->security.psk_file)))
        return false;
    if ((l->require_certificate || l->use_subject_as_username) && !(l->certfile && authorities))
        return false;
    return !l->use_identity_as_username || l->psk_hint || (l->certfile && authorities);
}

/* Whatever was written: it can be told from others, connects somewhere and carries something. */
static bool bridges(const struct conf *c, size_t i)
{
    const struct conf_bridge *b = c->bridges[i];

    for (size_t j = 0; j < i; j++) {
        if (strcmp(c->bridges[j]->name, b->name) == 0 ||
            strcmp(c->bridges[j]->local_clientid, b->local_clientid) == 0)
            return false;
    }
    for (size_t t = 0; t < b->topic_count; t++) {
        const struct conf_bridge_topic *topic = &b->topics[t];
        if (topic_check_filter(str_c(topic->local)) || topic_check_filter(str_c(topic->remote)) ||
            topic->local_prefix > strlen(topic->local) ||
            topic->remote_prefix > strlen(topic->remote) ||
            strcmp(topic->local + topic->local_prefix, topic->remote + topic->remote_prefix) != 0 ||
            topic->qos > 2 || topic->direction < CONF_OUT || topic->direction > CONF_BOTH)
            return false;
    }
    if (b->psk && (!b->identity || b->cafile || b->capath || b->certfile || b->use_os_certs))
        return false;
    return b->refs == 1 && b->address_count > 0 && b->topic_count > 0 && b->restart_base > 0 &&
           b->restart_cap >= b->restart_base && b->keepalive >= 5 && b->remote_clientid &&
           !b->certfile == !b->keyfile && conf_bridge_same(b, b);
}

static void check_conf(const struct conf *c)
{
    for (size_t i = 0; i < c->bridge_count; i++) {
        if (!bridges(c, i))
            abort();
    }
    if (c->listener_count == 0 || !c->global.security.auto_id_prefix)
        abort();
    if ((c->global.log_dest & CONF_LOG_FILE) && !c->global.log_file)
        abort();
    for (size_t i = 0; i < c->listener_count; i++) {
        const struct conf_listener *l = c->listeners[i];
        char text[CONF_DESCRIPTION_MAX];
        if (l->refs != 1 || l->max_qos > 2 || l->max_connections == 0 || l->proxy > CONF_PROXY_ANY)
            abort();
        if ((c->local_only || l->port == 0) && !l->address)
            abort();
        if (!l->security.auto_id_prefix || !l->trusted != (l->trusted_count == 0))
            abort();
        if (!protects(c, l))
            abort();
        conf_describe_listener(c, l, text, sizeof(text));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    unsigned errors = 0;
    struct log log = {.mask = LOG_LEVEL_ALL, .sink = count_errors, .ctx = &errors};
    struct conf_args args = {.file = "fuzz.conf", .ports = {18830, 18831}, .hostname = "box"};
    size_t before = mem_used();
    struct conf *c = NULL;
    enum err e;

    if (size == 0 || memmem(data, size, "include_dir", 11))
        return 0;
    setenv("A", "1", 1);
    setenv("B", "x y/${A} #\n\xff", 1);
    args.port_count = data[0] & 1U ? 2 : 0;
    args.verbose = args.test = data[0] & 2U;
    if (data[0] & 4U)
        mem_fail_after(data[0] >> 3U, 0);
    e = conf_load_text(&args, str_of((const char *)data + 1, size - 1), &log, &c);
    mem_fail_never();
    if ((e == ERR_OK) != (errors == 0) || (e == ERR_OK) != (c != NULL))
        abort();
    if (!args.test && errors > 1)
        abort();
    if (c)
        check_conf(c);
    conf_free(c);
    if (mem_used() != before)
        abort();
    return 0;
}
