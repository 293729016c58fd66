"""SUBSCRIBE and UNSUBSCRIBE: what is granted, replaced, removed, refused."""

import pytest
from mqtt_wire import (
    SUBACK, SUBSCRIBE, UNSUBACK, UNSUBSCRIBE, field, packet, publish, subscribe, u16, unsubscribe,
)


@pytest.mark.statements("MQTT-3.8.4-1", "MQTT-3.8.4-2", "MQTT-3.8.4-5", "MQTT-3.9.3-1", "MQTT-3.9.3-2",
                        "MQTT-2.3.1-7")
def test_codes_are_in_the_order_of_the_filters(broker, name):
    client = broker.connect()
    client.send(subscribe(0x0102, *[(f"{name}/{i}", q) for i, q in enumerate([2, 0, 1, 1, 0, 2])]))
    client.expect(SUBACK, mid=0x0102, codes=[2, 0, 1, 1, 0, 2])
    client.quiet()


@pytest.mark.statements("MQTT-3.8.4-5", "MQTT-3.8.4-4", "MQTT-3.8.4-3")
def test_each_filter_has_a_code_even_when_repeated(broker, name):
    client = broker.connect()
    client.send(subscribe(1, (name, 0), (name, 2), (name, 1)))
    client.expect(SUBACK, codes=[0, 2, 1])
    broker.connect().publish(name, "x", qos=2)
    client.take(name, "x", qos=1)
    client.quiet()


@pytest.mark.statements("MQTT-3.8.4-4", "MQTT-3.9.3-1")
def test_a_thousand_filters_in_one_subscribe(broker, name):
    client = broker.connect()
    client.send(subscribe(9, *[(f"{name}/{i}", i % 3) for i in range(1000)]))
    client.expect(SUBACK, mid=9, codes=[i % 3 for i in range(1000)])
    client.send(publish(f"{name}/999", "x"))
    client.take(f"{name}/999", "x")


@pytest.mark.statements("MQTT-3.8.4-3")
def test_the_same_filter_replaces(broker, name):
    reader, writer = broker.connect(), broker.connect()
    for qos in (2, 0, 1, 2):
        reader.subscribe(name, qos=qos)
        writer.publish(name, "x", qos=2)
        reader.take(name, "x", qos=qos)
        reader.quiet()


@pytest.mark.statements("MQTT-3.8.3-3", "MQTT-3.10.3-2", "MQTT-4.8.0-1")
@pytest.mark.parametrize("kind", [SUBSCRIBE, UNSUBSCRIBE])
def test_no_filter_closes(broker, kind):
    client = broker.connect()
    client.send(packet(kind, 2, u16(1)))
    client.expect_closed()


@pytest.mark.statements("MQTT-3.8.3-4", "MQTT-4.8.0-1")
@pytest.mark.parametrize("option", [3, 4, 8, 0x10, 0x20, 0x40, 0x80, 0x81, 0xFC, 0xFF])
@pytest.mark.parametrize("place", [0, 1])
def test_reserved_bits_beside_the_qos_close(broker, name, option, place):
    filters = [(name, 0)] * place + [(name, option)] + [(name, 0)]
    client = broker.connect(name, clean=False)
    client.send(subscribe(1, *filters))
    client.expect_closed()


BAD_FILTERS = [
    "", "#/", "#/a", "a/#/b", "a#", "#a", "a/b#", "a/#b", "##", "a/##", "+a", "a+", "a/+b", "a/b+", "++",
    "a/++", "+#", "#+", "a/#/", "/#/", "a/+#", "+a/b",
]


@pytest.mark.statements("MQTT-4.7.1-2", "MQTT-4.7.1-3", "MQTT-4.7.3-1", "MQTT-4.8.0-1")
@pytest.mark.parametrize("text", BAD_FILTERS)
def test_malformed_filters_are_never_granted(broker, name, text):
    client = broker.connect(name)
    client.send(subscribe(1, (name, 0), (text, 0)))
    client.expect_closed()
    client = broker.connect(name)
    client.send(unsubscribe(1, name, text))
    client.expect_closed()


@pytest.mark.statements("MQTT-3.10.4-1", "MQTT-3.10.4-4", "MQTT-2.3.1-7")
def test_unsubscribe_removes_only_its_equal(broker, name):
    filters = [f"{name}/a", f"{name}/+", f"{name}/#", f"{name}/A", f"/{name}/a", f"{name}/a/"]
    reader, writer = broker.connect(), broker.connect()
    for left in filters:
        for text in filters:
            reader.subscribe(text)
        for text in filters:
            if text != left:
                reader.unsubscribe(text)
        writer.publish(left.replace("+", "plus").replace("#", "hash/deep"), "x")
        reader.take(payload="x")
        writer.publish(f"{name}/other/deep" if left[-1] != "#" else f"/{name}", "y")
        reader.quiet()
        reader.unsubscribe(left)


@pytest.mark.statements("MQTT-3.10.4-1", "MQTT-3.10.4-5")
def test_a_wildcard_in_unsubscribe_is_only_a_string(broker, name):
    client = broker.connect()
    client.subscribe(f"{name}/a", f"{name}/b")
    for text in (f"{name}/+", f"{name}/#", "#", f"{name}/a/#", name):
        client.unsubscribe(text)
    client.send(publish(f"{name}/a", "still"), publish(f"{name}/b", "here"))
    client.take(payload="still")
    client.take(payload="here")


@pytest.mark.statements("MQTT-3.10.4-2", "MQTT-3.10.4-4")
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_nothing_new_after_unsuback(broker, name, qos):
    reader, writer = broker.connect(), broker.connect()
    reader.subscribe(name, qos=qos)
    writer.publish(name, "before", qos=qos)
    reader.take(name, "before")
    reader.unsubscribe(name)
    writer.publish(name, "after", qos=qos)
    reader.quiet()


@pytest.mark.statements("MQTT-3.10.4-5", "MQTT-3.10.4-4")
def test_unsuback_comes_also_for_nothing(broker, name):
    client = broker.connect()
    client.send(unsubscribe(77, name))
    client.expect(UNSUBACK, mid=77)
    client.quiet()


@pytest.mark.statements("MQTT-3.10.4-6")
def test_several_filters_in_one_unsubscribe(broker, name):
    client = broker.connect()
    client.subscribe(*[f"{name}/{i}" for i in range(5)])
    client.send(unsubscribe(5, f"{name}/0", f"{name}/nothing", f"{name}/3", f"{name}/3"))
    client.expect(UNSUBACK, mid=5)
    client.send(*[publish(f"{name}/{i}", str(i)) for i in range(5)])
    assert [p.payload for p in client.ping()] == [b"1", b"2", b"4"]


@pytest.mark.statements("MQTT-3.10.4-1", "MQTT-3.1.2-4")
def test_unsubscribing_lasts_over_a_reconnect(broker, name):
    client = broker.connect(name, clean=False)
    client.subscribe(f"{name}/a", f"{name}/b", qos=1)
    client.unsubscribe(f"{name}/a")
    client.disconnect()
    client = broker.connect(name, clean=False)
    writer = broker.connect()
    writer.publish(f"{name}/a", "a", qos=1)
    writer.publish(f"{name}/b", "b", qos=1)
    client.take(f"{name}/b", "b")
    client.quiet()


@pytest.mark.statements("MQTT-3.8.4-1", "MQTT-3.3.2-3")
def test_a_client_gets_its_own_messages(broker, name):
    client = broker.connect()
    client.subscribe(name, qos=1)
    client.send(publish(name, "mine"))
    client.take(name, "mine")


@pytest.mark.ours
@pytest.mark.statements("MQTT-4.8.0-1")
def test_a_malformed_subscribe_grants_nothing(broker, name):
    """Not even the filters before the bad one: the session is as it was."""
    client = broker.connect(name, clean=False)
    client.send(packet(SUBSCRIBE, 2, u16(1) + field(name + "/first") + b"\1" + field(name) + b"\3"))
    client.expect_closed()
    broker.connect().publish(name + "/first", "x", qos=1)
    client = broker.connect(name, clean=False)
    client.quiet()


def test_subscriptions_come_and_go_by_the_thousand(broker, name):
    client = broker.connect()
    filters = [f"{name}/{i % 10}/{i}/{'+' if i % 3 else '#'}" for i in range(2000)]
    for _ in range(2):
        client.send(subscribe(1, *[(f, 0) for f in filters]))
        client.expect(SUBACK)
        client.send(unsubscribe(2, *reversed(filters)))
        client.expect(UNSUBACK)
    client.send(*[publish(f"{name}/{i % 10}/{i}/x", "x") for i in range(0, 2000, 100)])
    client.quiet()
