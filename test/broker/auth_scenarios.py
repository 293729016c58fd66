"""Rights that change, and what they mean for what is already there: played on both brokers, what is seen is noted.

A scenario writes its files, starts, acts and notes. `chief` comes in by a second listener that has no rules.
"""

import signal
import time

from login_cases import pbkdf2
from mqtt_wire import CONNACK, PUBACK, PUBCOMP, PUBREC, SUBACK, Closed, connect, publish, pubrel, subscribe
from peer_broker import PEER

SCENARIOS = {}
WITH_ACL = (
    "per_listener_settings true", "listener {PORT} 127.0.0.1", "allow_anonymous true", "acl_file {DIR}/acl",
    "listener {PORT2} 127.0.0.1", "allow_anonymous true",
)
WITH_PASSWORDS = ("listener {PORT} 127.0.0.1", "password_file {DIR}/passwords")
ALL = "topic #\npattern readwrite #\n"
NONE = "topic nothing\n"


def scenario(*lines, acl=None, passwords=None):
    """Register one with these lines and files."""
    def register(play):
        SCENARIOS[play.__name__] = (play, lines, {"acl": acl, "passwords": passwords})
        return play
    return register


def play(name, stage):
    """Its notes, and how the broker ended."""
    act, lines, files = SCENARIOS[name]
    stage.configure(*lines)
    for file, text in files.items():
        if text is not None:
            stage.write(file, text)
    stage.start()
    act(stage)
    stage.stop()
    return stage.outcome().notes + [f"exit {stage.code}"]


def reload(stage, *lines, **files):
    """Other files and, if given, another configuration; returns when they are in force, or refused."""
    for file, text in files.items():
        path = stage.directory / file
        if text is None:
            path.unlink()
        else:
            fresh = stage.write(file + ".new", text)
            fresh.replace(path)
    if lines:
        stage.configure(*lines)
    since = len(stage.log.lines)
    stage.kill(signal.SIGHUP)
    if stage.program != PEER:
        stage.wait_log(r"The configuration was (not )?reloaded", since)
        return
    stage.wait_log("Reloading config", since)
    time.sleep(0.15)


def chief(stage, *filters):
    client = stage.connect("chief", port="PORT2")
    if filters:
        client.subscribe(*filters)
        client.take_all()
    return client


def got(client):
    return [packet.payload.decode() for packet in client.take_all()]


def state(client):
    """Is it still served?"""
    try:
        client.ping()
        return "is there"
    except (Closed, OSError):
        return "was sent away"


def code(stage, client_id, **options):
    """Of the answer to a CONNECT."""
    client = stage.client()
    client.send(connect(client_id, **options))
    try:
        packet = client.recv()
        assert packet.kind == CONNACK
        return packet.code
    except Closed:
        return "closed"


# --- rights of those who are there ----------------------------------------------------------------


@scenario(*WITH_ACL, acl=ALL)
def a_reader_loses_its_right(stage):
    boss, reader = chief(stage), stage.connect("c", username="alice")
    reader.subscribe("a/#", qos=1)
    boss.publish("a/1", "before", qos=1)
    stage.note(got(reader))
    reload(stage, acl=NONE)
    boss.publish("a/1", "after", qos=1)
    stage.note(got(reader))
    reload(stage, acl=ALL)
    boss.publish("a/1", "again", qos=1)
    stage.note(got(reader), state(reader))


@scenario(*WITH_ACL, acl=NONE)
def a_reader_gets_a_right_that_it_did_not_have(stage):
    boss, reader = chief(stage), stage.connect("c", username="alice")
    reader.subscribe("a/#", qos=1)
    boss.publish("a/1", "before", qos=1)
    stage.note(got(reader))
    reload(stage, acl="user alice\ntopic read a/2\n")
    boss.publish("a/1", "not this", qos=1)
    boss.publish("a/2", "this", qos=1)
    stage.note(got(reader))


@scenario(*WITH_ACL, acl=ALL)
def a_writer_loses_its_right(stage):
    boss, writer = chief(stage, "#"), stage.connect("c", username="alice")
    writer.publish("a", "before", qos=1)
    reload(stage, acl="user alice\ntopic write b\n")
    writer.publish("a", "after", qos=1)
    writer.publish("b", "elsewhere", qos=1)
    stage.note(got(boss), state(writer))


@scenario(*WITH_ACL, acl="user alice\ntopic a\n")
def rights_go_by_the_name_that_was_given(stage):
    """A reload changes rules, not who somebody is."""
    boss = chief(stage, "#")
    alice, bob = stage.connect("one", username="alice"), stage.connect("two", username="bob")
    reload(stage, acl="user bob\ntopic a\n")
    alice.publish("a", "of alice", qos=1)
    bob.publish("a", "of bob", qos=1)
    stage.note(got(boss))


@scenario(*WITH_ACL, acl="pattern write c/%c/#\npattern write u/%u/#\n")
def patterns_after_a_reload(stage):
    boss, writer = chief(stage, "#"), stage.connect("one", username="alice")
    for topic in ("c/one/x", "u/alice/x", "c/alice/x"):
        writer.publish(topic, topic, qos=1)
    reload(stage, acl="pattern write c/%u/#\n")
    for topic in ("c/one/x", "u/alice/x", "c/alice/x"):
        writer.publish(topic, topic, qos=1)
    stage.note(got(boss))


# --- what is there already ------------------------------------------------------------------------


@scenario(*WITH_ACL, acl=ALL)
def retained_by_somebody_who_may_not_write_any_more(stage):
    boss, author = chief(stage), stage.connect("author", username="alice")
    author.publish("a/1", "of alice", retain=True, qos=1)
    boss.publish("a/2", "of the chief", retain=True, qos=1)
    author.disconnect()
    reload(stage, acl="user bob\ntopic read #\n")
    reader = stage.connect("reader", username="bob")
    reader.subscribe("a/#")
    stage.note("bob", sorted(got(reader)))
    boss.subscribe("a/#")
    stage.note("chief", sorted(got(boss)))
    reload(stage, acl=ALL)
    reader.subscribe("a/+")
    stage.note("bob", sorted(got(reader)))


@scenario("listener {PORT} 127.0.0.1", "allow_anonymous true", "acl_file {DIR}/acl",
          acl="user alice\ntopic a/#\nuser bob\ntopic read #\n")
def retained_by_somebody_of_the_same_rules(stage):
    """As before, with one file for all listeners."""
    author = stage.connect("author", username="alice")
    author.publish("a/1", "not for long", retain=True, qos=1)
    author.publish("a/2", "still granted", retain=True, qos=1)
    author.disconnect()
    reload(stage, acl="user alice\ntopic write a/2\nuser bob\ntopic read #\n")
    reader = stage.connect("reader", username="bob")
    reader.subscribe("a/#")
    stage.note("bob", got(reader))


@scenario(*WITH_ACL, "check_retain_source false", acl=ALL)
def retained_whoever_wrote_it(stage):
    author = stage.connect("author", username="alice")
    author.publish("a/1", "of alice", retain=True, qos=1)
    author.disconnect()
    reload(stage, acl="user bob\ntopic read #\n")
    reader = stage.connect("reader", username="bob")
    reader.subscribe("a/#")
    stage.note("bob", got(reader))


@scenario(*WITH_ACL, acl="user alice\ntopic a/mine\nuser bob\ntopic read #\n")
def a_retained_message_that_may_not_be_written(stage):
    """It neither replaces nor removes what is retained."""
    boss, writer = chief(stage), stage.connect("c", username="alice")
    boss.publish("a/theirs", "stands", retain=True, qos=1)
    writer.publish("a/theirs", "changed", retain=True, qos=1)
    writer.publish("a/theirs", "", retain=True, qos=1)
    writer.publish("a/mine", "mine", retain=True, qos=1)
    reader = stage.connect("reader", username="bob")
    reader.subscribe("a/#")
    stage.note(sorted(got(reader)))


@scenario(*WITH_ACL, acl=ALL)
def queued_before_the_right_was_lost(stage):
    boss, reader = chief(stage), stage.connect("c", username="alice", clean=False)
    reader.subscribe("a/#", "b/#", qos=1)
    reader.disconnect()
    boss.publish("a/1", "lost", qos=1)
    boss.publish("b/1", "kept", qos=1)
    reload(stage, acl="user alice\ntopic read b/#\n")
    reader = stage.connect("c", username="alice", clean=False)
    stage.note(got(reader))


@scenario(*WITH_ACL, acl="user alice\ntopic read a/#\nuser bob\ntopic read b/#\n")
def a_session_that_somebody_else_takes_over(stage):
    """The same client id under another name: what was queued for the first is not for the second."""
    boss, reader = chief(stage), stage.connect("c", username="alice", clean=False)
    reader.subscribe("a/#", "b/#", qos=1)
    reader.disconnect()
    boss.publish("a/1", "for alice", qos=1)
    other = stage.connect("c", username="bob", clean=False)
    stage.note("bob", got(other))
    boss.publish("a/2", "for alice", qos=1)
    boss.publish("b/2", "for bob", qos=1)
    stage.note("bob", got(other))


@scenario(*WITH_ACL, acl=ALL)
def a_will_whose_right_is_lost(stage):
    boss = chief(stage, "#")
    dying = [stage.connect(who, username=who, will={"topic": f"w/{who}", "payload": who}) for who in ("alice", "bob")]
    reload(stage, acl="user alice\ntopic write w/alice\n")
    since = len(stage.log.lines)
    for client in dying:
        client.reset()
        stage.wait_log(f"Client {client.id} ", since)
    boss.ping()
    limit = time.monotonic() + 0.5
    arrived = []
    while time.monotonic() < limit:
        arrived += got(boss)
    stage.note(sorted(arrived))


@scenario(*WITH_ACL, acl="user alice\ntopic write yes\n")
def answers_to_what_is_denied(stage):
    """As to what is granted: MQTT 3.1.1 has no other words."""
    writer = stage.connect("c", username="alice")
    for topic in ("yes", "no"):
        writer.send(publish(topic, "x", 1, 5))
        stage.note(writer.expect(PUBACK, mid=5))
        for dup in (False, True):
            writer.send(publish(topic, "x", 2, 6, dup=dup))
            stage.note(writer.expect(PUBREC, mid=6))
        writer.send(pubrel(6))
        stage.note(writer.expect(PUBCOMP, mid=6))
    stage.note(state(writer))


@scenario(*WITH_ACL, acl="user alice\ntopic read a\n")
def subscriptions_are_granted_whatever_they_say(stage):
    reader = stage.connect("c", username="alice")
    reader.send(subscribe(1, ("a", 2), ("b", 1), ("#", 0), ("$SYS/#", 2), ("$share/g/b", 1)))
    stage.note(reader.expect(SUBACK))
    reader.unsubscribe("a", "b")
    reader.unsubscribe("no such")
    stage.note(state(reader))


@scenario(*WITH_ACL, acl="user alice\ntopic read g/#\n")
def a_member_of_a_group_that_may_not_read(stage):
    """The others get everything."""
    boss = chief(stage)
    alice, bob = stage.connect("one", username="alice"), stage.connect("two", username="bob")
    alice.subscribe("$share/group/g/#", qos=1)
    bob.subscribe("$share/group/g/#", qos=1)
    for number in range(10):
        boss.publish("g/x", str(number), qos=1)
    stage.note("alice", got(alice))
    stage.note("bob", got(bob))


@scenario(*WITH_ACL, acl="user alice\ntopic write up/#\ntopic read down/#\n")
def a_client_that_says_it_is_a_bridge(stage):
    """Its level byte opens nothing."""
    boss, writer = chief(stage, "#"), stage.connect("writer", port="PORT2")
    for level in (0x83, 0x84):
        client = stage.connect(f"c{level}", username="alice", level=level)
        client.subscribe("#", qos=1)
        for topic in ("up/1", "down/1"):
            client.send(publish(topic, f"{topic} {level}"))
        client.quiet()
        writer.publish("down/2", "for it", qos=1)
        writer.publish("up/2", "not for it", qos=1)
        stage.note(level, got(client))
        client.disconnect()
    stage.note(sorted(got(boss)))


@scenario(
    "per_listener_settings true", "listener {PORT} 127.0.0.1", "allow_anonymous true", "acl_file {DIR}/acl",
    "listener {PORT2} 127.0.0.1", "allow_anonymous true", "acl_file {DIR}/other",
    acl="topic write a\ntopic read b\n",
)
def two_listeners_with_rules_of_their_own(stage):
    one = stage.connect("one")
    one.subscribe("#")
    two = stage.connect("two", port="PORT2")
    two.subscribe("#")
    seen = {"one": [], "two": []}
    for topic in ("a", "b"):
        for who, client in (("one", one), ("two", two)):
            client.send(publish(topic, f"{who} to {topic}"))
            seen[who] += got(client)
    for who, client in (("one", one), ("two", two)):
        stage.note(who, sorted(seen[who] + got(client)))


SCENARIOS["two_listeners_with_rules_of_their_own"][2]["other"] = "topic write b\ntopic read a\n"


@scenario("listener {PORT} 127.0.0.1", "allow_anonymous true")
def rules_that_come(stage):
    reader, writer = stage.connect("r", username="bob"), stage.connect("c", username="alice")
    reader.subscribe("#")
    writer.publish("a", "without rules", qos=1)
    stage.note(got(reader))
    reload(stage, "listener {PORT} 127.0.0.1", "allow_anonymous true", "acl_file {DIR}/acl",
           acl="user alice\ntopic write b\nuser bob\ntopic read #\n")
    writer.publish("a", "with rules", qos=1)
    writer.publish("b", "with rules, granted", qos=1)
    stage.note(got(reader))


@scenario("listener {PORT} 127.0.0.1", "allow_anonymous true", "acl_file {DIR}/acl", acl=NONE)
def rules_that_go(stage):
    reader, writer = stage.connect("r", username="bob"), stage.connect("c", username="alice")
    reader.subscribe("#")
    writer.publish("a", "with rules", qos=1)
    stage.note(got(reader))
    reload(stage, "listener {PORT} 127.0.0.1", "allow_anonymous true")
    writer.publish("a", "without rules", qos=1)
    stage.note(got(reader))


# --- passwords ------------------------------------------------------------------------------------


@scenario(*WITH_PASSWORDS, passwords=pbkdf2("alice", "one"))
def new_passwords(stage):
    stage.note(code(stage, "c", username="alice", password="one"), code(stage, "c", username="bob", password="two"))
    reload(stage, passwords=pbkdf2("alice", "changed") + pbkdf2("bob", "two"))
    stage.note(code(stage, "c", username="alice", password="one"), code(stage, "c", username="bob", password="two"),
               code(stage, "c", username="alice", password="changed"))


@scenario(*WITH_PASSWORDS, passwords=pbkdf2("alice", "one") + pbkdf2("bob", "two") + pbkdf2("carol", "three"))
def those_who_are_there_when_passwords_change(stage):
    clients = [stage.connect(who, username=who, password=word)
               for who, word in (("alice", "one"), ("bob", "two"), ("carol", "three"))]
    reload(stage, passwords=pbkdf2("alice", "one") + pbkdf2("bob", "changed"))
    for client in clients:
        stage.note(client.id, state(client))


@scenario("listener {PORT} 127.0.0.1", "allow_anonymous true")
def nobody_by_name_any_more(stage):
    clients = [stage.connect("nobody"), stage.connect("somebody", username="alice", password="x")]
    reload(stage, "listener {PORT} 127.0.0.1", "allow_anonymous false")
    for client in clients:
        stage.note(client.id, state(client))
    stage.note(code(stage, "c"))


@scenario(*WITH_PASSWORDS, passwords=pbkdf2("alice", "one"))
def a_password_file_that_became_bad(stage):
    reload(stage, passwords="alice:$7$broken\nbob:$6$broken\n")
    stage.note("alice", code(stage, "c", username="alice", password="one"))


@scenario(*WITH_PASSWORDS, passwords=pbkdf2("alice", "one"))
def a_password_file_that_is_gone(stage):
    reload(stage, passwords=None)
    stage.note("alice", code(stage, "c", username="alice", password="one"), code(stage, "c"))


@scenario(*WITH_ACL, acl="user alice\ntopic write a\n")
def an_acl_file_that_became_bad(stage):
    boss, writer = chief(stage, "#"), stage.connect("c", username="alice")
    reload(stage, acl="user alice\ntopic write b\nnonsense\n")
    writer.publish("a", "by the old rules", qos=1)
    writer.publish("b", "by the new rules", qos=1)
    stage.note(got(boss))


@scenario(*WITH_ACL, acl="user alice\ntopic write a\n")
def an_acl_file_that_became_empty(stage):
    boss, writer = chief(stage, "#"), stage.connect("c", username="alice")
    reload(stage, acl="")
    writer.publish("a", "a", qos=1)
    stage.note(got(boss))
