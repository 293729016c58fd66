"""Programs of lib/, compiled against a build of libmosquitto and run.

The library is the one beside MOSQUITTO_BIN, or LIBMOSQUITTO (a file), such as the distribution's, to ask what it does. A
library that was built with a sanitizer gets programs that are.
"""

import os
import re
import subprocess
from pathlib import Path

import pytest
from broker_process import binary
from foreign import need

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
SOURCES = HERE / "lib"
LIMIT = 60
WARNINGS = ("-Wall", "-Wextra", "-Wno-stringop-truncation", "-Werror")


def library():
    """The shared library to test. Where there is none, the test is skipped."""
    path = Path(os.environ.get("LIBMOSQUITTO") or Path(binary()).resolve().parent / "libmosquitto.so.1")
    if not path.exists():
        pytest.skip(f"no shared library at {path}")
    return path


def is_ours():
    return not str(library().resolve()).startswith("/usr/")


def sanitizers(path):
    text = path.read_bytes()
    if b"__tsan_init" in text:
        return "thread"
    return "address,undefined" if b"__asan_init" in text else ""


def compile_program(source, out, path=None, compiler=None, flags=()):
    """The program of lib/SOURCE.c, linked with the library at `path`."""
    path = path or library()
    san = sanitizers(path)
    command = [compiler or need("cc"), "-std=c17", "-D_GNU_SOURCE", "-g", "-O1", *WARNINGS, f"-I{ROOT / 'include'}",
               *([f"-fsanitize={san}", "-fno-sanitize-recover=all"] if san else []), *flags,
               "-o", str(out), str(SOURCES / f"{source}.c"), str(path), f"-Wl,-rpath,{path.parent}", "-lpthread"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, f"{' '.join(command)}:\n{done.stderr}"
    return Path(out)


def cases(source, *kinds):
    """Names of cases in a program, of the kinds CASE, SCRIPTED, OURS."""
    text = (SOURCES / f"{source}.c").read_text()
    return re.findall(rf"^(?:{'|'.join(kinds)})\((\w+)\)$", text, re.MULTILINE)


class Running:
    """A program that has been started."""

    def __init__(self, command, **options):
        self.process = subprocess.Popen([str(part) for part in command], stdin=subprocess.DEVNULL,
                                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **options)

    def finish(self, code=0, seconds=LIMIT):
        """Wait for its end; its output."""
        try:
            output, _ = self.process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            output, _ = self.process.communicate()
            raise AssertionError(f"{self.process.args} did not end:\n{output.decode(errors='replace')}") from None
        text = output.decode(errors="replace")
        assert self.process.returncode == code, f"{self.process.args} ended with {self.process.returncode}:\n{text}"
        return text

    def stop(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.communicate()


class Programs:
    """All programs, each compiled once."""

    def __init__(self, directory, path=None, flags=()):
        self.directory, self.path, self.flags = directory, path, flags
        self.made = {}
        self.running = []

    def program(self, source):
        if source not in self.made:
            self.made[source] = compile_program(source, self.directory / source, self.path, flags=self.flags)
        return self.made[source]

    def start(self, source, case, port, name, before=(), **options):
        self.running.append(Running([*before, self.program(source), case, port, name], **options))
        return self.running[-1]

    def run(self, source, case, port, name, code=0, **options):
        return self.start(source, case, port, name, **options).finish(code)

    def stop(self):
        for running in self.running:
            running.stop()
        self.running.clear()


@pytest.fixture(scope="session")
def all_programs(tmp_path_factory):
    return Programs(tmp_path_factory.mktemp("programs"))


@pytest.fixture
def programs(all_programs):
    """Programs with the library that is tested: `programs.run(source, case, port, name)`."""
    yield all_programs
    all_programs.stop()
