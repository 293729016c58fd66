"""Started as root: what only root can do is done first, then the broker becomes an ordinary user for good."""

import contextlib
import os
import pwd
import re
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
from pathlib import Path

import mosquitto_db
import pytest
from broker_process import Broker, binary, environment, free_port
from mqtt_wire import Client

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give up being root")

NOBODY = 65534
STRANGER = 54321  # a number without an account
AS_ITSELF = {"PUID": "", "PGID": ""}


def account(name):
    try:
        return pwd.getpwnam(name)
    except KeyError:
        return None


def usual():
    """Whom a broker becomes when nobody says anything else."""
    return account("mosquitto") or account("nobody")


def identity(pid):
    """The user and group numbers of a process (real, effective, saved, file system), its groups and capabilities."""
    fields = {}
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        key, _, value = line.partition(":")
        fields[key] = value.split()
    numbers = {key: [int(word) for word in fields[key]] for key in ("Uid", "Gid", "Groups")}
    return numbers, {key: int(fields[key][0], 16) for key in ("CapPrm", "CapEff", "CapInh", "CapAmb")}


def assert_is(pid, uid, gid):
    numbers, capabilities = identity(pid)
    assert numbers["Uid"] == [uid] * 4
    assert numbers["Gid"] == [gid] * 4
    assert 0 not in numbers["Groups"]
    assert set(capabilities.values()) == {0}


def owner(path):
    found = os.lstat(path)
    return found.st_uid, found.st_gid


@pytest.fixture
def start(tmp_path):
    """Brokers that give up root, in a directory that nobody but root can reach."""
    running = []
    tmp_path.chmod(0o700)

    def start_one(*lines, user=None, env=None, **options):
        given = [f"user {user}"] if user else []
        directory = tmp_path / f"broker{len(running)}"
        directory.mkdir()
        broker = Broker(directory, [*given, *lines], keep_user=False, env={**AS_ITSELF, **(env or {})}, **options)
        running.append(broker)
        broker.log.wait("running$")
        return broker

    yield start_one
    for broker in running:
        if broker.alive():
            broker.stop()


def run(tmp_path, *lines, env=None, user=None, arguments=()):
    """A start that is to fail: exit code and output."""
    config = tmp_path / "fails.conf"
    config.write_text("\n".join([f"listener {free_port()} 127.0.0.1", *lines]) + "\n")
    done = subprocess.run(
        [binary(), "-c", str(config), *arguments], capture_output=True, text=True, timeout=20, cwd=tmp_path,
        env={**environment(), **AS_ITSELF, **(env or {})}, user=user, check=False, stdin=subprocess.DEVNULL,
    )
    return done.returncode, done.stdout + done.stderr


# --- whom to become ------------------------------------------------------------------------------


def test_without_a_word_it_becomes_mosquitto(start):
    broker = start()
    assert_is(broker.pid, usual().pw_uid, usual().pw_gid)
    broker.log.wait(rf"Running as user {usual().pw_name} \(uid {usual().pw_uid}, gid {usual().pw_gid}\)\.$")
    broker.answers()


def test_it_becomes_the_user_that_was_asked_for(start):
    broker = start(user="nobody")
    assert_is(broker.pid, account("nobody").pw_uid, account("nobody").pw_gid)
    broker.answers()


def test_root_can_stay_root_and_is_warned(start):
    broker = start(user="root")
    assert identity(broker.pid)[0]["Uid"] == [0] * 4
    broker.log.wait(r"Warning: Mosquitto should not be run as root/administrator\.$")


def test_an_unknown_user_is_named_with_its_line(tmp_path):
    code, output = run(tmp_path, "user nosuchuser")
    assert code == 3
    assert re.search("Error: .*user.*nosuchuser", output)
    assert f"{tmp_path}/fails.conf:2" in output
    code, output = run(tmp_path, "user nosuchuser", arguments=["--test-config"])
    assert code == 3 and f"{tmp_path}/fails.conf:2" in output


def test_numbers_of_the_environment_win_over_the_user(start):
    broker = start(user="nobody", env={"PUID": str(STRANGER), "PGID": "54322"})
    assert_is(broker.pid, STRANGER, 54322)
    assert identity(broker.pid)[0]["Groups"] == [54322]
    broker.log.wait(rf"Running as uid {STRANGER}, gid 54322\.$")


def test_a_group_alone_is_the_users_group(start):
    broker = start(user="nobody", env={"PGID": "54322"})
    assert_is(broker.pid, NOBODY, 54322)


def test_a_number_with_an_account_brings_its_group(start):
    broker = start(env={"PUID": str(usual().pw_uid)})
    assert_is(broker.pid, usual().pw_uid, usual().pw_gid)


@pytest.mark.parametrize("name", ["PUID", "PGID"])
@pytest.mark.parametrize("value", ["x", "-1", "4294967295", "99999999999999999999", "1 2", "0x10"])
def test_wrong_numbers_end_with_3(tmp_path, name, value):
    code, output = run(tmp_path, f"log_dest file {tmp_path}/m.log", env={name: value})
    assert code == 3
    assert name in output and output.count("expected a number") == 1


@pytest.fixture
def open_directory():
    """A directory that every user can reach, with a copy of the program."""
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o755)
        shutil.copy(binary(), name)
        yield Path(name)


def test_who_is_not_root_stays_who_he_is(open_directory, monkeypatch):
    home = open_directory / "home"
    home.mkdir()
    os.chown(home, STRANGER, STRANGER)
    monkeypatch.setenv("MOSQUITTO_BIN", str(open_directory / "mosquitto"))
    env = {"PUID": "0", "PGID": "0"}
    broker = Broker(home, ["user nosuchuser", "pid_file own.pid", "persistence true"], env=env, user=STRANGER)
    try:
        numbers, _ = identity(broker.pid)
        assert numbers["Uid"] == [STRANGER] * 4
        assert owner(home / "own.pid")[0] == STRANGER
        broker.log.wait(rf"Running as uid {STRANGER}, gid {STRANGER}\.$")
        assert not broker.log.find("nosuchuser")
    finally:
        broker.stop()
    assert not (home / "own.pid").exists()


# --- what root does first ------------------------------------------------------------------------


def low_port():
    """A port that only root may listen on."""
    for port in range(700, 1023):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("every port below 1024 is taken")


def test_a_low_port_is_bound_before(start):
    port = low_port()
    broker = start(f"listener {port} 127.0.0.1", "allow_anonymous true")
    client = Client(port)
    client.connect("low")
    client.quiet()
    client.close()
    assert_is(broker.pid, usual().pw_uid, usual().pw_gid)


def test_the_pid_file_is_the_users(start, tmp_path):
    place = tmp_path / "run"
    place.mkdir()
    path = place / "m.pid"
    broker = start(f"pid_file {path}")
    assert path.read_text() == f"{broker.pid}\n"
    assert owner(path) == (usual().pw_uid, usual().pw_gid)
    # The directory is root's, so the file cannot be removed; but it names no process any more.
    broker.stop()
    assert path.read_text() == ""


def test_the_log_file_is_the_users(start, tmp_path):
    place = tmp_path / "log"
    place.mkdir()
    path = place / "m.log"
    broker = start(f"log_dest file {path}", "log_dest stderr")
    assert owner(path) == (usual().pw_uid, usual().pw_gid)
    broker.stop()
    assert re.search(r"terminating$", path.read_text(), re.MULTILINE)


def test_logs_rotate_where_the_user_may_write(open_directory, start):
    place = open_directory / "log"
    place.mkdir()
    os.chown(place, usual().pw_uid, usual().pw_gid)
    path = place / "m.log"
    broker = start(f"log_dest file {path}", "log_dest stderr")
    path.rename(place / "m.log.1")
    broker.process.send_signal(signal.SIGRTMIN)
    broker.connect("after")
    broker.stop()
    assert " as after " in path.read_text()
    assert " as after " not in (place / "m.log.1").read_text()
    assert owner(path)[0] == usual().pw_uid


# --- the store -----------------------------------------------------------------------------------


def stored(location):
    return ["persistence true", f"persistence_location {location}"]


def keep(broker, payload="kept"):
    broker.connect().publish("keep/this", payload, qos=1, retain=True)


def kept(broker):
    reader = broker.connect()
    reader.subscribe("keep/#")
    return reader.take("keep/this").payload


def test_a_store_is_made_where_the_user_could_not(start, tmp_path):
    location = tmp_path / "store"
    broker = start(*stored(location))
    journal = location / "mosquitto.db.journal"
    for path in (location, journal, *journal.iterdir()):
        assert owner(path) == (usual().pw_uid, usual().pw_gid), path
    assert stat.S_IMODE(location.stat().st_mode) == 0o700
    keep(broker)
    broker.stop()
    assert kept(start(*stored(location))) == b"kept"


def test_an_existing_directory_stays_roots(start, tmp_path):
    location = tmp_path / "store"
    location.mkdir(0o700)
    broker = start(*stored(location))
    keep(broker)
    assert owner(location) == (0, 0)
    assert owner(location / "mosquitto.db.journal") == (usual().pw_uid, usual().pw_gid)


def test_a_store_that_root_used_goes_to_the_user(start, tmp_path):
    location = tmp_path / "store"
    broker = start(*stored(location), user="root")
    keep(broker)
    broker.stop()
    journal = location / "mosquitto.db.journal"
    assert owner(journal) == (0, 0)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("not the store's")
    (journal / "link").symlink_to(elsewhere)
    os.link(elsewhere, journal / "second-name")
    broker = start(*stored(location))
    assert kept(broker) == b"kept"
    for path in (journal, *journal.glob("*.seg")):
        assert owner(path) == (usual().pw_uid, usual().pw_gid), path
    assert owner(elsewhere) == (0, 0), "root gave away what a link points to"


def test_a_link_in_the_place_of_the_store_gives_nothing_away(start, tmp_path):
    location = tmp_path / "store"
    broker = start(*stored(location), user="root")
    keep(broker)
    broker.stop()
    journal = location / "mosquitto.db.journal"
    journal.rename(tmp_path / "moved")
    journal.symlink_to(tmp_path / "moved")
    code, output = run(tmp_path, *stored(location))
    assert code == 1
    assert re.search(rf"Error: Cannot write to {journal} as uid {usual().pw_uid}: Permission denied", output)
    assert owner(tmp_path / "moved") == (0, 0)


def test_another_users_store_is_refused_with_names(start, tmp_path):
    location = tmp_path / "store"
    broker = start(*stored(location), user="nobody")
    keep(broker)
    broker.stop()
    code, output = run(tmp_path, *stored(location), env={"PUID": str(STRANGER)})
    assert code == 1
    journal = location / "mosquitto.db.journal"
    assert f"Error: Cannot write to {journal} as uid {STRANGER}: Permission denied." in output
    assert kept(start(*stored(location), user="nobody")) == b"kept"


def database(directory):
    db = mosquitto_db.Database(6).config(20).message(3, "keep/this", "kept", 1, retain=True).retain(3)
    path = db.write(directory / "mosquitto.db")
    path.chmod(0o600)
    return path


@pytest.mark.parametrize("whose", ["root", "user"])
def test_a_file_is_imported_where_the_user_could_not(start, tmp_path, whose):
    location = tmp_path / "store"
    location.mkdir(0o700)
    path = database(location)
    before = path.read_bytes()
    if whose == "user":
        os.chown(path, usual().pw_uid, usual().pw_gid)
    broker = start(*stored(location))
    broker.log.wait(r"Imported .*mosquitto\.db \(format 6\): ")
    assert (location / "mosquitto.db.imported").read_bytes() == before
    assert not path.exists()
    assert kept(broker) == b"kept"
    journal = location / "mosquitto.db.journal"
    for entry in (journal, *journal.iterdir()):
        assert owner(entry) == (usual().pw_uid, usual().pw_gid), entry


def test_a_damaged_file_is_refused_and_stays(tmp_path):
    location = tmp_path / "store"
    location.mkdir(0o700)
    path = database(location)
    path.write_bytes(path.read_bytes()[:-3])
    before = path.read_bytes()
    code, output = run(tmp_path, *stored(location))
    assert code == 1
    assert re.search(r"Error: .*mosquitto\.db is damaged at offset \d+", output)
    assert path.read_bytes() == before
    assert [entry.name for entry in location.iterdir()] == ["mosquitto.db"]


def test_a_link_in_the_place_of_a_file_is_not_read(tmp_path):
    location = tmp_path / "store"
    location.mkdir(0o700)
    database(tmp_path).rename(tmp_path / "secret")
    (location / "mosquitto.db").symlink_to(tmp_path / "secret")
    code, output = run(tmp_path, *stored(location))
    assert code == 1
    assert re.search(r"Error: Cannot open .*mosquitto\.db: ", output)
    assert (location / "mosquitto.db").is_symlink()
