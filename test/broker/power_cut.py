#!/usr/bin/env python3
"""Cut the power under load, again and again, and see whether the broker kept its word. By hand, as root.

The store lies on ext4 in an image file, and that file on XFS, where a copy by reference is taken in
one instant: what the broker had not synced is not in the copy. Clients read nothing from before the
copy until the broker's end, so what they know is what had been acknowledged at the cut. The next run
of the broker finds the copy, mounted, its file system's journal replayed.

    sudo python3 test/broker/power_cut.py --rounds 50 --mode fsync

With `--mode write` up to persistence_sync_interval may be lost: then this is a report of how much it
was, and how old; it is a fault only if it was older than that interval.
"""

import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from crash_ledger import now
from crash_rounds import Rounds, finish, interrupt, parser_of, prepare

INTERVAL_S = 1
SLACK_S = 0.5  # what one sync may take


def command(*words):
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL)


class Machine:
    """A file system whose power can be cut."""

    def __init__(self, directory, megabytes=192):
        self.outer_image = directory / "outer.img"
        self.outer = directory / "outer"
        self.disk = directory / "disk"
        self.image = self.outer / "disk.img"
        self.mounted = []
        self.megabytes = megabytes

    def make(self):
        with open(self.outer_image, "wb") as file:
            file.truncate(self.megabytes * 4 << 20)
        command("mkfs.xfs", "-q", "-m", "reflink=1", str(self.outer_image))
        self.outer.mkdir()
        self.disk.mkdir()
        self.mount(self.outer_image, self.outer)
        with open(self.image, "wb") as file:
            file.truncate(self.megabytes << 20)
        command("mkfs.ext4", "-q", str(self.image))
        self.mount(self.image, self.disk)

    def mount(self, image, place):
        command("mount", "-o", "loop", str(image), str(place))
        self.mounted.append(place)

    def unmount(self, place):
        command("umount", str(place))
        self.mounted.remove(place)

    def copy(self):
        command("cp", "--reflink=always", str(self.image), str(self.image) + ".cut")

    def restart(self):
        """The disk as it was when it was copied."""
        self.unmount(self.disk)
        Path(str(self.image) + ".cut").replace(self.image)
        self.mount(self.image, self.disk)

    def clean(self):
        for place in reversed(list(self.mounted)):
            self.unmount(place)


class PowerCut:
    def __init__(self, machine):
        self.machine = machine

    def strike(self, rounds):
        world = rounds.world
        if world.chance(0.7):
            interrupt(world)
        world.messages.crashes.append(now())
        self.machine.copy()
        rounds.broker.kill()
        world.port = 0
        world.close_all()
        self.machine.restart()


def settings():
    parser = parser_of(__doc__, rounds=50)
    options = parser.parse_args()
    if options.mode == "write" and options.load == parser.get_default("load"):
        options.load = (INTERVAL_S * 500, INTERVAL_S * 3000)
    prepare(options)
    return options


def cut_and_keep(options, directory, machine):
    """Mode fsync: one store and the same clients over all cuts, and nothing may be missing."""
    began = time.monotonic()
    rounds = Rounds(options, str(directory), PowerCut(machine), location=machine.disk)
    try:
        rounds.run()
    finally:
        rounds.end()
    return finish(rounds, time.monotonic() - began)


def cut_and_count(options, directory, machine):
    """Mode write: each cut has a store and clients of its own, since a broker that went back in time and
    clients that did not misunderstand each other from then on."""
    options.line.append(f"persistence_sync_interval {INTERVAL_S}")
    cuts, options.rounds, options.go_on = options.rounds, 1, True
    lost, acknowledged, ages = 0, 0, []
    for _ in range(cuts):
        rounds = Rounds(options, str(directory), PowerCut(machine), location=machine.disk)
        try:
            rounds.run()
        finally:
            rounds.end()
        faults = rounds.world.faults
        lost += faults.counts["loss"]
        acknowledged += rounds.world.messages.acknowledged()
        ages.append(faults.lost_age_ns / 1e9)
        options.seed += 1
        shutil.rmtree(rounds.broker.journal)
    print(f"{cuts} cuts: {acknowledged} acknowledged, {lost} deliveries lost; the oldest of each cut had been "
          f"acknowledged {min(ages):.2f} to {max(ages):.2f} s before it, {INTERVAL_S} s is allowed")
    return max(ages) > INTERVAL_S + SLACK_S


def main():
    options = settings()
    directory = Path(tempfile.mkdtemp(prefix="power-", dir=options.directory))
    machine = Machine(directory)
    print(f"seed {options.seed}, {options.rounds} rounds, {options.mode}", flush=True)
    try:
        machine.make()
        run = cut_and_keep if options.mode == "fsync" else cut_and_count
        bad = run(options, directory, machine)
        if bad:
            shutil.copytree(machine.disk, directory / "kept", ignore=shutil.ignore_patterns("lost+found"))
    finally:
        machine.clean()
    if bad:
        sys.exit(f"the store is in {directory / 'kept'}")
    shutil.rmtree(directory)


if __name__ == "__main__":
    main()
