"""A full or failing disk: nothing is acknowledged that is not stored, nobody is sent away for it.

While there is no room, frames wait in memory; when too many do, publishers are paused until there is room
again. A failed write is tried again; a failed sync is the end of the process, and the next start recovers.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import broker_process
import mqtt_wire
import pytest
from broker_process import sanitized
from mqtt_wire import PUBACK, PUBLISH, cut, puback, publish
from stored_broker import (
    SMALL_SEGMENTS, UNLIMITED, StoredBroker, absent_session, drain, numbers_of, runs, send_numbered,  # noqa: F401
)

UNSYNCED = 262144
LIMITS = [UNLIMITED, SMALL_SEGMENTS, f"persistence_max_unsynced {UNSYNCED}"]
PAYLOAD = 1000
STALLED = 0.7  # seconds without an acknowledgement: the publisher is held up
TROUBLE = r"(?i)no space|disk|ENOSPC|input/output|cannot be (written|stored)"

MODES = pytest.mark.parametrize("mode", ["write", "fsync"])


class Disk:
    """A small file system in a mount namespace of its own, which a sleeping process holds open."""

    def __init__(self, directory, size):
        self.place = directory / "disk"
        self.place.mkdir()
        script = f"mount -t tmpfs -o size={size} none {self.place} && echo ready && exec sleep 600"
        self.holder = subprocess.Popen(
            ["unshare", "--mount", "--propagation", "private", "sh", "-c", script],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )
        self.usable = self.holder.stdout.readline() == "ready\n"
        self.seen = Path(f"/proc/{self.holder.pid}/root{self.place}")
        self.wrapper = directory / "inside"
        # The root too: where the tests run in a root of their own, it is not that of the name space.
        self.around = f"--mount=/proc/{self.holder.pid}/ns/mnt --root=/proc/{self.holder.pid}/root"

    def wrap(self, program):
        """A command that starts the program where this file system is."""
        self.wrapper.write_text(f'#!/bin/sh\nexec nsenter {self.around} {program} "$@"\n')
        self.wrapper.chmod(0o755)
        return str(self.wrapper)

    def ballast(self, size):
        with open(self.seen / "ballast", "wb") as file:
            file.write(bytes(size))

    def make_room(self):
        (self.seen / "ballast").unlink()

    def close(self):
        self.holder.kill()
        self.holder.wait()
        self.holder.stdout.close()


@pytest.fixture
def disk(tmp_path, monkeypatch):
    if os.geteuid() != 0 or not shutil.which("unshare") or not shutil.which("nsenter"):
        pytest.skip("needs root, unshare and nsenter for a small file system of its own")
    program = broker_process.binary()
    disk = Disk(tmp_path, "3m")
    if not disk.usable:
        disk.close()
        pytest.skip("mounting a file system is not allowed here")
    monkeypatch.setenv("MOSQUITTO_BIN", disk.wrap(program))
    yield disk
    disk.close()


@pytest.fixture
def started(disk, tmp_path):
    """Starts brokers on the small disk; those that are left are killed before it goes."""
    brokers = []

    def start(mode):
        lines = [*LIMITS, f"persistence_sync {mode}"]
        brokers.append(StoredBroker(tmp_path, lines, location=disk.place))
        return brokers[-1]

    yield start
    for broker in brokers:
        broker.drop_clients()
        if broker.alive():
            broker.kill()
        assert broker.log.first_complaint is None, broker.report()


class Writer:
    """Publishes numbered messages as fast as it may; knows what was acknowledged."""

    def __init__(self, broker, topic, name="writer", keepalive=60):
        self.client = broker.connect(name, clean=False, keepalive=keepalive)
        self.topic = topic
        self.sent = 0
        self.acked = []
        self.open = {}
        self.out = bytearray()
        self.client.sock.setblocking(False)

    def fill(self, most):
        while len(self.out) < 65536 and len(self.open) < 1000 and self.sent < most:
            mid = self.client.mid()
            self.open[mid] = self.sent
            self.out += publish(self.topic, f"{self.sent} " + "x" * PAYLOAD, 1, mid)
            self.sent += 1

    def step(self):
        """Write and read what is possible at once; how many acknowledgements came."""
        with contextlib.suppress(BlockingIOError):
            del self.out[: self.client.sock.send(self.out)]
        with contextlib.suppress(BlockingIOError):
            data = self.client.sock.recv(65536)
            assert data, "the publisher was disconnected"
            self.client.buffer += data
        before = len(self.acked)
        while (packet := cut(self.client.buffer)) is not None:
            assert packet.kind == PUBACK, packet
            self.acked.append(self.open.pop(packet.mid))
        return len(self.acked) - before

    def run(self, most, seconds=30.0, stalled=STALLED):
        """Publish up to `most` messages; True: all are acknowledged, False: it is held up."""
        last = time.monotonic()
        end = last + seconds
        while time.monotonic() < end:
            self.fill(most)
            if self.step():
                last = time.monotonic()
            elif time.monotonic() - last > stalled:
                return False
            else:
                time.sleep(0.001)
            if len(self.acked) == most:
                return True
        raise AssertionError(f"neither done nor held up: {len(self.acked)} of {most} are acknowledged")


def trouble_lines(broker, since=0):
    return broker.log.find(TROUBLE, since)


def take_some(reader, count):
    """Take and acknowledge QoS 1 messages of one's queue."""
    got = []
    while len(got) < count:
        packet = reader.expect(PUBLISH, qos=1)
        reader.send(puback(packet.mid))
        got.append(packet)
    return got


@pytest.mark.slow
@MODES
def test_a_full_disk_holds_publishers_up_and_loses_nothing(disk, started, mode):
    broker = started(mode)
    absent_session(broker, "absent", "full/#")
    disk.ballast(3 << 19)
    reader = broker.connect("reader", clean=False)
    writer = Writer(broker, "full/x", keepalive=1)
    before = len(broker.log.lines)
    assert not writer.run(100_000), "the disk did not become full"
    held = len(writer.acked)
    # Longer than keepalive allows, and no one is sent away; who only reads is served.
    for _ in range(8):
        time.sleep(0.3)
        reader.quiet()
        writer.step()
    assert len(writer.acked) == held
    assert len(writer.open) * PAYLOAD > UNSYNCED // 2
    assert 1 <= len(trouble_lines(broker, before)) <= 3, broker.report()
    disk.make_room()
    assert writer.run(writer.sent), "it did not go on"
    assert writer.acked == list(range(writer.sent))
    newcomer = broker.connect("newcomer", clean=False)
    newcomer.publish("full/x", f"{writer.sent} last", qos=1)
    assert len(broker.log.lines) - before < 40, broker.report()
    broker.kill()
    again = started(mode)
    assert numbers_of(drain(again, "absent", writer.sent + 1)) == list(range(writer.sent + 1))


@MODES
def test_what_was_acknowledged_on_a_full_disk_survives_a_kill(disk, started, mode):
    """Without room ever coming back: all that was acknowledged was stored."""
    broker = started(mode)
    absent_session(broker, "absent", "full/#")
    disk.ballast(3 << 19)
    writer = Writer(broker, "full/x")
    assert not writer.run(100_000)
    broker.kill()
    disk.make_room()
    again = started(mode)
    got = numbers_of(drain(again, "absent"))
    assert got == list(range(len(got))) and len(got) >= len(writer.acked)


def test_a_reader_takes_its_queue_while_the_disk_is_full(disk, started):
    broker = started("write")
    absent_session(broker, "reader", "queue/#")
    absent_session(broker, "absent", "full/#")
    send_numbered(broker.connect(), "queue/x", range(300))
    reader = broker.connect("reader", clean=False)
    first = take_some(reader, 10)
    disk.ballast(3 << 19)
    assert not Writer(broker, "full/x").run(100_000)
    rest = take_some(reader, 290)
    assert numbers_of(first + rest) == list(range(300))
    reader.quiet()


def test_the_broker_starts_and_stops_on_a_full_disk(disk, started):
    broker = started("write")
    absent_session(broker, "absent", "full/#")
    send_numbered(broker.connect(), "full/x", range(100))
    broker.kill()
    with contextlib.suppress(OSError):
        disk.ballast(3 << 20)
    again = started("write")
    client = again.connect()
    client.quiet()
    again.kill(signal.SIGTERM)
    disk.make_room()
    assert numbers_of(drain(started("write"), "absent", 100)) == list(range(100))


# --- a limit of our own, for those who are not root ---------------------------------------------


@pytest.mark.slow
def test_the_largest_size_is_a_full_disk_until_it_is_raised(runs):
    broker = runs.start(*LIMITS, "persistence_max_size 1048576")
    absent_session(broker, "absent", "full/#")
    writer = Writer(broker, "full/x")
    assert not writer.run(100_000), "the limit did not hold"
    assert broker.size() <= 1048576 + 65536  # the frame that reached the limit was written whole
    text = broker.config.read_text()
    broker.config.write_text(text.replace("persistence_max_size 1048576", "persistence_max_size 0"))
    broker.process.send_signal(signal.SIGHUP)
    assert writer.run(writer.sent), "it did not go on"
    broker.kill()
    again = runs.start(*LIMITS)
    assert numbers_of(drain(again, "absent", writer.sent)) == list(range(writer.sent))


# --- a failing disk -----------------------------------------------------------------------------


class Failing:
    """While this lasts, these system calls of the broker fail."""

    def __init__(self, broker, calls, error, directory):
        self.trace = directory / "strace.out"
        self.process = subprocess.Popen(
            ["strace", "-f", "-p", str(broker.pid), "-o", str(self.trace), "-e", f"trace={calls}",
             "-e", f"inject={calls}:error={error}"],
            stderr=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL,
        )
        self.attached = "attached" in self.process.stderr.readline()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        self.process.wait(10)
        self.process.stderr.close()


def failing(broker, calls, error, directory):
    if not shutil.which("strace"):
        pytest.skip("needs strace to make system calls fail")
    if sanitized():
        pytest.skip("the leak checker cannot work under strace")
    trouble = Failing(broker, calls, error, directory)
    if not trouble.attached:
        with trouble:
            pytest.skip("strace may not attach here")
    return trouble


WRITES = "pwrite64,pwritev,pwritev2"
SYNCS = "fdatasync,fsync"


@pytest.mark.parametrize("error", ["EIO", "ENOSPC"])
@MODES
def test_a_failed_write_is_tried_again(runs, tmp_path, mode, error):
    broker = runs.start(*LIMITS, f"persistence_sync {mode}")
    absent_session(broker, "absent", "full/#")
    writer = Writer(broker, "full/x")
    assert writer.run(50)
    before = len(broker.log.lines)
    with failing(broker, WRITES, error, tmp_path):
        assert not writer.run(2000)
        assert len(writer.acked) == 50
        assert 1 <= len(trouble_lines(broker, before)) <= 2, broker.report()
    assert writer.run(2000), "it did not go on"
    broker.kill()
    assert numbers_of(drain(runs.again(broker), "absent", 2000)) == list(range(2000))


@MODES
def test_a_failed_sync_ends_the_broker_and_the_next_start_recovers(runs, tmp_path, mode):
    broker = runs.start(*LIMITS, f"persistence_sync {mode}")
    absent_session(broker, "absent", "full/#")
    writer = Writer(broker, "full/x")
    assert writer.run(50)
    with failing(broker, SYNCS, "EIO", tmp_path):
        with contextlib.suppress(AssertionError, OSError):
            writer.run(200, seconds=5)
        assert broker.process.wait(mqtt_wire.PATIENCE) == 1, broker.report()
    broker.log.wait(r"(?i)sync")
    again = runs.again(broker)
    got = numbers_of(drain(again, "absent"))
    assert got == list(range(len(got))) and len(got) >= len(writer.acked)
