"""What happens to a daemon in the long run: no descriptors, clocks that are set, reloads, a log that cannot be written."""

import fcntl
import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

import pytest
from broker_process import binary, environment, free_port, sanitized, whose
from mqtt_wire import CONNACK, PING, Client, Closed, connect, puback, subscribe
from peer_broker import listening
from test_full_disk import Disk

FAKETIME = [
    Path(f"/usr/lib/{machine}-linux-gnu/faketime/libfaketime.so.1") for machine in ("x86_64", "aarch64", "i386", "riscv64")
]


def processor_seconds(pid):
    """CPU time of the process, all threads, as the system counts it."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def reload(broker, *lines, says=r"Reloading config\.$"):
    """Rewrite all lines but the first two, and have them read; returns when the log says so."""
    head = broker.config.read_text(encoding="utf-8").splitlines()[:2]
    broker.config.write_text("\n".join([*head, *lines, *whose(lines)]) + "\n", encoding="utf-8")
    since = len(broker.log.lines)
    broker.process.send_signal(signal.SIGHUP)
    broker.log.wait(says, since)
    return since


# --- without a spare descriptor -------------------------------------------------------------------


@pytest.fixture
def cramped(brokers, tmp_path, monkeypatch):
    """A broker that has been started with a few descriptors only."""
    program = binary()
    wrapper = tmp_path / "cramped"
    wrapper.write_text(f'#!/bin/sh\nulimit -n 40\nexec "{program}" "$@"\n', encoding="utf-8")
    wrapper.chmod(0o755)
    monkeypatch.setenv("MOSQUITTO_BIN", str(wrapper))
    return brokers.start


def fill(broker):
    """Connect until one is closed at once; those that are served."""
    served = []
    for _ in range(60):
        client = broker.client()
        client.send_if_open(connect(broker.new_id()))
        try:
            client.expect(CONNACK, code=0)
        except Closed:
            client.close()
            return served
        served.append(client)
    raise AssertionError("60 clients are served with 40 descriptors")


def refused_at_once(broker):
    begin = time.monotonic()
    client = broker.client()
    client.send_if_open(connect("more"))
    client.expect_closed()
    client.close()
    return time.monotonic() - begin


def test_the_limit_of_descriptors_is_raised_and_logged(brokers):
    """From the soft limit to the hard one, whatever the soft one was."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 512), hard))
    try:
        broker = brokers.start()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    now, _ = resource.prlimit(broker.pid, resource.RLIMIT_NOFILE)
    assert now > 512
    broker.log.wait(rf"(?i)\b{now}\b.*(descriptor|connection|RLIMIT|files)|(descriptor|RLIMIT|files).*\b{now}\b")


def test_a_full_broker_neither_spins_nor_dies(cramped):
    broker = cramped()
    served = fill(broker)
    assert len(served) >= 10
    waiting = [broker.client() for _ in range(20)]
    before = processor_seconds(broker.pid)
    time.sleep(1.5)
    assert processor_seconds(broker.pid) - before < 0.3
    for client in waiting:
        client.expect_closed()
    for client in served:
        client.quiet()


def test_a_full_broker_refuses_at_once_and_says_so_briefly(cramped):
    broker = cramped()
    fill(broker)
    since = len(broker.log.lines)
    assert sum(refused_at_once(broker) for _ in range(60)) < 2
    broker.log.wait("(?i)descriptor", since)
    # ten lines a second, however many are refused; those of the clients before may still be coming
    assert 0 < len(broker.log.find("(?i)descriptor", since)) < 60


def test_a_full_broker_goes_on_with_messages(cramped):
    broker = cramped()
    served = fill(broker)
    reader, writer = served[0], served[1]
    reader.subscribe("a", qos=1)
    for number in range(50):
        refused_at_once(broker)
        writer.publish("a", str(number), qos=1)
        reader.take("a", str(number))


def test_a_full_broker_recovers(cramped):
    broker = cramped()
    served = fill(broker)
    used = descriptors(broker.pid)
    for _ in range(5):
        leaving = [served.pop() for _ in range(5)]
        for client in leaving:
            client.disconnect()
        served += fill(broker)
        assert len(served) >= 5
        assert abs(descriptors(broker.pid) - used) <= 1
    for client in served:
        client.quiet()


def test_a_full_broker_reloads(cramped):
    """The file is read and obeyed, although nothing more can be opened."""
    broker = cramped("message_size_limit 0")
    served = fill(broker)
    reader, writer = served[0], served[1]
    reader.subscribe("a")
    reload(broker, "message_size_limit 3")
    writer.publish("a", "four", qos=1)
    writer.publish("a", "one", qos=1)
    reader.take("a", "one")
    reload(broker, "message_size_limit 0", "no_such_option true", says="no_such_option")
    writer.publish("a", "four", qos=1)
    writer.publish("a", "two", qos=1)
    reader.take("a", "two")
    reload(broker, "message_size_limit 0")
    writer.publish("a", "four", qos=1)
    reader.take("a", "four")


# --- the wall clock is set ------------------------------------------------------------------------


class Clock:
    """The wall clock of a broker, set by writing a file; its monotonic clock goes on."""

    def __init__(self, path, library, monkeypatch):
        self.path = path
        self.set("+0")
        for key, value in {
            "LD_PRELOAD": str(library), "FAKETIME_TIMESTAMP_FILE": str(path), "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1", "FAKETIME_DONT_RESET": "1",
        }.items():
            monkeypatch.setenv(key, value)

    def set(self, offset):
        """`+2d`, `-1h`: from the real time."""
        fresh = self.path.with_suffix(".new")
        fresh.write_text(offset + "\n", encoding="ascii")
        fresh.rename(self.path)


@pytest.fixture
def clock(tmp_path, monkeypatch):
    if sanitized():
        pytest.skip("a false clock and a sanitizer cannot be used together")
    found = [path for path in FAKETIME if path.exists()]
    if not found:
        pytest.skip("there is no faketime")
    return Clock(tmp_path / "clock", found[0], monkeypatch)


def stamp_of(line):
    return int(line.split(":")[0])


def await_stamp(broker, low, high):
    """Make the broker log until its clock is in this range, in seconds from now."""
    limit = time.monotonic() + 10
    while True:
        since = len(broker.log.lines)
        broker.connect().disconnect()
        seen = stamp_of(broker.log.wait("disconnected", since)) - time.time()
        if low <= seen <= high:
            return
        assert time.monotonic() < limit, f"the broker's clock is off by {seen:.0f} s"


@pytest.mark.parametrize("jumps", [["+30d"], ["-30d"], ["+400d", "-400d", "+0"]], ids=lambda jumps: " ".join(jumps))
def test_a_jump_of_the_clock_ends_and_expires_nobody(brokers, clock, jumps):
    broker = brokers.start("persistent_client_expiration 1h", "sys_interval 1")
    absent = broker.connect("absent", clean=False)
    absent.subscribe("a", qos=1)
    absent.disconnect()
    present = [broker.connect(f"p{n}", keepalive=keepalive) for n, keepalive in enumerate((0, 4, 60, 65535))]
    for jump in jumps:
        clock.set(jump)
        days = int(jump.rstrip("d"))
        await_stamp(broker, days * 86400 - 100, days * 86400 + 100)
        for _ in range(3):
            time.sleep(0.5)
            for client in present:
                client.quiet()
    broker.connect("writer").publish("a", "kept", qos=1)
    back = broker.client()
    back.send(connect("absent", clean=False))
    back.expect(CONNACK, code=0, session_present=True)
    back.take("a", "kept")
    assert not broker.log.find("(?i)timeout|expir")


@pytest.mark.slow
@pytest.mark.parametrize("jump", ["+30d", "-30d"])
def test_time_limits_hold_after_a_jump(brokers, clock, jump):
    broker = brokers.start("sys_interval 1", "persistent_client_expiration 2s")
    broker.connect("absent", clean=False).disconnect()
    silent = broker.connect("silent", keepalive=2)
    watcher = broker.connect("watcher")
    watcher.subscribe("$SYS/broker/uptime")
    clock.set(jump)
    begin = time.monotonic()
    silent.expect_closed(8)
    assert 1.5 < time.monotonic() - begin < 7
    seconds = [int(watcher.take().payload.split()[0]) for _ in range(3)]
    assert seconds == sorted(seconds) and seconds[-1] < 60
    broker.log.wait("Expiring persistent client absent")
    client = broker.client()
    client.send(connect("absent", clean=False))
    client.expect(CONNACK, code=0, session_present=False)


# --- reloads --------------------------------------------------------------------------------------


WRONG = {
    "unknown option": ["no_such_option true"],
    "wrong value": ["max_qos 7"],
    "listener on a port that is taken": ["listener TAKEN 127.0.0.1"],
    "listener of another machine": ["listener FREE 192.0.2.1"],
    "missing directory": ["include_dir /no/such/directory"],
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_reload_with_an_error_changes_nothing_and_is_logged(brokers, wrong):
    broker = brokers.start("message_size_limit 3")
    free = free_port()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        lines = [line.replace("TAKEN", str(port)).replace("FREE", str(free)) for line in WRONG[wrong]]
        reader, writer = broker.connect(), broker.connect()
        reader.subscribe("a")
        reload(broker, "message_size_limit 0", f"listener {free} 127.0.0.1", *lines, says=r"\d+: Error")
        for client in (reader, writer, broker.connect()):
            client.quiet()
        writer.publish("a", "four", qos=1)
        writer.publish("a", "one", qos=1)
        reader.take("a", "one")
        assert not listening(free)
    # … and then one without.
    reload(broker, "message_size_limit 0")
    writer.publish("a", "four", qos=1)
    reader.take("a", "four")


def test_a_configuration_that_is_gone_changes_nothing(brokers):
    broker = brokers.start("message_size_limit 3")
    broker.config.rename(broker.config.with_suffix(".away"))
    since = len(broker.log.lines)
    broker.process.send_signal(signal.SIGHUP)
    broker.log.wait(r"Error", since)
    reader, writer = broker.connect(), broker.connect()
    reader.subscribe("a")
    writer.publish("a", "four", qos=1)
    writer.publish("a", "one", qos=1)
    reader.take("a", "one")


def test_listeners_come_and_go_while_clients_stay(brokers):
    broker = brokers.start()
    ports = [free_port() for _ in range(3)]
    stays = broker.connect("stays")
    reload(broker, *(f"listener {port} 127.0.0.1" for port in ports))
    guests = [Client(port) for port in ports]
    for number, guest in enumerate(guests):
        guest.connect(f"guest{number}")
    reload(broker, f"listener {ports[1]} 127.0.0.1", "max_connections 1")
    assert [listening(port) for port in ports] == [False, True, False]
    for client in (stays, *guests):
        client.quiet()
    late = Client(ports[1])
    late.send_if_open(connect("late"))
    late.expect_closed()
    for client in (*guests, late):
        client.close()


class Exchange(threading.Thread):
    """A pair of clients: one publishes at QoS 1, numbered, the other must get each number in order."""

    def __init__(self, broker, name):
        super().__init__(daemon=True)
        self.reader = broker.connect(f"{name}-r", clean=False)
        self.writer = broker.connect(f"{name}-w", clean=False)
        self.reader.subscribe(name, qos=1)
        self.topic = name
        self.over = threading.Event()
        self.count = 0
        self.failure = None

    def run(self):
        try:
            while not self.over.is_set():
                self.writer.publish(self.topic, str(self.count), qos=1)
                got = self.reader.recv()
                assert got.payload == str(self.count).encode() and not got.dup, got
                self.reader.send(puback(got.mid))
                self.count += 1
        except Exception as error:  # told to the thread that waits
            self.failure = error

    def finish(self):
        self.over.set()
        self.join(20)
        if self.failure:
            raise self.failure
        self.reader.quiet()
        return self.count


def test_twenty_reloads_lose_nothing(brokers):
    """Limits, log and listeners change under the hands of clients that exchange messages."""
    broker = brokers.start(verbose=False)
    pairs = [Exchange(broker, f"pair{n}") for n in range(3)]
    other = free_port()
    for pair in pairs:
        pair.start()
    for number in range(20):
        before = [pair.count for pair in pairs]
        changes = [f"max_inflight_messages {1 + number % 7}", f"max_queued_messages {100 + number}"]
        if number % 2:
            changes += [f"listener {other} 127.0.0.1", f"max_connections {number}"]
        reload(broker, *changes)
        limit = time.monotonic() + 10
        while any(pair.count <= count and pair.is_alive() for pair, count in zip(pairs, before)):
            assert time.monotonic() < limit, "nothing is delivered after a reload"
            time.sleep(0.01)
        assert listening(other) == bool(number % 2)
    assert all(pair.finish() >= 20 for pair in pairs)


# --- a log that cannot be written -----------------------------------------------------------------


def chatter(broker, rounds, topic="chatter"):
    """Log lines by the thousand: a ping is two, with -v."""
    client = broker.connect()
    for _ in range(rounds):
        client.send(PING * 100)
        client.expect_half(200)
    client.disconnect()
    return rounds * 200


LOSS = re.compile(rb"\b(\d[\d,]*) (?:log )?lines?\b.*(?:lost|missing)|(?:lost|missing|dropped)\b.*?\b(\d[\d,]*)")


def await_loss(read, least=1):
    """How many lines are said to be missing, as soon as that is said of so many."""
    limit = time.monotonic() + 20
    while True:
        text = read()
        found = [int((one or other).replace(b",", b"")) for one, other in LOSS.findall(text)]
        if sum(found) >= least:
            return sum(found)
        assert time.monotonic() < limit, f"nothing tells of lost lines:\n{text[-1000:].decode(errors='replace')}"
        time.sleep(0.1)


def test_a_log_on_a_full_disk_stops_nobody_and_the_loss_is_counted(brokers, tmp_path, monkeypatch):
    if os.geteuid() != 0 or not shutil.which("unshare") or not shutil.which("nsenter"):
        pytest.skip("needs root, unshare and nsenter for a small file system of its own")
    disk = Disk(tmp_path, "256k")
    if not disk.usable:
        disk.close()
        pytest.skip("mounting a file system is not allowed here")
    try:
        monkeypatch.setenv("MOSQUITTO_BIN", disk.wrap(binary()))
        broker = brokers.start(f"log_dest file {disk.place}/to.log", "sys_interval 1")
        before = processor_seconds(broker.pid)
        begin = time.monotonic()
        written = chatter(broker, 200)
        assert time.monotonic() - begin < 20
        broker.answers()
        log = disk.seen / "to.log"
        assert log.stat().st_size <= 256 * 1024
        inside = ["nsenter", *disk.around.split()]
        subprocess.run([*inside, "mount", "-o", "remount,size=64m", str(disk.place)], check=True, timeout=20)
        lost = await_loss(lambda: (broker.answers(), log.read_bytes())[1])
        kept = log.read_bytes().count(b"PING")
        assert written * 0.9 - kept <= lost <= written * 1.1
        assert processor_seconds(broker.pid) - before < 15
        broker.stop()
        brokers.own.remove(broker)
    finally:
        disk.close()


def test_a_log_that_nobody_reads_stops_nobody(tmp_path):
    """Standard error is a pipe that is full: the broker serves on, and tells later how much is missing."""
    port = free_port()
    config = tmp_path / "mosquitto.conf"
    config.write_text("\n".join([f"listener {port} 127.0.0.1", "allow_anonymous true", *whose([])]) + "\n", encoding="utf-8")
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
    process = subprocess.Popen([binary(), "-v", "-c", str(config)], stderr=writing, env=environment(), cwd=tmp_path)
    os.close(writing)
    try:
        limit = time.monotonic() + 20
        while not listening(port):
            assert process.poll() is None and time.monotonic() < limit
            time.sleep(0.01)
        client = Client(port)
        client.connect("noisy")
        for _ in range(300):
            client.send(PING * 100)
            client.expect_half(200)
        with os.fdopen(reading, "rb") as pipe:
            os.set_blocking(reading, False)
            text = b""

            def read_on():
                nonlocal text
                client.quiet()
                text += pipe.read() or b""
                return text

            await_loss(read_on, least=1000)
            client.disconnect()
            process.terminate()
            os.set_blocking(reading, True)
            text += pipe.read()
        assert process.wait(20) == 0
        assert b"terminating" in text.splitlines()[-1]
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def storm(broker, raw, count):
    """So many peers that send this and are sent away."""
    for _ in range(count):
        with socket.create_connection(("127.0.0.1", broker.port), 10) as sock:
            sock.sendall(raw)
            sock.settimeout(10)
            try:
                while sock.recv(100):
                    continue
            except ConnectionResetError:
                continue


@pytest.mark.parametrize(
    "lines, raw", [(["max_connections 1"], connect("x")), ([], connect("", clean=False)), ([], b"\xff" * 10)],
    ids=["max_connections", "refused", "nonsense"],
)
def test_a_flood_of_like_lines_is_summarised(brokers, lines, raw):
    """Not one line each, but none is forgotten: the sum of lines and of those that are counted is right."""
    broker = brokers.start("log_type notice", "log_type information", "connection_messages true", *lines, verbose=False)
    broker.connect("stays")
    since = len(broker.log.lines)
    storm(broker, raw, 2000)
    limit = time.monotonic() + 30
    said = r": Client.* (denied|disconnected): "
    while True:
        plain = [line for line in broker.log.find(said, since) if " more" not in line]
        counted = sum(
            int(line.rsplit(" more", 1)[0].rsplit(" ", 1)[1].replace(",", ""))
            for line in broker.log.find(said, since) if " more" in line
        )
        if len(plain) + counted >= 2000:
            break
        assert time.monotonic() < limit, f"{len(plain)} lines and {counted} counted of 2000"
        time.sleep(0.1)
    assert len(plain) < 1000
    assert len(plain) + counted <= 2010


def test_log_dest_topic_does_not_feed_itself(brokers):
    """A subscriber to the log does not make lines that make lines, not even with everything logged."""
    broker = brokers.start("log_dest topic", "log_dest stderr", "log_type all")
    watcher = broker.connect("watcher")
    watcher.send(subscribe(1, ("$SYS/broker/log/#", 2)))
    time.sleep(0.5)
    before = processor_seconds(broker.pid)
    since = len(broker.log.lines)
    time.sleep(1.5)
    assert processor_seconds(broker.pid) - before < 0.3
    assert len(broker.log.lines) - since < 20
