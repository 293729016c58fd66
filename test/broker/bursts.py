"""Many messages a second from one Python thread: whole bursts are built and taken apart at once.

For measuring. Packets of one stream have one length, so that ids and numbers can be cut out by slices.
"""

import os
import select
import struct
import time

from mqtt_wire import field, publish, remaining_length

NUMBER = struct.Struct("!Q")
PUBACK_HEAD = b"\x40\x02"
LIMIT = 60.0


def cpu_ns(pid):
    """Processor time of all threads of a process."""
    total = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/schedstat", encoding="ascii") as file:
            total += int(file.read().split()[0])
    return total


class Source:
    """A publisher of numbered messages of one size at QoS 1, `window` at a time."""

    def __init__(self, client, topic, size, window=100):
        self.client = client
        self.topic = topic
        self.filler = b"x" * (size - NUMBER.size)
        self.window = window
        self.number = 0
        self.due = 0

    def burst(self, count=None):
        """Send so many at once; their PUBACKs are due."""
        count = count or self.window
        packets = [
            publish(self.topic, NUMBER.pack(self.number + i) + self.filler, 1, i + 1) for i in range(count)
        ]
        self.number += count
        self.due += 4 * count
        self.client.sock.sendall(b"".join(packets))

    def take(self):
        """Read acknowledgements; True: none is due."""
        data = self.client.sock.recv(65536)
        assert data, "the publisher was disconnected"
        self.due -= len(data)
        assert self.due >= 0
        return self.due == 0

    def send_all(self, count):
        """Publish so many, burst by burst."""
        end = self.number + count
        while self.number < end:
            self.burst(min(self.window, end - self.number))
            while not self.take():
                pass


class Sink:
    """A subscriber to one topic that acknowledges each message; checks that numbers come in order."""

    def __init__(self, client, topic, size):
        self.client = client
        body = len(field(topic)) + 2 + size
        self.head = 1 + len(remaining_length(body))
        self.length = self.head + body
        self.mid_at = self.head + len(field(topic))
        self.rest = bytes(client.buffer)  # what came with the CONNACK
        client.buffer = type(client.buffer)()
        self.taken = 0
        self.wanted = 0
        self.next = 0

    def take(self):
        """Read and acknowledge what has come; how many messages."""
        data = self.client.sock.recv(1 << 20)
        assert data, "the subscriber was disconnected"
        data = self.rest + data
        count = len(data) // self.length
        self.rest = data[count * self.length :]
        acks = []
        for at in range(self.mid_at, count * self.length, self.length):
            acks.append(PUBACK_HEAD + data[at : at + 2])
            (number,) = NUMBER.unpack_from(data, at + 2)
            assert number == self.next, f"number {number} came instead of {self.next}"
            self.next += 1
        if acks:
            self.client.sock.sendall(b"".join(acks))
        self.taken += count
        return count

    def take_all(self, count):
        """So many more than were asked for before; some of them may have come already."""
        self.wanted += count
        while self.taken < self.wanted:
            self.take()


class Pairs:
    """Publishers with a subscriber each, all sessions lasting, that work in bursts."""

    def __init__(self, broker, count, size, window=100):
        self.sources, self.sinks = {}, {}
        self.poll = select.poll()
        self.window = window
        for index in range(count):
            topic = f"pairs/{index:04d}"
            reader = broker.connect(f"reader{index}", clean=False, keepalive=0)
            reader.subscribe(topic, qos=1)
            writer = broker.connect(f"writer{index}", clean=False, keepalive=0)
            self.sinks[reader.sock.fileno()] = Sink(reader, topic, size)
            self.sources[writer.sock.fileno()] = Source(writer, topic, size, window)
        for fd in (*self.sinks, *self.sources):
            self.poll.register(fd, select.POLLIN)

    def round(self):
        """One burst of each, until all has arrived; how many messages."""
        expected = sum(s.taken for s in self.sinks.values()) + self.window * len(self.sinks)
        waiting = len(self.sources)
        for source in self.sources.values():
            source.burst()
        limit = time.monotonic() + LIMIT
        while waiting or sum(s.taken for s in self.sinks.values()) < expected:
            assert time.monotonic() < limit, "the broker stalls"
            for fd, _ in self.poll.poll(1000):
                if fd in self.sinks:
                    self.sinks[fd].take()
                else:
                    waiting -= self.sources[fd].take()
        return self.window * len(self.sources)

    def run(self, seconds):
        end = time.monotonic() + seconds
        count = 0
        while time.monotonic() < end:
            count += self.round()
        return count
