"""Command lines of mosquitto_pub, _sub and _rr, played by test_client_differential.py with either make at either broker.

A case has steps. `pub` runs to its end; `sub` and `rr` run on once they have subscribed, until `JOIN` or the end of
the case; `usage` is for lines that never reach a broker, of which there are many in a case. In a line `{T}` is a topic
of the case's own, `{ID}` a client id, and other words are ports and files of client_stage.py. Address and id come first
in a line, unless the step says otherwise: `where` is the door, `bare` means that the line is all there is.

What ours does otherwise is listed in client_differences.py, to the letter; what -d prints at QoS 0, 1 and 2 is
here, as the lines of 1.5. `Theirs` says what varies by chance with Debian's.
"""

import signal
import time
from dataclasses import dataclass, field

CASES = []
HELP = "Use 'mosquitto_{} --help' to see usage.\n"


@dataclass(frozen=True)
class Step:
    """One command line; the options are those of Play.start."""

    program: str
    line: str
    stdin: str = None
    env: dict = field(default_factory=dict)
    where: str = "PORT"
    bare: bool = False
    background: bool = False
    sort: bool = False  # the order of messages has no meaning

    @property
    def label(self):
        """How differences name it; bytes that are no text are shown as `\\udcff`."""
        return f"{self.program} {self.line}".encode("utf-8", "backslashreplace").decode()

    def before(self, play):
        """Address and id, and for Debian's mosquitto_rr the version, which would be 5."""
        if self.bare:
            return []
        if self.where == "DEAD":
            return ["-p", play.words["DEAD"]]
        version = ["-V", "311"] if self.program == "rr" and "-V" not in self.line else []
        door = ["--unix", play.words["SOCKET"]] if self.where == "SOCKET" else [
            "-h", "localhost" if self.where in ("TLS", "MUTUAL", "OTHER", "PSK") else "127.0.0.1", "-p",
            play.words[self.where]]
        return [*door, "-i", play.words["ID"] + self.program[0], *version]

    def act(self, play):
        process, since = play.start(self)
        if self.background:
            play.await_subscribed(process, since)
        else:
            play.await_end(process)


def pub(line, stdin=None, **options):
    return Step("pub", line, stdin, **options)


def sub(line, **options):
    return Step("sub", line, background=True, **options)


def rr(line, **options):
    return Step("rr", line, background=True, **options)


class Join:
    def act(self, play):
        play.join()


class Kill:
    """Send a signal to the program that was started last."""

    def __init__(self, number):
        self.number = number

    def act(self, play):
        time.sleep(0.3)  # 2.0.11 forgets a signal that comes while it reads
        play.running[-1][1].send_signal(self.number)


class Await:
    """Until the broker has logged this."""

    def __init__(self, text):
        self.text = text

    def act(self, play):
        play.await_log(self.text)


JOIN = Join()


@dataclass(frozen=True)
class Ours:
    """What our program does otherwise than Debian's, at `stream`: "exit", "out" or "err"."""

    line: str
    stream: str
    text: str
    reason: str
    varies: bool = False  # then `text` is a regular expression that matches all of it


class OurBroker(Ours):
    """What any program sees otherwise at our broker than at Debian's."""


class Theirs(Ours):
    """What Debian's program does, where that varies: `text` is a regular expression."""


@dataclass
class Case:
    name: str
    steps: list
    files: dict
    differences: list
    online: bool = True


def case(name, *things, files=None, online=True):
    steps = [thing for thing in things if hasattr(thing, "act")]
    differences = [thing for thing in things if isinstance(thing, Ours)]
    CASES.append(Case(name, steps, files or {}, differences, online))


def usage(name, program, *things):
    """Lines that are wrong, or need no broker; should one be right after all, it finds nobody."""
    steps = [Step(program, thing, where="DEAD", bare="-L" in thing) if isinstance(thing, str) else thing
             for thing in things]
    case(name, *steps, online=False)


# --- command lines that are wrong -----------------------------------------------------------------

COMMON_WITH_ARGUMENT = (
    "-A -h -i -I -k -L -M -p -P -q -t -u -V --cafile --capath --cert --key --keyform --ciphers --tls-version --tls-alpn "
    "--tls-engine --tls-engine-kpass-sha1 --psk --psk-identity --proxy --will-topic --will-payload --will-qos --unix "
    "--host --id --id-prefix --keepalive --url --port --pw --qos --topic --username --protocol-version").split()

usage("an option of mosquitto_pub without its argument", "pub", *COMMON_WITH_ARGUMENT,
      "-f", "-m", "--file", "--message", "--repeat", "--repeat-delay")
usage("an option of mosquitto_sub without its argument", "sub", *COMMON_WITH_ARGUMENT,
      "-C", "-F", "-T", "-U", "-W", "--filter-out", "--unsubscribe", "--random-filter")
usage("an option of mosquitto_rr without its argument", "rr", *COMMON_WITH_ARGUMENT, "-e", "-F", "-f", "-m", "-W")
usage("what mosquitto_pub does not know", "pub", "--nonsense", "-Z", "word", "--", "-t a -m b surplus", "-C 1", "-N", "-v",
      "-R", "-T a", "-U a", "-E", "-W 1", "-F %p", "-e a", "--retained-only", "--remove-retained", "--random-filter 5",
      "--pretty", "-tm", "--topic=a")
usage("what mosquitto_sub does not know", "sub", "--nonsense", "-Z", "word", "-m a", "-f a", "-l", "-n", "-s", "-r",
      "--repeat 1", "--repeat-delay 1", "-e a", "--retain")
usage("what mosquitto_rr does not know", "rr", "--nonsense", "-Z", "word", "-l", "-C 1", "-E", "-U a", "-T a",
      "--retained-only", "--remove-retained", "--random-filter 5", "--repeat 1")
usage("something is missing for mosquitto_pub", "pub", "", "-t a", "-m a", "-l", "-n", "-s")
usage("something is missing for mosquitto_sub", "sub", "", "-v", "-q 1")
usage("something is missing for mosquitto_rr", "rr", "", "-t a", "-t a -e b", "-t a -m b", "-e a -m b")
usage("more than one message", "pub", "-t a -m b -n", "-t a -m b -l", "-t a -l -s", "-t a -f x -m y", "-t a -n -s",
      "-t a -n -l", "-t a -s -f x", "-t a -m b -m c")
usage("more than one message of mosquitto_rr", "rr", "-t a -e b -m c -n", "-t a -e b -s -n", "-t a -e b -f x -m y")
usage("a port that is none", "pub", "-t a -m b -p -1", "-t a -m b -p 0", "-t a -m b -p 65536", "-t a -m b -p 700000")
usage("a QoS that is none", "pub", "-t a -m b -q 3", "-t a -m b -q -1", "-t a -m b -q 10",
      "-t a -m b --will-topic w --will-qos 3", "-t a -m b --will-topic w --will-qos -1")
usage("a QoS that is none, for mosquitto_sub", "sub", "-t a -q 3", "-t a -q -1")
usage("a keepalive that is none", "pub", "-t a -m b -k 4", "-t a -m b -k -1", "-t a -m b -k 65536", "-t a -m b -k 0",
      "-t a -m b -k never")
usage("a protocol that is none", "pub", "-t a -m b -V 4", "-t a -m b -V mqttv4", "-t a -m b -V", "-t a -m b -V MQTTV311")
usage("a window that is none", "pub", "-t a -m b -M 0", "-t a -m b -M -1")
usage("topics nobody may publish to", "pub", "-t a/# -m b", "-t + -m b", "-t a+b -m b", "-t a/+/b -m c", "-t # -m b",
      "-t '' -m b", "-t a\udcffb -m c", "-t a\udced\udca0\udc80 -m c")
usage("filters that are none", "sub", "-t a#", "-t a/#/b", "-t a+", "-t ++", "-t ''", "-t a\udcffb", "-t a -t b#", "-t #/",
      "-T a#", "-t a -T b#", "-t a -T ''", "-t a -U b#", "-t a -U ''", "-U a+")
usage("topics of mosquitto_rr that are none", "rr", "-t a/# -e b -m c", "-t a -e b# -m c", "-t '' -e b -m c",
     "-t a -e '' -m c",
      "-t a\udcff -e b -m c")
usage("wills that are none", "pub", "-t a -m b --will-topic w/#", "-t a -m b --will-topic +", "-t a -m b --will-payload p",
      "-t a -m b --will-retain", "-t a -m b --will-qos 1", "-t a -m b --will-topic ''", "-t a -m b --will-topic w\udcff")
usage("counts and seconds that are none", "sub", "-t a -C 0", "-t a -C -1", "-t a -W 0", "-t a -W -1", "-t a -C x",
     "-t a -W x",
      "-t a --random-filter 0", "-t a --random-filter 101", "-t a --random-filter x", "-t a --random-filter -5")
usage("repetitions that are none", "pub", "-t a -m b --repeat 0", "-t a -m b --repeat -1", "-t a -m b --repeat x",
      "-t a -m b --repeat 2 --repeat-delay -1", "-t a -m b --repeat 2 --repeat-delay x")
usage("formats that are none", "sub", "-t a -F %", "-t a -F %z", "-t a -F a\\\\", "-t a -F '\\q'", "-t a -F @", "-t a -F %5",
      "-t a -F ''")
usage("formats and -N, -v", "sub", "-t a -F %p -v -N -W x")
usage("proxies that are none", "pub", "-t a -m b --proxy http://h", "-t a -m b --proxy socks5h://", "-t a -m b --proxy x",
      "-t a -m b --proxy socks5h://user@", "-t a -m b --proxy socks5h://127.0.0.1:port",
      "-t a -m b --proxy socks5h://127.0.0.1:99999",
      "-t a -m b --proxy socks5h://127.0.0.1:0", "-t a -m b --proxy socks5h://a:b:c@127.0.0.1:{DEAD}")
usage("URLs that are none", "pub", "-L http://127.0.0.1:{DEAD}/t -m b", "-L mqtt:// -m b",
     "-L mqtt://127.0.0.1:{DEAD} -m b", "-L mqtt://127.0.0.1:{DEAD}/ -m b", "-L 127.0.0.1:{DEAD}/t -m b",
      "-L '' -m b", "-L mqtt:/h/t -m b", "-L mqtt://u@127.0.0.1:{DEAD} -m b")
usage("URLs that are none, for mosquitto_sub", "sub", "-L http://127.0.0.1:{DEAD}/t", "-L mqtt://",
     "-L mqtt://127.0.0.1:{DEAD}", "-L mqtt://127.0.0.1:{DEAD}/",
      "-L mqtt://127.0.0.1:{DEAD}/a#", "-L mqtt://127.0.0.1:{DEAD}/a -t b#")
usage("ids and names that do not go together", "pub", "-c -t a -m b", "-t a -m b -i x -I y", "-t a -m b -I y -i x")
usage("ids of mosquitto_sub", "sub", "-t a -c", "-t a -i x -I y", "-c -i '' -t a")
usage("TLS options that do not go together", "pub", "-t a -m b --cert x", "-t a -m b --key x",
     "-t a -m b --cafile x --cert y",
      "-t a -m b --cafile x --key y", "-t a -m b --psk 12", "-t a -m b --psk-identity x",
      "-t a -m b --psk 12 --psk-identity x --cafile y", "-t a -m b --keyform pem", "-t a -m b --keyform pem --key x",
      "-t a -m b --tls-engine-kpass-sha1 12", "-t a -m b --cafile x --tls-engine-kpass-sha1 12")
usage("options of MQTT 5", "pub", "-t a -m b -V mqttv5", "-t a -m b -V 5", "-t a -m b -V 5 -D publish topic-alias 1",
      "-t a -m b -D publish", "-t a -m b -x 10", "-t a -m b -x", "-D publish user-property a")
usage("options of MQTT 5 for mosquitto_sub", "sub", "-t a -V mqttv5", "-t a -x 10", "-t a -D subscribe user-property a b",
      "-t a --retain-as-published", "-t a --retain-handling new")
usage("options of MQTT 5 for mosquitto_rr", "rr", "-t a -e b -m c -V 5 -D publish content-type x", "-t a -e b -m c -x 10")
usage("which version of mosquitto_pub", "pub", "--version")
usage("which version of mosquitto_sub", "sub", "--version")
usage("which version of mosquitto_rr", "rr", "--version")
usage("files that cannot be sent", "pub", "-t a -f {PUBLIC}/absent", "-t a -f {PUBLIC}", "-t a -f ''")
usage("WebSocket", "pub", "-t a -m b --ws", "-L ws://127.0.0.1:{DEAD}/t -m b", "-L wss://127.0.0.1:{DEAD}/t -m b")


# --- messages from one to the other ---------------------------------------------------------------

for qos in (0, 1, 2):
    case(f"a message at QoS {qos}", sub(f"-t {{T}} -q {qos} -C 1"), pub(f"-t {{T}} -m hello -q {qos}"))
case("long options of both", sub("--topic {T} --qos 1 -C 1 --verbose --keepalive 30 --disable-clean-session"),
     pub("--topic {T} --message hello --qos 1 --retain --keepalive 30"))
case("long options of mosquitto_pub", sub("-t {T} -C 1 -q 1 -F '%q %p'"),
     pub("--host 127.0.0.1 --port {PORT} --id {ID}p --topic {T} --message hello --qos 1 --protocol-version mqttv311 "
         "--username u --pw p --keepalive 20 --disable-clean-session --nodelay --quiet", bare=True))
case("long options of mosquitto_sub",
     sub("--host 127.0.0.1 --port {PORT} --id {ID}s --topic {T} --qos 1 --protocol-version 31 --username u "
                                          "--unsubscribe {T}/x --filter-out {T}/y -C 1 --verbose", bare=True),
     pub("-t {T} -m hello -q 1"))
case("-v, and payloads of all kinds", sub("-t {T}/# -v -C 5"), pub("-t {T}/text -m 'two words'"), pub("-t {T}/empty -n"),
     pub("-t {T}/file -f {PUBLIC}/payload"), pub("-t {T}/stdin -s", "a\nb\0c\n"), pub("-t {T}/raw -s", "\udcff\0\x01"))
case("-v -N", sub("-t {T}/# -v -N -C 2"), pub("-t {T}/a -m one"), pub("-t {T}/a -n"))
case("without -v", sub("-t {T}/# -C 3"), pub("-t {T}/a -m one"), pub("-t {T}/b -n"), pub("-t {T}/b -m two"))
case("-N", sub("-t {T}/# -N -C 2"), pub("-t {T}/a -m one"), pub("-t {T}/b -m two"))
case("lines", sub("-t {T} -C 4"), pub("-t {T} -l", "one\n\nthree\nno end"))
case("lines at QoS 1", sub("-t {T} -C 3 -q 1"), pub("-t {T} -l -q 1 -i {ID}l", "one\ntwo\nthree\n"))
case("lines at QoS 2", sub("-t {T} -C 3 -q 2"), pub("-t {T} -l -q 2", "one\r\ntwo\nthree\n"))
case("lines, but none", pub("-t {T} -l", ""), pub("-t {T} -l -q 1", ""))
case("lines that have zeros in them", sub("-t {T} -W 3 -F %x"), pub("-t {T} -l", "one\0two\nthree\n"))
case("a line of 100,000 characters", sub("-t {T} -C 1 -F %l"), pub("-t {T} -l", "x" * 100_000 + "\n"))
case("many lines", sub("-t {T} -C 300 -q 1"), pub("-t {T} -l -q 1", "".join(f"{n}\n" for n in range(300))))
case("many lines at QoS 2 with a window", sub("-t {T} -C 500 -q 2"),
     pub("-t {T} -l -q 2 -M 3", "".join(f"{n}\n" for n in range(500))))
case("an empty file, an empty stdin", sub("-t {T} -C 2 -F '[%p]'"), pub("-t {T} -f {PUBLIC}/empty"), pub("-t {T} -s", ""),
     pub("-t {T} -m ''"), pub("-t {T} -n"))
case("a payload of 300,000 bytes", sub("-t {T} -C 1 -F %l"), pub("-t {T} -s", "x" * 300_000))
case("-f of the long form", sub("-t {T} -C 2 -v"), pub("-t {T} --file {PUBLIC}/payload"), pub("-t {T} --null-message"))
case("--stdin-line and --stdin-file", sub("-t {T} -C 3"), pub("-t {T} --stdin-line", "a\nb\n"),
     pub("-t {T} --stdin-file", "c"))
for qos in (0, 1, 2):
    case(f"--repeat at QoS {qos}", sub(f"-t {{T}} -C 3 -q {qos}"), pub(f"-t {{T}} -m again -q {qos} --repeat 3"))
case("--repeat with a delay", sub("-t {T} -C 3"), pub("-t {T} -m again --repeat 3 --repeat-delay 0.1"))
case("--repeat of a file and of an empty message", sub("-t {T} -C 4 -F '%l'"), pub("-t {T} -f {PUBLIC}/payload --repeat 2"),
     pub("-t {T} -n --repeat 2"))
case("--repeat has nothing to do with lines", sub("-t {T} -C 2"), pub("-t {T} -l --repeat 3", "a\nb\n"))
case("several filters", sub("-t {T}/a -t {T}/b/+ -t {T}/c/# -C 4 -v"), pub("-t {T}/a -m 1"), pub("-t {T}/b -m 2"),
     pub("-t {T}/b/x -m 3"), pub("-t {T}/c -m 4"), pub("-t {T}/c/x/y -m 5"))
case("overlapping filters", sub("-t {T}/# -t {T}/a -C 2 -v -q 1"), pub("-t {T}/a -m 1 -q 1"), pub("-t {T}/b -m 2 -q 1"))
case("-T hides", sub("-t {T}/# -T {T}/b -T {T}/c/+ -C 2 -v"), pub("-t {T}/b -m 1"), pub("-t {T}/a -m 2"),
     pub("-t {T}/c/x -m 3"),
     pub("-t {T}/d -m 4"))
case("--filter-out", sub("-t {T}/# --filter-out {T}/b -C 1 -v"), pub("-t {T}/b -m 1"), pub("-t {T}/a -m 2"))
case("-U", sub("-t {T}/a -t {T}/b -U {T}/b -C 2 -v -W 10"), pub("-t {T}/a -m 1"), pub("-t {T}/a -m 3"))
case("-U of a stored session", sub("-t {T}/a -t {T}/b -c -E -q 1"), JOIN, sub("-t {T}/a -U {T}/b -c -E -q 1"), JOIN,
     pub("-t {T}/a -m 1 -q 1"), pub("-t {T}/b -m 2 -q 1"), sub("-t {T}/a -c -W 1 -v -q 1"))
case("-U alone", sub("-t {T}/a -c -E -q 1"), JOIN, sub("-U {T}/a -c -E"), JOIN, pub("-t {T}/a -m 1 -q 1"),
     sub("-t {T}/b -c -W 1 -v -q 1"))
case("-E", sub("-t {T}/a -t {T}/b -E"))
case("-E and -C", sub("-t {T} -E -C 1"))
case("-W", sub("-t {T} -W 1"))
case("-W with messages", sub("-t {T} -W 3 -v"), pub("-t {T} -m 1"), pub("-t {T} -m 2"))
case("-W and -C that is reached", sub("-t {T} -W 10 -C 1"), pub("-t {T} -m 1"))
case("-W and -C that is not reached", sub("-t {T} -W 2 -C 2"), pub("-t {T} -m 1"))
case("a stored session", sub("-t {T} -c -E -q 2"), JOIN, pub("-t {T} -m zero"), pub("-t {T} -m one -q 1"),
     pub("-t {T} -m two -q 2"),
     sub("-t {T} -c -C 2 -q 2 -F '%q %p'"))
case("a publisher's stored session", pub("-t {T} -m a -q 1 -c"), pub("-t {T} -m a -q 2 -c"), pub("-t {T} -m a -q 2"))
case("the lower of two QoS", sub("-t {T} -q 1 -C 3 -F '%q %p'"), pub("-t {T} -m a -q 2"), pub("-t {T} -m b -q 1"),
     pub("-t {T} -m c"))
case("MQTT 3.1", sub("-t {T} -q 1 -C 3 -V mqttv31"), pub("-t {T} -m a -q 1 -V mqttv31"), pub("-t {T} -m b -V 31"),
     pub("-t {T} -m c -V mqttv311"), pub("-t {T} -m d -V 311"))
case("own addresses", sub("-t {T} -C 1 -A 127.0.0.1"), pub("-t {T} -m a -A 127.0.0.1"), pub("-t {T} -m b -A 192.0.2.77"),
     pub("-t {T} -m b -A not.an.address.invalid"))
case("what is without visible effect", sub("-t {T} -C 2 --nodelay -k 5 -M 10 --quiet"),
     pub("-t {T} -m a --nodelay -M 1 -k 65535 -q 1"),
     pub("-t {T} -m b --quiet"))
case("the last of several wins", sub("-t {T}/# -W 2 -q 0 -q 1 -F x -F %t%q%p"), pub("-t {T}/x -t {T} -m a -q 2"))
case("made-up ids", pub("-h 127.0.0.1 -p {PORT} -t {T} -m a", bare=True),
     pub("-h 127.0.0.1 -p {PORT} -t {T} -m a -I pre-", bare=True),
     pub("-h 127.0.0.1 -p {PORT} -t {T} -m a --id-prefix pre-", bare=True),
     pub("-h 127.0.0.1 -p {PORT} -t {T} -m a -i ''", bare=True),
     pub("-h 127.0.0.1 -p {PORT} -t {T} -m a -i long-{T}-012345678901234567890123456789", bare=True))
case("an id that is no UTF-8", pub("-h 127.0.0.1 -p {PORT} -t {T} -m a -i x\udcff", bare=True),
     pub("-t {T} -m a -u x\udcff"), pub("-t {T} -m a -u x -P p\udcff"))
case("signals end mosquitto_sub", sub("-t {T}"), Kill(signal.SIGINT), JOIN, sub("-t {T} -q 1"), Kill(signal.SIGTERM), JOIN)
case("two with one id", sub("-t {T} -W 10 -C 2 -k 60"), pub("-t {T} -m a -i {ID}t"), pub("-t {T} -m b -i {ID}t"))

# --- retained messages and wills ------------------------------------------------------------------

case("a retained message", pub("-t {T} -m kept -r"), sub("-t {T} -C 1 -F '%r %p'"))
case("a retained message, cleared", pub("-t {T} -m kept -r -q 1"), pub("-t {T} -n -r -q 1"), sub("-t {T} -W 1 -v"))
case("a live message has no retain flag", sub("-t {T} -C 1 -F '%r %p'"), pub("-t {T} -m kept -r"))
case("-R", pub("-t {T}/a -m kept -r"), sub("-t {T}/# -R -v -C 1"), pub("-t {T}/b -m fresh"))
case("--retained-only", pub("-t {T}/a -m kept -r"), pub("-t {T}/b -m kept -r"),
     sub("-t {T}/# --retained-only -v -W 10", sort=True),
     pub("-t {T}/c -m fresh"))
case("--retained-only and -C", pub("-t {T}/a -m kept -r"), sub("-t {T}/# --retained-only -v -C 1"))
case("--remove-retained", pub("-t {T}/a -m kept -r"), pub("-t {T}/b -m kept -r"),
     sub("-t {T}/# --remove-retained -C 2 -W 3", sort=True),
     JOIN, sub("-t {T}/# -v -W 1"))
case("--remove-retained with -T", pub("-t {T}/a -m kept -r"), pub("-t {T}/b -m kept -r"),
     sub("-t {T}/# --remove-retained -T {T}/b -W 1 -v"), JOIN, sub("-t {T}/# -v -W 1"))
case("--remove-retained --retained-only", pub("-t {T}/a -m kept -r -q 1"),
     sub("-t {T}/# --remove-retained --retained-only -W 3"), pub("-t {T}/b -m fresh"), JOIN, sub("-t {T}/# -v -W 1"))
case("-R and --retained-only", pub("-t {T}/a -m kept -r"), sub("-t {T}/# -R --retained-only -v -W 1"))
case("retained from lines", pub("-t {T} -l -r -q 1", "one\ntwo\n"), sub("-t {T} -C 1 -v"))
case("a will", sub("-t {T}/will -C 1 -F '%q %r %p' -q 1"),
     sub("-t {T}/x -i {ID}w --will-topic {T}/will --will-payload gone --will-qos 1"), Kill(signal.SIGKILL))
case("a retained will", sub("-t {T}/x -i {ID}w --will-topic {T}/will --will-payload gone --will-retain"),
     Kill(signal.SIGKILL), JOIN, sub("-t {T}/will -C 1 -F '%q %r %p'"))
case("a will without payload", sub("-t {T}/will -C 1 -F '%q [%p]'"), sub("-t {T}/x -i {ID}w --will-topic {T}/will"),
     Kill(signal.SIGKILL))
case("no will after an orderly end", sub("-t {T}/will -W 2"),
     pub("-t {T}/x -m a --will-topic {T}/will --will-payload gone --will-qos 2"))

# --- formats --------------------------------------------------------------------------------------

FORMATS = ("%t", "%p", "%l", "%m", "%q", "%r", "%x", "%X", "%%", "%j", "%J", "%I", "%U", "@Y-@m-@d", "@@", "@s",
           "@N", "@H:@M",
           "\\\\", "\\n", "\\t", "\\r", "\\a", "\\e", "\\v", "\\0", "%t %p %q %r", "no letter at all")
STABLE = [text for text in FORMATS if text not in ("@N", "@s", "@H:@M", "@Y-@m-@d", "%I")]
for qos in (0, 1):
    case(f"letters of -F at QoS {qos}", 
         *(sub(f"-t {{T}} -C 1 -i {{ID}}{n} -q {qos} -F '{text}'") for n, text in enumerate(STABLE)),
         pub(f"-t {{T}} -m 'Hello, w\u00f6rld' -q {qos}"))
case("the time in -F", sub("-t {T} -C 1 -F %I"), sub("-t {T} -C 1 -F '@Y-@m-@d' -i {ID}2"),
     sub("-t {T} -C 1 -F %U -i {ID}3"),
     sub("-t {T} -C 1 -F @F -i {ID}4"), sub("-t {T} -C 1 -F @s -i {ID}5"), pub("-t {T} -m a"))
for flags in ("%10t", "%-10t", "%010t", "%.2t", "%3l", "%03l", "%-3l", "%5q", "%10p", "%.2p", "%-8.3p", "%05m", "%4r", 
              "%20x", "%.2x", "%.4X", "%300t", "%0.2p"):
    case(f"width and precision: {flags}", sub(f"-t {{T}} -C 1 -q 1 -F '[{flags}]'"), pub("-t {T} -m hello -q 1"))
for letter in "ACDEFPRS":
    case(f"%{letter}, which is of MQTT 5", sub(f"-t {{T}} -C 1 -q 1 -F '[%{letter}]'"), pub("-t {T} -m hello -q 1"))
for text in ("%", "a%", "%z", "@", "\\q", "\\", "%5", "%-", "%.", "%5.", "100%"):
    case(f"an odd format: {text}", sub(f"-t {{T}} -C 1 -q 1 -F '[{text}'"), pub("-t {T} -m hello -q 1"))
case("JSON with every kind of payload", sub("-t {T}/# -C 6 -F %j"), pub("-t {T}/a -m hello"), pub("-t {T}/b -n"),
     pub("-t {T}/c -m '\"quoted\" \\ back'"), pub("-t {T}/d -s", "line\nline\ttab\x01"), pub("-t {T}/e -m '{\"a\": 1}'"),
     pub("-t {T}/f -s", "\udcff\udcfe"))
case("raw JSON", sub("-t {T}/# -C 4 -F %J"), pub("-t {T}/a -m '{\"a\": [1, 2.5, null]}'"), pub("-t {T}/b -m 5"),
     pub("-t {T}/c -m '\"text\"'"), pub("-t {T}/d -m true"))
case("raw JSON that is none", sub("-t {T}/# -W 3 -F %J"), pub("-t {T}/a -m '{no'"), pub("-t {T}/b -n"), pub("-t {T}/c -m 1"))
case("JSON at QoS 2, retained", pub("-t {T} -m kept -r -q 2"), sub("-t {T} -C 1 -F %j -q 2"))
case("--pretty", sub("-t {T} -C 1 -F %j --pretty"), sub("-t {T} -C 1 -F %J --pretty -i {ID}2"),
     pub("-t {T} -m '{\"a\": 1}'"))
case("a topic in UTF-8 in JSON", sub("-t {T}/# -C 1 -F %j"), pub("-t '{T}/\u00e4 \"x\"' -m \u4e09"))
case("-F and -N", sub("-t {T} -C 2 -N -F %p,"), pub("-t {T} -m a"), pub("-t {T} -m b"))
case("-F and -v", sub("-t {T} -C 1 -v -F %p"), pub("-t {T} -m a"))
case("-F with zeros in the payload", sub("-t {T} -C 1 -F '%p|%x|%l'"), pub("-t {T} -s", "a\0b"))
case("a control character on a terminal is no matter for a pipe", sub("-t {T} -C 1"), pub("-t {T} -s", "a\x1b[31mb\x07"))
case("--random-filter 100", sub("-t {T} -C 3 --random-filter 100"), pub("-t {T} -l", "1\n2\n3\n"),
     Theirs("sub -t {T} -C 3 --random-filter 100", "out", "(1\n)?(2\n)?(3\n)?", "it takes 100 for 10"),
     Ours("sub -t {T} -C 3 --random-filter 100", "out", "1\n2\n3\n", "2.0.11 takes 100 for 10"))

# --- URLs and options files -----------------------------------------------------------------------

URL = "mqtt://127.0.0.1:{PORT}/{T}"
case("URLs", sub(f"-L {URL} -C 3 -i {{ID}}s", bare=True), pub(f"-L {URL} -m a", bare=True),
     pub(f"--url {URL} -m b", bare=True),
     pub("-L mqtt://u:p@127.0.0.1:{PORT}/{T} -m c", bare=True))
case("a URL with levels", sub("-t {T}/# -v -C 2"), pub(f"-L {URL}/a/b -m a", bare=True), pub(f"-L {URL}/ -m b", bare=True))
case("a URL with a name and a password", sub("-L mqtt://alice:secret@127.0.0.1:{AUTH}/{T} -C 1 -i {ID}s", bare=True),
     pub("-L mqtt://alice:secret@127.0.0.1:{AUTH}/{T} -m a", bare=True),
     pub("-L mqtt://alice:wrong@127.0.0.1:{AUTH}/{T} -m a", bare=True),
     pub("-L mqtt://alice@127.0.0.1:{AUTH}/{T} -m a", bare=True))
case("a URL and its parts", pub(f"-L {URL} -h 127.0.0.1 -m a", bare=True), pub(f"-L {URL} -p {{PORT}} -m a", bare=True),
     pub(f"-L {URL} -t {{T}}/b -m a", bare=True), pub(f"-t {{T}}/b -L {URL} -m a", bare=True),
     sub(f"-L {URL} -t {{T}}/b -E", bare=True))
case("a URL of TLS", pub("-L mqtts://localhost:{TLS}/{T} --cafile {CA} -m a", bare=True),
     pub("-L mqtts://localhost:{TLS}/{T} -m a", bare=True),
     pub("-L mqtts://localhost:{TLS}/{T} --cafile {WRONGCA} -m a", bare=True),
     pub("-L mqtts://localhost:{PORT}/{T} --cafile {CA} -m a", bare=True))
case("a URL with a wildcard", pub(f"-L {URL}/# -m a", bare=True), sub(f"-L {URL}/# -C 1 -v -i {{ID}}s", bare=True),
     pub(f"-L {URL}/x -m b", bare=True))

OPTIONS = "# about this\n-h 127.0.0.1\n-p {PORT}\n\n-t {T}\n"
HOME_PUB, HOME_SUB, HOME_RR = (f".config/mosquitto_{program}" for program in ("pub", "sub", "rr"))
case("an options file in the home directory", sub("-C 1 -i {ID}s", bare=True), pub("-m a", bare=True),
     files={HOME_PUB: OPTIONS, HOME_SUB: OPTIONS + "-v\n"})
case("the command line wins", sub("-t {T}/b -C 1"), pub("-t {T}/b -m b", bare=True), files={HOME_PUB: OPTIONS})
case("XDG_CONFIG_HOME", sub("-t {T} -C 1"), pub("-m a", bare=True, env={"XDG_CONFIG_HOME": "{HOME}/elsewhere"}),
     files={HOME_PUB: "-p {DEAD}\n-t wrong\n", "elsewhere/mosquitto_pub": OPTIONS})
case("XDG_CONFIG_HOME without a file", pub("-t {T} -m a", env={"XDG_CONFIG_HOME": "{HOME}/elsewhere"}),
     files={HOME_PUB: "--nonsense\n"})
case("values with blanks", sub("-t {T} -C 1"), pub("-t {T}"), files={HOME_PUB: "-m two words\n"})
case("long options in a file", sub("-t {T} -C 1 -q 1 -F '%q %p'"), pub("-m a", bare=True),
     files={HOME_PUB: OPTIONS + "--qos 1\n--retain\n--quiet\n"})
case("an options file with a mistake", pub("-t {T} -m a"), files={HOME_PUB: "--nonsense\n"})
case("an options file with a missing argument", pub("-t {T} -m a"), files={HOME_PUB: "-q\n"})
case("an options file with a bad value", pub("-t {T} -m a"), files={HOME_PUB: "-q 5\n"})
case("an options file without a dash", pub("-t {T} -m a"), files={HOME_PUB: "q 1\n"})
case("an options file with CRLF", sub("-t {T} -C 1 -q 1 -F '%q %p'"), pub("-t {T} -m a"), files={HOME_PUB: "-q 1\r\n-r\r\n"})
case("an options file with blanks in front", sub("-t {T} -C 1 -q 1 -F '%q %p'"), pub("-t {T} -m a"),
     files={HOME_PUB: "  -q 1\n"})
case("an empty options file", pub("-t {T} -m a"), files={HOME_PUB: ""})
case("several filters in a file", sub("-C 2 -v", bare=False), pub("-t {T}/a -m 1"), pub("-t {T}/b -m 2"),
     files={HOME_SUB: "-t {T}/a\n-t {T}/b\n"})
case("an options file that is a directory", pub("-t {T} -m a"), files={HOME_PUB + "/inside": ""})
case("no HOME", pub("-t {T} -m a", env={"HOME": ""}))

NEW = "an option of 2.1"
case("-o", sub("-t {T} -C 1 -q 2 -W 2 -F '%q %p'"), pub("-o {HOME}/mine -m a", bare=True),
     pub("-o {HOME}/mine -t {T} -m a -p {PORT}", bare=True),
     files={"mine": OPTIONS + "-q 1\n", HOME_PUB: "-q 2\n"})
case("-o without a file", pub("-t {T} -m a -o {HOME}/absent"), pub("-t {T} -m a -o"))

# --- nobody there, refusals -----------------------------------------------------------------------

case("no listener", pub("-h 127.0.0.1 -p {DEAD} -t a -m b", bare=True), sub("-h 127.0.0.1 -p {DEAD} -t a", bare=True),
     rr("-h 127.0.0.1 -p {DEAD} -t a -e b -m c -V 311", bare=True), pub("-h localhost -p {DEAD} -t a -m b", bare=True))
case("no listener, quietly", pub("-h 127.0.0.1 -p {DEAD} -t a -m b --quiet", bare=True),
     sub("-h 127.0.0.1 -p {DEAD} -t a --quiet", bare=True))
case("no such host", pub("-h no.such.host.invalid -t a -m b", bare=True), sub("-h no.such.host.invalid -t a", bare=True),
     pub("-h '' -p {DEAD} -t a -m b", bare=True), pub("-h no.such.host.invalid -t a -m b --quiet", bare=True))
case("SRV records of nobody", pub("-S -h no.such.host.invalid -t a -m b", bare=True))
case("no such socket", pub("--unix {HOME}/none -t a -m b", bare=True), pub(f"--unix {'x' * 110} -t a -m b", bare=True))
case("a Unix socket", sub("-t {T} -C 1", where="SOCKET"), pub("-t {T} -m a", where="SOCKET"))
case("a Unix socket and a host", pub("--unix {SOCKET} -h 127.0.0.1 -p {PORT} -t {T} -m a", bare=True))
case("a password that is right", sub("-t {T} -C 1 -u alice -P secret", where="AUTH"),
     pub("-t {T} -m a -u alice --pw secret", where="AUTH"))
case("who is refused", pub("-t {T} -m a -u alice -P wrong", where="AUTH"), pub("-t {T} -m a -u alice", where="AUTH"),
     pub("-t {T} -m a", where="AUTH"), pub("-t {T} -m a -u nobody -P x", where="AUTH"), sub("-t {T} -u alice -P wrong",
     where="AUTH"),
     rr("-t {T} -e {T}/e -m a -u alice -P wrong", where="AUTH"), sub("-t {T}", where="AUTH"))
case("who is refused, quietly", pub("-t {T} -m a -u alice -P wrong --quiet", where="AUTH"),
     sub("-t {T} -u alice -P wrong --quiet", where="AUTH"))
case("who is refused, with lines", pub("-t {T} -l -u alice -P wrong", "a\nb\n", where="AUTH"),
     pub("-t {T} -l -q 1 -u alice -P wrong", "a\nb\n", where="AUTH"))
case("who is refused, with MQTT 3.1", pub("-t {T} -m a -u alice -P wrong -V mqttv31", where="AUTH"))
case("a password without a name", pub("-t {T} -m a -P secret", where="AUTH"), pub("-t {T} -m b -P secret"))
case("empty names and passwords", pub("-t {T} -m a -u ''"), pub("-t {T} -m a -u alice -P ''", where="AUTH"),
     pub("-t {T} -m a -u '' -P ''"))
case("the ACL says no", sub("-t {T} -W 3 -u alice -P secret -q 1", where="AUTH"), pub("-t {T} -m a -u bob -P hidden",
     where="AUTH"),
     pub("-t {T} -m a -q 1 -u bob -P hidden", where="AUTH"), pub("-t {T} -m a -q 2 -u bob -P hidden", where="AUTH"))
case("a subscription is denied", sub("-t {T}x/1 -u bob -P hidden -W 1", where="AUTH"),
     sub("-t {T}x/1 -u bob -P hidden -W 1 --quiet -i {ID}2", where="AUTH"))

# --- TLS ------------------------------------------------------------------------------------------

TLS = {"where": "TLS"}
for qos in (0, 1, 2):
    case(f"TLS at QoS {qos}", sub(f"-t {{T}} -C 1 -q {qos} --cafile {{CA}}", **TLS),
         pub(f"-t {{T}} -m a -q {qos} --cafile {{CA}}", **TLS))
case("authorities in a directory", pub("-t {T} -m a --capath {CAPATH}", **TLS), pub("-t {T} -m a --capath /nowhere", **TLS))
case("the wrong authority", pub("-t {T} -m a --cafile {WRONGCA}", **TLS), sub("-t {T} --cafile {WRONGCA}", **TLS),
     pub("-t {T} -m a --cafile {WRONGCA} --insecure", **TLS), rr("-t {T} -e {T}/e -m a --cafile {WRONGCA}", **TLS))
case("the wrong authority, quietly", pub("-t {T} -m a --cafile {WRONGCA} --quiet", **TLS),
     Theirs("pub -t {T} -m a --cafile {WRONGCA} --quiet", "exit", "1|8", "one of two places sees it first"))
case("the system's authorities", pub("-t {T} -m a --tls-use-os-certs", **TLS))
case("files of authorities that are none", pub("-t {T} -m a --cafile {PUBLIC}/not-a-certificate", **TLS),
     pub("-t {T} -m a --cafile {PUBLIC}/absent", **TLS), pub("-t {T} -m a --cafile {PUBLIC}/empty", **TLS))
case("a certificate of another host", pub("-t {T} -m a --cafile {CA}", where="OTHER"),
     pub("-t {T} -m a --cafile {CA} --insecure", where="OTHER"), sub("-t {T} --cafile {CA}", where="OTHER"))
case("a certificate of the client's", pub("-t {T} -m a --cafile {CA} --cert {CERT} --key {KEY}", where="MUTUAL"),
     sub("-t {T} -E --cafile {CA} --cert {CERT} --key {KEY}", where="MUTUAL"),
     pub("-t {T} -m a --cafile {CA} --cert {CERT} --key {KEY} --keyform pem", where="MUTUAL"))
case("no certificate where one is wanted", pub("-t {T} -m a --cafile {CA} -q 1", where="MUTUAL"),
     pub("-t {T} -m a --cafile {CA} --cert {STRANGER} --key {STRANGERKEY} -q 1", where="MUTUAL"))
case("certificates and keys that are none", pub("-t {T} -m a --cafile {CA} --cert {PUBLIC}/absent --key {KEY}",
     where="MUTUAL"),
     pub("-t {T} -m a --cafile {CA} --cert {CERT} --key {PUBLIC}/absent", where="MUTUAL"),
     pub("-t {T} -m a --cafile {CA} --cert {CERT} --key {STRANGERKEY}", where="MUTUAL"),
     pub("-t {T} -m a --cafile {CA} --cert {PUBLIC}/not-a-certificate --key {KEY}", where="MUTUAL"))
case("versions of TLS", pub("-t {T} -m a --cafile {CA} --tls-version tlsv1.2", **TLS),
     pub("-t {T} -m a --cafile {CA} --tls-version tlsv1.3", **TLS),
     pub("-t {T} -m a --cafile {CA} --tls-version tlsv1.1", **TLS), pub("-t {T} -m a --cafile {CA} --tls-version tlsv1",
     **TLS),
     pub("-t {T} -m a --cafile {CA} --tls-version ssl", **TLS))
case("ciphers", pub("-t {T} -m a --cafile {CA} --ciphers ECDHE-ECDSA-AES256-GCM-SHA384", **TLS),
     pub("-t {T} -m a --cafile {CA} --ciphers ECDHE-ECDSA-AES256-GCM-SHA384 --tls-version tlsv1.2", **TLS),
     pub("-t {T} -m a --cafile {CA} --ciphers NONSENSE", **TLS))
case("ALPN", pub("-t {T} -m a --cafile {CA} --tls-alpn mqtt", **TLS), pub("-t {T} -m a --cafile {CA} --tls-alpn nonsense",
     **TLS))
case("an engine that is not there", pub("-t {T} -m a --cafile {CA} --tls-engine nonsense", **TLS),
     pub("-t {T} -m a --cafile {CA} --cert {CERT} --key {KEY} --keyform nonsense", **TLS))
case("TLS where there is none", pub("-t {T} -m a -h localhost -p {PORT} --cafile {CA}", bare=True))
case("no TLS where there is some", pub("-t {T} -m a -q 1", where="TLS"))
case("a pre-shared key", sub("-t {T} -C 1 --psk 1234abcd --psk-identity someone", where="PSK"),
     pub("-t {T} -m a --psk 1234abcd --psk-identity someone", where="PSK"))
case("a wrong pre-shared key", pub("-t {T} -m a -q 1 --psk 1234abce --psk-identity someone", where="PSK"),
     pub("-t {T} -m a -q 1 --psk 1234abcd --psk-identity nobody", where="PSK"))
case("a pre-shared key that is none", pub("-t {T} -m a --psk xyz --psk-identity someone", where="PSK"),
     pub("-t {T} -m a --psk '' --psk-identity someone", where="PSK"))
case("a pre-shared key and ciphers", pub("-t {T} -m a --psk 1234abcd --psk-identity someone --ciphers PSK-AES128-CBC-SHA",
     where="PSK"))

# --- through a proxy ------------------------------------------------------------------------------

PROXY = "--proxy socks5h://127.0.0.1:{SOCKS}"
case("a proxy", sub(f"-t {{T}} -C 2 {PROXY}"), pub(f"-t {{T}} -m a {PROXY}"),
     pub("-t {T} -m b --proxy socks5h://through:wall@127.0.0.1:{SOCKS}"))
case("a proxy and TLS", pub(f"-t {{T}} -m a {PROXY} --cafile {{CA}}", **TLS))
case("a proxy that refuses", pub("-t {T} -m b --proxy socks5h://through:nothing@127.0.0.1:{SOCKS}"))
case("no proxy there", pub("-t {T} -m b --proxy socks5h://127.0.0.1:{DEAD}"))
case("a proxy that cannot reach the broker", pub(f"-t {{T}} -m a -h 127.0.0.1 -p {{DEAD}} {PROXY}", bare=True))
case("a proxy with letters in hexadecimal", pub("-t {T} -m b --proxy socks5h://thro%75gh:w%61ll@127.0.0.1:{SOCKS}"))

# --- request and response -------------------------------------------------------------------------


def exchange(options="", answer="", qos=0):
    """A question, whoever hears it, and the answer."""
    return (sub(f"-t {{T}}/ask -C 1 -v -q {qos} -i {{ID}}s2"), rr(f"-t {{T}}/ask -e {{T}}/answer -q {qos} {options}"),
            pub(f"-t {{T}}/answer -m 'an answer' -q {qos} {answer}"))


for qos in (0, 1, 2):
    case(f"a question at QoS {qos}", *exchange("-m question", qos=qos))
case("a question, -v", *exchange("-m question -v"))
case("a question, -N", *exchange("-m question -N"))
case("a question, -F", *exchange("-m question -F '%t %p %q'"))
case("a question, JSON", *exchange("-m question -F %j --pretty"))
case("a question from a file", *exchange("-f {PUBLIC}/payload"))
case("an empty question", *exchange("-n"))
case("a question from stdin", sub("-t {T}/ask -C 1 -i {ID}s2"), rr("-t {T}/ask -e {T}/answer -s", stdin="question\n"),
     pub("-t {T}/answer -m yes"))
case("a question that is retained", rr("-t {T}/ask -e {T}/answer -m q -r -W 5"), pub("-t {T}/answer -m a"), JOIN,
     sub("-t {T}/ask -F '%r %p' -W 1"))
case("nobody answers", rr("-t {T}/ask -e {T}/answer -m question -W 1"))
case("the answer was there before", pub("-t {T}/answer -m old -r -q 1"), rr("-t {T}/ask -e {T}/answer -m q -W 2"))
case("the answer was there before, -R", pub("-t {T}/answer -m old -r -q 1"), rr("-t {T}/ask -e {T}/answer -m q -R -W 5"),
     pub("-t {T}/answer -m new"))
case("a question with an options file", sub("-t {T}/ask -C 1 -i {ID}s2"), rr("-m q"), pub("-t {T}/answer -m a"),
     files={HOME_RR: "-t {T}/ask\n-e {T}/answer\n"})
case("a question over TLS", rr("-t {T}/ask -e {T}/answer -m q --cafile {CA}", **TLS), pub("-t {T}/answer -m a"))
case("a question with a URL", rr("-L mqtt://127.0.0.1:{PORT}/{T}/ask -e {T}/answer -m q -V 311 -i {ID}r", bare=True),
     pub("-t {T}/answer -m a"))

# --- -d -------------------------------------------------------------------------------------------

OLD = "these lines are those of 1.5"
LATER = "these lines are those of 1.5; a message is acknowledged when it has been printed, so that none is lost"


def said(who, *lines):
    """What -d prints; lines that begin with a blank are something else."""
    return "".join(line[1:] + "\n" if line.startswith(" ") else f"Client ID{who} {line}\n" for line in lines)


def published(qos, topic="T", size=5, retain=0, mid=None):
    """As it is received; what is sent has a packet id for -d even at QoS 0."""
    mid = min(qos, 1) if mid is None else mid
    return f"PUBLISH (d0, q{qos}, r{retain}, m{mid}, '{topic}', ... ({size} bytes))"


SENT = {0: [], 1: ["received PUBACK (Mid: 1)"],
        2: ["received PUBREC (Mid: 1)", "sending PUBREL (Mid: 1)", "received PUBCOMP (Mid: 1)"]}
GOT = {0: [], 1: ["sending PUBACK (Mid: 1)"],
       2: ["sending PUBREC (Mid: 1)"]}
BEGIN, END = ("sending CONNECT", "received CONNACK (0)"), "sending DISCONNECT"

for qos in (0, 1, 2):
    line = f"-d -t {{T}} -m hello -q {qos}"
    shown = said("p", *BEGIN, f"sending {published(qos, mid=1)}", *SENT[qos], END)
    case(f"-d of mosquitto_pub at QoS {qos}", pub(line), *([Ours(f"pub {line}", "out", shown, OLD)] if qos else []))
for qos in (0, 1):
    line = f"-d -t {{T}} -q {qos} -C 1"
    shown = said("s", *BEGIN, f"sending SUBSCRIBE (Mid: 1, Topic: T, QoS: {qos})", "received SUBACK",
                 f" Subscribed (mid: 1): {qos}", f"received {published(qos)}", " hello", *GOT[qos], END)
    case(f"-d of mosquitto_sub at QoS {qos}", sub(line), pub(f"-t {{T}} -m hello -q {qos}"),
         Ours(f"sub {line}", "out", shown, LATER))
SUBSCRIBED_2 = (*BEGIN, "sending SUBSCRIBE (Mid: 1, Topic: T, QoS: 2)", "received SUBACK", " Subscribed (mid: 1): 2",
                f"received {published(2)}", " hello", "sending PUBREC (Mid: 1)")
case("-d of mosquitto_sub at QoS 2", sub("-d -t {T} -q 2 -W 3"), pub("-t {T} -m hello -q 2"),
     Ours("sub -d -t {T} -q 2 -W 3", "out", said(
         "s", *SUBSCRIBED_2, "received PUBREL (Mid: 1)", "sending PUBCOMP (Mid: 1)", END), LATER))
case("-d of mosquitto_sub at QoS 2, -C 1", sub("-d -t {T} -q 2 -C 1"), pub("-t {T} -m hello -q 2"),
     Ours("sub -d -t {T} -q 2 -C 1", "out", said("s", *SUBSCRIBED_2, END), LATER))
case("-d and a retained message", pub("-d -t {T} -m kept -r"),
     sub("-d -t {T} -C 1"),
     Ours("sub -d -t {T} -C 1", "out", said(
         "s", *BEGIN, "sending SUBSCRIBE (Mid: 1, Topic: T, QoS: 0)", "received SUBACK", " Subscribed (mid: 1): 0",
         f"received {published(0, size=4, retain=1)}", " kept", END), OLD))
case("--debug", pub("--debug -t {T} -n"))
case("-d and several filters", sub("-d -t {T}/a -t {T}/b -q 1 -E"))
case("-d and -U", sub("-d -t {T}/a -U {T}/b -E"))
case("-d and lines", pub("-d -t {T} -l", "a\nb\n"))
case("-d and a refusal", pub("-d -t {T} -m a -u alice -P wrong", where="AUTH"), sub("-d -t {T} -u alice -P wrong",
     where="AUTH"))
case("-d and nobody there", pub("-d -h 127.0.0.1 -p {DEAD} -t a -m b -i {ID}", bare=True))
case("-d and a denied subscription", sub("-d -t {T}/x -u bob -P hidden -W 1", where="AUTH"))
case("-d and keepalive", sub("-d -t {T} -k 5 -W 7"))
case("-d and an id that was made up", pub("-d -h 127.0.0.1 -p {PORT} -t {T} -m a", bare=True),
     sub("-d -h 127.0.0.1 -p {PORT} -t {T} -E", bare=True), pub("-d -h 127.0.0.1 -p {PORT} -t {T} -m a -I pre-", bare=True),
     rr("-d -h 127.0.0.1 -p {PORT} -t {T} -e {T} -m a -V 311 -W 5", bare=True))
case("-d and a question", rr("-d -t {T}/ask -e {T}/answer -q 1 -m hello"), Await("Sending PUBACK to {ID}r"),
     pub("-t {T}/answer -m hello -q 1"))
case("-d and a will", pub("-d -t {T} -m a --will-topic {T}/will --will-payload x"))
case("-d and TLS", pub("-d -t {T} -m hello --cafile {CA}", **TLS), pub("-d -t {T} -m a --cafile {WRONGCA}", **TLS),
     Theirs("pub -d -t {T} -m a --cafile {WRONGCA}", "out", "(Client IDp sending CONNECT\n)?OpenSSL Error.*",
            "one of two places sees it first"))
case("-d and a stored session", sub("-d -t {T} -c -q 1 -E"))
case("-d and --remove-retained", pub("-t {T} -m kept -r"), sub("-d -t {T} --remove-retained -C 1 -W 2"))
case("-d and a message of no bytes", pub("-d -t {T} -n"))
case("-d and MQTT 3.1", pub("-d -t {T} -m hello -V mqttv31 -q 1"))
