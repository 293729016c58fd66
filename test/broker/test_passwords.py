"""User names and passwords: who comes in, what happens while a password is checked, and who has to wait."""

import os
import selectors
import signal
import time

import pytest
from broker_process import free_port, sanitized
from listener_tools import reload, reload_whole, v1
from login_storm import Storm, longest_turn
from mqtt_wire import BYE, CONNACK, PATIENCE, Client, connect, publish
from password_lines import argon2id, long_salt, pbkdf2, plain, sha512, write
from tls_wire import TlsClient, trusting

COSTLY = 250_000  # rounds: a tenth of a second or more


@pytest.fixture
def users(tmp_path):
    """Writes a password file, and says by which line of a configuration it is named."""

    def make(*lines, name="users"):
        return f"password_file {write(tmp_path / name, *lines)}"

    return make


def ask(broker, client_id="c", port=None, first=b"", patience=PATIENCE, **options):
    """The CONNACK's code. Once it is refused the connection is closed."""
    client = Client(port or broker.port, patience=patience)
    broker.clients.append(client)
    client.send(first + connect(client_id, **options))
    code = client.expect(CONNACK).code
    if code:
        client.expect_closed()
    client.close()
    return code


# --- who comes in ---

FORMS = [plain, sha512, pbkdf2, long_salt, argon2id]
OLD_FORMS = [sha512, pbkdf2]  # those that 2.0.11 reads


def check_form(broker, name):
    assert ask(broker, name, username="ann", password="appl€") == 0
    assert ask(broker, name, username="bob", password="banana") == 0
    for user, password in [("ann", "banana"), ("ann", "appl"), ("ann", "appl€ "), ("ann", ""), ("ann", None),
                           ("eve", "appl€"), ("eve", None), ("ANN", "appl€"), ("ann ", "appl€")]:
        assert ask(broker, name, username=user, password=password) == 5, (user, password)


@pytest.mark.ours
@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.__name__)
def test_each_form(brokers, users, name, form):
    lines = form("ann", "appl€"), form("bob", "banana")
    if None in lines:
        pytest.skip("no libargon2 here")
    check_form(brokers.start("allow_anonymous false", users(*lines)), name)


@pytest.mark.parametrize("form", OLD_FORMS, ids=lambda form: form.__name__)
def test_forms_that_all_brokers_read(brokers, users, name, form):
    check_form(brokers.start("allow_anonymous false", users(form("ann", "appl€"), form("bob", "banana"))), name)


@pytest.mark.ours
def test_forms_may_be_mixed(brokers, users, name):
    forms = [form for form in FORMS if form("x", "y")]
    broker = brokers.start("allow_anonymous false", users(*[form(form.__name__, "pässword") for form in forms]))
    for form in forms:
        assert ask(broker, name, username=form.__name__, password="pässword") == 0
        assert ask(broker, name, username=form.__name__, password="password") == 5


# What 2.0.11 answers: by allow_anonymous, and by whether there is a file, and users in it.
ANONYMOUS = [(None, None), ("", None), ("", "x"), ("", "")]
RIGHT = [("ann", "apple")]
WRONG = [("ann", "wrong"), ("ann", ""), ("ann", None), ("eve", "apple"), ("eve", None)]


@pytest.mark.parametrize("anonymous", [True, False], ids=["anonymous", "named"])
@pytest.mark.parametrize("file", ["none", "empty", "users"])
def test_who_comes_in(brokers, users, name, anonymous, file):
    lines = [f"allow_anonymous {str(anonymous).lower()}"]
    if file != "none":
        lines.append(users(*[pbkdf2("ann", "apple")] * (file == "users")))
    broker = brokers.start(*lines)
    for pairs, good in [(ANONYMOUS, anonymous), (RIGHT, file == "users" or (file == "none" and anonymous)),
                        (WRONG, file == "none" and anonymous)]:
        for user, password in pairs:
            code = ask(broker, name, username=user, password=password)
            assert code == (0 if good else 5), (user, password)


@pytest.mark.ours
def test_the_reason_is_one_line(brokers, users, name):
    line = users(pbkdf2("ann", "apple"))
    broker = brokers.start("allow_anonymous false", line)
    for user in "ann", "eve":
        ask(broker, name, username=user, password="wrong")
        broker.log.wait(rf"Client {name} \[127\.0\.0\.1:\d+\] disconnected: not authorised: wrong user name or "
                        rf"password \({line}, user '{user}'\)\.$")
    assert not broker.log.find("wrong\\b.*wrong|apple")  # no password is ever said


@pytest.mark.ours
def test_ids_from_names_and_their_prefix(brokers, users, name):
    broker = brokers.start("allow_anonymous false", "use_username_as_clientid true", "clientid_prefixes ab",
                           users(pbkdf2("abel", "x"), pbkdf2("cain", "x")))
    assert ask(broker, name, username="abel", password="x") == 0
    broker.log.wait(r"New client connected from 127\.0\.0\.1(:\d+)? as abel ")
    assert ask(broker, name, username="abel", password="y") == 5
    assert ask(broker, "abc", username="cain", password="x") == 2
    assert ask(broker, "abc") == 5


def start_with_listeners(brokers, *lines):
    """A broker with these lines alone; {} in them stands for its first port."""
    broker = brokers.start()
    tail = ["user root"] if os.geteuid() == 0 else []
    said = reload_whole(broker, *[line.format(broker.port) for line in lines], *tail)
    assert any(line.endswith("The configuration was reloaded.") for line in said), said
    return broker


@pytest.mark.ours
def test_each_listener_has_its_own_users(brokers, tmp_path, name):
    first = write(tmp_path / "first", pbkdf2("ann", "apple"), pbkdf2("both", "one"))
    second = write(tmp_path / "second", pbkdf2("bob", "banana"), pbkdf2("both", "two"))
    port = free_port()
    broker = start_with_listeners(
        brokers, "per_listener_settings true", "listener {} 127.0.0.1", "allow_anonymous true",
        f"password_file {first}", f"listener {port} 127.0.0.1", f"password_file {second}")
    for user, password, codes in [("ann", "apple", (0, 5)), ("bob", "banana", (5, 0)), ("both", "one", (0, 5)),
                                  ("both", "two", (5, 0)), (None, None, (0, 5))]:
        got = ask(broker, name, username=user, password=password), ask(broker, name, port, username=user, password=password)
        assert got == codes, user


@pytest.mark.ours
@pytest.mark.parametrize(
    "option, reason",
    [("use_identity_as_username", "no user name from a certificate or a pre-shared key"),
     ("use_subject_as_username", "no certificate to take the user name from")])
def test_where_names_are_to_be_proven_a_password_is_no_way_in(brokers, users, pki, name, option, reason):
    port = free_port()
    broker = brokers.start("allow_anonymous false", users(pbkdf2("ann", "apple")), f"listener {port} 127.0.0.1",
                           *pki.tls(), f"cafile {pki.ca.cert}", f"{option} true")
    client = TlsClient(port, trusting(pki.ca))
    client.send(connect(name, username="ann", password="apple"))
    client.expect(CONNACK, code=4)
    client.close()
    broker.log.wait(rf"Client {name} \[.*\] disconnected: not authorised: {reason} "
                    rf"\({option} true, user 'ann'\)\.$")


@pytest.mark.ours
@pytest.mark.parametrize("option, user", [("use_identity_as_username", "client"),
                                          ("use_subject_as_username", "CN=client,O=Tests")])
def test_a_proven_name_stands(brokers, users, pki, name, option, user):
    port = free_port()
    broker = brokers.start("allow_anonymous false", users(pbkdf2("ann", "apple")), f"listener {port} 127.0.0.1",
                           *pki.mutual(), f"{option} true")
    for options in {}, {"username": "ann", "password": "wrong"}:
        client = TlsClient(port, trusting(pki.ca, pki.client()))
        client.send(connect(name, **options))
        client.expect(CONNACK, code=0)
        broker.log.wait(rf"as {name} .*u'{user}'")
        client.close()


# --- while a password is checked ---


@pytest.fixture
def slow(brokers, users):
    """A broker whose user ann takes long to be let in."""
    return brokers.start("allow_anonymous false", users(pbkdf2("ann", "apple", COSTLY), pbkdf2("bob", "banana")))


ANN = {"username": "ann", "password": "apple"}
BOB = {"username": "bob", "password": "banana"}


def test_what_comes_behind_waits(slow, name):
    reader = slow.connect(name + "r", **BOB)
    reader.subscribe(name)
    client = slow.client()
    client.send(connect(name, **ANN), publish(name, "first"))
    client.send(publish(name, "second", qos=1, mid=7))
    client.expect(CONNACK, code=0)
    reader.take(name, "first")
    reader.take(name, "second")
    wrong = slow.client()
    wrong.send(connect(name + "w", username="ann", password="wrong"), publish(name, "never"))
    wrong.expect(CONNACK, code=5)
    wrong.expect_closed()
    reader.quiet()


def test_who_sends_and_leaves_is_heard(slow, name):
    """Without waiting for the answer: the standard allows it."""
    reader = slow.connect(name + "r", **BOB)
    reader.subscribe(name)
    client = slow.client()
    client.send(connect(name, **ANN), publish(name, "in passing"), BYE)
    client.close()
    reader.take(name, "in passing")


@pytest.mark.ours
def test_others_go_on_meanwhile(slow, name):
    """Not even those who log in wait for all who came before: there is a thread for it, and it goes on."""
    other = slow.connect(name, **BOB)
    waiting = [slow.client() for _ in range(5)]
    for index, client in enumerate(waiting):
        client.send(connect(f"{name}{index}", **ANN))
    since = len(slow.log.lines)
    for _ in range(200):
        other.ping()
    assert not slow.log.find(rf"as {name}4 ", since)  # the pings were no slower than five passwords
    for client in waiting:
        client.expect(CONNACK, code=0)


def thread_times(broker):
    """CPU seconds and nice value of each thread but the first."""
    found = []
    for task in os.listdir(f"/proc/{broker.pid}/task"):
        fields = open(f"/proc/{broker.pid}/task/{task}/stat", encoding="ascii").read().rsplit(")", 1)[1].split()
        if int(task) != broker.pid:
            found.append(((int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"), int(fields[16])))
    return found


def hashing(broker):
    return max(seconds for seconds, _ in thread_times(broker))


@pytest.mark.ours
def test_passwords_are_checked_by_a_thread_that_yields(slow):
    assert 5 in [nice for _, nice in thread_times(slow)]


@pytest.mark.ours
@pytest.mark.parametrize("leave", ["close", "reset"])
def test_nobody_works_for_those_who_are_gone(slow, name, leave):
    ask(slow, name, **ANN)
    one = hashing(slow)
    clients = [slow.client() for _ in range(40)]
    for index, client in enumerate(clients):
        client.send(connect(f"{name}{index}", **ANN))
    for client in clients:
        getattr(client, leave)()
    assert ask(slow, name, patience=4 * PATIENCE, **ANN) == 0  # behind them all, and who checks them yields
    assert hashing(slow) < 15 * one


def test_a_wrong_password_takes_nothing_over(slow, name):
    first = slow.connect(name, clean=False, **ANN)
    assert ask(slow, name, username="ann", password="wrong") == 5
    first.quiet()
    assert ask(slow, name, username="eve", password="wrong") == 5
    first.quiet()
    second = slow.client()
    second.send(connect(name, clean=False, **ANN))
    second.expect(CONNACK, code=0, session_present=True)
    first.expect_closed()


@pytest.mark.ours
def test_unknown_users_take_as_long(brokers, users, name):
    broker = brokers.start("allow_anonymous false", users(pbkdf2("ann", "apple", COSTLY)))

    def cost(user):
        before = hashing(broker)
        for _ in range(5):
            assert ask(broker, name, username=user, password="wrong") == 5
        return hashing(broker) - before

    known, unknown = cost("ann"), cost("eve")
    assert 0.5 < unknown / known < 2, (known, unknown)


@pytest.mark.ours
def test_the_broker_ends_while_many_wait(slow, name):
    other = slow.connect(name, **BOB)
    for index in range(100):
        slow.client().send(connect(f"{name}{index}", **ANN))
    for _ in range(100):
        other.ping()  # by then their packets have been read
    slow.process.send_signal(signal.SIGTERM)
    assert slow.process.wait(5 if not sanitized() else 30) == 0


@pytest.mark.ours
def test_a_storm_of_logins(brokers, users, name):
    broker = brokers.start("allow_anonymous false", users(pbkdf2("ann", "apple", COSTLY), pbkdf2("bob", "banana")),
                           verbose=False)
    storm = Storm(broker, 40, pair=BOB, crowd=ANN)
    storm.run()
    assert storm.answers == [0] * 40
    if not sanitized():
        assert longest_turn(broker) < 10


# --- other files ---


@pytest.mark.ours
def test_a_reload_throws_out_who_could_not_come_back(brokers, tmp_path, name):
    path = write(tmp_path / "users", *[pbkdf2(user, "x") for user in ("stays", "changes", "goes")])
    broker = brokers.start("allow_anonymous false", f"password_file {path}")
    clients = {user: broker.connect(name + user, username=user, password="x")
               for user in ("stays", "changes", "goes")}
    write(path, pbkdf2("new", "x"), pbkdf2("stays", "x"), pbkdf2("changes", "y"))
    reload(broker, "allow_anonymous false", f"password_file {path}")
    clients["stays"].quiet()
    for user in "changes", "goes":
        clients[user].expect_closed()
        broker.log.wait(rf"Client {name}{user} .*not authorised any more: .*\(password_file {path}, user '{user}'\)")
    assert ask(broker, name, username="new", password="x") == 0
    assert ask(broker, name, username="changes", password="y") == 0


# --- guessing ---


@pytest.fixture
def guarded(brokers, users):
    return brokers.start("allow_anonymous false", "enable_proxy_protocol true", "login_failure_limit 5",
                         users(pbkdf2("ann", "apple")))


def guess(broker, name, host="192.0.2.9", password="wrong"):
    return ask(broker, name, first=v1(host), username="ann", password=password)


@pytest.mark.ours
def test_guessing_is_slowed_down(guarded, name):
    for _ in range(5):
        assert guess(guarded, name) == 5
    guarded.log.wait(r"Logins from 192\.0\.2\.9 are slowed down: 5 failed \(login_failure_limit 5\)\.$")
    began = time.monotonic()
    for _ in range(2):
        assert guess(guarded, name) == 5
    assert guess(guarded, name, password="apple") == 0
    assert time.monotonic() - began > 2
    began = time.monotonic()
    assert guess(guarded, name, host="192.0.2.10", password="apple") == 0
    assert time.monotonic() - began < 1 or sanitized()
    assert len(guarded.log.wait_for(1, "slowed down")) == 1


@pytest.mark.ours
def test_many_guesses_at_once_are_turned_away(guarded, name):
    codes = []
    with selectors.DefaultSelector() as selector:
        for index in range(60):
            client = guarded.client()
            client.send(v1() + connect(f"{name}{index}", username="ann", password="wrong"))
            selector.register(client.sock, selectors.EVENT_READ, client)
        while codes.count(3) < 40:
            ready = selector.select(PATIENCE)
            assert ready, codes
            for key, _ in ready:
                codes.append(key.data.expect(CONNACK).code)
                selector.unregister(key.fileobj)
        waiting = len(selector.get_map())
    assert set(codes) == {3, 5} and 5 <= codes.count(5) < 12
    assert 5 <= waiting <= 15  # for the ten seconds to come
    guarded.log.wait(r"disconnected: too many failed logins from its address \(login_failure_limit 5, user 'ann'\)\.$")


@pytest.mark.ours
def test_this_machine_is_never_slowed_down(brokers, users, name):
    broker = brokers.start("allow_anonymous false", "login_failure_limit 2", users(pbkdf2("ann", "apple")))
    began = time.monotonic()
    for _ in range(20):
        assert ask(broker, name, username="ann", password="wrong") == 5
    assert time.monotonic() - began < 5 or sanitized()
    assert not broker.log.find("slowed down")
