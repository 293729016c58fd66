"""mosquitto_pub, _sub and _rr as they were built beside the broker, and what they can be set against.

`Listener` is a port at which a test itself plays the broker, packet by packet; `Phoenix` a real broker that can be
killed and comes back on the same port and store.
"""

import contextlib
import os
import socket
import subprocess
import time
from pathlib import Path

import mqtt_wire
from broker_process import Log, binary, environment, free_port, sanitized, whose

LIMIT = 60
PATIENT = 4 if sanitized() else 1


def program(name):
    return str(Path(binary()).parent / f"mosquitto_{name}")


def have(name):
    return os.access(program(name), os.X_OK)


def surroundings(**more):
    """Without options files of whoever runs the tests."""
    env = environment()
    env.pop("XDG_CONFIG_HOME", None)
    return {**env, "HOME": "/nonexistent", **{key: str(value) for key, value in more.items()}}


def start(name, *arguments, env=None, **options):
    given = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options
    return subprocess.Popen([program(name), *map(str, arguments)], env=env or surroundings(), **given)


def finish(process, data=None, limit=LIMIT):
    """Exit code, stdout and stderr of a client that ends."""
    try:
        out, err = process.communicate(data, limit)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
        raise AssertionError(f"{process.args} did not end:\n{out!r}\n{err!r}") from None
    return process.returncode, out.decode("utf-8", "backslashreplace"), err.decode("utf-8", "backslashreplace")


def run(name, *arguments, data=None, limit=LIMIT, **options):
    if data is not None:
        options["stdin"] = subprocess.PIPE
    return finish(start(name, *arguments, **options), data, limit)


@contextlib.contextmanager
def running(name, *arguments, **options):
    """A client that is ended with the test if it has not ended before."""
    process = start(name, *arguments, **options)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream and not stream.closed:
                with contextlib.suppress(BrokenPipeError):
                    stream.close()


def within(what, seconds=20 * PATIENT):
    """Wait until it is so."""
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.01)


class Peer:
    """A client's connection, seen from the broker's side."""

    def __init__(self, sock, address):
        self.sock, self.address = sock, address
        self.sock.settimeout(20 * PATIENT)
        self.buffer = bytearray()

    def take(self):
        """The next packet: kind, bits, and all of it as bytes."""
        while True:
            end = self.end()
            if end is not None and len(self.buffer) >= end:
                raw = bytes(self.buffer[:end])
                del self.buffer[:end]
                return raw[0] >> 4, raw[0] & 15, raw
            data = self.sock.recv(1 << 16)
            if not data:
                raise mqtt_wire.Closed("the client has closed")
            self.buffer += data

    def end(self):
        """How long the packet is that the buffer begins with; None while that cannot be said."""
        length = 0
        for index in range(1, min(5, len(self.buffer))):
            length |= (self.buffer[index] & 0x7F) << 7 * (index - 1)
            if not self.buffer[index] & 0x80:
                return index + 1 + length
        return None

    def expect(self, kind):
        got, _, raw = self.take()
        assert got == kind, raw
        return raw

    def publish(self):
        raw = self.expect(mqtt_wire.PUBLISH)
        return mqtt_wire.cut(bytearray(raw))

    def send(self, *raw):
        self.sock.sendall(b"".join(raw))

    def close(self):
        self.sock.close()


class Listener:
    """Takes connections on a free port, or on the address or path that is given."""

    def __init__(self, where=("127.0.0.1", 0)):
        if isinstance(where, tuple):
            self.socket = socket.create_server(where, family=socket.AF_INET6 if ":" in where[0] else socket.AF_INET)
            self.port = self.socket.getsockname()[1]
        else:
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.bind(str(where))
            self.socket.listen()
        self.socket.settimeout(20 * PATIENT)
        self.open = []

    def accept(self):
        """A connection, from which nothing has been read."""
        peer = Peer(*self.socket.accept())
        self.open.append(peer)
        return peer

    def welcome(self, code=0):
        """A connection whose CONNECT was answered, and is kept as `connect_packet`."""
        peer = self.accept()
        peer.connect_packet = peer.expect(mqtt_wire.CONNECT)
        peer.send(mqtt_wire.packet(mqtt_wire.CONNACK, 0, bytes([0, code])))
        return peer

    def close(self):
        for peer in self.open:
            peer.close()
        self.socket.close()


class Phoenix:
    """A broker with a store; it can be killed, and started again where it was."""

    def __init__(self, directory, *lines):
        self.directory, self.port = Path(directory), free_port()
        self.config = self.directory / "phoenix.conf"
        self.config.write_text("\n".join([
            f"listener {self.port} 127.0.0.1", "allow_anonymous true", "persistence true", "max_queued_messages 0",
            f"persistence_location {self.directory}/", *lines, *whose(lines)]) + "\n", encoding="utf-8")
        self.process = None
        self.runs = 0

    def start(self):
        self.runs += 1
        self.process = subprocess.Popen(
            [binary(), "-v", "-c", str(self.config)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, env=environment(), cwd=self.directory)
        self.log = Log(self.process.stdout, self.directory / f"phoenix{self.runs}.log")
        self.log.wait("version .* running", seconds=20 * PATIENT)
        return self

    def kill(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
        if self.process:
            self.process.wait()
            self.log.thread.join(5)
            self.process.stdout.close()
            self.process = None

    def at(self):
        return ["-h", "127.0.0.1", "-p", self.port]

    def connect(self, client_id, **options):
        client = mqtt_wire.Client(self.port)
        client.connack = client.connect(client_id, **options)
        return client
