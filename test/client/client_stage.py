"""mosquitto_pub, _sub and _rr of either make against a broker of either make: what came of a case.

A case is a list of steps (client_cases.py). `Stage` has both brokers, each with the same doors: without rules, with
passwords and an ACL, with TLS of several kinds, a Unix socket; and beside them a SOCKS5 proxy and a port where nobody
listens.
`play` runs one case with the clients of one make and gives exit code, stdout and stderr of each command line, with
everything that differs by chance replaced by a word.
"""

import os
import re
import selectors
import shlex
import shutil
import signal
import socket
import struct
import subprocess
import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from broker_process import Log, binary, environment, free_port
from certificates import openssl

THEIR_BROKER = "/usr/sbin/mosquitto"
THEIR_CLIENTS = Path("/usr/bin")
PATIENCE = 20.0
HUNG = "did not end"
PASSWORDS = {"alice": "secret", "bob": "hidden"}
PSK = "1234abcd"

CONFIG = """\
per_listener_settings true
persistence false
user root
listener {PORT} 127.0.0.1
allow_anonymous true
listener {AUTH} 127.0.0.1
allow_anonymous false
password_file {DIR}/passwords
acl_file {DIR}/acl
listener {TLS} 127.0.0.1
allow_anonymous true
certfile {SERVER}
keyfile {SERVERKEY}
listener {MUTUAL} 127.0.0.1
allow_anonymous true
certfile {SERVER}
keyfile {SERVERKEY}
cafile {CA}
require_certificate true
listener {OTHER} 127.0.0.1
allow_anonymous true
certfile {ELSEWHERE}
keyfile {ELSEWHEREKEY}
listener {PSK} 127.0.0.1
allow_anonymous true
psk_hint hint
psk_file {DIR}/psks
listener 0 {DIR}/socket
allow_anonymous true
"""
DOORS = ("PORT", "AUTH", "TLS", "MUTUAL", "OTHER", "PSK")
ACL = "user alice\ntopic readwrite #\nuser bob\ntopic read +/open/#\n"


class Side:
    """One broker with all doors."""

    def __init__(self, program, directory, words):
        self.directory = directory
        directory.mkdir()
        self.words = {**words, "DIR": str(directory), **{door: str(free_port()) for door in DOORS}}
        (directory / "psks").write_text(f"someone:{PSK}\n")
        (directory / "acl").write_text(ACL)
        for number, (user, password) in enumerate(PASSWORDS.items()):
            subprocess.run([THEIR_CLIENTS / "mosquitto_passwd", *([] if number else ["-c"]), "-b",
                            directory / "passwords", user, password], check=True, capture_output=True)
        config = directory / "mosquitto.conf"
        config.write_text(fill(CONFIG, self.words))
        self.process = subprocess.Popen(
            [program, "-c", config, "-v"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE, env=environment(), cwd=directory)
        self.log = Log(self.process.stderr, directory / "log")
        self.log.wait(" running$|Opening unix listen socket")
        for door in DOORS:
            self.await_port(int(self.words[door]))

    def await_port(self, port):
        limit = time.monotonic() + PATIENCE
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 5).close()
                return
            except OSError:
                assert self.process.poll() is None and time.monotonic() < limit, "\n".join(self.log.lines)
                time.sleep(0.01)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(PATIENCE)
        self.log.thread.join(5)
        self.process.stderr.close()
        assert self.log.first_complaint is None, "\n".join(self.log.lines[-60:])


def fill(text, words):
    """The text with `{WORD}` replaced; other braces stay."""
    return re.sub(r"\{([A-Z0-9]+)\}", lambda match: words.get(match[1], match[0]), text)


class Socks:
    """A SOCKS5 proxy with and without a password, in a thread."""

    def __init__(self):
        self.sock = socket.create_server(("127.0.0.1", 0))
        self.port = self.sock.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                near = self.sock.accept()[0]
            except OSError:
                return
            threading.Thread(target=self.attend, args=(near,), daemon=True).start()

    def attend(self, near):
        try:
            with near:
                near.settimeout(PATIENCE)
                far = self.greet(near)
                if far:
                    with far:
                        self.carry(near, far)
        except (OSError, EOFError):
            pass  # whoever was connected sees the end

    def take(self, sock, count):
        data = b""
        while len(data) < count:
            more = sock.recv(count - len(data))
            if not more:
                raise EOFError
            data += more
        return data

    def greet(self, near):
        """The three exchanges of RFC 1928 and 1929; user `through`, password `wall`."""
        methods = self.take(near, self.take(near, 2)[1])
        near.sendall(b"\x05\x02" if 2 in methods else b"\x05\x00")
        if 2 in methods:
            user = self.take(near, self.take(near, 2)[1])
            password = self.take(near, self.take(near, 1)[0])
            good = (user, password) == (b"through", b"wall")
            near.sendall(b"\x01\x00" if good else b"\x01\x01")
            if not good:
                return None
        kind = self.take(near, 4)[3]
        if kind == 3:
            host = self.take(near, self.take(near, 1)[0]).decode()
        else:
            host = socket.inet_ntop(socket.AF_INET6 if kind == 4 else socket.AF_INET,
                                    self.take(near, 16 if kind == 4 else 4))
        port = struct.unpack("!H", self.take(near, 2))[0]
        try:
            far = socket.create_connection((host, port), 5)
        except OSError:
            near.sendall(b"\x05\x05\x00\x01" + bytes(6))
            return None
        near.sendall(b"\x05\x00\x00\x01" + bytes(6))
        return far

    @staticmethod
    def carry(near, far):
        with selectors.DefaultSelector() as both:
            both.register(near, selectors.EVENT_READ, far)
            both.register(far, selectors.EVENT_READ, near)
            while True:
                for key, _ in both.select():
                    data = key.fileobj.recv(1 << 16)
                    if not data:
                        return
                    key.data.sendall(data)


def ours_beside():
    """Where our programs are: beside our broker."""
    return Path(os.environ.get("CLIENTS_DIR") or Path(binary()).parent)


class Stage:
    """Two brokers and two makes of clients."""

    def __init__(self, directory, pki):
        self.directory = directory
        self.words = self.files(pki)
        self.socks = Socks()
        self.words |= {"SOCKS": str(self.socks.port), "DEAD": str(free_port()), "PUBLIC": str(directory)}
        self.clients = {"theirs": THEIR_CLIENTS, "ours": ours_beside()}
        programs = {"theirs": THEIR_BROKER, "ours": binary()}
        with ThreadPoolExecutor(2) as pool:
            made = pool.map(lambda make: Side(programs[make], directory / make, self.words), programs)
        self.sides = dict(zip(programs, made))

    def files(self, pki):
        hashed = self.directory / "capath"
        hashed.mkdir()
        shutil.copy(pki.ca.cert, hashed / "ca.pem")
        openssl("rehash", hashed)
        client, elsewhere = pki.client(), pki.ca.server(names="DNS:elsewhere.example")
        stranger = pki.stranger.issue("stranger")
        (self.directory / "not-a-certificate").write_text("nothing of the kind\n")
        (self.directory / "payload").write_bytes(b"from a file\n")
        (self.directory / "empty").touch()
        return {key: str(path) for key, path in {
            "CA": pki.ca.cert, "CAPATH": hashed, "WRONGCA": pki.stranger.cert, "CERT": client.cert, "KEY": client.key,
            "STRANGER": stranger.cert, "STRANGERKEY": stranger.key, "SERVER": pki.server.cert,
            "SERVERKEY": pki.server.key, "ELSEWHERE": elsewhere.cert, "ELSEWHEREKEY": elsewhere.key}.items()}

    def play(self, case, number, clients, broker):
        """What came of it, as a list of `Ended`.

        A case hangs once in some twenty thousand with Debian's programs; they are given a second chance then, and
        what they had said is told.
        """
        ended = Play(self, case, number, clients, broker).run()
        if clients == "theirs" and any(one.exit == HUNG for one in ended):
            warnings.warn(f"{case.name}, broker {broker}: {[vars(one) for one in ended]}")
            ended = Play(self, case, number, clients, broker, "again").run()
        return ended

    def stop(self):
        self.socks.sock.close()
        for side in self.sides.values():
            side.stop()


class Ended:
    """How one command line ended."""

    def __init__(self, line, code, out, err):
        self.line = line
        self.exit, self.out, self.err = str(code), out, err

    def __eq__(self, other):
        return vars(self) == vars(other)


CHANCE = [
    (re.compile(r"mosq(pub|sub|rr)\|\d+-[^ ,']*"), r"mosq\1|PID-HOST"),
    (re.compile(r"mosq-[A-Za-z0-9]{18}"), "mosq-RANDOM"),
    (re.compile(r"Client pre-\d+"), "Client pre-PID"),
    (re.compile(r'"tst":"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z[+-]\d{4}"'), '"tst":"TIME"'),
    (re.compile(r'"tst":\t"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z[+-]\d{4}"'), '"tst":\t"TIME"'),
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d{4}"), "ISO"),
    (re.compile(r"\b1\d{9}\.\d{9}\b"), "EPOCH.NANO"),
    (re.compile(r"\b1\d{9}\b"), "EPOCH"),
    # Some machines know localhost by one address, others by two.
    (re.compile(r" \(the last of 2 addresses, [^)]*\)"), ""),
]
BLANK = re.compile(r"\n\n+")


class Play:
    """One case with one make of clients at one broker."""

    def __init__(self, stage, case, number, clients, broker, again=""):
        self.stage, self.case = stage, case
        self.make, self.side = clients, stage.sides[broker]
        self.directory = stage.directory / f"{number}-{clients}-{broker}{again}"
        self.directory.mkdir()
        letter = clients[0].upper() if again else clients[0]
        self.words = {**self.side.words, "T": f"t{number:03}{letter}", "ID": f"i{number:03}{letter}",
                      "HOME": str(self.directory), "SOCKET": str(self.side.directory / "socket")}
        self.since = len(self.side.log.lines)
        self.running, self.ended = [], []

    # --- steps ---

    def run(self):
        """All steps; whatever still runs in the end must end by itself."""
        try:
            for name, text in self.case.files.items():
                path = self.directory / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(os.fsencode(fill(text, self.words)))
            for step in self.case.steps:
                step.act(self)
            self.join()
        finally:
            for _, process in self.running:
                process.kill()
                process.wait()
        return self.ended

    def start(self, step):
        program = self.stage.clients[self.make] / f"mosquitto_{step.program}"
        line = fill(step.line, self.words)
        arguments = [*step.before(self), *shlex.split(line)]
        home = {"HOME": str(self.directory), "TZ": "UTC", "LC_ALL": "C.UTF-8"}
        env = {**{k: v for k, v in environment().items() if k != "XDG_CONFIG_HOME"}, **home,
               **{key: fill(value, self.words) for key, value in step.env.items()}}
        since = len(self.side.log.lines)
        process = subprocess.Popen(
            [program, *arguments], env=env, cwd=self.directory, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL if step.stdin is None else subprocess.PIPE)
        process.reader = threading.Thread(target=self.read, args=(process, step), daemon=True)
        process.reader.start()
        self.running.append((step, process))
        return process, since

    def read(self, process, step):
        data = None if step.stdin is None else os.fsencode(step.stdin)
        process.said = process.communicate(data)

    def await_subscribed(self, process, since):
        """Until the broker has said so, or the program has ended."""
        limit = time.monotonic() + PATIENCE
        wanted = f"Sending SUBACK to {self.words['ID']}"
        log = self.side.log
        while process.poll() is None and time.monotonic() < limit:
            with log.changed:
                end = len(log.lines)
                if any(wanted in line for line in log.lines[since:end]):
                    return
                since = end
                log.changed.wait(0.02)

    def await_log(self, text):
        self.side.log.wait(re.escape(fill(text, self.words)), self.since)

    def await_end(self, process, limit=PATIENCE):
        process.reader.join(max(0.1, limit))
        if process.reader.is_alive():
            process.kill()
            process.reader.join()
            process.returncode = HUNG

    def join(self):
        """Until all that were started have ended."""
        limit = time.monotonic() + PATIENCE
        for step, process in self.running:
            self.await_end(process, limit - time.monotonic())
            out, err = (self.plain(part) for part in process.said)
            err = BLANK.sub("\n", err).lstrip("\n")  # how many blank lines there are has no meaning
            out = "".join(sorted(out.splitlines(keepends=True))) if step.sort else out
            self.ended.append(Ended(step.label, process.returncode, out, err))
        self.running.clear()

    # --- what came of it ---

    def plain(self, raw):
        text = raw.decode("utf-8", "backslashreplace")
        for word in ("T", "ID"):
            text = text.replace(self.words[word], word)
        for word in ("HOME", "SOCKET", "DIR", "PUBLIC", "CA", "WRONGCA", "CERT", "KEY", "STRANGERKEY", "STRANGER"):
            text = text.replace(self.words[word], word)
        for word in (*DOORS, "DEAD", "SOCKS"):
            text = re.sub(rf"(?<!\d){self.words[word]}(?!\d)", word, text)
        for pattern, word in CHANCE:
            text = pattern.sub(word, text)
        return text
