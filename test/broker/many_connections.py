#!/usr/bin/env python3
"""Connect very many clients at once and let each send to its neighbour. By hand, not in `make test`.

Starts the broker of MOSQUITTO_BIN (or uses --port), opens --connections connections, subscribes each to a topic of its
own, publishes to each at QoS 1 and waits until every message has arrived. Prints times, and the broker's memory per
connection. Exits with 1 when one message is missing.
"""

import argparse
import resource
import selectors
import sys
import tempfile
import time

import broker_process
import mqtt_wire
from mqtt_wire import CONNACK, PUBACK, PUBLISH, SUBACK, connect, puback, publish, subscribe


def raise_limit(wanted):
    """As many descriptors as are needed, here and in the broker, which inherits the limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(wanted, hard), hard))
    if hard < wanted:
        sys.exit(f"the hard limit of descriptors is {hard}, {wanted} are needed")


class Crowd:
    def __init__(self, port, count):
        self.selector = selectors.DefaultSelector()
        self.clients = []
        for number in range(count):
            client = mqtt_wire.Client(port)
            client.send(connect(f"crowd-{number}", keepalive=600))
            self.clients.append(client)
            self.selector.register(client.sock, selectors.EVENT_READ, client)

    def collect(self, *kinds, patience=60):
        """Until each client has received one packet of each of these kinds."""
        missing = {client: set(kinds) for client in self.clients}
        deadline = time.monotonic() + patience
        while missing:
            events = self.selector.select(max(0, deadline - time.monotonic()))
            if not events:
                sys.exit(f"{len(missing)} clients still wait for packets of types {kinds}")
            for key, _ in events:
                self.read(key.data, missing)

    def read(self, client, missing):
        client.fill()
        while (packet := mqtt_wire.cut(client.buffer)) is not None:
            if packet.kind == PUBLISH:
                client.send(puback(packet.mid))
            left = missing.get(client, set())
            left.discard(packet.kind)
            if not left:
                missing.pop(client, None)

    def send(self, make):
        for number, client in enumerate(self.clients):
            client.send(make(number))


def exchange(port, count, rounds, memory):
    before = memory()
    start = time.monotonic()
    crowd = Crowd(port, count)
    crowd.collect(CONNACK)
    print(f"{count} connected in {time.monotonic() - start:.2f} s, {(memory() - before) / count:.0f} bytes each")
    start = time.monotonic()
    crowd.send(lambda n: subscribe(1, (f"crowd/{n}", 1)))
    crowd.collect(SUBACK)
    print(f"subscribed in {time.monotonic() - start:.2f} s, {(memory() - before) / count:.0f} bytes each")
    start = time.monotonic()
    for _ in range(rounds):
        crowd.send(lambda n: publish(f"crowd/{(n + 1) % count}", f"from {n}", 1, 1))
        crowd.collect(PUBLISH, PUBACK)
    print(f"{rounds * count} messages at QoS 1 in {time.monotonic() - start:.2f} s, all arrived")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--connections", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--port", type=int, help="of a running broker; without it one is started")
    options = parser.parse_args()
    raise_limit(options.connections + 200)
    if options.port:
        exchange(options.port, options.connections, options.rounds, lambda: 0)
        return
    with tempfile.TemporaryDirectory() as directory:
        broker = broker_process.Broker(directory, ["log_type none"], verbose=False)
        exchange(broker.port, options.connections, options.rounds, broker.memory)
        broker.stop()


if __name__ == "__main__":
    main()
