"""Nothing is lost, doubled or out of order when either end of a bridge goes away and comes back."""

import time

import pytest
from mqtt_wire import PUBACK, PUBCOMP, PUBLISH, PUBREC, PUBREL, puback, pubcomp, publish, pubrec, pubrel
from remote_broker import HOST, remote, remotes, section  # noqa: F401
from stored_broker import absent_session, drain, runs, take_until_quiet  # noqa: F401

OUT = ("topic a/# out 2",)
IN = ("topic a/# in 2",)


def send_numbers(writer, numbers, qos=1, topic="a/1"):
    for number in numbers:
        writer.publish(topic, str(number), qos=qos)


def numbers(packets):
    return [int(packet.payload) for packet in packets]


def take_numbers(link, count):
    return numbers(link.take_many(count))


# --- the remote broker goes ---


@pytest.mark.parametrize("qos", [1, 2])
def test_what_is_sent_before_the_first_connection(brokers, remote, qos):
    broker = brokers.start(*section(remote, *OUT))
    link = remote.greet()
    send_numbers(broker.connect(), range(60), qos)
    link.welcome(outs=["a/#"])
    assert take_numbers(link, 60) == list(range(60))


@pytest.mark.parametrize("qos", [1, 2])
def test_what_is_sent_during_an_outage(brokers, remote, qos):
    broker = brokers.start(*section(remote, *OUT))
    writer = broker.connect()
    link = remote.welcome(outs=["a/#"])
    send_numbers(writer, [0], qos)
    assert take_numbers(link, 1) == [0]
    remote.stop()
    send_numbers(writer, range(1, 30), qos)
    remote.start()
    link = remote.greet()
    send_numbers(writer, range(30, 60), qos)
    link.welcome(outs=["a/#"], present=True)
    send_numbers(writer, [60], qos)
    assert take_numbers(link, 60) == list(range(1, 61))


@pytest.mark.parametrize("present", [True, False])
def test_unacknowledged_messages_again(brokers, remote, present):
    """QoS 1, in order; with DUP and the same ids, unless the remote broker has lost its session."""
    broker = brokers.start(*section(remote, *OUT))
    writer = broker.connect()
    link = remote.welcome(outs=["a/#"])
    send_numbers(writer, range(5))
    first = [link.expect(PUBLISH, dup=False) for _ in range(5)]
    assert numbers(first) == list(range(5))
    link.send(puback(first[0].mid))
    send_numbers(writer, [5])
    first.append(link.expect(PUBLISH))
    link.close()
    link = remote.greet()
    send_numbers(writer, [6])
    link.welcome(outs=["a/#"], present=present)
    again = link.take_many(6)
    assert numbers(again) == [1, 2, 3, 4, 5, 6]
    if present:
        assert [(p.mid, p.dup) for p in again[:-1]] == [(p.mid, True) for p in first[1:]]
        assert not {p.mid for p in first[1:]} & {*link.requests, again[-1].mid}
    assert not again[-1].dup


@pytest.mark.parametrize("present", [True, False])
def test_qos_2_in_each_state(brokers, remote, present):
    broker = brokers.start(*section(remote, *OUT))
    writer = broker.connect()
    link = remote.welcome(outs=["a/#"])
    send_numbers(writer, range(4), 2)
    first = [link.expect(PUBLISH, qos=2) for _ in range(4)]
    link.send(pubrec(first[0].mid), pubrec(first[1].mid))
    link.expect(PUBREL, mid=first[0].mid)
    link.expect(PUBREL, mid=first[1].mid)
    link.send(pubcomp(first[0].mid))
    send_numbers(writer, [4], 2)
    first.append(link.expect(PUBLISH))
    link.close()
    link = remote.welcome(outs=["a/#"], present=present)
    if present:
        link.expect(PUBREL, mid=first[1].mid)
        link.send(pubcomp(first[1].mid))
        for sent in first[2:]:
            got = link.expect(PUBLISH, mid=sent.mid, dup=True, payload=sent.payload, qos=2)
            link.send(pubrec(got.mid))
        for sent in first[2:]:
            link.expect(PUBREL, mid=sent.mid)
            link.send(pubcomp(sent.mid))
    else:
        assert take_numbers(link, 3) == [2, 3, 4]
    send_numbers(writer, [5], 2)
    assert take_numbers(link, 1) == [5]


def test_qos_2_that_comes_in_is_known_again(brokers, remote):
    broker = brokers.start(*section(remote, *IN))
    reader = broker.connect()
    reader.subscribe("a/#", qos=2)
    link = remote.welcome(ins=["a/#"])
    link.send(publish("a/1", "once", 2, 9))
    link.expect(PUBREC, mid=9)
    link.close()
    link = remote.welcome(ins=["a/#"], present=True)
    link.send(publish("a/1", "once", 2, 9, dup=True))
    link.expect(PUBREC, mid=9)
    link.send(pubrel(9))
    link.expect(PUBCOMP, mid=9)
    link.publish("a/1", "next", qos=2, mid=9)
    assert [p.payload for p in take_until_quiet(reader, 2)] == [b"once", b"next"]


@pytest.mark.ours
def test_ids_of_a_lost_session_mean_nothing(brokers, remote):
    """The remote broker begins anew, and its ids too: the same id is another message."""
    broker = brokers.start(*section(remote, *IN))
    reader = broker.connect()
    reader.subscribe("a/#", qos=2)
    link = remote.welcome(ins=["a/#"])
    link.send(publish("a/1", "former", 2, 1))
    link.expect(PUBREC, mid=1)
    link.close()
    link = remote.welcome(ins=["a/#"], present=False)
    link.publish("a/1", "other", qos=2, mid=1)
    got = take_until_quiet(reader, 1)
    assert got[-1].payload == b"other"


@pytest.mark.parametrize(("lines", "kept"), [
    (["cleansession false"], True),
    (["cleansession true"], False),
    (["cleansession true", "local_cleansession false"], True),
    (["cleansession false", "local_cleansession true"], False),
])
@pytest.mark.ours
def test_which_session_is_kept_here(brokers, remote, lines, kept):
    broker = brokers.start(*section(remote, *OUT, *lines))
    writer = broker.connect()
    link = remote.welcome(outs=["a/#"])
    remote.stop()
    broker.log.wait("Bridge b disconnected|closed its connection")
    send_numbers(writer, [1])
    remote.start()
    link = remote.welcome(outs=["a/#"], present="cleansession false" in lines)
    send_numbers(writer, [2])
    assert numbers(link.take_until("a/1", "2")) == ([1, 2] if kept else [2])


def test_qos_0_is_not_kept(brokers, remote):
    broker = brokers.start(*section(remote, *OUT))
    writer = broker.connect()
    link = remote.greet()
    writer.publish("a/1", "0", qos=0)
    writer.publish("a/1", "1", qos=1)
    link.welcome(outs=["a/#"])
    assert numbers(link.take_until("a/1", "1"))[-1] == 1


@pytest.mark.ours
def test_qos_0_is_kept_if_that_is_wanted(brokers, remote):
    broker = brokers.start("queue_qos0_messages true", *section(remote, *OUT))
    writer = broker.connect()
    link = remote.greet()
    writer.publish("a/1", "0", qos=0)
    writer.publish("a/1", "1", qos=1)
    link.welcome(outs=["a/#"])
    assert take_numbers(link, 2) == [0, 1]


# --- limits ---


@pytest.mark.ours
def test_the_queue_is_bounded(brokers, remote):
    limits = ("max_queued_messages 10", "max_inflight_messages 5", "sys_interval 1")
    broker = brokers.start(*limits, *section(remote, *OUT))
    watcher, writer = broker.connect(), broker.connect()
    watcher.subscribe("$SYS/broker/connection/b/dropped")
    link = remote.greet()
    send_numbers(writer, range(50))
    broker.log.wait(rf"(?i)being dropped.*\blocal\.{HOST}\.b\b|bridge b\b.*drop")
    while True:
        dropped = int(watcher.take().payload)
        if dropped >= 35:
            break
    link.welcome(outs=["a/#"])
    writer.publish("a/end", "99", qos=1)
    got = numbers(link.take_until("a/end", "99"))
    assert dropped == 50 - (len(got) - 1)
    assert 10 <= len(got) - 1 <= 15
    assert got == sorted(got)


@pytest.mark.ours
def test_inflight_is_bounded(brokers, remote):
    broker = brokers.start("max_inflight_messages 3", *section(remote, *OUT))
    writer = broker.connect()
    link = remote.welcome(outs=["a/#"])
    send_numbers(writer, range(6))
    first = [link.expect(PUBLISH) for _ in range(3)]
    with pytest.raises(TimeoutError):
        link.recv(0.2)
    link.send(*(puback(p.mid) for p in first))
    assert take_numbers(link, 3) == [3, 4, 5]


# --- this broker goes ---


@pytest.mark.ours
@pytest.mark.parametrize("end", ["stop", "kill"])
@pytest.mark.parametrize("qos", [1, 2])
def test_what_waits_survives(runs, remote, qos, end):
    broker = runs.start(*section(remote, *OUT))
    remote.greet()
    send_numbers(broker.connect(), range(30), qos)
    getattr(broker, end)()
    broker = runs.again(broker)
    link = remote.welcome(outs=["a/#"])
    assert take_numbers(link, 30) == list(range(30))


@pytest.mark.ours
def test_qos_2_out_exactly_once_over_a_crash(runs, remote):
    broker = runs.start(*section(remote, *OUT))
    writer = broker.connect()
    link = remote.welcome(outs=["a/#"])
    send_numbers(writer, range(6), 2)
    first = [link.expect(PUBLISH) for _ in range(6)]
    link.send(*(pubrec(p.mid) for p in first[:4]))
    for sent in first[:4]:
        link.expect(PUBREL, mid=sent.mid)
    link.send(*(pubcomp(p.mid) for p in first[:2]))
    broker.kill()
    broker = runs.again(broker)
    link = remote.welcome(outs=["a/#"], present=True)
    released, published = [], []
    while len(published) < 2 or not {p.mid for p in first[2:]} <= set(released):
        got = link.recv()
        if got.kind == PUBREL:
            released.append(got.mid)
            link.send(pubcomp(got.mid))
        else:
            assert got.dup
            published.append(got)
            link.send(pubrec(got.mid))
    assert [(p.mid, p.payload) for p in published] == [(p.mid, p.payload) for p in first[4:]]
    assert set(released) <= {p.mid for p in first}
    send_numbers(broker.connect(), [6], 2)
    assert take_numbers(link, 1) == [6]


@pytest.mark.ours
def test_qos_2_in_exactly_once_over_a_crash(runs, remote):
    broker = runs.start(*section(remote, *IN))
    absent_session(broker, "reader", "a/#", qos=2)
    link = remote.welcome(ins=["a/#"])
    link.publish("a/1", "0", qos=2, mid=1)
    link.send(publish("a/1", "1", 2, 2), publish("a/1", "2", 1, 3))
    link.expect(PUBREC, mid=2)
    link.expect(PUBACK, mid=3)
    broker.kill()
    broker = runs.again(broker)
    link = remote.welcome(ins=["a/#"], present=True)
    link.send(publish("a/1", "1", 2, 2, dup=True))
    link.expect(PUBREC, mid=2)
    link.send(pubrel(2))
    link.expect(PUBCOMP, mid=2)
    link.publish("a/1", "3", qos=2, mid=4)
    assert sorted(numbers(drain(broker, "reader", 4))) == [0, 1, 2, 3]


@pytest.mark.ours
def test_retained_deletions_survive_a_crash(runs, remote):
    broker = runs.start(*section(remote, *OUT))
    writer = broker.connect()
    link = remote.welcome(outs=["a/#"])
    writer.publish("a/1", "kept", qos=1, retain=True)
    link.take("a/1", "kept", retain=True)
    link.close()
    link = remote.greet()
    writer.publish("a/1", "", qos=1, retain=True)
    broker.kill()
    runs.again(broker)
    link = remote.greet()
    link.welcome(outs=["a/#"], present=True)
    link.take("a/1", "", retain=True)


@pytest.mark.ours
def test_a_lazy_one_counts_what_waited_before_a_crash(runs, remote):
    lazy = (*OUT, "start_type lazy", "threshold 5")
    broker = runs.start(*section(remote, *lazy))
    send_numbers(broker.connect(), range(3))
    broker.kill()
    broker = runs.again(broker)
    remote.nobody(0.2)
    send_numbers(broker.connect(), range(3, 5))
    assert take_numbers(remote.welcome(outs=["a/#"]), 5) == list(range(5))


# --- many at once ---


def retain_many(writer, count, qos=1):
    for n in range(count):
        writer.send(publish(f"a/{n}", str(n), qos, n + 1 if qos else None, retain=True))
    for n in range(count if qos else 0):
        writer.expect(PUBACK, mid=n + 1)
    writer.quiet()


@pytest.mark.ours
@pytest.mark.parametrize("present", [True, False])
def test_retained_messages_when_the_link_breaks_among_them(brokers, remote, present):
    """The remote broker gets each of them in the end, whatever it remembers."""
    broker = brokers.start("max_queued_messages 50", *section(remote, *OUT))
    link = remote.greet()
    retain_many(broker.connect(), 1000)
    link.welcome(outs=["a/#"])
    seen = {p.topic for p in link.take_many(200)}
    link.close()
    link = remote.welcome(outs=["a/#"], present=present)
    while len(seen) < 1000:
        seen.add(link.take_many(1)[0].topic)


@pytest.mark.ours
def test_retained_messages_at_qos_0_in_an_outage(brokers, remote):
    """They do not wait, and the remote broker is to have what is retained here all the same."""
    broker = brokers.start(*section(remote, *OUT))
    link = remote.welcome(outs=["a/#"])
    writer = broker.connect()
    writer.publish("a/1", "former", retain=True)
    link.take("a/1", "former", retain=True)
    link.close()
    link = remote.greet()
    writer.publish("a/1", "newer", retain=True)
    link.welcome(outs=["a/#"], present=True)
    link.take("a/1", "newer", retain=True)


@pytest.mark.ours
def test_retained_messages_at_qos_0_that_were_on_their_way(brokers, remote):
    """Sent, and lost with the connection."""
    broker = brokers.start(*section(remote, *OUT))
    link = remote.welcome(outs=["a/#"])
    retain_many(broker.connect(), 20, 0)
    link.take_many(1)
    link.reset()
    link = remote.welcome(outs=["a/#"], present=True)
    assert {p.topic for p in link.take_many(20)} >= {f"a/{n}" for n in range(1, 20)}


@pytest.mark.ours
def test_retained_messages_when_this_broker_breaks_among_them(runs, remote):
    broker = runs.start(*section(remote, *OUT))
    link = remote.greet()
    retain_many(broker.connect(), 1000)
    link.welcome(outs=["a/#"])
    seen = {p.topic for p in link.take_many(200)}
    broker.kill()
    broker = runs.again(broker)
    link = remote.welcome(outs=["a/#"], present=True)
    while len(seen) < 1000:
        seen.add(link.take_many(1)[0].topic)


def seen(got, packet, qos):
    """Another one; again only at QoS 1, with DUP, since its acknowledgement may not have arrived."""
    number = int(packet.payload)
    if number in got:
        assert packet.dup and qos == 1, f"{number} again"
    else:
        got.append(number)


@pytest.mark.ours
@pytest.mark.parametrize("qos", [1, 2])
def test_a_link_that_breaks_all_the_time(brokers, remote, qos):
    """Each time a few are acknowledged, some are on their way, and a session is remembered."""
    broker = brokers.start("max_inflight_messages 7", *section(remote, *OUT))
    link = remote.greet()
    send_numbers(broker.connect(), range(60), qos)
    got = []
    for round_ in range(3):
        link.welcome(outs=["a/#"], present=round_ > 0)
        for packet in link.take_many(15):
            seen(got, packet, qos)
        link.close()
        link = remote.greet()
    link.welcome(outs=["a/#"], present=True)
    while len(got) < 60:
        seen(got, link.take_many(1)[0], qos)
    assert got == list(range(60))


@pytest.mark.ours
def test_acknowledgements_in_any_order(brokers, remote):
    broker = brokers.start(*section(remote, *OUT))
    link = remote.welcome(outs=["a/#"])
    writer = broker.connect()
    send_numbers(writer, range(10))
    first = [link.expect(PUBLISH) for _ in range(10)]
    for packet in reversed(first[1:]):
        link.send(puback(packet.mid), puback(packet.mid))
    send_numbers(writer, range(10, 20))
    assert take_numbers(link, 10) == list(range(10, 20))
    link.close()
    link = remote.welcome(outs=["a/#"], present=True)
    again = link.take_many(1)
    assert (numbers(again), again[0].dup) == ([0], True)


@pytest.mark.ours
@pytest.mark.parametrize("make", [pubrec, pubcomp])
def test_the_wrong_acknowledgement(brokers, remote, make):
    """Not counted as one: the message comes again."""
    broker = brokers.start(*section(remote, *OUT))
    link = remote.welcome(outs=["a/#"])
    send_numbers(broker.connect(), [1])
    link.send(make(link.expect(PUBLISH).mid))
    link.expect_end()
    broker.log.wait(r"Bridge b disconnected from .*: .{4,}; next attempt")
    link = remote.welcome(outs=["a/#"], present=True)
    assert take_numbers(link, 1) == [1]


@pytest.mark.ours
def test_an_end_that_nobody_waits_for(brokers, remote):
    """The remote broker reads nothing: the broker ends all the same, and soon."""
    broker = brokers.start("max_inflight_messages 0", *section(remote, *OUT, notifications=True))
    remote.welcome(outs=["a/#"])
    writer = broker.connect()
    for _ in range(50):
        writer.publish("a/1", b"x" * 200000, qos=1)
    begun = time.monotonic()
    broker.stop()
    assert time.monotonic() - begun < 5
