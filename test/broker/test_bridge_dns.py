"""Names of remote brokers: looked up without waiting, anew for each connection, all addresses in turn.

Each test has a network of its own, with a name server of its own in it.
"""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time

import pytest
from broker_process import binary, can_unshare, sanitized
from mqtt_wire import PATIENCE, publish
from name_server import NETWORK, SILENT, Names, enter
from remote_broker import longest_turn, remote, remotes, section  # noqa: F401

pytestmark = [pytest.mark.ours, pytest.mark.skipif(
    os.geteuid() != 0 or not can_unshare() or not shutil.which("dnsmasq"),
    reason="needs root, networks of its own and dnsmasq")]

OUT = ("topic a/# out 1",)
NOBODY = "127.0.0.77"  # an address of this machine where nobody listens
# The mount is the broker's alone.
WITH_NAMES = """#!/bin/sh
exec unshare --mount --propagation private \\
    sh -c 'mount --bind "$0" /etc/resolv.conf && exec "$@"' {resolv} {binary} "$@"
"""


@pytest.fixture
def slow():
    """Is it a broker that is watched while it runs? Asked before another program stands before it."""
    return sanitized()


@pytest.fixture
def names(slow, tmp_path, monkeypatch):
    """A network of the test's own; who listens and connects from now on does it there."""
    holder = subprocess.Popen(["unshare", "--net", "sh", "-ec", NETWORK], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert holder.stdout.readline() == b"ready\n"
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    enter(f"/proc/{holder.pid}/ns/net")
    (tmp_path / "resolv.conf").write_text("nameserver 127.0.0.53\noptions timeout:1\n")
    wrapper = tmp_path / "mosquitto"
    wrapper.write_text(WITH_NAMES.format(resolv=tmp_path / "resolv.conf", binary=binary()))
    wrapper.chmod(0o755)
    monkeypatch.setenv("MOSQUITTO_BIN", str(wrapper))
    server = Names()
    yield server
    server.stop()
    enter(f"/proc/self/fd/{home}")
    os.close(home)
    holder.stdin.close()
    holder.wait()
    holder.stdout.close()


def works(broker, remote):
    link = remote.welcome(outs=["a/#"])
    broker.connect().publish("a/1", "works", qos=1)
    link.take("a/1", "works")
    return link


def slowest(broker, seconds):
    """A pair of clients goes on: the longest time that a message took."""
    reader, writer = broker.connect(), broker.connect()
    reader.subscribe("x")
    worst, end = 0.0, time.monotonic() + seconds
    while time.monotonic() < end:
        begun = time.monotonic()
        writer.send(publish("x", "y"))
        reader.take("x", "y")
        worst = max(worst, time.monotonic() - begun)
    return worst


def test_a_name(names, brokers, remote):
    names.start("--host-record=up.test,127.0.0.1")
    broker = brokers.start(*section(f"up.test:{remote.port}", *OUT))
    works(broker, remote)
    broker.log.wait(rf"Bridge b connected to up\.test:{remote.port} as ")


def test_a_name_with_an_address_that_is_dead(names, brokers, remote):
    """All of its addresses are tried at once, whichever comes first."""
    dead = [f"--host-record=up.test,127.0.0.{n}" for n in range(70, 76)]
    names.start(*dead, "--host-record=up.test,127.0.0.1")
    broker = brokers.start(*section(f"up.test:{remote.port}", *OUT, "restart_timeout 60"))
    works(broker, remote)


@pytest.mark.slow
def test_a_name_with_an_address_that_is_silent(names, brokers, remote):
    """What does not answer is given up after a limit, and nobody waits for it."""
    names.start("--host-record=up.test," + SILENT, "--host-record=up.test,127.0.0.1")
    broker = brokers.start(*section(f"up.test:{remote.port}", *OUT, "restart_timeout 60"))
    assert slowest(broker, 1) < 0.3
    works(broker, remote)


def test_a_name_that_nobody_has(names, brokers):
    names.start("--local=/test/")
    broker = brokers.start(*section("nobody.test:1883", *OUT))
    broker.log.wait(r"Warning: Unable to connect bridge b \(nobody\.test:1883\): .*(nobody\.test|name|exist|found).*; "
                    r"next attempt in")
    broker.answers()


def test_the_next_name_at_once(names, brokers, remote):
    names.start("--local=/test/", "--host-record=up.test,127.0.0.1")
    broker = brokers.start(*section(f"nobody.test up.test:{remote.port}", *OUT, "restart_timeout 60"))
    works(broker, remote)


def test_a_name_that_moves(names, brokers, remote, remotes):
    """It is looked up anew for each connection."""
    names.start("--host-record=up.test," + NOBODY)
    broker = brokers.start(*section(f"up.test:{remote.port}", *OUT))
    broker.log.wait(r"Unable to connect bridge b .*refused.*; next attempt in")
    names.stop()
    names.start("--host-record=up.test,127.0.0.1")
    works(broker, remote)


def test_where_its_service_is(names, brokers, remote):
    """Without a port the name may be that of a service."""
    names.start("--host-record=live.test,127.0.0.1", f"--srv-host=_mqtt._tcp.up.test,live.test,{remote.port},0,0")
    broker = brokers.start(*section("up.test", *OUT))
    works(broker, remote)


def test_services_by_priority(names, brokers, remote):
    names.start("--host-record=live.test,127.0.0.1", "--host-record=dead.test," + NOBODY,
                f"--srv-host=_mqtt._tcp.up.test,dead.test,{remote.port},1,0",
                f"--srv-host=_mqtt._tcp.up.test,live.test,{remote.port},2,0")
    broker = brokers.start(*section("up.test", *OUT, "restart_timeout 60"))
    works(broker, remote)


def test_a_port_says_that_it_is_no_service(names, brokers, remote, remotes):
    other = remotes.start()
    names.start("--host-record=up.test,127.0.0.1", f"--srv-host=_mqtt._tcp.up.test,up.test,{other.port},0,0")
    brokers.start(*section(f"up.test:{remote.port}", *OUT))
    remote.greet()


def test_a_name_server_that_answers_nothing(names, brokers, remote, slow):
    """Clients go on meanwhile, other bridges too; when it answers at last, this one comes."""
    silent = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    silent.bind(("127.0.0.53", 53))
    broker = brokers.start(*section(f"up.test:{remote.port}", *OUT), *section(remote, *OUT, name="other"))
    works(broker, remote)
    assert silent.recvfrom(512), "nobody asked"
    assert slowest(broker, 1) < 0.3
    silent.close()
    names.start("--host-record=up.test,127.0.0.1")
    remote.welcome(outs=["a/#"])
    assert longest_turn(broker) < 10 or slow


def test_a_name_server_that_is_not_there(names, brokers):
    broker = brokers.start(*section("up.test:1883", *OUT))
    assert slowest(broker, 0.5) < 0.3
    broker.log.wait(r"Warning: Unable to connect bridge b \(up\.test:1883\): .{4,}; next attempt in", seconds=30)


def test_answers_that_are_none(names, brokers):
    """A name server of which nothing good comes: noise instead of answers."""
    liar = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    liar.bind(("127.0.0.53", 53))
    liar.settimeout(0.1)
    broker = brokers.start(*section("up.test:1883", *OUT))
    end = time.monotonic() + 1.0
    asked = 0
    while time.monotonic() < end:
        with contextlib.suppress(TimeoutError):
            question, whose = liar.recvfrom(512)
            asked += 1
            for answer in (b"", question[:2], question[:2] + os.urandom(200), question, question[:2] + b"\xff" * 500):
                liar.sendto(answer, whose)
        broker.answers()
    assert asked
    liar.close()


def test_many_bridges_with_names(names, brokers, remote):
    names.start("--host-record=up.test,127.0.0.1", "--local=/test/")
    lines = [line for n in range(50) for line in section(f"up.test:{remote.port}", *OUT, name=f"b{n}")]
    broker = brokers.start(*lines)
    links = [remote.accept() for _ in range(50)]
    broker.answers()
    assert len({link.address for link in links}) == 50


def test_a_reload_while_a_name_is_looked_up(names, brokers, remote):
    """Its section goes, or the broker: nothing waits for the answer."""
    silent = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    silent.bind(("127.0.0.53", 53))
    broker = brokers.start(*section("up.test:1883", *OUT), *section("down.test", *OUT, name="other"))
    assert silent.recvfrom(512)
    head = broker.config.read_text().split("connection")[0]
    broker.config.write_text(head + "\n".join(section(remote, *OUT)) + "\n")
    broker.process.send_signal(signal.SIGHUP)
    works(broker, remote)
    begun = time.monotonic()
    broker.stop()
    assert time.monotonic() - begun < min(PATIENCE, 3)
    silent.close()
