"""Paho for C, both its clients, compiled here from the two programs beside this file."""

import subprocess
from pathlib import Path

import pytest
from foreign import need, run

HERE = Path(__file__).resolve().parent


def compiled(tmp_path_factory, source, library):
    compiler = need("cc")
    program = tmp_path_factory.mktemp("paho") / source
    probe = subprocess.run(
        [compiler, "-E", "-x", "c", "-"], input=b"#include <MQTTAsync.h>\n", stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    if probe.returncode:
        pytest.skip("Paho's C library (libpaho-mqtt-dev) is not installed")
    run(compiler, "-std=c17", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror", "-o", program,
        HERE / f"{source}.c", f"-l{library}", "-lpthread")
    return program


@pytest.fixture(scope="module")
def sync(tmp_path_factory):
    return compiled(tmp_path_factory, "paho_sync", "paho-mqtt3c")


@pytest.fixture(scope="module")
def asynchronous(tmp_path_factory):
    return compiled(tmp_path_factory, "paho_async", "paho-mqtt3a")


@pytest.mark.statements("MQTT-7.0.0-2")
@pytest.mark.parametrize("qos", [0, 1, 2])
@pytest.mark.parametrize("version", [3, 4])
def test_round_trips(broker, name, sync, qos, version):
    run(sync, f"tcp://127.0.0.1:{broker.port}", name, qos, version)


@pytest.mark.parametrize("qos", [1, 2])
def test_a_lasting_session(broker, name, asynchronous, qos):
    where = f"tcp://127.0.0.1:{broker.port}"
    run(asynchronous, where, name + "r", name, qos, "subscribe")
    run(asynchronous, where, name + "w", name, qos, "publish")
    run(asynchronous, where, name + "r", name, qos, "receive")
