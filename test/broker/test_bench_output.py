"""mosquitto_bench: what it shows: the progress line, the report, JSON and the page of one run.

The figures themselves are test_bench.py's affair; here it is that all outputs say the same, are
complete, and can be read by whom they are for.
"""

import contextlib
import fcntl
import html.parser
import json
import os
import pty
import re
import select
import signal
import stat
import struct
import subprocess
import termios
import time

import pytest
from test_bench import BENCH, LIMIT, BadBroker, bench

VOID = {"meta"}


@pytest.fixture
def roomy(brokers):
    return brokers.get("max_queued_messages 0", verbose=False)


def strict(text):
    """JSON as its standard has it: Python alone would take NaN and Infinity."""

    def refuse(word):
        raise ValueError(f"{word} is not JSON")

    return json.loads(text, parse_constant=refuse)


# --- the page ---------------------------------------------------------------------------------


class Page(html.parser.HTMLParser):
    """A page taken to pieces; every element must be closed, in the right order."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.open = []
        self.elements = []
        self.text = {}
        self.rows = {}
        self.row = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append((tag, dict(attributes).get("id")))

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop()[0] == tag
        if tag == "tr":
            self.rows[self.row[0].strip()] = [cell.strip() for cell in self.row[1:]]
            self.row = []

    def handle_data(self, data):
        for tag, name in self.open:
            if name is not None:
                self.text[name] = self.text.get(name, "") + data
        if self.open and self.open[-1][0] in ("td", "th"):
            self.row.append(data)

    def all(self, tag, **wanted):
        return [a for t, a in self.elements if t == tag and all(wanted[k] in (a.get(k) or "") for k in wanted)]


def number(text):
    return float(text.replace(",", ""))


def page_of(broker, tmp_path, *arguments, code=0):
    """A run with a page: the page, its text, and the JSON on standard output."""
    file = tmp_path / "page.html"
    run = bench("--port", broker.port, "--json", "--html", file, *arguments)
    assert run.returncode == code, run.stderr
    text = file.read_text(encoding="utf-8")
    return Page(text), text, strict(run.stdout)


def test_page_says_what_json_says(roomy, tmp_path):
    page, _, found = page_of(
        roomy, tmp_path, "--pid", roomy.pid, "-n", 3, "-q", 1, "-m", 900, "--latency", "--warmup", 0.05, "fanout"
    )
    assert strict(page.text["json"]) == found
    assert number(page.rows["Published"][0]) == found["published"] == 900
    assert number(page.rows["Delivered"][0]) == found["delivered"] == 2700
    assert number(page.rows["Throughput"][0]) == pytest.approx(found["messages_per_s"], abs=1)
    for name, key in [("Lost", "lost"), ("Duplicates", "duplicates"), ("Out of order", "reordered")]:
        assert number(page.rows[name][0]) == found[key] == 0
    for name, key in [("p50", "p50"), ("p90", "p90"), ("p99", "p99"), ("p99.9", "p999"), ("max", "max")]:
        assert number(page.rows[f"Latency, {name}"][0]) == pytest.approx(found["latency_us"][key], abs=0.1)
    for who, key in [("Broker", "broker"), ("Generator", "generator")]:
        for what, part in [("CPU", "cpu_us"), ("CPU, user", "user_us"), ("CPU, system", "system_us")]:
            assert number(page.rows[f"{who}’s {what}"][0]) == pytest.approx(found[key][part], abs=1e-4)
    assert number(page.rows["Broker’s memory at its peak"][0]) == found["memory_peak"]
    assert number(page.rows["Broker’s memory at the end"][0]) == found["memory_resident"]


def test_page_says_how_it_was_made(roomy, tmp_path):
    page, text, found = page_of(roomy, tmp_path, "--pid", roomy.pid, "-n", 2, "-m", 10, "-s", 77, "pairs")
    made = {name: cells for name, cells in page.rows.items() if name.startswith("--")}
    assert made["--payload"] == ["77"] and made["--messages"] == ["10"] and made["--port"] == [str(roomy.port)]
    assert "--seconds" not in made and "--rate" not in made
    assert {name[2:] for name in made} == set(found["options"])
    assert page.rows["Kernel"][0] == found["host"]["kernel"] == " ".join(os.uname()[i] for i in (0, 2, 4))
    assert page.rows["Broker"][0] == found["host"]["broker"] == os.readlink(f"/proc/{roomy.pid}/exe")
    assert page.rows["Broker’s version"][0] == found["host"]["version"]
    assert found["host"]["version"].startswith("mosquitto version ")
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d [+-]\d{4}", page.rows["Date"][0])
    assert "<title>mosquitto_bench pairs: 2 clients" in text


def test_page_needs_nothing_else(roomy, tmp_path):
    page, text, _ = page_of(roomy, tmp_path, "-n", 2, "-t", 0.1, "--latency", "pairs")
    assert not {"script", "link", "img", "iframe", "object", "base", "form"} & {tag for tag, _ in page.elements}
    for _, attributes in page.elements:
        assert not {"src", "href", "xlink:href", "style", "srcset", "data"} & set(attributes)
        assert not any(name.startswith("on") for name in attributes)
    assert not re.search(r"url\(|@import|https?:|//", text)


def test_page_has_both_charts_in_both_forms(roomy, tmp_path):
    page, text, found = page_of(roomy, tmp_path, "-n", 2, "-t", 0.3, "--latency", "pairs")
    charts = page.all("svg", role="img")
    assert [(c["class"], c["aria-labelledby"].split()[0]) for c in charts] == [
        (f"chart {form}", f"{name}-{form}-title") for name in ("throughput", "latency") for form in ("wide", "narrow")
    ]
    for chart in charts:
        for name in chart["aria-labelledby"].split():
            assert page.text[name]
    names = [a["id"] for _, a in page.elements if "id" in a]
    assert len(names) == len(set(names))
    for name in ("p50", "p90", "p99", "p99.9", "max"):
        assert len(re.findall(rf'class="mark"[^>]*>{re.escape(name)} ', text)) == 2
    assert "messages a second</text>" in text and "seconds since the start</text>" in text
    assert page.text["latency-wide-desc"].startswith(f"Of {found['latency_us']['count']} values:")


def test_points_of_the_charts_are_inside_of_them(roomy, tmp_path):
    """A figure that is not finite, or an axis that is too short, would show here."""
    page, text, _ = page_of(roomy, tmp_path, "-n", 3, "-t", 0.3, "--latency", "fanin")
    points = [tuple(map(float, p.split(","))) for a in page.all("polyline") for p in a["points"].split()]
    points += [(float(a["cx"]), float(a["cy"])) for a in page.all("circle")]
    points += [(float(x), float(y)) for x, y in re.findall(r"[ML]([-\d.a-z]+),([-\d.a-z]+)", "".join(a["d"] for a in page.all("path")))]
    assert len(points) > 50
    assert all(50 <= x <= 750 and 20 <= y <= 280 for x, y in points)
    assert not re.search(r'="-?(nan|inf)', text)
    edges = [float(a["cx"]) for a in page.all("circle")][4::5]
    assert edges == [760 - 14, 350 - 14], "the largest latency is at the right end"
    assert len(re.findall(r"<title>\d+\.\d\d s: [\d,]+ \w+s a second \([\w-]+\)</title>", text)) > 20


def test_page_without_latency_and_of_a_failed_run(tmp_path):
    """Marks of HTML in what the options say are only text."""
    with BadBroker(lambda count, frame: [] if count == 20 else [frame]) as bad:
        page, text, found = page_of(
            bad, tmp_path, "-n", 1, "-m", 100, "-w", 10, "--warmup", 0, "--topic-prefix", "a<b>&\"'\udcff", "pairs", code=1
        )
    assert found["lost"] == 1 and found["ok"] is False
    assert "1 messages lost" in text and 'class="verdict bad"' in text
    assert number(page.rows["Lost"][0]) == 1
    assert page.rows["--topic-prefix"] == ["a<b>&\"'\ufffd"]
    assert found["options"]["topic-prefix"] == "a<b>&\"'\ufffd"
    assert "The latency was not measured" in text
    assert len(page.all("svg")) == 2


@pytest.mark.parametrize("arguments", [["-m", 50, "connect"], ["--subscribe", "idle"], ["storm"]])
def test_page_without_load(roomy, tmp_path, arguments):
    page, _, found = page_of(roomy, tmp_path, "--pid", roomy.pid, "-n", 5, *arguments)
    if "storm" in arguments:
        assert number(page.rows["Connections"][0]) == found["connections"] == 5
        assert number(page.rows["Latency, p99"][0]) == pytest.approx(found["latency_us"]["p99"], abs=0.1)
    elif "idle" in arguments:
        assert number(page.rows["For each connection"][0]) == pytest.approx(found["bytes_per_connection"], abs=0.5)
    else:
        assert number(page.rows["Connections"][0]) == found["connections"] == 50


def test_secrets_are_not_shown(roomy, tmp_path):
    _, text, found = page_of(roomy, tmp_path, "-n", 1, "-m", 5, "-u", "somebody", "-P", "hush-hush", "pairs")
    assert found["options"]["username"] == "somebody" and found["options"]["pw"] == "(not shown)"
    assert "hush-hush" not in text


@pytest.mark.parametrize("place", ["missing/page.html", "."])
def test_page_that_cannot_be_written_is_known_before(tmp_path, place):
    """Nobody listens at that port, and yet that is not what is said."""
    run = bench("--port", 1, "--html", tmp_path / place, "pairs")
    assert run.returncode == 2
    assert "--html: " in run.stderr and "cannot be written" in run.stderr
    assert list(tmp_path.iterdir()) == []


def test_disk_that_fills_up_is_noticed(roomy):
    run = bench("--port", roomy.port, "-n", 1, "-m", 5, "--html", "/dev/full", "pairs")
    assert run.returncode == 1
    assert "delivered" in run.stdout
    assert '--html: "/dev/full" cannot be written' in run.stderr


def test_page_replaces_whole_and_leaves_nothing_else(roomy, tmp_path):
    file = tmp_path / "page.html"
    link = tmp_path / "link.html"
    file.write_text("before")
    link.symlink_to(file)
    with subprocess.Popen(
        [BENCH, "--port", str(roomy.port), "-n", "1", "-t", "0.5", "--html", str(link), "pairs"], stdout=subprocess.DEVNULL
    ) as run:
        time.sleep(0.2)
        assert file.read_text() == "before"
        assert run.wait(LIMIT) == 0
    assert file.read_text().endswith("</html>\n") and link.is_symlink()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["link.html", "page.html"]
    mask = os.umask(0)
    os.umask(mask)
    assert stat.S_IMODE(file.stat().st_mode) == 0o666 & ~mask


def test_page_whose_place_is_taken_meanwhile(roomy, tmp_path):
    place = tmp_path / "page.html"
    with subprocess.Popen(
        [BENCH, "--port", str(roomy.port), "-n", "1", "-t", "0.4", "--html", str(place), "pairs"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as run:
        time.sleep(0.2)
        place.mkdir()
        out, err = run.communicate(timeout=LIMIT)
    assert run.returncode == 1
    assert "delivered" in out and "cannot be written" in err
    assert list(tmp_path.iterdir()) == [place]


# --- JSON -------------------------------------------------------------------------------------


def test_json_is_one_line_and_holds_the_series(roomy):
    run = bench("--port", roomy.port, "--json", "-n", 4, "-t", 0.7, "--warmup", 0.1, "pairs")
    assert run.stdout.count("\n") == 1
    found = strict(run.stdout)
    series = found["series"]
    assert [s["name"] for s in series["stretches"]] == ["connect", "warm-up", "measure"]
    assert [s["unit"] for s in series["stretches"]] == ["connection", "message", "message"]
    starts = [s["start_s"] for s in series["stretches"]]
    assert starts == sorted(starts) and starts[2] >= starts[1] + 0.1
    assert (len(series["counts"]) - 1) * series["slot_s"] <= series["end_s"] < len(series["counts"]) * series["slot_s"]
    begin = int(starts[2] / series["slot_s"])
    measured = sum(series["counts"][begin + 1:])
    assert found["delivered"] * 0.8 <= measured <= found["delivered"]
    assert sum(series["counts"]) >= found["delivered"] + 8
    assert series["slot_s"] > 0.001, "the slots have been full, so that each has taken in another"


def test_json_counts_every_latency(roomy):
    found = strict(bench("--port", roomy.port, "--json", "-n", 2, "-m", 500, "--latency", "pairs").stdout)["latency_us"]
    assert found["count"] == sum(count for _, count in found["buckets"]) == 500
    tops = [top for top, _ in found["buckets"]]
    assert tops == sorted(tops) and tops[-1] == found["max"]
    assert found["p50"] in tops and found["p50"] <= found["p90"] <= found["p99"] <= found["p999"] <= found["max"]


def test_json_of_a_run_that_never_began():
    run = bench("--port", 1, "--json", "--topic-prefix", "x\udcfe\"\\\x01", "pairs")
    found = strict(run.stdout)
    assert run.returncode == 1
    assert found["ok"] is False and found["error"] in run.stderr
    assert found["messages_per_s"] is None and found["generator"]["cpu_us"] is None
    assert found["options"]["topic-prefix"] == "x\ufffd\"\\\x01"


@pytest.mark.parametrize("given, shown", [
    (b"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80", "\u00e4\u20ac\U0001f600"),
    (b"a\xc0\xafb", "a\ufffd\ufffdb"),
    (b"\xed\xa0\x80", "\ufffd\ufffd\ufffd"),
    (b"\xf4\x90\x80\x80", "\ufffd\ufffd\ufffd\ufffd"),
    (b"a\xe2\x82", "a\ufffd\ufffd"),
])
def test_json_is_utf8_whatever_it_is_given(given, shown):
    run = subprocess.run([BENCH, "--port", "1", "--json", "--username", given, "pairs"], capture_output=True, timeout=LIMIT, check=False)
    assert strict(run.stdout.decode("utf-8", "strict"))["options"]["username"] == shown


# --- a rate ---------------------------------------------------------------------------------


def slow_at(number, seconds):
    """A relay that stands still once."""

    def deliver(count, frame):
        if count == number:
            time.sleep(seconds)
        return [frame]

    return deliver


def test_stall_does_not_hide_what_could_not_be_sent():
    """With a window of one only a single message waits in the broker; the others wait to be sent."""
    with BadBroker(slow_at(30, 0.5)) as bad:
        run = bench("--port", bad.port, "--json", "-n", 1, "-w", 1, "-r", 100, "-t", 1.2, "--warmup", 0, "-l", "pairs")
    found = strict(run.stdout)
    assert run.returncode == 0
    assert found["delivered"] == found["published"] == 120
    assert found["overdue"] == 0
    late = sum(count for top, count in found["latency_us"]["buckets"] if top > 100_000)
    assert 30 <= late <= 50
    assert found["latency_us"]["max"] > 450_000


def test_what_is_overdue_at_the_end_is_counted():
    with BadBroker(slow_at(30, 0.6)) as bad:
        run = bench("--port", bad.port, "--json", "-n", 1, "-w", 5, "-r", 100, "-t", 0.5, "--warmup", 0, "-l", "pairs")
    found = strict(run.stdout)
    assert run.returncode == 0
    assert 10 <= found["overdue"] <= 20
    assert found["overdue"] + found["published"] == 50


def test_rate_that_nobody_reaches(roomy, tmp_path):
    file = tmp_path / "page.html"
    run = bench("--port", roomy.port, "-n", 3, "-r", 1e8, "-t", 0.2, "--warmup", 0, "--html", file, "pairs")
    assert run.returncode == 0
    assert "nothing was lost, doubled or out of order. But the rate was not reached" in file.read_text()
    assert re.search(r"^overdue +[\d,]{9,}$", run.stdout, re.MULTILINE)
    assert "the rate was not reached" in run.stdout


# --- for people -------------------------------------------------------------------------------


@pytest.mark.parametrize("scenario, stretches", [
    ("wild", ["subscribe", "publish"]), ("retained", ["set", "replace", "deliver", "clear"]), ("queue", ["in", "out", "back"]),
])
def test_stretches_are_shown_everywhere(roomy, tmp_path, scenario, stretches):
    short = ["-S", 300, "-t", 0.2, "--warmup", 0] if scenario == "wild" else ["-m", 300]
    page, text, found = page_of(roomy, tmp_path, "--pid", roomy.pid, *short, scenario)
    assert [part["name"] for part in found["parts"]] == stretches
    for part in found["parts"]:
        cells = page.rows[part["name"]]
        assert number(cells[0]) == part["count"] > 0 and cells[1] == part["unit"]
        assert number(cells[2]) == pytest.approx(part["elapsed_s"], abs=0.001)
        assert number(cells[4]) == pytest.approx(part["broker"]["user_us"], abs=0.001)
        assert number(cells[5]) == pytest.approx(part["broker"]["system_us"], abs=0.001)
        assert number(cells[6]) == pytest.approx(part["generator"]["cpu_us"], abs=0.001)
        assert number(cells[7]) == pytest.approx(part["bytes_each"], abs=1)
    assert [name for name in stretches if name not in {s["name"] for s in found["series"]["stretches"]}] == []
    run = bench("--port", roomy.port, *short, scenario)
    lines = run.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    table = lines[next(i for i, line in enumerate(lines) if line.startswith("stretch")) + 1:]
    assert [line.split()[0] for line in table] == stretches
    assert all(" - " in line for line in table), "without --pid nothing is known of the broker"


def test_report_is_narrow_and_shows_memory(roomy):
    run = bench("--port", roomy.port, "--pid", roomy.pid, "-n", 2, "-m", 300, "--latency", "pairs")
    assert max(map(len, run.stdout.splitlines())) <= 80
    assert re.search(r"^broker's memory +[\d,]{7,} bytes, [\d,]{7,} at its peak$", run.stdout, re.MULTILINE)
    assert "latency from publisher to subscriber\n" in run.stdout
    assert re.search(r"^  µs +p50 +p90 +p99 +p99.9 +max$", run.stdout, re.MULTILINE)
    assert re.search(r"^  broker( +\d+\.\d{4}){3} +\d+ %$", run.stdout, re.MULTILINE)


def test_report_shows_losses_of_a_failed_run():
    with BadBroker(lambda count, frame: [] if count == 20 else [frame] * 2) as bad:
        run = bench("--port", bad.port, "-n", 1, "-m", 100, "-w", 10, "--warmup", 0, "pairs")
    assert run.returncode == 1
    assert "lost 1, duplicates 99, out of order 0" in run.stdout


class Terminal:
    """A run whose stderr is a terminal, and all that appears on it."""

    def __init__(self, *arguments, columns=80):
        self.fd, there = pty.openpty()
        fcntl.ioctl(there, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        self.run = subprocess.Popen([BENCH, *map(str, arguments)], stdout=subprocess.PIPE, stderr=there, text=True)
        os.close(there)
        self.shown = ""

    def finish(self):
        with contextlib.suppress(OSError):
            while select.select([self.fd], [], [], LIMIT)[0]:
                self.shown += os.read(self.fd, 65536).decode()
        out = self.run.communicate(timeout=LIMIT)[0]
        os.close(self.fd)
        return out

    def screen(self):
        """What is left on the last line."""
        line = []
        for piece in self.shown.split("\n")[-1].split("\r"):
            line[:len(piece)] = piece
        return "".join(line).rstrip()


@pytest.mark.parametrize("columns", [80, 200, 30])
def test_progress_line(roomy, columns):
    terminal = Terminal("--port", roomy.port, "-n", 2, "-t", 0.7, "--warmup", 0.25, "pairs", columns=columns)
    out = terminal.finish()
    lines = [line for line in terminal.shown.split("\r") if line.strip()]
    assert len(lines) >= 4
    assert max(map(len, lines)) < min(columns, 80)
    assert any(line.startswith("warm-up: ") for line in lines)
    if columns >= 80:
        form = r"measure: \d+/s, \d+ in all, lost 0, twice 0; \d+\.\d s, \d+\.\d s left *"
        assert re.fullmatch(form, lines[-1]), lines[-1]
    assert "\n" not in terminal.shown
    assert terminal.screen() == ""
    assert "delivered" in out and "measure:" not in out
    assert terminal.run.returncode == 0


def test_progress_line_shows_losses():
    with BadBroker(lambda count, frame: [] if count == 2 else [frame]) as bad:
        terminal = Terminal("--port", bad.port, "-n", 1, "-m", 30, "-r", 50, "--warmup", 0, "pairs")
        terminal.finish()
    assert "lost 1, twice 0" in terminal.shown
    assert terminal.screen() == ""
    assert "1 messages lost" in terminal.shown


def test_no_progress_line_unless_wanted(roomy):
    terminal = Terminal("--port", roomy.port, "-n", 2, "-t", 0.3, "--no-progress", "pairs")
    terminal.finish()
    assert terminal.shown == ""
    assert bench("--port", roomy.port, "-n", 2, "-t", 0.3, "pairs").stderr == ""


# --- Ctrl-C -----------------------------------------------------------------------------------


@pytest.mark.parametrize("number, name", [(signal.SIGINT, "SIGINT"), (signal.SIGTERM, "SIGTERM")])
def test_interrupted_run_shows_what_there_is(roomy, tmp_path, number, name):
    file = tmp_path / "page.html"
    terminal = Terminal(
        "--port", roomy.port, "-n", 2, "-t", 50, "--warmup", 0, "--latency", "--json", "--html", file, "pairs"
    )
    time.sleep(0.6)
    terminal.run.send_signal(number)
    begin = time.monotonic()
    found = strict(terminal.finish())
    assert time.monotonic() - begin < 5
    assert terminal.run.returncode == 130
    assert re.search(rf"interrupted by {name} after 0\.\d s", found["error"])
    assert found["error"] in terminal.shown
    assert found["interrupted"] is True and found["ok"] is False
    assert found["delivered"] > 0 and found["messages_per_s"] > 0 and found["latency_us"]["count"] > 0
    assert found["lost"] == 0
    assert strict(Page(file.read_text()).text["json"]) == found


def test_interrupted_before_anything_was_measured(tmp_path):
    """A broker that never answers: the wait for it ends, and no half of a page stays behind."""
    import socket
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        run = subprocess.Popen(
            [BENCH, "--port", str(deaf.getsockname()[1]), "-n", "1", "--html", str(tmp_path / "page.html"), "pairs"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        time.sleep(0.3)
        run.send_signal(signal.SIGINT)
        out, err = run.communicate(timeout=5)
    assert run.returncode == 130
    assert out == "" and "interrupted by SIGINT" in err
    assert [p.name for p in tmp_path.iterdir()] == ["page.html"]
