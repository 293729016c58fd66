"""Options of the configuration that a client can see at work."""

import socket

import pytest
from broker_process import free_port
from mqtt_wire import (
    CONNACK, PUBLISH, PUBREL, SUBACK, Client, Closed, connect, pubcomp, publish, pubrec, subscribe,
)


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
    broker.log.wait("terminating")


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
        broker.log.wait(pattern.format(n=name))
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


# --- who may come in ---


@pytest.mark.ours
def test_accept_protocol_versions(brokers, name):
    old, new, both = (brokers.get(f"accept_protocol_versions {v}") for v in ("3", "4", "3,4,5"))
    refused(old, connect(name, level=4), 1)
    refused(new, connect(name, level=3), 1)
    refused(old, connect(name, level=0x84), 1)
    refused(new, connect(name, level=0x83), 1)
    for broker, level in ((old, 3), (old, 0x83), (new, 4), (new, 0x84), (both, 3), (both, 4)):
        broker.connect(name, level=level).quiet()
    refused(both, connect(name, level=5), 1)
    old.log.wait(r"unacceptable protocol version \(accept_protocol_versions")


@pytest.mark.ours  # 2.0.11 answers 5
def test_clientid_prefixes(brokers, name):
    broker = brokers.get("clientid_prefixes ab-")
    # Without an id too: who has none would come in where ids of others are refused.
    for client_id in (name, "ab", "Ab-c", "xab-c", ""):
        refused(broker, connect(client_id), 2)
    broker.connect("ab-").quiet()
    broker.connect("ab-" + name).quiet()
    broker.log.wait(r"client identifier not valid: wrong prefix \(clientid_prefixes")


def test_an_id_that_is_made_up_has_the_prefix_if_it_is_made_so(brokers):
    broker = brokers.get("clientid_prefixes ab-", "auto_id_prefix ab-auto-")
    client = broker.client()
    client.send(connect(""))
    client.expect(CONNACK, code=0)


def test_use_username_as_clientid(brokers, name):
    broker = brokers.get("use_username_as_clientid true")
    refused(broker, connect(name), 5)
    refused(broker, connect(name, username=""), 5)
    first = broker.connect(name, username="shared")
    second = broker.connect(name + "-other", username="shared")
    first.expect_closed()
    second.quiet()
    broker.log.wait(r"New client connected from .* as shared ")


@pytest.mark.ours  # 2.0.11 looks at the id first
def test_a_user_name_stands_for_an_id_that_is_wanting(brokers, name):
    broker = brokers.get("use_username_as_clientid true")
    refused(broker, connect(""), 5)
    stored = broker.connect("", clean=False, username=name)
    stored.subscribe("t", qos=1)
    stored.disconnect()
    assert broker.connect("anything", clean=False, username=name).connack.session_present
    broker.connect("", level=3, username=name + "-31").quiet()


@pytest.mark.ours
def test_the_user_name_is_what_must_have_the_prefix(brokers):
    broker = brokers.get("clientid_prefixes ab", "use_username_as_clientid true")
    refused(broker, connect("abc", username="x"), 2)
    broker.connect("x", username="abx").quiet()


def test_auto_id_prefix(brokers):
    broker = brokers.get("auto_id_prefix made-")
    client = broker.client()
    client.send(connect(""))
    client.expect(CONNACK, code=0)
    broker.log.wait(r"New client connected from .* as made-[0-9A-Fa-f-]+ ")


# --- what is delivered, and how often ---


def test_upgrade_outgoing_qos(brokers, name):
    broker = brokers.get("upgrade_outgoing_qos true")
    stored = broker.connect(name, clean=False)
    stored.subscribe(f"{name}/+", qos=2)
    stored.disconnect()
    sender = broker.connect()
    clients = [broker.connect() for _ in range(3)]
    for qos, client in enumerate(clients):
        client.subscribe(f"{name}/+", qos=qos)
    for published in (0, 1, 2):
        sender.publish(f"{name}/t", str(published), qos=published)
        for qos, client in enumerate(clients):
            client.take(f"{name}/t", str(published), qos=qos, retain=False)
    sender.publish(f"{name}/kept", "kept", retain=True)
    late = broker.connect()
    late.subscribe((f"{name}/kept", 2))
    late.take(f"{name}/kept", "kept", qos=2, retain=True)
    stored = broker.connect(name, clean=False)
    for payload in ("0", "1", "2", "kept"):
        assert stored.expect(PUBLISH, payload=payload.encode()).qos == 2


@pytest.mark.ours  # of overlapping ones 2.0.11 takes the first that it finds
def test_one_copy_at_the_highest_qos(brokers, name):
    broker = brokers.get("allow_duplicate_messages false")
    client = broker.connect()
    client.subscribe((f"{name}/#", 0), (f"{name}/+", 2), (f"{name}/t", 1))
    broker.connect().publish(f"{name}/t", "x", qos=2)
    client.take(f"{name}/t", "x", qos=2)
    client.quiet()


def test_a_copy_for_each_subscription(brokers, name):
    broker = brokers.get("allow_duplicate_messages true", "max_inflight_messages 0")
    client = broker.connect()
    client.subscribe((f"{name}/#", 0), (f"{name}/+", 2), (f"{name}/t", 1), (f"{name}/other", 2))
    sender = broker.connect()
    for n in range(10):
        sender.publish(f"{name}/t", str(n), qos=2)
    got = client.take_all()
    for qos in (0, 1, 2):
        assert [p.payload for p in got if p.qos == qos] == [str(n).encode() for n in range(10)]


@pytest.mark.ours
def test_of_a_group_one_member_gets_one(brokers, name):
    """Duplicates are for overlapping subscriptions, not for members of a group."""
    broker = brokers.get("allow_duplicate_messages true")
    clients = [broker.connect() for _ in range(2)]
    for client in clients:
        client.subscribe(f"$share/{name}/{name}/t", qos=1)
    sender = broker.connect()
    for _ in range(10):
        sender.publish(f"{name}/t", "x", qos=1)
    assert [len(client.take_all()) for client in clients] == [5, 5]


# --- limits ---


def test_max_qos(brokers, name):
    broker = brokers.get("max_qos 1")
    client = broker.connect()
    client.send(subscribe(1, (name, 2), (name + "/0", 0)))
    assert client.expect(SUBACK).codes == [1, 0]
    broker.connect().publish(name, "x", qos=1)
    client.take(name, "x", qos=1)
    client.send(publish(name, "x", qos=2, mid=2))
    client.expect_closed()


@pytest.mark.parametrize("flags", [{"qos": 2}, {"qos": 1, "retain": True}])
def test_wills_beyond_the_rules(brokers, name, flags):
    broker = brokers.get("retain_available false", "max_qos 1")
    client = broker.client()
    client.send(connect(name, will={"topic": name, "payload": "x", **flags}))
    client.expect_closed(allow=[CONNACK])


def test_retain_available_false(brokers, name):
    broker = brokers.get("retain_available false")
    client = broker.connect()
    client.send(publish(name, "x", retain=True))
    client.expect_closed()
    broker.connect().publish(name, "x", qos=1)


def test_queue_qos0_messages(brokers, name):
    for option, expected in (("false", []), ("true", [b"0", b"2"])):
        broker = brokers.get(f"queue_qos0_messages {option}")
        client = broker.connect(name, clean=False)
        client.subscribe(name, qos=1)
        client.disconnect()
        sender = broker.connect()
        for n in range(3):
            sender.publish(name if n != 1 else name + "/x", str(n))
        client = broker.connect(name, clean=False)
        assert [p.payload for p in client.take_all()] == expected


def test_max_inflight_messages(brokers, name):
    broker = brokers.get("max_inflight_messages 3")
    client = broker.connect()
    client.subscribe(name, qos=2)
    sender = broker.connect()
    for n in range(10):
        sender.publish(name, str(n), qos=2)
    first = client.ping()
    assert [p.payload for p in first] == [b"0", b"1", b"2"]
    client.send(pubrec(first[0].mid))
    client.expect(PUBREL, mid=first[0].mid)
    client.quiet()
    client.send(pubcomp(first[0].mid))
    client.expect(PUBLISH, payload=b"3")


def test_max_queued_messages(brokers, name):
    broker = brokers.get("max_queued_messages 7", "max_inflight_messages 2")
    client = broker.connect(name, clean=False)
    client.subscribe(name, qos=1)
    sender = broker.connect()
    for n in range(20):
        sender.publish(name, str(n), qos=1)
    assert [p.payload for p in client.take_all()] == [str(n).encode() for n in range(9)]


@pytest.mark.ours
def test_global_max_clients(brokers, name):
    broker = brokers.start("global_max_clients 2")
    broker.connect("one", clean=False).disconnect()
    two = broker.connect("two")
    refused(broker, connect(name), 3)
    assert broker.connect("one", clean=False).connack.session_present
    broker.connect("two")
    two.expect_closed()
    broker.connect("one").disconnect()  # clean: it takes the stored one's place, and goes
    broker.connect(name).quiet()
