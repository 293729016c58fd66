"""The three listeners of test.mosquitto.org on one broker: plain, TLS, and TLS with client certificates.

Played with Python's ssl module; foreign clients do the same in test/client/test_tls_clients.py. What a broker
must do in any case also holds of the distribution's: MOSQUITTO_BIN=/usr/sbin/mosquitto, `-m "not ours"`.
"""

import itertools
import re
import ssl

import pytest
from broker_process import free_port
from certificates import openssl, utc
from mqtt_wire import Client, connect, publish
from tls_wire import SERVED, TlsClient, trusting, verdict

VERSIONS = ["1.2", "1.3"]


class Three:
    """A broker with its three doors."""

    def __init__(self, brokers, pki, *lines, last=None):
        self.pki = pki
        self.tls, self.mutual = free_port(), free_port()
        self.broker = brokers.start(
            *lines,
            f"listener {self.tls} 127.0.0.1", *pki.tls(),
            f"listener {self.mutual} 127.0.0.1", *pki.mutual(), *(last or []),
        )
        self.broker.await_port(self.mutual)
        self.log = self.broker.log

    def plain_client(self, client_id, **options):
        client = Client(self.broker.port)
        self.broker.clients.append(client)
        client.connect(client_id, **options)
        return client

    def tls_client(self, client_id, version=None, **options):
        return self.over(self.tls, trusting(self.pki.ca, version=version), client_id, **options)

    def mutual_client(self, client_id, pair=None, version=None, **options):
        pair = pair or self.pki.client()
        return self.over(self.mutual, trusting(self.pki.ca, pair, version), client_id, **options)

    def over(self, port, context, client_id, **options):
        client = TlsClient(port, context)
        self.broker.clients.append(client)
        client.connect(client_id, **options)
        return client

    def attempt(self, pair, version=None, port=None, **options):
        """What becomes of one who shows this pair at the third door."""
        return verdict(port or self.mutual, trusting(self.pki.ca, pair, version), **options)


@pytest.fixture
def three(brokers, pki):
    return Three(brokers, pki)


def lines_about(log, port):
    """What went wrong with the connection from this port; its opening does not count."""
    return [line for line in log.lines if re.search(rf"[:\]]{port}\b", line)
            and not re.search("New connection| negotiated ", line)]


def one_refusal(three, found, pattern):
    """Exactly one line tells of the end, names the address and has this in it; nothing of OpenSSL's in the raw."""
    line = three.log.wait(rf"127\.0\.0\.1:{found.port}\b.* (denied|disconnected): .*(?i:{pattern})")
    three.plain_client("bystander").disconnect()
    assert lines_about(three.log, found.port) == [line]
    assert not re.search(r"error:[0-9A-F]{8}|routines", line), line
    assert line.endswith(".") and not line.endswith(".."), line


# --- messages cross ---------------------------------------------------------------------------------


@pytest.mark.parametrize("version", VERSIONS)
def test_messages_go_from_each_door_to_each(three, version):
    makers = {
        "plain": three.plain_client,
        "tls": lambda who: three.tls_client(who, version),
        "mutual": lambda who: three.mutual_client(who, version=version),
    }
    readers = {kind: make(f"r-{kind}") for kind, make in makers.items()}
    for reader in readers.values():
        reader.subscribe("t/#", qos=2)
    for (kind, make), qos in itertools.product(makers.items(), (0, 1, 2)):
        writer = make(f"w-{kind}")
        writer.publish(f"t/{kind}", f"at {qos}", qos=qos)
        for reader in readers.values():
            reader.take(f"t/{kind}", f"at {qos}", qos=qos)
        writer.disconnect()


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("size", [1, 16_383, 16_384, 16_385, 70_000, 1_500_000])
def test_payloads_of_many_records(three, version, size):
    client = three.tls_client("c", version)
    client.subscribe("big", qos=1)
    data = bytes(index % 251 for index in range(size))
    client.send(publish("big", data, 1, 7))
    got = {}
    for _ in range(2):
        packet = client.recv()
        got[packet.kind] = packet
    assert got[3].payload == data and got[4].mid == 7


@pytest.mark.parametrize("version", VERSIONS)
def test_many_packets_in_one_record(three, version):
    """What is decrypted already is handled without waiting for more bytes on the socket."""
    client = three.tls_client("c", version)
    client.subscribe("many")
    client.send(b"".join(publish("many", str(number)) for number in range(1000)))
    for number in range(1000):
        client.take("many", str(number))
    client.quiet()


def test_byte_by_byte(three):
    """Each byte in a record of its own."""
    client = three.tls_client("c")
    client.subscribe("slow")
    client.send_slowly(publish("slow", "at last"))
    client.take("slow", "at last")


def test_a_half_record_waits(three):
    """A record that comes in pieces holds up nobody, and is read when it is whole."""
    sock_pairs = [ssl.MemoryBIO(), ssl.MemoryBIO()]
    context = trusting(three.pki.ca)
    tls = context.wrap_bio(*sock_pairs, server_hostname="127.0.0.1")
    client = Client(three.tls)
    three.broker.clients.append(client)
    while True:
        try:
            tls.do_handshake()
            break
        except ssl.SSLWantReadError:
            for piece in split(sock_pairs[1].read(), 7):
                client.sock.sendall(piece)
            sock_pairs[0].write(client.sock.recv(1 << 16))
    tls.write(connect("halves"))
    raw = sock_pairs[1].read()
    client.sock.sendall(raw[:-1])
    three.plain_client("other").quiet()
    client.sock.sendall(raw[-1:])
    three.log.wait("as halves ")


def split(data, size):
    return [data[at : at + size] for at in range(0, len(data), size)]


def test_a_slow_reader_over_tls_gets_everything(three):
    """More than the socket's buffers hold: writing goes on when the reader does."""
    reader = three.tls_client("reader")
    reader.subscribe("bulk", qos=1)
    writer = three.plain_client("writer")
    for number in range(60):
        writer.publish("bulk", bytes([number]) * 100_000, qos=1)
    for number in range(60):
        reader.take("bulk", bytes([number]) * 100_000)


# --- who may not come in ----------------------------------------------------------------------------


REFUSALS = {
    # who: (alerts that say so to the client, what the log says)
    "nobody": ("certificate required|handshake failure", "certificate required|no .*certificate"),
    "a stranger": ("unknown ca", "issuer|authority"),
    "signed by itself": ("unknown ca|bad certificate", "self.signed|signed by itself"),
    "expired": ("certificate expired", "expired"),
    "not yet valid": ("bad certificate|certificate expired|certificate unknown", "not yet valid|not valid yet"),
    "a server's": ("unsupported certificate|bad certificate|unknown ca|certificate unknown", "purpose|not for clients"),
    "without its chain": ("unknown ca", "issuer|authority"),
}


def pair_of(pki, who):
    if who == "without its chain":
        pair = pki.intermediate.issue("chainless").copy(pki.intermediate.directory)
        pair.cert.write_bytes(first_only(pair.cert.read_bytes()))
        return pair
    return {
        "nobody": lambda: None, "a stranger": lambda: pki.stranger.issue("stranger"), "signed by itself": lambda: pki.stranger,
        "expired": lambda: pki.expired, "not yet valid": lambda: pki.not_yet, "a server's": lambda: pki.server,
    }[who]()


def first_only(text):
    end = b"-----END CERTIFICATE-----\n"
    return text[: text.index(end) + len(end)]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("who", REFUSALS)
def test_the_third_door_refuses(three, who, version):
    alerts, _ = REFUSALS[who]
    found = three.attempt(pair_of(three.pki, who), version)
    assert re.search(alerts, found.word), found
    assert three.attempt(three.pki.client(), version).word == SERVED


@pytest.mark.ours
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("who", REFUSALS)
def test_the_log_says_why_in_one_line(three, who, version):
    _, said = REFUSALS[who]
    one_refusal(three, three.attempt(pair_of(three.pki, who), version), said)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_revoked_certificate(brokers, pki, version):
    three = Three(brokers, pki, last=[f"crlfile {pki.crl}"])
    assert three.attempt(pki.client(), version).word == SERVED
    assert three.attempt(pki.revoked, version).word == "alert certificate revoked"


@pytest.mark.ours
def test_the_log_says_that_it_is_revoked(brokers, pki):
    three = Three(brokers, pki, last=[f"crlfile {pki.crl}"])
    one_refusal(three, three.attempt(pki.revoked), "revoked")


@pytest.mark.ours
def test_a_revoked_certificate_is_refused_without_a_name_too(brokers, pki):
    """Certificates are not demanded, but one that is shown is checked."""
    three = Three(brokers, pki, last=[f"crlfile {pki.crl}"])
    optional = free_port()
    broker = brokers.start(
        f"listener {optional} 127.0.0.1", *pki.tls(), f"cafile {pki.ca.cert}", f"crlfile {pki.crl}",
        "use_identity_as_username true")
    broker.await_port(optional)
    assert three.attempt(pki.revoked, port=optional).word != SERVED


@pytest.mark.parametrize("version", VERSIONS)
def test_an_intermediate_authority(three, version):
    """Its client shows the chain; the broker knows the root alone."""
    assert three.attempt(three.pki.intermediate.issue("deep"), version).word == SERVED


def test_a_server_with_a_chain(brokers, pki):
    """The client knows the root alone: the whole chain is sent."""
    port = free_port()
    broker = brokers.start(f"listener {port} 127.0.0.1", *pki.tls(pki.intermediate.server()))
    broker.await_port(port)
    assert verdict(port, trusting(pki.ca)).word == SERVED


def test_a_directory_of_authorities(brokers, pki, tmp_path):
    directory = tmp_path / "authorities"
    directory.mkdir()
    (directory / "ca.pem").write_bytes(pki.ca.cert.read_bytes())
    openssl("rehash", directory)
    port = free_port()
    broker = brokers.start(f"listener {port} 127.0.0.1", *pki.tls(), f"capath {directory}", "require_certificate true")
    broker.await_port(port)
    assert verdict(port, trusting(pki.ca, pki.client())).word == SERVED
    assert verdict(port, trusting(pki.ca, pki.stranger.issue("x"))).word == "alert unknown ca"


@pytest.mark.ours
def test_dates_of_client_certificates_may_be_left_unchecked(brokers, pki):
    three = Three(brokers, pki, last=["disable_client_cert_date_checks true"])
    assert three.attempt(pki.expired).word == SERVED
    assert three.attempt(pki.not_yet).word == SERVED
    assert three.attempt(pki.stranger.issue("x", starts=utc(days=-9), ends=utc(days=-2))).word == "alert unknown ca"


# --- what the client refuses ------------------------------------------------------------------------


def test_a_client_that_trusts_another_authority(three):
    found = verdict(three.tls, trusting(three.pki.stranger))
    assert "issuer" in found.word
    assert three.tls_client("next").quiet() is None


@pytest.mark.ours
@pytest.mark.parametrize("what", ["authority", "name"])
def test_the_log_says_that_the_client_refused(three, what):
    ca = three.pki.stranger if what == "authority" else three.pki.ca
    found = verdict(three.tls, trusting(ca), name="other.example" if what == "name" else None)
    assert found.word.startswith("our own")
    one_refusal(three, found, "client.*(unknown ca|bad certificate)|(unknown ca|bad certificate).*client|alert")


def test_a_wrong_host_name(three):
    assert "mismatch" in verdict(three.tls, trusting(three.pki.ca), name="other.example").word
    assert verdict(three.tls, trusting(three.pki.ca), name="localhost").word == SERVED


# --- versions, ciphers, ALPN ------------------------------------------------------------------------


@pytest.mark.parametrize("option, served", [
    (None, {"1.1": False, "1.2": True, "1.3": True}),
    ("tlsv1.2", {"1.1": False, "1.2": True, "1.3": True}),
    ("tlsv1.3", {"1.1": False, "1.2": False, "1.3": True}),
])
def test_versions(brokers, pki, option, served):
    port = free_port()
    lines = [f"tls_version {option}"] if option else []
    broker = brokers.start(f"listener {port} 127.0.0.1", *pki.tls(), *lines)
    broker.await_port(port)
    for version, expected in served.items():
        found = verdict(port, trusting(pki.ca, version=version)).word
        assert (found == SERVED) == expected, (version, found)
        assert expected or re.match("alert (protocol version|internal error)$", found), found


@pytest.mark.ours
def test_the_log_says_that_a_version_is_too_old(brokers, pki):
    three = Three(brokers, pki, last=["tls_version tlsv1.3"])
    found = three.attempt(pki.client(), "1.2")
    one_refusal(three, found, "version|protocol")


def test_ciphers(brokers, pki):
    port = free_port()
    broker = brokers.start(
        f"listener {port} 127.0.0.1", *pki.tls(), "ciphers ECDHE-ECDSA-AES256-GCM-SHA384",
        "ciphers_tls1.3 TLS_CHACHA20_POLY1305_SHA256")
    broker.await_port(port)
    for version, cipher in (("1.2", "ECDHE-ECDSA-AES256-GCM-SHA384"), ("1.3", "TLS_CHACHA20_POLY1305_SHA256")):
        client = TlsClient(port, trusting(pki.ca, version=version))
        assert client.sock.cipher()[0] == cipher
        client.close()
    found = verdict(port, trusting(pki.ca, version="1.2", ciphers="ECDHE-ECDSA-AES128-GCM-SHA256"))
    assert found.word == "alert handshake failure"


@pytest.mark.ours
def test_the_log_says_that_no_cipher_is_shared(brokers, pki):
    three = Three(brokers, pki, last=["ciphers ECDHE-ECDSA-AES256-GCM-SHA384"])
    context = trusting(pki.ca, pki.client(), "1.2", ciphers="ECDHE-ECDSA-AES128-GCM-SHA256")
    one_refusal(three, verdict(three.mutual, context), "cipher")


@pytest.mark.ours
@pytest.mark.parametrize("asked, chosen", [(["mqtt"], "mqtt"), (["http/1.1", "mqtt"], "mqtt"), ([], None)])
def test_alpn(three, asked, chosen):
    client = TlsClient(three.tls, trusting(three.pki.ca, alpn=asked))
    client.connect("alpn")
    assert client.sock.selected_alpn_protocol() == chosen
    client.close()


def test_a_client_without_our_protocol_name_is_served(three):
    """Mosquitto looks at no name, so whatever clients have sent all along works."""
    assert verdict(three.tls, trusting(three.pki.ca, alpn=["http/1.1"])).word == SERVED


def test_an_rsa_certificate(brokers, pki):
    port = free_port()
    broker = brokers.start(f"listener {port} 127.0.0.1", *pki.tls(pki.rsa_server))
    broker.await_port(port)
    for version in VERSIONS:
        assert verdict(port, trusting(pki.ca, version=version)).word == SERVED


# --- resumption -------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("door", ["tls", "mutual"])
def test_sessions_are_resumed(three, version, door):
    pair = three.pki.client() if door == "mutual" else None
    context = trusting(three.pki.ca, pair, version)
    first = TlsClient(getattr(three, door), context)
    first.connect("first")
    first.quiet()
    session = first.sock.session
    assert session is not None and not first.sock.session_reused
    first.disconnect()
    second = TlsClient(getattr(three, door), context, session=session)
    second.connect("second")
    assert second.sock.session_reused
    second.subscribe("resumed")
    second.close()


def test_a_session_opens_no_other_door(three):
    """One that was begun without a certificate does not stand for one at the third door."""
    context = trusting(three.pki.ca)
    first = TlsClient(three.tls, context)
    first.connect("first")
    first.quiet()
    session = first.sock.session
    first.close()
    with pytest.raises((ssl.SSLError, ConnectionError, AssertionError)) as refused:
        client = TlsClient(three.mutual, context, session=session)
        client.connect("sneaks in")
    assert "sneaks in" not in "\n".join(three.log.lines), refused


def test_a_resumed_session_keeps_the_name(brokers, pki):
    three = Three(brokers, pki, last=["use_identity_as_username true"])
    context = trusting(pki.ca, pki.client("alice"))
    first = TlsClient(three.mutual, context)
    first.connect("first")
    first.quiet()
    session = first.sock.session
    first.close()
    second = TlsClient(three.mutual, context, session=session)
    second.connect("second")
    assert second.sock.session_reused
    three.log.wait(r"as second .*u'alice'")
    second.close()


# --- names from certificates ------------------------------------------------------------------------


def granted(three, pair, topic, client_id="c", **options):
    """Is what this client writes there let through?"""
    watcher = three.plain_client("watcher", username="watcher")
    watcher.subscribe("#")
    client = three.mutual_client(client_id, pair, **options)
    client.publish(topic, "x", qos=1)
    client.disconnect()
    got = watcher.take_all()
    watcher.disconnect()
    return [packet.topic for packet in got] == [topic]


def test_the_common_name_is_the_user(brokers, pki, tmp_path):
    acl = tmp_path / "acl"
    acl.write_text("user watcher\ntopic read #\nuser alice\ntopic write a/#\npattern write home/%u/x\n")
    three = Three(brokers, pki, f"acl_file {acl}", last=["use_identity_as_username true"])
    alice, bob = pki.client("alice"), pki.client("bob")
    assert granted(three, alice, "a/1")
    assert granted(three, alice, "home/alice/x")
    assert not granted(three, alice, "home/bob/x")
    assert not granted(three, bob, "a/1")
    assert granted(three, bob, "home/bob/x")
    three.log.wait(r"as c .*u'alice'")


def test_the_certificate_wins_over_what_connect_says(brokers, pki, tmp_path):
    acl = tmp_path / "acl"
    acl.write_text("user watcher\ntopic read #\nuser alice\ntopic write a/#\n")
    three = Three(brokers, pki, f"acl_file {acl}", last=["use_identity_as_username true"])
    assert not granted(three, pki.client("bob"), "a/1", username="alice", password="x")
    assert granted(three, pki.client("alice"), "a/1", username="bob")


@pytest.mark.ours
def test_no_password_is_asked_of_a_certificate(brokers, pki, tmp_path):
    passwords = tmp_path / "passwords"
    passwords.write_text("")
    three = Three(brokers, pki, f"password_file {passwords}", last=[
        "use_identity_as_username true", "listener_allow_anonymous false"])
    assert three.attempt(pki.client("alice")).word == SERVED
    assert three.attempt(pki.client("alice"), username="x", password="wrong").word == SERVED


@pytest.mark.ours
def test_a_certificate_without_that_option_is_no_name(brokers, pki, tmp_path):
    """It opens the door, and says nothing of who comes in."""
    passwords = tmp_path / "passwords"
    passwords.write_text("")
    three = Three(brokers, pki, f"password_file {passwords}", last=["listener_allow_anonymous false"])
    assert three.attempt(pki.client("alice")).word == "CONNACK 5"
    assert three.attempt(pki.client("alice"), username="alice").word == "CONNACK 5"


def test_the_subject_is_the_user(brokers, pki):
    three = Three(brokers, pki, last=["use_subject_as_username true"])
    pair = pki.ca.issue("x", subject="/C=DE/O=Some, Ltd/OU=a+b/CN=device 7")
    three.mutual_client("c", pair)
    line = three.log.wait("as c ")
    assert f"u'{pair.subject()}'" in line.replace("\\\\", "\\"), line


def test_the_identity_wins_over_the_subject(brokers, pki):
    three = Three(brokers, pki, last=["use_subject_as_username true", "use_identity_as_username true"])
    three.mutual_client("c", pki.client("alice"))
    three.log.wait(r"as c .*u'alice'")


def test_the_identity_can_be_the_client_id(brokers, pki):
    three = Three(brokers, pki, last=["use_identity_as_username true", "use_username_as_clientid true"])
    three.mutual_client("ignored", pki.client("alice"))
    three.log.wait(r"as alice .*u'alice'")


@pytest.mark.parametrize("text", ["münchen", "名前"])
def test_a_name_beyond_ascii(brokers, pki, text):
    three = Three(brokers, pki, last=["use_identity_as_username true"])
    three.mutual_client("c", pki.client(text))
    three.log.wait(rf"as c .*u'{text}'")


@pytest.mark.ours
@pytest.mark.parametrize("new", [b"alice\0nul", b"alice\nnul", b"alice\x7fnul"])
@pytest.mark.parametrize("option", ["use_identity_as_username", "use_subject_as_username"])
def test_a_name_that_is_none(brokers, pki, new, option):
    """CN with a NUL would be read as alice by whoever stops there (2.0.16)."""
    three = Three(brokers, pki, last=[f"{option} true"])
    found = three.attempt(pki.ca.forge(pki.ca.issue("alice-nul", subject="/CN=alice-nul"), b"alice-nul", new))
    if option == "use_identity_as_username":
        assert found.word != SERVED
        one_refusal(three, found, "name")
    elif found.word == SERVED:
        line = three.log.wait("as auto-.*u'CN=alice")
        assert "u'CN=alice'" not in line and "nul'" in line


def test_a_subject_without_a_common_name(brokers, pki):
    three = Three(brokers, pki, last=["use_identity_as_username true"])
    found = three.attempt(pki.ca.issue("x", subject="/O=nothing else"))
    assert found.word in ("CONNACK 4", "CONNACK 5")


def test_a_certificate_may_be_optional(brokers, pki):
    """Without require_certificate, whoever shows none comes in as CONNECT says."""
    port = free_port()
    broker = brokers.start(f"listener {port} 127.0.0.1", *pki.tls(), f"cafile {pki.ca.cert}")
    broker.await_port(port)
    assert verdict(port, trusting(pki.ca), username="u").word == SERVED
    assert verdict(port, trusting(pki.ca, pki.client()), username="u").word == SERVED


# --- what is no TLS ---------------------------------------------------------------------------------


def end_of(client):
    """Read until the broker has closed; what it sent."""
    data = b""
    while True:
        try:
            more = client.sock.recv(1 << 16)
        except ConnectionResetError:
            return data
        if not more:
            return data
        data += more


WRONG = {
    "plain MQTT": (b"\x10\x0e\0\4MQTT\4\2\0\x3c\0\2id", "MQTT|plain|TLS"),
    "HTTP": (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP"),
    "garbage": (b"\xde\xad\xbe\xef" * 20, "TLS"),
    "an old hello": (b"\x80\x2e\x01\x03\x01\x00\x15\x00\x00\x00\x10" + b"\0" * 40, "TLS|version"),
    "zeroes": (b"\0" * 100, "TLS"),
}


@pytest.mark.ours
@pytest.mark.parametrize("what", WRONG)
@pytest.mark.parametrize("door", ["tls", "mutual"])
def test_what_is_no_tls(three, what, door):
    raw, said = WRONG[what]
    client = Client(getattr(three, door))
    client.send(raw)
    end_of(client)
    one_refusal(three, FromPort(client), said)
    client.close()


class FromPort:
    def __init__(self, client):
        self.port = client.address[1]


@pytest.mark.ours
def test_tls_to_the_plain_door(three):
    found = verdict(three.broker.port, trusting(three.pki.ca))
    assert found.word != SERVED
    one_refusal(three, found, "TLS.*non-TLS")
