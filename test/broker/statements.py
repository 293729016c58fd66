#!/usr/bin/env python3
"""Hold the statements of the standard against the tests that name them.

Prints each statement that binds a server with its tests, or with the reason why there is none.
Exits with 1 when a statement has neither, has both, or when a test names an unknown id. Tests name ids by
`@pytest.mark.statements("MQTT-3.1.2-4", …)`; their files are parsed, not run, so this needs
nothing but Python.
"""

import ast
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
TEST_DIRECTORIES = (HERE, HERE.parent / "client")
NO_TEST = "no test: "
BINDS = ("client", "server", "both")


class Statement:
    def __init__(self, line):
        self.id, self.binds, self.text = line.split(" ", 2)
        self.reason = None
        self.tests = []

    def binds_server(self):
        return self.binds != "client"


def read_statements(path=HERE / "statements.txt"):
    """All statements by id, in the order of the standard."""
    out = {}
    last = None
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line or line.startswith("#"):
            continue
        if line.startswith(NO_TEST):
            last.reason = line[len(NO_TEST) :]
            continue
        last = Statement(line)
        if last.binds not in BINDS or last.id in out:
            raise ValueError(f"{path.name}: {line}")
        out[last.id] = last
    return out


def is_statements_mark(node):
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "statements"
    )


def ids_in(node):
    """The ids named by marks anywhere below a decorator, marks of single parameters included."""
    for call in filter(is_statements_mark, ast.walk(node)):
        for argument in call.args:
            yield argument.value


def read_marks(directories=TEST_DIRECTORIES):
    """Pairs of test and id, for every test file."""
    for directory in directories:
        for path in sorted(directory.glob("test_*.py")):
            tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
            for node in ast.walk(tree):
                if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                    for decorator in node.decorator_list:
                        for found in ids_in(decorator):
                            yield f"{directory.name}/{path.name}::{node.name}", found


def join(statements, marks):
    """Give each statement its tests; returns what is wrong, as lines."""
    problems = []
    for test, found in marks:
        if found not in statements:
            problems.append(f"{test} names {found}, which the standard does not have")
        elif test not in statements[found].tests:
            statements[found].tests.append(test)
    for statement in statements.values():
        if statement.binds_server() and not statement.tests and not statement.reason:
            problems.append(f"{statement.id} has neither a test nor a reason")
        if statement.tests and statement.reason:
            problems.append(f"{statement.id} has a test, so its reason is out of date")
    return problems


def report(statements, out=sys.stdout):
    for statement in statements.values():
        if not statement.binds_server():
            continue
        print(f"{statement.id} ({statement.binds}) {statement.text}", file=out)
        for test in statement.tests:
            print(f"    {test}", file=out)
        if statement.reason:
            print(f"    no test: {statement.reason}", file=out)
    bound = [s for s in statements.values() if s.binds_server()]
    tested = sum(bool(s.tests) for s in bound)
    reasons = sum(bool(s.reason) for s in bound)
    print(
        f"{len(statements)} statements, {len(bound)} bind a server: "
        f"{tested} tested, {reasons} with a reason why not",
        file=out,
    )


def main():
    statements = read_statements()
    problems = join(statements, read_marks())
    report(statements)
    for problem in problems:
        print(f"error: {problem}", file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
