"""Packets as bytes: any split, every flag, every length, every packet type out of its place."""

import random

import pytest
from mqtt_wire import (
    BYE, CONNACK, Closed, DISCONNECT, NAMES, PING, PINGREQ, PINGRESP, PUBACK, PUBCOMP, PUBLISH, PUBREC,
    PUBREL, SUBACK, SUBSCRIBE, UNSUBACK, UNSUBSCRIBE, connect, field, packet, puback, pubcomp,
    publish, pubrec, pubrel, remaining_length, subscribe, u16, unsubscribe,
)


def conversation(name):
    """A stream with every packet type that a client sends, and what must come back."""
    raw = b"".join([
        connect(name, will={"topic": name + "/w", "payload": "w", "qos": 1}, username="u"),
        subscribe(1, (name + "/+", 2), (name + "/b", 0)),
        publish(name + "/a", "zero"),
        publish(name + "/q", "x" * 300, 2, 7),
        pubrel(7),
        publish("elsewhere/" + name, "one", 1, 8),
        puback(999),
        unsubscribe(2, name + "/+", "nothing"),
        PING,
        BYE,
    ])
    return raw, sorted([
        CONNACK, SUBACK, PUBLISH, PUBLISH, PUBREC, PUBCOMP, PUBACK, UNSUBACK, PINGRESP,
    ])


def drain(client):
    """All packets until the server closes, which it does after DISCONNECT."""
    got = []
    while True:
        try:
            got.append(client.recv())
        except Closed:
            return got


def test_one_byte_at_a_time(broker, name):
    raw, expected = conversation(name)
    client = broker.client()
    client.send_slowly(raw)
    assert sorted(p.kind for p in drain(client)) == expected


def test_everything_in_one_segment(broker, name):
    raw, expected = conversation(name)
    client = broker.client()
    client.send(raw)
    got = drain(client)
    assert sorted(p.kind for p in got) == expected
    assert got[0].kind == CONNACK


@pytest.mark.parametrize("seed", range(8))
def test_random_splits(broker, name, seed):
    rng = random.Random(seed)
    raw, expected = conversation(name)
    client = broker.client()
    while raw:
        size = min(len(raw), rng.choice([1, 2, 3, 5, 17, 64, 200]))
        client.send(raw[:size])
        raw = raw[size:]
    assert sorted(p.kind for p in drain(client)) == expected


def test_thousands_of_packets_in_few_segments(broker, name):
    client = broker.connect()
    client.subscribe(name)
    client.send(b"".join(publish(name, str(i)) for i in range(5000)), PING)
    for i in range(5000):
        client.expect(PUBLISH, payload=str(i))
    client.expect(PINGRESP)


@pytest.mark.parametrize("size", [0, 1, 100, 127, 128, 129, 16383, 16384, 65536, 1 << 20])
def test_payload_sizes_around_each_length_of_the_length(broker, name, size):
    payload = random.Random(size).randbytes(size)
    client = broker.connect()
    client.subscribe(name)
    client.send(publish(name, payload))
    client.take(name, payload)
    overhead = 2 + len(name)
    if size > overhead:
        client.send(publish(name, payload[overhead:]))
        client.take(name, payload[overhead:])


def test_a_length_may_be_written_with_padding(broker, name):
    """The standard fixes the most bytes of a length, not the fewest: 0x81 0x00 is 1 too."""
    client = broker.connect(name)
    client.subscribe(name)
    body = field(name) + b"x"
    assert len(body) < 128
    client.send(bytes([PUBLISH << 4, 0x80 | len(body), 0x00]) + body)
    client.take(name, "x")


@pytest.mark.statements("MQTT-4.8.0-1")
@pytest.mark.parametrize("first", [0x30, 0x10, 0x82, 0xC0])
def test_a_length_of_five_bytes_closes(broker, first):
    client = broker.connect()
    client.send_if_open(bytes([first, 0xFF, 0xFF, 0xFF, 0xFF, 0x01]))
    client.expect_closed()


# --- flags and reserved types -----------------------------------------------------------------

VALID = {
    PUBACK: puback(1), PUBREC: pubrec(1), PUBREL: pubrel(1), PUBCOMP: pubcomp(1),
    SUBSCRIBE: subscribe(1, ("flags/test", 0)), UNSUBSCRIBE: unsubscribe(1, "flags/test"),
    PINGREQ: PING, DISCONNECT: BYE,
}

@pytest.mark.statements("MQTT-2.2.2-1", "MQTT-2.2.2-2", "MQTT-3.6.1-1", "MQTT-3.8.1-1", "MQTT-3.10.1-1",
                        "MQTT-3.14.1-1", "MQTT-4.8.0-1")
@pytest.mark.parametrize("kind", VALID, ids=NAMES.get)
def test_wrong_flags_close(broker, name, kind):
    """Also DISCONNECT: with wrong flags it is none, so the will is published."""
    watcher = broker.connect()
    watcher.subscribe(name)
    for flags in set(range(16)) - {VALID[kind][0] & 15}:
        client = broker.connect(name + "x", will={"topic": name, "payload": "will"})
        client.send(bytes([kind << 4 | flags]) + VALID[kind][1:])
        client.expect_closed()
        watcher.take(name, "will")


@pytest.mark.parametrize("kind", [PUBREL, SUBSCRIBE, UNSUBSCRIBE])
def test_mqtt_31_clients_may_set_dup(broker, name, kind):
    """MQTT 3.1 has DUP for these packets."""
    client = broker.connect(name, level=3)
    client.send(bytes([kind << 4 | 0x0A]) + VALID[kind][1:])
    client.expect({PUBREL: PUBCOMP, SUBSCRIBE: SUBACK, UNSUBSCRIBE: UNSUBACK}[kind], mid=1)


@pytest.mark.statements("MQTT-4.8.0-1")
@pytest.mark.parametrize("kind", [0, 15])
@pytest.mark.parametrize("body", [b"", b"\0\1"])
def test_reserved_packet_types_close(broker, kind, body):
    client = broker.connect()
    client.send(packet(kind, 0, body))
    client.expect_closed()


SERVER_ONLY = [
    packet(CONNACK, 0, b"\0\0"), packet(SUBACK, 0, b"\0\1\0"), packet(UNSUBACK, 0, b"\0\1"),
    packet(PINGRESP, 0),
]


@pytest.mark.statements("MQTT-4.8.0-1")
@pytest.mark.parametrize("raw", SERVER_ONLY)
def test_packets_that_only_a_server_sends_close(broker, raw):
    client = broker.connect()
    client.send(raw)
    client.expect_closed()


@pytest.mark.statements("MQTT-3.1.0-1", "MQTT-4.8.0-1")
@pytest.mark.parametrize(
    "raw", [*VALID.values(), *SERVER_ONLY, publish("a", "x"), publish("a", "x", 1, 1),
            packet(0, 0), packet(15, 0), b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\x00\x01"],
)
def test_the_first_packet_must_be_connect(broker, raw):
    client = broker.client()
    client.send(raw)
    client.expect_closed()
    broker.answers()


# --- lengths that do not fit ------------------------------------------------------------------


@pytest.mark.statements("MQTT-4.8.0-1", "MQTT-2.3.1-1")
@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(packet(kind, flags, body), id=f"type{kind}-{label}")
        for kind, flags, body, label in [
            *[(k, 2 if k == PUBREL else 0, b, label)
              for k in (PUBACK, PUBREC, PUBREL, PUBCOMP)
              for b, label in [(b"", "empty"), (b"\0", "one byte"), (b"\0\1\0", "three bytes")]],
            (SUBSCRIBE, 2, b"", "empty"), (SUBSCRIBE, 2, b"\0", "half an id"),
            (SUBSCRIBE, 2, u16(1) + b"\0", "half a length"),
            (SUBSCRIBE, 2, u16(1) + field("abc"), "no QoS"),
            (SUBSCRIBE, 2, u16(1) + b"\0\5abc\0", "filter too long"),
            (SUBSCRIBE, 2, u16(1) + field("abc") + b"\0" + field("d"), "second without QoS"),
            (SUBSCRIBE, 2, u16(1) + field("abc") + b"\0\0", "surplus byte"),
            (UNSUBSCRIBE, 2, b"", "empty"), (UNSUBSCRIBE, 2, b"\0", "half an id"),
            (UNSUBSCRIBE, 2, u16(1) + b"\0", "half a length"),
            (UNSUBSCRIBE, 2, u16(1) + b"\0\5abc", "filter too long"),
            (UNSUBSCRIBE, 2, u16(1) + field("abc") + b"\0", "surplus byte"),
            (PINGREQ, 0, b"\0", "surplus byte"), (DISCONNECT, 0, b"\0", "surplus byte"),
            (PUBLISH, 0, b"", "empty"), (PUBLISH, 0, b"\0", "half a length"),
            (PUBLISH, 0, b"\0\5abc", "topic too long"),
            (PUBLISH, 2, field("abc"), "no id"), (PUBLISH, 2, field("abc") + b"\0", "half an id"),
            (PUBLISH, 4, field("abc"), "no id"),
        ]
    ],
)
def test_lengths_that_do_not_fit_close(broker, name, raw):
    watcher = broker.connect()
    watcher.subscribe(name)
    client = broker.connect(name + "x", will={"topic": name, "payload": "will"})
    client.send(raw)
    client.expect_closed()
    watcher.take(name, "will")


@pytest.mark.statements("MQTT-2.3.1-1", "MQTT-4.8.0-1")
@pytest.mark.parametrize(
    "raw",
    [publish("a", "x", 1, 0), publish("a", "x", 2, 0), subscribe(0, ("a", 0)), unsubscribe(0, "a"),
     puback(0), pubrec(0), pubrel(0), pubcomp(0)],
)
def test_packet_identifier_0_closes(broker, raw):
    client = broker.connect()
    client.send(raw)
    client.expect_closed()


@pytest.mark.statements("MQTT-2.2.2-1", "MQTT-2.3.1-6", "MQTT-2.3.1-7")
@pytest.mark.parametrize("mid", [1, 255, 256, 0x1234, 32768, 65535])
def test_answers_carry_the_identifier_of_the_question(broker, name, mid):
    """Seen as raw bytes, flags included."""
    client = broker.connect(name)
    for question, answer in [
        (subscribe(mid, ("other/" + name, 0)), b"\x90\x03" + u16(mid) + b"\0"),
        (publish(name, "x", 1, mid), b"\x40\x02" + u16(mid)),
        (publish(name, "x", 2, mid), b"\x50\x02" + u16(mid)),
        (pubrel(mid), b"\x70\x02" + u16(mid)),
        (pubrec(mid), b"\x62\x02" + u16(mid)),
        (unsubscribe(mid, "other/" + name), b"\xb0\x02" + u16(mid)),
        (PING, b"\xd0\x00"),
    ]:
        client.send(question)
        assert client.expect_half(len(answer)) == answer


@pytest.mark.statements("MQTT-3.12.4-1")
def test_every_pingreq_is_answered(broker):
    client = broker.connect()
    client.send(PING * 100)
    for _ in range(100):
        client.expect(PINGRESP)
    client.quiet()


@pytest.mark.parametrize("size", [1 << 16, 1 << 20, 1_990_000])
def test_a_large_packet_in_pieces_between_others(broker, name, size):
    client = broker.connect()
    client.subscribe(name)
    raw = PING + publish(name, b"z" * size) + PING
    for start in range(0, len(raw), 40_000):
        client.send(raw[start : start + 40_000])
    client.expect(PINGRESP)
    client.take(name, b"z" * size)
    client.expect(PINGRESP)


def test_bytes_before_the_loss_count(broker, name):
    """What was sent whole before the connection broke is processed, the half packet is not."""
    watcher = broker.connect()
    watcher.subscribe(name)
    client = broker.connect()
    client.send(publish(name, "whole"), publish(name, "half")[:-1])
    client.close()
    watcher.take(name, "whole")
    watcher.quiet()


def test_remaining_length_in_this_module_is_right():
    """The tests' own encoder against the table of section 2.2.3."""
    assert remaining_length(127) == b"\x7f" and remaining_length(128) == b"\x80\x01"
    assert remaining_length(16383) == b"\xff\x7f" and remaining_length(16384) == b"\x80\x80\x01"
    assert remaining_length(268435455) == b"\xff\xff\xff\x7f"
