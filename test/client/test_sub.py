"""mosquitto_sub against a broker that the test plays: what it says to the broker, when it acknowledges, when it ends.

How it behaves in pipes and scripts with a real broker is in test_client_usage.py.
"""

import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import termios
import time

import mqtt_wire
import pytest
from broker_process import environment, sanitized
from client_stage import ours_beside
from mqtt_wire import DISCONNECT, PINGREQ, PUBACK, PUBLISH, PUBREC, SUBSCRIBE, UNSUBSCRIBE, Closed, puback
from remote_broker import PONG, connack, remote, remotes, suback  # noqa: F401

OURS = ours_beside() / "mosquitto_sub"
SLOW = 4 if sanitized() else 1
pytestmark = pytest.mark.skipif(not OURS.exists(), reason="there is no mosquitto_sub beside the broker")


@pytest.fixture
def start(remote):  # noqa: F811
    """Start a subscriber; what is left of it is ended after the test."""
    processes = []

    def begin(*options, **how):
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        command = [OURS, "-h", "127.0.0.1", "-p", remote.port, *options]
        processes.append(subprocess.Popen([str(word) for word in command], env=environment(), **{**pipes, **how}))
        return processes[-1]

    yield begin
    for process in processes:
        if process.poll() is None:
            process.kill()
        process.communicate()


def end(process, code=0, out=b"", err=b""):
    got = process.communicate(timeout=30)
    assert (process.returncode, *got) == (code, out, err)


def acknowledged(link, count, kind=PUBACK):
    return [link.expect(kind).mid for _ in range(count)]


def closes(link):
    """It goes without a word."""
    with pytest.raises((Closed, ConnectionResetError)):
        link.recv()


def leaves(link):
    link.expect(DISCONNECT)
    closes(link)


def messages(*those, qos=0, retain=False):
    """(topic, payload) each; packet identifiers from 1 on."""
    return b"".join(mqtt_wire.publish(topic, payload, qos, mid if qos else None, retain)
                    for mid, (topic, payload) in enumerate(those, 1))


def numbers(count, topic="t"):
    return [(topic, b"%d" % number) for number in range(count)]


# --- what it asks for -----------------------------------------------------------------------------


def test_subscribes_with_one_packet_and_unsubscribes(start, remote):  # noqa: F811
    sub = start("-t", "a/+", "-t", "b/#", "-q", "1", "-U", "old/1", "-U", "old/#", "-E", "-i", "me", "-c")
    link = remote.greet()
    assert link.hello.id == "me" and not link.hello.clean and link.hello.keepalive == 60
    link.send(connack())
    got = link.expect(SUBSCRIBE)
    assert got.filters == [("a/+", 1), ("b/#", 1)]
    assert link.expect(UNSUBSCRIBE).filters == ["old/1", "old/#"]
    link.send(suback(got.mid, 1, 1))
    leaves(link)
    end(sub)


def test_its_id(start, remote):  # noqa: F811
    sub = start("-t", "t")
    assert re.fullmatch(rf"mosqsub\|{sub.pid}-.+", remote.greet().hello.id)
    sub = start("-t", "t", "-I", "pre-")
    assert remote.greet().hello.id == f"pre-{sub.pid}"


@pytest.mark.parametrize("code,err,words", [
    ([0x80, 0x80], b"All subscription requests were denied.\n", ()),
    ([0x80, 1], b"Warning: The subscription to 'a' was denied.\n", ("-E",)),
])
def test_denied_subscriptions(start, remote, code, err, words):  # noqa: F811
    sub = start("-t", "a", "-t", "b", *words)
    link = remote.greet()
    link.send(connack())
    link.send(suback(link.expect(SUBSCRIBE).mid, *code))
    leaves(link)
    end(sub, err=err)
    if not words:
        sub = start("-t", "a", "-t", "b", "--quiet")
        link = remote.greet()
        link.send(connack())
        link.send(suback(link.expect(SUBSCRIBE).mid, *code))
        end(sub)


@pytest.mark.parametrize("code", [1, 2, 3, 4, 5])
def test_refused(start, remote, code):  # noqa: F811
    sub = start("-t", "t")
    remote.greet().send(connack(code))
    out, err = sub.communicate(timeout=30)
    assert (sub.returncode, out) == (code, b"") and err.startswith(b"Connection error: Connection Refused: ")
    assert err.count(b"\n") == 1


# --- the session over connections ----------------------------------------------------------------


def test_subscribes_again_only_if_the_session_is_gone(start, remote):  # noqa: F811
    sub = start("-t", "t", "-i", "me", "-c", "-U", "old")
    link = remote.welcome(ins=["t"], outs=["old"], present=True)  # at the first connection in any case
    link.close()
    link = remote.greet()
    link.send(connack(0, True))
    link.send(messages(("t", b"kept")))
    assert sub.stdout.readline() == b"kept\n"
    with pytest.raises(TimeoutError):
        link.recv(0.2)
    link.close()
    link = remote.welcome(ins=["t"], outs=["old"])
    sub.send_signal(signal.SIGTERM)
    leaves(link)
    end(sub)


def test_subscribes_again_if_the_answer_was_lost(start, remote):  # noqa: F811
    start("-t", "t", "-i", "me", "-c")
    link = remote.greet()
    link.send(connack())
    link.expect(SUBSCRIBE)
    link.close()
    remote.welcome(ins=["t"], present=True)


def test_a_broker_that_is_unavailable_after_a_loss_is_tried_again(start, remote):  # noqa: F811
    sub = start("-t", "t")
    remote.welcome(ins=["t"]).close()
    link = remote.greet()
    link.send(connack(3))
    link.close()
    link = remote.welcome(ins=["t"])
    link.send(messages(("t", b"back")))
    assert sub.stdout.readline() == b"back\n"
    link.close()
    link = remote.greet()
    link.send(connack(5))
    end(sub, 5, err=b"Connection error: Connection Refused: not authorised.\n")


@pytest.mark.slow
def test_retry_has_an_end(start, remote):  # noqa: F811
    sub = start("-t", "t", "--retry", "1")
    remote.welcome(ins=["t"])
    remote.stop()
    out, err = sub.communicate(timeout=30)
    assert (sub.returncode, out) == (7, b"") and err.startswith(b"Error: ") and err.count(b"\n") == 1


# --- which messages -------------------------------------------------------------------------------


def test_filters(start, remote):  # noqa: F811
    mixed = [("a/1", b"1"), ("b/1", b"2"), ("b/x/2", b"3"), ("c", b"4")]
    sub = start("-t", "#", "-T", "b/+", "-T", "c/#", "-C", "2")
    remote.welcome(ins=["#"]).send(messages(*mixed))
    end(sub, out=b"1\n3\n")


def test_stale_messages_are_not_counted(start, remote):  # noqa: F811
    sub = start("-t", "#", "-R", "-C", "1")
    remote.welcome(ins=["#"]).send(messages(("a", b"old"), retain=True), messages(("a", b"new")))
    end(sub, out=b"new\n")


def test_retained_only_ends_at_the_first_fresh_one(start, remote):  # noqa: F811
    sub = start("-t", "#", "--retained-only", "-v")
    link = remote.welcome(ins=["#"])
    link.send(messages(("a", b"1"), ("b", b"2"), retain=True), messages(("a", b"new"), ("a", b"newer")))
    leaves(link)
    end(sub, out=b"a 1\nb 2\n")


def test_remove_retained_waits_for_the_broker(start, remote):  # noqa: F811
    sub = start("-t", "#", "--remove-retained", "--retained-only", "-T", "keep/#", "-v")
    link = remote.welcome(ins=["#"])
    link.send(messages(("a", b"1"), ("keep/b", b"2"), ("c", b"3"), retain=True), messages(("a", b"new")))
    got = [link.expect(PUBLISH, qos=1, payload=b"", retain=True) for _ in range(2)]
    assert [packet.topic for packet in got] == ["a", "c"]
    with pytest.raises(TimeoutError):
        link.recv(0.2)
    link.send(*(puback(packet.mid) for packet in got))
    leaves(link)
    end(sub, out=b"a 1\nc 3\n")


def test_a_second_signal_does_not_wait_for_the_broker(start, remote):  # noqa: F811
    sub = start("-t", "#", "--remove-retained")
    link = remote.welcome(ins=["#"])
    link.send(messages(("a", b"1"), retain=True))
    link.expect(PUBLISH)
    sub.send_signal(signal.SIGINT)
    with pytest.raises(TimeoutError):
        link.recv(0.3)
    sub.send_signal(signal.SIGINT)
    leaves(link)
    end(sub, out=b"1\n")


def test_random_filter(start, remote):  # noqa: F811
    sub = start("-t", "t", "--random-filter", "30", "-W", "2")
    link = remote.welcome(ins=["t"])
    link.send(messages(*numbers(2000)))
    out, _ = sub.communicate(timeout=30)
    assert sub.returncode == 27 and 450 < len(out.splitlines()) < 750


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_nothing_behind_the_last_message_is_taken(start, remote, qos):  # noqa: F811
    """What is not printed is not acknowledged, and comes again."""
    sub = start("-t", "t", "-q", qos, "-C", "3")
    link = remote.welcome(ins=["t"])
    link.send(messages(*numbers(10), qos=qos))
    if qos:
        assert acknowledged(link, 3, PUBACK if qos == 1 else PUBREC) == [1, 2, 3]
    leaves(link)
    end(sub, out=b"0\n1\n2\n")


# --- how it ends ----------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_in_order(start, remote, number):  # noqa: F811
    sub = start("-t", "t")
    link = remote.welcome(ins=["t"])
    link.send(messages(("t", b"x")))
    assert sub.stdout.readline() == b"x\n"
    sub.send_signal(number)
    leaves(link)
    end(sub)


@pytest.mark.parametrize("options,err", [((), b"Timed out\n"), (("--quiet",), b"")])
def test_timeout(start, remote, options, err):  # noqa: F811
    sub = start("-t", "t", "-W", "1", *options)
    link = remote.welcome(ins=["t"])
    link.send(messages(("t", b"x")))
    leaves(link)
    end(sub, 27, b"x\n", err)


def test_an_idle_subscriber_ends_when_its_reader_has_gone(start, remote):  # noqa: F811
    sub = start("-t", "t")
    link = remote.welcome(ins=["t"])
    sub.stdout.close()
    leaves(link)
    assert sub.wait(30) == 0 and sub.stderr.read() == b""
    sub.stdout = None


def stopped(sub):
    os.kill(sub.pid, signal.SIGSTOP)
    os.waitid(os.P_PID, sub.pid, os.WSTOPPED | os.WNOWAIT)


def test_a_message_without_a_reader_is_not_acknowledged(start, remote):  # noqa: F811
    sub = start("-t", "t", "-q", "1")
    link = remote.welcome(ins=["t"])
    stopped(sub)
    link.send(messages(*numbers(5), qos=1))
    sub.stdout.close()
    os.kill(sub.pid, signal.SIGCONT)
    with pytest.raises((Closed, ConnectionResetError)):
        assert link.recv().kind != PUBACK
    assert sub.wait(30) == 0 and sub.stderr.read() == b""
    sub.stdout = None


@pytest.mark.parametrize("qos", [0, 1])
def test_a_full_disk(start, remote, qos):  # noqa: F811
    with open("/dev/full", "wb") as full:
        sub = start("-t", "t", "-q", qos, stdout=full)
        link = remote.welcome(ins=["t"])
        link.send(messages(*numbers(5), qos=qos))
        if qos:
            closes(link)  # neither PUBACK nor DISCONNECT
        else:
            leaves(link)
        assert sub.wait(30) == 1
        assert sub.stderr.read() == b"Error: Writing to stdout: No space left on device.\n"


def test_a_full_disk_is_told_once(start, remote):  # noqa: F811
    """Though there is more to write on the way out."""
    with open("/dev/full", "wb") as full:
        sub = start("-t", "t", "-d", "-E", stdout=full)
        remote.accept()
        assert sub.wait(30) == 1
        assert sub.stderr.read() == b"Error: Writing to stdout: No space left on device.\n"


def test_without_stdout_nothing_goes_to_the_broker(start, remote):  # noqa: F811
    """The connection must not become descriptor 1."""
    shell = subprocess.Popen(["sh", "-c", f"exec {OURS} -h 127.0.0.1 -p {remote.port} -t t >&- <&-"], stderr=subprocess.PIPE)
    link = remote.welcome(ins=["t"])
    link.send(messages(("t", b"into the void")))
    leaves(link)
    assert shell.wait(30) == 1
    assert shell.stderr.read() == b"Error: Writing to stdout: Bad file descriptor.\n"
    shell.stderr.close()


# --- a reader who is slow --------------------------------------------------------------------------


def fill(link, qos, count=400, size=1000):
    """More than a pipe takes."""
    link.send(b"".join(mqtt_wire.publish("t", b"%d" % number + b"." * size, qos, number + 1 if qos else None)
                       for number in range(count)))
    return b"".join(b"%d%s\n" % (number, b"." * size) for number in range(count))


@pytest.mark.slow
@pytest.mark.parametrize("qos", [0, 1])
def test_the_connection_lives_while_nobody_reads(start, remote, qos):  # noqa: F811
    sub = start("-t", "t", "-q", qos, "-k", "5", stderr=subprocess.DEVNULL)
    link = remote.welcome(ins=["t"])
    want = fill(link, qos)
    pings, until = 0, time.monotonic() + 12
    while time.monotonic() < until:
        try:
            got = link.recv(0.5)
        except TimeoutError:
            continue
        assert got.kind in (PUBACK, PINGREQ)
        if got.kind == PINGREQ:
            pings += 1
            link.send(PONG)
    assert pings >= 1
    assert os.read(sub.stdout.fileno(), 1) == want[:1]
    rest = b""
    while len(rest) < len(want) - 1:
        rest += os.read(sub.stdout.fileno(), 1 << 20)
    assert rest == want[1:]
    sub.send_signal(signal.SIGTERM)
    assert sub.wait(30) == 0


def test_everything_is_written_before_it_ends(start, remote):  # noqa: F811
    sub = start("-t", "t", "-C", "400")
    link = remote.welcome(ins=["t"])
    want = fill(link, 0)
    leaves(link)
    assert sub.poll() is None
    end(sub, out=want)


@pytest.mark.slow
def test_a_signal_does_not_wait_for_ever_for_a_reader(start, remote):  # noqa: F811
    sub = start("-t", "t", "-C", "400")
    link = remote.welcome(ins=["t"])
    fill(link, 0)
    leaves(link)
    sub.send_signal(signal.SIGTERM)
    assert sub.wait(20) == 1
    assert re.fullmatch(rb"Error: \d+ bytes could not be written to stdout.\n", sub.stderr.read())


# --- other things to see ---------------------------------------------------------------------------


def test_debug_lines(start, remote):  # noqa: F811
    sub = start("-t", "a/b", "-q", "1", "-i", "me", "-d", "-C", "1")
    link = remote.welcome(ins=["a/b"])
    link.send(messages(("a/b", b"hello"), qos=1))
    link.expect(PUBACK)
    leaves(link)
    out, err = sub.communicate(timeout=30)
    assert err == b"" and out.decode().splitlines() == [
        "Client me sending CONNECT", "Client me received CONNACK (0)",
        "Client me sending SUBSCRIBE (Mid: 1, Topic: a/b, QoS: 1)", "Client me received SUBACK", "Subscribed (mid: 1): 1",
        "Client me received PUBLISH (d0, q1, r0, m1, 'a/b', ... (5 bytes))", "hello",
        "Client me sending PUBACK (Mid: 1)", "Client me sending DISCONNECT",
    ]


@pytest.mark.slow
def test_message_rate(start, remote):  # noqa: F811
    sub = start("-t", "t", "--message-rate", "-W", "4")
    remote.welcome(ins=["t"]).send(messages(*numbers(50)))
    out, _ = sub.communicate(timeout=30)
    rates = [int(line) for line in out.splitlines()]
    assert sub.returncode == 27 and sum(rates) == 50 and 2 <= len(rates) <= 4


def terminal(lines, columns):
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
    return ours, theirs


def screen_after(raw, lines):
    """What stands on the screen, by the few sequences that are used."""
    rows, row = [""] * lines, 0
    for sequence, text in re.findall(r"\x1b\[([\d;]*[A-Za-z])|([^\x1b]+)", raw):
        if sequence.endswith("H"):
            row = int(sequence.split(";")[0]) - 1
        elif sequence == "K":
            rows[row] = ""
        elif sequence == "2J":
            rows = [""] * lines
        else:
            assert not sequence, sequence
            rows[row] += text.rstrip("\r\n")
    return rows


def read_until(fd, text):
    got = b""
    limit = time.monotonic() + 10 * SLOW
    while text not in got:
        assert time.monotonic() < limit, got
        got += os.read(fd, 4096)
    return got.decode()


def test_watch(start, remote):  # noqa: F811
    ours, theirs = terminal(4, 12)
    sub = start("-t", "#", "-w", stdout=theirs)
    os.close(theirs)
    link = remote.welcome(ins=["#"])
    link.send(messages(("a", b"1"), ("b", b"\x1b[2J\n2"), ("a", b"3"), ("c", b"a very long line"), ("d", b"4"), ("e", b"5")))
    seen = screen_after(read_until(ours, b"and 2 more"), 4)
    assert seen[:3] == ["a 3", "b .[2J.2", "c a very lon"] and seen[3].startswith("and 2 more")
    sub.send_signal(signal.SIGINT)
    leaves(link)
    assert sub.wait(30) == 0
    os.close(ours)


@pytest.mark.parametrize("words,said", [
    (["-t", "t", "-C", "0"], 'Invalid message count "0".'),
    (["-t", "t", "-C", "1x"], 'Invalid message count "1x".'),
    (["-t", "t", "-C"], "-C argument given but no count specified."),
    (["-t", "a/#/b"], "Invalid subscription topic 'a/#/b', are all '+' and '#' wildcards correct?"),
    (["-t", ""], "Invalid subscription topic '', are all '+' and '#' wildcards correct?"),
    (["-t", "t", "-T", "a+"], "Invalid filter topic 'a+', are all '+' and '#' wildcards correct?"),
    (["-t", "t", "-U", "#a"], "Invalid unsubscribe topic '#a', are all '+' and '#' wildcards correct?"),
    (["-v"], "You must specify a topic to subscribe to."),
    (["-U", "t"], "You must specify a topic to subscribe to."),
    (["-t", "t", "-R", "--retained-only"], "Combining '-R' and '--retained-only' makes no sense."),
    (["-t", "t", "--random-filter", "0"], "--random-filter chance must be between 0.1-100.0"),
    (["-t", "t", "--random-filter", "101"], "--random-filter chance must be between 0.1-100.0"),
    (["-t", "t", "--random-filter", "x"], "--random-filter chance must be between 0.1-100.0"),
    (["-t", "t", "-w"], "--watch needs a terminal to write to."),
    (["-t", "t", "--message-rate", "-F", "%t"], "--message-rate prints no messages: -F makes no sense with it."),
    (["-t", "t", "-V", "mqttv5"], "MQTT 5"),
    (["-t", "t", "--retain-as-published"], "MQTT 5"),
    (["-t", "t", "--retain-handling", "new"], "MQTT 5"),
])
def test_wrong_words(start, remote, words, said):  # noqa: F811
    sub = start(*words)
    out, err = sub.communicate(timeout=30)
    assert (sub.returncode, out) == (1, b"")
    assert said in err.decode().splitlines()[0] and err.startswith(b"Error: ")
