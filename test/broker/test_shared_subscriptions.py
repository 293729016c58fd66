"""$share/GROUP/FILTER: one member of the group gets each message, for MQTT 3.1 and 3.1.1 alike."""

import random

import pytest
from mqtt_wire import SUBACK, Closed, subscribe


def numbers(client):
    return [int(p.payload) for p in client.take_all()]


@pytest.mark.parametrize("qos", [0, 1, 2])
@pytest.mark.parametrize("level", [3, 4])
def test_each_message_goes_to_one_member(broker, name, qos, level):
    members = [broker.connect(level=level) for _ in range(3)]
    for member in members:
        member.subscribe(f"$share/group/{name}/+", qos=qos)
    outsider, writer = broker.connect(), broker.connect()
    outsider.subscribe(f"{name}/+", qos=0)
    for number in range(60):
        writer.publish(f"{name}/{number % 4}", str(number), qos=qos)
    shares = [numbers(member) for member in members]
    assert sorted(sum(shares, [])) == list(range(60))
    assert all(len(share) >= 10 for share in shares), [len(s) for s in shares]
    assert numbers(outsider) == list(range(60))


def test_groups_are_apart(broker, name):
    """The same filter in two groups, and another filter in a group of the same name."""
    places = [f"$share/one/{name}/a", f"$share/two/{name}/a", f"$share/one/{name}/#"]
    members = [broker.connect() for _ in places]
    for member, place in zip(members, places):
        member.subscribe(place)
    writer = broker.connect()
    for number in range(10):
        writer.publish(f"{name}/a", str(number))
    for member in members:
        assert numbers(member) == list(range(10))


def test_the_topic_has_no_prefix(broker, name):
    client = broker.connect()
    client.subscribe(f"$share/g/{name}")
    broker.connect().publish(name, "x")
    client.take(name, "x", retain=False)


@pytest.mark.parametrize("leave", ["unsubscribe", "disconnect", "close", "takeover"])
def test_who_leaves_gets_nothing_and_the_others_get_all(broker, name, leave):
    place = f"$share/g/{name}"
    staying, leaving = broker.connect(), broker.connect(name)
    staying.subscribe(place)
    leaving.subscribe(place)
    if leave == "unsubscribe":
        leaving.unsubscribe(place)
    elif leave == "takeover":
        broker.connect(name)
        leaving.expect_closed()
    else:
        getattr(leaving, leave)()
        broker.connect(name).quiet()
    writer = broker.connect()
    for number in range(10):
        writer.publish(name, str(number))
    assert numbers(staying) == list(range(10))
    if leave == "unsubscribe":
        leaving.quiet()


def test_subscribing_twice_counts_once(broker, name):
    one, two = broker.connect(), broker.connect()
    for _ in range(5):
        one.subscribe(f"$share/g/{name}")
    two.subscribe(f"$share/g/{name}")
    writer = broker.connect()
    for number in range(20):
        writer.publish(name, str(number))
    shares = numbers(one), numbers(two)
    assert sorted(shares[0] + shares[1]) == list(range(20))
    assert all(shares)


def test_plain_and_shared_unsubscribe_are_different_things(broker, name):
    client, writer = broker.connect(), broker.connect()
    client.subscribe(name, f"$share/g/{name}")
    client.unsubscribe(f"$share/other/{name}")
    client.unsubscribe(f"$share/g/{name}")
    writer.publish(name, "1")
    assert numbers(client) == [1]
    client.subscribe(f"$share/g/{name}")
    client.unsubscribe(name)
    writer.publish(name, "2")
    assert numbers(client) == [2]
    client.unsubscribe(f"$share/g/{name}")
    writer.publish(name, "3")
    client.quiet()


@pytest.mark.ours
@pytest.mark.parametrize(
    "text", ["$share//x", "$share/g/", "$share/+/x", "$share/g+/x", "$share/g#/x", "$share/#/x", "$share/g/a#"],
)
def test_malformed_shares_are_not_granted(broker, name, text):
    client = broker.connect()
    client.send(subscribe(1, (text, 0)))
    try:
        assert client.expect(SUBACK).codes == [0x80]
    except Closed:
        pass


def test_shared_subscriptions_last_in_a_session(broker, name):
    client = broker.connect(name, clean=False)
    client.subscribe(f"$share/g/{name}", qos=1)
    client.disconnect()
    client = broker.connect(name, clean=False)
    writer = broker.connect()
    for number in range(5):
        writer.publish(name, str(number), qos=1)
    assert numbers(client)[-5:] == list(range(5))


def test_dollar_topics_need_a_dollar_in_shared_filters_too(broker, name):
    client, writer = broker.connect(), broker.connect()
    client.subscribe(f"$share/{name}/+/{name}")
    writer.publish(f"$x/{name}", "no")
    writer.publish(f"x/{name}", "1")
    assert numbers(client) == [1]


@pytest.mark.parametrize("seed", range(3))
def test_random_mixture_of_plain_and_shared(broker, name, seed):
    """Subscribe, unsubscribe and leave in any order; then every group gets each message once."""
    rng = random.Random(seed)
    filters = [f"{name}/a", f"{name}/+", f"{name}/#"]
    places = filters + [f"$share/{g}/{f}" for g in ("g", "h") for f in filters]
    clients = {}
    held = {}
    for _ in range(400):
        number = rng.randrange(8)
        action = rng.random()
        if number not in clients:
            clients[number] = broker.connect(f"{name}-{number}")
            held[number] = set()
        elif action < 0.05:
            rng.choice([clients[number].close, clients[number].disconnect])()
            del clients[number], held[number]
        elif action < 0.6:
            place = rng.choice(places)
            clients[number].subscribe(place)
            held[number].add(place)
        else:
            place = rng.choice(places)
            clients[number].unsubscribe(place)
            held[number].discard(place)
    for number in set(range(8)) - set(clients):
        broker.connect(f"{name}-{number}").disconnect()
    broker.connect().publish(f"{name}/a", "1")
    got = {number: len(clients[number].take_all()) for number in clients}
    groups = {p for ps in held.values() for p in ps if p.startswith("$share")}
    plain = sum(any(not p.startswith("$share") for p in ps) for ps in held.values())
    assert plain <= sum(got.values()) <= plain + len(groups)
    for number, places_held in held.items():
        if not places_held:
            assert got[number] == 0
    if plain < len(clients) and groups:
        assert sum(got.values()) >= 1
