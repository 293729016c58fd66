"""When a bridge connects, and to which of its addresses."""

import contextlib
import re
import select
import time

import pytest
from broker_process import free_port, sanitized
from mqtt_wire import CONNECT, PATIENCE, Closed, publish
from remote_broker import longest_turn, remote, remotes, section  # noqa: F401

pytestmark = pytest.mark.ours  # others wait between addresses, or forget what they come from
OUT = ("topic a/# out 1",)


def send(broker, *payloads):
    writer = broker.connect()
    for payload in payloads:
        writer.publish("a/1", payload, qos=1)
    writer.close()


def whoever(*remotes):
    """The one of these at which a connection arrives first."""
    ready, _, _ = select.select([remote.socket for remote in remotes], [], [], PATIENCE)
    assert ready, "no connection came"
    return next(remote for remote in remotes if remote.socket in ready)


# --- start_type ---


def test_a_lazy_one_waits_for_enough(brokers, remote):
    broker = brokers.start(*section(remote, *OUT, "start_type lazy", "threshold 3", "idle_timeout 1"))
    send(broker, "1", "2")
    remote.nobody(0.3)
    send(broker, "3")
    link = remote.welcome(outs=["a/#"])
    assert [p.payload for p in link.take_many(3)] == [b"1", b"2", b"3"]
    assert link.expect_end(), "no DISCONNECT"
    broker.log.wait(r"Bridge connection b has exceeded idle timeout, disconnecting\.")
    send(broker, "4", "5")
    remote.nobody(0.3)
    send(broker, "6")
    link = remote.welcome(outs=["a/#"], present=True)
    assert [p.payload for p in link.take_many(3)] == [b"4", b"5", b"6"]


def test_a_lazy_one_stays_while_there_is_something_to_do(brokers, remote):
    broker = brokers.start(*section(remote, *OUT, "start_type lazy", "threshold 1", "idle_timeout 1"))
    send(broker, "first")
    link = remote.welcome(outs=["a/#"])
    link.take("a/1", "first")
    begun = time.monotonic()
    while time.monotonic() - begun < 1.5:
        send(broker, "more")
        link.take("a/1", "more")
        with pytest.raises(TimeoutError):
            link.recv(0.4)
    assert link.expect_end()


def test_once_is_once(brokers, remote):
    broker = brokers.start(*section(remote, *OUT, "start_type once"))
    link = remote.welcome(outs=["a/#"])
    send(broker, "x")
    link.take("a/1", "x")
    link.close()
    remote.nobody(1.7)
    broker.answers()


# --- pauses ---


def test_the_pause_is_as_long_as_configured(brokers, remote):
    brokers.start(*section(remote, *OUT))
    link = remote.welcome(outs=["a/#"])
    begun = time.monotonic()
    link.close()
    remote.accept()
    assert 0.9 <= time.monotonic() - begun <= 2.5


def test_pauses_lie_between_base_and_cap(brokers):
    dead = [f"127.0.0.1:{free_port()}" for _ in range(8)]
    lines = [line for n, address in enumerate(dead)
             for line in section(address, *OUT, "restart_timeout 2 40", name=f"b{n}")]
    broker = brokers.start(*lines)
    pauses = []
    for n in range(8):
        line = broker.log.wait(rf"Unable to connect bridge b{n} .*next attempt in")
        pauses.append(float(re.search(r"next attempt in (\d+\.\d) s", line)[1]))
    assert all(2 <= pause <= 40 for pause in pauses)
    assert len(set(pauses)) > 3, f"no chance in {pauses}"


# --- addresses ---


@pytest.mark.parametrize("word", ["address", "addresses"])
def test_the_next_address_at_once(brokers, remote, word):
    dead = free_port()
    lines = ("connection b", f"{word} 127.0.0.1:{dead} 127.0.0.1:{remote.port}", "restart_timeout 60",
             "notifications false", *OUT)
    broker = brokers.start(*lines)
    link = remote.welcome(outs=["a/#"])
    send(broker, "x")
    link.take("a/1", "x")


def test_failing_over_is_said(brokers, remote):
    dead = free_port()
    broker = brokers.start(*section(f"127.0.0.1:{dead} 127.0.0.1:{remote.port}", *OUT))
    remote.welcome(outs=["a/#"])
    broker.log.wait(rf"Warning: Unable to connect bridge b \(127\.0\.0\.1:{dead}\): .*refused.*; "
                    rf"trying 127\.0\.0\.1:{remote.port} next\.$")
    broker.log.wait(rf"Bridge b connected to 127\.0\.0\.1:{remote.port} as ")


def test_all_addresses_and_then_a_pause(brokers):
    dead = [free_port() for _ in range(3)]
    broker = brokers.start(*section(" ".join(f"127.0.0.1:{port}" for port in dead), *OUT))
    broker.log.wait(r"Unable to connect bridge b .*next attempt in 1\.0 s\.")
    tried = [int(re.search(r":(\d+)\)", line)[1]) for line in broker.log.find(r"Connecting bridge b \(")]
    assert tried[:3] == dead
    assert len(broker.log.wait_for(2, "trying .* next")) == 2


def test_a_remote_that_refuses_is_followed_by_the_next(brokers, remotes):
    """Also when the TCP connection stands: CONNACK says no."""
    one, two = remotes.start(), remotes.start()
    brokers.start(*section(f"127.0.0.1:{one.port} 127.0.0.1:{two.port}", *OUT, "restart_timeout 60"))
    one.greet().send(b"\x20\x02\x00\x03")
    two.welcome(outs=["a/#"])


@pytest.mark.slow
def test_back_to_the_first_address(brokers, remotes):
    """When it can be reached again, the second one is left politely, and nothing is lost."""
    first, second = remotes.start(), remotes.start()
    first.stop()
    broker = brokers.start(*section(f"127.0.0.1:{first.port} 127.0.0.1:{second.port}", *OUT))
    link = second.welcome(outs=["a/#"])
    send(broker, "1")
    link.take("a/1", "1")
    send(broker, "2")
    link.recv()
    first.start()
    assert link.expect_end(), "no DISCONNECT"
    while True:  # whether it can be reached is found out by a connection that says nothing
        link = first.accept()
        with contextlib.suppress(Closed):
            link.expect(CONNECT)
            break
    link.welcome(outs=["a/#"])
    link.take("a/1", "2", dup=True)


def test_round_robin_goes_on_to_the_next(brokers, remotes):
    servers = [remotes.start() for _ in range(3)]
    addresses = " ".join(f"127.0.0.1:{remote.port}" for remote in servers)
    brokers.start(*section(addresses, *OUT, "round_robin true"))
    first = whoever(*servers)
    first.welcome(outs=["a/#"]).close()
    second = whoever(*servers)
    assert second is not first


def test_without_round_robin_the_first_is_tried_first(brokers, remotes):
    servers = [remotes.start() for _ in range(3)]
    addresses = " ".join(f"127.0.0.1:{remote.port}" for remote in servers)
    brokers.start(*section(addresses, *OUT))
    assert whoever(*servers) is servers[0]
    servers[0].welcome(outs=["a/#"]).close()
    assert whoever(*servers) is servers[0]


def test_a_second_address_keeps_the_session_here(brokers, remotes):
    """What the first remote broker has not acknowledged goes to the second."""
    one, two = remotes.start(), remotes.start()
    broker = brokers.start(*section(f"127.0.0.1:{one.port} 127.0.0.1:{two.port}", *OUT))
    link = one.welcome(outs=["a/#"])
    send(broker, "1", "2")
    link.recv(), link.recv()
    one.stop()
    link = two.welcome(outs=["a/#"])
    send(broker, "3")
    assert [p.payload for p in link.take_many(3)] == [b"1", b"2", b"3"]


def test_the_address_that_it_comes_from(brokers, remote):
    brokers.start(*section(remote, *OUT, "bridge_bind_address 127.0.0.9"))
    assert remote.accept().address[0] == "127.0.0.9"


def test_an_address_to_come_from_that_is_not_ours(brokers, remote):
    broker = brokers.start(*section(remote, *OUT, "bridge_bind_address 192.0.2.77"))
    broker.log.wait(r"Warning: Unable to connect bridge b .*192\.0\.2\.77|Cannot assign requested address")
    broker.answers()


# --- nothing is held up ---


def test_many_bridges_to_nobody(brokers):
    """A hundred bridges to ports where nobody listens: clients do not notice."""
    lines = [line for n in range(100)
             for line in section(f"127.0.0.1:{free_port()}", *OUT, name=f"b{n}")]
    broker = brokers.start(*lines, verbose=False)
    reader, writer = broker.connect(), broker.connect()
    reader.subscribe("x")
    worst = 0.0
    end = time.monotonic() + 1.5
    while time.monotonic() < end:
        begun = time.monotonic()
        writer.send(publish("x", "y"))
        reader.take("x", "y")
        worst = max(worst, time.monotonic() - begun)
    assert worst < 0.5
    for n in range(100):
        broker.log.wait(rf"Unable to connect bridge b{n} ")
    assert longest_turn(broker) < 10 or sanitized()
