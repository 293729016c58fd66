/*
 * The scenarios that move messages.
 *
 * What is measured begins and ends in silence: the warm-up is drained first, and the last message
 * is delivered and acknowledged before the clocks are read again. So no message is paid for that
 * is not counted, however long the broker's queues are.
 */
#include "bench/load.h"

#include <inttypes.h>
#include <sys/prctl.h>

#include "bench/engine.h"
#include "bench/meter.h"
#include "bench/stage.h"

enum {
    LOGINS_AT_ONCE = 50,
};

#define NS_PER_S UINT64_C(1000000000)
#define LONGEST_WAIT_NS (NS_PER_S / 20)
/* Who sleeps until a message is due wakes up 15 to 20 µs later, which would be taken for latency of
 * the broker: so sleep a little shorter, and look at the clock again and again for the rest. */
#define EARLY_NS 30e3

struct load {
    const struct bench_options *options;
    const struct target *target;
    struct target subscribe_target;
    struct bench_result *result;
    struct bench_error *error;
    struct watch *watch;
    struct engine engine;
    uint64_t begin_ns;    /* of the run: for --limit */
    uint64_t progress_ns; /* when something last came: for --timeout */
    uint64_t packets;     /* so many had come by then */
    bool pinging;
};

/* A stretch of load: so many messages, or so many seconds. */
struct phase {
    uint64_t start_ns;
    uint64_t length_ns; /* 0: by messages */
    uint64_t messages;
    uint64_t published_before;
    uint64_t granted; /* with --rate: messages allowed so far */
    bool all_granted; /* and these are all that are due in its time */
    bool closed;      /* nothing more will be allowed */
};

static uint64_t seconds_ns(double seconds)
{
    return (uint64_t)(seconds * (double)NS_PER_S);
}

static bool subscribe(struct load *l, struct member *client)
{
    char topic[ENGINE_TOPIC_ROOM];
    unsigned granted;

    engine_topic(&l->engine, client->index, topic);
    if (!conn_subscribe_send(&client->conn, topic, (unsigned)l->options->subscribe_qos, l->error) ||
        !conn_subscribe_wait(&client->conn, &granted, l->error)) {
        return false;
    }
    if (granted < l->result->granted_qos) {
        l->result->granted_qos = granted;
    }
    return true;
}

static bool connect_batch(struct load *l, struct member *client, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        bool subscriber = client[i].subscriber;

        if (!stage_login_send(l->options, subscriber ? &l->subscribe_target : l->target, &client[i],
                              subscriber && l->options->keep_sessions, l->error)) {
            return false;
        }
    }
    for (size_t i = 0; i < count; i++) {
        if (!conn_login_wait(&client[i].conn, l->error) ||
            (client[i].subscriber && !subscribe(l, &client[i])) ||
            !crew_watch(&l->engine.crew, &client[i])) {
            return false;
        }
    }
    return true;
}

static bool connect_all(struct load *l)
{
    size_t clients = l->engine.subscribers + l->engine.publishers;

    watch_phase(l->watch, "connect", "connection", 0);
    watch_goal(l->watch, clients, 0);
    for (size_t i = 0; i < clients; i += LOGINS_AT_ONCE) {
        size_t count = clients - i < LOGINS_AT_ONCE ? clients - i : LOGINS_AT_ONCE;

        if (!connect_batch(l, &l->engine.crew.members[i], count) ||
            !watch_turn(l->watch, now_ns(), i + count)) {
            return false;
        }
    }
    return true;
}

static bool stalled(struct load *l)
{
    const struct engine *e = &l->engine;
    size_t behind = 0;

    for (size_t i = 0; i < e->streams.count; i++) {
        if (e->streams.next[i] < e->streams.next[behind]) {
            behind = i;
        }
    }
    return bench_fail(l->error,
                      "stalled: nothing came from the broker for %g s; %" PRIu64 " deliveries and "
                      "%" PRIu64 " acknowledgements are outstanding, %s %zu is furthest behind",
                      l->options->timeout, engine_outstanding(e),
                      l->options->publish_qos > 0 ? e->published - e->acked : 0,
                      l->options->scenario == SCENARIO_FANIN ? "what publisher" : "subscriber",
                      behind);
}

/* One turn, and a look at whether the run gets anywhere. */
static bool load_step(struct load *l, uint64_t wait_ns)
{
    const struct engine *e = &l->engine;
    uint64_t now;

    if (!crew_turn(&l->engine.crew, wait_ns < LONGEST_WAIT_NS ? wait_ns : LONGEST_WAIT_NS)) {
        return false;
    }
    now = now_ns();
    if (!watch_turn(l->watch, now, e->streams.delivered)) {
        return false;
    }
    if (e->crew.packets != l->packets || (engine_settled(e) && !l->pinging)) {
        l->packets = e->crew.packets;
        l->progress_ns = now;
    } else if (now - l->progress_ns > seconds_ns(l->options->timeout)) {
        return stalled(l);
    }
    if (now - l->begin_ns > seconds_ns(l->options->limit)) {
        return bench_fail(
            l->error, "not finished within --limit %g s; %" PRIu64 " deliveries are outstanding",
            l->options->limit, engine_outstanding(e));
    }
    return true;
}

/* Waits until the broker has read all that subscribers have sent: it has nothing left to do. */
static bool load_quiet(struct load *l)
{
    engine_ping(&l->engine);
    l->progress_ns = now_ns();
    l->pinging = true;
    while (l->engine.crew.pongs < l->engine.subscribers) {
        if (!load_step(l, LONGEST_WAIT_NS)) {
            return false;
        }
    }
    l->pinging = false;
    if (l->options->rate > 0) {
        crew_listen(l->engine.crew.members, l->engine.subscribers);
    }
    return true;
}

/* Without --rate all that may ever be sent is allowed at once; the window does the rest. */
static void allow_all(struct load *l, const struct phase *phase)
{
    size_t publishers = l->engine.publishers;

    for (size_t i = 0; i < publishers; i++) {
        uint64_t share = phase->messages / publishers + (i < phase->messages % publishers);

        engine_allow(&l->engine, i,
                     phase->length_ns > 0 ? UINT64_MAX : l->engine.publisher[i].sent + share);
    }
}

static void allow_no_more(struct load *l)
{
    for (size_t i = 0; i < l->engine.publishers; i++) {
        engine_allow(&l->engine, i, l->engine.publisher[i].sent);
    }
}

static void grant_more(struct load *l, size_t publisher, uint64_t count)
{
    engine_allow(&l->engine, publisher, l->engine.publisher[publisher].end + count);
}

/* The publishers take turns. Whole rounds are granted at once: a rate that nobody can reach shall
 * not cost time. */
static void grant(struct load *l, struct phase *phase, uint64_t due)
{
    size_t publishers = l->engine.publishers;
    uint64_t rounds = due > phase->granted ? (due - phase->granted) / publishers : 0;

    for (size_t i = 0; rounds > 0 && i < publishers; i++) {
        grant_more(l, i, rounds);
    }
    phase->granted += rounds * publishers;
    for (; phase->granted < due; phase->granted++) {
        grant_more(l, phase->granted % publishers, 1);
    }
}

/* With --rate. Returns the time until the next message is due. */
static uint64_t allow_due(struct load *l, struct phase *phase, uint64_t passed_ns)
{
    double each_ns = (double)NS_PER_S / l->options->rate;
    uint64_t due = (uint64_t)((double)passed_ns / each_ns) + 1;
    double next_ns;

    if (phase->length_ns == 0 && due > phase->messages) {
        due = phase->messages;
    }
    grant(l, phase, due);
    next_ns = (double)due * each_ns - (double)passed_ns;
    return next_ns > EARLY_NS ? (uint64_t)(next_ns - EARLY_NS) : 0;
}

/*
 * The time is up. What was due in it gets one more turn; what cannot be sent even then is counted,
 * or a broker that stalls at the end would have it forgotten.
 */
static uint64_t phase_close(struct load *l, struct phase *phase)
{
    if (l->options->rate > 0 && !phase->all_granted) {
        phase->all_granted = true;
        (void)allow_due(l, phase, phase->length_ns - 1);
        return 0;
    }
    phase->closed = true;
    if (l->options->rate > 0) {
        l->result->overdue = phase->granted - (l->engine.published - phase->published_before);
    }
    allow_no_more(l);
    return LONGEST_WAIT_NS;
}

/* Returns how long the next turn may wait. */
static uint64_t phase_feed(struct load *l, struct phase *phase)
{
    uint64_t passed = now_ns() - phase->start_ns;

    if (phase->closed) {
        return LONGEST_WAIT_NS;
    }
    if (phase->length_ns > 0 && passed >= phase->length_ns) {
        return phase_close(l, phase);
    }
    if (phase->messages > 0 && l->engine.published - phase->published_before == phase->messages) {
        phase->closed = true;
        return LONGEST_WAIT_NS;
    }
    if (l->options->rate > 0) {
        return allow_due(l, phase, passed);
    }
    return phase->length_ns > 0 ? phase->length_ns - passed : LONGEST_WAIT_NS;
}

/* Deliveries of one message. */
static uint64_t copies(const struct load *l)
{
    return l->options->scenario == SCENARIO_FANOUT ? l->engine.subscribers : 1;
}

static bool phase_run(struct load *l, const char *name, double seconds, uint64_t messages)
{
    struct phase phase = {
        .start_ns = now_ns(),
        .length_ns = messages > 0 ? 0 : seconds_ns(seconds),
        .messages = messages,
        .published_before = l->engine.published,
    };

    l->progress_ns = phase.start_ns;
    watch_phase(l->watch, name, "message", l->engine.streams.delivered);
    watch_goal(l->watch, messages * copies(l), seconds);
    if (l->options->rate > 0) {
        engine_pace(&l->engine, phase.start_ns, (double)NS_PER_S / l->options->rate);
        allow_no_more(l);
    } else {
        allow_all(l, &phase);
    }
    do {
        if (!load_step(l, phase_feed(l, &phase))) {
            return false;
        }
    } while (!phase.closed || !engine_settled(&l->engine));
    return true;
}

static bool load_measured(struct load *l)
{
    struct bench_result *result = l->result;
    uint64_t published = l->engine.published;
    uint64_t delivered = l->engine.streams.delivered;
    struct meter meter;
    bool ok;

    histogram_clear(&result->latency);
    if (!meter_start(&meter, l->options->pid, l->error)) {
        return false;
    }
    ok = phase_run(l, "measure", l->options->seconds, l->options->messages);
    ok = ok && (l->options->subscribe_qos == 0 || load_quiet(l));
    result->elapsed_s = meter_elapsed(&meter);
    result->published = l->engine.published - published;
    result->delivered = l->engine.streams.delivered - delivered;
    return meter_stop(&meter, result, ok ? l->error : NULL) && ok;
}

/* A bridge between two brokers is measured from the one to the other. */
static bool resolve_subscribers(struct load *l)
{
    const struct bench_options *o = l->options;

    return o->subscribe_port == 0 ||
           target_resolve(&l->subscribe_target, o->host, o->subscribe_port, l->error);
}

static bool load_work(struct load *l)
{
    if (!resolve_subscribers(l) || !connect_all(l)) {
        return false;
    }
    if (l->options->warmup > 0 && !phase_run(l, "warm-up", l->options->warmup, 0)) {
        return false;
    }
    return load_quiet(l) && load_measured(l);
}

bool load_run(const struct bench_options *options, const struct target *target,
              struct bench_result *result, struct bench_error *error)
{
    struct load l = {
        .options = options,
        .target = target,
        .subscribe_target = *target,
        .result = result,
        .error = error,
        .watch = &result->watch,
        .begin_ns = now_ns(),
    };
    bool ok;

    result->granted_qos = 2;
    /* Waking up 50 µs late, as is usual, would show in every latency. */
    prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL);
    if (!engine_init(&l.engine, options, &result->latency, error)) {
        engine_clear(&l.engine);
        return false;
    }
    result->watch.streams = &l.engine.streams;
    ok = conn_make_room(l.engine.subscribers + l.engine.publishers, error) && load_work(&l);
    result->watch.streams = NULL;
    /* Who ends a run early has not lost what was under way. */
    result->lost =
        l.engine.streams.lost + (result->watch.interrupted ? 0 : engine_outstanding(&l.engine));
    result->duplicates = l.engine.streams.duplicates;
    result->reordered = l.engine.streams.reordered;
    crew_leave(&l.engine.crew);
    engine_clear(&l.engine);
    return ok && stage_judge(result, error);
}
