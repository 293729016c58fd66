"""Where log lines go and what they look like; whatever happens to a destination, clients are served.

A destination that hangs, fails or is full costs lines, which are counted where they are missing, and never time.
"""

import datetime
import json
import os
import pwd
import re
import shutil
import signal
import socket
import stat
import subprocess
import threading
import time
from pathlib import Path

import pytest
from broker_process import binary, can_unshare, free_port, sanitized
from mqtt_wire import CONNACK, PUBLISH, connect, publish

pytestmark = pytest.mark.ours

LOST = re.compile(r"\((\d+) log lines were lost here\)")
STAMP = re.compile(r"\d+: ")
ROOT_ONLY = pytest.mark.skipif(os.geteuid() != 0, reason="needs a mount namespace")


def wait_for(what, seconds=15):
    """The first true result of a function, awaited."""
    end = time.monotonic() + seconds
    while True:
        result = what()
        if result or time.monotonic() > end:
            assert result, "it did not happen"
            return result
        time.sleep(0.01)


def text_of(path):
    try:
        return Path(path).read_text()
    except FileNotFoundError:
        return ""


def wait_for_text(path, pattern, seconds=15):
    return wait_for(lambda: re.search(pattern, text_of(path), re.M), seconds)


class Around:
    """A program put in front of the broker, so that all that a test starts goes through it."""

    def __init__(self, directory, monkeypatch):
        self.directory = directory
        self.monkeypatch = monkeypatch

    def start(self, brokers, script, *lines, **options):
        """`script` is sh, and begins the broker with `exec $BROKER "$@"`."""
        wrapper = self.directory / "around"
        wrapper.write_text(f"#!/bin/sh\nBROKER={binary()}\n{script}\n")
        wrapper.chmod(0o755)
        with self.monkeypatch.context() as patch:
            patch.setenv("MOSQUITTO_BIN", str(wrapper))
            return brokers.start(*lines, **options)

    def start_mounted(self, brokers, mounts, *lines, **options):
        if not can_unshare():
            pytest.skip("needs mounts of its own")
        inside = f'{mounts} && exec $BROKER "$@"'
        script = f"export BROKER; exec unshare --mount --propagation private sh -c '{inside}' sh \"$@\""
        return self.start(brokers, script, *lines, **options)


@pytest.fixture
def around(tmp_path, monkeypatch):
    return Around(tmp_path, monkeypatch)


# --- which destinations there are ---


def run_for_a_moment(tmp_path, lines):
    """What a broker that is started and stopped has written to stdout and to stderr."""
    config = tmp_path / "own.conf"
    config.write_text("\n".join(["user root", "allow_anonymous true", *lines]) + "\n")
    process = subprocess.Popen([binary(), "-c", str(config)], stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        wait_for(lambda: has_signal_mask(process.pid))
    finally:
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=20)
    assert process.returncode == 0
    return out, err


def has_signal_mask(pid):
    """The broker blocks SIGTERM as soon as it reads it from a descriptor."""
    for line in text_of(f"/proc/{pid}/status").splitlines():
        if line.startswith("SigBlk:"):
            return int(line.split()[1], 16) >> (signal.SIGTERM - 1) & 1
    return False


@pytest.mark.parametrize("dest, out, err", [
    ((), False, True), (("stderr",), False, True), (("stdout",), True, False), (("stdout", "stderr"), True, True),
    (("none",), False, False),
])
def test_standard_descriptors(brokers, tmp_path, dest, out, err):
    lines = [f"listener {free_port()} 127.0.0.1", *(f"log_dest {word}" for word in dest)]
    texts = run_for_a_moment(tmp_path, lines)
    for wanted, text in zip((out, err), texts):
        assert bool("terminating" in text) == wanted, texts
        assert bool(text) == wanted, texts
    if out and err:
        assert texts[0] == texts[1]


def test_a_file_and_stderr_get_the_same_lines(brokers, tmp_path):
    path = tmp_path / "log"
    broker = brokers.start(f"log_dest file {path}", "log_dest stderr")
    broker.connect("both")
    broker.log.wait("as both ")
    broker.stop()
    brokers.own.remove(broker)
    lines = path.read_text().splitlines()
    assert "starting" in lines[0] and "terminating" in lines[-1]
    assert lines == broker.log.lines[-len(lines) :]
    assert stat.S_IMODE(path.stat().st_mode) & 0o007 == 0


def test_a_file_is_appended_to(brokers, tmp_path):
    path = tmp_path / "log"
    path.write_text("what was there\n")
    brokers.start(f"log_dest file {path}")
    wait_for_text(path, "^what was there\n.*starting$")


def test_dev_stdout_as_a_file_is_stdout(brokers):
    broker = brokers.start("log_dest file /dev/stdout")
    broker.log.wait("starting$")


def test_a_file_that_cannot_be_opened_is_replaced_by_stderr(brokers, tmp_path):
    broker = brokers.start(f"log_dest file {tmp_path}/missing/log")
    broker.log.wait("Unable to open log file .*missing/log: .*logging to stderr instead.*user with id "
                    f"{os.geteuid()} must be allowed to write there")
    broker.log.wait("running$")
    broker.answers()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_the_file_belongs_to_the_user_that_the_broker_becomes(brokers, tmp_path):
    for directory in [tmp_path, *tmp_path.parents]:
        if str(directory).startswith("/tmp/") and directory.stat().st_uid == os.geteuid():
            directory.chmod(0o755)
    path = tmp_path / "log"
    nobody = pwd.getpwnam("nobody").pw_uid
    config = tmp_path / "own.conf"
    config.write_text(f"user nobody\nlistener {free_port()} 127.0.0.1\nlog_dest file {path}\n")
    environment = {key: value for key, value in os.environ.items() if key not in ("PUID", "PGID")}
    process = subprocess.Popen([binary(), "-c", str(config)], stderr=subprocess.PIPE, env=environment, cwd="/")
    try:
        wait_for_text(path, "running$")
        assert path.stat().st_uid == nobody
        path.rename(tmp_path / "log.1")
        process.send_signal(signal.SIGRTMIN)  # nobody may not write to the directory
        found = wait_for_text(tmp_path / "log.1", "^.*Unable to open log file.*$").group()
        assert f"going on with the old one. The user with id {nobody} must" in found
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=20)
    assert process.returncode == 0


# --- syslog ---

SEVERITY = {"err": 3, "warning": 4, "notice": 5, "info": 6, "debug": 7}
DAEMON = 3


def open_dev_log(directory):
    place = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    place.bind(str(directory / "devlog"))
    os.chmod(directory / "devlog", 0o666)
    place.settimeout(15)
    mounts = (f"mount -t tmpfs none /dev && mknod -m 666 /dev/null c 1 3 && mknod -m 666 /dev/urandom c 1 9 && "
              f"touch /dev/log && mount --bind {directory}/devlog /dev/log")
    return place, mounts


def receive_until(place, pattern):
    """(facility, severity, tag with process id, text) of all messages up to one that matches."""
    messages = []
    while True:
        raw = place.recv(65536).decode()
        got = re.fullmatch(r"<(\d+)>\w{3} [ \d]\d \d\d:\d\d:\d\d (\S+): (.*)\n?", raw, re.S)
        assert got, raw
        priority = int(got.group(1))
        messages.append((priority >> 3, priority & 7, got.group(2), got.group(3)))
        if re.search(pattern, got.group(3)):
            return messages


@ROOT_ONLY
@pytest.mark.parametrize("lines, facility", [((), DAEMON), (("log_facility 5",), 16 + 5)])
def test_syslog(brokers, around, tmp_path, name, lines, facility):
    place, mounts = open_dev_log(tmp_path)
    broker = around.start_mounted(brokers, mounts, "log_dest syslog", "log_type all", *lines)
    client = broker.connect("teller")
    client.subscribe(f"{name}/#")
    client.unsubscribe(f"{name}/#")
    messages = receive_until(place, "Sending UNSUBACK to teller")
    severities = {}
    for got, severity, tag, text in messages:
        assert got == facility, text
        assert tag == f"mosquitto[{broker.pid}]"
        assert not STAMP.match(text), "syslog has its own time"
        severities[text] = severity
    expected = {
        rf"mosquitto version \S+ starting": "info", r"New connection from 127\.0\.0\.1.*": "notice",
        "Sending CONNACK to teller .*": "debug", f"teller 0 {name}/#": "notice", f"teller {name}/#": "notice",
    }
    for pattern, word in expected.items():
        found = [severity for text, severity in severities.items() if re.fullmatch(pattern, text)]
        assert found and set(found) == {SEVERITY[word]}, pattern


@ROOT_ONLY
def test_a_syslog_that_nobody_reads_holds_up_nobody(brokers, around, tmp_path, name):
    place, mounts = open_dev_log(tmp_path)
    broker = around.start_mounted(brokers, mounts, "log_dest syslog", "log_type all")
    flood(broker, name)
    messages = receive_until(place, LOST)
    assert int(LOST.search(messages[-1][3]).group(1)) > 100
    assert messages[-1][1] == SEVERITY["warning"]
    reader = threading.Thread(target=receive_until, args=(place, "terminating"), daemon=True)
    reader.start()
    broker.stop()
    brokers.own.remove(broker)
    reader.join(15)
    assert not reader.is_alive()


@ROOT_ONLY
def test_a_syslog_that_nobody_reads_can_be_left_and_taken_again(brokers, around, tmp_path, name):
    place, mounts = open_dev_log(tmp_path)
    broker = around.start_mounted(brokers, mounts, "log_dest syslog", "log_type all")
    flood(broker, name)
    text = broker.config.read_text()
    for lines in (text.replace("log_dest syslog", f"log_dest file {tmp_path}/to.log"), text):
        broker.config.write_text(lines)
        broker.process.send_signal(signal.SIGHUP)
        if lines != text:
            wait_for_text(tmp_path / "to.log", "was reloaded")
        time.sleep(0.2)
        broker.answers()
    broker.stop()
    brokers.own.remove(broker)
    place.close()


@ROOT_ONLY
def test_the_end_does_not_wait_for_a_syslog_that_nobody_reads(brokers, around, tmp_path, name):
    place, mounts = open_dev_log(tmp_path)
    broker = around.start_mounted(brokers, mounts, "log_dest syslog", "log_type all")
    flood(broker, name, messages=50)
    begin = time.monotonic()
    broker.stop()
    brokers.own.remove(broker)
    assert time.monotonic() - begin < 6
    place.close()


# --- formats ---


def test_every_json_line_is_an_object(brokers, name):
    """Whatever peers send: quotes, control characters, what is no UTF-8, names without end."""
    broker = brokers.start("log_format json", "log_type all")
    quoted = f'{name} "quoted" \\ back ä€😀'
    for client_id in [quoted, name + "x" * 3000]:
        broker.connect(client_id)
    for raw in [connect(f"{name}\x1b[2K\r\n"), connect(name.encode() + b"\xff\xfe"), b"\x10\x02\0\xff", b"GET /\r\n",
                connect(f'{name}"\n', username='"\n\x7f')]:
        client = broker.client()
        client.send(raw)
        client.expect_closed(allow=(CONNACK,))
    writer = broker.connect()
    writer.publish(f'{name}/"\\ä', b"x", qos=1)
    writer.close()
    broker.answers()
    broker.stop()
    brokers.own.remove(broker)
    lines = broker.log.lines
    lines = lines[next(i for i, line in enumerate(lines) if "starting" in line) :]
    objects = [json.loads(line) for line in lines]
    names = {"time", "level", "message", "event", "client", "user", "address", "port", "reason", "rule", "topic", "more"}
    for line, got in zip(lines, objects):
        assert list(got)[:3] == ["time", "level", "message"] and set(got) <= names, line
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", got["time"]), line
        assert got["level"] in {"error", "warning", "notice", "info", "debug", "subscribe", "unsubscribe"}, line
        assert not re.search(r"[\0-\x1f\x7f-\x9f]", line), line
        assert len(line.encode()) < 4096
    moment = datetime.datetime.fromisoformat(objects[0]["time"].replace("Z", "+00:00"))
    assert abs(moment.timestamp() - time.time()) < 60
    assert quoted in [got.get("client") for got in objects]


def test_json_says_what_a_line_is_about(brokers, name):
    broker = brokers.start("log_format json")
    client = broker.connect(name)
    since = len(broker.log.lines)
    client.send(publish("#", "x"))
    client.expect_closed()
    got = json.loads(broker.log.wait(f"Client {name} .*disconnected", since))
    assert got["client"] == name
    assert (got["address"], got["port"]) == client.address
    assert got["reason"] and got["event"]


@pytest.mark.parametrize("lines, pattern", [
    ((), r"\d{10}: mosquitto version .*"),
    (("log_timestamp false",), "mosquitto version .*"),
    (("log_timestamp_format %Y-%m-%dT%H:%M:%S",), r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d: mosquitto version .*"),
    (("log_timestamp_format [%F %T]",), r"\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\]: mosquitto version .*"),
    (("log_timestamp false", "log_format json"), r'\{"level":"info","message":"mosquitto version .*"\}'),
    (("log_timestamp_format %s", "log_format json"), r'\{"time":"\d{10}","level":"info","message":"mosq.*"\}'),
])
def test_the_time_in_front(brokers, lines, pattern):
    broker = brokers.start(*lines)
    assert re.fullmatch(pattern, broker.log.wait("starting"))


# --- rotation and reload ---


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGRTMIN])
def test_rotation_loses_no_line(brokers, tmp_path, number):
    path, old = tmp_path / "log", tmp_path / "log.1"
    broker = brokers.start(f"log_dest file {path}")
    for index in range(40):
        if index == 20:
            # A CONNACK does not wait for the log: what is to be in the old file must have got there.
            wait_for_text(path, "as number-19-")
            path.rename(old)
            broker.process.send_signal(number)
        broker.connect(f"number-{index}-").close()
    wait_for_text(path, "as number-39-")
    text = old.read_text() + path.read_text()
    found = re.findall(r"^\d+: New client connected .* as number-(\d+)-", text, re.M)
    assert found == [str(index) for index in range(40)]
    assert "as number-0-" in old.read_text()


def test_a_reload_moves_the_log(brokers, tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    broker = brokers.start(f"log_dest file {first}")
    broker.connect("one")
    broker.config.write_text(broker.config.read_text().replace(str(first), str(second)) + "log_format json\n")
    broker.process.send_signal(signal.SIGHUP)
    wait_for_text(second, "^{")
    broker.connect("two")
    wait_for_text(second, "as two ")
    assert "as one " in first.read_text() and "as two " not in first.read_text()
    assert all(json.loads(line) for line in second.read_text().splitlines())


def test_a_reload_with_a_file_that_cannot_be_opened_changes_nothing(brokers, tmp_path):
    first = tmp_path / "first"
    broker = brokers.start(f"log_dest file {first}", "log_type all", verbose=False)
    text = broker.config.read_text().replace(str(first), f"{tmp_path}/missing/log").replace("log_type all", "")
    broker.config.write_text(text + "log_dest stderr\nlog_format json\n")
    broker.process.send_signal(signal.SIGHUP)
    wait_for_text(first, "Unable to open log file .*missing/log")
    wait_for_text(first, "(?i)not reloaded")
    broker.connect("still").ping()
    wait_for_text(first, "Sending PINGRESP to still")
    assert not broker.log.find("as still")


# --- destinations in trouble ---


def flood(broker, name, messages=2000):
    """Much to be said, and each message is answered: nobody waits for the log."""
    client = broker.connect(f"{name}-flood")
    client.subscribe(f"{name}/#")
    raw = publish(f"{name}/{'z' * 400}", "x")
    for _ in range(messages // 50):
        client.send(raw * 50)
        assert len(client.ping()) == 50
    client.close()


@ROOT_ONLY
def test_a_full_disk(brokers, around, tmp_path, name):
    place = tmp_path / "disk"
    place.mkdir()
    mounts = f"mount -t tmpfs -o size=64k none {place} && head -c 49152 /dev/zero > {place}/other"
    broker = around.start_mounted(brokers, mounts, f"log_dest file {place}/log", "log_type all")
    seen = Path(f"/proc/{broker.pid}/root{place}")
    flood(broker, name)
    assert (seen / "log").stat().st_size <= 16384
    namespace = ["nsenter", f"--mount=/proc/{broker.pid}/ns/mnt", f"--root=/proc/{broker.pid}/root"]
    subprocess.run([*namespace, "mount", "-o", "remount,size=16m", place], check=True)
    found = wait_for_text(seen / "log", LOST.pattern)
    assert int(found.group(1)) > 100
    broker.connect("afterwards")
    wait_for_text(seen / "log", "as afterwards ")
    lines = (seen / "log").read_text().splitlines()
    assert all(STAMP.match(line) for line in lines), "a line was torn"
    received = len([line for line in lines if "Received PUBLISH" in line])
    assert 100 < received < 2000


def round_trips(broker, name, count):
    """Seconds that each message takes from one client to another."""
    reader = broker.connect(f"{name}-reader")
    reader.subscribe(name)
    writer = broker.connect(f"{name}-writer")
    times = []
    for index in range(count):
        begin = time.monotonic()
        writer.publish(name, str(index))
        reader.expect(PUBLISH, payload=str(index))
        times.append(time.monotonic() - begin)
    reader.close()
    writer.close()
    return times


@pytest.mark.skipif(not shutil.which("strace"), reason="needs strace")
def test_a_slow_disk(brokers, around, tmp_path, name):
    """Each write to the log takes a second; a message takes no part of it."""
    if sanitized():
        pytest.skip("a leak checker and strace do not go together")
    path = tmp_path / "log"
    script = (f'exec strace -D -f -qq -o {tmp_path}/trace -e trace=write -P {path} '
              f'-e inject=write:delay_enter=1000000 $BROKER "$@"')
    broker = around.start(brokers, script, f"log_dest file {path}", "log_type all")
    wait_for_text(path, "running$", 60)
    times = round_trips(broker, name, 100)
    assert sorted(times)[-2] < 0.5, sorted(times)[-5:]
    wait_for_text(path, f"PUBLISH to {name}-reader")
    # The end waits, but not for ever.
    begin = time.monotonic()
    broker.stop()
    brokers.own.remove(broker)
    assert time.monotonic() - begin < 8


def test_a_reader_of_stderr_that_is_stuck(brokers, around, tmp_path, name):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDWR | os.O_NONBLOCK)
    broker = around.start(brokers, f'exec $BROKER "$@" 2>{pipe}', "log_type all")
    flood(broker, name)
    assert max(round_trips(broker, name, 20)) < 1
    text = read_pipe_until(reader, LOST)
    lost = int(LOST.search(text).group(1))
    assert lost > 100
    broker.connect("afterwards").close()
    text += read_pipe_until(reader, re.compile("as afterwards"))
    for line in text[: text.rindex("\n")].splitlines():
        assert STAMP.match(line), line
    received = len(re.findall("Received PUBLISH from .*-flood", text))
    assert 0 < received < 2000
    os.close(reader)


def read_pipe_until(reader, pattern):
    text = ""
    end = time.monotonic() + 20
    while not pattern.search(text):
        assert time.monotonic() < end, text[-1000:]
        try:
            text += os.read(reader, 65536).decode("utf-8", "replace")
        except BlockingIOError:
            time.sleep(0.01)
    while not text.endswith("\n"):
        try:
            text += os.read(reader, 4096).decode("utf-8", "replace")
        except BlockingIOError:
            time.sleep(0.01)
    return text


def test_the_end_does_not_wait_for_a_reader_that_is_stuck(brokers, around, tmp_path, name):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDWR | os.O_NONBLOCK)
    broker = around.start(brokers, f'exec $BROKER "$@" 2>{pipe}', "log_type all")
    flood(broker, name)
    begin = time.monotonic()
    broker.stop()
    brokers.own.remove(broker)
    assert time.monotonic() - begin < 6
    os.close(reader)


def test_a_reader_of_stderr_that_is_gone(brokers, around, tmp_path, name):
    pipe, path = tmp_path / "pipe", tmp_path / "log"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDWR | os.O_NONBLOCK)
    broker = around.start(brokers, f'exec $BROKER "$@" 2>{pipe}', "log_dest stderr", f"log_dest file {path}")
    os.close(reader)
    broker.connect("alone")
    wait_for_text(path, "as alone ")
    broker.answers()


# --- log_dest topic ---

WATCH = "$SYS/broker/log/#"


def watcher_of(broker, qos=0, **options):
    watcher = broker.connect("watcher", **options)
    watcher.subscribe((WATCH, qos))
    return watcher


def lines_until(watcher, pattern):
    """(topic, text) of log messages up to one that matches."""
    lines = []
    while not lines or not re.search(pattern, lines[-1][1]):
        got = watcher.expect(PUBLISH, retain=False)
        topic = got.topic if isinstance(got.topic, str) else got.topic.decode()
        lines.append((topic, got.payload.decode()))
    return lines


def test_lines_as_messages(brokers, name):
    broker = brokers.start("log_dest topic", "log_dest stderr", "log_type all")
    watcher = watcher_of(broker)
    client = broker.connect(name)
    client.subscribe((f"{name}/#", 1))
    client.unsubscribe(f"{name}/#")
    client.disconnect()
    broker.process.send_signal(signal.SIGHUP)
    lines = lines_until(watcher, "Reloading config")
    assert all(STAMP.match(text) for _, text in lines)
    got = {(topic.removeprefix("$SYS/broker/log/"), STAMP.sub("", text)) for topic, text in lines}
    assert ("M/subscribe", f"{name} 1 {name}/#") in got
    assert ("M/unsubscribe", f"{name} {name}/#") in got
    assert ("N", f"Client {name} disconnected.") in got
    assert ("I", "Reloading config.") in got
    assert {topic for topic, _ in got} <= {"E", "W", "N", "I", "M/subscribe", "M/unsubscribe"}
    for _, text in lines:
        broker.log.wait(f"^{re.escape(text)}$")


def test_lines_as_messages_have_qos_2_and_are_not_retained(brokers, name):
    broker = brokers.start("log_dest topic")
    watcher = watcher_of(broker, qos=2)
    broker.connect(name)
    got = watcher.expect(PUBLISH)
    while name not in got.payload.decode():
        got = watcher.expect(PUBLISH)
    assert got.qos == 2 and not got.retain
    late = broker.connect()
    late.subscribe("$SYS/broker/log/N")
    late.quiet()


def test_lines_as_messages_in_json(brokers, name):
    broker = brokers.start("log_dest topic", "log_format json")
    watcher = watcher_of(broker)
    broker.connect(name)
    for _, text in lines_until(watcher, f"as {name} "):
        assert json.loads(text)["level"]


def cpu_ticks(pid):
    fields = text_of(f"/proc/{pid}/stat").rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def switches(pid):
    got = re.search(r"^voluntary_ctxt_switches:\s*(\d+)", text_of(f"/proc/{pid}/status"), re.M)
    return int(got.group(1))


@pytest.mark.parametrize("qos", [0, 2])
def test_a_subscriber_to_the_log_does_not_feed_it(brokers, name, qos):
    """Sending a line makes lines, which must not be sent."""
    broker = brokers.start("log_dest topic", "log_dest stderr", "log_type all", "sys_interval 0")
    watcher = watcher_of(broker, qos)
    broker.connect(name)
    lines_until(watcher, f"as {name} ")
    # The first QoS 2 message stays unanswered: nothing else is to move now.
    time.sleep(0.3)
    watcher.buffer.clear()
    ticks, waits, lines = cpu_ticks(broker.pid), switches(broker.pid), len(broker.log.lines)
    time.sleep(1.5)
    assert cpu_ticks(broker.pid) - ticks < 15
    assert switches(broker.pid) - waits < 50
    assert len(broker.log.lines) - lines < 5
    watcher.quiet()


def test_a_subscriber_that_is_behind_does_not_feed_the_log(brokers, name):
    """Its queue is full, so messages are dropped, and that is a line too."""
    broker = brokers.start("log_dest topic", "log_dest stderr", "log_type all", "max_queued_messages 1",
                           "max_inflight_messages 1", "sys_interval 0")
    watcher = watcher_of(broker, 2)
    for index in range(20):
        broker.connect(f"{name}-{index}").close()
    broker.log.wait("being dropped for client watcher")
    broker.answers()
    time.sleep(0.3)
    ticks, waits, lines = cpu_ticks(broker.pid), switches(broker.pid), len(broker.log.lines)
    time.sleep(1)
    assert cpu_ticks(broker.pid) - ticks < 15
    assert switches(broker.pid) - waits < 50
    assert len(broker.log.lines) - lines < 5
    watcher.close()
