/*
 * TLS of bridges: what contexts are made of, and what becomes of a handshake.
 */
#include "server/bridge_keys.h"

#include "certs.h"
#include "dial_rig.h"
#include "net/tls.h"

#include <time.h>

/* Made once: keys take their time. */
static struct files {
    char directory[64];
    struct certs_pair ca, server, stranger;
    char ca_path[CERTS_PATH_MAX], cert_path[CERTS_PATH_MAX], key_path[CERTS_PATH_MAX];
    char stranger_path[CERTS_PATH_MAX];
} files;

static int make_files(void **state)
{
    (void)state;
    certs_directory(files.directory);
    files.ca = certs_make(&(struct certs_wish){.cn = "CA", .ca = true});
    files.server = certs_make(&(struct certs_wish){.cn = "localhost", .issuer = &files.ca});
    files.stranger = certs_make(&(struct certs_wish){.cn = "another CA", .ca = true});
    (void)certs_write(files.directory, "ca.pem", &files.ca.x, 1, files.ca_path);
    (void)certs_write(files.directory, "cert.pem", &files.server.x, 1, files.cert_path);
    (void)certs_write_key(files.directory, "key.pem", files.server.key, NULL, files.key_path);
    (void)certs_write(files.directory, "stranger.pem", &files.stranger.x, 1, files.stranger_path);
    return 0;
}

static int remove_files(void **state)
{
    (void)state;
    certs_free(&files.ca);
    certs_free(&files.server);
    certs_free(&files.stranger);
    certs_remove(files.directory);
    return 0;
}

static const char *encrypted(char out[CONF_MAX], const char *host, uint16_t port, const char *ca)
{
    (void)snprintf(out, CONF_MAX,
                   "listener 1883 127.0.0.1\nconnection up\naddress %s:%u\nbridge_cafile %s\n"
                   "bridge_insecure true\ntopic # out\n",
                   host, port, ca);
    return out;
}

/* --- contexts --- */

static void names_what_is_wrong(void **state)
{
    (void)state;
    char text[CONF_MAX];
    struct bridge_keys keys;
    struct conf *c = loaded(encrypted(text, "localhost", 8883, "/nowhere/ca.pem"));
    assert_err(bridge_keys_make(c, &how, &keys), ERR_SYSTEM);
    assert_int_equal(keys.count, 0);
    assert_int_equal(captured.errors, 1);
    assert_logged("Error: connection up (m.conf:2): bridge_cafile '/nowhere/ca.pem'");
    conf_free(c);
    c = loaded(encrypted(text, "localhost", 8883, files.key_path));
    assert_err(bridge_keys_make(c, &how, &keys), ERR_INVAL);
    assert_int_equal(captured.errors, 1);
    conf_free(c);
}

static void makes_none_without_tls(void **state)
{
    (void)state;
    struct bridge_keys keys;
    struct conf *c = loaded("listener 1883\nconnection up\naddress localhost\ntopic #\n");
    assert_ok(bridge_keys_make(c, &how, &keys));
    assert_int_equal(keys.count, 0);
    assert_null(bridge_keys_find(&keys, c->bridges[0]));
    bridge_keys_clear(&keys);
    conf_free(c);
}

/* A section that says the same finds the context of the former one; one that does not, none. */
static void is_found_by_what_it_says(void **state)
{
    (void)state;
    char text[CONF_MAX];
    struct bridge_keys keys;
    struct conf *old = loaded(encrypted(text, "localhost", 8883, files.ca_path));
    struct conf *same = loaded(encrypted(text, "localhost", 8884, files.ca_path));
    struct conf *other = loaded(encrypted(text, "localhost", 8883, files.stranger_path));
    assert_ok(bridge_keys_make(old, &how, &keys));
    assert_int_equal(keys.count, 1);
    assert_non_null(keys.of[0].tls);
    assert_ptr_equal(bridge_keys_find(&keys, old->bridges[0]), keys.of[0].tls);
    assert_ptr_equal(bridge_keys_find(&keys, same->bridges[0]), keys.of[0].tls);
    assert_null(bridge_keys_find(&keys, other->bridges[0]));
    bridge_keys_clear(&keys);
    conf_free(old);
    conf_free(same);
    conf_free(other);
}

static bool is_the_path(void *path, const char *changed)
{
    return strcmp(path, changed) == 0;
}

/* A context for two sections that say the same; also when its files change. */
static void is_shared(void **state)
{
    (void)state;
    char text[CONF_MAX];
    char path[CERTS_PATH_MAX];
    struct bridge_keys keys;
    (void)certs_write(files.directory, "shared.pem", &files.ca.x, 1, path);
    (void)snprintf(text, sizeof(text),
                   "listener 1883\nconnection one\naddress a\nbridge_cafile %s\ntopic #\n"
                   "connection two\naddress b\nbridge_cafile %s\ntopic #\n"
                   "connection three\naddress a\nbridge_cafile %s\ntopic #\n",
                   path, path, files.ca_path);
    struct conf *c = loaded(text);
    assert_ok(bridge_keys_make(c, &how, &keys));
    assert_int_equal(keys.count, 3);
    assert_ptr_equal(keys.of[0].tls, keys.of[1].tls);
    assert_ptr_not_equal(keys.of[0].tls, keys.of[2].tls);
    struct tls_ctx *held = tls_ctx_ref(keys.of[0].tls);
    struct bridge_keys_news news = {.is_changed = is_the_path, .ctx = path};
    assert_ok(bridge_keys_renew(&keys, &how, &news));
    assert_ptr_not_equal(keys.of[0].tls, held);
    assert_ptr_equal(keys.of[0].tls, keys.of[1].tls);
    assert_logged("The certificates and keys of connection one (m.conf:2) were read anew.");
    assert_logged("The certificates and keys of connection two (m.conf:6) were read anew.");
    assert_not_logged("connection three");
    tls_ctx_unref(held);
    bridge_keys_clear(&keys);
    conf_free(c);
}

/* Of changed files a context is made anew; of bad ones it is not. */
static void is_renewed(void **state)
{
    (void)state;
    char text[CONF_MAX];
    char path[CERTS_PATH_MAX];
    char bad[CERTS_PATH_MAX];
    struct bridge_keys keys;
    (void)certs_write(files.directory, "changing.pem", &files.ca.x, 1, path);
    struct conf *c = loaded(encrypted(text, "localhost", 8883, path));
    assert_ok(bridge_keys_make(c, &how, &keys));
    const struct tls_ctx *first = keys.of[0].tls;
    struct bridge_keys_news other = {.is_changed = is_the_path, .ctx = files.ca_path};
    struct bridge_keys_news news = {.is_changed = is_the_path, .ctx = path};
    assert_ok(bridge_keys_renew(&keys, &how, &other));
    assert_ptr_equal(keys.of[0].tls, first);
    (void)certs_write_text(files.directory, "changing.pem", "nothing", bad);
    assert_ok(bridge_keys_renew(&keys, &how, &news));
    assert_ptr_equal(keys.of[0].tls, first);
    assert_logged("Error: connection up (m.conf:2): bridge_cafile");
    assert_logged("Error: The former certificates and keys of connection up (m.conf:2) stay in");
    struct tls_ctx *held = tls_ctx_ref(keys.of[0].tls); /* so that no other has its address */
    (void)certs_write(files.directory, "changing.pem", &files.stranger.x, 1, path);
    assert_ok(bridge_keys_renew(&keys, &how, &news));
    assert_ptr_not_equal(keys.of[0].tls, first);
    assert_logged("The certificates and keys of connection up (m.conf:2) were read anew.");
    tls_ctx_unref(held);
    bridge_keys_clear(&keys);
    conf_free(c);
}

/* A certificate of ours that is not valid yet does not take the place of one that is. */
static void waits_for_its_time(void **state)
{
    (void)state;
    char text[CONF_MAX];
    char cert[CERTS_PATH_MAX];
    char key[CERTS_PATH_MAX];
    struct bridge_keys keys;
    const int64_t now_s = (int64_t)time(NULL);
    const struct bridge_keys_how today = {.log = &captured_log, .now_s = now_s};
    struct certs_pair early = certs_make(
        &(struct certs_wish){.cn = "early", .issuer = &files.ca, .from_days = 2, .until_days = 60});
    (void)certs_write(files.directory, "own.pem", &files.server.x, 1, cert);
    (void)certs_write_key(files.directory, "own.key", files.server.key, NULL, key);
    (void)snprintf(text, sizeof(text),
                   "listener 1883\nconnection up\naddress localhost\nbridge_cafile %s\n"
                   "bridge_certfile %s\nbridge_keyfile %s\ntopic #\n",
                   files.ca_path, cert, key);
    struct conf *c = loaded(text);
    assert_ok(bridge_keys_make(c, &today, &keys));
    const struct tls_ctx *first = keys.of[0].tls;
    (void)certs_write(files.directory, "own.pem", &early.x, 1, cert);
    (void)certs_write_key(files.directory, "own.key", early.key, NULL, key);
    struct bridge_keys_news news = {.is_changed = is_the_path, .ctx = cert};
    assert_ok(bridge_keys_renew(&keys, &today, &news));
    assert_ptr_equal(keys.of[0].tls, first);
    assert_logged("Error: connection up (m.conf:2): bridge_certfile");
    assert_true(news.early_s > 86400 && news.early_s <= 2 * 86400);
    bridge_keys_clear(&keys);
    conf_free(c);
    certs_free(&early);
}

static void survives_failing_memory(void **state)
{
    (void)state;
    unit_needs_tracking();
    char text[CONF_MAX];
    struct conf *c = loaded(encrypted(text, "localhost", 8883, files.ca_path));
    enum err e = ERR_NOMEM;
    for (uint64_t n = 0; e != ERR_OK; n++) {
        struct bridge_keys keys;
        mem_fail_after(n, false);
        e = bridge_keys_make(c, &how, &keys);
        mem_fail_never();
        assert_true(e == ERR_OK || e == ERR_NOMEM);
        assert_int_equal(keys.count, e == ERR_OK ? 1 : 0);
        bridge_keys_clear(&keys);
    }
    conf_free(c);
}

/* --- handshakes --- */

struct far {
    struct tls_ctx *ctx;
    struct tcp tcp;
    struct transport *tls;
};

static void far_accept(struct far *f, int listener)
{
    const struct tls_settings s = {.certfile = files.cert_path, .keyfile = files.key_path};
    char why[TLS_WHY_MAX];
    assert_ok(tls_ctx_new(&s, &f->ctx, why));
    tcp_init(&f->tcp, accepted(listener));
    f->tls = tls_accept(f->ctx, &f->tcp.base, NULL);
    assert_non_null(f->tls);
}

/* Turns until it is done, or has failed. */
static enum err far_shake(struct far *f, struct rig *r)
{
    enum err e = ERR_AGAIN;
    for (int i = 0; i < 1000 && e == ERR_AGAIN; i++) {
        e = transport_step(f->tls);
        turn(r);
    }
    return e;
}

static void far_close(struct far *f)
{
    transport_close(f->tls);
    tls_ctx_unref(f->ctx);
}

static void speaks_tls(void **state)
{
    (void)state;
    struct rig r;
    struct far f;
    char text[CONF_MAX];
    uint16_t port;
    int listener = listening(&port);
    rig_init(&r, encrypted(text, "127.0.0.1", port, files.ca_path));
    await_links(&r, LINK_DIALLING, 1);
    far_accept(&f, listener);
    assert_ok(far_shake(&f, &r));
    await_links(&r, LINK_LIVE, 1);
    assert_int_equal(r.links.encrypted, 1);
    assert_logged("Bridge up negotiated TLSv1.3");
    uint8_t got[512];
    ssize_t n = -EAGAIN;
    for (int i = 0; i < 1000 && n == -EAGAIN; i++) {
        n = transport_read(f.tls, got, sizeof(got));
        turn(&r);
    }
    assert_true(n > 0);
    assert_int_equal(got[0], 0x10); /* CONNECT */
    const struct iovec connack = {.iov_base = (void *)(uintptr_t) "\x20\x02\x00\x00", .iov_len = 4};
    assert_int_equal(transport_writev(f.tls, &connack, 1), 4);
    await_log(&r, "Bridge up connected");
    far_close(&f);
    await_log(&r, "Bridge up disconnected");
    assert_int_equal(r.links.encrypted, 0);
    (void)close(listener);
    rig_clear(&r);
}

static void trusts_nobody_else(void **state)
{
    (void)state;
    struct rig r;
    struct far f;
    char text[CONF_MAX];
    uint16_t port;
    int listener = listening(&port);
    rig_init(&r, encrypted(text, "127.0.0.1", port, files.stranger_path));
    await_links(&r, LINK_DIALLING, 1);
    far_accept(&f, listener);
    assert_int_not_equal(far_shake(&f, &r), ERR_OK);
    await_log(&r, "TLS handshake failed: ");
    assert_int_equal(count_links(&r, LINK_DIALLING), 0);
    assert_int_equal(count_links(&r, LINK_LIVE), 0);
    far_close(&f);
    (void)close(listener);
    rig_clear(&r);
}

/* A peer that accepts and says nothing. */
static void waits_ten_seconds(void **state)
{
    (void)state;
    struct rig r;
    char text[CONF_MAX];
    uint16_t port;
    int listener = listening(&port);
    rig_init(&r, encrypted(text, "127.0.0.1", port, files.ca_path));
    await_links(&r, LINK_DIALLING, 1);
    int fd = accepted(listener);
    assert_int_equal(hear_first(&r, fd), 0x16); /* ClientHello */
    uint64_t begun_ms = r.now_ms;
    assert_true(dials_deadline(r.dials) > r.now_ms);
    r.now_ms = begun_ms + 9000;
    turns(&r, 10);
    assert_int_equal(count_links(&r, LINK_DIALLING), 1);
    r.now_ms = begun_ms + 10000;
    turns(&r, 2);
    assert_int_equal(count_links(&r, LINK_DIALLING), 0);
    assert_logged("no TLS handshake within 10 s");
    expect_end(&r, fd);
    (void)close(fd);
    (void)close(listener);
    rig_clear(&r);
}

/* … and one that goes away instead. */
static void ends_in_the_middle(void **state)
{
    (void)state;
    struct rig r;
    char text[CONF_MAX];
    uint16_t port;
    int listener = listening(&port);
    rig_init(&r, encrypted(text, "127.0.0.1", port, files.ca_path));
    await_links(&r, LINK_DIALLING, 1);
    int fd = accepted(listener);
    assert_int_equal(hear_first(&r, fd), 0x16);
    (void)close(fd);
    await_log(&r, "TLS handshake failed: ");
    assert_int_equal(count_links(&r, LINK_DIALLING), 0);
    (void)close(listener);
    rig_clear(&r);
}

/* What a reload has taken away while it was on its way. */
static void has_lost_its_keys(void **state)
{
    (void)state;
    struct rig r;
    char text[CONF_MAX];
    uint16_t port;
    int listener = listening(&port);
    rig_init(&r, encrypted(text, "127.0.0.1", port, files.ca_path));
    bridge_keys_clear(&r.keys);
    await_log(&r, "its TLS settings are not in force any more");
    assert_int_equal(count_links(&r, LINK_DIALLING), 0);
    (void)close(listener);
    rig_clear(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(names_what_is_wrong),
        UNIT_TEST(makes_none_without_tls),
        UNIT_TEST(is_found_by_what_it_says),
        UNIT_TEST(is_renewed),
        UNIT_TEST(is_shared),
        UNIT_TEST(waits_for_its_time),
        UNIT_TEST(survives_failing_memory),
        UNIT_TEST(speaks_tls),
        UNIT_TEST(trusts_nobody_else),
        UNIT_TEST(waits_ten_seconds),
        UNIT_TEST(ends_in_the_middle),
        UNIT_TEST(has_lost_its_keys),
    };
    return cmocka_run_group_tests_name("bridge_keys", tests, make_files, remove_files);
}
