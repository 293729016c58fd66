"""MQTT.js, fetched by npm into the build directory when node and npm are there."""

import fcntl
import os
import subprocess
from pathlib import Path

import pytest
from broker_process import ROOT
from foreign import need, run

HERE = Path(__file__).resolve().parent
PACKAGE = "mqtt@5"


@pytest.fixture(scope="module")
def library():
    """The directory of node modules with MQTT.js in it. One test process fetches, others wait."""
    node, npm = need("node", "npm")
    place = ROOT / "build" / "mqttjs"
    place.mkdir(parents=True, exist_ok=True)
    with open(place / "lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (place / "node_modules" / "mqtt" / "package.json").exists():
            done = subprocess.run(
                [npm, "install", "--prefix", str(place), "--no-save", "--no-package-lock", "--no-audit", "--no-fund",
                 "--ignore-scripts", PACKAGE],
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=180, cwd=place,
            )
            if done.returncode:
                pytest.skip(f"npm cannot fetch {PACKAGE}: {done.stdout.decode(errors='replace')[-300:]}")
    return node, place / "node_modules"


@pytest.mark.statements("MQTT-7.0.0-2")
@pytest.mark.parametrize("qos", [0, 1, 2])
@pytest.mark.parametrize("version", [3, 4])
def test_round_trips(broker, name, library, qos, version):
    node, modules = library
    run(node, HERE / "mqttjs_roundtrip.js", broker.port, name, qos, version,
        env={**os.environ, "NODE_PATH": str(modules)})
