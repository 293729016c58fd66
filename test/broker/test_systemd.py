"""What systemd is told, on a real notification socket."""

import os
import re
import resource
import signal
import socket
import tempfile
import time
from pathlib import Path

import pytest
from broker_process import binary, free_port
from mqtt_wire import Client

PATIENCE = 15


def is_built():
    return b"NOTIFY_SOCKET" in Path(binary()).read_bytes()


pytestmark = pytest.mark.skipif(not is_built(), reason="built without WITH_SYSTEMD")


class Manager:
    """The other end: collects messages, each a dictionary, with the time at which it came."""

    def __init__(self, directory):
        self.path = os.path.join(directory, "notify")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.path)
        os.chmod(self.path, 0o666)
        self.messages = []

    def take(self, seconds=PATIENCE):
        """The next message; raises TimeoutError."""
        self.socket.settimeout(seconds)
        text = self.socket.recv(4096).decode()
        self.messages.append(dict(line.split("=", 1) for line in text.splitlines()))
        return self.messages[-1]

    def wait(self, key, seconds=PATIENCE):
        """The next message with this key; what comes before it is passed by."""
        end = time.monotonic() + seconds
        while True:
            message = self.take(max(end - time.monotonic(), 0.01))
            if key in message:
                return message

    def count(self, key, seconds):
        """How many messages with this key come within this time."""
        end = time.monotonic() + seconds
        found = 0
        while True:
            left = end - time.monotonic()
            if left <= 0:
                return found
            try:
                found += key in self.take(left)
            except TimeoutError:
                return found


@pytest.fixture
def manager():
    with tempfile.TemporaryDirectory() as directory:
        os.chmod(directory, 0o755)
        one = Manager(directory)
        yield one
        one.socket.close()


def environment_for(manager, **more):
    return {"NOTIFY_SOCKET": manager.path, **more}


def test_ready_is_said_when_clients_can_connect(brokers, manager):
    """And by whoever the broker has become: root has been given up before."""
    broker = brokers.start("persistence true", env=environment_for(manager), keep_user=False)
    message = manager.wait("READY")
    assert message["READY"] == "1"
    assert f"127.0.0.1 port {broker.port}" in message["STATUS"]
    assert "READY" not in manager.messages[0] and "store" in manager.messages[0]["STATUS"]
    broker.answers()
    if os.geteuid() == 0:
        assert "Uid:\t0" not in Path(f"/proc/{broker.pid}/status").read_text()


def test_all_listeners_are_in_the_status(brokers, manager):
    ports = [free_port() for _ in range(12)]
    brokers.start(*(f"listener {port} 127.0.0.1" for port in ports), env=environment_for(manager))
    status = manager.wait("READY")["STATUS"]
    named = re.findall(r"port (\d+)", status)
    more = re.search(r" and (\d+) more$", status)
    assert len(named) + int(more.group(1)) == 13
    assert int(named[1]) == ports[0]


@pytest.mark.parametrize("line", ["max_connections 5", "no_such_option 1"])
def test_a_reload_is_announced_and_its_end_too(brokers, manager, line):
    broker = brokers.start(env=environment_for(manager))
    manager.wait("READY")
    with open(broker.config, "a", encoding="utf-8") as config:
        config.write(line + "\n")
    before = time.monotonic_ns() // 1000
    broker.process.send_signal(signal.SIGHUP)
    message = manager.wait("RELOADING")
    assert message["RELOADING"] == "1"
    assert before <= int(message["MONOTONIC_USEC"]) <= time.monotonic_ns() // 1000
    assert manager.take()["READY"] == "1"
    broker.answers()


def test_the_end_is_announced(brokers, manager):
    broker = brokers.start(env=environment_for(manager))
    manager.wait("READY")
    broker.process.send_signal(signal.SIGTERM)
    assert manager.wait("STOPPING")["STOPPING"] == "1"


@pytest.mark.slow
def test_signs_of_life_come_three_times_a_period(brokers, manager):
    brokers.start(env=environment_for(manager, WATCHDOG_USEC="600000"), keep_user=False)
    manager.wait("WATCHDOG")
    assert 8 <= manager.count("WATCHDOG", 2.1) <= 11


def test_no_signs_of_life_are_sent_that_nobody_waits_for(brokers, manager):
    broker = brokers.start(env=environment_for(manager))
    manager.wait("READY")
    assert manager.count("WATCHDOG", 0.5) == 0
    broker.stop()
    brokers.start(env=environment_for(manager, WATCHDOG_USEC="100000", WATCHDOG_PID="1"))
    manager.wait("READY")
    assert manager.count("WATCHDOG", 0.5) == 0


@pytest.mark.slow
def test_signs_of_life_come_without_a_spare_descriptor(brokers, manager):
    broker = brokers.start(env=environment_for(manager, WATCHDOG_USEC="600000"), verbose=False)
    manager.wait("READY")
    resource.prlimit(broker.pid, resource.RLIMIT_NOFILE, (64, 64))
    clients = []
    for number in range(64):
        client = Client(broker.port)
        clients.append(client)
        try:
            client.connect(f"c{number}")
        except Exception:  # closed, because there was no room: that is what we want
            break
    else:
        raise AssertionError("the limit does not hold")
    manager.count("WATCHDOG", 0.2)
    assert manager.count("WATCHDOG", 2.0) >= 7
    broker.process.send_signal(signal.SIGHUP)
    assert manager.wait("RELOADING")
    assert manager.wait("READY")
    broker.log.wait("The configuration was reloaded")
    for client in clients:
        client.close()


def test_without_a_socket_nobody_is_told(brokers):
    broker = brokers.start(env={"NOTIFY_SOCKET": "", "WATCHDOG_USEC": "100000"})
    broker.answers()
    broker.process.send_signal(signal.SIGHUP)
    broker.answers()


def test_a_socket_that_is_gone_does_no_harm(brokers, manager):
    broker = brokers.start(env=environment_for(manager, WATCHDOG_USEC="100000"))
    manager.wait("READY")
    manager.socket.close()
    time.sleep(0.3)
    broker.answers()


def test_a_manager_that_does_not_read_stops_nothing(brokers, manager):
    broker = brokers.start(env=environment_for(manager, WATCHDOG_USEC="30000"))
    broker.log.wait("running$")
    most = int(Path("/proc/sys/net/unix/max_dgram_qlen").read_text())
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
        other.setblocking(False)
        with pytest.raises(BlockingIOError):
            for _ in range(most + 10):
                other.sendto(b"X=1", manager.path)
    time.sleep(0.2)
    broker.answers()
    broker.process.send_signal(signal.SIGHUP)
    broker.log.wait("The configuration was reloaded")
    broker.answers()
