"""A broker with a store on disk, which can be killed and started again on the same directory."""

import hashlib
import os
import signal
import subprocess
from pathlib import Path

import mqtt_wire
import pytest
from broker_process import STOP_LIMIT, Broker, binary, environment, free_port

UNLIMITED = "max_queued_messages 0"
# Small, so that segments are followed by others and cleaned all the time.
SMALL_SEGMENTS = "persistence_segment_size 65536"


class StoredBroker(Broker):
    """Each object is one run of the broker; the directory is what runs have in common."""

    def __init__(self, directory, lines=(), location=None, verbose=False, **options):
        self.location = Path(location or directory)
        self.lines = tuple(lines)
        store = ["persistence true", f"persistence_location {self.location}/"]
        super().__init__(directory, [*store, *self.lines], verbose=verbose, **options)

    def await_port(self, port, host="127.0.0.1"):
        super().await_port(port, host)
        self.log.wait("version .* running")  # it is ours that listens there, and its log has been read

    @property
    def journal(self):
        return self.location / "mosquitto.db.journal"

    def segments(self):
        """The segment files, oldest first: their names are positions in hexadecimal."""
        return sorted(self.journal.glob("*.seg"))

    def size(self):
        """Bytes of all segments; those that vanish meanwhile do not count."""
        total = 0
        for path in self.segments():
            try:
                total += path.stat().st_size
            except FileNotFoundError:
                continue
        return total

    def kill(self, number=signal.SIGKILL):
        """End it at once; sockets of clients stay as they are."""
        if self.alive():
            self.process.send_signal(number)
        try:
            return self.process.wait(STOP_LIMIT)
        finally:
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait()
            self.log.thread.join(5)
            self.process.stdout.close()

    def again(self, *more, verbose=None):
        """Another run on the same store, with more lines of configuration."""
        return StoredBroker(self.directory, [*self.lines, *more], location=self.location,
                            verbose=bool(verbose))


def refused(broker, *more):
    """Start where a refusal is expected: exit code and output."""
    config = Path(broker.directory) / "refused.conf"
    text = broker.config.read_text().replace(f"listener {broker.port}", f"listener {free_port()}")
    config.write_text(text + "\n".join(more) + "\n")
    done = subprocess.run(
        [binary(), "-c", str(config)], capture_output=True, text=True, env=environment(),
        cwd=broker.directory, stdin=subprocess.DEVNULL, timeout=STOP_LIMIT, check=False,
    )
    return done.returncode, done.stdout + done.stderr


def fingerprint(directory):
    """Name, size and content of every file below a directory."""
    out = {}
    for root, _, names in os.walk(directory):
        for name in names:
            path = Path(root) / name
            if path.is_file():
                out[str(path.relative_to(directory))] = hashlib.sha256(path.read_bytes()).hexdigest()
    return out


def send_numbered(client, topic, numbers, filler=200, qos=1, at_once=10, first_mid=1):
    """Publish payloads that begin with these numbers, a few at a time, each acknowledged."""
    numbers = list(numbers)
    for start in range(0, len(numbers), at_once):
        part = numbers[start : start + at_once]
        mids = range(first_mid, first_mid + len(part))
        client.send(*(mqtt_wire.publish(topic, f"{n} " + "x" * filler, qos, mid) for n, mid in zip(part, mids)))
        for mid in mids:
            client.expect(mqtt_wire.PUBACK, mid=mid)


def numbers_of(packets):
    return [int(p.payload.split()[0]) for p in packets]


def absent_session(broker, name, *filters, qos=1):
    """A lasting session with these subscriptions, whose client has left."""
    client = broker.connect(name, clean=False)
    client.subscribe(*filters, qos=qos)
    client.disconnect()


def take_until_quiet(client, count=None, quiet=1.0):
    """All messages that come, acknowledged in full, at most `quiet` seconds apart.

    With `count` so many are awaited. A PINGRESP would prove nothing: it does not wait for the disk, as
    what follows a PUBREC does.
    """
    got = []
    while True:
        waiting = count is not None and len(got) < count
        try:
            packet = client.recv(None if waiting else quiet)
        except TimeoutError:
            return got
        if packet.kind == mqtt_wire.PUBLISH:
            got.append(packet)
            if packet.qos:
                client.send(mqtt_wire.ack(mqtt_wire.PUBACK if packet.qos == 1 else mqtt_wire.PUBREC, packet.mid))
        else:
            assert packet.kind == mqtt_wire.PUBREL, packet
            client.send(mqtt_wire.pubcomp(packet.mid))


def drain(broker, name, count=None):
    """The lasting session's client comes back and takes all that waited for it."""
    client = broker.connect(name, clean=False)
    assert client.connack.session_present
    got = take_until_quiet(client, count, 1.0 if count is None else 0.05)
    client.disconnect()
    return got


class Runs:
    """Starts brokers for one test and ends those that the test has left running."""

    def __init__(self, directory):
        self.directory = directory
        self.all = []

    def start(self, *lines, **options):
        return self.keep(StoredBroker(self.directory, lines, **options))

    def keep(self, broker):
        self.all.append(broker)
        return broker

    def again(self, broker, *more, **options):
        return self.keep(broker.again(*more, **options))

    def stop(self):
        for broker in self.all:
            broker.drop_clients()
            if broker.alive():
                broker.stop()
            assert broker.log.first_complaint is None, broker.report()


@pytest.fixture
def runs(tmp_path):
    """Brokers on one store: `runs.start(line, …)`, and `runs.again(broker)` after its end."""
    runs = Runs(tmp_path)
    yield runs
    runs.stop()
