"""The broker as a service: background, pid file, test of the configuration, installation, clocks that jump."""

import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import time
from pathlib import Path

import pytest
from broker_process import ROOT, binary, can_unshare, environment, free_port, sanitized, whose
from mqtt_wire import Client

PATIENCE = 20
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


def run(*arguments, cwd=None, env=None):
    return subprocess.run(
        [binary(), *map(str, arguments)], capture_output=True, text=True, timeout=PATIENCE, cwd=cwd,
        env={**environment(), **(env or {})}, stdin=subprocess.DEVNULL, check=False,
    )


def write(directory, *lines):
    path = Path(directory) / "service.conf"
    path.write_text("\n".join([*lines, *whose(lines)]) + "\n")
    return path


def await_true(condition, what, seconds=PATIENCE):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"waited in vain: {what}"
        time.sleep(0.01)


def gone(pid):
    """Ended; a child that nobody has asked about counts, too."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except FileNotFoundError:
        return True


# --- the command line ----------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [["-q"], ["-q", "-v"], ["-v", "-q"], ["--quiet"]])
def test_quiet_says_nothing(tmp_path, arguments):
    port = free_port()
    path = write(tmp_path, f"listener {port} 127.0.0.1", "allow_anonymous true", "log_type all")
    process = subprocess.Popen([binary(), "-c", str(path), *arguments], stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment())
    try:
        client = connect_when_up(process, port)
        client.publish("a", "b")
        client.quiet()
        client.close()
        process.send_signal(signal.SIGHUP)
        connect_when_up(process, port).close()
    finally:
        process.terminate()
        output = process.communicate(timeout=PATIENCE)[0]
    assert process.returncode == 0
    assert output == b""


def connect_when_up(process, port):
    end = time.monotonic() + PATIENCE
    while True:
        try:
            client = Client(port)
            break
        except OSError:
            assert process is None or process.poll() is None, "the broker ended"
            assert time.monotonic() < end
            time.sleep(0.01)
    client.connect("up")
    return client


@pytest.mark.parametrize("value", ["8", "1777", "x", "-1", "0x1", "7 7"])
def test_a_wrong_umask_ends_with_3(tmp_path, value):
    done = run("-c", write(tmp_path, f"listener {free_port()} 127.0.0.1"), env={"UMASK_SET": value})
    assert done.returncode == 3
    assert re.search(r"Error: UMASK_SET .*octal", done.stderr)


def test_the_umask_is_that_of_the_environment(brokers):
    broker = brokers.start(env={"UMASK_SET": "037"})
    umask = re.search(r"^Umask:\s*(\d+)", Path(f"/proc/{broker.pid}/status").read_text(), re.MULTILINE)
    assert umask.group(1) == "0037"


# --- --test-config -------------------------------------------------------------------------------


def test_a_right_configuration_is_ok(tmp_path):
    """And nothing is done: the port may be in use, and no file is made."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        path = write(tmp_path, f"listener {taken.getsockname()[1]} 127.0.0.1", "allow_anonymous true",
                     f"pid_file {tmp_path}/m.pid", f"log_dest file {tmp_path}/m.log",
                     "persistence true", f"persistence_location {tmp_path}/store")
        done = run("-c", path, "--test-config", "-d", cwd=tmp_path)
    assert done.returncode == 0
    assert done.stdout == "Configuration file is OK.\n"
    assert [entry.name for entry in tmp_path.iterdir()] == ["service.conf"]


def test_all_wrong_lines_are_reported(tmp_path):
    path = write(tmp_path, "no_such_option 1", f"listener {free_port()} 127.0.0.1", "max_packet_size 5")
    done = run("-c", path, "--test-config")
    assert done.returncode == 3
    assert f"{path}:1" in done.stderr and f"{path}:3" in done.stderr
    assert "OK" not in done.stdout


def test_without_a_file_there_is_nothing_to_test():
    done = run("--test-config")
    assert done.returncode == 3
    assert re.search(r"Error: --test-config needs .*-c", done.stderr)


def test_an_unreadable_file_is_not_ok(tmp_path):
    assert run("-c", tmp_path / "missing", "--test-config").returncode == 3


# --- the background ------------------------------------------------------------------------------


class Background:
    """A broker that was started with -d; its pid file says which process it is."""

    def __init__(self, directory, *lines):
        self.directory = directory
        self.port = free_port()
        self.pid_path = directory / "m.pid"
        self.config = write(directory, f"listener {self.port} 127.0.0.1", "allow_anonymous true",
                            "pid_file m.pid", *lines)
        self.done = run("-c", self.config.name, "-d", cwd=directory)
        self.pid = int(self.pid_path.read_text()) if self.pid_path.exists() else None

    def stop(self):
        if self.pid and not gone(self.pid):
            os.kill(self.pid, signal.SIGTERM)
            await_true(lambda: gone(self.pid), "the end of the broker")


@pytest.fixture
def background(tmp_path):
    running = []

    def start(*lines):
        running.append(Background(tmp_path, *lines))
        return running[-1]

    yield start
    for broker in running:
        broker.stop()


def test_the_starter_returns_when_clients_can_connect(background, tmp_path):
    broker = background("log_dest file m.log", "persistence true", "persistence_location store")
    assert broker.done.returncode == 0, broker.done.stderr
    client = Client(broker.port)  # at once
    client.connect("early")
    client.quiet()
    stat_fields = Path(f"/proc/{broker.pid}/stat").read_text().rsplit(")", 1)[1].split()
    session, terminal = int(stat_fields[3]), int(stat_fields[4])
    assert session not in (os.getsid(0), broker.pid) and terminal == 0
    for number in range(3):
        assert os.readlink(f"/proc/{broker.pid}/fd/{number}") == "/dev/null"
    # Relative paths mean what they meant.
    assert os.readlink(f"/proc/{broker.pid}/cwd") == str(tmp_path)
    assert (tmp_path / "store" / "mosquitto.db.journal").is_dir()
    await_true(lambda: "running" in (tmp_path / "m.log").read_text(), "the log")
    os.kill(broker.pid, signal.SIGHUP)
    await_true(lambda: "was reloaded" in (tmp_path / "m.log").read_text(), "the reload of a relative file")
    client.quiet()
    client.close()
    broker.stop()
    assert not broker.pid_path.exists()


@pytest.mark.parametrize(
    "lines, code, word",
    [
        (["listener {taken} 127.0.0.1"], 1, "Address already in use"),
        (["log_dest file m.log", "listener {taken} 127.0.0.1"], 1, "Address already in use"),
        (["log_dest none", "listener {taken} 127.0.0.1"], 1, "Address already in use"),
        (["no_such_option 1"], 3, "no_such_option"),
        (["persistence true", "persistence_location /no/such/place"], 1, "/no/such/place"),
    ],
)
def test_the_starter_tells_of_a_failure(background, lines, code, word):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        broker = background(*(line.format(taken=taken.getsockname()[1]) for line in lines))
    assert broker.done.returncode == code
    assert word in broker.done.stderr
    assert not broker.pid_path.exists()


# --- the pid file --------------------------------------------------------------------------------


def test_a_pid_file_without_the_background(brokers, tmp_path):
    path = tmp_path / "m.pid"
    path.write_text("12345678901234567\n")
    broker = brokers.start(f"pid_file {path}")
    assert path.read_text() == f"{broker.pid}\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    broker.stop()
    assert not path.exists()


@pytest.mark.parametrize("kind", ["directory", "no directory", "fifo"])
def test_a_pid_file_that_cannot_be_written_ends_with_1(tmp_path, kind):
    path = tmp_path / "m.pid"
    if kind == "directory":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    else:
        path = tmp_path / "none" / "m.pid"
    done = run("-c", write(tmp_path, f"listener {free_port()} 127.0.0.1", f"pid_file {path}"))
    assert done.returncode == 1
    assert f"Error: Unable to write the pid file {path}: " in done.stderr


def test_what_is_no_pid_file_is_left_alone(tmp_path):
    path = tmp_path / "notes"
    path.write_text("4711 reasons\n")
    done = run("-c", write(tmp_path, f"listener {free_port()} 127.0.0.1", f"pid_file {path}"))
    assert done.returncode == 1
    assert f"Error: Unable to write the pid file {path}: " in done.stderr
    assert path.read_text() == "4711 reasons\n"


@pytest.mark.parametrize("left", ["", "4711\n", " 4711\r\n", "\0\0\0\0\0"])
def test_a_pid_file_that_was_left_behind_is_replaced(brokers, tmp_path, left):
    path = tmp_path / "m.pid"
    path.write_text(left)
    broker = brokers.start(f"pid_file {path}")
    assert path.read_text() == f"{broker.pid}\n"


def test_a_link_in_the_place_of_the_pid_file_is_not_followed(brokers, tmp_path):
    target = tmp_path / "precious"
    target.write_text("precious")
    path = tmp_path / "m.pid"
    path.symlink_to(target)
    broker = brokers.start(f"pid_file {path}")
    assert target.read_text() == "precious"
    assert path.read_text() == f"{broker.pid}\n" and not path.is_symlink()


def test_another_brokers_pid_file_stays(brokers, tmp_path):
    path = tmp_path / "m.pid"
    first = brokers.start(f"pid_file {path}")
    second = brokers.start(f"pid_file {path}")
    first.stop()
    assert path.read_text() == f"{second.pid}\n"
    path.write_text("4711\n")
    second.stop()
    assert path.read_text() == "4711\n"


# --- what SIGUSR2 prints -------------------------------------------------------------------------


def test_the_trees_are_printed(brokers):
    broker = brokers.start()
    one = broker.connect("one")
    one.subscribe(("a/b/+", 1), ("a/b", 0), ("$share/g/x/#", 2), ("a//c", 0))
    broker.connect("two").subscribe(("a/b/+", 2), ("#", 0))
    writer = broker.connect("writer")
    writer.publish("a/b/c", "12345", qos=1, retain=True)
    writer.publish("a/b", "1", retain=True)
    writer.ping()
    broker.process.send_signal(signal.SIGUSR2)
    broker.log.wait(r"^      c \(5 bytes, 1\)$")
    lines = broker.log.lines
    begin = lines.index("Subscriptions:")
    middle = lines.index("Retained messages:")
    printed = [line for line in lines[begin:middle] if not re.match(r"\d{10}: ", line)]
    printed = [" ".join([line.split("(")[0].rstrip(), *sorted(re.findall(r"\(.*?\)", line))]).rstrip()
               if line.strip() else line for line in printed]
    assert printed == [
        "Subscriptions:",
        "  # (two, 0)",
        "  $share",
        "    g",
        "      x",
        "        # (one, 2)",
        "  a",
        "    ",
        "      c (one, 0)",
        "    b (one, 0)",
        "      + (one, 1) (two, 2)",
    ]
    retained = [line for line in lines[middle:] if not re.match(r"\d{10}: ", line)]
    plain = [line for line in retained if "SYS" not in line]
    assert "  a" in plain and "    b (1 bytes, 0)" in plain and "      c (5 bytes, 1)" in plain


def test_large_trees_are_cut_and_nobody_waits(brokers):
    broker = brokers.start(verbose=False)
    client = broker.connect("many")
    for begin in range(0, 5000, 500):
        client.subscribe(*(f"tree/{n}/deep" for n in range(begin, begin + 500)))
    begin = time.monotonic()
    broker.process.send_signal(signal.SIGUSR2)
    broker.log.wait(r"^  \.\.\. and 4000 more$")
    assert time.monotonic() - begin < 5
    client.quiet()


def test_a_reader_that_is_stuck_does_not_stop_the_broker(tmp_path):
    port = free_port()
    path = write(tmp_path, f"listener {port} 127.0.0.1", "allow_anonymous true", "log_dest none")
    process = subprocess.Popen([binary(), "-c", str(path)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.DEVNULL, env=environment())
    try:
        client = connect_when_up(process, port)
        for begin in range(0, 2000, 500):
            client.subscribe(*(f"tree/{n}/{'x' * 200}" for n in range(begin, begin + 500)))
        process.send_signal(signal.SIGUSR2)  # 200 kB; the pipe takes 64 kB, and nobody reads
        for _ in range(20):
            client.ping()
            time.sleep(0.01)
        text = b""
        while b"more\nRetained" not in text:
            text += os.read(process.stdout.fileno(), 65536)
        assert text.count(b"\n") > 1000
        client.close()
    finally:
        process.terminate()
        process.stdout.read()
        assert process.wait(PATIENCE) == 0
        process.stdout.close()


# --- clocks that jump ----------------------------------------------------------------------------


def libfaketime():
    for path in Path("/usr/lib").glob("*/faketime/libfaketime.so.1"):
        return path
    return None


class Clock:
    """The wall clock of a broker, which can be set while it runs."""

    def __init__(self, directory):
        self.path = directory / "clock"
        self.set("+0")

    def set(self, offset):
        fresh = self.path.with_suffix(".new")
        fresh.write_text(f"{offset}\n")
        fresh.rename(self.path)

    def environment(self):
        return {
            "LD_PRELOAD": str(libfaketime()), "FAKETIME_TIMESTAMP_FILE": str(self.path),
            "FAKETIME_NO_CACHE": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }


@pytest.fixture
def clock(tmp_path):
    if sanitized():
        pytest.skip("faketime and sanitizers do not go together")
    if not libfaketime():
        pytest.skip("libfaketime is not installed")
    return Clock(tmp_path)


def stamps(broker):
    return [int(line.split(":")[0]) for line in broker.log.lines if re.match(r"\d{10}: ", line)]


@pytest.mark.slow
@pytest.mark.parametrize("jump", ["+86400", "-86400"])
def test_keepalive_does_not_look_at_the_wall_clock(brokers, clock, jump):
    broker = brokers.start(env=clock.environment())
    busy = broker.connect("busy", keepalive=2)
    silent = broker.connect("silent", keepalive=2)
    clock.set(jump)
    begin = time.monotonic()
    for _ in range(8):
        time.sleep(0.5)
        busy.ping()
    silent.expect_closed()
    line = broker.log.wait("silent.*exceeded timeout")
    assert abs(stamps(broker)[broker.log.lines.index(line)] - time.time() - int(jump)) < 60, "the clock did not jump"
    assert time.monotonic() - begin < 10
    busy.ping()
    assert not broker.log.find("busy.*disconnected")


@pytest.mark.slow
@pytest.mark.parametrize("jump", ["+31536000", "-31536000"])
def test_sessions_do_not_expire_because_the_clock_was_set(brokers, clock, jump, tmp_path):
    broker = brokers.start("persistent_client_expiration 1h", "persistence true",
                           f"persistence_location {tmp_path}/store", env=clock.environment())
    absent = broker.connect("absent", clean=False)
    absent.subscribe("a")
    absent.disconnect()
    broker.answers()
    clock.set(jump)
    time.sleep(6)  # the walk for those that have expired begins every 5 s
    again = broker.connect("absent", clean=False)
    assert again.connack.session_present
    assert not broker.log.find("Expiring")


@pytest.mark.slow
def test_sessions_do_expire_after_a_jump(brokers, clock, tmp_path):
    broker = brokers.start("persistent_client_expiration 2s", "persistence true",
                           f"persistence_location {tmp_path}/store", env=clock.environment())
    clock.set("-86400")
    absent = broker.connect("absent", clean=False)
    absent.disconnect()
    broker.log.wait("Expiring persistent client absent due to timeout", seconds=15)


# --- installation --------------------------------------------------------------------------------


def make(*arguments):
    # Built already: only what installing does is looked at.
    done = subprocess.run(
        ["make", "--no-print-directory", "-o", "all", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=120,
        env={**os.environ, "MAKEFLAGS": "", "MAKELEVEL": "1"}, check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def installed(directory):
    return {str(path.relative_to(directory)) for path in directory.rglob("*") if not path.is_dir()}


@pytest.fixture(scope="module")
def build():
    if sanitized():
        pytest.skip("installs a plain build")
    return f"BUILD={Path(binary()).resolve().parent}"


def test_everything_is_installed_and_goes_again(build, tmp_path):
    where = ["prefix=/opt/m", "sysconfdir=/opt/etc/m", f"DESTDIR={tmp_path}"]
    make("install", build, *where)
    found = installed(tmp_path)
    wanted = {"opt/m/sbin/mosquitto", "opt/m/bin/mosquitto_bench", "opt/m/bin/mosquitto_db_dump",
              "opt/m/bin/mosquitto_passwd",
              "opt/m/lib/systemd/system/mosquitto.service",
              "opt/m/include/mosquitto.h", "opt/m/include/mqtt_protocol.h", "opt/m/lib/libmosquitto.so",
              "opt/m/lib/libmosquitto.so.1", "opt/m/lib/pkgconfig/libmosquitto.pc"}
    wanted |= {f"opt/m/bin/mosquitto_{name}" for name in ("pub", "sub", "rr")}
    wanted |= {f"opt/m/share/man/man{page.suffix[1:]}/{page.name}" for page in (ROOT / "man").glob("*.[1-8]")}
    wanted |= {f"opt/etc/m/{page.name}" for page in ROOT.glob("*.example")}
    assert found == wanted
    assert "opt/etc/m/mosquitto.conf.example" in found and "opt/m/share/man/man8/mosquitto.8" in found
    unit = (tmp_path / "opt/m/lib/systemd/system/mosquitto.service").read_text()
    assert "ExecStart=/opt/m/sbin/mosquitto -c /opt/etc/m/mosquitto.conf\n" in unit
    (tmp_path / "opt/etc/m/mosquitto.conf").write_text("mine")
    make("uninstall", build, *where)
    assert installed(tmp_path) == {"opt/etc/m/mosquitto.conf"}


def test_systemd_has_nothing_to_say_about_the_unit(build, tmp_path):
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd-analyze is not installed")
    make("install", build, f"prefix={tmp_path}", f"sysconfdir={tmp_path}/etc")
    unit = tmp_path / "lib/systemd/system/mosquitto.service"
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", str(unit)], capture_output=True, text=True,
                          timeout=PATIENCE, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    done = subprocess.run(["systemd-analyze", "security", "--offline=true", "--threshold=20", str(unit)],
                          capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 0, done.stdout
    exposure = re.search(r"Overall exposure level .*: ([\d.]+)", done.stdout)
    assert float(exposure.group(1)) < 2.0


# --- a configuration as it is installed ----------------------------------------------------------

# What the distribution's package puts into /etc/mosquitto/mosquitto.conf.
DEBIAN = """\
pid_file /run/mosquitto/mosquitto.pid

persistence true
persistence_location /var/lib/mosquitto/

log_dest file /var/log/mosquitto/mosquitto.log

include_dir /etc/mosquitto/conf.d
"""

# Private directories in the place of the real ones, as the package and its service file make them.
STAGE = """\
set -e
for d in /etc/mosquitto /run/mosquitto /var/lib/mosquitto /var/log/mosquitto; do
    mkdir -p $d
    mount -t tmpfs none $d
done
mkdir /etc/mosquitto/conf.d
cp "$1" /etc/mosquitto/mosquitto.conf
printf 'listener %s 127.0.0.1\\nallow_anonymous true\\n' "$2" >/etc/mosquitto/conf.d/own.conf
chown mosquitto /run/mosquitto /var/lib/mosquitto /var/log/mosquitto
shift 2
exec "$@"
"""


@AS_ROOT
def test_debians_configuration_works_unchanged(tmp_path):
    if not can_unshare():
        pytest.skip("no mount namespaces here")
    packaged = Path("/etc/mosquitto/mosquitto.conf")
    source = tmp_path / "debian.conf"
    source.write_text(packaged.read_text() if packaged.exists() else DEBIAN)
    port = free_port()
    process = subprocess.Popen(
        ["unshare", "-m", "sh", "-c", STAGE, "sh", str(source), str(port), binary(), "-c",
         "/etc/mosquitto/mosquitto.conf"],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment())
    root = Path(f"/proc/{process.pid}/root")
    try:
        connect_when_up(process, port).close()
        assert (root / "run/mosquitto/mosquitto.pid").read_text() == f"{process.pid}\n"
        log = root / "var/log/mosquitto/mosquitto.log"
        await_true(lambda: "running" in log.read_text(), "the log")
        for path in (log, root / "run/mosquitto/mosquitto.pid", root / "var/lib/mosquitto/mosquitto.db.journal"):
            assert path.owner() == "mosquitto", path
        log.rename(log.with_suffix(".1"))
        process.send_signal(signal.SIGHUP)
        await_true(lambda: log.exists() and "was reloaded" in log.read_text(), "the reload")
        assert log.owner() == "mosquitto"
    finally:
        process.terminate()
        output = process.communicate(timeout=PATIENCE)[0]
    assert process.returncode == 0
    # All else is in the file; but where the file is, is only known when the files have been read.
    assert [line for line in output.decode().splitlines() if "conf.d" not in line] == []
