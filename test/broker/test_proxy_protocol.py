"""The PROXY protocol: who a client is when it comes through a proxy, and who may say so."""

import re
import shutil
import socket
import struct
import subprocess
import time

import pytest
from broker_process import free_port
from listener_tools import SIGNATURE, SocketClient, by_path, is_closed_without_a_word, reaches, tls_addition, v1, v2
from mqtt_wire import CONNACK, Client, connect
from test_server_start import needs_ipv6

pytestmark = pytest.mark.ours


@pytest.fixture
def proxied(brokers):
    return brokers.get("enable_proxy_protocol true")


def admitted(client, client_id, header):
    client.send(header + connect(client_id))
    client.expect(CONNACK, code=0)


def turned_away(client, raw):
    client.send_if_open(raw)
    return is_closed_without_a_word(client)


@pytest.mark.parametrize("version", [v1, v2])
def test_the_client_is_whom_the_header_names(proxied, version, name):
    client = proxied.client()
    admitted(client, name, version("192.0.2.9", 50123))
    proxied.log.wait(rf"New client connected from 192\.0\.2\.9(:50123)? as {name} ")
    client.quiet()
    client.close()
    proxied.log.wait(rf"Client {name} \[192\.0\.2\.9:50123\] disconnected")


@pytest.mark.parametrize(
    "header", [v1("2001:db8::7", 443, "TCP6", "::1"), v2("2001:db8::7", 443)], ids=["v1", "v2"]
)
def test_an_ipv6_client_behind_an_ipv4_proxy(proxied, header, name):
    client = proxied.client()
    admitted(client, name, header)
    proxied.log.wait(rf"New client connected from 2001:db8::7(:443)? as {name} ")


@pytest.mark.parametrize(
    "header",
    [b"PROXY UNKNOWN\r\n", b"PROXY UNKNOWN ffff:f ffff:f 65535 65535\r\n", v2(command=0),
     SIGNATURE + b"\x21\x00\x00\x00", v2(command=0, additions=b"\x04\x00\x05hello")],
    ids=["v1 unknown", "v1 unknown long", "v2 local", "v2 unspecified", "v2 local with additions"],
)
def test_a_proxy_that_speaks_for_itself_keeps_its_address(proxied, header, name):
    client = proxied.client()
    admitted(client, name, header)
    proxied.log.wait(rf"New client connected from 127\.0\.0\.1(:\d+)? as {name} ")


@pytest.mark.parametrize("header", [v1(), v2(), v2("2001:db8::7", additions=tls_addition())], ids=["v1", "v2", "v2 tls"])
def test_a_header_may_come_byte_by_byte(proxied, header, name):
    client = proxied.client()
    client.send_slowly(header + connect(name))
    client.expect(CONNACK, code=0)
    client.quiet()


def test_waiting_for_a_header_costs_nothing(brokers):
    broker = brokers.start("enable_proxy_protocol true")
    waiting = [broker.client() for _ in range(50)]
    for index, client in enumerate(waiting):
        client.send((v1() if index % 2 else v2())[: index % 15 + 1])

    def cpu():
        fields = open(f"/proc/{broker.pid}/stat", encoding="ascii").read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / 100

    before = cpu()
    time.sleep(1)
    assert cpu() - before < 0.1
    for index, client in enumerate(waiting):
        client.send((v1() if index % 2 else v2())[index % 15 + 1 :] + connect(f"waited-{index}"))
        client.expect(CONNACK, code=0)


GARBAGE = {
    "MQTT": connect("direct"),
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(100),
    "HTTP": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "almost v1": b"PROXX TCP4 192.0.2.1 192.0.2.2 1 2\r\n",
    "almost v2": SIGNATURE[:-1] + b"\r" + bytes(20),
    "v1 of another family": b"PROXY UDP4 192.0.2.1 192.0.2.2 1 2\r\n",
    "v1 without carriage return": b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\n",
    "v1 with a name": b"PROXY TCP4 localhost 192.0.2.2 1 2\r\n",
    "v1 without end": b"PROXY UNKNOWN " + b"x" * 200,
    "v2 of version 3": SIGNATURE + b"\x31\x11\x00\x0c" + bytes(12),
    "v2 with an unknown command": SIGNATURE + b"\x22\x11\x00\x0c" + bytes(12),
    "v2 of a datagram": SIGNATURE + b"\x21\x12\x00\x0c" + bytes(12),
    "v2 too short for its addresses": SIGNATURE + b"\x21\x21\x00\x0c" + bytes(12),
    "v2 that promises too much": SIGNATURE + b"\x21\x11\xff\xff",
    "v2 with an addition that is too long": v2(additions=b"\x04\x00\x09x"),
}


@pytest.mark.parametrize("raw", GARBAGE.values(), ids=GARBAGE.keys())
def test_anything_else_is_closed_with_one_line(brokers, raw):
    broker = brokers.start("enable_proxy_protocol true")
    client = broker.client()
    port = client.address[1]
    assert turned_away(client, raw)
    broker.log.wait(
        rf"Client connection from 127\.0\.0\.1:{port} denied: .*PROXY header.*"
        rf"\(enable_proxy_protocol on port {broker.port}\)\.$"
    )
    assert len(broker.log.wait_for(1, f":{port}")) == 1
    assert not broker.log.find("as direct")
    admitted(broker.client(), "after", v1())


@pytest.mark.parametrize("wanted, right, wrong", [("1", v1, v2), ("2", v2, v1)])
def test_one_version_alone_may_be_wanted(brokers, wanted, right, wrong):
    broker = brokers.start(f"enable_proxy_protocol {wanted}")
    admitted(broker.client(), "right", right())
    assert turned_away(broker.client(), wrong() + connect("wrong"))
    broker.log.wait(r"denied: a PROXY header of another version \(enable_proxy_protocol on port")


def test_only_a_trusted_proxy_is_believed(brokers):
    broker = brokers.start("enable_proxy_protocol true", "trusted_proxy 127.0.0.2 10.0.0.0/8", "trusted_proxy 2001:db8::/32")
    stranger = broker.client()
    port = stranger.address[1]
    assert turned_away(stranger, v1() + connect("spoofed"))
    broker.log.wait(
        rf"Client connection from 127\.0\.0\.1:{port} denied: not a trusted proxy "
        rf"\(trusted_proxy on port {broker.port}\)\.$"
    )
    # Without a header neither.
    assert turned_away(broker.client(), connect("direct"))
    with socket.socket() as sock:
        sock.bind(("127.0.0.2", 0))
        sock.connect(("127.0.0.1", broker.port))
        admitted(SocketClient(sock), "trusted", v1("192.0.2.55"))
    broker.log.wait(r"New client connected from 192\.0\.2\.55.* as trusted ")
    assert not broker.log.find("spoofed|direct|192.0.2.9")


@needs_ipv6
def test_an_ipv6_proxy_is_trusted_by_its_network(brokers):
    port = free_port()
    broker = brokers.start(f"listener {port} ::1", "enable_proxy_protocol true", "trusted_proxy ::/127")
    client = Client(port, "::1")
    admitted(client, "six", v2("192.0.2.66"))
    broker.log.wait(r"New client connected from 192\.0\.2\.66.* as six ")
    client.close()


def test_an_ipv4_client_in_ipv6_clothes_is_an_ipv4_client(proxied, name):
    admitted(proxied.client(), name, v1("::ffff:192.0.2.77", 5, "TCP6", "::1"))
    proxied.log.wait(rf"New client connected from 192\.0\.2\.77(:5)? as {name} ")


def test_other_listeners_know_nothing_of_headers(brokers):
    port = free_port()
    broker = brokers.start("enable_proxy_protocol true", f"listener {port} 127.0.0.1")
    client = Client(port)
    client.connect("plain")
    client.close()
    client = Client(port)
    assert turned_away(client, v1() + connect("header"))
    assert not broker.log.find("192.0.2.9")


def test_tls_may_be_demanded(brokers):
    broker = brokers.start("enable_proxy_protocol 2", "proxy_protocol_v2_require_tls true")
    admitted(broker.client(), "by-tls", v2(additions=b"\x02\x00\x01x" + tls_addition(1)))
    for header in (v2(), v2(additions=tls_addition(6)), v2(command=0)):
        assert turned_away(broker.client(), header + connect("plain"))
    broker.log.wait(r"denied: not by TLS.*\(proxy_protocol_v2_require_tls on port")
    assert not broker.log.find("as plain")


def test_waiting_connections_count_for_the_limit(brokers):
    broker = brokers.start("enable_proxy_protocol true", "max_connections 2")
    first, second = broker.client(), broker.client()
    first.send(v1()[:5])
    admitted(second, "second", v1())
    assert is_closed_without_a_word(broker.client())
    broker.log.wait("max_connections exceeded")
    first.close()
    for _ in range(100):
        third = broker.client()
        third.send_if_open(v1() + connect("third"))
        if not is_closed_without_a_word(third):
            break
        time.sleep(0.02)
    third.expect(CONNACK, code=0)


@pytest.mark.slow
def test_a_header_must_come_in_time(brokers):
    broker = brokers.start("enable_proxy_protocol true")
    silent, dripping = broker.client(), broker.client()
    begin = time.monotonic()
    for byte in v1()[:10]:
        dripping.send(bytes([byte]))
        time.sleep(2.5)
    silent.patience = dripping.patience = 20
    assert is_closed_without_a_word(silent)
    assert is_closed_without_a_word(dripping)
    assert 28 < time.monotonic() - begin < 40
    for client in (silent, dripping):
        broker.log.wait(rf":{client.address[1]} denied: no PROXY header in time \(enable_proxy_protocol on port")


@pytest.mark.slow
def test_the_header_takes_from_the_time_for_connect(brokers):
    broker = brokers.start("enable_proxy_protocol true")
    client = broker.client()
    begin = time.monotonic()
    time.sleep(20)
    client.send(v1())
    client.patience = 25
    assert is_closed_without_a_word(client)
    assert 28 < time.monotonic() - begin < 36


def test_who_leaves_before_the_header_is_told_of(brokers):
    broker = brokers.start("enable_proxy_protocol true")
    client = broker.client()
    client.send(v2()[:20])
    client.close()
    broker.log.wait(r"denied: it ended before its PROXY header did")
    client = broker.client()
    client.send(v2()[:20])
    client.reset()
    admitted(broker.client(), "after", v2())


def test_a_unix_socket_may_stand_behind_a_proxy(brokers, tmp_path):
    path = f"/tmp/px{free_port()}.sock"
    broker = brokers.start(f"listener 0 {path}", "enable_proxy_protocol true")
    client = by_path(path)
    admitted(client, "by-path", v2("192.0.2.88"))
    broker.log.wait(r"New client connected from 192\.0\.2\.88.* as by-path ")
    client.close()


def test_a_client_of_the_proxys_unix_socket_has_no_address(proxied, name):
    header = SIGNATURE + b"\x21\x31" + struct.pack(">H", 216) + b"/run/client".ljust(216, b"\0")
    client = proxied.client()
    admitted(client, name, header)
    line = proxied.log.wait(rf"New client connected from \S+ as {name} ")
    assert re.search(r"from local(:0)? as", line), line


def test_the_end_of_the_broker_does_not_wait_for_headers(brokers):
    broker = brokers.start("enable_proxy_protocol true")
    for _ in range(5):
        broker.client().send(b"PROXY")
    begin = time.monotonic()
    broker.process.terminate()
    assert broker.process.wait(10) == 0
    assert time.monotonic() - begin < 1.5


def test_refusals_are_summed_up(brokers):
    broker = brokers.start("enable_proxy_protocol true")
    for _ in range(200):
        assert turned_away(broker.client(), b"\x10\x0c")
        broker.drop_clients()
    broker.log.wait(r"Client connections from 127\.0\.0\.1 denied: .*PROXY header.* … and \d+ more\.$")
    assert len(broker.log.find("PROXY header")) < 60


@pytest.fixture
def haproxy(tmp_path):
    """Start HAProxy in front of a port."""
    program = shutil.which("haproxy") or shutil.which("/usr/sbin/haproxy")
    if not program:
        pytest.skip("no haproxy here")
    running = []

    def start(port, how):
        front = free_port()
        config = tmp_path / "haproxy.cfg"
        config.write_text(
            "defaults\n  mode tcp\n  timeout connect 5s\n  timeout client 60s\n  timeout server 60s\n"
            f"listen mqtt\n  bind 127.0.0.1:{front}\n  server broker 127.0.0.1:{port} {how}\n"
        )
        running.append(subprocess.Popen([program, "-db", "-q", "-f", config]))
        for _ in range(200):
            if reaches(front):
                return front
            time.sleep(0.02)
        raise AssertionError("haproxy did not start")

    yield start
    for process in running:
        process.terminate()
        process.wait(10)


@pytest.mark.parametrize("how", ["send-proxy", "send-proxy-v2", "send-proxy-v2-ssl", "send-proxy-v2 check inter 100"])
def test_through_haproxy(brokers, haproxy, how, name):
    broker = brokers.start("enable_proxy_protocol true", "trusted_proxy 127.0.0.1")
    front = haproxy(broker.port, how)
    with socket.socket() as sock:
        sock.bind(("127.0.0.3", 0))
        sock.connect(("127.0.0.1", front))
        client = SocketClient(sock)
        client.connect(name)
        client.subscribe(name)
        broker.log.wait(rf"New client connected from 127\.0\.0\.3(:{sock.getsockname()[1]})? as {name} ")
        time.sleep(0.5)
        client.quiet()
