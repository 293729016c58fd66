"""SIGHUP starts, stops and changes exactly the bridges whose sections changed."""

import contextlib

import pytest
from listener_tools import reload
from mqtt_wire import CONNECT, PUBLISH, Closed
from remote_broker import HOST, remote, remotes, section  # noqa: F401

pytestmark = pytest.mark.ours
OUT = ("topic a/# out 1",)


def works(broker, link, topic="a/1", there=None):
    """A message goes over, on this connection, and nothing came before it."""
    broker.connect().publish(topic, "works", qos=1)
    link.take(there or topic, "works")


def test_one_more(brokers, remotes):
    one, two = remotes.start(), remotes.start()
    broker = brokers.start(*section(one, *OUT, name="one"))
    left = one.welcome(outs=["a/#"])
    reload(broker, *section(one, *OUT, name="one"), *section(two, *OUT, name="two"))
    right = two.welcome(outs=["a/#"])
    broker.connect().publish("a/1", "to both", qos=1)
    left.take("a/1", "to both")
    right.take("a/1", "to both")
    one.nobody(0.2)


def test_one_less(brokers, remotes):
    one, two = remotes.start(), remotes.start()
    broker = brokers.start(*section(one, *OUT, name="one"), *section(two, *OUT, name="two"))
    left, right = one.welcome(outs=["a/#"]), two.welcome(outs=["a/#"])
    reload(broker, *section(one, *OUT, name="one"))
    assert right.expect_end(), "no DISCONNECT"
    broker.log.wait(r"Bridge two stopped: removed from the configuration\.$")
    works(broker, left)
    two.nobody(1.3)
    assert not broker.log.find("Bridge one (disconnected|stopped)")


def test_the_first_and_the_last(brokers, remote):
    broker = brokers.start()
    reload(broker, *section(remote, *OUT))
    link = remote.welcome(outs=["a/#"])
    works(broker, link)
    reload(broker)
    assert link.expect_end()
    broker.answers()


@pytest.mark.parametrize(("line", "field", "value"), [
    ("keepalive_interval 33", "keepalive", 33),
    ("remote_username other", "username", "other"),
    ("cleansession true", "clean", True),
    ("remote_clientid other", "id", "other"),
    ("try_private false", "level", 4),
])
def test_a_change_takes_effect_at_once(brokers, remote, line, field, value):
    broker = brokers.start(*section(remote, *OUT))
    link = remote.welcome(outs=["a/#"])
    reload(broker, *section(remote, *OUT, line))
    assert link.expect_end()
    broker.log.wait(r"Bridge b stopped: its section has changed\.$")
    link = remote.greet()
    assert getattr(link.hello, field) == value
    works(broker, link.welcome(outs=["a/#"]))


def test_a_lazy_change_waits_for_the_next_connection(brokers, remote):
    lazily = ("bridge_reload_type lazy", *OUT)
    broker = brokers.start(*section(remote, *lazily))
    link = remote.welcome(outs=["a/#"])
    reload(broker, *section(remote, *lazily, "keepalive_interval 33"))
    works(broker, link)
    link.close()
    assert remote.greet().hello.keepalive == 33


def test_the_same_again_changes_nothing(brokers, remote):
    """Nor do comments, blank lines or the section's place."""
    other = section("127.0.0.1:1", *OUT, name="other", )
    broker = brokers.start(*section(remote, *OUT), *other)
    link = remote.welcome(outs=["a/#"])
    reload(broker, "# new", *other, "", *section(remote, *OUT))
    works(broker, link)
    reload(broker, *section(remote, *OUT), *other, "max_keepalive 1000")
    works(broker, link)
    assert not broker.log.find("Bridge b (disconnected|stopped)")


def test_a_wrong_file_changes_nothing(brokers, remote):
    broker = brokers.start(*section(remote, *OUT))
    link = remote.welcome(outs=["a/#"])
    lines = reload(broker, *section(remote, "topic a/# sideways 1"))
    assert any("not reloaded" in line for line in lines)
    works(broker, link)


def test_topics_come_and_go(brokers, remote):
    broker = brokers.start(*section(remote, "topic a/# out 1", "topic i/# in 1", "topic j/# in 1"))
    link = remote.welcome(ins=["i/#", "j/#"], outs=["a/#"])
    reload(broker, *section(remote, "topic c/# out 1", "topic j/# in 1", "topic k/# in 1"))
    assert link.expect_end()
    link = remote.welcome(ins=["j/#", "k/#"], outs=["c/#"], present=True)
    assert "i/#" in link.unsubscribed
    broker.connect().publish("a/1", "no more", qos=1)
    works(broker, link, "c/1")
    reader = broker.connect()
    reader.subscribe("i/#", "k/#", qos=1)
    link.publish("i/1", "no more", qos=1)
    link.publish("k/1", "new", qos=1)
    reader.take("k/1", "new")


def test_what_waits_goes_to_the_new_address(brokers, remotes):
    one, two = remotes.start(), remotes.start()
    broker = brokers.start(*section(one, *OUT))
    link = one.greet()
    writer = broker.connect()
    for number in range(10):
        writer.publish("a/1", str(number), qos=1)
    reload(broker, *section(two, *OUT))
    link.expect_end()
    link = two.welcome(outs=["a/#"])
    assert [int(p.payload) for p in link.take_many(10)] == list(range(10))


def test_prefixes_change_for_what_is_in_flight(brokers, remote):
    """What was sent under one name and not acknowledged comes again under a name that is right now."""
    broker = brokers.start(*section(remote, 'topic # out 1 a/ old/'))
    link = remote.welcome(outs=["old/#"])
    broker.connect().publish("a/1", "x", qos=1)
    link.expect(PUBLISH, topic="old/1")
    reload(broker, *section(remote, 'topic # out 1 a/ new/'))
    assert link.expect_end()
    link = remote.welcome(outs=["new/#"], present=True)
    got = link.take_many(1)[0]
    assert (got.topic in ("old/1", "new/1")) and got.payload == b"x"
    works(broker, link, "a/2", "new/2")


def test_removed_and_back_is_new(brokers, remote):
    broker = brokers.start(*section(remote, *OUT))
    link = remote.greet()
    broker.connect().publish("a/1", "old", qos=1)
    reload(broker)
    link.expect_end()
    reload(broker, *section(remote, *OUT))
    works(broker, remote.welcome(outs=["a/#"]))


def test_the_session_of_a_removed_one_is_free(brokers, remote):
    broker = brokers.start(*section(remote, *OUT))
    remote.welcome(outs=["a/#"])
    reload(broker)
    client = broker.connect(f"local.{HOST}.b", clean=False)
    assert not client.connack.session_present


def test_the_farewell_of_a_removed_one(brokers, remote):
    broker = brokers.start(*section(remote, *OUT, "notification_topic n", notifications=True))
    reader = broker.connect()
    reader.subscribe("n", qos=1)
    link = remote.welcome(outs=["a/#"])
    link.take("n", "1", retain=True)
    reload(broker)
    link.expect(PUBLISH, topic="n", payload="0", retain=True)
    assert link.expect_end()
    while reader.take("n").payload != b"0":
        pass


def test_figures_of_a_removed_one_are_gone(brokers, remote):
    broker = brokers.start("sys_interval 1", *section(remote, *OUT))
    remote.welcome(outs=["a/#"])
    watcher = broker.connect()
    watcher.subscribe("$SYS/broker/connection/b/#")
    seen = {}
    while seen.get("$SYS/broker/connection/b/state") != b"1":
        packet = watcher.take()
        seen[packet.topic] = packet.payload
    reload(broker, "sys_interval 1")
    while any(seen.values()):
        packet = watcher.take()
        seen[packet.topic] = packet.payload
    late = broker.connect()
    late.subscribe("$SYS/broker/connection/b/#")
    late.quiet()


def test_what_is_retained_goes_out_by_a_new_topic(brokers, remote):
    broker = brokers.start(*section(remote, *OUT))
    link = remote.welcome(outs=["a/#"])
    broker.connect().publish("c/1", "kept", qos=1, retain=True)
    reload(broker, *section(remote, *OUT, "topic c/# out 1"))
    link.expect_end()
    link = remote.welcome(outs=["a/#", "c/#"], present=True)
    link.take("c/1", "kept", retain=True)


def test_messages_go_on_over_changes(brokers, remote):
    """Nothing is lost or doubled at QoS 2 while the section changes again and again."""
    out = ("topic a/# out 2",)
    broker = brokers.start(*section(remote, *out))
    writer, sent, got = broker.connect(), 0, []
    for keepalive in range(10, 14):
        link = remote.greet()
        for _ in range(10):
            writer.publish("a/1", str(sent), qos=2)
            sent += 1
        link.welcome(outs=["a/#"], present=keepalive > 10)
        got += [int(p.payload) for p in link.take_many(7)]
        reload(broker, *section(remote, *out, f"keepalive_interval {keepalive}"))
        link.close()
    link = remote.welcome(outs=["a/#"], present=True)
    got += [int(p.payload) for p in link.take_many(sent - len(got))]
    assert got == list(range(sent))


def test_many_reloads_in_a_row(brokers, remote):
    broker = brokers.start(*section(remote, *OUT))
    for number in range(10):
        reload(broker, *section(remote, *OUT, f"keepalive_interval {10 + number}"))
    link = None
    while not link or not link.hello or link.hello.keepalive != 19:
        link = remote.accept()
        with contextlib.suppress(Closed):  # a change may come before CONNECT
            link.expect(CONNECT)
    works(broker, link.welcome(outs=["a/#"]))
