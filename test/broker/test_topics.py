"""Topics and filters: what matches what, how long and how deep they may be."""

import random

import pytest
from mqtt_wire import SUBACK, UNSUBACK, connect, publish, subscribe, unsubscribe

MATCHES = [
    # filter, topics that match, topics that do not
    ("sport/tennis/player1/#", ["sport/tennis/player1", "sport/tennis/player1/ranking",
                                "sport/tennis/player1/score/wimbledon"], ["sport/tennis", "sport/tennis/player10"]),
    ("sport/#", ["sport", "sport/", "sport/a", "sport/a/b/c"], ["sports", "Sport", "/sport"]),
    ("#", ["sport", "/", "//", "a/b", " "], ["$x", "$SYSx/y", "$"]),
    ("sport/tennis/+", ["sport/tennis/player1", "sport/tennis/"], ["sport/tennis", "sport/tennis/player1/ranking"]),
    ("sport/+", ["sport/", "sport/x"], ["sport", "sport/x/", "sport/x/y"]),
    ("+", ["finance", " "], ["/finance", "finance/", "$finance", "/"]),
    ("+/+", ["/finance", "finance/", "/", "a/b"], ["finance", "//", "$a/b", "a/b/c"]),
    ("/+", ["/finance", "/"], ["finance", "//", "/finance/"]),
    ("+/tennis/#", ["a/tennis", "/tennis", "a/tennis/b/c"], ["a/b/tennis", "tennis", "$a/tennis"]),
    ("sport/+/player1", ["sport/tennis/player1", "sport//player1"], ["sport/player1", "sport/a/b/player1"]),
    ("+/+/+", ["//", "a/b/c", "a//c"], ["a/b", "a/b/c/d", "$a/b/c"]),
    ("+/+/#", ["a/b", "a/b/c", "/", "///"], ["a", "$a/b"]),
    ("a//b", ["a//b"], ["a/b", "a///b"]),
    ("a/+/b", ["a//b", "a/x/b"], ["a/b", "a/x/y/b"]),
    ("/", ["/"], ["//", "a/", "/a"]),
    ("$own/#", ["$own", "$own/a", "$own/a/b"], ["own", "$owner", "/$own"]),
    ("$own/+", ["$own/a", "$own/"], ["$own", "$own/a/b"]),
    ("+/$own", ["a/$own", "/$own"], ["$a/$own"]),
    ("a/$own/+", ["a/$own/b"], ["a/own/b"]),
    ("a/$own/#", ["a/$own", "a/$own/$b"], ["a"]),
    ("Accounts payable", ["Accounts payable"], ["Accounts", "accounts payable"]),
    ("+/b/+/d/#", ["a/b/c/d", "a/b/c/d/e/f", "/b//d"], ["a/b/c", "a/b/c/e"]),
]


@pytest.fixture(scope="module")
def topic_names():
    return sorted({t for _, good, bad in MATCHES for t in good + bad})


@pytest.mark.statements("MQTT-4.7.1-2", "MQTT-4.7.1-3", "MQTT-4.7.2-1", "MQTT-4.7.3-4", "MQTT-3.3.2-3",
                        "MQTT-3.8.3-2", "MQTT-4.5.0-1")
@pytest.mark.parametrize("text, good, bad", MATCHES, ids=[m[0] for m in MATCHES])
def test_what_matches(own_kind, text, good, bad):
    client = own_kind.connect()
    client.subscribe(text)
    client.send(*[publish(t, "x") for t in good + bad])
    assert [p.topic for p in client.ping()] == good


@pytest.fixture
def own_kind(brokers):
    """Not the broker that the other tests of this run publish to: '#' would see them."""
    return brokers.get("max_queued_messages 1003")


def plain_match(text, topic):
    """The rules of section 4.7, word by word."""
    if topic.startswith("$") and text[0] in "+#":
        return False
    want, have = text.split("/"), topic.split("/")
    for index, level in enumerate(want):
        if level == "#":
            return True
        if index >= len(have) or level not in ("+", have[index]):
            return False
    return len(want) == len(have)


@pytest.mark.statements("MQTT-3.3.2-3", "MQTT-4.7.1-2", "MQTT-4.7.1-3", "MQTT-4.7.2-1", "MQTT-3.3.5-1",
                        "MQTT-3.8.3-2")
@pytest.mark.parametrize("seed", range(5))
def test_random_filters_against_a_plain_matcher(own_kind, seed):
    rng = random.Random(seed)
    words = ["a", "b", "", "$c", "ab"]
    filters = {}
    for _ in range(150):
        levels = [rng.choice([*words, "+", "+"]) for _ in range(rng.randint(1, 5))]
        if rng.random() < 0.3:
            levels[-1] = "#"
        if "/".join(levels):
            filters["/".join(levels)] = rng.randint(0, 2)
    clients = [own_kind.connect() for _ in range(10)]
    share = {client: {} for client in clients}
    for text, qos in filters.items():
        client = rng.choice(clients)
        client.subscribe((text, qos))
        share[client][text] = qos
    writer = own_kind.connect()
    topics = ["/".join(rng.choice(words) for _ in range(rng.randint(1, 5))) for _ in range(100)]
    topics = [t for t in topics if t]
    for topic in topics:
        writer.publish(topic, topic)
    for client in clients:
        expected = [t for t in topics if any(plain_match(f, t) for f in share[client])]
        assert [p.topic for p in client.ping()] == expected


def test_the_plain_matcher_of_this_module():
    for text, good, bad in MATCHES:
        assert all(plain_match(text, t) for t in good), text
        assert not any(plain_match(text, t) for t in bad), text


@pytest.mark.statements("MQTT-4.7.3-3")
@pytest.mark.parametrize("length", [1, 127, 128, 1000, 32768, 65533, 65534, 65535])
def test_topics_of_every_length(broker, name, length):
    topic = (name + "x" * 65535)[:length]
    client = broker.connect()
    client.subscribe(topic)
    client.send(publish(topic, "p"))
    client.take(topic, "p")
    client.unsubscribe(topic)


def deep(count, level="l"):
    return "/".join([level] * count)


@pytest.mark.ours
def test_200_levels_are_allowed(broker):
    client = broker.connect()
    for text in (deep(200), deep(199) + "/#", deep(200, "+"), "/" * 199):
        client.subscribe(text)
        client.unsubscribe(text)
    client.subscribe(deep(200))
    client.send(publish(deep(200), "deep", retain=True))
    client.take(deep(200), "deep")
    client.send(publish(deep(200), "", retain=True))
    client.take(deep(200), "")


DEPTHS = [pytest.param(201, marks=pytest.mark.ours), 202, 300, 30000, 32768]


@pytest.mark.parametrize("count", DEPTHS)
@pytest.mark.parametrize("level", ["", "a", "+"])
def test_more_than_200_levels_in_subscribe_close(broker, count, level):
    text = deep(count, level)[:65535]
    client = broker.connect()
    client.send(subscribe(1, (text, 0)))
    client.expect_closed()


@pytest.mark.parametrize("count", DEPTHS)
@pytest.mark.parametrize("level", ["", "a"])
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_more_than_200_levels_in_publish_close(broker, count, level, qos):
    client = broker.connect()
    client.send(publish(deep(count, level)[:65535], "x", qos, 1 if qos else None, retain=True))
    client.expect_closed()


@pytest.mark.parametrize("count", [202, 300, 30000, 32768])
def test_depth_elsewhere_does_no_harm(broker, name, count):
    """In UNSUBSCRIBE, in a shared subscription, in a will: refused or ignored, and nobody dies of it."""
    text = deep(count, "a")[:65535]
    client = broker.connect()
    client.send(unsubscribe(1, text), subscribe(2, ("$share/g/" + text[:65000], 0)))
    client.expect_closed(allow=(UNSUBACK,))
    client = broker.client()
    client.send(connect(name, will={"topic": text, "payload": "x"}))
    client.expect_closed()
    broker.answers()


@pytest.mark.ours
@pytest.mark.parametrize("what", ["publish", "subscribe"])
def test_the_log_says_why_201_levels_closed(brokers, name, what):
    broker = brokers.get("connection_messages true")  # what other tests did just now is a flood to the shared one
    client = broker.connect(name)
    since = len(broker.log.lines)
    client.send(publish(deep(201), "x") if what == "publish" else subscribe(1, (deep(201), 0)))
    client.expect_closed()
    line = broker.log.wait(rf"Client {name} \[127\.0\.0\.1:\d+\] disconnected: ", since)
    assert "levels" in line


def test_filters_built_to_make_matching_explode(brokers):
    """4,096 filters of 12 levels, each level 'a' or '+': all match one topic, one copy comes."""
    broker = brokers.get("max_queued_messages 1003")
    client, writer = broker.connect(), broker.connect()
    filters = ["/".join("+" if bits >> i & 1 else "a" for i in range(12)) for bits in range(4096)]
    for start in range(0, 4096, 512):
        client.send(subscribe(1, *[(f, 0) for f in filters[start : start + 512]]))
        client.expect(SUBACK)
    topic = deep(12, "a")
    for number in range(20):
        writer.publish(topic, str(number))
    assert [p.payload for p in client.ping()] == [str(n).encode() for n in range(20)]


def test_matching_costs_what_matches(brokers):
    """Filters of 60 wildcards whose last level never fits: looking must stay cheap."""
    broker = brokers.get("max_queued_messages 1003", verbose=False)
    client, writer = broker.connect(), broker.connect()
    filters = [deep(n, "+") + "/never" for n in range(1, 100)] + [deep(n, "+") + "/#" for n in range(100, 150)]
    client.send(subscribe(1, *[(f, 0) for f in filters]))
    client.expect(SUBACK)
    for _ in range(1000):
        writer.send(publish(deep(60, "a"), "x"))
    writer.quiet()
    client.quiet()
