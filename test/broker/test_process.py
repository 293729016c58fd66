"""The program: command line, exit codes, signals, addresses that it listens on."""

import signal
import socket
import subprocess
import time

import pytest
from broker_process import SANITIZER, binary, environment, free_port, sanitized
from mqtt_wire import Client, Closed, publish

PATIENCE = 20


def run(*arguments, cwd=None):
    """Run the program until it ends by itself."""
    done = subprocess.run(
        [binary(), *arguments], capture_output=True, text=True, timeout=PATIENCE, env=environment(), cwd=cwd,
        stdin=subprocess.DEVNULL,
    )
    output = done.stdout + done.stderr
    assert not SANITIZER.search(output), output
    return done.returncode, output


def config(tmp_path, *lines):
    path = tmp_path / "test.conf"
    path.write_text("\n".join(lines) + "\n")
    return str(path)


def reachable(port, host):
    try:
        socket.create_connection((host, port), 2).close()
    except OSError:
        return False
    return True


class Program:
    """The program with arguments of our own, ended at the end."""

    def __init__(self, tmp_path, arguments, port):
        self.process = subprocess.Popen(
            [binary(), *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, env=environment(), cwd=tmp_path,
        )
        deadline = time.monotonic() + PATIENCE
        while not reachable(port, "127.0.0.1") and time.monotonic() < deadline:
            try:
                self.process.wait(0.02)
                break
            except subprocess.TimeoutExpired:
                continue

    def __enter__(self):
        return self.process

    def __exit__(self, *_):
        self.process.terminate()
        assert self.process.wait(PATIENCE) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_end_it_with_0(brokers, name, number):
    broker = brokers.start()
    client = broker.connect()
    broker.connect(name, clean=False).subscribe(name, qos=2)
    broker.client()
    broker.process.send_signal(number)
    with pytest.raises(Closed):
        client.recv()
    assert broker.process.wait(PATIENCE) == 0


def test_it_accepts_half_a_second_after_its_start(brokers):
    start = time.monotonic()
    brokers.start().answers()
    assert time.monotonic() - start < (5 if sanitized() else 0.5)


def test_a_broken_pipe_does_not_end_it(brokers, name):
    broker = brokers.start()
    for _ in range(20):
        reader = broker.connect()
        reader.subscribe(name)
        broker.connect().send(publish(name, "x" * 50_000) * 5)
        reader.reset()
    broker.answers()


def test_sighup_does_not_end_it(brokers, name):
    broker = brokers.start()
    client = broker.connect(name)
    broker.process.send_signal(signal.SIGHUP)
    client.quiet()
    broker.answers()


@pytest.mark.ours
@pytest.mark.parametrize("line", ["no_such_option true", "max_inflight_messages banana", "max_inflight_messages -5",
                                  "allow_anonymous perhaps", "listener", "listener 70000", "max_packet_size 5"])
def test_a_wrong_line_is_named_and_exits_with_3(tmp_path, line):
    path = config(tmp_path, "# a comment", f"listener {free_port()} 127.0.0.1", line)
    code, output = run("-c", path)
    assert code == 3
    assert line.split()[0] in output and f"{path}:3" in output, output


@pytest.mark.ours
@pytest.mark.parametrize("arguments", [["-c", "/nonexistent/file"], ["-c"], ["-p"], ["-p", "x"], ["-p", "0x"],
                                       ["--nonsense"], ["-c", "/"]])
def test_a_wrong_command_line_exits_with_3(arguments):
    code, output = run(*arguments)
    assert code == 3 and output.strip()


@pytest.mark.ours
def test_help_exits_with_0():
    code, output = run("-h")
    assert code == 0
    assert all(option in output for option in ("-c", "-p", "-v"))


def test_an_address_in_use_exits_with_1(broker, tmp_path):
    code, output = run("-c", config(tmp_path, f"listener {broker.port} 127.0.0.1"))
    assert code == 1
    assert "Address already in use" in output


def test_comments_blank_lines_and_missing_last_newline(tmp_path):
    port = free_port()
    path = tmp_path / "odd.conf"
    path.write_text(f"# comment\n\n   \n#another\nlistener {port} 127.0.0.1\r\nallow_anonymous true")
    with Program(tmp_path, ["-c", str(path)], port) as process:
        client = Client(port)
        client.connect("odd")
        client.quiet()
        client.close()
        assert process.poll() is None


def has_ipv6_loopback():
    try:
        with open("/proc/net/if_inet6", encoding="ascii") as addresses:
            return any(line.split()[5] == "lo" for line in addresses)
    except OSError:
        return False


def outside_address():
    """An address of this machine that is not the loopback's, or None."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
            address = probe.getsockname()[0]
        except OSError:
            return None
    return None if address.startswith("127.") else address


@pytest.mark.parametrize("with_file", [False, True])
def test_without_a_listener_p_gives_a_local_port(tmp_path, with_file):
    port = free_port()
    arguments = ["-p", str(port)]
    if with_file:
        arguments += ["-c", config(tmp_path, "max_queued_messages 10")]
    with Program(tmp_path, arguments, port):
        client = Client(port)
        client.connect("local")
        client.quiet()
        client.close()
        if has_ipv6_loopback():
            assert reachable(port, "::1")
        if outside_address():
            assert not reachable(port, outside_address())


def test_with_a_listener_p_is_ignored(tmp_path):
    port, ignored = free_port(), free_port()
    path = config(tmp_path, f"listener {port} 127.0.0.1", "allow_anonymous true")
    with Program(tmp_path, ["-c", path, "-p", str(ignored), "-v"], port):
        client = Client(port)
        client.connect("listener")
        client.close()
        assert not reachable(ignored, "127.0.0.1")


def test_port_and_bind_address(tmp_path):
    port = free_port()
    path = config(tmp_path, f"port {port}", "bind_address 127.0.0.1", "allow_anonymous true")
    with Program(tmp_path, ["-c", path], port):
        client = Client(port)
        client.connect("old style")
        client.quiet()
        client.close()
        if outside_address():
            assert not reachable(port, outside_address())


def test_anonymous_clients_need_permission_once_there_is_a_listener(tmp_path):
    """Since 2.0: who opens a door to others says who may come in."""
    port = free_port()
    with Program(tmp_path, ["-c", config(tmp_path, f"listener {port} 127.0.0.1")], port):
        client = Client(port)
        with pytest.raises(AssertionError, match="code"):
            client.connect("anonymous")
        client.close()
