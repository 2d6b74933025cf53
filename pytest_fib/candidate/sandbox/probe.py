"""What this machine allows: the sandbox is entered once by a throwaway process, which says how that went."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from contextlib import suppress

import pytest_fib
from pytest_fib.candidate.sandbox.launch import launch
from pytest_fib.candidate.sandbox.policy import Policy, default_readable, nvidia_devices
from pytest_fib.candidate.sandbox.report import Layer, Report

_BOOT = (
    "import sys; sys.path.append(sys.argv[1]); "
    "from pytest_fib.candidate.sandbox.probe import main; sys.exit(main(sys.argv[2:]))"
)
_TIMEOUT_S = 60.0


class Trial:
    """A throwaway process that enters the sandbox of ``policy``; the caller must have one thread."""

    def __init__(self, policy: Policy) -> None:
        self._read_end, write_end = os.pipe()
        self._pid = launch(policy, lambda report: _tell(report, write_end), fds=(write_end,))
        os.close(write_end)

    def report(self) -> Report:
        """Wait for the layers that it got; none at all if it does not say."""
        text = ""
        with open(self._read_end, encoding="utf-8") as file:
            poll = select.poll()
            poll.register(file, select.POLLIN)
            if poll.poll(_TIMEOUT_S * 1000):
                text = file.read()
        with suppress(ProcessLookupError):
            os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)
        return Report.from_text(text) if text else Report()


def probe(cuda: bool = False) -> Report:
    """Return the layers that a candidate would get here.

    A fresh process is used because the calling one may have threads; it takes some 50 ms.
    """
    root = os.path.dirname(os.path.dirname(os.path.abspath(pytest_fib.__file__)))
    command = [sys.executable, "-I", "-B", "-c", _BOOT, root, *(["cuda"] if cuda else [])]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_TIMEOUT_S, cwd="/", stdin=subprocess.DEVNULL
        )
        return Report.from_text(done.stdout)
    except (subprocess.TimeoutExpired, ValueError) as error:
        return Report(
            (Layer("sandbox", False, f"a sandboxed process does not start: {type(error).__name__}"),)
        )


def main(arguments: list[str]) -> int:
    """Enter the sandbox and print the report from inside it."""
    cuda = "cuda" in arguments
    policy = Policy(default_readable(), devices=nvidia_devices() if cuda else (), cuda=cuda)
    pid = launch(policy, lambda report: _tell(report, sys.stdout.fileno()))
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _tell(report: Report, fd: int) -> int:
    with open(fd, "w", encoding="utf-8", closefd=False) as file:
        file.write(report.to_text())
    return 0
