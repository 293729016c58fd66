"""Servers of others, started for a test: one process in the foreground, its output in a file, ended by its own pid."""

import contextlib
import os
import socket
import subprocess
import time
from pathlib import Path

import mqtt_wire

START_LIMIT = 60.0
STOP_LIMIT = 20.0


def await_true(condition, what, seconds=START_LIMIT, every=0.05):
    """Ask again and again, for things that nobody reports; the answer that is not false."""
    limit = time.monotonic() + seconds
    while True:
        answer = condition()
        if answer:
            return answer
        assert time.monotonic() < limit, f"after {seconds:.0f} s still not: {what() if callable(what) else what}"
        time.sleep(every)


def accepts(port, host="127.0.0.1"):
    with contextlib.suppress(OSError):
        socket.create_connection((host, port), 1).close()
        return True
    return False


class Server:
    """One process. `command` stays in the foreground; `port` is where it speaks MQTT."""

    def __init__(self, directory, command, port, env=None):
        self.directory = Path(directory)
        self.command = [str(part) for part in command]
        self.env = {**os.environ, **(env or {})}
        self.port = port
        self.process = None

    @property
    def output(self):
        return self.directory / "output"

    def tail(self):
        return "\n".join(self.output.read_text(errors="replace").splitlines()[-30:])

    def start(self):
        with open(self.output, "ab") as output:
            self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=output,
                                            stderr=subprocess.STDOUT, env=self.env, cwd=self.directory)

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def listens(self):
        assert self.alive(), f"{self.command[0]} ended with {self.process.returncode}:\n{self.tail()}"
        return accepts(self.port)

    def await_port(self):
        await_true(self.listens, lambda: f"{self.command[0]} listens:\n{self.tail()}")

    def kill(self):
        """As a crash: it has no time for anything."""
        self.process.kill()
        self.process.wait()

    def stop(self):
        if not self.alive():
            return
        self.process.terminate()
        try:
            self.process.wait(STOP_LIMIT)
        except subprocess.TimeoutExpired:
            self.kill()


def client(port, client_id, patience=30.0, **options):
    """A client with its CONNACK, which is kept as `connack`. The first ones of a new cluster wait for seconds."""
    made = mqtt_wire.Client(port, patience=patience)
    made.connack = made.connect(client_id, **options)
    return made


def speaks(port, **options):
    """Does a publication at QoS 1 get its acknowledgement there, within a second or two?"""
    try:
        probe = client(port, f"probe{port}-{time.monotonic_ns()}", patience=2.0, **options)
    except (OSError, mqtt_wire.Closed, AssertionError):
        return False
    try:
        probe.publish("probe", "x", qos=1)
        return True
    except (OSError, mqtt_wire.Closed, AssertionError):
        return False
    finally:
        probe.close()
