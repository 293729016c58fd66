"""What a broker tells of its bridges below $SYS/broker/connection, and on the log."""

import pytest
from broker_process import free_port
from mqtt_wire import connect, publish
from remote_broker import HOST, connack, remote, remotes, section  # noqa: F401

pytestmark = pytest.mark.ours
OUT = ("topic a/# out 1",)
BASE = "$SYS/broker/connection/"


def await_value(broker, what, value, name="b"):
    """What stands there, as soon as it is this."""
    client = broker.connect()
    client.subscribe(f"{BASE}{name}/{what}")
    seen = []
    while not seen or seen[-1] != value:
        seen.append(client.take().payload.decode())
    client.close()
    return seen


def test_the_state(brokers, remote):
    broker = brokers.start("sys_interval 1", *section(remote, *OUT))
    link = remote.greet()
    await_value(broker, "state", "0")
    link.welcome(outs=["a/#"])
    await_value(broker, "state", "1")
    link.close()
    await_value(broker, "state", "0")


def test_where_it_is_connected(brokers, remote):
    broker = brokers.start("sys_interval 1", *section(f"127.0.0.1:{free_port()} localhost:{remote.port}", *OUT))
    remote.welcome(outs=["a/#"])
    await_value(broker, "address", f"localhost:{remote.port}")


def test_what_waits(brokers, remote):
    broker = brokers.start("sys_interval 1", *section(remote, *OUT))
    link = remote.greet()
    writer = broker.connect()
    for _ in range(7):
        writer.publish("a/1", "x" * 1000, qos=1)
    await_value(broker, "queued", "7")
    client = broker.connect()
    client.subscribe(BASE + "b/queued_bytes")
    assert 7000 <= int(client.take().payload) < 8000
    link.welcome(outs=["a/#"])
    link.take_many(7)
    await_value(broker, "queued", "0")
    await_value(broker, "queued_bytes", "0")


def test_the_last_error(brokers):
    broker = brokers.start("sys_interval 1", *section(f"127.0.0.1:{free_port()}", *OUT))
    client = broker.connect()
    client.subscribe(BASE + "b/last_error")
    while b"refused" not in client.take().payload.lower():
        pass


def test_each_bridge_has_its_own(brokers, remotes):
    one, two = remotes.start(), remotes.start()
    broker = brokers.start("sys_interval 1", *section(one, *OUT, name="one"), *section(two, *OUT, name="two"))
    one.welcome(outs=["a/#"])
    two.greet()
    await_value(broker, "state", "1", "one")
    await_value(broker, "state", "0", "two")


def test_they_are_retained_for_those_who_come_later(brokers, remote):
    broker = brokers.start("sys_interval 1", *section(remote, *OUT))
    remote.welcome(outs=["a/#"])
    await_value(broker, "state", "1")
    client = broker.connect()
    client.subscribe(BASE + "b/state")
    client.take(BASE + "b/state", "1", retain=True)


def test_the_notification_stands_beside_them(brokers, remote):
    """Its default topic has the remote client id, these have the section's name."""
    broker = brokers.start("sys_interval 1", *section(remote, *OUT, notifications=True))
    link = remote.welcome(outs=["a/#"])
    link.take(f"{BASE}{HOST}.b/state", "1")
    await_value(broker, "state", "1", f"{HOST}.b")
    await_value(broker, "state", "1")


def test_the_notification_on_a_topic_that_clients_see(brokers, remote):
    broker = brokers.start(*section(remote, *OUT, "notification_topic up/b", notifications=True))
    reader = broker.connect()
    reader.subscribe("up/#", qos=1)
    link = remote.welcome(outs=["a/#"])
    link.take("up/b", "1", retain=True)
    while reader.take("up/b").payload != b"1":
        pass
    link.close()
    reader.take("up/b", "0")


def test_without_figures(brokers, remote):
    """The notification is not one of them."""
    broker = brokers.start("sys_interval 0", *section(remote, *OUT, notifications=True))
    link = remote.welcome(outs=["a/#"])
    link.take(f"{BASE}{HOST}.b/state", "1")
    await_value(broker, "state", "1", f"{HOST}.b")
    client = broker.connect()
    client.subscribe(BASE + "b/#")
    client.quiet()


def test_one_line_for_each_change(brokers, remote):
    """An outage that lasts does not fill the log with what everybody knows."""
    broker = brokers.start(*section(remote, *OUT))
    link = remote.welcome(outs=["a/#"])
    writer = broker.connect()
    for _ in range(50):
        writer.publish("a/1", "x", qos=1)
    link.take_many(50)
    link.close()
    link = remote.greet()
    for _ in range(50):
        writer.publish("a/1", "x", qos=1)
    link.welcome(outs=["a/#"])
    link.take_many(50)
    broker.log.wait_for(2, "Bridge b connected")
    about = [line for line in broker.log.find(r"[Bb]ridge b\b") if "Sending" not in line and "Received" not in line]
    assert len([line for line in about if "disconnected" in line]) == 1, about
    assert len([line for line in about if "Connecting bridge" in line]) == 2, about


def test_a_client_may_not_have_the_session_of_a_bridge(brokers, remote):
    broker = brokers.start(*section(remote, *OUT))
    link = remote.welcome(outs=["a/#"])
    for clean in (True, False):
        client = broker.client()
        client.id = f"local.{HOST}.b"
        client.send(connect(client.id, clean=clean))
        assert client.recv().code == 2
        client.expect_closed()
    broker.log.wait(rf"local\.{HOST}\.b.*bridge")
    broker.connect().publish("a/1", "still there", qos=1)
    link.take("a/1", "still there")


def test_a_client_with_the_remote_id_is_a_client(brokers, remote):
    broker = brokers.start(*section(remote, *OUT))
    link = remote.welcome(outs=["a/#"])
    client = broker.connect(f"{HOST}.b")
    client.send(publish("a/1", "x"))
    link.take("a/1", "x")
    client.quiet()


def test_counted_as_what_it_is(brokers, remote):
    """A bridge is no client that has come: what it asks and answers makes no line of a new connection."""
    broker = brokers.start(*section(remote, *OUT))
    remote.greet().send(connack())
    broker.log.wait("Bridge b connected")
    assert not broker.log.find("New client connected .*local")
