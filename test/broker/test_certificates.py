"""Files of certificates, keys, authorities, revocations, passwords and rights are taken up when they change: by themselves,
however they are replaced, and by SIGHUP. What is bad leaves the old in force and says so."""

import base64
import hashlib
import os
import re
import shutil
import signal
import socket
import time
from pathlib import Path

import pytest
from broker_process import free_port
from certificates import Pair, openssl, utc
from listener_tools import reload, reload_whole
from mqtt_wire import Client, Closed, connect
from tls_wire import SERVED, TlsClient, first_certificate, shown, trusting, verdict

ANEW = r"The certificates and keys of port {} were read anew\."
KEPT = r"Error: The former certificates and keys of port {} stay in force\."
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="needs a user to become")


class Files:
    """A broker whose TLS listener has files of its own in `directory`."""

    def __init__(self, brokers, directory, cert, key, *lines, head=("sys_interval 0",), **options):
        self.directory = directory
        self.port = free_port()
        self.broker = brokers.start(*head, f"listener {self.port} 127.0.0.1", f"certfile {cert}", f"keyfile {key}",
                                    *lines, **options)
        self.broker.await_port(self.port)
        self.log = self.broker.log
        self.log.wait("running$")

    def shows(self, pair):
        return shown(self.port) == first_certificate(pair.cert)

    def anew(self, since):
        self.log.wait(ANEW.format(self.port), since)

    def kept(self, since):
        self.log.wait(KEPT.format(self.port), since)
        assert not self.log.find(ANEW.format(self.port), since)


@pytest.fixture
def certs(tmp_path):
    path = tmp_path / "certs"
    path.mkdir()
    return path


@pytest.fixture
def files(brokers, pki, certs):
    pki.server.copy(certs)
    return Files(brokers, certs, certs / "cert.pem", certs / "key.pem")


def put(directory, pair):
    """The pair in a new directory."""
    directory.mkdir(parents=True)
    return pair.copy(directory)


def swap(link, target):
    """The link leads somewhere else, in one step."""
    fresh = link.with_name(link.name + ".tmp")
    fresh.symlink_to(target)
    fresh.replace(link)


# --- renewal ------------------------------------------------------------------------------------


def test_a_pair_renamed_over_the_old(files, pki, certs):
    old = TlsClient(files.port, trusting(pki.ca))
    old.connect("old")
    assert files.shows(pki.server)
    for pair in (pki.rsa_server, pki.server):
        since = len(files.log.lines)
        Pair(certs / "cert.pem", certs / "key.pem").replace(pair)
        files.anew(since)
        assert files.shows(pair)
        assert not files.log.find("Error", since)
    old.ping()
    old.close()


def test_a_pair_written_in_place(files, pki, certs):
    since = len(files.log.lines)
    for name, source in (("cert.pem", pki.rsa_server.cert), ("key.pem", pki.rsa_server.key)):
        with open(certs / name, "r+b") as out:
            out.truncate()
            out.write(source.read_bytes())
    files.anew(since)
    assert files.shows(pki.rsa_server)


def test_links_that_are_swapped_as_in_kubernetes(brokers, pki, certs):
    """certs/cert.pem -> ..data/cert.pem, and ..data -> a directory by date."""
    put(certs / "..2020", pki.server)
    (certs / "..data").symlink_to("..2020")
    for name in ("cert.pem", "key.pem"):
        (certs / name).symlink_to(Path("..data") / name)
    files = Files(brokers, certs, certs / "cert.pem", certs / "key.pem")
    assert files.shows(pki.server)
    for serial, pair in enumerate((pki.rsa_server, pki.server)):
        since = len(files.log.lines)
        put(certs / f"..2021.{serial}", pair)
        swap(certs / "..data", f"..2021.{serial}")
        shutil.rmtree(certs / ("..2020" if serial == 0 else "..2021.0"))
        files.anew(since)
        assert files.shows(pair)


def test_a_directory_behind_a_link_of_another_directory(brokers, pki, tmp_path, certs):
    """The path goes through the link, so nothing changes beside the file."""
    put(certs / "one", pki.server)
    put(certs / "two", pki.rsa_server)
    current = tmp_path / "current"
    current.symlink_to(certs / "one")
    files = Files(brokers, certs, current / "cert.pem", current / "key.pem")
    swap(current, certs / "two")
    files.anew(0)
    assert files.shows(pki.rsa_server)


def test_links_that_are_swapped_as_by_certbot(brokers, pki, certs):
    """live/x/cert.pem -> ../../archive/x/cert1.pem"""
    live = certs / "live" / "x"
    archive = certs / "archive" / "x"
    live.mkdir(parents=True)
    archive.mkdir(parents=True)
    for number, pair in ((1, pki.server), (2, pki.rsa_server)):
        shutil.copy(pair.cert, archive / f"cert{number}.pem")
        shutil.copy(pair.key, archive / f"key{number}.pem")
    for name in ("cert", "key"):
        (live / f"{name}.pem").symlink_to(f"../../archive/x/{name}1.pem")
    files = Files(brokers, certs, live / "cert.pem", live / "key.pem")
    since = len(files.log.lines)
    for name in ("cert", "key"):
        swap(live / f"{name}.pem", f"../../archive/x/{name}2.pem")
    files.anew(since)
    assert files.shows(pki.rsa_server)


def test_by_sighup_all_is_read(files, pki, certs):
    pki.rsa_server.copy(certs)
    since = len(files.log.lines)
    files.broker.process.send_signal(signal.SIGHUP)
    files.log.wait("The configuration was reloaded", since)
    assert files.shows(pki.rsa_server)


def test_sessions_of_the_former_certificate_are_not_resumed(files, pki, certs):
    context = trusting(version="1.2")
    first = TlsClient(files.port, context)
    first.connect("one")
    session = first.sock.session
    first.close()
    again = TlsClient(files.port, context, session=session)
    assert again.sock.session_reused
    again.close()
    Pair(certs / "cert.pem", certs / "key.pem").replace(pki.rsa_server)
    files.anew(0)
    again = TlsClient(files.port, context, session=session)
    assert not again.sock.session_reused
    again.close()


# --- what is bad --------------------------------------------------------------------------------


def test_a_half_of_a_pair_waits_for_the_other(files, pki, certs):
    since = len(files.log.lines)
    shutil.copy(pki.rsa_server.cert, certs / "cert.pem")
    files.kept(since)
    files.log.wait(rf"Error: TLS on port {files.port}: .*keyfile", since)
    assert files.shows(pki.server)
    since = len(files.log.lines)
    shutil.copy(pki.rsa_server.key, certs / "key.pem")
    files.anew(since)
    assert files.shows(pki.rsa_server)


@pytest.mark.parametrize("what", ["empty", "gone", "garbage", "expired"])
def test_a_bad_certificate_does_not_replace_a_good_one(files, pki, certs, what):
    since = len(files.log.lines)
    cert = certs / "cert.pem"
    if what == "gone":
        cert.unlink()
    elif what == "expired":
        pki.ca.server(starts=utc(days=-9), ends=utc(days=-1)).copy(certs)
    else:
        cert.write_text("" if what == "empty" else "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    files.kept(since)
    files.log.wait(rf"Error: TLS on port {files.port}: ", since)
    assert files.shows(pki.server)
    said = reload(files.broker, "sys_interval 0", f"listener {files.port} 127.0.0.1", f"certfile {cert}",
                  f"keyfile {certs}/key.pem")
    assert any("was not reloaded" in line for line in said)
    assert files.shows(pki.server)
    since = len(files.log.lines)
    pki.rsa_server.copy(certs)
    files.anew(since)
    assert files.shows(pki.rsa_server)


@pytest.mark.parametrize("what", ["certificate", "revocations"])
def test_what_was_made_by_a_clock_ahead_of_ours_waits(brokers, pki, certs, what):
    """It must not turn clients away, nor be forgotten."""
    ca = pki.authority()
    ca.server().copy(certs)
    ca.crl(certs / "crl.pem")
    files = Files(brokers, certs, certs / "cert.pem", certs / "key.pem", f"cafile {ca.cert}",
                  f"crlfile {certs}/crl.pem", "require_certificate true")
    alice = ca.issue("alice")
    since = len(files.log.lines)
    if what == "certificate":
        ca.server(starts=utc(seconds=4), ends=utc(days=30)).copy(certs)
    else:
        ca.revoke(alice)
        ca.crl(certs / "new.pem", starts=utc(seconds=4), ends=utc(days=30)).rename(certs / "crl.pem")
    files.kept(since)
    files.log.wait("is not valid before", since)
    assert verdict(files.port, trusting(ca, alice)).word == SERVED
    files.anew(since)
    assert (verdict(files.port, trusting(ca, alice)).word == SERVED) == (what == "certificate")


def test_a_reload_that_fails_forgets_no_change(brokers, tmp_path):
    """Also of a file that the refused configuration does not name."""
    acl = tmp_path / "acl"
    acl.write_text("topic readwrite #\n")
    broker = brokers.start(f"acl_file {acl}", "sys_interval 0")
    broker.log.wait("running$")
    client = broker.connect()
    client.subscribe("a")
    acl.write_text("topic readwrite other\n")
    said = reload(broker, f"acl_file {tmp_path}/none")
    assert any("was not reloaded" in line for line in said)
    broker.log.wait("acl_file .* was read anew")
    client.publish("a", "1")
    client.quiet()


def test_what_else_happens_in_the_directory_does_not_matter(files, certs):
    since = len(files.log.lines)
    for serial in range(50):
        (certs / f"other{serial}").write_text("x")
    (certs / "other0").rename(certs / "renamed")
    time.sleep(1)
    assert not files.log.find("anew|Error|force", since)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
def test_without_events_nobody_wakes_up(files, certs):
    (certs / "other").write_text("x")
    time.sleep(1)

    def wakes():
        text = Path(f"/proc/{files.broker.pid}/status").read_text()
        return int(re.search(r"^voluntary_ctxt_switches:\s*(\d+)", text, re.M).group(1))

    before = wakes()
    time.sleep(1.5)
    assert wakes() == before


# --- who signs, who is revoked ------------------------------------------------------------------


def test_a_revoked_client_is_refused_at_its_next_connect(brokers, pki, certs):
    ca = pki.authority()
    alice, bob = ca.issue("alice"), ca.issue("bob")
    crl = ca.crl(certs / "crl.pem")
    server = ca.server()
    files = Files(brokers, certs, server.cert, server.key, f"cafile {ca.cert}", "require_certificate true",
                  f"crlfile {crl}")
    context = trusting(ca, alice, version="1.2")
    inside = TlsClient(files.port, context)
    inside.connect("inside")
    session = inside.sock.session
    assert verdict(files.port, trusting(ca, alice)).word == SERVED
    since = len(files.log.lines)
    ca.revoke(alice)
    ca.crl(certs / "new.pem").rename(crl)
    files.anew(since)
    assert verdict(files.port, trusting(ca, alice)).word != SERVED
    assert verdict(files.port, trusting(ca, bob)).word == SERVED
    inside.ping()
    inside.close()
    with pytest.raises((Closed, OSError)):
        again = TlsClient(files.port, context, session=session)
        again.connect("again")


def test_another_authority_is_believed(brokers, pki, certs):
    shutil.copy(pki.ca.cert, certs / "ca.pem")
    files = Files(brokers, certs, pki.server.cert, pki.server.key, f"cafile {certs}/ca.pem", "require_certificate true")
    friend = pki.stranger.issue("friend")
    assert verdict(files.port, trusting(pki.ca, friend)).word != SERVED
    since = len(files.log.lines)
    (certs / "both").write_bytes(pki.ca.cert.read_bytes() + pki.stranger.cert.read_bytes())
    (certs / "both").rename(certs / "ca.pem")
    files.anew(since)
    assert verdict(files.port, trusting(pki.ca, friend)).word == SERVED
    assert verdict(files.port, trusting(pki.ca, pki.client())).word == SERVED


def test_a_directory_of_authorities_is_looked_into(brokers, pki, certs):
    name = openssl("x509", "-in", pki.stranger.cert, "-noout", "-subject_hash").decode().strip() + ".0"
    files = Files(brokers, certs, pki.server.cert, pki.server.key, f"cafile {pki.ca.cert}", f"capath {certs}",
                  "require_certificate true")
    friend = pki.stranger.issue("friend")
    assert verdict(files.port, trusting(pki.ca, friend)).word != SERVED
    since = len(files.log.lines)
    shutil.copy(pki.stranger.cert, certs / name)
    files.anew(since)
    assert verdict(files.port, trusting(pki.ca, friend)).word == SERVED


# --- passwords and rights -----------------------------------------------------------------------


def test_rights_change_for_who_is_connected(brokers, tmp_path):
    acl = tmp_path / "acl"
    acl.write_text("topic readwrite a\n")
    broker = brokers.start(f"acl_file {acl}", "sys_interval 0")
    broker.log.wait("running$")
    reader, writer = broker.connect(), broker.connect()
    reader.subscribe("#")
    writer.publish("a", "1")
    writer.publish("b", "2")
    reader.take("a", "1")
    reader.quiet()
    since = len(broker.log.lines)
    (tmp_path / "new").write_text("topic readwrite b\n")
    (tmp_path / "new").rename(acl)
    broker.log.wait(r"acl_file '.*' was read anew", since)
    writer.publish("a", "1")
    writer.publish("b", "2")
    reader.take("b", "2")
    reader.quiet()
    since = len(broker.log.lines)
    acl.write_text("topic readwrite a\nbroken line\n")
    broker.log.wait(r"Error: The former acl_file '.*' stays in force", since)
    broker.log.wait(rf"Error: {acl}:2: ", since)
    writer.publish("b", "2")
    reader.take("b", "2")
    reader.close()


def plain_passwords(path, **users):
    """As `mosquitto_passwd` would write them, with little work in them."""
    lines = []
    for user, password in users.items():
        salt = os.urandom(12)
        digest = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, 101)
        lines.append(f"{user}:$7$101${base64.b64encode(salt).decode()}${base64.b64encode(digest).decode()}\n")
    path.write_text("".join(lines))
    path.chmod(0o600)


def code(broker, user, password):
    client = broker.client()
    try:
        client.send(connect("x", username=user, password=password))
        return client.recv().code
    finally:
        client.close()


def test_a_new_user_may_come_in_and_a_bad_file_changes_nothing(brokers, tmp_path):
    passwords = tmp_path / "passwords"
    plain_passwords(passwords, alice="a")
    broker = brokers.start(f"password_file {passwords}", "sys_interval 0")
    broker.log.wait("running$")
    assert code(broker, "alice", "a") == 0 and code(broker, "bob", "b") == 5
    since = len(broker.log.lines)
    plain_passwords(tmp_path / "new", bob="b")
    (tmp_path / "new").rename(passwords)
    broker.log.wait("password_file '.*' was read anew", since)
    assert code(broker, "alice", "a") == 5 and code(broker, "bob", "b") == 0
    since = len(broker.log.lines)
    passwords.write_text("alice\n")
    broker.log.wait("Error: The former password_file '.*' stays in force", since)
    assert code(broker, "bob", "b") == 0


def test_rules_of_a_listener_that_is_gone_are_read_anew(brokers, tmp_path):
    """Whoever came in there is still connected, and still has rights."""
    acl = tmp_path / "acl"
    acl.write_text("topic readwrite a\n")
    port = free_port()
    broker = brokers.start("sys_interval 0")
    whole = ["per_listener_settings true", f"listener {broker.port} 127.0.0.1", "allow_anonymous true"]
    reload_whole(broker, *whole, f"listener {port} 127.0.0.1", "allow_anonymous true", f"acl_file {acl}")
    left = Client(port)
    left.connect("left")
    left.subscribe("#")
    assert any("was reloaded" in line for line in reload_whole(broker, *whole))
    since = len(broker.log.lines)
    acl.write_text("topic readwrite b\n")
    broker.log.wait("acl_file '.*' was read anew", since)
    sender = broker.connect()
    sender.publish("a", "1")
    sender.publish("b", "2")
    left.take("b", "2")
    left.quiet()
    left.close()


# --- privileges ---------------------------------------------------------------------------------


@AS_ROOT
def test_files_of_root_are_read_once_and_kept(brokers, pki, tmp_path_factory):
    """At the start by root; afterwards the old ones stay in force, and all else is reloaded."""
    base = tmp_path_factory.mktemp("of_root")
    for directory in (base, *base.parents[:-2]):
        directory.chmod(0o755)
    pair = pki.server.copy(base)
    pair.key.chmod(0o600)
    acl = base / "acl"
    acl.write_text("topic readwrite a\n")
    acl.chmod(0o600)
    (base / "work").mkdir(mode=0o777)
    lines = [f"acl_file {acl}", "sys_interval 0"]
    tls = [f"certfile {pair.cert}", f"keyfile {pair.key}"]
    files = Files(brokers, base, pair.cert, pair.key, head=[*lines, "user nobody"], keep_user=False,
                  env={"PUID": "", "PGID": ""})
    files.broker.directory.chmod(0o755)
    for directory in files.broker.directory.parents[:-2]:
        directory.chmod(0o755)
    files.log.wait(rf"Warning: '{pair.key}' was read by root, but cannot be read again")
    files.log.wait(rf"Warning: '{acl}' was read by root, but cannot be read again")
    assert files.shows(pki.server)
    head = files.broker.config.read_text().splitlines()[:2]
    files.broker.config.write_text("\n".join([*head, *lines, "user nobody", "max_queued_messages 7",
                                             f"listener {files.port} 127.0.0.1", *tls]) + "\n")
    files.broker.config.chmod(0o644)
    since = len(files.log.lines)
    files.broker.process.send_signal(signal.SIGHUP)
    files.log.wait("The configuration was reloaded", since)
    files.log.wait(KEPT.format(files.port), since)
    files.log.wait("Error: The former acl_file '.*' stays in force", since)
    assert files.shows(pki.server)


def limit_of_core(pid):
    line = re.search(r"^Max core file size\s+(\S+)", Path(f"/proc/{pid}/limits").read_text(), re.M)
    return line.group(1)


def test_who_holds_keys_leaves_no_core(files):
    assert limit_of_core(files.broker.pid) == "0"


def test_a_key_that_all_can_read_is_warned_of(brokers, pki, certs):
    pair = pki.server.copy(certs)
    pair.key.chmod(0o644)
    port = free_port()
    broker = brokers.start(f"listener {port} 127.0.0.1", f"certfile {pair.cert}", f"keyfile {pair.key}")
    broker.log.wait(f"Warning: keyfile '{pair.key}' can be read by every user")
    assert socket.create_connection(("127.0.0.1", port)).close() is None
