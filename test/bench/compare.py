#!/usr/bin/python3
"""Two brokers under the same load, in turns, in one run: a table in Markdown.

    test/bench/compare.py                       all scenarios, our build against Debian's broker
    test/bench/compare.py -l                    names the scenarios
    test/bench/compare.py 'pairs*' --rounds 5   some of them, more often
    test/bench/compare.py --peer ../old/build/mosquitto

The figure is the broker's CPU time for a delivered message (user and system), since it hardly
depends on who else uses the machine: the broker is pinned to one core and the generator to
another. The brokers take turns, round by round, so that a change of the machine's mood meets
both. A cell has the median and, in brackets, the smallest and the largest of all rounds. Ratios
below 1.15 are noise.
"""

import argparse
import fnmatch
import json
import os
import resource
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
START_LIMIT = 10.0
DESCRIPTORS = 20000

# No limit of the brokers' own may decide how much is under way: that is for the window.
CONFIG = """\
listener {port} 127.0.0.1
allow_anonymous true
max_queued_messages 0
max_inflight_messages {inflight}
persistence false
log_dest none
"""


@dataclass
class Scenario:
    """What to ask of mosquitto_bench, and what to read in its answer."""

    name: str
    arguments: str
    goal: float = None
    figure: str = "cpu"
    timed: bool = True  # --seconds applies


ONE = "--window 1"
Q2 = "--qos 2 --inflight 100"
IDLE = {"figure": "memory", "timed": False}

SCENARIOS = [
    Scenario("pairs-100, QoS 0", "--clients 100 pairs", 0.20),
    Scenario("pairs-100, QoS 1", "--clients 100 --qos 1 pairs", 0.35),
    Scenario("pairs-100, QoS 2", f"--clients 100 {Q2} pairs", 0.60),
    Scenario("pairs-100, 1 KiB", "--clients 100 --payload 1024 pairs", 0.55),
    Scenario("fanout-1, QoS 0", "--clients 1 fanout"),
    Scenario("fanout-1, QoS 1", "--clients 1 --qos 1 fanout"),
    Scenario("fanout-100, QoS 0", "--clients 100 fanout", 0.11),
    Scenario("fanout-100, QoS 1", "--clients 100 --qos 1 fanout", 0.17),
    Scenario("fanin-100, QoS 0", "--clients 100 fanin", 0.18),
    Scenario("fanin-100, QoS 1", "--clients 100 --qos 1 fanin", 0.32),
    Scenario("pairs-200-one, QoS 0", f"--clients 200 {ONE} pairs", 5.5),
    Scenario("pairs-200-one, QoS 1", f"--clients 200 {ONE} --qos 1 pairs", 9.6),
    Scenario("fanout-100-one", f"--clients 100 {ONE} fanout", 3.6),
    Scenario("fanout-1000-one", f"--clients 1000 {ONE} fanout", 3.8),
    Scenario("fanin-200-one", f"--clients 200 {ONE} fanin", 2.9),
    Scenario("connect", "--clients 20 connect", 20.5),
    Scenario("latency p50, QoS 0", "--clients 10 --rate 10000 --latency pairs", figure="p50"),
    Scenario("latency p99, QoS 1", "--clients 10 --rate 10000 --latency --qos 1 pairs",
             figure="p99"),
    Scenario("idle connection", "--clients 5000 idle", 500, **IDLE),
    Scenario("idle subscriber", "--clients 5000 --subscribe idle", 700, **IDLE),
]

UNITS = {"cpu": "µs", "p50": "µs", "p99": "µs", "memory": "bytes"}


def read_figure(scenario, found):
    if scenario.figure == "cpu":
        return found["broker"]["cpu_us"]
    if scenario.figure == "memory":
        return found["bytes_per_connection"]
    return found["latency_us"][scenario.figure]


def on_core(core):
    """What a child does before it becomes the program: take its core and enough descriptors."""

    def prepare():
        if core is not None:
            os.sched_setaffinity(0, {core})
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        many = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(DESCRIPTORS, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (many, hard))

    return prepare


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Broker:
    """A running broker; a context manager."""

    def __init__(self, label, program, options):
        self.label = label
        self.program = program
        self.port = free_port()
        self.directory = tempfile.TemporaryDirectory(prefix="mosquitto-compare-")
        # Some brokers give up root before they read their files.
        os.chmod(self.directory.name, 0o755)
        config = Path(self.directory.name, "mosquitto.conf")
        config.write_text(CONFIG.format(port=self.port, inflight=options.inflight))
        self.output = Path(self.directory.name, "output")
        with open(self.output, "wb") as output:
            self.process = subprocess.Popen(
                [program, "-c", str(config)], stdin=subprocess.DEVNULL, stdout=output,
                stderr=subprocess.STDOUT, preexec_fn=on_core(options.broker_core),
            )

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
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.said = self.output.read_text(errors="replace")
        self.directory.cleanup()


class Failed(Exception):
    """The generator was not content."""


def run_bench(options, scenario, broker):
    timed = ["--seconds", str(options.seconds)] if scenario.timed else []
    run = subprocess.run(
        [options.bench, "--port", str(broker.port), "--pid", str(broker.process.pid), "--json",
         *timed, *scenario.arguments.split()],
        capture_output=True, text=True, check=False,
        preexec_fn=on_core(options.generator_core),
    )
    if run.returncode != 0:
        raise Failed(f"{broker.label}: {run.stderr.strip()}")
    return json.loads(run.stdout)


def measure_round(options, scenario, brokers, number, found):
    """Each broker once; who is first changes from round to round."""
    order = brokers if number % 2 == 0 else brokers[::-1]
    for broker in order:
        found[broker.label].append(run_bench(options, scenario, broker))


def start_brokers(options):
    return [Broker("ours", options.ours, options), Broker("peer", options.peer, options)]


def measure(options, scenario):
    """All answers of one scenario, by broker."""
    found = {"ours": [], "peer": []}
    # Memory that an earlier round has left behind would be used again: such rounds start anew.
    anew = scenario.figure == "memory"
    rounds = range(options.rounds)
    for part in ([[number] for number in rounds] if anew else [rounds]):
        first, second = start_brokers(options)
        with first, second:
            for number in part:
                measure_round(options, scenario, [first, second], number, found)
    return found


def digits(value):
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.2f}" if value >= 1 else f"{value:.3f}"


def cell(values):
    middle = statistics.median(values)
    return f"{digits(middle)} ({digits(min(values))}–{digits(max(values))})"


def parts(answers, who):
    """The median of user and system time, where there are any."""
    if who not in answers[0]:
        return "–"
    return "+".join(
        digits(statistics.median(answer[who][key] for answer in answers))
        for key in ("user_us", "system_us")
    )


def row(scenario, found):
    values = {who: [read_figure(scenario, one) for one in found[who]] for who in found}
    ours, peer = (statistics.median(values[who]) for who in ("ours", "peer"))
    ratio = f"{peer / ours:.2f}" if ours > 0 else "–"
    goal = "–" if scenario.goal is None else f"{scenario.goal:g}"
    return [
        scenario.name, UNITS[scenario.figure], cell(values["ours"]), cell(values["peer"]), ratio,
        goal, parts(found["ours"], "broker"), parts(found["ours"], "generator"),
        parts(found["peer"], "generator"),
    ]


HEAD = ["scenario", "unit", "ours", "peer", "peer ÷ ours", "goal", "ours user+system",
        "generator (ours)", "generator (peer)"]


def line(cells):
    return "| " + " | ".join(cells) + " |"


def version(program):
    run = subprocess.run([program, "-h"], capture_output=True, text=True, check=False)
    said = (run.stdout + run.stderr).strip().splitlines()
    return said[0] if said else "unknown version"


def write_table(options, chosen, out):
    """Row by row, so that an interrupted run has left something. False if a scenario failed."""
    print(f"- ours: {version(options.ours)}\n- peer: {version(options.peer)}\n"
          f"- {options.rounds} rounds of {options.seconds:g} s; median (smallest–largest); "
          "CPU time of the broker per delivered message, unless the unit or the name says "
          f"otherwise\n\n{line(HEAD)}\n{line(['---'] * len(HEAD))}", file=out, flush=True)
    well = True
    for scenario in chosen:
        try:
            cells = row(scenario, measure(options, scenario))
        except Failed as why:
            well = False
            cells = [scenario.name, f"failed: {why}"] + [""] * (len(HEAD) - 2)
        print(line(cells), file=out, flush=True)
    return well


def find_program(path, option):
    found = shutil.which(path)
    if not found:
        sys.exit(f"{option}: there is no program {path}; build it, install it, or name another")
    return found


def default_core(number):
    """Cores 0 and 1 of those that we may use, or no pinning if there are not two."""
    cores = sorted(os.sched_getaffinity(0))
    return cores[number] if len(cores) > 1 else None


def parse(arguments):
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("scenario", nargs="*", help="names or patterns (all)")
    parser.add_argument("-l", "--list", action="store_true", help="name the scenarios")
    parser.add_argument("--ours", default=str(ROOT / "build/mosquitto"), metavar="PROGRAM")
    parser.add_argument("--peer", default="/usr/sbin/mosquitto", metavar="PROGRAM")
    parser.add_argument("--bench", default=str(ROOT / "build/mosquitto_bench"), metavar="PROGRAM")
    parser.add_argument("--rounds", type=int, default=3, metavar="N")
    parser.add_argument("--seconds", type=float, default=1.0, metavar="S", help="of each round")
    parser.add_argument("--inflight", type=int, default=200, metavar="N",
                        help="the brokers' max_inflight_messages (200)")
    parser.add_argument("--broker-core", type=int, default=default_core(0), metavar="CORE")
    parser.add_argument("--generator-core", type=int, default=default_core(1), metavar="CORE")
    parser.add_argument("-o", "--output", type=argparse.FileType("w"), default=sys.stdout,
                        metavar="FILE")
    options = parser.parse_args(arguments)
    if options.rounds < 1:
        parser.error("--rounds: at least 1 is wanted")
    return options


def choose(patterns):
    chosen = [one for one in SCENARIOS
              if not patterns or any(fnmatch.fnmatch(one.name, p) for p in patterns)]
    if not chosen:
        sys.exit(f"no scenario is called {' or '.join(patterns)}; see --list")
    return chosen


def main():
    options = parse(sys.argv[1:])
    if options.list:
        print("\n".join(f"{one.name:22} {one.arguments}" for one in SCENARIOS))
        return 0
    chosen = choose(options.scenario)
    options.ours = find_program(options.ours, "--ours")
    options.peer = find_program(options.peer, "--peer")
    options.bench = find_program(options.bench, "--bench")
    return 0 if write_table(options, chosen, options.output) else 1


if __name__ == "__main__":
    sys.exit(main())
