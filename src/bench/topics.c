/*
 * Random topics and filters of which it is known who must receive what.
 *
 * Topics are drawn first, a fifth as many as there are subscriptions; filters are then made of
 * topics, by putting wildcards in. The first level has few words, the next two have so many that
 * two of the three levels nearly always name a topic: so a filter with wildcards matches hardly
 * more than one topic too, and a message has five to eight receivers, whatever the numbers of
 * clients and subscriptions are.
 */
#include "bench/topics.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    RECEIVERS_WANTED = 5,
    WORDS_LEAST = 1000,
    FIRST_WORDS_LEAST = 32,
    PAIRS_WANTED =
        16,          /* of words of the first level and another one, for each filter of a client */
    LAST_WORDS = 10, /* of the fourth level */
    ROOMS = 10,      /* in the level that `+` stands for when one filter matches */
    KEY_BITS = 20,
    LEVELS_TEXT_ROOM = 48,
};

/* Letters are levels that a filter names; the topics of `abc` have four levels with the prefix. */
static const char *const shapes[] = {
    "abcd", "+bc", "abc#", "abcd", "a+cd", "ab#", "abc", "a+c", "+bc#", "abcd", "ab+d", "+b+d#",
};

static const char one_shape[] = "+b#";

enum {
    SHAPES = sizeof shapes / sizeof shapes[0],
};

uint64_t topics_random(uint64_t seed, uint64_t number)
{
    uint64_t x = seed + (number + 1) * UINT64_C(0x9e3779b97f4a7c15);

    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

uint64_t topics_client_first(const struct topics *t, uint64_t client)
{
    return t->setup.subscriptions * client / t->setup.clients;
}

static const char *client_shape(const struct topics *t, uint64_t client)
{
    return t->setup.one ? one_shape : shapes[client % SHAPES];
}

/* The levels that a filter has before a `#`. */
static size_t shape_levels(const char *shape)
{
    size_t size = strlen(shape);

    return shape[size - 1] == '#' ? size - 1 : size;
}

static bool shape_fits(const char *shape, const struct topic *topic)
{
    size_t levels = shape_levels(shape);

    return shape[levels] == '#' ? topic->levels >= levels : topic->levels == levels;
}

/* The levels that the shape names, as one number: the same for all topics that a filter matches. */
static uint64_t shape_key(const char *shape, const struct topic *topic)
{
    size_t levels = shape_levels(shape);
    uint64_t key = 0;

    for (size_t i = 0; i < levels; i++) {
        if (shape[i] != '+') {
            key |= (uint64_t)(topic->level[i] + 1) << (KEY_BITS * i);
        }
    }
    return key;
}

static char *put_level(char *at, uint32_t number)
{
    char digits[16];
    size_t size = 0;

    do {
        digits[size++] = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    *at++ = '/';
    while (size > 0) {
        *at++ = digits[--size];
    }
    return at;
}

/* By hand: printf took as long as the broker took to subscribe. */
void topics_filter(const struct topics *t, uint64_t client, uint64_t subscription,
                   char text[TOPICS_TEXT_ROOM])
{
    const char *shape = client_shape(t, client);
    const struct topic *topic = &t->topic[t->filter[subscription]];
    char *at = stpcpy(text, t->setup.prefix);

    for (size_t i = 0; shape[i] != '\0'; i++) {
        if (shape[i] == '+' || shape[i] == '#') {
            *at++ = '/';
            *at++ = shape[i];
        } else {
            at = put_level(at, topic->level[i]);
        }
    }
    *at = '\0';
}

static uint32_t at_least(uint32_t value, uint32_t least)
{
    return value < least ? least : value;
}

static void draw_topics(struct topics *t)
{
    /* Then the second and the third level name a topic, but for one in 16. */
    uint32_t words = at_least((uint32_t)(4 * sqrt((double)t->count)), WORDS_LEAST);
    uint64_t filters = t->setup.subscriptions / t->setup.clients + 1;
    uint32_t first_words = at_least((uint32_t)(PAIRS_WANTED * filters / words), FIRST_WORDS_LEAST);
    const uint32_t words_of[TOPICS_LEVELS] = {first_words, words, words, LAST_WORDS};
    uint64_t seed = t->setup.seed;

    for (size_t i = 0; i < t->count; i++) {
        struct topic *topic = &t->topic[i];

        for (size_t level = 0; level < TOPICS_LEVELS; level++) {
            uint64_t random = topics_random(seed, i * TOPICS_LEVELS + level);

            topic->level[level] = (uint32_t)(random % words_of[level]);
        }
        topic->levels = TOPICS_LEVELS - 1 + i % 2;
    }
}

/* PREFIX/room/ROOM/NUMBER/DRAWN: each its own number. */
static void number_topics(struct topics *t)
{
    for (size_t i = 0; i < t->count; i++) {
        uint64_t random = topics_random(t->setup.seed, i);

        t->topic[i] = (struct topic){
            .level = {(uint32_t)(random % ROOMS), (uint32_t)i, (uint32_t)(random >> 32) % ROOMS},
            .levels = TOPICS_LEVELS - 1,
        };
    }
}

static void write_topics(struct topics *t)
{
    for (size_t i = 0; i < t->count; i++) {
        const struct topic *topic = &t->topic[i];
        char *text = t->text + i * t->text_room;
        int size = snprintf(text, t->text_room, "%s", t->setup.prefix);

        for (size_t level = 0; level < topic->levels; level++) {
            size += snprintf(text + size, t->text_room - (size_t)size, "/%u", topic->level[level]);
        }
    }
}

/* All subscriptions, found by what a topic that they match has in the levels that they name. */
struct index {
    size_t mask;
    uint32_t *head; /* of each chain, a subscription and one more; 0: none */
    uint32_t *next;
    uint64_t *key;
    uint32_t *client;
};

static bool index_init(struct index *x, uint64_t subscriptions)
{
    size_t room = 1024;

    while (room < 2 * subscriptions) {
        room *= 2;
    }
    x->mask = room - 1;
    x->head = calloc(room, sizeof *x->head);
    x->next = calloc(subscriptions, sizeof *x->next);
    x->key = calloc(subscriptions, sizeof *x->key);
    x->client = calloc(subscriptions, sizeof *x->client);
    return x->head != NULL && x->next != NULL && x->key != NULL && x->client != NULL;
}

static void index_clear(struct index *x)
{
    free(x->head);
    free(x->next);
    free(x->key);
    free(x->client);
}

static uint32_t *index_chain(const struct index *x, uint64_t key, uint64_t shape)
{
    return &x->head[topics_random(key, shape) & x->mask];
}

/* False if the client has this filter already. */
static bool index_add(struct index *x, uint32_t subscription, uint64_t key, uint64_t client)
{
    uint32_t *head = index_chain(x, key, client % SHAPES);

    for (uint32_t at = *head; at != 0; at = x->next[at - 1]) {
        if (x->key[at - 1] == key && x->client[at - 1] == client) {
            return false;
        }
    }
    x->key[subscription] = key;
    x->client[subscription] = (uint32_t)client;
    x->next[subscription] = *head;
    *head = subscription + 1;
    return true;
}

/* Writes the receivers of a topic, unless `out` is NULL, and returns how many there are. */
static uint32_t index_find(const struct index *x, const struct topic *topic, uint32_t *out)
{
    uint32_t found = 0;

    for (uint64_t shape = 0; shape < SHAPES; shape++) {
        uint64_t key = shape_key(shapes[shape], topic);
        uint32_t at = shape_fits(shapes[shape], topic) ? *index_chain(x, key, shape) : 0;

        for (; at != 0; at = x->next[at - 1]) {
            if (x->key[at - 1] == key && x->client[at - 1] % SHAPES == shape) {
                if (out != NULL) {
                    out[found] = x->client[at - 1];
                }
                found++;
            }
        }
    }
    return found;
}

static size_t common_divisor(size_t a, size_t b)
{
    while (b != 0) {
        size_t rest = a % b;

        a = b;
        b = rest;
    }
    return a;
}

/* Makes a client's filters of topics, which it goes through in an order of its own. */
static bool make_filters(struct topics *t, struct index *x, uint64_t client)
{
    const char *shape = client_shape(t, client);
    uint64_t subscription = topics_client_first(t, client);
    uint64_t end = topics_client_first(t, client + 1);
    uint64_t random = topics_random(~t->setup.seed, client);
    size_t at = (size_t)(random % t->count);
    size_t step = (size_t)(random >> 32) % t->count + 1;

    while (common_divisor(t->count, step) != 1) {
        step++;
    }
    for (size_t i = 0; i < t->count && subscription < end; i++) {
        const struct topic *topic = &t->topic[at];

        if (shape_fits(shape, topic) &&
            index_add(x, (uint32_t)subscription, shape_key(shape, topic), client)) {
            t->filter[subscription++] = (uint32_t)at;
        }
        at = (at + step) % t->count;
    }
    return subscription == end;
}

static bool find_receivers(struct topics *t, const struct index *x)
{
    size_t sum = 0;

    for (size_t i = 0; i < t->count; i++) {
        uint32_t found = index_find(x, &t->topic[i], NULL);

        t->first[i] = (uint32_t)sum;
        t->most = found > t->most ? found : t->most;
        sum += found;
    }
    t->first[t->count] = (uint32_t)sum;
    t->receiver = calloc(sum + 1, sizeof *t->receiver);
    for (size_t i = 0; t->receiver != NULL && i < t->count; i++) {
        index_find(x, &t->topic[i], &t->receiver[t->first[i]]);
    }
    return t->receiver != NULL;
}

static bool make_mixture(struct topics *t, struct bench_error *error)
{
    struct index x = {0};
    bool ok = index_init(&x, t->setup.subscriptions) ||
              bench_fail(error, "memory is too short for so many subscriptions");

    draw_topics(t);
    for (uint64_t client = 0; ok && client < t->setup.clients; client++) {
        ok = make_filters(t, &x, client) ||
             bench_fail(error, "a client cannot have so many different subscriptions; "
                               "--clients must be more");
    }
    ok = ok && (find_receivers(t, &x) ||
                bench_fail(error, "memory is too short for so many subscriptions"));
    index_clear(&x);
    return ok;
}

static bool make_one_each(struct topics *t, struct bench_error *error)
{
    number_topics(t);
    t->most = 1;
    t->receiver = calloc(t->count, sizeof *t->receiver);
    if (t->receiver == NULL) {
        return bench_fail(error, "memory is too short for so many subscriptions");
    }
    for (uint64_t client = 0; client < t->setup.clients; client++) {
        uint64_t end = topics_client_first(t, client + 1);

        for (uint64_t i = topics_client_first(t, client); i < end; i++) {
            t->filter[i] = (uint32_t)i;
            t->first[i] = (uint32_t)i;
            t->receiver[i] = (uint32_t)client;
        }
    }
    t->first[t->count] = (uint32_t)t->count;
    return true;
}

static size_t topics_wanted(const struct topics_setup *setup)
{
    uint64_t of_client = setup->subscriptions / setup->clients + 1;
    uint64_t wanted = setup->subscriptions / RECEIVERS_WANTED;

    if (setup->one) {
        return setup->subscriptions;
    }
    /* Half of the topics have the levels that an exact filter needs, and some are alike for it. */
    wanted = wanted < 3 * of_client ? 3 * of_client : wanted;
    return wanted < WORDS_LEAST ? WORDS_LEAST : wanted;
}

bool topics_init(struct topics *t, const struct topics_setup *setup, struct bench_error *error)
{
    *t = (struct topics){.setup = *setup, .count = topics_wanted(setup)};
    t->text_room = strlen(setup->prefix) + LEVELS_TEXT_ROOM;
    t->topic = calloc(t->count, sizeof *t->topic);
    t->text = calloc(t->count, t->text_room);
    t->filter = calloc(setup->subscriptions, sizeof *t->filter);
    t->first = calloc(t->count + 1, sizeof *t->first);
    if (t->topic == NULL || t->text == NULL || t->filter == NULL || t->first == NULL) {
        return bench_fail(error, "memory is too short for so many subscriptions");
    }
    if (!(setup->one ? make_one_each(t, error) : make_mixture(t, error))) {
        return false;
    }
    write_topics(t);
    return true;
}

void topics_clear(struct topics *t)
{
    free(t->topic);
    free(t->text);
    free(t->filter);
    free(t->first);
    free(t->receiver);
}
