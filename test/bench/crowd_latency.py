"""Checks of `crowd.py`: is an established pair held up by what others do?

The pair sends 1,000 messages a second. At the same time another pair does so on the floor, on the same core:
what both suffer is the machine's. A load may hold the pair up for one turn of the broker, and a turn may take
10 ms.
"""

import json
import os
import re
import select
import socket
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

from brokers import Broker, Failed, find_program
from wires import (BATCH, PATIENCE, Deadline, connect, hang_up, login, publish, read_exactly, retain_many,
                   subscribe)

TURN_LIMIT_MS = 10.0
FLOORS = 2.0  # a pair's latency may be so many times that on the floor, and so much besides:
BESIDES_MS = {"p50": TURN_LIMIT_MS / 10, "p99": TURN_LIMIT_MS}  # who comes in the middle of a turn waits
WARM_UP = 0.5
NICE = 10
LOGGED = """\
log_dest stderr
log_type information
connection_messages false
sys_interval 0
max_queued_messages 1000
"""


class PacedPair:
    """mosquitto_bench at a steady rate, beside whatever else happens."""

    def __init__(self, options, broker):
        self.broker = broker
        self.process = subprocess.Popen(
            [options.bench, "--port", str(broker.port), "--clients", "1", "--qos", "1", "--rate", "1000",
             "--latency", "--json", "--warmup", "0", "--seconds", str(options.seconds + 2 * WARM_UP),
             "--timeout", "30", "pairs"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate()

    def result(self):
        said, wrong = self.process.communicate()
        if self.process.returncode != 0:
            raise Failed(f"the pair on {self.broker.label}: {wrong.strip()}")
        return json.loads(said)["latency_us"]


def longest_turn_ms(broker):
    """What the broker says of itself when it ends."""
    broker.stop()
    found = re.findall(r"Longest turn: ([\d.]+) ms", broker.said)
    if not found:
        raise Failed("the broker logged no longest turn")
    return float(found[-1])


def nicely(load, *arguments):
    """Runs a load so that the pairs, on the same core as it, come first: the broker is to be held up."""

    def run():
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)
        return load(*arguments)

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(run).result()


def held_up(options, report, what, prepare, load):
    """`load(broker, deadline, prepared)` goes on until the deadline: the pair's latency meanwhile."""
    floor_program = find_program(options.floor, "--floor")
    with Broker("ours", options.ours, options.broker_core, LOGGED) as ours, \
         Broker("floor", floor_program, options.broker_core) as floor:
        prepared = prepare(ours)
        with PacedPair(options, ours) as pair, PacedPair(options, floor) as base_pair:
            time.sleep(WARM_UP)
            waited = ours.waited_ms()
            said = nicely(load, ours, Deadline(options.seconds), prepared)
            waited = ours.waited_ms() - waited
            mine, base = pair.result(), base_pair.result()
        turn = longest_turn_ms(ours)
    report.say(f"{what}: load", f"{said}; the broker waited {waited:,.0f} ms for its core")
    for key, besides in BESIDES_MS.items():
        floor_ms = base[key] / 1000
        report.limit(f"{what}: pair's {key}; on the floor {floor_ms:.2f} ms", mine[key] / 1000,
                     FLOORS * floor_ms + besides, " ms")
    report.limit(f"{what}: longest turn", turn, TURN_LIMIT_MS, " ms")


def nothing(_):
    return None


# ---- Loads ------------------------------------------------------------------------------------


def greet(poll, waiting, patience):
    """CONNECT on connections that stand; those that are answered leave `waiting`."""
    for number, _ in poll.poll(patience):
        sock, hello = waiting[number]
        try:
            if hello:
                sock.send(hello)
                waiting[number] = sock, None
                poll.modify(sock, select.EPOLLIN)
            elif sock.recv(4) == b"\x20\x02\x00\x00":
                del waiting[number]
                poll.unregister(sock)
            else:
                raise Failed("the broker hung up on a client of the storm")
        except BlockingIOError:
            continue


def connect_at_once(port, count):
    """Connections without waiting for any; how many were answered, and after how long the last."""
    begun, socks = time.monotonic(), []
    poll, waiting = select.epoll(), {}
    deadline = Deadline(PATIENCE)
    while len(socks) < count or (waiting and deadline.ahead()):
        for number in range(len(socks), min(count, len(socks) + BATCH)):
            sock = socket.socket()
            socks.append(sock)
            sock.setblocking(False)
            sock.connect_ex(("127.0.0.1", port))
            poll.register(sock, select.EPOLLOUT)
            waiting[sock.fileno()] = sock, connect(f"storm{number}", keepalive=0)
        greet(poll, waiting, 1 if len(socks) == count else 0)
    poll.close()
    return socks, count - len(waiting), time.monotonic() - begun


def storm(options, report):
    """15,000 clients connect at once: all are served, and the pair goes on."""
    count = max(10, int(15_000 * options.scale))
    served = []

    def load(broker, deadline, _):
        while not served or deadline.ahead():
            socks, answered, seconds = connect_at_once(broker.port, count)
            served.append((answered, seconds))
            hang_up(socks)
            time.sleep(0.2)
        return f"{len(served)} storms; all served after {max(seconds for _, seconds in served):.1f} s at most"

    held_up(options, report, f"{count:,} at once", nothing, load)
    report.need("every client of every storm was served", all(answered == count for answered, _ in served))


BLOCK = 200  # messages that are sent at once
FLOOD = BLOCK * publish("flood/topic", b"x" * 1000)


def rate(options, blocks):
    return f"{BLOCK * blocks / options.seconds:,.0f} messages of 1,000 bytes a second"


def pour(sock, deadline, block):
    """As fast as the broker takes it; how many blocks."""
    blocks = 0
    sock.settimeout(0.1)
    rest = memoryview(block)
    while deadline.ahead():
        try:
            rest = rest[sock.send(rest):]
        except TimeoutError:
            continue
        if not rest:
            rest = memoryview(block)
            blocks += 1
    return blocks


def flood(options, report):
    """A publisher floods the broker, with QoS 0 and with QoS 1."""

    def to_nobody(broker, deadline, _):
        with closing(login(broker.port, "flood")) as sock:
            return rate(options, pour(sock, deadline, FLOOD))

    def with_acks(broker, deadline, _):
        block = b"".join(publish("flood/topic", b"x" * 1000, qos=1, mid=mid) for mid in range(1, BLOCK + 1))
        blocks = 0
        with closing(login(broker.port, "flood")) as sock:
            while deadline.ahead():
                sock.sendall(block)
                read_exactly(sock, BLOCK * 4)
                blocks += 1
        return rate(options, blocks)

    held_up(options, report, "QoS 0 to nobody", nothing, to_nobody)
    held_up(options, report, "QoS 1 to nobody", nothing, with_acks)


def subscriber(port, topic, qos=0):
    sock = login(port, f"reader-of-{topic[0]}")
    sock.sendall(subscribe(1, (topic, qos)))
    return sock


def slow(options, report):
    """A consumer that does not read while a publisher floods it."""

    def load(broker, deadline, consumer):
        with closing(login(broker.port, "flood")) as sock:
            said = rate(options, pour(sock, deadline, FLOOD))
        hang_up([consumer])
        return f"{said}, at most {broker.status('VmHWM') / 1e6:.0f} MB"

    held_up(options, report, "nobody reads", lambda broker: subscriber(broker.port, "flood/#"), load)


def retained(options, report):
    """A subscription to # over a million retained messages, by one who reads, and by one who does not."""
    count = max(100, int(1_000_000 * options.scale))

    def prepare(broker):
        return retain_many(broker.port, count)

    def reading(broker, deadline, size):
        times = 0
        while deadline.ahead():
            with closing(subscriber(broker.port, "#")) as sock:
                read_exactly(sock, 5 + size)
                times += 1
        return f"{times} times, {times * count / options.seconds:,.0f} messages a second"

    def not_reading(broker, deadline, _):
        sock = subscriber(broker.port, "#")
        while deadline.ahead():
            time.sleep(0.05)
        hang_up([sock])
        return f"at most {broker.status('VmHWM') / 1e6:,.0f} MB"

    held_up(options, report, f"# over {count:,}, read", prepare, reading)
    held_up(options, report, f"# over {count:,}, not read", prepare, not_reading)


CHECKS = {"storm": storm, "flood": flood, "slow": slow, "retained": retained}
