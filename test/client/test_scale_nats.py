"""Two brokers at the edge of a cluster of three nats-servers, as man/mosquitto-scale.7 shows it."""

import os

import carry
import edges
import nats_cluster
import pytest
import scale_page
from broker_process import sanitized
from edges import setting  # noqa: F401

# Minutes of waiting for servers of other makes: the plain build is enough for these.
pytestmark = [pytest.mark.slow, pytest.mark.skipif(sanitized(), reason="done by the build without sanitizers")]
COLUMN = "NATS 2.9"


@pytest.fixture
def cluster(setting, tmp_path):
    if not os.access(nats_cluster.PROGRAM, os.X_OK):
        pytest.skip(f"{nats_cluster.PROGRAM} is not installed")
    return setting.add(nats_cluster.NatsCluster(tmp_path))


@pytest.fixture
def halls(setting, cluster, tmp_path):
    """Both edges, their bridges connected."""
    made = [setting.add(edges.Edge(tmp_path / hall, hall, cluster.hosts)) for hall in edges.EXCHANGE]
    edges.await_link(cluster, made)
    return made


def crash_all(cluster):
    for node in cluster.nodes:
        node.kill()
    for node in cluster.nodes:
        node.start()
    for node in cluster.nodes:
        cluster.await_node(node)


def test_the_table_tells_what_nats_carries(cluster):
    assert carry.column(cluster, lambda: crash_all(cluster)) == scale_page.column(COLUMN)


def test_what_is_published_at_one_edge_arrives_at_the_other(setting, halls):
    edges.check_exchange(setting, halls, {0: 0, 1: 1, 2: 1})


def test_nodes_are_killed_in_the_middle_of_a_stream(setting, cluster, halls):
    """First the node that a bridge is connected to, then the one that leads the stream of messages.

    Who is late must have been on its way to the other edge when a node died: NATS sends that again after ack_wait.
    """
    here, there = halls
    reader = setting.add(edges.Reader(there.client("reader"), f"{here.hall}/#", 1))
    writer = setting.add(edges.Writer(here.client("writer"), f"{here.hall}/count"))
    writer.await_more(100)
    for victim in (lambda: cluster.await_holder(there.hall), cluster.await_leader):
        node = victim()
        node.kill()
        writer.await_more(200)
        edges.await_caught_up(reader, writer)
        cluster.start(node)
        cluster.await_node(node)
        writer.await_more(100)
    acknowledged = writer.end()
    edges.await_caught_up(reader, writer)
    edges.check_stream(reader, acknowledged, there.sent_again())
