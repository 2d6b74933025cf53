"""What is kept of a candidate's output."""

from __future__ import annotations

import os
import subprocess
import sys

from pytest_fib.judge.output import Output

# Our frames are the outer ones: the file says that it is the package's.
CRASH = """
import ctypes, faulthandler, pytest_fib
import numpy
faulthandler.enable()
print("hello", flush=True)
own = pytest_fib.__path__[0] + "/candidate/worker.py"
scope = {"run": lambda: ctypes.string_at(0)}
exec(compile("def serve():\\n    run()\\nserve()", own, "exec"), scope)
"""


def kept(printed: bytes) -> str:
    output = Output()
    try:
        os.write(output.write_end, printed)
        output.close_write_end()
        assert not output.drain()
        return output.text()
    finally:
        output.close()


def test_a_crash_is_shown_with_the_frames_of_the_solution_only() -> None:
    # Elsewhere, because Python would find the package in the checkout and not where it is installed.
    done = subprocess.run([sys.executable, "-c", CRASH], capture_output=True, check=False, cwd="/")
    assert b"candidate/worker.py" in done.stderr
    assert b"Extension modules: " in done.stderr
    lines = kept(done.stdout + done.stderr).splitlines()
    assert lines[:2] == ["hello", "Fatal Python error: Segmentation fault"]
    assert lines[-2].endswith(" in string_at")
    assert lines[-1].endswith(" in <lambda>")


def test_what_only_resembles_a_crash_stays() -> None:
    for said in (
        "Extension modules: mine\n",
        '  File "/srv/main.py", line 3 in run\n',
        'Traceback (most recent call last):\n  File "/srv/main.py", line 3, in run\n    x\n',
    ):
        assert kept(said.encode()) == said


def test_the_beginning_and_the_end_are_kept() -> None:
    text = kept(b"begin" + b"x" * 60_000 + b"end")
    assert text.startswith("begin")
    assert text.endswith("end")
    assert "bytes left out" in text
    assert len(text) < 34_000


def test_what_is_taken_is_forgotten() -> None:
    output = Output()
    os.write(output.write_end, b"first")
    assert output.take() == "first"
    os.write(output.write_end, b"second")
    assert output.take() == "second"
    assert output.take() == ""
    output.close()
