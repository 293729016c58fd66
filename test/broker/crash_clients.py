"""Clients that keep their own state over broker crashes, as MQTT asks of them.

All live in one thread and one event loop. A publisher sends again what was not acknowledged, with the
same packet ids; a subscriber remembers the QoS 2 ids whose handshake is not over. What they see and do
goes into the ledger.
"""

import random
import selectors
import socket

import mqtt_wire
from crash_ledger import Faults, Inbox, Messages, now, payload_of
from mqtt_wire import (
    CONNACK, PUBACK, PUBCOMP, PUBLISH, PUBREC, PUBREL, SUBACK, UNSUBACK, cut, puback, pubcomp,
    publish, pubrec, pubrel, subscribe, unsubscribe,
)

MS = 1_000_000
TICK = 2 * MS
RECEIVE = 1 << 17


class World:
    """The clients, the loop that serves them, and what they have seen."""

    def __init__(self, seed):
        self.rng = random.Random(seed)
        self.selector = selectors.DefaultSelector()
        self.messages = Messages()
        self.faults = Faults()
        self.clients = []
        self.port = 0  # of the broker; 0 = there is none
        self.publishing = False
        self.left = 0  # messages that may still be published in this round
        self.dirty = set()
        self.next_tick = 0
        self.last_packet = 0

    def chance(self, probability):
        return self.rng.random() < probability

    def turn(self, wait_ms=2):
        """Wait a little, take what has come, let clients do what they do by themselves."""
        for key, events in self.selector.select(wait_ms / 1000):
            if events & selectors.EVENT_READ:
                key.data.readable()
            if events & selectors.EVENT_WRITE and key.data.sock:
                key.data.flush()
        if now() >= self.next_tick:
            self.next_tick = now() + TICK
            for client in self.clients:
                client.tick()
        self.flush()

    def flush(self):
        dirty, self.dirty = self.dirty, set()
        for client in dirty:
            client.flush()

    def run(self, until, done=lambda: False):
        while now() < until and not done():
            self.turn()

    def close_all(self):
        for client in self.clients:
            client.lost()


class Peer:
    """One client id, with or without a connection."""

    def __init__(self, world, name):
        self.world = world
        self.name = name
        self.sock = None
        self.inbuf = bytearray()
        self.out = bytearray()
        self.writing = False
        self.up = False  # the CONNACK has come
        self.clean = False  # of the last CONNECT
        self.present = False  # does the broker have the session? None: not known
        self.due = 0  # when to connect; 0 = not
        self.away = 0  # rounds to stay away
        world.clients.append(self)

    # --- connection ---

    def open(self, clean=False):
        self.due = 0
        if not self.world.port:
            return
        sock = socket.socket()
        try:
            sock.connect(("127.0.0.1", self.world.port))
        except OSError:
            sock.close()
            return
        if self.sock:
            self.drop()  # only after the new one is there: the broker sees a takeover
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setblocking(False)
        self.sock = sock
        self.world.selector.register(sock, selectors.EVENT_READ, self)
        self.clean = clean
        if clean or not self.present:
            self.present = None
        self.send(mqtt_wire.connect(self.name, clean=clean, keepalive=600))

    def drop(self):
        """Close without a word."""
        if self.sock:
            self.world.selector.unregister(self.sock)
            self.sock.close()
        self.sock = None
        self.up = False
        self.writing = False
        self.inbuf.clear()
        self.out.clear()

    def lost(self):
        self.drop()

    def readable(self):
        try:
            data = self.sock.recv(RECEIVE)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.lost()
            return
        self.inbuf += data
        self.world.last_packet = now()
        while self.sock and (packet := cut(self.inbuf)) is not None:
            self.take(packet)

    def send(self, raw):
        self.out += raw
        self.world.dirty.add(self)

    def flush(self):
        if not self.sock:
            return
        try:
            sent = self.sock.send(self.out) if self.out else 0
        except BlockingIOError:
            sent = 0
        except OSError:
            self.out.clear()  # what has arrived may still be read
            return
        del self.out[:sent]
        if self.writing != bool(self.out):
            self.writing = bool(self.out)
            more = selectors.EVENT_WRITE if self.writing else 0
            self.world.selector.modify(self.sock, selectors.EVENT_READ | more, self)

    # --- packets ---

    def take(self, packet):
        if packet.kind == CONNACK:
            assert packet.code == 0, packet
            self.up = True
            self.connected(packet.session_present)
        elif packet.kind in self.handlers:
            self.handlers[packet.kind](self, packet)
        else:
            self.world.faults.add("unexpected", f"{self.name} got {packet}")

    handlers = {}

    def connected(self, session_present):
        if session_present and (self.clean or self.present is False):
            self.world.faults.add("session came back", self.name)
        if self.present is True and not session_present and not self.clean:
            self.world.faults.add("session lost", self.name)
        self.present = not self.clean

    def tick(self):
        if self.due and now() >= self.due:
            self.open()

    def idle(self):
        """Nothing is outstanding."""
        return self.up and not self.out


class Publisher(Peer):
    """Publishes bursts at QoS 1 and 2, some retained; packet ids are few, so that they come again."""

    def __init__(self, world, name, topics, retained, ids=40):
        super().__init__(world, name)
        self.topics = topics
        self.retained = retained
        self.ids = ids
        self.window = world.rng.choice([1, 5, 18])
        self.next_id = 0
        self.inflight = {}  # id: [number, released, PUBLISH as it was]
        self.later = []

    def connected(self, session_present):
        super().connected(session_present)
        self.later.clear()
        for mid, (_, released, raw) in self.inflight.items():
            self.send(pubrel(mid) if released else bytes([raw[0] | 8]) + raw[1:])

    def new_id(self):
        while True:
            self.next_id = self.next_id % self.ids + 1
            if self.next_id not in self.inflight:
                return self.next_id

    def publish(self):
        world = self.world
        retain = world.chance(0.15)
        clear = retain and world.chance(0.2)
        topic = world.rng.choice(self.retained if retain else self.topics)
        # One QoS for a retained topic: a repeat at QoS 1 would overtake what follows at QoS 2.
        qos = 1 + self.retained.index(topic) % 2 if retain else world.rng.choice([1, 2])
        filler = world.rng.choice([0, 20, 60, 60, 150, 150, 500, world.rng.randrange(12000)])
        mid = self.new_id()
        number = world.messages.new(topic, qos, filler, retain, clear)
        payload = b"" if clear else payload_of(number, filler)
        raw = publish(topic, payload, qos, mid, retain)
        self.inflight[mid] = [number, False, raw]
        world.left -= 1
        self.send(raw)

    def burst(self):
        while self.up and self.world.left > 0 and len(self.inflight) < self.window:
            self.publish()

    def on_puback(self, packet):
        entry = self.inflight.get(packet.mid)
        if entry and self.world.messages.qos[entry[0]] == 1:
            self.world.messages.accepted(entry[0])
            del self.inflight[packet.mid]
            self.perhaps_burst()

    def perhaps_burst(self):
        if self.world.publishing and len(self.inflight) < self.window / 2:
            self.burst()

    def on_pubrec(self, packet):
        entry = self.inflight.get(packet.mid)
        if not entry:
            return
        if not self.world.messages.late:
            self.world.messages.accepted(entry[0])
        entry[1] = True
        if self.later or self.world.chance(0.05):
            self.later.append(pubrel(packet.mid))
        else:
            self.send(pubrel(packet.mid))

    def on_pubcomp(self, packet):
        entry = self.inflight.get(packet.mid)
        if entry and entry[1]:
            self.world.messages.accepted(entry[0])
            del self.inflight[packet.mid]
            self.perhaps_burst()

    def tick(self):
        super().tick()
        if self.up and self.later and self.world.chance(0.3):
            self.send(b"".join(self.later))
            self.later.clear()
        if not self.world.publishing or not self.up:
            return
        if self.world.chance(0.3):
            self.burst()
        if self.world.chance(0.002):
            self.reconnect()

    def reconnect(self):
        """Come again, over the old connection or after it."""
        if self.world.chance(0.5):
            self.drop()
            self.due = now() + self.world.rng.randrange(30) * MS
        else:
            self.open()

    def idle(self):
        return super().idle() and not self.inflight

    handlers = {PUBACK: on_puback, PUBREC: on_pubrec, PUBCOMP: on_pubcomp}


class Subscriber(Peer):
    """Takes messages and answers them: at once or late, staying or not, with changing wishes."""

    def __init__(self, world, name, stable, changing=(), fickle=False, lazy=0.02, roving=0.0):
        super().__init__(world, name)
        self.stable = stable  # filters with their QoS, for as long as the session lives
        self.changing = changing  # … and those that come and go
        self.fickle = fickle  # sometimes discards its session
        self.lazy = lazy  # how often answers wait
        self.roving = roving  # how often it goes away for some rounds
        self.inbox = Inbox(name, world.messages, world.faults)
        self.incoming = {}  # QoS 2 ids whose handshake is not over
        self.later = []
        self.wishes = {}  # packet id: ("+" or "-", span)
        self.next_id = 60000

    # --- session ---

    def open(self, clean=False):
        # Until a clean CONNECT has been answered nobody knows which session there is.
        super().open(clean or (self.clean and self.present is None))

    def connected(self, session_present):
        if self.present is True and not session_present and not self.clean:
            self.inbox.reckon(self.world.messages.settled)
        super().connected(session_present)
        if self.clean or not session_present or self.inbox.volatile:
            self.inbox = self.inbox.next(volatile=self.clean)
            self.incoming.clear()
            self.wishes.clear()
        self.later.clear()
        for mid, (sign, span) in self.wishes.items():
            self.send_wish(mid, sign, span)
        for text, qos in self.stable:
            if not self.inbox.current(text):
                self.wish("+", self.inbox.ask(text, qos))

    def lost(self):
        super().lost()
        self.later.clear()

    def wish(self, sign, span):
        self.next_id = 60000 + (self.next_id + 1) % 1000
        self.wishes[self.next_id] = (sign, span)
        self.send_wish(self.next_id, sign, span)

    def send_wish(self, mid, sign, span):
        raw = subscribe(mid, (span.text, span.qos)) if sign == "+" else unsubscribe(mid, span.text)
        self.send(raw)

    def on_suback(self, packet):
        sign, span = self.wishes.pop(packet.mid, ("", None))
        if sign != "+" or packet.codes != [span.qos]:
            self.world.faults.add("unexpected", f"{self.name} got {packet}")
            return
        span.sure = now()

    def on_unsuback(self, packet):
        sign, span = self.wishes.pop(packet.mid, ("", None))
        if sign != "-":
            self.world.faults.add("unexpected", f"{self.name} got {packet}")
            return
        span.gone = now()

    # --- messages ---

    def answer(self, raw):
        if self.later or self.world.chance(self.lazy):
            self.later.append(raw)
        else:
            self.send(raw)

    def on_publish(self, packet):
        if packet.qos == 2:
            if packet.mid not in self.incoming:
                self.incoming[packet.mid] = packet.payload
                self.inbox.arrive(packet)
            elif self.incoming[packet.mid] != packet.payload:
                self.world.faults.add("packet id in use", f"{self.name} {packet}")
            self.answer(pubrec(packet.mid))
            return
        self.inbox.arrive(packet)
        if packet.qos == 1:
            self.answer(puback(packet.mid))

    def on_pubrel(self, packet):
        self.incoming.pop(packet.mid, None)
        self.answer(pubcomp(packet.mid))

    # --- by itself ---

    def tick(self):
        super().tick()
        if not self.up:
            return
        if self.later and (not self.world.publishing or self.world.chance(0.1)):
            self.send(b"".join(self.later))
            self.later.clear()
        if self.world.publishing:
            self.change()

    def change(self):
        world = self.world
        if self.changing and not self.wishes and world.chance(0.05):
            text, qos = world.rng.choice(self.changing)
            span = self.inbox.current(text)
            if span:
                span.leaving = now()
                self.wish("-", span)
            else:
                self.wish("+", self.inbox.ask(text, qos))
        if self.fickle and world.chance(0.01):
            self.open(clean=not self.clean)
        elif world.chance(0.003):
            self.open() if world.chance(0.5) else self.leave(0)
        elif world.chance(self.roving):
            self.leave(world.rng.randrange(1, 4))

    def leave(self, rounds):
        self.lost()
        self.away = rounds
        self.due = 0 if rounds else now() + self.world.rng.randrange(30) * MS

    def idle(self):
        return super().idle() and not self.wishes and not self.later and not self.incoming

    handlers = {
        PUBLISH: on_publish, PUBREL: on_pubrel, SUBACK: on_suback, UNSUBACK: on_unsuback,
    }


def populate(world, publishers=8):
    """The usual mixture of clients."""
    for index in range(publishers):
        topics = [f"load/{index}/{kind}" for kind in ("a", "b", "c")]
        Publisher(world, f"pub{index}", topics, [f"kept/{index}/{n}" for n in range(4)])
    everything = [("load/#", 2)]
    Subscriber(world, "all2", everything, lazy=0.01)
    Subscriber(world, "all1", [("load/#", 1)], lazy=0.01)
    Subscriber(world, "both", [("load/+/a", 1), ("load/1/#", 2), ("load/#", 1)])
    Subscriber(world, "kept", [("kept/#", 2)])
    for index in range(publishers):
        Subscriber(world, f"one{index}", [(f"load/{index}/+", 1 + index % 2)], lazy=0.1,
                   roving=0.01 if index % 4 == 0 else 0.001)
    for index in range(3):
        Subscriber(world, f"moody{index}", [(f"load/{index}/a", 2)],
                   changing=[(f"load/{index + 1}/#", 1), ("load/+/b", 2), (f"kept/{index}/+", 2)])
    for index in range(2):
        Subscriber(world, f"fickle{index}", [(f"load/{index}/#", 2), (f"kept/{index}/0", 1)],
                   fickle=True)
