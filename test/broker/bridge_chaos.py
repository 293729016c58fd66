#!/usr/bin/python3
"""Two brokers, a bridge between them, and everything goes wrong: was anything lost, doubled or put out of order?

    test/broker/bridge_chaos.py --seconds 600
    test/broker/bridge_chaos.py --broker /usr/sbin/mosquitto --faults none       judges this test

Publishers at both ends number their messages by topic; each topic has one QoS and one publisher. Subscribers at both
ends keep their sessions. Between the brokers there is a proxy that delays, resets, swallows and cuts in the middle of
packets; in a network of its own, if root may have one, the kernel loses packets too. Both brokers are killed, stopped
for a while and started again. In the end all heals, and what was acknowledged to a publisher must have arrived: at
QoS 2 once, at QoS 1 at least once, and for the first time in the order of publishing.
"""

import argparse
import os
import random
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

from broker_process import SANITIZER, binary, environment, free_port
from chaos_clients import Publisher, Stream, Subscriber
from chaos_net import MS, Kernel, Proxy, own_network
from crash_ledger import Faults, now

QUIET = 1500 * MS  # so long without a packet, and all has arrived: the end
GIVE_UP = 60_000 * MS
START_LIMIT = 20_000 * MS
TICK = 5 * MS

GENERAL = """\
allow_anonymous true
persistence true
persistence_location {directory}/
max_queued_messages 0
log_dest file {directory}/log
connection_messages true
"""
OURS = "log_type all\n"
THEIRS = "autosave_interval 1\nuser root\n"

BRIDGE = """\
connection chaos
address 127.0.0.1:{proxy}
restart_timeout 1 2
keepalive_interval 5
cleansession false
topic up1/# out 1
topic up2/# out 2
topic down1/# in 1
topic down2/# in 2
topic both1/# both 1
topic both2/# both 2
"""


class Side:
    """One broker as its clients see it, and its process."""

    def __init__(self, world, name, program):
        self.world = world
        self.name = name
        self.program = program
        self.directory = Path(world.directory, name)
        self.directory.mkdir()
        self.listen = free_port()
        self.port = 0  # for clients; 0 = it does not serve
        self.process = None
        self.start_at = 0  # when it is to be started; 0 = not
        self.starting = 0
        self.stopped_until = 0
        # What clients expect of a world.
        self.selector, self.clients, self.dirty = world.selector, world.clients, world.dirty
        self.faults, self.rng = world.faults, world.rng
        self.last_packet = 0

    def configure(self, text):
        ours = os.path.realpath(self.program) != "/usr/sbin/mosquitto"
        self.directory.joinpath("mosquitto.conf").write_text(
            f"listener {self.listen} 127.0.0.1\n" + text + GENERAL.format(directory=self.directory)
            + (OURS if ours else THEIRS) + ("user root\n" if ours and os.geteuid() == 0 else ""), encoding="utf-8")

    def start(self):
        self.start_at, self.starting = 0, now()
        with open(self.directory / "output", "ab") as output:
            self.process = subprocess.Popen(
                [self.program, "-c", str(self.directory / "mosquitto.conf")], stdin=subprocess.DEVNULL, stdout=output,
                stderr=output, env=environment(), cwd=self.directory)

    def kill(self, number, pause_ns):
        if not self.process or self.process.poll() is not None:
            return False
        self.process.send_signal(signal.SIGCONT)
        self.process.send_signal(number)
        try:
            code = self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.faults.add("does not end", self.name)
            self.process.kill()
            code = self.process.wait()
        if number == signal.SIGTERM and code != 0:
            self.faults.add("exit code", f"{self.name}: {code}")
        self.port, self.process, self.stopped_until = 0, None, 0
        self.start_at = now() + pause_ns
        return True

    def pause(self, length_ns):
        if self.process and not self.stopped_until:
            self.process.send_signal(signal.SIGSTOP)
            self.stopped_until = now() + length_ns

    def go_on(self):
        if self.stopped_until:
            self.process.send_signal(signal.SIGCONT)
        self.stopped_until = 0

    def serves(self):
        """Asked by connecting once, when it has just been started."""
        try:
            socket.create_connection(("127.0.0.1", self.listen), 1).close()
        except OSError:
            return False
        return True

    def tick(self):
        if self.stopped_until and now() > self.stopped_until:
            self.go_on()
        if self.start_at and now() >= self.start_at:
            self.start()
        if not self.process:
            return
        if self.process.poll() is not None:
            self.faults.add("died", f"{self.name}: exit code {self.process.returncode}")
            self.process, self.port, self.start_at = None, 0, now() + 500 * MS
        elif self.starting and self.serves():
            self.port, self.starting = self.listen, 0
        elif self.starting and now() - self.starting > START_LIMIT:
            self.faults.add("does not start", self.name)
            self.starting = 0

    def complaints(self):
        text = self.directory.joinpath("output").read_text(errors="replace")
        if SANITIZER.search(text):
            self.faults.add("sanitizer", text[-3000:])

    def end(self):
        self.go_on()
        if self.process:
            self.kill(signal.SIGTERM, 0)
        self.start_at = 0
        self.complaints()


class World:
    """Both sides, what is between them, and the one loop that serves it all."""

    def __init__(self, options, directory):
        self.options = options
        self.directory = directory
        self.rng = random.Random(options.seed)
        self.selector = selectors.DefaultSelector()
        self.clients, self.dirty, self.faults = [], set(), Faults()
        self.publishing = False
        self.next_tick = 0
        self.happened = {}
        self.healed = now()
        self.near, self.far = Side(self, "near", options.near), Side(self, "far", options.far)
        proxy_port, far_port = free_port(), free_port()
        self.proxy = Proxy(self.selector, self.rng, proxy_port, far_port)
        self.kernel = Kernel([proxy_port, far_port]) if options.inside and options.faults == "all" else None
        self.far.configure(f"listener {far_port} 127.0.0.1\n")
        self.near.configure("")
        with open(self.near.directory / "mosquitto.conf", "a", encoding="utf-8") as conf:
            conf.write(BRIDGE.format(proxy=proxy_port))
        self.populate()

    @property
    def sides(self):
        return self.near, self.far

    def populate(self):
        """Streams up, down, and both ways from both ends."""
        streams = {"near": [], "far": []}  # to be seen there
        kinds = [("up", self.near, ["far"]), ("down", self.far, ["near"]), ("both", self.near, ["near", "far"]),
                 ("both", self.far, ["near", "far"])]
        rate = self.options.rate / (len(self.options.qos) * len(kinds))
        for word, side, seen in kinds:
            for qos in self.options.qos:
                stream = Stream(f"{word}{qos}/{side.name}", qos)
                Publisher(side, f"pub-{stream.topic}", stream, rate)
                for name in seen:
                    streams[name].append(stream)
        self.subscribers = [
            Subscriber(self.near, "sub-near", ["down1/#", "down2/#", "both1/#", "both2/#"], streams["near"]),
            Subscriber(self.far, "sub-far", ["up1/#", "up2/#", "both1/#", "both2/#"], streams["far"]),
        ]
        self.streams = {stream.topic: stream for group in streams.values() for stream in group}

    # --- the loop ---

    def turn(self):
        for key, events in self.selector.select(0.002):
            if events & selectors.EVENT_READ and key.data.sock:
                key.data.readable()
            if events & selectors.EVENT_WRITE and key.data.sock:
                key.data.flush()
        if now() >= self.next_tick:
            self.next_tick = now() + TICK
            for thing in (*self.sides, *self.clients):
                thing.tick()
        self.proxy.tick()
        while self.dirty:
            self.dirty.pop().flush()

    def run(self, length_ns, done=lambda: False):
        limit = now() + length_ns
        while now() < limit:
            if done():
                return True
            self.turn()
        return False

    # --- what goes wrong ---

    def count(self, what):
        self.happened[what] = self.happened.get(what, 0) + 1

    def between(self, low_ms, high_ms):
        return self.rng.randrange(low_ms, high_ms) * MS

    def for_a_while(self, name, value, low_ms, high_ms):
        """A property of the proxy, and then as before."""
        before = getattr(self.proxy, name)
        setattr(self.proxy, name, value)
        self.run(self.between(low_ms, high_ms))
        setattr(self.proxy, name, before)

    def reset(self):
        self.proxy.reset()

    def finish(self):
        self.proxy.finish()

    def cut(self):
        self.proxy.cut()

    def refuse(self):
        self.proxy.reset()
        self.for_a_while("refusing", True, 200, 2000)

    def delay(self):
        self.for_a_while("delay_ms", self.rng.choice([5, 30, 120]), 500, 2500)

    def trickle(self):
        self.for_a_while("trickling", True, 300, 1500)

    def half_open(self):
        """Nothing goes through any more, and nobody says so."""
        self.proxy.swallow()
        if self.rng.random() < 0.3:
            self.run(self.between(8000, 9500))  # longer than any keepalive
        else:
            self.for_a_while("swallowing", True, 300, 2500)
            self.proxy.forget_mute()

    def lose(self):
        self.kernel.lose(self.rng.choice([2, 10, 30]))
        self.run(self.between(800, 4000))
        self.kernel.heal()

    def black_hole(self):
        self.kernel.lose(100)
        self.run(self.between(300, 5000))
        self.kernel.heal()

    def kill_near(self):
        self.near.kill(signal.SIGKILL, self.between(0, 800))

    def kill_far(self):
        self.far.kill(signal.SIGKILL, self.between(0, 800))

    def kill_both(self):
        for side in self.sides:
            side.kill(signal.SIGKILL, self.between(0, 800))

    def restart(self):
        self.rng.choice(self.sides).kill(signal.SIGTERM, self.between(0, 300))

    def reload(self):
        side = self.rng.choice(self.sides)
        if side.port:
            side.process.send_signal(signal.SIGHUP)

    def stand_still(self):
        self.rng.choice(self.sides).pause(self.between(200, 2500))

    def actions(self):
        """All that may happen, more often what is said more often."""
        gentle = [self.delay, self.trickle]
        network = [self.reset, self.reset, self.finish, self.cut, self.cut, self.refuse, self.half_open]
        kills = [self.kill_near, self.kill_far, self.kill_near, self.kill_far, self.kill_both, self.restart,
                 self.reload, self.stand_still]
        kernel = [self.lose, self.lose, self.black_hole] if self.kernel else []
        return {"none": [], "gentle": gentle, "network": gentle + network, "all": gentle + network + kills + kernel}[
            self.options.faults]

    def chaos(self):
        """Everything once in some order, and again in another order, until the time is over."""
        end = now() + int(self.options.seconds * 1e9)
        hand = []
        while now() < end and not self.faults.total():
            if not hand:
                hand = self.actions()
                self.rng.shuffle(hand)
            if hand:
                action = hand.pop()
                self.count(action.__name__)
                action()
            self.run(min(self.between(50, 1500), max(end - now(), 1)))

    # --- from the beginning to the end ---

    def begin(self):
        self.far.start()
        self.run(START_LIMIT, lambda: self.far.port)
        self.near.start()
        for client in self.clients:
            client.due = now()
        ready = self.run(START_LIMIT, lambda: all(s.sure for s in self.subscribers) and self.is_up())
        if not ready:
            self.faults.add("does not begin", "no subscriptions or no bridge")

    def is_up(self):
        """The bridge has been there; what it needs longer for waits at the near side, but not at the far one."""
        if not self.proxy.wires:
            return False
        self.run(500 * MS)
        return True

    def heal(self):
        self.proxy.forget_mute()
        for side in self.sides:
            side.go_on()
        self.healed = now()
        self.publishing = False

    def settled(self):
        quiet = now() - max(side.last_packet for side in self.sides) > QUIET
        return quiet and all(client.idle() for client in self.clients) and not any(
            True for subscriber in self.subscribers for _ in subscriber.missing())

    def settle(self):
        self.heal()
        if self.run(GIVE_UP, self.settled):
            return
        for client in self.clients:
            if not client.idle():
                self.faults.add("unfinished", f"{client.name}: up {client.up}")
        for subscriber in self.subscribers:
            for topic, number in subscriber.missing():
                self.faults.add("loss", f"{subscriber.name}: {topic} {number} of {self.streams[topic].sent}")

    def play(self):
        self.begin()
        if not self.faults.total():
            self.publishing = True
            self.chaos()
            self.settle()
        for side in self.sides:
            side.end()

    def end(self):
        """Whatever still runs."""
        for side in self.sides:
            if side.process and side.process.poll() is None:
                side.process.kill()
                side.process.wait()
        for client in self.clients:
            client.drop()
        self.proxy.close()

    def summary(self):
        sent = {qos: sum(s.sent for s in self.streams.values() if s.qos == qos) for qos in (1, 2)}
        counts = self.faults.counts
        named = ("loss", "duplicate", "reordering")
        others = self.faults.total() - sum(counts[name] for name in named)
        parts = [
            f"{sent[1]} messages at QoS 1 and {sent[2]} at QoS 2",
            f"{sum(s.arrived for s in self.subscribers)} arrivals",
            f"{sum(s.repeats for s in self.subscribers)} of them repeats",
            *(f"{counts[name]} {word}" for name, word in zip(named, ("lost", "doubled", "out of order"))),
            f"{others} other faults", f"{self.proxy.accepted} connections of the bridge",
            f"settled {(now() - self.healed) / 1e9:.1f} s after the end",
            *(f"{count} {name}" for name, count in sorted(self.happened.items())),
        ]
        return f"seed {self.options.seed}: " + ", ".join(parts)


def parse(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--seconds", type=float, default=22)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    parser.add_argument("--rate", type=float, default=400, help="messages in a second, all publishers together")
    parser.add_argument("--qos", type=lambda text: [int(q) for q in text.split(",")], default=[1, 2], metavar="1,2")
    parser.add_argument("--faults", choices=("none", "gentle", "network", "all"), default="all")
    parser.add_argument("--broker", help="both, instead of MOSQUITTO_BIN or build/mosquitto")
    parser.add_argument("--far", help="only the one that is bridged to")
    parser.add_argument("--directory", help="where to put what the brokers need; kept after a fault")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    options.near = options.broker or binary()
    options.far = options.far or options.near
    return options


def main():
    options = parse()
    command = own_network() if options.faults == "all" and not options.inside else None
    if command:
        again = [*command, sys.executable, "-B", os.path.abspath(__file__), *sys.argv[1:], "--inside"]
        os.execvp(again[0], again)
    if options.faults == "all" and not options.inside:
        print("no network of our own here (root, unshare, ip and nft are needed): the kernel loses no packets")
    directory = tempfile.mkdtemp(prefix="chaos-", dir=options.directory)
    os.chmod(directory, 0o755)
    print(f"seed {options.seed}, {options.seconds:g} s", flush=True)
    world = World(options, directory)
    try:
        world.play()
    finally:
        world.end()
    print("\n".join([*world.faults.details, world.summary()]), flush=True)
    if world.faults.total():
        sys.exit(f"what the brokers left is in {directory}")
    shutil.rmtree(directory)


if __name__ == "__main__":
    main()
