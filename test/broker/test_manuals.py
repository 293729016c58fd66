"""The manual pages: well formed, pointing at pages that exist, and telling what the programs really do."""

import re
import shutil
import subprocess
import time

import pytest
from broker_process import ROOT, binary, environment, free_port
from mqtt_wire import PING, PINGRESP, subscribe

MAN = ROOT / "man"
PAGES = sorted(MAN.glob("*.[1-9]"))
OURS = re.compile(r"(lib)?mosquitto|mqtt$")


@pytest.mark.skipif(not shutil.which("mandoc"), reason="there is no mandoc")
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_mandoc_has_nothing_to_say(page):
    done = subprocess.run(["mandoc", "-Tlint", "-W", "warning", page], capture_output=True, text=True, timeout=60)
    complaints = [line for line in done.stdout.splitlines() if "lacks" not in line]
    assert (done.returncode, complaints) == (0, [])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_has_the_name_of_its_file(page):
    name, section = page.name.rsplit(".", 1)
    text = page.read_text(encoding="utf-8")
    assert f"\n.Dt {name.upper()} {section}\n" in text
    assert re.search(rf"^\.Nm {re.escape(name)}$", text, re.MULTILINE)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_references_to_pages_of_ours_lead_somewhere(page):
    names = {p.name for p in PAGES}
    found = re.findall(r"^\.Xr (\S+) (\d)", page.read_text(encoding="utf-8"), re.MULTILINE)
    assert found, "a page that points nowhere"
    for name, section in found:
        assert f"{name}.{section}" in names or not OURS.match(name), f"there is no {name}.{section}"


def test_every_page_can_be_found_from_the_brokers():
    """By following references from mosquitto.8."""
    pages = {p.name: p.read_text(encoding="utf-8") for p in PAGES}
    reached, new = set(), {"mosquitto.8"}
    while new:
        reached |= new
        found = {f"{n}.{s}" for page in new for n, s in re.findall(r"^\.Xr (\S+) (\d)", pages[page], re.MULTILINE)}
        new = found & set(pages) - reached
    assert reached == set(pages)


# --- $SYS -----------------------------------------------------------------------------------------


def documented_topics():
    """The rows of mqtt.7 as patterns; `Ar` stands for any one level."""
    text = (MAN / "mqtt.7").read_text(encoding="utf-8")
    part = text.split(".Sh WHAT THE BROKER SAYS OF ITSELF")[1].split(".Ss Log lines")[0]
    rows = re.findall(r"^\.It Ql ([^\n]+)$", part, re.MULTILINE)
    assert len(rows) > 30
    return {row: re.sub(r"/ Ns Ar \w+(?: Ns Ql (\S+))?$", r"/[^/]+\1", row) for row in rows}


def published_topics(broker):
    client = broker.connect("watcher")
    client.send(subscribe(1, ("$SYS/#", 0)))
    client.recv()
    client.send(PING)
    topics = set()
    while (got := client.recv()).kind != PINGRESP:
        topics.add(got.topic.removeprefix("$SYS/broker/"))
    return topics


def test_every_topic_of_sys_is_in_the_manual_and_the_reverse(brokers, pki):
    broker = brokers.start("sys_interval 1", "persistence true", f"listener {free_port()} 127.0.0.1", *pki.tls())
    broker.connect().publish("a", "x", qos=1)
    time.sleep(2.2)
    rows, topics = documented_topics(), published_topics(broker)
    undocumented = {topic for topic in topics if not any(re.fullmatch(row, topic) for row in rows.values())}
    assert undocumented == set()
    missing = {row for row, pattern in rows.items() if not any(re.fullmatch(pattern, topic) for topic in topics)}
    assert missing == set()


# --- the command line -----------------------------------------------------------------------------


def options_of_the_program():
    done = subprocess.run([binary(), "--help"], capture_output=True, text=True, timeout=30, env=environment())
    assert done.returncode == 0
    return set(re.findall(r"(?<![\w-])(--?[A-Za-z][\w-]*)", done.stdout))


def options_of_the_page():
    text = (MAN / "mosquitto.8").read_text(encoding="utf-8")
    part = text.split("The options are:")[1].split(".Sh ")[0]
    found = set()
    for row in re.findall(r"^\.It Fl (.*)$", part, re.MULTILINE):
        for option in re.split(r" , Fl ", row):
            found.add("-" + option.split(" ")[0])
    return found


def test_every_option_of_the_command_line_is_in_the_manual_and_the_reverse():
    assert options_of_the_program() == options_of_the_page()


def test_the_synopsis_names_every_option():
    text = (MAN / "mosquitto.8").read_text(encoding="utf-8")
    synopsis = text.split(".Sh SYNOPSIS")[1].split(".Sh ")[0]
    named = {"-" + option for option in re.findall(r"Fl (\S+)", synopsis)}
    letters = {option for option in options_of_the_page() if len(option) == 2}
    assert letters <= named | {f"-{letter}" for group in named for letter in group.strip("-")}
