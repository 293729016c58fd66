"""A bridge between two brokers while everything goes wrong: a short run of bridge_chaos.py.

In a network of its own where root may have one; a failure prints the seed, and CHAOS_SEED=… takes that one.
"""

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
from broker_process import sanitized

SCRIPT = Path(__file__).with_name("bridge_chaos.py")
SECONDS = 20
LIMIT = 150  # two minutes for all to heal


@pytest.mark.slow
def test_a_bridge_loses_doubles_and_reorders_nothing(tmp_path):
    seed = os.environ.get("CHAOS_SEED", str(random.SystemRandom().randrange(1 << 32)))
    rate = "150" if sanitized() else "400"
    run = subprocess.run(
        [sys.executable, "-B", str(SCRIPT), "--seconds", str(SECONDS), "--seed", seed, "--rate", rate,
         "--directory", str(tmp_path)],
        capture_output=True, text=True, timeout=SECONDS + LIMIT, check=False,
    )
    print(run.stdout)
    assert run.returncode == 0, f"CHAOS_SEED={seed}\n{run.stdout[-6000:]}\n{run.stderr[-3000:]}"
    assert " 0 messages at QoS" not in run.stdout
