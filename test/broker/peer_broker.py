"""A scenario played on a broker of either make, ours or the distribution's mosquitto, and what came of it.

A scenario is a function that gets a running `Stage` and acts on it: opens clients, sends signals, notes what it
saw. When it is over, the stage's `Outcome` says how the program ended, what it logged and what was noted, with
everything that differs by chance replaced by a word: ports, paths, versions, ids made up, times. Two
outcomes can then be compared line by line.
"""

import os
import re
import signal
import subprocess
import time
from pathlib import Path

import mqtt_wire
from broker_process import Log, binary, environment, free_port

PEER = "/usr/sbin/mosquitto"
START_LIMIT = 20.0
STOP_LIMIT = 20.0
HANDLED = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)

STAMP = re.compile(r"\d{10,}: ")
VERSION = re.compile(r"mosquitto version \d+\.\d+\.\d+\S*")
UUID = re.compile(r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")


def peer_is_there():
    return os.access(PEER, os.X_OK)


def listening(port):
    """Somebody listens on this TCP port; asked of the kernel, since a connection would be logged."""
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        if not os.path.exists(table):
            continue
        for row in Path(table).read_text(encoding="ascii").splitlines()[1:]:
            fields = row.split()
            if fields[3] == "0A" and int(fields[1].rsplit(":", 1)[1], 16) == port:
                return True
    return False


def hears_signals(pid):
    """Every signal that a broker acts on is caught, or blocked to be read."""
    masks = 0
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith(("SigCgt:", "SigBlk:")):
            masks |= int(line.split()[1], 16)
    return all(masks >> number - 1 & 1 for number in HANDLED)


class Outcome:
    """How it ended and what was seen; compared by the tests."""

    def __init__(self, code, log, out, notes):
        self.code = code
        self.log = log
        self.out = out
        self.notes = notes


class Stage:
    """One broker with a directory and ports of its own, while a scenario plays on it.

    In configurations and arguments `{PORT}` and `{PORT2}` are free ports and `{DIR}` is the directory.
    """

    def __init__(self, program, directory):
        self.program = program
        self.directory = Path(directory)
        self.directory.mkdir()
        self.ports = {"PORT": free_port(), "PORT2": free_port()}
        self.port = self.ports["PORT"]
        self.config = self.directory / "mosquitto.conf"
        self.clients = []
        self.notes = []
        self.stamp = STAMP
        self.process = None
        self.code = None
        self.log = None
        self.out = None

    # --- running it ---------------------------------------------------------------------------

    def fill(self, text):
        for key, value in (*self.ports.items(), ("DIR", self.directory)):
            text = text.replace("{" + key + "}", str(value))
        return text

    def write(self, name, text):
        """A file of the scenario; its path."""
        path = self.directory / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(self.fill(text), encoding="utf-8")
        return path

    def configure(self, *lines):
        """The configuration file; both makes run as root, so that the user who tests can be root."""
        self.config.write_text(self.fill("\n".join(["user root", *lines]) + "\n"), encoding="utf-8")

    def spawn(self, *arguments):
        self.process = subprocess.Popen(
            [self.program, *(self.fill(a) for a in arguments)], stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(), cwd=self.directory,
        )
        self.log = Log(self.process.stderr, self.directory / "stderr")
        self.out = Log(self.process.stdout, self.directory / "stdout")

    def start(self, arguments=("-c", "{DIR}/mosquitto.conf", "-v"), runs=True):
        """Run it until it serves (`runs` is true), has ended (false), or either (None)."""
        self.spawn(*arguments)
        limit = time.monotonic() + START_LIMIT
        while self.alive() and not (runs is not False and listening(self.port) and hears_signals(self.process.pid)):
            assert time.monotonic() < limit, "\n".join(["it neither serves nor ends:", *self.log.lines])
            time.sleep(0.005)
        if runs and not self.alive():
            self.log.thread.join(5)
            raise AssertionError("\n".join(["it did not start:", *self.log.lines]))

    def alive(self):
        return self.process.poll() is None

    def kill(self, number):
        self.process.send_signal(number)

    def stop(self, number=signal.SIGTERM):
        """End it, if it has not ended by itself; its clients' ends are seen after that only."""
        if self.code is not None or self.process is None:
            return
        if self.alive():
            self.kill(number)
        try:
            self.code = self.process.wait(STOP_LIMIT)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            self.code = "had to be killed"
        for log, stream in ((self.log, self.process.stderr), (self.out, self.process.stdout)):
            log.thread.join(5)
            stream.close()
        for client in self.clients:
            client.close()

    def outcome(self):
        assert self.log.first_complaint is None, "\n".join(self.log.lines)
        return Outcome(
            self.code, self.plain(self.log.lines), self.plain(self.out.lines),
            [self.name_things(note) for note in self.notes],
        )

    def await_file(self, name, text=""):
        """Until there is a file with this text in it."""
        path = self.directory / name
        limit = time.monotonic() + START_LIMIT
        while not (path.exists() and text in path.read_text(encoding="utf-8")):
            assert time.monotonic() < limit, f"there is no {name} with {text!r}"
            time.sleep(0.01)

    # --- clients ------------------------------------------------------------------------------

    def client(self, port="PORT", host="127.0.0.1"):
        """A connection on which nothing has been sent; its port is `C1`, `C2`, … on the log."""
        self.clients.append(mqtt_wire.Client(self.ports[port], host))
        return self.clients[-1]

    def connect(self, client_id, port="PORT", host="127.0.0.1", **options):
        client = self.client(port, host)
        client.id = client_id
        client.connack = client.connect(client_id, **options)
        return client

    def refused(self, raw, port="PORT"):
        """Send something that is not answered, or with one CONNACK, before the end; notes which."""
        client = self.client(port)
        client.send_if_open(raw)
        try:
            got = client.recv()
            self.note("answered", got)
            client.expect_closed()
        except mqtt_wire.Closed:
            self.note("closed")
        client.close()

    # --- what was seen ------------------------------------------------------------------------

    def note(self, *things):
        self.notes.append(" ".join(str(thing) for thing in things))

    def note_file(self, name, without=None):
        """The lines of a log file; each has a time stamp."""
        for line in (self.directory / name).read_text(encoding="utf-8").splitlines():
            assert STAMP.match(line), line
            if STAMP.sub("", line) != without:
                self.notes.append(STAMP.sub("", line))

    def wait_log(self, pattern, since=0):
        return self.log.wait(pattern, since)

    def name_things(self, line):
        """The line with a word for each thing that differs by chance."""
        line = line.replace(str(self.directory), "DIR")
        for key, value in self.ports.items():
            line = re.sub(rf"(?<!\d){value}(?!\d)", key, line)
        for number, client in enumerate(self.clients, 1):
            line = re.sub(rf"(?<=[\d\]]:){client.address[1]}(?!\d)", f"C{number}", line)
        line = VERSION.sub("mosquitto version VERSION", line)
        return UUID.sub("UUID", line)

    def plain(self, lines):
        """Log lines without their time stamps, all chance named."""
        return [self.name_things(self.stamp.sub("", line, count=1)) for line in lines]


def makes():
    """Theirs and ours."""
    return (PEER, binary())
