#!/usr/bin/python3
"""What a bridge carries: ours to ours beside Debian's to Debian's, in turns, in one run; a table in Markdown.

    test/bench/bridge.py                        all scenarios
    test/bench/bridge.py 'QoS 1*' --rounds 9    some of them, more often
    test/bench/bridge.py --mixed                ours towards Debian's as well, and the reverse

Publishers at broker A, a bridge from A to B, subscribers at B; each publisher is at most 100 messages ahead
of its subscriber, and no queue has a limit, so that nothing is dropped: mosquitto_bench fails when a message is
lost, doubled or out of order. Both brokers share one core and the generator has another: what is
measured is what they cost, not how a scheduler spreads them. Figures: messages in a second, and CPU time
of each broker for a message, user and system; median, and smallest and largest of all rounds.
The goal is three times the throughput of the peer's.
"""

import argparse
import fnmatch
import json
import statistics
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from brokers import QUIET, ROOT, Broker, Failed, default_core, find_program, on_core, version
from table import cell, line

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "broker"))
from mqtt_wire import Client  # noqa: E402

GOAL = 3.0

BRIDGE = """\
connection bench
address 127.0.0.1:{remote}
restart_timeout 1
notification_topic bench-state
topic bench/# out {qos}
"""


@dataclass
class Scenario:
    """What to ask of mosquitto_bench."""

    name: str
    qos: int
    clients: int
    inflight: int = 20  # of the brokers: the default of both


SCENARIOS = [
    Scenario("QoS 0, 1 pair", 0, 1),
    Scenario("QoS 0, 20 pairs", 0, 20),
    Scenario("QoS 1, 1 pair", 1, 1),
    Scenario("QoS 1, 20 pairs", 1, 20),
    Scenario("QoS 1, 20 pairs, window of 200", 1, 20, 200),
]


def await_bridge(broker):
    """Until the bridge has said at the other side that it is there."""
    client = Client(broker.port)
    client.connect("state")
    client.subscribe("bench-state")
    while client.take().payload != b"1":
        pass
    client.disconnect()


class Pair:
    """Two brokers with a bridge from the first to the second."""

    def __init__(self, label, stack, options, scenario, near, far):
        self.label = label
        core, inflight = options.brokers_core, scenario.inflight
        self.far = stack.enter_context(Broker(label, far, core, inflight=inflight))
        bridge = BRIDGE.format(remote=self.far.port, qos=scenario.qos)
        self.near = stack.enter_context(Broker(label, near, core, QUIET + bridge, inflight=inflight))
        await_bridge(self.far)

    def run(self, options, scenario):
        """One round: messages in a second, CPU of the near broker and of the far one for a message."""
        before = self.near.cpu_us(), self.far.cpu_us()
        run = subprocess.run(
            [options.bench, "--port", str(self.near.port), "--subscribe-port", str(self.far.port), "--json",
             "--qos", str(scenario.qos), "--clients", str(scenario.clients), "--seconds", str(options.seconds),
             "--warmup", "0", "pairs"],
            capture_output=True, text=True, check=False, preexec_fn=on_core(options.generator_core),
        )
        if run.returncode != 0:
            raise Failed(f"{self.label}: {run.stderr.strip()}")
        found = json.loads(run.stdout)
        used = self.near.cpu_us() - before[0], self.far.cpu_us() - before[1]
        messages = found["delivered"]
        return messages / found["elapsed_s"], used[0] / messages, used[1] / messages


def kinds(options):
    """Which broker bridges to which, by label."""
    found = {"ours": (options.ours, options.ours), "peer": (options.peer, options.peer)}
    if options.mixed:
        found["ours to peer"] = (options.ours, options.peer)
        found["peer to ours"] = (options.peer, options.ours)
    return found


def measure(options, scenario):
    """All rounds of one scenario, by label; who is first changes from round to round."""
    with ExitStack() as stack:
        pairs = {label: Pair(label, stack, options, scenario, *programs) for label, programs in kinds(options).items()}
        found = {label: [] for label in pairs}
        for number in range(-1, options.rounds):  # the first warms them up
            for label in list(pairs)[:: 1 if number % 2 else -1]:
                one = pairs[label].run(options, scenario)
                if number >= 0:
                    found[label].append(one)
    return found


def rows(scenario, found):
    """A row for each pair; is the goal reached?"""
    rates = {label: statistics.median(one[0] for one in rounds) for label, rounds in found.items()}
    lines = []
    for label, rounds in found.items():
        ratio = f"{rates[label] / rates['peer']:.1f}×" if label != "peer" else ""
        lines.append([scenario.name, label, cell([one[0] for one in rounds]), ratio,
                      cell([one[1] for one in rounds]), cell([one[2] for one in rounds])])
    return lines, rates["ours"] >= GOAL * rates["peer"]


HEAD = ["scenario", "brokers", "messages/s", "against peer", "near, CPU µs", "far, CPU µs"]


def write_table(options, chosen):
    """Row by row. False if a scenario failed or missed the goal."""
    print(f"- ours: {version(options.ours)}\n- peer: {version(options.peer)}\n"
          f"- {options.rounds} rounds of {options.seconds:g} s; median (smallest–largest); 64 bytes; both brokers on "
          f"core {options.brokers_core}\n\n{line(HEAD)}\n{line(['---'] * len(HEAD))}", flush=True)
    well = True
    for scenario in chosen:
        try:
            lines, reached = rows(scenario, measure(options, scenario))
        except Failed as why:
            lines, reached = [[scenario.name, f"failed: {why}", "", "", "", ""]], False
        well = well and reached
        for cells in lines:
            print(line(cells), flush=True)
    return well


def parse(arguments):
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("scenario", nargs="*", help="names or patterns (all)")
    parser.add_argument("--ours", default=str(ROOT / "build/mosquitto"), metavar="PROGRAM")
    parser.add_argument("--peer", default="/usr/sbin/mosquitto", metavar="PROGRAM")
    parser.add_argument("--bench", default=str(ROOT / "build/mosquitto_bench"), metavar="PROGRAM")
    parser.add_argument("--mixed", action="store_true", help="one of each, too")
    parser.add_argument("--rounds", type=int, default=5, metavar="N")
    parser.add_argument("--seconds", type=float, default=1.0, metavar="S", help="of each round")
    parser.add_argument("--brokers-core", type=int, default=default_core(0), metavar="CORE")
    parser.add_argument("--generator-core", type=int, default=default_core(1), metavar="CORE")
    return parser.parse_args(arguments)


def main():
    options = parse(sys.argv[1:])
    options.ours = find_program(options.ours, "--ours")
    options.peer = find_program(options.peer, "--peer")
    options.bench = find_program(options.bench, "--bench")
    patterns = options.scenario or ["*"]
    chosen = [one for one in SCENARIOS if any(fnmatch.fnmatch(one.name, p) for p in patterns)]
    if not chosen:
        sys.exit(f"no scenario is called {' or '.join(patterns)}: {', '.join(one.name for one in SCENARIOS)}")
    return 0 if write_table(options, chosen) else 1


if __name__ == "__main__":
    sys.exit(main())
