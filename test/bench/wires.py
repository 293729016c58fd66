"""Crowds of clients over raw sockets: prebuilt bytes out, so many bytes of answers in.

Nothing is decoded that need not be: answers have known lengths, so a crowd is made as fast as the broker can.
"""

import resource
import socket
import struct
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "broker"))
from mqtt_wire import connect, puback, publish, subscribe, unsubscribe  # noqa: E402, F401

PATIENCE = 60
PORTS_EACH = 10_000  # connections from one loopback address: fewer than there are ephemeral ports
BATCH = 500  # connections that are opened before their answers are read
CONNACK_SIZE = 4
IP_BIND_ADDRESS_NO_PORT = 24  # Python 3.11 has no name for it
CLOSE_AT_ONCE = struct.pack("ii", 1, 0)  # a reset: no TIME_WAIT holds the port


def read_exactly(sock, count):
    """The last piece of `count` bytes."""
    piece = b""
    while count > 0:
        piece = sock.recv(min(count, 1 << 20))
        if not piece:
            raise ConnectionError("the broker hung up")
        count -= len(piece)
    return piece


def dial(port, number=0):
    """A connection; its number decides from which loopback address it comes."""
    sock = socket.socket()
    sock.settimeout(PATIENCE)
    if number >= PORTS_EACH:
        # Only the whole connection need be unique, not the port at this address.
        sock.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
        sock.bind((f"127.1.{number // PORTS_EACH}.1", 0))
    sock.connect(("127.0.0.1", port))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def login(port, name, **said):
    sock = dial(port)
    sock.sendall(connect(name, **{"keepalive": 0, **said}))
    read_exactly(sock, CONNACK_SIZE)
    return sock


def hang_up(socks):
    for sock in socks:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, CLOSE_AT_ONCE)
        sock.close()


def barrier(sock):
    """Until the broker has dealt with all that was sent."""
    sock.sendall(b"\xc0\x00")
    read_exactly(sock, 2)


def connect_many(port, count, name, keepalive=0, more=b"", answer=0, first=0):
    """So many connections, each of which also sends `more` and is answered by so many bytes."""
    socks = []
    while len(socks) < count:
        batch = []
        for number in range(len(socks), min(count, len(socks) + BATCH)):
            batch.append(dial(port, first + number))
            batch[-1].sendall(connect(f"{name}{number}", keepalive=keepalive) + more)
        for sock in batch:
            read_exactly(sock, CONNACK_SIZE + answer)
        socks += batch
    return socks


def subscribe_many(sock, filters, at_once=100):
    """All filters, so many to a packet and ten packets before their answers are read."""
    packets = [filters[at : at + at_once] for at in range(0, len(filters), at_once)]
    for at in range(0, len(packets), 10):
        some = packets[at : at + 10]
        sock.sendall(b"".join(subscribe(mid, *((one, 0) for one in each))
                              for mid, each in enumerate(some, 1)))
        # A SUBACK has two bytes of length from 126 filters on.
        read_exactly(sock, sum(4 + len(each) + (len(each) > 125) for each in some))


def hold_sessions(port, count, filters_each):
    """Absent sessions, each with so many subscriptions."""
    for start in range(0, count, BATCH):
        batch = []
        for number in range(start, min(count, start + BATCH)):
            sock = dial(port, number)
            filters = [(f"absent/{number}/{each}", 0) for each in range(filters_each)]
            sock.sendall(connect(f"absent-{number}", clean=False, keepalive=0) + subscribe(1, *filters))
            batch.append(sock)
        for sock in batch:
            read_exactly(sock, CONNACK_SIZE + 4 + filters_each)
            sock.sendall(b"\xe0\x00")
        hang_up(batch)


def publish_many(sock, packets):
    """Sends any number of packets; the broker has had them all when this returns."""
    block = []
    for packet in packets:
        block.append(packet)
        if len(block) == 2000:
            sock.sendall(b"".join(block))
            block = []
    sock.sendall(b"".join(block))
    barrier(sock)


def retain_many(port, count):
    """So many retained messages; how many bytes their delivery takes."""
    sock = login(port, "keeper")
    packets = [publish(f"kept/{number // 1000}/{number}", b"x" * 64, retain=True) for number in range(count)]
    publish_many(sock, packets)
    sock.close()
    return sum(len(packet) for packet in packets)


def descriptors():
    """How many connections this process may have, with some left for itself."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0] - 100


class Deadline:
    """For loads that go on until a time."""

    def __init__(self, seconds):
        self.end = time.monotonic() + seconds

    def ahead(self):
        return time.monotonic() < self.end
