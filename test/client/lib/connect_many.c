/*
 * Many clients at once, each in a thread of its own: for test_lib_connect.py.
 *
 *     connect_many HOST PORT CAFILE
 *
 * Half of them share one SSL_CTX, the others have contexts of their own, made anew for each
 * connection. What they have in common must stand that.
 */
#include "mosquitto.h"

#include <openssl/ssl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#define CLIENTS 8
#define ROUNDS 4
#define TURNS 1000 /* of 10 ms */

static struct {
    const char *host;
    int port;
    const char *cafile;
    SSL_CTX *shared;
} state;

static void on_publish(struct mosquitto *m, void *published, int mid)
{
    (void)m;
    (void)mid;
    *(bool *)published = true;
}

static int set_tls(struct mosquitto *m, bool shares)
{
    return shares ? mosquitto_void_option(m, MOSQ_OPT_SSL_CTX, state.shared)
                  : mosquitto_tls_set(m, state.cafile, NULL, NULL, NULL, NULL);
}

static int round_trip(struct mosquitto *m, const bool *published)
{
    int rc = mosquitto_connect(m, state.host, state.port, 60);
    if (rc == MOSQ_ERR_SUCCESS) {
        rc = mosquitto_publish(m, NULL, "many", 1, "x", 1, false);
    }
    for (int i = 0; i < TURNS && rc == MOSQ_ERR_SUCCESS && !*published; i++) {
        rc = mosquitto_loop(m, 10, 1);
    }
    mosquitto_disconnect(m);
    return *published ? MOSQ_ERR_SUCCESS : rc;
}

/* NULL: all went well. */
static void *run(void *number)
{
    bool shares = (*(int *)number) % 2;
    bool published = false;
    struct mosquitto *m = mosquitto_new(NULL, true, &published);
    int rc = m ? set_tls(m, shares) : MOSQ_ERR_NOMEM;
    if (rc == MOSQ_ERR_SUCCESS) {
        mosquitto_publish_callback_set(m, on_publish);
    }
    for (int i = 0; i < ROUNDS && rc == MOSQ_ERR_SUCCESS; i++) {
        published = false;
        rc = mosquitto_tls_insecure_set(m, false); /* a new context for the next connection */
        rc = rc == MOSQ_ERR_SUCCESS ? round_trip(m, &published) : rc;
    }
    mosquitto_destroy(m);
    if (rc != MOSQ_ERR_SUCCESS) {
        printf("client %d: %s\n", *(int *)number, mosquitto_strerror(rc));
    }
    return rc == MOSQ_ERR_SUCCESS ? NULL : number;
}

int main(int argc, char **argv)
{
    pthread_t threads[CLIENTS];
    int numbers[CLIENTS];
    int failed = 0;
    if (argc != 4) {
        return 2;
    }
    state.host = argv[1];
    state.port = atoi(argv[2]);
    state.cafile = argv[3];
    state.shared = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_verify(state.shared, SSL_VERIFY_PEER, NULL);
    if (SSL_CTX_load_verify_file(state.shared, state.cafile) != 1) {
        return 2;
    }
    mosquitto_lib_init();
    for (int i = 0; i < CLIENTS; i++) {
        numbers[i] = i;
        if (pthread_create(&threads[i], NULL, run, &numbers[i]) != 0) {
            return 2;
        }
    }
    for (int i = 0; i < CLIENTS; i++) {
        void *result;
        pthread_join(threads[i], &result);
        failed += result != NULL;
    }
    mosquitto_lib_cleanup();
    SSL_CTX_free(state.shared);
    return failed ? 1 : 0;
}
