"""Logins and access rules beside the distribution's mosquitto 2.0.11: who gets in, what is granted, what is delivered.

The tables of login_cases.py and acl_cases.py are played on both brokers, each with the same files. They say what
ours must do. Where 2.0.11 does otherwise, KNOWN has the row with the reason; one that is there although both do the
same fails too, so that the list stays true.
"""

import time
from concurrent.futures import ThreadPoolExecutor

import acl_cases
import auth_scenarios
import login_cases
import mqtt_wire
import pytest
from mqtt_wire import CONNACK, PINGRESP, PUBLISH, SUBACK, Closed, connect, publish, subscribe
from peer_broker import Stage, makes, peer_is_there

pytestmark = pytest.mark.skipif(not peer_is_there(), reason="mosquitto is not installed")

# What 2.0.11 does otherwise: the row, what it does, and why ours does not follow it.
KNOWN = {}


def known(reason, theirs, *rows):
    KNOWN.update((row, (theirs, reason)) for row in rows)


known(
    "a line that is wrong is an error with its number (CVE-2018-12551); 2.0.11 leaves the user out, or locks it out",
    "runs", *(f"{name} / start" for name in (
        "a name that is empty", "a form that nobody knows", "an empty salt", "no hash behind the salt", "an empty hash",
        "a hash that is too short", "a hash that is too long", "a salt of 3 bytes", "no rounds", "0 rounds",
        "rounds below nothing", "rounds that are no number", "base64 that is none", "surplus behind the hash",
        "a broken hash behind good lines")))
known("a user without a password is an error (CVE-2018-12551); 2.0.11 lets nobody in by that name", "runs",
      "a user without a password / start", "a name alone / start")
known("blanks of all kinds are blanks, as in the configuration file", "exit 3", "a tab behind the word / start")
known("a file that cannot be read is a configuration error, as 2.1 says", "exit 13",
      "a password file that is not there / start", "the file is not there / start")
known("the forms of all versions are read", "5", "$6$ with the salt of 2.1 / c six one",
      "$7$ with the salt of 2.1 / c seven one", "argon2id of 2.1 / c argon one", "a password in clear / c alice secret",
      "salts of other lengths / c alice secret", "salts of other lengths / c bob hidden")
known("the first of two lines counts, as in 2.1", "5", "the first of two lines for a name counts / c alice secret")
known("the first of two lines counts, as in 2.1", "0", "the first of two lines for a name counts / c alice other")
known("an id that is not acceptable is refused with the code that MQTT has for it", "5",
      *(f"prefixes of client ids / {who} - -" for who in ("bad", "good", "goo", "x-good-", "GOOD-1")),
      "prefixes and passwords / bad alice secret")
known("a will that would never be sent is refused at once, as in 2.1", "-",
      "mount points are part of what a rule sees / - will b", "every kind of act / alice will r/1",
      "every kind of act / alice will other", "every kind of act / bob will w/1")


class Table:
    """What came of the rows on one broker."""

    def __init__(self):
        self.rows = {}

    def note(self, case, row, outcome):
        self.rows[f"{case.name} / {row}"] = outcome


def judge(expected, theirs, ours):
    """Ours did all that is expected, and theirs too but for what is known."""
    wrong = []
    for row, outcome in expected.items():
        if ours.get(row) != outcome:
            wrong.append(f"{row}: ours {ours.get(row)}, expected {outcome}, theirs {theirs.get(row)}")
        known = KNOWN.get(row)
        if known and theirs.get(row) == outcome:
            wrong.append(f"{row}: is no difference any more")
        elif known and theirs.get(row) != known[0]:
            wrong.append(f"{row}: theirs {theirs.get(row)}, known as {known[0]}")
        elif not known and theirs.get(row) != outcome:
            wrong.append(f"{row}: theirs {theirs.get(row)}, expected {outcome}")
    assert not wrong, "\n" + "\n".join(wrong)


def on_both(tmp_path, play):
    """What `play(stage)` notes on theirs and on ours, at the same time."""
    stages = [Stage(program, tmp_path / str(number)) for number, program in enumerate(makes())]

    def run(stage):
        try:
            return play(stage)
        finally:
            stage.stop()

    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(run, stages))


# --- logins ---------------------------------------------------------------------------------------


def login_lines(case):
    """Two listeners; lines behind @1 and @2 belong to one, others stand before both."""
    parts = {"": [], "@1": [], "@2": []}
    place = ""
    for line in case.lines:
        if line in parts:
            place = line
        else:
            parts[place].append(line)
    per_listener = "per_listener_settings true" in case.lines
    if per_listener and not parts["@2"]:
        parts["@2"] = ["allow_anonymous true"]
    before, behind = (parts[""], []) if per_listener else (([], parts[""]))
    return [*before, "listener {PORT} 127.0.0.1", *behind, *parts["@1"], "listener {PORT2} 127.0.0.1", *parts["@2"]]


def absent(field):
    return {"-": None, "''": ""}.get(field, field)


def attempt(stage, client_id, user, password):
    """The code of the CONNACK, or that there was none."""
    client_id, _, door = client_id.partition("@")
    client = stage.client("PORT2" if door == "2" else "PORT")
    user, password = absent(user), absent(password)
    try:
        client.send_if_open(connect(absent(client_id) or "", username=user, password=password))
        got = client.recv()
        assert got.kind == CONNACK, got
        return str(got.code)
    except Closed:
        return "closed"
    finally:
        client.close()


def play_logins(case, stage):
    table = Table()
    stage.configure(*login_lines(case))
    if case.passwords is not None:
        stage.write("passwords", case.passwords)
    stage.start(runs=None)
    if not stage.alive():
        stage.stop()
        table.note(case, "start", f"exit {stage.code}")
        return table.rows
    table.note(case, "start", "runs")
    for fields in case.attempts:
        table.note(case, " ".join(fields[:3]), attempt(stage, *fields[:3]))
    stage.stop()
    assert stage.code == 0, stage.log.lines
    return table.rows


@pytest.mark.parametrize("case", login_cases.CASES, ids=lambda case: case.name)
def test_the_same_may_come_in(tmp_path, case):
    theirs, ours = on_both(tmp_path, lambda stage: play_logins(case, stage))
    expected = Table()
    expected.note(case, "start", "runs" if case.starts is None else f"exit {case.starts}")
    if case.starts is None:
        for fields in case.attempts:
            expected.note(case, " ".join(fields[:3]), fields[3])
    judge(expected.rows, theirs, ours)


# --- access rules ---------------------------------------------------------------------------------

# Everything that the acts publish; a # does not match what begins with $.
EVERYTHING = ("#", "$other/#", "$third/#", "$a/#", "$x/#", "$up/#", "$dol/#", "$SYS/broker/connection/#")


class Acts:
    """Plays the acts of a file on one stage. `chief` comes in by a listener without rules."""

    def __init__(self, stage, prefix):
        self.stage = stage
        self.prefix = prefix
        self.serial = 0
        self.chief = stage.connect("chief", port="PORT2")
        self.chief.subscribe(*EVERYTHING)
        self.chief.take_all()
        self.writer = stage.connect("writer", port="PORT2")

    def payload(self):
        self.serial += 1
        return f"p{self.serial}".encode()

    def client(self, act, **options):
        return self.stage.connect(act.client_id, username=act.user, **options)

    def arrived(self, payload):
        """Has the chief got it?"""
        return "+" if any(packet.payload == payload for packet in self.chief.take_all()) else "-"

    @staticmethod
    def received(client, payload):
        return "+" if any(packet.payload == payload for packet in client.take_all()) else "-"

    def subscribe(self, client, act, qos=1):
        mid = client.mid()
        client.send(subscribe(mid, (act.filter, qos)))
        return client.expect(SUBACK, mid=mid).codes[0]

    def publish(self, act, payload, retain=False):
        self.writer.publish(self.prefix + act.topic, payload, qos=1, retain=retain)

    def write(self, act):
        payload, client = self.payload(), self.client(act)
        client.publish(act.topic, payload, qos=1)
        client.disconnect()
        return self.arrived(payload)

    def read(self, act):
        payload, client = self.payload(), self.client(act)
        self.subscribe(client, act)
        client.take_all()
        self.publish(act, payload)
        found = self.received(client, payload)
        client.disconnect()
        return found

    def retained(self, act):
        payload = self.payload()
        self.publish(act, payload, retain=True)
        client = self.client(act)
        self.subscribe(client, act)
        found = self.received(client, payload)
        client.disconnect()
        self.publish(act, b"", retain=True)
        return found

    def queued(self, act):
        payload, client = self.payload(), self.client(act, clean=False)
        self.subscribe(client, act)
        client.take_all()
        client.disconnect()
        self.publish(act, payload)
        client = self.client(act, clean=False)
        found = self.received(client, payload)
        client.disconnect()
        self.client(act).disconnect()
        return found

    def will(self, act):
        payload, client = self.payload(), self.stage.client()
        client.send(connect(act.client_id, username=act.user, will={"topic": act.topic, "payload": payload}))
        try:
            code = client.recv().code
        except Closed:
            return "closed"
        if code:
            return str(code)
        client.reset()
        limit = time.monotonic() + 0.3
        while time.monotonic() < limit:
            if self.arrived(payload) == "+":
                return "+"
        return "-"

    def own(self, act):
        payload, client = self.payload(), self.client(act)
        self.subscribe(client, act)
        client.send(publish(act.topic, payload, 0))
        found = self.received(client, payload)
        client.disconnect()
        return found

    def sys(self, act):
        client = self.client(act)
        client.send(subscribe(1, (act.filter, 0)), mqtt_wire.PING)
        found = "-"
        while (got := client.recv()).kind != PINGRESP:
            found = "+" if got.kind == PUBLISH and got.topic == act.topic else found
        client.disconnect()
        return found

    def suback(self, act):
        client = self.client(act)
        code = self.subscribe(client, act, 0)
        client.close()
        return str(code)


def play_acts(file, stage):
    table = Table()
    stage.configure(
        "per_listener_settings true", "listener {PORT} 127.0.0.1", "allow_anonymous true", "acl_file {DIR}/acl",
        *file.lines, "listener {PORT2} 127.0.0.1", "allow_anonymous true")
    if file.text is not None:
        with open(stage.directory / "acl", "w", encoding="utf-8", newline="") as out:
            out.write(file.text)
    stage.start(runs=None)
    if not stage.alive():
        stage.stop()
        table.note(file, "start", f"exit {stage.code}")
        return table.rows
    table.note(file, "start", "runs")
    mounts = [line.split()[1] for line in file.lines if line.startswith("mount_point")]
    acts = Acts(stage, mounts[0] if mounts else "")
    for act in file.acts:
        try:
            table.note(file, act, getattr(acts, act.what)(act))
        except Closed:
            table.note(file, act, "closed")
    stage.stop()
    assert stage.code == 0, stage.log.lines
    return table.rows


@pytest.mark.parametrize("file", acl_cases.FILES, ids=lambda file: file.name)
def test_the_same_is_granted(tmp_path, file):
    theirs, ours = on_both(tmp_path, lambda stage: play_acts(file, stage))
    expected = Table()
    expected.note(file, "start", "runs" if file.exits is None else f"exit {file.exits}")
    for act in file.acts:
        expected.note(file, act, act.expected)
    judge(expected.rows, theirs, ours)


# --- rights that change -----------------------------------------------------------------------------

KEPT = "a file that is wrong or gone changes nothing: the old one stays in force (CVE-2017-7652)"
NOT_BEHIND = "what an author may not write any more is not sent to others (CVE-2018-12546)"
# What ours notes, what 2.0.11 notes instead, and why ours does not.
OTHERWISE = {
    "retained_by_somebody_who_may_not_write_any_more": (
        ["bob ['of the chief']", "chief ['of the chief']", "bob ['of alice', 'of the chief']"],
        ["bob ['of alice', 'of the chief']", "chief ['of alice', 'of the chief']", "bob ['of alice', 'of the chief']"],
        NOT_BEHIND),
    "retained_by_somebody_of_the_same_rules": (
        ["bob ['still granted']"], ["bob ['not for long', 'still granted']"], NOT_BEHIND),
    "a_password_file_that_became_bad": (["alice 0"], ["alice 5"], KEPT),
    "a_password_file_that_is_gone": (["alice 0 5"], ["alice 5 5"], KEPT),
    "a_member_of_a_group_that_may_not_read": (
        [f"alice {[str(n) for n in range(10)]}", "bob []"], ["alice ['0', '2', '4', '6', '8']", "bob []"],
        "nothing of a group is given to a member that may not have it, and so lost"),
    "an_acl_file_that_became_bad": (["['by the old rules']"], ["['by the old rules', 'by the new rules']"], KEPT),
}


@pytest.mark.parametrize("name", auth_scenarios.SCENARIOS)
def test_the_same_comes_of_a_change(tmp_path, name):
    theirs, ours = on_both(tmp_path, lambda stage: auth_scenarios.play(name, stage))
    if name in OTHERWISE:
        expected, instead, _ = OTHERWISE[name]
        assert ours == [*expected, "exit 0"]
        assert theirs == [*instead, "exit 0"]
        assert theirs != ours, "is no difference any more"
    else:
        assert ours == theirs


# --- the table itself -------------------------------------------------------------------------------


def all_rows():
    for case in login_cases.CASES:
        yield f"{case.name} / start"
        if case.starts is None:
            yield from (f"{case.name} / {' '.join(fields[:3])}" for fields in case.attempts)
    for file in acl_cases.FILES:
        yield f"{file.name} / start"
        yield from (f"{file.name} / {act}" for act in file.acts)


def test_the_table_is_as_large_as_it_should_be():
    rows = list(all_rows())
    assert len(rows) == len(set(rows)) >= 150
    assert set(KNOWN) <= set(rows)
