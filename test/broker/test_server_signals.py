"""Signals, reload, and where the log goes."""

import os
import re
import resource
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest
from broker_process import binary, free_port, whose
from mqtt_wire import Client, publish


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_broker_with_clients_ends_with_code_0(brokers, number):
    broker = brokers.start()
    clients = [broker.connect() for _ in range(20)]
    half = broker.client()
    half.send(b"\x10")
    begin = time.monotonic()
    broker.process.send_signal(number)
    assert broker.process.wait(10) == 0
    assert time.monotonic() - begin < 5
    for client in clients:
        client.expect_closed()
    broker.log.wait("terminating")
    brokers.own.remove(broker)
    broker.drop_clients()
    broker.log.thread.join(5)
    broker.process.stdout.close()


def test_what_came_before_the_end_is_delivered(brokers, name):
    broker = brokers.start()
    reader = broker.connect()
    reader.subscribe(name)
    writer = broker.connect()
    writer.publish(name, "last words")
    broker.process.send_signal(signal.SIGTERM)
    reader.take(name, "last words")
    reader.expect_closed()
    assert broker.process.wait(10) == 0
    brokers.own.remove(broker)
    broker.drop_clients()
    broker.log.thread.join(5)
    broker.process.stdout.close()


def test_a_reader_that_is_stuck_does_not_hold_up_the_end(brokers, name):
    broker = brokers.start("max_queued_messages 0", "max_queued_bytes 0")
    reader = broker.connect(rcvbuf=4096)
    reader.subscribe((name, 1))
    writer = broker.connect()
    for _ in range(60):
        writer.publish(name, b"z" * 100_000, qos=1)
    begin = time.monotonic()
    broker.process.send_signal(signal.SIGTERM)
    assert broker.process.wait(20) == 0
    assert time.monotonic() - begin < 8
    brokers.own.remove(broker)
    broker.drop_clients()
    broker.log.thread.join(5)
    broker.process.stdout.close()


@pytest.mark.parametrize(
    "number", [signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGPIPE, signal.SIGRTMIN]
)
def test_other_signals_end_nothing(brokers, number):
    broker = brokers.start()
    client = broker.connect()
    for _ in range(3):
        broker.process.send_signal(number)
        client.quiet()
    broker.answers()


def test_a_signal_that_the_parent_ignored_is_heard(tmp_path):
    config = tmp_path / "ignored.conf"
    config.write_text(f"listener {free_port()} 127.0.0.1\n")
    process = subprocess.Popen(
        ["/bin/sh", "-c", f'trap "" INT TERM; exec "{binary()}" -c "{config}"'],
        stderr=subprocess.PIPE, text=True,
    )
    for line in process.stderr:
        if "running" in line:
            break
    process.send_signal(signal.SIGINT)
    process.stderr.read()
    assert process.wait(10) == 0


def test_usr2_tells_what_is_going_on(brokers):
    broker = brokers.start()
    broker.connect().subscribe("a", "b")
    broker.connect()
    broker.process.send_signal(signal.SIGUSR2)
    line = broker.log.wait("Connections: ")
    assert re.search(r"Connections: 2 now, \d+ since the start\. .*Subscriptions: 2\.", line)
    broker.log.wait(r"Longest turn: \d+\.\d ms of CPU\.$")


def rewrite(broker, *lines):
    head = broker.config.read_text().splitlines()[:2]
    broker.config.write_text("\n".join([*head, *lines, *whose(lines)]) + "\n")
    since = len(broker.log.lines)
    broker.process.send_signal(signal.SIGHUP)
    broker.log.wait(r"Reloading config\.$", since)
    return since


def test_reload_takes_new_limits_and_keeps_connections(brokers):
    broker = brokers.start("max_connections 1")
    first = broker.connect()
    rewrite(broker, "max_connections 2")
    broker.connect().quiet()
    first.quiet()
    third = broker.client()
    third.expect_closed()


def test_reload_of_a_wrong_file_changes_nothing(brokers):
    broker = brokers.start("max_connections 1")
    first = broker.connect()
    since = rewrite(broker, "max_connections 5", "no_such_option 1")
    broker.log.wait("Error: The configuration was not reloaded", since)
    first.quiet()
    broker.client().expect_closed()


def test_reload_adds_and_removes_listeners(brokers):
    broker = brokers.start()
    first = broker.connect()
    port = free_port()
    since = rewrite(broker, f"listener {port} 127.0.0.1", "allow_anonymous true")
    broker.log.wait("The configuration was reloaded", since)
    second = Client(port)
    second.connect("second")
    since = rewrite(broker)
    broker.log.wait("The configuration was reloaded", since)
    with pytest.raises(OSError):
        Client(port)
    second.quiet()
    first.quiet()
    second.close()


def test_reload_that_fails_late_changes_nothing(brokers, tmp_path):
    """A port that is taken is found out when all else has been accepted; a log file after the ports."""
    broker = brokers.start("max_connections 1")
    first = broker.connect()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        free = free_port()
        since = rewrite(broker, "max_connections 5", f"listener {free} 127.0.0.1", f"listener {port} 127.0.0.1")
        broker.log.wait("Error: Address already in use", since)
        broker.log.wait("Error: The configuration was not reloaded", since)
    with pytest.raises(OSError):
        Client(free)
    broker.client().expect_closed()
    since = rewrite(broker, "max_connections 5", f"log_dest file {tmp_path}/no/such/log", f"listener {free} 127.0.0.1")
    broker.log.wait("Error: The configuration was not reloaded", since)
    with pytest.raises(OSError):
        Client(free)
    broker.client().expect_closed()
    first.quiet()
    since = rewrite(broker, "max_connections 5")
    broker.log.wait("The configuration was reloaded", since)
    broker.answers()


def test_reload_takes_a_new_log_destination(brokers, tmp_path):
    broker = brokers.start()
    path = tmp_path / "reloaded.log"
    rewrite(broker, f"log_dest file {path}", "log_timestamp false")
    await_text(path, "")
    broker.connect("visible")
    await_text(path, r"^New client connected from 127\.0\.0\.1 as visible ")
    assert not broker.log.find("visible")


def test_reload_takes_new_log_types(brokers):
    broker = brokers.start("log_type notice", "log_type information", verbose=False)
    client = broker.connect("early")
    client.quiet()
    since = rewrite(broker, "log_type debug")
    client.ping()
    broker.log.wait("Received PINGREQ from early", since)
    assert not [line for line in broker.log.lines[:since] if "PINGREQ" in line]


def await_text(path, pattern, seconds=10):
    begin = time.monotonic()
    while True:
        text = path.read_text() if path.exists() else None
        if text is not None and re.search(pattern, text, re.MULTILINE):
            return text
        assert time.monotonic() - begin < seconds, f"{pattern!r} is not in {text!r}"
        time.sleep(0.01)


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGRTMIN])
def test_a_log_file_that_was_moved_is_opened_again(brokers, tmp_path, number):
    path = tmp_path / "broker.log"
    broker = brokers.start(f"log_dest file {path}")
    await_text(path, "running")
    moved = tmp_path / "broker.log.1"
    os.rename(path, moved)
    broker.process.send_signal(number)
    await_text(path, "")
    broker.connect("after")
    await_text(path, "after")
    assert "after" not in moved.read_text()


def test_a_log_file_that_cannot_be_written_stops_nothing(brokers, tmp_path):
    broker = brokers.start(f"log_dest file {tmp_path}/no/such/directory/log")
    broker.log.wait("Unable to open log file")
    broker.answers()


def test_a_full_disk_under_the_log_stops_nothing(brokers):
    broker = brokers.start("log_dest file /dev/full")
    broker.answers()
    broker.answers()


def test_lines_of_one_turn_are_written_in_order(brokers, name):
    broker = brokers.start()
    client = broker.connect("orderly")
    client.send(b"".join(publish(f"{name}/{i}", "x") for i in range(500)))
    client.quiet()
    broker.log.wait(f"Received PUBLISH from orderly .*'{name}/499'")
    got = [re.search(rf"'{name}/(\d+)'", line) for line in broker.log.find("Received PUBLISH")]
    assert [int(match.group(1)) for match in got] == list(range(500))


def test_a_file_that_may_not_grow_is_like_a_full_disk(brokers, tmp_path):
    broker = brokers.start("log_dest stderr", f"log_dest file {tmp_path}/to.log", "log_type all")
    broker.log.wait("running$")
    size = (tmp_path / "to.log").stat().st_size
    resource.prlimit(broker.pid, resource.RLIMIT_FSIZE, (size + 100, size + 100))
    ignored = re.search(r"SigIgn:\s*(\w+)", Path(f"/proc/{broker.pid}/status").read_text()).group(1)
    assert int(ignored, 16) & 1 << (signal.SIGXFSZ - 1), "the store's write would be the end of the process"
    for _ in range(5):
        broker.answers()
