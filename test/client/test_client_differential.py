"""mosquitto_pub, _sub and _rr beside the distribution's 2.0.11, at this broker and at the distribution's.

The lines of client_cases.py are run by either make at either broker, all four at once. What Debian's programs do at
Debian's broker is the measure; client_differences.py lists to the letter what is otherwise, and why. A difference that
is not listed fails, and so does one that is listed and is none any more.
"""

import difflib
import os
import re
from concurrent.futures import ThreadPoolExecutor

import pytest
from client_cases import CASES, OurBroker, Theirs
from client_differences import KNOWN
from client_stage import HUNG, THEIR_BROKER, THEIR_CLIENTS, Stage

pytestmark = pytest.mark.skipif(
    not (os.access(THEIR_BROKER, os.X_OK) and os.access(THEIR_CLIENTS / "mosquitto_rr", os.X_OK)),
    reason="mosquitto and mosquitto-clients are not installed")

PAIRS = [(clients, broker) for clients in ("theirs", "ours") for broker in ("theirs", "ours")]
STREAMS = ("exit", "out", "err")


@pytest.fixture(scope="module")
def stage(tmp_path_factory, pki):
    stage = Stage(tmp_path_factory.mktemp("clients"), pki)
    yield stage
    stage.stop()


# What Debian's programs say of a failed handshake depends on which of two places saw it first.
FAILED_HANDSHAKE = {
    ("1", "Unable to connect (A TLS error occurred.).\n"), ("8", "Error: A TLS error occurred.\n"),
    ("1", "Unable to connect (The connection was lost.).\n"), ("7", "Error: The connection was lost.\n"),
    ("1", "Error: Protocol error\n"),
}


def differences_of(case):
    return [*case.differences, *KNOWN.get(case.name, [])]


def settle(case, clients, ended):
    """Take chance out of what these programs do."""
    wrong = []
    for one in ended:
        if clients == "theirs" and (one.exit, one.err) in FAILED_HANDSHAKE:
            one.exit, one.err = "7 or 8", "the connection failed\n"
        for known in differences_of(case):
            whose = "theirs" if isinstance(known, Theirs) else "ours"
            if known.line == one.line and whose == clients and (known.varies or isinstance(known, Theirs)):
                if not re.fullmatch(known.text, getattr(one, known.stream), re.DOTALL):
                    wrong.append(f"{one.line}: {whose} is {getattr(one, known.stream)!r}, not {known.text}")
                setattr(one, known.stream, known.text)
    return wrong


def expect(measure, differences, clients, broker):
    """What these clients should do at this broker, and what is listed in vain."""
    wanted = {(ended.line, stream): getattr(ended, stream) for ended in measure for stream in STREAMS}
    vain = []
    for difference in differences:
        key = difference.line, difference.stream
        if isinstance(difference, Theirs) or (broker if isinstance(difference, OurBroker) else clients) != "ours":
            continue
        if key not in wanted:
            vain.append(f"{key}: there is no such line")
        elif wanted[key] == difference.text:
            vain.append(f"{key}: is no difference any more")
        wanted[key] = difference.text
    return wanted, vain


def compare(name, wanted, got):
    """What differs, as text for people."""
    out = []
    for ended in got:
        for stream in STREAMS:
            text, other = wanted.get((ended.line, stream)), getattr(ended, stream)
            if text != other:
                lines = difflib.ndiff((text or "").splitlines(), other.splitlines())
                out += [f"{name}: {ended.line}: {stream} is {other!r}, not {text!r}", *(f"    {line}" for line in lines)]
    return out


@pytest.mark.parametrize("number", range(len(CASES)), ids=[case.name for case in CASES])
def test_as_theirs(stage, number):
    case = CASES[number]
    pairs = [pair for pair in PAIRS if case.online or pair[1] == "theirs"]
    with ThreadPoolExecutor(4) as pool:
        ended = list(pool.map(lambda pair: stage.play(case, number, *pair), pairs))
    hung = [(pair, [vars(one) for one in got]) for pair, got in zip(pairs, ended) if any(o.exit == HUNG for o in got)]
    assert not hung
    problems = [wrong for (clients, _), got in zip(pairs, ended) for wrong in settle(case, clients, got)]
    measure = ended[0]
    for pair, got in zip(pairs, ended):
        wanted, vain = expect(measure, differences_of(case), *pair)
        problems += vain + compare(f"clients {pair[0]}, broker {pair[1]}", wanted, got)
    assert not problems, "\n" + "\n".join(problems)


def test_there_are_many_and_each_is_there_once():
    lines = [step.label for case in CASES for step in case.steps if hasattr(step, "program")]
    assert len(lines) >= 500 and len({case.name for case in CASES}) == len(CASES)
    for case in CASES:
        labels = [step.label for step in case.steps if hasattr(step, "program")]
        assert len(labels) == len(set(labels)), f"{case.name}: the same line twice"
    assert all(difference.reason for case in CASES for difference in differences_of(case))
    assert set(KNOWN) <= {case.name for case in CASES}
