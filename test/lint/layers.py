"""
The layers of src/README.md, checked: who may include whom.

A room includes only the rooms of its row. Inside a room the files stand on each other without circles: a
file and its header count as one, because a pair that needs each other is one thing in two files. The core is
entered by core/broker.h alone; core/state.h belongs to the store and to what stands above it in the core.
"""

import pathlib
import re
import sys

ROOMS = {
    "main": {"server", "conf", "base"},
    "clients": set(),
    # It shares no code with what it measures.
    "bench": set(),
    "tools": {"mqtt", "base"},
    "server": {"store", "core", "auth", "conf", "net", "base"},
    "store": {"core", "mqtt", "base"},
    "core": {"auth", "conf", "mqtt", "base"},
    "auth": {"conf", "mqtt", "base"},
    "client": {"net", "mqtt", "base"},
    "conf": {"mqtt", "base"},
    "net": {"base"},
    "mqtt": {"base"},
    "base": set(),
    # Programs of users: nothing but <mosquitto.h>.
    "examples": set(),
}

# Who may include the headers of include/, which are for users.
PUBLIC = {
    "clients": {"mosquitto.h", "mqtt_protocol.h"},
    "client": {"mosquitto.h", "mqtt_protocol.h"},
    "server": {"mosquitto_plugin.h", "mosquitto_broker.h"},
}

# Files whose row is wider than that of their room.
WIDER = {
    "tools/passwd": {"auth"},
    "tools/passwd_edit": {"auth"},
    "tools/passwd_options": {"auth", "server"},
    "tools/db_dump": {"core"},
    "tools/db_dump_files": {"store"},
    "tools/db_dump_list": {"core"},
    "tools/db_dump_load": {"store", "core", "conf"},
    "tools/db_dump_path": {"store"},
    "tools/db_dump_stats": {"core"},
}

# The client programs do not know each other: of their room they see what begins like them or is shared.
CLIENTS = ("pub", "sub", "rr")

# By which headers those below the store enter the core; what a store holds is shown with its own words.
CORE_DOORS = {"broker.h"}
CORE_DOORS_WIDER = {"tools": {"visit.h", "record.h"}}

# Headers that are the words their whole room speaks in, while the file of that name stands at its top.
VOCABULARY = {"auth/acl", "client/engine", "conf/conf", "conf/options", "core/broker"}

# The core below its waist: what struct broker is made of cannot know struct broker.
BELOW_STATE = {
    "stats", "record", "stored", "persist", "fetch", "loading", "topicmap", "trie", "retain", "outbox", "access", "rights", "changes", "topics",
    "author", "session", "sessions", "route", "conn", "report",
}

INCLUDE = re.compile(r'^\s*#\s*include\s*"([^"]+)"')


def sources():
    for top in ("lib", "src"):
        yield from sorted(pathlib.Path(top).rglob("*.[ch]"))


def room_of(path):
    parts = path.parts
    if len(parts) == 3:
        return parts[1]
    return "main" if path == pathlib.Path("src/main.c") else None


def unit_of(room, stem, suffix=".h"):
    """A file, its header and its twin are one unit."""
    unit = f"{room}/{stem.removesuffix('_none')}"
    return unit + ".c" if unit in VOCABULARY and suffix == ".c" else unit


def includes_of(path):
    for number, line in enumerate(path.read_text().splitlines(), 1):
        match = INCLUDE.match(line)
        if match:
            yield number, match.group(1)


def client_of(stem):
    """Which client program a file of that room belongs to, or "shared"."""
    first = stem.split("_", 1)[0]
    return first if first in CLIENTS else "shared"


def check_client(path, name):
    """What is wrong when a file of the client programs includes that one of their room, or None."""
    if client_of(pathlib.Path(name).stem) in {client_of(path.stem), "shared"}:
        return None
    return f'clients/{path.stem} may not know "clients/{name}", which is of another program'


def check_one(path, room, target):
    """What is wrong with this include, or None."""
    if "/" not in target:
        if target in PUBLIC.get(room, ()):
            return None
        return f'"{target}" does not name its room, or is not for {room}'
    other, name = target.split("/", 1)
    if other not in ROOMS or "/" in name:
        return f'"{target}": there is no such room'
    if not (pathlib.Path("lib") / target).exists() and not (pathlib.Path("src") / target).exists():
        return f'"{target}": there is no such file'
    if other == room == "clients":
        return check_client(path, name)
    if other == room:
        if target == "core/state.h" and path.stem in BELOW_STATE:
            return f"core/{path.stem} is below core/state.h and may not include it"
        return None
    allowed = ROOMS[room] | WIDER.get(unit_of(room, path.stem), set())
    if other not in allowed:
        return f"{room} may not include {other} (\"{target}\")"
    if other == "core" and room != "store" and name not in CORE_DOORS | CORE_DOORS_WIDER.get(room, set()):
        return f'the core is not entered by "{target}"'
    return None


def check_own_first(path, room, found):
    own = f"{room}/{path.stem.removesuffix('_none')}.h"
    exact = f"{room}/{path.stem}.h"
    for name in (exact, own):
        if path.suffix == ".c" and any((pathlib.Path(t) / name).exists() for t in ("lib", "src")):
            first = re.search(r'^\s*#\s*include\s*[<"]([^>"]+)', path.read_text(), re.M)
            if not first or first.group(1) != name:
                return [f"{path}:1: its own header \"{name}\" comes first"]
            return []
    return []


def circles(edges):
    """Every circle once, as a list of units, by a walk that keeps its own stack."""
    done, found = set(), []
    for start in sorted(edges):
        if start in done:
            continue
        path, index = [start], {start: 0}
        todo = [iter(sorted(edges[start]))]
        while todo:
            unit = next(todo[-1], None)
            if unit is None:
                todo.pop()
                last = path.pop()
                del index[last]
                done.add(last)
            elif unit in index:
                found.append(path[index[unit]:] + [unit])
            elif unit in edges and unit not in done:
                index[unit] = len(path)
                path.append(unit)
                todo.append(iter(sorted(edges[unit])))
    return found


def main():
    problems, edges = [], {}
    for path in sources():
        room = room_of(path)
        if room not in ROOMS:
            problems.append(f"{path}: not in a room that src/README.md knows")
            continue
        unit = unit_of(room, path.stem, path.suffix)
        edges.setdefault(unit, set())
        found = list(includes_of(path))
        for number, target in found:
            wrong = check_one(path, room, target)
            if wrong:
                problems.append(f"{path}:{number}: {wrong}")
            elif "/" in target:
                other, name = target.split("/", 1)
                edges[unit].add(unit_of(other, name.removesuffix(".h")))
        edges[unit].discard(unit)
        problems += check_own_first(path, room, found)
    for circle in circles(edges):
        problems.append("circle: " + " -> ".join(circle))
    print("\n".join(problems))
    return 1 if problems else 0


sys.exit(main())
