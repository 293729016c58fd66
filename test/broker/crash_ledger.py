"""What clients were promised, and whether it was kept, over any number of broker crashes.

Publishers enter every message when they first send it and when it is acknowledged; subscribers enter
what they asked for, what was granted, and what arrived. Each entry has the time of one monotonic
clock in one thread, so that "before" is a fact: a message that was sent after the SUBACK and was
acknowledged before the UNSUBSCRIBE must come; one that was acknowledged before the SUBSCRIBE, or sent
after the UNSUBACK, must not.
"""

import array
import collections
import struct
import time

NEVER = 1 << 62
HEAD = struct.Struct("!QI")
DETAILS = 12

now = time.monotonic_ns


def matches(text, topic):
    """Does a filter match this topic?"""
    wanted, levels = text.split("/"), topic.split("/")
    for index, level in enumerate(wanted):
        if level == "#":
            return True
        if index >= len(levels) or level not in ("+", levels[index]):
            return False
    return len(wanted) == len(levels)


def payload_of(number, filler):
    """Bytes that say which message it is, and whose tail shows whether they are all its own."""
    return HEAD.pack(number, filler) + bytes([number & 0xFF]) * filler


class Messages:
    """All messages that were ever published, by number, in the order of their first sending."""

    def __init__(self):
        # A broker may pass a QoS 2 message on when it arrives, or (late) when it is released: then
        # it is accepted by the PUBCOMP, and messages of different QoS overtake each other.
        self.late = False
        self.topics = []
        self.sent = array.array("q")
        self.acked = array.array("q")
        self.qos = bytearray()
        self.size = array.array("l")
        self.cleared = set()
        self.retained = collections.defaultdict(list)
        self.settled = 0  # what is before this number has been reckoned
        self.crashes = []

    def __len__(self):
        return len(self.sent)

    def new(self, topic, qos, filler, retain=False, clear=False):
        number = len(self.sent)
        self.topics.append(topic)
        self.sent.append(now())
        self.acked.append(NEVER)
        self.qos.append(qos)
        self.size.append(filler)
        if retain:
            self.retained[topic].append(number)
        if clear:
            self.cleared.add(number)
        return number

    def accepted(self, number):
        if self.acked[number] == NEVER:
            self.acked[number] = now()

    def acknowledged(self):
        return sum(1 for when in self.acked if when != NEVER)

    def age(self, number):
        """Nanoseconds from a message's acknowledgement to the next crash."""
        acked = self.acked[number]
        return next((crash - acked for crash in self.crashes if crash > acked), 0)

    def last_before(self, topic, when):
        """The last change of a retained topic that was acknowledged before that time, or None."""
        for number in reversed(self.retained[topic]):
            if self.acked[number] < when:
                return number
        return None


class Faults:
    """Counts by kind, and the first few of each in words."""

    def __init__(self):
        self.counts = collections.Counter()
        self.details = []
        self.lost_age_ns = 0

    def add(self, kind, text):
        self.counts[kind] += 1
        if self.counts[kind] <= DETAILS:
            self.details.append(f"{kind}: {text}")

    def total(self):
        return sum(self.counts.values())


class Span:
    """One subscription of one session, from the SUBSCRIBE to the UNSUBACK."""

    def __init__(self, text, qos):
        self.text = text
        self.qos = qos
        self.asked = now()
        self.sure = NEVER
        self.leaving = NEVER
        self.gone = NEVER
        self.fed = {}


class Inbox:
    """What one client id was promised and has got, from one session's beginning to its end."""

    def __init__(self, name, messages, faults, generation=0, volatile=False):
        self.name = name
        self.messages = messages
        self.faults = faults
        self.generation = generation
        self.volatile = volatile  # a clean session: nothing is promised across connections
        self.spans = []
        self.matching = {}
        self.seen = bytearray()
        self.last = {}
        self.arrived = 0
        self.repeats = 0

    def next(self, volatile):
        """The session was discarded, and this client begins another."""
        return Inbox(self.name, self.messages, self.faults, self.generation + 1, volatile)

    # --- subscriptions ---

    def ask(self, text, qos):
        span = Span(text, qos)
        self.spans.append(span)
        self.matching.clear()
        return span

    def current(self, text):
        """The span of a filter that was not left, or None."""
        for span in self.spans:
            if span.text == text and span.gone == NEVER:
                return span
        return None

    def spans_of(self, topic):
        found = self.matching.get(topic)
        if found is None:
            found = self.matching[topic] = [s for s in self.spans if matches(s.text, topic)]
        return found

    # --- arrivals ---

    def fault(self, kind, number, text):
        m = self.messages
        at = "" if number is None else f" message {number} on {m.topics[number]} qos {m.qos[number]}"
        self.faults.add(kind, f"{self.name}.{self.generation}{at} {text}")

    def read(self, packet):
        """The number of an arrived message, if it is one of ours and whole; otherwise None."""
        if not packet.payload:
            if packet.topic not in self.messages.retained:
                self.fault("garbage", None, f"empty message on {packet.topic}")
            return None
        if len(packet.payload) < HEAD.size:
            self.fault("garbage", None, f"{packet.payload!r:.40} on {packet.topic}")
            return None
        number, filler = HEAD.unpack_from(packet.payload)
        if number >= len(self.messages) or self.messages.topics[number] != packet.topic:
            self.fault("garbage", None, f"number {number} on {packet.topic}")
            return None
        if filler != self.messages.size[number] or packet.payload != payload_of(number, filler):
            self.fault("garbage", number, "came with another payload")
            return None
        return number

    def arrive(self, packet):
        """A message that the client has taken, after what packet ids tell of repetitions."""
        number = self.read(packet)
        if number is None:
            return
        self.arrived += 1
        if packet.retain:
            self.arrive_retained(number)
            return
        if number >= len(self.seen):
            self.seen.extend(bytes(len(self.messages) - len(self.seen)))
        self.check_wanted(number)
        self.check_count(number, packet)
        self.note_fed(number)

    def check_wanted(self, number):
        sent = self.messages.sent[number]
        acked = self.messages.acked[number]
        if not any(s.asked < acked and s.gone > sent for s in self.spans_of(self.messages.topics[number])):
            self.fault("not asked for", number, "arrived without a subscription")

    def check_count(self, number, packet):
        before = self.seen[number]
        self.seen[number] = before | packet.qos
        if before:
            self.repeats += 1
            if (packet.qos | before) & 2:
                self.fault("duplicate", number, f"came again at qos {packet.qos}, dup {packet.dup}")
            return
        key = (packet.topic, self.messages.qos[number] if self.messages.late else 0)
        if self.last.get(key, -1) < number:
            self.last[key] = number
        elif self.was_subscribed(number):
            self.fault("reordering", number, f"came after {self.last[key]}")

    def was_subscribed(self, number):
        """Since before the message was first sent? Otherwise its first sending may not have been for
        us, and the repeat, after a crash, was."""
        m = self.messages
        spans = self.spans_of(m.topics[number])
        return any(s.sure < m.sent[number] and s.leaving == NEVER for s in spans)

    def arrive_retained(self, number):
        """A value that was retained at some time since the subscription was asked for."""
        m = self.messages
        topic = m.topics[number]
        spans = [s for s in self.spans_of(topic)]
        if not spans:
            self.fault("not asked for", number, "was given as retained")
            return
        newer = m.last_before(topic, min(s.asked for s in spans))
        if newer is not None and newer > number:
            self.fault("stale retained", number, f"was given though {newer} had been acknowledged")
        self.note_fed(number)

    def note_fed(self, number):
        topic = self.messages.topics[number]
        if topic in self.messages.retained:
            for span in self.spans_of(topic):
                span.fed[topic] = max(span.fed.get(topic, -1), number)

    # --- the reckoning ---

    def missing(self, first):
        """Messages from number `first` on that were promised and have not arrived."""
        if self.volatile:
            return []
        m = self.messages
        out = []
        for number in range(first, len(m)):
            if number < len(self.seen) and self.seen[number]:
                continue
            acked = m.acked[number]
            if acked == NEVER or number in m.cleared:
                continue
            sent = m.sent[number]
            if any(s.sure < sent and acked < s.leaving for s in self.spans_of(m.topics[number])):
                out.append(number)
        return out

    def unfed(self):
        """Subscriptions that were not given a retained message which they should have seen."""
        if self.volatile:
            return []
        out = []
        for span in self.spans:
            if span.sure == NEVER or span.leaving != NEVER:
                continue
            for topic, changes in self.messages.retained.items():
                if matches(span.text, topic) and self.is_unfed(span, topic, changes):
                    out.append((span.text, topic))
        return out

    def is_unfed(self, span, topic, changes):
        wanted = self.messages.last_before(topic, span.asked)
        if wanted is None or span.fed.get(topic, -1) >= wanted:
            return False
        # A value that was cleared before it could be given need not come.
        return not any(n in self.messages.cleared for n in changes if n >= wanted)

    def reckon(self, first):
        for number in self.missing(first):
            age = self.messages.age(number)
            self.faults.lost_age_ns = max(self.faults.lost_age_ns, age)
            self.fault("loss", number, f"was acknowledged {age / 1e6:.1f} ms before a crash")
        for text, topic in self.unfed():
            self.faults.add("retained not given", f"{self.name}.{self.generation} {text} {topic}")
