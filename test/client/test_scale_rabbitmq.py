"""Two brokers at the edge of a rabbitmq-server with its MQTT plugin, as man/mosquitto-scale.7 shows it."""

import os

import carry
import edges
import pytest
import rabbitmq_server
import scale_page
from broker_process import sanitized
from edges import setting  # noqa: F401

# Minutes of waiting for servers of other makes: the plain build is enough for these.
pytestmark = [pytest.mark.slow, pytest.mark.skipif(sanitized(), reason="done by the build without sanitizers")]
COLUMN = "RabbitMQ 3.10"
CONNECTION = "the connection of hall-a to RabbitMQ"


@pytest.fixture
def rabbit(setting, tmp_path):
    if not os.access(rabbitmq_server.PROGRAM, os.X_OK):
        pytest.skip(f"{rabbitmq_server.PROGRAM} is not installed")
    return setting.add(rabbitmq_server.RabbitMq(tmp_path))


def test_the_table_tells_what_rabbitmq_carries(rabbit):
    assert carry.column(rabbit, lambda: rabbit.restart(hard=True)) == scale_page.column(COLUMN)


def test_edges_go_on_when_rabbitmq_is_restarted_and_killed(setting, rabbit, tmp_path):
    """What is published at one edge arrives at the other, at QoS 0 and 1, and none that was acknowledged is lost."""
    halls = [setting.add(edges.Edge(tmp_path / hall, hall, rabbit.hosts, CONNECTION)) for hall in edges.EXCHANGE]
    edges.await_link(rabbit, halls)
    edges.check_exchange(setting, halls, {0: 0, 1: 1, 2: 1})
    here, there = halls
    reader = setting.add(edges.Reader(there.client("stream-reader"), f"{here.hall}/count", 1))
    writer = setting.add(edges.Writer(here.client("stream-writer"), f"{here.hall}/count"))
    for hard in (False, True):
        writer.await_more(200)
        rabbit.restart(hard)
        writer.await_more(100)
        edges.await_caught_up(reader, writer)
    edges.check_stream(reader, writer.end())
