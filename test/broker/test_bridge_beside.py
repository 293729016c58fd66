"""What else a configuration says, of clients and their rights, is not about bridges: they carry what topics say."""

import subprocess

import pytest
from listener_tools import reload
from mqtt_wire import connect, publish
from remote_broker import HOST, remote, remotes, section  # noqa: F401

pytestmark = pytest.mark.ours
BOTH = ("topic a/# both 1",)


@pytest.fixture
def guarded(tmp_path):
    """Lines of a broker where nobody but `me` may do anything, and that only below a/."""
    (tmp_path / "acl").write_text("user me\ntopic readwrite a/#\n")
    (tmp_path / "passwords").write_text("")
    subprocess.run(["/usr/bin/mosquitto_passwd", "-b", tmp_path / "passwords", "me", "secret"], check=True,
                   capture_output=True)
    return ("allow_anonymous false", f"password_file {tmp_path}/passwords", f"acl_file {tmp_path}/acl")


def carries(link, reader, writer):
    """One message each way."""
    reader.subscribe("a/#", qos=1)
    link.publish("a/in", "x", qos=1)
    reader.take("a/in", "x")
    writer.publish("a/out", "y", qos=1)
    assert link.take().payload == b"y"


def test_rights_are_not_asked_for(brokers, remote, guarded):
    broker = brokers.start(*guarded, *section(remote, *BOTH))
    me = {"username": "me", "password": "secret"}
    carries(remote.welcome(ins=["a/#"]), broker.connect(**me), broker.connect(**me))


def test_with_a_local_user_name(brokers, remote):
    broker = brokers.start(*section(remote, *BOTH, "local_username bridge", "local_password secret"))
    carries(remote.welcome(ins=["a/#"]), broker.connect(), broker.connect())


@pytest.mark.parametrize("line", ["clientid_prefixes c", "max_keepalive 10", "allow_zero_length_clientid false",
                                  "max_connections 2", "set_tcp_nodelay true", "allow_duplicate_messages true"])
def test_limits_of_clients(brokers, remote, line):
    broker = brokers.start(line, *section(remote, *BOTH))
    link = remote.welcome(ins=["a/#"])
    options = {"keepalive": 5}
    carries(link, broker.connect("c1", **options), broker.connect("c2", **options))


def test_local_ids(brokers, remote):
    broker = brokers.start(*section(remote, *BOTH, "local_clientid mine"))
    remote.welcome(ins=["a/#"])
    client = broker.client()
    client.send(connect("mine"))
    assert client.recv().code == 2
    broker.connect(f"local.{HOST}.b").quiet()


def test_a_remote_id_says_the_local_one(brokers, remote):
    broker = brokers.start(*section(remote, *BOTH, "remote_clientid there"))
    assert remote.greet().hello.id == "there"
    client = broker.client()
    client.send(connect("local.there"))
    assert client.recv().code == 2


def test_a_client_that_was_there_before(brokers, remote):
    """A session of an ordinary client with the id of a bridge that comes by a reload: it has to go."""
    broker = brokers.start()
    client = broker.connect(f"local.{HOST}.b", clean=False)
    reload(broker, *section(remote, *BOTH))
    client.expect_closed()
    carries(remote.welcome(ins=["a/#"]), broker.connect(), broker.connect())


def test_shared_subscriptions_get_what_comes_in(brokers, remote):
    broker = brokers.start(*section(remote, *BOTH))
    members = [broker.connect(), broker.connect()]
    for member in members:
        member.subscribe("$share/g/a/#", qos=1)
    link = remote.welcome(ins=["a/#"])
    for number in range(10):
        link.publish("a/1", str(number), qos=1)
    got = [packet.payload for member in members for packet in member.take_all()]
    assert sorted(got) == sorted(b"%d" % number for number in range(10))


def test_what_a_will_says_goes_over(brokers, remote):
    broker = brokers.start(*section(remote, *BOTH))
    link = remote.welcome(ins=["a/#"])
    broker.connect(will={"topic": "a/will", "payload": b"gone", "qos": 1, "retain": True}).reset()
    link.take("a/will", "gone", retain=True)


def test_statistics_can_be_bridged(brokers, remote):
    """$SYS is carried if a topic says so, under another name."""
    brokers.start("sys_interval 1", *section(remote, "topic broker/uptime out 0 $SYS/ edge/"))
    link = remote.welcome(outs=["edge/broker/uptime"])
    assert b"seconds" in link.take("edge/broker/uptime").payload


def test_what_is_too_large_for_clients_does_not_come_in(brokers, remote):
    broker = brokers.start("message_size_limit 100", *section(remote, *BOTH))
    reader = broker.connect()
    reader.subscribe("a/#")
    link = remote.welcome(ins=["a/#"])
    link.publish("a/1", "x" * 101, qos=1)
    link.publish("a/1", "x" * 100, qos=1)
    reader.take("a/1", "x" * 100)


def test_many_bridges_at_work(brokers, remotes):
    """Twenty bridges to twenty brokers: what comes by one goes to all others, once."""
    others = [remotes.start() for _ in range(20)]
    lines = [line for number, one in enumerate(others) for line in section(one, "topic a both 1", name=f"b{number}")]
    brokers.start(*lines)
    links = [one.welcome(ins=["a"]) for one in others]
    for number in (0, 7, 19):
        links[number].publish("a", str(number), qos=1)
        for link in links:
            if link is not links[number]:
                link.take("a", str(number))
    links[0].send(publish("a", "end"))
    assert all(link.take("a").payload == b"end" for link in links[1:])
