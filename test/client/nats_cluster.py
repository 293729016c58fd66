"""Three nats-servers with JetStream and their MQTT gateway, on loopback, as man/mosquitto-scale.7 sets them up."""

import json
import urllib.request

import scale_page
import upstream
from broker_process import free_port

PROGRAM = "/usr/sbin/nats-server"
HOSTS = ["nats-1.example.org", "nats-2.example.org", "nats-3.example.org"]


class Node(upstream.Server):
    def __init__(self, directory, index, mqtt, routes):
        directory.mkdir()
        self.name = f"nats-{index + 1}"
        self.monitor = free_port()
        body = scale_page.here(scale_page.display("nats-server.conf of nats-1"), {
            "server_name: nats-1": f"server_name: {self.name}",
            "127.0.0.1:4222": f"127.0.0.1:{free_port()}",
            "127.0.0.1:8222": f"127.0.0.1:{self.monitor}",
            "0.0.0.0:1883": f"127.0.0.1:{mqtt}",
            "0.0.0.0:6222": f"127.0.0.1:{routes[index]}",
            "/var/lib/nats": directory / "store",
            **{f"{host}:6222": f"127.0.0.1:{port}" for host, port in zip(HOSTS, routes)},
        })
        (directory / "nats-server.conf").write_text(body)
        super().__init__(directory, [PROGRAM, "-c", directory / "nats-server.conf"], mqtt)

    def ask(self, path):
        """Its own report, or None while it gives none."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.monitor}/{path}", timeout=5) as answer:
                return json.load(answer)
        except OSError:
            return None


class NatsCluster:
    credentials = {"username": "edge", "password": "secret"}

    def __init__(self, directory):
        self.ports = [free_port() for _ in HOSTS]
        routes = [free_port() for _ in HOSTS]
        self.nodes = [Node(directory / f"nats-{i + 1}", i, self.ports[i], routes) for i in range(len(HOSTS))]
        self.started = []
        try:
            for node in self.nodes:
                self.start(node)
            for node in self.nodes:
                self.await_node(node)
        except BaseException:
            self.stop()
            raise

    @property
    def port(self):
        return self.ports[0]

    @property
    def hosts(self):
        """What stands for the page's addresses."""
        return {f"{host}:1883": f"127.0.0.1:{port}" for host, port in zip(HOSTS, self.ports)}

    def start(self, node):
        node.start()
        self.started.append(node)

    def await_node(self, node):
        node.await_port()
        upstream.await_true(lambda: upstream.speaks(node.port, **self.credentials), f"{node.name} speaks MQTT")

    def leader(self, stream="$MQTT_msgs"):
        """The node that leads this stream, or None while there is none."""
        for node in self.nodes:
            report = node.ask("jsz?accounts=true&streams=true") if node.alive() else None
            for account in (report or {}).get("account_details", []):
                for detail in account.get("stream_detail", []):
                    leader = detail.get("cluster", {}).get("leader")
                    found = [n for n in self.nodes if n.name == leader and n.alive()]
                    if detail["name"] == stream and found:
                        return found[0]
        return None

    def await_leader(self):
        return upstream.await_true(self.leader, "JetStream has a leader")

    def holder(self, client_id):
        """The node that this client is connected to."""
        for node in self.nodes:
            report = node.ask("connz") if node.alive() else None
            if any(held.get("mqtt_client") == client_id for held in (report or {}).get("connections", [])):
                return node
        return None

    def await_holder(self, client_id):
        return upstream.await_true(lambda: self.holder(client_id), f"{client_id} is connected to a node")

    def stop(self):
        """All at once, since each waits for the others when it leaves alone."""
        for node in self.nodes:
            if node.alive():
                node.process.terminate()
        for node in self.nodes:
            node.stop()
