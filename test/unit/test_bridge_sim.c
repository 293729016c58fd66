/*
 * What the simulator of bridges has found, each in its smallest form.
 */
#include "mqtt/decode.h"
#include "unit/rig.h"
#include "unit/unit.h"

#include <stdio.h>
#include <string.h>

struct world {
    struct rig rig;
    struct conf *conf;
    struct rig_client remote;
};

static void begin(struct world *w, const char *lines)
{
    const struct log quiet = {0};
    const struct conf_args args = {.file = "bridge.conf", .hostname = "here"};
    char text[400];

    memset(w, 0, sizeof(*w));
    (void)snprintf(text, sizeof(text),
                   "connection up\naddress remote.example\nnotifications false\n"
                   "keepalive_interval 10\nrestart_timeout 1\n%s",
                   lines);
    assert_int_equal(conf_load_text(&args, str_c(text), &quiet, &w->conf), ERR_OK);
    rig_setup(&w->rig);
    w->rig.conf.global.log_type = LOG_LEVEL_DEFAULT;
    w->rig.conf.bridges = w->conf->bridges;
    w->rig.conf.bridge_count = w->conf->bridge_count;
    rig_start(&w->rig);
    rig_turn(&w->rig);
}

static void end(struct world *w)
{
    rig_forget(&w->remote);
    rig_end(&w->rig);
    conf_free(w->conf);
}

/* The next connection of the bridge, perhaps after a pause: does its CONNECT say that it is one? */
static bool says_bridge(struct world *w)
{
    struct packet_connect p;
    struct frame f;

    rig_forget(&w->remote);
    if (!rig_dial(&w->rig, &w->remote)) {
        rig_pass(&w->rig, 1100);
        assert_true(rig_dial(&w->rig, &w->remote));
    }
    rig_settle(&w->rig);
    assert_true(rig_next(&w->remote, &f));
    assert_int_equal(decode_connect(&f, &p), REASON_OK);
    return p.bridge;
}

static void accept(struct world *w, bool present)
{
    const uint8_t packet[] = {PACKET_CONNACK << 4, 2, present, 0};

    rig_send(&w->remote, packet, sizeof(packet));
    rig_settle(&w->rig);
    (void)rig_drain(&w->remote);
}

/* … and the broker's name is asked for, and the request answered. */
static void accept_and_answer(struct world *w)
{
    const uint8_t packet[] = {PACKET_CONNACK << 4, 2, 0, 0};
    uint8_t answer[] = {PACKET_SUBACK << 4, 3, 0, 0, 0};
    struct frame f;

    rig_send(&w->remote, packet, sizeof(packet));
    rig_settle(&w->rig);
    assert_true(rig_next(&w->remote, &f));
    assert_int_equal(frame_type(&f), PACKET_SUBSCRIBE);
    memcpy(answer + 2, f.body.p, 2);
    rig_send(&w->remote, answer, sizeof(answer));
    rig_settle(&w->rig);
}

static void expect_ping(struct world *w)
{
    struct frame f;

    rig_settle(&w->rig);
    assert_true(rig_next(&w->remote, &f));
    assert_int_equal(frame_type(&f), PACKET_PINGREQ);
}

static void hang_up(struct world *w)
{
    rig_close(&w->remote);
    rig_settle(&w->rig);
}

/* The loop may look at its timers a little later than they are due. */
static void an_answered_ping_is_no_silence_when_the_loop_is_late(void **state)
{
    struct world w;

    (void)state;
    begin(&w, "topic a out\n");
    (void)says_bridge(&w);
    accept(&w, false);
    for (int i = 0; i < 5; i++) {
        rig_pass(&w.rig, 10300);
        expect_ping(&w);
        rig_send_empty(&w.remote, PACKET_PINGRESP);
        rig_settle(&w.rig);
    }
    rig_pass(&w.rig, 10300);
    expect_ping(&w);
    rig_pass(&w.rig, 10300);
    rig_settle(&w.rig);
    rig_expect_closed(&w.remote);
    end(&w);
}

/* Else two bridges between the same brokers would not know each other, and send messages round. */
static void who_knows_of_bridges_is_not_suspected_at_once(void **state)
{
    struct world w;

    (void)state;
    begin(&w, "topic a out\n");
    assert_true(says_bridge(&w));
    accept(&w, false);
    hang_up(&w);
    for (int i = 0; i < 3; i++) {
        assert_true(says_bridge(&w));
        hang_up(&w);
    }
    assert_false(says_bridge(&w));
    end(&w);
}

static void a_mere_close_is_no_proof(void **state)
{
    struct world w;

    (void)state;
    begin(&w, "topic a out\n");
    assert_true(says_bridge(&w));
    hang_up(&w);
    assert_false(says_bridge(&w));
    accept_and_answer(&w);
    hang_up(&w);
    assert_true(says_bridge(&w));
    end(&w);
}

/* 3.1 has no session present: what was begun at QoS 2 must not be taken for new each time. */
static void in_3_1_inbound_qos2_goes_on(void **state)
{
    const struct packet_publish again = {
        .topic = STR("a"), .payload = STR("once"), .id = 5, .qos = QOS_2, .dup = true};
    struct world w;
    struct rig_client c;

    (void)state;
    begin(&w, "topic a in 2\nbridge_protocol_version mqttv31\n");
    rig_connect(&w.rig, &c, "c", true);
    rig_subscribe(&c, "#", QOS_2);
    (void)says_bridge(&w);
    accept(&w, false);
    rig_publish(&w.remote, "a", "once", QOS_2, 5);
    rig_settle(&w.rig);
    assert_int_equal(rig_drain(&c), 1);
    hang_up(&w);
    (void)says_bridge(&w);
    accept(&w, false);
    rig_send_publish(&w.remote, &again);
    rig_settle(&w.rig);
    assert_int_equal(rig_expect(&w.remote, PACKET_PUBREC), 5);
    assert_int_equal(rig_drain(&c), 0);
    rig_forget(&c);
    end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_answered_ping_is_no_silence_when_the_loop_is_late),
        cmocka_unit_test(who_knows_of_bridges_is_not_suspected_at_once),
        cmocka_unit_test(a_mere_close_is_no_proof),
        cmocka_unit_test(in_3_1_inbound_qos2_goes_on),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
