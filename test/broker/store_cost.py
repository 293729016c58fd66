#!/usr/bin/env python3
"""What the store costs: processor time, system calls, bytes on disk, start and stop. By hand.

    python3 test/broker/store_cost.py                 everything but the ten minutes
    python3 test/broker/store_cost.py size --minutes 10

Runs with and without a store alternate, and the figure is the median of rounds, so that what else the
machine does falls on both. The broker has one processor, the load another.
"""

import argparse
import os
import re
import shutil
import signal
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from broker_process import Broker
from bursts import Pairs, Sink, Source, cpu_ns
from stored_broker import UNLIMITED, StoredBroker, absent_session

LINES = [UNLIMITED, "max_inflight_messages 0", "connection_messages false"]
MODES = ("off", "write", "fsync")


class Lab:
    """Directories and brokers of one measurement."""

    def __init__(self, options):
        self.options = options
        self.brokers = []
        self.directories = []

    def start(self, mode, *lines):
        directory = tempfile.mkdtemp(prefix="cost-", dir=self.options.directory)
        self.directories.append(directory)
        lines = [*LINES, *lines]
        if mode == "off":
            broker = Broker(directory, lines, verbose=False)
        else:
            broker = StoredBroker(directory, [*lines, f"persistence_sync {mode}"])
        return self.keep(broker)

    def keep(self, broker):
        self.brokers.append(broker)
        for task in os.listdir(f"/proc/{broker.pid}/task"):
            os.sched_setaffinity(int(task), {self.options.cores[0]})
        return broker

    def __enter__(self):
        os.sched_setaffinity(0, {self.options.cores[-1]})
        return self

    def __exit__(self, *_):
        os.sched_setaffinity(0, self.options.cores)
        for broker in self.brokers:
            broker.drop_clients()
            if broker.alive():
                broker.process.kill()
                broker.process.wait()
        for directory in self.directories:
            shutil.rmtree(directory)


def per_message(broker, pairs, seconds):
    before = cpu_ns(broker.pid)
    count = pairs.run(seconds)
    return (cpu_ns(broker.pid) - before) / count / 1000


def measure_cpu(options):
    """Broker CPU of a QoS 1 message from a publisher to a connected, lasting session."""
    found = {mode: [] for mode in MODES}
    with Lab(options) as lab:
        brokers = {mode: lab.start(mode) for mode in MODES}
        pairs = {mode: Pairs(brokers[mode], 64, options.payload) for mode in MODES}
        for mode in MODES:
            pairs[mode].run(0.5)
        for _ in range(options.rounds):
            for mode in MODES:
                found[mode].append(per_message(brokers[mode], pairs[mode], options.seconds))
    base = found["off"]
    print(f"broker CPU, µs a message, 64 pairs in bursts, {options.payload} bytes, {options.rounds} rounds")
    for mode in MODES:
        ratios = [value / other for value, other in zip(found[mode], base)]
        print(f"  {mode:6} {statistics.median(found[mode]):6.3f}   {statistics.median(ratios):5.2f} × off"
              f"   ({min(ratios):.2f} to {max(ratios):.2f})")


def count_calls(broker, pairs, seconds, directory):
    """System calls of the broker by name, from strace's summary."""
    out = Path(directory) / "calls"
    tracer = subprocess.Popen(
        ["strace", "-f", "-c", "-S", "name", "-U", "name,calls", "-o", str(out), "-p", str(broker.pid)],
        stderr=subprocess.PIPE, text=True,
    )
    assert "attached" in tracer.stderr.readline()
    count = pairs.run(seconds)
    tracer.send_signal(signal.SIGINT)
    tracer.wait()
    tracer.stderr.close()
    calls = dict(re.findall(r"^(\w+)\s+(\d+)", out.read_text(), re.M))
    return count, {name: int(number) for name, number in calls.items()}


def measure_calls(options):
    if not shutil.which("strace"):
        print("system calls: strace is not there")
        return
    print("system calls of the store, and turns of the loop")
    names = ("pwrite64", "pwritev", "pwritev2", "pread64", "preadv", "fdatasync", "fsync", "ftruncate", "unlinkat")
    for mode in MODES[1:]:
        with Lab(options) as lab:
            broker = lab.start(mode)
            pairs = Pairs(broker, 64, options.payload)
            count, calls = count_calls(broker, pairs, options.seconds, broker.directory)
        turns = calls.get("epoll_wait", 0) + calls.get("epoll_pwait", 0) + calls.get("epoll_pwait2", 0)
        mine = {name: calls[name] for name in names if name in calls}
        print(f"  {mode:6} {count} messages, {turns} turns, {sum(mine.values()) / max(turns, 1):.2f} a turn: {mine}")


def measure_bytes(options):
    """Growth of the journal for each message: waiting for an absent client, and passed to a present one."""
    print("bytes on disk a message")
    for payload in (64, 256, 1024):
        with Lab(options) as lab:
            broker = lab.start("write")
            absent_session(broker, "absent", "queue/#")
            source = Source(broker.connect(keepalive=0), "queue/of/one/client", payload, window=200)
            before = broker.size()
            source.send_all(20_000)
            queued = (broker.size() - before) / 20_000
            pairs = Pairs(broker, 16, payload)
            before = broker.size()
            count = sum(pairs.round() for _ in range(12))
            passed = (broker.size() - before) / count
        bound = 3 * payload + 150
        print(f"  payload {payload:4}: queued {queued:6.0f}, passed {passed:6.0f}, bound {bound}"
              f"{'' if max(queued, passed) <= bound else '   EXCEEDED'}")


def measure_size(options):
    """The store's size under steady churn, against twice what is alive and four segments."""
    segment = options.segment
    with Lab(options) as lab:
        broker = lab.start(options.mode, f"persistence_segment_size {segment}")
        absent_session(broker, "absent", "queue/#")
        source = Source(broker.connect(keepalive=0), "queue/of/one/client", 256, window=200)
        source.send_all(20_000)
        live = broker.size()
        pairs = Pairs(broker, 64, options.payload)
        bound = 2 * live + 4 * segment
        worst, count = -bound, 0
        end = time.monotonic() + options.minutes * 60
        while time.monotonic() < end:
            count += pairs.round()
            worst = max(worst, broker.size() - bound)
        time.sleep(3)
        rest = broker.size()
    print(f"size, {options.mode}, segments of {segment}: live {live}, bound {bound}, "
          f"{count} messages in {options.minutes:g} minutes: at most {worst + bound} bytes, "
          f"that is {worst:+d} beside the bound; {rest} when idle")


def measure_start(options):
    """Stop and start with a million queued messages."""
    with Lab(options) as lab:
        broker = lab.start("write")
        absent_session(broker, "absent", "queue/#")
        source = Source(broker.connect(keepalive=0), "queue/of/one/client", options.payload, window=500)
        before = time.monotonic()
        source.send_all(options.queued)
        filled = time.monotonic() - before
        broker.drop_clients()
        before = time.monotonic()
        broker.stop()
        stopped = time.monotonic() - before
        size = broker.size()
        starts = []
        for _ in range(3):
            before = time.monotonic()
            broker = lab.keep(broker.again())
            reader = broker.connect("other")
            starts.append(time.monotonic() - before)
            reader.close()
            if len(starts) < 3:
                broker.kill()
        before = time.monotonic()
        client = broker.connect("absent", clean=False, keepalive=0)
        Sink(client, "queue/of/one/client", options.payload).take_all(options.queued)
        drained = time.monotonic() - before
    print(f"{options.queued} queued messages of {options.payload} bytes, {size} bytes of store: "
          f"filled in {filled:.1f} s, clean stop {stopped:.2f} s, "
          f"start {min(starts):.2f} to {max(starts):.2f} s, drained in {drained:.1f} s")


PARTS = {
    "cpu": measure_cpu, "calls": measure_calls, "bytes": measure_bytes, "start": measure_start, "size": measure_size,
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help=", ".join(PARTS))
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=1.0, help="length of a round")
    parser.add_argument("--payload", type=int, default=64)
    parser.add_argument("--queued", type=int, default=1_000_000)
    parser.add_argument("--minutes", type=float, default=0.5, help="of churn, for `size`")
    parser.add_argument("--segment", type=int, default=1 << 20, help="bytes of a segment, for `size`")
    parser.add_argument("--mode", choices=MODES[1:], default="write", help="for `size`")
    parser.add_argument("--directory", help="for the stores")
    options = parser.parse_args()
    options.cores = sorted(os.sched_getaffinity(0))
    for part in options.parts or PARTS:
        PARTS[part](options)


if __name__ == "__main__":
    main()
