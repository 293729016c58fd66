"""A broker that bridges, of either make, and the remote broker of the test's own that it bridges to.

The remote does what a scenario tells it to and writes down what it sees, in words without chance: CONNECT
with all its fields, filters with their QoS, messages, how a connection ends. Two topics of every bridge
are its own, `zz/out` and `zz/in`: a message through each of them shows that all before it has arrived, so that a
scenario can also say what did not come.
"""

import re
import select
import signal
import socket
import struct
import threading
import time
from types import SimpleNamespace

import mqtt_wire
from mqtt_wire import (
    CONNECT, DISCONNECT, NAMES, PATIENCE, PINGREQ, PUBACK, PUBCOMP, PUBLISH, PUBREC, PUBREL, SUBSCRIBE, UNSUBSCRIBE,
    Closed, ack, packet, puback, pubcomp, publish, pubrec, pubrel, u16,
)
from broker_process import free_port
from peer_broker import Stage

OWN_TOPICS = ("topic zz/out/# out 1", "topic zz/in/# in 1")
ONE_BY_ONE = threading.Lock()  # stages may be made by several threads, ports are given once
HOST = socket.gethostname()
ACCEPTED = packet(mqtt_wire.CONNACK, 0, bytes(2))
PEER_ID = re.compile(r"(\$SYS/broker/peer/)[0-9a-f-]+")


def bridge(*lines, name="b", address="127.0.0.1:{REMOTE}"):
    """A connection section; the topics that show that all has arrived are its last."""
    return (f"connection {name}", f"address {address}", "restart_timeout 1", *lines, *OWN_TOPICS)


class Reader:
    """Fields of a packet's body, one after the other."""

    def __init__(self, body):
        self.body = body

    def take(self, size):
        assert len(self.body) >= size, f"a packet that is too short by {size - len(self.body)} bytes"
        head, self.body = self.body[:size], self.body[size:]
        return head

    def byte(self):
        return self.take(1)[0]

    def word(self):
        return struct.unpack("!H", self.take(2))[0]

    def field(self):
        return self.take(self.word()).decode("utf-8", "backslashreplace")


def decode_connect(body):
    reader = Reader(body)
    name, level, flags = reader.field(), reader.byte(), reader.byte()
    got = SimpleNamespace(kind=CONNECT, level=level, text=f"CONNECT {name} level {level:#x}, clean {flags >> 1 & 1}, "
                                                          f"keepalive {reader.word()}, id '{reader.field()}'")
    if flags & 4:
        got.text += f", will '{reader.field()}' q{flags >> 3 & 3} r{flags >> 5 & 1} '{reader.field()}'"
    if flags & 0x80:
        got.text += f", user '{reader.field()}'"
    if flags & 0x40:
        got.text += f", password '{reader.field()}'"
    assert not reader.body, f"CONNECT with {len(reader.body)} bytes too many"
    return got


def decode_wishes(kind, flags, body):
    """SUBSCRIBE and UNSUBSCRIBE."""
    assert flags == 2, f"{NAMES[kind]} with flags {flags}"
    reader = Reader(body)
    got = SimpleNamespace(kind=kind, mid=reader.word(), wishes=[])
    assert got.mid and reader.body
    while reader.body:
        text = reader.field()
        got.wishes.append((text, reader.byte() if kind == SUBSCRIBE else None))
    return got


def decode(first, body):
    kind, flags = first >> 4, first & 15
    if kind == CONNECT:
        return decode_connect(body)
    if kind in (SUBSCRIBE, UNSUBSCRIBE):
        return decode_wishes(kind, flags, body)
    if kind in (PINGREQ, DISCONNECT):
        assert not flags and not body, f"{NAMES[kind]} with flags or a body"
        return SimpleNamespace(kind=kind)
    return mqtt_wire.Packet(kind, flags, body)


def cut(buffer):
    """Cut one packet of a client off the front; None while it is not whole."""
    length = 0
    for index in range(1, 5):
        if len(buffer) <= index:
            return None
        length |= (buffer[index] & 0x7F) << 7 * (index - 1)
        if not buffer[index] & 0x80:
            break
    end = index + 1 + length
    if len(buffer) < end:
        return None
    first, body = buffer[0], bytes(buffer[index + 1 : end])
    del buffer[:end]
    return decode(first, body)


class Link:
    """One connection of the bridge to the remote: served when the scenario says so, and what was seen on it."""

    def __init__(self, sock):
        self.sock = sock
        self.address = sock.getpeername()
        self.buffer = bytearray()
        self.hold = set()  # kinds of packets that are not answered
        self.refused = {}  # filters and the code that they get in SUBACK
        self.mids = {}  # packet ids of messages, by payload
        self.waiting = []  # packet ids of our own messages whose handshake is not over
        self.next_mid = 100
        self.wishes = []
        self.seen = []
        self.ended = False
        self.connect = self.receive()
        assert self.connect.kind == CONNECT, f"a connection begins with {self.connect}"

    # --- bytes ---

    def receive(self, seconds=PATIENCE):
        """The next packet; None when there is none in time. Closed when the bridge closes."""
        limit = time.monotonic() + seconds
        while True:
            got = cut(self.buffer)
            if got is not None:
                return got
            left = limit - time.monotonic()
            if left <= 0 or not select.select([self.sock], [], [], left)[0]:
                return None
            try:
                data = self.sock.recv(1 << 16)
            except ConnectionError:
                data = b""
            if not data:
                raise Closed
            self.buffer += data

    def send(self, *raw):
        self.sock.sendall(b"".join(raw))

    def close(self):
        self.sock.close()

    def reset(self):
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    # --- what is done with packets ---

    def take_wishes(self, got):
        word = NAMES[got.kind]
        for text, qos in got.wishes:
            self.wishes.append(f"{word} {text}" + ("" if qos is None else f" q{qos}"))
        if got.kind == UNSUBSCRIBE:
            return ack(mqtt_wire.UNSUBACK, got.mid)
        codes = bytes(self.refused.get(text, qos) for text, qos in got.wishes)
        return packet(mqtt_wire.SUBACK, 0, u16(got.mid) + codes)

    def take_message(self, got):
        self.mids[got.payload.decode("utf-8", "backslashreplace")] = got.mid
        payload = got.payload if len(got.payload) < 80 else b"%d bytes" % len(got.payload)
        dup = " again" if got.dup else ""
        text = payload.decode("utf-8", "backslashreplace")
        self.seen.append(f"{got.topic} q{got.qos} r{int(got.retain)} {text!r}{dup}")
        return (b"", puback(got.mid), pubrec(got.mid))[got.qos]

    def take(self, got):
        """Write it down; the answer to it."""
        if got.kind in (SUBSCRIBE, UNSUBSCRIBE):
            return self.take_wishes(got)
        if got.kind == PUBLISH:
            return self.take_message(got)
        if got.kind in (PUBACK, PUBCOMP):
            self.waiting.remove(got.mid)
            return b""
        if got.kind == PUBREC:
            return pubrel(got.mid)
        if got.kind == PUBREL:
            return pubcomp(got.mid)
        if got.kind == PINGREQ:
            self.seen.append("PINGREQ")
            return mqtt_wire.packet(mqtt_wire.PINGRESP, 0)
        self.seen.append(NAMES[got.kind])
        return b""

    def serve(self, done=lambda: False, seconds=PATIENCE):
        """Answer what comes until `done()`, or the end, or in time. Is it done?"""
        limit = time.monotonic() + seconds
        while not done():
            left = limit - time.monotonic()
            if left <= 0 or self.ended:
                return False
            try:
                got = self.receive(left)
                if got is None:
                    return False
                answer = self.take(got)
                if answer and got.kind not in self.hold:
                    self.send(answer)
            except (Closed, ConnectionError):
                self.ended = True
                self.seen.append("closed")
        return True

    def saw(self, text):
        return any(text in line for line in self.seen)

    def until(self, text, seconds=PATIENCE):
        """Serve until something with this text has been seen."""
        assert self.serve(lambda: self.saw(text), seconds), f"no {text!r} in {self.seen}"

    def until_closed(self, seconds=PATIENCE):
        self.serve(seconds=seconds)
        assert self.ended, f"the bridge has not closed: {self.seen}"

    def publish(self, topic, payload=b"", qos=1, retain=False, dup=False, mid=None):
        """A message to the bridge; with QoS 1 and 2 the whole handshake."""
        if mid is None:
            self.next_mid += 1
            mid = self.next_mid
        if not qos:
            self.send(publish(topic, payload, retain=retain))
            return
        self.waiting.append(mid)
        self.send(publish(topic, payload, qos, mid, retain, dup))
        assert self.serve(lambda: mid not in self.waiting), f"no acknowledgement of {topic}: {self.seen[-3:]}"

    def report(self):
        """What was seen, filters first: when they are asked for is the bridge's own affair."""
        own = [line for line in sorted(self.wishes) if " zz/" not in line]
        seen = [line for line in self.seen if not line.startswith("zz/")]
        self.wishes, self.seen = [], []
        return own + seen


class Remote:
    """A port on which the remote broker may be."""

    def __init__(self, port):
        self.port = port
        self.sock = None

    def open(self):
        self.sock = socket.socket()
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.sock.bind(("127.0.0.1", self.port))
        self.sock.listen()

    def close(self):
        if self.sock:
            self.sock.close()
        self.sock = None

    def accept(self, seconds=PATIENCE):
        """The next connection of the bridge, or None."""
        self.sock.settimeout(seconds)
        try:
            sock, _ = self.sock.accept()
        except TimeoutError:
            return None
        sock.setblocking(True)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return Link(sock)


class BridgeStage(Stage):
    """A broker with a bridge, remotes for it, clients at its own side."""

    def __init__(self, program, directory):
        with ONE_BY_ONE:
            super().__init__(program, directory)
        self.remotes = [Remote(port) for port in (self.more("REMOTE"), self.more("REMOTE2"))]
        self.links = []
        self.barriers = 0
        self.sayer = None
        self.watcher = None

    def more(self, key):
        """Another free port, known by this name."""
        with ONE_BY_ONE:
            self.ports[key] = free_port()
        return self.ports[key]

    def stop(self, number=signal.SIGTERM):
        super().stop(number)
        for thing in (*self.links, *self.remotes):
            thing.close()

    def kill_if_alive(self):
        self.stop(signal.SIGKILL)

    # --- the remote's side ---

    def accept(self, code=0, remote=0, present=False, hold=(), seconds=PATIENCE):
        """The bridge's next connection, with its CONNACK (`code` None: without)."""
        link = self.remotes[remote].accept(seconds)
        assert link, "the bridge does not connect:\n" + "\n".join(self.log.lines)
        self.links.append(link)
        link.hold = set(hold)
        self.note(link.connect.text)
        if code is not None:
            link.send(packet(mqtt_wire.CONNACK, 0, bytes([int(present), code])))
        return link

    def comes(self, seconds=7):
        """Does the bridge connect? Without taking the connection."""
        return bool(select.select([self.remotes[0].sock], [], [], seconds)[0])

    def up(self, **options):
        """The same, and all that the bridge does by itself when it is connected; noted."""
        link = self.accept(**options)
        self.settle(link)
        self.note_link(link)
        return link

    def settle(self, link):
        """All that was on its way has arrived, at both sides."""
        self.settle_out(link)
        self.barriers += 1
        link.publish(f"zz/in/{self.barriers}")

    def settle_out(self, link):
        limit = time.monotonic() + PATIENCE
        while True:
            self.barriers += 1
            topic = f"zz/out/{self.barriers}"
            self.say(topic, qos=1)
            if link.serve(lambda: link.saw(topic + " "), 1):
                return
            assert time.monotonic() < limit and not link.ended, f"nothing comes through the bridge: {link.seen}"

    def note_link(self, link, title="remote"):
        for line in link.report():
            self.note(f"{title}:", line)

    # --- this side ---

    def say(self, topic, payload=b"", qos=0, retain=False):
        """Publish here; on return it is routed."""
        if self.sayer is None:
            self.sayer = self.connect("sayer")
        self.sayer.publish(topic, payload, qos, retain)

    def watch(self, *filters):
        """Somebody here who sees everything, from now on."""
        self.watcher = self.connect("watcher")
        self.watcher.subscribe(*(filters or ("#",)), qos=2)
        self.watcher.take_all()

    def note_local(self):
        for got in self.watcher.take_all():
            if not got.topic.startswith("zz/"):
                payload = got.payload if len(got.payload) < 80 else b"%d bytes" % len(got.payload)
                self.note("local:", got.topic, f"q{got.qos} r{int(got.retain)}",
                          repr(payload.decode("utf-8", "backslashreplace")))

    def retained(self, text):
        """What somebody new is told for this filter."""
        client = self.connect(f"new{len(self.clients)}")
        client.subscribe(text, qos=2)
        for got in sorted(client.take_all(), key=lambda got: got.topic):
            if not got.topic.startswith("zz/"):
                self.note("kept:", got.topic, f"q{got.qos} r{int(got.retain)}", repr(got.payload.decode()))
        client.close()

    def restart(self):
        """The same broker anew, on the same files and ports."""
        for client in self.clients:
            client.close()
        self.sayer = None
        code = super().stop()
        self.code = None
        self.start()
        return code

    def name_things(self, line):
        line = PEER_ID.sub(r"\1ID", line)
        return super().name_things(line).replace(HOST, "HOST")
