"""The library against brokers that a test plays: what is on the wire when, and what a hostile broker can do.

With the distribution's library (LIBMOSQUITTO) six of these fail: it delivers a message to `+`, tells SUBACKs that nobody asked
for or that have a code too many, takes a PUBCOMP before PUBREC, needs SIGPIPE ignored, and calls the end within a packet
MOSQ_ERR_ERRNO.
"""

import time

import mqtt_wire
import pytest
from lib_programs import all_programs, is_ours, programs  # noqa: F401
from mqtt_wire import (
    CONNECT, DISCONNECT, PINGREQ, PUBACK, PUBCOMP, PUBLISH, PUBREC, PUBREL, SUBSCRIBE, UNSUBSCRIBE, Closed, puback, pubcomp,
    pubrec, pubrel,
)
from remote_broker import PONG, connack, remote, remotes, suback  # noqa: F401

GOOD = connack(0)


def silent(link):
    """Nothing comes for a while."""
    with pytest.raises(TimeoutError):
        link.recv(0.1)


@pytest.fixture
def start(programs, remote, name):  # noqa: F811
    """Start a case of lib/scripted.c whose broker is the test."""
    return lambda case, **options: programs.start("scripted", case, remote.port, name, **options)


def test_nothing_is_published_before_its_acknowledgement(start, remote):
    program = start("publishes_at_all_qos")
    link = remote.welcome()
    link.expect(PUBLISH, qos=0)
    one = link.expect(PUBLISH, qos=1)
    two = link.expect(PUBLISH, qos=2)
    silent(link)
    link.send(pubrec(two.mid))
    link.expect(PUBREL, mid=two.mid)
    link.send(puback(one.mid))
    silent(link)
    link.close()
    said = program.finish().split("\n")
    assert [line for line in said if line.startswith("published")] == ["published 1", f"published {one.mid}"]
    assert "disconnect 7" in said


def test_the_window_holds_on_the_wire(start, remote):
    program = start("publishes_with_a_window")
    link = remote.welcome()
    waiting = [link.expect(PUBLISH, qos=1, dup=False).mid for _ in range(3)]
    seen = list(waiting)
    while waiting:
        silent(link)
        link.send(puback(waiting.pop(0)))
        if len(seen) < 10:
            got = link.expect(PUBLISH, qos=1, dup=False)
            waiting.append(got.mid)
            seen.append(got.mid)
    assert len(set(seen)) == 10
    link.expect(DISCONNECT)
    program.finish()


def test_after_a_loss_all_goes_again_in_order(start, remote):
    program = start("publishes_for_ever")
    link = remote.welcome()
    mids = [link.expect(PUBLISH, dup=False).mid for _ in range(3)]
    link.send(pubrec(mids[1]))
    link.expect(PUBREL, mid=mids[1])
    link.close()
    link = remote.greet()
    assert not link.hello.clean
    silent(link)  # what goes again waits for CONNACK
    link.send(connack(0, True))
    again = link.expect(PUBLISH, mid=mids[0], dup=True, qos=1)
    assert again.payload == b"1"
    link.expect(PUBREL, mid=mids[1])
    link.expect(PUBLISH, mid=mids[2], dup=True)
    link.send(puback(mids[0]), pubcomp(mids[1]))
    link.reset()
    link = remote.greet()
    link.send(connack(0, True))
    got = link.recv()
    while got.mid != mids[2]:  # the acknowledgements may have been lost with the connection
        link.send(puback(got.mid) if got.kind == PUBLISH else pubcomp(got.mid))
        got = link.recv()
    link.send(puback(mids[2]))
    link.expect(DISCONNECT)
    said = program.finish()
    assert sorted(line for line in said.split("\n") if line.startswith("published")) == [f"published {mid}" for mid in mids]


@pytest.mark.slow
def test_delays_grow(start, remote):
    start("reconnects_with_growing_delays")
    remote.greet().close()
    last, delays = time.monotonic(), []
    for _ in range(4):
        link = remote.accept(20)
        delays.append(time.monotonic() - last)
        link.close()
        last = time.monotonic()
    assert 0.5 < delays[0] < 2.5, delays
    assert delays[1] > 1.5 and delays[2] > 3, delays
    assert max(delays) < 6.5, delays


def test_a_good_connection_begins_the_delays_anew(start, remote):
    start("reconnects_with_growing_delays")
    remote.greet().close()
    remote.accept().close()
    link = remote.accept()  # after two seconds or more
    link.expect(CONNECT)
    link.send(GOOD)
    time.sleep(0.3)
    link.close()
    began = time.monotonic()
    remote.accept(20)
    assert time.monotonic() - began < 3


CODES = {1: 1, 2: 2, 3: 3, 4: 4, 5: 5}


@pytest.mark.parametrize("code", CODES)
def test_a_refusal_is_told(start, remote, code):
    program = start("listens")
    link = remote.greet()
    link.send(connack(code))
    with pytest.raises(Closed):
        link.recv(5)
    said = program.finish()
    assert f"connect {code}" in said and "alive" in said


HOSTILE = {
    "a second CONNACK": GOOD,
    "CONNECT": mqtt_wire.connect("x"),
    "SUBSCRIBE": mqtt_wire.subscribe(1, ("a", 0)),
    "PINGREQ": mqtt_wire.PING,
    "type 0": b"\x00\x00",
    "type 15": b"\xf0\x00",
    "a length of five bytes": b"\x30\x80\x80\x80\x80\x01",
    "PUBLISH at QoS 3": b"\x36\x06\x00\x01a\x00\x01x",
    "PUBLISH to +": mqtt_wire.publish("+"),
    "PUBLISH to nothing": mqtt_wire.publish(""),
    "PUBLISH to no UTF-8": b"\x30\x04\x00\x02\xc3\x28",
    "PUBLISH with NUL": mqtt_wire.publish("a\0b"),
    "PUBLISH with id 0": b"\x32\x05\x00\x01a\x00\x00",
    "a topic that is longer than its packet": b"\x30\x03\x00\xffa",
    "an acknowledgement of one byte": b"\x40\x01\x00",
    "SUBACK without codes": b"\x90\x02\x00\x01",
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_broker_is_left(start, remote, what):
    program = start("listens")
    link = remote.greet()
    link.send(GOOD, HOSTILE[what])
    if is_ours():
        with pytest.raises(Closed):
            link.recv(10)
    else:
        link.close()
    said = program.finish()
    assert "connect 0" in said and "alive" in said and "message" not in said


@pytest.mark.parametrize("what", ["message", "suback", "ping", "ack"])
def test_nothing_comes_before_connack(start, remote, what):
    program = start("listens")
    link = remote.greet()
    link.send({"message": mqtt_wire.publish("a", "x"), "suback": suback(1, 0), "ping": PONG, "ack": puback(1)}[what])
    if is_ours():
        with pytest.raises(Closed):
            link.recv(10)
    link.close()
    said = program.finish()
    assert "message" not in said and "alive" in said


WRONG_ANSWERS = {
    "PUBACK for QoS 2": puback(2), "PUBREC for QoS 1": pubrec(1), "PUBCOMP for QoS 1": pubcomp(1),
    "PUBCOMP before PUBREC": pubcomp(2), "a code too many": suback(3, 1, 1),
}


@pytest.mark.parametrize("what", WRONG_ANSWERS)
def test_wrong_answers_are_not_believed(start, remote, what):
    program = start("asks")
    link = remote.welcome()
    for kind in (PUBLISH, PUBLISH, SUBSCRIBE, UNSUBSCRIBE):
        assert link.next().kind == kind
    link.send(WRONG_ANSWERS[what])
    if is_ours():
        with pytest.raises(Closed):
            link.recv(10)
    else:
        link.close()
    said = program.finish()
    assert "published" not in said and "subscribed" not in said and "alive" in said


def test_unknown_answers_are_no_events(start, remote):
    program = start("asks")
    link = remote.welcome()
    for _ in range(4):
        link.next()
    link.send(puback(77), pubcomp(77), suback(77, 0))
    link.send(puback(1))
    time.sleep(0.2)
    link.close()
    said = program.finish()
    assert "subscribed" not in said and "published 77" not in said and "published 1\n" in said


def test_each_byte_may_come_alone(start, remote):
    program = start("listens")
    link = remote.greet()
    link.send_slowly(GOOD + mqtt_wire.publish("a/b", "x" * 300) + mqtt_wire.publish("c", "y", 1, 9))
    link.expect(PUBACK, mid=9)
    link.close()
    said = program.finish()
    assert "message a/b 300\nmessage c 1\n" in said


def test_disconnect_in_a_callback_acknowledges_that_message_alone(start, remote):
    if not is_ours():
        pytest.skip("a choice of this library")
    program = start("leaves_in_a_message")
    link = remote.greet()
    link.send(GOOD, mqtt_wire.publish("a", "1", 1, 5), mqtt_wire.publish("b", "2", 1, 6))
    link.expect(PUBACK, mid=5)
    link.expect(DISCONNECT)
    with pytest.raises(Closed):
        link.recv(5)
    said = program.finish()
    assert "message a 1" in said and "message b" not in said


@pytest.mark.parametrize("qos", [1, 2])
def test_a_program_that_dies_in_a_callback_has_not_acknowledged(start, remote, qos):
    if not is_ours():
        pytest.skip("a choice of this library")
    program = start("dies_in_a_message")
    link = remote.greet()
    link.send(GOOD, mqtt_wire.publish("a", "1", qos, 5))
    with pytest.raises(Closed):
        link.recv()
    assert "message a 1" in program.finish()


def test_qos2_comes_once(start, remote):
    program = start("listens")
    link = remote.greet()
    link.send(GOOD, mqtt_wire.publish("a", "1", 2, 5))
    link.expect(PUBREC, mid=5)
    link.send(mqtt_wire.publish("a", "1", 2, 5, dup=True))
    link.expect(PUBREC, mid=5)
    link.send(pubrel(5))
    link.expect(PUBCOMP, mid=5)
    link.close()
    assert program.finish().count("message a 1") == 1


def test_a_broken_pipe_is_no_signal(start, remote):
    program = start("writes_to_nobody")
    link = remote.greet()
    link.send(GOOD)
    time.sleep(0.2)
    link.reset()
    assert "alive" in program.finish()


@pytest.mark.slow
def test_a_silent_broker_is_given_up(start, remote):
    program = start("keeps_alive")
    link = remote.welcome()
    link.expect(PINGREQ)
    link.send(PONG)
    link.expect(PINGREQ)
    with pytest.raises(Closed):
        link.recv(15)
    said = program.finish()
    assert "disconnect " in said and "disconnect 0" not in said


def test_half_a_packet_at_the_end(start, remote):
    program = start("listens")
    link = remote.greet()
    link.send(GOOD, mqtt_wire.publish("a", "x" * 100)[:-50])
    link.close()
    said = program.finish()
    assert "message" not in said and "loop 7" in said


@pytest.mark.slow
@pytest.mark.parametrize("case", ["floods_and_leaves", "floods_and_stops", "stops_while_connecting"])
def test_a_broker_that_does_nothing_does_not_hold_a_program(start, remote, case):
    program = start(case)
    if case == "stops_while_connecting":
        remote.greet()
    else:
        remote.welcome()
    assert "alive" in program.finish(seconds=40)
