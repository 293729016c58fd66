"""Wills: published on every end but a DISCONNECT, once, with their QoS and flag."""

import signal
import socket

import pytest
from mqtt_wire import (
    BYE, CONNACK, PUBLISH, Closed, connect, packet, puback, pubcomp, publish, pubrec,
)


@pytest.fixture
def watcher(broker, name):
    client = broker.connect()
    client.subscribe(name + "/#", qos=2)
    return client


def willing(broker, name, qos=0, retain=False, payload="will", **options):
    will = {"topic": name + "/will", "payload": payload, "qos": qos, "retain": retain}
    return broker.connect(name, will=will, **options)


ENDS = {
    "the connection is closed": lambda broker, client, name: client.close(),
    "the connection is reset": lambda broker, client, name: client.reset(),
    "half a packet, then the end": lambda broker, client, name: (client.send(b"\x30\x50"), client.close()),
    "protocol error": lambda broker, client, name: client.send(publish("#", "x")),
    "reserved packet": lambda broker, client, name: client.send(packet(15, 0)),
    "second CONNECT": lambda broker, client, name: client.send(connect(name)),
    "DISCONNECT with flags": lambda broker, client, name: client.send(b"\xe1\x00"),
    "DISCONNECT with a body": lambda broker, client, name: client.send(b"\xe0\x01\x00"),
    "takeover": lambda broker, client, name: broker.connect(name),
    "takeover with a lasting session": lambda broker, client, name: broker.connect(name, clean=False),
}


@pytest.mark.statements("MQTT-3.1.2-8", "MQTT-3.1.2-9", "MQTT-3.14.1-1", "MQTT-3.1.2-16")
@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("clean", [True, False])
def test_a_will_is_published_when(broker, watcher, name, end, clean):
    client = willing(broker, name, clean=clean)
    client.subscribe(name + "/other")
    watcher.quiet()
    ENDS[end](broker, client, name)
    watcher.take(name + "/will", "will", qos=0, retain=False, dup=False)
    watcher.quiet()


@pytest.mark.statements("MQTT-3.14.4-3", "MQTT-3.1.2-10", "MQTT-3.1.2-8")
@pytest.mark.parametrize("clean", [True, False])
@pytest.mark.parametrize("level", [3, 4])
def test_disconnect_deletes_it(broker, watcher, name, clean, level):
    willing(broker, name, clean=clean, level=level).disconnect()
    watcher.quiet()
    broker.connect(name, clean=clean).close()
    broker.connect(name, clean=True).disconnect()
    watcher.quiet()


@pytest.mark.statements("MQTT-3.14.4-3", "MQTT-3.1.2-10")
def test_disconnect_right_before_the_end_of_the_stream(broker, watcher, name):
    client = broker.client()
    client.send(connect(name, will={"topic": name + "/will", "payload": "no"}), BYE)
    client.sock.shutdown(socket.SHUT_WR)
    client.expect_closed(allow=(CONNACK,))
    client = willing(broker, name)
    client.send(publish(name + "/last", "message"), BYE)
    client.close()
    watcher.take(name + "/last", "message")
    broker.connect(name).disconnect()
    watcher.quiet()


@pytest.mark.statements("MQTT-3.1.2-14", "MQTT-3.1.2-9")
@pytest.mark.parametrize("qos", [0, 1, 2])
@pytest.mark.parametrize("wanted", [0, 1, 2])
def test_its_qos(broker, name, qos, wanted):
    watcher = broker.connect()
    watcher.subscribe(name + "/will", qos=wanted)
    willing(broker, name, qos=qos).close()
    watcher.take(name + "/will", "will", qos=min(qos, wanted))


@pytest.mark.statements("MQTT-3.1.2-16", "MQTT-3.1.2-17")
@pytest.mark.parametrize("retain", [False, True])
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_its_retain_flag(broker, watcher, name, qos, retain):
    willing(broker, name, qos=qos, retain=retain).close()
    watcher.take(name + "/will", "will", retain=False)
    later = broker.connect()
    later.subscribe(name + "/will", qos=2)
    if retain:
        later.take(name + "/will", "will", retain=True, qos=qos)
    later.quiet()


@pytest.mark.statements("MQTT-3.1.2-17", "MQTT-3.3.1-10")
def test_an_empty_retained_will_clears(broker, watcher, name):
    broker.connect().publish(name + "/will", "online", retain=True)
    watcher.take(name + "/will", "online")
    willing(broker, name, retain=True, payload="").close()
    watcher.take(name + "/will", "")
    later = broker.connect()
    later.subscribe(name + "/will")
    later.quiet()


@pytest.mark.statements("MQTT-3.1.2-10", "MQTT-3.1.2-12")
@pytest.mark.parametrize("clean", [True, False])
def test_it_is_published_once(broker, watcher, name, clean):
    willing(broker, name, clean=clean).close()
    watcher.take(name + "/will", "will")
    for _ in range(3):
        broker.connect(name, clean=clean).close()
    broker.connect(name, clean=True).disconnect()
    watcher.quiet()


@pytest.mark.statements("MQTT-3.1.2-12", "MQTT-3.1.2-8")
def test_each_connection_has_its_own(broker, watcher, name):
    first = willing(broker, name, payload="first")
    second = willing(broker, name, payload="second")
    first.expect_closed()
    watcher.take(name + "/will", "first")
    third = broker.connect(name)
    second.expect_closed()
    watcher.take(name + "/will", "second")
    third.close()
    broker.connect(name).disconnect()
    watcher.quiet()


@pytest.mark.statements("MQTT-3.1.2-8", "MQTT-3.1.2-5")
def test_it_is_kept_for_absent_subscribers(broker, name):
    reader = broker.connect(name + "r", clean=False)
    reader.subscribe(name + "/will", qos=1)
    reader.disconnect()
    watcher = broker.connect()
    watcher.subscribe(name + "/will")
    willing(broker, name, qos=2).close()
    watcher.take(name + "/will", "will")
    broker.connect(name + "r", clean=False).take(name + "/will", "will", qos=1)


def test_the_willing_client_may_subscribe_to_its_own(broker, name):
    client = willing(broker, name, qos=1, clean=False)
    client.subscribe(name + "/will", qos=1)
    client.close()
    watcher = broker.connect()
    watcher.subscribe(name + "/will")
    again = broker.connect(name, clean=False)
    again.take(name + "/will", "will", qos=1)


@pytest.mark.statements("MQTT-3.1.4-5", "MQTT-3.1.2-8")
def test_a_refused_client_has_no_will(broker, watcher, name):
    client = broker.client()
    client.send(connect("", clean=False, will={"topic": name + "/will", "payload": "no"}))
    client.expect(CONNACK, code=2)
    client.expect_closed()
    watcher.quiet()


@pytest.mark.statements("MQTT-4.7.1-1", "MQTT-4.7.3-1", "MQTT-3.1.4-1")
@pytest.mark.parametrize("topic", ["", "#", "+", "a/#", "a/+/b", "a#b"])
def test_its_topic_must_be_a_topic_name(broker, topic):
    client = broker.client()
    client.send(connect("id", will={"topic": topic, "payload": "x"}))
    client.expect_closed()
    broker.answers()


@pytest.mark.parametrize("size", [0, 1, 65535])
def test_its_size(broker, watcher, name, size):
    willing(broker, name, payload="w" * size).close()
    watcher.take(name + "/will", "w" * size)


@pytest.mark.statements("MQTT-3.1.2-8", "MQTT-3.1.2-24")
def test_it_is_published_after_the_keepalive(broker, watcher, name):
    client = willing(broker, name, keepalive=1)
    watcher.take(name + "/will", "will")
    client.expect_closed()


def test_many_wills_at_once(broker, watcher, name):
    clients = [
        broker.connect(will={"topic": f"{name}/{i}", "payload": str(i), "qos": i % 3}) for i in range(150)
    ]
    for client in clients:
        client.close()
    got = {}
    while len(got) < 150:
        packet_in = watcher.recv()
        if packet_in.kind != PUBLISH:
            watcher.send(pubcomp(packet_in.mid))
            continue
        got[int(packet_in.payload)] = packet_in.qos
        if packet_in.qos:
            watcher.send((puback if packet_in.qos == 1 else pubrec)(packet_in.mid))
    assert got == {i: i % 3 for i in range(150)}


def test_wills_that_meet_their_own_subscribers_leaving(broker, name):
    """Everyone has a will to everyone's topic and all leave at once."""
    clients = [
        broker.connect(clean=bool(i % 2), will={"topic": name, "payload": str(i), "qos": 1}) for i in range(50)
    ]
    for client in clients:
        client.subscribe(name, qos=1)
    for client in clients:
        client.reset()
    broker.answers()


@pytest.mark.ours
def test_wills_are_published_when_the_broker_stops(own_broker, name):
    watcher = own_broker.connect()
    watcher.subscribe(name)
    own_broker.connect(will={"topic": name, "payload": "the end"})
    own_broker.process.send_signal(signal.SIGTERM)
    watcher.take(name, "the end")
    with pytest.raises(Closed):
        watcher.recv()
    assert own_broker.process.wait(20) == 0
