"""What the differential test plays on both brokers. Each scenario says its configuration, then what happens."""

import os
import re
import signal
import socket
import time

from mqtt_wire import (
    BYE, CONNACK, PING, PINGRESP, PUBACK, PUBCOMP, PUBLISH, PUBREC, PUBREL, SUBACK, UNSUBACK, ack, connect,
    field, packet, puback, pubcomp, publish, pubrec, pubrel, subscribe, unsubscribe,
)

SCENARIOS = {}
OPEN = ("listener {PORT} 127.0.0.1", "allow_anonymous true")
RELEASED = "ours sends a QoS 2 message on when it arrives, theirs when it is released"
FILE = ("-c", "{DIR}/mosquitto.conf")


class Scenario:
    """A function with its configuration; `ready` None means that a listener is awaited."""

    def __init__(self, play, lines, arguments, runs, files, shuffled):
        self.play = play
        self.shuffled = shuffled
        self.lines = lines
        self.arguments = arguments
        self.runs = runs
        self.files = files

    def on(self, stage):
        """Play it on this stage; what came of it."""
        stage.configure(*self.lines)
        for name, text in self.files.items():
            stage.write(name, text)
        try:
            stage.start(self.arguments, self.runs)
            self.play(stage)
        finally:
            stage.stop()
        return stage.outcome()


def scenario(*lines, arguments=(*FILE, "-v"), runs=True, base=OPEN, files=None, shuffled=None):
    """Register a scenario with these lines behind those of `base`; `shuffled`: why the order of log lines differs."""
    def register(play):
        SCENARIOS[play.__name__] = Scenario(play, (*base, *lines), arguments, runs, files or {}, shuffled)
        return play
    return register


# --- start and stop -------------------------------------------------------------------------------


@scenario()
def start_and_sigterm(stage):
    pass


@scenario(arguments=FILE)
def start_and_sigterm_quietly(stage):
    pass


@scenario()
def start_and_sigint(stage):
    stage.kill(signal.SIGINT)


@scenario("listener {PORT2} 127.0.0.1")
def two_listeners(stage):
    stage.connect("one").disconnect()
    stage.connect("two", port="PORT2").disconnect()


@scenario("allow_anonymous true", base=("listener {PORT} ::1",))
def ipv6_only(stage):
    stage.connect("six", host="::1").disconnect()


@scenario("allow_anonymous true", base=("listener {PORT}",))
def both_families(stage):
    stage.connect("four").disconnect()
    stage.connect("six", host="::1").disconnect()


@scenario("socket_domain ipv4", "allow_anonymous true", base=("listener {PORT}",))
def only_ipv4(stage):
    stage.connect("four").disconnect()


@scenario(arguments=("-p", "{PORT}", "-v"))
def p_without_a_file(stage):
    stage.connect("local").disconnect()
    stage.connect("local6", host="::1").disconnect()


@scenario("max_keepalive 60", arguments=("-c", "{DIR}/mosquitto.conf", "-p", "{PORT}", "-v"), base=())
def p_and_a_file_without_listener(stage):
    stage.connect("local").disconnect()


@scenario(arguments=("-c", "{DIR}/mosquitto.conf", "-p", "{PORT2}", "-v"))
def p_and_a_file_with_listener(stage):
    stage.connect("c").disconnect()


@scenario("allow_anonymous true", base=("port {PORT}",))
def the_old_port_option(stage):
    stage.connect("c").disconnect()


@scenario("allow_anonymous true", base=("port {PORT}", "bind_address 127.0.0.1"))
def the_old_bind_address_option(stage):
    stage.connect("c").disconnect()


@scenario(base=("listener {PORT} 127.0.0.1",))
def nobody_may_connect_unless_it_is_said(stage):
    stage.refused(connect("c"))


# --- connections ----------------------------------------------------------------------------------


@scenario()
def plain(stage):
    stage.connect("c").disconnect()


@scenario()
def unclean_with_a_user_name(stage):
    stage.connect("c", clean=False, keepalive=5, username="someone").disconnect()
    client = stage.connect("c", clean=False, keepalive=65535, username="another", password="p")
    stage.note(client.connack)
    client.disconnect()


@scenario()
def old_protocol(stage):
    stage.connect("c", level=3).disconnect()


@scenario()
def bridges_by_the_high_bit(stage):
    for level in (0x83, 0x84):
        stage.connect(f"c{level}", level=level).disconnect()


@scenario()
def an_empty_id(stage):
    stage.connect("").disconnect()


@scenario()
def will_published_when_lost(stage):
    watcher = stage.connect("watcher")
    watcher.subscribe("w/#", qos=1)
    client = stage.connect("c", will={"topic": "w/c", "payload": "bye", "qos": 1, "retain": True})
    client.close()
    stage.note(watcher.take())
    watcher.disconnect()


@scenario()
def will_dropped_after_disconnect(stage):
    watcher = stage.connect("watcher")
    watcher.subscribe("w/#", qos=2)
    stage.connect("c", will={"topic": "w/c", "payload": "bye", "qos": 2}).disconnect()
    watcher.quiet()
    watcher.disconnect()


@scenario()
def closed_without_disconnect(stage):
    stage.connect("c").close()
    stage.wait_log("Client c ")


@scenario()
def reset(stage):
    stage.connect("c").reset()
    stage.wait_log("Client c ")


@scenario()
def closed_before_connect(stage):
    stage.client().close()
    stage.wait_log("New connection")
    time.sleep(0.3)


@scenario()
def keepalive_exceeded(stage):
    stage.connect("c", keepalive=1).expect_closed(8)


@scenario()
def takeover(stage):
    first = stage.connect("c", clean=False)
    stage.connect("c", clean=False)
    first.expect_closed()


@scenario()
def takeover_of_a_clean_session(stage):
    first = stage.connect("c")
    stage.connect("c")
    first.expect_closed()


@scenario()
def session_present(stage):
    client = stage.connect("c", clean=False)
    client.subscribe("a", qos=1)
    client.disconnect()
    stage.connect("p").publish("a", "hello", qos=1)
    client = stage.connect("c", clean=False)
    stage.note(client.connack, client.take())
    client.disconnect()
    client = stage.connect("c", clean=True)
    stage.note(client.connack)
    client.quiet()
    client.disconnect()


@scenario()
def ping(stage):
    client = stage.connect("c")
    client.quiet()
    client.disconnect()


# --- refused and ended ----------------------------------------------------------------------------


@scenario()
def unknown_levels(stage):
    for level in (2, 6, 255):
        stage.refused(connect("c", level=level, name="MQTT"))


@scenario()
def unknown_protocol_names(stage):
    for name in ("MQTx", "mqtt", "MQTTT", ""):
        stage.refused(connect("c", name=name))


@scenario()
def the_other_ones_level(stage):
    stage.refused(connect("c", name="MQTT", level=3))
    stage.refused(connect("c", name="MQIsdp", level=4))


@scenario()
def empty_ids_that_are_refused(stage):
    stage.refused(connect("", clean=False))
    stage.refused(connect("", level=3))


@scenario("allow_zero_length_clientid false")
def allow_zero_length_clientid_false(stage):
    stage.refused(connect(""))


BROKEN_CONNECTS = {
    "reserved flag": packet(1, 0, b"\0\4MQTT\4\3\0\0\0\1a"),
    "flags in the header": packet(1, 1, b"\0\4MQTT\4\2\0\0\0\1a"),
    "will at QoS 3": packet(1, 0, b"\0\4MQTT\4\x1e\0\0\0\1a\0\1w\0\0"),
    "flags of a will that is not there": packet(1, 0, b"\0\4MQTT\4\x2a\0\0\0\1a"),
    "password without user name": packet(1, 0, b"\0\4MQTT\4\x42\0\0\0\1a\0\1p"),
    "shorter than it says": packet(1, 0, b"\0\4MQTT\4\2\0\0\0\5a"),
    "id not UTF-8": connect(b"\xff\xfe"),
    "wildcard in the will's topic": connect("c", will={"topic": "a/+", "payload": ""}),
    "empty topic of the will": connect("c", will={"topic": "", "payload": ""}),
    "surplus bytes": connect("c", tail=b"x"),
    "PINGREQ first": PING, "DISCONNECT first": BYE, "PUBLISH first": publish("a", "x"),
    "SUBSCRIBE first": subscribe(1, ("a", 0)), "UNSUBSCRIBE first": unsubscribe(1, "a"),
    "PUBACK first": puback(1), "CONNACK first": packet(CONNACK, 0, b"\0\0"),
    "HTTP": b"GET / HTTP/1.0\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(505),
    "nothing but zeros": bytes(100),
}

BROKEN_PACKETS = {
    "second CONNECT": connect("c"),
    "QoS 3": publish("a", "x", 3, 1), "wildcard in a topic": publish("a/#", "x"), "empty topic": publish("", "x"),
    "topic not UTF-8": publish(b"\xff", "x"), "control character": publish("a\x01", "x"),
    "null in a topic": publish("a\0", "x"), "PUBLISH with id 0": publish("a", "x", 1, 0),
    "PUBLISH that ends early": b"\x30\x01a", "QoS 0 with DUP": publish("a", "x", dup=True),
    "PINGREQ with flags": b"\xc1\x00", "PINGREQ with a body": packet(12, 0, b"x"),
    "DISCONNECT with flags": b"\xe1\x00", "PUBREL with flags 0": packet(PUBREL, 0, b"\0\1"),
    "PUBACK with flags": packet(PUBACK, 1, b"\0\1"), "PUBREC with flags": packet(PUBREC, 1, b"\0\1"),
    "PUBCOMP with flags": packet(PUBCOMP, 1, b"\0\1"), "PUBACK of one byte": packet(PUBACK, 0, b"\0"),
    "type 0": b"\x00\x00", "type 15": b"\xf0\x00", "length of five bytes": b"\x30\xff\xff\xff\xff\x01",
    "SUBSCRIBE without filters": packet(8, 2, b"\0\1"),
    "SUBSCRIBE with flags 0": packet(8, 0, b"\0\1" + field("a") + b"\0"),
    "SUBSCRIBE at QoS 3": subscribe(1, ("a", 3)), "empty filter": subscribe(1, ("", 0)),
    "a# as filter": subscribe(1, ("a#", 0)), "a/+b as filter": subscribe(1, ("a/+b", 0)),
    "#/a as filter": subscribe(1, ("#/a", 0)), "SUBSCRIBE with id 0": subscribe(0, ("a", 0)),
    "UNSUBSCRIBE of a#": unsubscribe(1, "a#"), "UNSUBSCRIBE without filters": packet(10, 2, b"\0\1"),
    "UNSUBSCRIBE with id 0": unsubscribe(0, "a"), "UNSUBSCRIBE with flags 0": packet(10, 0, b"\0\1" + field("a")),
    "CONNACK": packet(CONNACK, 0, b"\0\0"), "SUBACK": packet(SUBACK, 0, b"\0\1\0"), "UNSUBACK": ack(UNSUBACK, 1),
    "PINGRESP": packet(PINGRESP, 0),
}


@scenario()
def acknowledgements_nobody_waits_for(stage):
    client = stage.connect("c")
    client.send(puback(7), pubcomp(8))
    client.quiet()
    client.send(pubrec(9))
    stage.note(client.recv())
    client.send(pubrel(10))
    stage.note(client.recv())
    client.disconnect()


@scenario("max_packet_size 200")
def a_packet_that_is_too_large(stage):
    client = stage.connect("c")
    client.send(publish("a", "x" * 300))
    client.expect_closed()


@scenario("message_size_limit 10", shuffled=RELEASED)
def a_payload_that_is_too_large(stage):
    reader = stage.connect("r")
    reader.subscribe("a", qos=2)
    client = stage.connect("c")
    for qos in (0, 1, 2):
        client.publish("a", "x" * 11, qos=qos)
        client.publish("a", "x" * 10, qos=qos)
        stage.note(reader.take())
    client.disconnect()


# --- messages -------------------------------------------------------------------------------------


@scenario()
def subscribe_and_unsubscribe(stage):
    client = stage.connect("c")
    client.subscribe(("a/b", 0), ("a/+", 1), ("#", 2))
    client.subscribe(("a/b", 2))
    client.subscribe(("$share/group/a", 1))
    client.unsubscribe("a/b", "a/+", "nothing/there")
    client.disconnect()


def handshakes(stage, sent, granted):
    """One message from a publisher to a subscriber, acknowledged in full."""
    reader, writer = stage.connect("r"), stage.connect("w")
    reader.subscribe("a", qos=granted)
    writer.publish("a", "hello", qos=sent)
    stage.note(reader.take())
    reader.quiet()
    reader.disconnect()
    writer.disconnect()


@scenario()
def qos_0(stage):
    handshakes(stage, 0, 2)


@scenario()
def qos_1(stage):
    handshakes(stage, 1, 2)


@scenario(shuffled=RELEASED)
def qos_2(stage):
    handshakes(stage, 2, 2)


@scenario(shuffled=RELEASED)
def qos_2_to_1(stage):
    handshakes(stage, 2, 1)


@scenario()
def qos_1_to_0(stage):
    handshakes(stage, 1, 0)


@scenario()
def to_oneself(stage):
    client = stage.connect("c")
    client.subscribe("a", qos=0)
    client.send(publish("a", "x", 1, 5))
    stage.note(client.recv(), client.recv())
    client.disconnect()


@scenario("upgrade_outgoing_qos true")
def upgrade_outgoing_qos(stage):
    handshakes(stage, 0, 2)


@scenario("upgrade_outgoing_qos true")
def upgrade_outgoing_qos_to_1(stage):
    handshakes(stage, 0, 1)


@scenario()
def retained(stage):
    writer = stage.connect("w")
    writer.publish("r/a", "kept", qos=1, retain=True)
    writer.publish("r/b", "kept", qos=0, retain=True)
    reader = stage.connect("r")
    reader.subscribe("r/a", qos=2)
    stage.note(reader.take())
    reader.subscribe("r/b", qos=2)
    stage.note(reader.take())
    writer.publish("r/a", "", qos=0, retain=True)
    stage.note(reader.take())
    reader.unsubscribe("r/a")
    reader.subscribe("r/a", qos=2)
    reader.quiet()
    reader.disconnect()
    writer.disconnect()


@scenario()
def overlapping_subscriptions(stage):
    reader, writer = stage.connect("r"), stage.connect("w")
    reader.subscribe("a/b", "a/+", "#", qos=1)
    writer.publish("a/b", "once", qos=1)
    stage.note(*reader.take_all())
    reader.disconnect()
    writer.disconnect()


@scenario("allow_duplicate_messages true")
def allow_duplicate_messages(stage):
    reader, writer = stage.connect("r"), stage.connect("w")
    reader.subscribe("a/b", "a/+", "#", qos=0)
    writer.publish("a/b", "more", qos=0)
    stage.note(*reader.take_all())
    reader.disconnect()
    writer.disconnect()


@scenario()
def sys_is_not_writable(stage):
    client = stage.connect("c")
    client.publish("$SYS/broker/uptime", "x", qos=1)
    client.disconnect()


# --- limits of messages ---------------------------------------------------------------------------


@scenario("queue_qos0_messages true")
def queue_qos0_messages(stage):
    queued_for_the_absent(stage)


@scenario()
def qos0_is_not_queued(stage):
    queued_for_the_absent(stage)


def queued_for_the_absent(stage):
    client = stage.connect("c", clean=False)
    client.subscribe("a", qos=2)
    client.disconnect()
    writer = stage.connect("w")
    for qos in (0, 1, 2):
        writer.publish("a", f"q{qos}", qos=qos)
    writer.disconnect()
    client = stage.connect("c", clean=False)
    stage.note(*client.take_all())
    client.disconnect()


@scenario("max_queued_messages 3", "max_inflight_messages 2")
def more_than_max_queued_messages_for_the_absent(stage):
    client = stage.connect("c", clean=False)
    client.subscribe("a", qos=1)
    client.disconnect()
    writer = stage.connect("w")
    for number in range(8):
        writer.publish("a", str(number), qos=1)
    client = stage.connect("c", clean=False)
    stage.note(*(got.payload for got in client.take_all()))
    client.disconnect()
    writer.disconnect()


@scenario("max_queued_messages 2", "max_inflight_messages 1")
def more_than_max_queued_messages_for_a_slow_reader(stage):
    reader, writer = stage.connect("r"), stage.connect("w")
    reader.subscribe("a", qos=1)
    for number in range(6):
        writer.publish("a", str(number), qos=1)
    stage.note(*(got.payload for got in reader.take_all()))
    reader.disconnect()
    writer.disconnect()


@scenario("max_queued_bytes 10", "max_inflight_messages 1")
def more_than_max_queued_bytes(stage):
    reader, writer = stage.connect("r"), stage.connect("w")
    reader.subscribe("a", qos=1)
    for number in range(6):
        writer.publish("a", f"{number}....", qos=1)
    stage.note(*(got.payload for got in reader.take_all()))
    reader.disconnect()
    writer.disconnect()


@scenario("retain_available false")
def retain_available_false(stage):
    client = stage.connect("c")
    client.publish("a", "x")
    client.send(publish("a", "x", retain=True))
    client.expect_closed()


@scenario("max_qos 1")
def max_qos(stage):
    client = stage.connect("c")
    client.publish("a", "x", qos=1)
    client.send(publish("a", "x", 2, 3))
    client.expect_closed()


@scenario("max_qos 1")
def max_qos_of_a_subscription(stage):
    client = stage.connect("c")
    client.send(subscribe(1, ("a", 2)))
    stage.note(client.recv())
    client.disconnect()


@scenario("max_qos 0")
def max_qos_of_a_will(stage):
    stage.refused(connect("c", will={"topic": "w", "payload": "", "qos": 1}))


@scenario("persistent_client_expiration 1h")
def persistent_client_expiration(stage):
    stage.connect("c", clean=False).disconnect()
    client = stage.connect("c", clean=False)
    stage.note(client.connack)
    client.disconnect()


@scenario("max_keepalive 100")
def max_keepalive(stage):
    stage.connect("c", keepalive=100).disconnect()


# --- who may come ---------------------------------------------------------------------------------


@scenario("allow_anonymous false", base=("listener {PORT} 127.0.0.1",))
def allow_anonymous_false(stage):
    stage.refused(connect("c"))
    stage.refused(connect("c", level=3))


@scenario("clientid_prefixes good-")
def clientid_prefixes(stage):
    stage.connect("good-1").disconnect()
    stage.refused(connect("bad-1"))
    stage.refused(connect("goo"))
    stage.refused(connect(""))


@scenario("use_username_as_clientid true")
def use_username_as_clientid(stage):
    client = stage.connect("c", username="someone", password="x")
    client.subscribe("a")
    client.disconnect()
    stage.refused(connect("c"))


@scenario("use_username_as_clientid true")
def use_username_as_clientid_takes_over(stage):
    first = stage.connect("one", username="someone", password="x")
    stage.connect("two", username="someone", password="x").quiet()
    first.expect_closed()


@scenario("max_connections 2")
def max_connections(stage):
    one, two = stage.connect("one"), stage.connect("two")
    stage.refused(connect("three"))
    one.disconnect()
    stage.connect("four").disconnect()
    two.disconnect()


@scenario("auto_id_prefix made-up-")
def auto_id_prefix(stage):
    stage.connect("").disconnect()


@scenario("mount_point home/")
def mount_point(stage):
    reader, writer = stage.connect("r"), stage.connect("w")
    reader.subscribe("a/#", qos=1)
    writer.publish("a/b", "x", qos=1, retain=True)
    stage.note("inside", reader.take())
    reader.unsubscribe("a/#")
    reader.subscribe("a/+", qos=1)
    stage.note("inside", reader.take())
    reader.disconnect()
    writer.disconnect()


@scenario(
    "mount_point home/", "listener {PORT2} 127.0.0.1",
    shuffled="two clients get the same message in any order",
)
def mount_point_seen_from_the_other_listener(stage):
    inside, outside = stage.connect("inside"), stage.connect("outside", port="PORT2")
    outside.subscribe("home/#")
    inside.subscribe("#")
    for sent, topic in ((inside, "up"), (outside, "home/down"), (outside, "elsewhere")):
        sent.send(publish(topic, "x"))
        for client in (sent, inside, outside):
            for got in client.take_all():
                stage.note(client.id, got)
    inside.disconnect()
    outside.disconnect()


@scenario("mount_point home/")
def mount_point_of_a_will(stage):
    watcher = stage.connect("watcher")
    watcher.subscribe("w", qos=1)
    stage.connect("c", will={"topic": "w", "payload": "bye", "qos": 1}).close()
    stage.note("inside", watcher.take())
    watcher.disconnect()


@scenario("listener 0 {DIR}/socket", "allow_anonymous true")
def unix_socket(stage):
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(10)
        sock.connect(str(stage.directory / "socket"))
        sock.sendall(connect("c") + PING + BYE)
        got = b""
        while True:
            data = sock.recv(100)
            if not data:
                break
            got += data
        stage.note(got)


@scenario("set_tcp_nodelay false")
def set_tcp_nodelay(stage):
    stage.connect("c").disconnect()


# --- the log --------------------------------------------------------------------------------------


@scenario("connection_messages false")
def connection_messages_false(stage):
    stage.connect("c").disconnect()
    stage.connect("d").close()
    stage.connect("d", keepalive=1).expect_closed(8)
    stage.refused(connect("", clean=False))
    stage.refused(connect("c", level=9, name="MQTT"))
    first = stage.connect("e")
    stage.connect("e").disconnect()
    first.expect_closed()


def traffic(stage):
    """A little of each, for looking at what is logged."""
    client = stage.connect("c", username="u")
    client.subscribe("a", qos=1)
    client.unsubscribe("b")
    client.send(publish("a", "x", 1, 1))
    stage.note(client.recv(), client.recv())
    client.disconnect()
    stage.refused(connect("", clean=False))


def log_types(name, *lines):
    def play(stage):
        traffic(stage)
    play.__name__ = name
    scenario(*lines, arguments=FILE)(play)


log_types("log_type_default")
log_types("log_type_error", "log_type error")
log_types("log_type_warning", "log_type warning")
log_types("log_type_notice", "log_type notice")
log_types("log_type_information", "log_type information")
log_types("log_type_debug", "log_type debug")
log_types("log_type_subscribe", "log_type subscribe")
log_types("log_type_unsubscribe", "log_type unsubscribe")
log_types("log_type_all", "log_type all")
log_types("log_type_none", "log_type none")
log_types("log_type_two", "log_type subscribe", "log_type unsubscribe")
log_types("log_type_none_and_more", "log_type none", "log_type notice")
log_types("log_type_all_and_more", "log_type all", "log_type error")
log_types("log_type_debug_and_none", "log_type debug", "log_type none")


@scenario("log_type error", arguments=(*FILE, "-v"))
def v_wins_over_log_type(stage):
    stage.connect("c").disconnect()


@scenario("log_timestamp false")
def log_timestamp_false(stage):
    stage.connect("c").disconnect()
    stage.stop()
    for line in stage.log.lines:
        stage.note(line)


@scenario("log_timestamp_format at <%d> of")
def log_timestamp_format(stage):
    stage.connect("c").disconnect()
    stage.stop()
    stage.stamp = re.compile("^" + time.strftime("at <%d> of: "))
    stage.note("stamped", all(stage.stamp.match(line) for line in stage.log.lines))


def has_stamps(stage):
    stage.note("stamped", all(line.split(": ")[0].isdigit() for line in stage.log.lines))


@scenario("log_dest stdout")
def log_dest_stdout(stage):
    stage.connect("c").disconnect()
    has_stamps(stage)


@scenario("log_dest stderr", "log_dest stdout")
def log_dest_both(stage):
    stage.connect("c").disconnect()


@scenario("log_dest none")
def log_dest_none(stage):
    stage.connect("c").disconnect()


@scenario("log_dest stderr", "log_dest none")
def log_dest_none_takes_back(stage):
    stage.connect("c").disconnect()


@scenario("log_dest none", "log_dest stderr")
def log_dest_after_none(stage):
    stage.connect("c").disconnect()


@scenario("log_dest file {DIR}/to.log")
def log_dest_file(stage):
    stage.connect("c").disconnect()
    stage.stop()
    stage.note_file("to.log")


@scenario("log_dest file {DIR}/to.log", "log_dest stderr")
def log_dest_file_and_stderr(stage):
    stage.connect("c").disconnect()
    stage.stop()
    stage.note_file("to.log")


def sent_until_ping(client):
    """All packets up to the next PINGRESP; what is published at QoS 2 goes out as far as its PUBREC is missing."""
    out = []
    while True:
        out.append(client.recv())
        if out[-1].kind == PINGRESP:
            return out


@scenario("log_dest topic", "log_type notice", "log_type information", "log_type error", "log_type subscribe")
def log_dest_topic(stage):
    watcher = stage.connect("watcher")
    watcher.send(subscribe(1, ("$SYS/broker/log/#", 2)))
    time.sleep(0.3)
    stage.connect("c").disconnect()
    time.sleep(0.3)
    watcher.send(PING)
    for got in sent_until_ping(watcher):
        if got.kind != PUBLISH:
            continue
        stamp, _, text = got.payload.decode().partition(": ")
        stage.note(got.topic, got.qos, got.retain, stamp.isdigit())
        stage.note(text)
    watcher.disconnect()


# --- operation ------------------------------------------------------------------------------------


@scenario("pid_file {DIR}/pid")
def pid_file(stage):
    text = (stage.directory / "pid").read_text(encoding="ascii")
    stage.note("the pid", text.replace(str(stage.process.pid), "PID").__repr__())
    stage.stop()
    stage.note("left", sorted(os.listdir(stage.directory)))


@scenario("pid_file {DIR}/no/pid", runs=False)
def pid_file_that_cannot_be_written(stage):
    pass


@scenario()
def reload(stage):
    client = stage.connect("c")
    stage.kill(signal.SIGHUP)
    stage.wait_log("Reloading config")
    client.quiet()
    client.disconnect()


@scenario()
def reload_of_a_limit(stage):
    client = stage.connect("c")
    stage.configure(*OPEN, "message_size_limit 3", "connection_messages false")
    stage.kill(signal.SIGHUP)
    stage.wait_log("Reloading config")
    client.quiet()
    client.publish("a", "four", qos=1)
    client.disconnect()


@scenario("log_dest file {DIR}/to.log")
def reload_opens_the_log_anew(stage):
    stage.connect("c").disconnect()
    stage.await_file("to.log", "Client c disconnected.\n")
    (stage.directory / "to.log").rename(stage.directory / "was.log")
    stage.kill(signal.SIGHUP)
    stage.await_file("to.log")
    stage.connect("d").disconnect()
    stage.stop()
    for name in ("was.log", "to.log"):
        stage.note("in", name)
        stage.note_file(name, without="Reloading config.")


@scenario()
def usr1_without_persistence(stage):
    stage.kill(signal.SIGUSR1)
    stage.connect("c").disconnect()


@scenario(shuffled="theirs publishes wills after its last line")
def wills_at_the_end(stage):
    watcher = stage.connect("watcher")
    watcher.subscribe("w/#")
    stage.connect("c", will={"topic": "w/c", "payload": "bye"})
    stage.stop()


@scenario(
    "include_dir {DIR}/conf.d", base=("listener {PORT} 127.0.0.1",),
    files={"conf.d/b.conf": "allow_anonymous true\n", "conf.d/A.conf": "allow_anonymous false\n",
           "conf.d/ignored.txt": "nonsense\n"},
)
def include_dir(stage):
    stage.connect("c").disconnect()


@scenario(
    "include_dir {DIR}/conf.d", base=(),
    files={"conf.d/1.conf": "listener {PORT} 127.0.0.1\nallow_anonymous true\n",
           "conf.d/2.conf": "listener {PORT2} 127.0.0.1\nmax_connections 1\n"},
)
def listeners_of_included_files(stage):
    stage.connect("one", port="PORT2")
    stage.refused(connect("two"), port="PORT2")
    stage.connect("three").disconnect()
    stage.connect("four").disconnect()
