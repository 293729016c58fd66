"""Strings: well-formed UTF-8 everywhere, no U+0000, a byte order mark kept as it is."""

import pytest
from mqtt_wire import connect, publish, subscribe, unsubscribe

ILL_FORMED = [
    b"\x80", b"\xbf", b"\xc2", b"\xe2\x82", b"\xf0\x9f\x98", b"\xc0\x80", b"\xc1\xbf", b"\xc0\xaf",
    b"\xe0\x80\x80", b"\xe0\x9f\xbf", b"\xf0\x80\x80\x80", b"\xf0\x8f\xbf\xbf", b"\xed\xa0\x80",
    b"\xed\xbf\xbf", b"\xed\xa0\xbd\xed\xb8\x80", b"\xf4\x90\x80\x80", b"\xf5\x80\x80\x80",
    b"\xf8\x88\x80\x80\x80", b"\xfc\x84\x80\x80\x80\x80", b"\xfe", b"\xff", b"\xc3\x28", b"\xe2\x28\xa1",
    b"\xf0\x28\x8c\xbc", b"\xe2\x82\x28",
]
NUL = [b"\x00"]
UNWANTED = [chr(c).encode() for c in (1, 9, 10, 13, 31, 127, 128, 0x85, 159, 0xFFFF, 0xFFFE, 0x1FFFF, 0xFDD0)]
WELL_FORMED = [
    "é", "ß", "߿", "ࠀ", "日本語", "\ud7ff", "\ue000", "\ufffd", "😀", "\U00010000", "\U0010fffd", " ", "\u00a0",
    "\u2028", "a\u0301",
]


def in_client_id(broker, bad):
    client = broker.client()
    client.send(connect(b"ab" + bad + b"c"))
    return client


def in_will_topic(broker, bad):
    client = broker.client()
    client.send(connect("willing", will={"topic": b"w" + bad + b"c", "payload": "x"}))
    return client


def in_user_name(broker, bad):
    client = broker.client()
    client.send(connect("named", username=b"u" + bad + b"c"))
    return client


def in_publish(broker, bad):
    client = broker.connect()
    client.send(publish(b"t/" + bad + b"c", "x"))
    return client


def in_publish_qos2(broker, bad):
    client = broker.connect()
    client.send(publish(b"t/" + bad + b"c", "x", 2, 1))
    return client


def in_subscribe(broker, bad):
    client = broker.connect()
    client.send(subscribe(1, ("fine", 0), (b"t/" + bad + b"c", 0)))
    return client


def in_unsubscribe(broker, bad):
    client = broker.connect()
    client.send(unsubscribe(1, "fine", b"t/" + bad + b"c"))
    return client


def at_the_end_of_publish(broker, bad):
    client = broker.connect()
    client.send(publish(b"t/" + bad, b"\x80\x80\x80\x80"))
    return client


PLACES = [
    in_client_id, in_will_topic, in_user_name, in_publish, in_publish_qos2, at_the_end_of_publish,
    in_subscribe, in_unsubscribe,
]


@pytest.mark.statements("MQTT-1.5.3-1", "MQTT-3.1.3-4", "MQTT-3.1.3-10", "MQTT-3.1.3-11", "MQTT-3.3.2-1",
                        "MQTT-3.8.3-1", "MQTT-3.10.3-1", "MQTT-4.8.0-1")
@pytest.mark.parametrize("place", PLACES)
def test_ill_formed_strings_close(broker, place):
    for bad in ILL_FORMED:
        place(broker, bad).expect_closed()
    broker.answers()


@pytest.mark.statements("MQTT-1.5.3-2", "MQTT-4.7.3-2")
@pytest.mark.parametrize("place", PLACES)
def test_nul_closes(broker, place):
    for bad in NUL:
        place(broker, bad).expect_closed()
    broker.answers()


@pytest.mark.ours
@pytest.mark.parametrize("place", PLACES)
def test_control_characters_and_non_characters_close(broker, place):
    for bad in UNWANTED:
        place(broker, bad).expect_closed()
    broker.answers()


@pytest.mark.statements("MQTT-1.5.3-1", "MQTT-4.7.3-4")
def test_every_kind_of_well_formed_string_passes(broker, name):
    for text in WELL_FORMED:
        client = broker.connect(name + text, username=text)
        topic = f"{name}/{text}"
        client.subscribe(topic)
        client.send(publish(topic, "x"))
        assert client.take().topic == topic
        client.unsubscribe(topic)
        client.send(publish(topic, "x"))
        client.quiet()


@pytest.mark.statements("MQTT-1.5.3-3")
def test_a_byte_order_mark_is_a_character(broker, name):
    for marked in ("\ufeff" + name, name + "/\ufeffb", name + "\ufeff"):
        client = broker.connect()
        client.subscribe(marked.replace("\ufeff", ""))
        client.send(publish(marked, "x"))
        client.quiet()
        client.subscribe(marked)
        client.send(publish(marked, "x"))
        assert client.take().topic == marked
        client.close()
    first, second = broker.connect("\ufeff" + name), broker.connect(name)
    first.quiet()
    second.quiet()


@pytest.mark.statements("MQTT-4.7.3-4")
def test_nothing_is_normalised(broker, name):
    pairs = [("é", "e\u0301"), ("a", "A"), ("ﬁ", "fi"), ("x", "/x"), ("x", "x/"), ("x/y", "x//y"),
             ("a b", "a  b"), ("%41", "A"), ("..", "."), ("a/../b", "b"), ("\u212b", "\u00c5")]
    for one, other in pairs:
        client = broker.connect()
        client.subscribe(f"{name}/{one}")
        client.send(publish(f"{name}/{other}", "wrong"), publish(f"{name}/{one}", "right"))
        client.take(f"{name}/{one}", "right")
        client.quiet()
        client.close()
