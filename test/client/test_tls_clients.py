"""Foreign clients over TLS: mosquitto_pub and mosquitto_sub, Paho for Python, `openssl s_client`, and pre-shared keys.

One broker with four doors: plain, TLS, TLS with client certificates, and PSK.
"""

import os
import re
import ssl
import stat
import subprocess
import threading

import mqtt_wire
import pytest
from broker_process import free_port, whose
from foreign import LIMIT, finish, need, run, start
from test_dissection import SERVER_SIDE, Proxy, write_capture

PSKS = {"alice": "0123456789abcdef", "bob": "00ff00ff", "no hex in here": "cafe"}


class Doors:
    """The broker, and how each client is told to reach each door."""

    def __init__(self, brokers, pki, directory):
        self.pki = pki
        self.port = {door: free_port() for door in ("tls", "mutual", "psk")}
        keys = directory / "psks"
        keys.write_text("".join(f"{who}:{key}\n" for who, key in PSKS.items()))
        keys.chmod(0o600)
        self.broker = brokers.start(
            f"psk_file {keys}",
            f"listener {self.port['tls']} 127.0.0.1", *pki.tls(),
            f"listener {self.port['mutual']} 127.0.0.1", *pki.mutual(), f"crlfile {pki.crl}",
            "use_identity_as_username true",
            f"listener {self.port['psk']} 127.0.0.1", "psk_hint who are you", "use_identity_as_username true",
        )
        self.broker.await_port(self.port["psk"])
        self.port["plain"] = self.broker.port
        self.log = self.broker.log

    def reach(self, door, pair=None):
        """Arguments of mosquitto_pub and mosquitto_sub."""
        to = ["-h", "127.0.0.1", "-p", self.port[door]]
        if door in ("tls", "mutual"):
            to += ["--cafile", self.pki.ca.cert]
        if door == "mutual":
            pair = pair or self.pki.client()
            to += ["--cert", pair.cert, "--key", pair.key]
        if door == "psk":
            to += ["--psk", PSKS["alice"], "--psk-identity", "alice"]
        return to


@pytest.fixture
def doors(brokers, pki, tmp_path):
    return Doors(brokers, pki, tmp_path)


def subscriber(doors, door, who, *arguments):
    """mosquitto_sub that has its SUBACK."""
    process = start(need("mosquitto_sub"), *doors.reach(door), "-i", who, "-W", "30", *arguments)
    doors.log.wait(f"Sending SUBACK to {who}$")
    return process


def refused(doors, *arguments, word=None):
    """mosquitto_pub that does not get in; what it and the log say."""
    since = len(doors.log.lines)
    command = [need("mosquitto_pub"), "-t", "t", "-m", "x", "-q", "1", *arguments]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=LIMIT, check=False)
    assert done.returncode != 0, done
    doors.log.wait(rf"127\.0\.0\.1:\d+\b.* denied: TLS handshake failed: .*(?i:{word or ''})", since)
    return done.stderr + done.stdout


# --- Debian's programs ------------------------------------------------------------------------------


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_pub_and_sub_at_every_door(doors, qos):
    pub = need("mosquitto_pub")
    kinds = ["plain", "tls", "mutual", "psk"]
    readers = [subscriber(doors, kind, f"s-{kind}", "-t", "t/#", "-v", "-q", str(qos), "-C", "4") for kind in kinds]
    for kind in kinds:
        run(pub, *doors.reach(kind), "-t", f"t/{kind}", "-m", "hello", "-q", str(qos))
    expected = "".join(f"t/{kind} hello\n" for kind in kinds)
    assert [finish(reader).decode() for reader in readers] == [expected] * 4


@pytest.mark.parametrize("version", ["tlsv1.2", "tlsv1.3"])
@pytest.mark.parametrize("door", ["tls", "mutual"])
def test_versions_and_a_large_payload(doors, door, version):
    reader = subscriber(doors, door, "s", "-t", "big", "-C", "1", "-N", "-q", "1")
    data = bytes(range(256)) * 4000
    run(need("mosquitto_pub"), *doors.reach(door), "--tls-version", version, "-t", "big", "-s", "-q", "1", data=data)
    assert finish(reader) == data


def test_lines_from_a_pipe_in_order(doors):
    reader = subscriber(doors, "tls", "s", "-t", "l", "-q", "1", "-C", "500")
    lines = "".join(f"line {i}\n" for i in range(500)).encode()
    run(need("mosquitto_pub"), *doors.reach("mutual"), "-t", "l", "-l", "-q", "1", data=lines)
    assert finish(reader) == lines


def test_alpn_as_a_browser_gateway_asks_for_it(doors):
    run(need("mosquitto_pub"), *doors.reach("tls"), "--tls-alpn", "mqtt", "-t", "t", "-m", "x", "-q", "1")


@pytest.mark.parametrize("who, word", [
    ("no certificate", "certificate"), ("a stranger's", "issuer|authority|self.signed"), ("expired", "expired"),
    ("revoked", "revoked"),
])
def test_refused_at_the_third_door(doors, who, word):
    pki = doors.pki
    pair = {"a stranger's": lambda: pki.stranger.issue("s"), "expired": lambda: pki.expired,
            "revoked": lambda: pki.revoked, "no certificate": lambda: None}[who]()
    to = ["-h", "127.0.0.1", "-p", doors.port["mutual"], "--cafile", pki.ca.cert]
    refused(doors, *to, *(["--cert", pair.cert, "--key", pair.key] if pair else []), word=word)


def test_a_client_that_does_not_trust_us(doors):
    to = ["-h", "127.0.0.1", "-p", doors.port["tls"]]
    refused(doors, *to, "--cafile", doors.pki.stranger.cert, word="unknown ca|certificate")


def test_a_client_that_reaches_us_by_another_name(brokers, pki, tmp_path):
    """Its certificate speaks of localhost; 127.0.0.2 is not in it. --insecure goes on all the same."""
    port = free_port()
    broker = brokers.start(f"listener {port} 127.0.0.2", *pki.tls())
    broker.await_port(port, "127.0.0.2")
    to = [need("mosquitto_pub"), "-h", "127.0.0.2", "-p", port, "--cafile", pki.ca.cert, "-t", "t", "-m", "x", "-q", "1"]
    done = subprocess.run([str(part) for part in to], capture_output=True, text=True, timeout=LIMIT, check=False)
    assert done.returncode != 0
    run(*to, "--insecure")


def test_the_name_from_the_certificate(doors):
    run(need("mosquitto_pub"), *doors.reach("mutual", doors.pki.client("alice")), "-i", "c", "-t", "t", "-m", "x")
    doors.log.wait(r"as c .*u'alice'")


# --- pre-shared keys --------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["tlsv1.2", "tlsv1.3"])
@pytest.mark.parametrize("who", PSKS)
def test_a_key_opens_the_door_and_names_who_has_it(doors, who, version):
    to = ["-h", "127.0.0.1", "-p", doors.port["psk"], "--psk", PSKS[who], "--psk-identity", who, "--tls-version", version]
    run(need("mosquitto_pub"), *to, "-i", "c", "-t", "t", "-m", "x", "-q", "1")
    doors.log.wait(rf"as c .*u'{who}'")


@pytest.mark.parametrize("identity, key", [("alice", "0123456789abcdee"), ("alice", "00"), ("mallory", "0123456789abcdef"),
                                           ("ALICE", "0123456789abcdef"), ("alice ", "0123456789abcdef")])
def test_a_wrong_key_or_name(doors, identity, key):
    refused(doors, "-h", "127.0.0.1", "-p", doors.port["psk"], "--psk", key, "--psk-identity", identity)


def test_no_key_at_all(doors):
    refused(doors, "-h", "127.0.0.1", "-p", doors.port["psk"], "--cafile", doors.pki.ca.cert, word="cipher|PSK|key")


def test_a_key_in_an_acl(brokers, pki, tmp_path):
    """The identity is the user of the rules."""
    port = free_port()
    (tmp_path / "psks").write_text("alice:aa\nbob:bb\n")
    (tmp_path / "acl").write_text("topic read #\nuser alice\ntopic write a\n")
    broker = brokers.start(f"psk_file {tmp_path}/psks", f"acl_file {tmp_path}/acl", f"listener {port} 127.0.0.1",
                           "psk_hint h", "use_identity_as_username true")
    broker.await_port(port)
    watcher = broker.connect("w")
    watcher.subscribe("#")
    for who, key in (("bob", "bb"), ("alice", "aa")):
        run(need("mosquitto_pub"), "-h", "127.0.0.1", "-p", port, "--psk", key, "--psk-identity", who, "-t", "a", "-m",
            who, "-q", "1")
    watcher.take("a", "alice")
    watcher.quiet()


# --- openssl ----------------------------------------------------------------------------------------


def s_client(port, *arguments, mqtt=mqtt_wire.connect("by hand") + mqtt_wire.PING + mqtt_wire.BYE):
    """Its output, of which the answers of the broker are a part; it ends when the broker closes."""
    command = [need("openssl"), "s_client", "-connect", f"127.0.0.1:{port}", "-ign_eof", *arguments]
    done = subprocess.run([str(part) for part in command], input=mqtt, capture_output=True, timeout=LIMIT, check=False)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
@pytest.mark.parametrize("door", ["tls", "mutual"])
def test_s_client(doors, door, version):
    pki = doors.pki
    pair = ["-cert", pki.client().cert, "-key", pki.client().key] if door == "mutual" else []
    _, said = s_client(doors.port[door], version, "-CAfile", pki.ca.cert, "-verify_return_error", "-verify_ip", "127.0.0.1",
                       "-alpn", "mqtt", *pair)
    assert b"Verify return code: 0 (ok)" in said
    assert b"ALPN protocol: mqtt" in said
    assert b" \x02\x00\x00\xd0\x00" in said, "no CONNACK and PINGRESP"


def test_s_client_by_key(doors):
    _, said = s_client(doors.port["psk"], "-psk", PSKS["bob"], "-psk_identity", "bob", "-tls1_2")
    assert b" \x02\x00\x00" in said
    assert b"PSK identity hint: who are you" in said
    doors.log.wait(r"as by\\?.hand .*u'bob'|as by hand .*u'bob'")


def test_s_client_sees_who_signs_clients(doors):
    """The list of authorities helps a client to choose its certificate."""
    _, said = s_client(doors.port["mutual"], "-CAfile", doors.pki.ca.cert)
    names = said.split(b"Acceptable client certificate CA names")[1].split(b"---")[0]
    assert b"O = Tests, CN = ca" in names


def test_no_renegotiation(doors):
    """`R` asks for it. That would only cost the server, so it is refused, and nobody else notices."""
    command = [need("openssl"), "s_client", "-connect", f"127.0.0.1:{doors.port['tls']}", "-tls1_2"]
    client = start(*command, stdin=subprocess.PIPE)
    doors.log.wait("New connection")
    said = b""
    while b"---\nread R BLOCK" not in said and b"Extended master secret" not in said:
        said += os.read(client.stdout.fileno(), 1 << 16)
    client.stdin.write(b"R\n")
    client.stdin.flush()
    rest, _ = client.communicate(timeout=LIMIT)
    assert b"RENEGOTIATING" in rest
    assert re.search(b"no renegotiation|handshake failure", rest), rest
    run(need("mosquitto_pub"), *doors.reach("tls"), "-t", "t", "-m", "x", "-q", "1")


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_s_client_comes_again(doors, version, tmp_path):
    """Its saved session is resumed."""
    kept = tmp_path / "session"
    s_client(doors.port["tls"], version, "-sess_out", kept)
    assert kept.exists()
    _, said = s_client(doors.port["tls"], version, "-sess_in", kept)
    assert b"Reused, TLS" in said


# --- Paho -------------------------------------------------------------------------------------------


class Paho:
    """A Paho client that is told how to reach a door."""

    def __init__(self, doors, door, who, pair=None):
        paho = pytest.importorskip("paho.mqtt.client", reason="paho-mqtt for Python is not installed")
        versions = [paho.CallbackAPIVersion.VERSION1] if hasattr(paho, "CallbackAPIVersion") else []
        self.client = paho.Client(*versions, who)
        self.connected, self.got = threading.Event(), threading.Event()
        self.code = self.message = None
        self.subscribed = threading.Event()
        self.client.on_connect = self.on_connect
        self.client.on_message = self.on_message
        self.client.on_subscribe = lambda *_: self.subscribed.set()
        if door != "plain":
            shown = {"certfile": str(pair.cert), "keyfile": str(pair.key)} if pair else {}
            self.client.tls_set(str(doors.pki.ca.cert), **shown)
        self.client.connect("localhost" if door == "named" else "127.0.0.1", doors.port[door], 30)
        self.client.loop_start()

    def on_connect(self, _client, _data, _flags, code):
        self.code = code
        self.connected.set()

    def on_message(self, _client, _data, message):
        self.message = message
        self.got.set()

    def stop(self):
        self.client.disconnect()
        self.client.loop_stop()


@pytest.mark.filterwarnings("ignore:ssl.PROTOCOL_TLS is deprecated")
@pytest.mark.parametrize("door", ["plain", "tls", "mutual"])
def test_paho(doors, door):
    client = Paho(doors, door, "paho", doors.pki.client() if door == "mutual" else None)
    assert client.connected.wait(LIMIT) and client.code == 0
    client.client.subscribe("p", 2)
    assert client.subscribed.wait(LIMIT)
    client.client.publish("p", "ä" * 50_000, 2)
    assert client.got.wait(LIMIT)
    assert client.message.payload.decode() == "ä" * 50_000
    client.stop()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_paho_without_a_certificate(doors):
    try:
        client = Paho(doors, "mutual", "paho")
    except ssl.SSLError:
        return
    assert not client.connected.wait(2)
    client.stop()


# --- tshark -----------------------------------------------------------------------------------------


def test_tshark_reads_our_tls_by_the_key_log(brokers, pki, tmp_path):
    """--tls-keylog: what was said can be read with it, and not without."""
    tshark = need("tshark")
    port, secrets, capture = free_port(), tmp_path / "keys.log", tmp_path / "capture"
    config = tmp_path / "tls.conf"
    config.write_text("\n".join([f"listener {port} 127.0.0.1", "allow_anonymous true", *pki.tls(), *whose([])]) + "\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("broker_process.free_port", lambda: port)
        broker = brokers.start(args=["-c", str(config), "--tls-keylog", str(secrets)])
    proxy = Proxy(port)
    for version in ("tlsv1.2", "tlsv1.3"):
        run(need("mosquitto_pub"), "-h", "127.0.0.1", "-p", proxy.port, "--cafile", pki.ca.cert, "--tls-version", version,
            "-t", "secret/topic", "-m", version, "-q", "1")
    write_capture(capture, proxy.finish())
    assert stat.S_IMODE(secrets.stat().st_mode) == 0o600
    broker.log.wait("Warning.*keylog")
    told = ["-o", f"tls.keylog_file:{secrets}"]
    for arguments, topics in ((told, ["secret/topic"] * 2), ([], [])):
        output = run(tshark, "-r", capture, "-d", f"tcp.port=={SERVER_SIDE},tls", "-d", f"tls.port=={SERVER_SIDE},mqtt",
                     *arguments, "-Y", "mqtt.topic", "-T", "fields", "-e", "mqtt.topic").decode()
        assert [line for line in output.splitlines() if "/" in line and " " not in line] == topics
