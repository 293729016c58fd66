"""What a server makes of what a bridge would send it: one probe for each row of the table in mosquitto-scale(7).

A probe gives the word that belongs in the table. That nothing arrives can only be told by waiting, so the
rows are probed side by side, each with topics and clients of its own.
"""

import itertools
import time
from concurrent.futures import ThreadPoolExecutor

import mqtt_wire
import upstream
from mqtt_wire import BYE, CONNACK, PUBACK, PUBLISH, Closed, WireError, publish, subscribe

SOON = 1.5
ROWS = {}
SERIAL = itertools.count(1)


def row(name):
    def keep(probe):
        ROWS[name] = probe
        return probe

    return keep


class Peer:
    """The server for one row: makes clients, names that nobody else has, and closes them all."""

    def __init__(self, server):
        self.server = server
        self.clients = []

    def name(self):
        return f"carry{next(SERIAL)}"

    def raw(self, client_id=None, **options):
        client = mqtt_wire.Client(self.server.port, patience=30.0)
        client.send(mqtt_wire.connect(client_id or self.name(), **{**self.server.credentials, **options}))
        self.clients.append(client)
        return client

    def connect(self, client_id=None, **options):
        client = self.raw(client_id, **options)
        client.connack = client.expect(CONNACK, code=0)
        return client

    def reader(self, *filters, qos=1, **options):
        """A client with these subscriptions, whatever QoS they were granted at."""
        client = self.connect(**options)
        client.send(subscribe(1, *[(text, qos) for text in filters]))
        client.granted = client.expect(mqtt_wire.SUBACK).codes
        return client

    def close(self):
        for client in self.clients:
            client.close()


def arrived(client, seconds=SOON):
    """Every PUBLISH until none has come for this long, acknowledged: some servers send one at a time."""
    found = []
    while True:
        try:
            got = client.recv(seconds)
        except TimeoutError:
            return found
        if got.kind == PUBLISH:
            found.append(got)
            if got.qos == 1:
                client.send(mqtt_wire.puback(got.mid))


def sent(client, topic, **options):
    """A publication at QoS 1 with its acknowledgement; or how the server took it instead."""
    client.send(publish(topic, "x", 1, 7, **options))
    try:
        client.expect(PUBACK, mid=7)
    except Closed:
        return "closes"
    return "yes"


def one(found, **fields):
    """Is this all that arrived: one message like that?"""
    return len(found) == 1 and all(getattr(found[0], key) == value for key, value in fields.items())


def word(truth):
    return "yes" if truth else "no"


# --- quality of service ---------------------------------------------------------------------------


@row("QoS 1")
def at_qos_1(peer):
    topic = peer.name()
    reader = peer.reader(topic)
    peer.connect().publish(topic, "x", qos=1)
    return word(one(arrived(reader), qos=1, payload=b"x"))


@row("order at QoS 1")
def order(peer):
    topic, count = peer.name(), 300
    reader, writer = peer.reader(topic), peer.connect()
    for number in range(count):
        writer.send(publish(topic, str(number), 1, number + 1))
    return word([int(reader.take(topic).payload) for _ in range(count)] == list(range(count)))


@row("QoS 2, published")
def publishing_qos_2(peer):
    writer = peer.connect()
    writer.send(publish(peer.name(), "x", 2, 7))
    try:
        answer = writer.recv()
    except Closed:
        return "closes"
    return "yes" if answer.kind == mqtt_wire.PUBREC else "broken"


@row("QoS 2, subscribed")
def subscribing_qos_2(peer):
    granted = peer.reader(peer.name(), qos=2).granted
    return {(2,): "yes", (1,): "QoS 1"}[tuple(granted)]


@row("will, retained")
def retained_will(peer):
    topic = peer.name()
    reader = peer.reader(topic)
    peer.connect(will={"topic": topic, "payload": "gone", "qos": 1, "retain": True}).reset()
    reader.take(topic, "gone", qos=1)
    time.sleep(SOON)
    return word(one(arrived(peer.reader(topic)), retain=True, payload=b"gone"))


# --- retained messages ------------------------------------------------------------------------------


def retained_found(peer, what, *payloads):
    """Who subscribes to `what` of a topic, after these were published there as retained."""
    topic = peer.name()
    writer = peer.connect()
    for payload in payloads:
        writer.publish(f"{topic}/a", payload, qos=1, retain=True)
    time.sleep(SOON)
    return arrived(peer.reader(f"{topic}/{what}"))


@row("retained, own topic")
def retained_exact(peer):
    return word(one(retained_found(peer, "a", "x"), retain=True, payload=b"x"))


@row("retained, wildcard")
def retained_wildcard(peer):
    return word(all(one(retained_found(peer, what, "x"), retain=True, payload=b"x") for what in "#+"))


@row("retained, removed")
def retained_removed(peer):
    return word(retained_found(peer, "a", "x", "") == [])


@row("retained, seen by a bridge")
def retained_as_published(peer):
    topic = peer.name()
    try:
        reader = peer.reader(topic, level=0x84)
    except (Closed, AssertionError):
        reader = peer.reader(topic)
    peer.connect().publish(topic, "x", qos=1, retain=True)
    return word(one(arrived(reader), retain=True))


# --- what bridges do --------------------------------------------------------------------------------


def connecting(client):
    try:
        return "yes" if client.recv().code == 0 else "refused"
    except Closed:
        return "closes"


@row("the bit of try_private")
def bridge_bit(peer):
    return connecting(peer.raw(level=0x84))


@row("MQTT 3.1")
def version_3_1(peer):
    return connecting(peer.raw(level=3))


@row("nothing comes back")
def no_echo(peer):
    topic = peer.name()
    try:
        both = peer.reader(topic, level=0x84)
    except (Closed, AssertionError):
        both = peer.reader(topic)
    both.send(publish(topic, "x", 1, 7))
    return word(not arrived(both))


@row("unknown UNSUBSCRIBE")
def unsubscribing(peer):
    client = peer.connect()
    client.unsubscribe(peer.name() + "/#")
    client.quiet()
    return "yes"


@row("notifications")
def notifications(peer):
    topic = f"$SYS/broker/connection/{peer.name()}/state"
    reader = peer.reader(topic)
    bridge = peer.connect(will={"topic": topic, "payload": "0", "qos": 1, "retain": True})
    bridge.publish(topic, "1", qos=1, retain=True)
    reader.take(topic, "1")
    bridge.reset()
    reader.take(topic, "0")
    return "yes"


# --- sessions -----------------------------------------------------------------------------------------


def away(peer, topic):
    """A client id with a persistent session that is subscribed, and not there."""
    client_id = peer.name()
    reader = peer.reader(topic, client_id=client_id, clean=False)
    reader.send(BYE)
    reader.close()
    time.sleep(0.5)
    return client_id


@row("queue while away")
def queue(peer):
    topic = peer.name()
    client_id = away(peer, topic)
    writer = peer.connect()
    for number in range(5):
        writer.publish(topic, str(number), qos=1)
    back = peer.connect(client_id, clean=False)
    return word(back.connack.session_present and [back.take(topic).payload for _ in range(5)] == [b"%d" % n for n in range(5)])


@row("in flight, again at once")
def in_flight(peer):
    topic, client_id = peer.name(), peer.name()
    reader = peer.reader(topic, client_id=client_id, clean=False)
    peer.connect().publish(topic, "x", qos=1)
    reader.expect(PUBLISH, topic=topic)
    reader.reset()
    time.sleep(0.5)
    back = peer.connect(client_id, clean=False)
    at_once = arrived(back)
    if not at_once:
        back.take(topic, "x", dup=True)
    return word(at_once)


@row("shared subscriptions")
def shared(peer):
    topic = peer.name()
    reader = peer.reader(f"$share/group/{topic}")
    peer.connect().publish(topic, "x", qos=1)
    return word(one(arrived(reader), topic=topic))


@row("two filters, one copy")
def overlapping(peer):
    topic = peer.name()
    reader = peer.reader(f"{topic}/#", f"{topic}/a")
    peer.connect().publish(f"{topic}/a", "x", qos=1)
    return word(one(arrived(reader)))


# --- topics ---------------------------------------------------------------------------------------------


@row("$ not matched by #")
def dollar(peer):
    """Nor by a + at its beginning, which is asked here: # would bring what the other rows publish."""
    own = peer.name()
    reader = peer.reader(f"+/{own}")
    peer.connect().publish(f"$carry/{own}", "x", qos=1)
    return word(not arrived(reader))


def topic_kept(peer, *levels):
    """Does a topic with these levels arrive as it was sent?"""
    base = peer.name()
    reader, topic = peer.reader(f"{base}/#"), "/".join([base, *levels])
    how = sent(peer.connect(), topic)
    if how != "yes":
        return how
    try:
        found = arrived(reader)
    except WireError:
        return "broken"
    return "yes" if one(found, topic=topic) else "altered"


@row("empty levels")
def empty_levels(peer):
    return topic_kept(peer, "", "a", "")


@row("dot in a topic")
def dot(peer):
    return topic_kept(peer, "a.b")


@row("space in a topic")
def space(peer):
    return topic_kept(peer, "a b")


@row("asterisk in a topic")
def asterisk(peer):
    return topic_kept(peer, "*", "a")


# --- a crash, which is a row of its own ---------------------------------------------------------------------


CRASH = "safe from kill -9"


def crash(server, kill_and_start):
    """Is what was acknowledged still there for somebody who was away?"""
    peer = Peer(server)
    try:
        topic = peer.name()
        client_id = away(peer, topic)
        peer.connect().publish(topic, "x", qos=1)
        kill_and_start()
        upstream.await_true(lambda: upstream.speaks(server.port, **server.credentials), "the server speaks again")
        back = peer.connect(client_id, clean=False)
        if not back.connack.session_present:
            return "no"
        back.take(topic, "x")
        return "yes"
    except TimeoutError:
        return "no"
    finally:
        peer.close()


# --- the table ------------------------------------------------------------------------------------------------


def probed(server, name):
    peer = Peer(server)
    try:
        return ROWS[name](peer)
    except (AssertionError, Closed, TimeoutError) as error:
        return f"{type(error).__name__}: {error}"
    finally:
        peer.close()


def column(server, kill_and_start):
    """The words of all rows for this server."""
    with ThreadPoolExecutor(8) as pool:
        words = dict(zip(ROWS, pool.map(lambda name: probed(server, name), ROWS)))
    return {**words, CRASH: crash(server, kill_and_start)}
