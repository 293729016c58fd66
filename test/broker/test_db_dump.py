"""mosquitto_db_dump: what a store holds, while the broker runs, after it was killed, and when it is damaged.

Everything that a test has clients do must be found in the print, in both forms; and looking must not leave
a trace.
"""

import json
import os
import re
import shutil
import subprocess
import time
from pathlib import Path

import mqtt_wire
import pytest
from broker_process import binary, environment
from mosquitto_db import Database
from stored_broker import (
    SMALL_SEGMENTS, UNLIMITED, absent_session, fingerprint, runs,  # noqa: F401
    send_numbered,
)

LIMIT = 60
EVIL = 'say "hi" \\ \x1b[2J\n\x85\u00e9'


def dump(*arguments):
    return subprocess.run(
        [Path(binary()).parent / "mosquitto_db_dump", *map(str, arguments)],
        capture_output=True, env=environment(), timeout=LIMIT, check=False,
    )


def text_of(*arguments):
    """A dump without complaint, as text."""
    done = dump(*arguments)
    assert (done.returncode, done.stderr) == (0, b""), done
    return done.stdout.decode()


def lines_of(*arguments):
    return text_of(*arguments).splitlines()


def objects_of(*arguments):
    """The same in JSON."""
    return [json.loads(line) for line in lines_of("--json", *arguments)]


def of_type(objects, kind, **fields):
    return [o for o in objects if o["type"] == kind and all(o.get(k) == v for k, v in fields.items())]


def fill(broker):
    """A bit of everything. Clients that are still connected afterwards: adam alone."""
    absent_session(broker, "zoe", ("z/#", 1), ("$share/g/z", 2))
    adam = broker.connect("adam", clean=False)
    adam.subscribe(("a/+", 2))
    sender = broker.connect("sender", clean=False)
    sender.publish("a/1", "finished", qos=1)
    adam.take("a/1")
    sender.publish("a/1", "sent", qos=1)
    adam.expect(mqtt_wire.PUBLISH, payload="sent")
    sender.publish("a/2", "received", qos=2)
    got = adam.expect(mqtt_wire.PUBLISH, payload="received")
    adam.send(mqtt_wire.pubrec(got.mid))
    adam.expect(mqtt_wire.PUBREL, mid=got.mid)
    sender.publish("z/1", "waiting", qos=2)
    sender.publish("r/text", "kept", qos=1, retain=True)
    sender.publish("r/bytes", b"\x00\x01\xff", retain=True)
    sender.send(mqtt_wire.publish("nobody", "x", 2, 77))
    sender.expect(mqtt_wire.PUBREC, mid=77)
    sender.disconnect()


# --- what is shown ----------------------------------------------------------------------------


def test_everything_is_shown_while_the_broker_runs(runs):
    broker = runs.start()
    fill(broker)
    lines = [re.sub(r" since=\S+Z", "", line) for line in lines_of(broker.location)]
    assert lines == [
        'session client="adam" state=connected queued=0 inflight=2 subscriptions=1 next_seq=4 last_id=3',
        'subscription client="adam" qos=2 filter="a/+"',
        'message client="adam" seq=2 qos=1 state=wait_puback id=2 topic="a/1" bytes=4 payload="sent"',
        'message client="adam" seq=3 qos=2 state=wait_pubcomp id=3',
        'session client="sender" state=absent queued=0 inflight=0 subscriptions=0 next_seq=1 last_id=0',
        'inbound client="sender" id=77',
        'session client="zoe" state=absent queued=1 inflight=0 subscriptions=2 next_seq=2 last_id=0',
        'subscription client="zoe" qos=2 filter="$share/g/z"',
        'subscription client="zoe" qos=1 filter="z/#"',
        'message client="zoe" seq=1 qos=1 state=queued topic="z/1" bytes=7 payload="waiting"',
        'retained qos=0 topic="r/bytes" bytes=3 payload="\\x00\\x01\\xff"',
        'retained qos=1 topic="r/text" bytes=4 payload="kept"',
    ]


def test_json_says_the_same(runs):
    broker = runs.start()
    fill(broker)
    objects = objects_of(broker.location)
    assert [o["type"] for o in objects] == [line.split()[0] for line in lines_of(broker.location)]
    assert of_type(objects, "message", client="zoe") == [{
        "type": "message", "client": "zoe", "seq": 1, "qos": 1, "state": "queued", "topic": "z/1",
        "bytes": 7, "payload": "waiting",
    }]
    assert of_type(objects, "session", client="adam")[0]["state"] == "connected"
    since = of_type(objects, "session", client="zoe", state="absent")[0]["since"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", since)
    assert of_type(objects, "retained", topic="r/bytes")[0]["payload_hex"] == "0001ff"
    assert of_type(objects, "retained", topic="r/text")[0]["payload"] == "kept"
    assert of_type(objects, "inbound") == [{"type": "inbound", "client": "sender", "id": 77}]


def test_the_store_is_the_same_after_a_kill_and_a_start(runs):
    """But for who is connected."""
    broker = runs.start()
    fill(broker)
    before = lines_of(broker.location)
    broker.kill()
    assert lines_of(broker.location) == before
    broker = runs.again(broker)
    broker.stop()
    after = lines_of(broker.location)
    no_state = re.compile(r" state=(connected|absent since=\S+)")
    assert [no_state.sub("", line) for line in after] == [no_state.sub("", line) for line in before]


def test_one_client_alone(runs):
    broker = runs.start()
    fill(broker)
    everything = lines_of(broker.location)
    assert lines_of("--client", "zoe", broker.location) == [x for x in everything if 'client="zoe"' in x]
    nobody = dump("--client", "zo", broker.location)
    assert (nobody.returncode, nobody.stdout) == (0, b"")
    assert b'no session of the client "zo"' in nobody.stderr


def test_payloads_in_the_form_that_is_asked_for(runs):
    broker = runs.start()
    client = broker.connect()
    # The 64th byte is within a character: what is cut stays UTF-8.
    long = "x" + "\u00e9" * 1500
    client.publish("long", long, retain=True)
    topic = "retained qos=0 topic=\"long\" bytes=3001"
    assert lines_of(broker.location) == [f'{topic} payload="x{long[1:32]}"...']
    assert lines_of("-p", "none", broker.location) == [topic]
    assert lines_of("-p", "text", broker.location) == [f'{topic} payload="{long}"']
    assert lines_of("-p", "hex", broker.location) == [f"{topic} payload_hex={long.encode().hex()}"]
    assert objects_of(broker.location)[0] == {
        "type": "retained", "qos": 0, "topic": "long", "bytes": 3001, "payload": long[:32], "cut": True}
    assert objects_of("-p", "text", broker.location)[0]["payload"] == long
    assert objects_of("-p", "hex", broker.location)[0]["payload_hex"] == long.encode().hex()
    assert set(objects_of("-p", "none", broker.location)[0]) == {"type", "qos", "topic", "bytes"}


def test_what_clients_write_cannot_break_a_line(runs):
    broker = runs.start()
    broker.connect('c" state=x', clean=False).disconnect()
    broker.connect().publish('t" \\', EVIL, retain=True)
    output = text_of(broker.location)
    assert output.count("\n") == 2
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", output)
    assert r'client="c\" state=x" state=absent' in output
    assert r'topic="t\" \\" ' in output
    assert r'payload="say \"hi\" \\ \x1b[2J\x0a\xc2\x85é"' in output
    found = objects_of(broker.location)
    assert found[0]["client"] == 'c" state=x'
    assert found[1]["topic"] == 't" \\'
    assert bytes.fromhex(found[1]["payload_hex"]).decode() == EVIL
    broker.connect().publish('t" \\', "two\nlines\t\u00e9", retain=True)
    assert objects_of(broker.location)[1]["payload"] == "two\nlines\t\u00e9"


def test_figures(runs):
    broker = runs.start(UNLIMITED)
    fill(broker)
    for n in range(12):
        absent_session(broker, f"q{n:02}", f"q/{n}")
        send_numbered(broker.connect(), f"q/{n}", range(n + 1))
    found = objects_of("--stats", broker.location)
    assert len(of_type(found, "store")) == 1
    store = of_type(found, "store")[0]
    assert store["bytes"] == broker.size() and store["segments"] == len(broker.segments())
    assert store["damaged_places"] == 0
    assert 0 < store["live_bytes"] < store["bytes"]
    assert store["dead_bytes"] == store["bytes"] - store["live_bytes"]
    kinds = {o["kind"]: o for o in of_type(found, "records")}
    assert kinds["message"]["records"] == 6 + sum(range(1, 13))
    assert kinds["in_add"]["records"] == 2 + 1
    assert kinds["message"]["bytes"] > 200 * sum(range(1, 13))
    assert 0 < kinds["queue"]["frames"] <= kinds["queue"]["records"]
    assert of_type(found, "sessions") == [{"type": "sessions", "connected": 1, "absent": 14}]
    assert of_type(found, "subscriptions")[0]["plain"] == 14
    assert of_type(found, "subscriptions")[0]["shared"] == 1
    assert of_type(found, "messages") == [{
        "type": "messages", "queued": 1 + sum(range(1, 13)), "wait_puback": 1, "wait_pubrec": 0,
        "wait_pubcomp": 1}]
    assert of_type(found, "inbound")[0]["ids"] == 1
    assert of_type(found, "retained")[0]["messages"] == 2
    queues = of_type(found, "queue")
    assert [q["client"] for q in queues] == [f"q{n:02}" for n in range(11, 1, -1)]
    assert [q["messages"] for q in queues] == list(range(12, 2, -1))
    words = [line.split()[0] for line in lines_of("--stats", broker.location)]
    assert words == [o["type"] for o in found]


# --- beside a broker that goes on -------------------------------------------------------------


@pytest.mark.slow
def test_each_look_at_a_busy_broker_is_whole(runs):
    """Segments are made and cleaned all the time; a print is the state at one moment of it."""
    broker = runs.start(UNLIMITED, SMALL_SEGMENTS)
    absent_session(broker, "full", "full")
    absent_session(broker, "churn", "churn")
    writer = broker.connect()
    send_numbered(writer, "full", range(300))
    oldest = {broker.segments()[0].name}
    sent, seen, end = 0, 0, time.monotonic() + LIMIT
    while len(oldest) < 5 and time.monotonic() < end:
        looker = subprocess.Popen(
            [Path(binary()).parent / "mosquitto_db_dump", "--json", broker.location],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment())
        send_numbered(writer, "churn", range(sent, sent + 150), at_once=30)
        sent += 150
        reader = broker.connect("churn", clean=False)
        reader.take_all()
        reader.disconnect()
        output, complaint = looker.communicate(timeout=LIMIT)
        assert (looker.returncode, complaint) == (0, b"")
        objects = [json.loads(line) for line in output.splitlines()]
        full = [int(o["payload"].split()[0]) for o in of_type(objects, "message", client="full")]
        churn = [int(o["payload"].split()[0]) for o in of_type(objects, "message", client="churn")]
        assert full == list(range(300))
        assert churn == list(range(churn[0], churn[0] + len(churn))) if churn else True
        session = of_type(objects, "session", client="churn")[0]
        assert session["queued"] + session["inflight"] == len(churn)
        assert session["next_seq"] - 1 >= seen
        seen = session["next_seq"] - 1
        oldest.add(broker.segments()[0].name)
    assert len(oldest) == 5, "nothing was cleaned: this test has looked at nothing difficult"


def test_queues_larger_than_memory_are_shown_from_the_journal(runs):
    """More payload than the program keeps; read again where it lies, in order."""
    broker = runs.start(UNLIMITED, "persistence_segment_size 16777216")
    absent_session(broker, "big", "big")
    writer = broker.connect()
    for n in range(100):
        writer.publish("big", f"{n} ".encode() + b"x" * 1000000, qos=1)
    objects = objects_of(broker.location)
    assert [int(o["payload"].split()[0]) for o in of_type(objects, "message")] == list(range(100))
    assert all(o["bytes"] > 1000000 for o in of_type(objects, "message"))


def test_looking_leaves_no_trace(runs):
    broker = runs.start()
    fill(broker)
    broker.kill()
    os.truncate(broker.segments()[-1], broker.segments()[-1].stat().st_size - 3)
    before = fingerprint(broker.location)
    times = {p: p.stat().st_mtime_ns for p in broker.journal.iterdir()}
    dump(broker.location)
    dump("--stats", broker.location)
    assert fingerprint(broker.location) == before
    assert {p: p.stat().st_mtime_ns for p in broker.journal.iterdir()} == times


# --- damage -----------------------------------------------------------------------------------


def test_a_torn_tail_is_no_damage(runs):
    broker = runs.start()
    fill(broker)
    whole = lines_of(broker.location)
    broker.kill()
    os.truncate(broker.segments()[-1], broker.segments()[-1].stat().st_size - 3)
    # The last frame held the departure of the client that was the last to act.
    assert len(lines_of(broker.location)) >= len(whole) - 1


def test_damage_is_named_and_the_rest_is_shown(runs):
    broker = runs.start(UNLIMITED, SMALL_SEGMENTS)
    absent_session(broker, "absent", "d")
    send_numbered(broker.connect(), "d", range(900))
    broker.stop()
    middle = broker.segments()[1]
    with open(middle, "r+b") as file:
        file.seek(30000)
        file.write(b"\xa5\x5a\xa5")
    before = fingerprint(broker.location)
    done = dump("--json", broker.location)
    assert done.returncode == 1
    offset = re.search(rb"damage in (\S+) at offset (\d+)", done.stderr)
    assert offset and offset[1].decode() == middle.name, done.stderr
    assert 30000 - 5000 < int(offset[2]) <= 30000
    left = [int(o["payload"].split()[0]) for o in of_type(map(json.loads, done.stdout.splitlines()), "message")]
    assert left == sorted(set(left))
    assert 800 < len(left) < 900
    assert {0, 899} < set(left)
    assert fingerprint(broker.location) == before
    stats = dump("--stats", "--json", broker.location)
    assert stats.returncode == 1
    assert json.loads(stats.stdout.splitlines()[0])["damaged_places"] == 1


def test_no_byte_of_a_store_can_crash_it(runs):
    broker = runs.start()
    fill(broker)
    broker.stop()
    segment = broker.segments()[0]
    good = segment.read_bytes()
    for at in range(0, len(good), max(1, len(good) // 60)):
        segment.write_bytes(good[:at] + bytes([good[at] ^ 0x41]) + good[at + 1 :])
        done = dump("--json", broker.location)
        assert done.returncode in (0, 1), (at, done)
        assert b"Sanitizer" not in done.stderr, (at, done.stderr)
        for line in done.stdout.splitlines():
            json.loads(line)
    segment.write_bytes(good)


# --- which store, and how ---------------------------------------------------------------------


def test_each_name_of_a_store_finds_it(runs, tmp_path):
    broker = runs.start()
    fill(broker)
    broker.stop()
    wanted = text_of(broker.journal)
    assert wanted
    copy = tmp_path / "elsewhere"
    shutil.copytree(broker.journal, copy)
    for name in (broker.location, f"{broker.location}/", broker.location / "mosquitto.db", f"{broker.journal}/", copy):
        assert text_of(name) == wanted, name


def test_an_empty_journal_holds_nothing(tmp_path):
    (tmp_path / "mosquitto.db.journal").mkdir()
    done = dump(tmp_path)
    assert (done.returncode, done.stdout) == (0, b"")
    assert b"empty" in done.stderr


def test_mosquittos_own_file_is_told_from_a_journal(tmp_path):
    for version in (3, 4, 5, 6):
        old = Database(version).config().write(tmp_path / "mosquitto.db")
        for name in (tmp_path, old):
            done = dump(name)
            assert (done.returncode, done.stdout) == (3, b"")
            assert str(old).encode() in done.stderr and b"imports it" in done.stderr


@pytest.mark.parametrize("made, name, word", [
    ([], "nothing", "No such file"),
    ([], ".", "has no journal"),
    (["a.journal/", "b.journal/", "c.journal/"], ".", "name one"),
    (["file"], "file", "is no journal"),
    (["x.journal/0000000000000000.seg"], "x.journal/0000000000000000.seg", "one segment"),
])
def test_what_is_no_store_is_refused(tmp_path, made, name, word):
    for path in made:
        (tmp_path / path).parent.mkdir(exist_ok=True)
        if path.endswith("/"):
            (tmp_path / path).mkdir()
        else:
            (tmp_path / path).write_bytes(b"\0")
    done = dump(tmp_path / name)
    assert (done.returncode, done.stdout) == (3, b"")
    assert done.stderr.count(b"\n") == 1 and word.encode() in done.stderr, done.stderr


@pytest.mark.parametrize("arguments, word", [
    ([], "which store"),
    ([""], "which store"),
    (["--jason", "x"], "--jason"),
    (["-x", "x"], "-x"),
    (["--client"], "needs a value"),
    (["--payload", "base64", "x"], "none, text or hex"),
    (["x", "y"], '"y"'),
    (["--stats", "--client", "c", "x"], "--client"),
    (["--stats", "--payload", "hex", "x"], "--payload"),
])
def test_wrong_usage_is_one_line(arguments, word):
    done = dump(*arguments)
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr.count(b"\n") == 1 and word.encode() in done.stderr, done.stderr


def test_help_names_every_option():
    done = dump("--help")
    assert (done.returncode, done.stderr) == (0, b"")
    for word in (b"--json", b"--stats", b"--payload", b"--client", b"Exit code"):
        assert word in done.stdout


def test_a_full_disk_is_told(runs):
    broker = runs.start()
    fill(broker)
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [Path(binary()).parent / "mosquitto_db_dump", broker.location], stdout=full,
            stderr=subprocess.PIPE, env=environment(), timeout=LIMIT, check=False)
    assert done.returncode == 3
    assert b"cannot write" in done.stderr
