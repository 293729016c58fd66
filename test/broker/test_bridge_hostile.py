"""The remote broker is a hostile peer like any other.

Whatever it sends, this broker serves its clients; if it ends the connection it says why, and it comes back.
"""

import socket
import time

import pytest
from mqtt_wire import (
    CONNACK, DISCONNECT, PINGREQ, PINGRESP, PUBACK, PUBCOMP, PUBLISH, PUBREC, PUBREL, SUBACK, SUBSCRIBE, UNSUBACK,
    UNSUBSCRIBE, ack, connect, packet, puback, pubcomp, publish, pubrec, pubrel, subscribe, u16, unsubscribe,
)
from remote_broker import connack, remote, remotes, section, suback  # noqa: F401

TOPICS = ("topic out/# out 2", "topic in/# in 2")
ALL_BYTES = bytes(range(256))

BEFORE_CONNACK = {
    "garbage": ALL_BYTES,
    "another protocol": b"HTTP/1.1 400 Bad Request\r\n\r\n",
    "zeros": bytes(100),
    "a message": publish("in/1", "x"),
    "a message at QoS 1": publish("in/1", "x", 1, 1),
    "a message at QoS 2 that no topic has": publish("in/#", "x", 2, 1),
    "SUBACK": suback(1, 0),
    "PUBACK": puback(1),
    "PINGRESP": packet(PINGRESP, 0),
    "CONNECT": connect("id"),
    "DISCONNECT": packet(DISCONNECT, 0),
    "type 15": packet(15, 0),
    "CONNACK with flags": packet(CONNACK, 1, b"\0\0"),
    "CONNACK with reserved bits": packet(CONNACK, 0, b"\x80\0"),
    "CONNACK that is too short": packet(CONNACK, 0, b"\0"),
    "CONNACK that is too long": packet(CONNACK, 0, b"\0\0\0"),
    "CONNACK of MQTT 5": packet(CONNACK, 0, b"\0\x87\0"),
    "CONNACK 6": connack(6),
    "CONNACK 255": connack(255),
    "CONNACK 1 with a session": connack(5, True),
    "a length without an end": b"\x20\xff\xff\xff\xff\xff",
    "a giant": b"\x20\xff\xff\xff\x7f",
}

AFTER_CONNACK = {
    "another CONNACK": connack(),
    "CONNECT": connect("id"),
    "SUBSCRIBE": subscribe(1, ("#", 0)),
    "UNSUBSCRIBE": unsubscribe(1, "#"),
    "PINGREQ": packet(PINGREQ, 0),
    "DISCONNECT": packet(DISCONNECT, 0),
    "type 0": packet(0, 0),
    "type 15": packet(15, 0),
    "QoS 3": publish("in/1", "x", 3, 1),
    "DUP at QoS 0": publish("in/1", "x", dup=True),
    "packet id 0": publish("in/1", "x", 1, 0),
    "a wildcard and packet id 0": publish("in/#", "x", 1, 0),
    "no topic": packet(PUBLISH, 0, b""),
    "a topic that ends too early": packet(PUBLISH, 0, u16(50) + b"in/1"),
    "a topic that is no UTF-8": publish(b"in/\xff\xfe", "x"),
    "a topic with zero": publish("in/\0", "x"),
    "a giant": b"\x30\xff\xff\xff\x7f" + publish("in/1", "x" * 10000),
    "PUBREL with flags": packet(PUBREL, 0, u16(1)),
    "PUBACK with flags": packet(PUBACK, 2, u16(1)),
    "PUBACK without an id": packet(PUBACK, 0),
    "SUBACK without codes": packet(SUBACK, 0, u16(1)),
    "PINGRESP with a body": packet(PINGRESP, 0, b"x"),
    "a length without an end": b"\x30\xff\xff\xff\xff\xff",
}

TOLERATED = {
    "PUBACK": puback(999),
    "PUBCOMP": pubcomp(999),
    "PUBREC": pubrec(999),
    "PUBREL": pubrel(999),
    "PINGRESP": packet(PINGRESP, 0),
}

EITHER_WAY = {
    "SUBACK": suback(999, 0),
    "SUBACK with many codes": suback(999, *[0] * 1000),
    "UNSUBACK": ack(UNSUBACK, 999),
    "SUBACK with a code that is none": suback(999, 77),
    "UNSUBACK with id 0": ack(UNSUBACK, 0),
}


def cases(table):
    return pytest.mark.parametrize("raw", table.values(), ids=table.keys())


def start(brokers, remote, *lines):
    return brokers.start("max_packet_size 100000", *section(remote, *TOPICS, *lines))


def serves(broker):
    reader, writer = broker.connect(), broker.connect()
    reader.subscribe("local")
    writer.publish("local", "x", qos=1)
    reader.take("local", "x")


def comes_back(broker, remote):
    """Its next connection is as good as any."""
    link = remote.welcome(ins=["in/#"], outs=["out/#"])
    broker.connect().publish("out/after", "x", qos=1)
    while link.take().topic != "out/after":
        pass


def says_why(broker, pattern=r"Warning: .*[Bb]ridge b\b.*: ([^;]{4,}); "):
    return broker.log.wait(pattern)


@pytest.mark.ours
@cases(BEFORE_CONNACK)
def test_before_connack(brokers, remote, raw):
    broker = start(brokers, remote)
    link = remote.greet()
    link.send(raw)
    link.expect_end(allow=[PUBLISH])
    says_why(broker)
    serves(broker)
    comes_back(broker, remote)


@pytest.mark.ours
@cases(AFTER_CONNACK)
def test_after_connack(brokers, remote, raw):
    broker = start(brokers, remote)
    link = remote.welcome(ins=["in/#"], outs=["out/#"])
    link.send_if_open(raw)
    link.expect_end()
    says_why(broker, r"Warning: Bridge b disconnected from .*: ([^;]{4,}); ")
    serves(broker)
    comes_back(broker, remote)


@cases(TOLERATED)
def test_what_may_come_late(brokers, remote, raw):
    """Acknowledgements for nothing, as after a session that one end has lost."""
    broker = start(brokers, remote)
    link = remote.welcome(ins=["in/#"], outs=["out/#"])
    link.send(raw)
    if raw[0] >> 4 == PUBREC:
        link.expect(PUBREL, mid=999)
    elif raw[0] >> 4 == PUBREL:
        link.expect(PUBCOMP, mid=999)
    broker.connect().publish("out/1", "x", qos=2)
    link.take("out/1", "x")


@pytest.mark.ours
@cases(EITHER_WAY)
def test_what_nobody_has_asked(brokers, remote, raw):
    """Ignored, or the end of the connection with a reason."""
    broker = start(brokers, remote)
    link = remote.welcome(ins=["in/#"], outs=["out/#"])
    link.send(raw)
    serves(broker)
    broker.connect().publish("out/1", "x", qos=1)
    try:
        link.take("out/1", "x")
    except Exception as error:
        assert "closed" in str(error)
        says_why(broker)
        comes_back(broker, remote)


@pytest.mark.ours
def test_a_filter_that_is_refused(brokers, remote):
    """SUBACK with 0x80: said, and the rest of the bridge works."""
    broker = start(brokers, remote, "topic no/# in 1")
    link = remote.welcome(ins=["in/#", "no/#"], outs=["out/#"], codes={"no/#": 0x80})
    line = broker.log.wait(r"Warning: .*[Bb]ridge b\b.*no/#")
    assert "in/#" not in line
    reader = broker.connect()
    reader.subscribe("in/#", qos=1)
    link.publish("in/1", "x", qos=1)
    reader.take("in/1", "x")


@pytest.mark.ours
def test_a_filter_that_is_granted_less(brokers, remote):
    broker = start(brokers, remote)
    link = remote.welcome(ins=["in/#"], outs=["out/#"], codes={"in/#": 0})
    link.publish("in/1", "x", qos=0)
    broker.connect().publish("out/1", "x", qos=1)
    link.take("out/1", "x")


@pytest.mark.ours
@pytest.mark.parametrize("more", [1, 100])
def test_filters_are_acknowledged_with_too_many_codes(brokers, remote, more):
    broker = start(brokers, remote)
    link = remote.greet()
    link.send(connack())
    got = link.next()
    while got.kind != SUBSCRIBE:
        got = link.next()
    link.send(suback(got.mid, *[0] * (len(got.filters) + more)))
    link.expect_end(allow=[SUBSCRIBE, UNSUBSCRIBE])
    says_why(broker)


@pytest.mark.parametrize("qos", [0, 1, 2])
@pytest.mark.parametrize("topic", ["other", "out/1", "$SYS/broker/uptime", "$CONTROL/x", "$share/g/in/1", "in/#",
                                   "in/+", "", "in" + "/" * 300])
@pytest.mark.ours
def test_a_topic_that_does_not_map(brokers, remote, qos, topic):
    """Acknowledged, since it would come again otherwise, and gone."""
    broker = start(brokers, remote)
    reader, sharer = broker.connect(), broker.connect()
    reader.subscribe("#", "$CONTROL/#", qos=2)
    sharer.subscribe("$share/g/in/#", qos=2)
    link = remote.welcome(ins=["in/#"], outs=["out/#"])
    link.publish(topic, "x", qos=qos, retain=True)
    link.publish("in/end", "end", qos=1)
    reader.take("in/end", "end")
    sharer.take("in/end", "end")
    late = broker.connect()
    late.subscribe(topic if len(topic) < 30 and topic not in ("$share/g/in/1", "") else "other", qos=0)
    assert not [p for p in late.ping() if p.payload == b"x"]


@pytest.mark.ours
def test_topics_that_would_be_too_long_here(brokers, remote):
    broker = brokers.start(*section(remote, f"topic # in 1 {'l' * 1000}{'/' * 150} r/"))
    reader = broker.connect()
    reader.subscribe("#", qos=0)
    link = remote.welcome(ins=["r/#"])
    link.publish("r/" + "x" * 65000, "too long", qos=1)
    link.publish("r/" + "/" * 100, "many levels", qos=1)
    link.publish("r/x", "fits", qos=1)
    while reader.take().payload != b"fits":
        pass


@pytest.mark.ours
def test_a_flood_that_nobody_wants(brokers, remote):
    broker = start(brokers, remote)
    link = remote.welcome(ins=["in/#"], outs=["out/#"])
    link.send(*(publish("nobody", "x" * 100) for _ in range(20000)))
    serves(broker)
    link.publish("in/1", "x", qos=1)


@pytest.mark.ours
def test_one_that_does_not_read(brokers, remote):
    """What waits for it is bounded, and all others are served."""
    broker = start(brokers, remote, "topic big/# out 0")
    link = remote.welcome(ins=["in/#"], outs=["out/#", "big/#"])
    before = broker.memory()
    writer = broker.connect()
    for _ in range(40):
        writer.send(*(publish("big/1", b"x" * 50000) for _ in range(20)))
        writer.quiet()
    serves(broker)
    assert broker.memory() - before < 30_000_000
    link.close()


@pytest.mark.ours
def test_packets_byte_by_byte(brokers, remote):
    broker = start(brokers, remote)
    link = remote.greet()
    link.send_slowly(connack())
    link.answer_filters(ins=["in/#"], outs=["out/#"])
    reader = broker.connect()
    reader.subscribe("in/#", qos=2)
    link.send_slowly(publish("in/1", "slowly", 2, 5))
    link.expect(PUBREC, mid=5)
    link.send_slowly(pubrel(5))
    link.expect(PUBCOMP, mid=5)
    reader.take("in/1", "slowly")


@pytest.mark.ours
def test_messages_at_once_with_connack(brokers, remote):
    """A broker with a session of ours begins to send before it has read any filter."""
    broker = start(brokers, remote)
    reader = broker.connect()
    reader.subscribe("in/#", qos=1)
    remote.greet().send(connack(0, True), publish("in/1", "early", 1, 1))
    reader.take("in/1", "early")


@pytest.mark.ours
def test_it_hangs_up_again_and_again(brokers, remote):
    """Each time after CONNACK: no storm of connections, and no memory grows."""
    broker = start(brokers, remote)
    begun = time.monotonic()
    for _ in range(4):
        link = remote.greet()
        link.send(connack())
        link.close()
    assert time.monotonic() - begun > 2.0
    serves(broker)


@pytest.mark.ours
def test_it_hangs_up_before_connack(brokers, remote):
    """With and without the bit, each once, then a pause."""
    broker = start(brokers, remote)
    begun = time.monotonic()
    for _ in range(4):
        remote.greet().close()
    assert time.monotonic() - begun > 0.9
    serves(broker)


@pytest.mark.slow
@pytest.mark.ours
def test_no_answer_to_a_ping(brokers, remote):
    broker = start(brokers, remote, "keepalive_interval 5")
    link = remote.welcome(ins=["in/#"], outs=["out/#"])
    link.expect(PINGREQ)
    assert not link.expect_end(allow=[PINGREQ])
    says_why(broker, r"Warning: Bridge b disconnected from .*: .*(PINGRESP|answer|timeout|silent)")
    serves(broker)
    comes_back(broker, remote)


def full(port_socket):
    """Fill the queue of a listening socket, so that further connections get no answer at all."""
    out = []
    while True:
        sock = socket.socket()
        sock.settimeout(0.1)
        out.append(sock)
        try:
            sock.connect(port_socket.getsockname())
        except TimeoutError:
            return out


@pytest.mark.slow
@pytest.mark.ours
def test_a_host_that_does_not_answer(brokers, remote):
    """SYN without an answer: the next address after a limit, and clients go on."""
    black = socket.socket()
    black.bind(("127.0.0.1", 0))
    black.listen(0)
    waiting = full(black)
    try:
        broker = brokers.start(*section(f"127.0.0.1:{black.getsockname()[1]} 127.0.0.1:{remote.port}", *TOPICS))
        for _ in range(5):
            serves(broker)
        remote.welcome(ins=["in/#"], outs=["out/#"])
        says_why(broker, r"Warning: Unable to connect bridge b .*(time|answer).*; trying .* next\.")
    finally:
        for sock in (*waiting, black):
            sock.close()
