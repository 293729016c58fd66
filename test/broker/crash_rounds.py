#!/usr/bin/env python3
"""Kill the broker at random moments under load, again and again, and see whether it kept its word.

Each round starts the broker on the same store, lets publishers and subscribers come back, which keep
their own state as MQTT asks of them, and kills the broker some milliseconds later. Every few rounds
everything is drained and reckoned: what was acknowledged must have arrived, at QoS 2 once, in order;
sessions, subscriptions and retained messages must be those that clients were told of.

    python3 test/broker/crash_rounds.py --rounds 500 --mode fsync --one-cpu

Prints the seed and a summary; exits with 1 when anything was lost, doubled, out of order or otherwise
not as promised, and then keeps the directory. Against another broker, to judge this test:
--broker /usr/sbin/mosquitto --foreign.
"""

import argparse
import os
import random
import shutil
import signal
import sys
import tempfile
import time

from crash_clients import MS, Publisher, Subscriber, World, populate
from crash_ledger import now
from stored_broker import SMALL_SEGMENTS, StoredBroker

QUIET = 40 * MS  # without a packet for so long, look whether all is done
GIVE_UP = 4000 * MS  # without a packet for so long, what is missing is lost


def interrupt(world):
    """Choose a moment right behind a burst: in the middle of the broker's work."""
    for client in world.clients:
        if isinstance(client, Publisher):
            client.burst()
    world.flush()
    time.sleep(world.rng.random() ** 2 * 0.003)


class Kill:
    """The broker dies, the machine lives."""

    def __init__(self, number=signal.SIGKILL):
        self.number = number

    def strike(self, rounds):
        world, broker = rounds.world, rounds.broker
        if world.chance(0.5):
            interrupt(world)
        broker.process.send_signal(self.number)
        world.messages.crashes.append(now())
        world.port = 0  # may soon be somebody else's
        code = broker.kill(self.number)
        if code not in (0, -signal.SIGKILL):
            world.faults.add("exit code", f"{code}\n{broker.report()}")
        # What was sent before the end is still read.
        world.run(now() + 2000 * MS, lambda: not any(c.sock for c in world.clients))
        world.close_all()


class Hasty(StoredBroker):
    """A run that is over before it has begun to serve: killed while it recovers."""

    def await_port(self, port, host="127.0.0.1"):
        time.sleep(random.random() ** 2 * 0.03)


class Rounds:
    """A store, its broker, and the clients of all rounds."""

    def __init__(self, options, directory, crash, location=None):
        self.options = options
        self.directory = directory
        self.crash = crash
        self.location = location or directory
        self.world = World(options.seed)
        self.world.messages.late = options.foreign
        populate(self.world)
        self.broker = None
        self.rounds = 0
        self.largest = 0
        self.slowest_start = 0

    def lines(self):
        lines = ["max_queued_messages 0", "connection_messages false", *self.options.line]
        if self.options.foreign:
            return [*lines, "user root"]
        return [*lines, SMALL_SEGMENTS, f"persistence_sync {self.options.mode}"]

    def start(self):
        if self.world.chance(0.1) and not self.options.foreign:
            Hasty(self.directory, self.lines(), location=self.location).kill()
        before = now()
        self.broker = StoredBroker(self.directory, self.lines(), location=self.location)
        if self.options.one_cpu:
            os.sched_setaffinity(self.broker.pid, os.sched_getaffinity(0))
        self.slowest_start = max(self.slowest_start, now() - before)
        self.world.port = self.broker.port

    def gather(self, spread_ms):
        """Let those connect who are not away."""
        world = self.world
        clients = list(world.clients)
        world.rng.shuffle(clients)
        for client in clients:
            if client.away:
                client.away -= 1
            else:
                client.due = now() + int(world.rng.random() * spread_ms * MS)
        world.next_tick = 0

    def check_alive(self):
        if not self.broker.alive():
            self.world.faults.add("broker died", self.broker.report())
            return False
        return True

    # --- one round ---

    def round(self):
        self.rounds += 1
        world = self.world
        self.start()
        if world.chance(0.2):
            self.look_at_retained()
        load_ms = world.rng.randrange(*self.options.load)
        world.publishing, world.left = True, max(1200, 4 * load_ms)
        self.gather(world.rng.choice([0, 0, 20]))
        end = now() + load_ms * MS
        if world.chance(0.15):
            world.run(now() + world.rng.randrange(100) * MS)
            self.broker.process.send_signal(world.rng.choice([signal.SIGUSR1, signal.SIGHUP]))
        world.run(end)
        if self.check_alive():
            self.largest = max(self.largest, self.broker.size())
            self.crash.strike(self)
        world.publishing = False

    # --- the reckoning ---

    def look_at_retained(self):
        """A newcomer gets the retained messages: none is missing, none is older than it may be."""
        world = self.world
        reader = Subscriber(world, "reader", [("kept/#", 1)])
        reader.open(clean=True)
        until = now() + 2000 * MS
        while now() < until and self.broker.alive():
            world.turn()
            if reader.up and not reader.wishes and not self.unfed(reader):
                break
        for missing in self.unfed(reader):
            world.faults.add("retained lost", str(missing))
        reader.drop()
        world.clients.remove(reader)

    @staticmethod
    def unfed(reader):
        reader.inbox.volatile = False
        return reader.inbox.unfed()

    def settled(self):
        world = self.world
        return now() - world.last_packet > QUIET and all(c.idle() for c in world.clients)

    def settle(self):
        """Everybody comes, nothing new is published, until all has arrived."""
        world = self.world
        self.start()
        for client in world.clients:
            client.away = 0
        self.gather(0)
        world.last_packet = now()
        while self.broker.alive() and now() - world.last_packet < GIVE_UP:
            world.turn()
            if self.settled() and not self.outstanding():
                break
        self.check_alive()
        self.reckon()

    def outstanding(self):
        first = self.world.messages.settled
        return any(self.inboxes_miss(c, first) for c in self.world.clients)

    @staticmethod
    def inboxes_miss(client, first):
        inbox = getattr(client, "inbox", None)
        return inbox and (inbox.missing(first) or inbox.unfed())

    def reckon(self):
        world = self.world
        for client in world.clients:
            if not client.idle():
                world.faults.add("unfinished", f"{client.name} {vars(client)!s:.300}")
            inbox = getattr(client, "inbox", None)
            if inbox:
                inbox.reckon(world.messages.settled)
        self.look_at_retained()
        world.messages.settled = len(world.messages)

    def run(self):
        try:
            self.run_all()
        except AssertionError as error:
            self.world.faults.add("stopped", str(error))
        self.world.close_all()

    def run_all(self):
        for number in range(1, self.options.rounds + 1):
            self.round()
            if number % self.options.settle == 0 or number == self.options.rounds:
                self.settle()
                if self.options.progress:
                    print(f"  {number} rounds: {self.summary()}", flush=True)
                if self.broker.alive():
                    self.crash.strike(self)
            if self.world.faults.total() and not self.options.go_on:
                break

    def end(self):
        self.world.close_all()
        if self.broker and self.broker.alive():
            self.broker.kill()

    def summary(self):
        world = self.world
        inboxes = [c.inbox for c in world.clients if hasattr(c, "inbox")]
        counts = world.faults.counts
        parts = [
            f"{len(world.messages)} published", f"{world.messages.acknowledged()} acknowledged",
            f"{sum(i.arrived for i in inboxes)} arrivals", f"{sum(i.repeats for i in inboxes)} repeats at QoS 1",
            f"{counts['loss']} losses", f"{counts['duplicate']} duplicates",
            f"{counts['reordering']} reorderings",
        ]
        known = ("loss", "duplicate", "reordering")
        parts += [f"{number} {kind}" for kind, number in sorted(counts.items()) if kind not in known]
        return ", ".join(parts)


def milliseconds(text):
    """A range: FROM,TO."""
    low, high = (int(part) for part in text.split(","))
    return low, high


def parser_of(text, rounds=20):
    parser = argparse.ArgumentParser(description=text.split("\n", maxsplit=1)[0])
    parser.add_argument("--rounds", type=int, default=rounds)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    parser.add_argument("--mode", choices=("write", "fsync"), default="write")
    parser.add_argument("--one-cpu", action="store_true", help="broker and clients on one processor")
    parser.add_argument("--load", type=milliseconds, default=(5, 300), metavar="FROM,TO",
                        help="how long the load lasts before a crash, in ms")
    parser.add_argument("--settle", type=int, default=20, help="reckon after so many rounds")
    parser.add_argument("--go-on", action="store_true", help="also after a fault")
    parser.add_argument("--broker", help="another program than MOSQUITTO_BIN or build/mosquitto")
    parser.add_argument("--foreign", action="store_true", help="it does not know our options")
    parser.add_argument("--line", action="append", default=[], help="more configuration")
    parser.add_argument("--directory", help="for the store; kept after a fault")
    parser.add_argument("--progress", action="store_true")
    return parser


def prepare(options):
    if options.broker:
        os.environ["MOSQUITTO_BIN"] = options.broker
    if options.one_cpu:
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    if options.foreign:
        os.umask(0o022)


def finish(rounds, seconds):
    """Print what was found; are there faults?"""
    faults = rounds.world.faults
    for line in faults.details:
        print("  " + line)
    print(f"seed {rounds.options.seed}: {rounds.rounds} rounds in {seconds:.0f} s, {rounds.summary()}; "
          f"store at most {rounds.largest} bytes, slowest start {rounds.slowest_start / 1e9:.2f} s", flush=True)
    return faults.total() > 0


def main():
    parser = parser_of(__doc__)
    parser.add_argument("--term", action="store_true", help="end it by SIGTERM instead")
    options = parser.parse_args()
    prepare(options)
    directory = tempfile.mkdtemp(prefix="crash-", dir=options.directory)
    print(f"seed {options.seed}, {options.rounds} rounds, {options.mode}", flush=True)
    rounds = Rounds(options, directory, Kill(signal.SIGTERM if options.term else signal.SIGKILL))
    began = time.monotonic()
    try:
        rounds.run()
    finally:
        rounds.end()
    if finish(rounds, time.monotonic() - began):
        sys.exit(f"the store is in {directory}")
    shutil.rmtree(directory)


if __name__ == "__main__":
    main()
