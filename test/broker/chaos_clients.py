"""Publishers and subscribers at the two ends of a bridge: numbered messages by topic, and a judgement of what came.

Like those of crash_clients.py they keep their own state over everything that happens to their broker.
"""

import struct

from chaos_net import MS
from crash_clients import Peer
from crash_ledger import now
from mqtt_wire import (
    PUBACK, PUBCOMP, PUBLISH, PUBREC, PUBREL, SUBACK, puback, pubcomp, publish, pubrec, pubrel, subscribe,
)

NUMBER = struct.Struct("!I")


class Stream:
    """A topic: what was published there, and what was acknowledged."""

    def __init__(self, topic, qos):
        self.topic = topic
        self.qos = qos
        self.acked = bytearray()

    @property
    def sent(self):
        return len(self.acked)


class Client(Peer):
    """Comes again whenever it is lost."""

    def lost(self):
        self.drop()
        self.due = now() + self.world.rng.randrange(20, 120) * MS

    def open(self, clean=False):
        super().open(clean)
        if not self.sock:
            self.due = now() + 50 * MS


class Publisher(Client):
    """One topic, a few messages ahead of its acknowledgements."""

    def __init__(self, side, name, stream, rate, window=10):
        super().__init__(side, name)
        self.stream = stream
        self.each = 1e9 / rate
        self.window = window
        self.next_at = 0
        self.next_id = 0
        self.inflight = {}  # id: [number, released, PUBLISH as it was]

    def connected(self, session_present):
        super().connected(session_present)
        for mid, (_, released, raw) in self.inflight.items():
            self.send(pubrel(mid) if released else bytes([raw[0] | 8]) + raw[1:])

    def publish(self):
        stream = self.stream
        self.next_id = self.next_id % 65535 + 1
        filler = self.world.rng.choice([0, 20, 60, 60, 200, 1500])
        raw = publish(stream.topic, NUMBER.pack(stream.sent) + bytes(filler), stream.qos, self.next_id)
        self.inflight[self.next_id] = [stream.sent, False, raw]
        stream.acked.append(0)
        self.send(raw)

    def tick(self):
        super().tick()
        if not self.world.world.publishing:
            self.next_at = 0
            return
        self.next_at = max(self.next_at or now(), now() - 300 * MS)
        while self.up and len(self.inflight) < self.window and self.next_at <= now():
            self.next_at += self.each
            self.publish()

    def done(self, mid):
        self.stream.acked[self.inflight.pop(mid)[0]] = 1

    def on_puback(self, packet):
        if self.stream.qos == 1 and packet.mid in self.inflight:
            self.done(packet.mid)

    def on_pubrec(self, packet):
        if packet.mid in self.inflight:
            self.inflight[packet.mid][1] = True
        self.send(pubrel(packet.mid))

    def on_pubcomp(self, packet):
        if packet.mid in self.inflight and self.inflight[packet.mid][1]:
            self.done(packet.mid)

    def idle(self):
        return super().idle() and not self.inflight

    handlers = {PUBACK: on_puback, PUBREC: on_pubrec, PUBCOMP: on_pubcomp}


class Subscriber(Client):
    """Sees all streams that should come to its side, and judges what it sees."""

    def __init__(self, side, name, filters, streams):
        super().__init__(side, name)
        self.filters = filters
        self.streams = {stream.topic: stream for stream in streams}
        self.got = {topic: bytearray() for topic in self.streams}
        self.highest = dict.fromkeys(self.streams, -1)
        self.incoming = {}
        self.sure = False
        self.arrived = 0
        self.repeats = 0

    def connected(self, session_present):
        super().connected(session_present)
        if not session_present:
            self.incoming.clear()
            self.sure = False
        if not self.sure:
            self.send(subscribe(60000, *((text, 2) for text in self.filters)))

    def on_suback(self, packet):
        self.sure = True

    def arrive(self, packet):
        stream = self.streams.get(packet.topic)
        (number,) = NUMBER.unpack_from(packet.payload)
        if stream is None or number >= stream.sent:
            self.world.faults.add("never published", f"{self.name}: {packet}")
            return
        got = self.got[packet.topic]
        got.extend(bytes(stream.sent - len(got)))
        self.arrived += 1
        if got[number]:
            self.repeat(stream, number)
        elif number < self.highest[packet.topic]:
            last = self.highest[packet.topic]
            self.world.faults.add("reordering", f"{self.name}: {packet.topic} {number} after {last}")
        got[number] = min(got[number] + 1, 255)
        self.highest[packet.topic] = max(number, self.highest[packet.topic])

    def repeat(self, stream, number):
        self.repeats += 1
        if stream.qos == 2:
            self.world.faults.add("duplicate", f"{self.name}: {stream.topic} {number}")

    def on_publish(self, packet):
        if packet.qos < 2:
            self.arrive(packet)
            if packet.qos:
                self.send(puback(packet.mid))
            return
        if packet.mid not in self.incoming:
            self.incoming[packet.mid] = packet.payload
            self.arrive(packet)
        elif self.incoming[packet.mid] != packet.payload:
            self.world.faults.add("packet id in use", f"{self.name} {packet}")
        self.send(pubrec(packet.mid))

    def on_pubrel(self, packet):
        self.incoming.pop(packet.mid, None)
        self.send(pubcomp(packet.mid))

    def missing(self):
        """Acknowledged, but not here: (topic, number)."""
        for topic, stream in self.streams.items():
            got = self.got[topic]
            if got.count(0) or len(got) < stream.sent:
                for number, acked in enumerate(stream.acked):
                    if acked and (number >= len(got) or not got[number]):
                        yield topic, number

    def idle(self):
        return super().idle() and self.sure and not self.incoming

    handlers = {PUBLISH: on_publish, PUBREL: on_pubrel, SUBACK: on_suback}
