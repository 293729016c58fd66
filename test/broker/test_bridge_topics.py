"""Which messages go over a bridge, under which name, QoS and flags."""

import pytest
from mqtt_wire import PUBACK, publish
from remote_broker import remote, remotes, section  # noqa: F401

# pattern and what follows it, the filter at the remote broker, then a topic here and its name there
RULES = [
    ("a/#", "", "a/#", "a/b/c", "a/b/c"),
    ("#", "", "#", "any/thing", "any/thing"),
    ("exact", "", "exact", "exact", "exact"),
    ("+/x", "", "+/x", "one/x", "one/x"),
    ("#", "loc/ rem/", "rem/#", "loc/a/b", "rem/a/b"),
    ("a/+", "loc/ rem/", "rem/a/+", "loc/a/b", "rem/a/b"),
    ("a/b", 'loc/ ""', "a/b", "loc/a/b", "a/b"),
    ("a/b", '"" rem/', "rem/a/b", "a/b", "rem/a/b"),
    ("#", '"" rem/', "rem/#", "a/b", "rem/a/b"),
    ("a", "pasted as-they-are", "as-they-area", "pasteda", "as-they-area"),
    ('""', "here/1 there/2", "there/2", "here/1", "there/2"),
    ("müll/#", "ö/ ü/x/", "ü/x/müll/#", "ö/müll/1", "ü/x/müll/1"),
]


def line(pattern, rest, direction, qos):
    return f"topic {pattern} {direction} {qos} {rest}".rstrip()


@pytest.mark.parametrize("qos", [0, 1, 2])
@pytest.mark.parametrize(("pattern", "rest", "remote_filter", "here", "there"), RULES)
def test_out(brokers, remote, pattern, rest, remote_filter, here, there, qos):
    broker = brokers.start(*section(remote, line(pattern, rest, "out", qos)))
    link = remote.welcome(outs=[remote_filter])
    writer = broker.connect()
    for sent in (0, 1, 2):
        writer.publish(here, f"at {sent}", qos=sent)
    for sent in (0, 1, 2):
        link.take(there, f"at {sent}", qos=min(sent, qos), retain=False, dup=False)
    assert not link.subscribed


@pytest.mark.parametrize("qos", [0, 1, 2])
@pytest.mark.parametrize(("pattern", "rest", "remote_filter", "here", "there"), RULES)
def test_in(brokers, remote, pattern, rest, remote_filter, here, there, qos):
    broker = brokers.start(*section(remote, line(pattern, rest, "in", qos)))
    reader = broker.connect()
    reader.subscribe(here, qos=2)
    link = remote.welcome(ins=[remote_filter])
    assert link.subscribed == {remote_filter: qos}
    for sent in range(qos + 1):
        link.publish(there, f"at {sent}", qos=sent)
        reader.take(here, f"at {sent}", qos=sent, retain=False)


@pytest.mark.parametrize("qos", [0, 1, 2])
@pytest.mark.parametrize(("pattern", "rest", "remote_filter", "here", "there"), RULES)
def test_both(brokers, remote, pattern, rest, remote_filter, here, there, qos):
    broker = brokers.start(*section(remote, line(pattern, rest, "both", qos)))
    reader, writer = broker.connect(), broker.connect()
    reader.subscribe(here, qos=2)
    link = remote.welcome(ins=[remote_filter])
    link.publish(there, "from there", qos=qos)
    reader.take(here, "from there", qos=qos)
    writer.publish(here, "from here", qos=qos)
    reader.take(here, "from here", qos=qos)
    link.take(there, "from here", qos=qos)  # and no echo of the other one before it
    reader.quiet()


@pytest.mark.ours
@pytest.mark.parametrize(("pattern", "rest", "remote_filter", "here", "there"), [
    ('"a b/#"', "", "a b/#", "a b/c d", "a b/c d"),
    ('"a b"', "loc/ rem/", "rem/a b", "loc/a b", "rem/a b"),
])
def test_patterns_with_blanks(brokers, remote, pattern, rest, remote_filter, here, there):
    broker = brokers.start(*section(remote, line(pattern, rest, "both", 1)))
    reader = broker.connect()
    reader.subscribe(here)
    link = remote.welcome(ins=[remote_filter])
    link.publish(there, "in", qos=1)
    reader.take(here, "in")
    broker.connect().publish(here, "out")
    link.take(there, "out")


def test_out_at_qos_0_is_the_default(brokers, remote):
    broker = brokers.start(*section(remote, "topic a/#"))
    link = remote.welcome(outs=["a/#"])
    broker.connect().publish("a/1", "x", qos=2)
    link.take("a/1", "x", qos=0)


def test_what_matches_no_rule_stays_here(brokers, remote):
    broker = brokers.start(*section(remote, "topic a/# out 1", "topic b/+ out 1 l/ r/", "topic in/# in 1"))
    link = remote.welcome(ins=["in/#"], outs=["a/#", "r/b/+"])
    writer = broker.connect()
    for topic in ("c", "b/1", "r/b/1", "l/b", "l/b/1/2", "in/1", "A/1", "$SYS/x", "a/last"):
        writer.publish(topic, topic, qos=1)
    link.take("a/last", "a/last")


def test_dollar_topics_need_a_rule_of_their_own(brokers, remote):
    broker = brokers.start(*section(remote, "topic # out 1", "topic $own/# out 1"))
    link = remote.welcome(outs=["#", "$own/#"])
    writer = broker.connect()
    writer.publish("$other/a", "no", qos=1)
    writer.publish("$own/a", "yes", qos=1)
    link.take("$own/a", "yes")


@pytest.mark.ours
def test_one_copy_for_rules_that_overlap(brokers, remote):
    """The highest QoS of all; the rule with prefixes says the name, wherever it stands."""
    broker = brokers.start(*section(remote, "topic # out 0", "topic a/# out 1", 'topic a/b out 2 "" r/'))
    link = remote.welcome(outs=["#", "a/#", "r/a/b"])
    writer = broker.connect()
    for topic in ("a/b", "a/c", "d", "end"):
        writer.publish(topic, topic, qos=2)
    assert [(p.topic, p.qos) for p in link.take_many(4)] == [("r/a/b", 2), ("a/c", 1), ("d", 0), ("end", 0)]


def test_order_is_kept_over_qos_1(brokers, remote):
    broker = brokers.start(*section(remote, "topic a/# both 1"))
    reader, writer = broker.connect(), broker.connect()
    reader.subscribe("a/in", qos=1)
    link = remote.welcome(ins=["a/#"])
    link.send(*(publish("a/in", str(n), 1, n) for n in range(1, 101)))
    assert [reader.take("a/in").payload for _ in range(100)] == [b"%d" % n for n in range(1, 101)]
    assert [link.expect(PUBACK).mid for _ in range(100)] == list(range(1, 101))
    writer.send(*(publish("a/out", str(n), 1, n) for n in range(1, 101)))
    assert [link.take("a/out").payload for _ in range(100)] == [b"%d" % n for n in range(1, 101)]


# --- retained messages ---


def retained(broker, topic):
    """What a new subscriber gets, or None."""
    reader = broker.connect()
    reader.subscribe(topic, ("zz/none", 0), qos=1)
    got = reader.ping()
    reader.close()
    assert all(packet.retain for packet in got)
    return [packet.payload for packet in got]


def test_retain_goes_out(brokers, remote):
    broker = brokers.start(*section(remote, "topic a/# out 1"))
    link = remote.welcome(outs=["a/#"])
    writer = broker.connect()
    writer.publish("a/1", "kept", qos=1, retain=True)
    writer.publish("a/1", "passing", qos=1)
    writer.publish("a/1", "", qos=1, retain=True)
    link.take("a/1", "kept", retain=True)
    link.take("a/1", "passing", retain=False)
    link.take("a/1", "", retain=True)


def test_retain_comes_in(brokers, remote):
    broker = brokers.start(*section(remote, "topic a/# in 1"))
    link = remote.welcome(ins=["a/#"])
    link.publish("a/1", "kept", qos=1, retain=True)
    assert retained(broker, "a/1") == [b"kept"]
    link.publish("a/1", "passing", qos=1)
    assert retained(broker, "a/1") == [b"kept"]
    link.publish("a/1", "", qos=1, retain=True)
    assert not retained(broker, "a/1")


@pytest.mark.parametrize("clean", ["true", "false"])
def test_what_is_retained_goes_out_to_a_broker_that_remembers_nothing(brokers, remote, clean):
    broker = brokers.start(*section(remote, 'topic # out 1 l/ r/', f"cleansession {clean}"))
    link = remote.greet()
    writer = broker.connect()
    link.welcome(outs=["r/#"])
    writer.publish("l/1", "kept", qos=1, retain=True)
    link.take("r/1", "kept", retain=True)
    writer.publish("other", "not", qos=1, retain=True)
    link.close()
    link = remote.welcome(outs=["r/#"], present=False)
    writer.publish("l/end", "end", qos=1)
    got = link.take_until("r/end", "end")
    assert {(p.topic, p.payload, p.retain) for p in got[:-1]} == {("r/1", b"kept", True)}


@pytest.mark.ours
def test_what_the_remote_broker_has_is_not_sent_again(brokers, remote):
    """Its session stands and nothing was lost: what is retained has gone over, and it alone would be a copy."""
    broker = brokers.start(*section(remote, "topic a/# out 1"))
    link = remote.welcome(outs=["a/#"])
    writer = broker.connect()
    writer.publish("a/1", "kept", qos=1, retain=True)
    writer.publish("a/2", "end", qos=1)
    link.take_until("a/2", "end")
    link.close()
    link = remote.welcome(outs=["a/#"], present=True)
    writer.publish("a/2", "other end", qos=1)
    assert all(p.topic == "a/2" for p in link.take_until("a/2", "other end"))


def test_retained_before_there_was_a_bridge(brokers, remote):
    """The remote broker gets what is retained when the bridge is up for the first time."""
    broker = brokers.start(*section(remote, "topic a/# both 1", "topic b/# in 1"))
    link = remote.greet()
    writer = broker.connect()
    for topic in ("a/1", "a/2", "b/1"):
        writer.publish(topic, topic, qos=1, retain=True)
    link.welcome(ins=["a/#", "b/#"])
    writer.publish("a/end", "end", qos=1)
    got = link.take_until("a/end", "end")
    assert {(p.topic, p.payload) for p in got if p.retain} == {("a/1", b"a/1"), ("a/2", b"a/2")}


@pytest.mark.ours
def test_a_deletion_during_an_outage_goes_out(brokers, remote):
    broker = brokers.start(*section(remote, "topic a/# out 1"))
    link = remote.welcome(outs=["a/#"])
    writer = broker.connect()
    writer.publish("a/1", "kept", qos=1, retain=True)
    link.take("a/1", "kept", retain=True)
    link.close()
    link = remote.greet()
    writer.publish("a/1", "", qos=1, retain=True)
    link.welcome(outs=["a/#"], present=True)
    link.take("a/1", "", retain=True)
    writer.publish("a/end", "end", qos=1)
    link.take("a/end", "end")


def test_without_the_bit_of_retain(brokers, remote):
    broker = brokers.start(*section(remote, "topic a/# out 1", "bridge_outgoing_retain false"))
    link = remote.welcome(outs=["a/#"])
    broker.connect().publish("a/1", "kept", qos=1, retain=True)
    link.take("a/1", "kept", retain=False)


# --- sizes ---


@pytest.mark.ours
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_what_is_too_large_stays_here(brokers, remote, qos):
    broker = brokers.start(*section(remote, f"topic a/# out {qos}", "bridge_max_packet_size 100"))
    link = remote.welcome(outs=["a/#"])
    writer, reader = broker.connect(), broker.connect()
    reader.subscribe("a/#", qos=0)
    head = 2 + 2 + 3 + (2 if qos else 0)
    for payload in ("x" * (101 - head), "y" * (100 - head), "z" * 1000, "small"):
        writer.publish("a/1", payload, qos=qos)
        reader.take("a/1", payload)
    assert [p.payload.decode() for p in link.take_many(2)] == ["y" * (100 - head), "small"]


def test_large_messages_go_both_ways(brokers, remote):
    broker = brokers.start("max_packet_size 3000000", *section(remote, "topic a/# both 1"))
    reader, writer = broker.connect(), broker.connect()
    reader.subscribe("a/in", qos=1)
    link = remote.welcome(ins=["a/#"])
    payload = b"0123456789" * 200000
    link.publish("a/in", payload, qos=1)
    reader.take("a/in", payload)
    writer.publish("a/out", payload, qos=1)
    link.take("a/out", payload)


@pytest.mark.ours
def test_a_name_that_would_be_too_long_there(brokers, remote):
    """It is dropped with a word, and what is behind it goes over."""
    broker = brokers.start(*section(remote, f'topic # out 1 l/ {"r" * 2000}/'))
    link = remote.welcome(outs=["r" * 2000 + "/#"])
    writer = broker.connect()
    writer.publish("l/" + "x" * 64000, "too long", qos=1)
    writer.publish("l/x", "fits", qos=1)
    link.take("r" * 2000 + "/x", "fits")
    broker.log.wait(r"(?i)drop.*(bridge|local\.)|bridge.*(drop|too long)")


# --- several bridges ---


def test_from_one_bridge_to_another(brokers, remotes):
    one, two = remotes.start(), remotes.start()
    brokers.start(*section(one, "topic a/# in 2", name="one"), *section(two, 'topic # out 2 a/ b/', name="two"))
    right = two.welcome(outs=["b/#"])
    left = one.welcome(ins=["a/#"])
    for qos in (0, 1, 2):
        left.publish("a/1", f"at {qos}", qos=qos, retain=qos == 2)
        right.take("b/1", f"at {qos}", qos=qos, retain=qos == 2)


def test_two_bridges_do_not_mix(brokers, remotes):
    one, two = remotes.start(), remotes.start()
    broker = brokers.start(*section(one, "topic 1/# both 1", name="one"), *section(two, "topic 2/# both 1", name="two"))
    left, right = one.welcome(ins=["1/#"]), two.welcome(ins=["2/#"])
    writer = broker.connect()
    writer.publish("2/a", "right", qos=1)
    writer.publish("1/a", "left", qos=1)
    left.take("1/a", "left")
    right.take("2/a", "right")
