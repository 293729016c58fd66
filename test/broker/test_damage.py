"""A store that is not as the broker left it: damage is refused or salvaged, a torn tail is cut.

Damage is what was synced and cannot be read any more. A tail is what a kill or a power cut left of the
last frames, which nobody had synced. Neither crashes the broker, and nothing that could not be read is
overwritten.
"""

import os
import random
import re
import shutil

import pytest
from broker_process import free_port
from stored_broker import (
    SMALL_SEGMENTS, UNLIMITED, absent_session, drain, fingerprint, numbers_of, refused, runs,  # noqa: F401
    send_numbered, take_until_quiet,
)

COUNT = 900
SALVAGE = "persistence_recover salvage"
DAMAGE = r"damage in (front of )?\w+\.seg at offset \d+"
KEPT = r"\w+\.seg was kept as \S+"
CUT = r"cutting \w+\.seg at offset \d+"
SEED = int(os.environ.get("DAMAGE_SEED", random.SystemRandom().randrange(1 << 32)))


def filled(runs):
    """A broker with a queue of COUNT messages in several segments and a retained message."""
    broker = runs.start(UNLIMITED, SMALL_SEGMENTS, verbose=True)
    absent_session(broker, "absent", "d/#")
    writer = broker.connect()
    writer.publish("kept/d", "retained", qos=1, retain=True)
    send_numbered(writer, "d/x", range(COUNT))
    assert len(broker.segments()) >= 3, broker.segments()
    return broker


def stopped(runs):
    broker = filled(runs)
    broker.stop()
    return broker


def killed(runs):
    broker = filled(runs)
    broker.kill()
    return broker


def change(path, offset, data):
    with open(path, "r+b") as file:
        file.seek(offset)
        file.write(data)


def flip(path, offset):
    with open(path, "rb") as file:
        file.seek(offset)
        byte = file.read(1)[0]
    change(path, offset, bytes([byte ^ 0x41]))


def demand_refusal(broker, name=r"\w+\.seg"):
    """Exit code 1, a line that names the file and an offset, and a disk as it was."""
    before = fingerprint(broker.location / broker.journal.name)
    code, output = refused(broker)
    assert code == 1, (code, output)
    assert re.search(rf"damage in (front of )?{name} at offset \d+: \d+ bytes", output), output
    assert "Sanitizer" not in output, output
    assert fingerprint(broker.location / broker.journal.name) == before
    return output


def salvage(runs, broker, original):
    """Start in spite of it: what was damaged is kept as it was; returns the numbers that are left."""
    again = runs.again(broker, SALVAGE)
    copies = [p for p in broker.journal.iterdir() if p.suffix != ".seg" and p.is_file()]
    assert any(p.read_bytes() == original for p in copies), copies
    assert again.log.find(DAMAGE) and len(again.log.wait_for(1, KEPT)) == 1, again.report()
    assert len(again.log.wait_for(1, r"was salvaged: \d+ frames were read, \d+ places with \d+ bytes could not be")) == 1
    left = numbers_of(drain(again, "absent"))
    assert left == sorted(set(left)) and set(left) <= set(range(COUNT))
    again.answers()
    again.stop()
    # Nothing is damaged any more.
    runs.again(broker).stop()
    return left


def read_retained(broker):
    client = broker.connect()
    client.subscribe("kept/#", qos=1)
    return [p.payload for p in client.take_all()]


# --- damage -----------------------------------------------------------------------------------


@pytest.mark.parametrize("which", [0, 1, -1])
def test_a_flipped_byte_is_refused_or_salvaged(runs, which):
    broker = stopped(runs)
    path = broker.segments()[which]
    flip(path, path.stat().st_size // 2)
    original = path.read_bytes()
    demand_refusal(broker, path.name)
    left = salvage(runs, broker, original)
    assert COUNT - 40 <= len(left) < COUNT


def test_a_flipped_byte_in_the_last_frame_before_a_clean_stop_is_damage(runs):
    """The seal of a clean stop says that it had been written whole."""
    broker = stopped(runs)
    path = broker.segments()[-1]
    flip(path, path.stat().st_size - 48 - 20)
    demand_refusal(broker, path.name)


def test_a_damaged_header_of_a_segment_is_refused_or_salvaged(runs):
    broker = stopped(runs)
    path = broker.segments()[1]
    flip(path, 9)
    original = path.read_bytes()
    demand_refusal(broker, path.name)
    salvage(runs, broker, original)


def test_a_truncated_segment_is_refused_or_salvaged(runs):
    broker = stopped(runs)
    path = broker.segments()[1]
    os.truncate(path, path.stat().st_size * 2 // 3)
    original = path.read_bytes()
    demand_refusal(broker, path.name)
    left = salvage(runs, broker, original)
    assert COUNT // 2 < len(left) < COUNT


@pytest.mark.parametrize("which", [0, 1])
def test_a_missing_segment_is_refused_or_salvaged(runs, which):
    broker = stopped(runs)
    path = broker.segments()[which]
    path.unlink()
    demand_refusal(broker)
    again = runs.again(broker, SALVAGE)
    again.log.wait(DAMAGE)
    again.answers()
    if which == 1:
        left = numbers_of(drain(again, "absent"))
        assert left == sorted(set(left)) and 0 < len(left) < COUNT
        assert read_retained(again) == [b"retained"]


@pytest.mark.parametrize("content", ["zeros", "foreign"])
def test_a_segment_with_other_content_is_refused_or_salvaged(runs, content):
    broker = stopped(runs)
    path = broker.segments()[1]
    size = path.stat().st_size
    data = bytes(size) if content == "zeros" else random.Random(1).randbytes(size)
    path.write_bytes(data)
    demand_refusal(broker, path.name)
    left = salvage(runs, broker, data)
    assert 0 < len(left) < COUNT


def test_a_segment_of_another_store_is_refused_or_salvaged(runs, tmp_path_factory):
    broker = stopped(runs)
    other_runs = type(runs)(tmp_path_factory.mktemp("other"))
    other = stopped(other_runs)
    mine, theirs = broker.segments()[1], other.segments()[1]
    shutil.copyfile(theirs, mine)
    data = mine.read_bytes()
    demand_refusal(broker, mine.name)
    salvage(runs, broker, data)


@pytest.mark.parametrize("more", [(), (SALVAGE,)])
def test_what_cannot_be_read_at_all_stops_the_start(runs, more):
    """A directory in a segment's place: reading fails, for root as well."""
    broker = stopped(runs)
    path = broker.segments()[1]
    aside = broker.directory / "aside"
    path.rename(aside)
    path.mkdir()
    before = fingerprint(broker.journal)
    code, output = refused(broker, *more)
    assert code == 1 and path.name in output, (code, output)
    assert fingerprint(broker.journal) == before
    path.rmdir()
    aside.rename(path)
    assert numbers_of(drain(runs.again(broker), "absent", COUNT)) == list(range(COUNT))


def test_other_files_beside_the_segments_are_left_alone(runs):
    broker = stopped(runs)
    note = broker.journal / "README"
    note.write_text("not a segment")
    assert numbers_of(drain(runs.again(broker), "absent", COUNT)) == list(range(COUNT))
    assert note.read_text() == "not a segment"


def left_after(broker, in_first_segment, what):
    """The queue, unless the damage was where the session's beginning stood."""
    client = broker.connect("absent", clean=False)
    assert client.connack.session_present or in_first_segment, what
    return numbers_of(take_until_quiet(client)) if client.connack.session_present else list(range(COUNT))


def test_damage_anywhere_never_crashes_the_broker(runs, tmp_path_factory):
    """Flips and cuts at random places: refused or cut when strict; salvaged, all else is there."""
    rng = random.Random(SEED)
    # What a killed broker had not synced is no damage but a tail, however long.
    sealed = rng.random() < 0.7
    broker = stopped(runs) if sealed else killed(runs)
    pristine = tmp_path_factory.mktemp("pristine") / "journal"
    shutil.copytree(broker.journal, pristine)
    for step in range(12):
        shutil.rmtree(broker.journal)
        shutil.copytree(pristine, broker.journal)
        path = rng.choice(broker.segments())
        offset = rng.randrange(path.stat().st_size)
        cut = rng.random() < 0.3
        what = f"DAMAGE_SEED={SEED} step {step}: {path.name} offset {offset} {'cut' if cut else 'flipped'}"
        if cut:
            os.truncate(path, offset)
        else:
            flip(path, offset)
        damaged = fingerprint(broker.journal)
        again = runs.again(broker, SALVAGE)
        whole = sealed and not cut and offset >= 64
        left = left_after(again, path == broker.segments()[0], what)
        assert left == sorted(set(left)) and len(left) >= (COUNT - 40 if whole else 0), what
        kept = fingerprint(broker.journal).values()
        said = again.log.find(DAMAGE)
        assert not said or damaged[path.name] in kept, what
        assert said or again.log.find(CUT) or len(left) == COUNT, what
        again.stop()


# --- the tail ---------------------------------------------------------------------------------


def starts_with_a_cut(runs, broker):
    again = runs.again(broker)
    assert len(again.log.wait_for(1, CUT)) == 1, again.report()
    left = numbers_of(drain(again, "absent"))
    assert left == list(range(len(left)))
    again.stop()
    # Once is enough: the next start finds nothing to cut.
    last = runs.again(broker)
    assert not last.log.find(CUT), last.report()
    return len(left)


@pytest.mark.parametrize("tail", ["garbage", "zeros", "half a frame", "one byte"])
def test_bytes_behind_the_last_frame_are_cut(runs, tail):
    broker = killed(runs)
    path = broker.segments()[-1]
    data = {
        "garbage": random.Random(2).randbytes(777), "zeros": bytes(8192),
        "half a frame": path.read_bytes()[32:400], "one byte": b"\1",
    }[tail]
    with open(path, "ab") as file:
        file.write(data)
    assert starts_with_a_cut(runs, broker) == COUNT


@pytest.mark.parametrize("missing", [1, 40, 60, 500])
def test_a_last_frame_that_is_not_whole_is_cut(runs, missing):
    broker = killed(runs)
    path = broker.segments()[-1]
    os.truncate(path, path.stat().st_size - missing)
    assert starts_with_a_cut(runs, broker) >= COUNT - 20


def test_a_segment_that_was_only_begun_is_cut(runs):
    """A crash between making the file and writing its header."""
    broker = killed(runs)
    last = broker.segments()[-1]
    # Positions count bytes of frames, not of headers.
    position = int(last.stem, 16) + last.stat().st_size - 32
    (broker.journal / f"{position:016x}.seg").write_bytes(b"")
    again = runs.again(broker)
    assert numbers_of(drain(again, "absent", COUNT)) == list(range(COUNT))


# --- others -----------------------------------------------------------------------------------


def test_a_second_broker_on_the_same_store_refuses(runs):
    broker = filled(runs)
    before = broker.size()
    config = broker.config.read_text()
    broker.config.write_text(config.replace(f"listener {broker.port}", f"listener {free_port()}"))
    code, output = refused(broker)
    assert code == 1 and broker.journal.name in output, output
    assert broker.size() >= before
    assert numbers_of(drain(broker, "absent", COUNT)) == list(range(COUNT))


def test_a_clean_stop_and_start_keeps_everything(runs):
    broker = stopped(runs)
    again = runs.again(broker)
    assert read_retained(again) == [b"retained"]
    assert numbers_of(drain(again, "absent", COUNT)) == list(range(COUNT))
    found = again.log.find(f"(?i)warning|error|{DAMAGE}|{CUT}")
    assert not [line for line in found if "as root" not in line], again.report()
