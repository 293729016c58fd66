"""Connections: how many, without descriptors, and how they end."""

import ctypes
import os
import resource
import select
import socket
import struct
import threading
import time
from pathlib import Path

import pytest
from listener_tools import descriptors
from mqtt_wire import BYE, CONNACK, PING, Closed, connect, publish, subscribe

PIDFD_GETFD = 438  # the system call, by its number on every machine


def cpu_seconds(broker):
    fields = Path(f"/proc/{broker.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / 100


def kept_waiting(broker):
    """Seconds for which broker and test could have run, but others had the processors."""
    threads = f"/proc/{broker.pid}/schedstat", f"/proc/self/task/{threading.get_native_id()}/schedstat"
    return sum(int(Path(thread).read_text().split()[1]) for thread in threads) / 1e9


def idle_cpu(broker, seconds=1.0):
    """CPU seconds that the broker uses while nobody does anything."""
    before = cpu_seconds(broker)
    time.sleep(seconds)
    return cpu_seconds(broker) - before


def test_one_more_than_max_connections_is_closed_without_an_answer(brokers):
    broker = brokers.start("max_connections 2")
    one = broker.connect()
    two = broker.connect()
    three = broker.client()
    three.send_if_open(connect("three"))
    three.expect_closed()
    broker.log.wait(
        rf"Client connection from 127\.0\.0\.1:\d+ denied: max_connections exceeded \(2 on port {broker.port}\)\.$"
    )
    one.quiet()
    two.disconnect()
    four = broker.connect()
    four.quiet()


def test_a_storm_of_refusals_does_not_fill_the_log(brokers):
    broker = brokers.start("max_connections 1")
    broker.connect()
    for _ in range(300):
        with socket.create_connection(("127.0.0.1", broker.port)) as refused:
            refused.settimeout(5)
            try:
                assert refused.recv(1) == b""
            except ConnectionResetError:
                pass
    broker.log.wait("denied: max_connections exceeded")
    assert len(broker.log.find("max_connections exceeded")) < 20


def test_max_connections_is_each_listeners_own(brokers):
    broker = brokers.start("max_connections 1")
    broker.connect()
    other = brokers.start("max_connections 1")
    other.connect()


def test_without_free_descriptors_the_broker_goes_on(brokers):
    broker = brokers.start()
    first = broker.connect()
    used = len(list(Path(f"/proc/{broker.pid}/fd").iterdir()))
    resource.prlimit(broker.pid, resource.RLIMIT_NOFILE, (used + 3, used + 3))
    inside = [broker.connect() for _ in range(3)]
    outside = [broker.client() for _ in range(20)]
    for client in outside:
        client.expect_closed()
    broker.log.wait("No free file descriptors")
    assert idle_cpu(broker) < 0.3
    assert len(broker.log.wait_for(1, "No free file descriptors")) == 1
    first.quiet()
    inside.pop().disconnect()
    for _ in range(100):
        late = broker.client()
        late.send_if_open(connect("late"))
        try:
            late.expect(CONNACK, code=0)
            break
        except Closed:
            time.sleep(0.05)
    late.quiet()


def test_a_thousand_connections_come_and_go(broker):
    for _ in range(5):
        sockets = [socket.create_connection(("127.0.0.1", broker.port)) for _ in range(200)]
        for index, sock in enumerate(sockets):
            sock.sendall(connect(f"many{index}"))
        for sock in sockets:
            sock.settimeout(15)
            assert sock.recv(4) == b"\x20\x02\x00\x00"
            sock.close()
    broker.answers()


@pytest.mark.parametrize("attempt", range(5))
def test_a_refusal_arrives_even_when_more_was_sent(broker, attempt):
    """Unread bytes at close would reset the connection, and the CONNACK could be lost with it."""
    client = broker.client()
    client.send(connect("refused", level=9) + PING * 1000)
    for _ in range(10):
        client.send(PING * 100)
        time.sleep(0.005)
    assert client.expect_half(4) == b"\x20\x02\x00\x01"
    assert client.sock.recv(1) == b""
    client.send(PING)
    time.sleep(0.05)
    assert client.sock.recv(1) == b"", "it must be an end, not a reset"


def test_refused_peers_that_stay_do_not_take_all_descriptors(brokers):
    """They count for no limit any more, and so there is one for them."""
    broker = brokers.start("max_connections 5", "log_type none", verbose=False)
    most = 0
    stay = []
    for number in range(900):
        client = socket.create_connection(("127.0.0.1", broker.port))
        client.sendall(connect("stays", level=9))
        assert client.recv(4) == b"\x20\x02\x00\x01"
        stay.append(client)
        if number % 50 == 49:
            most = max(most, descriptors(broker))
    for client in stay:
        client.close()
    assert most < 350


def test_a_refused_peer_that_stays_is_cut_off(broker):
    client = broker.client()
    client.send(connect("stays", level=9))
    client.expect(CONNACK, code=1)
    client.expect_closed()
    begin = time.monotonic()
    while time.monotonic() - begin < 10:
        try:
            client.send(PING)
        except OSError:
            return
        time.sleep(0.05)
    raise AssertionError("a connection that was refused is still open")


def test_what_was_sent_before_the_end_counts(broker, name):
    """Bytes and the end of the stream at once: the bytes come first."""
    reader = broker.connect()
    reader.subscribe(name)
    for number in range(50):
        client = broker.client()
        client.send(connect(f"{name}-{number}") + publish(name, str(number)) + BYE)
        client.close()
        reader.take(name, str(number))


def test_a_peer_that_only_half_closes_is_gone(broker, name):
    watcher = broker.connect()
    watcher.subscribe(name)
    client = broker.connect(will={"topic": name, "payload": "gone"})
    client.sock.shutdown(socket.SHUT_WR)
    watcher.take(name, "gone")
    client.expect_closed()


def test_a_reset_is_noticed(broker, name):
    watcher = broker.connect()
    watcher.subscribe(name)
    broker.connect(will={"topic": name, "payload": "reset"}).reset()
    watcher.take(name, "reset")


def test_an_idle_broker_costs_nothing(brokers):
    broker = brokers.start()
    clients = [broker.connect() for _ in range(50)]
    half = [broker.client() for _ in range(50)]
    for client in half:
        client.send(connect("half")[:5])
    refused = broker.client()
    refused.send(connect("refused", level=9))
    broker.answers()
    assert idle_cpu(broker, 1.5) < 0.1
    for client in clients:
        client.quiet()


def test_a_reader_that_is_behind_costs_no_cpu_and_gets_all(brokers, name):
    broker = brokers.start("max_queued_messages 0", "max_queued_bytes 0")
    reader = broker.connect(rcvbuf=4096)
    reader.subscribe((name, 1))
    writer = broker.connect()
    payload = b"z" * 100_000
    for _ in range(60):
        writer.publish(name, payload, qos=1)
    assert idle_cpu(broker) < 0.1
    for _ in range(60):
        reader.take(name, payload, qos=1)
    reader.quiet()


def test_a_reader_that_resets_while_it_is_behind_is_let_go(brokers, name):
    broker = brokers.start("max_queued_messages 0", "max_queued_bytes 0")
    reader = broker.connect("slow", rcvbuf=4096)
    reader.subscribe((name, 1))
    writer = broker.connect()
    for _ in range(60):
        writer.publish(name, b"z" * 100_000, qos=1)
    reader.reset()
    writer.quiet()
    broker.log.wait("Client slow .*disconnected")
    assert idle_cpu(broker) < 0.1


def test_one_that_floods_does_not_hold_up_the_others(broker, name):
    flood = publish(f"{name}/flood", b"x" * 16) * 20_000
    flooders = [broker.connect() for _ in range(4)]
    receivers = [broker.connect() for _ in range(20)]
    for receiver in receivers:
        receiver.subscribe(f"{name}/flood")
        receiver.sock.setblocking(False)
    other = broker.connect()
    other.subscribe(f"{name}/calm")
    for flooder in flooders:
        flooder.sock.setblocking(False)
    sent = [0] * len(flooders)
    worst = 0.0
    begin = time.monotonic()
    while time.monotonic() - begin < 2:
        _, writable, _ = select.select([], [f.sock for f in flooders], [], 0)
        for index, flooder in enumerate(flooders):
            if flooder.sock in writable:
                offset = sent[index] % len(flood)
                sent[index] += flooder.sock.send(flood[offset : offset + 65536])
        for receiver in receivers:
            try:
                receiver.sock.recv(1 << 20)
            except BlockingIOError:
                pass
        asked = time.monotonic() - kept_waiting(broker)
        other.send(PING)
        other.expect_half(2)
        worst = max(worst, time.monotonic() - kept_waiting(broker) - asked)
    assert sum(sent) > 100_000
    assert worst < 1.0


def accepted_sockets(broker):
    """Copies of the broker's own sockets to its clients (pidfd_getfd), to ask for their options."""
    pidfd = os.pidfd_open(broker.pid)
    try:
        for name in os.listdir(f"/proc/{broker.pid}/fd"):
            fd = ctypes.CDLL(None).syscall(PIDFD_GETFD, pidfd, int(name), 0)
            if fd < 0:
                pytest.skip("this machine does not let us look at another process's sockets")
            try:
                sock = socket.socket(fileno=fd)
            except OSError:
                os.close(fd)
                continue
            with sock:
                if sock.family == socket.AF_INET and not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                    yield sock
    finally:
        os.close(pidfd)


def test_accepted_connections_send_small_packets_at_once(broker):
    broker.connect()
    options = [s.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) for s in accepted_sockets(broker)]
    assert options and all(options)


def test_a_connection_reset_before_it_is_accepted_does_no_harm(broker):
    for _ in range(100):
        sock = socket.create_connection(("127.0.0.1", broker.port))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.close()
    broker.answers()
