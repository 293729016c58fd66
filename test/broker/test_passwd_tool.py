"""mosquitto_passwd: what it makes of a password file, how it asks, and that others can read the result.

Hashes are checked with Python's own hashlib, and by logging in at both makes of broker. Most tests take few
rounds, since it is not the hash that they are about.
"""

import base64
import fcntl
import hashlib
import os
import pty
import re
import resource
import select
import shutil
import signal
import stat
import subprocess
import termios
import time
from pathlib import Path

import pytest
from broker_process import ROOT, binary, can_unshare, environment, sanitized
from mqtt_wire import CONNACK, connect
from peer_broker import PEER, peer_is_there

PEER_TOOL = "/usr/bin/mosquitto_passwd"
LIMIT = 120
FEW = ("-I", "2")

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
needs_peer = pytest.mark.skipif(
    not peer_is_there() or not os.access(PEER_TOOL, os.X_OK), reason="needs the distribution's mosquitto"
)


def program():
    return str(Path(binary()).parent / "mosquitto_passwd")


def start(*arguments, **options):
    given = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options
    return subprocess.Popen([program(), *map(str, arguments)], env=environment(), **given)


def run(*arguments, data=None, **options):
    if data is not None:
        options["stdin"] = subprocess.PIPE
    process = start(*arguments, **options)
    out, err = process.communicate(data, LIMIT)
    return subprocess.CompletedProcess(arguments, process.returncode, out.decode(), err.decode())


def well(*arguments, **options):
    """It does what it should, without complaint; returns what it said."""
    done = run(*arguments, **options)
    assert (done.returncode, done.stderr) == (0, ""), done
    return done.stdout


def refused(*arguments, **options):
    """It does not; returns why, one line."""
    done = run(*arguments, **options)
    assert (done.returncode, done.stdout) == (1, ""), done
    assert done.stderr.count("\n") == 1, done.stderr
    return done.stderr


def matches(stored, password):
    """An opinion of our own on $6$ and $7$."""
    password = password.encode()
    _, kind, *rounds, salt, digest = stored.split("$")
    salt, digest = base64.b64decode(salt, validate=True), base64.b64decode(digest, validate=True)
    if kind == "7":
        return hashlib.pbkdf2_hmac("sha512", password, salt, int(rounds[0])) == digest
    assert (kind, rounds) == ("6", [])
    return hashlib.sha512(password + salt).digest() == digest


def entries(path):
    """The lines that are users."""
    lines = Path(path).read_text(encoding="utf-8").splitlines()
    return dict(line.split(":", 1) for line in lines if line and line[0] != "#")


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "pw"
    well("-c", *FEW, "-b", path, "ann", "one")
    return path


# --- one user -------------------------------------------------------------------------------------


def test_add_change_and_delete(file):
    assert well("-b", *FEW, file, "bob", "two") == "Adding password for user bob\n"
    assert well("-b", *FEW, file, "ann", "three") == "Updating password for user ann\n"
    users = entries(file)
    assert list(users) == ["ann", "bob"]
    assert matches(users["ann"], "three") and not matches(users["ann"], "one") and matches(users["bob"], "two")
    assert well("-D", file, "ann") == ""
    assert list(entries(file)) == ["bob"]


def test_two_users_with_one_password_do_not_look_alike(file):
    well("-b", *FEW, file, "bob", "one")
    users = entries(file)
    assert users["ann"].split("$")[3:] != users["bob"].split("$")[3:]
    assert users["ann"].split("$")[3] != users["bob"].split("$")[3]


def test_other_lines_stay_as_they_are(tmp_path):
    file = tmp_path / "pw"
    file.write_text("# who may come in\n\nann:$2y$kept\n  bob : x y \r\n# end\ncid:z")
    well("-b", *FEW, file, "dan", "4")
    well("-b", *FEW, file, "bob", "2")
    lines = file.read_text().split("\n")
    assert lines[:3] == ["# who may come in", "", "ann:$2y$kept"]
    assert lines[3].startswith("bob:$7$2$")
    assert lines[4:6] == ["# end", "cid:z"]
    assert lines[6].startswith("dan:$7$2$") and lines[7:] == [""]
    well("-D", file, "bob")
    well("-D", file, "dan")
    assert file.read_text() == "# who may come in\n\nann:$2y$kept\n# end\ncid:z\n"


def test_a_user_who_is_there_twice_is_there_once_afterwards(tmp_path):
    file = tmp_path / "pw"
    file.write_text("ann:1\nbob:2\nann:3\nbob:4\n")
    well("-b", *FEW, file, "ann", "5")
    assert re.fullmatch(r"ann:\$7\$2\$\S+\nbob:2\nbob:4\n", file.read_text())
    well("-D", file, "bob")
    assert list(entries(file)) == ["ann"]


def test_delete_one_who_is_not_there(file):
    before = file.read_bytes()
    inode = file.stat().st_ino
    assert refused("-D", file, "bob") == "Warning: User bob not found in password file.\n"
    assert (file.read_bytes(), file.stat().st_ino) == (before, inode)


def test_the_usual_hash(tmp_path):
    well("-cb", tmp_path / "pw", "ann", "one")
    stored = entries(tmp_path / "pw")["ann"]
    _, kind, rounds, salt, digest = stored.split("$")
    assert (kind, rounds, len(base64.b64decode(salt)), len(base64.b64decode(digest))) == ("7", "210000", 12, 64)
    assert matches(stored, "one")


def test_hashes_by_name(file):
    well("-H", "sha512", "-b", file, "old", "two")
    well("-H", "sha512-pbkdf2", "-I", "5", "-b", file, "new", "three")
    well("-H", "argon2id", "-b", file, "best", "four")
    users = entries(file)
    assert users["old"].startswith("$6$") and matches(users["old"], "two")
    assert users["new"].startswith("$7$5$") and matches(users["new"], "three")
    assert re.fullmatch(r"\$argon2id\$v=19\$m=47104,t=1,p=1\$[A-Za-z0-9+/]{86}\$[A-Za-z0-9+/]{86}", users["best"])


def test_a_line_instead_of_a_file(tmp_path):
    out = well("-c", *FEW, "-b", "-", "ann", "one", cwd=tmp_path)
    user, stored = out.rstrip("\n").split(":")
    assert user == "ann" and matches(stored, "one")
    assert list(tmp_path.iterdir()) == []


def test_options_in_one_word_and_a_password_with_a_dash(tmp_path):
    well("-cbI2", tmp_path / "pw", "-ann", "-b")
    assert matches(entries(tmp_path / "pw")["-ann"], "-b")


def test_long_names_and_passwords(file):
    name, password = "n" * 65535, "p" * 65535
    well("-b", *FEW, file, name, password)
    assert matches(entries(file)[name], password)
    assert "longer than 65535" in refused("-b", *FEW, file, name + "n", "x")
    assert "longer than 65535" in refused("-b", *FEW, file, "x", password + "p")


@pytest.mark.parametrize(("name", "why"), [
    ("", "is empty"),
    ("a:b", "has a ':'"),
    ("a\nb", "control characters"),
    ("a\x1b[2Jb", "control characters"),
    ("a\u0085b", "control characters"),
    (b"a\xff", "is not UTF-8"),
    ("#ann", "a comment"),
    (" ann", "blanks"),
    ("ann ", "blanks"),
])
@pytest.mark.parametrize("option", ["-b", "-D"])
def test_names_that_are_refused(file, name, why, option):
    before = file.read_bytes()
    words = [name] if option == "-D" else [name, "secret"]
    done = subprocess.run(
        [program(), option, file, *words], capture_output=True, env=environment(), timeout=LIMIT, check=False)
    assert done.returncode == 1 and why in done.stderr.decode() and b"secret" not in done.stderr
    assert b"\x1b" not in done.stderr and done.stderr.count(b"\n") == 1
    assert file.read_bytes() == before


# --- all users ------------------------------------------------------------------------------------


def test_hash_all_that_are_not_hashed(file):
    kept = entries(file)["ann"]
    with open(file, "a", encoding="utf-8") as more:
        more.write("# plain ones\nbob:two\n\n  cid : three four \r\ndan:a:b")
    said = well("-U", *FEW, file)
    assert said == "Passwords hashed: 3; hashed already: 1\n"
    lines = file.read_text().split("\n")
    assert lines[0] == f"ann:{kept}" and lines[1] == "# plain ones" and lines[3] == ""
    users = entries(file)
    assert list(users) == ["ann", "bob", "cid", "dan"]
    assert matches(users["bob"], "two") and matches(users["cid"], "three four") and matches(users["dan"], "a:b")
    inode = file.stat().st_ino
    assert well("-U", file) == "Passwords hashed: 0; hashed already: 4\n"
    assert file.stat().st_ino == inode


@pytest.mark.parametrize(("line", "why"), [
    ("cid", "there is no ':' in it"),
    ("cid:", "there is no password"),
    (":secret", "the user name is empty"),
    ("cid:$7$secret", "its number of rounds"),
    ("cid:$2y$secret", "this kind of hash is not known"),
])
def test_a_wrong_line_is_named_and_nothing_is_changed(tmp_path, line, why):
    file = tmp_path / "pw"
    text = f"ann:one\n\n{line}\nbob:two\n"
    file.write_text(text)
    said = refused("-U", *FEW, file)
    assert said.startswith(f"Error: {file}:3: {why}") and said.endswith("Nothing was changed.\n")
    assert "secret" not in said
    assert file.read_text() == text


def test_a_file_that_the_broker_would_not_take_gets_no_user(tmp_path):
    file = tmp_path / "pw"
    file.write_text("ann:one\nsecret\n")
    for words in (["-b", *FEW, file, "bob", "two"], ["-D", file, "ann"]):
        said = refused(*words)
        assert said.startswith(f"Error: {file}:2: there is no ':' in it") and "secret" not in said
    assert file.read_text() == "ann:one\nsecret\n"


def test_a_wrong_hash_is_mended_by_a_password(tmp_path):
    file = tmp_path / "pw"
    file.write_text("ann:$7$wrong\nbob:\n")
    well("-b", *FEW, file, "ann", "one")
    well("-b", *FEW, file, "bob", "two")
    assert matches(entries(file)["ann"], "one") and matches(entries(file)["bob"], "two")


# --- usage ----------------------------------------------------------------------------------------


def test_help_and_version():
    release = re.search(r'MOSQUITTO_VERSION "(.*)"', (ROOT / "src/server/version.h").read_text()).group(1)
    assert well("--version") == f"mosquitto_passwd version {release}\n"
    assert well("--help") == well("-h")
    assert well("-h").startswith("Usage: mosquitto_passwd ")
    done = run()
    assert (done.returncode, done.stdout, done.stderr) == (1, "", well("-h"))


def test_every_option_is_in_the_manual_page():
    page = (ROOT / "man/mosquitto_passwd.1").read_text(encoding="utf-8")
    for option in re.findall(r"^  (-\w)", well("-h"), re.MULTILINE):
        assert re.search(rf"^\.It Fl {option[1]}\b", page, re.MULTILINE), option
    assert re.search(r"^\.It .*Fl -version", page, re.MULTILINE)


@pytest.mark.parametrize(("words", "why"), [
    (["pw"], "FILE and USER are needed"),
    (["-U"], "-U needs FILE"),
    (["-U", "pw", "ann"], "too many"),
    (["-b", "pw", "ann"], "-b needs FILE, USER and PASSWORD"),
    (["-b", "pw", "ann", "secret", "more"], "too many"),
    (["pw", "ann", "secret"], "needs -b"),
    (["-c", "-D", "pw", "ann"], "-c and -D"),
    (["-b", "-D", "pw", "ann"], "-b and -D"),
    (["-U", "-c", "pw"], "-U goes with none"),
    (["-D", "-I", "5", "pw", "ann"], "no meaning with -D"),
    (["-H", "md5", "pw", "ann"], "Unknown hash type 'md5'; sha512-pbkdf2, argon2id or sha512"),
    (["-H", "sha512", "-I", "5", "pw", "ann"], "-I counts the rounds"),
    (["-I", "0", "pw", "ann"], "-I 0: a number of rounds from 1 to 10000000"),
    (["-I", "10000001", "pw", "ann"], "from 1 to 10000000"),
    (["-I", "5x", "pw", "ann"], "-I 5x:"),
    (["-I"], "-I needs a value"),
    (["-x", "pw", "ann"], "-x is no option"),
    (["--batch", "pw"], "--batch is no option"),
    (["-", "ann"], "FILE '-' is for -c"),
    (["", "ann"], "FILE is empty"),
    (["-b", "pw", "ann", ""], "Empty password"),
    (["-b", "none/pw", "ann", "secret"], "There is no password file none/pw; -c makes one"),
    (["-cb", "none/pw", "ann", "secret"], "none/pw: No such file or directory"),
    (["-b", ".", "ann", "secret"], ".: Is a directory"),
])
def test_wrong_usage_says_what_would_be_right(file, words, why):
    before = file.read_bytes()
    said = refused(*words, cwd=file.parent)
    assert said.startswith("Error: ") and why in said and "secret" not in said
    assert file.read_bytes() == before
    assert [path.name for path in file.parent.iterdir()] == ["pw"]


# --- the file -------------------------------------------------------------------------------------


def mode(path):
    return stat.S_IMODE(os.stat(path).st_mode)


def test_a_new_file_is_for_its_owner_alone(tmp_path):
    well("-c", *FEW, "-b", tmp_path / "pw", "ann", "one", umask=0)
    assert mode(tmp_path / "pw") == 0o600


def test_create_begins_anew_and_says_so(file):
    file.chmod(0o640)
    done = run("-c", *FEW, "-b", file, "bob", "two")
    assert (done.returncode, done.stdout) == (0, "Adding password for user bob\n")
    assert done.stderr == f"Warning: {file} was there already and has been overwritten.\n"
    assert list(entries(file)) == ["bob"] and mode(file) == 0o640


@pytest.mark.parametrize("words", [["-b", *FEW], ["-D"], ["-U", *FEW]])
def test_mode_and_owner_stay(file, words):
    with open(file, "a", encoding="utf-8") as more:
        more.write("plain:one\n")
    file.chmod(0o640)
    owner = (12345, 23456) if os.geteuid() == 0 else (os.getuid(), os.getgid())
    os.chown(file, *owner)
    well(*words, file, *{"-b": ["bob", "two"], "-D": ["ann"], "-U": []}[words[0]], umask=0o077)
    found = file.stat()
    assert (found.st_uid, found.st_gid, mode(file)) == (*owner, 0o640)
    assert [path.name for path in file.parent.iterdir()] == ["pw"]


@needs_root
def test_who_cannot_keep_the_group_opens_it_to_no_other(tmp_path):
    """A file of another owner and group, in a directory where anybody may write."""
    os.chmod(tmp_path, 0o777)
    for parent in list(tmp_path.parents)[:3]:
        if parent.stat().st_uid == 0 and str(parent) not in ("/", "/tmp"):
            parent.chmod(parent.stat().st_mode | 0o011)
    file = tmp_path / "pw"
    file.write_text("ann:one\n")
    os.chown(file, 12345, 23456)
    file.chmod(0o666)
    well("-D", file, "ann", user=65534, group=65534, extra_groups=[])
    found = file.stat()
    assert (found.st_uid, found.st_gid, mode(file)) == (65534, 65534, 0o606)


def test_a_symbolic_link_is_followed(file, tmp_path):
    (tmp_path / "else").mkdir()
    link = tmp_path / "else" / "link"
    link.symlink_to("../pw")
    well("-b", *FEW, link, "bob", "two")
    assert link.is_symlink() and list(entries(file)) == ["ann", "bob"]
    new = tmp_path / "else" / "dangling"
    new.symlink_to("../new")
    well("-c", *FEW, "-b", new, "cid", "three")
    assert new.is_symlink() and list(entries(tmp_path / "new")) == ["cid"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["else", "new", "pw"]


@pytest.mark.parametrize("words", [["-b", *FEW, "pw", "bob", "two"], ["-c", *FEW, "-b", "pw", "bob", "two"],
                                   ["-c", *FEW, "-b", "new", "bob", "two"]])
def test_when_nothing_can_be_written_nothing_has_changed(file, words):
    def no_room():
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    before = file.read_bytes()
    done = run(*words, cwd=file.parent, preexec_fn=no_room)
    assert done.returncode == 1 and f"Cannot write password file {words[-3]}: File too large" in done.stderr
    assert file.read_bytes() == before
    assert [path.name for path in file.parent.iterdir()] == ["pw"]


@pytest.mark.skipif(os.geteuid() != 0 or not can_unshare(), reason="needs root and mounts of its own")
def test_a_file_that_is_mounted_by_itself(file, tmp_path):
    """As containers have it: it cannot be renamed over, and is changed in place."""
    place = tmp_path / "mounted"
    place.touch()
    words = " ".join(["-b", *FEW, str(place), "bob", "two"])
    script = f"mount --bind '{file}' '{place}' && exec '{program()}' {words}"
    done = subprocess.run(["unshare", "-m", "--propagation", "private", "sh", "-c", script], capture_output=True,
                          text=True, env=environment(), timeout=LIMIT, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    users = entries(file)
    assert list(users) == ["ann", "bob"] and matches(users["bob"], "two") and matches(users["ann"], "one")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["mounted", "pw"]


# --- two at once ----------------------------------------------------------------------------------


def test_many_writers_lose_nothing(file):
    """Of 20 that add and 10 that delete, all at once, each finds what the others did."""
    for number in range(10):
        well("-b", *FEW, file, f"old{number}", "x")
    running = [start("-b", *FEW, file, f"user{n}", f"password{n}") for n in range(20)]
    running += [start("-D", file, f"old{n}") for n in range(10)]
    for process in running:
        out, err = process.communicate(timeout=LIMIT)
        assert process.returncode == 0, (out, err)
        assert err == b"" or err.startswith(b"Waiting for another program that changes "), err
    users = entries(file)
    assert sorted(users) == sorted(["ann"] + [f"user{n}" for n in range(20)])
    assert all(matches(users[f"user{n}"], f"password{n}") for n in range(20))


def read_until(stream, text, seconds=LIMIT):
    found = b""
    until = time.monotonic() + seconds
    while text not in found:
        assert select.select([stream], [], [], max(0, until - time.monotonic()))[0], (text, found)
        more = os.read(stream.fileno() if hasattr(stream, "fileno") else stream, 4096)
        assert more, (text, found)
        found += more
    return found


def test_who_waits_finds_the_file_that_was_put_in_its_place(file):
    with open(file, encoding="utf-8") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        process = start("-b", *FEW, file, "bob", "two")
        read_until(process.stderr, b"Waiting for another program")
        other = file.with_name("other")
        other.write_text(held.read() + "cid:three\n")
        other.rename(file)
    process.communicate(timeout=LIMIT)
    assert process.returncode == 0
    assert list(entries(file)) == ["ann", "cid", "bob"]


def test_nobody_is_kept_waiting_for_a_password(file):
    """While one is asked, another can change the file."""
    slow = start(*FEW, file, "bob", stdin=subprocess.PIPE)
    well("-b", *FEW, file, "cid", "three")
    slow.communicate(b"two\ntwo\n", LIMIT)
    assert slow.returncode == 0 and sorted(entries(file)) == ["ann", "bob", "cid"]


# --- asking ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("data", [b"two words\ntwo words\n", b"two words\r\ntwo words\r\n", b"two words\ntwo words"])
def test_passwords_from_a_pipe(file, data):
    assert well(*FEW, file, "bob", data=data) == "Adding password for user bob\n"
    assert matches(entries(file)["bob"], "two words")


@pytest.mark.parametrize(("data", "why"), [
    (b"secret1\nsecret2\n", "Passwords do not match"),
    (b"secret\nsecret \n", "Passwords do not match"),
    (b"\n\n", "Empty password"),
    (b"", "twice, on two lines"),
    (b"secret\n", "twice, on two lines"),
    (b"secret", "twice, on two lines"),
    (b"se\0cret\nse\0cret\n", "zero byte"),
    ((b"p" * 65536 + b"\n") * 2, "longer than 65535 bytes"),
], ids=lambda value: value if isinstance(value, str) else str(len(value)))
def test_passwords_that_are_refused(file, data, why):
    before = file.read_bytes()
    said = refused(*FEW, file, "bob", data=data)
    assert why in said and "secret" not in said
    assert file.read_bytes() == before


def test_nobody_is_asked_when_there_is_no_file(tmp_path):
    process = start(tmp_path / "pw", "ann", stdin=subprocess.PIPE)
    assert process.wait(LIMIT) == 1
    assert b"-c makes one" in process.communicate()[1]


class Terminal:
    """The program at a terminal of its own."""

    def __init__(self, *arguments):
        self.end, other = pty.openpty()
        self.before = termios.tcgetattr(self.end)
        self.process = subprocess.Popen(
            [program(), *map(str, arguments)], stdin=other, stdout=other, stderr=other, env=environment(),
            start_new_session=True, preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
        self.other = other
        self.seen = b""

    def wait(self, text):
        self.seen += read_until(self.end, text)

    def type(self, text):
        os.write(self.end, text)

    def echoes(self):
        return bool(termios.tcgetattr(self.end)[3] & termios.ECHO)

    def close(self):
        """Its exit code, and everything that was on the screen."""
        code = self.process.wait(LIMIT)
        os.close(self.other)
        try:
            while more := os.read(self.end, 4096):
                self.seen += more
        except OSError:
            pass
        os.close(self.end)
        return code, self.seen.decode()


@pytest.fixture
def terminal(file):
    opened = Terminal(*FEW, file, "bob")
    opened.file = file
    yield opened
    if opened.process.poll() is None:
        opened.process.kill()
        opened.process.wait()


def test_a_terminal_does_not_echo(terminal):
    terminal.wait(b"Password: ")
    assert not terminal.echoes()
    terminal.type(b"secret\n")
    terminal.wait(b"Reenter password: ")
    assert not terminal.echoes()
    terminal.type(b"secret\n")
    terminal.wait(b"Adding password for user bob")
    assert termios.tcgetattr(terminal.end) == terminal.before
    code, seen = terminal.close()
    assert code == 0
    assert seen == "Password: \r\nReenter password: \r\nAdding password for user bob\r\n"
    assert matches(entries(terminal.file)["bob"], "secret")


def test_what_was_typed_ahead_counts(terminal):
    terminal.wait(b"Password: ")
    terminal.type(b"secret\nsecret\n")
    assert terminal.close()[0] == 0
    assert matches(entries(terminal.file)["bob"], "secret")


@pytest.mark.parametrize("second", [False, True])
@pytest.mark.parametrize(("key", "number"), [(b"\x03", signal.SIGINT), (b"\x1c", signal.SIGQUIT), (None, signal.SIGTERM)])
def test_a_signal_finds_the_terminal_as_it_was(terminal, key, number, second):
    terminal.wait(b"Password: ")
    if second:
        terminal.type(b"secret\n")
        terminal.wait(b"Reenter password: ")
    before = terminal.file.read_bytes()
    terminal.type(b"secr")
    if key:
        terminal.type(key)
    else:
        terminal.process.send_signal(number)
    terminal.process.wait(LIMIT)
    assert termios.tcgetattr(terminal.end) == terminal.before
    code, seen = terminal.close()
    assert code == -number and "secr" not in seen
    assert terminal.file.read_bytes() == before


def test_it_is_not_stopped_without_echo(terminal):
    terminal.wait(b"Password: ")
    terminal.type(b"a\x1ab\n")
    terminal.wait(b"Reenter password: ")
    terminal.type(b"a\x1ab\n")
    assert terminal.close()[0] == 0
    assert matches(entries(terminal.file)["bob"], "a\x1ab")


def test_passwords_that_differ_at_a_terminal(terminal):
    terminal.wait(b"Password: ")
    terminal.type(b"secret1\n")
    terminal.wait(b"Reenter password: ")
    terminal.type(b"secret2\n")
    code, seen = terminal.close()
    assert code == 1 and "Error: Passwords do not match." in seen and "secret" not in seen


def test_the_list_of_processes_soon_has_no_password(tmp_path):
    process = start("-c", "-I", "10000000", "-b", tmp_path / "pw", "ann", "topsecret", stderr=subprocess.STDOUT)
    try:
        until = time.monotonic() + LIMIT
        while b"topsecret" in (line := Path(f"/proc/{process.pid}/cmdline").read_bytes()) or b"ann" not in line:
            assert process.poll() is None and time.monotonic() < until, line
            time.sleep(0.001)
        assert process.poll() is None
    finally:
        process.kill()
        out = process.communicate()[0]
    assert b"topsecret" not in out
    assert list(tmp_path.iterdir()) == []


# --- others ---------------------------------------------------------------------------------------


def knocks(broker, user, password):
    """The CONNACK's code."""
    client = broker.client()
    client.send(connect("", username=user, password=password))
    code = client.recv(60).code
    client.close()
    return code


def assert_lets_in(broker, users):
    """These and no others; each by his own password alone."""
    for user, password in users.items():
        assert knocks(broker, user, password) == 0, user
        assert knocks(broker, user, password + "x") == 5, user
        assert knocks(broker, user, "") == 5, user
    assert knocks(broker, "nobody", "one") == 5


def fill(tool, file, hashes):
    """A user for each kind of hash."""
    users = {}
    for number, kind in enumerate(hashes):
        user, password = f"user{number}", f"pässword {number}"
        create = [] if users else ["-c"]
        subprocess.run([tool, *create, "-H", kind, "-b", file, user, password], check=True, capture_output=True,
                       env=environment(), timeout=LIMIT)
        users[user] = password
    return users


def readable(file):
    file.chmod(0o644)
    return file


@needs_peer
def test_our_file_at_their_broker(brokers, tmp_path, monkeypatch):
    users = fill(program(), tmp_path / "pw", ["sha512-pbkdf2", "sha512"])
    monkeypatch.setenv("MOSQUITTO_BIN", PEER)
    assert_lets_in(brokers.start(f"password_file {readable(tmp_path / 'pw')}"), users)


@needs_peer
def test_their_file_at_our_broker(brokers, tmp_path):
    users = fill(PEER_TOOL, tmp_path / "pw", ["sha512-pbkdf2", "sha512"])
    assert_lets_in(brokers.start(f"password_file {tmp_path / 'pw'}"), users)


def test_our_file_at_our_broker(brokers, tmp_path):
    users = fill(program(), tmp_path / "pw", ["sha512-pbkdf2", "sha512", "argon2id"])
    with open(tmp_path / "pw", "a", encoding="utf-8") as more:
        more.write("# and one that is not hashed\nplain:as it is\n")
    broker = brokers.start(f"password_file {tmp_path / 'pw'}")
    broker.log.wait(r"Warning: \S+/pw: 1 password is not hashed; `mosquitto_passwd -U \S+/pw` would hash it\.")
    assert_lets_in(broker, users | {"plain": "as it is"})


@needs_peer
def test_files_that_both_have_changed(brokers, tmp_path, monkeypatch):
    """Theirs changed by ours, and then by theirs again; read by both."""
    file = tmp_path / "pw"
    users = fill(PEER_TOOL, file, ["sha512-pbkdf2", "sha512"])
    well("-b", *FEW, file, "ours", "one")
    subprocess.run([PEER_TOOL, "-b", file, "theirs", "two"], check=True, capture_output=True, timeout=LIMIT)
    well("-D", file, "user1")
    well("-b", *FEW, file, "theirs", "three")
    subprocess.run([PEER_TOOL, "-b", file, "ours", "four"], check=True, capture_output=True, timeout=LIMIT)
    del users["user1"]
    users |= {"ours": "four", "theirs": "three"}
    assert list(entries(file)) == ["user0", "ours", "theirs"]
    assert_lets_in(brokers.start(f"password_file {readable(file)}"), users)
    monkeypatch.setenv("MOSQUITTO_BIN", PEER)
    assert_lets_in(brokers.start(f"password_file {file}"), users)


@needs_peer
def test_a_plain_file_hashed_by_either_is_the_same_to_both(brokers, tmp_path, monkeypatch):
    text = "ann:one\nbob: two words \ncid:dr\u00fc\n"
    users = {"ann": "one", "bob": "two words", "cid": "dr\u00fc"}
    files = []
    for tool in (program(), PEER_TOOL):
        files.append(tmp_path / f"pw{len(files)}")
        files[-1].write_text(text, encoding="utf-8")
        subprocess.run([tool, "-U", files[-1]], check=True, capture_output=True, env=environment(), timeout=LIMIT)
    assert_lets_in(brokers.start(f"password_file {files[1]}"), users)
    monkeypatch.setenv("MOSQUITTO_BIN", PEER)
    assert_lets_in(brokers.start(f"password_file {readable(files[0])}"), users)


def test_the_example(brokers, tmp_path):
    """Its lines are comments; without the # they are users."""
    lines = (ROOT / "pwfile.example").read_text(encoding="utf-8").splitlines()
    assert all(line.startswith("#") for line in lines)
    users = [line[1:] for line in lines if re.match(r"#\w+:", line)]
    (tmp_path / "pw").write_text("\n".join(lines[:5] + users) + "\n")
    names = [user.split(":")[0] for user in users]
    assert len(names) == 4
    assert_lets_in(brokers.start(f"password_file {tmp_path / 'pw'}"), dict.fromkeys(names, "example"))


def test_a_wrong_file_is_no_start(tmp_path):
    file = tmp_path / "pw"
    file.write_text("ann:one\nsecret\nbob:$7$secret\n")
    config = tmp_path / "conf"
    config.write_text(f"listener 0 {tmp_path}/sock\npassword_file {file}\n")
    done = subprocess.run([binary(), "-c", config], capture_output=True, text=True, env=environment(), timeout=LIMIT,
                          check=False)
    assert done.returncode == 3
    out = done.stdout + done.stderr
    assert f"Error: {file}:2: there is no ':' in it" in out and f"Error: {file}:3: user 'bob': its number" in out
    assert "secret" not in out
