"""mosquitto_rr: a request, and the answer to it."""

import re
import threading
import time

import mqtt_wire
import pytest
from client_tools import PATIENT, Listener, finish, have, run, running, start
from mqtt_wire import PUBLISH, SUBACK, SUBSCRIBE, packet, publish

pytestmark = pytest.mark.skipif(not have("rr"), reason="there is no mosquitto_rr beside the broker")


@pytest.fixture
def listener():
    listener = Listener()
    yield listener
    listener.close()


def at(where):
    return ["-h", "127.0.0.1", "-p", where.port]


class Server:
    """Answers requests at NAME/ask on NAME/answer, with what was asked behind a word."""

    def __init__(self, broker, name, qos=2):
        self.client = broker.connect()
        self.client.subscribe(f"{name}/ask", qos=qos)
        self.requests, self.answer = [], f"{name}/answer"
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                message = self.client.recv()
            except (mqtt_wire.Closed, OSError):
                return
            if message.kind == PUBLISH:
                self.requests.append(message)
                self.client.send(publish(self.answer, b"you said " + message.payload), publish(self.answer, "a second one"))


@pytest.fixture
def ask(broker, name):
    """Ask a server; options may follow. Exit code, stdout, stderr."""
    server = Server(broker, name)

    def ask(*options, data=None):
        return run("rr", *at(broker), "-t", f"{name}/ask", "-e", f"{name}/answer", *options, data=data)

    ask.server = server
    return ask


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_the_first_answer_is_printed(ask, qos):
    assert ask("-m", "hello", "-q", qos) == (0, "you said hello\n", "")
    request, = ask.server.requests
    assert (request.payload, request.qos, request.retain) == (b"hello", qos, False)


def test_where_the_request_comes_from(ask, tmp_path):
    (tmp_path / "file").write_text("from a file")
    assert ask("-f", tmp_path / "file")[1] == "you said from a file\n"
    assert ask("-s", data=b"from a pipe\n")[1] == "you said from a pipe\n\n"
    assert ask("-n")[1] == "you said \n"


def test_how_the_answer_is_printed(ask, name):
    assert ask("-m", "x", "-v")[1] == f"{name}/answer you said x\n"
    assert ask("-m", "x", "-N")[1] == "you said x"
    assert ask("-m", "x", "-F", "%t:%l:%q:%p")[1] == f"{name}/answer:10:0:you said x\n"
    assert re.match(r'{\n.*"payload":\s*"you said x"', ask("-m", "x", "-F", "%j", "--pretty")[1], re.DOTALL)


def test_how_long_it_took(ask):
    code, out, _ = ask("-m", "x", "--latency")
    assert code == 0
    took = re.fullmatch(r"you said x\nLatency: (\d+\.\d{3}) ms\n", out)
    assert 0 < float(took[1]) < 5000 * PATIENT


def test_what_was_retained_is_no_answer_with_r(ask, broker, name):
    broker.connect().send(publish(f"{name}/answer", "old", retain=True))
    keeper = broker.connect()
    keeper.subscribe(f"{name}/answer")
    assert keeper.recv().payload == b"old"
    assert ask("-m", "x")[1] == "old\n"
    assert ask("-m", "x", "-R")[1] == "you said x\n"


def test_no_answer(broker, name):
    began = time.monotonic()
    asked = ["rr", *at(broker), "-t", f"{name}/nobody", "-e", f"{name}/answer", "-m", "x", "-W", "1"]
    assert run(*asked) == (27, "", "Timed out\n")
    assert 0.9 < time.monotonic() - began < 5 * PATIENT
    assert run(*asked, "--quiet") == (27, "", "")


def test_the_request_follows_the_subscription(listener):
    """Otherwise a fast answer could be missed."""
    with running("rr", *at(listener), "-t", "ask", "-e", "answer", "-m", "x", "-q", "1") as process:
        peer = listener.welcome()
        raw = peer.expect(SUBSCRIBE)
        assert raw[4:] == b"\0\x06answer\x01"
        peer.sock.settimeout(0.3)
        with pytest.raises(TimeoutError):
            peer.take()
        peer.sock.settimeout(20)
        peer.send(packet(SUBACK, 0, raw[2:4] + b"\x01"))
        request = peer.publish()
        assert (request.topic, request.payload, request.qos) == ("ask", b"x", 1)
        peer.send(publish("answer", "y", 1, 7))
        rest = [peer.take()[0] for _ in range(2)]
        assert rest == [mqtt_wire.PUBACK, mqtt_wire.DISCONNECT]
        assert finish(process) == (0, "y\n", "")


def test_a_subscription_that_is_not_granted(listener):
    process = start("rr", *at(listener), "-t", "ask", "-e", "answer", "-m", "x")
    peer = listener.welcome()
    raw = peer.expect(SUBSCRIBE)
    peer.send(packet(SUBACK, 0, raw[2:4] + b"\x80"))
    assert finish(process) == (1, "", "Error: The broker has refused the subscription to 'answer'.\n")


def test_a_connection_that_is_lost(listener):
    process = start("rr", *at(listener), "-t", "ask", "-e", "answer", "-m", "x")
    listener.welcome().close()
    assert finish(process) == (7, "", "Error: The connection was lost.\n")


def test_refused(listener):
    process = start("rr", *at(listener), "-t", "ask", "-e", "answer", "-m", "x")
    listener.welcome(4)
    assert finish(process) == (
        4, "", "Connection error: Connection Refused: bad user name or password.\nError: The connection was refused.\n")


def test_nobody_answers_the_connect():
    listener = Listener()
    try:
        process = start("rr", *at(listener), "-t", "ask", "-e", "answer", "-m", "x", "-W", "1")
        listener.accept()
        assert finish(process) == (27, "", "Timed out\n")
    finally:
        listener.close()
