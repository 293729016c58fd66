"""A remote broker of the test's own: the test decides on each byte that a bridge gets, and sees each that it sends.

    broker = brokers.start(*section(remote, "topic a/# out 1"))
    link = remote.welcome(outs=["a/#"])      the bridge's connection, CONNACK sent, its filters acknowledged
    link.take("a/b", "payload")              what it brings, checked and acknowledged in full
    link.publish("c", "payload", qos=1)      what it gets, and its acknowledgements awaited

Nothing goes on behind the test's back but one thing: a bridge of ours tells the name of its broker by a filter below
`$SYS/broker/peer`, which is granted and kept in `link.peers`.
"""

import contextlib
import re
import socket
import struct

import mqtt_wire
import pytest
from broker_process import free_port
from listener_tools import SocketClient
from mqtt_wire import (
    CONNACK, CONNECT, DISCONNECT, NAMES, PINGREQ, PINGRESP, PUBACK, PUBCOMP, PUBLISH, PUBREC, PUBREL, SUBACK, SUBSCRIBE,
    UNSUBACK, UNSUBSCRIBE, WireError, ack, demand, packet, u16,
)

PEER = "$SYS/broker/peer/"
HOST = socket.gethostname()


class Fields:
    """A packet's body, read from its front."""

    def __init__(self, body):
        self.body = body

    def take(self, size):
        demand(len(self.body) >= size, f"a packet ends {size - len(self.body)} bytes too early")
        head, self.body = self.body[:size], self.body[size:]
        return head

    def byte(self):
        return self.take(1)[0]

    def word(self):
        return struct.unpack("!H", self.take(2))[0]

    def field(self):
        return self.take(self.word())

    def text(self):
        return self.field().decode("utf-8")


def decode_connect(p):
    demand(p.flags == 0, "CONNECT with flags")
    fields = Fields(p.body)
    p.name, p.level, bits, p.keepalive, p.id = (
        fields.text(), fields.byte(), fields.byte(), fields.word(), fields.text())
    demand(not bits & 1, "CONNECT with the reserved flag")
    p.clean = bool(bits & 2)
    p.will = None
    if bits & 4:
        p.will = {"topic": fields.text(), "payload": fields.field(), "qos": bits >> 3 & 3, "retain": bool(bits & 0x20)}
    else:
        demand(not bits & 0x38, "CONNECT with flags of a will that it has not")
    p.username = fields.text() if bits & 0x80 else None
    p.password = fields.field() if bits & 0x40 else None
    demand(p.username is not None or p.password is None, "CONNECT with a password and no user name")
    demand(not fields.body, "CONNECT with bytes behind its end")


def decode_filters(p):
    demand(p.flags == 2, f"{NAMES[p.kind]} with flags {p.flags}")
    fields = Fields(p.body)
    p.mid = fields.word()
    demand(p.mid, "packet identifier 0")
    p.filters = []
    while fields.body:
        text = fields.text()
        p.filters.append((text, fields.byte()) if p.kind == SUBSCRIBE else text)
    demand(p.filters, f"{NAMES[p.kind]} without a filter")


def decode_empty(p):
    demand(p.flags == 0 and not p.body, f"{NAMES[p.kind]} with flags or a body")


OF_CLIENTS = {CONNECT: decode_connect, SUBSCRIBE: decode_filters, UNSUBSCRIBE: decode_filters,
              PINGREQ: decode_empty, DISCONNECT: decode_empty}
OF_BOTH = (PUBLISH, PUBACK, PUBREC, PUBREL, PUBCOMP)


class FromClient(mqtt_wire.Packet):
    """One packet from a client."""

    def __init__(self, kind, flags, body):
        if kind in OF_BOTH:
            super().__init__(kind, flags, body)
            return
        demand(kind in OF_CLIENTS, f"a client may not send packet type {kind}")
        self.kind, self.flags, self.body = kind, flags, body
        OF_CLIENTS[kind](self)


def cut(buffer):
    """Cut one packet of a client off the front of a bytearray; None while it is not whole."""
    length = 0
    for index in range(1, 5):
        if len(buffer) <= index:
            return None
        length |= (buffer[index] & 0x7F) << 7 * (index - 1)
        if not buffer[index] & 0x80:
            break
    else:
        raise WireError("remaining length of more than four bytes")
    end = index + 1 + length
    if len(buffer) < end:
        return None
    first, body = buffer[0], bytes(buffer[index + 1 : end])
    del buffer[:end]
    return FromClient(first >> 4, first & 15, body)


def connack(code=0, present=False):
    return packet(CONNACK, 0, bytes([present, code]))


def suback(mid, *codes):
    return packet(SUBACK, 0, u16(mid) + bytes(codes))


PONG = packet(PINGRESP, 0)


class Link(SocketClient):
    """A bridge's connection, seen from the remote broker. It answers nothing by itself but what the module says."""

    def __init__(self, sock):
        super().__init__(sock)
        self.address = sock.getpeername()
        self.hello = None
        self.early = []  # messages that came while filters were awaited
        self.subscribed = {}
        self.unsubscribed = []
        self.peers = []
        self.requests = []  # packet ids of what asked for filters

    # --- packets ---

    def next(self, seconds=None):
        """The next packet, whatever it is."""
        got = cut(self.buffer)
        while got is None:
            self.fill(seconds)
            got = cut(self.buffer)
        return got

    def recv(self, seconds=None):
        if self.early:
            return self.early.pop(0)
        got = self.next(seconds)
        while self.is_greeting(got):
            self.send(suback(got.mid, *(qos for _, qos in got.filters)))
            got = self.next(seconds)
        return got

    def is_greeting(self, got):
        """Does it only tell the name of the broker?"""
        if got.kind != SUBSCRIBE or not all(text.startswith(PEER) for text, _ in got.filters):
            return False
        self.peers += [text[len(PEER) :] for text, _ in got.filters]
        return True

    def expect(self, kind, **fields):
        got = super().expect(kind, **fields)
        if kind == CONNECT:
            self.hello, self.id = got, got.id
        return got

    def expect_end(self, allow=()):
        """The bridge closes, after packets of the kinds in `allow`; how it does: DISCONNECT was there, or not."""
        said = []
        with contextlib.suppress(mqtt_wire.Closed):
            while True:
                got = self.recv()
                assert got.kind == DISCONNECT or got.kind in allow, f"expected the end, got {got}"
                said.append(got.kind)
        assert DISCONNECT not in said[:-1], "packets after DISCONNECT"
        return DISCONNECT in said

    # --- answers ---

    def grant(self, got, codes=None):
        """Acknowledge SUBSCRIBE, with the QoS that is wanted unless `codes` says another for a filter."""
        answers = []
        for text, qos in got.filters:
            answers.append((codes or {}).get(text, qos))
            if text.startswith(PEER):
                self.peers.append(text[len(PEER) :])
            else:
                self.subscribed[text] = qos
        self.send(suback(got.mid, *answers))

    def answer_filters(self, ins=(), outs=(), codes=None):
        """Acknowledge filters until all of these are subscribed or unsubscribed; messages wait in `early`."""
        while set(ins) - set(self.subscribed) or set(outs) - set(self.unsubscribed):
            got = self.next()
            if got.kind == SUBSCRIBE:
                self.requests.append(got.mid)
                self.grant(got, codes)
            elif got.kind == UNSUBSCRIBE:
                self.requests.append(got.mid)
                self.unsubscribed += got.filters
                self.send(ack(UNSUBACK, got.mid))
            else:
                self.early.append(got)

    def welcome(self, ins=(), outs=(), present=False, codes=None):
        self.send(connack(0, present))
        self.answer_filters(ins, outs, codes)
        return self

    # --- messages ---

    def publish(self, topic, payload=b"", qos=0, retain=False, mid=None):
        """Send a message, and go through the whole handshake."""
        mid = mid or (self.mid() if qos else None)
        self.send(mqtt_wire.publish(topic, payload, qos, mid, retain))
        if qos == 1:
            self.expect(PUBACK, mid=mid)
        elif qos == 2:
            self.expect(PUBREC, mid=mid)
            self.send(mqtt_wire.pubrel(mid))
            self.expect(PUBCOMP, mid=mid)

    def pong(self):
        """Answer the next packet, a PINGREQ."""
        self.expect(PINGREQ)
        self.send(PONG)

    def take_while(self, more):
        """Messages while `more(those that came)`, and until all of them are acknowledged in full.

        A PUBREL for another is answered too: the remote broker may have lost its session.
        """
        got, unreleased = [], set()
        while more(got) or unreleased:
            packet = self.recv()
            if packet.kind == PUBREL:
                unreleased.discard(packet.mid)
                self.send(mqtt_wire.pubcomp(packet.mid))
                continue
            assert packet.kind == PUBLISH, f"expected a message, got {packet}"
            got.append(packet)
            if packet.qos == 1:
                self.send(mqtt_wire.puback(packet.mid))
            elif packet.qos == 2:
                unreleased.add(packet.mid)
                self.send(mqtt_wire.pubrec(packet.mid))
        return got

    def take_many(self, count):
        return self.take_while(lambda got: len(got) < count)

    def take_until(self, topic, payload):
        """All messages up to this one, which is the last."""
        last = (topic, mqtt_wire.as_bytes(payload))
        return self.take_while(lambda got: not got or (got[-1].topic, got[-1].payload) != last)


class Remote:
    """A listening socket. Connections that nobody accepts yet wait in its queue."""

    def __init__(self, context=None):
        self.port = free_port()
        self.context = context
        self.links = []
        self.socket = None
        self.start()

    def start(self):
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(("127.0.0.1", self.port))
        self.socket.listen(64)

    def stop(self):
        """Nobody is there any more: connecting is refused, what stood is closed."""
        self.socket.close()
        for link in self.links:
            link.close()
        self.links.clear()

    def accept_raw(self, seconds=mqtt_wire.PATIENCE):
        """The next connection as a socket. TimeoutError when there is none."""
        self.socket.settimeout(seconds)
        sock, _ = self.socket.accept()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock

    def accept(self, seconds=mqtt_wire.PATIENCE):
        """The next connection, with TLS if there is a context; nothing has been read."""
        sock = self.accept_raw(seconds)
        sock.settimeout(mqtt_wire.PATIENCE)
        if self.context:
            sock = self.context.wrap_socket(sock, server_side=True)
        link = Link(sock)
        self.links.append(link)
        return link

    def greet(self):
        """The next connection, whose CONNECT has been read and not answered."""
        link = self.accept()
        link.expect(CONNECT)
        return link

    def welcome(self, ins=(), outs=(), present=False, codes=None):
        """The next connection, served until these filters are subscribed and unsubscribed."""
        return self.greet().welcome(ins, outs, present, codes)

    def nobody(self, seconds):
        """No connection comes for so long."""
        self.socket.settimeout(seconds)
        with pytest.raises(TimeoutError):
            self.socket.accept()


def section(remote, *lines, name="b", notifications=False):
    """A connection to the remote that comes back as soon as it may, and says nothing of itself unless asked to."""
    address = remote if isinstance(remote, str) else f"127.0.0.1:{remote.port}"
    return (f"connection {name}", f"address {address}", "restart_timeout 1",
            *(() if notifications else ("notifications false",)), *lines)


def longest_turn(broker):
    """Milliseconds of CPU that the broker was away from its clients at most; it has ended then."""
    broker.stop()
    return float(re.search(r"Longest turn: ([\d.]+) ms", broker.log.find("Longest turn")[0])[1])


class Remotes:
    def __init__(self):
        self.all = []

    def start(self, context=None):
        self.all.append(Remote(context))
        return self.all[-1]

    def stop(self):
        for remote in self.all:
            remote.stop()


@pytest.fixture
def remotes():
    """Remote brokers: `remotes.start()`."""
    remotes = Remotes()
    yield remotes
    remotes.stop()


@pytest.fixture
def remote(remotes):
    """One of them."""
    return remotes.start()
