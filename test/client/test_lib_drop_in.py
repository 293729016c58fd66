"""Programs that know nothing of this library, run with it: the distribution's mosquitto_pub, _sub and _rr, by LD_LIBRARY_PATH.

They were compiled for the distribution's libmosquitto.so.1, call it at MQTT 3.1.1 by its newest names (`_v5` and property
functions), and meet our broker and the distribution's. And programs that are compiled against what `make install` has put
somewhere, as users do it.
"""

import os
import re
import subprocess
from pathlib import Path

import pytest
from broker_process import ROOT, binary, environment
from client_stage import THEIR_BROKER, Stage
from foreign import finish, need, start
from lib_programs import is_ours, library, sanitizers

VERSION = ["-V", "mqttv311"]
RUNTIMES = {"address,undefined": ["libasan.so", "libubsan.so"], "thread": ["libtsan.so"]}


def preloaded(path):
    """What a program that was built without a sanitizer needs for a library that was."""
    names = RUNTIMES.get(sanitizers(path), [])
    found = [subprocess.run(["gcc", f"-print-file-name={name}"], capture_output=True, text=True, check=True).stdout.strip()
             for name in names]
    if not all("/" in name for name in found):
        pytest.skip("the sanitizer's runtime of this library is not gcc's")
    return " ".join(found)


@pytest.fixture(scope="module")
def environ(tmp_path_factory):
    """The environment in which the distribution's programs find our library; it was looked at that they do."""
    path = library()
    home = tmp_path_factory.mktemp("home")
    env = {**environment(), "LD_LIBRARY_PATH": str(path.parent), "HOME": str(home), "LC_ALL": "C.UTF-8"}
    env.pop("XDG_CONFIG_HOME", None)
    preload = preloaded(path)
    if preload:
        env |= {"LD_PRELOAD": preload, "ASAN_OPTIONS": env["ASAN_OPTIONS"] + ":detect_leaks=0"}
    for program in need("mosquitto_pub", "mosquitto_sub", "mosquitto_rr"):
        found = subprocess.run(["ldd", program], env={**os.environ, "LD_LIBRARY_PATH": str(path.parent)},
                               capture_output=True, text=True, check=True).stdout
        assert re.search(rf"libmosquitto\.so\.1 => {re.escape(str(path))} ", found), found
    return env


@pytest.fixture(scope="module")
def stage(tmp_path_factory, pki):
    if not Path(THEIR_BROKER).exists():
        pytest.skip("the distribution's mosquitto is not installed")
    made = Stage(tmp_path_factory.mktemp("drop-in"), pki)
    yield made
    made.stop()


class Tools:
    """The three programs, told where a broker is."""

    def __init__(self, stage, side, environ, name):
        self.side, self.environ, self.name = stage.sides[side], environ, name
        self.words = stage.words
        self.paths = dict(zip(("pub", "sub", "rr"), need("mosquitto_pub", "mosquitto_sub", "mosquitto_rr")))
        self.running = []

    def door(self, door="PORT"):
        return ["-h", "127.0.0.1", "-p", self.side.words[door]]

    def start(self, program, *arguments, door=None):
        process = start(self.paths[program], *VERSION, *(door or self.door()), *arguments, env=self.environ)
        self.running.append(process)
        return process

    def pub(self, *arguments, code=0, **options):
        return finish(self.start("pub", *arguments, **options), code).decode()

    def sub(self, *arguments, suffix="s", **options):
        """A subscriber that has its SUBACK."""
        since = len(self.side.log.lines)
        process = self.start("sub", "-i", self.name + suffix, "-W", "30", *arguments, **options)
        self.side.log.wait(f"Sending SUBACK to {self.name}{suffix}", since)
        return process

    def stop(self):
        for process in self.running:
            if process.poll() is None:
                process.kill()
                process.communicate()


@pytest.fixture(params=["ours", "theirs"])
def tools(request, stage, environ, name):
    made = Tools(stage, request.param, environ, name)
    yield made
    made.stop()


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_messages_in_order(tools, name, qos):
    reader = tools.sub("-t", f"{name}/+/#", "-q", qos, "-C", "3", "-v")
    for text in ("one", "zwei", "三"):
        tools.pub("-t", f"{name}/x/{text}", "-m", text, "-q", qos)
    assert finish(reader).decode() == f"{name}/x/one one\n{name}/x/zwei zwei\n{name}/x/三 三\n"


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_lines_of_the_standard_input(tools, name, qos):
    lines = "".join(f"line {number}\n" for number in range(300)).encode()
    reader = tools.sub("-t", name, "-q", qos, "-C", "300")
    done = subprocess.run([tools.paths["pub"], *VERSION, *tools.door(), "-t", name, "-l", "-q", str(qos)], input=lines,
                          env=tools.environ, capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert finish(reader) == lines


def test_retained_and_removed(tools, name):
    tools.pub("-t", name, "-m", "kept", "-r", "-q", "1")
    assert finish(tools.sub("-t", name, "-C", "1", "-F", "%t %r %q %p", "-q", "1")).decode() == f"{name} 1 1 kept\n"
    tools.pub("-t", name, "-n", "-r", "-q", "1")
    tools.pub("-t", f"{name}/other", "-m", "other", "-r", "-q", "1")
    assert finish(tools.sub("-t", f"{name}/#", "-C", "1", "-v")).decode() == f"{name}/other other\n"


def test_several_filters_and_one_taken_back(tools, name):
    reader = tools.sub("-t", f"{name}/a", "-t", f"{name}/b", "-U", f"{name}/a", "-C", "1", "-v")
    tools.side.log.wait(f"Sending UNSUBACK to {name}s|Received UNSUBSCRIBE from {name}s")
    tools.pub("-t", f"{name}/a", "-m", "a", "-q", "1")
    tools.pub("-t", f"{name}/b", "-m", "b", "-q", "1")
    assert finish(reader).decode() == f"{name}/b b\n"


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_a_will(tools, name, qos):
    watcher = tools.sub("-t", f"{name}/will", "-C", "1", "-q", qos, suffix="w")
    dying = tools.sub("-t", "x", "--will-topic", f"{name}/will", "--will-payload", "gone", "--will-qos", qos, suffix="d")
    dying.kill()
    dying.communicate()
    assert finish(watcher) == b"gone\n"


def test_a_lasting_session(tools, name):
    finish(tools.start("sub", "-i", name + "l", "-c", "-t", name, "-q", "1", "-E"))
    for number in range(5):
        tools.pub("-t", name, "-m", number, "-q", "1")
    assert finish(tools.start("sub", "-i", name + "l", "-c", "-t", name, "-q", "1", "-C", "5", "-W", "30")) \
        == b"0\n1\n2\n3\n4\n"


def test_what_is_said_of_each_packet(tools, name):
    said = tools.pub("-i", name + "p", "-t", name, "-m", "hello", "-q", "2", "-d")
    who = f"Client {name}p"
    assert said.splitlines() == [
        f"{who} sending CONNECT", f"{who} received CONNACK (0)",
        f"{who} sending PUBLISH (d0, q2, r0, m1, '{name}', ... (5 bytes))", f"{who} received PUBREC (Mid: 1)",
        f"{who} sending PUBREL (Mid: 1)", f"{who} received PUBCOMP (Mid: 1)", f"{who} sending DISCONNECT"]


def test_a_name_and_a_password(tools, name):
    login = ["-u", "alice", "-P", "secret"]
    reader = tools.sub("-t", name, "-C", "1", *login, door=tools.door("AUTH"))
    tools.pub("-t", name, "-m", "in", "-q", "1", *login, door=tools.door("AUTH"))
    assert finish(reader) == b"in\n"
    said = tools.pub("-t", name, "-m", "out", "-u", "alice", "-P", "wrong", door=tools.door("AUTH"), code=5)
    assert said.splitlines() == ["Connection error: Connection Refused: not authorised.",
                                 "Error: The connection was refused."]


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_tls(tools, name, qos):
    door = [*tools.door("TLS"), "--cafile", tools.words["CA"]]
    reader = tools.sub("-t", name, "-q", qos, "-C", "1", door=door)
    tools.pub("-t", name, "-m", "sealed", "-q", qos, door=door)
    assert finish(reader) == b"sealed\n"


def test_tls_with_certificates_and_with_keys(tools, name):
    mutual = [*tools.door("MUTUAL"), "--cafile", tools.words["CA"], "--cert", tools.words["CERT"], "--key",
              tools.words["KEY"]]
    shared = [*tools.door("PSK"), "--psk", "1234abcd", "--psk-identity", "someone"]
    for door in (mutual, shared):
        tools.pub("-t", name, "-m", "sealed", "-q", "1", "-r", door=door)
        assert finish(tools.sub("-t", name, "-C", "1", door=door)) == b"sealed\n"
        tools.pub("-t", name, "-n", "-r", "-q", "1")


def test_tls_to_a_stranger(tools, name):
    door = [*tools.door("TLS"), "--cafile", tools.words["WRONGCA"]]
    assert "A TLS error occurred." in tools.pub("-t", name, "-m", "x", door=door, code=1)


def test_a_socket_in_the_file_system(tools, name):
    door = ["--unix", tools.side.directory / "socket"]
    reader = tools.sub("-t", name, "-C", "1", door=door)
    tools.pub("-t", name, "-m", "near", "-q", "1", door=door)
    assert finish(reader) == b"near\n"


def test_a_proxy(tools, name):
    proxy = ["--proxy", f"socks5h://through:wall@127.0.0.1:{tools.words['SOCKS']}"]
    reader = tools.sub("-t", name, "-C", "1", *proxy)
    tools.pub("-t", name, "-m", "around", "-q", "1", *proxy)
    assert finish(reader) == b"around\n"


def test_request_and_response(tools, name):
    answering = tools.sub("-t", f"{name}/ask", "-C", "1", "-q", "1")
    since = len(tools.side.log.lines)
    asking = tools.start("rr", "-i", name + "r", "-t", f"{name}/ask", "-e", f"{name}/answer", "-m", "how much?", "-q", "1",
                         "-W", "30")
    assert finish(answering) == b"how much?\n"
    tools.side.log.wait(f"Sending SUBACK to {name}r", since)
    tools.pub("-t", f"{name}/answer", "-m", "42", "-q", "1")
    assert finish(asking) == b"42\n"


def test_properties_are_built_and_not_sent(tools, name):
    """These programs do not look at the answer to their wish for MQTT 5, and go on with 3.1.1."""
    reader = tools.sub("-t", name, "-C", "1", "-F", "%p %C")
    tools.pub("-V", "mqttv5", "-D", "publish", "content-type", "text/plain", "-D", "publish", "user-property", "a", "b",
              "-D", "connect", "session-expiry-interval", "60", "-t", name, "-m", "bare", "-q", "1")
    assert finish(reader) == b"bare \n"
    said = tools.pub("-V", "mqttv5", "-D", "publish", "topic-alias", "0", "-t", name, "-m", "x", code=1)
    assert "topic-alias" in said or "propert" in said


def test_nobody_there(tools, name):
    said = finish(tools.start("pub", "-t", name, "-m", "x", door=["-h", "127.0.0.1", "-p", tools.words["DEAD"]]), 1)
    assert said == b"Error: Connection refused\n"


# --- as it is installed ---------------------------------------------------------------------------

EXAMPLE = re.compile(r"^\.Bd -literal -offset indent\n(#include <mosquitto\.h>.*?)^\.Ed", re.S | re.M)


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """pkg-config and its environment, for an installation of this build."""
    if sanitizers(library()) or not is_ours():
        pytest.skip("installs a plain build")
    place = tmp_path_factory.mktemp("installed")
    done = subprocess.run(
        ["make", "--no-print-directory", "-o", "all", "install", f"BUILD={Path(binary()).resolve().parent}", "prefix=/usr",
         f"DESTDIR={place}", "sysconfdir=/etc/mosquitto"], cwd=ROOT, capture_output=True, text=True, timeout=120,
        env={**os.environ, "MAKEFLAGS": "", "MAKELEVEL": "1"}, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    env = {**os.environ, "PKG_CONFIG_LIBDIR": f"{place}/usr/lib/pkgconfig", "PKG_CONFIG_SYSROOT_DIR": str(place),
           "PKG_CONFIG_ALLOW_SYSTEM_CFLAGS": "1", "PKG_CONFIG_ALLOW_SYSTEM_LIBS": "1"}

    def ask(*arguments):
        return subprocess.run([need("pkg-config"), *arguments, "libmosquitto"], env=env, capture_output=True, text=True,
                              check=True).stdout.split()

    ask.place = place
    return ask


def test_pkg_config_knows_the_release(installed):
    assert installed("--modversion") == ["2.0.0"]
    assert installed("--atleast-version=1.6") == []
    assert "-lmosquitto" in installed("--libs") and "-lssl" in installed("--static", "--libs")


@pytest.mark.parametrize("compiler", ["gcc", "g++"])
def test_a_program_compiles_and_runs_with_what_is_installed(installed, compiler, broker, tmp_path):
    """The one in the manual page, as C and as C++, but for the kitchen's broker."""
    text = EXAMPLE.search((ROOT / "man" / "libmosquitto.3").read_text())[1].replace("\\e", "\\")
    assert "1883" in text and "mosquitto_loop_forever(m, -1, 1)" in text
    source = tmp_path / ("example.c" if compiler == "gcc" else "example.cc")
    source.write_text(text.replace("1883", str(broker.port)).replace("localhost", "127.0.0.1")
                      .replace("message->payloadlen);", "message->payloadlen);\n    mosquitto_disconnect(m);"))
    program = tmp_path / "example"
    done = subprocess.run([need(compiler), "-Wall", "-Wextra", "-pedantic", "-Werror", *installed("--cflags"), "-o", program,
                           source, *installed("--libs")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    since = len(broker.log.lines)
    env = {**environment(), "LD_LIBRARY_PATH": str(installed.place / "usr/lib")}
    process = start(program, env=env)
    try:
        broker.log.wait("Sending SUBACK to mosq-", since)
        broker.connect().publish("rooms/kitchen/light", b"on", qos=1)
        assert finish(process) == b"rooms/kitchen/light has 2 bytes\n"
    finally:
        process.kill()
