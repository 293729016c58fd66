"""Listeners that come, go and change on SIGHUP, while clients go on as if nothing had happened."""

import os
import re
import resource
import shutil
import socket
import subprocess
import threading
from pathlib import Path

import mqtt_wire
import pytest
from broker_process import binary, can_unshare, free_port
from listener_tools import SocketClient, by_path, descriptors, is_closed_without_a_word, reaches, reload, reload_whole, v1
from mqtt_wire import CONNACK, Client, connect, publish
from test_server_start import listening_addresses, needs_ipv6, start  # noqa: F401

pytestmark = pytest.mark.ours

RELOADED = "The configuration was reloaded."
REFUSED = "The configuration was not reloaded"


def says(lines, text):
    return [line for line in lines if text in line]


class Traffic:
    """Two clients that exchange messages all the time; not one may be lost, and none may wait for long."""

    LEAST = 10  # messages, however soon the test is over

    def __init__(self, sender, receiver, topic):
        self.sender, self.receiver = sender, receiver
        self.topic = topic
        self.count = 0
        self.stop = threading.Event()
        self.problem = None
        receiver.subscribe((topic, 1))
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        try:
            while not self.stop.is_set() or self.count < self.LEAST:
                self.count += 1
                mid = self.count % 60000 + 1
                self.sender.send(publish(self.topic, str(self.count), qos=1, mid=mid))
                self.sender.expect(0x40 >> 4, mid=mid)
                got = self.receiver.recv()
                assert got.payload == str(self.count).encode(), got
                self.receiver.send(b"\x40\x02" + got.mid.to_bytes(2, "big"))
        except Exception as error:  # pylint: disable=broad-except
            self.problem = error

    def end(self):
        self.stop.set()
        self.thread.join(2 * mqtt_wire.PATIENCE)
        assert self.problem is None, self.problem
        assert not self.thread.is_alive(), f"{self.count} messages"


@pytest.fixture
def traffic():
    running = []

    def start(sender, receiver, topic):
        running.append(Traffic(sender, receiver, topic))
        return running[-1]

    yield start
    for each in running:
        each.end()


def test_listeners_are_added_and_removed_under_traffic(brokers, traffic, name):
    broker = brokers.start()
    ports = [free_port() for _ in range(3)]
    traffic(broker.connect(), broker.connect(), name)
    inside = []
    for round_ in range(12):
        port = ports[round_ % 3]
        lines = reload(broker, f"listener {port} 127.0.0.1")
        assert says(lines, RELOADED) and not says(lines, "Error")
        assert says(lines, f"Opening ipv4 listen socket on port {port}.")
        client = Client(port)
        client.connect(f"inside-{round_}")
        inside.append(client)
        assert not reaches(ports[(round_ + 1) % 3]) and not reaches(ports[(round_ + 2) % 3])
    assert not says(reload(broker), "Opening")
    assert not any(reaches(port) for port in ports)
    # Who came by a listener that is gone stays.
    for client in inside:
        client.quiet()
        client.close()
    broker.answers()


def test_a_listener_that_stays_is_not_touched(brokers):
    port = free_port()
    broker = brokers.start(f"listener {port} 127.0.0.1")
    with socket.create_connection(("127.0.0.1", port)) as waiting:
        lines = reload(broker, f"listener {port} 127.0.0.1", "max_connections 5")
        assert says(lines, RELOADED) and not says(lines, "Opening") and not says(lines, "Closing")
        SocketClient(waiting).connect("waiting")


@needs_ipv6
def test_the_same_port_at_other_addresses(brokers, traffic, name):
    """To more addresses, to fewer, to other ones: the old socket is in the way of the new one."""
    port = free_port()
    broker = brokers.start(f"listener {port} 127.0.0.1")
    traffic(broker.connect(), broker.connect(), name)
    for line, addresses in [
        (f"listener {port}", {"0" * 8, "0" * 32}),
        (f"listener {port} 127.0.0.1", {"0100007F"}),
        (f"listener {port} 127.0.0.2", {"0200007F"}),
        (f"listener {port}\nsocket_domain ipv4", {"0" * 8}),
        (f"listener {port}\nsocket_domain ipv6", {"0" * 32}),
        (f"listener {port}\nbind_interface lo", {"0" * 8, "0" * 32}),
        (f"listener {port}", {"0" * 8, "0" * 32}),
    ]:
        lines = reload(broker, *line.splitlines())
        assert says(lines, RELOADED), lines
        assert listening_addresses(port) == addresses
    client = Client(port)
    client.connect("last")
    client.close()


def test_a_port_that_is_taken_leaves_all_as_it_was(brokers, traffic, name):
    other = brokers.start()
    first, second = free_port(), free_port()
    broker = brokers.start(f"listener {first} 127.0.0.1", "max_connections 1")
    traffic(broker.connect(), broker.connect(), name)
    inside = Client(first)
    inside.connect("inside")
    lines = reload(
        broker, f"listener {first} 127.0.0.2", "max_connections 7", f"listener {second} 127.0.0.1",
        f"listener {other.port} 127.0.0.1",
    )
    assert says(lines, REFUSED)
    assert re.search(rf"Error: Address already in use \(127\.0\.0\.1:{other.port}\).*mosquitto\.conf:6\.", "\n".join(lines))
    assert listening_addresses(first) == {"0100007F"}
    assert not reaches(second)
    # The rules are the old ones too.
    assert is_closed_without_a_word(Client(first))
    inside.disconnect()
    inside.close()
    for _ in range(100):
        client = Client(first)
        client.send_if_open(connect("once-more"))
        if not is_closed_without_a_word(client):
            break
    client.expect(CONNACK, code=0)
    client.close()
    other.answers()
    # When the port is free it works.
    other.stop()
    brokers.own.remove(other)
    assert says(reload(broker, f"listener {other.port} 127.0.0.1"), RELOADED)
    assert reaches(other.port) and not reaches(first)


@pytest.mark.parametrize("wrong", ["no_such_option 1", "max_connections lots", "listener 0", "listener 1 2 3 4"])
def test_a_wrong_file_leaves_the_listeners(brokers, wrong):
    first, second = free_port(), free_port()
    broker = brokers.start(f"listener {first} 127.0.0.1")
    lines = reload(broker, f"listener {second} 127.0.0.1", wrong)
    assert says(lines, REFUSED)
    assert reaches(first) and not reaches(second)


def test_limits_change_for_those_who_are_in(brokers):
    broker = brokers.start("max_connections 3")
    inside = [broker.connect() for _ in range(3)]
    assert says(reload(broker, "max_connections 2"), RELOADED)
    assert is_closed_without_a_word(broker.client())
    for client in inside:
        client.quiet()
    inside.pop().disconnect()
    assert is_closed_without_a_word(broker.client())
    inside.pop().disconnect()
    broker.connect().quiet()
    assert says(reload(broker, "global_max_connections 1"), RELOADED)
    assert is_closed_without_a_word(broker.client())
    assert says(reload(broker), RELOADED)
    broker.connect().quiet()


def test_a_listener_that_comes_back_knows_its_clients(brokers):
    port = free_port()
    broker = brokers.start(f"listener {port} 127.0.0.1", "max_connections 1")
    inside = Client(port)
    inside.connect("inside")
    assert says(reload(broker), RELOADED)
    assert not reaches(port)
    inside.quiet()
    assert says(reload(broker, f"listener {port} 127.0.0.1", "max_connections 1"), RELOADED)
    assert is_closed_without_a_word(Client(port))
    inside.disconnect()
    inside.close()
    for _ in range(100):
        client = Client(port)
        client.send_if_open(connect("next"))
        if not is_closed_without_a_word(client):
            break
    client.expect(CONNACK, code=0)
    client.close()


def test_unix_sockets_come_and_go(brokers, name):
    paths = [Path(f"/tmp/reload{free_port()}.sock") for _ in range(2)]
    broker = brokers.start(f"listener 0 {paths[0]}")
    inside = by_path(paths[0])
    inside.connect("inside")
    lines = reload(broker, f"listener 0 {paths[1]}")
    assert says(lines, f"Closing unix listen socket on path {paths[0]}.")
    assert not paths[0].exists()
    client = by_path(paths[1])
    client.connect("client")
    inside.subscribe(name)
    client.publish(name, "hello", qos=1)
    inside.take(name, "hello")
    for each in (inside, client):
        each.close()
    # One that cannot be opened, and one that could: neither is there afterwards.
    assert says(reload(broker, f"listener 0 {paths[0]}", "listener 0 /no/such/directory"), REFUSED)
    assert not paths[0].exists() and paths[1].is_socket()
    assert says(reload(broker), RELOADED)
    assert not paths[1].exists()


def test_a_proxy_may_come_in_between(brokers):
    broker = brokers.start()
    plain = broker.connect()
    assert says(reload(broker, "enable_proxy_protocol true"), RELOADED)
    plain.quiet()
    assert is_closed_without_a_word_after(broker.client(), connect("plain"))
    client = broker.client()
    client.send(v1() + connect("proxied"))
    client.expect(CONNACK, code=0)
    # One that has begun with a header goes on with it, whatever is wanted now.
    begun = broker.client()
    begun.send(v1()[:9])
    assert says(reload(broker), RELOADED)
    begun.send(v1()[9:] + connect("begun"))
    begun.expect(CONNACK, code=0)
    broker.log.wait(r"New client connected from 192\.0\.2\.9.* as begun ")
    broker.connect().quiet()


def is_closed_without_a_word_after(client, raw):
    client.send_if_open(raw)
    return is_closed_without_a_word(client)


def fill(broker):
    """All descriptors of the broker in use, but those that it keeps for itself."""
    used = descriptors(broker)
    most = resource.prlimit(broker.pid, resource.RLIMIT_NOFILE)[1]
    resource.prlimit(broker.pid, resource.RLIMIT_NOFILE, (used + 3, most))
    inside = [broker.connect() for _ in range(3)]
    assert is_closed_without_a_word(broker.client())
    return inside


def test_a_reload_works_when_all_descriptors_are_in_use(brokers, tmp_path):
    broker = brokers.start("max_connections 50")
    inside = fill(broker)
    extra = tmp_path / "extra"
    extra.mkdir()
    (extra / "a.conf").write_text("max_queued_messages 77\n")
    port = free_port()
    for line in ("max_qos 1", f"include_dir {extra}", f"listener {port} 127.0.0.1", "max_qos 0"):
        lines = reload(broker, line)
        assert says(lines, RELOADED), lines
        for client in inside:
            client.quiet()
        # Still refused at once: a descriptor is left for that.
        assert is_closed_without_a_word(broker.client())
    for client in inside:
        client.disconnect()
    for _ in range(100):
        client = broker.client()
        client.send_if_open(connect("after"))
        if not is_closed_without_a_word(client):
            break
    client.expect(CONNACK, code=0)


def test_a_wrong_file_when_all_descriptors_are_in_use(brokers):
    broker = brokers.start("max_connections 50", "allow_zero_length_clientid false")
    inside = fill(broker)
    lines = reload(broker, "no_such_option 1")
    assert says(lines, REFUSED)
    for client in inside:
        client.quiet()
    inside.pop().disconnect()
    # Its settings have not fallen back to anything.
    for _ in range(100):
        client = broker.client()
        client.send_if_open(connect(""))
        if not is_closed_without_a_word(client):
            break
    client.expect(CONNACK, code=2)


def test_more_new_listeners_than_descriptors(brokers):
    broker = brokers.start("max_connections 50")
    inside = fill(broker)
    ports = [free_port() for _ in range(12)]
    lines = reload(broker, *(f"listener {port} 127.0.0.1" for port in ports))
    assert says(lines, REFUSED)
    assert not any(reaches(port) for port in ports)
    assert is_closed_without_a_word(broker.client())
    for client in inside:
        client.quiet()


def test_the_only_listener_is_replaced(brokers):
    broker = brokers.start()
    before = broker.config.read_text().splitlines()
    inside = broker.connect()
    port = free_port()
    after = [f"listener {port} 127.0.0.1", *before[1:]]
    assert says(reload_whole(broker, *after), RELOADED)
    assert not reaches(broker.port) and reaches(port)
    inside.quiet()
    assert says(reload_whole(broker, *before), RELOADED)
    assert reaches(broker.port) and not reaches(port)
    inside.quiet()


def test_from_local_only_to_listeners_and_back(start, tmp_path):
    user = ["user root"] if os.geteuid() == 0 else []
    broker = start("-p", "PORT", lines=["max_qos 2", *user])
    broker.log.wait(r"version \S+ running$")
    broker.log.wait("Starting in local only mode")
    broker.config = tmp_path / "own.conf"
    inside = broker.connect("inside")
    port = free_port()
    lines = reload_whole(broker, f"listener {port} 127.0.0.1", "allow_anonymous true", *user)
    assert says(lines, RELOADED), lines
    assert not reaches(broker.port) and reaches(port)
    inside.quiet()
    lines = reload_whole(broker, *user, "max_qos 2")
    assert says(lines, RELOADED), lines
    assert not reaches(port)
    assert listening_addresses(broker.port) >= {"0100007F"}
    assert not listening_addresses(broker.port) & {"0" * 8, "0" * 32}
    inside.quiet()
    client = Client(broker.port)
    client.connect("anonymous")
    client.close()


@pytest.mark.skipif(os.geteuid() != 0 or not can_unshare() or not shutil.which("ip"), reason="needs its own network")
def test_local_only_without_ipv6(tmp_path):
    """The IPv6 half of local-only mode is missing, which is no reason to refuse a file."""
    config = tmp_path / "plain.conf"
    config.write_text("max_qos 1\nuser root\n")
    log = tmp_path / "log"
    script = f"""
ip link set lo up
ip -6 addr flush dev lo
{binary()} -p 1899 -c {config} 2>{log} &
broker=$!
await() {{ for i in $(seq 200); do grep -q "$1" {log} && return; sleep 0.05; done; }}
await "version .* running"
kill -HUP $broker
await "was.* reloaded"
kill $broker
wait $broker
"""
    done = subprocess.run(["unshare", "-n", "sh", "-c", script], timeout=60, check=False)
    assert done.returncode == 0, log.read_text()
    assert "No IPv6 on this machine: port 1899 is served on IPv4 only." in log.read_text()
    assert RELOADED in log.read_text(), log.read_text()
