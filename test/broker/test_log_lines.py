"""Log lines that scripts and people know by heart.

Why a connection ended, or a message was denied or dropped, is in test_log_reasons.py.
"""

import re

import pytest
from mqtt_wire import (
    BYE, CONNACK, PING, PINGRESP, PUBCOMP, PUBLISH, PUBREC, connect, packet, publish, puback, pubrel,
    subscribe, unsubscribe,
)

pytestmark = pytest.mark.ours


@pytest.fixture
def broker(brokers):
    """Not shared with other tests: what those do wrong in the same second would count as one flood with ours."""
    return brokers.get("connection_messages true")


def messages(lines):
    """Without the time stamps, which every line has."""
    out = []
    for line in lines:
        stamp, _, text = line.partition(": ")
        assert stamp.isdigit(), line
        out.append(text)
    return out


def in_order(lines, expected):
    """Each expected line is there, and after the one before it."""
    position = 0
    for text in expected:
        assert text in lines[position:], f"missing after {position}: {text!r} in\n" + "\n".join(lines)
        position = lines.index(text, position) + 1


def test_the_start(broker):
    broker.log.wait("running$")
    lines = messages(broker.log.lines)
    assert re.fullmatch(r"mosquitto version \S+ starting", lines[0])
    in_order(lines, [
        f"Config loaded from {broker.config}.",
        f"Opening ipv4 listen socket on port {broker.port}.",
    ])


def test_a_whole_connection(broker, name):
    since = len(broker.log.lines)
    client = broker.client()
    client.send(connect(name, keepalive=77))
    client.expect(CONNACK)
    client.send(
        subscribe(1, (name + "/t", 2), (name + "/u/#", 0)), publish(name + "/t", "hello"),
        publish(name + "/n", "hello", 1, 3), publish(name + "/n", "hello", 2, 4), pubrel(4),
        publish(name + "/n", "", 1, 5, retain=True, dup=True), unsubscribe(2, name + "/u/#"), PING,
    )
    while client.recv().kind != PINGRESP:
        pass
    client.disconnect()
    broker.log.wait(rf"Client {name} disconnected\.$", since)
    in_order(messages(broker.log.lines[since:]), [
        f"New connection from 127.0.0.1 on port {broker.port}.",
        f"New client connected from 127.0.0.1 as {name} (c1, k77).",
        "No will message specified.",
        f"Sending CONNACK to {name} (0, 0)",
        f"Received SUBSCRIBE from {name}",
        f"\t{name}/t (QoS 2)",
        f"{name} 2 {name}/t",
        f"\t{name}/u/# (QoS 0)",
        f"{name} 0 {name}/u/#",
        f"Sending SUBACK to {name}",
        f"Received PUBLISH from {name} (d0, q0, r0, m0, '{name}/t', ... (5 bytes))",
        f"Sending PUBLISH to {name} (d0, q0, r0, m0, '{name}/t', ... (5 bytes))",
        f"Received PUBLISH from {name} (d0, q1, r0, m3, '{name}/n', ... (5 bytes))",
        f"Sending PUBACK to {name} (Mid: 3)",
        f"Received PUBLISH from {name} (d0, q2, r0, m4, '{name}/n', ... (5 bytes))",
        f"Sending PUBREC to {name} (Mid: 4)",
        f"Received PUBREL from {name} (Mid: 4)",
        f"Sending PUBCOMP to {name} (Mid: 4)",
        f"Received PUBLISH from {name} (d1, q1, r1, m5, '{name}/n', ... (0 bytes))",
        f"Sending PUBACK to {name} (Mid: 5)",
        f"Received UNSUBSCRIBE from {name}",
        f"\t{name}/u/#",
        f"{name} {name}/u/#",
        f"Sending UNSUBACK to {name}",
        f"Received PINGREQ from {name}",
        f"Sending PINGRESP to {name}",
        f"Received DISCONNECT from {name}",
        f"Client {name} disconnected.",
    ])


def test_a_will_and_a_user_name(broker, name):
    since = len(broker.log.lines)
    client = broker.connect(
        name, clean=False, keepalive=5, username="someone",
        will={"topic": name + "/w", "payload": "bye", "qos": 1, "retain": True},
    )
    client.close()
    broker.log.wait(rf"Client {name} ", since)
    in_order(messages(broker.log.lines[since:]), [
        f"New client connected from 127.0.0.1 as {name} (c0, k5, u'someone').",
        "Will message specified (3 bytes) (r1, q1).",
        f"\t{name}/w",
        f"Sending CONNACK to {name} (0, 0)",
    ])


def test_deliveries_and_their_acknowledgements(broker, name):
    reader, writer = broker.connect(name), broker.connect()
    since = len(broker.log.lines)
    reader.subscribe(name, qos=2)
    writer.publish(name, "one", qos=1)
    writer.publish(name, "two", qos=2)
    one, two = reader.expect(PUBLISH), reader.expect(PUBLISH)
    reader.send(puback(one.mid), packet(PUBREC, 0, two.mid.to_bytes(2, "big")))
    reader.recv()
    reader.send(packet(PUBCOMP, 0, two.mid.to_bytes(2, "big")))
    reader.quiet()
    broker.log.wait(f"Sending PINGRESP to {name}", since)
    in_order(messages(broker.log.lines[since:]), [
        f"Sending PUBLISH to {name} (d0, q1, r0, m{one.mid}, '{name}', ... (3 bytes))",
        f"Sending PUBLISH to {name} (d0, q2, r0, m{two.mid}, '{name}', ... (3 bytes))",
        f"Received PUBACK from {name} (Mid: {one.mid})",
        f"Received PUBREC from {name} (Mid: {two.mid})",
        f"Sending PUBREL to {name} (Mid: {two.mid})",
        f"Received PUBCOMP from {name} (Mid: {two.mid})",
    ])


def test_before_an_id_is_known_the_address_stands_for_it(brokers, name):
    broker = brokers.get("allow_anonymous false", "connection_messages true")
    client = broker.client()
    since = len(broker.log.lines)
    client.send(connect(name))
    client.expect(CONNACK, code=5)
    client.expect_closed()
    broker.log.wait(rf"Client {name} ", since)
    assert "Sending CONNACK to 127.0.0.1 (0, 5)" in messages(broker.log.lines[since:])


@pytest.mark.parametrize("kind, word", [(4, "PUBACK"), (5, "PUBREC"), (7, "PUBCOMP")])
def test_an_unknown_packet_identifier(broker, name, kind, word):
    client = broker.connect(name)
    since = len(broker.log.lines)
    client.send(packet(kind, 0, b"\x30\x39"))
    broker.log.wait(rf": Warning: Received {word} from {name} for an unknown packet identifier 12345\.$", since)
    assert f"Received {word} from {name} (Mid: 12345)" in messages(broker.log.lines[since:])


@pytest.mark.parametrize("raw, line", [
    (connect("x", level=9, name="MQTT"), "Invalid protocol version 9 in CONNECT from 127.0.0.1."),
    (connect("x", name="MQTX"), 'Invalid protocol "MQTX" in CONNECT from 127.0.0.1.'),
    (connect("x", name='M"]\n'), 'Invalid protocol "M\\x22\\x5d\\x0a" in CONNECT from 127.0.0.1.'),
    (connect("x") + subscribe(1, ("t", 3)), "Invalid QoS in subscription command from 127.0.0.1, disconnecting."),
])
def test_what_version_1_said_of_invalid_packets(broker, raw, line):
    since = len(broker.log.lines)
    client = broker.client()
    client.send(raw)
    client.expect_closed(allow=(CONNACK,))
    broker.log.wait(rf"\[127\.0\.0\.1:{client.address[1]}\] disconnected: ", since)
    assert line in messages(broker.log.lines[since:])


def test_denied_and_dropped_messages(brokers, name):
    broker = brokers.get("message_size_limit 4")
    client = broker.connect(name)
    since = len(broker.log.lines)
    client.send(publish("$SYS/nope", "x", 1, 1), publish(name, "12345", 0, retain=True))
    client.recv()
    client.quiet()
    broker.log.wait(f"Sending PINGRESP to {name}", since)
    in_order(messages(broker.log.lines[since:]), [
        f"Denied PUBLISH from {name} (d0, q1, r0, m1, '$SYS/nope', ... (1 bytes))",
        f"Sending PUBACK to {name} (Mid: 1)",
        f"Dropped too large PUBLISH from {name} (d0, q0, r1, m0, '{name}', ... (5 bytes))",
    ])


def test_a_bridge_connects(broker, name):
    since = len(broker.log.lines)
    broker.connect(name, level=0x84)
    broker.log.wait(rf"New bridge connected from 127\.0\.0\.1 as {name} \(c1, k60\)\.$", since)


def test_a_log_line_cannot_be_forged(broker, name):
    """Whatever stands in a client id, user name or topic stays within its line."""
    since = len(broker.log.lines)
    for raw in [
        connect(f"{name}\n1: forged {name}"), connect(name, username=f"x\n1: forged {name}"),
        connect(f"{name}\r\x1b[2K1: forged"), connect(name.encode() + b"\xff\xfe"),
        connect(name, will={"topic": f"{name}\n1: forged {name}", "payload": "x"}),
    ]:
        client = broker.client()
        client.send(raw)
        client.expect_closed()
    client = broker.connect(name)
    client.send(publish(f"{name}/\n1: forged {name}", "x"))
    client.expect_closed()
    broker.connect(f"{name}%s%n%s%x")
    broker.log.wait(re.escape(f"{name}%s%n%s%x"), since)
    for line in broker.log.lines[since:]:
        assert re.match(r"\d+: ", line) and "\x1b" not in line, line
        assert not line.startswith("1: forged"), line


def test_the_end(own_broker):
    own_broker.stop()
    assert re.fullmatch(r"\d+: mosquitto version \S+ terminating", own_broker.log.lines[-1])


def test_bye_is_not_an_error(broker, name):
    since = len(broker.log.lines)
    client = broker.client()
    client.send(connect(name), BYE)
    client.expect(CONNACK)
    client.expect_closed()
    broker.log.wait(rf": Client {name} disconnected\.$", since)
    assert not broker.log.find(rf"Client {name} .*disconnected:", since)
