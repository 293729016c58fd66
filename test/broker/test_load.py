"""Much of everything: slow readers, thousands of subscriptions and connections."""

import resource
import time

import pytest
from broker_process import sanitized
from mqtt_wire import CONNACK, PATIENCE, PUBLISH, SUBACK, Closed, connect, publish, subscribe


@pytest.fixture
def quiet_broker(brokers):
    return brokers.get("max_queued_messages 1005", verbose=False)


def test_a_reader_that_stops_costs_little_and_disturbs_nobody(brokers, name):
    """100 MB at QoS 0 for a subscriber that reads nothing, and for one that reads all."""
    broker = brokers.start("log_type notice", "log_type warning", "log_type information", verbose=False)
    stuck = broker.connect(name + "stuck", rcvbuf=8192, keepalive=0)
    stuck.subscribe(name)
    reader, writer = broker.connect(keepalive=0), broker.connect(keepalive=0)
    reader.subscribe(name)
    before = broker.memory()
    highest = 0
    size, batch = 10_000, 50
    for number in range(0, 10_000, batch):
        writer.send(*[publish(name, f"{i:08}" + "." * (size - 8)) for i in range(number, number + batch)])
        for i in range(number, number + batch):
            assert int(reader.expect(PUBLISH).payload[:8]) == i
        highest = max(highest, broker.memory() - before)
    assert highest < 40_000_000 * (2 if sanitized() else 1), highest
    writer.quiet()
    reader.quiet()
    # It reads again: what is left comes in order, or its connection has been cut meanwhile.
    got = []
    try:
        got = [int(p.payload[:8]) for p in stuck.ping()]
    except (Closed, OSError):
        pass
    assert got == sorted(got) and len(got) < 10_000
    broker.answers()
    assert broker.memory() - before < 40_000_000 * (2 if sanitized() else 1)


@pytest.mark.ours
def test_drops_are_logged_once_per_episode(brokers, name):
    broker = brokers.start("log_type all", verbose=False)
    stuck = broker.connect(name + "stuck", rcvbuf=8192, keepalive=0)
    stuck.subscribe(name)
    writer = broker.connect(keepalive=0)
    for _ in range(120):
        writer.send(*[publish(name, "." * 100_000) for _ in range(5)])
        writer.quiet()
    broker.log.wait(rf"are being dropped for client {name}stuck\b.*\.$")
    assert len(broker.log.wait_for(1, rf"are being dropped for client {name}stuck")) == 1


@pytest.mark.ours
def test_a_full_queue_is_logged_once_per_episode(brokers, name):
    broker = brokers.start("max_queued_messages 10")
    client = broker.connect(name + "full", clean=False)
    client.subscribe(name, qos=1)
    client.disconnect()
    writer = broker.connect()
    for number in range(200):
        writer.publish(name, str(number), qos=1)
    broker.log.wait(rf"are being dropped for client {name}full\b.*\.$")
    assert len(broker.log.wait_for(1, rf"are being dropped for client {name}full\b.*\.$")) == 1
    client = broker.connect(name + "full", clean=False)
    client.take_all()
    client.disconnect()
    since = len(broker.log.lines)
    for number in range(200):
        writer.publish(name, str(number), qos=1)
    broker.log.wait(rf"are being dropped for client {name}full\b.*\.$", since)
    assert len(broker.log.wait_for(1, rf"are being dropped for client {name}full\b.*\.$", since)) == 1


def test_many_subscriptions_of_one_client(quiet_broker, name):
    """A subscription costs the same whatever the client has already; others are served meanwhile."""
    client, other = quiet_broker.connect(), quiet_broker.connect()
    took = []
    batch, batches = 500, 60
    for number in range(batches):
        filters = [(f"{name}/{number}/{i}/{'+' if i % 5 else '#'}", i % 3) for i in range(batch)]
        start = time.monotonic()
        client.send(subscribe(1, *filters))
        other.quiet()
        client.expect(SUBACK)
        took.append(time.monotonic() - start)
    first, last = sorted(took[:10])[5], sorted(took[-10:])[5]
    assert last < 10 * first + 0.05, (first, last)
    assert sum(took) < 20
    other.send(publish(f"{name}/59/499/x", "last"), publish(f"{name}/0/1/x", "first"))
    client.take(payload="last")
    client.take(payload="first")
    start = time.monotonic()
    client.close()
    other.quiet()
    assert time.monotonic() - start < 5


def test_many_subscribers_of_one_topic(quiet_broker, name):
    readers = [quiet_broker.connect() for _ in range(500)]
    for reader in readers:
        reader.send(subscribe(1, (name, 0)))
    for reader in readers:
        reader.expect(SUBACK)
    writer = quiet_broker.connect()
    for number in range(5):
        writer.publish(name, str(number) * 2000)
    for reader in readers:
        for number in range(5):
            reader.take(name, str(number) * 2000)


def test_1000_connections_exchange_messages(quiet_broker, name):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < 3000:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096), hard))
    clients = [quiet_broker.client() for _ in range(1000)]
    for number, client in enumerate(clients):
        client.send(connect(f"{name}-{number}"), subscribe(1, (f"{name}/{number}", 1)))
    for client in clients:
        client.expect(CONNACK, code=0)
        client.expect(SUBACK)
    for number, client in enumerate(clients):
        client.send(publish(f"{name}/{(number + 1) % 1000}", str(number), 1, 7))
    for number, client in enumerate(clients):
        got = {client.recv().kind for _ in range(2)}
        assert PUBLISH in got
    clients[0].ping()


def test_large_messages_to_many(quiet_broker, name):
    """One payload, many readers: it is kept once."""
    readers = [quiet_broker.connect() for _ in range(50)]
    for reader in readers:
        reader.subscribe(name, qos=1)
    before = quiet_broker.memory()
    payload = bytes(range(256)) * 4000
    quiet_broker.connect().publish(name, payload, qos=1)
    quiet_broker.answers()
    assert quiet_broker.memory() - before < 12_000_000 * (3 if sanitized() else 1)
    for reader in readers:
        reader.take(name, payload)


def test_a_queue_is_given_back_after_it_was_drained(brokers, name):
    broker = brokers.start("max_queued_messages 0", verbose=False)
    client = broker.connect(name, clean=False)
    client.subscribe(name, qos=1)
    client.disconnect()
    writer = broker.connect()
    before = broker.memory()
    for start in range(0, 20_000, 500):
        writer.send(*[publish(name, f"{start + i}".ljust(1000), 1, i + 1) for i in range(500)])
        for _ in range(500):
            writer.recv()
    assert broker.memory() - before > 15_000_000
    client = broker.connect(name, clean=False)
    for number in range(20_000):
        got = client.expect(PUBLISH)
        assert int(got.payload) == number
        client.send(b"\x40\x02" + got.mid.to_bytes(2, "big"))
    client.quiet()
    if not sanitized():
        # It is given back when it pays, within a second: pings are the clock.
        deadline = time.monotonic() + PATIENCE
        while broker.memory() - before >= 8_000_000:
            assert time.monotonic() < deadline, f"{broker.memory() - before} bytes are kept"
            client.ping()
