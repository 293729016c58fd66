"""Brokers under test, as processes: started, pinned to a core, looked at, stopped.

Three kinds: ours, the peer (the distribution's mosquitto, unless another program is named), and the floor
(relay.c).
"""

import json
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
START_LIMIT = 60.0  # valgrind takes its time
DESCRIPTORS = 20000

# No limit of the brokers' own may decide how much is under way: that is for the window.
CONFIG = """\
listener {port} 127.0.0.1
allow_anonymous true
max_queued_messages 0
max_inflight_messages {inflight}
persistence false
"""
QUIET = "log_dest none\n"


class Failed(Exception):
    """The generator was not content, or a broker did not do what a check needs."""


def default_core(number):
    """Cores 0 and 1 of those that we may use, or no pinning if there are not two."""
    cores = sorted(os.sched_getaffinity(0))
    return cores[number] if len(cores) > 1 else None


def raise_descriptors():
    """As many descriptors as we may have, 20,000 at most."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    many = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(DESCRIPTORS, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (many, hard))
    return many


def on_core(core):
    """What a child does before it becomes the program: take its core and enough descriptors."""

    def prepare():
        if core is not None:
            os.sched_setaffinity(0, {core})
        raise_descriptors()

    return prepare


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def find_program(path, option):
    found = shutil.which(path)
    if not found:
        sys.exit(f"{option}: there is no program {path}; build it, install it, or name another")
    return found


def version(program):
    run = subprocess.run([program, "-h"], capture_output=True, text=True, check=False)
    said = (run.stdout + run.stderr).strip().splitlines()
    return said[0] if said else "unknown version"


class Broker:
    """A running broker; a context manager. `label` is "ours", "peer" or "floor"."""

    def __init__(self, label, program, core, extra=QUIET, wrapper=(), inflight=200):
        self.label = label
        self.program = program
        self.port = free_port()
        self.directory = tempfile.TemporaryDirectory(prefix="mosquitto-bench-")
        # Some brokers give up root before they read their files.
        os.chmod(self.directory.name, 0o755)
        self.output = Path(self.directory.name, "output")
        with open(self.output, "wb") as output:
            self.process = subprocess.Popen(
                [*wrapper, program, *self.arguments(extra, inflight)], stdin=subprocess.DEVNULL, stdout=output,
                stderr=subprocess.STDOUT, preexec_fn=on_core(core),
            )
        self.pid = self.process.pid

    def arguments(self, extra, inflight):
        if self.label == "floor":
            return [str(self.port)]
        config = Path(self.directory.name, "mosquitto.conf")
        config.write_text(CONFIG.format(port=self.port, inflight=inflight) + extra)
        return ["-c", str(config)]

    def __enter__(self):
        deadline = time.monotonic() + START_LIMIT
        while self.process.poll() is None and time.monotonic() < deadline:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return self
            except OSError:
                time.sleep(0.02)
        self.__exit__()
        sys.exit(f"{self.program} did not start:\n{self.said}")

    def __exit__(self, *_):
        self.stop()
        self.directory.cleanup()

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.said = self.output.read_text(errors="replace")

    def status(self, field):
        """A number of /proc/PID/status, such as VmHWM (in bytes) or voluntary_ctxt_switches."""
        for text in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            name, _, value = text.partition(":")
            if name == field:
                number = value.split()
                return int(number[0]) * (1024 if number[1:] == ["kB"] else 1)
        raise Failed(f"the kernel does not tell {field} of process {self.pid}")

    def schedstat(self, column):
        """Nanoseconds of all its threads since it began: in which they ran (0), or waited for the core (1)."""
        tasks = Path(f"/proc/{self.pid}/task").iterdir()
        return sum(int((task / "schedstat").read_text().split()[column]) for task in tasks)

    def cpu_us(self):
        return self.schedstat(0) / 1000

    def waited_ms(self):
        """How long others have kept it from its core: what it is not to be blamed for."""
        return self.schedstat(1) / 1e6


def run_bench(bench, broker, core, arguments, wrapper=()):
    """One run of mosquitto_bench: its answer, and the broker's resident memory before and at most."""
    start = broker.status("VmRSS")
    run = subprocess.run(
        [*wrapper, bench, "--port", str(broker.port), "--pid", str(broker.pid), "--json", *arguments],
        capture_output=True, text=True, check=False, preexec_fn=on_core(core),
    )
    if run.returncode != 0:
        said = run.stderr.strip().splitlines()
        raise Failed(f"{broker.label}: {said[-1] if said else f'exit code {run.returncode}'}")
    return {**json.loads(run.stdout), "start_bytes": start, "peak_bytes": broker.status("VmHWM")}


def add_programs(parser, floor=True):
    """The options that say what is measured and where."""
    parser.add_argument("--ours", default=str(ROOT / "build/mosquitto"), metavar="PROGRAM")
    parser.add_argument("--bench", default=str(ROOT / "build/mosquitto_bench"), metavar="PROGRAM")
    if floor:
        parser.add_argument("--floor", default=str(ROOT / "build/relay"), metavar="PROGRAM")
    parser.add_argument("--broker-core", type=int, default=default_core(0), metavar="CORE")
    parser.add_argument("--generator-core", type=int, default=default_core(1), metavar="CORE")
