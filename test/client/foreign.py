"""Finding and running clients that are not ours."""

import shutil
import subprocess

import pytest

LIMIT = 60


def need(*commands):
    """The paths of programs; without one of them the test is skipped, by name."""
    paths = []
    for command in commands:
        found = shutil.which(command)
        if not found:
            pytest.skip(f"{command} is not installed")
        paths.append(found)
    return paths[0] if len(paths) == 1 else paths


def start(*command, **options):
    return subprocess.Popen(
        [str(part) for part in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **options
    )


def finish(process, code=0, data=None):
    """Wait for the end of a client; its output is returned, and shown if it failed."""
    try:
        output, _ = process.communicate(data, timeout=LIMIT)
    except subprocess.TimeoutExpired:
        process.kill()
        output, _ = process.communicate()
        raise AssertionError(f"{process.args[0]} did not end:\n{output!r}") from None
    assert process.returncode == code, f"{process.args} ended with {process.returncode}:\n{output!r}"
    return output


def run(*command, code=0, data=None, **options):
    options.setdefault("stdin", subprocess.PIPE if data is not None else subprocess.DEVNULL)
    return finish(start(*command, **options), code, data)
