"""Peers that mean harm: lengths that lie, bytes at random, floods; the broker shrugs."""

import random
import time

import pytest
from broker_process import sanitized
from mqtt_wire import (
    BYE, CONNACK, PATIENCE, PING, PUBREC, Closed, connect, packet, puback, pubcomp, publish, pubrec, pubrel,
    remaining_length, subscribe, unsubscribe,
)


@pytest.fixture
def quiet_broker(brokers):
    """Without debug log, so that memory is the protocol's alone."""
    return brokers.get("max_queued_messages 1004", verbose=False)


def grown(broker, before, limit):
    """Memory in use has not grown by more than `limit` bytes (more with a sanitizer)."""
    limit *= 6 if sanitized() else 1
    rss, data = (broker.memory(key) - old for key, old in zip(("VmRSS", "VmData"), before))
    assert rss < limit, f"resident memory grew by {rss}"
    if not sanitized():
        assert data < limit + (1 << 21), f"data grew by {data}"


def memory(broker):
    return broker.memory("VmRSS"), broker.memory("VmData")


@pytest.mark.statements("MQTT-3.1.0-1", "MQTT-4.8.0-1")
@pytest.mark.parametrize("first", [0x30, 0x32, 0x82, 0x20, 0xC0, 0xF0, 0x00])
@pytest.mark.parametrize("length", [1, 1000, 1_000_000, 268_435_455])
def test_a_first_packet_that_is_not_connect_is_not_read(broker, first, length):
    """Closed on its header: nobody waits for the body that it promises."""
    client = broker.client()
    client.send(bytes([first]) + remaining_length(length) + b"\0")
    client.expect_closed()
    broker.answers()


@pytest.mark.ours
@pytest.mark.parametrize("length", [100_001, 1_000_000, 268_435_455])
def test_a_connect_that_promises_too_much_is_not_read(broker, length):
    client = broker.client()
    client.send(b"\x10" + remaining_length(length) + connect("id")[2:12])
    client.expect_closed()
    broker.answers()


def test_promised_bytes_cost_nothing_before_connect(quiet_broker):
    quiet_broker.answers()
    before = memory(quiet_broker)
    clients = [quiet_broker.client() for _ in range(300)]
    for client in clients:
        client.send(b"\x10" + remaining_length(99_000) + connect("id")[2:12])
    quiet_broker.answers()
    grown(quiet_broker, before, 4_000_000)


def test_promised_bytes_cost_nothing_after_connect(quiet_broker):
    before = memory(quiet_broker)
    clients = [quiet_broker.connect() for _ in range(100)]
    for client in clients:
        client.send(b"\x30" + remaining_length(1_900_000) + b"\0\1a")
    quiet_broker.answers()
    for client in clients:
        client.send(b"x" * 1000)
    quiet_broker.answers()
    grown(quiet_broker, before, 8_000_000)


@pytest.mark.ours
@pytest.mark.statements("MQTT-4.8.0-2", "MQTT-4.8.0-1")
@pytest.mark.parametrize("first", [0x30, 0x32, 0x34, 0x82, 0xA2])
def test_a_packet_above_the_limit_is_closed_on_its_header(broker, first):
    client = broker.connect()
    client.send(bytes([first]) + remaining_length(2_000_001) + b"\0\1a")
    client.expect_closed()


@pytest.mark.ours
@pytest.mark.parametrize("first", [0x40, 0x50, 0x62, 0x70, 0xC0, 0xE0])
def test_small_packets_may_not_promise_much(broker, first):
    """An acknowledgement has two bytes: to collect 100,000 before saying so would be waste."""
    client = broker.connect()
    client.send(bytes([first]) + remaining_length(100_000) + b"\0\1")
    client.expect_closed()


@pytest.mark.parametrize("seed", range(4))
def test_random_bytes(quiet_broker, seed):
    rng = random.Random(seed)
    bystander = quiet_broker.connect()
    bystander.subscribe("bystander")
    for _ in range(150):
        client = quiet_broker.client()
        if rng.random() < 0.7:
            client.send(connect(f"r{rng.randrange(5)}", clean=rng.random() < 0.5))
        client.send_if_open(rng.randbytes(rng.choice([1, 3, 10, 100, 2000])))
        client.close()
    bystander.send(publish("bystander", "x"))
    bystander.take("bystander", "x")


def valid_packets(rng):
    """A random but valid session: few ids, topics and clients, so that things collide."""
    topic = rng.choice(["f/a", "f/b", "f/c/d", "$f/x", "f//"])
    text = rng.choice([topic, "f/+", "f/#", "+/a", "$share/g/f/+", "$share/h/f/a", "$f/#"])
    mid, qos = rng.randint(1, 4), rng.randint(0, 2)
    return rng.choice([
        publish(topic, rng.choice(["", "x", "y" * 3000]), qos, mid if qos else None, retain=rng.random() < 0.4),
        subscribe(mid, (text, qos)), subscribe(mid, (text, qos), ("f/#", rng.randint(0, 2))),
        unsubscribe(mid, text), puback(mid), pubrec(mid), pubrel(mid), pubcomp(mid), PING,
    ])


@pytest.mark.parametrize("seed", range(6))
def test_random_sessions_with_a_flipped_byte_now_and_then(quiet_broker, seed):
    """Valid packets in any order on few client ids; takeovers, wills, losses in between."""
    rng = random.Random(seed)
    for _ in range(80):
        client = quiet_broker.client()
        will = {"topic": "f/w", "payload": "w", "qos": rng.randint(0, 2), "retain": rng.random() < 0.3}
        client.send(connect(f"s{rng.randrange(4)}", clean=rng.random() < 0.3, level=rng.choice([3, 4, 4, 0x84]),
                            will=rng.choice([None, will])))
        stream = bytearray(b"".join(valid_packets(rng) for _ in range(rng.randint(1, 40))))
        if rng.random() < 0.3:
            stream[rng.randrange(len(stream))] ^= 1 << rng.randrange(8)
        client.send_if_open(bytes(stream) + rng.choice([b"", b"", BYE]))
        if rng.random() < 0.3:
            client.reset()
    for client in list(quiet_broker.clients):
        client.close()
    quiet_broker.answers()


def test_cut_anywhere(quiet_broker, name):
    """Each prefix of a conversation, then the end of the stream."""
    raw = b"".join([
        connect(name, will={"topic": name, "payload": "w"}, username="u", password="p"),
        subscribe(1, (name + "/#", 2)), publish(name + "/a", "x", 2, 1), pubrel(1), unsubscribe(2, name + "/#"), BYE,
    ])
    for end in range(len(raw)):
        client = quiet_broker.client()
        client.send(raw[:end])
        client.close()
    quiet_broker.answers()


def test_connections_that_come_and_go_leave_nothing_behind(quiet_broker, name):
    def round_of(count):
        for number in range(count):
            client = quiet_broker.client()
            client.send(connect(f"{name}{number}", will={"topic": name, "payload": "w" * 500}),
                        subscribe(1, (f"{name}/{number}/#", 1)), publish(f"{name}/{number}/x", "y" * 500, 1, 1))
            if number % 2:
                client.expect(CONNACK)
            client.close()
        quiet_broker.answers()

    round_of(300)
    before = memory(quiet_broker)
    round_of(1500)
    grown(quiet_broker, before, 1_500_000)


@pytest.mark.statements("MQTT-4.3.3-2")
def test_repeated_ids_do_not_add_up(quiet_broker, name):
    client = quiet_broker.connect(name)
    before = memory(quiet_broker)
    raw = b"".join(publish(name, b"z" * 10_000, 2, mid, dup=True) for mid in (1, 2, 3))
    for _ in range(500):
        client.send(raw)
        for mid in (1, 2, 3):
            client.expect(PUBREC, mid=mid)
    grown(quiet_broker, before, 2_000_000)


def test_unread_answers_are_bounded(quiet_broker):
    """A peer that asks and never reads costs buffers, and in the end its connection or its turn."""
    before = memory(quiet_broker)
    client = quiet_broker.connect(rcvbuf=4096)
    client.sock.settimeout(0.5)
    try:
        for _ in range(300):
            client.sock.sendall(PING * 50_000)
    except OSError:
        pass
    quiet_broker.answers()
    grown(quiet_broker, before, 24_000_000)


def test_a_flood_of_one_does_not_starve_others(quiet_broker, name):
    """While one connection sends all it can, another gets its answers."""
    flooder, other = quiet_broker.connect(), quiet_broker.connect()
    other.subscribe(name)
    flooder.sock.setblocking(False)
    raw = publish(name + "/nobody", "x") * 5000
    slowest = 0.0
    for number in range(200):
        try:
            flooder.sock.send(raw[: len(raw)])
        except BlockingIOError:
            pass
        except OSError as error:
            raise AssertionError("the flooder was cut off") from error
        start = time.monotonic()
        other.send(publish(name, str(number)))
        other.take(name, str(number))
        slowest = max(slowest, time.monotonic() - start)
    assert slowest < (5.0 if sanitized() else 1.0), slowest


@pytest.mark.ours
@pytest.mark.statements("MQTT-4.8.0-2")
def test_memory_limit_closes_before_anything_is_acknowledged(brokers, name):
    """What was acknowledged is there; the broker lives and serves others."""
    broker = brokers.start("memory_limit 30000000", verbose=False)
    writer = broker.connect()
    kept = 0
    with pytest.raises(Closed):
        for number in range(100):
            writer.send_if_open(publish(f"{name}/{number}", b"m" * 1_000_000, 1, 1, retain=True))
            writer.recv()
            kept += 1
    assert 5 <= kept <= 30
    reader = broker.connect()
    reader.subscribe(f"{name}/#")
    got = {p.topic for p in reader.take_all()}
    assert got == {f"{name}/{n}" for n in range(kept)}
    for number in range(kept):
        broker.connect().publish(f"{name}/{number}", "", retain=True)
    broker.connect().publish(f"{name}/again", b"m" * 1_000_000, qos=1, retain=True)


@pytest.mark.ours
def test_many_silent_connections_leave_room_for_others(quiet_broker):
    """2,000 connections that never say a word."""
    crowd = [quiet_broker.client() for _ in range(2000)]
    start = time.monotonic()
    quiet_broker.answers()
    assert time.monotonic() - start < PATIENCE
    for client in crowd[::100]:
        client.send(connect(""))
        client.expect(CONNACK, code=0)


def test_empty_and_reserved_bytes_only(quiet_broker):
    for byte in range(256):
        if byte >> 4 == 1:
            continue
        client = quiet_broker.client()
        client.send(bytes([byte, 0]))
        client.expect_closed()
        client = quiet_broker.connect()
        client.send(packet(byte >> 4, byte & 15))
        client.close()
    quiet_broker.answers()
