"""The store as its owner sees it: options, files, signals, log lines, exit codes."""

import os
import re
import shutil
import signal
import stat
import subprocess
import tempfile
import time
from pathlib import Path

import pytest
from broker_process import binary, environment, free_port, whose
from mqtt_wire import PUBLISH
from stored_broker import (
    SMALL_SEGMENTS, UNLIMITED, StoredBroker, absent_session, drain, fingerprint, numbers_of,
    refused, runs, send_numbered,  # noqa: F401
)

MODES = pytest.mark.parametrize("mode", ["write", "fsync"])


def fill(broker, count=20):
    """A session with a queue, and a retained message."""
    absent_session(broker, "absent", "q/#")
    writer = broker.connect()
    send_numbered(writer, "q/a", range(count))
    writer.publish("kept", "retained", qos=1, retain=True)
    writer.close()


def assert_filled(broker, count=20):
    assert numbers_of(drain(broker, "absent", count)) == list(range(count))
    reader = broker.connect()
    reader.subscribe("kept")
    reader.take("kept", b"retained", retain=True)


def hup(broker, *lines):
    """Have it read a configuration in which these lines stand behind the first four."""
    head = broker.config.read_text().splitlines()[:4]
    broker.config.write_text("\n".join([*head, *lines, *whose(lines)]) + "\n")
    since = len(broker.log.lines)
    broker.process.send_signal(signal.SIGHUP)
    broker.log.wait(r"Reloading config\.$", since)
    broker.answers()
    return since


@MODES
@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
def test_a_restart_says_what_it_found(runs, mode, end):
    broker = runs.start(f"persistence_sync {mode}")
    broker.log.wait(rf"Store {broker.journal}: new\.$")
    fill(broker)
    assert broker.kill(end) == (0 if end == signal.SIGTERM else -end)
    again = runs.again(broker)
    line = again.log.wait(rf"Store {broker.journal}: ")
    assert re.search(r": 1 segments, 1 sessions, .*1 retained messages, in \d+ ms\.$", line), line
    assert_filled(again)


def test_the_store_is_recovered_before_anybody_can_connect(runs):
    broker = runs.start()
    fill(broker)
    broker.kill()
    again = runs.again(broker)
    again.log.wait("running$")
    steps = [re.search("Opening|Store|running$", line) for line in again.log.lines]
    assert [step.group() for step in steps if step] == ["Opening", "Store", "running"]


def test_persistence_false_writes_nothing(brokers):
    broker = brokers.start("persistence false", "persistence_file other.db")
    fill(broker)
    broker.process.send_signal(signal.SIGUSR1)
    broker.log.wait(r"There is nothing to save: persistence is off\.$")
    assert {p.name for p in broker.directory.iterdir()} == {"mosquitto.conf", "broker.log"}


@pytest.mark.parametrize(
    "line, word",
    [
        ("persistence maybe", "expected true or false"),
        ("persistence_sync sometimes", "expected one of 'write' 'fsync'"),
        ("persistence_recover maybe", "expected one of 'strict' 'salvage'"),
        ("persistence_segment_size 1K", "from 65536 to 1073741824"),
        ("persistence_sync_interval 0", "from 1 to 3600"),
        ("persistence_max_unsynced 1", "65536 or more"),
        ("persistence_file a/b", "expected a name without '/'"),
        ("persistent_client_expiration 5", "one of the letters h d w m y s"),
    ],
)
def test_wrong_values_are_refused(tmp_path, line, word):
    config = tmp_path / "wrong.conf"
    config.write_text(f"{line}\n")
    done = subprocess.run(
        [binary(), "-c", str(config)], capture_output=True, text=True, cwd=tmp_path, timeout=20,
        env=environment(), check=False,
    )
    assert done.returncode == 3
    assert word in done.stderr and "wrong.conf:1" in done.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["wrong.conf"]


def test_a_second_broker_on_one_store_refuses(runs):
    broker = runs.start()
    fill(broker)
    before = fingerprint(broker.journal)
    code, output = refused(broker)
    assert code == 1
    assert f"Error: Another broker uses the store {broker.journal}." in output
    assert fingerprint(broker.journal) == before
    broker.kill()
    assert_filled(runs.again(broker))


def test_the_last_component_of_the_location_is_made(runs, tmp_path):
    broker = runs.start(location=tmp_path / "new")
    for path in (broker.location, broker.journal):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700
    fill(broker)
    for path in broker.segments():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def start_with(tmp_path, location, user=None, program=None, **env):
    config = tmp_path / "m.conf"
    lines = [f"listener {free_port()} 127.0.0.1", "persistence true", f"persistence_location {location}"]
    config.write_text("\n".join([*lines, *whose([])]) + "\n")
    return subprocess.run(
        [program or binary(), "-c", str(config)], capture_output=True, text=True, cwd=tmp_path, timeout=20,
        env={**environment(), **env}, check=False, user=user,
    )


def test_a_location_whose_parent_is_missing(tmp_path):
    done = start_with(tmp_path, tmp_path / "a" / "b")
    assert done.returncode == 1
    assert f"Error: Cannot make the directory {tmp_path}/a/b/: No such file or directory." in done.stderr


def test_a_location_that_is_a_file(tmp_path):
    (tmp_path / "a").write_text("x")
    done = start_with(tmp_path, tmp_path / "a")
    assert done.returncode == 1
    assert f"Error: Cannot open the directory {tmp_path}/a/: Not a directory." in done.stderr
    assert (tmp_path / "a").read_text() == "x"


def test_a_store_that_is_a_file(tmp_path):
    (tmp_path / "mosquitto.db.journal").write_text("x")
    done = start_with(tmp_path, tmp_path)
    assert done.returncode == 1
    assert "mosquitto.db.journal: Not a directory." in done.stderr


@pytest.fixture
def open_directory():
    """A directory that every user can reach."""
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o755)
        yield Path(name)


@pytest.mark.parametrize("mode", [0o500, 0o300, 0o000])
def test_a_location_that_cannot_be_used(open_directory, mode):
    place = open_directory / "a"
    place.mkdir()
    place.chmod(mode)
    # Root may do everything, so somebody else has to try, and may not reach where the program was built.
    program = shutil.copy(binary(), open_directory)
    nobody = 65534 if os.geteuid() == 0 else None
    if nobody:
        os.chown(place, nobody, nobody)
    done = start_with(open_directory, place, user=nobody, program=program)
    assert done.returncode == 1
    assert re.search(rf"Error: Cannot .* {place}/.*: Permission denied\.", done.stderr)


def test_a_location_on_a_read_only_file_system(tmp_path):
    done = start_with(tmp_path, "/proc/self")
    assert done.returncode == 1
    assert re.search(r"Error: Cannot make the directory /proc/self/mosquitto.db.journal: ", done.stderr)


def test_the_environment_overrides_the_location(tmp_path):
    (tmp_path / "here").mkdir()
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "mosquitto.db.journal").write_text("ends the start")
    done = start_with(tmp_path, tmp_path / "here", MOSQUITTO_PERSISTENCE_LOCATION=str(tmp_path / "there"))
    assert done.returncode == 1
    assert f"Error: Cannot open the directory {tmp_path}/there/mosquitto.db.journal: " in done.stderr
    assert not list((tmp_path / "here").iterdir())


def test_usr1_compacts_and_usr2_tells(runs):
    broker = runs.start(UNLIMITED, SMALL_SEGMENTS)
    fill(broker, 1500)
    drained = drain(broker, "absent", 1500)
    assert len(drained) == 1500
    # what has been acknowledged is cleaned by itself down to a few segments, and no further
    assert broker.size() > 50_000
    broker.process.send_signal(signal.SIGUSR1)
    broker.log.wait(r"Store .*: syncing, and cleaning all segments\.$")
    limit = time.monotonic() + 10
    while broker.size() > 10_000 and time.monotonic() < limit:
        time.sleep(0.02)
    assert broker.size() <= 10_000
    broker.process.send_signal(signal.SIGUSR2)
    line = broker.log.wait(r"Store: \d+ segments, \d+ bytes\. ")
    assert re.search(r"Since the start: \d+ frames, \d+ writes, \d+ syncs; cleaned: [1-9]\d* segments", line)
    broker.kill()
    assert_filled(runs.again(broker), 0)


def test_reload_takes_limits_and_keeps_what_needs_a_restart(runs):
    broker = runs.start("persistence_sync write", "persistence_sync_interval 1", verbose=True)
    fill(broker)
    since = hup(
        broker, "persistence_sync fsync", "persistence_file b.db", "persistence_segment_size 64K",
        "persistence_sync_interval 2", "persistence_max_size 2M", "persistence_max_unsynced 1M",
    )
    for name in ("persistence_sync", "persistence_file", "persistence_segment_size"):
        broker.log.wait(f"Warning: {name}: a changed value needs a restart; the old one stays", since)
    assert len(broker.log.wait_for(3, "needs a restart", since)) == 3
    fill_more = broker.connect()
    send_numbered(fill_more, "q/a", range(20, 30))
    assert not (broker.location / "b.db.journal").exists()
    broker.kill()
    config = StoredBroker(broker.directory, [], location=broker.location)
    runs.keep(config)
    assert_filled(config, 30)


def test_reload_cannot_turn_it_off(runs):
    broker = runs.start(verbose=True)
    text = broker.config.read_text().replace("persistence true", "persistence false")
    broker.config.write_text(text)
    broker.process.send_signal(signal.SIGHUP)
    broker.log.wait("Warning: persistence: a changed value needs a restart; the old one stays")
    fill(broker)
    broker.kill()
    assert_filled(runs.keep(StoredBroker(broker.directory, location=broker.location)))


@MODES
def test_messages_above_the_memory_limit_come_back_in_order(runs, mode):
    broker = runs.start(UNLIMITED, "persistence_memory_limit 100K", "persistence_segment_size 256K",
                        f"persistence_sync {mode}")
    absent_session(broker, "absent", "q")
    writer = broker.connect()
    send_numbered(writer, "q", range(3000), filler=1000, at_once=50)
    assert numbers_of(drain(broker, "absent", 3000)) == list(range(3000))
    send_numbered(writer, "q", range(500), filler=1000, at_once=50)
    broker.kill()
    again = runs.again(broker)
    assert numbers_of(drain(again, "absent", 500)) == list(range(500))


def test_other_files_of_the_store_are_left_alone(runs):
    broker = runs.start()
    fill(broker)
    broker.kill(signal.SIGTERM)
    for name in ("notes.txt", "0000000000000000.seg.damaged", "x.seg"):
        (broker.journal / name).write_text(name)
    again = runs.again(broker)
    assert_filled(again)
    for name in ("notes.txt", "0000000000000000.seg.damaged", "x.seg"):
        assert (broker.journal / name).read_text() == name


def test_a_connected_reader_gets_what_is_stored_only_afterwards(runs):
    """QoS 2 goes out when it is stored, with persistence_sync fsync too."""
    broker = runs.start("persistence_sync fsync")
    reader = broker.connect("r", clean=False)
    reader.subscribe("q", qos=2)
    writer = broker.connect("w", clean=False)
    writer.publish("q", "x", qos=2)
    first = reader.expect(PUBLISH, topic="q", qos=2)
    broker.kill()
    again = runs.again(broker)
    reader = again.connect("r", clean=False)
    assert reader.connack.session_present
    second = reader.expect(PUBLISH, topic="q", qos=2, dup=True)
    assert second.mid == first.mid
