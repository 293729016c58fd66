"""Brokers at the edge, with the configurations of man/mosquitto-scale.7, and streams of messages across them.

The broker under test; or, with EDGE_BIN, another, so that the tests themselves can be held against a bridge
that is known to work.
"""

import itertools
import os
import subprocess
import threading
import time

import mqtt_wire
import pytest
import scale_page
import upstream
from broker_process import SANITIZER, binary, environment, free_port, whose

EXCHANGE = {"hall-a": "hall-b", "hall-b": "hall-a"}
SERIAL = itertools.count(1)
DEVICE = {"username": "device", "password": "pass"}


def program():
    """What runs at the edge."""
    return os.environ.get("EDGE_BIN") or binary()


def of_hall(text, hall):
    """A configuration of hall-a, or the same with the names exchanged."""
    if hall == "hall-a":
        return text
    return text.replace("hall-a", "\0").replace("hall-b", "hall-a").replace("\0", "hall-b")


def page_of_edge(connection=None):
    """The page's file of an edge, with another of its connections in the place of its own."""
    text = scale_page.display("mosquitto.conf of the edge hall-a")
    if connection:
        text = text.split("connection ")[0] + scale_page.display(connection)
    return text


class Edge(upstream.Server):
    """A broker with a file of the page; `places` are its upstream's addresses."""

    def __init__(self, directory, hall, places, connection=None, command=None):
        directory.mkdir()
        self.hall = hall
        store = directory / "store"
        store.mkdir()
        port = free_port()
        body = scale_page.here(of_hall(page_of_edge(connection), hall), {
            "listener 1883": f"listener {port} 127.0.0.1", "/etc/mosquitto/pwfile": directory / "pwfile",
            "/var/lib/mosquitto": store, **places})
        config = directory / "mosquitto.conf"
        config.write_text("\n".join([body, *whose([])]) + "\n")
        subprocess.run(["mosquitto_passwd", "-b", "-c", directory / "pwfile", *DEVICE.values()], check=True,
                       capture_output=True, timeout=30)
        super().__init__(directory, [command or program(), "-c", config, "-v"], port, environment())
        self.start()
        self.await_port()

    def client(self, client_id, **options):
        return upstream.client(self.port, client_id, **DEVICE, **options)

    def sent_again(self):
        """How many messages the bridge has got with DUP."""
        return self.output.read_text(errors="replace").count(f"Received PUBLISH from local.{self.hall} (d1")

    def check(self):
        said = self.output.read_text(errors="replace")
        assert not SANITIZER.search(said), self.tail()

    def stop(self):
        super().stop()
        self.check()


def serial():
    """A number that nobody else has, for client ids."""
    return next(SERIAL)


class Setting:
    """What a test has started: ended in the reverse order, whatever happened."""

    def __init__(self):
        self.parts = []

    def add(self, part):
        self.parts.append(part)
        return part

    def end(self):
        problems = []
        for part in reversed(self.parts):
            try:
                (part.stop if hasattr(part, "stop") else part.close)()
            except AssertionError as error:
                problems.append(str(error))
        assert not problems, "\n".join(problems)


@pytest.fixture
def setting():
    made = Setting()
    yield made
    made.end()


class Reader(threading.Thread):
    """Takes and acknowledges all that comes to a client, in the background."""

    def __init__(self, client, topic, qos):
        super().__init__(daemon=True)
        client.subscribe(topic, qos=qos)
        self.client, self.seen, self.changed = client, [], threading.Condition()
        self.failure = None
        self.start()

    def run(self):
        try:
            while True:
                try:
                    got = self.client.recv(1.0)
                except TimeoutError:
                    continue
                self.answer(got)
        except (OSError, ValueError, mqtt_wire.Closed) as error:
            self.failure = error

    def answer(self, got):
        if got.kind == mqtt_wire.PUBREL:
            self.client.send(mqtt_wire.pubcomp(got.mid))
            return
        if got.kind != mqtt_wire.PUBLISH:
            return
        with self.changed:
            self.seen.append(got)
            self.changed.notify_all()
        if got.qos:
            self.client.send(mqtt_wire.puback(got.mid) if got.qos == 1 else mqtt_wire.pubrec(got.mid))

    def payloads(self, topic=None):
        return [got.payload.decode() for got in list(self.seen) if topic in (None, got.topic)]

    def wait(self, condition, seconds, what):
        with self.changed:
            assert self.changed.wait_for(condition, seconds), f"{what}; {len(self.seen)} arrived, {self.failure}"

    def await_payload(self, payload, seconds=60.0):
        self.wait(lambda: payload in self.payloads()[-500:], seconds, f"{payload!r} did not arrive")

    def close(self):
        self.client.close()
        self.join(5)


class Writer(threading.Thread):
    """Publishes numbers one after the other, each acknowledged before the next, until it is told to end."""

    def __init__(self, client, topic, pace=0.005):
        super().__init__(daemon=True)
        self.client, self.topic, self.pace = client, topic, pace
        self.acknowledged = []
        self.ending = threading.Event()
        self.failure = None
        self.start()

    def run(self):
        try:
            while not self.ending.wait(self.pace):
                number = str(len(self.acknowledged))
                self.client.publish(self.topic, number, qos=1)
                self.acknowledged.append(number)
        except (AssertionError, OSError, mqtt_wire.Closed) as error:
            self.failure = error

    def await_more(self, count):
        target = len(self.acknowledged) + count
        upstream.await_true(lambda: len(self.acknowledged) >= target or self.failure, "the edge acknowledges")

    def end(self):
        self.ending.set()
        self.join(30)
        assert self.failure is None, self.failure
        return self.acknowledged

    close = end


def await_link(server, edges):
    """The bridges of all edges carry in both directions: what upstream gets from outside reaches each, and the reverse."""
    outside = upstream.client(server.port, f"outside{time.monotonic_ns()}", **server.credentials)
    try:
        outside.subscribe("plant/+/ready", qos=1)
        readers = {edge: Reader(edge.client(f"link-{edge.hall}"), f"{EXCHANGE[edge.hall]}/ready", 1) for edge in edges}
        watcher = Collector(outside)

        def ready():
            watcher.look()
            for edge, reader in readers.items():
                if not reader.seen:
                    outside.send(mqtt_wire.publish(f"plant/{EXCHANGE[edge.hall]}/ready", "x"))
                if f"plant/{edge.hall}/ready" not in watcher.topics_of(edge):
                    sender = edge.client(f"knock-{edge.hall}")
                    sender.send(mqtt_wire.publish(f"{edge.hall}/ready", edge.hall))
                    sender.disconnect()
            return all(reader.seen for reader in readers.values()) and all(watcher.topics_of(edge) for edge in edges)

        upstream.await_true(ready, lambda: "the bridges carry:\n" + "\n".join(edge.tail() for edge in edges), every=0.3)
        for reader in readers.values():
            reader.close()
    finally:
        outside.close()


class Collector:
    """What a client outside has got, taken without waiting. It sends to these topics itself, so payloads tell whose it is."""

    def __init__(self, client):
        self.client, self.got = client, []

    def look(self):
        self.got += self.client.take_all()

    def topics_of(self, edge):
        return [got.topic for got in self.got if got.payload.decode() == edge.hall]


def await_caught_up(reader, writer, seconds=60.0):
    """What has been acknowledged up to now has arrived: the bridges have found another way."""
    reader.await_payload(writer.acknowledged[-1], seconds)


def check_stream(reader, acknowledged, sent_again=0):
    """Nothing that was acknowledged is missing, and of each message the first copy came in its order.

    But for as many as upstream has marked as sent again: it gives these back when it thinks fit.
    """
    upstream.await_true(lambda: set(acknowledged) <= set(reader.payloads()), lambda: missing(reader, acknowledged), 60)
    late, greatest = [], -1
    for number in map(int, dict.fromkeys(reader.payloads())):
        if number < greatest:
            late.append(number)
        greatest = max(greatest, number)
    assert len(late) <= sent_again, f"{len(late)} came late, {sent_again} were sent again: {late[:5]}"


def missing(reader, acknowledged):
    lost = sorted(set(acknowledged) - set(reader.payloads()), key=int)
    return f"{len(lost)} of {len(acknowledged)} acknowledged have not arrived, from {lost[:5]} on"


def check_exchange(setting, halls, granted):
    """What is published at one edge arrives at the other once and in order, at the QoS of `granted`."""
    for here, there in (halls, halls[::-1]):
        reader = setting.add(Reader(there.client("reader"), f"{here.hall}/lamp", 2))
        writer = setting.add(here.client("writer"))
        for qos, expected in granted.items():
            for number in range(20):
                writer.publish(f"{here.hall}/lamp", f"{qos}-{number}", qos=qos)
            reader.await_payload(f"{qos}-19")
            got = [(item.payload.decode(), item.qos) for item in reader.seen if item.payload.startswith(b"%d-" % qos)]
            assert got == [(f"{qos}-{number}", expected) for number in range(20)]
