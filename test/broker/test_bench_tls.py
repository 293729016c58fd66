"""mosquitto_bench by TLS: what it shows, what it checks, and that all arrives."""

import pytest
from broker_process import free_port
from test_bench import bench, measured

KEY = "0102030405060708"


class Encrypted:
    """A broker with one TLS listener, as test_bench's helpers want one."""

    def __init__(self, brokers, *lines):
        self.port = free_port()
        self.broker = brokers.start(
            "max_queued_messages 0", f"listener {self.port} 127.0.0.1", "allow_anonymous true", *lines, verbose=False
        )
        self.broker.await_port(self.port)
        self.pid = self.broker.pid


@pytest.fixture
def door(brokers, pki):
    return Encrypted(brokers, *pki.tls())


@pytest.mark.parametrize("version", ["tlsv1.2", "tlsv1.3"])
@pytest.mark.parametrize("scenario, size", [("pairs", 64), ("fanout", 64), ("fanin", 64), ("pairs", 100000)])
def test_load_arrives_whole(door, pki, scenario, size, version):
    found = measured(
        door, "--cafile", pki.ca.cert, "--tls-version", version, "-n", 5, "-q", 1, "-s", size, "-m", 200, scenario
    )
    assert found["ok"] is True
    assert found["delivered"] == (1000 if scenario == "fanout" else 200)
    assert found["lost"] == found["duplicates"] == found["reordered"] == 0


@pytest.mark.parametrize("scenario, more", [("connect", ["-m", 20]), ("idle", ["--subscribe"])])
def test_connections_without_load(door, scenario, more):
    arguments = ["--warmup", 0] if scenario == "connect" else []
    run = bench("-p", door.port, "--pid", door.pid, "--insecure", "-n", 5, *arguments, *more, scenario)
    assert run.returncode == 0, run.stderr


def test_by_a_certificate(brokers, pki):
    door = Encrypted(brokers, *pki.tls(), f"cafile {pki.ca.cert}", "require_certificate true")
    pair = pki.client("bench")
    shown = ["--cafile", pki.ca.cert, "--cert", pair.cert, "--key", pair.key]
    assert measured(door, *shown, "-n", 2, "-m", 20, "pairs")["delivered"] == 20
    assert bench("-p", door.port, "--insecure", "-n", 2, "-m", 20, "pairs").returncode == 1


def test_by_a_pre_shared_key(brokers, tmp_path):
    (tmp_path / "keys").write_text(f"bench:{KEY}\n")
    door = Encrypted(brokers, "psk_hint hint", f"psk_file {tmp_path}/keys")
    shown = ["--psk-identity", "bench", "--psk"]
    assert measured(door, *shown, KEY, "-n", 2, "-m", 20, "pairs")["delivered"] == 20
    run = bench("-p", door.port, *shown, "99", "-n", 2, "-m", 20, "pairs")
    assert run.returncode == 1
    assert "TLS handshake: " in run.stderr


def test_another_authority_is_not_believed(door, pki):
    run = bench("-p", door.port, "--cafile", pki.stranger.cert, "-m", 20, "pairs")
    assert run.returncode == 1
    assert "TLS handshake: certificate verify failed" in run.stderr


@pytest.mark.parametrize("arguments, words", [
    (["--cert", "x"], "--cert and --key need each other"),
    (["--psk", "00"], "--psk and --psk-identity need each other"),
    (["--cert", "x", "--key", "x"], "--cert needs --cafile, --insecure or --psk"),
    (["--tls-version", "tlsv1.2"], "--tls-version needs --cafile, --insecure or --psk"),
    (["--insecure", "--tls-version", "tlsv1"], '--tls-version: "tlsv1" is not possible; tlsv1.2 or tlsv1.3 is wanted'),
])
def test_options_that_belong_together(arguments, words):
    run = bench(*arguments, "pairs")
    assert run.returncode == 2
    assert words in run.stderr


@pytest.mark.parametrize("arguments, words", [
    (["--cafile", "/nowhere"], '--cafile: "/nowhere" cannot be used: '),
    (["--psk", "xyz", "--psk-identity", "x"], "--psk: 1 to 256 bytes in hexadecimal are wanted"),
])
def test_values_that_cannot_be_used(arguments, words):
    run = bench(*arguments, "pairs")
    assert run.returncode == 1
    assert words in run.stderr
