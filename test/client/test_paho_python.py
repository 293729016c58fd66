"""Paho for Python, with its network loop in a thread."""

import threading

import pytest

paho = pytest.importorskip("paho.mqtt.client", reason="paho-mqtt for Python is not installed")
publish_once = pytest.importorskip("paho.mqtt.publish")

LIMIT = 30


class Session:
    """A Paho client with events for what a test waits for."""

    def __init__(self, broker, client_id, clean=True, protocol=paho.MQTTv311, **will):
        try:
            versions = [paho.CallbackAPIVersion.VERSION1]
        except AttributeError:
            versions = []
        self.client = paho.Client(*versions, client_id, clean_session=clean, protocol=protocol)
        self.messages = []
        self.changed = threading.Condition()
        self.connected, self.subscribed, self.left = (threading.Event() for _ in range(3))
        self.client.on_connect = self.on_connect
        self.client.on_subscribe = lambda *_: self.subscribed.set()
        self.client.on_disconnect = lambda *_: self.left.set()
        self.client.on_message = self.on_message
        if will:
            self.client.will_set(**will)
        self.client.connect("127.0.0.1", broker.port, keepalive=30)
        self.client.loop_start()
        assert self.connected.wait(LIMIT)

    def on_connect(self, _client, _data, flags, code):
        self.session_present = bool(flags["session present"])
        self.code = code
        self.connected.set()

    def on_message(self, _client, _data, message):
        with self.changed:
            self.messages.append(message)
            self.changed.notify_all()

    def subscribe(self, topic, qos):
        self.client.subscribe(topic, qos)
        assert self.subscribed.wait(LIMIT)

    def await_messages(self, count):
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.messages) >= count, LIMIT), len(self.messages)
        return self.messages

    def disconnect(self):
        self.client.disconnect()
        assert self.left.wait(LIMIT)
        self.client.loop_stop()

    def break_off(self):
        """End the thread and the socket without a DISCONNECT."""
        self.client.loop_stop()
        self.client.socket().close()


@pytest.mark.statements("MQTT-7.0.0-2")
@pytest.mark.parametrize("qos", [0, 1, 2])
@pytest.mark.parametrize("protocol", [paho.MQTTv31, paho.MQTTv311])
def test_messages_in_order(broker, name, qos, protocol):
    reader = Session(broker, name + "r", protocol=protocol)
    reader.subscribe(name, qos)
    writer = Session(broker, name + "w", protocol=protocol)
    sent = [writer.client.publish(name, str(number), qos) for number in range(200)]
    for info in sent:
        info.wait_for_publish(LIMIT)
        assert info.is_published()
    got = reader.await_messages(200)
    assert [int(m.payload) for m in got] == list(range(200))
    assert {m.qos for m in got} == {qos}
    writer.disconnect()
    reader.disconnect()


@pytest.mark.parametrize("qos", [1, 2])
def test_a_lasting_session(broker, name, qos):
    reader = Session(broker, name + "r", clean=False)
    assert not reader.session_present
    reader.subscribe(name, qos)
    reader.disconnect()
    writer = Session(broker, name + "w")
    for number in range(50):
        writer.client.publish(name, str(number), qos).wait_for_publish(LIMIT)
    writer.disconnect()
    reader = Session(broker, name + "r", clean=False)
    assert reader.session_present
    assert [int(m.payload) for m in reader.await_messages(50)] == list(range(50))
    reader.disconnect()


def test_a_will_and_retained_messages(broker, name):
    reader = Session(broker, name + "r")
    reader.subscribe(name + "/#", 2)
    dying = Session(broker, name + "d", topic=name + "/will", payload="gone", qos=1, retain=True)
    dying.break_off()
    (message,) = reader.await_messages(1)
    assert (message.topic, message.payload, message.retain) == (name + "/will", b"gone", 0)
    later = Session(broker, name + "l")
    later.subscribe(name + "/will", 1)
    (message,) = later.await_messages(1)
    assert (message.payload, message.retain, message.qos) == (b"gone", 1, 1)
    later.disconnect()
    reader.disconnect()


def test_unsubscribe_and_large_payload(broker, name):
    session = Session(broker, name)
    done = threading.Event()
    session.client.on_unsubscribe = lambda *_: done.set()
    session.subscribe([(name + "/a", 1), (name + "/b", 2)], 0)
    session.client.publish(name + "/a", b"\0" * 1_000_000, 2)
    session.await_messages(1)
    session.client.unsubscribe(name + "/a")
    assert done.wait(LIMIT)
    session.client.publish(name + "/a", "no", 1).wait_for_publish(LIMIT)
    session.client.publish(name + "/b", "yes", 1)
    assert [len(m.payload) for m in session.await_messages(2)] == [1_000_000, 3]
    session.disconnect()


def test_publish_and_leave(broker, name):
    reader = Session(broker, name + "r")
    reader.subscribe(name, 2)
    publish_once.multiple(
        [(name, str(number), number % 3, False) for number in range(9)], "127.0.0.1", broker.port
    )
    assert sorted(int(m.payload) for m in reader.await_messages(9)) == list(range(9))
    reader.disconnect()
