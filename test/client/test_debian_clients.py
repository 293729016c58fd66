"""mosquitto_pub and mosquitto_sub, as a distribution ships them."""

import subprocess

import pytest
from foreign import finish, need, run, start

pytestmark = pytest.mark.parametrize("version", ["mqttv31", "mqttv311"])


@pytest.fixture
def tools(broker, name, version):
    return Tools(broker, name, version)


class Tools:
    """The two programs, told where the broker is."""

    def __init__(self, broker, name, version):
        self.pub_path, self.sub_path = need("mosquitto_pub", "mosquitto_sub")
        self.broker, self.name = broker, name
        self.common = ["-h", "127.0.0.1", "-p", str(broker.port), "-V", version]

    def pub(self, *arguments, **options):
        return run(self.pub_path, *self.common, "-i", self.name + "p", *arguments, **options)

    def sub(self, *arguments):
        """A subscriber that has its SUBACK already."""
        since = len(self.broker.log.lines)
        process = start(self.sub_path, *self.common, "-i", self.name + "s", "-W", "30", *arguments)
        self.broker.log.wait(f"Sending SUBACK to {self.name}s", since)
        return process


@pytest.mark.statements("MQTT-7.0.0-2")
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_pub_to_sub(tools, name, qos):
    reader = tools.sub("-t", f"{name}/#", "-q", str(qos), "-C", "3", "-v")
    for text in ("one", "zwei", "三"):
        tools.pub("-t", f"{name}/{text}", "-m", text, "-q", str(qos))
    assert finish(reader).decode() == f"{name}/one one\n{name}/zwei zwei\n{name}/三 三\n"


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_lines_from_a_pipe_in_order(tools, name, qos):
    reader = tools.sub("-t", name, "-q", str(qos), "-C", "500")
    lines = "".join(f"line {i}\n" for i in range(500)).encode()
    tools.pub("-t", name, "-l", "-q", str(qos), data=lines)
    assert finish(reader) == lines


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_a_large_payload(tools, name, qos):
    data = bytes(range(256)) * 4000
    reader = tools.sub("-t", name, "-q", str(qos), "-C", "1", "-N")
    tools.pub("-t", name, "-s", "-q", str(qos), data=data)
    assert finish(reader) == data


def test_retained(tools, name):
    tools.pub("-t", name, "-m", "kept", "-r", "-q", "1")
    assert finish(tools.sub("-t", name, "-C", "1", "-F", "%t %r %q %p", "-q", "1")) == f"{name} 1 1 kept\n".encode()
    tools.pub("-t", name, "-n", "-r")
    tools.pub("-t", f"{name}/other", "-m", "other", "-r")
    assert finish(tools.sub("-t", f"{name}/#", "-C", "1", "-v")) == f"{name}/other other\n".encode()


@pytest.mark.parametrize("qos", [1, 2])
def test_a_lasting_session(tools, name, qos):
    tools.sub("-t", name, "-q", str(qos), "-c", "-E")
    tools.broker.log.wait(f"Client {name}s disconnected")
    for number in range(5):
        tools.pub("-t", name, "-m", str(number), "-q", str(qos))
    reader = start(
        tools.sub_path, *tools.common, "-i", name + "s", "-c", "-t", name, "-q", str(qos), "-C", "5", "-W", "30"
    )
    assert finish(reader) == b"0\n1\n2\n3\n4\n"


def test_a_will(tools, name):
    watcher = tools.sub("-t", f"{name}/will", "-C", "1")
    since = len(tools.broker.log.lines)
    dying = start(
        tools.sub_path, *tools.common, "-i", name + "d", "-t", "x", "--will-topic", f"{name}/will", "--will-payload",
        "gone", "--will-qos", "1",
    )
    tools.broker.log.wait(f"Sending SUBACK to {name}d", since)
    dying.kill()
    dying.communicate()
    assert finish(watcher) == b"gone\n"


def test_many_readers(tools, name):
    readers = [
        subprocess.Popen([tools.sub_path, *tools.common, "-t", name, "-C", "1", "-W", "30", "-i", f"{name}-{i}"],
                         stdout=subprocess.PIPE)
        for i in range(5)
    ]
    for number in range(5):
        tools.broker.log.wait(f"Sending SUBACK to {name}-{number}$")
    tools.pub("-t", name, "-m", "all")
    assert [finish(reader) for reader in readers] == [b"all\n"] * 5
