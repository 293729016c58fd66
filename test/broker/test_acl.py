"""ACL files: what each sentence about them means to raw packets, and that SIGHUP makes others of them.

Names are believed here: a broker without password_file lets everybody in under any.
"""

import signal

import pytest
from broker_process import free_port, whose
from mqtt_wire import CONNACK, PUBLISH, SUBACK, connect, publish, subscribe
from stored_broker import StoredBroker

pytestmark = pytest.mark.ours

ALL = "topic readwrite #\n"
ADMIN = "user admin\n" + ALL


class Guarded:
    """A broker with an ACL file, and clients of it by name."""

    def __init__(self, brokers, directory, text, *lines, stored=False):
        self.own = brokers.own  # who is in there is ended after the test
        self.file = directory / "acl"
        self.file.write_text(text)
        lines = [*lines, f"acl_file {self.file}"]
        if stored:
            self.broker = StoredBroker(directory, lines, verbose=True)
            self.own.append(self.broker)
        else:
            self.broker = brokers.start(*lines)

    def change(self, text):
        self.file.write_text(text)
        self.reload()

    def reload(self):
        broker = self.broker
        broker.log.wait("running$")
        since = len(broker.log.lines)
        broker.process.send_signal(signal.SIGHUP)
        broker.log.wait(r"The configuration was reloaded", since)

    def crash(self):
        """Another process on the same store."""
        self.own.remove(self.broker)
        self.broker.kill()
        self.broker = self.broker.again(verbose=True)
        self.own.append(self.broker)

    def through(self, port, user, client_id=None, **options):
        """A client of another listener."""
        usual, self.broker.port = self.broker.port, port
        try:
            return self.join(user, client_id, **options)
        finally:
            self.broker.port = usual

    def join(self, user=None, client_id=None, **options):
        return self.broker.connect(client_id or self.broker.new_id(), username=user, **options)

    def admin(self):
        return self.join("admin")

    def denied(self, pattern):
        return self.broker.log.wait(r"^.*Client \S+ \[.*\] denied: " + pattern)


@pytest.fixture
def guarded(brokers, tmp_path):
    def start(text, *lines, **options):
        return Guarded(brokers, tmp_path, text, *lines, **options)

    return start


def everything(client, *filters):
    client.subscribe(*(filters or ("#",)))
    return client


def topics(client):
    return [p.topic for p in client.take_all()]


# --- the grammar


@pytest.mark.parametrize("access, written, read", [
    ("read ", False, True),
    ("write ", True, False),
    ("readwrite ", True, True),
    ("", True, True),
    ("deny ", False, False),
])
@pytest.mark.parametrize("user", [None, "joe"])
def test_the_kinds_of_access(guarded, user, access, written, read):
    whose_rule = f"user {user}\n" if user else ""
    g = guarded(f"{whose_rule}topic {access}t\nuser admin\n{ALL}" if user is None else f"{ADMIN}{whose_rule}topic {access}t\n")
    admin = everything(g.admin())
    client = everything(g.join(user))
    client.send(publish("t", "1"))
    got = [p.kind for p in client.ping()]
    assert got == ([PUBLISH] if written and read else [])
    assert topics(admin) == (["t"] if written else [])
    admin.send(publish("t", "2"))
    admin.ping()
    assert topics(client) == (["t"] if read else [])


def test_rules_are_for_whom_they_are_written(guarded):
    g = guarded(f"topic read a\nuser joe\ntopic read j\nuser ann\ntopic read n\n{ADMIN}pattern read all\n")
    admin, nobody, joe, ann, other = g.admin(), g.join(), g.join("joe"), g.join("ann"), g.join("other")
    for client in (nobody, joe, ann, other):
        everything(client)
    for topic in "a", "j", "n", "all":
        admin.publish(topic)
    assert topics(nobody) == ["a", "all"]
    assert topics(joe) == ["j", "all"]
    assert topics(ann) == ["n", "all"]
    assert topics(other) == ["all"]


def test_a_denial_counts_before_a_grant(guarded):
    g = guarded(f"{ADMIN}user joe\ntopic readwrite a/#\ntopic deny a/secret\n")
    admin, joe = everything(g.admin()), everything(g.join("joe"))
    joe.publish("a/secret")
    admin.quiet()
    assert g.denied("publish to 'a/secret'").endswith(f"({g.file}:5, user 'joe').")
    admin.send(publish("a/secret"))
    admin.send(publish("a/open"))
    admin.take_all()
    assert topics(joe) == ["a/open"]


def test_dollar_topics_need_a_rule_with_a_dollar(guarded):
    g = guarded(f"{ADMIN}user sys\ntopic read $SYS/#\n")
    admin, sys = g.admin(), g.join("sys")
    everything(admin, "$SYS/broker/version")
    everything(sys, "$SYS/broker/version")
    admin.quiet()
    assert topics(sys) == ["$SYS/broker/version"]


def test_patterns_with_id_and_name(guarded):
    g = guarded(f"{ADMIN}pattern readwrite of/%c/#\npattern read name/%u\n")
    admin = g.admin()
    one, two = everything(g.join("joe", "one")), everything(g.join("ann", "two"))
    for topic in "of/one/x", "of/two/x", "name/joe", "name/ann":
        admin.publish(topic)
    assert topics(one) == ["of/one/x", "name/joe"]
    assert topics(two) == ["of/two/x", "name/ann"]
    one.publish("of/two/x")
    two.quiet()
    one.send(publish("of/one/y"))
    assert topics(one) == ["of/one/y"]


@pytest.mark.parametrize("client_id, user", [("+", "u"), ("#", "u"), ("i", "+"), ("i", "#"), ("a/+", "u"), ("i", "x#")])
def test_substituted_names_are_no_filters(guarded, client_id, user):
    """CVE-2017-7650."""
    g = guarded(f"{ADMIN}pattern readwrite c/%c\npattern readwrite u/%u\n")
    admin = everything(g.admin())
    odd = everything(g.join(user, client_id))
    for topic in "c/victim", "u/victim", "c/a/victim":
        admin.send(publish(topic))
        odd.publish(topic)
    assert sorted(topics(admin)) == ["c/a/victim", "c/victim", "u/victim"]  # its own alone
    odd.quiet()


def test_an_empty_file_denies_all(guarded):
    """CVE-2018-12550."""
    g = guarded("")
    client = everything(g.join("joe"))
    for qos in 0, 1, 2:
        client.publish("t", "x", qos)
    client.quiet()
    assert "acl_file" in g.denied("publish to 't'")


@pytest.mark.parametrize("bad, line", [("topic\n", 1), ("# well\nuser\n", 2), ("nonsense\n", 1), ("topic a/#/b\n", 1)])
def test_a_bad_file_keeps_the_old_one(guarded, bad, line):
    g = guarded(f"topic t\n{ADMIN}")
    client = everything(g.join())
    g.file.write_text(bad)
    since = len(g.broker.log.lines)
    g.broker.process.send_signal(signal.SIGHUP)
    g.broker.log.wait(f"Error: {g.file}:{line}: ", since)
    g.broker.log.wait("The configuration was not reloaded", since)
    client.send(publish("t"))
    client.send(publish("other"))
    assert topics(client) == ["t"]


# --- on publish


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_a_denied_message_is_acknowledged_and_goes_nowhere(guarded, qos):
    g = guarded(ADMIN)
    admin = everything(g.admin())
    client = g.join("joe")
    client.publish("t", "x", qos)
    client.publish("t", "x", qos, retain=True)
    admin.quiet()
    everything(admin, "t").quiet()
    line = g.denied("publish to 't'")
    assert f"(acl_file {g.file}: no line grants it, user 'joe')" in line and "127.0.0.1:" in line
    g.broker.log.wait(f"Denied PUBLISH from {client.id}")


def test_denials_in_a_flood_are_counted(guarded):
    g = guarded(ADMIN)
    client = g.join("joe")
    for n in range(500):
        client.send(publish(f"t/{n}"))
    client.quiet()
    assert len(g.broker.log.find("denied: publish to")) < 50


def test_a_bridge_is_no_exception(guarded):
    g = guarded(ADMIN)
    admin = everything(g.admin())
    bridge = g.join("remote", level=0x84)
    bridge.publish("t")
    admin.quiet()


# --- wills


def test_a_will_needs_the_right_to_be_written(guarded):
    g = guarded(f"{ADMIN}user joe\ntopic write ok\n")
    client = g.broker.client()
    client.send(connect("w", username="joe", will={"topic": "not"}))
    client.expect(CONNACK, code=5)
    client.expect_closed()
    line = g.broker.log.wait("Client w .* disconnected: will topic not allowed: 'not'")
    assert f"(acl_file {g.file}: no line grants it, user 'joe')" in line
    admin = everything(g.admin())
    g.join("joe", will={"topic": "ok", "payload": "gone"}).reset()
    admin.take("ok", b"gone")


def test_a_will_is_asked_again_when_it_is_due(guarded):
    g = guarded(f"{ADMIN}user joe\ntopic write ok\n")
    admin = everything(g.admin())
    client = g.join("joe", will={"topic": "ok", "payload": "gone"})
    g.change(ADMIN)
    client.reset()
    g.denied("publish to 'ok'")
    admin.quiet()


# --- retained messages


def test_retained_messages_are_for_who_may_read_them(guarded):
    g = guarded(f"{ADMIN}user joe\ntopic read yes\n")
    admin = g.admin()
    for topic in "yes", "no":
        admin.publish(topic, "x", retain=True)
    assert topics(everything(g.join("joe"))) == ["yes"]
    assert topics(everything(g.join("joe"), "no")) == []


@pytest.mark.parametrize("checked", [True, False])
def test_what_an_author_without_rights_has_retained(guarded, checked):
    """CVE-2018-12546."""
    g = guarded(f"{ADMIN}user joe\n{ALL}", *([] if checked else ["check_retain_source false"]))
    joe, admin = g.join("joe"), g.admin()
    joe.publish("t", "x", retain=True)
    joe.publish("both", "x", retain=True)
    admin.publish("both", "y", retain=True)
    joe.disconnect()
    g.change(ADMIN)
    assert sorted(topics(everything(admin))) == (["both"] if checked else ["both", "t"])
    g.change(f"{ADMIN}user joe\n{ALL}")
    assert sorted(topics(everything(g.admin()))) == ["both", "t"]


def test_authors_are_known_after_a_crash(guarded):
    port = free_port()
    g = guarded(f"{ADMIN}user joe\n{ALL}", f"listener {port} 127.0.0.1", stored=True)
    g.through(port, "joe").publish("t", "x", 1, retain=True)
    g.through(port, "admin").publish("mine", "x", 1, retain=True)
    g.file.write_text(ADMIN)
    g.crash()
    assert topics(everything(g.admin())) == ["mine"]
    g.denied("go on retaining 't'")


# --- queued messages


def test_absent_clients_are_queued_what_they_may_read(guarded):
    g = guarded(f"{ADMIN}user joe\ntopic read yes\n")
    client = g.join("joe", "j", clean=False)
    client.subscribe("#", qos=1)
    client.disconnect()
    admin = g.admin()
    for topic in "no", "yes":
        admin.publish(topic, "x", 1)
    g.denied("read 'no'")
    assert topics(g.join("joe", "j", clean=False)) == ["yes"]


@pytest.mark.parametrize("qos", [1, 2])
def test_queued_messages_are_asked_for_again(guarded, qos):
    """CVE-2021-34434 and the like: a right that was taken away takes what waits with it."""
    g = guarded(f"{ADMIN}user joe\ntopic read #\n")
    client = g.join("joe", "j", clean=False)
    client.subscribe("#", qos=qos)
    client.disconnect()
    admin = g.admin()
    for topic in "no", "yes":
        admin.publish(topic, "x", qos)
    g.change(f"{ADMIN}user joe\ntopic read yes\n")
    client = g.join("joe", "j", clean=False)
    client.take("yes", b"x", qos=qos)
    client.quiet()
    client.disconnect()
    g.change(f"{ADMIN}user joe\ntopic read #\n")
    g.join("joe", "j", clean=False).quiet()


def test_rights_of_absent_clients_are_known_after_a_crash(guarded):
    port = free_port()
    g = guarded(f"{ADMIN}user joe\ntopic read yes\n", f"listener {port} 127.0.0.1", stored=True)
    client = g.through(port, "joe", "j", clean=False)
    client.subscribe("#", qos=1)
    client.disconnect()
    g.crash()
    admin = g.admin()
    for topic in "no", "yes":
        admin.publish(topic, "x", 1)
    g.broker.log.wait(r"Client j \[not connected\] denied: read 'no'")
    assert topics(g.through(port, "joe", "j", clean=False)) == ["yes"]


# --- SIGHUP


def test_connected_clients_are_bound_anew(guarded):
    g = guarded(ADMIN)
    admin, joe = everything(g.admin()), everything(g.join("joe"))
    for _ in range(3):
        admin.send(publish("t"))
        joe.send(publish("u"))
        joe.quiet()
        assert topics(admin) == ["t"]
        g.change(f"{ADMIN}user joe\ntopic read t\ntopic write u\n")
        admin.send(publish("t"))
        assert topics(admin) == ["t"]
        joe.send(publish("u"))
        assert topics(joe) == ["t"]
        assert topics(admin) == ["u"]
        g.change(ADMIN)


def test_a_file_may_come_and_go(brokers, tmp_path):
    broker = brokers.start()
    acl = tmp_path / "acl"
    acl.write_text("topic t\n")
    head = broker.config.read_text().splitlines()[:2]
    client = everything(broker.connect())

    def reload(*lines):
        broker.config.write_text("\n".join([*head, *lines, *whose(lines)]) + "\n")
        since = len(broker.log.lines)
        broker.process.send_signal(signal.SIGHUP)
        broker.log.wait("The configuration was reloaded", since)

    broker.log.wait("running$")
    for lines, expected in ((), ["other", "t"]), ((f"acl_file {acl}",), ["t"]), ((), ["other", "t"]):
        reload(*lines)
        client.send(publish("t"), publish("other"))
        assert sorted(topics(client)) == expected


# --- listeners


def test_each_listener_has_its_own_file(brokers, tmp_path):
    """CVE-2018-20145: the first listener no less than others."""
    one, two, port = tmp_path / "one", tmp_path / "two", free_port()
    one.write_text("topic a\n")
    two.write_text("topic b\n")
    broker = brokers.start(f"listener {port} 127.0.0.1", "allow_anonymous true", f"acl_file {two}")
    text = broker.config.read_text().splitlines()
    text = ["per_listener_settings true", *text[:2], f"acl_file {one}", *text[2:]]
    broker.config.write_text("\n".join(text) + "\n")
    broker.stop()
    again = brokers.start(args=["-c", str(broker.config)])
    again.port = broker.port
    first = everything(again.connect())
    again.port = port
    second = everything(again.connect())
    for client in first, second:
        client.send(publish("a"), publish("b"))
        client.ping()
    first.send(publish("a"), publish("b"))
    assert set(topics(first)) == {"a"}
    second.send(publish("a"), publish("b"))
    assert set(topics(second)) == {"b"}


# --- subscriptions


def test_subscriptions_are_granted_unless_told_otherwise(guarded):
    g = guarded(f"{ADMIN}user joe\ntopic read a/+/c\n")
    everything(g.join("joe"), "nothing", "#").quiet()


@pytest.mark.parametrize("topic, code", [
    ("nothing", 0x80), ("a/b", 0x80), ("a/b/d", 0x80), ("w", 0x80), ("no/x", 0x80), ("no/#", 0x80),
    ("$share/g/nothing", 0x80), ("$share/g/a/x/c", 1), ("a/b/c", 1), ("a/+/c", 1), ("a/#", 1), ("#", 1), ("+/+/+", 1),
])
def test_filters_that_match_nothing_readable_may_be_refused(guarded, topic, code):
    g = guarded(f"{ADMIN}user joe\ntopic read a/+/c\ntopic write w\ntopic read no/x\ntopic deny no/#\n", "acl_subscribe check")
    client = g.join("joe")
    client.send(subscribe(1, (topic, 1)))
    assert client.expect(SUBACK, mid=1).codes == [code]
    if code == 0x80:
        g.denied("subscribe to ")
        g.broker.log.wait(r"\(denied\)")
