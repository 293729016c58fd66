"""Listeners: addresses, families, interfaces, Unix sockets, limits; and what is said when one cannot be opened."""

import os
import re
import resource
import shutil
import socket
import subprocess
import time
from pathlib import Path

import mqtt_wire
import pytest
from broker_process import binary, can_unshare, free_port
from listener_tools import by_path, descriptors, is_closed_without_a_word, reaches
from mqtt_wire import CONNACK, Client, Closed, connect
from test_server_start import needs_ipv6, run

pytestmark = pytest.mark.ours

# Ports below 1024 are for root unless a machine is set up otherwise.
LOW_PORTS = int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text())


def refused(tmp_path, *lines, **options):
    """A broker with this file ends with code 1; what it says."""
    config = tmp_path / "refused.conf"
    config.write_text("\n".join(["allow_anonymous true", *lines]) + "\n")
    done = run("-c", config, **options)
    assert done.returncode == 1, done.stderr
    return done.stderr


# --- families and addresses ---


@needs_ipv6
@pytest.mark.parametrize("domain, hosts", [("ipv4", ["127.0.0.1"]), ("ipv6", ["::1"]), (None, ["127.0.0.1", "::1"])])
def test_a_listener_serves_the_families_that_are_wanted(brokers, domain, hosts):
    port = free_port()
    broker = brokers.start(f"listener {port}", *([f"socket_domain {domain}"] if domain else []))
    for host in hosts:
        broker.await_port(port, host)
    for host in ("127.0.0.1", "::1"):
        assert reaches(port, host) == (host in hosts)
    for host in hosts:
        client = Client(port, host)
        client.connect(f"at-{host}")
        client.disconnect()
    wanted = [f"Opening {'ipv6' if ':' in host else 'ipv4'} listen socket on port {port}." for host in hosts]
    assert [line for line in broker.log.find(f"port {port}") if "Opening" in line][: len(hosts)] == [
        line for line in broker.log.find(re.escape(wanted[0]) + "|" + re.escape(wanted[-1]))
    ]


@needs_ipv6
def test_an_ipv6_address_alone(brokers):
    port = free_port()
    broker = brokers.start(f"listener {port} ::1")
    client = Client(port, "::1")
    client.connect("six")
    client.quiet()
    assert not reaches(port)
    broker.log.wait(r"New client connected from ::1.* as six ")
    client.close()


def test_an_address_and_a_family_that_do_not_fit(tmp_path):
    port = free_port()
    said = refused(tmp_path, f"listener {port} ::1", "socket_domain ipv4")
    assert re.search(rf"Error: Cannot listen on ::1, port {port} .*refused\.conf:2\. socket_domain leaves", said)


def test_clients_of_all_listeners_meet(brokers):
    ports = [free_port() for _ in range(5)]
    broker = brokers.start(*(f"listener {port} 127.0.0.1" for port in ports))
    clients = [Client(port) for port in [broker.port, *ports]]
    for index, client in enumerate(clients):
        client.connect(f"m{index}")
        client.subscribe("meet")
    broker.connect().publish("meet", "all")
    for client in clients:
        client.take("meet", "all")
        client.close()


# --- what cannot be opened ---


def test_a_port_that_is_taken_names_listener_and_remedy(brokers, tmp_path):
    broker = brokers.start()
    said = refused(tmp_path, f"listener {free_port()} 127.0.0.1", f"listener {broker.port} 127.0.0.1")
    assert re.search(
        rf"Error: Address already in use \(127\.0\.0\.1:{broker.port}\)\. "
        rf"Listener of \S+refused\.conf:3\. Another program, or another listener, has this port\.", said,
    )
    broker.answers()


def test_an_address_of_another_machine_is_told(tmp_path):
    said = refused(tmp_path, f"listener {free_port()} 192.0.2.77")
    assert re.search(r"Error: Cannot assign requested address \(192\.0\.2\.77:\d+\)\..*refused\.conf:2\..*'ip address'", said)


@pytest.mark.skipif(os.geteuid() != 0 or LOW_PORTS < 1024, reason="needs root, and ports that only root may use")
def test_a_low_port_without_root_says_what_it_takes(tmp_path):
    # The program may lie where only root can go.
    os.chmod(tmp_path, 0o755)
    program = tmp_path / "mosquitto"
    shutil.copy(binary(), program)
    config = tmp_path / "low.conf"
    config.write_text("listener 83 127.0.0.1\nallow_anonymous true\n")
    for parent in [tmp_path, *tmp_path.parents[:-1]]:
        if parent != Path("/tmp"):
            os.chmod(parent, 0o755)
    done = subprocess.run(
        [program, "-c", config], capture_output=True, text=True, timeout=30, check=False, user=65534, group=65534,
        extra_groups=[],
    )
    assert done.returncode == 1
    assert re.search(r"Error: Permission denied \(127\.0\.0\.1:83\)\..*low\.conf:1\..*CAP_NET_BIND_SERVICE", done.stderr)


def test_an_interface_that_is_not_there_is_named(tmp_path):
    said = refused(tmp_path, f"listener {free_port()}", "bind_interface none0")
    assert re.search(r"Error: bind_interface none0: No such device .*refused\.conf:2\..*'ip link'", said)


def test_an_interface_without_the_address_is_named(tmp_path):
    said = refused(tmp_path, f"listener {free_port()} 192.0.2.77", "bind_interface lo")
    assert re.search(r"Error: bind_interface lo: it does not have the address \(192\.0\.2\.77:", said)


# --- Unix sockets ---


@pytest.fixture
def path(tmp_path):
    """Short enough for any test's name."""
    short = Path("/tmp") / f"mq{os.getpid()}.{tmp_path.name[-8:]}.sock"
    yield short
    if short.is_socket() or short.exists() or short.is_symlink():
        short.unlink()


def test_a_unix_socket_serves_clients(brokers, path, name):
    broker = brokers.start(f"listener 0 {path}")
    broker.log.wait(rf"Opening unix listen socket on path {path}\.$")
    reader = by_path(path)
    reader.connect("local")
    reader.subscribe(name)
    writer = broker.connect()
    writer.publish(name, "across", qos=1)
    reader.take(name, "across")
    broker.log.wait(rf"New client connected from .* as local ")
    for _ in range(50):
        client = by_path(path)
        client.connect("coming-and-going")
        client.disconnect()
    # One that is refused has its answer read out to it, whatever else it has sent.
    client = by_path(path)
    client.send(connect("refused", level=9) + mqtt_wire.PING * 5000)
    assert client.expect_half(4) == b"\x20\x02\x00\x01"
    client.close()
    reader.close()
    broker.stop()
    brokers.own.remove(broker)
    assert not path.exists()


def test_the_clients_of_the_distribution_use_it(brokers, path):
    for program in ("mosquitto_sub", "mosquitto_pub"):
        if not shutil.which(program):
            pytest.skip(f"no {program} here")
    broker = brokers.start(f"listener 0 {path}")
    sub = subprocess.Popen(
        ["mosquitto_sub", "--unix", path, "-i", "deb-sub", "-t", "deb/+", "-q", "1", "-v", "-C", "1", "-W", "10"],
        stdout=subprocess.PIPE, text=True,
    )
    broker.log.wait("deb-sub . deb/\\+$")
    subprocess.run(
        ["mosquitto_pub", "--unix", path, "-t", "deb/x", "-m", "hello", "-q", "1"], check=True, timeout=10,
    )
    assert sub.communicate(timeout=10)[0] == "deb/x hello\n"


def test_a_file_that_nobody_serves_is_replaced(brokers, path):
    broker = brokers.start(f"listener 0 {path}")
    broker.process.kill()
    broker.process.wait()
    brokers.own.remove(broker)
    broker.log.thread.join(5)
    broker.process.stdout.close()
    assert path.is_socket()
    brokers.start(f"listener 0 {path}")
    client = by_path(path)
    client.connect("again")
    client.disconnect()


def test_a_socket_that_is_served_is_left_alone(brokers, path, tmp_path):
    broker = brokers.start(f"listener 0 {path}")
    said = refused(tmp_path, f"listener 0 {path}")
    assert re.search(rf"Error: Address already in use \({path}\)\. .*refused\.conf:2\. A running program", said)
    client = by_path(path)
    client.connect("still-here")
    client.close()
    broker.answers()


@pytest.mark.parametrize("kind", ["file", "directory", "link"])
def test_what_is_no_socket_is_never_removed(path, tmp_path, kind):
    target = tmp_path / "precious"
    target.write_text("precious")
    if kind == "file":
        path.write_text("precious")
    elif kind == "link":
        path.symlink_to(target)
    else:
        path.mkdir()
    try:
        said = refused(tmp_path, f"listener 0 {path}")
        assert re.search(rf"Error: What is there is no such socket \({path}\)\. .* It was left alone\.", said)
        assert path.is_dir() if kind == "directory" else path.read_text() == "precious"
    finally:
        if kind == "directory":
            path.rmdir()


def test_a_path_that_is_too_long_is_told(tmp_path):
    config = tmp_path / "long.conf"
    config.write_text(f"listener 0 /tmp/{'x' * 110}\n")
    done = run("-c", config)
    assert done.returncode == 3
    assert re.search(r"Error: listener '0 /tmp/xxx.*long\.conf:1\).*107 bytes", done.stderr)


def test_a_directory_that_is_not_there_is_told(tmp_path):
    said = refused(tmp_path, "listener 0 /no/such/directory/s")
    assert re.search(r"Error: No such file or directory \(/no/such/directory/s\).*The directory must exist", said)


def test_another_ones_file_stays_at_the_end(brokers, path):
    """Somebody has put a socket of his own in our place: it is not ours to remove."""
    broker = brokers.start(f"listener 0 {path}")
    path.unlink()
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        other.listen()
        broker.stop()
        brokers.own.remove(broker)
        assert path.is_socket()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make way for another user")
def test_a_file_made_by_root_is_removed_by_the_user_it_becomes(brokers, path):
    """In a directory with the sticky bit only the owner of a file may do that."""
    assert os.stat("/tmp").st_mode & 0o1000
    broker = brokers.start(f"listener 0 {path}", "user nobody")
    client = by_path(path)
    client.connect("root")
    client.close()
    assert path.owner() == "nobody"
    broker.stop()
    brokers.own.remove(broker)
    assert not path.exists()


# --- limits ---


def test_each_listener_counts_its_own(brokers):
    port = free_port()
    broker = brokers.start("max_connections 1", f"listener {port} 127.0.0.1", "max_connections 2")
    first = [broker.connect()]
    second = [Client(port), Client(port)]
    for index, client in enumerate(second):
        client.connect(f"two-{index}")
    assert is_closed_without_a_word(broker.client())
    late = Client(port)
    assert is_closed_without_a_word(late)
    broker.log.wait(
        rf"Client connection from 127\.0\.0\.1:{late.address[1]} denied: "
        rf"max_connections exceeded \(2 on port {port}\)\.$"
    )
    broker.log.wait(rf"denied: max_connections exceeded \(1 on port {broker.port}\)\.$")
    second.pop().disconnect()
    again = Client(port)
    again.connect("again")
    for client in first + second + [again]:
        client.quiet()
        client.close()


def test_all_listeners_together_have_a_limit(brokers, path):
    port = free_port()
    broker = brokers.start(f"listener {port} 127.0.0.1", f"listener 0 {path}", "global_max_connections 3")
    clients = [broker.client(), Client(port), by_path(path)]
    for index, client in enumerate(clients):
        client.connect(f"g{index}")
    for late in (broker.client(), Client(port), by_path(path)):
        assert is_closed_without_a_word(late)
        late.close()
    broker.log.wait(rf"Client connection from {path} denied: global_max_connections exceeded \(3\)\.$")
    assert len(broker.log.wait_for(3, r"denied: global_max_connections exceeded \(3\)\.$")) == 3
    clients.pop().disconnect()
    for _ in range(100):
        client = Client(port)
        client.send_if_open(connect("g3"))
        try:
            client.expect(CONNACK, code=0)
            break
        except Closed:
            time.sleep(0.02)
    client.quiet()
    for client in [*clients, client]:
        client.close()


def test_a_flood_of_refusals_is_summed_up(brokers):
    broker = brokers.start("max_connections 1")
    broker.connect()
    for _ in range(500):
        with socket.create_connection(("127.0.0.1", broker.port)) as sock:
            sock.settimeout(5)
            try:
                assert sock.recv(1) == b""
            except ConnectionResetError:
                pass
    told, deadline = 0, time.monotonic() + 15
    while told < 500 and time.monotonic() < deadline:
        lines = broker.log.find(r"max_connections exceeded")
        told = sum(int(re.search(r"and ([\d,]+) more", line).group(1).replace(",", "")) if "more" in line else 1
                   for line in lines)
        time.sleep(0.05)
    assert told == 500
    assert len(lines) < 100


# --- interfaces, in a network of our own ---

NETWORK = """
set -e
ip link set lo up
ip link add left0 type veth peer name right0
ip addr add 10.99.0.1/24 dev left0
ip link set left0 up
ip link set right0 up
ip netns add $NS
ip link set right0 netns $NS
ip -n $NS addr add 10.99.0.2/24 dev right0
ip -n $NS link set right0 up
ip -n $NS link set lo up
"""

PROBE = "import socket,sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 3); print('reached')"


@pytest.mark.skipif(os.geteuid() != 0 or not can_unshare() or not shutil.which("ip"), reason="needs its own network")
def test_an_interface_takes_only_what_comes_in_there(tmp_path):
    config = tmp_path / "net.conf"
    config.write_text(
        "listener 1885\nbind_interface left0\n"
        "listener 1886\nbind_interface lo\n"
        "listener 1887 10.99.0.1\nbind_interface left0\n"
        "listener 1888\n"
        "allow_anonymous true\nuser root\n"
    )
    probes = "\n".join(
        f"echo {where} {host} {port} $({prefix} /usr/bin/python3 -c \"$PROBE\" {host} {port} 2>/dev/null)"
        for where, prefix, host, ports in [
            ("inside", "", "127.0.0.1", (1885, 1886, 1887, 1888)),
            ("outside", "ip netns exec $NS", "10.99.0.1", (1885, 1886, 1887, 1888)),
        ]
        for port in ports
    )
    script = f"""{NETWORK}
{binary()} -c {config} 2>{tmp_path}/log &
broker=$!
for i in $(seq 200); do grep -q running {tmp_path}/log && break; sleep 0.05; done
set +e
{probes}
kill $broker
wait $broker
echo code $?
ip netns del $NS
"""
    done = subprocess.run(
        ["unshare", "-m", "-n", "sh", "-c", "mkdir -p /run/netns; mount -t tmpfs none /run/netns; " + script],
        capture_output=True, text=True, timeout=60, check=False,
        env={**os.environ, "NS": "far", "PROBE": PROBE},
    )
    found = {tuple(line.split()[:3]): line.endswith("reached") for line in done.stdout.splitlines() if "side" in line}
    assert found == {
        ("inside", "127.0.0.1", "1885"): False,
        ("inside", "127.0.0.1", "1886"): True,
        ("inside", "127.0.0.1", "1887"): False,
        ("inside", "127.0.0.1", "1888"): True,
        ("outside", "10.99.0.1", "1885"): True,
        ("outside", "10.99.0.1", "1886"): False,
        ("outside", "10.99.0.1", "1887"): True,
        ("outside", "10.99.0.1", "1888"): True,
    }, done.stderr + (tmp_path / "log").read_text()
    assert "code 0" in done.stdout


# --- without descriptors ---


def test_a_full_table_refuses_and_recovers_on_every_listener(brokers, path):
    port = free_port()
    broker = brokers.start(f"listener {port} 127.0.0.1", f"listener 0 {path}")
    used = descriptors(broker)
    resource.prlimit(broker.pid, resource.RLIMIT_NOFILE, (used + 2, used + 2))
    inside = [broker.connect(), Client(port)]
    inside[1].connect("inside")
    for open_one in (broker.client, lambda: Client(port), lambda: by_path(path)):
        late = [open_one() for _ in range(5)]
        for client in late:
            assert is_closed_without_a_word(client)
            client.close()
    broker.log.wait("No free file descriptors")
    inside[0].disconnect()
    for _ in range(100):
        client = by_path(path)
        client.send_if_open(connect("late"))
        try:
            client.expect(CONNACK, code=0)
            break
        except Closed:
            time.sleep(0.05)
    client.quiet()
    client.close()
    inside[1].quiet()
    inside[1].close()
