"""The check of `crowd.py` that has as many connections as a machine allows, and says what each of them takes.

A process may have so many descriptors, so there are several brokers, and for each a process with the clients.
Of the kernel's memory one half is the clients' end of each connection, which is here only because they are on
the same machine.
"""

import multiprocessing
import os
import time
from contextlib import ExitStack
from pathlib import Path

from brokers import Broker, Failed, raise_descriptors
from wires import PATIENCE, connect_many, descriptors, hang_up, publish, read_exactly, subscribe

ROUNDS = 3
USER_LIMIT = 700  # bytes of the broker for a connection with a subscription: its goal in `make bench`
RESERVED = 200  # descriptors that the broker keeps for itself


def kernel_bytes():
    """What the kernel has allocated in objects, and in pages of socket buffers."""
    try:
        rows = [text.split() for text in Path("/proc/slabinfo").read_text().splitlines()[2:]]
        objects = sum(int(row[2]) * int(row[3]) for row in rows)
    except PermissionError:
        fields = dict(text.split(":") for text in Path("/proc/meminfo").read_text().splitlines())
        objects = int(fields["Slab"].split()[0]) * 1024
    sockstat = Path("/proc/net/sockstat").read_text()
    pages = int(sockstat.split("TCP:")[1].split("\n")[0].split(" mem ")[1])
    return objects + pages * os.sysconf("SC_PAGESIZE")


def exchange(socks, packets):
    """Each client publishes to its neighbour; seconds until all has arrived."""
    begun = time.monotonic()
    for sock, packet in zip(socks, packets):
        sock.sendall(packet)
    for sock, packet in zip(socks, packets[-1:] + packets[:-1]):
        read_exactly(sock, len(packet))
    return time.monotonic() - begun


def be_clients(port, count, core, pipe):
    """The life of a process with clients: connect, tell, exchange as often as asked, end."""
    raise_descriptors()
    if core is not None:
        os.sched_setaffinity(0, {core})
    try:
        name = f"c{port}-"
        socks = []
        for start in range(0, count, 5000):
            socks += connect_many(port, min(5000, count - start), f"{name}{start}-", first=start)
        for number, sock in enumerate(socks):
            sock.sendall(subscribe(1, (f"scale/{number}", 0)))
        for sock in socks:
            read_exactly(sock, 5)
        packets = [publish(f"scale/{(number + 1) % count}", b"x" * 64) for number in range(count)]
        pipe.send(count)
        while pipe.recv():
            pipe.send(exchange(socks, packets))
        hang_up(socks)
    except (OSError, EOFError) as why:
        pipe.send(f"{type(why).__name__}: {why}")


class Clients:
    """A process of clients, seen from outside."""

    def __init__(self, broker, count, core):
        self.pipe, theirs = multiprocessing.Pipe()
        self.process = multiprocessing.Process(target=be_clients, args=(broker.port, count, core, theirs))
        self.process.start()
        theirs.close()

    def answer(self):
        try:
            said = self.pipe.recv()
        except EOFError:
            said = "the clients' process ended"
        if isinstance(said, str):
            raise Failed(said)
        return said

    def __enter__(self):
        return self

    def __exit__(self, *_):
        try:
            self.pipe.send(False)
        except OSError:
            pass
        self.process.join(PATIENCE)
        self.process.kill()


def scale(options, report):
    """As many connections as the machine allows, with messages flowing; bytes for each."""
    each = max(10, int(min(descriptors(), raise_descriptors() - RESERVED) * options.scale))
    total = each * options.brokers
    with ExitStack() as stack:
        brokers = [stack.enter_context(Broker("ours", options.ours, options.broker_core))
                   for _ in range(options.brokers)]
        kernel, user = kernel_bytes(), sum(broker.status("VmRSS") for broker in brokers)
        begun = time.monotonic()
        crowds = [stack.enter_context(Clients(broker, each, options.generator_core)) for broker in brokers]
        made = sum(crowd.answer() for crowd in crowds)
        took = time.monotonic() - begun
        user = (sum(broker.status("VmRSS") for broker in brokers) - user) / total
        kernel = (kernel_bytes() - kernel) / total
        cost = measure_flow(brokers, crowds, total)
    report.need(f"{total:,} connections and subscriptions at {options.brokers} brokers, in {took:.0f} s",
                made == total)
    report.limit("a connection with a subscription, user space", user, USER_LIMIT, " bytes")
    report.say("a connection, kernel, both ends", f"{kernel:,.0f} bytes; one end about {kernel / 2:,.0f}")
    report.say("a message among all of them", f"{cost:.2f} µs of the broker")
    report.say("a million connections would take",
               f"{user / 1000:.1f} GB user space, {kernel / 2000:.1f} GB kernel")


def measure_flow(brokers, crowds, total):
    """CPU µs of the brokers for a message, when each client sends one to the next, some rounds."""
    before = sum(broker.cpu_us() for broker in brokers)
    for _ in range(ROUNDS):
        for crowd in crowds:
            crowd.pipe.send(True)
        for crowd in crowds:
            crowd.answer()
    return (sum(broker.cpu_us() for broker in brokers) - before) / (ROUNDS * total)


CHECKS = {"scale": scale}
