"""The ways from libmosquitto to a broker: sockets, names, SRV records, SOCKS5 proxies and all of TLS.

lib/connect_any.c goes each way, publishes at QoS 1, and says what has become of it.
"""

import contextlib
import os
import re
import shutil
import socket
import subprocess
import threading
from pathlib import Path

import mqtt_wire
import pytest
from broker_process import ROOT, binary, can_unshare, environment, free_port, sanitized
from certificates import openssl
from name_server import NETWORK, Names, enter
from socks5_server import Proxy

SOURCES = Path(__file__).resolve().parent / "lib"
LIMIT = 60
# What MOSQ_ERR_… the library says.
NO_CONN, TLS, AUTH, ERRNO, EAI, PROXY = 4, 8, 11, 14, 15, 16
CHECKS = ["-fsanitize=address,undefined"]

needs_network = pytest.mark.skipif(
    os.geteuid() != 0 or not can_unshare() or not shutil.which("dnsmasq"),
    reason="needs root, networks of its own and dnsmasq")


class Run:
    """The program, running or done."""

    def __init__(self, command, env):
        self.lines = []
        self.changed = threading.Condition()
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT, env=env)
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        for raw in self.process.stdout:
            with self.changed:
                self.lines.append(raw.decode("utf-8", "backslashreplace").rstrip("\n"))
                self.changed.notify_all()

    @property
    def text(self):
        return "\n".join(self.lines)

    def find(self, pattern):
        return next((line for line in self.lines if re.search(pattern, line)), None)

    def wait(self, pattern, seconds=LIMIT):
        with self.changed:
            assert self.changed.wait_for(lambda: self.find(pattern), seconds), f"no {pattern!r} in:\n{self.text}"
        return self.find(pattern)

    def go_on(self):
        self.process.stdin.write(b"\n")
        self.process.stdin.flush()

    def end(self):
        """It goes to its end."""
        self.process.stdin.close()
        self.process.wait(LIMIT)
        self.reader.join(LIMIT)
        self.process.stdout.close()
        return self

    def works(self):
        self.end()
        assert self.process.returncode == 0 and self.lines[-1] == "end", self.text
        assert "published" in self.lines
        return self

    def fails(self, code, words=None):
        """The library says this, and its log line has these words."""
        self.end()
        assert self.process.returncode == 1, self.text
        assert self.find(rf"^(connect|failed) {code} "), self.text
        if words:
            assert words in self.text
        return self


def build(name, directory):
    library = Path(binary()).resolve().parent / "libmosquitto.so.1"
    if not library.exists():
        pytest.skip("no shared library in this build")
    subprocess.run(
        ["cc", "-std=c17", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror", "-O1", "-g", *(CHECKS if sanitized() else []),
         f"-I{ROOT / 'include'}", SOURCES / f"{name}.c", "-o", directory / name, library,
         f"-Wl,-rpath,{library.parent}", "-lssl", "-lcrypto", "-pthread"], check=True)
    return directory / name


@pytest.fixture(scope="session")
def program(tmp_path_factory):
    return build("connect_any", tmp_path_factory.mktemp("lib_connect"))


@pytest.fixture
def runs(program):
    """Start the program: `runs(host=…, port=…)`; what is still running at the end of the test is ended."""
    started = []

    def start(before=(), env=None, **settings):
        command = [*before, program, *(f"{key}={value}" for key, value in settings.items())]
        started.append(Run(command, {**environment(), **(env or {})}))
        return started[-1]

    yield start
    for run in started:
        if run.process.poll() is None:
            run.process.kill()
            run.end()


# ---- Sockets


def test_an_address(broker, runs):
    runs(host="127.0.0.1", port=broker.port).works()


def test_localhost(broker, runs):
    runs(host="localhost", port=broker.port).works()


def test_in_the_background(broker, runs):
    run = runs(host="localhost", port=broker.port, how="async", calls=1).works()
    assert milliseconds(run, "connect 0 took") < 500
    assert milliseconds(run, "calls") < 500


def milliseconds(run, words):
    return int(run.wait(f"^{words} ").split()[-1])


def test_nobody_listens(runs):
    runs(host="127.0.0.1", port=free_port()).fails(ERRNO, "Connection refused")


def test_from_an_address(own_broker, runs, name):
    runs(host="127.0.0.1", port=own_broker.port, bind="127.0.0.9", id=name).works()
    own_broker.log.wait(rf"New client connected from 127\.0\.0\.9:?.* as {name}")


def test_from_an_address_that_is_not_ours(broker, runs):
    run = runs(host="127.0.0.1", port=broker.port, bind="192.0.2.1")
    run.fails(ERRNO, "cannot connect from 192.0.2.1: Cannot assign requested address")


def test_a_path(brokers, runs, tmp_path):
    path = tmp_path / "socket"
    brokers.start(f"listener 0 {path}")
    runs(host=path, port=0).works()
    runs(host=tmp_path / "none", port=0).fails(ERRNO, "No such file or directory")


# ---- TLS


class Door:
    """A broker with one listener for TLS beside its first one."""

    def __init__(self, brokers, *lines):
        self.port = free_port()
        self.broker = brokers.start(f"listener {self.port} 127.0.0.1", *lines)
        self.broker.await_port(self.port)


@pytest.fixture
def door(brokers, pki):
    return Door(brokers, *pki.tls())


def test_tls(door, pki, runs):
    run = runs(host="127.0.0.1", port=door.port, ca=pki.ca.cert).works()
    assert run.find(r"^tls TLSv1\.3 resumed=0")
    runs(host="localhost", port=door.port, ca=pki.ca.cert, how="async").works()


def test_an_authority_that_is_not_trusted(door, pki, runs):
    run = runs(host="127.0.0.1", port=door.port, ca=pki.stranger.cert)
    run.fails(TLS, "the server's certificate is of an authority that is not trusted: ca")


def test_another_name(brokers, pki, runs):
    door = Door(brokers, *pki.tls(pki.ca.server(names="DNS:other.example")))
    run = runs(host="localhost", port=door.port, ca=pki.ca.cert)
    run.fails(TLS, "the server's certificate is not for localhost, but for other.example")
    runs(host="localhost", port=door.port, ca=pki.ca.cert, insecure=1).works()
    runs(host="localhost", port=door.port, ca=pki.stranger.cert, insecure=1).fails(TLS, "not trusted")


def test_certificates_are_not_looked_at(door, pki, runs):
    runs(host="localhost", port=door.port, ca=pki.stranger.cert, reqs=0).works()


@pytest.mark.parametrize("version", ["tlsv1.1", "tlsv1.2", "tlsv1.3"])
def test_a_version_or_a_newer_one(door, pki, runs, version):
    run = runs(host="127.0.0.1", port=door.port, ca=pki.ca.cert, version=version).works()
    assert run.find(r"^tls TLSv1\.3 ")


def test_authorities_of_the_system(door, pki, runs):
    trusting, not_trusting = {"SSL_CERT_FILE": str(pki.ca.cert)}, {"SSL_CERT_FILE": str(pki.stranger.cert)}
    runs(host="127.0.0.1", port=door.port, os=1, env=trusting).works()
    runs(host="127.0.0.1", port=door.port, os=1, env=not_trusting).fails(TLS, "not trusted")


def test_a_certificate_of_ours(brokers, pki, runs, name):
    door = Door(brokers, *pki.mutual(), "use_identity_as_username true")
    pair = pki.client(name)
    runs(host="127.0.0.1", port=door.port, ca=pki.ca.cert, cert=pair.cert, key=pair.key).works()
    door.broker.log.wait(f"New client connected .*u'{name}'")
    run = runs(host="127.0.0.1", port=door.port, ca=pki.ca.cert)
    run.end()
    assert "the server wants a certificate of us, and there is none" in run.text


def test_an_encrypted_key(brokers, pki, runs, tmp_path):
    door = Door(brokers, *pki.mutual())
    pair = pki.client()
    key = tmp_path / "encrypted.key"
    openssl("pkey", "-in", pair.key, "-aes256", "-passout", "pass:sesame", "-out", key)
    ours = {"host": "127.0.0.1", "port": door.port, "ca": pki.ca.cert, "cert": pair.cert, "key": key}
    run = runs(**ours, password="sesame").works()
    assert run.lines.count("password 0") == 1
    runs(**ours, password="wrong").fails(TLS, f"keyfile '{key}' cannot be decrypted: the password is wrong")
    runs(**ours, password="").fails(TLS, f"keyfile '{key}' is encrypted, and no password was given")
    runs(**ours).fails(TLS, f"keyfile '{key}' is encrypted, and nobody can be asked for its passphrase")


def test_a_pre_shared_key(brokers, runs, tmp_path):
    keys = tmp_path / "psks"
    keys.write_text("alice:0123456789abcdef\n")
    keys.chmod(0o600)
    door = Door(brokers, "psk_hint who", f"psk_file {keys}")
    ours = {"host": "127.0.0.1", "port": door.port, "identity": "alice"}
    for version in ("tlsv1.2", "tlsv1.3"):
        runs(**ours, psk="0123456789abcdef", version=version).works()
        run = runs(**ours, psk="0123456789abcdee", version=version).end()
        assert "wrong PSK" in run.text


def test_alpn(door, pki, runs):
    run = runs(host="127.0.0.1", port=door.port, ca=pki.ca.cert, alpn="mqtt").works()
    assert run.find("^tls .*alpn=mqtt$")
    run = runs(host="127.0.0.1", port=door.port, ca=pki.ca.cert, alpn="x,mqtt").works()
    assert run.find("^tls .*alpn=mqtt$")


def test_a_reconnect_resumes(door, pki, runs):
    for version in ("tlsv1.2", "tlsv1.3"):
        run = runs(host="127.0.0.1", port=door.port, ca=pki.ca.cert, version=version, again=2)
        run.go_on()
        run.go_on()
        run.works()
        assert [line.split()[2] for line in run.lines if line.startswith("tls ")] == ["resumed=0", "resumed=1",
                                                                                      "resumed=1"]


def test_an_ssl_ctx_as_it_is(brokers, pki, runs):
    door = Door(brokers, *pki.tls())
    ours = {"host": "127.0.0.1", "port": door.port, "ssl_ctx": "asis"}
    runs(**ours, own_ca=pki.ca.cert).works()
    runs(**ours).fails(TLS, "unknown authority")
    runs(**ours, own_verify=0).works()
    other = Door(brokers, *pki.tls(pki.ca.server(names="DNS:other.example")))
    runs(**{**ours, "port": other.port}, own_ca=pki.ca.cert).fails(TLS)
    runs(**{**ours, "port": other.port}, own_ca=pki.ca.cert, insecure=1).works()


def test_an_ssl_ctx_with_our_settings(door, pki, runs):
    ours = {"host": "127.0.0.1", "port": door.port, "ssl_ctx": "defaults"}
    runs(**ours, ca=pki.ca.cert, own_verify=0).works()
    runs(**ours, ca=pki.stranger.cert, own_verify=0).fails(TLS, "not trusted")
    runs(**ours, own_ca=pki.ca.cert).works()
    runs(**ours, own_ca=pki.ca.cert, version="tlsv1.3").works()


def test_tls_where_there_is_none(broker, pki, runs):
    runs(host="127.0.0.1", port=broker.port, ca=pki.ca.cert).fails(TLS)


def test_many_at_once(door, pki, tmp_path):
    """Clients in threads, which share an SSL_CTX or have their own."""
    command = [build("connect_many", tmp_path), "localhost", str(door.port), pki.ca.cert]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=LIMIT, env=environment())
    assert done.returncode == 0, done.stdout + done.stderr


# ---- Proxies


@pytest.fixture
def proxies(broker):
    """Proxies behind which "broker.example" is the shared broker."""
    made = []

    def start(names=None, **manners):
        made.append(Proxy(names or {"broker.example": broker.port, "127.0.0.1": broker.port}, **manners))
        return made[-1]

    yield start
    for proxy in made:
        proxy.close()


def through(proxy, **more):
    return {"host": "broker.example", "port": 1883, "proxy": "127.0.0.1", "proxy_port": proxy.port, **more}


def test_a_proxy(proxies, runs):
    proxy = proxies()
    runs(**through(proxy)).works()
    runs(**through(proxy, how="async")).works()
    runs(**through(proxy, host="127.0.0.1")).works()
    assert proxy.asked == [("broker.example", 1883), ("broker.example", 1883), ("127.0.0.1", 1883)]


def test_a_proxy_that_wants_a_password(proxies, runs):
    proxy = proxies(users={"alice": "secret"})
    runs(**through(proxy, user="alice", **{"pass": "secret"})).works()
    run = runs(**through(proxy, user="alice", **{"pass": "wrong"}))
    run.fails(AUTH, "the proxy does not take this user name and password")
    runs(**through(proxy)).fails(AUTH, "the proxy wants a user name")
    assert proxy.users_seen == ["alice", "alice"]


def test_a_proxy_that_needs_none(proxies, runs):
    proxy = proxies()
    runs(**through(proxy, user="alice", **{"pass": "secret"})).works()
    assert not proxy.users_seen


@pytest.mark.parametrize("reply, code", [(1, PROXY), (2, AUTH), (3, NO_CONN), (4, NO_CONN), (5, NO_CONN), (7, PROXY),
                                         (99, PROXY)])
def test_a_proxy_that_refuses(proxies, runs, reply, code):
    runs(**through(proxies(reply=reply))).fails(code, "the proxy")


def test_a_slow_proxy(proxies, runs):
    runs(**through(proxies(pace=0.02))).works()


@pytest.mark.parametrize("place", ["method", "login", "reply", "middle"])
def test_a_proxy_that_dies(proxies, runs, place):
    proxy = proxies(users={"alice": "secret"}, dies=place)
    runs(**through(proxy, user="alice", **{"pass": "secret"})).fails(PROXY, "the proxy has closed the connection")


def test_a_proxy_that_is_none(broker, runs):
    """Another broker, say."""
    run = runs(host="broker.example", port=1883, proxy="127.0.0.1", proxy_port=broker.port)
    run.end()
    assert run.find(f"^connect {PROXY} "), run.text


def test_no_proxy_there(runs):
    run = runs(host="broker.example", port=1883, proxy="127.0.0.1", proxy_port=free_port())
    run.fails(ERRNO, "the proxy: Connection refused")


def test_tls_through_a_proxy(proxies, door, pki, runs):
    """The certificate is that of the name, whatever is between."""
    proxy = proxies({"localhost": door.port, "other.example": door.port})
    runs(**through(proxy, host="localhost", ca=pki.ca.cert)).works()
    run = runs(**through(proxy, host="other.example", ca=pki.ca.cert))
    run.fails(TLS, "the server's certificate is not for other.example")


def test_a_proxy_between_reconnects(proxies, runs):
    """Through it again, by the library's own thread."""
    proxy = proxies()
    run = runs(**through(proxy, how="async", again=1))
    run.wait("^published")
    proxy.cut()
    run.wait("^disconnected [^0]")
    run.go_on()
    run.works()


# ---- Names


@pytest.fixture
def names(tmp_path):
    """A network of the test's own; who listens and connects from now on does it there."""
    holder = subprocess.Popen(["unshare", "--net", "sh", "-ec", NETWORK], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert holder.stdout.readline() == b"ready\n"
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    enter(f"/proc/{holder.pid}/ns/net")
    (tmp_path / "resolv.conf").write_text("nameserver 127.0.0.53\noptions timeout:1\n")
    server = Names()
    yield server
    server.stop()
    enter(f"/proc/self/fd/{home}")
    os.close(home)
    holder.stdin.close()
    holder.wait()
    holder.stdout.close()


@pytest.fixture
def asks(tmp_path):
    """What to put before a command, so that it asks the test's own name server. The mount is the command's alone."""
    script = 'mount --bind "$0" /etc/resolv.conf && exec "$@"'
    return ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, tmp_path / "resolv.conf"]


@needs_network
def test_a_name(names, brokers, runs, asks):
    names.start("--host-record=up.test,127.0.0.1")
    broker = brokers.start()
    runs(before=asks, host="up.test", port=broker.port).works()
    runs(before=asks, host="up.test", port=broker.port, how="async").works()


@needs_network
def test_a_name_with_addresses_that_are_dead(names, brokers, runs, asks):
    names.start(*(f"--host-record=up.test,127.0.0.{n}" for n in range(70, 76)), "--host-record=up.test,127.0.0.1")
    runs(before=asks, host="up.test", port=brokers.start().port).works()


@needs_network
def test_a_name_that_nobody_has(names, runs, asks):
    names.start("--local=/test/")
    runs(before=asks, host="nobody.test", port=1883).fails(EAI, "there is no such name")


@needs_network
def test_where_the_service_is(names, brokers, runs, asks):
    broker = brokers.start()
    names.start("--host-record=live.test,127.0.0.1", "--host-record=dead.test,127.0.0.77",
                f"--srv-host=_mqtt._tcp.up.test,dead.test,{broker.port},1,0",
                f"--srv-host=_mqtt._tcp.up.test,live.test,{broker.port},2,0")
    runs(before=asks, host="up.test", how="srv").works()


@needs_network
def test_where_the_service_is_with_tls(names, brokers, pki, runs, asks):
    """The certificate is that of the name that was given: who answers for DNS cannot choose another one."""
    door = Door(brokers, *pki.tls(pki.ca.server(names="DNS:up.test")))
    names.start("--host-record=live.test,127.0.0.1",
                f"--srv-host=_secure-mqtt._tcp.up.test,live.test,{door.port},0,0",
                f"--srv-host=_secure-mqtt._tcp.down.test,live.test,{door.port},0,0")
    runs(before=asks, host="up.test", how="srv", ca=pki.ca.cert).works()
    run = runs(before=asks, host="down.test", how="srv", ca=pki.ca.cert)
    run.fails(TLS, "the server's certificate is not for down.test, but for up.test")


@needs_network
def test_a_name_server_that_answers_nothing(names, brokers, runs, asks):
    """Calls do not wait for it; when it answers at last, everything gets there."""
    broker = brokers.start()
    reader = broker.connect()
    reader.subscribe("early", qos=1)
    silent = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    silent.bind(("127.0.0.53", 53))
    silent.settimeout(mqtt_wire.PATIENCE)
    run = runs(before=asks, host="up.test", port=broker.port, how="async", calls=1)
    assert silent.recvfrom(512), "nobody asked"
    assert milliseconds(run, "connect 0 took") < 500
    assert milliseconds(run, "calls") < 500
    silent.close()
    names.start("--host-record=up.test,127.0.0.1")
    for _ in range(50):
        reader.take("early", "x", qos=1)
    run.works()


@needs_network
def test_a_name_server_that_lies(names, runs, asks):
    liar = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    liar.bind(("127.0.0.53", 53))
    liar.settimeout(0.2)
    run = runs(before=asks, host="up.test", port=1883)
    while run.process.poll() is None:
        with contextlib.suppress(TimeoutError):
            question, whose = liar.recvfrom(512)
            for answer in (b"", question[:2], question, question[:2] + os.urandom(200), question[:2] + b"\xff" * 500):
                liar.sendto(answer, whose)
    liar.close()
    run.fails(EAI)
