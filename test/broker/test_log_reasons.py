"""One line for every end, refusal, denial, takeover and drop: who, from where, why, and the rule that decided.

A jail bans by such lines, so they must name the address of the peer and no other, whatever the peer calls
itself; and a log must not grow with the number of those who misbehave.
"""

import re
import socket
import time
from pathlib import Path

import pytest
from broker_process import ROOT, free_port
from mqtt_wire import (
    BYE, CONNACK, PINGRESP, PUBLISH, SUBACK, connect, field, packet, publish, subscribe, u16,
)

pytestmark = pytest.mark.ours

NO_CONNECT = object()


def plain_connect(flags=2, tail=b"\0\x3c\0\1x"):
    return packet(1, 0, field("MQTT") + bytes([4, flags]) + tail)


# What a client sends after its CONNECT, and the end of the line: REASON, and the rule if an option decided.
CLIENTS = {
    "LENGTH_FIELD": (b"\x30\xff\xff\xff\xff", "malformed packet: remaining length has more than four bytes", "", ()),
    "PACKET_TYPE": (b"\xf0\0", "malformed packet: reserved packet type", "", ()),
    "FLAGS": (b"\xc1\0", "malformed packet: reserved flags of the fixed header", "", ()),
    "TRUNCATED": (b"\x30\x02\0\x05", "malformed packet: a field runs past its end", "", ()),
    "SURPLUS": (b"\xc0\x01\0", "malformed packet: surplus bytes", "", ()),
    "UTF8": (publish(b"\xff", "x"), "malformed packet: invalid UTF-8 string", "", ()),
    "QOS": (publish("t", "x", 3, 1), "malformed packet: invalid QoS", "", ()),
    "DUP_QOS0": (publish("t", "x", dup=True), "malformed packet: DUP set at QoS 0", "", ()),
    "PACKET_ID_ZERO": (publish("t", "x", 1, 0), "malformed packet: packet identifier 0", "", ()),
    "TOPIC_EMPTY": (publish("", "x"), "invalid topic: empty", "", ()),
    "TOPIC_WILDCARD": (publish("#", "x"), "invalid topic: wildcard in a topic name", "", ()),
    "FILTER": (subscribe(1, ("a#", 0)), "invalid topic filter: misplaced wildcard", "", ()),
    "LEVELS": (publish("/" * 200, "x"), "invalid topic: too many levels", "", ()),
    "SHARE_NAME": (subscribe(1, ("$share/g", 0)), "invalid shared subscription: group name or filter", "", ()),
    "MOUNT_LENGTH": (publish("x" * 65535, "x"), "malformed packet: topic too long with the mount point",
                     "mount_point site/", ("mount_point site/",)),
    "NO_FILTERS": (packet(8, 2, u16(1)), "protocol error: no topic filter", "", ()),
    "REQUESTED_QOS": (subscribe(1, ("t", 3)), "malformed packet: invalid requested QoS", "", ()),
    "PACKET_TOO_LARGE": (publish("t", "x" * 200), "oversize packet", "max_packet_size 100", ("max_packet_size 100",)),
    "SECOND_CONNECT": (connect("again"), "protocol error: second CONNECT", "", ()),
    "NOT_FOR_SERVER": (packet(2, 0, b"\0\0"), "protocol error: packet type not allowed from this peer", "", ()),
    "RETAIN_UNAVAILABLE": (publish("t", "x", retain=True), "retained messages are not available",
                           "retain_available false", ("retain_available false",)),
    "QOS_MAX": (publish("t", "x", 2, 1), "QoS too high", "max_qos 1", ("max_qos 1",)),
    "NOMEM": (publish("t", "x" * 4000000, 1, 1, retain=True), "out of memory", "memory_limit 3000000",
              ("memory_limit 3000000", "max_packet_size 0")),
}

# The first that a peer sends; the name and user that its line has, or NO_CONNECT for one that has not said its name.
STRANGERS = {
    "NOT_CONNECT": (publish("t", "x"), NO_CONNECT, "protocol error: the first packet is not CONNECT", "", ()),
    "CONNECT_TOO_LARGE": (b"\x10\xff\xff\xff\x7f", NO_CONNECT, "oversize packet before login", "", ()),
    "PROTOCOL_NAME": (connect("who", name="MQTX"), NO_CONNECT, "unknown protocol name", "", ()),
    "PROTOCOL_LEVEL": (connect("who", name="MQTT", level=9), NO_CONNECT, "unsupported protocol version", "", ()),
    "VERSION": (connect("who", username="joe"), "who", "unacceptable protocol version", "accept_protocol_versions",
                ("accept_protocol_versions 3",)),
    "CONNECT_FLAGS": (plain_connect(flags=3), NO_CONNECT, "malformed packet: invalid connect flags", "", ()),
    "CLIENT_ID": (connect("", clean=False, username="joe"), "", "client identifier not valid: empty", "", ()),
    "CLIENT_ID_NEEDED": (connect("", username="joe"), "", "client identifier not valid: empty ones are not allowed",
                         "allow_zero_length_clientid false", ("allow_zero_length_clientid false",)),
    "CLIENT_ID_PREFIX": (connect("who", username="joe"), "who", "client identifier not valid: wrong prefix",
                         "clientid_prefixes fleet-", ("clientid_prefixes fleet-",)),
    "KEEPALIVE_MAX": (connect("who", keepalive=61, username="joe"), "who", "keepalive too long, or none",
                      "max_keepalive 60", ("max_keepalive 60",)),
    "ANONYMOUS": (connect("who"), "who", "not authorised: anonymous clients are not allowed", "allow_anonymous false",
                  ("allow_anonymous false",)),
    "NOT_AUTHORISED": (connect("who", username="joe", password="x"), "who", "not authorised", "allow_anonymous false",
                       ("allow_anonymous false",)),
    "NO_USERNAME": (connect("who"), "who", "not authorised: no user name to be the client identifier",
                    "use_username_as_clientid true", ("use_username_as_clientid true",)),
    "WILL_TOPIC": (connect("who", username="joe", will={"topic": "$SYS/x"}), "who", "will topic not allowed: '$SYS/x'",
                   "", ()),
    "TLS_TO_PLAIN": (b"\x16\x03\x01\x02\x00", NO_CONNECT, "appears to be using TLS to connect to a non-TLS listener", "",
                     ()),
    "HTTP": (b"GET /mqtt HTTP/1.1\r\nHost: x\r\n\r\n", NO_CONNECT,
             "appears to be using HTTP to connect to an MQTT listener", "", ()),
    "PROXY_HEADER": (b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n", NO_CONNECT,
                     "PROXY header on a listener that expects none", "enable_proxy_protocol", ()),
}

# These have a test of their own below, …
ELSEWHERE = {
    "ACK_TYPE", "KEEPALIVE", "TAKEN_OVER", "PEER_CLOSED", "SOCKET", "DISCONNECT", "SHUTDOWN", "CONNECT_TIMEOUT",
    "CLIENTS_MAX", "TOPIC_RESERVED", "PAYLOAD_TOO_LARGE", "GROUPS", "MOUNT_WILDCARD", "QUEUE_FULL", "QUEUE_BYTES",
    "SLOW_READER", "OUTSIDE_MOUNT",
}

# … and these where they belong.
IN_OTHER_FILES = {
    "PASSWORD": "test_passwords.py", "REVOKED": "test_passwords.py", "LOGIN_FAILURES": "test_passwords.py",
    "NO_IDENTITY": "test_passwords.py", "NO_SUBJECT": "test_passwords.py", "LOGINS_MAX": "test_login.c",
    "ACL": "test_rights.c", "PROVEN_NAME": "test_three_listeners.py",
    "UNMAPPED": "test_bridge_hostile.py", "NOT_CONNACK": "test_bridge_hostile.py",
    "SECOND_CONNACK": "test_bridge_hostile.py", "NOT_FOR_CLIENT": "test_bridge_hostile.py",
    "SUBACK": "test_bridge_hostile.py", "PING_TIMEOUT": "test_bridge_hostile.py",
    "CONNACK_REFUSED": "test_bridge_connect.py", "BRIDGE_PACKET_TOO_LARGE": "test_bridge_topics.py",
    "BRIDGE_ID": "test_bridge_beside.py", "BRIDGE_IDLE": "test_bridge_starts.py",
    "BRIDGE_PRIMARY": "test_bridge_starts.py", "BRIDGE_CHANGED": "test_bridge_reload.py",
    "BRIDGE_REMOVED": "test_bridge_reload.py", "CONNACK_TIMEOUT": "test_bridge.c",
}


def tail(rule, user):
    """What stands in brackets at the end."""
    inside = ", ".join(filter(None, [rule, f"user '{user}'" if user else ""]))
    return re.escape(f" ({inside})") if inside else ""


def place(client):
    host, port = client.address[:2]
    return rf"\[{re.escape(host)}:{port}\]"


def end_line(client, who, reason, rule="", user=""):
    return rf": Client {re.escape(who)} {place(client)} disconnected: {re.escape(reason)}{tail(rule, user)}\.$"


def our_own(brokers, *lines):
    """Not shared with other tests: what those do wrong in the same second would count as one flood with ours."""
    return brokers.get(*lines, "connection_messages true")


@pytest.fixture
def broker(brokers):
    return our_own(brokers)


def test_every_reason_has_a_case():
    text = Path(ROOT, "lib/mqtt/reason.h").read_text(encoding="utf-8")
    names = set(re.findall(r"\bREASON_(\w+)\b", text)) - {"OK", "COUNT"}
    assert names == set(CLIENTS) | set(STRANGERS) | ELSEWHERE | set(IN_OTHER_FILES)
    for file in set(IN_OTHER_FILES.values()):
        assert list(Path(ROOT, "test").glob(f"*/{file}")), file


@pytest.mark.parametrize("case", CLIENTS)
def test_what_a_client_does_wrong(brokers, name, case):
    raw, reason, rule, lines = CLIENTS[case]
    broker = our_own(brokers, *lines)
    client = broker.connect(name, username="joe")
    since = len(broker.log.lines)
    client.send_if_open(raw)
    client.expect_closed()
    broker.log.wait(end_line(client, name, reason, rule, "joe"), since)
    assert len(broker.log.wait_for(1, rf"\b{name}\b.*disconnected", since)) == 1


@pytest.mark.parametrize("case", STRANGERS)
def test_what_a_stranger_does_wrong(brokers, case):
    raw, who, reason, rule, lines = STRANGERS[case]
    broker = our_own(brokers, *lines)
    client = broker.client()
    since = len(broker.log.lines)
    client.send(raw)
    client.expect_closed(allow=(CONNACK,))
    user = "joe" if b"joe" in raw else ""
    broker.log.wait(end_line(client, who if who and who is not NO_CONNECT else "<unknown>", reason, rule, user), since)


def test_an_acknowledgement_that_does_not_fit(broker, name):
    client = broker.connect(name)
    since = len(broker.log.lines)
    client.subscribe(name, qos=1)
    client.send(publish(name, "x", 1, 7))
    mid = client.expect(PUBLISH).mid
    client.send(packet(5, 0, u16(mid)))
    broker.log.wait(end_line(
        client, name, "protocol error: acknowledgement does not fit the QoS of its message"), since)


@pytest.mark.parametrize("username", [None, "joe"])
def test_orderly_ends(broker, name, username):
    user = username or ""
    since = len(broker.log.lines)
    left, closed, lost = (broker.connect(f"{name}-{i}", username=username) for i in range(3))
    left.send(BYE)
    closed.close()
    lost.reset()
    broker.log.wait(rf": Client {name}-0 disconnected\.$", since)
    broker.log.wait(end_line(closed, f"{name}-1", "connection closed by client", "", user), since)
    broker.log.wait(end_line(lost, f"{name}-2", "connection lost: Connection reset by peer", "", user), since)


def test_silence(broker, name):
    client = broker.connect(name, keepalive=1)
    broker.log.wait(end_line(client, name, "exceeded timeout"))


@pytest.mark.slow
def test_no_connect(broker):
    client = broker.client()
    broker.log.wait(end_line(client, "<unknown>", "no complete CONNECT in time"), seconds=40)


def test_the_broker_stops(brokers, name):
    broker = brokers.start()
    client = broker.connect(name, username="joe")
    broker.process.terminate()
    broker.log.wait(end_line(client, name, "server shutting down", "", "joe"))


def test_a_takeover_names_both_addresses(broker, name):
    first = broker.connect(name, username="joe")
    since = len(broker.log.lines)
    second = broker.connect(name, username="jim")
    host, port = second.address
    broker.log.wait(end_line(first, name, f"session taken over by {host}:{port}", "", "joe"), since)


def test_too_many_clients(brokers, name):
    broker = brokers.start("global_max_clients 1")
    stays = broker.connect(name)
    client = broker.client()
    client.send(connect("one more"))
    client.expect_closed(allow=(CONNACK,))
    broker.log.wait(end_line(client, "one more", "too many clients", "global_max_clients 1"))
    stays.quiet()


# --- messages ---------------------------------------------------------------------------------


def test_a_denied_publish(broker, name):
    client = broker.connect(name, username="joe")
    since = len(broker.log.lines)
    client.publish("$SYS/x", "1", 1)
    broker.log.wait(
        rf": Client {name} {place(client)} denied: publish to '\$SYS/x': reserved for the broker \(user 'joe'\)\.$",
        since)


def test_a_denied_subscription(brokers, broker, name):
    client = broker.connect(name)
    since = len(broker.log.lines)
    client.send(subscribe(1, *((f"$share/g{i}/{name}", 0) for i in range(1001))))
    assert client.expect(SUBACK).codes[1000] == 0x80
    broker.log.wait(rf": Client {name} {place(client)} denied: subscribe to '\$share/g1000/{name}': "
                    r"too many shared groups on one filter\.$", since)
    mounted = our_own(brokers, "mount_point site")
    client = mounted.connect(name)
    client.send(subscribe(1, ("#", 0)))
    client.expect(SUBACK)
    mounted.log.wait(rf": Client {name} {place(client)} denied: subscribe to '#': "
                     r"a wildcard cannot follow the mount point \(mount_point site\)\.$")


def test_a_large_payload(brokers, name):
    broker = our_own(brokers, "message_size_limit 10")
    client = broker.connect(name, username="joe")
    client.publish(name, "x" * 11, 1)
    broker.log.wait(rf": Client {name} {place(client)} dropped: publish to '{name}': oversize payload "
                    r"\(message_size_limit 10, user 'joe'\)\.$")


def episode(broker, who, where, reason, since):
    broker.log.wait(rf": Outgoing messages are being dropped for client {who} {where}: {reason}\.$", since)


@pytest.mark.parametrize("lines, limit", [
    (("max_queued_messages 5", "max_inflight_messages 1"), r"queue is full \(max_queued_messages 5\)"),
    (("max_queued_messages 0", "max_queued_bytes 50"), r"too many bytes in its queue \(max_queued_bytes 50\)"),
])
def test_a_full_queue_of_an_absent_client(brokers, name, lines, limit):
    broker = our_own(brokers, *lines)
    reader = broker.connect(name, clean=False)
    reader.subscribe(name, qos=1)
    reader.disconnect()
    writer = broker.connect()
    since = len(broker.log.lines)
    for _ in range(8):
        writer.publish(name, "0123456789", 1)
    episode(broker, name, r"\[not connected\]", limit, since)
    assert len(broker.log.wait_for(1, rf"dropped for client {name} ", since)) == 1
    reader = broker.connect(name, clean=False, username="joe")
    while len(reader.take_all()) > 0:
        pass
    writer.publish(name, "room again", 1)
    line = broker.log.wait(rf": Outgoing messages for client {name} {place(reader)} are accepted again, "
                           r"\d+ dropped \(user 'joe'\)\.$", since)
    assert 1 <= int(re.search(r"again, (\d+) dropped", line)[1]) <= 7


def test_one_that_does_not_read(broker, name):
    reader = broker.connect(name, rcvbuf=4096)
    reader.subscribe(name)
    writer = broker.connect()
    since = len(broker.log.lines)
    for _ in range(20):
        writer.publish(name, "x" * 1000000)
    episode(broker, name, place(reader), "reads too slowly", since)
    reader.close()
    broker.log.wait(
        rf": Outgoing messages were dropped for client {name} {place(reader)} until it left: \d+\.$", since)


def test_messages_from_before_the_mount_point(brokers, name):
    port = free_port()
    broker = our_own(brokers, f"listener {port} 127.0.0.1", "mount_point site/", "max_queued_messages 10")
    reader = broker.connect(name, clean=False)
    reader.subscribe(name, qos=1)
    reader.disconnect()
    reader = broker.client()
    reader.sock.close()
    reader.__init__(port)
    since = len(broker.log.lines)
    reader.connect(name, clean=False)
    broker.connect().publish(name, "x", 1)
    episode(broker, name, place(reader), r"topic outside its mount point \(mount_point site/\)", since)
    reader.close()


# --- what a jail reads ------------------------------------------------------------------------

HOST = r"(?P<host>[0-9A-Fa-f.:]+)"
# As an administrator would write them: with a beginning, and greedy in between.
JAILS = {
    "2.1's words": rf"^\d+: Client .* \[{HOST}:\d+\] disconnected: not authorised",
    "without a space": rf"^\d+: Client .*\[{HOST}:\d+\].* disconnected: not authorised",
    "lazy": rf"^\d+: Client .*?\[{HOST}:\d+\] disconnected: not authorised",
    "anywhere": rf"\[{HOST}:\d+\] disconnected: not authorised",
    "whatever is wrong": rf"^\d+: Client .* \[{HOST}:\d+\] disconnected: (?:not authorised|malformed|protocol error|"
                         r"client identifier|unsupported|unknown protocol|appears to be using)",
    "denials": rf"^\d+: Client .* \[{HOST}:\d+\] denied: ",
}

EVIL = [
    "x [6.6.6.6:1] disconnected: not authorised",
    "x [6.6.6.6:1] denied: y",
    "' [6.6.6.6:1] disconnected: not authorised (user '",
    "\n1: Client x [6.6.6.6:1] disconnected: not authorised.",
    "\r1: Client x [6.6.6.6:1] disconnected: not authorised.",
    "Client x [6.6.6.6:1] disconnected: not authorised.",
    "[6.6.6.6:1] disconnected: not authorised",
    "\\[6.6.6.6:1] disconnected: not authorised",
    "]]]]]]]]] [6.6.6.6:1] disconnected: not authorised",
]


def bans(broker, since):
    return {match["host"] for line in broker.log.lines[since:] for jail in JAILS.values()
            for match in re.finditer(jail, line)}


@pytest.mark.parametrize("jail", JAILS)
def test_a_jail_finds_the_address(brokers, jail):
    broker = brokers.get("allow_anonymous false")
    client = broker.client()
    since = len(broker.log.lines)
    if jail == "denials":
        broker = our_own(brokers)
        client = broker.connect()
        since = len(broker.log.lines)
        client.publish("$SYS/x", "x")
    else:
        client.send(connect("thief", username="root", password="x"))
    line = broker.log.wait(JAILS[jail], since)
    assert re.search(JAILS[jail], line)["host"] == "127.0.0.1"


@pytest.mark.parametrize("evil", EVIL)
def test_no_name_bans_somebody_else(brokers, evil):
    """At every log level, with every field that a peer can choose."""
    closed, opened = brokers.get("allow_anonymous false"), our_own(brokers)
    sinces = [len(b.log.lines) for b in (closed, opened)]
    evil_will = {"topic": "$SYS/" + evil, "payload": evil}
    for raw in (connect(evil, username=evil, password=evil), connect("x", name=evil), connect(evil, will=evil_will)):
        client = closed.client()
        client.send(raw)
        client.expect_closed(allow=(CONNACK,))
    client = opened.client()
    client.send(connect(evil, username=evil))
    client.send_if_open(subscribe(1, (evil, 0), ("$share/g/" + evil, 0)), publish("$SYS/" + evil, evil))
    client.send_if_open(publish(evil, evil, 1, 1), BYE)
    client.expect_closed(allow=tuple(range(16)))
    taken, taker = opened.client(), opened.client()
    taken.send(connect(evil))
    taken.send_if_open(b"\xc0\0")
    taker.send(connect(evil))
    taken.expect_closed(allow=(CONNACK, PINGRESP))
    opened.answers()
    for broker, since in zip((closed, opened), sinces):
        for line in broker.log.lines[since:]:
            assert re.match(r"\d+: ", line) and not line.startswith("1: "), line
        forged = broker.log.find(r"[^\d]6\.6\.6\.6:1\]", since)
        assert not forged, forged
        assert bans(broker, since) <= {"127.0.0.1"}


def test_ipv6(brokers):
    port = free_port(socket.AF_INET6, "::1")
    broker = brokers.start("allow_anonymous false", f"listener {port} ::1")
    client = broker.client(host="127.0.0.1")
    client.sock.close()
    client.__init__(port, host="::1")
    client.send(connect("six", username="joe"))
    line = broker.log.wait(end_line(client, "six", "not authorised", "allow_anonymous false", "joe"))
    assert re.search(JAILS["2.1's words"], line)["host"] == "::1"
    client.close()


def test_a_unix_socket_is_named_by_its_path(brokers, tmp_path, name):
    path = tmp_path / "s"
    broker = brokers.start(f"listener 0 {path}")
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(str(path))
        sock.sendall(connect(name, username="joe") + publish("#", "x"))
        while sock.recv(100):
            continue
    broker.log.wait(rf": New connection from {path} on port 0\.$")
    broker.log.wait(rf": Client {name} \[{path}:0\] disconnected: "
                    r"invalid topic: wildcard in a topic name \(user 'joe'\)\.$")


# --- floods -----------------------------------------------------------------------------------


def test_5000_refusals_of_one_address(brokers):
    broker = brokers.start("allow_anonymous false", "log_type notice", verbose=False)
    total = 5000
    since = len(broker.log.lines)
    began = time.monotonic()
    for number in range(total):
        client = socket.create_connection(("127.0.0.1", broker.port))
        client.sendall(connect(f"c{number}"))
        assert client.recv(4) == b"\x20\x02\0\5"
        client.close()
    seconds = time.monotonic() - began
    reason = r"disconnected: not authorised: anonymous clients are not allowed"
    pattern = rf"Clients from 127\.0\.0\.1 {reason} … and ([\d,]+) more\.$"
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline:
        said = len(broker.log.find(rf"Client c\d+ \[127\.0\.0\.1:\d+\] {reason}", since))
        counted = [re.search(pattern, line)[1] for line in broker.log.find(pattern, since)]
        if said + sum(int(count.replace(",", "")) for count in counted) == total:
            break
        time.sleep(0.05)
    else:
        raise AssertionError(f"{said} lines and {counted}")
    # Ten connections and ten refusals a second, and a count.
    assert len(broker.log.lines) - since <= 21 * (seconds + 2)
    assert said < total / 10


def test_a_flood_does_not_hide_others(brokers, name):
    broker = brokers.start("log_type notice", verbose=False)
    for _ in range(300):
        client = socket.create_connection(("127.0.0.1", broker.port))
        client.sendall(b"GET / HTTP/1.0\r\n\r\n")
        client.close()
    since = len(broker.log.lines)
    client = broker.connect(name)
    client.publish("$SYS/x", "x")
    broker.log.wait(rf": Client {name} {place(client)} denied: publish to '\$SYS/x'", since)
    client.send(publish("#", "x"))
    broker.log.wait(end_line(client, name, "invalid topic: wildcard in a topic name"), since)


def test_a_flood_of_denials(brokers, name):
    broker = brokers.start("log_type notice", verbose=False)
    client = broker.connect(name)
    client.send(*(publish("$SYS/x", "x") for _ in range(4142)))
    client.quiet()
    total = 0
    deadline = time.monotonic() + 15
    while total < 4142 and time.monotonic() < deadline:
        counted = [re.search(r"and ([\d,]+) more", line)[1]
                   for line in broker.log.find(rf"Client {name} denied: reserved for the broker … and ")]
        total = len(broker.log.find(r"denied: publish to")) + sum(int(count.replace(",", "")) for count in counted)
        time.sleep(0.05)
    assert total == 4142
    assert len(broker.log.find("denied")) < 60
