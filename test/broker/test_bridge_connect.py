"""How a bridge comes to its remote broker: CONNECT, what follows CONNACK, and what is tried when it is refused."""

import pytest
from mqtt_wire import (
    DISCONNECT, PUBLISH, SUBSCRIBE, UNSUBACK, UNSUBSCRIBE, Closed, ack, puback,
)
from remote_broker import HOST, PEER, connack, remote, remotes, section  # noqa: F401

STATE = f"$SYS/broker/connection/{HOST}.b/state"


def test_connect_says_no_more_than_the_section(brokers, remote):
    brokers.start(*section(remote, "topic a/# out 1"))
    hello = remote.greet().hello
    assert (hello.name, hello.level, hello.id) == ("MQTT", 0x84, f"{HOST}.b")
    assert (hello.clean, hello.keepalive) == (False, 60)
    assert hello.will is None and hello.username is None and hello.password is None


@pytest.mark.parametrize(("lines", "field", "value"), [
    (["bridge_protocol_version mqttv31"], "level", 0x83),
    (["bridge_protocol_version mqttv31"], "name", "MQIsdp"),
    (["bridge_protocol_version mqttv31", "try_private false"], "level", 3),
    (["bridge_protocol_version mqttv311"], "level", 0x84),
    (["try_private false"], "level", 4),
    (["clientid elsewhere"], "id", "elsewhere"),
    (["remote_clientid elsewhere"], "id", "elsewhere"),
    (["cleansession true"], "clean", True),
    (["cleansession false"], "clean", False),
    (["cleansession false", "local_cleansession true"], "clean", False),
    (["cleansession true", "local_cleansession false"], "clean", True),
    (["keepalive_interval 17"], "keepalive", 17),
    (["username us er", "password pä ss"], "username", "us er"),
    (["username us er", "password pä ss"], "password", "pä ss".encode()),
    (["remote_username user", "remote_password secret"], "username", "user"),
    (["remote_username user", "remote_password secret"], "password", b"secret"),
    (["remote_username alone"], "username", "alone"),
    (["remote_username alone"], "password", None),
])
def test_connect_has_what_the_section_says(brokers, remote, lines, field, value):
    brokers.start(*section(remote, "topic a/# out 1", *lines))
    assert getattr(remote.greet().hello, field) == value


@pytest.mark.parametrize(("lines", "topic"), [
    ([], STATE),
    (["remote_clientid elsewhere"], "$SYS/broker/connection/elsewhere/state"),
    (["notification_topic of/mine"], "of/mine"),
])
def test_the_will_and_the_notification(brokers, remote, lines, topic):
    broker = brokers.start(*section(remote, "topic a/# out 1", *lines, notifications=True))
    reader = broker.connect()
    reader.subscribe(topic, qos=1)
    link = remote.greet()
    assert link.hello.will == {"topic": topic, "payload": b"0", "qos": 1, "retain": True}
    link.welcome(outs=["a/#"])
    link.take(topic, "1", qos=1, retain=True)
    while reader.take(topic).payload != b"1":
        pass
    assert broker_retains(broker, topic) == b"1"


def broker_retains(broker, topic):
    client = broker.connect()
    client.subscribe(topic, qos=1)
    return client.take(topic, retain=True).payload


def test_notifications_that_stay_at_home(brokers, remote):
    broker = brokers.start(*section(remote, "topic a/# out 1", "notifications_local_only true", notifications=True))
    link = remote.greet()
    assert link.hello.will is None
    reader = broker.connect()
    reader.subscribe(STATE, qos=1)
    link.welcome(outs=["a/#"])
    while reader.take(STATE).payload != b"1":
        pass
    reader.publish("a/first", "to go over")
    link.take("a/first", "to go over")
    link.close()
    reader.take(STATE, "0")
    remote.welcome(outs=["a/#"])
    reader.take(STATE, "1")


def test_the_notification_lives_again_after_a_reconnect(brokers, remote):
    broker = brokers.start(*section(remote, "topic a/# out 1", notifications=True))
    link = remote.welcome(outs=["a/#"])
    link.take(STATE, "1", qos=1, retain=True)
    reader = broker.connect()
    reader.subscribe(STATE, qos=1)
    reader.take(STATE, "1", retain=True)
    link.close()
    reader.take(STATE, "0", retain=False)
    link = remote.welcome(outs=["a/#"], present=True)
    link.take(STATE, "1", qos=1, retain=True)
    reader.take(STATE, "1", retain=False)


def order(link, count):
    """The next packets of the bridge in their order, acknowledged."""
    out = []
    while len(out) < count:
        got = link.next()
        if got.kind == UNSUBSCRIBE:
            out += [("-", text) for text in got.filters]
            link.send(ack(UNSUBACK, got.mid))
        elif got.kind == SUBSCRIBE:
            out += [("+", text, qos) for text, qos in got.filters if not text.startswith(PEER)]
            link.grant(got)
        else:
            assert got.kind == PUBLISH
            out.append((got.topic, got.payload))
            if got.qos:
                link.send(puback(got.mid))
    return out


TOPICS = ("topic o/# out 1", "topic i/# in 2", "topic b/# both 1 l/ r/")


@pytest.mark.ours
def test_what_follows_connack_in_which_order(brokers, remote):
    broker = brokers.start(*section(remote, *TOPICS, notifications=True))
    link = remote.greet()
    broker.connect().publish("o/1", "message", qos=1)
    link.send(connack())
    got = order(link, 5)
    assert got[0] == ("-", "o/#")
    assert set(got[1:3]) == {("+", "i/#", 2), ("+", "r/b/#", 1)}
    assert got[3:] == [(STATE, b"1"), ("o/1", b"message")]


def test_filters_after_connack(brokers, remote):
    brokers.start(*section(remote, *TOPICS))
    link = remote.welcome(ins=["i/#", "r/b/#"], outs=["o/#"])
    assert link.subscribed == {"i/#": 2, "r/b/#": 1}
    assert link.unsubscribed == ["o/#"]


def test_no_unsubscribe_if_it_is_not_wanted(brokers, remote):
    broker = brokers.start(*section(remote, *TOPICS, "bridge_attempt_unsubscribe false"))
    link = remote.welcome(ins=["i/#", "r/b/#"])
    broker.connect().publish("o/1", "message", qos=1)
    link.take("o/1", "message")
    assert not link.unsubscribed


def test_filters_again_on_each_connection(brokers, remote):
    brokers.start(*section(remote, *TOPICS))
    remote.welcome(ins=["i/#", "r/b/#"], outs=["o/#"]).close()
    link = remote.welcome(ins=["i/#", "r/b/#"], outs=["o/#"], present=True)
    assert link.subscribed == {"i/#": 2, "r/b/#": 1}


def refuse_with_1(link):
    link.send(connack(1))


def close_without_a_word(link):
    link.close()


@pytest.mark.parametrize("refuse", [refuse_with_1, close_without_a_word])
@pytest.mark.parametrize(("version", "level"), [("mqttv311", 4), ("mqttv31", 3)])
@pytest.mark.ours
def test_at_once_again_without_the_bit(brokers, remote, refuse, version, level):
    broker = brokers.start(*section(remote, "topic a/# out 1", f"bridge_protocol_version {version}",
                                    "restart_timeout 60"))
    link = remote.greet()
    assert link.hello.level == 0x80 | level
    refuse(link)
    link = remote.greet()
    assert link.hello.level == level
    link.welcome(outs=["a/#"])
    broker.connect().publish("a/1", "served", qos=1)
    link.take("a/1", "served")


@pytest.mark.ours
def test_refused_without_the_bit_is_a_failure(brokers, remote):
    broker = brokers.start(*section(remote, "topic a/# out 1", "try_private false"))
    link = remote.greet()
    link.send(connack(1))
    link.expect_end()
    broker.log.wait(r"Warning: .*bridge b\b.*127\.0\.0\.1.*: .*; next attempt in \d+\.\d s\.")
    assert remote.greet().hello.level == 4


@pytest.mark.ours
@pytest.mark.parametrize("code", [2, 3, 4, 5])
def test_refused_by_connack(brokers, remote, code):
    """The reason is in the log, and nothing is hammered: the next attempt is after the pause."""
    broker = brokers.start(*section(remote, "topic a/# out 1", "notifications false"))
    link = remote.greet()
    link.send(connack(code))
    link.expect_end()
    words = ["", "", "identifier", "unavailable|server", "user name|password", "authori[sz]ed"][code]
    broker.log.wait(rf"(?i)Warning: .*bridge b\b.*({words}).*; next attempt in")
    remote.greet().welcome(outs=["a/#"])


@pytest.mark.ours
def test_lines_about_a_life(brokers, remote):
    broker = brokers.start(*section(remote, "topic a/# out 1"))
    place = rf"127\.0\.0\.1:{remote.port}"
    link = remote.welcome(outs=["a/#"])
    broker.log.wait(rf"Connecting bridge b \({place}\)$")
    broker.log.wait(rf"Bridge b connected to {place} as {HOST}\.b\.$")
    link.close()
    broker.log.wait(rf"Warning: Bridge b disconnected from {place}: .+; next attempt in \d+\.\d s\.$")
    remote.stop()
    broker.log.wait(rf"Warning: Unable to connect bridge b \({place}\): .*refused.*; next attempt in \d+\.\d s\.$")


@pytest.mark.ours
@pytest.mark.parametrize("lines", [[], ["cleansession true"]])
def test_a_farewell_when_the_broker_stops(brokers, remote, lines):
    broker = brokers.start(*section(remote, "topic a/# out 1", *lines))
    link = remote.welcome(outs=["a/#"])
    broker.connect().publish("a/1", "before", qos=1)
    link.take("a/1", "before")
    broker.process.terminate()
    assert link.expect_end()


@pytest.mark.ours
def test_the_last_words_are_the_notification_and_disconnect(brokers, remote):
    broker = brokers.start(*section(remote, "topic a/# out 1", notifications=True))
    link = remote.welcome(outs=["a/#"])
    link.take(STATE, "1")
    broker.process.terminate()
    last = link.expect(PUBLISH, topic=STATE, payload="0", retain=True)
    link.send_if_open(puback(last.mid) if last.qos else b"")
    link.expect(DISCONNECT)
    with pytest.raises(Closed):
        link.next()
    broker.log.wait(r"Bridge b stopped: (the broker stops|server shutting down)\.")


@pytest.mark.slow
def test_a_ping_when_nothing_else_goes(brokers, remote):
    brokers.start(*section(remote, "topic a/# out 1", "keepalive_interval 5"))
    link = remote.welcome(outs=["a/#"])
    link.pong()
    assert not link.buffer


def test_a_local_client_sees_no_difference(brokers, remote):
    """The session of a bridge is not in the way of an ordinary client's."""
    broker = brokers.start(*section(remote, "topic # out 1"))
    link = remote.welcome(outs=["#"])
    reader, writer = broker.connect(), broker.connect()
    reader.subscribe("x/#", qos=2)
    writer.publish("x/1", "both", qos=2)
    reader.take("x/1", "both", qos=2)
    link.take("x/1", "both", qos=1)
