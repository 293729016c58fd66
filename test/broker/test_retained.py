"""Retained messages: set, replaced, cleared, and which flag they go out with."""

import pytest
from mqtt_wire import (
    PING, PINGRESP, PUBCOMP, PUBLISH, PUBREC, SUBACK, puback, pubcomp, publish, pubrec, pubrel, subscribe,
)


def stored(broker, text, qos=2):
    """What a new subscriber gets, by topic. In no order, but after SUBACK."""
    client = broker.connect()
    client.subscribe(text, qos=qos)
    got = client.take_all()
    client.disconnect()
    assert all(p.retain and not p.dup for p in got)
    assert len({p.topic for p in got}) == len(got)
    return {p.topic: (p.payload.decode(), p.qos) for p in got}


@pytest.mark.statements("MQTT-3.3.1-5", "MQTT-3.3.1-6", "MQTT-3.3.1-8", "MQTT-3.8.4-6")
@pytest.mark.parametrize("qos", [0, 1, 2])
@pytest.mark.parametrize("wanted", [0, 1, 2])
def test_a_retained_message_reaches_later_subscribers(broker, name, qos, wanted):
    broker.connect().publish(name, "kept", qos=qos, retain=True)
    for _ in range(2):
        assert stored(broker, name, wanted) == {name: ("kept", min(qos, wanted))}


@pytest.mark.statements("MQTT-3.3.1-9")
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_an_established_subscription_gets_it_without_the_flag(broker, name, qos):
    reader, writer = broker.connect(), broker.connect()
    reader.subscribe(name, qos=2)
    writer.publish(name, "live", qos=qos, retain=True)
    reader.take(name, "live", retain=False, qos=qos)
    reader.quiet()


@pytest.mark.statements("MQTT-3.3.1-5", "MQTT-3.3.1-7")
@pytest.mark.parametrize("first, second", [(0, 1), (1, 0), (2, 0), (0, 2), (1, 1), (0, 0)])
def test_the_last_one_counts(broker, name, first, second):
    writer = broker.connect()
    writer.publish(name, "old", qos=first, retain=True)
    writer.publish(name, "new and longer", qos=second, retain=True)
    assert stored(broker, name) == {name: ("new and longer", second)}


@pytest.mark.statements("MQTT-3.3.1-10", "MQTT-3.3.1-11")
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_an_empty_one_clears_and_is_delivered(broker, name, qos):
    reader, writer = broker.connect(), broker.connect()
    writer.publish(name, "kept", qos=1, retain=True)
    reader.subscribe(name, qos=2)
    reader.take(name, "kept", retain=True)
    for _ in range(2):
        writer.publish(name, "", qos=qos, retain=True)
        reader.take(name, "", retain=False, qos=qos)
        assert stored(broker, name) == {}
    writer.publish(name, "again", retain=True)
    assert stored(broker, name) == {name: ("again", 0)}


@pytest.mark.statements("MQTT-3.3.1-12")
@pytest.mark.parametrize("payload", ["other", ""])
def test_a_message_without_the_flag_changes_nothing(broker, name, payload):
    writer = broker.connect()
    writer.publish(name + "/none", payload, qos=1)
    assert stored(broker, name + "/#") == {}
    writer.publish(name, "kept", retain=True)
    writer.publish(name, payload, qos=1)
    assert stored(broker, name) == {name: ("kept", 0)}


@pytest.mark.statements("MQTT-3.1.2-7")
@pytest.mark.parametrize("clean", [True, False])
@pytest.mark.parametrize("leave", ["disconnect", "close"])
def test_it_outlives_its_publisher(broker, name, clean, leave):
    writer = broker.connect(name, clean=clean)
    writer.publish(name, "kept", qos=1, retain=True)
    getattr(writer, leave)()
    broker.connect(name, clean=True).disconnect()
    assert stored(broker, name) == {name: ("kept", 1)}


@pytest.mark.ours
def test_suback_comes_first(broker, name):
    broker.connect().publish(name, "kept", retain=True)
    client = broker.connect()
    client.send(subscribe(3, (name, 0)))
    client.expect(SUBACK, mid=3)
    client.expect(PUBLISH, retain=True)


@pytest.mark.statements("MQTT-3.8.4-3", "MQTT-3.3.1-6")
@pytest.mark.parametrize("again", [0, 1])
def test_subscribing_again_sends_it_again(broker, name, again):
    broker.connect().publish(name, "kept", qos=1, retain=True)
    client = broker.connect()
    for qos in (1, again, 1):
        client.subscribe(name, qos=qos)
        client.take(name, "kept", retain=True, qos=qos)
        client.quiet()


@pytest.mark.statements("MQTT-3.8.4-4", "MQTT-3.3.1-6")
def test_several_filters_in_one_subscribe(broker, name):
    writer = broker.connect()
    for topic in "abc":
        writer.publish(f"{name}/{topic}", topic, qos=2, retain=True)
    client = broker.connect()
    client.send(subscribe(1, (f"{name}/a", 0), (f"{name}/b", 1), (f"{name}/c", 2), (f"{name}/d", 2)))
    client.expect(SUBACK, codes=[0, 1, 2, 2])
    got = client.take_all()
    assert sorted((p.topic[-1], p.qos, p.retain) for p in got) == [
        ("a", 0, True), ("b", 1, True), ("c", 2, True),
    ]


TREE = ["{n}", "{n}/a", "{n}/a/b", "{n}/a/c", "{n}/b/b", "{n}//", "{n}/", "{n}/é", "/{n}"]


@pytest.mark.statements("MQTT-3.3.1-6", "MQTT-3.3.2-3")
@pytest.mark.parametrize(
    "text, expected",
    [
        ("{n}/#", [0, 1, 2, 3, 4, 5, 6, 7]), ("{n}", [0]), ("{n}/+", [1, 6, 7]), ("{n}/+/b", [2, 4]),
        ("{n}/+/+", [2, 3, 4, 5]), ("{n}/a/#", [1, 2, 3]), ("+/{n}", [8]), ("{n}/+/#", [1, 2, 3, 4, 5, 6, 7]),
        ("{n}//", [5]), ("{n}/é", [7]), ("{n}/b/#", [4]), ("{n}/x/#", []), ("{n}/+/x", []), ("{n}/a/+/#", [2, 3]),
        ("/+", [8]), ("/#", [8]),
    ],
)
def test_filters_find_retained_messages(own_tree, text, expected):
    broker = own_tree
    found = stored(broker, text.format(n="tree"))
    assert sorted(found) == sorted(TREE[i].format(n="tree") for i in expected)


@pytest.fixture
def own_tree(brokers):
    """A broker of its own kind, whose only retained messages are the tree's."""
    broker = brokers.get("max_queued_messages 1001")
    writer = broker.connect()
    for topic in TREE:
        writer.publish(topic.format(n="tree"), "leaf", retain=True)
    return broker


@pytest.mark.statements("MQTT-4.7.2-1")
def test_wildcards_first_do_not_find_dollar_topics(own_broker):
    writer = own_broker.connect()
    writer.publish("$mine/a", "dollar", retain=True)
    writer.publish("mine/a", "plain", retain=True)
    assert stored(own_broker, "#") == {"mine/a": ("plain", 0)}
    assert stored(own_broker, "+/a") == {"mine/a": ("plain", 0)}
    assert stored(own_broker, "+/#") == {"mine/a": ("plain", 0)}
    assert stored(own_broker, "$mine/#") == {"$mine/a": ("dollar", 0)}
    assert stored(own_broker, "$mine/+") == {"$mine/a": ("dollar", 0)}


def test_a_retained_message_for_an_absent_client_has_no_flag(broker, name):
    """It was matched by an established subscription (3.3.1-9), even if it arrives later."""
    client = broker.connect(name, clean=False)
    client.subscribe(name, qos=1)
    client.disconnect()
    broker.connect().publish(name, "x", qos=1, retain=True)
    client = broker.connect(name, clean=False)
    client.take(name, "x", retain=False)
    client.quiet()


def test_a_retained_message_sent_again_keeps_its_flag(broker, name):
    broker.connect().publish(name, "x", qos=1, retain=True)
    client = broker.connect(name, clean=False)
    client.subscribe(name, qos=1)
    client.expect(PUBLISH, retain=True, dup=False)
    client.close()
    client = broker.connect(name, clean=False)
    client.take(name, "x", retain=True, dup=True)


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_a_reader_gets_all_of_5000(many, qos):
    """More than any queue holds: they are fed as the reader drains them."""
    client = many.connect()
    client.send(subscribe(1, ("many/#", qos)))
    client.expect(SUBACK)
    got = set()
    while len(got) < 5000:
        packet = client.recv()
        if packet.kind != PUBLISH:
            client.send(pubcomp(packet.mid))
            continue
        assert packet.retain and packet.qos == qos and packet.topic not in got
        got.add(packet.topic)
        if qos == 1:
            client.send(puback(packet.mid))
        elif qos == 2:
            client.send(pubrec(packet.mid))
    client.take_all()
    assert got == {f"many/{i % 50}/{i}" for i in range(5000)}


def test_live_messages_pass_while_5000_are_fed(many):
    """A reader in the middle of its retained messages misses nothing that is published now."""
    client, writer = many.connect(), many.connect()
    client.send(subscribe(1, ("many/#", 0)))
    assert client.recv().kind == SUBACK
    for number in range(200):
        writer.send(publish("many/live", str(number)))
    writer.quiet()
    live = []
    got = set()
    while len(live) < 200 or len(got) < 5000:
        packet = client.recv()
        if packet.kind == PUBLISH:
            if packet.retain:
                got.add(packet.topic)
            else:
                live.append(int(packet.payload))
    assert live == sorted(live)


@pytest.fixture
def many(brokers):
    broker = brokers.get("max_queued_messages 1002", verbose=False)
    if not getattr(broker, "filled", False):
        writer = broker.connect()
        for start in range(0, 5000, 100):
            numbers = range(start, start + 100)
            for i in numbers:
                writer.send(publish(f"many/{i % 50}/{i}", f"v{i}", 2, i + 1, retain=True), pubrel(i + 1))
            answers = [writer.recv() for _ in range(200)]
            assert sorted(p.kind for p in answers) == [PUBREC] * 100 + [PUBCOMP] * 100
        broker.filled = True
    return broker


def test_clearing_thousands_leaves_nothing(brokers, name):
    broker = brokers.get(verbose=False)
    writer = broker.connect()
    topics = [f"{name}/{i % 7}/{i}" for i in range(2000)]
    for payload in ("x", ""):
        writer.send(*[publish(t, payload, retain=True) for t in topics])
        writer.quiet()
    assert stored(broker, name + "/#") == {}
    writer.publish(f"{name}/1", "parent", retain=True)
    assert stored(broker, name + "/#") == {f"{name}/1": ("parent", 0)}


@pytest.mark.statements("MQTT-3.3.5-2", "MQTT-4.8.0-1")
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_retaining_where_it_is_switched_off_closes(brokers, name, qos):
    broker = brokers.get("retain_available false")
    watcher = broker.connect()
    watcher.subscribe(name)
    client = broker.connect()
    client.send(publish(name, "x", qos, 1 if qos else None, retain=True))
    client.expect_closed()
    watcher.quiet()
    broker.connect().publish(name, "plain", qos=qos)
    watcher.take(name, "plain")
    assert stored(broker, name) == {}


def test_a_retained_message_does_not_come_after_a_newer_live_one(broker, name):
    """One segment: subscribe, then publish without RETAIN to the same topic."""
    broker.connect().publish(name, "old", retain=True)
    client = broker.connect()
    client.send(subscribe(1, (name, 0)), publish(name, "new"), PING)
    client.expect(SUBACK)
    client.expect(PUBLISH, payload="old", retain=True)
    client.expect(PUBLISH, payload="new", retain=False)
    client.expect(PINGRESP)
