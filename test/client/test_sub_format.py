"""What mosquitto_sub prints of a message: -F in the program itself, JSON that a parser reads, beside the distribution's.

All letters and widths are cases of test/unit/test_client_format.c.
"""

import json
import re
import shutil
import subprocess

import mqtt_wire
import pytest
from broker_process import environment
from client_stage import ours_beside
from remote_broker import remote, remotes  # noqa: F401

OURS = ours_beside() / "mosquitto_sub"
THEIRS = shutil.which("mosquitto_sub", path="/usr/bin")
pytestmark = pytest.mark.skipif(not OURS.exists(), reason="there is no mosquitto_sub beside the broker")

HELLO = ("a/b", b"hello", 0)
PAYLOADS = [b"", b"hello", b"\x00\x01\x1f\x7f", b"\xff\xfe", b"a\x00b", b'"\\/\b\f\n\r\t', "é€😀".encode(), b"\xc3",
            b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b'{"a":1}', b"\xef\xbb\xbf1", bytes(range(256))]


def show(remote, messages, *options, program=OURS, **env):  # noqa: F811
    """Exit code, stdout and stderr of a subscriber that gets these messages."""
    process = subprocess.Popen(
        [str(program), "-h", "127.0.0.1", "-p", str(remote.port), "-V", "mqttv311", "-t", "#", "-q", "2", "-C", str(len(messages)), *options],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**environment(), **env})
    link = remote.welcome(ins=["#"])
    for mid, (topic, payload, qos) in enumerate(messages, 300):
        link.send(mqtt_wire.publish(topic, payload, qos, mid if qos else None, retain=qos == 0))
    out, err = process.communicate(timeout=30)
    return process.returncode, out, err


@pytest.mark.parametrize("payload", PAYLOADS, ids=lambda payload: payload[:8].hex() or "empty")
def test_json_is_valid_whatever_the_payload(remote, payload):  # noqa: F811
    code, out, err = show(remote, [('t/"é\\', payload, 1)], "-F", "%j")
    assert (code, err) == (0, b"")
    got = json.loads(out.decode("utf-8"))
    assert list(got) == ["tst", "topic", "qos", "retain", "payloadlen", "mid", "payload"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z[+-]\d{4}", got["tst"])
    assert (got["topic"], got["qos"], got["retain"], got["payloadlen"], got["mid"]) == ('t/"é\\', 1, 0, len(payload), 300)
    try:
        want = payload.decode("utf-8") if payload else None
    except UnicodeDecodeError:
        assert "\N{REPLACEMENT CHARACTER}" in got["payload"]
    else:
        assert got["payload"] == want


def test_json_payloads_keep_their_digits(remote):  # noqa: F811
    texts = [b'{"id":1234567890123456789,"t":27.0,"e":[1e400, -0]}', b" [ ] ", b'"x"', b"null", b'{"u":"\\u00e9"}']
    code, out, err = show(remote, [("t", text, 0) for text in texts], "-F", "%J")
    assert (code, err) == (0, b"")
    for line, text in zip(out.splitlines(), texts, strict=True):
        payload = line.partition(b'"payload":')[2].removesuffix(b"}")
        assert payload == text.replace(b" ", b"")
        json.loads(line)


@pytest.mark.parametrize("text", [b"no", b"{", b"01", b"[1,]", b"{}x", b"\x00", b"[" * 2000 + b"]" * 2000])
def test_a_payload_that_is_no_json_is_an_error_line(remote, text):  # noqa: F811
    messages = [("t/1", text, 0), ("t/2", b"1", 0)]
    code, out, err = show(remote, messages, "-F", "<%J>%t")
    assert (code, err) == (0, b"Error: Message payload is not valid JSON on topic t/1.\n")
    first, second = out.splitlines()
    assert first == b"<>t/1" and second.endswith(b'"payload":1}>t/2')
    assert show(remote, messages, "-F", "%J", "--quiet")[2] == b""


def test_pretty_json(remote):  # noqa: F811
    code, out, _ = show(remote, [("t", b'{"a":[1,{"b":2}]}', 0)], "--pretty", "-F", "%J")
    assert code == 0 and len(out.splitlines()) > 8 and json.loads(out)["payload"] == {"a": [1, {"b": 2}]}


def test_plain_output(remote):  # noqa: F811
    messages = [("a/b", b"one", 0), ("a/c", b"", 0), ("a/d", b"\x00\xff", 1)]
    assert show(remote, messages) == (0, b"one\n\x00\xff\n", b"")
    assert show(remote, messages, "-v") == (0, b"a/b one\na/c (null)\na/d \x00\xff\n", b"")
    assert show(remote, messages, "-N") == (0, b"one\x00\xff", b"")
    assert show(remote, messages, "-v", "-N") == (0, b"a/b onea/c (null)a/d \x00\xff", b"")
    assert show(remote, messages, "-F", "%t") == (0, b"a/b\na/c\na/d\n", b"")
    assert show(remote, messages, "-F", "%t", "-N") == (0, b"a/ba/ca/d", b"")


def test_times_have_the_zone(remote):  # noqa: F811
    code, out, _ = show(remote, [HELLO], "-F", "%I|@z|@Z|%j", TZ="ABC-5:30")
    iso, offset, zone, whole = out.decode().rstrip("\n").split("|")
    assert code == 0 and iso.endswith("+0530") and (offset, zone) == ("+0530", "ABC")
    assert json.loads(whole)["tst"].endswith("Z+0530")


def test_a_wrong_format_is_one_clear_line(remote):  # noqa: F811
    for text, words in (("%t %a", ("'a'", "position 4", "known are: % A")), ("x%", ("Incomplete", "position 2")),
                        ("\\q", ("'q'", "escape")), ("%9999999t", ("1000000",))):
        done = subprocess.run([OURS, "-p", str(remote.port), "-t", "t", "-F", text], capture_output=True, check=False, timeout=30)
        err = done.stderr.decode()
        assert done.returncode == 1 and err.startswith("Error: ") and all(word in err.splitlines()[0] for word in words), err


FORMATS = ["%t %p", "%l %m %q %r", "%x %X", "%10t|%-10t|%010t|%.2t|%10.2t|", "%10p|%-10p|%010p|%3p|", "%010l|%-10l|%10m|%05q|",
           "%5A|%05A|%-5C|%5R|%5D|%5S|", "%4x|%2X|%5x|", "\\a\\e\\n\\r\\t\\v\\\\x\\0y", "@@ %%", ""]


@pytest.mark.skipif(not THEIRS, reason="mosquitto-clients is not installed")
@pytest.mark.parametrize("text", FORMATS)
def test_the_same_as_theirs(remote, text):  # noqa: F811
    messages = [HELLO, ("t", b"\x00\xff binary", 1), ("long/topic/é", b"12345678901234567890", 0)]
    assert show(remote, messages, "-F", text) == show(remote, messages, "-F", text, program=THEIRS)
