"""The scripts of test/bench do what they say: rows, goals, verdicts, exit codes. No test here asserts a time."""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

BENCH = Path(__file__).resolve().parents[1] / "bench"
sys.path.insert(0, str(BENCH))

import brokers  # noqa: E402
import crowd  # noqa: E402
import gates  # noqa: E402
import scenarios  # noqa: E402
import table  # noqa: E402

OURS = os.environ.get("MOSQUITTO_BIN", str(brokers.ROOT / "build/mosquitto"))
GENERATOR = os.environ.get("BENCH_BIN", str(brokers.ROOT / "build/mosquitto_bench"))


@pytest.fixture(scope="module")
def relay(tmp_path_factory):
    """The floor, compiled here: only `make bench` builds it."""
    program = tmp_path_factory.mktemp("floor") / "relay"
    subprocess.run([os.environ.get("CC", "gcc"), "-std=c17", "-D_GNU_SOURCE", "-O1", "-o", program,
                    BENCH / "relay.c"], check=True)
    return program


def run(script, *arguments):
    return subprocess.run([sys.executable, "-B", BENCH / script, *map(str, arguments)], capture_output=True,
                          text=True, timeout=60, check=False)


def cells(output, name):
    """The cells of the row with this name."""
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in output.splitlines()]
    return next(row for row in rows if row[0] == name)


def answer(cpu, user, generator):
    broker = {"cpu_us": cpu, "user_us": user, "system_us": cpu - user}
    return {"broker": broker, "generator": {"cpu_us": generator}, "peak_bytes": 4_000_000}


@pytest.mark.parametrize("script", ["compare.py", "gates.py", "crowd.py"])
def test_each_script_lists_what_it_can_do(script):
    done = run(script, "--list")
    assert done.returncode == 0
    assert len(done.stdout.splitlines()) >= 8


@pytest.mark.parametrize("script", ["compare.py", "gates.py", "crowd.py"])
def test_a_name_that_is_none_is_refused(script):
    done = run(script, "nonsense")
    assert done.returncode != 0
    assert "nonsense" in done.stderr


def test_every_figure_has_a_name_of_its_own():
    names = [figure.name for scenario in scenarios.SCENARIOS for figure in scenario.figures]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(("goal", "ours", "reached"), [
    (scenarios.Goal(times=10), 1.0, True),
    (scenarios.Goal(times=10), 1.01, False),
    (scenarios.Goal(most=0.5), 0.5, True),
    (scenarios.Goal(most=0.5), 0.51, False),
    (scenarios.Goal(floors=1.05), 0.42, True),
    (scenarios.Goal(floors=1.05), 0.43, False),
])
def test_goals(goal, ours, reached):
    assert goal.reached({"ours": ours, "peer": 10.0, "floor": 0.4}) is reached


def test_a_goal_without_what_it_is_compared_with_is_neither_reached_nor_missed():
    assert scenarios.Goal(floors=1.05).reached({"ours": 1.0, "peer": 2.0}) is None


def test_a_row_has_medians_spread_ratios_and_the_generators_share():
    found = {"ours": [answer(0.2, 0.1, 0.05), answer(0.3, 0.2, 0.06), answer(0.1, 0.05, 0.04)],
             "peer": [answer(4.0, 3.0, 1.0)], "floor": [answer(0.1, 0.05, 0.1)]}
    row = dict(zip(table.HEAD, table.row(scenarios.cpu("x", scenarios.Goal(times=30)), found)))
    assert row["ours"] == "0.200 (0.100–0.300)"
    assert row["peer ÷ ours"] == "20.00"
    assert row["ours ÷ floor"] == "2.00"
    assert row["reached"] == "**no**"
    assert row["ours user + system"] == "0.100 + 0.100"
    assert row["generator ÷ ours"] == "0.25"
    assert row["peak MB, ours / peer"] == "4.0 / 4.0"


def test_compare_measures_prints_and_keeps_the_answers(tmp_path, relay):
    kept = tmp_path / "answers.json"
    done = run("compare.py", "--quick", "pairs-100, QoS 1", "--ours", OURS, "--peer", OURS, "--floor", relay,
               "--bench", GENERATOR, "--json", kept)
    assert done.returncode == 0, done.stderr
    row = dict(zip(table.HEAD, cells(done.stdout, "pairs-100, QoS 1")))
    assert row["goal"] == "26×"
    assert row["floor"] != "–"
    answers = json.loads(kept.read_text())["scenarios"][0]["answers"]
    assert set(answers) == {"ours", "peer", "floor"}
    assert answers["floor"][0]["lost"] == 0


def test_compare_says_which_broker_failed_and_why():
    done = run("compare.py", "--quick", "pairs-100, QoS 0", "--ours", OURS, "--peer", OURS, "--floor", "none",
               "--bench", "/bin/false")
    assert done.returncode == 1
    assert "failed: ours: exit code 1" in cells(done.stdout, "pairs-100, QoS 0")


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_the_floor_loses_nothing(relay, qos):
    with brokers.Broker("floor", str(relay), None) as floor:
        found = brokers.run_bench(GENERATOR, floor, None, ["--clients", "5", "--qos", str(qos), "--warmup", "0",
                                                           "--messages", "5000", "pairs"])
    assert found["ok"] and found["delivered"] == 5000


def test_a_gate_is_missed_when_the_difference_of_two_counts_is_too_large():
    def count(_options, _gate, messages):
        return messages, [1000 + 3 * messages]

    gate = gates.Gate("x", "pairs", 100, calls=2.9)
    value = gates.for_each(count, None, gate)[0]
    assert value == 3
    assert gates.judge(value, gate.calls) == (["3.00", "≤ 2.9 **missed**"], True)
    assert gates.judge(value, 3.0)[1] is False


STRACE_SAID = """\
% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 60.00    0.000229           5        40         4 recvfrom
 40.00    0.000100           5        20           sendto
------ ----------- ----------- --------- --------- ----------------
100.00    0.000329           5        60         4 total
"""
PERF_SAID = """\
# started on a day

70,,raw_syscalls:sys_enter,845720,100.00,,
40,,syscalls:sys_enter_recvfrom,845720,100.00,,
"""


@pytest.mark.parametrize(("kind", "said", "total"), [
    (gates.StraceCounter, STRACE_SAID, 60), (gates.PerfCounter, PERF_SAID, 70)])
def test_counters_are_read(tmp_path, kind, said, total):
    counter = kind(tmp_path)
    counter.file.write_text(said)
    found, kinds = counter.read()
    assert found == total
    assert kinds["recvfrom"] == 40


def test_crowd_checks_judge_and_end_with_their_verdict():
    report = crowd.Report("x")
    report.limit("something", 1.0, 1.0)
    assert report.well
    report.limit("something", 1.1, 1.0)
    report.limit("something", 0.9, 1.0)
    assert not report.well


def test_a_check_that_cannot_be_made_is_missed(capsys):
    crowd.CHECKS["broken"] = lambda options, report: (_ for _ in ()).throw(OSError("no such thing"))
    try:
        assert not crowd.run_check("broken", SimpleNamespace())
    finally:
        del crowd.CHECKS["broken"]
    assert "no such thing" in capsys.readouterr().out


def test_a_crowd_of_subscriptions_can_be_made():
    done = run("crowd.py", "churn", "--scale", "0.01", "--seconds", "0.2", "--ours", OURS, "--bench", GENERATOR)
    assert "ratio" in done.stdout, done.stdout + done.stderr
