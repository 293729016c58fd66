"""tshark reads our traffic and finds nothing malformed.

A small proxy between clients and broker keeps what both sides said; it is written as a capture file, so that no right
to capture is needed and nothing depends on when a capture began.
"""

import socket
import struct
import threading
from collections import Counter

from foreign import need, run
from mqtt_wire import (
    PUBLISH, PUBREL, SUBACK, Client, connect, puback, pubcomp, publish, pubrec, pubrel, subscribe, unsubscribe,
)

CLIENT_SIDE, SERVER_SIDE = 50000, 1883


class Proxy:
    """Passes bytes on, and remembers them in order: pairs of direction and bytes per connection."""

    def __init__(self, port):
        self.target = port
        self.connections = []
        self.threads = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            far = socket.create_connection(("127.0.0.1", self.target))
            said, lock = [], threading.Lock()
            self.connections.append(said)
            for source, sink, from_server in ((near, far, False), (far, near, True)):
                thread = threading.Thread(target=self.copy, args=(source, sink, from_server, said, lock), daemon=True)
                self.threads.append(thread)
                thread.start()

    @staticmethod
    def copy(source, sink, from_server, said, lock):
        while True:
            try:
                data = source.recv(1 << 15)
            except OSError:
                data = b""
            if not data:
                break
            with lock:
                said.append((from_server, data))
            sink.sendall(data)
        try:
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def finish(self):
        """After all clients have left: everything that was said."""
        for thread in self.threads:
            thread.join(10)
        self.listener.close()
        return self.connections


def segment(port, from_server, seq, ack, flags, data=b""):
    """An IPv4 packet with a TCP segment; tshark does not check the checksums by default."""
    ports = (SERVER_SIDE, port) if from_server else (port, SERVER_SIDE)
    tcp = struct.pack("!HHIIBBHHH", *ports, seq, ack, 5 << 4, flags, 65535, 0, 0) + data
    return struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(tcp), 0, 0, 64, 6, 0, b"\x7f\0\0\1", b"\x7f\0\0\1") + tcp


def write_capture(path, connections):
    """A capture file of raw IP packets (link type 101), each connection with its handshake."""
    packets = []
    for number, said in enumerate(connections):
        port = CLIENT_SIDE + number
        seq = {False: 1000, True: 5000}
        packets.append(segment(port, False, 999, 0, 0x02))
        packets.append(segment(port, True, 4999, 1000, 0x12))
        packets.append(segment(port, False, 1000, 5000, 0x10))
        for from_server, data in said:
            packets.append(segment(port, from_server, seq[from_server], seq[not from_server], 0x18, data))
            seq[from_server] += len(data)
    with open(path, "wb") as out:
        out.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 1 << 18, 101))
        for number, data in enumerate(packets):
            out.write(struct.pack("<IIII", number, 0, len(data), len(data)) + data)


def dissect(tshark, path):
    """Counts of MQTT packet types by direction, and whatever tshark complains of."""
    output = run(
        tshark, "-r", path, "-d", f"tcp.port=={SERVER_SIDE},mqtt", "-Y", "mqtt", "-T", "fields", "-e", "tcp.srcport",
        "-e", "mqtt.msgtype", "-e", "_ws.malformed", "-e", "_ws.expert.message",
    ).decode()
    counts, complaints = Counter(), []
    for line in output.splitlines():
        if "\t" not in line:
            continue
        source, kinds, malformed, expert = line.split("\t")
        if malformed or expert:
            complaints.append(line)
        for kind in filter(None, kinds.split(",")):
            counts[source == str(SERVER_SIDE), int(kind)] += 1
    return counts, complaints


def answer(client, packets):
    """Acknowledge what came, up to the end of each handshake."""
    for packet in packets:
        if packet.kind == PUBLISH and packet.qos:
            client.send((puback if packet.qos == 1 else pubrec)(packet.mid))
    for packet in client.ping():
        if packet.kind == PUBREL:
            client.send(pubcomp(packet.mid))


def every_packet_type(port, name):
    """Both QoS directions, retained, will, refusal, MQTT 3.1 and a large message."""
    for level in (3, 4):
        client = Client(port)
        client.connect(f"{name}-{level}", level=level, will={"topic": name, "payload": "w"}, username="u", password="p")
        client.send(subscribe(1, (name + "/#", 2), (name, 1)))
        client.expect(SUBACK)
        for qos in (0, 1, 2):
            client.send(publish(f"{name}/é", "x" * 1000 * qos, qos, 10 + qos if qos else None, retain=True))
        client.send(pubrel(12))
        answer(client, client.ping())
        client.send(pubrec(99), pubcomp(99), unsubscribe(2, name + "/#"))
        client.ping()
        client.send(publish(name, b"\0" * 200_000))
        client.take()
        client.disconnect()
    refused = Client(port)
    refused.send(connect("", clean=False))
    refused.recv()
    refused.expect_closed()
    refused.close()


def test_nothing_is_malformed(broker, name, tmp_path):
    tshark = need("tshark")
    proxy = Proxy(broker.port)
    every_packet_type(proxy.port, name)
    path = tmp_path / "traffic.pcap"
    write_capture(path, proxy.finish())
    counts, complaints = dissect(tshark, path)
    assert not complaints
    from_server = {kind for (server, kind), _ in counts.items() if server}
    assert from_server == {2, 3, 4, 5, 6, 7, 9, 11, 13}
    assert counts[True, 2] == 3


def test_what_debian_clients_and_the_broker_say(broker, name, tmp_path):
    tshark, pub, sub = need("tshark", "mosquitto_pub", "mosquitto_sub")
    proxy = Proxy(broker.port)
    common = ["-h", "127.0.0.1", "-p", str(proxy.port), "-q", "2", "-t", name]
    run(pub, *common, "-m", "kept", "-r")
    assert run(sub, *common, "-C", "1", "-W", "20") == b"kept\n"
    path = tmp_path / "traffic.pcap"
    write_capture(path, proxy.finish())
    counts, complaints = dissect(tshark, path)
    assert not complaints
    assert counts[True, 3] == 1 and counts[True, 9] == 1 and counts[False, 3] == 1


def test_the_dissection_notices_damage(tmp_path):
    """The check can fail: a CONNACK that is too short, and a SUBACK cut in the middle."""
    tshark = need("tshark")
    path = tmp_path / "damaged.pcap"
    write_capture(path, [[(False, connect("id")), (True, b"\x20\x01\x00"), (True, b"\x90\x01\x00")]])
    _, complaints = dissect(tshark, path)
    assert complaints
