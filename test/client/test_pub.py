"""mosquitto_pub: what it publishes, when it ends, and what becomes of lines when the broker goes away."""

import itertools
import os
import re
import signal
import subprocess
import threading
import time
from pathlib import Path

import mqtt_wire
import pytest
from broker_process import free_port
from client_tools import PATIENT, Listener, Phoenix, finish, have, program, run, running, start
from mqtt_wire import CONNACK, DISCONNECT, PINGREQ, PUBLISH, packet, puback

pytestmark = pytest.mark.skipif(not have("pub"), reason="there is no mosquitto_pub beside the broker")

WELL = (0, "", "")


@pytest.fixture
def listener():
    listener = Listener()
    yield listener
    listener.close()


@pytest.fixture
def phoenix(tmp_path):
    phoenix = Phoenix(tmp_path).start()
    yield phoenix
    phoenix.kill()


def at(where):
    return ["-h", "127.0.0.1", "-p", where.port]


def payloads(client, count):
    """The next messages of a subscriber of the test's own, acknowledged."""
    got = []
    while len(got) < count:
        message = client.recv()
        if message.kind == PUBLISH:
            got.append(message.payload)
            if message.qos:
                client.send(mqtt_wire.ack(mqtt_wire.PUBACK if message.qos == 1 else mqtt_wire.PUBREC, message.mid))
        elif message.kind == mqtt_wire.PUBREL:
            client.send(mqtt_wire.pubcomp(message.mid))
    return got


def subscriber(broker, topic, qos=2):
    client = broker.connect()
    client.subscribe(topic, qos=qos)
    return client


# --- one message ----------------------------------------------------------------------------------


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_a_text(broker, name, qos):
    reader = subscriber(broker, name)
    assert run("pub", *at(broker), "-t", name, "-m", "zwölf °C", "-q", qos) == WELL
    message = reader.recv()
    assert (message.payload.decode(), message.qos, message.retain) == ("zwölf °C", qos, False)


@pytest.mark.parametrize("option", ["-n", "--null-message"])
def test_nothing_removes_what_is_retained(broker, name, option):
    assert run("pub", *at(broker), "-t", name, "--message", "kept", "--retain", "--qos", "1") == WELL
    reader = broker.connect()
    reader.subscribe(name)
    message = reader.recv()
    assert (message.payload, message.retain) == (b"kept", True)
    assert run("pub", *at(broker), "-t", name, option, "-r") == WELL
    assert reader.recv().payload == b""
    late = subscriber(broker, name)
    late.quiet()


@pytest.mark.parametrize("size", [0, 1, 300_000, 3_000_000])
@pytest.mark.parametrize("option", ["-f", "-s", "pipe"])
def test_a_file_as_it_is(brokers, name, tmp_path, option, size):
    broker = brokers.get("max_packet_size 8000000")
    data = bytes(itertools.islice(itertools.cycle(b"\0\n\r\xff."), size))
    reader = subscriber(broker, name)
    file = tmp_path / "data"
    file.write_bytes(data)
    if option == "-f":
        assert run("pub", *at(broker), "-t", name, "-f", file) == WELL
    elif option == "-s" and size == 0:
        assert run("pub", *at(broker), "-t", name, "-s", data=data) == (
            1, "", "Error: Zero length input.\nError loading input from stdin.\n")
        return
    elif option == "-s":
        assert run("pub", *at(broker), "-t", name, "-s", data=data) == WELL
    else:
        assert run("pub", *at(broker), "-t", name, "-f", "/dev/stdin", data=data) == WELL
    assert reader.recv().payload == data


@pytest.mark.parametrize("make,said", [
    (None, 'Error: Unable to open file "{}": No such file or directory.\n'),
    (Path.mkdir, 'Error: Unable to read file "{}": it is a directory.\n'),
    (lambda path: path.open("wb").truncate(268_435_456),
     'Error: Unable to read file "{}": a message has at most 268435455 bytes (256 MB).\n'),
])
def test_a_file_that_will_not_do(broker, tmp_path, make, said):
    path = tmp_path / "file"
    if make:
        make(path)
    assert run("pub", *at(broker), "-t", "t", "-f", path) == (1, "", said.format(path))


def test_a_payload_that_fits_no_packet(broker, tmp_path):
    path = tmp_path / "file"
    with path.open("wb") as file:
        file.truncate(268_435_455)
    code, _, err = run("pub", *at(broker), "-t", "t", "-f", path)
    assert (code, err) != (0, "") and err == "Error: Message payload is too large.\n"


def test_the_last_topic_counts(broker, name):
    reader = subscriber(broker, f"{name}/+")
    assert run("pub", *at(broker), "-t", f"{name}/1", "-t", f"{name}/2", "-m", "x") == WELL
    assert reader.recv().topic == f"{name}/2"
    reader.quiet()


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_repeated(broker, name, qos):
    reader = subscriber(broker, name)
    assert run("pub", *at(broker), "-t", name, "-m", "again", "-q", qos, "--repeat", "500") == WELL
    assert payloads(reader, 500) == [b"again"] * 500
    began = time.monotonic()
    assert run("pub", *at(broker), "-t", name, "-m", "slowly", "-q", qos, "--repeat", "3", "--repeat-delay", "0.2") == WELL
    assert 0.4 <= time.monotonic() - began < 5 * PATIENT
    assert payloads(reader, 3) == [b"slowly"] * 3


def test_what_debug_prints(broker, name):
    process = start("pub", *at(broker), "-t", name, "-m", "hello", "-q", "2", "-r", "-d")
    code, out, err = finish(process)
    who = f"Client mosqpub|{process.pid}-{os.uname().nodename}"[:30]
    assert (code, err) == (0, "")
    assert [line[line.index(" ", 10) + 1:] for line in out.splitlines()] == [
        "sending CONNECT", "received CONNACK (0)", f"sending PUBLISH (d0, q2, r1, m1, '{name}', ... (5 bytes))",
        "received PUBREC (Mid: 1)", "sending PUBREL (Mid: 1)", "received PUBCOMP (Mid: 1)", "sending DISCONNECT"]
    assert all(line.startswith(who) for line in out.splitlines())


# --- how it ends when it cannot -------------------------------------------------------------------


def test_nobody_listens():
    port = free_port()
    assert run("pub", "-h", "127.0.0.1", "-p", port, "-t", "t", "-m", "x") == (1, "", "Error: Connection refused\n")
    assert run("pub", "-h", "127.0.0.1", "-p", port, "-t", "t", "-m", "x", "--quiet") == (1, "", "")
    assert run("pub", "--unix", "/nonexistent/socket", "-t", "t", "-m", "x") == (1, "", "Error: No such file or directory\n")


def test_a_name_without_an_address():
    assert run("pub", "-h", "nobody.invalid", "-t", "t", "-m", "x") == (1, "", "Unable to connect (Lookup error.).\n")


@pytest.mark.parametrize("code,words", [
    (1, "unacceptable protocol version"), (2, "identifier rejected"), (3, "broker unavailable"),
    (4, "bad user name or password"), (5, "not authorised")])
@pytest.mark.parametrize("quiet", [False, True])
def test_refused(listener, code, words, quiet):
    process = start("pub", *at(listener), "-t", "t", "-m", "x", *(["--quiet"] if quiet else []))
    listener.welcome(code)
    said = "" if quiet else f"Connection error: Connection Refused: {words}.\nError: The connection was refused.\n"
    assert finish(process) == (code, "", said)


@pytest.mark.parametrize("answer", [b"", packet(CONNACK, 0, bytes([0, 0]))], ids=["at once", "after CONNACK"])
def test_a_broker_that_hangs_up(listener, answer):
    """At QoS 1 what was not acknowledged was not delivered, and there is nobody to try it again with."""
    process = start("pub", *at(listener), "-t", "t", "-m", "x", "-q", "1", *(["--retry", "0"] if answer else []))
    peer = listener.accept()
    peer.expect(mqtt_wire.CONNECT)
    peer.send(answer)
    if answer:
        peer.publish()
    peer.close()
    assert finish(process) == (7, "", "Error: The connection was lost. 1 message was not delivered.\n")


def test_something_else_listens(listener):
    process = start("pub", *at(listener), "-t", "t", "-m", "x")
    peer = listener.accept()
    peer.expect(mqtt_wire.CONNECT)
    peer.send(b"HTTP/1.1 400 Bad Request\r\n" + b"Server: none\r\n" * 10 + b"\r\n")
    code, _, err = finish(process)
    assert code == 7
    assert "CONNACK" in err.splitlines()[0], "it says what is wrong with the answer"


def test_a_broker_that_comes_later():
    port = free_port()
    process = start("pub", "-h", "127.0.0.1", "-p", port, "-t", "t", "-m", "x", "--retry", "30")
    time.sleep(0.5)
    late = Listener(("127.0.0.1", port))
    peer = late.welcome()
    assert peer.publish().payload == b"x"
    peer.expect(DISCONNECT)
    assert finish(process) == WELL
    late.close()


# --- a will, TLS, PSK -----------------------------------------------------------------------------


def test_the_will_of_one_that_is_killed(broker, name):
    reader = subscriber(broker, f"{name}/will")
    with running("pub", *at(broker), "-t", name, "-l", "-i", name, "--will-topic", f"{name}/will", "--will-payload", "gone",
                 "--will-qos", "1", "--will-retain", stdin=subprocess.PIPE) as process:
        broker.log.wait(f"Sending CONNACK to {name}")
        process.send_signal(signal.SIGKILL)
        message = reader.recv()
    assert (message.payload, message.qos) == (b"gone", 1)


def test_no_will_of_one_that_is_done(broker, name):
    reader = subscriber(broker, f"{name}/#")
    assert run("pub", *at(broker), "-t", name, "-m", "x", "--will-topic", f"{name}/will") == WELL
    assert reader.recv().topic == name
    reader.quiet()


def test_over_tls(brokers, pki, name):
    port, mutual = free_port(), free_port()
    broker = brokers.start(f"listener {port} 127.0.0.1", *pki.tls(), f"listener {mutual} 127.0.0.1", *pki.mutual())
    broker.await_port(mutual)
    reader = subscriber(broker, name)
    trust = ["--cafile", pki.ca.cert]
    client = pki.client()
    assert run("pub", "-h", "localhost", "-p", port, *trust, "-t", name, "-m", "1") == WELL
    assert run("pub", "-L", f"mqtts://localhost:{port}/{name}", *trust, "-m", "2") == WELL
    assert run("pub", "-h", "localhost", "-p", mutual, *trust, "--cert", client.cert, "--key", client.key,
               "--tls-version", "tlsv1.2", "--ciphers", "ECDHE+AESGCM", "-t", name, "-m", "3") == WELL
    assert payloads(reader, 3) == [b"1", b"2", b"3"]
    assert run("pub", "-h", "127.0.0.1", "-p", broker.port, *trust, "--no-tls", "-t", name, "-m", "4") == WELL
    for others in (["--cafile", pki.stranger.cert], ["--tls-use-os-certs"], [*trust, "--ciphers", "NONE-SUCH"]):
        code, _, err = run("pub", "-h", "localhost", "-p", port, *others, "-t", name, "-m", "not")
        assert code == 1 and "TLS" in err, err
    assert payloads(reader, 1) == [b"4"]
    reader.quiet()


def test_with_a_pre_shared_key(brokers, tmp_path, name):
    port, keys = free_port(), tmp_path / "keys"
    keys.write_text("anna:c0ffee\n")
    keys.chmod(0o600)
    broker = brokers.start(f"psk_file {keys}", f"listener {port} 127.0.0.1", "psk_hint h")
    broker.await_port(port)
    reader = subscriber(broker, name)
    where = ["-h", "127.0.0.1", "-p", port, "-t", name, "--psk-identity", "anna"]
    assert run("pub", *where, "--psk", "c0ffee", "-m", "x") == WELL
    assert payloads(reader, 1) == [b"x"]
    assert run("pub", *where, "--psk", "c0ffef", "-m", "not")[0] == 1
    reader.quiet()


# --- lines ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_lines_are_kept_as_they_are(broker, name, qos):
    reader = subscriber(broker, name)
    lines = [b"one", b"", b"a\0b", b"\xff\xfe", b"dos\r", b" \t ", b"x" * 700_000, b"last"]
    assert run("pub", *at(broker), "-t", name, "-l", "-q", qos, data=b"\n".join(lines)) == WELL
    assert payloads(reader, len(lines)) == lines


@pytest.mark.parametrize("data,lines", [(b"", []), (b"\n", [b""]), (b"a\n", [b"a"]), (b"a", [b"a"]), (b"a\n\n", [b"a", b""])])
def test_where_lines_end(broker, name, data, lines):
    reader = subscriber(broker, name)
    assert run("pub", *at(broker), "-t", name, "-l", data=data) == WELL
    assert payloads(reader, len(lines)) == lines
    reader.quiet()


def test_lines_leave_as_they_come(broker, name):
    reader = subscriber(broker, name)
    with running("pub", *at(broker), "-t", name, "-l", stdin=subprocess.PIPE) as process:
        for line in (b"first", b"second"):
            process.stdin.write(line + b"\n")
            process.stdin.flush()
            assert reader.recv().payload == line
        assert finish(process) == WELL


def test_standard_input_that_is_closed(broker):
    process = subprocess.Popen([program("pub"), *map(str, at(broker)), "-t", "t", "-l"], stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, preexec_fn=lambda: os.close(0))
    assert finish(process) == (1, "", "Error: Unable to read standard input: Bad file descriptor.\n")


@pytest.mark.parametrize("qos", [0, 1])
def test_a_million_lines(listener, qos):
    """In a few seconds, many packets in each write."""
    count, line = (1_000_000, b"0123456789") if qos == 0 else (200_000, b"0123456789")
    began = time.monotonic()
    with running("pub", *at(listener), "-t", "t", "-l", "-q", qos, "-M", "1000", stdin=subprocess.PIPE) as process:
        peer = listener.welcome()
        writer = threading.Thread(target=lambda: (process.stdin.write((line + b"\n") * count), process.stdin.close()))
        writer.start()
        got, sends = swallow(peer, len(mqtt_wire.publish("t", line, qos, 1 if qos else None)), qos)
        writer.join()
        process.stdin = None
        assert finish(process) == WELL
    assert got == count
    assert sends < count / 50
    assert time.monotonic() - began < 15 * PATIENT


def swallow(peer, size, qos):
    """Read packets of one size until DISCONNECT: how many there were, and in how many reads they came."""
    buffer, count, reads = bytearray(peer.buffer), 0, 0
    while buffer[:1] != b"\xe0":
        buffer += peer.sock.recv(1 << 18)
        reads += 1
        whole = min(len(buffer) // size, next((i for i in range(len(buffer) // size) if buffer[i * size] >> 4 != PUBLISH), 1 << 30))
        if qos:
            peer.send(*(puback(int.from_bytes(buffer[i * size + 5 : i * size + 7], "big")) for i in range(whole)))
        count += whole
        del buffer[: whole * size]
    return count, reads


@pytest.mark.parametrize("qos", [0, 1])
def test_memory_is_bounded_when_the_broker_takes_nothing(listener, qos):
    """Whoever writes the lines has to wait."""
    with running("pub", *at(listener), "-t", "t", "-l", "-q", qos, stdin=subprocess.PIPE) as process:
        listener.welcome()
        os.set_blocking(process.stdin.fileno(), False)
        block, written, still = b"x" * 99 + b"\n", 0, 0
        while still < 40:
            try:
                written += os.write(process.stdin.fileno(), block * 600)
                still = 0
            except BlockingIOError:
                still += 1
                time.sleep(0.02)
            assert written < 40 << 20, "it takes whatever comes"
        memory = int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{process.pid}/status").read_text())[1])
        assert memory < 60_000 * PATIENT, "KiB"


@pytest.mark.slow
def test_keepalive_while_the_input_is_silent(listener):
    with running("pub", *at(listener), "-t", "t", "-l", "-k", "5", stdin=subprocess.PIPE) as process:
        peer = listener.welcome()
        began = time.monotonic()
        peer.expect(PINGREQ)
        assert 3 < time.monotonic() - began < 10
        peer.send(packet(mqtt_wire.PINGRESP, 0))
        process.stdin.write(b"still there\n")
        process.stdin.flush()
        assert peer.publish().payload == b"still there"


# --- lines and a broker that dies -----------------------------------------------------------------


def absent(phoenix, topic, qos):
    reader = phoenix.connect("reader", clean=False)
    reader.subscribe(topic, qos=qos)
    reader.disconnect()


def arrived(phoenix, count):
    reader = phoenix.connect("reader", clean=False)
    assert reader.connack.session_present
    got = []
    while len(set(got)) < count:
        got += [int(payload) for payload in payloads(reader, 1)]
    late = []
    try:
        while True:
            message = reader.recv(0.5)
            if message.kind == PUBLISH:
                late.append(int(message.payload))
                reader.send(mqtt_wire.ack(mqtt_wire.PUBACK if message.qos == 1 else mqtt_wire.PUBREC, message.mid))
            else:
                reader.send(mqtt_wire.pubcomp(message.mid))
    except TimeoutError:
        return got + late


@pytest.mark.parametrize("qos,more", [(1, []), (2, ["-c", "-i", "writer"]), (2, ["-c", "-i", "writer", "-M", "1"])])
def test_no_line_is_lost_over_restarts(phoenix, qos, more):
    absent(phoenix, "t", qos)
    count, parts = 1000, 5
    with running("pub", *at(phoenix), "-t", "t", "-l", "-q", qos, *more, stdin=subprocess.PIPE) as process:
        phoenix.log.wait("Sending CONNACK to (mosqpub|writer)")
        for part in range(parts):
            numbers = range(part * count // parts, (part + 1) * count // parts)
            process.stdin.write(b"".join(b"%d\n" % number for number in numbers))
            process.stdin.flush()
            if part < 3:
                phoenix.log.wait("Received PUBLISH from")
                phoenix.kill()
                phoenix.start()
        assert finish(process) == WELL
    got = arrived(phoenix, count)
    assert sorted(set(got)) == list(range(count))
    assert qos == 1 or len(got) == count, "a message of QoS 2 came twice"


def test_lines_wait_while_the_broker_is_away(phoenix):
    """At QoS 0, too: they are not thrown to nobody."""
    with running("pub", *at(phoenix), "-t", "t", "-l", "-i", "writer", stdin=subprocess.PIPE) as process:
        phoenix.log.wait("Sending CONNACK to writer")
        phoenix.kill()
        time.sleep(0.2)
        process.stdin.write(b"one\ntwo\n")
        process.stdin.flush()
        time.sleep(0.2)
        back = Listener(("127.0.0.1", phoenix.port))
        peer = back.welcome()
        assert [peer.publish().payload for _ in range(2)] == [b"one", b"two"]
        process.stdin.write(b"three")
        process.stdin.close()
        process.stdin = None
        assert peer.publish().payload == b"three"
        peer.expect(DISCONNECT)
        assert finish(process) == WELL
        back.close()


def test_what_was_not_written_is_published_again(listener):
    """QoS 0, and a connection that ends while more is queued than the socket takes."""
    line = b"x" * 999
    with running("pub", *at(listener), "-t", "t", "-l", stdin=subprocess.PIPE) as process:
        listener.welcome()
        total = 20_000  # more than what the sockets of both sides take
        writer = threading.Thread(target=lambda: (process.stdin.write(b"".join(b"%06d" % n + line + b"\n" for n in range(total))), process.stdin.close()))
        writer.start()
        time.sleep(0.5)
        listener.open[0].close()
        peer = listener.welcome()
        first = int(peer.publish().payload[:6])
        assert 0 < first < total, "it goes on, and not from the beginning"
        for number in range(first + 1, total):
            assert int(peer.publish().payload[:6]) == number
        peer.expect(DISCONNECT)
        writer.join()
        process.stdin = None
        assert finish(process) == WELL


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_a_broker_that_is_gone_for_good(phoenix, qos):
    with running("pub", *at(phoenix), "-t", "t", "-l", "-q", qos, "-i", "writer", "--retry", "1", stdin=subprocess.PIPE) as process:
        phoenix.log.wait("Sending CONNACK to writer")
        phoenix.kill()
        began = time.monotonic()
        process.stdin.write(b"one\ntwo\nthree")
        process.stdin.close()
        process.stdin = None
        code, out, err = finish(process)
    assert (code, out, err) == (7, "", "Error: The connection was lost. 3 lines were not delivered.\n")
    assert 0.5 < time.monotonic() - began < 5 * PATIENT


def test_gone_for_good_while_the_input_goes_on(phoenix):
    with running("pub", *at(phoenix), "-t", "t", "-l", "-i", "writer", "--retry", "1", stdin=subprocess.PIPE) as process:
        phoenix.log.wait("Sending CONNACK to writer")
        phoenix.kill()
        assert process.wait(20 * PATIENT) == 7
        err = process.stderr.read().decode()
    assert err == "Error: The connection was lost. 0 lines were not delivered, and what else the input has was not read.\n"


def test_the_end_of_the_input_while_the_broker_is_away(phoenix):
    """All was acknowledged: that is well, whether the broker comes back or not."""
    with running("pub", *at(phoenix), "-t", "t", "-l", "-q", "1", "-d", stdin=subprocess.PIPE) as process:
        process.stdin.write(b"one\n")
        process.stdin.flush()
        for line in process.stdout:
            if b"received PUBACK" in line:
                break
        phoenix.kill()
        process.stdin.close()
        process.stdin = None
        assert finish(process)[::2] == (0, "")


def test_a_broker_that_refuses_when_it_is_back(listener):
    """Unavailable for the moment: go on trying. Not authorised any more: no use."""
    with running("pub", *at(listener), "-t", "t", "-l", "-q", "1", stdin=subprocess.PIPE) as process:
        listener.welcome().close()
        listener.welcome(3).close()
        listener.welcome(5)
        assert finish(process) == (5, "", "Connection error: Connection Refused: not authorised.\n"
                                          "Error: The connection was refused. 0 lines were not delivered, "
                                          "and what else the input has was not read.\n")


@pytest.mark.parametrize("qos", [0, 1])
@pytest.mark.parametrize("source", [["-l"], ["-f", "/dev/stdin"]], ids=["lines", "file"])
def test_a_message_that_no_connection_survives(listener, source, qos):
    """A broker that hangs up on it, for its size perhaps, is not offered it for ever."""
    refusals = 0

    def refuse():
        nonlocal refusals
        while True:
            try:
                peer = listener.welcome()
                peer.sock.recv(1)
                peer.close()
            except OSError:
                return
            refusals += 1

    thread = threading.Thread(target=refuse)
    thread.start()
    code, _, err = run("pub", *at(listener), "-t", "t", *source, "-q", qos, "--retry", "1", data=b"x" * 30_000_000, limit=20 * PATIENT)
    listener.socket.shutdown(2)
    thread.join()
    what = "line" if source == ["-l"] else "message"
    assert (code, err) == (7, f"Error: The connection was lost. 1 {what} was not delivered.\n")
    assert refusals > 1


def test_the_time_of_retry_begins_anew_when_nothing_waits(listener):
    """However often the broker came and went before: each time it is waited for as long."""
    with running("pub", *at(listener), "-t", "t", "-l", "-q", "1", "--retry", "1", stdin=subprocess.PIPE) as process:
        listener.welcome().close()
        peer = listener.welcome()
        time.sleep(1.5)
        peer.close()
        peer = listener.welcome()
        process.stdin.write(b"last\n")
        process.stdin.close()
        process.stdin = None
        message = peer.publish()
        peer.send(puback(message.mid))
        peer.expect(DISCONNECT)
        assert finish(process) == WELL
