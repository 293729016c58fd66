"""The broker as sender of PUBLISH: QoS, identifiers, the window, and what goes out again."""

import pytest
from mqtt_wire import (
    PUBACK, PUBLISH, PUBREL, SUBACK, puback, pubcomp, publish, pubrec, pubrel, subscribe,
)


def fill(broker, topic, count, qos, start=0):
    """Publish `count` numbered messages."""
    client = broker.connect()
    for number in range(start, start + count):
        client.publish(topic, str(number), qos=qos)
    client.disconnect()


@pytest.mark.statements("MQTT-3.8.4-6", "MQTT-3.8.4-5", "MQTT-4.5.0-1")
@pytest.mark.parametrize("sent", [0, 1, 2])
@pytest.mark.parametrize("granted", [0, 1, 2])
def test_delivery_is_at_the_lower_qos(broker, name, sent, granted):
    reader, writer = broker.connect(), broker.connect()
    reader.subscribe(name, qos=granted)
    writer.publish(name, "x", qos=sent)
    reader.take(name, "x", qos=min(sent, granted), dup=False, retain=False)
    reader.quiet()


@pytest.mark.statements("MQTT-2.3.1-1", "MQTT-2.3.1-4", "MQTT-4.3.2-1")
def test_ids_of_deliveries_in_flight_differ(broker, name):
    reader = broker.connect()
    reader.subscribe(name, qos=2)
    fill(broker, name, 10, 1)
    fill(broker, name, 10, 2)
    got = [reader.expect(PUBLISH, dup=False) for _ in range(20)]
    assert len({p.mid for p in got}) == 20 and 0 not in {p.mid for p in got}


@pytest.mark.statements("MQTT-2.3.1-4", "MQTT-4.3.2-1")
def test_an_id_in_flight_is_not_used_again_after_wrap_around(brokers, name):
    """Two messages stay unacknowledged while 66,000 others pass, or wait for them if they must."""
    broker = brokers.get(verbose=False)
    reader, writer = broker.connect(), broker.connect()
    reader.subscribe(name, qos=2)
    writer.publish(name, "first", qos=1)
    writer.publish(name, "second", qos=2)
    kept = [reader.expect(PUBLISH).mid for _ in range(2)]
    count, batch = 66_000, 500
    got = []

    def receive(limit):
        while len(got) < limit:
            packets = reader.ping()
            if not packets:
                return  # it waits for the two
            assert not {p.mid for p in packets} & set(kept)
            reader.send(*[puback(p.mid) for p in packets])
            got.extend(int(p.payload) for p in packets)

    for start in range(0, count, batch):
        writer.send(*[publish(name, str(start + i), 1, i + 1) for i in range(batch)])
        for i in range(batch):
            writer.expect(PUBACK, mid=i + 1)
        receive(start + batch)
    reader.send(puback(kept[0]), pubrec(kept[1]))
    kept.clear()
    held_back = reader.take_all()
    got += [int(p.payload) for p in held_back]
    # Up to 65,000 nothing could force the broker to wait; what it held back after that may have
    # met a full queue, but is in order.
    assert got[:65_000] == list(range(65_000)) and got == sorted(set(got))
    writer.publish(name, "99999", qos=1)
    assert int(reader.expect(PUBLISH).payload) == 99999


@pytest.mark.statements("MQTT-3.3.1-3", "MQTT-3.3.1-1")
@pytest.mark.parametrize("qos", [1, 2])
def test_dup_is_not_passed_on(broker, name, qos):
    reader, writer = broker.connect(), broker.connect()
    reader.subscribe(name, qos=qos)
    writer.send(publish(name, "x", qos, 3, dup=True), pubrel(3) if qos == 2 else b"")
    reader.take(name, "x", qos=qos, dup=False)


@pytest.mark.statements("MQTT-4.3.3-1", "MQTT-2.3.1-6")
def test_the_whole_qos_2_handshake(broker, name):
    reader, writer = broker.connect(), broker.connect()
    reader.subscribe(name, qos=2)
    writer.publish(name, "x", qos=2)
    got = reader.expect(PUBLISH, qos=2)
    reader.quiet()
    reader.send(pubrec(got.mid))
    reader.expect(PUBREL, mid=got.mid)
    reader.quiet()
    reader.send(pubrec(got.mid))
    reader.expect(PUBREL, mid=got.mid)
    reader.send(pubcomp(got.mid))
    reader.quiet()


@pytest.mark.statements("MQTT-4.3.2-1", "MQTT-4.4.0-1", "MQTT-3.3.1-1", "MQTT-4.1.0-1")
def test_unacknowledged_qos_1_goes_out_again_until_acknowledged(broker, name):
    reader = broker.connect(name, clean=False)
    reader.subscribe(name, qos=1)
    fill(broker, name, 3, 1)
    first = [reader.expect(PUBLISH, dup=False) for _ in range(3)]
    for _ in range(3):
        reader.close()
        reader = broker.connect(name, clean=False)
        assert reader.connack.session_present
        again = [reader.expect(PUBLISH, dup=True, qos=1) for _ in range(3)]
        assert [(p.mid, p.payload) for p in again] == [(p.mid, p.payload) for p in first]
        reader.quiet()
    reader.send(puback(first[1].mid))
    reader.quiet()
    reader.close()
    reader = broker.connect(name, clean=False)
    again = [reader.take(dup=True) for _ in range(2)]
    assert [p.mid for p in again] == [first[0].mid, first[2].mid]
    reader.disconnect()
    broker.connect(name, clean=False).quiet()


@pytest.mark.statements("MQTT-4.4.0-1", "MQTT-4.3.3-1", "MQTT-4.6.0-1", "MQTT-4.6.0-4")
def test_each_step_of_qos_2_is_taken_up_where_it_was(broker, name):
    reader = broker.connect(name, clean=False)
    reader.subscribe(name, qos=2)
    fill(broker, name, 6, 2)
    mids = [reader.expect(PUBLISH, payload=str(i), dup=False).mid for i in range(6)]
    for mid in mids[:3]:
        reader.send(pubrec(mid))
        reader.expect(PUBREL, mid=mid)
    reader.send(pubcomp(mids[0]))
    reader.quiet()
    for _ in range(2):
        reader.close()
        reader = broker.connect(name, clean=False)
        got = [reader.recv() for _ in range(5)]
        assert [p.mid for p in got if p.kind == PUBREL] == mids[1:3]
        again = [p for p in got if p.kind == PUBLISH]
        assert [p.mid for p in again] == mids[3:]
        assert [p.payload for p in again] == [b"3", b"4", b"5"]
        assert all(p.dup and p.qos == 2 for p in again)
        reader.quiet()
    for mid in mids[1:3]:
        reader.send(pubcomp(mid))
    for mid in mids[3:]:
        reader.send(pubrec(mid))
        reader.expect(PUBREL, mid=mid)
        reader.send(pubcomp(mid))
    reader.disconnect()
    broker.connect(name, clean=False).quiet()


@pytest.mark.statements("MQTT-4.6.0-4")
def test_pubrel_follows_the_order_of_pubrec(broker, name):
    reader = broker.connect()
    reader.subscribe(name, qos=2)
    fill(broker, name, 5, 2)
    mids = [reader.expect(PUBLISH).mid for _ in range(5)]
    order = [mids[i] for i in (3, 0, 4, 2, 1)]
    reader.send(*[pubrec(mid) for mid in order])
    assert [reader.expect(PUBREL).mid for _ in order] == order


@pytest.mark.statements("MQTT-4.6.0-1", "MQTT-4.4.0-1")
def test_a_mixture_goes_out_again_in_its_order(broker, name):
    reader = broker.connect(name, clean=False)
    reader.subscribe(name, qos=2)
    writer = broker.connect()
    for number in range(12):
        writer.publish(name, str(number), qos=1 + number % 2)
    first = [reader.expect(PUBLISH) for _ in range(12)]
    for acknowledged in (7, 2):
        reader.send(puback(first[acknowledged - acknowledged % 2].mid))
    left = [p for i, p in enumerate(first) if i not in (6, 2)]
    reader.quiet()
    reader.close()
    reader = broker.connect(name, clean=False)
    again = [reader.expect(PUBLISH, dup=True) for _ in left]
    assert [(p.mid, p.payload, p.qos) for p in again] == [(p.mid, p.payload, p.qos) for p in left]
    writer.publish(name, "new", qos=1)
    reader.take(name, "new", dup=False)


def test_nothing_is_sent_again_while_connected(broker, name):
    reader = broker.connect()
    reader.subscribe(name, qos=2)
    fill(broker, name, 2, 1)
    for _ in range(2):
        reader.expect(PUBLISH, dup=False)
    with pytest.raises(TimeoutError):
        reader.recv(1.2)


@pytest.mark.statements("MQTT-4.8.0-1")
@pytest.mark.parametrize("qos, answer", [(1, pubrec), (1, pubcomp), (2, puback), (2, pubcomp)])
def test_an_acknowledgement_for_another_qos_closes(broker, name, qos, answer):
    reader = broker.connect()
    reader.subscribe(name, qos=qos)
    fill(broker, name, 1, qos)
    got = reader.expect(PUBLISH, qos=qos)
    reader.send(answer(got.mid))
    reader.expect_closed()


@pytest.mark.parametrize("window", [1, 3, 20])
@pytest.mark.parametrize("qos", [1, 2])
def test_the_in_flight_window(brokers, name, window, qos):
    """No more than so many unacknowledged at a time; each completed one lets the next out."""
    broker = brokers.get(f"max_inflight_messages {window}")
    reader = broker.connect()
    reader.subscribe(name, qos=qos)
    fill(broker, name, window + 5, qos)
    flying = [reader.expect(PUBLISH, payload=str(i)) for i in range(window)]
    reader.quiet()
    for number in range(window, window + 5):
        oldest = flying.pop(0)
        if qos == 1:
            reader.send(puback(oldest.mid))
        else:
            reader.send(pubrec(oldest.mid))
            reader.expect(PUBREL, mid=oldest.mid)
            reader.quiet()
            reader.send(pubcomp(oldest.mid))
        flying.append(reader.expect(PUBLISH, payload=str(number), dup=False))
        reader.quiet()


def test_the_default_window_is_20(broker, name):
    reader = broker.connect()
    reader.subscribe(name, qos=1)
    fill(broker, name, 25, 1)
    assert [p.payload for p in reader.ping()] == [str(i).encode() for i in range(20)]


def test_a_window_of_0_has_no_limit(brokers, name):
    broker = brokers.get("max_inflight_messages 0")
    reader = broker.connect()
    reader.subscribe(name, qos=1)
    fill(broker, name, 200, 1)
    assert len(reader.ping()) == 200


def test_a_window_in_bytes(brokers, name):
    broker = brokers.get("max_inflight_bytes 1000")
    reader = broker.connect()
    reader.subscribe(name, qos=1)
    writer = broker.connect()
    for number in range(6):
        writer.publish(name, str(number) * 400, qos=1)
    flying = reader.ping()
    assert 1 <= len(flying) <= 3
    got = [p.payload[:1] for p in flying]
    while flying:
        reader.send(puback(flying.pop(0).mid))
        new = reader.ping()
        got += [p.payload[:1] for p in new]
        flying += new
        assert len(flying) <= 3
    assert got == [b"0", b"1", b"2", b"3", b"4", b"5"]
    writer.publish(name, "x" * 5000, qos=1)
    reader.take(name, "x" * 5000)


def test_qos_0_passes_a_full_window(brokers, name):
    """QoS 0 needs no place in the window; only within one topic and QoS is there an order."""
    broker = brokers.get("max_inflight_messages 1")
    reader, writer = broker.connect(), broker.connect()
    reader.subscribe(name, qos=1)
    writer.publish(name, "one", qos=1)
    writer.publish(name, "waits", qos=1)
    writer.publish(name, "zero", qos=0)
    one = reader.expect(PUBLISH, payload="one")
    reader.expect(PUBLISH, payload="zero")
    reader.quiet()
    reader.send(puback(one.mid))
    reader.take(name, "waits")


@pytest.mark.statements("MQTT-3.3.5-1", "MQTT-3.3.2-3")
@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0), (0, 2, 1)])
def test_overlapping_filters_give_one_copy_at_the_highest_qos(broker, name, order):
    reader, writer = broker.connect(), broker.connect()
    filters = [f"{name}/#", f"{name}/+", f"{name}/a"]
    for text, qos in zip(filters, order):
        reader.subscribe(text, qos=qos)
    writer.publish(f"{name}/a", "x", qos=2)
    reader.take(f"{name}/a", "x", qos=2)
    reader.quiet()
    reader.unsubscribe(filters[order.index(2)])
    writer.publish(f"{name}/a", "y", qos=2)
    reader.take(f"{name}/a", "y", qos=1)
    reader.quiet()


@pytest.mark.statements("MQTT-4.6.0-5", "MQTT-4.6.0-6")
@pytest.mark.parametrize("qos", [0, 1, 2])
@pytest.mark.parametrize("window", [1, 20])
def test_order_per_topic_and_publisher(brokers, name, qos, window):
    """Live, through the queue and over reconnects."""
    broker = brokers.get(f"max_inflight_messages {window}")
    reader = broker.connect(name, clean=False)
    reader.subscribe(name + "/+", qos=2)
    writer = broker.connect()
    number = 0
    seen = []
    for phase in range(4):
        for _ in range(30):
            number += 1
            writer.publish(f"{name}/a", str(number), qos=qos)
        if phase == 1:
            reader.close()
            reader = broker.connect(name, clean=False)
        seen += [int(p.payload) for p in reader.take_all()]
    if qos:
        assert sorted(set(seen)) == list(range(1, 121))
    assert seen == sorted(seen)


@pytest.mark.statements("MQTT-4.6.0-6", "MQTT-4.5.0-1")
def test_order_with_many_publishers_and_readers(broker, name):
    readers = [broker.connect() for _ in range(3)]
    for reader in readers:
        reader.subscribe(name + "/#", qos=0)
    writers = [broker.connect() for _ in range(5)]
    for number in range(40):
        for index, writer in enumerate(writers):
            writer.send(publish(f"{name}/{index}", str(number)))
    for writer in writers:
        writer.quiet()
    for reader in readers:
        got = reader.ping()
        for index in range(5):
            mine = [int(p.payload) for p in got if p.topic == f"{name}/{index}"]
            assert mine == list(range(40))


def test_a_full_handshake_completes_while_input_is_pipelined(broker, name):
    """PUBREC and PUBCOMP of many deliveries in one segment."""
    reader = broker.connect()
    reader.subscribe(name, qos=2)
    fill(broker, name, 20, 2)
    mids = [reader.expect(PUBLISH).mid for _ in range(20)]
    reader.send(*[pubrec(m) + pubcomp(m) for m in mids])
    assert [reader.expect(PUBREL).mid for _ in mids] == mids
    reader.quiet()


@pytest.mark.statements("MQTT-3.10.4-3", "MQTT-3.10.4-2")
@pytest.mark.parametrize("qos", [1, 2])
def test_deliveries_begun_before_unsubscribe_are_completed(broker, name, qos):
    reader = broker.connect(name, clean=False)
    reader.subscribe(name, qos=qos)
    fill(broker, name, 2, qos)
    mids = [reader.expect(PUBLISH).mid for _ in range(2)]
    reader.unsubscribe(name)
    fill(broker, name, 1, qos, start=9)
    reader.quiet()
    reader.close()
    reader = broker.connect(name, clean=False)
    again = [reader.expect(PUBLISH, dup=True) for _ in range(2)]
    assert [p.mid for p in again] == mids
    for mid in mids:
        if qos == 1:
            reader.send(puback(mid))
        else:
            reader.send(pubrec(mid))
            reader.expect(PUBREL, mid=mid)
            reader.send(pubcomp(mid))
    reader.quiet()
    reader.disconnect()
    broker.connect(name, clean=False).quiet()


@pytest.mark.statements("MQTT-3.8.4-3")
@pytest.mark.parametrize("qos", [0, 1])
def test_subscribing_again_does_not_interrupt_the_flow(broker, name, qos):
    reader, writer = broker.connect(), broker.connect()
    reader.subscribe(name, qos=qos)
    sent = 0
    got = []
    for turn in range(50):
        writer.send(*[publish(name, str(sent + i), 0) for i in range(10)])
        reader.send(subscribe(turn + 1, (name, qos)))
        sent += 10
        while True:
            packet = reader.recv()
            if packet.kind == SUBACK:
                break
            got.append(int(packet.payload))
    writer.quiet()
    got += [int(p.payload) for p in reader.ping()]
    assert got == list(range(sent))
