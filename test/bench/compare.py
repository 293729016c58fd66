#!/usr/bin/python3
"""Our broker, the distribution's and the floor under the same load, in turns: a table in Markdown.

    test/bench/compare.py                       all scenarios of the goals
    test/bench/compare.py -l                    names the rows
    test/bench/compare.py 'pairs*' --rounds 5   some of them, more often
    test/bench/compare.py --quick               one short round: does it work at all?
    test/bench/compare.py --peer ../old/build/mosquitto

The figure is the broker's CPU time for a delivered message (user and system), since it hardly depends on
who else uses the machine: the broker is pinned to one core and the generator to another. The brokers take
turns, round by round, so that a change of the machine's mood meets all. A cell has the median and, in
brackets, the smallest and the largest of all rounds. Ratios below 1.15 are noise. Goals are ratios within
the run; a missed one is no failure of the run, a lost message is.
"""

import argparse
import fnmatch
import json
import os
import platform
import shutil
import sys
from contextlib import ExitStack

from brokers import Broker, Failed, add_programs, find_program, run_bench, version
from scenarios import SCENARIOS
from table import HEAD, line, row


def arguments_of(options, scenario):
    more = scenario.quick.split() if options.quick else []
    if scenario.timed:
        more += ["--seconds", str(options.seconds)]
    # Later options win, and the name of the scenario comes last.
    *before, name = scenario.arguments.split()
    return [*before, *more, name]


def measure_part(options, scenario, programs, rounds, found):
    """Some rounds with the same processes; who is first changes from round to round."""
    with ExitStack() as stack:
        brokers = [stack.enter_context(Broker(label, program, options.broker_core))
                   for label, program in programs.items()]
        for number in rounds:
            first = number % len(brokers)
            for broker in brokers[first:] + brokers[:first]:
                found[broker.label].append(
                    run_bench(options.bench, broker, options.generator_core, arguments_of(options, scenario)))


def measure(options, scenario):
    """All answers of one scenario, by broker."""
    programs = {label: program for label, program in options.programs.items()
                if scenario.floor or label != "floor"}
    found = {label: [] for label in programs}
    rounds = range(options.rounds)
    for some in ([[number] for number in rounds] if scenario.anew else [rounds]):
        measure_part(options, scenario, programs, some, found)
    return found


def machine():
    return f"{os.cpu_count()} processors, {platform.system()} {platform.release()}, {platform.machine()}"


def preface(options):
    floor = "" if "floor" in options.programs else "; without the floor, which `make bench` builds"
    return (f"- ours: {version(options.programs['ours'])}\n- peer: {version(options.programs['peer'])}\n"
            f"- {machine()}; broker on core {options.broker_core}, generator on core "
            f"{options.generator_core}{floor}\n"
            f"- {options.rounds} rounds of {options.seconds:g} s; median (smallest–largest); CPU time of the "
            f"broker for each message or other thing, unless the unit or the name says otherwise\n\n"
            f"{line(HEAD)}\n{line(['---'] * len(HEAD))}")


def write_table(options, chosen):
    """Row by row, so that an interrupted run has left something. False if a scenario failed."""
    print(preface(options), file=options.output, flush=True)
    well, everything = True, []
    for scenario, figures in chosen:
        try:
            found = measure(options, scenario)
            rows = [row(figure, found) for figure in figures]
            everything.append({"arguments": scenario.arguments, "answers": found})
        except Failed as why:
            well = False
            rows = [[figure.name, f"failed: {why}"] + [""] * (len(HEAD) - 2) for figure in figures]
        for cells in rows:
            print(line(cells), file=options.output, flush=True)
    if options.json:
        json.dump({"machine": machine(), "programs": options.programs, "scenarios": everything}, options.json)
    return well


def parse(arguments):
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("scenario", nargs="*", help="names or patterns of rows (all)")
    parser.add_argument("-l", "--list", action="store_true", help="name the rows")
    add_programs(parser)
    parser.add_argument("--peer", default="/usr/sbin/mosquitto", metavar="PROGRAM")
    parser.add_argument("--rounds", type=int, metavar="N", help="how often (5)")
    parser.add_argument("--seconds", type=float, metavar="S", help="of each round (1)")
    parser.add_argument("--quick", action="store_true", help="one short round, fewer clients")
    to_file = {"type": argparse.FileType("w"), "metavar": "FILE"}
    parser.add_argument("-o", "--output", default=sys.stdout, help="for the table", **to_file)
    parser.add_argument("--json", help="for all answers of the generator", **to_file)
    options = parser.parse_args(arguments)
    options.rounds = options.rounds if options.rounds is not None else 1 if options.quick else 5
    options.seconds = options.seconds if options.seconds is not None else 0.2 if options.quick else 1.0
    if options.rounds < 1:
        parser.error("--rounds: at least 1 is wanted")
    return options


def choose(patterns):
    """The scenarios that have a wanted row, each with the wanted ones."""
    chosen = [(one, [figure for figure in one.figures
                     if not patterns or any(fnmatch.fnmatch(figure.name, p) for p in patterns)])
              for one in SCENARIOS]
    chosen = [(one, figures) for one, figures in chosen if figures]
    if not chosen:
        sys.exit(f"no scenario is called {' or '.join(patterns)}; see --list")
    return chosen


def main():
    options = parse(sys.argv[1:])
    chosen = choose(options.scenario)
    if options.list:
        print("\n".join(f"{figure.name:30} {one.arguments}" for one, figures in chosen for figure in figures))
        return 0
    options.bench = find_program(options.bench, "--bench")
    options.programs = {name: find_program(getattr(options, name), f"--{name}") for name in ("ours", "peer")}
    if shutil.which(options.floor):
        options.programs["floor"] = options.floor
    return 0 if write_table(options, chosen) else 1


if __name__ == "__main__":
    sys.exit(main())
