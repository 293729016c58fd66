"""Writes persistence files as Mosquitto does, formats 3 to 6.

Made from what such files look like, apart from the broker's reader, so that a mistake in one is not
repeated in the other; the fields of formats 3, 4 and 5 were held against what Mosquitto 2.0.11
makes of them, and those of format 6 against what it writes.

Lengths and 16 and 32 bit numbers are in network order, ids of messages and times in the host's.
Formats 3 and 4 are a list of fields, formats 5 and 6 a structure (with the padding that a compiler
gives it) followed by the strings whose lengths it holds.
"""

import struct

CONFIG, MESSAGE, CLIENT_MESSAGE, RETAIN, SUBSCRIPTION, CLIENT = range(1, 7)

# Directions and states of a client's message.
IN, OUT = 0, 1
PUBLISH_QOS0, PUBLISH_QOS1, WAIT_PUBACK, PUBLISH_QOS2, WAIT_PUBREC, RESEND_PUBREL = range(1, 7)
WAIT_PUBREL, RESEND_PUBCOMP, WAIT_PUBCOMP, SEND_PUBREC, QUEUED = range(7, 12)

NEVER = 0xFFFFFFFF


def as_bytes(value):
    return value.encode("utf-8") if isinstance(value, str) else bytes(value)


def host(number):
    return struct.pack("=q", number)


def text(value):
    """A string of formats 3 and 4."""
    data = as_bytes(value)
    return struct.pack("!H", len(data)) + data


def varint(number):
    out = bytearray()
    while True:
        out.append(number % 128 | (0x80 if number >= 128 else 0))
        number //= 128
        if not number:
            return bytes(out)


def properties(data):
    """MQTT 5 properties, already encoded, with their length in front; nothing if there are none."""
    return varint(len(data)) + data if data else b""


class Database:
    """A file in the making. Ids are those of messages; defaults are what Mosquitto would write."""

    def __init__(self, version, crc=0):
        self.version = version
        self.old = version < 5
        self.data = b"\x00\xb5\x00mosquitto db" + struct.pack("!II", crc, version)
        self.offsets = []

    def chunk(self, kind, body, length=None):
        self.offsets.append(len(self.data))
        length = len(body) if length is None else length
        self.data += struct.pack("!HI" if self.old else "!II", kind, length) + body
        return self

    def config(self, last_id=100, shutdown=1, id_size=8):
        if self.old:
            return self.chunk(CONFIG, bytes([shutdown, id_size]) + host(last_id))
        return self.chunk(CONFIG, host(last_id) + bytes([shutdown, id_size]) + bytes(6))

    def message(self, number, topic, payload, qos=0, retain=False, source="", username="",
                source_mid=0, port=1883, expiry=0, props=b""):
        topic, payload = as_bytes(topic), as_bytes(payload)
        source, username = as_bytes(source), as_bytes(username)
        if self.old:
            body = host(number) + text(source)
            if self.version == 4:
                body += text(username) + struct.pack("!H", port)
            body += struct.pack("!HH", source_mid, 0) + text(topic) + bytes([qos, retain])
            return self.chunk(MESSAGE, body + struct.pack("!I", len(payload)) + payload)
        body = host(number) + host(expiry) + struct.pack(
            "!IHHHHHBB", len(payload), source_mid, len(source), len(username), len(topic), port,
            qos, retain)
        return self.chunk(MESSAGE, body + source + username + topic + payload + properties(props))

    def client(self, name, last_mid=0, disconnected=0, interval=NEVER, expiry=0, port=1883,
               username="", stale_username=None):
        """`stale_username`: bytes that 2.0.11 writes behind a client without a user name."""
        name, username = as_bytes(name), as_bytes(username)
        if self.old:
            return self.chunk(
                CLIENT, text(name) + struct.pack("!H", last_mid) + host(disconnected))
        if stale_username is not None:
            username = stale_username
        body = host(expiry) + struct.pack("!IHH", interval, last_mid, len(name))
        if self.version == 6:
            return self.chunk(
                CLIENT, body + struct.pack("!HHI", port, len(username), 0) + name + username)
        return self.chunk(CLIENT, body + name)

    def client_message(self, client, number, mid=0, qos=1, state=QUEUED, direction=OUT,
                       retain=False, dup=False, props=b""):
        client = as_bytes(client)
        if self.old:
            return self.chunk(
                CLIENT_MESSAGE,
                text(client) + host(number) + struct.pack("!H", mid)
                + bytes([qos, retain, direction, state, dup]))
        body = host(number) + struct.pack(
            "!HHBBBB", mid, len(client), qos, state, retain << 4 | dup, direction)
        return self.chunk(CLIENT_MESSAGE, body + client + properties(props))

    def retain(self, number):
        return self.chunk(RETAIN, host(number))

    def subscription(self, client, topic, qos=0, options=0, identifier=0):
        client, topic = as_bytes(client), as_bytes(topic)
        if self.old:
            return self.chunk(SUBSCRIPTION, text(client) + text(topic) + bytes([qos]))
        head = struct.pack("!IHHBBxx", identifier, len(client), len(topic), qos, options)
        return self.chunk(SUBSCRIPTION, head + client + topic)

    def write(self, path):
        path.write_bytes(self.data)
        return path


def chunks(data):
    """The chunks of a file of format 5 or 6, as pairs of type and body."""
    at = 23
    while at < len(data):
        kind, length = struct.unpack_from("!II", data, at)
        yield kind, data[at + 8 : at + 8 + length]
        at += 8 + length
