"""Bridges of ours beside those of the distribution's mosquitto 2.0.11: the same at the remote and at this side.

The same scenario is played with both as the bridging side, towards a remote of the test's own, and what was seen is
compared line by line. Where ours means to differ, the difference stands once in the table below with its reason.
Anything else fails, and so does a difference that is not there any more.

2.0.11 looks after its bridges every five seconds. So all scenarios of a test run are played beside each other, by one
of the test processes, and the others wait for its files.
"""

import concurrent.futures
import difflib
import json
import os
import re
import time
import traceback

import pytest
from bridge_scenarios import SCENARIOS
from bridge_stage import BridgeStage
from peer_broker import PEER, makes, peer_is_there

pytestmark = pytest.mark.skipif(not peer_is_there(), reason=f"there is no {PEER} to compare with")

AT_ONCE = 16
LIMIT = 300.0
SIDES = ("theirs", "ours")


class Difference:
    """What ours does otherwise, and why.

    Each side is a list of patterns with what they become (None: the line goes), so that both become the same. It
    holds in the scenarios of `where`, and is seen in each of them; without `where` it holds in all, and is seen in the
    first one.
    """

    def __init__(self, reason, where=None, theirs=(), ours=()):
        self.reason = reason
        self.where = where
        self.theirs = theirs
        self.ours = ours


DIFFERENCES = [
    Difference(
        "brokers of ours tell each other who they are, so that no message goes round between them",
        ours=[(r"^remote: SUBSCRIBE \$SYS/broker/peer/ID q0$", None)],
    ),
    Difference(
        "a remote that knows nothing of bridges may also close without an answer, as the manual page says",
        where=["private_refused_by_closing", "private_refused_by_closing_once"],
        ours=[(r"\A(CONNECT.*\nCONNECT MQTT level )0x4,", r"\g<1>0x84,")],
    ),
    Difference(
        "2.0.11 reads bridge_bind_address and connects from anywhere", where=["bind_address"],
        theirs=[(r"^127\.0\.0\.1$", "127.0.0.3")],
    ),
    Difference(
        "ours says that it goes; at 2.0.11's end the remote learns of it by the will",
        where=["clean_end"],
        ours=[(r"^remote: (state/of/bridge q1 r1 '0'|DISCONNECT)$", None)],
    ),
    Difference(
        "2.0.11 unsubscribes what it has just subscribed, when another line says `out` of the same",
        where=["everything_by_two_lines"],
        theirs=[(r"^remote: UNSUBSCRIBE #$", None)],
    ),
    Difference(
        "what does not begin with the prefix is not mapped: `#` means the level before as well, and 2.0.11 puts the "
        "other prefix before the whole of it", where=["prefixes_out"],
        theirs=[(r"^remote: there/here q. r0 'here .'$", None)],
    ),
    Difference(
        "the same inwards", where=["prefixes_in"], theirs=[(r"^local: here/there q. r0 'there .'$", None)],
    ),
    Difference(
        "nobody has asked the remote for that: 2.0.11 takes it under its own name",
        where=["what_no_line_maps_inwards"],
        theirs=[(r"^local: (near/x|far/b) q. r0 '.*'$", None)],
    ),
    Difference(
        "2.0.11 sends retained messages twice when it comes again",
        where=["retained_out", "outgoing_retain_false", "retained_in_does_not_go_back"],
        theirs=[(r"^(remote: a/x q1 r. 'kept')\n\1$", r"\1")],
    ),
    Difference(
        "2.0.11 sends retained messages twice when it comes again", where=["retained_at_each_qos_when_it_comes"],
        theirs=[(r"^(remote: there/a/x .*\n)(remote: b/x .*\n)(remote: c/x .*\n)\1\3", r"\1\2\3")],
    ),
    Difference(
        "2.0.11 (that of Debian) never connects a bridge that is to start once", where=["start_type_once"],
        theirs=[(r"^comes: False$", "comes: True")],
        ours=[(r"^(CONNECT|remote:|again: False)", None)],
    ),
    Difference(
        "2.0.11 sends what came last before what it was started by, and does not end when it is idle",
        where=["start_type_lazy"],
        theirs=[(r"((?:^remote: a/x .* 'message [45]'\n)+)((?:^remote: a/x .* 'message [123]'\n)+)", r"\2\1")],
        ours=[(r"^remote: (\$SYS/broker/connection/HOST.b/state q1 r1 '0'|DISCONNECT|closed)$", None)],
    ),
    Difference(
        "a bridge's session is its own: 2.0.11 lets a client take it over", where=["a_client_with_the_bridges_id"],
        theirs=[(r"code=0\)$", "code=2)")],
    ),
]


def common(name, lines, side):
    """The lines as far as both should have them, and the differences that were not there."""
    text = "".join(line + "\n" for line in lines)
    absent = []
    for difference in DIFFERENCES:
        if difference.where is None or name in difference.where:
            for pattern, instead in getattr(difference, side):
                whole = pattern if instead is not None else pattern + r"[^\n]*\n"
                text, found = re.subn(whole, instead or "", text, flags=re.MULTILINE)
                if not found and (difference.where or name == "defaults"):
                    absent.append(f"{side}: {pattern} ({difference.reason})")
    return text.splitlines(), absent


# --- all scenarios, once ------------------------------------------------------------------------------


def play(program, side, name, directory):
    """One scenario with one make; what came of it, as a file."""
    stage = BridgeStage(program, directory / f"{name}-{side}")
    try:
        outcome = SCENARIOS[name].on(stage)
        found = {"code": outcome.code, "notes": outcome.notes}
    except Exception:  # whatever it was, the test that waits shows it
        found = {"failed": traceback.format_exc(limit=-4), "notes": [stage.name_things(note) for note in stage.notes]}
    finally:
        stage.kill_if_alive()
    part = directory / f"{name}-{side}.part"
    part.write_text(json.dumps(found), encoding="utf-8")
    part.rename(directory / f"{name}-{side}.json")


def play_all(names, directory):
    pool = concurrent.futures.ThreadPoolExecutor(AT_ONCE)
    for side, program in zip(SIDES, makes()):
        for name in names:
            pool.submit(play, program, side, name, directory)
    return pool


@pytest.fixture(scope="session")
def outcomes(request, tmp_path_factory):
    """A function: what came of a scenario, theirs and ours. One test process plays them all."""
    base = tmp_path_factory.getbasetemp()
    directory = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "bridge-differential"
    try:
        directory.mkdir()
        wanted = {item.callspec.params["name"] for item in request.session.items
                  if item.function is test_the_same_comes_of_it}
        pool = play_all([name for name in SCENARIOS if name in wanted], directory)
    except FileExistsError:
        pool = None

    def get(name):
        limit = time.monotonic() + LIMIT
        paths = [directory / f"{name}-{side}.json" for side in SIDES]
        while not all(path.exists() for path in paths):
            assert time.monotonic() < limit, f"nobody has played {name}"
            time.sleep(0.05)
        return [json.loads(path.read_text(encoding="utf-8")) for path in paths]

    yield get
    if pool:
        pool.shutdown()  # others may still wait for them


def test_there_are_enough_of_them():
    assert len(SCENARIOS) >= 40


def test_every_difference_has_its_scenarios():
    named = {name for difference in DIFFERENCES for name in difference.where or ()}
    assert not named - SCENARIOS.keys()


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_same_comes_of_it(outcomes, name):
    lines, absent = [], []
    for side, found in zip(SIDES, outcomes(name)):
        if "failed" in found:
            notes = "\n".join(found["notes"])
            pytest.fail(f"{side} did not come to its end: {found['failed']}\n{notes}", pytrace=False)
        assert found["code"] == 0, f"{side}: exit code {found['code']}"
        same, missing = common(name, found["notes"], side)
        lines.append(same)
        absent += missing
    delta = list(difflib.unified_diff(*lines, *SIDES, lineterm="", n=2))
    if delta:
        pytest.fail("what was seen differs:\n" + "\n".join(delta), pytrace=False)
    assert not absent, "differences that are not there any more:\n" + "\n".join(absent)
