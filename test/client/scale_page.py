"""man/mosquitto-scale.7 as the tests use it: its configurations are what they run, its table is what they expect.

A configuration is found by the first line of its display, which says whose it is. What differs on the
machine of a test, hosts with their ports and directories, is replaced; nothing else.
"""

import re

from broker_process import ROOT

PAGE = ROOT / "man" / "mosquitto-scale.7"


def text():
    return PAGE.read_text(encoding="utf-8").replace("\\e", "\\").replace("\\-", "-").replace("\\&", "")


def display(first):
    """The one display whose first line is a comment with these words."""
    found = re.findall(r"^\.Bd -literal[^\n]*\n(.*?)^\.Ed$", text(), re.MULTILINE | re.DOTALL)
    found = [body for body in found if first in body.split("\n")[0]]
    assert len(found) == 1, f"{len(found)} displays begin with {first!r}"
    return found[0]


def here(body, places):
    """A configuration with this machine's ports and directories, for those of the page.

    Every place must be there, or the page has changed and the test would run something else.
    """
    for place, ours in places.items():
        pattern = rf"(?<![\w.-]){re.escape(place)}(?![\w.-]*\w)"
        assert re.search(pattern, body), f"{place} is not in:\n{body}"
        body = re.sub(pattern, str(ours).replace("\\", r"\\"), body)
    return body


def table():
    """What each server makes of each row: {row: {column: word}}."""
    part = text().split(".Sh WHAT EACH CAN CARRY")[1].split(".Sh ")[0]
    body = part.split(".Bl -column")[1].split(".El")[0]
    rows = [re.split(r"\s+Ta\s+", line[4:].strip()) for line in body.split("\n") if line.startswith(".It ")]
    head, *rows = [[re.sub(r"^(Em|Li|Sy) |\"", "", cell).strip() for cell in row] for row in rows]
    assert all(len(row) == len(head) for row in rows), rows
    return {row[0]: dict(zip(head[1:], row[1:])) for row in rows}


def column(name):
    """The words of one server: {row: word}."""
    return {row: words[name] for row, words in table().items()}
