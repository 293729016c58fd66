"""What a client finds again after the broker was killed or stopped, and started on the same store."""

import signal
import time

import pytest
from mqtt_wire import (
    PUBACK, PUBCOMP, PUBLISH, PUBREC, PUBREL, SUBACK, puback, pubcomp, publish, pubrec, pubrel, subscribe,
)
from stored_broker import (
    SMALL_SEGMENTS, UNLIMITED, absent_session, drain, numbers_of, refused, runs, send_numbered,  # noqa: F401
)

ENDS = pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
MODES = pytest.mark.parametrize("mode", ["write", "fsync"])


@pytest.fixture(params=["write", "fsync"])
def broker(runs, request):
    return runs.start(UNLIMITED, f"persistence_sync {request.param}")


def restart(runs, broker, end, *more):
    broker.kill(end)
    return runs.again(broker, *more)


@ENDS
def test_a_session_exists_once_its_connack_was_sent(runs, broker, end):
    broker.connect("lasting", clean=False)
    broker.connect("passing", clean=True)
    again = restart(runs, broker, end)
    assert again.connect("lasting", clean=False).connack.session_present
    assert not again.connect("passing", clean=False).connack.session_present
    assert not again.connect("unknown", clean=False).connack.session_present


@ENDS
def test_subscriptions_and_their_qos_survive(runs, broker, end):
    client = broker.connect("c", clean=False)
    client.subscribe(("zero/#", 0), ("one/+", 1), ("two", 2), ("changed", 2), ("left", 1))
    client.subscribe(("changed", 1))
    client.unsubscribe("left")
    again = restart(runs, broker, end)
    client = again.connect("c", clean=False)
    writer = again.connect()
    for topic in ("zero/a/b", "one/a", "two", "changed", "left"):
        writer.publish(topic, topic, qos=2)
    got = {p.topic: p.qos for p in client.take_all()}
    assert got == {"zero/a/b": 0, "one/a": 1, "two": 2, "changed": 1}


@ENDS
def test_queues_keep_their_order(runs, broker, end):
    absent_session(broker, "c", "q/#", qos=2)
    writer = broker.connect("w")
    for number in range(60):
        writer.publish("q/x", str(number), qos=1 + number % 2)
    again = restart(runs, broker, end)
    writer = again.connect("w")
    for number in range(60, 120):
        writer.publish("q/x", str(number), qos=1 + number % 2)
    last = restart(runs, again, end)
    got = drain(last, "c", 120)
    assert numbers_of(got) == list(range(120))
    assert [p.qos for p in got] == [1, 2] * 60
    assert not drain(last, "c")


@ENDS
def test_what_was_acknowledged_does_not_come_again(runs, broker, end):
    client = broker.connect("c", clean=False)
    client.subscribe("q", qos=1)
    broker.connect("w").publish("q", "once", qos=1)
    client.take("q", "once")
    client.subscribe("q")  # the SUBACK says that the PUBACK before it was stored
    assert not drain(restart(runs, broker, end), "c")


@ENDS
@pytest.mark.parametrize("qos", [1, 2])
def test_an_unacknowledged_message_comes_again_with_its_id_and_dup(runs, broker, end, qos):
    client = broker.connect("c", clean=False)
    client.subscribe("q", qos=qos)
    broker.connect("w").publish("q", "half way", qos=qos)
    first = client.expect(PUBLISH, payload="half way", dup=False)
    again = restart(runs, broker, end)
    client = again.connect("c", clean=False)
    client.take("q", "half way", qos=qos, dup=True, mid=first.mid)
    client.quiet()


@ENDS
def test_after_a_pubrec_only_the_pubrel_comes(runs, broker, end):
    client = broker.connect("c", clean=False)
    client.subscribe("q", qos=2)
    broker.connect("w").publish("q", "once", qos=2)
    first = client.expect(PUBLISH, payload="once")
    client.send(pubrec(first.mid))
    client.expect(PUBREL, mid=first.mid)
    for _ in range(2):
        broker = restart(runs, broker, end)
        client = broker.connect("c", clean=False)
        client.expect(PUBREL, mid=first.mid)
    client.send(pubcomp(first.mid))
    client.quiet()
    assert not drain(restart(runs, broker, end), "c")


@ENDS
def test_a_received_qos_2_message_is_routed_once(runs, broker, end):
    absent_session(broker, "reader", "q", qos=2)
    writer = broker.connect("w", clean=False)
    writer.send(publish("q", "once", 2, 7))
    writer.expect(PUBREC, mid=7)
    for _ in range(2):
        broker = restart(runs, broker, end)
        writer = broker.connect("w", clean=False)
        writer.send(publish("q", "once", 2, 7, dup=True))
        writer.expect(PUBREC, mid=7)
    writer.send(pubrel(7))
    writer.expect(PUBCOMP, mid=7)
    broker = restart(runs, broker, end)
    writer = broker.connect("w", clean=False)
    writer.send(pubrel(7))
    writer.expect(PUBCOMP, mid=7)
    # The id is free again: this is another message.
    writer.send(publish("q", "twice", 2, 7))
    writer.expect(PUBREC, mid=7)
    assert [p.payload for p in drain(broker, "reader", 2)] == [b"once", b"twice"]


@ENDS
def test_ids_in_use_are_not_given_again(runs, broker, end):
    client = broker.connect("c", clean=False)
    client.subscribe("q", qos=2)
    writer = broker.connect("w")
    for number in range(5):
        writer.publish("q", str(number), qos=2)
    first = {client.expect(PUBLISH).mid for _ in range(5)}
    assert len(first) == 5
    again = restart(runs, broker, end)
    client = again.connect("c", clean=False)
    assert {client.expect(PUBLISH, dup=True).mid for _ in range(5)} == first
    again.connect("w").publish("q", "new", qos=2)
    assert client.expect(PUBLISH, payload="new", dup=False).mid not in first


@ENDS
def test_retained_messages_survive_and_cleared_ones_do_not(runs, broker, end):
    writer = broker.connect("w")
    for qos in (0, 1, 2):
        writer.publish(f"kept/{qos}", "old", qos=qos, retain=True)
        writer.publish(f"kept/{qos}", f"new {qos}", qos=qos, retain=True)
        writer.publish(f"gone/{qos}", "old", qos=qos, retain=True)
        writer.publish(f"gone/{qos}", "", qos=qos, retain=True)
    again = restart(runs, broker, end)
    reader = again.connect()
    reader.subscribe("kept/#", "gone/#", qos=2)
    got = {p.topic: (p.payload, p.qos, p.retain) for p in reader.take_all()}
    assert got == {f"kept/{qos}": (f"new {qos}".encode(), qos, True) for qos in (0, 1, 2)}


@ENDS
def test_a_session_discarded_by_a_clean_connect_stays_away(runs, broker, end):
    absent_session(broker, "c", "q", qos=1)
    broker.connect("w").publish("q", "discarded", qos=1)
    broker.connect("c", clean=True)
    again = restart(runs, broker, end)
    client = again.connect("c", clean=False)
    assert not client.connack.session_present
    again.connect("w").publish("q", "for nobody", qos=1)
    client.quiet()


@ENDS
def test_a_message_for_many_sessions_survives_for_each(runs, broker, end):
    for number in range(20):
        absent_session(broker, f"c{number}", "q/#", qos=1 + number % 2)
    broker.connect("w").publish("q/x", "7 for all", qos=2)
    assert numbers_of(drain(broker, "c3", 1)) == [7]
    again = restart(runs, broker, end)
    for number in range(20):
        expected = [] if number == 3 else [7]
        assert numbers_of(drain(again, f"c{number}", len(expected))) == expected


@ENDS
def test_a_queue_at_its_limit_stays_as_it_was(runs, end):
    broker = runs.start("max_queued_messages 5")
    absent_session(broker, "c", "q", qos=1)
    writer = broker.connect("w")
    for number in range(100):
        writer.publish("q", str(number), qos=1)
    first = numbers_of(drain(restart(runs, broker, end), "c"))
    assert first == list(range(len(first))) and 5 <= len(first) <= 25


@ENDS
def test_qos_0_is_kept_when_it_is_queued(runs, end):
    broker = runs.start("queue_qos0_messages true")
    absent_session(broker, "c", "q", qos=1)
    writer = broker.connect("w")
    writer.publish("q", "1 at qos 1", qos=1)
    writer.publish("q", "2 at qos 0", qos=0)
    writer.publish("q", "3 at qos 1", qos=1)
    got = drain(restart(runs, broker, end), "c", 3)
    assert [(int(p.payload.split()[0]), p.qos) for p in got] == [(1, 1), (2, 0), (3, 1)]


@ENDS
def test_a_subscription_gets_its_retained_messages_after_a_restart(runs, broker, end):
    """The feed stops at the in-flight window, and goes on where it was."""
    writer = broker.connect("w")
    for number in range(100):
        writer.publish(f"kept/{number:03d}", str(number), qos=1, retain=True)
    client = broker.connect("c", clean=False)
    client.send(subscribe(1, ("kept/#", 1)))
    seen = set()
    while len(seen) < 30:
        packet = client.recv()
        assert packet.kind in (PUBLISH, SUBACK)
        if packet.kind == PUBLISH:
            seen.add(int(packet.payload))
            client.send(puback(packet.mid))
    again = restart(runs, broker, end)
    seen |= set(numbers_of(drain(again, "c")))
    assert seen == set(range(100))


def test_expiry_counts_the_time_of_leaving(runs):
    broker = runs.start("persistent_client_expiration 1h")
    absent_session(broker, "c", "q", qos=1)
    broker.connect("w").publish("q", "1", qos=1)
    again = restart(runs, broker, signal.SIGKILL)
    assert numbers_of(drain(again, "c", 1)) == [1]


@pytest.mark.slow
def test_an_expired_session_stays_away_after_a_restart(runs):
    broker = runs.start("persistent_client_expiration 1s")
    absent_session(broker, "c", "q", qos=1)
    broker.kill()
    time.sleep(2.5)
    again = runs.again(broker)
    assert not again.connect("c", clean=False).connack.session_present


def test_compacting_on_demand_keeps_everything_and_makes_the_store_small(runs):
    broker = runs.start(UNLIMITED, SMALL_SEGMENTS, verbose=True)
    absent_session(broker, "c", "q", qos=1)
    writer = broker.connect("w")
    send_numbered(writer, "q", range(2000))
    assert len(drain(broker, "c", 2000)) == 2000
    send_numbered(writer, "q", range(10))
    broker.process.send_signal(signal.SIGUSR1)
    deadline = time.monotonic() + 15
    while broker.size() > 2 * 65536 and time.monotonic() < deadline:
        time.sleep(0.02)
    assert broker.size() <= 2 * 65536
    assert numbers_of(drain(restart(runs, broker, signal.SIGKILL), "c", 10)) == list(range(10))


def churn(broker, count):
    """Messages come and go, none stays; the largest size of the store."""
    client = broker.connect("c", clean=False)
    client.subscribe("q", qos=1)
    writer = broker.connect("w")
    largest = 0
    for start in range(0, count, 20):
        send_numbered(writer, "q", range(start, start + 20), at_once=20)
        for _ in range(20):
            client.take("q")
        largest = max(largest, broker.size())
    return largest


@ENDS
def test_retained_messages_on_their_way_come_once(runs, end):
    """Taken in part before the broker ends, in part after it starts again: QoS 2, none twice, none missing."""
    broker = runs.start(UNLIMITED, "max_inflight_messages 5")
    writer = broker.connect()
    for number in range(50):
        writer.publish(f"kept/{number}", str(number), qos=2, retain=True)
    client = broker.connect("c", clean=False)
    client.subscribe("kept/#", qos=2)
    seen = []
    while len(seen) < 20:
        packet = client.recv()
        if packet.kind == PUBLISH:
            seen.append(int(packet.payload))
            client.send(pubrec(packet.mid))
        elif packet.kind == PUBREL:
            client.send(pubcomp(packet.mid))
            unfinished = len(seen)
    again = restart(runs, broker, end)
    client = again.connect("c", clean=False)
    released = set()
    while len(set(seen)) < 50 or len(released) < 30:
        packet = client.recv()
        if packet.kind == PUBLISH:
            assert packet.dup or int(packet.payload) not in seen
            seen.append(int(packet.payload))
            client.send(pubrec(packet.mid))
        elif packet.kind == PUBREL:
            released.add(packet.mid)
            client.send(pubcomp(packet.mid))
    assert unfinished and sorted(set(seen)) == list(range(50))
    assert len(seen) <= 55  # those in flight, with DUP


def test_a_start_needs_memory_for_what_is_alive_alone(runs):
    """The journal holds more dead messages than memory_limit allows at once."""
    broker = runs.start(UNLIMITED, "memory_limit 12000000")
    reader = broker.connect("c", clean=False)
    reader.subscribe("q", qos=1)
    writer = broker.connect("w")
    for _ in range(100):
        writer.send(*(publish("q", "x" * 4000, 1, mid) for mid in range(1, 51)))
        for _ in range(50):
            reader.send(puback(reader.expect(PUBLISH).mid))
        for _ in range(50):
            writer.expect(PUBACK)
    reader.quiet()
    assert broker.size() > 16000000
    again = restart(runs, broker, signal.SIGKILL)
    again.connect("c", clean=False).quiet()


def test_a_full_store_is_emptied_by_its_readers(runs):
    """Above persistence_max_size publishers wait; who can make room connects, also after a restart."""
    lines = ["persistence_max_size 2M", "persistence_segment_size 128K", "persistence_max_unsynced 128K"]
    broker = runs.start(UNLIMITED, *lines)
    absent_session(broker, "c", "q", qos=1)
    watcher = broker.connect("watcher")
    watcher.subscribe("$SYS/broker/storage/state")
    assert watcher.expect(PUBLISH).payload == b"ok"
    writer = broker.connect("w")
    stored = 0
    try:
        while True:
            writer.send(*(publish("q", f"{stored + mid:08d}" + "x" * 1000, 1, mid) for mid in range(1, 21)))
            for _ in range(20):
                assert writer.recv(2).kind == PUBACK
                stored += 1
    except TimeoutError:
        pass
    assert watcher.expect(PUBLISH).payload == b"full: publishers are paused"
    assert len(broker.log.wait_for(1, "Publishers are paused: .* persistence_max_size")) == 1
    watcher.quiet()
    again = restart(runs, broker, signal.SIGKILL)
    reader = again.connect("c", clean=False)
    for number in range(stored):
        packet = reader.expect(PUBLISH)
        assert int(packet.payload[:8]) == number + 1
        reader.send(puback(packet.mid))
    again.connect("w2").publish("q", "there is room again", qos=1)


# Nearly nothing is alive: four segments, the one that is being written and the one being cleaned.
BOUND = 6 * 65536


def test_the_store_is_bounded_under_churn(runs):
    assert churn(runs.start(UNLIMITED, SMALL_SEGMENTS, "persistence_sync fsync"), 6000) <= BOUND


def test_the_store_becomes_small_by_itself(runs):
    """In mode write nothing goes before it was synced: how much that is depends on the disk, not for how long."""
    broker = runs.start(UNLIMITED, SMALL_SEGMENTS)
    churn(broker, 3000)
    deadline = time.monotonic() + 30
    while broker.size() > BOUND and time.monotonic() < deadline:
        time.sleep(0.05)
    assert broker.size() <= BOUND


def test_the_files_of_the_store_are_the_brokers_alone(runs):
    broker = runs.start(UNLIMITED)
    broker.connect("c", clean=False)
    assert broker.journal.stat().st_mode & 0o077 == 0
    assert all(path.stat().st_mode & 0o077 == 0 for path in broker.segments())


def test_persistence_file_names_the_store(runs):
    broker = runs.start(UNLIMITED, "persistence_file other.db")
    broker.connect("c", clean=False)
    assert (broker.location / "other.db.journal").is_dir() and not broker.journal.exists()
    assert restart(runs, broker, signal.SIGKILL).connect("c", clean=False).connack.session_present


def test_without_persistence_nothing_is_written(brokers):
    broker = brokers.start()
    broker.connect("c", clean=False)
    broker.connect("w").publish("q", "x", qos=1, retain=True)
    assert not list(broker.directory.glob("*.journal"))


@pytest.mark.parametrize("line", ["autosave_interval 300", "autosave_on_changes true"])
def test_autosave_options_are_accepted_with_a_word(runs, line):
    broker = runs.start(UNLIMITED, line, verbose=True)
    broker.log.wait(line.split()[0])
    broker.answers()


def test_a_location_that_cannot_be_made_stops_the_start(runs, tmp_path):
    broker = runs.start(UNLIMITED)
    broker.stop()
    (tmp_path / "file").write_text("")
    text = broker.config.read_text().replace(f"{broker.location}/", f"{tmp_path}/file/")
    broker.config.write_text(text)
    code, output = refused(broker)
    assert code == 1 and f"{tmp_path}/file" in output, output


@MODES
def test_pipelined_work_is_one_with_its_acknowledgements(runs, mode):
    """Everything that was acknowledged in one read of a large burst is there."""
    broker = runs.start(UNLIMITED, f"persistence_sync {mode}")
    absent_session(broker, "c", "q", qos=1)
    writer = broker.connect("w")
    writer.send(*(publish("q", f"{n} " + "x" * 100, 1, n + 1) for n in range(2000)))
    acked = 0
    while acked < 700:
        writer.expect(PUBACK)
        acked += 1
    broker.kill()
    got = numbers_of(drain(runs.again(broker), "c"))
    assert got == list(range(len(got))) and len(got) >= acked
