"""Brokers of ours that bridge to each other: one copy for each who subscribes, and never round and round."""

import time

import pytest
from mqtt_wire import PUBLISH, puback, pubrec, pubcomp
from broker_process import free_port
from remote_broker import section

pytestmark = pytest.mark.ours


def to(broker, *lines, name):
    return section(f"127.0.0.1:{broker if isinstance(broker, int) else broker.port}", *lines, name=name)


class Ring:
    """Brokers whose sections name each other's second listener, which is known before they start."""

    def __init__(self, brokers, count):
        self.ports = [free_port() for _ in range(count)]
        self.brokers = brokers
        self.all = []

    def start(self, *sections):
        """One broker, the next of the ring."""
        port = self.ports[len(self.all)]
        self.all.append(self.brokers.start(*sections, f"listener {port} 127.0.0.1"))
        return self.all[-1]


def copies(clients, seconds=0.4):
    """The payloads that each gets until it is quiet, acknowledged in full."""
    got = [[] for _ in clients]
    quiet = time.monotonic() + seconds
    while time.monotonic() < quiet:
        for client, mine in zip(clients, got):
            try:
                packet = client.recv(0.02)
            except TimeoutError:
                continue
            quiet = time.monotonic() + seconds
            assert len(mine) < 50, f"round and round: {mine}"
            if packet.kind == PUBLISH:
                mine.append((packet.topic, packet.payload))
                if packet.qos:
                    client.send(puback(packet.mid) if packet.qos == 1 else pubrec(packet.mid))
            else:
                client.send(pubcomp(packet.mid))
    return got


def subscribed(broker, *filters):
    client = broker.connect()
    client.subscribe(*filters, qos=2)
    return client


def up(broker, *names):
    for name in names:
        broker.log.wait(rf"Bridge {name} connected to")
        broker.log.wait(rf"Received SUBACK from .*{name}\b|Received SUBACK from local\..*\.{name}\b")


def each_gets_one(*all_brokers, topic="x/1", most=1):
    """From whichever broker a message starts, and with whichever QoS, all subscribers get it once.

    With more ways than one from there to the next broker that many copies may come there, and not one more.
    """
    readers = [subscribed(broker, "x/#", "y/#") for broker in all_brokers]
    for number, start in enumerate(all_brokers):
        for qos in (0, 1, 2):
            payload = f"{number} {qos}"
            writer = start.connect()
            writer.publish(topic, payload, qos=qos)
            for place, got in enumerate(copies(readers, 0.15)):
                assert set(got) == {(topic, payload.encode())}, f"from broker {number} at QoS {qos}: {got}"
                assert len(got) <= (1 if place == number else most), f"from {number} at QoS {qos} to {place}: {got}"


def test_one_section(brokers):
    right = brokers.start()
    left = brokers.start(*to(right, "topic # both 2", name="b"))
    up(left, "b")
    each_gets_one(left, right)


def test_a_section_on_each_side(brokers):
    ring = Ring(brokers, 2)
    left = ring.start(*to(ring.ports[1], "topic # both 2", name="left"))
    right = ring.start(*to(ring.ports[0], "topic # both 2", name="right"))
    up(left, "left")
    up(right, "right")
    each_gets_one(left, right, most=2)


def test_a_section_on_each_side_for_one_way_each(brokers):
    ring = Ring(brokers, 2)
    left = ring.start(*to(ring.ports[1], "topic # out 2", name="left"))
    right = ring.start(*to(ring.ports[0], "topic # out 2", name="right"))
    up(left, "left")
    up(right, "right")
    each_gets_one(left, right)


def test_two_sections_to_the_same_broker(brokers):
    right = brokers.start()
    left = brokers.start(*to(right, "topic x/# both 2", name="one"), *to(right, "topic y/# both 2", name="two"))
    up(left, "one", "two")
    each_gets_one(left, right, topic="x/1")
    each_gets_one(left, right, topic="y/1")


def test_a_chain(brokers):
    last = brokers.start()
    middle = brokers.start(*to(last, "topic # both 2", name="b"))
    first = brokers.start(*to(middle, "topic # both 2", name="a"))
    up(middle, "b")
    up(first, "a")
    each_gets_one(first, middle, last)


def test_a_star(brokers):
    """An edge's message goes through the middle to all others, once."""
    hub = brokers.start()
    edges = [brokers.start(*to(hub, "topic # both 1", name=f"edge{n}")) for n in range(3)]
    for number, edge in enumerate(edges):
        up(edge, f"edge{number}")
    readers = [subscribed(broker, "x") for broker in (*edges, hub)]
    edges[0].connect().publish("x", "from the edge", qos=1)
    for got in copies(readers):
        assert got == [("x", b"from the edge")]


def test_retained_both_ways(brokers):
    ring = Ring(brokers, 2)
    left = ring.start(*to(ring.ports[1], "topic # both 1", name="left"))
    right = ring.start(*to(ring.ports[0], "topic # both 1", name="right"))
    up(left, "left")
    up(right, "right")
    readers = [subscribed(broker, "x") for broker in (left, right)]
    for start, payload in ((left, b"kept"), (right, b"")):
        start.connect().publish("x", payload, qos=1, retain=True)
        for got in copies(readers):
            assert set(got) == {("x", payload)} and len(got) <= 2
    for broker in (left, right):
        assert not copies([subscribed(broker, "x")], 0.1)[0]


def test_notifications_do_not_go_round(brokers):
    """$SYS is not in `#`, but one may bridge it by name."""
    ring = Ring(brokers, 2)
    lines = ("topic # both 1", "topic $SYS/broker/connection/# both 1", "notifications true")
    left = ring.start(*to(ring.ports[1], *lines, name="left"))
    right = ring.start(*to(ring.ports[0], *lines, name="right"))
    up(left, "left")
    up(right, "right")
    each_gets_one(left, right, most=2)


def test_a_section_to_oneself(brokers):
    """A broker that is its own remote broker: silly, and bounded."""
    ring = Ring(brokers, 1)
    broker = ring.start(*to(ring.ports[0], "topic # both 1", name="self"))
    up(broker, "self")
    reader = subscribed(broker, "x")
    broker.connect().publish("x", "x", qos=1)
    assert 1 <= len(copies([reader])[0]) <= 3


def test_a_ring_of_three_is_noticed(brokers):
    """MQTT 3.1.1 cannot tell a message that comes round from a new one: it is said on the log."""
    ring = Ring(brokers, 3)
    for number in range(3):
        ring.start(*to(ring.ports[(number + 1) % 3], "topic x both 0", name=f"b{number}"))
    for number, broker in enumerate(ring.all):
        up(broker, f"b{number}")
    ring.all[0].connect().send(b"\x30\x04\x00\x01xx")
    end = time.monotonic() + 10
    while not any(broker.log.find("loop") for broker in ring.all):
        assert time.monotonic() < end, "nobody noticed"
        time.sleep(0.02)
    line = next(line for broker in ring.all for line in broker.log.find("loop"))
    assert "'x'" in line or " x" in line
    for broker in ring.all:
        broker.answers()
