"""What mosquitto_pub, _sub and _rr understand: options, options files, URLs; and how they refuse what they do not.

What an option does is seen in the CONNECT that the test receives, compared as bytes with one of its own making.
"""

import os
import re
import socket
import subprocess
import threading

import pytest
from broker_process import ROOT, free_port
from client_tools import LIMIT, Listener, finish, have, program, run, start, surroundings
from mqtt_wire import connect
from socks5_server import Proxy

pytestmark = pytest.mark.skipif(not have("pub"), reason="there is no mosquitto_pub beside the broker")

PROGRAMS = [name for name in ("pub", "sub", "rr") if have(name)]
# What each needs, so that it would start.
ENOUGH = {"pub": ["-t", "t", "-m", "x"], "sub": ["-t", "t"], "rr": ["-t", "t", "-e", "r", "-m", "x"]}


@pytest.fixture
def listener():
    listener = Listener()
    yield listener
    listener.close()


def told(listener, *arguments, name="pub", where=None, env=None):
    """The CONNECT of a client with these arguments."""
    where = ["-h", "127.0.0.1", "-p", listener.port] if where is None else where
    process = start(name, *where, *arguments, *ENOUGH[name], env=env)
    packet = listener.welcome().connect_packet
    process.kill()
    process.communicate()
    return packet


def refused(*arguments, name="pub", env=None):
    """What is said of arguments that will not do: one line, and how to get help."""
    code, out, err = run(name, *arguments, env=env)
    assert (code, out) == (1, ""), (code, out, err)
    assert err.startswith("Error: ") and err.endswith(f"\n\nUse 'mosquitto_{name} --help' to see usage.\n"), err
    return err[len("Error: "):].split("\n\n")[0]


# --- what is understood ---------------------------------------------------------------------------

CONNECTS = [
    (["-i", "me"], connect("me")),
    (["--id", "me"], connect("me")),
    (["--id=me", "--keepalive=7"], connect("me", keepalive=7)),
    (["-i", "me", "-k", "5"], connect("me", keepalive=5)),
    (["-i", "me", "--keepalive", "65535"], connect("me", keepalive=65535)),
    (["-i", "me", "-c"], connect("me", clean=False)),
    (["-i", "me", "--disable-clean-session"], connect("me", clean=False)),
    (["-i", "me", "-V", "mqttv31"], connect("me", level=3)),
    (["-i", "me", "-V", "31"], connect("me", level=3)),
    (["-i", "me", "--protocol-version", "mqttv311"], connect("me")),
    (["-i", "me", "-V", "311"], connect("me")),
    (["-i", "me", "-u", "anna"], connect("me", username="anna")),
    (["-i", "me", "-u", "anna", "-P", "-secret "], connect("me", username="anna", password="-secret ")),
    (["-i", "me", "--username", "anna", "--pw", "x"], connect("me", username="anna", password="x")),
    (["-i", "one", "-i", "two"], connect("two")),
    (["-i", "me", "--will-topic", "w"], connect("me", will={"topic": "w"})),
    (["-i", "me", "--will-topic", "w", "--will-payload", "gone", "--will-qos", "2", "--will-retain"],
     connect("me", will={"topic": "w", "payload": "gone", "qos": 2, "retain": True})),
    (["-i", "me", "--nodelay", "-M", "1", "-A", "127.0.0.1", "--quiet", "-q", "1", "--no-tls", "--cafile", "x"],
     connect("me")),
]


@pytest.mark.parametrize("arguments,packet", CONNECTS, ids=lambda value: " ".join(value) if isinstance(value, list) else "")
def test_the_connect_is_as_was_told(listener, arguments, packet):
    assert told(listener, *arguments) == packet


@pytest.mark.parametrize("name,prefix", [("pub", "mosqpub"), ("sub", "mosqsub"), ("rr", "mosqrr")])
def test_an_id_is_made_of_process_and_host(listener, name, prefix):
    if name not in PROGRAMS:
        pytest.skip(f"there is no mosquitto_{name}")
    process = start(name, "-h", "127.0.0.1", "-p", listener.port, *ENOUGH[name])
    packet = listener.welcome().connect_packet
    process.kill()
    process.communicate()
    assert packet == connect(f"{prefix}|{process.pid}-{socket.gethostname()}"[:23])


def test_an_id_with_a_prefix(listener):
    process = start("pub", "-h", "127.0.0.1", "-p", listener.port, *ENOUGH["pub"], "-I", "a-rather-long-prefix-")
    packet = listener.welcome().connect_packet
    process.kill()
    process.communicate()
    assert packet == connect(f"a-rather-long-prefix-{process.pid}")


@pytest.mark.parametrize("url,packet", [
    ("mqtt://127.0.0.1:{}/a/b", connect("me")),
    ("mqtt://:{}/a", connect("me")),  # no host: localhost
    ("MQTT://anna@127.0.0.1:{}/a", connect("me", username="anna")),
    ("mqtt://anna:sec:r@et@127.0.0.1:{}/a", connect("me", username="anna", password="sec:r@et")),
    ("mqtt://[::1]:{}/a", connect("me")),
])
def test_a_url(url, packet):
    listener = Listener(("::1" if "[" in url else "127.0.0.1", 0))
    try:
        process = start("pub", "-i", "me", "-L", url.format(listener.port), "-m", "x")
        peer = listener.welcome()
        assert peer.connect_packet == packet
        assert peer.publish().topic == ("a/b" if url.endswith("a/b") else "a")
        process.kill()
        process.communicate()
    finally:
        listener.close()


def test_a_unix_socket(tmp_path):
    listener = Listener(tmp_path / "s")
    try:
        assert told(listener, "-i", "me", where=["--unix", tmp_path / "s"]) == connect("me")
    finally:
        listener.close()


def test_a_local_address():
    listener = Listener()
    try:
        process = start("pub", "-h", "127.0.0.1", "-p", listener.port, "-A", "127.0.0.9", *ENOUGH["pub"])
        assert listener.accept().address[0] == "127.0.0.9"
        process.kill()
        process.communicate()
    finally:
        listener.close()


def test_a_proxy(listener):
    proxy = Proxy({"broker.example": listener.port}, users={"u@x": "p:ä"})
    try:
        packet = told(listener, "-i", "me", "--proxy", f"socks5h://u%40x:p%3a%C3%a4@127.0.0.1:{proxy.port}",
                      where=["-h", "broker.example", "-p", "1999"])
        assert packet == connect("me")
        assert proxy.asked[0][0] == "broker.example"
    finally:
        proxy.close()


def test_values_that_look_like_options(listener):
    process = start("pub", "-h", "127.0.0.1", "-p", listener.port, "-t", "-t", "-m", "--help")
    packet = listener.welcome().publish()
    assert (packet.topic, packet.payload) == ("-t", b"--help")
    process.kill()
    process.communicate()


# --- options files --------------------------------------------------------------------------------


def home(tmp_path, text, where=".config", name="pub"):
    directory = tmp_path / where
    directory.mkdir(parents=True)
    (directory / f"mosquitto_{name}").write_text(text, encoding="utf-8")
    return tmp_path


FILE = "# us\n\n-i from-file\n  --keepalive 30\n-u  blanks stay \n--quiet\n"
FROM_FILE = connect("from-file", keepalive=30, username=" blanks stay ")


@pytest.mark.parametrize("where", [".config", "snap/mosquitto/current/.config"])
@pytest.mark.parametrize("ends", ["\n", "\r\n"], ids=["LF", "CRLF"])
def test_an_options_file_in_the_home(listener, tmp_path, where, ends):
    directory = tmp_path / where
    directory.mkdir(parents=True)
    (directory / "mosquitto_pub").write_bytes(FILE.replace("\n", ends).encode())
    assert told(listener, env=surroundings(HOME=tmp_path)) == FROM_FILE


@pytest.mark.parametrize("name", PROGRAMS)
def test_each_program_has_its_own_file(listener, tmp_path, name):
    (tmp_path / f"mosquitto_{name}").write_text(FILE)
    for other in {"pub", "sub", "rr"} - {name}:
        (tmp_path / f"mosquitto_{other}").write_text("--nonsense\n")
    assert told(listener, name=name, env=surroundings(XDG_CONFIG_HOME=tmp_path)) == FROM_FILE


def test_the_configuration_directory_is_instead_of_the_home(listener, tmp_path):
    home(tmp_path, "--nonsense\n")
    (tmp_path / "mosquitto_pub").write_text(FILE)
    assert told(listener, env=surroundings(HOME=tmp_path, XDG_CONFIG_HOME=tmp_path)) == FROM_FILE


def test_a_named_file_is_instead_of_the_users(listener, tmp_path):
    home(tmp_path, "--nonsense\n")
    (tmp_path / "named").write_text(FILE)
    assert told(listener, "-o", tmp_path / "named", env=surroundings(HOME=tmp_path)) == FROM_FILE


def test_the_command_line_wins(listener, tmp_path):
    (tmp_path / "named").write_text(FILE)
    assert told(listener, "-k", "7", "-o", tmp_path / "named", "-u", "me") == connect("from-file", keepalive=7, username="me")


@pytest.mark.parametrize("text,said", [
    ("--nonsense\n", "Unknown option '--nonsense'."),
    ("port 1\n", "Unknown option 'port 1'."),
    ("-h\n", "-h argument given but no host specified."),
    ("-r yes\n", '-r takes no value, but "yes" follows it.'),
    ("-q 3\n", "Invalid QoS given: 3 (0, 1 or 2)"),
    ("-o /tmp/other\n", "Unknown option '-o /tmp/other'."),
    ("-i a\0b\n", "There is a NUL in a line."),
    ("\0\n", "There is a NUL in a line."),
])
def test_a_wrong_line_is_named_with_its_file(tmp_path, text, said):
    (tmp_path / "named").write_text("-t t\n" + text)
    code, out, err = run("pub", "-o", tmp_path / "named", "-m", "x")
    assert (code, out) == (1, "")
    assert err.startswith(f"Error: {said}\n") and str(tmp_path / "named") in err


def test_a_named_file_must_be_there(tmp_path):
    assert refused("-o", tmp_path / "none", *ENOUGH["pub"]) == (
        f'Unable to open options file "{tmp_path}/none": No such file or directory.')


def test_a_named_file_must_be_a_file(tmp_path):
    assert refused("-o", tmp_path, *ENOUGH["pub"]) == f'Unable to read options file "{tmp_path}": Is a directory.'


def test_an_options_file_of_an_editor_that_marks_utf_8(listener, tmp_path):
    (tmp_path / "named").write_bytes(b"\xef\xbb\xbf-i from-file\r\n")
    assert told(listener, "-o", tmp_path / "named") == connect("from-file")


# --- what is refused ------------------------------------------------------------------------------

REFUSED = [
    ([], "Both topic and message must be supplied."),
    (["-t", "t"], "Both topic and message must be supplied."),
    (["-m", "x"], "Both topic and message must be supplied."),
    (["-t", "t", "-m"], "-m argument given but no message specified."),
    (["-t", "a/#", "-m", "x"], "Invalid publish topic 'a/#', does it contain '+' or '#'?"),
    (["-t", "", "-m", "x"], "Invalid publish topic '', it must not be empty."),
    (["-t", b"\xff", "-m", "x"], "Malformed UTF-8 in -t argument."),
    (["-t", "t" * 65536, "-m", "x"], "The -t argument has 65536 bytes; at most 65535 can be sent."),
    (["-t", "t", "-m", "x", "-n"], "Only one type of message can be sent at once."),
    (["-t", "t", "-m", "x", "--repeat", "0"], "--repeat argument must be >0."),
    (["-t", "t", "-m", "x", "--repeat-delay", "-1"], "--repeat-delay argument must be >=0.0."),
]
REFUSED_ALL = [
    (["extra"], "Unknown option 'extra'."),
    (["-Z"], "Unknown option '-Z'."),
    (["--hots", "x"], "Unknown option '--hots'. Did you mean '--host'?"),
    (["--quiet=yes"], "Unknown option '--quiet=yes'."),
    (["-h"], "-h argument given but no host specified."),
    (["--host"], "--host argument given but no host specified."),
    (["-p", "70000"], "Invalid port given: 70000 (1 to 65535)"),
    (["-p", "0"], "Invalid port given: 0 (1 to 65535)"),
    (["-p", "12x"], "Invalid port given: 12x (1 to 65535)"),
    (["-q", "3"], "Invalid QoS given: 3 (0, 1 or 2)"),
    (["-k", "4"], "Invalid keepalive given, it must be between 5 and 65535 inclusive."),
    (["-M", "0"], "Maximum inflight messages must be greater than 0."),
    (["-c"], "You must provide a client id if you are using the -c option."),
    (["-i", "a", "-I", "b"], "-i and -I argument cannot be used together."),
    (["-P", "x"], "A password was given, but no username (-u)."),
    (["-V", "4"], "Invalid protocol version argument given: 4 (mqttv311 or mqttv31)"),
    (["-V", "mqttv5"], "-V mqttv5: MQTT 5 is not in this build; mqttv311 and mqttv31 are."),
    (["-D", "publish", "content-type", "x"], "-D: MQTT 5, to which properties belong, is not in this build."),
    (["-x", "1"], "-x: MQTT 5, to which the session expiry interval belongs, is not in this build."),
    (["--ws"], "--ws: WebSockets are not in this build."),
    (["--retry", "-1"], "Invalid --retry time given: -1 (seconds; 0 gives up at once)"),
    (["--will-payload", "x"], "Will payload given, but no will topic given."),
    (["--will-retain"], "Will retain given, but no will topic given."),
    (["--will-topic", "a/+"], "Invalid will topic 'a/+', does it contain '+' or '#'?"),
    (["--will-topic", "a", "--will-qos", "3"], "Invalid will QoS 3."),
    (["--cert", "x"], "Both certfile and keyfile must be provided if one of them is set."),
    (["--cert", "x", "--key", "y"],
     "--cert and --key do nothing without TLS; say whom to trust by --cafile, --capath or --tls-use-os-certs."),
    (["--psk", "11"], "--psk-identity required if --psk used."),
    (["--psk", "11", "--psk-identity", "x", "--cafile", "y"],
     "Only one of --psk or --cafile/--capath may be used at once."),
    (["--proxy", "http://x"], "Unsupported proxy protocol; it is socks5h://[USER[:PASSWORD]@]HOST[:PORT]"),
    (["--proxy", "socks5h://a%4@x"], "Invalid proxy; behind a % in the user or password stand two hexadecimal digits."),
    (["--proxy", "socks5h://"], "Invalid proxy; it is socks5h://[USER[:PASSWORD]@]HOST[:PORT]"),
    (["-L", "mqtt://host"], "Invalid URL for -L argument specified - topic missing."),
    (["-L", "mqtt://host/"], "Invalid URL for -L argument specified - topic missing."),
    (["-L", "http://host/t"], "unsupported URL scheme."),
    (["-L", "wss://host/t"], "WebSockets (ws:// and wss:// of -L) are not in this build."),
    (["-L", "mqtt://host:0/t"], "Invalid URL for -L argument specified - the host must be a name, an IPv4 address or "
                                "an [IPv6 address], the port a number from 1 to 65535."),
]


def words(arguments):
    return " ".join(str(word)[:20] for word in arguments) if isinstance(arguments, list) else ""


@pytest.mark.parametrize("arguments,said", REFUSED, ids=words)
def test_pub_refuses(arguments, said):
    code = subprocess.run([program("pub"), *arguments], capture_output=True, timeout=LIMIT, env=surroundings(), check=False)
    assert (code.returncode, code.stdout) == (1, b"")
    assert code.stderr.decode() == f"Error: {said}\n\nUse 'mosquitto_pub --help' to see usage.\n"


@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.parametrize("arguments,said", REFUSED_ALL, ids=words)
def test_all_refuse(name, arguments, said):
    assert refused(*ENOUGH[name], *arguments, name=name) == said


@pytest.mark.parametrize("arguments,said", [
    (["-e", "r", "-m", "x"], "All of topic, message, and response topic must be supplied."),
    (["-t", "t", "-e", "r"], "All of topic, message, and response topic must be supplied."),
    (["-t", "t", "-m", "x"], "All of topic, message, and response topic must be supplied."),
    (["-t", "t", "-e", "r/#", "-m", "x"], "Invalid response topic 'r/#', does it contain '+' or '#'?"),
    (["-t", "t/+", "-e", "r", "-m", "x"], "Invalid publish topic 't/+', does it contain '+' or '#'?"),
    (["-t", "t", "-e", "r", "-m", "x", "-W", "0"], 'Invalid timeout "0".'),
    (["-t", "t", "-e", "r", "-l"], "Unknown option '-l'."),
    (["-t", "t", "-e", "r", "-m", "x", "--repeat", "2"], "Unknown option '--repeat'."),
], ids=words)
def test_rr_refuses(arguments, said):
    assert refused(*arguments, name="rr") == said


@pytest.mark.parametrize("arguments", [["-P", "hidden"], ["-L", "http://u:hidden@h/t"], ["--proxy", "http://u:hidden@h"]], ids=words)
def test_no_message_shows_a_secret(arguments):
    assert "hidden" not in refused(*ENOUGH["pub"], *arguments)


# --- files that are not what they should be -------------------------------------------------------


def test_a_file_of_authorities_must_be_there(tmp_path):
    code, _, err = run("pub", "-h", "127.0.0.1", "-p", free_port(), *ENOUGH["pub"], "--cafile", tmp_path / "none")
    assert (code, err) == (1, f"Error: Problem setting TLS options: {tmp_path}/none: File not found.\n")


@pytest.mark.parametrize("arguments,said", [
    (["--tls-version", "tlsv9"], "Error: Problem setting TLS options, check the options are valid."),
    (["--keyform", "foo", "--cert", "{}", "--key", "{}"],
     "Error: Problem setting key form, it must be one of 'pem' or 'engine'."),
    (["--tls-engine", "foo"], "Error: Problem setting TLS engine, is foo a valid engine?"),
], ids=words)
def test_tls_options_that_will_not_do(pki, arguments, said):
    arguments = [word.format(pki.client().cert) for word in arguments]
    code, _, err = run("pub", "-h", "127.0.0.1", "-p", free_port(), *ENOUGH["pub"], "--cafile", pki.ca.cert, *arguments)
    assert (code, err.splitlines()[-1]) == (1, said)


# --- --help, --version, the manual ----------------------------------------------------------------


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_version(name):
    code, out, err = run(name, "--version")
    assert (code, err) == (0, "")
    assert re.fullmatch(rf"mosquitto_{name} version \d+\.\d+\.\d+ running on libmosquitto \d+\.\d+\.\d+\.\n", out)


@pytest.mark.parametrize("name", PROGRAMS)
def test_help_comes_first_whatever_else_is_wrong_in_files(name, tmp_path):
    (tmp_path / f"mosquitto_{name}").write_text("--nonsense\n")
    code, out, err = run(name, "--help", env=surroundings(XDG_CONFIG_HOME=tmp_path))
    assert (code, err) == (0, "")
    assert f"Usage: mosquitto_{name} " in out and max(map(len, out.splitlines())) < 80


@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.parametrize("option", ["--help", "--version"])
def test_what_cannot_be_printed_is_an_error(name, option):
    with open("/dev/full", "wb") as full:
        process = start(name, option, stdout=full)
        assert process.communicate() == (None, b"Error: Writing to stdout: No space left on device.\n")
    assert process.returncode == 1


@pytest.mark.parametrize("name", [n for n in PROGRAMS if (ROOT / "man" / f"mosquitto_{n}.1").exists()])
def test_help_and_the_manual_agree(name):
    """Each option with its other name, in both directions."""
    heads = re.findall(r"^(?:  |      )(--?\w\S*(?: \S+)*)", run(name, "--help")[1], re.MULTILINE)
    told = {tuple(re.findall(r"(?:^|, )(--?[A-Za-z][\w-]*)", head)) for head in heads}
    text = (ROOT / "man" / f"mosquitto_{name}.1").read_text(encoding="utf-8")
    written = {tuple("-" + option for option in re.findall(r"Fl (-?\w[\w-]*)", item))
               for item in re.findall(r"^\.It (Fl .*)$", text, re.MULTILINE)}
    assert told == written


# --- what others can see --------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [
    ["-u", "u", "-P", "hidden"], ["-u", "u", "--pw=hidden"], ["--psk", "c0ffee", "--psk-identity", "x"],
    ["--proxy", "socks5h://u:hidden@127.0.0.1:{}"],
], ids=words)
def test_secrets_are_overwritten(arguments):
    """While the program waits for an answer that does not come."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(20)
        port = silent.getsockname()[1]
        process = start("pub", "-h", "127.0.0.1", "-p", port, *ENOUGH["pub"], *(word.format(port) for word in arguments))
        accepted, _ = silent.accept()
        with open(f"/proc/{process.pid}/cmdline", "rb") as file:
            seen = file.read()
        process.kill()
        process.communicate()
        accepted.close()
    assert b"hidden" not in seen and b"c0ffee" not in seen


def test_a_password_from_a_descriptor(listener):
    """A file need not be one: what a shell makes of <(…) will do."""
    reader, writer = os.pipe()
    threading.Thread(target=lambda: (os.write(writer, b"from a pipe\nmore\n"), os.close(writer))).start()
    process = start("pub", "-h", "127.0.0.1", "-p", listener.port, *ENOUGH["pub"], "-i", "me", "-u", "u",
                    "--pw-file", f"/dev/fd/{reader}", pass_fds=[reader])
    os.close(reader)
    packet = listener.welcome().connect_packet
    process.kill()
    finish(process)
    assert packet == connect("me", username="u", password="from a pipe")
