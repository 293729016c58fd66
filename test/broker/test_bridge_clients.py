"""Clients that say by the high bit of their protocol level that they are a bridge."""

import pytest
from mqtt_wire import connect, publish

pytestmark = pytest.mark.ours


@pytest.mark.parametrize("level", [0x83, 0x84])
def test_the_retain_flag_goes_to_a_bridge_as_published(broker, name, level):
    bridge, plain, writer = broker.connect(level=level), broker.connect(), broker.connect()
    for client in (bridge, plain):
        client.subscribe(name + "/#", qos=1)
    writer.publish(name + "/a", "kept", qos=1, retain=True)
    writer.publish(name + "/a", "passing", qos=1)
    bridge.take(name + "/a", "kept", retain=True)
    bridge.take(name + "/a", "passing", retain=False)
    plain.take(name + "/a", "kept", retain=False)
    plain.take(name + "/a", "passing", retain=False)


@pytest.mark.parametrize("level", [0x83, 0x84])
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_a_bridge_gets_no_echo(broker, name, level, qos):
    bridge, reader = broker.connect(level=level), broker.connect()
    for client in (bridge, reader):
        client.subscribe(name, qos=qos)
    bridge.publish(name, "from the bridge", qos=qos)
    reader.take(name, "from the bridge")
    broker.connect().publish(name, "from another", qos=qos)
    bridge.take(name, "from another")
    bridge.quiet()


def test_an_ordinary_client_has_its_echo(broker, name):
    client = broker.connect()
    client.subscribe(name)
    client.send(publish(name, "mine"))
    client.take(name, "mine")


@pytest.mark.parametrize("level", [0x80, 0x81, 0x82, 0x85, 0xFF])
def test_other_levels_with_the_high_bit_are_refused(broker, level):
    client = broker.client()
    client.send(connect("id", level=level))
    assert client.expect_half(4) == b"\x20\x02\x00\x01"
    client.expect_closed()
