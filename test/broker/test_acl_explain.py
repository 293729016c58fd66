"""`mosquitto --acl-explain`: what a client may do by the files, and which line decides it."""

import pytest
from broker_process import free_port
from test_process import config, run

RULES = """topic read pub/#
user anna
topic readwrite a/#
topic deny a/secret
topic read $SYS/#
user -
topic read dash
user a b
topic read blank in topic
pattern dev/%c/#
"""

pytestmark = pytest.mark.ours


@pytest.fixture
def acl(tmp_path):
    path = tmp_path / "acl"
    path.write_text(RULES)
    return path


def conf(tmp_path, acl, *lines):
    return config(tmp_path, f"listener {free_port()} 127.0.0.1", f"acl_file {acl}", *lines)


def ask(file, *question, code):
    """The answer: all that is printed."""
    status, output = run("-c", file, "--acl-explain", *question)
    assert status == code, output
    return output.rstrip("\n")


@pytest.mark.parametrize("user, client, action, topic, code, answer", [
    ("anna", "c1", "read", "a/b", 0, "granted by ACL:3: topic readwrite a/#"),
    ("anna", "c1", "write", "a", 0, "granted by ACL:3: topic readwrite a/#"),
    ("anna", "c1", "write", "a/secret", 1, "denied by ACL:4: topic deny a/secret"),
    ("anna", "c1", "write", "pub/x", 1, "denied: no line of ACL grants it"),
    ("-", "c1", "read", "pub/x", 0, "granted by ACL:1: topic read pub/#"),
    ("", "c1", "read", "pub", 0, "granted by ACL:1: topic read pub/#"),
    ("", "c1", "read", "dash", 1, "denied: no line of ACL grants it"),
    ("-", "c1", "write", "pub/x", 1, "denied: no line of ACL grants it"),
    ("a b", "c1", "read", "blank in topic", 0, "granted by ACL:9: topic read blank in topic"),
    ("nobody", "c1", "write", "dev/c1/1", 0, "granted by ACL:10: pattern dev/%c/#"),
    ("nobody", "c2", "write", "dev/c1/1", 1, "denied: no line of ACL grants it"),
    ("anna", "c1", "read", "$SYS/broker/uptime", 0, "granted by ACL:5: topic read $SYS/#"),
    ("anna", "c1", "write", "$SYS/x", 1, "denied: the topic belongs to the broker, whatever an ACL says"),
    ("anna", "c1", "write", "$CONTROL/x", 1, "denied: the topic belongs to the broker, whatever an ACL says"),
])
def test_reading_and_writing(tmp_path, acl, user, client, action, topic, code, answer):
    file = conf(tmp_path, acl)
    assert ask(file, user, client, action, topic, code=code) == answer.replace("ACL", str(acl), 1 if "ACL:" in answer else -1) \
        or ask(file, user, client, action, topic, code=code) == answer
