"""
Rules that a look at the text can check.

- A header's guard is its path: lib/base/str.h has BASE_STR_H.
- Features are a file and its twin, so `#if` stands only in guards, in lib/base/feature.c and in include/.
- A file begins with a comment on what it is for.
- No word that promises work for later.
"""

import pathlib
import re
import sys

CONDITION = re.compile(r"^\s*#\s*(if|ifdef|ifndef|elif|else)\b\s*(.*)")
# Written in two halves, so that this file does not find itself.
PROMISE = re.compile(r"\b(TO" r"DO|FIX" r"ME|XX" r"X|HA" r"CK)\b")
TEXT = {".c", ".h", ".py", ".sh", ".md", ".mk", ".js", ".txt", ".example", ""}
FOLDERS = ("lib", "src", "include", "test", "man", ".ci")
# The one place that asks the compiler about itself instead of a switch.
CONDITIONS_ALLOWED = {"lib/base/feature.c", "lib/base/asan.h"}


def guard_of(path):
    return re.sub(r"[^A-Z0-9]", "_", "_".join(path.parts[1:]).upper())


def check_guard(path, lines):
    code = [line for line in strip_comments("\n".join(lines)).splitlines() if line.strip()]
    guard = guard_of(path)
    if len(code) < 3 or code[0] != f"#ifndef {guard}" or code[1] != f"#define {guard}":
        yield f"{path}:1: the guard should be {guard}"
    elif code[-1].strip() != "#endif":
        yield f"{path}:{len(lines)}: the guard's #endif should end the file"


def strip_comments(text):
    return re.sub(r"/\*.*?\*/|//[^\n]*", lambda m: "\n" * m.group().count("\n"), text, flags=re.S)


def check_conditions(path, lines):
    if path.as_posix() in CONDITIONS_ALLOWED:
        return
    for number, line in enumerate(lines, 1):
        match = CONDITION.match(line)
        guard = path.suffix == ".h" and line.strip() == f"#ifndef {guard_of(path)}"
        if match and not guard:
            yield f"{path}:{number}: #{match.group(1)}; a feature is a file and its twin"


def check_words(path, lines):
    for number, line in enumerate(lines, 1):
        match = PROMISE.search(line)
        if match:
            yield f"{path}:{number}: {match.group(1)}"


def texts():
    for folder in FOLDERS:
        for path in sorted(pathlib.Path(folder).rglob("*")):
            if path.is_file() and path.suffix in TEXT and not {"corpus", "__pycache__"} & set(path.parts):
                yield path
    yield from (p for p in sorted(pathlib.Path(".").glob("*")) if p.is_file() and p.suffix in TEXT)


def main():
    problems = []
    for path in texts():
        lines = path.read_text(errors="replace").splitlines()
        problems += check_words(path, lines)
        if path.suffix not in (".c", ".h"):
            continue
        if not lines or not lines[0].startswith("/*"):
            problems.append(f"{path}:1: a file begins with a comment on what it is for")
        if path.parts[0] in ("lib", "src"):
            problems += check_conditions(path, lines)
            if path.suffix == ".h":
                problems += check_guard(path, lines)
    print("\n".join(problems))
    return 1 if problems else 0


sys.exit(main())
