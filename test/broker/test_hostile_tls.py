"""Peers that mean harm at a TLS listener and at the login: bytes at random, half handshakes, storms, floods.

What is held fast: the broker lives, others are served, no turn of the loop takes long, memory is bounded by what was
sent and comes back, and the log has few lines, all of them clear.
"""

import random
import re
import socket
import ssl
import struct
import time

import pytest
from broker_process import free_port, sanitized
from certificates import Pair
from listener_tools import descriptors
from login_cases import pbkdf2
from mqtt_wire import CONNACK, PING, PINGRESP, Client, Closed, connect, publish
from test_security_checklist import client_hello
from tls_wire import SERVED, TlsClient, trusting, verdict

pytestmark = pytest.mark.ours

TURN_MS = 10.0
# What the log may say of handshakes that fail; anything else is a reason that nobody has worded.
RAW = re.compile(r"error:[0-9A-F]{8}|SSL routines|SSL_|reason\(|\(null\)|unknown error")


class Target:
    """A broker with a TLS listener, and what is asked of it in the end."""

    def __init__(self, brokers, pki, *lines):
        self.pki = pki
        self.port = free_port()
        self.broker = brokers.start(f"listener {self.port} 127.0.0.1", *pki.tls(), *lines, verbose=False)
        self.broker.await_port(self.port)
        self.broker.log.wait("running$")
        self.memory = self.broker.memory()
        self.clients = []

    def client(self, raw=b""):
        client = Client(self.port)
        client.send_if_open(raw)
        self.clients.append(client)
        return client

    def grown(self):
        """Megabytes since the start, when all that was sent has been looked at."""
        for _ in range(3):
            self.broker.answers()
            time.sleep(0.1)
        return (self.broker.memory() - self.memory) / 1e6

    def drop(self):
        for client in self.clients:
            client.close()
        self.clients.clear()

    def serves(self):
        assert verdict(self.port, trusting(self.pki.ca)).word == SERVED

    def end(self, turn_ms=TURN_MS):
        """Stop it; its longest turn, its log."""
        self.drop()
        self.serves()
        self.broker.stop()
        lines = self.broker.log.lines
        assert [line for line in lines if RAW.search(line)] == []
        (longest,) = [line for line in lines if "Longest turn" in line]
        took = float(re.search(r"([\d.]+) ms", longest).group(1))
        assert sanitized() or took <= turn_ms, longest
        return lines


@pytest.fixture
def target(brokers, pki):
    return Target(brokers, pki)


def broken_hello(rng, hello):
    """One of many ways in which a first flight can be wrong."""
    kind = rng.randrange(6)
    if kind == 0:
        return rng.randbytes(rng.choice([1, 5, 100, 3000]))
    if kind == 1:
        size = rng.choice([0, 1, 100, 16384, 16385, 18432, 65535])
        return b"\x16\x03\x01" + struct.pack(">H", size) + rng.randbytes(rng.choice([0, 10, 500, 17000]))
    if kind == 2:
        flipped = bytearray(hello)
        flipped[rng.randrange(len(hello))] ^= 1 << rng.randrange(8)
        return bytes(flipped)
    if kind == 3:
        return hello[: rng.randrange(len(hello))]
    return hello + (rng.randbytes(rng.choice([5, 100, 5000])) if kind == 4 else hello)


@pytest.mark.parametrize("seed", range(2))
def test_broken_handshakes(target, seed):
    rng, hello = random.Random(seed), client_hello()
    for _ in range(600):
        client = target.client(broken_hello(rng, hello))
        if rng.random() < 0.3:
            client.reset()
        else:
            client.close()
    target.serves()
    lines = target.end()
    assert len(lines) < 250, "a flood is summed up"


def test_records_that_are_none_after_the_handshake(target):
    """The end of such a connection is said in words of TLS."""
    bad = [b"\x17\x03\x03\xff\xff", b"\x17\x03\x03\x00\x40" + b"x" * 64, b"\x15\x03\x03\x00\x02\x02\x28",
           b"\x16\x03\x03\x00\x00", b"GET / HTTP/1.1\r\n\r\n", b"\x10\x0e\0\4MQTT\4\2\0\x3c\0\2id"]
    for number, raw in enumerate(bad):
        client = TlsClient(target.port, trusting(target.pki.ca))
        client.connect(f"c{number}")
        beneath = client.sock.detach()
        with socket.socket(fileno=beneath) as plain:
            plain.sendall(raw + b"q" * 100)
            plain.settimeout(10)
            try:
                while plain.recv(1 << 16):
                    pass
            except ConnectionResetError:
                pass
        line = target.broker.log.wait(rf"Client c{number} \[.*disconnected: ")
        assert not re.search("Protocol error", line), line
    target.end()


def test_a_crowd_in_the_middle_of_a_handshake(target):
    """It costs what it has sent, disturbs nobody, and is given back."""
    hello = client_hello()
    for half in (hello[:100], hello):
        for _ in range(1000):
            target.client(half)
        begun = time.monotonic()
        target.broker.answers()
        target.serves()
        assert time.monotonic() - begun < 5
        assert sanitized() or target.grown() < 120
    target.drop()
    target.broker.answers()
    assert descriptors(target.broker) < 40
    target.end()


def becomes(true, seconds=20):
    limit = time.monotonic() + seconds
    while not true() and time.monotonic() < limit:
        time.sleep(0.2)
    return true()


@pytest.mark.skipif(sanitized(), reason="a sanitizer keeps what was freed")
def test_what_a_crowd_has_cost_is_given_back(target):
    """#2830: after a storm the process is as large as its clients are."""
    hello = client_hello()
    for _ in range(1500):
        target.client(hello)
    assert becomes(lambda: target.grown() > 20), "their handshakes are worked off in turns"
    target.drop()
    assert becomes(lambda: target.grown() <= 15)


@pytest.mark.skipif(sanitized(), reason="a sanitizer's build needs more")
def test_a_hello_that_promises_much_costs_what_it_has_sent(target):
    """CVE-2017-7651 in other clothes: 512 bytes that say 131,000 will follow."""
    raw = b"\x16\x03\x01\x02\x00\x01" + (131000).to_bytes(3, "big") + b"\x03\x03" + b"x" * 506
    for _ in range(500):
        target.client(raw)
    assert target.grown() < 30
    target.end()


def test_a_chain_of_hundreds_does_not_stop_the_others(brokers, pki, tmp_path):
    """Whoever shows certificates has them read before anybody knows who that is."""
    target = Target(brokers, pki, f"cafile {pki.ca.cert}", "require_certificate true")
    stranger = pki.stranger.issue("many")
    chain = Pair(tmp_path / "chain.pem", stranger.key)
    chain.cert.write_bytes(stranger.cert.read_bytes() + pki.stranger.issue("link").cert.read_bytes() * 200)
    for version in ("1.2", "1.3"):
        for _ in range(5):
            assert verdict(target.port, trusting(pki.ca, chain, version)).word != SERVED
    target.drop()
    target.broker.stop()
    (longest,) = [line for line in target.broker.log.lines if "Longest turn" in line]
    assert sanitized() or float(re.search(r"([\d.]+) ms", longest).group(1)) <= TURN_MS, longest


def test_handshakes_byte_by_byte(target):
    """Slowly, by many, and to the end."""
    hello = client_hello()
    crowd = [target.client() for _ in range(100)]
    for at in range(50):
        for client in crowd:
            client.send(hello[at : at + 1])
    target.serves()
    target.end()


def test_a_storm_of_handshakes_leaves_the_others_alone(target):
    """1,000 at once; no turn is long, and a pair goes on."""
    reader, writer = target.broker.connect("reader"), target.broker.connect("writer")
    reader.subscribe("t")
    hello = client_hello()
    crowd = [target.client() for _ in range(1000)]
    slowest = 0.0
    for number, client in enumerate(crowd):
        client.send(hello)
        if number % 20 == 0:
            begun = time.monotonic()
            writer.send(publish("t", str(number)))
            reader.take("t", str(number))
            slowest = max(slowest, time.monotonic() - begun)
    assert slowest < (3.0 if sanitized() else 0.5), slowest
    target.drop()
    target.end()


def test_300_who_are_served(target):
    """Each with its session; they go, and the broker is small again."""
    context = trusting(target.pki.ca)
    crowd = []
    for number in range(300):
        client = TlsClient(target.port, context)
        client.send(connect(f"c{number}"), PING)
        crowd.append(client)
    for client in crowd:
        client.expect(CONNACK, code=0)
        client.expect(PINGRESP)
    assert sanitized() or target.grown() < 30
    for client in crowd:
        client.close()
    target.end()


def test_one_that_does_not_read(target):
    """What TLS has made of messages waits for it as little as the messages do."""
    reader = TlsClient(target.port, trusting(target.pki.ca))
    reader.connect("reader")
    reader.subscribe("t")
    writer = target.broker.connect("writer")
    for _ in range(300):
        writer.send(publish("t", b"z" * 100_000))
    writer.quiet()
    assert sanitized() or target.grown() < 20
    reader.close()
    target.end()


def test_cut_at_any_byte_of_a_conversation(target):
    """Of what a client writes on the socket, each prefix, then the end."""
    said = bytearray()
    inward, outward = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = trusting().wrap_bio(inward, outward, server_hostname="localhost")
    whole = target.client()
    while True:
        try:
            tls.do_handshake()
            break
        except ssl.SSLWantReadError:
            data = outward.read()
            said += data
            whole.send(data)
            inward.write(whole.sock.recv(1 << 16))
    tls.write(connect("c") + PING)
    said += outward.read()
    for end in range(0, len(said), 7):
        target.client(bytes(said[:end])).close()
    target.serves()
    target.end()


# --- logins -----------------------------------------------------------------------------------------


def test_wrong_passwords_in_a_flood(brokers, pki, tmp_path):
    """Hashes are computed beside the loop; whoever has left is not worked for; few lines tell of it all."""
    passwords = tmp_path / "passwords"
    passwords.write_text(pbkdf2("alice", "secret", 20000))
    passwords.chmod(0o600)
    target = Target(brokers, pki, f"password_file {passwords}")
    reader, writer = target.broker.connect("reader"), target.broker.connect("writer")
    reader.subscribe("t")
    flood = [Client(target.broker.port) for _ in range(300)]
    for number, client in enumerate(flood):
        client.send(connect(f"f{number}", username=f"user{number % 7}", password="w" * 200 * number))
    slowest = 0.0
    for number in range(100):
        begun = time.monotonic()
        writer.send(publish("t", str(number)))
        reader.take("t", str(number))
        slowest = max(slowest, time.monotonic() - begun)
    assert slowest < (3.0 if sanitized() else 0.5), slowest
    for client in flood[:20]:
        client.expect(CONNACK, code=5)
    for client in flood:
        client.close()
    begun = time.monotonic()
    target.broker.connect("next", username="alice", password="secret").quiet()
    assert time.monotonic() - begun < 5, "those who have left were worked for"
    assert sanitized() or target.grown() < 30
    lines = target.end()
    assert not re.search("www", "\n".join(lines))


@pytest.mark.parametrize("size", [0, 1, 65535])
def test_names_and_passwords_of_any_size(brokers, tmp_path, size):
    """Binary passwords too: a NUL does not end them. (Alone at the end it is nothing to PBKDF2, which fills keys up with it.)"""
    (tmp_path / "passwords").write_text(pbkdf2("alice", "secret"))
    broker = brokers.start(f"password_file {tmp_path}/passwords", verbose=False)
    for username, password in (("alice", b"\0" * size), ("alice", b"secret\0" + b"x" * max(size - 7, 1)),
                               ("n" * max(size, 1), b"x")):
        client = broker.client()
        client.send(connect("c", username=username, password=password))
        try:
            client.expect(CONNACK, code=5)
        except Closed:
            assert size == 65535, "only what is too large is closed without an answer"
        client.close()
    broker.connect("c", username="alice", password="secret").quiet()


def test_rules_of_every_odd_name(brokers, tmp_path):
    """Whatever a client calls itself, patterns give it its own and nothing else."""
    acl = tmp_path / "acl"
    acl.write_text("user chief\ntopic read #\npattern write u/%u/x\npattern write c/%c/x\n")
    broker = brokers.start(f"acl_file {acl}", verbose=False)
    chief = broker.connect("chief", username="chief")
    chief.subscribe("#")
    rng = random.Random(7)
    signs = ["a", "b", "/", "%", "u", "c", "$", " ", "'", "[", "]", "\\", "é", "#", "+", ".", "*"]
    for _ in range(150):
        user, client_id = ("".join(rng.choice(signs) for _ in range(rng.randint(1, 6))) for _ in range(2))
        client = broker.connect(client_id, username=user)
        for topic in ("u/a/x", "c/b/x", "u/a/b/x", "c/u/x", f"u/{user}/x", f"c/{client_id}/x"):
            if not set(topic) & set("+#"):
                client.publish(topic, f"{user}\n{client_id}", qos=1)
        client.close()
    arrived = chief.take_all()
    assert len(arrived) > 50
    for packet in arrived:
        user, client_id = packet.payload.decode().split("\n")
        assert packet.topic in (f"u/{user}/x", f"c/{client_id}/x"), packet
        assert not set(user + client_id) & set("+#"), packet

