#!/usr/bin/python3
"""Lines through mosquitto_pub and mosquitto_sub: ours beside Debian's, in turns, in one run; a table in Markdown.

    test/bench/lines.py                         all scenarios
    test/bench/lines.py 'pub*' --rounds 5       some of them, more often
    test/bench/lines.py --scale 0.1             with a tenth of the lines

`pub -l` reads a file of lines of 20 bytes; `sub` prints as many into a file while our mosquitto_pub publishes them.
Either make has the same broker, ours, on a core of its own. Figures: seconds from the start of the program to its end,
and its CPU time for each line that arrived, user and system; median, and smallest and largest of all rounds. Every line
is counted at the other end: ours must not lose any, and what Debian's loses is told.
"""

import argparse
import fnmatch
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from brokers import QUIET, Broker, Failed, default_core, find_program, on_core
from table import cell, line

ROOT = Path(__file__).resolve().parents[2]
COUNTER = "$SYS/broker/publish/messages/received"
LIMIT = 60


@dataclass
class Scenario:
    name: str
    program: str
    qos: int
    lines: int


SCENARIOS = [
    Scenario("pub -l, QoS 0", "pub", 0, 1_000_000),
    Scenario("pub -l, QoS 1", "pub", 1, 100_000),
    Scenario("pub -l, QoS 2", "pub", 2, 50_000),
    Scenario("sub, QoS 0", "sub", 0, 100_000),
    Scenario("sub, QoS 1", "sub", 1, 100_000),
    Scenario("sub -F %j, QoS 1", "sub", 1, 100_000),
]


class Run:
    """Scenarios on one broker with the programs of two makes."""

    def __init__(self, options, broker, directory):
        self.options, self.broker, self.directory = options, broker, Path(directory)
        self.at = ["-h", "127.0.0.1", "-p", str(broker.port)]

    def start(self, program, arguments, **files):
        return subprocess.Popen([program, *self.at, *arguments], preexec_fn=on_core(self.options.client_core), **files)

    def timed(self, process):
        """Seconds and CPU seconds of a child, which ends with exit code 0."""
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise Failed(f"{' '.join(process.args)}: exit code {process.returncode}")
        return time.monotonic() - process.began, usage.ru_utime + usage.ru_stime

    def file_of(self, lines):
        path = self.directory / f"lines-{lines}"
        if not path.exists():
            path.write_text("".join(f"this is line {number:07}\n"[-20:] for number in range(lines)), encoding="ascii")
        return path

    def received(self):
        """How many the broker has got; it says so once a second."""
        out = subprocess.run([self.options.theirs / "mosquitto_sub", *self.at, "-t", COUNTER, "-C", "1", "-W", "5"],
                             capture_output=True, text=True, check=True).stdout
        return int(out)

    def settled(self, wanted):
        """How many it has got when no more come."""
        count, since = self.received(), time.monotonic()
        while count < wanted and time.monotonic() - since < 3:
            time.sleep(0.2)
            now = self.received()
            if now != count:
                count, since = now, time.monotonic()
        return count

    def publish(self, programs, scenario):
        before = self.received()
        with open(self.file_of(scenario.lines), "rb") as lines:
            options = ["-t", "lines", "-l", "-q", str(scenario.qos)]
            process = self.start(programs / "mosquitto_pub", options, stdin=lines)
            process.began = time.monotonic()
            figures = self.timed(process)
        time.sleep(1.2)  # what the broker said last was of the time before
        return *figures, self.settled(before + scenario.lines) - before

    def subscribe(self, programs, scenario):
        path = self.file_of(scenario.lines)
        form = ["-F", "%j"] if "%j" in scenario.name else []
        # What is published at QoS 1 is not dropped on the way, at whatever QoS it is asked for.
        with open(path, "rb") as lines, open(self.directory / "out", "wb") as out:
            process = self.start(programs / "mosquitto_sub", [
                "-t", "lines", "-q", str(scenario.qos), "-C", str(scenario.lines), "-W", str(LIMIT), *form], stdout=out)
            time.sleep(0.5)
            process.began = time.monotonic()
            publisher = self.start(self.options.ours / "mosquitto_pub", ["-t", "lines", "-l", "-q", "1"],
                                   stdin=lines)
            figures = self.timed(process)
            publisher.wait()
        if not form and (self.directory / "out").read_bytes() != path.read_bytes():
            raise Failed(f"{programs}: what came out is not what went in")
        return *figures, scenario.lines

    def measure(self, scenario):
        act = self.publish if scenario.program == "pub" else self.subscribe
        found = {"ours": [], "theirs": []}
        for number in range(self.options.rounds):
            for make in sorted(found, reverse=number % 2 == 1):
                found[make].append(act(getattr(self.options, make), scenario))
        if any(arrived != scenario.lines for _, _, arrived in found["ours"]):
            raise Failed(f"ours: {[arrived for _, _, arrived in found['ours']]} of {scenario.lines} lines")
        return found


def row(scenario, found):
    """Seconds, and CPU time for each line that has arrived."""
    cells = [scenario.name, f"{scenario.lines:,}"]
    for figure in (lambda run: run[0], lambda run: run[1] * 1e6 / max(run[2], 1)):
        ours, theirs = ([figure(run) for run in found[make]] for make in ("ours", "theirs"))
        cells += [cell(ours), cell(theirs), f"{statistics.median(theirs) / statistics.median(ours):.2f}"]
    lost = [scenario.lines - arrived for _, _, arrived in found["theirs"]]
    return [*cells, f"{statistics.median(lost):,.0f} ({min(lost):,}–{max(lost):,})"]


HEAD = ["scenario", "lines", "ours s", "Debian's s", "ratio", "ours CPU µs a line", "Debian's CPU µs a line", "ratio",
        "lost by Debian's"]


def parse():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("scenario", nargs="*", help="names or patterns (all)")
    parser.add_argument("--broker", default=str(ROOT / "build/mosquitto"), metavar="PROGRAM")
    parser.add_argument("--ours", type=Path, default=ROOT / "build", metavar="DIRECTORY")
    parser.add_argument("--theirs", type=Path, default=Path("/usr/bin"), metavar="DIRECTORY")
    parser.add_argument("--rounds", type=int, default=3, metavar="N")
    parser.add_argument("--scale", type=float, default=1.0, metavar="FACTOR", help="of the number of lines")
    parser.add_argument("--broker-core", type=int, default=default_core(0), metavar="CORE")
    parser.add_argument("--client-core", type=int, default=default_core(1), metavar="CORE")
    options = parser.parse_args()
    for directory in (options.ours, options.theirs):
        for program in ("mosquitto_pub", "mosquitto_sub"):
            find_program(str(directory / program), "--ours, --theirs")
    return options


def broker_of(options):
    return Broker("broker", options.broker, options.broker_core, QUIET + "sys_interval 1\n")


def main():
    options = parse()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    chosen = [one for one in SCENARIOS
              if not options.scenario or any(fnmatch.fnmatch(one.name, p) for p in options.scenario)]
    if not chosen:
        sys.exit("no scenario is called so")
    print(f"{line(HEAD)}\n{line(['---'] * len(HEAD))}", flush=True)
    well = True
    for scenario in chosen:
        scenario.lines = max(1000, int(scenario.lines * options.scale))
        with tempfile.TemporaryDirectory() as directory, broker_of(options) as broker:
            try:
                cells = row(scenario, Run(options, broker, directory).measure(scenario))
            except Failed as why:
                well, cells = False, [scenario.name, f"failed: {why}", *[""] * (len(HEAD) - 2)]
        print(line(cells), flush=True)
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
