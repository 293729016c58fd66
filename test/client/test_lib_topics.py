"""Filters and topics by the hundred thousand: the library answers as the distribution's does, and as a plain model says.

Random levels out of few letters, so that many match nearly. For what is not valid, where the two libraries differ, the model
decides alone.
"""

import ctypes
import random

import pytest
from lib_programs import library, sanitizers
from test_lib_abi import their_library

INVAL = 3
ROUNDS = 100_000
LEVELS = ["", "a", "b", "ab", "$a", "+", "#", "a+", "#b", "$share"]
WEIGHTS = [3, 6, 6, 2, 1, 3, 2, 0.3, 0.3, 0.3]


def load(path):
    if sanitizers(path):
        pytest.skip("a library with a sanitizer cannot be loaded into this program")
    found = ctypes.CDLL(str(path))
    for name in ("mosquitto_topic_matches_sub", "mosquitto_topic_matches_sub2"):
        getattr(found, name).restype = ctypes.c_int
    return found


def ask(lib, filter_, topic):
    """(error, answer)"""
    result = ctypes.c_bool(False)
    error = lib.mosquitto_topic_matches_sub(filter_.encode(), topic.encode(), ctypes.byref(result))
    return error, result.value


def ask_with_lengths(lib, filter_, topic):
    """The same out of longer strings, which must not matter."""
    result = ctypes.c_bool(False)
    error = lib.mosquitto_topic_matches_sub2(
        filter_.encode() + b"/x", ctypes.c_size_t(len(filter_)), topic.encode() + b"+", ctypes.c_size_t(len(topic)),
        ctypes.byref(result))
    return error, result.value


def is_filter(text):
    levels = text.split("/")
    alone = all(level in ("+", "#") or not set(level) & set("+#") for level in levels)
    return bool(text) and alone and "#" not in levels[:-1]


def is_name(text):
    return bool(text) and not set(text) & set("+#")


def matches(filter_, topic):
    """MQTT 3.1.1, 4.7, word by word."""
    if topic[0] == "$" and filter_[0] in "+#":
        return False
    want, have = filter_.split("/"), topic.split("/")
    if want[-1] == "#":
        want = want[:-1]
        if len(have) < len(want):
            return False
        have = have[:len(want)]
    return len(want) == len(have) and all(w in ("+", h) for w, h in zip(want, have))


def pairs():
    rng = random.Random(4_7)
    for _ in range(ROUNDS):
        yield tuple("/".join(rng.choices(LEVELS, WEIGHTS, k=rng.randint(1, 4))) for _ in range(2))


def some_names():
    """The same, but only what can be asked."""
    rng = random.Random(4_71)
    names = [level for level in LEVELS if not set(level) & set("+#")]
    for _ in range(ROUNDS):
        topic = "/".join(rng.choices(names, k=rng.randint(1, 4)))
        filter_ = "/".join(level if rng.random() < 0.6 else "+" for level in topic.split("/"))
        if rng.random() < 0.3:
            filter_ = filter_.rsplit("/", 1)[0] + "/#"
        if topic and is_filter(filter_):
            yield filter_, topic


@pytest.mark.parametrize("form", [ask, ask_with_lengths])
def test_answers_are_those_of_a_model(form):
    lib = load(library())
    seen = set()
    for filter_, topic in (*pairs(), *some_names()):
        valid = is_filter(filter_) and is_name(topic)
        expected = (0, matches(filter_, topic)) if valid else (INVAL, False)
        assert form(lib, filter_, topic) == expected, (filter_, topic)
        seen.add(expected)
    assert seen == {(0, True), (0, False), (INVAL, False)}


def test_answers_are_theirs():
    ours, theirs = load(library()), load(their_library())
    assert ours._handle != theirs._handle
    count = 0
    for filter_, topic in (*pairs(), *some_names()):
        if is_filter(filter_) and is_name(topic):
            assert ask(ours, filter_, topic) == ask(theirs, filter_, topic), (filter_, topic)
            count += 1
    assert count > ROUNDS / 2
