"""SIGHUP: which rules count for clients that are connected, and which for those who come."""

import signal

import pytest
from broker_process import free_port, whose
from mqtt_wire import (
    CONNACK, PUBLISH, SUBACK, Client, connect, puback, publish, subscribe,
)
from stored_broker import StoredBroker

pytestmark = pytest.mark.ours  # 2.0.11 reloads none of its listeners' options

HEAD = 2  # lines: the first listener, and who may come in


def reload(broker, *lines, head=None):
    """Another configuration; on return it is in force."""
    head = head or broker.config.read_text().splitlines()[:HEAD]
    broker.config.write_text("\n".join([*head, *lines, *whose(lines)]) + "\n")
    since = len(broker.log.lines)
    broker.process.send_signal(signal.SIGHUP)
    broker.log.wait(r"Reloading config\.$", since)
    return since


def settled(client):
    """The client still talks, after the turn in which the reload was done."""
    client.quiet()
    return client


def refused(broker, raw, code):
    client = broker.client()
    client.send(raw)
    client.expect(CONNACK, code=code)
    client.expect_closed()


def accepted(broker, raw):
    client = broker.client()
    client.send(raw)
    client.expect(CONNACK, code=0)
    return client


@pytest.mark.parametrize(
    "line, before, after, code",
    [
        ("clientid_prefixes ab", connect("x"), connect("abx"), 2),
        ("accept_protocol_versions 3", connect("x"), connect("x", level=3), 1),
        ("accept_protocol_versions 4", connect("x", level=3), connect("x"), 1),
        ("use_username_as_clientid true", connect("x"), connect("x", username="u"), 5),
        ("max_keepalive 100", connect("x", keepalive=200), connect("x", keepalive=100), 2),
        ("allow_zero_length_clientid false", connect(""), connect("x"), 2),
        ("max_qos 1", connect("x", will={"topic": "w", "qos": 2}), connect("x", will={"topic": "w", "qos": 1}), None),
        ("retain_available false", connect("x", will={"topic": "w", "retain": True}), connect("x"), None),
    ],
)
def test_rules_of_connecting_are_for_newcomers(brokers, line, before, after, code):
    """Who is in stays in; and when the rule goes, it goes for newcomers too."""
    broker = brokers.start()
    old = accepted(broker, before)
    reload(broker, line)
    settled(old)
    if code is None:
        client = broker.client()
        client.send(before)
        assert client.recv().code != 0
        client.expect_closed()
    else:
        refused(broker, before, code)
    settled(old)
    accepted(broker, after)
    reload(broker)
    settled(broker.connect())
    accepted(broker, before)


def test_anonymous_clients_that_are_in_go(brokers):
    """As with 2.0.11: whoever could not come in any more is sent away."""
    broker = brokers.start()
    old = broker.connect("old")
    listener = broker.config.read_text().splitlines()[0]
    reload(broker, head=[listener, "allow_anonymous false"])
    old.expect_closed()
    broker.log.wait(r"Client old \[.*disconnected: not authorised: anonymous .*\(allow_anonymous false\)")
    refused(broker, connect("new"), 5)
    reload(broker, head=[listener, "allow_anonymous true"])
    settled(broker.connect("new"))


def test_max_qos(brokers):
    broker = brokers.start()
    client, other = broker.connect(), broker.connect()
    client.subscribe("t", qos=2)
    reload(broker, "max_qos 1")
    settled(client)
    client.send(subscribe(5, ("u", 2)))
    assert client.expect(SUBACK).codes == [1]
    other.send(publish("t", "x", qos=2, mid=1))
    other.expect_closed()
    reload(broker)
    settled(client)
    broker.connect().publish("t", "x", qos=2)
    client.take("t", "x", qos=2)


def test_a_granted_qos_2_is_delivered_at_max_qos(brokers):
    second = free_port()
    broker = brokers.start(f"listener {second} 127.0.0.1", "max_qos 1")
    broker.log.wait("running$")
    client = broker.connect("c", clean=False)
    client.subscribe("t", qos=2)
    client.disconnect()
    client = Client(second)
    broker.clients.append(client)
    client.connect("c", clean=False)
    broker.connect().publish("t", "x", qos=2)
    client.take("t", "x", qos=1)


def test_size_limits(brokers):
    broker = brokers.start()
    watcher, sender = broker.connect(), broker.connect()
    watcher.subscribe("t")
    reload(broker, "message_size_limit 100")
    settled(sender)
    sender.publish("t", "x" * 101, qos=1)
    sender.publish("t", "x" * 100, qos=1)
    watcher.take("t", "x" * 100)
    reload(broker, "max_packet_size 50")
    settled(sender)
    sender.publish("t", "x" * 40, qos=1)
    watcher.take("t", "x" * 40)
    sender.send_if_open(publish("t", "x" * 60))
    sender.expect_closed()
    reload(broker)
    settled(watcher)
    broker.connect().publish("t", "x" * 1000, qos=1)
    watcher.take("t", "x" * 1000)


def test_retain_available(brokers):
    broker = brokers.start()
    sender = broker.connect()
    sender.publish("t", "kept", retain=True)
    reload(broker, "retain_available false")
    settled(sender)
    sender.send(publish("t", "x", retain=True))
    sender.expect_closed()
    reload(broker)
    settled(broker.connect())
    late = broker.connect()
    late.subscribe("t")
    late.take("t", "kept")


def in_flight(client):
    """How many PUBLISH come without any being acknowledged."""
    return [p for p in client.ping() if p.kind == PUBLISH]


def test_the_window(brokers):
    broker = brokers.start("max_inflight_messages 2")
    client, sender = broker.connect(), broker.connect()
    client.subscribe("t", qos=1)
    for n in range(10):
        sender.publish("t", str(n), qos=1)
    first = in_flight(client)
    assert len(first) == 2
    reload(broker, "max_inflight_messages 5")
    settled(sender)
    more = in_flight(client)
    assert len(more) == 3
    reload(broker, "max_inflight_messages 1")
    settled(sender)
    for p in first + more[:2]:
        client.send(puback(p.mid))
    client.quiet()  # one is still in flight
    client.send(puback(more[2].mid))
    last = client.take_all()
    assert [p.payload for p in first + more + last] == [str(n).encode() for n in range(10)]


def test_the_window_in_bytes(brokers):
    broker = brokers.start("max_inflight_bytes 1000")
    client, sender = broker.connect(), broker.connect()
    client.subscribe("t", qos=1)
    for n in range(10):
        sender.publish("t", str(n) * 300, qos=1)
    assert len(in_flight(client)) == 3
    reload(broker, "max_inflight_bytes 2000")
    settled(sender)
    assert len(in_flight(client)) == 3
    reload(broker)
    settled(sender)
    assert len(in_flight(client)) == 4


@pytest.mark.parametrize("option, size", [("max_queued_messages 5", 1), ("max_queued_bytes 505", 100)])
def test_queue_limits(brokers, option, size):
    broker = brokers.start(option)
    for stored in ("one", "two"):
        client = broker.connect(stored, clean=False)
        client.subscribe("t", qos=1)
        client.disconnect()
    sender = broker.connect()

    def queued(stored, *lines):
        reload(broker, *lines)
        settled(sender)
        for _ in range(20):
            sender.publish("t", "x" * size, qos=1)
        client = broker.connect(stored, clean=False)
        got = len(client.take_all())
        client.disconnect()
        return got

    assert queued("one", option) == 5
    assert queued("one", option.split()[0] + " 0") == 20
    assert queued("two", option) == 25  # what was let in stays


def test_queue_qos0_messages(brokers):
    broker = brokers.start()
    client = broker.connect("stored", clean=False)
    client.subscribe("t", qos=1)
    client.disconnect()
    sender = broker.connect()
    sender.publish("t", "lost")
    reload(broker, "queue_qos0_messages true")
    settled(sender)
    sender.publish("t", "kept")
    reload(broker)
    settled(sender)
    sender.publish("t", "lost")
    client = broker.connect("stored", clean=False)
    client.take("t", "kept", qos=0)
    client.quiet()


def test_duplicates_and_upgrades(brokers):
    broker = brokers.start()
    client, sender = broker.connect(), broker.connect()
    client.subscribe("t", qos=2)
    client.subscribe("+", qos=1)
    sender.publish("t", "1")
    assert [p.qos for p in client.take_all()] == [0]
    reload(broker, "allow_duplicate_messages true")
    settled(sender)
    sender.publish("t", "2", qos=2)
    assert sorted(p.qos for p in client.take_all()) == [1, 2]
    reload(broker, "upgrade_outgoing_qos true")
    settled(sender)
    sender.publish("t", "3")
    assert [p.qos for p in client.take_all()] == [2]
    reload(broker, "upgrade_outgoing_qos true", "allow_duplicate_messages true")
    settled(sender)
    sender.publish("t", "4")
    assert sorted(p.qos for p in client.take_all()) == [1, 2]


def test_global_max_clients(brokers):
    broker = brokers.start("global_max_clients 2")
    stored = broker.connect("stored", clean=False)
    broker.connect("here")
    refused(broker, connect("third"), 3)
    broker.log.wait(r"third.*too many clients \(global_max_clients")
    stored.disconnect()
    refused(broker, connect("third"), 3)
    assert broker.connect("stored", clean=False).connack.session_present
    broker.connect("here")  # takes over: there are no more than before
    reload(broker, "global_max_clients 3")
    settled(broker.connect("third"))
    refused(broker, connect("fourth"), 3)
    reload(broker, "global_max_clients 1")
    settled(broker.connect("third"))
    reload(broker)
    broker.clients[0].close()
    settled(broker.connect("fourth"))


def test_memory_limit(brokers):
    """Above it publishers are cut off, and memory for them comes back with the limit."""
    broker = brokers.start("max_packet_size 0", "max_queued_messages 0")
    broker.connect("stored", clean=False).subscribe("t", qos=1)
    broker.drop_clients()
    sender = broker.connect()
    sender.publish("t", "x" * 1_000_000, qos=1)
    reload(broker, "max_packet_size 0", "max_queued_messages 0", "memory_limit 2000000")
    settled(sender)
    for n in range(5):
        sender.send_if_open(publish("t", "x" * 1_000_000, qos=1, mid=n + 1))
    with pytest.raises(Exception, match="closed"):
        for n in range(5):
            sender.recv()
    broker.log.wait(r"out of memory \(memory_limit")
    reload(broker, "max_packet_size 0", "max_queued_messages 0")
    settled(broker.connect()).publish("t", "x" * 1_000_000, qos=1)


@pytest.mark.parametrize("limit, gone", [("2s", True), ("1h", False)])
def test_persistent_client_expiration(brokers, limit, gone):
    broker = brokers.start()
    broker.connect("stored", clean=False).disconnect()
    broker.connect("here", clean=False)
    reload(broker, f"persistent_client_expiration {limit}")
    if gone:
        broker.log.wait("Expiring (persistent )?client stored", seconds=20)
    settled(broker.connect())
    assert broker.connect("stored", clean=False).connack.session_present != gone


def test_a_mount_point_is_for_the_next_connect(brokers):
    """The connection keeps the one that it came with: its subscriptions stand behind that."""
    broker = brokers.start("listener 0 ./plain.sock")
    broker.log.wait("running$")
    listener = f"listener {broker.port} 127.0.0.1"
    fixed = ["listener 0 ./plain.sock"]
    client = broker.connect("c")
    client.subscribe("t")
    head = [listener, "allow_anonymous true"]
    reload(broker, "mount_point m/", *fixed, head=head)
    settled(client)
    late = broker.connect("late")
    late.subscribe("t")
    client.send(publish("t", "old"))
    client.take("t", "old")
    late.quiet()
    late.send(publish("t", "new"))
    late.take("t", "new")
    client.quiet()
    client.disconnect()
    client = broker.connect("c")
    client.subscribe("t")
    late.send(publish("t", "both"))
    late.take("t", "both")
    client.take("t", "both")
    reload(broker, "mount_point n/", *fixed, head=head)
    settled(late)
    late.send(publish("t", "still"))
    late.take("t", "still")
    client.take("t", "still")
    other = broker.connect()
    other.subscribe("t")
    other.publish("m/t", "x")
    late.quiet()


def test_rules_belong_to_their_listener(brokers):
    """Each connection takes the rules of its own; who came through one that is gone keeps what it had."""
    ports = [free_port() for _ in range(3)]
    names = {port: [f"listener {port} 127.0.0.1"] for port in ports}
    broker = brokers.start(*sum(names.values(), []))
    broker.log.wait("running$")

    def through(port):
        client = Client(port)
        broker.clients.append(client)
        client.connect(f"on-{port}-{len(broker.clients)}")
        return client

    clients = [through(port) for port in ports]
    reload(broker, *names[ports[2]], "max_qos 0", *names[ports[0]], "max_qos 1")
    for client in clients:
        settled(client)
    clients[1].publish("t", "x", qos=2)
    clients[0].publish("t", "x", qos=1)
    for client, qos in ((clients[0], 2), (clients[2], 1)):
        client.send(publish("t", "x", qos=qos, mid=1))
        client.expect_closed()


def test_a_wrong_file_changes_nothing(brokers):
    broker = brokers.start("max_qos 1", "message_size_limit 100")
    client = broker.connect()
    client.subscribe("t", qos=1)
    reload(broker, "max_qos 2", "message_size_limit 200", "mount_point a/#")
    settled(client)
    sender = broker.connect()
    sender.publish("t", "x" * 150, qos=1)
    client.quiet()
    sender.send(publish("t", "x", qos=2, mid=1))
    sender.expect_closed()


def test_a_stored_session_of_another_run(tmp_path):
    """Options of deliveries count for what was stored before them."""
    broker = StoredBroker(tmp_path)
    broker.connect("stored", clean=False).subscribe("t", qos=2)
    broker.drop_clients()
    broker.connect().publish("t", "as published", qos=1)
    broker.kill()
    broker = broker.again("upgrade_outgoing_qos true")
    broker.connect().publish("t", "upgraded", qos=0)
    broker.kill()
    broker = broker.again()
    client = broker.connect("stored", clean=False)
    client.take("t", "as published", qos=1)
    client.take("t", "upgraded", qos=2)
    client.quiet()
    broker.stop()
