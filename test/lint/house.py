"""
src/README.md kept true: every file of lib and src is in the table of its room, and what the tables name
exists unless its row says *to come*, which it stops saying when the file is there.
"""

import pathlib
import re
import sys

DOCUMENT = pathlib.Path("src/README.md")


def rows(text):
    """(room, stem, whether it is to come) of every file that a table names."""
    room = None
    for line in text.splitlines():
        heading = re.match(r"#+ (.*)", line)
        if heading:
            room = heading.group(1) if re.fullmatch(r"(lib|src)/\w+", heading.group(1)) else None
        row = re.match(r"\| ([^|]+) \| (.*) \|$", line)
        if room and row and row.group(2) != "purpose":
            for name in row.group(1).replace("*", "").split(", "):
                yield room, name.strip().removesuffix(".h"), row.group(2).startswith("*to come:*")


def units():
    for top in ("lib", "src"):
        for path in pathlib.Path(top).glob("*/*.[ch]"):
            yield path.parent.as_posix(), path.stem.removesuffix("_none")


def main():
    named = {(room, stem): coming for room, stem, coming in rows(DOCUMENT.read_text())}
    there = set(units())
    problems = [f"{room}/{stem} is not in {DOCUMENT}" for room, stem in sorted(there - named.keys())]
    for (room, stem), coming in named.items():
        if coming and (room, stem) in there:
            problems.append(f"{DOCUMENT}: {room}/{stem} has come")
        elif not coming and (room, stem) not in there:
            problems.append(f"{DOCUMENT}: there is no {room}/{stem}")
    print("\n".join(problems))
    return 1 if problems else 0


sys.exit(main())
