#!/usr/bin/env python3
"""Very many logins at once, with passwords that take long to check: how everybody else fares. By hand for figures.

    python3 test/broker/login_storm.py --clients 500 --rounds 210000

Starts the broker of MOSQUITTO_BIN. A pair of clients sends messages to and fro at QoS 0, first alone and then while all
the others log in; prints the round trips of both times, how long the storm took, and the broker's longest turn. Exits
with 1 when a client did not get in, or a turn took 10 ms or more.
"""

import argparse
import pathlib
import re
import selectors
import signal
import sys
import tempfile
import time

from broker_process import Broker
from mqtt_wire import CONNACK, PUBLISH, connect, cut, publish
from password_lines import argon2id, pbkdf2, write

PAUSE = 0.002  # between two round trips


def longest_turn(broker):
    """In milliseconds of CPU, so far."""
    since = len(broker.log.lines)
    broker.process.send_signal(signal.SIGUSR2)
    line = broker.log.wait(r"Longest turn: \d", since)
    return float(re.search(r"Longest turn: ([\d.]+) ms", line)[1])


class Storm:
    def __init__(self, broker, count, pair, crowd):
        """`pair` and `crowd` are how these log in."""
        self.broker = broker
        self.crowd = crowd
        self.count = count
        self.reader, self.writer = [broker.connect(one, keepalive=0, **pair) for one in ("reader", "writer")]
        self.reader.subscribe("pair")
        self.answers = []
        self.seconds = 0.0

    def trip(self):
        began = time.perf_counter()
        self.writer.send(publish("pair", "x"))
        self.reader.expect(PUBLISH, topic="pair")
        return time.perf_counter() - began

    def alone(self, seconds):
        trips = []
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            trips.append(self.trip())
            time.sleep(PAUSE)
        return trips

    def open(self):
        clients = [self.broker.client() for _ in range(self.count)]
        for number, client in enumerate(clients):
            client.send(connect(f"crowd-{number}", keepalive=0, **self.crowd))
        return clients

    def take(self, selector):
        for key, _ in selector.select(0):
            key.data.fill()
            packet = cut(key.data.buffer)
            assert packet.kind == CONNACK
            self.answers.append(packet.code)
            selector.unregister(key.fileobj)

    def run(self):
        """The round trips while they log in."""
        trips = []
        began = time.monotonic()
        with selectors.DefaultSelector() as selector:
            for client in self.open():
                selector.register(client.sock, selectors.EVENT_READ, client)
            while len(self.answers) < self.count:
                trips.append(self.trip())
                self.take(selector)
                time.sleep(PAUSE)
        self.seconds = time.monotonic() - began
        return trips


def figures(trips):
    trips = sorted(trips)
    return ", ".join(f"{name} {trips[min(len(trips) - 1, int(len(trips) * part))] * 1e6:.0f} µs"
                     for name, part in [("p50", 0.5), ("p99", 0.99), ("most", 1)]) + f" of {len(trips)}"


def measure(options, directory):
    line = argon2id("ann", "apple", options.memory, 1) if options.memory else pbkdf2("ann", "apple", options.rounds)
    path = write(pathlib.Path(directory) / "users", line, pbkdf2("bob", "banana"))
    broker = Broker(directory, ["allow_anonymous false", f"password_file {path}"], verbose=False)
    storm = Storm(broker, options.clients, {"username": "bob", "password": "banana"},
                  {"username": "ann", "password": "apple"})
    print(f"round trips of a pair alone:  {figures(storm.alone(options.seconds))}")
    print(f"while {options.clients} clients log in: {figures(storm.run())}")
    print(f"the storm took {storm.seconds:.1f} s, {storm.seconds / options.clients * 1000:.0f} ms a login")
    turn = longest_turn(broker)
    print(f"longest turn: {turn} ms of CPU")
    broker.drop_clients()
    broker.stop()
    return storm.answers == [0] * options.clients and turn < 10


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clients", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=210_000, help="of PBKDF2")
    parser.add_argument("--memory", type=int, help="KiB of argon2id, instead")
    parser.add_argument("--seconds", type=float, default=5, help="that the pair is alone")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        sys.exit(0 if measure(options, directory) else 1)


if __name__ == "__main__":
    main()
