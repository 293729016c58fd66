"""mosquitto_bench: the scenarios in several stretches (wild, retained, queue, storm), and idle watched.

Nothing here asserts a time or a size; what the figures say is for `make bench`.
"""

import json
import os
import re
import subprocess
import time
from types import SimpleNamespace

import mqtt_wire
import pytest
from broker_process import free_port
from peer_broker import PEER, listening, peer_is_there
from test_bench import ROOT, BadBroker, bench
from test_bench_tls import Encrypted


def run_well(broker, *arguments):
    run = bench("--port", broker.port, "--pid", broker.pid, "--json", *arguments)
    assert run.returncode == 0, run.stderr
    assert run.stderr == ""
    found = json.loads(run.stdout)
    assert found["ok"] is True
    for part in found["parts"]:
        assert part["broker"]["cpu_s"] >= 0 and part["generator"]["cpu_s"] > 0
        assert part["elapsed_s"] > 0
        assert part["memory_before"] > 0 and part["memory_after"] > 0
        assert part["wakeups"] >= 0
    return found


def wild(broker, *arguments):
    """Published, delivered in the measured part, after the checks that all runs must pass."""
    found = run_well(broker, "--warmup", 0.02, *arguments, "wild")
    assert [part["name"] for part in found["parts"]] == ["subscribe", "publish"]
    assert found["parts"][1]["count"] == found["delivered"]
    assert found["lost"] == found["duplicates"] == found["reordered"] == 0
    return found


def counts(found):
    return [(part["name"], part["count"]) for part in found["parts"]]


@pytest.fixture
def roomy(brokers):
    """A broker whose limits are wider than what is under way in these tests."""
    return brokers.get("max_queued_messages 0", verbose=False)


# --- wild -------------------------------------------------------------------------------------


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_every_message_finds_its_subscribers(roomy, qos):
    found = wild(roomy, "-q", qos, "-S", 10000, "-m", 2000, "-n", 40)
    assert found["parts"][0]["count"] == 10000
    assert found["published"] == 2000
    assert found["granted_qos"] == qos
    # The topics are drawn, so the number is not exact.
    assert 4 * 2000 < found["delivered"] < 6 * 2000


@pytest.mark.parametrize("clients, subscriptions", [(1, 1), (1, 500), (100, 7), (24, 24), (300, 600)])
def test_any_numbers_of_clients_and_subscriptions(roomy, clients, subscriptions):
    found = wild(roomy, "-n", clients, "-S", subscriptions, "-m", 300)
    assert counts(found)[0] == ("subscribe", subscriptions)


def test_seconds_end_it(roomy):
    assert wild(roomy, "-S", 500, "-t", 0.1)["published"] > 0


def test_a_seed_draws_other_topics(roomy):
    delivered = {wild(roomy, "-S", 2000, "-m", 1000, "--seed", seed)["delivered"] for seed in (1, 2, 3)}
    assert len(delivered) > 1


@pytest.mark.parametrize("qos", [0, 1])
@pytest.mark.parametrize("subscriptions", [1, 10, 2000])
def test_one_match_for_each_message(roomy, subscriptions, qos):
    found = wild(roomy, "-n", 10, "-q", qos, "-S", subscriptions, "-m", 1500, "--one-match")
    assert found["delivered"] == found["published"] == 1500


def read_log(broker):
    """Until all has been read that the broker has said so far."""
    broker.connect("behind").close()
    broker.log.wait("as behind ")


def filters(broker, *arguments):
    """What the clients subscribed to, by client."""
    run = bench("--port", broker.port, "-m", 1, "--warmup", 0, *arguments, "wild")
    assert run.returncode == 0, run.stderr
    read_log(broker)
    found = {}
    for line in broker.log.find(r"bench\d+s\d+ 0 bench"):
        client, text = re.search(r"(bench\d+s\d+) 0 (bench\S+)", line).groups()
        found.setdefault(client, []).append(text)
    return found


def shape(text):
    """Where the wildcards are, and how long it is: of one client all the same."""
    levels = text.split("/")[1:]
    return tuple(level if level in "+#" else "" for level in levels)


def test_shapes_of_filters(own_broker):
    found = filters(own_broker, "-n", 12, "-S", 120)
    assert sorted(map(len, found.values())) == [10] * 12
    shapes = set()
    for texts in found.values():
        assert len(set(texts)) == 10
        assert len(set(map(shape, texts))) == 1
        shapes.add(shape(texts[0]))
    assert {"+" in one for one in shapes} == {"#" in one for one in shapes} == {True, False}
    assert {len(one) for one in shapes} == {3, 4, 5}


def test_filters_with_one_match(own_broker):
    found = filters(own_broker, "-n", 3, "-S", 7, "--one-match")
    texts = [text.split("/", 1)[1] for one in found.values() for text in one]
    assert sorted(texts) == [f"room/+/{number}/#" for number in range(7)]


def judge_wild(deliver, *arguments):
    """A relay that gives every message to its only subscriber, with a fault put in."""
    with BadBroker(deliver) as bad:
        run = bench(
            "--port", bad.port, "--json", "--warmup", 0, "-m", 100, "-n", 1, "-S", 1, "-w", 5, "--timeout", 0.4,
            *arguments, "wild",
        )
    return run, json.loads(run.stdout)


def test_a_faithful_relay_passes():
    run, found = judge_wild(lambda count, frame: [frame], "--one-match")
    assert run.returncode == 0, run.stderr
    assert found["delivered"] == 100


def test_a_loss_is_counted():
    run, found = judge_wild(lambda count, frame: [] if count == 50 else [frame], "--one-match")
    assert run.returncode == 1
    assert found["lost"] == 1
    assert "stalled" in run.stderr


def test_duplicates_are_counted():
    run, found = judge_wild(lambda count, frame: [frame] * (3 if count == 40 else 1), "--one-match")
    assert run.returncode == 1
    assert (found["lost"], found["duplicates"], found["delivered"]) == (0, 2, 100)


def test_a_message_for_nobody_is_noticed():
    run, _ = judge_wild(lambda count, frame: [frame])
    assert run.returncode == 1
    assert "a message that nobody sent to it" in run.stderr


# --- retained ---------------------------------------------------------------------------------


@pytest.mark.parametrize("window", [1, 100])
@pytest.mark.parametrize("qos", [0, 1, 2])
@pytest.mark.parametrize("clients", [1, 3])
def test_retained_messages(roomy, qos, clients, window):
    found = run_well(roomy, "-q", qos, "-n", clients, "-w", window, "-m", 678, "retained")
    assert counts(found) == [("set", 678), ("replace", 678), ("deliver", 678 * clients), ("clear", 678)]
    assert found["delivered"] == 678 * clients


def test_nothing_retained_is_left(own_broker):
    run_well(own_broker, "-m", 50, "retained")
    reader = own_broker.connect()
    reader.subscribe("bench/#")
    assert reader.take_all() == []


def test_messages_that_are_not_retained_are_missed():
    with BadBroker(lambda count, frame: []) as bad:
        run = bench("--port", bad.port, "--json", "-m", 20, "--timeout", 0.3, "retained")
    assert run.returncode == 1
    assert json.loads(run.stdout)["lost"] == 20
    assert "waiting for retained messages" in run.stderr


# --- queue ------------------------------------------------------------------------------------


@pytest.mark.parametrize("qos", [1, 2])
@pytest.mark.parametrize("clients", [1, 7])
def test_queues_are_filled_and_drained(roomy, qos, clients):
    found = run_well(roomy, "-q", qos, "-n", clients, "-m", 1000, "queue")
    assert counts(found) == [("in", 1000), ("out", 1000), ("back", clients)]
    assert found["lost"] == found["duplicates"] == found["reordered"] == 0


def test_sessions_are_removed(own_broker):
    run_well(own_broker, "-n", 3, "-m", 30, "queue")
    assert stored_sessions(own_broker) == 0


def stored_sessions(broker):
    """How many of the generator's sessions are still there."""
    read_log(broker)
    names = {re.search(r"as (bench\d+s\d+) ", line)[1] for line in broker.log.find(r"as bench\d+s\d+ ")}
    assert names
    left = 0
    for name in names:
        client = broker.client()
        client.send(mqtt_wire.connect(name, clean=False))
        left += client.expect(mqtt_wire.CONNACK).session_present
        client.disconnect()
    return left


def test_queued_messages_that_are_dropped_are_missed(brokers):
    """And the sessions are removed all the same."""
    broker = brokers.start("max_queued_messages 10", "max_inflight_messages 5")
    run = bench("--port", broker.port, "--json", "-m", 100, "--timeout", 0.3, "queue")
    found = json.loads(run.stdout)
    assert run.returncode == 1
    assert found["lost"] == 100 - found["delivered"] > 0
    assert "waiting for messages of the queue" in run.stderr
    assert stored_sessions(broker) == 0


# --- storm and idle ---------------------------------------------------------------------------


@pytest.mark.parametrize("clients", [1, 300])
def test_a_storm_is_served(roomy, clients):
    found = run_well(roomy, "-n", clients, "storm")
    assert counts(found) == [("connect", clients), ("leave", clients)]
    assert found["latency_us"]["count"] == clients


def test_a_storm_comes_from_several_addresses(own_broker):
    run_well(own_broker, "-n", 20, "storm")
    for last in range(1, 9):
        own_broker.log.wait(rf"New client connected from 127\.0\.0\.{last}[: ].*as bench")


def test_a_refused_storm(brokers):
    broker = brokers.start("allow_anonymous false")
    run = bench("--port", broker.port, "-n", 5, "storm")
    assert run.returncode == 1
    assert "the broker refused the connection: code 5 (not authorised)" in run.stderr


def test_a_watched_idle_broker(roomy):
    found = run_well(roomy, "-n", 10, "-t", 0.2, "idle")
    assert counts(found) == [("rest", 10)]
    assert found["parts"][0]["elapsed_s"] >= 0.2


# --- another broker ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def peer(tmp_path_factory):
    if not peer_is_there():
        pytest.skip(f"there is no {PEER}")
    directory = tmp_path_factory.mktemp("peer")
    os.chmod(directory, 0o755)
    port = free_port()
    path = directory / "mosquitto.conf"
    path.write_text(
        f"listener {port} 127.0.0.1\nallow_anonymous true\nmax_queued_messages 0\nmax_inflight_messages 200\n"
    )
    process = subprocess.Popen([PEER, "-c", path], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 10
    while not listening(port):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    yield SimpleNamespace(port=port, pid=process.pid)
    process.terminate()
    process.wait(10)


@pytest.mark.parametrize("arguments", [
    "-S 2000 -m 500 --warmup 0 wild", "-q 1 -S 2000 -m 500 --warmup 0 wild", "-S 50 -m 500 --warmup 0 --one-match wild",
    "-m 500 retained", "-q 2 -m 200 -n 2 retained", "-m 500 queue", "-q 2 -m 200 -n 3 queue", "-n 100 storm",
    "-n 20 -t 0.1 idle",
])
def test_any_broker_will_do(peer, arguments):
    run_well(peer, *arguments.split())


# --- TLS --------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["tlsv1.2", "tlsv1.3"])
@pytest.mark.parametrize("scenario, more", [
    ("wild", ["-S", 300, "-m", 100, "--warmup", 0]), ("retained", ["-m", 100]), ("queue", ["-m", 100]),
    ("storm", []),
])
def test_all_by_tls(brokers, pki, scenario, more, version):
    door = Encrypted(brokers, *pki.tls())
    run_well(door, "--cafile", pki.ca.cert, "--tls-version", version, "-n", 5, *more, scenario)


# --- the manual page --------------------------------------------------------------------------


def test_help_and_the_manual_page_agree():
    text = bench("--help").stdout
    page = (ROOT / "man" / "mosquitto_bench.1").read_text(encoding="utf-8")
    scenarios, options = text.split("\nOptions:\n")
    assert set(re.findall(r"(?m)^  ([a-z]+) ", scenarios)) == set(re.findall(r"(?m)^\.It Cm ([a-z]+)$", page))
    assert set(re.findall(r"(?m)^ +(?:-\w, )?--([a-z-]+)", options)) == set(re.findall(r"(?m)^\.It Fl (?:\w , )?-([a-z-]+)", page))
    assert set(re.findall(r"(?m)^  -(\w), ", options)) == set(re.findall(r"(?m)^\.It Fl (\w) ,", page))


# --- wrong usage ------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments, says", [
    (["--qos", "0", "queue"], "nothing is queued at QoS 0; 1 or 2 is wanted"),
    (["--subscribe-qos", "0", "queue"], "nothing is queued at QoS 0"),
    (["--messages", "2000000000", "retained"], "--messages: the scenario retained can have 1000000000 at most"),
    (["--subscriptions", "5", "pairs"], "--subscriptions has no meaning in the scenario pairs"),
    (["--one-match", "queue"], "--one-match has no meaning in the scenario queue"),
    (["--seed", "5", "storm"], "--seed has no meaning in the scenario storm"),
    (["--latency", "wild"], "--latency has no meaning in the scenario wild"),
    (["--subscriptions", "0", "wild"], "a whole number from 1 to 10000000 is wanted"),
    (["--seconds", "1", "retained"], "--seconds has no meaning in the scenario retained"),
])
def test_wrong_usage_is_explained(arguments, says):
    run = bench(*arguments)
    assert run.returncode == 2
    assert says in run.stderr
    assert run.stdout == ""
