"""The server's side of TLS: what a storm of handshakes costs, who waits for whom, what is logged of strangers, and what
is told of connections and certificates."""

import os
import re
import selectors
import socket
import ssl
import stat
import subprocess
import time
from pathlib import Path

import pytest
from broker_process import binary, environment, free_port, sanitized, whose
from certificates import utc
from listener_tools import reload, v1
from mqtt_wire import CONNACK, PING, Client, connect, publish, subscribe
from tls_wire import TlsClient, trusting

STORM = 1000
TURN_MS = 10.0


class Door:
    """A broker with a plain first listener and a TLS one."""

    def __init__(self, brokers, pki, *lines, pair=None, head=(), **options):
        self.pki = pki
        self.port = free_port()
        self.broker = brokers.start(*head, f"listener {self.port} 127.0.0.1", *pki.tls(pair), *lines, **options)
        self.broker.await_port(self.port)
        self.log = self.broker.log
        self.log.wait("denied: it ended before its ")  # whoever has looked whether the port is open

    def client(self, client_id=None, **options):
        client = TlsClient(self.port, trusting(self.pki.ca), **options)
        client.connect(client_id or self.broker.new_id())
        return client

    def refused(self, since, pattern):
        """The line on who was turned away, which is the only one."""
        self.log.wait(f"denied: .*{pattern}", since)
        self.broker.answers()
        lines = self.log.find("denied:", since)
        assert len(lines) == 1, lines
        return lines[0]


@pytest.fixture
def door(brokers, pki):
    return Door(brokers, pki)


# --- a storm ------------------------------------------------------------------------------------


class Newcomer:
    """A client that never waits: handshake, CONNECT, CONNACK."""

    def __init__(self, port, context):
        self.sock = socket.socket()
        self.sock.setblocking(False)
        self.sock.connect_ex(("127.0.0.1", port))
        self.coming, self.going = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.coming, self.going)
        self.shaken = self.served = False
        self.out = b""

    def step(self):
        try:
            if not self.shaken:
                self.tls.do_handshake()
                self.shaken = True
                self.tls.write(connect())
            self.served = self.served or self.tls.read(4)[:1] == bytes([CONNACK << 4])
        except ssl.SSLWantReadError:
            pass
        self.out += self.going.read()

    def wants(self):
        return selectors.EVENT_READ | (selectors.EVENT_WRITE if self.out else 0)

    def ready(self, events):
        if events & selectors.EVENT_READ:
            self.coming.write(self.sock.recv(65536))
        self.step()
        if self.out:
            try:
                self.out = self.out[self.sock.send(self.out):]
            except BlockingIOError:
                pass


def storm(port, context, count, between):
    """All of them at once; `between` is called again and again."""
    waiting = selectors.DefaultSelector()
    crowd = [Newcomer(port, context) for _ in range(count)]
    for one in crowd:
        waiting.register(one.sock, selectors.EVENT_WRITE, one)
    end = time.monotonic() + 60
    left = count
    while left > 0:
        assert time.monotonic() < end, f"{left} of {count} were not served"
        for number, (key, events) in enumerate(waiting.select(1)):
            one = key.data
            one.ready(events)
            if number % 100 == 0:
                between()
            if one.served:
                waiting.unregister(one.sock)
                left -= 1
            else:
                waiting.modify(one.sock, one.wants(), one)
    for one in crowd:
        one.sock.close()


def longest_turn(broker):
    broker.stop()
    line = broker.log.wait(r"Longest turn: ")
    return float(re.search(r"Longest turn: ([\d.]+) ms", line).group(1))


def test_a_storm_of_handshakes_keeps_nobody_waiting(brokers, pki):
    door = Door(brokers, pki, pair=pki.rsa_server)
    old = door.broker.connect()
    answers = []

    def ping():
        old.send(PING)
        answers.append(old.recv())

    storm(door.port, trusting(), STORM, ping)
    assert len(answers) > 10
    longest = longest_turn(door.broker)
    assert sanitized() or longest < TURN_MS, f"a turn took {longest} ms of CPU"


def test_more_handshakes_than_a_turn_takes_are_all_done(brokers, pki):
    """In the order in which they could go on: none is forgotten, also none that has come in pieces."""
    door = Door(brokers, pki)
    slow = socket.create_connection(("127.0.0.1", door.port))
    newcomer = Newcomer(door.port, trusting())
    newcomer.step()
    hello = newcomer.out
    newcomer.sock.close()
    slow.sendall(hello[:40])
    storm(door.port, trusting(), 100, lambda: None)
    slow.sendall(hello[40:])
    assert slow.recv(1) == b"\x16"
    slow.close()


# --- what TLS holds -----------------------------------------------------------------------------


def test_what_has_arrived_at_once_is_all_served(door):
    """More than one read takes, in records of every size, and the last byte of it without another event."""
    receiver = door.broker.connect()
    receiver.subscribe("many", qos=1)
    sender = door.client()
    for size in (1, 100, 5000, 70000):
        for mid in range(1, 41):
            sender.send(publish("many", b"x" * size, 1, mid))
        for mid in range(1, 41):
            receiver.take("many", b"x" * size)
            sender.expect(4, mid=mid)
    sender.close()


def test_what_comes_with_the_handshake_is_served(door):
    """The client's last flight, CONNECT and more in one piece."""
    newcomer = Newcomer(door.port, trusting())
    newcomer.sock.setblocking(True)
    newcomer.step()
    while not newcomer.shaken:
        newcomer.sock.sendall(newcomer.out)
        newcomer.out = b""
        newcomer.coming.write(newcomer.sock.recv(65536))
        newcomer.step()
    newcomer.tls.write(subscribe(1, ("early", 0)) + PING)
    newcomer.sock.sendall(newcomer.out + newcomer.going.read())
    got = b""
    while len(got) < 4 + 5 + 2:
        newcomer.coming.write(newcomer.sock.recv(65536))
        try:
            got += newcomer.tls.read(100)
        except ssl.SSLWantReadError:
            pass
    assert got[0] == 0x20 and got[4] == 0x90 and got[9:] == b"\xd0\x00"
    newcomer.sock.close()


def test_a_publisher_that_is_paused_goes_on(brokers, pki):
    """Its output is full, so its input waits, some of it in TLS, and nothing is lost."""
    door = Door(brokers, pki, "max_queued_messages 0", "max_inflight_messages 0")
    echo = door.client("echo")
    echo.subscribe("echo", qos=1)
    payload = b"y" * 2000
    for mid in range(1, 501):
        echo.send(publish("echo", payload, 0, None))
    for _ in range(500):
        echo.take("echo", payload)
    echo.close()


# --- strangers ----------------------------------------------------------------------------------


def say(port, raw):
    """Say this to the TLS port, and wait until the broker has closed; the address that it came from."""
    with socket.create_connection(("127.0.0.1", port), 15) as sock:
        address = sock.getsockname()
        sock.sendall(raw)
        try:
            while sock.recv(100):
                pass
        except ConnectionResetError:
            pass
        return address[1]


STRANGERS = {
    "mqtt": (connect("lost"), "appears to be using plain MQTT to connect to a TLS listener"),
    "http": (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "appears to be using plain HTTP to connect to a TLS listener"),
    "garbage": (b"\0\1\2\3\4\5\6\7", "what it sends is not TLS"),
    "nothing": (b"", "it ended before its TLS handshake began"),
    "half a hello": (b"\x16\x03\x01\x02\x00\x01\x00", "TLS handshake failed: "),
    "a bad hello": (b"\x16\x03\x01\x00\x05hello", "TLS handshake failed: "),
}


@pytest.mark.parametrize("what", STRANGERS)
def test_who_does_not_speak_tls_is_one_line(door, what):
    door.broker.answers()
    raw, said = STRANGERS[what]
    since = len(door.log.lines)
    if what in ("nothing", "half a hello"):
        client = Client(door.port)
        port = client.sock.getsockname()[1]
        client.send_if_open(raw)
        client.close()
    else:
        port = say(door.port, raw)
    line = door.refused(since, said)
    assert f"from 127.0.0.1:{port} denied: " in line and f"(certfile on port {door.port})" in line


def test_strangers_in_a_flood_are_counted(door):
    since = len(door.log.lines)
    for _ in range(200):
        say(door.port, connect("lost"))
    door.log.wait(r"denied: it appears to be using plain MQTT.* … and \d+ more", since)
    assert len(door.log.find("denied: it appears", since)) < 100


def test_behind_a_proxy_the_stranger_is_whom_it_names(brokers, pki):
    door = Door(brokers, pki, "enable_proxy_protocol 1")
    since = len(door.log.lines)
    say(door.port, v1("192.0.2.9", 50123) + connect("lost"))
    assert "from 192.0.2.9:50123 denied" in door.refused(since, "plain MQTT")
    client = door.client("behind", first=v1("192.0.2.10", 50124))
    door.log.wait(r"New client connected from 192\.0\.2\.10.* as behind")
    client.close()


def test_waiting_costs_nothing(brokers, pki):
    """Half a handshake, and a reader that does not read: nobody spins."""
    door = Door(brokers, pki, "max_queued_messages 0")
    half = socket.create_connection(("127.0.0.1", door.port))
    half.sendall(b"\x16\x03\x01\x02\x00\x01\x00")
    reader = door.client("lazy")
    reader.subscribe("much", qos=0)
    sender = door.broker.connect()
    for _ in range(40):
        sender.send(publish("much", b"z" * 250_000))
    sender.ping()
    time.sleep(0.3)
    before = cpu_ticks(door.broker.pid)
    time.sleep(1)
    assert cpu_ticks(door.broker.pid) - before <= 10
    reader.ping()
    half.close()
    reader.close()


def cpu_ticks(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


# --- what is told -------------------------------------------------------------------------------


def test_what_was_negotiated_is_logged(door):
    door.client("told").close()
    door.log.wait(r"Client 127\.0\.0\.1:\d+ negotiated TLSv1\.3 cipher \w+\.$")


def expires(pair):
    text = subprocess.run(["openssl", "x509", "-in", pair.cert, "-noout", "-enddate"], capture_output=True, text=True,
                          check=True).stdout
    return int(ssl.cert_time_to_seconds(text.strip().partition("=")[2]))


def test_the_end_of_a_certificate_is_published(brokers, pki):
    door = Door(brokers, pki)
    topic = f"$SYS/broker/listener/{door.port}/certificate/expires"
    watcher = door.broker.connect()
    watcher.subscribe("$SYS/broker/listener/#")
    watcher.take(topic, str(expires(pki.server)), retain=True)
    watcher.quiet()
    reload(door.broker, f"listener {door.port} 127.0.0.1", *pki.tls(pki.rsa_server))
    if expires(pki.rsa_server) != expires(pki.server):
        watcher.take(topic, str(expires(pki.rsa_server)))
    reload(door.broker)
    watcher.take(topic, b"")


def test_without_sys_nothing_is_published(brokers, pki):
    door = Door(brokers, pki, head=["sys_interval 0"])
    watcher = door.broker.connect()
    watcher.subscribe("$SYS/#")
    watcher.quiet()


def run(directory, *arguments):
    return subprocess.run([binary(), *map(str, arguments)], capture_output=True, text=True, timeout=60, cwd=directory,
                          env=environment(), check=False, stdin=subprocess.DEVNULL)


def write(directory, *lines):
    path = directory / "test.conf"
    path.write_text("\n".join([f"listener {free_port()} 127.0.0.1", "allow_anonymous true", *lines, *whose(lines)]))
    return path


@pytest.mark.parametrize("days, said", [
    (10, r"expires in (9|10) days, on 20"), (-2, r"expired on 20"), (40, None),
])
def test_a_certificate_that_ends_soon_is_warned_of(brokers, pki, tmp_path, days, said):
    pair = pki.ca.server(starts=utc(days=-5), ends=utc(days=days))
    done = run(tmp_path, "-c", write(tmp_path, *pki.tls(pair)), "--test-config")
    assert done.returncode == 0, done.stderr
    found = re.findall(r"Warning: TLS on port \d+: certfile '.*' .*\.", done.stderr)
    assert bool(found) == bool(said)
    door = Door(brokers, pki, pair=pair)
    assert len(door.log.find("Warning: TLS on port")) == len(found)
    if said:
        assert re.search(said, found[0])
        door.log.wait(f"Warning: TLS on port {door.port}: .*{said}")


def test_test_config_reads_all_files(pki, tmp_path):
    (tmp_path / "acl").write_text("topic reda x\n")
    done = run(tmp_path, "-c", write(tmp_path, f"acl_file {tmp_path}/acl"), "--test-config")
    assert done.returncode == 3 and f"{tmp_path}/acl:1" in done.stderr
    done = run(tmp_path, "-c", write(tmp_path, f"certfile {pki.server.cert}", f"keyfile {pki.client().key}"),
               "--test-config")
    assert done.returncode == 3 and "keyfile" in done.stderr


# --- the key log --------------------------------------------------------------------------------


def test_the_key_log_has_what_the_client_knows(brokers, pki, tmp_path):
    path = tmp_path / "secrets"
    door = Door(brokers, pki, args=["-c", "mosquitto.conf", "--tls-keylog", str(path)])
    context = trusting(pki.ca)
    context.keylog_filename = str(tmp_path / "mine")
    client = TlsClient(door.port, context)
    client.connect("logged")
    client.close()

    def secrets(file):
        return {line for line in file.read_text().splitlines() if line and not line.startswith("#")}

    assert secrets(tmp_path / "mine") and secrets(tmp_path / "mine") <= secrets(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    door.log.wait("Warning: --tls-keylog")


def test_the_key_log_follows_no_link(pki, tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    conf = write(tmp_path, *pki.tls())
    done = run(tmp_path, "-c", conf, "--tls-keylog", tmp_path / "link", "--test-config")
    assert done.returncode == 3 and "symbolic link" in done.stderr
    assert not (tmp_path / "elsewhere").exists()
    os.mkfifo(tmp_path / "pipe")
    done = run(tmp_path, "-c", conf, "--tls-keylog", tmp_path / "pipe", "--test-config")
    assert done.returncode == 3 and "Error: --tls-keylog" in done.stderr
