"""The client library while its broker dies again and again: a short run of soak.py.

A failure prints the seed, and SOAK_SEED=… takes that one.
"""

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
from broker_process import sanitized
from soak import library_beside

SCRIPT = Path(__file__).with_name("soak.py")
SECONDS = 10
LIMIT = 150


@pytest.mark.slow
@pytest.mark.skipif(not library_beside().exists(), reason="there is no libmosquitto beside the broker")
def test_nothing_is_lost_doubled_or_out_of_order(tmp_path):
    seed = os.environ.get("SOAK_SEED", str(random.SystemRandom().randrange(1 << 32)))
    rate = "60" if sanitized() else "200"
    run = subprocess.run(
        [sys.executable, "-B", SCRIPT, "--seconds", str(SECONDS), "--seed", seed, "--rate", rate, "--directory", tmp_path],
        capture_output=True, text=True, timeout=SECONDS + LIMIT, check=False)
    print(run.stdout)
    assert run.returncode == 0, f"SOAK_SEED={seed}\n{run.stdout[-6000:]}\n{run.stderr[-3000:]}"
    assert " 0 messages at QoS" not in run.stdout
