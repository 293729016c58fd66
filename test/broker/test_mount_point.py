"""A listener with a mount point: a world of its own below a topic of the others."""

import subprocess
import time

import pytest
from broker_process import binary, free_port
from mqtt_wire import (
    CONNACK, PATIENCE, PUBACK, PUBCOMP, PUBLISH, PUBREC, PUBREL, SUBACK, Client, connect, pubcomp, publish, pubrec,
    pubrel, subscribe, unsubscribe,
)
from stored_broker import StoredBroker

pytestmark = pytest.mark.ours  # 2.0.11 puts the mount point on, and never takes it off again


class Place:
    """A broker with a plain listener, and one behind a mount point."""

    def __init__(self, brokers, mount="m/", *lines):
        self.port = free_port()
        self.lines = [*lines, f"listener {self.port} 127.0.0.1", f"mount_point {mount}"]
        self.broker = brokers.start(*self.lines)
        self.broker.log.wait("running$")

    def out(self, client_id=None, **options):
        return self.broker.connect(client_id, **options)

    def inside(self, client_id=None, **options):
        return inside(self.broker, self.port, client_id, **options)


def inside(broker, port, client_id=None, **options):
    client = Client(port)
    broker.clients.append(client)
    client.connack = client.connect(client_id or broker.new_id(), **options)
    return client


@pytest.fixture
def place(brokers):
    return Place(brokers)


@pytest.mark.parametrize("qos", [0, 1, 2])
@pytest.mark.parametrize("size", [0, 10, 5000, 100_000])
def test_each_side_has_its_own_names(place, qos, size):
    here, there = place.inside(), place.out()
    here.subscribe("#", qos=2)
    there.subscribe("#", qos=2)
    place.inside().publish("a/b", "x" * size, qos=qos)
    here.take("a/b", "x" * size, qos=qos)
    there.take("m/a/b", "x" * size, qos=qos)
    place.out().publish("m/c", "y" * size, qos=qos)
    here.take("c", "y" * size, qos=qos)
    there.take("m/c", "y" * size, qos=qos)


def test_nothing_outside_is_seen(place):
    here, there = place.inside(), place.out()
    here.subscribe("#", "+", "+/#", "../#", "/#", "m/#", "$SYS/#", "$SYS/broker/version", qos=1)
    for topic in ("a", "n/a", "m", "m/", "M/a", "mm/a", "/m/a", "$x/m/a"):
        there.publish(topic, "x", qos=1)
        there.publish(topic, "x", retain=True)
    here.quiet()
    here.subscribe("#", qos=1)
    here.quiet()


def test_nothing_outside_is_reached(place):
    there = place.out()
    there.subscribe("#", qos=1)
    here = place.inside()
    for topic in ("a", "m/a", "../a", "/a", "$x/a"):
        here.publish(topic, "x", qos=1)
        there.take("m/" + topic, "x")


def test_the_brokers_own_topics_are_not_for_writing(place):
    there = place.out()
    there.subscribe("#", "m/#", "m/$SYS/#", "m/$CONTROL/#", qos=1)
    here = place.inside()
    here.publish("$SYS/x", "x", qos=1)
    here.publish("$CONTROL/x", "x", qos=1)
    there.quiet()
    for topic in ("$SYS/x", "$CONTROL/x"):
        client = Client(place.port)
        client.send(connect("will", will={"topic": topic}))
        client.expect(CONNACK, code=5)
        client.expect_closed()


def test_a_mount_point_below_sys_opens_nothing(brokers):
    place = Place(brokers, "$SYS/")
    there = place.out()
    there.subscribe("$SYS/x", qos=1)
    here = place.inside()
    here.publish("x", "x", qos=1)
    there.quiet()


def test_retained_messages(place):
    there = place.out()
    there.publish("m/kept", "by out", qos=1, retain=True)
    there.publish("kept", "outside", qos=1, retain=True)
    here = place.inside()
    here.publish("mine", "by in", qos=1, retain=True)
    here.subscribe("kept", "mine", qos=1)
    got = sorted((p.topic, p.payload, p.retain) for p in here.take_all())
    assert got == [("kept", b"by out", True), ("mine", b"by in", True)]
    there.subscribe("m/mine", qos=1)
    there.take("m/mine", "by in", retain=True)
    here.send(publish("kept", "", retain=True))
    here.take("kept", "")
    later = place.out()
    later.subscribe("kept", "m/kept")
    later.take("kept", "outside", retain=True)
    later.quiet()


def test_unsubscribe(place):
    here, there = place.inside(), place.out()
    here.subscribe("a", "b/#", "$share/g/c")
    here.unsubscribe("m/a")
    there.publish("m/a", "1")
    here.take("a", "1")
    here.unsubscribe("a", "b/#", "$share/g/c")
    for topic in ("m/a", "m/b/x", "m/c"):
        there.publish(topic, "2")
    here.quiet()


def test_shared_subscriptions(place):
    """The group is one with those outside who subscribe to the same topics."""
    here, there, sender = place.inside(), place.out(), place.inside()
    here.subscribe("$share/g/t/+")
    there.subscribe("$share/g/m/t/+")
    for n in range(10):
        sender.publish(f"t/{n}", "x")
    mine, theirs = here.take_all(), there.take_all()
    assert len(mine) == len(theirs) == 5
    assert all(p.topic.startswith("t/") for p in mine)
    assert all(p.topic.startswith("m/t/") for p in theirs)


def test_wills(place):
    here, there = place.inside(), place.out()
    here.subscribe("#", qos=1)
    there.subscribe("#", qos=1)
    place.inside(will={"topic": "gone", "payload": "x", "qos": 1, "retain": True}).close()
    here.take("gone", "x")
    there.take("m/gone", "x")
    later = place.inside()
    later.subscribe("gone", qos=1)
    later.take("gone", "x", retain=True)


def test_a_topic_that_becomes_too_long(place):
    """65,535 bytes with the mount point; more is a request that cannot be, and says so."""
    watcher = place.out()
    watcher.subscribe("m/#")
    fits = "t" * 65533
    place.inside().publish(fits, "x", qos=1)
    watcher.take("m/" + fits)
    long = "t" * 65534
    for raw, reason in (
        (publish(long, "x"), "topic too long with the mount point"),
        (publish(long, "x", qos=1, mid=1), "topic too long with the mount point"),
        (subscribe(1, ("a", 0), (long, 0)), "topic too long with the mount point"),
        (unsubscribe(1, long), "topic too long with the mount point"),
        (publish("/" * 199, "x"), "too many levels"),
    ):
        since = len(place.broker.log.lines)
        client = place.inside()
        client.send(raw)
        client.expect_closed()
        place.broker.log.wait(reason, since)
    since = len(place.broker.log.lines)
    client = Client(place.port)
    client.send(connect("will", will={"topic": long}))
    client.expect_closed()
    place.broker.log.wait(r"topic too long with the mount point \(mount_point m/\)", since)


def test_a_mount_point_without_a_slash(brokers):
    """Is put before as it is; a wildcard would mean nothing then, and the client is told so."""
    place = Place(brokers, "m")
    here, there = place.inside(), place.out()
    here.send(subscribe(1, ("#", 1), ("+", 0), ("/+", 1), ("x", 2)))
    assert here.expect(SUBACK).codes == [0x80, 0x80, 1, 2]
    for topic in ("m/a", "mx", "m", "ma"):
        there.publish(topic, topic)
    here.take("/a", "m/a")
    here.take("x", "mx")
    here.quiet()


def test_log_lines_name_topics_as_the_broker_knows_them(place):
    here = place.inside("logged", will={"topic": "w", "payload": "x"})
    here.subscribe("a/#", qos=1)
    here.send(publish("a/b", "12345", qos=0))
    here.take("a/b")
    here.unsubscribe("a/#")
    log = place.broker.log
    for line in (
        r"\tm/w$", r"\tm/a/# \(QoS 1\)$", r"logged 1 m/a/#$", r"logged m/a/#$",
        r"Received PUBLISH from logged \(d0, q0, r0, m0, 'm/a/b', ... \(5 bytes\)\)$",
        r"Sending PUBLISH to logged \(d0, q0, r0, m0, 'a/b', ... \(5 bytes\)\)$",
    ):
        log.wait(line)


# --- sessions that have been on the other side ---


def test_a_stored_session_from_inside(place):
    place.inside("stored", clean=False).subscribe("#", qos=1)
    place.out().publish("m/a", "queued", qos=1)
    again = place.inside("stored", clean=False)
    assert again.connack.session_present
    again.take("a", "queued", qos=1)
    again.disconnect()
    place.out().publish("m/a", "for out", qos=1)
    outside = place.out("stored", clean=False)
    outside.take("m/a", "for out", qos=1)
    outside.quiet()


def check_dropped(log):
    """One line for a connection, with the rule."""
    pattern = r"dropped for client stored \[.*\]: topic outside its mount point \(mount_point m/\)"
    log.wait(pattern)
    assert len(log.wait_for(1, pattern)) == 1


def test_a_stored_session_from_outside(place):
    """What has no name behind the mount point is dropped there, never given under another name."""
    before = place.out("stored", clean=False)
    before.subscribe("#", qos=2)
    before.disconnect()
    sender = place.out()
    for n in range(30):
        sender.publish("m/yes", str(n), qos=n % 2 + 1)
        sender.publish("no", str(n), qos=n % 2 + 1)
    here = place.inside("stored", clean=False)
    assert here.connack.session_present
    assert [(p.topic, p.payload) for p in here.take_all()] == [("yes", str(n).encode()) for n in range(30)]
    sender.publish("no", "live", qos=1)
    sender.publish("no", "live", qos=0)
    sender.publish("m/yes", "live", qos=0)
    here.take("yes", "live")
    here.quiet()
    check_dropped(place.broker.log)
    here.disconnect()
    outside = place.out("stored", clean=False)
    outside.quiet()
    sender.publish("no", "again", qos=1)
    outside.take("no", "again")


def test_a_message_in_flight_from_outside(place):
    """Its packet id becomes free: by PUBREL where the client may have it already."""
    before = place.out("stored", clean=False)
    before.subscribe("#", qos=2)
    sender = place.out()
    for qos in (1, 2, 2):
        sender.publish("no", "x", qos=qos)
    first, second, third = (before.expect(PUBLISH) for _ in range(3))
    assert (first.qos, second.qos, third.qos) == (1, 2, 2)
    before.send(pubrec(third.mid))
    before.expect(PUBREL, mid=third.mid)
    before.close()
    here = place.inside("stored", clean=False)
    here.expect(PUBREL, mid=second.mid)
    here.expect(PUBREL, mid=third.mid)
    here.send(pubcomp(second.mid), pubcomp(third.mid))
    here.quiet()
    place.out("stored", clean=False).quiet()


def take_many(client, count):
    """So many messages, also when they come from the disk, or less when there are no more in good time."""
    out = []
    deadline = time.monotonic() + PATIENCE
    while len(out) < count and time.monotonic() < deadline:
        out += [(p.topic, p.payload) for p in client.take_all()]
    return out


@pytest.mark.parametrize("more", [[], ["persistence_memory_limit 1"]])
def test_after_a_crash(tmp_path, more):
    """The same with a broker that has been killed twice; what was dropped stays dropped."""
    port = free_port()
    lines = [*more, f"listener {port} 127.0.0.1", "mount_point m/"]
    broker = StoredBroker(tmp_path, lines)
    broker.connect("stored", clean=False).subscribe("#", qos=2)
    inside(broker, port, "own", clean=False).subscribe("#", qos=1)
    broker.drop_clients()
    sender = broker.connect()
    for n in range(50):
        sender.publish("m/yes", str(n), qos=n % 2 + 1)
        sender.publish("no", str(n), qos=n % 2 + 1)
    broker.kill()
    broker = broker.again()
    for client_id in ("own", "stored"):
        here = inside(broker, port, client_id, clean=False)
        assert take_many(here, 50) == [("yes", str(n).encode()) for n in range(50)]
        assert not here.take_all()
    check_dropped(broker.log)
    broker.kill()
    broker = broker.again()
    assert not broker.connect("stored", clean=False).take_all()
    broker.stop()


def test_publishing_at_qos2_twice_is_one_message(place):
    """A repeat finds what the first has begun, though its topic has been rewritten."""
    watcher = place.out()
    watcher.subscribe("m/#", qos=2)
    here = place.inside("twice", clean=False)
    here.send(publish("t", "x", qos=2, mid=5))
    here.expect(PUBREC, mid=5)
    here.close()
    here = place.inside("twice", clean=False)
    here.send(publish("t", "x", qos=2, mid=5, dup=True))
    here.expect(PUBREC, mid=5)
    here.send(pubrel(5))
    here.expect(PUBCOMP, mid=5)
    watcher.take("m/t", "x")
    watcher.quiet()


def test_two_listeners_with_mount_points(brokers):
    second = free_port()
    place = Place(brokers, "one/", f"listener {second} 127.0.0.1", "mount_point two/")
    one, two, there = place.inside(), inside(place.broker, second), place.out()
    for client in (one, two, there):
        client.subscribe("#", qos=1)
    inside(place.broker, second).publish("t", "x", qos=1)
    two.take("t", "x")
    there.take("two/t", "x")
    one.quiet()
    one.send(publish("t", "y", qos=1, mid=9))
    one.take("t", "y")
    one.expect(PUBACK, mid=9)
    there.take("one/t", "y")
    two.quiet()


@pytest.mark.parametrize("mount", ["a/#", "+/a", "#"])
def test_no_wildcards_in_a_mount_point(tmp_path, mount):
    config = tmp_path / "wrong.conf"
    config.write_text(f"listener {free_port()} 127.0.0.1\nmount_point {mount}\n")
    done = subprocess.run(
        [binary(), "-c", str(config)], capture_output=True, text=True, check=False, timeout=20
    )
    assert done.returncode == 3
    assert "mount_point" in done.stderr
