/*
 * The library, and clients from their making to their end.
 */
#include "client/client.h"

#include "base/mem.h"
#include "client/loop.h"
#include "client/way.h"
#include "mqtt/utf8.h"
#include "net/tls.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <unistd.h>

#define ID_MAX 65535

int mosquitto_lib_version(int *major, int *minor, int *revision)
{
    if (major)
        *major = LIBMOSQUITTO_MAJOR;
    if (minor)
        *minor = LIBMOSQUITTO_MINOR;
    if (revision)
        *revision = LIBMOSQUITTO_REVISION;
    return LIBMOSQUITTO_VERSION_NUMBER;
}

/* Nothing is kept outside clients, so there is nothing to begin or to end. */
int mosquitto_lib_init(void)
{
    return MOSQ_ERR_SUCCESS;
}

int mosquitto_lib_cleanup(void)
{
    return MOSQ_ERR_SUCCESS;
}

/* --- what a client is made of --- */

static int check_id(const char *id, bool clean_session)
{
    struct str text = str_c(id);

    if (!id)
        return clean_session ? MOSQ_ERR_SUCCESS : MOSQ_ERR_INVAL;
    if (text.n == 0 || text.n > ID_MAX)
        return MOSQ_ERR_INVAL;
    return utf8_valid(text) ? MOSQ_ERR_SUCCESS : MOSQ_ERR_MALFORMED_UTF8;
}

static uint64_t chance(void)
{
    uint64_t seed = 0;

    if (getrandom(&seed, sizeof(seed), 0) != (ssize_t)sizeof(seed))
        seed = client_now() ^ (uint64_t)getpid() << 32;
    return seed;
}

/* All but the lock, the wake-up and the engine, which last as long as the client's address. */
static void clear(struct mosquitto *m)
{
    if (m->engine) {
        way_drop(m);
        engine_reset(m->engine);
    }
    way_close_retired(m);
    tls_ctx_unref(m->tls);
    m->tls = NULL;
    options_clear(&m->options);
    buf_clear(&m->notes);
}

/* ERR_NOMEM: what there is, is cleared by clear(); a client that was there before can still be
 * used, with an id that the broker chooses. */
static enum err fill(struct mosquitto *m, const char *id, bool clean_session, void *obj)
{
    *m = (struct mosquitto){
        .lock = m->lock, .wake = m->wake, .engine = m->engine, .connect_wake = -1, .userdata = obj};
    m->log = client_log(m);
    rng_seed(&m->rng, chance());
    options_init(&m->options);
    m->options.clean_session = clean_session;
    if (!m->engine)
        m->engine = engine_new(&m->log);
    if (!m->engine)
        return ERR_NOMEM;
    return id ? options_set_id(m, id) : options_make_id(m);
}

/* NULL with errno. */
static struct mosquitto *make_empty(void)
{
    struct mosquitto *m = mem_zalloc(sizeof(*m));

    if (!m || lock_init(&m->lock) != ERR_OK) {
        mem_free(m, sizeof(*m));
        errno = ENOMEM;
        return NULL;
    }
    m->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (m->wake < 0) {
        int error = errno;
        lock_destroy(&m->lock);
        mem_free(m, sizeof(*m));
        errno = error;
        return NULL;
    }
    return m;
}

static void free_empty(struct mosquitto *m)
{
    engine_free(m->engine);
    (void)close(m->wake);
    lock_destroy(&m->lock);
    mem_free(m, sizeof(*m));
}

/* --- public --- */

struct mosquitto *mosquitto_new(const char *id, bool clean_session, void *obj)
{
    if (check_id(id, clean_session) != MOSQ_ERR_SUCCESS) {
        errno = EINVAL;
        return NULL;
    }
    struct mosquitto *m = make_empty();
    if (!m)
        return NULL;
    if (fill(m, id, clean_session, obj) != ERR_OK) {
        clear(m);
        free_empty(m);
        errno = ENOMEM;
        return NULL;
    }
    return m;
}

/* From a callback, where it is not allowed, it does nothing: a leak is better than what else would
 * happen. */
void mosquitto_destroy(struct mosquitto *mosq)
{
    if (!mosq || !loop_end(mosq))
        return;
    clear(mosq);
    free_empty(mosq);
}

int mosquitto_reinitialise(struct mosquitto *mosq, const char *id, bool clean_session, void *obj)
{
    int rc = check_id(id, clean_session);

    if (!mosq)
        return MOSQ_ERR_INVAL;
    if (rc != MOSQ_ERR_SUCCESS)
        return rc;
    if (!loop_end(mosq))
        return MOSQ_ERR_INVAL;
    clear(mosq);
    return client_error(fill(mosq, id, clean_session, obj));
}

/* The callback for the password of a key asks for this while its thread has the lock. */
void *mosquitto_userdata(struct mosquitto *mosq)
{
    return mosq ? __atomic_load_n(&mosq->userdata, __ATOMIC_ACQUIRE) : NULL;
}

void mosquitto_user_data_set(struct mosquitto *mosq, void *obj)
{
    if (!mosq)
        return;
    client_enter(mosq);
    __atomic_store_n(&mosq->userdata, obj, __ATOMIC_RELEASE);
    client_leave(mosq);
}

void *mosquitto_ssl_get(struct mosquitto *mosq)
{
    void *ssl = NULL;

    if (!mosq)
        return NULL;
    client_enter(mosq);
    if (mosq->way.tls)
        ssl = tls_ssl(mosq->way.tls);
    client_leave(mosq);
    return ssl;
}
