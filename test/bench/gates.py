#!/usr/bin/python3
"""What a message costs, free of noise: system calls and instructions; exit code 1 if a gate is missed.

    test/bench/gates.py                         all scenarios
    test/bench/gates.py 'pairs*' --only calls   some of them; system calls alone (or: instructions)
    test/bench/gates.py --keep DIR              leaves callgrind's files there, for callgrind_annotate

Both are the difference of two runs, one with twice as many messages, divided by the difference in delivered
messages: connecting and starting fall out. System calls are counted by perf's tracepoints, or by strace where
perf may not; instructions are those of user space, counted by callgrind.
"""

import argparse
import fnmatch
import os
import re
import signal
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from brokers import QUIET, Broker, Failed, add_programs, find_program, run_bench, version
from table import digits, line


@dataclass(frozen=True)
class Gate:
    """A scenario, the smaller number of messages to publish, and the most that a delivered one may take."""

    name: str
    arguments: str
    messages: int
    calls: float = None
    instructions: float = None


ONE = "--clients 200 --window 1"

GATES = [
    Gate("pairs-100, QoS 0", "--clients 100 pairs", 50_000, 0.03, 1000),
    Gate("pairs-100, QoS 1", "--clients 100 --qos 1 pairs", 50_000, None, 1700),
    Gate("pairs-100, QoS 2", "--clients 100 --qos 2 --inflight 100 pairs", 50_000),
    Gate("fanout-100, QoS 0", "--clients 100 fanout", 2_000, 0.02, 200),
    Gate("fanout-100, QoS 1", "--clients 100 --qos 1 fanout", 2_000),
    Gate("fanin-100, QoS 0", "--clients 100 fanin", 50_000),
    Gate("fanin-100, QoS 1", "--clients 100 --qos 1 fanin", 50_000),
    Gate("pairs-200-one, QoS 0", f"{ONE} pairs", 20_000, 2.1),
    Gate("pairs-200-one, QoS 1", f"{ONE} --qos 1 pairs", 20_000, 4.2),
]

# What brokers wait, read and write with; all others together are the rest.
KINDS = {
    "wait": ["epoll_wait", "epoll_pwait"],
    "read": ["read", "readv", "recvfrom", "recvmsg"],
    "write": ["write", "writev", "sendto", "sendmsg"],
    "epoll_ctl": ["epoll_ctl"],
}
ALL = "raw_syscalls:sys_enter"
CALLGRIND = ["valgrind", "--tool=callgrind"]


def bench_arguments(gate, messages):
    # Under valgrind and strace nothing is quick.
    return ["--warmup", "0", "--messages", str(messages), "--timeout", "120", *gate.arguments.split()]


# ---- System calls -----------------------------------------------------------------------------


class PerfCounter:
    """perf counts the broker's system calls for as long as the generator, its child, runs."""

    name = "perf"
    times = 10  # it costs nearly nothing, and many messages even out what bursts happen to be

    def __init__(self, directory):
        self.file = Path(directory, "perf")
        events = [ALL, *(f"syscalls:sys_enter_{name}" for names in KINDS.values() for name in names)]
        self.command = ["perf", "stat", "-x,", "-o", str(self.file), "-e", ",".join(events)]

    def works(self):
        try:
            return subprocess.run([*self.command, "true"], capture_output=True, check=False).returncode == 0
        except FileNotFoundError:
            return False

    @contextmanager
    def attached(self, broker):
        yield [*self.command, "-p", str(broker.pid), "--"]

    def read(self):
        found = {}
        for text in self.file.read_text().splitlines():
            fields = text.split(",")
            if len(fields) > 2:
                found[fields[2].removeprefix("syscalls:sys_enter_")] = int(fields[0])
        return found.pop(ALL), found


class StraceCounter:
    """The same by strace, which needs no more than to be the broker's user."""

    name = "strace"
    times = 1

    def __init__(self, directory):
        self.file = Path(directory, "strace")

    def works(self):
        try:
            return subprocess.run(["strace", "-o", "/dev/null", "true"], check=False).returncode == 0
        except FileNotFoundError:
            return False

    @contextmanager
    def attached(self, broker):
        tracer = subprocess.Popen(["strace", "-c", "-f", "-o", str(self.file), "-p", str(broker.pid)],
                                  stderr=subprocess.PIPE, text=True)
        said = tracer.stderr.readline()
        if "attached" not in said:
            tracer.wait()
            raise Failed(f"system calls cannot be counted: {said.strip()}")
        try:
            yield []
        finally:
            tracer.send_signal(signal.SIGINT)
            tracer.communicate()

    def read(self):
        # % time, seconds, µs for a call, calls, errors if there were any, name; in the end the total
        rows = [text.split() for text in self.file.read_text().splitlines()]
        found = {row[-1]: int(row[3]) for row in rows if len(row) > 4 and row[0][0].isdigit()}
        found.pop("total", None)
        return sum(found.values()), found


def find_counter(directory):
    for counter in (PerfCounter(directory), StraceCounter(directory)):
        if counter.works():
            return counter
    return None


def count_calls(options, gate, messages):
    """Delivered messages, all system calls, and those that have a kind."""
    asked = bench_arguments(gate, options.counter.times * messages)
    with Broker("ours", options.ours, options.broker_core) as broker:
        with options.counter.attached(broker) as wrapper:
            answer = run_bench(options.bench, broker, options.generator_core, asked, wrapper)
    total, found = options.counter.read()
    kinds = [sum(found.get(name, 0) for name in names) for names in KINDS.values()]
    return answer["delivered"], [total, *kinds]


# ---- Instructions -----------------------------------------------------------------------------


def count_instructions(options, gate, messages):
    file = Path(options.keep, f"callgrind.{gate.name.replace(', ', '-').replace(' ', '')}.{messages}")
    # A broker that gives up root could not write callgrind's file.
    extra = QUIET + ("user root\n" if os.geteuid() == 0 else "")
    wrapper = [*CALLGRIND, f"--callgrind-out-file={file}"]
    with Broker("ours", options.ours, options.broker_core, extra, wrapper) as broker:
        answer = run_bench(options.bench, broker, options.generator_core, bench_arguments(gate, messages))
        broker.stop()
    found = re.search(r"^(?:summary|totals): (\d+)", file.read_text(), re.M)
    if not found:
        raise Failed(f"callgrind wrote no total:\n{broker.said}")
    return answer["delivered"], [int(found.group(1))]


# ---- The table --------------------------------------------------------------------------------


def for_each(count, options, gate):
    """What one more delivered message costs."""
    less, few = count(options, gate, gate.messages)
    more, many = count(options, gate, 2 * gate.messages)
    return [(after - before) / (more - less) for before, after in zip(few, many)]


def judge(value, most):
    """Two cells, and whether the gate is missed."""
    if value is None:
        return ["–", "–"], False
    if most is None:
        return [digits(value), "–"], False
    return [digits(value), f"≤ {most:,g}" + (" **missed**" if value > most else "")], value > most


def kinds_cell(calls):
    return ", ".join(f"{name} {digits(value)}" for name, value in zip(KINDS, calls[1:])) if calls else "–"


def row(options, gate):
    calls = for_each(count_calls, options, gate) if options.counter else None
    instructions = for_each(count_instructions, options, gate)[0] if options.callgrind else None
    of_calls, missed_calls = judge(calls and calls[0], gate.calls)
    of_instructions, missed_instructions = judge(instructions, gate.instructions)
    return [gate.name, *of_instructions, *of_calls, kinds_cell(calls)], missed_calls or missed_instructions


HEAD = ["for each delivered message", "instructions", "gate", "system calls", "gate", "of these"]


def write_table(options, chosen):
    print(f"- {version(options.ours)}\n- system calls counted by "
          f"{options.counter.name if options.counter else 'nothing'}, user instructions by "
          f"{'callgrind' if options.callgrind else 'nothing'}\n\n{line(HEAD)}\n{line(['---'] * len(HEAD))}",
          flush=True)
    missed = False
    for gate in chosen:
        try:
            cells, wrong = row(options, gate)
        except Failed as why:
            cells, wrong = [gate.name, f"failed: {why}"] + [""] * (len(HEAD) - 2), True
        missed = missed or wrong
        print(line(cells), flush=True)
    return not missed


def parse(arguments):
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("scenario", nargs="*", help="names or patterns (all)")
    parser.add_argument("-l", "--list", action="store_true", help="name the scenarios")
    parser.add_argument("--only", choices=["calls", "instructions"], help="one of the two figures")
    parser.add_argument("--keep", metavar="DIRECTORY", help="for callgrind's files")
    add_programs(parser, floor=False)
    options = parser.parse_args(arguments)
    patterns = options.scenario or ["*"]
    options.chosen = [gate for gate in GATES if any(fnmatch.fnmatch(gate.name, p) for p in patterns)]
    if not options.chosen:
        parser.error(f"no scenario is called {' or '.join(options.scenario)}; see --list")
    return options


def has_callgrind():
    try:
        return subprocess.run([*CALLGRIND, "--version"], capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


def main():
    options = parse(sys.argv[1:])
    if options.list:
        print("\n".join(f"{gate.name:22} {gate.arguments}" for gate in options.chosen))
        return 0
    options.ours = find_program(options.ours, "--ours")
    options.bench = find_program(options.bench, "--bench")
    with tempfile.TemporaryDirectory(prefix="mosquitto-gates-") as directory:
        options.keep = options.keep or directory
        Path(options.keep).mkdir(parents=True, exist_ok=True)
        options.counter = find_counter(directory) if options.only != "instructions" else None
        options.callgrind = options.only != "calls" and has_callgrind()
        if not options.counter and not options.callgrind:
            sys.exit("gates.py: neither perf nor strace nor valgrind can be used here")
        return 0 if write_table(options, options.chosen) else 1


if __name__ == "__main__":
    sys.exit(main())
