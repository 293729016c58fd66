#!/usr/bin/python3
"""Programs on our libmosquitto while the broker dies and the network is cut: is anything lost, doubled or out of order?

    test/client/soak.py --seconds 600
    test/client/soak.py --library /usr/lib/x86_64-linux-gnu/libmosquitto.so.1      judges this test

lib/soak_pub.c numbers messages at QoS 1 and at QoS 2, lib/soak_sub.c writes down what arrives; both keep their sessions
and reconnect by themselves. Another subscriber, at QoS 1, is killed now and then. They reach the broker, which keeps
everything on disk, through proxies that reset, cut, delay and swallow; the broker is killed or ended and started again,
again and again. In the end all heals, and every message that the publishing library took must have arrived: at QoS 2
once, at QoS 1 at least once, and for the first time in order.
"""

import argparse
import os
import random
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "broker"))

from broker_process import ROOT, SANITIZER, binary, environment, free_port, sanitized  # noqa: E402
from chaos_net import MS, Proxy  # noqa: E402
from crash_ledger import now  # noqa: E402

SOURCES = Path(__file__).resolve().parent / "lib"
GIVE_UP = 60_000 * MS
QUIET = 2500 * MS  # nothing arrives any more; a library tries again after a second
WITHIN = 20_000 * MS

CONFIG = """\
listener {port} 127.0.0.1
allow_anonymous true
persistence true
persistence_location {directory}/
max_queued_messages 0
log_dest file {directory}/log
"""


def library_beside():
    return Path(binary()).resolve().parent / "libmosquitto.so.1"


def build(name, directory, library):
    """The program, linked with this library and found at run time where it is now."""
    out = Path(directory) / name
    checks = ["-fsanitize=address,undefined"] if sanitized() and Path(library) == library_beside() else []
    subprocess.run(
        ["cc", "-std=c17", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror", "-O1", "-g", *checks, f"-I{ROOT / 'include'}",
         SOURCES / f"{name}.c", "-o", out, library, f"-Wl,-rpath,{Path(library).parent}", "-pthread"], check=True)
    return out


class Faults(Counter):
    """What went wrong, by kind; the first of each are told."""

    def add(self, kind, text):
        self[kind] += 1
        if self[kind] <= 10:
            print(f"{kind}: {text}", flush=True)


class Ledger:
    """A file that another program writes, read as it grows."""

    def __init__(self, path):
        self.path = path
        self.file = None
        self.rest = ""

    def lines(self):
        if not self.file:
            if not self.path.exists():
                return []
            self.file = open(self.path, encoding="ascii")
        *whole, self.rest = (self.rest + self.file.read()).split("\n")
        return [line.split() for line in whole]


class Program:
    """A client, which ends when its stdin does. It calls itself by its name."""

    def __init__(self, world, name, proxy, *arguments):
        self.name = name
        self.ledger = Ledger(world.directory / f"{name}.ledger")
        self.errors = world.directory / f"{name}.stderr"
        self.command = [world.programs[name.split("-")[0]], str(proxy.sock.getsockname()[1]), name, *map(str, arguments),
                        self.ledger.path]
        self.got, self.subscribed = {}, 0
        self.start()

    def start(self):
        with open(self.errors, "ab") as errors:
            self.process = subprocess.Popen(
                self.command, stdin=subprocess.PIPE, stdout=errors, stderr=errors, env=environment())

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()

    def ended(self, faults):
        try:
            code = self.process.wait(20)
        except subprocess.TimeoutExpired:
            faults.add("does not end", self.name)
            self.process.kill()
            code = self.process.wait()
        text = self.errors.read_text(errors="replace")
        if code or SANITIZER.search(text):
            faults.add("exit code", f"{self.name}: {code}\n{text[-3000:]}")


class World:
    """The broker, the proxies and the clients."""

    def __init__(self, options, directory):
        self.options, self.directory = options, Path(directory)
        self.rng = random.Random(options.seed)
        self.faults, self.happened = Faults(), Counter()
        self.selector = selectors.DefaultSelector()
        self.programs = {name: build(name, directory, options.library) for name in ("soak_pub", "soak_sub")}
        self.port = free_port()
        self.proxies = [Proxy(self.selector, self.rng, free_port(), self.port) for _ in range(4)]
        self.broker, self.start_at, self.stopped_until = None, 0, 0
        self.sent, self.done = {}, {}
        self.repeats, self.last_arrival = 0, now()
        self.clients = []

    # --- the broker ---

    def configure(self):
        text = CONFIG.format(port=self.port, directory=self.directory)
        text += "user root\n" if os.geteuid() == 0 else ""
        text += "autosave_interval 1\nautosave_on_changes true\n" if self.options.broker.startswith("/usr") else ""
        (self.directory / "mosquitto.conf").write_text(text, encoding="utf-8")

    def start(self):
        self.start_at = 0
        with open(self.directory / "output", "ab") as output:
            self.broker = subprocess.Popen([self.options.broker, "-c", self.directory / "mosquitto.conf"],
                                           stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environment())

    def serves(self):
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
        except OSError:
            return False
        return True

    def end_broker(self, number, pause_ns):
        if not self.broker:
            return
        self.go_on()
        self.broker.send_signal(number)
        try:
            code = self.broker.wait(20)
        except subprocess.TimeoutExpired:
            self.faults.add("does not end", "the broker")
            self.broker.kill()
            code = self.broker.wait()
        if number == signal.SIGTERM and code:
            self.faults.add("exit code", f"the broker: {code}")
        self.broker, self.start_at = None, now() + pause_ns

    def go_on(self):
        if self.stopped_until and self.broker:
            self.broker.send_signal(signal.SIGCONT)
        self.stopped_until = 0

    # --- the loop ---

    def turn(self):
        for key, events in self.selector.select(0.003):
            if events & selectors.EVENT_READ and key.data.sock:
                key.data.readable()
            if events & selectors.EVENT_WRITE and key.data.sock:
                key.data.flush()
        for proxy in self.proxies:
            proxy.tick()
        if self.start_at and now() >= self.start_at:
            self.start()
        if self.stopped_until and now() >= self.stopped_until:
            self.go_on()
        if self.broker and self.broker.poll() is not None:
            self.faults.add("died", f"the broker: {self.broker.returncode}")
            self.broker, self.start_at = None, now() + 500 * MS

    def run(self, length_ns, done=lambda: False):
        limit, read_at = now() + length_ns, 0
        while now() < limit:
            if now() >= read_at:
                self.read()
                read_at = now() + 50 * MS
            if done():
                return True
            self.turn()
        return False

    # --- what goes wrong ---

    def between(self, low_ms, high_ms):
        return self.rng.randrange(low_ms, high_ms) * MS

    def some(self):
        """One of the proxies or several."""
        return self.rng.sample(self.proxies, self.rng.randrange(1, len(self.proxies) + 1))

    def for_a_while(self, name, value, low_ms, high_ms):
        chosen = self.some()
        before = [getattr(proxy, name) for proxy in chosen]
        for proxy in chosen:
            setattr(proxy, name, value)
        self.run(self.between(low_ms, high_ms))
        for proxy, was in zip(chosen, before):
            setattr(proxy, name, was)
        return chosen

    def kill(self):
        self.end_broker(signal.SIGKILL, self.between(0, 800))

    def terminate(self):
        self.end_broker(signal.SIGTERM, self.between(0, 500))

    def stand_still(self):
        if self.broker:
            self.broker.send_signal(signal.SIGSTOP)
            self.stopped_until = now() + self.between(100, 1500)

    def reset(self):
        for proxy in self.some():
            proxy.reset()

    def finish(self):
        for proxy in self.some():
            proxy.finish()

    def cut(self):
        for proxy in self.some():
            proxy.cut()

    def refuse(self):
        self.reset()
        self.for_a_while("refusing", True, 100, 1500)

    def delay(self):
        self.for_a_while("delay_ms", self.rng.choice([5, 30, 100]), 300, 1500)

    def trickle(self):
        self.for_a_while("trickling", True, 300, 1500)

    def half_open(self):
        """Nothing goes through any more, and nobody says so; now and then for longer than a keepalive."""
        chosen = self.some()
        for proxy in chosen:
            proxy.swallow()
        self.run(self.between(8000, 9500) if self.rng.random() < 0.2 else self.between(200, 1500))
        for proxy in chosen:
            proxy.forget_mute()

    def kill_subscriber(self):
        """What its callback has seen was written down; all else must come again."""
        mortal = self.subscribers[1]
        mortal.kill()
        self.run(self.between(0, 500))
        mortal.start()

    def chaos(self):
        end, hand = now() + int(self.options.seconds * 1e9), []
        actions = [self.kill, self.kill, self.kill, self.terminate, self.terminate, self.stand_still, self.reset, self.reset,
                   self.finish, self.cut, self.cut, self.refuse, self.delay, self.trickle, self.half_open,
                   self.kill_subscriber, self.kill_subscriber]
        if self.options.faults == "network":
            actions = actions[5:]
        while now() < end and not sum(self.faults.values()):
            if not hand:
                hand = actions[:]
                self.rng.shuffle(hand)
            action = hand.pop()
            self.happened[action.__name__] += 1
            action()
            self.run(min(self.between(50, 1500), max(end - now(), 1)))

    # --- what the clients saw ---

    @property
    def subscribers(self):
        return self.clients[:2]

    @property
    def publishers(self):
        return self.clients[2:]

    def read(self):
        for client in self.clients:
            for words in client.ledger.lines():
                getattr(self, "note_" + words[0])(client, *words[1:])

    def note_sent(self, _, topic, number):
        if int(number) != self.sent.get(topic, 0) + 1:
            self.faults.add("sent in another order", f"{topic} {number}")
        self.sent[topic] = int(number)

    def note_done(self, _, topic, number):
        self.done[topic] = self.done.get(topic, 0) + 1

    def note_subscribed(self, client, granted):
        client.subscribed += 1
        if int(granted) > 2:
            self.faults.add("not granted", granted)

    def note_got(self, client, topic, number, qos, _):
        """First arrivals come in order, without gaps; at QoS 2 there is no other."""
        number, last = int(number), client.got.get(topic, 0)
        self.last_arrival = now()
        if number > last + 1:
            self.faults.add("lost or out of order", f"{client.name}, {topic}: {number} after {last}")
        elif number <= last and topic.startswith("2"):
            self.faults.add("doubled", f"{client.name}, {topic}: {number} after {last}")
        elif number <= last:
            self.repeats += 1
        client.got[topic] = max(number, last)
        if qos != topic[0]:
            self.faults.add("wrong QoS", f"{client.name}, {topic} {number}: {qos}")

    def arrived(self, client):
        """Has it all that it asked for?"""
        return client.got == {topic: count for topic, count in self.sent.items() if topic[0] in client.command[3]}

    def settled(self):
        return (self.sent == self.done and all(map(self.arrived, self.subscribers))
                and now() - self.last_arrival > QUIET and all(p.process.poll() is not None for p in self.publishers))

    # --- from the beginning to the end ---

    def begin(self):
        self.configure()
        self.start()
        if not self.run(WITHIN, self.serves):
            self.faults.add("does not begin", "the broker")
        self.clients += [Program(self, "soak_sub-all", self.proxies[0], "12"),
                         Program(self, "soak_sub-mortal", self.proxies[3], "1")]
        if not self.run(WITHIN, lambda: all(client.subscribed for client in self.clients)):
            self.faults.add("does not begin", "no subscription")
        for qos in (1, 2):
            self.clients.append(Program(self, f"soak_pub-{qos}", self.proxies[qos], qos, self.options.rate))

    def settle(self):
        """All heals; publishers finish what they have, and it arrives."""
        self.go_on()
        for proxy in self.proxies:
            proxy.forget_mute()
        for client in self.publishers:
            client.process.stdin.close()
        if not self.run(GIVE_UP, self.settled):
            self.faults.add("loss", f"{self.sent} sent, {self.done} reported, {[c.got for c in self.subscribers]} arrived")
        for client in self.subscribers:
            client.process.stdin.close()
        self.run(WITHIN, lambda: all(client.process.poll() is not None for client in self.clients))
        for client in self.clients:
            client.ended(self.faults)
        self.end_broker(signal.SIGTERM, 0)
        if SANITIZER.search((self.directory / "output").read_text(errors="replace")):
            self.faults.add("sanitizer", str(self.directory / "output"))

    def end(self):
        for process in [self.broker, *(client.process for client in self.clients)]:
            if process and process.poll() is None:
                process.kill()
                process.wait()
        for proxy in self.proxies:
            proxy.close()

    def summary(self):
        sent = {qos: sum(count for topic, count in self.sent.items() if topic.startswith(qos)) for qos in "12"}
        parts = [f"{sent['1']} messages at QoS 1 and {sent['2']} at QoS 2", f"{self.repeats} repeats at QoS 1",
                 f"{self.faults['loss'] + self.faults['lost or out of order']} lost or out of order",
                 f"{self.faults['doubled']} doubled", f"{sum(self.faults.values())} faults in all",
                 f"{sum(proxy.accepted for proxy in self.proxies)} connections",
                 *(f"{count} {name}" for name, count in sorted(self.happened.items()))]
        return f"seed {self.options.seed}: " + ", ".join(parts)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    parser.add_argument("--rate", type=int, default=200, help="messages a second at each QoS")
    parser.add_argument("--library", default=str(library_beside()))
    parser.add_argument("--broker", default=binary())
    parser.add_argument("--faults", choices=["all", "network"], default="all")
    parser.add_argument("--directory", help="keep everything there")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        world = World(options, options.directory or scratch)
        try:
            world.begin()
            if not sum(world.faults.values()):
                world.chaos()
                world.settle()
        finally:
            world.end()
            print(world.summary(), flush=True)
    return 1 if sum(world.faults.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
