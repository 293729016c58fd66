#!/usr/bin/python3
"""Runs all benchmarks and writes RESULTS.md: their tables, the machine, and how it was made.

    test/bench/results.py               takes about half an hour, on a machine that does nothing else
    test/bench/results.py --quick       tables of a short look, not to be kept

What stands under the heading "Remarks" of the old file is kept, since people write that.
"""

import argparse
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

from brokers import add_programs

HERE = Path(__file__).resolve().parent
REMARKS = "## Remarks\n"

TEXT = """\
# Results of the benchmarks

The last run of `make bench-results`, which writes this file; what the columns mean is in [../README.md](../README.md),
under Benchmarks.

- {date}; {cores} cores, {cpu}; {memory:.0f} GB; {system}
- {compiler}; `CFLAGS` and switches as in `config.mk`{quick}

## Costs beside the distribution's broker and the floor

`{compare}`

{compare_table}
## System calls and instructions

`{gates}`

{gates_table}
## Beside a crowd

`{crowd}`

{crowd_table}
"""

# Name, script, make's target, does it know the floor, arguments of a short look.
RUNS = [
    ("compare", "compare.py", "make bench", True, ["--quick"]),
    ("gates", "gates.py", "make bench-gates", False, ["--only", "calls"]),
    ("crowd", "crowd.py", "make bench-crowd", True, ["--scale", "0.01", "--seconds", "1", "--brokers", "2"]),
]


def field_of(path, name):
    """The value of the first line "name : value" of a file in /proc."""
    for text in Path(path).read_text().splitlines():
        key, _, value = text.partition(":")
        if key.strip() == name:
            return value.strip()
    return "unknown"


def first_line(command):
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.splitlines()[0]
    except (FileNotFoundError, IndexError):
        return f"{command[0]} is not there"


def remarks(path):
    """What people have written."""
    text = path.read_text() if path.exists() else ""
    return text[text.index(REMARKS):] if REMARKS in text else REMARKS


def table_of(options, script, floor, short):
    """What a script prints, which goes to the terminal as well; a missed goal is in it."""
    command = [sys.executable, "-B", str(HERE / script), "--ours", options.ours, "--bench", options.bench,
               *(["--floor", options.floor] if floor else []), *(short if options.quick else [])]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    lines = []
    for text in process.stdout:
        print(text, end="", flush=True)
        lines.append(text)
    process.wait()
    if len(lines) < 4:
        sys.exit(f"results.py: {script} printed no table; {options.output} stays as it was")
    return "".join(lines)


def parse(arguments):
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    add_programs(parser)
    parser.add_argument("--quick", action="store_true", help="a short look")
    parser.add_argument("-o", "--output", type=Path, default=HERE / "RESULTS.md", metavar="FILE")
    return parser.parse_args(arguments)


def main():
    options = parse(sys.argv[1:])
    parts = {}
    for name, script, target, floor, short in RUNS:
        parts[name] = target + (f" BENCH_ARGS='{' '.join(short)}'" if options.quick else "")
        parts[f"{name}_table"] = table_of(options, script, floor, short)
    text = TEXT.format(
        date=time.strftime("%Y-%m-%d"), cores=os.cpu_count(), cpu=field_of("/proc/cpuinfo", "model name"),
        memory=int(field_of("/proc/meminfo", "MemTotal").split()[0]) / 1e6,
        system=f"{platform.system()} {platform.release()}",
        compiler=first_line([os.environ.get("CC", "gcc"), "--version"]),
        quick="; **a short look**" if options.quick else "", **parts)
    options.output.write_text(f"{text}\n{remarks(options.output)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
