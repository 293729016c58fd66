"""mosquitto_bench: every scenario against the broker, and its own judgement against a bad one.

Nothing here asserts a time; what the figures say is for `make bench` and test/bench/compare.py.
"""

import contextlib
import json
import os
import selectors
import socket
import subprocess
import threading
from pathlib import Path

import mqtt_wire
import pytest

ROOT = Path(__file__).resolve().parents[2]
BENCH = os.environ.get("BENCH_BIN", str(ROOT / "build" / "mosquitto_bench"))
LIMIT = 60

COMMON_KEYS = {
    "scenario", "clients", "ok", "interrupted", "elapsed_s", "memory_peak", "memory_resident", "series", "host", "options",
}
LOAD_KEYS = {
    "publish_qos", "subscribe_qos", "granted_qos",
    "window", "payload", "published", "delivered", "messages_per_s", "lost", "duplicates",
    "reordered", "broker", "generator",
} | COMMON_KEYS
CPU_KEYS = {"cpu_us", "user_us", "system_us", "cpu_s"}


def bench(*arguments):
    return subprocess.run(
        [BENCH, *map(str, arguments)], capture_output=True, text=True, timeout=LIMIT, check=False
    )


def measured(broker, *arguments):
    """A run that must go well, as its JSON."""
    run = bench("--port", broker.port, "--pid", broker.pid, "--json", "--warmup", 0.02, *arguments)
    assert run.returncode == 0, run.stderr
    assert run.stderr == ""
    return json.loads(run.stdout)


@pytest.fixture
def roomy(brokers):
    """A broker whose limits are wider than what is under way in these tests."""
    return brokers.get("max_queued_messages 0", verbose=False)


@pytest.mark.parametrize("window", [1, 100])
@pytest.mark.parametrize("qos", [0, 1, 2])
@pytest.mark.parametrize("scenario", ["pairs", "fanout", "fanin"])
def test_load_arrives_whole(roomy, scenario, qos, window):
    found = measured(roomy, "-n", 7, "-q", qos, "-w", window, "-m", 500, scenario)
    assert set(found) == LOAD_KEYS
    assert set(found["broker"]) == set(found["generator"]) == CPU_KEYS
    assert found["ok"] is True
    assert found["scenario"] == scenario
    assert found["granted_qos"] == qos
    assert found["published"] == 500
    assert found["delivered"] == (3500 if scenario == "fanout" else 500)
    assert found["lost"] == found["duplicates"] == found["reordered"] == 0


@pytest.mark.parametrize("publish_qos, subscribe_qos", [(0, 2), (2, 0), (1, 2), (2, 1)])
def test_qos_of_both_sides_may_differ(roomy, publish_qos, subscribe_qos):
    found = measured(
        roomy, "--publish-qos", publish_qos, "--subscribe-qos", subscribe_qos,
        "-n", 3, "-m", 300, "pairs",
    )
    assert found["delivered"] == 300


def test_large_payloads_latency_and_rate(roomy):
    found = measured(roomy, "-n", 2, "-s", 300000, "-m", 20, "-r", 1000, "--latency", "pairs")
    assert found["delivered"] == 20
    assert set(found["latency_us"]) == {"count", "p50", "p90", "p99", "p999", "max", "buckets"}
    assert 0 < found["latency_us"]["p50"] <= found["latency_us"]["max"]


def test_seconds_end_the_load(roomy):
    found = measured(roomy, "-n", 3, "-t", 0.1, "fanout")
    assert found["delivered"] == 3 * found["published"] > 0


@pytest.mark.parametrize("arguments", [[], ["--subscribe"]])
def test_idle_connections(roomy, arguments):
    found = measured_idle(roomy, "-n", 60, *arguments)
    assert set(found) == {
        "subscribe", "memory_before", "memory_after", "bytes_per_connection",
    } | COMMON_KEYS
    assert found["clients"] == 60
    assert found["memory_after"] > 0


def measured_idle(broker, *arguments):
    run = bench("--port", broker.port, "--pid", broker.pid, "--json", *arguments, "idle")
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


def test_connections_come_and_go(roomy):
    found = measured(roomy, "-n", 5, "-m", 200, "connect")
    assert set(found) == {
        "connections", "connections_per_s", "latency_us", "broker", "generator",
    } | COMMON_KEYS
    assert found["connections"] == 200


def test_subscribers_at_another_broker(brokers):
    """Without a bridge between the two nothing arrives, and the run says so."""
    near, far = brokers.start(), brokers.start()
    run = bench("--port", near.port, "--subscribe-port", far.port, "-n", 1, "-m", 5, "--warmup", 0, "--timeout", 0.5, "pairs")
    assert run.returncode == 1 and "stalled" in run.stderr
    near.log.wait(r"New client connected from .* as bench\d+p0 ")
    far.log.wait(r"New client connected from .* as bench\d+s0 ")
    assert not near.log.find(r"bench\d+s0") and not far.log.find(r"bench\d+p0")


def test_report_for_people(roomy):
    run = bench("--port", roomy.port, "-n", 2, "-m", 50, "--warmup", 0, "pairs")
    assert run.returncode == 0
    assert "delivered        50 in " in run.stdout
    assert "lost 0, duplicates 0, out of order 0" in run.stdout


# --- wrong usage ------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments, says", [
    ([], "pairs, fanout, fanin, idle, connect, wild, retained, queue or storm is wanted"),
    (["swarm"], '"swarm" is no scenario'),
    (["pairs", "fanin"], "one word too many"),
    (["--qos", "3", "pairs"], '--qos: "3" is not possible; a whole number from 0 to 2 is wanted'),
    (["--port", "x", "pairs"], '--port: "x" is not possible; a whole number from 1 to 65535'),
    (["--payload", "11", "pairs"], '--payload: "11" is not possible'),
    (["--payload", "12", "--latency", "pairs"], "at least 20 are wanted"),
    (["--seconds", "-1", "pairs"], '--seconds: "-1" is not possible'),
    (["--seconds", "1", "--messages", "1", "pairs"], "exclude each other"),
    (["--seconds", "5", "--limit", "2", "pairs"], "--limit: 2 s are less"),
    (["--pid", "4194304", "pairs"], "--pid: there is no process 4194304"),
    (["--window", "2", "connect"], "--window has no meaning in the scenario connect"),
    (["--pw", "x", "pairs"], "--pw needs --username"),
    (["--topic-prefix", "a/+", "pairs"], "--topic-prefix"),
    (["--colour", "pairs"], "--colour is no option; see --help"),
    (["pairs", "--qos"], "--qos needs a value"),
    (["idle"], "--pid"),
])
def test_wrong_usage_is_explained(arguments, says):
    run = bench(*arguments)
    assert run.returncode == 2
    assert says in run.stderr
    assert run.stdout == ""


def test_help():
    run = bench("--help")
    assert run.returncode == 0
    assert "--subscribe-qos" in run.stdout


def test_nobody_listens():
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        run = bench("--port", bound.getsockname()[1], "pairs")
    assert run.returncode == 1
    assert "cannot connect to the broker: Connection refused" in run.stderr


# --- a broker that is not faithful ------------------------------------------------------------


class BadBroker:
    """Relays QoS 0 to whoever has subscribed, with a fault put in.

    `deliver(count, frame)` gives the frames to send for the message with that running number,
    or None to close the connection.
    """

    def __init__(self, deliver):
        self.deliver = deliver
        self.count = 0
        self.buffers = {}
        self.subscribers = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.stopped = threading.Event()
        self.thread = threading.Thread(target=self.run)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stopped.set()
        self.thread.join()
        self.listener.close()

    def run(self):
        with selectors.DefaultSelector() as selector:
            selector.register(self.listener, selectors.EVENT_READ)
            while not self.stopped.is_set():
                for key, _ in selector.select(0.05):
                    self.serve(selector, key.fileobj)
            for client in self.buffers:
                client.close()

    def serve(self, selector, ready):
        if ready is self.listener:
            client, _ = self.listener.accept()
            self.buffers[client] = b""
            selector.register(client, selectors.EVENT_READ)
            return
        got = b""
        with contextlib.suppress(ConnectionResetError):
            got = ready.recv(65536)
        if got:
            self.buffers[ready] += got
            while self.take(ready):
                pass
        else:
            selector.unregister(ready)
            del self.buffers[ready]
            if ready in self.subscribers:
                self.subscribers.remove(ready)
            ready.close()

    def take(self, client):
        """One packet; all are shorter than 128 bytes."""
        buffer = self.buffers[client]
        if len(buffer) < 2 or len(buffer) < 2 + buffer[1]:
            return False
        frame, self.buffers[client] = buffer[:2 + buffer[1]], buffer[2 + buffer[1]:]
        kind = frame[0] >> 4
        if kind == mqtt_wire.CONNECT:
            client.sendall(mqtt_wire.packet(mqtt_wire.CONNACK, 0, b"\0\0"))
        elif kind == mqtt_wire.SUBSCRIBE:
            self.subscribers.append(client)
            client.sendall(mqtt_wire.packet(mqtt_wire.SUBACK, 0, frame[2:4] + b"\0"))
        elif kind == mqtt_wire.PINGREQ:
            with contextlib.suppress(OSError):
                client.sendall(mqtt_wire.packet(mqtt_wire.PINGRESP, 0))
        elif kind == mqtt_wire.PUBLISH:
            self.relay(frame)
        return True

    def relay(self, frame):
        out = self.deliver(self.count, frame)
        self.count += 1
        for subscriber in self.subscribers:
            # The generator leaves as soon as it has seen the fault.
            with contextlib.suppress(OSError):
                if out is None:
                    subscriber.shutdown(socket.SHUT_RDWR)
                else:
                    subscriber.sendall(b"".join(out))


def judge(deliver, *arguments):
    with BadBroker(deliver) as bad:
        run = bench(
            "--port", bad.port, "--json", "--warmup", 0, "-m", 100, "-w", 10, *arguments, "pairs",
            "-n", 1,
        )
    return run, json.loads(run.stdout)


def test_faithful_relay_passes():
    """Without a fault the judge has nothing to say: so what follows is about the faults."""
    run, found = judge(lambda count, frame: [frame])
    assert run.returncode == 0, run.stderr
    assert found["delivered"] == 100


def test_losses_are_counted():
    run, found = judge(lambda count, frame: [] if count in (20, 21, 50) else [frame])
    assert run.returncode == 1
    assert (found["lost"], found["duplicates"], found["reordered"]) == (3, 0, 0)
    assert found["delivered"] == 97
    assert found["ok"] is False
    assert "3 messages lost" in run.stderr


def test_duplicates_are_counted():
    run, found = judge(lambda count, frame: [frame] * (3 if count == 40 else 1))
    assert run.returncode == 1
    assert (found["lost"], found["duplicates"], found["reordered"]) == (0, 2, 0)
    assert found["delivered"] == 100


def test_duplicates_long_after_a_loss_are_counted():
    """What is known of a loss must not be taken for knowledge of a later message."""
    run, found = judge(lambda count, frame: [] if count == 20 else [frame] * 2)
    assert run.returncode == 1
    assert (found["lost"], found["duplicates"], found["reordered"]) == (1, 99, 0)
    assert found["delivered"] == 99


def test_wrong_order_is_counted():
    kept = []

    def swap(count, frame):
        if count == 30:
            kept.append(frame)
            return []
        return [frame, *kept] if count == 31 else [frame]

    run, found = judge(swap)
    assert run.returncode == 1
    assert (found["lost"], found["duplicates"], found["reordered"]) == (0, 0, 1)
    assert found["delivered"] == 100


def test_a_stall_ends_with_a_sentence():
    run, found = judge(lambda count, frame: [frame] if count < 60 else [], "--timeout", 0.3)
    assert run.returncode == 1
    assert "stalled: nothing came from the broker for 0.3 s; 10 deliveries" in run.stderr
    assert found["lost"] == 10
    assert found["error"] in run.stderr


def test_limit_ends_a_run_that_crawls():
    run, _ = judge(
        lambda count, frame: [frame], "--rate", 20, "--limit", 0.5, "--timeout", 5
    )
    assert run.returncode == 1
    assert "not finished within --limit 0.5 s" in run.stderr


def test_a_closed_connection_ends_with_a_sentence():
    run, _ = judge(lambda count, frame: None if count == 30 else [frame])
    assert run.returncode == 1
    assert "the broker closed the connection of subscriber 0" in run.stderr


def test_a_foreign_message_is_noticed():
    run, _ = judge(lambda count, frame: [frame[:-64] + b"\x01" * 64])
    assert run.returncode == 1
    assert "a message that nobody sent" in run.stderr
