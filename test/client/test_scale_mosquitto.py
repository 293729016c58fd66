"""The distribution's mosquitto as the centre of our edges and at the edge of ours, as man/mosquitto-scale.7 shows it."""

import os
import re

import carry
import edges
import mqtt_wire
import pytest
import scale_page
import upstream
from broker_process import binary, environment, free_port, whose
from edges import setting  # noqa: F401

COLUMN = "Mosquitto 2.0"
CONNECTION = "the connection of hall-a to a broker of Mosquitto"
PEER = "/usr/sbin/mosquitto"

pytestmark = pytest.mark.skipif(not os.access(PEER, os.X_OK), reason=f"{PEER} is not installed")


class Centre(upstream.Server):
    """One broker in the middle."""

    credentials = {}

    def __init__(self, directory, command, *lines, port=None):
        directory.mkdir()
        port = port or free_port()
        (directory / "mosquitto.conf").write_text("\n".join([
            f"listener {port} 127.0.0.1", "allow_anonymous true", "persistence true", f"persistence_location {directory}/",
            *whose([]), *lines]) + "\n")
        super().__init__(directory, [command, "-c", directory / "mosquitto.conf", "-v"], port, environment())
        self.start()
        self.await_port()

    def restart(self):
        self.kill()
        self.start()
        self.await_port()

    @property
    def hosts(self):
        return {"centre.example.org:1883": f"127.0.0.1:{self.port}"}


class Sides:
    """A bridge from hall-a to the centre, and a client of each."""

    def __init__(self, setting, tmp_path, edge, centre):
        self.setting = setting
        self.centre = setting.add(Centre(tmp_path / "centre", centre))
        self.edge = setting.add(edges.Edge(tmp_path / "edge", "hall-a", self.centre.hosts, CONNECTION, command=edge))
        edges.await_link(self.centre, [self.edge])

    def at_edge(self, client_id):
        return self.setting.add(self.edge.client(client_id))

    def at_centre(self, client_id):
        return self.setting.add(upstream.client(self.centre.port, client_id))


@pytest.fixture(params=["ours bridges", "theirs bridges"])
def sides(request, setting, tmp_path):
    ours_bridges = request.param == "ours bridges"
    edge, centre = (edges.program(), PEER) if ours_bridges else (PEER, binary())
    return Sides(setting, tmp_path, edge, centre)


def test_the_table_tells_what_mosquitto_carries(setting, tmp_path):
    centre = setting.add(Centre(tmp_path / "centre", PEER))
    assert carry.column(centre, centre.restart) == scale_page.column(COLUMN)


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_messages_pass_in_both_directions(sides, qos):
    """What goes up, what only comes down, and what may go both ways and comes down."""
    edge, centre = sides.at_edge("edge"), sides.at_centre("centre")
    for writer, to, make, at in ((edge, "hall-a/up/x", sides.at_centre, "plant/hall-a/up/x"),
                                 (centre, "plant/hall-b/x", sides.at_edge, "hall-b/x"),
                                 (centre, "plant/hall-a/down/x", sides.at_edge, "hall-a/down/x")):
        reader = sides.setting.add(edges.Reader(make(f"reader{edges.serial()}"), at, 2))
        for number in range(50):
            writer.publish(to, str(number), qos=qos)
        reader.await_payload("49")
        assert [(got.payload.decode(), got.qos, got.topic) for got in reader.seen] == [(str(n), qos, at) for n in range(50)]


def test_nothing_comes_back(sides):
    """The topic goes both ways, and whoever publishes sees one copy of it."""
    edge, centre = sides.at_edge("edge"), sides.at_centre("centre")
    ends = [(edge, "hall-a/echo"), (centre, "plant/hall-a/echo")]
    for client, topic in ends:
        client.subscribe(topic, qos=2)
    for (here, topic), (there, far) in (ends, ends[::-1]):
        for payload in ("one", "two"):
            here.send(mqtt_wire.publish(topic, payload, 1, 9))
            got = sorted([here.recv(), here.recv()], key=lambda item: item.kind)
            assert [item.kind for item in got] == [mqtt_wire.PUBLISH, mqtt_wire.PUBACK]
            here.send(mqtt_wire.puback(got[0].mid))
            there.take(far, payload)
        here.quiet()
        there.quiet()


def retained(make, topic):
    """What a new client finds there; on the other side of a bridge this is so a moment later."""
    reader = make(f"r{edges.serial()}")
    reader.subscribe(topic, qos=1)
    found = [(got.payload, got.retain) for got in reader.take_all()]
    reader.close()
    return found


@pytest.mark.parametrize("up", [True, False], ids=["up", "down"])
def test_retained_messages_pass_and_so_does_their_removal(sides, up):
    near, far = (sides.at_edge, sides.at_centre) if up else (sides.at_centre, sides.at_edge)
    here, there = ("hall-a/kept", "plant/hall-a/kept") if up else ("plant/hall-a/kept", "hall-a/kept")
    writer = near("writer")
    for payload in ("first", "second"):
        writer.publish(here, payload, qos=1, retain=True)
        upstream.await_true(lambda: retained(far, there) == [(payload.encode(), True)], f"{payload} is retained", 20)
    writer.publish(here, "", qos=1, retain=True)
    upstream.await_true(lambda: retained(far, there) == [], "it is removed", 20)


def test_a_ring_is_noticed_and_named(setting, tmp_path):
    """Three of ours in a circle, which the page warns of: nothing can stop the message, but it is said which it is."""
    ports = [free_port() for _ in range(3)]
    ring = [setting.add(Centre(tmp_path / f"ring{at}", binary(), f"connection next{at}", "restart_timeout 1",
                               f"address 127.0.0.1:{ports[(at + 1) % 3]}", f"remote_clientid ring{at}", "topic round/# both 1",
                               port=port)) for at, port in enumerate(ports)]

    def said(pattern):
        return [line for broker in ring for line in broker.output.read_text(errors="replace").splitlines()
                if re.search(pattern, line)]

    upstream.await_true(lambda: len(said("Bridge next. connected to")) == 3, "the ring is closed")
    setting.add(upstream.client(ports[0], "writer")).publish("round/trip", "x", qos=1)
    upstream.await_true(lambda: said("Warning: Bridge .*'round/trip'.* loop "), "the loop is noticed", 30)
