"""Killed at random moments under load, the broker keeps what it acknowledged: a short run of crash_rounds.py.

A failure prints the seed; CRASH_SEED=… takes that one, crash_rounds.py takes as many rounds as there is
patience for.
"""

import os
import random

import pytest
from crash_rounds import Kill, Rounds, parser_of

SEEDS = [int(text) for text in os.environ.get("CRASH_SEED", "").split(",") if text] or [
    random.SystemRandom().randrange(1 << 32) for _ in range(2)
]


@pytest.mark.parametrize("mode", ["write", "fsync"])
@pytest.mark.parametrize("number", range(len(SEEDS)))
def test_what_was_acknowledged_survives_kills(tmp_path, number, mode):
    seed = SEEDS[number]
    options = parser_of("").parse_args(
        ["--rounds", "3", "--settle", "3", "--load", "20,200", "--mode", mode, "--seed", str(seed)]
    )
    rounds = Rounds(options, str(tmp_path), Kill())
    try:
        rounds.run()
    finally:
        rounds.end()
    faults = rounds.world.faults
    assert not faults.total(), f"seed {seed}, {mode}: {rounds.summary()}\n" + "\n".join(faults.details)
    assert rounds.world.messages.acknowledged() > 0, rounds.summary()
