"""Time limits: one and a half keep alive times, and 30 seconds for a whole CONNECT."""

import selectors
import socket
import time

import pytest
from mqtt_wire import PATIENCE, PING, PUBLISH, Closed, connect, publish, subscribe


def closing_times(clients, limit):
    """Wait until the server has closed all of these; seconds from now for each, by key."""
    start = time.monotonic()
    out = {}
    with selectors.DefaultSelector() as selector:
        for key, client in clients.items():
            selector.register(client.sock, selectors.EVENT_READ, key)
        while len(out) < len(clients):
            left = start + limit - time.monotonic()
            assert left > 0, f"still open: {set(clients) - set(out)}"
            for event, _ in selector.select(left):
                try:
                    clients[event.data].fill(0)
                except Closed:
                    out[event.data] = time.monotonic() - start
                    selector.unregister(event.fileobj)
    return out


@pytest.mark.slow
@pytest.mark.statements("MQTT-3.1.2-24")
def test_silence_closes_after_one_and_a_half_keepalives(broker, name):
    clients = {
        "clean": broker.connect(keepalive=1),
        "lasting": broker.connect(name, clean=False, keepalive=1),
        "old protocol": broker.connect(level=3, keepalive=1),
        "half a packet": broker.connect(keepalive=1),
        "after traffic": broker.connect(keepalive=1),
        "two seconds": broker.connect(keepalive=2),
    }
    clients["half a packet"].send(publish(name, "x")[:-1])
    clients["after traffic"].send(PING)
    took = closing_times(clients, PATIENCE)
    for key, seconds in took.items():
        expected = 3.0 if key == "two seconds" else 1.5
        assert expected - 0.1 <= seconds < expected + 2.5, took


@pytest.mark.slow
@pytest.mark.statements("MQTT-3.1.2-24")
def test_any_packet_keeps_alive_but_single_bytes_do_not(broker, name):
    keeps = {
        "ping": PING, "publish": publish(name, "x"), "subscribe": subscribe(1, (name + "x", 0)),
        "qos 1": publish(name, "x", 1, 1),
    }
    clients = {key: broker.connect(keepalive=1) for key in keeps}
    silent, drip = broker.connect(keepalive=0), broker.connect(keepalive=1)
    drop = publish(name, "never whole")
    clock = broker.connect(keepalive=0)
    for turn in range(8):
        for key, client in clients.items():
            client.send(keeps[key])
        drip.send_if_open(drop[turn : turn + 1])
        with pytest.raises(TimeoutError):
            clock.recv(0.5)
    for client in (*clients.values(), silent):
        client.ping()
    # Four seconds have passed: whoever has sent no whole packet meanwhile is gone by now.
    drip.expect_closed(0.5)


@pytest.mark.slow
@pytest.mark.statements("MQTT-3.1.2-24")
def test_what_a_client_receives_does_not_keep_it_alive(broker, name):
    """Only what the server receives counts; a dead reader of a busy topic is noticed."""
    reader = broker.connect(keepalive=1)
    reader.subscribe(name)
    writer = broker.connect(keepalive=0)
    deadline = time.monotonic() + PATIENCE
    with pytest.raises(Closed):
        while time.monotonic() < deadline:
            writer.send(publish(name, "x"))
            try:
                reader.recv(0.2)
            except TimeoutError:
                pass


@pytest.mark.slow
@pytest.mark.ours
def test_a_connect_is_due_30_seconds_after_accept(broker):
    """However it drips; and someone who has connected meanwhile is left alone."""
    clients = {key: broker.client() for key in ("silent", "half a CONNECT", "dripping", "first byte")}
    raw = connect("x" * 200)
    clients["half a CONNECT"].send(raw[:20])
    clients["first byte"].send(raw[:1])
    other = broker.connect(keepalive=0)
    took = {}
    start = time.monotonic()
    for turn in range(60):
        clients["dripping"].send_if_open(raw[turn : turn + 1])
        for key, client in clients.items():
            if key in took:
                continue
            try:
                client.recv(0.15)
            except TimeoutError:
                pass
            except Closed:
                took[key] = time.monotonic() - start
        if len(took) == len(clients):
            break
        with pytest.raises(TimeoutError):
            other.recv(0.2)
    assert set(took) == set(clients)
    assert all(27 < seconds < 35 for seconds in took.values()), took
    other.quiet()


@pytest.mark.statements("MQTT-3.1.2-24")
def test_the_largest_keepalive_is_accepted(broker, name):
    client = broker.connect(name, keepalive=65535)
    client.subscribe(name)
    client.send(publish(name, "x"))
    client.expect(PUBLISH)


def test_a_reader_of_a_large_message_stays_though_its_pings_wait(brokers, name):
    """16 MB at 4 MB a second: longer than its keepalive allows, and its pings are behind the answers."""
    broker = brokers.start("max_packet_size 30000000", verbose=False)
    size = 16_000_000
    broker.connect(keepalive=0).publish(name, b"x" * size, retain=True)
    slow = broker.client(rcvbuf=65536)
    slow.connect(name, keepalive=1)
    got, begin = 0, time.monotonic()
    slow.send(subscribe(1, (name, 0)))
    while got < size:
        slow.send_if_open(PING)
        data = slow.sock.recv(200_000, socket.MSG_WAITALL)
        assert data, f"closed after {got} bytes"
        got += len(data)
        time.sleep(0.05)
    assert time.monotonic() - begin > 3
