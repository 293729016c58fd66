"""TLS connections in every state: cut into pieces, stalled, half closed, reset, and caught there by a reload or the
end."""

import random
import socket
import ssl
import struct
import time
from pathlib import Path

import pytest
from broker_process import free_port, sanitized
from listener_tools import reload, v1
from mqtt_wire import Client, connect, cut, publish, subscribe
from tls_wire import TlsClient, trusting

PATIENCE = 30


class Pieces:
    """A TLS client whose bytes go and come in pieces of any size, with pauses: what TLS makes and what the
    socket carries are two things."""

    def __init__(self, port, context, seed=0, first=b"", rcvbuf=None):
        self.random = random.Random(seed)
        self.sock = socket.socket()
        if rcvbuf:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock.connect(("127.0.0.1", port))
        self.sock.setblocking(False)
        self.coming, self.going = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.coming, self.going)
        self.out = first
        self.plain = b""
        self.shaken = False

    def step(self, take=True):
        """One piece in each direction. What has been decrypted is in `plain`."""
        self.out += self.going.read()
        size = self.random.choice((1, 3, 50, 1000, 20000, 100000))
        if self.out:
            try:
                self.out = self.out[self.sock.send(self.out[:size]):]
            except BlockingIOError:
                pass
        if not take:
            return
        try:
            got = self.sock.recv(size)
            assert got, "closed"
            self.coming.write(got)
        except BlockingIOError:
            if not self.out:
                time.sleep(0.0005)
        try:
            if not self.shaken:
                self.tls.do_handshake()
                self.shaken = True
            while True:
                got = self.tls.read(65536)
                assert got, "TLS closed"
                self.plain += got
        except ssl.SSLWantReadError:
            pass

    def until(self, done):
        end = time.monotonic() + PATIENCE
        while not done():
            assert time.monotonic() < end, "nothing comes any more"
            self.step()

    def shake(self):
        self.until(lambda: self.shaken and not self.out)
        return self


def packets(plain):
    """How many whole packets these are, and of which kinds."""
    kinds = []
    rest = bytearray(plain)
    while True:
        before = len(rest)
        got = cut(rest)
        if got is None or len(rest) == before:
            return kinds
        kinds.append(got.kind)


@pytest.fixture
def tls_port(brokers, pki):
    port = free_port()
    broker = brokers.start(f"listener {port} 127.0.0.1", *pki.tls(), "max_queued_messages 0", "max_inflight_messages 0")
    broker.await_port(port)
    broker.tls_port = port
    return broker


@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize("seed", range(6))
def test_pieces_and_pauses(tls_port, version, seed):
    """Everything that was sent is answered, however it was cut, and however often nobody read or wrote for a while."""
    client = Pieces(tls_port.tls_port, trusting(version=version), seed, rcvbuf=4096)
    client.shake()
    client.tls.write(connect(f"p{seed}{version}") + subscribe(1, ("echo/" + str(seed), 1)))
    count = 0
    for _ in range(12):
        for _ in range(client.random.randrange(1, 40)):
            count += 1
            size = client.random.choice((0, 10, 300, 4000, 16384, 40000))
            client.tls.write(publish(f"echo/{seed}", b"%06d" % count + b"x" * size, 1, count))
        pause = client.random.choice(("none", "deaf", "dumb", "both"))
        if pause == "deaf":
            for _ in range(200):
                client.step(take=False)
        elif pause in ("dumb", "both"):
            time.sleep(0.05)
        else:
            for _ in range(20):
                client.step()
    end = time.monotonic() + PATIENCE
    while True:
        kinds = packets(client.plain) if client.random.random() < 0.02 else []
        if kinds.count(4) == count and kinds.count(3) == count:
            break
        assert time.monotonic() < end, (kinds.count(4), kinds.count(3), count)
        client.step()
    client.sock.close()


# --- stalled, half closed, reset ----------------------------------------------------------------


def hello_of(context):
    coming, going = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(coming, going)
    try:
        tls.do_handshake()
    except ssl.SSLWantReadError:
        pass
    return going.read()


def stalled(port):
    """A client in each state in which one can be left alone."""
    context = trusting()
    crowd = {}

    def raw(name, data=b""):
        crowd[name] = socket.create_connection(("127.0.0.1", port))
        crowd[name].sendall(data)

    hello = hello_of(context)
    raw("nothing said")
    raw("one byte", hello[:1])
    raw("half a hello", hello[:70])
    raw("a hello", hello)
    for name, done in (("shaken", b""), ("half a packet", connect("half")[:5])):
        client = Pieces(port, context).shake()
        if done:
            client.tls.write(done)
            client.until(lambda c=client: not c.out and not c.going.pending)
        crowd[name] = client.sock
    client = Pieces(port, context).shake()
    client.tls.write(connect("half a record"))
    crowd["half a record"] = client.sock
    client.sock.send(client.going.read()[:-3])
    client = Pieces(port, context, rcvbuf=4096).shake()
    client.tls.write(connect("deaf") + subscribe(1, ("deaf", 0)) + publish("deaf", b"d" * 300_000) * 40)
    for _ in range(3000):
        client.step(take=False)
    crowd["does not read"] = client.sock
    return crowd


def cpu_ticks(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


@pytest.mark.parametrize("then", ["stay", "half", "reset"])
def test_who_is_stalled_costs_nothing(tls_port, then):
    crowd = stalled(tls_port.tls_port)
    for sock in crowd.values():
        sock.setblocking(True)
        if then == "half":
            sock.shutdown(socket.SHUT_WR)
        elif then == "reset":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            sock.close()
    time.sleep(0.3)
    before = cpu_ticks(tls_port.pid)
    time.sleep(2.5 if then == "half" else 1)
    spent = cpu_ticks(tls_port.pid) - before
    assert spent <= (20 if sanitized() else 5), f"{spent} ticks"
    tls_port.answers()
    for sock in crowd.values():
        sock.close()


def test_the_end_comes_to_who_is_stalled(tls_port):
    crowd = stalled(tls_port.tls_port)
    begin = time.monotonic()
    tls_port.stop()
    assert time.monotonic() - begin < 5
    for sock in crowd.values():
        sock.close()


# --- reload -------------------------------------------------------------------------------------


def test_a_reload_meets_who_is_greeting(brokers, pki):
    """The listener turns to plain MQTT while clients are on their way: nobody is left waiting, nor
    turned away in silence."""
    port = free_port()
    broker = brokers.start(f"listener {port} 127.0.0.1", *pki.tls())
    broker.await_port(port)
    context = trusting()
    silent = Client(port)
    half = Pieces(port, context)
    half.step()
    half.step()
    shaken = Pieces(port, context).shake()
    time.sleep(0.2)
    reload(broker, f"listener {port} 127.0.0.1")
    shaken.tls.write(connect("shaken"))
    shaken.until(lambda: len(shaken.plain) >= 4)
    half.shake()
    half.tls.write(connect("half"))
    half.until(lambda: len(half.plain) >= 4)
    silent.connect("silent")
    silent.ping()
    broker.answers()


def test_a_reload_makes_a_plain_door_a_secret_one(brokers, pki):
    port = free_port()
    broker = brokers.start(f"listener {port} 127.0.0.1", "enable_proxy_protocol 1")
    broker.await_port(port)
    proxied = Pieces(port, trusting(), first=v1("192.0.2.9", 50123))
    proxied.out, header = b"", proxied.out
    proxied.sock.send(header[:10])
    time.sleep(0.2)
    reload(broker, f"listener {port} 127.0.0.1", "enable_proxy_protocol 1", *pki.tls())
    proxied.out = header[10:]
    proxied.shake()
    proxied.tls.write(connect("late"))
    proxied.until(lambda: len(proxied.plain) >= 4)
    broker.log.wait(r"New client connected from 192\.0\.2\.9 as late")
