"""A mosquitto.db of Mosquitto's is taken over at the first start, once.

Files of format 6 are made by Debian's mosquitto 2.0.11 here and now; those of the other formats by
mosquitto_db.py, whose files are given to that same program to see that it reads them as meant.
"""

import shutil
import signal
import subprocess
import time

import mqtt_wire as wire
import pytest
from broker_process import START_LIMIT, binary, environment, free_port, whose
from mosquitto_db import (
    CLIENT, CLIENT_MESSAGE, IN, MESSAGE, RETAIN, SUBSCRIPTION, WAIT_PUBACK, WAIT_PUBCOMP,
    WAIT_PUBREC, WAIT_PUBREL, Database, as_bytes, chunks,
)

pytestmark = pytest.mark.ours


# --- Debian's broker --------------------------------------------------------------------------


def debian():
    """The path of Debian's mosquitto 2.0.x; without it the test is skipped."""
    path = shutil.which("mosquitto", path="/usr/sbin:/usr/bin")
    if not path:
        pytest.skip("Debian's mosquitto is not installed")
    shown = subprocess.run([path, "-h"], capture_output=True, text=True, check=False).stdout
    if "mosquitto version 2.0." not in shown:
        pytest.skip(f"{path} is not Mosquitto 2.0")
    return path


class Debian:
    """Mosquitto 2.0 with its store in a directory."""

    def __init__(self, directory, *lines):
        self.directory = directory
        self.file = directory / "mosquitto.db"
        self.port = free_port()
        config = directory / "debian.conf"
        config.write_text("\n".join([
            f"listener {self.port} 127.0.0.1", "allow_anonymous true", "user root",
            "persistence true", f"persistence_location {directory}/", "autosave_interval 0", *lines,
        ]) + "\n")
        self.log = open(directory / "debian.log", "wb")
        self.process = subprocess.Popen(
            [debian(), "-v", "-c", str(config)], stdin=subprocess.DEVNULL, stdout=self.log,
            stderr=self.log)
        self.wait_for(self.runs)

    def runs(self):
        """It listens before it minds signals."""
        return " running\n" in (self.directory / "debian.log").read_text()

    def wait_for(self, condition):
        end = time.monotonic() + START_LIMIT
        while not condition():
            assert self.process.poll() is None, (self.directory / "debian.log").read_text()
            assert time.monotonic() < end, "Debian's mosquitto does not do what it should"
            time.sleep(0.01)

    def connect(self, client_id, clean=False, **options):
        client = wire.Client(self.port)
        client.connack = client.connect(client_id, clean=clean, **options)
        return client

    def save(self):
        """Have it write its file while it goes on."""
        self.file.unlink(missing_ok=True)
        self.process.send_signal(signal.SIGUSR1)
        self.wait_for(self.file.exists)

    def stop(self, number=signal.SIGTERM):
        if self.process.poll() is None:
            self.process.send_signal(number)
        self.process.wait(START_LIMIT)
        self.log.close()


@pytest.fixture
def start_debian(tmp_path):
    running = []

    def start(*lines):
        running.append(Debian(tmp_path, *lines))
        return running[-1]

    yield start
    for one in running:
        one.stop(signal.SIGKILL)


# --- ours -------------------------------------------------------------------------------------


def persistent(directory):
    return ("persistence true", f"persistence_location {directory}/")


def start_ours(brokers, directory):
    """Our broker on the directory, which takes over the file that is there."""
    before = (directory / "mosquitto.db").read_bytes()
    broker = brokers.start(*persistent(directory))
    assert not (directory / "mosquitto.db").exists()
    assert (directory / "mosquitto.db.imported").read_bytes() == before
    return broker


def resume(broker, client_id):
    client = broker.connect(client_id, clean=False)
    assert client.connack.session_present
    return client


def receive(broker, client, topic):
    """All that has come for a client; its end is known by a message that is published now.

    A ping would not tell: what has to be stored first leaves after its answer.
    """
    sender = broker.connect()
    sender.publish(topic, "that is all", 1)
    sender.disconnect()
    got, open_ids = [], set()
    while not got or got[-1].payload != b"that is all" or open_ids:
        packet = client.recv()
        if packet.kind == wire.PUBLISH:
            got.append(packet)
            if packet.qos == 2:
                open_ids.add(packet.mid)
            if packet.qos:
                client.send(wire.puback(packet.mid) if packet.qos == 1 else wire.pubrec(packet.mid))
        else:
            assert packet.kind == wire.PUBREL, packet
            open_ids.remove(packet.mid)
            client.send(wire.pubcomp(packet.mid))
    return got[:-1]


# --- a file written by Debian's broker ----------------------------------------------------------


def fill_queue(debian_broker):
    """Subscriptions of a client that is away, and what is queued for it at each QoS."""
    client = debian_broker.connect("queued")
    client.subscribe(("t/#", 2), ("one/+", 1), ("zero", 0))
    client.disconnect()
    sender = debian_broker.connect("publisher", clean=True, username="somebody")
    sender.publish("t/1", "first", 1)
    sender.publish("t/2", b"\x00\xffsecond", 2)
    sender.publish("one/x", "third", 2)
    sender.publish("zero", "fourth", 0)
    sender.publish("t/5", b"", 1)
    sender.disconnect()


def stop_half_way(debian_broker):
    """A receiver that leaves in the middle: PUBACK, PUBCOMP and PUBREC are outstanding."""
    client = debian_broker.connect("half", username="user")
    client.subscribe(("h/#", 2))
    sender = debian_broker.connect("publisher", clean=True)
    sender.publish("h/1", "at once", 1)
    sender.publish("h/2", "received", 2)
    sender.publish("h/3", "exactly once", 2)
    mids = [client.expect(wire.PUBLISH).mid for _ in range(3)]
    client.send(wire.pubrec(mids[1]))
    client.expect(wire.PUBREL, mid=mids[1])
    client.close()
    sender.disconnect()
    return mids


def send_half(debian_broker):
    """A sender that has not released a QoS 2 message yet, nor seen the PUBREC of another."""
    client = debian_broker.connect("sender")
    client.send(wire.publish("t/in", "unreleased", 2, 0x1234, retain=True))
    client.expect(wire.PUBREC, mid=0x1234)
    client.close()


def retain_some(debian_broker):
    client = debian_broker.connect("publisher", clean=True)
    client.publish("r/1", "kept", 1, retain=True)
    client.publish("r/2", b"\x00" * 3000, 0, retain=True)
    client.publish("r/gone", "x", 1, retain=True)
    client.publish("r/gone", "", 1, retain=True)
    client.disconnect()


def check_half(broker, mids):
    client = resume(broker, "half")
    client.expect(wire.PUBLISH, topic="h/1", payload="at once", qos=1, mid=mids[0], dup=True)
    client.expect(wire.PUBREL, mid=mids[1])
    client.expect(wire.PUBLISH, topic="h/3", payload="exactly once", qos=2, mid=mids[2], dup=True)
    client.send(wire.puback(mids[0]), wire.pubcomp(mids[1]), wire.pubrec(mids[2]))
    client.expect(wire.PUBREL, mid=mids[2])
    client.send(wire.pubcomp(mids[2]))
    assert receive(broker, client, "h/end") == []
    client.disconnect()


QUEUE = [
    ("t/1", b"first", 1), ("t/2", b"\x00\xffsecond", 2), ("one/x", b"third", 1),
    ("zero", b"fourth", 0), ("t/5", b"", 1), ("t/in", b"unreleased", 2),
]


def check_queue(broker):
    client = resume(broker, "queued")
    got = receive(broker, client, "t/end")
    assert [(p.topic, p.payload, p.qos) for p in got] == QUEUE
    assert not any(p.retain or p.dup for p in got)
    client.disconnect()


def check_sender(broker):
    """The message has been delivered: a repeat is not, and its release is answered."""
    client = resume(broker, "sender")
    client.send(wire.publish("t/in", "unreleased", 2, 0x1234, retain=True, dup=True))
    client.expect(wire.PUBREC, mid=0x1234)
    client.send(wire.pubrel(0x1234))
    client.expect(wire.PUBCOMP, mid=0x1234)
    client.disconnect()
    other = resume(broker, "queued")
    assert receive(broker, other, "t/end") == []
    other.disconnect()


def check_retained(broker, expected):
    client = broker.connect()
    client.subscribe("#")
    got = {p.topic: p.payload for p in client.take_all() if p.retain}
    assert got == {topic: as_bytes(payload) for topic, payload in expected.items()}
    client.disconnect()


def check_subscriptions(broker):
    """They work on, for what is published from now on."""
    sender = broker.connect()
    for number, topic in enumerate(("t/a/b", "one/y", "one/y/z", "zero")):
        sender.publish(topic, str(number), 2)
    client = resume(broker, "queued")
    sender.publish("zero", "now", 2)
    got = [(p.topic, p.payload, p.qos) for p in receive(broker, client, "t/end")]
    assert got == [("t/a/b", b"0", 2), ("one/y", b"1", 1), ("zero", b"now", 0)]
    client.disconnect()


@pytest.mark.parametrize("ending", ["clean stop", "saved, then killed"])
def test_a_file_of_debians_mosquitto(start_debian, brokers, tmp_path, ending):
    theirs = start_debian("queue_qos0_messages true")
    fill_queue(theirs)
    mids = stop_half_way(theirs)
    send_half(theirs)
    retain_some(theirs)
    if ending == "clean stop":
        theirs.stop()
    else:
        theirs.save()
        theirs.stop(signal.SIGKILL)
    broker = start_ours(brokers, tmp_path)
    check_half(broker, mids)
    check_queue(broker)
    check_sender(broker)
    check_retained(broker, {"r/1": "kept", "r/2": bytes(3000), "t/in": "unreleased"})
    check_subscriptions(broker)


# --- the other formats ------------------------------------------------------------------------


def example(version, username="somebody"):
    """What the tests above bring about, as a file of this format."""
    db = Database(version).config(20)
    db.message(11, "t/1", "first", 1, source="publisher", username=username, source_mid=1)
    db.message(12, "t/2", b"\x00\xffsecond", 2, source="publisher")
    db.message(13, "one/x", "third", 2)
    db.message(14, "zero", "fourth", 0)
    db.message(15, "t/5", b"", 1)
    db.message(16, "h/1", "at once", 1)
    db.message(17, "h/2", "received", 2)
    db.message(18, "h/3", "exactly once", 2)
    db.message(19, "t/in", "unreleased", 2, retain=True, source="sender", source_mid=0x1234)
    db.message(3, "r/1", "kept", 1, retain=True)
    db.client("queued", last_mid=4, disconnected=int(time.time()) - 60)
    db.client_message("queued", 11, 1, 1).client_message("queued", 12, 2, 2)
    db.client_message("queued", 13, 3, 1).client_message("queued", 14, 0, 0)
    db.client_message("queued", 15, 4, 1)
    db.client("half", last_mid=2)
    db.client_message("half", 16, 65534, 1, WAIT_PUBACK, dup=True)
    db.client_message("half", 17, 65535, 2, WAIT_PUBCOMP)
    db.client_message("half", 18, 1, 2, WAIT_PUBREC)
    db.client("sender")
    db.client_message("sender", 19, 0x1234, 2, WAIT_PUBREL, IN, retain=True)
    db.subscription("queued", "t/#", 2).subscription("queued", "one/+", 1)
    db.subscription("queued", "zero", 0).subscription("half", "h/#", 2)
    return db.retain(3)


@pytest.mark.parametrize("version", [3, 4, 5, 6])
def test_formats(brokers, tmp_path, version):
    example(version).write(tmp_path / "mosquitto.db")
    broker = start_ours(brokers, tmp_path)
    check_half(broker, [65534, 65535, 1])
    check_queue(broker)
    check_sender(broker)
    check_retained(broker, {"r/1": "kept", "t/in": "unreleased"})
    check_subscriptions(broker)


@pytest.mark.parametrize("version", [5, 6])
def test_mqtt5_content_is_dropped(brokers, tmp_path, version):
    """Properties go, messages stay; what has expired is gone."""
    past, future = int(time.time()) - 5, int(time.time()) + 5000
    db = Database(version).config(20)
    db.message(1, "t", "with properties", 1, props=b"\x03\x00\x04text")
    db.message(2, "t", "expired", 1, expiry=past)
    db.message(3, "t", "not yet", 1, expiry=future)
    db.client("c", interval=10000, expiry=future).client("gone", interval=10, expiry=past)
    for number in (1, 2, 3):
        db.client_message("c", number, props=b"\x0b\x05").client_message("gone", number)
    db.subscription("c", "t", 1, options=0x0C, identifier=5).subscription("gone", "t", 1)
    db.retain(2)
    db.write(tmp_path / "mosquitto.db")
    broker = start_ours(brokers, tmp_path)
    assert not broker.connect("gone", clean=False).connack.session_present
    got = receive(broker, resume(broker, "c"), "t")
    assert [p.payload for p in got] == [b"with properties", b"not yet"]
    check_retained(broker, {})


def test_what_2_0_writes_for_a_client_without_user_name(brokers, tmp_path):
    """Hundreds of bytes of its memory; they are skipped."""
    db = Database(6).client("c", stale_username=b"\x00\xff" * 384).subscription("c", "t", 1)
    db.message(1, "t", "m", 1).client_message("c", 1).write(tmp_path / "mosquitto.db")
    broker = start_ours(brokers, tmp_path)
    assert [p.payload for p in receive(broker, resume(broker, "c"), "t")] == [b"m"]


# --- once, or not at all -----------------------------------------------------------------------


def test_a_second_start_does_not_import_again(brokers, tmp_path):
    example(6).write(tmp_path / "mosquitto.db")
    broker = start_ours(brokers, tmp_path)
    check_queue(broker)
    broker.stop()
    kept = (tmp_path / "mosquitto.db.imported").read_bytes()
    broker = brokers.start(*persistent(tmp_path))
    client = resume(broker, "queued")
    assert receive(broker, client, "t/end") == []
    check_half(broker, [65534, 65535, 1])
    assert (tmp_path / "mosquitto.db.imported").read_bytes() == kept
    assert not (tmp_path / "mosquitto.db").exists()


def refused(directory):
    """The output of our broker, which must end with code 1 and leave the file as it is."""
    file = directory / "mosquitto.db"
    before = file.read_bytes()
    config = directory / "refuse.conf"
    lines = [f"listener {free_port()} 127.0.0.1", *persistent(directory), *whose([])]
    config.write_text("\n".join(lines) + "\n")
    done = subprocess.run(
        [binary(), "-c", str(config)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, timeout=START_LIMIT, env=environment(), cwd=directory,
        check=False)
    assert done.returncode == 1, done.stdout
    assert file.read_bytes() == before
    assert not (directory / "mosquitto.db.imported").exists()
    return done.stdout


@pytest.mark.parametrize("version", [3, 4, 5, 6])
def test_a_file_that_is_cut_short_is_refused(brokers, tmp_path, version):
    db = example(version)
    (tmp_path / "mosquitto.db").write_bytes(db.data[:-3])
    said = refused(tmp_path)
    assert "mosquitto.db" in said and str(db.offsets[-1]) in said, said
    db.write(tmp_path / "mosquitto.db")
    check_queue(start_ours(brokers, tmp_path))


def test_a_damaged_value_is_refused(tmp_path):
    db = Database(6).config(20)
    db.message(1, "t", "m", qos=7).write(tmp_path / "mosquitto.db")
    assert str(db.offsets[1]) in refused(tmp_path)


def test_what_is_no_persistence_file_is_refused(tmp_path):
    (tmp_path / "mosquitto.db").write_bytes(bytes(4096))
    assert "mosquitto.db" in refused(tmp_path)


def test_a_format_of_the_future_is_refused(tmp_path):
    Database(7).write(tmp_path / "mosquitto.db")
    assert "7" in refused(tmp_path)


# --- is what mosquitto_db.py writes what Mosquitto reads? --------------------------------------


def settled(data):
    """What a file of format 6 holds, without what differs from run to run."""
    kinds = (MESSAGE, CLIENT, CLIENT_MESSAGE, SUBSCRIPTION, RETAIN)
    found = {kind: set() for kind in kinds}
    for kind, body in chunks(data):
        if kind == CLIENT:
            body = body[12:16] + body[24:]  # neither expiry nor port
        elif kind == MESSAGE:
            body = body[:8] + body[16:28] + body[30:]
        if kind in found:
            found[kind].add(body)
    return found


@pytest.mark.parametrize("version", [3, 4, 5, 6])
def test_debians_mosquitto_reads_the_examples(start_debian, tmp_path, version):
    """It says what it has read by writing it in format 6."""
    example(version).write(tmp_path / "mosquitto.db")
    theirs = start_debian()
    theirs.save()
    wanted = example(6, username="" if version == 3 else "somebody")
    assert settled(theirs.file.read_bytes()) == settled(wanted.data)
