"""Configuration files as they are found in the field: they work unchanged, or one line says why not.

Most files are only tested (`--test-config`); the distribution's broker says what it makes of the same line.
"""

import os
import re
import subprocess
from pathlib import Path

import pytest
from broker_process import ROOT, Broker, Log, binary, environment, free_port, whose
from certificates import openssl

PEER = Path("/usr/sbin/mosquitto")
DEBIAN_CONF = Path("/etc/mosquitto/mosquitto.conf")
DEBIAN_EXAMPLE = Path("/usr/share/doc/mosquitto/examples/mosquitto.conf")
OUR_EXAMPLE = ROOT / "mosquitto.conf.example"

STAMP = re.compile(r"^\d{10,}: ")
needs_debian_files = pytest.mark.skipif(
    not (DEBIAN_CONF.exists() and DEBIAN_EXAMPLE.exists()), reason="the distribution's package is not there"
)


class Answer:
    """What `--test-config` said of a file."""

    def __init__(self, path, **env):
        done = subprocess.run(
            [binary(), "-c", str(path), "--test-config"],
            capture_output=True, timeout=60, env={**environment(), **env}, check=False,
        )
        text = (done.stdout + done.stderr).decode("utf-8", "backslashreplace")
        assert done.returncode in (0, 3), text
        self.lines = [STAMP.sub("", line) for line in text.splitlines()]
        self.well = done.returncode == 0
        assert self.well == (not self.of("Error")), text
        assert self.well == ("Configuration file is OK." in self.lines), text

    def of(self, kind):
        return [line for line in self.lines if line.startswith(kind + ":")]


def put(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


@pytest.fixture
def tell(tmp_path):
    """Test a text as a file."""
    return lambda text, **env: Answer(put(tmp_path / "m.conf", text), **env)


class Exact(Broker):
    """A broker with exactly this file; it must listen on `port` of 127.0.0.1."""

    def __init__(self, directory, text, port):
        self.directory = Path(directory)
        self.clients = []
        self.serial = 0
        self.port = port
        lines = text.splitlines()
        self.config = put(self.directory / "exact.conf", "\n".join([*whose(lines), *lines]) + "\n")
        self.process = subprocess.Popen(
            [binary(), "-c", str(self.config)],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            env=environment(), cwd=self.directory,
        )
        self.pid = self.process.pid
        self.log = Log(self.process.stdout, self.directory / "broker.log")
        self.await_port(port)


@pytest.fixture
def start(tmp_path):
    running = []

    def start_one(text, port):
        running.append(Exact(tmp_path, text, port))
        return running[-1]

    yield start_one
    for broker in running:
        broker.stop()


# --- the distribution's files -------------------------------------------------------------------


def moved(text, root):
    """The same with its directories below `root`, and there they are."""
    for place in ("/run/mosquitto", "/var/lib/mosquitto", "/var/log/mosquitto", "/etc/mosquitto/conf.d"):
        (root / place.strip("/")).mkdir(parents=True, exist_ok=True)
        text = re.sub(rf"(?m)^(\w+ (?:file )?){place}", lambda m, p=place: f"{m[1]}{root}{p}", text)
    return text


@needs_debian_files
def test_the_configuration_of_the_distributions_package(tmp_path, start):
    """As it is, with a file in conf.d that opens the door, as its users have one."""
    port = free_port()
    text = moved(DEBIAN_CONF.read_text(encoding="utf-8"), tmp_path)
    assert str(tmp_path) in text
    put(tmp_path / "etc/mosquitto/conf.d/local.conf", f"listener {port} 127.0.0.1\nallow_anonymous true\n")
    answer = Answer(put(tmp_path / "m.conf", text))
    assert answer.well
    assert not answer.of("Warning")
    broker = start(text, port)
    broker.connect().ping()
    pid_file = tmp_path / "run/mosquitto/mosquitto.pid"
    assert int(pid_file.read_text(encoding="ascii")) == broker.pid
    broker.stop()
    assert not pid_file.exists()
    assert " running" in (tmp_path / "var/log/mosquitto/mosquitto.log").read_text(encoding="utf-8")
    assert list((tmp_path / "var/lib/mosquitto").iterdir())


def test_an_error_in_an_included_file(tmp_path):
    put(tmp_path / "d/one.conf", "# fine\nmax_qos 1\n")
    put(tmp_path / "d/two.conf", "\nlistner 1883\n")
    answer = Answer(put(tmp_path / "m.conf", f"include_dir {tmp_path}/d\nfoo bar\n"))
    assert len(answer.of("Error")) == 2
    assert re.fullmatch(
        r"Error: Unknown configuration variable 'listner' \(.*/d/two\.conf:2\): did you mean 'listener'\?",
        answer.of("Error")[0],
    )
    assert "m.conf:2)" in answer.of("Error")[1]


# What stands in the place of a value that the example leaves out.
VALUES = {
    "listener": "PORT 127.0.0.1",
    "socket_domain": "ipv4",
    "bind_interface": "lo",
    "mount_point": "house/",
    "use_username_as_clientid": "true",
    "persistent_client_expiration": "2m",
    "pid_file": "DIR/mosquitto.pid",
    "persistence_location": "DIR/",
    "log_facility": "5",
    "log_timestamp_format": "%Y-%m-%dT%H:%M:%S",
    "password_file": "DIR/passwd",
    "acl_file": "DIR/acl",
    "psk_file": "DIR/psk",
    "psk_hint": "house",
    "certfile": "DIR/server.pem",
    "keyfile": "DIR/server.key",
    "cafile": "DIR/ca.pem",
    "capath": "DIR",
    "crlfile": "DIR/crl.pem",
    "dhparamfile": "DIR/dhparam.pem",
    "ciphers": "ECDHE+AESGCM",
    "ciphers_tls1.3": "TLS_AES_128_GCM_SHA256",
    "tls_version": "tlsv1.2",
    "clientid_prefixes": "sensor-",
    "include_dir": "DIR",
    "connection": "north",
    "address": "127.0.0.1:1",
    "topic": "# out 1",
    "bridge_bind_address": "127.0.0.1",
    "bridge_certfile": "DIR/server.pem",
    "bridge_keyfile": "DIR/server.key",
    "bridge_cafile": "DIR/ca.pem",
    "bridge_capath": "DIR",
    "bridge_alpn": "mqtt",
    "bridge_identity": "lamp",
    "bridge_psk": "00112233",
    "remote_clientid": "house",
    "local_clientid": "local.house",
    "remote_username": "ann",
    "remote_password": "secret",
    "local_username": "ann",
    "local_password": "secret",
    "notification_topic": "house/state",
}


# The example's own default, which the program behind it refuses.
MORE_IS_TAKEN = ("max_packet_size 0",)
# One half of what TLS needs: the program behind the example opens a listener without TLS, or one that nobody can use.
HALF = ("certfile", "keyfile", "psk_hint", "bridge_certfile", "bridge_keyfile", "remote_password")
# What makes a whole of a line of a bridge, each but for the line itself.
BRIDGE = {"connection": "connection south", "address": "address 127.0.0.1:1", "topic": "topic a/b"}


def furnish(directory, pki):
    """Every file that VALUES and our example name."""
    put(directory / "passwd", "")
    subprocess.run(["mosquitto_passwd", "-b", directory / "passwd", "ann", "secret"], check=True, timeout=60)
    put(directory / "acl", "user ann\ntopic readwrite #\n")
    put(directory / "psk", "lamp:00112233445566778899aabbccddeeff\n")
    for name, path in [
        ("server.pem", pki.server.cert), ("server.key", pki.server.key), ("ca.pem", pki.ca.cert), ("crl.pem", pki.crl),
    ]:
        put(directory / name, Path(path).read_text(encoding="ascii"))
    put(directory / "dhparam.pem", openssl("genpkey", "-genparam", "-algorithm", "DH", "-pkeyopt", "group:ffdhe2048"))
    for secret in ("passwd", "acl", "psk", "server.key"):
        (directory / secret).chmod(0o600)


def example_lines():
    """Every line of the distribution's example that can be uncommented, with a value where it has none."""
    if not DEBIAN_EXAMPLE.exists():
        return []
    lines = re.findall(r"^#([a-z].*)$", DEBIAN_EXAMPLE.read_text(encoding="utf-8"), re.M)
    lines = [re.sub(r" .*<.*", "", line) for line in lines]  # connection <name>
    assert len(lines) > 90
    return [f"{line} {VALUES[line]}" if line in VALUES else line for line in dict.fromkeys(lines)]


def of_a_bridge(name):
    """Does our example have it in the part on bridges?"""
    part = OUR_EXAMPLE.read_text(encoding="utf-8").split("# ---- Bridges", 1)[1].split("# ----", 1)[0]
    return f"\n#{name} " in part


def to_come():
    """What the last part of our example lists as `# name value`, without what is retired."""
    text = OUR_EXAMPLE.read_text(encoding="utf-8")
    part = text.split("Not available in this release", 1)[1].split("---- Retired", 1)[0]
    blocks = [block.strip().splitlines() for block in part.split("\n#\n")]
    names = {block[-1].split()[1] for block in blocks if len(block) > 1}
    assert {"plugin", "websockets_origin", "bridge_receive_maximum"} <= names
    return names


def peer_takes(config):
    """Does the distribution's broker start with this file?"""
    peer = subprocess.Popen(
        [str(PEER), "-v", "-c", str(config)], cwd=config.parent, text=True, encoding="utf-8",
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )
    with peer:
        runs = any(re.search(r"version \S+ running$", line) for line in peer.stdout)
        peer.kill()  # what it is told just after its start it may forget
    return runs


@needs_debian_files
@pytest.mark.parametrize("line", example_lines())
def test_every_line_of_the_distributions_example(line, tmp_path, pki):
    """Uncommented in turn: taken if the distribution's broker takes it, or a line says what is missing."""
    name = line.split()[0]
    if "_file" in name or name.endswith(("file", "path")):
        furnish(tmp_path, pki)
    line = line.replace("PORT", str(free_port())).replace("DIR", str(tmp_path))
    lines = [f"listener {free_port()} 127.0.0.1", "allow_anonymous true", *whose([line])]
    if of_a_bridge(name):
        rest = {**BRIDGE, name: line}
        lines += [rest.pop("connection"), *rest.values()]
    else:
        lines += [line]
    config = put(tmp_path / "one.cfg", "\n".join(lines) + "\n")
    answer = Answer(config)
    assert len(answer.of("Error")) <= 1
    if name in to_come():
        said = [text for text in answer.lines if name in text]
        if said or not answer.well:
            assert re.search(r"not available|MQTT 5 only|belongs to a bridge", said[0])
    elif line in MORE_IS_TAKEN:
        assert answer.well
    elif name in HALF:
        assert re.search(
            r"expected (keyfile|certfile|psk_file|bridge_keyfile|bridge_certfile|remote_username) too", answer.of("Error")[0]
        )
    else:
        assert answer.well == peer_takes(config), answer.lines


@needs_debian_files
def test_the_distributions_example_unchanged():
    answer = Answer(DEBIAN_EXAMPLE)
    assert answer.well
    assert answer.lines == ["Configuration file is OK."]


# --- files that people have ---------------------------------------------------------------------

# Every option of Mosquitto 1.4 that is obeyed, and of the others those that do not stop a start.
ALL_OF_1_4 = """
# Config file for mosquitto
#retry_interval 20
retry_interval 20
sys_interval 10
store_clean_interval 10
pid_file DIR/mosquitto.pid
user root
max_inflight_messages 20
max_queued_messages 100
queue_qos0_messages false
message_size_limit 0
allow_zero_length_clientid true
auto_id_prefix gen-
persistent_client_expiration 1m
allow_duplicate_messages false
upgrade_outgoing_qos false
bind_address 127.0.0.1
port PORT
max_connections -1
protocol mqtt
use_username_as_clientid false
mount_point home/
listener PORT2 127.0.0.1
max_connections 10
mount_point office/
use_username_as_clientid false
require_certificate false
use_identity_as_username false
autosave_interval 1800
autosave_on_changes false
persistence true
persistence_file mosquitto.db
persistence_location DIR/
log_dest stderr
log_dest file DIR/mosquitto.log
log_facility 5
log_type error
log_type warning
log_type notice
log_type information
websockets_log_level 0
connection_messages true
log_timestamp true
clientid_prefixes secure-
allow_anonymous true
ffdc_output x
max_log_entries 1
trace_level 1
trace_output x
include_dir DIR/conf.d
connection bridge-name
address 127.0.0.1:1 127.0.0.1:2
topic # both 2 local/topic/ remote/topic/
bridge_attempt_unsubscribe true
bridge_protocol_version mqttv311
round_robin false
start_type automatic
restart_timeout 30
idle_timeout 60
threshold 10
try_private true
cleansession false
notifications true
notification_topic a/b
keepalive_interval 60
clientid secure-c
local_clientid l
username u
password p
local_username u
local_password p
bridge_insecure false
bridge_tls_version tlsv1.2
connection other-name
addresses 127.0.0.1:1
topic "" in 0 here there
remote_clientid c
remote_username u
remote_password p
"""


def test_a_file_with_every_option_of_1_4(tmp_path, start):
    port, other = free_port(), free_port()
    (tmp_path / "conf.d").mkdir()
    text = ALL_OF_1_4.replace("PORT2", str(other)).replace("PORT", str(port)).replace("DIR", str(tmp_path))
    answer = Answer(put(tmp_path / "m.conf", text))
    assert answer.well, answer.lines
    warned = {re.match(r"Warning: (\w+)", line)[1] for line in answer.of("Warning")}
    assert warned == {
        "retry_interval", "store_clean_interval", "user", "bind_address", "port", "autosave_interval",
        "autosave_on_changes", "ffdc_output", "max_log_entries", "trace_level", "trace_output",
        "websockets_log_level", "idle_timeout", "threshold", "bridge_tls_version",
    }
    broker = start(text, port)
    home, office = broker.connect("secure-1"), broker.connect("secure-2")
    home.subscribe("#")
    office.publish("x", "here", qos=1)
    home.take("x", "here")
    broker.port = other
    broker.connect("secure-3").publish("x", "elsewhere", qos=1)
    home.quiet()
    broker.stop()


def test_plugins_of_1_4_stop_the_start(tell):
    """Each on a line of its own, so that each is known and none is left out in silence."""
    names = ["auth_plugin", "auth_opt_x", "tls_engine"]
    answer = tell("listener 1\n" + "".join(f"{name} /nowhere\n" for name in names))
    assert len(answer.of("Error")) == len(names)
    for number, line in enumerate(answer.of("Error"), 2):
        assert re.search(rf"m\.conf:{number}\): .*not (available|supported).*, refusing to start without it\.$", line)


# --- bridges ------------------------------------------------------------------------------------

# Sections that the distribution's broker takes, or not, and this one too.
AS_THEY_DO = [
    "connection a\naddress 127.0.0.1:1\n",
    "connection a\ntopic #\n",
    "connection\naddress 127.0.0.1:1\ntopic #\n",
    "address 127.0.0.1:1\ntopic #\n",
    "topic #\n",
    SECTION := "connection a\naddress 127.0.0.1:1\ntopic #\n",
    SECTION + SECTION,
    SECTION + SECTION.replace("connection a", "connection b"),
    SECTION + "address 127.0.0.1:2\n",
    SECTION + "addresses 127.0.0.1:2\n",
    SECTION + "clientid x\n" + SECTION.replace("connection a", "connection b") + "clientid x\n",
    SECTION + "clientid x\n" + SECTION.replace("connection a", "connection b") + "clientid x\nlocal_clientid y\n",
    SECTION + "clientid x\nremote_clientid y\n",
    SECTION + "username x\nremote_username y\n",
    SECTION + "topic a in 3\n",
    SECTION + "topic a up\n",
    SECTION + "topic\n",
    SECTION + "topic # in 0 l r/\n",
    SECTION + "topic # in 0 l/ r\n",
    SECTION + "topic # in 0 l/ r/ # more\n",
    SECTION + "topic # in 0 +/ r/\n",
    SECTION + "topic # in 0 l/ r/#\n",
    SECTION + 'topic "" in 0 l/ r/\n',
    SECTION + 'topic "" in 0 l/\n',
    SECTION + 'topic "" in 0 "" r/\n',
    SECTION + 'topic "" in 0\n',
    SECTION + 'topic a in 0 "" ""\n',
    SECTION + "topic # out\n",
    SECTION + "restart_timeout 10 5\n",
    SECTION + "restart_timeout\n",
    SECTION + "restart_timeout 5 30 60\n",
    SECTION + "start_type manual\n",
    SECTION + "start_type lazy\n",
    SECTION + "start_type once\n",
    SECTION + "round_robin yes\n",
    SECTION + "bridge_psk 00\n",
    SECTION + "bridge_identity i\n",
    SECTION + "bridge_psk 00\nbridge_identity i\n",
    SECTION + "bridge_psk 00\nbridge_identity i\nbridge_cafile DIR/ca.pem\n",
    SECTION + "bridge_protocol_version mqttv50\n",
    SECTION + "bridge_protocol_version mqttv6\n",
    SECTION + "cleansession true\nlocal_cleansession false\n",
    SECTION.replace("127.0.0.1:1", "127.0.0.1:0"),
    SECTION.replace("127.0.0.1:1", "127.0.0.1:65536"),
    SECTION.replace("127.0.0.1:1", "::1:1 127.0.0.1:2"),
    "connection a\nlistener PORT 127.0.0.1\naddress 127.0.0.1:1\ntopic #\n",
]
# What it takes, and then does otherwise than the line reads, or never connects.
STRICTER = [
    (SECTION.replace("connection a", "connection a b"), "without blanks"),
    (SECTION.replace("127.0.0.1:1", "fe80::1"), "a port behind an IPv6 address, or brackets"),
    (SECTION.replace("127.0.0.1:1", "127.0.0.1:1x"), "a port from 1 to 65535"),
    (SECTION + "topic a in x\n", "0, 1 or 2"),
    (SECTION + "topic a#b in\n", "a pattern that is a filter"),
    (SECTION + "topic $share/g/a in\n", "no shared subscription"),
    (SECTION + "topic a in 0 l/ r/ more\n", "nothing behind the remote prefix"),
    (SECTION + "keepalive_interval 4\n", "from 5 to 65535"),
    (SECTION + "idle_timeout 0\n", "seconds from 1"),
    (SECTION + "threshold 0\n", "messages from 1"),
    (SECTION + "restart_timeout 0\n", "from 1 to 7200"),
    (SECTION + "restart_timeout 3601\n", "from 1 to 3600"),
    (SECTION + "notification_topic a/#\n", "without + and #"),
    (SECTION + "remote_password p\n", "remote_username too"),
    (SECTION + "bridge_bind_address nowhere\n", "an address of this machine"),
    (SECTION + "bridge_certfile DIR/server.pem\n", "bridge_keyfile too"),
    (SECTION + "bridge_psk 0g\nbridge_identity i\n", "a key in hexadecimal"),
    (SECTION + "bridge_tls_version tlsv1\n", "one of 'tlsv1.3' 'tlsv1.2'"),
]


def section_answer(text, directory):
    """What ours says of a section, and whether the distribution's broker takes it."""
    text = text.replace("PORT", str(free_port())).replace("DIR", str(directory))
    lines = [f"listener {free_port()} 127.0.0.1", "allow_anonymous true", *whose([]), text]
    config = put(directory / "one.cfg", "\n".join(lines))
    return Answer(config), peer_takes(config)


@needs_debian_files
@pytest.mark.parametrize("text", AS_THEY_DO)
def test_sections_of_bridges_that_both_read_alike(text, tmp_path, pki):
    furnish(tmp_path, pki)
    answer, theirs = section_answer(text, tmp_path)
    assert answer.well == theirs, answer.lines


@needs_debian_files
@pytest.mark.parametrize("text, expected", STRICTER)
def test_sections_of_bridges_that_cannot_work(text, expected, tmp_path, pki):
    furnish(tmp_path, pki)
    answer, theirs = section_answer(text, tmp_path)
    assert theirs
    assert len(answer.of("Error")) == 1
    assert re.search(rf"\(.*one\.cfg:\d+\): .*expected .*{re.escape(expected)}", answer.of("Error")[0])


def test_a_wrong_bridge_stops_the_start(tmp_path):
    config = put(tmp_path / "m.conf", SECTION + "start_type manual\nkeepalive_interval 1\npassword secret\n")
    done = subprocess.run([binary(), "-c", config], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 3
    assert len(done.stderr.splitlines()) == 1
    answer = Answer(config)
    assert len(answer.of("Error")) == 3
    assert "secret" not in "".join(answer.lines)


def test_bridges_in_included_files(tmp_path):
    """Each file has its own; what follows the line is again for the bridge before it."""
    put(tmp_path / "d/one.conf", SECTION.replace("connection a", "connection b"))
    put(tmp_path / "d/two.conf", "topic x\n")
    answer = Answer(put(tmp_path / "m.conf", f"connection a\ninclude_dir {tmp_path}/d\naddress h\ntopic #\n"))
    assert len(answer.of("Error")) == 1
    assert re.search(r"topic \(.*/d/two\.conf:1\): belongs to a bridge", answer.of("Error")[0])
    (tmp_path / "d/two.conf").write_text(SECTION, encoding="ascii")
    answer = Answer(tmp_path / "m.conf")
    assert re.search(
        r"connection 'a' \(.*/d/two\.conf:1\): expected a name of its own; the bridge of .*/m\.conf:1 has this one\.",
        answer.of("Error")[0],
    )


# --- what protects -----------------------------------------------------------------------------

PAIR = "certfile DIR/server.pem\nkeyfile DIR/server.key\n"
LISTENER = "listener 18830 127.0.0.1\nallow_anonymous true\n"


@pytest.fixture
def tell_furnished(tell, tmp_path, pki):
    """Test a text whose files are there, in DIR."""
    furnish(tmp_path, pki)
    return lambda text: tell(text.replace("DIR", str(tmp_path)))


@needs_debian_files
@pytest.mark.parametrize(
    "text",
    [
        LISTENER + PAIR,
        LISTENER + PAIR + "cafile DIR/ca.pem\ncrlfile DIR/crl.pem\nrequire_certificate true\n",
        "listener 18830\n" + PAIR + "password_file DIR/passwd\nacl_file DIR/acl\nacl_subscribe check\n",
        "listener 18830\n" + PAIR + "cafile DIR/ca.pem\nuse_identity_as_username true\nacl_file DIR/acl\n",
        "psk_file DIR/psk\nlistener 18830\npsk_hint house\nuse_identity_as_username true\n",
        "listener 18830 127.0.0.1\npassword_file DIR/passwd\n",
        "password_file DIR/passwd\nallow_anonymous false\n",
    ],
)
def test_what_protects_and_is_complete(tell_furnished, text):
    assert tell_furnished(text).lines == ["Configuration file is OK."]


@needs_debian_files
@pytest.mark.parametrize(
    "text, line, what",
    [
        (PAIR, 1, "certfile"),
        (PAIR + LISTENER, 1, "certfile"),
        ("allow_anonymous true\nrequire_certificate true\n", 2, "require_certificate"),
        ("psk_file DIR/psk\npsk_hint house\n", 2, "psk_hint"),
        ("per_listener_settings true\nacl_file DIR/acl\n" + LISTENER, 2, "acl_file"),
        ("per_listener_settings true\npassword_file DIR/passwd\n" + LISTENER, 2, "password_file"),
    ],
)
def test_what_protects_no_listener_stops_the_start(tmp_path, tell_furnished, text, line, what):
    """Mosquitto 2.0.11 opens port 1883 to everybody (#2283), or a listener without what the file says."""
    answer = tell_furnished(text)
    assert re.fullmatch(
        rf"Error: {what} \(.*m\.conf:{line}\): expected behind the 'listener' that it is for; .*", answer.of("Error")[0]
    )
    done = subprocess.run([binary(), "-c", tmp_path / "m.conf"], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 3
    assert len(done.stderr.splitlines()) == 1


# As the add-on of a home automation writes it, but for its authentication plugin.
HOME = """protocol mqtt
user root
log_dest stdout
log_type error
log_type warning
log_type notice
log_type information
persistence true
persistence_location DIR/data/
allow_anonymous true

# Follow the default retained message behaviour
retain_available true
max_inflight_messages 30
max_queued_messages 8192
set_tcp_nodelay true
autosave_on_changes false

# Listeners: plain MQTT for the house

listener PORT 127.0.0.1
protocol mqtt
"""


def test_a_file_of_a_home_automation(tmp_path, start):
    port = free_port()
    (tmp_path / "data").mkdir()
    text = HOME.replace("PORT", str(port)).replace("DIR", str(tmp_path))
    answer = Answer(put(tmp_path / "m.conf", text))
    assert answer.well, answer.lines
    assert [line.split()[1] for line in answer.of("Warning")] == ["autosave_on_changes", "user"]
    broker = start(text, port)
    broker.connect().ping()
    broker.stop()


def test_its_plugin_and_its_websockets_are_named(tell):
    answer = tell(
        HOME.replace("PORT", "18830").replace("DIR", "/tmp")
        + "auth_plugin /usr/share/mosquitto/go-auth.so\n"
        "auth_opt_backends files,http\n"
        "auth_opt_password_path /etc/mosquitto/pw\n"
        "listener 18884\nprotocol websockets\n"
    )
    assert [line.split()[1] for line in answer.of("Error")] == ["auth_plugin", "auth_opt_", "auth_opt_", "protocol"]


# --- files as people write them -----------------------------------------------------------------

ODDITIES = (
    "\ufeff# saved by an editor of another system\r\n"
    "\r\n"
    "listener\tPORT\t127.0.0.1  \t # the house \r\n"
    "\t  \r\n"
    "   allow_anonymous true   \r\n"
    "max_qos 1 # no more\r\n"
    "mount_point   Küche & Bad/ \t\r\n"
    "#" + "x" * (1 << 20) + "\r\n"
    "clientid_prefixes my #1 prefix"
)


def test_a_file_of_oddities(tell, start):
    port = free_port()
    text = ODDITIES.replace("PORT", str(port))
    assert tell(text).lines == ["Configuration file is OK."]
    broker = start(text.replace("\ufeff", ""), port)
    broker.connect("my #1 prefix and more").ping()
    broker.stop()


@pytest.mark.parametrize(
    "text, where, what",
    [
        ("x" * (1 << 20), 1, "Unknown configuration variable"),
        ("user " + "x" * (1 << 20), 1, "expected 1 to 255 bytes"),
        ("max_qos " + "1" * (1 << 20), 1, "expected a number from 0 to 2"),
        ("expand_env true\nuser " + "${" * (1 << 19), 2, r"expected \$\{NAME\}"),
        (b"# \xff\xfe\nmount_point \xff/\n", 2, "UTF-8"),
        (b"allow_anonymous true\n\x00\n", 2, "expected text"),
        ("listener 1883\n # a comment\n", 2, "first character"),
        ("mount_point a#b\n", 1, r"without \+ and #"),
        ("pid_file /a\npid_file /b\n", 2, "Duplicate"),
        ("sys_interval 10s\n", 1, "expected a number of seconds from 0 to 65535"),
        ("MAX_QOS 1\n", 1, "did you mean 'max_qos'"),
    ],
    ids=lambda value: str(value)[:20].encode("ascii", "replace").decode() if not isinstance(value, int) else None,
)
def test_a_wrong_line_is_one_message(tell, text, where, what):
    answer = tell(text)
    assert len(answer.of("Error")) == 1
    assert re.search(rf"m\.conf:{where}\): .*{what}|{what}.*m\.conf:{where}\)", answer.of("Error")[0])
    assert len(answer.of("Error")[0]) < 1000


def test_a_start_reports_one_error_and_a_test_all(tmp_path):
    config = put(tmp_path / "m.conf", "max_qos 3\nfoo 1\nlistener x\n")
    assert len(Answer(config).of("Error")) == 3
    done = subprocess.run([binary(), "-c", str(config)], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 3
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.endswith(f"Error: max_qos '3' ({config}:1): expected a number from 0 to 2.\n")


def test_a_directory_is_no_file(tmp_path):
    answer = Answer(tmp_path)
    assert answer.of("Error")[0].endswith(": Is a directory.")


def test_variables(tell, tmp_path):
    text = "expand_env true\npid_file ${T_RUN}/a.pid\nsys_interval ${T_SECONDS}\nauto_id_prefix $${x}-\n"
    assert tell(text, T_RUN=str(tmp_path), T_SECONDS="30").lines == ["Configuration file is OK."]
    answer = tell(text, T_RUN=str(tmp_path), T_SECONDS="hunter2")
    assert "sys_interval '${T_SECONDS}'" in answer.of("Error")[0]
    assert not any("hunter2" in line for line in answer.lines)
    answer = tell(text, T_RUN=str(tmp_path))
    assert "the environment has no variable 'T_SECONDS'" in answer.of("Error")[0]
    assert tell(text.replace("expand_env true\n", "").replace("${T_SECONDS}", "1")).well


@needs_debian_files
def test_our_own_example_unchanged_and_uncommented(tell, tmp_path, pki):
    text = OUR_EXAMPLE.read_text(encoding="utf-8")
    assert tell(text).lines == ["Configuration file is OK."]
    furnish(tmp_path, pki)
    (tmp_path / "d").mkdir()
    on = re.sub(r"(?m)^#([a-z])", r"\1", text).replace("/etc/mosquitto/conf.d", f"{tmp_path}/d")
    on = re.sub(r"(?m)^user .*$", "user root", on)
    for ours, there in [
        ("certs/fullchain.pem", "server.pem"), ("certs/privkey.pem", "server.key"), ("certs/devices-ca.pem", "ca.pem"),
        ("certs/authorities", ""), ("certs/devices-crl.pem", "crl.pem"), ("certs/dhparam.pem", "dhparam.pem"),
        ("certs/upstream-ca.pem", "ca.pem"), ("certs/bridge.pem", "server.pem"), ("certs/bridge-key.pem", "server.key"),
        ("pwfile", "passwd"), ("aclfile", "acl"), ("pskfile", "psk"),
    ]:
        assert f"/etc/mosquitto/{ours}\n" in on
        on = on.replace(f"/etc/mosquitto/{ours}\n", f"{tmp_path}/{there}\n")
    assert not tell(on).of("Error")
