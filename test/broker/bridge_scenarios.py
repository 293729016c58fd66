"""What the differential test of bridges plays with both makes as the bridging side.

Each scenario says the bridge's lines, then what happens at the remote and at this side; the stage notes what
either of them sees.
"""

import signal

from bridge_stage import ACCEPTED, HOST, bridge
from mqtt_wire import PUBLISH, PUBREC, PUBREL, Closed, connect, puback, publish, pubrel
from peer_scenarios import FILE, OPEN

SCENARIOS = {}
STATE = f"$SYS/broker/connection/{HOST}.b/state"


class Scenario:
    """A function with its configuration."""

    def __init__(self, play, lines, remotes, files):
        self.play = play
        self.lines = lines
        self.remotes = remotes
        self.files = files

    def on(self, stage):
        """Play it on this stage; what came of it."""
        stage.configure(*self.lines)
        for name, text in self.files.items():
            stage.write(name, text)
        for remote in stage.remotes[: self.remotes]:
            remote.open()
        try:
            stage.start((*FILE, "-v"))
            self.play(stage)
        finally:
            stage.stop()
        return stage.outcome()


def scenario(*lines, head=(), also=(), remotes=1, whole=None, files=None):
    """Register one: lines of its bridge, general lines before, more sections behind; `whole` instead of all."""
    def register(play):
        text = whole or (*OPEN, *head, *bridge(*lines), *also)
        SCENARIOS[play.__name__] = Scenario(play, text, remotes, files or {})
        return play
    return register


# --- CONNECT ----------------------------------------------------------------------------------------


@scenario()
def defaults(stage):
    stage.up()
    stage.retained(STATE)


@scenario("remote_clientid far")
def remote_clientid(stage):
    stage.up()
    stage.retained("$SYS/broker/connection/far/state")


@scenario("clientid far")
def clientid(stage):
    stage.up()


@scenario("remote_username edge", "remote_password secret word")
def user_and_password(stage):
    stage.up()


@scenario("username edge", "password secret")
def user_and_password_by_their_old_names(stage):
    stage.up()


@scenario("username edge")
def user_without_password(stage):
    stage.up()


@scenario("keepalive_interval 17")
def keepalive(stage):
    stage.up()


@scenario("cleansession true")
def clean_session(stage):
    stage.up()


@scenario("bridge_protocol_version mqttv31")
def protocol_3_1(stage):
    stage.up()


@scenario("bridge_protocol_version mqttv311", "try_private false")
def not_private(stage):
    stage.up()


@scenario("bridge_protocol_version mqttv31", "try_private false")
def protocol_3_1_not_private(stage):
    stage.up()


@scenario()
def private_refused_with_a_code(stage):
    stage.accept(code=1)
    stage.up()


@scenario()
def private_refused_by_closing(stage):
    stage.accept(code=None).close()
    stage.up()


@scenario()
def private_refused_by_closing_once(stage):
    """A remote that was just going away when the bridge came is one that knows of bridges, the next time."""
    stage.accept(code=None).close()
    stage.up().close()
    stage.up()


@scenario()
def private_refused_once_is_not_tried_again(stage):
    stage.accept(code=1)
    stage.up().close()
    stage.up()


@scenario()
def refused_as_not_authorised(stage):
    stage.accept(code=5).until_closed()
    stage.up()


@scenario("bridge_bind_address 127.0.0.3")
def bind_address(stage):
    stage.note(stage.up().address[0])


# --- notifications ----------------------------------------------------------------------------------


@scenario("notifications false")
def no_notifications(stage):
    stage.up()
    stage.retained(STATE)


@scenario("notifications_local_only true")
def notifications_local_only(stage):
    stage.up()
    stage.retained(STATE)


@scenario("notification_topic state/of/bridge")
def notification_topic(stage):
    stage.up()
    stage.retained("state/of/bridge")


@scenario("notification_topic state/of/bridge", remotes=0)
def notifications_over_an_outage(stage):
    """Seen by somebody here: there, gone, there again."""
    stage.watch("state/#")
    stage.remotes[0].open()
    link = stage.up()
    stage.note_local()
    link.close()
    stage.note(repr(stage.watcher.take("state/of/bridge").payload))
    stage.up()
    stage.note_local()


@scenario("notification_topic state/of/bridge")
def clean_end(stage):
    link = stage.up()
    stage.kill(signal.SIGTERM)
    link.until_closed()
    stage.note_link(link)


# --- which way, and at which QoS ----------------------------------------------------------------------


def say_all(stage, *topics):
    """A message at each QoS to each topic."""
    for topic in topics:
        for qos in (0, 1, 2):
            stage.say(topic, f"{topic} {qos}", qos)


def tell_all(link, *topics):
    for topic in topics:
        for qos in (0, 1, 2):
            link.publish(topic, f"{topic} {qos}", qos)


def both_ways(stage, topics, outside=None):
    """Messages at all QoS to these topics here, then there; who sees what."""
    link = stage.up()
    say_all(stage, *topics)
    stage.settle(link)
    stage.note_link(link)
    stage.watch()
    tell_all(link, *(outside or topics))
    stage.settle(link)
    stage.note_link(link)
    stage.note_local()
    return link


@scenario("topic a/# out 0", "topic b/# out 1", "topic c/# out 2")
def out_at_each_qos(stage):
    both_ways(stage, ["a/x", "b/x", "c/x", "d/x"], ["zz/in/x"])


@scenario("topic a/# in 0", "topic b/# in 1", "topic c/# in 2")
def in_at_each_qos(stage):
    both_ways(stage, ["a/x", "b/x", "c/x"])


@scenario("topic a/# both 0", "topic b/# both 1", "topic c/# both 2")
def both_at_each_qos(stage):
    """And what came in does not go back."""
    both_ways(stage, ["a/x", "b/x", "c/x"])


@scenario("topic a/#")
def a_topic_without_direction(stage):
    both_ways(stage, ["a/x"], ["zz/in/x"])


@scenario("topic a/# out")
def a_topic_without_qos(stage):
    both_ways(stage, ["a/x"], ["zz/in/x"])


@scenario("topic # both 2")
def everything_both_ways(stage):
    """`#` does not mean what begins with `$`."""
    link = both_ways(stage, ["a", "a/b/c", "/"])
    stage.say("$own/x", "x", 1)
    stage.settle(link)
    stage.note_link(link)


@scenario("topic # out 2", "topic # in 2")
def everything_by_two_lines(stage):
    both_ways(stage, ["a", "a/b/c"])


@scenario("topic $own/# both 1")
def a_topic_with_a_dollar(stage):
    both_ways(stage, ["$own/x"])


# --- prefixes ---------------------------------------------------------------------------------------


@scenario("topic # out 1 here/ there/")
def prefixes_out(stage):
    both_ways(stage, ["here/x", "there/x", "here/here/x", "here"], ["zz/in/x"])


@scenario("topic # in 1 here/ there/")
def prefixes_in(stage):
    both_ways(stage, ["here/x"], ["there/x", "there/there/x", "there"])


@scenario("topic # both 1 here/ there/")
def prefixes_both(stage):
    both_ways(stage, ["here/x", "there/x"], ["there/x", "there/y/z"])


@scenario("topic x/# both 1 here/")
def only_a_local_prefix(stage):
    both_ways(stage, ["here/x/y", "x/y"], ["x/y"])


@scenario('topic x/# both 1 "" there/')
def only_a_remote_prefix(stage):
    both_ways(stage, ["there/x/y", "x/y"], ["there/x/y"])


@scenario('topic x/# both 1 here/ ""')
def an_empty_remote_prefix(stage):
    both_ways(stage, ["here/x/y", "x/y"], ["x/y"])


@scenario("topic x both 1 here there")
def prefixes_are_pasted_as_they_are(stage):
    both_ways(stage, ["herex", "here/x"], ["therex"])


@scenario('topic "" both 1 one/topic/here another/there')
def an_empty_pattern_maps_one_topic(stage):
    both_ways(stage, ["one/topic/here", "one/topic"], ["another/there"])


@scenario('topic "" out 1 one here', 'topic "" out 1 two there', 'topic "" in 1 three back')
def empty_patterns(stage):
    both_ways(stage, ["one", "two", "three"], ["back"])


@scenario("topic +/state/# both 1 here/ there/")
def a_plus_behind_prefixes(stage):
    both_ways(stage, ["here/x/state", "here/x/state/y", "here/state"], ["there/x/state", "there/é/state/y"])


@scenario("topic état/# both 1 ici/ là/")
def letters_beyond_ascii(stage):
    both_ways(stage, ["ici/état/x", "ici/etat/x"], ["là/état/日本"])


# --- more than one line for a topic --------------------------------------------------------------------


@scenario("topic a/# out 1", "topic a/+ out 1", "topic # out 1")
def overlapping_out(stage):
    both_ways(stage, ["a/x", "a/x/y", "b"], ["zz/in/x"])


@scenario("topic a/# in 1", "topic a/+ in 1")
def overlapping_in(stage):
    both_ways(stage, ["a/x"], ["a/x", "a/x/y"])


@scenario("topic a/# out 1", 'topic a/# out 1 "" far/')
def a_line_with_a_prefix_goes_first(stage):
    both_ways(stage, ["a/x"], ["zz/in/x"])


@scenario('topic a/# out 1 "" first/', 'topic a/+ out 1 "" second/')
def of_two_prefixes_the_first(stage):
    both_ways(stage, ["a/x", "a/x/y"], ["zz/in/x"])


@scenario("topic # in 1 first/ far/", "topic # in 1 second/ far/")
def of_two_local_prefixes_the_first(stage):
    both_ways(stage, ["x"], ["far/x"])


@scenario("topic # in 1 here/ far/", "topic far/# in 1")
def a_line_with_a_prefix_goes_first_inwards(stage):
    both_ways(stage, ["x"], ["far/x"])


@scenario("topic a/# in 1 here/ far/")
def what_no_line_maps_inwards(stage):
    both_ways(stage, ["x"], ["near/x", "far/b"])


@scenario("topic a/# out 0", "topic b/# out 1", head=["upgrade_outgoing_qos true"])
def upgrade_outgoing_qos(stage):
    both_ways(stage, ["a/x", "b/x"], ["zz/in/x"])


# --- retained messages --------------------------------------------------------------------------------


@scenario("topic a/# out 1")
def retained_out(stage):
    """The flag travels; what is there when the bridge comes, comes too; so does a deletion."""
    link = stage.up()
    stage.say("a/x", "kept", 1, retain=True)
    stage.say("a/x", "not kept", 1)
    stage.say("a/y", "kept", 1, retain=True)
    stage.say("a/y", "", 1, retain=True)
    stage.settle(link)
    stage.note_link(link)
    link.close()
    stage.up()


@scenario("topic a/# out 2 here/ there/", "topic b/# out 0 here/", "topic c/# out 2")
def retained_at_each_qos_when_it_comes(stage):
    link = stage.up()
    for topic in ("here/a/x", "here/b/x", "c/x"):
        stage.say(topic, topic, 1, retain=True)
    stage.settle(link)
    link.report()
    link.close()
    stage.up()


@scenario("topic a/# out 1", "bridge_outgoing_retain false")
def outgoing_retain_false(stage):
    link = stage.up()
    stage.say("a/x", "kept", 1, retain=True)
    stage.say("a/x", "not kept", 1)
    stage.settle(link)
    stage.note_link(link)
    link.close()
    stage.up()


@scenario("topic a/# in 1")
def retained_in(stage):
    link = stage.up()
    stage.watch()
    link.publish("a/x", "kept", retain=True)
    link.publish("a/y", "not kept")
    link.publish("a/z", "kept", retain=True)
    link.publish("a/z", "", retain=True)
    stage.settle(link)
    stage.note_local()
    stage.retained("#")


@scenario("topic a/# both 1")
def retained_in_does_not_go_back(stage):
    """Nor when the bridge comes again."""
    link = stage.up()
    link.publish("a/x", "kept", retain=True)
    stage.settle(link)
    stage.note_link(link)
    link.close()
    stage.up()


# --- subscribing at the remote --------------------------------------------------------------------------


@scenario("topic a/# out 1", "topic b/# in 1", "topic c/# both 2", "bridge_attempt_unsubscribe false")
def attempt_unsubscribe_false(stage):
    stage.up()


@scenario("topic a/# out 1", "topic b/# in 1", "topic c/# both 2")
def asked_for_again_at_each_connect(stage):
    stage.up().close()
    stage.up(present=True)


@scenario("topic b/# in 1", "topic c/# in 1")
def a_filter_that_is_refused(stage):
    """The others hold."""
    link = stage.accept(code=None)
    link.refused["b/#"] = 0x80
    link.send(ACCEPTED)
    stage.settle(link)
    stage.watch()
    link.publish("c/x", "x")
    stage.settle(link)
    stage.note_local()
    stage.note_link(link)


@scenario("topic b/# in 2")
def a_copy_at_qos_2(stage):
    """The same PUBLISH again before its release is the same message."""
    link = stage.up()
    stage.watch()
    link.hold.add(PUBREC)
    link.send(publish("b/x", "once", 2, 77), publish("b/x", "once", 2, 77, dup=True))
    link.serve(seconds=0.2)
    link.hold.clear()
    link.waiting.append(77)
    link.send(pubrel(77))
    assert link.serve(lambda: not link.waiting)
    stage.settle(link)
    stage.note_local()


# --- outages ------------------------------------------------------------------------------------------


def outage(stage, link):
    """The remote goes, and nobody answers at its port, until stage.remotes[0].open()."""
    since = len(stage.log.lines)
    stage.remotes[0].close()
    link.close()
    stage.log.wait(r"[Dd]isconnected|closed its connection|[Bb]ad socket|Socket error|next attempt", since)


def messages_of_an_outage(stage, qos=(0, 1, 2)):
    link = stage.up()
    outage(stage, link)
    for number in range(1, 4):
        for level in qos:
            stage.say("a/x", f"{number} at {level}", level)
    stage.remotes[0].open()
    return stage.up()


@scenario("topic a/# out 2")
def queued_over_an_outage(stage):
    messages_of_an_outage(stage, (1, 2))


@scenario("topic a/# out 2 here/ there/", "topic a/# out 2")
def queued_over_an_outage_with_qos_0(stage):
    messages_of_an_outage(stage)


@scenario("topic a/# out 2", head=["queue_qos0_messages true"])
def queued_over_an_outage_at_qos_0_too(stage):
    messages_of_an_outage(stage)


@scenario("topic a/# out 2", "cleansession true")
def a_clean_bridge_over_an_outage(stage):
    messages_of_an_outage(stage, (1, 2))


@scenario("topic a/# out 2", "cleansession true", "local_cleansession false")
def a_bridge_clean_only_there_over_an_outage(stage):
    messages_of_an_outage(stage, (1, 2))


@scenario("topic a/# out 2", "cleansession false", "local_cleansession true")
def a_bridge_clean_only_here_over_an_outage(stage):
    messages_of_an_outage(stage, (1, 2))


@scenario("topic a/# out 1", head=["max_queued_messages 5", "max_inflight_messages 3"])
def a_queue_that_is_full(stage):
    link = stage.up()
    outage(stage, link)
    for number in range(1, 16):
        stage.say("a/x", f"message {number}", 1)
    stage.remotes[0].open()
    stage.up()


@scenario("topic a/# out 1")
def before_the_first_connection(stage):
    """What is published before the bridge has ever been up."""
    link = stage.accept(code=None)
    stage.say("a/x", "one", 1)
    stage.say("a/x", "two", 1)
    link.send(ACCEPTED)
    stage.settle(link)
    stage.note_link(link)


@scenario("topic a/# out 2", head=["persistence true", "persistence_location {DIR}/"])
def queued_over_a_restart_of_this_side(stage):
    link = stage.up()
    outage(stage, link)
    for qos in (1, 2, 1):
        stage.say("a/x", f"at {qos}", qos)
    stage.restart()
    stage.remotes[0].open()
    stage.up()


@scenario("topic a/# in 1", head=["persistence true", "persistence_location {DIR}/"])
def what_came_in_is_delivered_after_a_restart(stage):
    away = stage.connect("away", clean=False)
    away.subscribe("#", qos=1)
    away.disconnect()
    link = stage.up()
    link.publish("a/x", "for somebody who is away")
    link.close()
    stage.restart()
    back = stage.connect("away", clean=False)
    for got in back.take_all():
        if not got.topic.startswith("zz/"):
            stage.note(got.topic, got.payload)


# --- what is sent again --------------------------------------------------------------------------------


def twice(stage, qos, hold):
    """Messages whose handshake stops at one place; then the next connection."""
    link = stage.up()
    link.hold = set(hold)
    for number in range(1, 4):
        stage.say("a/x", f"message {number}", qos)
    assert link.serve(lambda: link.saw("message 3")), link.seen
    link.serve(seconds=0.3)
    before = dict(link.mids)
    stage.note_link(link)
    link.close()
    link = stage.up(present=True)
    same = [name for name in before if name.startswith("message") and link.mids.get(name, before[name]) != before[name]]
    stage.note("packet ids that changed:", same)
    return link


@scenario("topic a/# out 1")
def again_at_qos_1(stage):
    twice(stage, 1, [PUBLISH])


@scenario("topic a/# out 2")
def again_at_qos_2_unreceived(stage):
    twice(stage, 2, [PUBLISH])


@scenario("topic a/# out 2")
def again_at_qos_2_received(stage):
    """The release is sent again, not the message."""
    twice(stage, 2, [PUBREL])


@scenario("topic a/# out 1")
def again_and_then_what_is_new(stage):
    """In the order of publishing."""
    link = stage.up()
    link.hold.add(PUBLISH)
    stage.say("a/x", "before 1", 1)
    stage.say("a/x", "before 2", 1)
    link.until("before 2")
    outage(stage, link)
    stage.say("a/x", "while away 1", 1)
    stage.say("a/x", "while away 2", 1)
    stage.remotes[0].open()
    stage.up()


@scenario("topic a/# out 1")
def packet_ids_go_on_over_connections(stage):
    link = stage.up()
    stage.say("a/x", "one", 1)
    stage.settle(link)
    first = link.mids["one"]
    link.close()
    link = stage.up(present=True)
    stage.say("a/x", "two", 1)
    stage.settle(link)
    stage.note("higher than before:", link.mids["two"] > first)


@scenario("topic a/# out 1", head=["max_inflight_messages 3"])
def a_window_of_three(stage):
    """So many are sent before the first is acknowledged."""
    link = stage.up()
    link.hold.add(PUBLISH)
    for number in range(1, 8):
        stage.say("a/x", f"message {number}", 1)
    link.until("message 3")
    link.serve(seconds=0.3)
    stage.note_link(link, "before")
    mids = [link.mids[f"message {number}"] for number in range(1, 4)]
    link.hold.clear()
    link.send(*(puback(mid) for mid in mids))
    stage.settle(link)
    stage.note_link(link, "after")


# --- when to connect ------------------------------------------------------------------------------------


@scenario("topic a/# out 1", "start_type once")
def start_type_once(stage):
    came = stage.comes()
    stage.note("comes:", came)
    if came:
        stage.up().close()
        stage.note("again:", stage.comes())


@scenario(whole=(*OPEN, "connection b", "address 127.0.0.1:{REMOTE}", "restart_timeout 1", "topic a/# out 1",
                 "start_type lazy", "threshold 3", "idle_timeout 2"))
def start_type_lazy(stage):
    """Comes when enough waits, goes when there is nothing to do."""
    stage.note("comes:", stage.comes())
    for number in range(1, 6):
        stage.say("a/x", f"message {number}", 1)
    link = stage.accept()
    assert link.serve(lambda: all(link.saw(f"message {number}") for number in range(1, 6)))
    link.serve(seconds=9)
    stage.note_link(link)


@scenario(remotes=2, whole=(
    *OPEN, *bridge("topic a/# out 1", address="127.0.0.1:{REMOTE} 127.0.0.1:{REMOTE2}")))
def the_second_address(stage):
    """Taken when the first is gone."""
    link = stage.up()
    stage.remotes[0].close()
    link.close()
    stage.up(remote=1)


@scenario(remotes=0, whole=(
    *OPEN, *bridge("topic a/# out 1", "round_robin true", address="127.0.0.1:{REMOTE} 127.0.0.1:{REMOTE2}")))
def round_robin(stage):
    stage.remotes[1].open()
    link = stage.up(remote=1)
    stage.remotes[0].open()
    stage.note("back to the first:", stage.comes())
    stage.remotes[1].close()
    link.close()
    stage.up(remote=0)


@scenario("topic a/# out 1", "bridge_max_packet_size 100")
def max_packet_size(stage):
    """What is larger does not go; the others do."""
    link = stage.up()
    for qos in (0, 1):
        stage.say("a/x", "small", qos)
        stage.say("a/x", "x" * 300, qos)
    stage.say("a/x", "small again", 1)
    stage.settle(link)
    stage.note_link(link)


@scenario("topic a/# both 2")
def a_large_message(stage):
    link = stage.up()
    stage.say("a/x", "x" * 300000, 2)
    stage.settle(link)
    stage.note_link(link)
    stage.watch()
    link.publish("a/x", "y" * 300000, 2)
    stage.note_local()


# --- bridges and others -----------------------------------------------------------------------------------


@scenario("topic a/# both 1", also=bridge("topic a/# both 1", name="c", address="127.0.0.1:{REMOTE2}"), remotes=2)
def from_one_remote_to_another(stage):
    """What one bridge brings the other takes on, but not back."""
    one, two = stage.up(), stage.accept(remote=1)
    two.serve(lambda: two.saw("/state "))
    stage.settle(one)
    two.serve(seconds=0.2)
    one.report(), two.report()
    one.publish("a/x", "from one")
    assert two.serve(lambda: two.saw("from one"))
    two.publish("a/y", "from two")
    assert one.serve(lambda: one.saw("from two"))
    stage.settle(one)
    two.serve(seconds=0.2)
    stage.note_link(one, "one")
    stage.note_link(two, "two")


@scenario("topic a/# both 1", "local_clientid it")
def a_client_with_the_bridges_id(stage):
    stage.up()
    client = stage.client()
    client.send(connect("it"))
    try:
        stage.note(client.recv())
    except Closed:
        stage.note("closed")


@scenario("topic a/# both 1", head=["acl_file {DIR}/acl"], files={"acl": "user nobody\n"})
def no_acl_for_a_bridge(stage):
    """The ACL file grants nothing to anybody."""
    link = stage.accept()
    link.until("/state ")
    link.publish("a/x", "kept", retain=True)
    stage.note_link(link)


@scenario("topic a/# both 1", "keepalive_interval 5")
def a_ping_when_there_is_nothing_else(stage):
    link = stage.up()
    link.until("PINGREQ", 12)
    link.serve(seconds=0.2)
    stage.note_link(link)


@scenario("topic a/# in 1")
def a_remote_that_breaks_the_rules(stage):
    """It is left, and tried again."""
    link = stage.up()
    link.send(b"\x00\x00")
    link.until_closed()
    stage.note_link(link)
    stage.up()


@scenario("topic a/# in 1")
def a_reset(stage):
    stage.up().reset()
    stage.up()
