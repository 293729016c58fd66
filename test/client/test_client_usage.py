"""mosquitto_pub, _sub and _rr as people use them: in pipes and scripts, over restarts, with secrets, at a terminal.

Each test is of something that goes wrong with the programs of other releases.
"""

import os
import re
import signal
import socket
import subprocess
import threading
import time
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path

import mqtt_wire
import pytest
from broker_process import ROOT, binary, environment, free_port, sanitized
from client_stage import ours_beside
from stored_broker import take_until_quiet

CLIENTS = ours_beside()
PROGRAMS = ("pub", "sub", "rr")
LIMIT = 60
PATIENT = 4 if sanitized() else 1

pytestmark = pytest.mark.skipif(not (CLIENTS / "mosquitto_rr").exists(), reason="there are no clients beside the broker")


def command(program, *arguments):
    return [str(CLIENTS / f"mosquitto_{program}"), *map(str, arguments)]


def start(program, *arguments, **options):
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command(program, *arguments), **{**pipes, "env": environment(), **options})


def finish(process, data=None, limit=LIMIT):
    """Exit code, stdout and stderr, in bytes."""
    try:
        out, err = process.communicate(data, timeout=limit)
    except subprocess.TimeoutExpired:
        process.kill()
        raise AssertionError(f"{process.args} does not end: {process.communicate()}") from None
    return process.returncode, out, err


def run(program, *arguments, data=None, limit=LIMIT, **options):
    if data is not None:
        options["stdin"] = subprocess.PIPE
    return finish(start(program, *arguments, **options), data, limit)


def within(seconds, what):
    """Until it is so."""
    limit = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < limit, "it does not come to that"
        time.sleep(0.01)


class Mortal:
    """A broker with a store and a port of its own, which dies and comes back."""

    def __init__(self, directory, persistence=True):
        self.directory, self.port = Path(directory), free_port()
        self.process, self.peers = None, []
        (self.directory / "mosquitto.conf").write_text(
            f"listener {self.port} 127.0.0.1\nallow_anonymous true\nmax_queued_messages 0\n"
            f"log_dest file {self.directory}/log\nlog_type all\n"
            f"persistence {'true' if persistence else 'false'}\npersistence_location {self.directory}/\n"
            + ("user root\n" if os.geteuid() == 0 else ""), encoding="utf-8")

    def start(self):
        self.process = subprocess.Popen([binary(), "-c", self.directory / "mosquitto.conf"], env=environment(),
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        within(20, self.serves)
        return self

    def serves(self):
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
        except OSError:
            return False
        return True

    def kill(self):
        self.process.kill()
        self.process.wait()

    def client(self, name, **options):
        client = mqtt_wire.Client(self.port)
        client.connack = client.connect(name, **options)
        self.peers.append(client)
        return client

    def at(self):
        return ["-h", "127.0.0.1", "-p", self.port]

    def saw(self, text):
        return text in (self.directory / "log").read_text(errors="replace")

    def subscribed(self, name):
        within(20, lambda: self.saw(f"Sending SUBACK to {name}"))


@pytest.fixture
def mortal(tmp_path):
    broker = Mortal(tmp_path).start()
    yield broker
    for client in broker.peers:
        client.close()
    broker.kill()


@contextmanager
def running(program, *arguments, **options):
    process = start(program, *arguments, **options)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream and not stream.closed:
                with suppress(BrokenPipeError):
                    stream.close()


@contextmanager
def subscriber(broker, *arguments, name="sub", **options):
    """A mosquitto_sub that has its SUBACK."""
    with running("sub", *broker.at(), "-i", name, *arguments, **options) as process:
        broker.subscribed(name)
        yield process


# --- mosquitto_pub -l over restarts ---------------------------------------------------------------


def absent_reader(broker, qos):
    client = broker.client("reader", clean=False)
    client.subscribe("lines", qos=qos)
    client.disconnect()


def arrived(broker, count, once=False):
    """What waited for the reader: all of it, first arrivals in order, and with `once` no others."""
    client = broker.client("reader", clean=False)
    got = [int(packet.payload) for packet in take_until_quiet(client, None, 0.5 * PATIENT)]
    assert list(dict.fromkeys(got)) == list(range(count))
    assert not once or len(got) == count


@pytest.mark.parametrize("qos", [1, 2])
@pytest.mark.parametrize("more", [(), ("-c", "-i", "lines-pub"), ("-M", "1")], ids=["plain", "lasting", "one at a time"])
@pytest.mark.parametrize("ends", ["after", "during"])
def test_lines_are_not_lost_when_the_broker_dies(mortal, qos, more, ends):
    """Also those that come while it is away, and also if stdin ends meanwhile."""
    absent_reader(mortal, qos)
    numbers = iter(range(400))

    def feed(count, pause=0.0):
        for number in islice(numbers, count):
            pub.stdin.write(b"%d\n" % number)
            pub.stdin.flush()
            time.sleep(pause)

    with running("pub", *mortal.at(), "-t", "lines", "-l", "-q", qos, *more, stdin=subprocess.PIPE) as pub:
        feed(100)
        within(20, lambda: mortal.saw("Received PUBLISH from"))
        feed(50)
        for slowly in (0.001, 0.02):
            mortal.kill()
            feed(75, slowly)  # lines come while nobody is there
            if ends == "after" or slowly == 0.001:
                mortal.start()
                feed(50)
        if ends == "during":
            feed(400)
            pub.stdin.close()
            pub.stdin = None
            time.sleep(0.5)
            mortal.start()
        code, _, err = finish(pub)
    assert code == 0, err
    arrived(mortal, 400, once=qos == 2 and "-c" in more)


def test_lines_go_on_while_the_broker_is_away_and_stdin_is_at_its_end(mortal):
    absent_reader(mortal, 1)
    mortal.kill()
    pub = start("pub", *mortal.at(), "-t", "lines", "-l", "-q", "1", "--retry", "20", stdin=subprocess.PIPE)
    pub.stdin.write(b"".join(b"%d\n" % number for number in range(50)))
    pub.stdin.close()
    pub.stdin = None
    time.sleep(0.3)
    mortal.start()
    code, _, err = finish(pub)
    assert code == 0, err
    arrived(mortal, 50)


@pytest.mark.parametrize("options", [["-q", "1"], ["-q", "0"], ["-q", "2", "-c", "-i", "x"]], ids=lambda o: " ".join(o))
@pytest.mark.parametrize("closed", [False, True], ids=["stdin open", "stdin closed"])
def test_gone_for_good(mortal, options, closed):
    """It says so and ends; a pipe that stays open keeps nobody."""
    with running("pub", *mortal.at(), "-t", "lines", "-l", *options, "--retry", "1", stdin=subprocess.PIPE) as pub:
        pub.stdin.write(b"one\n")
        pub.stdin.flush()
        within(20, lambda: mortal.saw("Received PUBLISH from"))
        began = time.monotonic()
        mortal.kill()
        try:
            pub.stdin.write(b"two\nthree\n")
            pub.stdin.flush()
            if closed:
                pub.stdin.close()
        except BrokenPipeError:
            pass
        code = pub.wait(LIMIT)
        err = pub.stderr.read().decode()
        assert 0.5 < time.monotonic() - began < 6 * PATIENT
    assert code == 7
    assert len(err.strip().splitlines()) == 1 and re.search(r"connection|broker", err, re.IGNORECASE), err


def test_not_reached_at_the_start(tmp_path):
    """Nothing is tried again unless that is asked for."""
    began = time.monotonic()
    code, _, err = run("pub", "-h", "127.0.0.1", "-p", free_port(), "-t", "t", "-l", data=b"x\n")
    assert (code, time.monotonic() - began < 3 * PATIENT) == (1, True)
    assert b"refused" in err


@pytest.mark.parametrize("program", ["pub", "sub"])
def test_a_broker_that_comes_late(tmp_path, program):
    broker = Mortal(tmp_path)
    task = ["-m", "late"] if program == "pub" else ["-E"]
    with running(program, *broker.at(), "-t", "t", "--retry", "20", *task) as client:
        time.sleep(0.4)
        assert client.poll() is None
        broker.start()
        code, _, err = finish(client)
    broker.kill()
    assert code == 0, err


def test_sub_goes_on_after_the_broker_has_died(mortal):
    with subscriber(mortal, "-t", "t/#", "-v", "-C", "2") as sub:
        assert run("pub", *mortal.at(), "-t", "t/1", "-m", "before")[0] == 0
        assert sub.stdout.readline() == b"t/1 before\n"  # at once, though it is a pipe
        (mortal.directory / "log").unlink()
        mortal.kill()
        mortal.start()
        mortal.subscribed("sub")
        assert run("pub", *mortal.at(), "-t", "t/2", "-m", "after")[0] == 0
        assert finish(sub)[:2] == (0, b"t/2 after\n")


def test_sub_gives_up_when_told_to(mortal):
    with subscriber(mortal, "-t", "t", "--retry", "1") as sub:
        mortal.kill()
        code, _, err = finish(sub)
    assert code == 7 and len(err.strip().splitlines()) == 1


def test_lines_are_sent_as_they_come(mortal):
    with subscriber(mortal, "-t", "t", "-C", "2") as sub, running(
            "pub", *mortal.at(), "-t", "t", "-l", stdin=subprocess.PIPE) as pub:
        for word in (b"first\n", b"second\n"):
            pub.stdin.write(word)
            pub.stdin.flush()
            assert sub.stdout.readline() == word
        assert finish(sub)[0] == 0
        assert finish(pub)[0] == 0


@pytest.mark.parametrize("qos,count", [(0, 50_000), (1, 50_000), (2, 20_000)])
def test_many_lines_arrive_in_order(mortal, qos, count):
    lines = b"".join(b"line %d\n" % number for number in range(count))
    with subscriber(mortal, "-t", "t", "-q", qos, "-C", count) as sub:
        out = []
        reader = threading.Thread(target=lambda: out.append(sub.stdout.read()))
        reader.start()
        began = time.monotonic()
        assert run("pub", *mortal.at(), "-t", "t", "-l", "-q", qos, data=lines)[0] == 0
        took = time.monotonic() - began
        sub.wait(LIMIT)
        reader.join()
    assert out[0] == lines
    assert took < 15 * PATIENT


# --- mosquitto_sub in pipes -----------------------------------------------------------------------


def test_head_ends_it_quietly(mortal, tmp_path):
    errors = tmp_path / "errors"
    words = " ".join(command("sub", *mortal.at(), "-i", "sub", "-t", "t"))
    line = f"{words} 2>{errors} | head -1; echo ${{PIPESTATUS[0]}}"
    shell = subprocess.Popen(["bash", "-c", line], stdout=subprocess.PIPE)
    mortal.subscribed("sub")
    for word in ("one", "two", "three"):
        run("pub", *mortal.at(), "-t", "t", "-m", word, "-q", "1")
        time.sleep(0.1)
    out, _ = shell.communicate(timeout=LIMIT)
    first, code = out.decode().splitlines()
    assert first == "one" and code in ("0", "141")
    assert errors.read_text() == ""


@pytest.mark.parametrize("nonblocking", [False, True], ids=["blocking", "non-blocking"])
@pytest.mark.parametrize("qos", [0, 1])
def test_a_pipe_that_nobody_reads_for_a_while_loses_nothing(mortal, qos, nonblocking):
    """Also where the reader has made the pipe non-blocking, as ssh and node do."""
    count, filler = 3000, "x" * 200
    lines = "".join(f"{number} {filler}\n" for number in range(count)).encode()
    reading, writing = os.pipe()
    os.set_blocking(writing, not nonblocking)
    with subscriber(mortal, "-t", "t", "-q", qos, "-C", count, stdout=writing) as sub:
        os.close(writing)
        assert run("pub", *mortal.at(), "-t", "t", "-l", "-q", qos, data=lines)[0] == 0
        time.sleep(0.5)
        with os.fdopen(reading, "rb") as pipe:
            got = pipe.read()
        assert sub.wait(LIMIT) == 0
        assert sub.stderr.read() == b""
    assert got == lines


def test_a_full_disk_is_an_error_and_the_message_comes_again(mortal):
    with open("/dev/full", "wb") as full, subscriber(
            mortal, "-t", "t", "-q", "1", "-c", "-C", "1", stdout=full) as sub:
        run("pub", *mortal.at(), "-t", "t", "-m", "precious", "-q", "1")
        code, _, err = finish(sub)
    assert code not in (0, 27) and b"No space left" in err
    assert run("sub", *mortal.at(), "-i", "sub", "-c", "-q", "1", "-t", "t", "-C", "1", "-W", "5")[:2] == (0, b"precious\n")


def test_a_message_that_was_not_printed_comes_again(mortal):
    """A reader that has gone takes no message with it."""
    with subscriber(mortal, "-t", "t", "-q", "1", "-c") as sub:
        sub.stdout.close()
        sub.stdout = None
        run("pub", *mortal.at(), "-t", "t", "-m", "precious", "-q", "1")
        sub.wait(LIMIT)
    assert run("sub", *mortal.at(), "-i", "sub", "-c", "-q", "1", "-t", "t", "-C", "1", "-W", "5")[:2] == (0, b"precious\n")


def test_a_signal_ends_it_in_order(mortal):
    for number in (signal.SIGINT, signal.SIGTERM):
        name = f"sub-{number}"
        with subscriber(mortal, "-t", "t", name=name) as sub:
            sub.send_signal(number)
            assert finish(sub) == (0, b"", b"")
        within(10, lambda name=name: mortal.saw(f"Received DISCONNECT from {name}"))


# --- scripts --------------------------------------------------------------------------------------


def test_wait_for_a_message(mortal):
    began = time.monotonic()
    code, out, _ = run("sub", *mortal.at(), "-t", "t", "-C", "1", "-W", "1")
    assert (code, out) == (27, b"") and 0.9 < time.monotonic() - began < 4 * PATIENT
    with subscriber(mortal, "-t", "t", "-C", "1", "-W", "5") as sub:
        run("pub", *mortal.at(), "-t", "t", "-m", "it")
        assert finish(sub) == (0, b"it\n", b"")


def test_the_time_runs_while_nobody_answers(tmp_path):
    """A host that takes the connection and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        port = deaf.getsockname()[1]
        for program, more in (("sub", []), ("rr", ["-e", "e", "-m", "x"])):
            began = time.monotonic()
            code, out, _ = run(program, "-h", "127.0.0.1", "-p", port, "-t", "t", "-W", "1", *more)
            assert (code, out) == (27, b"") and time.monotonic() - began < 4 * PATIENT


def test_the_time_runs_while_the_broker_is_away(mortal):
    with subscriber(mortal, "-t", "t", "-W", "2") as sub:
        mortal.kill()
        assert finish(sub)[0] == 27


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_one_message_takes_no_time(mortal, qos):
    """Nothing waits for a timer."""
    took = []
    for _ in range(5):
        began = time.monotonic()
        assert run("pub", *mortal.at(), "-t", "t", "-m", "x", "-q", qos)[0] == 0
        took.append(time.monotonic() - began)
    assert sorted(took)[2] < 0.4 * PATIENT, took


def test_a_file_that_is_too_long_is_not_sent(mortal, tmp_path):
    with open(tmp_path / "long", "wb") as long:
        long.truncate(300 << 20)
    code, _, err = run("pub", *mortal.at(), "-t", "t", "-f", tmp_path / "long")
    assert code == 1 and b"268435455" in err


# --- secrets --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    directory = tmp_path_factory.mktemp("guarded")
    broker = Mortal(directory, persistence=False)
    made = subprocess.run(["mosquitto_passwd", "-c", "-b", directory / "passwords", "alice", "pa ss:wörd"], check=False)
    assert made.returncode == 0
    conf = directory / "mosquitto.conf"
    rules = f"allow_anonymous false\npassword_file {directory}/passwords"
    conf.write_text(conf.read_text().replace("allow_anonymous true", rules))
    broker.start()
    yield broker
    broker.kill()


# A password may have a colon in it, in a URL too: only the first one parts it from the name.
@pytest.mark.parametrize("program,more", [("pub", ["-l"]), ("sub", []), ("rr", ["-e", "e", "-m", "x"])])
@pytest.mark.parametrize("form", ["-P", "--pw", "-L"])
def test_a_password_is_not_seen_by_others(guarded, program, more, form):
    name = f"{program}{form}"
    where = ["-L", f"mqtt://alice:pa ss:wörd@127.0.0.1:{guarded.port}/t"] if form == "-L" else [
        *guarded.at(), "-u", "alice", form, "pa ss:wörd", "-t", "t"]
    with running(program, "-i", name, *where, *more, stdin=subprocess.PIPE) as client:
        within(20, lambda: guarded.saw(f"Sending CONNACK to {name} (0, 0)") or client.poll() is not None)
        seen = Path(f"/proc/{client.pid}/cmdline").read_bytes()
        assert client.poll() is None
    assert b"pa ss" not in seen and "wörd".encode() not in seen, seen


@pytest.mark.parametrize("text", ["pa ss:wörd", "pa ss:wörd\n", "pa ss:wörd\nmore\n", "pa ss:wörd\r\n"])
def test_a_password_from_a_file(guarded, tmp_path, text):
    (tmp_path / "password").write_bytes(text.encode())
    at = [*guarded.at(), "-u", "alice", "-t", "t", "-m", "x"]
    assert run("pub", *at, "--pw-file", tmp_path / "password") == (0, b"", b"")


def test_a_password_from_the_environment(guarded):
    env = {**environment(), "SECRET": "pa ss:wörd"}
    for program, more in (("pub", ["-m", "x"]), ("sub", ["-E"])):
        assert run(program, *guarded.at(), "-u", "alice", "--pw-env", "SECRET", "-t", "t", *more, env=env) == (0, b"", b"")


def test_a_password_that_cannot_be_had(guarded, tmp_path):
    at = [*guarded.at(), "-t", "t", "-m", "x", "-u", "alice"]
    (tmp_path / "empty").touch()
    for options, word in ((["--pw-file", tmp_path / "absent"], "absent"), (["--pw-env", "NOT_SET"], "NOT_SET"),
                          (["--pw-file", tmp_path], str(tmp_path)), (["--pw-file"], "--pw-file"),
                          (["--pw-env"], "--pw-env")):
        code, _, err = run("pub", *at, *options)
        assert code == 1 and word in err.decode(), err
    assert run("pub", *at, "--pw-file", tmp_path / "empty")[0] != 0
    code, _, err = run("pub", *at, "-P", "x", "--pw-env", "HOME")
    assert code in (1, 5), err


# --- --help and the manual ------------------------------------------------------------------------


def help_of(program):
    code, out, err = run(program, "--help")
    assert (code, err) == (0, b"")
    return out.decode()


OPTION = r"(?:-\w|--[\w-]+)(?: [A-Z][\w.:/\[\]-]*)?"


def options_of_help(text):
    """Those that a line begins with: short and long ones."""
    found = set()
    for line in text.splitlines():
        words = re.match(rf"\s{{1,6}}({OPTION}(?:, {OPTION})*)", line)
        if words:
            found |= set(re.findall(r"(?<![\w-])(--[a-z][\w-]*|-\w)(?![\w-])", words[1]))
    return found


def options_of_manual(program):
    """The items of the lists of options, which begin with Fl."""
    text = (ROOT / "man" / f"mosquitto_{program}.1").read_text(encoding="utf-8")
    items = re.findall(r"^\.It (Fl .*)$", text, re.MULTILINE)
    return {f"-{option}" for item in items for option in re.findall(r"\bFl (-?\w[\w-]*)", item)}


@pytest.mark.parametrize("program", PROGRAMS)
def test_help_fits_a_terminal_and_is_grouped(program):
    text = help_of(program)
    assert max(map(len, text.splitlines())) <= 80
    headings = [line for line in text.splitlines() if re.match(r"\S.*:$", line)]
    assert len(headings) >= 4, headings
    assert len(options_of_help(text)) >= 40


@pytest.mark.parametrize("program", PROGRAMS)
def test_help_and_manual_have_the_same_options(program):
    told, written = options_of_help(help_of(program)), options_of_manual(program)
    assert not told - written, "in --help alone"
    assert not written - told, "in the manual alone"


@pytest.mark.parametrize("program", PROGRAMS)
def test_every_option_of_help_is_known(program):
    for option in options_of_help(help_of(program)):
        err = run(program, option, "-h", "127.0.0.1", "-p", free_port(), data=b"")[2].decode()
        assert f"nknown option '{option}'" not in err, err


@pytest.mark.parametrize("program", PROGRAMS)
def test_examples_of_the_manual_use_known_options(program):
    text = (ROOT / "man" / f"mosquitto_{program}.1").read_text(encoding="utf-8")
    lines = re.findall(r"^\s*(?:\$ )?mosquitto_(pub|sub|rr) (.*)$", text, re.MULTILINE)
    assert lines, "a page without examples"
    known = {name: options_of_help(help_of(name)) for name in PROGRAMS}
    for name, rest in lines:
        used = re.findall(r"(?<![\w-])(--[a-z][\w-]*|-[A-Za-z])(?![\w-])", rest.split("|")[0])
        assert not set(used) - known[name], rest
