/*
 * Draw a world: some are calm, some are hostile in one way, a few in all.
 */
#include "knobs.h"

static unsigned one_of(struct rng *r, const unsigned *choices, uint32_t n)
{
    return choices[rng_below(r, n)];
}
#define ONE_OF(r, ...)                                                                             \
    one_of(r, (const unsigned[]){__VA_ARGS__},                                                     \
           (uint32_t)(sizeof(unsigned[]){__VA_ARGS__} / sizeof(unsigned)))

static void draw_listeners(struct rng *r, struct conf_listener listeners[2])
{
    static char mounts[][8] = {"a/", "x/", "r/", "will/", "b/", "$x/"};

    listeners[0] = (struct conf_listener){
        .refs = 1,
        .port = 1883,
        .max_connections = -1,
        .max_qos = 2,
        .accept_versions = CONF_MQTT_31 | CONF_MQTT_311,
        .security = {.allow_anonymous = true, .allow_zero_length_clientid = true},
    };
    listeners[1] = listeners[0];
    listeners[1].port = 1884;
    listeners[1].mount_point = mounts[rng_below(r, ARRAY_SIZE(mounts))];
}

static void draw_conf(const struct knobs *k, struct rng *r, struct conf *conf)
{
    *conf = (struct conf){0};
    conf->global = (struct conf_global){
        .global_max_clients = -1,
        .global_max_connections = -1,
        .connection_messages = true,
        .retain_available = true,
        .queue_qos0_messages = !k->share && rng_below(r, 4) == 0,
        .upgrade_outgoing_qos = rng_below(r, 4) == 0,
        .log_type = LOG_LEVEL_ALL,
        .max_inflight_messages = k->max_inflight,
        .max_packet_size = ONE_OF(r, 0, 400000),
        .message_size_limit = ONE_OF(r, 0, 0, 0, 2000),
        .persistence = k->persistent,
        .persistence_memory_limit = ONE_OF(r, 0, 0, 0, 1, 2000, 50000),
    };
    if (k->limits) {
        conf->global.max_queued_messages = ONE_OF(r, 1, 3, 20, 100);
        conf->global.max_queued_bytes = ONE_OF(r, 0, 0, 500, 5000);
    }
}

static void draw_traffic(struct knobs *k, struct rng *r)
{
    k->clients = 2 + rng_below(r, 9);
    k->topics = ONE_OF(r, 1, 3, 8, 22);
    k->busy = ONE_OF(r, 50, 200, 500, 900);
    k->publish = ONE_OF(r, 300, 600, 800, 950);
    k->retain = ONE_OF(r, 0, 50, 300);
    k->many = k->retain ? ONE_OF(r, 0, 0, 100, 500) : 0;
    k->big = ONE_OF(r, 0, 0, 20, 200);
    k->burst = ONE_OF(r, 0, 0, 3);
    k->share = rng_below(r, 5) == 0;
    k->max_inflight = ONE_OF(r, 1, 2, 5, 20, 20, 0);
    k->prompt = 700;
}

/* Many retained messages, small windows that stay full, and a journal that is often cleaned, so
 * that feeds last long and many are under way at once. */
static void draw_keen(struct knobs *k, struct rng *r)
{
    if (rng_below(r, 4) > 0)
        return;
    k->keen = ONE_OF(r, 300, 700);
    k->prompt = ONE_OF(r, 50, 200, 700);
    k->publish = ONE_OF(r, 300, 600);
    k->retain = 500;
    k->many = ONE_OF(r, 100, 500);
    k->big = 0;
    k->burst = 0;
    k->max_inflight = ONE_OF(r, 1, 2, 5, 20);
    k->store.segment_size = 4096;
}

static void draw_store(struct knobs *k, struct rng *r)
{
    bool mortal = k->crash > 0;

    k->store = (struct store_setup){
        .fsync = rng_below(r, 2) == 0,
        .sync_interval_ms = ONE_OF(r, 0, 20, 200, 1000),
        .segment_size = ONE_OF(r, 4096, 8192, 16384, 65536),
        .max_unsynced = ONE_OF(r, 64 << 20, 64 << 20, 64 << 20, 2000, 50000),
        .new_id = 1 + rng_below(r, 1000000),
    };
    if (rng_below(r, 6) == 0)
        k->store.max_size = k->store.segment_size * ONE_OF(r, 4, 10, 30);
    k->salvage = rng_below(r, 4) == 0;
    k->fetch = ONE_OF(r, 1000, 500, 100);
    k->full = ONE_OF(r, 0, 0, 20, 100);
    k->power = ONE_OF(r, 0, 300, 1000);
    if (rng_below(r, 2))
        return;
    k->faults.cut_short = ONE_OF(r, 0, 5, 100);
    k->faults.write = ONE_OF(r, 0, 5, 100);
    k->faults.read = ONE_OF(r, 0, 0, 1, 20);
    k->faults.other = ONE_OF(r, 0, 5, 100);
    k->faults.sync = mortal ? ONE_OF(r, 0, 0, 1, 5) : 0;
}

static void draw_trouble(struct knobs *k, struct rng *r)
{
    k->split =
        (enum split)ONE_OF(r, SPLIT_WHOLE, SPLIT_WHOLE, SPLIT_RANDOM, SPLIT_RANDOM, SPLIT_BYTES);
    k->slow = ONE_OF(r, 0, 0, 100, 600);
    k->illegal = ONE_OF(r, 0, 10, 100, 300);
    k->stranger = ONE_OF(r, 0, 10, 200);
    k->jump = ONE_OF(r, 0, 5, 30);
    k->persistent = rng_below(r, 3) != 0;
    k->durable = ONE_OF(r, 1000, 700, 300, 50);
    k->crash = k->persistent ? ONE_OF(r, 0, 10, 40, 200) : 0;
    k->pause = k->persistent ? ONE_OF(r, 0, 0, 50) : 0;
    /* After both a crash and a failed allocation too little would be certain; and of a group nobody
     * knows beforehand who is chosen. */
    if (k->share)
        k->crash = 0;
    k->nomem = k->crash || k->share ? 0 : ONE_OF(r, 0, 0, 20, 100);
    /* What a limit drops after a failed allocation cannot be foreseen either. */
    k->limits = !k->share && !k->nomem && rng_below(r, 3) == 0;
    k->mount = rng_below(r, 3) == 0;
    /* Whom a group chooses, and what a failed allocation left behind, is not known well enough to
     * say what is dropped then. */
    k->wander = k->share || k->nomem ? 0 : ONE_OF(r, 0, 100, 500);
    draw_store(k, r);
    /* What there was no memory to decide is denied. */
    k->acl = k->nomem == 0 && rng_below(r, 4) == 0;
}

void knobs_draw(struct knobs *k, struct rng *r, struct conf *conf,
                struct conf_listener listeners[2])
{
    *k = (struct knobs){0};
    draw_traffic(k, r);
    draw_trouble(k, r);
    draw_keen(k, r);
    draw_conf(k, r, conf);
    draw_listeners(r, listeners);
}
