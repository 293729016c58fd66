"""Options of the configuration that a client can see at work."""

import socket

import pytest
from broker_process import free_port
from mqtt_wire import CONNACK, Client, Closed, connect, publish


def refused(broker, raw, code):
    client = broker.client()
    client.send(raw)
    client.expect(CONNACK, code=code, session_present=False)
    client.expect_closed()


@pytest.mark.ours
@pytest.mark.statements("MQTT-3.1.3-9")
def test_allow_zero_length_clientid_false(brokers, name):
    broker = brokers.get("allow_zero_length_clientid false")
    refused(broker, connect(""), 2)
    refused(broker, connect("", clean=False), 2)
    broker.connect(name)


@pytest.mark.ours
def test_max_keepalive(brokers, name):
    broker = brokers.get("max_keepalive 100")
    for keepalive in (1, 60, 100):
        broker.connect(name, keepalive=keepalive)
    for keepalive in (101, 65535):
        refused(broker, connect(name, keepalive=keepalive), 2)
    client = broker.client()
    client.send(connect(name, keepalive=0))
    assert client.expect(CONNACK).code in (0, 2)


def test_max_connections(brokers, name):
    """One too many is closed without a CONNACK; a place that gets free is free."""
    broker = brokers.start("max_connections 3")
    clients = [broker.connect() for _ in range(3)]
    for _ in range(3):
        with pytest.raises((Closed, OSError)):
            late = broker.client()
            late.send_if_open(connect(name))
            late.recv()
    for client in clients:
        client.quiet()
    clients[0].disconnect()
    broker.connect(name).quiet()


@pytest.mark.parametrize("limit", [100, 5000])
def test_max_packet_size(brokers, name, limit):
    """Counted over the whole packet, its header included."""
    broker = brokers.get(f"max_packet_size {limit}")
    client = broker.connect(name)
    client.subscribe(name)
    overhead = len(publish(name, "x" * (limit - 50))) - (limit - 50)
    fits = publish(name, "x" * (limit - overhead))
    assert len(fits) == limit
    client.send(fits)
    client.take(name, "x" * (limit - overhead))
    client.send_if_open(publish(name, "x" * (limit - overhead + 1)))
    client.expect_closed()


@pytest.mark.ours
def test_the_default_packet_limit(broker, name):
    client = broker.connect(name)
    client.subscribe(name)
    overhead = len(publish(name, "x" * 1_999_000)) - 1_999_000
    payload = "x" * (2_000_000 - overhead)
    client.send(publish(name, payload))
    client.take(name, payload)
    client.send_if_open(publish(name, payload + "x"))
    client.expect_closed()


def test_message_size_limit_is_for_payloads(brokers, name):
    broker = brokers.get("message_size_limit 100")
    watcher = broker.connect()
    watcher.subscribe(name + "/#")
    client = broker.connect()
    for size, qos in [(100, 0), (101, 0), (100, 1), (101, 1), (100, 2), (101, 2), (50_000, 2), (5, 0)]:
        client.publish(name + "/" + "t" * 200, "x" * size, qos=qos)
    assert [len(p.payload) for p in watcher.ping()] == [100, 100, 100, 5]
    client.publish(name + "/kept", "x" * 101, qos=1, retain=True)
    later = broker.connect()
    later.subscribe(name + "/kept")
    later.quiet()


def test_connection_messages_false(brokers, name):
    broker = brokers.start("connection_messages false", "log_type all", verbose=False)
    broker.connect(name).disconnect()
    broker.connect(name).close()
    broker.answers()
    broker.stop()
    assert not broker.log.find("New client connected|disconnected")
    assert broker.log.find("terminating")


@pytest.mark.parametrize(
    "types, seen, unseen",
    [
        (["none"], [], ["."]),
        (["error"], [], ["New client", "Received PINGREQ", "starting"]),
        (["notice"], ["New client connected"], ["Received PINGREQ", "starting"]),
        (["information"], ["starting"], ["Received PINGREQ", "New client"]),
        (["debug"], ["Received PINGREQ"], ["New client"]),
        (["subscribe"], ["{n} 0 {n}/x"], ["Received SUBSCRIBE"]),
        (["unsubscribe"], ["{n} {n}/x"], ["Received UNSUBSCRIBE", "{n} 0 {n}/x"]),
        (["notice", "debug"], ["New client connected", "Received PINGREQ"], ["starting"]),
        (["all"], ["New client", "Received PINGREQ", "starting", "{n} 0 {n}/x", "{n} {n}/x"], []),
        ([], ["New client connected", "starting"], ["Received PINGREQ", "{n} 0 {n}/x"]),
    ],
)
def test_log_type(brokers, name, types, seen, unseen):
    broker = brokers.start(*[f"log_type {t}" for t in types], verbose=False)
    client = broker.connect(name)
    client.subscribe(f"{name}/x")
    client.unsubscribe(f"{name}/x")
    client.quiet()
    broker.stop()
    for pattern in seen:
        assert broker.log.find(pattern.format(n=name)), broker.log.lines
    for pattern in unseen:
        assert not broker.log.find(pattern.format(n=name)), broker.log.lines


def test_log_dest_none(brokers, name):
    broker = brokers.start("log_dest none", "log_type all", verbose=False)
    broker.connect(name)
    broker.stop()
    assert not broker.log.find("New client")


@pytest.mark.parametrize("dest", ["stdout", "stderr"])
def test_log_dest_streams(brokers, name, dest):
    broker = brokers.start(f"log_dest {dest}", "log_type all", verbose=False)
    broker.connect(name)
    broker.log.wait(f"New client connected from .* as {name}")


@pytest.mark.ours
def test_log_dest_file(brokers, name, tmp_path):
    tmp_path.chmod(0o777)
    path = tmp_path / "own.log"
    broker = brokers.start(f"log_dest file {path}", "log_type all", verbose=False)
    client = broker.connect(name)
    client.subscribe(f"{name}/x")
    broker.stop()
    text = path.read_text()
    assert f"as {name} (" in text and f"Received SUBSCRIBE from {name}\n" in text
    assert not broker.log.find("New client")


def test_several_listeners(brokers, name):
    second = free_port()
    broker = brokers.start(f"listener {second} 127.0.0.1", "max_connections 1")
    broker.log.wait("running$")
    here = broker.connect()
    here.subscribe(name)
    with Client(second).sock as sock:
        sock.sendall(connect(name) + publish(name, "from the other door"))
        here.take(name, "from the other door")
    broker.connect().quiet()


def has_ipv6():
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


@pytest.mark.skipif(not has_ipv6(), reason="no IPv6 on the loopback interface")
def test_a_listener_on_ipv6(brokers, name):
    port = free_port(socket.AF_INET6, "::1")
    broker = brokers.start(f"listener {port} ::1")
    broker.log.wait("running$")  # the first listener is open before the second
    client = Client(port, host="::1")
    client.connect(name)
    client.quiet()
    client.close()
    broker.log.wait(rf"New client connected from ::1(:\d+)? as {name} ")


@pytest.mark.parametrize("old", [False, True])
def test_retain_available_false_still_takes_plain_messages(brokers, name, old):
    broker = brokers.get("retain_available false")
    client = broker.connect(level=3 if old else 4)
    client.subscribe(name)
    client.send(publish(name, "x"))
    client.take(name, "x", retain=False)
