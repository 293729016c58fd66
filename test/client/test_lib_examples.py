"""The programs of lib/examples, compiled as a newcomer would and run as their first lines say."""

import subprocess

import pytest
from broker_process import ROOT, free_port
from foreign import need
from lib_programs import Running, library, sanitizers

EXAMPLES = ROOT / "lib" / "examples"
NAMES = sorted(path.stem for path in EXAMPLES.glob("*.c"))


@pytest.fixture(scope="module")
def examples(tmp_path_factory):
    """Where each of them is, by its name."""
    directory, path = tmp_path_factory.mktemp("examples"), library()
    san = sanitizers(path)
    flags = [f"-fsanitize={san}"] if san else []
    for name in NAMES:
        done = subprocess.run(
            [need("cc"), "-std=c99", "-D_POSIX_C_SOURCE=200809L", "-pedantic", "-Wall", "-Wextra", "-Werror", *flags,
             f"-I{ROOT / 'include'}", "-o", directory / name, EXAMPLES / f"{name}.c", path, f"-Wl,-rpath,{path.parent}"],
            capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    return directory


def test_there_are_three():
    assert NAMES == ["poll_loop", "publish", "subscribe"]


@pytest.mark.parametrize("program", NAMES)
def test_without_arguments_it_says_how(examples, program):
    assert Running([examples / program]).finish(2).startswith("usage: ")


def test_a_message_is_acknowledged(examples, broker, name):
    reader = broker.connect(name + "r")
    reader.subscribe(name, qos=1)
    assert Running([examples / "publish", "127.0.0.1", broker.port, name, "hello"]).finish() == "acknowledged\n"
    got = reader.recv()
    assert (got.topic, got.payload, got.qos) == (name, b"hello", 1)


def test_nobody_acknowledges(examples):
    said = Running([examples / "publish", "127.0.0.1", free_port(), "t", "hello"]).finish(1)
    assert said == "Error: Connection refused\n"


def test_a_broker_that_refuses(examples, brokers):
    broker = brokers.start("allow_anonymous false")
    said = Running([examples / "publish", "127.0.0.1", broker.port, "t", "hello"]).finish(1)
    assert "Connection Refused: not authorised." in said
    said = Running([examples / "subscribe", "127.0.0.1", broker.port, "t"]).finish(0)
    assert "Connection Refused: not authorised." in said


def line_of(process, text):
    """Read what the program says until a line has this in it."""
    seen = []
    for raw in process.process.stdout:
        seen.append(raw.decode())
        if text in seen[-1]:
            return
    raise AssertionError(f"{text!r} was never said: {seen}")


def test_a_subscriber_outlives_its_broker(examples, brokers, name):
    port = free_port()
    lines = (f"listener {port} 127.0.0.1", "allow_anonymous true")
    first = brokers.start(*lines)
    first.await_port(port)
    reader = Running([examples / "subscribe", "127.0.0.1", port, f"{name}/#", "2"])
    try:
        line_of(reader, "subscribed")
        Running([examples / "publish", "127.0.0.1", port, f"{name}/a", "one"]).finish()
        line_of(reader, f"{name}/a: one")
        first.stop()
        line_of(reader, "connection lost: ")
        second = brokers.start(*lines)
        second.await_port(port)
        line_of(reader, "subscribed")
        Running([examples / "publish", "127.0.0.1", port, f"{name}/b", "two"]).finish()
        assert reader.finish() == f"{name}/b: two\n"
    finally:
        reader.stop()


def test_inside_a_loop_of_its_own(examples, broker, name):
    reader = broker.connect(name + "r")
    reader.subscribe(name)
    lines = "".join(f"line {number}\n" for number in range(200))
    done = subprocess.run([examples / "poll_loop", "127.0.0.1", str(broker.port), name], input=lines,
                          capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    # All are acknowledged; what the broker sends back to it may still be on its way.
    assert lines.startswith(done.stdout)
    assert "".join(reader.recv().payload.decode() + "\n" for _ in range(200)) == lines
