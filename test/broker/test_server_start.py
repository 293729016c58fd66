"""The program: its arguments, its listeners, its first and last lines, its exit codes."""

import re
import signal
import socket
import subprocess
import time

import mqtt_wire
import pytest
from broker_process import Broker, Log, binary, free_port

def run(*arguments, **options):
    return subprocess.run(
        [binary(), *map(str, arguments)], capture_output=True, text=True, timeout=30, **options
    )


def has_ipv6():
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


needs_ipv6 = pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")


def without_times(lines):
    for line in lines:
        assert re.match(r"\d{10,}: ", line), line
    return [line.split(": ", 1)[1] for line in lines]


class Running(Broker):
    """A broker with arguments of its own, where `PORT` stands for the port that is waited for."""

    def __init__(self, directory, arguments, lines):
        self.port = free_port()
        self.clients = []
        if lines:
            config = directory / "own.conf"
            config.write_text("\n".join(lines).replace("PORT", str(self.port)) + "\n")
            arguments = [*arguments, "-c", config]
        self.process = subprocess.Popen(
            [binary(), *(str(a).replace("PORT", str(self.port)) for a in arguments)],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )
        self.pid = self.process.pid
        self.log = Log(self.process.stdout, directory / "broker.log")
        self.await_port(self.port)


@pytest.fixture
def start(tmp_path):
    running = []

    def start_one(*arguments, lines=()):
        running.append(Running(tmp_path, arguments, lines))
        return running[-1]

    yield start_one
    for broker in running:
        broker.stop()


@pytest.mark.parametrize("option", ["-h", "--help"])
def test_help_is_an_answer(option):
    done = run(option)
    assert done.returncode == 0
    for word in ("-c", "-p", "-v", "--config-file", "--port", "--verbose", "--version"):
        assert word in done.stdout
    assert done.stderr == ""


def test_the_version_is_a_line_of_its_own():
    done = run("--version")
    assert done.returncode == 0
    assert re.fullmatch(r"mosquitto version \d+\.\d+\.\d+\n", done.stdout)


@pytest.mark.parametrize(
    "arguments",
    [["-x"], ["--no-such-option"], ["file.conf"], ["-c"], ["-p"], ["-p", "0"], ["-p", "65536"],
     ["-p", "18x"], ["-p", "-1"], ["-p", ""], ["-p", "18831"] * 11],
    ids=lambda arguments: " ".join(arguments[:2]) + f" {len(arguments)}",
)
def test_wrong_arguments_end_with_code_3(arguments):
    done = run(*arguments)
    assert done.returncode == 3
    assert done.stderr.startswith("Error: ")
    assert done.stdout == ""


def test_an_unreadable_configuration_ends_with_code_3(tmp_path):
    missing = tmp_path / "missing.conf"
    done = run("-c", missing)
    assert done.returncode == 3
    assert str(missing) in done.stderr
    assert run("-c", tmp_path).returncode == 3


def test_a_wrong_configuration_ends_with_code_3(tmp_path):
    config = tmp_path / "wrong.conf"
    config.write_text("no_such_option true\n")
    done = run("-c", config)
    assert done.returncode == 3
    assert "no_such_option" in done.stderr


def test_a_port_that_is_taken_ends_with_code_1(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        config = tmp_path / "taken.conf"
        config.write_text(f"listener {port} 127.0.0.1\n")
        done = run("-c", config)
    assert done.returncode == 1
    assert re.search(rf"Error: Address already in use \(127\.0\.0\.1:{port}\)", done.stderr)


def test_an_address_of_another_machine_ends_with_code_1(tmp_path):
    config = tmp_path / "elsewhere.conf"
    config.write_text(f"listener {free_port()} 192.0.2.1\n")
    done = run("-c", config)
    assert done.returncode == 1
    assert "192.0.2.1" in done.stderr


def test_a_configured_start_says_what_it_does(brokers):
    broker = brokers.start(verbose=False)
    broker.log.wait(r"version \S+ running$")
    version = run("--version").stdout.strip()
    expected = [
        re.escape(f"{version} starting"),
        re.escape(f"Config loaded from {broker.config}."),
        r"File descriptors: \d+ at most, of which each client takes one\.",
        f"Opening ipv4 listen socket on port {broker.port}\\.",
        r"Running as user \S+ \(uid \d+, gid \d+\)\.|Warning: Mosquitto should not be run as root/administrator\.",
        rf"Listener on port {broker.port} of 127\.0\.0\.1\b.*: reachable from this machine only, .*",
        re.escape(f"{version} running"),
    ]
    for line, pattern in zip(without_times(broker.log.lines), expected):
        assert re.fullmatch(pattern, line)
    broker.stop()
    brokers.own.remove(broker)
    last = without_times(broker.log.lines)[-2:]
    assert re.fullmatch(r"Longest turn: \d+\.\d ms of CPU\.", last[0])
    assert last[1] == f"{version} terminating"


@needs_ipv6
def test_without_a_configuration_only_this_machine_is_served(start):
    broker = start("-p", "PORT")
    broker.log.wait(r"version \S+ running$")
    lines = without_times(broker.log.lines)
    assert lines[1] == "Using default config."
    assert lines[2] == (
        "Starting in local only mode. Connections will only be possible from clients running on "
        "this machine."
    )
    assert f"Opening ipv4 listen socket on port {broker.port}." in lines
    assert f"Opening ipv6 listen socket on port {broker.port}." in lines
    for host in ("127.0.0.1", "::1"):
        client = mqtt_wire.Client(broker.port, host)
        client.connect(f"at {host}")
        client.disconnect()
    # Bound to the loopback addresses and to nothing else.
    wanted = {"0100007F", "00000000000000000000000001000000"}
    assert listening_addresses(broker.port) == wanted


def listening_addresses(port):
    found = set()
    for table in ("tcp", "tcp6"):
        with open(f"/proc/net/{table}", encoding="ascii") as rows:
            for row in rows:
                fields = row.split()
                if fields[3] == "0A" and fields[1].endswith(f":{port:04X}"):
                    found.add(fields[1].split(":")[0])
    return found


def test_a_listener_of_the_file_makes_p_void(start):
    other = free_port()
    broker = start("-p", other, lines=["listener PORT 127.0.0.1", "allow_anonymous true"])
    broker.log.wait(r"version \S+ running$")
    assert listening_addresses(other) == set()
    assert listening_addresses(broker.port) == {"0100007F"}


@needs_ipv6
def test_a_listener_without_address_serves_both_families(start):
    broker = start(lines=["listener PORT", "allow_anonymous true"])
    for host in ("127.0.0.1", "::1"):
        client = mqtt_wire.Client(broker.port, host)
        client.connect(f"at {host}")
        client.disconnect()
    assert listening_addresses(broker.port) == {"0" * 8, "0" * 32}


def test_several_listeners_are_served(start):
    second = free_port()
    broker = start(lines=["listener PORT 127.0.0.1", f"listener {second} 127.0.0.1",
                          "allow_anonymous true"])
    one = mqtt_wire.Client(broker.port)
    one.connect("one")
    two = mqtt_wire.Client(second)
    two.connect("two")
    two.subscribe("across")
    one.publish("across", "hello")
    two.take("across", "hello")
    one.disconnect()
    two.disconnect()


def test_a_new_broker_accepts_soon(tmp_path):
    port = free_port()
    config = tmp_path / "soon.conf"
    config.write_text(f"listener {port} 127.0.0.1\n")
    process = subprocess.Popen([binary(), "-c", str(config)], stderr=subprocess.DEVNULL)
    try:
        begin = time.monotonic()
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                assert time.monotonic() - begin < 5
                time.sleep(0.005)
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0


def test_closed_standard_descriptors_do_no_harm(tmp_path):
    """The log of a broker without stderr must not be written to whoever got that number."""
    port = free_port()
    config = tmp_path / "quiet.conf"
    config.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\n")
    process = subprocess.Popen(
        ["/bin/sh", "-c", f'exec "{binary()}" -v -c "{config}" <&- >&- 2>&-']
    )
    try:
        for _ in range(1000):
            try:
                client = mqtt_wire.Client(port)
                break
            except OSError:
                time.sleep(0.01)
        client.connect("quiet")
        client.quiet()
        client.disconnect()
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
