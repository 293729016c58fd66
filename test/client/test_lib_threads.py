"""The library under tools that see what a test does not: races, leaks, wild reads.

Each tool has a build of the library of its own below build/, made when it is older than the sources: ThreadSanitizer, address
and undefined sanitizers, a build without threads. Valgrind takes the library that is tested.
"""

import fcntl
import os
import re
import subprocess

import pytest
from foreign import need
from lib_programs import ROOT, Programs, cases, library, sanitizers

BUILDS = ROOT / "build"


def built(directory, *settings):
    """A library in build/DIRECTORY, up to date; several test processes wait for the one that makes it."""
    BUILDS.mkdir(exist_ok=True)
    target = BUILDS / directory / "libmosquitto.so.1"
    env = {key: value for key, value in os.environ.items() if not key.startswith(("MAKE", "MFLAGS"))}
    with open(BUILDS / f"{directory}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = subprocess.run(["make", "-j2", f"BUILD={target.parent}", "CFLAGS=-g -O1", *settings, str(target)], cwd=ROOT,
                              env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return target


def fixture_for(directory, *settings):
    @pytest.fixture(scope="session")
    def fixture(tmp_path_factory):
        programs = Programs(tmp_path_factory.mktemp(directory), built(directory, *settings))
        yield programs
        programs.stop()

    return fixture


tsan = fixture_for("lib-tsan", "SAN=thread")
asan = fixture_for("lib-asan", "SAN=address,undefined")
unthreaded = fixture_for("lib-unthreaded", "WITH_THREADING=no")


@pytest.fixture(autouse=True)
def once():
    """A suite that runs with sanitizers as a whole has no need of builds of their own."""
    if sanitizers(library()):
        pytest.skip("done where the suite runs without sanitizers")


THREADS = cases("threads", "CASE")
OTHERS = [("loops", case) for case in cases("loops", "CASE") if "thread" in case] + [
    ("lifecycle", "destroy_after_a_thread"), ("lifecycle", "destroy_while_the_thread_runs"),
    ("connect", "connect_async_connects_in_the_thread"), ("callbacks", "a_chain_of_callbacks_in_a_thread"),
]
GROUPS = ("lifecycle", "publish", "subscribe", "wills", "connect", "loops", "callbacks", "simple")


@pytest.mark.parametrize("group, case", [("threads", case) for case in THREADS] + OTHERS)
def test_no_races(tsan, broker, name, group, case):
    env = {**os.environ, "TSAN_OPTIONS": "halt_on_error=0 exitcode=66 second_deadlock_stack=1"}
    said = tsan.run(group, case, broker.port, name, env=env)
    assert "ThreadSanitizer" not in said, said


@pytest.mark.parametrize("group, case", [("threads", case) for case in THREADS]
                         + [(group, case) for group in GROUPS for case in cases(group, "CASE", "OURS")])
def test_sanitizers_have_nothing_to_say(asan, broker, name, group, case):
    env = {**os.environ, "ASAN_OPTIONS": "detect_leaks=1:detect_stack_use_after_return=1"}
    said = asan.run(group, case, broker.port, name, env=env)
    assert not re.search(r"Sanitizer|runtime error", said), said


VALGRIND = [
    ("lifecycle", "destroy_with_messages_that_wait"), ("lifecycle", "reinitialise_makes_another_client"),
    ("lifecycle", "destroy_after_a_thread"), ("publish", "all_qos_are_told"), ("publish", "payloads_arrive_as_they_are"),
    ("subscribe", "both_families_of_callbacks_are_called"), ("subscribe", "a_copy_outlives_its_callback"),
    ("connect", "a_message_outlives_its_connection"), ("loops", "a_foreign_loop"), ("callbacks", "a_chain_of_callbacks"),
    ("simple", "some_messages"), ("simple", "a_callback_ends_it"),
]


@pytest.fixture(scope="session")
def plain(tmp_path_factory):
    programs = Programs(tmp_path_factory.mktemp("plain"))
    yield programs
    programs.stop()


@pytest.mark.parametrize("group, case", VALGRIND)
def test_valgrind_has_nothing_to_say(plain, broker, name, group, case):
    command = (need("valgrind"), "--error-exitcode=99", "--leak-check=full", "--show-leak-kinds=definite,possible",
               "--errors-for-leak-kinds=definite,possible", "--track-fds=no", "-q")
    said = plain.start(group, case, broker.port, name, before=command).finish()
    assert "==" not in said, said


def test_a_build_without_threads(unthreaded, broker, name):
    unthreaded.run("threads", "there_are_no_threads", broker.port, name)
    for case in ("a_foreign_loop", "loop_forever_ends_from_a_callback", "loop_tells_a_loss"):
        unthreaded.run("loops", case, broker.port, name + case)
