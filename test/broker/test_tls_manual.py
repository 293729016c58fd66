"""man/mosquitto-tls.7: its commands are run, its configurations are used, what it says of the log is what is said.

The same of the passage on security in README.md.
"""

import os
import re
import subprocess
import time
from pathlib import Path

import pytest
from broker_process import ROOT, binary, environment, free_port, whose
from certificates import Pair
from tls_wire import first_certificate, shown, trusting, verdict

PAGE = ROOT / "man" / "mosquitto-tls.7"
PLACE = "/etc/mosquitto"


def displays():
    """What stands in the page literally."""
    text = PAGE.read_text(encoding="utf-8").replace("\\e", "\\").replace("\\-", "-")
    return re.findall(r"^\.Bd -literal[^\n]*\n(.*?)^\.Ed$", text, re.MULTILINE | re.DOTALL)


def commands():
    """Displays of a shell's input, without prompts."""
    return [re.sub(r"^\$ ", "", text, flags=re.MULTILINE) for text in displays() if text.startswith("$ ")]


def display(word):
    found = [text for text in displays() if word in text]
    assert len(found) == 1, word
    return found[0]


class Reader:
    """Does what the page says, in a directory of its own, with ports that are free."""

    def __init__(self, directory):
        self.directory = directory
        self.ports = {number: str(free_port()) for number in ("1883", "8883", "8884", "8885")}

    def localized(self, text):
        for number, port in self.ports.items():
            text = re.sub(rf"(?<!\d){number}(?!\d)", port, text)
        return text.replace(f"{PLACE}/certs", str(self.directory)).replace(PLACE, str(self.directory))

    def run(self, script, **environment):
        done = subprocess.run(["sh", "-e"], input=self.localized(script), cwd=self.directory, capture_output=True,
                              text=True, timeout=60, check=False, env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", **environment})
        assert done.returncode == 0, f"{script}\n{done.stdout}{done.stderr}"
        return done.stdout + done.stderr

    def make(self):
        """Everything up to the first use of a broker."""
        return [self.run(script) for script in commands() if "localhost -p" not in script and "-revoke" not in script
                and "crl.cnf" not in script]


@pytest.fixture
def reader(tmp_path):
    return Reader(tmp_path)


def started(brokers, reader, *more):
    """A broker with the page's listeners."""
    lines = reader.localized(display("listener 8884") + display("psk_hint")).replace("allow_anonymous true\n", "")
    broker = brokers.start(*lines.splitlines(), *more)
    for port in reader.ports.values():
        broker.await_port(int(port), "localhost")
    return broker


def test_the_commands_make_certificates_that_check(reader):
    said = "".join(reader.make())
    assert "server.crt: OK" in said and "lamp.crt: OK" in said
    assert "DNS:broker.example.org" in said and "notAfter" in said


def test_the_listeners_serve_as_the_page_says(reader, brokers):
    reader.make()
    broker = started(brokers, reader)
    watcher = broker.connect("watcher")
    watcher.subscribe("hello", qos=1)
    used = [script for script in commands() if "localhost -p" in script]
    assert len(used) == 2
    for script in used:
        said = reader.run(script)
        assert "s_client" not in script or ("Verify return code: 0" in said and "ALPN protocol: mqtt" in said)
    got = [packet.payload.decode() for packet in watcher.take_all()]
    assert got == ["plain", "by TLS", "from the lamp", "by key"]
    first = broker.log.wait("u'lamp'")
    broker.log.wait("u'lamp'", broker.log.lines.index(first) + 1)


def test_the_configuration_is_found_good(reader, tmp_path):
    reader.make()
    config = tmp_path / "mosquitto.conf"
    config.write_text(reader.localized(display("listener 8884") + "\n".join(whose([]))) + "\n")
    done = subprocess.run([binary(), "--test-config", "-c", config], capture_output=True, text=True, timeout=30,
                          env=environment(), check=False)
    assert done.returncode == 0, done.stderr
    assert "Error" not in done.stderr


def test_a_revoked_certificate_is_refused_as_the_page_says(reader, brokers):
    reader.make()
    scripts = [script for script in commands() if "crl.cnf" in script]
    assert len(scripts) == 2
    for script in scripts:
        reader.run(script)
    port = free_port()
    broker = brokers.start(
        f"listener {port} localhost", f"certfile {reader.directory}/server.crt", f"keyfile {reader.directory}/server.key",
        f"cafile {reader.directory}/ca.crt", "require_certificate true", f"crlfile {reader.directory}/ca.crl")
    broker.await_port(port, "localhost")
    lamp = Pair(reader.directory / "lamp.crt", reader.directory / "lamp.key")
    assert verdict(port, trusting(pair=lamp)).word == "alert certificate revoked"


def test_the_hook_of_certbot_renews_without_a_signal(reader, brokers, pki):
    reader.make()
    started(brokers, reader)
    port = int(reader.ports["8883"])
    lineage = reader.directory / "lineage"
    lineage.mkdir()
    renewed = pki.intermediate.server()
    (lineage / "fullchain.pem").write_bytes(renewed.cert.read_bytes())
    (lineage / "privkey.pem").write_bytes(renewed.key.read_bytes())
    assert shown(port) == first_certificate(reader.directory / "server.crt")
    hook = display("RENEWED_LINEAGE").replace(" -o mosquitto", "")
    reader.run(hook, RENEWED_LINEAGE=str(lineage))
    limit = time.monotonic() + 20
    while shown(port) != first_certificate(renewed.cert):
        assert time.monotonic() < limit, "the new certificate is not shown"
        time.sleep(0.1)


def test_reasons_are_worded_as_on_the_log():
    """Each that the page explains is one that the broker can give."""
    sources = "".join((ROOT / path).read_text(encoding="utf-8") for path in ("lib/net/tls_words.c", "src/server/greeting.c"))
    sources = re.sub(r'"\s*"', "", sources)
    for macro, begin in (("PEER", "the client "), ("CERTIFICATE", "certificate ")):
        sources += "".join(f'"{begin}{words}"' for words in re.findall(rf'{macro}\("([^"]*)"\)', sources))
    part = PAGE.read_text(encoding="utf-8").split("most frequent reasons:")[1].split(".El")[0]
    items = [re.sub(r" ?, Li ", "\n", row).split("\n") for row in re.findall(r"^\.It Li (.*)$", part, re.MULTILINE)]
    reasons = [reason for row in items for reason in row]
    assert len(reasons) >= 14
    assert [reason for reason in reasons if f'"{reason}"' not in sources] == []


def test_the_mark_of_a_day_is_a_topic(reader, brokers):
    """$SYS has the end of the certificate."""
    reader.make()
    broker = started(brokers, reader, "sys_interval 1")
    watcher = broker.connect("watcher")
    topic = f"$SYS/broker/listener/{reader.ports['8883']}/certificate/expires"
    watcher.subscribe(topic)
    got = watcher.take(topic)
    end = subprocess.run(["openssl", "x509", "-in", reader.directory / "server.crt", "-noout", "-enddate"],
                         capture_output=True, text=True, check=True).stdout.split("=")[1].strip()
    assert int(got.payload) == int(time.mktime(time.strptime(end, "%b %d %H:%M:%S %Y GMT")) - time.timezone)


# --- README.md --------------------------------------------------------------------------------------


def test_the_commands_of_the_readme(tmp_path):
    text = (ROOT / "README.md").read_text(encoding="utf-8").split("## Passwords, access rules, TLS")[1]
    script = text.split("```sh\n")[1].split("```")[0]
    started = re.search(r"^build/mosquitto -c .*&$", script, re.MULTILINE).group()
    until = "PID=$!; trap 'kill $PID; wait $PID' EXIT; until grep -q 'running$' log; do kill -0 $PID; sleep 0.05; done"
    script = script.replace(started, started.replace("&", "2>log & ") + until)
    script = script.replace("build/", f"{Path(binary()).resolve().parent}/").replace("8883", str(free_port()))
    environ = {**environment(), "TMPDIR": str(tmp_path), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
    done = subprocess.run(["sh", "-e"], input=script, cwd=tmp_path, capture_output=True, text=True, timeout=60,
                          check=False, env=environ)
    log = (tmp_path / "log").read_text() if os.path.exists(tmp_path / "log") else ""
    assert done.returncode == 0, f"{done.stdout}{done.stderr}{log}"
    assert "house/hall warm" in done.stdout
    assert "Error" not in log
