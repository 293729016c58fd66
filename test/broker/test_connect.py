"""CONNECT and CONNACK: what is accepted, what is refused with which code, what is just closed."""

import pytest
from mqtt_wire import (
    BYE, CONNACK, CONNECT, PING, PINGRESP, SUBACK, Closed, connect, field, packet, publish, subscribe,
)

V5_CONNECT = packet(CONNECT, 0, field("MQTT") + b"\x05\x02\x00\x3c\x00" + field("five"))


def refused(broker, raw, code):
    """The answer is exactly one CONNACK with this code, then the end."""
    client = broker.client()
    client.send(raw)
    assert client.expect_half(4) == bytes([0x20, 2, 0, code])
    client.expect_closed()


def closed(broker, raw):
    """No answer at all, only the end; someone else is welcome."""
    client = broker.client()
    client.send_if_open(raw)
    client.expect_closed()
    broker.answers()


@pytest.mark.statements("MQTT-3.1.4-4", "MQTT-3.2.0-1", "MQTT-7.1.1-1")
def test_a_plain_connect_is_acknowledged(broker, name):
    client = broker.client()
    client.send(connect(name))
    assert client.expect_half(4) == b"\x20\x02\x00\x00"
    client.quiet()


@pytest.mark.parametrize("level", [3, 4])
def test_both_protocol_versions_connect(broker, name, level):
    client = broker.connect(name, level=level)
    client.subscribe(name, qos=2)
    client.send(publish(name, "to myself"))
    client.take(name, "to myself")


@pytest.mark.statements("MQTT-3.1.2-1", "MQTT-3.1.4-1", "MQTT-3.2.2-6")
@pytest.mark.parametrize("wrong", ["", "M", "MQTX", "mqtt", "MQTT ", "MQTTMQTT", "MQIsdq", "AMQP"])
def test_another_protocol_name_is_closed(broker, wrong):
    closed(broker, connect("id", name=wrong))


@pytest.mark.statements("MQTT-3.1.2-2", "MQTT-3.2.2-4", "MQTT-3.2.2-5")
@pytest.mark.parametrize("level", [0, 1, 2, 6, 7, 0x24, 0x7F])
def test_an_unknown_level_is_answered_with_code_1(broker, level):
    refused(broker, connect("id", name="MQTT", level=level), 1)


@pytest.mark.ours
@pytest.mark.statements("MQTT-3.1.2-2")
@pytest.mark.parametrize("raw", [V5_CONNECT, connect("id", name="MQTT", level=5)])
def test_mqtt_5_is_answered_with_code_1(broker, raw):
    refused(broker, raw, 1)


@pytest.mark.ours
@pytest.mark.statements("MQTT-3.1.2-2")
@pytest.mark.parametrize("name_and_level", [("MQTT", 3), ("MQIsdp", 4), ("MQIsdp", 5)])
def test_a_level_must_fit_its_name(broker, name_and_level):
    wrong, level = name_and_level
    refused(broker, connect("id", name=wrong, level=level), 1)


@pytest.mark.statements("MQTT-3.1.2-3", "MQTT-3.1.4-1")
def test_the_reserved_connect_flag_is_closed(broker):
    closed(broker, connect("id", flags=0x03))


@pytest.mark.statements(
    "MQTT-3.1.2-11", "MQTT-3.1.2-13", "MQTT-3.1.2-14", "MQTT-3.1.2-15", "MQTT-3.1.2-22",
    "MQTT-3.1.4-1", "MQTT-4.8.0-1",
)
@pytest.mark.parametrize(
    "flags, extra",
    [
        pytest.param(0x02 | 0x08, b"", id="will QoS 1 without will"),
        pytest.param(0x02 | 0x10, b"", id="will QoS 2 without will"),
        pytest.param(0x02 | 0x18, b"", id="will QoS 3 without will"),
        pytest.param(0x02 | 0x20, b"", id="will retain without will"),
        pytest.param(0x02 | 0x04 | 0x18, field("w") + field("x"), id="will QoS 3"),
        pytest.param(0x02 | 0x40, field("secret"), id="password without user name"),
    ],
)
def test_impossible_connect_flags_are_closed(broker, flags, extra):
    closed(broker, connect("id", flags=flags, tail=extra))


@pytest.mark.statements(
    "MQTT-3.1.2-9", "MQTT-3.1.2-11", "MQTT-3.1.2-18", "MQTT-3.1.2-19", "MQTT-3.1.2-20",
    "MQTT-3.1.2-21", "MQTT-3.1.3-1", "MQTT-3.1.3-3", "MQTT-3.1.4-1",
)
@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(connect("id", flags=0x06), id="will without topic and message"),
        pytest.param(connect("id", flags=0x06, tail=field("w")), id="will without message"),
        pytest.param(connect("id", flags=0x82), id="user name is missing"),
        pytest.param(connect("id", flags=0xC2, tail=field("u")), id="password is missing"),
        pytest.param(connect("id", tail=field("w") + field("x")), id="will without its flag"),
        pytest.param(connect("id", tail=field("u")), id="user name without its flag"),
        pytest.param(connect("id", flags=0x82, tail=field("u") + field("p")),
                     id="password without its flag"),
        pytest.param(connect("id", tail=b"\0"), id="one byte too many"),
        pytest.param(packet(CONNECT, 0, b""), id="empty"),
        pytest.param(packet(CONNECT, 0, field("MQTT")), id="name only"),
        pytest.param(packet(CONNECT, 0, field("MQTT") + b"\x04"), id="no flags"),
        pytest.param(packet(CONNECT, 0, field("MQTT") + b"\x04\x02"), id="no keepalive"),
        pytest.param(packet(CONNECT, 0, field("MQTT") + b"\x04\x02\0\0"), id="no client id"),
        pytest.param(packet(CONNECT, 0, field("MQTT") + b"\x04\x02\0\0\0"), id="half a length"),
        pytest.param(packet(CONNECT, 0, field("MQTT") + b"\x04\x02\0\0\0\5abc"),
                     id="client id cut short"),
        pytest.param(packet(CONNECT, 0, b"\0\x05MQTT"), id="name longer than the packet"),
        pytest.param(packet(CONNECT, 0, b"\xff\xffMQTT\x04\x02\0\0\0\0"), id="name of 65535"),
    ],
)
def test_a_connect_whose_payload_does_not_fit_its_flags_is_closed(broker, raw):
    closed(broker, raw)


@pytest.mark.statements("MQTT-2.2.2-2", "MQTT-3.1.4-1")
@pytest.mark.parametrize("flags", [1, 2, 4, 8, 15])
def test_connect_with_header_flags_is_closed(broker, flags):
    raw = connect("id")
    closed(broker, bytes([raw[0] | flags]) + raw[1:])


@pytest.mark.statements("MQTT-3.1.3-1", "MQTT-3.1.2-9", "MQTT-3.1.2-19", "MQTT-3.1.2-21")
def test_all_payload_fields_together(broker, name):
    watcher = broker.connect()
    watcher.subscribe(name)
    client = broker.connect(
        name + "id", will={"topic": name, "payload": "last words"}, username="u", password="p"
    )
    client.close()
    watcher.take(name, "last words")


@pytest.mark.statements("MQTT-3.1.2-21")
def test_passwords_and_wills_are_binary(broker, name):
    watcher = broker.connect()
    watcher.subscribe(name)
    junk = bytes(range(256))
    client = broker.connect(
        name + "id", will={"topic": name, "payload": junk}, username="u", password=junk
    )
    client.close()
    watcher.take(name, junk)


@pytest.mark.statements("MQTT-3.1.3-5")
@pytest.mark.parametrize("length", range(1, 24))
def test_client_ids_of_1_to_23_bytes(broker, length):
    alphabet = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
    for start in range(0, len(alphabet), 23):
        broker.connect((alphabet[start:] + alphabet)[:length])


@pytest.mark.ours
@pytest.mark.parametrize("client_id", ["x" * 24, "x" * 1000, "x" * 65535, "with space/+#-_.:", "日本"])
@pytest.mark.parametrize("level", [3, 4])
def test_other_client_ids_are_allowed_too(broker, client_id, level):
    broker.connect(client_id, level=level)


@pytest.mark.statements("MQTT-3.1.3-6", "MQTT-3.2.2-1")
def test_empty_client_ids_become_unique_ones(broker, name):
    clients = [broker.client() for _ in range(20)]
    for client in clients:
        client.connect("")
    for client in clients:
        client.subscribe(name)
    clients[0].send(publish(name, "all"))
    for client in clients:
        client.take(name, "all")


@pytest.mark.statements("MQTT-3.1.3-8", "MQTT-3.1.3-9", "MQTT-3.2.2-4", "MQTT-3.2.2-5")
def test_an_empty_client_id_with_a_lasting_session_gets_code_2(broker):
    refused(broker, connect("", clean=False), 2)


@pytest.mark.ours
@pytest.mark.parametrize("clean", [True, False])
def test_an_empty_client_id_with_mqtt_31_gets_code_2(broker, clean):
    refused(broker, connect("", level=3, clean=clean), 2)


@pytest.mark.statements("MQTT-3.1.4-5", "MQTT-3.2.2-5")
def test_nothing_is_processed_after_a_rejected_connect(broker, name):
    watcher = broker.connect()
    watcher.subscribe(name + "/#")
    for bad in (connect("", clean=False), connect("id", name="MQTT", level=9),
                connect("id", flags=0x03)):
        client = broker.client()
        client.send(bad, publish(name + "/a", "no"), subscribe(1, (name + "/#", 0)), connect("id"),
                    publish(name + "/b", "no"))
        client.expect_closed(allow=(CONNACK,))
    watcher.quiet()


@pytest.mark.statements("MQTT-3.1.4-5", "MQTT-3.2.2-4")
def test_anonymous_clients_are_refused_with_code_5_when_they_are_not_allowed(brokers):
    broker = brokers.start("allow_anonymous false")
    client = broker.client()
    client.send(connect("id"), publish("a", "no"), subscribe(1, ("a", 0)))
    assert client.expect_half(4) == b"\x20\x02\x00\x05"
    client.expect_closed()


@pytest.mark.statements("MQTT-3.1.0-2", "MQTT-4.8.0-1")
@pytest.mark.parametrize("second", ["same", "other"])
def test_a_second_connect_closes(broker, name, second):
    client = broker.connect(name)
    client.send(connect(name if second == "same" else name + "b"))
    client.expect_closed()


@pytest.mark.statements("MQTT-3.1.0-2")
def test_a_second_connect_in_the_same_segment_closes(broker, name):
    client = broker.client()
    client.send(connect(name), connect(name), PING)
    client.expect(CONNACK)
    client.expect_closed()


@pytest.mark.statements("MQTT-3.2.0-1")
def test_pipelined_packets_are_answered_after_connack(broker, name):
    client = broker.client()
    client.send(
        connect(name), subscribe(1, (name, 1)), publish(name, "one"), PING, publish(name, "two"), PING
    )
    client.expect(CONNACK, code=0)
    client.expect(SUBACK, mid=1)
    client.take(name, "one")
    client.expect(PINGRESP)
    client.take(name, "two")
    client.expect(PINGRESP)


@pytest.mark.statements("MQTT-3.14.4-3")
def test_nothing_after_disconnect_is_processed(broker, name):
    watcher = broker.connect()
    watcher.subscribe(name)
    client = broker.connect(name + "x")
    client.send_if_open(BYE, publish(name, "too late"), PING)
    client.expect_closed()
    watcher.quiet()


@pytest.mark.statements("MQTT-3.2.2-1", "MQTT-3.2.2-2", "MQTT-3.2.2-3", "MQTT-3.1.4-3")
def test_session_present(broker, name):
    for clean, present in [
        (False, False), (False, True), (False, True), (True, False), (False, False), (False, True),
        (True, False), (True, False),
    ]:
        client = broker.connect(name, clean=clean)
        assert client.connack.session_present == present
        client.disconnect()


def test_mqtt_31_has_no_session_present(broker, name):
    """In MQTT 3.1 the first byte of CONNACK is reserved: some clients check that it is 0."""
    for _ in range(3):
        client = broker.client()
        client.send(connect(name, level=3, clean=False))
        assert client.expect_half(4) == b"\x20\x02\x00\x00"
        client.disconnect()


def test_a_session_is_the_same_for_both_protocol_versions(broker, name):
    old = broker.connect(name, level=3, clean=False)
    old.subscribe(name, qos=1)
    old.disconnect()
    broker.connect().publish(name, "for whichever", qos=1)
    new = broker.connect(name, level=4, clean=False)
    assert new.connack.session_present
    new.take(name, "for whichever", qos=1)


@pytest.mark.ours
def test_a_connect_of_more_than_100000_bytes_is_closed(broker, name):
    big = {"topic": "w", "payload": "x" * 65535}
    small = connect(name, will=big, username="u" * 30000, password="p")
    assert len(small) < 100000
    client = broker.client()
    client.send(small)
    client.expect(CONNACK, code=0)
    closed(broker, connect(name + "b", will=big, username="u" * 35000, password="p"))


@pytest.mark.ours
def test_a_will_may_not_go_to_the_brokers_own_topics(broker, name):
    watcher = broker.connect()
    watcher.subscribe("$SYS/mine/#", "$CONTROL/#")
    for topic in ("$SYS/mine/" + name, "$CONTROL/" + name):
        client = broker.client()
        client.send(connect(name, will={"topic": topic, "payload": "x"}))
        try:
            assert client.recv().code != 0
        except Closed:
            continue
        client.expect_closed()
    watcher.quiet()
