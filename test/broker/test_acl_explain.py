"""`mosquitto --acl-explain`: what a client may do by the files, and which line decides it."""

import os
import socket
import subprocess

import pytest
from broker_process import ROOT, binary, environment, free_port
from mqtt_wire import SUBACK, subscribe
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
OPEN = "granted, as all subscriptions are without acl_subscribe check; "

pytestmark = pytest.mark.ours


@pytest.fixture
def acl(tmp_path):
    path = tmp_path / "rules"
    path.write_text(RULES)
    return path


@pytest.fixture
def conf(tmp_path, acl):
    def write(*lines):
        return config(tmp_path, f"listener {free_port()} 127.0.0.1", "allow_anonymous true", f"acl_file {acl}", *lines)
    return write


def ask(file, *question, code):
    """All that is printed, for an answer is nothing but itself."""
    status, output = run("-c", file, "--acl-explain", *question)
    assert status == code, output
    return output.rstrip("\n")


@pytest.mark.parametrize("user, client, action, topic, code, answer", [
    ("anna", "c1", "read", "a/b", 0, "granted by {acl}:3: topic readwrite a/#"),
    ("anna", "c1", "write", "a", 0, "granted by {acl}:3: topic readwrite a/#"),
    ("anna", "c1", "write", "a/secret", 1, "denied by {acl}:4: topic deny a/secret"),
    ("anna", "c1", "write", "pub/x", 1, "denied: no line of {acl} grants it"),
    ("-", "c1", "read", "pub/x", 0, "granted by {acl}:1: topic read pub/#"),
    ("", "c1", "read", "pub", 0, "granted by {acl}:1: topic read pub/#"),
    ("", "c1", "read", "dash", 1, "denied: no line of {acl} grants it"),
    ("-", "c1", "write", "pub/x", 1, "denied: no line of {acl} grants it"),
    ("a b", "c1", "read", "blank in topic", 0, "granted by {acl}:9: topic read blank in topic"),
    ("nobody", "c1", "write", "dev/c1/1", 0, "granted by {acl}:10: pattern dev/%c/#"),
    ("nobody", "c2", "write", "dev/c1/1", 1, "denied: no line of {acl} grants it"),
    ("nobody", "c+", "write", "dev/c1/1", 1, "denied: {acl} has patterns, and so whoever has + or # in its name "
     "or id may do only what its own lines grant"),
    ("anna", "c1", "read", "$SYS/broker/uptime", 0, "granted by {acl}:5: topic read $SYS/#"),
    ("anna", "c1", "write", "$SYS/x", 1, "denied: the topic belongs to the broker, whatever an ACL says"),
    ("anna", "c1", "write", "$CONTROL/x", 1, "denied: the topic belongs to the broker, whatever an ACL says"),
    ("anna", "c1", "subscribe", "#", 0, OPEN + "reading at least some of its messages is granted by "
     "{acl}:3: topic readwrite a/#"),
    ("anna", "c1", "subscribe", "b/#", 0, OPEN + "but reading any of its messages is denied: no line of {acl} "
     "grants it"),
])
def test_answers(conf, acl, user, client, action, topic, code, answer):
    assert ask(conf(), user, client, action, topic, code=code) == answer.format(acl=acl)


@pytest.mark.parametrize("topic, code, answer", [
    ("a/#", 0, "granted by {acl}:3: topic readwrite a/# (acl_subscribe check)"),
    ("$share/group/a/#", 0, "granted by {acl}:3: topic readwrite a/# (acl_subscribe check)"),
    ("a/secret", 1, "denied by {acl}:4: topic deny a/secret (acl_subscribe check)"),
    ("b/#", 1, "denied: no line of {acl} grants it (acl_subscribe check)"),
])
def test_subscribing_with_acl_subscribe_check(conf, acl, topic, code, answer):
    file = conf("acl_subscribe check")
    assert ask(file, "anna", "c1", "subscribe", topic, code=code) == answer.format(acl=acl)


def test_behind_a_mount_point_the_whole_topic_is_asked_about(conf, acl):
    file = conf("mount_point dev/")
    assert ask(file, "anna", "c1", "write", "c1/1", code=0) == \
        f"granted by {acl}:10: pattern dev/%c/# (asked about 'dev/c1/1', as mount_point makes it)"
    assert ask(file, "anna", "c1", "read", "a/1", code=1) == \
        f"denied: no line of {acl} grants it (asked about 'dev/a/1', as mount_point makes it)"
    assert ask(file, "anna", "c1", "write", "$SYS/1", code=1).startswith("denied: the topic belongs to the broker")
    file = conf("mount_point dev")
    assert ask(file, "anna", "c1", "subscribe", "#", code=1).startswith("denied: a wildcard cannot follow")


def test_listeners_that_differ_are_told_apart(tmp_path, acl):
    ports = free_port(), free_port()
    file = config(
        tmp_path, "per_listener_settings true", f"listener {ports[0]} 127.0.0.1", "allow_anonymous true",
        f"acl_file {acl}", f"listener {ports[1]}", "allow_anonymous true")
    assert ask(file, "anna", "c1", "read", "b", code=1).split("\n") == [
        f"listener on port {ports[0]} of 127.0.0.1: denied: no line of {acl} grants it",
        f"listener on port {ports[1]}: granted: no acl_file",
    ]
    assert ask(file, "anna", "c1", "write", "$SYS/b", code=1) == \
        "denied: the topic belongs to the broker, whatever an ACL says"
    assert len(ask(file, "anna", "c1", "read", "a", code=0).split("\n")) == 2


def test_without_an_acl_file_all_is_granted(tmp_path):
    file = config(tmp_path, f"listener {free_port()} 127.0.0.1", "allow_anonymous true")
    assert ask(file, "-", "c1", "read", "a", code=0) == "granted: no acl_file"
    assert ask(file, "-", "c1", "subscribe", "#", code=0) == "granted: no acl_file"


@pytest.mark.parametrize("words, complaint", [
    (["anna", "c1", "read", "a/#"], "Error: --acl-explain: a topic to read or write has no wildcards"),
    (["anna", "c1", "subscribe", "a#"], "Error: --acl-explain: no valid filter; expected + and # to be whole levels"),
    (["anna", "c1", "subscribe", "$share/g"], r"Error: --acl-explain: expected $share/GROUP/FILTER"),
    (["anna", "c1", "reed", "a"], "Error: --acl-explain: 'reed': expected read, write or subscribe."),
    (["anna", "", "read", "a"], "Error: --acl-explain: the client id is empty"),
    (["anna", "c1", "read", ""], "Error: --acl-explain: the topic is empty"),
    (["anna", "c1", "read", "a\x01"], "Error: --acl-explain: expected UTF-8 text"),
    (["anna", "c1", "read"], "Error: --acl-explain needs four words"),
    (["anna", "c1", "read", "a", "b"], "Error: --acl-explain needs four words"),
    ([], "Error: --acl-explain needs a value."),
    (["anna", "c1", "read", "a", "--test-config"], "Error: --acl-explain and --test-config: expected one of them."),
])
def test_wrong_questions(conf, words, complaint):
    assert complaint in ask(conf(), *words, code=3)


def test_a_question_needs_a_configuration():
    status, output = run("--acl-explain", "anna", "c1", "read", "a")
    assert status == 3 and "add -c FILE" in output


def test_wrong_files(tmp_path, acl):
    port = free_port()
    assert "No such file" in ask(str(tmp_path / "none"), "anna", "c1", "read", "a", code=3)
    wrong = config(tmp_path, f"listener {port}", "allow_anonymus true")
    assert "allow_anonymus" in ask(wrong, "anna", "c1", "read", "a", code=3)
    acl.write_text("topic a\n\ntopic a#\nuser\n")
    rules = config(tmp_path, f"listener {port}", "allow_anonymous true", f"acl_file {acl}")
    output = ask(rules, "anna", "c1", "read", "a", code=3)
    assert f"Error: {acl}:3: 'topic a#': no valid topic" in output
    assert f"Error: {acl}:4: 'user': no name" in output
    gone = config(tmp_path, f"listener {port}", "allow_anonymous true", f"acl_file {acl}.gone")
    assert f"acl_file '{acl}.gone'" in ask(gone, "anna", "c1", "read", "a", code=3)


def test_secrets_are_not_read_and_nothing_is_bound(tmp_path, acl):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        file = config(
            tmp_path, f"listener {taken.getsockname()[1]} 127.0.0.1", f"acl_file {acl}",
            f"password_file {tmp_path}/unreadable")
        assert ask(file, "anna", "c1", "read", "a", code=0).startswith("granted by")


def test_an_answer_that_cannot_be_written_is_an_error(conf):
    if not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full")
    with open("/dev/full", "wb") as full:
        done = subprocess.run([binary(), "-c", conf(), "--acl-explain", "anna", "c1", "read", "a"], stdout=full,
                              stderr=subprocess.PIPE, env=environment(), check=False, timeout=20)
    assert done.returncode == 3 and b"cannot be written" in done.stderr


def test_words_that_begin_with_a_dash(conf, acl):
    status, output = run("-c", conf(), "--acl-explain", "-x", "--", "-id", "write", "dev/-id/1")
    assert (status, output) == (0, f"granted by {acl}:10: pattern dev/%c/#\n")


def test_the_example_is_valid(tmp_path):
    file = config(tmp_path, f"listener {free_port()}", "allow_anonymous true", f"acl_file {ROOT}/aclfile.example")
    assert ask(file, "anna", "c1", "read", "a", code=1) == f"denied: no line of {ROOT}/aclfile.example grants it"


def test_the_broker_decides_as_it_was_explained(brokers, tmp_path, acl, name):
    """The same rules at work: what is said of a subscription is what its SUBACK says."""
    lines = ("allow_anonymous true", "acl_subscribe check", f"acl_file {acl}")
    broker = brokers.get(*lines)
    file = config(tmp_path, f"listener {free_port()}", *lines)
    client = broker.connect(name)
    for topics, code in (("pub/#", 0), ("#", 0), (f"dev/{name}/1", 0), ("a/#", 0x80), ("$SYS/#", 0x80)):
        client.send(subscribe(1, (topics, 0)))
        assert client.expect(SUBACK, mid=1).codes == [code]
        ask(file, "-", name, "subscribe", topics, code=1 if code else 0)
