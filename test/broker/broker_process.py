"""One running broker, as the tests see it: a port, a process, a log.

The log is read by a thread, so that a test can wait for a line instead of sleeping, and kept in
a file for whoever looks at a failure. A broker must end with exit code 0 when it is told to, and
must not have written a sanitizer's report.
"""

import os
import random
import re
import shutil
import signal
import socket
import subprocess
import threading
from pathlib import Path

import mqtt_wire

ROOT = Path(__file__).resolve().parents[2]
SANITIZER = re.compile(
    r"(Address|Leak|Memory|Thread|UndefinedBehavior)Sanitizer|runtime error:|Assertion .* failed"
)
START_LIMIT = 20.0
STOP_LIMIT = 30.0


def binary():
    path = os.environ.get("MOSQUITTO_BIN", str(ROOT / "build" / "mosquitto"))
    found = shutil.which(path)
    if not found:
        raise FileNotFoundError(f"no broker to test at {path}: build it, or set MOSQUITTO_BIN")
    return found


def sanitized():
    """A sanitizer build needs more memory and time; bounds are widened for it."""
    with open(binary(), "rb") as program:
        return b"__asan_init" in program.read()


GIVEN = set()  # ports: a test that asks for several gets different ones


def free_port(family=socket.AF_INET, host="127.0.0.1"):
    """A port that nobody listens on, below the range from which clients get theirs; no two workers share any."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:]) % 8
    while True:
        port = 15000 + worker * 2100 + random.randrange(2100)
        if port in GIVEN:
            continue
        with socket.socket(family) as probe:
            try:
                probe.bind((host, port))
            except OSError:
                continue
        if len(GIVEN) > 1000:
            GIVEN.clear()
        GIVEN.add(port)
        return port


def can_unshare():
    """May we have networks and mounts of our own here? Not so without root, nor where / is no mount point."""
    command = ["unshare", "-m", "-n", "mount", "-t", "tmpfs", "none", "/mnt"]
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


def environment():
    env = dict(os.environ)
    # A long quarantine would hide from a test of memory what was given back.
    asan = env.get("ASAN_OPTIONS", "")
    env["ASAN_OPTIONS"] = ":".join(filter(None, [asan, "quarantine_size_mb=2"]))
    return env


def whose(lines):
    """Lines that keep a broker what the tests are: one that root starts would leave our directories behind."""
    given = any(line.split()[:1] == ["user"] for line in lines)
    return ["user root"] if os.geteuid() == 0 and not given else []


class Log:
    """The broker's output, line by line."""

    def __init__(self, stream, path):
        self.lines = []
        self.first_complaint = None
        self.changed = threading.Condition()
        self.ended = False
        self.thread = threading.Thread(target=self.follow, args=(stream, path), daemon=True)
        self.thread.start()

    def follow(self, stream, path):
        with open(path, "w", encoding="utf-8") as copy:
            for raw in stream:
                line = raw.decode("utf-8", "backslashreplace").rstrip("\n")
                copy.write(line + "\n")
                with self.changed:
                    if self.first_complaint is None and SANITIZER.search(line):
                        self.first_complaint = len(self.lines)
                    self.lines.append(line)
                    self.changed.notify_all()
        with self.changed:
            self.ended = True
            self.changed.notify_all()

    def find(self, pattern, since=0):
        return [line for line in self.lines[since:] if re.search(pattern, line)]

    def wait_for(self, count, pattern, since=0, seconds=mqtt_wire.PATIENCE):
        """All lines that match, once there are so many: they come some time after what they tell of."""
        with self.changed:
            self.changed.wait_for(lambda: len(self.find(pattern, since)) >= count or self.ended, seconds)
        return self.find(pattern, since)

    def wait(self, pattern, since=0, seconds=mqtt_wire.PATIENCE):
        """The first line that matches, awaited; searched from line number `since` on."""
        with self.changed:
            self.changed.wait_for(lambda: self.find(pattern, since) or self.ended, seconds)
            found = self.find(pattern, since)
        tail = "\n".join(self.lines[since:][-30:])
        assert found, f"no line matches {pattern!r} in the log:\n{tail}"
        return found[0]


class Broker:
    def __init__(self, directory, lines=(), verbose=True, args=None, env=None, user=None, keep_user=True):
        """Start a broker with a listener on a free loopback port and these lines of config.

        `user` is who starts it, by number. Started by root it stays root, unless `keep_user` is false.
        """
        self.directory = Path(directory)
        self.clients = []
        self.serial = 0
        self.port = free_port()
        self.config = self.directory / "mosquitto.conf"
        head = [f"listener {self.port} 127.0.0.1", "allow_anonymous true"]
        self.config.write_text("\n".join([*head, *lines, *(whose(lines) if keep_user else [])]) + "\n")
        arguments = ["-c", str(self.config)] if args is None else args
        self.process = subprocess.Popen(
            [binary(), *arguments, *(["-v"] if verbose else [])],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            env={**environment(), **(env or {})}, cwd=self.directory, user=user, group=user,
            extra_groups=None if user is None else [],
        )
        self.pid = self.process.pid
        self.log = Log(self.process.stdout, self.directory / "broker.log")
        self.await_port(self.port)

    def await_port(self, port, host="127.0.0.1"):
        """Wait until the broker accepts, or has ended."""
        waited = 0.0
        while waited < START_LIMIT:
            try:
                socket.create_connection((host, port), 1).close()
                break
            except OSError:
                pass
            try:
                self.process.wait(0.01)
            except subprocess.TimeoutExpired:
                waited += 0.01
                continue
            break
        assert self.alive(), f"the broker did not start:\n{self.report()}"

    def report(self):
        """The end of the log, or a sanitizer's report from its beginning."""
        if not self.alive():
            self.log.thread.join(2)
        lines = self.log.lines
        first = self.log.first_complaint
        return "\n".join(lines[-40:] if first is None else lines[first : first + 60])

    def alive(self):
        return self.process.poll() is None

    def new_id(self, prefix="c"):
        self.serial += 1
        return f"{prefix}{self.serial}"

    def client(self, **options):
        """A TCP connection, closed after the test, on which nothing has been sent."""
        client = mqtt_wire.Client(self.port, **options)
        self.clients.append(client)
        return client

    def connect(self, client_id=None, rcvbuf=None, **options):
        """A client that has its CONNACK, which is kept as `connack`."""
        client = self.client(rcvbuf=rcvbuf)
        client.connack = client.connect(client_id or self.new_id(), **options)
        return client

    def drop_clients(self):
        for client in self.clients:
            client.close()
        self.clients.clear()

    def memory(self, key="VmRSS"):
        """A figure of /proc/PID/status in bytes."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith(key + ":"):
                return int(line.split()[1]) * 1024
        raise KeyError(key)

    def answers(self):
        """Someone new is still served."""
        probe = self.connect()
        probe.quiet()
        probe.close()

    def check(self):
        """After a test: the broker lives and has reported nothing."""
        assert self.alive(), f"the broker died ({self.process.returncode}):\n{self.report()}"
        assert self.log.first_complaint is None, self.report()

    def stop(self, number=signal.SIGTERM):
        """End it, unless a test has told it to; exit code 0 and a clean report are demanded."""
        self.drop_clients()
        if self.alive():
            self.process.send_signal(number)
        try:
            code = self.process.wait(STOP_LIMIT)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"the broker did not end:\n{self.report()}") from None
        finally:
            self.log.thread.join(5)
            self.process.stdout.close()
        assert code == 0, f"exit code {code}:\n{self.report()}"
        assert self.log.first_complaint is None, self.report()
