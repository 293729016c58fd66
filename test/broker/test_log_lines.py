"""Log lines that scripts and people know by heart, and one line that says why for each failure."""

import re

import pytest
from mqtt_wire import (
    BYE, CONNACK, PING, PINGRESP, PUBCOMP, PUBLISH, PUBREC, connect, packet, publish, puback, pubrel,
    subscribe, unsubscribe,
)

pytestmark = pytest.mark.ours


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


ENDS = {
    "closed": (lambda broker, client, name: client.close(), "connection closed by client"),
    "takeover": (lambda broker, client, name: broker.connect(name), "session taken over"),
    "second CONNECT": (lambda broker, client, name: client.send(connect(name)), "protocol error"),
    "wildcard in PUBLISH": (lambda broker, client, name: client.send(publish("#", "x")), "malformed|protocol|topic"),
    "QoS 3": (lambda broker, client, name: client.send(publish("a", "x", 3, 1)), "malformed|protocol|QoS"),
    "not UTF-8": (lambda broker, client, name: client.send(publish(b"\xff", "x")), "malformed|protocol|UTF-8"),
    "bad flags": (lambda broker, client, name: client.send(b"\xc1\x00"), "malformed|protocol|flags"),
    "oversize": (lambda broker, client, name: client.send(b"\x30\x81\x89\x7a"), "oversize packet|max_packet_size"),
}


@pytest.mark.parametrize("end", ENDS)
def test_the_reason_is_in_the_line(broker, name, end):
    """One line, with client, address and port, and reason."""
    action, reason = ENDS[end]
    client = broker.connect(name)
    since = len(broker.log.lines)
    port = client.address[1]
    action(broker, client, name)
    line = broker.log.wait(rf"Client {name} \[127\.0\.0\.1:{port}\] disconnected: .+\.$", since)
    assert re.search(rf"disconnected: .*({reason})", line), line
    broker.answers()
    assert len(broker.log.find(rf"\b{name}\b.*disconnected", since)) == 1


def test_the_reason_of_a_timeout(broker, name):
    client = broker.connect(name, keepalive=1)
    since = len(broker.log.lines)
    client.expect_closed()
    broker.log.wait(rf"Client {name} \[127\.0\.0\.1:{client.address[1]}\] disconnected: exceeded timeout\.$", since)


def test_refused_clients_are_named(brokers, broker, name):
    closed = brokers.get("allow_anonymous false")
    for place, raw, code, reason in [
        (closed, connect(name), 5, "not authorised"),
        (broker, connect("", clean=False), 2, "identifier"),
        (broker, connect(name, name="MQTT", level=9), 1, "version"),
    ]:
        since = len(place.log.lines)
        client = place.client()
        client.send(raw)
        client.expect(CONNACK, code=code)
        client.expect_closed()
        line = place.log.wait(rf"127\.0\.0\.1:{client.address[1]}\b.*{reason}", since)
        assert "disconnected" in line or "refused" in line or "denied" in line, line


@pytest.mark.parametrize("raw", [packet(1, 0, b"\0\4MQTT\4\3\0\0\0\1a"), publish("a", "x"), b"GET / HTTP/1.0\r\n"])
def test_peers_that_never_had_a_name_are_named_by_address(broker, raw):
    since = len(broker.log.lines)
    client = broker.client()
    client.send(raw)
    client.expect_closed()
    broker.log.wait(rf"127\.0\.0\.1:{client.address[1]}\b.* disconnected: .+\.$", since)


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
