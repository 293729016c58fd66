"""What the tests of listeners share: clients on other doors than the broker's first one, reloads, headers of proxies."""

import os
import signal
import socket
import struct
import time
from pathlib import Path

import mqtt_wire

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"


class SocketClient(mqtt_wire.Client):
    """A client over a socket that is connected already."""

    def __init__(self, sock, patience=mqtt_wire.PATIENCE):
        self.sock = sock
        self.patience = patience
        self.sock.settimeout(patience)
        self.address = None
        self.buffer = bytearray()
        self.id = None
        self.next_mid = 0


def by_path(path):
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(mqtt_wire.PATIENCE)
    sock.connect(str(path))
    return SocketClient(sock)


def reaches(port, host="127.0.0.1"):
    """Does somebody listen there?"""
    try:
        socket.create_connection((host, port), 5).close()
    except OSError:
        return False
    return True


def is_closed_without_a_word(client):
    """The broker ends the connection and has sent nothing."""
    try:
        client.fill()
    except mqtt_wire.Closed:
        return not client.buffer
    return False


def reload(broker, *lines):
    """Give the broker another file behind its first listener, and wait until it has decided."""
    head = broker.config.read_text().splitlines()[:2]
    tail = ["user root"] if os.geteuid() == 0 else []
    return reload_whole(broker, *head, *lines, *tail)


def reload_whole(broker, *lines):
    """What the broker says of this file."""
    broker.log.wait("running$")
    broker.config.write_text("\n".join(lines) + "\n")
    since = len(broker.log.lines)
    broker.process.send_signal(signal.SIGHUP)
    broker.log.wait(r"The configuration was (not )?reloaded", since)
    return broker.log.lines[since:]


def v1(source="192.0.2.9", port=50123, family="TCP4", target="127.0.0.1"):
    return f"PROXY {family} {source} {target} {port} 1883\r\n".encode()


def v2(source="192.0.2.9", port=50123, command=1, additions=b""):
    """A binary header; command 0 says that the proxy speaks for itself."""
    family = socket.AF_INET6 if ":" in source else socket.AF_INET
    own = "::1" if ":" in source else "127.0.0.1"
    ends = socket.inet_pton(family, source) + socket.inet_pton(family, own) + struct.pack(">HH", port, 1883)
    if not command:
        ends = b""
    rest = ends + additions
    kind = (0x21 if family == socket.AF_INET6 else 0x11) if command else 0
    return SIGNATURE + bytes([0x20 | command, kind]) + struct.pack(">H", len(rest)) + rest


def tls_addition(client=1):
    return b"\x20" + struct.pack(">HBI", 5, client, 0)


def descriptors(broker):
    """How many the broker has open, once nobody is just going."""
    counts = [-1]
    while len(counts) < 4 or len(set(counts[-3:])) > 1:
        time.sleep(0.05)
        counts.append(len(list(Path(f"/proc/{broker.pid}/fd").iterdir())))
    return counts[-1]


