"""Ours beside the distribution's mosquitto 2.0.11: exit codes, log lines, what clients see and $SYS are equal.

The same scenario is played on both, and what came of it is compared line by line, in order. Where ours means to differ,
the difference stands once in a table below with its reason; anything else fails.
"""

import difflib
import os
import re
import signal
import socket
import subprocess
import time

import pytest
from broker_process import environment
from mqtt_wire import PING, PINGRESP, PUBLISH, SUBACK, Closed, subscribe
from peer_broker import PEER, Stage, makes, peer_is_there
from peer_scenarios import BROKEN_CONNECTS, BROKEN_PACKETS, FILE, OPEN, SCENARIOS

pytestmark = pytest.mark.skipif(not peer_is_there(), reason=f"there is no {PEER} to compare with")


class Difference:
    """Lines that ours says otherwise, and why.

    Each side is a list of patterns with what they become (None: the line goes), so that both become the same. They
    are looked for in all lines at once, so that one may span several. A difference holds in all
    scenarios, or only in those of `where`.
    """

    def __init__(self, reason, theirs=(), ours=(), where=None):
        self.reason = reason
        self.theirs = theirs
        self.ours = ours
        self.where = where


FROM = r"(127\.0\.0\.1|::1)"
ADDRESS = r"\[(?:127\.0\.0\.1|\[?::1\]?):C\d+\]"
RESHAPED = "2.1's shape for whatever went wrong: one line with client, address and reason"

USER = r"(?: \(user '.*'\))?"

DIFFERENCES = [
    # Lines that every user of 1.x knows: 1.5's, to the letter.
    Difference("1.5's line", theirs=[(rf"^New connection from {FROM}:C\d+ on", r"New connection from \1 on")]),
    Difference("1.5's line", theirs=[
        (rf"^(New \w+ connected) from {FROM}:C\d+ as (.*) \(p[12], ", r"\1 from \2 as \3 ("),
    ]),
    Difference("1.5's line", theirs=[
        (r"^(Sending PUB(?:ACK|REC) to .*) \(m(\d+), rc\d+\)$", r"\1 (Mid: \2)"),
        (r"^(Sending PUB(?:REL|COMP) to .*) \(m(\d+)\)$", r"\1 (Mid: \2)"),
        (r"^(Received PUB\w+ from .*) \(Mid: (\d+), RC:0\)$", r"\1 (Mid: \2)"),
    ]),
    # Whatever went wrong.
    Difference(
        RESHAPED,
        theirs=[(r"^Client (\S+) closed its connection\.$", r"Client \1 ended: lost")],
        ours=[
            (rf"^Client (\S+) {ADDRESS} disconnected: connection (closed by client|lost: .*){USER}\.$",
             r"Client \1 ended: lost"),
        ],
    ),
    Difference(
        RESHAPED,
        theirs=[(r"^Client (\S+) has exceeded timeout, disconnecting\.$", r"Client \1 ended: timeout")],
        ours=[(rf"^Client (\S+) {ADDRESS} disconnected: exceeded timeout{USER}\.$", r"Client \1 ended: timeout")],
    ),
    Difference(
        f"{RESHAPED}; both addresses of a takeover",
        theirs=[(r"^Client (\S+) already connected, closing old connection\.$", r"Client \1 ended: takeover")],
        ours=[
            (rf"^Client (\S+) {ADDRESS} disconnected: session taken over by [\w.:]+:C\d+{USER}\.$",
             r"Client \1 ended: takeover"),
        ],
    ),
    Difference(
        f"{RESHAPED}; a client whose id is known is named",
        theirs=[(r"^Client \S+ disconnected, not authorised\.$", "Refused: not authorised")],
        ours=[(rf"^Client \S+ {ADDRESS} disconnected: not authorised.*\.$", "Refused: not authorised")],
    ),
    Difference(
        "who is still there at the end is named",
        ours=[(rf"^Client \S+ {ADDRESS} disconnected: server shutting down{USER}\.$", None)],
    ),
    Difference(
        RESHAPED,
        theirs=[
            (r"^Client \S+ disconnected due to .*\.$", "Ended: a rule was broken"),
            (r"^Bad socket read/write on client \S+: .*\.$", "Ended: a rule was broken"),
            (r"^Too high QoS in PUBLISH from .*, disconnecting\.$", None),
        ],
        ours=[(rf"^Client \S+ {ADDRESS} disconnected: .+\.$", "Ended: a rule was broken")],
    ),
    Difference(
        f"{RESHAPED}; with the limit, and in the end how many they were",
        ours=[
            (r"^(Outgoing messages are being dropped for client \S+) "
             r"\[(?:127\.0\.0\.1:C\d+|not connected)\]: .+\(max_\w+ \d+\)\.$", r"\1."),
            (rf"^Outgoing messages were dropped for client \S+ {ADDRESS} until it left: \d+\.$", None),
            (r"^(Client connection from 127\.0\.0\.1):C\d+ (denied: max_connections exceeded) \(\d+ on port PORT2?\)\.$",
             r"\1 \2."),
        ],
    ),
    Difference(
        "what is denied or dropped is said to the administrator too, not only on the debug log",
        ours=[(rf"^Client \S+ {ADDRESS} (denied|dropped): publish to '.*': .*\.$", None)],
    ),
    # The start and the end.
    Difference("ours says how long it was busy at most", ours=[(r"^Longest turn: .* of CPU\.$", None)]),
    Difference(
        "ours says of each listener who can reach it, and how", ours=[(r"^Listener on .*: reachable from .*\.$", None)],
    ),
    Difference("ours says whom it runs as", ours=[(r"^Running as user \w+ \(uid \d+, gid \d+\)\.$", None)]),
    Difference("ours says how many clients there can be", ours=[(r"^File descriptors: (\d+|PORT) at most, ", None)]),
    Difference(
        "ours warns when it has opened what root must open, theirs before its first line",
        theirs=[(r"^Warning: Mosquitto should not be run as root/administrator\.$", None)],
        ours=[(r"^Warning: Mosquitto should not be run as root/administrator\.$", None)],
    ),
    Difference(
        "worded anew",
        theirs=[
            (r"^Create a configuration file which defines a listener to allow remote access\.$", None),
            (r"^For more details see https://mosquitto\.org/", None),
        ],
        ours=[(r"^(To let other machines connect, give|Such a file also says who may connect)", None)],
    ),
    Difference(
        "advice about options is worded anew, and names the line",
        theirs=[(r"^The '\w+' option is now deprecated", None), (r"^Note: It is recommended to replace", None)],
        ours=[(r"^Warning: .* \(DIR/[\w./]+(:\d+)?\): ", None)],
    ),
    Difference("ours says that", ours=[(r"^There is nothing to save: persistence is off\.$", None)]),
    Difference("ours says how a reload went", ours=[(r"^The configuration was reloaded\.$", None)]),
    # One scenario's own.
    Difference(
        "ours shows every unknown name", where=["unknown_protocol_names"],
        ours=[(r'^Invalid protocol "(MQTTT|)" in CONNECT from 127\.0\.0\.1\.$', None)],
    ),
    Difference(
        "2.0.11 means to say it, but does not, of PUBACK and PUBCOMP", where=["acknowledgements_nobody_waits_for"],
        ours=[(r"^Warning: Received PUB(ACK|COMP) from c for an unknown packet identifier \d\.$", None)],
    ),
    Difference(
        "2.0.11 says that it cannot wait for a socket that it has closed", where=["wills_at_the_end"],
        theirs=[(r"^Error in epoll re-registering", None)],
    ),
    Difference(
        "an id that is not acceptable is refused with the code that MQTT has for it", where=["clientid_prefixes"],
        theirs=[
            (r"code=5", "code=2"), (r"\(0, 5\)$", "(0, 2)"), (r"^Refused: not authorised$", "Ended: a rule was broken"),
        ],
    ),
    Difference(
        "who has no user name has no id yet", where=["use_username_as_clientid"],
        theirs=[(r"^Sending CONNACK to c \(0, 5\)$", "Sending CONNACK to 127.0.0.1 (0, 5)")],
    ),
    Difference(
        "a will that is refused is answered", where=["max_qos_of_a_will"],
        theirs=[(r"^closed$", "answered CONNACK(session_present=False, code=5)")],
        ours=[(r"^Sending CONNACK to 127\.0\.0\.1 \(0, 5\)$", None)],
    ),
    Difference(
        "2.0.11 leaves the mount point on what it delivers and does not put it before what is unsubscribed",
        where=["mount_point", "mount_point_of_a_will", "mount_point_seen_from_the_other_listener"],
        theirs=[
            (r"^(inside PUBLISH.*topic=')home/", r"\1"), (r"^(Sending PUBLISH to (?!outside).*')home/", r"\1"),
            (r"^\ta/#$", "\thome/a/#"), (r"^r a/#$", "r home/a/#"),
        ],
    ),
    Difference(
        "2.0.11 shows a port where there is none", where=["unix_socket"],
        theirs=[(r"DIR/socket:0", "DIR/socket"), (r"\(p2, ", "(")],
    ),
    Difference(
        "what went wrong is said all the same, and what a will is stands on the debug log",
        where=["connection_messages_false"],
        ours=[
            (r"^No will message specified\.$", None), (r"^Client \S+ ended: (timeout|takeover)$", None),
            (r"^Ended: a rule was broken$", None),
            (r"^Invalid protocol version 9 in CONNECT from 127\.0\.0\.1\.$", None),
        ],
    ),
    Difference(
        "a text file ends with a new line", where=["pid_file"], theirs=[(r"^the pid 'PID'$", r"the pid 'PID\\n'")],
    ),
    Difference(
        "ours has said more by then, and says why", where=["pid_file_that_cannot_be_written"],
        theirs=[(r"^Error: Unable to write pid file\.$", "Error: Unable to write the pid file")],
        ours=[
            (r"^(mosquitto version VERSION starting|Config loaded from|Opening ipv4)", None),
            (r"^(Error: Unable to write the pid file) DIR/no/pid: No such file or directory\.$", r"\1"),
        ],
    ),
]


def common(name, lines, side):
    """The lines as far as both should have them."""
    text = "".join(line + "\n" for line in lines)
    for difference in DIFFERENCES:
        if difference.where is None or name in difference.where:
            for pattern, instead in getattr(difference, side):
                whole = pattern if instead is not None else pattern + r"[^\n]*\n"
                text = re.sub(whole, instead or "", text, flags=re.MULTILINE)
    return text.splitlines()


def compare(what, theirs, ours):
    delta = list(difflib.unified_diff(theirs, ours, "theirs", "ours", lineterm="", n=2))
    if delta:
        pytest.fail(f"{what} differ:\n" + "\n".join(delta), pytrace=False)


def same(name, theirs, ours, shuffled=None):
    """Two outcomes of a scenario are equal but for the differences that are known."""
    compare("exit codes", [str(theirs.code)], [str(ours.code)])
    compare("notes", common(name, theirs.notes, "theirs"), common(name, ours.notes, "ours"))
    for what in ("log", "out"):
        lines = [common(name, getattr(o, what), side) for o, side in ((theirs, "theirs"), (ours, "ours"))]
        compare(what, *(sorted(part) if shuffled else part for part in lines))


@pytest.fixture
def stages(tmp_path):
    """Makes a stage of each make, theirs and ours; whatever still runs after the test is ended."""
    made = []

    def pair():
        fresh = [Stage(program, tmp_path / f"{len(made)}-{number}") for number, program in enumerate(makes())]
        made.extend(fresh)
        return fresh

    yield pair
    for stage in made:
        stage.stop(signal.SIGKILL)


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_same_comes_of_it(stages, name):
    played = SCENARIOS[name]
    same(name, *(played.on(stage) for stage in stages()), played.shuffled)


def test_a_port_that_is_in_use(stages):
    """Code 1 and the same words; ours also says which address that is."""
    outcomes = []
    for stage in stages():
        stage.configure("listener {PORT2} 127.0.0.1", *OPEN)
        with socket.socket() as taken:
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            taken.bind(("127.0.0.1", stage.port))
            taken.listen()
            stage.start(runs=False)
        stage.stop()
        outcomes.append(stage.outcome())
    theirs, ours = outcomes
    assert theirs.code == ours.code == 1
    errors = [line for outcome in outcomes for line in outcome.log if line.startswith("Error")]
    assert errors[0] == "Error: Address already in use" and len(errors) == 2
    assert errors[1].startswith("Error: Address already in use (127.0.0.1:PORT)")
    starts = [[line for line in o.log if line.startswith("Opening") or line.endswith("running")] for o in outcomes]
    compare("what was opened", *starts)


@pytest.mark.parametrize("text, line", [
    ("max_keepalive 60\nno_such_option true\n", 2), ("\n# a comment\n\nsys_interval 3\nsys_interval -1\n", 5),
    ("log_type loud\n", 1),
])
def test_a_wrong_line_of_an_included_file(stages, text, line):
    """The file that has it is named, with its own line number."""
    for stage in stages():
        stage.configure(*OPEN, "include_dir {DIR}/conf.d", "sys_interval 5")
        stage.write("conf.d/a.conf", "sys_interval 7\n")
        stage.write("conf.d/b.conf", text)
        stage.start(FILE, runs=False)
        stage.stop()
        assert stage.code == 3
        said = stage.plain(stage.log.lines)
        assert any(f"DIR/conf.d/b.conf:{line}" in entry for entry in said if entry.startswith("Error")), said


def gone(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_a_daemon(stages):
    """-d: the command comes back with 0 when it has begun; the pid file names the daemon, and goes with it."""
    seen = stages()
    for stage in seen:
        stage.configure(*OPEN, "pid_file {DIR}/pid", "log_dest file {DIR}/to.log")
        stage.spawn(*FILE, "-d")
        assert stage.process.wait(20) == 0
        stage.await_file("to.log", "running")
        stage.await_file("pid")
        pid = int((stage.directory / "pid").read_text(encoding="ascii"))
        try:
            assert pid != stage.process.pid and os.getsid(pid) != os.getsid(0)
            stage.connect("c").disconnect()
        finally:
            os.kill(pid, signal.SIGTERM)
        stage.await_file("to.log", "terminating")
        limit = time.monotonic() + 20
        while not gone(pid) or (stage.directory / "pid").exists():
            assert time.monotonic() < limit, "the daemon is still there"
            time.sleep(0.01)
        stage.note_file("to.log")
        stage.stop()
    theirs, ours = (stage.outcome() for stage in seen)
    same("a_daemon", theirs, ours)


# --- packets that break a rule --------------------------------------------------------------------

# What 2.0.11 takes although the standard says that the connection must be closed, and where it says so.
TOLERATED = {
    "QoS 0 with DUP": "3.3.1-2", "PINGREQ with flags": "2.2.2-2", "PINGREQ with a body": "3.12.1",
    "PUBACK with flags": "2.2.2-2", "PUBREC with flags": "2.2.2-2", "PUBCOMP with flags": "2.2.2-2",
    "SUBACK": "3.9", "UNSUBACK": "3.11", "PINGRESP": "3.13",
}


def what_follows(client, raw):
    """What a connection answers to these bytes and a ping behind them."""
    client.send_if_open(raw, PING)
    seen = []
    try:
        while not seen or seen[-1] != "PINGRESP()":
            seen.append(str(client.recv()))
    except Closed:
        seen.append("closed")
    client.close()
    return seen


@pytest.mark.parametrize(
    "packets, connected", [(BROKEN_CONNECTS, False), (BROKEN_PACKETS, True)], ids=["first", "later"],
)
def test_the_same_packets_end_a_connection(stages, packets, connected):
    answers = []
    for number, stage in enumerate(stages()):
        stage.configure(*OPEN)
        stage.start()
        answers.append([])
        for what, raw in packets.items():
            client = stage.connect("c") if connected else stage.client()
            seen = what_follows(client, raw)
            if number == 0 and what in TOLERATED:
                assert seen != ["closed"], f"2.0.11 does not take {what}"
                seen = ["closed"]
            answers[-1].append(f"{what}: {', '.join(seen)}")
        stage.stop()
        assert stage.code == 0
    compare("answers", *answers)


# --- command lines --------------------------------------------------------------------------------

ARGUMENTS = [
    "--bogus", "-x", "file.conf", "-c", "-c {DIR}/missing.conf", "-c {DIR}", "-p", "-p 0", "-p 65536", "-p -1",
    "-p abc", "--config-file", "--port", "-c {DIR}/mosquitto.conf extra",
]


@pytest.mark.parametrize("arguments", ARGUMENTS)
def test_the_same_command_lines_are_wrong(stages, arguments):
    """With the same code, a message, and before anything is opened."""
    codes = []
    for stage in stages():
        stage.configure(*OPEN)
        stage.start(arguments.split(" "), runs=False)
        stage.stop()
        codes.append(stage.code)
        assert any("Error" in line for line in stage.log.lines + stage.out.lines)
        assert not any("Opening" in line for line in stage.log.lines)
    assert codes == [3, 3]


@pytest.mark.parametrize("option", ["-h", "--help"])
def test_help_is_2_1s(option):
    """2.0.11 ends with 3 after it has helped; we follow 2.1 there."""
    done = [subprocess.run([p, option], capture_output=True, text=True, timeout=20, env=environment()) for p in makes()]
    assert [d.returncode for d in done] == [3, 0]
    described = [set(re.findall(r"^ *(-\w)\b", d.stdout, re.MULTILINE)) for d in done]
    assert described[0] <= described[1]
    assert all(d.stderr == "" for d in done)


# --- wrong lines ----------------------------------------------------------------------------------

SAME_LINES = [
    # known to neither
    "no_such_option true", "ALLOW_ANONYMOUS true",
    # listeners
    "listener", "listener 0", "listener 65536", "listener abc", "listener -1", "listener {PORT2} 127.0.0.1 # a comment",
    "port 65536", "port x", "socket_domain ipv5", "socket_domain", "protocol mqtt", "protocol foo",
    "max_connections 5", "max_connections -1", "max_connections 0x10", "max_qos 3", "max_qos -1", "maximum_qos 1",
    "mount_point a/#", "mount_point a/+/b", "mount_point", "use_username_as_clientid what",
    # booleans
    "allow_anonymous maybe", "allow_anonymous TRUE", "allow_anonymous", "allow_anonymous 1", "allow_anonymous 0",
    "allow_zero_length_clientid x", "connection_messages 2", "log_timestamp perhaps", "persistence maybe",
    "queue_qos0_messages x", "retain_available x", "set_tcp_nodelay x", "upgrade_outgoing_qos x",
    "per_listener_settings maybe", "allow_duplicate_messages x",
    # numbers
    "max_inflight_messages 65536", "max_inflight_messages 0", "max_keepalive 65536", "max_keepalive -1",
    "max_packet_size 10", "max_packet_size 20", "message_size_limit -1", "message_size_limit 268435456",
    "message_size_limit 268435455", "memory_limit -1", "sys_interval -1", "sys_interval 65536", "sys_interval 65535",
    "sys_interval 0", "log_facility 8", "log_facility 7",
    # words
    "log_dest", "log_dest nowhere", "log_dest file", "log_type loud", "log_timestamp_format", "pid_file",
    "persistent_client_expiration 1x", "persistent_client_expiration 0h", "persistent_client_expiration 1h",
    "persistent_client_expiration 2w", "user", "user another", "clientid_prefixes", "include_dir {DIR}/missing",
    "include_dir", "auto_id_prefix", "persistence_file", "auth_opt_x y",
    # blanks and comments
    "# a comment", "allow_anonymous  true", " allow_anonymous true", "", "   ",
    # lines that belong to a bridge that is not there
    "topic a", "address 127.0.0.1", "cleansession true",
]

# What 2.0.11 takes without a word or with one, and we refuse, or the other way round.
OTHER_LINES = [
    ("numbers are numbers (2.1)", 3, ["max_connections abc", "max_connections 5x", "max_connections 5 6", "sys_interval x",
                                      "memory_limit x", "log_facility x"]),
    ("numbers have a range (2.1)", 3, ["max_connections -2", "max_inflight_messages -1", "max_queued_messages -1",
                                       "max_inflight_bytes -1", "max_queued_bytes -1"]),
    ("an empty value is wrong (1.1)", 3, ["max_connections", "log_type", "protocol", "persistent_client_expiration"]),
    ("one word is one word", 3, ["allow_anonymous true true"]),
    ("at most 50 characters (2.0.23)", 3, ["auto_id_prefix " + "a" * 51]),
    ("of 1.x, ignored with a warning", "runs", ["store_clean_interval 10", "ffdc_output x", "trace_level x"]),
    ("of no effect here, ignored with a warning", "runs", ["max_topic_alias 70000", "websockets_headers_size 70000"]),
    ("blanks are blanks", "runs", ["allow_anonymous\ttrue", "\tallow_anonymous true"]),
    ("no limit, as it says", "runs", ["max_packet_size 0", "max_keepalive 0"]),
    ("of 2.1", "runs", ["persistent_client_expiration 5s", "global_max_clients 5", "accept_protocol_versions 3,4"]),
]


def verdict(stage, line):
    """Whether a broker starts with this line; if not, its code, and which line it blames."""
    stage.configure("listener {PORT} 127.0.0.1", "log_type error", line)
    stage.start(FILE, runs=None)
    runs = stage.alive()
    stage.stop()
    if runs:
        return "runs"
    errors = [entry for entry in stage.plain(stage.log.lines) if entry.startswith("Error")]
    places = {place for entry in errors for place in re.findall(r"DIR/mosquitto\.conf:\d+", entry)}
    return f"{stage.code} {max(places, default='')}"


@pytest.mark.parametrize("lines", [SAME_LINES[n::8] for n in range(8)], ids=range(8))
def test_the_same_lines_are_wrong(stages, lines):
    """Both start, or both end with 3 and name the line."""
    said = [[], []]
    for line in lines:
        for number, stage in enumerate(stages()):
            said[number].append(f"{line!r}: {verdict(stage, line)}")
    compare("verdicts", *said)


@pytest.mark.parametrize("reason, expected, lines", OTHER_LINES, ids=[row[0] for row in OTHER_LINES])
def test_these_lines_are_judged_otherwise(stages, reason, expected, lines):
    """The difference is there, so that it leaves the table when it is gone."""
    for line in lines:
        theirs, ours = (verdict(stage, line) for stage in stages())
        assert ours == (expected if expected == "runs" else f"{expected} DIR/mosquitto.conf:4"), line
        assert theirs != ours, f"{line!r} is judged alike by now: {reason}"


# --- $SYS -----------------------------------------------------------------------------------------

SYS = "$SYS/broker/"
SINCE_2_1 = {"connections/socket/count", "packet/out/bytes", "packet/out/count"}
# Both are equal to the digit; all others are compared as it says below.
COUNTED = [
    "clients/total", "clients/connected", "clients/active", "clients/disconnected", "clients/inactive", "clients/expired",
    "messages/received", "messages/sent", "bytes/received", "bytes/sent", "publish/messages/sent",
    "publish/messages/dropped", "publish/bytes/received", "publish/bytes/sent", "subscriptions/count",
    "shared_subscriptions/count",
]
# 2.0.11 keeps $SYS itself among these: what counts is how much is added by messages of clients.
STORED = ["messages/stored", "store/messages/count", "retained messages/count"]
SHAPES = {
    r"version": r"mosquitto version \d+\.\d+\.\d+.*", r"uptime": r"\d+ seconds", r"load/.*": r"\d+\.\d\d",
    r"(?!version|uptime|load/).*": r"\d+",
}


def sys_tree(client):
    """The retained topics below $SYS/broker, as a new subscriber gets them."""
    client.send(subscribe(1, ("$SYS/#", 0)), PING)
    tree = {}
    while True:
        got = client.recv()
        if got.kind == PINGRESP:
            return tree
        if got.kind == PUBLISH and got.retain:
            assert got.topic.startswith(SYS), got
            tree[got.topic.removeprefix(SYS)] = got.payload.decode()
        else:
            assert got.kind in (SUBACK, PUBLISH), got


# Each returns how many PUBLISH packets were sent, and how many clients there were at most, the watcher included.
def nothing(stage):
    return 0, 1


def messages_of_each_qos(stage):
    reader, writer = stage.connect("r"), stage.connect("w")
    reader.subscribe("a", qos=2)
    for qos in (0, 1, 2):
        for _ in range(5):
            writer.publish("a", "12345", qos=qos)
            reader.take()
    return 15, 3


def messages_for_several(stage):
    one, two, writer = stage.connect("one"), stage.connect("two"), stage.connect("w")
    one.subscribe("a/+", "b", "$share/group/a/b")
    two.subscribe("#", "a/b")
    for number in range(40):
        writer.publish("a/b", str(number))
    writer.disconnect()
    return 40, 4


def retained_messages(stage):
    writer = stage.connect("w")
    for number in range(7):
        writer.publish(f"r/{number}", "kept", qos=number % 3, retain=True)
    writer.publish("r/0", "", retain=True)
    writer.publish("r/1", "changed", retain=True)
    writer.disconnect()
    return 9, 2


def queued_and_dropped(stage):
    absent = stage.connect("absent", clean=False)
    absent.subscribe("a", qos=1)
    absent.disconnect()
    slow, writer = stage.connect("slow"), stage.connect("w")
    slow.subscribe("a", qos=1)
    for number in range(7):
        writer.publish("a", str(number), qos=1)
    return 7, 4


def clients_of_all_kinds(stage):
    for number in range(3):
        stage.connect(f"kept{number}", clean=False).disconnect()
    stage.connect("gone").disconnect()
    stage.connect("kept0", clean=True).disconnect()
    stage.connect("kept1", clean=False)
    stage.refused(b"\x10\x00")
    return 0, 5


def trees_after(stages, plays, *lines):
    """For each of these, theirs and ours: what $SYS says after it, and what it returned. All wait at one time."""
    shows = [stages() for _ in plays]
    done = {}
    for play, pair in zip(plays, shows):
        for stage in pair:
            stage.configure(*OPEN, *lines)
            stage.start(FILE)
            done[stage] = stage.connect("watcher"), play(stage)
    time.sleep(3.5)
    return [[(sys_tree(done[stage][0]), done[stage][1]) for stage in pair] for pair in shows]


PLAYS = [messages_of_each_qos, messages_for_several, retained_messages, queued_and_dropped, clients_of_all_kinds]


@pytest.mark.parametrize("play", PLAYS)
def test_sys_says_the_same(stages, play):
    lines = ("sys_interval 1", "max_inflight_messages 1", "max_queued_messages 2")
    before, after = trees_after(stages, [nothing, play], *lines)
    (theirs, _), (ours, (published, most)) = after
    assert set(ours) - SINCE_2_1 == set(theirs)
    assert SINCE_2_1 <= set(ours)
    compare("values", [f"{key}: {theirs[key]}" for key in COUNTED], [f"{key}: {ours[key]}" for key in COUNTED])
    added = [[f"{key}: {int(a[0][key]) - int(b[0][key])}" for key in STORED] for a, b in zip(after, before)]
    compare("stored", *added)
    # 2.0.11 leaves out retained ones and those of QoS 2, and looks for the maximum once in an interval.
    assert int(ours["publish/messages/received"]) == published >= int(theirs["publish/messages/received"])
    assert int(ours["clients/maximum"]) == most >= int(theirs["clients/maximum"])
    assert int(ours["heap/current"]) <= int(ours["heap/maximum"])
    assert int(ours["connections/socket/count"]) >= int(ours["clients/connected"])
    for key, value in ours.items():
        assert any(re.fullmatch(k, key) and re.fullmatch(v, value) for k, v in SHAPES.items()), f"{key}: {value}"
        if key.startswith("load/") and not key.startswith("load/publish/received/"):
            assert float(value) == pytest.approx(float(theirs[key]), rel=0.12, abs=0.1), key


def test_sys_interval_0_turns_it_off(stages):
    ((theirs, _), (ours, _)), = trees_after(stages, [messages_of_each_qos], "sys_interval 0")
    assert set(theirs) == set(ours) == set()


def test_sys_is_there_from_the_first_second(stages):
    trees = []
    for stage in stages():
        stage.configure(*OPEN)
        stage.start(FILE)
        time.sleep(0.9)
        trees.append(sys_tree(stage.connect("watcher")))
    assert set(trees[0]) <= set(trees[1])
    assert {"version", "uptime"} <= set(trees[1])


def test_sys_is_published_at_qos_2(stages):
    seen = []
    for stage in stages():
        stage.configure(*OPEN)
        stage.start(FILE)
        watcher = stage.connect("watcher")
        watcher.subscribe(SYS + "version", qos=2)
        got = watcher.take()
        seen.append((got.topic, got.qos, got.retain))
    assert seen[0] == seen[1] == (SYS + "version", 2, True)
