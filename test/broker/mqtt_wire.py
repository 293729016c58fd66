"""MQTT 3.1 and 3.1.1 on the wire, for tests.

Written from the standard and apart from the broker's own codec, so that a mistake in one is not
repeated in the other. Encoders accept nonsense on purpose (a test may want it on the wire), the
decoder accepts nothing but what a server may send: every packet that a test receives has passed
its checks of flags, length and shape.
"""

import os
import socket
import struct
import time

CONNECT, CONNACK, PUBLISH, PUBACK, PUBREC, PUBREL, PUBCOMP = range(1, 8)
SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK, PINGREQ, PINGRESP, DISCONNECT = range(8, 15)

NAMES = {
    CONNECT: "CONNECT", CONNACK: "CONNACK", PUBLISH: "PUBLISH", PUBACK: "PUBACK",
    PUBREC: "PUBREC", PUBREL: "PUBREL", PUBCOMP: "PUBCOMP", SUBSCRIBE: "SUBSCRIBE",
    SUBACK: "SUBACK", UNSUBSCRIBE: "UNSUBSCRIBE", UNSUBACK: "UNSUBACK", PINGREQ: "PINGREQ",
    PINGRESP: "PINGRESP", DISCONNECT: "DISCONNECT",
}

# Patience in seconds for things that must happen. Long, since a loaded machine with a sanitizer
# build is slow; a passing test never waits for it.
PATIENCE = float(os.environ.get("MQTT_TEST_PATIENCE", "15"))


class WireError(AssertionError):
    """The server sent something that MQTT does not allow."""


class Closed(Exception):
    """The server closed the connection."""


# --- encoding ---------------------------------------------------------------------------------


def as_bytes(value):
    return value.encode("utf-8") if isinstance(value, str) else bytes(value)


def u16(number):
    return struct.pack("!H", number)


def field(value):
    """A string or binary field: two bytes of length, then the bytes."""
    data = as_bytes(value)
    return u16(len(data)) + data


def remaining_length(length):
    out = bytearray()
    while True:
        digit = length % 128
        length //= 128
        out.append(digit | (0x80 if length else 0))
        if not length:
            return bytes(out)


def packet(kind, flags, body=b""):
    return bytes([kind << 4 | flags]) + remaining_length(len(body)) + body


def connect_flags(clean, will, username, password):
    flags = 0x02 if clean else 0
    if will:
        flags |= 0x04 | will.get("qos", 0) << 3 | (0x20 if will.get("retain") else 0)
    if username is not None:
        flags |= 0x80
    if password is not None:
        flags |= 0x40
    return flags


def connect(client_id="", *, clean=True, keepalive=60, level=4, name=None, will=None,
            username=None, password=None, flags=None, tail=b""):
    """A CONNECT. `will` is a dict of topic, payload, qos, retain; `flags` overrides the flags."""
    if name is None:
        name = "MQIsdp" if level & 0x7F == 3 else "MQTT"
    if flags is None:
        flags = connect_flags(clean, will, username, password)
    body = field(name) + bytes([level, flags]) + u16(keepalive) + field(client_id)
    if will:
        body += field(will["topic"]) + field(will.get("payload", b""))
    for extra in (username, password):
        if extra is not None:
            body += field(extra)
    return packet(CONNECT, 0, body + tail)


def publish(topic, payload=b"", qos=0, mid=None, retain=False, dup=False):
    body = field(topic)
    if mid is not None:
        body += u16(mid)
    flags = (8 if dup else 0) | qos << 1 | (1 if retain else 0)
    return packet(PUBLISH, flags, body + as_bytes(payload))


def ack(kind, mid):
    return packet(kind, 2 if kind == PUBREL else 0, u16(mid))


def puback(mid):
    return ack(PUBACK, mid)


def pubrec(mid):
    return ack(PUBREC, mid)


def pubrel(mid):
    return ack(PUBREL, mid)


def pubcomp(mid):
    return ack(PUBCOMP, mid)


def subscribe(mid, *filters):
    """SUBSCRIBE for pairs of filter and QoS."""
    body = b"".join(field(text) + bytes([qos]) for text, qos in filters)
    return packet(SUBSCRIBE, 2, u16(mid) + body)


def unsubscribe(mid, *filters):
    return packet(UNSUBSCRIBE, 2, u16(mid) + b"".join(field(text) for text in filters))


PING = packet(PINGREQ, 0)
BYE = packet(DISCONNECT, 0)


# --- decoding ---------------------------------------------------------------------------------


class Packet:
    """One packet from the server. Which attributes exist depends on `kind`."""

    def __init__(self, kind, flags, body):
        self.kind = kind
        self.flags = flags
        self.body = body
        decoder = DECODERS.get(kind)
        if decoder is None:
            raise WireError(f"a server may not send packet type {kind}")
        decoder(self)

    def __repr__(self):
        fields = {k: v for k, v in vars(self).items() if k not in ("kind", "body", "flags")}
        inner = ", ".join(f"{k}={v!r:.60}" for k, v in fields.items())
        return f"{NAMES[self.kind]}({inner})"


def demand(condition, text):
    if not condition:
        raise WireError(text)


def decode_connack(p):
    demand(p.flags == 0, "CONNACK with flags")
    demand(len(p.body) == 2, f"CONNACK of {len(p.body)} bytes")
    demand(p.body[0] & 0xFE == 0, f"CONNACK with reserved bits: {p.body[0]:#x}")
    p.session_present = bool(p.body[0])
    p.code = p.body[1]
    demand(p.code <= 5, f"CONNACK with reserved return code {p.code}")


def decode_publish(p):
    p.retain = bool(p.flags & 1)
    p.qos = p.flags >> 1 & 3
    p.dup = bool(p.flags & 8)
    demand(p.qos < 3, "PUBLISH at QoS 3")
    demand(p.qos or not p.dup, "PUBLISH at QoS 0 with DUP")
    demand(len(p.body) >= 2, "PUBLISH without a topic")
    (length,) = struct.unpack_from("!H", p.body)
    demand(0 < length <= len(p.body) - 2, "PUBLISH with a topic of wrong length")
    p.topic = p.body[2 : 2 + length].decode("utf-8")
    demand(not set(p.topic) & set("+#\0"), f"PUBLISH to {p.topic!r}")
    rest = p.body[2 + length :]
    p.mid = 0
    if p.qos:
        demand(len(rest) >= 2, "PUBLISH without a packet identifier")
        (p.mid,) = struct.unpack_from("!H", rest)
        demand(p.mid != 0, "PUBLISH with packet identifier 0")
        rest = rest[2:]
    p.payload = rest


def decode_ack(p):
    demand(p.flags == (2 if p.kind == PUBREL else 0), f"{NAMES[p.kind]} with flags {p.flags}")
    demand(len(p.body) == 2, f"{NAMES[p.kind]} of {len(p.body)} bytes")
    (p.mid,) = struct.unpack("!H", p.body)


def decode_suback(p):
    demand(p.flags == 0, "SUBACK with flags")
    demand(len(p.body) >= 3, "SUBACK without return codes")
    (p.mid,) = struct.unpack_from("!H", p.body)
    p.codes = list(p.body[2:])
    demand(set(p.codes) <= {0, 1, 2, 0x80}, f"SUBACK with reserved codes {p.codes}")


def decode_pingresp(p):
    demand(p.flags == 0 and not p.body, "PINGRESP with flags or a body")


DECODERS = {
    CONNACK: decode_connack, PUBLISH: decode_publish, PUBACK: decode_ack, PUBREC: decode_ack,
    PUBREL: decode_ack, PUBCOMP: decode_ack, SUBACK: decode_suback, UNSUBACK: decode_ack,
    PINGRESP: decode_pingresp,
}


def cut(buffer):
    """Cut one packet off the front of a bytearray; None while it is not whole."""
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
    return Packet(first >> 4, first & 15, body)


# --- a small blocking client ------------------------------------------------------------------


class Client:
    """A TCP connection that speaks MQTT when told to. It acknowledges nothing by itself."""

    def __init__(self, port, host="127.0.0.1", patience=PATIENCE, rcvbuf=None):
        self.sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        if rcvbuf:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
        self.patience = patience
        self.sock.settimeout(patience)
        self.sock.connect((host, port))
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.address = self.sock.getsockname()
        self.buffer = bytearray()
        self.id = None
        self.next_mid = 0

    def close(self):
        """Drop the connection without a DISCONNECT."""
        self.sock.close()

    def reset(self):
        """Drop the connection with a TCP reset, as a crashed machine's kernel would."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def send(self, *raw):
        self.sock.sendall(b"".join(raw))

    def send_if_open(self, *raw):
        """Send to a server that may have closed already, which the test learns by reading."""
        try:
            self.send(*raw)
        except OSError:
            pass

    def send_slowly(self, raw):
        """Each byte in a segment of its own (TCP_NODELAY is on)."""
        for index in range(len(raw)):
            self.sock.sendall(raw[index : index + 1])

    def fill(self, seconds=None):
        """Read once into the buffer. Raises Closed, or TimeoutError after `seconds`."""
        self.sock.settimeout(self.patience if seconds is None else seconds)
        try:
            data = self.sock.recv(1 << 16)
        except (ConnectionResetError, BrokenPipeError):
            data = b""
        finally:
            self.sock.settimeout(self.patience)
        if not data:
            raise Closed(f"connection of {self.id} was closed by the server")
        self.buffer += data

    def recv(self, seconds=None):
        """The next packet."""
        deadline = time.monotonic() + (self.patience if seconds is None else seconds)
        while True:
            got = cut(self.buffer)
            if got is not None:
                return got
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError(f"no packet for {self.id}")
            self.fill(left)

    def expect(self, kind, **fields):
        """The next packet, which must be of this kind and have these fields."""
        got = self.recv()
        assert got.kind == kind, f"expected {NAMES[kind]}, got {got}"
        for key, value in fields.items():
            if key == "payload":
                value = as_bytes(value)
            actual = getattr(got, key)
            assert actual == value, f"expected {key}={value!r:.80}, got {got}"
        return got

    def expect_closed(self, seconds=None, allow=()):
        """The server closes; before that nothing arrives but packets of the kinds in `allow`."""
        deadline = time.monotonic() + (self.patience if seconds is None else seconds)
        while True:
            left = deadline - time.monotonic()
            assert left > 0, "the server did not close the connection"
            try:
                got = self.recv(left)
            except Closed:
                assert not self.buffer, f"half a packet before the close: {bytes(self.buffer)!r}"
                return
            except TimeoutError:
                raise AssertionError("the server did not close the connection") from None
            assert got.kind in allow, f"expected the connection to be closed, got {got}"

    def expect_half(self, count):
        """Exactly `count` raw bytes, for looking at them as they are."""
        while len(self.buffer) < count:
            self.fill()
        out = bytes(self.buffer[:count])
        del self.buffer[:count]
        return out

    def mid(self):
        self.next_mid = self.next_mid % 65535 + 1
        return self.next_mid

    def connect(self, client_id="", **options):
        self.id = client_id
        self.send(connect(client_id, **options))
        return self.expect(CONNACK, code=0)

    def disconnect(self):
        """Leave politely, and see the server close: it has done all it does for a DISCONNECT."""
        self.send(BYE)
        self.sock.shutdown(socket.SHUT_WR)
        self.expect_closed()
        self.sock.close()

    def ping(self):
        """All packets up to the PINGRESP of a PINGREQ sent now."""
        self.send(PING)
        before = []
        while True:
            got = self.recv()
            if got.kind == PINGRESP:
                return before
            before.append(got)

    def quiet(self):
        """Nothing came, and the connection stands."""
        before = self.ping()
        assert not before, f"expected nothing, got {before}"

    def subscribe(self, *filters, qos=0):
        """Subscribe; each filter is a string or a pair with a QoS. Returns the granted codes."""
        pairs = [f if isinstance(f, tuple) else (f, qos) for f in filters]
        mid = self.mid()
        self.send(subscribe(mid, *pairs))
        codes = self.expect(SUBACK, mid=mid).codes
        assert codes == [granted for _, granted in pairs], codes
        return codes

    def unsubscribe(self, *filters):
        mid = self.mid()
        self.send(unsubscribe(mid, *filters))
        self.expect(UNSUBACK, mid=mid)

    def publish(self, topic, payload=b"", qos=0, retain=False, mid=None):
        """Publish and go through the whole handshake; on return the server has routed it.

        Only for clients that receive nothing else meanwhile.
        """
        if qos == 0:
            self.send(publish(topic, payload, retain=retain))
            self.quiet()
            return
        mid = mid or self.mid()
        self.send(publish(topic, payload, qos, mid, retain))
        if qos == 1:
            self.expect(PUBACK, mid=mid)
            return
        self.expect(PUBREC, mid=mid)
        self.send(pubrel(mid))
        self.expect(PUBCOMP, mid=mid)

    def take(self, topic=None, payload=None, **fields):
        """The next packet, a PUBLISH, acknowledged in full."""
        if topic is not None:
            fields["topic"] = topic
        if payload is not None:
            fields["payload"] = payload
        got = self.expect(PUBLISH, **fields)
        if got.qos == 1:
            self.send(puback(got.mid))
        elif got.qos == 2:
            self.send(pubrec(got.mid))
            self.expect(PUBREL, mid=got.mid)
            self.send(pubcomp(got.mid))
        return got

    def take_all(self):
        """Every PUBLISH up to now, acknowledged in full: until a ping brings nothing more."""
        out = []
        while True:
            got = self.ping()
            if not got:
                return out
            for item in got:
                if item.kind == PUBLISH:
                    out.append(item)
                    if item.qos:
                        self.send(puback(item.mid) if item.qos == 1 else pubrec(item.mid))
                elif item.kind == PUBREL:
                    self.send(pubcomp(item.mid))
                else:
                    raise AssertionError(f"expected PUBLISH or PUBREL, got {item}")
