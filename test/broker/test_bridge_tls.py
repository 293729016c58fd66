"""Bridges over TLS: whom they trust, what they show, and how they say what was wrong."""

import contextlib
import os
import re
import socket
import ssl
import subprocess

import pytest
from broker_process import binary, environment, free_port, sanitized, whose
from listener_tools import reload
from mqtt_wire import PATIENCE
from remote_broker import HOST, longest_turn, remote, remotes, section  # noqa: F401
from tls_wire import VERSIONS

pytestmark = pytest.mark.ours
OUT = ("topic a/# out 1",)


def serving(pair, ca=None, version=None, alpn=None, ciphers=None):
    """A server's settings; with `ca` a client must show a certificate of it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.cert, pair.key)
    if ca is not None:
        context.load_verify_locations(ca.cert)
        context.verify_mode = ssl.CERT_REQUIRED
    if version:
        context.minimum_version = context.maximum_version = VERSIONS[version]
    if alpn:
        context.set_alpn_protocols(alpn)
    if ciphers:
        context.set_ciphers(ciphers)
    return context


def works(broker, remote):
    """The bridge comes up and brings a message; its connection."""
    link = remote.welcome(outs=["a/#"])
    broker.connect().publish("a/1", "x" * 20000, qos=1)
    link.take("a/1", "x" * 20000)
    return link


def fails(broker, remote, pattern):
    """The handshake fails, with this said, and clients are served."""
    with pytest.raises((ssl.SSLError, ConnectionError)):
        remote.accept().recv()
    broker.log.wait(rf"Warning: .*bridge b\b.*: .*({pattern}).*; next attempt in")
    broker.answers()


@pytest.fixture
def secure(remotes, pki):
    return remotes.start(serving(pki.server))


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_trusted_server(brokers, secure, pki, host):
    broker = brokers.start(*section(f"{host}:{secure.port}", *OUT, f"bridge_cafile {pki.ca.cert}"))
    link = works(broker, secure)
    assert link.sock.version() == "TLSv1.3"
    assert link.hello.id == f"{HOST}.b"


def test_it_says_the_name_of_the_host(brokers, remotes, pki):
    names = []
    context = serving(pki.server)
    context.sni_callback = lambda sock, name, _: names.append(name)
    remote = remotes.start(context)
    brokers.start(*section(f"localhost:{remote.port}", *OUT, f"bridge_cafile {pki.ca.cert}"))
    remote.greet()
    assert names == ["localhost"]


def test_no_name_for_an_address(brokers, remotes, pki):
    names = []
    context = serving(pki.server)
    context.sni_callback = lambda sock, name, _: names.append(name)
    remote = remotes.start(context)
    brokers.start(*section(remote, *OUT, f"bridge_cafile {pki.ca.cert}"))
    remote.greet()
    assert not [name for name in names if name]


def test_messages_both_ways(brokers, secure, pki):
    broker = brokers.start(*section(secure, "topic a/# both 2", f"bridge_cafile {pki.ca.cert}"))
    reader = broker.connect()
    reader.subscribe("a/in", qos=2)
    link = secure.welcome(ins=["a/#"])
    payload = os.urandom(300000)
    link.publish("a/in", payload, qos=2)
    reader.take("a/in", payload, qos=2)
    broker.connect().publish("a/out", payload, qos=2)
    link.take("a/out", payload, qos=2)


def test_a_stranger(brokers, remotes, pki):
    remote = remotes.start(serving(pki.stranger.server()))
    broker = brokers.start(*section(remote, *OUT, f"bridge_cafile {pki.ca.cert}"))
    fails(broker, remote, "certificate.*issuer|unable to get|self.signed|not trusted")


def test_another_host(brokers, remotes, pki):
    remote = remotes.start(serving(pki.ca.server(names="DNS:elsewhere.example,IP:192.0.2.1")))
    broker = brokers.start(*section(remote, *OUT, f"bridge_cafile {pki.ca.cert}"))
    fails(broker, remote, "mismatch|does not match|not for|is for")


def test_another_host_by_name(brokers, remotes, pki):
    remote = remotes.start(serving(pki.ca.server(names="DNS:elsewhere.example")))
    broker = brokers.start(*section(f"localhost:{remote.port}", *OUT, f"bridge_cafile {pki.ca.cert}"))
    fails(broker, remote, "[Hh]ost ?name mismatch|does not match|not for|is for")


def test_another_host_that_is_accepted(brokers, remotes, pki):
    remote = remotes.start(serving(pki.ca.server(names="DNS:elsewhere.example")))
    broker = brokers.start(*section(remote, *OUT, f"bridge_cafile {pki.ca.cert}", "bridge_insecure true"))
    works(broker, remote)


def test_a_stranger_is_not_accepted_insecurely(brokers, remotes, pki):
    """bridge_insecure is about the name alone."""
    remote = remotes.start(serving(pki.stranger.server()))
    broker = brokers.start(*section(remote, *OUT, f"bridge_cafile {pki.ca.cert}", "bridge_insecure true"))
    fails(broker, remote, "certificate")


def test_an_expired_server(brokers, remotes, pki):
    pair = pki.ca.server(starts="20200101000000Z", ends="20210101000000Z")
    remote = remotes.start(serving(pair))
    broker = brokers.start(*section(remote, *OUT, f"bridge_cafile {pki.ca.cert}"))
    fails(broker, remote, "expired")


def test_a_client_certificate_is_no_server(brokers, remotes, pki):
    remote = remotes.start(serving(pki.ca.issue("client", names="IP:127.0.0.1")))
    broker = brokers.start(*section(remote, *OUT, f"bridge_cafile {pki.ca.cert}"))
    fails(broker, remote, "not for servers|purpose")


def test_a_certificate_of_its_own(brokers, remotes, pki):
    remote = remotes.start(serving(pki.server, pki.ca))
    mine = pki.client("the bridge")
    broker = brokers.start(*section(remote, *OUT, f"bridge_cafile {pki.ca.cert}", f"bridge_certfile {mine.cert}",
                                    f"bridge_keyfile {mine.key}"))
    link = works(broker, remote)
    assert (("commonName", "the bridge"),) in link.sock.getpeercert()["subject"]


def refuse_and_wait(remote):
    """A handshake that fails at this end, and no reset that would hide the alert from the other one."""
    sock = remote.context.wrap_socket(remote.accept_raw(), server_side=True, do_handshake_on_connect=False)
    sock.settimeout(PATIENCE)
    with pytest.raises(ssl.SSLError):
        sock.do_handshake()
    plain = socket.socket(fileno=sock.detach())
    plain.settimeout(PATIENCE)
    plain.shutdown(socket.SHUT_WR)
    with contextlib.suppress(ConnectionError):
        while plain.recv(1 << 16):
            pass
    plain.close()


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_a_certificate_is_demanded(brokers, remotes, pki, version):
    """In TLS 1.3 the refusal comes after the handshake of this end."""
    remote = remotes.start()
    remote.context = serving(pki.server, pki.ca, version)
    broker = brokers.start(*section(remote, *OUT, f"bridge_cafile {pki.ca.cert}", "try_private false"))
    refuse_and_wait(remote)
    broker.log.wait(r"Warning: .*bridge b\b.*: .*(wants a certificate|certificate required).*; next attempt in")
    broker.answers()


def test_a_directory_of_authorities(brokers, secure, pki, tmp_path):
    (tmp_path / "ca.pem").write_bytes(pki.ca.cert.read_bytes())
    subprocess.run(["openssl", "rehash", tmp_path], check=True)
    broker = brokers.start(*section(secure, *OUT, f"bridge_capath {tmp_path}"))
    works(broker, secure)


def test_authorities_of_the_system(brokers, secure, pki):
    broker = brokers.start(*section(secure, *OUT, "bridge_tls_use_os_certs true"),
                           env={"SSL_CERT_FILE": str(pki.ca.cert)})
    works(broker, secure)


def test_authorities_of_the_system_do_not_know_ours(brokers, secure):
    broker = brokers.start(*section(secure, *OUT, "bridge_tls_use_os_certs true"))
    fails(broker, secure, "certificate|issuer")


@pytest.mark.parametrize(("lines", "served"), [
    (["bridge_tls_version tlsv1.2"], "1.2"),
    (["bridge_tls_version tlsv1.2"], "1.3"),
    (["bridge_tls_version tlsv1.3"], "1.3"),
])
def test_versions(brokers, remotes, pki, lines, served):
    remote = remotes.start(serving(pki.server, version=served))
    broker = brokers.start(*section(remote, *OUT, f"bridge_cafile {pki.ca.cert}", *lines))
    assert works(broker, remote).sock.version() == f"TLSv{served}"


def test_a_version_that_is_too_old(brokers, remotes, pki):
    remote = remotes.start(serving(pki.server, version="1.2"))
    broker = brokers.start(*section(remote, *OUT, f"bridge_cafile {pki.ca.cert}", "bridge_tls_version tlsv1.3"))
    fails(broker, remote, "version|protocol")


def test_alpn(brokers, remotes, pki):
    remote = remotes.start(serving(pki.server, alpn=["x-amzn-mqtt-ca", "mqtt"]))
    broker = brokers.start(*section(remote, *OUT, f"bridge_cafile {pki.ca.cert}", "bridge_alpn mqtt"))
    assert works(broker, remote).sock.selected_alpn_protocol() == "mqtt"


def test_ciphers(brokers, remotes, pki):
    remote = remotes.start(serving(pki.server, version="1.2"))
    broker = brokers.start(*section(remote, *OUT, f"bridge_cafile {pki.ca.cert}",
                                    "bridge_ciphers ECDHE-ECDSA-CHACHA20-POLY1305"))
    assert works(broker, remote).sock.cipher()[0] == "ECDHE-ECDSA-CHACHA20-POLY1305"


def test_ciphers_of_tls_1_3(brokers, remotes, pki):
    remote = remotes.start(serving(pki.server))
    broker = brokers.start(*section(remote, *OUT, f"bridge_cafile {pki.ca.cert}",
                                    "bridge_ciphers_tls1.3 TLS_CHACHA20_POLY1305_SHA256"))
    assert works(broker, remote).sock.cipher()[0] == "TLS_CHACHA20_POLY1305_SHA256"


# --- pre-shared keys ---


def psk_server(brokers, tmp_path, port, key="0123456789abcdef"):
    """A broker of ours with a PSK listener."""
    (tmp_path / "psk").write_text(f"edge:{key}\n")
    return brokers.start(f"listener {port} 127.0.0.1", "psk_hint hint", f"psk_file {tmp_path}/psk")


def test_a_key_that_both_know(brokers, tmp_path):
    port = free_port()
    upstream = psk_server(brokers, tmp_path, port)
    broker = brokers.start(*section(f"127.0.0.1:{port}", *OUT, "bridge_identity edge", "bridge_psk 0123456789abcdef"))
    reader = upstream.connect()
    reader.subscribe("a/#", qos=1)
    broker.connect().publish("a/1", "by key", qos=1)
    reader.take("a/1", "by key")


@pytest.mark.parametrize(("identity", "key"), [("edge", "ffff"), ("other", "0123456789abcdef")])
def test_a_key_that_is_wrong(brokers, tmp_path, identity, key):
    port = free_port()
    psk_server(brokers, tmp_path, port)
    broker = brokers.start(*section(f"127.0.0.1:{port}", *OUT, f"bridge_identity {identity}", f"bridge_psk {key}"))
    broker.log.wait(r"Warning: .*bridge b\b.*: .{4,}; next attempt in")
    broker.answers()


# --- peers that are no TLS servers, or bad ones ---


@pytest.mark.parametrize("raw", [
    b"\x20\x02\0\0", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x16\x03\x03\xff\xff" + bytes(70000),
    b"\x15\x03\x03\x00\x02\x02\x28", bytes(200),
], ids=["CONNACK", "HTTP", "a giant record", "an alert", "zeros"])
def test_no_tls_there(brokers, remote, pki, raw):
    broker = brokers.start(*section(remote, *OUT, f"bridge_cafile {pki.ca.cert}"))
    sock = remote.accept_raw()
    assert sock.recv(1) == b"\x16", "no ClientHello"
    sock.sendall(raw)
    broker.log.wait(r"Warning: .*bridge b\b.*: .{4,}; next attempt in")
    broker.answers()
    sock.close()


def test_it_hangs_up_in_the_handshake(brokers, remote, pki):
    broker = brokers.start(*section(remote, *OUT, f"bridge_cafile {pki.ca.cert}"))
    sock = remote.accept_raw()
    assert sock.recv(1) == b"\x16"
    sock.close()
    broker.log.wait(r"Warning: .*bridge b\b.*: .{4,}; next attempt in")
    broker.answers()


def test_plain_where_tls_is_spoken(brokers, secure):
    """A section without an authority: the server does not understand it."""
    broker = brokers.start(*section(secure, *OUT))
    for _ in range(2):  # with and without the bit of bridges
        with pytest.raises(ssl.SSLError):
            secure.accept()
    broker.log.wait(r"Warning: .*bridge b\b.*: .{4,}; next attempt in")


@pytest.mark.slow
def test_it_stops_in_the_handshake(brokers, remote, pki):
    """Clients go on meanwhile, and there is an end to it: the bridge comes again."""
    broker = brokers.start(*section(remote, *OUT, f"bridge_cafile {pki.ca.cert}"))
    sock = remote.accept_raw()
    assert sock.recv(1) == b"\x16"
    sock.sendall(b"\x16\x03\x03\x00\x7a\x02\x00\x00\x76\x03\x03")  # the beginning of a ServerHello
    reader, writer = broker.connect(), broker.connect()
    reader.subscribe("x")
    for _ in range(20):
        writer.publish("x", "y", qos=1)
        reader.take("x", "y")
    broker.log.wait(r"Warning: .*bridge b\b.*: .*(time|handshake|answer).*; next attempt in", seconds=40)
    sock.close()
    assert longest_turn(broker) < 10 or sanitized()


# --- configuration ---


def refused(tmp_path, *lines):
    """What a broker says that does not start; its exit code is 1 or 3."""
    config = tmp_path / "refused.conf"
    config.write_text("\n".join([f"listener {free_port()} 127.0.0.1", *lines, *whose(lines)]) + "\n")
    done = subprocess.run([binary(), "-c", config], capture_output=True, text=True, env=environment(), timeout=20,
                          check=False, cwd=tmp_path)
    assert done.returncode in (1, 3), done
    return done.stdout + done.stderr


@pytest.mark.parametrize(("line", "pattern"), [
    ("bridge_cafile /nonexistent/ca", "/nonexistent/ca.*No such file"),
    ("bridge_capath /nonexistent/dir", "/nonexistent/dir"),
    ("bridge_certfile /nonexistent/cert", "/nonexistent/cert|bridge_keyfile"),
    ("bridge_ciphers nonsense", "nonsense|cipher"),
])
def test_files_that_are_not_there(tmp_path, pki, line, pattern):
    trust = [] if line.startswith("bridge_ca") else [f"bridge_cafile {pki.ca.cert}"]
    assert re.search(pattern, refused(tmp_path, *section("127.0.0.1:1", *OUT, *trust, line)))


def test_a_key_of_another(tmp_path, pki):
    text = refused(tmp_path, *section("127.0.0.1:1", *OUT, f"bridge_cafile {pki.ca.cert}",
                                      f"bridge_certfile {pki.client().cert}", f"bridge_keyfile {pki.server.key}"))
    assert "match" in text or "belong" in text


def test_a_new_certificate_by_reload(brokers, remotes, pki, tmp_path):
    """The files have the same names: what is shown is what they say when the bridge connects next."""
    remote = remotes.start(serving(pki.server, pki.ca))
    mine = pki.client("first").copy(tmp_path)
    lines = section(remote, *OUT, f"bridge_cafile {pki.ca.cert}", f"bridge_certfile {mine.cert}",
                    f"bridge_keyfile {mine.key}")
    broker = brokers.start(*lines)
    link = works(broker, remote)
    mine.replace(pki.client("second"))
    reload(broker, *lines)
    link.close()
    link = works(broker, remote)
    assert (("commonName", "second"),) in link.sock.getpeercert()["subject"]
