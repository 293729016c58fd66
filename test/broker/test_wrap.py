"""hosts.allow and hosts.deny: libwrap with daemon name "mosquitto", with files of the test's own."""

import os
import resource
import shutil
import socket
import subprocess
import time
from pathlib import Path

import pytest
from broker_process import binary, can_unshare, free_port
from listener_tools import SocketClient, by_path, descriptors, is_closed_without_a_word, v1
from mqtt_wire import CONNACK, Closed, connect
from test_server_start import needs_ipv6

FILES = ("hosts.allow", "hosts.deny", "resolv.conf")


def has_libwrap():
    if not shutil.which("ldd"):
        return False
    linked = subprocess.run(["ldd", binary()], capture_output=True, text=True, check=False).stdout
    return "libwrap" in linked


pytestmark = [
    pytest.mark.ours,
    pytest.mark.skipif(
        os.geteuid() != 0 or not can_unshare() or not has_libwrap() or not all(Path("/etc", f).exists() for f in FILES),
        reason="needs root, mounts of its own, the files of libwrap and a build with WITH_WRAP",
    ),
]


class Wrapped:
    """Starts brokers that see other files; these may be changed while they run."""

    def __init__(self, brokers, directory, monkeypatch):
        self.brokers = brokers
        self.directory = directory
        self.say()
        # Whoever asked for a name would wait for this server for ever.
        (directory / "resolv.conf").write_text("nameserver 192.0.2.53\n")
        inner = directory / "inner"
        binds = "".join(f"mount --bind '{directory}/{f}' /etc/{f}\n" for f in FILES)
        inner.write_text(f"#!/bin/sh -e\n{binds}exec {binary()} \"$@\"\n")
        inner.chmod(0o755)
        self.program = directory / "mosquitto"
        self.program.write_text(f"#!/bin/sh\nexec unshare -m --propagation private {inner} \"$@\"\n")
        self.program.chmod(0o755)
        monkeypatch.setenv("MOSQUITTO_BIN", str(self.program))

    def say(self, allow="", deny=""):
        (self.directory / "hosts.allow").write_text(allow)
        (self.directory / "hosts.deny").write_text(deny)

    def start(self, *lines):
        return self.brokers.start(*lines)


@pytest.fixture
def wrapped(brokers, tmp_path, monkeypatch):
    return Wrapped(brokers, tmp_path, monkeypatch)


def client_from(source, port, host="127.0.0.1"):
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    sock.bind((source, 0))
    sock.connect((host, port))
    client = SocketClient(sock)
    client.address = sock.getsockname()
    return client


def comes_in(client, header=b""):
    """Is a client let in? It is closed afterwards."""
    client.send_if_open(header + connect("wrapped"))
    try:
        client.expect(CONNACK, code=0)
    except Closed:
        assert not client.buffer
        return False
    finally:
        client.close()
    return True


def test_denied_is_who_is_written_there(wrapped):
    wrapped.say(deny="mosquitto: 127.0.0.2 127.0.3.0/255.255.255.0\n")
    broker = wrapped.start()
    assert comes_in(client_from("127.0.0.1", broker.port))
    for source in ("127.0.0.2", "127.0.3.7"):
        client = client_from(source, broker.port)
        assert is_closed_without_a_word(client)
        broker.log.wait(rf"Client connection from {source}:{client.address[1]} denied access by tcpd\.$")
        client.close()
    assert comes_in(client_from("127.0.4.7", broker.port))


def test_rules_count_from_the_moment_they_are_written(wrapped):
    broker = wrapped.start()
    assert comes_in(client_from("127.0.0.2", broker.port))
    inside = client_from("127.0.0.2", broker.port)
    inside.connect("inside")
    wrapped.say(allow="mosquitto: 127.0.0.1\n", deny="ALL: ALL\n")
    assert not comes_in(client_from("127.0.0.2", broker.port))
    assert comes_in(client_from("127.0.0.1", broker.port))
    wrapped.say()
    assert comes_in(client_from("127.0.0.2", broker.port))
    # Who was in stays in.
    inside.quiet()
    inside.close()


def test_the_name_of_the_daemon_is_mosquitto(wrapped):
    wrapped.say(deny="sshd mqtt: ALL\n")
    broker = wrapped.start()
    assert comes_in(client_from("127.0.0.1", broker.port))
    wrapped.say(allow="sshd: ALL\n", deny="ALL: ALL\n")
    assert not comes_in(client_from("127.0.0.1", broker.port))


@needs_ipv6
def test_ipv6_addresses_are_asked_for_too(wrapped):
    wrapped.say(allow="mosquitto: 127.0.0.1\n", deny="ALL: ALL\n")
    port = free_port()
    broker = wrapped.start(f"listener {port} ::1")
    assert not comes_in(client_from("::1", port, "::1"))
    broker.log.wait(r"Client connection from ::1:\d+ denied access by tcpd\.$")
    wrapped.say(allow="mosquitto: [::1]\n", deny="ALL: ALL\n")
    assert comes_in(client_from("::1", port, "::1"))


def test_names_are_never_looked_up(wrapped):
    wrapped.say(allow="mosquitto: .example.com host.example.org KNOWN\n", deny="mosquitto: UNKNOWN\n")
    broker = wrapped.start()
    begin = time.monotonic()
    assert not comes_in(client_from("127.0.0.2", broker.port))
    assert time.monotonic() - begin < 2


def test_a_command_in_the_rules_does_not_become_the_broker(wrapped):
    """`twist` replaces the program that asks, which a daemon cannot have."""
    wrapped.say(allow="mosquitto: 127.0.0.2: twist /bin/echo hello\n")
    broker = wrapped.start()
    comes_in(client_from("127.0.0.2", broker.port))
    assert comes_in(client_from("127.0.0.1", broker.port))
    assert broker.alive()


def test_unix_sockets_are_not_asked_about(wrapped):
    wrapped.say(deny="ALL: ALL\n")
    path = f"/tmp/wrap{free_port()}.sock"
    wrapped.start(f"listener 0 {path}")
    assert comes_in(by_path(path))


def test_behind_a_proxy_the_client_is_asked_about(wrapped):
    wrapped.say(deny="mosquitto: 192.0.2.7 127.0.0.1\n")
    broker = wrapped.start("enable_proxy_protocol true")
    # The proxy itself is at an address that is denied, and that does not matter.
    assert comes_in(client_from("127.0.0.1", broker.port), v1("192.0.2.8"))
    assert not comes_in(client_from("127.0.0.1", broker.port), v1("192.0.2.7", 55))
    broker.log.wait(r"Client connection from 192\.0\.2\.7:55 denied access by tcpd\.$")
    # But it does when it speaks for itself.
    assert not comes_in(client_from("127.0.0.1", broker.port), b"PROXY UNKNOWN\r\n")


def test_without_descriptors_nobody_is_let_in_by_mistake(wrapped):
    """libwrap takes a file that it cannot open for one without rules."""
    wrapped.say(deny="mosquitto: 127.0.0.2\n")
    broker = wrapped.start()
    used = descriptors(broker)
    most = resource.prlimit(broker.pid, resource.RLIMIT_NOFILE)[1]
    for spare in range(4):
        resource.prlimit(broker.pid, resource.RLIMIT_NOFILE, (used + spare, most))
        inside = [client_from("127.0.0.1", broker.port) for _ in range(max(spare - 1, 0))]
        for index, client in enumerate(inside):
            client.connect(f"inside{index}")
        for _ in range(5):
            assert not comes_in(client_from("127.0.0.2", broker.port))
        for client in inside:
            client.quiet()
            client.disconnect()
            client.close()
    resource.prlimit(broker.pid, resource.RLIMIT_NOFILE, (used + 20, most))
    assert comes_in(client_from("127.0.0.1", broker.port))


def test_without_descriptors_a_list_of_addresses_still_counts(wrapped, tmp_path):
    """It is a second file, read while the first is open."""
    tmp_path.chmod(0o755)
    (tmp_path / "list").write_text("127.0.0.2\n")
    wrapped.say(deny=f"mosquitto: {tmp_path}/list\n")
    broker = wrapped.start()
    assert not comes_in(client_from("127.0.0.2", broker.port))
    used = descriptors(broker)
    most = resource.prlimit(broker.pid, resource.RLIMIT_NOFILE)[1]
    for spare in range(5):
        resource.prlimit(broker.pid, resource.RLIMIT_NOFILE, (used + spare, most))
        for _ in range(5):
            assert not comes_in(client_from("127.0.0.2", broker.port)), spare
    assert comes_in(client_from("127.0.0.1", broker.port))


def test_a_flood_of_denials_is_summed_up(wrapped):
    wrapped.say(deny="mosquitto: 127.0.0.2\n")
    broker = wrapped.start()
    for _ in range(100):
        assert not comes_in(client_from("127.0.0.2", broker.port))
    broker.log.wait(r"Client connections from 127\.0\.0\.2 denied access by tcpd … and \d+ more\.$")
    assert len(broker.log.find("denied access by tcpd")) < 60
