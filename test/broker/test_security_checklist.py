"""Faults that released brokers had, where no other test would have caught them here; and the list in ../security.md."""

import os
import re
import resource
import signal
import statistics
import subprocess
import time
from pathlib import Path

import pytest
from broker_process import ROOT, START_LIMIT, binary, environment, free_port, sanitized, whose
from login_cases import pbkdf2
from mqtt_wire import CONNACK, PUBCOMP, PUBREC, Client, Closed, connect, publish, pubrel
from peer_broker import listening
from test_operation import descriptors, processor_seconds
from tls_wire import SERVED, trusting, verdict

pytestmark = pytest.mark.ours


# --- the list ---------------------------------------------------------------------------------------

LIST = ROOT / "test" / "security.md"
NAMED = re.compile(r"`([\w/.]+\.(?:py|c))(?:::(\w+))?`")


def listed():
    """Of each row of the list: what it is about, and the tests that it names."""
    for line in LIST.read_text(encoding="utf-8").splitlines():
        if line.startswith("|") and not re.match(r"\| *(-|fault )", line):
            cells = [cell.strip() for cell in line.strip("|").split("|")]
            yield cells[0], NAMED.findall(cells[-1]), cells[-1]


def exists(path, function):
    file = ROOT / "test" / path
    if not file.is_file():
        return False
    if function is None:
        return True
    text = file.read_text(encoding="utf-8")
    shape = rf"^def {function}\(" if path.endswith(".py") else rf"^static void {function}\(void \*\*"
    return re.search(shape, text, re.MULTILINE) is not None


def test_every_fault_has_its_tests():
    rows = list(listed())
    assert len(rows) >= 40
    for fault, tests, cell in rows:
        assert tests or cell.startswith("to come:"), f"{fault}: no test, and no reason"
        for path, function in tests:
            assert exists(path, function or None), f"{fault}: there is no {path}::{function}"


def test_the_check_of_the_list_can_fail():
    assert exists("broker/test_security_checklist.py", "test_the_check_of_the_list_can_fail")
    assert not exists("broker/test_security_checklist.py", "test_that_is_not_there")
    assert not exists("broker/no_such_file.py", None)


# --- what a start refuses ---------------------------------------------------------------------------


def start(directory, *lines, args=()):
    """Exit code and output of a broker that should not start; TimeoutExpired if it does."""
    config = Path(directory) / "mosquitto.conf"
    config.write_text("\n".join([*lines, *whose(lines)]) + "\n")
    done = subprocess.run([binary(), "-c", str(config), *args], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=START_LIMIT, env=environment(), check=False)
    return done.returncode, done.stderr + done.stdout


def test_tls_options_without_a_listener_open_no_public_door(tmp_path, pki):
    """2.0.12 (#2283): they would belong to nobody, and everybody could come in."""
    code, said = start(tmp_path, *pki.tls(), args=["-p", str(free_port())])
    assert code == 3, said
    assert re.search(r"mosquitto\.conf:\d+", said), said


@pytest.mark.parametrize("file", ["certfile", "keyfile", "cafile", "crlfile"])
@pytest.mark.parametrize("what", ["missing", "empty", "garbage", "a directory"])
def test_a_bad_file_of_tls_stops_the_start(tmp_path, pki, file, what):
    """#2130: half a set-up let connections in unverified. One error names the option, the file and the reason."""
    bad = tmp_path / "bad.pem"
    if what == "empty":
        bad.write_text("")
    elif what == "garbage":
        bad.write_text("-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n")
    elif what == "a directory":
        bad.mkdir()
    files = {"certfile": pki.server.cert, "keyfile": pki.server.key, "cafile": pki.ca.cert, "crlfile": pki.crl, file: bad}
    code, said = start(tmp_path, f"listener {free_port()} 127.0.0.1", "allow_anonymous true", "require_certificate true",
                       *(f"{option} {path}" for option, path in files.items()))
    assert code in (1, 3), said
    errors = [line for line in said.splitlines() if "Error" in line]
    assert any(file in line and str(bad) in line for line in errors), said
    assert not re.search(r"error:[0-9A-F]{8}", said), said


def test_a_key_of_another_certificate_stops_the_start(tmp_path, pki):
    code, said = start(tmp_path, f"listener {free_port()} 127.0.0.1", "allow_anonymous true",
                       f"certfile {pki.server.cert}", f"keyfile {pki.client().key}")
    assert code in (1, 3) and str(pki.client().key) in said, said


def test_a_key_with_a_passphrase_stops_the_start_without_asking(tmp_path, pki):
    """Nobody is there to answer; waiting would hang the start for ever."""
    key = tmp_path / "locked.key"
    subprocess.run(["openssl", "pkey", "-in", pki.server.key, "-aes256", "-passout", "pass:secret", "-out", key], check=True)
    code, said = start(tmp_path, f"listener {free_port()} 127.0.0.1", "allow_anonymous true",
                       f"certfile {pki.server.cert}", f"keyfile {key}")
    assert code in (1, 3) and str(key) in said, said
    assert re.search("passphrase|password|encrypted", said), said


def test_anonymous_clients_are_refused_on_loopback_too(tmp_path):
    """2.0.21 (#3198): `allow_anonymous false` did not count where no listener was given."""
    port = free_port()
    (tmp_path / "c").write_text("\n".join(["allow_anonymous false", *whose([])]) + "\n")
    process = subprocess.Popen([binary(), "-c", str(tmp_path / "c"), "-p", str(port)], stderr=subprocess.DEVNULL,
                               env=environment())
    try:
        limit = time.monotonic() + START_LIMIT
        while not listening(port):
            assert time.monotonic() < limit and process.poll() is None
            time.sleep(0.01)
        client = Client(port)
        client.send(connect("c"))
        client.expect(CONNACK, code=5)
        client.close()
    finally:
        process.terminate()
        assert process.wait(START_LIMIT) == 0


# --- rules of the default listener ------------------------------------------------------------------


def test_per_listener_rules_hold_on_the_default_listener_too(tmp_path):
    """CVE-2018-20145: acl_file did not count there."""
    port = free_port()
    (tmp_path / "acl").write_text("topic read #\n")
    config = tmp_path / "mosquitto.conf"
    config.write_text("\n".join([
        "per_listener_settings true", f"port {port}", "bind_address 127.0.0.1", "allow_anonymous true",
        f"acl_file {tmp_path}/acl", *whose([])]) + "\n")
    process = subprocess.Popen([binary(), "-c", str(config)], stderr=subprocess.DEVNULL, env=environment())
    try:
        limit = time.monotonic() + START_LIMIT
        while not listening(port):
            assert time.monotonic() < limit and process.poll() is None
            time.sleep(0.01)
        client = Client(port)
        client.connect("c")
        client.subscribe("#")
        client.publish("a", "x", qos=1)
        client.quiet()
        client.close()
    finally:
        process.terminate()
        assert process.wait(START_LIMIT) == 0


# --- reloads ----------------------------------------------------------------------------------------


class Guarded:
    """Passwords, rules, and a door for certificates."""

    def __init__(self, brokers, pki, directory):
        self.pki = pki
        self.mutual = free_port()
        self.directory = directory
        (directory / "passwords").write_text(pbkdf2("alice", "secret"))
        (directory / "acl").write_text("user alice\ntopic read #\ntopic write mine\n")
        self.pair = pki.server.copy(directory)
        self.ca = directory / "ca.pem"
        self.ca.write_bytes(pki.ca.cert.read_bytes())
        self.broker = brokers.start(
            f"password_file {directory}/passwords", f"acl_file {directory}/acl", "sys_interval 0",
            f"listener {self.mutual} 127.0.0.1", f"certfile {self.pair.cert}", f"keyfile {self.pair.key}",
            f"cafile {self.ca}", "require_certificate true", "listener_allow_anonymous true")
        self.broker.await_port(self.mutual)
        self.broker.log.wait("running$")

    def reload(self):
        since = len(self.broker.log.lines)
        self.broker.process.send_signal(signal.SIGHUP)
        return self.broker.log.wait(r"The configuration was (not )?reloaded", since)

    def still_holds(self):
        wrong = self.broker.client()
        wrong.send(connect("w", username="alice", password="wrong"))
        wrong.expect(CONNACK, code=5)
        alice = self.broker.connect("a", username="alice", password="secret")
        alice.subscribe("#")
        alice.publish("theirs", "x", qos=1)
        alice.quiet()
        alice.disconnect()
        assert verdict(self.mutual, trusting(self.pki.ca)).word != SERVED
        assert verdict(self.mutual, trusting(self.pki.ca, self.pki.stranger.issue("s"))).word != SERVED
        assert verdict(self.mutual, trusting(self.pki.ca, self.pki.client())).word == SERVED


def test_a_reload_without_descriptors_opens_nothing(brokers, pki, tmp_path):
    """CVE-2017-7652: the file could not be opened, and defaults that let everybody in took its place."""
    guarded = Guarded(brokers, pki, tmp_path)
    guarded.still_holds()
    used = descriptors(guarded.broker.pid)
    usual = resource.prlimit(guarded.broker.pid, resource.RLIMIT_NOFILE)
    for spare in range(3):
        resource.prlimit(guarded.broker.pid, resource.RLIMIT_NOFILE, (used - 1 + spare, usual[1]))
        guarded.reload()
        resource.prlimit(guarded.broker.pid, resource.RLIMIT_NOFILE, usual)
        guarded.still_holds()


@pytest.mark.parametrize("file", ["passwords", "acl", "cert.pem", "key.pem", "ca.pem"])
@pytest.mark.parametrize("what", ["missing", "garbage"])
def test_a_reload_with_a_bad_file_opens_nothing(brokers, pki, tmp_path, file, what):
    """Neither does the file alone, when the broker sees that it has changed."""
    guarded = Guarded(brokers, pki, tmp_path)
    if what == "missing":
        (tmp_path / file).unlink()
    else:
        (tmp_path / file).write_text("alice:$7$nonsense\n")
    said = guarded.reload()
    assert "was not reloaded" in said
    assert guarded.broker.log.find(rf"^\d+: Error.*{re.escape(str(tmp_path / file))}")
    guarded.still_holds()


# --- rights that are lost between two packets ---------------------------------------------------------


def test_a_half_done_publish_does_not_outlive_its_right(brokers, tmp_path):
    """CVE-2021-34434 and its kin: QoS 2 is in two parts, and a reload can come between them and another connection."""
    acl = tmp_path / "acl"
    acl.write_text("user chief\ntopic read #\nuser alice\ntopic write a\n")
    broker = brokers.start(f"acl_file {acl}")
    chief = broker.connect("chief", username="chief")
    chief.subscribe("#")
    alice = broker.connect("alice", username="alice", clean=False)
    alice.send(publish("a", "granted", 2, 1))
    alice.expect(PUBREC, mid=1)
    acl.write_text("user chief\ntopic read #\n")
    broker.log.wait("running$")
    since = len(broker.log.lines)
    broker.process.send_signal(signal.SIGHUP)
    broker.log.wait("The configuration was reloaded", since)
    alice.close()
    alice = broker.connect("alice", username="alice", clean=False)
    alice.send(publish("a", "granted", 2, 1, dup=True))
    alice.expect(PUBREC, mid=1)
    alice.send(pubrel(1))
    alice.expect(PUBCOMP, mid=1)
    alice.send(publish("a", "denied", 2, 2))
    alice.expect(PUBREC, mid=2)
    alice.send(pubrel(2))
    alice.expect(PUBCOMP, mid=2)
    assert [packet.payload for packet in chief.take_all()] == [b"granted"]


# --- secrets ----------------------------------------------------------------------------------------


def test_passwords_are_never_told(brokers, tmp_path):
    """Neither right nor wrong ones, nor those of a file with an error in it."""
    passwords = tmp_path / "passwords"
    passwords.write_text(pbkdf2("alice", "Right-Horse") + "bob:In-The-Clear\n")
    broker = brokers.start(f"password_file {passwords}")
    for password, code in (("Right-Horse", 0), ("Wrong-Horse", 5), ("In-The-Clear", 5)):
        client = broker.client()
        client.send(connect("c", username="alice", password=password))
        client.expect(CONNACK, code=code)
        client.close()
    passwords.write_text(pbkdf2("alice", "Right-Horse") + "bob:$7$Not-A-Hash\ncarol:$6$Half-A-Hash$\nNo-Colon-Here\n")
    since = len(broker.log.lines)
    broker.process.send_signal(signal.SIGHUP)
    broker.log.wait("was not reloaded", since)
    said = "\n".join(broker.log.lines)
    assert not re.search("Right-Horse|Wrong-Horse|In-The-Clear|Not-A-Hash|Half-A-Hash", said)


@pytest.mark.parametrize("option", ["password_file", "acl_file", "psk_file", "keyfile"])
def test_a_secret_that_all_can_read_is_warned_about(brokers, pki, tmp_path, option):
    path = tmp_path / "secret"
    text = {"password_file": pbkdf2("a", "b"), "acl_file": "topic #\n", "psk_file": f"a:{'aa' * 16}\n",
            "keyfile": pki.server.key.read_text()}[option]
    said = []
    for mode in (0o600, 0o644):
        path.write_text(text)
        path.chmod(mode)
        lines = [f"{option} {path}"]
        if option == "keyfile":
            lines = [f"listener {free_port()} 127.0.0.1", f"certfile {pki.server.cert}", *lines]
        elif option == "psk_file":
            lines += [f"listener {free_port()} 127.0.0.1", "psk_hint h"]
        broker = brokers.start(*lines)
        broker.log.wait("running$")
        said.append([line for line in broker.log.lines if str(path) in line and "Warning" in line])
    assert said[0] == [] and len(said[1]) == 1, said


def test_a_process_that_holds_keys_leaves_no_core(brokers, pki):
    """Its memory would be in it."""
    port = free_port()
    broker = brokers.start(f"listener {port} 127.0.0.1", *pki.tls())
    broker.await_port(port)
    limits = Path(f"/proc/{broker.pid}/limits").read_text()
    soft = re.search(r"Max core file size +(\S+)", limits).group(1)
    undumpable = os.stat(f"/proc/{broker.pid}/maps").st_uid == 0 and not can_be_traced(broker.pid)
    assert soft == "0" or undumpable


def can_be_traced(pid):
    """By another user of the same number, that is: not undumpable. Root sees it by the owner of these files alone."""
    return os.geteuid() != 0 or os.stat(f"/proc/{pid}/maps").st_gid != 0


# --- time -------------------------------------------------------------------------------------------


@pytest.mark.skipif(sanitized(), reason="a sanitizer's build keeps another time")
def test_who_is_not_there_takes_as_long_as_a_wrong_password(brokers, tmp_path):
    passwords = tmp_path / "passwords"
    passwords.write_text(pbkdf2("alice", "secret", 60000))
    broker = brokers.start(f"password_file {passwords}", verbose=False)
    times = {"alice": [], "nobody here": []}
    for _ in range(12):
        for who, measured in times.items():
            client = broker.client()
            begun = time.monotonic()
            client.send(connect("c", username=who, password="wrong"))
            client.expect(CONNACK, code=5)
            measured.append(time.monotonic() - begun)
            client.close()
    known, unknown = (statistics.median(measured) for measured in times.values())
    assert known > 0.005, "too fast to be a hash of 60,000 rounds"
    assert 0.5 < known / unknown < 2, times


@pytest.mark.skipif(sanitized(), reason="a sanitizer's build keeps another time")
def test_waiting_for_handshakes_costs_nothing(brokers, pki):
    """#2794: a slow client made the broker spin. Each of these has sent a part of its hello."""
    port = free_port()
    broker = brokers.start(f"listener {port} 127.0.0.1", *pki.tls(), verbose=False)
    broker.await_port(port)
    hello = client_hello()
    waiting = [Client(port) for _ in range(100)]
    for number, client in enumerate(waiting):
        client.send(hello[: 1 + number * len(hello) // 110])
    broker.answers()
    before = processor_seconds(broker.pid)
    time.sleep(2)
    assert processor_seconds(broker.pid) - before < 0.1
    for client in waiting:
        client.close()


def client_hello():
    """The first flight of a handshake."""
    import ssl
    inward, outward = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = trusting().wrap_bio(inward, outward, server_hostname="localhost")
    try:
        tls.do_handshake()
    except ssl.SSLWantReadError:
        pass
    return outward.read()


@pytest.mark.slow
def test_a_handshake_must_come_in_time(brokers, pki):
    port = free_port()
    broker = brokers.start(f"listener {port} 127.0.0.1", *pki.tls())
    broker.await_port(port)
    clients = [Client(port, patience=60) for _ in range(3)]
    clients[1].send(client_hello())
    clients[2].send(client_hello()[:20])
    for client in clients:
        begun = time.monotonic()
        try:
            while time.monotonic() < begun + 50:
                client.fill(50)
        except Closed:
            pass
        line = broker.log.wait(rf"127\.0\.0\.1:{client.address[1]}\b.* denied: ")
        assert re.search("in time|handshake", line), line
        client.close()
