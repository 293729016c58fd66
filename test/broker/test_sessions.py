"""Sessions: clean and lasting, takeover, queues for absent clients and their limits."""

import pytest
from mqtt_wire import (
    CONNACK, PUBACK, PUBLISH, SUBACK, Closed, connect, puback, publish, pubrec, subscribe,
)


def absent(broker, name, *filters, qos=1, **options):
    """A lasting session with these subscriptions, whose client has left."""
    client = broker.connect(name, clean=False, **options)
    client.subscribe(*filters, qos=qos)
    client.disconnect()


def payloads(packets):
    return [p.payload.decode() for p in packets]


@pytest.mark.statements("MQTT-3.1.2-4", "MQTT-3.1.2-5", "MQTT-4.1.0-1", "MQTT-4.5.0-1", "MQTT-3.1.3-2")
@pytest.mark.parametrize("level", [3, 4])
@pytest.mark.parametrize("leave", ["disconnect", "close", "reset"])
def test_messages_for_an_absent_client_are_kept(broker, name, level, leave):
    client = broker.connect(name, clean=False, level=level)
    client.subscribe((name + "/1", 1), (name + "/2", 2), (name + "/+", 0))
    getattr(client, leave)()
    writer = broker.connect()
    for number in range(10):
        writer.publish(name + "/1", f"a{number}", qos=1)
        writer.publish(name + "/2", f"b{number}", qos=2)
        writer.publish(name + "/1", f"c{number}", qos=2)
    client = broker.connect(name, clean=False, level=level)
    got = client.take_all()
    assert len(got) == 30 and not any(p.dup or p.retain for p in got)
    for letter, qos in (("a", 1), ("b", 2), ("c", 1)):
        mine = [p for p in got if p.payload.decode()[0] == letter]
        assert payloads(mine) == [f"{letter}{n}" for n in range(10)]
        assert {p.qos for p in mine} == {qos}
    client.quiet()
    writer.publish(name + "/1", "live", qos=1)
    client.take(name + "/1", "live", qos=1)


@pytest.mark.statements("MQTT-3.2.0-1", "MQTT-3.2.2-2")
def test_connack_comes_before_the_stored_messages(broker, name):
    absent(broker, name, name)
    broker.connect().publish(name, "stored", qos=1)
    client = broker.client()
    client.send(connect(name, clean=False), subscribe(1, (name + "/x", 0)))
    client.expect(CONNACK, session_present=True)
    assert sorted(client.recv().kind for _ in range(2)) == [PUBLISH, SUBACK]


@pytest.mark.statements("MQTT-3.1.2-6", "MQTT-3.2.2-1", "MQTT-3.2.2-3", "MQTT-3.1.4-3")
def test_a_clean_connect_discards_everything(broker, name):
    """Subscriptions, queue and half-done deliveries alike, then and for good."""
    client = broker.connect(name, clean=False)
    client.subscribe(name, qos=2)
    writer = broker.connect()
    writer.publish(name, "one", qos=1)
    writer.publish(name, "two", qos=2)
    got = [client.expect(PUBLISH) for _ in range(2)]
    client.send(pubrec(got[1].mid))
    client.close()
    writer.publish(name, "queued", qos=1)
    client = broker.connect(name, clean=True)
    assert not client.connack.session_present
    client.quiet()
    writer.publish(name, "unsubscribed", qos=1)
    client.quiet()
    client.disconnect()
    client = broker.connect(name, clean=False)
    assert not client.connack.session_present
    client.quiet()
    writer.publish(name, "still unsubscribed", qos=1)
    client.quiet()


@pytest.mark.statements("MQTT-3.1.2-6")
def test_a_clean_session_ends_with_its_connection(broker, name):
    client = broker.connect(name, clean=True)
    client.subscribe(name, qos=1)
    client.close()
    broker.connect().publish(name, "for nobody", qos=1)
    client = broker.connect(name, clean=False)
    assert not client.connack.session_present
    client.quiet()


@pytest.mark.statements("MQTT-3.1.3-2")
def test_sessions_of_different_ids_are_apart(broker, name):
    for suffix in ("", "a", "A", "aa", " a", "é", "e"):
        absent(broker, name + suffix, f"{name}/{suffix or 'none'}")
    writer = broker.connect()
    for suffix in ("", "a", "A", "aa", " a", "é", "e"):
        writer.publish(f"{name}/{suffix or 'none'}", suffix, qos=1)
    for suffix in ("", "a", "A", "aa", " a", "é", "e"):
        client = broker.connect(name + suffix, clean=False)
        assert client.connack.session_present
        client.take(payload=suffix)
        client.quiet()


@pytest.mark.statements("MQTT-3.1.2-5")
def test_only_subscriptions_at_the_time_of_leaving_count(broker, name):
    client = broker.connect(name, clean=False)
    client.subscribe(name + "/kept", name + "/left", qos=1)
    client.unsubscribe(name + "/left")
    client.disconnect()
    writer = broker.connect()
    for topic in ("kept", "left", "other"):
        writer.publish(f"{name}/{topic}", topic, qos=1)
    client = broker.connect(name, clean=False)
    client.take(name + "/kept", "kept")
    client.quiet()


@pytest.mark.statements("MQTT-4.1.0-2")
def test_a_session_lasts_while_its_connection_does(broker, name):
    """Clean, idle and in use: the subscription is there as long as the client is."""
    client = broker.connect(name, clean=True, keepalive=0)
    client.subscribe(name, qos=1)
    writer = broker.connect()
    for number in range(50):
        writer.publish(name, str(number), qos=1)
        client.take(name, str(number))


def test_qos_0_is_not_kept_for_absent_clients(broker, name):
    absent(broker, name, name)
    writer = broker.connect()
    writer.publish(name, "zero")
    writer.publish(name, "one", qos=1)
    client = broker.connect(name, clean=False)
    client.take(name, "one")
    client.quiet()


def test_qos_0_is_kept_when_it_was_asked_for(brokers, name):
    broker = brokers.get("queue_qos0_messages true")
    absent(broker, name, name)
    writer = broker.connect()
    for number in range(20):
        writer.publish(name, str(number), qos=number % 2)
    got = broker.connect(name, clean=False).take_all()
    assert sorted(map(int, payloads(got))) == list(range(20))
    assert {p.qos for p in got} == {0, 1}


def test_qos_0_subscriptions_of_absent_clients_get_nothing(broker, name):
    absent(broker, name, name, qos=0)
    broker.connect().publish(name, "two", qos=2)
    broker.connect(name, clean=False).quiet()


# --- takeover ---------------------------------------------------------------------------------


@pytest.mark.statements("MQTT-3.1.4-2")
@pytest.mark.parametrize("old_clean", [True, False])
@pytest.mark.parametrize("new_clean", [True, False])
@pytest.mark.parametrize("levels", [(3, 4), (4, 4), (4, 3)])
def test_a_takeover_closes_the_older_connection(broker, name, old_clean, new_clean, levels):
    old = broker.connect(name, clean=old_clean, level=levels[0])
    old.subscribe(name, qos=1)
    new = broker.connect(name, clean=new_clean, level=levels[1])
    old.expect_closed()
    stays = not old_clean and not new_clean
    if levels[1] == 4:
        assert new.connack.session_present == stays
    broker.connect().publish(name, "x", qos=1)
    if stays:
        new.take(name, "x")
    new.quiet()


@pytest.mark.statements("MQTT-3.1.4-2", "MQTT-4.4.0-1")
def test_a_takeover_goes_on_with_the_deliveries(broker, name):
    old = broker.connect(name, clean=False)
    old.subscribe(name, qos=1)
    writer = broker.connect()
    for number in range(25):
        writer.publish(name, str(number), qos=1)
    first = [old.expect(PUBLISH) for _ in range(20)]
    new = broker.connect(name, clean=False)
    old.expect_closed()
    again = [new.take() for _ in range(25)]
    assert payloads(again) == [str(n) for n in range(25)]
    assert [p.mid for p in again[:20]] == [p.mid for p in first]
    assert [p.dup for p in again] == [True] * 20 + [False] * 5


@pytest.mark.statements("MQTT-3.1.4-2")
def test_a_takeover_storm(broker, name):
    """Many connections for one id at once: one survives, others are closed, nobody else notices."""
    bystander = broker.connect()
    bystander.subscribe(name)
    storm = [broker.client() for _ in range(300)]
    for number, client in enumerate(storm):
        client.send(connect(name, clean=bool(number % 3), keepalive=0), publish(name, "x", 1, 1))
    alive = 0
    for client in storm:
        try:
            client.expect(CONNACK, code=0)
            client.expect(PUBACK, mid=1)
            client.ping()
            alive += 1
        except Closed:
            pass
    assert alive >= 1
    last = broker.connect(name)
    for client in storm:
        client.expect_closed(allow=(CONNACK, PUBACK))
    last.quiet()
    assert {p.payload for p in bystander.ping()} <= {b"x"}


# --- limits of the queue ----------------------------------------------------------------------


@pytest.mark.parametrize("qos", [1, 2])
def test_max_queued_messages_for_an_absent_client(brokers, name, qos):
    """The oldest are kept, the newest dropped, publishers are acknowledged; then all is well again."""
    broker = brokers.get("max_queued_messages 10", "max_inflight_messages 5")
    absent(broker, name, name, qos=qos)
    writer = broker.connect()
    for number in range(100):
        writer.publish(name, str(number), qos=qos)
    client = broker.connect(name, clean=False)
    got = payloads(client.take_all())
    assert 10 <= len(got) <= 15
    assert got == [str(n) for n in range(len(got))]
    writer.publish(name, "after", qos=qos)
    client.take(name, "after")


def test_max_queued_messages_for_a_reader_that_does_not_acknowledge(brokers, name):
    broker = brokers.get("max_queued_messages 10", "max_inflight_messages 5")
    client, writer = broker.connect(), broker.connect()
    client.subscribe(name, qos=1)
    for number in range(100):
        writer.publish(name, str(number), qos=1)
    got = payloads(client.take_all())
    assert got == [str(n) for n in range(15)]
    writer.publish(name, "after", qos=1)
    client.take(name, "after")


def test_the_default_queue_takes_1000(broker, name):
    absent(broker, name, name)
    writer = broker.connect()
    for start in range(0, 1500, 100):
        writer.send(*[publish(name, str(start + i), 1, i + 1) for i in range(100)])
        for i in range(100):
            writer.expect(PUBACK, mid=i + 1)
    got = payloads(broker.connect(name, clean=False).take_all())
    assert 1000 <= len(got) <= 1020
    assert got == [str(n) for n in range(len(got))]


def test_max_queued_messages_0_has_no_limit(brokers, name):
    broker = brokers.get("max_queued_messages 0", verbose=False)
    absent(broker, name, name)
    writer = broker.connect()
    for start in range(0, 5000, 100):
        writer.send(*[publish(name, str(start + i), 1, i + 1) for i in range(100)])
        for i in range(100):
            writer.expect(PUBACK, mid=i + 1)
    client = broker.connect(name, clean=False)
    for number in range(5000):
        got = client.expect(PUBLISH, payload=str(number))
        client.send(puback(got.mid))
    client.quiet()


def test_max_queued_bytes(brokers, name):
    broker = brokers.get("max_queued_bytes 10000", "max_inflight_messages 1")
    absent(broker, name, name)
    writer = broker.connect()
    for number in range(50):
        writer.publish(name, f"{number:04}" + "x" * 996, qos=1)
    got = [p[:4] for p in payloads(broker.connect(name, clean=False).take_all())]
    assert 8 <= len(got) <= 12
    assert got == [f"{n:04}" for n in range(len(got))]


def test_a_full_queue_of_one_client_does_not_touch_another(brokers, name):
    broker = brokers.get("max_queued_messages 10", "max_inflight_messages 5")
    absent(broker, name, name)
    reader, writer = broker.connect(), broker.connect()
    reader.subscribe(name, qos=1)
    for number in range(60):
        writer.publish(name, str(number), qos=1)
        reader.take(name, str(number))


def test_messages_of_a_dropped_qos_2_stay_dropped(brokers, name):
    """What the queue refused does not come back, and its identifiers are free again."""
    broker = brokers.get("max_queued_messages 10", "max_inflight_messages 5")
    client = broker.connect(name, clean=False)
    client.subscribe(name, qos=2)
    writer = broker.connect()
    for round_number in range(5):
        for number in range(40):
            writer.publish(name, f"{round_number}-{number}", qos=2)
        got = payloads(client.take_all())
        assert got == [f"{round_number}-{n}" for n in range(15)]
