#!/usr/bin/python3
"""Is a pair of clients held up by a million others? A check for each way to crowd a broker.

    test/bench/crowd.py                 all checks; exit code 1 if one fails
    test/bench/crowd.py --list          names them
    test/bench/crowd.py storm memory    some of them
    test/bench/crowd.py --scale 0.01    with a hundredth of the crowd: do the checks work at all?

Costs are CPU time of the broker, compared within the run. Latencies are those of a pair at 1,000 messages
a second beside those of another pair at the same time on the floor, a relay that the crowd leaves alone: gaps
of the machine meet both.
"""

import argparse
import os
import sys

import crowd_checks
import crowd_latency
import crowd_scale
from brokers import Failed, add_programs, find_program, raise_descriptors, version
from table import line

CHECKS = {**crowd_checks.CHECKS, **crowd_latency.CHECKS, **crowd_scale.CHECKS}
HEAD = ["check", "figure", "value", "limit", ""]


class Report:
    """Where a check says what it found: rows of the table."""

    def __init__(self, name):
        self.name = name
        self.well = True

    def say(self, what, value):
        """A figure without a limit."""
        print(line([self.name, what, value, "–", ""]), flush=True)

    def judge(self, what, value, limit, well):
        self.well = self.well and well
        print(line([self.name, what, value, limit, "" if well else "**missed**"]), flush=True)

    def limit(self, what, value, most, unit=""):
        """A figure that must not exceed `most`."""
        self.judge(what, f"{value:,.2f}{unit}", f"≤ {most:,.2f}{unit}", value <= most)

    def need(self, what, well):
        """Something that must be so."""
        self.judge(what, "yes" if well else "no", "yes", well)


def run_check(name, options):
    report = Report(name)
    try:
        CHECKS[name](options, report)
    except (Failed, OSError) as why:
        report.need(f"the check can be made: {why}", False)
    return report.well


def parse(arguments):
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("check", nargs="*", help="names (all)")
    parser.add_argument("-l", "--list", action="store_true", help="name the checks")
    parser.add_argument("--scale", type=float, default=1.0, metavar="FACTOR", help="of all crowds")
    parser.add_argument("--seconds", type=float, default=4.0, metavar="S", help="that each load goes on")
    parser.add_argument("--brokers", type=int, default=5, metavar="N",
                        help="of `scale`: each has as many connections as a process may (5)")
    add_programs(parser)
    options = parser.parse_args(arguments)
    unknown = set(options.check) - set(CHECKS)
    if unknown:
        parser.error(f"there is no check {' or '.join(sorted(unknown))}; see --list")
    return options


def main():
    options = parse(sys.argv[1:])
    if options.list:
        print("\n".join(f"{name:12} {check.__doc__.splitlines()[0]}" for name, check in CHECKS.items()))
        return 0
    for name in ("ours", "bench"):
        setattr(options, name, find_program(getattr(options, name), f"--{name}"))
    raise_descriptors()
    if options.generator_core is not None:
        os.sched_setaffinity(0, {options.generator_core})
    print(f"- {version(options.ours)}\n\n{line(HEAD)}\n{line(['---'] * len(HEAD))}", flush=True)
    results = [run_check(name, options) for name in options.check or CHECKS]
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
